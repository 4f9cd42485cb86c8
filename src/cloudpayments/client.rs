//! The client of the API: one function for each method that we call.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::{Clock, Timestamp};
use crate::domain::evidence::{Fact, TransactionKind};
use crate::domain::money::Money;
use crate::metrics::Metrics;

use super::answer;
use super::breaker::{BreakerSettings, Trouble};
use super::outcome::{ChargeAnswer, ClaimPage, NotSent, Outcome, Page, RefundAnswer};
use super::request::{self, CardCharge};
#[cfg(feature = "sandbox")]
use super::transport::Wire;
use super::transport::{Call, Sending, Transport};

/// Largest page of the register.
const MAX_LIST_ANSWER: usize = 8 * 1024 * 1024;

/// How to reach the provider.
pub struct ClientSettings {
    /// `https://api.tiptoppay.kz` or another host of contract section 1; the sandbox's address in tests.
    pub base_url: String,
    /// The terminal (contract section 2.1).
    pub public_id: String,
    /// Its password.
    pub api_secret: SecretString,
    /// Requests at once (contract section 2).
    pub max_concurrent_requests: usize,
    /// Payers that may wait for their turn; as many lookups may wait beside them.
    pub max_queued_requests: usize,
    /// How long they may wait.
    pub queue_timeout: Duration,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long the whole request may take.
    pub request_timeout: Duration,
    /// So long after it was sent, a request that we gave up waiting for is over at the provider, too.
    pub abandoned_after: Duration,
    /// How long one request fewer runs, and lookups pause, after a 429.
    pub backoff: Duration,
    /// When to stop asking a provider in trouble, and how often to look whether it is back.
    pub breaker: BreakerSettings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Figures for operators.
    pub metrics: Arc<Metrics>,
}

/// The client of the API (contract section 4). Never repeats a request by itself, follows no redirect, takes no proxy
/// from the environment. Cheap to clone; the clones share connections and limits.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// A client with its own connections and limits.
    ///
    /// # Errors
    /// When the address is not one, or TLS cannot be set up.
    pub fn new(settings: ClientSettings) -> Result<Client, String> {
        Transport::new(&settings).map(|transport| Client { transport })
    }

    /// A client that reaches the provider over another wire: everything above it is the same as in production.
    #[cfg(feature = "sandbox")]
    pub fn over(wire: Arc<dyn Wire>, settings: &ClientSettings) -> Client {
        Client { transport: Transport::over(wire, settings) }
    }

    /// Takes or holds money by card data: `cards/charge` or `cards/auth` (contract section 4.2).
    pub async fn charge_card(&self, request: &CardCharge<'_>, sending: Sending<'_>) -> Outcome<ChargeAnswer> {
        let (operation, path) = if request.two_stage {
            ("authorize", "/payments/cards/auth")
        } else {
            ("charge", "/payments/cards/charge")
        };
        let call = Call::of_payer(operation, path, request::charge(request), sending);
        self.transport.run(call, |raw| answer::parse_charge(raw.status, &raw.body, None)).await
    }

    /// Finishes 3-D Secure: `cards/post3ds` (contract section 4.3).
    pub async fn finish_three_ds(
        &self,
        transaction_id: i64,
        pa_res: &SecretString,
        sending: Sending<'_>,
    ) -> Outcome<ChargeAnswer> {
        let call =
            Call::of_payer("three_ds", "/payments/cards/post3ds", request::three_ds(transaction_id, pa_res), sending);
        self.transport.run(call, |raw| answer::parse_charge(raw.status, &raw.body, Some(transaction_id))).await
    }

    /// Takes held money, all or a part: `confirm` (contract section 4.5).
    pub async fn capture(&self, transaction_id: i64, amount: Money, sending: Sending<'_>) -> Outcome<()> {
        let call = Call::of_payer("capture", "/payments/confirm", request::capture(transaction_id, amount), sending);
        self.transport.run(call, |raw| answer::parse_done(raw.status, &raw.body)).await
    }

    /// Releases held money: `void` (contract section 4.6).
    pub async fn void(&self, transaction_id: i64, sending: Sending<'_>) -> Outcome<()> {
        let call = Call::of_payer("void", "/payments/void", request::transaction(transaction_id), sending);
        self.transport.run(call, |raw| answer::parse_done(raw.status, &raw.body)).await
    }

    /// Gives money back, all or a part: `refund` (contract section 4.7). `refund_id` comes back in the notification.
    pub async fn refund(
        &self,
        transaction_id: i64,
        amount: Money,
        refund_id: &str,
        sending: Sending<'_>,
    ) -> Outcome<RefundAnswer> {
        let call =
            Call::of_payer("refund", "/payments/refund", request::refund(transaction_id, amount, refund_id), sending);
        self.transport.run(call, |raw| answer::parse_refund(raw.status, &raw.body)).await
    }

    /// Looks a transaction up by its number: `get` (contract section 4.9). `None` when there is none.
    pub async fn get(&self, transaction_id: i64) -> Outcome<Option<Fact>> {
        let call = Call::of_background("get", "/payments/get", request::transaction(transaction_id));
        self.transport.run(call, |raw| answer::parse_lookup(raw.status, &raw.body, Some(transaction_id), None)).await
    }

    /// The latest payment for a bill: `find` of version 1, which sees payments only (contract section 4.10). `None` when
    /// there is none.
    pub async fn find(&self, invoice_id: &str) -> Outcome<Option<Fact>> {
        let call = Call::of_background("find", "/payments/find", request::find(invoice_id));
        self.transport
            .run(call, |raw| answer::parse_lookup(raw.status, &raw.body, None, Some(TransactionKind::Payment)))
            .await
    }

    /// One page, from 1, of all transactions created in a span: `list` of version 2 (contract section 4.12).
    pub async fn list(&self, from: Timestamp, to: Timestamp, page: u32) -> Outcome<Page> {
        let call = Call::of_background("list", "/v2/payments/list", request::list(from, to, page))
            .with_max_answer(MAX_LIST_ANSWER);
        self.transport.run(call, |raw| answer::parse_list(raw.status, &raw.body)).await
    }

    /// What is wrong with the provider, while nothing is sent to it because of that.
    pub fn trouble(&self) -> Option<Trouble> {
        self.transport.trouble()
    }

    /// Whether a call would be sent now.
    ///
    /// # Errors
    /// Why it would not, and when to try again.
    pub fn admits(&self) -> Result<(), NotSent> {
        self.transport.admit()
    }

    /// Counts a call that was not even begun because of what [`Client::admits`] said.
    pub fn count_not_sent(&self, reason: &NotSent) {
        self.transport.count_not_sent(reason);
    }

    /// While nothing is sent because of trouble: asks whether the provider is back, when that is due. For a worker;
    /// callers who are refused do the same, should there be none.
    pub async fn ask_if_back(&self) {
        self.transport.ask_if_back().await;
    }

    /// One page, from 1, of the chargebacks raised in a span of at most a year: `chargebacks/list` (contract section 4.14).
    pub async fn chargebacks(&self, from: Timestamp, to: Timestamp, page: u32) -> Outcome<ClaimPage> {
        let call = Call::of_background("chargebacks", "/chargebacks/list", request::list(from, to, page))
            .with_max_answer(MAX_LIST_ANSWER);
        self.transport.run(call, |raw| answer::parse_chargebacks(raw.status, &raw.body)).await
    }

    /// Whether the provider answers and takes our credentials: `test` (contract section 4.1).
    pub async fn test(&self) -> Outcome<()> {
        let call = Call::of_background("test", "/test", request::nothing());
        self.transport.run(call, |raw| answer::parse_done(raw.status, &raw.body)).await
    }
}

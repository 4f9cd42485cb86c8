//! The provider as far as the scenarios need it: takes `POST /payments/cards/charge`, waits, approves; shows an empty
//! register or, where it was told to keep what it charged, that.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use super::http::Connection;

/// Numbers of transactions do not fit 32 bits.
const FIRST_TRANSACTION_ID: u64 = 3_600_000_000;
/// The business day of all money that it tells of, see [`model`].
pub const DAY: &str = "2026-03-02";
/// Items on a page of the register.
const PAGE: usize = 100;

/// A running stub; it ends with the process.
pub struct Stub {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    delay: Duration,
    next_transaction_id: AtomicU64,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    /// What was charged, as its parts in the answer; `None` when nobody wants to know.
    register: Option<Mutex<Vec<Charged>>>,
}

/// A charge as the register shows it.
struct Charged {
    transaction_id: u64,
    amount: String,
    currency: String,
    invoice_id: String,
    account_id: String,
    json_data: String,
}

/// What the register is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List<'a> {
    created_date_gte: &'a str,
    created_date_lte: &'a str,
    page_number: usize,
}

/// What comes back in the answer, spelled as it was sent.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Charge<'a> {
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(borrow)]
    currency: &'a RawValue,
    #[serde(borrow)]
    invoice_id: &'a RawValue,
    #[serde(borrow)]
    account_id: &'a RawValue,
    #[serde(borrow)]
    json_data: &'a RawValue,
}

impl Stub {
    /// Starts it on a thread of its own.
    pub fn start(delay: Duration) -> Result<Stub, String> {
        Stub::start_with(delay, None)
    }

    /// Starts one that shows in its register what it charged.
    pub fn start_keeping() -> Result<Stub, String> {
        Stub::start_with(Duration::ZERO, Some(Mutex::default()))
    }

    fn start_with(delay: Duration, register: Option<Mutex<Vec<Charged>>>) -> Result<Stub, String> {
        let failed = |error: std::io::Error| format!("the stub does not start: {error}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = Arc::new(State {
            delay,
            next_transaction_id: AtomicU64::new(FIRST_TRANSACTION_ID),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            register,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let shared = Arc::clone(&state);
        let accept = async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            loop {
                if let Ok((stream, _)) = listener.accept().await
                    && let Ok(connection) = Connection::of(stream)
                {
                    tokio::spawn(serve(connection, Arc::clone(&shared)));
                }
            }
        };
        let thread = std::thread::Builder::new().name("stub".to_owned());
        thread.spawn(move || runtime.block_on(accept)).map_err(failed)?;
        Ok(Stub { address, state })
    }

    /// The most charges that were under way at once.
    pub fn most_under_way(&self) -> usize {
        self.state.most_under_way.load(Ordering::Relaxed)
    }
}

async fn serve(mut connection: Connection, state: Arc<State>) {
    let mut reply = Vec::new();
    while let Ok(true) = connection.receive().await {
        let now = state.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        state.most_under_way.fetch_max(now, Ordering::Relaxed);
        if !state.delay.is_zero() {
            tokio::time::sleep(state.delay).await;
        }
        reply.clear();
        answer(&connection, &state, &mut reply);
        state.under_way.fetch_sub(1, Ordering::Relaxed);
        if connection.send(&reply).await.is_err() {
            break;
        }
    }
}

fn answer(connection: &Connection, state: &State, reply: &mut Vec<u8>) {
    let (head, body) = (connection.head(), connection.body());
    let result = if head.starts_with(b"POST /payments/cards/charge ") {
        serde_json::from_slice::<Charge<'_>>(body).map(|charge| state.charge(&charge))
    } else if head.starts_with(b"POST /v2/payments/list ") {
        serde_json::from_slice::<List<'_>>(body).map(|list| state.list(&list))
    } else if head.starts_with(b"POST /chargebacks/list ") {
        Ok(r#"{"Model":[],"Success":true,"Message":null}"#.to_owned())
    } else {
        Ok(String::new())
    };
    let (status, body) = match result {
        Ok(body) if body.is_empty() => ("404 Not Found", body),
        Ok(body) => ("200 OK", body),
        Err(error) => ("400 Bad Request", error.to_string()),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\n");
    reply.extend_from_slice(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes());
}

impl State {
    fn charge(&self, charge: &Charge<'_>) -> String {
        let charged = Charged {
            transaction_id: self.next_transaction_id.fetch_add(1, Ordering::Relaxed),
            amount: charge.amount.get().to_owned(),
            currency: charge.currency.get().to_owned(),
            invoice_id: charge.invoice_id.get().to_owned(),
            account_id: charge.account_id.get().to_owned(),
            json_data: charge.json_data.get().to_owned(),
        };
        let answer = format!(r#"{{"Model":{},"Success":true,"Message":null}}"#, model(&charged));
        if let Some(register) = &self.register {
            register.lock().unwrap_or_else(PoisonError::into_inner).push(charged);
        }
        answer
    }

    /// One page. All of it lies in every window of more than a day: when a charge was made is not kept.
    fn list(&self, list: &List<'_>) -> String {
        let more_than_a_day = list.created_date_gte.get(..10) != list.created_date_lte.get(..10);
        let items = match &self.register {
            Some(register) if more_than_a_day => {
                let register = register.lock().unwrap_or_else(PoisonError::into_inner);
                let skipped = list.page_number.saturating_sub(1).saturating_mul(PAGE);
                register.iter().skip(skipped).take(PAGE).map(model).collect::<Vec<_>>().join(",")
            }
            _ => String::new(),
        };
        format!(r#"{{"Model":[{items}],"Success":true,"Message":null}}"#)
    }
}

/// As long as a real one, so that reading it costs what it costs.
fn model(charged: &Charged) -> String {
    let Charged { transaction_id, amount, currency, invoice_id, account_id, json_data } = charged;
    format!(
        r#"{{"ReasonCode":0,"PublicId":"pk_bench","TerminalUrl":"https://shop.example.kz","TransactionId":{transaction_id},"Amount":{amount},"Currency":{currency},"CurrencyCode":0,"PaymentAmount":{amount},"PaymentCurrency":{currency},"PaymentCurrencyCode":0,"InvoiceId":{invoice_id},"AccountId":{account_id},"Email":null,"Description":"Policy","JsonData":{json_data},"CreatedDate":"/Date(1772428447312)/","PayoutDate":null,"PayoutDateIso":null,"PayoutAmount":null,"CreatedDateIso":"2026-03-02T05:14:07","AuthDate":"/Date(1772428447498)/","AuthDateIso":"2026-03-02T05:14:07","ConfirmDate":"/Date(1772428447498)/","ConfirmDateIso":"2026-03-02T05:14:07","AuthCode":"A1B2C3","TestMode":true,"Rrn":null,"OriginalTransactionId":null,"FallBackScenarioDeclinedTransactionId":null,"IpAddress":"203.0.113.7","IpCountry":"KZ","IpCity":"Алматы","IpRegion":"Алматы","IpDistrict":"Алматы","IpLatitude":43.25,"IpLongitude":76.95,"CardFirstSix":"400000","CardLastFour":"3055","CardExpDate":"12/30","CardType":"Visa","CardProduct":"I","CardCategory":"Visa Infinite (Infinite)","EscrowAccumulationId":null,"IssuerBankCountry":"KZ","Issuer":"CloudPayments","CardTypeCode":0,"Status":"Completed","StatusCode":3,"CultureName":"ru","Reason":"Approved","CardHolderMessage":"Оплата успешно проведена","Type":0,"Refunded":false,"Name":"TEST CARDHOLDER","Token":"tk_bench","SubscriptionId":null,"GatewayName":"Test","AndroidPay":false,"WalletType":"","TotalFee":0,"VatAboveTotalFee":0,"ProcessorAndPartnerFee":null,"VatWithinProcessorFee":null}}"#
    )
}

//! The engine: everything the emulated service knows and decides, without sockets or clocks.
//!
//! It is synchronous and deterministic. Time is an argument (milliseconds of the sandbox clock) and
//! identifiers come from a seed, so a simulation can drive it and repeat a run exactly. Where the
//! real service waits for a merchant (the Check notification), [`Engine::begin`] hands the
//! notification out and [`Engine::resume`] goes on with the reply.
//!
//! Limits: all state is in memory and grows until [`Engine::reset`]; one terminal; no fees, no
//! payouts, no subscriptions, no fiscal receipts, no splits.

mod answer;
mod bank;
mod draft;
mod faults;
mod fields;
mod ledger;
mod lists;
mod lookup;
mod memory;
mod model;
mod notice;
mod operations;
mod orders;
mod params;
mod payments;
mod queue;
mod route;
mod settings;
mod three_ds;
mod tokens;
mod transaction;

pub use answer::{ApiAnswer, PendingCheck, Progress};
pub use draft::{Draft, Schema};
pub use faults::{ApiFault, ApiFaultKind, Fault, FaultCounts, NotificationFault, NotificationFaultKind};
pub use ledger::{Ledger, LedgerEntry, LedgerTotals};
pub use notice::{Notification, NotificationKind};
pub use operations::RefundOrder;
pub use orders::Order;
pub use params::{Invalid, Params};
pub use queue::{Delivery, DeliveryRecord, Reply};
pub use route::Route;
pub(crate) use three_ds::pa_res;
pub use transaction::{Status, Transaction, TransactionType};

use crate::config::SandboxConfig;
use crate::ids::IdSource;
use std::collections::{BTreeMap, BTreeSet};

/// One request to the API, already authorized and parsed.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// The method asked for.
    pub route: Route,
    /// `X-Request-ID`, when the caller sent one.
    pub request_id: Option<String>,
    /// Parameters of the body.
    pub params: Params,
}

/// State of the emulated service.
#[derive(Debug)]
pub struct Engine {
    config: SandboxConfig,
    base_url: String,
    ids: IdSource,
    next_transaction_id: i64,
    transactions: BTreeMap<i64, Transaction>,
    by_invoice: BTreeMap<String, Vec<i64>>,
    tokens: tokens::Tokens,
    used_packets: BTreeSet<String>,
    orders: BTreeMap<String, Order>,
    chargebacks: Vec<lists::Chargeback>,
    memory: memory::Memory,
    settings: settings::Settings,
    queue: queue::Queue,
    faults: faults::Faults,
}

impl Engine {
    /// A fresh service. `base_url` is where payers' browsers reach it.
    pub fn new(config: SandboxConfig, base_url: String, seed: u64) -> Engine {
        Engine {
            next_transaction_id: config.first_transaction_id,
            settings: settings::Settings::new(config.notify_url.clone()),
            queue: queue::Queue::new(config.retry_time_scale, config.delivery_log_limit),
            ids: IdSource::new(seed),
            config,
            base_url,
            transactions: BTreeMap::new(),
            by_invoice: BTreeMap::new(),
            tokens: tokens::Tokens::default(),
            used_packets: BTreeSet::new(),
            orders: BTreeMap::new(),
            chargebacks: Vec::new(),
            memory: memory::Memory::default(),
            faults: faults::Faults::default(),
        }
    }

    /// Forgets everything but settings. Ids go on from where they were, so none is used twice.
    pub fn reset(&mut self) {
        let settings = self.settings.clone();
        let mut fresh = Engine::new(self.config.clone(), self.base_url.clone(), self.ids.next_u64());
        fresh.next_transaction_id = self.next_transaction_id;
        fresh.settings = settings;
        fresh.queue.continue_ids(&self.queue);
        *self = fresh;
    }

    /// Starts a request. Either it is answered at once, or a Check has to be delivered first.
    pub fn begin(&mut self, request: &ApiRequest, now: i64) -> Progress {
        let key = memory::Key::of(request);
        if let Some(answer) = key.as_ref().and_then(|key| self.memory.recall(key, now)) {
            return Progress::Answer(answer);
        }
        match self.dispatch(request, now) {
            Ok(Progress::Answer(answer)) => Progress::Answer(self.finish(key, answer, now)),
            Ok(Progress::Check { notification, mut pending }) => {
                pending.key = key;
                Progress::Check { notification, pending }
            }
            Err(invalid) => Progress::Answer(self.finish(key, ApiAnswer::refusal(&invalid.0), now)),
        }
    }

    /// Goes on with a payment after the merchant's reply to its Check.
    pub fn resume(&mut self, pending: PendingCheck, reply: &Reply, now: i64) -> ApiAnswer {
        let answer = self.after_check(pending.transaction_id, pending.route, reply, now);
        self.finish(pending.key, answer, now)
    }

    fn finish(&mut self, key: Option<memory::Key>, answer: ApiAnswer, now: i64) -> ApiAnswer {
        if let Some(key) = key
            && (answer.success || self.config.replay_declines)
        {
            self.memory.keep(key, answer.clone(), now);
        }
        answer
    }

    fn dispatch(&mut self, request: &ApiRequest, now: i64) -> Result<Progress, Invalid> {
        let params = &request.params;
        let answer = match request.route {
            Route::CardCharge => return self.card_payment(request, Schema::Single, now),
            Route::CardAuth => return self.card_payment(request, Schema::Dual, now),
            Route::TokenCharge => return self.token_payment(request, Schema::Single, now),
            Route::TokenAuth => return self.token_payment(request, Schema::Dual, now),
            Route::Post3ds => return self.post3ds(params, now),
            Route::Test => Ok(self.test()),
            Route::Confirm => self.confirm(params, now),
            Route::Void => self.void(params, now),
            Route::Refund => self.refund(request, now),
            Route::Get => self.get(params),
            Route::Find => self.find(params, false),
            Route::FindV2 => self.find(params, true),
            Route::List => self.list(params),
            Route::ListV2 => self.list_v2(params),
            Route::TokensList => self.tokens_list(params),
            Route::OrderCreate => self.order_create(params, now),
            Route::OrderCancel => self.order_cancel(params),
            Route::ChargebacksList => self.chargebacks_list(params),
            Route::SettingsGet(kind) => Ok(self.settings.get(kind)),
            Route::SettingsUpdate(kind) => self.settings.update(kind, params),
        };
        answer.map(Progress::Answer)
    }

    fn test(&mut self) -> ApiAnswer {
        let guid = self.ids.guid();
        ApiAnswer::of::<()>(None, true, Some(&guid))
    }

    /// A transaction by its id.
    pub fn transaction(&self, id: i64) -> Option<&Transaction> {
        self.transactions.get(&id)
    }

    /// Sets the base address of notifications.
    pub fn set_notify_url(&mut self, url: &str) {
        self.settings.set_base(Some(url.to_owned()));
    }

    /// The base address of notifications.
    pub fn notify_url(&self) -> Option<&str> {
        self.settings.base()
    }

    /// Scripts a fault.
    pub fn add_fault(&mut self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Forgets the scripted faults that did not happen yet.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// How many faults happened, by kind, and how many are still to happen.
    pub fn fault_counts(&self) -> FaultCounts {
        self.faults.counts()
    }

    /// Takes the next transport fault scripted for a request to this path.
    pub fn take_transport_fault(&mut self, path: &str) -> Option<ApiFaultKind> {
        self.faults.take_transport(path)
    }
}

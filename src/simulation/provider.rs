//! The provider in the same process: the sandbox's engine, with the part of its shell that asks the Check and delivers
//! notifications.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use cloudpayments_sandbox::engine::{
    ApiAnswer, ApiRequest, Draft, Engine, Params, Progress, RefundOrder, Reply, Route, Transaction,
};
use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationFaultKind, NotificationKind, SandboxConfig};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::chance::Chance;
use super::executor::lock;
use super::network::about;
use super::weather::{Weather, notice_fault};
use super::world::{World, pause_ms};
use crate::domain::money::Money;

/// Types of notification that tell what happened.
const NOTICES: [NotificationKind; 5] = [
    NotificationKind::Pay,
    NotificationKind::Fail,
    NotificationKind::Confirm,
    NotificationKind::Refund,
    NotificationKind::Cancel,
];

pub(super) struct Provider {
    config: SandboxConfig,
    engine: Mutex<Engine>,
    /// Wakes the postman.
    pub wake: Notify,
    /// One request at a time under one `X-Request-ID`.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Holds that were released by hand.
    released: Mutex<BTreeSet<i64>>,
    check_off: bool,
}

impl Provider {
    pub(super) fn new(chance: &mut Chance, check_off: bool) -> Provider {
        let config = Weather::sandbox(chance);
        let engine = Engine::new(config.clone(), "https://sandbox.example.kz".to_owned(), chance.next());
        Provider {
            config,
            engine: Mutex::new(engine),
            wake: Notify::new(),
            turns: Mutex::default(),
            released: Mutex::default(),
            check_off,
        }
    }

    pub(super) fn api_secret(&self) -> &str {
        &self.config.api_secret
    }

    pub(super) fn public_id(&self) -> &str {
        &self.config.public_id
    }

    /// The ways of this provider, for the record.
    pub(super) fn ways(&self) -> (bool, bool, bool, u32) {
        let config = &self.config;
        let switches = (config.replay_declines, config.json_notifications, config.refunds_keep_data);
        (switches.0, switches.1, switches.2, config.notification_delay_ms)
    }

    /// Looks into the engine.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Engine) -> T) -> T {
        look(&mut lock(&self.engine))
    }

    /// Whether a hold was released by hand.
    pub(super) fn released_by_hand(&self, id: i64) -> bool {
        lock(&self.released).contains(&id)
    }

    /// A transaction as the provider has it.
    pub(super) fn transaction<T>(&self, id: i64, look: impl FnOnce(&Transaction) -> T) -> Option<T> {
        lock(&self.engine).transaction(id).map(look)
    }
}

impl World {
    /// Something happens at the provider; what it notifies of may go wrong.
    pub(super) fn at_engine<T>(&self, about: &str, act: impl FnOnce(&mut Engine, i64) -> T) -> T {
        let fault = if self.provider_is_silent() && self.draw(|chance| chance.permille(700)) {
            self.happened("notification: never sent", about);
            Some(NotificationFaultKind::Lose)
        } else {
            self.fault(self.weather.notices, about, notice_fault)
        };
        let now = self.now_ms();
        let result = self.provider.with(|engine| {
            for kind in NOTICES {
                if let Some(fault) = &fault {
                    engine.add_fault(Fault::notification(kind, fault.clone()));
                }
            }
            let result = act(engine, now);
            engine.clear_faults();
            result
        });
        self.provider.wake.notify_one();
        result
    }

    /// Carries a request of the API through.
    pub(super) async fn at_provider(self: &Arc<Self>, request: ApiRequest) -> ApiAnswer {
        let turn = request.request_id.as_ref().map(|id| {
            let name = format!("{} {id}", request.route.path());
            Arc::clone(lock(&self.provider.turns).entry(name).or_default())
        });
        let _mine = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        if self.weather.reserve_bank
            && matches!(request.route, Route::CardCharge | Route::CardAuth)
            && self.draw(|chance| chance.one_in(3))
        {
            self.first_try(&request).await;
        }
        let about = about(&request);
        let progress = self.at_bank(request.route, &about, |engine, now| engine.begin(&request, now));
        self.finish(request.route, &about, progress).await
    }

    /// The same, where the bank may be asked: after 3-D Secure a first one may refuse, too.
    pub(super) fn at_bank<T>(&self, route: Route, about: &str, act: impl FnOnce(&mut Engine, i64) -> T) -> T {
        let falls_back = self.weather.reserve_bank && route == Route::Post3ds && self.draw(|chance| chance.one_in(3));
        self.at_engine(about, |engine, now| {
            if falls_back {
                engine.add_fault(Fault::api(&route.path(), ApiFaultKind::ReserveBank { reason_code: 5005 }));
            }
            act(engine, now)
        })
    }

    /// A first bank refuses, before the second one is asked under the same call.
    async fn first_try(self: &Arc<Self>, request: &ApiRequest) {
        let text = |name: &str| (name.to_owned(), json!(request.params.text(name)));
        let mut fields: Vec<(String, Value)> =
            ["Amount", "Currency", "IpAddress", "InvoiceId", "AccountId", "JsonData"].into_iter().map(text).collect();
        fields.push(("Name".to_owned(), json!("DECLINE 5005")));
        let block = self.draw(|chance| crate::vault::base64(&chance.bytes()));
        fields.push(("CardCryptogramPacket".to_owned(), json!(format!("014000003055301204{block}"))));
        let first = ApiRequest { route: request.route, request_id: None, params: Params::from_iter(fields) };
        let about = about(&first);
        let progress = self.at_engine(&about, |engine, now| engine.begin(&first, now));
        self.finish(first.route, &about, progress).await;
        let bank_ms = self.draw(|chance| chance.between(1, 30_000));
        pause_ms(bank_ms).await;
    }

    /// A payer pays in the provider's window.
    pub(super) async fn in_window(self: &Arc<Self>, draft: Draft) -> ApiAnswer {
        let about = format!("window {}", draft.invoice_id.as_deref().unwrap_or_default());
        let progress = self.at_engine(&about, |engine, now| engine.begin_widget(draft, now));
        self.finish(Route::CardCharge, &about, progress).await
    }

    async fn finish(self: &Arc<Self>, route: Route, about: &str, progress: Progress) -> ApiAnswer {
        let answer = match progress {
            Progress::Answer(answer) => answer,
            Progress::Check { notification, pending } => {
                let reply = if self.provider.check_off {
                    Reply::Answered { status: 200, body: r#"{"code":0}"#.to_owned() }
                } else {
                    self.send(&notification).await
                };
                // The bank takes its time.
                let bank_ms = self.draw(|chance| {
                    let most = chance.pick(&[10, 1_000, 1_000, 120_000], 1_000);
                    chance.between(1, most)
                });
                pause_ms(bank_ms).await;
                self.at_bank(route, about, |engine, now| engine.resume(pending, &reply, now))
            }
        };
        if let Some(id) = answer.transaction_id {
            self.deliver_before_answer(id).await;
        }
        if !matches!(route, Route::Get | Route::Find | Route::ListV2) {
            self.note(&format!("provider: {about} answered {:?}", answer.transaction_id));
        }
        answer
    }

    /// What the provider tells before it answers.
    pub(super) async fn deliver_before_answer(self: &Arc<Self>, transaction_id: i64) {
        while let Some(delivery) = self.provider.with(|engine| engine.next_before_answer(transaction_id)) {
            self.deliver(delivery).await;
        }
    }

    /// Money given back by hand in the provider's cabinet; the number of the refund.
    pub(super) fn refund_in_cabinet(&self, order: RefundOrder) -> Option<i64> {
        let what = format!("{} of {}", order.amount, order.payment_id);
        let answer = self.at_engine(&format!("cabinet {what}"), |engine, now| engine.give_back(order, now));
        self.note(&format!("cabinet: refund {what}: {}", answer.is_ok()));
        answer.ok()?.transaction_id
    }

    /// A whole hold of this sum taken by hand. Of a part the provider's register does not tell (contract section 14, point 22).
    pub(super) fn take_in_cabinet(&self, transaction_id: i64, total: Money) {
        let held = self.provider.transaction(transaction_id, |held| (held.draft.amount, held.draft.currency.clone()));
        let Some((held, currency)) = held else { return };
        if held.minor() != total.minor || currency != total.currency.code() {
            return;
        }
        let done = self
            .at_engine(&format!("cabinet {transaction_id}"), |engine, now| engine.take(transaction_id, held, now))
            .is_ok();
        self.note(&format!("cabinet: confirm {transaction_id}: {done}"));
    }

    /// A hold released by hand, or because its time is over.
    pub(super) fn release_in_cabinet(&self, transaction_id: i64) {
        let done = self
            .at_engine(&format!("cabinet {transaction_id}"), |engine, now| engine.release(transaction_id, now))
            .is_ok();
        if done {
            lock(&self.provider.released).insert(transaction_id);
        }
        self.note(&format!("cabinet: void {transaction_id}: {done}"));
    }
}

//! The engine alone: many random operations, and rules that must hold after each run.

use cloudpayments_sandbox::engine::{ApiAnswer, ApiRequest, Engine, Params, Progress, Reply, Route};
use cloudpayments_sandbox::ids::IdSource;
use cloudpayments_sandbox::{Ledger, SandboxConfig, Status, TransactionType, cards::TEST_CARDS, cryptogram};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const START: i64 = 1_772_428_447_312;
const FIRST: i64 = 3_600_000_001;

fn engine() -> Engine {
    let config = SandboxConfig { notify_url: Some("http://merchant.test".into()), ..SandboxConfig::default() };
    Engine::new(config, "http://sandbox.test".into(), 1)
}

fn request(route: Route, fields: Value) -> ApiRequest {
    ApiRequest { route, request_id: None, params: Params::from_json(&fields.to_string()).unwrap() }
}

fn answered(body: &str) -> Reply {
    Reply::Answered { status: 200, body: body.to_owned() }
}

fn charge(card: &str) -> Value {
    json!({"Amount": 100, "Currency": "KZT", "IpAddress": "1.2.3.4", "CardCryptogramPacket": cryptogram(card, "3012"), "InvoiceId": "ord"})
}

fn pa_res(id: i64, result: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(json!({"TransactionId": id, "Result": result}).to_string())
}

/// A merchant, a payer and a bank that do something at random.
struct World {
    engine: Engine,
    dice: IdSource,
    now: i64,
    notified: BTreeMap<(i64, &'static str), u32>,
}

impl World {
    fn roll(&mut self, sides: u64) -> i64 {
        i64::try_from(self.dice.next_u64() % sides).unwrap()
    }

    fn step(&mut self) {
        let made = self.engine.ledger().transactions.len().max(1);
        let id = FIRST + self.roll(made.try_into().unwrap());
        let amount = self.roll(120);
        let card = TEST_CARDS[usize::try_from(self.roll(15)).unwrap()].number;
        let (route, fields) = match self.roll(7) {
            0 => (Route::CardCharge, charge(card)),
            1 => (Route::CardAuth, charge(card)),
            2 => (Route::Confirm, json!({"TransactionId": id, "Amount": amount})),
            3 => (Route::Void, json!({"TransactionId": id})),
            4 => (Route::Refund, json!({"TransactionId": id, "Amount": amount})),
            5 => {
                (Route::Post3ds, json!({"TransactionId": id, "PaRes": pa_res(id, if amount > 20 { "Y" } else { "N" })}))
            }
            _ => (Route::Get, json!({"TransactionId": id})),
        };
        self.call(&request(route, fields));
        self.now += self.roll(100_000);
        self.deliver();
    }

    fn call(&mut self, request: &ApiRequest) -> ApiAnswer {
        match self.engine.begin(request, self.now) {
            Progress::Answer(answer) => answer,
            Progress::Check { pending, .. } => {
                let reply = if self.roll(5) == 0 { answered(r#"{"code":13}"#) } else { answered(r#"{"code":0}"#) };
                self.engine.resume(pending, &reply, self.now)
            }
        }
    }

    /// Delivers what is due; one in four tries fails and comes again later.
    fn deliver(&mut self) {
        while let Some(delivery) = self.engine.next_delivery(self.now) {
            let lost = self.roll(4) == 0;
            let reply = if lost { Reply::TimedOut } else { answered(r#"{"code":0}"#) };
            if !lost {
                let key = (delivery.notification.transaction_id, delivery.notification.kind.name());
                *self.notified.entry(key).or_default() += 1;
            }
            self.engine.delivered(&delivery, &reply, self.now);
        }
    }

    fn run(seed: u64) -> (Ledger, BTreeMap<(i64, &'static str), u32>) {
        let mut world = World { engine: engine(), dice: IdSource::new(seed), now: START, notified: BTreeMap::new() };
        for _ in 0..400 {
            world.step();
        }
        while world.engine.next_due().is_some() {
            world.now += 3_600_000;
            world.deliver();
        }
        (world.engine.ledger(), world.notified)
    }
}

#[test]
fn money_adds_up_whatever_happens() {
    for seed in 0..25 {
        let (ledger, notified) = World::run(seed);
        let told = |id: i64, kind: &'static str| notified.get(&(id, kind)).copied().unwrap_or_default();
        let mut refunds = 0;
        for entry in &ledger.transactions {
            let id = entry.transaction_id;
            assert!(entry.refunded_minor <= entry.captured_minor && entry.captured_minor <= entry.amount_minor);
            assert_eq!(
                entry.captured_minor > 0,
                entry.status == Status::Completed && entry.kind == TransactionType::Payment
            );
            if entry.kind == TransactionType::Refund {
                refunds += entry.amount_minor;
                assert_eq!(told(id, "refund"), 1);
                continue;
            }
            let succeeded = matches!(entry.status, Status::Authorized | Status::Completed | Status::Cancelled);
            assert_eq!(told(id, "pay"), u32::from(succeeded));
            assert_eq!(told(id, "fail"), u32::from(entry.status == Status::Declined));
            assert_eq!(told(id, "cancel"), u32::from(entry.status == Status::Cancelled));
        }
        assert_eq!(ledger.totals.refunded_minor, refunds);
        assert!(
            refunds > 0 && ledger.totals.captured_minor >= refunds,
            "seed {seed} did nothing: {refunds} of {:?}",
            ledger.totals
        );
    }
}

#[test]
fn the_same_dice_give_the_same_world() {
    let text = |seed| serde_json::to_string(&World::run(seed).0).unwrap();
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
}

#[test]
fn a_payment_is_finished_once_even_while_its_check_is_out() {
    let mut engine = engine();
    engine.begin(&request(Route::CardCharge, charge("4242424242424242")), START);
    let finish = request(Route::Post3ds, json!({"TransactionId": FIRST, "PaRes": pa_res(FIRST, "Y")}));
    let Progress::Check { pending, .. } = engine.begin(&finish, START) else { panic!("no Check") };
    let Progress::Answer(second) = engine.begin(&finish, START) else { panic!("a second Check") };
    assert!(!second.success);
    assert!(engine.resume(pending, &answered(r#"{"code":0}"#), START).success);
    assert_eq!(engine.ledger().totals.captured_minor, 10_000);
}

#[test]
fn an_undeliverable_notification_is_given_up_after_a_hundred_tries() {
    let mut engine = engine();
    let Progress::Check { pending, .. } = engine.begin(&request(Route::CardCharge, charge("4000000000003055")), START)
    else {
        panic!("no Check")
    };
    engine.resume(pending, &answered(r#"{"code":0}"#), START);
    let mut pauses = Vec::new();
    let mut now = START;
    while let Some(due) = engine.next_due() {
        pauses.push((due - now) / 60_000);
        now = due;
        let delivery = engine.next_delivery(now).unwrap();
        assert!(engine.next_delivery(now).is_none(), "one at a time");
        engine.delivered(&delivery, &Reply::Unreachable, now);
    }
    assert_eq!(pauses[..8], [0, 1, 2, 5, 10, 30, 30, 30]);
    assert_eq!(pauses.len(), 100);
}

//! Money of the bill that is older than the payment, or that somebody else's software moved: what becomes of it later tells
//! nothing of the payment.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};
use serde_json::{Value, json};

use crate::support::{APPROVED, Body, Engine, Reply, TestApp, card, expect_sums, order, widget, with, with_quiet_runs};

crate::on_both!(
    the_release_of_an_older_hold_does_not_end_a_lost_charge,
    a_part_of_an_older_hold_does_not_end_a_lost_charge,
    the_end_of_an_older_hold_is_not_of_a_window,
    a_pay_that_comes_late_is_of_the_time_that_it_tells,
    a_hold_of_today_that_was_released_does_not_end_a_lost_charge,
    a_name_that_is_not_ours_is_none,
    a_refund_of_money_that_is_not_ours_is_not_booked,
    a_release_that_names_us_is_proven_by_the_register,
    a_payment_expires_beside_money_that_a_person_has_looked_at,
    money_of_another_sum_that_is_met_at_the_end_calls_a_person,
    money_of_another_sum_hides_no_payment,
    a_record_that_names_us_for_another_bill_proves_nothing,
);

const CHARGE: &str = "/payments/cards/charge";
const HOLD: &str = "/payments/cards/auth";
const FIND: &str = "/payments/find";
const LIST: &str = "/v2/payments/list";
/// No payment of ours.
const THEIRS: &str = "5000000001";
/// After so many seconds the provider can no longer be working on a charge.
const OVER_S: u32 = 15 * 60;
/// In 2025, and in 2100.
const BEFORE: &str = "/Date(1748736000000)/";
const AFTER: &str = "/Date(4102444800000)/";

/// What the provider's record says of a payment of the bill of these tests.
fn record(amount: u32, status: &str, made_at: &str) -> Value {
    json!({
        "TransactionId": 5_000_000_001_i64, "Type": 0, "Status": status, "Amount": amount, "Currency": "KZT",
        "InvoiceId": "W-1", "CreatedDate": made_at,
    })
}

fn answer(model: &Value) -> ApiFaultKind {
    let body = json!({ "Model": model, "Success": true, "Message": null }).to_string();
    ApiFaultKind::StatusAfter { status: 200, body: Some(body) }
}

async fn tell(app: &TestApp, kind: &str, amount: &str, more: &[(&str, &str)]) {
    let mut fields = vec![("TransactionId", THEIRS), ("Amount", amount), ("InvoiceId", "W-1")];
    fields.extend(more);
    app.notify(kind, &fields).await;
}

async fn expect_seen(app: &TestApp, payment: &Reply, status: &str, certainty: &str) {
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/outcome/certainty")), (status, certainty), "{}", seen.json);
}

async fn settle(app: &TestApp, seconds: u32) {
    app.advance(seconds);
    app.running.app.settle_step().await.unwrap();
}

/// A charge whose answer and notification are lost.
async fn lost_charge(app: &TestApp, body: Body, way: ApiFaultKind) -> Reply {
    app.break_answer(if body["capture"] == "manual" { HOLD } else { CHARGE }, way);
    app.lose(NotificationKind::Pay);
    let lost = app.create(body).await.expect(202);
    expect_seen(app, &lost, "processing", "undetermined").await;
    lost
}

async fn the_release_of_an_older_hold_does_not_end_a_lost_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_charge(&app, card("W-1", APPROVED), ApiFaultKind::DropAfter).await;
    tell(&app, "cancel", "12500.00", &[]).await;
    expect_seen(&app, &lost, "processing", "undetermined").await;
    assert_eq!(app.verdicts().await, ["cancel unmatched", "check accepted"]);
    settle(&app, 6).await;
    expect_seen(&app, &lost, "paid", "proven").await;
    app.stop().await;
}

async fn a_part_of_an_older_hold_does_not_end_a_lost_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_charge(&app, card("W-1", APPROVED), ApiFaultKind::DropBefore).await;
    tell(&app, "confirm", "40.00", &[("Currency", "KZT"), ("Status", "Completed")]).await;
    expect_seen(&app, &lost, "processing", "undetermined").await;
    settle(&app, OVER_S).await;
    expect_seen(&app, &lost, "expired", "proven").await;
    app.stop().await;
}

async fn the_end_of_an_older_hold_is_not_of_a_window(engine: Engine) {
    let app = TestApp::start(engine).await;
    let window = app.create(widget("W-1")).await.expect(201);
    tell(&app, "confirm", "12500.00", &[("Currency", "KZT"), ("Status", "Completed")]).await;
    tell(&app, "cancel", "12500.00", &[]).await;
    expect_seen(&app, &window, "awaiting_payer", "proven").await;
    assert_eq!(app.events(window.id()).await, Vec::<String>::new());
    assert_eq!(app.verdicts().await, ["cancel unmatched", "confirm unmatched"]);
    app.stop().await;
}

async fn a_pay_that_comes_late_is_of_the_time_that_it_tells(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_charge(&app, card("W-1", APPROVED), ApiFaultKind::DropBefore).await;
    let pay = [("Currency", "KZT"), ("OperationType", "Payment"), ("Status", "Completed")];
    tell(&app, "pay", "12500.00", &[&pay[..], &[("DateTime", "2025-06-01 00:00:00")]].concat()).await;
    expect_seen(&app, &lost, "processing", "undetermined").await;
    assert_eq!(app.verdicts().await, ["pay unmatched"]);
    settle(&app, OVER_S).await;
    expect_seen(&app, &lost, "expired", "proven").await;
    app.stop().await;
}

/// By its record it may be the payment's, by its state it is nothing that the charge was to take.
async fn a_hold_of_today_that_was_released_does_not_end_a_lost_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_charge(&app, card("W-1", APPROVED), ApiFaultKind::DropAfter).await;
    app.break_answer(FIND, answer(&record(12_500, "Cancelled", AFTER)));
    settle(&app, 6).await;
    expect_seen(&app, &lost, "paid", "proven").await;
    expect_sums(&app.payment(lost.id()).await, "12500.00", "0.00", "12500.00");
    app.finish().await;
}

/// Others at the same terminal call theirs `payment_id`, too.
async fn a_name_that_is_not_ours_is_none(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_charge(&app, card("W-1", APPROVED), ApiFaultKind::DropAfter).await;
    let theirs = with(record(40, "Completed", AFTER), "JsonData", json!("{\"payment_id\":\"778\"}"));
    app.break_answer(FIND, answer(&theirs));
    settle(&app, 6).await;
    expect_seen(&app, &lost, "paid", "proven").await;
    expect_sums(&app.payment(lost.id()).await, "12500.00", "0.00", "12500.00");
    app.finish().await;
}

async fn a_refund_of_money_that_is_not_ours_is_not_booked(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let paid = app.create(card("W-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let told = app.events(paid.id()).await;
    let all = json!({
        "CreatedDateGte": "2020-01-01T00:00:00+00:00", "CreatedDateLte": "2035-01-01T00:00:00+00:00", "PageNumber": 1,
    });
    let mut items = app.at_provider(LIST, all).await.json["Model"].as_array().unwrap().clone();
    items.push(record(12_500, "Completed", BEFORE));
    let refund = with(record(4_000, "Completed", AFTER), "TransactionId", json!(5_000_000_002_i64));
    items.push(with(with(refund, "Type", json!(1)), "OriginalTransactionId", json!(5_000_000_001_i64)));
    app.break_answer(LIST, answer(&Value::from(items)));
    app.reconcile().await;
    let mut told_by_run = app.disagreements().await;
    told_by_run.sort();
    assert_eq!(told_by_run, ["missing_here open", "refund_in_cabinet open"]);
    let number = [("PaymentTransactionId", THEIRS), ("OperationType", "Refund")];
    let refund =
        [&[("TransactionId", "5000000003"), ("Amount", "4000.00"), ("InvoiceId", "W-1")][..], &number].concat();
    app.notify("refund", &refund).await;
    expect_sums(&app.payment(paid.id()).await, "12500.00", "0.00", "12500.00");
    assert_eq!(app.events(paid.id()).await, told);
    app.stop().await;
}

/// A notification that something was released may be of another hold of ours: what the register shows ends the call.
async fn a_release_that_names_us_is_proven_by_the_register(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_charge(&app, with(card("W-1", APPROVED), "capture", "manual"), ApiFaultKind::DropAfter).await;
    let number = app.sandbox.ledger().transactions.iter().map(|entry| entry.transaction_id).max().unwrap();
    app.at_provider("/payments/void", json!({ "TransactionId": number })).await;
    app.sandbox.flush_notifications().await;
    expect_seen(&app, &lost, "cancelled", "undetermined").await;
    settle(&app, 6).await;
    expect_seen(&app, &lost, "cancelled", "proven").await;
    app.finish().await;
}

fn part_of_the_bill() -> Body {
    json!({ "amount": "40.00", "currency": "KZT", "invoice_id": "W-1", "card": APPROVED })
}

/// Paid while somebody else answers Checks and hears what happened.
async fn paid_unseen(app: &TestApp, orders: &[Body]) {
    app.let_others_answer().await;
    for order in orders {
        app.pay(order.clone()).await;
    }
    app.answer_ourselves();
}

async fn end(app: &TestApp) {
    app.advance(4 * 86_400);
    app.running.app.expire_step().await.unwrap();
}

async fn a_payment_expires_beside_money_that_a_person_has_looked_at(engine: Engine) {
    let app = TestApp::start(engine).await;
    let window = app.create(widget("W-1")).await.expect(201);
    paid_unseen(&app, &[part_of_the_bill()]).await;
    assert_eq!(app.sync(window.id()).await.text("/attention"), "amount_mismatch");
    app.act(window.id(), "attention/resolve", json!({ "reason": "paid by somebody else" })).await.expect(200);
    end(&app).await;
    expect_seen(&app, &window, "expired", "proven").await;
    app.stop().await;
}

async fn money_of_another_sum_that_is_met_at_the_end_calls_a_person(engine: Engine) {
    let app = TestApp::start(engine).await;
    let window = app.create(widget("W-1")).await.expect(201);
    paid_unseen(&app, &[part_of_the_bill()]).await;
    end(&app).await;
    expect_seen(&app, &window, "awaiting_payer", "proven").await;
    assert_eq!(app.payment(window.id()).await.text("/attention"), "amount_mismatch");
    app.stop().await;
}

/// The bill shows its latest payment only.
async fn money_of_another_sum_hides_no_payment(engine: Engine) {
    for data in [None, Some(Value::Null)] {
        let app = TestApp::start(engine).await;
        let window = app.create(widget("W-1")).await.expect(201);
        let whole = order(&window, APPROVED);
        let whole = data.map_or(whole.clone(), |nothing| with(whole, "data", nothing));
        paid_unseen(&app, &[whole, part_of_the_bill()]).await;
        end(&app).await;
        expect_seen(&app, &window, "paid", "proven").await;
        app.stop().await;
    }
}

/// The provider may write the bill in its own way, and a payer can write our name into another one.
async fn a_record_that_names_us_for_another_bill_proves_nothing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_charge(&app, card("W-1", APPROVED), ApiFaultKind::DropAfter).await;
    let name = json!({ "payment_id": lost.id() }).to_string();
    let other = with(record(12_500, "Completed", AFTER), "InvoiceId", json!("W-01"));
    let other = with(other, "JsonData", json!(name));
    app.advance(OVER_S);
    app.break_answer(FIND, answer(&Value::Null));
    app.break_answer(LIST, answer(&json!([other])));
    app.running.app.settle_step().await.unwrap();
    expect_seen(&app, &lost, "processing", "undetermined").await;
    settle(&app, 600).await;
    expect_seen(&app, &lost, "paid", "proven").await;
    app.stop().await;
}

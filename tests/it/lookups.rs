//! What asking the provider proves, and what it does not.

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationKind};
use serde_json::{Value, json};

use crate::support::{
    APPROVED, CARD_NO_FUNDS, CARD_THREE_DS, Engine, Reply, TestApp, card, expect_sums, order, widget, with,
};

crate::on_both!(
    a_lost_charge_on_a_later_page_of_the_register_is_found,
    what_cannot_be_read_may_be_the_lost_charge,
    what_cannot_be_read_of_others_keeps_nobody_waiting,
    a_first_bank_that_asks_the_payer_does_not_decide_a_lost_charge,
    a_charge_of_another_payment_is_not_taken_for_the_lost_one,
    a_bill_that_another_payment_has_paid_does_not_pay_this_one,
    a_paid_payment_behind_another_one_of_its_bill_does_not_expire,
    a_paid_payment_of_a_clock_that_is_ahead_does_not_expire,
    a_hold_that_we_were_not_told_of_is_found_before_cancelled_is_told,
    an_unpaid_payment_does_not_end_while_the_provider_does_not_answer,
    payments_that_cannot_be_looked_at_do_not_keep_others_from_ending,
);

const CHARGE: &str = "/payments/cards/charge";
const LIST: &str = "/v2/payments/list";
/// The worker looks at so many payments in one step.
const STEP_LIMIT: usize = 50;
/// After so many seconds the provider can no longer be working on a charge.
const OVER_S: u32 = 15 * 60;

/// A charge whose answer and notification are lost.
async fn lost_charge(app: &TestApp, kind: ApiFaultKind) -> Reply {
    app.break_answer(CHARGE, kind);
    app.create(card("L-1", APPROVED)).await.expect(202)
}

/// Asks about every call that is due; what the payment shows then.
async fn settled(app: &TestApp, payment: &Reply, seconds: u32) -> (String, String) {
    app.advance(seconds);
    app.running.app.settle_step().await.unwrap();
    let seen = app.payment(payment.id()).await;
    (seen.text("/status").to_owned(), seen.text("/outcome/certainty").to_owned())
}

fn expected(status: &str, certainty: &str) -> (String, String) {
    (status.to_owned(), certainty.to_owned())
}

/// A full page of the register: payers of others, who wait at their bank, so nobody is notified.
async fn a_page_of_others(app: &TestApp) {
    let other =
        json!({ "amount": "100.00", "currency": "KZT", "invoice_id": "other", "card": CARD_THREE_DS }).to_string();
    for _ in 0..4 {
        let pay = || app.http.post(format!("{}/sandbox/pay", app.sandbox.base_url())).body(other.clone());
        app.at_once((0..25).map(|_| pay()).collect()).await;
    }
}

async fn a_lost_charge_on_a_later_page_of_the_register_is_found(engine: Engine) {
    let app = TestApp::start(engine).await;
    // Before it and after it: whichever end the register begins at, it is not on the first page.
    a_page_of_others(&app).await;
    app.lose(NotificationKind::Pay);
    let lost = lost_charge(&app, ApiFaultKind::DropAfter).await;
    a_page_of_others(&app).await;
    // The bill tells nothing.
    app.break_answer("/payments/find", ApiFaultKind::StatusBefore { status: 500 });
    assert_eq!(settled(&app, &lost, OVER_S).await, expected("paid", "proven"));
    app.finish().await;
}

async fn what_cannot_be_read_may_be_the_lost_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_charge(&app, ApiFaultKind::DropBefore).await;
    app.break_answer(LIST, one_item(&json!({ "TransactionId": "of a kind to come" })));
    assert_eq!(settled(&app, &lost, OVER_S).await, expected("processing", "undetermined"));
    app.break_answer(LIST, one_item(&pending("L-1", lost.id())));
    assert_eq!(settled(&app, &lost, 60).await, expected("processing", "undetermined"));
    // Our name travels through a browser; the bill does not.
    app.break_answer(LIST, one_item(&pending("L-1", "pay_01kaq0j5m8x2v9c4t7b1n6r3ed")));
    assert_eq!(settled(&app, &lost, 120).await, expected("processing", "undetermined"));
    assert_eq!(settled(&app, &lost, 240).await, expected("expired", "proven"));
    app.finish().await;
}

async fn what_cannot_be_read_of_others_keeps_nobody_waiting(engine: Engine) {
    let app = TestApp::start(engine).await;
    let other = app.create(card("L-1", APPROVED)).await.expect(201);
    for of_others in [pending("L-2", "pay_01kaq0j5m8x2v9c4t7b1n6r3ed"), pending("L-1", other.id())] {
        let lost = lost_charge(&app, ApiFaultKind::DropBefore).await;
        app.break_answer(LIST, one_item(&of_others));
        assert_eq!(settled(&app, &lost, OVER_S).await, expected("expired", "proven"));
    }
    app.finish().await;
}

fn pending(bill: &str, payment_id: &str) -> Value {
    let data = json!({ "payment_id": payment_id }).to_string();
    json!({ "TransactionId": 5_000_000_001_i64, "Type": 0, "Status": "Pending", "InvoiceId": bill, "JsonData": data })
}

fn one_item(item: &Value) -> ApiFaultKind {
    let page = json!({ "Model": [item], "Success": true, "Message": null });
    ApiFaultKind::StatusAfter { status: 200, body: Some(page.to_string()) }
}

/// The provider may try a second bank under the same call: what the first one does is no end of it.
async fn a_first_bank_that_asks_the_payer_does_not_decide_a_lost_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.lose(NotificationKind::Pay);
    let lost = lost_charge(&app, ApiFaultKind::DropAfter).await;
    let at_the_bank = json!({ "Model": [{
        "TransactionId": 5_000_000_001_i64, "Type": 0, "Status": "AwaitingAuthentication", "Amount": 12500, "Currency": "KZT",
        "InvoiceId": "L-1", "JsonData": json!({ "payment_id": lost.id() }).to_string(),
    }], "Success": true, "Message": null });
    app.break_answer("/payments/find", ApiFaultKind::StatusBefore { status: 500 });
    let page = ApiFaultKind::StatusAfter { status: 200, body: Some(at_the_bank.to_string()) };
    app.break_answer(LIST, page);
    assert_eq!(settled(&app, &lost, 60).await, expected("processing", "undetermined"));
    assert_eq!(settled(&app, &lost, OVER_S).await, expected("paid", "proven"));
    app.finish().await;
}

async fn a_charge_of_another_payment_is_not_taken_for_the_lost_one(engine: Engine) {
    let app = TestApp::start(engine).await;
    let other = app.create(card("L-1", APPROVED)).await.expect(201);
    let lost = lost_charge(&app, ApiFaultKind::DropBefore).await;
    assert_eq!(settled(&app, &lost, OVER_S).await, expected("expired", "proven"));
    assert_eq!(app.payment(other.id()).await.text("/status"), "paid");
    app.finish().await;
}

async fn a_bill_that_another_payment_has_paid_does_not_pay_this_one(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(widget("L-1")).await.expect(201);
    let open = app.create(widget("L-1")).await.expect(201);
    // Not even the Check comes to us: whose the transaction is, only the provider tells.
    app.let_others_answer().await;
    app.pay(order(&paid, APPROVED)).await;
    app.answer_ourselves();
    assert_eq!(app.sync(open.id()).await.text("/status"), "awaiting_payer");
    let paid = app.sync(paid.id()).await;
    assert_eq!(paid.text("/status"), "paid");
    expect_sums(&paid, "12500.00", "0.00", "12500.00");
    app.finish().await;
}

/// The payer paid in two tabs, and of the first hold nobody told us: releasing the second one does not end the payment.
/// A bill shows its latest attempt only.
async fn a_paid_payment_behind_another_one_of_its_bill_does_not_expire(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(widget("L-1")).await.expect(201);
    let other = app.create(widget("L-1")).await.expect(201);
    app.let_others_answer().await;
    app.pay(order(&paid, APPROVED)).await;
    app.pay(order(&other, CARD_NO_FUNDS)).await;
    app.answer_ourselves();
    app.advance(2 * 86_400);
    // Without the register nothing is known.
    app.break_answer(LIST, ApiFaultKind::StatusBefore { status: 500 });
    app.running.app.expire_step().await.unwrap();
    assert_eq!(app.payment(paid.id()).await.text("/status"), "awaiting_payer");
    app.advance(600);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(app.payment(paid.id()).await.text("/status"), "paid");
    assert_eq!(app.payment(other.id()).await.text("/status"), "expired");
    app.finish().await;
}

/// The provider's clock is ahead of ours: by it the payer paid after we looked.
async fn a_paid_payment_of_a_clock_that_is_ahead_does_not_expire(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(widget("L-1")).await.expect(201);
    let other = app.create(widget("L-1")).await.expect(201);
    app.advance(2 * 86_400);
    app.sandbox.advance_clock(40);
    app.let_others_answer().await;
    app.pay(order(&paid, APPROVED)).await;
    app.pay(order(&other, CARD_NO_FUNDS)).await;
    app.answer_ourselves();
    app.running.app.expire_step().await.unwrap();
    assert_eq!(app.payment(paid.id()).await.text("/status"), "paid");
    app.finish().await;
}

async fn a_hold_that_we_were_not_told_of_is_found_before_cancelled_is_told(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(with(widget("L-1"), "capture", "manual")).await.expect(201);
    app.lose(NotificationKind::Pay);
    app.pay(order(&created, APPROVED)).await;
    // Longer than a Check holds it.
    app.advance(400);
    app.pay(order(&created, APPROVED)).await;
    assert_eq!(app.payment(created.id()).await.text("/status"), "authorized");
    let first = app.act(created.id(), "cancel", json!({})).await.expect(200);
    assert_eq!(first.text("/status"), "authorized", "the other hold is still there");
    assert_ne!(first.text("/attention"), "");
    let second = app.act(created.id(), "cancel", json!({})).await.expect(200);
    assert_eq!(second.text("/status"), "cancelled");
    app.finish().await;
}

async fn an_unpaid_payment_does_not_end_while_the_provider_does_not_answer(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(with(widget("L-1"), "expires_in", 60)).await.expect(201);
    app.lose(NotificationKind::Pay);
    app.pay(order(&created, APPROVED)).await;
    // Longer than a Check holds it.
    app.advance(400);
    for asked in ["/payments/get", "/payments/find"] {
        app.break_answer(asked, ApiFaultKind::StatusBefore { status: 500 });
        app.running.app.expire_step().await.unwrap();
        assert_eq!(app.payment(created.id()).await.text("/status"), "awaiting_payer", "{asked}");
        app.advance(600);
    }
    app.running.app.expire_step().await.unwrap();
    assert_eq!(app.payment(created.id()).await.text("/status"), "paid");
    app.finish().await;
}

/// More than a step takes are never told of: their bill shows a stranger's attempt, and the register cannot be read.
async fn payments_that_cannot_be_looked_at_do_not_keep_others_from_ending(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.let_others_answer().await;
    app.pay(json!({ "amount": "700.00", "currency": "KZT", "invoice_id": "L-1", "card": APPROVED })).await;
    app.answer_ourselves();
    for _ in 0..STEP_LIMIT {
        app.create(with(widget("L-1"), "expires_in", 60)).await.expect(201);
    }
    let later = app.create(with(widget("L-2"), "expires_in", 60)).await.expect(201);
    app.sandbox.fault(Fault::api(LIST, ApiFaultKind::StatusBefore { status: 500 }).times(10_000));
    app.advance(160);
    assert_eq!(app.running.app.expire_step().await.unwrap(), STEP_LIMIT);
    assert_eq!(app.payment(later.id()).await.text("/status"), "awaiting_payer", "its turn comes next");
    assert_eq!(app.running.app.expire_step().await.unwrap(), 1);
    assert_eq!(app.payment(later.id()).await.text("/status"), "expired");
    // The pauses grow, up to ten minutes.
    for (passed, due) in [(150, STEP_LIMIT), (200, 0), (150, STEP_LIMIT), (550, 0), (100, STEP_LIMIT)] {
        app.advance(passed);
        assert_eq!(app.running.app.expire_step().await.unwrap(), due, "after {passed} s more");
    }
    app.sandbox.clear_faults();
    app.advance(601);
    app.running.app.expire_step().await.unwrap();
    let others = app.get("/v1/payments?invoice_id=L-1&limit=100").await.expect(200);
    let others = others.json["data"].as_array().unwrap();
    assert!(others.len() == STEP_LIMIT && others.iter().all(|payment| payment["status"] == "expired"), "{others:?}");
    app.stop().await;
}

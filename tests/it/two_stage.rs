//! Two stages: money is held, then taken or released.

use serde_json::json;

use crate::support::{
    APPROVED, Body, Engine, Reply, TestApp, card, expect_sums, money, order, transaction_id, widget, with,
};
use cloudpayments_sandbox::NotificationKind;

crate::on_both!(
    held_money_is_captured_in_full,
    part_of_held_money_is_captured_and_the_rest_released,
    a_window_payment_is_held_and_captured,
    more_than_held_is_not_captured,
    captures_happen_once,
    a_hold_is_released_by_cancel,
    captured_money_is_not_cancelled,
    a_hold_that_runs_out_is_cancelled,
    a_hold_that_ran_out_unnoticed_is_not_captured,
    a_withdrawn_payment_cannot_be_paid,
    a_withdrawn_payment_is_withdrawn_once,
);

fn manual(body: Body) -> Body {
    with(body, "capture", "manual")
}

/// A payment whose money is held.
async fn held(app: &TestApp) -> Reply {
    let payment = app.create(manual(card("T-1", APPROVED))).await.expect(201);
    assert_eq!(payment.text("/status"), "authorized");
    assert_eq!(payment.text("/authorized/value"), "12500.00");
    assert!(payment.json.get("captured").is_none() && payment.json.get("refundable").is_none());
    payment
}

fn part(value: &str) -> Body {
    json!({ "amount": money(value) })
}

async fn held_money_is_captured_in_full(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = held(&app).await;
    app.sandbox.flush_notifications().await;
    let paid = app.act(payment.id(), "capture", json!({})).await.expect(200);
    assert_eq!(paid.text("/status"), "paid");
    expect_sums(&paid, "12500.00", "0.00", "12500.00");
    app.sandbox.flush_notifications().await;
    assert_eq!(app.events(payment.id()).await, ["payment.authorized", "payment.paid"]);
    let rows = app.rows(payment.id()).await;
    assert_eq!((&rows[2]["from"], &rows[2]["to"]), (&json!("authorized"), &json!("authorized")));
    assert_eq!(rows[2]["cause"]["type"], "api");
    assert_eq!(rows.last().unwrap()["to"], "paid");
    app.finish().await;
}

async fn part_of_held_money_is_captured_and_the_rest_released(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = held(&app).await;
    let paid = app.act(payment.id(), "capture", part("10000.00")).await.expect(200);
    assert_eq!(paid.text("/status"), "paid");
    expect_sums(&paid, "10000.00", "0.00", "10000.00");
    assert_eq!(paid.text("/transactions/0/captured/value"), "10000.00");
    app.sandbox.flush_notifications().await;
    expect_sums(&app.payment(payment.id()).await, "10000.00", "0.00", "10000.00");
    app.refund(payment.id(), "10000.01").await.expect_problem(409, "refund_exceeds_captured");
    app.refund(payment.id(), "10000.00").await.expect(201);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "refunded");
    app.finish().await;
}

async fn a_window_payment_is_held_and_captured(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(manual(widget("T-1"))).await.expect(201);
    assert_eq!(created.text("/next_action/intent/paymentSchema"), "Dual");
    app.pay_in_widget(&created, APPROVED).await;
    assert_eq!(app.payment(created.id()).await.text("/status"), "authorized");
    assert_eq!(app.history(created.id()).await[1], "awaiting_payer>authorized by notification");
    let paid = app.act(created.id(), "capture", part("0.01")).await.expect(200);
    expect_sums(&paid, "0.01", "0.00", "0.01");
    app.finish().await;
}

async fn more_than_held_is_not_captured(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = held(&app).await;
    app.act(payment.id(), "capture", part("12500.01")).await.expect_problem(409, "capture_exceeds_authorized");
    let dollars = json!({ "amount": { "value": "1.00", "currency": "USD" } });
    let refused = app.act(payment.id(), "capture", dollars).await;
    assert!(matches!(refused.status, 409 | 422), "{}", refused.json);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "authorized");
    app.finish().await;
}

async fn captures_happen_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = held(&app).await;
    let path = format!("/v1/payments/{}/capture", payment.id());
    let first = app.post_as(&path, "capture-1", part("5000.00")).await.expect(200);
    let repeat = app.post_as(&path, "capture-1", part("5000.00")).await.expect(200);
    assert_eq!(repeat.bytes, first.bytes);
    app.act(payment.id(), "capture", part("5000.00")).await.expect_problem(409, "invalid_state");
    expect_sums(&app.payment(payment.id()).await, "5000.00", "0.00", "5000.00");
    app.finish().await;
}

async fn a_hold_is_released_by_cancel(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = held(&app).await;
    let cancelled = app.act(payment.id(), "cancel", json!({})).await.expect(200);
    assert_eq!(cancelled.text("/status"), "cancelled");
    assert_eq!(cancelled.text("/transactions/0/status"), "voided");
    app.sandbox.flush_notifications().await;
    assert_eq!(app.events(payment.id()).await, ["payment.authorized", "payment.cancelled"]);
    app.act(payment.id(), "capture", json!({})).await.expect_problem(409, "invalid_state");
    app.act(payment.id(), "cancel", json!({})).await.expect_problem(409, "invalid_state");
    app.finish().await;
}

async fn captured_money_is_not_cancelled(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = held(&app).await;
    app.act(payment.id(), "capture", json!({})).await.expect(200);
    app.act(payment.id(), "cancel", json!({})).await.expect_problem(409, "invalid_state");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    app.finish().await;
}

async fn run_out(app: &TestApp, payment: &Reply) {
    let body = json!({ "transaction_id": transaction_id(payment) });
    app.at_sandbox("/sandbox/cabinet/auto_void", body).await.expect(200);
    app.sandbox.flush_notifications().await;
}

async fn a_hold_that_runs_out_is_cancelled(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = held(&app).await;
    app.sandbox.flush_notifications().await;
    run_out(&app, &payment).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "cancelled");
    assert_eq!(app.history(payment.id()).await.pop().unwrap(), "authorized>cancelled by notification");
    assert_eq!(app.events(payment.id()).await, ["payment.authorized", "payment.cancelled"]);
    app.finish().await;
}

async fn a_hold_that_ran_out_unnoticed_is_not_captured(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = held(&app).await;
    app.lose(NotificationKind::Cancel);
    run_out(&app, &payment).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "authorized");
    app.act(payment.id(), "capture", json!({})).await.expect_problem(409, "provider_refused");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "cancelled");
    assert_eq!(app.history(payment.id()).await.pop().unwrap(), "authorized>cancelled by lookup");
    app.finish().await;
}

async fn a_withdrawn_payment_cannot_be_paid(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("T-1")).await.expect(201);
    let cancelled = app.act(created.id(), "cancel", json!({})).await.expect(200);
    assert_eq!(cancelled.text("/status"), "cancelled");
    assert!(cancelled.json.get("next_action").is_none());
    assert_eq!(app.history(created.id()).await, [">awaiting_payer by api", "awaiting_payer>cancelled by api"]);
    let refused = app.pay(order(&created, APPROVED)).await;
    assert_eq!(refused.json["reason_code"], 3008);
    assert_eq!(app.payment(created.id()).await.text("/status"), "cancelled");
    assert_eq!(app.charges(), 0);
    app.finish().await;
}

async fn a_withdrawn_payment_is_withdrawn_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("T-1")).await.expect(201);
    let path = format!("/v1/payments/{}/cancel", created.id());
    let first = app.post_as(&path, "cancel-1", json!({})).await.expect(200);
    let repeat = app.post_as(&path, "cancel-1", json!({})).await.expect(200);
    assert_eq!(repeat.bytes, first.bytes);
    app.act(created.id(), "cancel", json!({})).await.expect_problem(409, "invalid_state");
    assert_eq!(app.events(created.id()).await, ["payment.cancelled"]);
    app.finish().await;
}

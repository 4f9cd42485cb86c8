//! Cards without 3-D Secure.

use cloudpayments_sandbox::NotificationKind;
use serde_json::{Value, json};

use crate::support::{APPROVED, CARD_NO_FUNDS, Engine, Reply, TestApp, card, expect_sums, transaction_id};

crate::on_both!(
    an_approved_card_is_paid_at_once,
    the_charge_is_recorded_with_cause_and_actor,
    a_card_without_funds_is_declined,
    a_decline_by_the_bank_has_its_category,
    a_declined_payment_can_be_followed_by_another_of_the_same_invoice,
    a_repeat_under_the_same_key_gets_the_same_bytes,
);

async fn an_approved_card_is_paid_at_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("C-1", APPROVED)).await.expect(201);
    assert_eq!(payment.text("/status"), "paid");
    assert_eq!(payment.text("/outcome/certainty"), "proven");
    expect_sums(&payment, "12500.00", "0.00", "12500.00");
    assert_eq!(payment.json["card"]["brand"], "visa");
    assert_eq!(payment.json["card"]["first_six"], "400000");
    assert_eq!(payment.json["card"]["last_four"], "3055");
    assert_eq!(payment.json["test_mode"], true);
    assert_eq!(payment.text("/transactions/0/kind"), "payment");
    assert_eq!(payment.text("/transactions/0/status"), "completed");
    assert_eq!(payment.text("/transactions/0/amount/value"), "12500.00");
    assert!(transaction_id(&payment) > i64::from(i32::MAX));
    assert!(payment.json.get("next_action").is_none() && payment.json.get("decline").is_none());
    assert!(!payment.page().contains(APPROVED));
    app.finish().await;
}

async fn the_charge_is_recorded_with_cause_and_actor(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.lose(NotificationKind::Pay);
    let payment = app.create(card("C-1", APPROVED)).await.expect(201);
    assert_eq!(app.history(payment.id()).await, [">processing by api", "processing>paid by provider_answer"]);
    let rows = app.rows(payment.id()).await;
    assert_eq!(rows[1]["actor"], "cloudpayments");
    assert_eq!(rows[1]["transaction_id"], transaction_id(&payment));
    assert_ne!(rows[0]["actor"], rows[1]["actor"]);
    assert_eq!(app.events(payment.id()).await, ["payment.paid"]);
    app.finish().await;
}

#[track_caller]
fn expect_decline(payment: &Reply, reason_code: i64, category: &str, retryable: bool) {
    assert_eq!(payment.text("/status"), "declined");
    let decline = &payment.json["decline"];
    assert_eq!(decline["reason_code"], reason_code);
    assert_eq!(decline["category"], category);
    assert_eq!(decline["retryable"], retryable);
    let texts: Vec<&str> =
        ["kk", "ru", "en"].iter().map(|language| decline["message"][language].as_str().unwrap()).collect();
    assert!(texts.iter().all(|text| !text.is_empty()), "{texts:?}");
    assert!(texts[0] != texts[1] && texts[1] != texts[2] && texts[0] != texts[2], "{texts:?}");
    assert_eq!(decline["support"]["email"], "info@kmic.kz");
    assert!(payment.json.get("captured").is_none() && payment.json.get("refundable").is_none());
}

async fn a_card_without_funds_is_declined(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("C-1", CARD_NO_FUNDS)).await.expect(201);
    expect_decline(&payment, 5051, "insufficient_funds", true);
    app.sandbox.flush_notifications().await;
    assert_eq!(app.events(payment.id()).await, ["payment.declined"]);
    assert_eq!(app.rows(payment.id()).await.len(), 2);
    assert_eq!(app.charges(), 0);
    app.finish().await;
}

async fn a_decline_by_the_bank_has_its_category(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut body = card("C-1", APPROVED);
    body["method"]["cardholder_name"] = json!("DECLINE 5005");
    let payment = app.create(body).await.expect(201);
    expect_decline(&payment, 5005, "card_restricted", false);
    assert_eq!(payment.json["transactions"][0]["reason_code"], 5005);
    app.finish().await;
}

async fn a_declined_payment_can_be_followed_by_another_of_the_same_invoice(engine: Engine) {
    let app = TestApp::start(engine).await;
    let declined = app.create(card("C-1", CARD_NO_FUNDS)).await.expect(201);
    let paid = app.create(card("C-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    assert_eq!(app.payment(declined.id()).await.text("/status"), "declined");
    assert_eq!(app.payment(paid.id()).await.text("/status"), "paid");
    let statuses: Vec<Value> = app.of_invoice("C-1").await.iter().map(|payment| payment["status"].clone()).collect();
    assert_eq!(statuses, ["paid", "declined"]);
    app.finish().await;
}

async fn a_repeat_under_the_same_key_gets_the_same_bytes(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = card("C-1", APPROVED);
    let first = app.post_as("/v1/payments", "order-1", body.clone()).await.expect(201);
    app.refund(first.id(), "100.00").await.expect(201);
    let repeat = app.post_as("/v1/payments", "order-1", body).await.expect(201);
    assert_eq!(repeat.bytes, first.bytes);
    assert_eq!((first.header("idempotent-replayed"), repeat.header("idempotent-replayed")), ("", "true"));
    let other = app.post_as("/v1/payments", "order-1", card("C-2", APPROVED)).await;
    other.expect_problem(422, "idempotency_key_reused");
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

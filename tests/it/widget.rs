//! Payments in the provider's window: what the site shows, what Check refuses, what becomes of attempts.

use cloudpayments_sandbox::NotificationKind;
use kmic_payments::domain::scope::Scope;
use serde_json::json;

use crate::support::{
    APPROVED, Body, CARD_NO_FUNDS, Engine, Reply, TestApp, expect_sums, order, transaction_id, widget, with,
};

crate::on_both!(
    the_intent_is_complete,
    a_paid_window_payment_is_recorded_with_cause_and_actor,
    a_declined_attempt_leaves_the_payment_to_the_payer,
    check_refuses_another_amount,
    check_refuses_another_currency,
    check_refuses_an_unknown_invoice,
    check_refuses_our_payment_under_another_invoice,
    check_refuses_another_account,
    check_refuses_what_is_already_paid,
    check_refuses_what_is_expired,
    two_tabs_never_charge_twice,
    a_lost_refusal_holds_the_payment_for_a_moment_only,
    an_operator_sees_which_attempt_holds_the_payment,
    money_that_nobody_told_of_is_found_after_the_hold,
    attempts_that_are_settled_take_nobodys_turn,
    a_payment_without_data_is_found_by_its_invoice,
);

async fn the_intent_is_complete(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("W-1")).await.expect(201);
    assert_eq!(payment.text("/status"), "awaiting_payer");
    assert_eq!(payment.header("location"), format!("/v1/payments/{}", payment.id()));
    assert_eq!(payment.text("/next_action/type"), "open_widget");
    assert!(payment.text("/next_action/script_url").starts_with("https://"));
    let intent = &payment.json["next_action"]["intent"];
    assert_eq!(intent["publicTerminalId"], app.sandbox.public_id());
    assert_eq!(intent["paymentSchema"], "Single");
    assert!(intent["amount"].is_number() && payment.page().contains("\"amount\":12500.00"), "{intent}");
    assert_eq!(intent["currency"], "KZT");
    assert_eq!(intent["externalId"], "W-1");
    assert_eq!(intent["metadata"]["payment_id"], payment.id());
    assert_eq!(intent["userInfo"]["accountId"], "user-42");
    app.finish().await;
}

async fn a_paid_window_payment_is_recorded_with_cause_and_actor(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    assert!(created.json.get("test_mode").is_none() && created.json.get("captured").is_none());
    app.pay_in_widget(&created, APPROVED).await;
    let payment = app.payment(created.id()).await;
    assert_eq!(payment.text("/status"), "paid");
    assert_eq!(payment.json["test_mode"], true);
    assert!(payment.json.get("next_action").is_none());
    expect_sums(&payment, "12500.00", "0.00", "12500.00");
    assert_eq!(app.history(payment.id()).await, [">awaiting_payer by api", "awaiting_payer>paid by notification"]);
    let last = app.rows(payment.id()).await.pop().unwrap();
    assert_eq!(last["actor"], "cloudpayments");
    assert_eq!(last["transaction_id"], transaction_id(&payment));
    assert_eq!(app.events(payment.id()).await, ["payment.paid"]);
    app.finish().await;
}

async fn a_declined_attempt_leaves_the_payment_to_the_payer(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    app.pay_in_widget(&created, CARD_NO_FUNDS).await;
    let payment = app.payment(created.id()).await;
    assert_eq!(payment.text("/status"), "awaiting_payer");
    assert_eq!(payment.text("/next_action/type"), "open_widget");
    assert_eq!(payment.text("/decline/category"), "insufficient_funds");
    assert_eq!(payment.text("/transactions/0/status"), "declined");
    assert_eq!(payment.json["transactions"][0]["reason_code"], 5051);
    assert_eq!(app.events(payment.id()).await, ["payment.attempt_declined"]);

    app.pay_in_widget(&created, APPROVED).await;
    let payment = app.payment(created.id()).await;
    assert_eq!(payment.text("/status"), "paid");
    assert!(payment.json.get("decline").is_none());
    assert_eq!(payment.json["transactions"].as_array().unwrap().len(), 2);
    assert_eq!(app.events(payment.id()).await, ["payment.attempt_declined", "payment.paid"]);
    let history = app.history(payment.id()).await;
    assert_eq!(history[1..], ["awaiting_payer>awaiting_payer by notification", "awaiting_payer>paid by notification"]);
    app.finish().await;
}

/// An order that Check must refuse for `reason`, and the payment as it stands after it.
async fn refused(app: &TestApp, created: &Reply, order: Body, reason: u16) -> Reply {
    let reply = app.pay(order).await;
    assert_eq!(reply.text("/status"), "Declined", "{}", reply.json);
    assert_eq!(reply.json["reason_code"], reason);
    app.payment(created.id()).await
}

/// Starts a payment, changes one field of the payer's order, and expects a refusal that changes nothing.
async fn check_refuses(engine: Engine, field: &str, value: impl Into<Body>, reason: u16) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    let payment = refused(&app, &created, with(order(&created, APPROVED), field, value), reason).await;
    assert_eq!(payment.text("/status"), "awaiting_payer");
    assert!(payment.json.get("captured").is_none());
    app.pay_in_widget(&created, APPROVED).await;
    assert_eq!(app.payment(created.id()).await.text("/status"), "paid");
    app.finish().await;
}

async fn check_refuses_another_amount(engine: Engine) {
    check_refuses(engine, "amount", "12499.99", 3003).await;
}

async fn check_refuses_another_currency(engine: Engine) {
    check_refuses(engine, "currency", "RUB", 3003).await;
}

async fn check_refuses_another_account(engine: Engine) {
    check_refuses(engine, "account_id", "somebody-else", 3002).await;
}

async fn check_refuses_our_payment_under_another_invoice(engine: Engine) {
    check_refuses(engine, "invoice_id", "W-OTHER", 3001).await;
}

async fn check_refuses_an_unknown_invoice(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    let unknown = with(with(order(&created, APPROVED), "invoice_id", "W-NONE"), "data", Body::Null);
    let payment = refused(&app, &created, unknown, 3001).await;
    assert_eq!(payment.json["transactions"], json!([]));
    let stored = app.get("/v1/notifications").await.expect(200);
    let verdicts: Vec<_> = stored.json["data"].as_array().unwrap().iter().map(|row| row["verdict"].clone()).collect();
    assert_eq!(verdicts, ["unmatched", "refused"]);
    assert!(app.events(created.id()).await.is_empty());
    app.finish().await;
}

async fn check_refuses_what_is_already_paid(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    app.pay_in_widget(&created, APPROVED).await;
    let payment = refused(&app, &created, order(&created, APPROVED), 3008).await;
    assert_eq!(payment.text("/status"), "paid");
    assert!(payment.json.get("decline").is_none());
    expect_sums(&payment, "12500.00", "0.00", "12500.00");
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn check_refuses_what_is_expired(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(with(widget("W-1"), "expires_in", 600)).await.expect(201);
    app.advance(601);
    let payment = refused(&app, &created, order(&created, APPROVED), 3004).await;
    assert_eq!(payment.text("/status"), "awaiting_payer");

    assert_eq!(app.running.app.expire_step().await.unwrap(), 1);
    let payment = refused(&app, &created, order(&created, APPROVED), 3004).await;
    assert_eq!(payment.text("/status"), "expired");
    let rows = app.rows(created.id()).await;
    let expiry = rows.iter().find(|row| row["to"] == "expired").unwrap();
    assert_eq!((&expiry["cause"]["type"], &expiry["actor"]), (&json!("expiry"), &json!("worker:expire")));
    app.finish().await;
}

async fn two_tabs_never_charge_twice(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    let pay = || app.at_sandbox("/sandbox/pay", order(&created, APPROVED));
    let (one, other) = tokio::join!(pay(), pay());
    app.sandbox.flush_notifications().await;
    let mut codes = [one.json["reason_code"].as_i64(), other.json["reason_code"].as_i64()];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(3008)]);
    let payment = app.payment(created.id()).await;
    assert_eq!(payment.text("/status"), "paid");
    expect_sums(&payment, "12500.00", "0.00", "12500.00");
    assert_eq!(app.charges(), 1);
    assert_eq!(app.events(payment.id()).await.iter().filter(|kind| *kind == "payment.paid").count(), 1);
    app.finish().await;
}

/// Why each attempt was refused.
fn reasons(payment: &Reply) -> Vec<i64> {
    let attempts = payment.json["transactions"].as_array().unwrap();
    attempts.iter().filter_map(|attempt| attempt["reason_code"].as_i64()).collect()
}

/// The notification of a refused card is lost: the payer's next card is let through as soon as the provider was asked.
async fn a_lost_refusal_holds_the_payment_for_a_moment_only(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    app.lose(NotificationKind::Fail);
    app.pay_in_widget(&created, CARD_NO_FUNDS).await;
    app.running.app.settle_step().await.unwrap();
    // Most outcomes are told sooner, so nobody was asked yet.
    let payment = refused(&app, &created, order(&created, APPROVED), 3008).await;
    assert_eq!(reasons(&payment), [3008]);
    assert!(payment.text("/decline/message/en").contains("may already be paid"), "{}", payment.json);
    app.advance(21);
    app.running.app.settle_step().await.unwrap();
    let payment = app.payment(created.id()).await;
    assert_eq!((payment.text("/status"), reasons(&payment)), ("awaiting_payer", vec![5051, 3008]));
    assert!(payment.json.get("held_by").is_none());
    app.pay_in_widget(&created, APPROVED).await;
    assert_eq!(app.payment(created.id()).await.text("/status"), "paid");
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

/// What was noted in the process that let the attempt through is gone: the next one reads it from the books.
async fn an_operator_sees_which_attempt_holds_the_payment(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    app.lose(NotificationKind::Fail);
    let attempt = app.pay_in_widget(&created, CARD_NO_FUNDS).await.json["transaction_id"].clone();
    assert!(attempt.is_i64(), "{attempt}");
    let path = format!("/v1/payments/{}", created.id());
    let seen = app.get(&path).await.expect(200);
    assert_eq!(seen.json["held_by"]["transaction_id"], attempt);
    assert!(seen.text("/held_by/until") > seen.text("/held_by/since"), "{}", seen.json);
    let of_site = app.new_key(&[Scope::PaymentsRead, Scope::PaymentsWrite]).await;
    let theirs = app.http.get(format!("{}{path}", app.url)).bearer_auth(of_site);
    assert!(Reply::receive(theirs).await.expect(200).json.get("held_by").is_none());

    let app = app.restart_with(|raw| raw.with("reconciliation.check_at_start", "false")).await;
    assert_eq!(app.payment(created.id()).await.json["held_by"]["transaction_id"], attempt);
    app.advance(60);
    app.running.app.settle_step().await.unwrap();
    let payment = app.payment(created.id()).await;
    assert!(payment.json.get("held_by").is_none() && payment.json["transactions"][0]["transaction_id"] == attempt);
    assert_eq!(reasons(&payment), [5051]);
    app.pay_in_widget(&created, APPROVED).await;
    assert_eq!(app.payment(created.id()).await.text("/status"), "paid");
    app.finish().await;
}

/// The provider could not be asked while the attempt held the payment.
async fn money_that_nobody_told_of_is_found_after_the_hold(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    app.lose(NotificationKind::Pay);
    app.pay_in_widget(&created, APPROVED).await;
    app.advance(400);
    app.running.app.settle_step().await.unwrap();
    assert_eq!(app.payment(created.id()).await.text("/status"), "paid");
    app.finish().await;
}

/// One step asks about 20 attempts.
async fn attempts_that_are_settled_take_nobodys_turn(engine: Engine) {
    let app = TestApp::start(engine).await;
    for number in 1..=20 {
        let created = app.create(widget(&format!("W-{number}"))).await.expect(201);
        app.pay_in_widget(&created, APPROVED).await;
    }
    let created = app.create(widget("W-21")).await.expect(201);
    app.lose(NotificationKind::Pay);
    app.pay_in_widget(&created, APPROVED).await;
    app.advance(21);
    app.running.app.settle_step().await.unwrap();
    assert_eq!(app.payment(created.id()).await.text("/status"), "paid");
    app.finish().await;
}

async fn a_payment_without_data_is_found_by_its_invoice(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("W-1")).await.expect(201);
    app.pay(with(order(&created, APPROVED), "data", Body::Null)).await;
    let payment = app.payment(created.id()).await;
    assert_eq!(payment.text("/status"), "paid");
    expect_sums(&payment, "12500.00", "0.00", "12500.00");
    // Without our id in its data the sandbox's ledger cannot tell whose payment it is.
    app.stop().await;
}

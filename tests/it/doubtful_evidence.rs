//! Evidence that could be read in two ways: the books never take the convenient one.

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationFaultKind, NotificationKind};
use serde_json::json;

use crate::support::{APPROVED, Engine, TestApp, card, money, widget, with};

crate::on_both!(
    a_pay_of_another_sum_after_its_check_does_not_pay,
    a_pay_in_another_currency_after_its_check_does_not_pay,
    a_refusal_of_another_attempt_does_not_decide_a_lost_charge,
    a_lost_capture_took_what_was_asked_for,
    a_second_refund_in_the_name_of_one_is_seen,
    a_confirm_of_more_than_was_held_is_seen,
    a_direct_pay_of_a_part_is_no_capture,
    a_hold_heard_of_after_a_part_of_it_was_taken_counts,
    a_hold_that_was_not_asked_for_is_taken_in_part_in_the_cabinet,
    paid_twice_is_seen_whichever_sum_came_first,
);

fn fields<'a>(amount: &'a str, currency: &'a str, status: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("TransactionId", "5000000001"),
        ("InvoiceId", "KM-1"),
        ("AccountId", "user-42"),
        ("OperationType", "Payment"),
        ("Amount", amount),
        ("Currency", currency),
        ("Status", status),
    ]
}

async fn checked_then_paid(engine: Engine, amount: &str, currency: &str) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    app.notify("check", &fields("12500.00", "KZT", "Completed")).await;
    app.notify("pay", &fields(amount, currency, "Completed")).await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/attention")), ("awaiting_payer", "amount_mismatch"), "{}", seen.json);
    assert_eq!(seen.text("/captured/value"), "");
    app.stop().await;
}

async fn a_pay_of_another_sum_after_its_check_does_not_pay(engine: Engine) {
    checked_then_paid(engine, "100.00", "KZT").await;
}

async fn a_pay_in_another_currency_after_its_check_does_not_pay(engine: Engine) {
    checked_then_paid(engine, "12500.00", "USD").await;
}

async fn a_refusal_of_another_attempt_does_not_decide_a_lost_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.sandbox.fault(Fault::api("/payments/cards/charge", ApiFaultKind::DropAfter));
    app.sandbox.fault(Fault::notification(NotificationKind::Pay, NotificationFaultKind::Lose));
    let payment = app.create(card("KM-1", APPROVED)).await.expect(202);
    let data = json!({ "payment_id": payment.id() }).to_string();
    let mut refused = fields("12500.00", "KZT", "Declined");
    refused.extend([("ReasonCode", "5051"), ("Data", data.as_str())]);
    app.notify("fail", &refused).await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/outcome/certainty")), ("processing", "undetermined"));
    app.post(&format!("/v1/payments/{}/sync", payment.id()), json!({})).await.expect(200);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    app.finish().await;
}

async fn a_lost_capture_took_what_was_asked_for(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(with(card("KM-1", APPROVED), "capture", json!("manual"))).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.sandbox.fault(Fault::api("/payments/confirm", ApiFaultKind::DropAfter));
    app.sandbox.fault(Fault::notification(NotificationKind::Confirm, NotificationFaultKind::Lose));
    let path = format!("/v1/payments/{}/capture", payment.id());
    app.post(&path, json!({ "amount": money("5000.00") })).await.expect(202);
    let number = payment.json["transactions"][0]["transaction_id"].as_i64().unwrap().to_string();
    let mut confirm = fields("12500.00", "KZT", "Completed");
    confirm.retain(|(name, _)| !["TransactionId", "OperationType"].contains(name));
    confirm.push(("TransactionId", number.as_str()));
    app.notify("confirm", &confirm).await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/captured/value")), ("paid", "5000.00"), "{}", seen.json);
    app.finish().await;
}

async fn a_second_refund_in_the_name_of_one_is_seen(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    let refund = app.refund(payment.id(), "2500.00").await.expect(201);
    let number = payment.json["transactions"][0]["transaction_id"].as_i64().unwrap().to_string();
    let data = json!({ "payment_id": payment.id(), "refund_id": refund.id() }).to_string();
    let twice = [
        ("TransactionId", "5000000002"),
        ("PaymentTransactionId", number.as_str()),
        ("Amount", "2500.00"),
        ("OperationType", "Refund"),
        ("Data", data.as_str()),
    ];
    app.notify("refund", &twice).await;
    let seen = app.payment(payment.id()).await;
    assert_eq!(seen.text("/refunded/value"), "5000.00", "{}", seen.json);
    app.stop().await;
}

async fn a_confirm_of_more_than_was_held_is_seen(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(with(widget("KM-1"), "capture", json!("manual"))).await.expect(201);
    app.notify("pay", &fields("12500.00", "KZT", "Authorized")).await;
    let mut confirm = fields("13000.00", "KZT", "Completed");
    confirm.retain(|(name, _)| *name != "OperationType");
    app.notify("confirm", &confirm).await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/attention")), ("paid", "amount_mismatch"), "{}", seen.json);
    assert_eq!(seen.text("/captured/value"), "12500.00");
    app.stop().await;
}

async fn a_direct_pay_of_a_part_is_no_capture(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(with(widget("KM-1"), "capture", json!("manual"))).await.expect(201);
    app.notify("pay", &fields("100.00", "KZT", "Completed")).await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/attention")), ("awaiting_payer", "amount_mismatch"), "{}", seen.json);
    app.stop().await;
}

/// The notification of the hold comes after what tells of the capture: the same as the other way round.
async fn a_hold_heard_of_after_a_part_of_it_was_taken_counts(engine: Engine) {
    for hold_first in [true, false] {
        let app = TestApp::start(engine).await;
        let payment = app.create(with(widget("KM-1"), "capture", json!("manual"))).await.expect(201);
        let (hold, part) = (fields("12500.00", "KZT", "Authorized"), fields("100.00", "KZT", "Completed"));
        for told in if hold_first { [&hold, &part] } else { [&part, &hold] } {
            app.notify("pay", told).await;
        }
        let seen = app.payment(payment.id()).await;
        assert_eq!((seen.text("/status"), seen.text("/captured/value")), ("paid", "100.00"), "{}", seen.json);
        app.stop().await;
    }
}

/// A terminal that holds whatever it is asked, and a person who takes a part: booked as it was, and shown to somebody.
async fn a_hold_that_was_not_asked_for_is_taken_in_part_in_the_cabinet(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    app.notify("pay", &fields("12500.00", "KZT", "Authorized")).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "authorized");
    let mut confirm = fields("5000.00", "KZT", "Completed");
    confirm.retain(|(name, _)| *name != "OperationType");
    app.notify("confirm", &confirm).await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/attention")), ("paid", "amount_mismatch"), "{}", seen.json);
    assert_eq!((seen.text("/captured/value"), seen.text("/refundable/value")), ("5000.00", "5000.00"));
    app.stop().await;
}

async fn paid_twice_is_seen_whichever_sum_came_first(engine: Engine) {
    for other_sum_first in [true, false] {
        let app = TestApp::start(engine).await;
        let payment = app.create(widget("KM-1")).await.expect(201);
        app.notify("pay", &fields("12500.00", "KZT", "Completed")).await;
        let again = |number, amount| {
            let mut told = fields(amount, "KZT", "Completed");
            told.retain(|(name, _)| *name != "TransactionId");
            told.push(("TransactionId", number));
            told
        };
        let (same, other) = (again("5000000002", "12500.00"), again("5000000003", "100.00"));
        for told in if other_sum_first { [&other, &same] } else { [&same, &other] } {
            app.notify("pay", told).await;
        }
        let seen = app.payment(payment.id()).await;
        assert_eq!((seen.text("/status"), seen.text("/attention")), ("paid", "paid_twice"), "{}", seen.json);
        app.stop().await;
    }
}

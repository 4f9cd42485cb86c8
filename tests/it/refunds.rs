//! Giving money back: never more than was taken, by whichever way.

use serde_json::{Value, json};

use crate::support::{
    APPROVED, CARD_NO_FUNDS, Engine, Reply, TestApp, card, expect_sums, money, order, transaction_id, widget,
};
use cloudpayments_sandbox::NotificationKind;

crate::on_both!(
    all_that_is_left_is_refunded_by_default,
    parts_are_refunded_until_nothing_is_left,
    two_refunds_at_once_never_exceed_what_was_taken,
    a_repeat_under_the_same_key_refunds_once,
    a_refund_in_the_cabinet_is_booked,
    what_the_cabinet_gave_back_cannot_be_refunded_again,
    unpaid_money_is_not_refunded,
    an_expected_sum_that_differs_stops_the_refund,
    refunds_are_listed_newest_first,
    a_refund_that_the_provider_refuses_fails_and_gives_the_sum_free,
    another_currency_is_not_refunded,
);

async fn paid(app: &TestApp) -> Reply {
    let payment = app.create(card("R-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.payment(payment.id()).await
}

async fn all_that_is_left_is_refunded_by_default(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let refund = app.act(payment.id(), "refunds", json!({ "reason": "Withdrawn" })).await.expect(201);
    assert_eq!(refund.header("location"), format!("/v1/refunds/{}", refund.id()));
    assert_eq!(refund.text("/status"), "succeeded");
    assert_eq!(refund.text("/amount/value"), "12500.00");
    assert_eq!(refund.text("/reason"), "Withdrawn");
    assert_eq!(refund.text("/payment_id"), payment.id());
    app.sandbox.flush_notifications().await;

    let refunded = app.payment(payment.id()).await;
    assert_eq!(refunded.text("/status"), "refunded");
    expect_sums(&refunded, "12500.00", "12500.00", "0.00");
    assert_eq!(refunded.text("/transactions/1/kind"), "refund");
    assert_eq!(refunded.text("/transactions/1/refund_id"), refund.id());
    assert_eq!(refunded.json["transactions"][1]["parent_transaction_id"], transaction_id(&payment));
    assert_eq!(refunded.json["transactions"][1]["transaction_id"], refund.json["transaction_id"]);
    assert_eq!(app.history(payment.id()).await[2], "paid>paid by api");
    assert_eq!(app.events(payment.id()).await, ["payment.paid", "refund.succeeded"]);
    app.finish().await;
}

async fn parts_are_refunded_until_nothing_is_left(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    for (part, refunded, left) in
        [("5000.00", "5000.00", "7500.00"), ("0.01", "5000.01", "7499.99"), ("7499.98", "12499.99", "0.01")]
    {
        app.refund(payment.id(), part).await.expect(201);
        let now = app.payment(payment.id()).await;
        assert_eq!(now.text("/status"), "partially_refunded");
        expect_sums(&now, "12500.00", refunded, left);
    }
    app.refund(payment.id(), "0.02").await.expect_problem(409, "refund_exceeds_captured");
    app.refund(payment.id(), "0.01").await.expect(201);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "refunded");
    app.refund(payment.id(), "0.01").await.expect_problem(409, "refund_exceeds_captured");
    app.act(payment.id(), "refunds", json!({})).await.expect_problem(409, "refund_exceeds_captured");
    app.sandbox.flush_notifications().await;
    let events = app.events(payment.id()).await;
    assert_eq!(events.iter().filter(|kind| *kind == "refund.succeeded").count(), 4, "{events:?}");
    app.finish().await;
}

async fn two_refunds_at_once_never_exceed_what_was_taken(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let (one, other) = tokio::join!(app.refund(payment.id(), "7000.00"), app.refund(payment.id(), "7000.00"));
    let (kept, refused) = if one.status == 201 { (one, other) } else { (other, one) };
    assert_eq!(kept.expect(201).text("/status"), "succeeded");
    refused.expect_problem(409, "refund_exceeds_captured");
    expect_sums(&app.payment(payment.id()).await, "12500.00", "7000.00", "5500.00");
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

async fn a_repeat_under_the_same_key_refunds_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let path = format!("/v1/payments/{}/refunds", payment.id());
    let body = json!({ "amount": money("100.00") });
    let first = app.post_as(&path, "refund-1", body.clone()).await.expect(201);
    let repeat = app.post_as(&path, "refund-1", body).await.expect(201);
    assert_eq!(repeat.bytes, first.bytes);
    assert_eq!(repeat.header("idempotent-replayed"), "true");
    app.post_as(&path, "refund-1", json!({})).await.expect_problem(422, "idempotency_key_reused");
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

async fn a_refund_in_the_cabinet_is_booked(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    app.refund_in_cabinet(transaction_id(&payment), 2500).await;
    let now = app.payment(payment.id()).await;
    assert_eq!(now.text("/status"), "partially_refunded");
    expect_sums(&now, "12500.00", "2500.00", "10000.00");
    assert_eq!(app.history(payment.id()).await.pop().unwrap(), "paid>partially_refunded by notification");
    assert_eq!(app.events(payment.id()).await, ["payment.paid", "refund.succeeded"]);
    app.finish().await;
}

async fn what_the_cabinet_gave_back_cannot_be_refunded_again(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    app.refund_in_cabinet(transaction_id(&payment), 2500).await;
    app.refund(payment.id(), "10000.01").await.expect_problem(409, "refund_exceeds_captured");
    let rest = app.act(payment.id(), "refunds", json!({})).await.expect(201);
    assert_eq!(rest.text("/amount/value"), "10000.00");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "refunded");
    app.finish().await;
}

async fn unpaid_money_is_not_refunded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("R-1")).await.expect(201);
    app.refund(created.id(), "1.00").await.expect_problem(409, "invalid_state");
    app.pay(order(&created, CARD_NO_FUNDS)).await;
    app.refund(created.id(), "1.00").await.expect_problem(409, "invalid_state");
    let declined = app.create(card("R-2", CARD_NO_FUNDS)).await.expect(201);
    app.refund(declined.id(), "1.00").await.expect_problem(409, "invalid_state");
    assert_eq!(app.get(&format!("/v1/payments/{}/refunds", created.id())).await.json["data"], json!([]));
    app.finish().await;
}

async fn an_expected_sum_that_differs_stops_the_refund(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let body = |expected: &str| json!({ "amount": money("500.00"), "expected_refundable": money(expected) });
    app.act(payment.id(), "refunds", body("12500.00")).await.expect(201);
    app.act(payment.id(), "refunds", body("12500.00")).await.expect_problem(412, "refundable_differs");
    app.act(payment.id(), "refunds", body("12000.00")).await.expect(201);
    expect_sums(&app.payment(payment.id()).await, "12500.00", "1000.00", "11500.00");
    app.finish().await;
}

async fn refunds_are_listed_newest_first(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let mut expected: Vec<Value> = Vec::new();
    for value in ["1.00", "2.00", "3.00"] {
        let refund = app.refund(payment.id(), value).await.expect(201);
        app.sandbox.flush_notifications().await;
        let shown = app.get(&format!("/v1/refunds/{}", refund.id())).await.expect(200);
        assert_eq!(shown.text("/amount/value"), value);
        expected.insert(0, shown.json);
    }
    let path = format!("/v1/payments/{}/refunds?limit=2", payment.id());
    let first = app.get(&path).await.expect(200);
    assert_eq!(first.json["data"].as_array().unwrap()[..], expected[..2]);
    let rest = app.get(&format!("{path}&cursor={}", first.text("/next_cursor"))).await.expect(200);
    assert_eq!(rest.json["data"].as_array().unwrap()[..], expected[2..]);
    assert!(rest.json["next_cursor"].is_null());
    app.finish().await;
}

async fn a_refund_that_the_provider_refuses_fails_and_gives_the_sum_free(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    app.lose(NotificationKind::Refund);
    app.refund_in_cabinet(transaction_id(&payment), 10_000).await;
    let refund = app.refund(payment.id(), "12500.00").await.expect(201);
    assert_eq!(refund.text("/status"), "failed");
    assert!(!refund.text("/failure/message").is_empty());
    assert!(refund.json.get("transaction_id").is_none());
    let now = app.payment(payment.id()).await;
    assert_eq!(now.text("/status"), "paid");
    expect_sums(&now, "12500.00", "0.00", "12500.00");
    assert_eq!(app.events(payment.id()).await, ["payment.paid", "refund.failed"]);
    app.refund(payment.id(), "2500.00").await.expect(201);
    // The refund in the cabinet never became known: only a reconciliation finds it.
    app.stop().await;
}

async fn another_currency_is_not_refunded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let body = json!({ "amount": { "value": "1.00", "currency": "USD" } });
    let refused = app.act(payment.id(), "refunds", body).await;
    assert!(matches!(refused.status, 409 | 422), "{}", refused.json);
    assert_eq!(app.refunds(), 0);
    app.finish().await;
}

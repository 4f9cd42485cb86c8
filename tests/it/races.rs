//! Many requests at the same time.

use serde_json::json;

use crate::support::{APPROVED, Engine, Reply, TestApp, card, expect_sums, money, order, widget, with};

crate::on_both!(
    one_key_makes_one_payment,
    one_key_makes_one_refund,
    refunds_at_once_never_exceed_what_was_taken,
    capture_and_cancel_do_not_both_win,
    paying_and_withdrawing_do_not_both_win,
    many_payments_at_once_are_all_booked,
);

fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

/// One of them did the work; the others got its bytes, or were told that it is still running.
#[track_caller]
fn expect_one_effect(replies: &[Reply]) {
    let fresh: Vec<&Reply> =
        replies.iter().filter(|reply| reply.header("idempotent-replayed").is_empty() && reply.status == 201).collect();
    assert_eq!(fresh.len(), 1);
    for reply in replies {
        match reply.status {
            201 => assert_eq!(reply.bytes, fresh[0].bytes),
            _ => {
                reply.expect_problem(409, "idempotency_in_progress");
                assert!(!reply.header("retry-after").is_empty());
            }
        }
    }
}

async fn one_key_makes_one_payment(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = card("X-1", APPROVED);
    let replies = app.at_once((0..20).map(|_| app.posting("/v1/payments", "one", &body)).collect()).await;
    expect_one_effect(&replies);
    let repeat = app.post_as("/v1/payments", "one", body).await.expect(201);
    assert_eq!(repeat.header("idempotent-replayed"), "true");
    assert_eq!(app.of_invoice("X-1").await.len(), 1);
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn paid(app: &TestApp) -> Reply {
    let payment = app.create(card("X-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    payment
}

async fn one_key_makes_one_refund(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let path = format!("/v1/payments/{}/refunds", payment.id());
    let body = json!({ "amount": money("100.00") });
    let replies = app.at_once((0..10).map(|_| app.posting(&path, "one", &body)).collect()).await;
    expect_one_effect(&replies);
    assert_eq!(app.refunds(), 1);
    expect_sums(&app.payment(payment.id()).await, "12500.00", "100.00", "12400.00");
    app.finish().await;
}

async fn refunds_at_once_never_exceed_what_was_taken(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let path = format!("/v1/payments/{}/refunds", payment.id());
    let body = json!({ "amount": money("2000.00") });
    let replies = app.at_once((0..10).map(|_| app.posting(&path, &app.new_idempotency_key(), &body)).collect()).await;
    for refused in replies.iter().filter(|reply| reply.status != 201) {
        refused.expect_problem(409, "refund_exceeds_captured");
    }
    assert_eq!((count(&replies, 201), app.refunds()), (6, 6));
    app.sandbox.flush_notifications().await;
    let payment = app.payment(payment.id()).await;
    expect_sums(&payment, "12500.00", "12000.00", "500.00");
    assert!(payment.json.get("attention").is_none(), "{}", payment.json);
    let events = app.events(payment.id()).await;
    assert_eq!(events.iter().filter(|kind| *kind == "refund.succeeded").count(), 6, "{events:?}");
    app.finish().await;
}

async fn capture_and_cancel_do_not_both_win(engine: Engine) {
    let app = TestApp::start(engine).await;
    for round in 0..5 {
        let held = app.create(with(card(&format!("X-{round}"), APPROVED), "capture", "manual")).await.expect(201);
        let (capture, cancel) =
            tokio::join!(app.act(held.id(), "capture", json!({})), app.act(held.id(), "cancel", json!({})));
        let (winner, loser, status) =
            if capture.status == 200 { (capture, cancel, "paid") } else { (cancel, capture, "cancelled") };
        assert_eq!(winner.expect(200).text("/status"), status);
        assert_eq!(loser.status, 409, "{}", loser.json);
        assert!(matches!(loser.text("/code"), "operation_in_progress" | "invalid_state"), "{}", loser.json);
        app.sandbox.flush_notifications().await;
        assert_eq!(app.payment(held.id()).await.text("/status"), status);
    }
    app.finish().await;
}

async fn paying_and_withdrawing_do_not_both_win(engine: Engine) {
    let app = TestApp::start(engine).await;
    for round in 0..5 {
        let created = app.create(widget(&format!("X-{round}"))).await.expect(201);
        let pay = app.at_sandbox("/sandbox/pay", order(&created, APPROVED));
        let (pay, cancel) = tokio::join!(pay, app.act(created.id(), "cancel", json!({})));
        app.sandbox.flush_notifications().await;
        let paid = pay.text("/status") == "Completed";
        assert_eq!(cancel.status, if paid { 409 } else { 200 }, "{} {}", pay.json, cancel.json);
        assert_eq!(app.payment(created.id()).await.text("/status"), if paid { "paid" } else { "cancelled" });
    }
    app.finish().await;
}

async fn many_payments_at_once_are_all_booked(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = |number: usize| card(&format!("X-{number}"), APPROVED);
    let replies = app
        .at_once((0..25).map(|number| app.posting("/v1/payments", &format!("many-{number}"), &body(number))).collect())
        .await;
    assert_eq!(count(&replies, 201), 25);
    assert!(replies.iter().all(|reply| reply.text("/status") == "paid"));
    assert_eq!(app.charges(), 25);
    app.finish().await;
}

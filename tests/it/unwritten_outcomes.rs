//! The provider has done what it was asked for, and the database fails before that is written down: nobody is told that
//! nothing was done.

use cloudpayments_sandbox::{ApiFaultKind, Fault};
use serde_json::json;

use crate::support::{
    APPROVED, Body, CARD_THREE_DS, Engine, Operator, Reply, Sql, TestApp, Trap, Way, card, expect_sums,
    fail_commits_of, let_commits_be, with,
};

crate::on_both!(
    what_was_done_is_not_denied,
    an_approved_refund_is_not_denied,
    a_payer_back_from_the_bank_is_not_told_to_pay_again,
    what_was_not_sent_may_be_sent_later,
    a_commit_that_fails_is_not_told_as_nothing_done,
);

/// From now on no call's outcome can be written down.
fn without_outcomes(app: &TestApp, engine: Engine) -> Trap {
    Trap::set(engine, &app.database.url, "operations", "UPDATE OF state", "NEW.state <> OLD.state", Way::Fails)
}

#[track_caller]
fn expect_not_recorded(reply: &Reply) {
    reply.expect_problem(500, "outcome_unknown");
    assert!(!reply.json.to_string().contains("nothing"), "{}", reply.json);
    assert!(reply.text("/title").contains("may have been done"), "{}", reply.json);
    assert!(reply.text("/detail").contains("same Idempotency-Key"), "{}", reply.json);
    assert!(!reply.header("retry-after").is_empty());
}

async fn settle(app: &TestApp) {
    for _ in 0..3 {
        app.advance(300);
        app.running.app.settle_step().await.unwrap();
    }
    app.sandbox.flush_notifications().await;
}

async fn held(app: &TestApp, invoice: &str) -> Reply {
    let held = app.create(with(card(invoice, APPROVED), "capture", "manual")).await.expect(201);
    assert_eq!(held.text("/status"), "authorized");
    held
}

async fn what_was_done_is_not_denied(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    let (to_capture, to_void) = (held(&app, "KM-2").await, held(&app, "KM-3").await);
    let at_bank = app.create(card("KM-4", CARD_THREE_DS)).await.expect(201);
    let answer = app.at_bank(&at_bank, "pass").await;
    let field = |name: &str| answer.fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    app.sandbox.flush_notifications().await;
    let path = |payment: &Reply, action: &str| format!("/v1/payments/{}/{action}", payment.id());
    let requests: [(String, Body); 5] = [
        ("/v1/payments".to_owned(), card("KM-5", APPROVED)),
        (path(&paid, "refunds"), json!({ "amount": { "value": "100.00", "currency": "KZT" } })),
        (path(&to_capture, "capture"), json!({})),
        (path(&to_void, "cancel"), json!({})),
        (path(&at_bank, "three-ds"), json!({ "md": field("MD"), "pa_res": field("PaRes") })),
    ];
    let trap = without_outcomes(&app, engine);
    for (path, body) in &requests {
        expect_not_recorded(&app.post_as(path, &format!("key of {path}"), body.clone()).await);
    }
    trap.remove().await;
    settle(&app).await;
    let mut told = Vec::new();
    for (path, body) in &requests {
        let reply = app.post_as(path, &format!("key of {path}"), body.clone()).await;
        told.push((reply.status, reply.text("/status").to_owned()));
    }
    let expected = [(201, "paid"), (201, "succeeded"), (200, "paid"), (200, "cancelled"), (200, "paid")]
        .map(|(status, state)| (status, state.to_owned()));
    assert_eq!(told, expected);
    assert_eq!((app.charges(), app.refunds()), (4, 1), "each was done once");
    app.finish().await;
}

async fn an_approved_refund_is_not_denied(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (asks, allows) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let approval = asks.ask_refund(&app, paid.id(), "100.00").await.expect(201);
    let trap = without_outcomes(&app, engine);
    expect_not_recorded(&allows.decide_as(&app, &approval, "approve", "allow").await);
    trap.remove().await;
    settle(&app).await;
    let again = allows.decide_as(&app, &approval, "approve", "allow").await.expect(200);
    assert_eq!(again.text("/state"), "approved", "{}", again.json);
    expect_sums(&app.payment(paid.id()).await, "12500.00", "100.00", "12400.00");
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

async fn a_payer_back_from_the_bank_is_not_told_to_pay_again(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = with(card("KM-1", CARD_THREE_DS), "return_url", "https://kmic.example/done");
    let payment = app.create(body).await.expect(201);
    let browser = app.at_bank(&payment, "pass").await;
    let trap = without_outcomes(&app, engine);
    expect_not_recorded(&app.submit(&browser).await);
    trap.remove().await;
    settle(&app).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    app.finish().await;
}

/// To the worker it is a lost call, which it repeats: so it is not told as not done.
async fn what_was_not_sent_may_be_sent_later(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let trap = without_outcomes(&app, engine);
    let path = format!("/v1/payments/{}/refunds", paid.id());
    let body = json!({ "amount": { "value": "100.00", "currency": "KZT" } });
    app.sandbox.fault(Fault::api("/payments/refund", ApiFaultKind::StatusBefore { status: 429 }));
    expect_not_recorded(&app.post_as(&path, "refund", body.clone()).await);
    trap.remove().await;
    settle(&app).await;
    let again = app.post_as(&path, "refund", body).await.expect(201);
    assert_eq!((again.text("/status"), app.refunds()), ("succeeded", 1));
    app.finish().await;
}

/// Whoever hears nothing of a commit does not know whether it was made.
async fn a_commit_that_fails_is_not_told_as_nothing_done(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let mut sql = Sql::open(&app.database.url);
    fail_commits_of(engine, &mut sql, "refunds");
    expect_not_recorded(&app.refund(paid.id(), "100.00").await);
    let_commits_be(&mut sql);
    app.refund(paid.id(), "100.00").await.expect(201);
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

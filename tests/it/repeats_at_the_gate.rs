//! While a start has not read back what the provider did, new money waits. A repeat of what was done before moves nothing: it
//! is told the truth.

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationKind};
use serde_json::json;

use crate::support::{APPROVED, Body, CARD_THREE_DS, Engine, Operator, Reply, TestApp, card, widget, with, with_at};

crate::on_both!(a_repeat_is_answered_while_the_register_is_unread, a_lost_outcome_is_told_as_open_at_the_gate);

async fn a_repeat_is_answered_while_the_register_is_unread(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (asks, allows) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let held = |invoice: &str| with(card(invoice, APPROVED), "capture", "manual");
    let order = card("KM-1", APPROVED);
    let paid = app.post_as("/v1/payments", "charge", order.clone()).await.expect(201);
    let (to_capture, to_void) =
        (app.create(held("KM-2")).await.expect(201), app.create(held("KM-3")).await.expect(201));
    let at_bank = app.create(card("KM-4", CARD_THREE_DS)).await.expect(201);
    let answer = app.at_bank(&at_bank, "pass").await;
    let field = |name: &str| answer.fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    app.sandbox.flush_notifications().await;
    let approval = asks.ask_refund(&app, paid.id(), "300.00").await.expect(201);
    let decided = allows.decide_as(&app, &approval, "approve", "allow").await.expect(200);
    let path = |payment: &Reply, action: &str| format!("/v1/payments/{}/{action}", payment.id());
    let requests: [(String, Body); 6] = [
        ("/v1/payments".to_owned(), card("KM-5", APPROVED)),
        ("/v1/payments".to_owned(), widget("KM-6")),
        (path(&paid, "refunds"), json!({ "amount": { "value": "100.00", "currency": "KZT" } })),
        (path(&to_capture, "capture"), json!({})),
        (path(&to_void, "cancel"), json!({})),
        (path(&at_bank, "three-ds"), json!({ "md": field("MD"), "pa_res": field("PaRes") })),
    ];
    let mut first = Vec::new();
    for (number, (path, body)) in requests.iter().enumerate() {
        first.push(app.post_as(path, &format!("key {number}"), body.clone()).await);
    }
    app.sandbox.flush_notifications().await;
    let done = (app.charges(), app.refunds());
    let app = app.restart(|_| ()).await;
    app.sandbox.fault(Fault::api("/v2/payments/list", ApiFaultKind::DropBefore).times(100));
    for (number, (path, body)) in requests.iter().enumerate() {
        let again = app.post_as(path, &format!("key {number}"), body.clone()).await;
        assert_eq!((again.status, &again.json), (first[number].status, &first[number].json), "{path}");
        assert_eq!(again.header("idempotent-replayed"), "true", "{path}");
    }
    let again = allows.decide_as(&app, &approval, "approve", "allow").await.expect(200);
    assert_eq!(again.json, decided.json);
    // Another request under a known key is none, and a new key waits.
    let other = with_at(order, "/amount/value", json!("1.00"));
    app.post_as("/v1/payments", "charge", other).await.expect_problem(422, "idempotency_key_reused");
    app.create(card("KM-7", APPROVED)).await.expect_problem(503, "register_gap_unread");
    assert_eq!((app.charges(), app.refunds()), done);
    app.stop().await;
}

/// Nobody knows the outcome yet, and nobody is told that there is none.
async fn a_lost_outcome_is_told_as_open_at_the_gate(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = card("KM-1", APPROVED);
    app.break_answer("/payments/cards/charge", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Pay);
    let lost = app.post_as("/v1/payments", "charge", body.clone()).await.expect(202);
    let app = app.restart(|_| ()).await;
    let again = app.post_as("/v1/payments", "charge", body.clone()).await.expect(202);
    assert_eq!((again.id(), again.text("/outcome/certainty")), (lost.id(), "undetermined"));
    app.step_runs().await;
    app.advance(60);
    app.running.app.settle_step().await.unwrap();
    let again = app.post_as("/v1/payments", "charge", body.clone()).await.expect(201);
    assert_eq!((again.id(), again.text("/status")), (lost.id(), "paid"));
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

//! The same request under the same key has one effect and one answer.

use std::time::Duration;

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationKind};
use kmic_payments::domain::scope::Scope;
use serde_json::json;

use crate::support::{APPROVED, Body, CARD_NO_FUNDS, Engine, Reply, TestApp, card, money, widget, with_at};

crate::on_both!(
    every_post_that_moves_money_needs_a_key,
    unfit_keys_are_refused,
    creations_are_replayed_byte_for_byte,
    actions_are_replayed_byte_for_byte,
    a_key_belongs_to_one_request,
    keys_of_two_callers_do_not_meet,
    a_running_request_is_not_started_twice,
    a_refused_request_does_not_use_up_its_key,
);

/// The repeat is the first answer again, and says so.
#[track_caller]
fn expect_replay(first: &Reply, repeat: &Reply) {
    assert_eq!(repeat.status, first.status);
    assert_eq!(repeat.bytes, first.bytes);
    for name in ["location", "content-type", "retry-after"] {
        assert_eq!(repeat.header(name), first.header(name), "{name}");
    }
    assert_eq!((first.header("idempotent-replayed"), repeat.header("idempotent-replayed")), ("", "true"));
    assert_ne!(repeat.header("x-request-id"), first.header("x-request-id"));
}

async fn manual(app: &TestApp, invoice: &str) -> Reply {
    let payment = app.create(with_at(card(invoice, APPROVED), "/capture", json!("manual"))).await.expect(201);
    assert_eq!(payment.text("/status"), "authorized");
    payment
}

async fn every_post_that_moves_money_needs_a_key(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = "pay_01kaq0j5m8x2v9c4t7b1n6r3ed";
    for path in ["", "/ID/capture", "/ID/cancel", "/ID/three-ds", "/ID/refunds"] {
        let path = format!("/v1/payments{}", path.replace("ID", payment));
        let reply = app.post_with(&path, &[], &widget("KM-1")).await;
        let faults = reply.expect_problem(400, "idempotency_key_required");
        assert_eq!(faults, ["Idempotency-Key: idempotency_key_required"], "{path}");
    }
    app.expect_untouched("requests without a key").await;
    app.finish().await;
}

async fn unfit_keys_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let long = "x".repeat(256);
    let cases: [(&[&[u8]], &str); 7] = [
        (&[b""], "wrong_form"),
        (&[b"\"\""], "wrong_form"),
        (&[long.as_bytes()], "wrong_form"),
        (&["ключ".as_bytes()], "wrong_form"),
        (&[b"caf\xe9"], "wrong_form"),
        (&[b"a\tb"], "wrong_form"),
        (&[b"one", b"two"], "repeated_header"),
    ];
    for (keys, code) in cases {
        let headers: Vec<(&str, &[u8])> = keys.iter().map(|key| ("Idempotency-Key", *key)).collect();
        let reply = app.post_with("/v1/payments", &headers, &widget("KM-1")).await;
        assert_eq!(reply.expect_problem(400, "malformed_request"), [format!("Idempotency-Key: {code}")], "{keys:?}");
    }
    app.expect_untouched("unfit keys").await;
    for (key, same) in [("x".repeat(255), None), ("quoted-1".to_owned(), Some("\"quoted-1\""))] {
        let first = app.post_as("/v1/payments", &key, widget("KM-1")).await.expect(201);
        expect_replay(&first, &app.post_as("/v1/payments", same.unwrap_or(&key), widget("KM-1")).await);
    }
    app.finish().await;
}

async fn creations_are_replayed_byte_for_byte(engine: Engine) {
    let app = TestApp::start(engine).await;
    let bodies = [
        ("awaiting_payer", widget("KM-1")),
        ("paid", card("KM-2", APPROVED)),
        ("declined", card("KM-3", CARD_NO_FUNDS)),
    ];
    let mut kept: Vec<(String, Body, Reply)> = Vec::new();
    for (status, body) in bodies {
        let key = app.new_idempotency_key();
        let first = app.post_as("/v1/payments", &key, body.clone()).await.expect(201);
        assert_eq!(first.text("/status"), status);
        assert_eq!(first.header("location"), format!("/v1/payments/{}", first.id()));
        kept.push((key, body, first));
    }
    let calls = app.calls_to_provider().await;
    // What happens later does not change what was answered then.
    app.pay_in_widget(&kept[0].2, APPROVED).await.expect(200);
    app.refund(kept[1].2.id(), "2500.00").await.expect(201);
    assert_eq!(app.payment(kept[0].2.id()).await.text("/status"), "paid");
    app.advance(30 * 24 * 3600);
    for (key, body, first) in &kept {
        expect_replay(first, &app.post_as("/v1/payments", key, body.clone()).await);
    }
    assert_eq!(app.calls_to_provider().await, calls + 1, "only the refund asked the provider");
    assert_eq!(app.get("/v1/payments").await.json["data"].as_array().unwrap().len(), 3);
    app.finish().await;
}

async fn actions_are_replayed_byte_for_byte(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    let (held, other_held) = (manual(&app, "KM-2").await, manual(&app, "KM-3").await);
    let waiting = app.create(widget("KM-4")).await.expect(201);
    let actions = [
        (format!("/v1/payments/{}/refunds", paid.id()), json!({"amount": money("500.00")}), 201),
        (format!("/v1/payments/{}/capture", held.id()), json!({"amount": money("12000.00")}), 200),
        (format!("/v1/payments/{}/cancel", other_held.id()), json!({}), 200),
        (format!("/v1/payments/{}/cancel", waiting.id()), json!({}), 200),
    ];
    for (path, body, status) in actions {
        let key = app.new_idempotency_key();
        let first = app.post_as(&path, &key, body.clone()).await.expect(status);
        let calls = app.calls_to_provider().await;
        expect_replay(&first, &app.post_as(&path, &key, body.clone()).await);
        expect_replay(&first, &app.post_as(&path, &key, body).await);
        assert_eq!(app.calls_to_provider().await, calls, "{path}");
    }
    assert_eq!(app.payment(paid.id()).await.text("/refunded/value"), "500.00");
    assert_eq!(app.payment(held.id()).await.text("/captured/value"), "12000.00");
    app.finish().await;
}

async fn a_key_belongs_to_one_request(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.post_as("/v1/payments", "first", card("KM-1", APPROVED)).await.expect(201);
    let refunds = format!("/v1/payments/{}/refunds", payment.id());
    app.post_as(&refunds, "second", json!({"amount": money("100.00")})).await.expect(201);
    let others = [
        ("/v1/payments".to_owned(), "first", card("KM-1", CARD_NO_FUNDS)),
        ("/v1/payments".to_owned(), "first", with_at(card("KM-1", APPROVED), "/amount/value", json!("12500.01"))),
        ("/v1/payments".to_owned(), "second", widget("KM-1")),
        (refunds.clone(), "first", json!({})),
        (refunds.clone(), "second", json!({"amount": money("101.00")})),
        (refunds.clone(), "second", json!({})),
        (format!("/v1/payments/{}/cancel", payment.id()), "second", json!({})),
        (format!("/v1/payments/{}/capture", payment.id()), "first", json!({})),
    ];
    let before = (app.payment(payment.id()).await.bytes, app.calls_to_provider().await);
    for (path, key, body) in others {
        let reply = app.post_as(&path, key, body).await;
        assert_eq!(reply.expect_problem(422, "idempotency_key_reused"), [""; 0], "{path} {key}");
    }
    assert_eq!(before, (app.payment(payment.id()).await.bytes, app.calls_to_provider().await));
    assert_eq!(app.get("/v1/payments").await.json["data"].as_array().unwrap().len(), 1);
    app.finish().await;
}

async fn keys_of_two_callers_do_not_meet(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    // A cryptogram is another one each time.
    let bodies = [card("KM-1", APPROVED), card("KM-2", APPROVED)];
    let first = app.post_as("/v1/payments", "shared", bodies[0].clone()).await.expect(201);
    let first_key = std::mem::take(&mut app.key);
    app.key = app.new_key(&Scope::ALL).await;
    let second = app.post_as("/v1/payments", "shared", bodies[1].clone()).await.expect(201);
    assert_eq!(second.header("idempotent-replayed"), "");
    assert_ne!(first.id(), second.id());
    expect_replay(&second, &app.post_as("/v1/payments", "shared", bodies[1].clone()).await);
    app.key = first_key;
    expect_replay(&first, &app.post_as("/v1/payments", "shared", bodies[0].clone()).await);
    assert_eq!(app.sandbox.ledger().transactions.len(), 2);
    app.finish().await;
}

async fn a_running_request_is_not_started_twice(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = card("KM-1", APPROVED);
    app.sandbox.fault(Fault::api("*", ApiFaultKind::Delay { ms: 1500 }));
    // It would prove the payment before the answer does, and with it end what is running.
    app.lose(NotificationKind::Pay);
    let second = async {
        // The provider has charged and keeps its answer back.
        while app.sandbox.ledger().transactions.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let running = app.post_as("/v1/payments", "once", body.clone()).await;
        let other = app.post_as("/v1/payments", "once", card("KM-2", APPROVED)).await;
        (running, other)
    };
    let (first, (running, other)) = tokio::join!(app.post_as("/v1/payments", "once", body.clone()), second);
    running.expect_problem(409, "idempotency_in_progress");
    assert!(running.header("retry-after").parse::<u32>().unwrap() >= 1);
    other.expect_problem(422, "idempotency_key_reused");
    assert_eq!(first.text("/status"), "paid");
    let repeat = app.post_as("/v1/payments", "once", body.clone()).await;
    expect_replay(&first.expect(201), &repeat);
    assert_eq!(app.sandbox.ledger().transactions.len(), 1);
    app.finish().await;
}

async fn a_refused_request_does_not_use_up_its_key(engine: Engine) {
    let app = TestApp::start(engine).await;
    let bad = with_at(card("KM-1", APPROVED), "/amount/value", json!("12500"));
    app.post_as("/v1/payments", "again", bad).await.expect_problem(422, "invalid_request");
    let headers: [(&str, &[u8]); 1] = [("Idempotency-Key", b"again")];
    app.post_with("/v1/payments?x=1", &headers, &widget("KM-1")).await.expect_problem(422, "invalid_request");
    let payment = app.post_as("/v1/payments", "again", card("KM-1", APPROVED)).await.expect(201);
    assert_eq!(payment.header("idempotent-replayed"), "");
    // What the state does not allow does not either: the same key works once it is possible.
    let refunds = format!("/v1/payments/{}/refunds", payment.id());
    let too_much = json!({"amount": money("99999.00")});
    app.post_as(&refunds, "refund", too_much).await.expect_problem(409, "refund_exceeds_captured");
    let refund = app.post_as(&refunds, "refund", json!({"amount": money("1.00")})).await.expect(201);
    assert_eq!(refund.header("idempotent-replayed"), "");
    app.finish().await;
}

//! A payer without an account is shown and erased by the payment.

use kmic_payments::domain::scope::Scope;
use serde_json::{Value, json};

use crate::support::{APPROVED, Body, Engine, Reply, Sql, TestApp, card, secret_hits, widget, with_at};

crate::on_both!(
    a_payer_without_an_account_is_shown_by_the_payment,
    a_payer_without_an_account_is_erased_by_the_payment,
    a_payer_with_an_account_is_not_erased_in_part,
);

/// Parts of all that is planted.
const PLANTED: [&str; 7] =
    ["planted.person", "77015557391", "Plantedname", "203.0.113.99", "plantedpolicy", "plantednote", "plantedreason"];

fn planted(invoice: &str) -> Body {
    let payer = json!({
        "email": "planted.person@example.test", "phone": "+77015557391", "name": "Plantedname",
        "ip_address": "203.0.113.99",
    });
    let body = with_at(card(invoice, APPROVED), "/payer", payer);
    let body = with_at(body, "/description", json!("plantedpolicy"));
    with_at(body, "/metadata", json!({"note": "plantednote"}))
}

async fn story(app: &TestApp, invoice: &str) -> Reply {
    let payment = app.create(planted(invoice)).await.expect(201);
    let refund = json!({"amount": {"value": "500.00", "currency": "KZT"}, "reason": "plantedreason"});
    app.post(&format!("/v1/payments/{}/refunds", payment.id()), refund).await.expect(201);
    app.sandbox.flush_notifications().await;
    payment
}

fn path(payment: &Reply) -> String {
    format!("/v1/payments/{}/personal-data", payment.id())
}

async fn erase(app: &TestApp, payment: &Reply, key: &str) -> Reply {
    Reply::receive(app.request(reqwest::Method::DELETE, &path(payment)).header("Idempotency-Key", key)).await
}

async fn a_payer_without_an_account_is_shown_by_the_payment(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (payment, _other) = (story(&app, "KM-1").await, story(&app, "KM-2").await);
    let shown = app.get(&path(&payment)).await.expect(200);
    let rows = shown.json["data"].as_array().unwrap();
    assert_eq!((rows.len(), shown.text("/data/0/payment/id")), (1, payment.id()));
    assert_eq!(shown.text("/data/0/payment/payer/email"), "planted.person@example.test");
    assert_eq!(shown.text("/data/0/refunds/0/reason"), "plantedreason");
    assert!(!rows[0]["notifications"].as_array().unwrap().is_empty());
    assert_eq!((&shown.json["next_cursor"], &shown.json["unmatched_notifications"]), (&Value::Null, &json!([])));
    // The reading is recorded, with the payer.
    let recorded = format!(
        "SELECT count(*) AS value FROM personal_data_access WHERE action = 'export' AND payer_key_id = '{}'",
        payment.id()
    );
    assert_eq!(Sql::open(&app.database.url).number(&recorded), 1);
    let reader = app.new_key(&[Scope::PaymentsRead, Scope::OpsWrite]).await;
    let refused = app.call_as("GET", &path(&payment), Some(&format!("Bearer {reader}"))).await;
    refused.expect_problem(403, "missing_scope");
    let nobody = "/v1/payments/pay_01kaq0m5c3v7b1n6m2x8z4a9qe/personal-data";
    app.get(nobody).await.expect_problem(404, "not_found");
    app.stop().await;
}

async fn a_payer_without_an_account_is_erased_by_the_payment(engine: Engine) {
    let app = TestApp::start(engine).await;
    let open = app.create(with_at(widget("KM-3"), "/payer", json!({"name": "Plantedname"}))).await.expect(201);
    erase(&app, &open, "erase-open").await.expect_problem(409, "payer_in_use");
    app.post(&format!("/v1/payments/{}/cancel", open.id()), json!({})).await.expect(200);
    erase(&app, &open, "erase-cancelled").await.expect(200);
    let payment = story(&app, "KM-1").await;
    let other = app
        .create(with_at(
            card("KM-2", APPROVED),
            "/payer",
            json!({"name": "Somebody Else", "ip_address": "203.0.113.7"}),
        ))
        .await
        .expect(201);
    app.sandbox.flush_notifications().await;
    let history = app.history(payment.id()).await;

    let erased = erase(&app, &payment, "erase-1").await.expect(200);
    assert_eq!((&erased.json["erased"], &erased.json["payments"]), (&json!(true), &json!(1)));
    assert!(erased.json["notifications"].as_i64().unwrap() > 0);
    assert_eq!(secret_hits(&app, &PLANTED), 0);
    let left = format!(
        "SELECT count(*) AS value FROM payer_keys WHERE id = '{}' AND wrapped_key IS NOT NULL OR id = '{}' AND cleaned_at IS \
         NULL",
        payment.id(),
        payment.id()
    );
    let mut sql = Sql::open(&app.database.url);
    assert_eq!(sql.number(&left), 0);
    let bodies = format!(
        "SELECT count(*) AS value FROM notifications WHERE payment_id = '{}' AND length(body) > 0",
        payment.id()
    );
    assert_eq!(sql.number(&bodies), 0);
    assert_eq!(app.payment(payment.id()).await.json["erased"], true);
    assert_eq!(app.history(payment.id()).await, history);
    assert_eq!(app.get(&path(&payment)).await.expect(200).json["data"], json!([]));
    // Nobody else is erased.
    assert_eq!(app.payment(other.id()).await.text("/payer/name"), "Somebody Else");

    let repeat = erase(&app, &payment, "erase-1").await.expect(200);
    assert_eq!((repeat.text("/id"), repeat.header("idempotent-replayed")), (erased.text("/id"), "true"));
    erase(&app, &other, "erase-1").await.expect_problem(422, "idempotency_key_reused");
    assert_eq!(erase(&app, &payment, "erase-2").await.expect(200).json["payments"], 0);
    app.finish().await;
}

async fn a_payer_with_an_account_is_not_erased_in_part(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    for refused in [app.get(&path(&payment)).await, erase(&app, &payment, "erase-1").await] {
        refused.expect_problem(409, "invalid_state");
        assert!(refused.text("/detail").contains("/v1/payers/"), "{}", refused.json);
    }
    assert!(app.payment(payment.id()).await.json.get("erased").is_none());
    app.finish().await;
}

//! What a payment called a person for is settled by a person, and only new evidence calls again.

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationKind};
use kmic_payments::domain::scope::Scope;
use serde_json::json;

use crate::support::{APPROVED, Engine, Reply, Sql, TestApp, card, secret_hits, widget, with};

crate::on_both!(
    an_operators_words_go_with_the_payer,
    attention_is_resolved_once_and_comes_back_with_new_evidence_only,
    a_resolved_contradiction_does_not_come_back_by_a_replay,
    a_resolution_needs_a_reason,
    an_answer_that_stays_lost_calls_a_person,
    a_payment_that_was_looked_at_can_expire,
    a_hold_that_is_the_second_to_another_one_calls_again,
);

/// A Pay of one stage.
async fn pay(app: &TestApp, invoice: &str, transaction: &str, amount: &str, more: &[(&str, &str)]) {
    let mut fields = vec![
        ("TransactionId", transaction),
        ("Amount", amount),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("InvoiceId", invoice),
        ("Status", "Completed"),
    ];
    fields.extend(more);
    app.notify("pay", &fields).await;
}

async fn expect_attention(app: &TestApp, payment: &Reply, status: &str, attention: &str, calls: usize) {
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/attention")), (status, attention), "{}", seen.json);
    let told = app.events(payment.id()).await;
    assert_eq!(told.iter().filter(|kind| *kind == "payment.needs_attention").count(), calls, "{told:?}");
}

async fn resolve(app: &TestApp, payment: &Reply, key: &str) -> Reply {
    let path = format!("/v1/payments/{}/attention/resolve", payment.id());
    app.post_as(&path, key, json!({ "reason": "given back in the cabinet" })).await
}

/// The history is never erased: what an operator wrote into it goes with the key of the payer.
async fn an_operators_words_go_with_the_payer(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", &[]).await;
    pay(&app, "KM-1", "5000000002", "12500.00", &[]).await;
    let path = format!("/v1/payments/{}/attention/resolve", payment.id());
    app.post(&path, json!({ "reason": "talked to Plantedname at home" })).await.expect(200);
    let row = app.rows(payment.id()).await.pop().unwrap();
    assert_eq!(row["detail"]["reason"], "talked to Plantedname at home");
    assert_eq!(secret_hits(&app, &["Plantedname"]), 0);
    let mut sql = Sql::open(&app.database.url);
    let readings = "SELECT count(*) AS value FROM personal_data_access WHERE action = 'payment'";
    let history = format!("/v1/payments/{}/transitions", payment.id());
    for (scope, is_shown, recorded) in
        [(Scope::PaymentsRead, false, 0), (Scope::OpsWrite, true, 0), (Scope::PersonalDataWrite, true, 1)]
    {
        let key = app.new_key(&[Scope::PaymentsRead, scope]).await;
        let page = app.call_as("GET", &history, Some(&format!("Bearer {key}"))).await.expect(200).page();
        assert_eq!((page.contains("Plantedname"), page.contains("paid_twice")), (is_shown, true), "{scope:?}: {page}");
        assert_eq!(sql.number(readings), recorded, "{scope:?}");
    }

    // Whoever asks what is held is shown it, too.
    let export = app.get("/v1/payers/user-42/personal-data").await.expect(200);
    assert_eq!(export.json["data"][0]["resolutions"], json!(["talked to Plantedname at home"]));

    let erase = app.request(reqwest::Method::DELETE, "/v1/payers/user-42/personal-data");
    Reply::receive(erase.header("Idempotency-Key", "erase-1")).await.expect(200);
    let row = app.rows(payment.id()).await.pop().unwrap();
    assert_eq!(row["detail"], json!({ "resolved": "paid_twice" }));
    app.stop().await;
}

async fn attention_is_resolved_once_and_comes_back_with_new_evidence_only(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", &[]).await;
    resolve(&app, &payment, "early").await.expect_problem(409, "invalid_state");
    pay(&app, "KM-1", "5000000002", "12500.00", &[]).await;
    expect_attention(&app, &payment, "paid", "paid_twice", 1).await;

    let resolved = resolve(&app, &payment, "key-1").await.expect(200);
    assert_eq!((resolved.text("/status"), resolved.text("/attention")), ("paid", ""));
    let row = app.rows(payment.id()).await.pop().unwrap();
    assert_eq!((row["from"].as_str(), row["to"].as_str()), (Some("paid"), Some("paid")));
    assert_eq!(row["cause"]["type"], "operator");
    assert_eq!(row["detail"], json!({ "resolved": "paid_twice", "reason": "given back in the cabinet" }));
    assert!(row["actor"].as_str().unwrap().starts_with("key_"), "{row}");
    let repeat = resolve(&app, &payment, "key-1").await.expect(200);
    assert_eq!((repeat.header("idempotent-replayed"), &repeat.bytes), ("true", &resolved.bytes));
    resolve(&app, &payment, "key-2").await.expect_problem(409, "invalid_state");

    // Every later change derives the payment from the same facts: the same evidence does not call again.
    let fields = [("TransactionId", "5000000005"), ("PaymentTransactionId", "5000000001"), ("Amount", "100.00")];
    app.notify("refund", &fields).await;
    expect_attention(&app, &payment, "partially_refunded", "", 1).await;
    // A third payment is new evidence.
    pay(&app, "KM-1", "5000000003", "12500.00", &[]).await;
    expect_attention(&app, &payment, "partially_refunded", "paid_twice", 2).await;
    resolve(&app, &payment, "key-3").await.expect(200);
    assert_eq!(app.surprises("paid_twice"), 2);
    app.stop().await;
}

async fn a_resolved_contradiction_does_not_come_back_by_a_replay(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.create(widget("KM-1")).await.expect(201);
    let second = app.create(widget("KM-2")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", &[]).await;
    let data = json!({ "payment_id": second.id() }).to_string();
    pay(&app, "KM-2", "5000000001", "12500.00", &[("Data", &data)]).await;
    expect_attention(&app, &second, "awaiting_payer", "contradicting_notification", 1).await;
    resolve(&app, &second, "key-1").await.expect(200);
    let list = app.get("/v1/notifications").await.expect(200);
    app.post(&format!("/v1/notifications/{}/replay", list.text("/data/0/id")), json!({})).await.expect(200);
    expect_attention(&app, &second, "awaiting_payer", "", 1).await;
    // Another message of that kind is new evidence.
    pay(&app, "KM-2", "5000000001", "12500.00", &[("Data", &data), ("Issuer", "Bank")]).await;
    expect_attention(&app, &second, "awaiting_payer", "contradicting_notification", 2).await;
    app.stop().await;
}

async fn a_resolution_needs_a_reason(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "1.00", &[]).await;
    let path = format!("/v1/payments/{}/attention/resolve", payment.id());
    for (body, fault) in [
        (json!({}), "/reason: required"),
        (json!({ "reason": "card 4242 4242 4242 4242" }), "/reason: card_data_not_allowed"),
    ] {
        assert_eq!(app.post(&path, body).await.expect_problem(422, "invalid_request"), [fault]);
    }
    app.post(&path, json!({ "reason": "x", "rason": "x" })).await.expect_problem(422, "invalid_request");
    let unkeyed = app.request(reqwest::Method::POST, &path).header("Content-Type", "application/json");
    Reply::receive(unkeyed.body(r#"{"reason":"x"}"#)).await.expect_problem(400, "idempotency_key_required");
    let unknown = app.act("pay_01kaq0j5m8x2v9c4t7b1n6r3ed", "attention/resolve", json!({ "reason": "x" })).await;
    unknown.expect_problem(404, "not_found");
    expect_attention(&app, &payment, "awaiting_payer", "amount_mismatch", 1).await;
    app.stop().await;
}

async fn an_answer_that_stays_lost_calls_a_person(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("cloudpayments.breaker_failures", "1000")).await;
    app.break_answer("/payments/cards/charge", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Pay);
    let payment = app.create(card("KM-1", APPROVED)).await.expect(202);
    // Each question is two requests: find and list.
    app.sandbox.fault(Fault::api("*", ApiFaultKind::StatusBefore { status: 500 }).times(6));
    app.advance(6);
    app.running.app.settle_step().await.unwrap();
    expect_attention(&app, &payment, "processing", "", 0).await;
    for _ in 0..2 {
        app.advance(90_000);
        app.running.app.settle_step().await.unwrap();
        expect_attention(&app, &payment, "processing", "answer_lost", 1).await;
    }
    assert_eq!(app.payment(payment.id()).await.text("/outcome/certainty"), "undetermined");
    // The provider answers again: evidence decides. That a person was called stays until a person says so.
    app.advance(700);
    app.running.app.settle_step().await.unwrap();
    expect_attention(&app, &payment, "paid", "answer_lost", 1).await;
    assert_eq!(resolve(&app, &payment, "key-1").await.expect(200).text("/attention"), "");
    app.finish().await;
}

async fn a_payment_that_was_looked_at_can_expire(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "1.00", &[]).await;
    app.advance(86_401);
    app.running.app.expire_step().await.unwrap();
    expect_attention(&app, &payment, "awaiting_payer", "amount_mismatch", 1).await;
    resolve(&app, &payment, "key-1").await.expect(200);
    app.running.app.expire_step().await.unwrap();
    expect_attention(&app, &payment, "expired", "", 1).await;
    app.stop().await;
}

async fn a_hold_that_is_the_second_to_another_one_calls_again(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(with(widget("KM-1"), "capture", "manual")).await.expect(201);
    let told = async |kind: &str, transaction: &str, status: &str| {
        let fields = [
            ("TransactionId", transaction),
            ("Amount", "12500.00"),
            ("Currency", "KZT"),
            ("InvoiceId", "KM-1"),
            ("Status", status),
        ];
        app.notify(kind, &fields).await;
    };
    told("pay", "5000000002", "Authorized").await;
    told("pay", "5000000003", "Authorized").await;
    expect_attention(&app, &payment, "authorized", "paid_twice", 1).await;
    resolve(&app, &payment, "key-1").await.expect(200);
    told("cancel", "5000000002", "Cancelled").await;
    expect_attention(&app, &payment, "authorized", "", 1).await;
    // The third hold is the one that counts: it is the oldest. Money is held twice again.
    told("pay", "5000000001", "Authorized").await;
    expect_attention(&app, &payment, "authorized", "paid_twice", 2).await;
    app.stop().await;
}

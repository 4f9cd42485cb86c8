//! Chargebacks: told once, of known and of unknown payments.

use cloudpayments_sandbox::ApiFaultKind;
use serde_json::{Value, json};

use crate::support::{
    APPROVED, Engine, LIST, TestApp, card, order, page, paid_in_silence, transaction_id, widget, with_quiet_runs,
};

crate::on_both!(
    chargebacks_are_told_once,
    chargebacks_of_unknown_payments_wait_for_them,
    chargebacks_that_are_refused_hold_up_nothing,
);

async fn chargebacks(app: &TestApp) -> Vec<Value> {
    app.get("/v1/chargebacks?limit=100").await.expect(200).json["data"].as_array().unwrap().clone()
}

async fn chargebacks_are_told_once(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let raise = |extra: Value| {
        let mut body = json!({ "transaction_id": transaction_id(&payment) });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    app.at_sandbox("/sandbox/chargebacks", raise(json!({ "amount": "500.00" }))).await.expect(200);
    let run = app.reconcile().await;
    assert_eq!(run.json["chargebacks"], 1);
    let [row] = &chargebacks(&app).await[..] else { panic!() };
    assert_eq!((row["payment_id"].as_str(), row["found_by"].as_str()), (Some(payment.id()), Some(run.id())));
    assert_eq!((row["type"].as_str(), row["operation"].as_str()), (Some("Chargeback"), Some("Presentment")));
    assert_eq!(row["amount"], json!({ "value": "500.00", "currency": "KZT" }));
    assert!(row["id"].as_str().unwrap().starts_with("cbk_") && row["raised_at"].as_str().unwrap().ends_with('Z'));
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/attention"), seen.text("/status")), ("chargeback", "paid"));
    let expected = ["payment.paid", "payment.needs_attention", "chargeback.opened"];
    assert_eq!(app.events(payment.id()).await, expected);
    assert_eq!(app.reconcile().await.json["chargebacks"], 0);
    // A fee and an answer are kept, and tell nobody of new trouble.
    app.at_sandbox("/sandbox/chargebacks", raise(json!({ "type": "Fee" }))).await.expect(200);
    app.at_sandbox("/sandbox/chargebacks", raise(json!({ "operation": "Representment" }))).await.expect(200);
    assert_eq!(app.reconcile().await.json["chargebacks"], 2);
    assert_eq!((chargebacks(&app).await.len(), app.events(payment.id()).await.len()), (3, 3));
    assert_eq!(app.rows(payment.id()).await.len(), 5, "all three stand in the history");
    app.finish().await;
}

/// A terminal without that right is compared all the same.
async fn chargebacks_that_are_refused_hold_up_nothing(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let paid = paid_in_silence(&app, "KM-1").await;
    let body = json!({ "Success": false, "Message": "Not allowed" }).to_string();
    app.break_answer("/chargebacks/list", ApiFaultKind::StatusAfter { status: 200, body: Some(body) });
    let run = app.reconcile().await;
    assert_eq!((run.text("/state"), run.json["booked"].as_i64()), ("completed", Some(1)), "{}", run.json);
    assert!(run.text("/reason").contains("chargebacks"), "{}", run.json);
    assert_eq!(app.payment(paid.id()).await.text("/status"), "paid");
    app.finish().await;
}

async fn count(app: &TestApp, query: &str) -> usize {
    let list = app.get(&format!("/v1/chargebacks?{query}")).await.expect(200);
    list.json["data"].as_array().unwrap().len()
}

async fn chargebacks_of_unknown_payments_wait_for_them(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    app.let_others_answer().await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let foreign = json!({ "amount": "700.00", "currency": "KZT", "invoice_id": "SHOP-1", "card": APPROVED });
    let foreign = app.pay(foreign).await.json["transaction_id"].clone();
    let unheard = app.pay(order(&payment, APPROVED)).await.json["transaction_id"].clone();
    for id in [&foreign, &unheard] {
        app.at_sandbox("/sandbox/chargebacks", json!({ "transaction_id": id })).await.expect(200);
    }
    // Before the register is compared neither is known.
    app.break_answer(LIST, page(json!([])));
    let run = app.reconcile().await;
    assert_eq!(run.json["chargebacks"], 2);
    assert_eq!((count(&app, "payment=unknown").await, count(&app, "payment=known").await), (2, 0));
    app.reconcile().await;
    assert_eq!((count(&app, "payment=unknown").await, count(&app, "payment=known").await), (1, 1));
    assert_eq!(count(&app, &format!("payment_id={}", payment.id())).await, 1);
    assert!(app.events(payment.id()).await.contains(&"chargeback.opened".to_owned()));
    app.get("/v1/chargebacks?payment=all").await.expect_problem(422, "invalid_request");
    app.stop().await;
}

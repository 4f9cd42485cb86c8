//! What an older copy of the database goes on with: payers who were at their bank, and calls that were never answered.

use cloudpayments_sandbox::{ApiFaultKind, SandboxConfig};
use serde_json::json;

use crate::support::{APPROVED, Body, CARD_THREE_DS, Engine, Reply, TestApp, card, expect_sums, with};

crate::on_both!(
    a_payment_that_was_made_at_the_bank_is_not_withdrawn,
    a_payment_that_was_made_at_the_bank_is_found_at_the_second_look,
    a_payer_at_the_bank_of_whom_the_provider_knows_nothing_is_not_missing,
    a_refund_is_not_repeated_beside_one_of_a_lost_request,
);

async fn started(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |raw| raw.with("reconciliation.daily", "false")).await
}

async fn gap(app: &TestApp) -> String {
    app.get("/health/ready").await.expect(200).text("/register_gap").to_owned()
}

async fn status(app: &TestApp, payment: &Reply) -> String {
    app.payment(payment.id()).await.text("/status").to_owned()
}

/// A payer was at the bank when the copy was taken, and has paid before it was put back: the transaction is older than what
/// the start reads of the register.
async fn paid_after_the_copy(engine: Engine) -> (TestApp, Reply) {
    let app = started(engine).await;
    let body = with(with(card("KM-1", CARD_THREE_DS), "return_url", "https://kmic.kz/done"), "expires_in", 86_400);
    let payment = app.create(body).await.expect(201);
    let form = app.at_bank(&payment, "pass").await;
    let field = |name: &str| form.fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    let answer: Body = json!({ "md": field("MD"), "pa_res": field("PaRes") });
    app.advance(3600);
    app.create(card("KM-2", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let mut copy = None;
    let app = app.restart(|database| copy = Some(database.copy())).await;
    app.step_runs().await;
    app.advance(60);
    app.act(payment.id(), "three-ds", answer).await.expect(200);
    assert_eq!(status(&app, &payment).await, "paid");
    app.sandbox.flush_notifications().await;
    app.advance(60);
    let app = app.restart(|database| database.restore(copy.as_ref().unwrap())).await;
    app.step_runs().await;
    assert_eq!(
        (gap(&app).await, status(&app, &payment).await),
        ("read".to_owned(), "awaiting_authentication".to_owned())
    );
    (app, payment)
}

async fn a_payment_that_was_made_at_the_bank_is_not_withdrawn(engine: Engine) {
    let (app, payment) = paid_after_the_copy(engine).await;
    app.act(payment.id(), "cancel", json!({})).await.expect_problem(409, "invalid_state");
    assert_eq!(status(&app, &payment).await, "paid");
    app.finish().await;
}

async fn a_payment_that_was_made_at_the_bank_is_found_at_the_second_look(engine: Engine) {
    let (app, payment) = paid_after_the_copy(engine).await;
    app.advance(700);
    app.step_runs().await;
    assert_eq!(status(&app, &payment).await, "paid");
    app.finish().await;
}

/// Nobody has paid, and nobody says so: it is no disagreement, and the payment ends as any other.
async fn a_payer_at_the_bank_of_whom_the_provider_knows_nothing_is_not_missing(engine: Engine) {
    let app = started(engine).await;
    let payment = app.create(with(card("KM-1", CARD_THREE_DS), "expires_in", 3600)).await.expect(201);
    app.advance(1200);
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    let not_found = json!({ "Model": null, "Success": false, "Message": "Not found" }).to_string();
    let unknown = || ApiFaultKind::StatusAfter { status: 200, body: Some(not_found.clone()) };
    app.break_answer("/payments/get", unknown());
    app.advance(700);
    app.step_runs().await;
    assert_eq!(app.discrepancies().await, Vec::<serde_json::Value>::new());
    assert!(app.payment(payment.id()).await.json["attention"].is_null());
    app.break_answer("/payments/get", unknown());
    app.advance(3600);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(status(&app, &payment).await, "expired");
    app.finish().await;
}

/// The site was told that nothing was done and asked anew, in the time that is lost: only the older request is known here.
async fn a_refund_is_not_repeated_beside_one_of_a_lost_request(engine: Engine) {
    let config = SandboxConfig { refunds_keep_data: true, ..TestApp::sandbox_config() };
    let app = TestApp::start_against(engine, config, |raw| raw.with("reconciliation.daily", "false")).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let (mut before, mut copy) = (None, None);
    let app = app.restart(|database| before = Some(database.copy())).await;
    app.step_runs().await;
    app.break_answer("/payments/refund", ApiFaultKind::DropBefore);
    app.refund(payment.id(), "100.00").await.expect(202);
    // As if the first request had ended with "nothing was done" right after the copy.
    let app = app
        .restart(|database| {
            copy = Some(database.copy());
            database.restore(before.as_ref().unwrap());
        })
        .await;
    app.step_runs().await;
    app.advance(60);
    app.refund(payment.id(), "100.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    app.advance(60);
    let app = app.restart(|database| database.restore(copy.as_ref().unwrap())).await;
    app.step_runs().await;
    app.advance(600);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    for _ in 0..3 {
        app.advance(60);
        app.running.app.settle_step().await.unwrap();
    }
    assert_eq!(app.refunds(), 1, "only the one of the lost request");
    let seen = app.payment(payment.id()).await;
    assert_eq!(seen.text("/attention"), "refund_unclear");
    expect_sums(&seen, "12500.00", "100.00", "12300.00");
    app.refund(payment.id(), "50.00").await.expect_problem(409, "refunded_before_restore");
    app.stop().await;
}

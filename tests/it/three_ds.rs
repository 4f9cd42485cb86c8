//! 3-D Secure: by the payer's browser and from the backend.

use cloudpayments_sandbox::ApiFaultKind;
use kmic_payments::domain::scope::Scope;
use serde_json::json;

use crate::support::{
    APPROVED, Body, CARD_THREE_DS, CARD_THREE_DS_NO_FUNDS, Engine, Form, Reply, Sql, TestApp, card, expect_sums,
    form_of, transaction_id, with,
};

crate::on_both!(
    the_browser_goes_to_the_bank_and_back,
    the_step_at_the_bank_is_shown_to_few,
    the_backend_finishes_with_md_and_pa_res,
    a_failed_authentication_is_declined,
    a_payer_without_an_address_reads_what_became_of_it,
    a_card_without_funds_is_declined_after_the_bank_page,
    a_payer_who_never_comes_back_expires,
    a_late_return_does_not_charge,
    a_second_return_changes_nothing,
    two_returns_at_once_charge_once,
    another_transaction_is_refused,
    a_changed_link_is_refused,
    a_payment_at_the_bank_can_be_withdrawn,
);

const RETURN_URL: &str = "https://kmic.kz/done?policy=7";

/// A payment whose payer has to go to the bank.
async fn waiting(app: &TestApp, number: &str) -> Reply {
    let body = with(with(card("D-1", number), "return_url", RETURN_URL), "expires_in", 600);
    let payment = app.create(body).await.expect(201);
    assert_eq!(payment.text("/status"), "awaiting_authentication");
    assert_eq!(payment.text("/next_action/type"), "three_ds");
    payment
}

/// Where a browser that was sent on goes.
#[track_caller]
fn expect_sent_on(reply: &Reply, payment: &Reply, status: &str) {
    assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.bytes));
    assert_eq!(reply.header("location"), format!("{RETURN_URL}&payment_id={}&status={status}", payment.id()));
}

/// What the backend sends of the bank's form.
fn bank_answer(form: &Form) -> Body {
    let field = |name: &str| form.fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    json!({ "md": field("MD"), "pa_res": field("PaRes") })
}

async fn open(app: &TestApp, url: &str) -> Reply {
    Reply::receive(app.http.get(url)).await
}

async fn the_browser_goes_to_the_bank_and_back(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    let page = open(&app, payment.text("/next_action/redirect_url")).await.expect(200).page();
    let to_bank = form_of(&page, "PaReq").unwrap();
    assert_eq!(to_bank.action, payment.text("/next_action/acs_url"));
    let bank = app.submit(&to_bank).await.expect(200).page();
    let back = app.submit(&form_of(&bank, "id=\"pass\"").unwrap()).await;
    expect_sent_on(&back, &payment, "paid");

    let paid = app.payment(payment.id()).await;
    assert_eq!(paid.text("/status"), "paid");
    expect_sums(&paid, "12500.00", "0.00", "12500.00");
    let history = app.history(payment.id()).await;
    assert_eq!(history[..2], [">processing by api", "processing>awaiting_authentication by provider_answer"]);
    assert_eq!(history[2], "awaiting_authentication>processing by api");
    assert_eq!(app.rows(payment.id()).await[2]["actor"], "payer");
    assert_eq!(app.events(payment.id()).await, ["payment.paid"]);
    let again = open(&app, payment.text("/next_action/redirect_url")).await;
    expect_sent_on(&again, &payment, "paid");
    app.finish().await;
}

/// Whoever has its link can end the payment, and it tells of the payer.
async fn the_step_at_the_bank_is_shown_to_few(engine: Engine) {
    let app = TestApp::start(engine).await;
    let order = card("D-1", CARD_THREE_DS);
    let payment = app.post_as("/v1/payments", "the-charge", order.clone()).await.expect(201);
    let path = format!("/v1/payments/{}", payment.id());
    let step = &payment.json["next_action"];
    let told = ["acs_url", "pa_req", "redirect_url", "term_url"].map(|name| step[name].as_str().unwrap().to_owned());

    let reader = app.new_key(&[Scope::PaymentsRead, Scope::PaymentsWrite, Scope::OpsWrite]).await;
    let reader = format!("Bearer {reader}");
    for (method, path) in [("GET", &path), ("GET", &"/v1/payments".to_owned()), ("POST", &format!("{path}/sync"))] {
        let shown = app.call_as(method, path, Some(&reader)).await.expect(200).page();
        assert!(shown.contains("awaiting_authentication"), "{shown}");
        assert!(!shown.contains("next_action") && !told.iter().any(|value| shown.contains(value)), "{shown}");
    }
    // The site polls, or repeats its request.
    assert_eq!(&app.get(&path).await.expect(200).json["next_action"], step);
    let repeat = app.post_as("/v1/payments", "the-charge", order).await.expect(201);
    assert_eq!((repeat.header("idempotent-replayed"), &repeat.json["next_action"]), ("true", step));

    let mut sql = Sql::open(&app.database.url);
    let readings = "SELECT count(*) AS value FROM personal_data_access WHERE action = 'payment'";
    assert_eq!(sql.number(readings), 0);
    let officer = app.new_key(&[Scope::PaymentsRead, Scope::PersonalDataWrite]).await;
    let shown = app.call_as("GET", &path, Some(&format!("Bearer {officer}"))).await.expect(200);
    assert_eq!((&shown.json["next_action"], sql.number(readings)), (step, 1));

    let back = app.submit(&app.at_bank(&payment, "pass").await).await.expect(200).page();
    assert!(back.contains("Платёж"), "{back}");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    app.finish().await;
}

async fn the_backend_finishes_with_md_and_pa_res(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    let answer = bank_answer(&app.at_bank(&payment, "pass").await);
    let paid = app.act(payment.id(), "three-ds", answer.clone()).await.expect(200);
    assert_eq!(paid.text("/status"), "paid");
    expect_sums(&paid, "12500.00", "0.00", "12500.00");
    app.act(payment.id(), "three-ds", answer).await.expect_problem(409, "invalid_state");
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn a_failed_authentication_is_declined(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    let back = app.submit(&app.at_bank(&payment, "fail").await).await;
    expect_sent_on(&back, &payment, "declined");
    let declined = app.payment(payment.id()).await;
    assert_eq!(declined.text("/decline/category"), "three_ds_failed");
    assert_eq!(app.events(payment.id()).await, ["payment.declined"]);
    assert_eq!(app.charges(), 0);
    app.finish().await;
}

/// Above all nobody is told to go away whose payment may have failed, or to pay again whose payment may be made.
async fn a_payer_without_an_address_reads_what_became_of_it(engine: Engine) {
    let app = TestApp::start(engine).await;
    for (invoice, language, button, lost, told) in [
        ("N-1", "ru", "pass", false, "Платёж обработан."),
        ("N-2", "kk", "fail", false, "Төлем өтпеді. Сайтқа оралыңыз."),
        ("N-3", "en", "pass", true, "Please do not pay again"),
    ] {
        let payment = app.create(with(card(invoice, CARD_THREE_DS), "language", language)).await.expect(201);
        let form = app.at_bank(&payment, button).await;
        if lost {
            app.break_answer("/payments/cards/post3ds", ApiFaultKind::DropAfter);
        }
        let page = app.submit(&form).await.expect(200).page();
        assert!(page.contains(told), "{page}");
    }
    app.finish().await;
}

async fn a_card_without_funds_is_declined_after_the_bank_page(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS_NO_FUNDS).await;
    let answer = bank_answer(&app.at_bank(&payment, "pass").await);
    let declined = app.act(payment.id(), "three-ds", answer).await.expect(200);
    assert_eq!(declined.text("/status"), "declined");
    assert_eq!(declined.text("/decline/category"), "insufficient_funds");
    app.finish().await;
}

async fn a_payer_who_never_comes_back_expires(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    assert_eq!(app.running.app.expire_step().await.unwrap(), 0);
    app.advance(601);
    assert_eq!(app.running.app.expire_step().await.unwrap(), 1);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "expired");
    assert_eq!(app.history(payment.id()).await.pop().unwrap(), "awaiting_authentication>expired by expiry");
    assert_eq!(app.events(payment.id()).await, ["payment.expired"]);
    app.finish().await;
}

async fn a_late_return_does_not_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    let form = app.at_bank(&payment, "pass").await;
    app.advance(601);
    app.running.app.expire_step().await.unwrap();
    expect_sent_on(&app.submit(&form).await, &payment, "expired");
    app.act(payment.id(), "three-ds", bank_answer(&form)).await.expect_problem(409, "invalid_state");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "expired");
    assert_eq!(app.charges(), 0);
    app.finish().await;
}

async fn a_second_return_changes_nothing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    let form = app.at_bank(&payment, "pass").await;
    expect_sent_on(&app.submit(&form).await, &payment, "paid");
    app.sandbox.flush_notifications().await;
    let before = app.payment(payment.id()).await;
    expect_sent_on(&app.submit(&form).await, &payment, "paid");
    assert_eq!(app.payment(payment.id()).await.json, before.json);
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn two_returns_at_once_charge_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    let form = app.at_bank(&payment, "pass").await;
    let (one, other) = tokio::join!(app.submit(&form), app.submit(&form));
    for reply in [one.expect(303), other.expect(303)] {
        assert!(reply.header("location").starts_with(RETURN_URL));
    }
    app.sandbox.flush_notifications().await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    assert_eq!(app.charges(), 1);
    assert_eq!(app.events(payment.id()).await, ["payment.paid"]);
    app.finish().await;
}

async fn another_transaction_is_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    let other = app.create(card("D-2", CARD_THREE_DS)).await.expect(201);
    let answer = bank_answer(&app.at_bank(&payment, "pass").await);
    let wrong = with(answer.clone(), "md", transaction_id(&other).to_string());
    app.act(payment.id(), "three-ds", wrong).await.expect_problem(409, "wrong_transaction");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "awaiting_authentication");
    let paid = app.act(payment.id(), "three-ds", answer).await.expect(200);
    assert_eq!(paid.text("/status"), "paid");
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn a_changed_link_is_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    let other = app.create(card("D-2", CARD_THREE_DS)).await.expect(201);
    let link = payment.text("/next_action/redirect_url");
    let without = link.split('?').next().unwrap();
    for wrong in [link.replace("signature=", "signature=A"), without.to_owned(), link.replace(payment.id(), other.id())]
    {
        open(&app, &wrong).await.expect_problem(403, "invalid_link");
    }
    let mut form = app.at_bank(&payment, "pass").await;
    form.action = form.action.replace("signature=", "signature=A");
    app.submit(&form).await.expect_problem(403, "invalid_link");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "awaiting_authentication");
    app.finish().await;
}

async fn a_payment_at_the_bank_can_be_withdrawn(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = waiting(&app, CARD_THREE_DS).await;
    let form = app.at_bank(&payment, "pass").await;
    let cancelled = app.act(payment.id(), "cancel", json!({})).await.expect(200);
    assert_eq!(cancelled.text("/status"), "cancelled");
    expect_sent_on(&app.submit(&form).await, &payment, "cancelled");
    assert_eq!(app.charges(), 0);
    let paid = app.create(card("D-1", APPROVED)).await.expect(201);
    assert_eq!(paid.text("/status"), "paid");
    app.finish().await;
}

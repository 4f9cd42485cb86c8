//! After 3-D Secure the provider may go on with a second bank: what the first one said is no end of the payment.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};
use serde_json::{Value, json};

use crate::support::{
    Body, CARD_THREE_DS, CARD_THREE_DS_NO_FUNDS, Engine, Reply, TestApp, card, expect_sums, money, order,
    transaction_id, widget, with,
};

crate::on_both!(
    the_answer_about_a_second_bank_is_taken,
    two_banks_that_refuse_decline_the_payment,
    an_answer_that_does_not_fit_the_payment_is_not_taken,
    a_second_bank_behind_a_lost_answer_is_found,
    a_second_bank_behind_a_lost_answer_is_told_of,
    a_second_bank_that_the_register_shows_late_is_found,
    a_refusal_behind_a_lost_answer_declines_when_nothing_else_can_come,
    a_second_bank_in_the_window_is_found,
    a_second_bank_behind_a_later_attempt_keeps_the_payment_from_expiring,
    a_second_bank_in_the_window_that_shows_late_is_found,
    a_second_bank_in_the_window_behind_a_refusal_is_found,
    whoever_asks_hears_of_a_second_bank_in_the_window,
    a_second_bank_without_a_name_is_found,
    a_payment_is_not_withdrawn_beside_a_second_bank_without_a_name,
    a_second_bank_without_a_name_belongs_to_the_payment_of_its_sum,
);

const FINISH: &str = "/payments/cards/post3ds";
const FIND: &str = "/payments/find";
const LIST: &str = "/v2/payments/list";
/// After so many seconds the provider can no longer be working on a call.
const OVER_S: u32 = 15 * 60;

/// A payment whose payer is back from the bank, and what the site sends of it.
async fn authenticated(app: &TestApp, number: &str) -> (Reply, Body) {
    let payment = app.create(card("R-1", number)).await.expect(201);
    let form = app.at_bank(&payment, "pass").await;
    let field = |name: &str| form.fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    let answer = json!({ "md": field("MD"), "pa_res": field("PaRes") });
    (payment, answer)
}

fn fall_back(app: &TestApp) {
    app.break_answer(FINISH, ApiFaultKind::ReserveBank { reason_code: 5005 });
}

/// The answer to the end of 3-D Secure is lost, and so are these notifications.
async fn lost(app: &TestApp, number: &str, notifications: &[NotificationKind]) -> Reply {
    let (payment, answer) = authenticated(app, number).await;
    app.break_answer(FINISH, ApiFaultKind::DropAfter);
    for kind in notifications {
        app.lose(*kind);
    }
    let reply = app.act(payment.id(), "three-ds", answer).await;
    // A notification may be faster than the connection that breaks off.
    assert!(matches!(reply.status, 200 | 202), "{}", reply.json);
    app.sandbox.flush_notifications().await;
    payment
}

async fn seen(app: &TestApp, payment: &Reply) -> (String, String) {
    let seen = app.payment(payment.id()).await;
    (seen.text("/status").to_owned(), seen.text("/outcome/certainty").to_owned())
}

/// Asks about every call that is due; what the payment shows then.
async fn settled(app: &TestApp, payment: &Reply, seconds: u32) -> (String, String) {
    app.advance(seconds);
    app.running.app.settle_step().await.unwrap();
    seen(app, payment).await
}

fn expected(status: &str, certainty: &str) -> (String, String) {
    (status.to_owned(), certainty.to_owned())
}

/// What the provider would say instead of the truth.
fn model(model: &Value) -> ApiFaultKind {
    let body = json!({ "Model": model, "Success": true, "Message": null }).to_string();
    ApiFaultKind::StatusAfter { status: 200, body: Some(body) }
}

/// Paid by the second transaction, once, and never called declined.
async fn expect_paid_by_the_second(app: TestApp, payment: &Reply) {
    let paid = app.payment(payment.id()).await;
    assert_eq!((paid.text("/status"), paid.text("/outcome/certainty")), ("paid", "proven"), "{}", paid.json);
    expect_sums(&paid, "12500.00", "0.00", "12500.00");
    let second = transaction_id(payment) + 1;
    let all = paid.json["transactions"].as_array().unwrap();
    let of_second = all.iter().find(|one| one["transaction_id"] == second).unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!(of_second["status"], "completed");
    assert_eq!(app.charges(), 1);
    assert_eq!(app.events(payment.id()).await, ["payment.paid"]);
    app.finish().await;
}

async fn the_answer_about_a_second_bank_is_taken(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (payment, answer) = authenticated(&app, CARD_THREE_DS).await;
    fall_back(&app);
    let paid = app.act(payment.id(), "three-ds", answer).await.expect(200);
    assert_eq!((paid.text("/status"), paid.text("/outcome/certainty")), ("paid", "proven"));
    app.sandbox.flush_notifications().await;
    expect_paid_by_the_second(app, &payment).await;
}

async fn two_banks_that_refuse_decline_the_payment(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (payment, answer) = authenticated(&app, CARD_THREE_DS_NO_FUNDS).await;
    fall_back(&app);
    let declined = app.act(payment.id(), "three-ds", answer).await.expect(200);
    assert_eq!((declined.text("/status"), declined.text("/outcome/certainty")), ("declined", "proven"));
    assert_eq!(declined.text("/decline/category"), "insufficient_funds");
    app.finish().await;
}

async fn an_answer_that_does_not_fit_the_payment_is_not_taken(engine: Engine) {
    let app = TestApp::start(engine).await;
    for (spoiled, value) in [
        ("FallBackScenarioDeclinedTransactionId", json!(1)),
        ("FallBackScenarioDeclinedTransactionId", json!(null)),
        ("InvoiceId", json!("R-2")),
        ("Amount", json!(12_499)),
        ("Currency", json!("RUB")),
        ("JsonData", json!(json!({ "payment_id": "pay_01kaq0j5m8x2v9c4t7b1n6r3ed" }).to_string())),
    ] {
        let (payment, answer) = authenticated(&app, CARD_THREE_DS).await;
        let second = json!({
            "TransactionId": 5_000_000_001_i64, "Type": 0, "Status": "Completed", "Amount": 12_500, "Currency": "KZT",
            "InvoiceId": "R-1", "FallBackScenarioDeclinedTransactionId": transaction_id(&payment),
            "JsonData": json!({ "payment_id": payment.id() }).to_string(),
        });
        app.break_answer(FINISH, model(&with(second, spoiled, value)));
        app.lose(NotificationKind::Pay);
        let reply = app.act(payment.id(), "three-ds", answer).await.expect(202);
        assert_eq!((reply.text("/status"), reply.text("/outcome/certainty")), ("processing", "undetermined"));
        assert_eq!(settled(&app, &payment, 6).await, expected("paid", "proven"));
        assert_eq!(app.events(payment.id()).await, ["payment.paid"], "{spoiled}");
    }
    app.finish().await;
}

async fn a_second_bank_behind_a_lost_answer_is_found(engine: Engine) {
    let app = TestApp::start(engine).await;
    fall_back(&app);
    let payment = lost(&app, CARD_THREE_DS, &[NotificationKind::Pay]).await;
    // The first bank's refusal was told of, and decides nothing.
    assert_eq!(seen(&app, &payment).await, expected("processing", "undetermined"));
    assert_eq!(settled(&app, &payment, 6).await, expected("paid", "proven"));
    expect_paid_by_the_second(app, &payment).await;
}

async fn a_second_bank_behind_a_lost_answer_is_told_of(engine: Engine) {
    let app = TestApp::start(engine).await;
    fall_back(&app);
    let payment = lost(&app, CARD_THREE_DS, &[]).await;
    expect_paid_by_the_second(app, &payment).await;
}

/// Neither before the provider can no longer be working on it, nor by a register that cannot be read.
async fn a_second_bank_that_the_register_shows_late_is_found(engine: Engine) {
    let app = TestApp::start(engine).await;
    fall_back(&app);
    let payment = lost(&app, CARD_THREE_DS, &[NotificationKind::Fail, NotificationKind::Pay]).await;
    for (seconds, items) in [(60, json!([])), (OVER_S, json!([{ "TransactionId": "of a kind to come" }]))] {
        app.break_answer(FIND, ApiFaultKind::StatusBefore { status: 500 });
        app.break_answer(LIST, model(&items));
        assert_eq!(settled(&app, &payment, seconds).await, expected("processing", "undetermined"), "{items}");
    }
    assert_eq!(settled(&app, &payment, 600).await, expected("paid", "proven"));
    expect_paid_by_the_second(app, &payment).await;
}

async fn a_refusal_behind_a_lost_answer_declines_when_nothing_else_can_come(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = lost(&app, CARD_THREE_DS_NO_FUNDS, &[]).await;
    assert_eq!(settled(&app, &payment, 60).await, expected("processing", "undetermined"));
    assert_eq!(app.sync(payment.id()).await.text("/status"), "processing");
    assert_eq!(settled(&app, &payment, OVER_S).await, expected("declined", "proven"));
    assert_eq!(app.payment(payment.id()).await.text("/decline/category"), "insufficient_funds");
    assert_eq!(app.events(payment.id()).await, ["payment.declined"]);
    app.finish().await;
}

/// A payer pays in the provider's window by a second bank, and these notifications are lost.
async fn paid_in_window(app: &TestApp, notifications: &[NotificationKind]) -> Reply {
    let payment = app.create(widget("R-1")).await.expect(201);
    let attempt = order(&payment, CARD_THREE_DS);
    second_bank_takes(app, attempt, notifications).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "awaiting_payer");
    payment
}

/// The same, where the site gave the window nothing to send along: only the bill tells whose the money is.
async fn paid_without_a_name(app: &TestApp) -> Reply {
    let payment = app.create(widget("R-1")).await.expect(201);
    let attempt = with(order(&payment, CARD_THREE_DS), "data", Value::Null);
    second_bank_takes(app, attempt, &[NotificationKind::Fail, NotificationKind::Pay]).await;
    payment
}

async fn second_bank_takes(app: &TestApp, mut attempt: Body, notifications: &[NotificationKind]) {
    attempt["skip_three_ds"] = Value::Bool(false);
    let first = app.pay(attempt).await.json["transaction_id"].as_i64().unwrap();
    fall_back(app);
    for kind in notifications {
        app.lose(*kind);
    }
    let answer = json!({ "TransactionId": first, "PaRes": cloudpayments_sandbox::engine::pa_res(first, true) });
    let done = app.at_provider(FINISH, answer).await;
    assert_eq!(done.json["Model"]["TransactionId"], first + 1, "{}", done.json);
    app.sandbox.flush_notifications().await;
}

async fn a_second_bank_in_the_window_is_found(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid_in_window(&app, &[NotificationKind::Fail, NotificationKind::Pay]).await;
    assert_eq!(settled(&app, &payment, 21).await, expected("paid", "proven"));
    app.finish().await;
}

/// Neither a look that is not answered nor one that shows nothing yet is the last one.
async fn a_second_bank_in_the_window_that_shows_late_is_found(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid_in_window(&app, &[NotificationKind::Fail, NotificationKind::Pay]).await;
    app.break_answer(FIND, ApiFaultKind::StatusBefore { status: 500 });
    assert_eq!(settled(&app, &payment, 21).await, expected("awaiting_payer", "proven"));
    let not_yet = json!({ "Model": null, "Success": false, "Message": "Not found" }).to_string();
    app.break_answer(FIND, ApiFaultKind::StatusAfter { status: 200, body: Some(not_yet) });
    assert_eq!(settled(&app, &payment, 40).await, expected("awaiting_payer", "proven"));
    assert_eq!(settled(&app, &payment, 90).await, expected("paid", "proven"));
    app.finish().await;
}

async fn whoever_asks_hears_of_a_second_bank_in_the_window(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid_in_window(&app, &[NotificationKind::Pay]).await;
    assert_eq!(seen(&app, &payment).await, expected("awaiting_payer", "proven"));
    assert_eq!(app.sync(payment.id()).await.expect(200).text("/status"), "paid");
    app.finish().await;
}

/// That the first bank refused was told of: it settles the attempt, and not the question what followed. Nor does a stop.
async fn a_second_bank_in_the_window_behind_a_refusal_is_found(engine: Engine) {
    for stops in [false, true] {
        let app = TestApp::start(engine).await;
        let payment = paid_in_window(&app, &[NotificationKind::Pay]).await;
        let app = if stops { app.restart(|_| {}).await } else { app };
        assert_eq!(settled(&app, &payment, 21).await, expected("paid", "proven"));
        app.finish().await;
    }
}

/// The bill shows a later attempt of the same payment, which was refused; nobody asked about the first one meanwhile.
async fn a_second_bank_behind_a_later_attempt_keeps_the_payment_from_expiring(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("R-1")).await.expect(201);
    let attempt = order(&payment, CARD_THREE_DS);
    second_bank_takes(&app, attempt, &[NotificationKind::Fail, NotificationKind::Pay]).await;
    // Its Check is refused beside the first one.
    app.pay(order(&payment, CARD_THREE_DS)).await;
    app.advance(4 * 86_400);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(seen(&app, &payment).await, expected("paid", "proven"));
    app.finish().await;
}

async fn a_second_bank_without_a_name_is_found(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid_without_a_name(&app).await;
    assert_eq!(settled(&app, &payment, 21).await, expected("paid", "proven"));
    app.stop().await;
}

async fn a_payment_is_not_withdrawn_beside_a_second_bank_without_a_name(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid_without_a_name(&app).await;
    app.act(payment.id(), "cancel", json!({})).await.expect(409);
    assert_eq!(seen(&app, &payment).await, expected("paid", "proven"));
    app.stop().await;
}

/// Two payments of one bill: the sum tells which one was paid. The other one expires.
async fn a_second_bank_without_a_name_belongs_to_the_payment_of_its_sum(engine: Engine) {
    let app = TestApp::start(engine).await;
    let other = app.create(with(widget("R-1"), "amount", money("9000.00"))).await.expect(201);
    let payment = paid_without_a_name(&app).await;
    app.advance(4 * 86_400);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(seen(&app, &payment).await, expected("paid", "proven"));
    assert_eq!(seen(&app, &other).await, expected("expired", "proven"));
    app.stop().await;
}

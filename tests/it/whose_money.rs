//! Whose money it is where the provider's record does not name our payment: bills are used again, and shared.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};
use serde_json::{Value, json};

use crate::support::{
    APPROVED, Body, CARD_NO_FUNDS, CARD_THREE_DS, Engine, Reply, TestApp, card, expect_sums, order, widget, with,
    with_quiet_runs,
};

crate::on_both!(
    an_old_payment_of_the_bill_is_not_this_one,
    an_old_payment_of_the_bill_does_not_end_a_lost_charge,
    an_old_payment_of_the_bill_is_not_booked_by_a_run,
    a_notification_that_came_before_the_payment_is_not_of_it,
    what_another_payment_of_the_bill_was_paid_with_does_not_keep_this_one,
    money_of_another_sum_does_not_end_a_lost_charge,
    money_of_another_sum_does_not_end_a_lost_three_ds,
    money_of_another_sum_under_the_bill_is_not_taken_for_the_lost_charge,
    a_second_bank_behind_a_refused_attempt_is_found,
    a_payment_is_not_withdrawn_beside_a_second_bank_behind_a_refused_attempt,
    the_history_tells_of_each_hold,
);

const CHARGE: &str = "/payments/cards/charge";
const FINISH: &str = "/payments/cards/post3ds";
const FIND: &str = "/payments/find";
const LIST: &str = "/v2/payments/list";
/// After so many seconds the provider can no longer be working on a charge.
const OVER_S: u32 = 15 * 60;
/// No payment of ours.
const THEIRS: i64 = 5_000_000_001;

/// A record without our name, of the bill of these tests; made in 2025.
fn nameless(amount: u32) -> Value {
    json!({
        "TransactionId": THEIRS, "Type": 0, "Status": "Completed", "Amount": amount, "Currency": "KZT", "InvoiceId": "W-1",
        "CreatedDate": "/Date(1748736000000)/", "ConfirmDate": "/Date(1748736000000)/",
    })
}

fn answer(model: &Value) -> ApiFaultKind {
    let body = json!({ "Model": model, "Success": true, "Message": null }).to_string();
    ApiFaultKind::StatusAfter { status: 200, body: Some(body) }
}

async fn seen(app: &TestApp, payment: &Reply) -> (String, String) {
    let seen = app.payment(payment.id()).await;
    (seen.text("/status").to_owned(), seen.text("/outcome/certainty").to_owned())
}

async fn settled(app: &TestApp, payment: &Reply, seconds: u32) -> (String, String) {
    app.advance(seconds);
    app.running.app.settle_step().await.unwrap();
    seen(app, payment).await
}

fn expected(status: &str, certainty: &str) -> (String, String) {
    (status.to_owned(), certainty.to_owned())
}

/// Money without our name, told by a notification.
async fn told_of(app: &TestApp, amount: &str) {
    let number = THEIRS.to_string();
    let fields = [
        ("TransactionId", number.as_str()),
        ("Amount", amount),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("InvoiceId", "W-1"),
        ("Status", "Completed"),
    ];
    app.notify("pay", &fields).await;
}

async fn an_old_payment_of_the_bill_is_not_this_one(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("W-1")).await.expect(201);
    app.break_answer(FIND, answer(&nameless(12_500)));
    assert_eq!(app.sync(payment.id()).await.text("/status"), "awaiting_payer");
    app.advance(4 * 86_400);
    app.break_answer(FIND, answer(&nameless(12_500)));
    app.running.app.expire_step().await.unwrap();
    assert_eq!(seen(&app, &payment).await, expected("expired", "proven"));
    app.finish().await;
}

async fn an_old_payment_of_the_bill_does_not_end_a_lost_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.break_answer(CHARGE, ApiFaultKind::DropBefore);
    let lost = app.create(card("W-1", APPROVED)).await.expect(202);
    app.break_answer(FIND, answer(&nameless(12_500)));
    assert_eq!(settled(&app, &lost, 6).await, expected("processing", "undetermined"));
    app.break_answer(FIND, answer(&nameless(12_500)));
    assert_eq!(settled(&app, &lost, OVER_S).await, expected("expired", "proven"));
    app.finish().await;
}

/// It is told as what it is: money that the register has and we have not.
async fn an_old_payment_of_the_bill_is_not_booked_by_a_run(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let payment = app.create(card("W-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let list = app.at_provider(LIST, json!({
        "CreatedDateGte": "2020-01-01T00:00:00+00:00", "CreatedDateLte": "2035-01-01T00:00:00+00:00", "PageNumber": 1,
    }));
    let mut items = list.await.json["Model"].as_array().unwrap().clone();
    items.push(nameless(12_500));
    app.break_answer(LIST, answer(&Value::from(items)));
    app.reconcile().await;
    assert_eq!(app.disagreements().await, ["missing_here open"]);
    let after = app.payment(payment.id()).await;
    assert_eq!((after.text("/status"), after.text("/attention")), ("paid", ""));
    expect_sums(&after, "12500.00", "0.00", "12500.00");
    app.stop().await;
}

async fn a_notification_that_came_before_the_payment_is_not_of_it(engine: Engine) {
    let app = TestApp::start(engine).await;
    told_of(&app, "12500.00").await;
    app.advance(3_600);
    let payment = app.create(widget("W-1")).await.expect(201);
    let list = app.get("/v1/notifications").await.expect(200);
    let id = list.json["data"][0]["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/notifications/{id}/replay"), json!({})).await.expect(200);
    assert_eq!(seen(&app, &payment).await, expected("awaiting_payer", "proven"));
    assert_eq!(app.verdicts().await, ["pay unmatched"]);
    app.stop().await;
}

/// Two payments of one bill and sum, one of them paid by a window that was given no name: the other one ends.
async fn what_another_payment_of_the_bill_was_paid_with_does_not_keep_this_one(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(widget("W-1")).await.expect(201);
    app.pay(with(order(&paid, APPROVED), "data", Value::Null)).await;
    app.sandbox.flush_notifications().await;
    assert_eq!(seen(&app, &paid).await, expected("paid", "proven"));
    let other = app.create(widget("W-1")).await.expect(201);
    app.break_answer(CHARGE, ApiFaultKind::DropBefore);
    let lost = app.create(card("W-1", APPROVED)).await.expect(202);
    assert_eq!(settled(&app, &lost, OVER_S).await, expected("expired", "proven"));
    app.advance(4 * 86_400);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(seen(&app, &other).await, expected("expired", "proven"));
    app.stop().await;
}

/// A part of the bill was paid in the cabinet while the answer to our charge is lost.
async fn money_of_another_sum_does_not_end_a_lost_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.break_answer(CHARGE, ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Pay);
    let lost = app.create(card("W-1", APPROVED)).await.expect(202);
    told_of(&app, "40.00").await;
    assert_eq!(seen(&app, &lost).await, expected("processing", "undetermined"));
    assert_eq!(settled(&app, &lost, 6).await, expected("paid", "proven"));
    let paid = app.payment(lost.id()).await;
    assert_eq!(paid.text("/attention"), "amount_mismatch");
    expect_sums(&paid, "12500.00", "0.00", "12500.00");
    app.stop().await;
}

async fn money_of_another_sum_does_not_end_a_lost_three_ds(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("W-1", CARD_THREE_DS)).await.expect(201);
    let form = app.at_bank(&payment, "pass").await;
    let field = |name: &str| form.fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    let body: Body = json!({ "md": field("MD"), "pa_res": field("PaRes") });
    told_of(&app, "40.00").await;
    // We would refuse the Check beside it.
    app.let_others_answer().await;
    app.break_answer(FINISH, ApiFaultKind::DropAfter);
    let reply = app.act(payment.id(), "three-ds", body).await.expect(202);
    assert_eq!((reply.text("/status"), reply.text("/outcome/certainty")), ("processing", "undetermined"));
    assert_eq!(settled(&app, &payment, 6).await, expected("paid", "proven"));
    expect_sums(&app.payment(payment.id()).await, "12500.00", "0.00", "12500.00");
    app.stop().await;
}

async fn money_of_another_sum_under_the_bill_is_not_taken_for_the_lost_charge(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.break_answer(CHARGE, ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Pay);
    let lost = app.create(card("W-1", APPROVED)).await.expect(202);
    let of_today = with(nameless(40), "CreatedDate", json!("/Date(4102444800000)/"));
    app.break_answer(FIND, answer(&of_today));
    assert_eq!(settled(&app, &lost, 6).await, expected("paid", "proven"));
    expect_sums(&app.payment(lost.id()).await, "12500.00", "0.00", "12500.00");
    app.finish().await;
}

/// A second bank took what the first one refused, and the bill shows another attempt after it, which was refused.
async fn second_bank_behind_another_attempt(app: &TestApp) -> Reply {
    let payment = app.create(widget("W-1")).await.expect(201);
    let attempt = with(order(&payment, CARD_THREE_DS), "skip_three_ds", Value::Bool(false));
    let first = app.pay(attempt).await.json["transaction_id"].as_i64().unwrap();
    app.break_answer(FINISH, ApiFaultKind::ReserveBank { reason_code: 5005 });
    app.lose(NotificationKind::Pay);
    let pa_res = cloudpayments_sandbox::engine::pa_res(first, true);
    app.at_provider(FINISH, json!({ "TransactionId": first, "PaRes": pa_res })).await;
    app.sandbox.flush_notifications().await;
    app.pay(order(&payment, CARD_NO_FUNDS)).await;
    app.sandbox.flush_notifications().await;
    assert_eq!(seen(app, &payment).await, expected("awaiting_payer", "proven"));
    payment
}

async fn a_second_bank_behind_a_refused_attempt_is_found(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = second_bank_behind_another_attempt(&app).await;
    assert_eq!(settled(&app, &payment, 21).await, expected("paid", "proven"));
    app.finish().await;
}

async fn a_payment_is_not_withdrawn_beside_a_second_bank_behind_a_refused_attempt(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = second_bank_behind_another_attempt(&app).await;
    app.act(payment.id(), "cancel", json!({})).await.expect(409);
    assert_eq!(seen(&app, &payment).await, expected("paid", "proven"));
    app.finish().await;
}

/// A third hold takes the place of a second one that was released: the payment looks as it did before, and there is one more.
async fn the_history_tells_of_each_hold(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(with(widget("W-1"), "capture", "manual")).await.expect(201);
    let told = async |kind: &str, number: i64, status: &str| {
        let number = number.to_string();
        let fields = [
            ("TransactionId", number.as_str()),
            ("Amount", "12500.00"),
            ("Currency", "KZT"),
            ("InvoiceId", "W-1"),
            ("Status", status),
        ];
        app.notify(kind, &fields).await;
    };
    told("pay", THEIRS + 2, "Authorized").await;
    told("pay", THEIRS + 1, "Authorized").await;
    told("cancel", THEIRS + 1, "Cancelled").await;
    told("pay", THEIRS, "Authorized").await;
    let rows = app.rows(payment.id()).await;
    for number in [THEIRS + 2, THEIRS + 1, THEIRS] {
        assert!(rows.iter().any(|row| row["transaction_id"] == number), "{number}: {rows:#?}");
    }
    app.stop().await;
}

//! Calls whose end nobody can find out any more: ended by two operators, never against evidence.

use std::time::Duration;

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationKind};
use serde_json::{Value, json};

use crate::rotated_keys::keys;
use crate::support::{
    APPROVED, Body, CARD_THREE_DS, Engine, Operator, Reply, TestApp, card, expect_sums, money, transaction_id, with,
};

crate::on_both!(
    a_charge_is_corrected_and_late_money_wins,
    a_call_that_the_provider_may_still_tell_of_is_not_corrected,
    evidence_before_the_decision_leaves_nothing_to_correct,
    an_unclear_refund_is_corrected,
    a_correction_of_a_refund_does_not_hide_a_late_one,
    a_refund_that_is_found_while_it_is_corrected_is_told,
    a_capture_is_corrected_and_can_be_made_again,
    a_corrected_capture_that_took_money_is_booked_as_asked,
    an_end_of_authentication_is_corrected,
    one_correction_of_a_call_waits_at_a_time,
    a_lapsed_correction_is_rejected_before_another_is_asked_for,
);

const CHARGE: &str = "/payments/cards/charge";

/// Trouble of the provider does not stop the questions: only their answers say nothing.
pub(crate) async fn started(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |raw| raw.with("cloudpayments.breaker_failures", "1000000")).await
}

/// From here on the provider tells nothing.
fn silence(app: &TestApp) {
    app.sandbox.fault(Fault::api("*", ApiFaultKind::StatusBefore { status: 500 }).times(1_000));
}

async fn lost_charge(app: &TestApp, body: Body) -> Reply {
    app.break_answer(CHARGE, ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Pay);
    let payment = app.post_as("/v1/payments", "lost-1", body).await.expect(202);
    silence(app);
    payment
}

#[track_caller]
fn expect_outcome(payment: &Reply, status: &str, certainty: &str) {
    assert_eq!((payment.text("/status"), payment.text("/outcome/certainty")), (status, certainty), "{}", payment.json);
}

fn last(rows: &[Value]) -> (&str, &str, &str) {
    let row = rows.last().unwrap();
    (row["from"].as_str().unwrap(), row["to"].as_str().unwrap(), row["cause"]["type"].as_str().unwrap())
}

async fn a_charge_is_corrected_and_late_money_wins(engine: Engine) {
    let app = started(engine).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let body = card("C-1", APPROVED);
    let payment = lost_charge(&app, body.clone()).await;
    app.advance(3_601);
    let asked = one.ask_correction(&app, payment.id(), None).await.expect(201);
    assert_eq!((asked.text("/call"), asked.text("/outcome")), ("charge", "no_effect"));
    expect_outcome(&app.payment(payment.id()).await, "processing", "undetermined");
    one.decide(&app, &asked, "approve").await.expect_problem(409, "second_operator_required");
    let approved = other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
    assert_eq!((approved.text("/state"), approved.text("/decided_by")), ("approved", other.id.as_str()));
    let repeat = other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
    assert_eq!((repeat.header("idempotent-replayed"), &repeat.bytes), ("true", &approved.bytes));
    other.decide(&app, &asked, "approve").await.expect_problem(409, "invalid_state");

    expect_outcome(&app.payment(payment.id()).await, "expired", "proven");
    let rows = app.rows(payment.id()).await;
    assert_eq!(last(&rows), ("processing", "expired", "operator"));
    let detail = &rows.last().unwrap()["detail"];
    for (name, value) in [
        ("approval_id", asked.id()),
        ("correction", "no_effect"),
        ("operation", "charge"),
        ("operation_id", asked.text("/operation_id")),
        ("requested_by", &one.id),
        ("approved_by", &other.id),
        ("certainty", "proven"),
    ] {
        assert_eq!(detail[name], value, "{name}: {detail}");
    }
    assert!(!detail.to_string().contains("support says so"), "{detail}");
    assert_eq!(app.events(payment.id()).await, ["payment.expired"]);
    app.sandbox.clear_faults();
    // A repeat of the lost request charges no second time.
    let repeat = app.post_as("/v1/payments", "lost-1", body).await.expect(201);
    assert_eq!((repeat.id(), repeat.text("/status")), (payment.id(), "expired"));

    // The operators were wrong: the money is there.
    let taken = app.sandbox.ledger().transactions[0].transaction_id.to_string();
    let data = json!({ "payment_id": payment.id() }).to_string();
    let told = [
        ("TransactionId", taken.as_str()),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("InvoiceId", "C-1"),
        ("Status", "Completed"),
        ("Data", data.as_str()),
    ];
    app.notify("pay", &told).await;
    let paid = app.payment(payment.id()).await;
    expect_outcome(&paid, "paid", "proven");
    expect_sums(&paid, "12500.00", "0.00", "12500.00");
    assert_eq!(last(&app.rows(payment.id()).await), ("expired", "paid", "notification"));
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn a_call_that_the_provider_may_still_tell_of_is_not_corrected(engine: Engine) {
    let app = started(engine).await;
    let one = Operator::with_all(&app).await;
    let payment = lost_charge(&app, card("C-1", APPROVED)).await;
    for seconds in [1, 3_590] {
        app.advance(seconds);
        let refused = one.ask_correction(&app, payment.id(), None).await;
        refused.expect_problem(409, "invalid_state");
        assert!(refused.text("/detail").contains("may still tell"), "{}", refused.json);
    }
    app.advance(20);
    let asked = one.ask_correction(&app, payment.id(), None).await.expect(201);
    // While the provider is not asked at all, nothing is corrected either.
    let other = Operator::with_all(&app).await;
    app.sandbox.clear_faults();
    app.sandbox.fault(Fault::api("*", ApiFaultKind::StatusBefore { status: 401 }).times(1));
    app.create(card("C-2", APPROVED)).await.expect_problem(503, "unavailable");
    other.decide(&app, &asked, "approve").await.expect_problem(503, "unavailable");
    expect_outcome(&app.payment(payment.id()).await, "processing", "undetermined");
    app.running.app.settle_step().await.unwrap();
    // It tells after all.
    other.decide(&app, &asked, "approve").await.expect_problem(409, "invalid_state");
    expect_outcome(&app.payment(payment.id()).await, "paid", "proven");
    app.finish().await;
}

async fn evidence_before_the_decision_leaves_nothing_to_correct(engine: Engine) {
    let app = started(engine).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let payment = lost_charge(&app, card("C-1", APPROVED)).await;
    app.advance(3_601);
    let asked = one.ask_correction(&app, payment.id(), None).await.expect(201);
    app.sandbox.clear_faults();
    expect_outcome(&app.sync(payment.id()).await, "paid", "proven");
    let refused = other.decide_as(&app, &asked, "approve", "yes-1").await;
    refused.expect_problem(409, "invalid_state");
    assert!(refused.text("/detail").contains("nothing to correct"), "{}", refused.json);
    assert_eq!(app.approval(asked.id()).await.text("/state"), "pending");
    other.decide(&app, &asked, "reject").await.expect(200);
    one.ask_correction(&app, payment.id(), None).await.expect_problem(409, "invalid_state");
    expect_outcome(&app.payment(payment.id()).await, "paid", "proven");
    app.finish().await;
}

/// A refund that never arrived, beside one of the same sum in the cabinet: nobody can tell them apart.
pub(crate) async fn unclear_refund(app: &TestApp) -> (Reply, Reply) {
    let payment = app.create(card("C-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/refund", ApiFaultKind::DropBefore);
    let lost = app
        .post_as(&format!("/v1/payments/{}/refunds", payment.id()), "lost-1", json!({ "amount": money("2500.00") }))
        .await;
    let lost = lost.expect(202);
    app.advance(1);
    app.refund_in_cabinet(transaction_id(&payment), 2500).await;
    app.advance(3_700);
    app.running.app.settle_step().await.unwrap();
    assert_eq!(app.payment(payment.id()).await.text("/attention"), "refund_unclear");
    (payment, lost)
}

async fn an_unclear_refund_is_corrected(engine: Engine) {
    let app = started(engine).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let (payment, lost) = unclear_refund(&app).await;
    expect_sums(&app.payment(payment.id()).await, "12500.00", "2500.00", "7500.00");
    // The lost call is the refund's, not the payment's.
    one.ask_correction(&app, payment.id(), None).await.expect_problem(409, "invalid_state");
    let asked = one.ask_correction(&app, payment.id(), Some(lost.id())).await.expect(201);
    assert_eq!(
        (asked.text("/call"), asked.text("/refund_id"), asked.text("/refund_status")),
        ("refund", lost.id(), "pending")
    );
    let approved = other.decide(&app, &asked, "approve").await.expect(200);
    assert_eq!((approved.text("/state"), approved.text("/refund_status")), ("approved", "failed"));
    let refund = app.get(&format!("/v1/refunds/{}", lost.id())).await.expect(200);
    assert_eq!((refund.text("/status"), refund.text("/outcome/certainty")), ("failed", "proven"));
    assert_eq!(refund.text("/failure/message"), "no effect, by the word of two operators");
    expect_sums(&app.payment(payment.id()).await, "12500.00", "2500.00", "10000.00");
    assert_eq!(last(&app.rows(payment.id()).await), ("partially_refunded", "partially_refunded", "operator"));
    assert!(app.events(payment.id()).await.contains(&"refund.failed".to_owned()));
    let path = format!("/v1/payments/{}/refunds", payment.id());
    let repeat = app.post_as(&path, "lost-1", json!({ "amount": money("2500.00") })).await.expect(201);
    assert_eq!((repeat.id(), repeat.text("/status")), (lost.id(), "failed"));
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

/// A refund that was made and whose answer and notification are lost; nobody remembers its call any more.
async fn made_refund(app: &TestApp) -> (Reply, Reply) {
    let payment = app.create(card("C-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/refund", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Refund);
    let lost = app.refund(payment.id(), "2500.00").await.expect(202);
    silence(app);
    app.advance(3_601);
    (payment, lost)
}

/// The question was on its way when the second operator said that it had no effect.
async fn a_refund_that_is_found_while_it_is_corrected_is_told(engine: Engine) {
    let app = started(engine).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let (payment, lost) = made_refund(&app).await;
    let asked = one.ask_correction(&app, payment.id(), Some(lost.id())).await.expect(201);
    app.sandbox.clear_faults();
    app.advance(700);
    app.break_answer("/v2/payments/list", ApiFaultKind::Delay { ms: 2_000 });
    let decide = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let decided = other.decide(&app, &asked, "approve").await.expect(200);
        assert_eq!(decided.text("/refund_status"), "failed");
    };
    let (asking, ()) = tokio::join!(app.running.app.settle_step(), decide);
    assert_eq!(asking.unwrap(), 1);
    assert_eq!(app.get(&format!("/v1/refunds/{}", lost.id())).await.text("/status"), "succeeded");
    let told = app.events(payment.id()).await;
    let of_refund: Vec<_> = told.iter().filter(|kind| kind.starts_with("refund.")).collect();
    assert_eq!(of_refund, ["refund.failed", "refund.succeeded"]);
    app.finish().await;
}

async fn a_correction_of_a_refund_does_not_hide_a_late_one(engine: Engine) {
    let app = started(engine).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let (payment, lost) = made_refund(&app).await;
    let asked = one.ask_correction(&app, payment.id(), Some(lost.id())).await.expect(201);
    other.decide(&app, &asked, "approve").await.expect(200);
    expect_sums(&app.payment(payment.id()).await, "12500.00", "0.00", "12500.00");
    app.sandbox.clear_faults();
    // It had been made: its notification comes late, and names it.
    let made = app.sandbox.ledger().transactions.iter().map(|entry| entry.transaction_id).max().unwrap().to_string();
    let (parent, data) = (transaction_id(&payment).to_string(), json!({ "refund_id": lost.id() }).to_string());
    let told = [
        ("TransactionId", made.as_str()),
        ("PaymentTransactionId", parent.as_str()),
        ("Amount", "2500.00"),
        ("InvoiceId", "C-1"),
        ("Data", data.as_str()),
    ];
    app.notify("refund", &told).await;
    let refund = app.get(&format!("/v1/refunds/{}", lost.id())).await.expect(200);
    assert_eq!((refund.text("/status"), refund.json["transaction_id"].to_string()), ("succeeded", made));
    expect_sums(&app.payment(payment.id()).await, "12500.00", "2500.00", "10000.00");
    app.finish().await;
}

async fn a_capture_is_corrected_and_can_be_made_again(engine: Engine) {
    let app = started(engine).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let held = app.create(with(card("C-1", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/confirm", ApiFaultKind::DropBefore);
    let lost = app.act(held.id(), "capture", json!({})).await.expect(202);
    expect_outcome(&lost, "authorized", "undetermined");
    silence(&app);
    app.advance(3_601);
    app.act(held.id(), "capture", json!({})).await.expect_problem(409, "operation_in_progress");
    let asked = one.ask_correction(&app, held.id(), None).await.expect(201);
    assert_eq!(asked.text("/call"), "capture");
    other.decide(&app, &asked, "approve").await.expect(200);
    expect_outcome(&app.payment(held.id()).await, "authorized", "proven");
    assert_eq!(last(&app.rows(held.id()).await), ("authorized", "authorized", "operator"));
    app.sandbox.clear_faults();
    let taken = app.act(held.id(), "capture", json!({})).await.expect(200);
    expect_outcome(&taken, "paid", "proven");
    app.finish().await;
}

/// The operators were wrong, and the register then tells the sum of the hold.
async fn a_corrected_capture_that_took_money_is_booked_as_asked(engine: Engine) {
    let app = started(engine).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let held = app.create(with(card("C-1", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/confirm", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Confirm);
    app.act(held.id(), "capture", json!({ "amount": money("3000.00") })).await.expect(202);
    silence(&app);
    app.advance(3_601);
    let asked = one.ask_correction(&app, held.id(), None).await.expect(201);
    other.decide(&app, &asked, "approve").await.expect(200);
    expect_outcome(&app.payment(held.id()).await, "authorized", "proven");
    app.sandbox.clear_faults();
    let found = app.act(held.id(), "sync", json!({})).await.expect(200);
    expect_outcome(&found, "paid", "proven");
    expect_sums(&found, "3000.00", "0.00", "3000.00");
    assert_eq!(found.text("/attention"), "capture_unclear");
    app.act(held.id(), "sync", json!({})).await.expect(200);
    expect_sums(&app.payment(held.id()).await, "3000.00", "0.00", "3000.00");
    app.finish().await;
}

async fn an_end_of_authentication_is_corrected(engine: Engine) {
    let app = started(engine).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let body = with(card("C-1", CARD_THREE_DS), "return_url", "https://kmic.kz/done");
    let payment = app.create(body).await.expect(201);
    let form = app.at_bank(&payment, "pass").await;
    app.break_answer("/payments/cards/post3ds", ApiFaultKind::DropBefore);
    app.submit(&form).await.expect(303);
    expect_outcome(&app.payment(payment.id()).await, "processing", "undetermined");
    silence(&app);
    app.advance(3_601);
    let asked = one.ask_correction(&app, payment.id(), None).await.expect(201);
    assert_eq!(asked.text("/call"), "three_ds");
    other.decide(&app, &asked, "approve").await.expect(200);
    let over = app.payment(payment.id()).await;
    expect_outcome(&over, "expired", "proven");
    assert!(over.json.get("next_action").is_none() && over.json.get("decline").is_none(), "{}", over.json);
    app.sandbox.clear_faults();
    assert_eq!(app.charges(), 0);
    app.finish().await;
}

async fn one_correction_of_a_call_waits_at_a_time(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| {
        raw.with("cloudpayments.breaker_failures", "1000000").with("operators.approval_expires_in_s", "600")
    })
    .await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let payment = lost_charge(&app, card("C-1", APPROVED)).await;
    app.advance(3_601);
    let asked = one.ask_correction(&app, payment.id(), None).await.expect(201);
    let again = other.ask_correction(&app, payment.id(), None).await;
    again.expect_problem(409, "invalid_state");
    assert!(again.text("/detail").contains(asked.id()), "{}", again.json);
    other.decide(&app, &asked, "reject").await.expect(200);
    other.ask_correction(&app, payment.id(), None).await.expect(201);
    // One whose time is over makes room, whether the worker came by or not.
    app.advance(601);
    one.ask_correction(&app, payment.id(), None).await.expect(201);
    let told = [
        "requested by operator",
        "rejected by operator",
        "requested by operator",
        "expired by expiry",
        "requested by operator",
    ];
    assert_eq!(app.approvals_in_history(payment.id()).await, told);
    app.sandbox.clear_faults();
    app.sync(payment.id()).await;
    app.finish().await;
}

/// Nobody can approve it, so nobody is sent to.
async fn a_lapsed_correction_is_rejected_before_another_is_asked_for(engine: Engine) {
    let app = started(engine).await;
    let (gone, one) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let payment = lost_charge(&app, card("C-1", APPROVED)).await;
    app.advance(3_601);
    let lapsed = gone.ask_correction(&app, payment.id(), None).await.expect(201);
    keys(&app, &["revoke", &gone.id]).unwrap();
    let refused = one.ask_correction(&app, payment.id(), None).await;
    refused.expect_problem(409, "invalid_state");
    let told = refused.text("/detail");
    assert!(told.contains(lapsed.id()) && told.contains("reject it") && !told.contains("decide about it"), "{told}");
    one.decide(&app, &lapsed, "reject").await.expect(200);
    one.ask_correction(&app, payment.id(), None).await.expect(201);
    app.sandbox.clear_faults();
    app.sync(payment.id()).await;
    app.finish().await;
}

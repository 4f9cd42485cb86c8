//! Answers that get lost, and notifications that come at the wrong time: settled by evidence only.

use cloudpayments_sandbox::{ApiFaultKind, NotificationFaultKind, NotificationKind};
use serde_json::json;

use crate::support::{
    APPROVED, Body, CARD_THREE_DS, Engine, Reply, Sql, TestApp, card, expect_sums, money, order, transaction_id,
    widget, with,
};

crate::on_both!(
    a_lost_charge_is_undetermined_until_the_register_tells,
    a_lost_charge_is_settled_by_its_notification,
    a_charge_that_never_arrived_is_proven_absent,
    a_busy_register_does_not_hide_an_absence,
    a_broken_answer_proves_nothing,
    a_garbled_answer_proves_nothing,
    too_many_requests_means_nothing_was_sent,
    refused_credentials_mean_nothing_was_sent,
    an_unreachable_provider_frees_the_key,
    a_lost_refund_reserves_its_sum_and_happens_once,
    a_later_refund_settles_the_lost_one_first,
    a_refund_that_never_arrived_is_sent_once_more,
    a_lost_refund_whose_repeat_is_refused_is_over_soon,
    a_lost_refund_is_not_taken_for_an_earlier_one_of_the_cabinet,
    a_lost_refund_that_time_will_not_settle_calls_for_a_person,
    a_lost_capture_is_asked_for_again,
    a_lost_void_is_asked_for_again,
    a_lost_end_of_authentication_is_looked_up,
    a_withdrawal_asks_first_whether_the_payer_has_paid,
    a_lookup_does_not_end_the_hold_of_a_check,
    a_lost_refund_is_not_asked_for_again_near_the_end_of_the_memory,
    a_notification_before_the_answer_changes_nothing_twice,
    a_duplicate_notification_changes_nothing,
    a_refund_told_before_its_payment_is_booked,
);

const CHARGE: &str = "/payments/cards/charge";

/// A charge whose answer and notification are lost.
async fn lost_charge(app: &TestApp, body: Body, kind: ApiFaultKind) -> Reply {
    app.break_answer(CHARGE, kind);
    app.lose(NotificationKind::Pay);
    let payment = app.post_as("/v1/payments", "lost-1", body).await.expect(202);
    expect_undetermined(&payment, "processing");
    payment
}

#[track_caller]
fn expect_undetermined(payment: &Reply, status: &str) {
    assert_eq!(payment.text("/status"), status, "{}", payment.json);
    assert_eq!(payment.text("/outcome/certainty"), "undetermined");
    assert!(payment.text("/outcome/decide_by").ends_with('Z'));
}

/// Moves the clock past the first lookup and asks.
async fn settle(app: &TestApp, seconds: u32) {
    app.advance(seconds);
    assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
}

async fn a_lost_charge_is_undetermined_until_the_register_tells(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = card("L-1", APPROVED);
    let lost = lost_charge(&app, body.clone(), ApiFaultKind::DropAfter).await;
    assert!(!lost.header("retry-after").is_empty());
    let repeat = app.post_as("/v1/payments", "lost-1", body.clone()).await.expect(202);
    assert_eq!((repeat.id(), repeat.header("idempotent-replayed")), (lost.id(), "true"));
    assert!(app.events(lost.id()).await.is_empty());
    app.act(lost.id(), "cancel", json!({})).await.expect_problem(409, "invalid_state");

    let synced = app.sync(lost.id()).await;
    assert_eq!(synced.text("/status"), "paid");
    assert_eq!(synced.text("/outcome/certainty"), "proven");
    expect_sums(&synced, "12500.00", "0.00", "12500.00");
    let live = app.post_as("/v1/payments", "lost-1", body).await.expect(201);
    assert_eq!((live.id(), live.text("/status")), (lost.id(), "paid"));
    assert_eq!(app.charges(), 1);
    assert_eq!(app.events(lost.id()).await, ["payment.paid"]);
    app.finish().await;
}

async fn a_lost_charge_is_settled_by_its_notification(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.break_answer(CHARGE, ApiFaultKind::DropAfter);
    // The notification may overtake the broken connection.
    let created = app.create(card("L-1", APPROVED)).await;
    assert!(matches!(created.status, 201 | 202), "{}", created.json);
    app.sandbox.flush_notifications().await;
    let paid = app.payment(created.id()).await;
    assert_eq!((paid.text("/status"), paid.text("/outcome/certainty")), ("paid", "proven"));
    assert_eq!(app.history(created.id()).await.pop().unwrap(), "processing>paid by notification");
    assert_eq!(app.running.app.settle_step().await.unwrap(), 0);
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn a_charge_that_never_arrived_is_proven_absent(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.break_answer(CHARGE, ApiFaultKind::DropBefore);
    let payment = app.create(card("L-1", APPROVED)).await.expect(202);
    expect_undetermined(&payment, "processing");
    // The provider may still be working on it: not there yet proves nothing.
    expect_undetermined(&app.sync(payment.id()).await, "processing");
    settle(&app, 15 * 60).await;
    let absent = app.payment(payment.id()).await;
    assert_eq!((absent.text("/status"), absent.text("/outcome/certainty")), ("expired", "proven"));
    assert_eq!(app.history(payment.id()).await.pop().unwrap(), "processing>expired by lookup");
    assert_eq!(app.rows(payment.id()).await.pop().unwrap()["actor"], "worker:settle");
    assert_eq!(app.events(payment.id()).await, ["payment.expired"]);
    assert_eq!(app.charges(), 0);
    app.finish().await;
}

async fn a_busy_register_does_not_hide_an_absence(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.break_answer(CHARGE, ApiFaultKind::DropBefore);
    let payment = app.create(card("L-1", APPROVED)).await.expect(202);
    app.advance(15 * 60);
    // More of other payers than fifty pages of the register hold; all wait at their bank, so nobody is notified.
    let other =
        json!({ "amount": "100.00", "currency": "KZT", "invoice_id": "other", "card": CARD_THREE_DS }).to_string();
    for _ in 0..102 {
        let pay = || app.http.post(format!("{}/sandbox/pay", app.sandbox.base_url())).body(other.clone());
        app.at_once((0..50).map(|_| pay()).collect()).await;
    }
    settle(&app, 1).await;
    let absent = app.payment(payment.id()).await;
    assert_eq!((absent.text("/status"), absent.text("/outcome/certainty")), ("expired", "proven"));
    assert!(app.sandbox.ledger().transactions.len() > 5_000);
    app.finish().await;
}

async fn is_settled_by_the_worker(engine: Engine, kind: ApiFaultKind) {
    let app = TestApp::start(engine).await;
    let payment = lost_charge(&app, card("L-1", APPROVED), kind).await;
    settle(&app, 6).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    assert_eq!(app.history(payment.id()).await.pop().unwrap(), "processing>paid by lookup");
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn a_broken_answer_proves_nothing(engine: Engine) {
    is_settled_by_the_worker(engine, ApiFaultKind::StatusAfter { status: 500, body: None }).await;
}

async fn a_garbled_answer_proves_nothing(engine: Engine) {
    is_settled_by_the_worker(engine, ApiFaultKind::GarbageAfter).await;
}

async fn nothing_was_sent(engine: Engine, status: u16) {
    let app = TestApp::start(engine).await;
    app.break_answer(CHARGE, ApiFaultKind::StatusBefore { status });
    let body = card("L-1", APPROVED);
    let refused = app.post_as("/v1/payments", "key-1", body.clone()).await;
    refused.expect_problem(503, "unavailable");
    assert!(!refused.header("retry-after").is_empty());
    let unsent = app.of_invoice("L-1").await;
    assert_eq!(unsent.len(), 1);
    assert_eq!(unsent[0]["status"], "cancelled");
    let id = unsent[0]["id"].as_str().unwrap();
    assert_eq!(app.history(id).await, [">processing by api", "processing>cancelled by provider_answer"]);

    // After a 401 nothing more is sent before somebody asked whether the provider knows us again.
    app.running.app.settle_step().await.unwrap();
    let paid = app.post_as("/v1/payments", "key-1", body).await.expect(201);
    assert_eq!(paid.text("/status"), "paid");
    assert_eq!(paid.header("idempotent-replayed"), "");
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn too_many_requests_means_nothing_was_sent(engine: Engine) {
    nothing_was_sent(engine, 429).await;
}

async fn refused_credentials_mean_nothing_was_sent(engine: Engine) {
    nothing_was_sent(engine, 401).await;
}

async fn an_unreachable_provider_frees_the_key(engine: Engine) {
    let nobody = kmic_payments::startup::free_port().unwrap();
    let app =
        TestApp::start_with(engine, |raw| raw.with("cloudpayments.base_url", format!("http://127.0.0.1:{nobody}")))
            .await;
    for _ in 0..2 {
        let refused = app.post_as("/v1/payments", "key-1", card("L-1", APPROVED)).await;
        refused.expect_problem(503, "unavailable");
        assert!(!refused.header("retry-after").is_empty());
    }
    let unsent = app.of_invoice("L-1").await;
    assert!(unsent.iter().all(|payment| payment["status"] == "cancelled"), "{unsent:?}");
    // The window needs no call.
    app.create(widget("L-2")).await.expect(201);
    app.finish().await;
}

async fn paid(app: &TestApp) -> Reply {
    let payment = app.create(card("L-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    payment
}

async fn a_lost_refund_reserves_its_sum_and_happens_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    app.break_answer("/payments/refund", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Refund);
    let path = format!("/v1/payments/{}/refunds", payment.id());
    // Small enough that the provider would make it twice.
    let body = json!({ "amount": money("5000.00") });
    let lost = app.post_as(&path, "refund-1", body.clone()).await.expect(202);
    assert_eq!(lost.header("location"), format!("/v1/refunds/{}", lost.id()));
    expect_undetermined(&lost, "pending");
    expect_sums(&app.payment(payment.id()).await, "12500.00", "0.00", "7500.00");

    settle(&app, 6).await;
    let refund = app.get(&format!("/v1/refunds/{}", lost.id())).await.expect(200);
    assert_eq!((refund.text("/status"), refund.text("/outcome/certainty")), ("succeeded", "proven"));
    let repeat = app.post_as(&path, "refund-1", body).await.expect(201);
    assert_eq!((repeat.id(), repeat.text("/status")), (lost.id(), "succeeded"));
    expect_sums(&app.payment(payment.id()).await, "12500.00", "5000.00", "7500.00");
    assert_eq!(app.refunds(), 1);
    assert_eq!(app.events(payment.id()).await, ["payment.paid", "refund.succeeded"]);
    app.finish().await;
}

async fn a_later_refund_settles_the_lost_one_first(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    app.break_answer("/payments/refund", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Refund);
    let lost = app.refund(payment.id(), "10000.00").await.expect(202);
    app.refund(payment.id(), "2500.01").await.expect_problem(409, "refund_exceeds_captured");
    let settled = app.get(&format!("/v1/refunds/{}", lost.id())).await;
    assert_eq!((settled.text("/status"), settled.text("/outcome/certainty")), ("succeeded", "proven"));
    app.refund(payment.id(), "2500.00").await.expect(201);
    assert_eq!(app.refunds(), 2);
    app.finish().await;
}

async fn a_refund_that_never_arrived_is_sent_once_more(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    app.break_answer("/payments/refund", ApiFaultKind::DropBefore);
    let lost = app.refund(payment.id(), "10000.00").await.expect(202);
    expect_undetermined(&lost, "pending");
    settle(&app, 6).await;
    app.sandbox.flush_notifications().await;
    assert_eq!(app.get(&format!("/v1/refunds/{}", lost.id())).await.text("/status"), "succeeded");
    assert_eq!(app.refunds(), 1);
    assert_eq!(app.events(payment.id()).await, ["payment.paid", "refund.succeeded"]);
    app.finish().await;
}

/// The refusal of a repeat proves nothing of what was sent before, but nothing is sent after it: when the provider can no
/// longer be working on any of it, its register decides.
async fn a_lost_refund_whose_repeat_is_refused_is_over_soon(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let lost = forgotten_refund(&app, &payment).await;
    let status = async |app: &TestApp| app.get(&format!("/v1/refunds/{}", lost.id())).await.text("/status").to_owned();
    // Less is left at the provider than the refund asks for.
    app.refund_in_cabinet(transaction_id(&payment), 10_001).await;
    settle(&app, 6).await;
    assert_eq!(status(&app).await, "pending");
    let mut sql = Sql::open(&app.database.url);
    assert_eq!(sql.number("SELECT count(*) AS value FROM operations WHERE refused_at IS NOT NULL"), 1);
    // Should the sum be there again, nothing is sent for it any more.
    let calls = app.calls_to_provider().await;
    settle(&app, 300).await;
    assert_eq!((status(&app).await.as_str(), app.refunds()), ("pending", 1));
    assert_eq!(app.calls_to_provider().await - calls, 2, "the register is read twice");
    settle(&app, 600).await;
    assert_eq!(status(&app).await, "failed");
    expect_sums(&app.payment(payment.id()).await, "12500.00", "10001.00", "2499.00");
    app.finish().await;
}

/// A refund that never arrived, asked about when the provider no longer remembers its request.
async fn forgotten_refund(app: &TestApp, payment: &Reply) -> Reply {
    app.break_answer("/payments/refund", ApiFaultKind::DropBefore);
    let lost = app.refund(payment.id(), "2500.00").await.expect(202);
    expect_undetermined(&lost, "pending");
    lost
}

async fn a_lost_refund_is_not_taken_for_an_earlier_one_of_the_cabinet(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    app.refund_in_cabinet(transaction_id(&payment), 2500).await;
    app.advance(1);
    let lost = forgotten_refund(&app, &payment).await;
    settle(&app, 3700).await;
    assert_eq!(app.get(&format!("/v1/refunds/{}", lost.id())).await.text("/status"), "failed");
    expect_sums(&app.payment(payment.id()).await, "12500.00", "2500.00", "10000.00");
    app.finish().await;
}

async fn a_lost_refund_that_time_will_not_settle_calls_for_a_person(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let lost = forgotten_refund(&app, &payment).await;
    app.advance(1);
    app.refund_in_cabinet(transaction_id(&payment), 2500).await;
    settle(&app, 3700).await;
    let refund = app.get(&format!("/v1/refunds/{}", lost.id())).await;
    expect_undetermined(&refund, "pending");
    assert_eq!(app.payment(payment.id()).await.text("/attention"), "refund_unclear");
    // Asked once more, it is announced no second time.
    settle(&app, 700).await;
    let announced = app.events(payment.id()).await.into_iter().filter(|kind| kind == "payment.needs_attention").count();
    assert_eq!(announced, 1);
    app.stop().await;
}

/// A payment whose money is held, and a call about it whose answer and notification are lost.
async fn lost_action(app: &TestApp, action: &str, path: &str, notification: NotificationKind, body: Body) -> Reply {
    let held = app.create(with(card("L-1", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer(path, ApiFaultKind::DropAfter);
    app.lose(notification);
    let lost = app.act(held.id(), action, body).await.expect(202);
    expect_undetermined(&lost, "authorized");
    lost
}

async fn a_lost_capture_is_asked_for_again(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = json!({ "amount": money("10000.00") });
    let lost = lost_action(&app, "capture", "/payments/confirm", NotificationKind::Confirm, body).await;
    settle(&app, 6).await;
    let payment = app.payment(lost.id()).await;
    assert_eq!((payment.text("/status"), payment.text("/outcome/certainty")), ("paid", "proven"));
    expect_sums(&payment, "10000.00", "0.00", "10000.00");
    assert_eq!(app.history(lost.id()).await.pop().unwrap(), "authorized>paid by lookup");
    app.act(lost.id(), "capture", json!({})).await.expect_problem(409, "invalid_state");
    app.finish().await;
}

async fn a_lost_void_is_asked_for_again(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_action(&app, "cancel", "/payments/void", NotificationKind::Cancel, json!({})).await;
    // A later request settles what is open before it is judged.
    app.act(lost.id(), "capture", json!({})).await.expect_problem(409, "invalid_state");
    let payment = app.payment(lost.id()).await;
    assert_eq!((payment.text("/status"), payment.text("/outcome/certainty")), ("cancelled", "proven"));
    assert_eq!(app.charges(), 0);
    app.finish().await;
}

async fn a_lost_end_of_authentication_is_looked_up(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = with(card("L-1", CARD_THREE_DS), "return_url", "https://kmic.kz/done");
    let payment = app.create(body).await.expect(201);
    let form = app.at_bank(&payment, "pass").await;
    app.break_answer("/payments/cards/post3ds", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Pay);
    let back = app.submit(&form).await.expect(303);
    assert!(back.header("location").ends_with("&status=processing"), "{}", back.header("location"));
    expect_undetermined(&app.payment(payment.id()).await, "processing");
    settle(&app, 6).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    assert_eq!(app.charges(), 1);
    app.finish().await;
}

async fn a_withdrawal_asks_first_whether_the_payer_has_paid(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("L-1")).await.expect(201);
    app.lose(NotificationKind::Pay);
    app.pay(order(&created, APPROVED)).await;
    assert_eq!(app.payment(created.id()).await.text("/status"), "awaiting_payer");
    app.advance(301);
    app.act(created.id(), "cancel", json!({})).await.expect_problem(409, "invalid_state");
    let paid = app.payment(created.id()).await;
    assert_eq!(paid.text("/status"), "paid");
    expect_sums(&paid, "12500.00", "0.00", "12500.00");
    app.finish().await;
}

/// The register shows an attempt that the bank is working on as waiting for authentication: no outcome yet.
async fn a_lookup_does_not_end_the_hold_of_a_check(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(with(widget("L-1"), "expires_in", 60)).await.expect(201);
    app.pay(with(order(&created, CARD_THREE_DS), "skip_three_ds", false)).await;
    // What a lookup told before the Check does not hold it for less.
    let seen = app.act(created.id(), "sync", json!({})).await.expect(200);
    let id = seen.json["transactions"][0]["transaction_id"].to_string();
    let told = [
        ("TransactionId", id.as_str()),
        ("InvoiceId", "L-1"),
        ("AccountId", "user-42"),
        ("OperationType", "Payment"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("Status", "Completed"),
    ];
    app.advance(50);
    app.notify("check", &told).await;
    for _ in 0..2 {
        app.act(created.id(), "cancel", json!({})).await.expect_problem(409, "operation_in_progress");
    }
    app.advance(290);
    app.act(created.id(), "cancel", json!({})).await.expect_problem(409, "operation_in_progress");
    app.running.app.expire_step().await.unwrap();
    assert_eq!(app.payment(created.id()).await.text("/status"), "awaiting_payer");
    // The hold is over, and the pause after the look that found it, too.
    app.advance(290);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(app.payment(created.id()).await.text("/status"), "expired");
    app.finish().await;
}

/// A repeat that waits at the provider could outlive the provider's memory and give back twice.
async fn a_lost_refund_is_not_asked_for_again_near_the_end_of_the_memory(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let lost = forgotten_refund(&app, &payment).await;
    // Not sent again, and not called failed either: the provider may still be working on a repeat sent just before.
    settle(&app, 3300).await;
    assert_eq!(app.get(&format!("/v1/refunds/{}", lost.id())).await.text("/status"), "pending");
    settle(&app, 900).await;
    assert_eq!(app.get(&format!("/v1/refunds/{}", lost.id())).await.text("/status"), "failed");
    assert_eq!(app.refunds(), 0);
    app.finish().await;
}

async fn a_notification_before_the_answer_changes_nothing_twice(engine: Engine) {
    let app = TestApp::start(engine).await;
    for kind in [NotificationKind::Pay, NotificationKind::Confirm, NotificationKind::Refund] {
        app.break_notification(kind, NotificationFaultKind::BeforeAnswer);
    }
    let held = app.create(with(card("L-1", APPROVED), "capture", "manual")).await.expect(201);
    assert_eq!(app.history(held.id()).await, [">processing by api", "processing>authorized by notification"]);
    let paid = app.act(held.id(), "capture", json!({ "amount": money("10000.00") })).await.expect(200);
    expect_sums(&paid, "10000.00", "0.00", "10000.00");
    let refund = app.refund(held.id(), "10000.00").await.expect(201);
    assert_eq!(refund.text("/status"), "succeeded");
    let refunded = app.payment(held.id()).await;
    expect_sums(&refunded, "10000.00", "10000.00", "0.00");
    assert!(refunded.json.get("attention").is_none(), "{}", refunded.json);
    assert_eq!(app.events(held.id()).await, ["payment.authorized", "payment.paid", "refund.succeeded"]);
    app.finish().await;
}

async fn a_duplicate_notification_changes_nothing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("L-1")).await.expect(201);
    for kind in [NotificationKind::Pay, NotificationKind::Refund] {
        app.break_notification(kind, NotificationFaultKind::Duplicate);
    }
    app.pay(order(&created, APPROVED)).await;
    let payment = app.payment(created.id()).await;
    app.refund_in_cabinet(transaction_id(&payment), 2500).await;
    let payment = app.payment(created.id()).await;
    expect_sums(&payment, "12500.00", "2500.00", "10000.00");
    assert_eq!(app.rows(created.id()).await.len(), 3);
    assert_eq!(app.events(created.id()).await, ["payment.paid", "refund.succeeded"]);
    app.finish().await;
}

async fn a_refund_told_before_its_payment_is_booked(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("L-1")).await.expect(201);
    app.break_notification(NotificationKind::Pay, NotificationFaultKind::Reorder);
    let reply = app.pay(order(&created, APPROVED)).await;
    assert_eq!(app.payment(created.id()).await.text("/status"), "awaiting_payer");
    app.refund_in_cabinet(reply.json["transaction_id"].as_i64().unwrap(), 2500).await;
    let payment = app.payment(created.id()).await;
    assert_eq!(payment.text("/status"), "partially_refunded");
    expect_sums(&payment, "12500.00", "2500.00", "10000.00");
    assert!(payment.json.get("attention").is_none(), "{}", payment.json);
    app.finish().await;
}

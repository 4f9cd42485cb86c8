//! Calls whose end somebody else knows better, and what the register shows that looks like them.

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationFaultKind, NotificationKind};
use serde_json::json;

use crate::support::{APPROVED, Engine, Reply, Sql, TestApp, card, expect_sums, money, transaction_id, with};

crate::on_both!(
    a_call_that_somebody_else_took_over_is_not_given_back,
    a_call_that_others_may_take_for_lost_does_not_go_out,
    a_call_of_the_future_is_looked_for_and_not_repeated,
    a_call_of_the_future_that_did_nothing_fails,
    a_call_that_somebody_asks_about_is_not_repeated_beside_them,
    a_refused_refund_in_the_register_gave_nothing_back,
    a_refund_that_failed_stays_failed_when_the_register_shows_it,
    a_capture_of_another_sum_in_the_cabinet_is_booked_as_told,
    a_capture_of_the_whole_in_the_cabinet_calls_for_a_person,
    a_part_taken_in_the_cabinet_that_the_register_tells_as_the_whole_calls_for_a_person,
    a_capture_that_was_told_as_the_whole_waits_for_its_own_answer,
    a_lost_capture_waits_for_its_answer_after_a_start,
    a_capture_that_was_told_as_the_whole_and_refused_calls_for_a_person,
);

async fn status(app: &TestApp, refund: &Reply) -> String {
    app.get(&format!("/v1/refunds/{}", refund.id())).await.expect(200).text("/status").to_owned()
}

/// A process that stood still for so long that another one took its call for lost finds nothing out by not sending it.
async fn a_call_that_somebody_else_took_over_is_not_given_back(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| {
        raw.with("cloudpayments.max_concurrent_requests", "1")
            .with("cloudpayments.request_timeout_ms", "8000")
            .with("cloudpayments.queue_timeout_ms", "3000")
    })
    .await;
    let payment = app.create(card("D-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.sandbox.fault(Fault::api("/payments/cards/charge", ApiFaultKind::Hang { ms: 6_000 }));
    let (hangs, path) = (card("D-2", APPROVED), format!("/v1/payments/{}/refunds", payment.id()));
    let body = json!({ "amount": money("4000.00") });
    let took_over = async {
        // The refund waits for its turn at the provider; for the other process its time is over.
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        let mut sql = Sql::open(&app.database.url);
        let taken =
            "UPDATE operations SET state = 'undetermined', lookups = 1 WHERE kind = 'refund' AND state = 'started'";
        assert_eq!(sql.run(taken).unwrap(), 1);
    };
    let first = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        Reply::receive(app.posting(&path, "refund-1", &body)).await
    };
    let (_, refund, ()) = tokio::join!(Reply::receive(app.posting("/v1/payments", "hangs", &hangs)), first, took_over);
    // Not "nothing was sent; repeat with the same key": what the other process sent may have been done.
    let refund = refund.expect(202);
    assert_eq!(refund.text("/status"), "pending");
    app.advance(600);
    app.running.app.settle_step().await.unwrap();
    assert_eq!(status(&app, &refund).await, "succeeded");
    let repeat = app.post_as(&path, "refund-1", body.clone()).await.expect(201);
    assert_eq!((repeat.id(), app.refunds()), (refund.id(), 1));
    app.running.app.settle_step().await.unwrap();
    app.finish().await;
}

/// The machine slept while a charge waited for its turn. Other processes may have asked the register about it meanwhile.
async fn a_call_that_others_may_take_for_lost_does_not_go_out(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| {
        raw.with("cloudpayments.max_concurrent_requests", "1")
            .with("cloudpayments.request_timeout_ms", "9000")
            .with("cloudpayments.queue_timeout_ms", "9000")
    })
    .await;
    app.break_answer("/payments/cards/charge", ApiFaultKind::Delay { ms: 3_000 });
    let send =
        |invoice: &str| tokio::spawn(Reply::receive(app.posting("/v1/payments", invoice, &card(invoice, APPROVED))));
    let is_written = async |invoice: &str| {
        while app.of_invoice(invoice).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    };
    let first = send("D-1");
    is_written("D-1").await;
    let second = send("D-2");
    is_written("D-2").await;
    app.advance(600);
    assert_eq!(first.await.unwrap().expect(201).text("/status"), "paid");
    second.await.unwrap().expect_problem(503, "unavailable");
    assert_eq!(app.charges(), 1);
    let page = app.running.metrics.render();
    assert!(page.contains(r#"kmic_payments_provider_not_sent_total{reason="too_late"} 1"#), "{page}");
    // Its key is free.
    let paid = app.post_as("/v1/payments", "D-2", card("D-2", APPROVED)).await.expect(201);
    assert_eq!((paid.text("/status"), app.charges()), ("paid", 2));
    app.finish().await;
}

/// A refund of 4,000 whose answer is lost to `fault`, by a clock that is two hours ahead and is set right afterwards.
async fn lost_by_a_fast_clock(app: &TestApp, fault: ApiFaultKind) -> Reply {
    let payment = app.create(card("D-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.clock.advance_seconds(7_200);
    app.break_answer("/payments/refund", fault);
    app.lose(NotificationKind::Refund);
    let lost = app.refund(payment.id(), "4000.00").await.expect(202);
    app.clock.advance_seconds(-7_200);
    app.running.app.settle_step().await.unwrap();
    // By its own clock the call is still to come, then it is young; the provider has forgotten it long ago.
    for _ in 0..10 {
        app.advance(1_000);
        app.running.app.settle_step().await.unwrap();
    }
    lost
}

/// How old the call is, and whether the provider still remembers it, nobody knows.
async fn a_call_of_the_future_is_looked_for_and_not_repeated(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_by_a_fast_clock(&app, ApiFaultKind::DropAfter).await;
    assert_eq!((status(&app, &lost).await.as_str(), app.refunds()), ("succeeded", 1));
    app.finish().await;
}

async fn a_call_of_the_future_that_did_nothing_fails(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = lost_by_a_fast_clock(&app, ApiFaultKind::DropBefore).await;
    assert_eq!((status(&app, &lost).await.as_str(), app.refunds()), ("failed", 0));
    app.finish().await;
}

/// Another process has the question; a request that comes to this one does not send the same beside it.
async fn a_call_that_somebody_asks_about_is_not_repeated_beside_them(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("D-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/refund", ApiFaultKind::DropBefore);
    let lost = app.refund(payment.id(), "4000.00").await.expect(202);
    Sql::open(&app.database.url).run("UPDATE operations SET asked_until = due_at WHERE due_at IS NOT NULL").unwrap();
    app.sync(payment.id()).await;
    assert_eq!((status(&app, &lost).await.as_str(), app.refunds()), ("pending", 0), "it was repeated");
    app.advance(6);
    app.sync(payment.id()).await;
    assert_eq!((status(&app, &lost).await.as_str(), app.refunds()), ("succeeded", 1));
    app.finish().await;
}

/// The register, with a refund in it that the bank refused.
fn refused(payment: &Reply, refund: &Reply) -> ApiFaultKind {
    let page = json!({ "Model": [{
        "TransactionId": 5_000_000_001_i64, "Type": 1, "Status": "Declined", "ReasonCode": 5005, "Amount": 4000,
        "Currency": "KZT", "InvoiceId": payment.text("/invoice_id"), "OriginalTransactionId": transaction_id(payment),
        "JsonData": json!({ "payment_id": payment.id(), "refund_id": refund.id() }).to_string(),
    }], "Success": true, "Message": null });
    ApiFaultKind::StatusAfter { status: 200, body: Some(page.to_string()) }
}

async fn a_refused_refund_in_the_register_gave_nothing_back(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("D-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/refund", ApiFaultKind::DropBefore);
    let lost = app.refund(payment.id(), "4000.00").await.expect(202);
    app.advance(3_700);
    for _ in 0..2 {
        app.break_answer("/v2/payments/list", refused(&payment, &lost));
    }
    app.running.app.settle_step().await.unwrap();
    assert_eq!(status(&app, &lost).await, "failed");
    expect_sums(&app.payment(payment.id()).await, "12500.00", "0.00", "12500.00");
    app.finish().await;
}

async fn a_refund_that_failed_stays_failed_when_the_register_shows_it(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("reconciliation.daily", "false")).await;
    let payment = app.create(card("D-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let words = json!({ "Success": false, "Message": "no" }).to_string();
    app.break_answer("/payments/refund", ApiFaultKind::StatusAfter { status: 200, body: Some(words) });
    app.lose(NotificationKind::Refund);
    let failed = app.refund(payment.id(), "4000.00").await.expect(201);
    assert_eq!(failed.text("/status"), "failed");
    app.advance(700);
    app.break_answer("/v2/payments/list", refused(&payment, &failed));
    app.reconcile().await;
    assert_eq!(status(&app, &failed).await, "failed");
    expect_sums(&app.payment(payment.id()).await, "12500.00", "0.00", "12500.00");
    // A second one in its name did give money back: that stops no run.
    let run = app.reconcile().await;
    assert_eq!(run.text("/state"), "completed", "{}", run.json);
    expect_sums(&app.payment(payment.id()).await, "12500.00", "4000.00", "8500.00");
    app.stop().await;
}

/// A hold of 12,500 whose capture of 3,000 never arrived, while somebody took `taken` in the cabinet.
async fn taken_in_the_cabinet(app: &TestApp, taken: u32) -> Reply {
    let held = app.create(with(card("D-1", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/confirm", ApiFaultKind::DropBefore);
    app.act(held.id(), "capture", json!({ "amount": money("3000.00") })).await.expect(202);
    let confirm = json!({ "TransactionId": transaction_id(&held), "Amount": taken });
    let done = app.at_provider("/payments/confirm", confirm).await;
    assert_eq!(done.json["Success"], true, "{}", done.json);
    app.sandbox.flush_notifications().await;
    app.advance(6);
    app.running.app.settle_step().await.unwrap();
    app.payment(held.id()).await
}

async fn a_capture_of_another_sum_in_the_cabinet_is_booked_as_told(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = taken_in_the_cabinet(&app, 5_000).await;
    assert_eq!((payment.text("/status"), payment.text("/attention")), ("paid", "capture_unclear"));
    expect_sums(&payment, "5000.00", "0.00", "5000.00");
    app.finish().await;
}

/// What the register then tells may be the sum of the hold: the least is booked, and a person looks.
async fn a_capture_of_the_whole_in_the_cabinet_calls_for_a_person(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.lose(NotificationKind::Confirm);
    let payment = taken_in_the_cabinet(&app, 12_500).await;
    assert_eq!((payment.text("/status"), payment.text("/attention")), ("paid", "capture_unclear"));
    expect_sums(&payment, "3000.00", "0.00", "3000.00");
    app.stop().await;
}

/// Nobody asked us for it, and the Confirm is lost: the register may tell the sum of the hold.
async fn a_part_taken_in_the_cabinet_that_the_register_tells_as_the_whole_calls_for_a_person(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.break_notification(NotificationKind::Confirm, NotificationFaultKind::Delay { ms: 30_000 });
    let held = app.create(with(card("D-1", APPROVED), "capture", "manual")).await.expect(201);
    let confirm = json!({ "TransactionId": transaction_id(&held), "Amount": 1_000 });
    assert_eq!(app.at_provider("/payments/confirm", confirm).await.json["Success"], true);
    let seen = app.sync(held.id()).await.expect(200);
    assert_eq!((seen.text("/status"), seen.text("/attention")), ("paid", "capture_unclear"));
    // The Confirm tells what was taken.
    app.advance(60);
    app.sandbox.flush_notifications().await;
    expect_sums(&app.payment(held.id()).await, "1000.00", "0.00", "1000.00");
    app.finish().await;
}

/// A hold of 12,500 of which 3,000 are asked for; the answer is lost, the whole is told to be taken, and it is asked again.
async fn told_as_the_whole(app: &TestApp, faults: impl IntoIterator<Item = ApiFaultKind>) -> Reply {
    let held = app.create(with(card("D-1", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    for fault in faults {
        app.break_answer("/payments/confirm", fault);
    }
    app.lose(NotificationKind::Confirm);
    app.act(held.id(), "capture", json!({ "amount": money("3000.00") })).await.expect(202);
    let transaction = transaction_id(&held).to_string();
    let fields = [
        ("TransactionId", transaction.as_str()),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("InvoiceId", "D-1"),
        ("Status", "Completed"),
    ];
    app.notify("confirm", &fields).await;
    let told = app.payment(held.id()).await;
    expect_sums(&told, "3000.00", "0.00", "3000.00");
    assert_eq!((told.text("/status"), told.text("/outcome/certainty")), ("paid", "undetermined"));
    app.advance(6);
    app.running.app.settle_step().await.unwrap();
    app.payment(held.id()).await
}

async fn a_capture_that_was_told_as_the_whole_waits_for_its_own_answer(engine: Engine) {
    let app = TestApp::start(engine).await;
    // It had its effect, and the repeat is answered.
    let payment = told_as_the_whole(&app, [ApiFaultKind::DropAfter]).await;
    assert_eq!((payment.text("/status"), payment.text("/outcome/certainty")), ("paid", "proven"));
    assert_eq!(payment.text("/attention"), "");
    expect_sums(&payment, "3000.00", "0.00", "3000.00");
    app.finish().await;
}

/// Before the register was read nothing is repeated, and no person is called for what the repeat will tell.
async fn a_lost_capture_waits_for_its_answer_after_a_start(engine: Engine) {
    let app = TestApp::start(engine).await;
    let held = app.create(with(card("D-1", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/confirm", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Confirm);
    app.act(held.id(), "capture", json!({ "amount": money("3000.00") })).await.expect(202);
    let app = app.restart(|_| {}).await;
    app.advance(6);
    app.running.app.settle_step().await.unwrap();
    let waits = app.payment(held.id()).await;
    assert_eq!((waits.text("/outcome/certainty"), waits.text("/attention")), ("undetermined", ""));
    app.step_runs().await;
    app.advance(60);
    app.running.app.settle_step().await.unwrap();
    let paid = app.payment(held.id()).await;
    assert_eq!(
        (paid.text("/status"), paid.text("/outcome/certainty"), paid.text("/attention")),
        ("paid", "proven", "")
    );
    expect_sums(&paid, "3000.00", "0.00", "3000.00");
    app.finish().await;
}

async fn a_capture_that_was_told_as_the_whole_and_refused_calls_for_a_person(engine: Engine) {
    let app = TestApp::start(engine).await;
    let words = json!({ "Success": false, "Message": "not in this state" }).to_string();
    let refused = ApiFaultKind::StatusAfter { status: 200, body: Some(words) };
    let payment = told_as_the_whole(&app, [ApiFaultKind::DropBefore, refused]).await;
    assert_eq!((payment.text("/status"), payment.text("/attention")), ("paid", "capture_unclear"));
    expect_sums(&payment, "3000.00", "0.00", "3000.00");
    app.stop().await;
}

//! Rows that somebody puts into the books with the service's own rights, triggers in place: what the history does not tell of
//! is found, whatever the service made of it since.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};
use kmic_payments::app::{VerifyHistory, verify_history};
use kmic_payments::clock::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::corrections::{started, unclear_refund};
use crate::support::{
    APPROVED, CARD_NO_FUNDS, Engine, Operator, Reply, Sql, TestApp, card, transaction_id, widget, with, with_quiet_runs,
};

crate::on_both!(
    money_that_no_row_tells_of_is_found,
    a_refund_that_nobody_asked_for_is_not_sent,
    a_capture_or_void_that_nobody_asked_for_is_not_sent,
    an_approval_that_nobody_requested_moves_no_money,
    an_id_that_matches_another_is_not_taken_for_it,
    an_approval_that_resembles_a_request_is_found,
    sums_other_than_asked_for_are_found,
    a_refund_that_failed_is_not_sent,
    a_refund_that_operators_ended_is_not_sent,
    a_lost_refund_is_not_sent_by_another_call,
    a_capture_or_void_that_ended_is_not_sent_again,
    what_has_ended_is_not_opened_again,
    a_closing_that_nobody_recorded_is_found,
);

/// Seals what waits, and looks: the audit and the laws on the live database name the row by this law.
async fn expect_found(app: &TestApp, law: &str, row: &str) {
    app.running.app.seal_step().await.unwrap();
    let what = VerifyHistory { published: Vec::new(), sealed_before: app.clock.now().plus_seconds(-3600) };
    let verdict = app.running.store.read(move |tx| verify_history(tx, &what)).await.unwrap();
    let found = verdict.err().map(|broken| broken.to_string()).unwrap_or_default();
    assert!(found.contains(law) && found.contains(row), "{law} {row}: {found}");
    assert_eq!(broken_laws(app).await, [(law.to_owned(), json!([row]))]);
}

/// Laws that do not hold on the live database, with the rows at fault.
async fn broken_laws(app: &TestApp) -> Vec<(String, Value)> {
    let reply = app.get("/v1/invariants").await.expect(200);
    let red = reply.json["data"].as_array().unwrap().iter().filter(|law| law["status"] == "red");
    red.map(|law| (law["name"].as_str().unwrap().to_owned(), law["at_fault"].clone())).collect()
}

/// A call for a refund, as the service writes it.
fn put_in_a_call(sql: &mut Sql, payment: &str, refund: &str, at: Timestamp) -> &'static str {
    let at = at.naive_utc();
    let call = "op_zzkaq0m5c3v7b1n6m2x8z4c9q2";
    for statement in [
        format!(
            "INSERT INTO operations (id, payment_id, refund_id, kind, transaction_id, amount, state, started_at, due_at, \
             lookups) SELECT '{call}', payment_id, id, 'refund', parent_transaction_id, amount, 'started', '{at}', '{at}', 0 \
             FROM refunds WHERE id = '{refund}'"
        ),
        format!(
            "UPDATE payments SET refund_pending = (SELECT amount FROM refunds WHERE id = '{refund}') WHERE id = '{payment}'"
        ),
    ] {
        assert_eq!(sql.run(&statement), Ok(1), "{statement}");
    }
    call
}

/// A refund that waits for its call, and the call.
fn put_in_a_refund(app: &TestApp, payment: &str, refund: &str, parent: i64, amount: i64) {
    let mut sql = Sql::open(&app.database.url);
    let statement = format!(
        "INSERT INTO refunds (id, payment_id, parent_transaction_id, currency, amount, status, created_by, created_at, \
         updated_at) SELECT '{refund}', id, {parent}, currency, {amount}, 'pending', created_by, created_at, created_at \
         FROM payments WHERE id = '{payment}'"
    );
    assert_eq!(sql.run(&statement), Ok(1), "{statement}");
    put_in_a_call(&mut sql, payment, refund, app.clock.now());
}

async fn money_that_no_row_tells_of_is_found(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201).id().to_owned();
    let mut sql = Sql::open(&app.database.url);
    sql.run(&format!(
        "INSERT INTO transactions (id, transaction_id, payment_id, kind, status, currency, amount, captured, created_at, \
         updated_at, moved_at) SELECT 'trn_forged', 9000000001, id, 'payment', 'completed', currency, amount, amount, \
         created_at, created_at, created_at FROM payments WHERE id = '{payment}'"
    ))
    .unwrap();
    // Whatever makes the service look at it.
    app.act(&payment, "cancel", json!({})).await;
    assert_eq!(app.payment(&payment).await.text("/status"), "paid");
    expect_found(&app, "money_has_its_history", "trn_forged").await;
    app.stop_with_broken_books().await;
}

async fn a_refund_that_nobody_asked_for_is_not_sent(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let (id, parent) = (payment.id(), transaction_id(&payment));
    let refund = "ref_01kaq0m5c3v7b1n6m2x8z4c9q1";
    put_in_a_refund(&app, id, refund, parent, 1_250_000);
    app.advance(10);
    assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
    let payment = app.payment(id).await;
    assert_eq!((payment.text("/status"), payment.text("/attention")), ("paid", "refund_not_asked_for"));
    // What the provider's register shows ends it: nothing was given back.
    app.advance(3700);
    assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
    assert_eq!(app.get(&format!("/v1/refunds/{refund}")).await.text("/status"), "failed");
    assert_eq!((app.refunds(), app.payment(id).await.text("/status")), (0, "paid"));
    expect_found(&app, "refund_has_its_request", refund).await;
    app.stop_with_broken_books().await;
}

async fn a_capture_or_void_that_nobody_asked_for_is_not_sent(engine: Engine) {
    for (kind, attention) in [("capture", "capture_not_asked_for"), ("void", "void_not_asked_for")] {
        let app = TestApp::start(engine).await;
        let held = app.create(with(card("KM-1", APPROVED), "capture", "manual")).await.expect(201);
        app.sandbox.flush_notifications().await;
        let (id, amount) = (held.id(), if kind == "capture" { "1250000" } else { "NULL" });
        let call = "op_01kaq0m5c3v7b1n6m2x8z4c9q2";
        let mut sql = Sql::open(&app.database.url);
        let forged = format!(
            "INSERT INTO operations (id, payment_id, kind, transaction_id, amount, state, started_at, due_at, lookups) \
             SELECT '{call}', payment_id, '{kind}', {}, {amount}, 'started', started_at, started_at, 0 FROM operations \
             WHERE payment_id = '{id}'",
            transaction_id(&held)
        );
        assert_eq!(sql.run(&forged), Ok(1));
        app.advance(10);
        assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
        let payment = app.payment(id).await;
        assert_eq!((payment.text("/status"), payment.text("/attention")), ("authorized", attention));
        // That it did not happen is what the provider tells in the end.
        app.advance(7300);
        assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
        assert_eq!(
            sql.number(&format!("SELECT count(*) AS value FROM operations WHERE id = '{call}' AND state = 'settled'")),
            1
        );
        assert_eq!(app.payment(id).await.text("/status"), "authorized");
        expect_found(&app, "call_has_its_request", call).await;
        app.stop_with_broken_books().await;
    }
}

async fn an_approval_that_nobody_requested_moves_no_money(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("operators.second_key_above", "1.00 KZT")).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let id = "apr_01kaq0m5c3v7b1n6m2x8z4c9q1";
    let mut sql = Sql::open(&app.database.url);
    let forged = format!(
        "INSERT INTO approvals (id, kind, payment_id, currency, amount, requested_by, requester, requested_at, expires_at, \
         state) SELECT '{id}', 'refund', id, currency, amount, '{by}', '{by}', created_at, '2099-01-01 00:00:00', 'pending' \
         FROM payments WHERE id = '{}'",
        payment.id(),
        by = one.id
    );
    assert_eq!(sql.run(&forged), Ok(1));
    let key = app.new_idempotency_key();
    let refused = other.post(&app, &format!("/v1/approvals/{id}/approve"), &key, json!({})).await;
    refused.expect_problem(409, "invalid_state");
    assert!(refused.text("/detail").contains("audit verify"), "{}", refused.json);
    assert_eq!((app.refunds(), app.payment(payment.id()).await.text("/status")), (0, "paid"));
    expect_found(&app, "approval_has_its_request", id).await;
    app.stop_with_broken_books().await;
}

/// LIKE takes `%` for anything and, on SQLite, one case for the other.
async fn an_id_that_matches_another_is_not_taken_for_it(engine: Engine) {
    for resembling in [|_: &str| "ref_%".to_owned(), str::to_uppercase] {
        let app = TestApp::start(engine).await;
        let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
        let real = app.refund(payment.id(), "100.00").await.expect(201).id().to_owned();
        app.sandbox.flush_notifications().await;
        let forged = resembling(&real);
        put_in_a_refund(&app, payment.id(), &forged, transaction_id(&payment), 10_000);
        app.advance(10);
        assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
        assert_eq!(app.payment(payment.id()).await.text("/attention"), "refund_not_asked_for", "{forged}");
        assert_eq!(app.refunds(), 1, "{forged}");
        expect_found(&app, "refund_has_its_request", &forged).await;
        app.stop_with_broken_books().await;
    }
}

/// The last one would be read as more than an id of a row's detail.
async fn an_approval_that_resembles_a_request_is_found(engine: Engine) {
    for resembling in
        [|_: &str| "apr_0%".to_owned(), str::to_uppercase, |real: &str| format!("{real}\",\"kind\":\"refund")]
    {
        let app = TestApp::start_with(engine, |raw| raw.with("operators.second_key_above", "1.00 KZT")).await;
        let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
        app.sandbox.flush_notifications().await;
        let asked = Operator::with_all(&app).await.ask_refund(&app, payment.id(), "6000.00").await.expect(201);
        let forged = resembling(asked.id());
        let statement = format!(
            "INSERT INTO approvals (id, kind, payment_id, currency, amount, requested_by, requester, requested_at, \
             expires_at, state) SELECT '{forged}', kind, payment_id, currency, amount, requested_by, requester, \
             requested_at, expires_at, state FROM approvals"
        );
        assert_eq!(Sql::open(&app.database.url).run(&statement), Ok(1));
        expect_found(&app, "approval_has_its_request", &forged).await;
        app.stop_with_broken_books().await;
    }
}

async fn sums_other_than_asked_for_are_found(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("operators.second_key_above", "5000.00 KZT")).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    let held = app.create(with(card("KM-2", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    let approval = Operator::with_all(&app).await.ask_refund(&app, payment.id(), "6000.00").await.expect(201);
    app.act(held.id(), "capture", json!({})).await.expect(200);
    app.break_answer("/payments/refund", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Refund);
    let refund = app.refund(payment.id(), "1000.05").await.expect(202);
    app.sandbox.flush_notifications().await;
    assert_eq!(broken_laws(&app).await, []);
    let mut sql = Sql::open(&app.database.url);
    sql.take_the_guards_away();
    let capture = sql.text("SELECT id AS value FROM operations WHERE kind = 'capture'");
    for (statement, law, row) in [
        (
            "UPDATE refunds SET amount = amount - $; UPDATE payments SET refund_pending = refund_pending - $ WHERE \
             refund_pending > 0",
            "refund_has_its_request",
            refund.id(),
        ),
        ("UPDATE approvals SET amount = amount - $", "approval_has_its_request", approval.id()),
        ("UPDATE operations SET amount = amount - $ WHERE kind = 'capture'", "call_has_its_request", &capture),
    ] {
        for cents in ["1", "-1", "-100"] {
            sql.run_all(&statement.replace('$', &format!("({cents})")));
            assert_eq!(broken_laws(&app).await, [(law.to_owned(), json!([row]))], "{statement} {cents}");
            sql.run_all(&statement.replace('$', &format!("(0 - ({cents}))")));
        }
    }
    assert_eq!(broken_laws(&app).await, []);
    app.stop_with_broken_books().await;
}

/// It was asked for once. It did not happen, and is not done because somebody opens it again with another call.
async fn a_refund_that_failed_is_not_sent(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/refund", ApiFaultKind::StatusBefore { status: 429 });
    app.refund(payment.id(), "100.00").await;
    let refund = Sql::open(&app.database.url).text("SELECT id AS value FROM refunds WHERE status = 'failed'");
    app.advance(400);
    expect_not_sent_when_opened_again(app, &payment, &refund).await;
}

async fn a_refund_that_operators_ended_is_not_sent(engine: Engine) {
    let app = started(engine).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let (payment, refund) = unclear_refund(&app).await;
    let asked = one.ask_correction(&app, payment.id(), Some(refund.id())).await.expect(201);
    other.decide(&app, &asked, "approve").await.expect(200);
    app.sandbox.clear_faults();
    expect_not_sent_when_opened_again(app, &payment, refund.id()).await;
}

/// The money was given back and the answer lost; under another `X-Request-ID` it would be given back once more.
async fn a_lost_refund_is_not_sent_by_another_call(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.break_answer("/payments/refund", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Refund);
    let refund = app.refund(payment.id(), "100.00").await.expect(202).id().to_owned();
    let mut sql = Sql::open(&app.database.url);
    let end = format!("UPDATE operations SET state = 'settled', due_at = NULL WHERE refund_id = '{refund}'");
    assert_eq!(sql.run(&end), Ok(1));
    let (call, at) = ("op_zzkaq0m5c3v7b1n6m2x8z4c9q2", app.clock.now().naive_utc());
    let copy = format!(
        "INSERT INTO operations (id, payment_id, refund_id, kind, transaction_id, amount, state, started_at, due_at, lookups) \
         SELECT '{call}', payment_id, refund_id, kind, transaction_id, amount, 'started', '{at}', '{at}', 0 FROM operations \
         WHERE refund_id = '{refund}'"
    );
    assert_eq!(sql.run(&copy), Ok(1));
    app.advance(10);
    assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
    assert_eq!((app.refunds(), app.payment(payment.id()).await.text("/attention")), (1, "refund_not_asked_for"));
    // The register shows it, under its own name.
    app.advance(3_700);
    app.running.app.settle_step().await.unwrap();
    assert_eq!((app.refunds(), app.get(&format!("/v1/refunds/{refund}")).await.text("/status")), (1, "succeeded"));
    expect_found(&app, "call_has_its_request", call).await;
    app.stop_with_broken_books().await;
}

async fn expect_not_sent_when_opened_again(app: TestApp, payment: &Reply, refund: &str) {
    let mut sql = Sql::open(&app.database.url);
    let (made, again) = (app.refunds(), format!("UPDATE refunds SET status = 'pending' WHERE id = '{refund}'"));
    assert!(sql.run(&again).expect_err(&again).contains("go back"));
    sql.drop_trigger("refunds_no_way_back");
    assert_eq!(sql.run(&again), Ok(1));
    let call = put_in_a_call(&mut sql, payment.id(), refund, app.clock.now());
    app.advance(10);
    assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
    assert_eq!(app.payment(payment.id()).await.text("/attention"), "refund_not_asked_for");
    assert_eq!(app.refunds(), made);
    expect_found(&app, "call_has_its_request", call).await;
    app.stop_with_broken_books().await;
}

async fn a_capture_or_void_that_ended_is_not_sent_again(engine: Engine) {
    for (kind, path, action) in [("capture", "/payments/confirm", "capture"), ("void", "/payments/void", "cancel")] {
        let app = TestApp::start(engine).await;
        let held = app.create(with(card("KM-1", APPROVED), "capture", "manual")).await.expect(201);
        app.sandbox.flush_notifications().await;
        app.break_answer(path, ApiFaultKind::StatusBefore { status: 429 });
        app.act(held.id(), action, json!({})).await;
        app.advance(400);
        let call = "op_zzkaq0m5c3v7b1n6m2x8z4c9q2";
        let mut sql = Sql::open(&app.database.url);
        let forged = format!(
            "INSERT INTO operations (id, payment_id, kind, transaction_id, amount, state, started_at, due_at, lookups) \
             SELECT '{call}', payment_id, kind, transaction_id, amount, 'started', started_at, started_at, 0 FROM \
             operations WHERE kind = '{kind}' AND state = 'not_sent'"
        );
        assert_eq!(sql.run(&forged), Ok(1));
        assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
        let payment = app.payment(held.id()).await;
        let attention = format!("{kind}_not_asked_for");
        assert_eq!((payment.text("/status"), payment.text("/attention")), ("authorized", &*attention));
        expect_found(&app, "call_has_its_request", call).await;
        app.stop_with_broken_books().await;
    }
}

async fn what_has_ended_is_not_opened_again(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.refund(payment.id(), "100.00").await.expect(201);
    app.create(card("KM-2", CARD_NO_FUNDS)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let mut sql = Sql::open(&app.database.url);
    for change in [
        "transactions SET status = 'voided', captured = 0 WHERE kind = 'payment' AND status = 'completed'",
        "transactions SET status = 'declined' WHERE kind = 'refund'",
        "transactions SET amount = amount - 1 WHERE kind = 'refund'",
        "transactions SET status = 'checked' WHERE status = 'declined'",
        "payments SET status = 'processing' WHERE status = 'declined'",
        "payments SET status = 'awaiting_payer' WHERE status = 'declined'",
        "payments SET sequence = sequence - 1 WHERE status = 'partially_refunded'",
    ] {
        let error = sql.run(&format!("UPDATE {change}")).expect_err(change);
        assert!(error.contains("go back"), "{change}: {error}");
    }
    app.finish().await;
}

async fn a_closing_that_nobody_recorded_is_found(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    app.reconcile().await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let mut sql = Sql::open(&app.database.url);
    let id = put_in_a_loss(&mut sql);
    for change in [
        format!("proposed_by = '{}', proposed_at = '2026-01-02 00:00:00'", one.id),
        format!("closed_by = '{}', closed_at = '2026-01-03 00:00:00', resolution = 'operator'", other.id),
    ] {
        assert_eq!(sql.run(&format!("UPDATE discrepancies SET {change}")), Ok(1));
        expect_found(&app, "operators_closing_is_told", id).await;
    }
    app.stop_with_broken_books().await;
}

/// A loss of a bill, of no payment, as a run finds it.
pub(crate) fn put_in_a_loss(sql: &mut Sql) -> &'static str {
    let id = "dis_01kaq0m5c3v7b1n6m2x8z4c9q1";
    let loss = format!(
        "INSERT INTO discrepancies (id, kind, transaction_id, lost, opened_by, opened_at, invoice_id, theirs_status) \
         SELECT '{id}', 'missing_here', 9000000001, true, id, started_at, 'LOST-1', 'completed' FROM reconciliations \
         ORDER BY id LIMIT 1"
    );
    assert_eq!(sql.run(&loss), Ok(1));
    id
}

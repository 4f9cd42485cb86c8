//! Rows that somebody puts into the books with the service's own rights, triggers in place: what the history does not tell of
//! is found, whatever the service made of it since.

use kmic_payments::app::{VerifyHistory, verify_history};
use kmic_payments::clock::Clock;
use serde_json::json;

use crate::support::{APPROVED, Engine, Operator, Sql, TestApp, card, transaction_id, widget, with, with_quiet_runs};

crate::on_both!(
    money_that_no_row_tells_of_is_found,
    a_refund_that_nobody_asked_for_is_not_sent,
    a_capture_or_void_that_nobody_asked_for_is_not_sent,
    an_approval_that_nobody_requested_moves_no_money,
    a_closing_that_nobody_recorded_is_found,
);

/// Seals what waits, and looks: the audit and the laws on the live database name the row by this law.
async fn expect_found(app: &TestApp, law: &str, row: &str) {
    app.running.app.seal_step().await.unwrap();
    let what = VerifyHistory { published: Vec::new(), sealed_before: app.clock.now().plus_seconds(-3600) };
    let verdict = app.running.store.read(move |tx| verify_history(tx, &what)).await.unwrap();
    let found = verdict.err().map(|broken| broken.to_string()).unwrap_or_default();
    assert!(found.contains(law) && found.contains(row), "{law} {row}: {found}");
    let reply = app.get("/v1/invariants").await.expect(200);
    let red = reply.json["data"].as_array().unwrap().iter().filter(|law| law["status"] == "red");
    let red: Vec<_> = red.map(|law| (law["name"].as_str().unwrap(), law["at_fault"].clone())).collect();
    assert_eq!(red, [(law, json!([row]))]);
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
    let mut sql = Sql::open(&app.database.url);
    for statement in [
        format!(
            "INSERT INTO refunds (id, payment_id, parent_transaction_id, currency, amount, status, created_by, created_at, \
             updated_at) SELECT '{refund}', id, {parent}, currency, amount, 'pending', created_by, created_at, created_at \
             FROM payments WHERE id = '{id}'"
        ),
        format!(
            "INSERT INTO operations (id, payment_id, refund_id, kind, transaction_id, amount, state, started_at, due_at, \
             lookups) SELECT 'op_01kaq0m5c3v7b1n6m2x8z4c9q2', payment_id, '{refund}', 'refund', {parent}, 1250000, \
             'started', started_at, started_at, 0 FROM operations WHERE payment_id = '{id}'"
        ),
        format!("UPDATE payments SET refund_pending = amount WHERE id = '{id}'"),
    ] {
        assert_eq!(sql.run(&statement), Ok(1), "{statement}");
    }
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

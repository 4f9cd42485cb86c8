//! Whoever changes the books beside the history, past the service and its triggers, is found as far as the history binds them.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};

use serde_json::json;

use crate::forged_rows::put_in_a_loss;
use crate::history_tampering::{Scene, shows};
use crate::support::{APPROVED, Engine, Operator, Sql, TestApp, card, widget, with_quiet_runs};

crate::on_both!(
    what_was_asked_for_is_bound,
    transactions_and_refunds_are_bound,
    evidence_of_a_second_charge_is_bound,
    numbers_of_refunds_are_bound,
    approvals_are_bound,
    closings_are_bound,
    calls_and_open_outcomes_are_bound,
    what_points_to_the_books_is_bound,
    what_is_not_bound_is_not_found,
);

async fn what_was_asked_for_is_bound(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let id = scene.payment.clone();
    for change in [
        "invoice_id = 'KM-1'",
        "capture_mode = 'manual'",
        "method = 'widget'",
        "language = 'kk'",
        "created_by = 'key_other'",
        "created_at = '2026-01-01 00:00:00'",
        "expires_at = '2036-01-01 00:00:00'",
    ] {
        let tampering = format!("UPDATE payments SET {change} WHERE id = '{id}'");
        shows(&scene.found_after(&tampering).await, &["payments", &id, "order"], &tampering);
    }
    scene.app.stop().await;
}

async fn transactions_and_refunds_are_bound(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let id = scene.payment.clone();
    let other = scene.matched.clone();
    for (table, change) in [
        ("transactions", "captured = captured - 1, amount = amount - 1 WHERE kind = 'payment' AND"),
        ("transactions", "captured = captured - 1 WHERE kind = 'payment' AND"),
        ("transactions", "status = 'voided', captured = 0 WHERE kind = 'payment' AND"),
        ("transactions", "currency = 'USD' WHERE kind = 'payment' AND"),
        ("transactions", "amount = amount + 1 WHERE kind = 'refund' AND"),
        ("transactions", "status = 'declined' WHERE kind = 'refund' AND"),
        ("transactions", "kind = 'payment', parent_transaction_id = NULL WHERE kind = 'refund' AND"),
        ("transactions", "parent_transaction_id = 7 WHERE kind = 'refund' AND"),
        ("transactions", "refund_id = NULL WHERE kind = 'refund' AND"),
        ("refunds", "currency = 'USD' WHERE"),
        ("refunds", "status = 'pending', transaction_id = NULL WHERE"),
        ("refunds", "status = 'failed', transaction_id = NULL WHERE"),
        ("payments", "refund_pending = 100 WHERE"),
        ("payments", "refund_excess = 100 WHERE"),
    ] {
        let column = if table == "payments" { "id" } else { "payment_id" };
        let tampering = format!("UPDATE {table} SET {change} {column} = '{id}'");
        shows(&scene.found_after(&tampering).await, &["the books", "breaks the law"], &tampering);
    }
    for (tampering, found) in [
        (format!("UPDATE transactions SET payment_id = '{other}' WHERE payment_id = '{id}'"), "is with"),
        (format!("DELETE FROM transactions WHERE payment_id = '{id}'"), "not there"),
        (format!("DELETE FROM transactions WHERE kind = 'refund' AND payment_id = '{id}'"), "not there"),
    ] {
        shows(&scene.found_after(&tampering).await, &["transactions", &id, found], &tampering);
    }
    for tampering in [
        format!(
            "INSERT INTO refunds (id, payment_id, parent_transaction_id, currency, amount, status, created_by, created_at, \
             updated_at) SELECT 'ref_forged', payment_id, parent_transaction_id, currency, amount, 'pending', created_by, \
             created_at, updated_at FROM refunds WHERE payment_id = '{id}'"
        ),
        format!(
            "INSERT INTO approvals (id, kind, payment_id, currency, amount, refund_id, requested_by, requester, \
             requested_at, expires_at, state, decided_by, decider, decided_at) SELECT 'apr_forged', 'refund', payment_id, \
             currency, amount + 1, id, 'key_1', 'key_1', created_at, created_at, 'approved', 'key_1', 'key_1', created_at \
             FROM refunds WHERE payment_id = '{id}'"
        ),
    ] {
        shows(&scene.found_after(&tampering).await, &["the books", "breaks the law"], &tampering);
    }
    for tampering in [
        format!("DELETE FROM refunds WHERE payment_id = '{id}'"),
        format!("UPDATE refunds SET payment_id = '{other}' WHERE payment_id = '{id}'"),
        format!("UPDATE refunds SET id = 'ref_other' WHERE payment_id = '{id}'"),
    ] {
        shows(&scene.found_after(&tampering).await, &["refunds", &id, "not there"], &tampering);
    }
    let other_sum = format!("UPDATE refunds SET amount = amount + 1 WHERE payment_id = '{id}'");
    shows(&scene.found_after(&other_sum).await, &["refunds", &id, "sum"], &other_sum);
    scene.app.stop().await;
}

async fn paid(app: &TestApp, invoice: &str, transaction: &str) {
    let pay = [
        ("TransactionId", transaction),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("InvoiceId", invoice),
        ("AccountId", "user-42"),
        ("Status", "Completed"),
    ];
    app.notify("pay", &pay).await;
}

async fn evidence_of_a_second_charge_is_bound(engine: Engine) {
    let app = TestApp::start(engine).await;
    let twice = app.create(widget("KM-1")).await.expect(201).id().to_owned();
    let other = app.create(widget("KM-2")).await.expect(201).id().to_owned();
    for (invoice, transaction) in [("KM-1", "5000000001"), ("KM-1", "5000000002"), ("KM-2", "5000000003")] {
        paid(&app, invoice, transaction).await;
    }
    assert_eq!(app.payment(&twice).await.text("/attention"), "paid_twice");
    app.running.app.seal_step().await.unwrap();
    let mut scene = Scene::keep(app, twice.clone(), other.clone()).await;
    let second = "WHERE transaction_id = 5000000002";
    for (tampering, found) in [
        (format!("DELETE FROM transactions {second}"), "5000000002, which is not there"),
        (format!("UPDATE transactions SET transaction_id = 7 {second}"), "5000000002, which is not there"),
        (format!("UPDATE transactions SET payment_id = '{other}' {second}"), "5000000002, which is with"),
        (format!("UPDATE transactions SET status = 'declined', captured = 0 {second}"), "paid twice"),
        (
            format!(
                "UPDATE transactions SET payment_id = CASE transaction_id WHEN 5000000001 THEN '{other}' ELSE '{twice}' END \
                 WHERE transaction_id IN (5000000001, 5000000003)"
            ),
            "5000000001, which is with",
        ),
    ] {
        shows(&scene.found_after(&tampering).await, &["transactions", &twice, found], &tampering);
    }
    let renumbered = "UPDATE transactions SET transaction_id = 8 WHERE transaction_id = 5000000003";
    shows(&scene.found_after(renumbered).await, &["transactions", &other, "5000000003"], renumbered);
    for (changed, id) in [("NULL", &twice), ("'amount_mismatch'", &twice), ("'capture_unclear'", &other)] {
        let tampering = format!("UPDATE payments SET attention = {changed} WHERE id = '{id}'");
        shows(&scene.found_after(&tampering).await, &["payments", id, "attention"], &tampering);
    }
    scene.app.stop().await;
}

async fn numbers_of_refunds_are_bound(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201).id().to_owned();
    let mut refunds = Vec::new();
    for _ in 0..2 {
        let refund = app.refund(&payment, "100.00").await.expect(201);
        refunds.push(refund.id().to_owned());
    }
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    let mut scene = Scene::keep(app, payment.clone(), String::new()).await;
    let [one, two] = &refunds[..] else { panic!() };
    let [first, second] = [one, two]
        .map(|id| scene.sql.number(&format!("SELECT transaction_id AS value FROM refunds WHERE id = '{id}'")));
    // Both are told, and each still has one of them.
    let swapped = format!(
        "UPDATE refunds SET transaction_id = transaction_id + 1000; UPDATE transactions SET refund_id = NULL; \
         UPDATE refunds SET transaction_id = {second} WHERE id = '{one}'; \
         UPDATE refunds SET transaction_id = {first} WHERE id = '{two}'; \
         UPDATE transactions SET refund_id = '{one}' WHERE transaction_id = {second}; \
         UPDATE transactions SET refund_id = '{two}' WHERE transaction_id = {first}"
    );
    shows(&scene.found_after(&swapped).await, &["refunds", &payment, "of which no row tells"], &swapped);
    let renumbered = format!(
        "UPDATE refunds SET transaction_id = 7 WHERE id = '{one}'; \
         UPDATE transactions SET transaction_id = 7 WHERE transaction_id = {first}"
    );
    shows(&scene.found_after(&renumbered).await, &["transactions", &payment, "not there"], &renumbered);
    scene.app.stop().await;
}

async fn approvals_are_bound(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("operators.second_key_above", "1.00 KZT")).await;
    let (asks, decides) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201).id().to_owned();
    let mut ids = Vec::new();
    for (sum, what) in [("6000.00", Some("approve")), ("500.00", Some("reject")), ("400.00", None)] {
        let asked = asks.ask_refund(&app, &payment, sum).await.expect(201);
        if let Some(what) = what {
            decides.decide(&app, &asked, what).await.expect(200);
        }
        ids.push(asked.id().to_owned());
    }
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    let mut scene = Scene::keep(app, payment.clone(), String::new()).await;
    let [approved, rejected, waiting] = &ids[..] else { panic!() };
    for id in &ids {
        let gone = format!("DELETE FROM approvals WHERE id = '{id}'");
        shows(&scene.found_after(&gone).await, &["approvals", &payment, id, "not there"], &gone);
    }
    for (id, change, column) in [
        (waiting, "amount = amount + 1", "amount"),
        (waiting, "payment_id = 'pay_other'", "payment_id"),
        (waiting, "requested_by = 'key_other'", "requested_by"),
        (approved, "requested_by = 'key_other'", "requested_by"),
        (approved, "decided_by = 'key_other'", "decided_by"),
        (approved, "state = 'rejected', refund_id = NULL", "refund_id"),
        (rejected, "decided_by = 'key_other'", "decided_by"),
        (rejected, "state = 'expired', decided_by = NULL, decider = NULL, decided_at = NULL", "decided_by"),
        (waiting, "state = 'expired'", "state"),
    ] {
        let tampering = format!("UPDATE approvals SET {change} WHERE id = '{id}'");
        shows(&scene.found_after(&tampering).await, &["approvals", &payment, id, column], &tampering);
    }
    scene.app.stop().await;
}

/// What operators did to discrepancies, of a payment and of none.
async fn closings_are_bound(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    app.reconcile().await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201).id().to_owned();
    app.sandbox.flush_notifications().await;
    let mut sql = Sql::open(&app.database.url);
    let of_none = put_in_a_loss(&mut sql);
    let [of_payment, proposed] = ["dis_01kaq0m5c3v7b1n6m2x8z4c9q2", "dis_01kaq0m5c3v7b1n6m2x8z4c9q3"];
    for (id, number) in [(of_payment, 9_000_000_002_i64), (proposed, 9_000_000_003)] {
        let loss = format!(
            "INSERT INTO discrepancies (id, kind, transaction_id, payment_id, lost, opened_by, opened_at, theirs_status) \
             SELECT '{id}', kind, {number}, '{payment}', lost, opened_by, opened_at, theirs_status FROM discrepancies \
             WHERE id = '{of_none}'"
        );
        assert_eq!(sql.run(&loss), Ok(1));
    }
    let reason = json!({ "reason": "seen" });
    for (id, by, status) in [
        (of_none, &one, 202),
        (of_none, &other, 200),
        (of_payment, &one, 202),
        (of_payment, &other, 200),
        (proposed, &one, 202),
    ] {
        let path = format!("/v1/discrepancies/{id}/close");
        by.post(&app, &path, &app.new_idempotency_key(), reason.clone()).await.expect(status);
    }
    app.running.app.seal_step().await.unwrap();
    let mut scene = Scene::keep(app, payment.clone(), String::new()).await;
    let (by_one, elsewhere) =
        (format!("closed_by = '{}'", one.id), format!("CASE WHEN payment_id IS NULL THEN '{payment}' END"));
    let proposal_gone = "proposed_by = NULL, proposed_at = NULL";
    for (id, what, changes) in [
        (
            of_none,
            "was closed by an operator",
            &["resolution = 'superseded'", "closed_at = '2026-01-01 00:00:00'", &by_one][..],
        ),
        (
            of_payment,
            "was closed by an operator",
            &["resolution = 'superseded'", "closed_at = '2026-01-01 00:00:00'", &by_one],
        ),
        (of_none, "", &["resolution = 'agrees', closed_by = opened_by, proposed_by = NULL, proposed_at = NULL"]),
        (of_payment, "", &["resolution = 'agrees', closed_by = opened_by, proposed_by = NULL, proposed_at = NULL"]),
        (of_none, "closed by", &["resolution = NULL, closed_by = NULL, closed_at = NULL"]),
        (of_payment, "closed by", &["resolution = NULL, closed_by = NULL, closed_at = NULL"]),
        (of_none, "was proposed", &[proposal_gone, "proposed_at = '2026-01-01 00:00:00'"]),
        (proposed, "was proposed", &[proposal_gone, "proposed_at = '2026-01-01 00:00:00'"]),
        (of_none, "not there", &[&format!("payment_id = {elsewhere}")]),
        (of_payment, "not there", &[&format!("payment_id = {elsewhere}")]),
    ] {
        for change in changes {
            let tampering = format!("UPDATE discrepancies SET {change} WHERE id = '{id}'");
            shows(&scene.found_after(&tampering).await, &["discrepancies", id, what], &tampering);
        }
    }
    for id in [of_none, of_payment, proposed] {
        let gone = format!("DELETE FROM discrepancies WHERE id = '{id}'");
        shows(&scene.found_after(&gone).await, &["discrepancies", id, "not there"], &gone);
    }
    scene.app.stop_with_broken_books().await;
}

/// The history tells whether an outcome is open; which call is open follows from that.
async fn calls_and_open_outcomes_are_bound(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201).id().to_owned();
    app.break_answer("/payments/cards/charge", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Pay);
    let lost = app.create(card("KM-2", APPROVED)).await.expect(202).id().to_owned();
    app.break_answer("/payments/refund", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Refund);
    app.refund(&paid, "100.00").await.expect(202);
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    let mut scene = Scene::keep(app, paid.clone(), String::new()).await;
    let ended = "UPDATE operations SET state = 'settled', due_at = NULL WHERE";
    for (tampering, parts) in [
        // Both books say that nothing is open.
        (
            format!("UPDATE payments SET decide_by = NULL WHERE id = '{lost}'; {ended} payment_id = '{lost}'"),
            ["payments", &lost, "it is proven"],
        ),
        (
            format!(
                "UPDATE payments SET decide_by = '2026-01-01 00:00:00' WHERE id = '{paid}'; UPDATE operations SET state = \
                 'undetermined', due_at = '2026-01-01 00:00:00' WHERE payment_id = '{paid}' AND kind = 'charge'"
            ),
            ["payments", &paid, "it is undetermined"],
        ),
        (format!("{ended} payment_id = '{lost}'"), ["the books", &lost, "undetermined_has_its_call"]),
        (
            format!("DELETE FROM operations WHERE payment_id = '{lost}'"),
            ["the books", &lost, "undetermined_has_its_call"],
        ),
        (format!("{ended} kind = 'refund'"), ["the books", "ref_", "pending_refund_has_its_call"]),
        (
            format!("UPDATE operations SET due_at = NULL WHERE payment_id = '{lost}'"),
            ["the books", "op_", "open_call_is_due"],
        ),
        (
            format!(
                "INSERT INTO operations (id, payment_id, kind, state, started_at, due_at, lookups) SELECT 'op_forged', \
                 payment_id, kind, 'started', started_at, due_at, 0 FROM operations WHERE payment_id = '{lost}'"
            ),
            ["the books", &lost, "one_open_call"],
        ),
    ] {
        shows(&scene.found_after(&tampering).await, &parts, &tampering);
    }
    scene.app.stop().await;
}

/// Notifications and Idempotency-Keys name what is in the books.
async fn what_points_to_the_books_is_bound(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let matched = scene.matched.clone();
    for (tampering, law) in [
        ("UPDATE notifications SET transaction_id = 7 WHERE verdict = 'applied'".to_owned(), "notification_is_booked"),
        (
            format!("UPDATE notifications SET payment_id = '{matched}' WHERE verdict = 'no_change'"),
            "notification_is_booked",
        ),
        ("UPDATE idempotency_keys SET resource_id = 'pay_gone'".to_owned(), "key_points_to_its_effect"),
    ] {
        shows(&scene.found_after(&tampering).await, &["the books", law], &tampering);
    }
    scene.app.stop().await;
}

/// What docs/history-proofs.md says that `verify` does not see.
async fn what_is_not_bound_is_not_found(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    for tampering in [
        "UPDATE transactions SET fee = 1, moved_at = '2026-01-01 00:00:00', card_brand = 'Other'",
        "UPDATE refunds SET created_by = 'key_other', created_at = '2026-01-01 00:00:00'",
        "UPDATE payments SET test_mode = false, updated_at = '2026-01-01 00:00:00', expiry_due_at = '2026-01-01 00:00:00', \
         payer_key_id = NULL, account_hash = 'x', description = 'x', attention_raised = 'x'",
        "UPDATE transactions SET captured = 1 WHERE kind = 'refund'",
        "UPDATE operations SET note = 'x', lookups = 7, started_at = '2026-01-01 00:00:00'",
        "INSERT INTO discrepancies (id, kind, transaction_id, lost, opened_by, opened_at) VALUES ('dis_x', 'missing_here', 7, \
         true, 'rec_x', '2026-01-01 00:00:00')",
        "UPDATE events SET epoch = epoch + 1000, position = position + 1000",
    ] {
        assert_eq!(
            scene.found_after(tampering).await,
            "",
            "{tampering}: say in the documentation that this is found now"
        );
    }
    scene.app.stop().await;
}

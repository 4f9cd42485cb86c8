//! Whoever changes the books beside the history, past the service and its triggers, is found as far as the history binds them.

use crate::history_tampering::{Scene, shows};
use crate::support::Engine;

crate::on_both!(what_was_asked_for_is_bound, transactions_and_refunds_are_bound, what_is_not_bound_is_not_found);

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
    ] {
        let tampering = format!("UPDATE {table} SET {change} payment_id = '{id}'");
        shows(&scene.found_after(&tampering).await, &["the books", "breaks the law"], &tampering);
    }
    for tampering in [
        format!("UPDATE transactions SET payment_id = '{other}' WHERE payment_id = '{id}'"),
        format!("DELETE FROM transactions WHERE payment_id = '{id}'"),
        format!("DELETE FROM transactions WHERE kind = 'refund' AND payment_id = '{id}'"),
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

/// What docs/history-proofs.md says that `verify` does not see.
async fn what_is_not_bound_is_not_found(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    for tampering in [
        "UPDATE transactions SET fee = 1, moved_at = '2026-01-01 00:00:00', card_brand = 'Other'",
        "UPDATE refunds SET status = 'failed', transaction_id = NULL",
        "UPDATE refunds SET created_by = 'key_other', created_at = '2026-01-01 00:00:00'",
        "UPDATE payments SET test_mode = false, updated_at = '2026-01-01 00:00:00'",
    ] {
        assert_eq!(
            scene.found_after(tampering).await,
            "",
            "{tampering}: say in the documentation that this is found now"
        );
    }
    scene.app.stop().await;
}

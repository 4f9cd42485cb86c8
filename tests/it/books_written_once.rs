//! The books refuse by themselves to be taken away, replaced or rewritten, also by SQL with the service's own credentials.

use kmic_payments::clock::{Clock, Timestamp};
use kmic_payments::domain::id::AccessId;
use kmic_payments::domain::scope::Scope;
use serde_json::json;

use crate::support::{APPROVED, Engine, Operator, Reply, Sql, TestApp, card, with_at};

crate::on_both!(
    what_never_changes_is_written_once,
    nothing_is_taken_away,
    a_loss_is_closed_by_two,
    nothing_is_replaced_or_truncated,
    nothing_is_replaced_by_its_place_or_by_a_change,
    records_of_readings_leave_by_retention_alone,
);

/// Tables, and the columns of each that may change.
const CHANGING: [(&str, &[&str]); 13] = [
    (
        "payments",
        &[
            "sequence",
            "status",
            "decide_by",
            "authorized",
            "captured",
            "refunded",
            "refund_pending",
            "refund_excess",
            "attention",
            "attention_raised",
            "test_mode",
            "updated_at",
            // When the worker looks next at one that is over.
            "expiry_due_at",
            // Erased, or moved under another key.
            "account_hash",
            "description",
            "return_url",
            "metadata",
            "payer",
            "three_ds",
            "payer_key_id",
        ],
    ),
    (
        "refunds",
        &[
            "status",
            "decide_by",
            "reason",
            "failure",
            "transaction_id",
            "updated_at",
            "sealed_reason",
            "sealed_failure",
        ],
    ),
    (
        "transactions",
        &[
            "status",
            "currency",
            "amount",
            "captured",
            "refund_id",
            "reason_code",
            "card_brand",
            "card_first_six",
            "card_last_four",
            "card_issuer",
            "updated_at",
            "moved_at",
            "fee",
            "payout",
            "payout_at",
        ],
    ),
    ("api_keys", &["expires_at", "revoked_at", "rotated_at", "successor_id", "last_used_at"]),
    ("operations", &["state", "due_at", "lookups", "note", "refused_at", "sealed_words", "asked_until"]),
    (
        "idempotency_keys",
        // A fingerprint moves under a new key; what is kept of an answer ends.
        &["fingerprint", "operation_id", "locked_until", "status", "location", "body"],
    ),
    // One that is over does not change at all.
    ("reconciliations", &[]),
    (
        "discrepancies",
        &["resolution", "closed_by", "close_reason", "closed_at", "sealed_reason", "proposed_by", "proposed_at"],
    ),
    ("chargebacks", &[]),
    ("payer_keys", &["account_hash", "account", "wrapped_key", "erased_at", "cleaned_at"]),
    ("notifications", &["digest", "body", "payment_id", "verdict", "payer_key_id"]),
    ("register_marks", &[]),
    ("history_unsealed", &[]),
];

const BOOKS: [&str; 23] = [
    "operations",
    "idempotency_keys",
    "reconciliations",
    "discrepancies",
    "chargebacks",
    "payer_keys",
    "register_marks",
    "history_unsealed",
    "transition_edges",
    "payments",
    "refunds",
    "transactions",
    "approvals",
    "api_keys",
    "notifications",
    "transitions",
    "events",
    "history_seals",
    "history_leaves",
    "personal_data_erasures",
    "personal_data_access",
    "summary_days",
    "summary_groups",
];

/// A row at least in every table of the books.
async fn books(engine: Engine) -> (TestApp, Sql) {
    let app = TestApp::start_with(engine, |raw| raw.with("operators.second_key_above", "5000.00 KZT")).await;
    let payment = app.create(with_at(card("KM-1", APPROVED), "/payer/account_id", json!("one"))).await.expect(201);
    app.refund(payment.id(), "1.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    Operator::with_all(&app).await.ask_refund(&app, payment.id(), "6000.00").await.expect(201);
    let officer = app.new_key(&[Scope::PaymentsRead, Scope::PersonalDataWrite]).await;
    let reading = app.http.get(format!("{}/v1/payments/{}", app.url, payment.id()));
    Reply::receive(reading.header("Authorization", format!("Bearer {officer}"))).await.expect(200);
    let erase = app.request(reqwest::Method::DELETE, "/v1/payers/nobody/personal-data");
    Reply::receive(erase.header("Idempotency-Key", "erase-1")).await.expect(200);
    app.running.app.seal_step().await.unwrap();
    // Not sealed yet.
    app.create(card("KM-2", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let mut sql = Sql::open(&app.database.url);
    sql.run_all(&from_the_register(payment.id()));
    sql.run_all(
        "INSERT INTO summary_days (day, published_at, group_count) VALUES ('2026-01-01', '2026-01-02 00:00:00', 1); \
         INSERT INTO summary_groups (day, currency, status, dimension, part, members, amount) VALUES \
         ('2026-01-01', 'KZT', 'paid', 'all', '', 5, 500); \
         UPDATE api_keys SET expires_at = '2036-01-01 00:00:00', revoked_at = '2027-01-01 00:00:00' WHERE id = \
         (SELECT max(id) FROM api_keys); \
         INSERT INTO api_keys (id, name, secret_hash, scopes, created_at, lineage) SELECT 'key_successor', name, secret_hash, \
         scopes, created_at, id FROM api_keys WHERE id = (SELECT max(id) FROM api_keys)",
    );
    for table in BOOKS {
        assert!(sql.number(&format!("SELECT count(*) AS value FROM {table}")) > 0, "{table}");
    }
    (app, sql)
}

/// A run that is over and one under way, a loss of this payment, and a claim.
fn from_the_register(payment: &str) -> String {
    let run = |id: &str, state: &str, due_at: &str, finished_at: &str| {
        format!(
            "INSERT INTO reconciliations (id, purpose, window_from, window_to, requested_by, state, phase, next_page, \
             position, compared, unreadable, lost, asked, chargebacks, failures, reason, due_at, started_at, finished_at) \
             VALUES ('{id}', 'requested', '2026-01-01 00:00:00', '2026-01-02 00:00:00', 'x', '{state}', 'register', 1, '', \
             0, 0, 1, 0, 0, 0, '', {due_at}, '2026-01-01 00:00:00', {finished_at}); "
        )
    };
    let (over, under_way) = (
        run("rec_over", "completed", "NULL", "'2026-01-01 00:00:00'"),
        run("rec_under_way", "running", "'2036-01-01 00:00:00'", "NULL"),
    );
    format!(
        "{over} {under_way} INSERT INTO register_marks (reconciliation_id, transaction_id) VALUES ('rec_under_way', 1); \
         INSERT INTO discrepancies (id, kind, transaction_id, payment_id, named_payment_id, invoice_id, lost, ours_status, \
         ours_currency, ours_amount, theirs_status, theirs_currency, theirs_amount, opened_by, opened_at) VALUES ('dis_1', \
         'refund_in_cabinet', 1, '{payment}', '{payment}', 'KM-1', true, 'completed', 'KZT', 1, 'completed', 'KZT', 2, \
         'rec_over', '2026-01-01 00:00:00'); \
         INSERT INTO chargebacks (id, provider_id, operation, kind, transaction_id, payment_id, currency, amount, raised_at, \
         found_by, found_at) VALUES ('cbk_1', 'p', 'Presentment', 'Chargeback', 1, '{payment}', 'KZT', 1, \
         '2026-01-01 00:00:00', 'rec_over', '2026-01-01 00:00:00')"
    )
}

#[track_caller]
fn refused(sql: &mut Sql, statement: &str, reason: &str) {
    let error = sql.run(statement).expect_err(statement);
    assert!(error.contains(reason), "{statement}: {error}");
}

async fn what_never_changes_is_written_once(engine: Engine) {
    let (app, mut sql) = books(engine).await;
    for (table, changing) in CHANGING {
        let columns = sql.texts(&match engine {
            Engine::Sqlite => format!("SELECT name AS value FROM pragma_table_info('{table}')"),
            Engine::Postgres => format!(
                "SELECT column_name::text AS value FROM information_schema.columns WHERE table_name = '{table}'"
            ),
        });
        for column in changing {
            assert!(columns.iter().any(|one| one == column), "{table}.{column}");
        }
        for column in columns.iter().filter(|column| !changing.contains(&column.as_str())) {
            refused(&mut sql, &format!("UPDATE {table} SET {column} = NULL"), "written once");
        }
    }
    // What came about, and what was taken back.
    for change in [
        "refunds SET status = 'failed', transaction_id = NULL",
        "refunds SET transaction_id = 7",
        "transactions SET refund_id = NULL WHERE refund_id IS NOT NULL",
        "api_keys SET revoked_at = NULL",
        "api_keys SET expires_at = NULL WHERE expires_at IS NOT NULL",
        "api_keys SET expires_at = '2037-01-01 00:00:00' WHERE expires_at IS NOT NULL",
        "operations SET state = 'started', due_at = started_at WHERE state = 'settled'",
        "operations SET state = 'not_sent' WHERE state = 'settled'",
        "idempotency_keys SET operation_id = 'opr_other' WHERE operation_id IS NOT NULL",
        "idempotency_keys SET status = 500 WHERE status IS NOT NULL",
        "reconciliations SET state = 'running', due_at = started_at, finished_at = NULL WHERE state = 'completed'",
        "reconciliations SET lost = 0 WHERE state = 'completed'",
    ] {
        refused(&mut sql, &format!("UPDATE {change}"), "written once");
    }
    app.finish().await;
}

async fn nothing_is_taken_away(engine: Engine) {
    let (app, mut sql) = books(engine).await;
    for table in BOOKS {
        let error = sql.run(&format!("DELETE FROM {table}")).expect_err(table);
        assert!(error.contains("not deleted") || error.contains("append-only"), "{table}: {error}");
    }
    // A key whose answer was taken away, as for an erased payer, still says that its call was sent.
    sql.run("UPDATE idempotency_keys SET status = NULL, location = NULL, body = NULL").unwrap();
    let deleted = |kind: &str| {
        format!(
            "DELETE FROM idempotency_keys WHERE operation_id IN (SELECT id FROM operations WHERE kind = '{kind}' AND state = \
             'settled')"
        )
    };
    for kind in ["charge", "refund"] {
        refused(&mut sql, &deleted(kind), "not deleted");
    }
    refused(&mut sql, "DELETE FROM idempotency_keys WHERE operation_id IS NULL", "not deleted");
    for edge in
        ["INSERT INTO transition_edges VALUES ('declined', 'refunded')", "UPDATE transition_edges SET to_status = 'x'"]
    {
        refused(&mut sql, edge, "migrations alone");
    }
    app.finish().await;
}

/// Two lines of keys close a loss, and nothing else does.
async fn a_loss_is_closed_by_two(engine: Engine) {
    let (app, mut sql) = books(engine).await;
    let line = "SELECT lineage AS value FROM api_keys WHERE id = 'key_successor'";
    let (proposer, other) = (sql.text(line), Operator::with_all(&app).await.id);
    let close = |resolution: &str, by: &str| {
        format!(
            "UPDATE discrepancies SET resolution = '{resolution}', closed_by = '{by}', closed_at = '2026-01-02 00:00:00'"
        )
    };
    for by in [&proposer, &other] {
        refused(&mut sql, &close("operator", by), "second key");
    }
    refused(&mut sql, &close("agrees", "rec_over"), "second key");
    let with_proposal = close("operator", &other)
        .replace("SET", &format!("SET proposed_by = '{proposer}', proposed_at = '2026-01-02 00:00:00',"));
    refused(&mut sql, &with_proposal, "second key");
    let propose = format!("UPDATE discrepancies SET proposed_by = '{proposer}', proposed_at = '2026-01-02 00:00:00'");
    assert_eq!(sql.run(&propose), Ok(1));
    for by in [proposer.as_str(), "key_successor", "key_nobodys"] {
        refused(&mut sql, &close("operator", by), "second key");
    }
    refused(&mut sql, &close("agrees", "rec_over"), "second key");
    // Only a run under way says that the record changed, and says no more.
    for by in ["rec_over", &other, &proposer, "rec_nobodys"] {
        refused(&mut sql, &close("superseded", by), "second key");
    }
    for resolution in ["agrees", "booked", "operator"] {
        refused(&mut sql, &close(resolution, "rec_under_way"), "second key");
    }
    // One that no longer counts gives way to another one; it is not taken away, nor changed along with the closing.
    let later = propose.replace("01-02", "01-03");
    for replaced in [propose.replace(&proposer, &other), later.replace(&proposer, &other), later, propose.clone()] {
        assert_eq!(sql.run(&replaced), Ok(1), "{replaced}");
    }
    let taken_away = "UPDATE discrepancies SET proposed_by = NULL, proposed_at = NULL";
    refused(&mut sql, taken_away, "written once");
    for along in [format!("proposed_by = '{other}'"), "proposed_at = '2026-01-01 00:00:00'".to_owned()] {
        refused(&mut sql, &format!("{}, {along}", close("operator", &other)), "written once");
    }
    assert_eq!(sql.run(&close("operator", &other)), Ok(1));
    for reopened in ["resolution = NULL, closed_by = NULL, closed_at = NULL", "proposed_by = NULL, proposed_at = NULL"]
    {
        refused(&mut sql, &format!("UPDATE discrepancies SET {reopened}"), "written once");
    }
    // Nor does one come into the books closed: then no run would open it.
    let closed = "INSERT INTO discrepancies (id, kind, transaction_id, lost, opened_by, opened_at, resolution, closed_by, \
                  closed_at) VALUES ('dis_2', 'missing_here', 2, true, 'rec_over', '2026-01-01 00:00:00', 'operator', 'x', \
                  '2026-01-01 00:00:00')";
    refused(&mut sql, closed, "written once");
    // No row of the history tells of it: the laws find that.
    app.stop_with_broken_books().await;
}

async fn nothing_is_replaced_or_truncated(engine: Engine) {
    let (app, mut sql) = books(engine).await;
    // As a connection is by itself: then REPLACE asks no trigger against deletion.
    if engine == Engine::Sqlite {
        sql.run("PRAGMA recursive_triggers = OFF").unwrap();
    }
    for table in BOOKS {
        let count = format!("SELECT count(*) AS value FROM {table}");
        let before = sql.number(&count);
        match engine {
            // These have writers that take a repeat for done: nothing is written.
            Engine::Sqlite
                if ["notifications", "summary_days", "idempotency_keys", "register_marks"].contains(&table) =>
            {
                assert_eq!(sql.run(&format!("REPLACE INTO {table} SELECT * FROM {table}")), Ok(0), "{table}");
            }
            Engine::Sqlite => {
                let error = sql.run(&format!("REPLACE INTO {table} SELECT * FROM {table}")).expect_err(table);
                let ours = ["not replaced", "append-only", "migrations alone"];
                assert!(ours.iter().any(|reason| error.contains(reason)), "{table}: {error}");
            }
            Engine::Postgres => {
                let error = sql.run(&format!("TRUNCATE {table} CASCADE")).expect_err(table);
                let ours = ["not deleted", "append-only"].iter().any(|reason| error.contains(reason));
                assert!(ours, "{table}: {error}");
            }
        }
        assert_eq!(sql.number(&count), before, "{table}");
    }
    if engine == Engine::Sqlite {
        // In the way of another row by another unique column.
        for (table, column) in [
            ("transactions", "transaction_id"),
            ("refunds", "transaction_id"),
            ("notifications", "digest"),
            ("discrepancies", "transaction_id"),
            ("chargebacks", "provider_id"),
        ] {
            let columns =
                sql.texts(&format!("SELECT name AS value FROM pragma_table_info('{table}') WHERE name <> 'id'"));
            assert!(columns.iter().any(|one| one == column));
            let columns = columns.join(", ");
            let replaced = format!(
                "REPLACE INTO {table} (id, {columns}) SELECT 'other', {columns} FROM {table} WHERE {column} IS NOT NULL"
            );
            let done_before = ["notifications", "chargebacks"].contains(&table);
            assert!(sql.run(&replaced).is_err() || done_before, "{table}");
            assert_eq!(sql.number(&format!("SELECT count(*) AS value FROM {table} WHERE id = 'other'")), 0, "{table}");
        }
    }
    app.finish().await;
}

/// PostgreSQL knows no REPLACE, and the place of a row there is nobody's to choose.
async fn nothing_is_replaced_by_its_place_or_by_a_change(engine: Engine) {
    let (app, mut sql) = books(engine).await;
    if engine == Engine::Sqlite {
        sql.run("PRAGMA recursive_triggers = OFF").unwrap();
        for table in BOOKS.into_iter().filter(|table| *table != "transition_edges") {
            // The triggers come before it is looked whether the new row says enough.
            let error = sql.run(&format!("REPLACE INTO {table} (rowid) SELECT rowid FROM {table}")).expect_err(table);
            assert!(error.contains("are not replaced"), "{table}: {error}");
            let moved = format!("UPDATE OR REPLACE {table} SET rowid = rowid + 1000");
            let error = sql.run(&moved).expect_err(table);
            let ours = ["written once", "append-only", "stays as it was"].iter().any(|reason| error.contains(reason));
            assert!(ours, "{table}: {error}");
        }
        for change in [
            "transactions SET refund_id = (SELECT max(refund_id) FROM transactions) WHERE refund_id IS NULL",
            "notifications SET digest = (SELECT max(n.digest) FROM notifications n WHERE n.kind = notifications.kind)",
        ] {
            refused(&mut sql, &format!("UPDATE OR REPLACE {change}"), "are not replaced");
        }
        refused(&mut sql, "UPDATE OR REPLACE notifications SET id = 'other'", "written once");
    }
    app.finish().await;
}

async fn records_of_readings_leave_by_retention_alone(engine: Engine) {
    let (app, mut sql) = books(engine).await;
    let count = |sql: &mut Sql, table: &str| sql.number(&format!("SELECT count(*) AS value FROM {table}"));
    let read_at = |day: &str| {
        let at = Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z")).unwrap();
        format!(
            "INSERT INTO personal_data_access (id, action, api_key_id, at) VALUES ('{}', 'search', 'key_1', '{day} 00:00:00')",
            AccessId::first_at(at)
        )
    };
    for day in ["2020-01-01", "2020-01-02"] {
        sql.run(&read_at(day)).unwrap();
    }
    // What the row claims has to be so: which are the oldest, how many, and that their time is over, by the database's clock.
    let ids = sql.texts("SELECT id AS value FROM personal_data_access ORDER BY id");
    let ended = |up_to: &str, records: usize, at: &str| {
        format!("INSERT INTO personal_data_access_ended (up_to, records, at) VALUES ('{up_to}', {records}, '{at}')")
    };
    let now = app.clock.now().naive_utc().to_string();
    for (up_to, records, at) in [
        (ids[2].as_str(), 3, now.as_str()),
        (&ids[2], 3, "2036-01-01 00:00:00"),
        (&ids[1], 1, &now),
        (&ids[1], 3, &now),
        ("acc_zzz", 3, &now),
        (&ids[1], 2, "2020-01-25 00:00:00"),
    ] {
        refused(&mut sql, &ended(up_to, records, at), "append-only");
    }
    app.running.app.retention_step().await.unwrap();
    assert_eq!(count(&mut sql, "personal_data_access"), 1);
    assert_eq!(sql.number("SELECT records AS value FROM personal_data_access_ended"), 2);
    // What was read since stays, and so does the record of what has gone.
    refused(&mut sql, "DELETE FROM personal_data_access", "append-only");
    for change in ["UPDATE personal_data_access_ended SET records = 2", "DELETE FROM personal_data_access_ended"] {
        refused(&mut sql, change, "append-only");
    }
    match engine {
        Engine::Sqlite => {
            sql.run("PRAGMA recursive_triggers = OFF").unwrap();
            let replace = "REPLACE INTO personal_data_access_ended SELECT * FROM personal_data_access_ended";
            let error = sql.run(replace).expect_err(replace);
            assert!(error.contains("not replaced") || error.contains("append-only"), "{error}");
        }
        Engine::Postgres => refused(&mut sql, "TRUNCATE personal_data_access_ended", "not deleted"),
    }
    app.running.app.retention_step().await.unwrap();
    assert_eq!(count(&mut sql, "personal_data_access"), 1);
    assert_eq!(count(&mut sql, "personal_data_access_ended"), 1);
    app.finish().await;
}

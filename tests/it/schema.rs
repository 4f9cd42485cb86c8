//! The database: the same on SQLite and PostgreSQL, as the code names it, and refusing nonsense by itself.

use std::collections::BTreeMap;

use crate::support::{Engine, Sql};

crate::on_both!(
    the_code_names_exactly_these_columns,
    every_migration_can_be_taken_back,
    sums_beyond_what_is_there_are_refused,
    states_that_the_sums_deny_are_refused,
    history_is_never_rewritten,
    events_survive_their_new_table,
    one_operation_at_a_time,
    refunds_and_transactions_hold_together,
);

const SCHEMA: &str = include_str!("../../src/store/schema.rs");
/// Every migration, as SQLite and as PostgreSQL has it. Not 000002, 000013 and 000014: SQLite changes no constraint in place and builds a table
/// anew instead.
const UPS: [(&str, &str); 15] = [
    (
        include_str!("../../migrations/sqlite/2026-11-22-000000_payments/up.sql"),
        include_str!("../../migrations/postgres/2026-11-22-000000_payments/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-25-000001_reconciliation/up.sql"),
        include_str!("../../migrations/postgres/2026-11-25-000001_reconciliation/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-25-000003_payer_keys/up.sql"),
        include_str!("../../migrations/postgres/2026-11-25-000003_payer_keys/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-25-000004_history_proofs/up.sql"),
        include_str!("../../migrations/postgres/2026-11-25-000004_history_proofs/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-25-000005_callers/up.sql"),
        include_str!("../../migrations/postgres/2026-11-25-000005_callers/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-25-000006_reports/up.sql"),
        include_str!("../../migrations/postgres/2026-11-25-000006_reports/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-25-000007_refused_repeats/up.sql"),
        include_str!("../../migrations/postgres/2026-11-25-000007_refused_repeats/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-25-000008_approvals/up.sql"),
        include_str!("../../migrations/postgres/2026-11-25-000008_approvals/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-28-000009_sealed_events/up.sql"),
        include_str!("../../migrations/postgres/2026-11-28-000009_sealed_events/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-28-000010_expiry_due/up.sql"),
        include_str!("../../migrations/postgres/2026-11-28-000010_expiry_due/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-28-000011_sealed_words/up.sql"),
        include_str!("../../migrations/postgres/2026-11-28-000011_sealed_words/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-28-000012_books_written_once/up.sql"),
        include_str!("../../migrations/postgres/2026-11-28-000012_books_written_once/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-28-000015_left_open/up.sql"),
        include_str!("../../migrations/postgres/2026-11-28-000015_left_open/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-28-000016_asked_until/up.sql"),
        include_str!("../../migrations/postgres/2026-11-28-000016_asked_until/up.sql"),
    ),
    (
        include_str!("../../migrations/sqlite/2026-11-28-000019_feed_moves/up.sql"),
        include_str!("../../migrations/postgres/2026-11-28-000019_feed_moves/up.sql"),
    ),
];

/// `table.column type null?` of every column, in the order of the table.
fn columns(engine: Engine, sql: &mut Sql) -> Vec<String> {
    let query = match engine {
        Engine::Sqlite => {
            "SELECT t.name || '.' || c.name || ' ' || c.type || CASE c.\"notnull\" WHEN 1 THEN '' ELSE ' null' END AS value \
             FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' \
             AND t.name <> '__diesel_schema_migrations' ORDER BY t.name, c.cid"
        }
        Engine::Postgres => {
            "SELECT table_name || '.' || column_name || ' ' || data_type || CASE is_nullable WHEN 'NO' THEN '' ELSE ' null' END \
             AS value FROM information_schema.columns WHERE table_schema = 'public' \
             AND table_name IN (SELECT tablename FROM pg_tables) AND table_name <> '__diesel_schema_migrations' ORDER BY table_name COLLATE \"C\", ordinal_position"
        }
    };
    let rename = |row: String| {
        let (name, kind) = row.split_once(' ').unwrap();
        let kind = kind.to_lowercase().replace("bytea", "blob").replace("timestamp without time zone", "timestamp");
        format!("{name} {kind}")
    };
    sql.texts(query).into_iter().map(rename).collect()
}

/// `table (columns) unique? partial? name?` of every index; names of those that constraints made are not ours.
fn indexes(engine: Engine, sql: &mut Sql) -> Vec<String> {
    let query = match engine {
        Engine::Sqlite => {
            "SELECT t.name || ' (' || (SELECT group_concat(c.name, ',') FROM (SELECT name FROM pragma_index_info(i.name) \
             ORDER BY seqno) c) || ')' || CASE i.\"unique\" WHEN 1 THEN ' unique' ELSE '' END \
             || CASE i.partial WHEN 1 THEN ' partial' ELSE '' END \
             || CASE i.origin WHEN 'c' THEN ' ' || i.name WHEN 'pk' THEN ' primary' ELSE '' END AS value \
             FROM sqlite_master t, pragma_index_list(t.name) i \
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '__diesel_schema_migrations'"
        }
        Engine::Postgres => {
            "SELECT t.relname || ' (' || (SELECT string_agg(a.attname, ',' ORDER BY k.position) \
             FROM unnest(i.indkey::int[]) WITH ORDINALITY AS k(number, position) \
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number) || ')' \
             || CASE WHEN i.indisunique THEN ' unique' ELSE '' END || CASE WHEN i.indpred IS NULL THEN '' ELSE ' partial' END \
             || CASE WHEN i.indisprimary THEN ' primary' \
                     WHEN EXISTS (SELECT 1 FROM pg_constraint o WHERE o.conindid = i.indexrelid AND o.contype = 'u') THEN '' \
                     ELSE ' ' || x.relname END AS value \
             FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid \
             WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> '__diesel_schema_migrations'"
        }
    };
    let mut rows = sql.texts(query);
    rows.sort();
    rows
}

/// `table.columns > table.columns` of every foreign key.
fn references(engine: Engine, sql: &mut Sql) -> Vec<String> {
    let query = match engine {
        Engine::Sqlite => {
            "SELECT t.name || '.' || group_concat(f.\"from\", ',') || ' > ' || f.\"table\" || '.' || group_concat(f.\"to\", ',') \
             AS value FROM sqlite_master t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table' GROUP BY t.name, f.id"
        }
        Engine::Postgres => {
            "SELECT o.conrelid::regclass || '.' || (SELECT string_agg(a.attname, ',' ORDER BY k.position) \
             FROM unnest(o.conkey) WITH ORDINALITY AS k(number, position) \
             JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.number) || ' > ' || o.confrelid::regclass || '.' \
             || (SELECT string_agg(a.attname, ',' ORDER BY k.position) FROM unnest(o.confkey) WITH ORDINALITY AS k(number, position) \
             JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.number) AS value \
             FROM pg_constraint o WHERE o.contype = 'f'"
        }
    };
    let mut rows = sql.texts(query);
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_are_alike() {
    let (_one, mut sqlite) = Sql::fresh(Engine::Sqlite);
    let (_other, mut postgres) = Sql::fresh(Engine::Postgres);
    let ours = columns(Engine::Sqlite, &mut sqlite);
    assert!(ours.len() > 100, "{ours:?}");
    assert_eq!(ours, columns(Engine::Postgres, &mut postgres));
    let ours = indexes(Engine::Sqlite, &mut sqlite);
    assert!(ours.contains(&"operations (payment_id) unique partial operations_one_open".to_owned()), "{ours:?}");
    assert_eq!(ours, indexes(Engine::Postgres, &mut postgres));
    let ours = references(Engine::Sqlite, &mut sqlite);
    assert!(ours.contains(&"refunds.payment_id > payments.id".to_owned()), "{ours:?}");
    assert_eq!(ours, references(Engine::Postgres, &mut postgres));
}

/// Checks, conditions of indexes and comments are the same text in both migrations.
#[test]
fn both_migrations_say_the_same() {
    let statements = |sql: &str| -> Vec<String> {
        let lines = sql.lines().filter(|line| {
            !["CREATE TRIGGER", "CREATE FUNCTION", "CREATE SEQUENCE", "CREATE VIEW"]
                .iter()
                .any(|own| line.starts_with(own))
        });
        lines.map(|line| line.replace("BYTEA", "BLOB")).collect()
    };
    for (sqlite, postgres) in UPS {
        assert_eq!(statements(sqlite), statements(postgres));
    }
}

async fn the_code_names_exactly_these_columns(engine: Engine) {
    let (_database, mut sql) = Sql::fresh(engine);
    let mut named: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut keys = Vec::new();
    for part in SCHEMA.split("diesel::table! {").skip(1) {
        let (head, rest) = part.split_once('{').unwrap();
        let (table, key) = head.trim().split_once(' ').unwrap();
        let (body, _) = rest.split_once('}').unwrap();
        keys.push(format!("{table} {} unique primary", key.replace(' ', "")));
        let rows = body.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
            let (name, kind) = line.trim_end_matches(',').split_once(" -> ").unwrap();
            let (kind, null) = match kind.strip_prefix("Nullable<") {
                Some(inner) => (inner.trim_end_matches('>'), " null"),
                None => (kind, ""),
            };
            let kind = kind.to_lowercase().replace("binary", "blob").replace("bool", "boolean");
            format!("{table}.{name} {kind}{null}")
        });
        named.insert(table, rows.collect());
    }
    assert_eq!(named.into_values().flatten().collect::<Vec<_>>(), columns(engine, &mut sql));
    keys.sort();
    let made: Vec<String> = indexes(engine, &mut sql).into_iter().filter(|index| index.ends_with("primary")).collect();
    assert_eq!(keys, made);
}

async fn every_migration_can_be_taken_back(engine: Engine) {
    let (database, mut sql) = Sql::fresh(engine);
    let before = (columns(engine, &mut sql), indexes(engine, &mut sql), references(engine, &mut sql));
    sql.revert_all();
    assert_eq!(columns(engine, &mut sql), Vec::<String>::new());
    if engine == Engine::Postgres {
        let left = "SELECT count(*) AS value FROM pg_proc WHERE pronamespace = 'public'::regnamespace";
        let diesels_own = "SELECT count(*) AS value FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'diesel%'";
        assert_eq!(sql.number(left), sql.number(diesels_own));
    }
    let target = kmic_payments::store::Target::parse(&database.url).unwrap();
    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite")).unwrap().count();
    assert_eq!(kmic_payments::store::migrate::migrate(&target).unwrap().len(), migrations);
    assert_eq!(before, (columns(engine, &mut sql), indexes(engine, &mut sql), references(engine, &mut sql)));
    assert_eq!(kmic_payments::store::migrate::migrate(&target).unwrap(), Vec::<String>::new());
}

/// Each statement is refused, and by the reason that it is there to show.
#[track_caller]
fn refused(sql: &mut Sql, statement: &str, reason: &str) {
    let error = sql.run(statement).expect_err(statement).to_lowercase();
    let reasons: Vec<&str> = reason.split('|').collect();
    assert!(reasons.iter().any(|reason| error.contains(reason)), "{statement}: {error}");
}

const CHECK: &str = "check constraint";

/// Lets columns change that are written once, to see what else refuses the change.
fn let_rewrite(sql: &mut Sql, table: &str) {
    sql.drop_trigger(&format!("{table}_as_written"));
}

async fn sums_beyond_what_is_there_are_refused(engine: Engine) {
    let (_database, mut sql) = Sql::fresh(engine);
    let_rewrite(&mut sql, "payments");
    sql.drop_trigger("payments_no_way_back");
    for status in ["awaiting_payer", "authorized", "paid", "partially_refunded", "refunded"] {
        sql.insert_payment(status, status);
    }
    for (id, change) in [
        ("paid", "captured = 101"),
        ("paid", "authorized = 101"),
        ("paid", "refund_pending = 101"),
        ("partially_refunded", "refund_pending = 61"),
        ("partially_refunded", "refunded = 101"),
        ("refunded", "refund_pending = 1"),
        ("refunded", "refunded = 101"),
        ("awaiting_payer", "refund_pending = 1"),
        ("awaiting_payer", "authorized = 101"),
        ("authorized", "refund_pending = 1"),
        ("paid", "captured = -1"),
        ("paid", "refund_pending = -1"),
        ("paid", "refund_excess = -1"),
        ("paid", "amount = 0"),
        ("paid", "sequence = 0"),
        ("paid", "currency = 'KZ'"),
    ] {
        refused(&mut sql, &format!("UPDATE payments SET {change} WHERE id = '{id}'"), CHECK);
    }
    for (id, change) in [("paid", "refund_pending = 100"), ("partially_refunded", "refund_pending = 60")] {
        assert_eq!(sql.run(&format!("UPDATE payments SET {change} WHERE id = '{id}'")), Ok(1));
    }
}

async fn states_that_the_sums_deny_are_refused(engine: Engine) {
    let (_database, mut sql) = Sql::fresh(engine);
    sql.drop_trigger("payments_no_way_back");
    for status in ["awaiting_payer", "paid", "partially_refunded", "refunded"] {
        sql.insert_payment(status, status);
    }
    for (id, status) in [
        ("awaiting_payer", "paid"),
        ("awaiting_payer", "authorized"),
        ("awaiting_payer", "refunded"),
        ("awaiting_payer", "partially_refunded"),
        ("awaiting_payer", "PAID"),
        ("awaiting_payer", "none"),
        ("awaiting_payer", ""),
        ("paid", "declined"),
        ("paid", "awaiting_payer"),
        ("paid", "expired"),
        ("paid", "partially_refunded"),
        ("paid", "refunded"),
        ("partially_refunded", "paid"),
        ("partially_refunded", "refunded"),
        ("refunded", "paid"),
        ("refunded", "cancelled"),
    ] {
        refused(&mut sql, &format!("UPDATE payments SET status = '{status}' WHERE id = '{id}'"), CHECK);
    }
    refused(&mut sql, "DELETE FROM payments WHERE id = 'paid'", "not deleted|append-only");
}

async fn history_is_never_rewritten(engine: Engine) {
    let (_database, mut sql) = Sql::fresh(engine);
    sql.insert_payment("p", "awaiting_payer");
    let row = |payment: &str, sequence: u32, from: &str, to: &str| {
        format!(
            "INSERT INTO transitions (payment_id, sequence, from_status, to_status, cause_type, actor, detail, at) \
             VALUES ('{payment}', {sequence}, '{from}', '{to}', 'api', 'key_1', '{{}}', '2026-01-01 00:00:00')"
        )
    };
    assert_eq!(sql.run(&row("p", 1, "none", "awaiting_payer")), Ok(1));
    refused(&mut sql, &row("p", 1, "awaiting_payer", "paid"), "unique|append-only");
    refused(&mut sql, &row("p", 2, "paid", "awaiting_payer"), "foreign key");
    refused(&mut sql, &row("p", 2, "awaiting_payer", "nowhere"), "foreign key");
    refused(&mut sql, &row("unknown", 1, "none", "awaiting_payer"), "foreign key");
    refused(&mut sql, "UPDATE transitions SET to_status = 'paid'", "append-only");
    refused(&mut sql, "UPDATE transitions SET detail = '{}'", "append-only");
    refused(&mut sql, "DELETE FROM transitions", "append-only");
    let event = "INSERT INTO events (id, epoch, position, kind, payment_id, sequence, at) VALUES ('e', 0, 1, 'payment.paid', 'p', 1, '2026-01-01 00:00:00')";
    assert_eq!(sql.run(event), Ok(1));
    refused(&mut sql, "UPDATE events SET kind = 'payment.declined'", "append-only");
    refused(&mut sql, "DELETE FROM events", "append-only");
    if engine == Engine::Sqlite {
        let replaced = row("p", 1, "none", "awaiting_payer").replace("INSERT", "INSERT OR REPLACE");
        refused(&mut sql, &replaced, "append-only");
        let same_id = event.replace("INSERT", "INSERT OR REPLACE").replace("0, 1,", "0, 2,");
        refused(&mut sql, &same_id, "append-only");
        let same_place = event.replace("INSERT", "INSERT OR REPLACE").replace("'e'", "'f'");
        refused(&mut sql, &same_place, "append-only");
    }
    if engine == Engine::Postgres {
        refused(&mut sql, "TRUNCATE transitions", "append-only");
        refused(&mut sql, "TRUNCATE payments CASCADE", "append-only|not deleted");
    }
    assert_eq!(sql.number("SELECT count(*) AS value FROM transitions"), 1);
}

async fn events_survive_their_new_table(engine: Engine) {
    let (database, mut sql) = Sql::fresh(engine);
    while columns(engine, &mut sql).iter().any(|column| column.starts_with("events.notification_id")) {
        sql.revert_last();
    }
    sql.insert_payment("p", "awaiting_payer");
    let event = "INSERT INTO events (id, epoch, position, kind, payment_id, sequence, at) VALUES \
                 ('e', 0, 1, 'payment.paid', 'p', 1, '2026-01-01 00:00:00')";
    assert_eq!(sql.run(event), Ok(1));
    let target = kmic_payments::store::Target::parse(&database.url).unwrap();
    kmic_payments::store::migrate::migrate(&target).unwrap();
    assert_eq!(sql.texts("SELECT id || payment_id || CAST(sequence AS TEXT) AS value FROM events"), ["ep1"]);
    refused(&mut sql, "UPDATE events SET kind = 'payment.declined'", "append-only");
    refused(&mut sql, "DELETE FROM events", "append-only");
    // One about a notification needs the notification, one about a payment its place in the history.
    let about = |subject: &str, sequence: &str| {
        format!(
            "INSERT INTO events (id, epoch, position, kind, {subject}, sequence, at) VALUES \
             ('f', 0, 2, 'x', 'n', {sequence}, '2026-01-01 00:00:00')"
        )
    };
    refused(&mut sql, &about("notification_id", "NULL"), "foreign key");
    refused(&mut sql, &about("notification_id", "1"), CHECK);
    refused(&mut sql, &about("payment_id", "NULL"), CHECK);
    refused(&mut sql, &about("refund_id", "NULL"), CHECK);
    // What somebody did has an actor, and belongs to no payment.
    refused(&mut sql, &about("subject_id", "NULL"), CHECK);
    refused(&mut sql, &about("actor", "NULL"), CHECK);
    refused(&mut sql, &about("payment_id, subject_id, actor", "1").replace("'n'", "'p', 'n', 'n'"), CHECK);
    let digest = if engine == Engine::Sqlite { "x'00'" } else { "'\\x00'" };
    sql.run(&format!(
        "INSERT INTO notifications (id, kind, digest, is_json, body, verdict, reply, received_at) \
         VALUES ('n', 'pay', {digest}, false, {digest}, 'unmatched', 0, '2026-01-01 00:00:00')"
    ))
    .unwrap();
    assert_eq!(sql.run(&about("notification_id", "NULL")), Ok(1));
}

async fn one_operation_at_a_time(engine: Engine) {
    let (_database, mut sql) = Sql::fresh(engine);
    sql.insert_payment("p", "paid");
    refund(&mut sql, "r", "p").unwrap();
    refund(&mut sql, "s", "p").unwrap();
    let operation = |id: &str, kind: &str, refund: &str, state: &str, due: &str| {
        format!(
            "INSERT INTO operations (id, payment_id, refund_id, kind, state, started_at, due_at, lookups) \
             VALUES ('{id}', 'p', {refund}, '{kind}', '{state}', '2026-01-01 00:00:00', {due}, 0)"
        )
    };
    let due = "'2026-01-01 00:00:00'";
    assert_eq!(sql.run(&operation("1", "charge", "NULL", "started", due)), Ok(1));
    refused(&mut sql, &operation("2", "capture", "NULL", "started", due), "unique");
    refused(&mut sql, &operation("2", "void", "NULL", "undetermined", due), "unique");
    assert_eq!(sql.run(&operation("3", "charge", "NULL", "settled", "NULL")), Ok(1), "closed ones do not count");
    assert_eq!(sql.run(&operation("4", "refund", "'r'", "started", due)), Ok(1), "refunds are apart");
    refused(&mut sql, &operation("5", "refund", "'r'", "undetermined", due), "unique");
    assert_eq!(sql.run(&operation("6", "refund", "'s'", "started", due)), Ok(1));
    for nonsense in [
        operation("7", "refund", "NULL", "settled", "NULL"),
        operation("7", "charge", "'r'", "settled", "NULL"),
        operation("7", "payout", "NULL", "settled", "NULL"),
        operation("7", "charge", "NULL", "lost", "NULL"),
        operation("7", "charge", "NULL", "settled", due),
    ] {
        refused(&mut sql, &nonsense, CHECK);
    }
    refused(&mut sql, "UPDATE operations SET due_at = NULL WHERE id = '1'", CHECK);
    let_rewrite(&mut sql, "operations");
    refused(&mut sql, "UPDATE operations SET state = 'started', due_at = started_at WHERE id = '3'", "unique");
}

fn refund(sql: &mut Sql, id: &str, payment: &str) -> Result<usize, String> {
    sql.run(&format!(
        "INSERT INTO refunds (id, payment_id, parent_transaction_id, currency, amount, status, created_by, created_at, updated_at) \
         VALUES ('{id}', '{payment}', 7, 'KZT', 10, 'pending', 'key_1', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
    ))
}

async fn refunds_and_transactions_hold_together(engine: Engine) {
    let (_database, mut sql) = Sql::fresh(engine);
    sql.insert_payment("p", "paid");
    refund(&mut sql, "r", "p").unwrap();
    refund(&mut sql, "s", "p").unwrap();
    let_rewrite(&mut sql, "refunds");
    assert!(refund(&mut sql, "t", "unknown").unwrap_err().to_lowercase().contains("foreign key"));
    for change in ["status = 'succeeded'", "transaction_id = 8", "status = 'lost'", "amount = 0"] {
        refused(&mut sql, &format!("UPDATE refunds SET {change} WHERE id = 'r'"), CHECK);
    }
    let decided = "UPDATE refunds SET status = 'failed', decide_by = '2026-01-01 00:00:00' WHERE id = 'r'";
    refused(&mut sql, decided, CHECK);
    assert_eq!(sql.run("UPDATE refunds SET status = 'succeeded', transaction_id = 8 WHERE id = 'r'"), Ok(1));
    refused(&mut sql, "UPDATE refunds SET status = 'succeeded', transaction_id = 8 WHERE id = 's'", "unique");

    let transaction = |id: u32, kind: &str, status: &str, captured: u32, parent: &str, refund: &str| {
        format!(
            "INSERT INTO transactions (id, payment_id, transaction_id, kind, status, currency, amount, captured, \
             parent_transaction_id, refund_id, created_at, updated_at) VALUES ('{id}', 'p', {id}, '{kind}', '{status}', 'KZT', \
             100, {captured}, {parent}, {refund}, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        )
    };
    assert_eq!(sql.run(&transaction(7, "payment", "completed", 100, "NULL", "NULL")), Ok(1));
    assert_eq!(sql.run(&transaction(8, "refund", "completed", 0, "7", "'r'")), Ok(1));
    refused(&mut sql, &transaction(7, "payment", "declined", 0, "NULL", "NULL"), "unique");
    refused(&mut sql, &transaction(9, "refund", "completed", 0, "7", "'r'"), "unique");
    for nonsense in [
        transaction(9, "payment", "completed", 0, "NULL", "NULL"),
        transaction(9, "payment", "completed", 101, "NULL", "NULL"),
        transaction(9, "payment", "declined", 1, "NULL", "NULL"),
        transaction(9, "refund", "completed", 100, "7", "NULL"),
        transaction(9, "refund", "completed", 0, "NULL", "NULL"),
        transaction(9, "payment", "authorized", 0, "7", "NULL"),
        transaction(9, "payment", "authorized", 0, "NULL", "'s'"),
        transaction(9, "payment", "gone", 0, "NULL", "NULL"),
        transaction(9, "payout", "completed", 0, "NULL", "NULL"),
    ] {
        refused(&mut sql, &nonsense, CHECK);
    }
}

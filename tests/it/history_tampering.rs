//! Whoever changes the history past the service is found: every column, every row, every table.

use kmic_payments::app::{PublishedRoot, VerifyHistory, verify_history};
use kmic_payments::clock::Clock;
use serde_json::json;

use crate::support::{APPROVED, CARD_NO_FUNDS, Engine, Sql, TestApp, card, widget};

crate::on_both!(
    a_change_of_any_column_is_named,
    rows_taken_away_or_put_in_are_named,
    rows_put_elsewhere_are_named,
    a_cut_off_end_is_found,
    what_is_not_sealed_is_named,
    changes_of_the_table_of_moves_are_found,
    history_refuses_changes_by_itself,
);

const TABLES: [&str; 14] = [
    "transitions",
    "history_seals",
    "history_leaves",
    "history_unsealed",
    "payments",
    "events",
    "transactions",
    "refunds",
    "approvals",
    "operations",
    "notifications",
    "idempotency_keys",
    "transition_edges",
    "discrepancies",
];
/// Every column of what is sealed, and how to change it: `$` stands for the column, `'other'` where it is text.
const COLUMNS: [(&str, &str, &str); 23] = [
    ("transitions", "payment_id", "$ || 'x'"),
    ("transitions", "sequence", "$ + 100"),
    ("transitions", "from_status", "'declined'"),
    ("transitions", "to_status", "'declined'"),
    ("transitions", "cause_type", "'operator'"),
    ("transitions", "cause_id", "NULL"),
    ("transitions", "actor", "$ || ' '"),
    ("transitions", "transaction_id", "7"),
    ("transitions", "detail", "'{ }'"),
    ("transitions", "at", "'2026-01-01 00:00:00'"),
    ("history_seals", "number", "$ + 100"),
    ("history_seals", "at", "'2026-01-01 00:00:00'"),
    ("history_seals", "first_row", "$ + 1"),
    ("history_seals", "row_count", "$ + 1"),
    ("history_seals", "root", "hash"),
    ("history_seals", "previous", "hash"),
    ("history_seals", "skip", "hash"),
    ("history_seals", "hash", "root"),
    ("history_leaves", "payment_id", "$ || 'x'"),
    ("history_leaves", "sequence", "$ + 100"),
    ("history_leaves", "seal", "$ + 100"),
    ("history_leaves", "position", "$ + 100"),
    ("history_leaves", "hash", "(SELECT hash FROM history_seals WHERE number = 1)"),
];

/// A sealed history of several payments, and a way to change it.
pub(crate) struct Scene {
    pub app: TestApp,
    pub sql: Sql,
    /// A card payment that was paid and refunded; its history is in the second seal.
    pub payment: String,
    /// A payment whose second row has three events: a notification that belonged to no payment was booked with it. In the
    /// first seal, as the event of that notification.
    pub matched: String,
    /// The root when all was sealed.
    root: PublishedRoot,
}

impl Scene {
    pub async fn set(engine: Engine) -> Scene {
        let app = TestApp::start(engine).await;
        app.create(widget("KM-1")).await.expect(201);
        app.create(card("KM-2", CARD_NO_FUNDS)).await.expect(201);
        let matched = matched(&app).await;
        app.running.app.seal_step().await.unwrap();
        let payment = app.create(card("KM-3", APPROVED)).await.expect(201).id().to_owned();
        app.refund(&payment, "100.00").await.expect(201);
        app.sandbox.flush_notifications().await;
        app.running.app.seal_step().await.unwrap();
        app.create(card("KM-4", APPROVED)).await.expect(201);
        app.sandbox.flush_notifications().await;
        app.running.app.seal_step().await.unwrap();
        let scene = Scene::keep(app, payment, matched).await;
        assert_eq!(scene.root.seal, 3);
        scene
    }

    /// Of an application all of whose history is sealed.
    pub async fn keep(app: TestApp, payment: String, matched: String) -> Scene {
        let last = app.running.app.list_daily_roots(None, 1).await.unwrap().items[0];
        let mut sql = Sql::open(&app.database.url);
        sql.take_the_guards_away();
        for table in TABLES {
            sql.run_all(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}"));
        }
        let root = PublishedRoot { seal: last.seal, hash: last.hash };
        let scene = Scene { app, sql, payment, matched, root };
        assert_eq!(scene.verify(&[scene.root]).await, "");
        scene
    }

    /// What is found; "" when all holds.
    pub async fn verify(&self, published: &[PublishedRoot]) -> String {
        let what =
            VerifyHistory { published: published.to_vec(), sealed_before: self.app.clock.now().plus_seconds(-3600) };
        let verdict = self.app.running.store.read(move |tx| verify_history(tx, &what)).await.unwrap();
        verdict.err().map(|broken| broken.to_string()).unwrap_or_default()
    }

    /// Changes something, looks what is found, and puts everything back.
    pub async fn found_after(&mut self, tampering: &str) -> String {
        self.sql.run_all(tampering);
        let found = self.verify(&[]).await;
        self.put_back();
        assert_eq!(self.verify(&[]).await, "", "not put back after {tampering}");
        found
    }

    fn put_back(&mut self) {
        for table in TABLES {
            self.sql.run_all(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}"));
        }
    }
}

/// A refund that overtakes the payment it is of.
async fn matched(app: &TestApp) -> String {
    let payment = app.create(widget("KM-5")).await.expect(201).id().to_owned();
    let refund = [
        ("TransactionId", "5000000002"),
        ("PaymentTransactionId", "5000000001"),
        ("Amount", "2500.00"),
        ("OperationType", "Refund"),
    ];
    app.notify("refund", &refund).await;
    let pay = [
        ("TransactionId", "5000000001"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("InvoiceId", "KM-5"),
        ("AccountId", "user-42"),
        ("Status", "Completed"),
    ];
    app.notify("pay", &pay).await;
    payment
}

#[track_caller]
pub(crate) fn shows(found: &str, parts: &[&str], tampering: &str) {
    assert!(parts.iter().all(|part| found.contains(part)), "{tampering}: found `{found}`, expected {parts:?}");
}

async fn a_change_of_any_column_is_named(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let listed = |table: &str| -> Vec<&str> {
        COLUMNS.iter().filter(|(one, _, _)| *one == table).map(|(_, column, _)| *column).collect()
    };
    for table in ["transitions", "history_seals", "history_leaves"] {
        let there = match engine {
            Engine::Sqlite => format!("SELECT name AS value FROM pragma_table_info('{table}')"),
            Engine::Postgres => format!(
                "SELECT column_name::text AS value FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
            ),
        };
        assert_eq!(scene.sql.texts(&there), listed(table), "a column of {table} is not tried");
    }
    let id = scene.payment.clone();
    for (table, column, value) in COLUMNS {
        let value = value.replace('$', column);
        let row = match table {
            "history_seals" => "number = 2".to_owned(),
            _ => format!("payment_id = '{id}' AND sequence = 2"),
        };
        let tampering = format!("UPDATE {table} SET {column} = {value} WHERE {row}");
        let found = scene.found_after(&tampering).await;
        match (table, column) {
            ("transitions", _) | ("history_leaves", "hash") => {
                shows(&found, &["transitions", &id, "sequence 2", "seal 2"], &tampering);
            }
            ("history_seals", "number") => {
                shows(&found, &["history_seals, seal 3", "before it is missing"], &tampering)
            }
            ("history_seals", _) => shows(&found, &["history_seals, seal 2"], &tampering),
            _ => shows(&found, &["seal 2"], &tampering),
        }
    }
    // No value is another value than an empty text, and a value that cannot be read is one too.
    shows(
        &scene
            .found_after(&format!("UPDATE transitions SET cause_id = '' WHERE payment_id = '{id}' AND sequence = 2"))
            .await,
        &[&id],
        "empty",
    );
    if engine == Engine::Sqlite {
        let junk = format!("UPDATE transitions SET at = 'yesterday' WHERE payment_id = '{id}' AND sequence = 2");
        shows(&scene.found_after(&junk).await, &[&id, "sequence 2", "cannot be read"], &junk);
    }
    scene.app.stop().await;
}

async fn rows_taken_away_or_put_in_are_named(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let id = scene.payment.clone();
    let row = |sequence: u32, from: &str, to: &str| {
        format!(
            "INSERT INTO transitions (payment_id, sequence, from_status, to_status, cause_type, actor, detail, at) \
             VALUES ('{id}', {sequence}, '{from}', '{to}', 'operator', 'key_1', '{{}}', '2026-01-01 00:00:00')"
        )
    };
    let without_history = |status: &str| {
        format!(
            "INSERT INTO payments (id, sequence, status, currency, amount, authorized, captured, refunded, refund_pending, \
             refund_excess, invoice_id, description, capture_mode, language, method, metadata, payer, created_by, created_at, \
             updated_at, expires_at) SELECT 'pay_forged', 0, '{status}', currency, amount, 0, 0, 0, 0, 0, invoice_id, \
             description, capture_mode, language, method, metadata, payer, created_by, created_at, updated_at, expires_at \
             FROM payments WHERE id = '{id}'"
        )
    };
    let last =
        u32::try_from(scene.sql.number(&format!("SELECT sequence AS value FROM payments WHERE id = '{id}'"))).unwrap();
    let next = last + 1;
    let queue = format!("INSERT INTO history_unsealed (payment_id, sequence) VALUES ('{id}', {next})");
    let orphan = row(1, "none", "processing").replace(&id, "pay_nobody");
    for (tampering, parts) in [
        (
            format!("DELETE FROM transitions WHERE payment_id = '{id}' AND sequence = 1"),
            vec![id.as_str(), "sequence 1", "not there any more"],
        ),
        (format!("DELETE FROM transitions WHERE payment_id = '{id}'"), vec![id.as_str(), "sequence 1"]),
        ("DELETE FROM history_seals WHERE number = 2".to_owned(), vec!["seal 3", "before it is missing"]),
        ("DELETE FROM history_seals WHERE number = 1".to_owned(), vec!["seal 2", "before it is missing"]),
        (format!("DELETE FROM history_leaves WHERE payment_id = '{id}' AND sequence = 1"), vec!["seal 2"]),
        (row(next, "partially_refunded", "refunded"), vec![id.as_str(), "past the service"]),
        (format!("{}; {queue}", row(next, "partially_refunded", "refunded")), vec![id.as_str(), "past the service"]),
        (
            format!("{}; {}", orphan, queue.replace(&id, "pay_nobody").replace(&next.to_string(), "1")),
            vec!["pay_nobody", "no payment"],
        ),
        (format!("DELETE FROM payments WHERE id = '{id}'"), vec![id.as_str(), "no payment"]),
        (format!("UPDATE payments SET sequence = sequence + 1 WHERE id = '{id}'"), vec![id.as_str(), "went further"]),
        (
            format!("UPDATE payments SET sequence = sequence - 1 WHERE id = '{id}'"),
            vec![id.as_str(), "past the service"],
        ),
        (
            format!("UPDATE payments SET status = 'refunded', refunded = captured WHERE id = '{id}'"),
            vec!["payments", id.as_str(), "refunded"],
        ),
        (format!("UPDATE payments SET refunded = 1 WHERE id = '{id}'"), vec!["payments", id.as_str(), "sums"]),
        (format!("UPDATE payments SET amount = amount + 1 WHERE id = '{id}'"), vec!["payments", id.as_str(), "amount"]),
        (format!("UPDATE payments SET currency = 'USD' WHERE id = '{id}'"), vec!["payments", id.as_str()]),
        (queue.clone(), vec![id.as_str(), "not there any more"]),
        (without_history("awaiting_payer"), vec!["payments", "pay_forged", "its last row ends in none"]),
        (without_history("none"), vec!["the books", "pay_forged", "history_reaches_the_payment"]),
    ] {
        let found = scene.found_after(&tampering).await;
        shows(&found, &parts, &tampering);
    }
    scene.app.stop().await;
}

async fn rows_put_elsewhere_are_named(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let id = scene.payment.clone();
    // Two rows of one payment exchange their content, or their numbers.
    let rows = format!("payment_id = '{id}' AND sequence IN (1, 2)");
    let other = format!(
        "(SELECT actor FROM kept_transitions k WHERE k.payment_id = '{id}' AND k.sequence = 3 - transitions.sequence)"
    );
    let actors = format!(
        "UPDATE transitions SET actor = {other}, to_status = {} WHERE {rows}",
        other.replace("actor", "to_status")
    );
    shows(&scene.found_after(&actors).await, &["transitions", &id, "sequence 1"], &actors);
    let numbers = format!(
        "UPDATE transitions SET sequence = -sequence WHERE {rows}; UPDATE transitions SET sequence = 3 + sequence WHERE payment_id = '{id}' AND sequence < 0"
    );
    shows(&scene.found_after(&numbers).await, &["transitions", &id, "sequence 1"], &numbers);
    // Two rows exchange their places under the seal, with all that is kept beside them.
    let places = format!(
        "UPDATE history_leaves SET position = -1 - position WHERE payment_id = '{id}' AND sequence IN (1, 2); \
         UPDATE history_leaves SET position = (SELECT k.position FROM kept_history_leaves k WHERE k.payment_id = '{id}' \
         AND k.sequence = 3 - history_leaves.sequence) WHERE position < 0"
    );
    shows(&scene.found_after(&places).await, &["history_seals", "seal 2", "swapped"], &places);
    // Two seals exchange their numbers.
    let seals = "UPDATE history_seals SET number = 1000 - number WHERE number IN (2, 3); UPDATE history_seals SET number = number - 995 WHERE number > 900";
    shows(&scene.found_after(seals).await, &["history_seals", "seal 2"], seals);
    scene.app.stop().await;
}

async fn a_cut_off_end_is_found(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let rows = "DELETE FROM transitions WHERE EXISTS (SELECT 1 FROM history_leaves l WHERE l.seal = 3 AND l.payment_id = \
                transitions.payment_id AND l.sequence = transitions.sequence)";
    let seals = "DELETE FROM history_leaves WHERE seal = 3; DELETE FROM history_seals WHERE number = 3";
    shows(
        &scene.found_after("DELETE FROM history_seals WHERE number = 3").await,
        &["history_leaves", "cut off"],
        "seals only",
    );
    shows(&scene.found_after(seals).await, &["transitions", "past the service"], "seals and leaves");
    shows(&scene.found_after(&format!("{rows}; {seals}")).await, &["transitions", "row is missing"], "rows too");

    // With the payments too it looks like yesterday's database: only a root that was published tells.
    let events = "DELETE FROM events WHERE payment_id = (SELECT id FROM payments WHERE invoice_id = 'KM-4')";
    let payments = "DELETE FROM payments WHERE invoice_id = 'KM-4'";
    shows(
        &scene.found_after(&format!("{rows}; {seals}; {payments}")).await,
        &["events", "row that is not there"],
        "payments too",
    );
    let books = "DELETE FROM transactions WHERE payment_id = (SELECT id FROM payments WHERE invoice_id = 'KM-4')";
    shows(
        &scene.found_after(&format!("{rows}; {seals}; {events}; {payments}")).await,
        &["the books", "transaction_has_one_payment"],
        "all but the books",
    );
    let of_payment = "(SELECT id FROM payments WHERE invoice_id = 'KM-4')";
    let books = format!("{books}; DELETE FROM operations WHERE payment_id = {of_payment}");
    for (left, law) in [
        (format!("DELETE FROM idempotency_keys WHERE resource_id = {of_payment}"), "notification_is_booked"),
        (format!("DELETE FROM notifications WHERE payment_id = {of_payment}"), "key_points_to_its_effect"),
    ] {
        let tampering = format!("{rows}; {seals}; {events}; {books}; {left}; {payments}");
        shows(&scene.found_after(&tampering).await, &["the books", law], "all but what points to it");
    }
    let pointers = format!(
        "DELETE FROM idempotency_keys WHERE resource_id = {of_payment}; DELETE FROM notifications WHERE payment_id = {of_payment}"
    );
    let everything = format!("{rows}; {seals}; {events}; {books}; {pointers}; {payments}");
    assert_eq!(scene.found_after(&everything).await, "");
    scene.sql.run_all(&everything);
    shows(&scene.verify(&[scene.root]).await, &["seal 3", "cut off"], "published");
    scene.put_back();

    // The same for a history that was sealed anew as a whole.
    scene.sql.run_all(
        "UPDATE transitions SET detail = '{\"forged\":true}' WHERE sequence = 1; DELETE FROM history_leaves; DELETE FROM \
         history_seals; INSERT INTO history_unsealed (payment_id, sequence) SELECT payment_id, sequence FROM transitions; \
         INSERT INTO history_unsealed (payment_id, sequence) SELECT id, 0 FROM events WHERE payment_id IS NULL",
    );
    scene.app.running.app.seal_step().await.unwrap();
    assert_eq!(scene.verify(&[]).await, "");
    assert!(!scene.verify(&[scene.root]).await.is_empty());
    scene.app.stop().await;
}

async fn what_is_not_sealed_is_named(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let mut guarded = Sql::open(&scene.app.database.url);
    let count = guarded.number("SELECT count(*) AS value FROM history_unsealed");
    assert_eq!(count, 0);
    scene.sql.run_all("INSERT INTO history_unsealed SELECT payment_id, sequence FROM history_leaves WHERE seal = 1");
    shows(&scene.verify(&[]).await, &["history_unsealed", "has one"], "sealed twice");
    scene.put_back();
    // The newest seal undone by hand: its rows wait, which is fine for an hour.
    let undone = "INSERT INTO history_unsealed SELECT payment_id, sequence FROM history_leaves WHERE seal = 3; \
                  DELETE FROM history_leaves WHERE seal = 3; DELETE FROM history_seals WHERE number = 3";
    assert_eq!(scene.found_after(undone).await, "");
    scene.sql.run_all(undone);
    scene.app.advance(3700);
    shows(&scene.verify(&[]).await, &["transitions", "still waits"], "an hour later");
    scene.app.running.app.seal_step().await.unwrap();
    assert_eq!(scene.verify(&[]).await, "");
    scene.app.stop().await;
}

/// Who widens the table could have a state written that the service never comes to.
async fn changes_of_the_table_of_moves_are_found(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    for (tampering, found) in [
        (
            "INSERT INTO transition_edges (from_status, to_status) VALUES ('paid', 'declined')",
            "from paid to declined was put in",
        ),
        (
            "DELETE FROM transition_edges WHERE from_status = 'none' AND to_status = 'processing'",
            "from none to processing is not",
        ),
        (
            "UPDATE transition_edges SET to_status = 'none' WHERE from_status = 'paid' AND to_status = 'refunded'",
            "the move from paid to",
        ),
    ] {
        shows(&scene.found_after(tampering).await, &["transition_edges", found], tampering);
    }
    scene.app.stop().await;
}

async fn history_refuses_changes_by_itself(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.refund(payment.id(), "1.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    let mut sql = Sql::open(&app.database.url);
    let mut refused = |statement: String| {
        let error = sql.run(&statement).expect_err(&statement);
        assert!(error.contains("append-only") || error.contains("not deleted"), "{statement}: {error}");
    };
    for (table, column) in
        [("transitions", "detail"), ("events", "kind"), ("history_seals", "hash"), ("history_leaves", "hash")]
    {
        refused(format!("UPDATE {table} SET {column} = {column}"));
        refused(format!("DELETE FROM {table}"));
        match engine {
            Engine::Sqlite => refused(format!("REPLACE INTO {table} SELECT * FROM {table}")),
            Engine::Postgres => refused(format!("TRUNCATE {table} CASCADE")),
        }
    }
    for table in ["transactions", "notifications"] {
        refused(format!("DELETE FROM {table}"));
    }
    let total = sql.number("SELECT count(*) AS value FROM notifications");
    assert!(total > 0);
    assert_eq!(app.payment(payment.id()).await.json["refunded"], json!({"value": "1.00", "currency": "KZT"}));
    app.finish().await;
}

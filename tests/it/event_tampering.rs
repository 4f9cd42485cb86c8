//! Whoever changes what the site was told is found, as whoever changes the history is.

use kmic_payments::app::{Proof, prove_history};
use kmic_payments::clock::Clock;
use kmic_payments::domain::id::PaymentId;
use kmic_payments::domain::proof::{Chain, Hash, Record, root};
use kmic_payments::store::sealed::{self, Leaf};
use kmic_payments::store::{Lane, seals};
use serde_json::{Value, json};

use crate::history_tampering::{Scene, shows};
use crate::support::{APPROVED, Engine, Sql, TestApp, card, widget};

crate::on_both!(
    a_change_of_any_column_of_an_event_is_named,
    events_taken_away_or_put_in_are_named,
    events_that_change_places_are_named,
    events_without_a_payment_are_sealed_too,
    what_is_matched_late_has_a_row_of_its_own,
    rows_sealed_without_their_events_still_hold,
    events_without_a_payment_from_before_are_sealed_too,
);

/// Every column of an event that says something, and another value: `$` stands for the column. Its place in the feed is a
/// number of this database.
const COLUMNS: [(&str, &str); 10] = [
    ("id", "$ || 'x'"),
    ("kind", "'payment.declined'"),
    ("payment_id", "$ || 'x'"),
    ("refund_id", "'ref_1'"),
    ("sequence", "$ + 1"),
    ("at", "'2026-01-01 00:00:00'"),
    ("notification_id", "'ntf_1'"),
    ("subject_id", "'key_1'"),
    ("actor", "'cli'"),
    ("transaction_id", "7"),
];
const PLACE: [&str; 2] = ["epoch", "position"];

async fn a_change_of_any_column_of_an_event_is_named(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let there = match engine {
        Engine::Sqlite => "SELECT name AS value FROM pragma_table_info('events') ORDER BY name".to_owned(),
        Engine::Postgres => {
            "SELECT column_name::text AS value FROM information_schema.columns WHERE table_name = 'events' ORDER BY column_name"
                .to_owned()
        }
    };
    let mut tried: Vec<&str> = COLUMNS.iter().map(|(column, _)| *column).chain(PLACE).collect();
    tried.sort_unstable();
    assert_eq!(scene.sql.texts(&there), tried, "a column of events is not tried");
    let id = scene.payment.clone();
    let of_row = format!("payment_id = '{id}' AND sequence = 2");
    assert_eq!(scene.sql.number(&format!("SELECT count(*) AS value FROM events WHERE {of_row}")), 1);
    let loose = scene.sql.texts("SELECT id AS value FROM events WHERE payment_id IS NULL")[0].clone();
    for (column, value) in COLUMNS {
        let value = value.replace('$', column);
        let tampering = format!("UPDATE events SET {column} = {value} WHERE {of_row}");
        let found = scene.found_after(&tampering).await;
        shows(&found, &["transitions", &id, "sequence 2", "seal 2", "its events"], &tampering);
        if ["payment_id", "sequence"].contains(&column) {
            continue;
        }
        let tampering = format!("UPDATE events SET {column} = {value} WHERE id = '{loose}'");
        shows(&scene.found_after(&tampering).await, &["events", &loose, "seal 1"], &tampering);
    }
    let given = format!("UPDATE events SET payment_id = '{id}', sequence = 1 WHERE id = '{loose}'");
    shows(&scene.found_after(&given).await, &["events", &loose, "seal 1"], &given);
    let freed = format!("UPDATE events SET payment_id = NULL, sequence = NULL WHERE {of_row}");
    shows(&scene.found_after(&freed).await, &["transitions", &id, "sequence 2"], &freed);
    // No value is another value than an empty text, and a value that cannot be read is one too.
    let empty = format!("UPDATE events SET refund_id = '' WHERE {of_row}");
    shows(&scene.found_after(&empty).await, &[&id, "sequence 2"], &empty);
    if engine == Engine::Sqlite {
        let junk = format!("UPDATE events SET at = 'yesterday' WHERE {of_row}");
        shows(&scene.found_after(&junk).await, &[&id, "sequence 2", "cannot be read"], &junk);
    }
    // The same order by other numbers: as after a move to another server.
    assert_eq!(scene.found_after("UPDATE events SET epoch = epoch + 1000, position = position + 1000").await, "");
    scene.app.stop().await;
}

fn inserted(id: &str, payment_id: &str, sequence: &str) -> String {
    format!(
        "INSERT INTO events (id, epoch, position, kind, payment_id, sequence, at, notification_id) VALUES \
         ('{id}', 9000000, 9000000, 'payment.paid', {payment_id}, {sequence}, '2026-01-01 00:00:00', 'ntf_1')"
    )
}

async fn events_taken_away_or_put_in_are_named(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let (id, matched) = (scene.payment.clone(), scene.matched.clone());
    let quoted = format!("'{id}'");
    let loose = scene.sql.texts("SELECT id AS value FROM events WHERE payment_id IS NULL")[0].clone();
    let queue = "INSERT INTO history_unsealed (payment_id, sequence) VALUES";
    for (tampering, parts) in [
        (
            format!("DELETE FROM events WHERE payment_id = '{id}' AND sequence = 2"),
            vec!["transitions", id.as_str(), "sequence 2", "seal 2"],
        ),
        (
            format!("DELETE FROM events WHERE payment_id = '{matched}' AND kind = 'notification.matched'"),
            vec!["transitions", matched.as_str(), "sequence 2", "seal 1"],
        ),
        ("DELETE FROM events".to_owned(), vec!["seal 1"]),
        (inserted("evt_x", &quoted, "1"), vec!["transitions", id.as_str(), "sequence 1", "seal 2"]),
        (inserted("evt_x", &quoted, "2"), vec!["transitions", id.as_str(), "sequence 2", "seal 2"]),
        (
            inserted("evt_x", &quoted, "99"),
            vec!["events", id.as_str(), "sequence 99", "evt_x", "row that is not there"],
        ),
        (inserted("evt_x", &quoted, "NULL"), vec!["events", id.as_str(), "evt_x", "row that is not there"]),
        (inserted("evt_x", "'pay_nobody'", "1"), vec!["events", "pay_nobody", "evt_x", "row that is not there"]),
        (inserted("evt_x", "NULL", "NULL"), vec!["events", "evt_x", "past the service"]),
        (
            format!("DELETE FROM events WHERE id = '{loose}'"),
            vec!["events", loose.as_str(), "seal 1", "not there any more"],
        ),
        (
            format!("DELETE FROM events WHERE id = '{loose}'; DELETE FROM history_leaves WHERE payment_id = '{loose}'"),
            vec!["seal 1"],
        ),
        (format!("{queue} ('{loose}', 0)"), vec!["history_unsealed", loose.as_str(), "has one"]),
        (format!("{queue} ('evt_x', 0)"), vec!["events", "evt_x", "not there any more"]),
    ] {
        let found = scene.found_after(&tampering).await;
        shows(&found, &parts, &tampering);
    }
    scene.app.stop().await;
}

async fn events_that_change_places_are_named(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let (id, matched) = (scene.payment.clone(), scene.matched.clone());
    let of_row =
        format!("SELECT id AS value FROM events WHERE payment_id = '{matched}' AND sequence = 2 ORDER BY position");
    let told = scene.sql.texts(&of_row);
    assert_eq!(told.len(), 2, "{told:?}");
    let kept = |column: &str, event: &str| format!("(SELECT {column} FROM kept_events k WHERE k.id = '{event}')");
    // Two events of one row exchange their places in the feed: the site would read them the other way round.
    let places = format!(
        "UPDATE events SET position = -1 WHERE id = '{0}'; UPDATE events SET position = {2} WHERE id = '{1}'; \
         UPDATE events SET position = {3} WHERE id = '{0}'",
        told[0],
        told[1],
        kept("position", &told[0]),
        kept("position", &told[1]),
    );
    shows(&scene.found_after(&places).await, &["transitions", &matched, "sequence 2", "seal 1"], &places);
    // Their ids.
    let ids = format!(
        "UPDATE events SET id = 'evt_x' WHERE id = '{0}'; UPDATE events SET id = '{0}' WHERE id = '{1}'; \
         UPDATE events SET id = '{1}' WHERE id = 'evt_x'",
        told[0], told[1],
    );
    shows(&scene.found_after(&ids).await, &["transitions", &matched, "sequence 2"], &ids);
    // Their content.
    let kinds = format!(
        "UPDATE events SET kind = {} WHERE id = '{}'; UPDATE events SET kind = {} WHERE id = '{}'",
        kept("kind", &told[1]),
        told[0],
        kept("kind", &told[0]),
        told[1],
    );
    shows(&scene.found_after(&kinds).await, &["transitions", &matched, "sequence 2"], &kinds);
    // Events of two rows of one payment exchange their rows.
    let last = scene.sql.number(&format!("SELECT max(sequence) AS value FROM events WHERE payment_id = '{id}'"));
    let rows = format!(
        "UPDATE events SET sequence = {last} + 2 - sequence WHERE payment_id = '{id}' AND sequence IN (2, {last})"
    );
    shows(&scene.found_after(&rows).await, &["transitions", &id, "sequence 2", "seal 2"], &rows);
    // Events of two payments exchange their payments.
    let payments = format!(
        "UPDATE events SET payment_id = CASE payment_id WHEN '{id}' THEN '{matched}' ELSE '{id}' END \
         WHERE payment_id IN ('{id}', '{matched}') AND sequence = 2"
    );
    shows(&scene.found_after(&payments).await, &["transitions", &matched, "sequence 2"], &payments);
    scene.app.stop().await;
}

async fn events_without_a_payment_are_sealed_too(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.notify("refund", &REFUND).await;
    let mut sql = Sql::open(&app.database.url);
    let sealed = "SELECT payment_id AS value FROM history_leaves WHERE sequence = 0";
    assert_eq!(app.running.app.seal_step().await.unwrap(), 1);
    assert_eq!(sql.texts(sealed), sql.texts("SELECT id AS value FROM events"));
    // Beside rows, as well.
    app.create(card("KM-1", APPROVED)).await.expect(201);
    app.notify(
        "refund",
        &[("TransactionId", "5000000003"), ("PaymentTransactionId", "5000000004"), REFUND[2], REFUND[3]],
    )
    .await;
    let waiting = usize::try_from(sql.number("SELECT count(*) AS value FROM history_unsealed")).unwrap();
    assert_eq!(app.running.app.seal_step().await.unwrap(), waiting);
    assert_eq!(sql.texts(sealed).len(), 2);
    assert_eq!(verified(&app).await, "");
    app.advance(3700);
    app.notify(
        "refund",
        &[("TransactionId", "5000000005"), ("PaymentTransactionId", "5000000006"), REFUND[2], REFUND[3]],
    )
    .await;
    app.advance(3700);
    shows(&verified(&app).await, &["events", "still waits"], "an hour later");
    app.stop().await;
}

const REFUND: [(&str, &str); 4] = [
    ("TransactionId", "5000000002"),
    ("PaymentTransactionId", "5000000001"),
    ("Amount", "2500.00"),
    ("OperationType", "Refund"),
];

async fn verified(app: &TestApp) -> String {
    let what =
        kmic_payments::app::VerifyHistory { published: Vec::new(), sealed_before: app.clock.now().plus_seconds(-3600) };
    let verdict = app.running.store.read(move |tx| kmic_payments::app::verify_history(tx, &what)).await.unwrap();
    verdict.err().map(|broken| broken.to_string()).unwrap_or_default()
}

/// Two processes handled a Pay and a message about it at the same moment: the message is taken up when the payment has gone
/// on, changes nothing, and its event is part of a row that no seal covers yet.
async fn what_is_matched_late_has_a_row_of_its_own(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let pay = [
        ("TransactionId", "5000000001"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("AccountId", "user-42"),
        ("Status", "Completed"),
    ];
    app.notify("pay", &pay).await;
    let mut sql = Sql::open(&app.database.url);
    sql.run("UPDATE notifications SET verdict = 'hidden' WHERE verdict = 'unmatched'").unwrap();
    let named: Vec<_> = pay.into_iter().chain([("InvoiceId", "KM-1")]).collect();
    app.notify("pay", &named).await;
    app.running.app.seal_step().await.unwrap();
    sql.run("UPDATE notifications SET verdict = 'unmatched' WHERE verdict = 'hidden'").unwrap();
    assert_eq!(app.history(payment.id()).await.len(), 2);

    app.running.app.settle_step().await.unwrap();
    let told = ["notification.needs_attention yes 5000000001 no", "notification.matched yes 5000000001 yes"];
    assert_eq!(app.notification_events().await, told);
    assert_eq!(app.history(payment.id()).await[2..], ["paid>paid by notification"]);
    assert_eq!(sql.number("SELECT sequence AS value FROM events WHERE kind = 'notification.matched'"), 3);
    assert_eq!(verified(&app).await, "");
    app.running.app.seal_step().await.unwrap();
    assert_eq!(verified(&app).await, "");
    app.stop().await;
}

/// What an older version sealed: the rows alone.
async fn rows_sealed_without_their_events_still_hold(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let now = app.clock.now();
    let seal = move |tx: &mut kmic_payments::store::Tx<'_>| {
        let mut leaves: Vec<Leaf> = Vec::new();
        for (position, record) in (0..).zip(sealed::waiting(tx, 256)?) {
            let Record::Row(row, _) = &record else { panic!("{record:?}") };
            let (payment_id, sequence) = (row.payment_id.clone(), row.sequence);
            leaves.push(Leaf { payment_id, sequence, seal: 1, position, hash: row.hash_alone() });
        }
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf.hash).collect();
        let count = i64::try_from(hashes.len()).unwrap();
        seals::append(tx, &Chain::next(None, Hash::NONE, now, count, root(&hashes)), &leaves)
    };
    assert!(app.running.store.write(Lane::of("history_seals"), seal).await.unwrap());
    assert_eq!(verified(&app).await, "");
    let old = proof(&app, payment.id()).await;
    assert!(old["rows"].as_array().unwrap().iter().all(|row| row["events"] == Value::Null), "{old}");
    assert_eq!(told(&old).unwrap(), [None, None]);
    // As the older version wrote it.
    let mut first = old.clone();
    first["format"] = json!("kmic-payments/history-proof/1");
    for row in first["rows"].as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("events");
    }
    assert_eq!(told(&first).unwrap(), [None, None]);

    app.refund(payment.id(), "5.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    assert_eq!(verified(&app).await, "");
    let both = proof(&app, payment.id()).await;
    let kinds = told(&both).unwrap();
    assert_eq!(kinds[..2], [None, None]);
    assert_eq!(kinds.last().unwrap().as_deref(), Some("refund.succeeded"));
    let mut mixed = both.clone();
    mixed["format"] = json!("kmic-payments/history-proof/1");
    assert!(told(&mixed).unwrap_err().contains("format"), "the first format has no events");

    // The rows themselves are covered as ever, their events are not, and those of later rows are.
    let mut sql = Sql::open(&app.database.url);
    sql.take_the_guards_away();
    sql.run_all("UPDATE events SET kind = 'payment.forged' WHERE sequence = 2");
    assert_eq!(verified(&app).await, "");
    sql.run_all("UPDATE events SET kind = 'refund.forged' WHERE kind = 'refund.succeeded'");
    shows(&verified(&app).await, &[payment.id(), "seal 2"], "sealed with its events");
    sql.run_all("UPDATE transitions SET actor = 'nobody' WHERE sequence = 1");
    shows(&verified(&app).await, &[payment.id(), "sequence 1", "seal 1"], "sealed alone");
    app.stop().await;
}

async fn proof(app: &TestApp, payment_id: &str) -> Value {
    let id = PaymentId::parse(payment_id).unwrap();
    let proof = app.running.store.read(move |tx| prove_history(tx, &id, None)).await.unwrap();
    serde_json::to_value(proof).unwrap()
}

/// The kinds of the events of each row, where its seal covers them; or what does not hold.
fn told(proof: &Value) -> Result<Vec<Option<String>>, String> {
    let root = Hash::parse(proof["root"]["hash"].as_str().unwrap()).unwrap();
    let proof: Proof = serde_json::from_value(proof.clone()).map_err(|error| error.to_string())?;
    let kinds = |events: Vec<kmic_payments::domain::proof::HistoryEvent>| {
        events.into_iter().map(|event| event.kind).collect::<Vec<_>>().join(" ")
    };
    Ok(proof.check(root)?.rows.into_iter().map(|row| row.events.map(kinds)).collect())
}

async fn events_without_a_payment_from_before_are_sealed_too(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut sql = Sql::open(&app.database.url);
    let (up, down) = match engine {
        Engine::Sqlite => (
            include_str!("../../migrations/sqlite/2026-11-28-000009_sealed_events/up.sql"),
            include_str!("../../migrations/sqlite/2026-11-28-000009_sealed_events/down.sql"),
        ),
        Engine::Postgres => (
            include_str!("../../migrations/postgres/2026-11-28-000009_sealed_events/up.sql"),
            include_str!("../../migrations/postgres/2026-11-28-000009_sealed_events/down.sql"),
        ),
    };
    sql.run_all(down);
    app.notify("refund", &REFUND).await;
    app.create(widget("KM-1")).await.expect(201);
    assert_eq!(sql.number("SELECT count(*) AS value FROM history_unsealed"), 1);
    sql.run_all(up);
    assert_eq!(app.running.app.seal_step().await.unwrap(), 2);
    assert_eq!(verified(&app).await, "");
    app.finish().await;
}

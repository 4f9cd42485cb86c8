//! What the provider says, what operators write, and notifications that fit no payment: sealed, shown to the payer, erased.

use cloudpayments_sandbox::ApiFaultKind;
use serde_json::{Value, json};

use crate::key_rotation::{NEW_KEY, changed, rotate, with_both_keys, with_new_key};
use crate::support::{APPROVED, ENCRYPTION_KEY, Engine, Reply, Sql, TestApp, card, secret_hits, with_at};

crate::on_both!(
    words_from_outside_go_with_the_payer,
    words_of_earlier_versions_go_too,
    words_of_payers_erased_before_are_taken_after_all,
    notifications_without_a_payment_go_with_their_account,
    a_payment_never_takes_the_key_of_a_notification,
    all_of_it_moves_under_a_new_key,
);

const ACCOUNT: &str = "account-words";
const WORDS: [&str; 5] = ["plantedcharge", "plantedrefund", "plantedunknown", "plantedclosing", "plantedlost"];

fn says(message: &str, success: bool) -> ApiFaultKind {
    let body = json!({ "Success": success, "Message": format!("Dear Planted Person, {message}") });
    ApiFaultKind::StatusAfter { status: 200, body: Some(body.to_string()) }
}

fn order(invoice: &str) -> Value {
    with_at(card(invoice, APPROVED), "/payer/account_id", json!(ACCOUNT))
}

/// What was said about a payer.
struct Told {
    refused: Reply,
    refund: Reply,
    /// A discrepancy of the payment, and one of none.
    closed: [String; 2],
}

/// A refused charge, a refused refund, an answer that says nothing, and two discrepancies that somebody closed.
async fn tell(app: &TestApp) -> Told {
    app.break_answer("/payments/cards/charge", says("plantedcharge", false));
    app.lose(cloudpayments_sandbox::NotificationKind::Pay);
    let refused = app.create(order("KM-1")).await.expect(201);
    assert_eq!(refused.text("/status"), "declined");
    let payment = app.create(order("KM-2")).await.expect(201);
    app.break_answer("/payments/refund", says("plantedrefund", false));
    app.lose(cloudpayments_sandbox::NotificationKind::Refund);
    let refund = app.refund(payment.id(), "1.00").await.expect(201);
    assert_eq!(refund.text("/status"), "failed");
    app.break_answer("/payments/refund", says("plantedunknown", true));
    let unknown = app.refund(payment.id(), "2.00").await.expect(202);
    app.sandbox.flush_notifications().await;
    let settled = app.get(&format!("/v1/refunds/{}", unknown.id())).await.expect(200);
    assert_eq!(settled.text("/status"), "succeeded");
    let mut sql = Sql::open(&app.database.url);
    sql.run(
        "INSERT INTO reconciliations (id, purpose, window_from, window_to, requested_by, state, phase, next_page, compared, \
         unreadable, lost, asked, chargebacks, failures, started_at, finished_at) VALUES ('rec_1', 'requested', \
         '2026-01-01 00:00:00', '2026-01-01 00:00:00', 'x', 'completed', 'register', 1, 0, 0, 0, 0, 0, 0, \
         '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
    )
    .unwrap();
    let mut closed = Vec::new();
    for (number, payment_id, words) in
        [(1, format!("'{}'", payment.id()), "plantedclosing"), (2, "NULL".to_owned(), "plantedlost")]
    {
        let id = format!("dis_01kaq0m5c3v7b1n6m2x8z4a9q{number}");
        sql.run(&format!(
            "INSERT INTO discrepancies (id, kind, transaction_id, payment_id, lost, opened_by, opened_at) VALUES \
             ('{id}', 'missing_there', {number}, {payment_id}, false, 'rec_1', '2026-01-01 00:00:00')"
        ))
        .unwrap();
        close(app, &id, words).await;
        closed.push(id);
    }
    Told { refused, refund, closed: closed.try_into().unwrap() }
}

async fn close(app: &TestApp, id: &str, words: &str) -> Reply {
    let reason = json!({ "reason": words });
    app.post_as(&format!("/v1/discrepancies/{id}/close"), id, reason).await.expect(200)
}

async fn reason(app: &TestApp, id: &str) -> String {
    app.get(&format!("/v1/discrepancies/{id}")).await.expect(200).text("/closing/reason").to_owned()
}

async fn expect_all(app: &TestApp, told: &Told) {
    let refund = app.get(&format!("/v1/refunds/{}", told.refund.id())).await.expect(200);
    assert!(refund.text("/failure/message").contains("plantedrefund"), "{}", refund.json);
    let refused = app.payment(told.refused.id()).await;
    assert!(refused.text("/decline/provider_message").contains("plantedcharge"), "{}", refused.json);
    assert_eq!(reason(app, &told.closed[0]).await, "plantedclosing");
    assert_eq!(reason(app, &told.closed[1]).await, "plantedlost");
    let export = app.get(&personal_data()).await.expect(200).page();
    for words in ["plantedcharge", "plantedrefund", "plantedclosing"] {
        assert!(export.contains(words), "{words} is not in {export}");
    }
}

fn personal_data() -> String {
    format!("/v1/payers/{ACCOUNT}/personal-data")
}

async fn erase(app: &TestApp) -> Reply {
    let erase = app.request(reqwest::Method::DELETE, &personal_data()).header("Idempotency-Key", "erase-1");
    Reply::receive(erase).await.expect(200)
}

async fn words_from_outside_go_with_the_payer(engine: Engine) {
    let app = TestApp::start(engine).await;
    let told = tell(&app).await;
    assert_eq!(secret_hits(&app, &WORDS), 0);
    expect_all(&app, &told).await;
    let history = app.history(told.refused.id()).await;

    erase(&app).await;
    assert_eq!(secret_hits(&app, &WORDS), 0);
    let refund = app.get(&format!("/v1/refunds/{}", told.refund.id())).await.expect(200);
    assert_eq!((refund.text("/status"), refund.json.get("failure")), ("failed", None));
    assert!(app.payment(told.refused.id()).await.json["decline"].get("provider_message").is_none());
    let repeat = close(&app, &told.closed[0], "plantedclosing").await;
    assert_eq!((repeat.text("/closing/resolution"), repeat.json["closing"].get("reason")), ("operator", None));
    assert_eq!(repeat.header("idempotent-replayed"), "true");
    assert_eq!(app.history(told.refused.id()).await, history);
    let mut sql = Sql::open(&app.database.url);
    for left in [
        "operations WHERE sealed_words IS NOT NULL OR note IS NOT NULL",
        "refunds WHERE sealed_failure IS NOT NULL",
        "discrepancies WHERE sealed_reason IS NOT NULL AND payment_id IS NOT NULL",
    ] {
        assert_eq!(sql.number(&format!("SELECT count(*) AS value FROM {left}")), 0, "{left}");
    }
    // What belongs to no payment has a time of its own.
    assert_eq!(reason(&app, &told.closed[1]).await, "plantedlost");
    app.advance(1900 * 86_400);
    // The clock of the database has not reached that: see `books_written_once`.
    Sql::open(&app.database.url).drop_trigger("personal_data_access_ended_in_time");
    app.running.app.retention_step().await.unwrap();
    assert_eq!(reason(&app, &told.closed[1]).await, "");
    app.stop().await;
}

/// Words that were written before they were sealed.
async fn words_of_earlier_versions_go_too(engine: Engine) {
    let app = TestApp::start(engine).await;
    let told = tell(&app).await;
    let mut sql = Sql::open(&app.database.url);
    if engine == Engine::Sqlite {
        // As the service writes.
        sql.run_all("PRAGMA secure_delete = ON");
    }
    for (table, column, sealed, words) in [
        ("operations", "note", "sealed_words", "plantedcharge"),
        ("refunds", "failure", "sealed_failure", "plantedrefund"),
        ("discrepancies", "close_reason", "sealed_reason", "plantedclosing"),
    ] {
        let old = format!("UPDATE {table} SET {column} = '{words}', {sealed} = NULL WHERE {sealed} IS NOT NULL");
        assert!(sql.run(&old).unwrap() > 0, "{old}");
    }
    // The files are read only when no other process comes after: reading them takes the locks of this process away.
    let refused = app.payment(told.refused.id()).await;
    assert_eq!(refused.text("/decline/provider_message"), "plantedcharge");
    let refund = app.get(&format!("/v1/refunds/{}", told.refund.id())).await.expect(200);
    assert_eq!(refund.text("/failure/message"), "plantedrefund");
    assert_eq!(reason(&app, &told.closed[0]).await, "plantedclosing");
    sql.run("UPDATE discrepancies SET close_reason = 'plantedlost' WHERE payment_id IS NULL").unwrap();

    // Refunds and discrepancies move with the next change of keys, notes about calls stay until the payer is erased.
    let moved = changed(&rotate(&app, ENCRYPTION_KEY, ""));
    assert_eq!(moved, ["words about refunds", "reasons for closing"]);
    assert_eq!(changed(&rotate(&app, ENCRYPTION_KEY, "")), [""; 0]);
    let refund = app.get(&format!("/v1/refunds/{}", told.refund.id())).await.expect(200);
    assert_eq!(refund.text("/failure/message"), "plantedrefund");
    for (id, words) in told.closed.iter().zip(["plantedclosing", "plantedlost"]) {
        assert_eq!(reason(&app, id).await, words);
    }
    erase(&app).await;
    assert_eq!(secret_hits(&app, &WORDS), 0);
    app.stop().await;
}

async fn words_of_payers_erased_before_are_taken_after_all(engine: Engine) {
    let app = TestApp::start(engine).await;
    let told = tell(&app).await;
    erase(&app).await;
    let mut sql = Sql::open(&app.database.url);
    if engine == Engine::Sqlite {
        sql.run_all("PRAGMA secure_delete = ON");
    }
    // As versions left it that did not seal these words, and did not know of them when they erased.
    for old in [
        format!("operations SET note = 'plantedcharge' WHERE payment_id = '{}'", told.refused.id()),
        format!("refunds SET failure = 'plantedrefund' WHERE id = '{}'", told.refund.id()),
        format!("discrepancies SET close_reason = 'plantedclosing' WHERE id = '{}'", told.closed[0]),
    ] {
        assert_eq!(sql.run(&format!("UPDATE {old}")), Ok(1), "{old}");
    }
    let other = app.create(with_at(card("KM-3", APPROVED), "/payer/account_id", json!("another"))).await.expect(201);
    let note = format!("UPDATE operations SET note = 'its own' WHERE payment_id = '{}'", other.id());
    assert_eq!(sql.run(&note), Ok(1));
    let cleaned = "SELECT count(*) AS value FROM payer_keys WHERE cleaned_at IS NOT NULL";
    assert_eq!(sql.number(cleaned), 1);

    if engine == Engine::Sqlite {
        sql.run_all(include_str!("../../migrations/sqlite/2026-11-28-000015_left_open/down.sql"));
    }
    sql.run_all(match engine {
        Engine::Sqlite => include_str!("../../migrations/sqlite/2026-11-28-000015_left_open/up.sql"),
        Engine::Postgres => include_str!("../../migrations/postgres/2026-11-28-000015_left_open/up.sql"),
    });
    assert_eq!(sql.number(cleaned), 0);
    assert_eq!(sql.number("SELECT count(*) AS value FROM operations WHERE note = 'its own'"), 1);
    app.running.app.clean_step().await.unwrap();
    assert_eq!(sql.number(cleaned), 1);
    assert_eq!(secret_hits(&app, &WORDS), 0);
    app.stop().await;
}

const STRAY: [(&str, &str); 7] = [
    ("TransactionId", "99001"),
    ("Amount", "1.00"),
    ("Currency", "KZT"),
    ("InvoiceId", "none"),
    ("AccountId", ACCOUNT),
    ("Email", "plantedstray@example.test"),
    ("Status", "Completed"),
];

async fn notifications_without_a_payment_go_with_their_account(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.notify("pay", &STRAY).await;
    app.notify("recurrent", &[("Id", "sc_1"), ("AccountId", ACCOUNT), ("Email", "plantedplan@example.test")]).await;
    app.notify(
        "pay",
        &STRAY
            .map(|(name, value)| (name, value.replace("words", "other")))
            .each_ref()
            .map(|(name, value)| (*name, value.as_str())),
    )
    .await;
    let export = app.get(&personal_data()).await.expect(200);
    let strays = export.json["unmatched_notifications"].as_array().unwrap();
    assert_eq!((strays.len(), &export.json["data"]), (2, &json!([])));
    assert!(strays[0]["body"].as_str().unwrap().contains("plantedstray"), "{strays:?}");
    let mut sql = Sql::open(&app.database.url);
    let readings = "SELECT count(*) AS value FROM personal_data_access WHERE payer_key_id IS NOT NULL";
    assert_eq!(sql.number(readings), 1);

    let erased = erase(&app).await;
    assert_eq!((&erased.json["payments"], &erased.json["notifications"]), (&json!(0), &json!(2)));
    let records = "SELECT count(*) AS value FROM personal_data_erasures WHERE payers = 0 AND notifications = 2";
    assert_eq!(sql.number(records), 1);
    let export = app.get(&personal_data()).await.expect(200);
    assert_eq!(export.json["unmatched_notifications"], json!([]));
    // The other account's is still there; of these the keys, the bodies and the digests are gone.
    assert_eq!(sql.number("SELECT count(*) AS value FROM notifications WHERE length(body) > 0"), 1);
    assert_eq!(sql.number("SELECT count(*) AS value FROM payer_keys WHERE cleaned_at IS NOT NULL"), 2);
    assert_eq!(sql.number("SELECT count(*) AS value FROM payer_keys WHERE wrapped_key IS NOT NULL"), 1);
    let digests = match engine {
        Engine::Sqlite => "SELECT count(*) AS value FROM notifications WHERE CAST(digest AS TEXT) = id",
        Engine::Postgres => "SELECT count(*) AS value FROM notifications WHERE digest = id::bytea",
    };
    assert_eq!(sql.number(digests), 2);
    // What they told of money stays: the provider's number, and that somebody has to look.
    assert_eq!(sql.number("SELECT count(*) AS value FROM notifications WHERE transaction_id = 99001"), 2);
    assert_eq!(app.verdicts().await.iter().filter(|verdict| *verdict == "pay unmatched").count(), 2);
    app.finish().await;
}

async fn a_payment_never_takes_the_key_of_a_notification(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.notify("pay", &STRAY).await;
    let payment = app.create(order("KM-1")).await.expect(201);
    app.sandbox.flush_notifications().await;
    let export = app.get(&personal_data()).await.expect(200);
    assert_eq!(export.text("/data/0/payment/id"), payment.id());
    assert_eq!(export.json["unmatched_notifications"].as_array().unwrap().len(), 1);
    // The notification's time is over, and its key with it; the payer's stays.
    app.advance(1900 * 86_400);
    // The clock of the database has not reached that: see `books_written_once`.
    Sql::open(&app.database.url).drop_trigger("personal_data_access_ended_in_time");
    app.running.app.retention_step().await.unwrap();
    let own = "SELECT count(*) AS value FROM payer_keys WHERE id LIKE 'ntf%'";
    assert_eq!(Sql::open(&app.database.url).number(own), 0);
    assert_eq!(app.payment(payment.id()).await.text("/payer/account_id"), ACCOUNT);
    app.stop().await;
}

async fn all_of_it_moves_under_a_new_key(engine: Engine) {
    let app = TestApp::start(engine).await;
    let told = tell(&app).await;
    app.notify("pay", &STRAY).await;
    let expect_stray = async |app: &TestApp| {
        let export = app.get(&personal_data()).await.expect(200);
        let stray = export.json["unmatched_notifications"][0]["body"].to_string();
        assert!(stray.contains("plantedstray"), "{}", export.json);
    };
    let app = app.restart_with(with_both_keys).await;
    expect_all(&app, &told).await;
    expect_stray(&app).await;
    let moved = changed(&rotate(&app, NEW_KEY, ENCRYPTION_KEY));
    // What payers' keys seal need not move: the keys do.
    assert_eq!(moved, ["keys of payers", "reasons for closing", "notifications", "requests"]);
    assert_eq!(changed(&rotate(&app, NEW_KEY, ENCRYPTION_KEY)), [""; 0]);
    let app = app.restart_with(with_new_key).await;
    expect_all(&app, &told).await;
    expect_stray(&app).await;
    erase(&app).await;
    assert_eq!(secret_hits(&app, &WORDS[..4]), 0);
    app.stop().await;
}

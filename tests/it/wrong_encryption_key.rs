//! With an encryption key that is not that of the database the service does not start, and nobody is told that nothing is held of
//! a person of whom something is.

use kmic_payments::config::Raw;
use kmic_payments::store::Lane;
use kmic_payments::store::rotation::{self, Part, Place};
use serde_json::{Value, json};

use crate::key_rotation::{NEW_KEY, changed, keys, rotate, with_both_keys, with_new_key};
use crate::support::{APPROVED, ENCRYPTION_KEY, Engine, Reply, Sql, TestApp, TestDatabase, card, with_at};

crate::on_both!(
    a_key_that_is_not_the_databases_is_refused_at_start,
    a_rotation_that_was_broken_off_is_noticed_at_start,
    nothing_is_said_of_accounts_while_a_key_does_not_open,
    a_lost_key_is_given_up,
    a_rotation_behind_a_running_service_is_noticed,
);

const OTHER_KEY: &str = "T1RIRVJvdGhlck9USEVSb3RoZXJPVEhFUm90aGVyMDE=";

async fn pay(app: &TestApp, invoice: &str, account: &str) -> Reply {
    let order = with_at(card(invoice, APPROVED), "/payer/account_id", json!(account));
    let payment = app.create(order).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.advance(3_600);
    payment
}

async fn erase(app: &TestApp, account: &str) -> Reply {
    let path = format!("/v1/payers/{account}/personal-data");
    let key = app.new_idempotency_key();
    Reply::receive(app.request(reqwest::Method::DELETE, &path).header("Idempotency-Key", key)).await
}

fn with_other_key(raw: Raw) -> Raw {
    raw.with("privacy.encryption_key", OTHER_KEY)
}

#[track_caller]
fn expect_told_what_to_do(why: &str) {
    for told in ["privacy.previous_keys", "privacy.encryption_key", "keys rotate-encryption"] {
        assert!(why.contains(told), "{why}");
    }
}

async fn a_key_that_is_not_the_databases_is_refused_at_start(engine: Engine) {
    let app = TestApp::start(engine).await;
    // Nothing is sealed yet.
    let app = app.restart_with(with_new_key).await;
    pay(&app, "KM-1", "the-account").await;
    let (why, app) = app.refused_restart(with_other_key).await;
    expect_told_what_to_do(&why);
    // What was erased needs no key.
    assert_eq!(erase(&app, "the-account").await.expect(200).json["erased"], true);
    let app = app.restart_with(with_other_key).await;
    app.stop().await;
}

async fn a_rotation_that_was_broken_off_is_noticed_at_start(engine: Engine) {
    let app = TestApp::start(engine).await;
    for (invoice, account) in [("KM-1", "first"), ("KM-2", "second")] {
        pay(&app, invoice, account).await;
    }
    let app = app.restart_with(with_both_keys).await;
    pay(&app, "KM-3", "third").await;
    let store = &app.running.store;
    let step = store.write(Lane::of("rotate"), |tx| rotation::step(tx, Part::PayerKeys, &Place::default(), 1)).await;
    assert_eq!(step.unwrap().changed, 1);
    // The oldest and the newest key are under the new one.
    let (why, app) = app.refused_restart(with_new_key).await;
    expect_told_what_to_do(&why);
    for account in ["first", "second", "third"] {
        assert_eq!(erase(&app, account).await.expect(200).json["erased"], true, "{account}");
    }
    app.stop().await;
}

async fn nothing_is_said_of_accounts_while_a_key_does_not_open(engine: Engine) {
    let app = TestApp::start(engine).await;
    let hidden = pay(&app, "KM-1", "hidden").await;
    let other = pay(&app, "KM-2", "other").await;
    let mut sql = Sql::open(&app.database.url);
    let hex = match engine {
        Engine::Sqlite => ("hex(wrapped_key)", "X'", "'"),
        Engine::Postgres => ("encode(wrapped_key, 'hex')", "decode('", "', 'hex')"),
    };
    let kept = |sql: &mut Sql, column: &str| {
        sql.text(&format!("SELECT {column} AS value FROM payer_keys WHERE id = '{}'", hidden.id()))
    };
    let (wrapped, hash) = (kept(&mut sql, hex.0), kept(&mut sql, "account_hash"));
    // As a key that another encryption key wrapped looks: it does not open, and the account has another hash.
    let strange = wrapped.chars().rev().collect::<String>();
    let set = |wrapped: &str, hash: &str| {
        format!(
            "UPDATE payer_keys SET wrapped_key = {}{wrapped}{}, account_hash = '{hash}' WHERE id = '{}'",
            hex.1,
            hex.2,
            hidden.id()
        )
    };
    sql.run(&set(&strange, "another")).unwrap();

    for account in ["hidden", "other", "nobody"] {
        erase(&app, account).await.expect_problem(503, "encryption_key_missing");
        let export = app.get(&format!("/v1/payers/{account}/personal-data")).await;
        export.expect_problem(503, "encryption_key_missing");
        let search = app.get(&format!("/v1/payments?account_id={account}")).await;
        search.expect_problem(503, "encryption_key_missing");
    }
    app.get(&format!("/v1/payments/{}", hidden.id())).await.expect_problem(503, "encryption_key_missing");
    assert_eq!(sql.number("SELECT count(*) AS value FROM personal_data_erasures"), 0);
    assert_eq!(app.payment(other.id()).await.text("/payer/account_id"), "other");

    sql.run(&set(&wrapped, &hash)).unwrap();
    assert_eq!(erase(&app, "hidden").await.expect(200).json["erased"], true);
    let nobody = erase(&app, "nobody").await.expect(200);
    assert_eq!((&nobody.json["erased"], &nobody.json["payments"]), (&Value::Bool(false), &json!(0)));
    assert_eq!(app.get("/v1/payments?account_id=other").await.expect(200).json["data"].as_array().unwrap().len(), 1);
    app.finish().await;
}

/// As a row that was damaged on the disk.
fn damage(database: &TestDatabase, engine: Engine, id: &str) {
    let bytes = if engine == Engine::Sqlite { "X'01020304'" } else { "decode('01020304', 'hex')" };
    let set = format!("UPDATE payer_keys SET wrapped_key = {bytes} WHERE id = '{id}'");
    assert_eq!(Sql::open(&database.url).run(&set), Ok(1));
}

/// What `keys give-up` says, and whether it did what it was asked to.
fn give_up(database: &TestDatabase, arguments: &[&str], current: &str) -> (bool, String) {
    let output = keys(database, &[&["give-up"], arguments].concat(), current, "");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[track_caller]
fn expect_refused((done, said): (bool, String), why: &str) {
    assert!(!done && said.contains(why), "{said}");
}

/// Refused wherever something would be lost that is not lost, done and recorded once where it is.
#[track_caller]
fn expect_given_up(database: &TestDatabase, lost: &str, other: &str, under_it: &str) {
    assert!(!keys(database, &["rotate-encryption"], ENCRYPTION_KEY, "").status.success());
    let (_, listed) = give_up(database, &[], ENCRYPTION_KEY);
    assert!(listed.contains(lost) && listed.contains(under_it) && !listed.contains(other), "{listed}");

    expect_refused(give_up(database, &[other, "--confirm"], ENCRYPTION_KEY), "opens: nothing of it is lost");
    expect_refused(give_up(database, &["pay_nobody", "--confirm"], ENCRYPTION_KEY), "key of a payer");
    expect_refused(give_up(database, &[lost], ENCRYPTION_KEY), "--confirm");
    // All keys look lost under a wrong encryption key.
    expect_refused(give_up(database, &[other, "--confirm"], OTHER_KEY), "privacy.encryption_key");
    let mut sql = Sql::open(&database.url);
    let destroyed = "SELECT count(*) AS value FROM payer_keys WHERE erased_at IS NOT NULL";
    assert_eq!((sql.number(destroyed), sql.number("SELECT count(*) AS value FROM personal_data_erasures")), (0, 0));

    let (done, said) = give_up(database, &[lost, "--confirm"], ENCRYPTION_KEY);
    assert!(done && said.contains(under_it), "{said}");
    expect_refused(give_up(database, &[lost, "--confirm"], ENCRYPTION_KEY), "was destroyed before");
    let record =
        "SELECT cause || ' ' || api_key_id AS value FROM personal_data_erasures WHERE payers = 1 AND payments = 1";
    assert_eq!(sql.texts(record), ["request cli"]);
}

async fn a_lost_key_is_given_up(engine: Engine) {
    let app = TestApp::start(engine).await;
    let lost = pay(&app, "KM-1", "lost").await;
    let other = pay(&app, "KM-2", "other").await;
    damage(&app.database, engine, lost.id());
    let notified = "SELECT count(*) AS value FROM notifications WHERE payment_id IS NOT NULL AND payment_id";
    let notified = Sql::open(&app.database.url).number(&format!("{notified} = '{}'", lost.id()));
    let under_it = format!("payments: 1, not over yet: 0, notifications: {notified}");

    let mend = |why: &str, database: &TestDatabase| {
        assert!(why.contains(lost.id()) && why.contains("keys give-up"), "{why}");
        expect_given_up(database, lost.id(), other.id(), &under_it);
    };
    let app = app.refused_until(mend).await;
    let shown = app.payment(lost.id()).await;
    assert_eq!((&shown.json["erased"], shown.text("/status")), (&Value::Bool(true), "paid"));
    assert_eq!(app.running.app.clean_step().await.unwrap(), 2);
    let app = app.restart_with(with_both_keys).await;
    assert!(changed(&rotate(&app, NEW_KEY, ENCRYPTION_KEY)).iter().any(|part| part == "keys of payers"));
    let app = app.restart_with(with_new_key).await;
    assert_eq!(app.refund(lost.id(), "100.00").await.expect(201).text("/status"), "succeeded");
    assert_eq!(erase(&app, "other").await.expect(200).json["erased"], true);
    assert_eq!(erase(&app, "nobody").await.expect(200).json["erased"], false);
    app.finish().await;
}

async fn a_rotation_behind_a_running_service_is_noticed(engine: Engine) {
    let app = TestApp::start(engine).await;
    pay(&app, "KM-1", "first").await;
    pay(&app, "KM-2", "second").await;
    // All keys were looked at, and opened.
    assert_eq!(erase(&app, "nobody").await.expect(200).json["erased"], false);
    changed(&rotate(&app, NEW_KEY, ENCRYPTION_KEY));
    for account in ["first", "nobody"] {
        erase(&app, account).await.expect_problem(503, "encryption_key_missing");
        let search = app.get(&format!("/v1/payments?account_id={account}")).await;
        search.expect_problem(503, "encryption_key_missing");
    }
    let app = app.restart_with(with_new_key).await;
    for account in ["first", "second"] {
        assert_eq!(erase(&app, account).await.expect(200).json["erased"], true, "{account}");
    }
    app.finish().await;
}

//! With an encryption key that is not that of the database the service does not start, and nobody is told that nothing is held of
//! a person of whom something is.

use kmic_payments::config::Raw;
use kmic_payments::store::Lane;
use kmic_payments::store::rotation::{self, Part, Place};
use serde_json::{Value, json};

use crate::key_rotation::{with_both_keys, with_new_key};
use crate::support::{APPROVED, Engine, Reply, Sql, TestApp, card, with_at};

crate::on_both!(
    a_key_that_is_not_the_databases_is_refused_at_start,
    a_rotation_that_was_broken_off_is_noticed_at_start,
    nothing_is_said_of_accounts_while_a_key_does_not_open,
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

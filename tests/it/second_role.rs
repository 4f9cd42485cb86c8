//! A service whose role owns no table of its PostgreSQL database: it works, and cannot take the triggers away.

use kmic_payments::config::Raw;

use crate::support::{APPROVED, Engine, Operator, Sql, TestApp, card, expect_sums, program, set};

const ROLE: &str = "kmic_service_of_a_test";

/// As `docs/security.md` has them.
fn grants() -> String {
    let document = include_str!("../../docs/security.md");
    let (_, after) = document.split_once("```sql\n").unwrap();
    after.split_once("```").unwrap().0.replace("kmic_service", ROLE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_owns_no_table_works_and_is_bound() {
    let app = TestApp::start(Engine::Postgres).await;
    let mut owner = Sql::open(&app.database.url);
    let made = format!("DO $$ BEGIN CREATE ROLE {ROLE} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    owner.run(&made).unwrap();
    for grant in grants().split_terminator(';').map(str::trim).filter(|grant| !grant.is_empty()) {
        owner.run(grant).unwrap();
    }
    let role_url = {
        let (_, place) = app.database.url.split_once("://").unwrap();
        let place = place.split_once('@').map_or(place, |(_, place)| place);
        format!("postgres://{ROLE}@{place}")
    };
    let url = role_url.clone();
    let settings = move |raw: Raw| {
        let raw = raw.with("database.url", url.as_str()).with("database.migrate_on_start", "false");
        // Money need not wait for the register here.
        raw.with("reconciliation.check_at_start", "false")
    };
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    app.create(card("KM-0", APPROVED)).await.expect(201);
    // A migration whose tables were not granted: the start says what to run.
    owner.run(&format!("REVOKE ALL ON feed_moves, feed_end FROM {ROLE}")).unwrap();
    let (why, app) = app.refused_restart(&settings).await;
    let told = why.split("GRANT ").skip(1).map(|rest| format!("GRANT {}", rest.split_once(';').unwrap().0));
    assert_eq!(told.map(|grant| owner.run(&grant).unwrap()).count(), 2, "{why}");
    // And the database was moved to a server that counts anew.
    owner.drop_trigger("events_no_update");
    owner.run("UPDATE events SET epoch = epoch + 1000000000").unwrap();
    let app = app.restart_with(settings).await;
    assert_eq!(owner.number("SELECT count(*) AS value FROM feed_moves WHERE bias > 1000000000"), 1);

    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.refund(payment.id(), "500.00").await.expect(201);
    let asked = one.ask_refund(&app, payment.id(), "500.00").await.expect(201);
    other.decide(&app, &asked, "approve").await.expect(200);
    app.sandbox.flush_notifications().await;
    app.reconcile().await;
    app.running.app.seal_step().await.unwrap();
    expect_sums(&app.payment(payment.id()).await, "12500.00", "1000.00", "11500.00");
    app.running.app.retention_step().await.unwrap();
    let account = app.payment(payment.id()).await.text("/payer/account_id").to_owned();
    let path = format!("/v1/payers/{account}/personal-data");
    let erased = app.request(reqwest::Method::DELETE, &path).header("Idempotency-Key", "erase-1").send().await.unwrap();
    assert_eq!(erased.status(), 200);
    let folder = tempfile::tempdir().unwrap();
    for (url, may_make_keys) in [(role_url.as_str(), false), (app.database.url.as_str(), true)] {
        let mut command = program(folder.path(), &["keys", "create", "--name", "site", "--scopes", "payments:read"]);
        set(&mut command, "database.url", url);
        let made = command.output().unwrap();
        assert_eq!(made.status.success(), may_make_keys, "{}", String::from_utf8_lossy(&made.stderr));
    }
    let mut command = program(folder.path(), &["keys", "revoke", &one.id]);
    set(&mut command, "database.url", &role_url);
    let revoked = command.output().unwrap();
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));

    let mut service = Sql::open(&role_url);
    for attack in [
        "ALTER TABLE payments DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DROP TRIGGER payments_as_written ON payments",
        "CREATE OR REPLACE FUNCTION refuse_taking_away() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "CREATE TABLE payments_of_mine (id TEXT)",
        "TRUNCATE payments CASCADE",
        "DELETE FROM payments",
        "UPDATE payments SET invoice_id = 'another'",
        "UPDATE transitions SET actor = 'another'",
        "DELETE FROM transitions",
        "UPDATE feed_moves SET bias = bias + 1",
        "DELETE FROM feed_moves",
        "INSERT INTO feed_moves SELECT bias + 1, at FROM feed_moves",
        "INSERT INTO transition_edges SELECT * FROM transition_edges",
        "DELETE FROM __diesel_schema_migrations",
        "INSERT INTO api_keys (id, name, secret_hash, scopes, created_at) SELECT 'key_x', name, 'x', scopes, created_at FROM api_keys LIMIT 1",
    ] {
        service.run(attack).expect_err(attack);
    }
    assert_eq!(app.get("/v1/payments").await.expect(200).json["data"].as_array().map(Vec::len), Some(2));
    app.finish().await;
}

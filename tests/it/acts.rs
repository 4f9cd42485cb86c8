//! What somebody does to API keys and to discrepancies leaves a record that nobody can change unseen.

use kmic_payments::app::{VerifyHistory, verify_history};
use kmic_payments::clock::Clock;
use kmic_payments::domain::scope::Scope;
use serde_json::{Value, json};

use crate::support::{APPROVED, Engine, Reply, Sql, TestApp, card, program, set, with_quiet_runs};

crate::on_both!(what_is_done_to_keys_is_told, who_closed_a_discrepancy_is_told, records_of_acts_are_sealed);

fn keys(app: &TestApp, arguments: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), &[&["keys"], arguments].concat());
    set(&mut command, "database.url", &app.database.url);
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// The id of a key that the command made.
fn made(app: &TestApp, arguments: &[&str]) -> String {
    let (worked, text) = keys(app, &[arguments, &["--format", "json"]].concat());
    assert!(worked, "{arguments:?}");
    serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned()
}

/// `type subject actor` of each event about something other than a payment.
fn acts(events: &Reply) -> Vec<String> {
    let events = events.json["data"].as_array().unwrap().iter().filter(|event| event.get("subject_id").is_some());
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    events.map(|event| ["type", "subject_id", "actor"].map(|field| text(event, field)).join(" ")).collect()
}

async fn events_as(app: &TestApp, key: &str) -> Reply {
    // Until all that is recorded shows.
    app.all_events().await;
    app.call_as("GET", "/v1/events?limit=100", Some(&format!("Bearer {key}"))).await.expect(200)
}

async fn verified(app: &TestApp) -> String {
    let what = VerifyHistory { published: Vec::new(), sealed_before: app.clock.now().plus_seconds(-3600) };
    let verdict = app.running.store.read(move |tx| verify_history(tx, &what)).await.unwrap();
    verdict.err().map(|broken| broken.to_string()).unwrap_or_default()
}

async fn what_is_done_to_keys_is_told(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.create(card("KM-1", APPROVED)).await.expect(201);
    let operator = app.new_key(&[Scope::PaymentsRead, Scope::OpsWrite]).await;
    let site = app.new_key(&[Scope::PaymentsRead]).await;
    let first = made(&app, &["create", "--name", "A. Akhmetova", "--scopes", "payments:read"]);
    let second = made(&app, &["rotate", &first]);
    assert!(keys(&app, &["revoke", &first]).0);
    // What was refused is no act.
    assert!(!keys(&app, &["revoke", &first]).0 && !keys(&app, &["rotate", &first]).0);
    let told = events_as(&app, &operator).await;
    assert_eq!(
        acts(&told),
        [
            format!("api_key.created {first} cli"),
            format!("api_key.rotated {first} cli"),
            format!("api_key.created {second} cli"),
            format!("api_key.revoked {first} cli"),
        ]
    );
    assert!(!told.json.to_string().contains("Akhmetova"), "{}", told.json);
    // The site is told of payments, page by page, and of nothing else.
    let site = events_as(&app, &site).await;
    let types: Vec<&str> =
        site.json["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["payment.paid"]);
    app.finish().await;
}

/// The closing of a payment's discrepancy stands in the payment's history: `lost_refunds::close`.
async fn who_closed_a_discrepancy_is_told(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    app.let_others_answer().await;
    app.pay(json!({ "amount": "700.00", "currency": "KZT", "invoice_id": "SHOP-1", "card": APPROVED })).await;
    app.reconcile().await;
    let row = app.discrepancies().await[0].clone();
    assert!(row["payment_id"].is_null(), "{row}");
    let (path, reason) =
        (format!("/v1/discrepancies/{}", row["id"].as_str().unwrap()), json!({ "reason": "A. Akhmetova" }));
    app.post(&format!("{path}/close"), json!({})).await.expect_problem(422, "invalid_request");
    assert_eq!(acts(&events_as(&app, &app.key).await), [""; 0]);
    for _ in 0..2 {
        app.post_as(&format!("{path}/close"), "close-1", reason.clone()).await.expect(200);
    }
    app.post(&format!("{path}/close"), reason).await.expect_problem(409, "invalid_state");
    let told = events_as(&app, &app.key).await;
    let by = app.get(&path).await.text("/closing/by").to_owned();
    assert_eq!(acts(&told), [format!("discrepancy.closed {} {by}", row["id"].as_str().unwrap())]);
    assert!(!told.json.to_string().contains("Akhmetova"), "{}", told.json);
    app.running.app.seal_step().await.unwrap();
    assert_eq!(verified(&app).await, "");
    app.stop().await;
}

async fn records_of_acts_are_sealed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let key = made(&app, &["create", "--name", "site", "--scopes", "payments:read"]);
    app.running.app.seal_step().await.unwrap();
    assert_eq!(verified(&app).await, "");
    let mut sql = Sql::open(&app.database.url);
    let refused = sql.run("UPDATE events SET actor = 'key_x'").unwrap_err();
    assert!(refused.contains("append-only"), "{refused}");
    sql.take_the_guards_away();
    let event = sql.text("SELECT id AS value FROM events WHERE kind = 'api_key.created'");
    for (column, kept) in [("subject_id", key.as_str()), ("actor", "cli"), ("kind", "api_key.created")] {
        for other in ["'key_x'", "''", "NULL"] {
            if (column, other) == ("kind", "NULL") {
                continue;
            }
            sql.run(&format!("UPDATE events SET {column} = {other}")).unwrap();
            let found = verified(&app).await;
            assert!(found.contains("events") && found.contains(&event), "{column} {other}: {found}");
            sql.run(&format!("UPDATE events SET {column} = '{kept}'")).unwrap();
            assert_eq!(verified(&app).await, "");
        }
    }
    sql.run("DELETE FROM events").unwrap();
    assert!(verified(&app).await.contains("not there any more"));
    app.stop().await;
}

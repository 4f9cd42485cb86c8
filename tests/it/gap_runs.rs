//! The runs that read back what the provider did before a start: what becomes of them at another start, and without a database.

use kmic_payments::clock::Clock as _;
use serde_json::{Value, json};

use crate::support::{APPROVED, Engine, LIST, Sql, TestApp, card, page};

crate::on_both!(
    a_copy_with_a_second_look_of_its_own_gets_another_one,
    a_service_that_starts_again_and_again_keeps_few_second_looks,
    a_page_that_the_database_did_not_take_is_read_again_at_once,
);

async fn started(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |raw| raw.with("reconciliation.daily", "false")).await
}

async fn gap(app: &TestApp) -> String {
    app.get("/health/ready").await.expect(200).text("/register_gap").to_owned()
}

async fn paid(app: &TestApp, invoice: &str) {
    assert_eq!(app.create(card(invoice, APPROVED)).await.expect(201).text("/status"), "paid");
    app.sandbox.flush_notifications().await;
}

/// Those that are still to be made, newest first.
async fn second_looks(app: &TestApp) -> Vec<Value> {
    let runs = app.get("/v1/reconciliations?limit=100").await.expect(200);
    let mut runs = runs.json["data"].as_array().unwrap().clone();
    runs.retain(|run| run["purpose"] == "recheck" && run["state"] == "running");
    runs
}

/// The one in the copy is overdue, and ends before what is lost was made.
async fn a_copy_with_a_second_look_of_its_own_gets_another_one(engine: Engine) {
    let app = started(engine).await;
    paid(&app, "KM-1").await;
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    let mut copy = None;
    let app = app.restart(|database| copy = Some(database.copy())).await;
    app.step_runs().await;
    app.advance(700);
    paid(&app, "KM-3").await;
    app.advance(10);
    let app = app.restart(|database| database.restore(copy.as_ref().unwrap())).await;
    // The register does not show it yet.
    app.break_answer(LIST, page(json!([])));
    app.step_runs().await;
    assert_eq!((gap(&app).await.as_str(), second_looks(&app).await.len()), ("read", 1));
    app.advance(700);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    app.stop().await;
}

async fn a_service_that_starts_again_and_again_keeps_few_second_looks(engine: Engine) {
    let mut app = started(engine).await;
    paid(&app, "KM-1").await;
    let mut last = String::new();
    for _ in 0..6 {
        app.advance(100);
        last = app.clock.now().plus_seconds(600).to_string();
        app = app.restart(|_| {}).await;
        app.step_runs().await;
    }
    let waiting = second_looks(&app).await;
    assert_eq!(waiting.len(), 3);
    assert!(waiting.iter().any(|run| run["to"].as_str().unwrap() >= last.as_str()), "{last}: {waiting:?}");
    // The first one was not put off.
    app.advance(180);
    app.step_runs().await;
    assert_eq!(second_looks(&app).await.len(), 2);
    app.advance(500);
    app.step_runs().await;
    assert_eq!(second_looks(&app).await.len(), 0);
    app.finish().await;
}

async fn a_page_that_the_database_did_not_take_is_read_again_at_once(engine: Engine) {
    let app = started(engine).await;
    paid(&app, "KM-1").await;
    let app = app.restart(|_| {}).await;
    let mut sql = Sql::open(&app.database.url);
    let away: &[&str] = match engine {
        Engine::Sqlite => &["CREATE TRIGGER away BEFORE UPDATE ON reconciliations WHEN NEW.phase <> OLD.phase \
             BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"],
        Engine::Postgres => &[
            "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''disk I/O error''; END'",
            "CREATE TRIGGER away BEFORE UPDATE ON reconciliations FOR EACH ROW WHEN (NEW.phase <> OLD.phase) \
             EXECUTE FUNCTION away()",
        ],
    };
    for statement in away {
        sql.run(statement).unwrap();
    }
    app.running.app.reconcile_step().await.unwrap_err();
    assert_eq!(gap(&app).await, "being_read");
    sql.drop_trigger("away");
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    paid(&app, "KM-2").await;
    app.finish().await;
}

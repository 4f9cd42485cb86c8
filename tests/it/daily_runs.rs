//! The daily comparison with the provider's register: every day once, whatever becomes of the provider and of us.

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationKind};
use serde_json::json;

use crate::support::{APPROVED, Engine, LIST, Sql, TestApp, card, paid_in_silence, transaction_id, with};

crate::on_both!(
    every_day_is_compared_once,
    a_day_outlives_a_provider_that_is_dead_for_longer,
    a_hold_that_ran_out_is_noticed_by_the_next_day,
);

async fn every_day_is_compared_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = paid_in_silence(&app, "KM-1").await;
    // Two days later, an hour after midnight at the earliest.
    app.advance(2 * 86_400 + 3600);
    app.step_runs().await;
    assert_eq!(app.payment(paid.id()).await.text("/status"), "paid");
    let runs = app.get("/v1/reconciliations?limit=100").await.expect(200);
    let mut days: Vec<String> = Vec::new();
    for run in runs.json["data"].as_array().unwrap() {
        assert_eq!((run["purpose"].as_str(), run["state"].as_str()), (Some("daily"), Some("completed")), "{run}");
        days.push(run["from"].as_str().unwrap().to_owned());
    }
    days.sort();
    days.dedup();
    assert_eq!(days.len(), 3, "three days, each once: {days:?}");
    assert!(days.iter().all(|from| from.ends_with("T00:00:00Z")), "{days:?}");
    assert_eq!(app.running.app.reconcile_step().await.unwrap(), 0);
    app.advance(86_400);
    assert!(app.step_runs().await > 0);
    let runs = app.get("/v1/reconciliations?limit=100").await.expect(200);
    assert_eq!(runs.json["data"].as_array().unwrap().len(), 4);
    // A process that starts anew knows which days are done.
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    let sql = "SELECT count(*) AS value FROM reconciliations WHERE purpose = 'daily'";
    assert_eq!(Sql::open(&app.database.url).number(sql), 4);
    app.finish().await;
}

/// A hold is released after days: the register shows that under the day it was held.
async fn a_hold_that_ran_out_is_noticed_by_the_next_day(engine: Engine) {
    let app = TestApp::start(engine).await;
    let held = app.create(with(card("KM-1", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.advance(8 * 86_400);
    app.lose(NotificationKind::Cancel);
    let body = json!({ "transaction_id": transaction_id(&held) });
    app.at_sandbox("/sandbox/cabinet/auto_void", body).await.expect(200);
    app.sandbox.flush_notifications().await;
    assert_eq!(app.payment(held.id()).await.text("/status"), "authorized");
    app.step_runs().await;
    let seen = app.payment(held.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/attention")), ("cancelled", ""));
    assert_eq!(app.history(held.id()).await.pop().unwrap(), "authorized>cancelled by reconciliation");
    assert_eq!(app.disagreements().await, ["status_mismatch booked"]);
    app.finish().await;
}

/// Two days without an answer: longer than anybody would go on by hand.
async fn a_day_outlives_a_provider_that_is_dead_for_longer(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("cloudpayments.breaker_failures", "1000000")).await;
    let paid = paid_in_silence(&app, "KM-1").await;
    app.sandbox.fault(Fault::api(LIST, ApiFaultKind::StatusBefore { status: 503 }).times(100_000));
    app.advance(86_400 + 3600);
    for _ in 0..300 {
        app.step_runs().await;
        app.advance(600);
    }
    app.sandbox.clear_faults();
    assert_eq!(app.payment(paid.id()).await.text("/status"), "awaiting_payer");
    app.advance(600);
    app.step_runs().await;
    assert_eq!(app.payment(paid.id()).await.text("/status"), "paid");
    let runs = app.get("/v1/reconciliations?limit=100").await.expect(200);
    assert!(runs.json["data"].as_array().unwrap().iter().all(|run| run["state"] == "completed"), "{}", runs.json);
    app.stop().await;
}

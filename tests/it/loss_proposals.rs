//! A proposal to close a loss counts as long as its key works and the time of an approval is not over.

use serde_json::{Value, json};

use crate::forged_rows::put_in_a_loss;
use crate::support::{Engine, Operator, Reply, Sql, TestApp, program, set, with_quiet_runs};

crate::on_both!(
    a_proposal_ends_with_its_key,
    a_proposal_stays_with_the_successor_of_its_key,
    a_proposal_ends_in_time,
    words_of_an_open_proposal_end,
);

/// With a loss of no payment, and two operators.
async fn with_a_loss(engine: Engine) -> (TestApp, String, [Operator; 2]) {
    let app = with_quiet_runs(engine).await;
    app.reconcile().await;
    let id = put_in_a_loss(&mut Sql::open(&app.database.url));
    let operators = [Operator::told(&app).await, Operator::told(&app).await];
    (app, format!("/v1/discrepancies/{id}"), operators)
}

fn keys(app: &TestApp, arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), &[&["keys"], arguments].concat());
    set(&mut command, "database.url", &app.database.url);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn close(app: &TestApp, path: &str, by: &Operator, reason: &str) -> Reply {
    let key = app.new_idempotency_key();
    by.post(app, &format!("{path}/close"), &key, json!({ "reason": reason })).await
}

/// `type actor` of what was done to discrepancies.
async fn acts(app: &TestApp) -> Vec<String> {
    let events = app.all_events().await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told =
        events.json["data"].as_array().unwrap().iter().map(|event| (text(&event["type"]), text(&event["actor"])));
    told.filter(|(kind, _)| kind.starts_with("discrepancy.")).map(|(kind, actor)| format!("{kind} {actor}")).collect()
}

async fn a_proposal_ends_with_its_key(engine: Engine) {
    let (app, path, [one, other]) = with_a_loss(engine).await;
    close(&app, &path, &one, "by one who left").await.expect(202);
    keys(&app, &["revoke", &one.id]);
    let proposed = close(&app, &path, &other, "by one who stayed").await.expect(202);
    assert_eq!((proposed.text("/proposed/by"), proposed.text("/proposed/reason")), (&*other.id, "by one who stayed"));
    close(&app, &path, &other, "once more").await.expect_problem(409, "second_operator_required");
    let third = Operator::told(&app).await;
    let closed = close(&app, &path, &third, "seen").await.expect(200);
    assert_eq!(closed.text("/closing/reason"), "by one who stayed\nseen");
    assert_eq!(
        acts(&app).await,
        [
            format!("discrepancy.closing_proposed {}", one.id),
            format!("discrepancy.closing_proposed {}", other.id),
            format!("discrepancy.closed {}", third.id),
        ]
    );
    app.stop().await;
}

async fn a_proposal_stays_with_the_successor_of_its_key(engine: Engine) {
    let (app, path, [one, other]) = with_a_loss(engine).await;
    close(&app, &path, &one, "first").await.expect(202);
    keys(&app, &["rotate", &one.id, "--overlap", "1h"]);
    app.advance(7_200);
    assert_eq!(close(&app, &path, &other, "seen").await.expect(200).text("/closing/reason"), "first\nseen");
    app.stop().await;
}

async fn a_proposal_ends_in_time(engine: Engine) {
    let (app, path, [one, other]) = with_a_loss(engine).await;
    close(&app, &path, &one, "first").await.expect(202);
    app.advance(86_400);
    // Who proposed it may propose it again.
    let proposed = close(&app, &path, &one, "second").await.expect(202);
    assert_eq!(proposed.text("/proposed/reason"), "second");
    app.advance(86_399);
    assert_eq!(close(&app, &path, &other, "seen").await.expect(200).text("/closing/reason"), "second\nseen");
    app.stop().await;
}

/// They may tell of a person, and the loss is of no payment whose payer could be erased.
async fn words_of_an_open_proposal_end(engine: Engine) {
    let (app, path, [one, _]) = with_a_loss(engine).await;
    close(&app, &path, &one, "A. Akhmetova called").await.expect(202);
    // `retention.unmatched_bodies_days` is five years.
    app.advance(1_824 * 86_400);
    app.running.app.retention_step().await.unwrap();
    assert_eq!(app.get(&path).await.expect(200).text("/proposed/reason"), "A. Akhmetova called");
    app.advance(2 * 86_400);
    app.running.app.retention_step().await.unwrap();
    let row = app.get(&path).await.expect(200);
    assert_eq!(row.text("/proposed/by"), one.id);
    assert!(row.json["proposed"].get("reason").is_none_or(Value::is_null), "{}", row.json);
    app.stop().await;
}

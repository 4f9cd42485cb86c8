//! A database that is an older copy and lost nothing but refunds, at a provider that does not repeat our name for them.

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationFaultKind, NotificationKind, Sandbox, SandboxConfig};
use serde_json::{Value, json};

use crate::support::{
    APPROVED, Body, Engine, Operator, Reply, TestApp, TestDatabase, card, expect_sums, money, transaction_id,
};

crate::on_both!(
    a_refund_that_a_copy_lost_is_not_made_twice,
    a_refund_that_the_second_look_finds_is_not_made_twice,
    a_refund_that_another_run_meets_first_is_not_made_twice,
    a_lost_refund_that_is_told_of_first_is_not_made_twice,
    a_named_refund_that_is_told_of_first_is_lost,
    a_refund_in_the_cabinet_while_we_were_down_waits_for_a_person,
    a_refund_that_was_told_of_blocks_nothing,
    a_refund_of_ours_blocks_only_until_it_is_known,
);

const LIST: &str = "/v2/payments/list";
const REFUND: &str = "/payments/refund";
/// After so many seconds the second look of a start is due.
const SECOND_LOOK_S: u32 = 700;

async fn started(engine: Engine) -> TestApp {
    started_against(engine, false).await
}

async fn started_against(engine: Engine, refunds_keep_data: bool) -> TestApp {
    let config = SandboxConfig { refunds_keep_data, ..TestApp::sandbox_config() };
    TestApp::start_against(engine, config, |raw| raw.with("reconciliation.daily", "false")).await
}

async fn paid(app: &TestApp, invoice: &str) -> Reply {
    let payment = app.create(card(invoice, APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    payment
}

async fn gap(app: &TestApp) -> String {
    app.get("/health/ready").await.expect(200).text("/register_gap").to_owned()
}

fn part() -> Body {
    json!({ "amount": money("2500.00") })
}

/// The site's request of a refund, always under the same key.
async fn ask(app: &TestApp, payment: &Reply) -> Reply {
    app.post_as(&format!("/v1/payments/{}/refunds", payment.id()), "key-of-the-refund", part()).await
}

/// A copy of the database is put back that was made before a refund. Neither is looked at yet.
async fn with_copy_from_before_a_refund(engine: Engine) -> (TestApp, Reply, Reply) {
    back_from_before_a_refund(started(engine).await).await
}

async fn back_from_before_a_refund(app: TestApp) -> (TestApp, Reply, Reply) {
    let (refunded, other) = (paid(&app, "KM-1").await, paid(&app, "KM-2").await);
    let mut copy = None;
    let app = app.restart(|database| copy = Some(database.copy())).await;
    app.step_runs().await;
    app.advance(60);
    ask(&app, &refunded).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.advance(60);
    let app = app.restart(|database| database.restore(copy.as_ref().unwrap())).await;
    (app, refunded, other)
}

/// The same, and the notification of the refund comes after the start, before the register is read.
async fn told_after_the_copy(engine: Engine, refunds_keep_data: bool) -> (TestApp, Reply) {
    let app = started_against(engine, refunds_keep_data).await;
    app.break_notification(NotificationKind::Refund, NotificationFaultKind::Delay { ms: 100_000 });
    let (app, refunded, _) = back_from_before_a_refund(app).await;
    expect_sums(&app.payment(refunded.id()).await, "12500.00", "0.00", "12500.00");
    app.advance(60);
    app.sandbox.flush_notifications().await;
    expect_sums(&app.payment(refunded.id()).await, "12500.00", "2500.00", "10000.00");
    (app, refunded)
}

/// A page of the register instead of the true one.
fn page(items: Value) -> ApiFaultKind {
    let body = json!({ "Model": items, "Success": true, "Message": null }).to_string();
    ApiFaultKind::StatusAfter { status: 200, body: Some(body) }
}

/// The row that holds up refunds of the payment.
#[track_caller]
fn blocking(rows: &[Value], payment: &Reply) -> Value {
    let row = rows.iter().find(|row| row["payment_id"] == payment.id()).unwrap_or_else(|| panic!("{rows:?}"));
    assert_eq!(
        (&row["kind"], &row["lost"], &row["closed_at"]),
        (&json!("refund_in_cabinet"), &json!(false), &json!(null))
    );
    row.clone()
}

/// Refunds of this payment are refused, and who asks reads what to do.
async fn expect_refused(app: &TestApp, payment: &Reply) {
    let row = blocking(&app.discrepancies().await, payment);
    for refused in [ask(app, payment).await, app.refund(payment.id(), "1.00").await] {
        refused.expect_problem(409, "refunded_before_restore");
        for told in [&row["transaction_id"].to_string(), row["id"].as_str().unwrap()] {
            assert!(refused.text("/detail").contains(told), "{}", refused.json);
        }
    }
}

async fn close(app: &TestApp, payment: &Reply) {
    let row = blocking(&app.discrepancies().await, payment);
    let path = format!("/v1/discrepancies/{}/close", row["id"].as_str().unwrap());
    let before = app.history(payment.id()).await.len();
    let reason = json!({ "reason": "Looked at in the cabinet" });
    let takes_two = row["lost"] == true;
    for _ in 0..2 {
        app.post_as(&path, &path, reason.clone()).await.expect(if takes_two { 202 } else { 200 });
    }
    if takes_two {
        let history = app.history(payment.id()).await;
        assert!(history.len() == before + 1 && blocking(&app.discrepancies().await, payment) != row);
        Operator::with_all(app).await.post(app, &path, &path, reason).await.expect(200);
    }
    // Who did it stands in the payment's history, once and without the reason.
    let history = app.get(&format!("/v1/payments/{}/transitions?limit=100", payment.id())).await.expect(200);
    let rows = history.json["data"].as_array().unwrap();
    let last = rows.last().unwrap();
    assert_eq!(rows.len(), before + 1 + usize::from(takes_two), "{rows:?}");
    assert_eq!((&last["cause"]["type"], &last["from"]), (&json!("operator"), &last["to"]), "{last}");
    assert_eq!(last["detail"]["closed_discrepancy"], row["id"], "{last}");
    assert!(last["actor"].as_str().unwrap().starts_with("key_") && !last.to_string().contains("cabinet"), "{last}");
}

async fn a_refund_that_a_copy_lost_is_not_made_twice(engine: Engine) {
    let (app, refunded, other) = with_copy_from_before_a_refund(engine).await;
    app.step_runs().await;
    // It may as well have been made in the cabinet: money moves, only not back from this payment.
    assert_eq!(gap(&app).await, "read");
    let runs = app.get("/v1/reconciliations").await.expect(200);
    assert_eq!(runs.json["data"][1]["purpose"], "gap", "{}", runs.json);
    assert_eq!(runs.json["data"][1]["discrepancies"], json!({ "refund_in_cabinet": 1 }), "{}", runs.json);
    expect_refused(&app, &refunded).await;
    expect_sums(&app.payment(refunded.id()).await, "12500.00", "2500.00", "10000.00");
    app.refund(other.id(), "1.00").await.expect(201);
    paid(&app, "KM-3").await;

    // No later look closes it, and no stop forgets it.
    app.advance(SECOND_LOOK_S);
    app.step_runs().await;
    app.reconcile().await;
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    expect_refused(&app, &refunded).await;
    let given_back = |app: &TestApp| {
        let ledger = app.sandbox.ledger().transactions;
        let of_it = ledger.iter().filter(|entry| entry.payment_transaction_id == Some(transaction_id(&refunded)));
        of_it.map(|entry| entry.amount_minor).collect::<Vec<_>>()
    };
    assert_eq!(given_back(&app), [250_000]);

    close(&app, &refunded).await;
    expect_sums(&app.payment(refunded.id()).await, "12500.00", "2500.00", "10000.00");
    app.refund(refunded.id(), "10000.00").await.expect(201);
    assert_eq!(given_back(&app), [250_000, 1_000_000]);
    app.reconcile().await;
    assert_eq!(app.disagreements().await, ["refund_in_cabinet operator"]);
    app.finish().await;
}

async fn a_refund_that_the_second_look_finds_is_not_made_twice(engine: Engine) {
    let (app, refunded, _) = with_copy_from_before_a_refund(engine).await;
    // The register does not show the last minutes yet.
    app.break_answer(LIST, page(json!([])));
    app.step_runs().await;
    assert_eq!((gap(&app).await.as_str(), app.discrepancies().await.len()), ("read", 0));
    app.advance(SECOND_LOOK_S);
    app.step_runs().await;
    expect_refused(&app, &refunded).await;
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

/// A run that an operator asks for reads the register while the gap waits for its next try.
async fn a_refund_that_another_run_meets_first_is_not_made_twice(engine: Engine) {
    let (app, refunded, _) = with_copy_from_before_a_refund(engine).await;
    // It does not look at the last ten minutes.
    for _ in 0..20 {
        app.break_answer(LIST, page(json!([7])));
        app.advance(40);
        assert_eq!(app.running.app.reconcile_step().await.unwrap(), 1);
    }
    let run = app.ask_for_run().await;
    assert_eq!(app.running.app.reconcile_step().await.unwrap(), 1);
    let read = app.get(&format!("/v1/reconciliations/{}", run.id())).await.expect(200);
    assert_eq!((read.json["compared"].as_i64(), gap(&app).await.as_str()), (Some(3), "being_read"), "{}", read.json);
    app.advance(40);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    expect_refused(&app, &refunded).await;
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

async fn a_lost_refund_that_is_told_of_first_is_not_made_twice(engine: Engine) {
    let (app, refunded) = told_after_the_copy(engine, false).await;
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    expect_refused(&app, &refunded).await;
    // No later look closes it, and none opens it again.
    app.advance(SECOND_LOOK_S);
    app.step_runs().await;
    app.reconcile().await;
    expect_refused(&app, &refunded).await;
    assert_eq!((app.refunds(), app.discrepancies().await.len()), (1, 1));
    close(&app, &refunded).await;
    app.refund(refunded.id(), "1.00").await.expect(201);
    app.reconcile().await;
    assert_eq!(app.disagreements().await, ["refund_in_cabinet operator"]);
    app.finish().await;
}

/// The register names it: what else was lost with it is not known, so no money moves until the gap is read to its end.
async fn a_named_refund_that_is_told_of_first_is_lost(engine: Engine) {
    let (app, refunded) = told_after_the_copy(engine, true).await;
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    ask(&app, &refunded).await.expect_problem(503, "register_gap_unread");
    app.advance(SECOND_LOOK_S);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    let rows = app.discrepancies().await;
    let told = |row: &Value| (row["kind"].clone(), row["lost"].clone(), row["payment_id"].clone());
    assert_eq!(
        rows.iter().map(told).collect::<Vec<_>>(),
        [(json!("missing_here"), json!(true), json!(refunded.id()))],
        "{rows:?}"
    );
    ask(&app, &refunded).await.expect_problem(409, "refunded_before_restore");
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

/// What it costs: nobody can tell it from a refund whose request was lost.
async fn a_refund_in_the_cabinet_while_we_were_down_waits_for_a_person(engine: Engine) {
    let app = started(engine).await;
    let (payment, other) = (paid(&app, "KM-1").await, paid(&app, "KM-2").await);
    let http = app.http.clone();
    let meanwhile = async |_: &TestDatabase, sandbox: &Sandbox| {
        sandbox.fault(Fault::notification(NotificationKind::Refund, NotificationFaultKind::Lose));
        let body = json!({ "transaction_id": transaction_id(&payment), "amount": 2500 }).to_string();
        let path = format!("{}/sandbox/cabinet/refund", sandbox.base_url());
        http.post(path).body(body).send().await.unwrap().error_for_status().unwrap();
    };
    let app = app.restart_after(meanwhile).await;
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    expect_refused(&app, &payment).await;
    app.refund(other.id(), "1.00").await.expect(201);
    close(&app, &payment).await;
    ask(&app, &payment).await.expect(201);
    expect_sums(&app.payment(payment.id()).await, "12500.00", "5000.00", "7500.00");
    app.finish().await;
}

async fn a_refund_that_was_told_of_blocks_nothing(engine: Engine) {
    let app = started(engine).await;
    let (told, found) = (paid(&app, "KM-1").await, paid(&app, "KM-2").await);
    app.refund_in_cabinet(transaction_id(&told), 2500).await;
    // One that only the comparison of the day finds is booked, and blocks nothing either.
    app.lose(NotificationKind::Refund);
    app.refund_in_cabinet(transaction_id(&found), 2500).await;
    app.reconcile().await;
    assert_eq!(app.disagreements().await, ["refund_in_cabinet booked"]);
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    for payment in [&told, &found] {
        app.refund(payment.id(), "1.00").await.expect(201);
        expect_sums(&app.payment(payment.id()).await, "12500.00", "2501.00", "9999.00");
    }
    assert_eq!(app.disagreements().await, ["refund_in_cabinet booked"]);
    app.finish().await;
}

/// The answer to a refund is lost with the process: the register shows it without its name, until it is asked about.
async fn a_refund_of_ours_blocks_only_until_it_is_known(engine: Engine) {
    let app = started(engine).await;
    let payment = paid(&app, "KM-1").await;
    app.lose(NotificationKind::Refund);
    app.break_answer(REFUND, ApiFaultKind::DropAfter);
    ask(&app, &payment).await.expect(202);
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    blocking(&app.discrepancies().await, &payment);
    app.refund(payment.id(), "1.00").await.expect(201);
    assert_eq!(ask(&app, &payment).await.expect(201).text("/status"), "succeeded");
    expect_sums(&app.payment(payment.id()).await, "12500.00", "2501.00", "9999.00");
    app.reconcile().await;
    assert_eq!(app.disagreements().await, ["refund_in_cabinet agrees"]);
    assert_eq!(app.refunds(), 2);
    app.finish().await;
}

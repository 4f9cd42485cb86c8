//! What becomes of a loss that an older copy of the database left behind, while its record at the provider changes.

use serde_json::{Value, json};

use crate::support::{APPROVED, Engine, Operator, Reply, Sql, TestApp, card, page, transaction_id, widget, with};

crate::on_both!(
    a_lost_hold_that_is_captured_meanwhile_stays_a_loss,
    a_record_that_no_longer_names_us_stays_a_loss,
    a_settled_hold_that_is_released_stops_nothing,
    a_settled_hold_that_is_captured_stops_its_bill_only,
    a_loss_that_another_run_finds_changed_stops_its_bill_only,
    a_nameless_payment_that_a_copy_lost_is_not_made_twice,
    a_nameless_payment_that_another_run_meets_first_is_not_made_twice,
    a_nameless_payment_that_came_long_after_a_start_stops_nothing,
    a_restart_does_not_open_the_bill_of_a_nameless_payment,
    a_window_that_a_copy_opens_again_does_not_take_what_is_lost_twice,
    a_loss_that_another_run_finds_while_the_gap_cannot_be_read_shuts_the_gate,
);

const LIST: &str = "/v2/payments/list";

/// A copy is put back that was made before money was held for KM-3. It is not looked at yet.
async fn without_a_hold(engine: Engine) -> (TestApp, Reply) {
    let (app, lost) = with_older_copy(engine, async |app| {
        let held = app.create(with(card("KM-3", APPROVED), "capture", "manual")).await.expect(201);
        app.sandbox.flush_notifications().await;
        held
    })
    .await;
    assert_eq!(lost.text("/status"), "authorized");
    app.let_others_answer().await;
    (app, lost)
}

async fn with_older_copy(engine: Engine, meanwhile: impl AsyncFnOnce(&TestApp) -> Reply) -> (TestApp, Reply) {
    let app = TestApp::start_with(engine, |raw| raw.with("reconciliation.daily", "false")).await;
    paid(&app, "KM-1").await;
    copied_back(app, meanwhile).await
}

/// A copy is put back that was made before what was done `meanwhile`.
async fn copied_back(app: TestApp, meanwhile: impl AsyncFnOnce(&TestApp) -> Reply) -> (TestApp, Reply) {
    let mut copy = None;
    let app = app.restart(|database| copy = Some(database.copy())).await;
    app.step_runs().await;
    app.advance(60);
    let made = meanwhile(&app).await;
    app.advance(60);
    (app.restart(|database| database.restore(copy.as_ref().unwrap())).await, made)
}

async fn paid(app: &TestApp, invoice: &str) {
    assert_eq!(app.create(card(invoice, APPROVED)).await.expect(201).text("/status"), "paid");
    app.sandbox.flush_notifications().await;
}

async fn gap(app: &TestApp) -> String {
    app.get("/health/ready").await.expect(200).text("/register_gap").to_owned()
}

/// The gap is read once more, and to its end.
async fn read_to_the_end(app: &TestApp) {
    app.advance(600);
    app.step_runs().await;
    assert_eq!(gap(app).await, "read");
}

/// `status lost how` of every discrepancy, oldest first.
async fn told(app: &TestApp) -> Vec<String> {
    let rows = app.discrepancies().await;
    let how = |row: &Value| row["closing"]["resolution"].as_str().unwrap_or("open").to_owned();
    let status = |row: &Value| row["theirs"]["status"].as_str().unwrap_or("unreadable").to_owned();
    let lost = |row: &Value| if row["lost"] == true { "lost" } else { "not lost" };
    rows.iter().rev().map(|row| format!("{} {} {}", status(row), lost(row), how(row))).collect()
}

/// The newest discrepancy.
async fn newest(app: &TestApp) -> Value {
    app.discrepancies().await.first().unwrap().clone()
}

/// A key asks to close the newest discrepancy.
async fn close(app: &TestApp, operator: &Operator) -> Reply {
    let path = format!("/v1/discrepancies/{}/close", newest(app).await["id"].as_str().unwrap());
    operator.post(app, &path, &path, json!({ "reason": format!("Seen by {}", operator.id) })).await
}

async fn two_close(app: &TestApp) {
    close(app, &Operator::of(app.key.clone())).await.expect(202);
    close(app, &Operator::with_all(app).await).await.expect(200);
}

async fn expect_bill_shut(app: &TestApp, invoice: &str) {
    let charges = app.charges();
    app.create(card(invoice, APPROVED)).await.expect_problem(409, "paid_before_restore");
    app.create(widget(invoice)).await.expect_problem(409, "paid_before_restore");
    assert_eq!(app.charges(), charges);
}

async fn a_lost_hold_that_is_captured_meanwhile_stays_a_loss(engine: Engine) {
    let (app, lost) = without_a_hold(engine).await;
    app.step_runs().await;
    assert_eq!((gap(&app).await.as_str(), told(&app).await), ("behind", vec!["authorized lost open".to_owned()]));
    let (one, other) = (Operator::of(app.key.clone()), Operator::with_all(&app).await);
    close(&app, &one).await.expect(202);
    let body = json!({ "TransactionId": transaction_id(&lost), "Amount": 12500 });
    app.at_provider("/payments/confirm", body).await;
    read_to_the_end(&app).await;

    assert_eq!(told(&app).await, ["authorized lost superseded", "completed lost open"]);
    let rows = app.discrepancies().await;
    assert_eq!((rows[0]["invoice_id"].as_str(), rows[0]["named_payment_id"].as_str()), (Some("KM-3"), Some(lost.id())));
    // What somebody said of the hold stays with it, and closes no capture.
    assert!(rows[0].get("proposed").is_none(), "{rows:?}");
    assert_eq!(rows[1]["closing"]["reason"], format!("Seen by {}", one.id));
    expect_bill_shut(&app, "KM-3").await;
    close(&app, &other).await.expect(202);
    expect_bill_shut(&app, "KM-3").await;
    close(&app, &one).await.expect(200);
    app.reconcile().await;
    assert_eq!(told(&app).await.len(), 2);
    app.answer_ourselves();
    paid(&app, "KM-3").await;
    app.stop().await;
}

async fn a_record_that_no_longer_names_us_stays_a_loss(engine: Engine) {
    let (app, lost) = without_a_hold(engine).await;
    let data = json!({ "payment_id": lost.id() }).to_string();
    let id = transaction_id(&lost);
    app.break_answer(
        LIST,
        page(json!([{ "TransactionId": id, "Type": 0, "Status": "Pending", "InvoiceId": "KM-3", "JsonData": data }])),
    );
    app.step_runs().await;
    assert_eq!(told(&app).await, ["unreadable lost open"]);
    app.break_answer(
        LIST,
        page(json!([{ "TransactionId": id, "Type": 0, "Status": "Completed", "Amount": 12_500, "Currency": "KZT" }])),
    );
    read_to_the_end(&app).await;
    assert_eq!(told(&app).await, ["unreadable lost superseded", "completed lost open"]);
    expect_bill_shut(&app, "KM-3").await;
    app.stop().await;
}

/// Two operators have settled it, and the payer pays anew.
async fn settled(engine: Engine) -> (TestApp, Reply) {
    let (app, lost) = without_a_hold(engine).await;
    app.step_runs().await;
    read_to_the_end(&app).await;
    expect_bill_shut(&app, "KM-3").await;
    two_close(&app).await;
    (app, lost)
}

/// What a later run finds, and that money moves all the same.
async fn expect_later(app: &TestApp, rows: &[&str]) {
    let run = app.reconcile().await;
    assert_eq!(
        (gap(app).await.as_str(), told(app).await),
        ("read", rows.iter().map(|row| (*row).to_owned()).collect())
    );
    let runs = app.get("/v1/reconciliations").await.expect(200);
    assert_eq!(runs.text("/data/0/id"), run.id(), "another run was begun: {}", runs.json);
    app.answer_ourselves();
    paid(app, "KM-4").await;
}

async fn a_settled_hold_that_is_released_stops_nothing(engine: Engine) {
    let (app, lost) = settled(engine).await;
    app.at_provider("/payments/void", json!({ "TransactionId": transaction_id(&lost) })).await;
    expect_later(&app, &["authorized lost operator"]).await;
    paid(&app, "KM-3").await;
    app.stop().await;
}

async fn a_settled_hold_that_is_captured_stops_its_bill_only(engine: Engine) {
    let (app, lost) = settled(engine).await;
    app.at_provider("/payments/confirm", json!({ "TransactionId": transaction_id(&lost), "Amount": 12500 })).await;
    expect_later(&app, &["authorized lost operator", "completed lost open"]).await;
    expect_bill_shut(&app, "KM-3").await;
    two_close(&app).await;
    paid(&app, "KM-3").await;
    app.stop().await;
}

async fn a_loss_that_another_run_finds_changed_stops_its_bill_only(engine: Engine) {
    let (app, lost) = without_a_hold(engine).await;
    app.step_runs().await;
    read_to_the_end(&app).await;
    app.at_provider("/payments/confirm", json!({ "TransactionId": transaction_id(&lost), "Amount": 12500 })).await;
    expect_later(&app, &["authorized lost superseded", "completed lost open"]).await;
    expect_bill_shut(&app, "KM-3").await;
    app.stop().await;
}

/// Money held for KM-3 in a window that was given no name of ours to send along.
async fn nameless(app: &TestApp) -> Reply {
    app.let_others_answer().await;
    let body =
        json!({ "amount": "12500.00", "currency": "KZT", "invoice_id": "KM-3", "card": APPROVED, "schema": "Dual" });
    let held = app.pay(body).await;
    app.answer_ourselves();
    held
}

async fn a_nameless_payment_that_a_copy_lost_is_not_made_twice(engine: Engine) {
    let (app, held) = with_older_copy(engine, nameless).await;
    app.step_runs().await;
    assert_eq!((gap(&app).await.as_str(), told(&app).await), ("read", vec!["authorized not lost open".to_owned()]));
    expect_bill_shut(&app, "KM-3").await;
    let refused = app.create(widget("KM-3")).await;
    let row = newest(&app).await;
    for part in [&row["transaction_id"].to_string(), row["id"].as_str().unwrap()] {
        assert!(refused.text("/detail").contains(part), "{}", refused.json);
    }
    // It stays so, whoever reads the register later and whatever becomes of it; others pay as ever.
    app.let_others_answer().await;
    let id = &held.json["transaction_id"];
    app.at_provider("/payments/confirm", json!({ "TransactionId": id, "Amount": 12500 })).await;
    let rows = ["authorized not lost superseded", "completed not lost open"];
    app.advance(700);
    app.step_runs().await;
    expect_later(&app, &rows).await;
    expect_bill_shut(&app, "KM-3").await;
    // It may be somebody else's: one operator can tell.
    close(&app, &Operator::of(app.key.clone())).await.expect(200);
    app.reconcile().await;
    assert_eq!(told(&app).await, ["authorized not lost superseded", "completed not lost operator"]);
    paid(&app, "KM-3").await;
    app.stop().await;
}

/// A run that somebody asked for reads its first page while the gap cannot be read.
async fn read_by_another_run(app: &TestApp) {
    // It does not look at the last ten minutes.
    for _ in 0..20 {
        app.break_answer(LIST, page(json!([7])));
        app.advance(40);
        assert_eq!(app.running.app.reconcile_step().await.unwrap(), 1);
    }
    app.ask_for_run().await;
    assert_eq!(app.running.app.reconcile_step().await.unwrap(), 1);
}

/// A nameless payment that a copy lost, met by a run that somebody asked for while the gap cannot be read.
async fn met_by_another_run(engine: Engine) -> TestApp {
    let (app, _) = with_older_copy(engine, nameless).await;
    read_by_another_run(&app).await;
    assert_eq!((gap(&app).await.as_str(), app.discrepancies().await.len()), ("being_read", 1));
    app
}

async fn a_nameless_payment_that_another_run_meets_first_is_not_made_twice(engine: Engine) {
    let app = met_by_another_run(engine).await;
    app.advance(40);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    expect_bill_shut(&app, "KM-3").await;
    app.stop().await;
}

/// The gap is read anew from the start of the second process on, and was found by the first one.
async fn a_restart_does_not_open_the_bill_of_a_nameless_payment(engine: Engine) {
    let app = met_by_another_run(engine).await.restart(|_| {}).await;
    app.advance(40);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    expect_bill_shut(&app, "KM-3").await;
    app.stop().await;
}

/// Then it is of somebody else at the same terminal.
async fn a_nameless_payment_that_came_long_after_a_start_stops_nothing(engine: Engine) {
    let (app, _) = with_older_copy(engine, async |app| app.create(widget("KM-2")).await.expect(201)).await;
    app.step_runs().await;
    app.advance(700);
    app.step_runs().await;
    nameless(&app).await;
    app.reconcile().await;
    assert_eq!(told(&app).await, ["authorized not lost open"]);
    paid(&app, "KM-3").await;
    app.stop().await;
}

/// The payer gave up in the window, it was cancelled, and the bill was paid by card: the copy knows of the window only.
async fn a_window_that_a_copy_opens_again_does_not_take_what_is_lost_twice(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("reconciliation.daily", "false")).await;
    let window = app.create(widget("KM-3")).await.expect(201);
    let (app, _) = copied_back(app, async |app| {
        app.post(&format!("/v1/payments/{}/cancel", window.id()), json!({})).await.expect(200);
        let paid = app.create(card("KM-3", APPROVED)).await.expect(201);
        app.sandbox.flush_notifications().await;
        paid
    })
    .await;
    app.step_runs().await;
    read_to_the_end(&app).await;
    assert_eq!(app.payment(window.id()).await.text("/status"), "awaiting_payer");
    assert_eq!(told(&app).await, ["completed lost open"]);
    assert_eq!(app.check("KM-3").await, r#"{"code":13}"#, "the bill is paid");
    two_close(&app).await;
    assert_eq!(app.check("KM-3").await, r#"{"code":0}"#);
    app.stop().await;
}

async fn a_loss_that_another_run_finds_while_the_gap_cannot_be_read_shuts_the_gate(engine: Engine) {
    let (app, _) = without_a_hold(engine).await;
    read_by_another_run(&app).await;
    assert_eq!((gap(&app).await.as_str(), told(&app).await), ("behind", vec!["authorized lost open".to_owned()]));
    // A process that ends right after it has found the loss tells the gap nothing.
    let forget = "UPDATE reconciliations SET lost = 0 WHERE purpose = 'gap'";
    let app = app
        .restart(|database| {
            Sql::open(&database.url).run(forget).unwrap();
        })
        .await;
    assert_eq!(gap(&app).await, "being_read");
    app.step_runs().await;
    assert_eq!((gap(&app).await.as_str(), told(&app).await.len()), ("behind", 1));
    app.create(card("KM-4", APPROVED)).await.expect_problem(503, "register_gap_unread");
    read_to_the_end(&app).await;
    expect_bill_shut(&app, "KM-3").await;
    // What was lost before a start is known by then.
    app.answer_ourselves();
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    paid(&app, "KM-4").await;
    app.stop().await;
}

//! A database that is an older copy: noticed by the provider's register, and nobody is charged twice for it.

use std::time::Duration;

use cloudpayments_sandbox::ApiFaultKind;
use kmic_payments::config::Raw;
use serde_json::{Value, json};

use crate::support::{
    APPROVED, Engine, Operator, Reply, Sql, TestApp, card, expect_sums, money, order, program, set, transaction_id,
    widget,
};

crate::on_both!(
    an_older_copy_is_noticed_and_nobody_is_charged_twice,
    a_record_in_an_unknown_state_can_be_a_loss,
    a_record_that_tells_nothing_keeps_the_gate_shut,
    a_request_that_passed_the_gate_is_stopped_before_its_write,
    what_was_in_flight_when_the_copy_was_put_back_is_noticed_later,
    a_copy_that_was_reading_its_own_gap_reads_it_anew,
    a_loss_of_a_provider_whose_clock_is_ahead_is_noticed,
    an_ordinary_start_refuses_nothing,
    a_check_does_not_wait_for_the_register,
    a_start_without_the_provider_refuses_money_only,
    a_start_without_the_provider_tells_the_operator_what_to_do,
    others_at_the_same_terminal_refuse_their_own_bill_only,
    the_check_can_be_switched_off,
    a_copy_put_back_under_a_running_service_is_noticed,
    a_new_database_asks_nobody,
);

const LIST: &str = "/v2/payments/list";

fn without_daily(raw: Raw) -> Raw {
    raw.with("reconciliation.daily", "false")
}

async fn started(engine: Engine) -> TestApp {
    TestApp::start_with(engine, without_daily).await
}

async fn paid(app: &TestApp, invoice: &str) -> Reply {
    let payment = app.create(card(invoice, APPROVED)).await.expect(201);
    assert_eq!(payment.text("/status"), "paid");
    app.sandbox.flush_notifications().await;
    payment
}

async fn gap(app: &TestApp) -> String {
    app.get("/health/ready").await.expect(200).text("/register_gap").to_owned()
}

#[track_caller]
fn expect_refused(reply: &Reply) {
    reply.expect_problem(503, "register_gap_unread");
    assert!(!reply.header("retry-after").is_empty());
}

/// Whatever moves money or makes something is refused; reading is not.
async fn expect_money_refused(app: &TestApp, paid: &Reply, open: &Reply) {
    expect_refused(&app.create(card("KM-9", APPROVED)).await);
    expect_refused(&app.create(widget("KM-9")).await);
    expect_refused(&app.refund(paid.id(), "1.00").await);
    for action in ["capture", "cancel"] {
        expect_refused(&app.act(open.id(), action, json!({})).await);
    }
    app.payment(paid.id()).await;
    // Nobody pays in the window: Check is answered with 13.
    let tried = app.pay(order(open, APPROVED)).await;
    assert_eq!((tried.text("/status"), tried.json["reason_code"].as_i64()), ("Declined", Some(3008)));
    assert!(app.verdicts().await.contains(&"check refused".to_owned()));
}

/// Puts `copy` in the place of the database, after what happened since.
async fn with_older_copy(engine: Engine) -> (TestApp, Reply, Reply, Reply) {
    let app = started(engine).await;
    let kept = paid(&app, "KM-1").await;
    let open = app.create(widget("KM-2")).await.expect(201);
    let mut copy = None;
    let app = app.restart(|database| copy = Some(database.copy())).await;
    app.step_runs().await;
    app.advance(60);
    // All this is in the register and not in the copy.
    let lost = app.post_as("/v1/payments", "key-of-the-site", card("KM-3", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.refund(kept.id(), "2500.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    app.advance(60);
    let app = app.restart(|database| database.restore(copy.as_ref().unwrap())).await;
    (app, kept, open, lost)
}

async fn an_older_copy_is_noticed_and_nobody_is_charged_twice(engine: Engine) {
    let (app, kept, open, lost) = with_older_copy(engine).await;
    let charges = app.charges();
    assert_eq!(gap(&app).await, "being_read");
    app.get(&format!("/v1/payments/{}", lost.id())).await.expect_problem(404, "not_found");
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    expect_money_refused(&app, &kept, &open).await;
    expect_refused(&app.post_as("/v1/payments", "key-of-the-site", card("KM-3", APPROVED)).await);
    // A stop does not forget it, whatever was written meanwhile.
    let app = app.restart(|_| {}).await;
    assert_eq!(gap(&app).await, "being_read");
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");

    // The provider can no longer be working on what was sent before: the gap is read to its end.
    app.advance(600);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    expect_sums(&app.payment(kept.id()).await, "12500.00", "2500.00", "10000.00");
    let rows = app.discrepancies().await;
    assert!(rows.iter().all(|row| row["lost"] == true && row["closed_at"].is_null()), "{rows:?}");
    let lost_row = rows.iter().find(|row| row["payment_id"].is_null()).unwrap();
    assert_eq!(
        (lost_row["kind"].as_str(), lost_row["named_payment_id"].as_str()),
        (Some("missing_here"), Some(lost.id()))
    );
    assert_eq!(lost_row["transaction_id"], transaction_id(&lost));

    // The key of the site's request was lost with its payment: a repeat must not charge a second time.
    let repeat = app.post_as("/v1/payments", "key-of-the-site", card("KM-3", APPROVED)).await;
    repeat.expect_problem(409, "paid_before_restore");
    assert!(repeat.text("/detail").contains(&transaction_id(&lost).to_string()), "{}", repeat.json);
    app.create(widget("KM-3")).await.expect_problem(409, "paid_before_restore");
    assert_eq!(app.charges(), charges, "nobody was charged again");
    // Other bills are paid as ever, and this one when a person has settled it.
    paid(&app, "KM-4").await;
    let close = format!("/v1/discrepancies/{}/close", lost_row["id"].as_str().unwrap());
    let successor = successor_of(&app);
    two_operators_close(&app, &close, &successor).await;
    paid(&app, "KM-3").await;
    // The request of the refund is lost with its key, too: a repeat must not give back a second time.
    let refused = app.refund(kept.id(), "2500.00").await;
    refused.expect_problem(409, "refunded_before_restore");
    assert_eq!(app.refunds(), 1);
    let of_refund = rows.iter().find(|row| row["lost"] == true && row["payment_id"] == kept.id()).unwrap();
    let close = format!("/v1/discrepancies/{}/close", of_refund["id"].as_str().unwrap());
    two_operators_close(&app, &close, &successor).await;
    app.refund(kept.id(), "2500.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    // What is settled closes nothing again.
    app.reconcile().await;
    assert_eq!(gap(&app).await, "read");
    app.stop().await;
}

async fn what_was_in_flight_when_the_copy_was_put_back_is_noticed_later(engine: Engine) {
    let (app, kept, ..) = with_older_copy(engine).await;
    // The register does not show the last minutes yet.
    let body = json!({ "Model": [], "Success": true, "Message": null }).to_string();
    app.break_answer(LIST, ApiFaultKind::StatusAfter { status: 200, body: Some(body) });
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    app.refund(kept.id(), "1.00").await.expect(201);
    app.advance(660);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    expect_refused(&app.refund(kept.id(), "1.00").await);
    app.advance(600);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    app.create(card("KM-3", APPROVED)).await.expect_problem(409, "paid_before_restore");
    expect_sums(&app.payment(kept.id()).await, "12500.00", "2501.00", "9999.00");
    let runs = app.get("/v1/reconciliations?limit=100").await.expect(200);
    let purposes: Vec<&str> =
        runs.json["data"].as_array().unwrap().iter().map(|run| run["purpose"].as_str().unwrap()).collect();
    assert_eq!(purposes[..3], ["gap", "recheck", "gap"]);
    app.stop().await;
}

/// How far the copy had read, and since when it waited, says nothing of what was in flight when it was put back.
async fn a_copy_that_was_reading_its_own_gap_reads_it_anew(engine: Engine) {
    let (app, kept, ..) = with_older_copy(engine).await;
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    let mut copy = None;
    let app = app.restart(|database| copy = Some(database.copy())).await;
    app.step_runs().await;
    app.advance(600);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    paid(&app, "KM-4").await;
    let app = app.restart(|database| database.restore(copy.as_ref().unwrap())).await;
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    expect_refused(&app.refund(kept.id(), "1.00").await);
    app.advance(600);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    app.create(card("KM-4", APPROVED)).await.expect_problem(409, "paid_before_restore");
    app.stop().await;
}

/// By its own clock it did what is lost after the start that looks for it.
async fn a_loss_of_a_provider_whose_clock_is_ahead_is_noticed(engine: Engine) {
    let app = started(engine).await;
    paid(&app, "KM-1").await;
    let mut copy = None;
    let app = app.restart(|database| copy = Some(database.copy())).await;
    app.step_runs().await;
    app.sandbox.advance_clock(40);
    let ask = async |app: &TestApp| app.post_as("/v1/payments", "key-of-the-site", card("KM-2", APPROVED)).await;
    ask(&app).await.expect(201);
    app.sandbox.flush_notifications().await;
    let app = app.restart(|database| database.restore(copy.as_ref().unwrap())).await;
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    expect_refused(&ask(&app).await);
    assert_eq!(app.charges(), 2);
    app.stop().await;
}

async fn an_ordinary_start_refuses_nothing(engine: Engine) {
    let app = started(engine).await;
    let payment = paid(&app, "KM-1").await;
    app.advance(3600);
    let app = app.restart(|_| {}).await;
    assert_eq!(gap(&app).await, "being_read");
    let calls = app.calls_to_provider().await;
    // A request that comes before the register is read waits for it.
    let waiting = tokio::spawn(Reply::receive(app.posting("/v1/payments", "early", &card("KM-2", APPROVED))));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    assert!(app.step_runs().await > 0);
    assert_eq!(waiting.await.unwrap().expect(201).text("/status"), "paid");
    assert_eq!(app.calls_to_provider().await - calls, 2, "one page of the register, one charge");
    app.sandbox.flush_notifications().await;
    app.refund(payment.id(), "2500.00").await.expect(201);
    // The second look, eleven minutes later, finds nothing either.
    app.advance(700);
    assert!(app.step_runs().await > 0);
    assert_eq!(gap(&app).await, "read");
    assert_eq!(app.discrepancies().await, Vec::<Value>::new());
    app.finish().await;
}

/// It is refused at once: what our books show as open may have been paid in what is lost.
async fn a_check_does_not_wait_for_the_register(engine: Engine) {
    let app = started(engine).await;
    app.create(widget("KM-1")).await.expect(201);
    let app = app.restart(|_| {}).await;
    let money = tokio::spawn(Reply::receive(app.posting("/v1/payments", "waits", &widget("KM-2"))));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(app.check("KM-1").await, r#"{"code":13}"#);
    assert!(!money.is_finished(), "the Check waited as long as money does");
    expect_refused(&money.await.unwrap());
    app.step_runs().await;
    assert_eq!(app.check("KM-1").await, r#"{"code":0}"#);
    app.finish().await;
}

async fn a_start_without_the_provider_refuses_money_only(engine: Engine) {
    let app = started(engine).await;
    let (payment, other) = (paid(&app, "KM-1").await, paid(&app, "KM-3").await);
    let open = app.create(widget("KM-2")).await.expect(201);
    let app = app.restart(|_| {}).await;
    for _ in 0..2 {
        app.break_answer(LIST, ApiFaultKind::StatusBefore { status: 503 });
        app.advance(5);
        assert_eq!(app.step_runs().await, 1);
        assert_eq!(gap(&app).await, "being_read");
    }
    expect_refused(&app.refund(payment.id(), "1.00").await);
    expect_refused(&app.act(open.id(), "cancel", json!({})).await);
    app.payment(payment.id()).await;
    // Notifications are taken: they are facts.
    app.refund_in_cabinet(transaction_id(&payment), 2500).await;
    expect_sums(&app.payment(payment.id()).await, "12500.00", "2500.00", "10000.00");
    app.advance(30);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    app.refund(other.id(), "1.00").await.expect(201);
    // Whether that one was asked for before the start, only a person can tell.
    app.refund(payment.id(), "1.00").await.expect_problem(409, "refunded_before_restore");
    app.finish().await;
}

/// Also when nothing was ever paid.
async fn a_start_without_the_provider_tells_the_operator_what_to_do(engine: Engine) {
    let app = started(engine).await;
    let mut app = app.restart(|_| {}).await;
    let ready = app.get("/health/ready").await.expect(200);
    assert!(
        ready.text("/register_gap_advice").contains("until the register of CloudPayments is read"),
        "{}",
        ready.json
    );
    let nobody = format!("http://127.0.0.1:{}", kmic_payments::startup::free_port().unwrap());
    for (setting, value, provider, advised, told) in [
        ("base_url", nobody.as_str(), "unreachable", "cloudpayments.base_url", "does not answer"),
        ("api_secret", "another secret", "credentials_refused", "cloudpayments.api_secret", "refuses its credentials"),
    ] {
        let wrong = |raw| {
            without_daily(raw)
                .with("cloudpayments.breaker_failures", "1")
                .with(&format!("cloudpayments.{setting}"), value)
        };
        app = app.restart_with(wrong).await;
        app.step_runs().await;
        let ready = app.get("/health/ready").await.expect(200);
        assert_eq!((ready.text("/provider"), ready.text("/register_gap")), (provider, "being_read"));
        assert!(ready.text("/register_gap_advice").contains(advised), "{}", ready.json);
        let refused = app.create(widget("KM-1")).await;
        expect_refused(&refused);
        assert!(refused.text("/detail").contains(told), "{}", refused.json);
    }
    let app = app.restart_with(without_daily).await;
    app.advance(31);
    app.step_runs().await;
    let ready = app.get("/health/ready").await.expect(200);
    assert_eq!((ready.text("/register_gap"), ready.json.get("register_gap_advice")), ("read", None));
    paid(&app, "KM-1").await;
    app.finish().await;
}

async fn others_at_the_same_terminal_refuse_their_own_bill_only(engine: Engine) {
    let app = started(engine).await;
    let payment = paid(&app, "KM-1").await;
    app.let_others_answer().await;
    for data in [json!({}), json!({ "payment_id": "order-7" }), json!({ "payment_id": "pay_7", "refund_id": 8 })] {
        let body =
            json!({ "amount": "700.00", "currency": "KZT", "invoice_id": "SHOP-1", "card": APPROVED, "data": data });
        app.pay(body).await;
    }
    app.answer_ourselves();
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    assert_eq!(app.disagreements().await, ["missing_here open"; 3]);
    app.refund(payment.id(), "1.00").await.expect(201);
    // Their bills are not ours; should one of ours have the same number, a person looks whose money that is.
    paid(&app, "KM-2").await;
    app.create(card("SHOP-1", APPROVED)).await.expect_problem(409, "paid_before_restore");
    for row in app.discrepancies().await {
        let close = format!("/v1/discrepancies/{}/close", row["id"].as_str().unwrap());
        app.post(&close, json!({ "reason": "Of the shop" })).await.expect(200);
    }
    paid(&app, "SHOP-1").await;
    app.stop().await;
}

async fn the_check_can_be_switched_off(engine: Engine) {
    let off = |raw| without_daily(raw).with("reconciliation.check_at_start", "false");
    let app = TestApp::start_with(engine, off).await;
    paid(&app, "KM-1").await;
    let calls = app.calls_to_provider().await;
    let app = app.restart(|_| {}).await;
    assert_eq!((gap(&app).await.as_str(), app.running.app.reconcile_step().await.unwrap()), ("read", 0));
    assert_eq!(app.calls_to_provider().await, calls);
    paid(&app, "KM-2").await;
    app.finish().await;
}

async fn a_copy_put_back_under_a_running_service_is_noticed(engine: Engine) {
    let app = started(engine).await;
    let kept = paid(&app, "KM-1").await;
    app.advance(3600);
    let lost = paid(&app, "KM-2").await;
    app.advance(3600);
    assert_eq!(app.step_runs().await, 0);
    forget(engine, &app, lost.id());
    // Something is written before anybody notices.
    app.create(widget("KM-3")).await.expect(201);
    assert_eq!(gap(&app).await, "read");
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    expect_refused(&app.refund(kept.id(), "1.00").await);
    app.advance(600);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    app.create(card("KM-2", APPROVED)).await.expect_problem(409, "paid_before_restore");
    app.stop().await;
}

/// A page of the register instead of the true one.
fn page(items: Value) -> ApiFaultKind {
    let body = json!({ "Model": items, "Success": true, "Message": null }).to_string();
    ApiFaultKind::StatusAfter { status: 200, body: Some(body) }
}

async fn a_record_in_an_unknown_state_can_be_a_loss(engine: Engine) {
    let app = started(engine).await;
    let kept = paid(&app, "KM-1").await;
    let data = |ids: Value| ids.to_string();
    let app = app.restart(|_| {}).await;
    app.break_answer(
        LIST,
        page(json!([
            { "TransactionId": 7_000_000_001_i64, "Type": 0, "Status": "Pending", "InvoiceId": "KM-3",
              "JsonData": data(json!({ "payment_id": "pay_01kaq0j5m8x2v9c4t7b1n6r3ed" })) },
            { "TransactionId": 7_000_000_002_i64, "Type": 1, "Status": "Pending", "InvoiceId": "KM-1",
              "JsonData": data(json!({ "payment_id": kept.id(), "refund_id": "ref_01kaq0j5m8x2v9c4t7b1n6r3ed" })) },
            { "TransactionId": 7_000_000_003_i64, "Type": 0, "Status": "Pending", "InvoiceId": "KM-1",
              "JsonData": data(json!({ "payment_id": kept.id() })) },
        ])),
    );
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    let rows = app.discrepancies().await;
    assert!(rows.iter().all(|row| row["lost"] == true && row.get("theirs").is_none()), "{rows:?}");
    assert_eq!(rows.len(), 2);
    app.advance(600);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    app.create(card("KM-3", APPROVED)).await.expect_problem(409, "paid_before_restore");
    app.refund(kept.id(), "1.00").await.expect_problem(409, "refunded_before_restore");
    paid(&app, "KM-4").await;
    app.stop().await;
}

async fn a_record_that_tells_nothing_keeps_the_gate_shut(engine: Engine) {
    let app = started(engine).await;
    let kept = paid(&app, "KM-1").await;
    let app = app.restart(|_| {}).await;
    for _ in 0..3 {
        app.break_answer(LIST, page(json!([7])));
        app.step_runs().await;
        assert_eq!(gap(&app).await, "being_read");
        app.advance(30);
    }
    expect_refused(&app.refund(kept.id(), "1.00").await);
    let runs = app.get("/v1/reconciliations").await.expect(200);
    assert!(runs.text("/data/0/reason").contains("check_at_start"), "{}", runs.json);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    app.refund(kept.id(), "1.00").await.expect(201);
    app.finish().await;
}

async fn a_request_that_passed_the_gate_is_stopped_before_its_write(engine: Engine) {
    let app = started(engine).await;
    let kept = paid(&app, "KM-1").await;
    app.break_answer("/payments/refund", ApiFaultKind::DropAfter);
    app.refund(kept.id(), "1.00").await.expect(202);
    app.sandbox.flush_notifications().await;
    let gone = paid(&app, "KM-2").await;
    app.step_runs().await;
    app.break_answer("/payments/refund", ApiFaultKind::DropBefore);
    app.refund(kept.id(), "2.00").await.expect(202);
    // The next request passes the gate and settles the lost refund first, which takes a while.
    app.break_answer("/payments/refund", ApiFaultKind::Delay { ms: 1500 });
    let path = format!("/v1/payments/{}/refunds", kept.id());
    let late = tokio::spawn(Reply::receive(app.posting(&path, "late", &json!({ "amount": money("3.00") }))));
    tokio::time::sleep(Duration::from_millis(300)).await;
    forget(engine, &app, gone.id());
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    expect_refused(&late.await.unwrap());
    assert_eq!(app.refunds(), 2);
    app.stop().await;
}

/// With a key that succeeds the one of the test.
fn successor_of(app: &TestApp) -> Operator {
    let folder = tempfile::tempdir().unwrap();
    let id = Operator::of(app.key.clone()).id;
    let mut command = program(folder.path(), &["keys", "rotate", &id, "--overlap", "1d", "--format", "json"]);
    set(&mut command, "database.url", &app.database.url);
    let made: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    Operator::of(made["secret"].as_str().unwrap().to_owned())
}

/// A loss opens its bill once it is closed, so one key does not close it, nor one that succeeds that key.
async fn two_operators_close(app: &TestApp, close: &str, successor: &Operator) {
    let path = close.trim_end_matches("/close");
    let proposed = app.post_as(close, &format!("{close}-1"), json!({ "reason": "Policy issued by hand" })).await;
    assert_eq!(proposed.expect(202).text("/proposed/reason"), "Policy issued by hand");
    let repeat = app.post_as(close, &format!("{close}-1"), json!({ "reason": "Policy issued by hand" })).await;
    assert_eq!((repeat.status, repeat.header("idempotent-replayed")), (202, "true"));
    app.post(close, json!({ "reason": "Me again" })).await.expect_problem(409, "second_operator_required");
    let refused = successor.post(app, close, &format!("{close}-2"), json!({ "reason": "My new key" })).await;
    refused.expect_problem(409, "second_operator_required");
    assert!(app.get(path).await.json.get("closing").is_none());
    let other = Operator::told(app).await;
    let closed = other.post(app, close, &format!("{close}-3"), json!({ "reason": "Seen in the cabinet" })).await;
    let closed = closed.expect(200);
    assert_eq!(closed.text("/closing/by"), other.id);
    assert_eq!(closed.text("/closing/reason"), "Policy issued by hand\nSeen in the cabinet");
    assert_eq!(closed.text("/proposed/by"), Operator::of(app.key.clone()).id);
    app.post(close, json!({ "reason": "Once more" })).await.expect_problem(409, "invalid_state");
}

/// What an older copy would not hold.
fn forget(engine: Engine, app: &TestApp, payment_id: &str) {
    let mut sql = Sql::open(&app.database.url);
    let triggers: &[&str] = match engine {
        Engine::Sqlite => &[
            "payments_no_delete",
            "transitions_no_delete",
            "events_no_delete",
            "transactions_no_delete",
            "notifications_no_delete",
        ],
        Engine::Postgres => &[
            "payments_no_delete ON payments",
            "transitions_no_update ON transitions",
            "events_no_update ON events",
            "transactions_no_delete ON transactions",
            "notifications_no_delete ON notifications",
        ],
    };
    for trigger in triggers {
        sql.run(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    for table in ["operations", "history_unsealed", "idempotency_keys"] {
        sql.drop_trigger(&format!("{table}_no_delete"));
    }
    for table in ["transitions", "history_unsealed", "events", "transactions", "operations", "notifications"] {
        sql.run(&format!("DELETE FROM {table} WHERE payment_id = '{payment_id}'")).unwrap();
    }
    sql.run(&format!("DELETE FROM idempotency_keys WHERE resource_id = '{payment_id}'")).unwrap();
    sql.run(&format!("DELETE FROM payments WHERE id = '{payment_id}'")).unwrap();
}

async fn a_new_database_asks_nobody(engine: Engine) {
    let app = started(engine).await;
    assert_eq!((gap(&app).await.as_str(), app.running.app.reconcile_step().await.unwrap()), ("read", 0));
    assert_eq!(app.calls_to_provider().await, 0);
    app.create(json!({ "amount": money("1.00"), "invoice_id": "KM-1", "description": "Policy" })).await.expect(201);
    app.finish().await;
}

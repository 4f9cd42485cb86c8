//! A key of one payer that does not open stops what is of that payer, and nobody else.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};
use kmic_payments::app::Gap;
use serde_json::json;

use crate::support::{
    APPROVED, Body, Engine, Operator, Reply, Sql, TestApp, card, order, transaction_id, widget, with_at,
    with_quiet_runs,
};

crate::on_both!(
    a_closed_key_keeps_nobody_else_from_ending,
    a_closed_key_stops_no_run,
    a_closed_key_keeps_no_money_waiting,
    another_payment_of_the_bill_is_told_of,
    calls_of_a_closed_key_keep_no_other_call_from_its_end,
);

/// A payer's key, damaged as on a disk, and how it was.
struct Damaged {
    sql: Sql,
    was: String,
    engine: Engine,
    key: String,
}

impl Damaged {
    fn key_of(app: &TestApp, engine: Engine, payment: &str) -> Damaged {
        let mut sql = Sql::open(&app.database.url);
        let key = sql.text(&format!("SELECT payer_key_id AS value FROM payments WHERE id = '{payment}'"));
        let hex = if engine == Engine::Sqlite { "hex(wrapped_key)" } else { "encode(wrapped_key, 'hex')" };
        let was = sql.text(&format!("SELECT {hex} AS value FROM payer_keys WHERE id = '{key}'"));
        let mut damaged = Damaged { sql, was, engine, key };
        damaged.set("01020304");
        damaged
    }

    fn set(&mut self, hex: &str) {
        let bytes = match self.engine {
            Engine::Sqlite => format!("X'{hex}'"),
            Engine::Postgres => format!("decode('{hex}', 'hex')"),
        };
        let set = format!("UPDATE payer_keys SET wrapped_key = {bytes} WHERE id = '{}'", self.key);
        assert_eq!(self.sql.run(&set), Ok(1));
    }

    fn mend(mut self) {
        let was = self.was.clone();
        self.set(&was);
    }
}

fn of(order: Body, account: &str) -> Body {
    with_at(order, "/payer/account_id", json!(account))
}

async fn opened(app: &TestApp, order: Body, account: &str) -> Reply {
    app.create(of(order, account)).await.expect(201)
}

/// Paid in the window, and we hear of the attempt alone.
async fn paid_in_silence(app: &TestApp, invoice: &str, account: &str) -> Reply {
    let payment = opened(app, widget(invoice), account).await;
    app.lose(NotificationKind::Pay);
    app.pay(order(&payment, APPROVED)).await;
    payment
}

async fn a_closed_key_keeps_nobody_else_from_ending(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("operators.approval_expires_in_s", "3600")).await;
    let (mut unpaid, mut asked) = (Vec::new(), Vec::new());
    let operator = Operator::with_all(&app).await;
    for account in ["hidden", "other"] {
        unpaid.push(opened(&app, widget(&format!("U-{account}")), account).await);
        let paid = opened(&app, card(&format!("P-{account}"), APPROVED), account).await;
        asked.push(operator.ask_refund(&app, paid.id(), "100.00").await.expect(201));
    }
    app.sandbox.flush_notifications().await;
    let damaged = Damaged::key_of(&app, engine, unpaid[0].id());
    app.advance(2 * 86_400);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(app.payment(unpaid[1].id()).await.text("/status"), "expired");
    let mut sql = Sql::open(&app.database.url);
    let mut state =
        |asked: &Reply| sql.text(&format!("SELECT state AS value FROM approvals WHERE id = '{}'", asked.id()));
    assert_eq!((state(&asked[0]), state(&asked[1])), ("pending".to_owned(), "expired".to_owned()));
    app.get(&format!("/v1/payments/{}", unpaid[0].id())).await.expect_problem(503, "encryption_key_missing");
    // It was put off: it takes nobody's turn meanwhile.
    assert_eq!(app.running.app.expire_step().await.unwrap(), 0);

    damaged.mend();
    app.advance(600);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(app.payment(unpaid[0].id()).await.text("/status"), "expired");
    assert_eq!(state(&asked[0]), "expired");
    app.finish().await;
}

async fn a_closed_key_stops_no_run(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let charged_back = opened(&app, card("KM-0", APPROVED), "hidden").await;
    app.sandbox.flush_notifications().await;
    let (hidden, other) = (paid_in_silence(&app, "KM-1", "hidden").await, paid_in_silence(&app, "KM-2", "other").await);
    app.let_others_answer().await;
    let unheard = opened(&app, widget("KM-3"), "hidden").await;
    app.pay(order(&unheard, APPROVED)).await;
    let claim = json!({ "transaction_id": transaction_id(&charged_back) });
    app.at_sandbox("/sandbox/chargebacks", claim).await.expect(200);
    let damaged = Damaged::key_of(&app, engine, hidden.id());

    for _ in 0..2 {
        let run = app.reconcile().await;
        assert_eq!(run.text("/state"), "completed", "{}", run.json);
        assert!(run.text("/reason").contains(hidden_key(&damaged)), "{}", run.json);
        assert_eq!(app.payment(other.id()).await.text("/status"), "paid");
        let open = app.get("/v1/discrepancies?status=open").await.expect(200);
        let mut open: Vec<_> = open.json["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["kind"].clone(), row["payment_id"].clone()))
            .collect();
        open.sort_by_key(|(kind, _)| kind.to_string());
        let expected = [(json!("missing_here"), json!(unheard.id())), (json!("status_mismatch"), json!(hidden.id()))];
        assert_eq!(open, expected);
    }
    let unknown = app.get("/v1/chargebacks?payment=unknown").await.expect(200);
    assert_eq!(unknown.json["data"].as_array().unwrap().len(), 1);

    damaged.mend();
    let run = app.reconcile().await;
    assert!(run.text("/state") == "completed" && run.json.get("reason").is_none(), "{}", run.json);
    assert_eq!(run.json["booked"], 2, "{}", run.json);
    for payment in [&hidden, &unheard] {
        assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    }
    assert_eq!(app.payment(charged_back.id()).await.text("/attention"), "chargeback");
    assert!(app.get("/v1/discrepancies?status=open").await.json["data"].as_array().unwrap().is_empty());
    app.answer_ourselves();
    app.finish().await;
}

fn hidden_key(damaged: &Damaged) -> &str {
    &damaged.key
}

async fn a_closed_key_keeps_no_money_waiting(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let hidden = paid_in_silence(&app, "KM-1", "hidden").await;
    let damaged = Damaged::key_of(&app, engine, hidden.id());
    app.running.app.look_for_gap().await.unwrap();
    assert_eq!(app.running.app.gap(), Gap::BeingRead);
    app.step_runs().await;
    assert_eq!(app.running.app.gap(), Gap::Read);
    opened(&app, card("KM-2", APPROVED), "other").await;
    assert_eq!(app.disagreements().await, ["status_mismatch open"]);
    let runs = app.get("/v1/reconciliations").await.expect(200);
    assert!(runs.json.to_string().contains("does not open"), "{}", runs.json);
    damaged.mend();
    app.reconcile().await;
    assert_eq!(app.payment(hidden.id()).await.text("/status"), "paid");
    app.finish().await;
}

/// The window may be given no name of ours: then the bill tells whose money it is.
async fn another_payment_of_the_bill_is_told_of(engine: Engine) {
    let app = TestApp::start(engine).await;
    let hidden = opened(&app, with_at(widget("KM-1"), "/amount/value", json!("300.00")), "hidden").await;
    let other = opened(&app, widget("KM-1"), "other").await;
    let damaged = Damaged::key_of(&app, engine, hidden.id());
    let fields = [
        ("TransactionId", "5000000001"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("InvoiceId", "KM-1"),
        ("Status", "Completed"),
    ];
    app.notify("pay", &fields).await;
    assert_eq!(app.payment(other.id()).await.text("/status"), "paid");
    damaged.mend();
    app.stop().await;
}

/// More of them than are looked at together: what a process that ended left of a payer.
async fn calls_of_a_closed_key_keep_no_other_call_from_its_end(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.break_answer("/payments/cards/charge", ApiFaultKind::DropAfter);
    app.lose(NotificationKind::Pay);
    let other = app.create(of(card("KM-0", APPROVED), "other")).await.expect(202);
    let mut sql = Sql::open(&app.database.url);
    let at = sql.text("SELECT CAST(created_at AS text) AS value FROM payments");
    let mut hidden = Vec::new();
    for number in 1..=41 {
        let payment = opened(&app, widget(&format!("KM-{number}")), "hidden").await;
        let call = format!(
            "INSERT INTO operations (id, payment_id, kind, state, started_at, due_at, lookups) VALUES \
             ('op_{number}', '{}', 'charge', 'started', '{at}', '{at}', 0)",
            payment.id()
        );
        assert_eq!(sql.run(&call), Ok(1));
        hidden.push(payment);
    }
    let damaged = Damaged::key_of(&app, engine, hidden[0].id());
    app.advance(120);
    app.running.app.settle_step().await.unwrap();
    assert_eq!(app.payment(other.id()).await.text("/status"), "paid");
    assert_eq!(sql.number("SELECT count(*) AS value FROM operations WHERE state = 'started'"), 41);
    damaged.mend();
    app.stop().await;
}

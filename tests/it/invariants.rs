//! The money laws: green on honest books, and each of them red, alone and by name, on books that were tampered with.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};
use kmic_payments::domain::scope::Scope;
use kmic_payments::store::invariants::{EVENT_IS_IN_THE_FEED, LAWS};

use crate::support::{APPROVED, Engine, Reply, Sql, TestApp, card, widget};

crate::on_both!(
    honest_books_are_green,
    every_law_can_be_broken_alone,
    many_rows_are_read_slice_by_slice,
    the_rows_at_fault_are_bounded,
    only_operators_may_look,
);

/// Payments in the states that the laws speak of.
struct Story {
    /// Paid, 2500 of it given back.
    paid: Reply,
    /// Paid, and more given back in the cabinet than was left.
    excess: Reply,
    /// A charge whose answer is lost.
    lost: Reply,
    /// A refund whose answer is lost.
    pending_refund: String,
    refund: String,
}

impl Story {
    async fn tell(app: &TestApp) -> Story {
        let paid = app.create(widget("KM-1")).await.expect(201);
        app.pay_in_widget(&paid, APPROVED).await;
        let refund = app.refund(paid.id(), "2500.00").await.expect(201).id().to_owned();
        app.sandbox.flush_notifications().await;
        let excess = app.create(widget("KM-2")).await.expect(201);
        pay(app, "KM-2", "5000000001").await;
        for transaction in ["5000000002", "5000000003"] {
            let fields =
                [("TransactionId", transaction), ("PaymentTransactionId", "5000000001"), ("Amount", "10000.00")];
            app.notify("refund", &fields).await;
        }
        app.break_answer("/payments/cards/charge", ApiFaultKind::DropAfter);
        app.lose(NotificationKind::Pay);
        let lost = app.create(card("KM-3", APPROVED)).await.expect(202);
        app.break_answer("/payments/refund", ApiFaultKind::DropAfter);
        app.lose(NotificationKind::Refund);
        let pending_refund = app.refund(paid.id(), "1000.00").await.expect(202).id().to_owned();
        Story { paid, excess, lost, pending_refund, refund }
    }
}

async fn pay(app: &TestApp, invoice: &str, transaction: &str) {
    let fields = [
        ("TransactionId", transaction),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("InvoiceId", invoice),
        ("Status", "Completed"),
    ];
    app.notify("pay", &fields).await;
}

/// `law: rows at fault` of every law that does not hold.
async fn broken(app: &TestApp) -> Vec<String> {
    let reply = app.get("/v1/invariants").await.expect(200);
    assert!(reply.json["next_cursor"].is_null(), "{}", reply.json);
    let laws = reply.json["data"].as_array().unwrap();
    assert_eq!(laws.len(), LAWS.len());
    let red = laws.iter().filter(|law| law["status"] != "green");
    red.map(|law| {
        let at_fault: Vec<_> =
            law["at_fault"].as_array().unwrap().iter().map(|subject| subject.as_str().unwrap()).collect();
        assert_eq!((law["status"].as_str(), law["more_at_fault"].as_bool()), (Some("red"), Some(false)), "{law}");
        format!("{}: {}", law["name"].as_str().unwrap(), at_fault.join(", "))
    })
    .collect()
}

async fn honest_books_are_green(engine: Engine) {
    let app = TestApp::start(engine).await;
    assert_eq!(broken(&app).await, Vec::<String>::new(), "on an empty database");
    Story::tell(&app).await;
    assert_eq!(broken(&app).await, Vec::<String>::new());
    let reply = app.get("/v1/invariants").await;
    for law in reply.json["data"].as_array().unwrap() {
        assert!(law["law"].as_str().unwrap().ends_with('.') && law["query"].as_str().unwrap().starts_with("SELECT "));
    }
    app.stop().await;
}

/// A refund that one line of keys asked for and approved.
fn approval(payment: &str, refund: &str) -> String {
    format!(
        "INSERT INTO approvals (id, kind, payment_id, currency, amount, refund_id, requested_by, requester, requested_at, \
         expires_at, state, decided_by, decider, decided_at) VALUES ('apr_x', 'refund', '{payment}', 'KZT', 250000, \
         '{refund}', 'key_1', 'key_1', '2026-01-01 00:00:00', '2026-01-02 00:00:00', 'approved', 'key_2', 'key_1', \
         '2026-01-01 00:00:00')"
    )
}

/// One way to break each law: the law, what is done to the books, the row that must be named.
fn tampering(story: &Story, sql: &mut Sql) -> Vec<(&'static str, Vec<String>, String)> {
    let (paid, excess, lost) = (story.paid.id(), story.excess.id(), story.lost.id());
    let lost_call = sql.text(&format!("SELECT id AS value FROM operations WHERE payment_id = '{lost}'"));
    let event = sql.text(&format!("SELECT id AS value FROM events WHERE payment_id = '{excess}' ORDER BY id LIMIT 1"));
    let notification =
        sql.text(&format!("SELECT id AS value FROM notifications WHERE payment_id = '{excess}' ORDER BY id LIMIT 1"));
    let key = sql.text("SELECT id AS value FROM api_keys");
    let another_call = |payment: &str, kind: &str| {
        format!(
            "INSERT INTO operations (id, payment_id, kind, state, started_at, due_at, lookups) VALUES \
             ('op_x', '{payment}', '{kind}', 'started', '2026-01-01 00:00:00', '2026-01-01 00:00:00', 0)"
        )
    };
    let refund_of_another = format!(
        "INSERT INTO transactions (id, payment_id, transaction_id, kind, status, currency, amount, captured, \
         parent_transaction_id, created_at, updated_at) VALUES ('trn_x', '{lost}', 7, 'refund', 'declined', 'KZT', 100, 0, \
         5000000001, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
    );
    let (refund, pending) = (&story.refund, &story.pending_refund);
    let of_refund = format!("FROM transactions WHERE refund_id = '{refund}'");
    let refund_transaction = sql.number(&format!("SELECT transaction_id AS value {of_refund}"));
    let refund_record = sql.text(&format!("SELECT id AS value {of_refund}"));
    vec![
        (
            "sums_follow_transactions",
            vec![format!("UPDATE payments SET authorized = authorized - 1 WHERE id = '{paid}'")],
            paid.to_owned(),
        ),
        (
            "status_follows_sums",
            vec![
                format!("UPDATE payments SET status = 'awaiting_payer' WHERE id = '{excess}'"),
                format!(
                    "UPDATE transitions SET from_status = 'awaiting_payer', to_status = 'awaiting_payer' \
                     WHERE payment_id = '{excess}' AND sequence > 1"
                ),
            ],
            excess.to_owned(),
        ),
        (
            "history_reaches_the_payment",
            vec![format!("UPDATE payments SET sequence = sequence + 1 WHERE id = '{paid}'")],
            paid.to_owned(),
        ),
        (
            "history_is_unbroken",
            vec![format!(
                "UPDATE transitions SET from_status = 'processing' WHERE payment_id = '{paid}' AND sequence = 2"
            )],
            format!("{paid} #2"),
        ),
        (
            "refund_has_its_transaction",
            vec![format!("UPDATE transactions SET refund_id = NULL WHERE refund_id = '{refund}'")],
            refund.clone(),
        ),
        (
            "pending_refund_has_its_call",
            vec![format!("UPDATE operations SET state = 'settled', due_at = NULL WHERE refund_id = '{pending}'")],
            pending.clone(),
        ),
        (
            "no_refund_over_captured",
            vec![format!("UPDATE payments SET attention_raised = NULL WHERE id = '{excess}'")],
            excess.to_owned(),
        ),
        ("one_open_call", vec![another_call(lost, "charge")], lost.to_owned()),
        (
            "open_call_is_due",
            vec![format!("UPDATE operations SET due_at = NULL WHERE id = '{lost_call}'")],
            lost_call.clone(),
        ),
        (
            "undetermined_has_its_call",
            vec![format!("UPDATE payments SET decide_by = NULL WHERE id = '{lost}'")],
            lost.to_owned(),
        ),
        ("ended_payment_is_not_charged", vec![another_call(excess, "charge")], "op_x".to_owned()),
        (
            "lost_answer_calls_a_person",
            vec![format!("UPDATE operations SET started_at = '2026-01-01 00:00:00' WHERE id = '{lost_call}'")],
            lost_call,
        ),
        ("transaction_has_one_payment", vec![refund_of_another], "trn_x".to_owned()),
        (
            "currencies_agree",
            vec![format!("UPDATE refunds SET currency = 'RUB' WHERE id = '{pending}'")],
            pending.clone(),
        ),
        (
            "approval_has_two_keys",
            vec![
                approval(paid, refund),
                format!(
                    "UPDATE transitions SET actor = 'key_1', detail = '{{\"amount\":\"2500.00\",\"approval\":\"requested\",\"approval_id\":\"apr_x\"}}' \
                     WHERE payment_id = '{paid}' AND sequence = 1"
                ),
            ],
            "apr_x".to_owned(),
        ),
        (
            "approval_has_its_request",
            vec![
                approval(paid, refund),
                "UPDATE approvals SET decider = 'key_2'".to_owned(),
            ],
            "apr_x".to_owned(),
        ),
        (
            "money_has_its_history",
            vec![format!("UPDATE transitions SET transaction_id = NULL WHERE payment_id = '{paid}' AND transaction_id = {refund_transaction}")],
            refund_record,
        ),
        (
            "refund_has_its_request",
            vec![format!(
                "UPDATE transitions SET detail = '{{}}' WHERE payment_id = '{paid}' AND cause_type = 'api' \
                 AND detail LIKE '%{refund}%'"
            )],
            refund.clone(),
        ),
        (
            "call_has_its_request",
            vec![format!(
                "INSERT INTO operations (id, payment_id, kind, transaction_id, state, started_at, lookups) \
                 SELECT 'op_x', payment_id, 'void', transaction_id, 'settled', started_at, 0 FROM operations \
                 WHERE payment_id = '{paid}' LIMIT 1"
            )],
            "op_x".to_owned(),
        ),
        (
            "operators_closing_is_told",
            vec![
                "INSERT INTO discrepancies (id, kind, transaction_id, lost, opened_by, opened_at, resolution, closed_by, \
                 closed_at) VALUES ('dis_x', 'missing_here', 7, false, 'rec_x', '2026-01-01 00:00:00', 'operator', 'key_1', \
                 '2026-01-02 00:00:00')"
                    .to_owned(),
            ],
            "dis_x".to_owned(),
        ),
        (
            "api_key_is_told",
            vec![
                "INSERT INTO events (id, epoch, position, kind, at, subject_id, actor) VALUES ('evt_x', 0, 999999, 'api_key.created', \
                 '2030-01-01 00:00:00', 'key_y', 'cli')"
                    .to_owned(),
                "INSERT INTO api_keys (id, name, secret_hash, scopes, created_at) SELECT 'key_x', name, secret_hash, scopes, \
                 '2030-01-01 00:00:00' FROM api_keys LIMIT 1"
                    .to_owned(),
            ],
            "key_x".to_owned(),
        ),
        (
            EVENT_IS_IN_THE_FEED,
            vec![format!("UPDATE events SET epoch = 9000000000 WHERE id = '{event}'")],
            event.clone(),
        ),
        ("event_has_its_history", vec![format!("UPDATE events SET sequence = 99 WHERE id = '{event}'")], event),
        (
            "notification_is_booked",
            vec![format!("UPDATE notifications SET transaction_id = 1 WHERE id = '{notification}'")],
            notification,
        ),
        (
            "key_points_to_its_effect",
            vec![format!("UPDATE idempotency_keys SET resource_id = 'pay_gone' WHERE resource_id = '{lost}'")],
            format!("{key} pay_gone"),
        ),
    ]
}

async fn every_law_can_be_broken_alone(engine: Engine) {
    for law in LAWS {
        let app = TestApp::start(engine).await;
        let story = Story::tell(&app).await;
        let mut sql = Sql::open(&app.database.url);
        let cases = tampering(&story, &mut sql);
        let (_, statements, subject) =
            cases.into_iter().find(|(name, ..)| *name == law.name).unwrap_or_else(|| panic!("no way to break {law:?}"));
        sql.take_the_guards_away();
        for statement in statements {
            assert!(sql.run(&statement).unwrap() > 0, "{statement}");
        }
        assert_eq!(broken(&app).await, [format!("{}: {subject}", law.name)]);
        app.stop_with_broken_books().await;
    }
}

async fn many_rows_are_read_slice_by_slice(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut sql = Sql::open(&app.database.url);
    sql.take_the_guards_away();
    // Three slices; in each one row whose history is missing on purpose, at the edges of the slices, too.
    sql.insert_payment("pay_00000", "awaiting_payer");
    let columns = "sequence, status, currency, amount, authorized, captured, refunded, refund_pending, refund_excess, \
                   invoice_id, description, capture_mode, language, method, metadata, payer, created_by, created_at, \
                   updated_at, expires_at";
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)";
    let padded = "substr('00000' || CAST(i AS TEXT), length(CAST(i AS TEXT)) + 1)";
    sql.run(&format!(
        "{numbers} INSERT INTO payments (id, {columns}) SELECT 'pay_' || {padded}, {columns} FROM n, payments"
    ))
    .unwrap();
    sql.run(
        "INSERT INTO transitions (payment_id, sequence, from_status, to_status, cause_type, actor, detail, at) \
         SELECT id, 1, 'none', status, 'api', 'key_1', '{}', created_at FROM payments \
         WHERE id NOT IN ('pay_00000', 'pay_04999', 'pay_05000', 'pay_12000')",
    )
    .unwrap();
    let expected = "history_reaches_the_payment: pay_00000, pay_04999, pay_05000, pay_12000";
    assert_eq!(broken(&app).await, [expected]);
    app.stop_with_broken_books().await;
}

async fn the_rows_at_fault_are_bounded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut sql = Sql::open(&app.database.url);
    for number in 10..40 {
        sql.insert_payment(&format!("pay_{number}"), "awaiting_payer");
    }
    let reply = app.get("/v1/invariants").await.expect(200);
    let law = reply.json["data"].as_array().unwrap().iter().find(|law| law["status"] == "red").unwrap();
    assert_eq!((law["at_fault"].as_array().unwrap().len(), law["more_at_fault"].as_bool()), (20, Some(true)));
    app.get("/v1/invariants?cursor=zzz").await.expect_problem(422, "invalid_request");
    app.get("/v1/invariants?law=x").await.expect_problem(422, "invalid_request");
    app.stop_with_broken_books().await;
}

async fn only_operators_may_look(engine: Engine) {
    let app = TestApp::start(engine).await;
    let key = app.new_key(&[Scope::PaymentsRead, Scope::PaymentsWrite, Scope::RefundsWrite]).await;
    let reply = app.call_as("GET", "/v1/invariants", Some(&format!("Bearer {key}"))).await;
    reply.expect_problem(403, "missing_scope");
    app.finish().await;
}

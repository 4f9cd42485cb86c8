//! Two keys for one refund: asked for by one, allowed by another, carried out once.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind, TransactionType};
use kmic_payments::domain::scope::Scope;
use serde_json::{Value, json};

use crate::support::{
    APPROVED, Engine, Operator, Race, Reply, Sql, TestApp, card, expect_sums, money, secret_hits, widget,
};

crate::on_both!(
    a_refund_above_the_sum_needs_a_second_key_in_parts_too,
    another_key_approves_and_the_refund_is_made_once,
    who_asked_cannot_decide_not_even_in_the_database,
    a_rejected_refund_is_not_made,
    an_approval_that_nobody_decided_about_expires,
    two_keys_that_approve_at_once_make_one_refund,
    a_lost_answer_of_an_approved_refund_loses_and_doubles_nothing,
    an_approval_that_no_longer_fits_is_not_carried_out,
    a_refund_that_was_not_sent_has_to_be_asked_for_anew,
    what_cannot_be_done_cannot_be_asked_for,
    each_kind_needs_its_scope,
    a_repeated_request_asks_once,
    approvals_are_listed_newest_first,
    the_reason_is_personal_data,
    the_reason_is_shown_to_those_who_decide,
);

async fn paid(app: &TestApp) -> Reply {
    let payment = app.create(card("A-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    payment
}

async fn with_limit(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |raw| raw.with("operators.second_key_above", json!(["5000.00 KZT"]))).await
}

async fn a_refund_above_the_sum_needs_a_second_key_in_parts_too(engine: Engine) {
    let app = with_limit(engine).await;
    let payment = paid(&app).await;
    let refused = app.refund(payment.id(), "5000.01").await;
    refused.expect_problem(409, "approval_required");
    assert!(refused.text("/detail").contains("POST /v1/approvals"), "{}", refused.json);
    app.act(payment.id(), "refunds", json!({})).await.expect_problem(409, "approval_required");
    app.refund(payment.id(), "3000.00").await.expect(201);
    app.refund(payment.id(), "2000.01").await.expect_problem(409, "approval_required");
    app.refund(payment.id(), "2000.00").await.expect(201);
    app.refund(payment.id(), "0.01").await.expect_problem(409, "approval_required");

    // What two keys gave back does not count, and neither does another payment.
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let asked = one.ask_refund(&app, payment.id(), "6000.00").await.expect(201);
    assert_eq!(other.decide(&app, &asked, "approve").await.expect(200).text("/refund_status"), "succeeded");
    let next = app.create(card("A-2", APPROVED)).await.expect(201);
    app.refund(next.id(), "5000.00").await.expect(201);
    app.advance(86_401);
    app.refund(payment.id(), "1500.00").await.expect(201);
    expect_sums(&app.payment(payment.id()).await, "12500.00", "12500.00", "0.00");
    app.finish().await;
}

async fn another_key_approves_and_the_refund_is_made_once(engine: Engine) {
    let app = with_limit(engine).await;
    let payment = paid(&app).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let asked = one.ask_refund(&app, payment.id(), "12500.00").await.expect(201);
    assert_eq!(asked.header("location"), format!("/v1/approvals/{}", asked.id()));
    assert_eq!((asked.text("/state"), asked.text("/requested_by")), ("pending", one.id.as_str()));
    assert!(asked.json.get("refund_id").is_none() && asked.json.get("decided_by").is_none(), "{}", asked.json);
    // Asking reserves nothing and moves nothing.
    expect_sums(&app.payment(payment.id()).await, "12500.00", "0.00", "12500.00");
    one.decide(&app, &asked, "approve").await.expect_problem(409, "second_operator_required");
    assert_eq!(app.refunds(), 0);

    let approved = other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
    assert_eq!((approved.text("/state"), approved.text("/refund_status")), ("approved", "succeeded"));
    assert_eq!(approved.text("/decided_by"), other.id);
    let refund = app.get(&format!("/v1/refunds/{}", approved.text("/refund_id"))).await.expect(200);
    assert_eq!((refund.text("/amount/value"), refund.text("/reason")), ("12500.00", "asked by the client"));
    let repeat = other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
    assert_eq!((repeat.header("idempotent-replayed"), &repeat.bytes), ("true", &approved.bytes));
    for what in ["approve", "reject"] {
        other.decide(&app, &asked, what).await.expect_problem(409, "invalid_state");
    }
    assert_eq!(app.refunds(), 1);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "refunded");

    assert_eq!(app.approvals_in_history(payment.id()).await, ["requested by operator", "approved by operator"]);
    let rows = app.rows(payment.id()).await;
    let row = rows.iter().find(|row| row["detail"]["approval"] == "approved").unwrap();
    assert_eq!(row["actor"], other.id);
    let expected = json!({
        "approval": "approved", "approval_id": asked.id(), "kind": "refund", "requested_by": one.id,
        "approved_by": other.id, "operation": "refund", "refund_id": refund.id(), "amount": "12500.00",
    });
    assert_eq!(row["detail"], expected);
    app.sandbox.flush_notifications().await;
    assert_eq!(app.events(payment.id()).await, ["payment.paid", "refund.succeeded"]);
    app.finish().await;
}

async fn who_asked_cannot_decide_not_even_in_the_database(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let one = Operator::with_all(&app).await;
    let asked = one.ask_refund(&app, payment.id(), "100.00").await.expect(201);
    for what in ["approve", "reject"] {
        one.decide(&app, &asked, what).await.expect_problem(409, "second_operator_required");
    }
    let mut sql = Sql::open(&app.database.url);
    let mut refused = |change: &str, reasons: &[&str]| {
        let error = sql.run(&format!("UPDATE approvals SET {change}")).expect_err(change).to_lowercase();
        assert!(reasons.iter().any(|reason| error.contains(reason)), "{change}: {error}");
    };
    let decision = |state: &str, by: &str, line: &str, at: &str| {
        format!("state = '{state}', decided_by = {by}, decider = {line}, decided_at = {at}")
    };
    for (by, line) in [("requested_by", "requester"), ("requested_by", "'key_2'"), ("'key_2'", "requester")] {
        refused(&decision("rejected", by, line, "requested_at"), &["check constraint"]);
    }
    for change in [
        decision("approved", "'key_2'", "'key_2'", "requested_at"),
        decision("rejected", "'key_2'", "'key_2'", "expires_at"),
        decision("rejected", "'key_2'", "NULL", "requested_at"),
        "state = 'approved'".to_owned(),
        "state = 'gone'".to_owned(),
    ] {
        refused(&change, &["check constraint"]);
    }
    for change in
        ["amount = 200", "requested_by = 'key_2'", "requester = 'key_2'", "payment_id = 'x'", "kind = 'correction'"]
    {
        refused(change, &["stays as it was requested"]);
    }
    sql.run(&format!("UPDATE approvals SET {}", decision("rejected", "'key_2'", "'key_2'", "requested_at"))).unwrap();
    let mut refused = |statement: &str, reason: &str| {
        let error = sql.run(statement).expect_err(statement);
        assert!(error.contains(reason), "{statement}: {error}");
    };
    refused(
        "UPDATE approvals SET state = 'pending', decided_by = NULL, decider = NULL, decided_at = NULL",
        "decided once",
    );
    refused("UPDATE approvals SET decided_by = 'key_3'", "decided once");
    refused("DELETE FROM approvals", "not deleted");
    app.finish().await;
}

async fn a_rejected_refund_is_not_made(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let asked = one.ask_refund(&app, payment.id(), "12500.00").await.expect(201);
    let calls = app.calls_to_provider().await;
    let rejected = other.decide_as(&app, &asked, "reject", "no-1").await.expect(200);
    assert_eq!((rejected.text("/state"), rejected.text("/decided_by")), ("rejected", other.id.as_str()));
    let repeat = other.decide_as(&app, &asked, "reject", "no-1").await.expect(200);
    assert_eq!((repeat.header("idempotent-replayed"), &repeat.bytes), ("true", &rejected.bytes));
    other.decide(&app, &asked, "approve").await.expect_problem(409, "invalid_state");
    assert_eq!(app.approvals_in_history(payment.id()).await, ["requested by operator", "rejected by operator"]);
    assert_eq!((app.refunds(), app.calls_to_provider().await), (0, calls));
    app.finish().await;
}

async fn an_approval_that_nobody_decided_about_expires(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("operators.approval_expires_in_s", "3600")).await;
    let payment = paid(&app).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let asked = one.ask_refund(&app, payment.id(), "100.00").await.expect(201);
    app.advance(3601);
    // Whether or not the worker came by.
    for what in ["approve", "reject"] {
        other.decide(&app, &asked, what).await.expect_problem(409, "invalid_state");
    }
    assert_eq!(app.approval(asked.id()).await.text("/state"), "expired");
    let states = async |state: &str| {
        let list = app.get(&format!("/v1/approvals?state={state}")).await.expect(200);
        list.json["data"].as_array().unwrap().len()
    };
    assert_eq!((states("pending").await, states("expired").await), (0, 1));
    let mut sql = Sql::open(&app.database.url);
    assert_eq!(sql.text("SELECT state AS value FROM approvals"), "pending");
    assert_eq!(app.running.app.expire_step().await.unwrap(), 1);
    assert_eq!(app.running.app.expire_step().await.unwrap(), 0);
    assert_eq!(sql.text("SELECT state AS value FROM approvals"), "expired");
    assert_eq!((states("pending").await, states("expired").await), (0, 1));
    assert_eq!(app.approvals_in_history(payment.id()).await, ["requested by operator", "expired by expiry"]);
    assert_eq!(app.refunds(), 0);
    app.finish().await;
}

async fn two_keys_that_approve_at_once_make_one_refund(engine: Engine) {
    let mut race = Race::start("two keys approve", engine).await;
    let site = race.app.key.clone();
    let asker = Operator::with_all(&race.app).await;
    let deciders = [Operator::with_all(&race.app).await, Operator::with_all(&race.app).await];
    for round in race.rounds() {
        race.app.key.clone_from(&site);
        let payment = race.app.create(card(&format!("A-{round}"), APPROVED)).await.expect(201);
        race.app.sandbox.flush_notifications().await;
        let asked = asker.ask_refund(&race.app, payment.id(), "10000.00").await.expect(201);
        let path = format!("/v1/approvals/{}/approve", asked.id());
        let mut requests = Vec::new();
        for (number, decider) in [&deciders[0], &deciders[1], &deciders[0]].into_iter().enumerate() {
            race.app.key.clone_from(&decider.key);
            requests.push(race.posting(number, &path, &format!("yes-{round}-{number}"), &json!({})));
        }
        let replies = race.app.at_once(requests).await;
        race.app.key.clone_from(&site);
        let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!(won.len(), 1, "{lost:?}");
        lost.iter().for_each(|reply| assert!(reply.expect_problem(409, "invalid_state").is_empty()));
        let whole = race.whole(payment.id()).await;
        assert_eq!(whole.completed(TransactionType::Refund), 1);
        assert_eq!(whole.payment.text("/refunded/value"), "10000.00");
        let first = won[0].text("/decided_by") == deciders[0].id;
        race.won(if first { "the first key" } else { "the second key" });
    }
    race.finish().await;
}

async fn a_lost_answer_of_an_approved_refund_loses_and_doubles_nothing(engine: Engine) {
    for kind in [ApiFaultKind::DropAfter, ApiFaultKind::DropBefore] {
        let app = TestApp::start(engine).await;
        let payment = paid(&app).await;
        let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
        let asked = one.ask_refund(&app, payment.id(), "10000.00").await.expect(201);
        app.break_answer("/payments/refund", kind.clone());
        if kind == ApiFaultKind::DropAfter {
            app.lose(NotificationKind::Refund);
        }
        let lost = other.decide_as(&app, &asked, "approve", "yes-1").await.expect(202);
        assert_eq!((lost.text("/state"), lost.text("/refund_status")), ("approved", "pending"));
        expect_sums(&app.payment(payment.id()).await, "12500.00", "0.00", "2500.00");
        // The process is gone meanwhile.
        let app = app.restart(|_| {}).await;
        while app.running.app.reconcile_step().await.unwrap() > 0 {}
        let live = other.decide_as(&app, &asked, "approve", "yes-1").await;
        assert!(matches!(live.status, 200 | 202), "{}", live.json);
        assert_eq!(live.text("/refund_id"), lost.text("/refund_id"));
        other.decide(&app, &asked, "approve").await.expect_problem(409, "invalid_state");
        app.advance(6);
        app.running.app.settle_step().await.unwrap();
        app.sandbox.flush_notifications().await;
        assert_eq!(app.approval(asked.id()).await.text("/refund_status"), "succeeded");
        let repeat = other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
        assert_eq!((repeat.id(), repeat.text("/refund_status")), (asked.id(), "succeeded"));
        expect_sums(&app.payment(payment.id()).await, "12500.00", "10000.00", "2500.00");
        assert_eq!(app.refunds(), 1);
        app.finish().await;
    }
}

async fn an_approval_that_no_longer_fits_is_not_carried_out(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let asked = one.ask_refund(&app, payment.id(), "12500.00").await.expect(201);
    app.refund(payment.id(), "0.01").await.expect(201);
    other.decide_as(&app, &asked, "approve", "yes-1").await.expect_problem(409, "refund_exceeds_captured");
    assert_eq!(app.approval(asked.id()).await.text("/state"), "pending");
    assert_eq!(app.refunds(), 1);
    let less = one.ask_refund(&app, payment.id(), "12499.99").await.expect(201);
    other.decide(&app, &less, "approve").await.expect(200);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "refunded");
    other.decide_as(&app, &asked, "approve", "yes-1").await.expect_problem(409, "refund_exceeds_captured");
    app.finish().await;
}

async fn a_refund_that_was_not_sent_has_to_be_asked_for_anew(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let asked = one.ask_refund(&app, payment.id(), "100.00").await.expect(201);
    app.break_answer("/payments/refund", ApiFaultKind::StatusBefore { status: 429 });
    let unsent = other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
    assert_eq!((unsent.text("/state"), unsent.text("/refund_status")), ("approved", "failed"));
    let repeat = other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
    assert_eq!(repeat.bytes, unsent.bytes);
    other.decide(&app, &asked, "approve").await.expect_problem(409, "invalid_state");
    expect_sums(&app.payment(payment.id()).await, "12500.00", "0.00", "12500.00");
    // While nothing is sent to the provider, no approval is used up.
    let again = one.ask_refund(&app, payment.id(), "100.00").await.expect(201);
    app.break_answer("/payments/refund", ApiFaultKind::StatusBefore { status: 401 });
    app.refund(payment.id(), "1.00").await.expect_problem(503, "unavailable");
    other.decide(&app, &again, "approve").await.expect_problem(503, "unavailable");
    assert_eq!(app.approval(again.id()).await.text("/state"), "pending");
    app.running.app.settle_step().await.unwrap();
    assert_eq!(other.decide(&app, &again, "approve").await.expect(200).text("/refund_status"), "succeeded");
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

async fn what_cannot_be_done_cannot_be_asked_for(engine: Engine) {
    let app = TestApp::start(engine).await;
    let one = Operator::with_all(&app).await;
    let open = app.create(widget("A-9")).await.expect(201);
    one.ask_refund(&app, open.id(), "1.00").await.expect_problem(409, "invalid_state");
    one.ask_correction(&app, open.id(), None).await.expect_problem(409, "invalid_state");
    let payment = paid(&app).await;
    one.ask_refund(&app, payment.id(), "12500.01").await.expect_problem(409, "refund_exceeds_captured");
    one.ask_correction(&app, payment.id(), None).await.expect_problem(409, "invalid_state");
    let unknown = "pay_01kaq0j5m8x2v9c4t7b1n6r3ed";
    one.ask_refund(&app, unknown, "1.00").await.expect_problem(404, "not_found");
    let body = json!({
        "kind": "refund", "payment_id": payment.id(), "reason": "x", "amount": { "value": "1.00", "currency": "USD" },
    });
    let refused = one.post(&app, "/v1/approvals", "usd", body).await;
    assert!(matches!(refused.status, 409 | 422), "{}", refused.json);
    let body = json!({
        "kind": "refund", "payment_id": payment.id(), "reason": "card 4242 4242 4242 4242", "amount": money("1.00"),
    });
    let refused = one.post(&app, "/v1/approvals", "card", body).await;
    assert_eq!(refused.expect_problem(422, "invalid_request"), ["/reason: card_data_not_allowed"]);
    let gone = one.post(&app, "/v1/approvals/apr_01kaq0j5m8x2v9c4t7b1n6r3ed/approve", "gone", json!({})).await;
    gone.expect_problem(404, "not_found");
    for _ in 0..10 {
        one.ask_refund(&app, payment.id(), "1.00").await.expect(201);
    }
    one.ask_refund(&app, payment.id(), "1.00").await.expect_problem(409, "invalid_state");
    assert_eq!(app.refunds(), 0);
    app.finish().await;
}

async fn each_kind_needs_its_scope(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let cashier = Operator::new(&app, &[Scope::RefundsWrite]).await;
    let clerk = Operator::new(&app, &[Scope::OpsWrite]).await;
    let refused = clerk.ask_refund(&app, payment.id(), "1.00").await;
    refused.expect_problem(403, "missing_scope");
    assert!(refused.text("/detail").contains("refunds:write"), "{}", refused.json);
    let refused = cashier.ask_correction(&app, payment.id(), None).await;
    refused.expect_problem(403, "missing_scope");
    assert!(refused.text("/detail").contains("ops:write"), "{}", refused.json);
    let asked = cashier.ask_refund(&app, payment.id(), "1.00").await.expect(201);
    for what in ["approve", "reject"] {
        clerk.decide(&app, &asked, what).await.expect_problem(403, "missing_scope");
    }
    let second = Operator::new(&app, &[Scope::RefundsWrite]).await;
    second.decide(&app, &asked, "approve").await.expect(200);
    app.finish().await;
}

async fn a_repeated_request_asks_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let one = Operator::with_all(&app).await;
    let body = |value: &str| json!({ "kind": "refund", "payment_id": payment.id(), "amount": money(value), "reason": "asked by the client" });
    let first = one.post(&app, "/v1/approvals", "ask-1", body("1.00")).await.expect(201);
    let repeat = one.post(&app, "/v1/approvals", "ask-1", body("1.00")).await.expect(201);
    assert_eq!((repeat.header("idempotent-replayed"), &repeat.bytes), ("true", &first.bytes));
    one.post(&app, "/v1/approvals", "ask-1", body("2.00")).await.expect_problem(422, "idempotency_key_reused");
    assert_eq!(Sql::open(&app.database.url).number("SELECT count(*) AS value FROM approvals"), 1);
    app.finish().await;
}

async fn approvals_are_listed_newest_first(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (payment, next) = (paid(&app).await, app.create(card("A-2", APPROVED)).await.expect(201));
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let mut made = Vec::new();
    for value in ["1.00", "2.00", "3.00"] {
        made.insert(0, one.ask_refund(&app, payment.id(), value).await.expect(201).id().to_owned());
    }
    let elsewhere = one.ask_refund(&app, next.id(), "4.00").await.expect(201);
    other.decide(&app, &elsewhere, "reject").await.expect(200);
    let ids = async |query: &str| -> (Vec<String>, String) {
        let list = app.get(&format!("/v1/approvals?{query}")).await.expect(200);
        let ids = list.json["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned());
        (ids.collect(), list.text("/next_cursor").to_owned())
    };
    let filter = format!("payment_id={}&limit=2", payment.id());
    let (first, cursor) = ids(&filter).await;
    assert_eq!(first, made[..2]);
    assert_eq!(ids(&format!("{filter}&cursor={cursor}")).await, (made[2..].to_vec(), String::new()));
    assert_eq!(ids("state=rejected").await.0, [elsewhere.id()]);
    assert_eq!(ids("state=pending").await.0, made);
    app.get(&format!("/v1/approvals?cursor={cursor}")).await.expect_problem(422, "invalid_request");
    app.get("/v1/approvals?state=gone").await.expect_problem(422, "invalid_request");
    app.finish().await;
}

async fn the_reason_is_personal_data(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = paid(&app).await;
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let body = json!({
        "kind": "refund", "payment_id": payment.id(), "amount": money("1.00"), "reason": "for Plantedname at home",
    });
    let asked = one.post(&app, "/v1/approvals", "ask-1", body.clone()).await.expect(201);
    assert_eq!(app.approval(asked.id()).await.text("/reason"), "for Plantedname at home");
    other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
    assert_eq!(secret_hits(&app, &["Plantedname"]), 0);
    let export = app.get("/v1/payers/user-42/personal-data").await.expect(200);
    assert_eq!(export.text("/data/0/approvals/0/reason"), "for Plantedname at home");
    app.sandbox.flush_notifications().await;
    let erase = app.request(reqwest::Method::DELETE, "/v1/payers/user-42/personal-data");
    Reply::receive(erase.header("Idempotency-Key", "erase-1")).await.expect(200);
    let after = app.approval(asked.id()).await;
    assert_eq!((after.text("/reason"), after.text("/state")), ("", "approved"));
    assert_eq!(
        Sql::open(&app.database.url).number("SELECT count(*) AS value FROM approvals WHERE sealed_reason IS NOT NULL"),
        0
    );
    // Repeats still do nothing and get what stands; another request under the key is still told apart.
    let live = one.post(&app, "/v1/approvals", "ask-1", body.clone()).await.expect(201);
    assert_eq!((live.id(), live.text("/state")), (asked.id(), "approved"));
    let mut another = body;
    another["amount"] = money("2.00");
    one.post(&app, "/v1/approvals", "ask-1", another).await.expect_problem(422, "idempotency_key_reused");
    assert_eq!(other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200).id(), asked.id());
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

async fn the_reason_is_shown_to_those_who_decide(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    let asked = Operator::with_all(&app).await.ask_refund(&app, payment.id(), "1.00").await.expect(201);
    let mut sql = Sql::open(&app.database.url);
    // The key that created the payment.
    assert_eq!(app.approval(asked.id()).await.text("/reason"), "asked by the client");
    let cases: [(&[Scope], bool, i64); 5] = [
        (&[Scope::PaymentsRead], false, 0),
        (&[Scope::PaymentsRead, Scope::PaymentsWrite], false, 0),
        (&[Scope::PaymentsRead, Scope::OpsWrite], false, 0),
        (&[Scope::PaymentsRead, Scope::RefundsWrite], true, 0),
        (&[Scope::PaymentsRead, Scope::PersonalDataWrite], true, 1),
    ];
    for (scopes, is_told, recorded) in cases {
        let authorization = format!("Bearer {}", app.new_key(scopes).await);
        for (path, pointer) in [
            (format!("/v1/approvals/{}", asked.id()), "/reason"),
            (format!("/v1/approvals?payment_id={}", payment.id()), "/data/0/reason"),
        ] {
            let reply = app.call_as("GET", &path, Some(&authorization)).await.expect(200);
            let reason = reply.json.pointer(pointer).and_then(Value::as_str);
            assert_eq!(reason, is_told.then_some("asked by the client"), "{path} {scopes:?}");
        }
        assert_eq!(sql.number("SELECT count(*) AS value FROM personal_data_access"), recorded, "{scopes:?}");
    }
    app.finish().await;
}

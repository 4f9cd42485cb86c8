//! Our books beside the provider's register: what is missing is booked, what differs is told, nothing is told twice.

use std::time::Duration;

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationKind};
use kmic_payments::domain::scope::Scope;
use serde_json::json;

use crate::support::{
    APPROVED, Body, CARD_NO_FUNDS, Engine, LIST, Reply, Sql, TestApp, card, expect_sums, order, page, paid_in_silence,
    transaction_id, widget, with, with_quiet_runs,
};

crate::on_both!(
    what_we_were_not_told_is_booked,
    a_lost_charge_is_decided_by_the_register,
    money_that_is_nobodys_stays_open,
    a_state_further_on_is_booked,
    what_the_provider_does_not_know_is_missing_there,
    a_refused_question_holds_up_nothing,
    what_cannot_be_read_proves_nothing,
    a_register_that_does_not_answer_proves_nothing,
    another_sum_or_currency_is_told,
    a_state_that_the_register_denies_is_told_until_it_agrees,
    a_second_payment_is_told_until_it_is_given_back,
    a_person_closes_a_discrepancy,
    lists_are_filtered_and_cut,
    requests_are_checked,
    a_run_that_is_cut_off_is_taken_up_again,
);

/// A Pay that only we have heard of.
async fn told(app: &TestApp, kind: &str, invoice: &str, transaction: i64, amount: &str, currency: &str, status: &str) {
    let transaction = transaction.to_string();
    let fields = [
        ("TransactionId", transaction.as_str()),
        ("Amount", amount),
        ("Currency", currency),
        ("OperationType", "Payment"),
        ("InvoiceId", invoice),
        ("AccountId", "user-42"),
        ("Status", status),
    ];
    app.notify(kind, &fields).await;
}

#[track_caller]
fn expect_over(run: &Reply, compared: i64) {
    assert_eq!((run.text("/state"), run.json["compared"].as_i64()), ("completed", Some(compared)), "{}", run.json);
    assert!(!run.text("/finished_at").is_empty() && run.json.get("reason").is_none(), "{}", run.json);
}

/// A second run finds nothing new and changes nothing.
async fn finds_nothing_more(app: &TestApp, compared: i64) {
    let before = app.discrepancies().await;
    let run = app.reconcile().await;
    expect_over(&run, compared);
    assert_eq!(run.json["discrepancies"], json!({}), "{}", run.json);
    assert_eq!((run.json["booked"].as_i64(), run.json["closed"].as_i64()), (Some(0), Some(0)));
    assert_eq!(app.discrepancies().await, before);
}

async fn what_we_were_not_told_is_booked(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let paid = paid_in_silence(&app, "KM-1").await;
    let refunded = app.create(card("KM-2", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.lose(NotificationKind::Refund);
    app.refund_in_cabinet(transaction_id(&refunded), 2500).await;
    let tried = app.create(widget("KM-3")).await.expect(201);
    app.lose(NotificationKind::Fail);
    app.pay(order(&tried, CARD_NO_FUNDS)).await;

    let run = app.reconcile().await;
    expect_over(&run, 4);
    // The attempt that failed is known since its Check; what became of it is news.
    assert_eq!(run.json["discrepancies"], json!({ "status_mismatch": 2, "refund_in_cabinet": 1 }), "{}", run.json);
    assert_eq!(run.json["booked"], 3);
    let seen = app.payment(paid.id()).await;
    expect_sums(&seen, "12500.00", "0.00", "12500.00");
    assert_eq!(app.history(paid.id()).await.pop().unwrap(), "awaiting_payer>paid by reconciliation");
    let row = app.rows(paid.id()).await.pop().unwrap();
    assert_eq!((row["cause"]["id"].as_str(), row["actor"].as_str()), (Some(run.id()), Some("worker:reconcile")));
    assert_eq!(app.events(paid.id()).await, ["payment.paid"]);
    let seen = app.payment(refunded.id()).await;
    expect_sums(&seen, "12500.00", "2500.00", "10000.00");
    assert_eq!(app.events(refunded.id()).await, ["payment.paid", "refund.succeeded"]);
    assert_eq!(app.payment(tried.id()).await.text("/decline/category"), "insufficient_funds");
    assert_eq!(app.events(tried.id()).await, ["payment.attempt_declined"]);
    for row in app.discrepancies().await {
        assert_eq!((row["opened_by"].as_str(), row["closing"]["by"].as_str()), (Some(run.id()), Some(run.id())));
        assert!(row["theirs"].is_object() && row["lost"] == false, "{row}");
    }
    // Money whose Check we were never asked either.
    app.let_others_answer().await;
    let unasked = app.create(widget("KM-4")).await.expect(201);
    app.pay(order(&unasked, APPROVED)).await;
    app.answer_ourselves();
    let run = app.reconcile().await;
    assert_eq!(run.json["discrepancies"], json!({ "missing_here": 1 }), "{}", run.json);
    assert_eq!(app.disagreements().await.pop().unwrap(), "missing_here booked");
    assert_eq!(app.payment(unasked.id()).await.text("/status"), "paid");
    finds_nothing_more(&app, 5).await;
    app.finish().await;
}

async fn a_lost_charge_is_decided_by_the_register(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    app.let_others_answer().await;
    app.break_answer("/payments/cards/charge", ApiFaultKind::DropAfter);
    let lost = app.create(card("KM-1", APPROVED)).await.expect(202);
    app.sandbox.flush_notifications().await;
    app.answer_ourselves();
    let paid = app.create(card("KM-2", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.lose(NotificationKind::Refund);
    app.break_answer("/payments/refund", ApiFaultKind::DropAfter);
    let refund = app.refund(paid.id(), "2500.00").await.expect(202);

    app.reconcile().await;
    let seen = app.payment(lost.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/outcome/certainty")), ("paid", "proven"));
    let refund = app.get(&format!("/v1/refunds/{}", refund.id())).await.expect(200);
    assert_eq!((refund.text("/status"), refund.text("/outcome/certainty")), ("succeeded", "proven"));
    expect_sums(&app.payment(paid.id()).await, "12500.00", "2500.00", "10000.00");
    assert_eq!(app.running.app.settle_step().await.unwrap(), 0, "nothing is left to ask about");
    assert_eq!(app.disagreements().await, ["missing_here booked", "missing_here booked"]);
    finds_nothing_more(&app, 3).await;
    app.finish().await;
}

async fn money_that_is_nobodys_stays_open(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    app.let_others_answer().await;
    let foreign = json!({ "amount": "700.00", "currency": "KZT", "invoice_id": "SHOP-1", "card": APPROVED });
    let money = app.pay(foreign.clone()).await.json["transaction_id"].clone();
    app.pay(with(foreign, "card", CARD_NO_FUNDS)).await;
    let run = app.reconcile().await;
    expect_over(&run, 2);
    let [row] = &app.discrepancies().await[..] else {
        panic!("an attempt that came to nothing is no business of ours")
    };
    assert_eq!((row["kind"].as_str(), &row["transaction_id"]), (Some("missing_here"), &money));
    assert_eq!(row["theirs"], json!({ "status": "completed", "amount": { "value": "700.00", "currency": "KZT" } }));
    assert_eq!((row["invoice_id"].as_str(), row["lost"].as_bool()), (Some("SHOP-1"), Some(false)));
    for absent in ["ours", "payment_id", "closing", "closed_at", "named_payment_id"] {
        assert!(row.get(absent).is_none(), "{absent}: {row}");
    }
    assert_eq!(app.get("/health/ready").await.expect(200).text("/register_gap"), "read");
    finds_nothing_more(&app, 2).await;
    app.stop().await;
}

async fn a_state_further_on_is_booked(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let held = app.create(with(card("KM-1", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.let_others_answer().await;
    // Taken in the provider's cabinet.
    let body = json!({ "TransactionId": transaction_id(&held), "Amount": 12500 });
    app.at_provider("/payments/confirm", body).await;
    app.sandbox.flush_notifications().await;
    app.reconcile().await;
    let seen = app.payment(held.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/captured/value")), ("paid", "12500.00"));
    let [row] = &app.discrepancies().await[..] else { panic!() };
    assert_eq!(
        (row["ours"]["status"].as_str(), row["theirs"]["status"].as_str()),
        (Some("authorized"), Some("completed"))
    );
    assert_eq!(app.disagreements().await, ["status_mismatch booked"]);
    finds_nothing_more(&app, 1).await;
    app.finish().await;
}

async fn what_the_provider_does_not_know_is_missing_there(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    told(&app, "pay", "KM-1", 5_000_000_001, "12500.00", "KZT", "Completed").await;
    let known = app.create(card("KM-2", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let run = app.reconcile().await;
    expect_over(&run, 1);
    let [row] = &app.discrepancies().await[..] else { panic!("{:?}", app.discrepancies().await) };
    assert_eq!((row["kind"].as_str(), row["payment_id"].as_str()), (Some("missing_there"), Some(payment.id())));
    assert!(row["ours"].is_object() && row.get("theirs").is_none(), "{row}");
    assert_eq!(app.payment(payment.id()).await.text("/attention"), "missing_there");
    assert_eq!(app.events(payment.id()).await, ["payment.paid", "payment.needs_attention"]);
    finds_nothing_more(&app, 1).await;
    assert_eq!(app.events(payment.id()).await, ["payment.paid", "payment.needs_attention"]);
    assert_eq!(app.payment(known.id()).await.text("/attention"), "");
    assert_eq!(Sql::open(&app.database.url).number("SELECT count(*) AS value FROM register_marks"), 0);

    // What we have only just heard of may not be in the register yet.
    let late = app.create(widget("KM-3")).await.expect(201);
    told(&app, "pay", "KM-3", 5_000_000_003, "12500.00", "KZT", "Completed").await;
    app.ask_for_run().await;
    app.step_runs().await;
    assert_eq!(app.disagreements().await, ["missing_there open"]);
    assert_eq!(app.payment(late.id()).await.text("/attention"), "");
    app.stop().await;
}

/// The provider never tells what became of one transaction: what stands behind it is asked about all the same.
async fn a_refused_question_holds_up_nothing(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    app.create(widget("KM-1")).await.expect(201);
    told(&app, "pay", "KM-1", 5_000_000_001, "12500.00", "KZT", "Completed").await;
    let body = json!({ "Model": null, "Success": false, "Message": "Not allowed for this terminal" }).to_string();
    let refused = ApiFaultKind::StatusAfter { status: 200, body: Some(body) };
    app.sandbox.fault(Fault::api("/payments/get", refused).times(4));
    let run = app.reconcile().await;
    assert_eq!(run.text("/state"), "running", "{}", run.json);
    for _ in 0..4 {
        app.advance(60);
        app.step_runs().await;
    }
    let run = app.get(&format!("/v1/reconciliations/{}", run.id())).await.expect(200);
    expect_over(&run, 0);
    // It is no proof that the transaction is missing there.
    assert!(app.disagreements().await.is_empty());
    app.stop().await;
}

async fn what_cannot_be_read_proves_nothing(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.create(widget("KM-2")).await.expect(201);
    told(&app, "pay", "KM-2", 5_000_000_002, "12500.00", "KZT", "Completed").await;
    app.break_answer(LIST, page(json!([{ "TransactionId": 1, "Type": 0, "Status": "Created" }, 7])));
    let run = app.reconcile().await;
    expect_over(&run, 0);
    assert_eq!((run.json["unreadable"].as_i64(), app.discrepancies().await.len()), (Some(2), 0));
    // One that the page does not show but the provider knows is not missing either.
    app.break_answer(LIST, page(json!([])));
    let run = app.reconcile().await;
    expect_over(&run, 0);
    assert_eq!(app.disagreements().await, ["missing_there open"]);
    assert_eq!(app.payment(payment.id()).await.text("/attention"), "");
    app.stop().await;
}

async fn a_register_that_does_not_answer_proves_nothing(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    app.create(widget("KM-1")).await.expect(201);
    told(&app, "pay", "KM-1", 5_000_000_001, "12500.00", "KZT", "Completed").await;
    app.break_answer(LIST, ApiFaultKind::StatusBefore { status: 503 });
    let run = app.reconcile().await;
    assert_eq!(run.text("/state"), "running");
    assert!(run.text("/reason").contains("HTTP 503"), "{}", run.json);
    assert_eq!(app.discrepancies().await.len(), 0);
    // Neither does one question without an answer.
    app.break_answer("/payments/get", ApiFaultKind::GarbageAfter);
    app.advance(10);
    app.step_runs().await;
    assert_eq!(app.discrepancies().await.len(), 0);
    app.advance(10);
    app.step_runs().await;
    let run = app.get(&format!("/v1/reconciliations/{}", run.id())).await.expect(200);
    expect_over(&run, 0);
    assert_eq!(app.disagreements().await, ["missing_there open"]);
    // It is given up in the end.
    let run = app.ask_for_run().await;
    for _ in 0..40 {
        app.break_answer(LIST, ApiFaultKind::StatusBefore { status: 503 });
        app.advance(600);
        app.step_runs().await;
    }
    let run = app.get(&format!("/v1/reconciliations/{}", run.id())).await.expect(200);
    assert_eq!((run.text("/state"), run.text("/reason").contains("HTTP 503")), ("failed", true), "{}", run.json);
    app.stop().await;
}

async fn another_sum_or_currency_is_told(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let sum = paid_in_silence(&app, "KM-1").await;
    let currency = paid_in_silence(&app, "KM-2").await;
    let ids: Vec<i64> = app.sandbox.ledger().transactions.iter().map(|entry| entry.transaction_id).collect();
    told(&app, "pay", "KM-1", ids[0], "12500.00", "KZT", "Completed").await;
    told(&app, "pay", "KM-2", ids[1], "12500.00", "KZT", "Completed").await;
    let item = |id: i64, invoice: &str, amount: u32, currency: &str| {
        json!({
            "TransactionId": id, "Type": 0, "Status": "Completed", "Amount": amount, "Currency": currency,
            "InvoiceId": invoice, "CreatedDateIso": "2026-03-01T00:00:00",
        })
    };
    let page = [item(ids[0], "KM-1", 12_000, "KZT"), item(ids[1], "KM-2", 12_500, "RUB")];
    let body = json!({ "Model": page, "Success": true, "Message": null }).to_string();
    app.break_answer(LIST, ApiFaultKind::StatusAfter { status: 200, body: Some(body) });
    let run = app.reconcile().await;
    expect_over(&run, 2);
    let rows = app.discrepancies().await;
    let row = |kind: &str| rows.iter().find(|row| row["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {rows:?}"));
    let amount = |value: &str, currency: &str| json!({ "value": value, "currency": currency });
    let one = row("amount_mismatch");
    assert_eq!(one["ours"]["amount"], amount("12500.00", "KZT"));
    assert_eq!((&one["theirs"]["amount"], one["payment_id"].as_str()), (&amount("12000.00", "KZT"), Some(sum.id())));
    let other = row("currency_mismatch");
    assert_eq!(other["theirs"]["amount"], amount("12500.00", "RUB"));
    assert_eq!(other["payment_id"].as_str(), Some(currency.id()));
    for payment in [&sum, &currency] {
        let seen = app.payment(payment.id()).await;
        assert_eq!(seen.text("/status"), "paid");
        assert!(matches!(seen.text("/attention"), "amount_mismatch" | "currency_mismatch"), "{}", seen.json);
    }
    // The register as it is agrees with ours.
    app.reconcile().await;
    let mut ended = app.disagreements().await;
    ended.sort();
    assert_eq!(ended, ["amount_mismatch agrees", "currency_mismatch agrees"]);
    app.stop().await;
}

async fn a_state_that_the_register_denies_is_told_until_it_agrees(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let held = app.create(with(card("KM-1", APPROVED), "capture", "manual")).await.expect(201);
    app.sandbox.flush_notifications().await;
    told(&app, "confirm", "KM-1", transaction_id(&held), "12500.00", "KZT", "Completed").await;
    assert_eq!(app.payment(held.id()).await.text("/status"), "paid");
    app.reconcile().await;
    assert_eq!(app.disagreements().await, ["status_mismatch open"]);
    assert_eq!(app.payment(held.id()).await.text("/attention"), "status_mismatch");
    finds_nothing_more(&app, 1).await;
    app.let_others_answer().await;
    app.at_provider("/payments/confirm", json!({ "TransactionId": transaction_id(&held), "Amount": 12500 })).await;
    let run = app.reconcile().await;
    assert_eq!((run.json["closed"].as_i64(), run.json["discrepancies"].clone()), (Some(1), json!({})));
    assert_eq!(app.disagreements().await, ["status_mismatch agrees"]);
    assert_eq!(app.discrepancies().await[0]["closing"]["by"], run.id());
    finds_nothing_more(&app, 1).await;
    app.finish().await;
}

async fn a_second_payment_is_told_until_it_is_given_back(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    app.pay(order(&payment, APPROVED)).await;
    app.let_others_answer().await;
    let second = app.pay(order(&payment, APPROVED)).await.json["transaction_id"].as_i64().unwrap();
    app.reconcile().await;
    assert_eq!(app.disagreements().await, ["missing_here booked", "duplicate open"]);
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/attention"), seen.text("/captured/value")), ("paid_twice", "12500.00"));
    assert_eq!(app.discrepancies().await[0]["transaction_id"], second, "the second one, not the first");
    finds_nothing_more(&app, 2).await;
    app.refund_in_cabinet(second, 12500).await;
    let run = app.reconcile().await;
    assert_eq!((run.json["booked"].as_i64(), run.json["closed"].as_i64()), (Some(1), Some(1)), "{}", run.json);
    assert_eq!(app.disagreements().await, ["missing_here booked", "duplicate agrees", "refund_in_cabinet booked"]);
    expect_sums(&app.payment(payment.id()).await, "12500.00", "0.00", "12500.00");
    finds_nothing_more(&app, 3).await;
    app.stop().await;
}

async fn a_person_closes_a_discrepancy(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    app.let_others_answer().await;
    app.pay(json!({ "amount": "700.00", "currency": "KZT", "invoice_id": "SHOP-1", "card": APPROVED })).await;
    app.reconcile().await;
    let open = app.discrepancies().await[0].clone();
    let path = format!("/v1/discrepancies/{}", open["id"].as_str().unwrap());
    let close = format!("{path}/close");
    for (wrong, fault) in [
        (json!({}), "/reason: required"),
        (json!({ "reason": " " }), "/reason: must_not_be_empty"),
        (json!({ "reason": "4242 4242 4242 4242" }), "/reason: card_data_not_allowed"),
        (json!({ "reason": "x", "why": 1 }), "/why: unknown_field"),
    ] {
        assert_eq!(app.post(&close, wrong).await.expect_problem(422, "invalid_request"), [fault]);
    }
    let body = json!({ "reason": "Booked by the call centre" });
    let closed = app.post_as(&close, "close-1", body.clone()).await.expect(200);
    assert_eq!(closed.text("/closing/resolution"), "operator");
    assert_eq!(closed.text("/closing/reason"), "Booked by the call centre");
    assert!(closed.text("/closing/by").starts_with("key_") && closed.text("/closed_at").ends_with('Z'));
    let repeat = app.post_as(&close, "close-1", body.clone()).await.expect(200);
    assert_eq!((repeat.bytes, repeat.headers["idempotent-replayed"].as_str()), (closed.bytes.clone(), "true"));
    app.post(&close, body.clone()).await.expect_problem(409, "invalid_state");
    assert_eq!(app.get(&path).await.expect(200).json, closed.json);
    let nobody = "/v1/discrepancies/dis_01kaq0m5c3v7b1n6m2x8z4a9qe";
    app.post(&format!("{nobody}/close"), body).await.expect_problem(404, "not_found");
    app.get(nobody).await.expect_problem(404, "not_found");
    // As long as both books say the same it stays closed.
    finds_nothing_more(&app, 1).await;
    app.stop().await;
}

/// The kinds of a list that is read entry by entry.
async fn kinds(app: &TestApp, query: &str) -> String {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/discrepancies?limit=1{query}{cursor}")).await.expect(200);
        let rows = page.json["data"].as_array().unwrap();
        found.extend(rows.iter().map(|row| row["kind"].as_str().unwrap().to_owned()));
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found.join(","),
        }
    }
}

async fn lists_are_filtered_and_cut(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let missing = app.create(widget("KM-1")).await.expect(201);
    told(&app, "pay", "KM-1", 5_000_000_001, "12500.00", "KZT", "Completed").await;
    let paid = paid_in_silence(&app, "KM-2").await;
    app.let_others_answer().await;
    app.pay(json!({ "amount": "700.00", "currency": "KZT", "invoice_id": "SHOP-1", "card": APPROVED })).await;
    app.reconcile().await;
    assert_eq!(kinds(&app, "").await, "missing_there,missing_here,status_mismatch");
    assert_eq!(kinds(&app, "&status=open").await, "missing_there,missing_here");
    assert_eq!(kinds(&app, "&status=closed").await, "status_mismatch");
    assert_eq!(kinds(&app, "&kind=missing_here").await, "missing_here");
    assert_eq!(kinds(&app, &format!("&payment_id={}", missing.id())).await, "missing_there");
    assert_eq!(kinds(&app, &format!("&payment_id={}&status=open", paid.id())).await, "");
    for wrong in ["status=new", "kind=lost", "payment_id=1", "cursor=zzz", "day=1"] {
        app.get(&format!("/v1/discrepancies?{wrong}")).await.expect_problem(422, "invalid_request");
    }
    app.reconcile().await;
    let runs = app.get("/v1/reconciliations?limit=1").await.expect(200);
    let next = runs.text("/next_cursor");
    assert!(!next.is_empty(), "{}", runs.json);
    let older = app.get(&format!("/v1/reconciliations?limit=1&cursor={next}")).await.expect(200);
    assert_eq!((older.text("/next_cursor"), older.json["data"][0]["booked"].as_i64()), ("", Some(1)), "{}", older.json);
    assert_ne!(older.json["data"][0]["id"], runs.json["data"][0]["id"]);
    app.stop().await;
}

async fn requests_are_checked(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let path = "/v1/reconciliations";
    for (body, faults) in [
        (json!({}), &["/from: required", "/to: required"][..]),
        (json!({ "date": "2026-02-30" }), &["/date: not_a_date"]),
        (json!({ "date": "2026-02-03", "to": "2026-02-04T00:00:00Z" }), &["/to: unknown_field"]),
        (json!({ "from": "2026-02-03T00:00:00Z", "to": "2026-02-11T00:00:00Z" }), &["/to: out_of_range"]),
        (json!({ "date": "2199-01-01" }), &[": not_over_yet"]),
    ] {
        assert_eq!(app.post(path, body.clone()).await.expect_problem(422, "invalid_request"), faults, "{body}");
    }
    let day = json!({ "date": "2026-02-03" });
    let made = app.post_as(path, "run-1", day.clone()).await.expect(201);
    assert_eq!((made.text("/from"), made.text("/to")), ("2026-02-03T00:00:00Z", "2026-02-04T00:00:00Z"));
    assert_eq!((made.text("/state"), made.text("/purpose")), ("running", "requested"));
    assert_eq!(made.header("location"), format!("{path}/{}", made.id()));
    let repeat = app.post_as(path, "run-1", day.clone()).await.expect(201);
    assert_eq!((repeat.id(), repeat.header("idempotent-replayed")), (made.id(), "true"));
    app.post_as(path, "run-1", json!({ "date": "2026-02-04" })).await.expect_problem(422, "idempotency_key_reused");
    for _ in 0..9 {
        app.post(path, day.clone()).await.expect(201);
    }
    app.post(path, day.clone()).await.expect_problem(409, "too_many_reconciliations");
    app.step_runs().await;
    app.post(path, day).await.expect(201);
    let reader = app.new_key(&[Scope::PaymentsRead, Scope::PaymentsWrite, Scope::RefundsWrite]).await;
    for path in [path, "/v1/discrepancies", "/v1/chargebacks"] {
        let reply = app.call_as("GET", path, Some(&format!("Bearer {reader}"))).await;
        reply.expect_problem(403, "missing_scope");
    }
    app.stop().await;
}

/// A payment by somebody else who shares the terminal.
fn foreign_charge(number: usize) -> Body {
    json!({
        "Amount": 10, "Currency": "KZT", "IpAddress": "198.51.100.42", "InvoiceId": format!("SHOP-{number}"),
        "CardCryptogramPacket": cloudpayments_sandbox::cryptogram(APPROVED, "3012"),
    })
}

async fn a_run_that_is_cut_off_is_taken_up_again(engine: Engine) {
    let app = with_quiet_runs(engine).await;
    let payment = paid_in_silence(&app, "KM-1").await;
    app.let_others_answer().await;
    for number in 0..129 {
        app.at_provider("/payments/cards/charge", foreign_charge(number)).await;
    }
    app.advance(3600);
    let run = app.ask_for_run().await;
    let path = format!("/v1/reconciliations/{}", run.id());
    assert_eq!(app.running.app.reconcile_step().await.unwrap(), 1);
    assert_eq!(app.get(&path).await.json["compared"], 100);
    // The process dies while it waits for the second page.
    app.break_answer(LIST, ApiFaultKind::Delay { ms: 60_000 });
    let cut_off = tokio::time::timeout(Duration::from_millis(500), app.running.app.reconcile_step()).await;
    assert!(cut_off.is_err());
    assert_eq!(app.running.app.reconcile_step().await.unwrap(), 0, "somebody may still be working on it");
    app.advance(600);
    app.step_runs().await;
    let run = app.get(&path).await.expect(200);
    expect_over(&run, 130);
    assert_eq!(run.json["discrepancies"], json!({ "missing_here": 129, "status_mismatch": 1 }), "{}", run.json);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    app.stop().await;
}

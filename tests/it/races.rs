//! Many requests at the same time.
//!
//! ```sh
//! RACE_ROUNDS=1000 cargo test --test it races:: -- --nocapture
//! ```
//!
//! runs each race a thousand times on both databases and prints how often each side won; on PostgreSQL the competitors
//! are spread over two instances of the service. From a hundred rounds on each side must have won at least once. Without the
//! variable each runs a few times.

use std::time::Duration;

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationFaultKind, NotificationKind, TransactionType};
use serde_json::json;

use crate::support::{
    APPROVED, Body, Engine, Race, Reply, TestApp, Whole, card, expect_sums, money, order, widget, with,
};

crate::on_both!(
    one_key_makes_one_payment,
    one_key_makes_one_refund,
    equal_refunds_never_exceed_what_was_taken,
    differing_refunds_never_exceed_what_was_taken,
    a_refund_and_one_from_the_cabinet_for_the_same_money,
    a_refund_and_one_from_the_cabinet_for_other_money,
    capture_and_cancel_do_not_both_win,
    two_tabs_pay_once,
    paying_and_withdrawing_do_not_both_win,
    paying_and_expiring_lose_no_money,
    the_notification_and_the_answer_of_a_charge,
    the_notification_and_the_answer_of_a_refund,
    sync_and_the_worker_settle_a_charge_once,
    sync_and_the_worker_settle_a_refund_once,
    many_payments_at_once_are_all_booked,
);

/// Connections that send the same request under the same key.
const CONNECTIONS: usize = 50;

fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

/// One of them did the work; the others got its bytes, or were told that it is still running.
#[track_caller]
fn expect_one_effect(replies: &[Reply]) -> &'static str {
    let fresh: Vec<&Reply> =
        replies.iter().filter(|reply| reply.header("idempotent-replayed").is_empty() && reply.status == 201).collect();
    assert_eq!(fresh.len(), 1);
    for reply in replies {
        match reply.status {
            201 => assert_eq!((reply.id(), reply.text("/status")), (fresh[0].id(), fresh[0].text("/status"))),
            _ => {
                reply.expect_problem(409, "idempotency_in_progress");
                assert!(!reply.header("retry-after").is_empty());
            }
        }
    }
    if count(replies, 409) > 0 { "some were told that it is running" } else { "all got the answer" }
}

async fn paid(race: &Race, round: u32) -> Reply {
    let payment = race.app.create(card(&format!("X-{round}"), APPROVED)).await.expect(201);
    race.app.sandbox.flush_notifications().await;
    payment
}

/// Up to ten milliseconds, another pause each round, so that a race is run over every distance.
async fn head_start(round: u32) {
    tokio::time::sleep(Duration::from_micros(u64::from(round * 37 % 100) * 100)).await;
}

/// In every other round: for the side that else wins nearly always, so that the other one has its chance.
async fn sometimes_later(round: u32) {
    if round % 2 == 1 {
        head_start(round).await;
    }
}

/// The notification is on its way while the answer is held back for up to three milliseconds.
fn hold_answer_back(race: &Race, path: &str, round: u32) {
    race.app.sandbox.fault(Fault::api(path, ApiFaultKind::Delay { ms: u64::from(round % 4) }));
}

fn key(name: &str, round: u32, number: usize) -> String {
    format!("{name}-{round}-{number}")
}

async fn one_key_makes_one_payment(engine: Engine) {
    let mut race = Race::start("one key from 50 connections, payment", engine).await;
    for round in race.rounds() {
        let (key, body) = (key("one", round, 0), card(&format!("X-{round}"), APPROVED));
        let all = (0..CONNECTIONS).map(|number| race.posting(number, "/v1/payments", &key, &body)).collect();
        let replies = race.app.at_once(all).await;
        race.won(expect_one_effect(&replies));
        let repeat = Reply::receive(race.posting(1, "/v1/payments", &key, &body)).await.expect(201);
        assert_eq!(repeat.header("idempotent-replayed"), "true");
        let whole = race.whole(repeat.id()).await;
        assert_eq!((whole.status(), whole.ledger.len()), ("paid", 1));
        assert_eq!(whole.events, ["payment.paid"]);
        assert_eq!(race.app.of_invoice(&format!("X-{round}")).await.len(), 1);
    }
    race.finish().await;
}

async fn one_key_makes_one_refund(engine: Engine) {
    let mut race = Race::start("one key from 50 connections, refund", engine).await;
    for round in race.rounds() {
        let payment = paid(&race, round).await;
        let path = format!("/v1/payments/{}/refunds", payment.id());
        let (key, body) = (key("one", round, 0), json!({ "amount": money("100.00") }));
        let replies =
            race.app.at_once((0..CONNECTIONS).map(|number| race.posting(number, &path, &key, &body)).collect()).await;
        race.won(expect_one_effect(&replies));
        let whole = race.whole(payment.id()).await;
        assert_eq!(whole.completed(TransactionType::Refund), 1);
        expect_sums(&whole.payment, "12500.00", "100.00", "12400.00");
    }
    race.finish().await;
}

/// Sends all refunds at the same time. Those that are refused would not have fitted into what was left.
async fn refund_all(race: &mut Race, round: u32, amounts: &[&str]) -> (usize, Whole) {
    let payment = paid(race, round).await;
    let path = format!("/v1/payments/{}/refunds", payment.id());
    let all = amounts.iter().enumerate().map(|(number, amount)| {
        race.posting(number, &path, &key("refund", round, number), &json!({ "amount": money(amount) }))
    });
    let replies = race.app.at_once(all.collect()).await;
    let whole = race.whole(payment.id()).await;
    let minor = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
    let left = minor(whole.payment.text("/refundable/value"));
    let mut given_back = 0;
    for (reply, amount) in replies.iter().zip(amounts) {
        if reply.status == 201 {
            assert_eq!(reply.text("/status"), "succeeded", "{}", reply.json);
            given_back += minor(amount);
        } else {
            reply.expect_problem(409, "refund_exceeds_captured");
            assert!(minor(amount) > left, "{amount} was refused although {left} is left");
        }
    }
    assert_eq!(given_back, minor(whole.payment.text("/refunded/value")));
    assert!(whole.payment.json.get("attention").is_none(), "{}", whole.payment.json);
    (count(&replies, 201), whole)
}

async fn equal_refunds_never_exceed_what_was_taken(engine: Engine) {
    let mut race = Race::start("ten equal refunds", engine).await;
    for round in race.rounds() {
        let (made, whole) = refund_all(&mut race, round, &["2000.00"; 10]).await;
        assert_eq!((made, whole.completed(TransactionType::Refund)), (6, 6));
        expect_sums(&whole.payment, "12500.00", "12000.00", "500.00");
        race.won("six fit");
    }
    race.finish().await;
}

async fn differing_refunds_never_exceed_what_was_taken(engine: Engine) {
    let mut race = Race::start("seven differing refunds", engine).await;
    let amounts = ["9000.00", "7000.00", "5000.00", "4000.00", "2500.00", "1000.01", "0.01"];
    for round in race.rounds() {
        let (made, whole) = refund_all(&mut race, round, &amounts).await;
        race.won(format!("{made} of {}", whole.payment.text("/refunded/value")));
    }
    race.finish().await;
}

/// A refund by the API and one in the provider's cabinet at the same time: whether each was made.
async fn refund_and_cabinet(race: &mut Race, round: u32, amount: &str) -> (bool, bool, Whole) {
    let payment = paid(race, round).await;
    let path = format!("/v1/payments/{}/refunds", payment.id());
    let ours = race.posting(0, &path, &key("refund", round, 0), &json!({ "amount": money(amount) }));
    let transaction_id = payment.json["transactions"][0]["transaction_id"].clone();
    let body = json!({ "transaction_id": transaction_id, "amount": amount });
    // The cabinet has the shorter way.
    let cabinet = async {
        head_start(round).await;
        race.app.at_sandbox("/sandbox/cabinet/refund", body).await
    };
    let (ours, cabinet) = tokio::join!(Reply::receive(ours), cabinet);
    let made = match ours.status {
        201 => ours.text("/status") == "succeeded",
        _ => {
            ours.expect_problem(409, "refund_exceeds_captured");
            false
        }
    };
    let whole = race.whole(payment.id()).await;
    (made, cabinet.status == 200, whole)
}

async fn a_refund_and_one_from_the_cabinet_for_the_same_money(engine: Engine) {
    let mut race = Race::start("a refund and one from the cabinet, one fits", engine).await;
    for round in race.rounds() {
        let (ours, cabinet, whole) = refund_and_cabinet(&mut race, round, "10000.00").await;
        assert!(ours != cabinet, "both or none: {}", whole.payment.json);
        expect_sums(&whole.payment, "12500.00", "10000.00", "2500.00");
        assert_eq!(whole.completed(TransactionType::Refund), 1);
        race.won(if ours { "the site" } else { "the cabinet" });
    }
    race.each_won(&["the site", "the cabinet"]);
    race.finish().await;
}

async fn a_refund_and_one_from_the_cabinet_for_other_money(engine: Engine) {
    let mut race = Race::start("a refund and one from the cabinet, both fit", engine).await;
    for round in race.rounds() {
        let (ours, cabinet, whole) = refund_and_cabinet(&mut race, round, "5000.00").await;
        assert!(ours && cabinet, "{}", whole.payment.json);
        expect_sums(&whole.payment, "12500.00", "10000.00", "2500.00");
        assert!(whole.payment.json.get("attention").is_none(), "{}", whole.payment.json);
        let first = whole.ledger.iter().find(|entry| entry.kind == TransactionType::Refund).unwrap();
        race.won(if first.refund_id.is_some() { "the site first" } else { "the cabinet first" });
    }
    race.each_won(&["the site first", "the cabinet first"]);
    race.finish().await;
}

async fn capture_and_cancel_do_not_both_win(engine: Engine) {
    let mut race = Race::start("capture and cancel", engine).await;
    for round in race.rounds() {
        let held = race.app.create(with(card(&format!("X-{round}"), APPROVED), "capture", "manual")).await.expect(201);
        let act = |number: usize, action: &str| {
            let path = format!("/v1/payments/{}/{action}", held.id());
            Reply::receive(race.posting(number, &path, &key(action, round, number), &json!({})))
        };
        let first = usize::try_from(round / 2 % 2).unwrap();
        // A cancellation has to look first whether another attempt has paid.
        let capture = async {
            sometimes_later(round).await;
            act(first, "capture").await
        };
        let (capture, cancel) = tokio::join!(capture, act(1 - first, "cancel"));
        let (winner, loser, status) =
            if capture.status == 200 { (capture, cancel, "paid") } else { (cancel, capture, "cancelled") };
        assert_eq!(winner.expect(200).text("/status"), status);
        assert_eq!(loser.status, 409, "{}", loser.json);
        assert!(matches!(loser.text("/code"), "operation_in_progress" | "invalid_state"), "{}", loser.json);
        let whole = race.whole(held.id()).await;
        assert_eq!(whole.status(), status);
        assert_eq!(whole.ledger.len(), 1);
        assert_eq!(whole.events, ["payment.authorized", &format!("payment.{status}")]);
        race.won(if status == "paid" { "capture" } else { "cancel" });
    }
    race.each_won(&["capture", "cancel"]);
    race.finish().await;
}

async fn two_tabs_pay_once(engine: Engine) {
    let mut race = Race::start("two tabs", engine).await;
    for round in race.rounds() {
        let created = race.app.create(widget(&format!("X-{round}"))).await.expect(201);
        let tab = || race.app.at_sandbox("/sandbox/pay", order(&created, APPROVED));
        let (one, other) = tokio::join!(tab(), tab());
        let statuses = [one.text("/status"), other.text("/status")];
        assert!(matches!(statuses, ["Completed", "Declined"] | ["Declined", "Completed"]), "{statuses:?}");
        let whole = race.whole(created.id()).await;
        assert_eq!((whole.status(), whole.completed(TransactionType::Payment)), ("paid", 1));
        assert_eq!(
            (whole.count("payment.paid"), whole.count("payment.attempt_declined")),
            (1, 1),
            "{:?}",
            whole.events
        );
        assert!(whole.payment.json.get("attention").is_none(), "{}", whole.payment.json);
        race.won(if statuses[0] == "Completed" { "the first tab" } else { "the second tab" });
    }
    race.each_won(&["the first tab", "the second tab"]);
    race.finish().await;
}

async fn paying_and_withdrawing_do_not_both_win(engine: Engine) {
    let mut race = Race::start("pay and withdraw", engine).await;
    for round in race.rounds() {
        let created = race.app.create(widget(&format!("X-{round}"))).await.expect(201);
        let pay = async {
            sometimes_later(round).await;
            race.app.at_sandbox("/sandbox/pay", order(&created, APPROVED)).await
        };
        let path = format!("/v1/payments/{}/cancel", created.id());
        let withdraw = Reply::receive(race.posting(0, &path, &key("withdraw", round, 0), &json!({})));
        let (pay, cancel) = tokio::join!(pay, withdraw);
        let whole = race.whole(created.id()).await;
        let paid = pay.text("/status") == "Completed";
        assert_eq!(cancel.status, if paid { 409 } else { 200 }, "{} {}", pay.json, cancel.json);
        assert_eq!(whole.status(), if paid { "paid" } else { "cancelled" });
        race.won(if paid { "the payer" } else { "the site" });
    }
    race.each_won(&["the payer", "the site"]);
    race.finish().await;
}

async fn paying_and_expiring_lose_no_money(engine: Engine) {
    let mut race = Race::start("pay and expire", engine).await;
    for round in race.rounds() {
        let created = race.app.create(with(widget(&format!("X-{round}")), "expires_in", 60)).await.expect(201);
        let pay = race.app.at_sandbox("/sandbox/pay", order(&created, APPROVED));
        let expire = async {
            race.app.advance(61);
            race.worker().expire_step().await.unwrap()
        };
        let (pay, _) = tokio::join!(pay, expire);
        race.app.sandbox.flush_notifications().await;
        // Where the step came too early for this payment, the next one ends it, after a pause.
        race.app.advance(6);
        race.worker().expire_step().await.unwrap();
        let whole = race.whole(created.id()).await;
        let paid = pay.text("/status") == "Completed";
        assert_eq!(whole.status(), if paid { "paid" } else { "expired" }, "{}", whole.payment.json);
        let ended_before = whole.moves.contains(&"awaiting_payer>expired".to_owned());
        race.won(match (paid, ended_before) {
            (true, false) => "the payer",
            (true, true) => "the clock, then the money",
            (false, _) => "the clock",
        });
    }
    race.each_won(&["the payer", "the clock"]);
    race.finish().await;
}

async fn the_notification_and_the_answer_of_a_charge(engine: Engine) {
    let mut race = Race::start("notification and answer of a charge", engine).await;
    for round in race.rounds() {
        let body = card(&format!("X-{round}"), APPROVED);
        hold_answer_back(&race, "/payments/cards/charge", round);
        let answer = Reply::receive(race.posting(0, "/v1/payments", &key("charge", round, 0), &body)).await.expect(201);
        assert_eq!(answer.text("/status"), "paid");
        let whole = race.whole(answer.id()).await;
        assert_eq!(whole.moves, ["none>processing", "processing>paid"]);
        assert_eq!(whole.events, ["payment.paid"]);
        race.won(if whole.causes[1].starts_with("notification") { "the notification" } else { "the answer" });
    }
    race.each_won(&["the notification", "the answer"]);
    race.finish().await;
}

async fn the_notification_and_the_answer_of_a_refund(engine: Engine) {
    let mut race = Race::start("notification and answer of a refund", engine).await;
    for round in race.rounds() {
        let payment = paid(&race, round).await;
        let path = format!("/v1/payments/{}/refunds", payment.id());
        let body = json!({ "amount": money("2500.00") });
        hold_answer_back(&race, "/payments/refund", round);
        let answer = Reply::receive(race.posting(0, &path, &key("refund", round, 0), &body)).await.expect(201);
        assert_eq!(answer.text("/status"), "succeeded");
        let whole = race.whole(payment.id()).await;
        assert_eq!(whole.moves[3..], ["paid>partially_refunded"], "{:?}", whole.moves);
        assert_eq!(whole.events, ["payment.paid", "refund.succeeded"]);
        race.won(if whole.causes[3].starts_with("notification") { "the notification" } else { "the answer" });
    }
    race.each_won(&["the notification", "the answer"]);
    race.finish().await;
}

/// A request whose answer and notification are lost, then `sync` and the worker at the same time.
async fn lost_then_settled(
    race: &mut Race,
    round: u32,
    path: &str,
    notification: NotificationKind,
    payment_id: Option<&str>,
    request: reqwest::RequestBuilder,
) -> Whole {
    race.app.sandbox.fault(Fault::api(path, ApiFaultKind::DropAfter));
    race.app.sandbox.fault(Fault::notification(notification, NotificationFaultKind::Lose));
    let lost = Reply::receive(request).await.expect(202);
    let payment_id = payment_id.unwrap_or(lost.id()).to_owned();
    race.app.advance(6);
    let sync = Reply::receive(race.posting(0, &format!("/v1/payments/{payment_id}/sync"), "", &json!({})));
    let worker = async {
        // It has the shorter way.
        sometimes_later(round).await;
        race.worker().settle_step().await
    };
    let (synced, step) = tokio::join!(sync, worker);
    synced.expect(200);
    step.unwrap();
    let whole = race.whole(&payment_id).await;
    let by_worker = whole.causes.iter().any(|cause| cause == "lookup worker:settle");
    race.won(if by_worker { "the worker" } else { "sync" });
    whole
}

async fn sync_and_the_worker_settle_a_charge_once(engine: Engine) {
    let mut race = Race::start("sync and the worker, charge", engine).await;
    for round in race.rounds() {
        let body: Body = card(&format!("X-{round}"), APPROVED);
        let request = race.posting(0, "/v1/payments", &key("charge", round, 0), &body);
        let whole =
            lost_then_settled(&mut race, round, "/payments/cards/charge", NotificationKind::Pay, None, request).await;
        assert_eq!(whole.moves, ["none>processing", "processing>processing", "processing>paid"]);
        assert_eq!((whole.ledger.len(), whole.events), (1, vec!["payment.paid".to_owned()]));
    }
    race.each_won(&["the worker", "sync"]);
    race.finish().await;
}

async fn sync_and_the_worker_settle_a_refund_once(engine: Engine) {
    let mut race = Race::start("sync and the worker, refund", engine).await;
    for round in race.rounds() {
        let payment = paid(&race, round).await;
        let path = format!("/v1/payments/{}/refunds", payment.id());
        let body = json!({ "amount": money("2500.00") });
        let request = race.posting(0, &path, &key("refund", round, 0), &body);
        let kind = NotificationKind::Refund;
        let whole = lost_then_settled(&mut race, round, "/payments/refund", kind, Some(payment.id()), request).await;
        assert_eq!((whole.status(), whole.completed(TransactionType::Refund)), ("partially_refunded", 1));
        assert_eq!(whole.events, ["payment.paid", "refund.succeeded"]);
    }
    race.each_won(&["the worker", "sync"]);
    race.finish().await;
}

async fn many_payments_at_once_are_all_booked(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = |number: usize| card(&format!("X-{number}"), APPROVED);
    let replies = app
        .at_once((0..25).map(|number| app.posting("/v1/payments", &format!("many-{number}"), &body(number))).collect())
        .await;
    assert_eq!(count(&replies, 201), 25);
    assert!(replies.iter().all(|reply| reply.text("/status") == "paid"));
    assert_eq!(app.charges(), 25);
    app.finish().await;
}

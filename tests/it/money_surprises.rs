//! Money that comes where nobody expected it: recorded, shown, announced; never dropped, never silently booked.

use cloudpayments_sandbox::{ApiFaultKind, NotificationFaultKind, NotificationKind};
use serde_json::json;

use crate::support::{APPROVED, CARD_NO_FUNDS, Engine, Reply, TestApp, card, form, widget};

crate::on_both!(
    a_second_pay_leaves_the_payment_paid,
    a_pay_of_another_sum_does_not_pay,
    a_pay_in_another_currency_does_not_pay,
    a_pay_wins_over_expired_and_cancelled,
    a_pay_wins_over_declined,
    a_pay_wins_over_a_released_hold,
    a_refund_from_the_cabinet_is_booked,
    a_refund_from_the_cabinet_may_overtake_its_pay,
    a_refund_is_in_the_currency_of_what_it_gives_back,
    more_is_given_back_in_the_cabinet_than_was_left,
    a_charge_of_a_plan_fits_nothing,
    two_payments_share_a_bill,
    our_id_with_another_bill_is_not_believed,
    a_transaction_stays_with_its_payment,
    a_pay_for_nothing_we_know_is_announced,
    a_refusal_for_nothing_we_know_calls_nobody,
    what_cannot_be_read_is_announced,
    what_is_matched_by_hand_is_announced,
    a_notification_before_our_own_answer_is_counted,
);

/// A Pay of one stage.
async fn pay(app: &TestApp, invoice: &str, transaction: &str, amount: &str, currency: &str) {
    app.notify("pay", &pay_fields(invoice, transaction, amount, currency)).await;
}

fn pay_fields<'a>(
    invoice: &'a str,
    transaction: &'a str,
    amount: &'a str,
    currency: &'a str,
) -> [(&'static str, &'a str); 7] {
    [
        ("TransactionId", transaction),
        ("Amount", amount),
        ("Currency", currency),
        ("OperationType", "Payment"),
        ("InvoiceId", invoice),
        ("AccountId", "user-42"),
        ("Status", "Completed"),
    ]
}

async fn needs_attention(app: &TestApp, payment: &Reply, status: &str, attention: &str) {
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/attention")), (status, attention), "{}", seen.json);
    let told = app.events(payment.id()).await;
    assert_eq!(told.iter().filter(|kind| *kind == "payment.needs_attention").count(), 1, "{told:?}");
}

async fn a_second_pay_leaves_the_payment_paid(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", "KZT").await;
    assert_eq!(app.payment(payment.id()).await.text("/attention"), "");
    pay(&app, "KM-1", "5000000002", "12500.00", "KZT").await;
    needs_attention(&app, &payment, "paid", "paid_twice").await;
    let seen = app.payment(payment.id()).await;
    assert_eq!(seen.text("/captured/value"), "12500.00");
    assert_eq!(seen.json["transactions"].as_array().unwrap().len(), 2, "both are shown");
    assert_eq!(app.surprises("paid_twice"), 1);
    app.stop().await;
}

async fn a_pay_of_another_sum_does_not_pay(engine: Engine) {
    let app = TestApp::start(engine).await;
    for (number, amount) in ["12499.99", "12500.01", "1.00"].into_iter().enumerate() {
        let invoice = format!("KM-{number}");
        let payment = app.create(widget(&invoice)).await.expect(201);
        pay(&app, &invoice, &format!("500000000{number}"), amount, "KZT").await;
        needs_attention(&app, &payment, "awaiting_payer", "amount_mismatch").await;
        let seen = app.payment(payment.id()).await;
        assert_eq!(seen.text("/captured/value"), "");
        assert_eq!(seen.text("/transactions/0/amount/value"), amount);
        // The right one still pays; the other stays to be looked at.
        pay(&app, &invoice, &format!("600000000{number}"), "12500.00", "KZT").await;
        needs_attention(&app, &payment, "paid", "amount_mismatch").await;
    }
    assert_eq!(app.surprises("amount_mismatch"), 3);
    app.stop().await;
}

async fn a_pay_in_another_currency_does_not_pay(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", "RUB").await;
    needs_attention(&app, &payment, "awaiting_payer", "amount_mismatch").await;
    // One that we know nothing of is no sum at all.
    let other = app.create(widget("KM-2")).await.expect(201);
    pay(&app, "KM-2", "5000000002", "12500.00", "ZZZ").await;
    let seen = app.payment(other.id()).await;
    assert_eq!(seen.text("/status"), "awaiting_payer");
    assert_ne!(seen.text("/attention"), "");
    app.stop().await;
}

async fn a_pay_wins_over_expired_and_cancelled(engine: Engine) {
    let app = TestApp::start(engine).await;
    let expired = app.create(widget("KM-1")).await.expect(201);
    app.advance(86_400 + 1);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(app.payment(expired.id()).await.text("/status"), "expired");
    let cancelled = app.create(widget("KM-2")).await.expect(201);
    app.post(&format!("/v1/payments/{}/cancel", cancelled.id()), json!({})).await.expect(200);
    for (payment, invoice, transaction) in [(&expired, "KM-1", "5000000001"), (&cancelled, "KM-2", "5000000002")] {
        pay(&app, invoice, transaction, "12500.00", "KZT").await;
        let seen = app.payment(payment.id()).await;
        assert_eq!((seen.text("/status"), seen.text("/captured/value")), ("paid", "12500.00"));
        assert!(app.events(payment.id()).await.contains(&"payment.paid".to_owned()));
    }
    assert_eq!(app.surprises("money_after_end"), 2);
    app.stop().await;
}

async fn a_pay_wins_over_declined(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", CARD_NO_FUNDS)).await.expect(201);
    assert_eq!(payment.text("/status"), "declined");
    pay(&app, "KM-1", "5000000001", "12500.00", "KZT").await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/captured/value")), ("paid", "12500.00"));
    assert!(seen.json["decline"].is_null(), "a paid payment shows no decline: {}", seen.json);
    assert_eq!(app.events(payment.id()).await, ["payment.declined", "payment.paid"]);
    assert_eq!(app.surprises("money_after_end"), 1);
    app.stop().await;
}

async fn a_pay_wins_over_a_released_hold(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut body = widget("KM-1");
    body["capture"] = json!("manual");
    let payment = app.create(body).await.expect(201);
    let mut hold = pay_fields("KM-1", "5000000001", "12500.00", "KZT");
    hold[6] = ("Status", "Authorized");
    app.notify("pay", &hold).await;
    app.notify("cancel", &[("TransactionId", "5000000001"), ("InvoiceId", "KM-1"), ("Amount", "12500.00")]).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "cancelled");
    pay(&app, "KM-1", "5000000002", "12500.00", "KZT").await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/captured/value")), ("paid", "12500.00"), "{}", seen.json);
    app.stop().await;
}

async fn a_refund_from_the_cabinet_is_booked(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", "KZT").await;
    let refund = |transaction| {
        [
            ("TransactionId", transaction),
            ("PaymentTransactionId", "5000000001"),
            ("Amount", "2500.00"),
            ("OperationType", "Refund"),
        ]
    };
    app.notify("refund", &refund("5000000002")).await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/refunded/value")), ("partially_refunded", "2500.00"));
    assert!(app.events(payment.id()).await.contains(&"refund.succeeded".to_owned()));
    // What is left is 10 000.
    app.refund(payment.id(), "10000.01").await.expect_problem(409, "refund_exceeds_captured");
    // Of a payment that we know nothing of.
    let stray = [("TransactionId", "5000000009"), ("PaymentTransactionId", "5000000008"), ("Amount", "1.00")];
    app.notify("refund", &stray).await;
    assert_eq!(app.verdicts().await[0], "refund unmatched");
    assert_eq!(app.notification_events().await, ["notification.needs_attention yes 5000000009 no"]);
    assert_eq!((app.surprises("refund_without_request"), app.surprises("unmatched_notification")), (1, 1));
    app.stop().await;
}

async fn a_refund_is_in_the_currency_of_what_it_gives_back(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", "RUB").await;
    pay(&app, "KM-1", "5000000002", "12500.00", "KZT").await;
    // A Refund states no currency.
    let refund = [
        ("TransactionId", "5000000003"),
        ("PaymentTransactionId", "5000000001"),
        ("Amount", "2500.00"),
        ("OperationType", "Refund"),
    ];
    app.notify("refund", &refund).await;
    let seen = app.payment(payment.id()).await;
    let shown = seen.json["transactions"].as_array().unwrap().iter().find(|one| one["kind"] == "refund").unwrap();
    assert_eq!(shown["amount"], json!({ "value": "2500.00", "currency": "RUB" }));
    assert_eq!((seen.text("/status"), seen.text("/captured/currency")), ("paid", "KZT"));
    app.stop().await;
}

async fn a_refund_from_the_cabinet_may_overtake_its_pay(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let refund = [
        ("TransactionId", "5000000002"),
        ("PaymentTransactionId", "5000000001"),
        ("Amount", "2500.00"),
        ("OperationType", "Refund"),
    ];
    app.notify("refund", &refund).await;
    assert_eq!(app.verdicts().await, ["refund unmatched"]);
    pay(&app, "KM-1", "5000000001", "12500.00", "KZT").await;
    let seen = app.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/refunded/value")), ("partially_refunded", "2500.00"));
    assert_eq!(app.verdicts().await, ["pay applied", "refund applied"]);
    assert!(app.events(payment.id()).await.contains(&"refund.succeeded".to_owned()));
    let told = ["notification.needs_attention yes 5000000002 no", "notification.matched yes 5000000002 yes"];
    assert_eq!(app.notification_events().await, told);
    // Nothing is left to take up, and a repeat changes nothing.
    assert_eq!(app.running.app.settle_step().await.unwrap(), 0);
    app.notify("refund", &refund).await;
    assert_eq!(app.payment(payment.id()).await.text("/refunded/value"), "2500.00");
    app.stop().await;
}

async fn more_is_given_back_in_the_cabinet_than_was_left(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", "KZT").await;
    for transaction in ["5000000002", "5000000003"] {
        let fields = [("TransactionId", transaction), ("PaymentTransactionId", "5000000001"), ("Amount", "10000.00")];
        app.notify("refund", &fields).await;
    }
    needs_attention(&app, &payment, "refunded", "refunded_more_than_left").await;
    assert_eq!(app.surprises("refunded_more_than_left"), 1);
    app.refund(payment.id(), "0.01").await.expect_problem(409, "refund_exceeds_captured");
    app.stop().await;
}

async fn a_charge_of_a_plan_fits_nothing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let fields = [
        ("TransactionId", "5000000001"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("AccountId", "user-42"),
        ("SubscriptionId", "sc_1"),
        ("Status", "Completed"),
    ];
    app.notify("pay", &fields).await;
    assert_eq!(app.verdicts().await, ["pay unmatched"]);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "awaiting_payer");
    assert_eq!(app.notification_events().await, ["notification.needs_attention yes 5000000001 no"]);
    assert_eq!(app.surprises("unmatched_plan_charge"), 1);
    app.stop().await;
}

async fn two_payments_share_a_bill(engine: Engine) {
    let app = TestApp::start(engine).await;
    let first = app.create(widget("KM-1")).await.expect(201);
    let second = app.create(widget("KM-1")).await.expect(201);
    // Which of the two was paid cannot be told from the bill.
    pay(&app, "KM-1", "5000000001", "12500.00", "KZT").await;
    assert_eq!(app.verdicts().await, ["pay unmatched"]);
    // Our own id tells.
    let data = json!({ "payment_id": second.id() }).to_string();
    let mut fields = pay_fields("KM-1", "5000000002", "12500.00", "KZT").to_vec();
    fields.push(("Data", &data));
    app.notify("pay", &fields).await;
    assert_eq!(app.payment(first.id()).await.text("/status"), "awaiting_payer");
    assert_eq!(app.payment(second.id()).await.text("/status"), "paid");
    // Now only one of the two is open.
    pay(&app, "KM-1", "5000000003", "12500.00", "KZT").await;
    assert_eq!(app.payment(first.id()).await.text("/status"), "paid");
    assert_eq!(app.payment(second.id()).await.text("/attention"), "");
    app.stop().await;
}

async fn our_id_with_another_bill_is_not_believed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let dear = app.create(widget("KM-1")).await.expect(201);
    let paid_for = app.create(widget("KM-2")).await.expect(201);
    let data = json!({ "payment_id": dear.id() }).to_string();
    let mut fields = pay_fields("KM-2", "5000000001", "12500.00", "KZT").to_vec();
    fields.push(("Data", &data));
    app.notify("pay", &fields).await;
    assert_eq!(app.payment(dear.id()).await.text("/status"), "awaiting_payer");
    assert_eq!(app.payment(paid_for.id()).await.text("/status"), "paid");
    let mut nowhere = pay_fields("KM-3", "5000000002", "12500.00", "KZT").to_vec();
    nowhere.push(("Data", &data));
    app.notify("pay", &nowhere).await;
    assert_eq!(app.verdicts().await[0], "pay unmatched");
    assert_eq!(app.payment(dear.id()).await.text("/status"), "awaiting_payer");
    app.stop().await;
}

async fn a_transaction_stays_with_its_payment(engine: Engine) {
    let app = TestApp::start(engine).await;
    let first = app.create(widget("KM-1")).await.expect(201);
    let second = app.create(widget("KM-2")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", "KZT").await;
    let data = json!({ "payment_id": second.id() }).to_string();
    let mut fields = pay_fields("KM-2", "5000000001", "12500.00", "KZT").to_vec();
    fields.push(("Data", &data));
    let reply = app.notify_signed("pay", &form(&fields), app.sandbox.api_secret()).await;
    assert_eq!(reply.expect(200).page(), r#"{"code":0}"#);
    assert_eq!(app.verdicts().await[0], "pay contradiction");
    assert_eq!(app.payment(first.id()).await.text("/status"), "paid");
    needs_attention(&app, &second, "awaiting_payer", "contradicting_notification").await;
    assert_eq!(app.surprises("contradicting_notification"), 1);
    app.stop().await;
}

async fn a_pay_for_nothing_we_know_is_announced(engine: Engine) {
    let app = TestApp::start(engine).await;
    for _ in 0..2 {
        // The second is a repeat of the provider's: told once.
        pay(&app, "UNKNOWN-1", "5000000001", "12500.00", "KZT").await;
        assert_eq!(app.verdicts().await, ["pay unmatched"]);
        assert_eq!(app.notification_events().await, ["notification.needs_attention yes 5000000001 no"]);
        assert_eq!(app.surprises("unmatched_notification"), 1);
    }
    let list = app.get("/v1/notifications").await.expect(200);
    let event = &app.all_events().await.json["data"][0];
    assert_eq!(event["notification_id"], list.json["data"][0]["id"], "the event leads to it");
    assert!(event.get("payment_id").is_none() && event.get("sequence").is_none(), "{event}");
    app.stop().await;
}

/// No money moved: it is kept, shown and counted, and nobody is called. The type is not signed: what came to the address of
/// refusals and does not tell of one is announced.
async fn a_refusal_for_nothing_we_know_calls_nobody(engine: Engine) {
    let app = TestApp::start(engine).await;
    let fields = pay_fields("UNKNOWN-1", "5000000001", "12500.00", "KZT");
    let why = [("Reason", "InsufficientFunds"), ("ReasonCode", "5051")];
    let refusal: Vec<_> = fields[..6].iter().copied().chain(why).collect();
    app.notify("fail", &refusal).await;
    assert_eq!(app.verdicts().await, ["fail unmatched"]);
    assert_eq!(app.notification_events().await, Vec::<String>::new());
    assert_eq!((app.surprises("unmatched_refusal"), app.surprises("unmatched_notification")), (1, 0));
    let fields = pay_fields("UNKNOWN-1", "5000000002", "12500.00", "KZT");
    app.notify("fail", &fields).await;
    assert_eq!(app.notification_events().await, ["notification.needs_attention yes 5000000002 no"]);
    assert_eq!((app.surprises("unmatched_refusal"), app.surprises("unmatched_notification")), (1, 1));
    app.stop().await;
}

async fn what_cannot_be_read_is_announced(engine: Engine) {
    let app = TestApp::start(engine).await;
    let reply = app.notify_signed("pay", "nothing=%ff%fe&TransactionId", app.sandbox.api_secret()).await;
    assert_eq!(reply.expect(200).page(), r#"{"code":0}"#);
    // Whatever its verdict is, money may be behind it: it is told of.
    assert_eq!(app.notification_events().await, ["notification.needs_attention yes null no"]);
    assert_eq!(app.surprises("unmatched_notification") + app.surprises("unreadable_notification"), 1);
    app.stop().await;
}

async fn what_is_matched_by_hand_is_announced(engine: Engine) {
    let app = TestApp::start(engine).await;
    let first = app.create(widget("KM-1")).await.expect(201);
    let second = app.create(widget("KM-1")).await.expect(201);
    pay(&app, "KM-1", "5000000001", "12500.00", "KZT").await;
    app.act(second.id(), "cancel", json!({})).await.expect(200);
    let list = app.get("/v1/notifications").await.expect(200);
    let path = format!("/v1/notifications/{}/replay", list.text("/data/0/id"));
    for _ in 0..2 {
        let replayed = app.post(&path, json!({})).await.expect(200);
        assert_eq!(replayed.text("/payment_id"), first.id());
        assert_eq!(app.payment(first.id()).await.text("/status"), "paid");
        let told = ["notification.needs_attention yes 5000000001 no", "notification.matched yes 5000000001 yes"];
        assert_eq!(app.notification_events().await, told, "matched once");
    }
    app.stop().await;
}

async fn a_notification_before_our_own_answer_is_counted(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.break_answer("/payments/cards/charge", ApiFaultKind::Delay { ms: 700 });
    app.break_notification(NotificationKind::Pay, NotificationFaultKind::BeforeAnswer);
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    assert_eq!(app.surprises("notification_before_answer"), 1);
    assert_eq!(app.events(payment.id()).await, ["payment.paid"]);
    app.finish().await;
}

//! What an older copy of the database goes on with: payers who were at their bank, and calls that were never answered.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind, SandboxConfig};
use serde_json::{Value, json};

use crate::support::{
    APPROVED, Body, CARD_THREE_DS, Engine, Form, LIST, Reply, TestApp, card, expect_sums, form_of, order, page,
    transaction_id, widget, with,
};

crate::on_both!(
    a_payment_that_was_made_at_the_bank_is_not_withdrawn,
    a_payment_that_was_made_at_the_bank_is_found_at_the_second_look,
    a_payer_at_the_bank_of_whom_the_provider_knows_nothing_is_not_missing,
    a_refund_is_not_repeated_beside_one_of_a_lost_request,
    a_window_whose_payer_was_at_the_bank_for_a_minute_is_not_paid_twice,
    a_window_whose_payer_was_at_the_bank_for_long_is_not_paid_twice,
    a_window_that_may_have_been_paid_in_what_is_lost_is_not_withdrawn_unasked,
    a_refund_in_the_cabinet_of_before_a_start_holds_up_nothing,
    money_of_others_of_before_a_start_stops_no_bill,
    a_record_of_before_a_start_that_tells_nothing_holds_up_nothing,
    a_record_of_before_a_start_that_names_a_lost_payment_is_a_loss,
);

const FIND: &str = "/payments/find";
/// In 2025.
const LONG_AGO: &str = "/Date(1748736000000)/";

async fn started(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |raw| raw.with("reconciliation.daily", "false")).await
}

async fn gap(app: &TestApp) -> String {
    app.get("/health/ready").await.expect(200).text("/register_gap").to_owned()
}

async fn status(app: &TestApp, payment: &Reply) -> String {
    app.payment(payment.id()).await.text("/status").to_owned()
}

/// A payer was at the bank when the copy was taken, and has paid before it was put back: the transaction is older than what
/// the start reads of the register.
async fn paid_after_the_copy(engine: Engine) -> (TestApp, Reply) {
    let app = started(engine).await;
    let body = with(with(card("KM-1", CARD_THREE_DS), "return_url", "https://kmic.kz/done"), "expires_in", 86_400);
    let payment = app.create(body).await.expect(201);
    let form = app.at_bank(&payment, "pass").await;
    let field = |name: &str| form.fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    let answer: Body = json!({ "md": field("MD"), "pa_res": field("PaRes") });
    app.advance(2 * 3600);
    app.create(card("KM-2", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let mut copy = None;
    let app = app.restart(|database| copy = Some(database.copy())).await;
    app.step_runs().await;
    app.advance(60);
    app.act(payment.id(), "three-ds", answer).await.expect(200);
    assert_eq!(status(&app, &payment).await, "paid");
    app.sandbox.flush_notifications().await;
    app.advance(60);
    let app = app.restart(|database| database.restore(copy.as_ref().unwrap())).await;
    app.step_runs().await;
    assert_eq!(
        (gap(&app).await, status(&app, &payment).await),
        ("read".to_owned(), "awaiting_authentication".to_owned())
    );
    (app, payment)
}

async fn a_payment_that_was_made_at_the_bank_is_not_withdrawn(engine: Engine) {
    let (app, payment) = paid_after_the_copy(engine).await;
    app.act(payment.id(), "cancel", json!({})).await.expect_problem(409, "invalid_state");
    assert_eq!(status(&app, &payment).await, "paid");
    app.finish().await;
}

async fn a_payment_that_was_made_at_the_bank_is_found_at_the_second_look(engine: Engine) {
    let (app, payment) = paid_after_the_copy(engine).await;
    app.advance(700);
    app.step_runs().await;
    assert_eq!(status(&app, &payment).await, "paid");
    app.finish().await;
}

/// Nobody has paid, and nobody says so: it is no disagreement, and the payment ends as any other.
async fn a_payer_at_the_bank_of_whom_the_provider_knows_nothing_is_not_missing(engine: Engine) {
    let app = started(engine).await;
    let payment = app.create(with(card("KM-1", CARD_THREE_DS), "expires_in", 3600)).await.expect(201);
    app.advance(1200);
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    let not_found = json!({ "Model": null, "Success": false, "Message": "Not found" }).to_string();
    let unknown = || ApiFaultKind::StatusAfter { status: 200, body: Some(not_found.clone()) };
    app.break_answer("/payments/get", unknown());
    app.advance(700);
    app.step_runs().await;
    assert_eq!(app.discrepancies().await, Vec::<serde_json::Value>::new());
    assert!(app.payment(payment.id()).await.json["attention"].is_null());
    app.break_answer("/payments/get", unknown());
    app.advance(3600);
    app.running.app.expire_step().await.unwrap();
    assert_eq!(status(&app, &payment).await, "expired");
    app.finish().await;
}

/// The site was told that nothing was done and asked anew, in the time that is lost: only the older request is known here.
async fn a_refund_is_not_repeated_beside_one_of_a_lost_request(engine: Engine) {
    let config = SandboxConfig { refunds_keep_data: true, ..TestApp::sandbox_config() };
    let app = TestApp::start_against(engine, config, |raw| raw.with("reconciliation.daily", "false")).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let (mut before, mut copy) = (None, None);
    let app = app.restart(|database| before = Some(database.copy())).await;
    app.step_runs().await;
    app.break_answer("/payments/refund", ApiFaultKind::DropBefore);
    app.refund(payment.id(), "100.00").await.expect(202);
    // As if the first request had ended with "nothing was done" right after the copy.
    let app = app
        .restart(|database| {
            copy = Some(database.copy());
            database.restore(before.as_ref().unwrap());
        })
        .await;
    app.step_runs().await;
    app.advance(60);
    app.refund(payment.id(), "100.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    app.advance(60);
    let app = app.restart(|database| database.restore(copy.as_ref().unwrap())).await;
    app.step_runs().await;
    app.advance(600);
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    for _ in 0..3 {
        app.advance(60);
        app.running.app.settle_step().await.unwrap();
    }
    assert_eq!(app.refunds(), 1, "only the one of the lost request");
    let seen = app.payment(payment.id()).await;
    assert_eq!(seen.text("/attention"), "refund_unclear");
    expect_sums(&seen, "12500.00", "100.00", "12300.00");
    app.refund(payment.id(), "50.00").await.expect_problem(409, "refunded_before_restore");
    app.stop().await;
}

/// The payer comes back from the bank of the window, who gave them `paying` to take there.
async fn pass_in_window(app: &TestApp, paying: &Reply) {
    let number = paying.json["transaction_id"].to_string();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let form = Form {
        action: paying.text("/acs_url").to_owned(),
        fields: vec![field("PaReq", paying.text("/pa_req")), field("MD", &number), field("TermUrl", &app.url)],
    };
    let page = app.submit(&form).await.expect(200).page();
    let form = form_of(&page, "id=\"pass\"").unwrap();
    let answer = form.fields.iter().find(|(name, _)| name == "PaRes").unwrap().1.clone();
    let body = json!({ "TransactionId": paying.json["transaction_id"], "PaRes": answer });
    app.at_provider("/payments/cards/post3ds", body).await;
    app.sandbox.flush_notifications().await;
}

/// A payer of a window was at the bank for so many seconds when the database last changed before the copy was taken; nobody asks
/// us before they are back. They have paid before the copy was put back.
async fn paid_in_window_after_the_copy(engine: Engine, seconds: u32) -> (TestApp, Reply) {
    let app = started(engine).await;
    let window = app.create(with(widget("KM-1"), "expires_in", 86_400)).await.expect(201);
    let paying = app.pay(with(order(&window, CARD_THREE_DS), "skip_three_ds", false)).await;
    app.advance(seconds);
    paid(&app, "KM-2").await;
    let mut copy = None;
    let app = app.restart(|database| copy = Some(database.copy())).await;
    app.step_runs().await;
    app.advance(60);
    pass_in_window(&app, &paying).await;
    assert_eq!(status(&app, &window).await, "paid");
    app.advance(60);
    (app.restart(|database| database.restore(copy.as_ref().unwrap())).await, window)
}

async fn paid(app: &TestApp, invoice: &str) -> Reply {
    let payment = app.create(card(invoice, APPROVED)).await.expect(201);
    assert_eq!(payment.text("/status"), "paid");
    app.sandbox.flush_notifications().await;
    payment
}

async fn expect_not_paid_twice(engine: Engine, seconds: u32) {
    let (app, window) = paid_in_window_after_the_copy(engine, seconds).await;
    app.step_runs().await;
    assert_eq!((gap(&app).await, status(&app, &window).await), ("read".to_owned(), "paid".to_owned()));
    assert_eq!(app.check("KM-1").await, r#"{"code":13}"#);
    app.act(window.id(), "cancel", json!({})).await.expect_problem(409, "invalid_state");
    app.finish().await;
}

async fn a_window_whose_payer_was_at_the_bank_for_a_minute_is_not_paid_twice(engine: Engine) {
    expect_not_paid_twice(engine, 80).await;
}

async fn a_window_whose_payer_was_at_the_bank_for_long_is_not_paid_twice(engine: Engine) {
    expect_not_paid_twice(engine, 40 * 60).await;
}

/// The register does not show it yet.
async fn a_window_that_may_have_been_paid_in_what_is_lost_is_not_withdrawn_unasked(engine: Engine) {
    let (app, window) = paid_in_window_after_the_copy(engine, 80).await;
    app.break_answer(LIST, page(json!([])));
    app.step_runs().await;
    assert_eq!((gap(&app).await, status(&app, &window).await), ("read".to_owned(), "awaiting_payer".to_owned()));
    app.break_answer(FIND, ApiFaultKind::StatusBefore { status: 503 });
    let refused = app.act(window.id(), "cancel", json!({})).await;
    assert_eq!((refused.status, status(&app, &window).await), (503, "awaiting_payer".to_owned()));
    app.act(window.id(), "cancel", json!({})).await.expect_problem(409, "invalid_state");
    assert_eq!(status(&app, &window).await, "paid");
    // When all is read back, nobody is asked about a window in which nobody tried to pay.
    app.advance(700);
    app.step_runs().await;
    let other = app.create(widget("KM-3")).await.expect(201);
    let calls = app.calls_to_provider().await;
    app.act(other.id(), "cancel", json!({})).await.expect(200);
    assert_eq!(app.calls_to_provider().await, calls);
    app.finish().await;
}

/// It may have been made at any time: the copy holds every request of that time.
async fn a_refund_in_the_cabinet_of_before_a_start_holds_up_nothing(engine: Engine) {
    let app = started(engine).await;
    let payment = paid(&app, "KM-1").await;
    app.lose(NotificationKind::Refund);
    app.refund_in_cabinet(transaction_id(&payment), 2500).await;
    app.advance(300);
    paid(&app, "KM-2").await;
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    app.advance(700);
    app.step_runs().await;
    assert_eq!(app.disagreements().await, Vec::<String>::new());
    app.refund(payment.id(), "1.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    app.reconcile().await;
    assert_eq!(app.disagreements().await, ["refund_in_cabinet booked"]);
    app.refund(payment.id(), "1.00").await.expect(201);
    app.stop().await;
}

async fn money_of_others_of_before_a_start_stops_no_bill(engine: Engine) {
    let app = started(engine).await;
    paid(&app, "KM-1").await;
    app.let_others_answer().await;
    let pay = async |bill: &str| {
        app.pay(json!({ "amount": "700.00", "currency": "KZT", "invoice_id": bill, "card": APPROVED })).await;
        app.advance(700);
    };
    pay("SHOP-1").await;
    app.ask_for_run().await;
    app.step_runs().await;
    pay("SHOP-2").await;
    app.answer_ourselves();
    paid(&app, "KM-2").await;
    let app = app.restart(|_| {}).await;
    app.step_runs().await;
    app.advance(700);
    app.step_runs().await;
    // What the run that somebody asked for told of is neither closed nor taken for lost.
    assert_eq!((gap(&app).await, app.disagreements().await), ("read".to_owned(), vec!["missing_here open".to_owned()]));
    for bill in ["SHOP-1", "SHOP-2"] {
        paid(&app, bill).await;
    }
    app.stop().await;
}

/// A page of the register that holds one record of long ago.
fn of_long_ago(record: Value) -> ApiFaultKind {
    page(json!([with(record, "CreatedDate", LONG_AGO)]))
}

async fn a_record_of_before_a_start_that_tells_nothing_holds_up_nothing(engine: Engine) {
    let app = started(engine).await;
    let payment = paid(&app, "KM-1").await;
    let app = app.restart(|_| {}).await;
    app.break_answer(LIST, of_long_ago(json!({ "Status": "Pending" })));
    app.step_runs().await;
    assert_eq!(gap(&app).await, "read");
    app.refund(payment.id(), "1.00").await.expect(201);
    app.finish().await;
}

/// Its clock may be far behind ours.
async fn a_record_of_before_a_start_that_names_a_lost_payment_is_a_loss(engine: Engine) {
    let app = started(engine).await;
    paid(&app, "KM-1").await;
    let app = app.restart(|_| {}).await;
    let name = json!({ "payment_id": "pay_01kaq0j5m8x2v9c4t7b1n6r3ed" }).to_string();
    app.break_answer(
        LIST,
        of_long_ago(json!({
            "TransactionId": 7_000_000_001_i64, "Type": 0, "Status": "Completed", "Amount": 12_500, "Currency": "KZT",
            "InvoiceId": "KM-3", "JsonData": name,
        })),
    );
    app.step_runs().await;
    assert_eq!(gap(&app).await, "behind");
    app.stop().await;
}

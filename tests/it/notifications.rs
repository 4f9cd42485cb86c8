//! Notifications of the provider as recorded: signature, answer, repeats, quarantine.

use kmic_payments::app::NotificationKind;
use kmic_payments::clock::{Clock, SystemIds};
use kmic_payments::domain::id::NotificationId;
use kmic_payments::store::{Lane, notifications};

use crate::support::{Body, Engine, FIXTURE_SECRET, Fixture, Reply, Sql, TestApp, form, money, sign, widget};

crate::on_both!(
    every_recorded_notification_is_answered_as_recorded,
    a_changed_byte_is_refused,
    signatures_under_other_secrets_are_refused,
    the_previous_secret_holds,
    the_weaker_signature_alone_holds_where_it_is_safe,
    repeats_change_nothing,
    check_is_answered_from_our_books,
    unknown_kinds_are_not_found,
    what_fits_nothing_is_kept_and_shown,
    forged_notifications_change_nothing,
    quarantine_is_bounded,
);

/// A service that takes the recorded signatures.
async fn start(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |settings| settings.with("cloudpayments.api_secret", FIXTURE_SECRET)).await
}

fn order(invoice: &str, capture: &str) -> Body {
    let mut body = widget(invoice);
    body["amount"] = money("25000.00");
    body["capture"] = capture.into();
    body
}

/// The payments that the recorded notifications speak of.
async fn orders(app: &TestApp) {
    for invoice in ["ord-1001", "ord-1002", "ord-1003", "ord-1050"] {
        app.create(order(invoice, "automatic")).await.expect(201);
    }
    app.create(order("ord-1006", "manual")).await.expect(201);
}

/// Checks come before what they ask about. The one with another payer's account is tested by itself.
fn in_order() -> Vec<Fixture> {
    let (checks, others): (Vec<Fixture>, Vec<Fixture>) =
        Fixture::all().into_iter().partition(|fixture| fixture.kind == "check");
    let checks = checks.into_iter().filter(|fixture| fixture.name != "check_special_chars");
    checks.chain(others).collect()
}

#[track_caller]
fn expect_code(reply: &Reply, code: i64, name: &str) {
    assert_eq!((reply.status, reply.page()), (200, format!(r#"{{"code":{code}}}"#)), "{name}");
    assert!(reply.header("content-type").starts_with("application/json"), "{name}");
}

/// 401 without a word about why.
#[track_caller]
fn expect_refused(reply: &Reply) {
    reply.expect_problem(401, "invalid_signature");
}

async fn every_recorded_notification_is_answered_as_recorded(engine: Engine) {
    let app = start(engine).await;
    orders(&app).await;
    let fixtures = in_order();
    assert!(fixtures.len() > 25);
    for fixture in &fixtures {
        expect_code(&fixture.send(&app).await, fixture.code, &fixture.name);
    }
    let status = async |invoice: &str| {
        let list = app.get(&format!("/v1/payments?invoice_id={invoice}")).await.expect(200);
        list.text("/data/0/status").to_owned()
    };
    // Two refunds of 5 000 of 25 000; the hold was released, but money that was taken wins over that.
    assert_eq!(status("ord-1001").await, "partially_refunded");
    assert_eq!(status("ord-1002").await, "awaiting_payer");
    assert_eq!(status("ord-1003").await, "awaiting_payer");
    assert_eq!(status("ord-1006").await, "paid");
    assert_eq!(status("ord-1050").await, "paid");
    app.stop().await;

    let app = start(engine).await;
    let mut body = order("ord-1001", "automatic");
    let fixture = Fixture::read("check_special_chars");
    body["payer"]["account_id"] = fixture.fields["AccountId"].clone();
    app.create(body).await.expect(201);
    expect_code(&fixture.send(&app).await, fixture.code, &fixture.name);
    app.stop().await;
}

async fn a_changed_byte_is_refused(engine: Engine) {
    let app = start(engine).await;
    for fixture in Fixture::all() {
        let length = fixture.body.len();
        for position in [0, 15, length / 3, length / 2, length - 1] {
            let mut changed = fixture.body.clone();
            changed[position] = if changed[position] == b'1' { b'2' } else { b'1' };
            let headers =
                [("Content-HMAC", fixture.content_hmac.as_str()), ("X-Content-HMAC", &fixture.x_content_hmac)];
            expect_refused(&fixture.send_as(&app, &changed, &headers).await);
        }
        // Something at the end is a change as well.
        let longer = [fixture.body.as_slice(), b"&Amount=1"].concat();
        expect_refused(&fixture.send_as(&app, &longer, &[("Content-HMAC", &fixture.content_hmac)]).await);
    }
    app.stop().await;
}

async fn signatures_under_other_secrets_are_refused(engine: Engine) {
    let app = start(engine).await;
    for fixture in Fixture::all() {
        expect_refused(&fixture.send_as(&app, &fixture.body, &[]).await);
        let other = sign("another-secret", &fixture.body);
        let empty = sign("", &fixture.body);
        let cut = &fixture.content_hmac[..fixture.content_hmac.len() - 4];
        for signature in [other.as_str(), &empty, cut, "", "not base64!"] {
            expect_refused(&fixture.send_as(&app, &fixture.body, &[("Content-HMAC", signature)]).await);
        }
        // A wrong strong signature is not made good by the weaker one.
        let headers = [("Content-HMAC", other.as_str()), ("X-Content-HMAC", &fixture.x_content_hmac)];
        expect_refused(&fixture.send_as(&app, &fixture.body, &headers).await);
    }
    app.stop().await;
}

async fn the_previous_secret_holds(engine: Engine) {
    let app = TestApp::start_with(engine, |settings| {
        settings
            .with("cloudpayments.api_secret", "the-new-secret")
            .with("cloudpayments.api_secret_previous", FIXTURE_SECRET)
    })
    .await;
    let payment = app.create(order("ord-1001", "automatic")).await.expect(201);
    let pay = Fixture::read("pay");
    expect_code(&pay.send(&app).await, 0, "previous secret");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    let by_new = sign("the-new-secret", &pay.body);
    expect_code(&pay.send_as(&app, &pay.body, &[("content-hmac", &by_new)]).await, 0, "current secret");
    app.stop().await;
}

async fn the_weaker_signature_alone_holds_where_it_is_safe(engine: Engine) {
    let app = start(engine).await;
    orders(&app).await;
    let mut refused = Vec::new();
    for fixture in Fixture::all() {
        let reply = fixture.send_as(&app, &fixture.body, &[("X-Content-HMAC", &fixture.x_content_hmac)]).await;
        if reply.status == 401 {
            refused.push(fixture.name);
        } else {
            assert_eq!(reply.status, 200, "{}", fixture.name);
        }
    }
    // The decoded text of this one has an `&` inside a value: it can be read in two ways.
    assert_eq!(refused, ["check_special_chars"]);
    // The decoded text, sent as if it were the body, under the signature that was made for it.
    let pay = Fixture::read("pay");
    let decoded = "TransactionId=1&Amount=25000.00&Currency=KZT&Status=Completed&DateTime=2026-03-02 05:14:07";
    let signature = sign(FIXTURE_SECRET, decoded.as_bytes());
    expect_refused(&pay.send_as(&app, decoded.as_bytes(), &[("Content-HMAC", &signature)]).await);
    app.stop().await;
}

async fn repeats_change_nothing(engine: Engine) {
    let app = start(engine).await;
    orders(&app).await;
    let fixtures: Vec<Fixture> = in_order().into_iter().filter(|fixture| fixture.kind != "check").collect();
    for fixture in &fixtures {
        expect_code(&fixture.send(&app).await, 0, &fixture.name);
    }
    let before = everything(&app).await;
    app.advance(60);
    for fixture in fixtures.iter().chain(&fixtures) {
        expect_code(&fixture.send(&app).await, 0, &fixture.name);
    }
    assert_eq!(everything(&app).await, before);
    app.stop().await;
}

/// All payments with their histories, the events and the notifications.
async fn everything(app: &TestApp) -> Vec<Vec<u8>> {
    let payments = app.get("/v1/payments?limit=100").await.expect(200);
    let mut all = vec![app.all_events().await.bytes, app.get("/v1/notifications?limit=100").await.bytes];
    for payment in payments.json["data"].as_array().unwrap() {
        let id = payment["id"].as_str().unwrap();
        all.push(app.get(&format!("/v1/payments/{id}/transitions?limit=100")).await.bytes);
    }
    all.push(payments.bytes);
    all
}

async fn check_is_answered_from_our_books(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let check = async |transaction: &str, amount: &str, currency: &str, account: &str, invoice: &str| -> String {
        let fields = [
            ("TransactionId", transaction),
            ("Amount", amount),
            ("Currency", currency),
            ("AccountId", account),
            ("InvoiceId", invoice),
            ("Status", "Completed"),
        ];
        app.notify_signed("check", &form(&fields), app.sandbox.api_secret()).await.expect(200).page()
    };
    assert_eq!(check("1", "12500.00", "KZT", "user-42", "KM-2").await, r#"{"code":10}"#);
    assert_eq!(check("1", "12500.00", "KZT", "somebody", "KM-1").await, r#"{"code":11}"#);
    assert_eq!(check("1", "12500.01", "KZT", "user-42", "KM-1").await, r#"{"code":12}"#);
    assert_eq!(check("1", "12500.00", "USD", "user-42", "KM-1").await, r#"{"code":12}"#);
    assert_eq!(check("1", "12500", "KZT", "user-42", "KM-1").await, r#"{"code":0}"#);
    assert_eq!(check("1", "12500.00", "KZT", "user-42", "KM-1").await, r#"{"code":0}"#, "the same attempt asks again");
    assert_eq!(check("2", "12500.00", "KZT", "user-42", "KM-1").await, r#"{"code":13}"#, "another attempt beside it");
    let seen = app.payment(payment.id()).await;
    assert_eq!(seen.text("/status"), "awaiting_payer");
    assert_eq!(seen.json["transactions"].as_array().map_or(0, Vec::len), 0);

    app.advance(86_400 + 60);
    assert_eq!(check("3", "12500.00", "KZT", "user-42", "KM-1").await, r#"{"code":20}"#);

    let cancelled = app.create(widget("KM-3")).await.expect(201);
    app.post(&format!("/v1/payments/{}/cancel", cancelled.id()), serde_json::json!({})).await.expect(200);
    assert_eq!(check("4", "12500.00", "KZT", "user-42", "KM-3").await, r#"{"code":13}"#);
    app.stop().await;
}

async fn unknown_kinds_are_not_found(engine: Engine) {
    let app = start(engine).await;
    let pay = Fixture::read("pay");
    for kind in ["payment", "Pay", "pay%20", "kkt"] {
        let wrong = Fixture { kind: kind.to_owned(), ..pay.clone() };
        assert_eq!(wrong.send(&app).await.status, 404, "{kind}");
    }
    assert_eq!(app.verdicts().await, Vec::<String>::new());
    app.stop().await;
}

async fn what_fits_nothing_is_kept_and_shown(engine: Engine) {
    let app = start(engine).await;
    let pay = Fixture::read("pay");
    expect_code(&pay.send(&app).await, 0, "a Pay for nothing we know");
    let list = app.get("/v1/notifications").await.expect(200);
    let row = &list.json["data"][0];
    assert_eq!((row["verdict"].as_str(), row["kind"].as_str()), (Some("unmatched"), Some("pay")));
    assert_eq!(row["transaction_id"], 3_600_000_101_i64);

    // Once its payment is there, a person applies it.
    let payment = app.create(order("ord-1001", "automatic")).await.expect(201);
    let replay =
        app.post(&format!("/v1/notifications/{}/replay", row["id"].as_str().unwrap()), serde_json::json!({})).await;
    assert_eq!(replay.expect(200).text("/verdict"), "applied");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");

    let junk = app.notify_signed("pay", "junk", FIXTURE_SECRET).await;
    expect_code(&junk, 0, "not readable");
    app.stop().await;
}

async fn forged_notifications_change_nothing(engine: Engine) {
    let app = start(engine).await;
    orders(&app).await;
    let before = everything(&app).await;
    for fixture in in_order() {
        let forged = sign("guessed", &fixture.body);
        expect_refused(&fixture.send_as(&app, &fixture.body, &[("Content-HMAC", &forged)]).await);
    }
    assert_eq!(everything(&app).await, before);
    let mut sql = Sql::open(&app.database.url);
    let kept = sql.number("SELECT count(*) AS value FROM quarantine");
    assert!(kept > 0, "none is kept");
    // What was forged is sealed like what was not.
    let pay = Fixture::read("pay");
    assert!(pay.body.windows(8).any(|part| part == b"ord-1001"));
    let plain = match engine {
        Engine::Sqlite => "SELECT count(*) AS value FROM quarantine WHERE instr(body, CAST('ord-1001' AS BLOB)) > 0",
        Engine::Postgres => "SELECT count(*) AS value FROM quarantine WHERE position('ord-1001'::bytea IN body) > 0",
    };
    assert_eq!(sql.number(plain), 0);
    app.stop().await;
}

async fn quarantine_is_bounded(engine: Engine) {
    let app = start(engine).await;
    let now = app.clock.now();
    let write = move |tx: &mut kmic_payments::store::Tx<'_>| {
        for number in 0..notifications::QUARANTINE_LIMIT + 20 {
            let at = now.plus_seconds(number - 10_000);
            let id = NotificationId::generate(at, &SystemIds);
            notifications::quarantine(tx, &id, NotificationKind::Pay, b"forged", at)?;
        }
        Ok(())
    };
    app.running.store.write(Lane::of("quarantine"), write).await.unwrap();
    let pay = Fixture::read("pay");
    expect_refused(&pay.send_as(&app, &pay.body, &[]).await);
    let mut sql = Sql::open(&app.database.url);
    assert_eq!(sql.number("SELECT count(*) AS value FROM quarantine"), notifications::QUARANTINE_LIMIT);
    // The oldest went, the newest stays: its body is the longest.
    assert_eq!(sql.number("SELECT count(*) AS value FROM quarantine WHERE length(body) > 100"), 1);
    app.stop().await;
}

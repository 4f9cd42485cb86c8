//! Personal data: unreadable in the database, shown to few, exported, erased, and ended when its time is over.

use kmic_payments::domain::scope::Scope;
use serde_json::json;

use crate::support::{
    APPROVED, Body, Engine, Reply, Sql, TestApp, card, form, raw_bytes, secret_hits, transaction_id, widget, with_at,
};

crate::on_both!(
    nothing_personal_is_readable_in_the_database,
    an_erased_payer_leaves_nothing,
    a_payer_of_an_open_payment_is_not_erased,
    payers_are_shown_to_few_and_readings_are_recorded,
    the_words_of_the_site_are_shown_to_few,
    searches_by_account_are_recorded,
    an_export_holds_everything_in_stretches,
    late_news_of_an_erased_payer_keeps_no_body,
    what_was_kept_long_enough_ends,
    idle_payers_are_erased_when_their_time_is_over,
);

const ACCOUNT: &str = "account-planted-7391";
/// Parts of all that is planted.
const PLANTED: [&str; 9] = [
    "account-planted",
    "planted.person",
    "77015557391",
    "Plantedname",
    "203.0.113.99",
    "plantedpolicy",
    "plantednote",
    "plantedreturn",
    "plantedreason",
];

fn planted(invoice: &str) -> Body {
    let body = with_at(
        card(invoice, APPROVED),
        "/payer",
        json!({
            "account_id": ACCOUNT, "email": "planted.person@example.test", "phone": "+77015557391",
            "name": "Plantedname", "ip_address": "203.0.113.99",
        }),
    );
    let body = with_at(body, "/description", json!("plantedpolicy"));
    let body = with_at(body, "/return_url", json!("https://kmic.kz/plantedreturn"));
    with_at(body, "/metadata", json!({"note": "plantednote"}))
}

/// A paid payment with a partial refund, its notifications, one that fits nothing, and a forged one.
async fn story(app: &TestApp) -> Reply {
    let payment = app.create(planted("KM-77")).await.expect(201);
    let refund = json!({"amount": {"value": "500.00", "currency": "KZT"}, "reason": "plantedreason"});
    app.post(&format!("/v1/payments/{}/refunds", payment.id()), refund).await.expect(201);
    app.sandbox.flush_notifications().await;
    let stray = [
        ("TransactionId", "99001"),
        ("Amount", "1.00"),
        ("Currency", "KZT"),
        ("InvoiceId", "none"),
        ("AccountId", ACCOUNT),
        ("Email", "planted.person@example.test"),
        ("Status", "Completed"),
    ];
    app.notify("pay", &stray).await;
    let forged = app.notify_signed("pay", &form(&stray), "a wrong secret").await;
    assert_eq!(forged.status, 401);
    payment
}

async fn erase(app: &TestApp, key: &str) -> Reply {
    let path = format!("/v1/payers/{ACCOUNT}/personal-data");
    Reply::receive(app.request(reqwest::Method::DELETE, &path).header("Idempotency-Key", key)).await
}

async fn nothing_personal_is_readable_in_the_database(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = story(&app).await;
    // The search itself works.
    assert!(secret_hits(&app, &["KM-77"]) > 0);
    assert_eq!(secret_hits(&app, &PLANTED), 0);
    let shown = app.payment(payment.id()).await;
    assert_eq!(shown.text("/payer/email"), "planted.person@example.test");
    assert_eq!(shown.text("/description"), "plantedpolicy");
    assert_eq!(shown.text("/metadata/note"), "plantednote");
    assert_eq!(shown.text("/return_url"), "https://kmic.kz/plantedreturn");
    let refunds = app.get(&format!("/v1/payments/{}/refunds", payment.id())).await.expect(200);
    assert_eq!(refunds.text("/data/0/reason"), "plantedreason");
    let found = app.get(&format!("/v1/payments?account_id={ACCOUNT}")).await.expect(200);
    assert_eq!(found.text("/data/0/id"), payment.id());
    app.stop().await;
}

async fn an_erased_payer_leaves_nothing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = planted("KM-1");
    let payment = app.post_as("/v1/payments", "the-charge", body.clone()).await.expect(201);
    let before = app.payment(payment.id()).await;
    app.sandbox.flush_notifications().await;
    let history = app.history(payment.id()).await;
    let mut sql = Sql::open(&app.database.url);
    let wrapped = sql.texts(match engine {
        Engine::Sqlite => "SELECT hex(wrapped_key) AS value FROM payer_keys",
        Engine::Postgres => "SELECT upper(encode(wrapped_key, 'hex')) AS value FROM payer_keys",
    });
    let held = |hex: &String| raw_bytes(&app).contains(&hex.to_uppercase());
    assert!(!wrapped.is_empty() && wrapped.iter().all(held));

    let erased = erase(&app, "erase-1").await.expect(200);
    assert_eq!((&erased.json["erased"], &erased.json["payments"]), (&json!(true), &json!(1)));
    assert!(erased.json["notifications"].as_i64().unwrap() > 0);

    assert!(!wrapped.iter().any(held), "the wrapped key is still there");
    assert_eq!(secret_hits(&app, &PLANTED), 0);
    let after = app.payment(payment.id()).await;
    assert_eq!(after.json["erased"], true);
    for gone in ["payer", "return_url"] {
        assert!(after.json.get(gone).is_none(), "{gone}");
    }
    assert_eq!((after.text("/description"), &after.json["metadata"]), ("", &json!({})));
    assert!(after.json["card"].get("last_four").is_none());
    for kept in ["status", "amount", "captured", "refundable", "transactions", "invoice_id", "created_at"] {
        assert_eq!(after.json[kept], before.json[kept], "{kept}");
    }
    assert_eq!(app.history(payment.id()).await, history);
    let hashes = "SELECT count(*) AS value FROM payer_keys WHERE account_hash IS NOT NULL";
    assert_eq!(sql.number(hashes), 0);
    assert_eq!(sql.number("SELECT count(*) AS value FROM notifications WHERE length(body) > 0"), 0);
    assert_eq!(sql.number("SELECT count(*) AS value FROM payer_keys WHERE cleaned_at IS NOT NULL"), 1);
    let found = app.get(&format!("/v1/payments?account_id={ACCOUNT}")).await.expect(200);
    assert_eq!(found.json["data"], json!([]));

    // The same request is answered like before, a new one finds nothing more.
    let repeat = erase(&app, "erase-1").await.expect(200);
    assert_eq!((repeat.bytes, repeat.headers["idempotent-replayed"].as_str()), (erased.bytes, "true"));
    let nothing = erase(&app, "erase-2").await.expect(200);
    assert_eq!((&nothing.json["erased"], &nothing.json["payments"]), (&json!(false), &json!(0)));
    let records = "SELECT count(*) AS value FROM personal_data_erasures WHERE cause = 'request'";
    assert_eq!(sql.number(records), 2);
    assert!(sql.run("UPDATE personal_data_erasures SET payments = 0").is_err());
    assert!(sql.run("DELETE FROM personal_data_erasures").is_err());

    // A late repeat of the charge charges nothing; money can still be given back.
    let charged = app.post_as("/v1/payments", "the-charge", body.clone()).await.expect(201);
    assert_eq!((charged.id(), &charged.json["erased"]), (payment.id(), &json!(true)));
    expect_key_is_of_the_charge(&app, &payment, &body).await;
    app.refund(payment.id(), "500.00").await.expect(201);
    // The account comes back as a new payer.
    let again = app.create(planted("KM-2")).await.expect(201);
    assert_eq!(app.payment(again.id()).await.text("/payer/account_id"), ACCOUNT);
    expect_nobody_is_told_by_the_request(&app, &mut sql).await;
    app.finish().await;
}

/// The request to erase tells nobody's account any more. Its answer is not given for somebody who is held.
async fn expect_nobody_is_told_by_the_request(app: &TestApp, sql: &mut Sql) {
    let requests = "SELECT count(*) AS value FROM idempotency_keys WHERE resource_id LIKE 'era_%'";
    assert_eq!(sql.number(requests), 2);
    assert_eq!(sql.number(&format!("{requests} AND length(fingerprint) > 0")), 0);
    app.create(with_at(planted("KM-3"), "/payer/account_id", json!("other"))).await.expect(201);
    for account in ["other", ACCOUNT] {
        let path = format!("/v1/payers/{account}/personal-data");
        let request = app.request(reqwest::Method::DELETE, &path).header("Idempotency-Key", "erase-1");
        Reply::receive(request).await.expect_problem(422, "idempotency_key_reused");
    }
    assert_eq!(sql.number("SELECT count(*) AS value FROM payer_keys WHERE account_hash IS NOT NULL"), 2);
}

/// What a key was used for is told apart although its fingerprint is gone.
async fn expect_key_is_of_the_charge(app: &TestApp, payment: &Reply, charge: &Body) {
    for (pointer, other) in [("/invoice_id", json!("KM-9")), ("/amount/value", json!("12500.01"))] {
        let other = app.post_as("/v1/payments", "the-charge", with_at(charge.clone(), pointer, other)).await;
        other.expect_problem(422, "idempotency_key_reused");
    }
    let refunds = format!("/v1/payments/{}/refunds", payment.id());
    app.post_as(&refunds, "the-charge", json!({})).await.expect_problem(422, "idempotency_key_reused");
    erase(app, "the-charge").await.expect_problem(422, "idempotency_key_reused");
    assert_eq!((app.charges(), app.refunds()), (1, 0));
}

async fn a_payer_of_an_open_payment_is_not_erased(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = with_at(widget("KM-1"), "/payer/account_id", json!(ACCOUNT));
    let payment = app.create(body).await.expect(201);
    let refused = erase(&app, "erase-1").await;
    refused.expect_problem(409, "payer_in_use");
    assert_eq!(app.payment(payment.id()).await.text("/payer/account_id"), ACCOUNT);
    app.post(&format!("/v1/payments/{}/cancel", payment.id()), json!({})).await.expect(200);
    erase(&app, "erase-1").await.expect(200);
    assert_eq!(app.payment(payment.id()).await.json["erased"], true);
    app.finish().await;
}

async fn as_key(app: &TestApp, key: &str, path: &str) -> Reply {
    let request = app.http.get(format!("{}{path}", app.url)).header("Authorization", format!("Bearer {key}"));
    Reply::receive(request).await.expect(200)
}

async fn payers_are_shown_to_few_and_readings_are_recorded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(planted("KM-1")).await.expect(201);
    let path = format!("/v1/payments/{}", payment.id());
    let reader = app.new_key(&[Scope::PaymentsRead, Scope::PaymentsWrite]).await;
    let officer = app.new_key(&[Scope::PaymentsRead, Scope::PersonalDataWrite]).await;
    let mut sql = Sql::open(&app.database.url);
    let readings = "SELECT count(*) AS value FROM personal_data_access WHERE action = 'payment'";

    assert_eq!(app.get(&path).await.expect(200).text("/payer/account_id"), ACCOUNT);
    let list = format!("/v1/payments?account_id={ACCOUNT}");
    for path in [&path, &list] {
        let shown = as_key(&app, &reader, path).await.page();
        assert!(shown.contains(payment.id()) && !shown.contains("planted.person"), "{shown}");
    }
    let open = app.create(with_at(widget("KM-2"), "/payer/account_id", json!(ACCOUNT))).await.expect(201);
    let shown = as_key(&app, &reader, &format!("/v1/payments/{}", open.id())).await.page();
    assert!(shown.contains("open_widget") && !shown.contains(ACCOUNT), "{shown}");
    let request = app.http.post(format!("{}/v1/payments/{}/cancel", app.url, open.id()));
    let request = request.header("Authorization", format!("Bearer {reader}")).header("Idempotency-Key", "cancel-1");
    let cancelled = Reply::receive(request).await.expect(200).page();
    assert!(!cancelled.contains(ACCOUNT), "{cancelled}");
    assert_eq!(sql.number(readings), 0);

    for _ in 0..3 {
        assert_eq!(as_key(&app, &officer, &path).await.text("/payer/email"), "planted.person@example.test");
    }
    assert_eq!(sql.number(readings), 1);
    as_key(&app, &officer, &list).await;
    assert_eq!(sql.number(readings), 2);
    app.advance(3600);
    as_key(&app, &officer, &path).await;
    assert_eq!(sql.number(readings), 3);
    assert!(sql.run("UPDATE personal_data_access SET api_key_id = 'key_x'").is_err());
    app.finish().await;
}

async fn the_words_of_the_site_are_shown_to_few(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = story(&app).await;
    let path = format!("/v1/payments/{}", payment.id());
    let refunds = format!("{path}/refunds");
    let refund = format!("/v1/refunds/{}", app.get(&refunds).await.expect(200).text("/data/0/id"));
    let reader = app.new_key(&[Scope::PaymentsRead, Scope::OpsWrite]).await;
    let officer = app.new_key(&[Scope::PaymentsRead, Scope::PersonalDataWrite]).await;
    let mut sql = Sql::open(&app.database.url);
    let readings = "SELECT count(*) AS value FROM personal_data_access WHERE action = 'payment'";
    let words = ["plantedpolicy", "plantednote", "plantedreturn"];
    let list = "/v1/payments".to_owned();
    for (path, words) in
        [(&path, &words[..]), (&list, &words), (&refunds, &["plantedreason"]), (&refund, &["plantedreason"])]
    {
        let own = app.get(path).await.expect(200).page();
        let foreign = as_key(&app, &reader, path).await.expect(200).page();
        assert!(words.iter().all(|word| own.contains(word) && !foreign.contains(word)), "{own} {foreign}");
    }
    assert_eq!(sql.number(readings), 0);
    // Whoever reads them by the scope leaves a record, whatever is read.
    for (number, path) in [(1, &refund), (1, &refunds), (1, &path)] {
        assert!(as_key(&app, &officer, path).await.expect(200).page().contains("planted"), "{path}");
        assert_eq!(sql.number(readings), number, "{path}");
    }
    // Words without a payer are words all the same.
    let bare = app.create(with_at(widget("KM-2"), "/description", json!("plantedpolicy"))).await.expect(201);
    let path = format!("/v1/payments/{}", bare.id());
    let foreign = as_key(&app, &reader, &path).await.expect(200).page();
    assert!(foreign.contains("open_widget") && !foreign.contains("plantedpolicy"), "{foreign}");
    as_key(&app, &officer, &path).await.expect(200);
    assert_eq!(sql.number(readings), 2);
    app.stop().await;
}

async fn searches_by_account_are_recorded(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.create(planted("KM-1")).await.expect(201);
    let reader = app.new_key(&[Scope::PaymentsRead]).await;
    let mut sql = Sql::open(&app.database.url);
    let recorded = "SELECT count(*) AS value FROM personal_data_access WHERE action = 'search'";
    as_key(&app, &reader, "/v1/payments?invoice_id=KM-1").await.expect(200);
    assert_eq!(sql.number(recorded), 0);
    let search = format!("/v1/payments?account_id={ACCOUNT}");
    for _ in 0..2 {
        as_key(&app, &reader, &search).await.expect(200);
        assert_eq!(sql.number(recorded), 1);
    }
    // The key that created the payments looks for a person, too; and to find nobody is an answer.
    app.get(&search).await.expect(200);
    assert_eq!(sql.number(recorded), 2);
    as_key(&app, &reader, "/v1/payments?account_id=nobody").await.expect(200);
    assert_eq!(sql.number(recorded), 3);
    app.advance(3600);
    as_key(&app, &reader, &search).await.expect(200);
    assert_eq!(sql.number(recorded), 4);
    let whom = "SELECT count(*) AS value FROM personal_data_access a JOIN payer_keys k ON k.id = a.payer_key_id";
    assert_eq!(sql.number(whom), 3);
    assert!(sql.run("DELETE FROM personal_data_access").is_err());
    app.stop().await;
}

async fn an_export_holds_everything_in_stretches(engine: Engine) {
    let app = TestApp::start(engine).await;
    let first = story(&app).await;
    let second = app.create(planted("KM-78")).await.expect(201);
    let path = format!("/v1/payers/{ACCOUNT}/personal-data?limit=1");
    let page = app.get(&path).await.expect(200);
    assert_eq!(page.text("/data/0/payment/id"), second.id());
    let page = app.get(&format!("{path}&cursor={}", page.text("/next_cursor"))).await.expect(200);
    assert_eq!(page.text("/data/0/payment/id"), first.id());
    assert_eq!(page.text("/data/0/payment/payer/phone"), "+77015557391");
    assert_eq!(page.text("/data/0/refunds/0/reason"), "plantedreason");
    let told = page.json["data"][0]["notifications"].to_string();
    assert!(told.contains("planted.person"), "{told}");
    assert_eq!(page.json["next_cursor"], json!(null));
    let unknown = app.get("/v1/payers/nobody%20%D0%9A/personal-data").await.expect(200);
    assert_eq!(unknown.json["data"], json!([]));
    let refused = app.get("/v1/payers/4242%204242%204242%204242/personal-data").await;
    assert_eq!(refused.expect_problem(422, "invalid_request"), ["account_id: card_data_not_allowed"]);
    let mut sql = Sql::open(&app.database.url);
    assert_eq!(sql.number("SELECT count(*) AS value FROM personal_data_access WHERE action = 'export'"), 3);
    app.stop().await;
}

async fn late_news_of_an_erased_payer_keeps_no_body(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(planted("KM-1")).await.expect(201);
    app.sandbox.flush_notifications().await;
    erase(&app, "erase-1").await.expect(200);
    let number = transaction_id(&app.payment(payment.id()).await).to_string();
    let news = [
        ("TransactionId", number.as_str()),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("InvoiceId", "KM-1"),
        ("Status", "Completed"),
        ("Email", "planted.person@example.test"),
        ("CardFirstSix", "400000"),
        ("CardLastFour", "3055"),
        ("Note", "late"),
    ];
    app.notify("pay", &news).await;
    let mut sql = Sql::open(&app.database.url);
    assert_eq!(sql.number("SELECT count(*) AS value FROM notifications WHERE length(body) > 0"), 0);
    assert!(app.payment(payment.id()).await.json["card"].get("last_four").is_none());
    assert_eq!(app.verdicts().await.first().map(String::as_str), Some("pay no_change"));
    app.finish().await;
}

async fn what_was_kept_long_enough_ends(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = planted("KM-1");
    let payment = app.post_as("/v1/payments", "the-charge", body.clone()).await.expect(201);
    let hosted = app.post_as("/v1/payments", "the-window", widget("KM-2")).await.expect(201);
    story(&app).await;
    let officer = app.new_key(&[Scope::PaymentsRead, Scope::PersonalDataWrite]).await;
    as_key(&app, &officer, &format!("/v1/payments/{}", payment.id())).await;
    let mut sql = Sql::open(&app.database.url);
    let mut count = |what: &str| sql.number(&format!("SELECT count(*) AS value FROM {what}"));
    let (bodies, answers) = ("notifications WHERE length(body) > 0", "idempotency_keys WHERE body IS NOT NULL");
    let own = "payer_keys WHERE id LIKE 'ntf%'";
    assert_eq!(app.running.app.retention_step().await.unwrap(), 0);
    assert!(count(bodies) >= 4 && count(own) == 1 && count("quarantine") == 1);

    app.advance(31 * 86_400);
    app.running.app.retention_step().await.unwrap();
    assert_eq!(count("quarantine"), 0);
    // The window is still open by our books, so its answer stays.
    assert_eq!(count(answers), 1);
    let repeat = app.post_as("/v1/payments", "the-charge", body.clone()).await.expect(201);
    assert_eq!(repeat.id(), payment.id());
    app.post_as("/v1/payments", "the-charge", widget("KM-9")).await.expect_problem(422, "idempotency_key_reused");
    app.post_as("/v1/payments", "the-window", widget("KM-2")).await.expect(201);
    assert!(count(bodies) >= 4);

    app.advance(370 * 86_400);
    app.running.app.retention_step().await.unwrap();
    // What fits no payment may be the only evidence of money that nobody booked.
    assert_eq!((count(bodies), count(own)), (1, 1));
    assert_eq!(count("personal_data_access"), 1);

    app.advance(1500 * 86_400);
    // The clock of the database has not reached that: see `books_written_once`.
    Sql::open(&app.database.url).drop_trigger("personal_data_access_ended_in_time");
    app.running.app.retention_step().await.unwrap();
    assert_eq!((count(bodies), count(own)), (0, 0));
    let stray = app.get("/v1/notifications?limit=100").await.expect(200);
    let ended = stray.json["data"].as_array().unwrap()[0]["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/notifications/{ended}/replay"), json!({})).await.expect_problem(409, "invalid_state");
    app.running.app.settle_step().await.unwrap();
    assert_eq!(count("personal_data_access"), 0);
    // Nobody is erased by default.
    assert_eq!(app.payment(payment.id()).await.text("/payer/account_id"), ACCOUNT);
    assert_eq!(app.payment(hosted.id()).await.status, 200);
    app.stop().await;
}

async fn idle_payers_are_erased_when_their_time_is_over(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("retention.payer_data_days", "100")).await;
    let old = app.create(planted("KM-1")).await.expect(201);
    let nameless = app.create(with_at(card("KM-2", APPROVED), "/payer", json!({"ip_address": "203.0.113.99"}))).await;
    app.sandbox.flush_notifications().await;
    app.advance(60 * 86_400);
    let active = app.create(card("KM-3", APPROVED)).await.expect(201);
    let open = app.create(with_at(widget("KM-4"), "/payer/account_id", json!("somebody-else"))).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.advance(60 * 86_400);
    assert!(app.running.app.retention_step().await.unwrap() > 0);
    for (payment, erased) in
        [(&old, json!(true)), (&nameless, json!(true)), (&active, json!(null)), (&open, json!(null))]
    {
        let shown = app.payment(payment.id()).await;
        assert_eq!(shown.json.get("erased").cloned().unwrap_or(json!(null)), erased, "{}", shown.text("/invoice_id"));
    }
    assert_eq!(app.running.app.retention_step().await.unwrap(), 0);
    let mut sql = Sql::open(&app.database.url);
    let records = "SELECT sum(payments) AS value FROM personal_data_erasures WHERE cause = 'retention'";
    assert_eq!(sql.number(&records.replace("sum(payments)", "CAST(sum(payments) AS BIGINT)")), 2);
    assert_eq!(secret_hits(&app, &PLANTED), 0);
    app.finish().await;
}

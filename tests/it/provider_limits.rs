//! The provider's limits and its bad days: never too many requests at once, nothing sent into the void, Check always fast.

use std::time::{Duration, Instant};

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationKind, SandboxConfig};
use serde_json::{Value, json};

use crate::support::{APPROVED, CARD_THREE_DS, Engine, Reply, TestApp, card, expect_sums, form, order, widget, with};

crate::on_both!(
    a_refused_port_opens_the_breaker,
    a_silent_provider_opens_the_breaker,
    a_failing_provider_opens_the_breaker,
    questions_are_not_used_up_while_nothing_is_sent,
    a_refused_caller_has_it_asked_whether_it_is_back,
    refused_credentials_are_loud,
    payments_can_go_on_after_the_breaker_was_open,
    our_cap_never_meets_a_429,
    a_request_that_was_given_up_still_counts,
    after_a_429_lookups_pause,
    refunds_that_were_not_sent_do_not_use_up_the_others,
    check_is_fast_while_the_provider_hangs,
);

const CHARGE: &str = "/payments/cards/charge";
/// An answer of our own database, on a machine that does much other work, too.
const AT_ONCE: Duration = Duration::from_secs(3);
/// Between two questions whether the provider is back; longer than a slow test.
const PAUSE_S: u32 = 120;

async fn start(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |raw| {
        raw.with("cloudpayments.breaker_failures", "3")
            .with("cloudpayments.breaker_pause_ms", (PAUSE_S * 1000).to_string())
            .with("cloudpayments.request_timeout_ms", "2000")
    })
    .await
}

fn break_charges(app: &TestApp, times: u32, kind: ApiFaultKind) {
    app.sandbox.fault(Fault::api(CHARGE, kind).times(times));
}

async fn provider(app: &TestApp) -> String {
    app.get("/health/ready").await.expect(200).text("/provider").to_owned()
}

/// A charge that is answered at once with 503, without a call to the provider, under a key that stays free. It is known
/// beforehand that nothing would be sent.
async fn expect_refused_at_once(app: &TestApp, invoice: &str) {
    expect_not_sent(app, invoice).await;
    assert_eq!(app.of_invoice(invoice).await, Vec::<Value>::new(), "what would not be sent leaves nothing behind");
}

/// The same, where it turns out only after the intent was written.
async fn expect_not_sent(app: &TestApp, invoice: &str) {
    let calls = app.calls_to_provider().await;
    let started = Instant::now();
    let refused = app.post_as("/v1/payments", &format!("key of {invoice}"), card(invoice, APPROVED)).await;
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    refused.expect_problem(503, "unavailable");
    assert!((1..=u64::from(PAUSE_S) + 1).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(app.calls_to_provider().await, calls, "something was sent");
    let payments = app.of_invoice(invoice).await;
    assert!(payments.iter().all(|payment| payment["status"] == "cancelled" && payment["transactions"] == json!([])));
}

/// The pause is over, the worker asks, and the refused request goes through under its old key.
async fn expect_recovered(app: &TestApp, invoice: &str) {
    app.advance(PAUSE_S + 1);
    app.running.app.settle_step().await.unwrap();
    assert_eq!(provider(app).await, "ok");
    let paid = app.post_as("/v1/payments", &format!("key of {invoice}"), card(invoice, APPROVED)).await.expect(201);
    assert_eq!((paid.text("/status"), paid.header("idempotent-replayed")), ("paid", ""));
}

async fn a_refused_port_opens_the_breaker(engine: Engine) {
    let nobody = kmic_payments::startup::free_port().unwrap();
    let app = TestApp::start_with(engine, |raw| {
        raw.with("cloudpayments.base_url", format!("http://127.0.0.1:{nobody}"))
            .with("cloudpayments.breaker_failures", "3")
            .with("cloudpayments.breaker_pause_ms", (PAUSE_S * 1000).to_string())
    })
    .await;
    for number in 0..3 {
        assert_eq!(provider(&app).await, "ok");
        app.create(card(&format!("KM-{number}"), APPROVED)).await.expect_problem(503, "unavailable");
    }
    assert_eq!(provider(&app).await, "unreachable");
    expect_refused_at_once(&app, "KM-9").await;
    // Asked, still dead, refused on.
    app.advance(PAUSE_S + 1);
    app.running.app.settle_step().await.unwrap();
    expect_refused_at_once(&app, "KM-9").await;
    // What needs no provider works.
    let payment = app.create(widget("KM-10")).await.expect(201);
    app.act(payment.id(), "cancel", json!({})).await.expect(200);
    app.finish().await;
}

async fn a_silent_provider_opens_the_breaker(engine: Engine) {
    let app = start(engine).await;
    break_charges(&app, 3, ApiFaultKind::Hang { ms: 5_000 });
    let bodies: Vec<_> = (0..3).map(|number| card(&format!("KM-{number}"), APPROVED)).collect();
    let keys = ["key-0", "key-1", "key-2"];
    let requests = bodies.iter().zip(keys).map(|(body, key)| app.posting("/v1/payments", key, body)).collect();
    let lost: Vec<Reply> = app.at_once(requests).await.into_iter().map(|reply| reply.expect(202)).collect();
    assert_eq!(provider(&app).await, "unreachable");
    expect_refused_at_once(&app, "KM-9").await;
    // The breaker decides about what was not sent yet. What was sent stays unknown.
    for payment in &lost {
        let seen = app.payment(payment.id()).await;
        assert_eq!((seen.text("/status"), seen.text("/outcome/certainty")), ("processing", "undetermined"));
    }
    expect_recovered(&app, "KM-9").await;
    app.advance(700);
    app.running.app.settle_step().await.unwrap();
    for payment in &lost {
        // Proven by the register: nothing happened.
        assert_eq!(app.payment(payment.id()).await.text("/status"), "expired");
    }
    app.finish().await;
}

async fn a_failing_provider_opens_the_breaker(engine: Engine) {
    let app = start(engine).await;
    // Each did its work, answered 500, and its notification is lost.
    break_charges(&app, 3, ApiFaultKind::StatusAfter { status: 500, body: None });
    for number in 0..3 {
        app.lose(NotificationKind::Pay);
        app.create(card(&format!("KM-{number}"), APPROVED)).await.expect(202);
    }
    expect_refused_at_once(&app, "KM-9").await;
    expect_recovered(&app, "KM-9").await;
    for number in 0..3 {
        let payment = &app.of_invoice(&format!("KM-{number}")).await[0];
        assert_eq!(payment["status"], "paid", "evidence settles what was lost: {payment}");
    }
    assert_eq!(app.charges(), 4);
    app.finish().await;
}

async fn questions_are_not_used_up_while_nothing_is_sent(engine: Engine) {
    let app = start(engine).await;
    break_charges(&app, 3, ApiFaultKind::StatusAfter { status: 500, body: None });
    for number in 0..3 {
        app.lose(NotificationKind::Pay);
        app.create(card(&format!("KM-{number}"), APPROVED)).await.expect(202);
    }
    app.sandbox.fault(Fault::api("*", ApiFaultKind::StatusBefore { status: 500 }).times(5));
    for _ in 0..5 {
        let calls = app.calls_to_provider().await;
        app.advance(PAUSE_S + 1);
        assert_eq!(app.running.app.settle_step().await.unwrap(), 3);
        assert_eq!(app.calls_to_provider().await, calls + 1, "only whether it is back");
    }
    // Had they been asked in vain, the pauses would have grown beyond this.
    app.advance(PAUSE_S + 1);
    app.running.app.settle_step().await.unwrap();
    for number in 0..3 {
        assert_eq!(app.of_invoice(&format!("KM-{number}")).await[0]["status"], "paid");
    }
    app.finish().await;
}

async fn a_refused_caller_has_it_asked_whether_it_is_back(engine: Engine) {
    let app = start(engine).await;
    break_charges(&app, 3, ApiFaultKind::StatusBefore { status: 503 });
    for number in 0..3 {
        app.create(card(&format!("KM-{number}"), APPROVED)).await.expect(202);
    }
    assert_eq!(provider(&app).await, "unreachable");
    app.advance(PAUSE_S + 1);
    // Without a worker: this one is refused at once, and it is asked beside it.
    let body = card("KM-9", APPROVED);
    app.post_as("/v1/payments", "key-9", body.clone()).await.expect_problem(503, "unavailable");
    for _ in 0..100 {
        if provider(&app).await == "ok" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(app.post_as("/v1/payments", "key-9", body).await.expect(201).text("/status"), "paid");
    app.finish().await;
}

async fn refused_credentials_are_loud(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| {
        raw.with("cloudpayments.api_secret", "another secret")
            .with("cloudpayments.breaker_pause_ms", (PAUSE_S * 1000).to_string())
    })
    .await;
    let open = r#"kmic_payments_provider_circuit_open{trouble="credentials_refused"}"#;
    assert!(app.running.metrics.render().contains(&format!("{open} 0")));
    let told = |refused: &Reply| {
        refused.expect_problem(503, "unavailable");
        assert!(refused.text("/detail").contains("refuses the credentials"), "{}", refused.json);
        assert!(refused.text("/detail").contains("cloudpayments.api_secret"), "{}", refused.json);
    };
    told(&app.create(card("KM-1", APPROVED)).await);
    assert_eq!(provider(&app).await, "credentials_refused");
    app.running.app.settle_step().await.unwrap();
    assert_eq!(app.calls_to_provider().await, 2, "the charge and one question");
    told(&app.create(card("KM-1", APPROVED)).await);
    for _ in 0..20 {
        expect_refused_at_once(&app, "KM-2").await;
        app.running.app.settle_step().await.unwrap();
    }
    assert_eq!(app.calls_to_provider().await, 2, "the provider is not hammered");
    let page = app.running.metrics.render();
    assert!(page.contains(&format!("{open} 1")), "{page}");
    assert!(page.contains(r#"kmic_payments_provider_not_sent_total{reason="credentials"} 1"#), "{page}");
    assert!(page.contains(r#"kmic_payments_provider_not_sent_total{reason="suspended"} 21"#), "{page}");
    app.finish().await;
}

async fn open_the_breaker(app: &TestApp) {
    break_charges(app, 3, ApiFaultKind::StatusBefore { status: 500 });
    for number in 0..3 {
        app.create(card(&format!("DEAD-{number}"), APPROVED)).await.expect(202);
    }
    assert_eq!(provider(app).await, "unreachable");
}

async fn payments_can_go_on_after_the_breaker_was_open(engine: Engine) {
    let app = start(engine).await;
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    let at_bank = app.create(card("KM-2", CARD_THREE_DS)).await.expect(201);
    let in_browser =
        app.create(with(card("KM-3", CARD_THREE_DS), "return_url", "https://kmic.example/done")).await.expect(201);
    let held = app.create(with(widget("KM-4"), "capture", "manual")).await.expect(201);
    app.pay(order(&held, APPROVED)).await;
    app.sandbox.flush_notifications().await;
    let answer = app.at_bank(&at_bank, "pass").await;
    let field = |name: &str| answer.fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    let finish = json!({ "md": field("MD"), "pa_res": field("PaRes") });
    let browser = app.at_bank(&in_browser, "pass").await;
    open_the_breaker(&app).await;

    let path = |payment: &Reply, action: &str| format!("/v1/payments/{}/{action}", payment.id());
    let requests = [
        (path(&at_bank, "three-ds"), "k1", finish),
        (path(&paid, "refunds"), "k2", json!({ "amount": { "value": "2500.00", "currency": "KZT" } })),
        (path(&held, "capture"), "k3", json!({})),
        (path(&held, "cancel"), "k4", json!({})),
    ];
    for (path, key, body) in &requests {
        let refused = app.post_as(path, key, body.clone()).await;
        refused.expect_problem(503, "unavailable");
        assert!(!refused.header("retry-after").is_empty(), "{path}");
    }
    app.act(paid.id(), "sync", json!({})).await.expect_problem(503, "unavailable");
    let sent_on = app.submit(&browser).await.expect(303);
    assert!(sent_on.header("location").ends_with("status=awaiting_authentication"), "{:?}", sent_on.headers);

    for (payment, status) in
        [(&at_bank, "awaiting_authentication"), (&in_browser, "awaiting_authentication"), (&held, "authorized")]
    {
        let seen = app.payment(payment.id()).await;
        assert_eq!((seen.text("/status"), seen.text("/outcome/certainty")), (status, "proven"), "{}", seen.json);
    }
    assert_eq!(app.payment(in_browser.id()).await.text("/next_action/type"), "three_ds", "the payer can go on");
    expect_sums(&app.payment(paid.id()).await, "12500.00", "0.00", "12500.00");
    let refunds = app.get(&format!("/v1/payments/{}/refunds", paid.id())).await.expect(200);
    assert_eq!(refunds.json["data"], json!([]), "what would not be sent leaves nothing behind");

    app.advance(PAUSE_S + 1);
    app.running.app.settle_step().await.unwrap();
    assert_eq!(provider(&app).await, "ok");
    let done: Vec<Reply> = {
        let mut done = Vec::new();
        for (path, key, body) in requests.iter().take(3) {
            done.push(app.post_as(path, key, body.clone()).await);
        }
        done
    };
    assert_eq!(done.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 201, 200], "{done:?}");
    assert_eq!(
        (done[0].text("/status"), done[1].text("/status"), done[2].text("/status")),
        ("paid", "succeeded", "paid")
    );
    app.submit(&browser).await.expect(303);
    assert_eq!(app.payment(in_browser.id()).await.text("/status"), "paid");
    app.finish().await;
}

/// The HTTP status of every request that the provider has seen.
async fn statuses(app: &TestApp) -> Vec<String> {
    let log = Reply::receive(app.http.get(format!("{}/sandbox/requests", app.sandbox.base_url()))).await.expect(200);
    let rows = log.json.as_array().unwrap();
    rows.iter().map(|row| row["status"].as_str().map_or_else(|| row["status"].to_string(), str::to_owned)).collect()
}

async fn our_cap_never_meets_a_429(engine: Engine) {
    let sandbox = SandboxConfig { max_concurrent_requests: 5, ..TestApp::sandbox_config() };
    let app = TestApp::start_against(engine, sandbox, |raw| {
        raw.with("cloudpayments.max_concurrent_requests", "5").with("cloudpayments.queue_timeout_ms", "30000")
    })
    .await;
    break_charges(&app, 60, ApiFaultKind::Delay { ms: 30 });
    let bodies: Vec<_> = (0..60).map(|number| card(&format!("KM-{number}"), APPROVED)).collect();
    let keys: Vec<_> = (0..60).map(|number| format!("key-{number}")).collect();
    let requests =
        bodies.iter().zip(&keys).map(|(body, key)| app.posting("/v1/payments", key, body)).collect::<Vec<_>>();
    let replies = app.at_once(requests).await;
    assert!(replies.iter().all(|reply| reply.status == 201), "{replies:?}");
    let statuses = statuses(&app).await;
    assert!(statuses.len() == 60 && statuses.iter().all(|status| status == "200"), "{statuses:?}");
    app.finish().await;
}

async fn a_request_that_was_given_up_still_counts(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| {
        raw.with("cloudpayments.max_concurrent_requests", "1")
            .with("cloudpayments.request_timeout_ms", "2000")
            .with("cloudpayments.queue_timeout_ms", "100")
    })
    .await;
    break_charges(&app, 1, ApiFaultKind::Hang { ms: 4_000 });
    app.create(card("KM-1", APPROVED)).await.expect(202);
    // The provider may still work on it: another one would be one too many.
    expect_not_sent(&app, "KM-2").await;
    app.advance(300);
    let paid = app.post_as("/v1/payments", "key of KM-2", card("KM-2", APPROVED)).await.expect(201);
    assert_eq!(paid.text("/status"), "paid");
    app.finish().await;
}

async fn after_a_429_lookups_pause(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("cloudpayments.backoff_ms", "120000")).await;
    app.break_answer(CHARGE, ApiFaultKind::DropBefore);
    app.create(card("KM-1", APPROVED)).await.expect(202);
    break_charges(&app, 1, ApiFaultKind::StatusBefore { status: 429 });
    let refused = app.create(card("KM-2", APPROVED)).await;
    refused.expect_problem(503, "unavailable");
    assert!(refused.text("/detail").contains("takes no more requests at once"), "{}", refused.json);
    assert!(!refused.header("retry-after").is_empty());
    let calls = app.calls_to_provider().await;
    app.advance(6);
    assert_eq!(app.running.app.settle_step().await.unwrap(), 1);
    assert_eq!(app.calls_to_provider().await, calls, "a lookup did not yield");
    app.create(card("KM-3", APPROVED)).await.expect(201);
    app.advance(300);
    app.running.app.settle_step().await.unwrap();
    assert!(app.calls_to_provider().await > calls + 1, "lookups go on after the pause");
    app.finish().await;
}

async fn check_is_fast_while_the_provider_hangs(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| {
        raw.with("cloudpayments.max_concurrent_requests", "2")
            .with("cloudpayments.max_queued_requests", "3")
            .with("cloudpayments.queue_timeout_ms", "20000")
            .with("cloudpayments.request_timeout_ms", "20000")
    })
    .await;
    let payment = app.create(widget("KM-100")).await.expect(201);
    break_charges(&app, 2, ApiFaultKind::Hang { ms: 15_000 });
    let charges: Vec<_> = (0..5)
        .map(|number| {
            let key = format!("key-{number}");
            tokio::spawn(Reply::receive(app.posting("/v1/payments", &key, &card(&format!("KM-{number}"), APPROVED))))
        })
        .collect();
    // The provider works on two, three wait: the sixth is refused at once.
    let mut full = false;
    for _ in 0..200 {
        if app.of_invoice("KM-4").await.len() + app.of_invoice("KM-3").await.len() == 2 {
            full = app.create(card("KM-6", APPROVED)).await.status == 503;
        }
        if full {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(full, "the queue never filled");
    let fields = [
        ("TransactionId", "5000000001"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("InvoiceId", "KM-100"),
        ("AccountId", "user-42"),
        ("OperationType", "Payment"),
        ("Status", "Completed"),
    ];
    for _ in 0..100 {
        // Far below what the provider takes, and far above what our own database does.
        tokio::time::timeout(AT_ONCE, app.notify("check", &fields)).await.expect("Check waits for something");
    }
    assert!(charges.iter().all(|charge| !charge.is_finished()), "all were answered while the provider hangs");
    let unknown = form(&[("TransactionId", "1"), ("InvoiceId", "?")]);
    let unknown = app.notify_signed("check", &unknown, app.sandbox.api_secret()).await;
    assert_eq!(unknown.expect(200).page(), r#"{"code":10}"#);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "awaiting_payer");
    charges.iter().for_each(tokio::task::JoinHandle::abort);
    app.stop_at_once().await;
}

/// The site repeats, as it is told to, for as long as the provider takes nothing.
async fn refunds_that_were_not_sent_do_not_use_up_the_others(engine: Engine) {
    const REFUND: &str = "/payments/refund";
    let app = TestApp::start(engine).await;
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let path = format!("/v1/payments/{}/refunds", paid.id());
    let body = json!({ "amount": { "value": "1.00", "currency": "KZT" } });
    app.sandbox.fault(Fault::api(REFUND, ApiFaultKind::StatusBefore { status: 429 }).times(101));
    for _ in 0..101 {
        app.post_as(&path, "patient", body.clone()).await.expect_problem(503, "unavailable");
    }
    app.post_as(&path, "patient", body.clone()).await.expect(201);
    for number in 1..100 {
        app.post_as(&path, &format!("key {number}"), body.clone()).await.expect(201);
    }
    app.post_as(&path, "one too many", body).await.expect_problem(409, "too_many_refunds");
    expect_sums(&app.payment(paid.id()).await, "12500.00", "100.00", "12400.00");
    assert_eq!(app.refunds(), 100);
    app.finish().await;
}

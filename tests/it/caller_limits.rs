//! How much one caller may ask at once, and how often an address may try without a key.

use std::time::{Duration, Instant};

use cloudpayments_sandbox::ApiFaultKind;
use kmic_payments::config::Raw;
use kmic_payments::domain::scope::Scope;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::{APPROVED, Engine, Reply, Sql, TestApp, card, sign, widget};

crate::on_both!(
    one_key_has_so_many_requests_under_way,
    a_caller_that_hangs_up_keeps_its_place,
    attempts_without_a_key_are_limited_by_address,
    notifications_come_from_their_networks,
);

const DEADLINE: Duration = Duration::from_secs(20);

fn limited(app: &TestApp, limit: &str) -> bool {
    let line = format!("kmic_payments_limited_requests_total{{limit=\"{limit}\"}} ");
    app.running.metrics.render().lines().any(|row| row.starts_with(&line))
}

#[track_caller]
fn expect_limited(reply: &Reply) -> u64 {
    assert_eq!(reply.expect_problem(429, "rate_limited"), [""; 0]);
    reply.header("retry-after").parse().unwrap()
}

async fn one_key_has_so_many_requests_under_way(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("server.max_concurrent_requests", "2")).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let path = format!("/v1/payments/{}", payment.id());
    let deadline = Instant::now() + DEADLINE;
    // Until both have a place: one may come while the request below has it.
    let wait = |request: reqwest::RequestBuilder| async move {
        loop {
            let reply = Reply::receive(request.try_clone().unwrap()).await;
            if reply.status != 429 || Instant::now() > deadline {
                return reply;
            }
        }
    };
    let waiting: Vec<_> =
        (0..2).map(|_| tokio::spawn(wait(app.request(reqwest::Method::GET, &format!("{path}?wait=20"))))).collect();
    let refused = loop {
        let reply = app.get(&path).await;
        if reply.status == 429 {
            break reply;
        }
        assert!(Instant::now() < deadline, "the third request is not refused");
        sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(expect_limited(&refused), 1);
    assert!(refused.text("/detail").contains("under way") && limited(&app, "concurrency"));
    // Others have their own places; what they do lets the waiting ones go.
    let other = app.new_key(&Scope::ALL).await;
    let cancel = app.http.post(format!("{}{path}/cancel", app.url)).bearer_auth(&other);
    let cancel = cancel.header("Idempotency-Key", "cancel").header("Content-Type", "application/json").body("{}");
    Reply::receive(cancel).await.expect(200);
    for waiter in waiting {
        assert_eq!(waiter.await.unwrap().expect(200).text("/status"), "cancelled");
    }
    app.get(&path).await.expect(200);
    app.finish().await;
}

async fn a_caller_that_hangs_up_keeps_its_place(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("server.max_concurrent_requests", "1")).await;
    app.break_answer("/payments/cards/charge", ApiFaultKind::Delay { ms: 1500 });
    let body = card("KM-1", APPROVED).to_string();
    let request = format!(
        "POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nIdempotency-Key: charge\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        app.key,
        body.len()
    );
    let mut caller = TcpStream::connect(app.running.address).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    while app.charges() == 0 {
        assert!(Instant::now() < deadline, "no charge arrives");
        sleep(Duration::from_millis(10)).await;
    }
    // A reset reaches the server at once, and its handler is dropped.
    caller.set_zero_linger().unwrap();
    drop(caller);
    app.call_as("GET", "/health/ready", None).await.expect(200);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(expect_limited(&app.get("/v1/payments").await), 1);
    while app.get("/v1/payments").await.status != 200 {
        assert!(Instant::now() < deadline, "the place is never free again");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(app.get("/v1/payments").await.text("/data/0/status"), "paid");
    app.finish().await;
}

/// Asks for the payments from behind a proxy that saw `forwarded`.
async fn ask(app: &TestApp, secret: &str, forwarded: &str) -> Reply {
    let request = app.http.get(format!("{}/v1/payments", app.url)).bearer_auth(secret);
    Reply::receive(request.header("X-Forwarded-For", forwarded)).await
}

async fn attempts_without_a_key_are_limited_by_address(engine: Engine) {
    let guarded = |raw: Raw| {
        raw.with("server.failed_authentications_per_minute", "6").with("server.trusted_proxies", "127.0.0.1,::1")
    };
    let app = TestApp::start_with(engine, guarded).await;
    let (attacker, known, fresh) = ("192.0.2.1", app.new_key(&Scope::ALL).await, app.new_key(&Scope::ALL).await);
    ask(&app, &known, "198.51.100.1").await.expect(200);
    let wrong = format!("{}x", &known[..known.len() - 1]);
    let unknown = "kmic_01kaq0j5m8x2v9c4t7b1n6r3ed_x";
    for secret in [wrong.as_str(), unknown, "nonsense", wrong.as_str(), unknown, wrong.as_str()] {
        ask(&app, secret, attacker).await.expect_problem(401, "unauthenticated");
    }
    for secret in [wrong.as_str(), unknown, "nonsense"] {
        let wait = expect_limited(&ask(&app, secret, attacker).await);
        assert!((1..=11).contains(&wait), "{wait}");
    }
    assert!(limited(&app, "failed_authentication"));
    // What the attacker writes itself does not help it.
    expect_limited(&ask(&app, &wrong, &format!("203.0.113.5, {attacker}")).await);
    // Whoever has a key is served from there all the same, also with one that this process never saw.
    ask(&app, &known, attacker).await.expect(200);
    ask(&app, &fresh, attacker).await.expect(200);
    // Not with one that has ended.
    let ended = app.new_key(&Scope::ALL).await;
    let body = ended.trim_start_matches("kmic_").split('_').next().unwrap();
    let end = format!("UPDATE api_keys SET revoked_at = created_at WHERE id = 'key_{body}'");
    assert_eq!(Sql::open(&app.database.url).run(&end), Ok(1));
    expect_limited(&ask(&app, &ended, attacker).await);
    // Guessing goes on being refused, and reads the keys at most once a second.
    for _ in 0..20 {
        expect_limited(&ask(&app, &wrong, attacker).await);
    }
    // Elsewhere nothing changed.
    ask(&app, &wrong, "198.51.100.7").await.expect_problem(401, "unauthenticated");
    app.get("/v1/payments").await.expect(200);
    app.finish().await;
}

async fn notifications_come_from_their_networks(engine: Engine) {
    let fenced = |raw: Raw| {
        raw.with("cloudpayments.notification_networks", "203.0.113.0/24, 2001:db8:7::/48")
            .with("server.trusted_proxies", "127.0.0.0/8")
    };
    let app = TestApp::start_with(engine, fenced).await;
    let secret = app.sandbox.api_secret().to_owned();
    let body = "TransactionId=1&Amount=1.00&Currency=KZT&InvoiceId=KM-1";
    let send = async |method: reqwest::Method, forwarded: &str| {
        let path = format!("{}/v1/notifications/cloudpayments/check", app.url);
        let signature = sign(&secret, body.as_bytes());
        let request = match method {
            reqwest::Method::GET => app.http.get(format!("{path}?{body}")),
            _ => app.http.post(path).header("Content-Type", "application/x-www-form-urlencoded").body(body),
        };
        Reply::receive(request.header("X-Forwarded-For", forwarded).header("Content-HMAC", signature)).await
    };
    for method in [reqwest::Method::POST, reqwest::Method::GET] {
        for foreign in ["198.51.100.1", "203.0.113.9, 198.51.100.1", "unknown", "127.0.0.1", "2001:db8:8::1"] {
            send(method.clone(), foreign).await.expect_problem(403, "source_not_allowed");
        }
    }
    assert!(app.verdicts().await.is_empty(), "nothing of it is kept");
    let counted = "kmic_payments_notifications_total{kind=\"check\",verdict=\"source_not_allowed\"} 10";
    assert!(app.running.metrics.render().contains(counted));
    for own in ["203.0.113.9", "198.51.100.1, 203.0.113.9", "2001:db8:7::1", "203.0.113.9, 127.0.0.2"] {
        // Of no payment of ours: answered in the provider's own way.
        assert_eq!(send(reqwest::Method::POST, own).await.expect(200).json["code"], 10, "{own}");
    }
    app.stop().await;
}

//! Callers who mean no good: slow, oversized and malformed requests over raw sockets; and what browsers are told.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use kmic_payments::config::Raw;
use serde_json::Value;

use crate::support::{CARD_THREE_DS, Engine, Reply, TestApp, card, with};

crate::on_both!(
    slow_heads_are_cut_off,
    slow_bodies_are_cut_off,
    oversized_requests_are_refused,
    malformed_requests_are_refused,
    every_answer_has_security_headers,
    browsers_of_other_sites_are_kept_out,
    browsers_of_named_sites_are_let_in,
    head_is_get_without_a_body,
    made_up_methods_leave_no_trace,
);

fn connect(app: &TestApp) -> TcpStream {
    let stream = TcpStream::connect(app.running.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// All that the service says until it closes the connection.
#[track_caller]
fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the connection stays open: {error}");
    }
    String::from_utf8(answer).unwrap()
}

/// Sends a whole request that asks to close the connection.
#[track_caller]
fn talk(app: &TestApp, request: &[u8]) -> String {
    let mut stream = connect(app);
    // It may refuse and close before it has heard all.
    let _ = stream.write_all(request);
    rest(stream)
}

#[track_caller]
fn expect_answer(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(code.is_empty() || answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
}

/// Sends a byte every 50 ms until the service has had enough, and returns what it said.
fn trickle(app: &TestApp, beginning: &str, byte: u8) -> String {
    let mut stream = connect(app);
    stream.write_all(beginning.as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        assert!(Instant::now() < deadline, "the connection stays open: {}", String::from_utf8_lossy(&answer));
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let _ = stream.write_all(&[byte]);
            }
            Err(_) => break,
        }
    }
    String::from_utf8(answer).unwrap()
}

fn head(app: &TestApp, request_line: &str, more: &str) -> String {
    format!("{request_line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{more}", app.key)
}

async fn slow_heads_are_cut_off(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("server.head_timeout_s", "1")).await;
    let started = Instant::now();
    let answer = trickle(&app, &head(&app, "GET /v1/payments", "X-Slow: "), b'a');
    expect_answer(&answer, 408, "");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    app.get("/v1/payments").await.expect(200);
    app.finish().await;
}

async fn slow_bodies_are_cut_off(engine: Engine) {
    let app = TestApp::start_with(engine, |raw| raw.with("server.body_timeout_s", "1")).await;
    let more = "Idempotency-Key: slow\r\nContent-Type: application/json\r\n";
    let started = Instant::now();
    let announced = head(&app, "POST /v1/payments", &format!("{more}Content-Length: 5000\r\n\r\n"));
    expect_answer(&trickle(&app, &announced, b' '), 408, "request_timeout");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let notification = "POST /v1/notifications/cloudpayments/pay HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n";
    expect_answer(&trickle(&app, notification, b'a'), 408, "request_timeout");
    // Half a body, and then nothing more will come.
    let mut stream = connect(&app);
    stream.write_all(format!("{announced}{{").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = rest(stream);
    assert!(answer.is_empty() || answer.contains("incomplete_body"), "{answer}");
    app.expect_untouched("slow bodies").await;
    app.finish().await;
}

async fn oversized_requests_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let close = "Connection: close\r\n\r\n";
    let long = |length: usize| "x".repeat(length);
    // An address, one header, many headers; each just too large.
    let address = head(&app, &format!("GET /v1/payments?invoice_id={}", long(16_384)), close);
    expect_answer(&talk(&app, address.as_bytes()), 414, "uri_too_long");
    let header = head(&app, "GET /v1/payments", &format!("X-Long: {}\r\n{close}", long(32_768)));
    expect_answer(&talk(&app, header.as_bytes()), 431, "headers_too_large");
    let several = (0..20).map(|number| format!("X-{number}: {}\r\n", long(1700))).collect::<String>();
    expect_answer(&talk(&app, head(&app, "GET /v1/payments", &(several + close)).as_bytes()), 431, "headers_too_large");
    // What is too much for the server itself is answered without a body.
    let many = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    expect_answer(&talk(&app, head(&app, "GET /v1/payments", &(many + close)).as_bytes()), 431, "");
    let endless = head(&app, "GET /v1/payments", &format!("X-Long: {}", long(300_000)));
    expect_answer(&talk(&app, endless.as_bytes()), 431, "");
    // Almost too large is taken.
    let fits = head(&app, "GET /v1/payments", &format!("X-Long: {}\r\n{close}", long(30_000)));
    expect_answer(&talk(&app, fits.as_bytes()), 200, "");
    // A body that nests deeply, and one that is announced as too large and never sent.
    let deep = format!(r#"{{"metadata":{}1{}}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
    let json = "Idempotency-Key: deep\r\nContent-Type: application/json\r\n";
    let request = head(&app, "POST /v1/payments", &format!("{json}Content-Length: {}\r\n{close}{deep}", deep.len()));
    let answer = talk(&app, request.as_bytes());
    expect_answer(&answer, 400, "malformed_request");
    assert!(answer.contains("nested_too_deep"), "{answer}");
    let announced = head(&app, "POST /v1/payments", &format!("{json}Content-Length: 99999999999\r\n\r\n"));
    expect_answer(&talk(&app, announced.as_bytes()), 413, "body_too_large");
    app.expect_untouched("oversized requests").await;
    app.finish().await;
}

async fn malformed_requests_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let json = "Idempotency-Key: bad\r\nContent-Type: application/json\r\n";
    let cases: Vec<Vec<u8>> = vec![
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n".to_vec(),
        b"GET  /v1/payments HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        // Two readings of where the request ends.
        head(&app, "POST /v1/payments", &format!("{json}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}x")).into(),
        head(
            &app,
            "POST /v1/payments",
            &format!("{json}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        )
        .into(),
        head(&app, "POST /v1/payments", &format!("{json}Content-Length: -1\r\n\r\n{{}}")).into(),
        head(&app, "POST /v1/payments", &format!("{json}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"))
            .into(),
    ];
    for request in cases {
        let answer = talk(&app, &request);
        let shown = String::from_utf8_lossy(&request).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), usize::from(!answer.is_empty()), "{shown}: {answer}");
    }
    app.expect_untouched("malformed requests").await;
    app.get("/v1/payments").await.expect(200);
    app.finish().await;
}

async fn every_answer_has_security_headers(engine: Engine) {
    let app = TestApp::start(engine).await;
    let answers = [
        ("/v1/payments", 200),
        ("/v1/payments?limit=0", 422),
        ("/v1/payments/x", 404),
        ("/v1/three-ds/pay_01kaq0j5m8x2v9c4t7b1n6r3ed/redirect", 403),
        ("/nowhere", 404),
        ("/health/ready", 200),
        ("/openapi.json", 200),
        ("/docs", 308),
        ("/docs/nothing.js", 404),
    ];
    for (path, status) in answers {
        let reply = app.get(path).await.expect(status);
        assert_eq!(reply.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(reply.header("strict-transport-security"), "", "{path}");
        let is_public = path.starts_with("/docs") || path == "/openapi.json";
        assert_eq!(reply.header("cache-control"), if is_public { "" } else { "no-store" }, "{path}");
    }
    assert_eq!(app.call_as("DELETE", "/v1/payments", None).await.expect(405).header("x-frame-options"), "DENY");
    let docs = app.get("/docs/").await.expect(200);
    assert!(docs.header("content-security-policy").contains("default-src 'self'"));
    assert!(docs.header("content-security-policy").contains("frame-ancestors 'none'"));
    // A bank's page may be shown inside the site's own; it runs only the script that we wrote.
    let payment = app.create(with(card("KM-1", CARD_THREE_DS), "return_url", "https://kmic.kz/done")).await.expect(201);
    let page = payment.text("/next_action/redirect_url").strip_prefix(&app.url).unwrap().to_owned();
    let page = app.call_as("GET", &page, None).await.expect(200);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'; script-src 'nonce-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!((page.header("cache-control"), page.header("x-content-type-options")), ("no-store", "nosniff"));
    assert_eq!(page.header("x-frame-options"), "");
    app.finish().await;

    let behind_tls =
        |raw: Raw| raw.with("server.public_url", "https://pay.example.kz").with("server.hsts_max_age_s", "31536000");
    let app = TestApp::start_with(engine, behind_tls).await;
    for path in ["/v1/payments", "/nowhere", "/docs/"] {
        assert_eq!(app.get(path).await.header("strict-transport-security"), "max-age=31536000", "{path}");
    }
    app.finish().await;
}

/// What a browser asks before it sends a request of a page of `origin`.
async fn preflight(app: &TestApp, origin: &str, method: &str, header: &str) -> Reply {
    let request = app.http.request(reqwest::Method::OPTIONS, format!("{}/v1/payments", app.url));
    let request = request.header("Origin", origin).header("Access-Control-Request-Method", method);
    Reply::receive(request.header("Access-Control-Request-Headers", header)).await
}

async fn from_page(app: &TestApp, origin: &str) -> Reply {
    Reply::receive(app.request(reqwest::Method::GET, "/v1/payments").header("Origin", origin)).await
}

async fn browsers_of_other_sites_are_kept_out(engine: Engine) {
    let app = TestApp::start(engine).await;
    for origin in ["https://desk.example.kz", "null", "*"] {
        let asked = preflight(&app, origin, "GET", "authorization").await;
        asked.expect_problem(405, "method_not_allowed");
        let answered = from_page(&app, origin).await.expect(200);
        for reply in [asked, answered] {
            assert!(!reply.headers.keys().any(|name| name.starts_with("access-control")), "{:?}", reply.headers);
        }
    }
    app.finish().await;
}

async fn browsers_of_named_sites_are_let_in(engine: Engine) {
    let origins = "https://desk.example.kz, http://localhost:3000";
    let app = TestApp::start_with(engine, |raw| raw.with("server.cors_origins", origins)).await;
    for origin in ["https://desk.example.kz", "http://localhost:3000"] {
        let asked = preflight(&app, origin, "POST", "authorization,content-type,idempotency-key").await.expect(200);
        assert_eq!(asked.header("access-control-allow-origin"), origin);
        assert!(asked.header("access-control-allow-methods").contains("POST"));
        assert_eq!(asked.header("access-control-allow-credentials"), "");
        let answered = from_page(&app, origin).await.expect(200);
        assert_eq!(answered.header("access-control-allow-origin"), origin);
        assert!(answered.header("access-control-expose-headers").to_lowercase().contains("retry-after"));
        assert!(answered.header("vary").to_lowercase().contains("origin"), "{:?}", answered.headers);
        assert_eq!(answered.header("x-frame-options"), "DENY");
    }
    for (origin, method, header) in [
        ("https://desk.example.kz.evil.example", "GET", "authorization"),
        ("http://desk.example.kz", "GET", "authorization"),
        ("null", "GET", "authorization"),
        ("https://desk.example.kz", "PUT", "authorization"),
        ("https://desk.example.kz", "GET", "x-made-up"),
    ] {
        let asked = preflight(&app, origin, method, header).await;
        assert_eq!(asked.expect_problem(400, "malformed_request"), [""; 0], "{origin} {method} {header}");
    }
    let foreign = from_page(&app, "https://evil.example").await.expect(200);
    assert_eq!(foreign.header("access-control-allow-origin"), "");
    // A request of a program, and an error, are what they were.
    app.get("/v1/payments").await.expect(200);
    app.call_as("OPTIONS", "/v1/payments", None).await.expect_problem(405, "method_not_allowed");
    app.finish().await;
}

async fn head_is_get_without_a_body(engine: Engine) {
    let app = TestApp::start(engine).await;
    let document: Value = serde_json::from_str(&kmic_payments::http::document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let readable = paths.iter().filter(|(_, item)| item.get("get").is_some()).map(|(path, _)| path.as_str());
    let authorization = format!("Bearer {}", app.key);
    let mut answered = 0;
    for path in readable.chain(["/docs", "/docs/"]) {
        let address = path.replace("{id}", "pay_01kaq0j5m8x2v9c4t7b1n6r3ed").replace("{account_id}", "user-42");
        if path.contains("/cloudpayments/") {
            // There GET does something.
            let reply = app.call_as("HEAD", &address.replace("{kind}", "pay"), None).await.expect(405);
            assert_eq!(reply.header("allow"), "POST, GET");
            continue;
        }
        let (get, head) = (app.get(&address).await, app.call_as("HEAD", &address, Some(&authorization)).await);
        assert_eq!((head.status, head.bytes.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        if get.status == 200 && path != "/v1/invariants" {
            assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
            answered += 1;
        }
    }
    assert!(answered > 8, "{answered}");
    assert_eq!(app.call_as("HEAD", "/v1/payments", None).await.status, 401);
    let reply = app.call_as("DELETE", "/v1/payments", Some(&authorization)).await;
    assert_eq!(reply.expect(405).header("allow"), "POST, GET, HEAD");
    app.finish().await;
}

async fn made_up_methods_leave_no_trace(engine: Engine) {
    let app = TestApp::start(engine).await;
    for method in ["BREW", "4242424242424242", "get", "PROPFIND"] {
        app.call_as(method, "/v1/payments", None).await.expect_problem(405, "method_not_allowed");
    }
    let figures = app.running.metrics.render();
    assert!(figures.contains("method=\"(other)\""), "{figures}");
    for method in ["BREW", "4242", "PROPFIND"] {
        assert!(!figures.contains(method), "{method}");
    }
    app.finish().await;
}

//! Requests that cannot be read at all, addresses of nothing, and faulty query strings.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{Engine, TestApp, widget};

crate::on_both!(
    bodies_that_are_not_strict_json_are_refused,
    large_bodies_are_refused,
    other_content_types_are_refused,
    ids_of_another_kind_are_no_such_thing,
    query_strings_are_checked,
);

async fn bodies_that_are_not_strict_json_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let good = widget("KM-1").to_string();
    let deep = format!(r#"{{"metadata":{}1{}}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
    let deep_lists = "[".repeat(60_000);
    let twice = good.replacen('{', r#"{"invoice_id":"KM-2","#, 1);
    let twice_inside = good.replacen(r#""value""#, r#""value":"1.00","value""#, 1);
    assert!(twice_inside.matches(r#""value""#).count() == 2);
    let mut not_utf8 = good.replace("KM-1", "KM-?").into_bytes();
    let place = not_utf8.iter().position(|byte| *byte == b'?').unwrap();
    not_utf8[place] = 0xff;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("invalid UTF-8", not_utf8, ": not_utf8"),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect(), ": not_json"),
        ("200 levels", deep.into_bytes(), ": nested_too_deep"),
        ("60,000 open lists", deep_lists.into_bytes(), ": not_json"),
        ("nothing", Vec::new(), ": body_required"),
        ("blanks", b" \n ".to_vec(), ": body_required"),
        ("a form", b"invoice_id=KM-1".to_vec(), ": not_json"),
        ("half of it", good.as_bytes()[..good.len() / 2].to_vec(), ": not_json"),
        ("a comma too many", good.replace("}}", "},}").into_bytes(), ": not_json"),
        ("two documents", format!("{good}{good}").into_bytes(), ": not_json"),
        ("a byte order mark", format!("\u{feff}{good}").into_bytes(), ": not_json"),
        ("NaN", br#"{"amount":NaN}"#.to_vec(), ": not_json"),
        ("a field twice", twice.into_bytes(), "/invoice_id: duplicate_member"),
        ("an inner field twice", twice_inside.into_bytes(), "/amount/value: duplicate_member"),
    ];
    for (name, bytes, expected) in cases {
        let reply = app.post_bytes("/v1/payments", bytes).await;
        assert_eq!(reply.expect_problem(400, "malformed_request"), [expected], "{name}");
    }
    // Valid JSON, but no object: the contract's 422.
    for bytes in ["[]", "null", "1", "\"x\"", "[{}]"] {
        let faults = app.post_bytes("/v1/payments", bytes.into()).await.expect_problem(422, "invalid_request");
        assert_eq!(faults, [": must_be_object"], "{bytes}");
    }
    app.expect_untouched("bodies that are not JSON").await;
    app.finish().await;
}

async fn large_bodies_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let padded = |length: usize| {
        let good = widget("KM-1").to_string();
        format!("{good}{}", " ".repeat(length - good.len())).into_bytes()
    };
    assert_eq!(app.post_bytes("/v1/payments", padded(65_537)).await.expect_problem(413, "body_too_large"), [""; 0]);
    app.expect_untouched("a large body").await;
    // Without Content-Length the body is counted as it arrives.
    let mut stream = TcpStream::connect(app.running.address).unwrap();
    let head = format!(
        "POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nIdempotency-Key: chunked\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n10001\r\n",
        app.key
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&padded(65_537)).unwrap();
    stream.write_all(b"\r\n0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
    app.expect_untouched("a large chunked body").await;
    app.post_bytes("/v1/payments", padded(65_536)).await.expect(201);
    app.finish().await;
}

async fn other_content_types_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let types: [&[(&str, &str)]; 7] = [
        &[],
        &[("Content-Type", "text/plain")],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[("Content-Type", "application/json; charset=windows-1251")],
        &[("Content-Type", "application/jsonp")],
        &[("Content-Type", "multipart/form-data; boundary=x")],
        &[("Content-Type", "application/json"), ("Content-Type", "text/plain")],
    ];
    for headers in types {
        let mut request =
            app.request(reqwest::Method::POST, "/v1/payments").header("Idempotency-Key", app.new_idempotency_key());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = crate::support::Reply::receive(request.body(widget("KM-1").to_string())).await;
        assert_eq!(reply.expect_problem(415, "unsupported_media_type"), [""; 0], "{headers:?}");
    }
    app.expect_untouched("other content types").await;
    let request = app
        .request(reqwest::Method::POST, "/v1/payments")
        .header("Idempotency-Key", app.new_idempotency_key())
        .header("Content-Type", "Application/JSON;charset=UTF-8");
    crate::support::Reply::receive(request.body(widget("KM-1").to_string())).await.expect(201);
    app.finish().await;
}

async fn ids_of_another_kind_are_no_such_thing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = "01kaq0j5m8x2v9c4t7b1n6r3ed";
    let cases = [
        ("GET", format!("/v1/payments/ref_{body}"), "pay_"),
        ("GET", format!("/v1/payments/PAY_{body}"), "pay_"),
        ("GET", format!("/v1/payments/{body}"), "pay_"),
        ("GET", "/v1/payments/1".to_owned(), "pay_"),
        ("GET", "/v1/payments/%00".to_owned(), "pay_"),
        ("GET", format!("/v1/payments/pay_{body}%0a"), "pay_"),
        ("GET", format!("/v1/payments/{}", "x".repeat(5000)), "pay_"),
        ("GET", format!("/v1/payments/evt_{body}/transitions"), "pay_"),
        ("GET", format!("/v1/payments/key_{body}/refunds"), "pay_"),
        ("POST", format!("/v1/payments/ref_{body}/refunds"), "pay_"),
        ("POST", format!("/v1/payments/ref_{body}/capture"), "pay_"),
        ("POST", format!("/v1/payments/ref_{body}/cancel"), "pay_"),
        ("POST", format!("/v1/payments/ref_{body}/three-ds"), "pay_"),
        ("POST", format!("/v1/payments/ref_{body}/sync"), "pay_"),
        ("GET", format!("/v1/refunds/pay_{body}"), "ref_"),
        ("POST", format!("/v1/notifications/pay_{body}/replay"), "ntf_"),
        // Of the right kind, but nobody's.
        ("GET", format!("/v1/payments/pay_{body}"), "payment"),
        ("GET", format!("/v1/payments/pay_{body}/transitions"), "payment"),
        ("GET", format!("/v1/payments/pay_{body}/refunds"), "payment"),
        ("GET", format!("/v1/refunds/ref_{body}"), "refund"),
        ("POST", format!("/v1/payments/pay_{body}/refunds"), "payment"),
        ("POST", format!("/v1/payments/pay_{body}/capture"), "payment"),
        ("POST", format!("/v1/payments/pay_{body}/cancel"), "payment"),
        ("POST", format!("/v1/payments/pay_{body}/sync"), "payment"),
        ("POST", format!("/v1/notifications/ntf_{body}/replay"), "notification"),
    ];
    for (method, path, word) in cases {
        let reply = match method {
            "GET" => app.get(&path).await,
            _ => {
                app.post_with(
                    &path,
                    &[("Idempotency-Key", app.new_idempotency_key().as_bytes())],
                    &serde_json::json!({}),
                )
                .await
            }
        };
        reply.expect_problem(404, "not_found");
        assert!(reply.text("/detail").contains(word), "{method} {path}: {}", reply.text("/detail"));
    }
    app.expect_untouched("ids of nothing").await;
    app.finish().await;
}

async fn query_strings_are_checked(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = "pay_01kaq0j5m8x2v9c4t7b1n6r3ed";
    let cases = [
        ("/v1/payments?limit=0", "limit: wrong_form"),
        ("/v1/payments?limit=101", "limit: wrong_form"),
        ("/v1/payments?limit=abc", "limit: wrong_form"),
        ("/v1/payments?limit=", "limit: wrong_form"),
        ("/v1/payments?limit=-1", "limit: wrong_form"),
        ("/v1/payments?limit=1.0", "limit: wrong_form"),
        ("/v1/payments?limit=99999999999999999999", "limit: wrong_form"),
        ("/v1/payments?limit=2&limit=2", "limit: repeated_parameter"),
        ("/v1/payments?invoice=KM-1", "invoice: unknown_parameter"),
        ("/v1/payments?Limit=2", "Limit: unknown_parameter"),
        ("/v1/payments?limit", "limit: wrong_form"),
        ("/v1/payments?invoice_id=", "invoice_id: must_not_be_empty"),
        ("/v1/payments?invoice_id=%00", "invoice_id: control_characters"),
        ("/v1/payments?invoice_id=%ff", "invoice_id: control_characters"),
        ("/v1/payments?status=done", "status: wrong_form"),
        ("/v1/payments?status=PAID", "status: wrong_form"),
        ("/v1/payments?transaction_id=abc", "transaction_id: wrong_form"),
        ("/v1/payments?transaction_id=0", "transaction_id: wrong_form"),
        ("/v1/payments?created_from=yesterday", "created_from: wrong_form"),
        ("/v1/payments?created_to=2026-13-01T00:00:00Z", "created_to: wrong_form"),
        ("/v1/payments?cursor=zzz", "cursor: invalid_cursor"),
        ("/v1/payments?cursor=", "cursor: invalid_cursor"),
        ("/v1/notifications?limit=0", "limit: wrong_form"),
        ("/v1/events?limit=1000", "limit: wrong_form"),
        ("/v1/events?after=pay_01kaq0j5m8x2v9c4t7b1n6r3ed", "after: wrong_form"),
        ("/v1/events?cursor=x", "cursor: unknown_parameter"),
        ("/v1/decline-reasons?language=kk", "language: unknown_parameter"),
        ("/health/live?x=1", "x: unknown_parameter"),
        ("/health/ready?x=1", "x: unknown_parameter"),
    ];
    for (path, expected) in cases {
        assert_eq!(app.get(path).await.expect_problem(422, "invalid_request"), [expected], "{path}");
    }
    let of_payment = [
        ("?wait=31", "wait: wrong_form"),
        ("?wait=-1", "wait: wrong_form"),
        ("?wait=soon", "wait: wrong_form"),
        ("?wait=1&wait=2", "wait: repeated_parameter"),
        ("?expand=refunds", "expand: unknown_parameter"),
        ("/transitions?limit=0", "limit: wrong_form"),
        ("/transitions?cursor=abc", "cursor: invalid_cursor"),
        ("/refunds?status=failed", "status: unknown_parameter"),
    ];
    for (rest, expected) in of_payment {
        let reply = app.get(&format!("/v1/payments/{payment}{rest}")).await;
        assert_eq!(reply.expect_problem(422, "invalid_request"), [expected], "{rest}");
    }
    let several = app.get("/v1/payments?limit=0&status=x&bogus=1").await.expect_problem(422, "invalid_request");
    assert_eq!(several.len(), 3, "{several:?}");
    for path in
        ["/v1/payments".to_owned(), format!("/v1/payments/{payment}/refunds"), format!("/v1/payments/{payment}/sync")]
    {
        let reply = app.post(&format!("{path}?dry_run=true"), widget("KM-1")).await;
        assert_eq!(reply.expect_problem(422, "invalid_request"), ["dry_run: unknown_parameter"], "{path}");
    }
    app.expect_untouched("faulty query strings").await;
    app.finish().await;
}

//! What holds for every answer.

use serde_json::{Value, json};

use crate::support::{APPROVED, CARD_NO_FUNDS, Engine, LogLines, Reply, TestApp, card, money, widget};

crate::on_both!(
    every_answer_has_a_request_id,
    unknown_addresses_and_methods_are_problems,
    head_and_options_change_nothing,
    answers_are_not_stored_or_sniffed,
    one_key_cannot_take_all,
    views_keep_their_form,
    the_history_holds_no_name_that_a_caller_chose,
);

async fn asked(app: &TestApp, method: &str, path: &str) -> Reply {
    app.call_as(method, path, Some(&format!("Bearer {}", app.key))).await
}

async fn every_answer_has_a_request_id(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paths = [
        "/v1/payments",
        "/v1/payments/x",
        "/nowhere",
        "/health/live",
        "/openapi.json",
        "/docs/",
        "/docs",
        "/v1/payments?limit=0",
    ];
    let mut seen = std::collections::BTreeSet::new();
    for path in paths {
        let id = app.get(path).await.header("x-request-id").to_owned();
        assert!(id.starts_with("req_") && id.len() == 30, "{path}: {id}");
        assert!(seen.insert(id), "{path}");
        for sane in ["a", "order-1_2.3", "1234567890", &"x".repeat(64), "a5d3c9e1-bf2a-4abc-8242-424242424242"] {
            let request = app.request(reqwest::Method::GET, path).header("X-Request-Id", sane);
            assert_eq!(Reply::receive(request).await.header("x-request-id"), sane, "{path}");
        }
    }
    let insane = ["", "a b", "a\"b", "<script>", "a;b", "a/b", &"x".repeat(65), "ключ", "{{7*7}}", "%0d%0a"];
    let numbers = ["77015550142", "+77015550142", "7-701-555-01-42", "960101300123", "payer@example.test"];
    for insane in insane.into_iter().chain(numbers) {
        let value = reqwest::header::HeaderValue::from_bytes(insane.as_bytes()).unwrap();
        let reply = Reply::receive(app.request(reqwest::Method::GET, "/nowhere").header("X-Request-Id", value)).await;
        reply.expect_problem(404, "not_found");
        assert!(reply.header("x-request-id").starts_with("req_"), "{insane}");
    }
    app.finish().await;
}

async fn unknown_addresses_and_methods_are_problems(engine: Engine) {
    let app = TestApp::start(engine).await;
    for path in [
        "/",
        "/v1",
        "/v2/payments",
        "/v1/payments/",
        "/v1//payments",
        "/v1/payment",
        "/V1/payments",
        "/metrics",
        "/v1/payments/x/y/z",
        "/docs/nothing.js",
        "/v1/notifications/cloudpayments/other",
        "/../etc/passwd",
    ] {
        let reply = app.get(path).await;
        assert_eq!(reply.expect_problem(404, "not_found"), [""; 0], "{path}");
    }
    let payment = "/v1/payments/pay_01kaq0j5m8x2v9c4t7b1n6r3ed";
    let cases = [
        ("DELETE", "/v1/payments".to_owned(), "POST, GET, HEAD"),
        ("PUT", payment.to_owned(), "GET, HEAD"),
        ("PATCH", payment.to_owned(), "GET, HEAD"),
        ("POST", payment.to_owned(), "GET, HEAD"),
        ("GET", format!("{payment}/capture"), "POST"),
        ("GET", format!("{payment}/cancel"), "POST"),
        ("DELETE", format!("{payment}/refunds"), "POST, GET, HEAD"),
        ("POST", "/v1/events".to_owned(), "GET, HEAD"),
        ("POST", "/health/live".to_owned(), "GET, HEAD"),
        ("POST", "/openapi.json".to_owned(), "GET, HEAD"),
        ("DELETE", "/v1/notifications/cloudpayments/pay".to_owned(), "POST, GET"),
        ("BREW", "/v1/payments".to_owned(), "POST, GET, HEAD"),
    ];
    for (method, path, allow) in cases {
        let reply = asked(&app, method, &path).await;
        assert_eq!(reply.expect_problem(405, "method_not_allowed"), [""; 0], "{method} {path}");
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
    }
    app.expect_untouched("unknown addresses and methods").await;
    app.finish().await;
}

async fn head_and_options_change_nothing(engine: Engine) {
    let app = TestApp::start(engine).await;
    for path in ["/v1/payments", "/v1/events", "/health/live", "/openapi.json"] {
        let head = asked(&app, "HEAD", path).await;
        assert!(head.bytes.is_empty() && !head.header("x-request-id").is_empty(), "{path}");
        assert_eq!(head.status, 200, "{path}");
        let options = asked(&app, "OPTIONS", path).await;
        options.expect_problem(405, "method_not_allowed");
        assert!(options.header("allow").contains("GET"), "{path}");
        assert_eq!(options.header("access-control-allow-origin"), "", "{path}");
    }
    assert_eq!(asked(&app, "HEAD", "/nowhere").await.status, 404);
    app.get("/v1/payments").await.expect(200);
    app.expect_untouched("HEAD and OPTIONS").await;
    app.finish().await;
}

async fn answers_are_not_stored_or_sniffed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let path = format!("/v1/payments/{}", payment.id());
    let replies = [
        payment.clone(),
        app.get(&path).await,
        app.get("/v1/payments/x").await,
        app.get("/v1/nowhere").await,
        app.call_as("GET", "/v1/payments", None).await,
        app.create(json!({})).await,
        app.get("/health/live").await,
        app.get("/docs/").await,
    ];
    for reply in &replies {
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!((reply.header("server"), reply.header("x-powered-by")), ("", ""));
    }
    for reply in &replies[..6] {
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    assert_eq!(payment.header("content-type"), "application/json");
    app.finish().await;
}

async fn one_key_cannot_take_all(engine: Engine) {
    let limited =
        |raw: kmic_payments::config::Raw| raw.with("server.rate_per_second", "1").with("server.rate_burst", "2");
    let app = TestApp::start_with(engine, limited).await;
    let mut refused = None;
    for _ in 0..20 {
        let reply = app.create(widget("KM-1")).await;
        if reply.status != 201 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("no request was refused");
    assert_eq!(refused.expect_problem(429, "rate_limited"), [""; 0]);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    // Others are not held up, and neither are the provider and the supervisor.
    let other = app.new_key(&[kmic_payments::domain::scope::Scope::PaymentsRead]).await;
    let made = app.call_as("GET", "/v1/payments", Some(&format!("Bearer {other}"))).await.expect(200);
    app.get("/health/ready").await.expect(200);
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    let next = app.get("/v1/payments").await.expect(200);
    // Another key is not shown the payers.
    let ids = |list: &Reply| -> Vec<String> {
        list.json["data"].as_array().unwrap().iter().map(|one| one["id"].to_string()).collect()
    };
    assert_eq!(ids(&made), ids(&next), "the refused request made nothing");
    app.stop().await;
}

/// Walks a view: money has two digits, moments end in Z, ids have prefixes, nothing is null.
fn check_form(view: &Value, place: &str) {
    match view {
        Value::Null => assert!(place.ends_with("/next_cursor"), "{place} is null"),
        Value::Array(items) => items.iter().for_each(|item| check_form(item, &format!("{place}/-"))),
        Value::Object(members) => {
            if let (Some(value), Some(currency)) = (members.get("value"), members.get("currency")) {
                let (whole, fraction) = value.as_str().unwrap().split_once('.').unwrap();
                assert!(whole.parse::<u64>().is_ok() && fraction.len() == 2 && currency == "KZT", "{place}: {view}");
            }
            for (name, member) in members {
                if place.contains("/metadata") || place.contains("/intent") {
                    continue;
                }
                assert!(
                    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                    "{place}/{name}"
                );
                check_form(member, &format!("{place}/{name}"));
            }
        }
        Value::String(text) => {
            let name = place.rsplit('/').next().unwrap();
            if name == "at" || name.ends_with("_at") || name == "decide_by" {
                assert!(text.ends_with('Z') && text.contains('T') && text.len() >= 20, "{place}: {text}");
            }
            let prefixes: &[&str] = match name {
                "id" => {
                    &["pay_", "ref_", "trn_", "evt_", "ntf_", "key_", "op_", "req_", "rec_", "dis_", "cbk_", "apr_"]
                }
                "payment_id" => &["pay_"],
                "refund_id" => &["ref_"],
                _ => return,
            };
            assert!(prefixes.iter().any(|prefix| text.starts_with(prefix)), "{place}: {text}");
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
}

async fn views_keep_their_form(engine: Engine) {
    let app = TestApp::start(engine).await;
    let open =
        app.create(json!({"amount": money("0.01"), "invoice_id": "KM-1", "description": "Policy"})).await.expect(201);
    for absent in ["card", "decline", "return_url", "captured_at", "payer"] {
        assert!(open.json.get(absent).is_none(), "{absent}: {}", open.json);
    }
    assert_eq!(
        (open.text("/amount/value"), open.text("/method/type"), open.text("/language")),
        ("0.01", "widget", "ru")
    );
    let paid = app.create(card("KM-2", APPROVED)).await.expect(201);
    assert_eq!(paid.text("/amount/value"), "12500.00");
    for absent in ["decline", "next_action"] {
        assert!(paid.json.get(absent).is_none(), "{absent}: {}", paid.json);
    }
    assert!(paid.json["transactions"][0]["transaction_id"].as_i64().unwrap() > i64::from(u32::MAX) / 2);
    let refund = app.refund(paid.id(), "2500.00").await.expect(201);
    assert_eq!((refund.text("/amount/value"), &refund.id()[..4]), ("2500.00", "ref_"));
    let declined = app.create(card("KM-3", CARD_NO_FUNDS)).await.expect(201);
    assert!(declined.json["decline"].is_object() && declined.json.get("next_action").is_none());
    let mut paths = vec![
        "/v1/payments".to_owned(),
        "/v1/events".to_owned(),
        "/v1/decline-reasons".to_owned(),
        "/v1/notifications".to_owned(),
    ];
    for payment in [&open, &paid, &declined] {
        let path = format!("/v1/payments/{}", payment.id());
        paths.extend([format!("{path}/transitions"), format!("{path}/refunds"), path]);
    }
    paths.push(format!("/v1/refunds/{}", refund.id()));
    app.all_events().await;
    for path in paths {
        check_form(&app.get(&path).await.expect(200).json, &path);
    }
    app.finish().await;
}

async fn the_history_holds_no_name_that_a_caller_chose(engine: Engine) {
    let lines = LogLines::collect();
    let app = TestApp::start(engine).await;
    let kept = [
        "0f8fad5b-d9cb-469f-a165-708677f8950e",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "01KAQ0J5M8X2V9C4T7B1N6R3ED",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    let dropped = [
        "planted.person",
        "Chosenname",
        "tel-77019381746",
        "77019381746x",
        "77019381746a00000000000000000000",
        "00000000-0000-0000-000a-077019381746",
        "7AKHMETEVA0ZHANNA077770155",
        "0f8fad5b-d9cb-469f-a165-a77015559911",
        "96010130-0123-4abc-8def-abcdefabcdef",
    ];
    let sent = kept.map(|id| (id, true)).into_iter().chain(dropped.map(|id| (id, false)));
    for (number, (sent, is_kept)) in sent.enumerate() {
        let key = format!("key-{number}");
        let request = app.posting("/v1/payments", &key, &widget(&key)).header("X-Request-Id", sent);
        let payment = Reply::receive(request).await.expect(201);
        assert_eq!(payment.header("x-request-id"), sent);
        let cause = app.rows(payment.id()).await[0]["cause"]["id"].as_str().unwrap().to_owned();
        assert_eq!((cause == sent, cause.starts_with("req_")), (is_kept, !is_kept), "{cause}");
        let refused = Reply::receive(app.request(reqwest::Method::GET, "/nowhere").header("X-Request-Id", sent)).await;
        refused.expect_problem(404, "not_found");
        assert_eq!((refused.text("/request_id") == sent, refused.header("x-request-id")), (is_kept, sent));
    }
    let log = String::from_utf8(lines.taken()).unwrap();
    for id in kept {
        assert!(log.contains(id), "{id}");
    }
    for id in dropped {
        assert!(!log.contains(id), "{id}");
    }
    app.finish().await;
}

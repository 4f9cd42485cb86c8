//! Card numbers: refused wherever they come, and never said back.

use kmic_payments::domain::card_data::contains_card_number;
use kmic_payments::domain::id::NotificationId;
use kmic_payments::store::notifications;
use serde_json::{Value, json};

use crate::support::{APPROVED, CARD_THREE_DS, Engine, Reply, TestApp, card, widget, with_at};

crate::on_both!(
    card_numbers_in_bodies_are_refused,
    card_numbers_are_refused_in_every_writing,
    card_numbers_are_no_transaction_numbers,
    notifications_are_kept_without_card_numbers,
    card_numbers_in_addresses_are_refused,
    card_numbers_in_headers_are_refused,
    numbers_that_are_no_card_numbers_pass,
);

const PLAIN: &str = "4242424242424242";
const SPACED: &str = "4242 4242 4242 4242";

/// No header and no part of the body holds the number, however it is written.
fn expect_no_echo(reply: &Reply, sent: &str) {
    let shown = format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.bytes));
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    for secret in [PLAIN, SPACED, "4242-4242", "５５５５", "5555555555554444", "%204242"] {
        assert!(!shown.contains(secret), "{sent}: {shown}");
    }
    assert!(!digits.contains(PLAIN), "{sent}: {shown}");
}

async fn card_numbers_in_bodies_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let cases: Vec<(&str, Value, &str)> = vec![
        ("/description", json!(format!("Card {SPACED}, thanks")), "/description: card_data_not_allowed"),
        ("/description", json!("５５５５５５５５５５５５４４４４"), "/description: card_data_not_allowed"),
        ("/description", json!("5555-5555-5555-4444"), "/description: card_data_not_allowed"),
        ("/invoice_id", json!(SPACED), "/invoice_id: card_data_not_allowed"),
        ("/payer/name", json!(SPACED), "/payer/name: card_data_not_allowed"),
        ("/payer/account_id", json!(PLAIN), "/payer/account_id: card_data_not_allowed"),
        ("/payer/email", json!(format!("{PLAIN}@example.kz")), "/payer/email: card_data_not_allowed"),
        ("/payer/phone", json!(PLAIN), "/payer/phone: card_data_not_allowed"),
        ("/payer/phone", json!("+378282246310005"), "/payer/phone: card_data_not_allowed"),
        ("/metadata", json!({"note": SPACED}), "/metadata: card_data_not_allowed"),
        ("/metadata", json!({"a": {"b": ["x", SPACED]}}), "/metadata: card_data_not_allowed"),
        ("/metadata", json!({"a": 4_242_424_242_424_242_u64}), "/metadata: card_data_not_allowed"),
        ("/metadata", json!({SPACED: "note"}), "/metadata: card_data_not_allowed"),
        ("/return_url", json!(format!("https://kmic.kz/done?card={PLAIN}")), "/return_url: card_data_not_allowed"),
        ("/amount/value", json!(PLAIN), "/amount/value: card_data_not_allowed"),
        ("/method/cardholder_name", json!(SPACED), "/method/cardholder_name: card_data_not_allowed"),
        ("/method/cryptogram", json!(PLAIN), "/method/cryptogram: card_data_not_allowed"),
        // Refused for another reason, and not said back either.
        ("/capture", json!(SPACED), "/capture: not_one_of"),
        ("/amount/currency", json!(PLAIN), "/amount/currency: unknown_currency"),
        ("/method/number", json!(PLAIN), "/method/number: unknown_field"),
        ("/4242 4242 4242 4242", json!(1), "/(hidden): card_data_not_allowed"),
    ];
    for (pointer, value, expected) in cases {
        let sent = format!("{pointer} = {value}");
        let reply = app.create(with_at(card("KM-1", APPROVED), pointer, value)).await;
        assert_eq!(reply.expect_problem(422, "invalid_request"), [expected], "{sent}");
        expect_no_echo(&reply, &sent);
    }
    // What is wrong with the form of a body is told without quoting it.
    for body in [format!("{{\"{SPACED}\":1,\"{SPACED}\":2}}"), format!("{{\"a\": {PLAIN} x"), PLAIN.to_owned()] {
        let reply = app.post_bytes("/v1/payments", body.clone().into_bytes()).await;
        assert!(matches!(reply.status, 400 | 422), "{body}: {}", reply.status);
        expect_no_echo(&reply, &body);
    }
    app.expect_untouched("card numbers in bodies").await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let reply = app.post(&format!("/v1/payments/{}/refunds", payment.id()), json!({"reason": SPACED})).await;
    assert_eq!(reply.expect_problem(422, "invalid_request"), ["/reason: card_data_not_allowed"]);
    expect_no_echo(&reply, "reason");
    app.finish().await;
}

async fn card_numbers_are_refused_in_every_writing(engine: Engine) {
    let app = TestApp::start(engine).await;
    let writings = [
        "order42424242424242421",
        "total 4.242424242424242E+15",
        "42424242424242421227123",
        "4242 4242 4242 42421227",
        "4242424242424242 12/27 123",
        "4242\u{a0}4242\u{a0}4242\u{a0}4242",
        "4242\u{200b}4242\u{200b}4242\u{200b}4242",
        "4242 - 4242 - 4242 - 4242",
        "4242    4242    4242    4242",
        "4242 -- 4242 -- 4242 -- 4242",
        "424242 4242 424242",
        "42-4242-4242-4242-42",
        "⁴²⁴²⁴²⁴²⁴²⁴²⁴²⁴²",
        "④②④②④②④②④②④②④②④②",
        "𝟜𝟚𝟜𝟚 𝟜𝟚𝟜𝟚 𝟜𝟚𝟜𝟚 𝟜𝟚𝟜𝟚",
        "4242.4242.4242.4242",
        "4242/4242/4242/4242",
        "42 42 42 42 42 42 42 42",
        "42424242-42424242",
        "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
        "４２４２ ４２４２ ４２４２ ４２４２",
        "3782 822463 10005",
        "6799 9901 0000 0000 019",
        "4242%204242%204242%204242",
        "4242%25204242%25204242%25204242",
        "4242&nbsp;4242&#160;4242&nbsp;4242",
        "&#52;242424242424242",
        r"\x34242424242424242",
        "42424242.42424242",
        "4242 x 4242 x 4242 x 4242",
        "4242\u{3164}4242\u{3164}4242\u{3164}4242",
        r#"{"card":"4242424242424242"}"#,
        r#"{"card":"4242\u00a04242\u00a04242\u00a04242"}"#,
    ];
    let fields = [
        "/invoice_id",
        "/description",
        "/payer/name",
        "/payer/account_id",
        "/metadata/note",
        "/method/cardholder_name",
    ];
    for writing in writings {
        for pointer in fields {
            let body = with_at(card("KM-1", APPROVED), "/metadata", json!({"note": "", "list": []}));
            let reply = app.create(with_at(body, pointer, json!(writing))).await;
            let field = if pointer.starts_with("/metadata") { "/metadata" } else { pointer };
            let expected = format!("{field}: card_data_not_allowed");
            assert_eq!(reply.expect_problem(422, "invalid_request"), [expected], "{pointer} {writing}");
        }
    }
    for metadata in [
        json!({"a": ["4242", "4242", "4242", "4242"]}),
        json!({"a": [4242, 4242, 4242, 4242]}),
        json!({"a": "4242", "b": "4242", "c": "4242", "d": "4242"}),
        json!({"a": "4242", "b": "", "c": "4242", "d": null, "e": "4242", "f": 4242}),
        json!({"a": [{"n": 4242}, {"n": 4242}, {"n": 4242}, {"n": 4242}]}),
    ] {
        let reply = app.create(with_at(card("KM-1", APPROVED), "/metadata", metadata.clone())).await;
        assert_eq!(reply.expect_problem(422, "invalid_request"), ["/metadata: card_data_not_allowed"], "{metadata}");
    }
    let url = "https://kmic.kz/done?card=4242%204242%204242%204242";
    let reply = app.create(with_at(card("KM-1", APPROVED), "/return_url", json!(url))).await;
    assert_eq!(reply.expect_problem(422, "invalid_request"), ["/return_url: card_data_not_allowed"]);
    app.expect_untouched("card numbers in every writing").await;
    app.finish().await;
}

async fn card_numbers_are_no_transaction_numbers(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", CARD_THREE_DS)).await.expect(201);
    let reply = app
        .post(&format!("/v1/payments/{}/three-ds", payment.id()), json!({"md": PLAIN, "pa_res": "4242-4242-4242-4242"}))
        .await;
    let faults = reply.expect_problem(422, "invalid_request");
    assert_eq!(faults, ["/md: not_a_transaction", "/pa_res: card_data_not_allowed"]);
    expect_no_echo(&reply, "md");
    let mut form = app.at_bank(&payment, "pass").await;
    let right = form.fields.clone();
    for (name, value) in &mut form.fields {
        if name == "MD" {
            *value = PLAIN.to_owned();
        }
    }
    let reply = app.submit(&form).await;
    assert_eq!(reply.expect_problem(422, "invalid_request"), ["MD: not_a_transaction"]);
    expect_no_echo(&reply, "MD");
    let reply = app.get(&format!("/v1/payments?transaction_id={PLAIN}")).await;
    assert_eq!(reply.expect_problem(422, "invalid_request"), ["transaction_id: wrong_form"]);
    form.fields = right;
    app.submit(&form).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    app.finish().await;
}

/// Payers type their card number where their name belongs; the provider passes it on, signed.
async fn notifications_are_kept_without_card_numbers(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let fields = [
        ("TransactionId", "5000000001"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("DateTime", "2026-11-25 14:00:00"),
        ("InvoiceId", "KM-1"),
        ("AccountId", "user-42"),
        ("OperationType", "Payment"),
        ("Status", "Completed"),
        ("Name", SPACED),
        ("Data", r#"{"note":"4242424242424242"}"#),
    ];
    app.notify("pay", &fields).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    let list = app.get("/v1/notifications").await.expect(200);
    let id = list.text("/data/0/id").to_owned();
    let wanted = NotificationId::parse(&id).unwrap();
    let stored = app.running.store.read(move |tx| notifications::get(tx, &wanted)).await.unwrap();
    let kept = String::from_utf8(stored.body.unwrap()).unwrap();
    assert!(kept.contains("TransactionId=5000000001") && kept.contains("****"), "{kept}");
    assert!(!contains_card_number(&kept), "{kept}");
    // It can still be read again, and told again by the provider it is the one that is known.
    app.post(&format!("/v1/notifications/{id}/replay"), json!({})).await.expect(200);
    app.notify("pay", &fields).await;
    assert_eq!(app.verdicts().await.len(), 1);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    app.stop().await;
}

async fn card_numbers_in_addresses_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    let cases = [
        ("/v1/payments/4242424242424242", 404, "not_found", vec![]),
        ("/v1/payments/4242%204242%204242%204242", 404, "not_found", vec![]),
        ("/v1/refunds/4242424242424242", 404, "not_found", vec![]),
        ("/4242424242424242", 404, "not_found", vec![]),
        ("/docs/4242424242424242", 404, "not_found", vec![]),
        (
            "/v1/payments?invoice_id=4242%204242%204242%204242",
            422,
            "invalid_request",
            vec!["invoice_id: card_data_not_allowed"],
        ),
        (
            "/v1/payments?account_id=4242+4242+4242+4242",
            422,
            "invalid_request",
            vec!["account_id: card_data_not_allowed"],
        ),
        ("/v1/payments?4242424242424242=1", 422, "invalid_request", vec!["(hidden): card_data_not_allowed"]),
        ("/v1/payments?card=4242424242424242", 422, "invalid_request", vec!["card: unknown_parameter"]),
        ("/v1/payments?cursor=4242424242424242", 422, "invalid_request", vec!["cursor: invalid_cursor"]),
        ("/v1/payments?status=4242424242424242", 422, "invalid_request", vec!["status: wrong_form"]),
        ("/v1/payments?limit=4242424242424242", 422, "invalid_request", vec!["limit: wrong_form"]),
        ("/v1/events?after=4242424242424242", 422, "invalid_request", vec!["after: wrong_form"]),
    ];
    for (path, status, code, expected) in cases {
        let reply = app.get(path).await;
        assert_eq!(reply.expect_problem(status, code), expected, "{path}");
        expect_no_echo(&reply, path);
    }
    app.expect_untouched("card numbers in addresses").await;
    app.finish().await;
}

async fn card_numbers_in_headers_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    for key in [PLAIN, SPACED, "order-4242-4242-4242-4242"] {
        let reply = app.post_as("/v1/payments", key, widget("KM-1")).await;
        assert_eq!(reply.expect_problem(422, "invalid_request"), ["Idempotency-Key: card_data_not_allowed"], "{key}");
        expect_no_echo(&reply, key);
    }
    app.expect_untouched("card numbers as keys").await;
    for id in [PLAIN, "4242-4242-4242-4242", "x_4242.4242.4242.4242"] {
        let reply = Reply::receive(app.request(reqwest::Method::GET, "/v1/payments").header("X-Request-Id", id)).await;
        assert!(reply.header("x-request-id").starts_with("req_"), "{id}: {}", reply.header("x-request-id"));
        expect_no_echo(&reply.expect(200), id);
    }
    let reply = app.call_as("GET", "/v1/payments", Some(&format!("Bearer {PLAIN}"))).await;
    reply.expect_problem(401, "unauthenticated");
    expect_no_echo(&reply, "Authorization");
    app.finish().await;
}

async fn numbers_that_are_no_card_numbers_pass(engine: Engine) {
    let app = TestApp::start(engine).await;
    let body = with_at(widget("KM-2026-000123"), "/payer/account_id", json!("a5d3c9e1-bf2a-4abc-8242-424242424242"));
    let body = with_at(body, "/description", json!("Policy 4242424242424241, IIN 960101300123"));
    let body = with_at(body, "/metadata", json!({"contract": "2026-11-22/000123", "phone": "+7 727 345 01 25"}));
    let payment = app.create(body).await.expect(201);
    assert_eq!(payment.text("/description"), "Policy 4242424242424241, IIN 960101300123");
    app.finish().await;
}

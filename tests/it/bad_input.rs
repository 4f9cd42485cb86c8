//! Faulty values: each is refused by name, all at once, and nothing happens.

use serde_json::{Value, json};

use crate::support::{APPROVED, Body, Engine, TestApp, card, money, widget, with_at, without};

crate::on_both!(
    each_faulty_field_is_named,
    card_payments_need_what_the_bank_asks_for,
    all_faults_are_named_at_once,
    actions_name_their_faulty_fields,
);

/// The answer names exactly these fields, and only says so.
async fn expect_faults(app: &TestApp, body: Body, expected: &[&str]) {
    let sent: String = body.to_string().chars().take(300).collect();
    let reply = app.create(body).await;
    assert_eq!(reply.status, 422, "{sent}: {}", reply.json);
    assert_eq!(reply.expect_problem(422, "invalid_request"), expected, "{sent}");
    assert!(reply.header("location").is_empty(), "{sent}");
}

fn amounts() -> Vec<(&'static str, Value, &'static str)> {
    let mut cases = vec![
        ("/amount", json!(12500), "/amount: must_be_object"),
        ("/amount", json!("12500.00"), "/amount: must_be_object"),
        ("/amount", json!(["12500.00", "KZT"]), "/amount: must_be_object"),
        ("/amount", Value::Null, "/amount: must_not_be_null"),
        ("/amount/value", json!(12500), "/amount/value: must_be_string"),
        ("/amount/value", json!(12500.00), "/amount/value: must_be_string"),
        ("/amount/value", json!(true), "/amount/value: must_be_string"),
        ("/amount/value", Value::Null, "/amount/value: must_not_be_null"),
        ("/amount/currency", json!("ZZZ"), "/amount/currency: unknown_currency"),
        ("/amount/currency", json!("kzt"), "/amount/currency: unknown_currency"),
        ("/amount/currency", json!(""), "/amount/currency: unknown_currency"),
        ("/amount/currency", json!(398), "/amount/currency: must_be_string"),
        ("/amount", json!({"value": "12500.00"}), "/amount/currency: required"),
        ("/amount", json!({"currency": "KZT"}), "/amount/value: required"),
    ];
    let texts = [
        ("wrong_number_of_digits", &["12.345", "12.3", "12500", "0", "012.00", "1234567890123456780"][..]),
        (
            "not_a_decimal",
            &[
                "", "-1", "-1.00", "+1.00", "1e3", "1.00e3", "1,00", "1 000.00", " 1.00", ".50", "1.", "0x10", "NaN",
                "١.٠٠",
            ],
        ),
        ("must_be_positive", &["0.00"]),
        ("too_large", &["1234567890123456780.00", "10000000000000.00"]),
    ];
    for (code, values) in texts {
        let pointer = match code {
            "wrong_number_of_digits" => "/amount/value: wrong_number_of_digits",
            "not_a_decimal" => "/amount/value: not_a_decimal",
            "must_be_positive" => "/amount/value: must_be_positive",
            _ => "/amount/value: too_large",
        };
        cases.extend(values.iter().map(|value| ("/amount/value", json!(value), pointer)));
    }
    cases
}

fn unknown_fields() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("/surprise", json!(1), "/surprise: unknown_field"),
        ("/Amount", money("1.00"), "/Amount: unknown_field"),
        ("/invoiceId", json!("KM-1"), "/invoiceId: unknown_field"),
        ("/expire_in", json!(600), "/expire_in: unknown_field"),
        ("/amount/cents", json!(0), "/amount/cents: unknown_field"),
        ("/payer/acount_id", json!("user-42"), "/payer/acount_id: unknown_field"),
        ("/method", json!({"type": "widget", "cryptogram": "x"}), "/method/cryptogram: unknown_field"),
        ("/a~b", json!(1), "/a~0b: unknown_field"),
        ("", json!(1), "/: unknown_field"),
    ]
}

fn texts() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("/invoice_id", json!("x".repeat(10_000)), "/invoice_id: too_long"),
        ("/invoice_id", json!("я".repeat(101)), "/invoice_id: too_long"),
        ("/invoice_id", json!(""), "/invoice_id: must_not_be_empty"),
        ("/invoice_id", json!("  "), "/invoice_id: must_not_be_empty"),
        ("/invoice_id", json!(2026), "/invoice_id: must_be_string"),
        ("/invoice_id", Value::Null, "/invoice_id: must_not_be_null"),
        ("/invoice_id", json!("KM\u{0}1"), "/invoice_id: control_characters"),
        ("/invoice_id", json!("KM-1\n"), "/invoice_id: control_characters"),
        ("/description", json!("Policy\r\nX-Header: 1"), "/description: control_characters"),
        ("/description", json!("Policy \u{202e}fdp.exe"), "/description: control_characters"),
        ("/description", json!("Policy \u{2066}x\u{2069}"), "/description: control_characters"),
        ("/description", json!("x".repeat(251)), "/description: too_long"),
        ("/description", json!(""), "/description: must_not_be_empty"),
        ("/payer", json!("user-42"), "/payer: must_be_object"),
        ("/payer/account_id", json!(""), "/payer/account_id: must_not_be_empty"),
        ("/payer/name", json!("A\u{7f}B"), "/payer/name: control_characters"),
        ("/payer/email", json!("not-an-address"), "/payer/email: not_an_email"),
        ("/payer/phone", json!("8 727 345 01 25"), "/payer/phone: not_a_phone"),
        ("/payer/ip_address", json!("203.0.113"), "/payer/ip_address: not_an_ip_address"),
    ]
}

fn choices() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("/capture", json!("later"), "/capture: not_one_of"),
        ("/capture", json!("Automatic"), "/capture: not_one_of"),
        ("/capture", json!(""), "/capture: not_one_of"),
        ("/capture", json!(true), "/capture: must_be_string"),
        ("/language", json!("de"), "/language: not_one_of"),
        ("/language", Value::Null, "/language: must_not_be_null"),
        ("/method", json!("widget"), "/method: must_be_object"),
        ("/method", json!({}), "/method/type: required"),
        ("/method", json!({"type": "payment_link"}), "/method/type: not_one_of"),
        ("/method", json!({"type": "saved_card"}), "/method/type: not_one_of"),
        ("/method", json!({"type": "WIDGET"}), "/method/type: not_one_of"),
        ("/return_url", json!("http://kmic.kz/done"), "/return_url: not_a_url"),
        ("/return_url", json!("http://127.0.0.1.evil.example/"), "/return_url: not_a_url"),
        ("/return_url", json!("javascript:alert(1)"), "/return_url: not_a_url"),
        ("/return_url", json!("data:text/html,x"), "/return_url: not_a_url"),
        ("/return_url", json!("ftp://kmic.kz/"), "/return_url: not_a_url"),
        ("/return_url", json!("//kmic.kz/done"), "/return_url: not_a_url"),
        ("/return_url", json!("/done"), "/return_url: not_a_url"),
        ("/return_url", json!("https://user:pass@kmic.kz/"), "/return_url: not_a_url"),
        ("/return_url", json!(""), "/return_url: must_not_be_empty"),
        ("/return_url", json!(format!("https://kmic.kz/{}", "x".repeat(2000))), "/return_url: too_long"),
        ("/expires_in", json!(59), "/expires_in: out_of_range"),
        ("/expires_in", json!(0), "/expires_in: out_of_range"),
        ("/expires_in", json!(-60), "/expires_in: out_of_range"),
        ("/expires_in", json!(2_592_001), "/expires_in: out_of_range"),
        ("/expires_in", json!(600.5), "/expires_in: must_be_integer"),
        ("/expires_in", json!("600"), "/expires_in: must_be_integer"),
        ("/expires_in", json!(u64::MAX), "/expires_in: must_be_integer"),
    ]
}

fn metadata() -> Vec<(&'static str, Value, &'static str)> {
    let many: serde_json::Map<String, Value> = (0..51).map(|index| (format!("k{index}"), json!(1))).collect();
    let large: serde_json::Map<String, Value> =
        (0..5).map(|index| (format!("k{index}"), json!("x".repeat(900)))).collect();
    vec![
        ("/metadata", json!([]), "/metadata: must_be_object"),
        ("/metadata", json!("x"), "/metadata: must_be_object"),
        ("/metadata", json!({"a": {"b": {"c": {"d": 1}}}}), "/metadata: nested_too_deep"),
        ("/metadata", Value::Object(many), "/metadata: too_many_members"),
        ("/metadata", Value::Object(large), "/metadata: too_long"),
        ("/metadata", json!({"x".repeat(65): 1}), "/metadata: too_long"),
        ("/metadata", json!({"a": "x\u{0}"}), "/metadata: control_characters"),
        ("/metadata", json!({"": 1}), "/metadata: must_not_be_empty"),
    ]
}

async fn each_faulty_field_is_named(engine: Engine) {
    let app = TestApp::start(engine).await;
    for (pointer, value, expected) in [amounts(), unknown_fields(), texts(), choices(), metadata()].concat() {
        let pointer = if pointer.is_empty() { "/" } else { pointer };
        expect_faults(&app, with_at(widget("KM-1"), pointer, value), &[expected]).await;
    }
    app.expect_untouched("faulty fields").await;
    app.finish().await;
}

async fn card_payments_need_what_the_bank_asks_for(engine: Engine) {
    let app = TestApp::start(engine).await;
    let good = || card("KM-1", APPROVED);
    let cases = [
        (without(good(), "/payer/ip_address"), "/payer/ip_address: required"),
        (without(good(), "/payer"), "/payer: required"),
        (without(good(), "/method/cryptogram"), "/method/cryptogram: required"),
        (without(good(), "/method/type"), "/method/type: required"),
        (with_at(good(), "/method/cryptogram", json!("")), "/method/cryptogram: must_not_be_empty"),
        (with_at(good(), "/method/cryptogram", json!("two parts")), "/method/cryptogram: not_printable"),
        (with_at(good(), "/method/cryptogram", json!("x".repeat(8193))), "/method/cryptogram: too_long"),
        (with_at(good(), "/method/cryptogram", json!(1)), "/method/cryptogram: must_be_string"),
        (with_at(good(), "/method/cardholder_name", json!("A\tB")), "/method/cardholder_name: control_characters"),
        (with_at(good(), "/method/cvv", json!("123")), "/method/cvv: unknown_field"),
        (with_at(good(), "/method/save_card", json!(true)), "/method/save_card: unknown_field"),
    ];
    for (body, expected) in cases {
        if expected == "/method/type: required" {
            let faults = app.create(body).await.expect_problem(422, "invalid_request");
            assert!(faults.contains(&expected.to_owned()), "{faults:?}");
        } else {
            expect_faults(&app, body, &[expected]).await;
        }
    }
    app.expect_untouched("faulty card payments").await;
    app.finish().await;
}

async fn all_faults_are_named_at_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    expect_faults(&app, json!({}), &["/amount: required", "/invoice_id: required", "/description: required"]).await;
    let body = json!({
        "amount": {"value": 1, "currency": "ZZZ"}, "description": "", "capture": "later", "expires_in": 1,
        "payer": {"email": "x", "phone": "y"}, "method": {"type": "cash"}, "extra": 1,
    });
    let mut faults = app.create(body).await.expect_problem(422, "invalid_request");
    faults.sort();
    let expected = [
        "/amount/currency: unknown_currency",
        "/amount/value: must_be_string",
        "/capture: not_one_of",
        "/description: must_not_be_empty",
        "/expires_in: out_of_range",
        "/extra: unknown_field",
        "/invoice_id: required",
        "/method/type: not_one_of",
        "/payer/email: not_an_email",
        "/payer/phone: not_a_phone",
    ];
    assert_eq!(faults, expected);
    app.expect_untouched("many faults").await;
    app.finish().await;
}

async fn actions_name_their_faulty_fields(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    let id = payment.id();
    let before = (app.payment(id).await.bytes, app.history(id).await, app.calls_to_provider().await);
    let cases = [
        ("refunds", json!({"amount": 5}), vec!["/amount: must_be_object"]),
        ("refunds", json!({"amount": money("-5.00")}), vec!["/amount/value: not_a_decimal"]),
        ("refunds", json!({"amuont": money("5.00")}), vec!["/amuont: unknown_field"]),
        ("refunds", json!({"reason": ""}), vec!["/reason: must_not_be_empty"]),
        (
            "refunds",
            json!({"expected_refundable": {"value": "1"}}),
            vec!["/expected_refundable/currency: required", "/expected_refundable/value: wrong_number_of_digits"],
        ),
        ("capture", json!({"amount": money("0.00")}), vec!["/amount/value: must_be_positive"]),
        ("capture", json!({"value": "1.00"}), vec!["/value: unknown_field"]),
        ("cancel", json!({"reason": "x"}), vec!["/reason: unknown_field"]),
        ("three-ds", json!({}), vec!["/md: required", "/pa_res: required"]),
        ("three-ds", json!({"md": "12.5", "pa_res": "x"}), vec!["/md: not_a_transaction"]),
        ("three-ds", json!({"md": "1", "pa_res": "a b"}), vec!["/pa_res: not_printable"]),
    ];
    for (action, body, expected) in cases {
        let reply = app.post(&format!("/v1/payments/{id}/{action}"), body.clone()).await;
        assert_eq!(reply.expect_problem(422, "invalid_request"), expected, "{action} {body}");
    }
    let after = (app.payment(id).await.bytes, app.history(id).await, app.calls_to_provider().await);
    assert_eq!(before, after);
    app.finish().await;
}

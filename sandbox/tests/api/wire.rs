//! Notification bodies and signatures against recorded ones, without sockets: the engine alone.

use crate::support::fixture;
use cloudpayments_sandbox::engine::{ApiRequest, Engine, Notification, Params, Progress, RefundOrder, Reply, Route};
use cloudpayments_sandbox::money::Money;
use cloudpayments_sandbox::{SandboxConfig, cryptogram, wire};
use serde_json::{Value, json};

const CREATED: i64 = 1_772_428_447_312;
const SECRET: &str = "fixture-api-secret-0001";
const DATA: &str = r#"{"phone":"+77010000000","comment":"самовывоз"}"#;

fn recorded(name: &str) -> String {
    let path = format!("{}/tests/fixtures/notifications/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn engine(first_transaction_id: i64) -> Engine {
    let notify_url = Some("http://merchant.test/hooks".to_owned());
    let config =
        SandboxConfig { api_secret: SECRET.to_owned(), first_transaction_id, notify_url, ..SandboxConfig::default() };
    Engine::new(config, "http://sandbox.test".to_owned(), 1)
}

fn request(route: Route, fields: Value) -> ApiRequest {
    ApiRequest { route, request_id: None, params: Params::from_json(&fields.to_string()).unwrap() }
}

fn charge(card: &str, invoice: &str, data: Option<&str>) -> Value {
    json!({
        "Amount": 25000, "Currency": "KZT", "IpAddress": "203.0.113.7", "CardCryptogramPacket": cryptogram(card, "3012"),
        "Name": "TEST CARDHOLDER", "InvoiceId": invoice, "Description": format!("Заказ {invoice}"), "AccountId": "user-42",
        "Email": "buyer@example.test", "JsonData": data,
    })
}

/// Starts a payment that has a Check and answers it with `{"code":0}`.
fn checked(engine: &mut Engine, request: &ApiRequest) -> Notification {
    let Progress::Check { notification, pending } = engine.begin(request, CREATED) else { panic!("no Check") };
    let reply = Reply::Answered { status: 200, body: r#"{"code":0}"#.to_owned() };
    engine.resume(pending, &reply, CREATED);
    notification
}

fn delivered(engine: &mut Engine) -> Notification {
    let later = CREATED + 400_000_000;
    let delivery = engine.next_delivery(later).unwrap();
    engine.delivered(&delivery, &Reply::Answered { status: 200, body: r#"{"code":0}"#.to_owned() }, later);
    delivery.notification
}

/// Byte for byte, but for the values that are made up: card id and token.
fn assert_body(notification: &Notification, name: &str) {
    let masked = |text: &str| {
        let mask = |pair: &str| match pair.split_once('=') {
            Some((key @ ("CardId" | "Token"), _)) => format!("{key}=…"),
            _ => pair.to_owned(),
        };
        text.split('&').map(mask).collect::<Vec<_>>().join("&")
    };
    assert_eq!(masked(&notification.body), masked(&recorded(name)), "{name}");
    assert_eq!(notification.content_hmac, wire::sign(SECRET, &notification.body));
    assert_eq!(notification.x_content_hmac, wire::sign(SECRET, &wire::decode(&notification.body)));
}

#[test]
fn recorded_bodies_are_encoded_and_signed_the_same() {
    for vector in fixture("notifications/signatures").as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let body = recorded(name);
        let json = body.starts_with('{');
        if !json {
            let fields = wire::parse_form(&body);
            let again = wire::form(fields.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            assert_eq!(again, body, "{name}");
        }
        let decoded = if json { body.clone() } else { wire::decode(&body) };
        assert_eq!(wire::sign(SECRET, &body), vector["content_hmac"], "{name}");
        assert_eq!(wire::sign(SECRET, &decoded), vector["x_content_hmac"], "{name}");
    }
}

#[test]
fn one_stage_payment() {
    let mut plain = engine(3_600_000_101);
    let check = checked(&mut plain, &request(Route::CardCharge, charge("4000000000003055", "ord-1001", None)));
    assert_body(&check, "check");
    let mut engine = engine(3_600_000_101);
    checked(&mut engine, &request(Route::CardCharge, charge("4000000000003055", "ord-1001", Some(DATA))));
    assert_body(&delivered(&mut engine), "pay");
}

#[test]
fn special_characters() {
    let mut engine = engine(3_600_000_101);
    let mut fields = charge("4000000000003055", "ord-1001", None);
    fields["AccountId"] = json!("user+42@example.test");
    fields["Description"] = json!("Чай + кофе & 100% = «ок»");
    assert_body(&checked(&mut engine, &request(Route::CardCharge, fields)), "check_special_chars");
}

#[test]
fn two_stages() {
    let mut held = engine(3_600_000_106);
    let check = checked(&mut held, &request(Route::CardAuth, charge("4000000000003055", "ord-1006", None)));
    assert_body(&check, "check_two_stage");
    delivered(&mut held);
    held.begin(&request(Route::Confirm, json!({"TransactionId": 3_600_000_106_i64, "Amount": 18000.5})), CREATED);
    assert_body(&delivered(&mut held), "confirm_partial");

    let mut held = engine(3_600_000_106);
    checked(&mut held, &request(Route::CardAuth, charge("4000000000003055", "ord-1006", Some(DATA))));
    assert_body(&delivered(&mut held), "pay_authorized");

    let mut held = engine(3_600_000_106);
    checked(&mut held, &request(Route::CardAuth, charge("4000000000003055", "ord-1006", None)));
    delivered(&mut held);
    let three_hours_later = 1_772_438_400_000; // 2026-03-02 08:00:00
    held.begin(&request(Route::Void, json!({"TransactionId": 3_600_000_106_i64})), three_hours_later);
    assert_body(&delivered(&mut held), "cancel");
}

#[test]
fn refusals() {
    let mut engine = engine(3_600_000_102);
    let mut fields = charge("4000056655665556", "ord-1002", None);
    checked(&mut engine, &request(Route::CardCharge, fields.clone()));
    let notification = delivered(&mut engine);
    assert_body(&notification, "fail");
    fields["CardCryptogramPacket"] = json!(cryptogram("4242424242424242", "3012"));
    fields["InvoiceId"] = json!("ord-1003");
    fields["Description"] = json!("Заказ ord-1003");
    engine.begin(&request(Route::CardCharge, fields), CREATED);
    engine.begin(&request(Route::Post3ds, json!({"TransactionId": 3_600_000_103_i64, "PaRes": "junk"})), CREATED);
    assert_body(&delivered(&mut engine), "fail_3ds");
}

#[test]
fn refunds() {
    let mut engine = engine(3_600_000_101);
    checked(
        &mut engine,
        &request(Route::CardCharge, charge("4000000000003055", "ord-1001", Some(r#"{"phone":"+77010000000"}"#))),
    );
    delivered(&mut engine);
    let refunded = 1_772_694_000_000; // 2026-03-05 07:00:00
    engine.begin(&request(Route::Refund, json!({"TransactionId": 3_600_000_101_i64, "Amount": 5000})), refunded);
    let body = delivered(&mut engine);
    let expected = recorded("refund").replace("3600000120", "3600000102");
    assert_eq!(body.body, expected);
    let order = RefundOrder {
        payment_id: 3_600_000_101,
        amount: Money::from_minor(500_000),
        json_data: None,
        request_id: None,
        from_cabinet: true,
    };
    engine.give_back(order, refunded).unwrap();
    let expected = recorded("refund_from_dashboard").replace("3600000121", "3600000103");
    assert_eq!(delivered(&mut engine).body, expected);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let packet = cryptogram("4000000000003055", "3012");
    let run = || {
        let mut engine = engine(3_600_000_101);
        let mut fields = charge("4000000000003055", "ord-1", None);
        fields["CardCryptogramPacket"] = json!(packet);
        checked(&mut engine, &request(Route::CardCharge, fields));
        delivered(&mut engine).body
    };
    assert_eq!(run(), run());
}

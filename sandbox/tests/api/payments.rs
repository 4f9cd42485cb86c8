//! Payments by card and token, 3-D Secure, validation, authorization, `X-Request-ID`.

use crate::support::*;
use cloudpayments_sandbox::{SandboxConfig, Status, cards::TEST_CARDS};
use serde_json::{Value, json};

#[tokio::test]
async fn test_method_needs_the_key() {
    let api = Api::start().await;
    for content_type in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
        let answer = api.request("/test").header("Content-Type", content_type).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(answer["Success"], true);
        assert_eq!(answer["Message"].as_str().unwrap().len(), 36);
        assert!(answer.get("Model").is_none());
    }
    let none = api.client.post(api.url("/test")).send().await.unwrap();
    let wrong = api.client.post(api.url("/test")).basic_auth("pk_x", Some("x")).send().await.unwrap();
    for refused in [none, wrong] {
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.text().await.unwrap(), "");
    }
    assert_eq!(api.request("/nothing").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn test_method_without_a_key_when_allowed() {
    let api = Api::with(SandboxConfig { test_without_auth: true, ..SandboxConfig::default() }).await;
    assert_eq!(api.client.post(api.url("/test")).send().await.unwrap().status(), 200);
    let wrong = api.client.post(api.url("/test")).basic_auth("pk_x", Some("x")).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
}

#[tokio::test]
async fn charge_and_auth_have_the_recorded_shape() {
    let api = Api::start().await;
    let response = api.request("/payments/cards/charge").header("Content-Type", "application/json");
    let text = response.body(charge_body(PLAIN, "ord-1").to_string()).send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_shape(&answer, &fixture("charge_success"), "charge");
    assert_eq!(id(&answer), 3_600_000_001);
    assert_eq!(answer["Model"]["Amount"].to_string(), "25000");
    assert_eq!(answer["Model"]["Status"], "Completed");
    let recorded =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/charge_success.json")).unwrap();
    assert_eq!(key_order(&text, "\"Model\""), key_order(&recorded, "\"Model\""));

    let held = api.call("/payments/cards/auth", charge_body(PLAIN, "ord-2")).await;
    assert_shape(&held, &fixture("auth_success"), "auth");
    assert_eq!(held["Model"]["StatusCode"], 2);
    assert_eq!(held["Model"]["ConfirmDate"], Value::Null);
}

#[tokio::test]
async fn every_test_card_does_what_the_table_says() {
    let api = Api::start().await;
    for (index, card) in TEST_CARDS.iter().enumerate() {
        let mut answer = api.charge(card.number, &format!("ord-{index}")).await;
        assert_eq!(answer["Model"].get("AcsUrl").is_some(), card.three_ds, "{}", card.number);
        if card.three_ds {
            assert_shape(&answer, &fixture("charge_3ds_required"), "3ds");
            answer = pass_three_ds(&api, &answer, "pass").await;
        }
        assert_eq!(answer["Model"]["ReasonCode"], card.reason_code, "{}", card.number);
        assert_eq!(answer["Success"], card.reason_code == 0);
        assert_shape(
            &answer,
            &fixture(if card.reason_code == 0 { "charge_success" } else { "charge_declined" }),
            card.number,
        );
    }
}

/// Visits the bank page and finishes the payment.
pub async fn pass_three_ds(api: &Api, answer: &Value, button: &str) -> Value {
    let pa_res = bank(api, answer, button).await;
    api.call("/payments/cards/post3ds", json!({"TransactionId": id(answer), "PaRes": pa_res})).await
}

/// Posts to the bank page like a browser and takes the `PaRes` of one of its forms.
pub async fn bank(api: &Api, answer: &Value, button: &str) -> String {
    let model = &answer["Model"];
    let (md, text) = (id(answer).to_string(), |key: &str| model[key].as_str().unwrap().to_owned());
    let pa_req = text("PaReq");
    assert!(pa_req.starts_with("+/"));
    let form = cloudpayments_sandbox::wire::form([
        ("PaReq", pa_req.as_str()),
        ("MD", &md),
        ("TermUrl", "https://shop.example/3ds"),
    ]);
    let request =
        api.client.post(text("AcsUrl")).header("Content-Type", "application/x-www-form-urlencoded").body(form);
    let page = request.send().await.unwrap().text().await.unwrap();
    let form = page.split_once(&format!("<form id=\"{button}\"")).unwrap().1.split_once("</form>").unwrap().0;
    assert!(form.contains(r#"action="https://shop.example/3ds""#));
    assert!(form.contains(&format!(r#"name="MD" value="{md}""#)));
    form.split_once(r#"name="PaRes" value=""#).unwrap().1.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn three_ds_failed_and_repeated() {
    let api = Api::start().await;
    let answer = api.charge(THREE_DS, "ord-1").await;
    let waiting = api.call("/payments/find", json!({"InvoiceId": "ord-1"})).await;
    assert_shape(&waiting, &fixture("find_awaiting_authentication"), "waiting");
    assert_eq!(waiting["Model"]["Status"], "AwaitingAuthentication");
    let failed = pass_three_ds(&api, &answer, "fail").await;
    assert_eq!(failed["Model"]["ReasonCode"], 5206);
    let again = pass_three_ds(&api, &answer, "pass").await;
    assert_eq!(again, fixture("confirm_failed"));
    let unknown = api.call("/payments/post3ds", json!({"TransactionId": 1, "PaRes": "x"})).await;
    assert_eq!(unknown, fixture("find_not_found"));
    let no_funds = api.charge(THREE_DS_NO_FUNDS, "ord-2").await;
    assert_eq!(pass_three_ds(&api, &no_funds, "pass").await["Model"]["ReasonCode"], 5051);
}

#[tokio::test]
async fn tokens_are_bound_to_the_account() {
    let api = Api::start().await;
    let paid = api.charge(PLAIN, "ord-1").await;
    let token = paid["Model"]["Token"].as_str().unwrap();
    assert_eq!(token.len(), 32);
    let body = json!({"Amount": 9900, "Currency": "KZT", "AccountId": "user-42", "Token": token, "TrInitiatorCode": 0, "InvoiceId": "ord-2"});
    let charged = api.call("/payments/tokens/charge", body.clone()).await;
    assert_shape(&charged, &fixture("token_charge_success"), "token");
    let held = api.call("/payments/tokens/auth", body.clone()).await;
    assert_eq!(held["Model"]["Status"], "Authorized");
    let changed = |key: &str, value: Value| {
        let mut body = body.clone();
        body[key] = value;
        body
    };
    let without = api.call("/payments/tokens/charge", changed("TrInitiatorCode", Value::Null)).await;
    assert_eq!(without, fixture("token_charge_missing_initiator"));
    let foreign = api.call("/payments/tokens/charge", changed("AccountId", json!("user-43"))).await;
    assert_eq!(foreign["Message"], "Invalid Token value");

    let other = api.charge(TOKEN_NO_FUNDS, "ord-3").await;
    let declined = api.call("/payments/tokens/charge", changed("Token", other["Model"]["Token"].clone())).await;
    assert_eq!(declined["Model"]["ReasonCode"], 5051);
    api.charge(NO_FUNDS, "ord-4").await;
    let list = api.call("/payments/tokens/list", json!({"PageNumber": 1})).await;
    assert_shape(&list, &fixture("tokens_list"), "tokens");
    assert_eq!(list["Model"].as_array().unwrap().len(), 2, "the token of a refused card is not listed");
}

#[tokio::test]
async fn invalid_requests_are_refused_in_words() {
    let api = Api::start().await;
    let refused = |key: &'static str, value: Value| {
        let mut body = charge_body(PLAIN, "ord-1");
        body[key] = value;
        api.call("/payments/cards/charge", body)
    };
    assert_eq!(refused("Amount", Value::Null).await, fixture("charge_invalid_request"));
    for (key, value, message) in [
        ("Amount", json!(0), "Invalid Amount value"),
        ("Amount", json!(10.001), "Invalid Amount value"),
        ("Amount", json!("ten"), "Invalid Amount value"),
        ("IpAddress", json!(""), "IpAddress is required"),
        ("CardCryptogramPacket", Value::Null, "CardCryptogramPacket is required"),
        ("CardCryptogramPacket", json!("junk"), "Invalid CardCryptogramPacket value"),
        ("Currency", json!("ZZZ"), "Invalid Currency value"),
    ] {
        assert_eq!(refused(key, value).await, json!({"Success": false, "Message": message}));
    }
    let broken =
        api.request("/payments/get").header("Content-Type", "application/json").body("{").send().await.unwrap();
    assert_eq!(broken.status(), 400);
    assert!(api.sandbox.ledger().transactions.is_empty());
}

#[tokio::test]
async fn forms_and_any_case_are_read() {
    let api = Api::start().await;
    let body = charge_body(PLAIN, "ord-1");
    let packet = cloudpayments_sandbox::wire::encode(body["CardCryptogramPacket"].as_str().unwrap());
    let form = format!(
        "aMount=18000.50&currency=KZT&ipaddress=1.2.3.4&CARDCRYPTOGRAMPACKET={packet}&unknown=1&JsonData=%7b%22payment_id%22%3a%22p-1%22%7d"
    );
    let request =
        api.request("/payments/cards/charge").header("Content-Type", "application/x-www-form-urlencoded").body(form);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#""Amount":18000.5,"#), "{text}");
    let ledger = api.sandbox.ledger();
    assert_eq!(ledger.transactions[0].payment_id.as_deref(), Some("p-1"));
    assert_eq!(ledger.totals.captured_minor, 1_800_050);
    assert_eq!(ledger.transactions[0].status, Status::Completed);
}

#[tokio::test]
async fn a_cardholder_name_forces_a_refusal() {
    let api = Api::start().await;
    let mut body = charge_body(PLAIN, "ord-1");
    body["Name"] = json!("DECLINE 5005");
    let answer = api.call("/payments/cards/charge", body).await;
    assert_eq!(answer["Model"]["ReasonCode"], 5005);
    assert_eq!(answer["Model"]["Reason"], "DoNotHonor");
}

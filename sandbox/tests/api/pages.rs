//! The pages, clicked through like a browser does, and the widget's shortcut.

use crate::support::*;
use cloudpayments_sandbox::wire;
use serde_json::json;

/// The hidden and visible inputs of a form on a page.
fn inputs(page: &str, form: &str) -> Vec<(String, String)> {
    let form = page.split_once(&format!("<form id=\"{form}\"")).unwrap().1.split_once("</form>").unwrap().0;
    let unescape = |text: &str| {
        text.replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&#39;", "'")
            .replace("&amp;", "&")
    };
    let attribute = |input: &str, name: &str| {
        let rest = input.split_once(&format!("{name}=\"")).unwrap().1;
        unescape(rest.split_once('"').unwrap().0)
    };
    let tags = form.split("<input").skip(1).map(|tag| tag.split_once('>').unwrap().0);
    tags.map(|tag| (attribute(tag, "name"), attribute(tag, "value"))).collect()
}

async fn submit(api: &Api, url: &str, fields: &[(String, String)]) -> String {
    let body = wire::form(fields.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let request = api.client.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(body);
    request.send().await.unwrap().text().await.unwrap()
}

async fn open(api: &Api, card: &str) -> String {
    let query = format!(
        "/pay?publicId={}&amount=25000.5&currency=KZT&invoiceId=ord-1&accountId=u&description=%3Cb%3E&schema=Dual&data=%7B%22payment_id%22%3A%22p1%22%7D&returnUrl=https%3A%2F%2Fshop.example%2Fdone%3Fa%3D1%26b%3D2",
        api.sandbox.public_id()
    );
    let page = api.get(&query).await;
    assert!(page.contains("25000.50") && page.contains("&lt;b&gt;") && !page.contains("<b>"));
    let mut fields = inputs(&page, "pay");
    fields.push(("card".into(), card.into()));
    submit(api, &api.url("/pay"), &fields).await
}

#[tokio::test]
async fn the_hosted_page_without_three_ds() {
    let (api, receiver) = connected().await;
    let page = open(&api, PLAIN).await;
    assert!(page.contains("<h1>Paid</h1>") && page.contains("Authorized"));
    assert!(page.contains(r#"href="https://shop.example/done?a=1&amp;b=2""#));
    api.sandbox.flush_notifications().await;
    assert_eq!(receiver.arrived()[1].field("Data").as_deref(), Some(r#"{"payment_id":"p1"}"#));
    assert_eq!(api.sandbox.ledger().transactions[0].payment_id.as_deref(), Some("p1"));
    assert!(open(&api, NO_FUNDS).await.contains("<h1>Not paid</h1>"));
}

#[tokio::test]
async fn the_hosted_page_with_three_ds() {
    let api = Api::start().await;
    for (button, title) in [("pass", "<h1>Paid</h1>"), ("fail", "<h1>Not paid</h1>")] {
        let page = open(&api, THREE_DS).await;
        let to_bank = inputs(&page, "bank");
        let term_url = to_bank.iter().find(|(name, _)| name == "TermUrl").unwrap().1.clone();
        let bank = submit(&api, &api.url("/acs"), &to_bank).await;
        let back = submit(&api, &term_url, &inputs(&bank, button)).await;
        assert!(back.contains(title), "{back}");
        assert!(back.contains(r#"href="https://shop.example/done?a=1&amp;b=2""#));
        assert!(submit(&api, &term_url, &inputs(&bank, button)).await.contains("not waiting"));
    }
}

#[tokio::test]
async fn pages_refuse_junk() {
    let api = Api::start().await;
    assert_eq!(api.client.get(api.url("/pay")).send().await.unwrap().status(), 400);
    let bad =
        [("PaReq".into(), "x".into()), ("MD".into(), "1".into()), ("TermUrl".into(), "javascript:alert(1)".into())];
    assert!(submit(&api, &api.url("/acs"), &bad).await.contains("not a web address"));
    let index = api.get("/").await;
    assert!(index.contains(api.sandbox.public_id()) && index.contains("4242424242424242"));
    assert!(!index.contains(api.sandbox.api_secret()));
}

#[tokio::test]
async fn the_widget_shortcut() {
    let (api, receiver) = connected().await;
    let body = json!({"amount": 100, "currency": "KZT", "invoice_id": "ord-1", "card": THREE_DS, "schema": "Dual", "data": {"payment_id": 7}});
    let waiting = api.control("/sandbox/pay", body.clone()).await;
    assert_eq!(waiting["status"], "AwaitingAuthentication");
    assert!(
        waiting["acs_url"].as_str().unwrap().ends_with("/acs") && waiting["pa_req"].as_str().unwrap().starts_with("+/")
    );
    let mut skip = body.clone();
    skip["skip_three_ds"] = json!(true);
    let paid = api.control("/sandbox/pay", skip).await;
    assert_eq!((paid["status"].as_str(), paid["reason_code"].as_i64()), (Some("Authorized"), Some(0)));
    receiver.reply("check", 200, r#"{"code":12}"#);
    let mut refused = body.clone();
    refused["card"] = json!(PLAIN);
    assert_eq!(api.control("/sandbox/pay", refused).await["reason_code"], 3003);
    assert_eq!(api.control("/sandbox/pay", json!({"amount": 1, "card": "1"})).await["ok"], false);
    assert_eq!(api.control("/sandbox/notifications/flush", json!({})).await["ok"], true);
    let packet = api.get("/sandbox/cryptogram?pan=4242424242424242").await;
    assert!(packet.starts_with("014242424242301204"));
}

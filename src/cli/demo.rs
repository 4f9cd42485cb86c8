//! `demo`: a whole story against a temporary instance, told and checked.

use std::time::Duration;

use cloudpayments_sandbox::{
    ApiFaultKind, Fault, NotificationFaultKind, NotificationKind, Sandbox, SandboxConfig, cryptogram,
};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};

use super::dev::{new_key, notify_url, settings};
use super::say::say_line;
use super::{Outcome, report, text};
use crate::config::LogSettings;
use crate::startup::{Running, World, free_port};
use crate::{telemetry, vault};

const APPROVED: &str = "4000000000003055";
const NO_FUNDS: &str = "4000056655665556";
const THREE_DS: &str = "4242424242424242";

pub(super) async fn run() -> Outcome {
    let folder =
        std::env::temp_dir().join(format!("kmic-payments-demo-{}", vault::base64_url(&vault::random_bytes::<9>())));
    let told = tell(&folder).await;
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        eprintln!("the temporary folder {} is left behind: {error}", folder.display());
    }
    told
}

async fn tell(folder: &std::path::Path) -> Outcome {
    let sandbox = Sandbox::start(SandboxConfig { bind: "127.0.0.1:0".to_owned(), ..SandboxConfig::default() })
        .await
        .map_err(text)?;
    let bind = format!("127.0.0.1:{}", free_port().map_err(text)?);
    let url = format!("http://{bind}");
    let database = format!("sqlite://{}", folder.join("demo.sqlite3").display());
    let settings = settings(&sandbox, &bind, &url, &database, &vault::base64(&vault::random_bytes::<32>()))?;
    telemetry::init(&LogSettings { json: false, filter: "error".to_owned() });
    let running = Running::start(&settings, World::default()).await.map_err(report)?;
    sandbox.set_notify_url(&notify_url(&url));
    let api_key = new_key(&running, "demo").await?;
    let story = Story::new(url, api_key, sandbox.clone())?;
    let told = story.tell().await;
    running.stop().await;
    sandbox.stop().await;
    told
}

fn client() -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.timeout(Duration::from_secs(40)).build().map_err(text)
}

/// A site that calls the service, and a payer who calls the sandbox.
pub(super) struct Story {
    http: reqwest::Client,
    url: String,
    api_key: String,
    sandbox: Sandbox,
}

/// What the service answered.
struct Answer {
    status: u16,
    location: Option<String>,
    body: Value,
    page: String,
}

impl Story {
    pub(super) fn new(url: String, api_key: String, sandbox: Sandbox) -> Result<Story, String> {
        Ok(Story { http: client()?, url, api_key, sandbox })
    }

    /// Makes the payment of a bill that waits for a payer in the window, unless there is one.
    pub(super) async fn keep_open(&self, invoice_id: &str, value: &str) -> Outcome {
        let open = self.get(&format!("/v1/payments?invoice_id={invoice_id}&status=awaiting_payer")).await?;
        if open.body.pointer("/data/0").is_none() {
            let body = json!({ "amount": money(value), "invoice_id": invoice_id, "description": "Demo" });
            id(&self.post("/v1/payments", body).await?.body)?;
        }
        Ok(())
    }

    async fn tell(&self) -> Outcome {
        self.widget().await?;
        let paid = self.three_ds().await?;
        self.partial_refund(&paid).await?;
        self.decline().await?;
        self.lost_answer().await?;
        say_line!("All went as told.");
        Ok(())
    }

    /// A payer opens the payment window, fails with one card and pays with another.
    async fn widget(&self) -> Outcome {
        chapter("1. The payment window: one card is refused, the next one pays");
        let payment = self.create("DEMO-1", json!({ "type": "widget" })).await?;
        expect(&payment, "awaiting_payer")?;
        let intent = payment.pointer("/next_action/intent").ok_or("no intent for widget.start")?;
        say_line!("   intent for widget.start: {intent}");
        for (card, status) in [(NO_FUNDS, "awaiting_payer"), (APPROVED, "paid")] {
            let attempt = json!({
                "amount": "12500.00", "currency": "KZT", "invoice_id": "DEMO-1", "account_id": "demo-payer",
                "data": intent.get("metadata"), "card": card, "schema": "Single",
            });
            self.call_sandbox("/sandbox/pay", attempt).await?;
            self.sandbox.flush_notifications().await;
            expect(&self.read(&payment).await?, status)?;
        }
        self.timeline(&payment).await
    }

    /// Card data from the site's own form; the bank asks for 3-D Secure in the payer's browser.
    async fn three_ds(&self) -> Result<Value, String> {
        chapter("2. A card with 3-D Secure, the browser's way");
        let payment = self.create("DEMO-2", card(THREE_DS)).await?;
        expect(&payment, "awaiting_authentication")?;
        let redirect = payment.pointer("/next_action/redirect_url").and_then(Value::as_str).ok_or("no redirect_url")?;
        let form = self.get_page(redirect).await?;
        let bank = self.post_form(&form, "").await?;
        say_line!("   the payer's browser posts to the bank, the payer confirms");
        let back = self.post_form(&bank.page, "id=\"pass\"").await?;
        say_line!("   back at the service: {} to {}", back.status, back.location.as_deref().unwrap_or("-"));
        let paid = self.read(&payment).await?;
        expect(&paid, "paid")?;
        self.timeline(&payment).await?;
        Ok(paid)
    }

    async fn partial_refund(&self, paid: &Value) -> Outcome {
        chapter("3. Part of it goes back; more than what is left does not");
        let path = format!("/v1/payments/{}/refunds", id(paid)?);
        let refund = self.post(&path, json!({ "amount": money("2500.00"), "reason": "changed policy" })).await?;
        expect(&refund.body, "succeeded")?;
        let too_much = self.post(&path, json!({ "amount": money("10000.01") })).await?;
        say_line!("   one tiyn too much: {} {}", too_much.status, too_much.body.get("code").unwrap_or(&Value::Null));
        if too_much.status != 409 {
            return Err(format!("an over-refund was answered with {}", too_much.status));
        }
        let payment = self.read(paid).await?;
        expect(&payment, "partially_refunded")?;
        self.timeline(&payment).await
    }

    async fn decline(&self) -> Outcome {
        chapter("4. Not enough money on the card");
        let payment = self.create("DEMO-4", card(NO_FUNDS)).await?;
        expect(&payment, "declined")?;
        for language in ["kk", "ru", "en"] {
            say_line!(
                "   {language}: {}",
                payment.pointer(&format!("/decline/message/{language}")).and_then(Value::as_str).unwrap_or("-")
            );
        }
        self.timeline(&payment).await
    }

    /// The provider takes the money, its answer and its notification get lost; the register tells.
    async fn lost_answer(&self) -> Outcome {
        chapter("5. The answer to a charge is lost, and so is the notification");
        self.sandbox.fault(Fault::api("/payments/cards/charge", ApiFaultKind::DropAfter));
        self.sandbox.fault(Fault::notification(NotificationKind::Pay, NotificationFaultKind::Lose));
        let payment = self.create("DEMO-5", card(APPROVED)).await?;
        let certainty = payment.pointer("/outcome/certainty").and_then(Value::as_str);
        say_line!("   {} and {}: neither paid nor declined is claimed", status_of(&payment), certainty.unwrap_or("-"));
        if certainty != Some("undetermined") {
            return Err("a lost answer was not shown as undetermined".to_owned());
        }
        let settled = self.post(&format!("/v1/payments/{}/sync", id(&payment)?), json!({})).await?;
        expect(&settled.body, "paid")?;
        self.timeline(&payment).await
    }

    async fn create(&self, invoice: &str, method: Value) -> Result<Value, String> {
        let body = json!({
            "amount": money("12500.00"), "invoice_id": invoice, "description": format!("Policy {invoice}"),
            "payer": { "account_id": "demo-payer", "ip_address": "203.0.113.7" },
            "return_url": "https://kmic.kz/thanks", "method": method,
        });
        let answer = self.post("/v1/payments", body).await?;
        say_line!("   create: {} {}", answer.status, id(&answer.body)?);
        Ok(answer.body)
    }

    async fn read(&self, payment: &Value) -> Result<Value, String> {
        Ok(self.get(&format!("/v1/payments/{}", id(payment)?)).await?.body)
    }

    async fn timeline(&self, payment: &Value) -> Outcome {
        let history = self.get(&format!("/v1/payments/{}/transitions", id(payment)?)).await?;
        for row in history.body.get("data").and_then(Value::as_array).into_iter().flatten() {
            let field = |pointer: &str| row.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
            say_line!(
                "   {:>2}  {:<27} {} -> {}   by {} ({})   {}",
                row.get("sequence").unwrap_or(&Value::Null),
                field("/at"),
                field("/from"),
                field("/to"),
                field("/actor"),
                field("/cause/type"),
                row.get("detail")
                    .filter(|detail| detail.as_object().is_some_and(|object| !object.is_empty()))
                    .unwrap_or(&Value::Null),
            );
        }
        say_line!();
        Ok(())
    }

    async fn post(&self, path: &str, body: Value) -> Result<Answer, String> {
        let key = vault::base64_url(&vault::random_bytes::<12>());
        let request = self.http.post(format!("{}{path}", self.url)).header("Idempotency-Key", key);
        let request = request.header(AUTHORIZATION, format!("Bearer {}", self.api_key));
        receive(request.header(CONTENT_TYPE, "application/json").body(body.to_string())).await
    }

    async fn get(&self, path: &str) -> Result<Answer, String> {
        receive(self.http.get(format!("{}{path}", self.url)).header(AUTHORIZATION, format!("Bearer {}", self.api_key)))
            .await
    }

    async fn get_page(&self, url: &str) -> Result<String, String> {
        Ok(receive(self.http.get(url)).await?.page)
    }

    /// Posts the first form of a page that stands behind `mark`, as a browser would.
    async fn post_form(&self, page: &str, mark: &str) -> Result<Answer, String> {
        let form = form_behind(page, mark).ok_or("the page has no such form")?;
        let action = attribute(form, "action").ok_or("a form without an action")?;
        let fields: Vec<String> = form
            .split("<input")
            .skip(1)
            .filter_map(|input| {
                Some(format!("{}={}", attribute(input, "name")?, percent_encode(&attribute(input, "value")?)))
            })
            .collect();
        let request = self.http.post(action).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        receive(request.body(fields.join("&"))).await
    }

    async fn call_sandbox(&self, path: &str, body: Value) -> Outcome {
        let request =
            self.http.post(format!("{}{path}", self.sandbox.base_url())).header(CONTENT_TYPE, "application/json");
        let answer = receive(request.body(body.to_string())).await?;
        say_line!("   at the provider: {}", answer.body.get("status").unwrap_or(&answer.body));
        Ok(())
    }
}

async fn receive(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    let response = request.send().await.map_err(text)?;
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let page = response.text().await.map_err(text)?;
    let body = serde_json::from_str(&page).unwrap_or_default();
    Ok(Answer { status, location, body, page })
}

fn form_behind<'a>(page: &'a str, mark: &str) -> Option<&'a str> {
    let forms = page.split("<form").skip(1).filter_map(|form| form.split("</form>").next());
    forms.into_iter().find(|form| form.contains(mark))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let value = tag.get(start..)?.split('"').next()?;
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&#x27;", "'")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn card(number: &str) -> Value {
    json!({ "type": "card_cryptogram", "cryptogram": cryptogram(number, "3012"), "cardholder_name": "DEMO PAYER" })
}

fn money(value: &str) -> Value {
    json!({ "value": value, "currency": "KZT" })
}

fn chapter(title: &str) {
    say_line!("{title}");
}

fn id(object: &Value) -> Result<&str, String> {
    object.get("id").and_then(Value::as_str).ok_or_else(|| format!("not what was expected: {object}"))
}

fn status_of(object: &Value) -> &str {
    object.get("status").and_then(Value::as_str).unwrap_or("-")
}

fn expect(object: &Value, status: &str) -> Outcome {
    let found = status_of(object);
    if found == status {
        say_line!("   {found}");
        return Ok(());
    }
    Err(format!("expected {status}, found {found}: {object}"))
}

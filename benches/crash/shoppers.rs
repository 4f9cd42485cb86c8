//! What sites and payers do.

use std::sync::Arc;

use cloudpayments_sandbox::{Sandbox, cryptogram};
use serde_json::{Value, json};

use super::form::{Form, form_of};
use super::pause;
use super::random::Random;
use super::site::{Reply, Site};

/// No 3-D Secure: approved, refused.
const APPROVED: &str = "4000000000003055";
const NO_FUNDS: &str = "4000056655665556";
/// 3-D Secure, then approved or refused.
const THREE_DS: [&str; 2] = ["4242424242424242", "4012888888881881"];

/// One site with its payers.
struct Shop {
    site: Arc<Site>,
    sandbox: Sandbox,
    random: Random,
    name: u64,
    /// Numbers of its keys.
    next: u64,
}

/// Works until the sites are closed.
pub async fn work(site: Arc<Site>, sandbox: Sandbox, name: u64, random: Random) {
    let mut shop = Shop { site, sandbox, random, name, next: 0 };
    while !shop.site.is_closed() {
        match shop.random.between(0, 19) {
            0..=5 => shop.card().await,
            6..=8 => shop.three_ds().await,
            9..=11 => shop.two_stage().await,
            12..=14 => shop.window().await,
            15 | 16 => shop.refund_something().await,
            17 => shop.replay_something().await,
            _ => shop.look_around().await,
        }
        let rest = shop.random.between(20, 250);
        pause(rest).await;
    }
}

impl Shop {
    fn key(&mut self) -> String {
        self.next += 1;
        format!("site-{}-{}", self.name, self.next)
    }

    /// Creates a payment for a bill of its own.
    async fn create(&mut self, more: Value) -> Option<Reply> {
        let key = self.key();
        let bill = format!("KM-{}-{}", self.name, self.next);
        let mut body = json!({
            "amount": money(self.random.between(1_000, 5_000_000)), "invoice_id": bill, "description": "Policy",
            "payer": { "account_id": format!("user-{}", self.name), "ip_address": "203.0.113.7" },
            "return_url": "https://kmic.kz/done",
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        self.site.journal().bills.insert(key.clone(), bill);
        self.site.send("/v1/payments", key, &body).await
    }

    async fn act(&mut self, payment_id: &str, action: &str, body: &Value) -> Option<Reply> {
        let key = self.key();
        self.site.send(&format!("/v1/payments/{payment_id}/{action}"), key, body).await
    }

    async fn card(&mut self) {
        let number = self.random.pick(&[APPROVED, APPROVED, APPROVED, APPROVED, NO_FUNDS]);
        let Some(reply) = self.create(json!({ "method": method(number) })).await else { return };
        if reply.status == 202 && self.random.chance(50) {
            // As the README tells: wait for the outcome instead of charging anew.
            self.site.get(&format!("/v1/payments/{}?wait=2", reply.text("/id"))).await;
        }
        if reply.text("/status") == "paid" && self.random.chance(40) {
            self.refund(reply.text("/id"), minor_of(&reply)).await;
        }
    }

    async fn three_ds(&mut self) {
        let number = self.random.pick(&THREE_DS);
        let Some(payment) = self.create(json!({ "method": method(number) })).await else { return };
        if payment.text("/status") != "awaiting_authentication" || self.random.chance(10) {
            return;
        }
        let button = if self.random.chance(80) { "id=\"pass\"" } else { "id=\"fail\"" };
        let Some(back) = self.at_bank(&payment, button).await else { return };
        if self.random.chance(50) {
            let field =
                |name: &str| back.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
            let body = json!({ "md": field("MD"), "pa_res": field("PaRes") });
            self.act(payment.text("/id"), "three-ds", &body).await;
            return;
        }
        // The payer's browser; it is sent again while nothing comes back.
        for _ in 0..20 {
            if self.site.browse(&back).await.is_some() {
                break;
            }
            pause(100).await;
        }
    }

    async fn at_bank(&self, payment: &Reply, button: &str) -> Option<Form> {
        let field = |name: &str| Some(payment.json["next_action"][name].as_str()?.to_owned());
        let fields = [("PaReq", field("pa_req")?), ("MD", field("md")?), ("TermUrl", field("term_url")?)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let page = self.site.browse(&Form { action: field("acs_url")?, fields }).await?;
        form_of(&page, button)
    }

    async fn two_stage(&mut self) {
        let body = json!({ "method": method(APPROVED), "capture": "manual" });
        let Some(held) = self.create(body).await else { return };
        if held.text("/status") != "authorized" {
            return;
        }
        let id = held.text("/id");
        let part = money(self.random.between(1_000, u64::try_from(minor_of(&held)).unwrap_or(1_000)));
        match self.random.between(0, 9) {
            0..=2 => drop(self.act(id, "capture", &json!({})).await),
            3..=5 => drop(self.act(id, "capture", &json!({ "amount": part })).await),
            6 | 7 => drop(self.act(id, "cancel", &json!({})).await),
            8 => {
                let keys = [self.key(), self.key()];
                let [capture, cancel] = keys;
                let (take, release) = (format!("/v1/payments/{id}/capture"), format!("/v1/payments/{id}/cancel"));
                let none = json!({});
                tokio::join!(self.site.send(&take, capture, &none), self.site.send(&release, cancel, &none));
            }
            // Left to hang.
            _ => {}
        }
    }

    /// The payment window; sometimes two tabs, or the site withdraws it meanwhile.
    async fn window(&mut self) {
        let capture = self.random.pick(&["automatic", "automatic", "manual"]);
        let Some(payment) = self.create(json!({ "capture": capture })).await else { return };
        let url = format!("{}/sandbox/pay", self.sandbox.base_url());
        let order = order(&payment, self.random.pick(&[APPROVED, APPROVED, NO_FUNDS]));
        match self.random.between(0, 9) {
            0 | 1 => {
                let tab = || self.site.at_provider(&url, &order);
                tokio::join!(tab(), tab());
            }
            2 => {
                let key = self.key();
                let path = format!("/v1/payments/{}/cancel", payment.text("/id"));
                let none = json!({});
                let withdraw = self.site.send(&path, key, &none);
                tokio::join!(self.site.at_provider(&url, &order), withdraw);
            }
            // Nobody pays.
            3 => {}
            _ => drop(self.site.at_provider(&url, &order).await),
        }
    }

    /// One to three refunds, some at the same time, some of more than is left.
    async fn refund(&mut self, payment_id: &str, captured: i64) {
        let path = format!("/v1/payments/{payment_id}/refunds");
        let captured = u64::try_from(captured).unwrap_or(1_000);
        let mut bodies = Vec::new();
        for _ in 0..self.random.between(1, 3) {
            let key = self.key();
            let part = self.random.between(captured / 10, captured * 6 / 10);
            let amount = if self.random.chance(20) { json!({}) } else { json!({ "amount": money(part.max(1)) }) };
            bodies.push((key, with_reason(amount)));
        }
        let together = self.random.chance(50);
        let mut running = Vec::new();
        for (key, body) in bodies {
            let (site, path) = (Arc::clone(&self.site), path.clone());
            let sent = tokio::spawn(async move { site.send(&path, key, &body).await.is_some() });
            if together {
                running.push(sent);
            } else {
                // A task that broke off shows as an unfinished request.
                let _ = sent.await;
            }
        }
        for sent in running {
            let _ = sent.await;
        }
    }

    async fn refund_something(&mut self) {
        let chosen = {
            let journal = self.site.journal();
            (!journal.paid.is_empty()).then(|| self.random.pick(&journal.paid))
        };
        if let Some((id, captured)) = chosen {
            self.refund(&id, captured).await;
        }
    }

    /// The same request under its key, long after: the same answer.
    async fn replay_something(&mut self) {
        let chosen = {
            let journal = self.site.journal();
            (!journal.answered.is_empty()).then(|| self.random.pick(&journal.answered))
        };
        if let Some((order, status, bytes)) = chosen
            && let Some(wrong) = self.site.repeat(&order, status, &bytes).await
        {
            self.site.journal().surprises.push(format!("a repeat differs: {wrong}"));
        }
    }

    async fn look_around(&mut self) {
        let known = {
            let journal = self.site.journal();
            (!journal.paid.is_empty()).then(|| self.random.pick(&journal.paid).0)
        };
        let Some(id) = known else { return };
        match self.random.between(0, 3) {
            0 => drop(self.site.get(&format!("/v1/payments/{id}/transitions")).await),
            1 => drop(self.site.get("/v1/payments?limit=20").await),
            2 => drop(self.act(&id, "sync", &json!({})).await),
            _ => drop(self.site.get(&format!("/v1/payments/{id}")).await),
        }
    }
}

fn method(number: &str) -> Value {
    json!({ "type": "card_cryptogram", "cryptogram": cryptogram(number, "3012"), "cardholder_name": "TEST CARDHOLDER" })
}

fn money(minor: u64) -> Value {
    json!({ "value": format!("{}.{:02}", minor / 100, minor % 100), "currency": "KZT" })
}

fn with_reason(mut body: Value) -> Value {
    body["reason"] = json!("the policy was cancelled");
    body
}

fn minor_of(payment: &Reply) -> i64 {
    super::journal::minor(payment.text("/amount/value"))
}

/// What the payment window sends.
fn order(payment: &Reply, card: &str) -> Value {
    let intent = &payment.json["next_action"]["intent"];
    json!({
        "amount": payment.text("/amount/value"), "currency": payment.text("/amount/currency"),
        "invoice_id": payment.text("/invoice_id"), "account_id": payment.text("/payer/account_id"),
        "data": intent["metadata"], "card": card, "schema": intent["paymentSchema"], "skip_three_ds": true,
    })
}

//! Notifications as the provider sends them: the recorded ones, and made-up ones with a signature that holds.

use std::path::PathBuf;

use kmic_payments::vault;
use serde_json::Value;

use super::app::TestApp;
use super::form::Form;
use super::http::Reply;

/// The key that the recorded notifications are signed with.
pub const FIXTURE_SECRET: &str = "fixture-api-secret-0001";

/// A recorded notification.
#[derive(Debug, Clone)]
pub struct Fixture {
    pub name: String,
    pub kind: String,
    pub get: bool,
    pub content_type: String,
    pub body: Vec<u8>,
    pub content_hmac: String,
    pub x_content_hmac: String,
    pub fields: Value,
    /// The code that the provider has to be answered with.
    pub code: i64,
}

impl Fixture {
    pub fn read(name: &str) -> Fixture {
        let folder = folder();
        let told: Value = serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
        let text = |key: &str| told[key].as_str().unwrap_or("").to_owned();
        assert_eq!(text("api_secret"), FIXTURE_SECRET);
        Fixture {
            name: name.to_owned(),
            kind: text("notification"),
            get: text("http_method") == "GET",
            content_type: text("content_type"),
            body: std::fs::read(folder.join(text("body_file"))).unwrap(),
            content_hmac: text("content_hmac"),
            x_content_hmac: text("x_content_hmac"),
            fields: told["fields"].clone(),
            code: told["expected_merchant_reply"]["code"].as_i64().unwrap(),
        }
    }

    /// Every one, by name.
    pub fn all() -> Vec<Fixture> {
        let names = std::fs::read_dir(folder()).unwrap().filter_map(|entry| {
            let path = entry.unwrap().path();
            (path.extension()? == "json").then(|| path.file_stem().unwrap().to_str().unwrap().to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.iter().map(|name| Fixture::read(name)).collect()
    }

    /// With both signatures, as the provider sends it.
    pub async fn send(&self, app: &TestApp) -> Reply {
        self.send_as(app, &self.body, &[("Content-HMAC", &self.content_hmac), ("X-Content-HMAC", &self.x_content_hmac)])
            .await
    }

    /// With another body or other headers.
    pub async fn send_as(&self, app: &TestApp, body: &[u8], headers: &[(&str, &str)]) -> Reply {
        let url = format!("{}/v1/notifications/cloudpayments/{}", app.url, self.kind);
        let request = if self.get {
            app.http.get(format!("{url}?{}", std::str::from_utf8(body).unwrap()))
        } else {
            app.http.post(url).header("Content-Type", &self.content_type).body(body.to_vec())
        };
        Reply::receive(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cloudpayments/notifications")
}

/// A signature under a secret.
pub fn sign(secret: &str, message: &[u8]) -> String {
    vault::base64(&vault::hmac_sha256(secret.as_bytes(), message))
}

/// A form of these fields.
pub fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Form { action: String::new(), fields }.encoded()
}

impl TestApp {
    /// Posts a notification that the sandbox's secret signs; the answer has to be 200 `{"code":0}`.
    pub async fn notify(&self, kind: &str, fields: &[(&str, &str)]) {
        let body = form(fields);
        let reply = self.notify_signed(kind, &body, self.sandbox.api_secret()).await;
        assert_eq!((reply.status, reply.page().as_str()), (200, r#"{"code":0}"#), "{kind} {body}");
    }

    /// Posts a form with a signature under a secret.
    pub async fn notify_signed(&self, kind: &str, body: &str, secret: &str) -> Reply {
        let request = self.http.post(format!("{}/v1/notifications/cloudpayments/{kind}", self.url));
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        Reply::receive(request.header("Content-HMAC", sign(secret, body.as_bytes())).body(body.to_owned())).await
    }

    /// `kind verdict` of every stored notification, newest first.
    pub async fn verdicts(&self) -> Vec<String> {
        let list = self.get("/v1/notifications?limit=100").await.expect(200);
        let rows = list.json["data"].as_array().unwrap();
        rows.iter()
            .map(|row| format!("{} {}", row["kind"].as_str().unwrap(), row["verdict"].as_str().unwrap()))
            .collect()
    }
}

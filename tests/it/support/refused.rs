//! Requests that are refused, and the proof that they left nothing behind.

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::app::{Body, TestApp};
use super::http::Reply;
use super::sql::Sql;

/// The body with another value at a JSON pointer, whose parent must be there.
pub fn with_at(mut body: Body, pointer: &str, value: Value) -> Body {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

/// The body without the field at a JSON pointer.
pub fn without(mut body: Body, pointer: &str) -> Body {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    body
}

impl TestApp {
    /// Posts bytes as JSON under a new key.
    pub async fn post_bytes(&self, path: &str, bytes: Vec<u8>) -> Reply {
        let request = self
            .request(reqwest::Method::POST, path)
            .header("Idempotency-Key", self.new_idempotency_key())
            .header("Content-Type", "application/json");
        Reply::receive(request.body(bytes)).await
    }

    /// Posts JSON with these headers besides the API key and the Content-Type.
    pub async fn post_with(&self, path: &str, headers: &[(&str, &[u8])], body: &Body) -> Reply {
        let mut request = self.request(reqwest::Method::POST, path).header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        Reply::receive(request.body(body.to_string())).await
    }

    /// With another API key, or none.
    pub async fn call_as(&self, method: &str, path: &str, authorization: Option<&str>) -> Reply {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        Reply::receive(request).await
    }

    /// Nothing was written here and nothing was asked of the provider.
    pub async fn expect_untouched(&self, after: &str) {
        let page = self.get("/v1/payments").await.expect(200);
        assert_eq!(page.json["data"], Value::Array(Vec::new()), "payments after {after}");
        let mut database = Sql::open(&self.database.url);
        for table in
            ["payments", "operations", "transactions", "refunds", "events", "notifications", "idempotency_keys"]
        {
            let rows = database.number(&format!("SELECT count(*) AS value FROM {table}"));
            assert_eq!(rows, 0, "{table} after {after}");
        }
        assert_eq!(self.calls_to_provider().await, 0, "calls to the provider after {after}");
        assert!(self.sandbox.ledger().transactions.is_empty(), "the provider's ledger after {after}");
    }

    /// Requests that the provider's API has seen.
    pub async fn calls_to_provider(&self) -> usize {
        let request = self.http.get(format!("{}/sandbox/requests", self.sandbox.base_url()));
        Reply::receive(request).await.expect(200).json.as_array().unwrap().len()
    }
}

//! Requests under other keys than the one of the test, and approvals.

use kmic_payments::domain::scope::Scope;
use serde_json::{Value, json};

use super::app::{Body, TestApp, money};
use super::http::Reply;

/// An operator with a key of their own.
pub struct Operator {
    pub key: String,
    /// `key_…`, as the history has it.
    pub id: String,
}

impl Operator {
    pub async fn new(app: &TestApp, scopes: &[Scope]) -> Operator {
        Operator::of(app.new_key(scopes).await)
    }

    /// By the secret of a key.
    pub fn of(key: String) -> Operator {
        let id = format!("key_{}", key.split('_').nth(1).unwrap());
        Operator { key, id }
    }

    /// One who may do all that approvals are about.
    pub async fn with_all(app: &TestApp) -> Operator {
        Operator::new(app, &[Scope::PaymentsRead, Scope::RefundsWrite, Scope::OpsWrite]).await
    }

    /// The same, where events tell of keys.
    pub async fn told(app: &TestApp) -> Operator {
        Operator::of(app.new_told_key(&[Scope::PaymentsRead, Scope::RefundsWrite, Scope::OpsWrite]).await)
    }

    pub async fn post(&self, app: &TestApp, path: &str, idempotency_key: &str, body: Body) -> Reply {
        let request = app.http.post(format!("{}{path}", app.url)).bearer_auth(&self.key);
        let request = request.header("Idempotency-Key", idempotency_key).header("Content-Type", "application/json");
        Reply::receive(request.body(body.to_string())).await
    }

    /// Asks for a refund.
    pub async fn ask_refund(&self, app: &TestApp, payment: &str, value: &str) -> Reply {
        let body = json!({
            "kind": "refund", "payment_id": payment, "amount": money(value), "reason": "asked by the client",
        });
        self.post(app, "/v1/approvals", &app.new_idempotency_key(), body).await
    }

    /// Asks for the end of a lost call of the payment, or of a refund.
    pub async fn ask_correction(&self, app: &TestApp, payment: &str, refund: Option<&str>) -> Reply {
        let mut body = json!({
            "kind": "correction", "payment_id": payment, "outcome": "no_effect", "reason": "support says so",
        });
        if let Some(refund) = refund {
            body["refund_id"] = Value::from(refund);
        }
        self.post(app, "/v1/approvals", &app.new_idempotency_key(), body).await
    }

    /// `approve` or `reject`.
    pub async fn decide(&self, app: &TestApp, approval: &Reply, what: &str) -> Reply {
        self.decide_as(app, approval, what, &app.new_idempotency_key()).await
    }

    pub async fn decide_as(&self, app: &TestApp, approval: &Reply, what: &str, key: &str) -> Reply {
        self.post(app, &format!("/v1/approvals/{}/{what}", approval.id()), key, json!({})).await
    }
}

impl TestApp {
    pub async fn approval(&self, id: &str) -> Reply {
        self.get(&format!("/v1/approvals/{id}")).await.expect(200)
    }

    /// `approval by cause` of each row of a payment's history that is about an approval.
    pub async fn approvals_in_history(&self, payment_id: &str) -> Vec<String> {
        let rows = self.rows(payment_id).await;
        let told = rows.iter().filter(|row| row["detail"]["approval"].is_string());
        told.map(|row| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            format!("{} by {}", text(&row["detail"]["approval"]), text(&row["cause"]["type"]))
        })
        .collect()
    }
}

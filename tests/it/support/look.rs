//! Shorter words for what tests ask and look at again and again.

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationFaultKind, NotificationKind, Status, TransactionType};
use serde_json::{Value, json};

use super::app::{Body, TestApp};
use super::http::Reply;
use super::sql::Sql;

/// A body with a field set.
pub fn with(mut body: Body, field: &str, value: impl Into<Value>) -> Body {
    body[field] = value.into();
    body
}

/// The provider's number of a payment's first transaction.
#[track_caller]
pub fn transaction_id(payment: &Reply) -> i64 {
    payment.json["transactions"][0]["transaction_id"]
        .as_i64()
        .unwrap_or_else(|| panic!("no transaction: {}", payment.json))
}

/// What the payment window sends for a payment.
pub fn order(payment: &Reply, card: &str) -> Body {
    let intent = &payment.json["next_action"]["intent"];
    json!({
        "amount": payment.text("/amount/value"), "currency": payment.text("/amount/currency"),
        "invoice_id": payment.text("/invoice_id"), "account_id": payment.text("/payer/account_id"),
        "data": intent["metadata"], "card": card, "schema": intent["paymentSchema"], "skip_three_ds": true,
    })
}

/// Checks a payment's `captured`, `refunded` and `refundable`.
#[track_caller]
pub fn expect_sums(payment: &Reply, captured: &str, refunded: &str, refundable: &str) {
    let sums = [payment.text("/captured/value"), payment.text("/refunded/value"), payment.text("/refundable/value")];
    assert_eq!(sums, [captured, refunded, refundable], "{}", payment.json);
}

impl TestApp {
    /// A POST that is still to be sent.
    pub fn posting(&self, path: &str, idempotency_key: &str, body: &Body) -> reqwest::RequestBuilder {
        let request = self.request(reqwest::Method::POST, path).header("Idempotency-Key", idempotency_key);
        request.header("Content-Type", "application/json").body(body.to_string())
    }

    /// Sends all of them at the same time.
    pub async fn at_once(&self, requests: Vec<reqwest::RequestBuilder>) -> Vec<Reply> {
        let running: Vec<_> = requests.into_iter().map(|request| tokio::spawn(Reply::receive(request))).collect();
        let mut replies = Vec::new();
        for reply in running {
            replies.push(reply.await.unwrap());
        }
        replies
    }

    /// `capture`, `cancel`, `refunds`, `three-ds` of a payment.
    pub async fn act(&self, payment_id: &str, action: &str, body: Body) -> Reply {
        self.post(&format!("/v1/payments/{payment_id}/{action}"), body).await
    }

    /// Asks the provider now.
    pub async fn sync(&self, payment_id: &str) -> Reply {
        self.act(payment_id, "sync", json!({})).await.expect(200)
    }

    /// Pays by an order of the payment window and waits until the service has heard of it.
    pub async fn pay(&self, order: Body) -> Reply {
        let reply = self.at_sandbox("/sandbox/pay", order).await.expect(200);
        self.sandbox.flush_notifications().await;
        reply
    }

    /// A refund made in the provider's cabinet.
    pub async fn refund_in_cabinet(&self, transaction_id: i64, amount: i64) {
        let body = json!({ "transaction_id": transaction_id, "amount": amount });
        self.at_sandbox("/sandbox/cabinet/refund", body).await.expect(200);
        self.sandbox.flush_notifications().await;
    }

    /// The feed. On PostgreSQL an event is shown when no older transaction of the server is running, and the tests share
    /// one server: read until all that is recorded shows.
    pub async fn all_events(&self) -> Reply {
        let recorded =
            usize::try_from(Sql::open(&self.database.url).number("SELECT count(*) AS value FROM events")).unwrap();
        for _ in 0..500 {
            let feed = self.get("/v1/events?limit=100").await.expect(200);
            if feed.json["data"].as_array().unwrap().len() >= recorded.min(100) {
                return feed;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the feed does not show all of {recorded} events");
    }

    /// The kinds of a payment's events, oldest first.
    pub async fn events(&self, payment_id: &str) -> Vec<String> {
        let reply = self.all_events().await;
        assert!(reply.json["next_cursor"].is_null(), "more than a page of events");
        let events = reply.json["data"].as_array().unwrap().iter();
        let of_payment = events.filter(|event| event["payment_id"] == payment_id);
        of_payment.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// The events about notifications, oldest first: `kind notification? transaction payment?`, ids of ours as `yes`.
    pub async fn notification_events(&self) -> Vec<String> {
        let reply = self.all_events().await;
        let events = reply.json["data"].as_array().unwrap().iter();
        let yes = |value: &Value| if value.is_string() { "yes" } else { "no" };
        let told = events.filter(|event| event["type"].as_str().unwrap().starts_with("notification."));
        told.map(|event| {
            let (notification, payment) = (yes(&event["notification_id"]), yes(&event["payment_id"]));
            assert_eq!(event["payment_id"].is_string(), event["sequence"].is_i64(), "{event}");
            format!("{} {notification} {} {payment}", event["type"].as_str().unwrap(), event["transaction_id"])
        })
        .collect()
    }

    /// How often this kind of surprise was counted.
    pub fn surprises(&self, kind: &str) -> u64 {
        let line = format!("kmic_payments_surprises_total{{kind=\"{kind}\"}} ");
        let page = self.running.metrics.render();
        page.lines().find_map(|row| row.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }

    /// The rows of a payment's history.
    pub async fn rows(&self, payment_id: &str) -> Vec<Value> {
        let reply = self.get(&format!("/v1/payments/{payment_id}/transitions?limit=100")).await.expect(200);
        reply.json["data"].as_array().unwrap().clone()
    }

    /// The payments of a bill, newest first.
    pub async fn of_invoice(&self, invoice_id: &str) -> Vec<Value> {
        let reply = self.get(&format!("/v1/payments?invoice_id={invoice_id}")).await.expect(200);
        reply.json["data"].as_array().unwrap().clone()
    }

    /// How many payments the provider has completed.
    pub fn charges(&self) -> usize {
        let ledger = self.sandbox.ledger();
        let completed = |kind, status| kind == TransactionType::Payment && status == Status::Completed;
        ledger.transactions.iter().filter(|entry| completed(entry.kind, entry.status)).count()
    }

    /// How many refunds the provider has made.
    pub fn refunds(&self) -> usize {
        self.sandbox.ledger().transactions.iter().filter(|entry| entry.kind == TransactionType::Refund).count()
    }

    /// The next answer to this path goes wrong.
    pub fn break_answer(&self, path: &str, kind: ApiFaultKind) {
        self.sandbox.fault(Fault::api(path, kind));
    }

    /// Something happens to the next notification of a type.
    pub fn break_notification(&self, notification: NotificationKind, kind: NotificationFaultKind) {
        self.sandbox.fault(Fault::notification(notification, kind));
    }

    /// The next notification of a type never comes.
    pub fn lose(&self, notification: NotificationKind) {
        self.break_notification(notification, NotificationFaultKind::Lose);
    }
}

//! The provider's register: transactions that we were not told of, and runs that compare with it.

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::app::{APPROVED, Body, TestApp, widget};
use super::database::Engine;
use super::http::Reply;
use super::look::order;
use super::notices::form;

impl TestApp {
    /// Steps until no run is due.
    pub async fn step_runs(&self) -> usize {
        for steps in 0..500 {
            if self.running.app.reconcile_step().await.unwrap() == 0 {
                return steps;
            }
        }
        panic!("the runs do not end");
    }

    /// Asks for a run over the last six hours, an hour later, and sees it to its end.
    pub async fn reconcile(&self) -> Reply {
        self.advance(3600);
        let run = self.ask_for_run().await;
        self.step_runs().await;
        self.get(&format!("/v1/reconciliations/{}", run.id())).await.expect(200)
    }

    /// Asks for a run over the last six hours.
    pub async fn ask_for_run(&self) -> Reply {
        use kmic_payments::clock::Clock as _;
        let now = self.clock.now();
        let body = json!({ "from": now.plus_seconds(-6 * 3600).to_string(), "to": now.to_string() });
        self.post("/v1/reconciliations", body).await.expect(201)
    }

    /// Every discrepancy, newest first.
    pub async fn discrepancies(&self) -> Vec<Value> {
        let list = self.get("/v1/discrepancies?limit=100").await.expect(200);
        list.json["data"].as_array().unwrap().clone()
    }

    /// `kind how` of every discrepancy, oldest first; `open` or how it ended.
    pub async fn disagreements(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("open").to_owned();
        let rows = self.discrepancies().await;
        rows.iter().rev().map(|row| format!("{} {}", text(&row["kind"]), text(&row["closing"]["resolution"]))).collect()
    }

    /// A call of the provider's API, as somebody else with the same credentials makes it.
    pub async fn at_provider(&self, path: &str, body: Body) -> Reply {
        let request = self.http.post(format!("{}{path}", self.sandbox.base_url()));
        let request = request.basic_auth(self.sandbox.public_id(), Some(self.sandbox.api_secret()));
        Reply::receive(request.header("Content-Type", "application/json").body(body.to_string())).await.expect(200)
    }

    /// From now on notifications go to somebody who says yes to everything, and we hear nothing.
    pub async fn let_others_answer(&self) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.sandbox.set_notify_url(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = vec![0; 65_536];
                let _ = stream.read(&mut buffer).await;
                let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{\"code\":0}";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
    }

    /// What the Check of an attempt to pay 12 500 tenge for this bill is answered.
    pub async fn check(&self, invoice: &str) -> String {
        let fields = form(&[
            ("TransactionId", "5000000001"),
            ("Amount", "12500.00"),
            ("Currency", "KZT"),
            ("InvoiceId", invoice),
            ("AccountId", "user-42"),
            ("OperationType", "Payment"),
            ("Status", "Completed"),
        ]);
        self.notify_signed("check", &fields, self.sandbox.api_secret()).await.expect(200).page()
    }

    /// Notifications come to us again.
    pub fn answer_ourselves(&self) {
        self.sandbox.set_notify_url(&format!("{}/v1/notifications/cloudpayments", self.url));
    }
}

/// The provider's register.
pub const LIST: &str = "/v2/payments/list";

/// Runs begin when a test says so, and a provider that fails on purpose is asked all the same.
pub async fn with_quiet_runs(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |raw| {
        raw.with("reconciliation.daily", "false").with("cloudpayments.breaker_failures", "1000")
    })
    .await
}

/// A payment in the window that the provider never tells us of.
pub async fn paid_in_silence(app: &TestApp, invoice: &str) -> Reply {
    let payment = app.create(widget(invoice)).await.expect(201);
    app.lose(NotificationKind::Pay);
    app.pay(order(&payment, APPROVED)).await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "awaiting_payer");
    payment
}

/// A page of the register instead of the true one.
pub fn page(items: Value) -> ApiFaultKind {
    let body = json!({ "Model": items, "Success": true, "Message": null }).to_string();
    ApiFaultKind::StatusAfter { status: 200, body: Some(body) }
}

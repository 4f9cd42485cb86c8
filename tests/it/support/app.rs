//! A service, a database and a sandbox for one test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cloudpayments_sandbox::{Sandbox, SandboxConfig, cryptogram};
use kmic_payments::app::{create_api_key, keep_api_key};
use kmic_payments::clock::{Clock, ShiftedClock, SystemIds};
use kmic_payments::config::{Raw, Settings};
use kmic_payments::domain::scope::Scope;
use kmic_payments::startup::{Running, World};
use kmic_payments::store::{Lane, api_keys};
use serde_json::{Value, json};

use super::canaries::{self, ACCOUNT, CARDHOLDER, EMAIL, IP, NAME, PHONE};
use super::database::{Engine, TestDatabase};
use super::form::{Form, form_of};
use super::http::Reply;
use super::postgres::free_port;
use super::program::ENCRYPTION_KEY;

/// No 3-D Secure, approved.
pub const APPROVED: &str = "4000000000003055";
/// No 3-D Secure, ReasonCode 5051.
pub const CARD_NO_FUNDS: &str = "4000056655665556";
/// 3-D Secure, then approved.
pub const CARD_THREE_DS: &str = "4242424242424242";
/// 3-D Secure, then ReasonCode 5051.
pub const CARD_THREE_DS_NO_FUNDS: &str = "4012888888881881";

/// A body being put together.
pub type Body = Value;

/// An amount in tenge.
pub fn money(value: &str) -> Body {
    json!({ "value": value, "currency": "KZT" })
}

/// A payment of 12 500 tenge by card data.
pub fn card(invoice: &str, number: &str) -> Body {
    json!({
        "amount": money("12500.00"), "invoice_id": invoice, "description": "Policy",
        "payer": { "account_id": ACCOUNT, "email": EMAIL, "phone": PHONE, "name": NAME, "ip_address": IP },
        "method": { "type": "card_cryptogram", "cryptogram": cryptogram(number, "3012"), "cardholder_name": CARDHOLDER },
    })
}

/// A payment of 12 500 tenge in the payment window.
pub fn widget(invoice: &str) -> Body {
    json!({
        "amount": money("12500.00"), "invoice_id": invoice, "description": "Policy",
        "payer": { "account_id": ACCOUNT, "email": EMAIL },
    })
}

fn settings(url: &str, database: &TestDatabase, sandbox: &Sandbox) -> Raw {
    Raw::load(None)
        .unwrap()
        .with("server.bind", url.trim_start_matches("http://"))
        .with("server.public_url", url)
        .with("server.rate_per_second", "0")
        .with("server.failed_authentications_per_minute", "0")
        .with("server.admin_bind", "")
        .with("server.workers", "1")
        .with("database.url", database.url.clone())
        .with("cloudpayments.base_url", sandbox.base_url())
        .with("cloudpayments.public_id", sandbox.public_id())
        .with("cloudpayments.api_secret", sandbox.api_secret())
        .with("privacy.encryption_key", ENCRYPTION_KEY)
}

fn checked(raw: Raw) -> Settings {
    raw.check().unwrap_or_else(|faults| panic!("{faults}"))
}

async fn run(settings: &Settings, clock: &Arc<ShiftedClock>) -> Running {
    let world = World { clock: clock.clone(), ids: Arc::new(SystemIds), workers: false };
    Running::start(settings, world).await.unwrap_or_else(|error| panic!("{error:?}"))
}

async fn why_refused(settings: &Settings, clock: &Arc<ShiftedClock>) -> String {
    let world = World { clock: clock.clone(), ids: Arc::new(SystemIds), workers: false };
    match Running::start(settings, world).await {
        Ok(_) => panic!("it starts"),
        Err(error) => format!("{error:?}"),
    }
}

/// One running service with its sandbox.
pub struct TestApp {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// Secret of a key with every scope.
    pub key: String,
    pub sandbox: Sandbox,
    pub clock: Arc<ShiftedClock>,
    /// Does not follow redirects.
    pub http: reqwest::Client,
    pub running: Running,
    /// What it was started with.
    pub settings: Settings,
    pub database: TestDatabase,
}

impl TestApp {
    pub async fn start(engine: Engine) -> TestApp {
        TestApp::start_with(engine, |settings| settings).await
    }

    /// With other settings than usual. Workers do not run by themselves: `app.running.app.settle_step()`.
    pub async fn start_with(engine: Engine, adjust: impl Fn(Raw) -> Raw) -> TestApp {
        TestApp::start_against(engine, TestApp::sandbox_config(), adjust).await
    }

    /// The sandbox that tests usually run against.
    pub fn sandbox_config() -> SandboxConfig {
        SandboxConfig {
            bind: "127.0.0.1:0".to_owned(),
            notification_delay_ms: 0,
            workers: 1,
            ..SandboxConfig::default()
        }
    }

    /// Against another sandbox than usual.
    pub async fn start_against(engine: Engine, config: SandboxConfig, adjust: impl Fn(Raw) -> Raw) -> TestApp {
        canaries::watch();
        let sandbox = Sandbox::start(config).await.unwrap();
        let database = TestDatabase::create(engine);
        let port = free_port().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let settings = checked(adjust(settings(&url, &database, &sandbox)));
        let clock = Arc::new(ShiftedClock::default());
        let running = run(&settings, &clock).await;
        sandbox.set_notify_url(&format!("{url}/v1/notifications/cloudpayments"));
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        let mut app = TestApp { url, key: String::new(), sandbox, clock, http, running, settings, database };
        app.key = app.new_key(&Scope::ALL).await;
        app
    }

    /// Stops the service, does something to its database, and starts it again on the same address.
    pub async fn restart(self, meanwhile: impl FnOnce(&TestDatabase)) -> TestApp {
        self.running.stop().await;
        self.database.come_to_rest().await;
        meanwhile(&self.database);
        let running = run(&self.settings, &self.clock).await;
        TestApp { running, ..self }
    }

    /// Stops the service, lets another process use its database and provider, and starts it again on the same address.
    pub async fn restart_after(self, meanwhile: impl AsyncFnOnce(&TestDatabase, &Sandbox)) -> TestApp {
        self.running.stop().await;
        self.database.come_to_rest().await;
        meanwhile(&self.database, &self.sandbox).await;
        let running = run(&self.settings, &self.clock).await;
        self.sandbox.set_notify_url(&format!("{}/v1/notifications/cloudpayments", self.url));
        TestApp { running, ..self }
    }

    /// The same service once more on the same database, with other settings than usual.
    pub async fn restart_with(self, adjust: impl Fn(Raw) -> Raw) -> TestApp {
        self.running.stop().await;
        let settings = checked(adjust(settings(&self.url, &self.database, &self.sandbox)));
        let running = run(&settings, &self.clock).await;
        TestApp { running, settings, ..self }
    }

    /// With these settings the service does not start: why. It is started with its own again.
    pub async fn refused_restart(self, adjust: impl Fn(Raw) -> Raw) -> (String, TestApp) {
        self.running.stop().await;
        let other = checked(adjust(settings(&self.url, &self.database, &self.sandbox)));
        let why = why_refused(&other, &self.clock).await;
        let running = run(&self.settings, &self.clock).await;
        (why, TestApp { running, ..self })
    }

    /// With its own settings the service does not start until its database is mended by somebody who is told why.
    pub async fn refused_until(self, mend: impl FnOnce(&str, &TestDatabase)) -> TestApp {
        self.running.stop().await;
        let why = why_refused(&self.settings, &self.clock).await;
        mend(&why, &self.database);
        let running = run(&self.settings, &self.clock).await;
        TestApp { running, ..self }
    }

    /// The secret of a new key, told of by an event: for books in which events tell of keys.
    pub async fn new_told_key(&self, scopes: &[Scope]) -> String {
        let new = create_api_key("test", scopes.to_vec(), self.clock.now(), None, &SystemIds);
        keep_api_key(&self.running.store, new.key, &SystemIds).await.unwrap();
        new.secret
    }

    /// The secret of a new key.
    pub async fn new_key(&self, scopes: &[Scope]) -> String {
        let new = create_api_key("test", scopes.to_vec(), self.clock.now(), None, &SystemIds);
        let key = new.key;
        self.running.store.write(Lane::of("keys"), move |tx| api_keys::insert(tx, &key)).await.unwrap();
        new.secret
    }

    /// A key that no other request of this process uses.
    pub fn new_idempotency_key(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Moves the clocks of service and sandbox.
    pub fn advance(&self, seconds: u32) {
        self.clock.advance_seconds(i64::from(seconds));
        self.sandbox.advance_clock(u64::from(seconds));
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::receive(self.request(reqwest::Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Body) -> Reply {
        self.post_as(path, &self.new_idempotency_key(), body).await
    }

    pub async fn post_as(&self, path: &str, idempotency_key: &str, body: Body) -> Reply {
        let request = self.request(reqwest::Method::POST, path).header("Idempotency-Key", idempotency_key);
        Reply::receive(request.header("Content-Type", "application/json").body(body.to_string())).await
    }

    /// A request with the key of all scopes.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).header("Authorization", format!("Bearer {}", self.key))
    }

    pub async fn create(&self, body: Body) -> Reply {
        self.post("/v1/payments", body).await
    }

    pub async fn payment(&self, id: &str) -> Reply {
        self.get(&format!("/v1/payments/{id}")).await.expect(200)
    }

    pub async fn refund(&self, payment_id: &str, value: &str) -> Reply {
        self.post(&format!("/v1/payments/{payment_id}/refunds"), json!({ "amount": money(value) })).await
    }

    /// What a payer does in the payment window; waits until the service has heard of it.
    pub async fn pay_in_widget(&self, payment: &Reply, card: &str) -> Reply {
        let intent = &payment.json["next_action"]["intent"];
        let body = json!({
            "amount": payment.text("/amount/value"), "currency": payment.text("/amount/currency"),
            "invoice_id": payment.text("/invoice_id"), "account_id": payment.text("/payer/account_id"),
            "data": intent["metadata"], "card": card, "schema": intent["paymentSchema"], "skip_three_ds": true,
        });
        let reply = self.at_sandbox("/sandbox/pay", body).await;
        self.sandbox.flush_notifications().await;
        reply
    }

    /// A call of the sandbox's control API.
    pub async fn at_sandbox(&self, path: &str, body: Body) -> Reply {
        let request = self.http.post(format!("{}{path}", self.sandbox.base_url()));
        Reply::receive(request.header("Content-Type", "application/json").body(body.to_string())).await
    }

    /// The payer's browser posts the bank's form: `pass` or `fail`. The answer is the form for the service.
    pub async fn at_bank(&self, payment: &Reply, button: &str) -> Form {
        let action = &payment.json["next_action"];
        let field = |name: &str| action[name].as_str().unwrap().to_owned();
        let form = Form {
            action: field("acs_url"),
            fields: vec![
                ("PaReq".to_owned(), field("pa_req")),
                ("MD".to_owned(), field("md")),
                ("TermUrl".to_owned(), field("term_url")),
            ],
        };
        let page = self.submit(&form).await.expect(200).page();
        form_of(&page, &format!("id=\"{button}\"")).unwrap_or_else(|| panic!("no {button} in:\n{page}"))
    }

    /// Posts a form as a browser would.
    pub async fn submit(&self, form: &Form) -> Reply {
        let request = self.http.post(&form.action).header("Content-Type", "application/x-www-form-urlencoded");
        Reply::receive(request.body(form.encoded())).await
    }

    /// `from>to by cause` for each row of a payment's history.
    pub async fn history(&self, payment_id: &str) -> Vec<String> {
        let reply = self.get(&format!("/v1/payments/{payment_id}/transitions?limit=100")).await.expect(200);
        let rows = reply.json["data"].as_array().unwrap().clone();
        let text = |row: &Value, pointer: &str| row.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
        rows.iter()
            .map(|row| format!("{}>{} by {}", text(row, "/from"), text(row, "/to"), text(row, "/cause/type")))
            .collect()
    }

    /// Ends a test that leaves requests under way.
    pub async fn stop_at_once(self) {
        self.sandbox.stop().await;
        self.running.stop().await;
    }

    /// Ends the test: nothing is left to do, and the books agree with the provider's ledger.
    pub async fn finish(self) {
        self.sandbox.flush_notifications().await;
        super::books::compare(&self).await;
        self.stop().await;
    }

    /// Ends a test whose books cannot agree: money that belongs to no payment of ours. The money laws hold all the same.
    pub async fn stop(self) {
        super::books::obey_the_laws(&self).await;
        canaries::expect_none_seen(&self);
        self.stop_with_broken_books().await;
    }

    /// Ends a test that tampered with the database.
    pub async fn stop_with_broken_books(self) {
        self.running.stop().await;
        self.sandbox.stop().await;
    }
}

//! A running sandbox with a client, and a small receiver of notifications.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use cloudpayments_sandbox::{Sandbox, SandboxConfig, cryptogram};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

pub const THREE_DS: &str = "4242424242424242";
pub const THREE_DS_NO_FUNDS: &str = "4012888888881881";
pub const PLAIN: &str = "4000000000003055";
pub const TOKEN_NO_FUNDS: &str = "4111111111111111";
pub const NO_FUNDS: &str = "4000056655665556";

pub struct Api {
    pub sandbox: Sandbox,
    pub client: reqwest::Client,
}

impl Api {
    pub async fn start() -> Api {
        Api::with(SandboxConfig::default()).await
    }

    pub async fn with(config: SandboxConfig) -> Api {
        let config = SandboxConfig { bind: "127.0.0.1:0".into(), ..config };
        let sandbox = Sandbox::start(config).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Api { sandbox, client }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.base_url())
    }

    pub fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(self.url(path)).basic_auth(self.sandbox.public_id(), Some(self.sandbox.api_secret()))
    }

    /// A request with a JSON body; the answer must be HTTP 200 with JSON.
    pub async fn call(&self, path: &str, body: Value) -> Value {
        let response =
            self.request(path).header("Content-Type", "application/json").body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// A request to the control API.
    pub async fn control(&self, path: &str, body: Value) -> Value {
        let response = self.client.post(self.url(path)).body(body.to_string()).send().await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    pub async fn get(&self, path: &str) -> String {
        self.client.get(self.url(path)).send().await.unwrap().text().await.unwrap()
    }

    pub async fn get_json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await).unwrap()
    }

    /// Charges a card; returns the answer.
    pub async fn charge(&self, card: &str, invoice: &str) -> Value {
        self.call("/payments/cards/charge", charge_body(card, invoice)).await
    }

    /// Holds money on a card without 3-D Secure; returns the transaction.
    pub async fn hold(&self, invoice: &str) -> i64 {
        id(&self.call("/payments/cards/auth", charge_body(PLAIN, invoice)).await)
    }
}

pub fn charge_body(card: &str, invoice: &str) -> Value {
    json!({
        "Amount": 25000, "Currency": "KZT", "IpAddress": "203.0.113.7", "CardCryptogramPacket": cryptogram(card, "3012"),
        "Name": "TEST CARDHOLDER", "InvoiceId": invoice, "Description": format!("Заказ {invoice}"), "AccountId": "user-42",
        "Email": "buyer@example.test",
    })
}

pub fn id(answer: &Value) -> i64 {
    answer["Model"]["TransactionId"].as_i64().unwrap()
}

pub fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Asserts the same keys all the way down, and the same kinds of values where both have one.
pub fn assert_shape(actual: &Value, expected: &Value, at: &str) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(actual), keys(expected), "keys at {at}");
            for (key, value) in expected {
                assert_shape(&actual[key], value, &format!("{at}.{key}"));
            }
        }
        (Value::Array(actual), Value::Array(expected)) => {
            for (index, item) in actual.iter().enumerate() {
                assert_shape(item, &expected[0], &format!("{at}[{index}]"));
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        _ => assert_eq!(
            std::mem::discriminant(actual),
            std::mem::discriminant(expected),
            "{at}: {actual} and {expected}"
        ),
    }
}

/// The keys of the first object after `start` in the order they are written.
pub fn key_order(text: &str, start: &str) -> Vec<String> {
    let rest = text.split_once(start).unwrap().1;
    let parts: Vec<&str> = rest.split('"').collect();
    parts.windows(2).filter(|pair| pair[1].starts_with(':')).map(|pair| pair[0].to_owned()).collect()
}

/// A notification as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub kind: String,
    pub method: String,
    pub body: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
}

impl Arrived {
    pub fn field(&self, name: &str) -> Option<String> {
        let fields = cloudpayments_sandbox::wire::parse_form(&self.body);
        fields.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// What to answer: a queue per type, then `{"code":0}`.
type Replies = Arc<Mutex<BTreeMap<String, Vec<(u16, String)>>>>;

/// A merchant's service that takes notifications.
pub struct Receiver {
    pub url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    replies: Replies,
}

impl Receiver {
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let replies = Replies::default();
        let state = web::Data::new((Arc::clone(&arrived), Arc::clone(&replies)));
        let app = move || App::new().app_data(state.clone()).route("/hooks/{kind}", web::to(take));
        std::thread::spawn(move || {
            let server = || HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
            rt::System::new().block_on(async move { server().await })
        });
        Receiver { url, arrived, replies }
    }

    pub fn reply(&self, kind: &str, status: u16, body: &str) {
        self.replies.lock().unwrap().entry(kind.into()).or_default().push((status, body.into()));
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.arrived().into_iter().map(|arrived| arrived.kind).collect()
    }
}

type Shared = web::Data<(Arc<Mutex<Vec<Arrived>>>, Replies)>;

async fn take(request: HttpRequest, kind: web::Path<String>, body: String, state: Shared) -> HttpResponse {
    let headers = request.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
    let (method, query) = (request.method().to_string(), request.query_string().to_owned());
    state.0.lock().unwrap().push(Arrived { kind: kind.clone(), method, body, query, headers });
    let mut replies = state.1.lock().unwrap();
    let queue = replies.entry(kind.into_inner()).or_default();
    let (status, body) = if queue.is_empty() { (200, r#"{"code":0}"#.to_owned()) } else { queue.remove(0) };
    HttpResponse::build(status.try_into().unwrap()).body(body)
}

/// A sandbox that notifies a receiver.
pub async fn connected() -> (Api, Receiver) {
    connected_with(SandboxConfig::default()).await
}

pub async fn connected_with(config: SandboxConfig) -> (Api, Receiver) {
    let (api, receiver) = (Api::with(config).await, Receiver::start());
    api.sandbox.set_notify_url(&receiver.url);
    (api, receiver)
}

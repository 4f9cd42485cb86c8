//! The site's backend: sends requests as the README tells it to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::journal::{Journal, Order};
use super::pause;

/// A request whose first sending may still be running is put aside after so many tries and finished at the end: a
/// process that was killed on PostgreSQL holds its key for as long as a call could take.
const PATIENCE: u32 = 4;
/// No request is repeated more often than this while the load runs.
const TRIES: u32 = 200;

/// All sites share one, as they share a key.
pub struct Site {
    http: reqwest::Client,
    url: String,
    key: String,
    journal: Mutex<Journal>,
    closed: AtomicBool,
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub json: Value,
    bytes: Vec<u8>,
    replayed: bool,
}

impl Reply {
    pub fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    async fn receive(request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let replayed = response.headers().contains_key("idempotent-replayed");
        let bytes = response.bytes().await?.to_vec();
        Ok(Reply { status, json: serde_json::from_slice(&bytes).unwrap_or_default(), bytes, replayed })
    }

    /// Whether the outcome is told for good.
    fn is_final(&self) -> bool {
        self.text("/outcome/certainty") == "proven" && !matches!(self.text("/status"), "processing" | "pending")
    }
}

impl Site {
    pub fn new(url: String, key: String) -> Result<Site, String> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Site { http, url, key, journal: Mutex::default(), closed: AtomicBool::new(false) })
    }

    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sites begin nothing new.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Sends a request under its key until it is answered; `None` when it was put aside.
    pub async fn send(&self, path: &str, key: String, body: &Value) -> Option<Reply> {
        let order = Order { key, path: path.to_owned(), body: body.to_string() };
        let mut running = 0;
        for tried in 0..TRIES {
            match self.try_once(&order).await {
                Some(reply) if reply.text("/code") == "idempotency_in_progress" => {
                    running += 1;
                    if running >= PATIENCE {
                        break;
                    }
                    pause(300).await;
                }
                Some(reply) => return Some(reply),
                None => pause(50 * u64::from(tried + 1).min(10)).await,
            }
            self.journal().repeats += 1;
        }
        self.journal().unfinished.push(order);
        None
    }

    /// Sends it once; `None` after a failure that asks for a repeat.
    pub async fn try_once(&self, order: &Order) -> Option<Reply> {
        let request = self.http.post(format!("{}{}", self.url, order.path)).bearer_auth(&self.key);
        let request = request.header("Content-Type", "application/json").header("Idempotency-Key", &order.key);
        let reply = self.receive(request.body(order.body.clone())).await?;
        if (200..300).contains(&reply.status) {
            let mut journal = self.journal();
            journal.replayed += u64::from(reply.replayed);
            let id = reply.text("/id").to_owned();
            journal.made.entry(order.key.clone()).or_default().insert(id);
            // `sync` only asks: it takes no key and answers anew each time.
            if reply.is_final() && !reply.replayed && !order.path.ends_with("/sync") {
                journal.answered.push((order.clone(), reply.status, reply.bytes.clone()));
            }
        }
        Some(reply)
    }

    /// Repeats a request that was answered for good; what is wrong with the answer, if anything.
    pub async fn repeat(&self, order: &Order, status: u16, bytes: &[u8]) -> Option<String> {
        for _ in 0..TRIES {
            let Some(reply) = self.try_once(order).await else {
                pause(50).await;
                continue;
            };
            let same = reply.status == status && reply.bytes == bytes && reply.replayed;
            return (!same).then(|| {
                let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(120).collect::<String>();
                let (first, now) = (shown(bytes), shown(&reply.bytes));
                format!("key {}: first {status} {first}, then {} {now}", order.key, reply.status)
            });
        }
        Some(format!("key {}: no answer to the repeat", order.key))
    }

    /// Asks once; `None` after a failure.
    pub async fn get(&self, path: &str) -> Option<Reply> {
        self.receive(self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key)).await
    }

    /// A form posted by a payer's browser, to us or to the bank; `None` after a failure.
    pub async fn browse(&self, form: &super::form::Form) -> Option<String> {
        let request = self.http.post(&form.action).header("Content-Type", "application/x-www-form-urlencoded");
        let reply = Reply::receive(request.body(form.encoded())).await.ok()?;
        String::from_utf8(reply.bytes).ok()
    }

    /// The provider's control API; nobody kills the provider.
    pub async fn at_provider(&self, url: &str, body: &Value) -> Option<Reply> {
        let request = self.http.post(url).header("Content-Type", "application/json");
        Reply::receive(request.body(body.to_string())).await.ok()
    }

    async fn receive(&self, request: reqwest::RequestBuilder) -> Option<Reply> {
        self.journal().requests += 1;
        let reply = Reply::receive(request).await.ok()?;
        let mut journal = self.journal();
        if reply.status == 500 && reply.json["code"] != "outcome_unknown" {
            let text = String::from_utf8_lossy(&reply.bytes).into_owned();
            journal.surprises.push(format!("an internal error: {text}"));
        }
        if reply.status == 429 || reply.status >= 500 {
            return None;
        }
        journal.learn(&reply.json);
        Some(reply)
    }
}

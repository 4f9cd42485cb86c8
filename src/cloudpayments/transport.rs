//! Sends one request and reads its answer. The only place that talks HTTP.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::metrics::Metrics;
use crate::vault;

use super::client::ClientSettings;
use super::convert::shown_text;
use super::limiter::{Class, Limiter};
use super::outcome::{NotSent, Outcome};
use super::request::Body;

/// Largest answer about one transaction.
const MAX_ANSWER: usize = 1024 * 1024;
/// Connections that were not used for so long are closed by us, before the other side does it under a request.
const IDLE_CONNECTION: Duration = Duration::from_secs(20);

/// The way to the provider and back: HTTP, or in the simulation a provider in the same process.
pub trait Wire: Send + Sync {
    /// One request and its whole answer.
    fn exchange<'a>(&'a self, request: Request<'a>) -> Exchange<'a>;
}

/// What [`Wire::exchange`] gives back.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Raw, Failure>> + Send + 'a>>;

/// One request as it goes over the wire. Has no `Debug`: the body may hold card data.
pub struct Request<'a> {
    /// Path of the method.
    pub path: &'static str,
    /// JSON.
    pub body: Vec<u8>,
    /// `X-Request-ID`.
    pub request_id: Option<&'a str>,
    /// Largest answer that is read, bytes.
    pub max_answer: usize,
}

/// Connections and limits.
#[derive(Clone)]
pub struct Transport {
    wire: Arc<dyn Wire>,
    limiter: Limiter,
    metrics: Arc<Metrics>,
}

/// One call of a method. Has no `Debug`: the body may hold card data.
pub struct Call<'a> {
    operation: &'static str,
    path: &'static str,
    body: Body,
    request_id: Option<&'a str>,
    class: Class,
    max_answer: usize,
}

/// HTTP status and body.
pub struct Raw {
    /// The HTTP status.
    pub status: u16,
    /// Empty unless the status is 200.
    pub body: Vec<u8>,
}

impl<'a> Call<'a> {
    /// A call that moves money and somebody waits for; `request_id` goes as `X-Request-ID` (contract section 2.3).
    pub fn of_payer(operation: &'static str, path: &'static str, body: Body, request_id: &'a str) -> Call<'a> {
        Call { operation, path, body, request_id: Some(request_id), class: Class::Payer, max_answer: MAX_ANSWER }
    }

    /// A call that only asks.
    pub fn of_background(operation: &'static str, path: &'static str, body: Body) -> Call<'a> {
        Call { operation, path, body, request_id: None, class: Class::Background, max_answer: MAX_ANSWER }
    }

    /// The same with another limit for the answer.
    pub fn with_max_answer(self, max_answer: usize) -> Call<'a> {
        Call { max_answer, ..self }
    }
}

impl Transport {
    /// See [`super::Client::new`].
    pub fn new(settings: &ClientSettings) -> Result<Transport, String> {
        let url = reqwest::Url::parse(&settings.base_url)
            .map_err(|error| format!("the address of CloudPayments: {error}"))?;
        let is_plain = matches!(url.scheme(), "https" | "http")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain {
            return Err("the address of CloudPayments must be like https://api.tiptoppay.kz".to_owned());
        }
        let http = reqwest::Client::builder()
            .default_headers(default_headers(settings)?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .build()
            .map_err(|error| format!("the HTTP client: {}", causes(&error)))?;
        let base_url = url.as_str().trim_end_matches('/').to_owned();
        Ok(Transport::over(Arc::new(Http { client: http, base_url }), settings))
    }

    /// Over another wire; see [`super::Client::over`].
    pub fn over(wire: Arc<dyn Wire>, settings: &ClientSettings) -> Transport {
        let limiter =
            Limiter::new(settings.max_concurrent_requests, settings.max_queued_requests, settings.queue_timeout);
        Transport { wire, limiter, metrics: Arc::clone(&settings.metrics) }
    }

    /// Waits for a turn, sends, reads, and writes the one line of the log.
    pub async fn run<T>(&self, call: Call<'_>, parse: impl FnOnce(&Raw) -> Outcome<T>) -> Outcome<T> {
        let (operation, class, request_id) =
            (call.operation, call.class, call.request_id.unwrap_or_default().to_owned());
        let started = Instant::now();
        let (status, outcome) = match self.limiter.enter(class).await {
            None => (0, Outcome::not_sent(NotSent::Overloaded)),
            Some(_permit) => match self.exchange(call).await {
                Ok(raw) => (raw.status, parse(&raw)),
                Err(failure) => (0, failure.into_outcome()),
            },
        };
        self.metrics.provider_call(operation, outcome.as_str(), started.elapsed());
        log(operation, class, &request_id, status, started.elapsed(), &outcome);
        outcome
    }

    /// One request and its whole answer.
    async fn exchange(&self, call: Call<'_>) -> Result<Raw, Failure> {
        let body = call.body.map_err(|_| Failure::NotSent("the request cannot be written as JSON".to_owned()))?;
        let request = Request { path: call.path, body, request_id: call.request_id, max_answer: call.max_answer };
        self.wire.exchange(request).await
    }
}

/// The real wire.
struct Http {
    client: reqwest::Client,
    base_url: String,
}

impl Wire for Http {
    fn exchange<'a>(&'a self, request: Request<'a>) -> Exchange<'a> {
        Box::pin(self.send(request))
    }
}

impl Http {
    async fn send(&self, request: Request<'_>) -> Result<Raw, Failure> {
        let mut post = self.client.post(format!("{}{}", self.base_url, request.path)).body(request.body);
        if let Some(request_id) = request.request_id {
            post = post.header(HeaderName::from_static("x-request-id"), request_id);
        }
        let mut response = post.send().await.map_err(|error| Failure::of_sending(&error))?;
        let status = response.status().as_u16();
        // With any other status the body is not the provider's (contract section 2.2); nobody waits for it.
        let body = if status == 200 { read(&mut response, request.max_answer).await? } else { Vec::new() };
        Ok(Raw { status, body })
    }
}

/// Basic authentication, which never shows in logs, and the content type.
fn default_headers(settings: &ClientSettings) -> Result<HeaderMap, String> {
    let credentials = format!("{}:{}", settings.public_id, settings.api_secret.expose_secret());
    let mut authorization = HeaderValue::try_from(format!("Basic {}", vault::base64(credentials.as_bytes())))
        .map_err(|_| "the credentials for CloudPayments cannot be sent".to_owned())?;
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}

/// Reads piece by piece and stops at the limit.
async fn read(response: &mut reqwest::Response, most: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() > most => {
                return Err(Failure::Unknown(format!("the answer is larger than {most} bytes")));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => return Err(Failure::Unknown(format!("the answer broke off: {}", causes(&error)))),
        }
    }
}

/// No answer came.
pub enum Failure {
    /// Surely nothing reached the provider.
    NotSent(String),
    /// It may have.
    Unknown(String),
}

impl Failure {
    /// Only a connection that never came about, and a request that could not be built, are surely not sent. A connection
    /// that breaks under a request is not: the provider may have read it whole.
    fn of_sending(error: &reqwest::Error) -> Failure {
        if error.is_builder() || error.is_connect() {
            return Failure::NotSent(causes(error));
        }
        Failure::Unknown(if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            format!("no answer: {}", causes(error))
        })
    }

    fn into_outcome<T>(self) -> Outcome<T> {
        match self {
            Failure::NotSent(reason) => Outcome::not_sent(NotSent::Unreachable(reason)),
            Failure::Unknown(reason) => Outcome::unknown(reason),
        }
    }
}

/// The causes of an error from the outside in, without the address.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    shown_text(&texts.join(": ")).unwrap_or_else(|| "no reason given".to_owned())
}

/// The one line of the log. No bodies, no secrets, nothing that the provider or a payer wrote.
fn log<T>(operation: &str, class: Class, request_id: &str, status: u16, duration: Duration, outcome: &Outcome<T>) {
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (result, reason) = (outcome.as_str(), outcome.reason());
    match class {
        Class::Payer => tracing::info!(
            provider.operation = operation,
            provider.request_id = request_id,
            provider.status = status,
            provider.outcome = result,
            provider.reason = reason,
            duration_ms,
            "called CloudPayments"
        ),
        Class::Background => tracing::debug!(
            provider.operation = operation,
            provider.status = status,
            provider.outcome = result,
            provider.reason = reason,
            duration_ms,
            "called CloudPayments"
        ),
    }
}

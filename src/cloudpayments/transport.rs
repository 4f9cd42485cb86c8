//! Sends one request and reads its answer. The only place that talks HTTP.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::clock::{Clock, Timestamp};
use crate::metrics::Metrics;
use crate::vault;

use super::answer;
use super::breaker::{Breaker, Sign, Trouble};
use super::client::ClientSettings;
use super::convert::shown_text;
use super::limiter::{Class, Limiter, LimiterSettings, Permit};
use super::outcome::{NotSent, Outcome};
use super::request::{Body, Written};

/// Largest answer about one transaction.
const MAX_ANSWER: usize = 1024 * 1024;
/// Connections that were not used for so long are closed by us, before the other side does it under a request.
const IDLE_CONNECTION: Duration = Duration::from_secs(20);
/// A provider that is back answers `/test` within this time.
const BACK_WITHIN: Duration = Duration::from_secs(5);

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
    pub body: Written,
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
    breaker: Arc<Breaker>,
    request_timeout: Duration,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// Under which name a call that moves money goes out, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    /// `X-Request-ID`.
    pub request_id: &'a str,
    /// Later it must not go out: a process that stood still does not know what others did about the call meanwhile.
    pub not_after: Timestamp,
}

/// One call of a method. Has no `Debug`: the body may hold card data.
pub struct Call<'a> {
    operation: &'static str,
    path: &'static str,
    body: Body,
    sending: Option<Sending<'a>>,
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
    /// A call that moves money and somebody waits for (contract section 2.3).
    pub fn of_payer(operation: &'static str, path: &'static str, body: Body, sending: Sending<'a>) -> Call<'a> {
        Call { operation, path, body, sending: Some(sending), class: Class::Payer, max_answer: MAX_ANSWER }
    }

    /// A call that only asks.
    pub fn of_background(operation: &'static str, path: &'static str, body: Body) -> Call<'a> {
        Call { operation, path, body, sending: None, class: Class::Background, max_answer: MAX_ANSWER }
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
        Transport {
            wire,
            limiter: limiter(settings),
            breaker: Arc::new(Breaker::new(
                settings.breaker,
                Arc::clone(&settings.clock),
                Arc::clone(&settings.metrics),
            )),
            request_timeout: settings.request_timeout,
            clock: Arc::clone(&settings.clock),
            metrics: Arc::clone(&settings.metrics),
        }
    }

    /// Waits for a turn, sends, reads, and writes the one line of the log.
    pub async fn run<T>(&self, call: Call<'_>, parse: impl FnOnce(&Raw) -> Outcome<T>) -> Outcome<T> {
        let (operation, class) = (call.operation, call.class);
        let request_id = call.sending.map(|sending| sending.request_id).unwrap_or_default().to_owned();
        let started = Instant::now();
        let (status, outcome) = match self.enter(class).await {
            Err(reason) => (0, Outcome::not_sent(reason)),
            Ok(_) if self.is_too_late(&call) => (0, Outcome::not_sent(NotSent::TooLate)),
            Ok(permit) => self.send(call, permit, parse).await,
        };
        self.breaker.observe(Sign::of(status, &outcome));
        self.metrics.provider_call(operation, outcome.as_str(), started.elapsed());
        if let Outcome::NotSent { reason } = &outcome {
            self.metrics.provider_not_sent(reason.as_str());
        }
        log(operation, class, &request_id, status, started.elapsed(), &outcome);
        outcome
    }

    /// Asked as the last thing before a call goes out: it may have waited, and the machine may have slept.
    fn is_too_late(&self, call: &Call<'_>) -> bool {
        call.sending.is_some_and(|sending| self.clock.now() > sending.not_after)
    }

    /// See [`super::Client::trouble`].
    pub fn trouble(&self) -> Option<Trouble> {
        self.breaker.trouble()
    }

    /// See [`super::Client::ask_if_back`].
    pub async fn ask_if_back(&self) {
        let Some(_question) = self.breaker.question() else { return };
        let Some(permit) = self.limiter.enter_for_question() else { return };
        let call = Call::of_background("test", "/test", super::request::nothing());
        let asked = self.send(call, permit, |raw| answer::parse_done(raw.status, &raw.body));
        let (status, outcome) = match tokio::time::timeout(BACK_WITHIN, asked).await {
            Ok(answered) => answered,
            Err(_) => (0, Outcome::unknown("no answer in time")),
        };
        tracing::info!(
            provider.status = status,
            provider.outcome = outcome.as_str(),
            "asked whether CloudPayments is back"
        );
        let sign = Sign::of(status, &outcome);
        self.breaker.observe_answer(sign);
        if sign == Sign::Alive {
            self.limiter.forget_abandoned();
        }
    }

    /// The right to send one request. The breaker is asked again at the end: a provider may die while callers wait.
    async fn enter(&self, class: Class) -> Result<Permit, NotSent> {
        self.admit()?;
        let permit = self.limiter.enter(class).await.ok_or(NotSent::Overloaded)?;
        self.admit()?;
        Ok(permit)
    }

    /// A caller who is refused sees to it that somebody asks whether the provider is back, and does not wait for that.
    pub fn admit(&self) -> Result<(), NotSent> {
        self.breaker.admit().inspect_err(|_| {
            if self.breaker.is_question_due()
                && let Ok(runtime) = tokio::runtime::Handle::try_current()
            {
                let transport = self.clone();
                runtime.spawn(async move { transport.ask_if_back().await });
            }
        })
    }

    /// Counts a call that was not even begun because of what [`Transport::admit`] said.
    pub fn count_not_sent(&self, reason: &NotSent) {
        self.metrics.provider_not_sent(reason.as_str());
    }

    /// Sends and keeps the permit for as long as the provider may count the request.
    async fn send<T>(
        &self,
        call: Call<'_>,
        mut permit: Permit,
        parse: impl FnOnce(&Raw) -> Outcome<T>,
    ) -> (u16, Outcome<T>) {
        let sent_at = tokio::time::Instant::now();
        permit.sent();
        match self.exchange(call).await {
            Ok(raw) if raw.status == 429 => {
                permit.rest();
                (raw.status, parse(&raw))
            }
            Ok(raw) => {
                // Behind a gateway that gave up, the provider may go on.
                if raw.status != 504 {
                    permit.over();
                }
                (raw.status, parse(&raw))
            }
            Err(failure) => {
                if sent_at.elapsed() < self.request_timeout || matches!(failure, Failure::NotSent(_)) {
                    permit.over();
                }
                (0, failure.into_outcome())
            }
        }
    }

    /// One request and its whole answer.
    async fn exchange(&self, call: Call<'_>) -> Result<Raw, Failure> {
        let body = call.body.map_err(|_| Failure::NotSent("the request cannot be written as JSON".to_owned()))?;
        let request_id = call.sending.map(|sending| sending.request_id);
        let request = Request { path: call.path, body, request_id, max_answer: call.max_answer };
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
        let mut post =
            self.client.post(format!("{}{}", self.base_url, request.path)).body(Bytes::from_owner(request.body));
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

fn limiter(settings: &ClientSettings) -> Limiter {
    let bounds = LimiterSettings {
        max_requests: settings.max_concurrent_requests,
        max_waiting: settings.max_queued_requests,
        patience: settings.queue_timeout,
        abandoned_after: settings.abandoned_after,
        backoff: settings.backoff,
    };
    Limiter::new(bounds, Arc::clone(&settings.clock))
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

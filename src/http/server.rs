//! The server: its state, its limits, its start.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_web::dev::Server;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{Compat, Condition, DefaultHeaders, from_fn};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App as ActixApp, HttpResponse, HttpServer};

use super::limits::Limits;
use super::middleware::observe;
use super::networks::Networks;
use super::presenter::Presenter;
use super::{answer_headers, routes};
use crate::app::App;
use crate::clock::{Clock, IdSource};
use crate::metrics::Metrics;
use crate::vault::Vault;

/// Limits of the HTTP interface.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Address and port to listen on; port 0 takes a free one.
    pub bind: String,
    /// Threads that serve requests.
    pub workers: usize,
    /// Largest JSON body, bytes.
    pub body_limit_bytes: usize,
    /// Requests per second that one API key may make; 0 switches the limit off.
    pub rate_per_second: u32,
    /// Requests that one API key may make at once.
    pub rate_burst: u32,
    /// Requests that one API key may have under way; 0 switches the limit off.
    pub max_concurrent_requests: usize,
    /// Requests without a valid API key that one address may make in a minute; 0 switches the limit off.
    pub failed_authentications_per_minute: u32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// Where the provider's notifications may come from; from anywhere when empty.
    pub notification_networks: Networks,
    /// Sites whose pages may call the API from a browser.
    pub cors_origins: Vec<String>,
    /// How long browsers insist on TLS, seconds; 0 says nothing about it.
    pub hsts_max_age_s: u64,
    /// How long a stop waits for requests under way, seconds.
    pub shutdown_timeout_s: u64,
    /// How long the head of a request may take to arrive, seconds.
    pub head_timeout_s: u64,
    /// How long the body of a request may take to arrive, seconds.
    pub body_timeout_s: u64,
    /// How long an idle connection stays open, seconds.
    pub keep_alive_s: u64,
    /// Connections per worker; more wait to be accepted.
    pub max_connections: usize,
}

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        HttpSettings {
            bind: "127.0.0.1:8080".to_owned(),
            workers: 2,
            body_limit_bytes: 65_536,
            rate_per_second: 0,
            rate_burst: 0,
            max_concurrent_requests: 0,
            failed_authentications_per_minute: 0,
            trusted_proxies: Networks::default(),
            notification_networks: Networks::default(),
            cors_origins: Vec::new(),
            hsts_max_age_s: 0,
            shutdown_timeout_s: 30,
            head_timeout_s: 5,
            body_timeout_s: 30,
            keep_alive_s: 75,
            max_connections: 25_000,
        }
    }
}

/// What the interface is built from.
#[derive(Clone)]
pub struct Parts {
    /// The use cases.
    pub app: Arc<App>,
    /// Turns payments and refunds into JSON; the same one that the use cases have.
    pub presenter: Arc<Presenter>,
    /// Signs and checks links.
    pub vault: Arc<Vault>,
    /// For ids of requests.
    pub clock: Arc<dyn Clock>,
    /// For ids of requests.
    pub ids: Arc<dyn IdSource>,
    /// Figures for operators.
    pub metrics: Arc<Metrics>,
}

/// The state that all handlers see.
pub(super) struct Shared {
    pub app: Arc<App>,
    pub presenter: Arc<Presenter>,
    pub vault: Arc<Vault>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
    pub body_limit_bytes: usize,
    pub body_timeout: Duration,
    pub trusted_proxies: Networks,
    pub notification_networks: Networks,
    /// `Strict-Transport-Security`, where it is switched on.
    pub strict_transport: Option<HeaderValue>,
    /// The OpenAPI document, written once.
    pub document: Bytes,
}

impl Shared {
    fn new(parts: Parts, settings: &HttpSettings) -> Shared {
        Shared {
            app: parts.app,
            presenter: parts.presenter,
            vault: parts.vault,
            clock: parts.clock,
            ids: parts.ids,
            metrics: parts.metrics,
            limits: Limits::new(settings),
            trusted_proxies: settings.trusted_proxies.clone(),
            notification_networks: settings.notification_networks.clone(),
            strict_transport: answer_headers::strict_transport(settings.hsts_max_age_s),
            body_limit_bytes: settings.body_limit_bytes,
            body_timeout: Duration::from_secs(settings.body_timeout_s),
            document: Bytes::from(super::openapi::document()),
        }
    }
}

/// Binds the address and starts to accept. The returned server runs while it is awaited; its
/// [`handle`](Server::handle) stops it gracefully. Signals are left to the caller.
///
/// # Errors
/// When the address cannot be bound.
pub fn start(parts: Parts, settings: &HttpSettings) -> std::io::Result<(SocketAddr, Server)> {
    let shared = Data::new(Shared::new(parts, settings));
    let origins = settings.cors_origins.clone();
    let server = HttpServer::new(move || {
        ActixApp::new()
            .app_data(shared.clone())
            .configure(routes::configure)
            .wrap(Compat::new(Condition::new(!origins.is_empty(), cors(&origins))))
            .wrap(from_fn(observe))
    })
    .workers(settings.workers.max(1))
    .max_connections(settings.max_connections.max(1))
    .client_request_timeout(Duration::from_secs(settings.head_timeout_s))
    .keep_alive(Duration::from_secs(settings.keep_alive_s))
    .shutdown_timeout(settings.shutdown_timeout_s)
    .disable_signals()
    .bind(settings.bind.as_str())?;
    let address =
        server.addrs().first().copied().ok_or_else(|| std::io::Error::other("the server listens on no address"))?;
    Ok((address, server.run()))
}

/// Lets pages of these sites call the API.
fn cors(origins: &[String]) -> Cors {
    origins
        .iter()
        .fold(Cors::default(), |cors, origin| cors.allowed_origin(origin))
        .allowed_methods(["GET", "HEAD", "POST", "DELETE"])
        .allowed_headers(["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"])
        .expose_headers(["Deprecation", "Idempotent-Replayed", "Location", "Retry-After", "Sunset", "X-Request-Id"])
        .max_age(600)
}

/// Serves `/metrics` on an address of its own, never on the public one. The returned server runs while it is awaited.
///
/// # Errors
/// When the address cannot be bound.
pub fn start_admin(metrics: &Arc<Metrics>, bind: &str) -> std::io::Result<(SocketAddr, Server)> {
    let metrics = Data::from(Arc::clone(metrics));
    let render = |metrics: Data<Metrics>| async move {
        HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(metrics.render())
    };
    let headers = || {
        let nosniff = DefaultHeaders::new().add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        nosniff.add((header::CACHE_CONTROL, "no-store"))
    };
    let server = HttpServer::new(move || {
        ActixApp::new().app_data(metrics.clone()).route("/metrics", web::get().to(render)).wrap(headers())
    })
    .workers(1)
    .disable_signals()
    .bind(bind)?;
    let address = server.addrs().first().copied().ok_or_else(|| std::io::Error::other("no address"))?;
    Ok((address, server.run()))
}

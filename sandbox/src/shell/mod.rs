//! The shell around the engine: sockets, the clock, locks and outgoing requests.
//!
//! Limits: plain HTTP only; the control API and the pages have no authorization.

mod api;
mod connection;
mod control;
mod html;
mod notifier;
mod pages;
mod requests;
mod widget;

use crate::config::SandboxConfig;
use crate::engine::{ApiAnswer, ApiRequest, Engine, Progress};
use crate::time::Clock;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, rt, web};
use requests::{KeyLocks, RequestLog};
use std::net::TcpListener;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The longest request body.
const BODY_LIMIT: usize = 1 << 20;

/// Everything the handlers share.
pub(crate) struct Shell {
    pub(crate) config: SandboxConfig,
    pub(crate) base_url: String,
    pub(crate) clock: Clock,
    engine: Mutex<Engine>,
    /// Wakes the notifier.
    wake: Notify,
    client: reqwest::Client,
    running: AtomicUsize,
    keys: KeyLocks,
    log: Mutex<RequestLog>,
}

impl Shell {
    pub(crate) fn new(config: SandboxConfig, base_url: String) -> std::io::Result<Shell> {
        let timeout = Duration::from_millis(config.notification_timeout_ms.into());
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Shorter than servers keep idle connections, so a Check never meets one that is closing.
            .pool_idle_timeout(Duration::from_secs(2))
            .build()
            .map_err(std::io::Error::other)?;
        let seed = getrandom::u64().map_err(std::io::Error::other)?;
        Ok(Shell {
            engine: Mutex::new(Engine::new(config.clone(), base_url.clone(), seed)),
            config,
            base_url,
            clock: Clock::default(),
            wake: Notify::new(),
            client,
            running: AtomicUsize::new(0),
            keys: KeyLocks::default(),
            log: Mutex::new(RequestLog::default()),
        })
    }

    /// The engine. A panic elsewhere must not stop the sandbox, so poison is ignored.
    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, RequestLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) fn advance_clock(&self, seconds: u64) {
        self.clock.advance(seconds);
        self.wake.notify_one();
    }

    /// Carries a request through, one at a time per `X-Request-ID`: repeats wait and are replayed.
    async fn process(&self, request: &ApiRequest) -> ApiAnswer {
        let _turn = match &request.request_id {
            Some(id) => Some(self.keys.lock(&format!("{} {id}", request.route.path())).await),
            None => None,
        };
        let progress = self.engine().begin(request, self.now());
        self.finish(progress).await
    }

    /// Delivers the Check when there is one, and what must be delivered before the answer.
    async fn finish(&self, progress: Progress) -> ApiAnswer {
        let answer = match progress {
            Progress::Answer(answer) => answer,
            Progress::Check { notification, pending } => {
                let reply = self.send(&notification).await;
                let now = self.now();
                let mut engine = self.engine();
                engine.checked(&notification, &reply, now);
                engine.resume(pending, &reply, now)
            }
        };
        if let Some(id) = answer.transaction_id {
            self.deliver_before_answer(id).await;
        }
        self.wake.notify_one();
        answer
    }

    /// Waits until nothing that is due is undelivered; gives up after ten seconds.
    pub(crate) async fn flush(&self) -> bool {
        for _ in 0..2000_u32 {
            let horizon = self.now().saturating_add(self.config.notification_delay_ms.into());
            if !self.engine().has_due(horizon) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

/// Runs the server until it is stopped; tells its handle once it listens.
pub(crate) async fn serve(
    shell: Arc<Shell>,
    listener: TcpListener,
    ready: oneshot::Sender<std::io::Result<ServerHandle>>,
) {
    let data = web::Data::from(Arc::clone(&shell));
    let app = move || {
        App::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(BODY_LIMIT))
            .configure(pages::routes)
            .configure(control::routes)
            .default_service(web::to(api::handle))
    };
    let server = HttpServer::new(app)
        .workers(shell.config.workers.max(1))
        .on_connect(connection::remember)
        .disable_signals()
        .keep_alive(Duration::from_secs(75))
        .shutdown_timeout(1)
        .listen(listener);
    let server = match server {
        Ok(server) => server.run(),
        Err(error) => return drop(ready.send(Err(error))),
    };
    rt::spawn(notifier::run(shell));
    if ready.send(Ok(server.handle())).is_err() {
        return;
    }
    if let Err(error) = server.await {
        tracing::error!(%error, "the sandbox server failed");
    }
}

//! Builds the service from settings, the same way for production, `dev`, `demo` and tests.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::http::ServerHandle;
use tokio::task::JoinHandle;

use crate::app::{App, AppSettings, Parts, refuse_foreign_keys};
use crate::clock::{Clock, IdSource, SystemClock, SystemIds, Timestamp};
use crate::cloudpayments::{Client, ClientSettings, Signatures};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::http::{self, HttpSettings, Presenter, PresenterSettings};
use crate::metrics::Metrics;
use crate::store::{Engine, Lane, Store, StoreSettings, idempotency, migrate, moved, operations, reconciliations};
use crate::vault::Vault;
use crate::worker::Workers;

/// Added to the time limits of a call before its answer counts as lost, seconds.
const CALL_MARGIN_S: i64 = 15;

/// What tests replace.
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness of ids.
    pub ids: Arc<dyn IdSource>,
    /// Whether workers run by themselves; tests step them.
    pub workers: bool,
}

impl Default for World {
    fn default() -> World {
        World { clock: Arc::new(SystemClock), ids: Arc::new(SystemIds), workers: true }
    }
}

/// A running service.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its use cases.
    pub app: Arc<App>,
    /// Its database.
    pub store: Store,
    /// Its figures.
    pub metrics: Arc<Metrics>,
    server: JoinHandle<std::io::Result<()>>,
    handle: ServerHandle,
    admin: Option<ServerHandle>,
    workers: Option<Workers>,
    _lock: Option<File>,
}

impl Running {
    /// Starts to serve. Returns when requests are accepted.
    ///
    /// # Errors
    /// When the database, the address or the client of the provider cannot be set up.
    pub async fn start(settings: &Settings, world: World) -> Result<Running> {
        let lock = lock_database(settings)?;
        prepare_database(settings).await?;
        let vault = Arc::new(Vault::new(&settings.privacy.encryption_key, &settings.privacy.previous_keys));
        let store = Store::start(&store_settings(settings), &vault)
            .map_err(|error| Error::internal(format!("no threads for the database: {error}")))?;
        // Before anything is written under another key.
        refuse_foreign_keys(&store).await?;
        if lock.is_some() {
            recover(&store, world.clock.now()).await?;
        }
        let metrics = Arc::new(Metrics::new().map_err(Error::internal)?);
        let presenter = Arc::new(Presenter::new(presenter_settings(settings), Arc::clone(&vault)));
        let app = Arc::new(App::new(Parts {
            store: store.clone(),
            provider: provider(settings, &metrics, &world.clock)?,
            signatures: Signatures::new(
                settings.cloudpayments.api_secret.clone(),
                settings.cloudpayments.api_secret_previous.clone(),
            ),
            present: presenter.clone(),
            clock: Arc::clone(&world.clock),
            ids: Arc::clone(&world.ids),
            metrics: Arc::clone(&metrics),
            settings: AppSettings {
                default_expires_in_s: settings.default_expires_in_s,
                call_deadline_s: call_deadline_s(settings),
                provider_works_s: settings.cloudpayments.working_time_s,
                reconciliation: settings.reconciliation.clone(),
                retention: settings.retention.clone(),
                operators: settings.operators.clone(),
            },
        }));
        // Before anything is served: money waits until it is known what the provider did since the last change.
        app.look_for_gap().await?;
        let parts = http::Parts {
            app: Arc::clone(&app),
            presenter,
            vault,
            clock: world.clock,
            ids: world.ids,
            metrics: Arc::clone(&metrics),
        };
        if settings.server.public_url.starts_with("https:") && settings.server.trusted_proxies.is_empty() {
            tracing::warn!(
                "server.trusted_proxies is empty: all callers behind the proxy with TLS count as one address"
            );
        }
        let (address, server) = http::start(parts, &http_settings(settings))
            .map_err(|error| Error::internal(format!("cannot listen on {}: {error}", settings.server.bind)))?;
        let handle = server.handle();
        let admin = start_admin(settings, &metrics)?;
        let workers = world.workers.then(|| Workers::start(&app, &settings.intervals));
        Ok(Running { address, app, store, metrics, server: tokio::spawn(server), handle, admin, workers, _lock: lock })
    }

    /// Waits until the service ends by itself, which it should not.
    ///
    /// # Errors
    /// When the HTTP server ended badly, or the database server was replaced: then nothing more can be done here.
    pub async fn ended(&mut self) -> std::io::Result<()> {
        tokio::select! {
            ended = &mut self.server => ended.map_err(std::io::Error::other)?,
            () = self.store.replaced() => Err(std::io::Error::other(
                "the database server was replaced (a standby took over, or a copy was put back); start the service again",
            )),
        }
    }

    /// Accepts nothing more, lets requests under way finish, then ends.
    pub async fn stop(self) {
        self.app.stop_waiting();
        self.handle.stop(true).await;
        if let Some(admin) = self.admin {
            admin.stop(false).await;
        }
        if let Some(workers) = self.workers {
            workers.stop().await;
        }
        if let Ok(Err(error)) = self.server.await {
            tracing::error!(%error, "the server ended badly");
        }
    }
}

/// `/metrics`, where it is switched on.
fn start_admin(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Option<ServerHandle>> {
    let Some(bind) = &settings.server.admin_bind else { return Ok(None) };
    let (address, server) = http::start_admin(metrics, bind)
        .map_err(|error| Error::internal(format!("cannot listen on server.admin_bind {bind}: {error}")))?;
    tracing::info!(%address, "metrics");
    let handle = server.handle();
    tokio::spawn(server);
    Ok(Some(handle))
}

/// One process serves an embedded database: a second one would take this one's running calls for lost.
fn lock_database(settings: &Settings) -> Result<Option<File>> {
    let Some(path) = settings.database.target.file() else { return Ok(None) };
    let lock_path = path.with_extension("lock");
    if let Some(folder) = lock_path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::internal(format!("cannot create {}: {error}", folder.display())))?;
    }
    let file = File::create(&lock_path)
        .map_err(|error| Error::internal(format!("cannot create {}: {error}", lock_path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(_) => Err(Error::internal(format!("another process serves {}; stop it first", path.display()))),
    }
}

async fn prepare_database(settings: &Settings) -> Result<()> {
    let (target, migrate_now) = (settings.database.target.clone(), settings.database.migrate_on_start);
    let prepared = tokio::task::spawn_blocking(move || {
        if migrate_now {
            let applied = migrate::migrate(&target)?;
            applied.iter().for_each(|name| tracing::info!(migration = name, "applied a migration"));
        } else if !migrate::is_current(&target)? {
            return Err(Error::internal("the database lacks migrations of this version; run: kmic-payments migrate"));
        }
        moved::look(&target)
    });
    prepared.await.map_err(|error| Error::internal(format!("migrating broke off: {error}")))?
}

/// What a process that is gone left behind: its calls are asked about at once, its keys answer with the live payment.
pub(crate) async fn recover(store: &Store, now: Timestamp) -> Result<()> {
    let (calls, keys) = store
        .write(Lane::of("recover"), move |tx| {
            reconciliations::make_due(tx, now, false)?;
            Ok((operations::make_started_due(tx, now)?, idempotency::unlock_all(tx, now)?))
        })
        .await?;
    if calls + keys > 0 {
        tracing::warn!(calls, keys, "the last process was cut off; its calls are being settled");
    }
    Ok(())
}

fn store_settings(settings: &Settings) -> StoreSettings {
    let database = &settings.database;
    StoreSettings {
        target: database.target.clone(),
        readers: database.readers,
        writers: if database.target.engine == Engine::Sqlite { 1 } else { database.writers },
        batch_limit: database.batch_limit,
        queue_limit: database.queue_limit,
    }
}

fn provider(settings: &Settings, metrics: &Arc<Metrics>, clock: &Arc<dyn Clock>) -> Result<Client> {
    let provider = &settings.cloudpayments;
    Client::new(ClientSettings {
        base_url: provider.base_url.clone(),
        public_id: provider.public_id.clone(),
        api_secret: provider.api_secret.clone(),
        max_concurrent_requests: provider.max_concurrent_requests,
        max_queued_requests: provider.max_queued_requests,
        queue_timeout: provider.queue_timeout,
        connect_timeout: provider.connect_timeout,
        request_timeout: provider.request_timeout,
        abandoned_after: provider.abandoned_after,
        backoff: provider.backoff,
        breaker: provider.breaker,
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
    })
    .map_err(Error::internal)
}

/// When a call's own time limits are surely over.
fn call_deadline_s(settings: &Settings) -> i64 {
    let provider = &settings.cloudpayments;
    let limits = provider.queue_timeout + provider.connect_timeout + provider.request_timeout;
    i64::try_from(limits.as_secs()).unwrap_or(i64::MAX / 2) + CALL_MARGIN_S
}

fn presenter_settings(settings: &Settings) -> PresenterSettings {
    PresenterSettings {
        public_url: settings.server.public_url.clone(),
        public_id: settings.cloudpayments.public_id.clone(),
        widget_script_url: settings.cloudpayments.widget_script_url.clone(),
        support: settings.support.clone(),
    }
}

fn http_settings(settings: &Settings) -> HttpSettings {
    let server = &settings.server;
    HttpSettings {
        bind: server.bind.clone(),
        workers: server.workers,
        body_limit_bytes: server.body_limit_bytes,
        rate_per_second: server.rate_per_second,
        rate_burst: server.rate_burst,
        max_concurrent_requests: server.max_concurrent_requests,
        failed_authentications_per_minute: server.failed_authentications_per_minute,
        trusted_proxies: server.trusted_proxies.clone(),
        notification_networks: settings.cloudpayments.notification_networks.clone(),
        cors_origins: server.cors_origins.clone(),
        hsts_max_age_s: server.hsts_max_age_s,
        shutdown_timeout_s: server.shutdown_timeout_s,
        head_timeout_s: server.head_timeout_s,
        body_timeout_s: server.body_timeout_s,
        keep_alive_s: server.keep_alive_s,
        max_connections: server.max_connections,
    }
}

/// A free port on the loopback address, for `dev` and tests that must know it before they start.
///
/// # Errors
/// When there is none.
pub fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

//! The process of the service: how it starts, and how a request reaches it.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::oneshot;

use super::executor::Group;
use super::network::{REQUEST_TIMEOUT_S, SimulatedWire};
use super::weather::SiteFault;
use super::world::{World, pause_ms, pause_s};
use crate::app::{App, AppSettings, Parts, ReconciliationSettings};
use crate::clock::Clock as _;
use crate::cloudpayments::{BreakerSettings, Client, ClientSettings, Signatures};
use crate::error::Result;
use crate::http::{Presenter, PresenterSettings, SupportContacts};
use crate::metrics::Metrics;
use crate::startup::recover;
use crate::store::Store;
use crate::vault::Vault;

/// As the settings have it: queueing, connecting, the request, and a margin.
const CALL_DEADLINE_S: i64 = 83;
/// As `cloudpayments.working_time_s` says by default.
const PROVIDER_WORKS_S: i64 = 600;
const QUEUE_TIMEOUT_S: u64 = 5;

/// What is the same for all processes of all worlds.
pub(super) struct Fixed {
    pub vault: Arc<Vault>,
    pub metrics: Arc<Metrics>,
}

/// Starts the process on its database, as `serve` does. Ends the process when the database does not let it.
pub(super) async fn start(world: Arc<World>, store: Store) {
    let fixed = Arc::clone(&world.fixed);
    if recover(&store, world.clock.now()).await.is_err() {
        world.orders.crash.store(true, std::sync::atomic::Ordering::Relaxed);
        return;
    }
    let app = Arc::new(App::new(Parts {
        store,
        provider: client(&world, &fixed),
        signatures: Signatures::new(SecretString::from(world.provider.api_secret()), None),
        present: Arc::new(Presenter::new(presenter(world.provider.public_id()), Arc::clone(&fixed.vault))),
        clock: world.clock.clone(),
        ids: world.ids.clone(),
        metrics: Arc::clone(&fixed.metrics),
        settings: AppSettings {
            default_expires_in_s: 14_400,
            call_deadline_s: CALL_DEADLINE_S,
            provider_works_s: PROVIDER_WORKS_S,
            retention: world.weather.retention.clone(),
            reconciliation: ReconciliationSettings::default(),
            operators: world.weather.operators.clone(),
        },
    }));
    if app.look_for_gap().await.is_err() {
        world.orders.crash.store(true, std::sync::atomic::Ordering::Relaxed);
        return;
    }
    world.set_process(Some(Arc::clone(&app)));
    world.note("the process serves");
    run_workers(&world, &app);
}

/// As `worker::Workers` runs them, with pauses of the world's.
fn run_workers(world: &Arc<World>, app: &Arc<App>) {
    worker(world, app, 1, |app| async move { app.settle_step().await });
    worker(world, app, 15, |app| async move { app.expire_step().await });
    worker(world, app, 60, |app| async move { app.seal_step().await });
    worker(world, app, 500, |app| async move { app.retention_step().await });
    worker(world, app, 5, |app| async move {
        let mut steps = 0;
        while app.reconcile_step().await? > 0 {
            steps += 1;
        }
        Ok(steps)
    });
}

/// Steps for ever, `times` as seldom as the busiest worker. A step that failed is tried again.
fn worker<F>(world: &Arc<World>, app: &Arc<App>, times: u64, step: impl Fn(Arc<App>) -> F + Send + 'static)
where
    F: Future<Output = Result<usize>> + Send + 'static,
{
    let (pauses, app) = (Arc::clone(world), Arc::clone(app));
    world.spawn(Group::Service, async move {
        let (mut idle, mut stirred) = (0u32, 0);
        loop {
            let nothing = matches!(step(Arc::clone(&app)).await, Ok(0));
            let quiet = pauses.stirred() == stirred;
            stirred = pauses.stirred();
            idle = match (nothing, quiet) {
                (true, true) => idle.saturating_add(1),
                (true, false) => idle.saturating_add(1).min(3),
                (false, _) => 0,
            };
            pause_s(pauses.worker_pause_s(times, idle)).await;
        }
    });
}

fn client(world: &Arc<World>, fixed: &Fixed) -> Client {
    let settings = ClientSettings {
        base_url: "https://api.example.kz".to_owned(),
        public_id: world.provider.public_id().to_owned(),
        api_secret: SecretString::from(world.provider.api_secret()),
        max_concurrent_requests: world.weather.max_concurrent,
        max_queued_requests: 20,
        queue_timeout: Duration::from_secs(QUEUE_TIMEOUT_S),
        connect_timeout: Duration::from_secs(3),
        request_timeout: Duration::from_secs(REQUEST_TIMEOUT_S),
        abandoned_after: Duration::from_secs(300),
        backoff: Duration::from_secs(10),
        breaker: BreakerSettings { failures: 5, pause: Duration::from_secs(5) },
        clock: world.clock.clone(),
        metrics: Arc::clone(&fixed.metrics),
    };
    Client::over(Arc::new(SimulatedWire::of_process(world)), &settings)
}

pub(super) fn presenter(public_id: &str) -> PresenterSettings {
    PresenterSettings {
        public_url: "https://pay.example.kz".to_owned(),
        public_id: public_id.to_owned(),
        widget_script_url: "https://widget.example.kz/widget.js".to_owned(),
        support: SupportContacts::default(),
    }
}

/// No answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

impl World {
    /// A request of the site or of a browser, as over a connection: it may get lost, its answer too, and the service goes
    /// on when the caller hangs up.
    pub(super) async fn call<T, W, F>(self: &Arc<Self>, about: &str, work: &W) -> Result<Result<T>, Lost>
    where
        T: Send + 'static,
        W: Fn(Arc<App>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let fault = self.fault(self.weather.site, about, |chance| {
            let fault = SiteFault::draw(chance);
            (fault, fault.name())
        });
        pause_ms(self.draw(|chance| chance.between(0, 50))).await;
        if fault == Some(SiteFault::Lost) {
            return Err(Lost);
        }
        if let Some(SiteFault::Twice(after_ms)) = fault {
            let (again, work) = (Arc::clone(self), work.clone());
            self.spawn(Group::World, async move {
                pause_ms(after_ms).await;
                // Nobody waits for this answer.
                drop(again.into_process(&work));
            });
        }
        let answered = self.into_process(work).ok_or(Lost)?;
        let patience = match fault {
            Some(SiteFault::HungUp(after_ms)) => Duration::from_millis(after_ms),
            _ => Duration::from_secs(100),
        };
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(_)) if fault == Some(SiteFault::AnswerLost) => Err(Lost),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Lost),
        }
    }

    fn into_process<T, W, F>(self: &Arc<Self>, work: &W) -> Option<oneshot::Receiver<Result<T>>>
    where
        T: Send + 'static,
        W: Fn(Arc<App>) -> F,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let work = work(self.process()?);
        self.stir();
        let (answer, answered) = oneshot::channel();
        self.spawn(Group::Service, async move {
            // An error says that the caller hung up.
            let _ = answer.send(work.await);
        });
        Some(answered)
    }
}

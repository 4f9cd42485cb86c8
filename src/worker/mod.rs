//! Work that no request waits for: settling lost answers, ending unpaid payments, comparing with the register, sealing the
//! history, ending what was kept long enough. Each has a step that tests call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::error::Result;

/// Pauses of the workers.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    /// Between looks for lost answers.
    pub settle: Duration,
    /// Between looks for payments whose time is over.
    pub expire: Duration,
    /// Between looks for comparisons with the register to go on with.
    pub reconcile: Duration,
    /// Between seals over the history.
    pub seal: Duration,
    /// Between looks for personal data that was kept long enough.
    pub retention: Duration,
}

/// The workers of one process.
pub struct Workers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them.
    pub fn start(app: &Arc<App>, intervals: &Intervals) -> Workers {
        let (stop, stopped) = watch::channel(false);
        let (settle, expire, reconcile) = (Arc::clone(app), Arc::clone(app), Arc::clone(app));
        let (seal, retention) = (Arc::clone(app), Arc::clone(app));
        let tasks = vec![
            tokio::spawn(repeat("settle", intervals.settle, stopped.clone(), move || {
                let app = Arc::clone(&settle);
                async move { app.settle_step().await }
            })),
            tokio::spawn(repeat("expire", intervals.expire, stopped.clone(), move || {
                let app = Arc::clone(&expire);
                async move { app.expire_step().await }
            })),
            tokio::spawn(repeat("seal", intervals.seal, stopped.clone(), move || {
                let app = Arc::clone(&seal);
                async move { app.seal_step().await }
            })),
            tokio::spawn(repeat("retention", intervals.retention, stopped.clone(), move || {
                let app = Arc::clone(&retention);
                async move { app.retention_step().await }
            })),
            tokio::spawn(repeat("reconcile", intervals.reconcile, stopped.clone(), move || {
                let (app, stopped) = (Arc::clone(&reconcile), stopped.clone());
                async move { reconcile_while_there_is_work(&app, &stopped).await }
            })),
        ];
        Workers { stop, tasks }
    }

    /// Lets each finish its step.
    pub async fn stop(self) {
        // An error says that no worker is left.
        let _ = self.stop.send(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a worker ended badly");
            }
        }
    }
}

/// Steps until told to stop; pauses when there was nothing to do.
async fn repeat<F, S>(name: &'static str, interval: Duration, mut stopped: watch::Receiver<bool>, step: S)
where
    F: Future<Output = Result<usize>>,
    S: Fn() -> F,
{
    while !*stopped.borrow() {
        if let Err(error) = step().await {
            tracing::error!(worker = name, %error, ?error, "a worker's step failed; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            changed = stopped.changed() => if changed.is_err() { return },
        }
    }
}

/// A run has many short steps: they follow one another without a pause.
async fn reconcile_while_there_is_work(app: &App, stopped: &watch::Receiver<bool>) -> Result<usize> {
    let mut steps = 0;
    while !*stopped.borrow() && app.reconcile_step().await? > 0 {
        steps += 1;
    }
    Ok(steps)
}

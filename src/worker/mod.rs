//! Work that no request waits for: settling lost answers, ending unpaid payments, ending what was kept long
//! enough. Each has a step that tests call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::error::Result;

/// The workers of one process.
pub struct Workers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them.
    pub fn start(
        app: &Arc<App>,
        settle_interval: Duration,
        expire_interval: Duration,
        retention_interval: Duration,
    ) -> Workers {
        let (stop, stopped) = watch::channel(false);
        let (settle, expire, retention) = (Arc::clone(app), Arc::clone(app), Arc::clone(app));
        let tasks = vec![
            tokio::spawn(repeat("settle", settle_interval, stopped.clone(), move || {
                let app = Arc::clone(&settle);
                async move { app.settle_step().await }
            })),
            tokio::spawn(repeat("expire", expire_interval, stopped.clone(), move || {
                let app = Arc::clone(&expire);
                async move { app.expire_step().await }
            })),
            tokio::spawn(repeat("retention", retention_interval, stopped, move || {
                let app = Arc::clone(&retention);
                async move { app.retention_step().await }
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

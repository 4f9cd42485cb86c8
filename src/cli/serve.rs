//! `serve`: the service in production.

use super::{Outcome, asked_to_end, report, text};
use crate::config::Raw;
use crate::startup::{Running, World};
use crate::telemetry;

pub(super) async fn run(raw: Raw) -> Outcome {
    let settings = raw.check().map_err(text)?;
    telemetry::init(&settings.log);
    tracing::info!(settings = raw.redacted(), "starting");
    let mut running = Running::start(&settings, World::default()).await.map_err(report)?;
    tracing::info!(address = %running.address, "ready");
    tokio::select! {
        ended = running.ended() => return ended.map_err(|error| format!("the service ended: {error}")),
        () = asked_to_end() => {}
    }
    tracing::info!("stopping: requests under way are finished first");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

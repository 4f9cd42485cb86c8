//! `[worker]`, `[reconciliation]` and `[log]`.

use super::reader::Reader;
use crate::app::ReconciliationSettings;
use crate::worker::Intervals;

/// Logs.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// JSON lines; plain text otherwise.
    pub json: bool,
    /// As for `RUST_LOG`.
    pub filter: String,
}

impl Reader<'_> {
    pub(super) fn intervals(&mut self) -> Option<Intervals> {
        let settle = self.millis("worker.settle_interval_ms", 10, 3_600_000);
        let expire = self.millis("worker.expire_interval_ms", 10, 3_600_000);
        let reconcile = self.millis("worker.reconcile_interval_ms", 10, 3_600_000);
        let seal = self.millis("worker.seal_interval_ms", 10, 3_600_000);
        let retention = self.millis("worker.retention_interval_ms", 10, 86_400_000);
        Some(Intervals { settle: settle?, expire: expire?, reconcile: reconcile?, seal: seal?, retention: retention? })
    }

    pub(super) fn reconciliation(&mut self) -> Option<ReconciliationSettings> {
        let seconds = |number: u32| i64::from(number);
        let daily = self.flag("reconciliation.daily");
        let delay_s = self.number("reconciliation.delay_s", 600, 43_200).map(seconds);
        let overlap_s = self.number("reconciliation.overlap_s", 60, 86_400).map(seconds);
        let check_at_start = self.flag("reconciliation.check_at_start");
        Some(ReconciliationSettings {
            daily: daily?,
            delay_s: delay_s?,
            overlap_s: overlap_s?,
            check_at_start: check_at_start?,
        })
    }

    pub(super) fn log(&mut self) -> Option<LogSettings> {
        let json = match self.raw.text("log.format").as_str() {
            "json" => Some(true),
            "text" => Some(false),
            _ => self.fault("log.format", "must be json or text"),
        };
        let filter = self.raw.text("log.filter");
        if filter.parse::<tracing_subscriber::EnvFilter>().is_err() {
            self.faults
                .push("log.filter: is not a filter; write for example info or kmic_payments=debug,warn".to_owned());
        }
        Some(LogSettings { json: json?, filter })
    }
}

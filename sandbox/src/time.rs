//! The sandbox clock and the ways the API writes a moment.
//!
//! Limits: moments are milliseconds since 1970 in UTC; the clock can be moved forward only.

use chrono::DateTime;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Real time plus an offset that the control API moves.
#[derive(Debug, Default)]
pub struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// The present moment of the sandbox in milliseconds.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock of the sandbox")]
    pub fn now_ms(&self) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let real = i64::try_from(real.as_millis()).unwrap_or(i64::MAX);
        real.saturating_add(self.offset_ms.load(Ordering::SeqCst))
    }

    /// Moves the clock forward.
    pub fn advance(&self, seconds: u64) {
        let step = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(0);
        self.offset_ms.fetch_add(step, Ordering::SeqCst);
    }
}

/// `/Date(1772428447312)/`
pub fn ticks(ms: i64) -> String {
    format!("/Date({ms})/")
}

/// `2026-03-02T05:14:07`, UTC without a zone.
pub fn iso(ms: i64) -> String {
    written(ms, "%Y-%m-%dT%H:%M:%S")
}

/// `2026-03-02 05:14:07`, UTC, as notifications have it.
pub fn spaced(ms: i64) -> String {
    written(ms, "%Y-%m-%d %H:%M:%S")
}

/// Year and month of a moment.
pub fn year_month(ms: i64) -> (i32, u32) {
    use chrono::Datelike;
    let moment = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    (moment.year(), moment.month())
}

fn written(ms: i64, format: &str) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().format(format).to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn writes_moments() {
        let ms = 1_772_428_447_312;
        assert_eq!(super::ticks(ms), "/Date(1772428447312)/");
        assert_eq!(super::iso(ms), "2026-03-02T05:14:07");
        assert_eq!(super::spaced(ms), "2026-03-02 05:14:07");
        assert_eq!(super::year_month(ms), (2026, 3));
    }
}

//! Time and randomness as parameters, so that every test can be repeated.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Duration, NaiveDateTime, SecondsFormat, SubsecRound, Utc};

/// A moment in UTC, cut to microseconds: what both databases keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NaiveDateTime);

impl Timestamp {
    /// The moment `micros` microseconds after 1970-01-01T00:00:00Z; the epoch itself when out of range.
    pub fn from_micros(micros: i64) -> Timestamp {
        Timestamp(DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc())
    }

    /// From a database column that holds UTC without a zone.
    pub fn from_naive_utc(naive: NaiveDateTime) -> Timestamp {
        Timestamp(naive.trunc_subsecs(6))
    }

    /// For a database column that holds UTC without a zone.
    pub fn naive_utc(self) -> NaiveDateTime {
        self.0
    }

    /// Reads RFC 3339 with any offset.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let parsed = DateTime::parse_from_rfc3339(text).ok()?;
        // By way of the count, in which a leap second (`23:59:60`) is the second after it: databases know no other.
        Some(Timestamp::from_micros(parsed.timestamp_micros()))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0.and_utc().timestamp_micros()
    }

    /// This moment moved by `seconds`; unchanged where the calendar ends.
    pub fn plus_seconds(self, seconds: i64) -> Timestamp {
        let moved = Duration::try_seconds(seconds).and_then(|delta| self.0.checked_add_signed(delta));
        Timestamp(moved.unwrap_or(self.0))
    }

    /// Whole seconds from `earlier` to this moment; negative when it lies after.
    pub fn seconds_since(self, earlier: Timestamp) -> i64 {
        (self.0 - earlier.0).num_seconds()
    }
}

/// RFC 3339 in UTC with `Z` and, where there is one, the fraction: `2026-03-02T05:14:07.123456Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

/// Where the service takes the time from.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::from_naive_utc(Utc::now().naive_utc())
    }
}

/// The machine's clock moved by an offset that tests change.
#[derive(Debug, Default)]
pub struct ShiftedClock {
    offset_seconds: AtomicI64,
}

impl ShiftedClock {
    /// Moves the clock forward.
    pub fn advance_seconds(&self, seconds: i64) {
        self.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_seconds(self.offset_seconds.load(Ordering::SeqCst))
    }
}

/// Where the service takes random bytes for ids from. Secrets come from [`crate::vault`] instead.
pub trait IdSource: Send + Sync {
    /// Ten random bytes, the random part of one id.
    fn random(&self) -> [u8; 10];
}

/// The operating system's random numbers.
#[derive(Debug, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    fn random(&self) -> [u8; 10] {
        crate::vault::random_bytes()
    }
}

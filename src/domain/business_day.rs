//! Days of the business: what is a day in Almaty, by the IANA time zone database that is built in.
//!
//! Kazakhstan went from UTC+6 to UTC+5 on 1 March 2024: 29 February of that year had 25 hours.

use std::fmt;

use chrono::{Days, Duration, NaiveDate, NaiveTime, TimeZone as _};
use chrono_tz::{Asia::Almaty, Tz};

use crate::clock::Timestamp;

/// The zone whose days are counted.
pub const ZONE: Tz = Almaty;
/// No zone skips more hours at once.
const LONGEST_GAP_HOURS: i64 = 24;

/// A day in Almaty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusinessDay(NaiveDate);

impl BusinessDay {
    /// The day that `at` is in.
    pub fn of(at: Timestamp) -> BusinessDay {
        BusinessDay(ZONE.from_utc_datetime(&at.naive_utc()).date_naive())
    }

    /// Reads `2026-11-25`.
    pub fn parse(text: &str) -> Option<BusinessDay> {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        (text.len() == 10 && date.to_string() == text).then_some(BusinessDay(date))
    }

    /// Its first moment.
    pub fn begin(self) -> Timestamp {
        let midnight = self.0.and_time(NaiveTime::MIN);
        // Where clocks skip midnight, the day begins when they go on.
        let first = (0..=LONGEST_GAP_HOURS)
            .find_map(|hours| ZONE.from_local_datetime(&(midnight + Duration::hours(hours))).earliest());
        Timestamp::from_naive_utc(first.map_or(midnight, |first| first.naive_utc()))
    }

    /// The first moment after it.
    pub fn end(self) -> Timestamp {
        self.plus_days(1).begin()
    }

    /// The day so many days later; the last day there is where the calendar ends.
    pub fn plus_days(self, days: u64) -> BusinessDay {
        BusinessDay(self.0.checked_add_days(Days::new(days)).unwrap_or(NaiveDate::MAX))
    }

    /// Days from `earlier` to this one; negative when it lies after.
    pub fn days_since(self, earlier: BusinessDay) -> i64 {
        self.0.signed_duration_since(earlier.0).num_days()
    }
}

/// `2026-11-25`
impl fmt::Display for BusinessDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The clock on a wall in Almaty: `2026-11-25 14:03:22`.
pub fn local_time(at: Timestamp) -> String {
    ZONE.from_utc_datetime(&at.naive_utc()).format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn day(text: &str) -> BusinessDay {
        BusinessDay::parse(text).unwrap()
    }

    #[test]
    fn five_hours_ahead_since_march_2024_and_six_before() {
        for (moment, expected) in [
            ("2024-02-28T17:59:59.999999Z", "2024-02-28"),
            ("2024-02-28T18:00:00Z", "2024-02-29"),
            // At midnight the clocks were put back to 23:00.
            ("2024-02-29T17:59:59Z", "2024-02-29"),
            ("2024-02-29T18:00:00Z", "2024-02-29"),
            ("2024-02-29T18:59:59.999999Z", "2024-02-29"),
            ("2024-02-29T19:00:00Z", "2024-03-01"),
            ("2024-03-01T18:59:59Z", "2024-03-01"),
            ("2024-03-01T19:00:00Z", "2024-03-02"),
            ("2026-11-25T18:59:59Z", "2026-11-25"),
            ("2026-11-25T19:00:00Z", "2026-11-26"),
        ] {
            assert_eq!(BusinessDay::of(at(moment)), day(expected), "{moment}");
        }
        let length = |text: &str| day(text).end().seconds_since(day(text).begin()) / 3600;
        assert_eq!([length("2024-02-28"), length("2024-02-29"), length("2024-03-01")], [24, 25, 24]);
        assert_eq!(local_time(at("2024-02-28T18:00:00Z")), "2024-02-29 00:00:00");
        assert_eq!(local_time(at("2026-11-25T18:59:59Z")), "2026-11-25 23:59:59");
    }

    #[test]
    fn only_dates_are_days() {
        for text in [
            "2026-02-29",
            "2026-2-1",
            "26-02-01",
            "2026-02-01T00:00:00Z",
            "",
            "today",
            " 2026-02-01",
            "-2026-02-01",
            "+12026-02-01",
        ] {
            assert_eq!(BusinessDay::parse(text), None, "{text}");
        }
        assert_eq!(day("2026-03-01").days_since(day("2026-02-27")), 2);
        assert_eq!(day("2026-12-31").plus_days(1).to_string(), "2027-01-01");
    }

    proptest! {
        /// Days follow one another without a gap and without an overlap.
        #[test]
        fn every_moment_is_in_one_day(seconds in 0i64..3_000_000_000) {
            let moment = Timestamp::from_micros(seconds * 1_000_000);
            let of = BusinessDay::of(moment);
            prop_assert!(of.begin() <= moment && moment < of.end());
            prop_assert_eq!(of.end(), of.plus_days(1).begin());
            prop_assert_eq!(BusinessDay::of(of.begin()), of);
        }
    }
}

//! Money in integer minor units (tiyn, kopecks, cents), read from and written as decimal text.
//!
//! Limits: two decimals for every currency, no negative sums, no arithmetic beyond what the
//! engine needs. A binary floating point number never touches an amount.

use serde::{Serialize, Serializer, ser::Error};
use serde_json::value::RawValue;
use std::fmt;

/// The most digits accepted before the decimal point.
const MAX_WHOLE_DIGITS: usize = 13;

/// An amount of money in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i64);

impl Money {
    /// No money.
    pub const ZERO: Money = Money(0);

    /// Makes an amount of minor units.
    pub const fn from_minor(minor: i64) -> Money {
        Money(minor)
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// Reads decimal text such as `25000`, `25000.5` or `25000.00`.
    ///
    /// `None` for a sign, an exponent, more than two significant decimals or too many digits.
    pub fn parse(text: &str) -> Option<Money> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > MAX_WHOLE_DIGITS || fraction.len() > 2 {
            return None;
        }
        if !digits_only(whole) || !digits_only(fraction) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let fraction: i64 = format!("{fraction:0<2}").parse().ok()?;
        whole.checked_mul(100)?.checked_add(fraction).map(Money)
    }

    /// The amount as notifications write it: always two decimals, `25000.00`.
    pub fn two_decimals(self) -> String {
        format!("{}.{:02}", self.0 / 100, self.0 % 100)
    }

    /// The sum; stays at the largest value instead of overflowing.
    #[must_use]
    pub const fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// The difference; never below the smallest value.
    #[must_use]
    pub const fn minus(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Money {
    /// The shortest decimal text: `25000`, `18000.5`, `0.01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => write!(f, "{whole}"),
            _ if rest % 10 == 0 => write!(f, "{whole}.{}", rest / 10),
            _ => write!(f, "{whole}.{rest:02}"),
        }
    }
}

impl Serialize for Money {
    /// Writes a JSON number with the shortest decimal text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn reads_decimal_text() {
        for (text, minor) in
            [("25000", 2_500_000), ("18000.5", 1_800_050), ("0.01", 1), ("10.0", 1000), ("1.10", 110), ("1.100", 110)]
        {
            assert_eq!(Money::parse(text), Some(Money::from_minor(minor)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_an_amount() {
        for text in ["", ".5", "-1", "+1", "1e3", "1.005", "12 000", "99999999999999", "1,5", "1.2.3"] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
    }

    #[test]
    fn writes_numbers() {
        let written = |minor| serde_json::to_string(&Money::from_minor(minor)).unwrap();
        assert_eq!(written(2_500_000), "25000");
        assert_eq!(written(1_800_050), "18000.5");
        assert_eq!(written(1), "0.01");
        assert_eq!(Money::from_minor(1_800_050).two_decimals(), "18000.50");
    }
}

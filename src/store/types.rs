//! Reads stored text back as domain values. Text that no version of ours wrote is a defect or tampering: an error.

use crate::clock::Timestamp;
use crate::domain::money::Currency;
use crate::error::{Error, Result};

pub(super) use chrono::NaiveDateTime;

/// The value, or an internal error that names the column.
pub(super) fn known<T>(column: &str, parsed: Option<T>) -> Result<T> {
    parsed.ok_or_else(|| Error::internal(format!("the database holds an unknown value in {column}")))
}

/// The currency of stored amounts.
pub(super) fn currency(code: &str) -> Result<Currency> {
    known("currency", Currency::parse(code))
}

/// A stored moment.
pub(super) fn moment(stored: NaiveDateTime) -> Timestamp {
    Timestamp::from_naive_utc(stored)
}

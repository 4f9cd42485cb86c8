//! Query strings: every parameter known, none twice, all faults at once.

use actix_web::web;

use super::cursor::{self, Binding};
use super::text::{self, Refusal};
use crate::clock::Timestamp;
use crate::domain::business_day::BusinessDay;
use crate::error::{Error, Fault, Result};

/// Entries of a list when `limit` is not sent.
const DEFAULT_LIMIT: i64 = 20;
/// Most entries of a list.
const MAX_LIMIT: i64 = 100;
/// Most parameters that are looked at.
const MAX_PARAMETERS: usize = 32;

/// A query string being read.
pub(super) struct QueryReader {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl QueryReader {
    /// Takes the query string apart.
    pub(super) fn new(query: &str) -> QueryReader {
        let mut faults = Vec::new();
        if query.is_empty() {
            return QueryReader { pairs: Vec::new(), faults };
        }
        let mut pairs =
            web::Query::<Vec<(String, String)>>::from_query(query).map(web::Query::into_inner).unwrap_or_else(|_| {
                faults.push(Fault::new("", "malformed_query", "the query string cannot be read"));
                Vec::new()
            });
        if pairs.len() > MAX_PARAMETERS {
            faults.push(Fault::new("", "too_many_parameters", format!("at most {MAX_PARAMETERS} query parameters")));
            pairs.clear();
        }
        QueryReader { pairs, faults }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.pairs.iter().position(|(sent, _)| sent == name)?;
        let (_, value) = self.pairs.remove(index);
        let before = self.pairs.len();
        self.pairs.retain(|(sent, _)| sent != name);
        if self.pairs.len() < before {
            self.faults.push(Fault::new(name, "repeated_parameter", "send the parameter once"));
        }
        Some(value)
    }

    /// A parameter that `check` turns into something.
    pub(super) fn parsed<T>(&mut self, name: &str, check: impl FnOnce(&str) -> Result<T, Refusal>) -> Option<T> {
        let value = self.take(name)?;
        check(&value).map_err(|refusal| self.faults.push(text::fault(name, refusal))).ok()
    }

    /// One line of text.
    pub(super) fn line(&mut self, name: &str, max: usize) -> Option<String> {
        self.parsed(name, |value| text::line(value, max).map(str::to_owned))
    }

    /// A value with its own form.
    pub(super) fn shaped<T>(&mut self, name: &str, shape: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.parsed(name, |value| parse(value).ok_or_else(|| ("wrong_form", format!("send {shape}"))))
    }

    /// A moment in RFC 3339.
    pub(super) fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        // A `+` that was not percent-encoded arrives as a blank.
        self.shaped(name, "a moment such as 2026-03-02T05:14:07Z", |value| {
            Timestamp::parse_rfc3339(&value.replace(' ', "+"))
        })
    }

    /// A whole number within a range.
    pub(super) fn integer(&mut self, name: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let shape = format!("a whole number from {} to {}", range.start(), range.end());
        self.shaped(name, &shape, |value| {
            let digits_only = value.bytes().all(|byte| byte.is_ascii_digit());
            value.parse().ok().filter(|number| digits_only && range.contains(number))
        })
    }

    /// `limit`, 1 to 100, else 20.
    pub(super) fn limit(&mut self) -> i64 {
        self.integer("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT)
    }

    /// `cursor`: the place after which the list goes on.
    pub(super) fn cursor<T>(&mut self, binding: Binding, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.parsed("cursor", |value| {
            cursor::open(value, binding).and_then(|last| parse(&last)).ok_or_else(|| {
                (
                    "invalid_cursor",
                    "send next_cursor of the same list with the same filter, or leave it out to begin anew".to_owned(),
                )
            })
        })
    }

    /// A business day, which must be sent.
    pub(super) fn business_day(&mut self, name: &str) -> Option<BusinessDay> {
        let is_sent = self.pairs.iter().any(|(sent, _)| sent == name);
        let day = self.shaped(name, "a date such as 2026-11-25", BusinessDay::parse);
        if !is_sent {
            self.refuse(Fault::new(name, "required", "send a date such as 2026-11-25"));
        }
        day
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, name: &str) -> Option<bool> {
        self.shaped(name, "true or false", |value| value.parse().ok())
    }

    /// Adds a fault that lies in several parameters together.
    pub(super) fn refuse(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// What was read, unless there are faults.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault; a defect where something is missing without one.
    pub(super) fn finish_with<T>(self, value: Option<T>) -> Result<T> {
        self.finish()?;
        value.ok_or_else(|| Error::internal("a query without faults is not complete"))
    }

    /// The faults of everything that was read and of every parameter that was not.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault.
    pub(super) fn finish(mut self) -> Result<()> {
        for (name, _) in self.pairs {
            let code = if text::holds_card_number(&name) { "card_data_not_allowed" } else { "unknown_parameter" };
            self.faults.push(Fault::new(
                text::shown_name(&name),
                code,
                "there is no such query parameter; correct its name or leave it out",
            ));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Invalid(self.faults)) }
    }
}

/// For addresses that take no parameters.
///
/// # Errors
/// Every parameter that was sent.
pub(super) fn none(query: &str) -> Result<()> {
    if query.is_empty() { Ok(()) } else { QueryReader::new(query).finish() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_all_faults_at_once() {
        let mut query = QueryReader::new(
            "limit=0&wiat=5&invoice_id=4242424242424242&limit=3&status=a%00&cursor=zzz&created_from=yesterday&bad=%ff",
        );
        query.limit();
        query.line("invoice_id", 100);
        query.line("status", 100);
        query.line("bad", 100);
        query.timestamp("created_from");
        query.cursor(Binding::new("payments", &[]), |last| Some(last.to_owned()));
        let Err(Error::Invalid(faults)) = query.finish() else { panic!() };
        let codes: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
        assert_eq!(
            codes,
            [
                ("limit", "repeated_parameter"),
                ("limit", "wrong_form"),
                ("invoice_id", "card_data_not_allowed"),
                ("status", "control_characters"),
                ("bad", "control_characters"),
                ("created_from", "wrong_form"),
                ("cursor", "invalid_cursor"),
                ("wiat", "unknown_parameter"),
            ]
        );
        assert!(faults.iter().all(|fault| !fault.detail.contains("4242")));
    }

    #[test]
    fn nothing_sent_is_right() {
        let mut query = QueryReader::new("");
        assert_eq!(query.limit(), 20);
        assert!(query.finish().is_ok());
        assert!(none("a=1").is_err());
    }
}

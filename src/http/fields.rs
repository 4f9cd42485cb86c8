//! Reads the fields of an object one by one, collects every fault, and in the end names every field nobody asked for.

use crate::domain::money::{CURRENCIES, Currency, Money};
use crate::error::{Error, Fault, Result};

use super::json::Json;
use super::text::{self, Refusal};

/// An object being read. Faults go to a list shared by all readers of one body.
pub(super) struct ObjectReader<'f> {
    members: Vec<(String, Json)>,
    pointer: String,
    /// What is no object was told already; what it lacks is not worth a fault.
    is_object: bool,
    faults: &'f mut Vec<Fault>,
}

impl<'f> ObjectReader<'f> {
    /// The reader of a whole body; anything but an object is one fault.
    pub(super) fn body(json: Json, faults: &'f mut Vec<Fault>) -> ObjectReader<'f> {
        ObjectReader::at(json, String::new(), faults)
    }

    fn at(json: Json, pointer: String, faults: &'f mut Vec<Fault>) -> ObjectReader<'f> {
        let (members, is_object) = match json {
            Json::Object(members) => (members, true),
            _ => {
                faults.push(Fault::new(pointer.clone(), "must_be_object", "send a JSON object"));
                (Vec::new(), false)
            }
        };
        ObjectReader { members, pointer, is_object, faults }
    }

    /// Whether the field was sent and not read yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, _)| member == name)
    }

    /// Takes a field out. `null` is refused: a field that a program meant to fill must not count as left out.
    pub(super) fn take(&mut self, name: &str) -> Option<Json> {
        let index = self.members.iter().position(|(member, _)| member == name)?;
        match self.members.swap_remove(index).1 {
            Json::Null => {
                self.fault(name, ("must_not_be_null", "leave the field out instead of sending null".to_owned()));
                None
            }
            json => Some(json),
        }
    }

    /// Writes down a fault of a field.
    pub(super) fn fault(&mut self, name: &str, (code, detail): Refusal) {
        self.faults.push(Fault::new(text::child(&self.pointer, name), code, detail));
    }

    /// Writes down a missing field.
    pub(super) fn require(&mut self, name: &str) {
        if self.is_object && !self.has(name) {
            self.fault(name, ("required", "the field is required".to_owned()));
        }
    }

    /// A string that `check` accepts and turns into something.
    pub(super) fn parsed<T>(&mut self, name: &str, check: impl FnOnce(&str) -> Result<T, Refusal>) -> Option<T> {
        let outcome = match self.take(name)? {
            Json::Text(content) => check(&content),
            _ => Err(("must_be_string", "send a JSON string".to_owned())),
        };
        outcome.map_err(|refusal| self.fault(name, refusal)).ok()
    }

    /// One line of text.
    pub(super) fn line(&mut self, name: &str, max: usize) -> Option<String> {
        self.parsed(name, |content| text::line(content, max).map(str::to_owned))
    }

    /// One of a few names.
    pub(super) fn choice<T>(&mut self, name: &str, allowed: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.parsed(name, |content| parse(content).ok_or_else(|| ("not_one_of", format!("send one of: {allowed}"))))
    }

    /// A whole number.
    pub(super) fn integer(&mut self, name: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let outcome = match self.take(name)? {
            Json::Number(digits) => match digits.parse::<i64>() {
                Ok(number) if range.contains(&number) => Ok(number),
                Ok(_) => {
                    Err(("out_of_range", format!("send a whole number from {} to {}", range.start(), range.end())))
                }
                Err(_) => Err(("must_be_integer", "send a whole number without fraction and exponent".to_owned())),
            },
            _ => Err(("must_be_integer", "send a JSON number".to_owned())),
        };
        outcome.map_err(|refusal| self.fault(name, refusal)).ok()
    }

    /// The reader of an object inside this one.
    pub(super) fn object(&mut self, name: &str) -> Option<ObjectReader<'_>> {
        let json = self.take(name)?;
        let pointer = text::child(&self.pointer, name);
        Some(ObjectReader::at(json, pointer, self.faults))
    }

    /// `{"value":"12500.00","currency":"KZT"}`, above zero.
    pub(super) fn money(&mut self, name: &str) -> Option<Money> {
        if matches!(self.members.iter().find(|(member, _)| member == name), Some((_, Json::Number(_) | Json::Text(_))))
        {
            self.take(name);
            let advice = "send an object such as {\"value\":\"12500.00\",\"currency\":\"KZT\"}; a bare number or string is not an amount";
            self.fault(name, ("must_be_object", advice.to_owned()));
            return None;
        }
        let mut reader = self.object(name)?;
        reader.require("value");
        reader.require("currency");
        let currency = reader.parsed("currency", currency);
        let value = reader.take("value");
        let amount = value.and_then(|value| reader.amount(value, currency.unwrap_or(Currency::KZT)));
        reader.finish();
        currency.and(amount)
    }

    /// Checked even when the currency is unknown, so that both faults are told at once.
    fn amount(&mut self, value: Json, currency: Currency) -> Option<Money> {
        let outcome = match value {
            Json::Text(content) => text::refuse_card_number(&content).and_then(|()| {
                Money::parse(&content, currency).map_err(|fault| (fault.code(), fault.advice(currency)))
            }),
            Json::Number(_) => Err((
                "must_be_string",
                "send the amount as a JSON string, \"12500.00\": JSON numbers lose digits".to_owned(),
            )),
            _ => Err(("must_be_string", "send the amount as a JSON string, \"12500.00\"".to_owned())),
        };
        outcome.map_err(|refusal| self.fault("value", refusal)).ok()
    }

    /// Names every field that was not read.
    pub(super) fn finish(self) {
        for (name, _) in self.members {
            let code = if text::holds_card_number(&name) { "card_data_not_allowed" } else { "unknown_field" };
            self.faults.push(Fault::new(
                text::child(&self.pointer, &name),
                code,
                "there is no such field; correct its name or leave it out",
            ));
        }
    }
}

fn currency(code: &str) -> Result<Currency, Refusal> {
    Currency::parse(code).ok_or_else(|| ("unknown_currency", format!("send one of: {}", CURRENCIES.join(", "))))
}

/// What was read if there is no fault, else all faults.
///
/// # Errors
/// [`Error::Invalid`] with every fault. A value that is missing without a fault is a defect and told as such.
pub(super) fn complete<T>(value: Option<T>, faults: Vec<Fault>) -> Result<T> {
    match value {
        Some(value) if faults.is_empty() => Ok(value),
        _ if !faults.is_empty() => Err(Error::Invalid(faults)),
        _ => Err(Error::internal("a body was refused without a fault")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    fn money_faults(body: &str) -> Vec<(String, &'static str)> {
        let mut faults = Vec::new();
        let mut reader = ObjectReader::body(json::read(body.as_bytes()).unwrap(), &mut faults);
        let money = reader.money("amount");
        reader.finish();
        assert!(money.is_none() || !faults.is_empty(), "{body}");
        faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
    }

    #[test]
    fn money_is_a_decimal_string_with_a_known_currency() {
        let cases = [
            (r#"{"amount":12500}"#, "/amount", "must_be_object"),
            (r#"{"amount":{"value":12500.00,"currency":"KZT"}}"#, "/amount/value", "must_be_string"),
            (r#"{"amount":{"value":"12.345","currency":"KZT"}}"#, "/amount/value", "wrong_number_of_digits"),
            (r#"{"amount":{"value":"-1","currency":"KZT"}}"#, "/amount/value", "not_a_decimal"),
            (r#"{"amount":{"value":"0.00","currency":"KZT"}}"#, "/amount/value", "must_be_positive"),
            (r#"{"amount":{"value":"1e3","currency":"KZT"}}"#, "/amount/value", "not_a_decimal"),
            (r#"{"amount":{"value":"1234567890123456789.00","currency":"KZT"}}"#, "/amount/value", "too_large"),
            (r#"{"amount":{"value":"1.00","currency":"ZZZ"}}"#, "/amount/currency", "unknown_currency"),
            (r#"{"amount":{"value":"1.00"}}"#, "/amount/currency", "required"),
            (r#"{"amount":{"value":"1.00","currency":"KZT","cents":1}}"#, "/amount/cents", "unknown_field"),
            (r#"{"amount":null}"#, "/amount", "must_not_be_null"),
        ];
        for (body, pointer, code) in cases {
            assert_eq!(money_faults(body), [(pointer.to_owned(), code)], "{body}");
        }
        assert_eq!(money_faults(r#"{"amount":{"value":"0","currency":"kzt"}}"#).len(), 2);
    }
}

//! Parameters of a request: one reading for JSON and form bodies, keys without regard to case.
//!
//! Limits: only the top level of a JSON body is looked at; unknown keys are kept and ignored.

use crate::money::Money;
use crate::wire;
use serde_json::Value;
use std::collections::BTreeMap;

/// A request that cannot be carried out, with the text for `Message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

impl Invalid {
    pub(super) fn required(field: &str) -> Invalid {
        Invalid(format!("{field} is required"))
    }

    pub(super) fn value(field: &str) -> Invalid {
        Invalid(format!("Invalid {field} value"))
    }

    pub(super) fn not_found() -> Invalid {
        Invalid("Not found".to_owned())
    }

    pub(super) fn wrong_status() -> Invalid {
        Invalid("Payment status is not valid for this operation".to_owned())
    }

    pub(super) fn too_big() -> Invalid {
        Invalid("Amount is too big".to_owned())
    }
}

/// Parameters by lowercase key.
#[derive(Clone, Debug, Default)]
pub struct Params(BTreeMap<String, Value>);

impl Params {
    /// From a JSON object. An empty text is an empty object; `None` is not JSON or not an object.
    pub fn from_json(text: &str) -> Option<Params> {
        if text.trim().is_empty() {
            return Some(Params::default());
        }
        match serde_json::from_str(text).ok()? {
            Value::Object(fields) => Some(fields.into_iter().collect()),
            Value::Null => Some(Params::default()),
            _ => None,
        }
    }

    /// From a form body. A key given several times becomes an array.
    pub fn from_form(text: &str) -> Params {
        let mut params = Params::default();
        for (key, value) in wire::parse_form(text) {
            let key = key.trim_end_matches("[]").to_lowercase();
            let value = Value::String(value);
            match params.0.get_mut(&key) {
                Some(Value::Array(items)) => items.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
                None => drop(params.0.insert(key, value)),
            }
        }
        params
    }

    fn raw(&self, key: &str) -> Option<&Value> {
        self.0.get(&key.to_lowercase()).filter(|value| !value.is_null())
    }

    /// Text, or a number or flag spelled out; an empty text is absent.
    pub fn text(&self, key: &str) -> Option<String> {
        let text = match self.raw(key)? {
            Value::String(text) => text.trim().to_owned(),
            value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// Text that has to be there.
    pub fn required(&self, key: &str) -> Result<String, Invalid> {
        self.text(key).ok_or_else(|| Invalid::required(key))
    }

    /// An amount of at least 0.01 that has to be there.
    pub fn amount(&self, key: &str) -> Result<Money, Invalid> {
        let text = self.required(key)?;
        let amount = Money::parse(&text).filter(|amount| *amount > Money::ZERO);
        amount.ok_or_else(|| Invalid::value(key))
    }

    /// A whole number; one with a fraction is rounded.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, Invalid> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        rounded(&text).map(Some).ok_or_else(|| Invalid::value(key))
    }

    /// A whole number that has to be there.
    pub fn required_integer(&self, key: &str) -> Result<i64, Invalid> {
        self.integer(key)?.ok_or_else(|| Invalid::required(key))
    }

    /// A flag: `true`, `"true"`, `1`.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.text(key)?.to_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// A JSON value as text, whether it came as an object or as text.
    pub fn json_text(&self, key: &str) -> Option<String> {
        match self.raw(key)? {
            Value::String(text) => (!text.is_empty()).then(|| text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// A list of texts: an array, a repeated form key, or text with commas.
    pub fn texts(&self, key: &str) -> Vec<String> {
        match self.raw(key) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(text)) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            _ => Vec::new(),
        }
    }
}

impl FromIterator<(String, Value)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Params {
        Params(fields.into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect())
    }
}

fn rounded(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let up = i64::from(fraction.bytes().next().is_some_and(|digit| digit >= b'5'));
    whole.parse::<i64>().ok()?.checked_add(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_form_read_the_same() {
        let json =
            Params::from_json(r#"{"amount":25000.50,"InvoiceID":"a b","saveCard":true,"TransactionId":3600000101.6}"#)
                .unwrap();
        let form = Params::from_form("Amount=25000.50&invoiceid=a+b&SaveCard=1&TRANSACTIONID=3600000102");
        for params in [json, form] {
            assert_eq!(params.amount("Amount").unwrap().minor(), 2_500_050);
            assert_eq!(params.text("InvoiceId").unwrap(), "a b");
            assert_eq!(params.flag("SaveCard"), Some(true));
            assert_eq!(params.required_integer("TransactionId"), Ok(3_600_000_102));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let params = Params::from_json(r#"{"Amount":"x","Name":"","Data":null}"#).unwrap();
        assert_eq!(params.amount("Amount"), Err(Invalid("Invalid Amount value".into())));
        assert_eq!(params.required("Name"), Err(Invalid("Name is required".into())));
        assert_eq!(params.json_text("Data"), None);
        assert!(Params::from_json("[1]").is_none());
        assert!(Params::from_json("").is_some());
    }

    #[test]
    fn json_data_is_kept_as_text() {
        let params = Params::from_json(r#"{"JsonData":{"a":1},"Other":"{\"b\": 2}","S":["x","y"]}"#).unwrap();
        assert_eq!(params.json_text("jsondata").unwrap(), r#"{"a":1}"#);
        assert_eq!(params.json_text("other").unwrap(), r#"{"b": 2}"#);
        assert_eq!(params.texts("s"), ["x", "y"]);
        assert_eq!(Params::from_form("s=x&s=y").texts("S"), ["x", "y"]);
    }
}

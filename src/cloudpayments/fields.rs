//! Named values as the provider sends them: a JSON object or a form, read leniently into text.
//!
//! Numbers stay the text that was sent, so that no amount passes through floating point and no id loses digits.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Named values. Names are matched without regard to case; empty values count as absent, and of several values of one
/// name the first that is not empty counts (contract sections 8.1 and 8.6).
#[derive(Default)]
pub struct Fields(BTreeMap<String, Value>);

/// One value as text.
enum Value {
    /// A string, a number, `true`, `false`.
    Plain(String),
    /// An object or a list, as JSON.
    Nested(String),
}

/// The members of a JSON object in their order, repeated ones too.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Fields {
    /// Reads a JSON object; `None` when the text is not one.
    pub fn from_json(text: &str) -> Option<Fields> {
        let members: Members = serde_json::from_str(text).ok()?;
        let mut fields = Fields::default();
        for (name, raw) in members.0 {
            fields.add(&name, Value::from_json(raw.get()));
        }
        Some(fields)
    }

    /// Reads a form, as in a body or in a query string. Invalid UTF-8 is replaced.
    pub fn from_form(form: &[u8]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in form_pieces(form) {
            let value = String::from_utf8_lossy(&value).into_owned();
            fields.add(&String::from_utf8_lossy(&name), Some(Value::Plain(value)));
        }
        fields
    }

    fn add(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.0.entry(name.to_ascii_lowercase()).or_insert(value);
        }
    }

    /// Whether there is any value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A string, number or truth value as text. `name` in lower case.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Plain(text) => Some(text),
            Value::Nested(_) => None,
        }
    }

    /// The same, owned.
    pub fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// An object or a list as JSON text.
    pub fn nested(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Plain(_) => None,
            Value::Nested(json) => Some(json),
        }
    }

    /// JSON that came as a string or as it is.
    pub fn json(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Plain(json) | Value::Nested(json) => Some(json),
        }
    }

    /// Whether there is a value that is not empty.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A whole number, sent as a number or as digits in a string.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.text(name)?.trim().parse().ok()
    }

    /// `true`/`false` or `1`/`0` (contract section 2.4).
    pub fn truth(&self, name: &str) -> Option<bool> {
        let text = self.text(name)?.trim();
        if text == "1" || text.eq_ignore_ascii_case("true") {
            return Some(true);
        }
        (text == "0" || text.eq_ignore_ascii_case("false")).then_some(false)
    }
}

impl Value {
    fn from_json(raw: &str) -> Option<Value> {
        match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok().map(Value::Plain),
            b'{' | b'[' => Some(Value::Nested(raw.to_owned())),
            b'n' => None,
            _ => Some(Value::Plain(raw.to_owned())),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Value::Plain(text) | Value::Nested(text) => text.trim().is_empty(),
        }
    }
}

/// The items of a JSON list, each as JSON text; `None` when the text is not a list.
pub fn json_items(text: &str) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_str(text).ok()
}

/// Text of bytes: invalid UTF-8 replaced, byte order mark dropped.
pub fn lossy_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
}

/// Splits a form at `&`, each piece at its first `=`, and then decodes names and values.
pub fn form_pieces(form: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    form.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()).map(|piece| {
        let mut parts = piece.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default();
        let value = parts.next().unwrap_or_default();
        (url_decoded(name), url_decoded(value))
    })
}

/// Decodes `+` to a blank and `%xx` to a byte; leaves a `%` that starts no such sequence.
pub fn url_decoded(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((first, tail)) = rest.split_first() {
        let (byte, remaining) = match (first, percent_sequence(rest)) {
            (_, Some((byte, remaining))) => (byte, remaining),
            (b'+', None) => (b' ', tail),
            (other, None) => (*other, tail),
        };
        decoded.push(byte);
        rest = remaining;
    }
    decoded
}

/// The byte that a leading `%xx` stands for, and what follows it.
pub fn percent_sequence(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let ([b'%', high, low], remaining) = bytes.split_first_chunk::<3>()? else {
        return None;
    };
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = nibble(*high)?.checked_mul(16)?.checked_add(nibble(*low)?)?;
    Some((byte, remaining))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let fields = Fields::from_json(r#"{"Amount": 90071992547409931.10, "TransactionId":"3600000101"}"#).unwrap();
        assert_eq!(fields.text("amount"), Some("90071992547409931.10"));
        assert_eq!(fields.integer("transactionid"), Some(3_600_000_101));
    }

    #[test]
    fn the_first_value_that_is_not_empty_counts() {
        for form in ["a=&A=1&a=2", "A=1&a=2", "a&a=+&a=1"] {
            assert_eq!(Fields::from_form(form.as_bytes()).text("a"), Some("1"), "{form}");
        }
        let json = Fields::from_json(r#"{"a":"","a":null,"A":1,"a":2}"#).unwrap();
        assert_eq!(json.text("a"), Some("1"));
    }

    #[test]
    fn decodes_once() {
        assert_eq!(url_decoded(b"a+b%2bc%26%3D%zz%2"), b"a b+c&=%zz%2");
        assert_eq!(url_decoded(b"%2541"), b"%41");
        assert_eq!(url_decoded("%d0%90".as_bytes()), "А".as_bytes());
    }

    #[test]
    fn tells_plain_from_nested() {
        let fields = Fields::from_json(r#"{"a":{"b":1},"c":"{\"b\":1}","d":[],"e":true}"#).unwrap();
        assert_eq!(
            (fields.text("a"), fields.json("a"), fields.nested("a")),
            (None, Some(r#"{"b":1}"#), Some(r#"{"b":1}"#))
        );
        assert_eq!((fields.text("c"), fields.nested("c")), (Some(r#"{"b":1}"#), None));
        assert_eq!(fields.truth("e"), Some(true));
        for text in ["", "[]", "1", "null", "{", "\"x\"", "{\"a\":1}x"] {
            assert!(Fields::from_json(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Fields::from_form(&bytes);
            let _ = Fields::from_json(&lossy_text(&bytes));
        }

        #[test]
        fn decoding_undoes_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let encoded: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(url_decoded(encoded.as_bytes()), bytes);
        }
    }
}

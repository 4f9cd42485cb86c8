//! Strict JSON: UTF-8 only, no member twice, no deep nesting, numbers kept as they were written.
//!
//! A general JSON library takes the last of two equal members and turns long numbers into `f64`. Where money is concerned
//! both are refused or kept, never guessed.

use std::collections::HashSet;
use std::fmt;

use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::text;
use crate::error::{Error, Fault, Result};

/// Deeper nesting is refused.
const MAX_DEPTH: usize = 32;
/// More members in one object are refused.
const MAX_MEMBERS: usize = 256;
/// More elements in one list are refused.
const MAX_ELEMENTS: usize = 1024;

/// A JSON value as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as text.
    Number(String),
    /// A string; wiped when dropped, as it may be card data.
    Text(Zeroizing<String>),
    /// A list.
    List(Vec<Json>),
    /// An object, members in the order sent.
    Object(Vec<(String, Json)>),
}

/// Reads a whole body.
///
/// # Errors
/// [`Error::Malformed`] with what is wrong and where.
pub(super) fn read(bytes: &[u8]) -> Result<Json> {
    let body = std::str::from_utf8(bytes).map_err(|error| {
        malformed("", "not_utf8", format!("the body is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    if body.trim().is_empty() {
        return Err(malformed("", "body_required", "the body is empty; send a JSON object"));
    }
    let raw: &RawValue = serde_json::from_str(body).map_err(|error| not_json(&error))?;
    value(raw, "", 1)
}

fn malformed(pointer: &str, code: &'static str, detail: impl Into<String>) -> Error {
    Error::Malformed(vec![Fault::new(pointer, code, detail)])
}

/// The library's own message may quote the body, so only the place is told.
fn not_json(error: &serde_json::Error) -> Error {
    malformed(
        "",
        "not_json",
        format!("the body is not valid JSON; look at line {}, column {}", error.line(), error.column()),
    )
}

fn value(raw: &RawValue, pointer: &str, depth: usize) -> Result<Json> {
    let source = raw.get();
    if depth > MAX_DEPTH {
        return Err(malformed("", "nested_too_deep", format!("at most {MAX_DEPTH} levels of nesting")));
    }
    match source.as_bytes().first() {
        Some(b'{') => object(source, pointer, depth),
        Some(b'[') => list(source, pointer, depth),
        Some(b'"') => serde_json::from_str(source)
            .map(|content: String| Json::Text(content.into()))
            .map_err(|error| not_json(&error)),
        Some(b't') => Ok(Json::Bool(true)),
        Some(b'f') => Ok(Json::Bool(false)),
        Some(b'n') => Ok(Json::Null),
        _ => Ok(Json::Number(source.to_owned())),
    }
}

fn object(source: &str, pointer: &str, depth: usize) -> Result<Json> {
    let Members(members) = serde_json::from_str(source).map_err(|error| not_json(&error))?;
    if members.len() > MAX_MEMBERS {
        return Err(malformed(pointer, "too_many_members", format!("at most {MAX_MEMBERS} members in one object")));
    }
    let mut seen = HashSet::with_capacity(members.len());
    if let Some((name, _)) = members.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        return Err(malformed(
            &text::child(pointer, name),
            "duplicate_member",
            "the member is there twice; send it once",
        ));
    }
    let read = |(name, raw): (String, &RawValue)| {
        let read = value(raw, &text::child(pointer, &name), depth + 1)?;
        Ok((name, read))
    };
    members.into_iter().map(read).collect::<Result<_>>().map(Json::Object)
}

fn list(source: &str, pointer: &str, depth: usize) -> Result<Json> {
    let Elements(elements) = serde_json::from_str(source).map_err(|error| not_json(&error))?;
    if elements.len() > MAX_ELEMENTS {
        return Err(malformed(pointer, "too_many_elements", format!("at most {MAX_ELEMENTS} elements in one list")));
    }
    let read = |(index, raw): (usize, &RawValue)| value(raw, &text::child(pointer, &index.to_string()), depth + 1);
    elements.into_iter().enumerate().map(read).collect::<Result<_>>().map(Json::List)
}

/// The members of one object, their values unread.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The elements of one list, unread.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = sequence.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// Compact JSON, numbers as they were sent.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(flag) => write!(f, "{flag}"),
            Json::Number(digits) => f.write_str(digits),
            Json::Text(content) => write_text(f, content),
            Json::List(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if index == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Json::Object(members) => {
                f.write_str("{")?;
                for (index, (name, member)) in members.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    write_text(f, name)?;
                    write!(f, ":{member}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, content: &str) -> fmt::Result {
    f.write_str(&serde_json::to_string(content).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(body: &[u8]) -> (&'static str, String) {
        match read(body) {
            Err(Error::Malformed(faults)) => (faults[0].code, faults[0].pointer.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refuses_what_is_not_exactly_json() {
        assert_eq!(code_of(b"").0, "body_required");
        assert_eq!(code_of(b"{\"a\":\"\xff\"}").0, "not_utf8");
        assert_eq!(code_of(b"{\"a\":1,}").0, "not_json");
        assert_eq!(code_of(b"{\"a\":01}").0, "not_json");
        assert_eq!(code_of(b"{} {}").0, "not_json");
        assert_eq!(code_of(b"{\"a\":\"\\ud800\"}").0, "not_json");
        assert_eq!(code_of(br#"{"a":{"b":1,"b":2}}"#), ("duplicate_member", "/a/b".to_owned()));
        // Written with an escape it is still the same name.
        assert_eq!(code_of(br#"{"amount":1,"\u0061mount":2}"#), ("duplicate_member", "/amount".to_owned()));
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(code_of(deep.as_bytes()).0, "nested_too_deep");
        let wide = format!("[{}1]", "1,".repeat(2000));
        assert_eq!(code_of(wide.as_bytes()).0, "too_many_elements");
    }

    #[test]
    fn keeps_numbers_as_written() {
        let body = r#"{"a":[1.10,123456789012345678901234567890,-0],"b":"x\n\"","c":null,"d":true}"#;
        assert_eq!(read(body.as_bytes()).unwrap().to_string(), body);
    }

    #[test]
    fn a_card_number_as_a_name_is_not_repeated() {
        assert_eq!(code_of(br#"{"4242424242424242":1,"4242424242424242":1}"#).1, "/(hidden)");
    }
}

//! `metadata`: the site's own data, kept and given back as it was sent.

use super::fields::ObjectReader;
use super::json::Json;
use super::text::{self, Refusal};

/// Most keys of the object.
pub(super) const MAX_KEYS: usize = 50;
/// Most bytes of the object as compact JSON.
pub(super) const MAX_BYTES: usize = 4096;
/// Deepest nesting, the object itself not counted.
pub(super) const MAX_DEPTH: usize = 3;
const MAX_KEY: usize = 64;
const MAX_VALUE: usize = 1000;
/// As a card shows its number.
const GROUPS: usize = 4;
const GROUP_LENGTH: usize = 4;

/// Reads the field `metadata`: compact JSON text, `{}` when absent.
pub(super) fn read(body: &mut ObjectReader<'_>) -> String {
    match body.take("metadata") {
        None => "{}".to_owned(),
        Some(json) => {
            let checked = check(&json);
            if let Err(refusal) = checked {
                body.fault("metadata", refusal);
            }
            json.to_string()
        }
    }
}

fn check(json: &Json) -> Result<(), Refusal> {
    let Json::Object(members) = json else { return Err(("must_be_object", "send a JSON object".to_owned())) };
    if members.len() > MAX_KEYS {
        return Err(("too_many_members", format!("at most {MAX_KEYS} keys")));
    }
    check_value(json, 0)?;
    let stored = json.to_string();
    if stored.len() > MAX_BYTES {
        return Err(("too_long", format!("at most {MAX_BYTES} bytes of JSON")));
    }
    // As a whole too: the groups of a card number may be the elements of a list.
    text::refuse_card_number(&stored)
}

fn check_value(json: &Json, depth: usize) -> Result<(), Refusal> {
    if depth > MAX_DEPTH {
        return Err(("nested_too_deep", format!("at most {MAX_DEPTH} levels inside metadata")));
    }
    match json {
        Json::Null | Json::Bool(_) => Ok(()),
        Json::Number(digits) => refuse_card_number_as_number(digits),
        Json::Text(content) if content.is_empty() => Ok(()),
        Json::Text(content) => text::line(content, MAX_VALUE).map(|_| ()),
        Json::List(elements) => {
            refuse_card_number_over_members(elements.iter())?;
            elements.iter().try_for_each(|element| check_value(element, depth + 1))
        }
        Json::Object(members) => {
            refuse_card_number_over_members(members.iter().map(|(_, member)| member))?;
            members.iter().try_for_each(|(name, member)| {
                text::line(name, MAX_KEY)?;
                check_value(member, depth + 1)
            })
        }
    }
}

/// A form with a field for each of the four groups of a card, or a list of them, each maybe in an object of its own, with
/// nothing between them or members that say nothing. Other ways of cutting a number up are let pass: a policy of
/// eight digits beside a date, or a code beside a telephone number, would be refused once in ten.
fn refuse_card_number_over_members<'a>(members: impl Iterator<Item = &'a Json>) -> Result<(), Refusal> {
    let mut groups = Vec::new();
    for member in members {
        match only_text(member) {
            Some("") => continue,
            Some(text) if is_group(text) => groups.push(text),
            _ => groups.clear(),
        }
        if let Some(last) = groups.len().checked_sub(GROUPS).and_then(|from| groups.get(from..)) {
            text::refuse_card_number(&last.join("-"))?;
        }
    }
    Ok(())
}

/// The text or number that a value is, or that is the only one in it; empty for what says nothing.
fn only_text(json: &Json) -> Option<&str> {
    match json {
        Json::Text(text) => Some(text.trim()),
        Json::Number(digits) => Some(digits),
        Json::Null => Some(""),
        Json::Bool(_) => None,
        Json::List(elements) => match elements.as_slice() {
            [] => Some(""),
            [only] => only_text(only),
            _ => None,
        },
        Json::Object(members) => match members.as_slice() {
            [] => Some(""),
            [(_, only)] => only_text(only),
            _ => None,
        },
    }
}

fn is_group(text: &str) -> bool {
    text.len() == GROUP_LENGTH && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A card number sent as a number may have got a `.0` or an exponent on its way: `4.242424242424242e15`.
fn refuse_card_number_as_number(number: &str) -> Result<(), Refusal> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, ""));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    text::refuse_card_number(whole)?;
    if exponent.is_empty() { Ok(()) } else { text::refuse_card_number(&format!("{whole}{fraction}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    fn code_of(text: &str) -> Option<&'static str> {
        check(&json::read(text.as_bytes()).unwrap()).err().map(|(code, _)| code)
    }

    #[test]
    fn card_numbers_are_found_wherever_they_hide() {
        for text in [
            r#"{"note":"4242 4242 4242 4242"}"#,
            r#"{"4242424242424242":"note"}"#,
            r#"{"a":{"b":["x",4242424242424242]}}"#,
            r#"{"a":5555555555554444}"#,
            r#"{"a":5555555555554444.0}"#,
            r#"{"a":5555555555554444e0}"#,
            r#"{"a":4.242424242424242e15}"#,
            r#"{"a":["4242","4242","4242","4242"]}"#,
            r#"{"a":[4242,4242,4242,4242]}"#,
            r#"{"a":"{\"card\":\"4242\\u00a04242\\u00a04242\\u00a04242\"}"}"#,
            r#"{"a":"%34242%204242%204242%204242"}"#,
            r#"{"a":"4242","b":"4242","c":"4242","d":"4242"}"#,
            r#"{"a":"4242","b":"","c":"4242","d":null,"e":4242,"f":[],"g":"4242"}"#,
            r#"{"a":[{"n":4242},{"n":4242},{"n":4242},{"n":4242}]}"#,
            r#"{"a":{"n":"4242"},"b":{"n":" 4242 "},"c":["4242"],"d":"4242"}"#,
            r#"{"policy":"1234","form":{"month":"12","a":"4012","b":4242,"c":"4242","d":"4242","e":"4242","code":"123"}}"#,
        ] {
            assert_eq!(code_of(text), Some("card_data_not_allowed"), "{text}");
        }
    }

    /// One number in ten passes Luhn's check: a hundred of a kind show whether the kind is safe.
    #[test]
    fn numbers_beside_one_another_pass() {
        for number in 0..100 {
            let date = format!("202611{:02}", number % 28 + 1);
            for text in [
                format!(r#"{{"policy":"450012{number:02}","date":"{date}"}}"#),
                format!(r#"{{"policy":"4500{number:04}","phone":"87273450125"}}"#),
                format!(r#"{{"iin":"650101300{number:03}","branch":"4501"}}"#),
                format!(r#"{{"branch":"4501","product":"00{number:02}","phone":"77013450{number:03}"}}"#),
                format!(r#"{{"branch":"4501","agent":45{number:02},"series":"4545","policy":"450{number:02}"}}"#),
                format!(
                    r#"{{"policies":[{{"year":2026,"code":45{number:02}}},{{"year":2026,"code":45{number:02}}}]}}"#
                ),
                format!(r#"{{"a":[{{"year":2024}},{{"year":2025}},{{"year":2026}},{{"n":45{number:02}}}]}}"#),
                format!(r#"{{"branch":"4501","agent":"00{number:02}","kind":"x","series":"4545","year":"2026"}}"#),
            ] {
                assert_eq!(code_of(&text), None, "{text}");
            }
        }
    }

    #[test]
    fn limits_hold() {
        assert_eq!(code_of(r#"{"policy":"OGPO","n":1.5,"ok":true,"none":null,"a":{"b":{"c":1}},"empty":""}"#), None);
        assert_eq!(code_of(r#"{"place":[43.23894912345678,71.44907412345675],"share":0.4242424242424242}"#), None);
        assert_eq!(code_of(r#"{"a":{"b":{"c":{"d":1}}}}"#), Some("nested_too_deep"));
        assert_eq!(code_of("{\"a\":\"x\\ny\"}"), Some("control_characters"));
        let keys: Vec<String> = (0..51).map(|index| format!("\"k{index}\":1")).collect();
        assert_eq!(code_of(&format!("{{{}}}", keys.join(","))), Some("too_many_members"));
        let long: Vec<String> = (0..6).map(|index| format!("\"k{index}\":\"{}\"", "x".repeat(900))).collect();
        assert_eq!(code_of(&format!("{{{}}}", long.join(","))), Some("too_long"));
    }
}

//! How notifications are spelled and signed: .NET form encoding and two HMAC headers.
//!
//! Limits: UTF-8 only (the real service can also send Windows-1251).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Encodes like .NET's `HttpUtility.UrlEncode`: lowercase hex, space as `+`, `-_.!*()` left alone.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'!' | b'*' | b'(' | b')' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

/// A form body: `Key=value&Key=&…` in the given order.
pub fn form<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = fields.into_iter().map(|(key, value)| format!("{key}={}", encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Decodes a whole form text: `+` to space, `%xx` to bytes. Broken escapes stay as they are.
pub fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = if byte == b'%' { hex_pair(tail) } else { None };
        rest = match escaped {
            Some((decoded, after)) => {
                out.push(decoded);
                after
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                tail
            }
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Splits and decodes a form body or a query string.
pub fn parse_form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// `base64(HMAC-SHA256(secret, message))`
pub fn sign(secret: &str, message: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new(); // HMAC takes keys of any length.
    };
    mac.update(message.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn hex_pair(tail: &[u8]) -> Option<(u8, &[u8])> {
    let (pair, after) = tail.split_at_checked(2)?;
    if !pair.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let text = std::str::from_utf8(pair).ok()?;
    Some((u8::from_str_radix(text, 16).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_like_dot_net() {
        assert_eq!(
            encode("Чай + кофе & 100% = «ок»"),
            "%d0%a7%d0%b0%d0%b9+%2b+%d0%ba%d0%be%d1%84%d0%b5+%26+100%25+%3d+%c2%ab%d0%be%d0%ba%c2%bb"
        );
        assert_eq!(encode("-_.!*()~'"), "-_.!*()%7e%27");
    }

    #[test]
    fn decodes_once() {
        assert_eq!(decode("a+b%2bc%D0%A7%2526"), "a b+cЧ%26");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }

    #[test]
    fn parses_forms() {
        assert_eq!(
            parse_form("a=1&b=&c"),
            [("a".into(), "1".into()), ("b".into(), String::new()), ("c".into(), String::new())]
        );
    }
}

//! Bodies of requests: from strict JSON to what the use cases take, all faults at once.

use std::net::IpAddr;

use actix_web::http::Uri;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::fields::{ObjectReader, complete};
use super::json::Json;
use super::metadata;
use super::text::{self, Refusal};
use crate::app::{NewMethod, NewPayment, NewReconciliation, NewRefund};
use crate::clock::Timestamp;
use crate::domain::money::Money;
use crate::domain::payment::{CaptureMode, Language, Payer};
use crate::error::Result;

/// Seconds a payment may wait for its payer: a minute to thirty days.
pub(super) const EXPIRES_IN_S: std::ops::RangeInclusive<i64> = 60..=2_592_000;
/// Longest `return_url`, characters.
pub(super) const MAX_URL: usize = 2000;
const DAY_S: i64 = 86_400;
/// Longest window of a comparison with the register, seconds.
const MAX_WINDOW_S: i64 = 7 * DAY_S;
const MAX_CRYPTOGRAM: usize = 8192;
const MAX_PA_RES: usize = 65_536;

/// Reads the body of `POST /v1/payments`.
///
/// # Errors
/// Every fault of the body.
pub(super) fn new_payment(json: Json) -> Result<NewPayment> {
    let mut faults = Vec::new();
    let mut body = ObjectReader::body(json, &mut faults);
    for name in ["amount", "invoice_id", "description"] {
        body.require(name);
    }
    let amount = body.money("amount");
    let invoice_id = body.line("invoice_id", 100);
    let description = body.line("description", 250);
    let capture = body.choice("capture", "automatic, manual", CaptureMode::parse).unwrap_or(CaptureMode::Automatic);
    let language = body.choice("language", "kk, ru, en", Language::parse).unwrap_or(Language::Ru);
    let return_url = body.parsed("return_url", return_url);
    let expires_in_s = body.integer("expires_in", EXPIRES_IN_S);
    let metadata = metadata::read(&mut body);
    let method = method(&mut body);
    let payer = payer(&mut body, matches!(method, Some(NewMethod::CardCryptogram { .. })));
    body.finish();
    let read = (amount, invoice_id, description, method);
    let new = match read {
        (Some(amount), Some(invoice_id), Some(description), Some(method)) => Some(NewPayment {
            amount,
            invoice_id,
            description,
            payer,
            capture,
            language,
            return_url,
            expires_in_s,
            metadata,
            method,
        }),
        _ => None,
    };
    complete(new, faults)
}

fn payer(body: &mut ObjectReader<'_>, with_card_data: bool) -> Payer {
    if with_card_data && !body.has("payer") {
        body.fault(
            "payer",
            ("required", "card data needs payer.ip_address, the address of the payer's browser".to_owned()),
        );
    }
    let Some(mut reader) = body.object("payer") else { return Payer::default() };
    if with_card_data && !reader.has("ip_address") {
        reader.fault("ip_address", ("required", "card data needs the address of the payer's browser".to_owned()));
    }
    let payer = Payer {
        account_id: reader.line("account_id", 100),
        email: reader.parsed("email", email),
        phone: reader.parsed("phone", phone),
        name: reader.line("name", 100),
        ip_address: reader.parsed("ip_address", ip_address),
    };
    reader.finish();
    payer
}

fn method(body: &mut ObjectReader<'_>) -> Option<NewMethod> {
    if !body.has("method") {
        return Some(NewMethod::Widget);
    }
    let mut reader = body.object("method")?;
    reader.require("type");
    let method = match reader.choice("type", "widget, card_cryptogram", method_type)? {
        MethodType::Widget => Some(NewMethod::Widget),
        MethodType::CardCryptogram => card_cryptogram(&mut reader),
    };
    reader.finish();
    method
}

#[derive(Clone, Copy)]
enum MethodType {
    Widget,
    CardCryptogram,
}

fn method_type(text: &str) -> Option<MethodType> {
    match text {
        "widget" => Some(MethodType::Widget),
        "card_cryptogram" => Some(MethodType::CardCryptogram),
        _ => None,
    }
}

fn card_cryptogram(reader: &mut ObjectReader<'_>) -> Option<NewMethod> {
    reader.require("cryptogram");
    let cryptogram = reader.parsed("cryptogram", cryptogram);
    let cardholder_name = reader.line("cardholder_name", 100);
    Some(NewMethod::CardCryptogram { cryptogram: cryptogram?, cardholder_name })
}

/// A cryptogram is opaque, except that a bare card number is never one.
fn cryptogram(content: &str) -> Result<SecretString, Refusal> {
    let content = text::token(content, MAX_CRYPTOGRAM)?;
    refuse_bare_card_number(content)?;
    Ok(SecretString::from(content))
}

/// What is encrypted or encoded has letters, and may have any digits between them.
fn refuse_bare_card_number(content: &str) -> Result<(), Refusal> {
    let has_letters = content.bytes().any(|byte| byte.is_ascii_alphabetic());
    if has_letters { Ok(()) } else { text::refuse_card_number(content) }
}

fn email(content: &str) -> Result<String, Refusal> {
    let refusal = || ("not_an_email", "send an address such as name@example.kz".to_owned());
    let content = text::line(content, 254)?;
    let (local, host) = content.rsplit_once('@').ok_or_else(refusal)?;
    let host_holds = host.contains('.') && host.split('.').all(|label| !label.is_empty());
    if local.is_empty()
        || local.contains('@')
        || !host_holds
        || content.contains(|character: char| character.is_whitespace() || "<>,;\"".contains(character))
    {
        return Err(refusal());
    }
    Ok(content.to_owned())
}

fn phone(content: &str) -> Result<String, Refusal> {
    let digits = content.strip_prefix('+').unwrap_or_default();
    // Up to 13 digits behind a `+` are a telephone number: those of Germany and Brazil begin as Visa and Mastercard do.
    if !(7..=13).contains(&digits.len()) {
        text::refuse_card_number(content)?;
    }
    if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(("not_a_phone", "send + and 7 to 15 digits, such as +77000000000".to_owned()));
    }
    Ok(content.to_owned())
}

fn ip_address(content: &str) -> Result<String, Refusal> {
    let address: IpAddr = content
        .parse()
        .map_err(|_| ("not_an_ip_address", "send an IPv4 or IPv6 address, such as 203.0.113.7".to_owned()))?;
    Ok(address.to_string())
}

/// The payer's browser is sent there: absolute, encrypted unless it stays on this machine, and without a password in it.
fn return_url(content: &str) -> Result<String, Refusal> {
    let refusal = || {
        (
            "not_a_url",
            "send an absolute https:// address without user name and password; http:// is taken for localhost only"
                .to_owned(),
        )
    };
    let content = text::line(content, MAX_URL)?;
    text::token(content, MAX_URL)?;
    if content.contains(['\\', '"', '<', '>', '`', '{', '}', '|', '^']) {
        return Err(refusal());
    }
    let without_fragment = content.split_once('#').map_or(content, |(address, _)| address);
    let uri: Uri = without_fragment.parse().map_err(|_| refusal())?;
    let authority = uri.authority().ok_or_else(refusal)?;
    let scheme_holds = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(authority.host()),
        _ => false,
    };
    if !scheme_holds || authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(refusal());
    }
    Ok(content.to_owned())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads the body of a refund.
///
/// # Errors
/// Every fault of the body.
pub(super) fn new_refund(json: Json) -> Result<NewRefund> {
    let mut faults = Vec::new();
    let mut body = ObjectReader::body(json, &mut faults);
    let new = NewRefund {
        amount: body.money("amount"),
        reason: body.line("reason", 250),
        expected_refundable: body.money("expected_refundable"),
    };
    body.finish();
    complete(Some(new), faults)
}

/// Reads the body of a capture.
///
/// # Errors
/// Every fault of the body.
pub(super) fn capture(json: Json) -> Result<Option<Money>> {
    let mut faults = Vec::new();
    let mut body = ObjectReader::body(json, &mut faults);
    let amount = body.money("amount");
    body.finish();
    complete(Some(amount), faults)
}

/// Reads why a person calls something settled: what a payment called for, a discrepancy.
///
/// # Errors
/// Every fault of the body.
pub(super) fn resolution(json: Json) -> Result<String> {
    let mut faults = Vec::new();
    let mut body = ObjectReader::body(json, &mut faults);
    body.require("reason");
    let reason = body.line("reason", 250);
    body.finish();
    complete(reason, faults)
}

/// Reads the body of `POST /v1/reconciliations`: a UTC day, or a window of at most seven days.
///
/// # Errors
/// Every fault of the body.
pub(super) fn new_reconciliation(json: Json) -> Result<NewReconciliation> {
    let mut faults = Vec::new();
    let mut body = ObjectReader::body(json, &mut faults);
    let by_day = body.has("date");
    let window = if by_day {
        let day = body.parsed("date", day);
        day.map(|from| NewReconciliation { from, to: from.plus_seconds(DAY_S) })
    } else {
        body.require("from");
        body.require("to");
        let (from, to) = (body.parsed("from", moment), body.parsed("to", moment));
        let window = from.zip(to).map(|(from, to)| NewReconciliation { from, to });
        if window.is_some_and(|new| !(1..=MAX_WINDOW_S).contains(&new.to.seconds_since(new.from))) {
            body.fault("to", ("out_of_range", "send a moment after `from`, at most seven days later".to_owned()));
        }
        window
    };
    body.finish();
    complete(window, faults)
}

fn day(content: &str) -> Result<Timestamp, Refusal> {
    let digits = content.len() == 10 && content.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let begins = digits.then(|| Timestamp::parse_rfc3339(&format!("{content}T00:00:00Z"))).flatten();
    begins.ok_or_else(|| ("not_a_date", "send a day such as 2026-11-24".to_owned()))
}

fn moment(content: &str) -> Result<Timestamp, Refusal> {
    Timestamp::parse_rfc3339(content)
        .ok_or_else(|| ("not_a_moment", "send a moment such as 2026-11-24T00:00:00Z".to_owned()))
}

/// Reads a body that may hold nothing.
///
/// # Errors
/// Every field of the body.
pub(super) fn nothing(json: Json) -> Result<()> {
    let mut faults = Vec::new();
    ObjectReader::body(json, &mut faults).finish();
    complete(Some(()), faults)
}

/// Reads the bank's answer to 3-D Secure: the transaction (`md`) and `pa_res`.
///
/// # Errors
/// Every fault of the body.
pub(super) fn three_ds(json: Json) -> Result<(i64, SecretString)> {
    let mut faults = Vec::new();
    let mut body = ObjectReader::body(json, &mut faults);
    body.require("md");
    body.require("pa_res");
    let md = match body.take("md") {
        Some(json @ (Json::Text(_) | Json::Number(_))) => {
            let read = match &json {
                Json::Text(digits) => transaction_id(digits),
                Json::Number(digits) => transaction_id(digits),
                _ => None,
            };
            if read.is_none() {
                body.fault(
                    "md",
                    ("not_a_transaction", "send next_action.md as it was, a whole number in digits".to_owned()),
                );
            }
            read
        }
        Some(_) => {
            body.fault("md", ("must_be_string", "send next_action.md as it was".to_owned()));
            None
        }
        None => None,
    };
    let pa_res = body.parsed("pa_res", pa_res);
    body.finish();
    complete(md.zip(pa_res), faults)
}

/// The provider's number of a transaction: up to 18 digits above zero that are no card number.
pub(super) fn transaction_id(digits: &str) -> Option<i64> {
    let digits_only = !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits_only.then(|| digits.parse().ok()).flatten().filter(|number| *number > 0 && !text::holds_card_number(digits))
}

/// Base64, of which some banks send lines.
pub(super) fn pa_res(content: &str) -> Result<SecretString, Refusal> {
    let mut joined = Zeroizing::new(String::with_capacity(content.len()));
    joined.extend(content.chars().filter(|character| !matches!(character, '\r' | '\n')));
    let content = text::token(&joined, MAX_PA_RES)?;
    refuse_bare_card_number(content)?;
    Ok(SecretString::from(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::http::json;

    const GOOD: &str = r#"{"amount":{"value":"12500.00","currency":"KZT"},"invoice_id":"KM-1","description":"Полис"}"#;

    fn faults_of(body: &str) -> Vec<(String, &'static str)> {
        match json::read(body.as_bytes()).and_then(new_payment) {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn with(field: &str) -> String {
        format!("{},{field}}}", GOOD.strip_suffix('}').unwrap())
    }

    #[test]
    fn names_every_fault_at_once() {
        assert_eq!(faults_of(GOOD), []);
        let required = |name: &str| (format!("/{name}"), "required");
        assert_eq!(faults_of("{}"), [required("amount"), required("invoice_id"), required("description")]);
        assert_eq!(faults_of("[]"), [(String::new(), "must_be_object")]);
    }

    #[test]
    fn refuses_each_faulty_field() {
        let long = format!(
            r#""method":{{"type":"card_cryptogram","cryptogram":"{}"}},"payer":{{"ip_address":"::1"}}"#,
            "x".repeat(8193)
        );
        let cases = [
            (r#""payer":{"email":"a@b"}"#, "/payer/email", "not_an_email"),
            (r#""payer":{"phone":"87273450125"}"#, "/payer/phone", "not_a_phone"),
            (r#""payer":{"ip_address":"1.2.3"}"#, "/payer/ip_address", "not_an_ip_address"),
            (r#""payer":{"name":"4242 4242 4242 4242"}"#, "/payer/name", "card_data_not_allowed"),
            (r#""payer":{"nmae":"A"}"#, "/payer/nmae", "unknown_field"),
            (r#""capture":"later""#, "/capture", "not_one_of"),
            (r#""language":"de""#, "/language", "not_one_of"),
            (r#""expires_in":59"#, "/expires_in", "out_of_range"),
            (r#""expires_in":60.5"#, "/expires_in", "must_be_integer"),
            (r#""expires_in":"60""#, "/expires_in", "must_be_integer"),
            (r#""return_url":"http://kmic.kz/""#, "/return_url", "not_a_url"),
            (r#""return_url":"https://user:pass@kmic.kz/""#, "/return_url", "not_a_url"),
            (r#""return_url":"javascript:alert(1)""#, "/return_url", "not_a_url"),
            (r#""return_url":"/thanks""#, "/return_url", "not_a_url"),
            (r#""metadata":[]"#, "/metadata", "must_be_object"),
            (r#""method":{"type":"saved_card"}"#, "/method/type", "not_one_of"),
            (r#""method":{"type":"widget","cryptogram":"x"}"#, "/method/cryptogram", "unknown_field"),
            (r#""method":{}"#, "/method/type", "required"),
            (r#""method":{"type":"card_cryptogram"},"payer":{"ip_address":"::1"}"#, "/method/cryptogram", "required"),
            (r#""method":{"type":"card_cryptogram","cryptogram":"x"}"#, "/payer", "required"),
            (r#""method":{"type":"card_cryptogram","cryptogram":"x"},"payer":{}"#, "/payer/ip_address", "required"),
            (long.as_str(), "/method/cryptogram", "too_long"),
            (r#""surprise":1"#, "/surprise", "unknown_field"),
        ];
        for (field, pointer, code) in cases {
            assert_eq!(faults_of(&with(field)), [(pointer.to_owned(), code)], "{field}");
        }
    }

    #[test]
    fn takes_what_is_right() {
        for field in [
            r#""return_url":"https://kmic.kz/thanks?order=1#top""#,
            r#""return_url":"http://127.0.0.1:3000/thanks""#,
            r#""return_url":"http://[::1]:3000/""#,
            r#""payer":{"account_id":"a5d3c9e1-bf2a-4abc-8242-424242424242","email":"payer@example.test","phone":"+77000000000","ip_address":"2001:db8::1"}"#,
            r#""method":{"type":"card_cryptogram","cryptogram":"014242424242424242+/=A"},"payer":{"ip_address":"203.0.113.7"}"#,
            r#""payer":{"phone":"+4915123456784"}"#,
        ] {
            assert_eq!(faults_of(&with(field)), [], "{field}");
        }
    }

    #[test]
    fn a_comparison_is_of_a_day_or_of_a_window() {
        let read = |body: &str| json::read(body.as_bytes()).and_then(new_reconciliation);
        let day = read(r#"{"date":"2026-11-24"}"#).unwrap();
        let window = read(r#"{"from":"2026-11-24T05:00:00+05:00","to":"2026-11-25T00:00:00Z"}"#).unwrap();
        assert_eq!((day.from, day.to), (window.from, window.to));
        assert!(read(r#"{"from":"2026-11-24T00:00:00Z","to":"2026-12-01T00:00:00Z"}"#).is_ok());
        for wrong in [
            "{}",
            "[]",
            r#"{"date":"2026-13-01"}"#,
            r#"{"date":"24.11.2026"}"#,
            r#"{"date":20261124}"#,
            r#"{"date":"2026-11-24","from":"2026-11-24T00:00:00Z"}"#,
            r#"{"from":"2026-11-24T00:00:00Z"}"#,
            r#"{"from":"2026-11-24","to":"2026-11-25"}"#,
            r#"{"from":"2026-11-24T00:00:00Z","to":"2026-11-24T00:00:00Z"}"#,
            r#"{"from":"2026-11-24T00:00:00Z","to":"2026-12-01T00:00:01Z"}"#,
        ] {
            assert!(matches!(read(wrong), Err(Error::Invalid(_))), "{wrong}");
        }
    }

    #[test]
    fn reads_the_banks_answer() {
        let read = |body: &str| json::read(body.as_bytes()).and_then(three_ds).map(|(md, _)| md);
        assert_eq!(read(r#"{"md":"3541977847","pa_res":"eJx"}"#).unwrap(), 3_541_977_847);
        assert_eq!(read(r#"{"md":3541977847,"pa_res":"eJx"}"#).unwrap(), 3_541_977_847);
        for body in [
            r#"{"md":"-1","pa_res":"x"}"#,
            r#"{"md":"1","pa_res":""}"#,
            r#"{"md":"1"}"#,
            r#"{"md":1.5,"pa_res":"x"}"#,
            r#"{"md":true,"pa_res":"x"}"#,
            r#"{"md":"4242424242424242","pa_res":"x"}"#,
            r#"{"md":"1","pa_res":"4242-4242-4242-4242"}"#,
        ] {
            assert!(matches!(read(body), Err(Error::Invalid(_))), "{body}");
        }
    }
}

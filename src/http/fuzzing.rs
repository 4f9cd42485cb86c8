//! Targets of the HTTP interface: bodies, forms, query strings, cursors, headers.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;

use super::cursor::{self, Binding};
use super::problem::{Problem, TABLE};
use super::query::QueryReader;
use super::{approvals, bodies, extract, json, payments, request_ids, three_ds};
use crate::app::{NewMethod, NewPayment, NewSubject};
use crate::domain::card_data::contains_card_number;
use crate::domain::id::EventId;
use crate::domain::money::Money;
use crate::error::Error;
use crate::fuzzing::choice;

/// A refusal is a document of the table that says nothing back that could be a card number.
fn expect_refusal(error: Error) {
    let document = Problem::from(error).document("req_1");
    let text = String::from_utf8_lossy(&document);
    assert!(!contains_card_number(&text), "{text}");
    let shown: serde_json::Value = serde_json::from_slice(&document).unwrap_or_default();
    let row = TABLE.iter().find(|row| shown.get("code").and_then(|code| code.as_str()) == Some(row.code));
    assert!(row.is_some_and(|row| row.status < 500), "{text}");
    assert!(
        ["type", "title", "status", "detail", "request_id"].iter().all(|name| shown.get(*name).is_some()),
        "{text}"
    );
}

fn expect_harmless<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) {
    for text in texts.into_iter().flatten() {
        assert!(!contains_card_number(text), "{text:?}");
        assert!(!text.chars().any(char::is_control) && !text.is_empty(), "{text:?}");
    }
}

/// The body of every request that takes one.
pub(crate) fn request_body(data: &[u8]) {
    let (choice, body) = choice(data);
    let read = match json::read(body) {
        Ok(read) => read,
        Err(error) => return expect_refusal(error),
    };
    // A common reader takes it for the same, numbers aside that it cannot hold.
    let written = read.to_string();
    let common = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
    assert_eq!(common(body), common(written.as_bytes()), "{written}");
    assert_eq!(json::read(written.as_bytes()).ok().as_ref(), Some(&read));
    let refused = match choice % 5 {
        0 => bodies::new_payment(read).map(|new| expect_payment(&new)).err(),
        1 => approvals::new_approval(read)
            .map(|new| {
                expect_harmless([Some(new.reason.as_str())]);
                if let NewSubject::Refund { amount } = new.subject {
                    expect_amount(amount);
                }
            })
            .err(),
        2 => bodies::new_refund(read)
            .map(|new| {
                [new.amount, new.expected_refundable].into_iter().flatten().for_each(expect_amount);
                expect_harmless([new.reason.as_deref()]);
            })
            .err(),
        3 => bodies::capture(read).map(|amount| amount.into_iter().for_each(expect_amount)).err(),
        _ => bodies::three_ds(read)
            .map(|(md, pa_res)| {
                assert!(md > 0 && !contains_card_number(&md.to_string()));
                assert!(pa_res.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()));
            })
            .err(),
    };
    if let Some(error) = refused {
        expect_refusal(error);
    }
}

fn expect_amount(amount: Money) {
    assert!(amount.minor > 0);
    assert_eq!(Money::parse(&amount.to_decimal(), amount.currency), Ok(amount));
}

fn expect_payment(new: &NewPayment) {
    expect_amount(new.amount);
    let payer = &new.payer;
    expect_harmless([
        Some(new.invoice_id.as_str()),
        Some(new.description.as_str()),
        Some(new.metadata.as_str()),
        new.return_url.as_deref(),
        payer.account_id.as_deref(),
        payer.email.as_deref(),
        payer.name.as_deref(),
    ]);
    let metadata = json::read(new.metadata.as_bytes()).map(|read| read.to_string());
    assert_eq!(metadata.ok().as_deref(), Some(new.metadata.as_str()));
    if let NewMethod::CardCryptogram { cryptogram, cardholder_name } = &new.method {
        expect_harmless([cardholder_name.as_deref()]);
        assert!(payer.ip_address.is_some());
        assert!(!format!("{new:?}").contains(cryptogram.expose_secret()) || cryptogram.expose_secret().len() < 20);
    }
    if let Some(url) = &new.return_url {
        assert!(url.starts_with("https://") || url.starts_with("http://") || url.starts_with("HTTP"), "{url}");
    }
}

/// What the bank's page posts.
pub(crate) fn bank_form(data: &[u8]) {
    match three_ds::bank_form(data) {
        Ok((md, pa_res)) => {
            assert!(md > 0 && !pa_res.expose_secret().is_empty());
        }
        Err(error) => expect_refusal(error),
    }
}

/// The query string of the longest list, of the feed, and of a single thing.
pub(crate) fn query(data: &[u8]) {
    let (choice, rest) = choice(data);
    let text = String::from_utf8_lossy(rest);
    let mut query = QueryReader::new(&text);
    let read = match choice % 3 {
        0 => {
            let filter = payments::filter(&mut query);
            let binding = payments::filter_binding(&filter);
            let limit = query.limit();
            query.cursor(binding, |last| Some(last.to_owned()));
            query.finish().map(|()| {
                assert!((1..=100).contains(&limit));
                expect_harmless([filter.invoice_id.as_deref(), filter.account_id.as_deref()]);
                assert!(filter.transaction_id.is_none_or(|id| id > 0 && !contains_card_number(&id.to_string())));
                assert!(payments::filter_binding(&filter) == binding);
            })
        }
        1 => {
            let after = query.shaped("after", "an id", EventId::parse);
            query.limit();
            query.finish().map(|()| assert!(after.is_none_or(|id| id.as_str().starts_with("evt_"))))
        }
        _ => {
            let wait = query.integer("wait", 0..=30);
            query.finish().map(|()| assert!(wait.is_none_or(|seconds| (0..=30).contains(&seconds))))
        }
    };
    if let Err(error) = read {
        expect_refusal(error);
    }
}

/// A cursor opens only where it was made, and there is one spelling of it.
pub(crate) fn cursor(data: &[u8]) {
    let (choice, rest) = choice(data);
    let text = String::from_utf8_lossy(rest);
    let bindings = [
        Binding::new("payments", &[None, None]),
        Binding::new("payments", &[Some(&text), None]),
        Binding::new("payments", &[None, Some(&text)]),
        Binding::new("refunds", &[None, None]),
    ];
    for (index, binding) in bindings.iter().enumerate() {
        if let Some(last) = cursor::open(&text, *binding) {
            assert_eq!(cursor::seal(&last, *binding), text);
        }
        let sealed = cursor::seal(&text, *binding);
        for (other, opener) in bindings.iter().enumerate() {
            let opened = cursor::open(&sealed, *opener);
            assert_eq!(opened.as_deref(), (index == other).then_some(text.as_ref()));
        }
        // One character of it changed opens nothing, or what it says then.
        let changed: String =
            sealed
                .char_indices()
                .map(|(at, letter)| {
                    if at == usize::from(choice) % sealed.len() {
                        if letter == 'A' { 'B' } else { 'A' }
                    } else {
                        letter
                    }
                })
                .collect();
        assert!(cursor::open(&changed, *binding).is_none_or(|last| last != text));
    }
}

/// The headers that are read: key of repetition, credentials, kind of body, id of the request.
pub(crate) fn header(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    for name in ["idempotency-key", "authorization", "content-type"] {
        headers.insert(HeaderName::from_static(name), value.clone());
    }
    match extract::idempotency_key(&headers) {
        Ok(key) => {
            assert!((1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
            assert!(!contains_card_number(&key), "{key}");
        }
        Err(error) => expect_refusal(error),
    }
    match extract::bearer(&headers) {
        Ok(secret) => assert!(!secret.is_empty() && secret.trim() == secret),
        Err(error) => expect_refusal(error),
    }
    let text = value.to_str().unwrap_or_default();
    assert!(!extract::is_json(&headers) || text.to_ascii_lowercase().trim_start().starts_with("application/json"));
    if request_ids::is_sane(text) {
        assert!(!contains_card_number(text) && text.len() <= request_ids::MAX_REQUEST_ID && text.is_ascii(), "{text}");
    }
}

//! Targets of the provider's side: notifications, their signatures, answers.

use secrecy::SecretString;

use super::answer::{parse_charge, parse_done, parse_list, parse_lookup, parse_refund};
use super::fields::form_pieces;
use super::notification::{NotificationFact, parse};
use super::outcome::{ChargeAnswer, Outcome};
use super::signature::Signatures;
use crate::domain::card_data::contains_card_number;
use crate::domain::evidence::{Fact, TransactionKind};
use crate::domain::money::Currency;
use crate::fuzzing::{choice, reference};

const KINDS: [NotificationFact; 6] = [
    NotificationFact::Check,
    NotificationFact::Pay,
    NotificationFact::Fail,
    NotificationFact::Confirm,
    NotificationFact::Refund,
    NotificationFact::Cancel,
];

/// Whatever a signed body holds, what is read of it keeps the laws of a fact, and names mean the same in any case.
pub(crate) fn notification(data: &[u8]) {
    let (choice, body) = choice(data);
    let is_json = choice & 1 == 1;
    let Ok(read) = parse(body, is_json) else { return };
    for kind in KINDS {
        for fallback in [None, Some(Currency::KZT)] {
            let Some(fact) = read.fact(kind, fallback) else { continue };
            let expected =
                if kind == NotificationFact::Refund { TransactionKind::Refund } else { TransactionKind::Payment };
            assert_eq!(fact.kind, expected);
            expect_fact(&fact);
            expect_numbers_as_sent(&fact, body);
        }
    }
    if !is_json {
        let shouted: Vec<String> = form_pieces(body)
            .map(|(name, value)| format!("{}={}", encoded(&name.to_ascii_uppercase()), encoded(&value)))
            .collect();
        let again = parse(shouted.join("&").as_bytes(), false).map(|again| format!("{again:?}"));
        assert_eq!(again, Ok(format!("{read:?}")));
    }
}

fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

fn expect_fact(fact: &Fact) {
    assert!(fact.transaction_id > 0);
    assert!(fact.parent_transaction_id.is_none_or(|id| id > 0));
    assert!(fact.amount.is_none_or(|amount| (0..1_000_000_000_000_000).contains(&amount.minor)));
    assert!(fact.reason_code != Some(0));
    let digits = |text: &Option<String>, length| {
        text.as_ref().is_none_or(|text| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    assert!(digits(&fact.card.first_six, 6) && digits(&fact.card.last_four, 4));
    assert!(fact.card.brand.as_ref().is_none_or(|brand| !brand.is_empty() && brand.chars().all(char::is_alphabetic)));
    expect_shown(fact.card.issuer.as_deref());
}

/// A text of the provider that is shown and logged.
fn expect_shown(text: Option<&str>) {
    let Some(text) = text else { return };
    assert!(!text.trim().is_empty() && text.chars().count() <= 200 && !text.chars().any(char::is_control), "{text:?}");
    assert!(!contains_card_number(text), "{text:?}");
}

/// No number went through floating point: its digits stand in what was sent, unless they were escaped.
fn expect_numbers_as_sent(fact: &Fact, sent: &[u8]) {
    let text = String::from_utf8_lossy(sent);
    if text.contains(['\\', '%']) {
        return;
    }
    assert!(text.contains(&fact.transaction_id.to_string()), "{}: {text}", fact.transaction_id);
    if let Some(amount) = fact.amount {
        let decimal = amount.to_decimal();
        let (whole, _) = decimal.split_once('.').unwrap_or((&decimal, ""));
        assert!(text.contains(whole), "{decimal}: {text}");
    }
}

/// No forged body is taken: what holds was made with the secret over these very bytes, and no other spelling of a signed
/// text reads otherwise.
pub(crate) fn signature(data: &[u8]) {
    let (choice, rest) = choice(data);
    let (position, body) = crate::fuzzing::choice(rest);
    let is_json = choice & 1 == 1;
    let keys: (&str, Option<&str>) = match choice >> 1 & 3 {
        0 => ("secret", None),
        1 => ("new-secret", Some("secret")),
        2 => ("secret", Some("")),
        _ => ("", None),
    };
    let signatures = Signatures::new(SecretString::from(keys.0), keys.1.map(SecretString::from));
    let knows_secret = keys != ("", None);
    let decoded = if is_json { body.to_vec() } else { reference::form_decoded(body) };
    let raw_mac = reference::base64(&reference::hmac(b"secret", body));
    let decoded_mac = reference::base64(&reference::hmac(b"secret", &decoded));

    assert!(!signatures.holds(body, is_json, None, None));
    let empty = reference::base64(&reference::hmac(b"", body));
    assert!(
        !signatures.holds(body, is_json, Some(&empty), None) && !signatures.holds(body, is_json, None, Some(&empty))
    );
    if is_json {
        assert_eq!(signatures.holds(body, true, Some(&raw_mac), None), knows_secret);
        assert_eq!(signatures.holds(body, true, None, Some(&raw_mac)), knows_secret);
    }
    // A header that came along: taken only when it is the true one.
    let header = String::from_utf8_lossy(body.get(..44).unwrap_or(body));
    for (given, true_mac) in [(header.trim(), &raw_mac), (header.trim(), &decoded_mac)] {
        let holds =
            signatures.holds(body, is_json, Some(given), None) || signatures.holds(body, is_json, None, Some(given));
        assert!(!holds || given == true_mac, "{given}");
    }
    // One bit of the body changed.
    let mut changed = body.to_vec();
    if let Some(index) = usize::from(position).checked_rem(changed.len())
        && let Some(byte) = changed.get_mut(index)
    {
        *byte ^= 1 << (choice >> 5);
        assert!(!signatures.holds(&changed, is_json, Some(&raw_mac), None));
        let same_text = !is_json && reference::form_decoded(&changed) == decoded;
        assert!(same_text || !signatures.holds(&changed, is_json, None, Some(&decoded_mac)));
    }
    if !is_json && knows_secret {
        one_reading(&signatures, body, &decoded, &decoded_mac, position);
    }
}

/// Every spelling of a signed text that holds reads the same.
fn one_reading(signatures: &Signatures, body: &[u8], decoded: &[u8], decoded_mac: &str, seed: u8) {
    let spell = |encode: &dyn Fn(usize, u8) -> bool| -> Vec<u8> {
        decoded
            .iter()
            .enumerate()
            .flat_map(
                |(index, byte)| if encode(index, *byte) { format!("%{byte:02X}").into_bytes() } else { vec![*byte] },
            )
            .collect()
    };
    let seed = usize::from(seed);
    let spellings = [
        body.to_vec(),
        spell(&|_, byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'&' | b'=')),
        spell(&|_, _| true),
        spell(&|_, byte| byte == b'&'),
        spell(&|_, byte| byte == b'='),
        spell(&|index, byte| index % (seed + 2) == seed % 2 || !byte.is_ascii_graphic()),
        spell(&|index, _| index == seed),
    ];
    let readings: Vec<String> = spellings
        .iter()
        .filter(|spelling| signatures.holds(spelling, false, None, Some(decoded_mac)))
        .map(|spelling| format!("{:?}", parse(spelling, false)))
        .collect();
    if let Some(first) = readings.first() {
        assert!(readings.iter().all(|reading| reading == first), "{readings:#?}");
    }
}

/// Whatever comes back, nothing is made up: no answer without HTTP 200, none about another transaction, no number that was
/// not sent.
pub(crate) fn answer(data: &[u8]) {
    let (choice, body) = choice(data);
    let status = if choice & 0x80 == 0 { 200 } else { 500 };
    let expected = (choice & 0x40 != 0).then_some(3_541_977_847);
    let kind = (choice & 0x20 != 0).then_some(TransactionKind::Payment);
    let answered = match choice & 7 {
        0 | 1 => {
            let outcome = parse_charge(status, body, expected);
            if let Outcome::Answered(ChargeAnswer::ThreeDs(three_ds)) = &outcome {
                assert!(three_ds.acs_url.trim_start().to_ascii_lowercase().starts_with("http"), "{}", three_ds.acs_url);
                assert!(expected.is_none_or(|id| id == three_ds.transaction_id) && !three_ds.pa_req.is_empty());
            }
            expect_outcome(
                &outcome,
                |answer| match answer {
                    ChargeAnswer::Transaction(fact) => vec![fact],
                    ChargeAnswer::ThreeDs(_) => vec![],
                },
                body,
                expected,
            )
        }
        2 => expect_outcome(&parse_done(status, body), |()| vec![], body, None),
        3 => {
            let outcome = parse_refund(status, body);
            assert!(!matches!(&outcome, Outcome::Answered(refund) if refund.transaction_id <= 0));
            expect_outcome(&outcome, |_| vec![], body, None)
        }
        4 | 5 => {
            let outcome = parse_lookup(status, body, expected, kind);
            expect_outcome(&outcome, |found| found.iter().collect(), body, expected)
        }
        _ => expect_outcome(&parse_list(status, body), |page| page.facts.iter().collect(), body, None),
    };
    assert!(!answered || status == 200);
}

fn expect_outcome<T>(
    outcome: &Outcome<T>,
    facts: impl FnOnce(&T) -> Vec<&Fact>,
    body: &[u8],
    expected: Option<i64>,
) -> bool {
    if let Outcome::Refused { message } = outcome {
        expect_shown(message.as_deref());
    }
    assert!(!contains_card_number(&outcome.reason()), "{}", outcome.reason());
    let Outcome::Answered(answer) = outcome else { return false };
    for fact in facts(answer) {
        expect_fact(fact);
        expect_numbers_as_sent(fact, body);
        assert!(expected.is_none_or(|id| id == fact.transaction_id));
    }
    true
}

//! Signatures: recorded ones, changed ones, and other spellings of what was signed.

use proptest::prelude::*;
use secrecy::SecretString;

use super::super::fields::{form_pieces, url_decoded};
use super::super::notification::parse;
use super::super::signature::Signatures;
use super::{Recorded, recorded};
use crate::vault;

const KEY: &str = "fixture-api-secret-0001";

fn signatures(current: &str, previous: Option<&str>) -> Signatures {
    Signatures::new(SecretString::from(current), previous.map(SecretString::from))
}

fn hmac(message: &[u8]) -> String {
    vault::base64(&vault::hmac_sha256(KEY.as_bytes(), message))
}

#[test]
fn every_recorded_signature_holds() {
    let signatures = signatures(KEY, None);
    for Recorded { name, body, is_json, raw, decoded, .. } in recorded() {
        let holds = |raw: Option<&str>, decoded: Option<&str>| signatures.holds(&body, is_json, raw, decoded);
        assert!(holds(Some(&raw), None), "{name}");
        assert!(holds(Some(&raw), Some(&decoded)), "{name}");
        // Its description holds `&`: ambiguous once decoded.
        assert_eq!(holds(None, Some(&decoded)), name != "check_special_chars", "{name}");
        assert!(!holds(None, None), "{name}");
        assert!(!holds(Some(""), Some(&decoded)), "{name}");
        assert!(!holds(Some(&decoded), Some(&decoded)) || is_json, "{name}");
        assert!(!holds(None, Some(&raw)) || is_json, "{name}");
    }
}

#[test]
fn no_changed_byte_passes() {
    let signatures = signatures(KEY, None);
    for Recorded { name, body, is_json, raw, decoded, .. } in recorded() {
        for position in 0..body.len() {
            let mut changed = body.clone();
            changed[position] ^= 1;
            assert!(!signatures.holds(&changed, is_json, Some(&raw), Some(&decoded)), "{name} {position}");
            assert!(!signatures.holds(&changed, is_json, None, Some(&decoded)), "{name} {position}");
        }
        for position in 0..raw.len() {
            let mut changed = raw.clone().into_bytes();
            changed[position] ^= 1;
            let changed = String::from_utf8_lossy(&changed).into_owned();
            assert!(!signatures.holds(&body, is_json, Some(&changed), None), "{name} {position}");
        }
    }
}

#[test]
fn the_secret_can_be_replaced_and_none_accepts_nothing() {
    let pay = recorded().into_iter().find(|recorded| recorded.name == "pay").unwrap();
    let holds = |signatures: Signatures| signatures.holds(&pay.body, false, Some(&pay.raw), None);
    assert!(holds(signatures("new", Some(KEY))));
    assert!(!holds(signatures("new", None)));
    assert!(!holds(signatures("new", Some("other"))));
    let unsigned = vault::base64(&vault::hmac_sha256(b"", b"A=1"));
    assert!(!signatures("", Some("")).holds(b"A=1", false, Some(&unsigned), Some(&unsigned)));
    assert!(!signatures("", None).holds(b"A=1", false, Some(&hmac(b"A=1")), None));
}

#[test]
fn another_spelling_of_a_signed_text_does_not_pass() {
    let signatures = signatures(KEY, None);
    let genuine: &[u8] =
        b"TransactionId=1&Amount=10.00&Status=Declined&Name=x%26Status%3dCompleted&DateTime=2026-03-02+05%3a14%3a07";
    let decoded = url_decoded(genuine);
    let signed = hmac(&decoded);
    assert!(signatures.holds(genuine, false, Some(&hmac(genuine)), None));
    for spelling in [
        // As it was: ambiguous.
        String::from_utf8_lossy(genuine).into_owned(),
        // The value becomes a field.
        "TransactionId=1&Amount=10.00&Status=Declined&Name=x&Status=Completed&DateTime=2026-03-02+05:14:07".to_owned(),
        // A field becomes a value.
        "TransactionId=1&Amount=10.00%26Status=Declined&Name=x&Status=Completed&DateTime=2026-03-02+05:14:07"
            .to_owned(),
        // A name swallows its value.
        "TransactionId=1&Amount=10.00&Status%3dDeclined&Name=x&Status=Completed&DateTime=2026-03-02+05:14:07"
            .to_owned(),
    ] {
        assert_eq!(url_decoded(spelling.as_bytes()), decoded);
        assert!(!signatures.holds(spelling.as_bytes(), false, None, Some(&signed)), "{spelling}");
    }
    // The decoded text as the raw one, under the signature of the decoded text.
    assert!(!signatures.holds(&decoded, false, Some(&signed), None));
    // The raw text, encoded once more, under the signature of the raw text.
    let twice: String = genuine
        .iter()
        .map(|byte| if *byte == b'%' { "%25".to_owned() } else { char::from(*byte).to_string() })
        .collect();
    let twice = twice.replace('+', "%2b");
    assert_eq!(url_decoded(twice.as_bytes()), genuine);
    assert!(!signatures.holds(twice.as_bytes(), false, None, Some(&hmac(genuine))));
}

#[test]
fn json_is_not_taken_for_a_form() {
    let body = br#"{"TransactionId":1,"Description":"x&TransactionId=2&Amount=1.00&Currency=KZT&Status=Completed&y="}"#;
    let signatures = signatures(KEY, None);
    assert!(signatures.holds(body, true, Some(&hmac(body)), None));
    assert!(!signatures.holds(body, false, Some(&hmac(body)), None));
    assert!(!signatures.holds(body, false, None, Some(&hmac(body))));
    assert!(parse(body, false).is_err());
    assert!(parse(b"A=1", true).is_err());
    assert!(parse(b"", false).is_err() && parse(b"A=", false).is_err() && parse(b"{}", true).is_err());
}

proptest! {
    #[test]
    fn nothing_random_holds(bytes in proptest::collection::vec(any::<u8>(), 0..300), header in ".{0,60}") {
        let signatures = signatures(KEY, None);
        for is_json in [true, false] {
            prop_assert!(!signatures.holds(&bytes, is_json, Some(&header), Some(&header)));
            prop_assert!(!signatures.holds(&bytes, is_json, None, Some(&header)));
        }
    }

    /// However one signed text is spelled, the decoded signature lets at most one reading through.
    #[test]
    fn one_decoded_text_has_one_reading(text in "[aB1=&%+ ]{0,14}", one in any::<u64>(), other in any::<u64>()) {
        let spelled = |choice: u64| -> Vec<u8> {
            text.bytes().enumerate().flat_map(|(position, byte)| {
                let encode = choice >> (position % 64) & 1 == 1 || byte == b'+' || byte == b'%';
                if encode { format!("%{byte:02x}").into_bytes() } else { vec![byte] }
            }).collect()
        };
        let signatures = signatures(KEY, None);
        let signed = hmac(text.as_bytes());
        let reading = |form: &[u8]| -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
            signatures.holds(form, false, None, Some(&signed)).then(|| form_pieces(form).collect())
        };
        if let (Some(first), Some(second)) = (reading(&spelled(one)), reading(&spelled(other))) {
            prop_assert_eq!(first, second);
        }
    }
}

//! Which id a request has for its caller, and which one in our log and in the history.
//!
//! The history is never erased and the log is read by many, so a name or a number that a caller chose must get into
//! neither: they have a caller's id only where its shape leaves no room for such a thing, else one of our own. The caller
//! gets back what was sent.

use actix_web::dev::ServiceRequest;
use actix_web::web::Data;

use super::answer_headers::REQUEST_ID;
use super::server::Shared;
use super::text;
use crate::clock::Timestamp;
use crate::domain::id::RequestId;

pub(super) const MAX_REQUEST_ID: usize = 64;
/// More digits and nothing else, or as many in a row within an id, may be a telephone number or an identification number.
const MAX_PLAIN_NUMBER: usize = 10;
/// More in a row, dashes left out, may be the identification number of a person within an id: that has twelve. Fewer would cost
/// one id of ten that machines make.
const MAX_OVER_DASHES: usize = 11;
const UUID: [usize; 5] = [8, 4, 4, 4, 12];
const TRACE_ID: [usize; 1] = [32];
/// W3C Trace Context: version, trace, parent, flags.
const TRACEPARENT: [usize; 4] = [2, 32, 16, 2];
const ULID_LENGTH: usize = 26;
/// The first digits of a ULID are the time when it was made, in milliseconds.
const ULID_TIME_LENGTH: usize = 10;
/// ULIDs were thought up in 2016: 1 January, in milliseconds.
const FIRST_ULID_MS: i64 = 1_451_606_400_000;
/// The clock of who made it may be ahead of ours.
const DAY_MS: i64 = 86_400_000;
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The ids of one request.
pub(super) struct RequestIds {
    /// What `X-Request-Id` of the answer says.
    pub answered: String,
    /// What the log, the history and problem documents say.
    pub recorded: String,
}

impl RequestIds {
    pub(super) fn of(request: &ServiceRequest) -> RequestIds {
        let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
        match sent {
            Some(sent) if is_machine_made(sent, now(request)) => {
                RequestIds { answered: sent.to_owned(), recorded: sent.to_owned() }
            }
            Some(sent) => RequestIds { answered: sent.to_owned(), recorded: new_id(request) },
            None => {
                let id = new_id(request);
                RequestIds { answered: id.clone(), recorded: id }
            }
        }
    }
}

fn now(request: &ServiceRequest) -> Option<Timestamp> {
    request.app_data::<Data<Shared>>().map(|shared| shared.clock.now())
}

fn new_id(request: &ServiceRequest) -> String {
    match request.app_data::<Data<Shared>>() {
        Some(shared) => RequestId::generate(shared.clock.now(), shared.ids.as_ref()).as_str().to_owned(),
        None => String::new(),
    }
}

/// Whether it may be sent back.
pub(super) fn is_sane(id: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.bytes().all(harmless)
        && !is_long_number(id)
        && !text::holds_card_number(id)
}

/// The numbers of people have no letters.
fn is_long_number(id: &str) -> bool {
    let digits = id.bytes().filter(u8::is_ascii_digit).count();
    digits > MAX_PLAIN_NUMBER && !id.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A UUID, a ULID of until now, a trace id or a `traceparent`, in which no number of a person stands.
fn is_machine_made(id: &str, now: Option<Timestamp>) -> bool {
    let has_shape = is_hexadecimal(id, &UUID) || is_hexadecimal(id, &TRACE_ID) || is_hexadecimal(id, &TRACEPARENT);
    let longest = |id: &str| id.split(|character: char| !character.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    (has_shape || now.is_some_and(|now| is_ulid(id, now)))
        && id.bytes().any(|byte| byte.is_ascii_alphabetic())
        && longest(id) <= MAX_PLAIN_NUMBER
        && longest(&id.replace('-', "")) <= MAX_OVER_DASHES
}

/// Hexadecimal digits in groups of these lengths with dashes between them.
fn is_hexadecimal(id: &str, lengths: &[usize]) -> bool {
    id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        && id.split('-').map(str::len).eq(lengths.iter().copied())
}

/// 128 bits in the base 32 of Crockford, without the letters I, L, O and U, that begin with a time at which it can have been made:
/// nearly every word of 26 letters and digits is a ULID of another time.
fn is_ulid(id: &str, now: Timestamp) -> bool {
    let is_digit = |byte: u8| CROCKFORD.contains(&byte.to_ascii_uppercase());
    let latest = now.micros() / 1_000 + DAY_MS;
    id.len() == ULID_LENGTH
        && id.bytes().all(is_digit)
        && ulid_time_ms(id).is_some_and(|made_at| (FIRST_ULID_MS..=latest).contains(&made_at))
}

fn ulid_time_ms(id: &str) -> Option<i64> {
    id.bytes().take(ULID_TIME_LENGTH).try_fold(0_i64, |time, byte| {
        let value = CROCKFORD.iter().position(|digit| *digit == byte.to_ascii_uppercase())?;
        time.checked_mul(32)?.checked_add(i64::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 28 November 2026.
    fn today() -> Option<Timestamp> {
        Some(Timestamp::from_micros(1_795_824_000_000_000))
    }

    #[test]
    fn only_what_machines_make_is_recorded() {
        for id in [
            "0f8fad5b-d9cb-469f-a165-708677f8950e",
            "0F8FAD5B-D9CB-469F-A165-708677F8950E",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "01KAQ0J5M8X2V9C4T7B1N6R3ED",
            "01kaq0j5m8x2v9c4t7b1n6r3ed",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(is_machine_made(id, today()) && is_sane(id), "{id}");
        }
        for id in [
            "",
            "a.akhmetova",
            "Canaryname",
            "77011234567",
            "tel-77019381746",
            "77019381746x",
            "77019381746a00000000000000000000",
            "00000000-0000-0000-000a-077019381746",
            "00-77019381746a00000000000000000000-00f067aa0ba902b7-01",
            "7701938174600000000000000X",
            "0f8fad5bd9cb-469f-a165-7086-7728950e",
            "0f8fad5b-d9cb-469f-a165-7086772895-0e",
            "8f8fad5b-d9cb-469f-a165-70867728950g",
            "91KAQ0J5M8X2V9C4T7B1N6R3ED",
            // Names and numbers in the shape of an id.
            "7AKHMETEVA0ZHANNA077770155",
            "0AKHMETEVA0ZHANNA077770155",
            "0f8fad5b-d9cb-469f-a165-a77015559911",
            "96010130-0123-4abc-8def-abcdefabcdef",
            "00-4bf92f3577b34da6a3ce929d0e960101-300123aa0ba902b7-01",
            "01KAQ0J5M8X2V9C4T7B1N6R3EU",
            "req_01kaq0j5m8x2v9c4t7b1n6r3ed",
            "8c3e",
            &"7".repeat(32),
            &"-".repeat(36),
        ] {
            assert!(!is_machine_made(id, today()), "{id}");
        }
    }

    #[test]
    fn a_ulid_was_made_between_then_and_now() {
        for (id, is_one) in [
            ("01A7X7QQ000000000000000ABC", true),
            ("01A7X7QPZZ0000000000000ABC", false),
            // A day from now, to the millisecond.
            ("01M8J9KY000000000000000ABC", true),
            ("01M8J9KY010000000000000ABC", false),
        ] {
            assert_eq!(is_ulid(id, today().unwrap()), is_one, "{id} {:?}", ulid_time_ms(id));
        }
    }

    #[test]
    fn request_ids_are_harmless() {
        for id in [
            "abc",
            "A-1_b.c",
            "1234567890",
            "2026-11-28.1",
            "a5d3c9e1-bf2a-4abc-8242-424242424242",
            "01KAQ0J5M8X2V9C4T7B1N6R3ED",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            &"x".repeat(64),
        ] {
            assert!(is_sane(id), "{id}");
        }
        for id in ["", "a b", "a\nb", "a\"b", "ключ", &"x".repeat(65), "4242424242424242"] {
            assert!(!is_sane(id), "{id}");
        }
        for number in ["77015550142", "7-701-555.01_42", "960101300123", "1790000000000"] {
            assert!(!is_sane(number), "{number}");
        }
    }
}

//! Card cryptogram packets: reading the part that is not encrypted, and making test packets.
//!
//! Limits: the encrypted part is never opened (there is no key here), and a made packet carries
//! random bytes in its place. First six, last four and expiry are readable and enough for tests.

use crate::cards::Card;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

/// Length of the encrypted block that a real packet carries (RSA-2048).
const BLOCK: usize = 256;

/// Makes a test packet in the old form: `01`, first six, last four, `YYMM`, `04`, base64.
///
/// `pan` is a card number (anything but digits is dropped), `exp_yymm` its expiry. Every call
/// gives another packet. A number shorter than ten digits gives a packet that the API refuses.
#[expect(clippy::disallowed_methods, reason = "a test packet only has to be different every time")]
pub fn cryptogram(pan: &str, exp_yymm: &str) -> String {
    let digits: String = pan.chars().filter(char::is_ascii_digit).collect();
    let first = digits.get(..6).unwrap_or_default();
    let last = digits.len().checked_sub(4).and_then(|start| digits.get(start..)).unwrap_or_default();
    let mut block = [0_u8; BLOCK];
    if let Err(error) = getrandom::fill(&mut block) {
        tracing::warn!(%error, "no random bytes for the test cryptogram");
    }
    format!("01{first}{last}{exp_yymm}04{}", STANDARD.encode(block))
}

/// Reads the card out of a packet of either form.
pub fn read(packet: &str) -> Option<Card> {
    old_form(packet).or_else(|| new_form(packet))
}

fn old_form(packet: &str) -> Option<Card> {
    let rest = packet.strip_prefix("01")?;
    let (first_six, rest) = rest.split_at_checked(6)?;
    let (last_four, rest) = rest.split_at_checked(4)?;
    let (exp, rest) = rest.split_at_checked(4)?;
    let (version, block) = rest.split_at_checked(2)?;
    if !version.bytes().all(|byte| byte.is_ascii_digit()) || STANDARD.decode(block).ok()?.is_empty() {
        return None;
    }
    Card::new(first_six, last_four, exp)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Packet {
    card_info: CardInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CardInfo {
    first_six_digits: String,
    last_four_digits: String,
    exp_date_year: serde_json::Value,
    exp_date_month: serde_json::Value,
}

fn new_form(packet: &str) -> Option<Card> {
    let json = STANDARD.decode(packet).ok()?;
    let info = serde_json::from_slice::<Packet>(&json).ok()?.card_info;
    let year = two_digits(&info.exp_date_year)?;
    let month = two_digits(&info.exp_date_month)?;
    Card::new(&info.first_six_digits, &info.last_four_digits, &format!("{year}{month}"))
}

/// `"30"`, `30`, `2030` and `"7"` as two digits.
fn two_digits(value: &serde_json::Value) -> Option<String> {
    let number: u32 = match value {
        serde_json::Value::String(text) => text.parse().ok()?,
        other => u32::try_from(other.as_u64()?).ok()?,
    };
    Some(format!("{:02}", number % 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_packets() {
        let packet = cryptogram("4242 4242 4242 4242", "3012");
        let card = read(&packet).unwrap();
        assert_eq!(
            (card.first_six.as_str(), card.last_four.as_str(), card.exp_date().as_str()),
            ("424242", "4242", "12/30")
        );
        assert_ne!(packet, cryptogram("4242424242424242", "3012"));
    }

    #[test]
    fn reads_the_new_form() {
        let json = r#"{"Type":"CloudCard","BrowserInfoBase64":"","CardInfo":{"FirstSixDigits":"411111","LastFourDigits":"1111","ExpDateYear":"30","ExpDateMonth":"7"},"KeyVersion":4,"Format":1,"Value":"AAAA"}"#;
        let card = read(&STANDARD.encode(json)).unwrap();
        assert_eq!((card.last_four.as_str(), card.exp_date().as_str()), ("1111", "07/30"));
    }

    #[test]
    fn refuses_junk() {
        for packet in [
            "",
            "01",
            "014242424242301304AAAA",
            "0142424242423012",
            "0142424242423012xxAAAA",
            "junk",
            "0142424242423012041",
        ] {
            assert!(read(packet).is_none(), "{packet}");
        }
    }
}

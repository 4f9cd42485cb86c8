//! Targets of the domain: card numbers, money, names and moments.

use super::choice;
use crate::clock::Timestamp;
use crate::domain::card_data::{contains_card_number, without_card_numbers};
use crate::domain::id::{ApiKeyId, EventId, NotificationId, OperationId, PaymentId, RefundId, RequestId};
use crate::domain::money::{CURRENCIES, Currency, Money};
use crate::domain::scope::Scope;
use crate::domain::state::{CauseType, Status};

/// A planted number is found whatever stands around it, hiding hides, and hiding changes nothing else.
pub(super) fn card_data(data: &[u8]) {
    let (choice, rest) = choice(data);
    let text = String::from_utf8_lossy(rest);
    let hidden = without_card_numbers(&text);
    assert!(!contains_card_number(&hidden), "{text:?} > {hidden:?}");
    assert_eq!(contains_card_number(&text), hidden != text, "{text:?}");
    let planted = ["4242424242424242", "5555 5555 5555 4444", "3782-822463-10005", "２２０１３８２０００００００１３"];
    let planted = planted.get(usize::from(choice) % planted.len()).copied().unwrap_or_default();
    let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (before, after) = text.split_at(middle);
    // Words in between, so that nothing around is part of it.
    let around = format!("{before} card {planted} card {after}");
    assert!(contains_card_number(&around), "{around:?}");
    assert!(!without_card_numbers(&around).contains(&format!(" card {planted} card ")), "{around:?}");
    for run in rest.split(|byte| !byte.is_ascii_digit()).filter(|run| is_plain_card(run)) {
        let bare = String::from_utf8_lossy(run);
        assert!(contains_card_number(&bare), "{bare}");
    }
}

/// Sixteen digits of Visa or Mastercard, summed as Luhn's patent describes it.
fn is_plain_card(run: &[u8]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = run
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            let digit = u32::from(byte - b'0');
            if index % 2 == 0 { doubled(digit) } else { digit }
        })
        .sum();
    run.len() == 16 && matches!(run, [b'4', ..] | [b'5', b'1'..=b'5', ..]) && sum.is_multiple_of(10)
}

/// What is taken is written again exactly so, and means what its digits say.
pub(super) fn money(data: &[u8]) {
    let (choice, rest) = choice(data);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let Some(currency) = CURRENCIES.get(usize::from(choice) % CURRENCIES.len()).and_then(|code| Currency::parse(code))
    else {
        return;
    };
    if let Ok(money) = Money::parse(text, currency) {
        assert_eq!(money.to_decimal(), text);
        assert!(money.minor > 0 && money.currency == currency);
        assert_eq!(hundredths(text), Some(i128::from(money.minor)), "{text}");
        assert_eq!(Money::parse_provider(text, currency), Some(money));
    }
    let told = Money::parse_provider(text, currency);
    if let Some(money) = told {
        assert_eq!(hundredths(text), Some(i128::from(money.minor)), "{text}");
        assert_eq!(Money::parse_provider(&money.to_decimal(), currency), Some(money));
    }
    // Nothing is refused that could be meant: digits, or digits, a point and digits, within the range.
    let in_range = hundredths(text).is_some_and(|value| value < 1_000_000_000_000_000);
    let leading_zeros = text.len() > 13 && text.starts_with('0');
    assert!(told.is_some() || !in_range || leading_zeros, "{text}");
}

/// The value of a decimal text in hundredths, when it is a whole number of them.
fn hundredths(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let (whole, fraction) = (format!("0{whole}"), format!("{fraction}0"));
    if whole.len() > 30 || fraction.len() > 30 {
        return None;
    }
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: i128 = fraction.parse().ok()?;
    (fraction * 100 % scale == 0).then_some(())?;
    Some(whole.parse::<i128>().ok()?.checked_mul(100)? + fraction * 100 / scale)
}

/// Ids, names and moments that are taken are written again exactly so.
pub(super) fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    macro_rules! same_text {
        ($($id:ident),+) => {
            $(if let Some(id) = $id::parse(text) {
                assert_eq!(id.as_str(), text);
                assert_eq!(text.len(), $id::PREFIX.len() + 26);
            })+
        };
    }
    same_text!(ApiKeyId, EventId, NotificationId, OperationId, PaymentId, RefundId, RequestId);
    assert!(Status::parse(text).is_none_or(|status| status.as_str() == text));
    assert!(CauseType::parse(text).is_none_or(|cause| cause.as_str() == text));
    assert!(Scope::parse(text).is_none_or(|scope| scope.as_str() == text));
    assert!(Currency::parse(text).is_none_or(|currency| currency.code() == text));
    if let Some(moment) = Timestamp::parse_rfc3339(text) {
        assert_eq!(Timestamp::parse_rfc3339(&moment.to_string()), Some(moment), "{text}");
        assert_eq!(Timestamp::from_micros(moment.micros()), moment, "{text}");
        assert!(moment.plus_seconds(i64::MAX) == moment && moment.seconds_since(moment) == 0);
    }
}

//! Keeps card numbers out: no text that holds one is stored or logged.

/// Whether the text contains what looks like a card number: 13 to 19 digits that begin as card numbers do and pass the
/// Luhn check, in ASCII or other decimal digits, written together, one by one, or in the groups of a card (4-4-4-4, 4-6-5).
/// Other groups (dates, bill numbers joined by dashes) are not card numbers, however their digits add up.
pub fn contains_card_number(text: &str) -> bool {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut separators = 0;
    for character in text.chars() {
        if let Some(digit) = digit_value(character) {
            match groups.last_mut() {
                Some(group) if separators == 0 => group.push(digit),
                _ => groups.push(vec![digit]),
            }
            separators = 0;
        } else if is_separator(character) && separators < 2 && !groups.is_empty() {
            separators += 1;
        } else {
            if groups_hold_card_number(&groups) {
                return true;
            }
            groups.clear();
            separators = 0;
        }
    }
    groups_hold_card_number(&groups)
}

/// Any stretch of neighbouring groups that is written like a card number and is one.
fn groups_hold_card_number(groups: &[Vec<u32>]) -> bool {
    (0..groups.len()).any(|start| {
        let rest = groups.get(start..).unwrap_or_default();
        (1..=rest.len().min(MAX_DIGITS)).any(|count| {
            let stretch = rest.get(..count).unwrap_or_default();
            is_card_grouping(stretch) && is_card_number(&stretch.concat())
        })
    })
}

const MAX_DIGITS: usize = 19;

fn is_card_grouping(groups: &[Vec<u32>]) -> bool {
    let lengths: Vec<usize> = groups.iter().map(Vec::len).collect();
    let by_four =
        lengths.iter().rev().skip(1).all(|length| *length == 4) && lengths.last().is_some_and(|last| *last <= 4);
    let by_one = lengths.iter().all(|length| *length == 1);
    lengths.len() == 1 || by_four || by_one || matches!(lengths.as_slice(), [4, 6, 4 | 5] | [6, 10 | 13] | [8, 8])
}

/// Length and first digits as the card schemes assign them (ISO/IEC 7812), and the Luhn check digit.
fn is_card_number(digits: &[u32]) -> bool {
    let head = digits.iter().take(4).fold(0, |number, digit| number * 10 + digit);
    let length = digits.len();
    let scheme = match head {
        4000..=4999 => matches!(length, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => length == 16,
        2200..=2204 => (16..=19).contains(&length),
        3400..=3499 | 3700..=3799 => length == 15,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&length),
        3528..=3589 => (16..=19).contains(&length),
        5000..=5099 | 5600..=5899 | 6000..=6999 => (13..=19).contains(&length),
        _ => false,
    };
    scheme && passes_luhn(digits)
}

fn digit_value(character: char) -> Option<u32> {
    match character {
        '0'..='9' => character.to_digit(10),
        '\u{ff10}'..='\u{ff19}' => u32::from(character).checked_sub(0xff10),
        // Arabic-Indic and extended Arabic-Indic digits.
        '\u{0660}'..='\u{0669}' => u32::from(character).checked_sub(0x0660),
        '\u{06f0}'..='\u{06f9}' => u32::from(character).checked_sub(0x06f0),
        _ => None,
    }
}

fn is_separator(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '-' | '.' | '/' | '_' | ',' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{00ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

fn passes_luhn(digits: &[u32]) -> bool {
    if digits.iter().all(|digit| *digit == 0) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(position, digit)| {
            let doubled = digit * 2;
            if position % 2 == 0 {
                *digit
            } else if doubled > 9 {
                doubled - 9
            } else {
                doubled
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_card_numbers_however_they_are_written() {
        for text in [
            "4242424242424242",
            "card 4242 4242 4242 4242 please",
            "4242-4242-4242-4242",
            "４２４２４２４２４２４２４２４２",
            "4242.4242.4242.4242",
            "{\"n\":\"5555555555554444\"}",
            "378282246310005",
            "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        ] {
            assert!(contains_card_number(text), "{text}");
        }
    }

    #[test]
    fn leaves_other_numbers_alone() {
        // Bill numbers that count up, and moments in milliseconds, one in ten of which passes the Luhn check.
        for number in 0..1000 {
            for text in [
                format!("KM-2026-11-23-{number:06}"),
                format!("{}", 1_790_000_000_000u64 + number),
                format!("pay-{}", 1_790_000_000_000u64 + number),
            ] {
                assert!(!contains_card_number(&text), "{text}");
            }
        }
        for text in [
            "Policy 2026000002, 23.11.2026",
            "KM-2026-000123",
            "4242424242424241",
            "+7 727 345 01 25",
            "960101300123",
            "",
            "0000000000000000",
            "2026-11-22",
        ] {
            assert!(!contains_card_number(text), "{text}");
        }
    }
}

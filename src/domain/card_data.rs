//! Keeps card numbers out: no text that holds one is stored or logged.

/// Whether the text contains what looks like a card number: a run of 13 to 19 digits that passes the Luhn check, in ASCII
/// or full-width digits, alone or separated by single blanks, dashes, dots, slashes or underscores.
pub fn contains_card_number(text: &str) -> bool {
    let mut run: Vec<u32> = Vec::new();
    let mut separators = 0;
    for character in text.chars() {
        if let Some(digit) = digit_value(character) {
            run.push(digit);
            separators = 0;
        } else if is_separator(character) && separators < 2 && !run.is_empty() {
            separators += 1;
        } else {
            if run_holds_card_number(&run) {
                return true;
            }
            run.clear();
            separators = 0;
        }
    }
    run_holds_card_number(&run)
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

/// A run of exactly 13 to 19 digits is one candidate. A longer run is not a card number by itself, but one may be hidden
/// at either end of it by separators; every 16-digit window is tried then, the length of nearly all cards.
fn run_holds_card_number(run: &[u32]) -> bool {
    match run.len() {
        0..=12 => false,
        13..=19 => passes_luhn(run),
        _ => run.windows(16).any(|window| passes_luhn(window) && matches!(window.first(), Some(2..=6))),
    }
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
        for text in [
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

//! Numbers as programs write large ones: `4.111111111111111E+15` is sixteen digits, although a point and a letter part them.

use std::ops::Range;

use super::digits::digit_value;
use super::escapes::Placed;
use super::{MAX_DIGITS, is_card_number, is_invisible};

/// Only zeros at the end are left out. With fewer digits it is a hash or the number of a flat, and no card number but by chance.
const MIN_WRITTEN: usize = 10;

/// A number that is being read.
struct Number {
    digits: Vec<u8>,
    /// How many digits stand before the point.
    whole: Option<usize>,
    exponent: Option<Exponent>,
    /// Of the digits before the exponent.
    place: Range<usize>,
}

#[derive(Default)]
struct Exponent {
    value: Option<usize>,
}

impl Number {
    fn begin(digit: u8, place: Range<usize>) -> Number {
        Number { digits: vec![digit], whole: None, exponent: None, place }
    }

    /// Whether the next character still belongs to it.
    fn takes(&mut self, character: char, place: &Range<usize>) -> bool {
        match (digit_value(character), &mut self.exponent) {
            (Some(digit), Some(exponent)) => {
                let value = exponent.value.unwrap_or(0).saturating_mul(10).saturating_add(usize::from(digit));
                exponent.value = Some(value);
            }
            (Some(digit), None) => {
                self.digits.push(digit);
                self.place.end = place.end;
            }
            (None, None) if is_point(character) && self.whole.is_none() => self.whole = Some(self.digits.len()),
            (None, None) if is_exponent(character) => self.exponent = Some(Exponent::default()),
            (None, Some(exponent)) => return character == '+' && exponent.value.is_none(),
            (None, None) => return false,
        }
        true
    }

    /// Where its digits stand, if written out it is a card number.
    fn card_number(mut self) -> Option<Range<usize>> {
        let whole = self.whole.unwrap_or(self.digits.len());
        let length = whole.checked_add(self.exponent?.value?)?;
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        if length.checked_sub(zeros)? > MAX_DIGITS || self.digits.len() - zeros < MIN_WRITTEN {
            return None;
        }
        self.digits.resize(length, 0);
        self.digits.get(zeros..).filter(|digits| is_card_number(digits)).map(|_| self.place)
    }
}

fn is_point(character: char) -> bool {
    matches!(character, '.' | ',')
}

/// Also the Cyrillic letter that looks like it.
fn is_exponent(character: char) -> bool {
    matches!(character, 'e' | 'E' | 'е' | 'Е')
}

/// Where numbers with an exponent stand that are card numbers when they are written out.
pub(super) fn card_numbers(characters: impl IntoIterator<Item = Placed>) -> Vec<Range<usize>> {
    let (mut found, mut number): (_, Option<Number>) = (Vec::new(), None);
    for (character, place) in characters {
        if is_invisible(character) || number.as_mut().is_some_and(|number| number.takes(character, &place)) {
            continue;
        }
        found.extend(number.take().and_then(Number::card_number));
        number = digit_value(character).map(|digit| Number::begin(digit, place));
    }
    found.extend(number.and_then(Number::card_number));
    found
}

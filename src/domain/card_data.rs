//! Keeps card numbers out: no text that holds one is stored or logged.
//!
//! Luhn's check alone lets one number in ten through, so a shop that counts its bills with 13 digits or more would have
//! every tenth refused. What is refused is therefore what a card number looks like when somebody writes one down:
//!
//! - 13 to 19 digits that pass Luhn's check and begin as the numbers of a card scheme do;
//! - written together, or in the groups of a card: equal groups of any size, of which the last may be shorter (4-4-4-4,
//!   4-4-4-4-3, 2-2-2-…, one by one), 4-6-5, 6-10, 8-8 and their like, or cut once anywhere; or, where it has the usual
//!   length and one sign parts all groups, in any groups of 3 digits and more (6-4-6, 4-5-4-3), of less where nothing else
//!   stands beside it: without a year among them, as the numbers of bills have it;
//! - at the beginning or the end of a longer run of digits, as where the date of expiry follows without a blank;
//! - with any signs or an `x` between the groups, any number of blanks, in any digits of Unicode (also raised ones and those
//!   in circles), with invisible characters in between, percent-encoded, as escapes of JSON or references of HTML, and as
//!   escapes of escapes;
//! - as programs write large numbers: `4.111111111111111E+15`.
//!
//! What passes: dates, spans of dates, times, telephone numbers, decimals, coordinates and bill numbers joined by dashes,
//! whose groups are not those of a card; UUIDs; numbers that begin as no card does (years, moments in milliseconds). A bill
//! number that is itself 13 digits or more and begins with 4, 5 or 6 has a chance of one in ten to be refused; one of 17
//! digits or more that has such a digit 16 places before its end, too.

use std::borrow::Cow;
use std::ops::Range;

use digits::digit_value;
use escapes::{LAYERS, Placed, plain, undo, undone};

/// Digits of a card number.
const MIN_DIGITS: usize = 13;
const MAX_DIGITS: usize = 19;
/// More signs between two groups part them; blanks in a row count once, and so does a dash that is repeated.
const MAX_SEPARATORS: usize = 5;
/// So many of another sign in a row stand for what was hidden (`4242 **** **** 4242`), and part what is left.
const MASK: usize = 4;
/// Fewer digits are a group of a card only where the card stands alone.
const USUAL_GROUP: usize = 3;
/// Rounds in which numbers are hidden one by one.
const MAX_ROUNDS: usize = 3;

/// Whether the text contains what looks like a card number, as it stands or after decoding.
pub fn contains_card_number(text: &str) -> bool {
    // Most texts are too short to be looked at closely.
    if text.len() < MIN_DIGITS {
        return false;
    }
    let text = without_uuids(text);
    holds(|| plain(&text)) || (text.contains(['%', '\\', '&']) && holds_in_escapes(&text))
}

/// The text with a `*` for every digit of a card number.
pub fn without_card_numbers(text: &str) -> Cow<'_, str> {
    let mut kept = Cow::Borrowed(text);
    // Decoded first, so that the digits of a `%22` before a number are left alone. Hiding may cut an escape and so make
    // another number readable: a few rounds find it.
    for layers in (0..=LAYERS).rev().cycle().take((LAYERS + 1) * MAX_ROUNDS) {
        if !contains_card_number(&kept) {
            return kept;
        }
        let mut places = Vec::new();
        scan(undone(&without_uuids(&kept), layers), |row| {
            places.extend(card_numbers_in(row));
            true
        });
        places.extend(exponents::card_numbers(undone(&without_uuids(&kept), layers)));
        if !places.is_empty() {
            places.sort_by_key(|place| place.start);
            kept = Cow::Owned(hide(&kept, &places, &undone(&kept, layers)));
        }
    }
    if !contains_card_number(&kept) {
        return kept;
    }
    // Nobody writes so by accident.
    Cow::Owned(kept.chars().map(|character| if digit_value(character).is_some() { '*' } else { character }).collect())
}

/// A run of digits.
struct Group {
    digits: Vec<u8>,
    place: Range<usize>,
    /// The signs before it, each once.
    after: String,
}

impl Group {
    /// Whether a `.` alone stands before it.
    fn is_after_full_stop(&self) -> bool {
        self.after == "."
    }

    /// Whether only a `.` or `,` stands before it, as in a decimal number.
    fn is_after_point(&self) -> bool {
        matches!(self.after.as_str(), "." | ",")
    }

    /// Whether it is a year of these two centuries.
    fn is_year(&self) -> bool {
        matches!(self.digits.as_slice(), [1, 9, _, _] | [2, 0, _, _])
    }
}

fn holds<C: IntoIterator<Item = Placed>>(characters: impl Fn() -> C) -> bool {
    let mut found = false;
    scan(characters(), |row| {
        found = card_numbers_in(row).next().is_some();
        !found
    });
    found || !exponents::card_numbers(characters()).is_empty()
}

/// Whether it does after one layer of escapes or more.
fn holds_in_escapes(text: &str) -> bool {
    let mut characters: Vec<Placed> = plain(text).collect();
    (0..LAYERS).any(|_| match undo(&characters) {
        Some(next) => {
            characters = next;
            holds(|| characters.iter().cloned())
        }
        None => false,
    })
}

/// Gives every row of groups that no letter and no long gap parts to `see`, until it has seen enough.
fn scan(characters: impl IntoIterator<Item = Placed>, mut see: impl FnMut(&[Group]) -> bool) {
    let mut row: Vec<Group> = Vec::new();
    let mut between = String::new();
    for (character, place) in characters {
        if is_invisible(character) {
            continue;
        }
        let digit = digit_value(character);
        if parts(&between, character, digit) {
            if !row.is_empty() && !see(&row) {
                return;
            }
            row.clear();
            between.clear();
            continue;
        }
        match (digit, row.last_mut()) {
            (Some(digit), Some(group)) if between.is_empty() => {
                group.digits.push(digit);
                group.place.end = place.end;
            }
            (Some(digit), _) => {
                row.push(Group { digits: vec![digit], place, after: std::mem::take(&mut between) });
            }
            (None, Some(_)) if !is_repeated(&between, character) => between.push(character),
            (None, _) => {}
        }
    }
    see(&row);
}

/// Whether the character parts the groups around it from one another, after these signs.
fn parts(between: &str, character: char, digit: Option<u8>) -> bool {
    if digit.is_some() || is_repeated(between, character) {
        return false;
    }
    let same = between.chars().rev().take_while(|sign| *sign == character).count();
    (character.is_alphanumeric() && !is_cross(character))
        || between.chars().count() == MAX_SEPARATORS
        || same + 1 == MASK
}

/// A letter that is written for a sign: `4242 x 4242 x 4242 x 4242`.
fn is_cross(character: char) -> bool {
    matches!(character, 'x' | 'X' | 'х' | 'Х')
}

/// Whether the signs end in this blank or dash already. All blanks are alike.
fn is_repeated(signs: &str, sign: char) -> bool {
    let is_dash = matches!(sign, '-' | '_' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    signs
        .chars()
        .next_back()
        .is_some_and(|last| (is_dash && last == sign) || (last.is_whitespace() && sign.is_whitespace()))
}

/// Where stretches of neighbouring groups are written like a card number and are one.
fn card_numbers_in(row: &[Group]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        while let Some(rest) = row.get(start..).filter(|rest| !rest.is_empty()) {
            let before = start.checked_sub(1).and_then(|before| row.get(before));
            let is_fraction = rest.first().is_some_and(|group| is_fraction(before, group));
            let count = if is_fraction { None } else { leading_card_number(rest, start == 0) };
            start += count.unwrap_or(1);
            if let Some(stretch) = count.and_then(|count| rest.get(..count)) {
                return Some(stretch.first()?.place.start..stretch.last()?.place.end);
            }
        }
        None
    })
}

/// How many groups from the first on are a card number. `begins`: nothing stands before them.
fn leading_card_number(groups: &[Group], begins: bool) -> Option<usize> {
    let mut sum = 0;
    let mut lengths = Vec::with_capacity(MAX_DIGITS);
    for group in groups {
        sum += group.digits.len();
        lengths.push(group.digits.len());
        let is_alone = begins && lengths.len() == groups.len();
        if groups.get(..lengths.len()).is_some_and(|stretch| is_written_card_number(&lengths, stretch, is_alone)) {
            return Some(lengths.len());
        }
        if sum >= MAX_DIGITS {
            break;
        }
    }
    None
}

/// The decimals of a number as programs write them: 16 digits in all, or any after `0.`.
fn is_fraction(before: Option<&Group>, group: &Group) -> bool {
    let whole = before.filter(|_| group.is_after_point()).map(|before| before.digits.as_slice());
    whole.is_some_and(|whole| {
        group.digits.len() >= MIN_DIGITS - 1
            && (whole == [0] || (whole.len() <= 3 && whole.len() + group.digits.len() <= 16))
    })
}

fn is_written_card_number(lengths: &[usize], stretch: &[Group], is_alone: bool) -> bool {
    let digits = || -> Vec<u8> { stretch.iter().flat_map(|group| group.digits.iter().copied()).collect() };
    match lengths {
        [_] => {
            let digits = digits();
            is_card_number(&digits) || begins_with_card_number(&digits) || ends_with_card_number(&digits)
        }
        // The expiry date written on to the last group, or something else before the first.
        [4, 4, 4, 5..=usize::MAX] => begins_with_card_number(&digits()),
        [5..=usize::MAX, 4, 4, 4] => ends_with_card_number(&digits()),
        // Nobody counts so many of anything to the eighth decimal.
        [8, 8] if stretch.last().is_some_and(Group::is_after_full_stop) => is_card_number(&digits()),
        // A decimal number.
        [_, _] if stretch.last().is_some_and(Group::is_after_point) => false,
        [one, other] if one + other == 16 => is_card_number(&digits()),
        [4, 6, 4 | 5] | [4, 11] | [6, 13] | [4, 4, 8] | [4, 8, 4] | [8, 4, 4] => is_card_number(&digits()),
        [size, others @ .., last] if others.iter().all(|length| length == size) && last <= size => match size {
            1 => is_usual_length(&digits()) && is_card_number(&digits()),
            // Not a row of days, months, hours and short years.
            2 => !matches!(digits().as_slice(), [0..=2, ..] | [3, 0..=3, ..]) && is_card_number(&digits()),
            3..=8 => is_card_number(&digits()),
            _ => false,
        },
        [_, _, _, ..] if is_evenly_parted(stretch, is_alone) => {
            let digits = digits();
            is_usual_length(&digits) && is_card_number(&digits)
        }
        _ => false,
    }
}

/// Groups of any size with the same sign between all of them. Numbers of bills are written so, too: one in ten that
/// begins like a card passes Luhn's check, so those with a year among their groups are left alone.
fn is_evenly_parted(stretch: &[Group], is_alone: bool) -> bool {
    let mut parted = stretch.iter().skip(1).map(|group| group.after.as_str());
    let first = parted.next();
    parted.all(|sign| Some(sign) == first)
        && (is_alone || stretch.iter().all(|group| group.digits.len() >= USUAL_GROUP))
        && !stretch.iter().any(Group::is_year)
}

/// Length and first digits as the card schemes assign them (ISO/IEC 7812), and Luhn's check digit.
fn is_card_number(digits: &[u8]) -> bool {
    let head = digits.iter().take(4).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let lengths = match head {
        // Visa, Mastercard, Maestro, UnionPay, Discover, RuPay, Troy and others.
        4000..=4999 | 5000..=5999 | 6000..=6999 | 8100..=8299 => MIN_DIGITS..=MAX_DIGITS,
        // Mastercard; as many years and dates begin so, only its own length counts.
        2221..=2720 => 16..=16,
        // Mir.
        2200..=2204 => 16..=MAX_DIGITS,
        // American Express.
        3400..=3499 | 3700..=3799 => 15..=15,
        // Diners Club and JCB.
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => 14..=MAX_DIGITS,
        3528..=3589 => 16..=MAX_DIGITS,
        // Belkart, Elcart, ArCa, Napas, Troy, Uzcard, Humo.
        8600 | 9051 | 9112 | 9417 | 9704 | 9792 | 9860 => 16..=16,
        _ => return false,
    };
    lengths.contains(&digits.len()) && passes_luhn(digits)
}

/// A card of the usual 16 digits (American Express: 15) and more behind it.
fn begins_with_card_number(digits: &[u8]) -> bool {
    let begins = |length: usize| {
        digits.len() > length && digits.get(..length).is_some_and(|head| is_usual_length(head) && is_card_number(head))
    };
    begins(16) || begins(15)
}

/// The same with more before it. Only the first digits that no date has: every other number of a bill is a date first.
fn ends_with_card_number(digits: &[u8]) -> bool {
    let ends = |length: usize| {
        let tail =
            digits.len().checked_sub(length).filter(|before| *before > 0).and_then(|before| digits.get(before..));
        tail.is_some_and(|tail| {
            matches!(tail, [4, ..] | [5, 1..=5, ..] | [3, 4 | 7, ..]) && is_usual_length(tail) && is_card_number(tail)
        })
    };
    ends(16) || ends(15)
}

fn is_usual_length(digits: &[u8]) -> bool {
    digits.len() == if matches!(digits, [3, 4 | 7, ..]) { 15 } else { 16 }
}

/// Characters that are not shown (`Default_Ignorable_Code_Point` of Unicode): they hide between digits.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The text with its digits at these places hidden; the places are in order and apart.
fn hide(text: &str, places: &[Range<usize>], characters: &[Placed]) -> String {
    let mut hidden = String::with_capacity(text.len());
    let mut places = places.iter().peekable();
    for (character, within) in characters {
        while places.next_if(|place| place.end <= within.start).is_some() {}
        let is_hidden = places.peek().is_some_and(|place| place.contains(&within.start));
        match digit_value(*character) {
            Some(_) if is_hidden => hidden.push('*'),
            _ => hidden.push_str(text.get(within.clone()).unwrap_or_default()),
        }
    }
    hidden
}

/// The text with letters in the place of every UUID (RFC 9562): its groups may consist of digits by chance.
fn without_uuids(text: &str) -> Cow<'_, str> {
    const LENGTH: usize = 36;
    let mut kept = Cow::Borrowed(text);
    let mut from = 0;
    while let Some(at) = kept.get(from..).and_then(|rest| rest.find('-')).map(|found| from + found) {
        from = at + 1;
        let Some(start) = at.checked_sub(8) else { continue };
        let is_boundary = |index: Option<usize>| {
            let neighbour = index.and_then(|index| kept.as_bytes().get(index));
            neighbour.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-')
        };
        let is_apart = is_boundary(start.checked_sub(1)) && is_boundary(Some(start + LENGTH));
        if is_apart && kept.get(start..start + LENGTH).is_some_and(is_uuid) {
            kept.to_mut().replace_range(start..start + LENGTH, &"x".repeat(LENGTH));
            from = start + LENGTH;
        }
    }
    kept
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        14 => matches!(byte, b'1'..=b'8'),
        19 => matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
        _ => byte.is_ascii_hexdigit(),
    })
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(position, digit)| {
            let digit = u32::from(*digit);
            match digit * 2 {
                _ if position % 2 == 0 => digit,
                doubled if doubled > 9 => doubled - 9,
                doubled => doubled,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

mod digits;
mod escapes;
mod exponents;
#[cfg(test)]
mod tests;

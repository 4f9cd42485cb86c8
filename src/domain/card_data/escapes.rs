//! What a text says once the escapes in it are undone: percent-encoding, escapes of JSON and of programs, references of
//! HTML. Text that passed through several hands may have several layers of them.

use std::ops::Range;

/// A character, and where in the text it or its escape stands.
pub(super) type Placed = (char, Range<usize>);

/// So many layers of escapes are undone.
pub(super) const LAYERS: usize = 3;
/// Characters of the longest name of a reference, and digits of the longest number of one.
const MAX_NAME: usize = 24;
const MAX_NUMBER: usize = 8;

/// The characters as they stand.
pub(super) fn plain(text: &str) -> impl Iterator<Item = Placed> {
    text.char_indices().map(|(at, character)| (character, at..at + character.len_utf8()))
}

/// The characters after so many layers were undone.
pub(super) fn undone(text: &str, layers: usize) -> Vec<Placed> {
    let mut characters: Vec<Placed> = plain(text).collect();
    for _ in 0..layers {
        match undo(&characters) {
            Some(next) => characters = next,
            None => break,
        }
    }
    characters
}

/// One layer less; `None` where there is none.
pub(super) fn undo(characters: &[Placed]) -> Option<Vec<Placed>> {
    let (mut kept, mut rest, mut is_changed) = (Vec::with_capacity(characters.len()), characters, false);
    while let Some(((first, place), others)) = rest.split_first() {
        let escape = unescaped(rest).and_then(|(character, length)| Some((character, rest.split_at_checked(length)?)));
        let Some((character, (escape, after))) = escape else {
            kept.push((*first, place.clone()));
            rest = others;
            continue;
        };
        is_changed = true;
        kept.push((character, place.start..escape.last().map_or(place.end, |(_, last)| last.end)));
        rest = after;
    }
    is_changed.then_some(kept)
}

/// What the escape at the start stands for, and how many characters it has.
fn unescaped(text: &[Placed]) -> Option<(char, usize)> {
    match text.first()?.0 {
        '%' => percent(text),
        '\\' => backslash(text),
        '&' => reference(text),
        _ => None,
    }
}

fn at(text: &[Placed], index: usize) -> Option<char> {
    text.get(index).map(|(character, _)| *character)
}

/// The number that the characters there are, all of which have to be digits.
fn number(text: &[Placed], range: Range<usize>, radix: u32) -> Option<u32> {
    let digits = text.get(range).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0_u32, |number, (digit, _)| number.checked_mul(radix)?.checked_add(digit.to_digit(radix)?))
}

/// How many characters from there on are of a kind, at most so many.
fn count(text: &[Placed], from: usize, most: usize, is_one: impl Fn(char) -> bool) -> usize {
    text.iter().skip(from).take(most).take_while(|(character, _)| is_one(*character)).count()
}

fn percent(text: &[Placed]) -> Option<(char, usize)> {
    let byte = |start: usize| {
        let value = number(text, start + 1..start + 3, 16).filter(|_| at(text, start) == Some('%'))?;
        u8::try_from(value).ok()
    };
    let bytes: Vec<u8> = (0..4).map_while(|index| byte(index * 3)).collect();
    // The shortest sequence that is a character.
    (1..=bytes.len()).find_map(|count| {
        let character = std::str::from_utf8(bytes.get(..count)?).ok()?.chars().next()?;
        Some((character, count * 3))
    })
}

fn backslash(text: &[Placed]) -> Option<(char, usize)> {
    let of = |value: Option<u32>, length: usize| Some((char::from_u32(value?)?, length));
    match at(text, 1)? {
        'u' if at(text, 2) == Some('{') => {
            let digits = count(text, 3, MAX_NUMBER, |character| character.is_ascii_hexdigit());
            let end = 3 + digits;
            of(number(text, 3..end, 16).filter(|_| at(text, end) == Some('}')), end + 1)
        }
        'u' => of(number(text, 2..6, 16), 6),
        'x' => of(number(text, 2..4, 16), 4),
        'n' | 'r' | 't' | 'b' | 'f' => Some((' ', 2)),
        _ => None,
    }
}

/// `&#52;`, `&#x34;`, also without the semicolon as browsers take it; `&nbsp;` and whatever else has a name is a blank.
fn reference(text: &[Placed]) -> Option<(char, usize)> {
    if at(text, 1)? == '#' {
        let (start, radix) = if matches!(at(text, 2)?, 'x' | 'X') { (3, 16) } else { (2, 10) };
        let end = start + count(text, start, MAX_NUMBER, |character| character.is_digit(radix));
        let character = char::from_u32(number(text, start..end, radix)?)?;
        return Some((character, end + usize::from(at(text, end) == Some(';'))));
    }
    let end = 1 + count(text, 1, MAX_NAME, |character| character.is_ascii_alphanumeric());
    let is_name = at(text, 1)?.is_ascii_alphabetic() && at(text, end) == Some(';');
    let is_amp = text.get(1..end)?.iter().map(|(character, _)| *character).eq("amp".chars());
    is_name.then_some((if is_amp { '&' } else { ' ' }, end + 1))
}

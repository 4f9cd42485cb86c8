//! Rules for every text that comes in, whatever carries it.

use crate::domain::card_data::contains_card_number;
use crate::error::Fault;

/// Longest field name repeated in an error, in characters.
const MAX_NAME_SHOWN: usize = 64;

/// Why a text is refused: code and advice. Never holds the text itself.
pub(super) type Refusal = (&'static str, String);

/// Checks a text of at most `max` characters on one line and returns it without blanks around it.
///
/// # Errors
/// The first rule that does not hold.
pub(super) fn line(text: &str, max: usize) -> Result<&str, Refusal> {
    if text.chars().any(is_forbidden) {
        return Err((
            "control_characters",
            "send one line without control, line-break or direction-changing characters".to_owned(),
        ));
    }
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err((
            "must_not_be_empty",
            "send at least one character that is not a blank, or leave the field out".to_owned(),
        ));
    }
    // Bytes first: most texts are short, and counting characters is then not needed.
    if trimmed.len() > max && trimmed.chars().count() > max {
        return Err(("too_long", format!("at most {max} characters")));
    }
    refuse_card_number(trimmed)?;
    Ok(trimmed)
}

/// Checks a machine's value that is sent on as it is: printable ASCII without blanks.
///
/// # Errors
/// The first rule that does not hold.
pub(super) fn token(text: &str, max: usize) -> Result<&str, Refusal> {
    if text.is_empty() {
        return Err(("must_not_be_empty", "the value is empty".to_owned()));
    }
    if text.len() > max {
        return Err(("too_long", format!("at most {max} characters")));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(("not_printable", "send printable ASCII without blanks and line breaks".to_owned()));
    }
    Ok(text)
}

/// Refuses text that holds a card number.
///
/// # Errors
/// When it does.
pub(super) fn refuse_card_number(text: &str) -> Result<(), Refusal> {
    if holds_card_number(text) {
        return Err((
            "card_data_not_allowed",
            "the text holds what looks like a card number; card numbers are never accepted here".to_owned(),
        ));
    }
    Ok(())
}

/// Whether a text must not be let in.
pub(super) fn holds_card_number(text: &str) -> bool {
    contains_card_number(text)
}

/// Control characters, line and paragraph separators, and characters that turn the direction of reading: a log or a bank
/// statement would show something else than what was sent. U+FFFD is what broken UTF-8 in an address turns into.
pub(super) fn is_forbidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffd}')
}

/// A field name as errors may show it.
pub(super) fn shown_name(name: &str) -> String {
    // What is left out may have parted the digits.
    let printable: String = name.chars().filter(|character| !is_forbidden(*character)).collect();
    if holds_card_number(name) || holds_card_number(&printable) {
        return "(hidden)".to_owned();
    }
    let shown: String = printable.chars().take(MAX_NAME_SHOWN).collect();
    if holds_card_number(&shown) {
        return "(hidden)".to_owned();
    }
    if shown.len() < printable.len() { format!("{shown}…") } else { shown }
}

/// The JSON pointer of a member (RFC 6901).
pub(super) fn child(pointer: &str, name: &str) -> String {
    let shown = shown_name(name).replace('~', "~0").replace('/', "~1");
    let whole = format!("{pointer}/{shown}");
    // Names that are harmless one by one may be the groups of a card number together.
    if holds_card_number(&whole) { format!("{pointer}/(hidden)") } else { whole }
}

/// A fault from a refusal.
pub(super) fn fault(pointer: impl Into<String>, (code, detail): Refusal) -> Fault {
    Fault::new(pointer, code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_would_show_as_something_else() {
        for (text, code) in [
            ("a\u{0}b", "control_characters"),
            ("a\nb", "control_characters"),
            ("a\u{2028}b", "control_characters"),
            ("a\u{202e}b", "control_characters"),
            ("   ", "must_not_be_empty"),
            ("", "must_not_be_empty"),
            ("123456", "too_long"),
        ] {
            assert_eq!(line(text, 5).unwrap_err().0, code, "{text:?}");
        }
        assert_eq!(line("4242 4242 4242 4242", 50).unwrap_err().0, "card_data_not_allowed");
        assert_eq!(line(" полис ", 5), Ok("полис"));
    }

    #[test]
    fn a_uuid_is_no_card_number() {
        let uuid = "a5d3c9e1-bf2a-4abc-8242-424242424242";
        assert!(!holds_card_number(uuid));
        assert!(holds_card_number("id 4242-4242-4242-4242"));
    }

    #[test]
    fn names_are_shown_cut_and_escaped() {
        assert_eq!(child("/a", "b/c~d"), "/a/b~1c~0d");
        assert_eq!(child("", "4242424242424242"), "/(hidden)");
        assert_eq!(child("/a/4242/4242/4242", "4242"), "/a/4242/4242/4242/(hidden)");
        assert_eq!(child("", "42424242424242\u{fffd}42"), "/(hidden)");
        assert_eq!(child("", &"x".repeat(70)), format!("/{}…", "x".repeat(64)));
    }
}

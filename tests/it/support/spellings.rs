//! Texts in every spelling in which they could have been written somewhere, and how often they were.

use std::collections::BTreeMap;

use kmic_payments::vault;

/// What is searched: bytes as characters of the same numbers, so that binary places are searched like texts.
pub struct Place {
    pub name: &'static str,
    exact: String,
    lower: String,
}

impl Place {
    pub fn new(name: &'static str, bytes: &[u8]) -> Place {
        let exact = of_bytes(bytes);
        Place { name, lower: exact.to_ascii_lowercase(), exact }
    }

    /// How often the text is found, in whatever spelling.
    pub fn count(&self, text: &str) -> usize {
        let exact: usize = exact(text.as_bytes()).iter().map(|spelling| self.exact.matches(spelling).count()).sum();
        let lower = in_any_case(text.as_bytes());
        exact + lower.iter().map(|spelling| self.lower.matches(spelling.as_str()).count()).sum::<usize>()
    }
}

fn of_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// As it is, in hex, percent-encoded, as escapes of JSON, and in UTF-16; all in lower case.
fn in_any_case(text: &[u8]) -> Vec<String> {
    let each = |form: &dyn Fn(u8) -> String| text.iter().map(|byte| form(*byte)).collect::<String>();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut spellings = vec![
        of_bytes(text),
        each(&|byte| format!("{byte:02x}")),
        each(&|byte| format!("%{byte:02x}")),
        each(&|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }),
        each(&|byte| format!("\\u{byte:04x}")),
        text.iter().map(|byte| char::from(*byte).to_string()).collect::<Vec<_>>().join("\0"),
    ];
    spellings.iter_mut().for_each(|spelling| *spelling = spelling.to_ascii_lowercase());
    spellings.sort();
    spellings.dedup();
    spellings
}

/// What stays the same of its Base64, whatever stands before and after it.
fn exact(text: &[u8]) -> Vec<String> {
    let mut spellings = Vec::new();
    for before in 0..3 {
        let shifted = [vec![0; before], text.to_vec()].concat();
        let (from, to) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
        for encoded in [vault::base64(&shifted), vault::base64_url(&shifted)] {
            spellings.push(encoded[from..to].to_owned());
        }
    }
    spellings.sort();
    spellings.dedup();
    spellings
}

/// Counts by canary and place: those of places where one was found.
pub fn counts<'a>(
    canaries: &[(&'a str, String)],
    places: &[Place],
) -> BTreeMap<&'a str, BTreeMap<&'static str, usize>> {
    let mut table: BTreeMap<&str, BTreeMap<&'static str, usize>> = BTreeMap::new();
    for (name, text) in canaries {
        for place in places {
            let count = place.count(text);
            if count > 0 {
                *table.entry(name).or_default().entry(place.name).or_default() += count;
            }
        }
    }
    table
}

#[test]
fn every_spelling_is_found() {
    let text = "Canary+7@example.test";
    let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    for before in ["", "a", "ab", "{\"name\":\""] {
        let whole = format!("{before}{text}\"");
        let escaped: String = whole.chars().map(|character| format!("\\u{:04X}", u32::from(character))).collect();
        let percent: String = whole.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let spellings = [
            whole.clone().into_bytes(),
            whole.to_uppercase().into_bytes(),
            vault::base64(whole.as_bytes()).into_bytes(),
            vault::base64_url(whole.as_bytes()).into_bytes(),
            whole.bytes().map(|byte| format!("{byte:02X}")).collect::<String>().into_bytes(),
            percent.into_bytes(),
            whole.replace('+', "%2B").replace('@', "%40").into_bytes(),
            escaped.into_bytes(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
        ];
        for spelling in spellings {
            let place = Place::new("here", &spelling);
            assert!(place.count(text) > 0 && place.count("Canary+8@example.test") == 0, "{:?}", place.exact);
        }
    }
}

//! Signatures of notifications (contract section 8.4).
//!
//! Every notification has two: `Content-HMAC` over the bytes as they came, `X-Content-HMAC` over the same bytes
//! URL-decoded as a whole. The second is weaker: decoding forgets which `&` and `=` were separators and which were part
//! of a value, and both are made with the same key, so what was signed as decoded text may be presented as raw text and
//! the other way round. Somebody who saw one signed message could therefore present another *spelling* of it that still
//! holds and reads differently. Hence these rules:
//!
//! 1. `Content-HMAC`, where present, decides alone, and a form has to look URL-encoded: no blanks, quotes, braces or
//!    bytes outside ASCII. The decoded text of a real notification is not of that form (`DateTime` has a blank), nor is
//!    JSON; so neither can be presented as a form under the signature that was made for it.
//! 2. `X-Content-HMAC` alone holds for a form only in the one spelling in which every `&` of the decoded text is a
//!    separator and the first `=` after it ends a name: no `&` in any name or value, no `=` in any name, names of
//!    letters and digits only. No other spelling of the same signed text is taken, so nobody can choose how it reads.
//! 3. In that spelling no name may come twice with different values: a value that held `&Name=…` as data cannot replace
//!    what the provider stated under that name.
//! 4. The decoded text may not itself contain `%xx`: it would be the raw text of another message.
//!
//! What is left: a value with `&Name=…` inside, under a name that the message lacks otherwise, reads as that name when
//! only `X-Content-HMAC` is sent. Amount, currency, status and number are stated by the provider wherever they count,
//! and the rest a payer can set in the provider's window anyway; see [`super::Notification::fact`].
//!
//! The price: a real message with `&` in a value is refused when it comes without `Content-HMAC`. The provider always
//! sends both.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::vault;

use super::fields::{form_pieces, percent_sequence, url_decoded};

/// The secrets that notifications may be signed with: the API Secret, and the one before it while it is being replaced.
pub struct Signatures {
    current: SecretString,
    previous: Option<SecretString>,
}

impl Signatures {
    /// An empty secret signs nothing.
    pub fn new(current: SecretString, previous: Option<SecretString>) -> Signatures {
        Signatures { current, previous }
    }

    /// Whether a notification is from the provider. `signed` is the body exactly as received, or for GET the query
    /// string without `?`; `is_json` whether it will be read as JSON; the rest are the values of the two headers.
    pub fn holds(
        &self,
        signed: &[u8],
        is_json: bool,
        content_hmac: Option<&str>,
        x_content_hmac: Option<&str>,
    ) -> bool {
        match (content_hmac, x_content_hmac) {
            (Some(given), _) => (is_json || looks_encoded(signed)) && self.made(given, signed),
            (None, Some(given)) if is_json => self.made(given, signed),
            (None, Some(given)) => {
                let decoded = url_decoded(signed);
                reads_one_way(signed, &decoded) && self.made(given, &decoded)
            }
            (None, None) => false,
        }
    }

    fn made(&self, given: &str, message: &[u8]) -> bool {
        let Some(given) = vault::from_base64(given.trim()).filter(|bytes| bytes.len() == 32) else {
            return false;
        };
        std::iter::once(&self.current).chain(&self.previous).fold(false, |found, secret| {
            let key = secret.expose_secret().as_bytes();
            let matches = vault::equal_in_constant_time(&vault::hmac_sha256(key, message), &given);
            found | (matches & !key.is_empty())
        })
    }
}

/// Rule 1: what no URL encoder leaves as it is, is not there.
fn looks_encoded(form: &[u8]) -> bool {
    form.iter().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(byte))
}

/// Rules 2 to 4.
fn reads_one_way(form: &[u8], decoded: &[u8]) -> bool {
    let hides_another_message =
        (0..decoded.len()).any(|start| decoded.get(start..).is_some_and(|rest| percent_sequence(rest).is_some()));
    let mut seen: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    !hides_another_message
        && form_pieces(form).all(|(name, value)| {
            let name_is_plain = !name.is_empty() && name.iter().all(u8::is_ascii_alphanumeric);
            let stated = seen.entry(name.to_ascii_lowercase()).or_insert_with(|| value.clone());
            name_is_plain && !value.contains(&b'&') && *stated == value
        })
}

//! Cursors: opaque, and bound to the list and filter they came from.

use crate::vault;

const BINDING_LENGTH: usize = 8;

/// The list and the filter that a cursor belongs to, as a short digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding([u8; BINDING_LENGTH]);

impl Binding {
    /// Of a list and the parts of its filter, absent parts as `None`.
    pub(super) fn new(list: &str, filter: &[Option<&str>]) -> Binding {
        let parts = filter.iter().flat_map(|part| [if part.is_some() { "1" } else { "0" }, part.unwrap_or_default()]);
        let parts: Vec<&[u8]> = std::iter::once(list).chain(parts).map(str::as_bytes).collect();
        let digest = vault::digest(&parts);
        Binding(digest.first_chunk().copied().unwrap_or_default())
    }
}

/// The cursor after the entry `last`.
pub(super) fn seal(last: &str, binding: Binding) -> String {
    let mut bytes = binding.0.to_vec();
    bytes.extend_from_slice(last.as_bytes());
    vault::base64_url(&bytes)
}

/// The entry that a cursor stands behind; `None` for a cursor from elsewhere.
pub(super) fn open(cursor: &str, binding: Binding) -> Option<String> {
    let bytes = vault::from_base64_url(cursor)?;
    let (bound, last) = bytes.split_first_chunk::<BINDING_LENGTH>()?;
    if *bound != binding.0 {
        return None;
    }
    std::str::from_utf8(last).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_for_its_own_list_and_filter() {
        let binding = Binding::new("payments", &[Some("KM-1"), None]);
        let cursor = seal("pay_1", binding);
        assert_eq!(open(&cursor, binding).as_deref(), Some("pay_1"));
        assert_eq!(open(&cursor, Binding::new("payments", &[None, Some("KM-1")])), None);
        assert_eq!(open(&cursor, Binding::new("refunds", &[Some("KM-1"), None])), None);
        for junk in ["", "AAAA", "!", "pay_1"] {
            assert_eq!(open(junk, binding), None);
        }
    }
}

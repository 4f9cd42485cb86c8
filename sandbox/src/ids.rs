//! A deterministic source of opaque identifiers: the same seed gives the same sequence.
//!
//! Limits: not secret and not for anything that must be hard to guess. It exists so that a
//! simulation can repeat a run exactly.

/// Letters and digits used in order ids.
const ALPHANUMERIC: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Generator of identifiers (SplitMix64).
#[derive(Clone, Debug)]
pub struct IdSource {
    state: u64,
}

impl IdSource {
    /// Starts a sequence.
    pub const fn new(seed: u64) -> IdSource {
        IdSource { state: seed }
    }

    /// The next 64 bits of the sequence.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Lowercase hexadecimal text of `length` characters.
    pub fn hex(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.next_u64()));
        }
        text.truncate(length);
        text
    }

    /// Letters and digits, `length` of them.
    pub fn alphanumeric(&mut self, length: usize) -> String {
        (0..length)
            .filter_map(|_| {
                let place = usize::try_from(self.next_u64() % 62).ok()?;
                ALPHANUMERIC.get(place).copied().map(char::from)
            })
            .collect()
    }

    /// Text in the form of a GUID.
    pub fn guid(&mut self) -> String {
        let parts = [8, 4, 4, 4, 12].map(|length| self.hex(length));
        parts.join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::IdSource;

    #[test]
    fn repeats_with_the_same_seed() {
        let (mut first, mut second) = (IdSource::new(7), IdSource::new(7));
        assert_eq!(first.hex(29), second.hex(29));
        assert_eq!(first.alphanumeric(16).len(), 16);
        assert_eq!(first.guid().len(), 36);
    }
}

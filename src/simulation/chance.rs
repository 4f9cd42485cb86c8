//! Numbers that look random and repeat with their seed (SplitMix64). Not secret, not for ids of the real service.

/// A sequence of numbers.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The seed of the `number`-th member of a family.
    pub(super) fn seed_of(family: u64, number: u64) -> u64 {
        Chance(family ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93)).next()
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A sequence of its own for somebody else.
    pub(super) fn fork(&mut self) -> Chance {
        Chance(self.next())
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.next() % high.saturating_sub(low).saturating_add(1))
    }

    /// Below `count`, which is not 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % count).unwrap_or(0)
    }

    /// True once in `times`.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times.max(1))
    }

    /// True in `permille` of a thousand cases.
    pub(super) fn permille(&mut self, permille: u64) -> bool {
        self.next() % 1000 < permille
    }

    /// One of them.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T], otherwise: T) -> T {
        let index = self.below(choices.len());
        choices.get(index).copied().unwrap_or(otherwise)
    }

    /// Ten bytes, as ids need them.
    pub(super) fn bytes(&mut self) -> [u8; 10] {
        let (one, other) = (self.next().to_be_bytes(), self.next().to_be_bytes());
        let mut bytes = [0; 10];
        for (place, byte) in bytes.iter_mut().zip(one.into_iter().chain(other)) {
            *place = byte;
        }
        bytes
    }
}

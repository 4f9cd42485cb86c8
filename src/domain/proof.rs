//! Proof that the history was not rewritten: how a row is hashed with its events ([`Record`]), the tree over a batch of
//! records, the chain of seals.
//!
//! Everything is one hash over framed parts ([`vault::digest`]). `docs/history-proofs.md` is the same for an auditor who
//! writes a verifier of their own; a test compares its example with this code.

mod record;

use std::fmt;

pub use record::{Cover, HistoryEvent, HistoryRow, Record};

use crate::clock::Timestamp;
use crate::vault;

const NODE: &[u8] = b"kmic-payments/node/1";
const SEAL: &[u8] = b"kmic-payments/seal/1";

/// A SHA-256 hash; as text 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands for "none": the seal before the first one.
    pub const NONE: Hash = Hash([0; 32]);
    /// What a column of another length reads as: the hash of nothing.
    pub const UNREADABLE: Hash = Hash([0xff; 32]);

    /// Of a list of parts, each preceded by its length.
    pub fn over(parts: &[&[u8]]) -> Hash {
        Hash(vault::digest(parts))
    }

    /// From the bytes of a column; `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Hash> {
        <[u8; 32]>::try_from(bytes).ok().map(Hash)
    }

    /// The bytes, for a column.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Hash> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
        let bytes: Option<Vec<u8>> = digits.map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        Hash::from_bytes(&bytes?)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What covers a batch of rows and, by the hash of the seal before, all rows before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// 1, 2, 3, …
    pub number: i64,
    /// When it was made; never before the seal before.
    pub at: Timestamp,
    /// Which row of all sealed rows its first one is, from 1.
    pub first_row: i64,
    /// How many rows it covers.
    pub row_count: i64,
    /// Root of the tree over the hashes of its rows.
    pub root: Hash,
    /// Hash of the seal `number - 1`; [`Hash::NONE`] for the first.
    pub previous: Hash,
    /// Hash of the seal [`skip_of`]`(number)`; [`Hash::NONE`] where that is 0. Makes proofs short: a way back of a year
    /// takes at most a few hundred seals instead of millions.
    pub skip: Hash,
}

/// Most rows that one seal covers.
pub const MAX_ROWS: i64 = 1024;

/// The seal that the seal `number` skips back to: its lowest set bit cleared.
pub fn skip_of(number: i64) -> i64 {
    number & number.saturating_sub(1)
}

impl Seal {
    /// The hash of everything in it.
    pub fn hash(&self) -> Hash {
        let numbers = [self.number, self.at.micros(), self.first_row, self.row_count].map(|number| number.to_string());
        let mut parts: Vec<&[u8]> = vec![SEAL];
        parts.extend(numbers.iter().map(String::as_bytes));
        parts.extend([&self.root.0[..], &self.previous.0[..], &self.skip.0[..]]);
        Hash::over(&parts)
    }

    /// The numbers of the seals on the shortest way from this one back to `number`, both included, newest first.
    pub fn way_back(from: i64, to: i64) -> Vec<i64> {
        let mut way = vec![from];
        let mut at = from;
        while at > to {
            at = if skip_of(at) >= to { skip_of(at) } else { at - 1 };
            way.push(at);
        }
        way
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::over(&[NODE, &left.0, &right.0])
}

/// Where a tree over `count` leaves divides: the largest power of two below `count`.
fn middle(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// The root of the tree over the leaves: a single leaf is its own root; more are divided at the largest power of two
/// below their number. [`Hash::NONE`] without leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::NONE,
        [leaf] => *leaf,
        more => {
            let (left, right) = more.split_at(middle(more.len()));
            node(&root(left), &root(right))
        }
    }
}

/// What leads from the leaf at `position` to the root: the hash of the other half at each division, deepest first.
pub fn path(leaves: &[Hash], position: usize) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(middle(leaves.len()));
    let (mut way, other) = if position < left.len() {
        (path(left, position), root(right))
    } else {
        (path(right, position - left.len()), root(left))
    };
    way.push(other);
    way
}

/// The root that a leaf at `position` of `count` leads to by its path; `None` for a path of another length.
pub fn root_by_path(leaf: Hash, position: usize, count: usize, path: &[Hash]) -> Option<Hash> {
    if position >= count {
        return None;
    }
    if count == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (other, deeper) = path.split_last()?;
    let left = middle(count);
    if position < left {
        Some(node(&root_by_path(leaf, position, left, deeper)?, other))
    } else {
        Some(node(other, &root_by_path(leaf, position - left, count - left, deeper)?))
    }
}

/// Why a seal does not follow the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// A number is left out or repeated.
    Number,
    /// Its own hash is not that of its content.
    Hash,
    /// It does not hold the hash of the seal before.
    Previous,
    /// It does not hold the hash of the seal it skips to.
    Skip,
    /// Its rows do not begin where those before end.
    Rows,
    /// It was made before the seal before.
    Time,
}

impl Break {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Break::Number => "the seal before it is missing",
            Break::Hash => "its hash is not that of its content: the seal was changed",
            Break::Previous => "it does not hold the hash of the seal before: one of the two was changed",
            Break::Skip => "it does not hold the hash of the seal it skips back to",
            Break::Rows => "its rows do not begin where those of the seal before end",
            Break::Time => "it is older than the seal before",
        }
    }
}

/// Follows the chain from its first seal. Keeps the last seal and the seals that can still be skipped to: at most 64.
#[derive(Debug, Default)]
pub struct Chain {
    last: Option<Seal>,
    behind: Vec<(i64, Hash)>,
}

fn next_number(last: Option<&Seal>) -> i64 {
    last.map_or(1, |last| last.number.saturating_add(1))
}

fn next_row(last: Option<&Seal>) -> i64 {
    last.map_or(1, |last| last.first_row.saturating_add(last.row_count))
}

impl Chain {
    /// The last seal that was followed.
    pub fn last(&self) -> Option<&Seal> {
        self.last.as_ref()
    }

    /// The seal that may follow, over `row_count` rows.
    pub fn next(last: Option<&Seal>, skip: Hash, at: Timestamp, row_count: i64, root: Hash) -> Seal {
        Seal {
            number: next_number(last),
            at: last.map_or(at, |last| at.max(last.at)),
            first_row: next_row(last),
            row_count,
            root,
            previous: last.map_or(Hash::NONE, Seal::hash),
            skip,
        }
    }

    /// Takes the next seal, `stored` being the hash that stands beside it.
    ///
    /// # Errors
    /// Why it does not follow.
    pub fn follow(&mut self, seal: Seal, stored: Hash) -> Result<(), Break> {
        if seal.number != next_number(self.last()) {
            return Err(Break::Number);
        }
        if seal.hash() != stored {
            return Err(Break::Hash);
        }
        if seal.previous != self.last.map_or(Hash::NONE, |last| last.hash()) {
            return Err(Break::Previous);
        }
        let skip = skip_of(seal.number);
        while self.behind.last().is_some_and(|(number, _)| *number > skip) {
            self.behind.pop();
        }
        if seal.skip != self.behind.last().map_or(Hash::NONE, |(_, hash)| *hash) {
            return Err(Break::Skip);
        }
        if seal.first_row != next_row(self.last()) || !(1..=MAX_ROWS).contains(&seal.row_count) {
            return Err(Break::Rows);
        }
        if self.last.is_some_and(|last| seal.at < last.at) {
            return Err(Break::Time);
        }
        self.behind.push((seal.number, stored));
        self.last = Some(seal);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

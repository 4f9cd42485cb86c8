//! What may be published of a business day: sums and counts of groups, none of them small, none to be worked out.
//!
//! A *group* is what happened on one business day in one currency with one [`Outcome`]. It is published with its count and
//! its sum when it has at least [`SMALLEST_GROUP`] members. No total over outcomes is published, so a group that is not
//! cannot be worked out from others. Each group is divided by several [`Dimension`]s ([`Parts::of`]). What is under the
//! limit is put into one *rest* together with the smallest part that is not, and names nothing: so the rest is larger than
//! the limit, and as each of the parts in it may be the large one, the size of none follows. `docs/reports.md` argues it,
//! the tests try every division of small groups.

use std::collections::BTreeMap;

use crate::domain::money::Currency;

/// Fewer members are never published.
pub const SMALLEST_GROUP: i64 = 5;
/// A part whose name is not known.
pub const UNKNOWN: &str = "unknown";

/// What became of a payment or an attempt to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Money was taken.
    Paid,
    /// Money was given back.
    Refunded,
    /// An attempt was refused.
    Declined,
    /// A payment was withdrawn or its hold released.
    Cancelled,
    /// Nobody paid in time.
    Expired,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 5] =
        [Outcome::Paid, Outcome::Refunded, Outcome::Declined, Outcome::Cancelled, Outcome::Expired];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Paid => "paid",
            Outcome::Refunded => "refunded",
            Outcome::Declined => "declined",
            Outcome::Cancelled => "cancelled",
            Outcome::Expired => "expired",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// What a group is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// The card's payment system.
    Brand,
    /// How it was paid.
    Method,
    /// Why it was refused.
    Category,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Dimension; 3] = [Dimension::Brand, Dimension::Method, Dimension::Category];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Dimension::Brand => "brand",
            Dimension::Method => "method",
            Dimension::Category => "category",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Dimension> {
        Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == text)
    }
}

/// How many, and how much together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Members.
    pub count: i64,
    /// Minor units.
    pub minor: i64,
}

impl Tally {
    /// Both together; stays at the end of the range, which no real sum comes near.
    #[must_use]
    pub fn plus(self, other: Tally) -> Tally {
        Tally { count: self.count.saturating_add(other.count), minor: self.minor.saturating_add(other.minor) }
    }

    fn is_small(self) -> bool {
        self.count < SMALLEST_GROUP
    }
}

/// A group divided by one dimension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// The parts that are told apart.
    pub named: BTreeMap<String, Tally>,
    /// All others together.
    pub rest: Option<Tally>,
}

impl Parts {
    /// What may be published of a group's parts. Where no part is small, all are; else the rest takes in all small ones and
    /// the smallest of the others (all of that size, so that a name decides nothing).
    pub fn of(parts: &BTreeMap<String, Tally>) -> Parts {
        let parts = || parts.iter().filter(|(_, tally)| tally.count > 0);
        let threshold = match parts().any(|(_, tally)| tally.is_small()) {
            true => parts().map(|(_, tally)| tally.count).filter(|count| *count >= SMALLEST_GROUP).min(),
            false => Some(0),
        };
        let is_named = |tally: &Tally| threshold.is_some_and(|threshold| tally.count > threshold);
        let named = parts().filter(|(_, tally)| is_named(tally)).map(|(name, tally)| (name.clone(), *tally)).collect();
        let rest = parts().map(|(_, tally)| *tally).filter(|tally| !is_named(tally)).reduce(Tally::plus);
        Parts { named, rest }
    }

    /// Adds what was published of another day.
    pub fn add(&mut self, other: &Parts) {
        for (name, tally) in &other.named {
            let sum = self.named.entry(name.clone()).or_default();
            *sum = sum.plus(*tally);
        }
        self.rest = self.rest.into_iter().chain(other.rest).reduce(Tally::plus);
    }
}

/// A group with its divisions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// The whole.
    pub total: Tally,
    /// By dimension; those that do not apply are absent.
    pub parts: BTreeMap<Dimension, Parts>,
}

impl Group {
    /// Adds what was published of another day.
    pub fn add(&mut self, other: &Group) {
        self.total = self.total.plus(other.total);
        for (dimension, parts) in &other.parts {
            self.parts.entry(*dimension).or_default().add(parts);
        }
    }
}

/// What groups are told apart by, within a day.
pub type GroupKey = (Currency, Outcome);

/// One line of what happened on a day, as the database adds it up.
#[derive(Debug, Clone)]
pub struct Line {
    /// The currency.
    pub currency: Currency,
    /// What became of them.
    pub outcome: Outcome,
    /// The part it belongs to, of each dimension that applies.
    pub parts: Vec<(Dimension, String)>,
    /// How many, how much.
    pub tally: Tally,
}

/// A group's parts as they are, by dimension and name.
type Divisions = BTreeMap<Dimension, BTreeMap<String, Tally>>;

/// What may be published of a day.
pub fn publish(lines: &[Line]) -> BTreeMap<GroupKey, Group> {
    let mut whole: BTreeMap<GroupKey, (Tally, Divisions)> = BTreeMap::new();
    for line in lines {
        let (total, dimensions) = whole.entry((line.currency, line.outcome)).or_default();
        *total = total.plus(line.tally);
        for (dimension, name) in &line.parts {
            let part = dimensions.entry(*dimension).or_default().entry(name.clone()).or_default();
            *part = part.plus(line.tally);
        }
    }
    let large = whole.into_iter().filter(|(_, (total, _))| !total.is_small());
    large
        .map(|(key, (total, dimensions))| {
            let parts = dimensions.iter().map(|(dimension, parts)| (*dimension, Parts::of(parts))).collect();
            (key, Group { total, parts })
        })
        .collect()
}

#[cfg(test)]
mod tests;

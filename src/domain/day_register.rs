//! The accountant's day: what moved money on it, row by row, and the totals of exactly these rows.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::domain::money::{Currency, Money};
use crate::error::{Error, Result};

/// What a row of the register is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// Money was taken.
    Payment,
    /// Money was given back.
    Refund,
    /// A hold was released; no money moved.
    Void,
    /// The payer's bank takes money back, or a step of that dispute: see [`Entry::dispute`].
    Chargeback,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [EntryKind; 4] = [EntryKind::Payment, EntryKind::Refund, EntryKind::Void, EntryKind::Chargeback];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Payment => "payment",
            EntryKind::Refund => "refund",
            EntryKind::Void => "void",
            EntryKind::Chargeback => "chargeback",
        }
    }
}

/// One row.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// When it happened.
    pub at: Timestamp,
    /// Our id of the record: of a transaction or of a chargeback.
    pub record_id: String,
    /// Our payment; `None` for a chargeback of a transaction that we do not hold.
    pub payment_id: Option<String>,
    /// Our refund; `None` for one that was made in the provider's cabinet.
    pub refund_id: Option<String>,
    /// The provider's number.
    pub transaction_id: i64,
    /// Of a refund: the transaction that was given back from.
    pub parent_transaction_id: Option<i64>,
    /// The bill.
    pub invoice_id: Option<String>,
    /// How much; `None` for a chargeback whose sum we cannot read.
    pub amount: Option<Money>,
    /// What the provider keeps for it, minor units; `None` where it does not tell.
    pub fee: Option<i64>,
    /// What the provider pays out for it, minor units; `None` where it does not tell.
    pub payout: Option<i64>,
    /// When it does; `None` where it does not tell.
    pub payout_at: Option<Timestamp>,
    /// The card's payment system.
    pub card_brand: Option<String>,
    /// The card's last four digits.
    pub card_last_four: Option<String>,
    /// Of a chargeback: the provider's words for the step, `Chargeback Presentment`.
    pub dispute: Option<String>,
    /// Whether the terminal was in test mode: then no money moved.
    pub test_mode: Option<bool>,
}

/// Sums over rows of one kind and currency, minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// Rows.
    pub count: i64,
    /// Of what they say moved.
    pub amount: i64,
    /// Of the fees that are told.
    pub fee: i64,
    /// Rows whose fee is told.
    pub with_fee: i64,
    /// Of the payouts that are told.
    pub payout: i64,
    /// Rows whose payout is told.
    pub with_payout: i64,
}

/// The totals of the rows so far.
#[derive(Debug, Clone, Default)]
pub struct Totals(BTreeMap<(Currency, EntryKind), Total>, i64);

impl Totals {
    /// Adds a row.
    ///
    /// # Errors
    /// [`Error::Internal`] when a sum does not fit 64 bits: a total is exact or none.
    pub fn add(&mut self, entry: &Entry) -> Result<()> {
        let Some(amount) = entry.amount else {
            self.1 += 1;
            return Ok(());
        };
        let total = self.0.entry((amount.currency, entry.kind)).or_default();
        let too_large = || Error::internal("a total of the register does not fit 64 bits");
        let sum = |sum: i64, more: Option<i64>| sum.checked_add(more.unwrap_or(0)).ok_or_else(too_large);
        *total = Total {
            count: total.count + 1,
            amount: sum(total.amount, Some(amount.minor))?,
            fee: sum(total.fee, entry.fee)?,
            with_fee: total.with_fee + i64::from(entry.fee.is_some()),
            payout: sum(total.payout, entry.payout)?,
            with_payout: total.with_payout + i64::from(entry.payout.is_some()),
        };
        Ok(())
    }

    /// By currency, then kind.
    pub fn iter(&self) -> impl Iterator<Item = (Currency, EntryKind, Total)> {
        self.0.iter().map(|((currency, kind), total)| (*currency, *kind, *total))
    }

    /// Rows whose sum is not known, and which are in no total.
    pub fn without_amount(&self) -> i64 {
        self.1
    }
}

/// Where a reading of the register stands: rows after this one follow. Transactions come in the order of their time, then
/// chargebacks in the order in which they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// After this transaction: its time and the id of its record.
    Transaction(Timestamp, String),
    /// After the chargeback with this id.
    Chargeback(String),
}

impl Place {
    /// Before the first row of a day that begins at `from`.
    pub fn start(from: Timestamp) -> Place {
        Place::Transaction(from, String::new())
    }
}

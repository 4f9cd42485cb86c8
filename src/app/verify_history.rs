//! Looking for any change of the recorded history: everything is computed anew, in constant memory.
//!
//! Four walks: along the seals (was a sealed row or one of its events changed, taken away, put elsewhere?), along the
//! payments and the events without one (`verify_stories`), over what belongs to nothing, and over the books beside the history.
//! The first fault ends it.

use std::fmt;

use super::seal_history::DailyRoot;
use super::verify_stories::{along_the_books, along_the_loose_events, along_the_payments, check_the_moves};
use crate::clock::{Day, Timestamp};
use crate::domain::proof::{Chain, Hash, MAX_ROWS, Record, root};
use crate::error::{Error, Result};
use crate::store::sealed::Leaf;
use crate::store::seals::StoredSeal;
use crate::store::{Tx, history_walk, sealed, seals};

/// Rows of one statement.
pub(super) const STRETCH: i64 = 500;

/// What is compared beside the database itself.
#[derive(Debug, Clone)]
pub struct VerifyHistory {
    /// Roots that were published: each must still be there.
    pub published: Vec<PublishedRoot>,
    /// A row that was recorded before this moment must be sealed.
    pub sealed_before: Timestamp,
}

/// A root as it was published.
#[derive(Debug, Clone, Copy)]
pub struct PublishedRoot {
    /// Number of the seal.
    pub seal: i64,
    /// Its hash.
    pub hash: Hash,
}

impl PublishedRoot {
    /// Reads a line of `kmic-payments audit root`: day, number of the seal, hash.
    pub fn parse(line: &str) -> Option<PublishedRoot> {
        let mut words = line.split_whitespace();
        Day::parse(words.next()?)?;
        let seal = words.next()?.parse().ok().filter(|number| *number > 0)?;
        let hash = Hash::parse(words.next()?)?;
        words.next().is_none().then_some(PublishedRoot { seal, hash })
    }
}

/// A history that holds.
#[derive(Debug, Clone)]
pub struct History {
    /// Sealed rows, and sealed events without a payment.
    pub rows: i64,
    /// Those that wait for a seal.
    pub waiting: i64,
    /// Seals.
    pub seals: i64,
    /// The last seal.
    pub root: Option<DailyRoot>,
}

/// The first place where the history does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The table.
    pub table: &'static str,
    /// The payment, and the row of its history; or an event without a payment, and [`Record::EVENT_SEQUENCE`].
    pub row: Option<(String, i64)>,
    /// The seal.
    pub seal: Option<i64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table)?;
        match &self.row {
            Some((event_id, Record::EVENT_SEQUENCE)) => write!(f, ", event {event_id}")?,
            Some((payment_id, sequence)) => write!(f, ", payment {payment_id}, sequence {sequence}")?,
            None => {}
        }
        if let Some(seal) = self.seal {
            write!(f, ", seal {seal}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Why a walk ended: the database, or a fault of the history.
pub(super) enum Stop {
    Failed(Error),
    Broken(Broken),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// What a walk comes to.
pub(super) type Walk<T> = std::result::Result<T, Stop>;

/// Ends a walk.
pub(super) fn broken<T>(
    table: &'static str,
    row: Option<(&str, i64)>,
    seal: Option<i64>,
    what: impl Into<String>,
) -> Walk<T> {
    let row = row.map(|(payment_id, sequence)| (payment_id.to_owned(), sequence));
    Err(Stop::Broken(Broken { table, row, seal, what: what.into() }))
}

/// Computes everything anew on one snapshot of the database. The inner error is the first fault.
///
/// # Errors
/// Only of the database.
pub fn verify_history(tx: &mut Tx<'_>, what: &VerifyHistory) -> Result<std::result::Result<History, Broken>> {
    match walk(tx, what) {
        Ok(history) => Ok(Ok(history)),
        Err(Stop::Broken(broken)) => Ok(Err(broken)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn walk(tx: &mut Tx<'_>, what: &VerifyHistory) -> Walk<History> {
    let chain = along_the_seals(tx)?;
    check_published(tx, &what.published)?;
    let met = along_the_payments(tx, what.sealed_before)?;
    along_the_loose_events(tx, what.sealed_before)?;
    check_strays(tx, &chain, met)?;
    check_the_moves(tx)?;
    along_the_books(tx, what.sealed_before)?;
    let (_, sealed, waiting) = history_walk::counts(tx)?;
    let root = super::find_daily_root(tx, None)?;
    Ok(History { rows: sealed, waiting, seals: chain.last().map_or(0, |last| last.number), root })
}

fn along_the_seals(tx: &mut Tx<'_>) -> Walk<Chain> {
    let mut chain = Chain::default();
    loop {
        let stretch = seals::list(tx, chain.last().map_or(i64::MIN, |last| last.number), STRETCH)?;
        if stretch.is_empty() {
            return Ok(chain);
        }
        for stored in stretch {
            check_rows(tx, &stored)?;
            if let Err(reason) = chain.follow(stored.seal, stored.hash) {
                return broken("history_seals", None, Some(stored.seal.number), reason.as_str());
            }
        }
    }
}

/// Every record of a seal is as it was sealed, and together they give the seal's root. A row is named before its seal: who
/// changed both is told about the row.
fn check_rows(tx: &mut Tx<'_>, stored: &StoredSeal) -> Walk<()> {
    let number = stored.seal.number;
    let mut hashes = Vec::new();
    for (position, (leaf, record)) in (0..).zip(read_records(tx, number)?) {
        let (table, row) = subject(&leaf.payment_id, leaf.sequence);
        if leaf.position != position {
            return broken("history_leaves", row, Some(number), "the row that stood before it is missing");
        }
        let Some(record) = record else {
            return broken(table, row, Some(number), "it was sealed and is not there any more");
        };
        if record.cover(leaf.hash).is_none() {
            let what = match record {
                Record::Row(..) => "the row, its events, or its kept hash, was changed after it was sealed",
                Record::Event(_) => "the event, or its kept hash, was changed after it was sealed",
            };
            return broken(table, row, Some(number), what);
        }
        hashes.push(leaf.hash);
    }
    if i64::try_from(hashes.len()) != Ok(stored.seal.row_count) {
        let what = format!("it covers {} rows, {} are there", stored.seal.row_count, hashes.len());
        return broken("history_seals", None, Some(number), what);
    }
    if root(&hashes) != stored.seal.root {
        return broken(
            "history_seals",
            None,
            Some(number),
            "its rows do not give its root: rows were changed or swapped",
        );
    }
    Ok(())
}

/// The table in which a record is, and its name.
fn subject(payment_id: &str, sequence: i64) -> (&'static str, Option<(&str, i64)>) {
    let table = if sequence == Record::EVENT_SEQUENCE { "events" } else { "transitions" };
    (table, Some((payment_id, sequence)))
}

/// The records of a seal. A stored value that cannot even be read (SQLite takes any) is found record by record.
fn read_records(tx: &mut Tx<'_>, seal: i64) -> Walk<Vec<(Leaf, Option<Record>)>> {
    let error = match sealed::records(tx, seal, MAX_ROWS + 1) {
        Ok(records) => return Ok(records),
        Err(error) => error,
    };
    for leaf in sealed::leaves(tx, seal, MAX_ROWS + 1)? {
        if sealed::find(tx, &leaf.payment_id, leaf.sequence).is_err() {
            let (table, row) = subject(&leaf.payment_id, leaf.sequence);
            let what =
                "a column holds what cannot be read: the row, or one of its events, was changed after it was sealed";
            return broken(table, row, Some(seal), what);
        }
    }
    Err(error.into())
}

fn check_published(tx: &mut Tx<'_>, published: &[PublishedRoot]) -> Walk<()> {
    for root in published {
        match seals::find(tx, root.seal)? {
            None => {
                let what = "its root was published and it is not there any more: the end of the history was cut off";
                return broken("history_seals", None, Some(root.seal), what);
            }
            Some(found) if found.hash != root.hash => {
                let what =
                    format!("the published root is {}, this is {}: the history was rewritten", root.hash, found.hash);
                return broken("history_seals", None, Some(root.seal), what);
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Nothing is left that the walks did not meet.
fn check_strays(tx: &mut Tx<'_>, chain: &Chain, met: i64) -> Walk<()> {
    if let Some((id, sequence)) = history_walk::stray_leaf(tx)? {
        return broken(
            "history_leaves",
            Some((&id, sequence)),
            None,
            "its seal is missing: the end of the seals was cut off",
        );
    }
    let (rows, leaves, _) = history_walk::counts(tx)?;
    let covered = chain.last().map_or(0, |last| last.first_row.saturating_add(last.row_count) - 1);
    if leaves != covered {
        return broken("history_leaves", None, None, format!("the seals cover {covered} rows, {leaves} are noted"));
    }
    if let Some((id, sequence)) = history_walk::stray_unsealed(tx)? {
        let (table, row) = subject(&id, sequence);
        return broken(table, row, None, "it waits for a seal and is not there any more");
    }
    if rows != met {
        let (id, sequence) = history_walk::stray_transition(tx)?.unwrap_or_default();
        return broken("transitions", Some((&id, sequence)), None, "the row belongs to no payment");
    }
    if let Some((event_id, payment_id, sequence)) = history_walk::stray_event(tx)? {
        let what = format!("the event {event_id} tells of a row that is not there: it was put in past the service");
        return broken("events", Some((&payment_id, sequence.unwrap_or(-1))), None, what);
    }
    Ok(())
}

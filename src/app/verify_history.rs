//! Looking for any change of the recorded history: everything is computed anew, in constant memory.
//!
//! Three walks: along the seals (was a sealed row changed, taken away, put elsewhere?), along the payments (is each story
//! whole, is each of its rows sealed or waiting?), and over what belongs to nothing. The first fault ends it.

use std::fmt;

use serde_json::{Map, Value};

use super::seal_history::DailyRoot;
use super::told_sums;
use crate::clock::{Day, Timestamp};
use crate::domain::money::{Currency, Money};
use crate::domain::proof::{Chain, Hash, MAX_ROWS, root};
use crate::error::{Error, Result};
use crate::store::seals::{Leaf, Standing, Step, StoredSeal};
use crate::store::{Tx, seals};

/// Rows of one statement.
const STRETCH: i64 = 500;

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
    /// Sealed rows.
    pub rows: i64,
    /// Rows that wait for a seal.
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
    /// The payment, and the row of its history.
    pub row: Option<(String, i64)>,
    /// The seal.
    pub seal: Option<i64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table)?;
        if let Some((payment_id, sequence)) = &self.row {
            write!(f, ", payment {payment_id}, sequence {sequence}")?;
        }
        if let Some(seal) = self.seal {
            write!(f, ", seal {seal}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Why a walk ended: the database, or a fault of the history.
enum Stop {
    Failed(Error),
    Broken(Broken),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

type Walk<T> = std::result::Result<T, Stop>;

fn broken<T>(table: &'static str, row: Option<(&str, i64)>, seal: Option<i64>, what: impl Into<String>) -> Walk<T> {
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
    check_strays(tx, &chain, met)?;
    let (_, sealed, waiting) = seals::counts(tx)?;
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

/// Every row of a seal is as it was sealed, and together they give the seal's root. A row is named before its seal: who
/// changed both is told about the row.
fn check_rows(tx: &mut Tx<'_>, stored: &StoredSeal) -> Walk<()> {
    let number = stored.seal.number;
    let mut hashes = Vec::new();
    for (position, leaf) in (0..).zip(read_leaves(tx, number)?) {
        let row = Some((leaf.payment_id.as_str(), leaf.sequence));
        if leaf.position != position {
            return broken("history_leaves", row, Some(number), "the row that stood before it is missing");
        }
        match &leaf.row {
            None => return broken("transitions", row, Some(number), "the row was sealed and is not there any more"),
            Some(found) if found.hash() != leaf.hash => {
                return broken(
                    "transitions",
                    row,
                    Some(number),
                    "the row, or its kept hash, was changed after it was sealed",
                );
            }
            Some(_) => hashes.push(leaf.hash),
        }
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

/// The rows of a seal. A stored value that cannot even be read (SQLite takes any) is found row by row.
fn read_leaves(tx: &mut Tx<'_>, seal: i64) -> Walk<Vec<Leaf>> {
    let error = match seals::leaves(tx, seal, i64::MIN, MAX_ROWS + 1) {
        Ok(leaves) => return Ok(leaves),
        Err(error) => error,
    };
    for (payment_id, sequence) in seals::places(tx, seal, MAX_ROWS + 1)? {
        if seals::row(tx, &payment_id, sequence).is_err() {
            let what = "a column holds what cannot be read: the row was changed after it was sealed";
            return broken("transitions", Some((&payment_id, sequence)), Some(seal), what);
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

/// Returns how many rows it met.
fn along_the_payments(tx: &mut Tx<'_>, sealed_before: Timestamp) -> Walk<i64> {
    let (mut after, mut met) = (String::new(), 0);
    loop {
        let stretch = seals::payments_after(tx, &after, STRETCH)?;
        let Some(last) = stretch.last() else { return Ok(met) };
        after.clone_from(&last.id);
        for payment in &stretch {
            met += check_story(tx, payment, sealed_before)?;
        }
    }
}

/// One payment's rows follow one another, end where the payment is, and are sealed or wait for it.
fn check_story(tx: &mut Tx<'_>, payment: &Standing, sealed_before: Timestamp) -> Walk<i64> {
    let (mut last, mut state, mut told) = (0, "none".to_owned(), Map::new());
    loop {
        let stretch = seals::steps(tx, &payment.id, last, STRETCH)?;
        if stretch.is_empty() {
            return check_end(payment, last, &state, &told);
        }
        for step in stretch {
            check_step(&step, last, &state)?;
            if step.sequence > payment.sequence {
                let what = format!("the payment has {} rows: this one was put in past the service", payment.sequence);
                return broken("transitions", Some((&payment.id, step.sequence)), None, what);
            }
            check_sealed(&step, sealed_before)?;
            if let Ok(detail) = serde_json::from_str::<Map<String, Value>>(&step.detail) {
                told.extend(detail.into_iter().filter(|(name, _)| name == "sums" || last == 0));
            }
            (last, state) = (step.sequence, step.to_status);
        }
    }
}

/// The payment's own row says what its last row and the told sums say. Rows of versions that told no sums say nothing of them.
fn check_end(payment: &Standing, last: i64, state: &str, told: &Map<String, Value>) -> Walk<i64> {
    let id = payment.id.as_str();
    if last < payment.sequence {
        return broken("transitions", Some((id, last + 1)), None, "the payment went further: the row is missing");
    }
    if state != payment.status {
        let what =
            format!("the payment is {}, its last row ends in {state}: one of the two was changed", payment.status);
        return broken("payments", Some((id, last)), None, what);
    }
    let currency = Currency::parse(&payment.currency);
    let sums = currency.map(|currency| {
        let reached = told_sums::sums_of(currency, payment.authorized, payment.captured, payment.refunded);
        told_sums::asked(Money::new(payment.amount, currency)).into_iter().chain(reached).collect::<Map<_, _>>()
    });
    for (name, value) in told.iter().filter(|(name, _)| ["amount", "currency", "sums"].contains(&name.as_str())) {
        if sums.as_ref().and_then(|sums| sums.get(name)) != Some(value) {
            let what = format!("its {name} is not what the history tells, {value}: the payment's row was changed");
            return broken("payments", Some((id, last)), None, what);
        }
    }
    Ok(last)
}

fn check_step(step: &Step, last: i64, state: &str) -> Walk<()> {
    let id = step.payment_id.as_str();
    if step.sequence != last + 1 {
        return broken("transitions", Some((id, last + 1)), None, "the row is missing");
    }
    if step.from_status != state {
        let what = format!("it begins in {}, the row before ends in {state}", step.from_status);
        return broken("transitions", Some((id, step.sequence)), None, what);
    }
    Ok(())
}

fn check_sealed(step: &Step, sealed_before: Timestamp) -> Walk<()> {
    let row = Some((step.payment_id.as_str(), step.sequence));
    match (step.is_sealed(), step.is_waiting()) {
        (true, false) => Ok(()),
        (true, true) => broken("history_unsealed", row, None, "the row waits for a seal and has one"),
        (false, false) => broken(
            "transitions",
            row,
            None,
            "no seal covers the row and it does not wait for one: it was put in past the service",
        ),
        (false, true) if step.at() < sealed_before => {
            broken("transitions", row, None, "the row still waits for a seal; does the service run?")
        }
        (false, true) => Ok(()),
    }
}

/// Nothing is left that the walks did not meet.
fn check_strays(tx: &mut Tx<'_>, chain: &Chain, met: i64) -> Walk<()> {
    if let Some((id, sequence)) = seals::stray_leaf(tx)? {
        return broken(
            "history_leaves",
            Some((&id, sequence)),
            None,
            "its seal is missing: the end of the seals was cut off",
        );
    }
    let (rows, leaves, _) = seals::counts(tx)?;
    let covered = chain.last().map_or(0, |last| last.first_row.saturating_add(last.row_count) - 1);
    if leaves != covered {
        return broken("history_leaves", None, None, format!("the seals cover {covered} rows, {leaves} are noted"));
    }
    if let Some((id, sequence)) = seals::stray_unsealed(tx)? {
        return broken(
            "transitions",
            Some((&id, sequence)),
            None,
            "the row waits for a seal and is not there any more",
        );
    }
    if rows != met {
        let (id, sequence) = seals::stray_transition(tx)?.unwrap_or_default();
        return broken("transitions", Some((&id, sequence)), None, "the row belongs to no payment");
    }
    Ok(())
}

//! A proof of one payment's history that holds without this service: made here, checked by anybody who has a root.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::seal_history::find_daily_root;
use crate::clock::{Day, Timestamp};
use crate::domain::id::PaymentId;
use crate::domain::proof::{Cover, Hash, HistoryEvent, HistoryRow, MAX_ROWS, Record, Seal, path, root_by_path};
use crate::error::{Error, Result};
use crate::store::{Tx, sealed, seals};

const FORMAT: &str = "kmic-payments/history-proof/2";
/// Proofs without events, from before these were covered. They are still taken.
const FORMAT_WITHOUT_EVENTS: &str = "kmic-payments/history-proof/1";
/// Most rows of one proof; no payment has so many.
const ROW_LIMIT: i64 = 10_000;

/// The proof as it is written to a file. Hashes are 64 hexadecimal digits, moments microseconds since 1970 in UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    format: String,
    /// The payment.
    pub payment_id: String,
    /// The root that it leads to.
    pub root: ProofRoot,
    rows: Vec<ProofRow>,
    /// From the root's seal back to every seal of a row, newest first.
    seals: Vec<ProofSeal>,
}

/// Which root.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofRoot {
    /// The day in UTC.
    pub day: String,
    /// Number of the seal.
    pub seal: i64,
    /// Its hash.
    pub hash: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofRow {
    sequence: i64,
    from_status: String,
    to_status: String,
    cause_type: String,
    cause_id: Option<String>,
    actor: String,
    transaction_id: Option<i64>,
    detail: String,
    at_micros: i64,
    /// What the site was told of it; `None` where the seal covers the row alone.
    events: Option<Vec<ProofEvent>>,
    seal: i64,
    position: i64,
    path: Vec<String>,
}

/// An event; its payment and sequence are the row's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofEvent {
    id: String,
    kind: String,
    refund_id: Option<String>,
    at_micros: i64,
    notification_id: Option<String>,
    transaction_id: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofSeal {
    number: i64,
    at_micros: i64,
    first_row: i64,
    row_count: i64,
    root: String,
    previous: String,
    skip: String,
}

/// What a proof shows.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The payment.
    pub payment_id: String,
    /// Its history from the creation.
    pub rows: Vec<ProvenRow>,
    /// When the root's seal was made.
    pub root_at: Timestamp,
}

/// A row that a proof shows.
#[derive(Debug, Clone)]
pub struct ProvenRow {
    /// The row.
    pub row: HistoryRow,
    /// What the site was told of it, in the order of the feed; `None` where its seal does not say.
    pub events: Option<Vec<HistoryEvent>>,
}

/// Proves what is sealed of a payment's history up to the root of `day`, or up to the last seal.
///
/// # Errors
/// [`Error::NotFound`] without such a payment or root, or while none of its rows is sealed.
pub fn prove_history(tx: &mut Tx<'_>, payment_id: &PaymentId, day: Option<Day>) -> Result<Proof> {
    let root = find_daily_root(tx, day)?.ok_or(Error::NotFound("root"))?;
    let leaves = sealed::leaves_of_payment(tx, payment_id.as_str(), ROW_LIMIT)?;
    let (mut rows, mut numbers) = (Vec::new(), BTreeSet::new());
    for leaf in leaves.iter().filter(|leaf| leaf.seal <= root.seal) {
        let hashes: Vec<Hash> = sealed::leaves(tx, leaf.seal, MAX_ROWS)?.into_iter().map(|leaf| leaf.hash).collect();
        let position = usize::try_from(leaf.position).map_err(|_| changed())?;
        let record = sealed::find(tx, &leaf.payment_id, leaf.sequence)?.ok_or_else(changed)?;
        let (row, events) = covered(record, leaf.hash).ok_or_else(changed)?;
        rows.push(proof_row(row, events, leaf.seal, leaf.position, &path(&hashes, position)));
        numbers.extend(Seal::way_back(root.seal, leaf.seal));
    }
    if rows.is_empty() {
        return Err(Error::NotFound("sealed history of this payment up to that root; it is sealed within a minute"));
    }
    let mut chain = Vec::new();
    for number in numbers.into_iter().rev() {
        chain.push(proof_seal(&seals::find(tx, number)?.ok_or_else(changed)?.seal));
    }
    Ok(Proof {
        format: FORMAT.to_owned(),
        payment_id: payment_id.to_string(),
        root: ProofRoot { day: root.day.to_string(), seal: root.seal, hash: root.hash.to_string() },
        rows,
        seals: chain,
    })
}

/// The row as its seal covers it: with its events, or alone.
fn covered(record: Record, hash: Hash) -> Option<(HistoryRow, Option<Vec<HistoryEvent>>)> {
    match (record.cover(hash)?, record) {
        (Cover::WithEvents, Record::Row(row, events)) => Some((row, Some(events))),
        (Cover::Alone, Record::Row(row, _)) => Some((row, None)),
        (_, Record::Event(_)) => None,
    }
}

fn changed() -> Error {
    Error::internal("the history does not hold together; run: kmic-payments audit verify")
}

fn proof_row(row: HistoryRow, events: Option<Vec<HistoryEvent>>, seal: i64, position: i64, path: &[Hash]) -> ProofRow {
    ProofRow {
        sequence: row.sequence,
        from_status: row.from_status,
        to_status: row.to_status,
        cause_type: row.cause_type,
        cause_id: row.cause_id,
        actor: row.actor,
        transaction_id: row.transaction_id,
        detail: row.detail,
        at_micros: row.at.micros(),
        events: events.map(|events| events.into_iter().map(proof_event).collect()),
        seal,
        position,
        path: path.iter().map(Hash::to_string).collect(),
    }
}

fn proof_event(event: HistoryEvent) -> ProofEvent {
    ProofEvent {
        id: event.id,
        kind: event.kind,
        refund_id: event.refund_id,
        at_micros: event.at.micros(),
        notification_id: event.notification_id,
        transaction_id: event.transaction_id,
    }
}

fn proof_seal(seal: &Seal) -> ProofSeal {
    ProofSeal {
        number: seal.number,
        at_micros: seal.at.micros(),
        first_row: seal.first_row,
        row_count: seal.row_count,
        root: seal.root.to_string(),
        previous: seal.previous.to_string(),
        skip: seal.skip.to_string(),
    }
}

impl Proof {
    /// Checks the proof against a root from elsewhere, with nothing but the proof itself.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(&self, published: Hash) -> std::result::Result<Proven, String> {
        let without_events = self.format == FORMAT_WITHOUT_EVENTS && self.rows.iter().all(|row| row.events.is_none());
        if self.format != FORMAT && !without_events {
            return Err(format!("this is not a proof that this version reads: format must be {FORMAT}"));
        }
        let seals = self.check_seals(published)?;
        let (mut rows, mut state) = (Vec::new(), "none");
        for (expected, row) in (1..).zip(&self.rows) {
            if row.sequence != expected {
                return Err(format!("sequence {expected} is missing"));
            }
            if row.from_status != state {
                return Err(format!("sequence {expected} does not begin where the row before ends"));
            }
            let seal = seals.get(&row.seal).ok_or_else(|| format!("the seal of sequence {expected} is missing"))?;
            let found = row.read(&self.payment_id);
            if !row.is_under(&found, *seal) {
                return Err(format!("sequence {expected} is not what seal {} covers at that place", row.seal));
            }
            state = &row.to_status;
            rows.push(found);
        }
        let newest = self.seals.first().ok_or("there is no seal")?;
        self.root.check(newest, published)?;
        if rows.is_empty() {
            return Err("there is no row".to_owned());
        }
        Ok(Proven { payment_id: self.payment_id.clone(), rows, root_at: Timestamp::from_micros(newest.at_micros) })
    }

    /// Root and row count of every seal that follows from the published root.
    fn check_seals(&self, published: Hash) -> std::result::Result<BTreeMap<i64, (Hash, i64)>, String> {
        let (mut known, mut seals) = (BTreeSet::from([*published.as_bytes()]), BTreeMap::new());
        for stated in &self.seals {
            let seal = stated.read().ok_or_else(|| format!("seal {} cannot be read", stated.number))?;
            if !known.contains(seal.hash().as_bytes()) {
                return Err(match seals.is_empty() {
                    true => format!("seal {} does not give the root {published}", seal.number),
                    false => format!("seal {} is not the one that the seals after it hold", seal.number),
                });
            }
            known.insert(*seal.previous.as_bytes());
            known.insert(*seal.skip.as_bytes());
            seals.insert(seal.number, (seal.root, seal.row_count));
        }
        Ok(seals)
    }
}

impl ProofRoot {
    /// Whether what the proof says of its root is what its newest seal gives: people read it, and file the proof by it.
    fn check(&self, newest: &ProofSeal, published: Hash) -> std::result::Result<(), String> {
        let day = Day::of(Timestamp::from_micros(newest.at_micros)).to_string();
        if self.seal != newest.number || self.hash != published.to_string() || self.day != day {
            return Err(format!("what it says of its root is not {day} {} {published}", newest.number));
        }
        Ok(())
    }
}

impl ProofRow {
    fn read(&self, payment_id: &str) -> ProvenRow {
        let events = self.events.as_ref();
        ProvenRow {
            row: self.read_row(payment_id),
            events: events.map(|events| events.iter().map(|event| event.read(payment_id, self.sequence)).collect()),
        }
    }

    fn read_row(&self, payment_id: &str) -> HistoryRow {
        HistoryRow {
            payment_id: payment_id.to_owned(),
            sequence: self.sequence,
            from_status: self.from_status.clone(),
            to_status: self.to_status.clone(),
            cause_type: self.cause_type.clone(),
            cause_id: self.cause_id.clone(),
            actor: self.actor.clone(),
            transaction_id: self.transaction_id,
            detail: self.detail.clone(),
            at: Timestamp::from_micros(self.at_micros),
        }
    }

    /// Whether the row stands at its place under the root of a seal.
    fn is_under(&self, found: &ProvenRow, (root, row_count): (Hash, i64)) -> bool {
        let hash = match &found.events {
            Some(events) => found.row.hash_with(events),
            None => found.row.hash_alone(),
        };
        let path: Option<Vec<Hash>> = self.path.iter().map(|hash| Hash::parse(hash)).collect();
        let (Ok(position), Ok(count), Some(path)) = (usize::try_from(self.position), usize::try_from(row_count), path)
        else {
            return false;
        };
        count <= usize::try_from(MAX_ROWS).unwrap_or(0) && root_by_path(hash, position, count, &path) == Some(root)
    }
}

impl ProofEvent {
    fn read(&self, payment_id: &str, sequence: i64) -> HistoryEvent {
        HistoryEvent {
            id: self.id.clone(),
            kind: self.kind.clone(),
            payment_id: Some(payment_id.to_owned()),
            refund_id: self.refund_id.clone(),
            sequence: Some(sequence),
            at: Timestamp::from_micros(self.at_micros),
            notification_id: self.notification_id.clone(),
            transaction_id: self.transaction_id,
            subject_id: None,
            actor: None,
        }
    }
}

impl ProofSeal {
    fn read(&self) -> Option<Seal> {
        Some(Seal {
            number: self.number,
            at: Timestamp::from_micros(self.at_micros),
            first_row: self.first_row,
            row_count: self.row_count,
            root: Hash::parse(&self.root)?,
            previous: Hash::parse(&self.previous)?,
            skip: Hash::parse(&self.skip)?,
        })
    }
}

//! Sealing the history: a worker's step covers rows and events that were appended since, and the daily roots that are
//! published.

use super::{App, Listing};
use crate::clock::{Day, Timestamp};
use crate::domain::proof::{Chain, Hash, Record, Seal, root, skip_of};
use crate::error::Result;
use crate::store::sealed::Leaf;
use crate::store::seals::StoredSeal;
use crate::store::{Lane, Tx, sealed, seals};

/// Rows of one seal. The write that makes it holds up other writes for a few milliseconds.
const BATCH_ROWS: i64 = 256;
/// Seals of one step; the next step goes on.
const STEP_SEALS: usize = 40;

/// The last seal of a day: its hash stands for the history up to then.
#[derive(Debug, Clone, Copy)]
pub struct DailyRoot {
    /// The day in UTC.
    pub day: Day,
    /// The seal.
    pub seal: i64,
    /// When it was made.
    pub at: Timestamp,
    /// Rows that it covers together with all seals before.
    pub rows: i64,
    /// Its hash.
    pub hash: Hash,
}

impl App {
    /// Seals what was appended to the history. Returns how many rows, and events without a payment, were sealed.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn seal_step(&self) -> Result<usize> {
        let mut sealed = 0;
        for _ in 0..STEP_SEALS {
            let count = self.seal_batch().await?;
            sealed += count;
            if i64::try_from(count).unwrap_or(i64::MAX) < BATCH_ROWS {
                break;
            }
        }
        self.parts.metrics.worker("seal", sealed);
        Ok(sealed)
    }

    /// Hashes in a reader's thread, so that the writer only inserts.
    async fn seal_batch(&self) -> Result<usize> {
        let now = self.now();
        let Some(batch) = self.parts.store.read(move |tx| next_batch(tx, now)).await? else { return Ok(0) };
        let (seal, count, day_before) = (batch.seal, batch.leaves.len(), batch.day_before);
        let lane = Lane::of("history_seals");
        if !self.parts.store.write(lane, move |tx| seals::append(tx, &batch.seal, &batch.leaves)).await? {
            return Ok(0);
        }
        tracing::debug!(seal = seal.number, rows = count, hash = %seal.hash(), "sealed a stretch of the history");
        if let Some(root) = day_before {
            tracing::info!(day = %root.day, seal = root.seal, root = %root.hash, "daily root of the history");
        }
        Ok(count)
    }

    /// The roots of days that have one, newest first, of days before `before`.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn list_daily_roots(&self, before: Option<Day>, limit: i64) -> Result<Listing<DailyRoot>> {
        self.parts.store.read(move |tx| list_daily_roots(tx, before, limit)).await
    }
}

struct Batch {
    seal: Seal,
    leaves: Vec<Leaf>,
    /// The root of the day before, when this seal begins a new one.
    day_before: Option<DailyRoot>,
}

fn next_batch(tx: &mut Tx<'_>, now: Timestamp) -> Result<Option<Batch>> {
    let records = sealed::waiting(tx, BATCH_ROWS)?;
    if records.is_empty() {
        return Ok(None);
    }
    let last = seals::last(tx)?;
    let number = last.map_or(1, |last| last.seal.number.saturating_add(1));
    let skip = match skip_of(number) {
        0 => Hash::NONE,
        skipped => seals::find(tx, skipped)?.map_or(Hash::UNREADABLE, |found| found.hash),
    };
    let hashes: Vec<Hash> = records.iter().map(Record::hash).collect();
    let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
    let seal = Chain::next(last.as_ref().map(|last| &last.seal), skip, now, count, root(&hashes));
    let places = (0..).zip(records.iter().zip(hashes));
    let leaves = places.map(|(position, (record, hash))| leaf(number, position, record, hash)).collect();
    let day_before = last.map(daily_root).filter(|root| root.day < Day::of(seal.at));
    Ok(Some(Batch { seal, leaves, day_before }))
}

fn leaf(seal: i64, position: i64, record: &Record, hash: Hash) -> Leaf {
    let (payment_id, sequence) = record.key();
    Leaf { payment_id: payment_id.to_owned(), sequence, seal, position, hash }
}

fn daily_root(stored: StoredSeal) -> DailyRoot {
    let seal = stored.seal;
    DailyRoot {
        day: Day::of(seal.at),
        seal: seal.number,
        at: seal.at,
        rows: seal.first_row.saturating_add(seal.row_count).saturating_sub(1),
        hash: stored.hash,
    }
}

/// The root of `day`, or of the last day that has one.
///
/// # Errors
/// Only of the database.
pub fn find_daily_root(tx: &mut Tx<'_>, day: Option<Day>) -> Result<Option<DailyRoot>> {
    let found = match day {
        Some(day) => seals::last_before(tx, day.end())?.filter(|found| Day::of(found.seal.at) == day),
        None => seals::last(tx)?,
    };
    Ok(found.map(daily_root))
}

/// As [`App::list_daily_roots`].
///
/// # Errors
/// Only of the database.
pub fn list_daily_roots(tx: &mut Tx<'_>, before: Option<Day>, limit: i64) -> Result<Listing<DailyRoot>> {
    let mut items = Vec::new();
    let mut next = match before {
        Some(day) => seals::last_before(tx, day.begin())?,
        None => seals::last(tx)?,
    };
    while let Some(found) = next {
        let root = daily_root(found);
        if i64::try_from(items.len()).unwrap_or(i64::MAX) >= limit {
            return Ok(Listing { items, more: true });
        }
        next = seals::last_before(tx, root.day.begin())?;
        items.push(root);
    }
    Ok(Listing { items, more: false })
}

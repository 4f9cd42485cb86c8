//! The seals over the history, one after the other. What each covers stands in [`sealed`]. See `domain::proof`.

use diesel::prelude::*;

use super::Tx;
use super::conn::on_each;
use super::schema::history_seals;
use super::sealed::{self, Leaf};
use super::types::{NaiveDateTime, moment};
use crate::clock::Timestamp;
use crate::domain::proof::{Hash, Seal};
use crate::error::{Error, Result};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = history_seals)]
struct SealColumns {
    number: i64,
    at: NaiveDateTime,
    first_row: i64,
    row_count: i64,
    root: Vec<u8>,
    previous: Vec<u8>,
    skip: Vec<u8>,
    hash: Vec<u8>,
}

/// A seal, and the hash that is stored beside it.
#[derive(Debug, Clone, Copy)]
pub struct StoredSeal {
    /// The seal.
    pub seal: Seal,
    /// What its hash was when it was made.
    pub hash: Hash,
}

/// The last seal.
pub fn last(tx: &mut Tx<'_>) -> Result<Option<StoredSeal>> {
    let found = history_seals::table
        .order(history_seals::number.desc())
        .select(SealColumns::as_select())
        .first(tx.db())
        .optional()?;
    Ok(found.map(stored_seal))
}

/// The last seal made before a moment.
pub fn last_before(tx: &mut Tx<'_>, moment: Timestamp) -> Result<Option<StoredSeal>> {
    let found = history_seals::table
        .filter(history_seals::at.lt(moment.naive_utc()))
        .order((history_seals::at.desc(), history_seals::number.desc()))
        .select(SealColumns::as_select())
        .first(tx.db())
        .optional()?;
    Ok(found.map(stored_seal))
}

/// One seal.
pub fn find(tx: &mut Tx<'_>, number: i64) -> Result<Option<StoredSeal>> {
    let found = history_seals::table.find(number).select(SealColumns::as_select()).first(tx.db()).optional()?;
    Ok(found.map(stored_seal))
}

/// A stretch of the chain, oldest first, after the seal `number`.
pub fn list(tx: &mut Tx<'_>, after: i64, limit: i64) -> Result<Vec<StoredSeal>> {
    let rows: Vec<SealColumns> = history_seals::table
        .filter(history_seals::number.gt(after))
        .order(history_seals::number.asc())
        .limit(limit)
        .select(SealColumns::as_select())
        .load(tx.db())?;
    Ok(rows.into_iter().map(stored_seal).collect())
}

/// Writes a seal over these leaves, which no longer wait for one. `false`, and nothing is written, when another process made
/// this seal.
pub fn append(tx: &mut Tx<'_>, seal: &Seal, leaves: &[Leaf]) -> Result<bool> {
    let before = last(tx)?.map_or(Hash::NONE, |last| last.hash);
    if before != seal.previous {
        return Ok(false);
    }
    let columns = SealColumns {
        number: seal.number,
        at: seal.at.naive_utc(),
        first_row: seal.first_row,
        row_count: seal.row_count,
        root: seal.root.as_bytes().to_vec(),
        previous: seal.previous.as_bytes().to_vec(),
        skip: seal.skip.as_bytes().to_vec(),
        hash: seal.hash().as_bytes().to_vec(),
    };
    diesel::insert_into(history_seals::table).values(columns).execute(tx.db())?;
    sealed::insert(tx, leaves)?;
    let taken = diesel::sql_query(
        "DELETE FROM history_unsealed WHERE (payment_id, sequence) IN \
         (SELECT payment_id, sequence FROM history_leaves WHERE seal = $1)",
    );
    let count = on_each!(tx.db(), |conn| taken.bind::<diesel::sql_types::BigInt, _>(seal.number).execute(conn))?;
    if count != leaves.len() {
        return Err(Error::internal(format!("seal {}: some of its rows do not wait for a seal", seal.number)));
    }
    Ok(true)
}

/// A hash as it is stored.
pub(super) fn hash(bytes: &[u8]) -> Hash {
    Hash::from_bytes(bytes).unwrap_or(Hash::UNREADABLE)
}

fn stored_seal(row: SealColumns) -> StoredSeal {
    let seal = Seal {
        number: row.number,
        at: moment(row.at),
        first_row: row.first_row,
        row_count: row.row_count,
        root: hash(&row.root),
        previous: hash(&row.previous),
        skip: hash(&row.skip),
    };
    StoredSeal { seal, hash: hash(&row.hash) }
}

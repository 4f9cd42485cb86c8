//! The seals over the history: what waits for one, what each covers. See `domain::proof`.

use diesel::prelude::*;

use super::Tx;
use super::conn::on_each;
use super::schema::{history_leaves, history_seals, history_unsealed, payments, transitions};
use super::types::{NaiveDateTime, moment};
use crate::clock::Timestamp;
use crate::domain::proof::{Hash, HistoryRow, Seal};
use crate::error::{Error, Result};

#[derive(Queryable, Selectable)]
#[diesel(table_name = transitions)]
struct Columns {
    payment_id: String,
    sequence: i64,
    from_status: String,
    to_status: String,
    cause_type: String,
    cause_id: Option<String>,
    actor: String,
    transaction_id: Option<i64>,
    detail: String,
    at: NaiveDateTime,
}

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

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = history_leaves)]
struct LeafColumns {
    payment_id: String,
    sequence: i64,
    seal: i64,
    position: i64,
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

/// A sealed row.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The payment.
    pub payment_id: String,
    /// The row of the payment's history.
    pub sequence: i64,
    /// The seal that covers it.
    pub seal: i64,
    /// Where it stands among the seal's rows, from 0.
    pub position: i64,
    /// What its hash was when it was sealed.
    pub hash: Hash,
    /// The row itself, where it is still there.
    pub row: Option<HistoryRow>,
}

/// Where a payment stands by its own row, unchecked.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = payments)]
pub struct Standing {
    /// The payment.
    pub id: String,
    /// How many rows its history has.
    pub sequence: i64,
    /// Its state.
    pub status: String,
    /// The currency of its sums.
    pub currency: String,
    /// What was asked for, minor units.
    pub amount: i64,
    /// What is held, minor units.
    pub authorized: i64,
    /// What was taken, minor units.
    pub captured: i64,
    /// What was given back, minor units.
    pub refunded: i64,
}

/// A row of a payment's history, as far as the payment's own story goes.
#[derive(Debug, Clone, Queryable)]
pub struct Step {
    /// The payment.
    pub payment_id: String,
    /// The row.
    pub sequence: i64,
    /// The state before.
    pub from_status: String,
    /// The state after.
    pub to_status: String,
    /// More about it: JSON as text.
    pub detail: String,
    at: NaiveDateTime,
    sealed: Option<i64>,
    waiting: Option<i64>,
}

impl Step {
    /// When.
    pub fn at(&self) -> Timestamp {
        moment(self.at)
    }

    /// Whether a seal covers it.
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// Whether it waits for a seal.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }
}

/// Rows that no seal covers yet, those of one payment in their order.
pub fn unsealed(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<HistoryRow>> {
    let same = history_unsealed::payment_id
        .eq(transitions::payment_id)
        .and(history_unsealed::sequence.eq(transitions::sequence));
    let rows: Vec<Columns> = history_unsealed::table
        .inner_join(transitions::table.on(same))
        .order((history_unsealed::payment_id, history_unsealed::sequence))
        .limit(limit)
        .select(Columns::as_select())
        .load(tx.db)?;
    Ok(rows.into_iter().map(history_row).collect())
}

/// The last seal.
pub fn last(tx: &mut Tx<'_>) -> Result<Option<StoredSeal>> {
    let found = history_seals::table
        .order(history_seals::number.desc())
        .select(SealColumns::as_select())
        .first(tx.db)
        .optional()?;
    Ok(found.map(stored_seal))
}

/// The last seal made before a moment.
pub fn last_before(tx: &mut Tx<'_>, moment: Timestamp) -> Result<Option<StoredSeal>> {
    let found = history_seals::table
        .filter(history_seals::at.lt(moment.naive_utc()))
        .order((history_seals::at.desc(), history_seals::number.desc()))
        .select(SealColumns::as_select())
        .first(tx.db)
        .optional()?;
    Ok(found.map(stored_seal))
}

/// One seal.
pub fn find(tx: &mut Tx<'_>, number: i64) -> Result<Option<StoredSeal>> {
    let found = history_seals::table.find(number).select(SealColumns::as_select()).first(tx.db).optional()?;
    Ok(found.map(stored_seal))
}

/// A stretch of the chain, oldest first, after the seal `number`.
pub fn list(tx: &mut Tx<'_>, after: i64, limit: i64) -> Result<Vec<StoredSeal>> {
    let rows: Vec<SealColumns> = history_seals::table
        .filter(history_seals::number.gt(after))
        .order(history_seals::number.asc())
        .limit(limit)
        .select(SealColumns::as_select())
        .load(tx.db)?;
    Ok(rows.into_iter().map(stored_seal).collect())
}

/// Writes a seal over these rows, which no longer wait for one. `false`, and nothing is written, when another process made
/// this seal.
pub fn append(tx: &mut Tx<'_>, seal: &Seal, rows: &[HistoryRow]) -> Result<bool> {
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
    diesel::insert_into(history_seals::table).values(columns).execute(tx.db)?;
    let leaves: Vec<LeafColumns> =
        (0..).zip(rows).map(|(position, row)| leaf_columns(seal.number, position, row)).collect();
    on_each!(tx.db, |conn| diesel::insert_into(history_leaves::table).values(&leaves).execute(conn))?;
    let taken = diesel::sql_query(
        "DELETE FROM history_unsealed WHERE (payment_id, sequence) IN \
         (SELECT payment_id, sequence FROM history_leaves WHERE seal = $1)",
    );
    let count = on_each!(tx.db, |conn| taken.bind::<diesel::sql_types::BigInt, _>(seal.number).execute(conn))?;
    if count != rows.len() {
        return Err(Error::internal(format!("seal {}: some of its rows do not wait for a seal", seal.number)));
    }
    Ok(true)
}

/// The rows that a seal covers, in their order.
pub fn leaves(tx: &mut Tx<'_>, seal: i64, after: i64, limit: i64) -> Result<Vec<Leaf>> {
    let same =
        transitions::payment_id.eq(history_leaves::payment_id).and(transitions::sequence.eq(history_leaves::sequence));
    let rows: Vec<(LeafColumns, Option<Columns>)> = history_leaves::table
        .left_join(transitions::table.on(same))
        .filter(history_leaves::seal.eq(seal))
        .filter(history_leaves::position.gt(after))
        .order(history_leaves::position.asc())
        .limit(limit)
        .select((LeafColumns::as_select(), Option::<Columns>::as_select()))
        .load(tx.db)?;
    Ok(rows.into_iter().map(|(leaf, row)| stored_leaf(leaf, row.map(history_row))).collect())
}

/// Which rows a seal covers, in their order.
pub fn places(tx: &mut Tx<'_>, seal: i64, limit: i64) -> Result<Vec<(String, i64)>> {
    Ok(history_leaves::table
        .filter(history_leaves::seal.eq(seal))
        .order(history_leaves::position.asc())
        .limit(limit)
        .select((history_leaves::payment_id, history_leaves::sequence))
        .load(tx.db)?)
}

/// One row of the history.
pub fn row(tx: &mut Tx<'_>, payment_id: &str, sequence: i64) -> Result<Option<HistoryRow>> {
    let found = transitions::table.find((payment_id, sequence)).select(Columns::as_select()).first(tx.db).optional()?;
    Ok(found.map(history_row))
}

/// Where the rows of a payment stand, without the rows; in their order.
pub fn leaves_of_payment(tx: &mut Tx<'_>, payment_id: &str, limit: i64) -> Result<Vec<Leaf>> {
    let rows: Vec<LeafColumns> = history_leaves::table
        .filter(history_leaves::payment_id.eq(payment_id))
        .order(history_leaves::sequence.asc())
        .limit(limit)
        .select(LeafColumns::as_select())
        .load(tx.db)?;
    Ok(rows.into_iter().map(|leaf| stored_leaf(leaf, None)).collect())
}

/// Where payments stand, after the id `after`.
pub fn payments_after(tx: &mut Tx<'_>, after: &str, limit: i64) -> Result<Vec<Standing>> {
    Ok(payments::table
        .filter(payments::id.gt(after))
        .order(payments::id.asc())
        .limit(limit)
        .select(Standing::as_select())
        .load(tx.db)?)
}

/// A stretch of the history of one payment, after the row `after`.
pub fn steps(tx: &mut Tx<'_>, payment_id: &str, after: i64, limit: i64) -> Result<Vec<Step>> {
    let leaf =
        history_leaves::payment_id.eq(transitions::payment_id).and(history_leaves::sequence.eq(transitions::sequence));
    let waits = history_unsealed::payment_id
        .eq(transitions::payment_id)
        .and(history_unsealed::sequence.eq(transitions::sequence));
    Ok(transitions::table
        .left_join(history_leaves::table.on(leaf))
        .left_join(history_unsealed::table.on(waits))
        .filter(transitions::payment_id.eq(payment_id))
        .filter(transitions::sequence.gt(after))
        .order(transitions::sequence.asc())
        .limit(limit)
        .select((
            transitions::payment_id,
            transitions::sequence,
            transitions::from_status,
            transitions::to_status,
            transitions::detail,
            transitions::at,
            history_leaves::seal.nullable(),
            history_unsealed::sequence.nullable(),
        ))
        .load(tx.db)?)
}

/// How many rows the history has, how many are sealed, how many wait.
pub fn counts(tx: &mut Tx<'_>) -> Result<(i64, i64, i64)> {
    Ok((
        transitions::table.count().get_result(tx.db)?,
        history_leaves::table.count().get_result(tx.db)?,
        history_unsealed::table.count().get_result(tx.db)?,
    ))
}

/// The first row of the history that belongs to no payment.
pub fn stray_transition(tx: &mut Tx<'_>) -> Result<Option<(String, i64)>> {
    let owner = payments::table.filter(payments::id.eq(transitions::payment_id));
    Ok(transitions::table
        .filter(diesel::dsl::not(diesel::dsl::exists(owner)))
        .order((transitions::payment_id, transitions::sequence))
        .select((transitions::payment_id, transitions::sequence))
        .first(tx.db)
        .optional()?)
}

/// The first row that waits for a seal and is not there.
pub fn stray_unsealed(tx: &mut Tx<'_>) -> Result<Option<(String, i64)>> {
    let row = transitions::table
        .filter(transitions::payment_id.eq(history_unsealed::payment_id))
        .filter(transitions::sequence.eq(history_unsealed::sequence));
    Ok(history_unsealed::table
        .filter(diesel::dsl::not(diesel::dsl::exists(row)))
        .order((history_unsealed::payment_id, history_unsealed::sequence))
        .select((history_unsealed::payment_id, history_unsealed::sequence))
        .first(tx.db)
        .optional()?)
}

/// The first leaf of a seal that is not there.
pub fn stray_leaf(tx: &mut Tx<'_>) -> Result<Option<(String, i64)>> {
    let owner = history_seals::table.filter(history_seals::number.eq(history_leaves::seal));
    Ok(history_leaves::table
        .filter(diesel::dsl::not(diesel::dsl::exists(owner)))
        .order((history_leaves::payment_id, history_leaves::sequence))
        .select((history_leaves::payment_id, history_leaves::sequence))
        .first(tx.db)
        .optional()?)
}

fn leaf_columns(seal: i64, position: i64, row: &HistoryRow) -> LeafColumns {
    LeafColumns {
        payment_id: row.payment_id.clone(),
        sequence: row.sequence,
        seal,
        position,
        hash: row.hash().as_bytes().to_vec(),
    }
}

fn hash(bytes: &[u8]) -> Hash {
    Hash::from_bytes(bytes).unwrap_or(Hash::UNREADABLE)
}

fn history_row(row: Columns) -> HistoryRow {
    HistoryRow {
        payment_id: row.payment_id,
        sequence: row.sequence,
        from_status: row.from_status,
        to_status: row.to_status,
        cause_type: row.cause_type,
        cause_id: row.cause_id,
        actor: row.actor,
        transaction_id: row.transaction_id,
        detail: row.detail,
        at: moment(row.at),
    }
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

fn stored_leaf(leaf: LeafColumns, row: Option<HistoryRow>) -> Leaf {
    Leaf {
        payment_id: leaf.payment_id,
        sequence: leaf.sequence,
        seal: leaf.seal,
        position: leaf.position,
        hash: hash(&leaf.hash),
        row,
    }
}

//! What the seals cover: rows of the history with the events that tell of them, and events that belong to no payment. What
//! waits for a seal, and what stands at each place of one.

use std::collections::HashMap;

use diesel::prelude::*;

use super::Tx;
use super::conn::on_each;
use super::schema::{events, history_leaves, history_unsealed, transitions};
use super::seals::hash;
use super::types::{NaiveDateTime, moment};
use crate::domain::proof::{Hash, HistoryEvent, HistoryRow, Record};
use crate::error::Result;

/// Most events that are read for one seal. The service writes a few for each row; what somebody puts in beyond that is cut
/// off here, and its row does not have its hash then either.
const EVENT_LIMIT: i64 = 100_000;

#[derive(Queryable, Selectable)]
#[diesel(table_name = transitions)]
struct RowColumns {
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

#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
struct EventColumns {
    id: String,
    kind: String,
    payment_id: Option<String>,
    refund_id: Option<String>,
    sequence: Option<i64>,
    at: NaiveDateTime,
    notification_id: Option<String>,
    transaction_id: Option<i64>,
    subject_id: Option<String>,
    actor: Option<String>,
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

/// Where a record is sealed.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The payment; of an event that belongs to none, the event.
    pub payment_id: String,
    /// The row of the payment's history; [`Record::EVENT_SEQUENCE`] of an event that belongs to no payment.
    pub sequence: i64,
    /// The seal that covers it.
    pub seal: i64,
    /// Where it stands among the seal's records, from 0.
    pub position: i64,
    /// What its hash was when it was sealed.
    pub hash: Hash,
}

/// Events by the row that they tell of, in the order of the feed.
type Told = HashMap<(String, i64), Vec<HistoryEvent>>;

/// What no seal covers yet: events without a payment, then rows, those of one payment in their order.
pub fn waiting(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Record>> {
    let mut records = waiting_events(tx, limit)?;
    let rest = limit.saturating_sub(i64::try_from(records.len()).unwrap_or(i64::MAX));
    let same = history_unsealed::payment_id
        .eq(transitions::payment_id)
        .and(history_unsealed::sequence.eq(transitions::sequence));
    let rows: Vec<RowColumns> = history_unsealed::table
        .inner_join(transitions::table.on(same))
        .order((history_unsealed::payment_id, history_unsealed::sequence))
        .limit(rest)
        .select(RowColumns::as_select())
        .load(tx.db())?;
    let Some(last) = rows.last() else { return Ok(records) };
    let mut told = waiting_told(tx, &last.payment_id, last.sequence)?;
    records.extend(rows.into_iter().map(|row| with_events(row, &mut told)));
    Ok(records)
}

fn waiting_events(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Record>> {
    // Their ids begin with `evt_`, those of payments with `pay_`: one stretch of the key, in every collation.
    let is_event = history_unsealed::sequence
        .eq(Record::EVENT_SEQUENCE)
        .and(history_unsealed::payment_id.ge("evt"))
        .and(history_unsealed::payment_id.lt("evu"));
    let rows: Vec<EventColumns> = history_unsealed::table
        .inner_join(events::table.on(events::id.eq(history_unsealed::payment_id)))
        .filter(is_event)
        .order(history_unsealed::payment_id)
        .limit(limit)
        .select(EventColumns::as_select())
        .load(tx.db())?;
    Ok(rows.into_iter().map(|row| Record::Event(history_event(row))).collect())
}

/// Events of the rows that wait, up to and with the row that is named.
fn waiting_told(tx: &mut Tx<'_>, payment_id: &str, sequence: i64) -> Result<Told> {
    let same = events::payment_id
        .eq(history_unsealed::payment_id.nullable())
        .and(events::sequence.eq(history_unsealed::sequence.nullable()));
    let up_to = history_unsealed::payment_id
        .le(payment_id)
        .and(history_unsealed::payment_id.lt(payment_id).or(history_unsealed::sequence.le(sequence)));
    let rows: Vec<EventColumns> = history_unsealed::table
        .inner_join(events::table.on(same))
        .filter(up_to)
        .order((events::epoch, events::position))
        .select(EventColumns::as_select())
        .load(tx.db())?;
    Ok(by_row(rows))
}

/// Notes where records are sealed.
pub(super) fn insert(tx: &mut Tx<'_>, leaves: &[Leaf]) -> Result<()> {
    let rows: Vec<LeafColumns> = leaves.iter().map(leaf_columns).collect();
    on_each!(tx.db(), |conn| diesel::insert_into(history_leaves::table).values(&rows).execute(conn))?;
    Ok(())
}

/// The places of a seal, in their order, without what stands there.
pub fn leaves(tx: &mut Tx<'_>, seal: i64, limit: i64) -> Result<Vec<Leaf>> {
    let rows: Vec<LeafColumns> = history_leaves::table
        .filter(history_leaves::seal.eq(seal))
        .order(history_leaves::position.asc())
        .limit(limit)
        .select(LeafColumns::as_select())
        .load(tx.db())?;
    Ok(rows.into_iter().map(leaf).collect())
}

/// The places of a payment's rows, in the order of the rows.
pub fn leaves_of_payment(tx: &mut Tx<'_>, payment_id: &str, limit: i64) -> Result<Vec<Leaf>> {
    let rows: Vec<LeafColumns> = history_leaves::table
        .filter(history_leaves::payment_id.eq(payment_id))
        .order(history_leaves::sequence.asc())
        .limit(limit)
        .select(LeafColumns::as_select())
        .load(tx.db())?;
    Ok(rows.into_iter().map(leaf).collect())
}

/// The places of a seal, in their order, each with what stands there; `None` where it is not there any more.
pub fn records(tx: &mut Tx<'_>, seal: i64, limit: i64) -> Result<Vec<(Leaf, Option<Record>)>> {
    let same =
        transitions::payment_id.eq(history_leaves::payment_id).and(transitions::sequence.eq(history_leaves::sequence));
    let rows: Vec<(LeafColumns, Option<RowColumns>)> = history_leaves::table
        .left_join(transitions::table.on(same))
        .filter(history_leaves::seal.eq(seal))
        .order(history_leaves::position.asc())
        .limit(limit)
        .select((LeafColumns::as_select(), Option::<RowColumns>::as_select()))
        .load(tx.db())?;
    let mut told = told_of_seal(tx, seal)?;
    let mut loose = HashMap::new();
    if rows.iter().any(|(leaf, _)| leaf.sequence == Record::EVENT_SEQUENCE) {
        loose = loose_of_seal(tx, seal)?;
    }
    let mut stands_at = |leaf: &LeafColumns, row: Option<RowColumns>| match row {
        Some(row) => Some(with_events(row, &mut told)),
        None if leaf.sequence == Record::EVENT_SEQUENCE => loose.remove(&leaf.payment_id).map(Record::Event),
        None => None,
    };
    let records = rows.into_iter().map(|(columns, row)| {
        let record = stands_at(&columns, row);
        (leaf(columns), record)
    });
    Ok(records.collect())
}

fn told_of_seal(tx: &mut Tx<'_>, seal: i64) -> Result<Told> {
    let same = events::payment_id
        .eq(history_leaves::payment_id.nullable())
        .and(events::sequence.eq(history_leaves::sequence.nullable()));
    let rows: Vec<EventColumns> = history_leaves::table
        .inner_join(events::table.on(same))
        .filter(history_leaves::seal.eq(seal))
        .order((history_leaves::position, events::epoch, events::position))
        .limit(EVENT_LIMIT)
        .select(EventColumns::as_select())
        .load(tx.db())?;
    Ok(by_row(rows))
}

/// Events that are sealed by themselves, by their ids.
fn loose_of_seal(tx: &mut Tx<'_>, seal: i64) -> Result<HashMap<String, HistoryEvent>> {
    let rows: Vec<EventColumns> = history_leaves::table
        .inner_join(events::table.on(events::id.eq(history_leaves::payment_id)))
        .filter(history_leaves::seal.eq(seal))
        .filter(history_leaves::sequence.eq(Record::EVENT_SEQUENCE))
        .select(EventColumns::as_select())
        .load(tx.db())?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), history_event(row))).collect())
}

/// What stands at one place.
pub fn find(tx: &mut Tx<'_>, payment_id: &str, sequence: i64) -> Result<Option<Record>> {
    if sequence == Record::EVENT_SEQUENCE {
        let found = events::table.find(payment_id).select(EventColumns::as_select()).first(tx.db()).optional()?;
        return Ok(found.map(|row| Record::Event(history_event(row))));
    }
    let found = transitions::table.find((payment_id, sequence)).select(RowColumns::as_select()).first(tx.db());
    let Some(row) = found.optional()? else { return Ok(None) };
    let told: Vec<EventColumns> = events::table
        .filter(events::payment_id.eq(payment_id))
        .filter(events::sequence.eq(sequence))
        .order((events::epoch, events::position))
        .limit(EVENT_LIMIT)
        .select(EventColumns::as_select())
        .load(tx.db())?;
    Ok(Some(with_events(row, &mut by_row(told))))
}

fn by_row(rows: Vec<EventColumns>) -> Told {
    let mut told = Told::new();
    for row in rows {
        let event = history_event(row);
        if let (Some(payment_id), Some(sequence)) = (event.payment_id.clone(), event.sequence) {
            told.entry((payment_id, sequence)).or_default().push(event);
        }
    }
    told
}

fn with_events(row: RowColumns, told: &mut Told) -> Record {
    let row = history_row(row);
    let events = told.remove(&(row.payment_id.clone(), row.sequence)).unwrap_or_default();
    Record::Row(row, events)
}

fn history_row(row: RowColumns) -> HistoryRow {
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

fn history_event(row: EventColumns) -> HistoryEvent {
    HistoryEvent {
        id: row.id,
        kind: row.kind,
        payment_id: row.payment_id,
        refund_id: row.refund_id,
        sequence: row.sequence,
        at: moment(row.at),
        notification_id: row.notification_id,
        transaction_id: row.transaction_id,
        subject_id: row.subject_id,
        actor: row.actor,
    }
}

fn leaf(row: LeafColumns) -> Leaf {
    Leaf {
        payment_id: row.payment_id,
        sequence: row.sequence,
        seal: row.seal,
        position: row.position,
        hash: hash(&row.hash),
    }
}

fn leaf_columns(leaf: &Leaf) -> LeafColumns {
    LeafColumns {
        payment_id: leaf.payment_id.clone(),
        sequence: leaf.sequence,
        seal: leaf.seal,
        position: leaf.position,
        hash: leaf.hash.as_bytes().to_vec(),
    }
}

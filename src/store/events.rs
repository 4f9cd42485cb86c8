//! What the site is told, written with the change that it tells of.

use diesel::prelude::*;

use super::schema::events;
use super::types::{NaiveDateTime, moment};
use super::Tx;
use crate::app::Event;
use crate::domain::id::{EventId, PaymentId};
use crate::error::Result;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = events)]
struct Row {
    id: String,
    kind: String,
    payment_id: String,
    refund_id: Option<String>,
    sequence: i64,
    at: NaiveDateTime,
}

/// Appends an event.
pub fn append(tx: &mut Tx<'_>, event: &Event) -> Result<()> {
    let row = Row {
        id: event.id.to_string(),
        kind: event.kind.clone(),
        payment_id: event.payment_id.to_string(),
        refund_id: event.refund_id.clone(),
        sequence: event.sequence,
        at: event.at.naive_utc(),
    };
    diesel::insert_into(events::table).values(row).execute(tx.db)?;
    Ok(())
}

/// A stretch of the feed, oldest first.
pub fn list(tx: &mut Tx<'_>, after: Option<&EventId>, limit: i64) -> Result<Vec<Event>> {
    let rows = events::table
        .filter(events::id.gt(after.map_or("", EventId::as_str)))
        .order(events::id.asc())
        .limit(limit)
        .select(Row::as_select())
        .load(tx.db)?;
    Ok(rows.into_iter().map(from_row).collect())
}

fn from_row(row: Row) -> Event {
    Event {
        id: EventId::from_stored(row.id),
        kind: row.kind,
        payment_id: PaymentId::from_stored(row.payment_id),
        refund_id: row.refund_id,
        sequence: row.sequence,
        at: moment(row.at),
    }
}

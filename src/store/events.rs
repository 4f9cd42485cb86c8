//! What the site is told, written with the change that it tells of.
//!
//! A reader that asks for what came after an event must never miss one. On SQLite the one writer numbers events in the
//! order in which they are committed. On PostgreSQL two transactions may commit in another order than they took their
//! numbers; there the order is (number of the transaction, position), and a transaction's events are shown only when no
//! older transaction is still running, so that nothing is ever added before what was shown. The number is the server's
//! count and the bias of [`super::moved`]; up to where all is shown, the view `feed_end` tells (on SQLite: everything).

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use super::Tx;
use super::conn::DbConn;
use super::schema::{events, feed_moves};
use super::types::{NaiveDateTime, moment};
use crate::app::{Act, Event, FeedEvent};
use crate::clock::Timestamp;
use crate::domain::id::{EventId, NotificationId, PaymentId, RefundId};
use crate::error::Result;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = events)]
struct Row {
    id: String,
    epoch: i64,
    position: i64,
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

diesel::define_sql_function! {
    /// The number of this transaction, PostgreSQL's.
    fn txid_current() -> BigInt;
}
diesel::define_sql_function! {
    /// The next number of a sequence, PostgreSQL's.
    fn nextval(sequence: Text) -> BigInt;
}

struct Place {
    epoch: i64,
    position: i64,
}

/// Appends an event.
pub fn append(tx: &mut Tx<'_>, event: &Event) -> Result<()> {
    let place = next_place(tx.db())?;
    let row = Row {
        id: event.id.to_string(),
        epoch: place.epoch,
        position: place.position,
        kind: event.kind.clone(),
        payment_id: event.payment_id.as_ref().map(ToString::to_string),
        refund_id: event.refund_id.clone(),
        sequence: event.sequence,
        at: event.at.naive_utc(),
        notification_id: event.notification_id.as_ref().map(ToString::to_string),
        transaction_id: event.transaction_id,
        subject_id: None,
        actor: None,
    };
    diesel::insert_into(events::table).values(row).execute(tx.db())?;
    Ok(())
}

/// Appends what somebody did to something that belongs to no payment.
pub fn append_act(tx: &mut Tx<'_>, id: &EventId, act: &Act, at: Timestamp) -> Result<()> {
    let place = next_place(tx.db())?;
    let row = Row {
        id: id.to_string(),
        epoch: place.epoch,
        position: place.position,
        kind: act.kind.as_str().to_owned(),
        payment_id: None,
        refund_id: None,
        sequence: None,
        at: at.naive_utc(),
        notification_id: None,
        transaction_id: None,
        subject_id: Some(act.subject_id.clone()),
        actor: Some(act.actor.clone()),
    };
    diesel::insert_into(events::table).values(row).execute(tx.db())?;
    Ok(())
}

/// Whether an event of this kind tells of this refund of the payment.
pub fn tell_of_refund(tx: &mut Tx<'_>, payment_id: &PaymentId, kind: &str, refund_id: &RefundId) -> Result<bool> {
    let told = events::table
        .filter(events::payment_id.eq(payment_id.as_str()))
        .filter(events::kind.eq(kind))
        .filter(events::refund_id.eq(refund_id.as_str()));
    Ok(diesel::select(diesel::dsl::exists(told)).get_result(tx.db())?)
}

fn next_place(db: &mut DbConn) -> Result<Place> {
    let place = match db {
        DbConn::Postgres(conn) => {
            // Typed, so that the server keeps the statement prepared. Reading the bias keeps it as it is until the commit.
            let bias = feed_moves::table.select(diesel::dsl::max(feed_moves::bias)).single_value();
            let (count, position, bias): (i64, i64, Option<i64>) =
                diesel::select((txid_current(), nextval("events_position"), bias)).get_result(conn)?;
            Place { epoch: count.saturating_add(bias.unwrap_or(0)), position }
        }
        DbConn::Sqlite(conn) => {
            let last: Option<i64> = events::table
                .filter(events::epoch.eq(0))
                .select(diesel::dsl::max(events::position))
                .get_result(conn)?;
            Place { epoch: 0, position: last.unwrap_or(0) + 1 }
        }
    };
    Ok(place)
}

/// A stretch of the feed, oldest first, after the event `after`; from the beginning when there is no such event. Without
/// acts, which are for operators.
pub fn list(tx: &mut Tx<'_>, after: Option<&EventId>, limit: i64) -> Result<Vec<Event>> {
    Ok(stretch(tx, after, false, limit)?.into_iter().map(|item| item.event).collect())
}

/// The same with the acts.
pub fn list_with_acts(tx: &mut Tx<'_>, after: Option<&EventId>, limit: i64) -> Result<Vec<FeedEvent>> {
    stretch(tx, after, true, limit)
}

fn stretch(tx: &mut Tx<'_>, after: Option<&EventId>, with_acts: bool, limit: i64) -> Result<Vec<FeedEvent>> {
    let place: Option<(i64, i64)> = match after {
        Some(id) => {
            events::table.find(id.as_str()).select((events::epoch, events::position)).get_result(tx.db()).optional()?
        }
        None => None,
    };
    let (epoch, position) = place.unwrap_or((-1, -1));
    let later = events::epoch.gt(epoch).or(events::epoch.eq(epoch).and(events::position.gt(position)));
    let wanted = events::subject_id.is_null().or(with_acts.into_sql::<Bool>());
    let rows: Vec<Row> = events::table
        .filter(later)
        .filter(wanted)
        .filter(diesel::dsl::sql::<Bool>("epoch < (SELECT shown FROM feed_end)"))
        .order((events::epoch.asc(), events::position.asc()))
        .limit(limit)
        .select(Row::as_select())
        .load(tx.db())?;
    Ok(rows.into_iter().map(from_row).collect())
}

fn from_row(row: Row) -> FeedEvent {
    let act = row.subject_id.zip(row.actor);
    let event = Event {
        id: EventId::from_stored(row.id),
        kind: row.kind,
        payment_id: row.payment_id.map(PaymentId::from_stored),
        refund_id: row.refund_id,
        sequence: row.sequence,
        at: moment(row.at),
        notification_id: row.notification_id.map(NotificationId::from_stored),
        transaction_id: row.transaction_id,
    };
    FeedEvent { event, act }
}

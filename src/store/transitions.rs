//! The history of payments: appended, never changed.

use diesel::prelude::*;

use super::Tx;
use super::schema::transitions;
use super::types::{NaiveDateTime, known, moment};
use crate::app::Transition;
use crate::domain::id::PaymentId;
use crate::domain::state::{Cause, CauseType, Status};
use crate::error::Result;

/// What stands for "before the creation" in `from_status`.
const NOTHING: &str = "none";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = transitions)]
struct Row {
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

/// Appends a row. The database refuses a move that is not in the table, and a sequence that was used.
pub fn append(tx: &mut Tx<'_>, payment_id: &PaymentId, transition: &Transition) -> Result<()> {
    let row = Row {
        payment_id: payment_id.to_string(),
        sequence: transition.sequence,
        from_status: transition.from.map_or(NOTHING, Status::as_str).to_owned(),
        to_status: transition.to.as_str().to_owned(),
        cause_type: transition.cause.kind.as_str().to_owned(),
        cause_id: transition.cause.id.clone(),
        actor: transition.cause.actor.clone(),
        transaction_id: transition.transaction_id,
        detail: transition.detail.clone(),
        at: transition.at.naive_utc(),
    };
    diesel::insert_into(transitions::table).values(row).execute(tx.db)?;
    Ok(())
}

/// A stretch of a payment's history, oldest first.
pub fn list(tx: &mut Tx<'_>, payment_id: &PaymentId, after: i64, limit: i64) -> Result<Vec<Transition>> {
    let rows = transitions::table
        .filter(transitions::payment_id.eq(payment_id.as_str()))
        .filter(transitions::sequence.gt(after))
        .order(transitions::sequence.asc())
        .limit(limit)
        .select(Row::as_select())
        .load(tx.db)?;
    rows.into_iter().map(from_row).collect()
}

fn from_row(row: Row) -> Result<Transition> {
    let from = (row.from_status != NOTHING)
        .then(|| known("transitions.from_status", Status::parse(&row.from_status)))
        .transpose()?;
    Ok(Transition {
        sequence: row.sequence,
        from,
        to: known("transitions.to_status", Status::parse(&row.to_status))?,
        cause: Cause {
            kind: known("transitions.cause_type", CauseType::parse(&row.cause_type))?,
            id: row.cause_id,
            actor: row.actor,
        },
        at: moment(row.at),
        transaction_id: row.transaction_id,
        detail: row.detail,
    })
}

//! The history as `app::verify_history` walks along it: payments, rows and events with whether a seal covers them, and what
//! belongs to nothing.

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::Tx;
use super::schema::{
    approvals, discrepancies, events, history_leaves, history_seals, history_unsealed, payments, refunds, transactions,
    transition_edges, transitions,
};
use super::types::{NaiveDateTime, moment};
use crate::clock::Timestamp;
use crate::domain::evidence::{TransactionKind, TransactionStatus};
use crate::domain::proof::Record;
use crate::error::Result;

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
    /// The bill.
    pub invoice_id: String,
    /// Whether less may be taken than was held.
    pub capture_mode: String,
    /// How it is paid.
    pub method: String,
    /// What the payer reads.
    pub language: String,
    /// The line of keys that asked for it.
    pub created_by: String,
    /// What calls a person.
    pub attention: Option<String>,
    created_at: NaiveDateTime,
    expires_at: NaiveDateTime,
    decide_by: Option<NaiveDateTime>,
}

impl Standing {
    /// Whether a call of it has lost its answer.
    pub fn is_undetermined(&self) -> bool {
        self.decide_by.is_some()
    }

    /// When it was asked for.
    pub fn created_at(&self) -> Timestamp {
        moment(self.created_at)
    }

    /// Until when it can be paid.
    pub fn expires_at(&self) -> Timestamp {
        moment(self.expires_at)
    }
}

/// A refund by its own row, unchecked.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = refunds)]
pub struct Returned {
    /// The refund.
    pub id: String,
    /// The payment it is of.
    pub payment_id: String,
    /// The currency of its sum.
    pub currency: String,
    /// How much, minor units.
    pub amount: i64,
    /// By which transaction it was done.
    pub transaction_id: Option<i64>,
}

/// An approval by its own row, unchecked.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = approvals)]
pub struct Decided {
    /// The approval.
    pub id: String,
    /// What it is about.
    pub kind: String,
    /// The payment it is of.
    pub payment_id: String,
    /// The currency of its sum.
    pub currency: Option<String>,
    /// How much, minor units.
    pub amount: Option<i64>,
    /// The call that is corrected.
    pub operation_id: Option<String>,
    /// How that call is to end.
    pub outcome: Option<String>,
    /// The refund that it made, or that is corrected.
    pub refund_id: Option<String>,
    /// The key that asked.
    pub requested_by: String,
    /// How far it came.
    pub state: String,
    /// The key that decided.
    pub decided_by: Option<String>,
}

/// A discrepancy by its own row, unchecked, as far as people have to do with it.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = discrepancies)]
pub struct Settled {
    /// The discrepancy.
    pub id: String,
    /// The payment it is of.
    pub payment_id: Option<String>,
    /// How it ended.
    pub resolution: Option<String>,
    /// The key or the run that closed it.
    pub closed_by: Option<String>,
    closed_at: Option<NaiveDateTime>,
    proposed_at: Option<NaiveDateTime>,
}

impl Settled {
    /// When it was closed.
    pub fn closed_at(&self) -> Option<Timestamp> {
        self.closed_at.map(moment)
    }

    /// When somebody proposed to close it, the last time.
    pub fn proposed_at(&self) -> Option<Timestamp> {
        self.proposed_at.map(moment)
    }
}

/// Whether a seal covers something that was recorded, or is to cover it.
#[derive(Debug, Clone, Copy)]
pub struct Coverage {
    /// When it was recorded.
    pub at: Timestamp,
    /// Whether a seal covers it.
    pub is_sealed: bool,
    /// Whether it waits for a seal.
    pub is_waiting: bool,
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
    /// The key or worker that acted.
    pub actor: String,
    /// The provider's transaction it is about.
    pub transaction_id: Option<i64>,
    /// More about it: JSON as text.
    pub detail: String,
    at: NaiveDateTime,
    sealed: Option<i64>,
    waiting: Option<i64>,
}

impl Step {
    /// When it was recorded.
    pub fn at(&self) -> Timestamp {
        moment(self.at)
    }

    /// What seals say of it.
    pub fn coverage(&self) -> Coverage {
        Coverage { at: moment(self.at), is_sealed: self.sealed.is_some(), is_waiting: self.waiting.is_some() }
    }
}

/// An event that belongs to no payment.
#[derive(Debug, Clone, Queryable)]
pub struct LooseEvent {
    /// Its id.
    pub id: String,
    /// What it tells of.
    pub kind: String,
    /// What somebody did something to.
    pub subject_id: Option<String>,
    /// Who did.
    pub actor: Option<String>,
    at: NaiveDateTime,
    sealed: Option<i64>,
    waiting: Option<i64>,
}

impl LooseEvent {
    /// When it was recorded.
    pub fn at(&self) -> Timestamp {
        moment(self.at)
    }

    /// What seals say of it.
    pub fn coverage(&self) -> Coverage {
        Coverage { at: moment(self.at), is_sealed: self.sealed.is_some(), is_waiting: self.waiting.is_some() }
    }
}

/// Where payments stand, after the id `after`.
pub fn payments_after(tx: &mut Tx<'_>, after: &str, limit: i64) -> Result<Vec<Standing>> {
    Ok(payments::table
        .filter(payments::id.gt(after))
        .order(payments::id.asc())
        .limit(limit)
        .select(Standing::as_select())
        .load(tx.db())?)
}

/// Refunds by their ids.
pub fn refunds(tx: &mut Tx<'_>, ids: &[&str]) -> Result<Vec<Returned>> {
    Ok(refunds::table.filter(refunds::id.eq_any(ids)).select(Returned::as_select()).load(tx.db())?)
}

/// The payments of transactions by the provider's numbers.
pub fn owners(tx: &mut Tx<'_>, numbers: &[i64]) -> Result<Vec<(i64, String)>> {
    Ok(transactions::table
        .filter(transactions::transaction_id.eq_any(numbers))
        .select((transactions::transaction_id, transactions::payment_id))
        .load(tx.db())?)
}

/// Of these payments, one entry for each transaction that took or held money of the payer, also where it was let go.
pub fn payments_with_money(tx: &mut Tx<'_>, ids: &[&str]) -> Result<Vec<String>> {
    let money = [TransactionStatus::Authorized, TransactionStatus::Voided, TransactionStatus::Completed];
    Ok(transactions::table
        .filter(transactions::payment_id.eq_any(ids))
        .filter(transactions::kind.eq(TransactionKind::Payment.as_str()))
        .filter(transactions::status.eq_any(money.map(TransactionStatus::as_str)))
        .select(transactions::payment_id)
        .load(tx.db())?)
}

/// Approvals by their ids.
pub fn approvals(tx: &mut Tx<'_>, ids: &[&str]) -> Result<Vec<Decided>> {
    Ok(approvals::table.filter(approvals::id.eq_any(ids)).select(Decided::as_select()).load(tx.db())?)
}

/// Discrepancies by their ids.
pub fn discrepancies(tx: &mut Tx<'_>, ids: &[&str]) -> Result<Vec<Settled>> {
    Ok(discrepancies::table.filter(discrepancies::id.eq_any(ids)).select(Settled::as_select()).load(tx.db())?)
}

/// A stretch of the history, payment by payment, after the row `after` and up to the last one of the payment `last`.
pub fn steps(tx: &mut Tx<'_>, after: (&str, i64), last: &str, limit: i64) -> Result<Vec<Step>> {
    let (payment_id, sequence) = after;
    let leaf =
        history_leaves::payment_id.eq(transitions::payment_id).and(history_leaves::sequence.eq(transitions::sequence));
    let waits = history_unsealed::payment_id
        .eq(transitions::payment_id)
        .and(history_unsealed::sequence.eq(transitions::sequence));
    Ok(transitions::table
        .left_join(history_leaves::table.on(leaf))
        .left_join(history_unsealed::table.on(waits))
        .filter(transitions::payment_id.ge(payment_id).and(transitions::payment_id.le(last)))
        .filter(transitions::payment_id.gt(payment_id).or(transitions::sequence.gt(sequence)))
        .order((transitions::payment_id, transitions::sequence))
        .limit(limit)
        .select((
            transitions::payment_id,
            transitions::sequence,
            transitions::from_status,
            transitions::to_status,
            transitions::actor,
            transitions::transaction_id,
            transitions::detail,
            transitions::at,
            history_leaves::seal.nullable(),
            history_unsealed::sequence.nullable(),
        ))
        .load(tx.db())?)
}

/// A stretch of the events that belong to no payment, after the id `after`.
pub fn loose_events(tx: &mut Tx<'_>, after: &str, limit: i64) -> Result<Vec<LooseEvent>> {
    let leaf = history_leaves::payment_id.eq(events::id).and(history_leaves::sequence.eq(Record::EVENT_SEQUENCE));
    let waits = history_unsealed::payment_id.eq(events::id).and(history_unsealed::sequence.eq(Record::EVENT_SEQUENCE));
    Ok(events::table
        .left_join(history_leaves::table.on(leaf))
        .left_join(history_unsealed::table.on(waits))
        .filter(events::payment_id.is_null())
        .filter(events::id.gt(after))
        .order(events::id)
        .limit(limit)
        .select((
            events::id,
            events::kind,
            events::subject_id,
            events::actor,
            events::at,
            history_leaves::seal.nullable(),
            history_unsealed::sequence.nullable(),
        ))
        .load(tx.db())?)
}

/// The moves that the database lets through.
pub fn moves(tx: &mut Tx<'_>) -> Result<Vec<(String, String)>> {
    Ok(transition_edges::table.select((transition_edges::from_status, transition_edges::to_status)).load(tx.db())?)
}

/// How many rows the history has; how many records are sealed, how many wait.
pub fn counts(tx: &mut Tx<'_>) -> Result<(i64, i64, i64)> {
    Ok((
        transitions::table.count().get_result(tx.db())?,
        history_leaves::table.count().get_result(tx.db())?,
        history_unsealed::table.count().get_result(tx.db())?,
    ))
}

/// The first row of the history that belongs to no payment.
pub fn stray_transition(tx: &mut Tx<'_>) -> Result<Option<(String, i64)>> {
    let owner = payments::table.filter(payments::id.eq(transitions::payment_id));
    Ok(transitions::table
        .filter(not(exists(owner)))
        .order((transitions::payment_id, transitions::sequence))
        .select((transitions::payment_id, transitions::sequence))
        .first(tx.db())
        .optional()?)
}

/// The first event of a payment whose row of the history is not there: its id, and the row that it names.
pub fn stray_event(tx: &mut Tx<'_>) -> Result<Option<(String, String, Option<i64>)>> {
    let row = transitions::table
        .filter(transitions::payment_id.nullable().eq(events::payment_id))
        .filter(transitions::sequence.nullable().eq(events::sequence));
    Ok(events::table
        .filter(not(exists(row)))
        .filter(events::payment_id.is_not_null())
        .order((events::epoch, events::position))
        .select((events::id, events::payment_id.assume_not_null(), events::sequence))
        .first(tx.db())
        .optional()?)
}

/// The first row, or event without a payment, that waits for a seal and is not there.
pub fn stray_unsealed(tx: &mut Tx<'_>) -> Result<Option<(String, i64)>> {
    let row = transitions::table
        .filter(transitions::payment_id.eq(history_unsealed::payment_id))
        .filter(transitions::sequence.eq(history_unsealed::sequence));
    let event = events::table
        .filter(events::id.eq(history_unsealed::payment_id))
        .filter(history_unsealed::sequence.eq(Record::EVENT_SEQUENCE));
    Ok(history_unsealed::table
        .filter(not(exists(row)))
        .filter(not(exists(event)))
        .order((history_unsealed::payment_id, history_unsealed::sequence))
        .select((history_unsealed::payment_id, history_unsealed::sequence))
        .first(tx.db())
        .optional()?)
}

/// The first leaf of a seal that is not there.
pub fn stray_leaf(tx: &mut Tx<'_>) -> Result<Option<(String, i64)>> {
    let owner = history_seals::table.filter(history_seals::number.eq(history_leaves::seal));
    Ok(history_leaves::table
        .filter(not(exists(owner)))
        .order((history_leaves::payment_id, history_leaves::sequence))
        .select((history_leaves::payment_id, history_leaves::sequence))
        .first(tx.db())
        .optional()?)
}

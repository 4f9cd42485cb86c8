//! Calls to the provider, written before they are sent. An open one has a moment at which somebody asks about it
//! (`due_at`), a closed one has none: the table checks that.

use diesel::prelude::*;

use super::Tx;
use super::payer_keys;
use super::schema::operations;
use super::types::{NaiveDateTime, known, moment};
use crate::clock::Timestamp;
use crate::domain::id::{OperationId, PaymentId, RefundId};
use crate::domain::payment::{Operation, OperationKind, OperationState};
use crate::error::Result;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = operations)]
struct Row {
    id: String,
    payment_id: String,
    refund_id: Option<String>,
    kind: String,
    transaction_id: Option<i64>,
    amount: Option<i64>,
    state: String,
    started_at: NaiveDateTime,
    due_at: Option<NaiveDateTime>,
    lookups: i32,
    refused_at: Option<NaiveDateTime>,
}

/// Writes the intent. `due_at` is when somebody should ask what became of it, should the answer stay out.
pub fn insert(tx: &mut Tx<'_>, operation: &Operation, due_at: Timestamp) -> Result<()> {
    let row = Row {
        id: operation.id.to_string(),
        payment_id: operation.payment_id.to_string(),
        refund_id: operation.refund_id.as_ref().map(ToString::to_string),
        kind: operation.kind.as_str().to_owned(),
        transaction_id: operation.transaction_id,
        amount: operation.amount,
        state: operation.state.as_str().to_owned(),
        started_at: operation.started_at.naive_utc(),
        due_at: Some(due_at.naive_utc()),
        lookups: operation.lookups,
        refused_at: operation.refused_at.map(Timestamp::naive_utc),
    };
    diesel::insert_into(operations::table).values(row).execute(tx.db())?;
    Ok(())
}

/// One operation.
pub fn find(tx: &mut Tx<'_>, id: &OperationId) -> Result<Option<Operation>> {
    let row = operations::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db()).optional()?;
    row.map(from_row).transpose()
}

/// Whether there is another call for a refund, in whatever state.
pub fn is_another_for(tx: &mut Tx<'_>, call: &Operation, refund_id: &RefundId) -> Result<bool> {
    let others = operations::table
        .filter(operations::payment_id.eq(call.payment_id.as_str()))
        .filter(operations::refund_id.eq(refund_id.as_str()))
        .filter(operations::id.ne(call.id.as_str()));
    Ok(diesel::select(diesel::dsl::exists(others)).get_result(tx.db())?)
}

/// The operations of a payment whose effect may still come.
pub fn open_of_payment(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<Operation>> {
    let rows = operations::table
        .filter(operations::payment_id.eq(payment_id.as_str()))
        .filter(operations::due_at.is_not_null())
        .order(operations::id.asc())
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(from_row).collect()
}

/// Closes an operation that is open; `false` when it no longer is. The note is in our own words: see [`keep_words`].
pub fn close(tx: &mut Tx<'_>, id: &OperationId, state: OperationState, note: Option<&str>) -> Result<bool> {
    let changed = diesel::update(operations::table.find(id.as_str()))
        .filter(operations::due_at.is_not_null())
        .set((
            operations::state.eq(state.as_str()),
            operations::due_at.eq(None::<NaiveDateTime>),
            operations::note.eq(note),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Keeps what the provider said about a call: its words may tell of the payer, and go with the payer.
pub fn keep_words(tx: &mut Tx<'_>, operation: &Operation, words: &str) -> Result<()> {
    let sealed = payer_keys::seal_text(tx, &operation.payment_id, &words_context(&operation.id), Some(words))?;
    diesel::update(operations::table.find(operation.id.as_str()))
        .set(operations::sealed_words.eq(sealed))
        .execute(tx.db())?;
    Ok(())
}

/// All that the provider said about calls of a payment, oldest first.
pub fn words_of_payment(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<String>> {
    let told: Vec<(String, Option<Vec<u8>>)> = operations::table
        .filter(operations::payment_id.eq(payment_id.as_str()))
        .filter(operations::sealed_words.is_not_null())
        .order(operations::id.asc())
        .select((operations::id, operations::sealed_words))
        .load(tx.db())?;
    let mut words = Vec::new();
    for (id, sealed) in told {
        let context = words_context(&OperationId::from_stored(id));
        words.extend(payer_keys::open_text(tx, payment_id, &context, sealed.as_deref())?);
    }
    Ok(words)
}

/// Puts words that were kept while their payment had no key yet under the key of the payer. Whether there was something to
/// do.
pub(super) fn seal_words(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    let found: Option<(String, Option<Vec<u8>>)> = operations::table
        .find(id)
        .select((operations::payment_id, operations::sealed_words))
        .get_result(tx.db())
        .optional()?;
    let Some((payment_id, Some(old))) = found else { return Ok(false) };
    let context = words_context(&OperationId::from_stored(id.to_owned()));
    let moved = payer_keys::take_over(tx, &PaymentId::from_stored(payment_id), &context, &old)?;
    let Some(moved) = moved else { return Ok(false) };
    // What was erased meanwhile stays erased.
    let changed = diesel::update(operations::table.find(id))
        .filter(operations::sealed_words.eq(old))
        .set(operations::sealed_words.eq(Some(moved)))
        .execute(tx.db())?;
    Ok(changed == 1)
}

fn words_context(id: &OperationId) -> String {
    format!("operations/words/{id}")
}

/// Whether nobody has taken the call for lost yet: only then does whoever sent it first know all that was sent for it.
pub fn is_untouched(tx: &mut Tx<'_>, id: &OperationId) -> Result<bool> {
    let state: Option<String> = operations::table
        .find(id.as_str())
        .filter(operations::due_at.is_not_null())
        .select(operations::state)
        .get_result(tx.db())
        .optional()?;
    Ok(state.as_deref() == Some(OperationState::Started.as_str()))
}

/// Notes that the answer was lost, or asked for in vain once more, and when to ask next. `false` when the operation was
/// settled meanwhile, or somebody else has asked since: one that stood still does not let a third ask beside them.
pub fn mark_undetermined(
    tx: &mut Tx<'_>,
    id: &OperationId,
    lookups: i32,
    due_at: Timestamp,
    note: &str,
) -> Result<bool> {
    let changed = diesel::update(operations::table.find(id.as_str()))
        .filter(operations::due_at.is_not_null())
        .filter(operations::lookups.le(lookups))
        .set((
            operations::state.eq(OperationState::Undetermined.as_str()),
            operations::asked_until.eq(None::<NaiveDateTime>),
            operations::lookups.eq(lookups),
            operations::due_at.eq(Some(due_at.naive_utc())),
            operations::note.eq(Some(note)),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Takes the next question about an operation: `false` when somebody else did since `lookups` was read, when somebody is
/// asking, or when it is settled. Nobody asks again before `until` unless the answer is written down earlier.
pub fn claim(tx: &mut Tx<'_>, id: &OperationId, lookups: i32, now: Timestamp, until: Timestamp) -> Result<bool> {
    let nobody_asks = operations::asked_until.is_null().or(operations::asked_until.le(now.naive_utc()));
    let until = Some(until.naive_utc());
    let changed = diesel::update(operations::table.find(id.as_str()))
        .filter(operations::due_at.is_not_null())
        .filter(operations::lookups.eq(lookups))
        .filter(nobody_asks.assume_not_null())
        .set((operations::lookups.eq(lookups + 1), operations::due_at.eq(until), operations::asked_until.eq(until)))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Whether a call that is open was written down after `latest`: by a clock that was ahead.
pub fn any_started_after(tx: &mut Tx<'_>, latest: Timestamp) -> Result<bool> {
    let ahead = operations::table
        .filter(operations::due_at.is_not_null())
        .filter(operations::refused_at.is_null())
        .filter(operations::started_at.gt(latest.naive_utc()));
    Ok(diesel::select(diesel::dsl::exists(ahead)).get_result(tx.db())?)
}

/// The clock was set back: nobody knows how old these calls are. They are not repeated any more, and asked about from
/// `due_at` on.
pub fn forbid_repeats_after(tx: &mut Tx<'_>, latest: Timestamp, now: Timestamp, due_at: Timestamp) -> Result<usize> {
    let ahead = operations::table
        .filter(operations::due_at.is_not_null())
        .filter(operations::refused_at.is_null())
        .filter(operations::started_at.gt(latest.naive_utc()));
    let changed = diesel::update(ahead)
        .set((operations::refused_at.eq(Some(now.naive_utc())), operations::due_at.eq(Some(due_at.naive_utc()))))
        .execute(tx.db())?;
    Ok(changed)
}

/// Notes that a repeat was refused at `at`: no more are sent.
pub fn note_refusal(tx: &mut Tx<'_>, id: &OperationId, at: Timestamp) -> Result<()> {
    diesel::update(operations::table.find(id.as_str()))
        .filter(operations::due_at.is_not_null())
        .filter(operations::refused_at.is_null())
        .set(operations::refused_at.eq(Some(at.naive_utc())))
        .execute(tx.db())?;
    Ok(())
}

/// Operations that somebody should ask about now, longest waiting first, without the first `passed_over` of them.
pub fn due(tx: &mut Tx<'_>, now: Timestamp, passed_over: i64, limit: i64) -> Result<Vec<Operation>> {
    let rows = operations::table
        .filter(operations::due_at.le(now.naive_utc()))
        .order((operations::due_at.asc(), operations::id.asc()))
        .offset(passed_over)
        .limit(limit)
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(from_row).collect()
}

/// How many refunds of a payment surely never came to be, because nothing was sent or nothing arrived.
pub fn refunds_not_sent(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<i64> {
    let not_sent = operations::table
        .filter(operations::payment_id.eq(payment_id.as_str()))
        .filter(operations::kind.eq(OperationKind::Refund.as_str()))
        .filter(operations::state.eq(OperationState::NotSent.as_str()));
    Ok(not_sent.count().get_result(tx.db())?)
}

/// What the provider said when it refused to charge for a payment.
pub fn refusal_of_charge(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Option<String>> {
    let charges = [OperationKind::Charge, OperationKind::Authorize].map(OperationKind::as_str);
    let found: Option<(String, Option<String>, Option<Vec<u8>>)> = operations::table
        .filter(operations::payment_id.eq(payment_id.as_str()))
        .filter(operations::kind.eq_any(charges))
        .filter(operations::state.eq(OperationState::Settled.as_str()))
        .order(operations::id.desc())
        .select((operations::id, operations::note, operations::sealed_words))
        .first(tx.db())
        .optional()?;
    let Some((id, note, sealed)) = found else { return Ok(None) };
    let context = words_context(&OperationId::from_stored(id));
    Ok(payer_keys::open_text(tx, payment_id, &context, sealed.as_deref())?.or(note))
}

/// Makes every started operation due now, and lets it be asked about: its process is gone. Only for a database that one process uses.
pub fn make_started_due(tx: &mut Tx<'_>, now: Timestamp) -> Result<usize> {
    let changed = diesel::update(operations::table.filter(operations::state.eq(OperationState::Started.as_str())))
        .set(operations::due_at.eq(Some(now.naive_utc())))
        .execute(tx.db())?;
    diesel::update(operations::table.filter(operations::asked_until.is_not_null()))
        .set(operations::asked_until.eq(None::<NaiveDateTime>))
        .execute(tx.db())?;
    Ok(changed)
}

fn from_row(row: Row) -> Result<Operation> {
    Ok(Operation {
        id: OperationId::from_stored(row.id),
        payment_id: PaymentId::from_stored(row.payment_id),
        refund_id: row.refund_id.map(RefundId::from_stored),
        kind: known("operations.kind", OperationKind::parse(&row.kind))?,
        transaction_id: row.transaction_id,
        amount: row.amount,
        state: known("operations.state", OperationState::parse(&row.state))?,
        started_at: moment(row.started_at),
        lookups: row.lookups,
        refused_at: row.refused_at.map(moment),
    })
}

//! Refunds.

use diesel::prelude::*;

use super::Tx;
use super::payer_keys;
use super::schema::refunds;
use super::types::{NaiveDateTime, currency, known, moment};
use crate::app::Page;
use crate::clock::Timestamp;
use crate::domain::id::{ApiKeyId, PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::state::Certainty;
use crate::error::Result;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = refunds)]
struct Row {
    id: String,
    payment_id: String,
    parent_transaction_id: i64,
    currency: String,
    amount: i64,
    status: String,
    decide_by: Option<NaiveDateTime>,
    reason: Option<String>,
    failure: Option<String>,
    transaction_id: Option<i64>,
    created_by: String,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
    sealed_reason: Option<Vec<u8>>,
    sealed_failure: Option<Vec<u8>>,
}

/// Writes a new refund.
pub fn insert(tx: &mut Tx<'_>, refund: &Refund) -> Result<()> {
    let row = to_row(tx, refund)?;
    diesel::insert_into(refunds::table).values(row).execute(tx.db())?;
    Ok(())
}

/// One refund.
pub fn find(tx: &mut Tx<'_>, id: &RefundId) -> Result<Option<Refund>> {
    let row: Option<Row> = refunds::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db()).optional()?;
    row.map(|row| from_row(tx, row)).transpose()
}

/// The payment of a refund, if there is such a one. Needs no key of the payer.
pub fn payment_of(tx: &mut Tx<'_>, id: &RefundId) -> Result<Option<PaymentId>> {
    let found: Option<String> =
        refunds::table.find(id.as_str()).select(refunds::payment_id).get_result(tx.db()).optional()?;
    Ok(found.map(PaymentId::from_stored))
}

/// How many refunds a payment has.
pub fn count(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<i64> {
    Ok(refunds::table.filter(refunds::payment_id.eq(payment_id.as_str())).count().get_result(tx.db())?)
}

/// All refunds of a payment, oldest first. Each takes at least one minor unit, and the API limits how many there are.
pub fn of_payment(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<Refund>> {
    let rows: Vec<Row> = refunds::table
        .filter(refunds::payment_id.eq(payment_id.as_str()))
        .order(refunds::id.asc())
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(|row| from_row(tx, row)).collect()
}

/// A stretch of a payment's refunds, newest first.
pub fn list(tx: &mut Tx<'_>, payment_id: &PaymentId, page: &Page<RefundId>) -> Result<Vec<Refund>> {
    let mut query =
        refunds::table.filter(refunds::payment_id.eq(payment_id.as_str())).select(Row::as_select()).into_boxed();
    if let Some(before) = &page.before {
        query = query.filter(refunds::id.lt(before.as_str().to_owned()));
    }
    let rows: Vec<Row> = query.order(refunds::id.desc()).limit(page.limit).load(tx.db())?;
    rows.into_iter().map(|row| from_row(tx, row)).collect()
}

/// Writes the outcome of a refund that is still pending. `false` means that it no longer is.
pub fn update_pending(tx: &mut Tx<'_>, refund: &Refund) -> Result<bool> {
    let sealed_failure = sealed_failure(tx, refund)?;
    let changed = diesel::update(refunds::table.find(refund.id.as_str()))
        .filter(refunds::status.eq(RefundStatus::Pending.as_str()))
        .set((
            refunds::status.eq(refund.status.as_str()),
            refunds::decide_by.eq(refund.decide_by.map(Timestamp::naive_utc)),
            refunds::sealed_failure.eq(sealed_failure),
            refunds::transaction_id.eq(refund.transaction_id),
            refunds::updated_at.eq(refund.updated_at.naive_utc()),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Writes that a refund happened, whatever was thought of it before: evidence wins over an earlier "failed". `false` when
/// it was known already.
pub fn complete(tx: &mut Tx<'_>, refund: &Refund) -> Result<bool> {
    let changed = diesel::update(refunds::table.find(refund.id.as_str()))
        .filter(refunds::status.ne(RefundStatus::Succeeded.as_str()))
        .set((
            refunds::status.eq(RefundStatus::Succeeded.as_str()),
            refunds::decide_by.eq(None::<NaiveDateTime>),
            refunds::failure.eq(None::<String>),
            refunds::sealed_failure.eq(None::<Vec<u8>>),
            refunds::transaction_id.eq(refund.transaction_id),
            refunds::updated_at.eq(refund.updated_at.naive_utc()),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Puts reason and failure under the key of the payer: what was written before they were sealed, or while the payment had no
/// key yet. Whether there was something to do.
pub(super) fn seal_words(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    let row: Option<Row> = refunds::table.find(id).select(Row::as_select()).get_result(tx.db()).optional()?;
    let Some(row) = row else { return Ok(false) };
    let (refund_id, payment_id) = (RefundId::from_stored(row.id), PaymentId::from_stored(row.payment_id));
    let (reason, old) = (row.reason.as_deref(), row.sealed_reason.as_deref());
    let reason = payer_keys::sealed_anew(tx, &payment_id, &reason_context(&refund_id), reason, old)?;
    let (failure, old) = (row.failure.as_deref(), row.sealed_failure.as_deref());
    let failure = payer_keys::sealed_anew(tx, &payment_id, &failure_context(&refund_id), failure, old)?;
    let mut changed = 0;
    // What was erased meanwhile stays erased.
    if reason.is_some() {
        changed += diesel::update(refunds::table.find(id))
            .filter(refunds::reason.is_not_null().or(refunds::sealed_reason.is_not_null()))
            .set((refunds::reason.eq(None::<String>), refunds::sealed_reason.eq(reason)))
            .execute(tx.db())?;
    }
    if failure.is_some() {
        changed += diesel::update(refunds::table.find(id))
            .filter(refunds::failure.is_not_null().or(refunds::sealed_failure.is_not_null()))
            .set((refunds::failure.eq(None::<String>), refunds::sealed_failure.eq(failure)))
            .execute(tx.db())?;
    }
    Ok(changed > 0)
}

fn to_row(tx: &mut Tx<'_>, refund: &Refund) -> Result<Row> {
    let reason = refund.reason.as_deref();
    let sealed_reason = payer_keys::seal_text(tx, &refund.payment_id, &reason_context(&refund.id), reason)?;
    let sealed_failure = sealed_failure(tx, refund)?;
    Ok(Row {
        id: refund.id.to_string(),
        payment_id: refund.payment_id.to_string(),
        parent_transaction_id: refund.parent_transaction_id,
        currency: refund.amount.currency.code().to_owned(),
        amount: refund.amount.minor,
        status: refund.status.as_str().to_owned(),
        decide_by: refund.decide_by.map(Timestamp::naive_utc),
        reason: None,
        failure: None,
        transaction_id: refund.transaction_id,
        created_by: refund.created_by.to_string(),
        created_at: refund.created_at.naive_utc(),
        updated_at: refund.updated_at.naive_utc(),
        sealed_reason,
        sealed_failure,
    })
}

/// Why it failed, which may be in the provider's words.
fn sealed_failure(tx: &mut Tx<'_>, refund: &Refund) -> Result<Option<Vec<u8>>> {
    payer_keys::seal_text(tx, &refund.payment_id, &failure_context(&refund.id), refund.failure.as_deref())
}

fn reason_context(id: &RefundId) -> String {
    format!("refunds/reason/{id}")
}

fn failure_context(id: &RefundId) -> String {
    format!("refunds/failure/{id}")
}

fn from_row(tx: &mut Tx<'_>, row: Row) -> Result<Refund> {
    let (id, payment_id) = (RefundId::from_stored(row.id), PaymentId::from_stored(row.payment_id));
    let reason = payer_keys::open_text(tx, &payment_id, &reason_context(&id), row.sealed_reason.as_deref())?;
    let failure = payer_keys::open_text(tx, &payment_id, &failure_context(&id), row.sealed_failure.as_deref())?;
    Ok(Refund {
        id,
        payment_id,
        parent_transaction_id: row.parent_transaction_id,
        amount: Money::new(row.amount, currency(&row.currency)?),
        status: known("refunds.status", RefundStatus::parse(&row.status))?,
        certainty: if row.decide_by.is_some() { Certainty::Undetermined } else { Certainty::Proven },
        decide_by: row.decide_by.map(moment),
        reason: reason.or(row.reason),
        failure: failure.or(row.failure),
        transaction_id: row.transaction_id,
        created_by: ApiKeyId::from_stored(row.created_by),
        created_at: moment(row.created_at),
        updated_at: moment(row.updated_at),
    })
}

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
}

/// Writes a new refund.
pub fn insert(tx: &mut Tx<'_>, refund: &Refund) -> Result<()> {
    let row = to_row(tx, refund)?;
    diesel::insert_into(refunds::table).values(row).execute(tx.db)?;
    Ok(())
}

/// One refund.
pub fn find(tx: &mut Tx<'_>, id: &RefundId) -> Result<Option<Refund>> {
    let row: Option<Row> = refunds::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db).optional()?;
    row.map(|row| from_row(tx, row)).transpose()
}

/// All refunds of a payment, oldest first. Each takes at least one minor unit, and the API limits how many there are.
pub fn of_payment(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<Refund>> {
    let rows: Vec<Row> = refunds::table
        .filter(refunds::payment_id.eq(payment_id.as_str()))
        .order(refunds::id.asc())
        .select(Row::as_select())
        .load(tx.db)?;
    rows.into_iter().map(|row| from_row(tx, row)).collect()
}

/// A stretch of a payment's refunds, newest first.
pub fn list(tx: &mut Tx<'_>, payment_id: &PaymentId, page: &Page<RefundId>) -> Result<Vec<Refund>> {
    let mut query =
        refunds::table.filter(refunds::payment_id.eq(payment_id.as_str())).select(Row::as_select()).into_boxed();
    if let Some(before) = &page.before {
        query = query.filter(refunds::id.lt(before.as_str().to_owned()));
    }
    let rows: Vec<Row> = query.order(refunds::id.desc()).limit(page.limit).load(tx.db)?;
    rows.into_iter().map(|row| from_row(tx, row)).collect()
}

/// Writes the outcome of a refund that is still pending. `false` means that it no longer is.
pub fn update_pending(tx: &mut Tx<'_>, refund: &Refund) -> Result<bool> {
    let changed = diesel::update(refunds::table.find(refund.id.as_str()))
        .filter(refunds::status.eq(RefundStatus::Pending.as_str()))
        .set((
            refunds::status.eq(refund.status.as_str()),
            refunds::decide_by.eq(refund.decide_by.map(Timestamp::naive_utc)),
            refunds::failure.eq(refund.failure.as_deref()),
            refunds::transaction_id.eq(refund.transaction_id),
            refunds::updated_at.eq(refund.updated_at.naive_utc()),
        ))
        .execute(tx.db)?;
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
            refunds::transaction_id.eq(refund.transaction_id),
            refunds::updated_at.eq(refund.updated_at.naive_utc()),
        ))
        .execute(tx.db)?;
    Ok(changed == 1)
}

/// Puts a reason under the key of its payer: one that was written before reasons were sealed, or while its payment had no
/// key yet. Whether there was something to do.
pub(super) fn seal_reason(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    let row: Option<Row> = refunds::table.find(id).select(Row::as_select()).get_result(tx.db).optional()?;
    let Some(row) = row else { return Ok(false) };
    let payment_id = PaymentId::from_stored(row.payment_id);
    let context = reason_context(&RefundId::from_stored(row.id));
    // What was erased meanwhile stays erased.
    let changed = match (row.reason, row.sealed_reason) {
        (_, Some(old)) => {
            let Some(moved) = payer_keys::take_over(tx, &payment_id, &context, &old)? else { return Ok(false) };
            diesel::update(refunds::table.find(id))
                .filter(refunds::sealed_reason.eq(old))
                .set((refunds::reason.eq(None::<String>), refunds::sealed_reason.eq(Some(moved))))
                .execute(tx.db)?
        }
        (Some(reason), None) => {
            let sealed = payer_keys::of_payment(tx, &payment_id)?.seal(tx.vault, &context, reason.as_bytes());
            diesel::update(refunds::table.find(id))
                .filter(refunds::reason.eq(reason))
                .set((refunds::reason.eq(None::<String>), refunds::sealed_reason.eq(sealed)))
                .execute(tx.db)?
        }
        (None, None) => 0,
    };
    Ok(changed == 1)
}

fn to_row(tx: &mut Tx<'_>, refund: &Refund) -> Result<Row> {
    let sealed_reason = match &refund.reason {
        Some(reason) => {
            let payer = payer_keys::of_payment(tx, &refund.payment_id)?;
            payer.seal(tx.vault, &reason_context(&refund.id), reason.as_bytes())
        }
        None => None,
    };
    Ok(Row {
        id: refund.id.to_string(),
        payment_id: refund.payment_id.to_string(),
        parent_transaction_id: refund.parent_transaction_id,
        currency: refund.amount.currency.code().to_owned(),
        amount: refund.amount.minor,
        status: refund.status.as_str().to_owned(),
        decide_by: refund.decide_by.map(Timestamp::naive_utc),
        reason: None,
        failure: refund.failure.clone(),
        transaction_id: refund.transaction_id,
        created_by: refund.created_by.to_string(),
        created_at: refund.created_at.naive_utc(),
        updated_at: refund.updated_at.naive_utc(),
        sealed_reason,
    })
}

/// The reason in words, which may tell of a person.
fn reason_of(tx: &mut Tx<'_>, row: &Row) -> Result<Option<String>> {
    let Some(sealed) = &row.sealed_reason else { return Ok(row.reason.clone()) };
    let payer = payer_keys::of_payment(tx, &PaymentId::from_stored(row.payment_id.clone()))?;
    let id = RefundId::from_stored(row.id.clone());
    let plain = payer.open(tx.vault, &reason_context(&id), sealed)?;
    plain.map(|plain| known("refunds.sealed_reason", String::from_utf8(plain).ok())).transpose()
}

fn reason_context(id: &RefundId) -> String {
    format!("refunds/reason/{id}")
}

fn from_row(tx: &mut Tx<'_>, row: Row) -> Result<Refund> {
    let reason = reason_of(tx, &row)?;
    Ok(Refund {
        id: RefundId::from_stored(row.id),
        payment_id: PaymentId::from_stored(row.payment_id),
        parent_transaction_id: row.parent_transaction_id,
        amount: Money::new(row.amount, currency(&row.currency)?),
        status: known("refunds.status", RefundStatus::parse(&row.status))?,
        certainty: if row.decide_by.is_some() { Certainty::Undetermined } else { Certainty::Proven },
        decide_by: row.decide_by.map(moment),
        reason,
        failure: row.failure,
        transaction_id: row.transaction_id,
        created_by: ApiKeyId::from_stored(row.created_by),
        created_at: moment(row.created_at),
        updated_at: moment(row.updated_at),
    })
}

//! Payments that the payer's bank takes back.

use diesel::prelude::*;

use super::Tx;
use super::conn::on_each;
use super::schema::{chargebacks, transactions};
use super::types::{NaiveDateTime, currency, moment};
use crate::app::{ChargebackFilter, Page};
use crate::clock::Timestamp;
use crate::domain::id::{ChargebackId, PaymentId, ReconciliationId};
use crate::domain::money::Money;
use crate::domain::register::{Chargeback, Claim};
use crate::error::Result;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = chargebacks)]
struct Row {
    id: String,
    provider_id: String,
    operation: String,
    kind: String,
    transaction_id: i64,
    payment_id: Option<String>,
    currency: Option<String>,
    amount: Option<i64>,
    raised_at: Option<NaiveDateTime>,
    found_by: String,
    found_at: NaiveDateTime,
}

/// Writes a chargeback; `false` when it is known already.
pub fn insert(tx: &mut Tx<'_>, chargeback: &Chargeback) -> Result<bool> {
    let row = to_row(chargeback);
    let inserted = on_each!(tx.db(), |conn| diesel::insert_into(chargebacks::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(inserted == 1)
}

/// Whether the provider's line is recorded.
pub fn is_known(tx: &mut Tx<'_>, claim: &Claim) -> Result<bool> {
    let same = chargebacks::table
        .filter(chargebacks::provider_id.eq(claim.provider_id.as_str()))
        .filter(chargebacks::operation.eq(claim.operation.as_str()))
        .filter(chargebacks::kind.eq(claim.kind.as_str()));
    Ok(diesel::select(diesel::dsl::exists(same)).get_result(tx.db())?)
}

/// Chargebacks of payments that were not known when they were found and are now.
pub fn resolvable(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(PaymentId, Chargeback)>> {
    let rows: Vec<(Row, String)> = chargebacks::table
        .inner_join(transactions::table.on(transactions::transaction_id.eq(chargebacks::transaction_id)))
        .filter(chargebacks::payment_id.is_null())
        .limit(limit)
        .select((Row::as_select(), transactions::payment_id))
        .load(tx.db())?;
    rows.into_iter().map(|(row, payment_id)| Ok((PaymentId::from_stored(payment_id), from_row(row)?))).collect()
}

/// Notes whose payment it is; `false` when that was noted already.
pub fn resolve(tx: &mut Tx<'_>, id: &ChargebackId, payment_id: &PaymentId) -> Result<bool> {
    let changed = diesel::update(chargebacks::table.find(id.as_str()))
        .filter(chargebacks::payment_id.is_null())
        .set(chargebacks::payment_id.eq(Some(payment_id.as_str())))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// A stretch of the list, newest first.
pub fn list(tx: &mut Tx<'_>, filter: &ChargebackFilter, page: &Page<ChargebackId>) -> Result<Vec<Chargeback>> {
    let mut query = chargebacks::table.select(Row::as_select()).into_boxed();
    match filter.resolved {
        Some(true) => query = query.filter(chargebacks::payment_id.is_not_null()),
        Some(false) => query = query.filter(chargebacks::payment_id.is_null()),
        None => {}
    }
    if let Some(payment_id) = &filter.payment_id {
        query = query.filter(chargebacks::payment_id.eq(payment_id.to_string()));
    }
    if let Some(before) = &page.before {
        query = query.filter(chargebacks::id.lt(before.to_string()));
    }
    let rows: Vec<Row> = query.order(chargebacks::id.desc()).limit(page.limit).load(tx.db())?;
    rows.into_iter().map(from_row).collect()
}

fn to_row(chargeback: &Chargeback) -> Row {
    let claim = &chargeback.claim;
    Row {
        id: chargeback.id.to_string(),
        provider_id: claim.provider_id.clone(),
        operation: claim.operation.clone(),
        kind: claim.kind.clone(),
        transaction_id: claim.transaction_id,
        payment_id: chargeback.payment_id.as_ref().map(ToString::to_string),
        currency: claim.amount.map(|amount| amount.currency.code().to_owned()),
        amount: claim.amount.map(|amount| amount.minor),
        raised_at: claim.raised_at.map(Timestamp::naive_utc),
        found_by: chargeback.found_by.to_string(),
        found_at: chargeback.found_at.naive_utc(),
    }
}

fn from_row(row: Row) -> Result<Chargeback> {
    let amount = match (row.amount, row.currency) {
        (Some(minor), Some(code)) => Some(Money::new(minor, currency(&code)?)),
        _ => None,
    };
    Ok(Chargeback {
        id: ChargebackId::from_stored(row.id),
        claim: Claim {
            provider_id: row.provider_id,
            operation: row.operation,
            kind: row.kind,
            transaction_id: row.transaction_id,
            amount,
            raised_at: row.raised_at.map(moment),
        },
        payment_id: row.payment_id.map(PaymentId::from_stored),
        found_by: ReconciliationId::from_stored(row.found_by),
        found_at: moment(row.found_at),
    })
}

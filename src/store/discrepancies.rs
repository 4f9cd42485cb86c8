//! What our books and the provider's register do not agree about.

use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::Tx;
use super::schema::discrepancies;
use super::types::{NaiveDateTime, currency, known, moment};
use crate::app::{DiscrepancyFilter, Page};
use crate::domain::evidence::TransactionStatus;
use crate::domain::id::{DiscrepancyId, PaymentId, ReconciliationId};
use crate::domain::money::Money;
use crate::domain::register::{Closing, Discrepancy, DiscrepancyKind, Findings, Resolution, Side};
use crate::error::{Error, Result};

/// Word for word the condition of the index discrepancies_lost.
const UNSETTLED_LOSS: &str = "lost AND closed_at IS NULL";
/// Money given back that no request held here accounts for. One that became known as ours meanwhile is accounted for.
const UNACCOUNTED_REFUND: &str = "closed_at IS NULL AND (lost OR (kind = 'refund_in_cabinet' \
    AND theirs_status IN ('authorized', 'completed') AND NOT EXISTS (SELECT 1 FROM transactions AS ours \
    WHERE ours.transaction_id = discrepancies.transaction_id AND ours.refund_id IS NOT NULL)))";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = discrepancies)]
struct Row {
    id: String,
    kind: String,
    transaction_id: i64,
    payment_id: Option<String>,
    named_payment_id: Option<String>,
    invoice_id: Option<String>,
    lost: bool,
    ours_status: Option<String>,
    ours_currency: Option<String>,
    ours_amount: Option<i64>,
    theirs_status: Option<String>,
    theirs_currency: Option<String>,
    theirs_amount: Option<i64>,
    opened_by: String,
    opened_at: NaiveDateTime,
    resolution: Option<String>,
    closed_by: Option<String>,
    close_reason: Option<String>,
    closed_at: Option<NaiveDateTime>,
}

/// Writes a discrepancy. The database refuses a second open one of the same kind and transaction.
pub fn insert(tx: &mut Tx<'_>, discrepancy: &Discrepancy) -> Result<()> {
    diesel::insert_into(discrepancies::table).values(to_row(discrepancy)).execute(tx.db)?;
    Ok(())
}

/// One discrepancy.
///
/// # Errors
/// [`Error::NotFound`].
pub fn get(tx: &mut Tx<'_>, id: &DiscrepancyId) -> Result<Discrepancy> {
    let row = discrepancies::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db).optional()?;
    from_row(row.ok_or(Error::NotFound("discrepancy"))?)
}

/// Discrepancies that fit the filter, newest first.
pub fn list(tx: &mut Tx<'_>, filter: &DiscrepancyFilter, page: &Page<DiscrepancyId>) -> Result<Vec<Discrepancy>> {
    let mut query = discrepancies::table.select(Row::as_select()).into_boxed();
    match filter.open {
        Some(true) => query = query.filter(discrepancies::closed_at.is_null()),
        Some(false) => query = query.filter(discrepancies::closed_at.is_not_null()),
        None => {}
    }
    if let Some(kind) = filter.kind {
        query = query.filter(discrepancies::kind.eq(kind.as_str()));
    }
    if let Some(payment_id) = &filter.payment_id {
        query = query.filter(discrepancies::payment_id.eq(payment_id.to_string()));
    }
    if let Some(before) = &page.before {
        query = query.filter(discrepancies::id.lt(before.to_string()));
    }
    let rows: Vec<Row> = query.order(discrepancies::id.desc()).limit(page.limit).load(tx.db)?;
    rows.into_iter().map(from_row).collect()
}

/// All discrepancies of these transactions, closed ones too, newest first.
pub fn of_transactions(tx: &mut Tx<'_>, transaction_ids: &[i64]) -> Result<Vec<Discrepancy>> {
    let rows: Vec<Row> = discrepancies::table
        .filter(discrepancies::transaction_id.eq_any(transaction_ids.to_vec()))
        .order(discrepancies::id.desc())
        .limit(1000)
        .select(Row::as_select())
        .load(tx.db)?;
    rows.into_iter().map(from_row).collect()
}

/// Closes one that is open; `false` when it no longer is.
pub fn close(tx: &mut Tx<'_>, id: &DiscrepancyId, closing: &Closing) -> Result<bool> {
    let changed = diesel::update(discrepancies::table.find(id.as_str()))
        .filter(discrepancies::closed_at.is_null())
        .set((
            discrepancies::resolution.eq(Some(closing.resolution.as_str())),
            discrepancies::closed_by.eq(Some(closing.by.as_str())),
            discrepancies::close_reason.eq(closing.reason.as_deref()),
            discrepancies::closed_at.eq(Some(closing.at.naive_utc())),
        ))
        .execute(tx.db)?;
    Ok(changed == 1)
}

/// A transaction with money, or in a state that we do not know, for this bill whose payment is lost and that nobody has settled yet.
pub fn lost_money(tx: &mut Tx<'_>, invoice_id: &str) -> Result<Option<i64>> {
    let found = discrepancies::table
        .filter(diesel::dsl::sql::<Bool>(UNSETTLED_LOSS))
        .filter(discrepancies::invoice_id.eq(invoice_id))
        .filter(diesel::dsl::sql::<Bool>("(theirs_status IS NULL OR theirs_status IN ('authorized', 'completed'))"))
        // A payment that we hold answers for itself.
        .filter(discrepancies::payment_id.is_null())
        .select(discrepancies::transaction_id)
        .first(tx.db)
        .optional()?;
    Ok(found)
}

/// A refund of this payment whose request is lost, or may be, and that nobody has settled yet.
pub fn unaccounted_refund(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Option<Discrepancy>> {
    let found = discrepancies::table
        .filter(discrepancies::payment_id.eq(payment_id.as_str()))
        .filter(diesel::dsl::sql::<Bool>(UNACCOUNTED_REFUND))
        .order((discrepancies::lost.desc(), discrepancies::id))
        .select(Row::as_select())
        .first(tx.db)
        .optional()?;
    found.map(from_row).transpose()
}

/// How many transactions a run found that name payments or refunds of ours which this database does not hold.
pub fn lost_by(tx: &mut Tx<'_>, id: &ReconciliationId) -> Result<i64> {
    let lost = discrepancies::table.filter(discrepancies::opened_by.eq(id.as_str())).filter(discrepancies::lost);
    Ok(lost.count().get_result(tx.db)?)
}

/// What a run did.
pub fn findings(tx: &mut Tx<'_>, id: &ReconciliationId) -> Result<Findings> {
    let opened: Vec<(String, i64)> = discrepancies::table
        .filter(discrepancies::opened_by.eq(id.as_str()))
        .group_by(discrepancies::kind)
        .select((discrepancies::kind, diesel::dsl::count_star()))
        .load(tx.db)?;
    let closed: Vec<(Option<String>, i64)> = discrepancies::table
        .filter(discrepancies::closed_by.eq(id.as_str()))
        .group_by(discrepancies::resolution)
        .select((discrepancies::resolution, diesel::dsl::count_star()))
        .load(tx.db)?;
    let opened = opened.into_iter().filter_map(|(kind, count)| Some((DiscrepancyKind::parse(&kind)?, count))).collect();
    let booked = |row: &&(Option<String>, i64)| row.0.as_deref() == Some(Resolution::Booked.as_str());
    Ok(Findings {
        opened,
        booked: closed.iter().filter(booked).map(|(_, count)| count).sum(),
        closed: closed.iter().filter(|row| !booked(row)).map(|(_, count)| count).sum(),
    })
}

fn to_row(discrepancy: &Discrepancy) -> Row {
    let (ours_status, ours_currency, ours_amount) = side_to_columns(discrepancy.ours.as_ref());
    let (theirs_status, theirs_currency, theirs_amount) = side_to_columns(discrepancy.theirs.as_ref());
    let closing = discrepancy.closing.as_ref();
    Row {
        id: discrepancy.id.to_string(),
        kind: discrepancy.kind.as_str().to_owned(),
        transaction_id: discrepancy.transaction_id,
        payment_id: discrepancy.payment_id.as_ref().map(ToString::to_string),
        named_payment_id: discrepancy.named_payment_id.clone(),
        invoice_id: discrepancy.invoice_id.clone(),
        lost: discrepancy.lost,
        ours_status,
        ours_currency,
        ours_amount,
        theirs_status,
        theirs_currency,
        theirs_amount,
        opened_by: discrepancy.opened_by.to_string(),
        opened_at: discrepancy.opened_at.naive_utc(),
        resolution: closing.map(|closing| closing.resolution.as_str().to_owned()),
        closed_by: closing.map(|closing| closing.by.clone()),
        close_reason: closing.and_then(|closing| closing.reason.clone()),
        closed_at: closing.map(|closing| closing.at.naive_utc()),
    }
}

fn side_to_columns(side: Option<&Side>) -> (Option<String>, Option<String>, Option<i64>) {
    let amount = side.and_then(|side| side.amount);
    (
        side.map(|side| side.status.as_str().to_owned()),
        amount.map(|amount| amount.currency.code().to_owned()),
        amount.map(|amount| amount.minor),
    )
}

fn side_from_columns(status: Option<String>, code: Option<String>, minor: Option<i64>) -> Result<Option<Side>> {
    let Some(status) = status else { return Ok(None) };
    let amount = match (code, minor) {
        (Some(code), Some(minor)) => Some(Money::new(minor, currency(&code)?)),
        _ => None,
    };
    Ok(Some(Side { status: known("discrepancies.status", TransactionStatus::parse(&status))?, amount }))
}

fn from_row(row: Row) -> Result<Discrepancy> {
    let closing = match (row.resolution, row.closed_by, row.closed_at) {
        (Some(resolution), Some(by), Some(at)) => Some(Closing {
            resolution: known("discrepancies.resolution", Resolution::parse(&resolution))?,
            by,
            reason: row.close_reason,
            at: moment(at),
        }),
        _ => None,
    };
    Ok(Discrepancy {
        id: DiscrepancyId::from_stored(row.id),
        kind: known("discrepancies.kind", DiscrepancyKind::parse(&row.kind))?,
        transaction_id: row.transaction_id,
        payment_id: row.payment_id.map(PaymentId::from_stored),
        named_payment_id: row.named_payment_id,
        invoice_id: row.invoice_id,
        lost: row.lost,
        ours: side_from_columns(row.ours_status, row.ours_currency, row.ours_amount)?,
        theirs: side_from_columns(row.theirs_status, row.theirs_currency, row.theirs_amount)?,
        opened_by: ReconciliationId::from_stored(row.opened_by),
        opened_at: moment(row.opened_at),
        closing,
    })
}

//! What our books and the provider's register do not agree about.

use diesel::prelude::*;
use diesel::sql_types::{Bool, Timestamp as SqlTimestamp};

use super::schema::discrepancies;
use super::types::{NaiveDateTime, currency, known, moment};
use super::{Tx, payer_keys, rotation};
use crate::app::{DiscrepancyFilter, Page};
use crate::clock::Timestamp;
use crate::domain::evidence::TransactionStatus;
use crate::domain::id::{ApiKeyId, DiscrepancyId, PaymentId, ReconciliationId};
use crate::domain::money::Money;
use crate::domain::register::{
    Closing, Discrepancy, DiscrepancyKind, Findings, Proposal, Purpose, Reconciliation, Resolution, Side,
};
use crate::error::{Error, Result};

/// Word for word the condition of the index discrepancies_of_bill. A payment that we hold answers for itself.
const OPEN_WITHOUT_PAYMENT: &str = "payment_id IS NULL AND closed_at IS NULL";
/// Money of a payment that is lost or, where the record has no name of ours, may be: it was not here while what the provider
/// did before a start was read back (`Purpose::reads_back`). A run of another purpose may meet it first, or tell of it later.
const UNACCOUNTED_MONEY: &str = "((lost AND theirs_status IS NULL) OR (theirs_status IN ('authorized', 'completed') \
    AND (lost OR (kind = 'missing_here' AND EXISTS (SELECT 1 FROM discrepancies AS met JOIN reconciliations AS run \
    ON run.purpose IN ('gap', 'recheck') AND (run.id = met.opened_by OR (SUBSTR(run.id, 5) <= SUBSTR(met.id, 5) \
    AND (run.finished_at IS NULL OR met.opened_at <= run.finished_at))) \
    WHERE met.transaction_id = discrepancies.transaction_id AND met.kind = 'missing_here')))))";
/// Money given back that no request held here accounts for. One that became known as ours meanwhile is accounted for.
const UNACCOUNTED_REFUND: &str = "closed_at IS NULL AND (lost OR (kind = 'refund_in_cabinet' \
    AND theirs_status IN ('authorized', 'completed') AND NOT EXISTS (SELECT 1 FROM transactions AS ours \
    WHERE ours.transaction_id = discrepancies.transaction_id AND ours.refund_id IS NOT NULL)))";
/// The first row that calls its transaction lost.
const FIRST_LOSS: &str = "NOT EXISTS (SELECT 1 FROM discrepancies AS earlier WHERE earlier.transaction_id = \
    discrepancies.transaction_id AND earlier.lost AND earlier.id < discrepancies.id)";

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
    sealed_reason: Option<Vec<u8>>,
    proposed_by: Option<String>,
    proposed_at: Option<NaiveDateTime>,
}

/// Writes a discrepancy. The database refuses a second open one of the same kind and transaction.
pub fn insert(tx: &mut Tx<'_>, discrepancy: &Discrepancy) -> Result<()> {
    let row = to_row(tx, discrepancy)?;
    diesel::insert_into(discrepancies::table).values(row).execute(tx.db())?;
    Ok(())
}

/// One discrepancy.
///
/// # Errors
/// [`Error::NotFound`].
pub fn get(tx: &mut Tx<'_>, id: &DiscrepancyId) -> Result<Discrepancy> {
    let row: Option<Row> =
        discrepancies::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db()).optional()?;
    from_row(tx, row.ok_or(Error::NotFound("discrepancy"))?)
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
    let rows: Vec<Row> = query.order(discrepancies::id.desc()).limit(page.limit).load(tx.db())?;
    rows.into_iter().map(|row| from_row(tx, row)).collect()
}

/// All discrepancies of these transactions, closed ones too, newest first. Without what operators wrote: the books are
/// compared without it, also while the key of a payer does not open.
pub fn of_transactions(tx: &mut Tx<'_>, transaction_ids: &[i64]) -> Result<Vec<Discrepancy>> {
    let rows: Vec<Row> = discrepancies::table
        .filter(discrepancies::transaction_id.eq_any(transaction_ids.to_vec()))
        .order(discrepancies::id.desc())
        .limit(1000)
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(|row| from_row(tx, Row { sealed_reason: None, ..row })).collect()
}

/// All discrepancies of a payment, oldest first.
pub fn of_payment(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<Discrepancy>> {
    let rows: Vec<Row> = discrepancies::table
        .filter(discrepancies::payment_id.eq(payment_id.as_str()))
        .order(discrepancies::id.asc())
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(|row| from_row(tx, row)).collect()
}

/// Proposes to close one that is open, in place of the proposal that it was read with; `false` when it is closed by now, or
/// somebody else proposed it meanwhile.
pub fn propose(tx: &mut Tx<'_>, discrepancy: &Discrepancy, proposal: &Proposal) -> Result<bool> {
    let (id, payment_id) = (&discrepancy.id, discrepancy.payment_id.as_ref());
    let sealed_reason = seal_reason(tx, id, payment_id, proposal.reason.as_deref())?;
    let seen = discrepancy.proposal.as_ref().map(|proposal| proposal.at.naive_utc());
    let changed = diesel::update(discrepancies::table.find(id.as_str()))
        .filter(discrepancies::closed_at.is_null())
        .filter(discrepancies::proposed_by.is_null().or(discrepancies::proposed_at.eq(seen)))
        .set((
            discrepancies::proposed_by.eq(Some(proposal.by.as_str())),
            discrepancies::proposed_at.eq(Some(proposal.at.naive_utc())),
            discrepancies::sealed_reason.eq(sealed_reason),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Closes one that is open; `false` when it no longer is. The database refuses to close a loss that nobody proposed to close,
/// or that the same line of keys did.
pub fn close(tx: &mut Tx<'_>, discrepancy: &Discrepancy, closing: &Closing) -> Result<bool> {
    let (id, payment_id) = (&discrepancy.id, discrepancy.payment_id.as_ref());
    let sealed_reason = seal_reason(tx, id, payment_id, closing.reason.as_deref())?;
    let changed = diesel::update(discrepancies::table.find(id.as_str()))
        .filter(discrepancies::closed_at.is_null())
        .set((
            discrepancies::resolution.eq(Some(closing.resolution.as_str())),
            discrepancies::closed_by.eq(Some(closing.by.as_str())),
            discrepancies::sealed_reason.eq(sealed_reason),
            discrepancies::closed_at.eq(Some(closing.at.naive_utc())),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Ends one that is open by what a run found; `false` when it no longer is. The words of who proposed to close it are kept.
pub fn end(tx: &mut Tx<'_>, discrepancy: &Discrepancy, closing: &Closing) -> Result<bool> {
    let changed = diesel::update(discrepancies::table.find(discrepancy.id.as_str()))
        .filter(discrepancies::closed_at.is_null())
        .set((
            discrepancies::resolution.eq(Some(closing.resolution.as_str())),
            discrepancies::closed_by.eq(Some(closing.by.as_str())),
            discrepancies::closed_at.eq(Some(closing.at.naive_utc())),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// A transaction for this bill with money, or in a state that we do not know, whose payment is lost, or may be, and that nobody
/// has settled yet.
pub fn unaccounted_money(tx: &mut Tx<'_>, invoice_id: &str) -> Result<Option<Discrepancy>> {
    let found = discrepancies::table
        .filter(discrepancies::invoice_id.eq(invoice_id))
        .filter(diesel::dsl::sql::<Bool>(OPEN_WITHOUT_PAYMENT))
        .filter(diesel::dsl::sql::<Bool>(UNACCOUNTED_MONEY))
        .order((discrepancies::lost.desc(), discrepancies::id))
        .select(Row::as_select())
        .first(tx.db())
        .optional()?;
    found.map(|row| from_row(tx, row)).transpose()
}

/// A refund of this payment whose request is lost, or may be, and that nobody has settled yet.
pub fn unaccounted_refund(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Option<Discrepancy>> {
    let found = discrepancies::table
        .filter(discrepancies::payment_id.eq(payment_id.as_str()))
        .filter(diesel::dsl::sql::<Bool>(UNACCOUNTED_REFUND))
        .order((discrepancies::lost.desc(), discrepancies::id))
        .select(Row::as_select())
        .first(tx.db())
        .optional()?;
    found.map(|row| from_row(tx, row)).transpose()
}

/// How many transactions a run found that name payments or refunds of ours which this database does not hold. One that was
/// a loss before and is told differently now is not lost once more. For a gap those count, too, that another run has found
/// since the gap was noted: to the gap they are no news by then.
pub fn lost_by(tx: &mut Tx<'_>, run: &Reconciliation) -> Result<i64> {
    let lost = discrepancies::table.filter(discrepancies::lost).filter(diesel::dsl::sql::<Bool>(FIRST_LOSS));
    let by_it = discrepancies::opened_by.eq(run.id.as_str());
    let count = match run.purpose {
        Purpose::Gap => {
            let since = discrepancies::id.ge(DiscrepancyId::since(run.id.time()));
            lost.filter(by_it.or(since)).count().get_result(tx.db())?
        }
        _ => lost.filter(by_it).count().get_result(tx.db())?,
    };
    Ok(count)
}

/// What a run did.
pub fn findings(tx: &mut Tx<'_>, id: &ReconciliationId) -> Result<Findings> {
    let opened: Vec<(String, i64)> = discrepancies::table
        .filter(discrepancies::opened_by.eq(id.as_str()))
        .group_by(discrepancies::kind)
        .select((discrepancies::kind, diesel::dsl::count_star()))
        .load(tx.db())?;
    let closed: Vec<(Option<String>, i64)> = discrepancies::table
        .filter(discrepancies::closed_by.eq(id.as_str()))
        .group_by(discrepancies::resolution)
        .select((discrepancies::resolution, diesel::dsl::count_star()))
        .load(tx.db())?;
    let opened = opened.into_iter().filter_map(|(kind, count)| Some((DiscrepancyKind::parse(&kind)?, count))).collect();
    let booked = |row: &&(Option<String>, i64)| row.0.as_deref() == Some(Resolution::Booked.as_str());
    Ok(Findings {
        opened,
        booked: closed.iter().filter(booked).map(|(_, count)| count).sum(),
        closed: closed.iter().filter(|row| !booked(row)).map(|(_, count)| count).sum(),
    })
}

/// Seals a reason anew: one that was written in the open, while its payment had no key yet, or by a key of the vault that was
/// used before. Whether there was something to do.
pub(super) fn rotate(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    let row: Option<Row> = discrepancies::table.find(id).select(Row::as_select()).get_result(tx.db()).optional()?;
    let Some(row) = row else { return Ok(false) };
    let id = DiscrepancyId::from_stored(row.id);
    let payment_id = row.payment_id.map(PaymentId::from_stored);
    let context = reason_context(&id);
    let (plain, sealed) = (row.close_reason.as_deref(), row.sealed_reason.as_deref());
    let sealed = match (&payment_id, plain, sealed) {
        (Some(payment_id), ..) => payer_keys::sealed_anew(tx, payment_id, &context, plain, sealed)?,
        (None, _, Some(sealed)) => tx.vault.reseal(&context, sealed).map_err(|_| rotation::cannot_open(&context))?,
        (None, plain, None) => plain.map(|plain| tx.vault.seal(&context, plain.as_bytes())),
    };
    let Some(sealed) = sealed else { return Ok(false) };
    // What was erased meanwhile stays erased.
    let changed = diesel::update(discrepancies::table.find(id.as_str()))
        .filter(discrepancies::close_reason.is_not_null().or(discrepancies::sealed_reason.is_not_null()))
        .set((discrepancies::close_reason.eq(None::<String>), discrepancies::sealed_reason.eq(Some(sealed))))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Removes reasons for closing what belongs to no payment, or for proposing to, from before `before`, at most `limit`. Returns
/// how many.
pub fn end_reasons(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<usize> {
    let ids: Vec<String> = discrepancies::table
        .filter(discrepancies::payment_id.is_null())
        .filter(discrepancies::close_reason.is_not_null().or(discrepancies::sealed_reason.is_not_null()))
        .filter(
            diesel::dsl::sql::<Bool>("COALESCE(closed_at, proposed_at) < ").bind::<SqlTimestamp, _>(before.naive_utc()),
        )
        .order(discrepancies::id.asc())
        .limit(limit)
        .select(discrepancies::id)
        .load(tx.db())?;
    let ended = diesel::update(discrepancies::table.filter(discrepancies::id.eq_any(ids)))
        .set((discrepancies::close_reason.eq(None::<String>), discrepancies::sealed_reason.eq(None::<Vec<u8>>)))
        .execute(tx.db())?;
    Ok(ended)
}

/// Words of an operator, which may tell of a person: by the key of the payer, and by the vault where there is no payment.
fn seal_reason(
    tx: &mut Tx<'_>,
    id: &DiscrepancyId,
    payment_id: Option<&PaymentId>,
    reason: Option<&str>,
) -> Result<Option<Vec<u8>>> {
    let context = reason_context(id);
    match payment_id {
        Some(payment_id) => payer_keys::seal_text(tx, payment_id, &context, reason),
        None => Ok(reason.map(|reason| tx.vault.seal(&context, reason.as_bytes()))),
    }
}

fn open_reason(
    tx: &mut Tx<'_>,
    id: &DiscrepancyId,
    payment_id: Option<&PaymentId>,
    sealed: Option<&[u8]>,
) -> Result<Option<String>> {
    let context = reason_context(id);
    match (payment_id, sealed) {
        (Some(payment_id), sealed) => payer_keys::open_text(tx, payment_id, &context, sealed),
        (None, Some(sealed)) => {
            let plain =
                tx.vault.open(&context, sealed).map_err(|error| Error::internal(format!("{context}: {error}")))?;
            known(&context, String::from_utf8(plain).ok()).map(Some)
        }
        (None, None) => Ok(None),
    }
}

fn reason_context(id: &DiscrepancyId) -> String {
    format!("discrepancies/reason/{id}")
}

fn to_row(tx: &mut Tx<'_>, discrepancy: &Discrepancy) -> Result<Row> {
    let (ours_status, ours_currency, ours_amount) = side_to_columns(discrepancy.ours.as_ref());
    let (theirs_status, theirs_currency, theirs_amount) = side_to_columns(discrepancy.theirs.as_ref());
    let closing = discrepancy.closing.as_ref();
    let proposal = discrepancy.proposal.as_ref();
    let reason = closing.and_then(|closing| closing.reason.as_deref());
    let sealed_reason = seal_reason(tx, &discrepancy.id, discrepancy.payment_id.as_ref(), reason)?;
    Ok(Row {
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
        close_reason: None,
        closed_at: closing.map(|closing| closing.at.naive_utc()),
        sealed_reason,
        proposed_by: proposal.map(|proposal| proposal.by.to_string()),
        proposed_at: proposal.map(|proposal| proposal.at.naive_utc()),
    })
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

fn from_row(tx: &mut Tx<'_>, row: Row) -> Result<Discrepancy> {
    let (id, payment_id) = (DiscrepancyId::from_stored(row.id), row.payment_id.map(PaymentId::from_stored));
    let reason = open_reason(tx, &id, payment_id.as_ref(), row.sealed_reason.as_deref())?;
    let (closing, reason) = match (row.resolution, row.closed_by, row.closed_at) {
        (Some(resolution), Some(by), Some(at)) => {
            let resolution = known("discrepancies.resolution", Resolution::parse(&resolution))?;
            (Some(Closing { resolution, by, reason: reason.or(row.close_reason), at: moment(at) }), None)
        }
        _ => (None, reason),
    };
    let proposal = match (row.proposed_by, row.proposed_at) {
        (Some(by), Some(at)) => Some(Proposal { by: ApiKeyId::from_stored(by), reason, at: moment(at) }),
        _ => None,
    };
    Ok(Discrepancy {
        id,
        kind: known("discrepancies.kind", DiscrepancyKind::parse(&row.kind))?,
        transaction_id: row.transaction_id,
        payment_id,
        named_payment_id: row.named_payment_id,
        invoice_id: row.invoice_id,
        lost: row.lost,
        ours: side_from_columns(row.ours_status, row.ours_currency, row.ours_amount)?,
        theirs: side_from_columns(row.theirs_status, row.theirs_currency, row.theirs_amount)?,
        opened_by: ReconciliationId::from_stored(row.opened_by),
        opened_at: moment(row.opened_at),
        proposal,
        closing,
    })
}

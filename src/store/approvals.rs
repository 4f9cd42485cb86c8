//! Approvals: asked for by one key, decided once by another. The table refuses a decision by the same line of keys, a late
//! one and a second one by itself.

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::Tx;
use super::payer_keys;
use super::schema::{approvals, operations, refunds};
use super::types::{NaiveDateTime, currency, known, moment};
use crate::app::{ApprovalFilter, Page};
use crate::clock::Timestamp;
use crate::domain::approval::{Actor, Approval, ApprovalKind, ApprovalState, CorrectionOutcome, Subject};
use crate::domain::id::{ApiKeyId, ApprovalId, OperationId, PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::OperationKind;
use crate::domain::refund::RefundStatus;
use crate::error::{Error, Result};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = approvals)]
struct Row {
    id: String,
    kind: String,
    payment_id: String,
    currency: Option<String>,
    amount: Option<i64>,
    operation_id: Option<String>,
    outcome: Option<String>,
    refund_id: Option<String>,
    sealed_reason: Option<Vec<u8>>,
    requested_by: String,
    requester: String,
    requested_at: NaiveDateTime,
    expires_at: NaiveDateTime,
    state: String,
    decided_by: Option<String>,
    decider: Option<String>,
    decided_at: Option<NaiveDateTime>,
}

/// Writes a new one.
pub fn insert(tx: &mut Tx<'_>, approval: &Approval) -> Result<()> {
    let row = to_row(tx, approval)?;
    diesel::insert_into(approvals::table).values(row).execute(tx.db())?;
    Ok(())
}

/// One approval.
///
/// # Errors
/// [`Error::NotFound`].
pub fn get(tx: &mut Tx<'_>, id: &ApprovalId) -> Result<Approval> {
    let row: Option<Row> =
        approvals::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db()).optional()?;
    from_row(tx, row.ok_or(Error::NotFound("approval"))?)
}

/// Approvals that fit the filter at `now`, newest first.
pub fn list(
    tx: &mut Tx<'_>,
    filter: &ApprovalFilter,
    now: Timestamp,
    page: &Page<ApprovalId>,
) -> Result<Vec<Approval>> {
    let mut query = approvals::table.select(Row::as_select()).into_boxed();
    let written = |state: ApprovalState| approvals::state.eq(state.as_str());
    let over = approvals::expires_at.le(now.naive_utc());
    match filter.state {
        Some(ApprovalState::Pending) => query = query.filter(written(ApprovalState::Pending).and(not(over))),
        Some(ApprovalState::Expired) => {
            query = query.filter(written(ApprovalState::Expired).or(written(ApprovalState::Pending).and(over)));
        }
        Some(state) => query = query.filter(written(state)),
        None => {}
    }
    if let Some(payment_id) = &filter.payment_id {
        query = query.filter(approvals::payment_id.eq(payment_id.to_string()));
    }
    if let Some(before) = &page.before {
        query = query.filter(approvals::id.lt(before.to_string()));
    }
    let rows: Vec<Row> = query.order(approvals::id.desc()).limit(page.limit).load(tx.db())?;
    rows.into_iter().map(|row| from_row(tx, row)).collect()
}

/// The approvals of a payment, oldest first. The API limits how many there are.
pub fn of_payment(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<Approval>> {
    let rows: Vec<Row> = approvals::table
        .filter(approvals::payment_id.eq(payment_id.as_str()))
        .order(approvals::id.asc())
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(|row| from_row(tx, row)).collect()
}

/// Those behind `after` whose time is over and that are still written as pending: id and payment, at most `limit`.
pub fn due(tx: &mut Tx<'_>, now: Timestamp, after: &str, limit: i64) -> Result<Vec<(ApprovalId, PaymentId)>> {
    let rows: Vec<(String, String)> = approvals::table
        .filter(approvals::state.eq(ApprovalState::Pending.as_str()))
        .filter(approvals::expires_at.le(now.naive_utc()))
        .filter(approvals::id.gt(after))
        .order(approvals::id.asc())
        .limit(limit)
        .select((approvals::id, approvals::payment_id))
        .load(tx.db())?;
    Ok(rows
        .into_iter()
        .map(|(id, payment_id)| (ApprovalId::from_stored(id), PaymentId::from_stored(payment_id)))
        .collect())
}

/// Writes what another key decided at `at`, with the refund that it made. `false` when it was decided or expired before.
pub fn decide(
    tx: &mut Tx<'_>,
    id: &ApprovalId,
    state: ApprovalState,
    by: &Actor,
    at: Timestamp,
    made: Option<&RefundId>,
) -> Result<bool> {
    let open = approvals::table
        .find(id.as_str())
        .filter(approvals::state.eq(ApprovalState::Pending.as_str()))
        .filter(approvals::expires_at.gt(at.naive_utc()))
        .filter(approvals::requested_by.ne(by.key_id.as_str()))
        .filter(approvals::requester.ne(by.line.as_str()));
    let changed = diesel::update(open)
        .set((
            approvals::state.eq(state.as_str()),
            // Nothing is set where nothing was made: of a correction the refund stands from the beginning.
            made.map(|refund_id| approvals::refund_id.eq(Some(refund_id.as_str()))),
            approvals::decided_by.eq(Some(by.key_id.as_str())),
            approvals::decider.eq(Some(by.line.as_str())),
            approvals::decided_at.eq(Some(at.naive_utc())),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Writes that nobody decided in time. `false` when somebody did, or when it is not over yet.
pub fn expire(tx: &mut Tx<'_>, id: &ApprovalId, now: Timestamp) -> Result<bool> {
    let over = approvals::table
        .find(id.as_str())
        .filter(approvals::state.eq(ApprovalState::Pending.as_str()))
        .filter(approvals::expires_at.le(now.naive_utc()));
    let changed = diesel::update(over).set(approvals::state.eq(ApprovalState::Expired.as_str())).execute(tx.db())?;
    Ok(changed == 1)
}

/// What was or may yet be given back of a payment since `since` by refunds that one key made alone, minor units.
pub fn refunded_alone(tx: &mut Tx<'_>, payment_id: &PaymentId, since: Timestamp) -> Result<i64> {
    let by_two = approvals::table
        .filter(approvals::kind.eq(ApprovalKind::Refund.as_str()))
        .filter(approvals::refund_id.eq(refunds::id.nullable()));
    let amounts: Vec<i64> = refunds::table
        .filter(refunds::payment_id.eq(payment_id.as_str()))
        .filter(refunds::status.ne(RefundStatus::Failed.as_str()))
        .filter(refunds::created_at.gt(since.naive_utc()))
        .filter(not(exists(by_two)))
        .select(refunds::amount)
        .load(tx.db())?;
    Ok(amounts.into_iter().fold(0, i64::saturating_add))
}

fn to_row(tx: &mut Tx<'_>, approval: &Approval) -> Result<Row> {
    let reason = approval.reason.as_deref();
    let sealed_reason = payer_keys::seal_text(tx, &approval.payment_id, &reason_context(&approval.id), reason)?;
    let (amount, operation_id, outcome) = match &approval.subject {
        Subject::Refund { amount, .. } => (Some(*amount), None, None),
        Subject::Correction { operation_id, outcome, .. } => (None, Some(operation_id), Some(outcome)),
    };
    Ok(Row {
        id: approval.id.to_string(),
        kind: approval.subject.kind().as_str().to_owned(),
        payment_id: approval.payment_id.to_string(),
        currency: amount.map(|amount| amount.currency.code().to_owned()),
        amount: amount.map(|amount| amount.minor),
        operation_id: operation_id.map(ToString::to_string),
        outcome: outcome.map(|outcome| outcome.as_str().to_owned()),
        refund_id: approval.subject.refund_id().map(ToString::to_string),
        sealed_reason,
        requested_by: approval.requested_by.key_id.to_string(),
        requester: approval.requested_by.line.to_string(),
        requested_at: approval.requested_at.naive_utc(),
        expires_at: approval.expires_at.naive_utc(),
        state: approval.state.as_str().to_owned(),
        decided_by: approval.decided_by.as_ref().map(|by| by.key_id.to_string()),
        decider: approval.decided_by.as_ref().map(|by| by.line.to_string()),
        decided_at: approval.decided_at.map(Timestamp::naive_utc),
    })
}

/// Puts a reason that was written while its payment had no key yet under the key of the payer. Whether there was something
/// to do.
pub(super) fn seal_reason(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    let found: Option<(String, Option<Vec<u8>>)> = approvals::table
        .find(id)
        .select((approvals::payment_id, approvals::sealed_reason))
        .get_result(tx.db())
        .optional()?;
    let Some((payment_id, Some(old))) = found else { return Ok(false) };
    let context = reason_context(&ApprovalId::from_stored(id.to_owned()));
    let moved = payer_keys::take_over(tx, &PaymentId::from_stored(payment_id), &context, &old)?;
    let Some(moved) = moved else { return Ok(false) };
    // What was erased meanwhile stays erased.
    let changed = diesel::update(approvals::table.find(id))
        .filter(approvals::sealed_reason.eq(old))
        .set(approvals::sealed_reason.eq(Some(moved)))
        .execute(tx.db())?;
    Ok(changed == 1)
}

fn reason_context(id: &ApprovalId) -> String {
    format!("approvals/reason/{id}")
}

fn subject_of(tx: &mut Tx<'_>, row: &Row) -> Result<Subject> {
    let refund_id = row.refund_id.clone().map(RefundId::from_stored);
    match known("approvals.kind", ApprovalKind::parse(&row.kind))? {
        ApprovalKind::Refund => {
            let minor = known("approvals.amount", row.amount)?;
            let amount = Money::new(minor, currency(row.currency.as_deref().unwrap_or_default())?);
            Ok(Subject::Refund { amount, refund_id })
        }
        ApprovalKind::Correction => {
            let operation_id = known("approvals.operation_id", row.operation_id.clone())?;
            let call: String = operations::table.find(&operation_id).select(operations::kind).get_result(tx.db())?;
            Ok(Subject::Correction {
                operation_id: OperationId::from_stored(operation_id),
                call: known("operations.kind", OperationKind::parse(&call))?,
                refund_id,
                outcome: known("approvals.outcome", row.outcome.as_deref().and_then(CorrectionOutcome::parse))?,
            })
        }
    }
}

fn from_row(tx: &mut Tx<'_>, row: Row) -> Result<Approval> {
    let subject = subject_of(tx, &row)?;
    let (id, payment_id) = (ApprovalId::from_stored(row.id), PaymentId::from_stored(row.payment_id));
    let reason = payer_keys::open_text(tx, &payment_id, &reason_context(&id), row.sealed_reason.as_deref())?;
    let actor = |key_id: String, line: String| Actor {
        key_id: ApiKeyId::from_stored(key_id),
        line: ApiKeyId::from_stored(line),
    };
    Ok(Approval {
        id,
        payment_id,
        subject,
        reason,
        requested_by: actor(row.requested_by, row.requester),
        requested_at: moment(row.requested_at),
        expires_at: moment(row.expires_at),
        state: known("approvals.state", ApprovalState::parse(&row.state))?,
        decided_by: row.decided_by.zip(row.decider).map(|(key_id, line)| actor(key_id, line)),
        decided_at: row.decided_at.map(moment),
    })
}

//! Runs that compare our transactions with the provider's register, and their marks of what they saw there.

use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::Tx;
use super::conn::on_each;
use super::schema::{api_keys, notifications, operations, payments, reconciliations, register_marks, transactions};
use super::types::{NaiveDateTime, known, moment};
use crate::app::Page;
use crate::clock::Timestamp;
use crate::domain::evidence::TransactionStatus;
use crate::domain::id::{NotificationId, OperationId, PaymentId, ReconciliationId, TransactionRecordId};
use crate::domain::register::{Phase, Purpose, Reconciliation, RunState};
use crate::domain::state::Status;
use crate::error::{Error, Result};

/// Marks are removed so many at a time, so that no write takes long.
const MARKS_AT_ONCE: i64 = 5000;

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = reconciliations, treat_none_as_null = true)]
struct Row {
    id: String,
    purpose: String,
    day: Option<String>,
    window_from: NaiveDateTime,
    window_to: NaiveDateTime,
    requested_by: String,
    state: String,
    phase: String,
    next_page: i64,
    position: Option<String>,
    compared: i64,
    unreadable: i64,
    lost: i64,
    asked: i64,
    chargebacks: i64,
    failures: i32,
    reason: Option<String>,
    due_at: Option<NaiveDateTime>,
    started_at: NaiveDateTime,
    finished_at: Option<NaiveDateTime>,
}

/// Writes a new run.
pub fn insert(tx: &mut Tx<'_>, run: &Reconciliation) -> Result<()> {
    diesel::insert_into(reconciliations::table).values(to_row(run)).execute(tx.db())?;
    Ok(())
}

/// Writes a daily run unless there is one for its day. `false` when there is.
pub fn insert_day(tx: &mut Tx<'_>, run: &Reconciliation) -> Result<bool> {
    let row = to_row(run);
    let inserted = on_each!(tx.db(), |conn| diesel::insert_into(reconciliations::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(inserted == 1)
}

/// One run.
///
/// # Errors
/// [`Error::NotFound`].
pub fn get(tx: &mut Tx<'_>, id: &ReconciliationId) -> Result<Reconciliation> {
    let row = reconciliations::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db()).optional()?;
    from_row(row.ok_or(Error::NotFound("reconciliation"))?)
}

/// A stretch of the list, newest first.
pub fn list(tx: &mut Tx<'_>, page: &Page<ReconciliationId>) -> Result<Vec<Reconciliation>> {
    let before = page.before.as_ref().map_or("~", ReconciliationId::as_str);
    let rows: Vec<Row> = reconciliations::table
        .filter(reconciliations::id.lt(before))
        .order(reconciliations::id.desc())
        .limit(page.limit)
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(from_row).collect()
}

/// All runs under way, longest due first. There are few: their number is limited where they are made.
pub fn running(tx: &mut Tx<'_>) -> Result<Vec<Reconciliation>> {
    let rows: Vec<Row> = reconciliations::table
        .filter(reconciliations::due_at.is_not_null())
        .order(reconciliations::due_at.asc())
        .limit(100)
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(from_row).collect()
}

/// How many runs of a day were given up.
pub fn failures_of_day(tx: &mut Tx<'_>, day: &str) -> Result<i64> {
    let failed = reconciliations::table
        .filter(reconciliations::day.eq(day))
        .filter(reconciliations::state.eq(RunState::Failed.as_str()));
    Ok(failed.count().get_result(tx.db())?)
}

/// Writes how far a run is, if it is still running and still ours: due at `held`. `false` when somebody else goes on with
/// it.
pub fn update(tx: &mut Tx<'_>, run: &Reconciliation, held: Timestamp) -> Result<bool> {
    let changed = diesel::update(reconciliations::table.find(run.id.as_str()))
        .filter(reconciliations::due_at.eq(held.naive_utc()))
        .set(to_row(run))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Makes runs due now whose process is gone: those of the gap always, as everybody waits for them and two that read the
/// same page do no harm; others only where one process uses the database.
pub fn make_due(tx: &mut Tx<'_>, now: Timestamp, only_gap: bool) -> Result<usize> {
    let mut runs =
        diesel::update(reconciliations::table).filter(reconciliations::due_at.gt(now.naive_utc())).into_boxed();
    if only_gap {
        runs = runs.filter(reconciliations::purpose.eq(Purpose::Gap.as_str()));
    } else {
        runs = runs.filter(reconciliations::purpose.ne(Purpose::Recheck.as_str()));
    }
    Ok(runs.set(reconciliations::due_at.eq(Some(now.naive_utc()))).execute(tx.db())?)
}

/// Lets a run under way read its window anew, and up to `now`. Whoever holds its lease loses it. `false` when it is over.
pub fn begin_anew(tx: &mut Tx<'_>, run: &Reconciliation, now: Timestamp) -> Result<bool> {
    let changed = diesel::update(reconciliations::table.find(run.id.as_str()))
        .filter(reconciliations::state.eq(RunState::Running.as_str()))
        .set((
            reconciliations::phase.eq(Phase::Register.as_str()),
            reconciliations::next_page.eq(1),
            reconciliations::position.eq(None::<String>),
            reconciliations::lost.eq(run.lost),
            reconciliations::window_to.eq(now.naive_utc()),
            reconciliations::started_at.eq(now.naive_utc()),
            reconciliations::due_at.eq(Some(now.naive_utc())),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Notes which transactions a run saw in the register.
pub fn mark(tx: &mut Tx<'_>, id: &ReconciliationId, transaction_ids: &[i64]) -> Result<()> {
    let rows: Vec<_> = transaction_ids
        .iter()
        .map(|transaction_id| {
            (register_marks::reconciliation_id.eq(id.as_str()), register_marks::transaction_id.eq(*transaction_id))
        })
        .collect();
    on_each!(tx.db(), |conn| diesel::insert_into(register_marks::table)
        .values(&rows)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(())
}

/// Removes some of a run's marks; `false` when none was left.
pub fn sweep(tx: &mut Tx<'_>, id: &ReconciliationId) -> Result<bool> {
    let last: Option<i64> = register_marks::table
        .filter(register_marks::reconciliation_id.eq(id.as_str()))
        .order(register_marks::transaction_id.asc())
        .offset(MARKS_AT_ONCE)
        .select(register_marks::transaction_id)
        .first(tx.db())
        .optional()?;
    let of_run = register_marks::table.filter(register_marks::reconciliation_id.eq(id.as_str()));
    let up_to = register_marks::transaction_id.le(last.unwrap_or(i64::MAX));
    Ok(diesel::delete(of_run.filter(up_to)).execute(tx.db())? > 0)
}

/// A transaction of ours that a run asks about.
pub struct Candidate {
    /// What the run keeps as its place when it has dealt with it.
    pub place: String,
    /// The provider's number.
    pub transaction_id: i64,
    /// Whether something became of it. What waits at the payer's bank the provider need not know.
    pub has_outcome: bool,
}

/// Transactions with an outcome that we first heard of in the run's window and that it did not see, oldest first. A place is
/// the id of our record.
pub fn unseen(tx: &mut Tx<'_>, id: &ReconciliationId, after: &str, before: &str, limit: i64) -> Result<Vec<Candidate>> {
    let seen = register_marks::table
        .filter(register_marks::reconciliation_id.eq(id.as_str()))
        .filter(register_marks::transaction_id.eq(transactions::transaction_id));
    let rows: Vec<(String, i64)> = transactions::table
        .filter(transactions::id.gt(after))
        .filter(transactions::id.lt(before))
        .filter(diesel::dsl::sql::<Bool>("status IN ('declined', 'authorized', 'voided', 'completed')"))
        .filter(diesel::dsl::not(diesel::dsl::exists(seen)))
        .order(transactions::id.asc())
        .limit(limit)
        .select((transactions::id, transactions::transaction_id))
        .load(tx.db())?;
    Ok(rows.into_iter().map(|(place, transaction_id)| Candidate { place, transaction_id, has_outcome: true }).collect())
}

/// Transactions that hold money, or wait at the payer's bank, since before `before`, oldest payment first. A place is the
/// payment's id with the transaction's: a page may end between two of one payment.
pub fn holds(tx: &mut Tx<'_>, after: &str, before: Timestamp, limit: i64) -> Result<Vec<Candidate>> {
    let (payment, transaction) = after.split_once('/').unwrap_or((after, ""));
    let of_same = payments::id.eq(payment).and(transactions::id.gt(transaction));
    let rows: Vec<(String, String, i64, String)> = payments::table
        .inner_join(transactions::table)
        .filter(payments::status.eq_any([Status::Authorized, Status::AwaitingAuthentication].map(Status::as_str)))
        .filter(payments::id.gt(payment).or(of_same))
        .filter(transactions::status.eq_any(
            [TransactionStatus::Authorized, TransactionStatus::AwaitingAuthentication].map(TransactionStatus::as_str),
        ))
        .filter(transactions::created_at.lt(before.naive_utc()))
        .order((payments::id.asc(), transactions::id.asc()))
        .limit(limit)
        .select((payments::id, transactions::id, transactions::transaction_id, transactions::status))
        .load(tx.db())?;
    let candidate = |(payment, transaction, transaction_id, status): (String, String, i64, String)| Candidate {
        place: format!("{payment}/{transaction}"),
        transaction_id,
        has_outcome: status != TransactionStatus::AwaitingAuthentication.as_str(),
    };
    Ok(rows.into_iter().map(candidate).collect())
}

/// When this database last changed before `before`, as far as its newest rows and the register that was read tell; `None`
/// when nobody can have used it yet.
pub fn last_change(tx: &mut Tx<'_>, before: Timestamp) -> Result<Option<Timestamp>> {
    let newest: [Option<NaiveDateTime>; 6] = [
        payments::table
            .filter(payments::id.lt(PaymentId::first_at(before).as_str()))
            .select(payments::created_at)
            .order(payments::id.desc())
            .first(tx.db())
            .optional()?,
        operations::table
            .filter(operations::id.lt(OperationId::first_at(before).as_str()))
            .select(operations::started_at)
            .order(operations::id.desc())
            .first(tx.db())
            .optional()?,
        transactions::table
            .filter(transactions::id.lt(TransactionRecordId::first_at(before).as_str()))
            .select(transactions::created_at)
            .order(transactions::id.desc())
            .first(tx.db())
            .optional()?,
        notifications::table
            .filter(notifications::id.lt(NotificationId::first_at(before).as_str()))
            .select(notifications::received_at)
            .order(notifications::id.desc())
            .first(tx.db())
            .optional()?,
        api_keys::table
            .filter(api_keys::created_at.lt(before.naive_utc()))
            .select(diesel::dsl::max(api_keys::created_at))
            .get_result(tx.db())?,
        reconciliations::table
            .filter(reconciliations::state.eq(RunState::Completed.as_str()))
            .filter(reconciliations::purpose.eq(Purpose::Gap.as_str()))
            .filter(reconciliations::window_to.lt(before.naive_utc()))
            .select(diesel::dsl::max(reconciliations::window_to))
            .get_result(tx.db())?,
    ];
    Ok(newest.into_iter().flatten().max().map(moment))
}

/// The newest payment.
pub fn newest_payment(tx: &mut Tx<'_>) -> Result<Option<PaymentId>> {
    let id: Option<String> =
        payments::table.select(payments::id).order(payments::id.desc()).first(tx.db()).optional()?;
    Ok(id.map(PaymentId::from_stored))
}

fn to_row(run: &Reconciliation) -> Row {
    Row {
        id: run.id.to_string(),
        purpose: run.purpose.as_str().to_owned(),
        day: run.day.clone(),
        window_from: run.from.naive_utc(),
        window_to: run.to.naive_utc(),
        requested_by: run.requested_by.clone(),
        state: run.state.as_str().to_owned(),
        phase: run.phase.as_str().to_owned(),
        next_page: run.next_page,
        position: run.position.clone(),
        compared: run.compared,
        unreadable: run.unreadable,
        lost: run.lost,
        asked: run.asked,
        chargebacks: run.chargebacks,
        failures: run.failures,
        reason: run.reason.clone(),
        due_at: run.due_at.map(Timestamp::naive_utc),
        started_at: run.started_at.naive_utc(),
        finished_at: run.finished_at.map(Timestamp::naive_utc),
    }
}

fn from_row(row: Row) -> Result<Reconciliation> {
    Ok(Reconciliation {
        id: ReconciliationId::from_stored(row.id),
        purpose: known("reconciliations.purpose", Purpose::parse(&row.purpose))?,
        day: row.day,
        from: moment(row.window_from),
        to: moment(row.window_to),
        requested_by: row.requested_by,
        state: known("reconciliations.state", RunState::parse(&row.state))?,
        phase: known("reconciliations.phase", Phase::parse(&row.phase))?,
        next_page: row.next_page,
        position: row.position,
        compared: row.compared,
        unreadable: row.unreadable,
        lost: row.lost,
        asked: row.asked,
        chargebacks: row.chargebacks,
        failures: row.failures,
        reason: row.reason,
        due_at: row.due_at.map(moment),
        started_at: moment(row.started_at),
        finished_at: row.finished_at.map(moment),
    })
}

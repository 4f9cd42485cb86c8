//! Erasing payers, and the records of who erased and who read.

use diesel::dsl::{count_star, exists, not};
use diesel::prelude::*;

use super::Tx;
use super::conn::DbConn;
use super::payer_keys;
use super::schema::{
    approvals, discrepancies, idempotency_keys, notifications, operations, payer_keys as keys, payments,
    personal_data_access, personal_data_access_ended, personal_data_erasures, refunds, transactions,
};
use super::types::NaiveDateTime;
use crate::app::{Access, Act, Caller, Erasure};
use crate::clock::Timestamp;
use crate::domain::id::{AccessId, PaymentId};
use crate::domain::state::Status;
use crate::error::Result;

/// No bytes: what stands in the place of what was sealed.
const NOTHING: &[u8] = &[];

#[derive(Insertable)]
#[diesel(table_name = personal_data_erasures)]
struct ErasureRow {
    id: String,
    cause: &'static str,
    api_key_id: Option<String>,
    request_id: Option<String>,
    payers: i64,
    payments: i64,
    notifications: i64,
    at: NaiveDateTime,
}

#[derive(Insertable)]
#[diesel(table_name = personal_data_access)]
struct AccessRow {
    id: String,
    action: &'static str,
    api_key_id: String,
    request_id: Option<String>,
    payer_key_id: Option<String>,
    payment_id: Option<String>,
    at: NaiveDateTime,
}

/// Who erases.
#[derive(Debug, Clone, Copy)]
pub enum ErasedBy<'a> {
    /// A request.
    Caller(&'a Caller),
    /// Time.
    Retention,
    /// Somebody on the server, whom the record names like an event of a command does.
    CommandLine,
}

/// What is under the keys of payers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Payments.
    pub payments: i64,
    /// Notifications about these payments, and those that belong to none.
    pub notifications: i64,
    /// Of the notifications those that belong to no payment. Their keys are named after them.
    unmatched: i64,
}

/// The keys of an account, held until the transaction ends: meanwhile nobody begins a payment under them.
pub fn hold_account(tx: &mut Tx<'_>, account: &str) -> Result<Vec<String>> {
    let ids = payer_keys::ids_of_account(tx, account)?;
    hold(tx, &ids)?;
    Ok(ids)
}

/// The payer of a payment, as far as it can be shown or erased by the payment alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayerOf {
    /// There is no such payment.
    Nobody,
    /// It was written before payers had keys.
    NoKey,
    /// It belongs to an account.
    Account,
    /// The key was destroyed.
    Erased,
    /// The key, which is of this payment alone.
    Key(String),
}

/// The payer of a payment, held until the transaction ends.
pub fn hold_payer_of(tx: &mut Tx<'_>, id: &PaymentId) -> Result<PayerOf> {
    let found: Option<Option<String>> =
        payments::table.find(id.as_str()).select(payments::payer_key_id).get_result(tx.db()).optional()?;
    let key = match found {
        None => return Ok(PayerOf::Nobody),
        Some(None) => return Ok(PayerOf::NoKey),
        Some(Some(key)) => key,
    };
    hold(tx, std::slice::from_ref(&key))?;
    let (account, erased_at): (Option<String>, Option<NaiveDateTime>) =
        keys::table.find(&key).select((keys::account_hash, keys::erased_at)).get_result(tx.db())?;
    Ok(match (account, erased_at) {
        (_, Some(_)) => PayerOf::Erased,
        (Some(_), None) => PayerOf::Account,
        (None, None) => PayerOf::Key(key),
    })
}

/// Holds keys until the transaction ends. SQLite has one writer at a time anyway.
pub fn hold(tx: &mut Tx<'_>, payers: &[String]) -> Result<()> {
    if let DbConn::Postgres(conn) = tx.db() {
        let query = keys::table.filter(keys::id.eq_any(payers)).order(keys::id.asc()).select(keys::id);
        query.for_update().load::<String>(conn)?;
    }
    Ok(())
}

/// The keys of an account.
pub fn keys_of_account(tx: &mut Tx<'_>, account: &str) -> Result<Vec<String>> {
    payer_keys::ids_of_account(tx, account)
}

/// Whether the account has payments that were written before payers had keys.
pub fn has_payments_without_key(tx: &mut Tx<'_>, account: &str) -> Result<bool> {
    let old = payments::table.filter(payments::account_hash.eq_any(payer_keys::account_hashes(tx.vault, account)));
    Ok(diesel::select(exists(old)).get_result(tx.db())?)
}

/// How many payments of these payers are not over yet.
pub fn unfinished_payments(tx: &mut Tx<'_>, payers: &[String]) -> Result<i64> {
    let count = payments::table
        .filter(payments::payer_key_id.eq_any(payers))
        .filter(
            payments::status
                .eq_any(Status::UNFINISHED.map(Status::as_str))
                .or(payments::decide_by.is_not_null())
                .or(payments::refund_pending.gt(0)),
        )
        .select(count_star())
        .get_result(tx.db())?;
    Ok(count)
}

/// How much is under the keys of these payers.
pub fn extent(tx: &mut Tx<'_>, payers: &[String]) -> Result<Extent> {
    let of_payers = || payments::table.filter(payments::payer_key_id.eq_any(payers));
    let payments: i64 = of_payers().select(count_star()).get_result(tx.db())?;
    let matched: i64 = notifications::table
        .filter(notifications::payment_id.eq_any(of_payers().select(payments::id.nullable())))
        .select(count_star())
        .get_result(tx.db())?;
    let unmatched: i64 = notifications::table
        .filter(notifications::id.eq_any(payers))
        .filter(notifications::payer_key_id.eq(notifications::id.nullable()))
        .select(count_star())
        .get_result(tx.db())?;
    Ok(Extent { payments, notifications: matched.saturating_add(unmatched), unmatched })
}

/// Destroys the keys of these payers and records it. From here on nothing that they sealed opens any more; what is left of
/// it is removed by [`clean`].
pub fn erase(tx: &mut Tx<'_>, payers: &[String], by: ErasedBy<'_>, erasure: Erasure) -> Result<Erasure> {
    let extent = extent(tx, payers)?;
    let erased = diesel::update(keys::table.filter(keys::id.eq_any(payers)))
        .filter(keys::erased_at.is_null())
        .set((
            keys::wrapped_key.eq(None::<Vec<u8>>),
            keys::account.eq(None::<Vec<u8>>),
            keys::account_hash.eq(None::<String>),
            keys::erased_at.eq(Some(erasure.at.naive_utc())),
        ))
        .execute(tx.db())?;
    let erasure = Erasure {
        payers: i64::try_from(erased).unwrap_or(i64::MAX).saturating_sub(extent.unmatched),
        payments: extent.payments,
        notifications: extent.notifications,
        ..erasure
    };
    let (cause, api_key_id, request_id) = match by {
        ErasedBy::Caller(caller) => ("request", Some(caller.key_id.to_string()), caller.request_id.clone()),
        ErasedBy::Retention => ("retention", None, None),
        ErasedBy::CommandLine => ("request", Some(Act::COMMAND_LINE.to_owned()), None),
    };
    let row = ErasureRow {
        id: erasure.id.to_string(),
        cause,
        api_key_id,
        request_id,
        payers: erasure.payers,
        payments: erasure.payments,
        notifications: erasure.notifications,
        at: erasure.at.naive_utc(),
    };
    diesel::insert_into(personal_data_erasures::table).values(row).execute(tx.db())?;
    Ok(erasure)
}

/// Erased payers of whom something may be left in the tables or in the files.
pub fn to_clean(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<String>> {
    let ids = keys::table
        .filter(keys::erased_at.is_not_null())
        .filter(keys::cleaned_at.is_null())
        .order(keys::id.asc())
        .limit(limit)
        .select(keys::id)
        .load(tx.db())?;
    Ok(ids)
}

/// Removes what is left of an erased payer in at most `limit` of its payments, or in the notification that a key was made
/// for, and returns how many they were. Sums, states, history and the provider's numbers stay.
pub fn clean(tx: &mut Tx<'_>, payer: &str, limit: i64) -> Result<usize> {
    let unmatched: Vec<String> = notifications::table
        .find(payer)
        .filter(notifications::payer_key_id.eq(payer))
        .select(notifications::id)
        .load(tx.db())?;
    wipe_notifications(tx, &unmatched)?;
    let ids: Vec<String> = payments::table
        .filter(payments::payer_key_id.eq(payer))
        .filter(payments::payer.ne(NOTHING))
        .order(payments::id.asc())
        .limit(limit)
        .select(payments::id)
        .load(tx.db())?;
    diesel::update(payments::table.filter(payments::id.eq_any(&ids)))
        .set((payments::payer.eq(NOTHING), payments::three_ds.eq(None::<Vec<u8>>)))
        .execute(tx.db())?;
    diesel::update(transactions::table.filter(transactions::payment_id.eq_any(&ids)))
        .set((
            transactions::card_first_six.eq(None::<String>),
            transactions::card_last_four.eq(None::<String>),
            transactions::card_issuer.eq(None::<String>),
        ))
        .execute(tx.db())?;
    diesel::update(refunds::table.filter(refunds::payment_id.eq_any(&ids)))
        .set((refunds::reason.eq(None::<String>), refunds::sealed_reason.eq(None::<Vec<u8>>)))
        .execute(tx.db())?;
    clean_words(tx, &ids)?;
    diesel::update(approvals::table.filter(approvals::payment_id.eq_any(&ids)))
        .set(approvals::sealed_reason.eq(None::<Vec<u8>>))
        .execute(tx.db())?;
    diesel::update(idempotency_keys::table.filter(idempotency_keys::payment_id.eq_any(&ids)))
        .set((
            idempotency_keys::fingerprint.eq(NOTHING),
            // Without its call: a repeat gets the live payment at once.
            idempotency_keys::operation_id.eq(None::<String>),
            idempotency_keys::locked_until.eq(idempotency_keys::created_at),
            idempotency_keys::status.eq(None::<i32>),
            idempotency_keys::location.eq(None::<String>),
            idempotency_keys::body.eq(None::<Vec<u8>>),
        ))
        .execute(tx.db())?;
    let told: Vec<String> =
        notifications::table.filter(notifications::payment_id.eq_any(&ids)).select(notifications::id).load(tx.db())?;
    wipe_notifications(tx, &told)?;
    Ok(ids.len() + unmatched.len())
}

/// What the provider said about calls, and operators about discrepancies.
fn clean_words(tx: &mut Tx<'_>, payment_ids: &[String]) -> Result<()> {
    diesel::update(operations::table.filter(operations::payment_id.eq_any(payment_ids)))
        .set((operations::note.eq(None::<String>), operations::sealed_words.eq(None::<Vec<u8>>)))
        .execute(tx.db())?;
    diesel::update(refunds::table.filter(refunds::payment_id.eq_any(payment_ids)))
        .set((refunds::failure.eq(None::<String>), refunds::sealed_failure.eq(None::<Vec<u8>>)))
        .execute(tx.db())?;
    diesel::update(discrepancies::table.filter(discrepancies::payment_id.eq_any(payment_ids)))
        .set((discrepancies::close_reason.eq(None::<String>), discrepancies::sealed_reason.eq(None::<Vec<u8>>)))
        .execute(tx.db())?;
    Ok(())
}

/// The digest of a body tells whoever guesses the body that the guess is right, so it goes, too.
fn wipe_notifications(tx: &mut Tx<'_>, ids: &[String]) -> Result<()> {
    for id in ids {
        diesel::update(notifications::table.find(id))
            .set((
                notifications::body.eq(NOTHING),
                notifications::payer_key_id.eq(None::<String>),
                notifications::digest.eq(id.as_bytes()),
            ))
            .execute(tx.db())?;
    }
    Ok(())
}

/// Notes that nothing of these payers is left.
pub fn mark_cleaned(tx: &mut Tx<'_>, payers: &[String], at: Timestamp) -> Result<()> {
    diesel::update(keys::table.filter(keys::id.eq_any(payers)))
        .set(keys::cleaned_at.eq(Some(at.naive_utc())))
        .execute(tx.db())?;
    Ok(())
}

/// A key whose payer's payments are all over since before a moment.
macro_rules! is_idle {
    ($before:expr) => {
        not(exists(
            payments::table.filter(payments::payer_key_id.eq(keys::id.nullable())).filter(
                payments::id
                    .ge(PaymentId::first_at($before).as_str().to_owned())
                    .or(payments::updated_at.ge($before.naive_utc()))
                    .or(payments::status.eq_any(Status::UNFINISHED.map(Status::as_str)))
                    .or(payments::decide_by.is_not_null())
                    .or(payments::refund_pending.gt(0)),
            ),
        ))
    };
}

/// Payers whose last payment is over since before `before`; from `after` on, at most `limit`.
pub fn idle_payers(tx: &mut Tx<'_>, before: Timestamp, after: &str, limit: i64) -> Result<Vec<String>> {
    let ids = keys::table
        .filter(keys::id.gt(after))
        // Keys of payers are named after payments; those of notifications without a payment end with them.
        .filter(keys::id.ge(PaymentId::PREFIX))
        .filter(keys::id.lt(PaymentId::first_at(before).as_str()))
        .filter(keys::erased_at.is_null())
        .filter(is_idle!(before))
        .order(keys::id.asc())
        .limit(limit)
        .select(keys::id)
        .load(tx.db())?;
    Ok(ids)
}

/// Those of the payers of which that still holds, held until the transaction ends.
pub fn still_idle(tx: &mut Tx<'_>, before: Timestamp, payers: &[String]) -> Result<Vec<String>> {
    hold(tx, payers)?;
    let ids = keys::table.filter(keys::id.eq_any(payers)).filter(is_idle!(before)).select(keys::id).load(tx.db())?;
    Ok(ids)
}

/// Records a reading.
pub fn record_access(tx: &mut Tx<'_>, id: &AccessId, by: &Caller, access: &Access, at: Timestamp) -> Result<()> {
    let (action, payer_key_id, payment_id) = match access {
        Access::Export { payer } => ("export", payer.clone(), None),
        Access::Search { payer } => ("search", payer.clone(), None),
        Access::Payment(id) => ("payment", None, Some(id.to_string())),
    };
    let row = AccessRow {
        id: id.to_string(),
        action,
        api_key_id: by.key_id.to_string(),
        request_id: by.request_id.clone(),
        payer_key_id,
        payment_id,
        at: at.naive_utc(),
    };
    diesel::insert_into(personal_data_access::table).values(row).execute(tx.db())?;
    Ok(())
}

/// Forgets records of readings from before `before`, at most `limit`, and notes that at `at`: without it the database refuses
/// to delete them. Returns how many.
pub fn forget_access(tx: &mut Tx<'_>, before: Timestamp, limit: i64, at: Timestamp) -> Result<usize> {
    use personal_data_access_ended as ended;
    let ids: Vec<String> = personal_data_access::table
        .filter(personal_data_access::id.lt(AccessId::first_at(before).as_str()))
        .order(personal_data_access::id.asc())
        .limit(limit)
        .select(personal_data_access::id)
        .load(tx.db())?;
    let Some(last) = ids.last() else { return Ok(0) };
    let records = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    diesel::insert_into(ended::table)
        .values((ended::up_to.eq(last), ended::records.eq(records), ended::at.eq(at.naive_utc())))
        .execute(tx.db())?;
    Ok(diesel::delete(personal_data_access::table.filter(personal_data_access::id.eq_any(ids))).execute(tx.db())?)
}

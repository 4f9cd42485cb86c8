//! Idempotency keys: which request was made under which key, and its answer.
//!
//! They belong to the caller's line of API keys (the column `api_key_id` holds its first key): whoever repeats a request
//! with the successor of the key that made it must meet it, or it would have a second effect.

use diesel::prelude::*;

use super::conn::on_each;
use super::payer_keys;
use super::schema::{idempotency_keys, payments};
use super::types::{NaiveDateTime, known, moment};
use super::{Tx, rotation};
use crate::app::{Caller, Idempotency, StoredAnswer};
use crate::clock::Timestamp;
use crate::domain::id::{ApiKeyId, OperationId, PaymentId};
use crate::domain::state::Status;
use crate::error::{Error, Result};
use crate::vault::{self, Vault};

/// What is known of a key.
#[derive(Debug)]
pub enum Claim {
    /// It is new and now ours: do the work.
    Fresh,
    /// It was used for another request.
    OtherRequest,
    /// The work was done and this was the answer.
    Answered(StoredAnswer),
    /// The work was begun on this thing; its answer was never final.
    Begun {
        /// The payment or refund.
        resource_id: String,
        /// The call to the provider that was begun.
        operation_id: Option<OperationId>,
        /// Until when the first request may still be running.
        locked_until: Timestamp,
    },
}

/// Length of a fingerprint as it was stored before fingerprints were sealed.
const PLAIN_FINGERPRINT: usize = 32;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = idempotency_keys)]
struct Row {
    api_key_id: String,
    idempotency_key: String,
    fingerprint: Vec<u8>,
    resource_id: String,
    operation_id: Option<String>,
    locked_until: NaiveDateTime,
    status: Option<i32>,
    location: Option<String>,
    body: Option<Vec<u8>>,
    created_at: NaiveDateTime,
    payment_id: Option<String>,
    endpoint: Option<String>,
}

/// A request that wants its key.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Whose key it is: keys of two callers do not meet, those of a key and its successors do.
    pub caller: &'a Caller,
    /// The key and the digest of the request.
    pub idempotency: &'a Idempotency,
    /// The payment or refund that the request makes or changes.
    pub resource_id: &'a str,
    /// The payment it is about.
    pub payment_id: Option<&'a PaymentId>,
    /// The call to the provider that follows.
    pub operation_id: Option<&'a OperationId>,
    /// Now.
    pub at: Timestamp,
    /// When the work is surely over.
    pub locked_until: Timestamp,
}

/// What is known of a key, without taking it.
pub fn look(tx: &mut Tx<'_>, caller: &Caller, idempotency: &Idempotency) -> Result<Option<Claim>> {
    let row: Option<Row> = idempotency_keys::table
        .find((caller.lineage.as_str(), idempotency.key.as_str()))
        .select(Row::as_select())
        .get_result(tx.db())
        .optional()?;
    row.map(|row| from_row(tx, row, idempotency)).transpose()
}

/// Takes the key, or tells what it was used for.
pub fn claim(tx: &mut Tx<'_>, request: &Request<'_>) -> Result<Claim> {
    let row = Row {
        api_key_id: request.caller.lineage.to_string(),
        idempotency_key: request.idempotency.key.clone(),
        fingerprint: tx.vault.seal(
            &fingerprint_context(request.caller.lineage.as_str(), &request.idempotency.key),
            &request.idempotency.fingerprint,
        ),
        resource_id: request.resource_id.to_owned(),
        operation_id: request.operation_id.map(ToString::to_string),
        locked_until: request.locked_until.naive_utc(),
        status: None,
        location: None,
        body: None,
        created_at: request.at.naive_utc(),
        payment_id: request.payment_id.map(ToString::to_string),
        endpoint: Some(request.idempotency.endpoint.clone()),
    };
    let inserted = on_each!(tx.db(), |conn| diesel::insert_into(idempotency_keys::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    if inserted == 1 {
        return Ok(Claim::Fresh);
    }
    look(tx, request.caller, request.idempotency)?.ok_or_else(|| Error::internal("an idempotency key vanished"))
}

/// Keeps the final answer for repeats, sealed by the key of the payer of `payment_id`, or by the vault when it is about no
/// payment and holds no personal data.
pub fn finish(
    tx: &mut Tx<'_>,
    caller: &Caller,
    idempotency: &Idempotency,
    payment_id: Option<&PaymentId>,
    answer: &StoredAnswer,
) -> Result<()> {
    let context = context(&caller.lineage, &idempotency.key);
    let body = match payment_id {
        Some(id) => payer_keys::of_payment(tx, id)?.seal(tx.vault, &context, &answer.body),
        None => Some(tx.vault.seal(&context, &answer.body)),
    };
    // Of an erased payer nothing is kept: a repeat gets the live payment.
    let Some(body) = body else { return Ok(()) };
    diesel::update(idempotency_keys::table.find((caller.lineage.as_str(), idempotency.key.as_str())))
        .set((
            idempotency_keys::status.eq(Some(i32::from(answer.status))),
            idempotency_keys::location.eq(answer.location.as_deref()),
            idempotency_keys::body.eq(Some(body)),
        ))
        .execute(tx.db())?;
    Ok(())
}

/// The work is over without a final answer: repeats get the live thing at once.
pub fn unlock(tx: &mut Tx<'_>, caller: &Caller, idempotency: &Idempotency, at: Timestamp) -> Result<()> {
    diesel::update(idempotency_keys::table.find((caller.lineage.as_str(), idempotency.key.as_str())))
        .filter(idempotency_keys::body.is_null())
        .set(idempotency_keys::locked_until.eq(at.naive_utc()))
        .execute(tx.db())?;
    Ok(())
}

/// Gives the key back: nothing was sent, the same request may be made anew.
pub fn release(tx: &mut Tx<'_>, caller: &Caller, idempotency: &Idempotency) -> Result<()> {
    diesel::delete(idempotency_keys::table.find((caller.lineage.as_str(), idempotency.key.as_str())))
        .execute(tx.db())?;
    Ok(())
}

/// Seals the fingerprint with the current key, and an answer from before payers had keys by its payer's. Whether there was
/// something to do.
pub(super) fn rotate(tx: &mut Tx<'_>, (api_key_id, key): &rotation::Place) -> Result<bool> {
    let row: Option<Row> =
        idempotency_keys::table.find((api_key_id, key)).select(Row::as_select()).get_result(tx.db()).optional()?;
    let Some(row) = row else { return Ok(false) };
    let place = fingerprint_context(api_key_id, key);
    let fingerprint = match row.fingerprint.len() {
        0 => None,
        PLAIN_FINGERPRINT => Some(tx.vault.seal(&place, &row.fingerprint)),
        _ => tx.vault.reseal(&place, &row.fingerprint).map_err(|_| rotation::cannot_open(&place))?,
    };
    let payment_id = match &row.payment_id {
        Some(id) => Some(PaymentId::from_stored(id.clone())),
        None => rotation::payment_of(tx, &row.resource_id)?,
    };
    if let Some(id) = &payment_id
        && payer_keys::of_payment(tx, id)?.is_erased()
    {
        return forget(tx, api_key_id, key).map(|()| row.body.is_some());
    }
    let body = match &row.body {
        Some(sealed) if vault::is_sealed_by_vault(sealed) => {
            rotate_answer(tx, &context(&ApiKeyId::from_stored(api_key_id.clone()), key), payment_id.as_ref(), sealed)?
        }
        _ => None,
    };
    let named = row.payment_id.is_none() && payment_id.is_some();
    if fingerprint.is_none() && body.is_none() && !named {
        return Ok(false);
    }
    diesel::update(idempotency_keys::table.find((api_key_id, key)))
        .set((
            idempotency_keys::fingerprint.eq(fingerprint.unwrap_or(row.fingerprint)),
            idempotency_keys::payment_id.eq(payment_id.as_ref().map(PaymentId::as_str)),
            idempotency_keys::body.eq(body.or(row.body)),
        ))
        .execute(tx.db())?;
    Ok(true)
}

/// Of an erased payer no answer and no fingerprint is kept.
fn forget(tx: &mut Tx<'_>, api_key_id: &str, key: &str) -> Result<()> {
    diesel::update(idempotency_keys::table.find((api_key_id, key)))
        .set((
            idempotency_keys::fingerprint.eq(Vec::<u8>::new()),
            // Without its call: a repeat gets the live payment at once.
            idempotency_keys::operation_id.eq(None::<String>),
            idempotency_keys::locked_until.eq(idempotency_keys::created_at),
            idempotency_keys::status.eq(None::<i32>),
            idempotency_keys::location.eq(None::<String>),
            idempotency_keys::body.eq(None::<Vec<u8>>),
        ))
        .execute(tx.db())?;
    Ok(())
}

fn rotate_answer(
    tx: &mut Tx<'_>,
    place: &str,
    payment_id: Option<&PaymentId>,
    sealed: &[u8],
) -> Result<Option<Vec<u8>>> {
    let Some(id) = payment_id else {
        return tx.vault.reseal(place, sealed).map_err(|_| rotation::cannot_open(place));
    };
    let payer = payer_keys::of_payment(tx, id)?;
    let plain = tx.vault.open(place, sealed).map_err(|_| rotation::cannot_open(place))?;
    Ok(payer.seal(tx.vault, place, &plain))
}

/// Ends kept answers of payments that are over since before `before`, at most `limit`. Returns how many. The keys stay, so a
/// late repeat does nothing and gets the live payment.
pub fn end_answers(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<usize> {
    let over = payments::table
        .filter(payments::id.nullable().eq(idempotency_keys::payment_id))
        .filter(payments::updated_at.lt(before.naive_utc()))
        .filter(payments::status.ne_all(Status::UNFINISHED.map(Status::as_str)))
        .filter(payments::decide_by.is_null())
        .filter(payments::refund_pending.eq(0));
    let due: Vec<(String, String)> = idempotency_keys::table
        .filter(idempotency_keys::body.is_not_null())
        .filter(idempotency_keys::payment_id.lt(PaymentId::first_at(before).as_str()))
        .filter(diesel::dsl::exists(over))
        .order(idempotency_keys::payment_id.asc())
        .limit(limit)
        .select((idempotency_keys::api_key_id, idempotency_keys::idempotency_key))
        .load(tx.db())?;
    for (api_key_id, key) in &due {
        diesel::update(idempotency_keys::table.find((api_key_id, key)))
            .set((
                // Without its call: a repeat gets the live payment at once.
                idempotency_keys::operation_id.eq(None::<String>),
                idempotency_keys::locked_until.eq(idempotency_keys::created_at),
                idempotency_keys::status.eq(None::<i32>),
                idempotency_keys::location.eq(None::<String>),
                idempotency_keys::body.eq(None::<Vec<u8>>),
            ))
            .execute(tx.db())?;
    }
    Ok(due.len())
}

/// Unlocks every key whose work was cut off with the process. Only for a database that one process uses.
pub fn unlock_all(tx: &mut Tx<'_>, at: Timestamp) -> Result<usize> {
    let changed = diesel::update(idempotency_keys::table)
        .filter(idempotency_keys::body.is_null())
        .filter(idempotency_keys::locked_until.gt(at.naive_utc()))
        .set(idempotency_keys::locked_until.eq(at.naive_utc()))
        .execute(tx.db())?;
    Ok(changed)
}

fn from_row(tx: &mut Tx<'_>, row: Row, idempotency: &Idempotency) -> Result<Claim> {
    if !is_of(tx.vault, &row, idempotency)? {
        return Ok(Claim::OtherRequest);
    }
    if let Some(answer) = kept_answer(tx, &row)? {
        return Ok(Claim::Answered(answer));
    }
    Ok(Claim::Begun {
        resource_id: row.resource_id,
        operation_id: row.operation_id.map(OperationId::from_stored),
        locked_until: moment(row.locked_until),
    })
}

/// Empties the fingerprint of a request to erase an account: whoever has the encryption key and guesses the account could
/// tell by it that the guess is right.
pub fn forget_account(tx: &mut Tx<'_>, caller: &Caller, idempotency: &Idempotency) -> Result<()> {
    diesel::update(idempotency_keys::table.find((caller.lineage.as_str(), idempotency.key.as_str())))
        .set(idempotency_keys::fingerprint.eq(Vec::<u8>::new()))
        .execute(tx.db())?;
    Ok(())
}

/// Whether the key was used for this very request. Of an erased payer the fingerprint is gone, too; what is left is where
/// the request went. Whoever answers with the live thing compares what else is left: sums and bills.
fn is_of(vault: &Vault, row: &Row, idempotency: &Idempotency) -> Result<bool> {
    let context = fingerprint_context(&row.api_key_id, &row.idempotency_key);
    let kept = match row.fingerprint.len() {
        0 => return Ok(row.endpoint.as_ref().is_none_or(|endpoint| *endpoint == idempotency.endpoint)),
        PLAIN_FINGERPRINT => row.fingerprint.clone(),
        _ => vault.open(&context, &row.fingerprint).map_err(|error| Error::internal(format!("{context}: {error}")))?,
    };
    Ok(vault::equal_in_constant_time(&kept, &idempotency.fingerprint))
}

/// The kept answer, unless there is none or its payer was erased.
fn kept_answer(tx: &mut Tx<'_>, row: &Row) -> Result<Option<StoredAnswer>> {
    let (Some(status), Some(sealed)) = (row.status, &row.body) else { return Ok(None) };
    let context = context(&ApiKeyId::from_stored(row.api_key_id.clone()), &row.idempotency_key);
    let body = match &row.payment_id {
        Some(id) => {
            payer_keys::of_payment(tx, &PaymentId::from_stored(id.clone()))?.open(tx.vault, &context, sealed)?
        }
        None => Some(tx.vault.open(&context, sealed).map_err(|error| Error::internal(format!("{context}: {error}")))?),
    };
    let status = known("idempotency_keys.status", u16::try_from(status).ok())?;
    Ok(body.map(|body| StoredAnswer { status, location: row.location.clone(), body }))
}

fn fingerprint_context(api_key_id: &str, key: &str) -> String {
    format!("idempotency_keys/fingerprint/{api_key_id}/{key}")
}

fn context(api_key_id: &ApiKeyId, key: &str) -> String {
    format!("idempotency_keys/body/{api_key_id}/{key}")
}

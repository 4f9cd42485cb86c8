//! Idempotency keys: which request was made under which key, and its answer.

use diesel::prelude::*;

use super::Tx;
use super::conn::on_each;
use super::payer_keys;
use super::schema::idempotency_keys;
use super::types::{NaiveDateTime, known, moment};
use crate::app::{Idempotency, StoredAnswer};
use crate::clock::Timestamp;
use crate::domain::id::{ApiKeyId, OperationId, PaymentId};
use crate::error::{Error, Result};

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
}

/// A request that wants its key.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Whose key it is: keys of two callers do not meet.
    pub api_key_id: &'a ApiKeyId,
    /// The key and the digest of the request.
    pub idempotency: &'a Idempotency,
    /// The payment or refund that the request makes or changes.
    pub resource_id: &'a str,
    /// The payment it is about.
    pub payment_id: &'a PaymentId,
    /// The call to the provider that follows.
    pub operation_id: Option<&'a OperationId>,
    /// Now.
    pub at: Timestamp,
    /// When the work is surely over.
    pub locked_until: Timestamp,
}

/// What is known of a key, without taking it.
pub fn look(tx: &mut Tx<'_>, api_key_id: &ApiKeyId, idempotency: &Idempotency) -> Result<Option<Claim>> {
    let row: Option<Row> = idempotency_keys::table
        .find((api_key_id.as_str(), idempotency.key.as_str()))
        .select(Row::as_select())
        .get_result(tx.db)
        .optional()?;
    row.map(|row| from_row(tx, row, idempotency)).transpose()
}

/// Takes the key, or tells what it was used for.
pub fn claim(tx: &mut Tx<'_>, request: &Request<'_>) -> Result<Claim> {
    let row = Row {
        api_key_id: request.api_key_id.to_string(),
        idempotency_key: request.idempotency.key.clone(),
        fingerprint: request.idempotency.fingerprint.to_vec(),
        resource_id: request.resource_id.to_owned(),
        operation_id: request.operation_id.map(ToString::to_string),
        locked_until: request.locked_until.naive_utc(),
        status: None,
        location: None,
        body: None,
        created_at: request.at.naive_utc(),
        payment_id: Some(request.payment_id.to_string()),
    };
    let inserted = on_each!(tx.db, |conn| diesel::insert_into(idempotency_keys::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    if inserted == 1 {
        return Ok(Claim::Fresh);
    }
    look(tx, request.api_key_id, request.idempotency)?.ok_or_else(|| Error::internal("an idempotency key vanished"))
}

/// Keeps the final answer for repeats, sealed by the key of the payer of `payment_id`.
pub fn finish(
    tx: &mut Tx<'_>,
    api_key_id: &ApiKeyId,
    idempotency: &Idempotency,
    payment_id: &PaymentId,
    answer: &StoredAnswer,
) -> Result<()> {
    let payer = payer_keys::of_payment(tx, payment_id)?;
    // Of an erased payer nothing is kept: a repeat gets the live payment.
    let Some(body) = payer.seal(tx.vault, &context(api_key_id, &idempotency.key), &answer.body) else { return Ok(()) };
    diesel::update(idempotency_keys::table.find((api_key_id.as_str(), idempotency.key.as_str())))
        .set((
            idempotency_keys::status.eq(Some(i32::from(answer.status))),
            idempotency_keys::location.eq(answer.location.as_deref()),
            idempotency_keys::body.eq(Some(body)),
        ))
        .execute(tx.db)?;
    Ok(())
}

/// The work is over without a final answer: repeats get the live thing at once.
pub fn unlock(tx: &mut Tx<'_>, api_key_id: &ApiKeyId, idempotency: &Idempotency, at: Timestamp) -> Result<()> {
    diesel::update(idempotency_keys::table.find((api_key_id.as_str(), idempotency.key.as_str())))
        .filter(idempotency_keys::body.is_null())
        .set(idempotency_keys::locked_until.eq(at.naive_utc()))
        .execute(tx.db)?;
    Ok(())
}

/// Gives the key back: nothing was sent, the same request may be made anew.
pub fn release(tx: &mut Tx<'_>, api_key_id: &ApiKeyId, idempotency: &Idempotency) -> Result<()> {
    diesel::delete(idempotency_keys::table.find((api_key_id.as_str(), idempotency.key.as_str()))).execute(tx.db)?;
    Ok(())
}

/// Unlocks every key whose work was cut off with the process. Only for a database that one process uses.
pub fn unlock_all(tx: &mut Tx<'_>, at: Timestamp) -> Result<usize> {
    let changed = diesel::update(idempotency_keys::table)
        .filter(idempotency_keys::body.is_null())
        .filter(idempotency_keys::locked_until.gt(at.naive_utc()))
        .set(idempotency_keys::locked_until.eq(at.naive_utc()))
        .execute(tx.db)?;
    Ok(changed)
}

fn from_row(tx: &mut Tx<'_>, row: Row, idempotency: &Idempotency) -> Result<Claim> {
    if row.fingerprint != idempotency.fingerprint {
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

fn context(api_key_id: &ApiKeyId, key: &str) -> String {
    format!("idempotency_keys/body/{api_key_id}/{key}")
}

//! Notifications as they came: the verified ones, and in quarantine the others.

use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::conn::on_each;
use super::payer_keys;
use super::schema::{notifications, quarantine, transactions};
use super::types::{NaiveDateTime, moment};
use super::{Tx, rotation};
use crate::app::{NotificationKind, NotificationRecord, Page, StoredNotification};
use crate::clock::Timestamp;
use crate::domain::id::{NotificationId, PaymentId};
use crate::error::{Error, Result};
use crate::vault::{self, Vault};

/// At most so many are kept in quarantine.
pub const QUARANTINE_LIMIT: i64 = 1000;
/// More early notifications of one transaction are left to a replay by hand.
const UNMATCHED_LIMIT: i64 = 200;
/// What stands in the place of a body that has ended.
const ENDED: &[u8] = &[];

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = notifications)]
struct Row {
    id: String,
    kind: String,
    digest: Vec<u8>,
    is_json: bool,
    body: Vec<u8>,
    payment_id: Option<String>,
    transaction_id: Option<i64>,
    parent_transaction_id: Option<i64>,
    verdict: String,
    reply: i32,
    received_at: NaiveDateTime,
    payer_key_id: Option<String>,
}

#[derive(Insertable)]
#[diesel(table_name = quarantine)]
struct QuarantineRow {
    id: String,
    kind: String,
    body: Vec<u8>,
    received_at: NaiveDateTime,
}

/// The signed bytes of a notification that is to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The bytes, by which a repeat is recognised.
    pub body: &'a [u8],
    /// What may be kept of them.
    pub kept: &'a [u8],
    /// Whether they are JSON.
    pub is_json: bool,
    /// Of a refund: the payment transaction that was given back from.
    pub parent_transaction_id: Option<i64>,
    /// The payer's account, where it names one.
    pub account_id: Option<&'a str>,
}

/// Whether this very notification was stored before.
pub fn is_known(tx: &mut Tx<'_>, kind: NotificationKind, body: &[u8]) -> Result<bool> {
    let found = diesel::select(diesel::dsl::exists(
        notifications::table
            .filter(notifications::kind.eq(kind.as_str()))
            .filter(notifications::digest.eq_any(digests(tx.vault, body))),
    ))
    .get_result(tx.db())?;
    Ok(found)
}

/// Under what a repeat of these bytes is looked for: by every key, and by the digest without a key of old rows.
fn digests(vault: &Vault, body: &[u8]) -> Vec<Vec<u8>> {
    let keyed = vault.keyed_digests("notification", body);
    keyed.into_iter().chain([vault::digest(&[body])]).map(|digest| digest.to_vec()).collect()
}

pub(super) fn digest(vault: &Vault, body: &[u8]) -> Vec<u8> {
    digests(vault, body).into_iter().next().unwrap_or_default()
}

/// Stores a notification; one that is known already stays as it is. Its body is sealed by the key of the payer of its
/// payment; one of no known payment gets a key of its own, which is found by the account that it names. Of an erased payer no
/// body is kept.
pub fn insert(tx: &mut Tx<'_>, record: &NotificationRecord, raw: &Signed<'_>) -> Result<()> {
    let payer = match &record.payment_id {
        Some(id) => payer_keys::of_payment(tx, &PaymentId::from_stored(id.clone()))?,
        None => payer_keys::create(tx, record.id.as_str(), raw.account_id, record.received_at)?.into(),
    };
    let body = payer.seal(tx.vault, &context(&record.id), raw.kept);
    let row = Row {
        id: record.id.to_string(),
        kind: record.kind.clone(),
        digest: digest(tx.vault, raw.body),
        is_json: raw.is_json,
        payer_key_id: payer.key_id.clone().filter(|_| body.is_some()),
        body: body.unwrap_or_default(),
        payment_id: record.payment_id.clone(),
        transaction_id: record.transaction_id,
        parent_transaction_id: raw.parent_transaction_id,
        verdict: record.verdict.clone(),
        reply: record.reply,
        received_at: record.received_at.naive_utc(),
    };
    let inserted = on_each!(tx.db(), |conn| diesel::insert_into(notifications::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    if inserted == 0 && record.payment_id.is_none() {
        payer_keys::delete_own(tx, record.id.as_str())?;
    }
    Ok(())
}

/// Notes what applying it again came to. A body whose payment is known from now on goes under its payer's key.
pub fn set_verdict(tx: &mut Tx<'_>, id: &NotificationId, verdict: &str, payment_id: Option<&PaymentId>) -> Result<()> {
    diesel::update(notifications::table.find(id.as_str()))
        .set((notifications::verdict.eq(verdict), notifications::payment_id.eq(payment_id.map(PaymentId::as_str))))
        .execute(tx.db())?;
    payment_id.map_or(Ok(()), |payment_id| seal_for(tx, id, payment_id))
}

fn seal_for(tx: &mut Tx<'_>, id: &NotificationId, payment_id: &PaymentId) -> Result<()> {
    let payer = payer_keys::of_payment(tx, payment_id)?;
    let (key_id, sealed): (Option<String>, Vec<u8>) = notifications::table
        .find(id.as_str())
        .select((notifications::payer_key_id, notifications::body))
        .get_result(tx.db())?;
    if key_id == payer.key_id {
        return Ok(());
    }
    let plain = open_body(tx, id, key_id.clone(), &sealed)?;
    let body = plain.and_then(|plain| payer.seal(tx.vault, &context(id), &plain));
    diesel::update(notifications::table.find(id.as_str()))
        .set((
            notifications::payer_key_id.eq(payer.key_id.as_deref().filter(|_| body.is_some())),
            notifications::body.eq(body.unwrap_or_default()),
        ))
        .execute(tx.db())?;
    if key_id.as_deref() == Some(id.as_str()) {
        payer_keys::delete_own(tx, id.as_str())?;
    }
    Ok(())
}

/// One notification.
///
/// # Errors
/// [`Error::NotFound`].
pub fn get(tx: &mut Tx<'_>, id: &NotificationId) -> Result<StoredNotification> {
    let row: Option<Row> =
        notifications::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db()).optional()?;
    to_stored(tx, row.ok_or(Error::NotFound("notification"))?)
}

/// Notifications about a transaction, or about refunds of it, that came before its payment was known; oldest first.
pub fn unmatched_about(tx: &mut Tx<'_>, transaction_id: i64) -> Result<Vec<StoredNotification>> {
    // Two questions without an order, each answered by its own index.
    let mut rows: Vec<Row> = notifications::table
        .filter(diesel::dsl::sql::<Bool>("verdict = 'unmatched'"))
        .filter(notifications::parent_transaction_id.eq(transaction_id))
        .limit(UNMATCHED_LIMIT)
        .select(Row::as_select())
        .load(tx.db())?;
    let own: Vec<Row> = notifications::table
        .filter(diesel::dsl::sql::<Bool>("verdict = 'unmatched'"))
        .filter(notifications::transaction_id.eq(transaction_id))
        .limit(UNMATCHED_LIMIT)
        .select(Row::as_select())
        .load(tx.db())?;
    rows.extend(own);
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    rows.into_iter().map(|row| to_stored(tx, row)).collect()
}

/// All notifications about a payment, oldest first. The provider sends a handful for each attempt to pay.
pub fn of_payment(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<StoredNotification>> {
    let mut rows: Vec<Row> = notifications::table
        .filter(notifications::payment_id.eq(payment_id.as_str()))
        .select(Row::as_select())
        .load(tx.db())?;
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    rows.into_iter().map(|row| to_stored(tx, row)).collect()
}

/// Notifications that belong to no payment and name an account, by the account's keys; oldest first.
pub fn unmatched_of_account(tx: &mut Tx<'_>, keys: &[String]) -> Result<Vec<StoredNotification>> {
    // Their keys are named after them.
    let rows: Vec<Row> = notifications::table
        .filter(notifications::id.eq_any(keys))
        .filter(notifications::payment_id.is_null())
        .order(notifications::id.asc())
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(|row| to_stored(tx, row)).collect()
}

/// Notifications that were not matched when they came, although their transaction is recorded now.
pub fn unmatched_with_payment(tx: &mut Tx<'_>) -> Result<Vec<NotificationId>> {
    let of_refunds =
        transactions::table.filter(transactions::transaction_id.nullable().eq(notifications::parent_transaction_id));
    let mut ids: Vec<String> = notifications::table
        .filter(diesel::dsl::sql::<Bool>("verdict = 'unmatched'"))
        .filter(notifications::parent_transaction_id.is_not_null())
        .filter(notifications::body.ne(ENDED))
        .filter(diesel::dsl::exists(of_refunds))
        .limit(20)
        .select(notifications::id)
        .load(tx.db())?;
    let of_payments =
        transactions::table.filter(transactions::transaction_id.nullable().eq(notifications::transaction_id));
    let own: Vec<String> = notifications::table
        .filter(diesel::dsl::sql::<Bool>("verdict = 'unmatched'"))
        .filter(notifications::parent_transaction_id.is_null())
        .filter(notifications::body.ne(ENDED))
        .filter(diesel::dsl::exists(of_payments))
        .limit(20)
        .select(notifications::id)
        .load(tx.db())?;
    ids.extend(own);
    ids.sort();
    Ok(ids.into_iter().map(NotificationId::from_stored).collect())
}

fn to_stored(tx: &mut Tx<'_>, row: Row) -> Result<StoredNotification> {
    let id = NotificationId::from_stored(row.id.clone());
    let body = open_body(tx, &id, row.payer_key_id.clone(), &row.body)?;
    Ok(StoredNotification { is_json: row.is_json, body, record: to_record(row) })
}

fn open_body(tx: &mut Tx<'_>, id: &NotificationId, key_id: Option<String>, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
    if sealed.is_empty() {
        return Ok(None);
    }
    payer_keys::with_key(tx, key_id)?.open(tx.vault, &context(id), sealed)
}

/// A stretch of the list, newest first.
pub fn list(tx: &mut Tx<'_>, page: &Page<NotificationId>) -> Result<Vec<NotificationRecord>> {
    let mut query = notifications::table.select(Row::as_select()).into_boxed();
    if let Some(before) = &page.before {
        query = query.filter(notifications::id.lt(before.as_str().to_owned()));
    }
    let rows: Vec<Row> = query.order(notifications::id.desc()).limit(page.limit).load(tx.db())?;
    Ok(rows.into_iter().map(to_record).collect())
}

/// Puts a notification with a bad signature away; the oldest go when there are too many.
pub fn quarantine(
    tx: &mut Tx<'_>,
    id: &NotificationId,
    kind: NotificationKind,
    body: &[u8],
    at: Timestamp,
) -> Result<()> {
    let sealed = tx.vault.seal(&context(id), body);
    let row =
        QuarantineRow { id: id.to_string(), kind: kind.as_str().to_owned(), body: sealed, received_at: at.naive_utc() };
    diesel::insert_into(quarantine::table).values(row).execute(tx.db())?;
    let oldest_to_keep: Option<String> = quarantine::table
        .select(quarantine::id)
        .order(quarantine::id.desc())
        .offset(QUARANTINE_LIMIT)
        .first(tx.db())
        .optional()?;
    if let Some(id) = oldest_to_keep {
        diesel::delete(quarantine::table.filter(quarantine::id.le(id))).execute(tx.db())?;
    }
    Ok(())
}

/// Puts a body from before payers had keys under its key, and makes the digest anew. Whether there was something to do.
pub(super) fn rotate(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    let id = NotificationId::from_stored(id.to_owned());
    let row: Option<Row> =
        notifications::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db()).optional()?;
    let Some(row) = row else { return Ok(false) };
    let erased = match row.payment_id.clone().map(PaymentId::from_stored) {
        Some(payment_id) => payer_keys::of_payment(tx, &payment_id)?.is_erased(),
        None => false,
    };
    let body = open_body(tx, &id, row.payer_key_id.clone(), &row.body)?;
    let digest = match body.as_ref().filter(|_| !erased) {
        Some(body) => free_digest(tx, &row, digest(tx.vault, body))?,
        // Of a body that has ended no digest can be made; a repeat of it is stored once more and changes nothing.
        None => id.as_str().as_bytes().to_vec(),
    };
    let moved = row.payer_key_id.is_none() && body.is_some();
    if moved {
        match row.payment_id.clone().map(PaymentId::from_stored) {
            Some(payment_id) => seal_for(tx, &id, &payment_id)?,
            None => seal_alone(tx, &id, body.as_deref().unwrap_or_default(), row.received_at)?,
        }
    }
    if digest != row.digest {
        diesel::update(notifications::table.find(id.as_str()))
            .set(notifications::digest.eq(&digest))
            .execute(tx.db())?;
    }
    Ok(moved || digest != row.digest)
}

/// The digest, unless a repeat that came under the new key has it already: then the older row steps back.
fn free_digest(tx: &mut Tx<'_>, row: &Row, digest: Vec<u8>) -> Result<Vec<u8>> {
    let taken = diesel::select(diesel::dsl::exists(
        notifications::table
            .filter(notifications::kind.eq(&row.kind))
            .filter(notifications::digest.eq(&digest))
            .filter(notifications::id.ne(&row.id)),
    ))
    .get_result(tx.db())?;
    Ok(if taken { row.id.as_bytes().to_vec() } else { digest })
}

fn seal_alone(tx: &mut Tx<'_>, id: &NotificationId, body: &[u8], received_at: NaiveDateTime) -> Result<()> {
    let payer = payer_keys::create(tx, id.as_str(), None, moment(received_at))?;
    let sealed = payer.seal(tx.vault, &context(id), body).unwrap_or_default();
    diesel::update(notifications::table.find(id.as_str()))
        .set((notifications::payer_key_id.eq(payer.key_id.as_deref()), notifications::body.eq(sealed)))
        .execute(tx.db())?;
    Ok(())
}

/// Seals a notification in quarantine with the current key. Whether there was something to do.
pub(super) fn rotate_quarantined(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    let sealed: Option<Vec<u8>> = quarantine::table.find(id).select(quarantine::body).get_result(tx.db()).optional()?;
    let Some(sealed) = sealed else { return Ok(false) };
    let context = context(&NotificationId::from_stored(id.to_owned()));
    let Some(body) = tx.vault.reseal(&context, &sealed).map_err(|_| rotation::cannot_open(&context))? else {
        return Ok(false);
    };
    diesel::update(quarantine::table.find(id)).set(quarantine::body.eq(body)).execute(tx.db())?;
    Ok(true)
}

/// Ends the bodies of notifications from before `before`, at most `limit`: of those that belong to no payment
/// (`unmatched`), or of the others. Returns how many. What they did stays.
pub fn end_bodies(tx: &mut Tx<'_>, unmatched: bool, before: Timestamp, limit: i64) -> Result<usize> {
    let due: Vec<(String, Option<String>)> = notifications::table
        .filter(notifications::payer_key_id.is_not_null())
        .filter(notifications::payment_id.is_null().eq(unmatched))
        .filter(notifications::received_at.lt(before.naive_utc()))
        .order(notifications::received_at.asc())
        .limit(limit)
        .select((notifications::id, notifications::payer_key_id))
        .load(tx.db())?;
    let ids: Vec<&str> = due.iter().map(|(id, _)| id.as_str()).collect();
    diesel::update(notifications::table.filter(notifications::id.eq_any(&ids)))
        .set((notifications::body.eq(ENDED), notifications::payer_key_id.eq(None::<String>)))
        .execute(tx.db())?;
    for (id, _) in due.iter().filter(|(id, key_id)| key_id.as_ref() == Some(id)) {
        payer_keys::delete_own(tx, id)?;
    }
    Ok(due.len())
}

/// Forgets notifications in quarantine from before `before`; there are never many. Returns how many.
pub fn empty_quarantine(tx: &mut Tx<'_>, before: Timestamp) -> Result<usize> {
    Ok(diesel::delete(quarantine::table.filter(quarantine::received_at.lt(before.naive_utc()))).execute(tx.db())?)
}

fn to_record(row: Row) -> NotificationRecord {
    NotificationRecord {
        id: NotificationId::from_stored(row.id),
        kind: row.kind,
        payment_id: row.payment_id,
        transaction_id: row.transaction_id,
        verdict: row.verdict,
        reply: row.reply,
        received_at: moment(row.received_at),
    }
}

fn context(id: &NotificationId) -> String {
    format!("notifications/body/{id}")
}

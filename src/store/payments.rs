//! Payments: their rows, guarded updates and lists.

use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde_json::{Value, json};

use super::Tx;
use super::conn::DbConn;
use super::payer_keys::{self, Payer as PayerKey};
use super::schema::{payer_keys as keys, payments, transactions, transition_edges};
use super::types::{NaiveDateTime, currency, known, moment};
use crate::app::{Page, PaymentFilter};
use crate::clock::Timestamp;
use crate::domain::id::{ApiKeyId, PaymentId};
use crate::domain::money::Money;
use crate::domain::payment::{CaptureMode, Language, Method, Payer, Payment, Sums, ThreeDs};
use crate::domain::state::{Certainty, Status};
use crate::error::{Error, Result};
use crate::vault::Vault;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = payments)]
struct Row {
    id: String,
    sequence: i64,
    status: String,
    decide_by: Option<NaiveDateTime>,
    currency: String,
    amount: i64,
    authorized: i64,
    captured: i64,
    refunded: i64,
    refund_pending: i64,
    refund_excess: i64,
    invoice_id: String,
    account_hash: Option<String>,
    description: String,
    capture_mode: String,
    language: String,
    method: String,
    return_url: Option<String>,
    metadata: String,
    payer: Vec<u8>,
    three_ds: Option<Vec<u8>>,
    attention: Option<String>,
    test_mode: Option<bool>,
    created_by: String,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
    expires_at: NaiveDateTime,
    attention_raised: Option<String>,
    payer_key_id: Option<String>,
}

/// A payment with the key of its payer, in one statement; a subselect because PostgreSQL locks no outer join.
macro_rules! with_key {
    () => {
        (
            Row::as_select(),
            keys::table.filter(keys::id.nullable().eq(payments::payer_key_id)).select(keys::wrapped_key).single_value(),
        )
    };
}

/// What [`with_key`] selects.
type Found = (Row, Option<Vec<u8>>);

/// Writes a new payment.
pub fn insert(tx: &mut Tx<'_>, payment: &Payment) -> Result<()> {
    let payer = payer_keys::of_new_payment(tx, payment)?;
    let row = to_row(payment, &payer, tx.vault);
    diesel::insert_into(payments::table).values(row).execute(tx.db())?;
    Ok(())
}

/// One payment.
pub fn find(tx: &mut Tx<'_>, id: &PaymentId) -> Result<Option<Payment>> {
    let found: Option<Found> = payments::table.find(id.as_str()).select(with_key!()).get_result(tx.db()).optional()?;
    found.map(|found| read_one(tx, found)).transpose()
}

/// Whether there is such a payment.
pub fn is_there(tx: &mut Tx<'_>, id: &PaymentId) -> Result<bool> {
    Ok(diesel::select(diesel::dsl::exists(payments::table.find(id.as_str()))).get_result(tx.db())?)
}

/// One payment that must be there.
///
/// # Errors
/// [`Error::NotFound`].
pub fn get(tx: &mut Tx<'_>, id: &PaymentId) -> Result<Payment> {
    find(tx, id)?.ok_or(Error::NotFound("payment"))
}

/// One payment that must be there, held until the transaction ends: on PostgreSQL no other process decides about it
/// meanwhile. SQLite has one writer at a time anyway. Every write that decides about a payment begins with this.
///
/// # Errors
/// [`Error::NotFound`].
pub fn hold(tx: &mut Tx<'_>, id: &PaymentId) -> Result<Payment> {
    let found: Option<Found> = match tx.db() {
        DbConn::Postgres(conn) => {
            payments::table.find(id.as_str()).select(with_key!()).for_update().get_result(conn).optional()?
        }
        DbConn::Sqlite(conn) => payments::table.find(id.as_str()).select(with_key!()).get_result(conn).optional()?,
    };
    let (row, wrapped) = found.ok_or(Error::NotFound("payment"))?;
    // Whoever waited for the row does not see a key that was made for it meanwhile, and would take its payer for erased.
    let wrapped = match (&row.payer_key_id, wrapped) {
        (Some(key_id), None) => payer_keys::wrapped_key(tx, key_id)?,
        (_, wrapped) => wrapped,
    };
    read_one(tx, (row, wrapped))
}

/// Writes what may change of a payment, if it is still at `from_sequence` and in a state from which the table allows the
/// move. `false` means that somebody else was first.
pub fn update(tx: &mut Tx<'_>, payment: &Payment, from_sequence: i64) -> Result<bool> {
    let edge = transition_edges::table
        .filter(transition_edges::from_status.eq(payments::status))
        .filter(transition_edges::to_status.eq(payment.status.as_str()));
    let three_ds = match &payment.three_ds {
        Some(three_ds) => seal_three_ds(&payment.id, three_ds, &*payer_keys::of_payment(tx, &payment.id)?, tx.vault),
        None => None,
    };
    let changed = diesel::update(payments::table.find(payment.id.as_str()))
        .filter(payments::sequence.eq(from_sequence))
        .filter(diesel::dsl::exists(edge))
        .set((
            payments::sequence.eq(payment.sequence),
            payments::status.eq(payment.status.as_str()),
            payments::decide_by.eq(payment.decide_by.map(Timestamp::naive_utc)),
            payments::authorized.eq(payment.sums.authorized),
            payments::captured.eq(payment.sums.captured),
            payments::refunded.eq(payment.sums.refunded),
            payments::refund_pending.eq(payment.sums.refund_pending),
            payments::refund_excess.eq(payment.sums.refund_excess),
            payments::three_ds.eq(three_ds),
            payments::attention.eq(payment.attention.as_deref()),
            payments::attention_raised.eq(marks_to_text(&payment.attention_raised)),
            payments::test_mode.eq(payment.test_mode),
            payments::updated_at.eq(payment.updated_at.naive_utc()),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Payments that fit the filter, newest first.
pub fn list(tx: &mut Tx<'_>, filter: &PaymentFilter, page: &Page<PaymentId>) -> Result<Vec<Payment>> {
    let Some(account_id) = &filter.account_id else { return select(tx, filter, page, None) };
    let keys = payer_keys::ids_of_account(tx, account_id)?;
    let mut found = if keys.is_empty() { Vec::new() } else { select(tx, filter, page, Some(Account::Keys(keys)))? };
    // Two questions, each answered by its own index; the second finds what was written before payers had keys.
    let hashes = payer_keys::account_hashes(tx.vault, account_id);
    found.extend(select(tx, filter, page, Some(Account::Hashes(hashes)))?);
    found.sort_by(|one, other| other.id.cmp(&one.id));
    found.truncate(usize::try_from(page.limit).unwrap_or(0));
    Ok(found)
}

/// Puts a payment that was written before payers had keys under a key. Whether there was something to do.
pub(super) fn give_key(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    let id = PaymentId::from_stored(id.to_owned());
    let payment = hold(tx, &id)?;
    if payer_keys::of_payment(tx, &id)?.key_id.is_some() {
        return Ok(false);
    }
    let payer = payer_keys::of_new_payment(tx, &payment)?;
    let sealed = to_row(&payment, &payer, tx.vault);
    let changed = diesel::update(payments::table.find(id.as_str()))
        .filter(payments::payer_key_id.is_null())
        .set((
            payments::payer_key_id.eq(sealed.payer_key_id),
            payments::payer.eq(sealed.payer),
            payments::three_ds.eq(sealed.three_ds),
            payments::description.eq(sealed.description),
            payments::metadata.eq(sealed.metadata),
            payments::return_url.eq(sealed.return_url),
            payments::account_hash.eq(sealed.account_hash),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// How the payments of an account are found.
enum Account {
    /// By the payer's keys.
    Keys(Vec<String>),
    /// By the hash in the payment.
    Hashes(Vec<String>),
}

fn select(
    tx: &mut Tx<'_>,
    filter: &PaymentFilter,
    page: &Page<PaymentId>,
    account: Option<Account>,
) -> Result<Vec<Payment>> {
    let mut query = payments::table.select(with_key!()).into_boxed();
    match account {
        Some(Account::Keys(keys)) => query = query.filter(payments::payer_key_id.eq_any(keys)),
        Some(Account::Hashes(hashes)) => query = query.filter(payments::account_hash.eq_any(hashes)),
        None => {}
    }
    if let Some(invoice_id) = &filter.invoice_id {
        query = query.filter(payments::invoice_id.eq(invoice_id.clone()));
    }
    if let Some(status) = filter.status {
        query = query.filter(payments::status.eq(status.as_str()));
    }
    if let Some(transaction_id) = filter.transaction_id {
        let owners = transactions::table
            .filter(transactions::transaction_id.eq(transaction_id))
            .select(transactions::payment_id);
        query = query.filter(payments::id.eq_any(owners));
    }
    if let Some(from) = filter.created_from {
        query = query.filter(payments::created_at.ge(from.naive_utc()));
    }
    if let Some(to) = filter.created_to {
        query = query.filter(payments::created_at.lt(to.naive_utc()));
    }
    if let Some(before) = &page.before {
        query = query.filter(payments::id.lt(before.as_str().to_owned()));
    }
    let rows = query.order(payments::id.desc()).limit(page.limit).load::<Found>(tx.db())?;
    rows.into_iter().map(|found| from_row(found, tx.vault)).collect()
}

/// Payments that nobody paid until `now`, longest waiting first, and until when they could be paid; those that were put off
/// wait from their new moment on. Only their ids: a key that does not open is no reason to end none of the others.
pub fn due_to_expire(tx: &mut Tx<'_>, now: Timestamp, limit: i64) -> Result<Vec<(PaymentId, Timestamp)>> {
    let rows: Vec<(String, NaiveDateTime)> = payments::table
        // Word for word the condition of the index payments_open.
        .filter(diesel::dsl::sql::<Bool>("status IN ('awaiting_payer', 'awaiting_authentication')"))
        // One with money that does not fit waits for a person, not for the clock.
        .filter(payments::attention.is_null())
        .filter(payments::expires_at.le(now.naive_utc()))
        .filter(payments::expiry_due_at.is_null().or(payments::expiry_due_at.le(now.naive_utc())))
        .order(diesel::dsl::sql::<diesel::sql_types::Timestamp>("coalesce(expiry_due_at, expires_at)"))
        .limit(limit)
        .select((payments::id, payments::expires_at))
        .load(tx.db())?;
    Ok(rows.into_iter().map(|(id, expires_at)| (PaymentId::from_stored(id), moment(expires_at))).collect())
}

/// Nobody looks before `until` whether the payment is to be ended. Says when to work, and nothing about the payment itself,
/// so it needs no row of the history.
pub fn put_off_expiry(tx: &mut Tx<'_>, id: &PaymentId, until: Timestamp) -> Result<()> {
    diesel::update(payments::table.find(id.as_str()))
        .set(payments::expiry_due_at.eq(Some(until.naive_utc())))
        .execute(tx.db())?;
    Ok(())
}

fn to_row(payment: &Payment, payer: &PayerKey, vault: &Vault) -> Row {
    Row {
        id: payment.id.to_string(),
        sequence: payment.sequence,
        status: payment.status.as_str().to_owned(),
        decide_by: payment.decide_by.map(Timestamp::naive_utc),
        currency: payment.currency().code().to_owned(),
        amount: payment.amount.minor,
        authorized: payment.sums.authorized,
        captured: payment.sums.captured,
        refunded: payment.sums.refunded,
        refund_pending: payment.sums.refund_pending,
        refund_excess: payment.sums.refund_excess,
        invoice_id: payment.invoice_id.clone(),
        account_hash: None,
        description: String::new(),
        capture_mode: payment.capture.as_str().to_owned(),
        language: payment.language.as_str().to_owned(),
        method: payment.method.as_str().to_owned(),
        return_url: None,
        metadata: String::new(),
        payer: payer.seal(vault, &context(&payment.id, "payer"), &personal_to_json(payment)).unwrap_or_default(),
        three_ds: payment.three_ds.as_ref().and_then(|three_ds| seal_three_ds(&payment.id, three_ds, payer, vault)),
        attention: payment.attention.clone(),
        test_mode: payment.test_mode,
        created_by: payment.created_by.to_string(),
        created_at: payment.created_at.naive_utc(),
        updated_at: payment.updated_at.naive_utc(),
        expires_at: payment.expires_at.naive_utc(),
        attention_raised: marks_to_text(&payment.attention_raised),
        payer_key_id: payer.key_id.clone(),
    }
}

/// One a line: a mark is made of a code, ids and sums.
fn marks_to_text(marks: &[String]) -> Option<String> {
    (!marks.is_empty()).then(|| marks.join("\n"))
}

/// Reads one payment, and keeps its payer's key at hand for what the transaction will seal.
fn read_one(tx: &mut Tx<'_>, (row, wrapped): Found) -> Result<Payment> {
    let payer = PayerKey::from_columns(tx.vault, row.payer_key_id.clone(), wrapped.as_deref())?;
    let payment = from_columns(row, &payer, tx.vault)?;
    payer_keys::remember(tx, &payment.id, payer);
    Ok(payment)
}

fn from_row((row, wrapped): Found, vault: &Vault) -> Result<Payment> {
    let payer = PayerKey::from_columns(vault, row.payer_key_id.clone(), wrapped.as_deref())?;
    from_columns(row, &payer, vault)
}

fn from_columns(row: Row, payer: &PayerKey, vault: &Vault) -> Result<Payment> {
    let id = PaymentId::from_stored(row.id);
    let personal = match payer.open(vault, &context(&id, "payer"), &row.payer)? {
        Some(plain) => json_of(&context(&id, "payer"), &plain)?,
        None => Value::Null,
    };
    let three_ds = match row.three_ds {
        Some(sealed) => payer
            .open(vault, &context(&id, "three_ds"), &sealed)?
            .map(|plain| json_of(&context(&id, "three_ds"), &plain))
            .transpose()?,
        None => None,
    };
    Ok(Payment {
        sequence: row.sequence,
        status: known("payments.status", Status::parse(&row.status))?,
        certainty: if row.decide_by.is_some() { Certainty::Undetermined } else { Certainty::Proven },
        decide_by: row.decide_by.map(moment),
        amount: Money::new(row.amount, currency(&row.currency)?),
        sums: Sums {
            authorized: row.authorized,
            captured: row.captured,
            refunded: row.refunded,
            refund_pending: row.refund_pending,
            refund_excess: row.refund_excess,
        },
        invoice_id: row.invoice_id,
        description: text(&personal, "description").unwrap_or(row.description),
        capture: known("payments.capture_mode", CaptureMode::parse(&row.capture_mode))?,
        language: known("payments.language", Language::parse(&row.language))?,
        method: known("payments.method", Method::parse(&row.method))?,
        return_url: text(&personal, "return_url").or(row.return_url),
        metadata: text(&personal, "metadata").unwrap_or(row.metadata),
        payer: payer_from_json(&personal),
        erased: personal == Value::Null,
        three_ds: three_ds.as_ref().and_then(three_ds_from_json),
        attention: row.attention,
        attention_raised: row.attention_raised.iter().flat_map(|text| text.lines()).map(str::to_owned).collect(),
        test_mode: row.test_mode,
        created_by: ApiKeyId::from_stored(row.created_by),
        created_at: moment(row.created_at),
        updated_at: moment(row.updated_at),
        expires_at: moment(row.expires_at),
        id,
    })
}

fn context(id: &PaymentId, column: &str) -> String {
    format!("payments/{column}/{id}")
}

fn json_of(context: &str, plain: &[u8]) -> Result<Value> {
    serde_json::from_slice(plain).map_err(|error| Error::internal(format!("{context}: {error}")))
}

/// All of a payment that may tell of a person.
fn personal_to_json(payment: &Payment) -> Vec<u8> {
    let payer = &payment.payer;
    let personal = json!({
        "account_id": payer.account_id, "email": payer.email, "phone": payer.phone, "name": payer.name,
        "ip_address": payer.ip_address, "description": payment.description, "metadata": payment.metadata,
        "return_url": payment.return_url,
    });
    personal.to_string().into_bytes()
}

fn payer_from_json(value: &Value) -> Payer {
    Payer {
        account_id: text(value, "account_id"),
        email: text(value, "email"),
        phone: text(value, "phone"),
        name: text(value, "name"),
        ip_address: text(value, "ip_address"),
    }
}

fn seal_three_ds(id: &PaymentId, three_ds: &ThreeDs, payer: &PayerKey, vault: &Vault) -> Option<Vec<u8>> {
    let value =
        json!({ "transaction_id": three_ds.transaction_id, "acs_url": three_ds.acs_url, "pa_req": three_ds.pa_req });
    payer.seal(vault, &context(id, "three_ds"), value.to_string().as_bytes())
}

fn three_ds_from_json(value: &Value) -> Option<ThreeDs> {
    Some(ThreeDs {
        transaction_id: value.get("transaction_id").and_then(Value::as_i64)?,
        acs_url: text(value, "acs_url")?,
        pa_req: text(value, "pa_req")?,
    })
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

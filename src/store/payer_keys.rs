//! The data keys of payers: what a payer's personal data is sealed by, and what is destroyed to erase it.
//!
//! No key is kept in memory beyond the transaction that uses it: its row has to be read in any case, so that a key which
//! another process destroyed is never used again, and opening it is cheap beside that.

use std::collections::HashMap;
use std::rc::Rc;

use diesel::prelude::*;

use super::conn::DbConn;
use super::schema::{payer_keys, payments};
use super::types::{NaiveDateTime, known};
use super::{Tx, rotation};
use crate::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::domain::payment::Payment;
use crate::error::{Error, Result};
use crate::vault::{self, DataKey, Vault};

/// The payers of payments that a transaction has met: the payment is read with its key, so sealing needs no statement.
#[derive(Default)]
pub(super) struct Met(HashMap<PaymentId, Rc<Payer>>);

/// What seals and opens the personal data of one payer.
#[derive(Debug)]
pub(super) struct Payer {
    /// The row of the key; `None` for what was written before payers had keys.
    pub(super) key_id: Option<String>,
    seal: Seal,
}

#[derive(Debug)]
enum Seal {
    /// The vault itself.
    Vault,
    Key(DataKey),
    /// A key that was destroyed.
    Erased,
}

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = payer_keys)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) account_hash: Option<String>,
    pub(super) account: Option<Vec<u8>>,
    pub(super) wrapped_key: Option<Vec<u8>>,
    pub(super) created_at: NaiveDateTime,
}

/// What a change of keys makes anew.
#[derive(Queryable, Selectable)]
#[diesel(table_name = payer_keys)]
struct Kept {
    account_hash: Option<String>,
    account: Option<Vec<u8>>,
    wrapped_key: Option<Vec<u8>>,
}

impl Payer {
    /// From the columns of a row: the id of its key, and the key, which is absent when it was destroyed.
    pub(super) fn from_columns(vault: &Vault, key_id: Option<String>, wrapped: Option<&[u8]>) -> Result<Payer> {
        let seal = match (&key_id, wrapped) {
            (None, _) => Seal::Vault,
            (Some(_), None) => Seal::Erased,
            (Some(id), Some(wrapped)) => Seal::Key(
                vault
                    .open_data_key(&key_context(id), wrapped)
                    .map_err(|error| Error::KeyMissing(format!("payer_keys.wrapped_key of {id}: {error}")))?,
            ),
        };
        Ok(Payer { key_id, seal })
    }

    /// Whether the payer's data was erased: then nothing opens, and nothing more is kept.
    pub(super) fn is_erased(&self) -> bool {
        matches!(self.seal, Seal::Erased)
    }

    /// The sealed value; `None` for an erased payer.
    pub(super) fn seal(&self, vault: &Vault, context: &str, plain: &[u8]) -> Option<Vec<u8>> {
        match &self.seal {
            Seal::Vault => Some(vault.seal(context, plain)),
            Seal::Key(key) => Some(key.seal(context, plain)),
            Seal::Erased => None,
        }
    }

    /// The value; `None` for an erased payer, and for what was removed of one: whoever waited for the row may still see the
    /// key of before.
    pub(super) fn open(&self, vault: &Vault, context: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        let opened = match &self.seal {
            Seal::Erased => return Ok(None),
            _ if sealed.is_empty() => return Ok(None),
            Seal::Key(key) if !vault::is_sealed_by_vault(sealed) => key.open(context, sealed),
            // Written before payers had keys, and not moved yet.
            Seal::Key(_) | Seal::Vault => vault.open(context, sealed),
        };
        opened.map(Some).map_err(|error| Error::internal(format!("{context}: {error}")))
    }
}

/// The payer of a new payment: of its account where that is known, else a new one. One statement, or two for an account's
/// first payment.
pub(super) fn of_new_payment(tx: &mut Tx<'_>, payment: &Payment) -> Result<Rc<Payer>> {
    let account = payment.payer.account_id.as_deref();
    let payer = match account.map(|account| find_account(tx, account)).transpose()?.flatten() {
        Some(known) => known,
        None => create(tx, payment.id.as_str(), account, payment.created_at)?,
    };
    Ok(remember(tx, &payment.id, payer))
}

/// The payer of a payment that is there.
pub(super) fn of_payment(tx: &mut Tx<'_>, id: &PaymentId) -> Result<Rc<Payer>> {
    if let Some(payer) = tx.met.0.get(id) {
        return Ok(Rc::clone(payer));
    }
    let key_id: Option<String> =
        payments::table.find(id.as_str()).select(payments::payer_key_id).get_result(tx.db())?;
    let payer = with_key(tx, key_id)?;
    Ok(remember(tx, id, payer))
}

/// The payer with this key.
pub(super) fn with_key(tx: &mut Tx<'_>, key_id: Option<String>) -> Result<Payer> {
    let wrapped = key_id.as_ref().map(|id| wrapped_key(tx, id)).transpose()?.flatten();
    Payer::from_columns(tx.vault, key_id, wrapped.as_deref())
}

/// A key as it is kept; `None` when it was destroyed.
pub(super) fn wrapped_key(tx: &mut Tx<'_>, id: &str) -> Result<Option<Vec<u8>>> {
    let found = payer_keys::table.find(id).select(payer_keys::wrapped_key).get_result(tx.db()).optional()?;
    Ok(found.flatten())
}

/// Whether a key as it is kept opens, and with it its account, which is found by this hash.
pub(super) fn opens(vault: &Vault, id: &str, wrapped: &[u8], account: Option<(&[u8], &str)>) -> bool {
    let Ok(key) = vault.open_data_key(&key_context(id), wrapped) else { return false };
    let Some((sealed, hash)) = account else { return true };
    let account = key.open(&account_context(id), sealed).ok().and_then(|plain| String::from_utf8(plain).ok());
    account.is_some_and(|account| account_hashes(vault, &account).iter().any(|known| known == hash))
}

/// Whether a key as it is kept, or its account, opens with none of the keys of the vault. [`rotate`] stops there.
pub(super) fn is_lost(vault: &Vault, id: &str, wrapped: &[u8], account: Option<&[u8]>) -> bool {
    match vault.open_data_key(&key_context(id), wrapped) {
        Ok(key) => account.is_some_and(|sealed| key.open(&account_context(id), sealed).is_err()),
        Err(_) => true,
    }
}

/// Keeps the payer of a payment that was just read, for as long as the transaction lasts.
pub(super) fn remember(tx: &mut Tx<'_>, id: &PaymentId, payer: Payer) -> Rc<Payer> {
    let payer = Rc::new(payer);
    tx.met.0.insert(id.clone(), Rc::clone(&payer));
    payer
}

/// The key of an account, held against erasure until the transaction ends.
pub(super) fn find_account(tx: &mut Tx<'_>, account: &str) -> Result<Option<Payer>> {
    let query = payer_keys::table
        .filter(payer_keys::account_hash.eq_any(account_hashes(tx.vault, account)))
        // Not the key of a notification without a payment, which ends with it.
        .filter(payer_keys::id.ge(PaymentId::PREFIX))
        .order(payer_keys::id.asc())
        .limit(1)
        .select((payer_keys::id, payer_keys::wrapped_key));
    let found: Option<(String, Option<Vec<u8>>)> = match tx.db() {
        DbConn::Postgres(conn) => query.for_key_share().get_result(conn).optional()?,
        DbConn::Sqlite(conn) => query.get_result(conn).optional()?,
    };
    found.map(|(id, wrapped)| Payer::from_columns(tx.vault, Some(id), wrapped.as_deref())).transpose()
}

/// The keys of an account, by their ids: those of notifications that belong to no payment, then those of its payments.
pub(super) fn ids_of_account(tx: &mut Tx<'_>, account: &str) -> Result<Vec<String>> {
    let ids = payer_keys::table
        .filter(payer_keys::account_hash.eq_any(account_hashes(tx.vault, account)))
        .order(payer_keys::id.asc())
        .select(payer_keys::id)
        .load(tx.db())?;
    Ok(ids)
}

/// A new key, named after the payment or notification it is made for.
pub(super) fn create(tx: &mut Tx<'_>, id: &str, account: Option<&str>, at: Timestamp) -> Result<Payer> {
    let (key, wrapped) = tx.vault.new_data_key(&key_context(id));
    let row = Row {
        id: id.to_owned(),
        account_hash: account.map(|account| tx.vault.search_hash(ACCOUNT, account)),
        account: account.map(|account| key.seal(&account_context(id), account.as_bytes())),
        wrapped_key: Some(wrapped),
        created_at: at.naive_utc(),
    };
    diesel::insert_into(payer_keys::table).values(row).execute(tx.db())?;
    Ok(Payer { key_id: Some(id.to_owned()), seal: Seal::Key(key) })
}

/// Ends a key that was made for a notification alone.
pub(super) fn delete_own(tx: &mut Tx<'_>, notification_id: &str) -> Result<()> {
    diesel::delete(payer_keys::table.find(notification_id)).execute(tx.db())?;
    Ok(())
}

/// Wraps a key with the current key of the vault and makes the account's hash anew. Whether there was something to do.
pub(super) fn rotate(tx: &mut Tx<'_>, id: &str) -> Result<bool> {
    let row: Option<Kept> = payer_keys::table.find(id).select(Kept::as_select()).get_result(tx.db()).optional()?;
    let Some(Kept { account_hash: hash, account, wrapped_key: Some(wrapped) }) = row else { return Ok(false) };
    let context = key_context(id);
    let rewrapped = tx.vault.reseal(&context, &wrapped).map_err(|_| rotation::cannot_open(&context))?;
    let key = tx.vault.open_data_key(&context, &wrapped).map_err(|_| rotation::cannot_open(&context))?;
    let account = account.map(|sealed| key.open(&account_context(id), &sealed)).transpose();
    let account = account.map_err(|_| rotation::cannot_open(&account_context(id)))?;
    let new_hash = account.map(|account| tx.vault.search_hash(ACCOUNT, &String::from_utf8_lossy(&account)));
    if rewrapped.is_none() && new_hash == hash {
        return Ok(false);
    }
    // One that was erased meanwhile stays erased.
    let changed = diesel::update(payer_keys::table.find(id))
        .filter(payer_keys::wrapped_key.eq(&wrapped))
        .set((
            payer_keys::wrapped_key.eq(Some(rewrapped.as_ref().unwrap_or(&wrapped))),
            payer_keys::account_hash.eq(new_hash),
        ))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// What the vault itself sealed for a payment, because it had no key yet, sealed anew by the key of its payer. `None` when
/// there is nothing to do; what is left of an erased payer is removed by its erasure.
pub(super) fn take_over(
    tx: &mut Tx<'_>,
    payment_id: &PaymentId,
    context: &str,
    sealed: &[u8],
) -> Result<Option<Vec<u8>>> {
    if !vault::is_sealed_by_vault(sealed) {
        return Ok(None);
    }
    let plain = tx.vault.open(context, sealed).map_err(|_| rotation::cannot_open(context))?;
    Ok(of_payment(tx, payment_id)?.seal(tx.vault, context, &plain))
}

/// A text of a payment as it should be kept: sealed by the key of its payer. `plain` and `sealed` are how it is kept now:
/// in the open by an earlier version, or sealed. `None` when there is nothing to do, as for an erased payer.
pub(super) fn sealed_anew(
    tx: &mut Tx<'_>,
    payment_id: &PaymentId,
    context: &str,
    plain: Option<&str>,
    sealed: Option<&[u8]>,
) -> Result<Option<Vec<u8>>> {
    match (plain, sealed) {
        (_, Some(sealed)) => take_over(tx, payment_id, context, sealed),
        (Some(plain), None) => Ok(of_payment(tx, payment_id)?.seal(tx.vault, context, plain.as_bytes())),
        (None, None) => Ok(None),
    }
}

/// A text about a payment, sealed by the key of its payer; `None` for an erased payer.
pub(super) fn seal_text(
    tx: &mut Tx<'_>,
    payment_id: &PaymentId,
    context: &str,
    text: Option<&str>,
) -> Result<Option<Vec<u8>>> {
    let Some(text) = text else { return Ok(None) };
    Ok(of_payment(tx, payment_id)?.seal(tx.vault, context, text.as_bytes()))
}

/// What [`seal_text`] made; `None` for an erased payer.
pub(super) fn open_text(
    tx: &mut Tx<'_>,
    payment_id: &PaymentId,
    context: &str,
    sealed: Option<&[u8]>,
) -> Result<Option<String>> {
    let Some(sealed) = sealed else { return Ok(None) };
    let plain = of_payment(tx, payment_id)?.open(tx.vault, context, sealed)?;
    plain.map(|plain| known(context, String::from_utf8(plain).ok())).transpose()
}

const ACCOUNT: &str = "account_id";

/// The hashes under which an account may be stored, before and after a change of keys.
pub(super) fn account_hashes(vault: &Vault, account: &str) -> Vec<String> {
    vault.search_hashes(ACCOUNT, account)
}

fn key_context(id: &str) -> String {
    format!("payer_keys/wrapped_key/{id}")
}

fn account_context(id: &str) -> String {
    format!("payer_keys/account/{id}")
}

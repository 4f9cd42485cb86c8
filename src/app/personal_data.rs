//! Erasing a payer, showing all that is held about one, and removing what is left of erased ones.

use super::closed_keys::refuse_closed;
use super::conclude::Keyed;
use super::idempotent::{self, Repeat};
use super::{
    Access, Answer, App, Caller, Erasure, Idempotency, Listing, Page, PayerExport, PayerRecord, PaymentFilter,
    StoredNotification, Whose,
};
use crate::clock::Timestamp;
use crate::domain::id::{AccessId, ErasureId, PaymentId};
use crate::domain::payment::Payment;
use crate::error::{Conflict, Error, Result};
use crate::store::personal_data::{ErasedBy, PayerOf};
use crate::store::{
    Lane, Tx, discrepancies, idempotency, notifications, operations, payments, personal_data, refunds, transitions,
};

/// Payments from which an erased payer is removed in one transaction.
const CLEAN_BATCH: i64 = 100;
/// Transactions of one step.
const CLEAN_BATCHES: usize = 50;
const CLEAN_LIMIT: i64 = 20;

impl App {
    /// Erases all personal data of a payer: the key is destroyed in one transaction, what is left is removed after it.
    ///
    /// # Errors
    /// Conflict while a payment of the payer is not over: its payer is still needed; and as for [`App::export_payer`]. A key that
    /// does not open is destroyed like any other, but an account of which another one may be is not called erased.
    pub async fn erase_payer(&self, caller: &Caller, idempotency: Idempotency, whose: Whose) -> Result<Answer> {
        let now = self.now();
        let id = ErasureId::generate(now, self.parts.ids.as_ref());
        let present = std::sync::Arc::clone(&self.parts.present);
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: false };
        let closed = self.closed_keys_that_may_hide(&whose).await?;
        let lane = Lane::of(&keyed.idempotency.key);
        let answer = self
            .parts
            .store
            .write(lane, move |tx| {
                match idempotent::claim(tx, &keyed, None, id.as_str(), None, now, 0)? {
                    None => {}
                    Some(Repeat::Answered(stored)) => {
                        refuse_other_account(tx, &whose)?;
                        return Ok(Answer { stored, replayed: true });
                    }
                    // An erasure has its answer at once: this was another request, of a payer who is erased.
                    Some(Repeat::Live(_)) => return Err(Error::IdempotencyKeyReused),
                }
                let payers = match &whose {
                    Whose::Account(account) => personal_data::hold_account(tx, account)?,
                    Whose::Payment(id) => payer_of(tx, id)?.into_iter().collect(),
                };
                // A key that does not open may be of this account, which then is not found by its hash.
                refuse_closed(&closed.iter().filter(|id| !payers.contains(id)).cloned().collect::<Vec<_>>())?;
                refuse_while_needed(tx, &whose, &payers)?;
                let empty = Erasure { id: id.clone(), at: now, payers: 0, payments: 0, notifications: 0 };
                let erasure = personal_data::erase(tx, &payers, ErasedBy::Caller(&keyed.caller), empty)?;
                let stored = present.erasure(&erasure);
                idempotency::finish(tx, &keyed.caller, &keyed.idempotency, None, &stored)?;
                if matches!(whose, Whose::Account(_)) {
                    idempotency::forget_account(tx, &keyed.caller, &keyed.idempotency)?;
                }
                Ok(Answer { stored, replayed: false })
            })
            .await?;
        if let Err(error) = self.clean_step().await {
            tracing::warn!(%error, ?error, "what is left of an erased payer is removed by the worker");
        }
        Ok(answer)
    }

    /// All that is held about a payer, newest payment first. That it was read is recorded in the same transaction.
    ///
    /// # Errors
    /// Of a payment: [`Error::NotFound`]; conflict when it names an account, by which all of the payer is found. Of an account:
    /// [`Error::KeyMissing`] while a key does not open.
    pub async fn export_payer(&self, caller: &Caller, whose: Whose, page: Page<PaymentId>) -> Result<PayerExport> {
        let now = self.now();
        let access_id = AccessId::generate(now, self.parts.ids.as_ref());
        let (caller, lane) = (caller.clone(), Lane::of(access_id.as_str()));
        refuse_closed(&self.closed_keys_that_may_hide(&whose).await?)?;
        self.parts
            .store
            .write(lane, move |tx| {
                let held = match &whose {
                    Whose::Account(account) => held_of_account(tx, account, &page)?,
                    Whose::Payment(id) => held_of_payment(tx, id)?,
                };
                personal_data::record_access(tx, &access_id, &caller, &Access::Export { payer: held.payer }, now)?;
                let found = held.payments;
                let items =
                    found.items.into_iter().map(|payment| record_of(tx, payment, now)).collect::<Result<_>>()?;
                Ok(PayerExport { records: Listing { items, more: found.more }, unmatched: held.unmatched })
            })
            .await
    }

    /// Of a payment it is known which key is its payer's.
    async fn closed_keys_that_may_hide(&self, whose: &Whose) -> Result<Vec<String>> {
        match whose {
            Whose::Account(_) => self.closed_keys().await,
            Whose::Payment(_) => Ok(Vec::new()),
        }
    }

    /// Removes what is left of erased payers from tables and files. Returns how many payments and payers it came to.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn clean_step(&self) -> Result<usize> {
        let payers = self.parts.store.read(|tx| personal_data::to_clean(tx, CLEAN_LIMIT)).await?;
        let mut done = 0;
        for _ in 0..CLEAN_BATCHES {
            let wanted = payers.clone();
            let cleaned = self
                .parts
                .store
                .write(Lane::of("clean"), move |tx| {
                    for payer in &wanted {
                        let cleaned = personal_data::clean(tx, payer, CLEAN_BATCH)?;
                        if cleaned > 0 {
                            return Ok(cleaned);
                        }
                    }
                    Ok(0)
                })
                .await?;
            done += cleaned;
            if cleaned == 0 {
                return self.forget(payers).await.map(|payers| payers + done);
            }
        }
        Ok(done)
    }

    /// The tables are clean; now the files.
    async fn forget(&self, payers: Vec<String>) -> Result<usize> {
        if payers.is_empty() {
            return Ok(0);
        }
        self.parts.store.forget_deleted().await?;
        let (count, now) = (payers.len(), self.now());
        self.parts.store.write(Lane::of("clean"), move |tx| personal_data::mark_cleaned(tx, &payers, now)).await?;
        self.parts.metrics.worker("clean", count);
        Ok(count)
    }
}

/// What is held about a payer.
struct Held {
    /// The payer's key, or the last one.
    payer: Option<String>,
    payments: Listing<Payment>,
    /// Notifications that name the account and belong to no payment.
    unmatched: Vec<StoredNotification>,
}

fn held_of_account(tx: &mut Tx<'_>, account: &str, page: &Page<PaymentId>) -> Result<Held> {
    let payers = personal_data::keys_of_account(tx, account)?;
    let unmatched = match page.before {
        None => notifications::unmatched_of_account(tx, &payers)?,
        Some(_) => Vec::new(),
    };
    let filter = PaymentFilter { account_id: Some(account.to_owned()), ..PaymentFilter::default() };
    let wanted = Page { before: page.before.clone(), limit: page.limit + 1 };
    let payments = super::read::cut(payments::list(tx, &filter, &wanted)?, page.limit);
    Ok(Held { payer: payers.last().cloned(), payments, unmatched })
}

fn held_of_payment(tx: &mut Tx<'_>, id: &PaymentId) -> Result<Held> {
    let payer = payer_of(tx, id)?;
    let items = if payer.is_some() { vec![payments::get(tx, id)?] } else { Vec::new() };
    Ok(Held { payer, payments: Listing { items, more: false }, unmatched: Vec::new() })
}

/// The key of a payer without an account, held until the transaction ends; `None` of one who is erased.
fn payer_of(tx: &mut Tx<'_>, id: &PaymentId) -> Result<Option<String>> {
    match personal_data::hold_payer_of(tx, id)? {
        PayerOf::Nobody => Err(Error::NotFound("payment")),
        PayerOf::NoKey => Err(keys_not_rotated()),
        PayerOf::Account => Err(Error::conflict(
            Conflict::InvalidState,
            "this payment names an account; all of its payer is shown and erased with \
             /v1/payers/{account_id}/personal-data",
        )),
        PayerOf::Erased => Ok(None),
        PayerOf::Key(key) => Ok(Some(key)),
    }
}

fn keys_not_rotated() -> Error {
    Error::conflict(
        Conflict::KeysNotRotated,
        "an earlier version wrote some of this payer's data without a key of its own; \
         run `kmic-payments keys rotate-encryption`, then repeat",
    )
}

/// No fingerprint tells whom an answered erasure was about. Who is held now was not erased by it.
fn refuse_other_account(tx: &mut Tx<'_>, whose: &Whose) -> Result<()> {
    let Whose::Account(account_id) = whose else { return Ok(()) };
    let is_held = !personal_data::keys_of_account(tx, account_id)?.is_empty()
        || personal_data::has_payments_without_key(tx, account_id)?;
    if is_held { Err(Error::IdempotencyKeyReused) } else { Ok(()) }
}

fn refuse_while_needed(tx: &mut Tx<'_>, whose: &Whose, payers: &[String]) -> Result<()> {
    if let Whose::Account(account_id) = whose
        && personal_data::has_payments_without_key(tx, account_id)?
    {
        return Err(keys_not_rotated());
    }
    let unfinished = personal_data::unfinished_payments(tx, payers)?;
    if unfinished > 0 {
        return Err(Error::conflict(
            Conflict::PayerInUse,
            format!(
                "{unfinished} payment(s) of this payer are not over yet; nothing was erased; cancel or finish them (those of \
                 an account are listed by GET /v1/payments?account_id=…), then repeat"
            ),
        ));
    }
    Ok(())
}

fn record_of(tx: &mut Tx<'_>, payment: Payment, now: Timestamp) -> Result<PayerRecord> {
    let refunds = refunds::of_payment(tx, &payment.id)?;
    let approvals = super::approvals::of_payment(tx, &payment.id, now)?;
    let notifications = notifications::of_payment(tx, &payment.id)?;
    let provider_messages = operations::words_of_payment(tx, &payment.id)?;
    let resolutions = transitions::words_of_payment(tx, &payment.id)?;
    let discrepancies = discrepancies::of_payment(tx, &payment.id)?;
    let details = super::read::with_transactions(tx, payment)?;
    Ok(PayerRecord { details, refunds, approvals, notifications, provider_messages, resolutions, discrepancies })
}

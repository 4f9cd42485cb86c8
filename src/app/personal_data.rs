//! Erasing a payer, showing all that is held about one, and removing what is left of erased ones.

use super::conclude::Keyed;
use super::idempotent::{self, Repeat};
use super::{
    Access, Answer, App, Caller, Erasure, Idempotency, Listing, Page, PayerExport, PayerRecord, PaymentFilter,
};
use crate::clock::Timestamp;
use crate::domain::id::{AccessId, ErasureId, PaymentId};
use crate::error::{Conflict, Error, Result};
use crate::store::{Lane, Tx, discrepancies, idempotency, notifications, operations, payments, personal_data, refunds};

/// Payments from which an erased payer is removed in one transaction.
const CLEAN_BATCH: i64 = 100;
/// Transactions of one step.
const CLEAN_BATCHES: usize = 50;
const CLEAN_LIMIT: i64 = 20;

impl App {
    /// Erases all personal data of an account: its key is destroyed in one transaction, what is left is removed after it.
    ///
    /// # Errors
    /// Conflict while a payment of the account is not over: its payer is still needed.
    pub async fn erase_payer(&self, caller: &Caller, idempotency: Idempotency, account_id: String) -> Result<Answer> {
        let now = self.now();
        let id = ErasureId::generate(now, self.parts.ids.as_ref());
        let present = std::sync::Arc::clone(&self.parts.present);
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: false };
        let lane = Lane::of(&keyed.idempotency.key);
        let answer = self
            .parts
            .store
            .write(lane, move |tx| {
                match idempotent::claim(tx, &keyed, None, id.as_str(), None, now, 0)? {
                    None => {}
                    Some(Repeat::Answered(stored)) => {
                        refuse_other_account(tx, &account_id)?;
                        return Ok(Answer { stored, replayed: true });
                    }
                    // An erasure has its answer at once: this was another request, of a payer who is erased.
                    Some(Repeat::Live(_)) => return Err(Error::IdempotencyKeyReused),
                }
                let payers = personal_data::hold_account(tx, &account_id)?;
                refuse_while_needed(tx, &account_id, &payers)?;
                let empty = Erasure { id: id.clone(), at: now, payers: 0, payments: 0, notifications: 0 };
                let erasure = personal_data::erase(tx, &payers, Some(&keyed.caller), empty)?;
                let stored = present.erasure(&erasure);
                idempotency::finish(tx, &keyed.caller, &keyed.idempotency, None, &stored)?;
                idempotency::forget_account(tx, &keyed.caller, &keyed.idempotency)?;
                Ok(Answer { stored, replayed: false })
            })
            .await?;
        if let Err(error) = self.clean_step().await {
            tracing::warn!(%error, ?error, "what is left of an erased payer is removed by the worker");
        }
        Ok(answer)
    }

    /// All that is held about an account, newest payment first. That it was read is recorded in the same transaction.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn export_payer(
        &self,
        caller: &Caller,
        account_id: String,
        page: Page<PaymentId>,
    ) -> Result<PayerExport> {
        let now = self.now();
        let access_id = AccessId::generate(now, self.parts.ids.as_ref());
        let (caller, lane) = (caller.clone(), Lane::of(access_id.as_str()));
        self.parts
            .store
            .write(lane, move |tx| {
                let payers = personal_data::keys_of_account(tx, &account_id)?;
                let access = Access::Export { payer: payers.last().cloned() };
                personal_data::record_access(tx, &access_id, &caller, &access, now)?;
                let unmatched = match page.before {
                    None => notifications::unmatched_of_account(tx, &payers)?,
                    Some(_) => Vec::new(),
                };
                let filter = PaymentFilter { account_id: Some(account_id.clone()), ..PaymentFilter::default() };
                let wanted = Page { before: page.before.clone(), limit: page.limit + 1 };
                let found = super::read::cut(payments::list(tx, &filter, &wanted)?, page.limit);
                let items =
                    found.items.into_iter().map(|payment| record_of(tx, payment, now)).collect::<Result<_>>()?;
                Ok(PayerExport { records: Listing { items, more: found.more }, unmatched })
            })
            .await
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

/// No fingerprint tells whom an answered erasure was about. Who is held now was not erased by it.
fn refuse_other_account(tx: &mut Tx<'_>, account_id: &str) -> Result<()> {
    let is_held = !personal_data::keys_of_account(tx, account_id)?.is_empty()
        || personal_data::has_payments_without_key(tx, account_id)?;
    if is_held { Err(Error::IdempotencyKeyReused) } else { Ok(()) }
}

fn refuse_while_needed(tx: &mut Tx<'_>, account_id: &str, payers: &[String]) -> Result<()> {
    if personal_data::has_payments_without_key(tx, account_id)? {
        return Err(Error::conflict(
            Conflict::KeysNotRotated,
            "an earlier version wrote some of this payer's data without a key of its own; \
             run `kmic-payments keys rotate-encryption`, then repeat",
        ));
    }
    let unfinished = personal_data::unfinished_payments(tx, payers)?;
    if unfinished > 0 {
        return Err(Error::conflict(
            Conflict::PayerInUse,
            format!(
                "{unfinished} payment(s) of this payer are not over yet; nothing was erased; list them with \
                 GET /v1/payments?account_id=…, cancel or finish them, then repeat"
            ),
        ));
    }
    Ok(())
}

fn record_of(tx: &mut Tx<'_>, payment: crate::domain::payment::Payment, now: Timestamp) -> Result<PayerRecord> {
    let refunds = refunds::of_payment(tx, &payment.id)?;
    let approvals = super::approvals::of_payment(tx, &payment.id, now)?;
    let notifications = notifications::of_payment(tx, &payment.id)?;
    let provider_messages = operations::words_of_payment(tx, &payment.id)?;
    let discrepancies = discrepancies::of_payment(tx, &payment.id)?;
    let details = super::read::with_transactions(tx, payment)?;
    Ok(PayerRecord { details, refunds, approvals, notifications, provider_messages, discrepancies })
}

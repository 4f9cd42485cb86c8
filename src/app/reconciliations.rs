//! Asking for comparisons with the provider's register, and looking at what they found.

use std::sync::Arc;

use super::conclude::Keyed;
use super::idempotent::{self, Repeat};
use super::read::cut;
use super::{
    Answer, App, Caller, ChargebackFilter, DiscrepancyFilter, Idempotency, Listing, NewReconciliation, Page,
    ReconciliationDetails, StoredAnswer,
};
use crate::clock::Timestamp;
use crate::domain::id::{ChargebackId, DiscrepancyId, ReconciliationId};
use crate::domain::register::{Chargeback, Discrepancy, Purpose, Reconciliation};
use crate::error::{Conflict, Error, Result};
use crate::store::{Lane, Tx, chargebacks, discrepancies, idempotency, reconciliations};

/// So many runs may be under way that somebody asked for.
const MAX_REQUESTED: usize = 10;

impl App {
    /// Makes a run over a window that lies in the past; the part of it that the provider may still be working on is cut
    /// off.
    ///
    /// # Errors
    /// Invalid when nothing of the window is over; conflict when too many runs are under way.
    pub async fn create_reconciliation(
        &self,
        caller: &Caller,
        key: Idempotency,
        new: NewReconciliation,
    ) -> Result<Answer> {
        let now = self.now();
        let works_s = self.provider_works_s();
        let to = new.to.min(now.plus_seconds(-works_s));
        if to <= new.from {
            return Err(Error::invalid(
                "",
                "not_over_yet",
                format!(
                    "the provider may still be working on this window; ask again {works_s} seconds after its beginning"
                ),
            ));
        }
        let run = self.new_run(Purpose::Requested, new.from, to, caller.key_id.as_str());
        let (caller, present) = (caller.clone(), Arc::clone(&self.parts.present));
        let answer = self
            .parts
            .store
            .write(Lane::of(run.id.as_str()), move |tx| {
                if let Some(answer) = claimed_answer(tx, &caller, &key, run.id.as_str(), now)? {
                    return Ok(Answer { stored: answer, replayed: true });
                }
                let requested = |other: &&Reconciliation| other.purpose == Purpose::Requested;
                if reconciliations::running(tx)?.iter().filter(requested).count() >= MAX_REQUESTED {
                    return Err(Error::conflict(
                        Conflict::TooManyReconciliations,
                        format!("{MAX_REQUESTED} reconciliations are under way; wait until one is over"),
                    ));
                }
                reconciliations::insert(tx, &run)?;
                let stored = present.reconciliation(&details(tx, run.clone())?);
                idempotency::finish(tx, &caller, &key, None, &stored)?;
                Ok(Answer { stored, replayed: false })
            })
            .await?;
        Ok(answer)
    }

    /// One run.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn reconciliation(&self, id: ReconciliationId) -> Result<ReconciliationDetails> {
        self.parts
            .store
            .read(move |tx| {
                let run = reconciliations::get(tx, &id)?;
                details(tx, run)
            })
            .await
    }

    /// A stretch of the runs, newest first.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn list_reconciliations(&self, page: Page<ReconciliationId>) -> Result<Listing<ReconciliationDetails>> {
        self.parts
            .store
            .read(move |tx| {
                let one_more = Page { before: page.before.clone(), limit: page.limit + 1 };
                let mut listing = cut(reconciliations::list(tx, &one_more)?, page.limit);
                let items = listing.items.drain(..).map(|run| details(tx, run)).collect::<Result<_>>()?;
                Ok(Listing { items, more: listing.more })
            })
            .await
    }

    /// One discrepancy.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn discrepancy(&self, id: DiscrepancyId) -> Result<Discrepancy> {
        self.parts.store.read(move |tx| discrepancies::get(tx, &id)).await
    }

    /// Discrepancies that fit the filter, newest first.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn list_discrepancies(
        &self,
        filter: DiscrepancyFilter,
        page: Page<DiscrepancyId>,
    ) -> Result<Listing<Discrepancy>> {
        self.parts
            .store
            .read(move |tx| {
                let one_more = Page { before: page.before.clone(), limit: page.limit + 1 };
                Ok(cut(discrepancies::list(tx, &filter, &one_more)?, page.limit))
            })
            .await
    }

    /// Chargebacks that fit the filter, newest first.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn list_chargebacks(
        &self,
        filter: ChargebackFilter,
        page: Page<ChargebackId>,
    ) -> Result<Listing<Chargeback>> {
        self.parts
            .store
            .read(move |tx| {
                let one_more = Page { before: page.before.clone(), limit: page.limit + 1 };
                Ok(cut(chargebacks::list(tx, &filter, &one_more)?, page.limit))
            })
            .await
    }
}

/// A run with what it did.
fn details(tx: &mut Tx<'_>, run: Reconciliation) -> Result<ReconciliationDetails> {
    let findings = discrepancies::findings(tx, &run.id)?;
    Ok(ReconciliationDetails { run, findings })
}

/// The kept answer when the key was used for this request before. The work is written with its answer, so there is no
/// other case.
fn claimed_answer(
    tx: &mut Tx<'_>,
    caller: &Caller,
    key: &Idempotency,
    resource_id: &str,
    now: Timestamp,
) -> Result<Option<StoredAnswer>> {
    let keyed = Keyed { caller: caller.clone(), idempotency: key.clone(), creates: true };
    match idempotent::claim(tx, &keyed, None, resource_id, None, now, 0)? {
        None => Ok(None),
        Some(Repeat::Answered(answer)) => Ok(Some(answer)),
        Some(Repeat::Live(_)) => Err(Error::internal("an idempotency key without its answer")),
    }
}

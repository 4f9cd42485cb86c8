//! Asking for comparisons with the provider's register, and looking at what they found.

use std::sync::Arc;

use super::conclude::Keyed;
use super::idempotent::{self, Repeat};
use super::read::cut;
use super::record::{Note, Recorder};
use super::{
    Act, ActKind, Answer, App, Caller, ChargebackFilter, DiscrepancyFilter, Idempotency, Listing, NewReconciliation,
    Page, ReconciliationDetails, StoredAnswer,
};
use crate::clock::Timestamp;
use crate::domain::id::{ChargebackId, DiscrepancyId, EventId, PaymentId, ReconciliationId};
use crate::domain::payment::Payment;
use crate::domain::register::{Chargeback, Closing, Discrepancy, Purpose, Reconciliation, Resolution};
use crate::domain::state::CauseType;
use crate::error::{Conflict, Error, Result};
use crate::store::{Lane, Tx, chargebacks, discrepancies, events, idempotency, payments, reconciliations};

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

    /// A person settles a discrepancy: it counts as closed and is not opened again while both books say the same. The
    /// history of its payment says who; where there is no payment, an event does.
    ///
    /// # Errors
    /// [`Error::NotFound`]; conflict when it is closed already.
    pub async fn close_discrepancy(
        &self,
        caller: &Caller,
        key: Idempotency,
        id: DiscrepancyId,
        reason: String,
    ) -> Result<Answer> {
        let recorder = self.recorder(CauseType::Operator, caller.request_id.clone(), caller.key_id.as_str());
        let (now, event_id) = (recorder.at, EventId::generate(recorder.at, self.parts.ids.as_ref()));
        let (keyed, present) =
            (Keyed { caller: caller.clone(), idempotency: key, creates: false }, Arc::clone(&self.parts.present));
        let found = self.discrepancy(id.clone()).await?;
        // A row of a payment is written where all writes of the payment are.
        let lane = Lane::of(found.payment_id.as_ref().map_or(id.as_str(), PaymentId::as_str));
        self.parts
            .store
            .write(lane, move |tx| {
                let payment = match &found.payment_id {
                    Some(payment_id) => Some(payments::hold(tx, payment_id)?),
                    None => None,
                };
                match idempotent::claim(tx, &keyed, None, id.as_str(), None, now, 0)? {
                    None => {}
                    Some(Repeat::Answered(stored)) => return Ok(Answer { stored, replayed: true }),
                    // What is closed changes no more but for its reason, which is erased with the payer: no answer is kept.
                    Some(Repeat::Live(id)) => {
                        let closed = discrepancies::get(tx, &DiscrepancyId::from_stored(id))?;
                        return Ok(Answer { stored: present.discrepancy(&closed), replayed: true });
                    }
                }
                let open = discrepancies::get(tx, &id)?;
                let by = keyed.caller.key_id.to_string();
                let closing = Closing { resolution: Resolution::Operator, by, reason: Some(reason.clone()), at: now };
                if !discrepancies::close(tx, &open, &closing)? {
                    return Err(Error::conflict(Conflict::InvalidState, "the discrepancy is closed already; read it"));
                }
                record_closing(tx, &recorder, payment, &id, &event_id)?;
                let stored = present.discrepancy(&discrepancies::get(tx, &id)?);
                Ok(Answer { stored, replayed: false })
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

/// Who closed a discrepancy, in what is never rewritten: the payment's history or, without a payment, an event.
fn record_closing(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    payment: Option<Payment>,
    id: &DiscrepancyId,
    event_id: &EventId,
) -> Result<()> {
    if let Some(payment) = payment {
        let note = Note { always: true, ..Note::default() };
        recorder.settle(tx, payment, note.with("closed_discrepancy", id.as_str()))?;
        return Ok(());
    }
    let act = Act { kind: ActKind::DiscrepancyClosed, subject_id: id.to_string(), actor: recorder.cause.actor.clone() };
    events::append_act(tx, event_id, &act, recorder.at)
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

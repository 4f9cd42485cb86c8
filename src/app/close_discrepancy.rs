//! A person settles what our books and the register do not agree about; a loss takes two.

use std::sync::Arc;

use super::conclude::Keyed;
use super::idempotent::{self, Repeat};
use super::record::{Note, Recorder};
use super::{Act, ActKind, Answer, App, Caller, Idempotency};
use crate::clock::Timestamp;
use crate::domain::id::{DiscrepancyId, EventId, PaymentId};
use crate::domain::payment::Payment;
use crate::domain::register::{Closing, Discrepancy, Proposal, Resolution};
use crate::domain::state::CauseType;
use crate::error::{Conflict, Error, Result};
use crate::store::{Lane, Tx, api_keys, discrepancies, events, payments};

impl App {
    /// A person settles a discrepancy: it counts as closed and is not opened again while both books say the same. Closing a
    /// loss opens its bill, or refunds of its payment: the first key proposes it, a key of another line closes it, as long as
    /// a key of the line that proposed works and `operators.approval_expires_in_s` is not over. The history of its payment says who;
    /// where there is no payment, events do.
    ///
    /// # Errors
    /// [`Error::NotFound`]; conflict when it is closed already, or for who proposed to close it.
    pub async fn close_discrepancy(
        &self,
        caller: &Caller,
        key: Idempotency,
        id: DiscrepancyId,
        reason: String,
    ) -> Result<Answer> {
        let recorder = self.recorder(CauseType::Operator, caller.request_id.clone(), caller.key_id.as_str());
        let event_id = EventId::generate(recorder.at, self.parts.ids.as_ref());
        let (keyed, present) =
            (Keyed { caller: caller.clone(), idempotency: key, creates: false }, Arc::clone(&self.parts.present));
        let stands_s = self.parts.settings.operators.approval_expires_in_s;
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
                match idempotent::claim(tx, &keyed, None, id.as_str(), None, recorder.at, 0)? {
                    None => {}
                    Some(Repeat::Answered(stored)) => return Ok(Answer { stored, replayed: true }),
                    // The reason is erased with the payer, so no answer is kept: a repeat gets the row as it is.
                    Some(Repeat::Live(id)) => {
                        let live = discrepancies::get(tx, &DiscrepancyId::from_stored(id))?;
                        return Ok(Answer { stored: present.discrepancy(&live), replayed: true });
                    }
                }
                let open = discrepancies::get(tx, &id)?;
                let standing = standing(tx, &open, recorder.at, stands_s)?;
                let done = settle(tx, &keyed.caller, &open, standing, &reason, &recorder)?;
                done.record(tx, &recorder, payment, &id, &event_id)?;
                let stored = present.discrepancy(&discrepancies::get(tx, &id)?);
                Ok(Answer { stored, replayed: false })
            })
            .await
    }
}

/// What a person did to a discrepancy.
enum Done {
    Proposed,
    Closed,
}

/// Closes it, or proposes to where that takes another one.
fn settle(
    tx: &mut Tx<'_>,
    caller: &Caller,
    open: &Discrepancy,
    standing: Option<&Proposal>,
    reason: &str,
    recorder: &Recorder,
) -> Result<Done> {
    let closed = || Error::conflict(Conflict::InvalidState, "the discrepancy is closed already; read it");
    if open.closing.is_some() {
        return Err(closed());
    }
    let (by, at) = (caller.key_id.clone(), recorder.at);
    if open.lost && standing.is_none() {
        let proposal = Proposal { by, reason: Some(reason.to_owned()), at };
        return if discrepancies::propose(tx, open, &proposal)? { Ok(Done::Proposed) } else { Err(closed()) };
    }
    if let Some(proposal) = standing {
        refuse_same_line(tx, caller, proposal)?;
    }
    let proposed = standing.and_then(|proposal| proposal.reason.as_deref());
    let reason = proposed.into_iter().chain([reason]).collect::<Vec<_>>().join("\n");
    let closing = Closing { resolution: Resolution::Operator, by: by.to_string(), reason: Some(reason), at };
    if discrepancies::close(tx, open, &closing)? { Ok(Done::Closed) } else { Err(closed()) }
}

/// The proposal to close it, as long as it counts: neither after the time that an approval has, nor without a key of the line
/// that proposed.
fn standing<'a>(tx: &mut Tx<'_>, open: &'a Discrepancy, now: Timestamp, stands_s: i64) -> Result<Option<&'a Proposal>> {
    let Some(proposal) = &open.proposal else { return Ok(None) };
    let Some(key) = api_keys::find(tx, &proposal.by)? else { return Ok(None) };
    let works = !api_keys::line_has_ended(tx, &key.lineage, now)?;
    Ok((works && now < proposal.at.plus_seconds(stands_s)).then_some(proposal))
}

/// As for approvals: a key and its successors are one caller.
fn refuse_same_line(tx: &mut Tx<'_>, caller: &Caller, proposal: &Proposal) -> Result<()> {
    let proposer = api_keys::find(tx, &proposal.by)?.map(|key| key.lineage);
    if proposal.by != caller.key_id && proposer.is_some_and(|line| line != caller.lineage) {
        return Ok(());
    }
    Err(Error::conflict(
        Conflict::SecondOperatorRequired,
        "who proposed to close a loss cannot close it; let another operator do it under a key of their own",
    ))
}

impl Done {
    /// Who did it, in what is never rewritten: the payment's history or, without a payment, an event.
    fn record(
        &self,
        tx: &mut Tx<'_>,
        recorder: &Recorder,
        payment: Option<Payment>,
        id: &DiscrepancyId,
        event_id: &EventId,
    ) -> Result<()> {
        let (told, kind) = match self {
            Done::Proposed => ("proposed_closing_discrepancy", ActKind::ClosingProposed),
            Done::Closed => ("closed_discrepancy", ActKind::DiscrepancyClosed),
        };
        if let Some(payment) = payment {
            let note = Note { always: true, ..Note::default() };
            recorder.settle(tx, payment, note.with(told, id.as_str()))?;
            return Ok(());
        }
        let act = Act { kind, subject_id: id.to_string(), actor: recorder.cause.actor.clone() };
        events::append_act(tx, event_id, &act, recorder.at)
    }
}

//! Asking for a second key, refusing, reading, and the end of what nobody decided about. Carrying it out is in `approve`.

use std::sync::Arc;

use super::conclude::{Keyed, keep};
use super::correct;
use super::create_refund::amount_to_refund;
use super::idempotent::{self, Repeat};
use super::read::cut;
use super::record::{Note, Recorder};
use super::{
    Answer, App, ApprovalDetails, ApprovalFilter, Caller, Idempotency, Listing, NewApproval, NewRefund, NewSubject,
    Page, StoredAnswer,
};
use crate::clock::Timestamp;
use crate::domain::approval::{Actor, Approval, ApprovalKind, ApprovalState, Subject};
use crate::domain::id::{ApprovalId, PaymentId};
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::domain::state::CauseType;
use crate::error::{Conflict, Error, Result};
use crate::store::{Tx, api_keys, approvals, payments, refunds};

/// So many approvals of one payment may wait at once, and so many may be asked for in all.
const MAX_PENDING: usize = 10;
const MAX_APPROVALS: usize = 200;
const STEP_LIMIT: i64 = 50;
const WORKER: &str = "worker:expire";

/// When a second key is needed, and how long it may take.
#[derive(Debug, Clone, Default)]
pub struct OperatorSettings {
    /// What one key alone may give back of one payment within 24 hours; currencies that are not listed have no limit.
    pub second_key_above: Vec<Money>,
    /// How long an approval waits for another key, seconds.
    pub approval_expires_in_s: i64,
}

/// What a write about an approval came to.
pub(super) enum Done {
    /// The key was used for it before.
    Repeat(Repeat),
    /// Done now.
    Answer(StoredAnswer),
}

impl App {
    /// Asks for a second key. Nothing is done yet but that it is written down.
    ///
    /// # Errors
    /// [`Error::MissingScope`]; conflict when it could not be carried out as things stand, or too much waits already.
    pub async fn request_approval(
        &self,
        caller: &Caller,
        idempotency: Idempotency,
        new: NewApproval,
    ) -> Result<Answer> {
        need_scope(caller, new.subject.kind())?;
        if matches!(new.subject, NewSubject::Correction { .. }) {
            // What the provider can tell needs no correction.
            self.settle_open(&new.payment_id, caller).await?;
        }
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: true };
        let asked = new.clone();
        match self.write_request(keyed, new).await? {
            Done::Answer(stored) => Ok(Answer { stored, replayed: false }),
            Done::Repeat(repeat) => {
                self.refuse_other_request(&repeat, &asked).await?;
                self.repeat(caller, repeat, true).await
            }
        }
    }

    async fn write_request(&self, keyed: Keyed, new: NewApproval) -> Result<Done> {
        let recorder =
            self.recorder(CauseType::Operator, keyed.caller.request_id.clone(), keyed.caller.key_id.as_str());
        let at_end = self.recorder(CauseType::Expiry, None, WORKER);
        let id = ApprovalId::generate(recorder.at, self.parts.ids.as_ref());
        let expires_at = recorder.at.plus_seconds(self.parts.settings.operators.approval_expires_in_s);
        let (works_s, present) = (self.provider_works_s(), Arc::clone(&self.parts.present));
        self.write_payment(&new.payment_id.clone(), move |tx| {
            let (at, payment_id) = (recorder.at, &new.payment_id);
            let payment = payments::hold(tx, payment_id)?;
            if let Some(repeat) = idempotent::claim(tx, &keyed, Some(payment_id), id.as_str(), None, at, 0)? {
                return Ok(Done::Repeat(repeat));
            }
            let (payment, waiting) = end_expired(tx, &at_end, payment)?;
            let subject = subject_of(tx, &payment, &new.subject, works_s, at)?;
            refuse_one_more(tx, &waiting, &subject, at)?;
            let approval = Approval {
                id: id.clone(),
                payment_id: payment_id.clone(),
                subject,
                reason: Some(new.reason.clone()),
                requested_by: actor(&keyed.caller),
                requested_at: at,
                expires_at,
                state: ApprovalState::Pending,
                decided_by: None,
                decided_at: None,
            };
            approvals::insert(tx, &approval)?;
            recorder.settle(tx, payment, note(&approval, "requested"))?;
            let stored = present.approval(&details(tx, &id, at)?, true);
            keep(tx, &keyed, payment_id, &stored, true, false, at)?;
            Ok(Done::Answer(stored))
        })
        .await
    }

    /// Of an erased payer only the approval itself tells what was asked for.
    async fn refuse_other_request(&self, repeat: &Repeat, asked: &NewApproval) -> Result<()> {
        let Some(id) = repeat.live().and_then(ApprovalId::parse) else { return Ok(()) };
        let made = self.approval(id).await?.approval;
        let same = match (&made.subject, &asked.subject) {
            (Subject::Refund { amount, .. }, NewSubject::Refund { amount: wanted }) => amount == wanted,
            (Subject::Correction { refund_id, .. }, NewSubject::Correction { refund_id: wanted, .. }) => {
                refund_id == wanted
            }
            _ => false,
        };
        if same && made.payment_id == asked.payment_id { Ok(()) } else { Err(Error::IdempotencyKeyReused) }
    }

    /// Refuses: nothing is done.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::MissingScope`]; conflict for who asked, and when it was decided before.
    pub async fn reject(&self, caller: &Caller, idempotency: Idempotency, id: ApprovalId) -> Result<Answer> {
        let seen = self.approval_to_decide(caller, id.clone()).await?;
        let recorder = self.recorder(CauseType::Operator, caller.request_id.clone(), caller.key_id.as_str());
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: false };
        let (by, present) = (actor(caller), Arc::clone(&self.parts.present));
        let done = self
            .write_payment(&seen.payment_id.clone(), move |tx| {
                let (at, payment_id) = (recorder.at, &seen.payment_id);
                let payment = payments::hold(tx, payment_id)?;
                if let Some(repeat) = idempotent::claim(tx, &keyed, Some(payment_id), id.as_str(), None, at, 0)? {
                    return Ok(Done::Repeat(repeat));
                }
                let approval = pending(tx, &id, at)?;
                decide(tx, &approval, ApprovalState::Rejected, &by, at)?;
                recorder.settle(tx, payment, note(&approval, "rejected"))?;
                let stored = present.approval(&details(tx, &id, at)?, false);
                keep(tx, &keyed, payment_id, &stored, true, false, at)?;
                Ok(Done::Answer(stored))
            })
            .await?;
        self.answer_decision(caller, done).await
    }

    pub(super) async fn answer_decision(&self, caller: &Caller, done: Done) -> Result<Answer> {
        match done {
            Done::Repeat(repeat) => self.repeat(caller, repeat, false).await,
            Done::Answer(stored) => Ok(Answer { stored, replayed: false }),
        }
    }

    /// The approval, if this caller may decide about it at all.
    pub(super) async fn approval_to_decide(&self, caller: &Caller, id: ApprovalId) -> Result<Approval> {
        let approval = self.parts.store.read(move |tx| approvals::get(tx, &id)).await?;
        need_scope(caller, approval.subject.kind())?;
        if approval.is_asked_by(&actor(caller)) {
            return Err(Error::conflict(
                Conflict::SecondOperatorRequired,
                "who asked for an approval cannot decide about it; let another operator do it under a key of their own",
            ));
        }
        Ok(approval)
    }

    /// One approval.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn approval(&self, id: ApprovalId) -> Result<ApprovalDetails> {
        let now = self.now();
        self.parts.store.read(move |tx| details(tx, &id, now)).await
    }

    /// Approvals that fit the filter, newest first.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn list_approvals(
        &self,
        filter: ApprovalFilter,
        page: Page<ApprovalId>,
    ) -> Result<Listing<ApprovalDetails>> {
        let now = self.now();
        self.parts
            .store
            .read(move |tx| {
                let one_more = Page { before: page.before.clone(), limit: page.limit + 1 };
                let found = cut(approvals::list(tx, &filter, now, &one_more)?, page.limit);
                let items = found.items.into_iter().map(|approval| with_refund(tx, approval, now));
                Ok(Listing { items: items.collect::<Result<_>>()?, more: found.more })
            })
            .await
    }

    /// Writes down that nobody decided in time. Returns how many approvals ended.
    pub(super) async fn expire_approvals(&self) -> Result<usize> {
        let (now, mut after, mut ended) = (self.now(), String::new(), 0);
        loop {
            let behind = after.clone();
            let due = self.parts.store.read(move |tx| approvals::due(tx, now, &behind, STEP_LIMIT)).await?;
            let Some((last, _)) = due.last() else { return Ok(ended) };
            after = last.to_string();
            for (id, payment_id) in due {
                let (approval, recorder) = (id.clone(), self.recorder(CauseType::Expiry, None, WORKER));
                let about = payment_id.clone();
                let write = move |tx: &mut Tx<'_>| {
                    let payment = payments::hold(tx, &payment_id)?;
                    let approval = approvals::get(tx, &id)?;
                    end(tx, &recorder, payment, &approval).map(drop)
                };
                match self.write_payment(&about, write).await {
                    Ok(()) => ended += 1,
                    // One that cannot be ended must not keep the others from it.
                    Err(error) => {
                        tracing::error!(approval.id = approval.as_str(), %error, ?error, "an approval could not be ended");
                    }
                }
            }
        }
    }
}

/// The caller as one who asks or decides.
pub(super) fn actor(caller: &Caller) -> Actor {
    Actor { key_id: caller.key_id.clone(), line: caller.lineage.clone() }
}

fn need_scope(caller: &Caller, kind: ApprovalKind) -> Result<()> {
    let scope = kind.scope();
    if caller.scopes.contains(&scope) { Ok(()) } else { Err(Error::MissingScope(scope)) }
}

/// What is to be done, checked as it will be checked again when it is carried out.
fn subject_of(tx: &mut Tx<'_>, payment: &Payment, new: &NewSubject, works_s: i64, now: Timestamp) -> Result<Subject> {
    match new {
        NewSubject::Refund { amount } => {
            let wanted = NewRefund { amount: Some(*amount), reason: None, expected_refundable: None };
            Ok(Subject::Refund { amount: amount_to_refund(payment, &wanted)?, refund_id: None })
        }
        NewSubject::Correction { refund_id, outcome } => {
            let call = correct::lost_call(tx, payment, refund_id.as_ref())?;
            correct::refuse_uncorrectable(&call, payment, works_s, now)?;
            Ok(Subject::Correction {
                operation_id: call.id,
                call: call.kind,
                refund_id: refund_id.clone(),
                outcome: *outcome,
            })
        }
    }
}

fn refuse_one_more(tx: &mut Tx<'_>, waiting: &[Approval], subject: &Subject, now: Timestamp) -> Result<()> {
    if waiting.len() >= MAX_PENDING {
        return Err(Error::conflict(
            Conflict::InvalidState,
            format!("{MAX_PENDING} approvals of this payment wait already; decide about them first"),
        ));
    }
    let Subject::Correction { operation_id, .. } = subject else { return Ok(()) };
    let same = |other: &&Approval| matches!(&other.subject, Subject::Correction { operation_id: one, .. } if one == operation_id);
    let Some(other) = waiting.iter().find(same) else { return Ok(()) };
    let advice = match api_keys::line_has_ended(tx, &other.requested_by.line, now)? {
        true => "but has lapsed with the API key that asked for it: reject it, then request this one again",
        false => "let another operator decide about it",
    };
    Err(Error::conflict(Conflict::InvalidState, format!("{} asks for this correction already; {advice}", other.id)))
}

/// An approval that may be carried out. It lapses with the keys of who asked: whoever lost them moves no money through another.
///
/// # Errors
/// Conflict when it was decided, has expired or has lapsed.
pub(super) fn open(tx: &mut Tx<'_>, id: &ApprovalId, now: Timestamp) -> Result<Approval> {
    let approval = pending(tx, id, now)?;
    if api_keys::line_has_ended(tx, &approval.requested_by.line, now)? {
        return Err(Error::conflict(
            Conflict::InvalidState,
            "the API key that asked for this was revoked or has expired, and so has every successor of it; nothing was done: \
             reject it, and request a new one if it is still wanted",
        ));
    }
    Ok(approval)
}

/// An approval that waits for its decision.
///
/// # Errors
/// Conflict when it was decided or has expired.
fn pending(tx: &mut Tx<'_>, id: &ApprovalId, now: Timestamp) -> Result<Approval> {
    let approval = approvals::get(tx, id)?;
    match approval.state_at(now) {
        ApprovalState::Pending => Ok(approval),
        state => Err(over(state)),
    }
}

fn over(state: ApprovalState) -> Error {
    let what = state.as_str();
    Error::conflict(
        Conflict::InvalidState,
        format!("the approval is {what} already; read it, and request a new one if it is still wanted"),
    )
}

/// Writes the decision. The row count is the answer.
///
/// # Errors
/// Conflict when somebody else was faster.
pub(super) fn decide(
    tx: &mut Tx<'_>,
    approval: &Approval,
    state: ApprovalState,
    by: &Actor,
    at: Timestamp,
) -> Result<()> {
    let made = match &approval.subject {
        Subject::Refund { refund_id, .. } => refund_id.as_ref(),
        Subject::Correction { .. } => None,
    };
    if approvals::decide(tx, &approval.id, state, by, at, made)? {
        return Ok(());
    }
    Err(over(approvals::get(tx, &approval.id)?.state_at(at)))
}

/// A row of the history about an approval. Its reason stays out: the history is never erased.
pub(super) fn note(approval: &Approval, what: &str) -> Note {
    let note = Note { always: true, ..Note::default() }
        .with("approval", what)
        .with("approval_id", approval.id.as_str())
        .with("kind", approval.subject.kind().as_str());
    match &approval.subject {
        Subject::Refund { amount, .. } => note.with("amount", amount.to_decimal()),
        Subject::Correction { operation_id, call, outcome, .. } => note
            .with("operation", call.as_str())
            .with("operation_id", operation_id.as_str())
            .with("correction", outcome.as_str()),
    }
}

/// An approval as it stands at `now`, with what it made.
pub(super) fn details(tx: &mut Tx<'_>, id: &ApprovalId, now: Timestamp) -> Result<ApprovalDetails> {
    let approval = approvals::get(tx, id)?;
    with_refund(tx, approval, now)
}

fn with_refund(tx: &mut Tx<'_>, approval: Approval, now: Timestamp) -> Result<ApprovalDetails> {
    let refund = approval.subject.refund_id().map(|id| refunds::find(tx, id)).transpose()?.flatten();
    let state = approval.state_at(now);
    let waits = state == ApprovalState::Pending;
    let lapsed = waits && api_keys::line_has_ended(tx, &approval.requested_by.line, now)?;
    Ok(ApprovalDetails { approval: Approval { state, ..approval }, lapsed, refund })
}

/// The approvals of a payment, oldest first.
pub(super) fn of_payment(tx: &mut Tx<'_>, id: &PaymentId, now: Timestamp) -> Result<Vec<ApprovalDetails>> {
    let made = approvals::of_payment(tx, id)?;
    made.into_iter().map(|approval| with_refund(tx, approval, now)).collect()
}

/// Ends the approvals of a payment whose time is over; returns the payment and those that still wait.
fn end_expired(tx: &mut Tx<'_>, recorder: &Recorder, payment: Payment) -> Result<(Payment, Vec<Approval>)> {
    let made = approvals::of_payment(tx, &payment.id)?;
    if made.len() >= MAX_APPROVALS {
        return Err(Error::conflict(
            Conflict::InvalidState,
            format!("{MAX_APPROVALS} approvals of this payment were asked for; no more can be"),
        ));
    }
    let pending = made.into_iter().filter(|approval| approval.state == ApprovalState::Pending);
    let (waiting, over): (Vec<_>, Vec<_>) =
        pending.partition(|approval| approval.state_at(recorder.at) == ApprovalState::Pending);
    let payment = over.iter().try_fold(payment, |payment, approval| end(tx, recorder, payment, approval))?;
    Ok((payment, waiting))
}

fn end(tx: &mut Tx<'_>, recorder: &Recorder, payment: Payment, approval: &Approval) -> Result<Payment> {
    if !approvals::expire(tx, &approval.id, recorder.at)? {
        return Ok(payment);
    }
    Ok(recorder.settle(tx, payment, note(approval, "expired"))?.payment)
}

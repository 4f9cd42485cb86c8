//! Giving money back.

use super::conclude::{Conclusion, Keyed, unavailable};
use super::idempotent::{self, Repeat};
use super::record::{self, Note, Recorder};
use super::{Answer, App, Caller, Idempotency, NewRefund, approvals, asked_for};
use crate::clock::Timestamp;
use crate::domain::approval::{Approval, ApprovalState};
use crate::domain::id::{ApprovalId, PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::{Operation, OperationKind, Payment};
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::state::{CauseType, Certainty};
use crate::error::{Conflict, Error, Result};
use crate::store::{self, Tx, discrepancies, operations, payments, refunds};

/// At most so many refunds of one payment.
const MAX_REFUNDS: i64 = 100;
/// Most refunds of one payment with those that were not sent: the site repeats these.
const MAX_TRIED: i64 = 1_000;
/// What one key gives back of a payment alone is summed up over so many seconds.
const ALONE_WITHIN_S: i64 = 86_400;

/// What the first write of a refund came to.
pub(super) enum Begun {
    /// The key was used for it before.
    Repeat(Repeat),
    /// Written down with its reservation; now the provider is called.
    Call(Box<(Operation, Refund)>),
}

/// What a refund is begun with: drawn outside of the write, which may run again.
struct Draft {
    recorder: Recorder,
    refund_id: RefundId,
    operation: Operation,
    deadline_s: i64,
}

impl App {
    /// Gives money back: `amount`, or all that is left.
    ///
    /// # Errors
    /// Conflict when nothing or not enough is left, or when it needs a second key; a failed precondition when
    /// `expected_refundable` is not what is left.
    pub async fn create_refund(
        &self,
        caller: &Caller,
        idempotency: Idempotency,
        id: PaymentId,
        new: NewRefund,
    ) -> Result<Answer> {
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: true };
        let asked = new.amount;
        let begun = match self.pass_gate_or_repeat(&keyed).await? {
            Some(repeat) => Begun::Repeat(repeat),
            None => {
                self.settle_open(&id, caller).await?;
                self.begin_refund(&keyed, &id, new, None).await?
            }
        };
        match begun {
            Begun::Repeat(repeat) => {
                self.refuse_other_amount(&repeat, asked).await?;
                self.repeat(caller, repeat, true).await
            }
            Begun::Call(begun) => {
                let (operation, refund) = *begun;
                let conclusion = self.send_refund(&operation, &refund).await;
                self.finish_call(keyed, operation, conclusion).await
            }
        }
    }

    pub(super) async fn send_refund(&self, operation: &Operation, refund: &Refund) -> Conclusion {
        let (parent, refund_id) = (refund.parent_transaction_id, refund.id.as_str());
        self.parts.provider.refund(parent, refund.amount, refund_id, self.first_sending(operation)).await.into()
    }

    /// As for payments: of an erased payer only the refund itself tells what was asked for.
    async fn refuse_other_amount(&self, repeat: &Repeat, asked: Option<Money>) -> Result<()> {
        let (Some(id), Some(asked)) = (repeat.live().and_then(RefundId::parse), asked) else { return Ok(()) };
        if self.refund(id).await?.amount == asked { Ok(()) } else { Err(Error::IdempotencyKeyReused) }
    }

    /// One durable step: the key, the approval that allows it if there is one, the refund that reserves its amount, and the
    /// intent to call. What would not be sent leaves nothing behind.
    pub(super) async fn begin_refund(
        &self,
        keyed: &Keyed,
        id: &PaymentId,
        new: NewRefund,
        approval_id: Option<&ApprovalId>,
    ) -> Result<Begun> {
        let draft = self.draft_refund(keyed, id, approval_id.is_some());
        let refusal = self.parts.provider.admits().err();
        let refused = refusal.clone();
        let limits = self.parts.settings.operators.second_key_above.clone();
        let (keyed, of, door, approval_id) = (keyed.clone(), id.clone(), self.door(), approval_id.cloned());
        let write = move |tx: &mut Tx<'_>| {
            let at = draft.recorder.at;
            let payment = payments::hold(tx, &of)?;
            // The key of an approval points to the approval.
            let resource = approval_id.as_ref().map_or(draft.refund_id.as_str(), ApprovalId::as_str);
            let call = Some(&draft.operation.id);
            if let Some(repeat) = idempotent::claim(tx, &keyed, Some(&of), resource, call, at, draft.deadline_s)? {
                return Ok(Begun::Repeat(repeat));
            }
            door.pass()?;
            refused.as_ref().map_or(Ok(()), |reason| Err(unavailable(reason)))?;
            let approval = approval_id.as_ref().map(|id| asked_for::approval(tx, id, at)).transpose()?;
            refuse_if_unaccounted(tx, &of)?;
            let amount = amount_to_refund(&payment, &new)?;
            if approval.is_none() {
                refuse_alone_above(tx, &payment, amount, &limits, at)?;
            }
            refuse_too_many(tx, &of)?;
            draft.write(tx, &keyed.caller, payment, amount, &new, approval)
        };
        let begun = self.write_payment(id, write).await;
        self.count_not_begun(begun, refusal.as_ref())
    }

    fn draft_refund(&self, keyed: &Keyed, id: &PaymentId, approved: bool) -> Draft {
        let cause = if approved { CauseType::Operator } else { CauseType::Api };
        let recorder = self.recorder(cause, keyed.caller.request_id.clone(), keyed.caller.key_id.as_str());
        let refund_id = RefundId::generate(recorder.at, self.parts.ids.as_ref());
        let operation =
            Operation { refund_id: Some(refund_id.clone()), ..self.operation_template(OperationKind::Refund, id) };
        Draft { recorder, refund_id, operation, deadline_s: self.parts.settings.call_deadline_s }
    }
}

impl Draft {
    fn write(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        payment: Payment,
        amount: Money,
        new: &NewRefund,
        approval: Option<Approval>,
    ) -> Result<Begun> {
        let at = self.recorder.at;
        let parent = record::counted_transaction(tx, &payment)?
            .ok_or_else(|| Error::internal("captured money without a transaction"))?;
        let asked_by = approval.as_ref().map_or(&caller.lineage, |approval| &approval.requested_by.line);
        let refund = Refund {
            id: self.refund_id.clone(),
            payment_id: payment.id.clone(),
            parent_transaction_id: parent,
            amount,
            status: RefundStatus::Pending,
            certainty: Certainty::Proven,
            decide_by: None,
            reason: new.reason.clone(),
            failure: None,
            transaction_id: None,
            created_by: asked_by.clone(),
            created_at: at,
            updated_at: at,
        };
        refunds::insert(tx, &refund)?;
        let operation =
            Operation { transaction_id: Some(parent), amount: Some(amount.minor), ..self.operation.clone() };
        operations::insert(tx, &operation, operation.started_at.plus_seconds(self.deadline_s))?;
        let note = match approval {
            Some(approval) => self.approve(tx, caller, approval)?,
            None => Note { always: true, ..Note::default() },
        };
        let note = Note { requested: true, transaction_id: Some(parent), ..note }
            .with("operation", "refund")
            .with("refund_id", refund.id.as_str())
            .with("amount", amount.to_decimal());
        self.recorder.settle(tx, payment, note)?;
        Ok(Begun::Call(Box::new((operation, refund))))
    }

    /// Decides the approval for this refund, and tells who asked and who allowed it.
    fn approve(&self, tx: &mut Tx<'_>, caller: &Caller, approval: Approval) -> Result<Note> {
        let approval = approval.with_refund(self.refund_id.clone());
        let by = approvals::actor(caller);
        approvals::decide(tx, &approval, ApprovalState::Approved, &by, self.recorder.at)?;
        Ok(approvals::note(&approval, "approved")
            .with("requested_by", approval.requested_by.key_id.as_str())
            .with("approved_by", by.key_id.as_str()))
    }
}

/// A refund that was not sent, or that the provider never had, counts as tried only.
fn refuse_too_many(tx: &mut Tx<'_>, id: &PaymentId) -> Result<()> {
    let tried = refunds::count(tx, id)?;
    if tried < MAX_REFUNDS || (tried < MAX_TRIED && tried - operations::refunds_not_sent(tx, id)? < MAX_REFUNDS) {
        return Ok(());
    }
    Err(Error::conflict(Conflict::TooManyRefunds, format!("a payment can have {MAX_REFUNDS} refunds at most")))
}

/// One key alone gives back so much of a payment within a day and no more, in parts or at once.
fn refuse_alone_above(
    tx: &mut Tx<'_>,
    payment: &Payment,
    amount: Money,
    limits: &[Money],
    at: Timestamp,
) -> Result<()> {
    let Some(limit) = limits.iter().find(|limit| limit.currency == payment.currency()) else { return Ok(()) };
    let alone = store::approvals::refunded_alone(tx, &payment.id, at.plus_seconds(-ALONE_WITHIN_S))?;
    if alone.saturating_add(amount.minor) <= limit.minor {
        return Ok(());
    }
    Err(Error::conflict(
        Conflict::ApprovalRequired,
        format!(
            "{limit} of a payment within 24 hours can be given back without a second operator, and {} were; request an \
             approval with POST /v1/approvals, then let another API key approve it",
            payment.money(alone)
        ),
    ))
}

/// A refund that nothing here accounts for may have been this one: its request and its key may be lost with an older copy
/// of the database.
fn refuse_if_unaccounted(tx: &mut Tx<'_>, id: &PaymentId) -> Result<()> {
    let Some(found) = discrepancies::unaccounted_refund(tx, id)? else { return Ok(()) };
    let whose = if found.lost {
        "by a request that was lost when the database was restored"
    } else {
        "and no request held here asked for it: somebody made it in the cabinet, or its request was lost when the database was restored"
    };
    Err(Error::conflict(
        Conflict::RefundedBeforeRestore,
        format!(
            "CloudPayments gave money back, transaction {}, {whose}; an operator has to look at it and close its discrepancy with POST /v1/discrepancies/{}/close",
            found.transaction_id, found.id
        ),
    ))
}

/// The amount, if it is there to be given back.
pub(super) fn amount_to_refund(payment: &Payment, new: &NewRefund) -> Result<Money> {
    if !payment.status.is_captured() {
        let advice = format!("only money that was taken can be given back; this payment is {}", payment.status);
        return Err(Error::conflict(Conflict::InvalidState, advice));
    }
    for (pointer, amount) in
        [("/amount/currency", new.amount), ("/expected_refundable/currency", new.expected_refundable)]
    {
        payment.refuse_other_currency(pointer, amount)?;
    }
    let left = payment.money(payment.sums.refundable());
    if let Some(expected) = new.expected_refundable.filter(|expected| *expected != left) {
        return Err(Error::PreconditionFailed(format!(
            "expected_refundable is {expected}, but {left} is refundable; read the payment again"
        )));
    }
    let amount = new.amount.unwrap_or(left);
    if left.minor == 0 || amount.minor > left.minor {
        return Err(Error::conflict(
            Conflict::RefundExceedsCaptured,
            format!("{left} is refundable; refund that or less"),
        ));
    }
    Ok(amount)
}

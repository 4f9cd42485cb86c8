//! Carrying out what a second key allows. The decision and what follows from it are one durable step: the refund with its
//! intent to call, or the end of the lost call. So no crash loses a decision, and none carries it out twice.

use std::sync::Arc;

use super::approvals::{Done, actor, decide, details};
use super::asked_for;
use super::conclude::{Conclusion, Keyed, conclude, keep, not_recorded};
use super::correct::{self, Approved};
use super::create_refund::Begun;
use super::idempotent;
use super::{Answer, App, Caller, Idempotency, NewRefund};
use crate::domain::approval::{Approval, ApprovalState, Subject};
use crate::domain::id::{ApprovalId, OperationId};
use crate::domain::money::Money;
use crate::domain::payment::Operation;
use crate::domain::refund::RefundStatus;
use crate::domain::state::CauseType;
use crate::error::{Error, Result};
use crate::store::{operations, payments};

impl App {
    /// Allows it and carries it out.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::MissingScope`]; conflict for who asked, when it was decided before, and when it cannot
    /// be carried out any more; [`Error::Unavailable`] while the provider is not asked because it is in trouble.
    pub async fn approve(&self, caller: &Caller, idempotency: Idempotency, id: ApprovalId) -> Result<Answer> {
        let approval = self.approval_to_decide(caller, id).await?;
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: false };
        if let Some(repeat) = self.pass_gate_or_repeat(&keyed).await? {
            return self.repeat(caller, repeat, false).await;
        }
        if approval.state_at(self.now()) == ApprovalState::Pending {
            self.refuse_in_trouble()?;
            // What the provider can tell needs no correction, and may leave less to give back.
            self.settle_open(&approval.payment_id, caller).await?;
        }
        match approval.subject.clone() {
            Subject::Refund { amount, .. } => self.approve_refund(keyed, approval, amount).await,
            Subject::Correction { operation_id, .. } => self.approve_correction(keyed, approval, operation_id).await,
        }
    }

    async fn approve_refund(&self, keyed: Keyed, approval: Approval, amount: Money) -> Result<Answer> {
        let new = NewRefund { amount: Some(amount), reason: approval.reason.clone(), expected_refundable: None };
        match self.begin_refund(&keyed, &approval.payment_id, new, Some(&approval.id)).await? {
            Begun::Repeat(repeat) => self.repeat(&keyed.caller, repeat, false).await,
            Begun::Call(begun) => {
                let (operation, refund) = *begun;
                let conclusion = self.send_refund(&operation, &refund).await;
                self.conclude_approved(keyed, approval.id, operation, conclusion).await
            }
        }
    }

    /// As for a refund without approval, but the approval is the answer. It stays approved whatever became of the refund: a
    /// refund that failed has to be asked for anew.
    async fn conclude_approved(
        &self,
        keyed: Keyed,
        id: ApprovalId,
        operation: Operation,
        conclusion: Conclusion,
    ) -> Result<Answer> {
        let refused = matches!(conclusion, Conclusion::Refused(_));
        let recorder = self.recorder(CauseType::ProviderAnswer, Some(operation.id.to_string()), super::PROVIDER);
        let (payment_id, actor) = (operation.payment_id.clone(), keyed.caller.key_id.to_string());
        let present = Arc::clone(&self.parts.present);
        let stored = self
            .write_payment(&payment_id, move |tx| {
                conclude(tx, &recorder, &operation, &conclusion)?;
                let details = details(tx, &id, recorder.at)?;
                let stored = present.approval(&details, false);
                let is_final = details.refund.is_none_or(|refund| refund.status != RefundStatus::Pending);
                keep(tx, &keyed, &operation.payment_id, &stored, is_final, false, recorder.at)?;
                Ok(stored)
            })
            .await
            .map_err(not_recorded)?;
        if refused {
            self.look_after_refusal(&payment_id, &actor).await;
        }
        Ok(Answer { stored, replayed: false })
    }

    async fn approve_correction(&self, keyed: Keyed, seen: Approval, operation_id: OperationId) -> Result<Answer> {
        let caller = keyed.caller.clone();
        let recorder = self.recorder(CauseType::Operator, caller.request_id.clone(), caller.key_id.as_str());
        let (by, door, works_s) = (actor(&caller), self.door(), self.provider_works_s());
        let present = Arc::clone(&self.parts.present);
        let done = self
            .write_payment(&seen.payment_id.clone(), move |tx| {
                let (at, payment_id) = (recorder.at, &seen.payment_id);
                let payment = payments::hold(tx, payment_id)?;
                if let Some(repeat) = idempotent::claim(tx, &keyed, Some(payment_id), seen.id.as_str(), None, at, 0)? {
                    return Ok(Done::Repeat(repeat));
                }
                door.pass()?;
                let approval = asked_for::approval(tx, &seen.id, at)?;
                let operation = operations::find(tx, &operation_id)?
                    .ok_or_else(|| Error::internal("a correction of a call that is not there"))?;
                correct::refuse_uncorrectable(&operation, &payment, works_s, at)?;
                decide(tx, &approval, ApprovalState::Approved, &by, at)?;
                let approved = Approved { approval, by: by.key_id.clone() };
                conclude(tx, &recorder, &operation, &Conclusion::Corrected(Box::new(approved)))?;
                let stored = present.approval(&details(tx, &seen.id, at)?, false);
                keep(tx, &keyed, payment_id, &stored, true, false, at)?;
                Ok(Done::Answer(stored))
            })
            .await?;
        self.answer_decision(&caller, done).await
    }
}

//! Ending a call whose outcome nobody can find out any more: by two operators, along the declared corrections only.
//!
//! A correction says where a payment rests while there is no evidence. What evidence shows still wins, before it and after.

use super::PaymentDetails;
use super::approvals::note;
use super::conclude::fail_refund;
use super::record::{Note, Recorder};
use super::settle_operations::PROVIDER_MEMORY_S;
use crate::clock::Timestamp;
use crate::domain::approval::Approval;
use crate::domain::id::{ApiKeyId, RefundId};
use crate::domain::payment::{Operation, OperationKind, OperationState, Payment};
use crate::domain::state::{Correction, correction_of};
use crate::error::{Conflict, Error, Result};
use crate::store::{Tx, operations};

/// What the closed call and a failed refund say.
const TEXT: &str = "no effect, by the word of two operators";

/// A correction that was approved.
#[derive(Debug, Clone)]
pub(super) struct Approved {
    /// What was approved.
    pub approval: Approval,
    /// By which key.
    pub by: ApiKeyId,
}

/// The call of a payment, or of one of its refunds, whose answer was lost.
///
/// # Errors
/// Conflict when there is none.
pub(super) fn lost_call(tx: &mut Tx<'_>, payment: &Payment, refund_id: Option<&RefundId>) -> Result<Operation> {
    let open = operations::open_of_payment(tx, &payment.id)?;
    let lost = |operation: &Operation| {
        operation.refund_id.as_ref() == refund_id && operation.state == OperationState::Undetermined
    };
    open.into_iter().find(lost).ok_or_else(|| {
        let what = refund_id.map_or("this payment has no call", |_| "this refund of the payment has no call");
        Error::conflict(
            Conflict::InvalidState,
            format!("{what} whose answer is lost; read it again (for a lost refund send its refund_id)"),
        )
    })
}

/// Why a call may not be corrected, or the correction that is declared for it.
///
/// # Errors
/// Conflict while its outcome is known or may still be told, and where no correction is declared.
pub(super) fn refuse_uncorrectable(
    operation: &Operation,
    payment: &Payment,
    works_s: i64,
    now: Timestamp,
) -> Result<&'static Correction> {
    if operation.state != OperationState::Undetermined {
        return Err(Error::conflict(
            Conflict::InvalidState,
            "the outcome of this call is known by now; there is nothing to correct, read the payment again",
        ));
    }
    let from = silent_from(operation, works_s);
    if now <= from {
        return Err(Error::conflict(
            Conflict::InvalidState,
            format!("CloudPayments may still tell what became of this call; operators may correct it after {from}"),
        ));
    }
    correction_of(operation.kind, payment.status).ok_or_else(|| {
        Error::conflict(
            Conflict::InvalidState,
            format!(
                "no correction is declared for a {} of a payment that is {}",
                operation.kind.as_str(),
                payment.status
            ),
        )
    })
}

/// From when on the provider neither remembers the call nor works on anything that was sent for it.
fn silent_from(operation: &Operation, works_s: i64) -> Timestamp {
    let forgotten = operation.sent_by().plus_seconds(PROVIDER_MEMORY_S);
    operation.refused_at.map_or(forgotten, |refused_at| refused_at.plus_seconds(works_s).max(forgotten))
}

/// Ends the call and puts the payment, or the refund, where the correction says.
pub(super) fn book(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    payment: Payment,
    operation: &Operation,
    approved: &Approved,
) -> Result<PaymentDetails> {
    let declared = correction_of(operation.kind, payment.status)
        .ok_or_else(|| Error::internal("a correction that is not declared"))?;
    if !operations::close(tx, &operation.id, OperationState::Settled, Some(TEXT))? {
        return Err(Error::conflict(
            Conflict::InvalidState,
            "the outcome of this call is known by now; there is nothing to correct, read the payment again",
        ));
    }
    let mut note = Note { transaction_id: operation.transaction_id, ..note(&approved.approval, "approved") }
        .with("requested_by", approved.approval.requested_by.key_id.as_str())
        .with("approved_by", approved.by.as_str());
    if operation.kind == OperationKind::Refund {
        fail_refund(tx, recorder, operation, TEXT, &mut note)?;
    } else {
        note.rest_in = Some(declared.to);
    }
    recorder.settle(tx, payment, note)
}

//! Whose capture it is that took the money of a hold, and how much of it is booked.
//!
//! A capture of ours took exactly its own sum; whether a Confirm or the register tells that sum or the sum of the hold is
//! not known (contract section 14, point 22). Any other sum was taken in the provider's cabinet: that is booked as told,
//! and a person looks.

use super::record::Recorder;
use crate::domain::approval::{ApprovalState, Subject};
use crate::domain::evidence::{Attention, Transaction, TransactionKind, TransactionStatus};
use crate::domain::payment::{CaptureMode, Operation, OperationKind, OperationState, Payment};
use crate::domain::state::CauseType;
use crate::error::Result;
use crate::store::{Tx, approvals, operations};

/// Whether a capture that is seen in the register may be the lost one: it tells the sum of the call or, as far as anybody
/// knows, the sum of the hold.
pub(super) fn can_be_ours(capture: &Operation, payment: &Payment, told: Option<i64>) -> bool {
    let asked = capture.amount.unwrap_or(payment.amount.minor);
    told.is_none_or(|told| told == asked || told == payment.amount.minor)
}

/// What a person has to look at when a lost capture of ours is found to have taken `told`: unless exactly its own sum is
/// told, it may be somebody else's.
pub(super) fn whose(
    tx: &mut Tx<'_>,
    capture: &Operation,
    payment: &Payment,
    told: Option<i64>,
) -> Result<Option<Attention>> {
    let hold = payment.amount.minor;
    let exactly = told.unwrap_or(hold) == capture.amount.unwrap_or(hold);
    let clear = exactly && !may_be_of_corrected(tx, capture, payment, told)?;
    Ok((!clear).then(|| unclear(capture)))
}

/// Whether a capture that operators ended as without effect may be what took the money instead.
fn may_be_of_corrected(tx: &mut Tx<'_>, capture: &Operation, payment: &Payment, told: Option<i64>) -> Result<bool> {
    let whole = told.is_none_or(|told| told == payment.amount.minor);
    Ok(whole && corrected(tx, payment, capture.transaction_id)?.is_some())
}

/// Of a capture that nothing came of, or of which nobody knows: the money is booked as if it had been ours.
pub(super) fn unclear(capture: &Operation) -> Attention {
    Attention::new("capture_unclear", &capture.id)
}

/// The last capture of a transaction that operators ended as without effect. Evidence may still show that it had one.
fn corrected(tx: &mut Tx<'_>, payment: &Payment, transaction_id: Option<i64>) -> Result<Option<Operation>> {
    let mut last = None;
    for approval in approvals::of_payment(tx, &payment.id)? {
        let Subject::Correction { operation_id, call: OperationKind::Capture, .. } = &approval.subject else {
            continue;
        };
        if approval.state == ApprovalState::Approved {
            let capture = operations::find(tx, operation_id)?;
            last = capture.filter(|capture| capture.transaction_id == transaction_id).or(last);
        }
    }
    Ok(last)
}

/// What the transactions say of an open capture.
pub(super) enum Seen {
    /// It is closed.
    Over(Option<Attention>),
    /// It, or somebody else, took the money.
    Unclear,
}

impl Recorder {
    /// Closes an open capture of ours that the transactions show to be over. Where they show the sum of the hold it may be
    /// somebody else's: what ours asked for is booked, and its own answer or a repeat has to tell.
    pub(super) fn close_capture(
        &self,
        tx: &mut Tx<'_>,
        payment: &Payment,
        capture: &Operation,
        transactions: &mut [Transaction],
    ) -> Result<Seen> {
        let taken = transactions.iter_mut().find(|transaction| {
            Some(transaction.transaction_id) == capture.transaction_id
                && transaction.status == TransactionStatus::Completed
        });
        let attention = match taken {
            None => None,
            // It was seen before, and is waited for.
            Some(_) if payment.sums.captured > 0 => return Ok(Seen::Unclear),
            Some(transaction) => {
                let (told, asked) = (transaction.captured, capture.amount.unwrap_or(payment.amount.minor));
                if told != asked && can_be_ours(capture, payment, Some(told)) {
                    transaction.captured = asked;
                    self.learn_capture(tx, payment, transaction.transaction_id, asked)?;
                    return Ok(Seen::Unclear);
                }
                whose(tx, capture, payment, Some(told))?
            }
        };
        operations::close(tx, &capture.id, OperationState::Settled, Some("by evidence"))?;
        Ok(Seen::Over(attention))
    }

    /// Money of a hold was taken and no call of ours is known to have done it: a capture that operators ended as without
    /// effect may have. Then no more than it asked for is booked, and a person looks.
    pub(super) fn take_what_was_corrected(
        &self,
        tx: &mut Tx<'_>,
        payment: &Payment,
        transactions: &mut [Transaction],
    ) -> Result<Option<Attention>> {
        if payment.capture != CaptureMode::Manual || payment.sums.captured > 0 {
            return Ok(None);
        }
        let whole = transactions.iter_mut().find(|transaction| {
            transaction.status == TransactionStatus::Completed && transaction.captured == payment.amount.minor
        });
        let Some(transaction) = whole else { return Ok(None) };
        let Some(capture) = corrected(tx, payment, Some(transaction.transaction_id))? else { return Ok(None) };
        let Some(asked) = capture.amount.filter(|asked| *asked < transaction.captured) else { return Ok(None) };
        transaction.captured = asked;
        self.learn_capture(tx, payment, transaction.transaction_id, asked)?;
        Ok(Some(unclear(&capture)))
    }

    /// The register tells that a hold was taken that no call of ours asked for, and tells its sum: whether that is what was
    /// taken or what was held is not known, so a person looks. A Confirm tells what was taken.
    pub(super) fn taken_by_others(&self, payment: &Payment, transactions: &[Transaction]) -> Option<Attention> {
        let of_register = matches!(self.cause.kind, CauseType::Lookup | CauseType::Reconciliation);
        if !of_register || payment.capture != CaptureMode::Manual || payment.sums.captured > 0 {
            return None;
        }
        let whole = |one: &&Transaction| {
            one.kind == TransactionKind::Payment
                && one.status == TransactionStatus::Completed
                && one.captured == payment.amount.minor
        };
        transactions.iter().find(whole).map(|one| Attention::new("capture_unclear", one.transaction_id))
    }
}

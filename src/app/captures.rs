//! Whose capture it is that took the money of a hold, and how much of it is booked.
//!
//! A capture of ours took exactly its own sum; whether a Confirm or the register tells that sum or the sum of the hold is
//! not known (contract section 14, point 22). Any other sum was taken in the provider's cabinet: that is booked as told,
//! and a person looks.

use super::record::Recorder;
use crate::domain::approval::{ApprovalState, Subject};
use crate::domain::evidence::{Attention, Transaction, TransactionStatus};
use crate::domain::payment::{CaptureMode, Operation, OperationKind, Payment};
use crate::error::Result;
use crate::store::{Tx, approvals, operations};

/// Whether a capture that is seen in the register may be the lost one: it tells the sum of the call or, as far as anybody
/// knows, the sum of the hold.
pub(super) fn can_be_ours(capture: &Operation, payment: &Payment, told: Option<i64>) -> bool {
    let asked = capture.amount.unwrap_or(payment.amount.minor);
    told.is_none_or(|told| told == asked || told == payment.amount.minor)
}

/// What a person has to look at when a lost capture of ours is found to have taken `told`: it may be somebody else's.
pub(super) fn whose(
    tx: &mut Tx<'_>,
    capture: &Operation,
    payment: &Payment,
    told: Option<i64>,
) -> Result<Option<Attention>> {
    // That a repeat was refused may have been noted since the call was read: then something else took the hold.
    let refused = operations::find(tx, &capture.id)?.is_some_and(|known| known.refused_at.is_some());
    let surely = told.is_some() && told == capture.amount;
    let ours = surely || (!refused && can_be_ours(capture, payment, told));
    let clear = ours && !may_be_of_corrected(tx, capture, payment, told)?;
    Ok((!clear).then(|| unclear(capture)))
}

/// Whether a capture that operators ended as without effect may be what took the money instead.
fn may_be_of_corrected(tx: &mut Tx<'_>, capture: &Operation, payment: &Payment, told: Option<i64>) -> Result<bool> {
    let whole = told.is_none_or(|told| told == payment.amount.minor);
    Ok(whole && corrected(tx, payment, capture.transaction_id)?.is_some())
}

fn unclear(capture: &Operation) -> Attention {
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

fn taken<'a>(transactions: &'a mut [Transaction], transaction_id: Option<i64>) -> Option<&'a mut Transaction> {
    transactions.iter_mut().find(|transaction| {
        Some(transaction.transaction_id) == transaction_id && transaction.status == TransactionStatus::Completed
    })
}

impl Recorder {
    /// Books what an open capture of ours asked for, where the transactions show that it may be what took the money.
    pub(super) fn take_what_was_asked(
        &self,
        tx: &mut Tx<'_>,
        payment: &Payment,
        capture: &Operation,
        transactions: &mut [Transaction],
    ) -> Result<Option<Attention>> {
        let (OperationKind::Capture, Some(asked)) = (capture.kind, capture.amount) else { return Ok(None) };
        let Some(transaction) = taken(transactions, capture.transaction_id) else { return Ok(None) };
        let told = transaction.captured;
        let another =
            may_be_of_corrected(tx, capture, payment, Some(told))? || !can_be_ours(capture, payment, Some(told));
        if told != asked && can_be_ours(capture, payment, Some(told)) {
            transaction.captured = asked;
            self.learn_capture(tx, payment, transaction.transaction_id, asked)?;
        }
        Ok(another.then(|| unclear(capture)))
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
}

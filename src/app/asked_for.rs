//! What the service does of itself, or because a second key allows it, was asked for before: the history tells so. A row that
//! somebody put into the books past the service moves no money.

use super::App;
use super::approvals::open;
use crate::clock::Timestamp;
use crate::domain::approval::{Approval, Subject};
use crate::domain::evidence::Attention;
use crate::domain::id::ApprovalId;
use crate::domain::payment::{Operation, OperationKind};
use crate::domain::refund::RefundStatus;
use crate::error::{Conflict, Error, Result};
use crate::store::{Tx, payments, refunds, transitions};

impl App {
    /// Whether a call that may be repeated was asked for with this sum. Where the history knows no request of it, a person is
    /// called.
    pub(super) async fn is_asked_for(&self, operation: &Operation) -> bool {
        let code = match operation.kind {
            OperationKind::Refund => "refund_not_asked_for",
            OperationKind::Capture => "capture_not_asked_for",
            OperationKind::Void => "void_not_asked_for",
            // They hold what we do not keep, and are never repeated.
            OperationKind::Charge | OperationKind::Authorize | OperationKind::ThreeDs => return true,
        };
        let call = operation.clone();
        let read = move |tx: &mut Tx<'_>| Ok((is_told(tx, &call)?, waits(tx, &call)?));
        match self.parts.store.read(read).await {
            Ok((true, waits)) => waits,
            Ok((false, _)) => {
                self.call_for_a_person(&operation.payment_id, Attention::new(code, &operation.id)).await;
                false
            }
            Err(error) => {
                tracing::error!(%error, ?error, "whether a call was asked for could not be read; it is not repeated now");
                false
            }
        }
    }
}

fn is_told(tx: &mut Tx<'_>, call: &Operation) -> Result<bool> {
    let sum = match call.amount {
        Some(minor) => Some(payments::get(tx, &call.payment_id)?.money(minor)),
        None => None,
    };
    transitions::ask_for_call(tx, call, sum)
}

/// A refund may have ended while the question was on its way.
fn waits(tx: &mut Tx<'_>, call: &Operation) -> Result<bool> {
    let Some(id) = &call.refund_id else { return Ok(true) };
    let waits = |refund: crate::domain::refund::Refund| {
        refund.status == RefundStatus::Pending && Some(refund.amount.minor) == call.amount
    };
    Ok(refunds::find(tx, id)?.is_some_and(waits))
}

/// An approval that another key may allow now.
///
/// # Errors
/// Conflict when it was decided or has expired, and when the history knows no request of it.
pub(super) fn approval(tx: &mut Tx<'_>, id: &ApprovalId, now: Timestamp) -> Result<Approval> {
    let approval = open(tx, id, now)?;
    let asked = match &approval.subject {
        Subject::Refund { amount, .. } => ("amount", amount.to_decimal()),
        Subject::Correction { outcome, .. } => ("correction", outcome.as_str().to_owned()),
    };
    if transitions::request_approval(tx, &approval, asked)? {
        return Ok(approval);
    }
    Err(Error::conflict(
        Conflict::InvalidState,
        "the history of the payment knows no request of this approval: nothing was done; reject it, and let `kmic-payments \
         audit verify` tell what else was put into the books",
    ))
}

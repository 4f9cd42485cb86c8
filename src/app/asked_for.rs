//! What the service does of itself, or because a second key allows it, was asked for before: the history tells so. A row that
//! somebody put into the books past the service moves no money.

use super::App;
use super::approvals::open;
use crate::clock::Timestamp;
use crate::domain::approval::{Approval, Subject};
use crate::domain::evidence::Attention;
use crate::domain::id::ApprovalId;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{Operation, OperationKind, OperationState};
use crate::domain::refund::RefundStatus;
use crate::domain::state::CauseType;
use crate::error::{Conflict, Error, Result};
use crate::store::transitions::{self, Told};
use crate::store::{Tx, discrepancies, events, operations, payments, refunds};

/// What the books say of a call that is about to be repeated.
enum Asked {
    /// It was asked for, and somebody waits for it.
    Waits,
    /// It has ended meanwhile.
    Over,
    /// It is not to be repeated; a person is called with this code.
    NotToRepeat(&'static str),
}

impl App {
    /// Whether a call that may be repeated was asked for with this sum, and is not over. Where the history knows no such request,
    /// and where money was given back that no request accounts for, a person is called.
    pub(super) async fn is_asked_for(&self, operation: &Operation) -> bool {
        let code = match operation.kind {
            OperationKind::Refund => "refund_not_asked_for",
            OperationKind::Capture => "capture_not_asked_for",
            OperationKind::Void => "void_not_asked_for",
            // They hold what we do not keep, and are never repeated.
            OperationKind::Charge | OperationKind::Authorize | OperationKind::ThreeDs => return true,
        };
        let call = operation.clone();
        let read = move |tx: &mut Tx<'_>| {
            // One that has ended meanwhile is told as ended: nobody has to look.
            let is_open = operations::find(tx, &call.id)?
                .is_some_and(|now| matches!(now.state, OperationState::Started | OperationState::Undetermined));
            if is_open && !is_told(tx, &call)? {
                return Ok(Asked::NotToRepeat(code));
            }
            // A lost request gave money back: this database is older than it, and the call may have ended in what is lost. One
            // without a name may be the call's own: the provider answers its repeat with that one, and gives nothing back.
            if is_open && call.kind == OperationKind::Refund {
                let unaccounted = discrepancies::unaccounted_refund(tx, &call.payment_id)?;
                if unaccounted.is_some_and(|found| found.lost) {
                    return Ok(Asked::NotToRepeat("refund_unclear"));
                }
            }
            Ok(if is_open && waits(tx, &call)? { Asked::Waits } else { Asked::Over })
        };
        match self.parts.store.read(read).await {
            Ok(Asked::Waits) => true,
            Ok(Asked::Over) => false,
            Ok(Asked::NotToRepeat(code)) => {
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

/// Whether the history asks for the call, and tells no end of it since: what was refused, or ended by operators, is not done
/// because somebody put another call for it into the books. Nor is a refund that another call is for: that one may have
/// given the money back, whatever was made of it since.
fn is_told(tx: &mut Tx<'_>, call: &Operation) -> Result<bool> {
    let currency = payments::get(tx, &call.payment_id)?.currency();
    let mut asked = false;
    for row in transitions::told(tx, &call.payment_id)? {
        asked = asks(&row, call, currency) || (asked && !ends(&row, call));
    }
    match &call.refund_id {
        // A refund that failed is never tried again; a new one is asked for.
        Some(refund_id) if asked => Ok(!events::tell_of_refund(tx, &call.payment_id, "refund.failed", refund_id)?
            && !operations::is_another_for(tx, call, refund_id)?),
        _ => Ok(asked),
    }
}

/// Whether a row is about what the call is to do: to this refund, or to this transaction.
fn is_about(row: &Told, call: &Operation) -> bool {
    row.tells("operation", call.kind.as_str())
        && match &call.refund_id {
            Some(refund_id) => row.tells("refund_id", refund_id.as_str()),
            None => call.transaction_id.is_some() && row.transaction_id == call.transaction_id,
        }
}

/// Whether a row is a caller's request for the call, with its sum. What became of it names it, too.
fn asks(row: &Told, call: &Operation, currency: Currency) -> bool {
    let sum = row.text("amount").map(|told| Money::parse(told, currency));
    is_about(row, call)
        && matches!(row.cause, CauseType::Api | CauseType::Operator)
        && !["outcome", "lost", "correction"].iter().any(|name| row.has(name))
        && sum == call.amount.map(|minor| Ok(Money::new(minor, currency)))
}

/// Whether a row tells that such a call is over.
fn ends(row: &Told, call: &Operation) -> bool {
    let captured =
        call.kind == OperationKind::Capture && row.transaction_id == call.transaction_id && row.has("captured");
    captured || (is_about(row, call) && (row.has("outcome") || row.has("correction")))
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
    if transitions::told(tx, &approval.payment_id)?.iter().any(|row| requests(row, &approval)) {
        return Ok(approval);
    }
    Err(Error::conflict(
        Conflict::InvalidState,
        "the history of the payment knows no request of this approval: nothing was done; reject it, and let `kmic-payments \
         audit verify` tell what else was put into the books",
    ))
}

/// Whether a row requests this approval, by the key that it names and with what it asks for.
fn requests(row: &Told, approval: &Approval) -> bool {
    row.tells("approval", "requested")
        && row.tells("approval_id", approval.id.as_str())
        && row.tells("kind", approval.subject.kind().as_str())
        && row.actor == approval.requested_by.key_id.as_str()
        && match &approval.subject {
            Subject::Refund { amount, .. } => {
                row.text("amount").map(|told| Money::parse(told, amount.currency)) == Some(Ok(*amount))
            }
            Subject::Correction { operation_id, outcome, .. } => {
                row.tells("operation_id", operation_id.as_str()) && row.tells("correction", outcome.as_str())
            }
        }
}

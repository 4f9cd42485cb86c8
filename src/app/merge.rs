//! How a new fact changes what is known of a transaction, and what it says of a call of ours. Pure.

use crate::domain::evidence::{Card, Fact, Transaction, TransactionKind, TransactionStatus};
use crate::domain::id::RefundId;
use crate::domain::money::Money;
use crate::domain::payment::{Operation, OperationKind};

pub(super) fn captured(kind: TransactionKind, status: TransactionStatus, amount: Money) -> i64 {
    if kind == TransactionKind::Payment && status == TransactionStatus::Completed { amount.minor } else { 0 }
}

/// The stronger state wins, gaps are filled. Until money moves the sum is only what was asked for, so the fact that tells
/// of money tells the sum; after that what was held and what was taken stay as first told.
pub(super) fn merge(before: Transaction, fact: &Fact, refund_id: Option<RefundId>) -> Transaction {
    let status = before.status.max(fact.status);
    let first_money = before.status < TransactionStatus::Authorized && fact.status >= TransactionStatus::Authorized;
    let told = fact.amount.filter(|amount| amount.minor > 0);
    let amount = told.filter(|_| first_money && !fact.is_capture).unwrap_or(before.amount);
    let taken = match told {
        _ if before.captured > 0 => before.captured,
        // More than was held cannot be booked; `contradicts` reports it.
        Some(told) if told.currency == amount.currency => {
            captured(before.kind, status, Money::new(told.minor.min(amount.minor), amount.currency))
        }
        _ => captured(before.kind, status, amount),
    };
    let fill = |known: &Option<String>, told: &Option<String>| known.clone().or_else(|| told.clone());
    Transaction {
        status,
        amount,
        captured: taken,
        refund_id: before.refund_id.clone().or(refund_id),
        reason_code: if status == TransactionStatus::Declined { before.reason_code.or(fact.reason_code) } else { None },
        card: Card {
            brand: fill(&before.card.brand, &fact.card.brand),
            first_six: fill(&before.card.first_six, &fact.card.first_six),
            last_four: fill(&before.card.last_four, &fact.card.last_four),
            issuer: fill(&before.card.issuer, &fact.card.issuer),
        },
        ..before
    }
}

/// Whether a fact about money that moved tells another sum than what is recorded. Less is taken than held only by a
/// capture; a hold that is told again after a part of it was taken is no contradiction.
pub(super) fn contradicts(before: &Transaction, fact: &Fact) -> bool {
    let Some(told) = fact.amount else { return false };
    if before.status < TransactionStatus::Authorized || fact.status < TransactionStatus::Authorized {
        return false;
    }
    told.currency != before.amount.currency || told.minor > before.amount.minor
}

pub(super) fn same(one: &Transaction, other: &Transaction) -> bool {
    (one.status, one.amount, one.captured, one.reason_code)
        == (other.status, other.amount, other.captured, other.reason_code)
        && one.refund_id == other.refund_id
        && one.card == other.card
}

/// Whether the transactions show the effect that the operation was to have, or that it can no longer have it.
pub(super) fn is_resolved(operation: &Operation, transactions: &[Transaction]) -> bool {
    let payments = || transactions.iter().filter(|transaction| transaction.kind == TransactionKind::Payment);
    let target = || payments().find(|transaction| Some(transaction.transaction_id) == operation.transaction_id);
    match operation.kind {
        // A refusal may be of another attempt: only the answer itself or the register closes a charge with it.
        OperationKind::Charge | OperationKind::Authorize => {
            payments().any(|transaction| transaction.status >= TransactionStatus::Authorized)
        }
        OperationKind::ThreeDs => {
            target().is_some_and(|transaction| transaction.status > TransactionStatus::AwaitingAuthentication)
        }
        OperationKind::Capture | OperationKind::Void => target().is_some_and(|transaction| {
            matches!(transaction.status, TransactionStatus::Completed | TransactionStatus::Voided)
        }),
        OperationKind::Refund => false,
    }
}

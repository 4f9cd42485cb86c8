//! How a new fact changes what is known of a transaction, and what it says of a call of ours. Pure.

use crate::clock::Timestamp;
use crate::domain::evidence::{Card, Fact, Settlement, Transaction, TransactionKind, TransactionStatus};
use crate::domain::id::{RefundId, TransactionRecordId};
use crate::domain::money::Money;
use crate::domain::payment::{CaptureMode, Operation, OperationKind, Payment};

/// What a payment asked for: the measure of what the provider tells about its transactions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// How much.
    pub amount: Money,
    /// Whether less may be taken than was held.
    pub capture: CaptureMode,
}

impl Asked {
    /// By a payment.
    pub(super) fn by(payment: &Payment) -> Asked {
        Asked { amount: payment.amount, capture: payment.capture }
    }

    /// Whether a sum that a money fact tells stands for a hold or a payment of what was asked for. What a Confirm takes
    /// was held before, for the sum that was asked for; that it is the whole of a hold of less is not told (contract section
    /// 14, point 22): such a hold has called a person when it was made.
    fn is_meant_by(self, fact: &Fact, told: Money) -> bool {
        told == self.amount
            || (fact.is_capture && told.currency == self.amount.currency && told.minor < self.amount.minor)
    }

    /// The sum of a transaction that such a fact is the first to tell the money of.
    fn sum(self, fact: &Fact, told: Money) -> Money {
        let is_payment = fact.kind == TransactionKind::Payment;
        if is_payment && tells_money(fact) && self.is_meant_by(fact, told) { self.amount } else { told }
    }
}

/// Whether a fact is about money that is held, was taken, or was given back.
pub(super) fn tells_money(fact: &Fact) -> bool {
    fact.status >= TransactionStatus::Authorized
}

/// What is known of a transaction by the first fact about it; `None` for a fact about money that does not tell how much.
pub(super) fn begin(
    id: TransactionRecordId,
    at: Timestamp,
    asked: Asked,
    fact: &Fact,
    refund_id: Option<RefundId>,
) -> Option<Transaction> {
    // Before money moves the sum is what was asked for; after it the provider has to say.
    let asked_for = (!tells_money(fact)).then_some(asked.amount);
    let told = fact.amount.or(asked_for).filter(|amount| amount.minor > 0)?;
    let amount = asked.sum(fact, told);
    let parent_transaction_id = match fact.kind {
        TransactionKind::Refund => Some(fact.parent_transaction_id?),
        TransactionKind::Payment => None,
    };
    Some(Transaction {
        id,
        transaction_id: fact.transaction_id,
        kind: fact.kind,
        status: fact.status,
        amount,
        captured: taken(fact.kind, fact.status, told),
        parent_transaction_id,
        refund_id,
        reason_code: fact.reason_code.filter(|_| fact.status == TransactionStatus::Declined),
        card: fact.card.clone(),
        settlement: settled(Settlement::default(), fact.status, fact, at),
        created_at: at,
        updated_at: at,
    })
}

fn taken(kind: TransactionKind, status: TransactionStatus, amount: Money) -> i64 {
    if kind == TransactionKind::Payment && status == TransactionStatus::Completed { amount.minor } else { 0 }
}

/// The stronger state wins, gaps are filled. Until money moves the sum is only what was asked for, so the fact that tells
/// of money tells the sum; after that it stays as first told, unless the sum that was asked for is told, which wins over
/// any other. So what follows does not depend on which of them is told first.
pub(super) fn merge(
    before: Transaction,
    fact: &Fact,
    refund_id: Option<RefundId>,
    asked: Asked,
    at: Timestamp,
) -> Transaction {
    let status = before.status.max(fact.status);
    let known =
        Settlement { moved_at: before.settlement.moved_at.filter(|_| before.status == status), ..before.settlement };
    let told = fact.amount.filter(|amount| amount.minor > 0 && tells_money(fact));
    let is_payment = before.kind == TransactionKind::Payment;
    let amount = match told {
        Some(told) if before.status < TransactionStatus::Authorized => asked.sum(fact, told),
        Some(told) if is_payment && asked.is_meant_by(fact, told) => asked.amount,
        // The notification of a refund states no currency; the register does.
        Some(told) if !is_payment && told.minor == before.amount.minor => told,
        _ => before.amount,
    };
    let fill = |known: &Option<String>, told: &Option<String>| known.clone().or_else(|| told.clone());
    Transaction {
        status,
        amount,
        captured: captured(&before, fact, status, amount, asked),
        refund_id: before.refund_id.clone().or(refund_id),
        reason_code: if status == TransactionStatus::Declined { before.reason_code.or(fact.reason_code) } else { None },
        card: Card {
            brand: fill(&before.card.brand, &fact.card.brand),
            first_six: fill(&before.card.first_six, &fact.card.first_six),
            last_four: fill(&before.card.last_four, &fact.card.last_four),
            issuer: fill(&before.card.issuer, &fact.card.issuer),
        },
        settlement: settled(known, status, fact, at),
        ..before
    }
}

/// What an accountant asks. The outcome came about at the earliest moment that is told, at the latest when we first heard of
/// it; fee and payout are what was told last.
fn settled(known: Settlement, status: TransactionStatus, fact: &Fact, at: Timestamp) -> Settlement {
    let told = fact.settlement;
    let moved_at =
        told.moved_at.filter(|_| fact.status == status).into_iter().chain([known.moved_at.unwrap_or(at)]).min();
    Settlement {
        moved_at: moved_at.filter(|_| status.is_outcome()),
        fee: told.fee.or(known.fee),
        payout: told.payout.or(known.payout),
        payout_at: told.payout_at.or(known.payout_at),
    }
}

/// What was taken. Of a hold the least that is told: whether the provider then tells what was taken or what was held is
/// not known (contract section 14, point 22). More than was held cannot be booked; [`contradicts`] reports it.
fn captured(before: &Transaction, fact: &Fact, status: TransactionStatus, amount: Money, asked: Asked) -> i64 {
    let known = (before.captured > 0).then_some(before.captured.min(amount.minor));
    let told = fact.amount.filter(|told| {
        fact.status == TransactionStatus::Completed && told.minor > 0 && told.currency == amount.currency
    });
    let told = told.map(|told| told.minor.min(amount.minor));
    let sum = match (known, told) {
        (Some(known), Some(told)) if asked.capture == CaptureMode::Manual => known.min(told),
        (Some(_), Some(told)) if told == asked.amount.minor => told,
        (Some(sum), _) | (None, Some(sum)) => sum,
        (None, None) => amount.minor,
    };
    taken(before.kind, status, Money::new(sum, amount.currency))
}

/// Whether a fact about money that had moved tells another sum than what is recorded now. Less is taken than held only by
/// a capture; a hold that is told again after a part of it was taken is no contradiction.
pub(super) fn contradicts(before: &Transaction, after: &Transaction, fact: &Fact) -> bool {
    let Some(told) = fact.amount else { return false };
    if before.status < TransactionStatus::Authorized || !tells_money(fact) {
        return false;
    }
    let held_in = if before.kind == TransactionKind::Refund { before.amount } else { after.amount }.currency;
    told.currency != held_in || told.minor > after.amount.minor
}

pub(super) fn same(one: &Transaction, other: &Transaction) -> bool {
    (one.status, one.amount, one.captured, one.reason_code)
        == (other.status, other.amount, other.captured, other.reason_code)
        && one.refund_id == other.refund_id
        && one.card == other.card
}

/// Whether the transactions show the effect that the operation was to have, or that it can no longer have it. Money of
/// another sum for the same bill is not what a charge of `asked` was to take.
pub(super) fn is_resolved(operation: &Operation, asked: Money, transactions: &[Transaction]) -> bool {
    let payments = || transactions.iter().filter(|transaction| transaction.kind == TransactionKind::Payment);
    let target = || payments().find(|transaction| Some(transaction.transaction_id) == operation.transaction_id);
    match operation.kind {
        // A refusal may be of another attempt, or of a first bank, and what was released, or taken in part, of somebody
        // else's hold: only the answer itself or the register closes a charge, or the end of 3-D Secure, with it.
        OperationKind::Charge | OperationKind::Authorize | OperationKind::ThreeDs => {
            payments().filter(|transaction| transaction.amount == asked).any(|transaction| match transaction.status {
                TransactionStatus::Authorized => true,
                TransactionStatus::Completed => transaction.captured == asked.minor,
                _ => false,
            })
        }
        OperationKind::Capture | OperationKind::Void => target().is_some_and(|transaction| {
            matches!(transaction.status, TransactionStatus::Completed | TransactionStatus::Voided)
        }),
        OperationKind::Refund => false,
    }
}

#[cfg(test)]
mod tests;

//! What the provider says happened, and what follows from it.
//!
//! [`derive()`] computes state and sums from the whole set of recorded transactions, so the order in which facts arrive
//! (answer, notification, lookup; once or many times) does not matter.

use std::fmt;

use crate::domain::id::{RefundId, TransactionRecordId};
use crate::domain::money::Money;
use crate::domain::payment::{CaptureMode, OperationKind, Sums};
use crate::domain::refund::RefundStatus;
use crate::domain::state::Status;

/// What a transaction of the provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionKind {
    /// Takes or holds money (`Type` 0).
    Payment,
    /// Gives it back (`Type` 1).
    Refund,
}

impl TransactionKind {
    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            TransactionKind::Payment => "payment",
            TransactionKind::Refund => "refund",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<TransactionKind> {
        [TransactionKind::Payment, TransactionKind::Refund].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where a transaction of the provider is (contract section 5). The order is the order of strength: what shows that money
/// moved wins over what does not, whichever arrives first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionStatus {
    /// We answered a Check for it with 0; its outcome follows.
    Checked,
    /// The payer is at their bank.
    AwaitingAuthentication,
    /// Refused.
    Declined,
    /// Money held.
    Authorized,
    /// Hold released.
    Voided,
    /// Money moved.
    Completed,
}

impl TransactionStatus {
    const ALL: [TransactionStatus; 6] = [
        TransactionStatus::Checked,
        TransactionStatus::AwaitingAuthentication,
        TransactionStatus::Declined,
        TransactionStatus::Authorized,
        TransactionStatus::Voided,
        TransactionStatus::Completed,
    ];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            TransactionStatus::Checked => "checked",
            TransactionStatus::AwaitingAuthentication => "awaiting_authentication",
            TransactionStatus::Declined => "declined",
            TransactionStatus::Authorized => "authorized",
            TransactionStatus::Voided => "voided",
            TransactionStatus::Completed => "completed",
        }
    }

    /// Whether it is an outcome: nothing waits for the payer, the bank or a capture.
    pub fn is_outcome(self) -> bool {
        matches!(self, TransactionStatus::Declined | TransactionStatus::Voided | TransactionStatus::Completed)
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<TransactionStatus> {
        TransactionStatus::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What may be shown of a card.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Card {
    /// `visa`, `mastercard`, … lower case.
    pub brand: Option<String>,
    /// First six digits.
    pub first_six: Option<String>,
    /// Last four digits.
    pub last_four: Option<String>,
    /// The bank that issued it.
    pub issuer: Option<String>,
}

/// What an accountant asks of a transaction beside its sum. Sums are minor units of the transaction's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settlement {
    /// When the outcome came about: money taken or given back, a hold released, an attempt refused. `None` before there is
    /// an outcome, and in a fact whose source does not tell.
    pub moved_at: Option<crate::clock::Timestamp>,
    /// What the provider keeps for it.
    pub fee: Option<i64>,
    /// What the provider pays out for it.
    pub payout: Option<i64>,
    /// When it does.
    pub payout_at: Option<crate::clock::Timestamp>,
}

/// One statement of the provider about one transaction: from an answer, a notification or its register.
#[derive(Debug, Clone)]
pub struct Fact {
    /// The provider's number; does not fit 32 bits.
    pub transaction_id: i64,
    /// Payment or refund.
    pub kind: TransactionKind,
    /// Where it is.
    pub status: TransactionStatus,
    /// The sum it speaks of; `None` where the source does not tell a sum in a currency we know.
    pub amount: Option<Money>,
    /// Whether `amount` is what was taken of a hold (Confirm), which may be less than what was held.
    pub is_capture: bool,
    /// For refunds: the payment transaction that was given back from.
    pub parent_transaction_id: Option<i64>,
    /// Why it was refused.
    pub reason_code: Option<i32>,
    /// What may be shown of the card.
    pub card: Card,
    /// The bill it was paid for, as the provider has it.
    pub invoice_id: Option<String>,
    /// Our payment, from the data we sent along.
    pub payment_id: Option<String>,
    /// Our refund, from the data we sent along.
    pub refund_id: Option<String>,
    /// The payer's id, as the provider has it.
    pub account_id: Option<String>,
    /// The plan that made it.
    pub subscription_id: Option<String>,
    /// Whether the terminal is in test mode.
    pub test_mode: Option<bool>,
    /// When the transaction was made, by the provider's clock; told by lookups and the register.
    pub made_at: Option<crate::clock::Timestamp>,
    /// What else it says for the accountant.
    pub settlement: Settlement,
}

/// A transaction of the provider as we recorded it.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Our id of the record.
    pub id: TransactionRecordId,
    /// The provider's number.
    pub transaction_id: i64,
    /// Payment or refund.
    pub kind: TransactionKind,
    /// The strongest state we have evidence of.
    pub status: TransactionStatus,
    /// What was asked for or held; for refunds what was given back.
    pub amount: Money,
    /// What was taken, minor units; below `amount` after a partial capture.
    pub captured: i64,
    /// For refunds: the payment transaction.
    pub parent_transaction_id: Option<i64>,
    /// For refunds of ours: which one.
    pub refund_id: Option<RefundId>,
    /// Why it was refused.
    pub reason_code: Option<i32>,
    /// What may be shown of the card.
    pub card: Card,
    /// What an accountant asks of it.
    pub settlement: Settlement,
    /// When we first heard of it.
    pub created_at: crate::clock::Timestamp,
    /// When we last learned something new.
    pub updated_at: crate::clock::Timestamp,
}

/// A refund of ours, as far as the sums need it.
#[derive(Debug, Clone, Copy)]
pub struct RefundShare {
    /// The payment transaction it gives back from.
    pub parent_transaction_id: i64,
    /// Minor units.
    pub amount: i64,
    /// Where it is.
    pub status: RefundStatus,
}

/// Everything [`derive()`] looks at.
#[derive(Debug)]
pub struct Known<'a> {
    /// The state before.
    pub status: Status,
    /// What is to be paid.
    pub amount: Money,
    /// One stage or two.
    pub capture: CaptureMode,
    /// Whether the payer may try again after a decline.
    pub hosted: bool,
    /// All transactions of the payment.
    pub transactions: &'a [Transaction],
    /// All refunds of the payment.
    pub refunds: &'a [RefundShare],
    /// The call under way or without a known outcome, refunds aside.
    pub open_operation: Option<OperationKind>,
}

/// What follows from what is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Derived {
    /// The state now.
    pub status: Status,
    /// The sums now.
    pub sums: Sums,
    /// The transaction that carries the payment's money.
    pub counted: Option<i64>,
    /// What a person should look at, one entry for each piece of evidence.
    pub attention: Vec<Attention>,
}

/// Something that a person should look at, and the evidence that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// Stable code.
    pub code: &'static str,
    /// Tells this piece of evidence from others of the same code: ids and sums, in one line.
    pub evidence: String,
}

impl Attention {
    /// By its code and what tells its evidence apart.
    pub fn new(code: &'static str, evidence: impl fmt::Display) -> Attention {
        Attention { code, evidence: evidence.to_string() }
    }

    /// What is remembered of it, so that the same evidence does not call again.
    pub fn mark(&self) -> String {
        format!("{}:{}", self.code, self.evidence)
    }
}

/// State and sums from the set of facts. Pure; the same set gives the same result in any order.
pub fn derive(known: &Known<'_>) -> Derived {
    let counted = counted_transaction(known);
    let sums = counted.map(|transaction| sums_of(transaction, known)).unwrap_or_default();
    let status = match counted.map(|transaction| transaction.status) {
        Some(TransactionStatus::Completed) if sums.refunded == 0 => Status::Paid,
        Some(TransactionStatus::Completed) if sums.refunded < sums.captured => Status::PartiallyRefunded,
        Some(TransactionStatus::Completed) => Status::Refunded,
        Some(TransactionStatus::Authorized) => Status::Authorized,
        Some(TransactionStatus::Voided) => Status::Cancelled,
        _ => status_without_money(known),
    };
    let attention = attention(known, counted, sums);
    Derived { status, sums, counted: counted.map(|transaction| transaction.transaction_id), attention }
}

/// The transaction that carries the money: the strongest one of the right sum; of equals the oldest.
fn counted_transaction<'a>(known: &Known<'a>) -> Option<&'a Transaction> {
    known
        .transactions
        .iter()
        .filter(|transaction| transaction.status >= TransactionStatus::Authorized && fits(transaction, known))
        .max_by_key(|transaction| {
            (transaction.status != TransactionStatus::Voided, transaction.status, -transaction.transaction_id)
        })
}

/// Whether a transaction with money is the one that was asked for: a payment or a hold of exactly this sum and currency.
/// Of a hold less may have been taken, in the provider's cabinet too: what was booked once stays booked.
fn fits(transaction: &Transaction, known: &Known<'_>) -> bool {
    transaction.kind == TransactionKind::Payment && transaction.amount == known.amount
}

fn sums_of(counted: &Transaction, known: &Known<'_>) -> Sums {
    let id = counted.transaction_id;
    let refunded: i64 = known
        .transactions
        .iter()
        .filter(|transaction| is_refund_of(transaction, id))
        .map(|transaction| transaction.amount.minor)
        .sum();
    let refund_pending: i64 = known
        .refunds
        .iter()
        .filter(|refund| refund.status == RefundStatus::Pending && refund.parent_transaction_id == id)
        .map(|refund| refund.amount)
        .sum();
    let captured = if counted.status == TransactionStatus::Completed { counted.captured } else { 0 };
    let refunded = if captured > 0 { refunded } else { 0 };
    let refund_excess = (refunded + refund_pending - captured).max(0);
    Sums { authorized: known.amount.minor.min(counted.amount.minor), captured, refunded, refund_pending, refund_excess }
}

fn is_refund_of(transaction: &Transaction, payment_transaction: i64) -> bool {
    transaction.kind == TransactionKind::Refund
        && transaction.status == TransactionStatus::Completed
        && transaction.parent_transaction_id == Some(payment_transaction)
}

fn status_without_money(known: &Known<'_>) -> Status {
    let has = |status| {
        known
            .transactions
            .iter()
            .any(|transaction| transaction.kind == TransactionKind::Payment && transaction.status == status)
    };
    match known.status {
        // Hosted payments rest where they are until money shows or somebody ends them.
        resting if known.hosted => resting,
        // A call whose own outcome is not known may still take money, whatever is told of other attempts: the provider
        // may try a second bank after the first one refused.
        Status::Processing | Status::AwaitingAuthentication if known.open_operation.is_some() => Status::Processing,
        // The one attempt of a card payment: refused, at the bank, or under way.
        _ if has(TransactionStatus::Declined) => Status::Declined,
        Status::Processing if has(TransactionStatus::AwaitingAuthentication) => Status::AwaitingAuthentication,
        resting => resting,
    }
}

/// Surprises with money that this payment alone cannot put right. A second transaction is new evidence again when it goes
/// from held to taken, or when it is the second to another one; so is a larger sum given back.
fn attention(known: &Known<'_>, counted: Option<&Transaction>, sums: Sums) -> Vec<Attention> {
    let with_money = |transaction: &&Transaction| {
        transaction.kind == TransactionKind::Payment
            && matches!(transaction.status, TransactionStatus::Authorized | TransactionStatus::Completed)
            && Some(transaction.transaction_id) != counted.map(|counted| counted.transaction_id)
    };
    let mut others: Vec<&Transaction> = known.transactions.iter().filter(with_money).collect();
    // A second payment of the right sum is the more serious, whichever was heard of first.
    others.sort_by_key(|transaction| (!fits(transaction, known), transaction.transaction_id));
    let mut attention: Vec<Attention> = others
        .into_iter()
        .map(|transaction| {
            let state = format!("{}/{}", transaction.transaction_id, transaction.status.as_str());
            match counted.filter(|_| fits(transaction, known)) {
                Some(counted) => Attention::new("paid_twice", format_args!("{state}/{}", counted.transaction_id)),
                None => Attention::new("amount_mismatch", state),
            }
        })
        .collect();
    if let Some(counted) = counted.filter(|counted| known.capture == CaptureMode::Automatic && takes_a_part(counted)) {
        attention.push(Attention::new("amount_mismatch", format_args!("{}/part", counted.transaction_id)));
    }
    if sums.refund_excess > probably_told_twice(known) {
        attention.push(Attention::new("refunded_more_than_left", sums.refunded));
    }
    attention
}

fn takes_a_part(counted: &Transaction) -> bool {
    counted.status == TransactionStatus::Completed && counted.captured < counted.amount.minor
}

/// Pending refunds of ours for which a refund of the same sum is recorded without a name: most likely the notification
/// that overtook the answer to our own call. The sums count both until the answer tells; nobody needs to look at it.
fn probably_told_twice(known: &Known<'_>) -> i64 {
    let mut unnamed: Vec<i64> = known
        .transactions
        .iter()
        .filter(|transaction| transaction.kind == TransactionKind::Refund && transaction.refund_id.is_none())
        .map(|transaction| transaction.amount.minor)
        .collect();
    let pending = known.refunds.iter().filter(|refund| refund.status == RefundStatus::Pending);
    pending
        .filter_map(|refund| {
            let position = unnamed.iter().position(|amount| *amount == refund.amount)?;
            Some(unnamed.swap_remove(position))
        })
        .sum()
}

#[cfg(test)]
mod tests;

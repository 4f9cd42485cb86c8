//! The single door by which a payment changes.
//!
//! [`Recorder::learn`] keeps a fact; [`Recorder::settle`] derives what follows from all facts, updates the payment under
//! its guard, and appends the history row and the events in the same transaction.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::merge::{captured, contradicts, is_resolved, merge, same};
use super::take_notification::take_unmatched;
use super::{Event, PaymentDetails, Transition};
use crate::clock::{IdSource, Timestamp};
use crate::domain::evidence::{
    Card, Fact, Known, RefundShare, Transaction, TransactionKind, TransactionStatus, derive,
};
use crate::domain::id::{EventId, RefundId, TransactionRecordId};
use crate::domain::payment::{Operation, OperationKind, OperationState, Payment};
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::state::{Cause, Certainty, Status};
use crate::error::{Error, Result};
use crate::store::{Tx, events, operations, payments, refunds, transactions, transitions};

/// Who changes something, and when.
#[derive(Clone)]
pub(super) struct Recorder {
    pub ids: Arc<dyn IdSource>,
    pub at: Timestamp,
    pub cause: Cause,
}

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// We knew nothing of this transaction, or it is further than we knew.
    Something,
    /// Something that contradicts the sum or the currency we knew; kept as far as the books allow.
    Mismatch,
    /// Nothing that we did not know.
    Nothing,
    /// The transaction is recorded with another payment.
    OtherPayment,
    /// A fact about money that does not tell how much.
    Unreadable,
}

/// What goes with a change besides what follows from the facts.
#[derive(Default)]
pub(super) struct Note {
    /// The provider's transaction it is about.
    pub transaction_id: Option<i64>,
    /// More about it, for the history.
    pub detail: Map<String, Value>,
    /// Append a history row even where nothing else changes.
    pub always: bool,
    /// Events besides those that follow from the new state.
    pub events: Vec<(&'static str, Option<RefundId>)>,
    /// Where the payment rests unless money says otherwise.
    pub rest_in: Option<Status>,
    /// Something a person should look at.
    pub attention: Option<&'static str>,
    /// Whether the provider's terminal is in test mode, where told.
    pub test_mode: Option<bool>,
    /// A request of a caller, not evidence: it may never push the refunds over what was taken (the database refuses).
    pub requested: bool,
}

impl Note {
    /// A note about a transaction.
    pub(super) fn about(transaction_id: i64) -> Note {
        Note { transaction_id: Some(transaction_id), ..Note::default() }
    }

    /// The note for something new that a notification or a lookup told. What our own call was answered has notes of its
    /// own, see `conclude`.
    pub(super) fn of_fact(payment: &Payment, fact: &Fact) -> Note {
        let mut note = Note { test_mode: fact.test_mode, ..Note::about(fact.transaction_id) };
        match (fact.kind, fact.status) {
            (TransactionKind::Payment, TransactionStatus::Declined) => {
                if let Some(code) = fact.reason_code {
                    note = note.with("reason_code", code);
                }
                if payment.method.is_hosted() {
                    // The payment goes on; the attempt is history.
                    note.always = true;
                    note.events.push(("payment.attempt_declined", None));
                }
            }
            (TransactionKind::Refund, TransactionStatus::Completed) => {
                if let Some(amount) = fact.amount {
                    note = note.with("refunded", amount.to_decimal());
                }
                note.always = true;
                note.events.push(("refund.succeeded", fact.refund_id.as_deref().and_then(RefundId::parse)));
            }
            _ => {}
        }
        note
    }

    /// Adds to the detail.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Note {
        self.detail.insert(key.to_owned(), value.into());
        self
    }
}

impl Recorder {
    /// Writes a new payment with the first row of its history.
    pub(super) fn create(&self, tx: &mut Tx<'_>, payment: &Payment) -> Result<()> {
        payments::insert(tx, payment)?;
        self.append(tx, payment, None, None, Map::new())
    }

    /// Keeps what a fact says of its transaction. `refund_id` is the refund of ours that the fact is known to be about.
    pub(super) fn learn(
        &self,
        tx: &mut Tx<'_>,
        payment: &Payment,
        fact: &Fact,
        refund_id: Option<&RefundId>,
    ) -> Result<Learned> {
        let nameless = payment.erased.then(|| without_card(fact));
        let fact = nameless.as_ref().unwrap_or(fact);
        let known = transactions::find(tx, fact.transaction_id)?;
        let refund = match fact.kind {
            TransactionKind::Refund => self.refund_behind(tx, payment, fact, refund_id)?,
            TransactionKind::Payment => None,
        };
        let learned = match known {
            Some((owner, _)) if owner != payment.id => return Ok(Learned::OtherPayment),
            Some((_, before)) => {
                let after = merge(before.clone(), fact, refund.as_ref().map(|refund| refund.id.clone()));
                let odd = contradicts(&before, fact);
                if same(&before, &after) && !odd {
                    Learned::Nothing
                } else {
                    transactions::update(tx, &payment.id, &Transaction { updated_at: self.at, ..after })?;
                    if odd { Learned::Mismatch } else { Learned::Something }
                }
            }
            None => match self.first_record(payment, fact, refund.as_ref().map(|refund| refund.id.clone())) {
                Some(transaction) => {
                    transactions::insert(tx, &payment.id, &transaction)?;
                    self.learn_early(tx, payment, fact)?;
                    Learned::Something
                }
                None => return Ok(Learned::Unreadable),
            },
        };
        if let Some(refund) = refund {
            self.complete_refund(tx, refund, fact.transaction_id)?;
        }
        Ok(learned)
    }

    /// Keeps what notifications told of a payment's transaction before we knew whose it is.
    fn learn_early(&self, tx: &mut Tx<'_>, payment: &Payment, fact: &Fact) -> Result<()> {
        if fact.kind == TransactionKind::Refund {
            return Ok(());
        }
        for early in take_unmatched(tx, payment, fact.transaction_id)? {
            if self.learn(tx, payment, &early, None)? == Learned::Something && early.kind == TransactionKind::Refund {
                let refund_id = early.refund_id.as_deref().and_then(RefundId::parse);
                // The row of the history that this becomes part of is the next one.
                let next = Payment { sequence: payment.sequence + 1, ..payment.clone() };
                self.announce(tx, &next, "refund.succeeded", refund_id)?;
            }
        }
        Ok(())
    }

    /// A capture of ours was answered: exactly `amount` was taken, whatever a notification said before.
    pub(super) fn learn_capture(
        &self,
        tx: &mut Tx<'_>,
        payment: &Payment,
        transaction_id: i64,
        amount: i64,
    ) -> Result<()> {
        if let Some((_, transaction)) = transactions::find(tx, transaction_id)? {
            let captured = Transaction {
                status: TransactionStatus::Completed,
                captured: amount,
                updated_at: self.at,
                ..transaction
            };
            transactions::update(tx, &payment.id, &captured)?;
        }
        Ok(())
    }

    /// Derives the payment from all that is recorded and, where it changed, writes it with its history row and events.
    pub(super) fn settle(&self, tx: &mut Tx<'_>, payment: Payment, note: Note) -> Result<PaymentDetails> {
        let mut transactions = transactions::of_payment(tx, &payment.id)?;
        let open = self.close_resolved(tx, &payment, &mut transactions)?;
        let refunds = refunds::of_payment(tx, &payment.id)?;
        let next = self.next(&payment, &transactions, &refunds, open.as_ref(), &note);
        let payment =
            if note.always || changed(&payment, &next) { self.write(tx, &payment, next, note)? } else { payment };
        Ok(PaymentDetails { payment, transactions: shown(transactions) })
    }

    /// Closes the open call whose effect the transactions show, and returns the one that stays open.
    fn close_resolved(
        &self,
        tx: &mut Tx<'_>,
        payment: &Payment,
        transactions: &mut [Transaction],
    ) -> Result<Option<Operation>> {
        let mut open = None;
        for operation in operations::open_of_payment(tx, &payment.id)? {
            if operation.kind == OperationKind::Refund {
                continue;
            }
            if is_resolved(&operation, transactions) {
                operations::close(tx, &operation.id, OperationState::Settled, Some("by evidence"))?;
                self.take_what_was_asked(tx, payment, &operation, transactions)?;
            } else {
                open = Some(operation);
            }
        }
        Ok(open)
    }

    /// A capture of ours took exactly its own sum; whether a Confirm tells that sum or the sum of the hold is not known
    /// (contract section 14, point 22).
    fn take_what_was_asked(
        &self,
        tx: &mut Tx<'_>,
        payment: &Payment,
        operation: &Operation,
        transactions: &mut [Transaction],
    ) -> Result<()> {
        let (OperationKind::Capture, Some(amount)) = (operation.kind, operation.amount) else { return Ok(()) };
        let taken = transactions.iter_mut().find(|transaction| {
            Some(transaction.transaction_id) == operation.transaction_id
                && transaction.status == TransactionStatus::Completed
                && transaction.captured != amount
        });
        match taken {
            Some(transaction) => {
                transaction.captured = amount;
                self.learn_capture(tx, payment, transaction.transaction_id, amount)
            }
            None => Ok(()),
        }
    }

    fn next(
        &self,
        payment: &Payment,
        transactions: &[Transaction],
        refunds: &[Refund],
        open: Option<&Operation>,
        note: &Note,
    ) -> Payment {
        let shares: Vec<RefundShare> = refunds
            .iter()
            .map(|refund| RefundShare {
                parent_transaction_id: refund.parent_transaction_id,
                amount: refund.amount.minor,
                status: refund.status,
            })
            .collect();
        let derived = derive(&Known {
            status: note.rest_in.unwrap_or(payment.status),
            amount: payment.amount,
            capture: payment.capture,
            hosted: payment.method.is_hosted(),
            transactions,
            refunds: &shares,
            open_operation: open.map(|operation| operation.kind),
        });
        let lost = open.filter(|operation| operation.state == OperationState::Undetermined);
        let mut next = payment.clone();
        next.status = derived.status;
        next.sums = derived.sums;
        if note.requested {
            next.sums.refund_excess = payment.sums.refund_excess;
        }
        next.decide_by = lost.map(|operation| operation.started_at.plus_seconds(super::PROVIDER_MEMORY_S));
        next.certainty = if lost.is_some() { Certainty::Undetermined } else { Certainty::Proven };
        next.attention = derived.attention.or(note.attention).map(str::to_owned).or_else(|| payment.attention.clone());
        next.test_mode = note.test_mode.or(payment.test_mode);
        if !matches!(next.status, Status::AwaitingAuthentication | Status::Processing) {
            next.three_ds = None;
        }
        next
    }

    fn write(&self, tx: &mut Tx<'_>, before: &Payment, mut next: Payment, note: Note) -> Result<Payment> {
        next.sequence = before.sequence + 1;
        next.updated_at = self.at;
        if !payments::update(tx, &next, before.sequence)? {
            // Another process changed the payment since we read it in this transaction. The store runs us again.
            return Err(Error::database_unavailable(format!("{} changed meanwhile", before.id)));
        }
        let mut detail = note.detail;
        if next.certainty != before.certainty {
            detail.insert("certainty".to_owned(), json!(next.certainty.as_str()));
        }
        let new_attention =
            next.attention.as_deref().filter(|attention| before.attention.as_deref() != Some(attention));
        if let Some(attention) = new_attention {
            detail.insert("attention".to_owned(), json!(attention));
            self.announce(tx, &next, "payment.needs_attention", None)?;
        }
        self.append(tx, &next, Some(before.status), note.transaction_id, detail)?;
        if let Some(kind) = event_of(before.status, next.status) {
            self.announce(tx, &next, kind, None)?;
        }
        for (kind, refund_id) in note.events {
            self.announce(tx, &next, kind, refund_id)?;
        }
        Ok(next)
    }

    fn append(
        &self,
        tx: &mut Tx<'_>,
        payment: &Payment,
        from: Option<Status>,
        transaction_id: Option<i64>,
        detail: Map<String, Value>,
    ) -> Result<()> {
        let transition = Transition {
            sequence: payment.sequence,
            from,
            to: payment.status,
            cause: self.cause.clone(),
            at: self.at,
            transaction_id,
            detail: Value::Object(detail).to_string(),
        };
        transitions::append(tx, &payment.id, &transition)
    }

    fn announce(&self, tx: &mut Tx<'_>, payment: &Payment, kind: &str, refund_id: Option<RefundId>) -> Result<()> {
        let event = Event {
            id: EventId::generate(self.at, self.ids.as_ref()),
            kind: kind.to_owned(),
            payment_id: payment.id.clone(),
            refund_id: refund_id.map(|id| id.to_string()),
            sequence: payment.sequence,
            at: self.at,
        };
        events::append(tx, &event)
    }

    /// The refund of ours that a refund fact is about: told by our own call, or by the data we sent along.
    fn refund_behind(
        &self,
        tx: &mut Tx<'_>,
        payment: &Payment,
        fact: &Fact,
        told: Option<&RefundId>,
    ) -> Result<Option<Refund>> {
        let id = told.cloned().or_else(|| fact.refund_id.as_deref().and_then(RefundId::parse));
        let Some(id) = id else { return Ok(None) };
        let refund = refunds::find(tx, &id)?;
        Ok(refund.filter(|refund| {
            // A second transaction in the name of one refund is recorded without its name: the money moved twice.
            refund.transaction_id.is_none_or(|booked| booked == fact.transaction_id)
                && refund.payment_id == payment.id
                && fact.amount.is_none_or(|amount| amount == refund.amount)
        }))
    }

    fn complete_refund(&self, tx: &mut Tx<'_>, refund: Refund, transaction_id: i64) -> Result<()> {
        for operation in operations::open_of_payment(tx, &refund.payment_id)? {
            if operation.refund_id.as_ref() == Some(&refund.id) {
                operations::close(tx, &operation.id, OperationState::Settled, None)?;
            }
        }
        let completed = Refund {
            status: RefundStatus::Succeeded,
            certainty: Certainty::Proven,
            decide_by: None,
            failure: None,
            transaction_id: Some(transaction_id),
            updated_at: self.at,
            ..refund
        };
        refunds::complete(tx, &completed).map(drop)
    }

    fn first_record(&self, payment: &Payment, fact: &Fact, refund_id: Option<RefundId>) -> Option<Transaction> {
        // Before money moves the sum is what was asked for; after it the provider has to say.
        let asked_for = (fact.status < TransactionStatus::Authorized).then_some(payment.amount);
        let told = fact.amount.or(asked_for).filter(|amount| amount.minor > 0)?;
        // What a Confirm takes was held before, for the sum that was asked for.
        let part_of_hold = fact.is_capture && told.currency == payment.currency() && told.minor < payment.amount.minor;
        let amount = if part_of_hold { payment.amount } else { told };
        let parent_transaction_id = match fact.kind {
            TransactionKind::Refund => Some(fact.parent_transaction_id?),
            TransactionKind::Payment => None,
        };
        Some(Transaction {
            id: TransactionRecordId::generate(self.at, self.ids.as_ref()),
            transaction_id: fact.transaction_id,
            kind: fact.kind,
            status: fact.status,
            amount,
            captured: captured(fact.kind, fact.status, told),
            parent_transaction_id,
            refund_id,
            reason_code: fact.reason_code.filter(|_| fact.status == TransactionStatus::Declined),
            card: fact.card.clone(),
            created_at: self.at,
            updated_at: self.at,
        })
    }
}

/// The transaction that carries the payment's money.
pub(super) fn counted_transaction(tx: &mut Tx<'_>, payment: &Payment) -> Result<Option<i64>> {
    let transactions = transactions::of_payment(tx, &payment.id)?;
    let known = Known {
        status: payment.status,
        amount: payment.amount,
        capture: payment.capture,
        hosted: payment.method.is_hosted(),
        transactions: &transactions,
        refunds: &[],
        open_operation: None,
    };
    Ok(derive(&known).counted)
}

/// A fact as it is kept of an erased payer: no card comes back with a late one.
fn without_card(fact: &Fact) -> Fact {
    Fact { card: Card { brand: fact.card.brand.clone(), ..Card::default() }, ..fact.clone() }
}

fn changed(before: &Payment, next: &Payment) -> bool {
    (before.status, before.sums, before.certainty, before.decide_by, before.test_mode)
        != (next.status, next.sums, next.certainty, next.decide_by, next.test_mode)
        || before.attention != next.attention
}

fn event_of(before: Status, after: Status) -> Option<&'static str> {
    if before == after {
        return None;
    }
    match after {
        Status::Paid => Some("payment.paid"),
        Status::Authorized => Some("payment.authorized"),
        Status::Declined => Some("payment.declined"),
        Status::Cancelled => Some("payment.cancelled"),
        Status::Expired => Some("payment.expired"),
        Status::AwaitingPayer
        | Status::Processing
        | Status::AwaitingAuthentication
        | Status::PartiallyRefunded
        | Status::Refunded => None,
    }
}

/// Transactions as callers see them: those we only answered a Check for are ours to remember.
pub(super) fn shown(transactions: Vec<Transaction>) -> Vec<Transaction> {
    transactions.into_iter().filter(|transaction| transaction.status != TransactionStatus::Checked).collect()
}

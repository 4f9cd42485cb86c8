//! The single door by which a payment changes.
//!
//! [`Recorder::learn`] keeps a fact; [`Recorder::settle`] derives what follows from all facts, updates the payment under
//! its guard, and appends the history row and the events in the same transaction.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::captures::Seen;
use super::merge::{Asked, begin, contradicts, is_resolved, merge, same, tells_money};
pub(super) use super::note::Note;
use super::take_notification::take_unmatched;
use super::{Event, PaymentDetails, Transition, told_sums};
use crate::clock::{IdSource, Timestamp};
use crate::domain::evidence::{
    Attention, Card, Fact, Known, RefundShare, Settlement, Transaction, TransactionKind, TransactionStatus, derive,
};
use crate::domain::id::{EventId, NotificationId, RefundId, TransactionRecordId};
use crate::domain::payment::{Operation, OperationKind, OperationState, Payment};
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::state::{Cause, CauseType, Certainty, Status};
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::store::outlines::Outline;
use crate::store::{Tx, events, operations, payments, refunds, transactions, transitions};

/// At most so many marks of evidence are remembered; what is older may call once more.
const MARK_LIMIT: usize = 100;

/// Who changes something, and when.
#[derive(Clone)]
pub(super) struct Recorder {
    pub ids: Arc<dyn IdSource>,
    pub metrics: Arc<Metrics>,
    pub at: Timestamp,
    pub cause: Cause,
}

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// We knew nothing of this transaction, or it is further than we knew.
    Something,
    /// Money that we did not know of: the history tells of each, whether it changes the payment or not.
    Money,
    /// Something, and notifications that came before were taken up with it.
    SomethingAndEarlier,
    /// Something that contradicts the sum or the currency we knew; kept as far as the books allow.
    Mismatch,
    /// Nothing that we did not know.
    Nothing,
    /// The transaction is recorded with another payment.
    OtherPayment,
    /// A fact about money that does not tell how much.
    Unreadable,
}

impl Learned {
    /// Whether the payment has to be settled.
    pub(super) fn is_news(self) -> bool {
        matches!(self, Learned::Something | Learned::Money | Learned::SomethingAndEarlier | Learned::Mismatch)
    }
}

/// What closing the calls whose effect is seen came to.
#[derive(Default)]
struct Closed {
    /// The call that stays open.
    open: Option<Operation>,
    /// A capture of ours is what may have taken the money.
    capture: bool,
    /// What a person has to look at.
    unclear: Option<Attention>,
}

impl Recorder {
    /// Writes a new payment with the first row of its history.
    pub(super) fn create(&self, tx: &mut Tx<'_>, payment: &Payment) -> Result<()> {
        payments::insert(tx, payment)?;
        let order = told_sums::Order::of(payment).told();
        let detail = told_sums::asked(payment.amount).into_iter().chain([order]).collect();
        self.append(tx, payment, None, None, detail)
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
                let refund_id = refund.as_ref().map(|refund| refund.id.clone());
                let after = merge(before.clone(), fact, refund_id, Asked::by(payment), self.at);
                let odd = contradicts(&before, &after, fact);
                if same(&before, &after) && !odd {
                    // What only the accountant asks is kept, and is no news: nobody is told of it.
                    if after.settlement != before.settlement {
                        transactions::update(tx, &payment.id, &after)?;
                    }
                    Learned::Nothing
                } else {
                    transactions::update(tx, &payment.id, &Transaction { updated_at: self.at, ..after })?;
                    let is_money = before.status < TransactionStatus::Authorized && tells_money(fact);
                    match (odd, is_money) {
                        (true, _) => Learned::Mismatch,
                        (false, true) => Learned::Money,
                        (false, false) => Learned::Something,
                    }
                }
            }
            None => match self.first_record(payment, fact, refund.as_ref().map(|refund| refund.id.clone())) {
                Some(transaction) => {
                    transactions::insert(tx, &payment.id, &transaction)?;
                    if fact.kind == TransactionKind::Refund && transaction.refund_id.is_none() {
                        self.metrics.surprise("refund_without_request");
                    }
                    match self.learn_early(tx, payment, fact)? {
                        true => Learned::SomethingAndEarlier,
                        false if tells_money(fact) => Learned::Money,
                        false => Learned::Something,
                    }
                }
                None => return Ok(Learned::Unreadable),
            },
        };
        // A refund that the provider refused is told of, too.
        if let Some(refund) = refund.filter(|_| fact.status == TransactionStatus::Completed) {
            self.complete_refund(tx, refund, fact.transaction_id)?;
        }
        Ok(learned)
    }

    /// Keeps what notifications told of a payment's transaction before we knew whose it is; tells whether there was any.
    fn learn_early(&self, tx: &mut Tx<'_>, payment: &Payment, fact: &Fact) -> Result<bool> {
        // A Check settles nothing: what came before it is taken up by the worker.
        if fact.kind == TransactionKind::Refund || fact.status == TransactionStatus::Checked {
            return Ok(false);
        }
        let taken_up = take_unmatched(tx, payment, fact.transaction_id)?;
        // The row of the history that this becomes part of is the next one.
        let next = Payment { sequence: payment.sequence + 1, ..payment.clone() };
        for (notification_id, early) in &taken_up {
            self.announce_notification(
                tx,
                "notification.matched",
                Some(&next),
                notification_id,
                Some(early.transaction_id),
            )?;
            if self.learn(tx, payment, early, None)?.is_news() && early.kind == TransactionKind::Refund {
                let refund_id = early.refund_id.as_deref().and_then(RefundId::parse);
                self.announce(tx, &next, "refund.succeeded", refund_id)?;
            }
        }
        Ok(!taken_up.is_empty())
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
            let is_known = transaction.status == TransactionStatus::Completed;
            let moved_at = transaction.settlement.moved_at.filter(|_| is_known).or(Some(self.at));
            let captured = Transaction {
                status: TransactionStatus::Completed,
                captured: amount,
                settlement: Settlement { moved_at, ..transaction.settlement },
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
        let mut closed = self.close_resolved(tx, &payment, &mut transactions)?;
        if !note.own_capture && !closed.capture {
            let of_corrected = self.take_what_was_corrected(tx, &payment, &mut transactions)?;
            closed.unclear = of_corrected.or_else(|| self.taken_by_others(&payment, &transactions));
        }
        let Closed { open, unclear, .. } = closed;
        let note = Note { attention: note.attention.or(unclear), ..note };
        let refunds = refunds::of_payment(tx, &payment.id)?;
        let next = self.next(&payment, &transactions, &refunds, open.as_ref(), &note);
        let payment =
            if note.always || changed(&payment, &next) { self.write(tx, &payment, next, note)? } else { payment };
        Ok(PaymentDetails { payment, transactions: shown(transactions) })
    }

    /// Closes the open call whose effect the transactions show.
    fn close_resolved(&self, tx: &mut Tx<'_>, payment: &Payment, transactions: &mut [Transaction]) -> Result<Closed> {
        let mut closed = Closed::default();
        for operation in operations::open_of_payment(tx, &payment.id)? {
            if operation.kind == OperationKind::Refund {
                continue;
            }
            if !is_resolved(&operation, payment.amount, transactions) {
                closed.open = Some(operation);
                continue;
            }
            if operation.kind == OperationKind::Capture {
                closed.capture = true;
                match self.close_capture(tx, payment, &operation, transactions)? {
                    Seen::Unclear => closed.open = Some(operation),
                    Seen::Over(unclear) => {
                        self.count_overtaken(&operation);
                        closed.unclear = unclear.or(closed.unclear);
                    }
                }
            } else {
                operations::close(tx, &operation.id, OperationState::Settled, Some("by evidence"))?;
                self.count_overtaken(&operation);
            }
        }
        Ok(closed)
    }

    /// A notification told the outcome of a call before its own answer did.
    fn count_overtaken(&self, operation: &Operation) {
        if operation.state == OperationState::Started && self.cause.kind == CauseType::Notification {
            self.metrics.surprise("notification_before_answer");
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
        if note.resolves_attention {
            next.attention = None;
        }
        call_a_person(&mut next, derived.attention.iter().chain(&note.attention));
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
        // The history is sealed, the payment's own row is not: what it says of money must be in the history too.
        if told_sums::reached(&next) != told_sums::reached(before) {
            detail.extend(told_sums::reached(&next));
        }
        if next.attention_raised.last() != before.attention_raised.last() {
            detail.insert("attention".to_owned(), json!(next.attention));
            self.announce(tx, &next, "payment.needs_attention", None)?;
            self.metrics.surprise(next.attention.as_deref().unwrap_or_default());
        }
        if is_over_without_money(before.status) && (next.sums.captured > 0 || next.status == Status::Authorized) {
            self.metrics.surprise("money_after_end");
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
        let refund_id = refund_id.map(|id| id.to_string());
        events::append(tx, &Event { refund_id, ..self.event(kind, Some(payment)) })
    }

    /// Announces a notification that belongs to no payment, or that was booked on one after all.
    pub(super) fn announce_notification(
        &self,
        tx: &mut Tx<'_>,
        kind: &str,
        payment: Option<&Payment>,
        notification_id: &NotificationId,
        transaction_id: Option<i64>,
    ) -> Result<()> {
        let notification_id = Some(notification_id.clone());
        events::append(tx, &Event { notification_id, transaction_id, ..self.event(kind, payment) })
    }

    fn event(&self, kind: &str, payment: Option<&Payment>) -> Event {
        Event {
            id: EventId::generate(self.at, self.ids.as_ref()),
            kind: kind.to_owned(),
            payment_id: payment.map(|payment| payment.id.clone()),
            refund_id: None,
            sequence: payment.map(|payment| payment.sequence),
            at: self.at,
            notification_id: None,
            transaction_id: None,
        }
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
        if transactions::is_named_by_another(tx, &id, fact.transaction_id)? {
            return Ok(None);
        }
        let refund = refunds::find(tx, &id)?;
        Ok(refund.filter(|refund| {
            // A second transaction in the name of one refund is recorded without its name: the money moved twice, or after
            // a refusal.
            refund.transaction_id.is_none_or(|booked| booked == fact.transaction_id)
                && refund.payment_id == payment.id
                && fact.amount.is_none_or(|amount| amount == refund.amount)
        }))
    }

    fn complete_refund(&self, tx: &mut Tx<'_>, refund: Refund, transaction_id: i64) -> Result<()> {
        for operation in operations::open_of_payment(tx, &refund.payment_id)? {
            if operation.refund_id.as_ref() == Some(&refund.id) {
                operations::close(tx, &operation.id, OperationState::Settled, None)?;
                self.count_overtaken(&operation);
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
        let id = TransactionRecordId::generate(self.at, self.ids.as_ref());
        begin(id, self.at, Asked::by(payment), fact, refund_id)
    }
}

/// The transaction that carries the payment's money.
pub(super) fn counted_transaction(tx: &mut Tx<'_>, payment: &Payment) -> Result<Option<i64>> {
    let transactions = transactions::of_payment(tx, &payment.id)?;
    Ok(counted_of(&Outline::from(payment), &transactions))
}

/// The same, of what needs no key of the payer.
pub(super) fn counted_of(payment: &Outline, transactions: &[Transaction]) -> Option<i64> {
    let known = Known {
        status: payment.status,
        amount: payment.amount,
        capture: payment.capture,
        hosted: payment.method.is_hosted(),
        transactions,
        refunds: &[],
        open_operation: None,
    };
    derive(&known).counted
}

/// A fact as it is kept of an erased payer: no card comes back with a late one.
fn without_card(fact: &Fact) -> Fact {
    Fact { card: Card { brand: fact.card.brand.clone(), ..Card::default() }, ..fact.clone() }
}

fn changed(before: &Payment, next: &Payment) -> bool {
    (before.status, before.sums, before.certainty, before.decide_by, before.test_mode)
        != (next.status, next.sums, next.certainty, next.decide_by, next.test_mode)
        || before.attention != next.attention
        || before.attention_raised.last() != next.attention_raised.last()
}

/// Evidence that has not called a person before does so now.
fn call_a_person<'a>(next: &mut Payment, found: impl Iterator<Item = &'a Attention> + Clone) {
    // Older marks of a second payment do not say to which one it is the second.
    let is_known = |mark: &str| next.attention_raised.iter().any(|raised| raised == mark);
    let is_fresh = |attention: &&Attention| {
        let mark = attention.mark();
        !is_known(&mark) && !mark.rsplit_once('/').is_some_and(|(older, _)| is_known(older))
    };
    let foremost =
        found.clone().find(|attention| is_fresh(attention) || next.attention.as_deref() == Some(attention.code));
    let mut fresh: Vec<&Attention> = found.filter(is_fresh).collect();
    if fresh.is_empty() {
        return;
    }
    // The more serious stays in front until a person has looked at it.
    next.attention = foremost.map(|found| found.code.to_owned());
    next.attention_raised.extend(fresh.drain(..).map(Attention::mark));
    let too_many = next.attention_raised.len().saturating_sub(MARK_LIMIT);
    next.attention_raised.drain(..too_many);
}

fn is_over_without_money(status: Status) -> bool {
    matches!(status, Status::Declined | Status::Cancelled | Status::Expired)
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

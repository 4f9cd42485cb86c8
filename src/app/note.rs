//! What goes with a change of a payment besides what follows from the facts.

use serde_json::{Map, Value};

use super::record::Learned;
use crate::domain::evidence::{Attention, Fact, TransactionKind, TransactionStatus};
use crate::domain::id::RefundId;
use crate::domain::payment::Payment;
use crate::domain::state::Status;

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
    pub attention: Option<Attention>,
    /// A person has looked at what is asked for now.
    pub resolves_attention: bool,
    /// Whether the provider's terminal is in test mode, where told.
    pub test_mode: Option<bool>,
    /// A call of ours is what took the money of a hold; how much is written with it.
    pub own_capture: bool,
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
                let ours = fact.refund_id.as_deref().and_then(RefundId::parse);
                note = note.of_refund(ours.as_ref());
                note.always = true;
                note.events.push(("refund.succeeded", ours));
            }
            _ => {}
        }
        note
    }

    /// The note for a fact that `learn` has taken.
    pub(super) fn of_learned(payment: &Payment, fact: &Fact, learned: Learned) -> Note {
        Note::of_fact(payment, fact).after(fact, learned)
    }

    /// Adds what learning the fact came to.
    pub(super) fn after(mut self, fact: &Fact, learned: Learned) -> Note {
        // Events of what was taken up are numbered as the next row, so there has to be one.
        self.always |= matches!(learned, Learned::SomethingAndEarlier | Learned::Money);
        if learned == Learned::Mismatch {
            // The transaction itself is nothing new.
            (self.always, self.events) = (false, Vec::new());
            let told = fact.amount.map(|amount| amount.to_string()).unwrap_or_default();
            self.attention = Some(Attention::new("amount_mismatch", format_args!("{}/{told}", fact.transaction_id)));
        }
        self
    }

    /// Names the refund of ours that it is about, if it is about one.
    pub(super) fn of_refund(self, id: Option<&RefundId>) -> Note {
        match id {
            Some(id) => self.with("refund_id", id.as_str()),
            None => self,
        }
    }

    /// Adds to the detail.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Note {
        self.detail.insert(key.to_owned(), value.into());
        self
    }
}

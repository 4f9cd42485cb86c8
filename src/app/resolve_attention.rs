//! A person has looked at what a payment called for.

use std::sync::Arc;

use super::conclude::Keyed;
use super::idempotent::{self, Repeat};
use super::record::Note;
use super::{Answer, App, Caller, Idempotency, StoredAnswer};
use crate::domain::id::PaymentId;
use crate::domain::state::CauseType;
use crate::error::{Conflict, Error, Result};
use crate::store::{idempotency, payments, transitions};

/// What the write came to.
enum Done {
    Repeat(Repeat),
    Answer(StoredAnswer),
}

impl App {
    /// Clears `attention`, with who did it and why in the history. The evidence that called stays known and calls no more;
    /// new evidence does.
    ///
    /// # Errors
    /// Conflict when nothing calls for attention.
    pub async fn resolve_attention(
        &self,
        caller: &Caller,
        idempotency: Idempotency,
        id: PaymentId,
        reason: String,
    ) -> Result<Answer> {
        let recorder = self.recorder(CauseType::Operator, caller.request_id.clone(), caller.key_id.as_str());
        let deadline_s = self.parts.settings.call_deadline_s;
        let present = Arc::clone(&self.parts.present);
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: false };
        let done = self
            .write_payment(&id.clone(), move |tx| {
                let payment = payments::hold(tx, &id)?;
                let (at, resource) = (recorder.at, id.as_str());
                if let Some(repeat) = idempotent::claim(tx, &keyed, Some(&id), resource, None, at, deadline_s)? {
                    return Ok(Done::Repeat(repeat));
                }
                let Some(resolved) = payment.attention.clone() else {
                    return Err(Error::conflict(
                        Conflict::InvalidState,
                        "nothing about this payment needs attention; read it again",
                    ));
                };
                let mut note =
                    Note { always: true, resolves_attention: true, ..Note::default() }.with("resolved", resolved);
                if let Some((member, sealed)) = transitions::seal_reason(tx, &id, &reason)? {
                    note = note.with(member, sealed);
                }
                let details = recorder.settle(tx, payment, note)?.answered_to(&keyed.caller);
                let answer = present.payment(&details, false);
                idempotency::finish(tx, &keyed.caller, &keyed.idempotency, Some(&id), &answer)?;
                Ok(Done::Answer(answer))
            })
            .await?;
        match done {
            Done::Repeat(repeat) => self.repeat(caller, repeat, false).await,
            Done::Answer(stored) => Ok(Answer { stored, replayed: false }),
        }
    }
}

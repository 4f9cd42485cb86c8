//! The same request under the same key has one effect and one answer.

use super::conclude::Keyed;
use super::{Answer, App, Caller};
use crate::clock::Timestamp;
use crate::domain::id::{ApprovalId, OperationId, PaymentId, RefundId};
use crate::domain::payment::OperationState;
use crate::error::{Error, Result};
use crate::store::idempotency::{self, Claim, Request};
use crate::store::{Tx, operations, payments, refunds, transactions};

/// What a repeat of a request gets.
pub(super) enum Repeat {
    /// The kept answer.
    Answered(super::StoredAnswer),
    /// The live payment or refund with this id: its first answer was never final.
    Live(String),
}

impl Repeat {
    /// The id of the live thing.
    pub(super) fn live(&self) -> Option<&str> {
        match self {
            Repeat::Live(id) => Some(id),
            Repeat::Answered(_) => None,
        }
    }
}

impl App {
    /// Lets money through, or tells what a repeat gets: one of a request that was taken before moves nothing, so it waits for
    /// no register.
    ///
    /// # Errors
    /// [`Error::GapUnread`] for a key that was not used yet; else as a repeat.
    pub(super) async fn pass_gate_or_repeat(&self, keyed: &Keyed) -> Result<Option<Repeat>> {
        let Err(unread) = self.pass_gate().await else { return Ok(None) };
        self.repeat_of(keyed).await?.map(Some).ok_or(unread)
    }

    /// What a repeat gets where the key was used before.
    pub(super) async fn repeat_of(&self, keyed: &Keyed) -> Result<Option<Repeat>> {
        let (keyed, now) = (keyed.clone(), self.now());
        let known = move |tx: &mut Tx<'_>| {
            let claimed = idempotency::look(tx, &keyed.caller, &keyed.idempotency)?;
            claimed.map_or(Ok(None), |claimed| resolve(tx, claimed, now))
        };
        self.parts.store.read(known).await
    }

    /// The answer to a repeat. `created` tells whether the request creates what it answers with.
    pub(super) async fn repeat(&self, caller: &Caller, repeat: Repeat, created: bool) -> Result<Answer> {
        let stored = match repeat {
            Repeat::Answered(stored) => stored,
            Repeat::Live(id) => match (PaymentId::parse(&id), RefundId::parse(&id), ApprovalId::parse(&id)) {
                (Some(id), ..) => self.parts.present.payment(&self.payment(id).await?.answered_to(caller), created),
                (_, Some(id), _) => self.parts.present.refund(&self.refund(id).await?),
                (.., Some(id)) => self.parts.present.approval(&self.approval(id).await?, created),
                (None, None, None) => return Err(Error::internal("an idempotency key points nowhere")),
            },
        };
        Ok(Answer { stored, replayed: true })
    }
}

/// Takes the key for new work (`None`), or tells what a repeat gets.
///
/// # Errors
/// The key was used for another request, or the first one is still running.
pub(super) fn claim(
    tx: &mut Tx<'_>,
    keyed: &Keyed,
    payment_id: Option<&PaymentId>,
    resource_id: &str,
    operation_id: Option<&OperationId>,
    at: Timestamp,
    deadline_s: i64,
) -> Result<Option<Repeat>> {
    let request = Request {
        caller: &keyed.caller,
        idempotency: &keyed.idempotency,
        resource_id,
        payment_id,
        operation_id,
        at,
        locked_until: at.plus_seconds(deadline_s),
    };
    let claimed = idempotency::claim(tx, &request)?;
    resolve(tx, claimed, at)
}

fn resolve(tx: &mut Tx<'_>, claimed: Claim, at: Timestamp) -> Result<Option<Repeat>> {
    match claimed {
        Claim::Fresh => Ok(None),
        Claim::OtherRequest => Err(Error::IdempotencyKeyReused),
        Claim::Answered(answer) => Ok(Some(Repeat::Answered(answer))),
        Claim::Begun { resource_id, operation_id, locked_until } => {
            let running = match operation_id {
                Some(id) => {
                    operations::find(tx, &id)?.is_some_and(|operation| operation.state == OperationState::Started)
                }
                None => true,
            };
            if running && at < locked_until {
                return Err(Error::IdempotencyInProgress);
            }
            Ok(Some(Repeat::Live(resource_id)))
        }
    }
}

/// A payment with what answers show of it.
pub(super) fn details(tx: &mut Tx<'_>, id: &PaymentId) -> Result<super::PaymentDetails> {
    let payment = payments::get(tx, id)?;
    let transactions = super::record::shown(transactions::of_payment(tx, id)?);
    Ok(super::PaymentDetails { payment, transactions })
}

/// A refund that must be there.
pub(super) fn refund(tx: &mut Tx<'_>, id: &RefundId) -> Result<crate::domain::refund::Refund> {
    refunds::find(tx, id)?.ok_or(Error::NotFound("refund"))
}

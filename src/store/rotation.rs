//! Moving everything under the current `privacy.encryption_key`: keys of payers are wrapped anew, hashes are made anew, and
//! rows that were written before payers had keys go under their payer's key.
//!
//! Each table is walked in steps of one transaction. A step looks at a stretch of rows and writes those that need it, so it
//! can be repeated, broken off and run beside a working service.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::schema::{
    approvals as asked, discrepancies as differing, idempotency_keys, notifications, operations as calls,
    payer_keys as keys, payments, quarantine, refunds,
};
use super::{
    Tx, approvals, discrepancies, idempotency, notifications as notes, operations, payer_keys, payments as pays,
    refunds as backs,
};
use crate::domain::id::PaymentId;
use crate::error::{Error, Result};

/// What is walked, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Keys of payers, and the hashes by which accounts are found.
    PayerKeys,
    /// Payments that were written before payers had keys.
    Payments,
    /// Reasons and failures of refunds from that time, and of refunds of such payments.
    Refunds,
    /// What the provider said about calls of such payments.
    Calls,
    /// Why operators closed discrepancies.
    Discrepancies,
    /// Reasons of approvals about such payments.
    Approvals,
    /// Notifications: bodies from that time, and the digests by which repeats are found.
    Notifications,
    /// Kept answers from that time, and the fingerprints of requests.
    Requests,
    /// Notifications whose signature did not hold.
    Quarantine,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 9] = [
        Part::PayerKeys,
        // Before what takes its payment's key.
        Part::Payments,
        Part::Refunds,
        Part::Calls,
        Part::Discrepancies,
        Part::Approvals,
        Part::Notifications,
        Part::Requests,
        Part::Quarantine,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Part::PayerKeys => "keys of payers",
            Part::Payments => "payments without a key",
            Part::Refunds => "words about refunds",
            Part::Calls => "words about calls",
            Part::Discrepancies => "reasons for closing",
            Part::Approvals => "reasons of approvals",
            Part::Notifications => "notifications",
            Part::Requests => "requests",
            Part::Quarantine => "quarantine",
        }
    }
}

/// A row, by its key; the second half is empty where the key is one column.
pub type Place = (String, String);

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The last row that was looked at: the next step goes on behind it. `None` at the end.
    pub last: Option<Place>,
    /// Rows that were written.
    pub changed: usize,
}

/// Looks at the `limit` rows behind `after`.
///
/// # Errors
/// When a value opens with none of the keys, or the database fails.
pub fn step(tx: &mut Tx<'_>, part: Part, after: &Place, limit: i64) -> Result<Step> {
    match part {
        Part::PayerKeys => {
            let ids = keys::table.filter(keys::wrapped_key.is_not_null()).filter(keys::id.gt(&after.0));
            let ids: Vec<String> = ids.order(keys::id.asc()).limit(limit).select(keys::id).load(tx.db())?;
            each(tx, ids, payer_keys::rotate)
        }
        Part::Payments => {
            let ids = payments::table.filter(payments::payer_key_id.is_null()).filter(payments::id.gt(&after.0));
            let ids: Vec<String> = ids.order(payments::id.asc()).limit(limit).select(payments::id).load(tx.db())?;
            each(tx, ids, pays::give_key)
        }
        Part::Refunds => {
            let reasoned = refunds::reason.is_not_null().or(refunds::sealed_reason.is_not_null());
            let failed = refunds::failure.is_not_null().or(refunds::sealed_failure.is_not_null());
            let ids = refunds::table.filter(reasoned.or(failed)).filter(refunds::id.gt(&after.0));
            let ids: Vec<String> = ids.order(refunds::id.asc()).limit(limit).select(refunds::id).load(tx.db())?;
            each(tx, ids, backs::seal_words)
        }
        Part::Calls => {
            let ids = calls::table.filter(calls::sealed_words.is_not_null()).filter(calls::id.gt(&after.0));
            let ids: Vec<String> = ids.order(calls::id.asc()).limit(limit).select(calls::id).load(tx.db())?;
            each(tx, ids, operations::seal_words)
        }
        Part::Discrepancies => {
            let reasoned = differing::close_reason.is_not_null().or(differing::sealed_reason.is_not_null());
            let ids = differing::table.filter(reasoned).filter(differing::id.gt(&after.0));
            let ids: Vec<String> = ids.order(differing::id.asc()).limit(limit).select(differing::id).load(tx.db())?;
            each(tx, ids, discrepancies::rotate)
        }
        Part::Approvals => {
            let ids = asked::table.filter(asked::sealed_reason.is_not_null()).filter(asked::id.gt(&after.0));
            let ids: Vec<String> = ids.order(asked::id.asc()).limit(limit).select(asked::id).load(tx.db())?;
            each(tx, ids, approvals::seal_reason)
        }
        Part::Notifications => {
            let ids = notifications::table.filter(notifications::id.gt(&after.0)).order(notifications::id.asc());
            let ids: Vec<String> = ids.limit(limit).select(notifications::id).load(tx.db())?;
            each(tx, ids, notes::rotate)
        }
        Part::Quarantine => {
            let ids = quarantine::table.filter(quarantine::id.gt(&after.0)).order(quarantine::id.asc());
            let ids: Vec<String> = ids.limit(limit).select(quarantine::id).load(tx.db())?;
            each(tx, ids, notes::rotate_quarantined)
        }
        Part::Requests => requests(tx, after, limit),
    }
}

fn each(tx: &mut Tx<'_>, ids: Vec<String>, work: fn(&mut Tx<'_>, &str) -> Result<bool>) -> Result<Step> {
    let mut changed = 0;
    for id in &ids {
        changed += usize::from(work(tx, id)?);
    }
    Ok(Step { last: ids.into_iter().next_back().map(|id| (id, String::new())), changed })
}

fn requests(tx: &mut Tx<'_>, after: &Place, limit: i64) -> Result<Step> {
    use idempotency_keys::{api_key_id, idempotency_key};
    let behind = api_key_id.gt(&after.0).or(api_key_id.eq(&after.0).and(idempotency_key.gt(&after.1)));
    let places: Vec<Place> = idempotency_keys::table
        .filter(behind)
        .order((api_key_id.asc(), idempotency_key.asc()))
        .limit(limit)
        .select((api_key_id, idempotency_key))
        .load(tx.db())?;
    let mut changed = 0;
    for place in &places {
        changed += usize::from(idempotency::rotate(tx, place)?);
    }
    Ok(Step { last: places.into_iter().next_back(), changed })
}

/// The payment that a kept answer is about, by the id of what the request made: a payment or a refund of one.
pub(super) fn payment_of(tx: &mut Tx<'_>, resource_id: &str) -> Result<Option<PaymentId>> {
    let of_refund: Option<String> =
        refunds::table.find(resource_id).select(refunds::payment_id).get_result(tx.db()).optional()?;
    let id = PaymentId::from_stored(of_refund.unwrap_or_else(|| resource_id.to_owned()));
    let known: bool = diesel::select(exists(payments::table.find(id.as_str()))).get_result(tx.db())?;
    Ok(known.then_some(id))
}

/// What a sealed value that does not open means for whoever runs the command.
pub(super) fn cannot_open(context: &str) -> Error {
    Error::internal(format!(
        "{context} opens with none of the keys; add the key it was sealed with to privacy.previous_keys and run the command \
         again; what was done so far stays done"
    ))
}

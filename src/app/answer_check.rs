//! Check: whether an attempt in the provider's window may go on, answered from our own books alone.

use super::attempts::Attempt;
use super::capture_payment::may_be_charged;
use super::record::Recorder;
use super::take_notification::{Applied, resolve};
use crate::clock::Timestamp;
use crate::cloudpayments::{Notification, NotificationFact};
use crate::domain::evidence::{Transaction, TransactionKind, TransactionStatus};
use crate::domain::payment::Payment;
use crate::domain::state::Status;
use crate::error::Result;
use crate::store::outlines::Outline;
use crate::store::{Tx, discrepancies, payments, transactions};

/// Codes of the answer to Check (contract section 8.2).
pub(super) mod code {
    pub(in crate::app) const GO_ON: u8 = 0;
    pub(in crate::app) const UNKNOWN_INVOICE: u8 = 10;
    pub(in crate::app) const WRONG_ACCOUNT: u8 = 11;
    pub(in crate::app) const WRONG_AMOUNT: u8 = 12;
    pub(in crate::app) const NOT_PAYABLE: u8 = 13;
    pub(in crate::app) const EXPIRED: u8 = 20;
}

/// What the provider is answered, kept with the attempt where it may go on.
pub(super) fn answer_check(tx: &mut Tx<'_>, recorder: &Recorder, content: Option<&Notification>) -> Result<Applied> {
    let Some(content) = content else {
        return Ok(Applied { reply: code::UNKNOWN_INVOICE, ..Applied::nowhere("refused") });
    };
    // A transaction that we know does not stand for a bill that we do not.
    let same_bill =
        |payment: &Outline| content.invoice_id.as_ref().is_none_or(|invoice_id| *invoice_id == payment.invoice_id);
    let Some(payment) = resolve(tx, content, NotificationFact::Check, recorder.at)?.filter(same_bill) else {
        return Ok(Applied { reply: code::UNKNOWN_INVOICE, ..Applied::nowhere("refused") });
    };
    let payment = payments::hold(tx, &payment.id)?;
    let known = transactions::of_payment(tx, &payment.id)?;
    let holder = another_attempt(&known, content, recorder.at);
    let is_taken = holder.is_some() || discrepancies::unaccounted_money(tx, &payment.invoice_id)?.is_some();
    let reply = check_code(&payment, is_taken, content, recorder.at);
    let mut attempt = holder.filter(|_| reply == code::NOT_PAYABLE).map(Attempt::of);
    if reply == code::GO_ON
        && let Some(fact) = content.fact(NotificationFact::Check, Some(payment.currency()))
    {
        // Remembered so that a second attempt beside this one is refused until this one's outcome is known.
        let learned = recorder.learn(tx, &payment, &fact, None)?;
        attempt = Some(Attempt { transaction_id: fact.transaction_id, since: recorder.at });
        // A lookup may have told of it before; the time that it holds the payment for begins now.
        if !learned.is_news()
            && let Some(transaction) =
                known.into_iter().find(|transaction| transaction.transaction_id == fact.transaction_id)
        {
            transactions::update(tx, &payment.id, &Transaction { updated_at: recorder.at, ..transaction })?;
        }
    }
    let verdict = if reply == code::GO_ON { "accepted" } else { "refused" };
    let attempt = attempt.filter(|_| payment.method.is_hosted());
    Ok(Applied { payment_id: Some(payment.id), reply, attempt, ..Applied::nowhere(verdict) })
}

/// An attempt beside this one that took money, or may be taking it.
fn another_attempt<'a>(known: &'a [Transaction], content: &Notification, now: Timestamp) -> Option<&'a Transaction> {
    known.iter().find(|transaction| {
        transaction.kind == TransactionKind::Payment
            && Some(transaction.transaction_id) != content.transaction_id
            && (matches!(transaction.status, TransactionStatus::Authorized | TransactionStatus::Completed)
                || may_be_charged(transaction, now))
    })
}

/// Whether this attempt may go on (product: Check, contract section 8.2). `is_taken`: another attempt, or a payment that was
/// lost with an older copy of the database, has or may have the money of this bill.
fn check_code(payment: &Payment, is_taken: bool, content: &Notification, now: Timestamp) -> u8 {
    let other_account = match (&payment.payer.account_id, &content.account_id) {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => false,
    };
    let waits_in_vain = payment.status == Status::AwaitingPayer && payment.expires_at <= now;
    if other_account {
        code::WRONG_ACCOUNT
    } else if content.money() != Some(payment.amount) {
        code::WRONG_AMOUNT
    } else if payment.status == Status::Expired || waits_in_vain {
        code::EXPIRED
    } else if !payment.status.is_open() || is_taken {
        code::NOT_PAYABLE
    } else {
        code::GO_ON
    }
}

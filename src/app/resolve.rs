//! Whose payment it is that the provider speaks of.

use crate::cloudpayments::{Notification, Unreadable};
use crate::domain::evidence::Fact;
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::error::Result;
use crate::store::{Tx, payments, refunds, transactions};

/// What a notification or a record of the register says of where it belongs.
pub(super) struct Traces<'a> {
    /// Our payment, from the data we sent along.
    payment_id: Option<&'a str>,
    /// Our refund, from the data we sent along.
    refund_id: Option<&'a str>,
    /// The transactions it speaks of: of a refund, the payment's first.
    transaction_ids: [Option<i64>; 2],
    /// The bill.
    invoice_id: Option<&'a str>,
    sum: Option<Money>,
}

impl<'a> Traces<'a> {
    pub(super) fn of_notification(content: &'a Notification) -> Traces<'a> {
        Traces {
            payment_id: content.data.payment_id.as_deref(),
            refund_id: None,
            transaction_ids: [content.payment_transaction_id, content.transaction_id],
            invoice_id: content.invoice_id.as_deref(),
            sum: content.money(),
        }
    }

    pub(super) fn of_fact(fact: &'a Fact) -> Traces<'a> {
        Traces {
            payment_id: fact.payment_id.as_deref(),
            refund_id: fact.refund_id.as_deref(),
            transaction_ids: [fact.parent_transaction_id, Some(fact.transaction_id)],
            invoice_id: fact.invoice_id.as_deref(),
            sum: fact.amount,
        }
    }

    pub(super) fn of_unreadable(item: &'a Unreadable) -> Traces<'a> {
        Traces {
            payment_id: item.payment_id.as_deref(),
            refund_id: item.refund_id.as_deref(),
            transaction_ids: [None, item.transaction_id],
            invoice_id: item.invoice_id.as_deref(),
            sum: None,
        }
    }
}

/// The payment that the traces lead to: by our own id, by a transaction that we know, by a refund of ours, or by the bill
/// where that is not ambiguous.
pub(super) fn payment_of(tx: &mut Tx<'_>, traces: &Traces<'_>) -> Result<Option<Payment>> {
    if let Some(id) = traces.payment_id.and_then(PaymentId::parse) {
        match payments::find(tx, &id)? {
            // Our id travels through the payer's browser; the bill must be the payment's, too.
            Some(payment) if traces.invoice_id.is_none_or(|invoice| invoice == payment.invoice_id) => {
                return Ok(Some(payment));
            }
            Some(_) => {}
            // A payment of another installation on the same terminal; its bill may have our number by chance.
            None => return Ok(None),
        }
    }
    for transaction_id in traces.transaction_ids.into_iter().flatten() {
        if let Some((id, _)) = transactions::find(tx, transaction_id)? {
            return payments::find(tx, &id);
        }
    }
    if let Some(id) = traces.refund_id.and_then(RefundId::parse)
        && let Some(refund) = refunds::find(tx, &id)?
    {
        return payments::find(tx, &refund.payment_id);
    }
    match traces.invoice_id {
        Some(invoice_id) => Ok(only_one(&payments::of_invoice(tx, invoice_id)?, traces.sum).cloned()),
        None => Ok(None),
    }
}

/// Whether a record of the register names a payment or a refund of ours that this database does not hold: both are
/// written before anything is sent, so the database is older than what the service did.
pub(super) fn is_lost(tx: &mut Tx<'_>, payment_id: Option<&str>, refund_id: Option<&str>) -> Result<bool> {
    if let Some(id) = payment_id.and_then(PaymentId::parse)
        && !payments::is_there(tx, &id)?
    {
        return Ok(true);
    }
    match refund_id.and_then(RefundId::parse) {
        Some(id) => Ok(refunds::find(tx, &id)?.is_none()),
        None => Ok(false),
    }
}

/// Which records of the register belong to a payment: what [`payment_of`] would say of each, without asking for each.
pub(super) struct Ours {
    id: PaymentId,
    invoice_id: String,
    /// All payments of the bill.
    of_bill: Vec<Payment>,
}

impl Ours {
    /// What belongs to `payment`.
    pub(super) fn of(tx: &mut Tx<'_>, payment: &Payment) -> Result<Ours> {
        let of_bill = payments::of_invoice(tx, &payment.invoice_id)?;
        Ok(Ours { id: payment.id.clone(), invoice_id: payment.invoice_id.clone(), of_bill })
    }

    /// Whether a record names the payment or, where the window was given no name to send along, only its bill.
    pub(super) fn is(&self, fact: &Fact) -> bool {
        match fact.payment_id.as_deref().and_then(PaymentId::parse) {
            Some(named) => named == self.id,
            None => {
                fact.invoice_id.as_deref() == Some(self.invoice_id.as_str())
                    && only_one(&self.of_bill, fact.amount).is_some_and(|payment| payment.id == self.id)
            }
        }
    }

    /// Whether an item that is no fact may belong to the payment: beside it nothing is proven. What the terminal has under
    /// way for others keeps nobody from being told.
    pub(super) fn may_be(&self, item: &Unreadable) -> bool {
        let named = item.payment_id.as_deref().and_then(PaymentId::parse);
        match item.invoice_id.as_deref() {
            Some(bill) if bill != self.invoice_id => false,
            Some(_) => {
                named.is_none_or(|named| self.of_bill.iter().all(|other| other.id != named || other.id == self.id))
            }
            None => named.is_none_or(|named| named == self.id),
        }
    }
}

/// One of several payments of a bill: the only one, the only one of that sum, or of those the only one still open.
fn only_one(candidates: &[Payment], sum: Option<Money>) -> Option<&Payment> {
    if let [payment] = candidates {
        return Some(payment);
    }
    let mut same_sum: Vec<&Payment> =
        candidates.iter().filter(|payment| sum.is_none_or(|sum| sum == payment.amount)).collect();
    if same_sum.len() > 1 {
        same_sum.retain(|payment| payment.status.is_open());
    }
    let only = same_sum.pop()?;
    same_sum.is_empty().then_some(only)
}

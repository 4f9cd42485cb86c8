//! Whose payment it is that the provider speaks of.

use crate::clock::Timestamp;
use crate::cloudpayments::{Notification, NotificationFact, Unreadable};
use crate::domain::evidence::{Fact, TransactionKind, TransactionStatus};
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::{CLOCKS_DIFFER_S, Payment};
use crate::error::Result;
use crate::store::outlines::{self, Outline};
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
    /// Whether the bill alone tells where it belongs.
    goes_by_bill: bool,
    sum: Option<Money>,
    made: Made,
}

/// When a transaction was made, as far as it is told.
#[derive(Debug, Clone, Copy)]
enum Made {
    /// By something that cannot be read.
    Untold,
    /// At this moment; not at all by an item that lacks what the register tells of each.
    At(Option<Timestamp>),
    /// Told by a notification that came then: not after that and, by its own word, at the other moment.
    Notified(Timestamp, Option<Timestamp>),
}

impl Made {
    /// Whether a transaction without our name may be this payment's: the bill may have been paid before there was the payment,
    /// by somebody else's software or in the cabinet.
    fn may_be_of(self, payment: &Outline) -> bool {
        let since = payment.created_at.plus_seconds(-CLOCKS_DIFFER_S);
        match self {
            Made::Untold => true,
            Made::At(made_at) => made_at.is_some_and(|at| at >= since),
            // What takes a card here is always named. In the provider's window only its moment tells a new attempt from an old
            // one, and that the provider's word for it holds is not known: it came when somebody waited for it.
            Made::Notified(came_at, _) if payment.method.is_hosted() => came_at >= since,
            Made::Notified(came_at, made_at) => made_at.map_or(came_at, |made_at| made_at.min(came_at)) >= since,
        }
    }
}

impl<'a> Traces<'a> {
    /// `received_at` is when it came: a transaction that it tells of may be old, but no younger. What becomes of a
    /// transaction later belongs where that does: nobody knows whose bill it was when that was made.
    pub(super) fn of_notification(
        content: &'a Notification,
        kind: NotificationFact,
        received_at: Timestamp,
    ) -> Traces<'a> {
        let of_a_new_one = matches!(kind, NotificationFact::Check | NotificationFact::Pay | NotificationFact::Fail);
        Traces {
            goes_by_bill: of_a_new_one,
            payment_id: content.data.payment_id.as_deref(),
            refund_id: None,
            transaction_ids: [content.payment_transaction_id, content.transaction_id],
            invoice_id: content.invoice_id.as_deref(),
            sum: content.money(),
            made: Made::Notified(received_at, content.made_at),
        }
    }

    pub(super) fn of_fact(fact: &'a Fact) -> Traces<'a> {
        Traces {
            goes_by_bill: fact.parent_transaction_id.is_none(),
            payment_id: fact.payment_id.as_deref(),
            refund_id: fact.refund_id.as_deref(),
            transaction_ids: [fact.parent_transaction_id, Some(fact.transaction_id)],
            invoice_id: fact.invoice_id.as_deref(),
            sum: fact.amount,
            made: Made::At(fact.made_at),
        }
    }

    pub(super) fn of_unreadable(item: &'a Unreadable) -> Traces<'a> {
        Traces {
            goes_by_bill: true,
            payment_id: item.payment_id.as_deref(),
            refund_id: item.refund_id.as_deref(),
            transaction_ids: [None, item.transaction_id],
            invoice_id: item.invoice_id.as_deref(),
            sum: None,
            made: Made::Untold,
        }
    }
}

/// The payment that the traces lead to: by our own id, by a transaction that we know, by a refund of ours, or by the bill
/// where that is not ambiguous.
pub(super) fn payment_of(tx: &mut Tx<'_>, traces: &Traces<'_>) -> Result<Option<Outline>> {
    if let Some(id) = traces.payment_id.and_then(PaymentId::parse) {
        match outlines::find(tx, &id)? {
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
            return outlines::find(tx, &id);
        }
    }
    if let Some(id) = traces.refund_id.and_then(RefundId::parse)
        && let Some(payment_id) = refunds::payment_of(tx, &id)?
    {
        return outlines::find(tx, &payment_id);
    }
    match traces.invoice_id.filter(|_| traces.goes_by_bill) {
        Some(invoice_id) => Ok(only_one(&outlines::of_invoice(tx, invoice_id)?, traces.sum, traces.made).cloned()),
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
        Some(id) => Ok(refunds::payment_of(tx, &id)?.is_none()),
        None => Ok(false),
    }
}

/// Which records of the register belong to a payment: what [`payment_of`] would say of each, without asking for each.
pub(super) struct Ours {
    id: PaymentId,
    amount: Money,
    invoice_id: String,
    /// All payments of the bill.
    of_bill: Vec<Outline>,
    /// The transactions that are recorded with the other ones of them.
    of_others: Vec<i64>,
}

impl Ours {
    /// What belongs to `payment`.
    pub(super) fn of(tx: &mut Tx<'_>, payment: &Payment) -> Result<Ours> {
        let of_bill = outlines::of_invoice(tx, &payment.invoice_id)?;
        let others: Vec<&PaymentId> = of_bill.iter().map(|other| &other.id).filter(|id| **id != payment.id).collect();
        let of_others = transactions::numbers_of(tx, &others)?;
        Ok(Ours {
            id: payment.id.clone(),
            amount: payment.amount,
            invoice_id: payment.invoice_id.clone(),
            of_bill,
            of_others,
        })
    }

    /// Whether a record names the payment or, where the window was given no name to send along, only its bill.
    pub(super) fn is(&self, fact: &Fact) -> bool {
        if self.of_others.contains(&fact.transaction_id) {
            return false;
        }
        match fact.payment_id.as_deref().and_then(PaymentId::parse) {
            Some(_) => self.is_named_by(fact),
            None => {
                fact.invoice_id.as_deref() == Some(self.invoice_id.as_str())
                    && only_one(&self.of_bill, fact.amount, Made::At(fact.made_at))
                        .is_some_and(|payment| payment.id == self.id)
            }
        }
    }

    /// Whether a record names the payment: ours are named when they are sent, so what it tells is of a call of ours.
    pub(super) fn is_named_by(&self, fact: &Fact) -> bool {
        fact.payment_id.as_deref() == Some(self.id.as_str())
            && fact.invoice_id.as_deref().is_none_or(|bill| bill == self.invoice_id)
    }

    /// Whether a record tells of money that pays what was asked for.
    pub(super) fn pays(&self, fact: &Fact) -> bool {
        fact.kind == TransactionKind::Payment
            && matches!(fact.status, TransactionStatus::Authorized | TransactionStatus::Completed)
            && fact.amount.is_none_or(|told| told == self.amount)
    }

    /// Whether a record names the payment for another bill: the name may have been forged in a payer's browser, or the bill
    /// may be written differently at the provider. Beside it nothing is proven.
    pub(super) fn is_doubtful(&self, fact: &Fact) -> bool {
        fact.payment_id.as_deref() == Some(self.id.as_str()) && !self.is_named_by(fact)
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
fn only_one(of_bill: &[Outline], sum: Option<Money>, made: Made) -> Option<&Outline> {
    let mut candidates: Vec<&Outline> = of_bill.iter().filter(|payment| made.may_be_of(payment)).collect();
    if candidates.len() > 1 {
        candidates.retain(|payment| sum.is_none_or(|sum| sum == payment.amount));
    }
    if candidates.len() > 1 {
        candidates.retain(|payment| payment.status.is_open());
    }
    let only = candidates.pop()?;
    candidates.is_empty().then_some(only)
}

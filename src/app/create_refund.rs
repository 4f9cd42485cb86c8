//! Giving money back.

use super::conclude::{Conclusion, Keyed};
use super::idempotent::{self, Repeat};
use super::record::{self, Note};
use super::{Answer, App, Caller, Idempotency, NewRefund};
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::{Operation, OperationKind, Payment};
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::state::{CauseType, Certainty};
use crate::error::{Conflict, Error, Result};
use crate::store::{Tx, discrepancies, operations, payments, refunds};

/// At most so many refunds of one payment.
const MAX_REFUNDS: usize = 100;

enum Begun {
    Repeat(Repeat),
    Call(Box<(Operation, Refund)>),
}

impl App {
    /// Gives money back: `amount`, or all that is left.
    ///
    /// # Errors
    /// Conflict when nothing or not enough is left; a failed precondition when `expected_refundable` is not what is left.
    pub async fn create_refund(
        &self,
        caller: &Caller,
        idempotency: Idempotency,
        id: PaymentId,
        new: NewRefund,
    ) -> Result<Answer> {
        self.pass_gate().await?;
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: true };
        self.settle_open(&id, caller).await?;
        let asked = new.amount;
        match self.begin_refund(&keyed, &id, new).await? {
            Begun::Repeat(repeat) => {
                self.refuse_other_amount(&repeat, asked).await?;
                self.repeat(caller, repeat, true).await
            }
            Begun::Call(begun) => {
                let (operation, refund) = *begun;
                let outcome = self
                    .parts
                    .provider
                    .refund(refund.parent_transaction_id, refund.amount, refund.id.as_str(), operation.id.as_str())
                    .await;
                self.finish_call(keyed, operation, Conclusion::from(outcome)).await
            }
        }
    }

    /// As for payments: of an erased payer only the refund itself tells what was asked for.
    async fn refuse_other_amount(&self, repeat: &Repeat, asked: Option<Money>) -> Result<()> {
        let (Some(id), Some(asked)) = (repeat.live().and_then(RefundId::parse), asked) else { return Ok(()) };
        if self.refund(id).await?.amount == asked { Ok(()) } else { Err(Error::IdempotencyKeyReused) }
    }

    /// One durable step: the key, the refund that reserves its amount, and the intent to call.
    async fn begin_refund(&self, keyed: &Keyed, id: &PaymentId, new: NewRefund) -> Result<Begun> {
        let recorder = self.recorder(CauseType::Api, keyed.caller.request_id.clone(), keyed.caller.key_id.as_str());
        let deadline_s = self.parts.settings.call_deadline_s;
        let refund_id = RefundId::generate(recorder.at, self.parts.ids.as_ref());
        let template =
            Operation { refund_id: Some(refund_id.clone()), ..self.operation_template(OperationKind::Refund, id) };
        let (keyed, id, door) = (keyed.clone(), id.clone(), self.door());
        self.write_payment(&id.clone(), move |tx| {
            let payment = payments::hold(tx, &id)?;
            if let Some(repeat) = idempotent::claim(
                tx,
                &keyed,
                Some(&id),
                refund_id.as_str(),
                Some(&template.id),
                recorder.at,
                deadline_s,
            )? {
                return Ok(Begun::Repeat(repeat));
            }
            door.pass()?;
            refuse_if_refunded_and_lost(tx, &id)?;
            let amount = amount_to_refund(&payment, &new)?;
            if refunds::of_payment(tx, &id)?.len() >= MAX_REFUNDS {
                return Err(Error::conflict(
                    Conflict::TooManyRefunds,
                    format!("a payment can have {MAX_REFUNDS} refunds at most"),
                ));
            }
            let parent = record::counted_transaction(tx, &payment)?
                .ok_or_else(|| Error::internal("captured money without a transaction"))?;
            let refund = Refund {
                id: refund_id.clone(),
                payment_id: id.clone(),
                parent_transaction_id: parent,
                amount,
                status: RefundStatus::Pending,
                certainty: Certainty::Proven,
                decide_by: None,
                reason: new.reason.clone(),
                failure: None,
                transaction_id: None,
                created_by: keyed.caller.key_id.clone(),
                created_at: recorder.at,
                updated_at: recorder.at,
            };
            refunds::insert(tx, &refund)?;
            let operation = Operation { transaction_id: Some(parent), amount: Some(amount.minor), ..template.clone() };
            operations::insert(tx, &operation, recorder.at.plus_seconds(deadline_s))?;
            let note = Note { always: true, requested: true, ..Note::about(parent) }
                .with("operation", "refund")
                .with("refund_id", refund_id.as_str())
                .with("amount", amount.to_decimal());
            recorder.settle(tx, payment, note)?;
            Ok(Begun::Call(Box::new((operation, refund))))
        })
        .await
    }
}

/// A refund whose request is lost with an older copy of the database may have been this one: its key is lost, too.
fn refuse_if_refunded_and_lost(tx: &mut Tx<'_>, id: &PaymentId) -> Result<()> {
    match discrepancies::lost_refund(tx, id)? {
        Some(transaction_id) => Err(Error::conflict(
            Conflict::RefundedBeforeRestore,
            format!(
                "CloudPayments gave money back, transaction {transaction_id}, by a request that was lost when the database was restored; an operator has to look at it and close its discrepancy"
            ),
        )),
        None => Ok(()),
    }
}

fn amount_to_refund(payment: &Payment, new: &NewRefund) -> Result<Money> {
    if !payment.status.is_captured() {
        let advice = format!("only money that was taken can be given back; this payment is {}", payment.status);
        return Err(Error::conflict(Conflict::InvalidState, advice));
    }
    for (pointer, amount) in
        [("/amount/currency", new.amount), ("/expected_refundable/currency", new.expected_refundable)]
    {
        payment.refuse_other_currency(pointer, amount)?;
    }
    let left = payment.money(payment.sums.refundable());
    if let Some(expected) = new.expected_refundable.filter(|expected| *expected != left) {
        return Err(Error::PreconditionFailed(format!(
            "expected_refundable is {expected}, but {left} is refundable; read the payment again"
        )));
    }
    let amount = new.amount.unwrap_or(left);
    if left.minor == 0 || amount.minor > left.minor {
        return Err(Error::conflict(
            Conflict::RefundExceedsCaptured,
            format!("{left} is refundable; refund that or less"),
        ));
    }
    Ok(amount)
}

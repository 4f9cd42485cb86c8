//! Taking held money, releasing it, and withdrawing a payment that nobody has paid.

use super::conclude::{Conclusion, Keyed};
use super::idempotent::{self, Repeat};
use super::record::{self, Note};
use super::{Answer, App, Caller, Idempotency, StoredAnswer};
use crate::clock::Timestamp;
use crate::domain::evidence::{Transaction, TransactionKind, TransactionStatus};
use crate::domain::id::PaymentId;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{Operation, OperationKind, Payment};
use crate::domain::state::{CauseType, Status};
use crate::error::{Conflict, Error, Result};
use crate::store::{Tx, idempotency, operations, payments, reconciliations, transactions};

/// A payer whose Check we answered with "go on" may be paying for so many seconds: the provider's own time limit
/// (contract section 2).
pub(super) const CHECK_HOLDS_S: i64 = 300;

/// What the first write came to.
pub(super) enum Begun {
    Repeat(Repeat),
    Answer(StoredAnswer),
    Call(Operation, Currency),
}

impl App {
    /// Takes money that is held: `amount`, or all of it.
    ///
    /// # Errors
    /// Conflict when the payment is not authorized, more than held is asked for, or another call is under way.
    pub async fn capture_payment(
        &self,
        caller: &Caller,
        idempotency: Idempotency,
        id: PaymentId,
        amount: Option<Money>,
    ) -> Result<Answer> {
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: false };
        if let Some(repeat) = self.pass_gate_or_repeat(&keyed).await? {
            return self.repeat(caller, repeat, false).await;
        }
        self.settle_open(&id, caller).await?;
        match self.begin_capture(&keyed, &id, amount).await? {
            Begun::Call(operation, currency) => {
                let taken = Money::new(operation.amount.unwrap_or_default(), currency);
                let transaction_id = operation.transaction_id.unwrap_or_default();
                let outcome = self.parts.provider.capture(transaction_id, taken, self.first_sending(&operation)).await;
                self.finish_call(keyed, operation, Conclusion::of_done(outcome, Conclusion::Captured)).await
            }
            begun => self.answer_without_call(caller, begun).await,
        }
    }

    /// Releases money that is held, or withdraws a payment that nobody has paid yet.
    ///
    /// # Errors
    /// Conflict when the payment is paid or over, or a call is under way.
    pub async fn cancel_payment(&self, caller: &Caller, idempotency: Idempotency, id: PaymentId) -> Result<Answer> {
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: false };
        if let Some(repeat) = self.pass_gate_or_repeat(&keyed).await? {
            return self.repeat(caller, repeat, false).await;
        }
        self.settle_open(&id, caller).await?;
        // A repeat withdraws nothing: its answer does not wait for the provider.
        if let Some(repeat) = self.repeat_of(&keyed).await? {
            return self.repeat(caller, repeat, false).await;
        }
        self.look_before_withdrawing(&id, caller).await?;
        match self.begin_cancel(&keyed, &id).await? {
            Begun::Call(operation, _) => {
                let transaction_id = operation.transaction_id.unwrap_or_default();
                let outcome = self.parts.provider.void(transaction_id, self.first_sending(&operation)).await;
                self.finish_call(keyed, operation, Conclusion::of_done(outcome, Conclusion::Voided)).await
            }
            begun => self.answer_without_call(caller, begun).await,
        }
    }

    /// A payer whose Check we answered may have paid although we were not told yet: ask before saying "cancelled". While a
    /// start is being read back, that Check may be lost with what an older copy of the database does not hold.
    async fn look_before_withdrawing(&self, id: &PaymentId, caller: &Caller) -> Result<()> {
        let details = self.payment(id.clone()).await?;
        let wanted = id.clone();
        let read = move |tx: &mut Tx<'_>| Ok((transactions::of_payment(tx, &wanted)?, reconciliations::running(tx)?));
        let (known, runs) = self.parts.store.read(read).await?;
        let in_window = details.payment.method.is_hosted();
        // What was refused may have been so by a first bank only.
        let may_have_paid = (in_window && runs.iter().any(|run| run.purpose.reads_back()))
            || known.iter().any(|one| may_be_paid(one) || (in_window && one.status == TransactionStatus::Declined));
        // Beside the hold that is to be released there may be another one, of an attempt whose outcome we were not told.
        let asks = matches!(
            details.payment.status,
            Status::AwaitingPayer | Status::AwaitingAuthentication | Status::Authorized
        );
        if !asks || !may_have_paid {
            return Ok(());
        }
        let look = self.last_look(&details.payment).await?.ok_or_else(|| Error::Unavailable {
            detail:
                "CloudPayments cannot be asked now whether the payer has paid; this request did nothing; repeat the \
                     request with the same Idempotency-Key"
                    .to_owned(),
            internal: "no answer to the look before a withdrawal".to_owned(),
            retry_after_s: 5,
        })?;
        for fact in look.facts {
            self.book_lookup(id, caller.key_id.as_str(), fact).await?;
        }
        Ok(())
    }

    pub(super) async fn answer_without_call(&self, caller: &Caller, begun: Begun) -> Result<Answer> {
        match begun {
            Begun::Repeat(repeat) => self.repeat(caller, repeat, false).await,
            Begun::Answer(stored) => Ok(Answer { stored, replayed: false }),
            Begun::Call(..) => Err(Error::internal("a call that nobody made")),
        }
    }

    /// Concludes; where the provider refused, what we know may be old: ask it.
    pub(super) async fn finish_call(
        &self,
        keyed: Keyed,
        operation: Operation,
        conclusion: Conclusion,
    ) -> Result<Answer> {
        let refused = matches!(conclusion, Conclusion::Refused(_));
        let (payment_id, actor) = (operation.payment_id.clone(), keyed.caller.key_id.to_string());
        let result = self.conclude_request(keyed, operation, conclusion).await;
        if refused {
            self.look_after_refusal(&payment_id, &actor).await;
        }
        Ok(Answer { stored: result?, replayed: false })
    }

    /// What we know of a payment whose call was refused may be old. The answer is written down already, whatever comes of
    /// the look.
    pub(super) async fn look_after_refusal(&self, id: &PaymentId, actor: &str) {
        if let Err(error) = self.look_up(id, actor).await {
            tracing::warn!(payment.id = id.as_str(), %error, ?error, "the payment was not looked up after a refusal");
        }
    }

    async fn begin_capture(&self, keyed: &Keyed, id: &PaymentId, amount: Option<Money>) -> Result<Begun> {
        let recorder = self.recorder(CauseType::Api, keyed.caller.request_id.clone(), keyed.caller.key_id.as_str());
        let deadline_s = self.parts.settings.call_deadline_s;
        let template = self.operation_template(OperationKind::Capture, id);
        let (keyed, id, door) = (keyed.clone(), id.clone(), self.door());
        self.write_payment(&id.clone(), move |tx| {
            if let Some(repeat) = claim(tx, &keyed, &id, &template, recorder.at, deadline_s)? {
                return Ok(Begun::Repeat(repeat));
            }
            door.pass()?;
            let payment = payments::hold(tx, &id)?;
            if payment.status != Status::Authorized {
                return Err(Error::conflict(
                    Conflict::InvalidState,
                    format!("only an authorized payment can be captured; this one is {}", payment.status),
                ));
            }
            refuse_while_open(tx, &payment)?;
            let amount = amount.unwrap_or(payment.money(payment.sums.authorized));
            payment.refuse_other_currency("/amount/currency", Some(amount))?;
            if amount.minor > payment.sums.authorized {
                let held = payment.money(payment.sums.authorized);
                return Err(Error::conflict(
                    Conflict::CaptureExceedsAuthorized,
                    format!("{held} is held; capture that or less"),
                ));
            }
            let operation = Operation {
                transaction_id: record::counted_transaction(tx, &payment)?,
                amount: Some(amount.minor),
                ..template.clone()
            };
            operations::insert(tx, &operation, operation.started_at.plus_seconds(deadline_s))?;
            let note = Note { always: true, transaction_id: operation.transaction_id, ..Note::default() }
                .with("operation", "capture")
                .with("amount", amount.to_decimal());
            let currency = payment.currency();
            recorder.settle(tx, payment, note)?;
            Ok(Begun::Call(operation, currency))
        })
        .await
    }

    async fn begin_cancel(&self, keyed: &Keyed, id: &PaymentId) -> Result<Begun> {
        let recorder = self.recorder(CauseType::Api, keyed.caller.request_id.clone(), keyed.caller.key_id.as_str());
        let deadline_s = self.parts.settings.call_deadline_s;
        let template = self.operation_template(OperationKind::Void, id);
        let present = std::sync::Arc::clone(&self.parts.present);
        let (keyed, id, door) = (keyed.clone(), id.clone(), self.door());
        self.write_payment(&id.clone(), move |tx| {
            if let Some(repeat) = claim(tx, &keyed, &id, &template, recorder.at, deadline_s)? {
                return Ok(Begun::Repeat(repeat));
            }
            door.pass()?;
            let payment = payments::hold(tx, &id)?;
            refuse_while_open(tx, &payment)?;
            match payment.status {
                Status::AwaitingPayer | Status::AwaitingAuthentication => {
                    refuse_while_paying(tx, &payment, recorder.at)?;
                    let details =
                        recorder.settle(tx, payment, Note { rest_in: Some(Status::Cancelled), ..Note::default() })?;
                    let answer = present.payment(&details.answered_to(&keyed.caller), false);
                    idempotency::finish(tx, &keyed.caller, &keyed.idempotency, Some(&id), &answer)?;
                    Ok(Begun::Answer(answer))
                }
                Status::Authorized => {
                    let operation =
                        Operation { transaction_id: record::counted_transaction(tx, &payment)?, ..template.clone() };
                    operations::insert(tx, &operation, operation.started_at.plus_seconds(deadline_s))?;
                    let note = Note { always: true, transaction_id: operation.transaction_id, ..Note::default() }
                        .with("operation", "void");
                    let currency = payment.currency();
                    recorder.settle(tx, payment, note)?;
                    Ok(Begun::Call(operation, currency))
                }
                status if status.is_captured() => Err(Error::conflict(
                    Conflict::InvalidState,
                    format!("the payment is {status}: the money was taken; refund it instead"),
                )),
                status => Err(Error::conflict(
                    Conflict::InvalidState,
                    format!("a payment that is {status} cannot be cancelled"),
                )),
            }
        })
        .await
    }

    /// An attempt whose target is filled in under the payment's guard.
    pub(super) fn operation_template(&self, kind: OperationKind, id: &PaymentId) -> Operation {
        let now = self.now();
        Operation {
            id: crate::domain::id::OperationId::generate(now, self.parts.ids.as_ref()),
            payment_id: id.clone(),
            refund_id: None,
            kind,
            transaction_id: None,
            amount: None,
            state: crate::domain::payment::OperationState::Started,
            started_at: now,
            lookups: 0,
            refused_at: None,
        }
    }
}

/// Takes the key for work on a payment.
pub(super) fn claim(
    tx: &mut Tx<'_>,
    keyed: &Keyed,
    id: &PaymentId,
    operation: &Operation,
    at: Timestamp,
    deadline_s: i64,
) -> Result<Option<Repeat>> {
    payments::hold(tx, id)?;
    idempotent::claim(tx, keyed, Some(id), id.as_str(), Some(&operation.id), at, deadline_s)
}

/// One call at a time for a payment.
pub(super) fn refuse_while_open(tx: &mut Tx<'_>, payment: &Payment) -> Result<()> {
    let open = operations::open_of_payment(tx, &payment.id)?;
    match open.iter().find(|operation| operation.kind != OperationKind::Refund) {
        Some(operation) => Err(Error::conflict(
            Conflict::OperationInProgress,
            format!(
                "a {} of this payment is under way or its outcome is not known yet; read the payment and try again",
                operation.kind.as_str()
            ),
        )),
        None => Ok(()),
    }
}

/// Whether an attempt in the provider's window has no outcome yet. One whose Check we answered is shown by a lookup as
/// waiting for the bank: that is no outcome either.
pub(super) fn may_be_paid(transaction: &Transaction) -> bool {
    transaction.kind == TransactionKind::Payment
        && matches!(transaction.status, TransactionStatus::Checked | TransactionStatus::AwaitingAuthentication)
}

/// Whether the provider may be taking money for such an attempt right now.
pub(super) fn may_be_charged(transaction: &Transaction, now: Timestamp) -> bool {
    may_be_paid(transaction) && now.seconds_since(transaction.updated_at) < CHECK_HOLDS_S
}

/// Whether a payer may be paying. A card payment at the bank is asked about once more, by a call of ours: it may end.
pub(super) fn is_paying(tx: &mut Tx<'_>, payment: &Payment, now: Timestamp) -> Result<bool> {
    let holds = |transaction: &Transaction| {
        may_be_charged(transaction, now)
            && (payment.method.is_hosted() || transaction.status == TransactionStatus::Checked)
    };
    Ok(transactions::of_payment(tx, &payment.id)?.iter().any(holds))
}

/// A payer who was just told to go on must not find the payment withdrawn under their hands.
fn refuse_while_paying(tx: &mut Tx<'_>, payment: &Payment, now: Timestamp) -> Result<()> {
    if is_paying(tx, payment, now)? {
        return Err(Error::conflict(
            Conflict::OperationInProgress,
            "the payer is paying right now; read the payment in a minute",
        ));
    }
    Ok(())
}

//! What a call to the provider came to, written down: by the request that made the call, or later by whoever found out.

use super::captures::{can_be_ours, unclear, whose};
use super::correct::{self, Approved};
use super::record::{Learned, Note, Recorder};
use super::{App, Caller, Idempotency, PaymentDetails, StoredAnswer};
use crate::clock::Timestamp;
use crate::cloudpayments::{ChargeAnswer, NotSent, Outcome, RefundAnswer, Trouble};
use crate::domain::evidence::{Attention, Card, Fact, Settlement, TransactionKind, TransactionStatus};
use crate::domain::id::PaymentId;
use crate::domain::money::Money;
use crate::domain::payment::{Operation, OperationKind, OperationState, Payment, ThreeDs};
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::state::{CauseType, Certainty, Status};
use crate::error::{Conflict, Error, Result};
use crate::store::{Tx, idempotency, operations, payments, refunds};

/// The first question about a lost answer comes after so many seconds; later ones ever later.
const FIRST_LOOKUP_S: i64 = 5;

/// What a call came to, in the terms of the record.
#[derive(Debug, Clone)]
pub(super) enum Conclusion {
    /// The provider told of the transaction.
    Fact(Box<Fact>),
    /// The payer has to go to their bank.
    ThreeDs(ThreeDs),
    /// Exactly the operation's amount was taken.
    Captured,
    /// The hold was released.
    Voided,
    /// The money is given back under this number.
    Refunded(i64),
    /// The provider did nothing, and said so.
    Refused(Option<String>),
    /// Nothing was sent.
    NotSent(NotSent),
    /// The provider's register proves that it never came to anything.
    Absent,
    /// Nobody will know: two operators say that it had no effect.
    Corrected(Box<Approved>),
    /// Nobody knows yet.
    Unknown(String),
}

impl From<Outcome<ChargeAnswer>> for Conclusion {
    fn from(outcome: Outcome<ChargeAnswer>) -> Conclusion {
        match outcome {
            Outcome::Answered(ChargeAnswer::Transaction(fact)) => Conclusion::Fact(Box::new(fact)),
            Outcome::Answered(ChargeAnswer::ThreeDs(three_ds)) => Conclusion::ThreeDs(three_ds),
            other => without_answer(other),
        }
    }
}

impl From<Outcome<RefundAnswer>> for Conclusion {
    fn from(outcome: Outcome<RefundAnswer>) -> Conclusion {
        match outcome {
            Outcome::Answered(answer) => Conclusion::Refunded(answer.transaction_id),
            other => without_answer(other),
        }
    }
}

impl Conclusion {
    /// From an answer that says no more than "done".
    pub(super) fn of_done(outcome: Outcome<()>, done: Conclusion) -> Conclusion {
        match outcome {
            Outcome::Answered(()) => done,
            other => without_answer(other),
        }
    }

    /// Whether it tells of one sending of the call only: another one may have come further.
    fn is_of_one_sending(&self) -> bool {
        matches!(self, Conclusion::NotSent(_) | Conclusion::Refused(_))
    }

    /// What the caller is told instead of an answer, where the operation surely did not happen.
    fn failure(&self, kind: OperationKind) -> Option<Error> {
        match self {
            Conclusion::NotSent(reason) => Some(unavailable(reason)),
            Conclusion::Refused(message) => match kind {
                // A refused charge is a declined payment, a refused refund a failed one: both are shown as such.
                OperationKind::Charge | OperationKind::Authorize | OperationKind::Refund => None,
                OperationKind::ThreeDs | OperationKind::Capture | OperationKind::Void => {
                    let said = message.as_deref().unwrap_or("no reason given");
                    Some(Error::conflict(
                        Conflict::ProviderRefused,
                        format!("CloudPayments refused: {said}; read the payment again"),
                    ))
                }
            },
            _ => None,
        }
    }
}

fn without_answer<T>(outcome: Outcome<T>) -> Conclusion {
    match outcome {
        Outcome::Refused { message } => Conclusion::Refused(message),
        Outcome::NotSent { reason } => Conclusion::NotSent(reason),
        Outcome::Unknown { reason } => Conclusion::Unknown(reason),
        // Callers match their own answer first.
        Outcome::Answered(_) => Conclusion::Unknown("an answer of another kind".to_owned()),
    }
}

/// What the caller is told where the conclusion of a call could not be written down. Even what was not sent may be done: to the
/// worker the call is a lost one, and it repeats it.
pub(super) fn not_recorded(error: Error) -> Error {
    Error::OutcomeUnknown(format!("{error:?}"))
}

/// What the caller is told of a call that surely did nothing.
pub(super) fn unavailable(reason: &NotSent) -> Error {
    Error::Unavailable {
        detail: format!("{}; this request did nothing; repeat it with the same Idempotency-Key", told(reason)),
        internal: reason.to_string(),
        retry_after_s: reason.retry_after_s(),
    }
}

/// Whose turn it is: the caller's to wait, or an operator's to act.
pub(super) fn told(reason: &NotSent) -> &'static str {
    match reason {
        NotSent::Overloaded => "too many requests wait for CloudPayments; come back later",
        NotSent::TooManyRequests => "CloudPayments takes no more requests at once (HTTP 429); come back later",
        NotSent::TooLate => "the request waited here for too long",
        NotSent::Unreachable(_) | NotSent::Suspended { trouble: Trouble::Unreachable, .. } => {
            "CloudPayments cannot be reached now"
        }
        NotSent::Credentials | NotSent::Suspended { trouble: Trouble::Credentials, .. } => {
            "CloudPayments refuses the credentials of this service (HTTP 401); an operator has to set cloudpayments.public_id and cloudpayments.api_secret"
        }
    }
}

/// What stands after a conclusion was written down.
pub(super) struct Concluded {
    pub details: PaymentDetails,
    pub refund: Option<Refund>,
    /// Somebody else has taken the call for lost meanwhile: what stands is the truth, not what our own answer said.
    pub overtaken: bool,
}

/// Writes down what an operation came to. Repeatable: evidence that arrived before is not undone.
pub(super) fn conclude(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    operation: &Operation,
    conclusion: &Conclusion,
) -> Result<Concluded> {
    let payment = payments::hold(tx, &operation.payment_id)?;
    let overtaken = operation.state == OperationState::Started
        && conclusion.is_of_one_sending()
        && !operations::is_untouched(tx, &operation.id)?;
    let details = match conclusion {
        // A repeat may be under way, or done: whoever sent it finds out.
        _ if overtaken => recorder.settle(tx, payment, Note::default())?,
        Conclusion::Fact(fact) => book_fact(tx, recorder, payment, operation, fact)?,
        Conclusion::ThreeDs(three_ds) => {
            let fact = plain_fact(three_ds.transaction_id, TransactionStatus::AwaitingAuthentication, payment.amount);
            let waiting = Payment { three_ds: Some(three_ds.clone()), ..payment };
            book_fact(tx, recorder, waiting, operation, &fact)?
        }
        Conclusion::Captured => book_capture(tx, recorder, payment, operation, Learned::Nothing, None)?,
        Conclusion::Voided => {
            let fact =
                plain_fact(operation.transaction_id.unwrap_or_default(), TransactionStatus::Voided, payment.amount);
            book_fact(tx, recorder, payment, operation, &fact)?
        }
        Conclusion::Refunded(transaction_id) => book_refund(tx, recorder, payment, operation, *transaction_id)?,
        Conclusion::Refused(message) => {
            let text = message.as_deref().unwrap_or("refused without a reason");
            book_nothing(tx, recorder, payment, operation, OperationState::Settled, text)?
        }
        Conclusion::NotSent(reason) => {
            book_nothing(tx, recorder, payment, operation, OperationState::NotSent, &reason.to_string())?
        }
        Conclusion::Absent => {
            book_nothing(tx, recorder, payment, operation, OperationState::NotSent, "not in the provider's register")?
        }
        Conclusion::Corrected(approved) => correct::book(tx, recorder, payment, operation, approved)?,
        Conclusion::Unknown(reason) => book_unknown(tx, recorder, payment, operation, reason)?,
    };
    let refund = operation.refund_id.as_ref().map(|id| super::idempotent::refund(tx, id)).transpose()?;
    Ok(Concluded { details, refund, overtaken })
}

fn book_fact(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    payment: Payment,
    operation: &Operation,
    fact: &Fact,
) -> Result<PaymentDetails> {
    if !is_about(operation, &payment, fact) {
        return book_unknown(tx, recorder, payment, operation, "the answer does not fit the payment");
    }
    let learned = recorder.learn(tx, &payment, fact, None)?;
    match learned {
        Learned::Something | Learned::Money | Learned::SomethingAndEarlier | Learned::Nothing | Learned::Mismatch => {}
        // The answer tells of a transaction that is not this payment's, or moves money without saying how much.
        Learned::OtherPayment | Learned::Unreadable => {
            return book_unknown(tx, recorder, payment, operation, "the answer does not fit the payment");
        }
    }
    let mut attention = None;
    if operation.kind == OperationKind::Capture && fact.status == TransactionStatus::Completed {
        let told = fact.amount.map(|amount| amount.minor);
        attention = whose(tx, operation, &payment, told)?;
        if can_be_ours(operation, &payment, told) {
            return book_capture(tx, recorder, payment, operation, learned, attention);
        }
    }
    operations::close(tx, &operation.id, OperationState::Settled, None)?;
    let mut note = Note { test_mode: fact.test_mode, ..Note::about(fact.transaction_id) }.after(fact, learned);
    note.attention = attention.or(note.attention);
    if let Some(code) = fact.reason_code.filter(|_| fact.status == TransactionStatus::Declined) {
        note = note.with("reason_code", code);
    }
    recorder.settle(tx, payment, note)
}

/// Whether a fact tells of what the call was about. The end of 3-D Secure is about one transaction; where its bank refused,
/// a reserve bank may have made a second one, for the same bill and sum.
fn is_about(operation: &Operation, payment: &Payment, fact: &Fact) -> bool {
    operation.kind != OperationKind::ThreeDs
        || Some(fact.transaction_id) == operation.transaction_id
        || (fact.invoice_id.as_deref() == Some(payment.invoice_id.as_str())
            && fact.amount == Some(payment.amount)
            && fact.payment_id.as_deref().is_none_or(|id| id == payment.id.as_str()))
}

fn book_capture(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    payment: Payment,
    operation: &Operation,
    learned: Learned,
    attention: Option<Attention>,
) -> Result<PaymentDetails> {
    let transaction_id = operation.transaction_id.unwrap_or_default();
    let amount = operation.amount.unwrap_or(payment.amount.minor);
    recorder.learn_capture(tx, &payment, transaction_id, amount)?;
    operations::close(tx, &operation.id, OperationState::Settled, None)?;
    let captured = payment.money(amount).to_decimal();
    // Events of what was taken up are numbered as the next row, so there has to be one.
    let always = learned == Learned::SomethingAndEarlier;
    let note = Note { always, attention, own_capture: true, ..Note::about(transaction_id) };
    recorder.settle(tx, payment, note.with("captured", captured))
}

fn book_refund(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    payment: Payment,
    operation: &Operation,
    transaction_id: i64,
) -> Result<PaymentDetails> {
    let Some(refund_id) = operation.refund_id.clone() else {
        return Err(Error::internal("a refund operation without its refund"));
    };
    let refund = super::idempotent::refund(tx, &refund_id)?;
    let fact = Fact {
        kind: TransactionKind::Refund,
        parent_transaction_id: Some(refund.parent_transaction_id),
        ..plain_fact(transaction_id, TransactionStatus::Completed, refund.amount)
    };
    if matches!(recorder.learn(tx, &payment, &fact, Some(&refund_id))?, Learned::OtherPayment | Learned::Unreadable) {
        return book_unknown(tx, recorder, payment, operation, "the answer does not fit the refund");
    }
    operations::close(tx, &operation.id, OperationState::Settled, None)?;
    let mut note =
        Note::about(transaction_id).with("refund_id", refund_id.as_str()).with("refunded", refund.amount.to_decimal());
    // It may be told as failed, by operators, while the question was on its way: what evidence shows wins.
    if refund.status != RefundStatus::Succeeded {
        note.always = true;
        note.events.push(("refund.succeeded", Some(refund_id)));
    }
    recorder.settle(tx, payment, note)
}

/// The operation surely did not happen.
fn book_nothing(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    payment: Payment,
    operation: &Operation,
    state: OperationState,
    text: &str,
) -> Result<PaymentDetails> {
    // The provider's own words may name the payer. The history is never erased, so they stay out of it.
    let message = if state == OperationState::Settled { "refused by the provider" } else { text };
    let was_open = operations::close(tx, &operation.id, state, Some(message))?;
    if was_open && state == OperationState::Settled {
        operations::keep_words(tx, operation, text)?;
    }
    let mut note = Note { always: was_open, transaction_id: operation.transaction_id, ..Note::default() }
        .with("operation", operation.kind.as_str())
        .with("outcome", state.as_str())
        .with("message", message)
        .of_refund(operation.refund_id.as_ref());
    match operation.kind {
        OperationKind::Charge | OperationKind::Authorize if payment.status == Status::Processing => {
            note.rest_in = Some(match (state, &operation.state) {
                (OperationState::NotSent, OperationState::Started) => Status::Cancelled,
                (OperationState::NotSent, _) => Status::Expired,
                _ => Status::Declined,
            });
        }
        OperationKind::Refund => fail_refund(tx, recorder, operation, text, &mut note)?,
        // Somebody else took the hold, and more than what is booked.
        OperationKind::Capture if was_open && payment.sums.captured > 0 => note.attention = Some(unclear(operation)),
        _ => {}
    }
    recorder.settle(tx, payment, note)
}

/// A refund that surely did not happen, or that two operators say did not.
pub(super) fn fail_refund(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    operation: &Operation,
    text: &str,
    note: &mut Note,
) -> Result<()> {
    let Some(refund_id) = &operation.refund_id else { return Ok(()) };
    let refund = super::idempotent::refund(tx, refund_id)?;
    let failed = Refund {
        status: RefundStatus::Failed,
        certainty: Certainty::Proven,
        decide_by: None,
        failure: Some(text.to_owned()),
        updated_at: recorder.at,
        ..refund
    };
    if refunds::update_pending(tx, &failed)? {
        note.events.push(("refund.failed", Some(refund_id.clone())));
    }
    Ok(())
}

fn book_unknown(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    payment: Payment,
    operation: &Operation,
    reason: &str,
) -> Result<PaymentDetails> {
    let due_at = recorder.at.plus_seconds(FIRST_LOOKUP_S);
    let still_open = operations::mark_undetermined(tx, &operation.id, operation.lookups, due_at, reason)?;
    let mut note = Note { transaction_id: operation.transaction_id, ..Note::default() };
    if still_open && operation.state == OperationState::Started {
        note = note.with("operation", operation.kind.as_str()).with("lost", reason);
        note = note.of_refund(operation.refund_id.as_ref());
        if let Some(refund_id) = &operation.refund_id {
            let refund = super::idempotent::refund(tx, refund_id)?;
            let decide_by = Some(operation.started_at.plus_seconds(super::PROVIDER_MEMORY_S));
            refunds::update_pending(tx, &Refund { decide_by, updated_at: recorder.at, ..refund })?;
            note.always = true;
        }
    }
    recorder.settle(tx, payment, note)
}

/// A fact that our own call proves.
fn plain_fact(transaction_id: i64, status: TransactionStatus, amount: Money) -> Fact {
    Fact {
        transaction_id,
        kind: TransactionKind::Payment,
        status,
        amount: Some(amount),
        is_capture: false,
        parent_transaction_id: None,
        reason_code: None,
        card: Card::default(),
        invoice_id: None,
        payment_id: None,
        refund_id: None,
        account_id: None,
        subscription_id: None,
        test_mode: None,
        made_at: None,
        settlement: Settlement::default(),
    }
}

/// A request and its key, as far as concluding it needs them.
#[derive(Clone)]
pub(super) struct Keyed {
    pub caller: Caller,
    pub idempotency: Idempotency,
    /// Whether the request creates what it answers with.
    pub creates: bool,
}

impl App {
    /// Writes down what the call of a request came to, with the answer kept under its key in the same transaction.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] where that fails.
    pub(super) async fn conclude_request(
        &self,
        keyed: Keyed,
        operation: Operation,
        conclusion: Conclusion,
    ) -> Result<StoredAnswer> {
        let recorder = self.recorder(CauseType::ProviderAnswer, Some(operation.id.to_string()), super::PROVIDER);
        let present = std::sync::Arc::clone(&self.parts.present);
        let payment_id = operation.payment_id.clone();
        let (answer, failure) = self
            .write_payment(&payment_id, move |tx| {
                let concluded = conclude(tx, &recorder, &operation, &conclusion)?;
                let failure = conclusion.failure(operation.kind).filter(|_| !concluded.overtaken);
                let (answer, is_final) = match concluded.refund {
                    Some(refund) => (present.refund(&refund), refund.status != RefundStatus::Pending),
                    None => {
                        let is_final = is_final(&concluded.details.payment);
                        (present.payment(&concluded.details.answered_to(&keyed.caller), keyed.creates), is_final)
                    }
                };
                keep(tx, &keyed, &operation.payment_id, &answer, is_final, failure.is_some(), recorder.at)?;
                Ok((answer, failure))
            })
            .await
            .map_err(not_recorded)?;
        failure.map_or(Ok(answer), Err)
    }
}

/// Keeps the answer under its key, gives the key back where nothing was sent, or leaves the live thing to answer.
pub(super) fn keep(
    tx: &mut Tx<'_>,
    keyed: &Keyed,
    payment_id: &PaymentId,
    answer: &StoredAnswer,
    is_final: bool,
    failed: bool,
    at: Timestamp,
) -> Result<()> {
    let (caller, idempotency) = (&keyed.caller, &keyed.idempotency);
    if failed {
        idempotency::release(tx, caller, idempotency)
    } else if is_final {
        idempotency::finish(tx, caller, idempotency, Some(payment_id), answer)
    } else {
        idempotency::unlock(tx, caller, idempotency, at)
    }
}

/// Whether an answer may be kept for repeats. An outcome that is still open answers with the live payment instead.
fn is_final(payment: &Payment) -> bool {
    payment.certainty == Certainty::Proven && payment.status != Status::Processing
}

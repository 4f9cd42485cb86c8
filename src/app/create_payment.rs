//! Creating a payment: for the widget, or with a charge right away.

use secrecy::SecretString;

use super::conclude::{Conclusion, Keyed, unavailable};
use super::idempotent::{self, Repeat};
use super::{Answer, App, Caller, Idempotency, NewMethod, NewPayment, PaymentDetails};
use crate::clock::Timestamp;
use crate::cloudpayments::{CardCharge, NotSent, Sending};
use crate::domain::id::{OperationId, PaymentId};
use crate::domain::payment::{CaptureMode, Method, Operation, OperationKind, OperationState, Payment, Sums};
use crate::domain::state::{CauseType, Certainty, Status};
use crate::error::{Conflict, Error, Result};
use crate::store::{Lane, Tx, discrepancies, idempotency, operations};

/// What only the call needs and nobody keeps.
struct CardData {
    cryptogram: SecretString,
    cardholder_name: Option<String>,
}

/// What the first write came to.
enum Begun {
    Repeat(Repeat),
    Answer(super::StoredAnswer),
    Charge,
}

impl App {
    /// Creates a payment. With a cryptogram it is charged (or the money held) before this returns.
    ///
    /// # Errors
    /// See [`crate::error::Error`]; after an error nothing was charged and the same request may be repeated under its key.
    pub async fn create_payment(&self, caller: &Caller, idempotency: Idempotency, new: NewPayment) -> Result<Answer> {
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: true };
        let known = self.pass_gate_or_repeat(&keyed).await?;
        let (payment, card) = self.draft(caller, new);
        let operation = card.as_ref().map(|_| self.charge_operation(&payment));
        let begun = match known {
            Some(repeat) => Begun::Repeat(repeat),
            None => self.begin_payment(&keyed, &payment, operation.as_ref()).await?,
        };
        match begun {
            Begun::Repeat(repeat) => {
                self.refuse_other_bill(&repeat, &payment).await?;
                self.repeat(caller, repeat, true).await
            }
            Begun::Answer(stored) => Ok(Answer { stored, replayed: false }),
            Begun::Charge => {
                let (Some(card), Some(operation)) = (card, operation) else {
                    return Err(Error::internal("a charge without card data"));
                };
                let conclusion = self.charge(&payment, &card, &operation).await;
                let stored = self.conclude_request(keyed, operation, conclusion).await?;
                Ok(Answer { stored, replayed: false })
            }
        }
    }

    /// Of an erased payer the key no longer tells what was asked for: the payment itself does, as far as it has to.
    async fn refuse_other_bill(&self, repeat: &Repeat, asked: &Payment) -> Result<()> {
        let Some(id) = repeat.live().and_then(PaymentId::parse) else { return Ok(()) };
        let live = self.payment(id).await?.payment;
        let same = live.invoice_id == asked.invoice_id && live.amount == asked.amount;
        if same { Ok(()) } else { Err(Error::IdempotencyKeyReused) }
    }

    fn draft(&self, caller: &Caller, new: NewPayment) -> (Payment, Option<CardData>) {
        let now = self.now();
        let (method, card) = match new.method {
            NewMethod::Widget => (Method::Widget, None),
            NewMethod::CardCryptogram { cryptogram, cardholder_name } => {
                (Method::CardCryptogram, Some(CardData { cryptogram, cardholder_name }))
            }
        };
        let payment = Payment {
            id: PaymentId::generate(now, self.parts.ids.as_ref()),
            sequence: 1,
            status: if method.is_hosted() { Status::AwaitingPayer } else { Status::Processing },
            certainty: Certainty::Proven,
            decide_by: None,
            amount: new.amount,
            sums: Sums::default(),
            invoice_id: new.invoice_id,
            description: new.description,
            capture: new.capture,
            language: new.language,
            method,
            return_url: new.return_url,
            metadata: new.metadata,
            payer: new.payer,
            three_ds: None,
            attention: None,
            attention_raised: Vec::new(),
            test_mode: None,
            created_by: caller.lineage.clone(),
            erased: false,
            created_at: now,
            updated_at: now,
            expires_at: now.plus_seconds(new.expires_in_s.unwrap_or(self.parts.settings.default_expires_in_s)),
        };
        (payment, card)
    }

    fn charge_operation(&self, payment: &Payment) -> Operation {
        let kind = match payment.capture {
            CaptureMode::Automatic => OperationKind::Charge,
            CaptureMode::Manual => OperationKind::Authorize,
        };
        self.operation(payment, kind, None, payment.created_at)
    }

    /// A new attempt of an operation, not written yet.
    pub(super) fn operation(
        &self,
        payment: &Payment,
        kind: OperationKind,
        transaction_id: Option<i64>,
        now: Timestamp,
    ) -> Operation {
        Operation {
            id: OperationId::generate(now, self.parts.ids.as_ref()),
            payment_id: payment.id.clone(),
            refund_id: None,
            kind,
            transaction_id,
            amount: None,
            state: OperationState::Started,
            started_at: now,
            lookups: 0,
            refused_at: None,
        }
    }

    /// The first sending of a call: only until others may take it for lost (`operations.due_at`). Both count from when the
    /// intent was made, so a write that waited for long makes the call late, and never sent beside a question about it.
    pub(super) fn first_sending<'a>(&self, operation: &'a Operation) -> Sending<'a> {
        let not_after = operation.started_at.plus_seconds(self.parts.settings.call_deadline_s);
        Sending { request_id: operation.id.as_str(), not_after }
    }

    /// One durable step: the key, the payment with its history, and the intent to charge or the final answer. What would not
    /// be sent leaves nothing behind.
    async fn begin_payment(&self, keyed: &Keyed, payment: &Payment, operation: Option<&Operation>) -> Result<Begun> {
        let refusal = operation.and_then(|_| self.parts.provider.admits().err());
        let recorder = self.recorder(CauseType::Api, keyed.caller.request_id.clone(), keyed.caller.key_id.as_str());
        let deadline_s = self.parts.settings.call_deadline_s;
        let present = std::sync::Arc::clone(&self.parts.present);
        let (keyed, payment, operation) = (keyed.clone(), payment.clone(), operation.cloned());
        let (lane, door, refused) = (Lane::of(&keyed.idempotency.key), self.door(), refusal.clone());
        let begun = self
            .parts
            .store
            .write(lane, move |tx| {
                let operation_id = operation.as_ref().map(|operation| &operation.id);
                let at = payment.created_at;
                if let Some(repeat) =
                    idempotent::claim(tx, &keyed, Some(&payment.id), payment.id.as_str(), operation_id, at, deadline_s)?
                {
                    return Ok(Begun::Repeat(repeat));
                }
                door.pass()?;
                refused.as_ref().map_or(Ok(()), |reason| Err(unavailable(reason)))?;
                refuse_if_unaccounted(tx, &payment.invoice_id)?;
                recorder.create(tx, &payment)?;
                if let Some(operation) = &operation {
                    operations::insert(tx, operation, operation.started_at.plus_seconds(deadline_s))?;
                    return Ok(Begun::Charge);
                }
                let answer =
                    present.payment(&PaymentDetails { payment: payment.clone(), transactions: Vec::new() }, true);
                idempotency::finish(tx, &keyed.caller, &keyed.idempotency, Some(&payment.id), &answer)?;
                Ok(Begun::Answer(answer))
            })
            .await;
        self.count_not_begun(begun, refusal.as_ref())
    }

    /// Counts a call that the provider was not even asked for.
    pub(super) fn count_not_begun<T>(&self, begun: Result<T>, refusal: Option<&NotSent>) -> Result<T> {
        if let (Err(Error::Unavailable { .. }), Some(reason)) = (&begun, refusal) {
            self.parts.provider.count_not_sent(reason);
        }
        begun
    }

    async fn charge(&self, payment: &Payment, card: &CardData, operation: &Operation) -> Conclusion {
        let request = CardCharge {
            two_stage: payment.capture == CaptureMode::Manual,
            amount: payment.amount,
            cryptogram: &card.cryptogram,
            cardholder_name: card.cardholder_name.as_deref(),
            ip_address: payment.payer.ip_address.as_deref().unwrap_or_default(),
            invoice_id: &payment.invoice_id,
            description: &payment.description,
            account_id: payment.payer.account_id.as_deref(),
            email: payment.payer.email.as_deref(),
            phone: payment.payer.phone.as_deref(),
            culture: payment.language.culture(),
            payment_id: payment.id.as_str(),
        };
        self.parts.provider.charge_card(&request, self.first_sending(operation)).await.into()
    }
}

/// A payment that is lost with an older copy of the database may have been this one: the key of its request is lost, too.
/// Money without a name of ours that came to light while a start was read back may be of such a payment.
fn refuse_if_unaccounted(tx: &mut Tx<'_>, invoice_id: &str) -> Result<()> {
    let Some(found) = discrepancies::unaccounted_money(tx, invoice_id)? else { return Ok(()) };
    let whose = if found.lost {
        "of a payment that was lost when the database was restored"
    } else {
        "and no payment held here accounts for it: it is of somebody else at the same terminal, or of a payment that was lost when the database was restored"
    };
    Err(Error::conflict(
        Conflict::PaidBeforeRestore,
        format!(
            "CloudPayments holds money for this bill, transaction {}, {whose}; an operator has to look at it and close its discrepancy with POST /v1/discrepancies/{}/close",
            found.transaction_id, found.id
        ),
    ))
}

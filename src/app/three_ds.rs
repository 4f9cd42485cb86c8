//! Finishing 3-D Secure: from the site's backend, or by the payer's browser.

use secrecy::SecretString;

use super::capture_payment::{Begun, claim, refuse_while_open};
use super::conclude::{Conclusion, Keyed, conclude, not_recorded};
use super::record::Note;
use super::{Answer, App, Caller, Idempotency, PaymentDetails};
use crate::domain::evidence::TransactionStatus;
use crate::domain::id::PaymentId;
use crate::domain::payment::{Operation, OperationKind, Payment, ThreeDs};
use crate::domain::state::{CauseType, Status};
use crate::error::{Conflict, Error, Result};
use crate::store::{Tx, operations, payments, transactions};

/// Who acts when the payer's browser does.
const PAYER: &str = "payer";

impl App {
    /// Sends the bank's answer on and returns the payment with its outcome.
    ///
    /// # Errors
    /// Conflict when the payment does not wait for authentication, or `md` is not the transaction that waits.
    pub async fn finish_three_ds(
        &self,
        caller: &Caller,
        idempotency: Idempotency,
        id: PaymentId,
        md: i64,
        pa_res: SecretString,
    ) -> Result<Answer> {
        let keyed = Keyed { caller: caller.clone(), idempotency, creates: false };
        if let Some(repeat) = self.pass_gate_or_repeat(&keyed).await? {
            return self.repeat(caller, repeat, false).await;
        }
        self.settle_open(&id, caller).await?;
        match self.begin_three_ds(Some(&keyed), caller.key_id.as_str(), &id, md).await? {
            Begun::Call(operation, _) => {
                let outcome = self.parts.provider.finish_three_ds(md, &pa_res, self.first_sending(&operation)).await;
                self.finish_call(keyed, operation, outcome.into()).await
            }
            begun => self.answer_without_call(caller, begun).await,
        }
    }

    /// The form for the bank that the payer's browser posts; `None` when the payment no longer waits for it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn three_ds_redirect(&self, id: PaymentId) -> Result<(PaymentDetails, Option<ThreeDs>)> {
        let details = self.payment(id).await?;
        let waits = details.payment.status == Status::AwaitingAuthentication;
        let form = details.payment.three_ds.clone().filter(|_| waits);
        Ok((details, form))
    }

    /// The payer's browser is back from the bank. A second visit finds the payment settled and changes nothing.
    ///
    /// # Errors
    /// Conflict when `md` is not the transaction that waits. When nothing could be sent, the payment still waits.
    pub async fn three_ds_return(&self, id: PaymentId, md: i64, pa_res: SecretString) -> Result<PaymentDetails> {
        let before = self.payment(id.clone()).await?;
        if before.payment.status != Status::AwaitingAuthentication {
            return Ok(before);
        }
        self.pass_gate().await?;
        let operation = match self.begin_three_ds(None, PAYER, &id, md).await {
            Ok(Begun::Call(operation, _)) => operation,
            // The browser posted twice; the other post does the work.
            Ok(_) | Err(Error::Conflict { why: Conflict::OperationInProgress | Conflict::InvalidState, .. }) => {
                return self.payment(id).await;
            }
            Err(error) => return Err(error),
        };
        let outcome = self.parts.provider.finish_three_ds(md, &pa_res, self.first_sending(&operation)).await;
        let conclusion = Conclusion::from(outcome);
        let recorder = self.recorder(CauseType::ProviderAnswer, Some(operation.id.to_string()), super::PROVIDER);
        let write = move |tx: &mut Tx<'_>| Ok(conclude(tx, &recorder, &operation, &conclusion)?.details);
        self.write_payment(&id, write).await.map_err(not_recorded)
    }

    async fn begin_three_ds(&self, keyed: Option<&Keyed>, actor: &str, id: &PaymentId, md: i64) -> Result<Begun> {
        let request_id = keyed.and_then(|keyed| keyed.caller.request_id.clone());
        let recorder = self.recorder(CauseType::Api, request_id, actor);
        let deadline_s = self.parts.settings.call_deadline_s;
        let operation = Operation { transaction_id: Some(md), ..self.operation_template(OperationKind::ThreeDs, id) };
        let (keyed, id, door) = (keyed.cloned(), id.clone(), self.door());
        self.write_payment(&id.clone(), move |tx| {
            if let Some(keyed) = &keyed
                && let Some(repeat) = claim(tx, keyed, &id, &operation, recorder.at, deadline_s)?
            {
                return Ok(Begun::Repeat(repeat));
            }
            door.pass()?;
            let payment = payments::hold(tx, &id)?;
            refuse_while_open(tx, &payment)?;
            check_waits(tx, &payment, md)?;
            operations::insert(tx, &operation, operation.started_at.plus_seconds(deadline_s))?;
            let currency = payment.currency();
            recorder.settle(tx, payment, Note::about(md).with("operation", "three_ds"))?;
            Ok(Begun::Call(operation.clone(), currency))
        })
        .await
    }
}

fn check_waits(tx: &mut Tx<'_>, payment: &Payment, md: i64) -> Result<()> {
    if payment.status != Status::AwaitingAuthentication {
        let advice = format!("the payment is {}; only one that awaits authentication can be finished", payment.status);
        return Err(Error::conflict(Conflict::InvalidState, advice));
    }
    let waits = transactions::of_payment(tx, &payment.id)?.iter().any(|transaction| {
        transaction.transaction_id == md && transaction.status == TransactionStatus::AwaitingAuthentication
    });
    if !waits {
        return Err(Error::conflict(
            Conflict::WrongTransaction,
            "md is not the transaction that waits; send the md that came with next_action",
        ));
    }
    Ok(())
}

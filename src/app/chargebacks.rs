//! Payments that the payer's bank takes back: read from the provider's list, kept, and told of once.

use super::App;
use super::reconcile::{Step, WORKER, with_not_booked, without_answer};
use super::record::{Note, Recorder};
use crate::cloudpayments::Outcome;
use crate::domain::evidence::Attention;
use crate::domain::id::{ChargebackId, PaymentId};
use crate::domain::register::{Chargeback, Claim, Reconciliation};
use crate::domain::state::CauseType;
use crate::error::{Error, Result};
use crate::store::{Lane, Tx, chargebacks, payments, reconciliations, transactions};

/// Chargebacks that were raised so long before a run's window are read again, seconds: the list of some weeks is short, and
/// a day that was missed is made up for.
const LOOK_BACK_S: i64 = 31 * 86_400;
/// Chargebacks that are tied to their payment in one step.
const RESOLVED_AT_ONCE: i64 = 100;

impl App {
    /// One page of the list; after the last one the run is over.
    pub(super) async fn read_chargebacks(&self, run: Reconciliation) -> Result<Step> {
        let (from, number) = (run.from.plus_seconds(-LOOK_BACK_S), u32::try_from(run.next_page).unwrap_or(u32::MAX));
        let page = match self.parts.provider.chargebacks(from, run.to, number).await {
            Outcome::Answered(page) => page,
            // A terminal that may not ask for them: the comparison itself is over.
            Outcome::Refused { .. } => {
                tracing::error!("CloudPayments refuses to list chargebacks");
                let reason = Some("CloudPayments refused to list chargebacks".to_owned());
                let reason = with_not_booked(reason, run.reason.as_deref());
                return self.finish_run(Reconciliation { reason, ..run }).await;
            }
            other => return Ok(Step::nothing(run, without_answer(&other))),
        };
        if page.unreadable > 0 {
            tracing::error!(
                unreadable = page.unreadable,
                "the provider's list of chargebacks has items that we cannot read"
            );
        }
        let mut new = 0;
        for claim in page.claims {
            new += i64::from(self.take_claim(&run, claim).await?);
        }
        let run = Reconciliation { next_page: run.next_page + 1, chargebacks: run.chargebacks + new, ..run };
        if page.last {
            self.tie_to_payments(&run).await?;
            return self.finish_run(run).await;
        }
        let Some(held) = run.due_at else { return Ok(Step::Forward) };
        let reason = with_not_booked(None, run.reason.as_deref());
        let next = Reconciliation { due_at: Some(self.now()), failures: 0, reason, ..run };
        self.write_run(next, move |tx, run| reconciliations::update(tx, run, held)).await?;
        Ok(Step::Forward)
    }

    /// Keeps a chargeback with its payment, where we hold that; `false` when it was known.
    async fn take_claim(&self, run: &Reconciliation, claim: Claim) -> Result<bool> {
        let asked = claim.clone();
        let (known, owner) = self
            .parts
            .store
            .read(move |tx| Ok((chargebacks::is_known(tx, &asked)?, transactions::find(tx, asked.transaction_id)?)))
            .await?;
        if known {
            return Ok(false);
        }
        let payment_id = owner.map(|(payment_id, _)| payment_id);
        let now = self.now();
        let chargeback = Chargeback {
            id: ChargebackId::generate(now, self.parts.ids.as_ref()),
            claim,
            payment_id: payment_id.clone(),
            found_by: run.id.clone(),
            found_at: now,
        };
        self.parts.metrics.chargeback(payment_id.is_some());
        tracing::error!(
            chargeback.id = chargeback.id.as_str(),
            transaction.id = chargeback.claim.transaction_id,
            payment.id = payment_id.as_ref().map_or("", PaymentId::as_str),
            "a chargeback"
        );
        let alone = Chargeback { payment_id: None, ..chargeback.clone() };
        let alone = move |tx: &mut Tx<'_>| chargebacks::insert(tx, &alone);
        let Some(payment_id) = payment_id else {
            return self.parts.store.write(Lane::of(WORKER), alone).await;
        };
        let recorder = self.recorder(CauseType::Reconciliation, Some(run.id.to_string()), WORKER);
        let about = payment_id.clone();
        let keep = move |tx: &mut Tx<'_>| {
            let is_new = chargebacks::insert(tx, &chargeback)?;
            if is_new {
                tell(tx, &recorder, &payment_id, &chargeback)?;
            }
            Ok(is_new)
        };
        match self.write_payment(&about, keep).await {
            // Tied to its payment by a later run, when the key of its payer opens.
            Err(Error::KeyMissing(_)) => self.parts.store.write(Lane::of(WORKER), alone).await,
            kept => kept,
        }
    }

    /// Ties chargebacks that came before their transaction was known to its payment.
    async fn tie_to_payments(&self, run: &Reconciliation) -> Result<()> {
        let resolvable = self.parts.store.read(|tx| chargebacks::resolvable(tx, RESOLVED_AT_ONCE)).await?;
        for (payment_id, chargeback) in resolvable {
            let recorder = self.recorder(CauseType::Reconciliation, Some(run.id.to_string()), WORKER);
            let about = payment_id.clone();
            let tie = move |tx: &mut Tx<'_>| {
                if chargebacks::resolve(tx, &chargeback.id, &payment_id)? {
                    tell(tx, &recorder, &payment_id, &chargeback)?;
                }
                Ok(())
            };
            match self.write_payment(&about, tie).await {
                Err(Error::KeyMissing(why)) => tracing::error!(why, "a chargeback could not be tied to its payment"),
                tied => tied?,
            }
        }
        Ok(())
    }
}

/// The payment's history, its attention and the event, in the transaction that keeps the chargeback.
fn tell(tx: &mut Tx<'_>, recorder: &Recorder, payment_id: &PaymentId, chargeback: &Chargeback) -> Result<()> {
    let payment = payments::hold(tx, payment_id)?;
    let claim = &chargeback.claim;
    let mut note = Note { always: true, ..Note::about(claim.transaction_id) }
        .with("chargeback_id", chargeback.id.as_str())
        .with("chargeback", format!("{} {}", claim.kind, claim.operation));
    if claim.takes_money_back() {
        note.attention = Some(Attention::new("chargeback", &chargeback.id));
        note.events.push(("chargeback.opened", None));
    }
    recorder.settle(tx, payment, note).map(drop)
}

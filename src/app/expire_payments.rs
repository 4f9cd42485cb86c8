//! Ending payments that nobody paid in time, after asking the provider.

use super::App;
use super::capture_payment::is_paying;
use super::record::Note;
use super::resolve::Ours;
use crate::clock::Timestamp;
use crate::cloudpayments::Outcome;
use crate::domain::evidence::{Fact, TransactionKind};
use crate::domain::id::PaymentId;
use crate::domain::payment::Payment;
use crate::domain::state::{CauseType, Status};
use crate::error::Result;
use crate::store::{Lane, Tx, payments, transactions};

const STEP_LIMIT: i64 = 50;
/// A payment that could not be ended is looked at again after a pause between these, seconds.
const SHORTEST_PAUSE_S: i64 = 5;
const LONGEST_PAUSE_S: i64 = 600;
const WORKER: &str = "worker:expire";

/// What the provider says of a payment before it ends.
pub(super) struct LastLook {
    pub(super) facts: Vec<Fact>,
    /// Whether one of them is the payment's own money.
    money_may_move: bool,
}

impl App {
    /// Ends payments, and approvals that nobody decided about, whose time is over. Returns how many were due.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn expire_step(&self) -> Result<usize> {
        let now = self.now();
        // While nothing would be sent, nothing can be found out, and nobody's turn is used up.
        let due = match self.parts.provider.trouble() {
            Some(_) => Vec::new(),
            None => self.parts.store.read(move |tx| payments::due_to_expire(tx, now, STEP_LIMIT)).await?,
        };
        for (id, expires_at) in &due {
            let ended = self.expire(id).await.unwrap_or_else(|error| {
                tracing::error!(payment.id = id.as_str(), %error, ?error, "an unpaid payment could not be ended");
                false
            });
            // One that cannot be looked at must not keep the others from it, in this step or in the next ones.
            if !ended && let Err(error) = self.put_off_expiry(id, *expires_at).await {
                tracing::error!(payment.id = id.as_str(), %error, ?error, "an unpaid payment could not be put off");
            }
        }
        let approvals = self.expire_approvals().await?;
        self.parts.metrics.worker("expire", due.len() + approvals);
        Ok(due.len() + approvals)
    }

    /// Without an answer of the provider the payment stays: an unpaid one costs nothing, a paid one must not be ended.
    /// Whether it ended.
    async fn expire(&self, id: &PaymentId) -> Result<bool> {
        let wanted = id.clone();
        let payment = self.parts.store.read(move |tx| payments::get(tx, &wanted)).await?;
        let Some(LastLook { facts, money_may_move }) = self.last_look(&payment).await? else { return Ok(false) };
        for fact in facts {
            self.book_lookup(&payment.id, WORKER, fact).await?;
        }
        if money_may_move { Ok(false) } else { self.end(payment.id.clone()).await }
    }

    /// Each pause is as long as the payment is overdue by then, within bounds: so pauses grow without being counted.
    async fn put_off_expiry(&self, id: &PaymentId, expires_at: Timestamp) -> Result<()> {
        let now = self.now();
        let pause_s = now.seconds_since(expires_at).clamp(SHORTEST_PAUSE_S, LONGEST_PAUSE_S);
        let (id, until) = (id.clone(), now.plus_seconds(pause_s));
        let lane = Lane::of(id.as_str());
        self.parts.store.write(lane, move |tx| payments::put_off_expiry(tx, &id, until)).await
    }

    /// What the provider knows of the payment: `None` when it does not answer.
    pub(super) async fn last_look(&self, payment: &Payment) -> Result<Option<LastLook>> {
        let wanted = payment.clone();
        let read = move |tx: &mut Tx<'_>| Ok((transactions::of_payment(tx, &wanted.id)?, Ours::of(tx, &wanted)?));
        let (known, ours) = self.parts.store.read(read).await?;
        let mut facts = Vec::new();
        for transaction in known.iter().filter(|transaction| transaction.kind == TransactionKind::Payment) {
            match self.parts.provider.get(transaction.transaction_id).await {
                Outcome::Answered(fact) => facts.extend(fact),
                _ => return Ok(None),
            }
        }
        let latest = match self.parts.provider.find(&payment.invoice_id).await {
            Outcome::Answered(Some(fact)) if !ours.is(&fact) || !ours.pays(&fact) => {
                // The bill shows its latest attempt only: money of this payment may stand behind it.
                let is_payment = |fact: &Fact| fact.kind == TransactionKind::Payment && ours.is(fact);
                match self.search_register(&ours, payment.created_at, self.now(), is_payment).await {
                    Some(behind) => behind,
                    None => return Ok(None),
                }
            }
            Outcome::Answered(fact) => fact,
            _ => return Ok(None),
        };
        facts.extend(latest);
        // Money of another sum calls a person; a payment that was looked at no longer waits for it.
        let money_may_move = facts.iter().any(|fact| ours.pays(fact));
        Ok(Some(LastLook { facts, money_may_move }))
    }

    /// Whether it ended: a payer may be paying.
    async fn end(&self, id: PaymentId) -> Result<bool> {
        let recorder = self.recorder(CauseType::Expiry, None, WORKER);
        self.write_payment(&id.clone(), move |tx| {
            let payment = payments::hold(tx, &id)?;
            if matches!(payment.status, Status::AwaitingPayer | Status::AwaitingAuthentication)
                && payment.expires_at <= recorder.at
                && payment.attention.is_none()
                && !is_paying(tx, &payment, recorder.at)?
            {
                recorder.settle(tx, payment, Note { rest_in: Some(Status::Expired), ..Note::default() })?;
                return Ok(true);
            }
            Ok(false)
        })
        .await
    }
}

//! What the provider made before the database's last change, where a run that reads back meets it.
//!
//! The register tells of a transaction under the moment that it was made. A payer may have been at the bank when a copy of the
//! database was taken, and have paid before it was put back: that transaction is older than the copy, and nothing here knows
//! of it. So such a run reads further back than to the last change. Of what is that old only what is about a payment
//! held here is taken, and what names one that is lost. All else is no sign of an older copy, whose requests it held: a refund
//! in the cabinet, or money of somebody else, must not stop a refund or a bill at each start. The run of the day tells of it.

use super::App;
use super::resolve::{Traces, is_lost, payment_of};
use crate::clock::Timestamp;
use crate::domain::evidence::{Fact, TransactionKind};
use crate::domain::register::Reconciliation;
use crate::error::Result;
use crate::store::Tx;

/// Whether a run that reads back meets something older than the change that it reads from on. What does not tell when it was
/// made may be younger.
pub(super) fn is_older(run: &Reconciliation, made_at: Option<Timestamp>) -> bool {
    run.purpose.reads_back() && made_at.is_some_and(|made_at| made_at < run.from)
}

impl App {
    /// A page of the register without what this run leaves to that of the day.
    pub(super) async fn to_compare(&self, run: &Reconciliation, facts: Vec<Fact>) -> Result<Vec<Fact>> {
        if !facts.iter().any(|fact| is_older(run, fact.made_at)) {
            return Ok(facts);
        }
        let run = run.clone();
        self.parts
            .store
            .read(move |tx| {
                let mut kept = Vec::new();
                for fact in &facts {
                    if !is_older(&run, fact.made_at) || is_taken(tx, fact)? {
                        kept.push(fact.clone());
                    }
                }
                Ok(kept)
            })
            .await
    }
}

fn is_taken(tx: &mut Tx<'_>, fact: &Fact) -> Result<bool> {
    if is_lost(tx, fact.payment_id.as_deref(), fact.refund_id.as_deref())? {
        return Ok(true);
    }
    Ok(fact.kind == TransactionKind::Payment && payment_of(tx, &Traces::of_fact(fact))?.is_some())
}

//! The laws about what the workers leave behind: the comparisons with the register, and the sealed history.

use super::laws::ALL;
use super::world::World;
use crate::app::{DiscrepancyFilter, Page, VerifyHistory, verify_history};
use crate::clock::Clock as _;
use crate::domain::id::PaymentId;
use crate::domain::register::{Discrepancy, DiscrepancyKind, RunState};
use crate::error::Result;
use crate::store::{Tx, discrepancies, payments, reconciliations, transactions};

/// What was recorded before so many seconds is sealed: twice the longest pause of the worker.
const SEALED_AFTER_S: i64 = 7_200;

pub(super) fn audit(world: &World, tx: &mut Tx<'_>) -> Result<()> {
    runs_come_to_their_end(world, tx)?;
    discrepancies_are_explained(world, tx)?;
    history_is_sealed(world, tx)
}

/// Every page can be read in the end, and a database that nobody replaced is never taken for an old copy.
fn runs_come_to_their_end(world: &World, tx: &mut Tx<'_>) -> Result<()> {
    for run in reconciliations::list(tx, &Page { before: None, limit: ALL })? {
        if run.state == RunState::Failed {
            world.violated("a comparison with the register is not given up", None, format!("{run:?}"));
        }
        if run.lost > 0 {
            world.violated("nothing is called lost that is there", None, format!("{run:?}"));
        }
    }
    Ok(())
}

/// What was missing here is booked; open is only what a person was called for.
fn discrepancies_are_explained(world: &World, tx: &mut Tx<'_>) -> Result<()> {
    let law = "the register and our books agree in the end";
    let open = DiscrepancyFilter { open: Some(true), ..DiscrepancyFilter::default() };
    for discrepancy in discrepancies::list(tx, &open, &Page { before: None, limit: ALL })? {
        let payment_id = discrepancy.payment_id.as_ref().map(PaymentId::as_str);
        let of_nobody = discrepancy.payment_id.is_none() && !discrepancy.lost;
        let of_others = of_nobody && world.others.own(discrepancy.transaction_id);
        if !of_others && !is_for_a_person(tx, &discrepancy)? {
            world.violated(law, payment_id, format!("{discrepancy:?}"));
        }
    }
    Ok(())
}

fn is_for_a_person(tx: &mut Tx<'_>, discrepancy: &Discrepancy) -> Result<bool> {
    if discrepancy.kind == DiscrepancyKind::RefundInCabinet {
        // Found while a start was being read back, and of no request of ours: it holds up refunds until a person looks.
        let found = transactions::find(tx, discrepancy.transaction_id)?;
        return Ok(!discrepancy.lost && found.is_some_and(|(_, transaction)| transaction.refund_id.is_none()));
    }
    let surprising = matches!(
        discrepancy.kind,
        DiscrepancyKind::Duplicate | DiscrepancyKind::AmountMismatch | DiscrepancyKind::CurrencyMismatch
    );
    let Some(payment_id) = discrepancy.payment_id.as_ref().filter(|_| surprising && !discrepancy.lost) else {
        return Ok(false);
    };
    Ok(payments::find(tx, payment_id)?.is_some_and(|payment| payment.attention.is_some()))
}

fn history_is_sealed(world: &World, tx: &mut Tx<'_>) -> Result<()> {
    let sealed_before = world.clock.now().plus_seconds(-SEALED_AFTER_S);
    if let Err(broken) = verify_history(tx, &VerifyHistory { published: Vec::new(), sealed_before })? {
        let payment_id = broken.row.as_ref().map(|(payment_id, _)| payment_id.as_str());
        world.violated("the history is sealed as it was written", payment_id, broken.to_string());
    }
    Ok(())
}

//! What a run does, step by step: pages of the register, questions about single transactions, its end.

use super::App;
use super::before_copy::is_older;
use super::findings::Compared;
use super::gap::shut_gate;
use super::reconcile::{Step, WORKER, with_not_booked, without_answer};
use crate::clock::Timestamp;
use crate::cloudpayments::{Outcome, Unreadable};
use crate::domain::id::TransactionRecordId;
use crate::domain::payment::CLOCKS_DIFFER_S;
use crate::domain::register::{Phase, Purpose, Reconciliation, RunState};
use crate::domain::state::CauseType;
use crate::error::Result;
use crate::store::reconciliations::Candidate;
use crate::store::{discrepancies, reconciliations};

/// Transactions asked about in one step.
const ASKED_AT_ONCE: usize = 20;
/// A run that has to ask about more transactions compares with another terminal's register.
const MAX_ASKED: i64 = 1000;
/// A question about one transaction that is refused, or answered with what we cannot read, is asked so often before the
/// transaction is passed over.
const MAX_UNCERTAIN: i32 = 3;
/// Why a gap is not read to its end.
const NAMELESS: &str = "the register holds an item without a number, so what the database lacks cannot be told; money waits. \
    Look into the register by hand: if nothing in it is missing here, start once with reconciliation.check_at_start = false";
/// A register of more pages is not read.
const MAX_PAGES: i64 = 100_000;

impl App {
    /// One page of the register.
    pub(super) async fn read_page(&self, run: Reconciliation) -> Result<Step> {
        let asked_at = self.now();
        let run = if run.purpose == Purpose::Gap { Reconciliation { to: asked_at, ..run } } else { run };
        if run.next_page > MAX_PAGES {
            let reason = format!("the register has more than {MAX_PAGES} pages");
            // Money waits for the gap: to give it up would be to say that it was read.
            let gap = run.purpose == Purpose::Gap;
            return Ok(if gap { Step::nothing(run, reason) } else { Step::Hopeless(Box::new(run), reason) });
        }
        let (from, to) = self.span(&run, asked_at);
        let number = u32::try_from(run.next_page).unwrap_or(u32::MAX);
        let page = match self.parts.provider.list(from, to, number).await {
            Outcome::Answered(page) => page,
            other => return Ok(Step::nothing(run, without_answer(&other))),
        };
        let last = page.last;
        let may_be_anything = |item: &Unreadable| item.transaction_id.is_none() && !is_older(&run, item.made_at);
        if run.purpose == Purpose::Gap && page.unreadable.iter().any(may_be_anything) {
            // It may be anything. To pass it over would be to guess.
            return Ok(Step::nothing(run, NAMELESS.to_owned()));
        }
        let unreadable = i64::try_from(page.unreadable.len()).unwrap_or(i64::MAX);
        let facts = self.to_compare(&run, page.facts).await?;
        let compared = self.compare(&run, facts, asked_at).await?;
        let compared = self.lost_unreadable(&run, compared, page.unreadable).await?;
        let next = Reconciliation {
            next_page: run.next_page + 1,
            compared: run.compared + compared.count(),
            unreadable: run.unreadable.saturating_add(unreadable),
            ..run.clone()
        };
        let next = if last { next_phase(next) } else { next };
        self.keep_page(run, next, compared).await
    }

    /// What is asked of the register: wider than the window, and without what the provider may still be working on, save
    /// for the gap, which is read to the present moment, by whichever clock is ahead: what we miss there counts as not done.
    /// The register goes by when a transaction was made: a payer who was at the bank then may have paid in the window.
    fn span(&self, run: &Reconciliation, now: Timestamp) -> (Timestamp, Timestamp) {
        let overlap_s = self.parts.settings.reconciliation.overlap_s;
        if !run.purpose.looks_for_missing_there() {
            return (run.from.plus_seconds(-overlap_s), run.to.plus_seconds(CLOCKS_DIFFER_S));
        }
        let to = run.to.plus_seconds(overlap_s).min(now.plus_seconds(-self.provider_works_s()));
        (run.from.plus_seconds(-overlap_s), to.max(run.to))
    }

    /// Asks about single transactions of ours: those that the register did not show, and those that hold money or wait at the
    /// payer's bank. One that we heard of late may lie outside of what was read, so only the provider's own "not found" proves that it is missing.
    pub(super) async fn ask_one_by_one(&self, run: Reconciliation) -> Result<Step> {
        let asked_at = self.now();
        let candidates = self.candidates(&run, asked_at).await?;
        if run.asked > MAX_ASKED {
            let reason = format!(
                "more than {MAX_ASKED} transactions of ours are not in the register; is cloudpayments.public_id the terminal that made them?"
            );
            return Ok(Step::Hopeless(Box::new(run), reason));
        }
        let (mut found, mut missing, mut dealt_with) = (Vec::new(), Vec::new(), Vec::new());
        for candidate in &candidates {
            match self.parts.provider.get(candidate.transaction_id).await {
                Outcome::Answered(Some(fact)) => found.push(fact),
                Outcome::Answered(None) if candidate.has_outcome => missing.push(candidate.transaction_id),
                // Nobody paid, as far as we know, and as the provider says.
                Outcome::Answered(None) => {}
                // One that is told in words we do not know proves nothing; it must not hold up the others for ever.
                Outcome::Refused { .. } | Outcome::Unknown { .. } if run.failures >= MAX_UNCERTAIN => {}
                other if dealt_with.is_empty() => return Ok(Step::nothing(run, without_answer(&other))),
                _ => break,
            }
            dealt_with.push(candidate.place.clone());
        }
        let compared = self.compare(&run, found, asked_at).await?;
        let compared = self.missing_there(&run, compared, missing).await?;
        let over = candidates.len() < ASKED_AT_ONCE && dealt_with.len() == candidates.len();
        let counted = if run.phase == Phase::Unseen { dealt_with.len() } else { 0 };
        let next = Reconciliation {
            position: dealt_with.pop().or_else(|| run.position.clone()),
            asked: run.asked.saturating_add(i64::try_from(counted).unwrap_or(i64::MAX)),
            ..run.clone()
        };
        let next = if over { next_phase(next) } else { next };
        self.keep_page(run, next, compared).await
    }

    /// What to ask about next.
    async fn candidates(&self, run: &Reconciliation, now: Timestamp) -> Result<Vec<Candidate>> {
        let limit = i64::try_from(ASKED_AT_ONCE).unwrap_or(i64::MAX);
        let no_longer_worked_on = now.plus_seconds(-self.provider_works_s());
        let run = run.clone();
        self.parts
            .store
            .read(move |tx| match run.phase {
                Phase::Holds => {
                    let after = run.position.clone().unwrap_or_default();
                    reconciliations::holds(tx, &after, no_longer_worked_on, limit)
                }
                _ => {
                    let first = TransactionRecordId::first_at(run.from).to_string();
                    let after = run.position.clone().unwrap_or(first);
                    let before = TransactionRecordId::first_at(run.to);
                    reconciliations::unseen(tx, &run.id, &after, before.as_str(), limit)
                }
            })
            .await
    }

    /// Writes what a page came to and how far the run is.
    async fn keep_page(&self, run: Reconciliation, next: Reconciliation, compared: Compared) -> Result<Step> {
        let Some(held) = run.due_at else { return Ok(Step::Forward) };
        let recorder = self.recorder(CauseType::Reconciliation, Some(run.id.to_string()), WORKER);
        // Due at once: the next step goes on with it.
        let reason = with_not_booked(compared.not_booked.clone(), run.reason.as_deref());
        let next = Reconciliation { due_at: Some(self.now()), failures: 0, reason, ..next };
        let with_marks = run.phase == Phase::Register && run.purpose.looks_for_missing_there();
        let gap = self.gap_of_loss(&next);
        let kept = self
            .write_run(next, move |tx, run| {
                // The guard first: whoever lost the run writes nothing about it.
                if !reconciliations::update(tx, run, held)? {
                    return Ok(None);
                }
                if with_marks {
                    reconciliations::mark(tx, &run.id, compared.seen())?;
                }
                compared.write(tx, &recorder, &run.id)?;
                let lost = run.lost.max(discrepancies::lost_by(tx, run)?);
                let next = Reconciliation { lost, ..run.clone() };
                if lost != run.lost {
                    reconciliations::update(tx, &next, run.due_at.unwrap_or(held))?;
                    if let Some(gap) = &gap {
                        shut_gate(tx, &Reconciliation { lost, ..gap.clone() })?;
                    }
                }
                Ok(Some(next))
            })
            .await?;
        let Some(next) = kept else { return Ok(Step::Forward) };
        if next.lost > run.lost {
            tracing::error!(
                reconciliation.id = next.id.as_str(),
                lost = next.lost,
                "the provider's register names payments or refunds of ours that the database does not hold"
            );
        }
        // Money waits for these: nothing else may hold them up.
        if next.purpose.reads_back() && next.phase == Phase::Chargebacks {
            self.finish_run(next).await
        } else {
            Ok(Step::Forward)
        }
    }

    /// Ends a run whose last page was read.
    pub(super) async fn finish_run(&self, run: Reconciliation) -> Result<Step> {
        let Some(held) = run.due_at else { return Ok(Step::Forward) };
        let next = self.after_run(run);
        self.close_or_keep(next.clone(), held).await?;
        if next.state == RunState::Completed {
            tracing::info!(
                reconciliation.id = next.id.as_str(),
                purpose = next.purpose.as_str(),
                compared = next.compared,
                unreadable = next.unreadable,
                "a reconciliation is over"
            );
        }
        Ok(Step::Forward)
    }
}

/// The run at the beginning of the phase that follows.
fn next_phase(run: Reconciliation) -> Reconciliation {
    // A hold is taken or released days after the register showed it; a database that is too old may not know of it.
    // So is what waited at the payer's bank. A gap that found nothing lost lets money move first, and looks at them after it.
    let looks_at_holds =
        matches!(run.purpose, Purpose::Daily | Purpose::Recheck) || (run.purpose == Purpose::Gap && run.lost > 0);
    let phase = match run.phase {
        // What could not be read may be what we would miss.
        Phase::Register if run.purpose.looks_for_missing_there() && run.unreadable == 0 => Phase::Unseen,
        Phase::Register | Phase::Unseen if looks_at_holds => Phase::Holds,
        _ => Phase::Chargebacks,
    };
    Reconciliation { phase, next_page: 1, position: None, ..run }
}

//! Comparing our transactions with the provider's register: runs, and the worker that goes on with them step by step.
//!
//! A run reads the register page by page, then asks about transactions of ours that the register did not show, then reads
//! the list of chargebacks. Each step ends in one write that says how far the run is: a process that is killed leaves a
//! run that another one goes on with. No step holds more than one page.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::App;
use super::gap::insert_recheck;
use crate::clock::Timestamp;
use crate::cloudpayments::Outcome;
use crate::domain::id::ReconciliationId;
use crate::domain::register::{Phase, Purpose, Reconciliation, RunState};
use crate::error::{Error, Result};
use crate::store::{Lane, Tx, reconciliations};

/// Who acts when a run does.
pub(super) const WORKER: &str = "worker:reconcile";
/// A day that was missed is made up for within so many days.
const DAYS_BACK: i64 = 3;
/// A day is given up after so many runs that could not be finished whatever the provider answers.
const RUNS_PER_DAY: i64 = 3;
/// A run that somebody asked for is given up after so many tries in a row that came to nothing: some hours. Those that the
/// service makes by itself are not: nobody would ask for them again.
const MAX_FAILURES: i32 = 30;
const LONGEST_PAUSE_S: i64 = 600;
/// Added to the time limit of one call: how long a step may take before another process goes on with its run.
const LEASE_MARGIN_S: i64 = 120;
const DAY_S: i64 = 86_400;

/// What a run could not write is told by it to its end.
pub(super) const NOT_BOOKED: &str = "not all that the register tells was booked: the key of a payer does not open";
/// Why a run stands still that the service itself cannot go on with.
const STANDS_STILL: &str = "the service cannot go on with this run, whatever CloudPayments answers; the log tells why";

/// How the register is compared.
#[derive(Debug, Clone)]
pub struct ReconciliationSettings {
    /// Compare every day by itself.
    pub daily: bool,
    /// How long after the end of a day, seconds: the provider may be late.
    pub delay_s: i64,
    /// The register is read so much wider than the window, seconds.
    pub overlap_s: i64,
    /// At the start, read back what the provider did since the database's last change, and let money wait for it.
    pub check_at_start: bool,
}

impl Default for ReconciliationSettings {
    fn default() -> ReconciliationSettings {
        ReconciliationSettings { daily: true, delay_s: 3600, overlap_s: 3600, check_at_start: true }
    }
}

/// Days that have their run, as far as this process knows. A few at a time: see [`DAYS_BACK`].
#[derive(Default)]
pub(super) struct Days(Mutex<BTreeSet<String>>);

impl Days {
    fn is_done(&self, day: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(day)
    }

    fn note(&self, day: String) {
        let mut days = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        days.insert(day);
        while days.len() > 8 {
            days.pop_first();
        }
    }

    /// Its run failed: another may be made.
    fn forget(&self, day: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(day);
    }
}

/// The run that this process took for a step, and until when; nothing once the step is over. What is left of a step that the
/// database broke off is this process's own: it need not wait until that time is over.
#[derive(Default)]
pub(super) struct Taken(Mutex<Option<(ReconciliationId, Timestamp)>>);

impl Taken {
    fn set(&self, taken: Option<(ReconciliationId, Timestamp)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = taken;
    }

    /// Only of a gap, as money waits for it.
    fn is(&self, run: &Reconciliation) -> bool {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = taken.as_ref().filter(|_| run.purpose == Purpose::Gap);
        taken.is_some_and(|(id, until)| *id == run.id && Some(*until) == run.due_at)
    }
}

/// What stands at the end of a step.
pub(super) enum Step {
    /// The run is further than before.
    Forward,
    /// It came to nothing, and may come to something later.
    Nothing(Box<Reconciliation>, String),
    /// It will come to nothing, whatever the provider answers.
    Hopeless(Box<Reconciliation>, String),
}

impl Step {
    pub(super) fn nothing(run: Reconciliation, reason: String) -> Step {
        Step::Nothing(Box::new(run), reason)
    }
}

impl App {
    /// Makes the run of a day that is over, and goes one step further with the run that waits longest. Returns how many
    /// steps were made: 0 or 1.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn reconcile_step(&self) -> Result<usize> {
        self.watch_newest_payment().await?;
        self.begin_daily().await?;
        let now = self.now();
        let running = self.parts.store.read(reconciliations::running).await?;
        self.refresh_gate(&running);
        let is_due = |run: &Reconciliation| run.due_at.is_some_and(|due_at| due_at <= now) || self.taken.is(run);
        let due = running.into_iter().filter(is_due);
        // Everybody waits for those of the gap.
        let Some(run) = due.min_by_key(|run| (run.purpose != Purpose::Gap, run.due_at)) else { return Ok(0) };
        let Some(run) = self.claim_run(run).await? else { return Ok(0) };
        self.go_on(run).await?;
        self.taken.set(None);
        self.refresh_gate(&self.parts.store.read(reconciliations::running).await?);
        self.parts.metrics.worker("reconcile", 1);
        Ok(1)
    }

    /// One step of a run that was taken for it.
    async fn go_on(&self, run: Reconciliation) -> Result<()> {
        let claimed = run.clone();
        let step = match run.phase {
            Phase::Register => self.read_page(run).await,
            Phase::Unseen | Phase::Holds => self.ask_one_by_one(run).await,
            Phase::Chargebacks => self.read_chargebacks(run).await,
        };
        let step = match step {
            // Not by itself better the next time: whoever waits for the run is told.
            Err(error @ (Error::Internal(_) | Error::KeyMissing(_))) => {
                tracing::error!(reconciliation.id = claimed.id.as_str(), %error, ?error, "a reconciliation cannot go on");
                Step::nothing(claimed, STANDS_STILL.to_owned())
            }
            step => step?,
        };
        match step {
            Step::Forward => Ok(()),
            Step::Nothing(run, reason) => self.put_off(*run, reason).await,
            Step::Hopeless(run, reason) => self.give_up(*run, reason).await,
        }
    }

    pub(super) fn new_run(&self, purpose: Purpose, from: Timestamp, to: Timestamp, by: &str) -> Reconciliation {
        let now = self.now();
        Reconciliation {
            id: ReconciliationId::generate(now, self.parts.ids.as_ref()),
            purpose,
            day: None,
            from,
            to,
            requested_by: by.to_owned(),
            state: RunState::Running,
            phase: Phase::Register,
            next_page: 1,
            position: None,
            compared: 0,
            unreadable: 0,
            lost: 0,
            asked: 0,
            chargebacks: 0,
            failures: 0,
            reason: None,
            due_at: Some(now),
            started_at: now,
            finished_at: None,
        }
    }

    /// Makes the runs of days that are over and were not compared yet.
    async fn begin_daily(&self) -> Result<()> {
        let settings = &self.parts.settings.reconciliation;
        if !settings.daily {
            return Ok(());
        }
        let over = self.now().plus_seconds(-settings.delay_s);
        for days in 1..=DAYS_BACK {
            let Some((day, from)) = day_of(over.plus_seconds(-days * DAY_S)) else { continue };
            if self.days.is_done(&day) {
                continue;
            }
            let run = Reconciliation {
                day: Some(day.clone()),
                ..self.new_run(Purpose::Daily, from, from.plus_seconds(DAY_S), WORKER)
            };
            let made = self
                .parts
                .store
                .write(Lane::of(WORKER), move |tx| {
                    let may_try =
                        reconciliations::failures_of_day(tx, run.day.as_deref().unwrap_or_default())? < RUNS_PER_DAY;
                    Ok(may_try && reconciliations::insert_day(tx, &run)?)
                })
                .await?;
            tracing::debug!(day, made, "looked whether a day was compared with the register");
            self.days.note(day);
        }
        Ok(())
    }

    /// Takes a run for one step; `None` when somebody else did.
    async fn claim_run(&self, run: Reconciliation) -> Result<Option<Reconciliation>> {
        let Some(due_at) = run.due_at else { return Ok(None) };
        let lease_s = self.parts.settings.call_deadline_s + LEASE_MARGIN_S;
        let until = self.now().plus_seconds(lease_s);
        let claimed = Reconciliation { due_at: Some(until), ..run };
        self.taken.set(Some((claimed.id.clone(), until)));
        let kept = claimed.clone();
        let ours = self.write_run(claimed, move |tx, run| reconciliations::update(tx, run, due_at)).await?;
        Ok(ours.then_some(kept))
    }

    pub(super) async fn write_run<T, F>(&self, run: Reconciliation, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>, &Reconciliation) -> Result<T> + Send + 'static,
    {
        self.parts.store.write(Lane::of(run.id.as_str()), move |tx| work(tx, &run)).await
    }

    /// Nothing came of a step: it is tried again later.
    async fn put_off(&self, run: Reconciliation, reason: String) -> Result<()> {
        let Some(held) = run.due_at else { return Ok(()) };
        let now = self.now();
        let failures = run.failures.saturating_add(1);
        let gap = run.purpose == Purpose::Gap;
        let exponent = u32::try_from(failures.clamp(0, 10)).unwrap_or(10);
        let first_s = if gap { 1 } else { 5 };
        let pause_s = first_s * 2i64.saturating_pow(exponent.saturating_sub(1));
        let longest_s = if gap { 30 } else { LONGEST_PAUSE_S };
        tracing::warn!(
            reconciliation.id = run.id.as_str(),
            reason,
            failures,
            "a step of a reconciliation came to nothing"
        );
        if let Some(wait) = self.gap_wait().filter(|_| gap) {
            tracing::error!(reason, "{}", wait.advice());
        }
        if failures >= MAX_FAILURES && run.purpose == Purpose::Requested {
            return self.give_up(Reconciliation { failures, ..run }, reason).await;
        }
        let due_at = Some(now.plus_seconds(pause_s.min(longest_s)));
        let reason = with_not_booked(Some(reason), run.reason.as_deref());
        self.close_or_keep(Reconciliation { failures, reason, due_at, ..run }, held).await
    }

    async fn give_up(&self, run: Reconciliation, reason: String) -> Result<()> {
        let Some(held) = run.due_at else { return Ok(()) };
        tracing::error!(reconciliation.id = run.id.as_str(), reason, "a reconciliation was given up");
        let (state, finished_at) = (RunState::Failed, Some(self.now()));
        let reason = with_not_booked(Some(reason), run.reason.as_deref());
        let failed = Reconciliation { state, reason, due_at: None, finished_at, ..run };
        self.close_or_keep(failed, held).await
    }

    /// Writes a run that may be over now, with the run that follows it: nobody else would make that one. Its marks go when
    /// it is.
    pub(super) async fn close_or_keep(&self, run: Reconciliation, held: Timestamp) -> Result<()> {
        let recheck = self.recheck_of(&run);
        let write = move |tx: &mut Tx<'_>, run: &Reconciliation| {
            let ours = reconciliations::update(tx, run, held)?;
            if let Some(recheck) = recheck.as_ref().filter(|_| ours) {
                insert_recheck(tx, recheck)?;
            }
            Ok(ours)
        };
        let ours = self.write_run(run.clone(), write).await?;
        if ours && run.state != RunState::Running {
            self.sweep(&run).await?;
        }
        if let (RunState::Failed, Some(day)) = (run.state, &run.day) {
            self.days.forget(day);
        }
        Ok(())
    }

    /// Removes the marks of a run, some at a time.
    async fn sweep(&self, run: &Reconciliation) -> Result<()> {
        while self.write_run(run.clone(), |tx, run| reconciliations::sweep(tx, &run.id)).await? {}
        Ok(())
    }
}

/// Why the provider gave no answer.
pub(super) fn without_answer<T>(outcome: &Outcome<T>) -> String {
    match outcome {
        Outcome::Refused { .. } => "CloudPayments refused the request".to_owned(),
        other => format!("CloudPayments did not answer: {}", other.reason()),
    }
}

/// A reason of now, and what of the reason of before is told to the end.
pub(super) fn with_not_booked(now: Option<String>, before: Option<&str>) -> Option<String> {
    let kept = before.and_then(|before| before.get(before.find(NOT_BOOKED)?..));
    match (now, kept) {
        (Some(now), Some(kept)) if !now.contains(NOT_BOOKED) => Some(format!("{now}; {kept}")),
        (now, kept) => now.or_else(|| kept.map(str::to_owned)),
    }
}

/// The UTC day of a moment, as text and by its beginning.
fn day_of(moment: Timestamp) -> Option<(String, Timestamp)> {
    let day = moment.to_string().get(..10)?.to_owned();
    let from = Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z"))?;
    Some((day, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_booked_is_told_to_the_end() {
        let told = format!("{NOT_BOOKED}; so it is of transaction 7");
        let told = told.as_str();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(with_not_booked(None, None), None);
        assert_eq!(with_not_booked(None, Some("no answer")), None);
        assert_eq!(with_not_booked(None, Some(told)), text(told));
        let both = format!("no answer; {told}");
        assert_eq!(with_not_booked(text("no answer"), Some(told)), text(&both));
        assert_eq!(with_not_booked(None, Some(&both)), text(told));
        assert_eq!(with_not_booked(text(told), Some(&both)), text(told));
    }
}

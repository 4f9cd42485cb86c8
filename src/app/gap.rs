//! A database that is older than what the service did: noticed, and no money moved until the gap is read back.
//!
//! Every payment and every refund is written before the provider hears of it, and its id travels along. So a transaction
//! of the register that names one which this database does not hold proves that rows were lost: the database is an older
//! copy. What else was lost with it, keys of requests above all, would let a repeat of the site charge a second time.
//! Therefore every start reads the register from the database's last change, and an hour before it (`before_copy`), to the
//! present moment. That takes one page after an ordinary stop, a busy terminal some more, and money waits for it. The run
//! that reads is a row: a stop in between does not forget it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::App;
use super::reconcile::WORKER;
use crate::clock::Timestamp;
use crate::cloudpayments::Trouble;
use crate::domain::id::PaymentId;
use crate::domain::payment::CLOCKS_DIFFER_S;
use crate::domain::register::{Phase, Purpose, Reconciliation, RunState};
use crate::error::{Error, GapWait, Result};
use crate::store::{Lane, Tx, payments, reconciliations};

/// Requests wait so long for the register to be read before they are refused: after an ordinary start nobody notices.
const PATIENCE: Duration = Duration::from_secs(3);
/// So long for a Check: the provider waits for its answer, and is answered fast whatever state it is in itself.
const PATIENCE_OF_CHECK: Duration = Duration::from_millis(300);
/// So many second looks wait at a time. Of a service that starts again and again the last one waits for all starts that follow,
/// the others are made in their time.
const MAX_RECHECKS: usize = 3;

/// Whether all that the provider did since the database's last change is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// It is, or is not asked about.
    Read,
    /// The register is being read; nothing is missing so far.
    BeingRead,
    /// The register names payments or refunds of ours that this database does not hold.
    Behind,
}

impl Gap {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Gap::Read => "read",
            Gap::BeingRead => "being_read",
            Gap::Behind => "behind",
        }
    }

    /// For the metric: 0, 1, 2.
    fn level(self) -> i64 {
        match self {
            Gap::Read => 0,
            Gap::BeingRead => 1,
            Gap::Behind => 2,
        }
    }
}

/// Asks the gate once more within the write that begins something: it may have closed since the request passed it.
#[derive(Clone)]
pub(super) struct Door(Arc<State>);

impl Door {
    /// # Errors
    /// [`Error::GapUnread`].
    pub(super) fn pass(&self) -> Result<()> {
        match self.0.gap() {
            Gap::Read => Ok(()),
            Gap::BeingRead => Err(Error::GapUnread(GapWait::Reading)),
            Gap::Behind => Err(Error::GapUnread(GapWait::OlderCopy)),
        }
    }
}

/// What is known of the gap, and who waits for it to change. Not a `watch` channel: that one wakes who waits in an order of
/// its own making, and the simulation has to see the same one again.
struct State {
    gap: Mutex<Gap>,
    changed: Notify,
}

impl State {
    fn gap(&self) -> Gap {
        *self.gap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, gap: Gap) -> bool {
        let before = std::mem::replace(&mut *self.gap.lock().unwrap_or_else(PoisonError::into_inner), gap);
        self.changed.notify_waiters();
        before != gap
    }

    /// Until it is no longer being read.
    async fn known(&self) {
        loop {
            // Made before the look: a change in between wakes it.
            let changed = self.changed.notified();
            if self.gap() != Gap::BeingRead {
                return;
            }
            changed.await;
        }
    }
}

/// Lets money through, or not.
pub(super) struct Gate {
    state: Arc<State>,
    /// The newest payment that was seen in the database, kept outside of it, and when.
    newest: Mutex<Option<(PaymentId, Timestamp)>>,
}

impl Default for Gate {
    fn default() -> Gate {
        let state = State { gap: Mutex::new(Gap::Read), changed: Notify::new() };
        Gate { state: Arc::new(state), newest: Mutex::default() }
    }
}

impl App {
    /// What is known of the gap.
    pub fn gap(&self) -> Gap {
        self.gate.state.gap()
    }

    /// At the start, before anything is served: notes durably from when on the register is to be read.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn look_for_gap(&self) -> Result<()> {
        self.begin_gap(self.now()).await
    }

    /// Notes that the register is to be read from the last change before `before` on.
    async fn begin_gap(&self, before: Timestamp) -> Result<()> {
        if !self.parts.settings.reconciliation.check_at_start {
            return Ok(());
        }
        let now = self.now();
        let template = self.new_run(Purpose::Gap, now, now, WORKER);
        let found = self
            .parts
            .store
            .write(Lane::of(WORKER), move |tx| {
                reconciliations::make_due(tx, now, true)?;
                // One that is under way reaches further back. It begins anew: what it has read already may be older than
                // the copy of the database that holds it.
                let running = reconciliations::running(tx)?;
                if let Some(run) = running.iter().find(|run| run.purpose == Purpose::Gap) {
                    reconciliations::begin_anew(tx, run, now)?;
                    return Ok(true);
                }
                let Some(last_change) = reconciliations::last_change(tx, before)? else { return Ok(false) };
                let from = last_change.plus_seconds(-CLOCKS_DIFFER_S).min(now);
                reconciliations::insert(tx, &Reconciliation { from, ..template.clone() })?;
                Ok(true)
            })
            .await?;
        if found && self.gap() == Gap::Read {
            self.set_gap(Gap::BeingRead);
        }
        Ok(())
    }

    /// Requests that move money or make something pass here first.
    ///
    /// # Errors
    /// [`Error::GapUnread`].
    pub(super) async fn pass_gate(&self) -> Result<()> {
        self.pass_gate_within(PATIENCE).await
    }

    /// Whether a Check may be answered by our books. While the gap is unread, nothing in them speaks for an attempt: a
    /// payment that an older copy shows as open may have been paid in what is lost.
    pub(super) async fn may_answer_check(&self) -> bool {
        self.pass_gate_within(PATIENCE_OF_CHECK).await.is_ok()
    }

    async fn pass_gate_within(&self, patience: Duration) -> Result<()> {
        // On a timeout the value tells.
        let _ = tokio::time::timeout(patience, self.gate.state.known()).await;
        match self.gap_wait() {
            None => Ok(()),
            Some(wait) => Err(Error::GapUnread(wait)),
        }
    }

    /// What money waits for, if it waits.
    pub fn gap_wait(&self) -> Option<GapWait> {
        match (self.gap(), self.parts.provider.trouble()) {
            (Gap::Read, _) => None,
            (Gap::Behind, _) => Some(GapWait::OlderCopy),
            (Gap::BeingRead, None) => Some(GapWait::Reading),
            (Gap::BeingRead, Some(Trouble::Unreachable)) => Some(GapWait::Unanswered),
            (Gap::BeingRead, Some(Trouble::Credentials)) => Some(GapWait::CredentialsRefused),
        }
    }

    /// For the write that follows.
    pub(super) fn door(&self) -> Door {
        Door(Arc::clone(&self.gate.state))
    }

    /// Opens or closes the gate by the runs under way. One of another process that found nothing closes nothing here.
    pub(super) fn refresh_gate(&self, running: &[Reconciliation]) {
        let mut gaps = running.iter().filter(|run| run.purpose == Purpose::Gap).peekable();
        let any = gaps.peek().is_some();
        let gap = match (gaps.any(|run| run.lost > 0), any) {
            (true, _) => Gap::Behind,
            (false, true) if self.gap() != Gap::Read => Gap::BeingRead,
            _ => Gap::Read,
        };
        self.set_gap(gap);
    }

    fn set_gap(&self, gap: Gap) {
        if self.gate.state.set(gap) {
            self.parts.metrics.gap(gap.level());
            match gap {
                Gap::Read => tracing::info!("what the provider did before is read back; money may move"),
                Gap::BeingRead => tracing::info!("reading back what the provider did before; money waits"),
                Gap::Behind => tracing::error!("the database is older than what this service did; money is refused"),
            }
        }
    }

    /// A payment that was here and is gone: the database was replaced by an older copy while we run.
    pub(super) async fn watch_newest_payment(&self) -> Result<()> {
        let remembered = self.gate.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (id, now) = (remembered.as_ref().map(|(id, _)| id.clone()), self.now());
        let (newest, gone) = self
            .parts
            .store
            .read(move |tx| {
                let newest = reconciliations::newest_payment(tx)?;
                let gone = match &id {
                    Some(id) if newest.as_ref() != Some(id) => !payments::is_there(tx, id)?,
                    _ => false,
                };
                Ok((newest, gone))
            })
            .await?;
        if let Some((_, seen_at)) = remembered.filter(|_| gone) {
            tracing::error!("the newest payment is gone: the database was replaced by an older one");
            // What was written since then was written after the copy was put in place.
            self.begin_gap(seen_at).await?;
        }
        *self.gate.newest.lock().unwrap_or_else(PoisonError::into_inner) = newest.map(|id| (id, now));
        Ok(())
    }

    /// What a run whose last page was read is now. A gap in which something is lost is read once more when the provider
    /// can no longer be working on what was sent before it.
    pub(super) fn after_run(&self, run: Reconciliation) -> Reconciliation {
        let now = self.now();
        let again_at = run.started_at.plus_seconds(self.provider_works_s());
        if run.purpose == Purpose::Gap && run.lost > 0 && now < again_at {
            return Reconciliation { phase: Phase::Register, next_page: 1, due_at: Some(again_at), ..run };
        }
        Reconciliation { state: RunState::Completed, due_at: None, finished_at: Some(now), ..run }
    }

    /// A gap in which nothing is lost is looked at again when the provider can no longer be working on what was sent
    /// before it: until then its register may not show it.
    pub(super) fn recheck_of(&self, run: &Reconciliation) -> Option<Reconciliation> {
        if run.purpose != Purpose::Gap || run.state != RunState::Completed || run.lost > 0 {
            return None;
        }
        let to = run.started_at.plus_seconds(self.provider_works_s());
        Some(Reconciliation {
            due_at: Some(to.plus_seconds(CLOCKS_DIFFER_S)),
            ..self.new_run(Purpose::Recheck, run.from, to, WORKER)
        })
    }

    /// What follows where a run finds that something is lost: what the provider did is read to the present moment before
    /// money moves again.
    pub(super) fn gap_of_loss(&self, run: &Reconciliation) -> Option<Reconciliation> {
        let begins = run.purpose != Purpose::Gap && self.parts.settings.reconciliation.check_at_start;
        begins.then(|| self.new_run(Purpose::Gap, run.from, self.now(), WORKER))
    }
}

/// Money waits from now on, for what another run found lost. A gap that is under way begins anew: it must not be over, here or
/// in another process, without the loss.
pub(super) fn shut_gate(tx: &mut Tx<'_>, gap: &Reconciliation) -> Result<()> {
    let running = reconciliations::running(tx)?;
    let behind = match running.iter().find(|run| run.purpose == Purpose::Gap) {
        Some(run) if run.lost > 0 => true,
        Some(run) => {
            reconciliations::begin_anew(tx, &Reconciliation { lost: gap.lost, ..run.clone() }, gap.started_at)?
        }
        None => false,
    };
    if behind { Ok(()) } else { reconciliations::insert(tx, gap) }
}

/// Writes the second look of a start, unless one that is still to be made sees all that it would see. That of a start shortly
/// before, or one that stood in an older copy, ends too early.
pub(super) fn insert_recheck(tx: &mut Tx<'_>, run: &Reconciliation) -> Result<()> {
    let mut others = reconciliations::running(tx)?;
    others.retain(|other| other.purpose == Purpose::Recheck);
    if others.iter().any(|other| other.from <= run.from && other.to >= run.to) {
        return Ok(());
    }
    let newest = others.iter().max_by_key(|other| other.to).filter(|_| others.len() >= MAX_RECHECKS);
    let widened = match newest.and_then(|newest| Some((newest, newest.due_at?))) {
        Some((newest, held)) => {
            let window = (newest.from.min(run.from), newest.to.max(run.to));
            let id = newest.id.clone();
            reconciliations::update(tx, &Reconciliation { id, from: window.0, to: window.1, ..run.clone() }, held)?
        }
        None => false,
    };
    if widened { Ok(()) } else { reconciliations::insert(tx, run) }
}

/// Whether a record may tell of something that an older copy of the database lost: a run that reads back meets it, and it
/// was made after the change that the run reads from on. What was made before then stood in the copy itself.
pub(super) fn told_since_copy(run: &Reconciliation, made_at: Timestamp) -> bool {
    // After a clock was set back a run begins with its start.
    let last_change = run.from.plus_seconds(CLOCKS_DIFFER_S).min(run.started_at);
    run.purpose.reads_back() && made_at > last_change
}

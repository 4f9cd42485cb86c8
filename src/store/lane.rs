//! A database thread: takes waiting tasks and runs them, several writes in one commit.
//!
//! Every write of a commit runs in its own savepoint, so one that fails fails alone. A commit that fails fails all of
//! its writes: whether it happened is not known, so they are not run again. Writes that were rolled back because of a
//! passing fault (a deadlock, a lost connection before the commit) are run once more, each alone; closures are `Fn`, so
//! they can be.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::Receiver;
use diesel::connection::Connection;
use tokio::sync::oneshot;

use super::Tx;
use super::conn::{self, DbConn, Target};
use super::moved;
use crate::error::{Error, Result};
use crate::vault::Vault;

/// A closure that waits for a database thread, and whoever waits for its result.
pub(super) trait Task: Send {
    /// Runs the closure inside the open transaction and keeps its result.
    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict;
    /// Hands the result over.
    fn deliver(self: Box<Self>);
    /// Hands an error over instead of the result.
    fn fail(self: Box<Self>, error: Error);
}

/// What a transaction has to do after a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Keep its writes.
    Keep,
    /// Undo its writes; the error is its own.
    Undo,
    /// The database failed in passing: undo everything and try each task alone.
    Retry,
}

/// The usual task.
pub(super) struct Job<T, F> {
    work: F,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Job<T, F> {
    pub(super) fn new(work: F, reply: oneshot::Sender<Result<T>>) -> Self {
        Job { work, result: None, reply }
    }
}

impl<T: Send, F: Fn(&mut Tx<'_>) -> Result<T> + Send> Task for Job<T, F> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict {
        let result = (self.work)(tx);
        let verdict = match &result {
            Ok(_) => Verdict::Keep,
            Err(Error::DatabaseUnavailable(_)) => Verdict::Retry,
            Err(_) => Verdict::Undo,
        };
        self.result = Some(result);
        verdict
    }

    fn deliver(self: Box<Self>) {
        let result = self.result.unwrap_or_else(|| Err(Error::internal("a database task was never run")));
        // Nobody waits any more when the caller gave up; the effect stands all the same.
        let _ = self.reply.send(result);
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

/// Carries "undo" out of diesel's transaction closure.
struct Undone(Verdict);

impl From<diesel::result::Error> for Undone {
    fn from(_: diesel::result::Error) -> Self {
        Undone(Verdict::Retry)
    }
}

/// A moment at which a database may fail although its statements are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before a transaction begins.
    Begin,
    /// Before a commit.
    Commit,
    /// After a commit, before anybody hears of it.
    Committed,
}

/// A database that fails on purpose. Only the simulation has one.
pub(super) trait Trouble: Send + Sync {
    /// A connection that refuses all, in the place of ours for the next statement.
    fn statement(&self) -> Option<DbConn>;
    /// A connection is not to be used again.
    fn dropped(&self, conn: DbConn);
    /// A connection in the place of a new one.
    fn spare(&self) -> Option<DbConn>;
    /// What happens at a moment.
    fn at(&self, moment: Moment) -> Result<()>;
}

/// One database thread with its connection.
pub(super) struct Runner {
    pub(super) target: Target,
    pub(super) vault: Arc<Vault>,
    pub(super) read_only: bool,
    pub(super) batch_limit: usize,
    pub(super) trouble: Option<Arc<dyn Trouble>>,
}

impl Runner {
    /// Runs tasks until the store is dropped.
    pub(super) fn run(self, tasks: &Receiver<Box<dyn Task>>) {
        let mut connection: Option<DbConn> = None;
        while let Ok(first) = tasks.recv() {
            let batch = self.batch(first, tasks);
            // A panic would be a defect in a query; the thread must outlive it, its connection need not.
            let survived = catch_unwind(AssertUnwindSafe(|| self.serve(&mut connection, batch))).unwrap_or(false);
            if !survived {
                connection = None;
            }
        }
    }

    /// A task with those that wait behind it.
    pub(super) fn batch(&self, first: Box<dyn Task>, tasks: &Receiver<Box<dyn Task>>) -> Vec<Box<dyn Task>> {
        let mut batch = vec![first];
        while batch.len() < self.batch_limit {
            match tasks.try_recv() {
                Ok(task) => batch.push(task),
                Err(_) => break,
            }
        }
        batch
    }

    /// Runs the batch; `false` when the connection is not to be used again.
    pub(super) fn serve(&self, connection: &mut Option<DbConn>, mut batch: Vec<Box<dyn Task>>) -> bool {
        if batch.len() == 1 {
            return batch.pop().is_none_or(|task| self.run_alone(connection, task));
        }
        self.run_together(connection, batch)
    }

    /// Begins a transaction, on a fresh connection where there is none or the one at hand turns out to be dead: nothing
    /// was sent on it yet.
    fn begin(&self, connection: &mut Option<DbConn>) -> Result<()> {
        let begin = |conn: &mut DbConn| {
            self.at(Moment::Begin)?;
            if self.read_only { conn::begin_read(conn) } else { conn::begin_write(conn) }
        };
        if connection.as_mut().is_some_and(|conn| begin(conn).is_ok()) {
            return Ok(());
        }
        self.give_up(connection);
        let mut fresh = self.connect()?;
        begin(&mut fresh)?;
        *connection = Some(fresh);
        Ok(())
    }

    fn connect(&self) -> Result<DbConn> {
        if let Some(spare) = self.trouble.as_ref().and_then(|trouble| trouble.spare()) {
            return Ok(spare);
        }
        if self.read_only {
            return self.target.connect_read_only();
        }
        let mut conn = self.target.connect()?;
        moved::note(&mut conn)?;
        Ok(conn)
    }

    /// The connection is not used again; whatever it has begun is undone.
    pub(super) fn give_up(&self, connection: &mut Option<DbConn>) {
        if let (Some(conn), Some(trouble)) = (connection.take(), &self.trouble) {
            trouble.dropped(conn);
        }
    }

    /// # Errors
    /// [`Error::OutcomeUnknown`] of a write: a connection that breaks at the commit does not tell whether it was made.
    fn commit(&self, conn: &mut DbConn) -> Result<()> {
        let committed =
            self.at(Moment::Commit).and_then(|()| conn::commit(conn)).and_then(|()| self.at(Moment::Committed));
        committed.map_err(|error| if self.read_only { error } else { Error::OutcomeUnknown(text_of(&error)) })
    }

    fn at(&self, moment: Moment) -> Result<()> {
        self.trouble.as_ref().map_or(Ok(()), |trouble| trouble.at(moment))
    }

    /// One transaction for the whole batch, a savepoint for each task.
    fn run_together(&self, connection: &mut Option<DbConn>, mut batch: Vec<Box<dyn Task>>) -> bool {
        if let Err(error) = self.begin(connection) {
            fail_all(batch, &error);
            return false;
        }
        let Some(conn) = connection.as_mut() else { return false };
        for task in &mut batch {
            let outcome = conn.transaction(|db| {
                let verdict = task.run(&mut Tx::new(db, &self.vault, self.trouble.as_deref()));
                if verdict == Verdict::Keep { Ok(()) } else { Err(Undone(verdict)) }
            });
            if matches!(outcome, Err(Undone(Verdict::Retry))) {
                let usable = conn::rollback(conn).is_ok();
                if !usable {
                    self.give_up(connection);
                }
                return batch.into_iter().fold(usable, |_, task| self.run_alone(connection, task));
            }
        }
        match self.commit(conn) {
            Ok(()) => {
                batch.into_iter().for_each(Task::deliver);
                true
            }
            Err(error) => {
                fail_all(batch, &error);
                false
            }
        }
    }

    /// A transaction of its own; once more on a fresh connection when the database failed in passing.
    fn run_alone(&self, connection: &mut Option<DbConn>, mut task: Box<dyn Task>) -> bool {
        for last_try in [false, true] {
            if let Err(error) = self.begin(connection) {
                fail_all(vec![task], &error);
                return false;
            }
            let Some(conn) = connection.as_mut() else { return false };
            match self.attempt(conn, &mut task) {
                Ok(Verdict::Retry) if !last_try => self.give_up(connection),
                Ok(verdict) => {
                    task.deliver();
                    return verdict != Verdict::Retry;
                }
                Err(error) => {
                    task.fail(error);
                    return false;
                }
            }
        }
        false
    }

    /// Run, commit or roll back. An error means that this failed.
    fn attempt(&self, conn: &mut DbConn, task: &mut Box<dyn Task>) -> Result<Verdict> {
        let verdict = task.run(&mut Tx::new(&mut *conn, &self.vault, self.trouble.as_deref()));
        match verdict {
            Verdict::Keep => self.commit(conn)?,
            Verdict::Undo => conn::rollback(conn)?,
            // The connection is dropped by the caller; a failed rollback adds nothing.
            Verdict::Retry => drop(conn::rollback(conn)),
        }
        Ok(verdict)
    }
}

fn fail_all(batch: Vec<Box<dyn Task>>, error: &Error) {
    let (text, unknown) = (text_of(error), matches!(error, Error::OutcomeUnknown(_)));
    tracing::error!(database.error = text, writes = batch.len(), "the database failed; its writes fail");
    for task in batch {
        let text = text.clone();
        task.fail(if unknown { Error::OutcomeUnknown(text) } else { Error::database_unavailable(text) });
    }
}

fn text_of(error: &Error) -> String {
    match error {
        Error::DatabaseUnavailable(internal) | Error::Internal(internal) | Error::OutcomeUnknown(internal) => {
            internal.clone()
        }
        other => other.to_string(),
    }
}

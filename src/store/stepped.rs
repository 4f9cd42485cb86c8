//! A store without threads, for the simulation: its tasks wait until [`Stepper`] runs them, on a database in memory that
//! fails on purpose. Everything between the queue and the answer is the code that serves in production.
//!
//! Any statement can fail, of a transaction that reads or writes: for that one statement a connection that refuses all
//! stands in the place of ours.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, bounded};
use diesel::connection::{Connection, SimpleConnection};
use diesel::sqlite::SqliteConnection;

use super::Tx;
use super::conn::{self, DbConn, Target};
use super::lane::{Moment, Runner, Task, Trouble, Verdict};
use super::migrate::migrate_connection;
use super::pool::Store;
use crate::error::{Error, Result};
use crate::vault::Vault;

/// What goes wrong with the next transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// It cannot begin.
    Begin,
    /// The n-th statement fails, from 1.
    Statement(u32),
    /// The same, with an error that no retry would mend.
    BrokenStatement(u32),
    /// The commit fails and nothing is kept.
    CommitLost,
    /// The commit fails although everything is kept.
    CommitKept,
}

/// What is armed, and how far the transaction under way is.
#[derive(Debug, Default)]
struct Plan {
    fault: Option<DiskFault>,
    /// How many more transactions it strikes.
    strikes: u32,
    statements: u32,
    struck: u64,
}

impl Plan {
    fn strike(&mut self) {
        self.strikes = self.strikes.saturating_sub(1);
        self.struck += 1;
        if self.strikes == 0 {
            self.fault = None;
        }
    }

    fn at(&mut self, moment: Moment) -> Result<()> {
        if moment == Moment::Begin {
            self.statements = 0;
        }
        let strikes_now = matches!(
            (moment, self.fault),
            (Moment::Begin, Some(DiskFault::Begin))
                | (Moment::Commit, Some(DiskFault::CommitLost))
                | (Moment::Committed, Some(DiskFault::CommitKept))
        );
        if !strikes_now {
            return Ok(());
        }
        self.strike();
        Err(Error::database_unavailable("simulated: the database does not answer"))
    }

    /// Whether the next statement fails; `true` inside when a retry may mend it.
    fn at_statement(&mut self) -> Option<bool> {
        self.statements = self.statements.saturating_add(1);
        let (statement, in_passing) = match self.fault {
            Some(DiskFault::Statement(statement)) => (statement, true),
            Some(DiskFault::BrokenStatement(statement)) => (statement, false),
            _ => return None,
        };
        if statement != self.statements {
            return None;
        }
        self.strike();
        Some(in_passing)
    }
}

#[derive(Clone)]
struct Faults {
    plan: Arc<Mutex<Plan>>,
    /// Connections that were given up, by whether they only read: what they had begun is undone, as it would be when they
    /// broke. Opening a new one takes the time of a hundred transactions.
    spare: Arc<Mutex<BTreeMap<bool, DbConn>>>,
    /// The address of a database that somebody holds for ever.
    locked: String,
}

impl Faults {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spare(&self) -> MutexGuard<'_, BTreeMap<bool, DbConn>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The trouble of connections of a kind.
struct Troubled {
    faults: Faults,
    read_only: bool,
}

impl Trouble for Troubled {
    fn statement(&self) -> Option<DbConn> {
        let in_passing = self.faults.plan().at_statement()?;
        // An empty database has no such table, which no retry mends.
        let address = if in_passing { self.faults.locked.as_str() } else { ":memory:" };
        SqliteConnection::establish(address).ok().map(DbConn::Sqlite)
    }

    fn dropped(&self, mut conn: DbConn) {
        if conn::undo(&mut conn) {
            self.faults.spare().insert(self.read_only, conn);
        }
    }

    fn spare(&self) -> Option<DbConn> {
        self.faults.spare().remove(&self.read_only)
    }

    fn at(&self, moment: Moment) -> Result<()> {
        self.faults.plan().at(moment)
    }
}

/// Answers that are ready and not given yet: whoever waits for them gets them late, or never.
#[derive(Clone, Default)]
pub struct HeldBack(Arc<Mutex<Vec<Box<dyn Task>>>>);

impl HeldBack {
    fn tasks(&self) -> MutexGuard<'_, Vec<Box<dyn Task>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the answers now.
    pub fn deliver(&self) {
        let tasks = std::mem::take(&mut *self.tasks());
        tasks.into_iter().for_each(Task::deliver);
    }
}

/// A task whose answer is held back.
struct Late(Box<dyn Task>, HeldBack);

impl Task for Late {
    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict {
        self.0.run(tx)
    }

    fn deliver(self: Box<Self>) {
        self.1.tasks().push(self.0);
    }

    fn fail(self: Box<Self>, error: Error) {
        self.0.fail(error);
    }
}

/// A database in memory that outlives the processes that use it; gone when dropped.
pub struct Disk {
    target: Target,
    faults: Faults,
    /// Keep the databases: each lives as long as one connection to it is open.
    _kept: [DbConn; 2],
}

impl Disk {
    /// An empty database with all tables.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn create() -> Result<Disk> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = |name| format!("file:/{name}-{}-{number}?vfs=memdb", std::process::id());
        let target = Target::parse(&format!("sqlite://{}", address("simulated"))).map_err(Error::internal)?;
        let mut kept = target.connect()?;
        migrate_connection(&mut kept)?;
        let locked = address("locked");
        let mut holder = Target::parse(&format!("sqlite://{locked}")).map_err(Error::internal)?.connect()?;
        holder.batch_execute("BEGIN EXCLUSIVE")?;
        let faults = Faults { plan: Arc::default(), spare: Arc::default(), locked };
        Ok(Disk { target, faults, _kept: [kept, holder] })
    }

    /// What a process opens: the store, and what runs its tasks.
    pub fn open(&self, vault: &Arc<Vault>, batch_limit: usize, queue_limit: usize) -> (Store, Stepper) {
        let (writer, writes) = bounded(queue_limit);
        let (reader, reads) = bounded(queue_limit);
        let lane = |read_only, tasks| SteppedLane {
            runner: Runner {
                target: self.target.clone(),
                vault: Arc::clone(vault),
                read_only,
                batch_limit: if read_only { 1 } else { batch_limit.max(1) },
                trouble: Some(Arc::new(Troubled { faults: self.faults.clone(), read_only })),
            },
            connection: None,
            tasks,
        };
        let (write, read) = (lane(false, writes), lane(true, reads));
        (
            Store { writers: Arc::new(vec![writer]), reader, target: self.target.clone() },
            Stepper { write, read, faults: self.faults.clone() },
        )
    }
}

struct SteppedLane {
    runner: Runner,
    connection: Option<DbConn>,
    tasks: Receiver<Box<dyn Task>>,
}

impl Drop for SteppedLane {
    fn drop(&mut self) {
        self.runner.give_up(&mut self.connection);
    }
}

impl SteppedLane {
    fn step(&mut self, late: bool) -> HeldBack {
        let held = HeldBack::default();
        let Ok(first) = self.tasks.try_recv() else { return held };
        let mut batch = self.runner.batch(first, &self.tasks);
        if late {
            let hold = |task| -> Box<dyn Task> { Box::new(Late(task, held.clone())) };
            batch = batch.into_iter().map(hold).collect();
        }
        if !self.runner.serve(&mut self.connection, batch) {
            self.runner.give_up(&mut self.connection);
        }
        held
    }
}

/// Runs the tasks of a store when told to. Dropping it is the end of the process: what was not committed is gone.
pub struct Stepper {
    write: SteppedLane,
    read: SteppedLane,
    faults: Faults,
}

impl Stepper {
    /// Writes that wait.
    pub fn waiting_writes(&self) -> usize {
        self.write.tasks.len()
    }

    /// Reads that wait.
    pub fn waiting_reads(&self) -> usize {
        self.read.tasks.len()
    }

    /// Runs the writes that wait, as one commit. With `late` their answers are held back, save for errors.
    pub fn write(&mut self, late: bool) -> HeldBack {
        self.write.step(late)
    }

    /// Runs one read; `late` as for writes.
    pub fn read(&mut self, late: bool) -> HeldBack {
        self.read.step(late)
    }

    /// Lets the database fail; what was armed before and did not strike is forgotten. Returns how often the last one
    /// struck.
    pub fn arm(&self, fault: Option<DiskFault>, strikes: u32) -> u64 {
        let struck = self.faults.plan().struck;
        *self.faults.plan() = Plan { fault, strikes, ..Plan::default() };
        struck
    }

    /// Reads at once, past the queue.
    ///
    /// # Errors
    /// What `work` returns.
    pub fn look<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let mut db = self.read.runner.target.connect_read_only()?;
        work(&mut Tx::new(&mut db, &self.read.runner.vault, None))
    }
}

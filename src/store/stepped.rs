//! A store without threads, for the simulation: its tasks wait until [`Stepper`] runs them, on a database in memory that
//! fails on purpose. Everything between the queue and the answer is the code that serves in production.
//!
//! A fault on a statement is made by triggers, so the statement itself fails as it would on a broken disk. Statements
//! that only read do not fail one by one: a transaction whose read failed has no effect, as with a failed `BEGIN`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, bounded};
use diesel::connection::SimpleConnection;

use super::Tx;
use super::conn::{DbConn, Target};
use super::lane::{Moment, Runner, Task, Trouble};
use super::migrate::migrate_connection;
use super::pool::Store;
use crate::error::{Error, Result};
use crate::vault::Vault;

/// Tables whose changes may fail.
const TABLES: [&str; 8] =
    ["payments", "refunds", "transactions", "operations", "transitions", "events", "idempotency_keys", "notifications"];

diesel::define_sql_function! {
    /// Counts a changed row; 0 when all is well, 1 for a passing fault, 2 for one that looks like a broken file.
    fn simulated_fault() -> diesel::sql_types::Integer;
}

/// What goes wrong with the next transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// It cannot begin.
    Begin,
    /// The statement that changes the n-th row fails, from 1.
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
    changed_rows: u32,
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
            self.changed_rows = 0;
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

    fn at_row(&mut self) -> i32 {
        self.changed_rows = self.changed_rows.saturating_add(1);
        let (row, code) = match self.fault {
            Some(DiskFault::Statement(row)) => (row, 1),
            Some(DiskFault::BrokenStatement(row)) => (row, 2),
            _ => return 0,
        };
        if row != self.changed_rows {
            return 0;
        }
        self.strike();
        code
    }
}

#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Plan>>);

impl Faults {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble for Faults {
    fn opened(&self, conn: &mut DbConn) -> Result<()> {
        let DbConn::Sqlite(conn) = conn else { return Ok(()) };
        let faults = self.clone();
        simulated_fault_utils::register_nondeterministic_impl(conn, move || faults.plan().at_row())?;
        Ok(conn.batch_execute(&triggers())?)
    }

    fn at(&self, moment: Moment) -> Result<()> {
        self.plan().at(moment)
    }
}

fn triggers() -> String {
    let mut sql = String::new();
    for table in TABLES {
        for change in ["INSERT", "UPDATE"] {
            sql.push_str(&format!(
                "CREATE TEMP TRIGGER fault_{table}_{change} BEFORE {change} ON main.{table} BEGIN SELECT CASE \
                 simulated_fault() WHEN 1 THEN RAISE(ABORT, 'disk I/O error') WHEN 2 THEN \
                 RAISE(ABORT, 'database disk image is malformed') END; END;\n"
            ));
        }
    }
    sql
}

/// A database in memory that outlives the processes that use it; gone when dropped.
pub struct Disk {
    target: Target,
    /// Keeps the database: it lives as long as one connection is open.
    _kept: DbConn,
}

impl Disk {
    /// An empty database with all tables.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn create() -> Result<Disk> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let url = format!("sqlite://file:/simulated-{}-{number}?vfs=memdb", std::process::id());
        let target = Target::parse(&url).map_err(Error::internal)?;
        let mut kept = target.connect()?;
        migrate_connection(&mut kept)?;
        Ok(Disk { target, _kept: kept })
    }

    /// What a process opens: the store, and what runs its tasks.
    pub fn open(&self, vault: &Arc<Vault>, batch_limit: usize, queue_limit: usize) -> (Store, Stepper) {
        let (writer, writes) = bounded(queue_limit);
        let (reader, reads) = bounded(queue_limit);
        let faults = Faults::default();
        let runner = |read_only: bool| Runner {
            target: self.target.clone(),
            vault: Arc::clone(vault),
            read_only,
            batch_limit: if read_only { 1 } else { batch_limit.max(1) },
            trouble: Some(Arc::new(faults.clone())),
        };
        let lane = |runner: Runner, tasks| SteppedLane { runner, tasks, connection: None };
        let (write, read) = (lane(runner(false), writes), lane(runner(true), reads));
        (
            Store { writers: Arc::new(vec![writer]), reader, target: self.target.clone() },
            Stepper { write, read, faults },
        )
    }
}

struct SteppedLane {
    runner: Runner,
    tasks: Receiver<Box<dyn Task>>,
    connection: Option<DbConn>,
}

impl SteppedLane {
    fn step(&mut self) {
        let Ok(first) = self.tasks.try_recv() else { return };
        let batch = self.runner.batch(first, &self.tasks);
        if !self.runner.serve(&mut self.connection, batch) {
            self.connection = None;
        }
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

    /// Runs the writes that wait, as one commit.
    pub fn write(&mut self) {
        self.write.step();
    }

    /// Runs one read.
    pub fn read(&mut self) {
        self.read.step();
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
        work(&mut Tx::new(&mut db, &self.read.runner.vault))
    }
}

//! A store without threads, for the simulation: its tasks wait until [`Stepper`] runs them, on a database in memory that
//! fails on purpose. Everything between the queue and the answer is the code that serves in production.
//!
//! Statements fail one by one: triggers call [`simulated_fault`] for each row that is changed, and views in the place of
//! the tables for each row that a reader finds. Reads of a transaction that writes do not fail by themselves: such a
//! transaction has no effect, as with a failed `BEGIN`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, bounded};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::serialize::{IsNull, Output, ToSql};
use diesel::sql_types::{Integer, Text};
use diesel::sqlite::Sqlite;

use super::Tx;
use super::conn::{self, DbConn, Target};
use super::lane::{Moment, Runner, Task, Trouble, Verdict};
use super::migrate::migrate_connection;
use super::pool::Store;
use crate::error::{Error, Result};
use crate::vault::Vault;

diesel::define_sql_function! {
    /// Counts a row that is changed or read; an error where the armed fault strikes.
    fn simulated_fault() -> Integer;
}

/// What [`simulated_fault`] gives: 0, or the error of the statement.
#[derive(Debug)]
struct AtRow(Option<&'static str>);

impl ToSql<Integer, Sqlite> for AtRow {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> diesel::serialize::Result {
        match self.0 {
            Some(error) => Err(error.into()),
            None => {
                out.set_value(0);
                Ok(IsNull::No)
            }
        }
    }
}

/// What goes wrong with the next transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// It cannot begin.
    Begin,
    /// The statement that changes or reads the n-th row fails, from 1.
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
    rows: u32,
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
            self.rows = 0;
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

    fn is_at_row(&self) -> bool {
        matches!(self.fault, Some(DiskFault::Statement(_) | DiskFault::BrokenStatement(_)))
    }

    fn at_row(&mut self) -> AtRow {
        self.rows = self.rows.saturating_add(1);
        let (row, error) = match self.fault {
            Some(DiskFault::Statement(row)) => (row, "disk I/O error"),
            Some(DiskFault::BrokenStatement(row)) => (row, "database disk image is malformed"),
            _ => return AtRow(None),
        };
        if row != self.rows {
            return AtRow(None);
        }
        self.strike();
        AtRow(Some(error))
    }
}

#[derive(Clone, Default)]
struct Faults {
    plan: Arc<Mutex<Plan>>,
    spare: Arc<Mutex<BTreeMap<Kind, DbConn>>>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    read_only: bool,
    /// Whether its statements can fail at a row. The triggers and views for it cost time, so others go without.
    spoiled: bool,
}

impl Faults {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        lock_plan(&self.plan)
    }

    /// Connections that were given up: what they had begun is undone, as it would be when they broke. Opening a new one
    /// takes the time of a hundred transactions.
    fn spare(&self) -> MutexGuard<'_, BTreeMap<Kind, DbConn>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock_plan(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The trouble of connections of a kind.
struct Troubled {
    faults: Faults,
    kind: Kind,
}

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = Text)]
    name: String,
}

impl Trouble for Troubled {
    fn opened(&self, conn: &mut DbConn) -> Result<()> {
        let (DbConn::Sqlite(conn), true) = (conn, self.kind.spoiled) else { return Ok(()) };
        // The plan alone: the spare connections stand beside it, and one of them would keep itself for ever.
        let plan = Arc::clone(&self.faults.plan);
        simulated_fault_utils::register_nondeterministic_impl(conn, move || lock_plan(&plan).at_row())?;
        let tables: Vec<Table> = diesel::sql_query(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '__diesel%'",
        )
        .load(conn)?;
        let read_only = self.kind.read_only;
        let spoiled = |table: &Table| if read_only { spoiled_view(&table.name) } else { spoiled_changes(&table.name) };
        let sql: String = tables.iter().map(spoiled).collect();
        // Views are made although the connection may not write.
        let (before, after) =
            if read_only { ("PRAGMA query_only = OFF;", "PRAGMA query_only = ON;") } else { ("", "") };
        Ok(conn.batch_execute(&format!("{before}{sql}{after}"))?)
    }

    fn dropped(&self, mut conn: DbConn) {
        if conn::undo(&mut conn) {
            self.faults.spare().insert(self.kind, conn);
        }
    }

    fn spare(&self) -> Option<DbConn> {
        self.faults.spare().remove(&self.kind)
    }

    fn at(&self, moment: Moment) -> Result<()> {
        self.faults.plan().at(moment)
    }
}

fn spoiled_changes(table: &str) -> String {
    let trigger = |change: &str| {
        format!(
            "CREATE TEMP TRIGGER fault_{table}_{change} BEFORE {change} ON main.{table} BEGIN SELECT simulated_fault(); END;\n"
        )
    };
    ["INSERT", "UPDATE", "DELETE"].map(trigger).concat()
}

/// Stands before the table of the same name.
fn spoiled_view(table: &str) -> String {
    format!("CREATE TEMP VIEW {table} AS SELECT * FROM main.{table} WHERE simulated_fault() = 0;\n")
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
        Ok(Disk { target, faults: Faults::default(), _kept: kept })
    }

    /// What a process opens: the store, and what runs its tasks.
    pub fn open(&self, vault: &Arc<Vault>, batch_limit: usize, queue_limit: usize) -> (Store, Stepper) {
        let (writer, writes) = bounded(queue_limit);
        let (reader, reads) = bounded(queue_limit);
        let door = |read_only: bool, spoiled: bool| {
            let trouble = Troubled { faults: self.faults.clone(), kind: Kind { read_only, spoiled } };
            let runner = Runner {
                target: self.target.clone(),
                vault: Arc::clone(vault),
                read_only,
                batch_limit: if read_only { 1 } else { batch_limit.max(1) },
                trouble: Some(Arc::new(trouble)),
            };
            Door { runner, connection: None }
        };
        let lane =
            |read_only, tasks| SteppedLane { plain: door(read_only, false), spoiled: door(read_only, true), tasks };
        let (write, read) = (lane(false, writes), lane(true, reads));
        (
            Store { writers: Arc::new(vec![writer]), reader, target: self.target.clone() },
            Stepper { write, read, faults: self.faults.clone() },
        )
    }
}

struct Door {
    runner: Runner,
    connection: Option<DbConn>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.runner.give_up(&mut self.connection);
    }
}

struct SteppedLane {
    plain: Door,
    spoiled: Door,
    tasks: Receiver<Box<dyn Task>>,
}

impl SteppedLane {
    fn step(&mut self, spoiled: bool, late: bool) -> HeldBack {
        let held = HeldBack::default();
        let Ok(first) = self.tasks.try_recv() else { return held };
        let Door { runner, connection } = if spoiled { &mut self.spoiled } else { &mut self.plain };
        let mut batch = runner.batch(first, &self.tasks);
        if late {
            let hold = |task| -> Box<dyn Task> { Box::new(Late(task, held.clone())) };
            batch = batch.into_iter().map(hold).collect();
        }
        if !runner.serve(connection, batch) {
            runner.give_up(connection);
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
        let spoiled = self.faults.plan().is_at_row();
        self.write.step(spoiled, late)
    }

    /// Runs one read; `late` as for writes.
    pub fn read(&mut self, late: bool) -> HeldBack {
        let spoiled = self.faults.plan().is_at_row();
        self.read.step(spoiled, late)
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
        let mut db = self.read.plain.runner.target.connect_read_only()?;
        work(&mut Tx::new(&mut db, &self.read.plain.runner.vault))
    }
}

//! The store: database threads and the two doors to them.

use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError, bounded};
use tokio::sync::oneshot;

use super::Tx;
use super::conn::{Engine, Target};
use super::lane::{Job, Runner, Task};
use crate::error::{Error, Result};
use crate::vault::Vault;

/// How many threads and how much waiting.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Where the database is.
    pub target: Target,
    /// Threads with a connection that only reads.
    pub readers: usize,
    /// Threads with a connection that writes; SQLite always has one.
    pub writers: usize,
    /// At most so many writes share a commit.
    pub batch_limit: usize,
    /// At most so many tasks wait for a thread; more are refused with "unavailable".
    pub queue_limit: usize,
}

/// What decides which thread writes. All writes of one payment go through one thread, in order: two commits never lock
/// the rows of one payment crosswise.
#[derive(Debug, Clone, Copy)]
pub struct Lane(u64);

impl Lane {
    /// The lane of a payment, an idempotency key or anything else by its name.
    pub fn of(name: &str) -> Lane {
        // FNV-1a: spreads names evenly and needs no state.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Lane(hash)
    }
}

/// The database.
#[derive(Clone)]
pub struct Store {
    pub(super) writers: Arc<Vec<Sender<Box<dyn Task>>>>,
    pub(super) reader: Sender<Box<dyn Task>>,
    pub(super) target: Target,
}

impl Store {
    /// Starts the threads. They connect when they get their first task, and again after a lost connection.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(settings: &StoreSettings, vault: &Arc<Vault>) -> std::io::Result<Store> {
        let writer_count = if settings.target.engine == Engine::Sqlite { 1 } else { settings.writers.max(1) };
        let spawn = |name: &str, read_only: bool, receiver: crossbeam_channel::Receiver<Box<dyn Task>>| {
            let runner = Runner {
                target: settings.target.clone(),
                vault: Arc::clone(vault),
                read_only,
                batch_limit: if read_only { 1 } else { settings.batch_limit.max(1) },
                trouble: None,
            };
            std::thread::Builder::new().name(name.to_owned()).spawn(move || runner.run(&receiver)).map(drop)
        };
        let mut writers = Vec::with_capacity(writer_count);
        for _ in 0..writer_count {
            let (sender, receiver) = bounded(settings.queue_limit);
            spawn("db-writer", false, receiver)?;
            writers.push(sender);
        }
        let (reader, receiver) = bounded(settings.queue_limit);
        for _ in 0..settings.readers.max(1) {
            spawn("db-reader", true, receiver.clone())?;
        }
        Ok(Store { writers: Arc::new(writers), reader, target: settings.target.clone() })
    }

    /// Resolves when another PostgreSQL server answers than this process began with. It uses none but the first, so it
    /// has to end: what the other one lacks is read back by a start.
    pub async fn replaced(&self) {
        self.target.server.replaced().await;
    }

    /// Runs `work` on one snapshot of the database.
    ///
    /// # Errors
    /// What `work` returns; [`Error::DatabaseUnavailable`], or [`Error::Unavailable`] when too many wait.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        run(&self.reader, work).await
    }

    /// Takes what was deleted out of the files, as far as the database can: SQLite's write-ahead log is moved into the
    /// database, where deleted bytes are overwritten, and emptied; PostgreSQL's table of keys is vacuumed.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], also when readers hold on to the log: try again.
    pub async fn forget_deleted(&self) -> Result<()> {
        let target = self.target.clone();
        tokio::task::spawn_blocking(move || target.connect()?.forget_deleted())
            .await
            .map_err(|error| Error::internal(format!("cleaning the files broke off: {error}")))?
    }

    /// Runs `work` in a transaction. When this returns `Ok`, all that `work` wrote is durable; when it returns what
    /// `work` returned as an error, nothing of it is. [`Error::OutcomeUnknown`] leaves open which, so `work` must be such
    /// that the caller may repeat it.
    ///
    /// # Errors
    /// What `work` returns; [`Error::OutcomeUnknown`] of a commit that failed; [`Error::DatabaseUnavailable`], or [`Error::Unavailable`] when too many wait.
    pub async fn write<T, F>(&self, lane: Lane, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let count = u64::try_from(self.writers.len()).unwrap_or(1).max(1);
        let index = usize::try_from(lane.0 % count).unwrap_or(0);
        let writer = self.writers.get(index).ok_or_else(|| Error::internal("the store has no writer"))?;
        run(writer, work).await
    }
}

async fn run<T, F>(queue: &Sender<Box<dyn Task>>, work: F) -> Result<T>
where
    T: Send + 'static,
    F: Fn(&mut Tx<'_>) -> Result<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    queue.try_send(Box::new(Job::new(work, reply))).map_err(|error| match error {
        TrySendError::Full(_) => Error::Unavailable {
            detail: "the service is overloaded; this request did nothing; repeat it with the same Idempotency-Key"
                .to_owned(),
            internal: "the database queue is full".to_owned(),
            retry_after_s: 1,
        },
        TrySendError::Disconnected(_) => Error::database_unavailable("the database thread is gone"),
    })?;
    answer.await.map_err(|_| Error::database_unavailable("the database thread gave up this task"))?
}

//! One connection type over SQLite and PostgreSQL, opened with the settings that durability needs.

use std::fmt;

use diesel::connection::{AnsiTransactionManager, Connection, SimpleConnection, TransactionManager};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel::sqlite::SqliteConnection;

use super::server::Server;
use crate::error::{Error, Result};

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum DbConn {
    /// PostgreSQL.
    Postgres(PgConnection),
    /// SQLite; stands last because it would accept any address.
    Sqlite(SqliteConnection),
}

#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

impl DbConn {
    /// See [`super::Store::forget_deleted`].
    pub(super) fn forget_deleted(&mut self) -> Result<()> {
        match self {
            DbConn::Sqlite(conn) => {
                let done: Checkpoint = diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result(conn)?;
                if done.busy != 0 {
                    return Err(Error::database_unavailable("readers hold on to the write-ahead log"));
                }
            }
            DbConn::Postgres(conn) => {
                conn.batch_execute("SET statement_timeout = '10min'")?;
                // Alone: it cannot run within a transaction.
                conn.batch_execute("VACUUM payer_keys")?;
            }
        }
        Ok(())
    }
}

/// Runs one body compiled for each concrete connection, for what `MultiConnection` cannot express.
macro_rules! on_each {
    ($conn:expr, |$inner:ident| $body:expr) => {
        match $conn {
            $crate::store::conn::DbConn::Postgres($inner) => $body,
            $crate::store::conn::DbConn::Sqlite($inner) => $body,
        }
    };
}
pub(crate) use on_each;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Embedded.
    Sqlite,
    /// A server.
    Postgres,
}

/// What libpq says, by a mark of it that holds nothing of the address, and what we say instead.
const POSTGRES_REASONS: [(&str, &str); 12] = [
    ("authentication failed", "the server refuses this user or this password"),
    ("no password supplied", "the server wants a password"),
    ("no pg_hba.conf entry", "the server lets this user in neither from here nor this way (pg_hba.conf)"),
    ("Connection refused", "nothing listens at this host and port"),
    (
        "could not translate host name",
        "there is no such host; letters such as @ : / in a password are written %40 %3A %2F",
    ),
    ("timeout expired", "the server does not answer in time"),
    ("timed out", "the server does not answer in time"),
    ("too many", "the server has no connection left"),
    ("starting up", "the server is starting"),
    ("shutting down", "the server is stopping"),
    ("does not exist", "there is no such database, or no such user"),
    ("server closed the connection", "the server closed the connection"),
];
const NO_REASON: &str = "no connection to the server; check host, port, user and parameters, and that letters such as @ : / in \
                         the password are written %40 %3A %2F; the server's log may tell more";

/// Where the database is: `database.url`, understood.
#[derive(Clone)]
pub struct Target {
    /// Which database.
    pub engine: Engine,
    address: String,
    /// The server met first, the same for all clones.
    pub(super) server: Server,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({:?})", self.engine)
    }
}

impl Target {
    /// Reads `sqlite://path` or `postgres://…`.
    ///
    /// # Errors
    /// What is wrong, without the address (it may hold a password).
    pub fn parse(url: &str) -> Result<Target, String> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            if path.is_empty() {
                return Err("sqlite:// needs a file path, as in sqlite://data/kmic-payments.sqlite3".to_owned());
            }
            return Ok(Target { engine: Engine::Sqlite, address: path.to_owned(), server: Server::default() });
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Target { engine: Engine::Postgres, address: url.to_owned(), server: Server::default() });
        }
        Err("the address must begin with sqlite:// or postgres://".to_owned())
    }

    /// The file of an embedded database.
    pub fn file(&self) -> Option<&std::path::Path> {
        (self.engine == Engine::Sqlite).then(|| std::path::Path::new(&self.address))
    }

    /// Opens a connection for writes.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], also when another server answers than before.
    pub(super) fn connect(&self) -> Result<DbConn> {
        self.server.is_ours()?;
        let mut conn = self.open().map_err(|error| Error::database_unavailable(self.why(&error.to_string())))?;
        if let DbConn::Postgres(inner) = &mut conn {
            self.server.meet(inner)?;
        }
        Ok(conn)
    }

    /// Opens a connection that refuses to write.
    pub(super) fn connect_read_only(&self) -> Result<DbConn> {
        let mut conn = self.connect()?;
        let statement = match self.engine {
            Engine::Sqlite => "PRAGMA query_only = ON",
            Engine::Postgres => "SET default_transaction_read_only = on",
        };
        conn.batch_execute(statement)?;
        Ok(conn)
    }

    /// Why a connection did not come about. libpq quotes the pieces it makes of an address, and of one with a slip in it
    /// these are pieces of the password; so its words are looked at and ours are told.
    fn why(&self, words: &str) -> String {
        if self.engine == Engine::Sqlite {
            return words.to_owned();
        }
        let reason = POSTGRES_REASONS.iter().find(|(mark, _)| words.contains(mark)).map_or(NO_REASON, |(_, ours)| ours);
        format!("database.url: {reason}")
    }

    fn open(&self) -> Result<DbConn, Box<dyn std::error::Error>> {
        match self.engine {
            Engine::Sqlite => {
                create_private(&self.address)?;
                let mut conn = SqliteConnection::establish(&self.address)?;
                // busy_timeout first: changing the journal mode needs a lock. FULL: what was answered survives power loss.
                for pragma in [
                    "PRAGMA busy_timeout = 5000",
                    "PRAGMA journal_mode = WAL",
                    "PRAGMA synchronous = FULL",
                    "PRAGMA foreign_keys = ON",
                    // REPLACE deletes rows: with this the triggers that guard the history see it.
                    "PRAGMA recursive_triggers = ON",
                    // What is deleted is overwritten: an erased key must not stay in the file.
                    "PRAGMA secure_delete = ON",
                    "PRAGMA cache_size = -8000",
                    // Savepoints keep their journal in memory; what is committed goes through the WAL all the same.
                    "PRAGMA temp_store = MEMORY",
                ] {
                    conn.batch_execute(pragma)?;
                }
                Ok(DbConn::Sqlite(conn))
            }
            Engine::Postgres => {
                let mut conn = PgConnection::establish(&self.address)?;
                conn.batch_execute(
                    "SET application_name = 'kmic-payments'; SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
                     SET idle_in_transaction_session_timeout = '30s'; SET synchronous_commit = on; SET TIME ZONE 'UTC'",
                )?;
                Ok(DbConn::Postgres(conn))
            }
        }
    }
}

/// A new file can be read by its owner only; SQLite gives its log and its index the same rights. One that is there keeps
/// what its owner gave it.
fn create_private(path: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // SQLite's own names for what is no plain file, such as a database in memory.
    if path.starts_with("file:") || path == ":memory:" {
        return Ok(());
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Begins a transaction that may write. `IMMEDIATE` takes SQLite's write lock at once: a later upgrade would fail
/// without waiting.
pub(super) fn begin_write(conn: &mut DbConn) -> Result<()> {
    match conn {
        DbConn::Postgres(inner) => AnsiTransactionManager::begin_transaction_sql(inner, "BEGIN")?,
        DbConn::Sqlite(inner) => AnsiTransactionManager::begin_transaction_sql(inner, "BEGIN IMMEDIATE")?,
    }
    Ok(())
}

/// Begins a transaction that sees one snapshot.
pub(super) fn begin_read(conn: &mut DbConn) -> Result<()> {
    match conn {
        DbConn::Postgres(inner) => {
            AnsiTransactionManager::begin_transaction_sql(inner, "BEGIN ISOLATION LEVEL REPEATABLE READ")?
        }
        DbConn::Sqlite(inner) => AnsiTransactionManager::begin_transaction_sql(inner, "BEGIN DEFERRED")?,
    }
    Ok(())
}

/// Commits what was begun.
pub(super) fn commit(conn: &mut DbConn) -> Result<()> {
    Ok(<DbConn as Connection>::TransactionManager::commit_transaction(conn)?)
}

/// Undoes what was begun.
pub(super) fn rollback(conn: &mut DbConn) -> Result<()> {
    Ok(<DbConn as Connection>::TransactionManager::rollback_transaction(conn)?)
}

/// Undoes whatever was begun; `false` when the connection is of no more use.
#[cfg(feature = "sandbox")]
pub(super) fn undo(conn: &mut DbConn) -> bool {
    let status = <DbConn as Connection>::TransactionManager::transaction_manager_status_mut(conn);
    match status.transaction_depth() {
        Ok(None) => true,
        Ok(Some(_)) => rollback(conn).is_ok(),
        Err(_) => false,
    }
}

//! The databases that a bench runs on, with the durability of production.

use std::path::PathBuf;

use tempfile::TempDir;

use super::postgres::{Options, PostgresServer};

/// The databases.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Engine::Sqlite => "SQLite",
            Engine::Postgres => "PostgreSQL",
        }
    }
}

/// An empty database, gone with this value.
pub struct Database {
    pub url: String,
    pub folder: TempDir,
    /// The server, where there is one.
    pub server: Option<PostgresServer>,
}

impl Database {
    /// Under `target/`, in a folder whose name begins with `prefix`; with `keep` it stays.
    pub fn create(engine: Engine, prefix: &str, keep: bool) -> Result<Database, String> {
        let mut folder = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .map_err(|error| format!("no folder for the database: {error}"))?;
        folder.disable_cleanup(keep);
        let (url, server) = match engine {
            Engine::Sqlite => (format!("sqlite://{}", folder.path().join("bench.sqlite3").display()), None),
            Engine::Postgres => {
                let server = PostgresServer::start_with(Options { fsync: true })?;
                server.create_database("bench", None)?;
                (server.url("bench"), Some(server))
            }
        };
        Ok(Database { url, folder, server })
    }

    /// Where the service writes its log.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("service.log")
    }
}

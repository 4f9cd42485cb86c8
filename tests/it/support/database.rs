//! A database of its own for each test.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kmic_payments::store::{Target, migrate};

use super::postgres;
use super::sql::Sql;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// The database of one test; gone with it.
pub struct TestDatabase {
    pub url: String,
    _folder: Option<tempfile::TempDir>,
    name: Option<String>,
}

impl TestDatabase {
    pub fn create(engine: Engine) -> TestDatabase {
        match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite://{}", folder.path().join("test.sqlite3").display());
                TestDatabase { url, _folder: Some(folder), name: None }
            }
            Engine::Postgres => {
                static NEXT: AtomicU32 = AtomicU32::new(0);
                let server = postgres::shared().unwrap_or_else(|error| panic!("{error}"));
                let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
                server.create_database(&name, Some(template())).unwrap();
                TestDatabase { url: server.url(&name), _folder: None, name: Some(name) }
            }
        }
    }
}

impl Sql {
    /// A migrated database without a service, and a connection to it.
    pub fn fresh(engine: Engine) -> (TestDatabase, Sql) {
        let database = TestDatabase::create(engine);
        migrate::migrate(&Target::parse(&database.url).unwrap()).unwrap();
        let sql = Sql::open(&database.url);
        (database, sql)
    }
}

/// A copy of a database at rest.
pub struct DatabaseCopy {
    folder: Option<tempfile::TempDir>,
    name: Option<String>,
}

impl TestDatabase {
    /// A copy; nobody may be using the database.
    pub fn copy(&self) -> DatabaseCopy {
        match (&self._folder, &self.name) {
            (Some(folder), _) => {
                let copy = tempfile::tempdir().unwrap();
                copy_files(folder.path(), copy.path());
                DatabaseCopy { folder: Some(copy), name: None }
            }
            (None, Some(name)) => {
                static COPIES: AtomicU32 = AtomicU32::new(0);
                let copy = format!("{name}_copy_{}", COPIES.fetch_add(1, Ordering::Relaxed));
                create_from(&copy, name);
                DatabaseCopy { folder: None, name: Some(copy) }
            }
            (None, None) => panic!("a database without a place"),
        }
    }

    /// Puts a copy in the place of the database, as an operator who restores a backup does.
    pub fn restore(&self, copy: &DatabaseCopy) {
        match (&self._folder, &copy.folder, &self.name, &copy.name) {
            (Some(folder), Some(copy), ..) => {
                for file in std::fs::read_dir(folder.path()).unwrap() {
                    std::fs::remove_file(file.unwrap().path()).unwrap();
                }
                copy_files(copy.path(), folder.path());
            }
            (.., Some(name), Some(copy)) => {
                let server = postgres::shared().unwrap();
                retried(|| server.drop_database(name).map_err(|error| error.to_string()));
                create_from(name, copy);
            }
            _ => panic!("the copy is of another kind"),
        }
    }
}

impl TestDatabase {
    /// Waits until the threads of a service that has stopped have closed SQLite's files: the last one removes the log, and
    /// must not remove the one of a copy that was put in its place.
    pub async fn come_to_rest(&self) {
        let Some(path) = self.url.strip_prefix("sqlite://") else { return };
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::path::Path::new(&format!("{path}-wal")).exists() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The threads of a service that has stopped put the log into the main file and remove it a moment later: a copy during
/// which a file went away is made once more.
fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    let copied = || -> std::io::Result<()> {
        for old in std::fs::read_dir(to)? {
            std::fs::remove_file(old?.path())?;
        }
        for file in std::fs::read_dir(from)? {
            let file = file?;
            std::fs::copy(file.path(), to.join(file.file_name()))?;
        }
        Ok(())
    };
    retried(|| copied().map_err(|error| error.to_string()));
}

fn create_from(name: &str, template: &str) {
    let server = postgres::shared().unwrap();
    retried(|| server.create_database(name, Some(template)).map_err(|error| error.to_string()));
}

/// The server notices a little late that nobody is connected any more.
fn retried(work: impl Fn() -> Result<(), String>) {
    for _ in 0..100 {
        if work().is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    work().unwrap();
}

impl Drop for DatabaseCopy {
    fn drop(&mut self) {
        if let (Some(name), Ok(server)) = (&self.name, postgres::shared()) {
            let _ = server.drop_database(name);
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let (Some(name), Ok(server)) = (&self.name, postgres::shared()) {
            // The server goes with the process; a database that is left only takes space until then.
            let _ = server.drop_database(name);
        }
    }
}

/// The migrated database that each test gets a copy of.
fn template() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let server = postgres::shared().unwrap_or_else(|error| panic!("{error}"));
        let name = format!("template_{}", std::process::id());
        server.create_database(&name, None).unwrap();
        migrate::migrate(&Target::parse(&server.url(&name)).unwrap()).unwrap();
        name
    })
}

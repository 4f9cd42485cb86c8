//! A database of its own for each test.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

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

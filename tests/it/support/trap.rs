//! A database that fails, or stands still for good, at a statement that a test chooses.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::database::Engine;
use super::sql::Sql;

/// What happens at the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It fails, and its transaction with it.
    Fails,
    /// It does not end, so that the process can be killed in the middle of it.
    Hangs,
}

/// A trap that is set. It is no part of a migration: [`Trap::remove`] takes all of it away.
pub struct Trap {
    engine: Engine,
    url: String,
    table: &'static str,
    /// Of PostgreSQL: has the lock that the statement waits for.
    sql: Sql,
}

impl Trap {
    /// Strikes before `change` (`INSERT`, `UPDATE OF column`) of a row of `table` for which `when` holds.
    pub fn set(engine: Engine, url: &str, table: &'static str, change: &str, when: &str, way: Way) -> Trap {
        let mut sql = Sql::open(url);
        match engine {
            Engine::Sqlite => {
                let act = match way {
                    Way::Fails => "SELECT RAISE(ABORT, 'cut off by the test')",
                    Way::Hangs => "SELECT count(*) FROM endless",
                };
                sql.run_all(&format!(
                    "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n; \
                     CREATE TRIGGER trap BEFORE {change} ON {table} WHEN {when} BEGIN {act}; END;"
                ));
            }
            Engine::Postgres => {
                let act = match way {
                    Way::Fails => "RAISE EXCEPTION 'cut off by the test'",
                    Way::Hangs => "PERFORM pg_advisory_xact_lock(1)",
                };
                sql.run_all(&format!(
                    "SELECT pg_advisory_lock(1); \
                     CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {act}; RETURN NEW; END $$; \
                     CREATE TRIGGER trap BEFORE {change} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION trap();"
                ));
            }
        }
        Trap { engine, url: url.to_owned(), table, sql }
    }

    /// Waits until somebody hangs in it.
    pub async fn caught(&mut self) {
        // PostgreSQL ends the wait after five seconds.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.holds() {
            assert!(Instant::now() < deadline, "nobody runs into the trap");
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn holds(&mut self) -> bool {
        match self.engine {
            // No other write takes so long.
            Engine::Sqlite => {
                let mut other = Sql::open(&self.url);
                other.run_all("PRAGMA busy_timeout = 1500");
                let free = other.run("BEGIN IMMEDIATE").is_ok();
                if free {
                    other.run("ROLLBACK").unwrap();
                }
                !free
            }
            Engine::Postgres => {
                self.sql.number(
                    "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name = 'kmic-payments' AND wait_event = 'advisory'",
                ) > 0
            }
        }
    }

    /// Takes it away. Whoever hung in it has to be gone: PostgreSQL is told so.
    pub async fn remove(mut self) {
        match self.engine {
            Engine::Sqlite => self.sql.run_all("DROP TRIGGER trap; DROP VIEW endless"),
            Engine::Postgres => {
                let hanging = "FROM pg_stat_activity WHERE datname = current_database() \
                               AND application_name = 'kmic-payments' AND wait_event = 'advisory'";
                self.sql.number(&format!("SELECT count(pg_terminate_backend(pid)) AS value {hanging}"));
                while self.sql.number(&format!("SELECT count(*) AS value {hanging}")) > 0 {
                    sleep(Duration::from_millis(10)).await;
                }
                self.sql.run_all(&format!(
                    "DROP TRIGGER trap ON {}; DROP FUNCTION trap(); SELECT pg_advisory_unlock(1);",
                    self.table
                ));
            }
        }
    }
}

/// From now on each commit fails that has a new row of `table` in it, although every statement goes well.
pub fn fail_commits_of(engine: Engine, sql: &mut Sql, table: &str) {
    sql.run_all(
        "CREATE TABLE wanted (id INTEGER PRIMARY KEY);
         CREATE TABLE wishes (id INTEGER REFERENCES wanted (id) DEFERRABLE INITIALLY DEFERRED)",
    );
    sql.run_all(&match engine {
        Engine::Sqlite => {
            format!("CREATE TRIGGER wish AFTER INSERT ON {table} BEGIN INSERT INTO wishes VALUES (1); END")
        }
        Engine::Postgres => format!(
            "CREATE FUNCTION wish() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN INSERT INTO wishes VALUES (1); RETURN NULL; END $$;
             CREATE TRIGGER wish AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION wish()"
        ),
    });
}

/// They go well again. What makes them fail stays in the database.
pub fn let_commits_be(sql: &mut Sql) {
    sql.run("INSERT INTO wanted VALUES (1)").unwrap();
}

//! Plain SQL, past the service.

use diesel::connection::{Connection as _, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A connection to a test's database.
pub struct Sql(Connection);

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

impl Sql {
    /// Opens with the settings that the service opens with.
    pub fn open(url: &str) -> Sql {
        match url.strip_prefix("sqlite://") {
            Some(path) => {
                let mut connection = SqliteConnection::establish(path).unwrap();
                connection
                    .batch_execute(
                        "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON",
                    )
                    .unwrap();
                Sql(Connection::Sqlite(connection))
            }
            None => Sql(Connection::Postgres(PgConnection::establish(url).unwrap())),
        }
    }

    pub fn run(&mut self, sql: &str) -> Result<usize, String> {
        let query = diesel::sql_query(sql);
        let done = match &mut self.0 {
            Connection::Sqlite(connection) => query.execute(connection),
            Connection::Postgres(connection) => query.execute(connection),
        };
        done.map_err(|error| error.to_string())
    }

    /// The column `value` of every row.
    pub fn texts(&mut self, sql: &str) -> Vec<String> {
        let query = diesel::sql_query(sql);
        let rows: Vec<TextRow> = match &mut self.0 {
            Connection::Sqlite(connection) => query.load(connection),
            Connection::Postgres(connection) => query.load(connection),
        }
        .unwrap();
        rows.into_iter().map(|row| row.value).collect()
    }

    /// The column `value` of the only row.
    pub fn number(&mut self, sql: &str) -> i64 {
        let query = diesel::sql_query(sql);
        let row: NumberRow = match &mut self.0 {
            Connection::Sqlite(connection) => query.get_result(connection),
            Connection::Postgres(connection) => query.get_result(connection),
        }
        .unwrap();
        row.value
    }

    /// Several statements at once.
    pub fn run_all(&mut self, sql: &str) {
        match &mut self.0 {
            Connection::Sqlite(connection) => connection.batch_execute(sql),
            Connection::Postgres(connection) => connection.batch_execute(sql),
        }
        .unwrap();
    }

    /// The column `value` of the only row.
    pub fn text(&mut self, sql: &str) -> String {
        let mut texts = self.texts(sql);
        assert_eq!(texts.len(), 1, "{sql}");
        texts.remove(0)
    }

    /// Lets this connection write what the database refuses: no triggers, checks, foreign keys and partial unique indexes.
    pub fn take_the_guards_away(&mut self) {
        let statements: Vec<String> = match self.0 {
            Connection::Sqlite(_) => {
                self.run("PRAGMA foreign_keys = OFF").unwrap();
                self.run("PRAGMA ignore_check_constraints = ON").unwrap();
                self.texts("SELECT 'DROP TRIGGER ' || name AS value FROM sqlite_master WHERE type = 'trigger'")
            }
            Connection::Postgres(_) => self.texts(
                "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname) AS value \
                 FROM pg_constraint WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace \
                 UNION ALL SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger \
                 WHERE NOT tgisinternal",
            ),
        };
        let indexes = ["operations_one_open", "operations_one_open_refund"].map(|name| format!("DROP INDEX {name}"));
        for statement in statements.into_iter().chain(indexes) {
            self.run(&statement).unwrap();
        }
    }

    /// Takes one guard away.
    pub fn drop_trigger(&mut self, name: &str) {
        let on = match self.0 {
            Connection::Sqlite(_) => String::new(),
            Connection::Postgres(_) => self.text(&format!(
                "SELECT format(' ON %s', tgrelid::regclass) AS value FROM pg_trigger WHERE tgname = '{name}'"
            )),
        };
        self.run(&format!("DROP TRIGGER {name}{on}")).unwrap();
    }

    /// Takes the last migration back.
    pub fn revert_last(&mut self) {
        match &mut self.0 {
            Connection::Sqlite(connection) => connection.revert_last_migration(SQLITE).map(drop),
            Connection::Postgres(connection) => connection.revert_last_migration(POSTGRES).map(drop),
        }
        .unwrap();
    }

    /// Takes every migration back.
    pub fn revert_all(&mut self) {
        match &mut self.0 {
            Connection::Sqlite(connection) => connection.revert_all_migrations(SQLITE).map(drop),
            Connection::Postgres(connection) => connection.revert_all_migrations(POSTGRES).map(drop),
        }
        .unwrap();
    }

    /// Writes a payment of 100 in this state.
    /// How the database would run a query, a line each; PostgreSQL is asked what it would do without reading whole tables.
    pub fn plan(&mut self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Detail {
            #[diesel(sql_type = Text)]
            detail: String,
        }
        #[derive(QueryableByName)]
        struct Line {
            #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
            line: String,
        }
        match &mut self.0 {
            Connection::Sqlite(connection) => {
                let rows: Vec<Detail> =
                    diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(connection).unwrap();
                rows.into_iter().map(|row| row.detail).collect()
            }
            Connection::Postgres(connection) => {
                connection.batch_execute("SET enable_seqscan = off").unwrap();
                let rows: Vec<Line> = diesel::sql_query(format!("EXPLAIN {sql}")).load(connection).unwrap();
                rows.into_iter().map(|row| row.line).collect()
            }
        }
    }

    /// Adds `count` completed transactions of a payment, all with the same moment; numbers and ids begin at `first`.
    pub fn insert_transactions(&mut self, payment: &str, first: u32, count: u32, moved_at: &str, brand: &str) {
        let last = first + count - 1;
        self.run(&format!(
            "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) \
             INSERT INTO transactions (id, payment_id, transaction_id, kind, status, currency, amount, captured, card_brand, \
             created_at, updated_at, moved_at) SELECT 'trn_' || i, '{payment}', i, 'payment', 'completed', 'KZT', 100, 100, \
             '{brand}', '{moved_at}', '{moved_at}', '{moved_at}' FROM n"
        ))
        .unwrap();
    }

    pub fn insert_payment(&mut self, id: &str, status: &str) {
        let captured = i32::from(matches!(status, "paid" | "partially_refunded" | "refunded")) * 100;
        let authorized = if status == "authorized" { 100 } else { captured };
        let refunded = match status {
            "partially_refunded" => 40,
            "refunded" => 100,
            _ => 0,
        };
        let payer = match self.0 {
            Connection::Sqlite(_) => "x'00'",
            Connection::Postgres(_) => "'\\x00'",
        };
        self.run(&format!(
            "INSERT INTO payments (id, sequence, status, currency, amount, authorized, captured, refunded, refund_pending, \
             refund_excess, invoice_id, description, capture_mode, language, method, metadata, payer, created_by, created_at, \
             updated_at, expires_at) VALUES ('{id}', 1, '{status}', 'KZT', 100, {authorized}, {captured}, {refunded}, 0, 0, \
             'KM-1', 'Policy', 'automatic', 'ru', 'widget', '{{}}', {payer}, 'key_1', '2026-01-01 00:00:00', \
             '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        ))
        .unwrap();
    }
}

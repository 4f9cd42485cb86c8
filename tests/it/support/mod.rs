//! What the tests stand on.

mod app;
mod books;
mod canaries;
mod database;
mod form;
mod http;
mod look;
mod notices;
mod operators;
mod postgres;
mod program;
mod race;
mod readable;
mod refused;
mod register;
mod spellings;
mod sql;
mod traces;
mod trap;

pub use app::{APPROVED, Body, CARD_NO_FUNDS, CARD_THREE_DS, CARD_THREE_DS_NO_FUNDS, TestApp, card, money, widget};
pub use canaries::LogLines;
pub use database::{Engine, TestDatabase};
pub use form::{Form, form_of};
pub use http::Reply;
pub use look::{expect_sums, order, transaction_id, with};
pub use notices::{FIXTURE_SECRET, Fixture, form, sign};
pub use operators::Operator;
pub use postgres::{Options, PostgresServer};
pub use program::{ENCRYPTION_KEY, Service, new_key, program, serve, set};
pub use race::{Race, Whole};
pub use refused::{with_at, without};
pub use register::{LIST, page, paid_in_silence, with_quiet_runs};
pub use spellings::{Place, counts};
pub use sql::Sql;
pub use traces::{database_bytes, raw_bytes, secret_hits};
pub use trap::{Trap, Way, fail_commits_of, let_commits_be};

/// Makes of each `async fn name(engine: Engine)` a test on SQLite and one on PostgreSQL.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::support::Engine::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::support::Engine::Postgres).await;
            })+
        }
    };
}

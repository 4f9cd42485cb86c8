//! All integration tests in one binary: through HTTP, against the real service, a real database and the sandbox.
//!
//! Every test runs on SQLite and on PostgreSQL (see `on_both!`), whose server the tests start themselves.
//! `cargo test --test it sqlite::` runs the half that needs no PostgreSQL.

mod support;

mod cli;
mod money_surprises;
mod notification_order;
mod notifications;
mod schema;
mod smoke;
mod state_table;
mod store;

//! All integration tests in one binary: through HTTP, against the real service, a real database and the sandbox.
//!
//! Every test runs on SQLite and on PostgreSQL (see `on_both!`), whose server the tests start themselves.
//! `cargo test --test it sqlite::` runs the half that needs no PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod acts;
mod support;

mod approvals;
mod attention;
mod auth;
mod bad_input;
mod bad_request;
mod books_tampering;
mod books_written_once;
mod caller_limits;
mod card_data;
mod cards;
mod chargebacks;
mod cli;
mod closed_keys;
mod conventions;
mod corrections;
mod cut_off;
mod daily_runs;
mod day_register;
mod documents;
mod doubtful_calls;
mod doubtful_evidence;
mod erasure_cut_off;
mod event_tampering;
mod failover;
mod forged_rows;
mod gap_runs;
mod guards;
mod hardening;
mod history_proofs;
mod history_tampering;
mod hostile_requests;
mod idempotency;
mod invariants;
mod key_rotation;
mod lists;
mod lookups;
mod loss_proposals;
mod losses;
mod lost_answers;
mod lost_refunds;
mod money_surprises;
mod moved_server;
mod notification_order;
mod notifications;
mod older_money;
mod openapi;
mod payer_of_a_payment;
mod personal_data;
mod planted;
mod provider_limits;
mod races;
mod reconciliation;
mod refunds;
mod repeats_at_the_gate;
mod reserve_bank;
mod restore;
mod restored_work;
mod rotated_keys;
mod schema;
mod second_role;
mod secrecy;
#[cfg(feature = "sandbox")]
mod simulation;
mod smoke;
mod state_table;
mod status;
mod store;
mod summary;
mod three_ds;
mod two_processes;
mod two_stage;
mod unwritten_outcomes;
mod whose_money;
mod widget;
mod words_from_outside;
mod wrong_encryption_key;

//! Drives a running sandbox over HTTP, as a service under test would.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod engine;
mod faults;
mod limits;
mod lookups;
mod notifications;
mod operations;
mod pages;
mod payments;
mod support;
mod wire;

//! `kmic-payments`: the payment service between the site of an insurer and CloudPayments (TipTop Pay).
//!
//! Dependencies point one way: `{http, worker} -> app -> {store, cloudpayments} -> domain`. The store and the provider
//! client never meet, and each outside library is imported in one folder. `ARCHITECTURE.md` holds the map.

pub mod app;
pub mod cli;
pub mod clock;
pub mod cloudpayments;
pub mod config;
pub mod domain;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod metrics;
pub mod startup;
pub mod store;
pub mod telemetry;
pub mod vault;
pub mod worker;

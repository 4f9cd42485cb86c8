//! Offline emulator of the CloudPayments (TipTop Pay) payment API for development and tests.
//!
//! It keeps everything in memory, serves one terminal, moves no money and must not be reachable
//! from the internet: its control API has no authorization. It covers card and token payments with
//! 3-D Secure, two stages, refunds, lookups, pay-by-link orders, notifications with the retry
//! schedule, and scripted faults. It does not cover payouts, subscriptions, fiscal receipts,
//! wallets, instalments or splits.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use cloudpayments_sandbox::{Sandbox, SandboxConfig};
//!
//! let config = SandboxConfig { bind: "127.0.0.1:0".into(), ..SandboxConfig::default() };
//! let sandbox = Sandbox::start(config).await?;
//! sandbox.set_notify_url("http://127.0.0.1:8080/notifications");
//! println!("API at {}", sandbox.base_url());
//! sandbox.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod cards;
pub mod engine;
pub mod ids;
pub mod money;
pub mod reasons;
pub mod wire;

mod config;
mod cryptogram;
mod sandbox;
mod shell;
mod time;

pub use config::SandboxConfig;
pub use cryptogram::cryptogram;
pub use engine::{
    ApiFault, ApiFaultKind, DeliveryRecord, Fault, FaultCounts, Ledger, LedgerEntry, LedgerTotals, NotificationFault,
    NotificationFaultKind, NotificationKind, Status, TransactionType,
};
pub use sandbox::Sandbox;

//! The database: the only importer of diesel.
//!
//! [`Store::write`] is one durable transaction for the caller, although waiting writes share a commit; [`Store::read`] sees
//! one snapshot. Both take a closure that runs on a database thread and so cannot await the provider half-way.

pub mod api_keys;
pub mod approvals;
pub mod chargebacks;
mod conn;
pub mod day_register;
pub mod discrepancies;
mod error;
pub mod events;
pub mod history_walk;
pub mod idempotency;
pub mod invariants;
mod lane;
pub mod migrate;
pub mod moved;
pub mod notifications;
pub mod operations;
pub mod outlines;
mod payer_keys;
pub mod payments;
pub mod personal_data;
mod pool;
pub mod reconciliations;
pub mod refunds;
pub mod rotation;
pub mod schema;
pub mod sealed;
pub mod sealed_keys;
pub mod seals;
mod server;
#[cfg(feature = "sandbox")]
mod stepped;
pub mod summary;
pub mod transactions;
pub mod transitions;
mod types;

pub use conn::{Engine, Target};
pub use pool::{Lane, Store, StoreSettings};
#[cfg(feature = "sandbox")]
pub use stepped::{Disk, DiskFault, Stepper};

use crate::vault::Vault;
use conn::DbConn;

/// What a read or write closure works with: the connection inside its transaction, and the vault that seals what is
/// confidential before it is written.
pub struct Tx<'a> {
    conn: &'a mut DbConn,
    vault: &'a Vault,
    met: payer_keys::Met,
    trouble: Option<&'a dyn lane::Trouble>,
    /// Stands in the connection's place for a statement that is to fail.
    failing: Option<DbConn>,
}

impl<'a> Tx<'a> {
    fn new(conn: &'a mut DbConn, vault: &'a Vault, trouble: Option<&'a dyn lane::Trouble>) -> Tx<'a> {
        Tx { conn, vault, met: payer_keys::Met::default(), trouble, failing: None }
    }

    /// The connection, for one statement.
    fn db(&mut self) -> &mut DbConn {
        match self.trouble.and_then(lane::Trouble::statement) {
            Some(failing) => self.failing.insert(failing),
            None => self.conn,
        }
    }
}

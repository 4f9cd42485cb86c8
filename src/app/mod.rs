//! The use cases: what the service does, one file each.
//!
//! Every change of a payment goes through `record`; every call to the provider is written down before it is sent and
//! again when its outcome is known. Between the two there is no transaction.

mod access;
mod answer_check;
mod approvals;
mod approve;
mod asked_for;
mod attempts;
mod authenticate;
mod before_copy;
mod capture_payment;
mod captures;
mod chargebacks;
mod close_discrepancy;
mod closed_keys;
mod compare_register;
mod conclude;
mod correct;
mod create_payment;
mod create_refund;
mod day_register;
mod events;
mod expire_payments;
mod findings;
mod for_operators;
mod gap;
mod give_up_key;
mod idempotent;
mod invariants;
mod key_directory;
mod manage_keys;
mod merge;
mod note;
mod notifications;
mod personal_data;
mod prove_history;
mod read;
mod reconcile;
mod reconciliations;
mod record;
mod resolve;
mod resolve_attention;
mod retention;
mod rotate_key;
mod run_phases;
mod seal_history;
mod settle_operations;
mod summary;
mod take_notification;
mod three_ds;
mod told_sums;
mod types;
mod verify_closings;
mod verify_history;
mod verify_stories;
mod verify_told;

pub use approvals::OperatorSettings;
pub use attempts::Attempt;
pub use authenticate::{Authenticated, NewKey, Outdated, create_api_key};
pub use closed_keys::refuse_foreign_keys;
pub use day_register::RegisterPage;
pub use events::{Act, ActKind, Event, FeedEvent};
pub use for_operators::ForOperators;
pub use gap::Gap;
pub use give_up_key::{GiveUp, LostKey, find_lost_keys, give_up_key, look_at_lost_key};
pub use invariants::{Invariants, LawReport, Mark, Place, Root};
pub use manage_keys::{keep_api_key, revoke_api_key};
pub use notifications::{NotificationKind, NotificationRecord, NotificationReply, RawNotification, StoredNotification};
pub use prove_history::{Proof, Proven, ProvenRow, prove_history};
pub use reconcile::ReconciliationSettings;
pub use retention::RetentionSettings;
pub use rotate_key::{Rotated, Rotation, rotate_api_key};
pub use seal_history::{DailyRoot, find_daily_root, list_daily_roots};
pub use settle_operations::PROVIDER_MEMORY_S;
pub use summary::{PublishedDay, Summary};
pub use types::*;
pub use verify_history::{Broken, History, PublishedRoot, VerifyHistory, verify_history};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::broadcast;

use crate::clock::{Clock, IdSource, Timestamp};
use crate::cloudpayments::{Client, Signatures, Trouble};
use crate::domain::id::PaymentId;
use crate::domain::state::{Cause, CauseType};
use crate::error::Result;
use crate::metrics::Metrics;
use crate::store::{Lane, Store, Tx};
use record::Recorder;

/// Waiting readers are told of at most so many changes at once; one that missed some reads again.
const CHANGE_BACKLOG: usize = 1024;

/// Who acts when the provider does.
const PROVIDER: &str = "cloudpayments";

/// How long things take.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// How long a payment can be paid when the site does not say, seconds.
    pub default_expires_in_s: i64,
    /// After so many seconds a call to the provider is surely over in our process: its queueing and its time limit.
    pub call_deadline_s: i64,
    /// After so many seconds the provider can no longer be working on a request, whatever our clocks differ.
    pub provider_works_s: i64,
    /// How the provider's register is compared.
    pub reconciliation: ReconciliationSettings,
    /// How long personal data is kept.
    pub retention: RetentionSettings,
    /// What needs a second key.
    pub operators: OperatorSettings,
}

/// What the use cases work with.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The provider.
    pub provider: Client,
    /// Checks the provider's notifications.
    pub signatures: Signatures,
    /// Turns domain objects into answers.
    pub present: Arc<dyn Present>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness of ids.
    pub ids: Arc<dyn IdSource>,
    /// Figures for operators.
    pub metrics: Arc<Metrics>,
    /// How long things take.
    pub settings: AppSettings,
}

/// All use cases.
pub struct App {
    parts: Parts,
    keys: authenticate::KeyCache,
    key_directory: key_directory::KeyDirectory,
    uses: authenticate::Uses,
    changes: broadcast::Sender<PaymentId>,
    quarantine: take_notification::QuarantineGate,
    asking: settle_operations::Asking,
    attempts: attempts::Attempts,
    gate: gap::Gate,
    days: reconcile::Days,
    taken: reconcile::Taken,
    readings: access::Readings,
    looked: closed_keys::Looked,
    sweep: retention::Sweep,
    stopping: AtomicBool,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> App {
        App {
            parts,
            keys: authenticate::KeyCache::default(),
            key_directory: key_directory::KeyDirectory::default(),
            uses: authenticate::Uses::default(),
            changes: broadcast::Sender::new(CHANGE_BACKLOG),
            quarantine: take_notification::QuarantineGate::default(),
            asking: settle_operations::Asking::default(),
            attempts: attempts::Attempts::default(),
            gate: gap::Gate::default(),
            days: reconcile::Days::default(),
            taken: reconcile::Taken::default(),
            readings: access::Readings::default(),
            looked: closed_keys::Looked::default(),
            sweep: retention::Sweep::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Ends what only waits for news: a stop must not wait for it, too.
    pub fn stop_waiting(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`].
    pub async fn check_ready(&self) -> Result<()> {
        self.parts
            .store
            .read(|tx| {
                crate::store::api_keys::find(tx, &crate::domain::id::ApiKeyId::from_stored(String::new())).map(drop)
            })
            .await
    }

    /// `ok`, or what is wrong with the provider while nothing is sent to it because of that.
    pub fn provider_state(&self) -> &'static str {
        self.parts.provider.trouble().map_or("ok", Trouble::as_str)
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    fn recorder(&self, kind: CauseType, id: Option<String>, actor: &str) -> Recorder {
        Recorder {
            ids: Arc::clone(&self.parts.ids),
            metrics: Arc::clone(&self.parts.metrics),
            at: self.now(),
            cause: Cause { kind, id, actor: actor.to_owned() },
        }
    }

    /// A write that changes a payment: in the payment's lane, and those who wait for a change are told.
    async fn write_payment<T, F>(&self, id: &PaymentId, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let result = self.parts.store.write(Lane::of(id.as_str()), work).await;
        // An error only says that nobody waits.
        let _ = self.changes.send(id.clone());
        result
    }
}

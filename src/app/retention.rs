//! Ending what was kept long enough, each kind after its own time, in bounded steps.

use std::sync::{Mutex, PoisonError};

use super::{App, Erasure};
use crate::clock::Timestamp;
use crate::domain::id::ErasureId;
use crate::error::Result;
use crate::store::personal_data::ErasedBy;
use crate::store::{Lane, discrepancies, idempotency, notifications, personal_data};

const STEP_LIMIT: i64 = 500;
const DAY_S: i64 = 86_400;

/// After how many days each kind ends; `None` keeps it.
#[derive(Debug, Clone, Default)]
pub struct RetentionSettings {
    /// Bodies of notifications of our payments, after they came.
    pub notification_bodies_days: Option<i64>,
    /// Bodies of notifications that belong to no payment, after they came: evidence of money that nobody booked. Reasons for
    /// closing discrepancies that belong to none, after that.
    pub unmatched_bodies_days: Option<i64>,
    /// Kept answers to repeats, after their payment was over. A repeat then gets the live payment.
    pub idempotency_answers_days: Option<i64>,
    /// Notifications whose signature did not hold.
    pub quarantine_days: Option<i64>,
    /// Records of who read personal data.
    pub access_records_days: Option<i64>,
    /// All of a payer, after the last payment was over.
    pub payer_data_days: Option<i64>,
}

/// Where the search for payers whose time is over goes on.
#[derive(Default)]
pub(super) struct Sweep(Mutex<String>);

impl App {
    /// Ends what is due of every kind, and removes what is left of erased payers. Returns how much it was.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn retention_step(&self) -> Result<usize> {
        let settings = self.parts.settings.retention.clone();
        let now = self.now();
        let before = move |days: Option<i64>| days.map(|days| now.plus_seconds(-days.saturating_mul(DAY_S)));
        let ended = self
            .parts
            .store
            .write(Lane::of("retention"), move |tx| {
                let mut ended = 0;
                if let Some(before) = before(settings.notification_bodies_days) {
                    ended += notifications::end_bodies(tx, false, before, STEP_LIMIT)?;
                }
                if let Some(before) = before(settings.unmatched_bodies_days) {
                    ended += notifications::end_bodies(tx, true, before, STEP_LIMIT)?;
                    ended += discrepancies::end_reasons(tx, before, STEP_LIMIT)?;
                }
                if let Some(before) = before(settings.idempotency_answers_days) {
                    ended += idempotency::end_answers(tx, before, STEP_LIMIT)?;
                }
                if let Some(before) = before(settings.quarantine_days) {
                    ended += notifications::empty_quarantine(tx, before)?;
                }
                if let Some(before) = before(settings.access_records_days) {
                    ended += personal_data::forget_access(tx, before, STEP_LIMIT, now)?;
                }
                Ok(ended)
            })
            .await?;
        let erased = match before(self.parts.settings.retention.payer_data_days) {
            Some(before) => self.erase_idle_payers(before, now).await?,
            None => 0,
        };
        let cleaned = self.clean_step().await?;
        // So that a search by account knows of keys that do not open; they are logged.
        self.closed_keys().await?;
        self.parts.metrics.worker("retention", ended + erased);
        Ok(ended + erased + cleaned)
    }

    async fn erase_idle_payers(&self, before: Timestamp, now: Timestamp) -> Result<usize> {
        let after = self.sweep.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = self.parts.store.read(move |tx| personal_data::idle_payers(tx, before, &after, STEP_LIMIT)).await?;
        // At the end of the list the next step begins anew.
        *self.sweep.0.lock().unwrap_or_else(PoisonError::into_inner) = found.last().cloned().unwrap_or_default();
        if found.is_empty() {
            return Ok(0);
        }
        let count = found.len();
        let id = ErasureId::generate(now, self.parts.ids.as_ref());
        self.parts
            .store
            .write(Lane::of("retention"), move |tx| {
                // Somebody may have paid since.
                let idle = personal_data::still_idle(tx, before, &found)?;
                let empty = Erasure { id: id.clone(), at: now, payers: 0, payments: 0, notifications: 0 };
                personal_data::erase(tx, &idle, ErasedBy::Retention, empty).map(drop)
            })
            .await?;
        Ok(count)
    }
}

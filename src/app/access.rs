//! Who may see a payment's payer, and the record of those who did.
//!
//! The key that created a payment sees what it sent, and so do the other keys of its line. A key with `personal_data:write` sees every payer, and each reading is
//! written down before the answer goes out: once for each key, payment and hour, so that a poll costs one write an hour.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::{Access, App, Caller, PaymentDetails};
use crate::clock::Timestamp;
use crate::domain::id::{AccessId, ApiKeyId, PaymentId};
use crate::domain::payment::{Payer, Payment};
use crate::domain::scope::Scope;
use crate::error::Result;
use crate::store::{Lane, personal_data};

const HOUR_MICROS: i64 = 3_600_000_000;
/// More readings than this are not remembered; the next ones are written down once more.
const REMEMBERED: usize = 10_000;

/// Readings of this hour that are written down.
#[derive(Default)]
pub(super) struct Readings(Mutex<(i64, HashSet<(ApiKeyId, PaymentId)>)>);

impl Readings {
    fn is_recorded(&self, now: Timestamp, key: &ApiKeyId, id: &PaymentId) -> bool {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.0 == now.micros() / HOUR_MICROS && readings.1.contains(&(key.clone(), id.clone()))
    }

    fn remember(&self, now: Timestamp, key: &ApiKeyId, ids: Vec<PaymentId>) {
        let hour = now.micros() / HOUR_MICROS;
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if readings.0 != hour || readings.1.len() >= REMEMBERED {
            *readings = (hour, HashSet::new());
        }
        readings.1.extend(ids.into_iter().map(|id| (key.clone(), id)));
    }
}

impl Caller {
    fn created(&self, payment: &Payment) -> bool {
        self.lineage == payment.created_by
    }
}

impl PaymentDetails {
    /// As the answer to an action of this caller shows it: the payer to the line of keys that created the payment alone.
    pub(super) fn answered_to(self, caller: &Caller) -> PaymentDetails {
        if caller.created(&self.payment) { self } else { self.without_payer() }
    }

    fn without_payer(mut self) -> PaymentDetails {
        self.payment.payer = Payer::default();
        self
    }
}

impl App {
    /// Payments as this caller may see them. Where that shows payers of payments that the caller's line did not create, it
    /// is recorded first.
    ///
    /// # Errors
    /// When the record cannot be written: then nothing is shown.
    pub async fn shown_to(&self, caller: &Caller, payments: Vec<PaymentDetails>) -> Result<Vec<PaymentDetails>> {
        if !caller.scopes.contains(&Scope::PersonalDataWrite) {
            return Ok(payments.into_iter().map(|details| details.answered_to(caller)).collect());
        }
        let now = self.now();
        let unrecorded: Vec<PaymentId> = payments
            .iter()
            .map(|details| &details.payment)
            .filter(|payment| !caller.created(payment) && payment.payer != Payer::default())
            .filter(|payment| !self.readings.is_recorded(now, &caller.key_id, &payment.id))
            .map(|payment| payment.id.clone())
            .collect();
        if !unrecorded.is_empty() {
            self.record_readings(caller, now, unrecorded).await?;
        }
        Ok(payments)
    }

    /// One payment as this caller may see it, see [`App::shown_to`].
    ///
    /// # Errors
    /// As there.
    pub async fn one_shown_to(&self, caller: &Caller, details: PaymentDetails) -> Result<PaymentDetails> {
        let shown = self.shown_to(caller, vec![details]).await?;
        shown.into_iter().next().ok_or_else(|| crate::error::Error::internal("a payment vanished on its way out"))
    }

    async fn record_readings(&self, caller: &Caller, now: Timestamp, ids: Vec<PaymentId>) -> Result<()> {
        let records: Vec<(AccessId, Access)> = ids
            .iter()
            .map(|id| (AccessId::generate(now, self.parts.ids.as_ref()), Access::Payment(id.clone())))
            .collect();
        let by = caller.clone();
        self.parts
            .store
            .write(Lane::of("access"), move |tx| {
                records.iter().try_for_each(|(id, access)| personal_data::record_access(tx, id, &by, access, now))
            })
            .await?;
        self.readings.remember(now, &caller.key_id, ids);
        Ok(())
    }
}

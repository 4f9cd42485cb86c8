//! Who may see what tells of a payer, and the record of those who did: the payer, the site's own words about the payment
//! (description, metadata, return address, reasons of refunds), the step of 3-D Secure that waits for the payer (whoever has its
//! link can end the payment), what operators wrote (reasons of approvals among it), and that an account has payments.
//!
//! The key that created a payment sees what it sent, and so do the other keys of its line. A key with `personal_data:write`
//! sees all of it, and each reading is written down before the answer goes out: once for each key, payment and hour, so that
//! a poll costs one write an hour. A search by account is written down for every key, in the same way.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::approvals::actor;
use super::{Access, App, ApprovalDetails, Caller, PaymentDetails, PaymentFilter, Transition};
use crate::clock::Timestamp;
use crate::domain::approval::Approval;
use crate::domain::id::{AccessId, ApiKeyId, PaymentId};
use crate::domain::payment::{NO_METADATA, Payer, Payment};
use crate::domain::refund::Refund;
use crate::domain::scope::Scope;
use crate::error::Result;
use crate::store::{Lane, payments, personal_data, transitions};
use crate::vault;

const HOUR_MICROS: i64 = 3_600_000_000;
/// More readings than this are not remembered; the next ones are written down once more.
const REMEMBERED: usize = 10_000;

/// What was read: a payment, or who has the account of this digest, which is kept in memory alone.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Read {
    Payment(PaymentId),
    Account([u8; 32]),
}

/// Readings of this hour that are written down.
#[derive(Default)]
pub(super) struct Readings(Mutex<(i64, HashSet<(ApiKeyId, Read)>)>);

impl Readings {
    fn is_recorded(&self, now: Timestamp, key: &ApiKeyId, what: &Read) -> bool {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.0 == now.micros() / HOUR_MICROS && readings.1.contains(&(key.clone(), what.clone()))
    }

    fn remember(&self, now: Timestamp, key: &ApiKeyId, read: impl IntoIterator<Item = Read>) {
        let hour = now.micros() / HOUR_MICROS;
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if readings.0 != hour || readings.1.len() >= REMEMBERED {
            *readings = (hour, HashSet::new());
        }
        readings.1.extend(read.into_iter().map(|what| (key.clone(), what)));
    }
}

impl Caller {
    fn created(&self, payment: &Payment) -> bool {
        self.lineage == payment.created_by
    }
}

/// Whether anything of it may tell of a person.
fn tells_of_payer(payment: &Payment) -> bool {
    let has_words = !payment.description.is_empty()
        || !["", NO_METADATA].contains(&payment.metadata.as_str())
        || payment.return_url.is_some();
    has_words || payment.three_ds.is_some() || payment.payer != Payer::default()
}

impl PaymentDetails {
    /// As the answer to an action of this caller shows it: the payer, the step of 3-D Secure and
    /// the site's words to the line of keys that created the payment alone.
    pub(super) fn answered_to(self, caller: &Caller) -> PaymentDetails {
        if caller.created(&self.payment) { self } else { self.without_payer() }
    }

    fn without_payer(mut self) -> PaymentDetails {
        self.payment.payer = Payer::default();
        self.payment.description = String::new();
        NO_METADATA.clone_into(&mut self.payment.metadata);
        self.payment.return_url = None;
        // Signed links, with which anybody can end the payment, and what the bank is told of the payer.
        self.payment.three_ds = None;
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
        let foreign = payments
            .iter()
            .map(|details| &details.payment)
            .filter(|payment| !caller.created(payment) && tells_of_payer(payment))
            .map(|payment| payment.id.clone())
            .collect();
        self.record_unrecorded(caller, foreign).await?;
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
        self.readings.remember(now, &caller.key_id, ids.into_iter().map(Read::Payment));
        Ok(())
    }

    /// Refunds of one payment as this caller may see them: reasons to the lines of keys that created the payment or asked
    /// for the refund, and, recorded first, to keys with `personal_data:write`.
    ///
    /// # Errors
    /// When the record cannot be written: then nothing is shown.
    pub async fn refunds_shown_to(&self, caller: &Caller, mut refunds: Vec<Refund>) -> Result<Vec<Refund>> {
        let is_foreign = |refund: &Refund| refund.reason.is_some() && refund.created_by != caller.lineage;
        let Some(id) = refunds.iter().find(|refund| is_foreign(refund)).map(|refund| refund.payment_id.clone()) else {
            return Ok(refunds);
        };
        let wanted = id.clone();
        let payment = self.parts.store.read(move |tx| payments::get(tx, &wanted)).await?;
        if caller.created(&payment) {
            return Ok(refunds);
        }
        if caller.scopes.contains(&Scope::PersonalDataWrite) {
            self.record_reading(caller, id).await?;
            return Ok(refunds);
        }
        for refund in refunds.iter_mut().filter(|refund| is_foreign(refund)) {
            refund.reason = None;
        }
        Ok(refunds)
    }

    /// Approvals as this caller may see them: reasons to who asked, to keys that could decide about them, to the line of keys
    /// that created the payment, and, recorded first, to keys with `personal_data:write`.
    ///
    /// # Errors
    /// When the record cannot be written: then nothing is shown.
    pub async fn approvals_shown_to(
        &self,
        caller: &Caller,
        mut approvals: Vec<ApprovalDetails>,
    ) -> Result<Vec<ApprovalDetails>> {
        let is_foreign = |approval: &Approval| {
            let is_told =
                approval.is_asked_by(&actor(caller)) || caller.scopes.contains(&approval.subject.kind().scope());
            approval.reason.is_some() && !is_told
        };
        let about: HashSet<PaymentId> = approvals
            .iter()
            .filter(|details| is_foreign(&details.approval))
            .map(|details| details.approval.payment_id.clone())
            .collect();
        if about.is_empty() {
            return Ok(approvals);
        }
        let foreign = self.not_created_by(caller, about).await?;
        if caller.scopes.contains(&Scope::PersonalDataWrite) {
            self.record_unrecorded(caller, foreign).await?;
            return Ok(approvals);
        }
        for details in &mut approvals {
            if is_foreign(&details.approval) && foreign.contains(&details.approval.payment_id) {
                details.approval.reason = None;
            }
        }
        Ok(approvals)
    }

    async fn not_created_by(&self, caller: &Caller, ids: HashSet<PaymentId>) -> Result<Vec<PaymentId>> {
        let caller = caller.clone();
        self.parts
            .store
            .read(move |tx| {
                let payments: Vec<Payment> = ids.iter().map(|id| payments::get(tx, id)).collect::<Result<_>>()?;
                Ok(payments.into_iter().filter(|payment| !caller.created(payment)).map(|payment| payment.id).collect())
            })
            .await
    }

    async fn record_reading(&self, caller: &Caller, id: PaymentId) -> Result<()> {
        self.record_unrecorded(caller, vec![id]).await
    }

    /// Records that this caller reads these payments, but for those that it has read within this hour.
    async fn record_unrecorded(&self, caller: &Caller, mut ids: Vec<PaymentId>) -> Result<()> {
        let now = self.now();
        ids.retain(|id| !self.readings.is_recorded(now, &caller.key_id, &Read::Payment(id.clone())));
        if ids.is_empty() { Ok(()) } else { self.record_readings(caller, now, ids).await }
    }

    /// A payment's history as this caller may see it: what operators wrote into it to operators, to the line of keys that
    /// created the payment, and, recorded first, to keys with `personal_data:write`.
    ///
    /// # Errors
    /// When the record cannot be written: then nothing is shown.
    pub(super) async fn history_shown_to(
        &self,
        caller: &Caller,
        payment: &Payment,
        mut rows: Vec<Transition>,
    ) -> Result<Vec<Transition>> {
        let is_told = caller.created(payment) || caller.scopes.contains(&Scope::OpsWrite);
        if is_told || !rows.iter().any(transitions::holds_words) {
            return Ok(rows);
        }
        if caller.scopes.contains(&Scope::PersonalDataWrite) {
            self.record_reading(caller, payment.id.clone()).await?;
            return Ok(rows);
        }
        rows.iter_mut().for_each(transitions::take_words_out);
        Ok(rows)
    }

    /// Records that this caller looks for payments of an account: what is found, and that nothing is, tells of a person.
    ///
    /// # Errors
    /// When the record cannot be written: then nothing is shown; [`crate::error::Error::KeyMissing`] while what is found would not be all.
    pub async fn record_search(&self, caller: &Caller, filter: &PaymentFilter) -> Result<()> {
        let Some(account_id) = filter.account_id.clone() else { return Ok(()) };
        self.refuse_known_closed()?;
        let (now, what) = (self.now(), Read::Account(vault::digest(&[account_id.as_bytes()])));
        if self.readings.is_recorded(now, &caller.key_id, &what) {
            return Ok(());
        }
        let (id, by) = (AccessId::generate(now, self.parts.ids.as_ref()), caller.clone());
        self.parts
            .store
            .write(Lane::of("access"), move |tx| {
                let payer = personal_data::keys_of_account(tx, &account_id)?.pop();
                personal_data::record_access(tx, &id, &by, &Access::Search { payer }, now)
            })
            .await?;
        self.readings.remember(now, &caller.key_id, [what]);
        Ok(())
    }
}

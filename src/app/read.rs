//! Reading: payments, their history, refunds, events, notifications.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use super::idempotent::{details, refund};
use super::{App, Caller, FeedEvent, Listing, NotificationRecord, Page, PaymentDetails, PaymentFilter, Transition};
use crate::domain::id::{EventId, NotificationId, PaymentId, RefundId};
use crate::domain::payment::Payment;
use crate::domain::refund::Refund;
use crate::domain::scope::Scope;
use crate::domain::state::{Certainty, Status};
use crate::error::Result;
use crate::store::{Tx, events, notifications, payments, refunds, transactions, transitions};

/// A change made by another process is noticed after at most this time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl App {
    /// One payment.
    ///
    /// # Errors
    /// [`crate::error::Error::NotFound`].
    pub async fn payment(&self, id: PaymentId) -> Result<PaymentDetails> {
        self.parts.store.read(move |tx| details(tx, &id)).await
    }

    /// Answers as soon as the status changes, at the latest after `seconds`; at once when nothing is awaited any more
    /// or the service stops.
    ///
    /// # Errors
    /// [`crate::error::Error::NotFound`].
    pub async fn payment_after_change(&self, id: PaymentId, seconds: u64) -> Result<PaymentDetails> {
        // Listen before the first look: a change between the two is not missed.
        let mut changes = self.changes.subscribe();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
        let first = self.payment(id.clone()).await?;
        if is_settled(&first.payment) {
            return Ok(first);
        }
        while tokio::time::Instant::now() < deadline && !self.stopping.load(Ordering::Relaxed) {
            let pause = LOOK_AGAIN.min(deadline - tokio::time::Instant::now());
            let told = tokio::time::timeout(pause, async {
                loop {
                    match changes.recv().await {
                        Ok(changed) if changed != id => {}
                        Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => break,
                    }
                }
            });
            // Told or not, the database has the last word.
            let _ = told.await;
            let now = self.payment(id.clone()).await?;
            if now.payment.status != first.payment.status || now.payment.certainty != first.payment.certainty {
                return Ok(now);
            }
        }
        Ok(first)
    }

    /// Payments that fit the filter, newest first.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn list_payments(&self, filter: PaymentFilter, page: Page<PaymentId>) -> Result<Listing<PaymentDetails>> {
        self.parts
            .store
            .read(move |tx| {
                let found = payments::list(tx, &filter, &Page { before: page.before.clone(), limit: page.limit + 1 })?;
                let mut listing = cut(found, page.limit);
                let items =
                    listing.items.drain(..).map(|payment| with_transactions(tx, payment)).collect::<Result<_>>()?;
                Ok(Listing { items, more: listing.more })
            })
            .await
    }

    /// A stretch of a payment's history, oldest first, after row `after`, as this caller may see it.
    ///
    /// # Errors
    /// [`crate::error::Error::NotFound`].
    pub async fn list_transitions(
        &self,
        caller: &Caller,
        id: PaymentId,
        after: i64,
        limit: i64,
    ) -> Result<Listing<Transition>> {
        let (payment, listing) = self
            .parts
            .store
            .read(move |tx| Ok((payments::get(tx, &id)?, cut(transitions::list(tx, &id, after, limit + 1)?, limit))))
            .await?;
        let items = self.history_shown_to(caller, &payment, listing.items).await?;
        Ok(Listing { items, more: listing.more })
    }

    /// A stretch of a payment's refunds, newest first.
    ///
    /// # Errors
    /// [`crate::error::Error::NotFound`].
    pub async fn list_refunds(&self, id: PaymentId, page: Page<RefundId>) -> Result<Listing<Refund>> {
        self.parts
            .store
            .read(move |tx| {
                payments::get(tx, &id)?;
                Ok(cut(
                    refunds::list(tx, &id, &Page { before: page.before.clone(), limit: page.limit + 1 })?,
                    page.limit,
                ))
            })
            .await
    }

    /// One refund.
    ///
    /// # Errors
    /// [`crate::error::Error::NotFound`].
    pub async fn refund(&self, id: RefundId) -> Result<Refund> {
        self.parts.store.read(move |tx| refund(tx, &id)).await
    }

    /// A stretch of the event feed, oldest first; what was done to keys and discrepancies for operators alone.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn list_events(&self, caller: &Caller, after: Option<EventId>, limit: i64) -> Result<Listing<FeedEvent>> {
        let with_acts = caller.scopes.contains(&Scope::OpsWrite);
        self.parts
            .store
            .read(move |tx| {
                let found = match with_acts {
                    true => events::list_with_acts(tx, after.as_ref(), limit + 1)?,
                    false => events::list(tx, after.as_ref(), limit + 1)?.into_iter().map(FeedEvent::from).collect(),
                };
                Ok(cut(found, limit))
            })
            .await
    }

    /// A stretch of the received notifications, newest first.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn list_notifications(&self, page: Page<NotificationId>) -> Result<Listing<NotificationRecord>> {
        self.parts
            .store
            .read(move |tx| {
                Ok(cut(
                    notifications::list(tx, &Page { before: page.before.clone(), limit: page.limit + 1 })?,
                    page.limit,
                ))
            })
            .await
    }
}

pub(super) fn with_transactions(tx: &mut Tx<'_>, payment: Payment) -> Result<PaymentDetails> {
    let transactions = super::record::shown(transactions::of_payment(tx, &payment.id)?);
    Ok(PaymentDetails { payment, transactions })
}

/// Nothing about it is awaited: whoever asks after a 202 may find that the outcome came before the question.
fn is_settled(payment: &Payment) -> bool {
    payment.certainty == Certainty::Proven
        && !Status::UNFINISHED.contains(&payment.status)
        && payment.sums.refund_pending == 0
}

/// Lists are read with one entry more than asked for, which tells whether more follows.
pub(super) fn cut<T>(mut items: Vec<T>, limit: i64) -> Listing<T> {
    let limit = usize::try_from(limit).unwrap_or(0);
    let more = items.len() > limit;
    items.truncate(limit);
    Listing { items, more }
}

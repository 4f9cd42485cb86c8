//! How many requests run at the provider at once (contract section 2: 5 for a test terminal, 30 for a live one), and who
//! waits for how long.
//!
//! Payers and background work wait apart. Background work holds or awaits at most a quarter of the permits at any time,
//! so a payer waits for other payers and for a bounded number of lookups, however many lookups are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Somebody waits for it: charge, 3-D Secure, capture, void, refund.
    Payer,
    /// Nobody does: get, find, list, test.
    Background,
}

/// The bounds.
#[derive(Debug, Clone)]
pub struct Limiter {
    requests: Arc<Semaphore>,
    background: Arc<Semaphore>,
    payers_waiting: Arc<AtomicUsize>,
    background_waiting: Arc<AtomicUsize>,
    max_waiting: usize,
    patience: Duration,
}

/// The right to run one request; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _request: OwnedSemaphorePermit,
    _background: Option<OwnedSemaphorePermit>,
}

/// One who waits; counted out when dropped, also when the caller gives up.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn join(counter: &Arc<AtomicUsize>, most: usize) -> Option<Waiting> {
        let joined = counter
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| (waiting < most).then_some(waiting + 1));
        joined.is_ok().then(|| Waiting(Arc::clone(counter)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Limiter {
    /// `max_requests` at once, at most `max_waiting` of each class waiting, each for at most `patience`.
    pub fn new(max_requests: usize, max_waiting: usize, patience: Duration) -> Limiter {
        let permits = max_requests.clamp(1, Semaphore::MAX_PERMITS);
        Limiter {
            requests: Arc::new(Semaphore::new(permits)),
            background: Arc::new(Semaphore::new((permits / 4).max(1))),
            payers_waiting: Arc::default(),
            background_waiting: Arc::default(),
            max_waiting,
            patience,
        }
    }

    /// Waits for the right to run one request; `None` when too many wait already or it takes too long.
    pub async fn enter(&self, class: Class) -> Option<Permit> {
        if let Some(permit) = self.enter_at_once(class) {
            return Some(permit);
        }
        let counter = match class {
            Class::Payer => &self.payers_waiting,
            Class::Background => &self.background_waiting,
        };
        let _waiting = Waiting::join(counter, self.max_waiting)?;
        timeout(self.patience, self.wait(class)).await.ok().flatten()
    }

    fn enter_at_once(&self, class: Class) -> Option<Permit> {
        let _background = match class {
            Class::Payer => None,
            Class::Background => Some(Arc::clone(&self.background).try_acquire_owned().ok()?),
        };
        let _request = Arc::clone(&self.requests).try_acquire_owned().ok()?;
        Some(Permit { _request, _background })
    }

    async fn wait(&self, class: Class) -> Option<Permit> {
        let _background = match class {
            Class::Payer => None,
            Class::Background => Some(Arc::clone(&self.background).acquire_owned().await.ok()?),
        };
        let _request = Arc::clone(&self.requests).acquire_owned().await.ok()?;
        Some(Permit { _request, _background })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn background_takes_a_quarter_and_payers_the_rest() {
        let limiter = Limiter::new(8, 10, SHORT);
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(limiter.enter(Class::Background).await.unwrap());
        }
        assert!(limiter.enter(Class::Background).await.is_none());
        for _ in 0..6 {
            held.push(limiter.enter(Class::Payer).await.unwrap());
        }
        assert!(limiter.enter(Class::Payer).await.is_none());
        held.clear();
        assert!(limiter.enter(Class::Payer).await.is_some());
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_background_does_not_fill_it() {
        let limiter = Limiter::new(1, 1, LONG);
        let held = limiter.enter(Class::Payer).await.unwrap();
        let background = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.enter(Class::Background).await.is_some() }
        });
        let payer = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.enter(Class::Payer).await.is_some() }
        });
        while limiter.payers_waiting.load(Ordering::Acquire) + limiter.background_waiting.load(Ordering::Acquire) < 2 {
            tokio::task::yield_now().await;
        }
        assert!(limiter.enter(Class::Payer).await.is_none(), "the second waiting payer is turned away at once");
        drop(held);
        assert!(payer.await.unwrap() && background.await.unwrap());
        assert_eq!(limiter.payers_waiting.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_no_trace() {
        let limiter = Limiter::new(1, 1, LONG);
        let held = limiter.enter(Class::Payer).await.unwrap();
        assert!(timeout(SHORT, limiter.enter(Class::Payer)).await.is_err());
        assert_eq!(limiter.payers_waiting.load(Ordering::Acquire), 0);
        drop(held);
        assert!(limiter.enter(Class::Payer).await.is_some());
    }
}

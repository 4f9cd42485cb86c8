//! How many requests run at the provider at once (contract section 2: 5 for a test terminal, 30 for a live one), and who
//! waits for how long.
//!
//! Payers and background work wait apart. Background work holds or awaits at most a quarter of the permits at any time,
//! so a payer waits for other payers and for a bounded number of lookups, however many lookups are due.
//!
//! A permit is the provider's count of the request, not ours: when we give up waiting, the provider may still work on
//! it, so the permit is kept until the provider's own time limit is over. After a 429 the provider counts more than we
//! know of: the permit rests for a while, so that fewer requests run at once, and background work pauses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::clock::{Clock, Timestamp};

use super::breaker::later;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Somebody waits for it: charge, 3-D Secure, capture, void, refund.
    Payer,
    /// Nobody does: get, find, list, test.
    Background,
}

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub struct LimiterSettings {
    /// Requests at once.
    pub max_requests: usize,
    /// At most so many of each class wait.
    pub max_waiting: usize,
    /// Each for at most so long.
    pub patience: Duration,
    /// So long after it was sent, a request that we gave up waiting for is over at the provider, too.
    pub abandoned_after: Duration,
    /// How long a permit rests, and background work pauses, after a 429.
    pub backoff: Duration,
}

/// Permits that nobody uses but that the provider may still count.
#[derive(Default)]
struct Resting {
    permits: Vec<(Timestamp, Permits)>,
    after_429: usize,
    background_paused_until: Option<Timestamp>,
}

/// Hands out permits.
#[derive(Clone)]
pub struct Limiter {
    settings: LimiterSettings,
    clock: Arc<dyn Clock>,
    requests: Arc<Semaphore>,
    background: Arc<Semaphore>,
    payers_waiting: Arc<AtomicUsize>,
    background_waiting: Arc<AtomicUsize>,
    resting: Arc<Mutex<Resting>>,
}

struct Permits {
    _request: OwnedSemaphorePermit,
    _background: Option<OwnedSemaphorePermit>,
    after_429: bool,
}

/// The right to run one request; given back when dropped, or later where the provider may still count it.
pub struct Permit {
    limiter: Limiter,
    permits: Option<Permits>,
    /// Set while a request is out and nothing came back.
    sent_at: Option<Timestamp>,
}

impl Permit {
    /// The request goes out now.
    pub fn sent(&mut self) {
        self.sent_at = Some(self.limiter.clock.now());
    }

    /// The request is over at the provider.
    pub fn over(&mut self) {
        self.sent_at = None;
    }

    /// The provider counts more requests than we do (HTTP 429): this permit rests. One always stays in use.
    pub fn rest(&mut self) {
        self.sent_at = None;
        self.limiter.rest(&mut self.permits);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let (Some(sent_at), Some(permits)) = (self.sent_at, self.permits.take()) {
            let settings = self.limiter.settings;
            self.limiter.keep(permits, later(sent_at, settings.abandoned_after), settings.abandoned_after);
        }
    }
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
    /// Nobody runs or waits yet.
    pub fn new(settings: LimiterSettings, clock: Arc<dyn Clock>) -> Limiter {
        let permits = settings.max_requests.clamp(1, Semaphore::MAX_PERMITS);
        Limiter {
            settings: LimiterSettings { max_requests: permits, ..settings },
            clock,
            requests: Arc::new(Semaphore::new(permits)),
            background: Arc::new(Semaphore::new((permits / 4).max(1))),
            payers_waiting: Arc::default(),
            background_waiting: Arc::default(),
            resting: Arc::default(),
        }
    }

    /// Waits for the right to run one request; `None` when too many wait already, it takes too long, or background work
    /// pauses.
    pub async fn enter(&self, class: Class) -> Option<Permit> {
        self.wake_rested();
        if class == Class::Background && self.background_pauses() {
            return None;
        }
        if let Some(permit) = self.enter_at_once(class) {
            return Some(permit);
        }
        let counter = match class {
            Class::Payer => &self.payers_waiting,
            Class::Background => &self.background_waiting,
        };
        let _waiting = Waiting::join(counter, self.settings.max_waiting)?;
        timeout(self.settings.patience, self.wait(class)).await.ok().flatten()
    }

    /// For the one question whether a silent provider is back: where every permit is in use or resting, it takes the
    /// place of a request that we gave up.
    pub fn enter_for_question(&self) -> Option<Permit> {
        self.wake_rested();
        if let Some(permit) = self.enter_at_once(Class::Payer) {
            return Some(permit);
        }
        let mut resting = self.resting();
        let oldest = resting.permits.iter().position(|(_, permits)| !permits.after_429)?;
        let (_, permits) = resting.permits.remove(oldest);
        drop(resting);
        Some(self.permit(permits))
    }

    /// The provider works again: what we gave up before is over. Should it still count it, it says so (429).
    pub fn forget_abandoned(&self) {
        let mut resting = self.resting();
        let kept = std::mem::take(&mut resting.permits);
        let (kept, over) = kept.into_iter().partition(|(_, permits)| permits.after_429);
        resting.permits = kept;
        drop(resting);
        drop::<Vec<_>>(over);
    }

    fn enter_at_once(&self, class: Class) -> Option<Permit> {
        let _background = match class {
            Class::Payer => None,
            Class::Background => Some(Arc::clone(&self.background).try_acquire_owned().ok()?),
        };
        let _request = Arc::clone(&self.requests).try_acquire_owned().ok()?;
        Some(self.permit(Permits { _request, _background, after_429: false }))
    }

    async fn wait(&self, class: Class) -> Option<Permit> {
        let _background = match class {
            Class::Payer => None,
            Class::Background => Some(Arc::clone(&self.background).acquire_owned().await.ok()?),
        };
        let _request = Arc::clone(&self.requests).acquire_owned().await.ok()?;
        Some(self.permit(Permits { _request, _background, after_429: false }))
    }

    fn permit(&self, permits: Permits) -> Permit {
        Permit { limiter: self.clone(), permits: Some(permits), sent_at: None }
    }

    fn resting(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn background_pauses(&self) -> bool {
        let now = self.clock.now();
        let until = self.resting().background_paused_until;
        // A pause that ends later than any pause can is a clock that was set back.
        until.is_some_and(|until| now < until && until <= later(now, self.settings.backoff))
    }

    fn rest(&self, permits: &mut Option<Permits>) {
        let until = later(self.clock.now(), self.settings.backoff);
        let mut resting = self.resting();
        resting.background_paused_until = Some(until);
        if resting.after_429 + 1 >= self.settings.max_requests {
            return;
        }
        resting.after_429 += 1;
        drop(resting);
        if let Some(permits) = permits.take() {
            self.keep(Permits { after_429: true, ..permits }, until, self.settings.backoff);
        }
    }

    /// Keeps permits until a moment, `pause` from now at the latest.
    fn keep(&self, permits: Permits, until: Timestamp, pause: Duration) {
        self.resting().permits.push((until, permits));
        // Whoever enters looks for rested permits; those who wait already are woken by this.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let limiter = self.clone();
            runtime.spawn(async move {
                tokio::time::sleep(pause).await;
                limiter.wake_rested();
            });
        }
    }

    /// Gives back what has rested long enough.
    fn wake_rested(&self) {
        let now = self.clock.now();
        let longest = later(now, self.settings.abandoned_after.max(self.settings.backoff));
        let mut resting = self.resting();
        if resting.permits.is_empty() {
            return;
        }
        let all = std::mem::take(&mut resting.permits);
        let (rested, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(until, _)| *until <= now || *until > longest);
        resting.after_429 -= rested.iter().filter(|(_, permits)| permits.after_429).count();
        resting.permits = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::clock::ShiftedClock;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(30);

    fn limiter(max_requests: usize, max_waiting: usize, patience: Duration) -> (Limiter, Arc<ShiftedClock>) {
        let clock = Arc::new(ShiftedClock::default());
        let settings = LimiterSettings {
            max_requests,
            max_waiting,
            patience,
            abandoned_after: Duration::from_secs(300),
            backoff: Duration::from_secs(10),
        };
        (Limiter::new(settings, clock.clone()), clock)
    }

    #[tokio::test]
    async fn background_takes_a_quarter_and_payers_the_rest() {
        let (limiter, _) = limiter(8, 10, SHORT);
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
        let (limiter, _) = limiter(1, 1, LONG);
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
        let (limiter, _) = limiter(1, 1, LONG);
        let held = limiter.enter(Class::Payer).await.unwrap();
        assert!(timeout(SHORT, limiter.enter(Class::Payer)).await.is_err());
        assert_eq!(limiter.payers_waiting.load(Ordering::Acquire), 0);
        drop(held);
        assert!(limiter.enter(Class::Payer).await.is_some());
    }

    #[tokio::test]
    async fn what_was_given_up_counts_until_the_provider_is_done_with_it() {
        let (limiter, clock) = limiter(1, 1, SHORT);
        let mut permit = limiter.enter(Class::Payer).await.unwrap();
        permit.sent();
        drop(permit);
        clock.advance_seconds(299);
        assert!(limiter.enter(Class::Payer).await.is_none(), "the provider still works on it");
        clock.advance_seconds(1);
        let mut permit = limiter.enter(Class::Payer).await.unwrap();
        permit.sent();
        permit.over();
        drop(permit);
        assert!(limiter.enter(Class::Payer).await.is_some(), "an answer frees the place at once");
    }

    #[tokio::test]
    async fn the_question_takes_the_place_of_a_request_that_was_given_up() {
        let (limiter, _) = limiter(2, 1, SHORT);
        let held = limiter.enter(Class::Payer).await.unwrap();
        let mut given_up = limiter.enter(Class::Payer).await.unwrap();
        assert!(limiter.enter_for_question().is_none(), "both are in use");
        given_up.sent();
        drop(given_up);
        let question = limiter.enter_for_question().unwrap();
        assert!(limiter.enter_for_question().is_none() && limiter.enter(Class::Payer).await.is_none());
        drop((question, held));
        let mut all = [limiter.enter(Class::Payer).await.unwrap(), limiter.enter(Class::Payer).await.unwrap()];
        all.iter_mut().for_each(Permit::sent);
        drop(all);
        limiter.forget_abandoned();
        assert!(limiter.enter(Class::Payer).await.is_some());
    }

    #[tokio::test]
    async fn after_a_429_fewer_run_and_background_pauses() {
        let (limiter, clock) = limiter(3, 1, SHORT);
        for _ in 0..5 {
            // However often the provider says so, one place stays in use.
            limiter.enter(Class::Payer).await.unwrap().rest();
        }
        let held = limiter.enter(Class::Payer).await.unwrap();
        assert!(limiter.enter(Class::Payer).await.is_none());
        drop(held);
        assert!(limiter.enter(Class::Background).await.is_none(), "background work pauses");
        clock.advance_seconds(11);
        assert!(limiter.enter(Class::Background).await.is_some());
        let held =
            (limiter.enter(Class::Payer).await, limiter.enter(Class::Payer).await, limiter.enter(Class::Payer).await);
        assert!(held.0.is_some() && held.1.is_some() && held.2.is_some());
    }
}

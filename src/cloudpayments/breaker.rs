//! Stops asking a provider that is dead or does not take our credentials, and notices when it is back.
//!
//! The breaker opens after so many failures in a row (no connection, no answer, 5xx) or at the first 401. While it is
//! open every call is answered at once with "nothing was sent", and one harmless question at a time (`/test`, never a
//! payer's money) finds out whether the provider works again. It only decides about calls that were not sent yet: what
//! a call that was sent came to is never changed by it, so an unknown outcome stays unknown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::metrics::Metrics;

use super::outcome::{NotSent, Outcome};

/// Why the breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No connection, no answer or 5xx, several times in a row.
    Unreachable,
    /// HTTP 401: the Public ID or the API Secret are wrong.
    Credentials,
}

impl Trouble {
    /// Every trouble.
    pub const ALL: [Trouble; 2] = [Trouble::Unreachable, Trouble::Credentials];

    /// The name in metrics and in the answer of `/health/ready`.
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::Unreachable => "unreachable",
            Trouble::Credentials => "credentials_refused",
        }
    }
}

/// What the outcome of a call says about the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answered.
    Alive,
    /// It did not.
    Dead,
    /// It does not know us.
    Stranger,
    /// Nothing.
    Nothing,
}

impl Sign {
    /// `status` is 0 where no answer came.
    pub(super) fn of<T>(status: u16, outcome: &Outcome<T>) -> Sign {
        match outcome {
            Outcome::Answered(_) | Outcome::Refused { .. } => Sign::Alive,
            Outcome::NotSent { reason: NotSent::TooManyRequests } => Sign::Alive,
            Outcome::NotSent { reason: NotSent::Unreachable(_) } => Sign::Dead,
            Outcome::NotSent { reason: NotSent::Credentials } => Sign::Stranger,
            Outcome::NotSent { reason: NotSent::Overloaded | NotSent::TooLate | NotSent::Suspended { .. } } => {
                Sign::Nothing
            }
            Outcome::Unknown { .. } if status == 0 || status >= 500 => Sign::Dead,
            Outcome::Unknown { .. } => Sign::Nothing,
        }
    }
}

/// When to open and how often to ask.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u32,
    /// Pause between two questions while it is open.
    pub pause: Duration,
}

enum State {
    Closed { failures: u32 },
    Open { trouble: Trouble, opened_at: Timestamp, ask_at: Timestamp, asking: bool },
}

/// The breaker of one provider.
pub(super) struct Breaker {
    settings: BreakerSettings,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

/// The right to ask whether the provider is back; given back when dropped.
pub(super) struct Question<'a>(&'a Breaker);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if let State::Open { asking, .. } = &mut *self.0.lock() {
            *asking = false;
        }
    }
}

impl Breaker {
    /// A closed one.
    pub(super) fn new(settings: BreakerSettings, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Breaker {
        for trouble in Trouble::ALL {
            metrics.provider_circuit(trouble.as_str(), false);
        }
        Breaker { settings, clock, metrics, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong, while it is open.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        match *self.lock() {
            State::Closed { .. } => None,
            State::Open { trouble, .. } => Some(trouble),
        }
    }

    /// Whether a call may be sent.
    ///
    /// # Errors
    /// Why it is not, and when to try again.
    pub(super) fn admit(&self) -> Result<(), NotSent> {
        match *self.lock() {
            State::Closed { .. } => Ok(()),
            State::Open { trouble, ask_at, .. } => {
                let wait_micros = ask_at.micros().saturating_sub(self.clock.now().micros());
                let retry_after_s = u64::try_from(wait_micros / 1_000_000).unwrap_or(0).saturating_add(1);
                let longest = self.settings.pause.as_secs().saturating_add(1);
                Err(NotSent::Suspended { trouble, retry_after_s: retry_after_s.min(longest) })
            }
        }
    }

    /// Whether somebody should ask now.
    pub(super) fn is_question_due(&self) -> bool {
        is_due(&self.lock(), self.clock.now())
    }

    /// The next question, when it is due and nobody asks.
    pub(super) fn question(&self) -> Option<Question<'_>> {
        let mut state = self.lock();
        if !is_due(&state, self.clock.now()) {
            return None;
        }
        if let State::Open { asking, .. } = &mut *state {
            *asking = true;
        }
        Some(Question(self))
    }

    /// Takes note of what a call came to.
    pub(super) fn observe(&self, sign: Sign) {
        let mut state = self.lock();
        match (&mut *state, sign) {
            (_, Sign::Nothing) => {}
            (State::Closed { failures }, Sign::Alive) => *failures = 0,
            (State::Closed { failures }, Sign::Dead) => {
                *failures = failures.saturating_add(1);
                if *failures >= self.settings.failures {
                    self.open(&mut state, Trouble::Unreachable, self.settings.pause);
                }
            }
            // The first question comes at once: one 401 may be a slip of the provider's.
            (State::Closed { .. }, Sign::Stranger) => self.open(&mut state, Trouble::Credentials, Duration::ZERO),
            (State::Open { .. }, Sign::Alive) => {
                *state = State::Closed { failures: 0 };
                Trouble::ALL.iter().for_each(|trouble| self.metrics.provider_circuit(trouble.as_str(), false));
                tracing::info!("CloudPayments works again; money operations are sent again");
            }
            // Calls that were under way when it opened tell nothing new.
            (State::Open { .. }, Sign::Dead | Sign::Stranger) => {}
        }
    }

    /// Takes note of what a question came to. Only a clear answer closes the breaker.
    pub(super) fn observe_answer(&self, sign: Sign) {
        let mut state = self.lock();
        match (&mut *state, sign) {
            (State::Closed { .. }, _) => {}
            (State::Open { .. }, Sign::Alive) => {
                drop(state);
                self.observe(Sign::Alive);
            }
            (State::Open { trouble, .. }, Sign::Stranger) if *trouble == Trouble::Unreachable => {
                self.metrics.provider_circuit(Trouble::Unreachable.as_str(), false);
                self.open(&mut state, Trouble::Credentials, self.settings.pause);
            }
            (State::Open { ask_at, .. }, Sign::Dead | Sign::Stranger | Sign::Nothing) => {
                *ask_at = later(self.clock.now(), self.settings.pause);
            }
        }
    }

    fn open(&self, state: &mut State, trouble: Trouble, first_pause: Duration) {
        let now = self.clock.now();
        let asking = matches!(state, State::Open { asking: true, .. });
        *state = State::Open { trouble, opened_at: now, ask_at: later(now, first_pause), asking };
        self.metrics.provider_circuit(trouble.as_str(), true);
        match trouble {
            Trouble::Unreachable => tracing::error!(
                failures = self.settings.failures,
                "CloudPayments does not answer; money operations are refused until it does"
            ),
            Trouble::Credentials => tracing::error!(
                "CloudPayments does not take our credentials (HTTP 401); money operations are refused until it does; \
                 check cloudpayments.public_id and cloudpayments.api_secret"
            ),
        }
    }
}

/// A clock that was set back must not keep the breaker open.
fn is_due(state: &State, now: Timestamp) -> bool {
    match state {
        State::Open { opened_at, ask_at, asking, .. } => !asking && (now >= *ask_at || now < *opened_at),
        State::Closed { .. } => false,
    }
}

/// The moment moved by a duration.
pub(super) fn later(at: Timestamp, pause: Duration) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ShiftedClock;

    fn breaker() -> (Breaker, Arc<ShiftedClock>) {
        let clock = Arc::new(ShiftedClock::default());
        let settings = BreakerSettings { failures: 3, pause: Duration::from_secs(60) };
        (Breaker::new(settings, clock.clone(), Arc::new(Metrics::new().unwrap())), clock)
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let (breaker, _) = breaker();
        for _ in 0..2 {
            breaker.observe(Sign::Dead);
            breaker.observe(Sign::Dead);
            breaker.observe(Sign::Nothing);
            assert!(breaker.admit().is_ok());
            breaker.observe(Sign::Alive);
        }
        (0..3).for_each(|_| breaker.observe(Sign::Dead));
        assert!(matches!(
            breaker.admit(),
            Err(NotSent::Suspended { trouble: Trouble::Unreachable, retry_after_s: 1..=61 })
        ));
        assert!(breaker.question().is_none(), "not due yet");
    }

    #[test]
    fn one_asks_at_a_time_and_only_a_clear_answer_closes() {
        let (breaker, clock) = breaker();
        (0..3).for_each(|_| breaker.observe(Sign::Dead));
        for sign in [Sign::Dead, Sign::Nothing] {
            clock.advance_seconds(60);
            let question = breaker.question().unwrap();
            assert!(breaker.question().is_none(), "two at once");
            breaker.observe_answer(sign);
            drop(question);
            assert!(breaker.admit().is_err() && breaker.question().is_none(), "the next one comes after the pause");
        }
        clock.advance_seconds(60);
        drop(breaker.question().unwrap());
        let question = breaker.question().expect("a question that was given up is asked again");
        breaker.observe_answer(Sign::Alive);
        drop(question);
        assert!(breaker.admit().is_ok() && breaker.trouble().is_none());
    }

    #[test]
    fn refused_credentials_open_at_once_and_are_asked_about_at_once() {
        let (breaker, _) = breaker();
        breaker.observe(Sign::Stranger);
        assert_eq!(breaker.trouble(), Some(Trouble::Credentials));
        assert!(breaker.question().is_some());
        breaker.observe(Sign::Dead);
        assert_eq!(breaker.trouble(), Some(Trouble::Credentials));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_it_open() {
        let (breaker, clock) = breaker();
        (0..3).for_each(|_| breaker.observe(Sign::Dead));
        clock.advance_seconds(-3600);
        assert!(breaker.question().is_some());
        assert!(matches!(breaker.admit(), Err(NotSent::Suspended { retry_after_s: 61, .. })));
    }
}

//! How often one API key may ask.

use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::domain::id::ApiKeyId;
use crate::error::{Error, Result};

/// One allowance per key. Only keys that were verified get here, so it holds as many entries as there are keys.
pub(super) struct Limits {
    limiter: Option<DefaultKeyedRateLimiter<ApiKeyId>>,
    clock: DefaultClock,
}

impl Limits {
    /// `per_second` requests, `burst` at once; `per_second` 0 switches the limit off.
    pub(super) fn new(per_second: u32, burst: u32) -> Limits {
        let quota = NonZeroU32::new(per_second)
            .map(|rate| Quota::per_second(rate).allow_burst(NonZeroU32::new(burst).unwrap_or(rate)));
        Limits { limiter: quota.map(RateLimiter::keyed), clock: DefaultClock::default() }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the allowance of the key is used up.
    pub(super) fn count(&self, key: &ApiKeyId) -> Result<()> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            Error::RateLimited { retry_after_s: wait.as_secs() + 1 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_allowance() {
        let limits = Limits::new(1, 2);
        let (one, other) = (ApiKeyId::from_stored("key_1".to_owned()), ApiKeyId::from_stored("key_2".to_owned()));
        assert!(limits.count(&one).is_ok() && limits.count(&one).is_ok());
        assert!(matches!(limits.count(&one), Err(Error::RateLimited { retry_after_s: 1..=2 })));
        assert!(limits.count(&other).is_ok());
        assert!((0..100).all(|_| Limits::new(0, 0).count(&one).is_ok()));
    }
}

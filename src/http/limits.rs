//! How often, and how much at once, one caller may ask; and how often an address may try without a valid key.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::server::HttpSettings;
use crate::domain::id::ApiKeyId;
use crate::error::{Error, Limit, Result};

/// Addresses are spread over so many allowances, so that no number of them takes more memory. Which addresses share one is
/// drawn anew at each start.
const ALLOWANCES: u64 = 65_536;
/// When a caller with too many requests under way should ask again, seconds.
const SLOT_PAUSE_S: u64 = 1;

/// All limits of callers.
pub(super) struct Limits {
    /// One allowance per key. Only keys that were verified get here, so there are as many as keys.
    rate: Option<DefaultKeyedRateLimiter<ApiKeyId>>,
    attempts: Option<DefaultKeyedRateLimiter<u64>>,
    addresses: RandomState,
    slots: Arc<Slots>,
    clock: DefaultClock,
}

impl Limits {
    /// A limit of 0 is switched off.
    pub(super) fn new(settings: &HttpSettings) -> Limits {
        let rate = NonZeroU32::new(settings.rate_per_second)
            .map(|rate| Quota::per_second(rate).allow_burst(NonZeroU32::new(settings.rate_burst).unwrap_or(rate)));
        let attempts = NonZeroU32::new(settings.failed_authentications_per_minute).map(Quota::per_minute);
        Limits {
            rate: rate.map(RateLimiter::keyed),
            attempts: attempts.map(RateLimiter::keyed),
            addresses: RandomState::new(),
            slots: Arc::new(Slots { most: settings.max_concurrent_requests, taken: Mutex::default() }),
            clock: DefaultClock::default(),
        }
    }

    /// Counts one request of a key.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the allowance of the key is used up.
    pub(super) fn count(&self, key: &ApiKeyId) -> Result<()> {
        self.check(self.rate.as_ref(), key, Limit::Rate)
    }

    /// Counts one attempt of an address with a key that is not known to be valid, before anything is looked up.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the allowance of the address is used up.
    pub(super) fn attempt(&self, address: IpAddr) -> Result<()> {
        let allowance = self.addresses.hash_one(network_of(address)) % ALLOWANCES;
        self.check(self.attempts.as_ref(), &allowance, Limit::FailedAuthentication)
    }

    /// Takes a place for a request of a key, which is free again when it is dropped.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the key has as many requests under way as it may have.
    pub(super) fn enter(&self, key: &ApiKeyId) -> Result<Slot> {
        match self.slots.take(key) {
            true => Ok(Slot { slots: Arc::clone(&self.slots), key: key.clone() }),
            false => Err(Error::RateLimited { limit: Limit::Concurrency, retry_after_s: SLOT_PAUSE_S }),
        }
    }

    fn check<K: std::hash::Hash + Eq + Clone>(
        &self,
        limiter: Option<&DefaultKeyedRateLimiter<K>>,
        key: &K,
        limit: Limit,
    ) -> Result<()> {
        let Some(limiter) = limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            Error::RateLimited { limit, retry_after_s: wait.as_secs() + 1 }
        })
    }
}

/// Whoever has one IPv6 address has the whole /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Requests under way, by key; a key without one is not in it.
struct Slots {
    most: usize,
    taken: Mutex<HashMap<ApiKeyId, usize>>,
}

impl Slots {
    fn take(&self, key: &ApiKeyId) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(key.clone()).or_default();
        if self.most > 0 && *count >= self.most {
            return false;
        }
        *count += 1;
        true
    }

    fn give_back(&self, key: &ApiKeyId) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(key)),
        }
    }
}

/// The place of one request among those of its key.
pub(super) struct Slot {
    slots: Arc<Slots>,
    key: ApiKeyId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.give_back(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> ApiKeyId {
        ApiKeyId::from_stored(id.to_owned())
    }

    #[test]
    fn each_key_has_its_own_allowance() {
        let settings = HttpSettings { rate_per_second: 1, rate_burst: 2, ..HttpSettings::default() };
        let limits = Limits::new(&settings);
        let (one, other) = (key("key_1"), key("key_2"));
        assert!(limits.count(&one).is_ok() && limits.count(&one).is_ok());
        assert!(matches!(limits.count(&one), Err(Error::RateLimited { limit: Limit::Rate, retry_after_s: 1..=2 })));
        assert!(limits.count(&other).is_ok());
        let off = Limits::new(&HttpSettings { rate_per_second: 0, ..HttpSettings::default() });
        assert!((0..100).all(|_| off.count(&one).is_ok()));
    }

    #[test]
    fn a_place_is_free_again_when_its_request_is_over() {
        let limits = Limits::new(&HttpSettings { max_concurrent_requests: 2, ..HttpSettings::default() });
        let (one, other) = (key("key_1"), key("key_2"));
        let places = [limits.enter(&one).unwrap(), limits.enter(&one).unwrap()];
        let refused = limits.enter(&one).err();
        assert!(matches!(refused, Some(Error::RateLimited { limit: Limit::Concurrency, retry_after_s: 1 })));
        assert!(limits.enter(&other).is_ok());
        drop(places);
        assert!(limits.slots.taken.lock().unwrap().is_empty());
        assert!(limits.enter(&one).is_ok());
    }

    #[test]
    fn attempts_are_counted_by_network_in_bounded_memory() {
        let settings = HttpSettings { failed_authentications_per_minute: 3, ..HttpSettings::default() };
        let limits = Limits::new(&settings);
        let tries = |limits: &Limits, address: &str| limits.attempt(address.parse().unwrap()).is_ok();
        assert!((0..3).all(|_| tries(&limits, "192.0.2.1")) && !tries(&limits, "192.0.2.1"));
        // One of 65,536 addresses would share its allowance; three do not.
        assert!(["192.0.2.2", "192.0.2.3", "192.0.2.4"].into_iter().any(|address| tries(&limits, address)));
        assert!((1..=3).all(|host| tries(&limits, &format!("2001:db8::{host}"))));
        assert!(!tries(&limits, "2001:db8::4:5:6:7"), "another address of the same /64");
        for number in 0..200_000_u32 {
            let _ = limits.attempt(IpAddr::from(number.to_be_bytes()));
        }
        assert!(limits.attempts.as_ref().unwrap().len() <= usize::try_from(ALLOWANCES).unwrap());
    }
}

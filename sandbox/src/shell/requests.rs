//! Two small books about requests: locks per `X-Request-ID`, and a log without card data.

use crate::time;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Requests kept in the log.
const LOG_LIMIT: usize = 10_000;

/// One asynchronous lock per key that is in use.
#[derive(Default)]
pub(super) struct KeyLocks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// The right to process a key.
pub(super) struct Turn<'a> {
    locks: &'a KeyLocks,
    key: String,
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl KeyLocks {
    fn map(&self) -> MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a key.
    pub(super) async fn lock(&self, key: &str) -> Turn<'_> {
        let lock = Arc::clone(self.map().entry(key.to_owned()).or_default());
        let guard = Some(lock.lock_owned().await);
        Turn { locks: self, key: key.to_owned(), guard }
    }
}

impl Drop for Turn<'_> {
    /// Gives the turn on; the last one out removes the lock.
    fn drop(&mut self) {
        let mut map = self.locks.map();
        drop(self.guard.take());
        if map.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            map.remove(&self.key);
        }
    }
}

/// A request to the API, without its body.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RequestRecord {
    path: String,
    x_request_id: Option<String>,
    /// HTTP status answered, or `dropped`.
    status: String,
    /// The transaction that the answer was about.
    transaction_id: Option<i64>,
    at: String,
}

/// The latest requests.
#[derive(Default)]
pub(super) struct RequestLog(VecDeque<RequestRecord>);

impl RequestLog {
    pub(super) fn add(
        &mut self,
        path: &str,
        x_request_id: Option<String>,
        status: String,
        transaction_id: Option<i64>,
        now: i64,
    ) {
        if self.0.len() >= LOG_LIMIT {
            self.0.pop_front();
        }
        self.0.push_back(RequestRecord {
            path: path.to_owned(),
            x_request_id,
            status,
            transaction_id,
            at: time::iso(now),
        });
    }

    pub(super) fn all(&self) -> Vec<RequestRecord> {
        self.0.iter().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

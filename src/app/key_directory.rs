//! Which keys there are, for telling a key from junk without asking the database about each: an address that guesses keys
//! must neither reach the database nor keep those out who have one and share the address.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::App;
use super::authenticate::{id_in_secret, secret_hash};
use crate::clock::Timestamp;
use crate::domain::id::ApiKeyId;
use crate::store::api_keys::{self, Lock};
use crate::vault;

/// All keys are read at most once in this time.
const PAUSE: Duration = Duration::from_secs(1);
/// Most keys that are held; operators make them one by one, so there are far fewer.
const KEY_LIMIT: i64 = 10_000;

/// The keys that were not revoked, as they were read last.
#[derive(Default)]
pub(super) struct KeyDirectory(Mutex<Held>);

#[derive(Default)]
struct Held {
    read_at: Option<Instant>,
    locks: HashMap<ApiKeyId, Lock>,
}

impl Held {
    fn opens(&self, id: &ApiKeyId, secret_hash: &[u8], now: Timestamp) -> bool {
        self.locks.get(id).is_some_and(|lock| {
            vault::equal_in_constant_time(&lock.secret_hash, secret_hash)
                && lock.expires_at.is_none_or(|expiry| expiry > now)
        })
    }
}

impl App {
    /// Whether there is a key with exactly this secret. However often it is asked, the database is read at most once a
    /// second; what it does not say counts as no.
    pub async fn has_key(&self, secret: &str) -> bool {
        let Some(id) = id_in_secret(secret) else { return false };
        let (hash, now) = (secret_hash(secret), self.now());
        // Those who come meanwhile wait for the reading instead of reading, too.
        let mut held = self.key_directory.0.lock().await;
        if held.opens(&id, &hash, now) {
            return true;
        }
        if held.read_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return false;
        }
        match self.parts.store.read(|tx| api_keys::locks(tx, KEY_LIMIT)).await {
            Ok(locks) => held.locks = locks.into_iter().collect(),
            Err(error) => tracing::warn!(%error, ?error, "API keys cannot be read"),
        }
        held.read_at = Some(Instant::now());
        held.opens(&id, &hash, now)
    }
}

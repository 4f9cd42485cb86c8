//! API keys: who calls.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{App, Caller};
use crate::clock::{IdSource, Timestamp};
use crate::domain::id::ApiKeyId;
use crate::domain::scope::Scope;
use crate::error::{Error, Result};
use crate::store::api_keys::{self, ApiKey};
use crate::vault;

/// A revoked key stops to work after at most so many seconds.
const CACHE_SECONDS: i64 = 1;
/// More keys than this are not remembered between requests.
const CACHE_LIMIT: usize = 1000;
const SECRET_PREFIX: &str = "kmic_";

/// Keys that were looked up a moment ago.
#[derive(Default)]
pub(super) struct KeyCache(Mutex<HashMap<ApiKeyId, (ApiKey, Timestamp)>>);

impl KeyCache {
    fn get(&self, id: &ApiKeyId, now: Timestamp) -> Option<ApiKey> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(id).filter(|(_, at)| now.seconds_since(*at) < CACHE_SECONDS).map(|(key, _)| key.clone())
    }

    fn put(&self, key: &ApiKey, now: Timestamp) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= CACHE_LIMIT {
            keys.clear();
        }
        keys.insert(key.id.clone(), (key.clone(), now));
    }
}

/// A key that was just made; the secret is shown this once.
pub struct NewKey {
    /// What is kept.
    pub key: ApiKey,
    /// What the caller sends.
    pub secret: String,
}

/// Makes a key. Nothing is stored yet.
pub fn create_api_key(
    name: &str,
    scopes: Vec<Scope>,
    now: Timestamp,
    expires_at: Option<Timestamp>,
    ids: &dyn IdSource,
) -> NewKey {
    let id = ApiKeyId::generate(now, ids);
    let body = id.as_str().trim_start_matches(ApiKeyId::PREFIX);
    let secret = format!("{SECRET_PREFIX}{body}_{}", vault::new_secret());
    let key = ApiKey {
        secret_hash: secret_hash(&secret),
        id,
        name: name.to_owned(),
        scopes,
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    NewKey { key, secret }
}

fn secret_hash(secret: &str) -> Vec<u8> {
    vault::digest(&[secret.as_bytes()]).to_vec()
}

fn id_in_secret(secret: &str) -> Option<ApiKeyId> {
    let (body, _) = secret.strip_prefix(SECRET_PREFIX)?.split_once('_')?;
    ApiKeyId::parse(&format!("{}{body}", ApiKeyId::PREFIX))
}

impl App {
    /// The caller behind a bearer secret.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a secret that is unknown, revoked or expired.
    pub async fn authenticate(&self, secret: &str) -> Result<Caller> {
        const ADVICE: &str = "send a valid API key: Authorization: Bearer <secret>";
        let id = id_in_secret(secret).ok_or(Error::Unauthenticated(ADVICE))?;
        let now = self.now();
        let key = match self.keys.get(&id, now) {
            Some(key) => key,
            None => {
                let found = self
                    .parts
                    .store
                    .read(move |tx| api_keys::find(tx, &id))
                    .await?
                    .ok_or(Error::Unauthenticated(ADVICE))?;
                self.keys.put(&found, now);
                found
            }
        };
        if !vault::equal_in_constant_time(&key.secret_hash, &secret_hash(secret)) {
            return Err(Error::Unauthenticated(ADVICE));
        }
        if key.revoked_at.is_some() {
            return Err(Error::Unauthenticated("this API key was revoked; use another one"));
        }
        if key.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(Error::Unauthenticated("this API key has expired; use another one"));
        }
        Ok(Caller { key_id: key.id, scopes: key.scopes, request_id: None })
    }
}

//! API keys: who calls.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{App, Caller};
use crate::clock::{IdSource, Timestamp};
use crate::domain::id::ApiKeyId;
use crate::domain::scope::Scope;
use crate::error::{Error, Result};
use crate::store::Lane;
use crate::store::api_keys::{self, ApiKey};
use crate::vault;

/// A revoked key stops to work after at most so many seconds.
const CACHE_SECONDS: i64 = 1;
/// More keys than this are not remembered between requests.
const CACHE_LIMIT: usize = 1000;
const SECRET_PREFIX: &str = "kmic_";
/// A use of a key is written down at most once in so many seconds.
const USE_PAUSE_S: i64 = 60;
/// The hash of no secret.
const NO_HASH: [u8; 32] = [0; 32];

/// Keys that were looked up a moment ago.
#[derive(Default)]
pub(super) struct KeyCache(Mutex<HashMap<ApiKeyId, (ApiKey, Timestamp)>>);

impl KeyCache {
    fn get(&self, id: &ApiKeyId, now: Timestamp) -> Option<ApiKey> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(id).filter(|(_, at)| now.seconds_since(*at) < CACHE_SECONDS).map(|(key, _)| key.clone())
    }

    /// Whether a key with this secret was valid when it was last looked up, however long ago.
    fn remembers(&self, id: &ApiKeyId, secret_hash: &[u8], now: Timestamp) -> bool {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(id).is_some_and(|(key, _)| {
            vault::equal_in_constant_time(&key.secret_hash, secret_hash)
                && key.revoked_at.is_none()
                && key.expires_at.is_none_or(|expiry| expiry > now)
        })
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

/// Makes a key that begins a line of its own. Nothing is stored yet.
pub fn create_api_key(
    name: &str,
    scopes: Vec<Scope>,
    now: Timestamp,
    expires_at: Option<Timestamp>,
    ids: &dyn IdSource,
) -> NewKey {
    new_key(name, scopes, now, expires_at, None, ids)
}

/// Makes a key of a line, or one that begins its own.
pub(super) fn new_key(
    name: &str,
    scopes: Vec<Scope>,
    now: Timestamp,
    expires_at: Option<Timestamp>,
    lineage: Option<ApiKeyId>,
    ids: &dyn IdSource,
) -> NewKey {
    let id = ApiKeyId::generate(now, ids);
    let body = id.as_str().trim_start_matches(ApiKeyId::PREFIX);
    let secret = format!("{SECRET_PREFIX}{body}_{}", vault::new_secret());
    let key = ApiKey {
        secret_hash: secret_hash(&secret),
        lineage: lineage.unwrap_or_else(|| id.clone()),
        id,
        name: name.to_owned(),
        scopes,
        created_at: now,
        expires_at,
        revoked_at: None,
        rotated: None,
        last_used_at: None,
    };
    NewKey { key, secret }
}

pub(super) fn secret_hash(secret: &str) -> Vec<u8> {
    vault::digest(&[secret.as_bytes()]).to_vec()
}

pub(super) fn id_in_secret(secret: &str) -> Option<ApiKeyId> {
    let (body, _) = secret.strip_prefix(SECRET_PREFIX)?.split_once('_')?;
    ApiKeyId::parse(&format!("{}{body}", ApiKeyId::PREFIX))
}

/// A caller whose key is valid.
pub struct Authenticated {
    /// Who calls.
    pub caller: Caller,
    /// When the key was rotated: the caller should take its successor.
    pub outdated: Option<Outdated>,
}

/// A key that was rotated and still works.
#[derive(Debug, Clone, Copy)]
pub struct Outdated {
    /// When it was rotated.
    pub since: Timestamp,
    /// When it stops to work.
    pub until: Timestamp,
}

/// When each key's use was last written down by this process.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<ApiKeyId, Timestamp>>);

impl Uses {
    /// Whether a use at `now` is to be written down because none is after `before`; it then counts as written.
    fn is_due(&self, id: &ApiKeyId, now: Timestamp, before: Timestamp) -> bool {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.get(id).is_some_and(|at| *at > before) {
            return false;
        }
        if uses.len() >= CACHE_LIMIT {
            uses.clear();
        }
        uses.insert(id.clone(), now);
        true
    }
}

impl App {
    /// The caller behind a bearer secret.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a secret that is unknown, revoked or expired.
    pub async fn authenticate(&self, secret: &str) -> Result<Authenticated> {
        const ADVICE: &str = "send a valid API key: Authorization: Bearer <secret>";
        let id = id_in_secret(secret).ok_or(Error::Unauthenticated(ADVICE))?;
        let now = self.now();
        let key = self.find_key(id, now).await?;
        // An unknown id takes the same comparison as a wrong secret.
        let kept_hash = key.as_ref().map_or(NO_HASH.as_slice(), |key| key.secret_hash.as_slice());
        let holds = vault::equal_in_constant_time(kept_hash, &secret_hash(secret));
        let key = key.filter(|_| holds).ok_or(Error::Unauthenticated(ADVICE))?;
        if key.revoked_at.is_some() {
            return Err(Error::Unauthenticated("this API key was revoked; use another one"));
        }
        if key.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(Error::Unauthenticated("this API key has expired; use another one"));
        }
        Ok(self.admit(key, now))
    }

    /// Whether this process found exactly this secret valid before, as far as it remembers. Reads no database.
    pub fn recognises(&self, secret: &str) -> bool {
        let Some(id) = id_in_secret(secret) else { return false };
        self.keys.remembers(&id, &secret_hash(secret), self.now())
    }

    async fn find_key(&self, id: ApiKeyId, now: Timestamp) -> Result<Option<ApiKey>> {
        if let Some(key) = self.keys.get(&id, now) {
            return Ok(Some(key));
        }
        let found = self.parts.store.read(move |tx| api_keys::find(tx, &id)).await?;
        if let Some(key) = &found {
            self.keys.put(key, now);
        }
        Ok(found)
    }

    /// Notes the use of a key that is valid.
    fn admit(&self, key: ApiKey, now: Timestamp) -> Authenticated {
        let outdated =
            key.rotated.as_ref().zip(key.expires_at).map(|((since, _), until)| Outdated { since: *since, until });
        if outdated.is_some() {
            self.parts.metrics.outdated_key();
        }
        // The first use after a rotation is written down at once: it says that somebody still has the old key.
        let rotated_at = key.rotated.as_ref().map(|(at, _)| *at).filter(|at| *at <= now);
        let before = rotated_at.map_or(now.plus_seconds(-USE_PAUSE_S), |at| at.max(now.plus_seconds(-USE_PAUSE_S)));
        if self.uses.is_due(&key.id, now, before) {
            self.note_use(&key, now, before);
        }
        let caller = Caller { key_id: key.id, lineage: key.lineage, scopes: key.scopes, request_id: None };
        Authenticated { caller, outdated }
    }

    /// Writes the use down beside the request: a caller does not wait for it, and it fails no request.
    fn note_use(&self, key: &ApiKey, now: Timestamp, before: Timestamp) {
        if let (Some((_, successor)), Some(until)) = (&key.rotated, key.expires_at) {
            tracing::warn!(
                api_key.id = key.id.as_str(),
                api_key.successor = successor.as_str(),
                until = %until,
                "an API key that was rotated is still in use: give its holder the successor before it stops to work"
            );
        }
        let (store, id) = (self.parts.store.clone(), key.id.clone());
        tokio::spawn(async move {
            let noted = id.clone();
            let lane = Lane::of(id.as_str());
            if let Err(error) = store.write(lane, move |tx| api_keys::note_use(tx, &noted, now, before)).await {
                tracing::warn!(%error, ?error, api_key.id = id.as_str(), "the use of an API key could not be noted");
            }
        });
    }
}

//! Rotation of an API key: a successor that does what the key did, while the key works on for a time.

use super::ActKind;
use super::authenticate::{NewKey, new_key};
use super::manage_keys::by_command;
use crate::clock::{IdSource, Timestamp};
use crate::domain::id::{ApiKeyId, EventId};
use crate::error::{Conflict, Error, Result};
use crate::store::api_keys::{self, ApiKey};
use crate::store::{Lane, Store, events};

/// How a key is rotated.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// How long the old key works on, seconds; it never works longer than it would have.
    pub overlap_s: i64,
    /// How long the successor works, seconds. `None`: as long as the old key was made for.
    pub lifetime_s: Option<i64>,
}

/// What a rotation came to.
pub struct Rotated {
    /// The successor, of the same name, scopes and line.
    pub new: NewKey,
    /// When the old key stops to work; `None` when it does not work any more.
    pub old_works_until: Option<Timestamp>,
}

/// Makes the successor of a key. A revoked or expired key can have one, too: after a leak the caller finds with it what it
/// did before.
///
/// # Errors
/// [`Error::NotFound`]; a conflict when the key has a successor already.
pub async fn rotate_api_key(
    store: &Store,
    id: ApiKeyId,
    rotation: Rotation,
    now: Timestamp,
    ids: &dyn IdSource,
) -> Result<Rotated> {
    let wanted = id.clone();
    let old = store.read(move |tx| api_keys::find(tx, &wanted)).await?.ok_or(Error::NotFound("API key"))?;
    if let Some((_, successor)) = &old.rotated {
        return Err(Error::conflict(
            Conflict::InvalidState,
            format!("{id} was rotated already; its successor is {successor}: rotate that one"),
        ));
    }
    let overlap_ends = now.plus_seconds(rotation.overlap_s);
    let old_works_until = old.expires_at.map_or(overlap_ends, |expiry| expiry.min(overlap_ends));
    let new = successor(&old, rotation.lifetime_s, now, ids);
    let key = new.key.clone();
    let acts = [(ActKind::KeyRotated, &id), (ActKind::KeyCreated, &key.id)]
        .map(|(kind, id)| (EventId::generate(now, ids), by_command(kind, id)));
    store
        .write(Lane::of(id.as_str()), move |tx| {
            api_keys::succeed(tx, &id, &key, now, old_works_until)?;
            acts.iter().try_for_each(|(event_id, act)| events::append_act(tx, event_id, act, now))
        })
        .await?;
    let old_works = old.revoked_at.is_none() && old_works_until > now;
    Ok(Rotated { new, old_works_until: old_works.then_some(old_works_until) })
}

fn successor(old: &ApiKey, lifetime_s: Option<i64>, now: Timestamp, ids: &dyn IdSource) -> NewKey {
    let lifetime_s = lifetime_s.or_else(|| old.expires_at.map(|expiry| expiry.seconds_since(old.created_at)));
    let expires_at = lifetime_s.map(|seconds| now.plus_seconds(seconds));
    new_key(&old.name, old.scopes.clone(), now, expires_at, Some(old.lineage.clone()), ids)
}

//! Keeping and ending API keys, each with the event that says so.

use super::{Act, ActKind};
use crate::clock::{IdSource, Timestamp};
use crate::domain::id::{ApiKeyId, EventId};
use crate::error::Result;
use crate::store::api_keys::{self, ApiKey};
use crate::store::{Lane, Store, events};

/// Keeps a key that was made by a command.
///
/// # Errors
/// Only of the database.
pub async fn keep_api_key(store: &Store, key: ApiKey, ids: &dyn IdSource) -> Result<()> {
    let (event_id, at) = (EventId::generate(key.created_at, ids), key.created_at);
    let act = by_command(ActKind::KeyCreated, &key.id);
    store
        .write(Lane::of(key.id.as_str()), move |tx| {
            api_keys::insert(tx, &key)?;
            events::append_act(tx, &event_id, &act, at)
        })
        .await
}

/// Ends a key by a command; `false` when there is none or it was ended before.
///
/// # Errors
/// Only of the database.
pub async fn revoke_api_key(store: &Store, id: ApiKeyId, now: Timestamp, ids: &dyn IdSource) -> Result<bool> {
    let event_id = EventId::generate(now, ids);
    let act = by_command(ActKind::KeyRevoked, &id);
    store
        .write(Lane::of(id.as_str()), move |tx| {
            let revoked = api_keys::revoke(tx, &id, now)?;
            if revoked {
                events::append_act(tx, &event_id, &act, now)?;
            }
            Ok(revoked)
        })
        .await
}

pub(super) fn by_command(kind: ActKind, id: &ApiKeyId) -> Act {
    Act { kind, subject_id: id.to_string(), actor: Act::COMMAND_LINE.to_owned() }
}

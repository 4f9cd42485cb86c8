//! The way out where the key of a payer is lost for good: it is destroyed like an erasure does, so that the others are served again.

use crate::clock::{IdSource, Timestamp};
use crate::domain::id::ErasureId;
use crate::error::{Conflict, Error, Result};
use crate::store::personal_data::{self, ErasedBy, Extent};
use crate::store::sealed_keys::{self, Condition};
use crate::store::{Lane, Store, Tx};

use super::Erasure;

/// Keys that are looked at in one snapshot.
const SLICE: i64 = 1_000;

/// What lies under a key that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostKey {
    /// The id of the key.
    pub id: String,
    /// What cannot be read without it.
    pub extent: Extent,
    /// Payments among it that are not over yet.
    pub unfinished: i64,
}

/// All keys that are lost, oldest first.
///
/// # Errors
/// Only of the database.
pub async fn find_lost_keys(store: &Store) -> Result<Vec<LostKey>> {
    let (mut lost, mut after) = (Vec::new(), String::new());
    loop {
        let behind = after.clone();
        let (found, last) = store
            .read(move |tx| {
                let (closed, last) = sealed_keys::closed_behind(tx, &behind, SLICE)?;
                let mut found = Vec::new();
                for id in closed {
                    if sealed_keys::condition(tx, &id)? == Condition::Lost {
                        found.push(lost_key(tx, &id)?);
                    }
                }
                Ok((found, last))
            })
            .await?;
        lost.extend(found);
        match last {
            Some(last) => after = last,
            None => return Ok(lost),
        }
    }
}

/// What would be given up with this key.
///
/// # Errors
/// As [`give_up_key`].
pub async fn look_at_lost_key(store: &Store, id: String) -> Result<LostKey> {
    store.read(move |tx| refuse_unless_lost(tx, &id).and_then(|()| lost_key(tx, &id))).await
}

/// What is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveUp {
    /// The id of the key.
    pub id: String,
    /// Whether it is known that the encryption key itself is lost: no key of a payer has to open then.
    pub none_opens: bool,
}

/// Destroys a key that opens with none of the configured ones, and records it. What is left of its payer is removed by the worker.
///
/// # Errors
/// [`Error::NotFound`]; conflict when the key opens, was destroyed before, or no key opens at all.
pub async fn give_up_key(store: &Store, what: GiveUp, now: Timestamp, ids: &dyn IdSource) -> Result<LostKey> {
    let (erasure_id, id) = (ErasureId::generate(now, ids), what.id);
    if !what.none_opens && !store.read(sealed_keys::some_open).await? {
        return Err(Error::conflict(
            Conflict::InvalidState,
            "no key of a payer opens: privacy.encryption_key is not that of this database; nothing was done; put the right key \
             there, and if it is lost for good, say so with --none-opens",
        ));
    }
    store
        .write(Lane::of("give-up"), move |tx| {
            let payers = std::slice::from_ref(&id);
            personal_data::hold(tx, payers)?;
            refuse_unless_lost(tx, &id)?;
            let given_up = lost_key(tx, &id)?;
            let empty = Erasure { id: erasure_id.clone(), at: now, payers: 0, payments: 0, notifications: 0 };
            personal_data::erase(tx, payers, ErasedBy::CommandLine, empty)?;
            Ok(given_up)
        })
        .await
}

fn refuse_unless_lost(tx: &mut Tx<'_>, id: &str) -> Result<()> {
    let why = match sealed_keys::condition(tx, id)? {
        Condition::Lost => return Ok(()),
        Condition::Absent => return Err(Error::NotFound("key of a payer")),
        Condition::Erased => "was destroyed before, and its payer is erased",
        Condition::Opens => {
            "opens: nothing of it is lost; to erase its payer use the API, and if the service does not start because of it, run \
             `kmic-payments keys rotate-encryption`"
        }
    };
    Err(Error::conflict(Conflict::InvalidState, format!("the key of payer {id} {why}")))
}

fn lost_key(tx: &mut Tx<'_>, id: &str) -> Result<LostKey> {
    let payers = [id.to_owned()];
    let extent = personal_data::extent(tx, &payers)?;
    Ok(LostKey { id: id.to_owned(), extent, unfinished: personal_data::unfinished_payments(tx, &payers)? })
}

//! Nobody is told that nothing is held of a person while a key does not open: it may be theirs.

use tokio::sync::Mutex;

use super::App;
use crate::error::{Error, Result};
use crate::store::{Store, sealed_keys};

/// Keys that are looked at in one snapshot.
const SLICE: i64 = 1_000;
/// As many keys that do not open are remembered; more make no difference.
const REMEMBERED: usize = 100;
const ADVICE: &str = "is sealed with an encryption key that is neither privacy.encryption_key nor one of privacy.previous_keys: put the \
    key that it was sealed with into privacy.previous_keys (or back into privacy.encryption_key, if that was changed by mistake), then \
    run `kmic-payments keys rotate-encryption` until it says that everything is under the current key, and only then empty \
    privacy.previous_keys; if all keys are right, the row was changed: put it back from a copy of the database; as a \
    last resort, where neither the key nor such a copy is left, `kmic-payments keys give-up` destroys the key and erases its payer";

/// What is known of the keys of payers.
#[derive(Default)]
pub(super) struct Looked(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Up to here all keys were looked at. Those that come after it are looked at the next time.
    up_to: String,
    /// Those that did not open.
    closed: Vec<String>,
}

/// Refuses to start where the encryption key is not that of the database.
///
/// # Errors
/// When a key of a payer does not open: what to do.
pub async fn refuse_foreign_keys(store: &Store) -> Result<()> {
    match store.read(sealed_keys::closed_at_places).await? {
        Some(id) => Err(Error::internal(format!("the key of payer {id} {ADVICE}"))),
        None => Ok(()),
    }
}

impl App {
    /// The keys of payers that do not open. The first time all are looked at, later those that came since, and all once more when
    /// some of those that are looked at each time do not open.
    ///
    /// # Errors
    /// Only of the database.
    pub(super) async fn closed_keys(&self) -> Result<Vec<String>> {
        let mut known = self.looked.0.lock().await;
        let before = known.closed.clone();
        if !before.is_empty() {
            known.closed = self.parts.store.read(move |tx| sealed_keys::still_closed(tx, &before)).await?;
        }
        let at_places = self.parts.store.read(sealed_keys::closed_at_places).await?;
        if known.closed.len() < REMEMBERED && at_places.is_some_and(|id| !known.closed.contains(&id)) {
            // Keys that opened when they were looked at were wrapped anew meanwhile, under a key that is not ours.
            *known = Known::default();
        }
        while known.closed.len() < REMEMBERED {
            let after = known.up_to.clone();
            let read = self.parts.store.read(move |tx| sealed_keys::closed_behind(tx, &after, SLICE)).await?;
            let (closed, Some(last)) = read else { break };
            for id in &closed {
                tracing::error!(payer_key = id.as_str(), "the key of a payer {ADVICE}");
            }
            known.closed.extend(closed);
            known.up_to = last;
        }
        Ok(known.closed.clone())
    }

    /// Refuses to say what is held of an account as long as a key is known that does not open. Does not look by itself.
    ///
    /// # Errors
    /// [`Error::KeyMissing`].
    pub(super) fn refuse_known_closed(&self) -> Result<()> {
        match self.looked.0.try_lock() {
            Ok(known) => refuse_closed(&known.closed),
            // They are being looked at.
            Err(_) => Ok(()),
        }
    }
}

/// # Errors
/// [`Error::KeyMissing`] where there is one.
pub(super) fn refuse_closed(closed: &[String]) -> Result<()> {
    match closed.first() {
        Some(id) => Err(Error::KeyMissing(format!("the key of payer {id} {ADVICE}"))),
        None => Ok(()),
    }
}

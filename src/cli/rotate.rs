//! `keys rotate-encryption`: everything under the current encryption key.

use std::sync::Arc;

use super::say::say_line;
use super::{Outcome, report, text};
use crate::config::Raw;
use crate::store::rotation::{self, Part, Place};
use crate::store::{Lane, Store, StoreSettings, migrate};
use crate::vault::Vault;

/// Rows that one transaction looks at: short enough for a service that waits to write.
const STEP_LIMIT: i64 = 100;

/// The database with the configured encryption keys, whether the service would start on it or not.
pub(super) fn open(raw: &Raw) -> Result<Store, String> {
    let settings = raw.check().map_err(text)?;
    let target = settings.database.target;
    if target.file().is_some_and(|file| !file.exists()) || !migrate::is_current(&target).map_err(report)? {
        return Err("this database lacks migrations of this version; run: kmic-payments migrate".to_owned());
    }
    let vault = Vault::new(&settings.privacy.encryption_key, &settings.privacy.previous_keys);
    let store_settings = StoreSettings { target, readers: 1, writers: 1, batch_limit: 1, queue_limit: 16 };
    Store::start(&store_settings, &Arc::new(vault)).map_err(text)
}

pub(super) async fn run(raw: &Raw) -> Outcome {
    let store = open(raw)?;
    for part in Part::ALL {
        let changed = walk(&store, part).await?;
        say_line!("{:<24} {changed} changed", part.name());
    }
    // The old wrappings must not stay in the files.
    store.forget_deleted().await.map_err(report)?;
    say_line!("\nEverything is under the current key: privacy.previous_keys can be emptied.");
    say_line!("Payers who are at their bank come back by links signed with the old key: leave it an hour.");
    Ok(())
}

async fn walk(store: &Store, part: Part) -> Result<usize, String> {
    let (mut after, mut changed) = (Place::default(), 0);
    loop {
        let behind = after.clone();
        let step = store
            .write(Lane::of("rotate"), move |tx| rotation::step(tx, part, &behind, STEP_LIMIT))
            .await
            .map_err(report)?;
        changed += step.changed;
        match step.last {
            Some(last) => after = last,
            None => return Ok(changed),
        }
    }
}

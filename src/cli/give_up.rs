//! `keys give-up`: the last resort where the key of a payer is lost.

use super::say::say_line;
use super::{Outcome, report};
use crate::app::{GiveUp, LostKey, find_lost_keys, give_up_key, look_at_lost_key};
use crate::clock::{Clock, SystemClock, SystemIds};
use crate::config::Raw;

pub(super) async fn run(raw: &Raw, id: Option<String>, confirmed: bool, none_opens: bool) -> Outcome {
    let store = super::rotate::open(raw)?;
    let Some(id) = id else {
        let lost = find_lost_keys(&store).await.map_err(report)?;
        for key in &lost {
            say_line!("{}  {}", key.id, extent(key));
        }
        say_line!("{} key(s) of payers open with none of the configured keys.", lost.len());
        return Ok(());
    };
    if !confirmed {
        let key = look_at_lost_key(&store, id).await.map_err(report)?;
        say_line!("{}  {}", key.id, extent(&key));
        return Err("nothing was done: look for the encryption key and for a copy of the row first; once it is destroyed, no key \
             opens this any more; to destroy it, repeat with --confirm"
            .to_owned());
    }
    let key = give_up_key(&store, GiveUp { id, none_opens }, SystemClock.now(), &SystemIds).await.map_err(report)?;
    say_line!("{}  {}", key.id, extent(&key));
    say_line!("\nThe key is destroyed and its payer erased; what was sealed by it is unreadable for good.");
    say_line!("Sums, states and history stay. The service removes what is left when it runs.");
    Ok(())
}

fn extent(key: &LostKey) -> String {
    format!(
        "payments: {}, not over yet: {}, notifications: {}",
        key.extent.payments, key.unfinished, key.extent.notifications
    )
}

//! The end of a world: faults stop, time goes on, and everything that can be settled has to settle by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::order::caller;
use super::world::{World, pause_s};
use crate::app::{Page, PaymentFilter};
use crate::domain::state::{Certainty, Status};
use crate::error::Result;

/// Faults stop at the latest after so many seconds: a week.
const LATEST_S: u64 = 604_800;
/// What is not settled after so many seconds never will be: four days, beyond every expiry and the provider's memory.
const SETTLED_S: u64 = 345_600;
/// The longest pause between looks whether all is settled, seconds.
const LONGEST_LOOK_S: u64 = 14_400;

pub(super) async fn wait_for_the_end(world: Arc<World>) {
    let mut waited_s = 0;
    while world.stories_left() > 0 && waited_s < LATEST_S {
        pause_s(30).await;
        waited_s += 30;
    }
    if world.stories_left() > 0 {
        world.violated("every story comes to an end", None, format!("{} do not", world.stories_left()));
    }
    world.calm_down();
    world.orders.boot.store(true, Ordering::Relaxed);
    // Requests that are still on their way, and notifications that are late.
    pause_s(7_200).await;
    let (mut passed_s, mut look_s) = (0, 600);
    while passed_s < SETTLED_S && !matches!(unsettled(&world).await, Ok(0)) {
        pause_s(look_s).await;
        passed_s += look_s;
        look_s = (look_s * 2).min(LONGEST_LOOK_S);
    }
    find_what_was_never_told(&world).await;
    world.orders.end.store(true, Ordering::Relaxed);
}

/// How many payments are on their way somewhere.
async fn unsettled(world: &World) -> Result<usize> {
    let Some(app) = world.process() else { return Ok(1) };
    let undelivered = usize::from(world.provider.with(|engine| engine.next_due()).is_some());
    let mut count = undelivered;
    for details in all(&app).await? {
        let payment = details.payment;
        let waits =
            matches!(payment.status, Status::AwaitingPayer | Status::AwaitingAuthentication | Status::Processing)
                && payment.attention.is_none();
        let open = payment.certainty == Certainty::Undetermined || payment.sums.refund_pending > 0;
        count += usize::from(waits || open);
    }
    Ok(count)
}

async fn all(app: &crate::app::App) -> Result<Vec<crate::app::PaymentDetails>> {
    let page = Page { before: None, limit: 100_000 };
    Ok(app.list_payments(PaymentFilter::default(), page).await?.items)
}

/// A notification that the provider never sent is found by asking; by hand here, by reconciliation in production.
async fn find_what_was_never_told(world: &Arc<World>) {
    let Some(app) = world.process() else {
        return world.violated("the process serves in calm weather", None, String::new());
    };
    let payments = match all(&app).await {
        Ok(payments) => payments,
        Err(error) => return world.violated("payments can be read in calm weather", None, format!("{error:?}")),
    };
    for id in payments.into_iter().map(|details| details.payment.id) {
        if let Err(error) = app.sync_payment(&caller("end"), id.clone()).await {
            world.violated("a payment can be asked about in calm weather", Some(id.as_str()), format!("{error:?}"));
        }
    }
}

//! The end of a world: faults stop, time goes on, and everything that can be settled has to settle by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::executor::lock;
use super::order::{Order, caller};
use super::promises::Seen;
use super::world::{World, pause_s};
use crate::app::{App, Page, PaymentFilter};
use crate::clock::{Clock as _, Timestamp};
use crate::domain::register::{Purpose, RunState};
use crate::domain::state::{Certainty, Status};
use crate::error::Result;

/// Faults stop at the latest after so many seconds: a week.
const LATEST_S: u64 = 604_800;
/// What is not settled after so many seconds never will be: four days, beyond every expiry, the provider's memory and the
/// register of the next day.
const SETTLED_S: u64 = 345_600;
/// The longest pause between looks whether all is settled, seconds.
const LONGEST_LOOK_S: u64 = 14_400;
/// Longer than any kept answer is kept, seconds.
const FORGOTTEN_S: u64 = 2 * 86_400 + 7_200;

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
    let calm_since = world.clock.now();
    world.orders.boot.store(true, Ordering::Relaxed);
    // Requests that are still on their way, and notifications that are late.
    pause_s(7_200).await;
    let (mut passed_s, mut look_s, mut over) = (0, 600, false);
    while passed_s < SETTLED_S && !over {
        pause_s(look_s).await;
        passed_s += look_s;
        look_s = (look_s * 2).min(LONGEST_LOOK_S);
        over = matches!(is_over(&world, calm_since, Wait::ForAll).await, Ok(true));
    }
    if !over && !matches!(is_over(&world, calm_since, Wait::NotForAPerson).await, Ok(true)) {
        world.violated("all is settled and compared with the register in the end", None, String::new());
    }
    if world.weather.retention.idempotency_answers_days.is_some() {
        pause_s(FORGOTTEN_S).await;
    }
    repeat_late(&world).await;
    world.orders.end.store(true, Ordering::Relaxed);
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    ForAll,
    /// Not for what a person was called for: a refund may stay unclear beside one of the same sum from the cabinet.
    NotForAPerson,
}

/// Whether nothing is on its way any more, and the register was read up to when faults stopped: what nobody ever told is
/// found there.
async fn is_over(world: &World, calm_since: Timestamp, wait: Wait) -> Result<bool> {
    let Some(app) = world.process() else { return Ok(false) };
    Ok(unsettled(world, &app, wait).await? == 0 && is_compared(&app, calm_since).await?)
}

/// How many payments are on their way somewhere.
async fn unsettled(world: &World, app: &App, wait: Wait) -> Result<usize> {
    let undelivered = usize::from(world.provider.with(|engine| engine.next_due()).is_some());
    let mut count = undelivered;
    let page = Page { before: None, limit: 100_000 };
    for details in app.list_payments(PaymentFilter::default(), page).await?.items {
        let payment = details.payment;
        let waits =
            matches!(payment.status, Status::AwaitingPayer | Status::AwaitingAuthentication | Status::Processing)
                && payment.attention.is_none();
        let open = (payment.certainty == Certainty::Undetermined || payment.sums.refund_pending > 0)
            && (wait == Wait::ForAll || payment.attention.is_none());
        count += usize::from(waits || open);
    }
    Ok(count)
}

async fn is_compared(app: &App, calm_since: Timestamp) -> Result<bool> {
    let runs = app.list_reconciliations(Page { before: None, limit: 100 }).await?.items;
    let running = runs.iter().any(|details| details.run.state == RunState::Running);
    let compared = runs
        .iter()
        .map(|details| &details.run)
        .any(|run| run.purpose == Purpose::Daily && run.state == RunState::Completed && run.to > calm_since);
    Ok(compared && !running)
}

/// Some sites repeat a request days later, when its answer is not kept any more.
async fn repeat_late(world: &Arc<World>) {
    let told: Vec<(String, Order)> =
        lock(&world.promises).payments.iter().map(|(id, promised)| (id.clone(), promised.order.clone())).collect();
    for (id, order) in told {
        if !world.draw(|chance| chance.one_in(6)) {
            continue;
        }
        let again = order.clone();
        let work = move |app: Arc<App>| {
            let order = again.clone();
            async move { app.create_payment(&caller(&order.key), order.mark(), order.new_payment()).await }
        };
        let answered = world.call(&order.key, &work).await;
        let seen = match &answered {
            Ok(Ok(answer)) => Seen::read(&answer.stored.body),
            _ => None,
        };
        if seen.is_none_or(|seen| seen.id != id) {
            world.violated("a repeat is known as one", Some(&id), format!("{}, days later: {answered:?}", order.key));
        }
    }
}

//! One world from its beginning to the audit of its books.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::chance::Chance;
use super::executor::{Executor, Group, lock};
use super::order::Order;
use super::report::{Timeline, WorldReport};
use super::service::{Fixed, start};
use super::weather::{DiskTrouble, Stall};
use super::world::{World, pause_ms, pause_s};
use super::{calm, laws, operators, post, site, timeline};
use crate::store::{Disk, Stepper};

/// More steps are a world that turns in circles.
const MAX_STEPS: u64 = 20_000_000;
/// So many payments that broke a law are told about.
const TIMELINES: usize = 3;

/// Runs the world of a seed with so many payments; `told` keeps what happened as text.
pub(super) fn run(seed: u64, payments: u64, fixed: &Arc<Fixed>, told: bool) -> Result<WorldReport, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| format!("the runtime does not start: {error}"))?;
    // Without tokio's budget: it would make the executor spin.
    runtime.block_on(tokio::task::unconstrained(live(seed, payments, Arc::clone(fixed), told)))
}

async fn live(seed: u64, payments: u64, fixed: Arc<Fixed>, told: bool) -> Result<WorldReport, String> {
    let disk = Disk::create().map_err(|error| format!("no database in memory: {error:?}"))?;
    let executor = Executor::default();
    let world = World::new(seed, payments, executor.spawner(), told, &fixed);
    let mut life = Life {
        chance: Chance::new(Chance::seed_of(seed, 1)),
        executor,
        disk,
        stepper: None,
        world,
        steps: 0,
        transactions: 0,
    };
    life.people(payments);
    life.world.orders.boot.store(true, Ordering::Relaxed);
    poll_fn(|cx| life.turn(cx)).await;
    Ok(life.close(payments))
}

struct Life {
    world: Arc<World>,
    executor: Executor,
    disk: Disk,
    /// Of the process that lives.
    stepper: Option<Stepper>,
    chance: Chance,
    steps: u64,
    /// Transactions of the database.
    transactions: u64,
}

impl Life {
    /// Everybody who lives in the world.
    fn people(&mut self, payments: u64) {
        let mut orders: Vec<Order> = (0..payments).map(|number| Order::draw(number, &mut self.chance)).collect();
        let mut bills = std::collections::BTreeMap::<String, u64>::new();
        for order in &orders {
            *bills.entry(order.invoice_id.clone()).or_default() += 1;
        }
        for order in &mut orders {
            order.only_one = bills.get(&order.invoice_id) == Some(&1);
        }
        for order in orders {
            let story = site::Story { world: Arc::clone(&self.world), order, chance: self.chance.fork() };
            self.world.spawn(Group::World, site::live(story));
        }
        self.world.spawn(Group::World, post::postman(Arc::clone(&self.world)));
        self.world.spawn(Group::World, stalls(Arc::clone(&self.world)));
        if self.world.weather.silent_s > 0 {
            self.world.spawn(Group::World, operators::silence(Arc::clone(&self.world), self.chance.fork()));
        }
        self.world.spawn(Group::World, calm::wait_for_the_end(Arc::clone(&self.world)));
    }

    /// Steps until everybody sleeps.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.world.orders.crash.swap(false, Ordering::Relaxed) {
                self.crash();
            }
            if self.world.orders.boot.swap(false, Ordering::Relaxed) {
                self.boot();
            }
            if self.world.orders.end.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            let tasks = self.executor.ready();
            let (writes, reads) = self.waiting();
            if tasks + writes + reads == 0 {
                self.executor.sleep(cx.waker());
                return Poll::Pending;
            }
            self.step(tasks, writes, reads);
            if self.steps > MAX_STEPS {
                self.world.violated("a world comes to an end", None, format!("{MAX_STEPS} steps"));
                return Poll::Ready(());
            }
        }
    }

    /// Whether writes and reads wait for the database, as 1 and 0.
    fn waiting(&self) -> (usize, usize) {
        let Some(stepper) = &self.stepper else { return (0, 0) };
        let stall = self.world.database_stalls();
        let writes = stepper.waiting_writes() > 0 && !matches!(stall, Some(Stall::All | Stall::Writes));
        let reads = stepper.waiting_reads() > 0 && !matches!(stall, Some(Stall::All | Stall::Reads));
        (usize::from(writes), usize::from(reads))
    }

    fn step(&mut self, tasks: usize, writes: usize, reads: usize) {
        self.steps += 1;
        if !self.world.is_calm()
            && self.stepper.is_some()
            && self.chance.below(1_000_000) < self.world.crash_per_million()
        {
            self.crash();
            return;
        }
        let choice = self.chance.below(tasks + writes + reads);
        if choice < tasks {
            self.executor.poll_one(&mut self.chance);
        } else {
            self.database(choice - tasks < writes);
        }
    }

    fn database(&mut self, write: bool) {
        let Some(stepper) = &mut self.stepper else { return };
        self.transactions += 1;
        let calm = self.world.is_calm() || !self.chance.permille(self.world.weather.disk);
        let trouble = (!calm).then(|| DiskTrouble::draw(&mut self.chance));
        if let Some(DiskTrouble::Fails(fault, strikes)) = trouble {
            stepper.arm(Some(fault), strikes);
        }
        let late_ms = match trouble {
            Some(DiskTrouble::Late(ms)) => Some(ms),
            _ => None,
        };
        let held = if write { stepper.write(late_ms.is_some()) } else { stepper.read(late_ms.is_some()) };
        let Some(trouble) = trouble else { return };
        if let Some(ms) = late_ms {
            self.world.spawn(Group::World, async move {
                pause_ms(ms).await;
                held.deliver();
            });
        } else if stepper.arm(None, 0) == 0 {
            return;
        }
        self.world.happened(trouble.name(write), "any payment");
    }

    /// The process ends where it stands; the database keeps what was committed.
    fn crash(&mut self) {
        self.world.note("the process is gone");
        lock(&self.world.tally).crashes += 1;
        self.world.set_process(None);
        self.end_process();
        let world = Arc::clone(&self.world);
        let most_ms = self.chance.pick(&[1, 3_000, 60_000, 900_000], 3_000);
        let down_ms = self.chance.between(0, most_ms);
        self.world.spawn(Group::World, async move {
            pause_ms(down_ms).await;
            world.orders.boot.store(true, Ordering::Relaxed);
        });
    }

    fn end_process(&mut self) {
        self.executor.kill(Group::Service);
        self.stepper = None;
    }

    fn boot(&mut self) {
        if self.stepper.is_some() {
            return;
        }
        let batch_limit = self.chance.pick(&[1, 4, 64], 64);
        let (store, stepper) = self.disk.open(&self.world.fixed.vault, batch_limit, 1_000);
        self.stepper = Some(stepper);
        self.world.spawn(Group::Service, start(Arc::clone(&self.world), store));
    }

    /// The audit.
    fn close(mut self, payments: u64) -> WorldReport {
        self.world.set_process(None);
        self.end_process();
        let (_store, stepper) = self.disk.open(&self.world.fixed.vault, 1, 1);
        if let Err(error) = stepper.look(|tx| laws::audit(&self.world, tx)) {
            self.world.violated("the books can be read", None, format!("{error:?}"));
        }
        let timelines = self.timelines(&stepper);
        self.executor.kill(Group::World);
        let (hash, journal, violations) = self.world.record();
        let mut tally = std::mem::take(&mut *lock(&self.world.tally));
        tally.payments = payments;
        tally.steps = self.steps;
        tally.database = self.transactions;
        tally.virtual_s = self.world.clock.passed_s();
        WorldReport { seed: self.world.seed, payments, hash, tally, violations, journal, timelines }
    }

    /// Of payments that broke a law.
    fn timelines(&self, stepper: &Stepper) -> Vec<Timeline> {
        let told = |payment_id: String| {
            let lines = stepper.look(|tx| timeline::of_payment(&self.world, tx, &payment_id)).ok()?;
            (!lines.is_empty()).then_some(Timeline { payment_id, lines })
        };
        self.world.at_fault().into_iter().take(TIMELINES).filter_map(told).collect()
    }
}

/// Now and then the database stands still for a while.
async fn stalls(world: Arc<World>) {
    while !world.is_calm() {
        pause_s(world.draw(|chance| chance.between(10, 7_200))).await;
        let stall = world.draw(|chance| chance.pick(&[Stall::All, Stall::Writes, Stall::Reads], Stall::All));
        world.stall_database(Some(stall));
        world.happened("database: stands still", format_args!("{stall:?}"));
        pause_ms(world.draw(|chance| chance.between(1, 95_000))).await;
        world.stall_database(None);
    }
}

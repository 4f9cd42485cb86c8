//! The service in a world that goes wrong on purpose, deterministically: `kmic-payments simulate`.
//!
//! A run is many small worlds. In each, the use cases, the store's code and the client of the provider are those of
//! production; the time, the order in which tasks run, the network, the database's disk and the provider are simulated
//! and draw from one seed. Sites create payments and repeat after failures, payers pay in two tabs, browsers come back
//! from the bank or do not, people refund in the provider's cabinet, and somebody else's software at the same terminal moves
//! money of the same bills; what takes two keys is asked for by one operator and
//! decided by another, by two at once, or by nobody, and while the provider is silent operators end calls whose answer is
//! lost, rightly or wrongly; requests, answers and notifications get lost, late, doubled, reordered or garbled, and some
//! notifications never come; statements and commits fail, answers of the database come late; the process dies at any await
//! and starts again.
//!
//! At the end faults stop, time goes on until the workers have settled everything and compared it with the register, and
//! the books have to agree with the provider's ledger: see `laws` and its neighbours. The same seed gives the same world,
//! event by event; [`WorldReport::command`] is the command that plays one again.
//!
//! Not simulated: HTTP between site and service (the use cases are called with what the handlers read), PostgreSQL, two
//! processes on one database, a database that was replaced by an older copy, power loss, erasure of payers. Tests over
//! HTTP, race tests and the crash campaign cover those.

mod approval_laws;
mod calm;
mod chance;
mod executor;
mod laws;
mod lifetime;
mod money;
mod network;
mod operators;
mod order;
mod others;
mod patience;
mod post;
mod promise_laws;
mod promises;
mod provider;
mod register_laws;
mod report;
mod service;
mod site;
mod timeline;
mod weather;
mod world;

pub use report::{Summary, Tally, Timeline, Violation, WorldReport};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chance::Chance;
use executor::lock;
use service::Fixed;

use crate::metrics::Metrics;
use crate::vault::Vault;

/// Payments of one world. Small worlds fit into memory and are quick to play again.
pub const PAYMENTS_PER_WORLD: u64 = 100;
/// So many failed worlds are kept for the report.
const KEPT_FAILURES: usize = 5;
/// After so many failed worlds a run stops.
const MAX_FAILURES: u64 = 20;

/// Runs worlds until `payments` payments began, `jobs` worlds at a time. `progress` is called with each that is over.
///
/// # Errors
/// When the simulation itself cannot run.
pub fn run(seed: u64, payments: u64, jobs: usize, progress: impl Fn(&WorldReport) + Sync) -> Result<Summary, String> {
    let began = Instant::now();
    let worlds = payments.div_ceil(PAYMENTS_PER_WORLD);
    let (next, failures) = (AtomicU64::new(0), AtomicU64::new(0));
    let summary = Mutex::new(Summary { seed, ..Summary::default() });
    let work = || -> Result<(), String> {
        let fixed = fixed()?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= worlds || failures.load(Ordering::Relaxed) >= MAX_FAILURES {
                return Ok(());
            }
            let size = PAYMENTS_PER_WORLD.min(payments - number * PAYMENTS_PER_WORLD);
            let report = play(Chance::seed_of(seed, number), size, &fixed, false)?;
            let report = if report.violations.is_empty() { report } else { with_timelines(report, &fixed)? };
            failures.fetch_add(u64::from(!report.violations.is_empty()), Ordering::Relaxed);
            progress(&report);
            lock(&summary).take(number, report);
        }
    };
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread broke off".to_owned())))
            .collect()
    });
    results.into_iter().collect::<Result<(), String>>()?;
    let mut summary = summary.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    summary.elapsed = began.elapsed();
    Ok(summary)
}

/// Plays one world and keeps everything that happens as text.
///
/// # Errors
/// When the simulation itself cannot run.
pub fn run_world(seed: u64, payments: u64) -> Result<WorldReport, String> {
    play(seed, payments, &fixed()?, true)
}

fn fixed() -> Result<Arc<Fixed>, String> {
    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    Ok(Arc::new(Fixed { vault: Arc::new(Vault::new(&[7; 32], &[])), metrics }))
}

/// A world that broke a law once more, to tell what happened to the payments at fault.
fn with_timelines(report: WorldReport, fixed: &Arc<Fixed>) -> Result<WorldReport, String> {
    let again = play(report.seed, report.payments, fixed, true)?;
    let mut violations = report.violations;
    if again.hash != report.hash {
        let detail = format!("{:016x}, then {:016x}", report.hash, again.hash);
        violations.push(Violation { law: "a seed gives the same world again", payment_id: None, detail });
    }
    Ok(WorldReport { violations, timelines: again.timelines, ..report })
}

/// A world; a panic in it is a violation.
fn play(seed: u64, payments: u64, fixed: &Arc<Fixed>, told: bool) -> Result<WorldReport, String> {
    catch_unwind(AssertUnwindSafe(|| lifetime::run(seed, payments, fixed, told))).unwrap_or_else(|_| {
        let violation = Violation { law: "nothing panics", payment_id: None, detail: "see above".to_owned() };
        Ok(WorldReport {
            seed,
            payments,
            hash: 0,
            tally: Tally::default(),
            violations: vec![violation],
            journal: Vec::new(),
            timelines: Vec::new(),
        })
    })
}

impl Summary {
    /// Adds a world. The order in which worlds end does not show.
    fn take(&mut self, number: u64, report: WorldReport) {
        self.worlds += 1;
        self.hash ^= Chance::seed_of(report.hash, number);
        self.tally.add(&report.tally);
        if !report.violations.is_empty() {
            self.failures += 1;
            self.failed.insert(number, report);
            while self.failed.len() > KEPT_FAILURES {
                self.failed.pop_last();
            }
        }
    }
}

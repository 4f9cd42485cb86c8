//! `simulate`: many small worlds in which everything goes wrong, and the audit of each.

use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;

use super::Outcome;
use super::say::{say, say_line};
use crate::simulation::{self, PAYMENTS_PER_WORLD, WorldReport};

/// Lines of a failed world that are printed.
const LAST_LINES: usize = 2_000;

#[derive(Args)]
pub(super) struct SimulateArguments {
    /// The seed that decides everything; the same seed gives the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many payments to run.
    #[arg(long, default_value_t = 10_000)]
    payments: u64,
    /// Worlds at a time, each on one core; by default as many as there are cores. Changes nothing but the run time.
    #[arg(long)]
    jobs: Option<usize>,
    /// Plays one world again by its own seed (0x… as a failed run prints it) and tells all that happens in it.
    #[arg(long, value_name = "SEED", value_parser = world_seed)]
    world: Option<u64>,
    /// With --world: prints what concerns this payment, order or transaction only.
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
}

fn world_seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "write the seed as a number, or in hexadecimal digits behind 0x".to_owned())
}

pub(super) fn run(arguments: &SimulateArguments) -> Outcome {
    match arguments.world {
        Some(seed) => again(seed, arguments),
        None => all(arguments),
    }
}

fn all(arguments: &SimulateArguments) -> Outcome {
    let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let step = (arguments.payments / 50).max(PAYMENTS_PER_WORLD);
    let progress = |report: &WorldReport| {
        for violation in report.violations.iter().take(1) {
            failed.fetch_add(1, Ordering::Relaxed);
            eprintln!("VIOLATED {violation}\n  again: {}", report.command());
        }
        let before = done.fetch_add(report.payments, Ordering::Relaxed);
        let now = before + report.payments;
        if before / step != now / step {
            let failed = failed.load(Ordering::Relaxed);
            eprintln!("{now} of {} payments, {failed} worlds with violations", arguments.payments);
        }
    };
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = arguments.jobs.unwrap_or_else(cores);
    let summary = simulation::run(arguments.seed, arguments.payments, jobs, progress)?;
    say!("{summary}");
    for report in summary.failed.values() {
        tell(report);
    }
    match summary.failures {
        0 => Ok(()),
        count => Err(format!("a law did not hold in {count} world(s); the commands above play them again")),
    }
}

/// The laws that a world broke, and the command that plays it again with all that happens.
fn tell(report: &WorldReport) {
    say_line!("\nworld {:#018x}", report.seed);
    for violation in report.violations.iter().take(10) {
        say_line!("  {violation}");
    }
    for timeline in &report.timelines {
        say_line!("  {}, in order:", timeline.payment_id);
        for line in timeline.lines.iter().take(LAST_LINES) {
            say_line!("    {line}");
        }
    }
    say_line!("  again: {}", report.command());
}

fn again(seed: u64, arguments: &SimulateArguments) -> Outcome {
    let report = simulation::run_world(seed, arguments.payments)?;
    let wanted = |line: &&String| arguments.about.as_ref().is_none_or(|about| line.contains(about.as_str()));
    let lines: Vec<&String> = report.journal.iter().filter(wanted).collect();
    let first = if arguments.about.is_some() { 0 } else { lines.len().saturating_sub(LAST_LINES) };
    for line in lines.iter().skip(first) {
        say_line!("{line}");
    }
    tell(&report);
    say_line!("  hash {:016x}", report.hash);
    match report.violations.len() {
        0 => Ok(()),
        count => Err(format!("{count} violation(s)")),
    }
}

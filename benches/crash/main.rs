//! The crash campaign: the release binary under load, killed again and again, with faults on every edge.
//!
//! ```sh
//! cargo bench --bench crash -- sqlite --kills 200 --seed 1
//! ```
//!
//! runs until the service has been killed so many times, lets everything settle, compares the books, and prints a table.
//! It ends with exit code 1 on any violation, with the evidence and where the database and the log are. Without `sqlite`
//! or `postgres` it runs on both, one after the other. About ten minutes for 200 kills on one database.
//!
//! # What happens
//!
//! - *Load*: several sites at once create payments and charge cards with and without 3-D Secure, capture and cancel in
//!   two stages, refund, ask for the status, list and sync; payers pay in the payment window, some in two tabs; at the
//!   end somebody refunds in the provider's cabinet. A site does what the README tells it to: after any failure it sends
//!   the same request with the same `Idempotency-Key`.
//! - *Crashes*: `kill -9` of the service at random moments; on PostgreSQL also of all processes of the server, alone, just
//!   before or just after the service. Each is started again.
//! - *Faults* of the provider: connections dropped before and after the work, answers late, garbled, with status 429 or
//!   5xx, silence, refusals; notifications lost, doubled, late, out of order and before the answer.
//!
//! The sandbox lives in this process and survives. The settings are those of production, except: shorter time limits of
//! the provider's requests, and `cloudpayments.working_time_s`, which the sandbox never comes near.
//!
//! # What must hold at the end
//!
//! See `verdict.rs`: each check stands there with its reason. Faults are off then and everything has had time to settle.
//!
//! `--seed` decides what is done and what goes wrong, not what the threads of three processes do at the same time: a run
//! with the same seed is alike, not equal.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "support shared with the tests stops at the first surprise"
)]

mod chaos;
mod journal;
mod random;
mod report;
mod settle;
mod shoppers;
mod site;
mod stage;
mod verdict;

#[path = "../support/database.rs"]
mod database;
#[path = "../../tests/it/support/form.rs"]
mod form;
#[path = "../support/http.rs"]
#[expect(dead_code, reason = "the figures use all of it")]
mod http;
#[path = "../../tests/it/support/postgres.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use all of it; its own tests do not run here")]
mod postgres;
#[path = "../support/service.rs"]
#[expect(dead_code, reason = "the figures use all of it")]
mod service;
#[path = "../../tests/it/support/sql.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod sql;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use database::Engine;
use random::Random;
use stage::Stage;

/// Sites that work at the same time.
const SITES: u64 = 12;

/// What a run may be told.
struct Options {
    engines: Vec<Engine>,
    kills: u32,
    seed: u64,
}

fn main() -> ExitCode {
    // `cargo test --all-targets` starts benches, too, built without optimization.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing is killed in a test; run: cargo bench --bench crash");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Whether no campaign found a violation.
fn run() -> Result<bool, String> {
    let options = options()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("the runtime does not start: {error}"))?;
    let mut clean = true;
    for engine in &options.engines {
        clean &= runtime.block_on(campaign(*engine, &options))?;
    }
    Ok(clean)
}

async fn campaign(engine: Engine, options: &Options) -> Result<bool, String> {
    let started = Instant::now();
    let mut stage = Stage::set(engine).await?;
    let site = Arc::clone(&stage.site);
    let mut random = Random::new(options.seed);
    let faults = tokio::spawn(chaos::faults(stage.sandbox.clone(), random.fork()));
    let sites: Vec<_> = (0..SITES)
        .map(|number| tokio::spawn(shoppers::work(Arc::clone(&site), stage.sandbox.clone(), number, random.fork())))
        .collect();

    let killed = chaos::kill(&mut stage, options.kills, &mut random).await?;
    let loaded_for = started.elapsed();

    faults.abort();
    site.close();
    for site in sites {
        site.await.map_err(|error| format!("a site broke off: {error}"))?;
    }
    let settled = settle::settle(&stage).await?;
    let violations = verdict::judge(&stage, &settled).await?;
    let whole = started.elapsed();
    report::print(&report::Outcome {
        stage: &stage,
        seed: options.seed,
        killed,
        loaded_for,
        whole,
        settled: &settled,
        violations: &violations,
    });
    stage.end(!violations.is_empty()).await?;
    Ok(violations.is_empty())
}

fn options() -> Result<Options, String> {
    let mut options = Options { engines: vec![Engine::Sqlite, Engine::Postgres], kills: 200, seed: 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = |name: &str| {
            let text = arguments.next().unwrap_or_default();
            text.parse::<u64>().map_err(|_| format!("{name} takes a whole number, not {text:?}"))
        };
        match argument.as_str() {
            // `cargo bench` adds it.
            "--bench" => {}
            "--kills" => options.kills = number("--kills")?.try_into().map_err(|_| "too many kills".to_owned())?,
            "--seed" => options.seed = number("--seed")?,
            "sqlite" => options.engines = vec![Engine::Sqlite],
            "postgres" => options.engines = vec![Engine::Postgres],
            other => return Err(format!("no such argument: {other}; there are sqlite, postgres, --kills N, --seed N")),
        }
    }
    Ok(options)
}

/// A pause that lets others work.
async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

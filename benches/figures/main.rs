//! The figures of the service: requests per second, latency, own CPU time, memory and time to start, on both databases.
//!
//! ```sh
//! cargo bench --bench figures
//! ```
//!
//! runs for about three minutes, ends by itself and prints Markdown tables with every figure beside its target. Needs
//! what the tests need: the PostgreSQL server binaries (see the README). Linux only, because it reads `/proc`.
//!
//! # What is measured
//!
//! The release binary, as `serve` runs it, in a process of its own, with the default settings except: no rate limit, log
//! filter `warn`, and no cap of the provider's requests. The load generator and the provider's stub share the bench
//! process, one thread each; the database is an SQLite file under `target/`, then a PostgreSQL server of our own with
//! `fsync` on, under `TMPDIR`. All of them share the cores of the machine, and everything stays on the loopback interface.
//!
//! The load is a closed loop: each connection sends its next request when it has the answer to the one before. Every
//! answer is read and checked (`201` and `paid`, `200`, `{"code":0}`); after the notifications every payment is read once
//! more and must be `paid`. One wrong answer, or one line in the log of the service, and the command ends with exit code 1.
//!
//! - *Own CPU* is user and system time of the service's process alone, for each request of the measured span; the
//!   database server's is not in it, SQLite's is.
//! - *Added latency* is what the service takes at one connection less what the stub takes when it is called directly, of
//!   the same percentile.
//! - *Memory* is resident memory (`VmRSS` idle, `VmHWM` under load: the highest in the life of the process).
//! - *Start to ready* is from the start of the process to the first `200` of `/health/ready`, on the database that the
//!   scenarios before have filled.
//!
//! # What can be set
//!
//! | | |
//! |---|---|
//! | `-- sqlite`, `-- postgres` | only this database |
//! | `-- --in-flight` | measures 10,000 payments at once with an upstream of 1 s, too; each process needs 20,500 open files (`ulimit -n`) |
//! | `-- --register` | measures only a comparison with a register of 100,000 transactions: its time and its memory |
//! | `-- --report` | measures only the accountant's day with 100,000 rows: its time and its memory |
//! | `BENCH_REGISTER` | another number of transactions in both |
//! | `BENCH_IN_FLIGHT` | another number of payments at once, where so many files are not allowed |
//! | `BENCH_SECONDS` | length of each measured span, 8; half of it before, to warm up |
//! | `BENCH_UPSTREAM_MS` | delay of the stub, 0 |
//! | `BENCH_KEEP` | `1`: leave the SQLite database and the log where they are, and print where |
//! | `TMPDIR` | where PostgreSQL's files are; a `tmpfs` there makes its durability free, so the header names the file system |
//!
//! To see where the time goes, run `perf record -g -p $(pgrep -f 'kmic-payments serve')` beside it.
//!
//! A figure differs by 10 to 20 % from run to run, by more where other programs run. Compare runs of one quiet machine.

#![expect(clippy::float_arithmetic, reason = "a benchmark computes with floats; money is not among them")]

#[path = "../support/database.rs"]
#[expect(dead_code, reason = "the crash campaign uses all of it")]
mod database;
mod day;
#[path = "../support/http.rs"]
mod http;
mod load;
mod measure;
#[path = "../../tests/it/support/postgres.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use all of it; its own tests do not run here")]
mod postgres;
mod register;
mod report;
mod requests;
mod scenarios;
#[path = "../support/service.rs"]
#[expect(dead_code, reason = "the crash campaign uses all of it")]
mod service;
mod stub;

use std::process::ExitCode;
use std::time::Duration;

use database::Engine;
use report::Report;

/// What a run may be told.
pub struct Options {
    engines: Vec<Engine>,
    /// Payments at once in the scenario of `--in-flight`; `None` without it.
    in_flight: Option<usize>,
    /// Transactions in the register of `--register`; `None` without it.
    register: Option<u64>,
    /// Rows of the day of `--report`; `None` without it.
    report: Option<u64>,
    measured: Duration,
    upstream_delay: Duration,
    keep: bool,
}

fn main() -> ExitCode {
    // `cargo test --all-targets` starts benches, too, built without optimization.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing is measured in a test; run: cargo bench --bench figures");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(errors) if errors.is_empty() => ExitCode::SUCCESS,
        Ok(errors) => {
            eprintln!("\n{} surprise(s):", errors.len());
            errors.iter().for_each(|error| eprintln!("- {error}"));
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Vec<String>, String> {
    let options = options()?;
    if let Some(payments) = options.in_flight {
        measure::ensure_open_files(payments)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime does not start: {error}"))?;
    let mut report = Report::new(&options);
    print!("{}", report.header());
    for engine in &options.engines {
        let local = tokio::task::LocalSet::new();
        match (options.register, options.report) {
            (_, Some(rows)) => {
                runtime.block_on(local.run_until(scenarios::with_report(*engine, rows, &options, &mut report)))?
            }
            (Some(transactions), None) => runtime.block_on(local.run_until(scenarios::with_register(
                *engine,
                transactions,
                &options,
                &mut report,
            )))?,
            (None, None) => runtime.block_on(local.run_until(scenarios::run(*engine, &options, &mut report)))?,
        }
    }
    print!("{}", report.tables());
    Ok(report.surprises)
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        engines: vec![Engine::Sqlite, Engine::Postgres],
        in_flight: None,
        register: None,
        report: None,
        measured: Duration::from_secs(number("BENCH_SECONDS", 8)?.clamp(1, 600)),
        upstream_delay: Duration::from_millis(number("BENCH_UPSTREAM_MS", 0)?),
        keep: std::env::var_os("BENCH_KEEP").is_some(),
    };
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            // `cargo bench` adds it.
            "--bench" => {}
            "--in-flight" => options.in_flight = usize::try_from(number("BENCH_IN_FLIGHT", 10_000)?).ok(),
            "--register" => options.register = Some(number("BENCH_REGISTER", 100_000)?),
            "--report" => options.report = Some(number("BENCH_REGISTER", 100_000)?),
            "sqlite" => options.engines = vec![Engine::Sqlite],
            "postgres" => options.engines = vec![Engine::Postgres],
            other => {
                return Err(format!(
                    "no such argument: {other}; there are sqlite, postgres, --in-flight, --register and --report"
                ));
            }
        }
    }
    Ok(options)
}

fn number(name: &str, default: u64) -> Result<u64, String> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} must be a whole number")),
        Err(_) => Ok(default),
    }
}

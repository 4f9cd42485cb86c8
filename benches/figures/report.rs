//! The tables: what was measured beside what is to be reached.

use std::path::Path;

use super::{Options, measure};

/// What a figure is to reach.
#[derive(Clone, Copy)]
pub enum Target {
    None,
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_reached_by(self, value: f64) -> bool {
        match self {
            Target::None => true,
            Target::AtLeast(least) => value >= least,
            Target::AtMost(most) => value <= most,
        }
    }

    /// `≥ 5000/s: reached`; empty without a target.
    fn judge(self, value: f64, unit: &str) -> String {
        let bound = match self {
            Target::None => return String::new(),
            Target::AtLeast(least) => format!("≥ {least}"),
            Target::AtMost(most) => format!("≤ {most}"),
        };
        let verdict = if self.is_reached_by(value) { "reached" } else { "**missed**" };
        format!("{bound}{unit}: {verdict}")
    }
}

/// One scenario of requests.
pub struct Row {
    pub what: String,
    pub database: &'static str,
    pub connections: usize,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub own_cpu_ms: f64,
    pub rate: Target,
    pub own_cpu: Target,
}

/// Collects figures. Progress goes to the error stream, so that the output is the report alone.
pub struct Report {
    header: String,
    rows: Vec<String>,
    values: Vec<String>,
    /// Whatever was not as it must be; a target that was missed is none.
    pub surprises: Vec<String>,
}

impl Report {
    pub fn new(options: &Options) -> Report {
        let sqlite = measure::file_system(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let postgres = measure::file_system(&std::env::temp_dir());
        let header = format!(
            "{}; SQLite on {sqlite}, PostgreSQL on {postgres}; upstream {} ms, {} s measured each\n\n",
            measure::machine(),
            options.upstream_delay.as_millis(),
            options.measured.as_secs(),
        );
        Report { header, rows: Vec::new(), values: Vec::new(), surprises: Vec::new() }
    }

    pub fn header(&self) -> &str {
        &self.header
    }

    pub fn row(&mut self, row: Row) {
        let judged = [row.rate.judge(row.per_second, "/s"), row.own_cpu.judge(row.own_cpu_ms, " ms own CPU")];
        let target = judged.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        let Row { what, database, connections, per_second, p50_ms, p99_ms, own_cpu_ms, .. } = row;
        let line = format!(
            "| {what} | {database} | {connections} | {per_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {own_cpu_ms:.3} | {target} |"
        );
        eprintln!("{line}");
        self.rows.push(line);
    }

    pub fn value(&mut self, what: &str, database: &str, value: f64, unit: &str, target: Target) {
        let target = target.judge(value, &format!(" {unit}"));
        let line = format!("| {what} | {database} | {value:.2} {unit} | {target} |");
        eprintln!("{line}");
        self.values.push(line);
    }

    pub fn tables(&self) -> String {
        format!(
            "| what | database | connections | /s | p50 ms | p99 ms | own CPU ms | target |\n\
             |---|---|---:|---:|---:|---:|---:|---|\n{}\n\n\
             | what | database | measured | target |\n|---|---|---:|---|\n{}\n",
            self.rows.join("\n"),
            self.values.join("\n")
        )
    }
}

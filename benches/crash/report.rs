//! The table at the end of a campaign.

use std::time::Duration;

use super::chaos::Killed;
use super::settle::Settled;
use super::stage::Stage;

/// What came out.
pub struct Outcome<'a> {
    pub stage: &'a Stage,
    pub seed: u64,
    pub killed: Killed,
    /// How long the load and the kills lasted.
    pub loaded_for: Duration,
    pub whole: Duration,
    pub settled: &'a Settled,
    pub violations: &'a [String],
}

/// Prints Markdown, and the evidence of violations.
pub fn print(outcome: &Outcome<'_>) {
    let Outcome { stage, seed, killed, settled, .. } = outcome;
    let mut sql = stage.sql();
    let mut count = |question: &str| sql.number(&format!("SELECT count(*) AS value FROM {question}"));
    println!("\n## Crash campaign on {}, seed {seed}\n", stage.engine.name());
    println!("| | |\n|---|---|");
    let row = |name: &str, value: String| println!("| {name} | {value} |");
    row("payments", count("payments").to_string());
    row("refunds", count("refunds").to_string());
    row("transactions at the provider", stage.sandbox.ledger().transactions.len().to_string());
    {
        let journal = stage.site.journal();
        row("requests of the sites", journal.requests.to_string());
        row("of them sent again under their key", journal.repeats.to_string());
        row("answers marked as replayed", journal.replayed.to_string());
        row("final answers repeated byte for byte", journal.answered.len().to_string());
        row("payments and refunds told as proven", journal.told.len().to_string());
    }
    row("kills of the service", killed.service.to_string());
    row("kills of the database server", killed.server.to_string());
    let deliveries = stage.sandbox.deliveries();
    row("notifications sent", deliveries.iter().filter(|delivery| delivery.attempt > 0).count().to_string());
    row(
        "of them acknowledged",
        deliveries.iter().filter(|delivery| delivery.outcome == "delivered").count().to_string(),
    );
    let faults = stage.sandbox.fault_counts().happened;
    row("faults of the provider", faults.values().sum::<u64>().to_string());
    for (kind, times) in &faults {
        row(&format!("– {kind}"), times.to_string());
    }
    row("calls whose outcome was undetermined", count("transitions WHERE detail LIKE '%\"lost\":%'").to_string());
    row("open when the faults ended", settled.open_before.to_string());
    row("requests that were finished then", settled.finished.to_string());
    row("open after the workers had their time", settled.open_after_workers.to_string());
    row("refunds in the cabinet at the end", settled.from_cabinet.to_string());
    row("open payments an operator asked about at the end", settled.synced.to_string());
    row("open at the end", settled.open.to_string());
    row("violations", outcome.violations.len().to_string());
    row("load and kills", format!("{} s", outcome.loaded_for.as_secs()));
    row("whole run", format!("{} s", outcome.whole.as_secs()));
    if !outcome.violations.is_empty() {
        eprintln!("\nViolations (seed {seed}; database and log in {}):", stage.folder().display());
        outcome.violations.iter().for_each(|violation| eprintln!("- {violation}"));
    }
}

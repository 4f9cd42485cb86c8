//! `audit`: roots of the history, looking for changes of it, proofs of one payment's history.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;

use super::keys::parse_span;
use super::say::say_line;
use super::{Outcome, report, text};
use crate::app::{
    Proof, Proven, ProvenRow, PublishedRoot, VerifyHistory, find_daily_root, prove_history, verify_history,
};
use crate::clock::{Clock, Day, SystemClock};
use crate::config::Raw;
use crate::domain::id::PaymentId;
use crate::domain::proof::Hash;
use crate::store::{Store, StoreSettings, migrate};
use crate::vault::Vault;

/// Most bytes of a file that is read.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Prints the root of a day: the day, the number of its last seal, the hash. Keep it where the database is not.
    Root {
        /// UTC day, 2026-11-25. The last one that has a root when left out.
        #[arg(long, value_name = "DAY", value_parser = parse_day)]
        day: Option<Day>,
    },
    /// Computes the whole history anew, with the events; names the first row that was changed, put in or taken away, and
    /// exits 1.
    Verify {
        /// File with lines as `audit root` prints them: each must still hold. Without it a history that was cut off or
        /// rewritten from some point on as a whole does not show.
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
        /// A row must be sealed so soon after it was recorded.
        #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "1h")]
        sealed_within: i64,
    },
    /// Prints a proof of one payment's history that can be checked without this database.
    Prove {
        /// pay_…
        payment_id: String,
        /// Up to the root of this UTC day; up to the last seal when left out.
        #[arg(long, value_name = "DAY", value_parser = parse_day)]
        day: Option<Day>,
    },
    /// Checks a proof against a root. Needs no database and no setting. Whoever gives the proof can leave out its last rows:
    /// that does not show.
    Check {
        /// What `audit prove` printed.
        file: PathBuf,
        /// The hash of the root, from where it was published: 64 hexadecimal digits.
        #[arg(long, value_name = "HEX", value_parser = parse_hash)]
        root: Hash,
    },
}

fn parse_day(text: &str) -> Result<Day, String> {
    Day::parse(text).ok_or_else(|| "write a day, for example 2026-11-25".to_owned())
}

fn parse_hash(text: &str) -> Result<Hash, String> {
    Hash::parse(text).ok_or_else(|| "write 64 hexadecimal digits, as `audit root` prints them".to_owned())
}

pub(super) async fn run(raw: Raw, command: AuditCommand) -> Outcome {
    match command {
        AuditCommand::Root { day } => print_root(&open(&raw)?, day).await,
        AuditCommand::Verify { root, sealed_within } => verify(&raw, root.as_deref(), sealed_within).await,
        AuditCommand::Prove { payment_id, day } => prove(&open(&raw)?, &payment_id, day).await,
        AuditCommand::Check { file, root } => check(&file, root),
    }
}

/// The database alone: the history holds nothing sealed by a key.
fn open(raw: &Raw) -> Result<Store, String> {
    let target = raw.database_target().map_err(text)?;
    if target.file().is_some_and(|file| !file.exists()) || !migrate::is_current(&target).map_err(report)? {
        return Err("this database has no history yet; check database.url, or run: kmic-payments migrate".to_owned());
    }
    let settings = StoreSettings { target, readers: 1, writers: 1, batch_limit: 1, queue_limit: 16 };
    Store::start(&settings, &Arc::new(Vault::new(&[0; 32], &[]))).map_err(text)
}

async fn print_root(store: &Store, day: Option<Day>) -> Outcome {
    let found = store.read(move |tx| find_daily_root(tx, day)).await.map_err(report)?;
    let Some(root) = found else {
        return Err("nothing was sealed on that day; the root of the last day before it stands for it too".to_owned());
    };
    say_line!("{} {} {}", root.day, root.seal, root.hash);
    if root.day == Day::of(SystemClock.now()) {
        eprintln!("the day is not over yet: it will have another root");
    }
    Ok(())
}

async fn verify(raw: &Raw, roots: Option<&Path>, sealed_within_s: i64) -> Outcome {
    let published = roots.map(read_roots).transpose()?.unwrap_or_default();
    let count = published.len();
    let what = VerifyHistory { published, sealed_before: SystemClock.now().plus_seconds(-sealed_within_s) };
    let verdict = open(raw)?.read(move |tx| verify_history(tx, &what)).await.map_err(report)?;
    let history = verdict.map_err(|broken| format!("the history does not hold: {broken}"))?;
    say_line!(
        "the history holds: {} sealed rows and events without a payment in {} seals, {} waiting, {count} published roots found again",
        history.rows,
        history.seals,
        history.waiting
    );
    if let Some(root) = history.root {
        say_line!("{} {} {}", root.day, root.seal, root.hash);
    }
    Ok(())
}

fn read_roots(path: &Path) -> Result<Vec<PublishedRoot>, String> {
    let content = read_file(path)?;
    let lines = content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let roots: Result<Vec<_>, String> = lines
        .map(|(index, line)| {
            PublishedRoot::parse(line).ok_or_else(|| {
                format!("{}, line {}: write day, seal and hash as `audit root` prints them", path.display(), index + 1)
            })
        })
        .collect();
    match roots {
        Ok(roots) if roots.is_empty() => Err(format!("{} holds no root", path.display())),
        other => other,
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if std::fs::metadata(path).map_err(cannot)?.len() > FILE_LIMIT {
        return Err(format!("{} is larger than {FILE_LIMIT} bytes", path.display()));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

async fn prove(store: &Store, payment_id: &str, day: Option<Day>) -> Outcome {
    let id = PaymentId::parse(payment_id).ok_or("not the id of a payment: it begins with pay_")?;
    let proof = store.read(move |tx| prove_history(tx, &id, day)).await.map_err(report)?;
    say_line!("{}", serde_json::to_string_pretty(&proof).map_err(text)?);
    eprintln!("leads to the root {} {} {}", proof.root.day, proof.root.seal, proof.root.hash);
    Ok(())
}

fn check(file: &Path, root: Hash) -> Outcome {
    let proof: Proof = serde_json::from_str(&read_file(file)?).map_err(|error| format!("not a proof: {error}"))?;
    let Proven { payment_id, rows, root_at } =
        proof.check(root).map_err(|fault| format!("the proof does not hold: {fault}"))?;
    say_line!("the proof holds: {payment_id} had these rows in its history when the root was made, {root_at}");
    for ProvenRow { row, events } in rows {
        say_line!(
            "{:>4}  {}  {} > {}  {} by {}",
            row.sequence,
            row.at,
            row.from_status,
            row.to_status,
            row.cause_type,
            row.actor
        );
        match events {
            Some(events) => events.iter().for_each(|event| say_line!("      told: {} {}", event.kind, event.id)),
            None => say_line!("      its seal does not say what the site was told"),
        }
    }
    say_line!("rows after these may have been left out: a proof does not show that it goes up to the root");
    Ok(())
}

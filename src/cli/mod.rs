//! The command line: arguments, and what each command does.

mod audit;
#[cfg(feature = "sandbox")]
mod demo;
#[cfg(feature = "sandbox")]
mod dev;
mod give_up;
mod keys;
mod rotate;
mod say;
mod serve;
#[cfg(feature = "sandbox")]
mod simulate;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use self::say::{complain, say, say_line};
use crate::config::Raw;
use crate::store::migrate;

/// Payments between a site and CloudPayments (TipTop Pay): create, status, refund, and a history that is never rewritten.
#[derive(Parser)]
#[command(name = "kmic-payments", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct ConfigFile {
    /// TOML file that overrides the built-in defaults; the environment (KMIC_PAYMENTS__SECTION__KEY) overrides both.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// First look: service and offline CloudPayments sandbox on this machine, embedded database under data/, no set-up.
    #[cfg(feature = "sandbox")]
    Dev(dev::DevArguments),
    /// Plays a whole story against a temporary instance and prints each payment's history; exits 0 if all went as told.
    #[cfg(feature = "sandbox")]
    Demo,
    /// Runs payments through worlds in which everything goes wrong, and audits the books of each; exits 1 when a law breaks.
    #[cfg(feature = "sandbox")]
    Simulate(simulate::SimulateArguments),
    /// Production: serves the API. Refuses to start on missing or contradictory settings and lists all of them.
    Serve(ConfigFile),
    /// Applies missing migrations to the database.
    Migrate(ConfigFile),
    /// Prints the OpenAPI document. Needs no database and no secret.
    Openapi,
    /// Checks the settings and prints them without their secrets.
    CheckConfig(ConfigFile),
    /// Shows whether the recorded history was changed, and proves the history of a payment.
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Makes, rotates, lists and revokes API keys; moves personal data under a new encryption key.
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// Reads the arguments and runs the command.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        #[cfg(feature = "sandbox")]
        Command::Dev(arguments) => on_runtime(dev::run(arguments)),
        #[cfg(feature = "sandbox")]
        Command::Demo => on_runtime(demo::run()),
        #[cfg(feature = "sandbox")]
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Serve(file) => load(&file).and_then(|raw| on_runtime(serve::run(raw))),
        Command::Migrate(file) => load(&file).and_then(|raw| migrate_database(&raw)),
        Command::Openapi => {
            say!("{}", crate::http::document());
            Ok(())
        }
        Command::CheckConfig(file) => load(&file).and_then(|raw| check_config(&raw)),
        Command::Audit { command, file } => load(&file).and_then(|raw| on_runtime(audit::run(raw, command))),
        Command::Keys { command, file } => load(&file).and_then(|raw| on_runtime(keys::run(raw, command))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(format_args!("{}", message.trim_end()));
            ExitCode::FAILURE
        }
    }
}

/// How long a command that is done waits for threads that are not.
const END_LIMIT: Duration = Duration::from_secs(5);

/// What a command ends with: nothing, or what the person at the terminal should read.
type Outcome = Result<(), String>;

fn on_runtime(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build();
    let runtime = runtime.map_err(|error| format!("the runtime does not start: {error}"))?;
    let outcome = runtime.block_on(work);
    // Not for ever: a thread may wait for a database server that is gone.
    runtime.shutdown_timeout(END_LIMIT);
    outcome
}

fn load(file: &ConfigFile) -> Result<Raw, String> {
    Raw::load(file.config.as_deref()).map_err(text)
}

fn migrate_database(raw: &Raw) -> Outcome {
    let applied = migrate::migrate(&raw.database_target().map_err(text)?).map_err(report)?;
    match applied.len() {
        0 => say_line!("nothing to do: the database is up to date"),
        count => say_line!("applied {count} migration(s): {}", applied.join(", ")),
    }
    Ok(())
}

fn check_config(raw: &Raw) -> Outcome {
    say!("{}", raw.redacted());
    raw.check().map(drop).map_err(text)?;
    say_line!("\nthe settings are complete");
    Ok(())
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// An error for the terminal, with what only we may read: whoever runs the command is us.
fn report(error: crate::error::Error) -> String {
    use crate::error::Error;
    match error {
        Error::Internal(internal) | Error::KeyMissing(internal) => internal,
        Error::Unavailable { detail, internal, .. } => format!("{detail} ({internal})"),
        Error::DatabaseUnavailable(ref internal) | Error::OutcomeUnknown(ref internal) => {
            format!("{error} ({internal})")
        }
        other => other.to_string(),
    }
}

/// Resolves when the process is asked to end: Ctrl-C or SIGTERM.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

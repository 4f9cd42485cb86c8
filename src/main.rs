//! The `kmic-payments` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    kmic_payments::cli::run()
}

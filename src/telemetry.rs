//! Logs: one line an event, JSON in production.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::LogSettings;

/// Sends log lines to standard error. Does nothing when logs are set up already.
pub fn init(settings: &LogSettings) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).with_target(false);
    // An error means that a subscriber is set already, as in tests.
    let _ = if settings.json { lines.json().flatten_event(true).try_init() } else { lines.try_init() };
}

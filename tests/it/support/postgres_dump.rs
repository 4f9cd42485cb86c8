//! A move by dump: what `pg_dump` writes of a database is restored on another server, which counts its transactions anew.

use std::path::Path;
use std::process::{Command, Stdio};

use super::installed::clean_environment;
use super::{PostgresServer, USER};

impl PostgresServer {
    /// Restores a database on another server, where there is none of that name yet.
    pub fn move_by_dump(&self, database: &str, other: &PostgresServer) -> Result<(), String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = folder.path().join("dump");
        other.create_database(database, None)?;
        self.run_client("pg_dump", &["--format", "custom", "--dbname", database, "--file"], &file)?;
        other.run_client("pg_restore", &["--exit-on-error", "--dbname", database], &file)
    }

    fn run_client(&self, name: &str, arguments: &[&str], file: &Path) -> Result<(), String> {
        let mut command = Command::new(self.binaries.join(name));
        clean_environment(&mut command);
        command.args(["--host", "127.0.0.1", "--username", USER, "--port", &self.port.to_string()]);
        let output = command.args(arguments).arg(file).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cannot start {name}, which comes with PostgreSQL: {error}"))?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

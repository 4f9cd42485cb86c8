//! Which PostgreSQL server this process works with, so that it never goes on with another one.
//!
//! A standby that takes over, or a copy that was recovered, may lack what this process saw committed: keys of requests
//! above all, whose repeats would charge again. Only a start reads back what was lost (`app/gap.rs`). So the server that
//! was met first is kept, no other is ever used, and the process ends as by a crash: its supervisor starts it again.
//!
//! A server is known by its system identifier and its timeline. Each promotion and each recovery to a point in time
//! begins a new timeline; a crash and the recovery from it do not.

use std::sync::Arc;

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use tokio::sync::watch;

use crate::error::{Error, Result};

/// From the most telling question to the least: a role may not be allowed all of them, and some managed servers answer
/// none. NULL is a standby's answer: one that is promoted later would keep the connection over its change of timeline.
const QUESTIONS: [&str; 3] = [
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 'timeline ' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || \
     ' of system ' || (SELECT system_identifier FROM pg_control_system()) END AS name",
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 'timeline ' || left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS name",
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN '' END AS name",
];

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
}

/// What is known of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// None was met yet.
    Nothing,
    /// It does not say which one it is.
    Unnamed,
    /// It is this one.
    Named(String),
    /// Another one answers in its place.
    Replaced,
}

/// The server that was met first; clones share it.
#[derive(Clone)]
pub(super) struct Server(Arc<watch::Sender<Known>>);

impl Default for Server {
    fn default() -> Server {
        Server(Arc::new(watch::Sender::new(Known::Nothing)))
    }
}

impl Server {
    /// # Errors
    /// [`Error::DatabaseUnavailable`] once another server was met, for good.
    pub(super) fn is_ours(&self) -> Result<()> {
        if *self.0.borrow() == Known::Replaced { Err(replaced()) } else { Ok(()) }
    }

    /// Asks who is at the other end of a connection, before it is used for anything else.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when the connection must not be used.
    pub(super) fn meet(&self, conn: &mut PgConnection) -> Result<()> {
        self.compare(&ask(conn)?)
    }

    /// Resolves when another server was met.
    pub(super) async fn replaced(&self) {
        // An error would say that there is no sender, and we hold one.
        let _ = self.0.subscribe().wait_for(|known| *known == Known::Replaced).await;
    }

    /// `name` is empty where the server does not tell.
    fn compare(&self, name: &str) -> Result<()> {
        let mut verdict = Ok(());
        self.0.send_if_modified(|known| {
            let now = match &*known {
                Known::Nothing if name.is_empty() => {
                    tracing::warn!(
                        "the database server does not tell its timeline; stop the service before a standby takes over"
                    );
                    Known::Unnamed
                }
                Known::Nothing | Known::Unnamed if !name.is_empty() => Known::Named(name.to_owned()),
                // The same, or with the system that it did not tell before.
                Known::Named(ours) if name.starts_with(ours.as_str()) => Known::Named(name.to_owned()),
                // It tells less than before: nothing, or its timeline alone.
                Known::Named(ours) if ours.starts_with(name) => {
                    verdict =
                        Err(Error::database_unavailable(format!("the server does not tell whether it is {ours}")));
                    return false;
                }
                Known::Named(ours) => {
                    tracing::error!(
                        ours,
                        found = name,
                        "the database server was replaced; this process uses no other and ends, to be started again"
                    );
                    Known::Replaced
                }
                _ => known.clone(),
            };
            if now == Known::Replaced {
                verdict = Err(replaced());
            }
            let changed = *known != now;
            *known = now;
            changed
        });
        verdict
    }
}

fn replaced() -> Error {
    Error::database_unavailable("the database server was replaced under this process, which therefore ends")
}

/// What the server calls itself; empty when it may not be asked.
fn ask(conn: &mut PgConnection) -> Result<String> {
    for question in QUESTIONS {
        match diesel::sql_query(question).get_result::<Answer>(conn).map_err(Error::from) {
            Ok(Answer { name: Some(name) }) => return Ok(name),
            Ok(Answer { name: None }) => {
                return Err(Error::database_unavailable("the server is a standby, or still recovers"));
            }
            // It failed in passing.
            Err(error @ Error::DatabaseUnavailable(_)) => return Err(error),
            Err(error) => tracing::debug!(?error, "the server does not answer who it is"),
        }
    }
    Err(Error::database_unavailable("the server does not even tell whether it is a standby"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_tell_is_told_apart_from_another_one() {
        let server = Server::default();
        for name in ["", "", "one", "one"] {
            server.compare(name).unwrap();
        }
        server.compare("").unwrap_err();
        server.is_ours().unwrap();
        server.compare("one").unwrap();
        server.compare("one of many").unwrap();
        server.compare("one").unwrap_err();
        server.is_ours().unwrap();
        server.compare("one of many").unwrap();
        server.clone().compare("two").unwrap_err();
        server.is_ours().unwrap_err();
        server.compare("one").unwrap_err();
    }
}

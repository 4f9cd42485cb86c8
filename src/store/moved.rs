//! Whether the database was moved to a PostgreSQL server that counts its transactions from the beginning.
//!
//! The feed's order is the numbers of transactions ([`super::events`]), and a dump that is restored on another server brings
//! the events and not the counter. There, what is written would stand before what the site has read, and what it has not
//! read would wait for a number that is not reached in years. So a process looks before it serves, and each connection
//! before it writes: where an event stands at or beyond what the server has counted, the number of the last one is noted
//! as `bias` (`feed_moves`) and added to all numbers from then on. Nothing that stands in the feed is changed.
//!
//! Whoever writes an event reads the bias in the same transaction, and so holds a lock on its table until the end. To note a
//! move takes that table for itself: it waits for all of those, and nobody goes on with the number of before.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use super::conn::{DbConn, Target};
use crate::error::{Error, Result};

/// No server comes to this number, 2^62: an event that stands there was put in past the service, and is shown by the law.
const LAST: &str = "SELECT max(epoch) AS last FROM events WHERE epoch < 4611686018427387904";

#[derive(QueryableByName)]
struct Moved {
    #[diesel(sql_type = Bool)]
    moved: bool,
}

#[derive(QueryableByName)]
struct Rights {
    #[diesel(sql_type = Bool)]
    enough: bool,
    #[diesel(sql_type = Text)]
    role: String,
}

/// Looks before anything is served, and whether this role may do what each event needs.
///
/// # Errors
/// [`Error::Internal`] when it may not, with what its owner has to run; [`Error::DatabaseUnavailable`].
pub fn look(target: &Target) -> Result<()> {
    let mut conn = target.connect()?;
    if let DbConn::Postgres(inner) = &mut conn {
        has_rights(inner)?;
    }
    note(&mut conn)
}

/// Notes a move where there was one.
pub(super) fn note(conn: &mut DbConn) -> Result<()> {
    let DbConn::Postgres(conn) = conn else { return Ok(()) };
    let question = format!("SELECT COALESCE(last >= written, false) AS moved FROM ({LAST}) AS events, feed_end");
    if !diesel::sql_query(question).get_result::<Moved>(conn)?.moved {
        return Ok(());
    }
    // Read committed: what another process noted while this one waited is seen.
    let noted = conn.build_transaction().read_committed().run(|conn| {
        conn.batch_execute("LOCK TABLE feed_moves IN ACCESS EXCLUSIVE MODE")?;
        let note = format!(
            "INSERT INTO feed_moves (bias, at) SELECT last, now() AT TIME ZONE 'UTC' FROM ({LAST}) AS events, feed_end \
             WHERE last >= written"
        );
        Ok::<_, Error>(diesel::sql_query(note).execute(conn)?)
    })?;
    if noted > 0 {
        tracing::warn!("the database was moved to a server that counts anew; the feed goes on behind its last event");
    }
    Ok(())
}

fn has_rights(conn: &mut PgConnection) -> Result<()> {
    let question = "SELECT has_table_privilege('feed_moves', 'SELECT') AND has_table_privilege('feed_moves', 'INSERT') \
                    AND has_table_privilege('feed_moves', 'UPDATE') AND has_table_privilege('feed_end', 'SELECT') AS enough, \
                    quote_ident(current_user) AS role";
    let Rights { enough, role } = diesel::sql_query(question).get_result(conn)?;
    if enough {
        return Ok(());
    }
    Err(Error::internal(format!(
        "the role of database.url lacks rights; the owner of the tables runs what docs/security.md grants after each \
         migration, or: GRANT SELECT, INSERT, UPDATE ON feed_moves TO {role}; GRANT SELECT ON feed_end TO {role};"
    )))
}

//! Brings the database to the schema that this version needs.

use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::conn::{DbConn, Target};
use crate::error::{Error, Result};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Applies what is missing and returns the names of what was applied.
///
/// # Errors
/// [`Error::Unavailable`] without a database; [`Error::Internal`] when a migration fails.
pub fn migrate(target: &Target) -> Result<Vec<String>> {
    create_folder(target)?;
    migrate_connection(&mut target.connect()?)
}

/// The same on an open connection.
pub(super) fn migrate_connection(conn: &mut DbConn) -> Result<Vec<String>> {
    let applied = match conn {
        DbConn::Sqlite(conn) => names(conn.run_pending_migrations(SQLITE)),
        DbConn::Postgres(conn) => names(conn.run_pending_migrations(POSTGRES)),
    };
    applied.map_err(|error| Error::internal(format!("a migration failed: {error}")))
}

/// Whether the database has every migration of this version.
///
/// # Errors
/// As [`migrate`].
pub fn is_current(target: &Target) -> Result<bool> {
    let pending = match target.connect()? {
        DbConn::Sqlite(mut conn) => conn.has_pending_migration(SQLITE),
        DbConn::Postgres(mut conn) => conn.has_pending_migration(POSTGRES),
    };
    pending
        .map(|pending| !pending)
        .map_err(|error| Error::internal(format!("the migrations cannot be compared: {error}")))
}

fn names<E>(
    applied: std::result::Result<Vec<diesel::migration::MigrationVersion<'_>>, E>,
) -> std::result::Result<Vec<String>, E> {
    applied.map(|versions| versions.into_iter().map(|version| version.to_string()).collect())
}

fn create_folder(target: &Target) -> Result<()> {
    let folder = target.file().and_then(std::path::Path::parent).filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|error| {
            Error::internal(format!("cannot create the folder of the database, {}: {error}", folder.display()))
        }),
        None => Ok(()),
    }
}

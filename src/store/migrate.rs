//! Brings the database to the schema that this version needs.

use std::collections::HashSet;

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::conn::{DbConn, Target};
use crate::error::{Error, Result};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Applies what is missing and returns the names of what was applied.
///
/// # Errors
/// [`Error::DatabaseUnavailable`] without one; [`Error::Internal`] when a migration fails.
pub fn migrate(target: &Target) -> Result<Vec<String>> {
    create_folder(target)?;
    migrate_connection(&mut target.connect()?)
}

/// The same on an open connection.
pub(super) fn migrate_connection(conn: &mut DbConn) -> Result<Vec<String>> {
    let applied = match conn {
        DbConn::Sqlite(conn) => names(conn.run_pending_migrations(SQLITE)),
        DbConn::Postgres(conn) => {
            if postgres_is_current(conn)? {
                return Ok(Vec::new());
            }
            names(conn.run_pending_migrations(POSTGRES))
        }
    };
    applied.map_err(|error| Error::internal(format!("a migration failed: {error}")))
}

/// Whether the database has every migration of this version.
///
/// # Errors
/// As [`migrate`].
pub fn is_current(target: &Target) -> Result<bool> {
    match target.connect()? {
        DbConn::Sqlite(mut conn) => conn.has_pending_migration(SQLITE).map(|pending| !pending).map_err(not_compared),
        DbConn::Postgres(mut conn) => postgres_is_current(&mut conn),
    }
}

fn not_compared(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("the migrations cannot be compared: {error}"))
}

#[derive(QueryableByName)]
struct IsThere {
    #[diesel(sql_type = Bool)]
    is_there: bool,
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// Reads only. Diesel's own comparison begins with `CREATE TABLE IF NOT EXISTS`, and so fails for a role that owns nothing and
/// may make nothing, as the service's should.
fn postgres_is_current(conn: &mut PgConnection) -> Result<bool> {
    let table = "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS is_there";
    if !diesel::sql_query(table).get_result::<IsThere>(conn)?.is_there {
        return Ok(false);
    }
    let versions = "SELECT version FROM __diesel_schema_migrations";
    let applied: Vec<Applied> = diesel::sql_query(versions).load(conn).map_err(not_compared)?;
    let applied: HashSet<String> = applied.into_iter().map(|row| row.version).collect();
    let wanted: Vec<Box<dyn Migration<Pg>>> = POSTGRES.migrations().map_err(not_compared)?;
    Ok(wanted.iter().all(|migration| applied.contains(&migration.name().version().to_string())))
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

//! Diesel's errors as ours, in one place.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::error::Error;

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Error {
        match &error {
            DieselError::DatabaseError(
                // A unique value that was free when we looked: another process was faster, the next try sees it.
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand,
                info,
            ) => Error::database_unavailable(info.message().to_owned()),
            DieselError::DatabaseError(_, info) if is_passing(info.message()) => {
                Error::database_unavailable(info.message().to_owned())
            }
            DieselError::BrokenTransactionManager => Error::database_unavailable("broken transaction"),
            _ => Error::internal(format!("database: {error}")),
        }
    }
}

/// Failures that the drivers report without a kind of their own and that a later try may not meet.
fn is_passing(message: &str) -> bool {
    [
        "database is locked",
        // A unique value that was taken meanwhile, where a trigger refuses it first: see the triggers `…_no_replace`.
        "the row must be unique",
        "database table is locked",
        "deadlock detected",
        "lock timeout",
        "statement timeout",
        "server closed the connection",
        "terminating connection",
        "the database system is",
        "no connection to the server",
        "could not receive data",
        "disk is full",
        "disk I/O error",
    ]
    .iter()
    .any(|known| message.contains(known))
}

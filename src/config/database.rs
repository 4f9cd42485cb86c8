//! `[database]`.

use super::reader::Reader;
use crate::store::Target;

/// The database.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Where it is.
    pub target: Target,
    /// Threads that read.
    pub readers: usize,
    /// Threads that write.
    pub writers: usize,
    /// Writes in one commit.
    pub batch_limit: usize,
    /// Tasks that may wait.
    pub queue_limit: usize,
    /// Apply missing migrations at the start.
    pub migrate_on_start: bool,
}

impl Reader<'_> {
    pub(super) fn database(&mut self) -> Option<DatabaseSettings> {
        let target = match Target::parse(&self.raw.text("database.url")) {
            Ok(target) => Some(target),
            Err(fault) => self.fault("database.url", fault),
        };
        let readers = self.number("database.readers", 1, 64);
        let writers = self.number("database.writers", 1, 64);
        let batch_limit = self.number("database.batch_limit", 1, 1024);
        let queue_limit = self.number("database.queue_limit", 1, 1_000_000);
        let migrate_on_start = self.flag("database.migrate_on_start");
        Some(DatabaseSettings {
            target: target?,
            readers: readers?,
            writers: writers?,
            batch_limit: batch_limit?,
            queue_limit: queue_limit?,
            migrate_on_start: migrate_on_start?,
        })
    }
}

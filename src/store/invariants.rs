//! The money laws, asked of the live database.
//!
//! The tables are read in slices of their primary keys: each statement touches a bounded number of rows, and a reader
//! holds its snapshot only for one slice. [`evaluate`] reads everything in one snapshot, for tests.

mod laws;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text, Timestamp as SqlTimestamp};

pub use laws::{EVENT_IS_IN_THE_FEED, LAWS};

use super::Tx;
use super::conn::on_each;
use crate::clock::Timestamp;
use crate::error::Result;

/// At most so many rows at fault are named for a law.
pub const SHOWN: usize = 20;
/// Rows of the root table in one slice.
const SLICE_ROWS: i64 = 5_000;
/// An answer that was lost so many seconds ago is for a person.
pub const OVERDUE_S: i64 = 3 * 86_400;
/// Sorts after the id of every root table (`dis_`, `evt_`, `key_`, `ntf_`, `pay_`), whatever the collation of the database.
const BEYOND: &str = "zzzz";

/// A law that holds at every moment.
#[derive(Debug)]
pub struct Law {
    /// Stable snake_case name.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub law: &'static str,
    /// The table whose slices it is asked for.
    pub root: Root,
    /// Whether the query takes `$3`, the moment before which a lost answer is overdue.
    pub takes_moment: bool,
    /// Finds the rows at fault of a slice, one `subject` each: ids, nothing personal.
    pub sql: &'static str,
}

/// The table that is read in slices of its primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// By id.
    Payments,
    /// By id.
    Events,
    /// By id.
    Notifications,
    /// By API key and Idempotency-Key.
    IdempotencyKeys,
    /// By id.
    Discrepancies,
    /// By id.
    ApiKeys,
}

impl Root {
    /// In the order in which they are read.
    pub const ALL: [Root; 6] =
        [Root::Payments, Root::Events, Root::Notifications, Root::IdempotencyKeys, Root::Discrepancies, Root::ApiKeys];

    /// The name of the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Root::Payments => "payments",
            Root::Events => "events",
            Root::Notifications => "notifications",
            Root::IdempotencyKeys => "idempotency_keys",
            Root::Discrepancies => "discrepancies",
            Root::ApiKeys => "api_keys",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Root> {
        Root::ALL.into_iter().find(|root| root.as_str() == text)
    }
}

/// A place between two rows of a root table: its primary key; the second part is empty where the key has one part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place(pub String, pub String);

impl Place {
    fn beyond() -> Place {
        Place(BEYOND.to_owned(), String::new())
    }
}

/// What one law came to.
#[derive(Debug, Clone)]
pub struct LawReport {
    /// The law.
    pub law: &'static Law,
    /// The rows at fault, at most [`SHOWN`]; none when the law holds.
    pub at_fault: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

impl LawReport {
    /// A law without any row at fault yet.
    pub fn new(law: &'static Law) -> LawReport {
        LawReport { law, at_fault: Vec::new(), more: false }
    }

    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.at_fault.is_empty()
    }

    fn add(&mut self, subjects: Vec<String>) {
        self.at_fault.extend(subjects);
        self.more |= self.at_fault.len() > SHOWN;
        self.at_fault.truncate(SHOWN);
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    subject: String,
}

#[derive(QueryableByName)]
struct Edge {
    #[diesel(sql_type = Text)]
    first: String,
    #[diesel(sql_type = Text)]
    second: String,
}

/// Every law over the whole database in one snapshot.
pub fn evaluate(tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<LawReport>> {
    let mut reports: Vec<LawReport> = LAWS.iter().map(LawReport::new).collect();
    for root in Root::ALL {
        let mut after = Some(Place::default());
        while let Some(place) = after {
            after = evaluate_slice(tx, root, &place, now, &mut reports)?;
        }
    }
    Ok(reports)
}

/// The laws of one root table over the slice after `after`, added to `reports`. Returns the end of the slice, or `None`
/// when it was the last one.
pub fn evaluate_slice(
    tx: &mut Tx<'_>,
    root: Root,
    after: &Place,
    now: Timestamp,
    reports: &mut [LawReport],
) -> Result<Option<Place>> {
    let next = end_of_slice(tx, root, after)?;
    let upto = next.clone().unwrap_or_else(Place::beyond);
    for report in reports.iter_mut().filter(|report| report.law.root == root && !report.more) {
        let subjects = rows_at_fault(tx, report.law, after, &upto, now.plus_seconds(-OVERDUE_S))?;
        report.add(subjects);
    }
    Ok(next)
}

/// The key of the last row of a full slice; `None` when fewer rows are left.
fn end_of_slice(tx: &mut Tx<'_>, root: Root, after: &Place) -> Result<Option<Place>> {
    let offset = SLICE_ROWS - 1;
    let edge: Option<Edge> = if root == Root::IdempotencyKeys {
        let sql = "SELECT api_key_id AS first, idempotency_key AS second FROM idempotency_keys \
                   WHERE (api_key_id, idempotency_key) > ($1, $2) ORDER BY api_key_id, idempotency_key LIMIT 1 OFFSET $3";
        on_each!(tx.db(), |conn| sql_query(sql)
            .bind::<Text, _>(&after.0)
            .bind::<Text, _>(&after.1)
            .bind::<BigInt, _>(offset)
            .get_result(conn)
            .optional())?
    } else {
        let sql = format!(
            "SELECT id AS first, '' AS second FROM {} WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2",
            root.as_str()
        );
        on_each!(tx.db(), |conn| sql_query(sql)
            .bind::<Text, _>(&after.0)
            .bind::<BigInt, _>(offset)
            .get_result(conn)
            .optional())?
    };
    Ok(edge.map(|edge| Place(edge.first, edge.second)))
}

fn rows_at_fault(tx: &mut Tx<'_>, law: &Law, after: &Place, upto: &Place, overdue: Timestamp) -> Result<Vec<String>> {
    let query = sql_query(format!("{} LIMIT {}", law.sql, SHOWN + 1));
    let rows: Vec<Row> = if law.root == Root::IdempotencyKeys {
        on_each!(tx.db(), |conn| query
            .bind::<Text, _>(&after.0)
            .bind::<Text, _>(&after.1)
            .bind::<Text, _>(&upto.0)
            .bind::<Text, _>(&upto.1)
            .load(conn))?
    } else if law.takes_moment {
        on_each!(tx.db(), |conn| query
            .bind::<Text, _>(&after.0)
            .bind::<Text, _>(&upto.0)
            .bind::<SqlTimestamp, _>(overdue.naive_utc())
            .load(conn))?
    } else {
        on_each!(tx.db(), |conn| query.bind::<Text, _>(&after.0).bind::<Text, _>(&upto.0).load(conn))?
    };
    Ok(rows.into_iter().map(|row| row.subject).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::{CURRENCIES, Currency};

    #[test]
    fn names_are_unique_and_every_law_is_told() {
        for (index, law) in LAWS.iter().enumerate() {
            assert!(law.law.ends_with('.') && law.sql.contains("AS subject"), "{law:?}");
            assert!(!LAWS[index + 1..].iter().any(|other| other.name == law.name), "{} twice", law.name);
            assert_eq!(law.sql.contains("$3") && law.root != Root::IdempotencyKeys, law.takes_moment, "{}", law.name);
        }
        assert!(Root::ALL.iter().all(|root| LAWS.iter().any(|law| law.root == *root)));
    }

    /// The laws write sums of minor units as the history does.
    #[test]
    fn laws_divide_by_the_digits_of_every_currency() {
        assert!(CURRENCIES.iter().all(|code| Currency::parse(code).is_some_and(|currency| currency.digits() == 2)));
    }
}

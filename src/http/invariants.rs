//! The money laws on the live database.

use actix_web::HttpRequest;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use super::cursor::{self, Binding};
use super::examples;
use super::extract::{Answered, Key, Operate, shown};
use super::query::QueryReader;
use super::schemas::LawStatusName;
use super::server::Shared;
use crate::app::{Invariants, LawReport, Mark, Place, Root};

/// A law and what it came to.
#[derive(Serialize, ToSchema)]
#[schema(as = Invariant)]
struct InvariantView<'a> {
    /// Stable name of the law.
    #[schema(example = "status_follows_sums")]
    name: &'a str,
    /// What it says.
    law: &'a str,
    /// The query that finds the rows at fault; it can be run by hand. `$1` and `$2` bound the ids of a slice (for
    /// Idempotency-Keys `$1`, `$2` and `$3`, `$4`), another `$3` is the moment three days ago.
    query: &'a str,
    /// `green`: no row at fault among those read. `red`: see `at_fault`. `not_read`: none of its rows were read.
    #[schema(value_type = LawStatusName)]
    status: &'static str,
    /// Ids of rows at fault, at most 20.
    at_fault: &'a [String],
    /// Whether there are more than these.
    more_at_fault: bool,
}

/// Every law over the rows that were read.
#[derive(Serialize, ToSchema)]
#[schema(as = InvariantList)]
struct InvariantList<'a> {
    /// The laws.
    data: Vec<InvariantView<'a>>,
    /// Where to go on; `null` when all rows were read.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Check the money laws
///
/// Evaluates every law on the database as it is now, with its query, and names the rows at fault. Tables are read in
/// slices of 5,000 rows, each in a snapshot of its own, so that nobody waits for it. An answer reads for about ten
/// seconds at most; large books are read on by following `next_cursor`. All is well when no answer, up to the one without
/// `next_cursor`, shows a `red`.
#[utoipa::path(get, path = "/v1/invariants", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(("cursor" = Option<String>, Query, description = "`next_cursor` of the answer before; from the beginning by default.")),
    responses((status = 200, description = "The laws over the rows that were read.", body = InvariantList, example = json!(examples::list(examples::invariant())))))]
pub(super) async fn check_invariants(_key: Key<Operate>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let binding = Binding::new("invariants", &[]);
    let mut query = QueryReader::new(request.query_string());
    let mark = query.cursor(binding, read_mark);
    query.finish()?;
    let invariants = shared.app.invariants(mark).await?;
    let next_cursor = invariants.next.as_ref().map(|mark| cursor::seal(&write_mark(mark), binding));
    shown(InvariantList {
        data: invariants.reports.iter().map(|report| view(report, &invariants)).collect(),
        next_cursor,
    })
}

fn view<'a>(report: &'a LawReport, invariants: &Invariants) -> InvariantView<'a> {
    let status = match (report.holds(), invariants.reached.contains(&report.law.root)) {
        (false, _) => "red",
        (true, true) => "green",
        (true, false) => "not_read",
    };
    InvariantView {
        name: report.law.name,
        law: report.law.law,
        query: report.law.sql,
        status,
        at_fault: &report.at_fault,
        more_at_fault: report.more,
    }
}

/// Lines cannot be part of an id or of an Idempotency-Key.
fn write_mark(mark: &Mark) -> String {
    let Place(first, second) = &mark.after;
    format!("{}\n{first}\n{second}", mark.root.as_str())
}

fn read_mark(text: &str) -> Option<Mark> {
    let mut lines = text.splitn(3, '\n');
    let root = Root::parse(lines.next()?)?;
    Some(Mark { root, after: Place(lines.next()?.to_owned(), lines.next()?.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_the_cursor() {
        let mark = Mark { root: Root::IdempotencyKeys, after: Place("key_1".to_owned(), "a b".to_owned()) };
        assert_eq!(read_mark(&write_mark(&mark)), Some(mark));
        assert_eq!(read_mark("nothing\na\nb"), None);
    }
}

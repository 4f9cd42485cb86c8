//! The roots that stand for the recorded history, to be kept elsewhere.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::cursor::{self, Binding};
use super::examples;
use super::extract::{Answered, Key, ReadReports, shown};
use super::parameters::Paging;
use super::query::QueryReader;
use super::records::{AuditRootList, AuditRootView};
use super::server::Shared;
use super::view::Moment;
use crate::app::DailyRoot;
use crate::clock::Day;

/// List daily roots of the history
///
/// Newest first, one for each UTC day on which something was sealed. Keep the root of each day that is over in another
/// place: by it `kmic-payments audit verify --root` and `audit check --root` show whether the history was rewritten since.
#[utoipa::path(get, path = "/v1/audit/roots", tag = "Operations", security(("api_key" = ["reports:read"])),
    params(Paging),
    responses((status = 200, description = "A stretch of the roots.", body = AuditRootList, example = json!(examples::list(examples::audit_root())))))]
pub(super) async fn list_audit_roots(_key: Key<ReadReports>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let binding = Binding::new("audit_roots", &[]);
    let mut query = QueryReader::new(request.query_string());
    let limit = query.limit();
    let before = query.cursor(binding, Day::parse);
    query.finish()?;
    let listing = shared.app.list_daily_roots(before, limit).await?;
    let next_cursor =
        listing.items.last().filter(|_| listing.more).map(|root| cursor::seal(&root.day.to_string(), binding));
    shown(AuditRootList { data: listing.items.iter().map(view).collect(), next_cursor })
}

fn view(root: &DailyRoot) -> AuditRootView {
    AuditRootView {
        day: root.day.to_string(),
        seal: root.seal,
        root: root.hash.to_string(),
        rows: root.rows,
        at: Moment(root.at),
    }
}

//! Comparing with the provider's register: runs, discrepancies, chargebacks.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{Data, Payload};

use super::bodies;
use super::cursor::{self, Binding};
use super::examples;
use super::extract::{Answered, Key, Operate, Submission, answered, path_id, shown, to_the_end};
use super::parameters::{IdempotencyKey, Paging};
use super::query::{self, QueryReader};
use super::records::{ChargebackList, DiscrepancyList, ReconciliationList};
use super::register_views::{
    DiscrepancyView, ReconciliationView, chargeback_view, discrepancy_view, reconciliation_view,
};
use super::schemas::{CloseDiscrepancy, CreateReconciliation, DiscrepancyKindName};
use super::server::Shared;
use crate::app::{ChargebackFilter, DiscrepancyFilter, Page};
use crate::domain::id::{ChargebackId, DiscrepancyId, PaymentId, ReconciliationId};
use crate::domain::register::DiscrepancyKind;

/// Compare with the provider's register
///
/// Starts a run over one UTC day (`date`) or a window of at most seven days (`from`, `to`). It reads the provider's
/// register and its list of chargebacks, books what is missing here where it is clear whose it is, and opens a discrepancy
/// for everything else. The run goes on in the background: read it until it is over. What the provider may still be
/// working on, the last ten minutes, is left out.
#[utoipa::path(post, path = "/v1/reconciliations", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(IdempotencyKey),
    request_body(content = CreateReconciliation, examples(
        ("day" = (summary = "One UTC day", value = json!(examples::create_reconciliation_of_day()))),
        ("window" = (summary = "A window", value = json!(examples::create_reconciliation()))),
    )),
    responses(
        (status = 201, description = "Started.", headers(("Location" = String, description = "Address of the run.")),
            body = ReconciliationView, example = json!(examples::running_reconciliation())),
        (status = 409, description = "`too_many_reconciliations`"),
    ))]
pub(super) async fn create_reconciliation(
    key: Key<Operate>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    let new = bodies::new_reconciliation(submission.json()?)?;
    let app = Arc::clone(&shared.app);
    let answer =
        to_the_end(async move { app.create_reconciliation(&key.caller, submission.idempotency, new).await }).await??;
    Ok(answered(answer))
}

/// List comparisons with the register
///
/// Newest first: those that were asked for, those that the service makes each day, and those it makes when it starts.
#[utoipa::path(get, path = "/v1/reconciliations", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(Paging),
    responses((status = 200, description = "A stretch of the list.", body = ReconciliationList, example = json!(examples::list(examples::reconciliation())))))]
pub(super) async fn list_reconciliations(_key: Key<Operate>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let binding = Binding::new("reconciliations", &[]);
    let mut query = QueryReader::new(request.query_string());
    let page = Page { before: query.cursor(binding, ReconciliationId::parse), limit: query.limit() };
    query.finish()?;
    let listing = shared.app.list_reconciliations(page).await?;
    let last = listing.items.last().filter(|_| listing.more);
    let next_cursor = last.map(|details| cursor::seal(details.run.id.as_str(), binding));
    shown(ReconciliationList { data: listing.items.iter().map(reconciliation_view).collect(), next_cursor })
}

/// Get a comparison with the register
///
/// How far it is and what it found.
#[utoipa::path(get, path = "/v1/reconciliations/{id}", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(("id" = String, Path, description = "Id of the run.")),
    responses((status = 200, description = "The run as it stands.", body = ReconciliationView, example = json!(examples::reconciliation()))))]
pub(super) async fn get_reconciliation(_key: Key<Operate>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let id = path_id(&request, ReconciliationId::parse, "reconciliation", ReconciliationId::PREFIX)?;
    query::none(request.query_string())?;
    let details = shared.app.reconciliation(id).await?;
    shown(reconciliation_view(&details))
}

/// List discrepancies
///
/// What our books and the provider's register do not or did not agree about, newest first; all filters hold at once.
#[utoipa::path(get, path = "/v1/discrepancies", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(
        ("status" = Option<String>, Query, description = "`open` or `closed`; both by default."),
        ("kind" = Option<DiscrepancyKindName>, Query, description = "What they are."),
        ("payment_id" = Option<String>, Query, description = "Id of the payment they are about."),
        Paging,
    ),
    responses((status = 200, description = "A stretch of the list.", body = DiscrepancyList, example = json!(examples::list(examples::discrepancy())))))]
pub(super) async fn list_discrepancies(_key: Key<Operate>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let mut query = QueryReader::new(request.query_string());
    let kinds = DiscrepancyKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let filter = DiscrepancyFilter {
        open: query.shaped("status", "open or closed", |text| match text {
            "open" => Some(true),
            "closed" => Some(false),
            _ => None,
        }),
        kind: query.shaped("kind", &format!("one of: {kinds}"), DiscrepancyKind::parse),
        payment_id: query.shaped("payment_id", "the id of a payment; it begins with pay_", PaymentId::parse),
    };
    let parts = [
        filter.open.map(|open| if open { "open" } else { "closed" }),
        filter.kind.map(DiscrepancyKind::as_str),
        filter.payment_id.as_ref().map(PaymentId::as_str),
    ];
    let binding = Binding::new("discrepancies", &parts);
    let page = Page { before: query.cursor(binding, DiscrepancyId::parse), limit: query.limit() };
    query.finish()?;
    let listing = shared.app.list_discrepancies(filter, page).await?;
    let last = listing.items.last().filter(|_| listing.more);
    let next_cursor = last.map(|discrepancy| cursor::seal(discrepancy.id.as_str(), binding));
    shown(DiscrepancyList { data: listing.items.iter().map(discrepancy_view).collect(), next_cursor })
}

/// Get a discrepancy
///
/// What we hold, what the register says, which run opened it, and how it ended.
#[utoipa::path(get, path = "/v1/discrepancies/{id}", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(("id" = String, Path, description = "Id of the discrepancy.")),
    responses((status = 200, description = "The discrepancy as it stands.", body = DiscrepancyView, example = json!(examples::discrepancy()))))]
pub(super) async fn get_discrepancy(_key: Key<Operate>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let id = path_id(&request, DiscrepancyId::parse, "discrepancy", DiscrepancyId::PREFIX)?;
    query::none(request.query_string())?;
    let discrepancy = shared.app.discrepancy(id).await?;
    shown(discrepancy_view(&discrepancy))
}

/// Close a discrepancy
///
/// For a person who has settled it: the reason and the API key are kept with it. Nothing else changes. It is not opened
/// again as long as both books say what they say now. One with `lost` takes two operators, as it blocks money until it is
/// closed: the first request proposes it (202), one under a key of another line closes it.
#[utoipa::path(post, path = "/v1/discrepancies/{id}/close", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(("id" = String, Path, description = "Id of the discrepancy."), IdempotencyKey),
    request_body(content = CloseDiscrepancy, example = json!(examples::close_discrepancy())),
    responses(
        (status = 200, description = "Closed.", body = DiscrepancyView, example = json!(examples::closed_discrepancy())),
        (status = 202, description = "Proposed: another operator has to close it.", body = DiscrepancyView, example = json!(examples::proposed_discrepancy())),
        (status = 409, description = "`invalid_state`, `second_operator_required`"),
    ))]
pub(super) async fn close_discrepancy(
    key: Key<Operate>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    let id = path_id(&request, DiscrepancyId::parse, "discrepancy", DiscrepancyId::PREFIX)?;
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    let reason = bodies::resolution(submission.json()?)?;
    let app = Arc::clone(&shared.app);
    let answer =
        to_the_end(async move { app.close_discrepancy(&key.caller, submission.idempotency, id, reason).await })
            .await??;
    Ok(answered(answer))
}

/// List chargebacks
///
/// Payments that the payers' banks take back, newest first. Those whose transaction we do not hold are listed too.
#[utoipa::path(get, path = "/v1/chargebacks", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(
        ("payment" = Option<String>, Query, description = "`known`: only those of payments that we hold; `unknown`: only the others."),
        ("payment_id" = Option<String>, Query, description = "Id of the payment."),
        Paging,
    ),
    responses((status = 200, description = "A stretch of the list.", body = ChargebackList, example = json!(examples::list(examples::chargeback())))))]
pub(super) async fn list_chargebacks(_key: Key<Operate>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let mut query = QueryReader::new(request.query_string());
    let filter = ChargebackFilter {
        resolved: query.shaped("payment", "known or unknown", |text| match text {
            "known" => Some(true),
            "unknown" => Some(false),
            _ => None,
        }),
        payment_id: query.shaped("payment_id", "the id of a payment; it begins with pay_", PaymentId::parse),
    };
    let parts = [
        filter.resolved.map(|resolved| if resolved { "known" } else { "unknown" }),
        filter.payment_id.as_ref().map(PaymentId::as_str),
    ];
    let binding = Binding::new("chargebacks", &parts);
    let page = Page { before: query.cursor(binding, ChargebackId::parse), limit: query.limit() };
    query.finish()?;
    let listing = shared.app.list_chargebacks(filter, page).await?;
    let last = listing.items.last().filter(|_| listing.more);
    let next_cursor = last.map(|chargeback| cursor::seal(chargeback.id.as_str(), binding));
    shown(ChargebackList { data: listing.items.iter().map(chargeback_view).collect(), next_cursor })
}

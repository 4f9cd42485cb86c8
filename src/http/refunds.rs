//! Refunds.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{Data, Payload};

use super::bodies;
use super::cursor::{self, Binding};
use super::examples;
use super::extract::{Answered, Key, ReadPayments, Submission, WriteRefunds, answered, path_id, shown, to_the_end};
use super::parameters::{IdempotencyKey, Paging, PaymentPath};
use super::payments::payment_id;
use super::presenter::refund_view;
use super::query::{self, QueryReader};
use super::records::{RefundList, RefundView};
use super::schemas::CreateRefund;
use super::server::Shared;
use crate::app::Page;
use crate::domain::id::RefundId;
use crate::error::Error;

/// Refund a payment
///
/// Gives back `amount`, or all that is left. 202 means that the outcome is not known yet; until it is, the amount counts
/// as given back. A repeat with the same Idempotency-Key never gives back twice.
#[utoipa::path(post, path = "/v1/payments/{id}/refunds", tag = "Refunds", security(("api_key" = ["refunds:write"])),
    params(PaymentPath, IdempotencyKey),
    request_body(content = Option<CreateRefund>, example = json!(examples::create_refund())),
    responses(
        (status = 201, description = "Created. The provider may have refused it: see `status`.", headers(("Location" = String, description = "Address of the refund.")),
            body = RefundView, example = json!(examples::refund())),
        (status = 202, description = "Created; the outcome is not known yet.", headers(("Location" = String, description = "Address of the refund."), ("Retry-After" = i64, description = "Seconds after which to read the refund.")),
            body = RefundView, example = json!(examples::pending_refund())),
        (status = 409, description = "`invalid_state`, `refund_exceeds_captured`, `too_many_refunds`, `refunded_before_restore`"),
        (status = 412, description = "`refundable_differs`"),
    ))]
pub(super) async fn create_refund(
    key: Key<WriteRefunds>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    let id = payment_id(&request)?;
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    let new = bodies::new_refund(submission.json_or_nothing()?)?;
    let app = Arc::clone(&shared.app);
    let answer =
        to_the_end(async move { app.create_refund(&key.caller, submission.idempotency, id, new).await }).await??;
    Ok(answered(answer))
}

/// List the refunds of a payment
///
/// Newest first, failed ones included.
#[utoipa::path(get, path = "/v1/payments/{id}/refunds", tag = "Refunds", security(("api_key" = ["payments:read"])),
    params(PaymentPath, Paging),
    responses((status = 200, description = "A stretch of the list.", body = RefundList, example = json!(examples::list(examples::refund())))))]
pub(super) async fn list_refunds(key: Key<ReadPayments>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let id = payment_id(&request)?;
    let binding = Binding::new("refunds", &[Some(id.as_str())]);
    let mut query = QueryReader::new(request.query_string());
    let page = Page { before: query.cursor(binding, RefundId::parse), limit: query.limit() };
    query.finish()?;
    let mut listing = shared.app.list_refunds(id, page).await?;
    listing.items = shared.app.refunds_shown_to(&key.caller, listing.items).await?;
    let last = listing.items.last().filter(|_| listing.more);
    let next_cursor = last.map(|refund| cursor::seal(refund.id.as_str(), binding));
    shown(RefundList { data: listing.items.iter().map(refund_view).collect(), next_cursor })
}

/// Get a refund
///
/// The refund as it stands.
#[utoipa::path(get, path = "/v1/refunds/{id}", tag = "Refunds", security(("api_key" = ["payments:read"])),
    params(("id" = String, Path, description = "Id of the refund.")),
    responses((status = 200, description = "The refund as it stands.", body = RefundView, example = json!(examples::refund()))))]
pub(super) async fn get_refund(key: Key<ReadPayments>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let id = path_id(&request, RefundId::parse, "refund", RefundId::PREFIX)?;
    query::none(request.query_string())?;
    let refund = shared.app.refund(id).await?;
    let refunds = shared.app.refunds_shown_to(&key.caller, vec![refund]).await?;
    shown(refund_view(refunds.first().ok_or(Error::NotFound("refund"))?))
}

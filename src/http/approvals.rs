//! Approvals: what one key asks for and another one decides about.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{Data, Payload};

use super::approval_views::{ApprovalView, approval_view};
use super::bodies;
use super::cursor::{self, Binding};
use super::examples;
use super::extract::{Answered, Decide, Key, ReadPayments, Submission, answered, path_id, shown, to_the_end};
use super::fields::{ObjectReader, complete};
use super::json::Json;
use super::parameters::{IdempotencyKey, Paging};
use super::problem::Problem;
use super::query::{self, QueryReader};
use super::records::ApprovalList;
use super::schemas::{ApprovalStateName, CreateApproval, Nothing};
use super::server::Shared;
use super::text::{self, Refusal};
use crate::app::{ApprovalFilter, NewApproval, NewSubject, Page};
use crate::domain::approval::{ApprovalKind, ApprovalState, CorrectionOutcome};
use crate::domain::id::{ApprovalId, PaymentId, RefundId};
use crate::error::{Error, Result};

/// Longest reason, characters.
const MAX_REASON: usize = 250;

/// Request an approval
///
/// Writes down what is wanted; nothing is done before another API key approves it. `refund` gives money back, as
/// `POST /v1/payments/{id}/refunds` does, whatever the sum; it needs `refunds:write`. `correction` ends a call whose
/// answer is lost and of which CloudPayments can tell nothing any more; it needs `ops:write`.
#[utoipa::path(post, path = "/v1/approvals", tag = "Operations",
    security(("api_key" = ["refunds:write"]), ("api_key" = ["ops:write"])),
    params(IdempotencyKey),
    request_body(content = CreateApproval, examples(
        ("refund" = (summary = "A refund", value = json!(examples::create_refund_approval()))),
        ("correction" = (summary = "A correction", value = json!(examples::create_correction()))),
    )),
    responses(
        (status = 201, description = "Waits for another key.", headers(("Location" = String, description = "Address of the approval.")),
            body = ApprovalView, example = json!(examples::approval())),
        (status = 409, description = "`invalid_state`, `refund_exceeds_captured`"),
    ))]
pub(super) async fn create_approval(
    key: Key<Decide>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    let new = new_approval(submission.json()?)?;
    let app = Arc::clone(&shared.app);
    let answer =
        to_the_end(async move { app.request_approval(&key.caller, submission.idempotency, new).await }).await??;
    Ok(answered(answer))
}

/// List approvals
///
/// Newest first; all filters hold at once.
#[utoipa::path(get, path = "/v1/approvals", tag = "Operations", security(("api_key" = ["payments:read"])),
    params(
        ("state" = Option<ApprovalStateName>, Query, description = "Where they are."),
        ("payment_id" = Option<String>, Query, description = "Id of the payment they are about."),
        Paging,
    ),
    responses((status = 200, description = "A stretch of the list.", body = ApprovalList, example = json!(examples::list(examples::approval())))))]
pub(super) async fn list_approvals(key: Key<ReadPayments>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let mut query = QueryReader::new(request.query_string());
    let states = ApprovalState::ALL.map(ApprovalState::as_str).join(", ");
    let filter = ApprovalFilter {
        state: query.shaped("state", &format!("one of: {states}"), ApprovalState::parse),
        payment_id: query.shaped("payment_id", "the id of a payment; it begins with pay_", PaymentId::parse),
    };
    let parts = [filter.state.map(ApprovalState::as_str), filter.payment_id.as_ref().map(PaymentId::as_str)];
    let binding = Binding::new("approvals", &parts);
    let page = Page { before: query.cursor(binding, ApprovalId::parse), limit: query.limit() };
    query.finish()?;
    let mut listing = shared.app.list_approvals(filter, page).await?;
    listing.items = shared.app.approvals_shown_to(&key.caller, listing.items).await?;
    let last = listing.items.last().filter(|_| listing.more);
    let next_cursor = last.map(|details| cursor::seal(details.approval.id.as_str(), binding));
    shown(ApprovalList { data: listing.items.iter().map(approval_view).collect(), next_cursor })
}

/// Get an approval
///
/// Who asked for what, who decided, and what became of it.
#[utoipa::path(get, path = "/v1/approvals/{id}", tag = "Operations", security(("api_key" = ["payments:read"])),
    params(("id" = String, Path, description = "Id of the approval.")),
    responses((status = 200, description = "The approval as it stands.", body = ApprovalView, example = json!(examples::approval()))))]
pub(super) async fn get_approval(key: Key<ReadPayments>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let id = approval_id(&request)?;
    query::none(request.query_string())?;
    let details = shared.app.approval(id).await?;
    let approvals = shared.app.approvals_shown_to(&key.caller, vec![details]).await?;
    shown(approval_view(approvals.first().ok_or(Error::NotFound("approval"))?))
}

/// Approve
///
/// Carries it out. Only for another API key than the one that asked, with the scope that asking needs, and only before
/// `expires_at`. A refund is made once, whatever is repeated; 202 means that its outcome is not known yet. A correction is
/// made only where evidence still says nothing; evidence that comes later wins.
#[utoipa::path(post, path = "/v1/approvals/{id}/approve", tag = "Operations",
    security(("api_key" = ["refunds:write"]), ("api_key" = ["ops:write"])),
    params(("id" = String, Path, description = "Id of the approval."), IdempotencyKey),
    request_body(content = Option<Nothing>, example = json!({})),
    responses(
        (status = 200, description = "Approved. CloudPayments may have refused the refund: see `refund_status`.",
            body = ApprovalView, example = json!(examples::approved())),
        (status = 202, description = "Approved; the outcome of the refund is not known yet.", headers(("Retry-After" = i64, description = "Seconds after which to read the approval.")),
            body = ApprovalView, example = json!(examples::approved_pending())),
        (status = 409, description = "`second_operator_required`, `invalid_state`, `refund_exceeds_captured`, `too_many_refunds`, `refunded_before_restore`"),
    ))]
pub(super) async fn approve(
    key: Key<Decide>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    let id = approval_id(&request)?;
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    bodies::nothing(submission.json_or_nothing()?)?;
    let app = Arc::clone(&shared.app);
    let answer = to_the_end(async move { app.approve(&key.caller, submission.idempotency, id).await }).await??;
    Ok(answered(answer))
}

/// Reject
///
/// Nothing is done, and nobody can approve it any more. Only for another API key than the one that asked.
#[utoipa::path(post, path = "/v1/approvals/{id}/reject", tag = "Operations",
    security(("api_key" = ["refunds:write"]), ("api_key" = ["ops:write"])),
    params(("id" = String, Path, description = "Id of the approval."), IdempotencyKey),
    request_body(content = Option<Nothing>, example = json!({})),
    responses(
        (status = 200, description = "Rejected.", body = ApprovalView, example = json!(examples::rejected())),
        (status = 409, description = "`second_operator_required`, `invalid_state`"),
    ))]
pub(super) async fn reject(key: Key<Decide>, request: HttpRequest, payload: Payload, shared: Data<Shared>) -> Answered {
    let id = approval_id(&request)?;
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    bodies::nothing(submission.json_or_nothing()?)?;
    let app = Arc::clone(&shared.app);
    let answer = to_the_end(async move { app.reject(&key.caller, submission.idempotency, id).await }).await??;
    Ok(answered(answer))
}

fn approval_id(request: &HttpRequest) -> Result<ApprovalId, Problem> {
    path_id(request, ApprovalId::parse, "approval", ApprovalId::PREFIX)
}

/// Reads the body of `POST /v1/approvals`.
///
/// # Errors
/// Every fault of the body.
pub(super) fn new_approval(json: Json) -> Result<NewApproval> {
    let mut faults = Vec::new();
    let mut body = ObjectReader::body(json, &mut faults);
    for name in ["kind", "payment_id", "reason"] {
        body.require(name);
    }
    let kind = body.choice("kind", "refund, correction", ApprovalKind::parse);
    let payment_id =
        body.parsed("payment_id", |content| id(content, PaymentId::parse, "the id of a payment; it begins with pay_"));
    let reason = body.line("reason", MAX_REASON);
    let subject = match kind {
        Some(ApprovalKind::Refund) => refund(&mut body),
        Some(ApprovalKind::Correction) => correction(&mut body),
        // Which fields there should be is not known then.
        None => {
            for name in ["amount", "refund_id", "outcome"] {
                body.take(name);
            }
            None
        }
    };
    body.finish();
    let new = match (payment_id, reason, subject) {
        (Some(payment_id), Some(reason), Some(subject)) => Some(NewApproval { payment_id, subject, reason }),
        _ => None,
    };
    complete(new, faults)
}

fn refund(body: &mut ObjectReader<'_>) -> Option<NewSubject> {
    body.require("amount");
    Some(NewSubject::Refund { amount: body.money("amount")? })
}

fn correction(body: &mut ObjectReader<'_>) -> Option<NewSubject> {
    body.require("outcome");
    let refund_id =
        body.parsed("refund_id", |content| id(content, RefundId::parse, "the id of a refund; it begins with ref_"));
    let outcome = body.choice("outcome", "no_effect", CorrectionOutcome::parse);
    Some(NewSubject::Correction { refund_id, outcome: outcome? })
}

fn id<T>(content: &str, parse: fn(&str) -> Option<T>, shape: &str) -> Result<T, Refusal> {
    text::refuse_card_number(content)?;
    parse(content).ok_or_else(|| ("wrong_form", format!("send {shape}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    fn faults_of(body: &str) -> Vec<String> {
        match json::read(body.as_bytes()).and_then(new_approval) {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(faults)) => {
                faults.into_iter().map(|fault| format!("{}: {}", fault.pointer, fault.code)).collect()
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_kind_has_its_own_fields() {
        let id = "\"payment_id\":\"pay_01kaq0j5m8x2v9c4t7b1n6r3ed\",\"reason\":\"asked by the client\"";
        let money = r#""amount":{"value":"1.00","currency":"KZT"}"#;
        let with = |rest: &str| faults_of(&format!("{{{id},{rest}}}"));
        assert_eq!(with(&format!(r#""kind":"refund",{money}"#)), [""; 0]);
        assert_eq!(with(r#""kind":"correction","outcome":"no_effect""#), [""; 0]);
        assert_eq!(
            with(r#""kind":"correction","outcome":"no_effect","refund_id":"ref_01kaq0k7d2f5w8y1h4g9z6s3qa""#),
            [""; 0]
        );
        assert_eq!(with(r#""kind":"refund""#), ["/amount: required"]);
        assert_eq!(with(r#""kind":"correction""#), ["/outcome: required"]);
        assert_eq!(with(r#""kind":"correction","outcome":"paid""#), ["/outcome: not_one_of"]);
        assert_eq!(with(&format!(r#""kind":"refund",{money},"outcome":"no_effect""#)), ["/outcome: unknown_field"]);
        assert_eq!(with(&format!(r#""kind":"correction","outcome":"no_effect",{money}"#)), ["/amount: unknown_field"]);
        assert_eq!(with(r#""kind":"correction","outcome":"no_effect","refund_id":"x""#), ["/refund_id: wrong_form"]);
        assert_eq!(with(&format!(r#""kind":"other",{money}"#)), ["/kind: not_one_of"]);
        assert_eq!(faults_of("{}"), ["/kind: required", "/payment_id: required", "/reason: required"]);
    }
}

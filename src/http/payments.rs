//! Payments: create, read, capture, cancel.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{Data, Payload};

use super::bodies;
use super::cursor::{self, Binding};
use super::examples;
use super::extract::{
    Answered, Key, Operate, ReadPayments, Submission, WritePayments, answered, path_id, shown, to_the_end,
};
use super::parameters::{IdempotencyKey, Paging, PaymentPath};
use super::presenter::transition_view;
use super::problem::Problem;
use super::query::{self, QueryReader};
use super::records::{PaymentList, TransitionList};
use super::schemas::{CapturePayment, CreatePayment, Nothing, ResolveAttention, StatusName};
use super::server::Shared;
use super::view::PaymentView;
use crate::app::{Page, PaymentFilter};
use crate::domain::id::PaymentId;
use crate::domain::state::Status;
use crate::error::Result;

/// Longest wait for a change, seconds.
const MAX_WAIT_S: i64 = 30;

/// The payment in the path.
pub(super) fn payment_id(request: &HttpRequest) -> Result<PaymentId, Problem> {
    path_id(request, PaymentId::parse, "payment", PaymentId::PREFIX)
}

/// Create a payment
///
/// With `widget` nothing is charged yet: show the payer the window that `next_action` describes. With `card_cryptogram`
/// the card is charged at once (or its money held, with `capture: manual`), and `next_action` says whether 3-D Secure
/// follows. A refused card is 201 too: `status` tells. 202 means that the outcome is not known yet; read the payment
/// until it is. A repeat with the same Idempotency-Key never charges twice.
#[utoipa::path(post, path = "/v1/payments", tag = "Payments", security(("api_key" = ["payments:write"])),
    params(IdempotencyKey),
    request_body(content = CreatePayment, examples(
        ("widget" = (summary = "The provider's window", value = json!(examples::create_widget()))),
        ("card_cryptogram" = (summary = "Card data encrypted in the browser", value = json!(examples::create_card_cryptogram()))),
    )),
    responses(
        (status = 201, description = "Created. A card may have been refused: see `status`.", headers(("Location" = String, description = "Address of the payment.")),
            body = PaymentView, example = json!(examples::payment())),
        (status = 202, description = "Created; the outcome is not known yet.", headers(("Location" = String, description = "Address of the payment."), ("Retry-After" = i64, description = "Seconds after which to read the payment.")),
            body = PaymentView, example = json!(examples::undetermined_payment())),
        (status = 409, description = "`paid_before_restore`"),
    ))]
pub(super) async fn create_payment(
    key: Key<WritePayments>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    let new = bodies::new_payment(submission.json()?)?;
    let app = Arc::clone(&shared.app);
    let answer =
        to_the_end(async move { app.create_payment(&key.caller, submission.idempotency, new).await }).await??;
    Ok(answered(answer))
}

/// Get a payment
///
/// `wait` holds the answer until the payment changes, or that many seconds at most. A payment of which nothing is awaited
/// is answered at once.
#[utoipa::path(get, path = "/v1/payments/{id}", tag = "Payments", security(("api_key" = ["payments:read"])),
    params(
        PaymentPath,
        ("wait" = Option<i64>, Query, description = "Seconds to wait for a change, 0 to 30.", minimum = 0, maximum = 30),
    ),
    responses((status = 200, description = "The payment as it stands.", body = PaymentView, example = json!(examples::paid_payment()))))]
pub(super) async fn get_payment(key: Key<ReadPayments>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let id = payment_id(&request)?;
    let mut query = QueryReader::new(request.query_string());
    let wait = query.integer("wait", 0..=MAX_WAIT_S).and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
    query.finish()?;
    let details = match wait {
        0 => shared.app.payment(id).await?,
        seconds => shared.app.payment_after_change(id, seconds).await?,
    };
    let details = shared.app.one_shown_to(&key.caller, details).await?;
    let more = shared.app.for_operators(&key.caller, &details).await?;
    shown(shared.presenter.payment_view(&details).with(&more))
}

/// List payments
///
/// Newest first; all filters hold at once. A list stays consistent while payments are added. A search by `account_id` is
/// recorded: which key looked for whom.
#[utoipa::path(get, path = "/v1/payments", tag = "Payments", security(("api_key" = ["payments:read"])),
    params(
        ("invoice_id" = Option<String>, Query, description = "The site's number of the bill."),
        ("account_id" = Option<String>, Query, description = "The site's id of the payer."),
        ("status" = Option<StatusName>, Query, description = "Where the payment is."),
        ("transaction_id" = Option<i64>, Query, description = "The provider's number of one of its transactions."),
        ("created_from" = Option<String>, Query, description = "Created at or after this moment (RFC 3339)."),
        ("created_to" = Option<String>, Query, description = "Created before this moment (RFC 3339)."),
        Paging,
    ),
    responses((status = 200, description = "A stretch of the list.", body = PaymentList, example = json!(examples::list(examples::payment())))))]
pub(super) async fn list_payments(key: Key<ReadPayments>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let mut query = QueryReader::new(request.query_string());
    let filter = filter(&mut query);
    let binding = filter_binding(&filter);
    let page = Page { before: query.cursor(binding, PaymentId::parse), limit: query.limit() };
    query.finish()?;
    shared.app.record_search(&key.caller, &filter).await?;
    let listing = shared.app.list_payments(filter, page).await?;
    let last = listing.items.last().filter(|_| listing.more);
    let next_cursor = last.map(|details| cursor::seal(details.payment.id.as_str(), binding));
    let items = shared.app.shown_to(&key.caller, listing.items).await?;
    let data = items.iter().map(|details| shared.presenter.payment_view(details)).collect();
    shown(PaymentList { data, next_cursor })
}

pub(super) fn filter(query: &mut QueryReader) -> PaymentFilter {
    let names = Status::ALL.map(Status::as_str).join(", ");
    PaymentFilter {
        invoice_id: query.line("invoice_id", 100),
        account_id: query.line("account_id", 100),
        status: query.shaped("status", &format!("one of: {names}"), Status::parse),
        transaction_id: query.shaped("transaction_id", "the provider's number, in digits", bodies::transaction_id),
        created_from: query.timestamp("created_from"),
        created_to: query.timestamp("created_to"),
    }
}

pub(super) fn filter_binding(filter: &PaymentFilter) -> Binding {
    let transaction_id = filter.transaction_id.map(|number| number.to_string());
    let created_from = filter.created_from.map(|moment| moment.to_string());
    let created_to = filter.created_to.map(|moment| moment.to_string());
    let parts = [
        filter.invoice_id.as_deref(),
        filter.account_id.as_deref(),
        filter.status.map(Status::as_str),
        transaction_id.as_deref(),
        created_from.as_deref(),
        created_to.as_deref(),
    ];
    Binding::new("payments", &parts)
}

/// List the changes of a payment
///
/// The recorded history, oldest first. Rows are only ever added. What an operator wrote (`reason` in `detail`) is shown to
/// operators, to the key that created the payment, and to keys with `personal_data:write`.
#[utoipa::path(get, path = "/v1/payments/{id}/transitions", tag = "Payments", security(("api_key" = ["payments:read"])),
    params(PaymentPath, Paging),
    responses((status = 200, description = "A stretch of the history.", body = TransitionList, example = json!(examples::list(examples::transition())))))]
pub(super) async fn list_transitions(key: Key<ReadPayments>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let id = payment_id(&request)?;
    let binding = Binding::new("transitions", &[Some(id.as_str())]);
    let mut query = QueryReader::new(request.query_string());
    let after: i64 = query.cursor(binding, |last| last.parse().ok()).unwrap_or(0);
    let limit = query.limit();
    query.finish()?;
    let listing = shared.app.list_transitions(&key.caller, id, after, limit).await?;
    let last = listing.items.last().filter(|_| listing.more);
    let next_cursor = last.map(|transition| cursor::seal(&transition.sequence.to_string(), binding));
    shown(TransitionList { data: listing.items.iter().map(transition_view).collect(), next_cursor })
}

/// Capture held money
///
/// Takes the money of an authorized payment: all of it, or `amount` and the rest is released. Possible once.
#[utoipa::path(post, path = "/v1/payments/{id}/capture", tag = "Payments", security(("api_key" = ["payments:write"])),
    params(PaymentPath, IdempotencyKey),
    request_body(content = Option<CapturePayment>, example = json!(examples::capture())),
    responses(
        (status = 200, description = "Captured.", body = PaymentView, example = json!(examples::paid_payment())),
        (status = 202, description = "The outcome is not known yet.", headers(("Retry-After" = i64, description = "Seconds after which to read the payment.")),
            body = PaymentView, example = json!(examples::undetermined_payment())),
        (status = 409, description = "`invalid_state`, `operation_in_progress`, `capture_exceeds_authorized`, `provider_refused`"),
    ))]
pub(super) async fn capture_payment(
    key: Key<WritePayments>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    let id = payment_id(&request)?;
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    let amount = bodies::capture(submission.json_or_nothing()?)?;
    let app = Arc::clone(&shared.app);
    let answer =
        to_the_end(async move { app.capture_payment(&key.caller, submission.idempotency, id, amount).await }).await??;
    Ok(answered(answer))
}

/// Cancel a payment
///
/// Releases held money, or withdraws a payment that nobody has paid yet. Taken money is given back by a refund instead.
#[utoipa::path(post, path = "/v1/payments/{id}/cancel", tag = "Payments", security(("api_key" = ["payments:write"])),
    params(PaymentPath, IdempotencyKey),
    request_body(content = Option<Nothing>, example = json!({})),
    responses(
        (status = 200, description = "Cancelled.", body = PaymentView, example = json!(examples::cancelled_payment())),
        (status = 202, description = "The outcome is not known yet.", headers(("Retry-After" = i64, description = "Seconds after which to read the payment.")),
            body = PaymentView, example = json!(examples::undetermined_payment())),
        (status = 409, description = "`invalid_state`, `operation_in_progress`, `provider_refused`"),
    ))]
pub(super) async fn cancel_payment(
    key: Key<WritePayments>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    let id = payment_id(&request)?;
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    bodies::nothing(submission.json_or_nothing()?)?;
    let app = Arc::clone(&shared.app);
    let answer = to_the_end(async move { app.cancel_payment(&key.caller, submission.idempotency, id).await }).await??;
    Ok(answered(answer))
}

/// Ask the provider now
///
/// Looks the payment up at the provider and records what it says. A repeat asks again and changes nothing else.
#[utoipa::path(post, path = "/v1/payments/{id}/sync", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(PaymentPath),
    responses((status = 200, description = "The payment as it stands now.", body = PaymentView, example = json!(examples::paid_payment()))))]
pub(super) async fn sync_payment(key: Key<Operate>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let id = payment_id(&request)?;
    query::none(request.query_string())?;
    let app = Arc::clone(&shared.app);
    let details = to_the_end(async move {
        let details = app.sync_payment(&key.caller, id).await?;
        app.one_shown_to(&key.caller, details).await
    })
    .await??;
    shown(shared.presenter.payment_view(&details))
}

/// Settle what a payment called for
///
/// Clears `attention` after a person looked at it, with the reason in the history. The same evidence does not call again;
/// new evidence does. Nothing about the money changes.
#[utoipa::path(post, path = "/v1/payments/{id}/attention/resolve", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(PaymentPath, IdempotencyKey),
    request_body(content = ResolveAttention, example = json!(examples::resolve_attention())),
    responses(
        (status = 200, description = "The payment, without `attention` unless something new came up.", body = PaymentView, example = json!(examples::paid_payment())),
        (status = 409, description = "`invalid_state`"),
    ))]
pub(super) async fn resolve_attention(
    key: Key<Operate>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    let id = payment_id(&request)?;
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    let reason = bodies::resolution(submission.json()?)?;
    let app = Arc::clone(&shared.app);
    let answer =
        to_the_end(async move { app.resolve_attention(&key.caller, submission.idempotency, id, reason).await })
            .await??;
    Ok(answered(answer))
}

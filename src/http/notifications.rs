//! Notifications of the provider: raw bytes in, the provider's answer out.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Data, Payload};

use super::cursor::{self, Binding};
use super::extract::{Answered, Key, Operate, body, client_address, path_id, shown, to_the_end};
use super::parameters::Paging;
use super::problem::Problem;
use super::query::{self, QueryReader};
use super::records::{NotificationList, NotificationView, ReplyView};
use super::schemas::NotificationKindName;
use super::server::Shared;
use super::view::Moment;
use super::{examples, networks};
use crate::app::{NotificationKind, NotificationRecord, NotificationReply, Page, RawNotification};
use crate::domain::id::NotificationId;
use crate::error::Error;

/// Largest notification, bytes. Real ones are below 8 KiB, and whoever sends one needs no key until it is read whole.
const BODY_LIMIT_BYTES: usize = 65_536;

/// Receive a notification (POST)
///
/// For the provider. The signature is checked over the raw bytes; what it says is stored and applied before the answer.
/// A repeat is answered like the first and changes nothing.
#[utoipa::path(post, path = "/v1/notifications/cloudpayments/{kind}", tag = "Provider",
    params(
        ("kind" = NotificationKindName, Path, description = "Kind of the notification."),
        ("Content-HMAC" = Option<String>, Header, description = "Base64 of HMAC-SHA256 over the raw body."),
        ("X-Content-HMAC" = Option<String>, Header, description = "The same over the decoded body."),
    ),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "The provider's fields; JSON is taken too.",
        example = json!("TransactionId=3541977847&Amount=12500.00&Currency=KZT&Status=Completed&InvoiceId=KM-2026-000123")),
    responses((status = 200, description = "Taken; `code` as the provider wants it.", body = ReplyView, example = json!({"code": 0}))))]
pub(super) async fn receive_notification(request: HttpRequest, payload: Payload, shared: Data<Shared>) -> Answered {
    let kind = kind(&request)?;
    refuse_foreign(&request, kind, &shared)?;
    let signed = body(&request, payload, BODY_LIMIT_BYTES).await?.to_vec();
    take(&request, kind, signed, is_json(request.headers()), &shared).await
}

/// Receive a notification (GET)
///
/// For the provider, where its cabinet is set to GET: the query string is what is signed.
#[utoipa::path(get, path = "/v1/notifications/cloudpayments/{kind}", tag = "Provider",
    params(
        ("kind" = NotificationKindName, Path, description = "Kind of the notification."),
        ("Content-HMAC" = Option<String>, Header, description = "Base64 of HMAC-SHA256 over the raw query string."),
        ("X-Content-HMAC" = Option<String>, Header, description = "The same over the decoded query string."),
    ),
    responses((status = 200, description = "Taken; `code` as the provider wants it.", body = ReplyView, example = json!({"code": 0}))))]
pub(super) async fn receive_notification_by_get(request: HttpRequest, shared: Data<Shared>) -> Answered {
    let kind = kind(&request)?;
    refuse_foreign(&request, kind, &shared)?;
    take(&request, kind, request.query_string().as_bytes().to_vec(), false, &shared).await
}

fn kind(request: &HttpRequest) -> Result<NotificationKind, Problem> {
    let kind = request.match_info().get("kind").and_then(NotificationKind::parse);
    kind.ok_or_else(|| Problem::new("not_found", "there is no such kind of notification"))
}

/// A notification from outside the provider's networks, where they are set. The provider repeats what is refused.
fn refuse_foreign(request: &HttpRequest, kind: NotificationKind, shared: &Shared) -> Result<(), Problem> {
    let allowed = &shared.notification_networks;
    let source = client_address(request);
    if allowed.is_empty() || source.is_some_and(|source| allowed.contain(source)) {
        return Ok(());
    }
    shared.metrics.notification(kind.as_str(), "source_not_allowed");
    let from = source.map(networks::vicinity).unwrap_or_default();
    tracing::warn!(
        notification.kind = kind.as_str(),
        from,
        "a notification was refused: cloudpayments.notification_networks does not hold its source"
    );
    Err(Problem::new("source_not_allowed", "notifications are taken from the provider's networks only"))
}

async fn take(
    request: &HttpRequest,
    kind: NotificationKind,
    signed: Vec<u8>,
    is_json: bool,
    shared: &Shared,
) -> Answered {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let raw = RawNotification {
        kind,
        signed,
        is_json,
        content_hmac: header("content-hmac"),
        x_content_hmac: header("x-content-hmac"),
    };
    let app = Arc::clone(&shared.app);
    match to_the_end(async move { app.take_notification(raw).await }).await? {
        NotificationReply::Code(code) => shown(ReplyView { code }),
        NotificationReply::BadSignature => {
            Err(Problem::new("invalid_signature", "no signature of this notification holds"))
        }
        NotificationReply::TryAgain => Err(Error::Unavailable {
            detail: "the notification could not be stored; send it again".to_owned(),
            internal: "a notification could not be stored; the provider repeats it".to_owned(),
            retry_after_s: 60,
        }
        .into()),
    }
}

/// Anything that does not say it is JSON is read as a form, the provider's usual encoding.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start()
        .get(.."application/json".len())
        .is_some_and(|start| start.eq_ignore_ascii_case("application/json"))
}

/// List received notifications
///
/// Newest first, with what became of each.
#[utoipa::path(get, path = "/v1/notifications", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(Paging),
    responses((status = 200, description = "A stretch of the list.", body = NotificationList, example = json!(examples::list(examples::notification())))))]
pub(super) async fn list_notifications(_key: Key<Operate>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let binding = Binding::new("notifications", &[]);
    let mut query = QueryReader::new(request.query_string());
    let page = Page { before: query.cursor(binding, NotificationId::parse), limit: query.limit() };
    query.finish()?;
    let listing = shared.app.list_notifications(page).await?;
    let last = listing.items.last().filter(|_| listing.more);
    let next_cursor = last.map(|record| cursor::seal(record.id.as_str(), binding));
    shown(NotificationList { data: listing.items.iter().map(view).collect(), next_cursor })
}

/// Apply a notification again
///
/// Reads the stored notification once more and applies it. What was applied already changes nothing.
#[utoipa::path(post, path = "/v1/notifications/{id}/replay", tag = "Operations", security(("api_key" = ["ops:write"])),
    params(("id" = String, Path, description = "Id of the notification.")),
    responses((status = 200, description = "The notification with its verdict now.", body = NotificationView, example = json!(examples::notification()))))]
pub(super) async fn replay_notification(key: Key<Operate>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let id = path_id(&request, NotificationId::parse, "notification", NotificationId::PREFIX)?;
    query::none(request.query_string())?;
    let app = Arc::clone(&shared.app);
    let record = to_the_end(async move { app.replay_notification(&key.caller, id).await }).await??;
    shown(view(&record))
}

fn view(record: &NotificationRecord) -> NotificationView<'_> {
    NotificationView {
        id: record.id.as_str(),
        kind: &record.kind,
        payment_id: record.payment_id.as_deref(),
        transaction_id: record.transaction_id,
        verdict: &record.verdict,
        reply: record.reply,
        received_at: Moment(record.received_at),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_json_is_read_as_json() {
        let holds = |value: &str| {
            is_json(TestRequest::default().insert_header(("Content-Type", value)).to_http_request().headers())
        };
        assert!(holds("application/json") && holds("Application/Json; charset=utf-8"));
        assert!(
            !holds("application/x-www-form-urlencoded")
                && !holds("")
                && !is_json(TestRequest::default().to_http_request().headers())
        );
    }

    #[test]
    fn the_answer_is_exactly_what_the_provider_wants() {
        let answer = serde_json::to_string(&ReplyView { code: 13 }).unwrap();
        assert_eq!(answer, r#"{"code":13}"#);
    }
}

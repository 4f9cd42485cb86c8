//! All that is held about a payer: shown for a lawful request, or erased.

use std::sync::Arc;

use actix_web::FromRequest as _;
use actix_web::HttpRequest;
use actix_web::web::{Data, Path, Payload};
use serde::Serialize;
use utoipa::ToSchema;

use super::approval_views::{ApprovalView, approval_view};
use super::bodies;
use super::cursor::{self, Binding};
use super::examples;
use super::extract::{Answered, Key, ManagePersonalData, Submission, answered, path_id, shown, to_the_end};
use super::parameters::{IdempotencyKey, Paging};
use super::presenter::{Presenter, refund_view};
use super::query::{self, QueryReader};
use super::records::RefundView;
use super::register_views::{DiscrepancyView, discrepancy_view};
use super::schemas::NotificationKindName;
use super::server::Shared;
use super::text;
use super::view::{Moment, PaymentView};
use crate::app::{Erasure, Page, PayerExport, PayerRecord, StoredNotification, Whose};
use crate::domain::id::PaymentId;
use crate::error::{Error, Result};

/// That a payer's personal data was erased.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(super) struct ErasureView<'a> {
    /// Whether something was held and is erased by this request. `false`: nothing was held under this account (look at its spelling), or
    /// it was erased before.
    pub erased: bool,
    /// Our id of the record.
    #[schema(example = "era_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    pub id: &'a str,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
    /// Payments whose payer was erased by this request; 0 when nothing was held.
    pub payments: i64,
    /// Notifications about them, or naming the account, whose bodies were erased.
    pub notifications: i64,
}

/// A notification with what the provider told.
#[derive(Serialize, ToSchema)]
#[schema(as = ToldNotification)]
pub(super) struct ToldNotificationView<'a> {
    /// Our id.
    pub id: &'a str,
    /// Its kind, by the address it came to.
    #[schema(value_type = NotificationKindName)]
    pub kind: &'a str,
    /// When it first came.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Moment,
    /// As the provider sent it: JSON or an encoded form. Absent when its time was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// All that is held about a payer in one payment.
#[derive(Serialize, ToSchema)]
#[schema(as = PayerRecord)]
pub(super) struct PayerRecordView<'a> {
    /// The payment with its payer.
    pub payment: PaymentView<'a>,
    /// Its refunds, oldest first.
    pub refunds: Vec<RefundView<'a>>,
    /// What was asked for about it that needs a second key, oldest first.
    pub approvals: Vec<ApprovalView<'a>>,
    /// The provider's notifications about it, oldest first.
    pub notifications: Vec<ToldNotificationView<'a>>,
    /// What the provider said when it refused calls, oldest first.
    pub provider_messages: &'a [String],
    /// Why operators resolved what called for attention (`attention/resolve`), oldest first.
    pub resolutions: &'a [String],
    /// What our books and the provider's register did not agree about, oldest first.
    pub discrepancies: Vec<DiscrepancyView<'a>>,
}

/// A stretch of all that is held about a payer, newest payment first.
#[derive(Serialize, ToSchema)]
#[schema(as = PersonalData)]
pub(super) struct PersonalDataView<'a> {
    /// The entries.
    pub data: Vec<PayerRecordView<'a>>,
    /// Notifications that name the account and belong to no payment, oldest first; in the first stretch only.
    pub unmatched_notifications: Vec<ToldNotificationView<'a>>,
    /// Where it goes on; `null` at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// Export a payer's personal data
///
/// Everything that is held about an account, payment by payment, for a lawful request, and the provider's notifications that
/// name the account and belong to no payment. An account of which nothing is held
/// has an empty list. Each stretch that is read is recorded.
#[utoipa::path(get, path = "/v1/payers/{account_id}/personal-data", tag = "Personal data", security(("api_key" = ["personal_data:write"])),
    params(("account_id" = String, Path, description = "The site's id of the payer, percent-encoded."), Paging),
    responses((status = 200, description = "A stretch of it.", body = PersonalDataView, example = json!(examples::personal_data()))))]
pub(super) async fn export_personal_data(
    key: Key<ManagePersonalData>,
    request: HttpRequest,
    shared: Data<Shared>,
) -> Answered {
    let account_id = account_id(&request).await?;
    let binding = Binding::new("personal_data", &[Some(&account_id)]);
    let mut query = QueryReader::new(request.query_string());
    let page = Page { before: query.cursor(binding, PaymentId::parse), limit: query.limit() };
    query.finish()?;
    let export = shared.app.export_payer(&key.caller, Whose::Account(account_id), page).await?;
    let listing = &export.records;
    let last = listing.items.last().filter(|_| listing.more);
    let next_cursor = last.map(|record| cursor::seal(record.details.payment.id.as_str(), binding));
    export_shown(&shared, &export, next_cursor)
}

/// Export the personal data of a payment
///
/// The same for a payer without an account, who is known by one payment alone. The list is empty when the payer is erased.
/// Refused where the payment names an account: its payer is shown as a whole. The reading is recorded.
#[utoipa::path(get, path = "/v1/payments/{id}/personal-data", tag = "Personal data", security(("api_key" = ["personal_data:write"])),
    params(("id" = String, Path, description = "Id of the payment.")),
    responses(
        (status = 200, description = "All of it.", body = PersonalDataView, example = json!(examples::personal_data())),
        (status = 409, description = "`invalid_state`, `keys_not_rotated`"),
    ))]
pub(super) async fn export_payment_data(
    key: Key<ManagePersonalData>,
    request: HttpRequest,
    shared: Data<Shared>,
) -> Answered {
    let id = path_id(&request, PaymentId::parse, "payment", PaymentId::PREFIX)?;
    query::none(request.query_string())?;
    let whole = Page { before: None, limit: 1 };
    let export = shared.app.export_payer(&key.caller, Whose::Payment(id), whole).await?;
    export_shown(&shared, &export, None)
}

fn export_shown(shared: &Shared, export: &PayerExport, next_cursor: Option<String>) -> Answered {
    let data = export.records.items.iter().map(|record| record_view(&shared.presenter, record)).collect();
    let unmatched_notifications = export.unmatched.iter().map(told_view).collect();
    shown(PersonalDataView { data, unmatched_notifications, next_cursor })
}

/// Erase a payer's personal data
///
/// Destroys the payer's key and with it everything that tells of the person: name, addresses, account, texts, notification
/// bodies, kept answers. Sums, states and history stay; payments show `erased: true`. Refused while a payment of the account
/// is not over. Of an account of which nothing is held the answer is 200 with `erased: false` and zero payments.
#[utoipa::path(delete, path = "/v1/payers/{account_id}/personal-data", tag = "Personal data", security(("api_key" = ["personal_data:write"])),
    params(("account_id" = String, Path, description = "The site's id of the payer, percent-encoded."), IdempotencyKey),
    responses(
        (status = 200, description = "Nothing is held any more; `erased` tells whether something was.", body = ErasureView, example = json!(examples::erasure())),
        (status = 409, description = "`payer_in_use`, `keys_not_rotated`"),
    ))]
pub(super) async fn erase_personal_data(
    key: Key<ManagePersonalData>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    let account_id = account_id(&request).await?;
    erase(key, request, payload, shared, Whose::Account(account_id)).await
}

/// Erase the personal data of a payment
///
/// The same for a payer without an account, who is known by one payment alone. Refused where the payment names an account:
/// its payer is erased as a whole. Of one who is erased the answer is 200 with `erased: false` and zero payments.
#[utoipa::path(delete, path = "/v1/payments/{id}/personal-data", tag = "Personal data", security(("api_key" = ["personal_data:write"])),
    params(("id" = String, Path, description = "Id of the payment."), IdempotencyKey),
    responses(
        (status = 200, description = "Nothing is held any more; `erased` tells whether something was.", body = ErasureView, example = json!(examples::erasure())),
        (status = 409, description = "`payer_in_use`, `invalid_state`, `keys_not_rotated`"),
    ))]
pub(super) async fn erase_payment_data(
    key: Key<ManagePersonalData>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    let id = path_id(&request, PaymentId::parse, "payment", PaymentId::PREFIX)?;
    erase(key, request, payload, shared, Whose::Payment(id)).await
}

async fn erase(
    key: Key<ManagePersonalData>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
    whose: Whose,
) -> Answered {
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    bodies::nothing(submission.json_or_nothing()?)?;
    let app = Arc::clone(&shared.app);
    let answer = to_the_end(async move { app.erase_payer(&key.caller, submission.idempotency, whose).await }).await??;
    Ok(answered(answer))
}

/// The account in the path, by the rule for `payer.account_id`.
async fn account_id(request: &HttpRequest) -> Result<String> {
    let refuse = |refusal| Error::Invalid(vec![text::fault("account_id", refusal)]);
    let path = Path::<String>::extract(request)
        .await
        .map_err(|_| refuse(("wrong_form", "send the account's id percent-encoded as UTF-8".to_owned())))?;
    text::line(&path, 100).map(str::to_owned).map_err(refuse)
}

fn record_view<'a>(presenter: &'a Presenter, record: &'a PayerRecord) -> PayerRecordView<'a> {
    PayerRecordView {
        payment: presenter.payment_view(&record.details),
        refunds: record.refunds.iter().map(refund_view).collect(),
        approvals: record.approvals.iter().map(approval_view).collect(),
        notifications: record.notifications.iter().map(told_view).collect(),
        provider_messages: &record.provider_messages,
        resolutions: &record.resolutions,
        discrepancies: record.discrepancies.iter().map(discrepancy_view).collect(),
    }
}

fn told_view(stored: &StoredNotification) -> ToldNotificationView<'_> {
    ToldNotificationView {
        id: stored.record.id.as_str(),
        kind: &stored.record.kind,
        received_at: Moment(stored.record.received_at),
        body: stored.body.as_deref().map(|body| String::from_utf8_lossy(body).into_owned()),
    }
}

pub(super) fn erasure_view(erasure: &Erasure) -> ErasureView<'_> {
    ErasureView {
        erased: erasure.payers > 0 || erasure.notifications > 0,
        id: erasure.id.as_str(),
        at: Moment(erasure.at),
        payments: erasure.payments,
        notifications: erasure.notifications,
    }
}

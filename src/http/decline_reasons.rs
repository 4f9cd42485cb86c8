//! The groups of refusal reasons with their texts.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::examples;
use super::extract::{Answered, Key, ReadPayments, shown};
use super::presenter::texts;
use super::query;
use super::records::{DeclineExceptionView, DeclineReasonView, DeclineReasonsView};
use super::server::Shared;
use crate::domain::decline::{DeclineCategory, REASONS, classify};

/// List refusal reasons
///
/// Every group of reasons with the payer's text in Kazakh, Russian and English, and whom to call.
#[utoipa::path(get, path = "/v1/decline-reasons", tag = "Payments", security(("api_key" = ["payments:read"])),
    responses((status = 200, description = "Every group.", body = DeclineReasonsView, example = json!(examples::decline_reasons()))))]
pub(super) async fn list_decline_reasons(
    _key: Key<ReadPayments>,
    request: HttpRequest,
    shared: Data<Shared>,
) -> Answered {
    query::none(request.query_string())?;
    let data = DeclineCategory::ALL.into_iter().map(group).collect();
    shown(DeclineReasonsView { data, support: shared.presenter.support() })
}

pub(super) fn group(category: DeclineCategory) -> DeclineReasonView {
    let codes = || REASONS.iter().filter(|reason| reason.category == category).map(|reason| reason.code);
    DeclineReasonView {
        category: category.as_str(),
        message: texts(category.texts()),
        contact: category.contact().as_str(),
        reason_codes: codes().collect(),
        exceptions: codes().filter_map(exception).collect(),
    }
}

/// A code whose text is not that of its group.
fn exception(reason_code: i32) -> Option<DeclineExceptionView> {
    let reason = classify(reason_code);
    let message = Some(reason.texts()).filter(|own| *own != reason.category.texts())?;
    Some(DeclineExceptionView { reason_code, message: texts(message) })
}

//! What answers about approvals look like; see [`super::view`].

use serde::Serialize;
use utoipa::ToSchema;

use super::schemas::{ApprovalKindName, ApprovalStateName, CallName, CorrectionOutcomeName, RefundStatusName};
use super::view::{Moment, MoneyView};
use crate::app::ApprovalDetails;
use crate::domain::approval::Subject;

/// What one operator asks for and another one decides about. Fields that do not apply are absent.
#[derive(Serialize, ToSchema)]
#[schema(as = Approval)]
pub(super) struct ApprovalView<'a> {
    /// Our id.
    #[schema(example = "apr_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    pub id: &'a str,
    /// What is asked for.
    #[schema(value_type = ApprovalKindName)]
    pub kind: &'static str,
    /// Where it is.
    #[schema(value_type = ApprovalStateName)]
    pub state: &'static str,
    /// True while it is pending and every API key of the line that asked was revoked or has expired: it can be rejected, and no
    /// longer approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lapsed: Option<bool>,
    /// The payment it is about.
    pub payment_id: &'a str,
    /// Of a refund: how much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<MoneyView>,
    /// Of a correction: the call whose answer is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CallName>)]
    pub call: Option<&'static str>,
    /// Of a correction: the id of that call, as the history has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<&'a str>,
    /// Of a correction: what is asserted of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CorrectionOutcomeName>)]
    pub outcome: Option<&'static str>,
    /// The refund that was made when it was approved; of a correction the refund whose call it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<&'a str>,
    /// Where that refund is. One that failed has to be asked for anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RefundStatusName>)]
    pub refund_status: Option<&'static str>,
    /// Why, in the words of who asked. Shown to who asked, to keys that could decide about it, to the API key that created the
    /// payment, and to keys with `personal_data:write`; absent once the payer was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// The API key that asked.
    pub requested_by: &'a str,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Moment,
    /// From when on nobody can decide about it any more.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Moment,
    /// The API key that approved or rejected it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<&'a str>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Moment>,
}

pub(super) fn approval_view(details: &ApprovalDetails) -> ApprovalView<'_> {
    let approval = &details.approval;
    let (amount, corrected) = match &approval.subject {
        Subject::Refund { amount, .. } => (Some((*amount).into()), None),
        Subject::Correction { operation_id, call, outcome, .. } => (None, Some((operation_id, call, outcome))),
    };
    ApprovalView {
        id: approval.id.as_str(),
        kind: approval.subject.kind().as_str(),
        state: approval.state.as_str(),
        lapsed: details.lapsed.then_some(true),
        payment_id: approval.payment_id.as_str(),
        amount,
        call: corrected.map(|(_, call, _)| call.as_str()),
        operation_id: corrected.map(|(id, ..)| id.as_str()),
        outcome: corrected.map(|(.., outcome)| outcome.as_str()),
        refund_id: approval.subject.refund_id().map(|id| id.as_str()),
        refund_status: details.refund.as_ref().map(|refund| refund.status.as_str()),
        reason: approval.reason.as_deref(),
        requested_by: approval.requested_by.key_id.as_str(),
        requested_at: Moment(approval.requested_at),
        expires_at: Moment(approval.expires_at),
        decided_by: approval.decided_by.as_ref().map(|by| by.key_id.as_str()),
        decided_at: approval.decided_at.map(Moment),
    }
}

//! What answers about refunds, history, notifications, events and the service look like; see [`super::view`].

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::approval_views::ApprovalView;
use super::register_views::{ChargebackView, DiscrepancyView, ReconciliationView};
use super::schemas::{
    CauseName, ContactName, DeclineCategoryName, GapName, NotificationKindName, RefundStatusName, StatusName,
};
use super::view::{Moment, MoneyView, OutcomeView, PaymentView, SupportView, TextsView};

/// Why a refund failed.
#[derive(Serialize, ToSchema)]
#[schema(as = RefundFailure)]
pub(super) struct RefundFailureView<'a> {
    /// What the provider said.
    pub message: &'a str,
}

/// A refund as it stands. Fields that do not apply are absent.
#[derive(Serialize, ToSchema)]
#[schema(as = Refund)]
pub(super) struct RefundView<'a> {
    /// Our id.
    #[schema(example = "ref_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    pub id: &'a str,
    /// The payment it gives back from.
    pub payment_id: &'a str,
    /// How much.
    pub amount: MoneyView,
    /// Where it is.
    #[schema(value_type = RefundStatusName)]
    pub status: &'static str,
    /// How sure that is.
    pub outcome: OutcomeView,
    /// Why, as the site said. Shown to the API keys that created the payment or asked for the refund, and to keys with the
    /// scope `personal_data:write`, whose reading is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Why it failed; erased with the payer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<RefundFailureView<'a>>,
    /// The provider's number of the refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<i64>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Moment,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Moment,
}

/// What caused a change.
#[derive(Serialize, ToSchema)]
#[schema(as = Cause)]
pub(super) struct CauseView<'a> {
    /// The kind of cause.
    #[schema(value_type = CauseName)]
    pub r#type: &'static str,
    /// The request, operation or notification it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
}

/// One change of a payment, as it was recorded.
#[derive(Serialize, ToSchema)]
#[schema(as = Transition)]
pub(super) struct TransitionView<'a> {
    /// 1, 2, 3, … for each payment.
    pub sequence: i64,
    /// The state before; absent for the creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<StatusName>)]
    pub from: Option<&'static str>,
    /// The state after; the same as before where something else changed.
    #[schema(value_type = StatusName)]
    pub to: &'static str,
    /// What caused it.
    pub cause: CauseView<'a>,
    /// The API key, `cloudpayments`, or the worker that acted.
    pub actor: &'a str,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
    /// The provider's transaction it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<i64>,
    /// More about it.
    #[schema(value_type = Object)]
    pub detail: &'a RawValue,
}

/// A received notification, its body left out.
#[derive(Serialize, ToSchema)]
#[schema(as = Notification)]
pub(super) struct NotificationView<'a> {
    /// Our id.
    #[schema(example = "ntf_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    pub id: &'a str,
    /// Its kind, by the address it came to.
    #[schema(value_type = NotificationKindName)]
    pub kind: &'a str,
    /// The payment it was booked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<&'a str>,
    /// The provider's transaction it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<i64>,
    /// What became of it: `applied`, `no_change`, `unmatched`, `unreadable`, `ignored`, and for Check `accepted` or
    /// `refused`.
    pub verdict: &'a str,
    /// The code we answered.
    pub reply: i32,
    /// When it first came.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Moment,
}

/// One event for the site.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventView<'a> {
    /// Our id; events are told apart by it.
    #[schema(example = "evt_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    pub id: &'a str,
    /// What happened: `payment.paid`, `refund.succeeded`, `payment.needs_attention`, …; `notification.needs_attention` is a
    /// message of the provider, maybe about money, that belongs to no payment, and `notification.matched` tells that one
    /// was booked after all. For operators: `api_key.created`, `api_key.rotated`, `api_key.revoked`, and
    /// `discrepancy.closing_proposed` and `discrepancy.closed` where the discrepancy is of no payment. New kinds may appear.
    #[schema(example = "payment.paid")]
    pub r#type: &'a str,
    /// The payment it is about; read it for its present state. Absent where it is about none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<&'a str>,
    /// The refund it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<&'a str>,
    /// The notification it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_id: Option<&'a str>,
    /// The provider's transaction that the notification speaks of, where it can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<i64>,
    /// Number of the row of the payment's history it was written with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<i64>,
    /// The API key or the discrepancy it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_id: Option<&'a str>,
    /// Who did it: the id of a key, or `cli` for a command on the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<&'a str>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
}

/// One group of refusal reasons.
#[derive(Serialize, ToSchema)]
#[schema(as = DeclineReason)]
pub(super) struct DeclineReasonView {
    /// Stable name of the group.
    #[schema(value_type = DeclineCategoryName)]
    pub category: &'static str,
    /// For the payer.
    pub message: TextsView,
    /// Whom the payer should call about it.
    #[schema(value_type = ContactName)]
    pub contact: &'static str,
    /// The provider's numbers in this group.
    pub reason_codes: Vec<i32>,
    /// Those of them for which the payer reads another text.
    pub exceptions: Vec<DeclineExceptionView>,
}

/// A reason with a text of its own.
#[derive(Serialize, ToSchema)]
#[schema(as = DeclineException)]
pub(super) struct DeclineExceptionView {
    /// The provider's number.
    #[schema(example = 3008)]
    pub reason_code: i32,
    /// For the payer.
    pub message: TextsView,
}

/// Every group of refusal reasons.
#[derive(Serialize, ToSchema)]
#[schema(as = DeclineReasons)]
pub(super) struct DeclineReasonsView<'a> {
    /// The groups.
    pub data: Vec<DeclineReasonView>,
    /// Whom the payer can call in any case.
    pub support: SupportView<'a>,
}

/// The state of the service.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    pub status: &'static str,
}

/// Whether requests can be served.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ok`: requests can be served.
    #[schema(example = "ok")]
    pub status: &'static str,
    /// Whether calls are sent to the provider: `ok`, or why not: `unreachable`, `credentials_refused`.
    #[schema(example = "ok")]
    pub provider: &'static str,
    /// Whether it is known what the provider did before the start. `read`: money may move. `being_read`: requests that
    /// move money wait for it. `behind`: the database is an older copy; they are refused until the gap is read back.
    #[schema(value_type = GapName)]
    pub register_gap: &'static str,
    /// What an operator does about it; absent while money may move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register_gap_advice: Option<&'static str>,
}

/// The answer that the provider wants.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationReply)]
pub(super) struct ReplyView {
    /// 0: taken, or for Check "go on". Check is refused with 10 (unknown invoice), 11 (wrong account), 12 (wrong amount
    /// or currency), 13 (cannot be paid) or 20 (expired).
    pub code: u8,
}

/// What stands for the whole history up to the end of a day.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRoot)]
pub(super) struct AuditRootView {
    /// The day in UTC. The root of a day that is not over yet still changes.
    #[schema(example = "2026-11-25")]
    pub day: String,
    /// Number of the day's last seal.
    pub seal: i64,
    /// Hash of that seal: SHA-256 as 64 hexadecimal digits.
    pub root: String,
    /// Rows of the history that it covers, from the first one of all.
    pub rows: i64,
    /// When the seal was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
}

/// A stretch of the daily roots, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRootList)]
pub(super) struct AuditRootList {
    /// The entries.
    pub data: Vec<AuditRootView>,
    /// Where the list goes on; `null` at its end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

macro_rules! list_view {
    ($(#[$doc:meta])* $name:ident, $schema:ident, $entry:ident) => {
        $(#[$doc])*
        #[derive(Serialize, ToSchema)]
        #[schema(as = $schema)]
        pub(super) struct $name<'a> {
            /// The entries.
            pub data: Vec<$entry<'a>>,
            /// Where the list goes on; `null` at its end.
            #[schema(required = true)]
            pub next_cursor: Option<String>,
        }
    };
}

list_view!(
    /// A stretch of the list of payments, newest first.
    PaymentList, PaymentList, PaymentView
);
list_view!(
    /// A stretch of a payment's refunds, newest first.
    RefundList, RefundList, RefundView
);
list_view!(
    /// A stretch of a payment's history, oldest first.
    TransitionList, TransitionList, TransitionView
);
list_view!(
    /// A stretch of the received notifications, newest first.
    NotificationList, NotificationList, NotificationView
);
list_view!(
    /// A stretch of the events, oldest first.
    EventList, EventList, EventView
);
list_view!(
    /// A stretch of the comparisons with the register, newest first.
    ReconciliationList, ReconciliationList, ReconciliationView
);
list_view!(
    /// A stretch of the discrepancies, newest first.
    DiscrepancyList, DiscrepancyList, DiscrepancyView
);
list_view!(
    /// A stretch of the chargebacks, newest first.
    ChargebackList, ChargebackList, ChargebackView
);
list_view!(
    /// A stretch of the approvals, newest first.
    ApprovalList, ApprovalList, ApprovalView
);

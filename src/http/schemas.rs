//! Parts of the OpenAPI document that no answer is made of: names as enums, bodies of requests.
//!
//! The enums are written from the domain's own lists. Bodies are read field by field in [`super::bodies`]; the structs
//! here document them, and tests hold both together.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::app::{Gap, NotificationKind};
use crate::domain::approval::{ApprovalKind, ApprovalState, CorrectionOutcome};
use crate::domain::day_register::EntryKind;
use crate::domain::decline::{Contact, DeclineCategory};
use crate::domain::evidence::{TransactionKind, TransactionStatus};
use crate::domain::money::CURRENCIES;
use crate::domain::payment::{CaptureMode, Language, Method, OperationKind};
use crate::domain::refund::RefundStatus;
use crate::domain::register::{DiscrepancyKind, Purpose, Resolution, RunState};
use crate::domain::state::{CauseType, Certainty, Status};
use crate::domain::summary::Outcome;

macro_rules! names {
    ($type:ident, $schema:literal, $description:literal, $names:expr) => {
        #[doc = $description]
        pub(super) struct $type;

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let names: Vec<&'static str> = $names.into_iter().collect();
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some($description))
                    .enum_values(Some(names))
                    .into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($schema)
            }
        }
    };
}

names!(
    StatusName,
    "PaymentStatus",
    "Where a payment is. `awaiting_payer`: in the window, nobody has paid yet; a refused card does not end it. `processing`: a call to CloudPayments is under way or its outcome is not known. `awaiting_authentication`: the payer is at the bank (3-D Secure). `authorized`: money is held, not taken. `paid`: money is taken. `partially_refunded`, `refunded`: a part of it, or all, is given back. `declined`: the one attempt of a card payment was refused. `cancelled`: withdrawn before anybody paid, the hold released, or never sent. `expired`: nobody paid in time.",
    Status::ALL.map(Status::as_str)
);
names!(
    CertaintyName,
    "Certainty",
    "How sure the shown outcome is. `proven`: by an answer, a notification or the register. `undetermined`: the answer was lost and is being asked for; never charge anew.",
    [Certainty::Proven, Certainty::Undetermined].map(Certainty::as_str)
);
names!(
    CauseName,
    "CauseType",
    "What caused a change. `api`: a request. `provider_answer`: the answer to our call. `notification`: a verified notification. `lookup`: we asked the provider. `reconciliation`: the comparison with its register. `expiry`: time ran out. `operator`: a person settled it.",
    CauseType::ALL.map(CauseType::as_str)
);
names!(
    CaptureModeName,
    "CaptureMode",
    "When the money is taken: `automatic`, at once; `manual`, held first and taken by a capture.",
    [CaptureMode::Automatic, CaptureMode::Manual].map(CaptureMode::as_str)
);
names!(
    LanguageName,
    "Language",
    "Language of the payer's texts: `kk` Kazakh, `ru` Russian, `en` English.",
    [Language::Kk, Language::Ru, Language::En].map(Language::as_str)
);
names!(
    MethodName,
    "PaymentMethodType",
    "How the payer pays: `widget`, in the provider's window; `card_cryptogram`, with card data encrypted in the browser.",
    [Method::Widget, Method::CardCryptogram].map(Method::as_str)
);
names!(
    NextActionName,
    "NextActionType",
    "What the site has to do next. `open_widget`: call `widget.start` with `intent`. `three_ds`: send the browser to `redirect_url`.",
    ["open_widget", "three_ds"]
);
names!(
    RefundStatusName,
    "RefundStatus",
    "Where a refund is. `pending`: asked for; counts against what may still be given back. `succeeded`: the money is given back. `failed`: nothing was given back.",
    RefundStatus::ALL.map(RefundStatus::as_str)
);
names!(
    OutcomeName,
    "SummaryStatus",
    "What became of a payment or an attempt to pay. `paid`: money was taken. `refunded`: money was given back. `declined`: an attempt was refused. `cancelled`: withdrawn, or the hold released. `expired`: nobody paid in time.",
    Outcome::ALL.map(Outcome::as_str)
);
names!(
    EntryKindName,
    "RegisterRowKind",
    "What a row of the register is. `payment`: money was taken. `refund`: money was given back. `void`: a hold was released. `chargeback`: the payer's bank takes money back, or a step of that dispute.",
    EntryKind::ALL.map(EntryKind::as_str)
);
names!(
    TransactionKindName,
    "TransactionKind",
    "What a transaction of the provider does. `payment`: takes or holds money. `refund`: gives it back.",
    [TransactionKind::Payment, TransactionKind::Refund].map(TransactionKind::as_str)
);
names!(
    TransactionStatusName,
    "TransactionStatus",
    "Where a transaction of the provider is. `checked`: let through by Check, outcome not known. `awaiting_authentication`: the payer is at the bank. `declined`: refused. `authorized`: money held. `voided`: hold released. `completed`: money moved.",
    [
        TransactionStatus::Checked,
        TransactionStatus::AwaitingAuthentication,
        TransactionStatus::Declined,
        TransactionStatus::Authorized,
        TransactionStatus::Voided,
        TransactionStatus::Completed,
    ]
    .map(TransactionStatus::as_str)
);
names!(
    DeclineCategoryName,
    "DeclineCategory",
    "Group of refusal reasons, texts for the payer at `/v1/decline-reasons`. `online_payments_not_allowed`: the card is not meant for internet payments. `insufficient_funds`: not enough money. `incorrect_card_data`: entered wrongly. `expired_card`: out of date. `card_restricted`: lost, stolen or blocked. `limit_exceeded`: over a limit of the card. `fraud_suspected`: stopped by a check. `three_ds_failed`: the payer was not authenticated. `issuer_unavailable`: the bank did not answer. `processing_error`: the request could not be processed. `other`: anything else.",
    DeclineCategory::ALL.map(DeclineCategory::as_str)
);
names!(
    ContactName,
    "Contact",
    "Whom the payer should call: `issuing_bank`, the bank of the card; `support`, the contacts of the settings.",
    [Contact::IssuingBank, Contact::Support].map(Contact::as_str)
);
names!(
    NotificationKindName,
    "NotificationKind",
    "Kind of a notification. `check`: may it be paid? `pay`: paid or held. `fail`: an attempt was refused. `confirm`: held money was taken. `refund`: money was given back. `cancel`: a hold was released. `recurrent`: a plan changed. `receipt`: a fiscal receipt.",
    NotificationKind::ALL.map(NotificationKind::as_str)
);
names!(
    LawStatusName,
    "LawStatus",
    "Whether a law holds for the rows that were read. `green`: it does. `red`: there are rows at fault. `not_read`: none of its rows were read yet; follow `next_cursor`.",
    ["green", "red", "not_read"]
);
names!(
    PurposeName,
    "ReconciliationPurpose",
    "Why a comparison with the register was made: `requested` by somebody, `daily` when a day was over, `gap` at a start to read back what the provider did before, `recheck` some minutes later.",
    Purpose::ALL.iter().map(|purpose| purpose.as_str())
);
names!(
    ReconciliationStateName,
    "ReconciliationState",
    "Where a comparison with the register is. `running`: under way, or waiting for the provider. `completed`: read to its end. `failed`: given up; `reason` says why.",
    RunState::ALL.iter().map(|state| state.as_str())
);
names!(
    DiscrepancyKindName,
    "DiscrepancyKind",
    "What our books and the register do not agree about. `missing_here`: the register holds a transaction that we do not. `missing_there`: we hold one that the provider does not know. `amount_mismatch`, `currency_mismatch`: sums or currencies differ. `status_mismatch`: one is further than the other. `duplicate`: a second transaction with money for one payment. `refund_in_cabinet`: a refund of no request that is held here; an open one holds up further refunds of its payment, because its request may have been lost with an older copy of the database.",
    DiscrepancyKind::ALL.iter().map(|kind| kind.as_str())
);
names!(
    ResolutionName,
    "DiscrepancyResolution",
    "How a discrepancy ended: `booked` here, `agrees` in a later comparison, `superseded` by another one about the same transaction, or settled by an `operator`.",
    Resolution::ALL.iter().map(|resolution| resolution.as_str())
);
names!(
    GapName,
    "RegisterGap",
    "What is known of what the provider did before the start. `read`: all of it. `being_read`: the register is being read. `behind`: the register names payments that the database does not hold.",
    [Gap::Read, Gap::BeingRead, Gap::Behind].map(Gap::as_str)
);
names!(
    ApprovalKindName,
    "ApprovalKind",
    "What is asked for: `refund`, to give money back; `correction`, to end a call whose answer is lost and of which nobody can tell any more.",
    ApprovalKind::ALL.map(ApprovalKind::as_str)
);
names!(
    ApprovalStateName,
    "ApprovalState",
    "Where an approval is. `pending`: waits for another key. `approved`: allowed and carried out. `rejected`: refused. `expired`: nobody decided in time.",
    ApprovalState::ALL.map(ApprovalState::as_str)
);
names!(
    CorrectionOutcomeName,
    "CorrectionOutcome",
    "What is asserted of a lost call: `no_effect`, it moved no money. That it did is never asserted, only found: see `sync`.",
    CorrectionOutcome::ALL.map(CorrectionOutcome::as_str)
);
names!(
    CallName,
    "ProviderCall",
    "What was asked of CloudPayments. `charge`: take money. `authorize`: hold it. `three_ds`: finish 3-D Secure. `capture`: take held money. `void`: release it. `refund`: give money back.",
    OperationKind::ALL.map(OperationKind::as_str)
);
names!(CurrencyName, "Currency", "ISO 4217 letters of a currency that can be paid in.", CURRENCIES.iter().copied());
names!(
    ProblemCodeName,
    "ProblemCode",
    "Stable code of an error; act upon this one. What each means stands with the responses of its status.",
    super::problem::TABLE.iter().map(|row| row.code)
);

/// An amount to be paid, taken or given back.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what fields.rs reads")]
pub(super) struct MoneyInput {
    /// Decimal string above zero with exactly the currency's digits; a JSON number is refused.
    #[schema(example = "12500.00", pattern = r"^(0|[1-9][0-9]{0,12})\.[0-9]{2}$")]
    value: String,
    /// The currency.
    #[schema(value_type = CurrencyName)]
    currency: String,
}

/// Who pays. All fields may be left out, save `ip_address` with card data.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what bodies.rs reads")]
pub(super) struct PayerInput {
    /// The site's id of the payer.
    #[schema(min_length = 1, max_length = 100, example = "client-77")]
    account_id: Option<String>,
    /// Address for the receipt.
    #[schema(max_length = 254, example = "payer@example.test")]
    email: Option<String>,
    /// `+` and 7 to 15 digits.
    #[schema(pattern = r"^\+[0-9]{7,15}$", example = "+77000000000")]
    phone: Option<String>,
    /// As the payer gave it.
    #[schema(min_length = 1, max_length = 100, example = "Test Payer")]
    name: Option<String>,
    /// IPv4 or IPv6 address of the payer's browser; required for `card_cryptogram`.
    #[schema(example = "203.0.113.7")]
    ip_address: Option<String>,
}

/// How the payer pays.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what bodies.rs reads")]
pub(super) struct PaymentMethodInput {
    /// The kind of method.
    #[schema(value_type = MethodName)]
    r#type: String,
    /// For `card_cryptogram`, required there: card data encrypted by the provider's script. Passed on, never stored.
    #[schema(min_length = 1, max_length = 8192, example = "014242424242sMnN7k")]
    cryptogram: Option<String>,
    /// For `card_cryptogram`: the name on the card.
    #[schema(min_length = 1, max_length = 100, example = "TEST CARDHOLDER")]
    cardholder_name: Option<String>,
}

/// A payment to be created.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what bodies.rs reads")]
pub(super) struct CreatePayment {
    /// What is to be paid.
    amount: MoneyInput,
    /// The site's number of the bill. One that could be a card number is refused: 13 digits or more in a row that begin
    /// with 4, 5 or 6 have a chance of one in ten.
    #[schema(min_length = 1, max_length = 100, example = "KM-2026-000123")]
    invoice_id: String,
    /// What the payer reads.
    #[schema(min_length = 1, max_length = 250, example = "Policy KM-2026-000123")]
    description: String,
    /// Who pays.
    payer: Option<PayerInput>,
    /// When the money is taken; `automatic` by default.
    #[schema(value_type = Option<CaptureModeName>)]
    capture: Option<String>,
    /// Language of the payer's texts; `ru` by default.
    #[schema(value_type = Option<LanguageName>)]
    language: Option<String>,
    /// Where the payer's browser goes at the end: absolute `https://` address; `http://` for this machine only. After
    /// 3-D Secure `payment_id` and `status` are added to its query; they are a hint, read the payment.
    #[schema(max_length = 2000, example = "https://kmic.kz/pay/done")]
    return_url: Option<String>,
    /// How long the payment can be paid, seconds.
    #[schema(minimum = 60, maximum = 2_592_000, example = 86_400)]
    expires_in: Option<i64>,
    /// The site's own data, given back as it was sent: at most 50 keys, 4096 bytes, three levels deep.
    #[schema(value_type = Option<Object>)]
    metadata: Option<String>,
    /// How the payer pays; `widget` by default.
    method: Option<PaymentMethodInput>,
}

/// A refund to be made.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what bodies.rs reads")]
pub(super) struct CreateRefund {
    /// How much; all that is left by default.
    amount: Option<MoneyInput>,
    /// Why.
    #[schema(min_length = 1, max_length = 250, example = "Policy cancelled within 14 days")]
    reason: Option<String>,
    /// Refuse with 412 when what is refundable differs from this.
    expected_refundable: Option<MoneyInput>,
}

/// A capture of held money.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what bodies.rs reads")]
pub(super) struct CapturePayment {
    /// How much; all that is held by default.
    amount: Option<MoneyInput>,
}

/// What an operator says about a payment that called for attention.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what bodies.rs reads")]
pub(super) struct ResolveAttention {
    /// What was found and done; goes into the history. No personal data.
    #[schema(min_length = 1, max_length = 250, example = "The second payment was given back in the cabinet")]
    reason: String,
}

/// A comparison with the provider's register to be made: of a day, or of a window.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what bodies.rs reads")]
pub(super) struct CreateReconciliation {
    /// A UTC day. Send either this or `from` and `to`.
    #[schema(example = "2026-11-24", format = Date)]
    date: Option<String>,
    /// First moment of the window.
    #[schema(example = "2026-11-24T00:00:00Z", format = DateTime)]
    from: Option<String>,
    /// End of the window, not in it; at most seven days after `from`.
    #[schema(example = "2026-11-25T00:00:00Z", format = DateTime)]
    to: Option<String>,
}

/// A discrepancy to be closed by hand.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what bodies.rs reads")]
pub(super) struct CloseDiscrepancy {
    /// Why it is settled.
    #[schema(min_length = 1, max_length = 250, example = "Charged by the call centre's terminal, booked there")]
    reason: String,
}

/// Something that another key has to allow.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what approvals.rs reads")]
pub(super) struct CreateApproval {
    /// What is asked for.
    #[schema(value_type = ApprovalKindName)]
    kind: String,
    /// The payment it is about.
    #[schema(example = "pay_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    payment_id: String,
    /// For `refund`, required there: how much to give back.
    amount: Option<MoneyInput>,
    /// For `correction`: the refund whose answer is lost; left out for a lost charge, capture or void of the payment.
    #[schema(example = "ref_01kaq0k7d2f5w8y1h4g9z6s3qa")]
    refund_id: Option<String>,
    /// For `correction`, required there: what is asserted of the lost call.
    #[schema(value_type = Option<CorrectionOutcomeName>)]
    outcome: Option<String>,
    /// Why; whoever decides reads it. Kept encrypted, not in the history.
    #[schema(min_length = 1, max_length = 250, example = "The client cancelled the policy, request 77 of 2 March")]
    reason: String,
}

/// Nothing: the body may be left out.
#[derive(ToSchema)]
pub(super) struct Nothing {}

/// The bank's answer to 3-D Secure.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what bodies.rs reads")]
pub(super) struct FinishThreeDs {
    /// The form field `MD` as the bank sent it.
    #[schema(example = "3541977847")]
    md: String,
    /// The form field `PaRes` as the bank sent it.
    #[schema(max_length = 65_536, example = "eJxVUttugkAQ")]
    pa_res: String,
}

/// The form that the bank has the payer's browser post.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what three_ds.rs reads")]
pub(super) struct BankForm {
    /// The provider's transaction.
    #[schema(rename = "MD", example = "3541977847")]
    md: String,
    /// The bank's answer.
    #[schema(rename = "PaRes", example = "eJxVUttugkAQ")]
    pa_res: String,
}

/// An error (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what problem.rs writes")]
pub(super) struct Problem {
    /// `urn:kmic-payments:problem:` and the code.
    #[schema(example = "urn:kmic-payments:problem:invalid_request")]
    r#type: String,
    /// The same words for every error of this code.
    title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What happened and what to do.
    detail: String,
    /// What programs act upon.
    #[schema(value_type = ProblemCodeName)]
    code: String,
    /// Id of the request in our log: that of the header `X-Request-Id`, or ours where yours is not kept.
    request_id: String,
    /// Every faulty field.
    errors: Option<Vec<ProblemFault>>,
}

/// One faulty field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what problem.rs writes")]
pub(super) struct ProblemFault {
    /// JSON pointer into the body, or the name of a query parameter or header.
    #[schema(example = "/amount/value")]
    pointer: String,
    /// Stable code; new codes may appear.
    #[schema(example = "wrong_number_of_digits")]
    code: String,
    /// What is wrong and what to do.
    detail: String,
}

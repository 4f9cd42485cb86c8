//! Parts of the OpenAPI document that no answer is made of: names as enums, bodies of requests.
//!
//! The enums are written from the domain's own lists. Bodies are read field by field in [`super::bodies`]; the structs
//! here document them, and tests hold both together.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::app::{Gap, NotificationKind};
use crate::domain::day_register::EntryKind;
use crate::domain::decline::{Contact, DeclineCategory};
use crate::domain::evidence::{TransactionKind, TransactionStatus};
use crate::domain::money::CURRENCIES;
use crate::domain::payment::{CaptureMode, Language, Method};
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

names!(StatusName, "PaymentStatus", "Where a payment is.", Status::ALL.map(Status::as_str));
names!(
    CertaintyName,
    "Certainty",
    "How sure the shown outcome is.",
    [Certainty::Proven, Certainty::Undetermined].map(Certainty::as_str)
);
names!(CauseName, "CauseType", "What caused a change.", CauseType::ALL.map(CauseType::as_str));
names!(
    CaptureModeName,
    "CaptureMode",
    "When the money is taken: at once, or held first and taken by a capture.",
    [CaptureMode::Automatic, CaptureMode::Manual].map(CaptureMode::as_str)
);
names!(
    LanguageName,
    "Language",
    "Language of the payer's texts.",
    [Language::Kk, Language::Ru, Language::En].map(Language::as_str)
);
names!(
    MethodName,
    "PaymentMethodType",
    "How the payer pays: in the provider's window, or with card data encrypted in the browser.",
    [Method::Widget, Method::CardCryptogram].map(Method::as_str)
);
names!(NextActionName, "NextActionType", "What the site has to do next.", ["open_widget", "three_ds"]);
names!(RefundStatusName, "RefundStatus", "Where a refund is.", RefundStatus::ALL.map(RefundStatus::as_str));
names!(
    OutcomeName,
    "SummaryStatus",
    "What became of a payment or an attempt to pay.",
    Outcome::ALL.map(Outcome::as_str)
);
names!(EntryKindName, "RegisterRowKind", "What a row of the register is.", EntryKind::ALL.map(EntryKind::as_str));
names!(
    TransactionKindName,
    "TransactionKind",
    "What a transaction of the provider does.",
    [TransactionKind::Payment, TransactionKind::Refund].map(TransactionKind::as_str)
);
names!(
    TransactionStatusName,
    "TransactionStatus",
    "Where a transaction of the provider is.",
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
    "Group of refusal reasons.",
    DeclineCategory::ALL.map(DeclineCategory::as_str)
);
names!(
    ContactName,
    "Contact",
    "Whom the payer should call.",
    [Contact::IssuingBank, Contact::Support].map(Contact::as_str)
);
names!(
    NotificationKindName,
    "NotificationKind",
    "Kind of a notification.",
    NotificationKind::ALL.map(NotificationKind::as_str)
);
names!(LawStatusName, "LawStatus", "Whether a law holds for the rows that were read.", ["green", "red", "not_read"]);
names!(
    PurposeName,
    "ReconciliationPurpose",
    "Why a comparison with the register was made: `requested` by somebody, `daily` when a day was over, `gap` at a start to read back what the provider did before, `recheck` some minutes later.",
    Purpose::ALL.iter().map(|purpose| purpose.as_str())
);
names!(
    ReconciliationStateName,
    "ReconciliationState",
    "Where a comparison with the register is.",
    RunState::ALL.iter().map(|state| state.as_str())
);
names!(
    DiscrepancyKindName,
    "DiscrepancyKind",
    "What our books and the register do not agree about.",
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
    "What is known of what the provider did before the start.",
    [Gap::Read, Gap::BeingRead, Gap::Behind].map(Gap::as_str)
);
names!(CurrencyName, "Currency", "ISO 4217 letters of a currency that can be paid in.", CURRENCIES.iter().copied());
names!(
    ProblemCodeName,
    "ProblemCode",
    "Stable code of an error; act upon this one.",
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
    /// Id of the request, also in the header `X-Request-Id` and in our log.
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

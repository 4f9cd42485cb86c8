//! What a payment looks like in answers: these structs are the JSON and, by their comments, its documentation.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::intent::WidgetIntent;
use super::schemas::{
    CaptureModeName, CertaintyName, ContactName, DeclineCategoryName, LanguageName, MethodName, NextActionName,
    StatusName, TransactionKindName, TransactionStatusName,
};
use crate::app::{Attempt, ForOperators};
use crate::clock::Timestamp;
use crate::domain::money::Money;

/// A moment as RFC 3339 text.
#[derive(Clone, Copy)]
pub(super) struct Moment(pub Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An amount of money.
#[derive(Serialize, ToSchema)]
#[schema(as = Money)]
pub(super) struct MoneyView {
    /// Decimal text with exactly the currency's digits.
    #[schema(example = "12500.00", pattern = r"^(0|[1-9][0-9]{0,12})\.[0-9]{2}$")]
    pub value: String,
    /// ISO 4217 letters.
    #[schema(example = "KZT")]
    pub currency: &'static str,
}

impl From<Money> for MoneyView {
    fn from(money: Money) -> MoneyView {
        MoneyView { value: money.to_decimal(), currency: money.currency.code() }
    }
}

/// How sure the shown state is.
#[derive(Serialize, ToSchema)]
#[schema(as = Outcome)]
pub(super) struct OutcomeView {
    /// `undetermined`: an answer of the provider was lost and evidence is being looked for; nothing was concluded.
    #[schema(value_type = CertaintyName)]
    pub certainty: &'static str,
    /// Until when the provider still repeats the answer that was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decide_by: Option<Moment>,
}

/// Who pays.
#[derive(Serialize, ToSchema)]
#[schema(as = Payer)]
pub(super) struct PayerView<'a> {
    /// The site's id of the payer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<&'a str>,
    /// Address for the receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<&'a str>,
    /// With leading `+`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<&'a str>,
    /// As the payer gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Where the payer's browser is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<&'a str>,
}

/// How the payer pays.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentMethod)]
pub(super) struct MethodView {
    /// The kind of method.
    #[schema(value_type = MethodName)]
    pub r#type: &'static str,
}

/// What the site has to do next for the payer.
#[derive(Serialize, ToSchema)]
#[schema(as = NextAction)]
pub(super) struct NextActionView<'a> {
    /// `open_widget`: load `script_url` and call `widget.start(intent)`. `three_ds`: send the payer's browser to
    /// `redirect_url`, or post `PaReq`, `MD` and `TermUrl` to `acs_url` yourself.
    #[schema(value_type = NextActionName)]
    pub r#type: &'static str,
    /// For `open_widget`: the provider's script. Load it from there, never from a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_url: Option<&'a str>,
    /// For `open_widget`: the argument of `widget.start`, to be passed on unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<WidgetIntent<'a>>,
    /// For `three_ds`: our page that posts the payer to the bank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// For `three_ds`: the bank's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acs_url: Option<&'a str>,
    /// For `three_ds`: the form field `PaReq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pa_req: Option<&'a str>,
    /// For `three_ds`: the form field `MD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md: Option<String>,
    /// For `three_ds`: the form field `TermUrl`, where the bank sends the payer back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term_url: Option<String>,
}

/// What may be shown of a card.
#[derive(Serialize, ToSchema)]
#[schema(as = Card)]
pub(super) struct CardView<'a> {
    /// Payment system, lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "visa")]
    pub brand: Option<&'a str>,
    /// First six digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "424242")]
    pub first_six: Option<&'a str>,
    /// Last four digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "4242")]
    pub last_four: Option<&'a str>,
    /// The bank that issued the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<&'a str>,
}

/// One message in three languages.
#[derive(Serialize, ToSchema)]
#[schema(as = LocalizedText)]
pub(super) struct TextsView {
    /// Kazakh.
    pub kk: &'static str,
    /// Russian.
    pub ru: &'static str,
    /// English.
    pub en: &'static str,
}

/// Whom the payer can call.
#[derive(Serialize, ToSchema, Clone, Copy)]
#[schema(as = Support)]
pub(super) struct SupportView<'a> {
    /// Telephone of the insurer.
    pub phone: &'a str,
    /// E-mail of the insurer.
    pub email: &'a str,
    /// E-mail of the processing centre.
    pub provider_email: &'a str,
}

/// Why an attempt to pay was refused, and what the payer is told.
#[derive(Serialize, ToSchema)]
#[schema(as = Decline)]
pub(super) struct DeclineView<'a> {
    /// The provider's number of the reason; new numbers may appear.
    #[schema(example = 5051)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<i32>,
    /// Our group of reasons; act upon this one.
    #[schema(value_type = DeclineCategoryName)]
    pub category: &'static str,
    /// For the payer.
    pub message: TextsView,
    /// What CloudPayments said when it turned the request itself away, for example a broken cryptogram. Shown by
    /// `GET /v1/payments/{id}` to keys with `ops:write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_message: Option<&'a str>,
    /// Whom the payer should call about it.
    #[schema(value_type = ContactName)]
    pub contact: &'static str,
    /// Whom the payer can call in any case.
    pub support: SupportView<'a>,
    /// Whether the same card may work later.
    pub retryable: bool,
}

/// One transaction of the provider.
#[derive(Serialize, ToSchema)]
#[schema(as = Transaction)]
pub(super) struct TransactionView<'a> {
    /// Our id of the record.
    pub id: &'a str,
    /// The provider's number; does not fit 32 bits.
    #[schema(example = 3_541_977_847_i64)]
    pub transaction_id: i64,
    /// What it does.
    #[schema(value_type = TransactionKindName)]
    pub kind: &'static str,
    /// Where it is.
    #[schema(value_type = TransactionStatusName)]
    pub status: &'static str,
    /// What was asked for, held or given back.
    pub amount: MoneyView,
    /// What was taken, where that is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured: Option<MoneyView>,
    /// For refunds: the payment transaction that was given back from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_transaction_id: Option<i64>,
    /// For refunds of ours: which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<&'a str>,
    /// The provider's number of the reason it was refused for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<i32>,
    /// When we first heard of it.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Moment,
    /// When we last learned something new about it.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Moment,
}

/// The attempt in the provider's window that was let through and whose outcome is not known.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldBy)]
pub(super) struct HeldByView {
    /// The provider's number.
    #[schema(example = 3_541_977_847_i64)]
    pub transaction_id: i64,
    /// When it was let through (Check answered with 0).
    #[schema(value_type = String, format = DateTime)]
    pub since: Moment,
    /// Until then no other attempt is let through (Check answered with 13) and the payment cannot be cancelled. Its outcome
    /// ends it sooner.
    #[schema(value_type = String, format = DateTime)]
    pub until: Moment,
}

impl From<Attempt> for HeldByView {
    fn from(attempt: Attempt) -> HeldByView {
        HeldByView {
            transaction_id: attempt.transaction_id,
            since: Moment(attempt.since),
            until: Moment(attempt.until()),
        }
    }
}

/// A payment as it stands. Fields that do not apply are absent.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment)]
pub(super) struct PaymentView<'a> {
    /// Our id.
    #[schema(example = "pay_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    pub id: &'a str,
    /// Where it is.
    #[schema(value_type = StatusName)]
    pub status: &'static str,
    /// How sure that is.
    pub outcome: OutcomeView,
    /// What is to be paid.
    pub amount: MoneyView,
    /// What the bank held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorized: Option<MoneyView>,
    /// What was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured: Option<MoneyView>,
    /// What was given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunded: Option<MoneyView>,
    /// What can still be given back, refunds under way taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refundable: Option<MoneyView>,
    /// The site's number of the bill.
    pub invoice_id: &'a str,
    /// What the payer reads. Like `payer`, shown to few; empty for others, as are `metadata`, `return_url` and the description
    /// within `next_action`.
    pub description: &'a str,
    /// When the money is taken.
    #[schema(value_type = CaptureModeName)]
    pub capture: &'static str,
    /// Of the payer's texts.
    #[schema(value_type = LanguageName)]
    pub language: &'static str,
    /// Who pays. Shown to the API key that created the payment, and to keys with the scope `personal_data:write`, whose
    /// reading is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer: Option<PayerView<'a>>,
    /// True when the payer's data was erased: payer, texts and return address are gone for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased: Option<bool>,
    /// How the payer pays.
    pub method: MethodView,
    /// Where the payer's browser goes at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_url: Option<&'a str>,
    /// What the site has to do next for the payer. `three_ds` is, like `payer`, shown to few: it holds data of the payer and links
    /// with which the payment can be ended; others see by `status: awaiting_authentication` that the payer is at the bank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_action: Option<NextActionView<'a>>,
    /// The card of the transaction that counts, else of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<CardView<'a>>,
    /// Why the last attempt was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decline: Option<DeclineView<'a>>,
    /// Code of the last thing that came up and that a person should look at: `paid_twice` (a second transaction took or
    /// holds money), `amount_mismatch` (another sum or currency), `refunded_more_than_left`, `contradicting_notification`,
    /// `unreadable_notification`, `answer_lost` (for a day already), `refund_unclear` and `capture_unclear` (money moved, by
    /// our lost call or in the provider's cabinet), `refund_not_asked_for`, `capture_not_asked_for` and `void_not_asked_for`
    /// (a call that the history knows no request of: it is not repeated); new codes may appear. Cleared by
    /// `…/attention/resolve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<&'a str>,
    /// The provider's transactions, oldest first.
    pub transactions: Vec<TransactionView<'a>>,
    /// What keeps the payer from another attempt. Shown by `GET /v1/payments/{id}` to keys with `ops:write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<HeldByView>,
    /// The site's own data, as it was sent. Shown like `payer`; `{}` for others.
    #[schema(value_type = Object)]
    pub metadata: &'a RawValue,
    /// Whether the provider's terminal is in test mode; absent before its first transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_mode: Option<bool>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Moment,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Moment,
    /// Until when it can be paid.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Moment,
}

impl<'a> PaymentView<'a> {
    /// With what operators are shown in addition.
    pub(super) fn with(mut self, more: &'a ForOperators) -> PaymentView<'a> {
        self.held_by = more.held_by.map(HeldByView::from);
        if let Some(decline) = &mut self.decline {
            decline.provider_message = more.provider_message.as_deref();
        }
        self
    }
}

//! The argument of the provider's `widget.start` (CloudPayments documentation, "Widget", new call).

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::domain::money::Money;
use crate::domain::payment::{CaptureMode, Payment};

/// The argument of the provider's `widget.start`, to be passed on unchanged.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WidgetIntent<'a> {
    /// The public id of the terminal.
    pub public_terminal_id: &'a str,
    /// `Single` takes the money at once, `Dual` holds it first.
    #[schema(example = "Single")]
    pub payment_schema: &'static str,
    /// What is to be paid, a JSON number as the provider wants it.
    #[schema(value_type = f64, example = 12500.00)]
    pub amount: Box<RawValue>,
    /// ISO 4217 letters.
    #[schema(example = "KZT")]
    pub currency: &'static str,
    /// The site's number of the bill.
    pub external_id: &'a str,
    /// What the payer reads.
    pub description: &'a str,
    /// Language of the window.
    #[schema(example = "ru-RU")]
    pub culture: &'static str,
    /// Address for the receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_email: Option<&'a str>,
    /// Who pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_info: Option<WidgetUser<'a>>,
    /// Ties the payment back to ours.
    pub metadata: WidgetMetadata<'a>,
    /// Where the browser goes after success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_redirect_url: Option<&'a str>,
    /// Where the browser goes after a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_redirect_url: Option<&'a str>,
    /// Whether the payer may try another card in the same window.
    pub retry_payment: bool,
}

/// Who pays, as the window takes it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WidgetUser<'a> {
    /// The site's id of the payer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<&'a str>,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<&'a str>,
    /// Telephone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<&'a str>,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_name: Option<&'a str>,
}

/// What comes back with every notification about the payment.
#[derive(Serialize, ToSchema)]
pub(super) struct WidgetMetadata<'a> {
    /// Our id of the payment.
    pub payment_id: &'a str,
}

/// The intent of a payment at the terminal `public_id`.
pub(super) fn of<'a>(payment: &'a Payment, public_id: &'a str) -> WidgetIntent<'a> {
    let payer = &payment.payer;
    let user = WidgetUser {
        account_id: payer.account_id.as_deref(),
        email: payer.email.as_deref(),
        phone: payer.phone.as_deref(),
        full_name: payer.name.as_deref(),
    };
    let known = user.account_id.or(user.email).or(user.phone).or(user.full_name).is_some();
    WidgetIntent {
        public_terminal_id: public_id,
        payment_schema: match payment.capture {
            CaptureMode::Automatic => "Single",
            CaptureMode::Manual => "Dual",
        },
        amount: number(payment.amount),
        currency: payment.amount.currency.code(),
        external_id: &payment.invoice_id,
        description: &payment.description,
        culture: payment.language.culture(),
        receipt_email: payer.email.as_deref(),
        user_info: known.then_some(user),
        metadata: WidgetMetadata { payment_id: payment.id.as_str() },
        success_redirect_url: payment.return_url.as_deref(),
        fail_redirect_url: payment.return_url.as_deref(),
        retry_payment: true,
    }
}

/// A JSON number written digit by digit; `f64` has no part in it.
fn number(money: Money) -> Box<RawValue> {
    RawValue::from_string(money.to_decimal()).unwrap_or_default()
}

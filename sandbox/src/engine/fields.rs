//! Fields of notifications in the order of recorded bodies.
//!
//! Limits: those of a card payment, its refund and its cancellation.

use super::model::{AUTH_CODE, Geo, ISSUER};
use super::{NotificationKind, Schema, Transaction};
use crate::money::Money;
use crate::{reasons, time, wire};
use sha2::{Digest, Sha256};

/// A field and whether JSON writes it as a number.
type Field = (&'static str, String, bool);

/// Fields in the order of recorded bodies.
#[derive(Default)]
pub(super) struct Fields(Vec<Field>);

impl Fields {
    fn text(&mut self, key: &'static str, value: impl Into<String>) -> &mut Fields {
        self.0.push((key, value.into(), false));
        self
    }

    fn number(&mut self, key: &'static str, value: impl ToString) -> &mut Fields {
        self.0.push((key, value.to_string(), true));
        self
    }

    /// A field that comes as `Key=` when there is no value.
    fn or_empty(&mut self, key: &'static str, value: Option<&str>) -> &mut Fields {
        self.text(key, value.unwrap_or_default())
    }

    /// A field that is left out when there is no value.
    fn if_some(&mut self, key: &'static str, value: Option<&str>) -> &mut Fields {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    fn empty(&mut self, keys: &[&'static str]) -> &mut Fields {
        keys.iter().fold(self, |fields, key| fields.text(key, ""))
    }

    /// As a form body.
    pub(super) fn form(&self) -> String {
        wire::form(self.0.iter().map(|(key, value, _)| (*key, value.as_str())))
    }

    /// As a JSON object.
    pub(super) fn json(&self) -> String {
        let pairs = self.0.iter().map(|(key, value, number)| {
            let text = serde_json::Value::String(value.clone()).to_string();
            format!("\"{key}\":{}", if *number { value } else { &text })
        });
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
    }
}

/// The fields of a notification about a transaction.
pub(super) fn fields(kind: NotificationKind, transaction: &Transaction, now: i64) -> Fields {
    let mut fields = Fields::default();
    fields.number("TransactionId", transaction.id);
    match kind {
        NotificationKind::Refund => refund_fields(&mut fields, transaction),
        NotificationKind::Cancel => cancel_fields(&mut fields, transaction, now),
        _ => payment_fields(&mut fields, kind, transaction),
    }
    fields
}

fn refund_fields(fields: &mut Fields, refund: &Transaction) {
    let draft = &refund.draft;
    let by_api = |value: &'_ Option<String>| {
        if refund.from_cabinet { None } else { value.clone() }
    };
    fields
        .number("PaymentTransactionId", refund.payment_id.unwrap_or_default())
        .number("Amount", draft.amount.two_decimals())
        .text("DateTime", time::spaced(refund.created_ms))
        .text("OperationType", "Refund")
        .if_some("InvoiceId", by_api(&draft.invoice_id).as_deref())
        .or_empty("AccountId", draft.account_id.as_deref())
        .or_empty("Email", draft.email.as_deref())
        .if_some("Data", by_api(&draft.json_data).as_deref())
        .empty(&["Rrn", "CustomFields"]);
}

fn cancel_fields(fields: &mut Fields, payment: &Transaction, now: i64) {
    let draft = &payment.draft;
    fields
        .number("Amount", draft.amount.two_decimals())
        .text("DateTime", time::spaced(now))
        .or_empty("InvoiceId", draft.invoice_id.as_deref())
        .or_empty("AccountId", draft.account_id.as_deref())
        .or_empty("Email", draft.email.as_deref())
        .if_some("Data", draft.json_data.as_deref())
        .empty(&["Rrn"]);
}

fn payment_fields(fields: &mut Fields, kind: NotificationKind, payment: &Transaction) {
    sum_fields(fields, kind, payment);
    payer_fields(fields, payment);
    card_fields(fields, kind, payment);
    match kind {
        NotificationKind::Check => check_tail(fields, payment),
        NotificationKind::Fail => fail_tail(fields, payment),
        NotificationKind::Confirm => confirm_tail(fields, payment),
        _ => pay_tail(fields, payment),
    }
}

fn check_tail(fields: &mut Fields, payment: &Transaction) {
    fields
        .number("TestMode", 1)
        .text("Status", goal(payment))
        .if_some("Data", payment.draft.json_data.as_deref())
        .text("CardProduct", "I")
        .empty(&["PaymentMethod"]);
}

fn fail_tail(fields: &mut Fields, payment: &Transaction) {
    fields
        .number("TestMode", 1)
        .text("Reason", reasons::name(payment.reason_code))
        .number("ReasonCode", payment.reason_code)
        .or_empty("Token", payment.token.as_deref())
        .if_some("Data", payment.draft.json_data.as_deref())
        .empty(&["PaymentMethod", "Rrn", "CustomFields"]);
}

fn confirm_tail(fields: &mut Fields, payment: &Transaction) {
    fields
        .text("AuthCode", AUTH_CODE)
        .if_some("Token", payment.token.as_deref())
        .number("TestMode", 1)
        .text("Status", payment.status.name())
        .if_some("Data", payment.draft.json_data.as_deref())
        .empty(&["PaymentMethod", "Rrn"]);
}

fn pay_tail(fields: &mut Fields, payment: &Transaction) {
    fields
        .text("AuthCode", AUTH_CODE)
        .if_some("Token", payment.token.as_deref())
        .number("TestMode", 1)
        .text("Status", goal(payment))
        .text("GatewayName", "Test")
        .if_some("Data", payment.draft.json_data.as_deref())
        .number("TotalFee", Money::ZERO.two_decimals())
        .text("CardProduct", "I")
        .empty(&["PaymentMethod", "InstallmentTerm", "InstallmentMonthlyPayment", "CustomFields"])
        .number("VatAboveTotalFee", Money::ZERO.two_decimals())
        .empty(&["ProcessorAndPartnerFee", "VatWithinProcessorFee"]);
}

/// What a payment is or will be when it succeeds.
const fn goal(payment: &Transaction) -> &'static str {
    match payment.draft.schema {
        Schema::Single => "Completed",
        Schema::Dual => "Authorized",
    }
}

fn sum_fields(fields: &mut Fields, kind: NotificationKind, payment: &Transaction) {
    let draft = &payment.draft;
    let confirmed = kind == NotificationKind::Confirm;
    let amount = if confirmed { payment.captured } else { draft.amount }.two_decimals();
    fields.number("Amount", &amount).text("Currency", &draft.currency);
    fields.number("PaymentAmount", &amount).text("PaymentCurrency", &draft.currency);
    if !confirmed {
        fields.text("OperationType", "Payment");
    }
}

fn payer_fields(fields: &mut Fields, payment: &Transaction) {
    let draft = &payment.draft;
    fields
        .or_empty("InvoiceId", draft.invoice_id.as_deref())
        .or_empty("AccountId", draft.account_id.as_deref())
        .empty(&["SubscriptionId"])
        .or_empty("Name", draft.name.as_deref())
        .or_empty("Email", draft.email.as_deref())
        .text("DateTime", time::spaced(payment.created_ms));
    match draft.ip_address.as_deref() {
        Some(ip) => {
            fields.text("IpAddress", ip).text("IpCountry", Geo::COUNTRY).text("IpCity", Geo::CITY);
            fields.text("IpRegion", Geo::CITY).text("IpDistrict", Geo::CITY);
            fields.number("IpLatitude", Geo::LATITUDE).number("IpLongitude", Geo::LONGITUDE)
        }
        None => {
            fields.empty(&["IpAddress", "IpCountry", "IpCity", "IpRegion", "IpDistrict", "IpLatitude", "IpLongitude"])
        }
    };
}

fn card_fields(fields: &mut Fields, kind: NotificationKind, payment: &Transaction) {
    let card = payment.card();
    if kind != NotificationKind::Confirm {
        fields.text("CardId", card_id(payment));
    }
    fields
        .text("CardFirstSix", &card.first_six)
        .text("CardLastFour", &card.last_four)
        .text("CardType", card.brand().name())
        .text("CardExpDate", card.exp_date())
        .text("Issuer", ISSUER)
        .text("IssuerBankCountry", Geo::COUNTRY)
        .or_empty("Description", payment.draft.description.as_deref());
}

/// 24 hexadecimal digits, the same for the same card.
fn card_id(payment: &Transaction) -> String {
    let card = payment.card();
    let digest = Sha256::digest(format!("{}{}{}", card.first_six, card.last_four, card.exp_date()));
    digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

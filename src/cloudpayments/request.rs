//! What is sent to the API (contract section 4): JSON bodies with amounts as exact decimals.

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::domain::money::Money;

/// A payment by card data that the provider's script encrypted in the browser (contract section 4.2). Has no `Debug`:
/// it holds card data and personal data.
pub struct CardCharge<'a> {
    /// Hold first (`cards/auth`) instead of taking at once (`cards/charge`).
    pub two_stage: bool,
    /// What to take or hold.
    pub amount: Money,
    /// The encrypted card data; single use.
    pub cryptogram: &'a SecretString,
    /// In Latin letters, as on the card.
    pub cardholder_name: Option<&'a str>,
    /// Where the payer's browser is.
    pub ip_address: &'a str,
    /// The site's number of the bill.
    pub invoice_id: &'a str,
    /// What the payer reads.
    pub description: &'a str,
    /// The site's id of the payer.
    pub account_id: Option<&'a str>,
    /// Address for the receipt.
    pub email: Option<&'a str>,
    /// With leading `+`; goes as `Payer.Phone`.
    pub phone: Option<&'a str>,
    /// `CultureName` (contract section 4.22).
    pub culture: &'a str,
    /// Our payment; goes as `JsonData` and comes back in every notification and lookup.
    pub payment_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChargeBody<'a> {
    amount: Box<RawValue>,
    currency: &'static str,
    ip_address: &'a str,
    card_cryptogram_packet: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    invoice_id: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<PayerBody<'a>>,
    culture_name: &'a str,
    json_data: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PayerBody<'a> {
    phone: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ThreeDsBody<'a> {
    transaction_id: i64,
    pa_res: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TransactionBody {
    transaction_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_data: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FindBody<'a> {
    invoice_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListBody {
    created_date_gte: String,
    created_date_lte: String,
    page_number: u32,
}

/// Our data, sent along as a JSON string: that form is what most clients send (contract section 2.4).
#[derive(Serialize)]
struct JsonData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<&'a str>,
}

/// A body ready to be sent. Has no `Debug`, and is wiped when it is dropped: it may hold card data.
pub struct Written(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Written {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A body, unless it cannot be written.
pub type Body = Result<Written, serde_json::Error>;

/// Room for every field but the card data, so that the buffer does not move while it is written and leaves no copy.
const ROOM: usize = 8192;

fn written(body: &impl Serialize, secret_length: usize) -> Body {
    let mut bytes = Zeroizing::new(Vec::with_capacity(secret_length + ROOM));
    serde_json::to_writer(&mut *bytes, body)?;
    Ok(Written(bytes))
}

/// An amount as a JSON number with exactly the currency's digits.
fn number(amount: Money) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(amount.to_decimal())
}

/// For `cards/charge` and `cards/auth`.
pub fn charge(request: &CardCharge<'_>) -> Body {
    let body = ChargeBody {
        amount: number(request.amount)?,
        currency: request.amount.currency.code(),
        ip_address: request.ip_address,
        card_cryptogram_packet: request.cryptogram.expose_secret(),
        name: request.cardholder_name,
        invoice_id: request.invoice_id,
        description: request.description,
        account_id: request.account_id,
        email: request.email,
        payer: request.phone.map(|phone| PayerBody { phone }),
        culture_name: request.culture,
        json_data: serde_json::to_string(&JsonData { payment_id: Some(request.payment_id), refund_id: None })?,
    };
    written(&body, request.cryptogram.expose_secret().len())
}

/// For `cards/post3ds` (contract section 4.3).
pub fn three_ds(transaction_id: i64, pa_res: &SecretString) -> Body {
    let pa_res = pa_res.expose_secret();
    written(&ThreeDsBody { transaction_id, pa_res }, pa_res.len())
}

/// For `confirm` (contract section 4.5).
pub fn capture(transaction_id: i64, amount: Money) -> Body {
    written(&TransactionBody { transaction_id, amount: Some(number(amount)?), json_data: None }, 0)
}

/// For `void` and `get` (contract sections 4.6 and 4.9).
pub fn transaction(transaction_id: i64) -> Body {
    written(&TransactionBody { transaction_id, amount: None, json_data: None }, 0)
}

/// For `refund` (contract section 4.7).
pub fn refund(transaction_id: i64, amount: Money, refund_id: &str) -> Body {
    let json_data = serde_json::to_string(&JsonData { payment_id: None, refund_id: Some(refund_id) })?;
    written(&TransactionBody { transaction_id, amount: Some(number(amount)?), json_data: Some(json_data) }, 0)
}

/// For `find` (contract section 4.10).
pub fn find(invoice_id: &str) -> Body {
    written(&FindBody { invoice_id }, 0)
}

/// For `v2/payments/list` and `chargebacks/list` (contract sections 4.12 and 4.14): whole seconds, widened outwards, with the offset spelled out.
pub fn list(from: Timestamp, to: Timestamp, page: u32) -> Body {
    let last = if to.micros().rem_euclid(1_000_000) == 0 { to } else { to.plus_seconds(1) };
    let body =
        ListBody { created_date_gte: with_offset(from), created_date_lte: with_offset(last), page_number: page.max(1) };
    written(&body, 0)
}

/// For `test` (contract section 4.1).
pub fn nothing() -> Body {
    Ok(Written(Zeroizing::new(b"{}".to_vec())))
}

/// `2026-03-02T05:14:07+00:00`.
fn with_offset(moment: Timestamp) -> String {
    let text = moment.to_string();
    let seconds = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{seconds}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;

    fn text(body: Body) -> String {
        String::from_utf8(body.ok().unwrap().as_ref().to_vec()).unwrap()
    }

    #[test]
    fn a_charge_carries_what_the_contract_names() {
        let cryptogram = SecretString::from("0140+/=");
        let request = CardCharge {
            two_stage: false,
            amount: Money::new(1_800_050, Currency::KZT),
            cryptogram: &cryptogram,
            cardholder_name: None,
            ip_address: "203.0.113.7",
            invoice_id: "ord-1",
            description: "Полис \"А\"",
            account_id: Some("user-42"),
            email: None,
            phone: Some("+77010000000"),
            culture: "ru-RU",
            payment_id: "pay_1",
        };
        assert_eq!(
            text(charge(&request)),
            concat!(
                r#"{"Amount":18000.50,"Currency":"KZT","IpAddress":"203.0.113.7","CardCryptogramPacket":"0140+/=","#,
                r#""InvoiceId":"ord-1","Description":"Полис \"А\"","AccountId":"user-42","Payer":{"Phone":"+77010000000"},"#,
                r#""CultureName":"ru-RU","JsonData":"{\"payment_id\":\"pay_1\"}"}"#
            )
        );
    }

    #[test]
    fn other_bodies() {
        let amount = Money::new(5, Currency::KZT);
        assert_eq!(text(capture(3_600_000_106, amount)), r#"{"TransactionId":3600000106,"Amount":0.05}"#);
        assert_eq!(text(transaction(1)), r#"{"TransactionId":1}"#);
        assert_eq!(
            text(refund(1, amount, "ref_1")),
            r#"{"TransactionId":1,"Amount":0.05,"JsonData":"{\"refund_id\":\"ref_1\"}"}"#
        );
        assert_eq!(text(three_ds(1, &SecretString::from("+/a="))), r#"{"TransactionId":1,"PaRes":"+/a="}"#);
        assert_eq!(text(find("0012")), r#"{"InvoiceId":"0012"}"#);
    }

    #[test]
    fn the_register_is_asked_for_in_utc_and_never_too_narrow() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let body = text(list(at("2026-03-02T05:00:00.9+05:00"), at("2026-03-02T01:00:00.000001Z"), 0));
        assert_eq!(
            body,
            r#"{"CreatedDateGte":"2026-03-02T00:00:00+00:00","CreatedDateLte":"2026-03-02T01:00:01+00:00","PageNumber":1}"#
        );
    }
}

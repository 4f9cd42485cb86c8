//! The requests of the scenarios and what the answers must be.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::http::find;
use super::load::Job;

/// Far above the stub's, so that no number comes twice.
const FIRST_TRANSACTION_ID: u64 = 9_600_000_000;
/// As long as a real one; the stub does not open it.
const CRYPTOGRAM: &str = "0140000030553012043xHdxdYK5S9rs6QfCEvjdZAN+Z7hAupGNDc33SQbmY7fEd3F1grlL2uzpB8IS+N1kA35nuEC6kY0NzfdJBuZjt8R3cXWCuUva7OkHwhL43WQDfme4QLqRjQ3N90kG5mO3xHdxdYK5S9rs6QfCEvjdZAN+Z7hAupGNDc33SQbmY7fEd3F1grlL2uzpB8IS+N1kA35nuEC6kY0NzfdJBuZjt8R3cXWCuUva7OkHwhL43WQDfme4QLqRjQ3N90kG5mO3xHdxdYK5S9rs6QfCEvjdZAN+Z7hAupGNDc33SQbmY7fEd3F1grlL2uzpB8IS+N1kA35nuEC6kY0NzfdJBuZjg==";

/// Ids of payments, with the numbers of the requests that made them.
pub type Ids = Rc<RefCell<Vec<(u64, String)>>>;

/// `POST /v1/payments`, with card data or for the payment window.
pub struct Create {
    pub key: String,
    /// Idempotency keys and bills begin with it.
    pub name: &'static str,
    pub card: bool,
    /// The payments that were made.
    pub made: Ids,
}

impl Create {
    fn body(&self, number: u64) -> String {
        let (address, method) = if self.card {
            let method = format!(
                r#","method":{{"type":"card_cryptogram","cryptogram":"{CRYPTOGRAM}","cardholder_name":"TEST CARDHOLDER"}}"#
            );
            (r#","ip_address":"203.0.113.7""#, method)
        } else {
            ("", String::new())
        };
        format!(
            r#"{{"amount":{{"value":"12500.00","currency":"KZT"}},"invoice_id":"{}","description":"Policy","payer":{{"account_id":"user-{number}","email":"payer@example.test"{address}}}{method}}}"#,
            invoice(self.name, number)
        )
    }
}

impl Job for Create {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        let body = self.body(number);
        let headers = format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\nIdempotency-Key: {}-{number}\r\n",
            self.key, self.name
        );
        post("/v1/payments", &headers, body.as_bytes(), out);
    }

    fn accepts(&self, number: u64, status: u16, body: &[u8]) -> bool {
        let wanted: &[u8] = if self.card { br#""status":"paid""# } else { br#""status":"awaiting_payer""# };
        let Some(id) = id_in(body) else { return false };
        self.made.borrow_mut().push((number, id));
        status == 201 && find(body, wanted).is_some()
    }
}

/// `GET /v1/payments/{id}` of paid payments, one after the other.
pub struct Read {
    pub key: String,
    pub payments: Ids,
}

impl Read {
    fn id(&self, number: u64) -> String {
        let payments = self.payments.borrow();
        let count = u64::try_from(payments.len()).unwrap_or(u64::MAX).max(1);
        let index = usize::try_from(number % count).unwrap_or(0);
        payments.get(index).map(|(_, id)| id.clone()).unwrap_or_default()
    }
}

impl Job for Read {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        let head = format!(
            "GET /v1/payments/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\r\n",
            self.id(number),
            self.key
        );
        out.extend_from_slice(head.as_bytes());
    }

    fn accepts(&self, number: u64, status: u16, body: &[u8]) -> bool {
        status == 200
            && id_in(body).is_some_and(|id| id == self.id(number))
            && find(body, br#""status":"paid""#).is_some()
    }
}

/// Pay for each payment of a list, once.
pub struct Pay {
    pub secret: String,
    /// As [`Create::name`] of the payments.
    pub name: &'static str,
    pub payments: Ids,
    /// Those that were answered.
    pub paid: Ids,
}

impl Pay {
    fn payment(&self, number: u64) -> (u64, String) {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        self.payments.borrow().get(index).cloned().unwrap_or_default()
    }
}

impl Job for Pay {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        let (created_as, id) = self.payment(number);
        let body = format!(
            "TransactionId={}&Amount=12500.00&Currency=KZT&PaymentAmount=12500.00&PaymentCurrency=KZT&OperationType=Payment&InvoiceId={}&AccountId=user-{created_as}&SubscriptionId=&Name=TEST+CARDHOLDER&Email=payer%40example.test&DateTime=2026-03-02+05%3a14%3a07&IpAddress=203.0.113.7&IpCountry=KZ&IpCity=%d0%90%d0%bb%d0%bc%d0%b0%d1%82%d1%8b&IpRegion=%d0%90%d0%bb%d0%bc%d0%b0%d1%82%d1%8b&IpLatitude=43.25&IpLongitude=76.95&CardId=5d2f0c9be41a7836dd90ab14&CardFirstSix=400000&CardLastFour=3055&CardType=Visa&CardExpDate=12%2f30&Issuer=CloudPayments&IssuerBankCountry=KZ&Description=Policy&AuthCode=A1B2C3&Token=tk_bench&TestMode=1&Status=Completed&GatewayName=Test&Data=%7b%22payment_id%22%3a%22{id}%22%7d&TotalFee=0.00&CardProduct=I&PaymentMethod=&CustomFields=",
            FIRST_TRANSACTION_ID + number,
            invoice(self.name, created_as),
        );
        let headers = format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-HMAC: {}\r\n",
            signature(self.secret.as_bytes(), body.as_bytes())
        );
        post("/v1/notifications/cloudpayments/pay", &headers, body.as_bytes(), out);
    }

    fn accepts(&self, number: u64, status: u16, body: &[u8]) -> bool {
        self.paid.borrow_mut().push(self.payment(number));
        status == 200 && body == br#"{"code":0}"#
    }
}

/// What the service sends to the stub, sent by the load generator itself.
pub struct Direct;

impl Job for Direct {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        let body = format!(
            r#"{{"Amount":12500.00,"Currency":"KZT","IpAddress":"203.0.113.7","CardCryptogramPacket":"{CRYPTOGRAM}","Name":"TEST CARDHOLDER","InvoiceId":"{}","Description":"Policy","AccountId":"user-{number}","Email":"payer@example.test","CultureName":"ru-RU","JsonData":"{{\"payment_id\":\"pay_01kaq0j5m8x2v9c4t7b1n6r3ed\"}}"}}"#,
            invoice("direct", number)
        );
        post("/payments/cards/charge", "Content-Type: application/json\r\n", body.as_bytes(), out);
    }

    fn accepts(&self, _number: u64, status: u16, body: &[u8]) -> bool {
        status == 200 && find(body, br#""Success":true"#).is_some()
    }
}

fn post(path: &str, headers: &str, body: &[u8], out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(body);
}

fn invoice(name: &str, number: u64) -> String {
    let mut text = String::with_capacity(32);
    // Writing to a String cannot fail.
    let _ = write!(text, "KM-{name}-{number:06}");
    text
}

/// The first id of a payment in an answer.
fn id_in(body: &[u8]) -> Option<String> {
    let rest = body.get(find(body, b"pay_")?..)?;
    let id = rest.split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(id).ok().map(str::to_owned)
}

fn signature(secret: &[u8], body: &[u8]) -> String {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(secret).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(body);
            STANDARD.encode(mac.finalize().into_bytes())
        },
    )
}

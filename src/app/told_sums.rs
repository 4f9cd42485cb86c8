//! What the history tells of a payment's money and of what was asked for, so that its seals cover that too.

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::Payment;
use crate::domain::proof::Hash;

/// What was asked for: part of the first row's detail.
pub(super) fn asked(amount: Money) -> [(String, Value); 2] {
    [("amount".to_owned(), json!(amount.to_decimal())), ("currency".to_owned(), json!(amount.currency.code()))]
}

/// What a payment is written with once, as it is stored.
pub(super) struct Order<'a> {
    pub id: &'a str,
    pub invoice_id: &'a str,
    pub capture_mode: &'a str,
    pub method: &'a str,
    pub language: &'a str,
    pub created_by: &'a str,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl<'a> Order<'a> {
    pub(super) fn of(payment: &'a Payment) -> Order<'a> {
        Order {
            id: payment.id.as_str(),
            invoice_id: &payment.invoice_id,
            capture_mode: payment.capture.as_str(),
            method: payment.method.as_str(),
            language: payment.language.as_str(),
            created_by: payment.created_by.as_str(),
            created_at: payment.created_at,
            expires_at: payment.expires_at,
        }
    }

    /// Part of the first row's detail: a hash of it, so that nothing of it is told twice.
    pub(super) fn told(&self) -> (String, Value) {
        let moment = |at: Timestamp| at.micros().to_string();
        let (created_at, expires_at) = (moment(self.created_at), moment(self.expires_at));
        let parts = [
            "kmic-payments/order/1",
            self.id,
            self.invoice_id,
            self.capture_mode,
            self.method,
            self.language,
            self.created_by,
            &created_at,
            &expires_at,
        ];
        ("order".to_owned(), json!(Hash::over(&parts.map(str::as_bytes)).to_string()))
    }
}

/// What is held, taken and given back: part of the detail of each row that changed one of them.
pub(super) fn reached(payment: &Payment) -> [(String, Value); 1] {
    let sums = payment.sums;
    sums_of(payment.currency(), sums.authorized, sums.captured, sums.refunded)
}

/// The same of plain numbers, minor units.
pub(super) fn sums_of(currency: Currency, authorized: i64, captured: i64, refunded: i64) -> [(String, Value); 1] {
    let text = |minor: i64| Money::new(minor, currency).to_decimal();
    let sums = json!({ "authorized": text(authorized), "captured": text(captured), "refunded": text(refunded) });
    [("sums".to_owned(), sums)]
}

//! What the history tells of a payment's money, so that its seals cover the sums too.

use serde_json::{Value, json};

use crate::domain::money::{Currency, Money};
use crate::domain::payment::Payment;

/// What was asked for: part of the first row's detail.
pub(super) fn asked(amount: Money) -> [(String, Value); 2] {
    [("amount".to_owned(), json!(amount.to_decimal())), ("currency".to_owned(), json!(amount.currency.code()))]
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

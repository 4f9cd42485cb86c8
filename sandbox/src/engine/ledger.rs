//! The ledger: the sandbox's own account of all money, to compare a service under test with.
//!
//! Limits: totals add up all currencies together.

use super::{Engine, Status, Transaction, TransactionType};
use crate::time;
use serde::Serialize;

/// All transactions and their totals.
#[derive(Clone, Debug, Serialize)]
pub struct Ledger {
    /// In the order of their ids.
    pub transactions: Vec<LedgerEntry>,
    /// Sums over all of them.
    pub totals: LedgerTotals,
}

/// Sums in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerTotals {
    /// Taken from payers.
    pub captured_minor: i64,
    /// Given back to payers.
    pub refunded_minor: i64,
}

/// A transaction in the ledger; sums are in minor units.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerEntry {
    /// Its number.
    pub transaction_id: i64,
    /// Payment or refund.
    #[serde(rename = "type")]
    pub kind: TransactionType,
    /// The payment of a refund.
    pub payment_transaction_id: Option<i64>,
    /// State.
    pub status: Status,
    /// `ReasonCode`.
    pub reason_code: u16,
    /// What was asked for.
    pub amount_minor: i64,
    /// What was taken (payments).
    pub captured_minor: i64,
    /// What was given back (payments).
    pub refunded_minor: i64,
    /// Currency.
    pub currency: String,
    /// `InvoiceId`.
    pub invoice_id: Option<String>,
    /// `AccountId`.
    pub account_id: Option<String>,
    /// The value of `payment_id` inside `JsonData`.
    pub payment_id: Option<String>,
    /// The value of `refund_id` inside `JsonData`.
    pub refund_id: Option<String>,
    /// `X-Request-ID` of the request that made it.
    pub request_id: Option<String>,
    /// Moment of the sandbox clock.
    pub created_at: String,
}

impl Engine {
    /// The ledger as it is now.
    pub fn ledger(&self) -> Ledger {
        summed(self.transactions.values().map(entry).collect())
    }

    /// The part of the ledger that is about one bill.
    pub fn ledger_of(&self, invoice_id: &str) -> Ledger {
        let ids = self.by_invoice.get(invoice_id).into_iter().flatten();
        summed(ids.filter_map(|id| self.transactions.get(id)).map(entry).collect())
    }
}

fn summed(transactions: Vec<LedgerEntry>) -> Ledger {
    let totals = transactions.iter().fold(LedgerTotals::default(), |sum, entry| LedgerTotals {
        captured_minor: sum.captured_minor.saturating_add(entry.captured_minor),
        refunded_minor: sum.refunded_minor.saturating_add(entry.refunded_minor),
    });
    Ledger { transactions, totals }
}

fn entry(transaction: &Transaction) -> LedgerEntry {
    let draft = &transaction.draft;
    LedgerEntry {
        transaction_id: transaction.id,
        kind: transaction.kind,
        payment_transaction_id: transaction.payment_id,
        status: transaction.status,
        reason_code: transaction.reason_code,
        amount_minor: draft.amount.minor(),
        captured_minor: transaction.captured.minor(),
        refunded_minor: transaction.refunded.minor(),
        currency: draft.currency.clone(),
        invoice_id: draft.invoice_id.clone(),
        account_id: draft.account_id.clone(),
        payment_id: draft.json_data.as_deref().and_then(|data| named(data, "payment_id")),
        refund_id: draft.json_data.as_deref().and_then(|data| named(data, "refund_id")),
        request_id: draft.request_id.clone(),
        created_at: time::iso(transaction.created_ms),
    }
}

fn named(json_data: &str, key: &str) -> Option<String> {
    let data: serde_json::Value = serde_json::from_str(json_data).ok()?;
    match data.get(key)? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl TransactionType {
    /// `payment` or `refund`.
    pub const fn name(self) -> &'static str {
        match self {
            TransactionType::Payment => "payment",
            TransactionType::Refund => "refund",
        }
    }
}

//! What the sites sent and were told. Whatever was told as proven must still be true at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A request that moves something, and its key.
#[derive(Clone)]
pub struct Order {
    pub key: String,
    pub path: String,
    pub body: String,
}

/// What a site read of a payment or a refund, proven.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Told {
    pub status: String,
    pub captured: i64,
    pub refunded: i64,
}

/// The memory of all sites.
#[derive(Default)]
pub struct Journal {
    pub requests: u64,
    /// Requests that were sent again under their key.
    pub repeats: u64,
    /// Answers that the service marked as given before.
    pub replayed: u64,
    /// Keys under which a payment was asked for, with the bill.
    pub bills: BTreeMap<String, String>,
    /// Without an answer yet.
    pub unfinished: Vec<Order>,
    /// First answers that were final: status and bytes.
    pub answered: Vec<(Order, u16, Vec<u8>)>,
    /// What was made under each key.
    pub made: BTreeMap<String, BTreeSet<String>>,
    /// By payment or refund.
    pub told: BTreeMap<String, BTreeSet<Told>>,
    /// Payments by id, with their captured sum: what refunds are tried on.
    pub paid: Vec<(String, i64)>,
    /// Answers that no site should get.
    pub surprises: Vec<String>,
}

impl Journal {
    /// Keeps what an answer says of a payment or a refund.
    pub fn learn(&mut self, json: &Value) {
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let id = text("/id");
        if !id.starts_with("pay_") && !id.starts_with("ref_") || text("/outcome/certainty") != "proven" {
            return;
        }
        let told = Told {
            status: text("/status").to_owned(),
            captured: minor(text("/captured/value")),
            refunded: minor(text("/refunded/value")),
        };
        if told.status == "paid" {
            self.paid.push((id.to_owned(), told.captured));
        }
        self.told.entry(id.to_owned()).or_default().insert(told);
    }
}

/// Tiyn of a decimal text; 0 when there is none.
pub fn minor(text: &str) -> i64 {
    text.replace('.', "").parse().unwrap_or_default()
}

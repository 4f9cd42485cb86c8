//! Our books against the provider's ledger, to the tiyn.

use std::collections::BTreeMap;

use cloudpayments_sandbox::{Status, TransactionType};
use kmic_payments::clock::Clock;
use kmic_payments::store::invariants;
use serde_json::Value;

use super::app::TestApp;

#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    captured: i64,
    refunded: i64,
}

/// Compares what was taken and given back, payment by payment.
pub async fn compare(app: &TestApp) {
    assert_eq!(ours(app).await, theirs(app), "our books (left) and the provider's ledger (right) differ");
}

/// Every money law holds.
pub async fn obey_the_laws(app: &TestApp) {
    let now = app.clock.now();
    let reports = app.running.store.read(move |tx| invariants::evaluate(tx, now)).await.unwrap();
    for report in reports {
        assert!(report.holds(), "{}: {} At fault: {:?}", report.law.name, report.law.law, report.at_fault);
    }
}

/// Payments with money, from the API.
async fn ours(app: &TestApp) -> BTreeMap<String, Sums> {
    let mut books = BTreeMap::new();
    let mut path = "/v1/payments?limit=100".to_owned();
    loop {
        let page = app.get(&path).await.expect(200);
        for payment in page.json["data"].as_array().unwrap() {
            let sums = Sums { captured: minor(&payment["captured"]), refunded: minor(&payment["refunded"]) };
            if sums != Sums::default() {
                books.insert(payment["id"].as_str().unwrap().to_owned(), sums);
            }
        }
        match page.json["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/payments?limit=100&cursor={cursor}"),
            None => return books,
        }
    }
}

fn theirs(app: &TestApp) -> BTreeMap<String, Sums> {
    let ledger = app.sandbox.ledger();
    let mut books: BTreeMap<String, Sums> = BTreeMap::new();
    for entry in &ledger.transactions {
        if entry.kind != TransactionType::Payment || entry.status != Status::Completed {
            continue;
        }
        let sums = books.entry(entry.payment_id.clone().unwrap_or_default()).or_default();
        sums.captured += entry.captured_minor;
        sums.refunded += entry.refunded_minor;
    }
    books
}

fn minor(money: &Value) -> i64 {
    money["value"].as_str().map_or(0, |text| text.replace('.', "").parse().unwrap())
}

//! Confirm, void, refund, cabinet, and the ledger that follows them.

use crate::support::*;
use cloudpayments_sandbox::{Status, TransactionType};
use serde_json::json;

#[tokio::test]
async fn confirm_takes_at_most_what_is_held() {
    let api = Api::start().await;
    let held = api.hold("ord-1").await;
    let too_much = api.call("/payments/confirm", json!({"TransactionId": held, "Amount": "25000.01"})).await;
    assert_eq!(too_much, fixture("refund_failed"));
    let confirmed = api.call("/payments/confirm", json!({"TransactionId": held, "Amount": 18000.5})).await;
    assert_eq!(confirmed, fixture("confirm_success"));
    let again = api.call("/payments/confirm", json!({"TransactionId": held, "Amount": 1})).await;
    assert_eq!(again, fixture("confirm_failed"));
    let entry = api.sandbox.ledger().transactions[0].clone();
    assert_eq!((entry.amount_minor, entry.captured_minor, entry.status), (2_500_000, 1_800_050, Status::Completed));
    let refund = api.call("/payments/refund", json!({"TransactionId": held, "Amount": 18000.51})).await;
    assert_eq!(refund, fixture("refund_failed"), "no more than was confirmed");
}

#[tokio::test]
async fn void_is_for_holds_only() {
    let api = Api::start().await;
    let held = api.hold("ord-1").await;
    assert_eq!(api.call("/payments/void", json!({"TransactionId": held})).await, fixture("confirm_success"));
    assert_eq!(api.call("/payments/void", json!({"TransactionId": held})).await, fixture("void_failed"));
    let paid = id(&api.charge(PLAIN, "ord-2").await);
    assert_eq!(api.call("/payments/void", json!({"TransactionId": paid})).await, fixture("void_failed"));
    assert_eq!(api.call("/payments/void", json!({"TransactionId": 7})).await, fixture("find_not_found"));
    assert_eq!(api.call("/payments/get", json!({"TransactionId": held})).await["Model"]["Status"], "Cancelled");
}

#[tokio::test]
async fn refunds_are_transactions_of_their_own() {
    let api = Api::start().await;
    let paid = id(&api.charge(PLAIN, "ord-1").await);
    let first = api.call("/payments/refund", json!({"TransactionId": paid, "Amount": 5000})).await;
    assert_shape(&first, &fixture("refund_success"), "refund");
    assert_ne!(id(&first), paid);
    let payment = api.call("/payments/get", json!({"TransactionId": paid})).await;
    assert_eq!(payment["Model"]["Refunded"], false);
    let too_much = api.call("/payments/refund", json!({"TransactionId": paid, "Amount": 20000.01})).await;
    assert_eq!(too_much, fixture("refund_failed"));
    api.call("/payments/refund", json!({"TransactionId": paid, "Amount": 20000})).await;
    let payment = api.call("/payments/get", json!({"TransactionId": paid})).await;
    assert_shape(&payment, &fixture("get_refunded"), "refunded");
    assert_eq!(
        (payment["Model"]["Refunded"].clone(), payment["Model"]["Status"].clone()),
        (json!(true), json!("Completed"))
    );
    let of_refund = api.call("/payments/refund", json!({"TransactionId": id(&first), "Amount": 1})).await;
    assert_eq!(of_refund, fixture("confirm_failed"));
    let held = api.hold("ord-2").await;
    assert_eq!(
        api.call("/payments/refund", json!({"TransactionId": held, "Amount": 1})).await,
        fixture("confirm_failed")
    );

    let ledger = api.sandbox.ledger();
    assert_eq!(ledger.totals.captured_minor, 2_500_000);
    assert_eq!(ledger.totals.refunded_minor, 2_500_000);
    let refunds: Vec<_> = ledger.transactions.iter().filter(|entry| entry.kind == TransactionType::Refund).collect();
    assert_eq!(refunds.len(), 2);
    assert_eq!(refunds[0].payment_transaction_id, Some(paid));
    assert_eq!(api.get_json("/sandbox/ledger").await, serde_json::to_value(&ledger).unwrap());
}

#[tokio::test]
async fn the_cabinet_acts_without_the_api() {
    let (api, receiver) = connected().await;
    let paid = id(&api.charge(PLAIN, "ord-1").await);
    let held = api.hold("ord-2").await;
    let refunded = api.control("/sandbox/cabinet/refund", json!({"transaction_id": paid, "amount": 100})).await;
    assert_eq!(refunded["ok"], true);
    api.control("/sandbox/cabinet/auto_void", json!({"transaction_id": held})).await;
    let wrong = api.control("/sandbox/cabinet/auto_void", json!({"transaction_id": held})).await;
    assert_eq!(wrong["ok"], false);
    api.sandbox.flush_notifications().await;
    let arrived = receiver.arrived();
    let refund = arrived.iter().find(|arrived| arrived.kind == "refund").unwrap();
    assert_eq!(refund.field("InvoiceId"), None);
    assert_eq!(refund.field("PaymentTransactionId"), Some(paid.to_string()));
    let cancel = arrived.iter().find(|arrived| arrived.kind == "cancel").unwrap();
    assert_eq!(cancel.field("TransactionId"), Some(held.to_string()));
}

#[tokio::test]
async fn reset_forgets_but_never_reuses_ids() {
    let api = Api::start().await;
    let before = id(&api.charge(PLAIN, "ord-1").await);
    api.control("/sandbox/reset", json!({})).await;
    assert!(api.sandbox.ledger().transactions.is_empty());
    assert!(id(&api.charge(PLAIN, "ord-1").await) > before);
}

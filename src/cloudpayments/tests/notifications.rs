//! Recorded notifications: fields and facts.

use proptest::prelude::*;

use super::super::fields::Fields;
use super::super::notification::{Notification, NotificationFact, parse};
use super::{Recorded, recorded};
use crate::domain::money::Currency;

fn read(name: &str) -> Notification {
    let found = recorded().into_iter().find(|recorded| recorded.name == name).unwrap();
    parse(&found.body, found.is_json).unwrap()
}

#[test]
fn every_recorded_notification_is_read() {
    for Recorded { name, body, is_json, about, .. } in recorded() {
        let notification = parse(&body, is_json).unwrap();
        let fields = Fields::from_json(about.nested("fields").unwrap()).unwrap();
        let expected = |field: &str| fields.owned(field);
        assert_eq!(notification.transaction_id.map(|id| id.to_string()), expected("transactionid"), "{name}");
        assert_eq!(
            notification.payment_transaction_id.map(|id| id.to_string()),
            expected("paymenttransactionid"),
            "{name}"
        );
        assert_eq!(notification.amount, expected("amount"), "{name}");
        assert_eq!(notification.currency, expected("currency"), "{name}");
        assert_eq!(notification.invoice_id, expected("invoiceid"), "{name}");
        assert_eq!(notification.account_id, expected("accountid"), "{name}");
        assert_eq!(notification.subscription_id, expected("subscriptionid"), "{name}");
        assert_eq!(notification.id, expected("id"), "{name}");
        assert_eq!(notification.status, expected("status"), "{name}");
        assert_eq!(notification.operation_type, expected("operationtype"), "{name}");
        assert_eq!(notification.reason_code.map(|code| code.to_string()), expected("reasoncode"), "{name}");
        assert_eq!(notification.card.first_six, expected("cardfirstsix"), "{name}");
        assert_eq!(notification.card.last_four, expected("cardlastfour"), "{name}");
        assert_eq!(notification.card.brand, expected("cardtype").map(|brand| brand.to_lowercase()), "{name}");
        assert_eq!(notification.test_mode, expected("testmode").map(|mode| mode == "1"), "{name}");
        assert_eq!(notification.money().is_some(), fields.has("amount") && fields.has("currency"), "{name}");
    }
}

fn proven(notification: &Notification, kind: NotificationFact) -> Option<String> {
    let fact = notification.fact(kind, Some(Currency::KZT))?;
    let amount = fact.amount.map(|money| money.to_decimal()).unwrap_or_default();
    Some(format!("{} {} {} {amount}", fact.kind.as_str(), fact.transaction_id, fact.status.as_str()))
}

#[test]
fn recorded_notifications_prove_what_they_state() {
    use NotificationFact::{Cancel, Check, Confirm, Fail, Pay, Refund};
    for (name, kind, expected) in [
        ("check", Check, "payment 3600000101 checked 25000.00"),
        ("check_two_stage", Check, "payment 3600000106 checked 25000.00"),
        ("pay", Pay, "payment 3600000101 completed 25000.00"),
        ("pay_authorized", Pay, "payment 3600000106 authorized 25000.00"),
        ("pay_json_body", Pay, "payment 3600000101 completed 25000.00"),
        ("fail", Fail, "payment 3600000102 declined 25000.00"),
        ("fail_with_status", Fail, "payment 3600000102 declined 25000.00"),
        ("confirm", Confirm, "payment 3600000106 completed 25000.00"),
        ("confirm_partial", Confirm, "payment 3600000106 completed 18000.50"),
        ("refund", Refund, "refund 3600000120 completed 5000.00"),
        ("refund_from_dashboard", Refund, "refund 3600000121 completed 5000.00"),
        ("cancel", Cancel, "payment 3600000106 voided 25000.00"),
    ] {
        assert_eq!(proven(&read(name), kind).as_deref(), Some(expected), "{name}");
    }
    let refund = read("refund").fact(Refund, None).unwrap();
    assert_eq!((refund.parent_transaction_id, refund.amount), (Some(3_600_000_101), None));
    assert_eq!(read("fail").fact(Fail, None).unwrap().reason_code, Some(5051));
    let recurring = read("pay_recurring").fact(Pay, None).unwrap();
    assert_eq!(recurring.subscription_id.as_deref(), Some("sc_2b7d90c4e1a84f53b60d7715ac382"));
    assert_eq!((recurring.invoice_id, recurring.payment_id), (None, None));
}

#[test]
fn a_message_at_the_wrong_address_proves_nothing() {
    use NotificationFact::{Cancel, Confirm, Fail, Pay, Refund};
    for (name, kinds) in [
        ("pay", vec![Refund, Fail, Cancel]),
        ("pay_authorized", vec![Confirm, Cancel, Refund, Fail]),
        ("check", vec![Cancel, Refund, Fail]),
        ("refund", vec![Pay, Fail, Confirm, Cancel]),
        ("cancel", vec![Pay, Refund]),
        ("fail", vec![Pay, Refund]),
        ("recurrent_active", vec![Pay, Fail, Confirm, Refund, Cancel]),
    ] {
        for kind in kinds {
            assert_eq!(proven(&read(name), kind), None, "{name} as {kind:?}");
        }
    }
}

#[test]
fn pays_without_a_known_status_and_payouts_prove_nothing() {
    let pay = |rest: &str| parse(format!("TransactionId=1&Amount=1.00&Currency=KZT&{rest}").as_bytes(), false).unwrap();
    for rest in [
        "",
        "Status=",
        "Status=Pending",
        "Status=Completed&OperationType=CardPayout",
        "Status=Completed&OperationType=Refund",
    ] {
        assert_eq!(proven(&pay(rest), NotificationFact::Pay), None, "{rest}");
    }
    let foreign = parse(b"TransactionId=2&PaymentTransactionId=1&Amount=1.00&Currency=USD", false).unwrap();
    let fact = foreign.fact(NotificationFact::Refund, Some(Currency::KZT)).unwrap();
    assert_eq!(fact.amount, None, "not in the payment's currency");
}

#[test]
fn our_ids_come_back_in_the_data() {
    let form = b"TransactionId=2&PaymentTransactionId=1&Amount=1.00&Data=%7b%0d%0a+%22refund_id%22%3a+%22ref_1%22%2c%22payment_id%22%3a%22pay_1%22%7d";
    let data = parse(form, false).unwrap().data;
    assert_eq!((data.payment_id.as_deref(), data.refund_id.as_deref()), (Some("pay_1"), Some("ref_1")));
    let json = br#"{"TransactionId":"2","TestMode":"False","Data":{"payment_id":"pay_1"}}"#;
    let notification = parse(json, true).unwrap();
    assert_eq!((notification.transaction_id, notification.test_mode), (Some(2), Some(false)));
    assert_eq!(notification.data.payment_id.as_deref(), Some("pay_1"));
}

proptest! {
    #[test]
    fn no_notification_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for is_json in [true, false] {
            if let Ok(notification) = parse(&bytes, is_json) {
                let _ = (notification.money(), notification.fact(NotificationFact::Pay, None));
            }
        }
    }
}

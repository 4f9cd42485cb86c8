//! Recorded answers.

use super::super::answer::*;
use super::super::fields::Fields;
use super::super::outcome::{ChargeAnswer, Outcome};
use super::{fixture_folder, fixtures};
use crate::domain::evidence::{Fact, TransactionKind};

/// What every recorded answer of a method that we call comes to.
const EXPECTED: &[(&str, &str)] = &[
    ("auth_3ds_required", "3ds 3600000108 https://demo.cloudpayments.ru/acs"),
    ("auth_declined", "payment 3600000107 declined 25000.00 5051"),
    ("auth_success", "payment 3600000106 authorized 25000.00"),
    ("charge_3ds_required", "3ds 3600000103 https://demo.cloudpayments.ru/acs"),
    ("charge_check_rejected", "payment 3600000104 declined 25000.00 3001"),
    ("charge_check_unavailable", "payment 3600000105 declined 25000.00 3006"),
    ("charge_declined", "payment 3600000102 declined 25000.00 5051"),
    ("charge_invalid_request", "refused Amount is required"),
    ("charge_success", "payment 3600000101 completed 25000.00"),
    ("charge_success_form", "payment 3600000101 completed 25000.00"),
    ("confirm_failed", "refused Payment status is not valid for this operation"),
    ("confirm_partial_success", "done"),
    ("confirm_success", "done"),
    ("find_awaiting_authentication", "payment 3600000103 awaiting_authentication 25000.00"),
    ("find_declined", "payment 3600000102 declined 25000.00 5051"),
    ("find_not_found", "not found"),
    ("find_success", "payment 3600000101 completed 25000.00"),
    ("find_v2_refund", "refund of 3600000101 3600000120 completed 5000.00"),
    ("get_declined", "payment 3600000102 declined 25000.00 5051"),
    ("get_not_found", "not found"),
    ("get_refunded", "payment 3600000113 completed 25000.00"),
    ("get_success", "payment 3600000101 completed 25000.00"),
    ("idempotent_replay", "payment 3600000115 completed 25000.00"),
    ("list", "payment 3600000101 completed 25000.00, payment 3600000102 declined 25000.00 5051, last"),
    ("list_empty", "last"),
    ("list_v2", "payment 3600000101 completed 25000.00, payment 3600000102 declined 25000.00 5051, last"),
    ("post3ds_authorized", "payment 3600000108 authorized 25000.00"),
    ("post3ds_declined_3ds_failed", "payment 3600000103 declined 25000.00 5206"),
    ("post3ds_declined_funds", "payment 3600000109 declined 25000.00 5051"),
    ("post3ds_success", "payment 3600000103 completed 25000.00"),
    ("refund_failed", "refused Amount is too big"),
    ("refund_success", "refund 3600000120"),
    ("test_ok", "done"),
    ("test_unauthorized", "not sent Credentials"),
    ("token_auth_success", "payment 3600000112 authorized 9900.00"),
    ("token_charge_declined", "payment 3600000111 declined 9900.00 5051"),
    ("token_charge_missing_initiator", "refused TrInitiatorCode is required"),
    ("token_charge_success", "payment 3600000110 completed 9900.00"),
    ("too_many_requests", "not sent TooManyRequests"),
];

fn shown<T>(outcome: Outcome<T>, answer: impl Fn(T) -> String) -> String {
    match outcome {
        Outcome::Answered(value) => answer(value),
        Outcome::Refused { message } => format!("refused {}", message.unwrap_or_default()),
        Outcome::NotSent { reason } => format!("not sent {reason:?}"),
        Outcome::Unknown { .. } => "unknown".to_owned(),
    }
}

fn shown_fact(fact: &Fact) -> String {
    let parent = fact.parent_transaction_id.map(|id| format!(" of {id}")).unwrap_or_default();
    let amount = fact.amount.map(|money| money.to_decimal()).unwrap_or_default();
    let why = fact.reason_code.map(|code| format!(" {code}")).unwrap_or_default();
    format!("{}{parent} {} {} {amount}{why}", fact.kind.as_str(), fact.transaction_id, fact.status.as_str())
}

pub fn charge(status: u16, body: &[u8], expected: Option<i64>) -> String {
    shown(parse_charge(status, body, expected), |answer| match answer {
        ChargeAnswer::Transaction(fact) => shown_fact(&fact),
        ChargeAnswer::ThreeDs(three_ds) => {
            assert!(three_ds.pa_req.starts_with("+/"));
            format!("3ds {} {}", three_ds.transaction_id, three_ds.acs_url)
        }
    })
}

pub fn lookup(status: u16, body: &[u8], expected: Option<i64>) -> String {
    let kind = expected.is_none().then_some(TransactionKind::Payment);
    shown(parse_lookup(status, body, expected, kind), |fact| {
        fact.map_or("not found".to_owned(), |fact| shown_fact(&fact))
    })
}

pub fn list(status: u16, body: &[u8]) -> String {
    shown(parse_list(status, body), |page| {
        let mut parts: Vec<String> = page.facts.iter().map(shown_fact).collect();
        parts.extend(page.last.then(|| "last".to_owned()));
        parts.extend((!page.unreadable.is_empty()).then(|| format!("{} unreadable", page.unreadable.len())));
        parts.join(", ")
    })
}

/// What a recorded pair comes to; `None` for methods that we do not call.
fn shown_pair(pair: &Fields) -> Option<String> {
    let request = Fields::from_json(pair.nested("request")?)?;
    let response = Fields::from_json(pair.nested("response")?)?;
    let asked = request.nested("body").and_then(Fields::from_json).and_then(|body| body.integer("transactionid"));
    let status: u16 = response.text("status")?.parse().ok()?;
    let body = response.nested("body").unwrap_or_default().as_bytes();
    Some(match request.text("path")? {
        "/payments/cards/charge" | "/payments/cards/auth" | "/payments/tokens/charge" | "/payments/tokens/auth" => {
            charge(status, body, None)
        }
        "/payments/cards/post3ds" => charge(status, body, asked),
        "/payments/confirm" | "/payments/void" | "/test" => shown(parse_done(status, body), |()| "done".to_owned()),
        "/payments/refund" => shown(parse_refund(status, body), |answer| format!("refund {}", answer.transaction_id)),
        "/payments/get" => lookup(status, body, asked),
        "/payments/find" | "/v2/payments/find" => lookup(status, body, None),
        "/payments/list" | "/v2/payments/list" => list(status, body),
        _ => return None,
    })
}

#[test]
fn every_recorded_answer_comes_to_what_it_says() {
    let mut compared = 0;
    for (name, pair) in fixtures(&fixture_folder()) {
        let Some(actual) = shown_pair(&pair) else {
            continue;
        };
        let expected = match name.as_str() {
            "void_success" => "done",
            "void_failed" => "refused Payment status is not valid for this operation",
            _ => EXPECTED.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}: {actual}")).1,
        };
        assert_eq!(actual, expected, "{name}");
        compared += 1;
    }
    assert_eq!(compared, EXPECTED.len() + 2);
}

#[test]
fn a_recorded_payment_is_read_in_full() {
    let (_, pair) = fixtures(&fixture_folder()).into_iter().find(|(name, _)| name == "charge_success").unwrap();
    let body = Fields::from_json(pair.nested("response").unwrap()).unwrap();
    let outcome = parse_charge(200, body.nested("body").unwrap().as_bytes(), None);
    let Outcome::Answered(ChargeAnswer::Transaction(fact)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fact.invoice_id.as_deref(), Some("ord-1001"));
    assert_eq!(fact.account_id.as_deref(), Some("user-42"));
    assert_eq!(fact.card.brand.as_deref(), Some("visa"));
    assert_eq!(fact.card.first_six.as_deref(), Some("400000"));
    assert_eq!(fact.card.last_four.as_deref(), Some("3055"));
    assert_eq!(fact.card.issuer.as_deref(), Some("CloudPayments"));
    assert_eq!(
        (fact.test_mode, fact.reason_code, fact.payment_id, fact.subscription_id),
        (Some(true), None, None, None)
    );
}

#[test]
fn a_recorded_chargeback_is_read_in_full() {
    let (_, pair) = fixtures(&fixture_folder()).into_iter().find(|(name, _)| name == "chargebacks_list").unwrap();
    let response = Fields::from_json(pair.nested("response").unwrap()).unwrap();
    let outcome = parse_chargebacks(200, response.nested("body").unwrap().as_bytes());
    let Outcome::Answered(page) = outcome else { panic!("{outcome:?}") };
    assert_eq!((page.claims.len(), page.last, page.unreadable), (1, true, 0));
    let claim = &page.claims[0];
    assert_eq!((claim.provider_id.as_str(), claim.transaction_id), ("65f0c1d2a3b4c5d6e7f80911", 3_600_000_101));
    assert_eq!((claim.kind.as_str(), claim.operation.as_str()), ("Chargeback", "Presentment"));
    assert_eq!(claim.amount.map(|amount| amount.to_string()).unwrap(), "25000.00 KZT");
    assert_eq!(claim.raised_at.map(|at| at.to_string()).unwrap(), "2026-03-20T00:00:00Z");
    assert!(claim.takes_money_back());
    // Items that say too little are counted, the others read.
    let odd = r#"{"Model":[{"ChargeBackId":"1","TransactionId":2,"Type":"Chargeback","Operation":"New","Date":"x"},
        {"ChargeBackId":"1","TransactionId":2,"Type":"Chargeback"},{"ChargeBackId":"4242424242424242","TransactionId":2,
        "Type":"Fee","Operation":"New"},7],"Success":true}"#;
    let Outcome::Answered(page) = parse_chargebacks(200, odd.as_bytes()) else { panic!() };
    assert_eq!((page.claims.len(), page.unreadable), (1, 3));
    assert!(page.claims[0].takes_money_back() && page.claims[0].raised_at.is_none() && page.claims[0].amount.is_none());
}

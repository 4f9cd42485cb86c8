//! Answers that nobody recorded and that may come all the same.

use proptest::prelude::*;

use super::super::answer::*;
use super::super::outcome::{NotSent, Outcome};
use super::answers::{charge, list, lookup};

#[test]
fn what_has_no_known_shape_is_unknown_to_every_method() {
    let bodies = [
        "",
        "null",
        "[]",
        "<html>",
        "{",
        "{}",
        "true",
        r#"{"Success":1}"#,
        r#"{"Success":"yes"}"#,
        r#"{"Model":{}}"#,
        r#"{"Success":false,"Model":"x"}"#,
        r#"{"Success":false,"Model":[]}"#,
        r#"{"Success":false,"Model":{"x":1}}"#,
        r#"{"Success":null,"Message":"Not found"}"#,
    ];
    for body in bodies {
        let body = body.as_bytes();
        assert_eq!(charge(200, body, None), "unknown");
        assert_eq!(lookup(200, body, None), "unknown");
        assert_eq!(list(200, body), "unknown");
        assert_eq!(parse_done(200, body).as_str(), "unknown");
        assert_eq!(parse_refund(200, body).as_str(), "unknown");
    }
    let success = br#"{"Success":true,"Message":null}"#;
    assert_eq!(
        (charge(200, success, None), lookup(200, success, None), list(200, success)),
        ("unknown".to_owned(), "unknown".to_owned(), "unknown".to_owned())
    );
    assert_eq!(parse_refund(200, success).as_str(), "unknown");
}

#[test]
fn the_http_status_comes_first() {
    let body = br#"{"Success":true,"Message":null}"#;
    for status in [201, 204, 301, 302, 400, 403, 404, 408, 500, 502, 503, 504] {
        assert_eq!(parse_done(status, body).as_str(), "unknown", "{status}");
    }
    assert!(matches!(parse_done(401, body), Outcome::NotSent { reason: NotSent::Credentials }));
    assert!(matches!(parse_done(429, b"<html>"), Outcome::NotSent { reason: NotSent::TooManyRequests }));
}

#[test]
fn an_answer_about_another_transaction_is_no_answer() {
    let body =
        br#"{"Success":true,"Model":{"TransactionId":2,"Status":"Completed","Type":0,"Amount":1,"Currency":"KZT"}}"#;
    assert_eq!(charge(200, body, Some(1)), "unknown");
    assert_eq!(lookup(200, body, Some(1)), "unknown");
    // One of a reserve bank says which transaction came before it.
    let after = |first: &str| {
        let named = format!(r#""TransactionId":2,"FallBackScenarioDeclinedTransactionId":{first},"#);
        std::str::from_utf8(body).unwrap().replace(r#""TransactionId":2,"#, &named)
    };
    assert_eq!(charge(200, after("1").as_bytes(), Some(1)), charge(200, body, Some(2)));
    for first in ["3", "null", "\"\"", "[1]"] {
        assert_eq!(charge(200, after(first).as_bytes(), Some(1)), "unknown", "{first}");
    }
    assert_eq!(lookup(200, after("1").as_bytes(), Some(1)), "unknown");
    assert_eq!(lookup(200, body, Some(2)), "payment 2 completed 1.00");
    let three_ds = br#"{"Success":false,"Model":{"TransactionId":2,"AcsUrl":"https://acs.test/","PaReq":"+/x"}}"#;
    assert_eq!(charge(200, three_ds, Some(1)), "unknown");
}

#[test]
fn three_ds_needs_all_its_parts_and_a_web_address() {
    for model in [
        r#"{"TransactionId":1,"AcsUrl":"javascript:alert(1)","PaReq":"x"}"#,
        r#"{"TransactionId":1,"AcsUrl":"https://acs.test/"}"#,
        r#"{"TransactionId":1,"PaReq":"x"}"#,
        r#"{"AcsUrl":"https://acs.test/","PaReq":"x"}"#,
        r#"{"TransactionId":1,"AcsUrl":"/acs","PaReq":"x"}"#,
    ] {
        let body = format!(r#"{{"Success":false,"Message":null,"Model":{model}}}"#);
        assert_eq!(charge(200, body.as_bytes(), None), "unknown", "{model}");
    }
}

#[test]
fn a_refusal_never_repeats_card_data_and_is_cut() {
    let refusal = |message: &str| format!(r#"{{"Success":false,"Message":"{message}"}}"#);
    assert_eq!(charge(200, refusal("bad card 4242 4242 4242 4242").as_bytes(), None), "refused ");
    assert_eq!(charge(200, refusal(&"я".repeat(500)).as_bytes(), None).chars().count(), "refused ".len() + 200);
    assert_eq!(charge(200, br#"{"Model":null,"Success":false,"Message":null}"#, None), "refused ");
    assert_eq!(lookup(200, refusal("Terminal is blocked").as_bytes(), None), "refused Terminal is blocked");
}

#[test]
fn one_unreadable_item_hides_nothing_and_ends_no_list() {
    let item = r#"{"TransactionId":1,"Status":"Completed","Type":0,"Amount":1.10,"Currency":"KZT"}"#;
    let others =
        r#"{"TransactionId":2,"Status":"Failed","Type":0},7,{"TransactionId":3,"Status":"Completed","Type":2}"#;
    let body = |items: &str| format!(r#"{{"Success":true,"Model":[{items}]}}"#);
    assert_eq!(list(200, body(&format!("{others},{item}")).as_bytes()), "payment 1 completed 1.10, last, 2 unreadable");
    let full = vec![r#"{"TransactionId":3,"Status":"Completed","Type":2}"#; 100].join(",");
    assert_eq!(list(200, body(&full).as_bytes()), "");
}

#[test]
fn broken_text_in_an_answer_does_not_hide_the_payment() {
    let mut body = b"\xef\xbb\xbf".to_vec();
    body.extend_from_slice(br#"{"Success":true,"Model":{"TransactionId":1,"Status":"Completed","Amount":1,"Currency":"KZT","Description":""#);
    body.extend_from_slice(b"\xff\xfe\"}}");
    assert_eq!(charge(200, &body, None), "payment 1 completed 1.00");
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(status in 100u16..600, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (charge(status, &bytes, None), lookup(200, &bytes, Some(1)), list(200, &bytes));
        let _ = (parse_done(200, &bytes), parse_refund(200, &bytes));
    }

    #[test]
    fn no_model_makes_it_panic(
        id in "[0-9a-z\"\\.-]{0,22}", state in "(Completed|Authorized|Declined|Created|.{0,9})", amount in "[0-9eE+.\"-]{0,30}",
    ) {
        let model = format!(r#"{{"TransactionId":{id},"Status":"{state}","Amount":{amount},"Currency":"KZT","Type":0}}"#);
        let body = format!(r#"{{"Success":true,"Model":{model}}}"#);
        let _ = (parse_charge(200, body.as_bytes(), None), parse_lookup(200, body.as_bytes(), None, None));
        let _ = parse_list(200, format!(r#"{{"Success":true,"Model":[{model}]}}"#).as_bytes());
    }
}

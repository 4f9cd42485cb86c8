//! Delivery of notifications: Check obeyed, retries, order, signatures on the wire.

use crate::support::*;
use cloudpayments_sandbox::{Fault, NotificationFaultKind as Kind, NotificationKind, SandboxConfig, wire};
use serde_json::{Value, json};

#[tokio::test]
async fn check_is_asked_first_and_obeyed() {
    let (api, receiver) = connected().await;
    for (status, body, reason) in [
        (200, r#"{"code":10}"#, 3001),
        (200, r#"{"code":"11"}"#, 3002),
        (200, r#"{"code":12}"#, 3003),
        (200, r#"{"code":13}"#, 3008),
        (200, r#"{"code":20}"#, 3004),
        (200, "Warning: {\"code\":0}", 3005),
        (503, "", 3006),
        (404, "", 3007),
    ] {
        receiver.reply("check", status, body);
        let answer = api.charge(PLAIN, "ord-1").await;
        assert_eq!(answer["Model"]["ReasonCode"], reason);
        assert_eq!(answer["Model"]["Status"], "Declined");
    }
    assert_eq!(api.charge(PLAIN, "ord-1").await["Success"], true);
    api.sandbox.set_notify_url("http://127.0.0.1:1/hooks");
    assert_eq!(api.charge(PLAIN, "ord-1").await["Model"]["ReasonCode"], 3007, "cannot connect");
}

#[tokio::test]
async fn a_silent_check_is_unavailable() {
    let api = Api::with(SandboxConfig { notification_timeout_ms: 50, ..SandboxConfig::default() }).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    api.sandbox.set_notify_url(&format!("http://{}", silent.local_addr().unwrap()));
    assert_eq!(api.charge(PLAIN, "ord-1").await["Model"]["ReasonCode"], 3006);
}

#[tokio::test]
async fn check_comes_after_the_bank_page() {
    let (api, receiver) = connected().await;
    let answer = api.charge(THREE_DS, "ord-1").await;
    assert!(receiver.arrived().is_empty());
    crate::payments::pass_three_ds(&api, &answer, "pass").await;
    api.sandbox.flush_notifications().await;
    assert_eq!(receiver.kinds(), ["check", "pay"]);
    let failed = api.charge(THREE_DS, "ord-2").await;
    crate::payments::pass_three_ds(&api, &failed, "fail").await;
    api.sandbox.flush_notifications().await;
    assert_eq!(receiver.kinds(), ["check", "pay", "fail"], "no Check when the challenge failed");
}

#[tokio::test]
async fn both_signatures_arrive() {
    let (api, receiver) = connected().await;
    api.charge(PLAIN, "ord-1").await;
    api.sandbox.flush_notifications().await;
    for arrived in receiver.arrived() {
        let secret = api.sandbox.api_secret();
        assert_eq!(arrived.method, "POST");
        assert_eq!(arrived.headers["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(arrived.headers["content-hmac"], wire::sign(secret, &arrived.body));
        assert_eq!(arrived.headers["x-content-hmac"], wire::sign(secret, &wire::decode(&arrived.body)));
        assert_ne!(arrived.headers["content-hmac"], arrived.headers["x-content-hmac"]);
        assert_eq!(arrived.field("Amount").as_deref(), Some("25000.00"));
    }
}

#[tokio::test]
async fn json_bodies_on_request() {
    let (api, receiver) = connected_with(SandboxConfig { json_notifications: true, ..SandboxConfig::default() }).await;
    api.charge(PLAIN, "ord \"1\"").await;
    api.sandbox.flush_notifications().await;
    let arrived = receiver.arrived()[1].clone();
    let body: Value = serde_json::from_str(&arrived.body).unwrap();
    assert_eq!((body["TransactionId"].as_i64(), body["InvoiceId"].as_str()), (Some(3_600_000_001), Some("ord \"1\"")));
    assert!(arrived.body.contains(r#""Amount":25000.00,"#));
    assert_eq!(arrived.headers["content-hmac"], arrived.headers["x-content-hmac"]);
}

#[tokio::test]
async fn refused_notifications_come_again_on_schedule() {
    let (api, receiver) = connected().await;
    receiver.reply("pay", 500, "");
    receiver.reply("pay", 200, r#"{"code":13}"#);
    receiver.reply("pay", 200, "ok");
    api.charge(PLAIN, "ord-1").await;
    for (seconds, tries) in [(0, 1), (50, 1), (15, 2), (110, 2), (15, 3), (280, 3), (30, 4), (100_000, 4)] {
        api.sandbox.advance_clock(seconds);
        api.sandbox.flush_notifications().await;
        let arrived = receiver.kinds().iter().filter(|kind| *kind == "pay").count();
        assert_eq!(arrived, tries, "after {seconds} s more");
    }
    let log = api.get_json("/sandbox/notifications").await;
    let outcomes: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["attempt"].as_i64().unwrap(), line["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(outcomes, [(1, "delivered"), (1, "refused"), (2, "refused"), (3, "refused"), (4, "delivered")]);
}

#[tokio::test]
async fn time_can_run_faster_for_retries() {
    let (api, receiver) = connected_with(SandboxConfig { retry_time_scale: 60_000, ..SandboxConfig::default() }).await;
    for _ in 0..3 {
        receiver.reply("pay", 500, "");
    }
    api.charge(PLAIN, "ord-1").await;
    for _ in 0..400 {
        if receiver.kinds().len() == 5 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("not delivered: {:?}", receiver.kinds());
}

#[tokio::test]
async fn scripted_delivery() {
    let (api, receiver) = connected().await;
    let pay = |kind| api.sandbox.fault(Fault::notification(NotificationKind::Pay, kind));
    let invoices = |receiver: &Receiver| {
        let pays = receiver.arrived().into_iter().filter(|arrived| arrived.kind == "pay");
        pays.map(|arrived| arrived.field("InvoiceId").unwrap()).collect::<Vec<_>>()
    };
    pay(Kind::Lose);
    pay(Kind::Duplicate);
    pay(Kind::Reorder);
    for invoice in ["lost", "twice", "first", "second"] {
        api.charge(PLAIN, invoice).await;
        api.sandbox.flush_notifications().await;
    }
    assert_eq!(invoices(&receiver), ["twice", "twice", "second", "first"]);
    let log = api.get_json("/sandbox/notifications").await;
    assert!(log.as_array().unwrap().iter().any(|line| line["outcome"] == "lost" && line["attempt"] == 0));
    pay(Kind::Delay { ms: 60_000 });
    api.charge(PLAIN, "late").await;
    api.sandbox.flush_notifications().await;
    assert_eq!(invoices(&receiver).len(), 4);
    api.sandbox.advance_clock(61);
    api.sandbox.flush_notifications().await;
    assert_eq!(invoices(&receiver)[4], "late");
}

#[tokio::test]
async fn before_the_answer() {
    let config = SandboxConfig { notification_delay_ms: 60_000, ..SandboxConfig::default() };
    let (api, receiver) = connected_with(config).await;
    let fault = json!({"notification": "pay", "kind": "before_answer"});
    assert_eq!(api.control("/sandbox/faults", fault).await["ok"], true);
    api.charge(PLAIN, "ord-1").await;
    assert_eq!(receiver.kinds(), ["check", "pay"]);
    api.charge(PLAIN, "ord-2").await;
    assert_eq!(receiver.kinds(), ["check", "pay", "check"]);
}

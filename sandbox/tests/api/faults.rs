//! Scripted faults of API answers, as a client sees them.

use crate::support::*;
use cloudpayments_sandbox::{ApiFaultKind as Kind, Fault, Status};
use serde_json::json;
use std::time::{Duration, Instant};

const PATH: &str = "/payments/cards/charge";

fn send(api: &Api, invoice: &str) -> impl Future<Output = Result<reqwest::Response, reqwest::Error>> {
    api.request(PATH).header("Content-Type", "application/json").body(charge_body(PLAIN, invoice).to_string()).send()
}

#[tokio::test]
async fn the_connection_breaks_before_or_after_the_work() {
    let api = Api::start().await;
    for (kind, transactions) in [(Kind::DropBefore, 0), (Kind::DropAfter, 1), (Kind::Hang { ms: 20 }, 1)] {
        api.sandbox.fault(Fault::api(PATH, kind.clone()));
        let error = send(&api, "ord-1").await.unwrap_err();
        assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{kind:?}: {error:?}");
        assert_eq!(api.sandbox.ledger().transactions.len(), transactions, "{kind:?}");
    }
    assert_eq!(send(&api, "ord-2").await.unwrap().status(), 200);
    let log = api.get_json("/sandbox/requests").await;
    let statuses: Vec<_> =
        log.as_array().unwrap().iter().map(|line| line["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["dropped", "dropped", "dropped", "200"]);
    assert!(!log.to_string().contains("Cryptogram") && !log.to_string().contains("400000"));
}

#[tokio::test]
async fn the_answer_is_spoiled() {
    let api = Api::start().await;
    api.sandbox.fault(Fault::api(PATH, Kind::StatusBefore { status: 429 }));
    api.sandbox.fault(Fault::api(PATH, Kind::StatusAfter { status: 500, body: None }));
    api.sandbox.fault(Fault::api("*", Kind::StatusAfter { status: 502, body: Some("oops".into()) }));
    api.sandbox.fault(Fault::api(PATH, Kind::GarbageAfter));
    let mut seen = Vec::new();
    for _ in 0..5 {
        let response = send(&api, "ord-1").await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        seen.push((status, text.starts_with('{'), api.sandbox.ledger().transactions.len()));
    }
    assert_eq!(seen, [(429, false, 0), (500, false, 1), (502, false, 2), (200, false, 3), (200, true, 4)]);
}

#[tokio::test]
async fn a_late_answer_has_an_early_effect() {
    let (api, receiver) = connected().await;
    api.sandbox.fault(Fault::api(PATH, Kind::Delay { ms: 400 }));
    let started = Instant::now();
    let early = async {
        while receiver.kinds().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        started.elapsed()
    };
    let (answer, notified) = tokio::join!(api.charge(PLAIN, "ord-1"), early);
    assert_eq!(answer["Success"], true);
    assert!(started.elapsed() >= Duration::from_millis(400) && notified < Duration::from_millis(400));
}

#[tokio::test]
async fn the_bank_refuses_on_request() {
    let api = Api::start().await;
    let fault = json!({"path": "/payments/cards/post3ds", "kind": "decline", "reason_code": 5057});
    assert_eq!(api.control("/sandbox/faults", fault).await["ok"], true);
    let answer = api.charge(THREE_DS, "ord-1").await;
    let declined = crate::payments::pass_three_ds(&api, &answer, "pass").await;
    assert_eq!(declined["Model"]["Reason"], "TransactionNotPermitted");
    api.sandbox.fault(Fault::api(PATH, Kind::Decline { reason_code: 5005 }).times(2));
    for expected in [5005, 5005, 0] {
        assert_eq!(api.charge(PLAIN, "ord-2").await["Model"]["ReasonCode"], expected);
    }
}

#[tokio::test]
async fn a_reserve_bank_is_asked_after_a_refusal() {
    let (api, receiver) = connected().await;
    let fault = json!({"path": "/payments/cards/post3ds", "kind": "reserve_bank", "reason_code": 5005});
    assert_eq!(api.control("/sandbox/faults", fault).await["ok"], true);
    let first = api.charge(THREE_DS, "ord-1").await["Model"].clone();
    let second =
        crate::payments::pass_three_ds(&api, &json!({ "Model": first.clone() }), "pass").await["Model"].clone();
    assert_eq!((&second["Status"], &second["InvoiceId"]), (&json!("Completed"), &json!("ord-1")));
    assert_eq!(second["FallBackScenarioDeclinedTransactionId"], first["TransactionId"]);
    assert_ne!(second["TransactionId"], first["TransactionId"]);
    let statuses: Vec<_> = api.sandbox.ledger().transactions.iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [Status::Declined, Status::Completed]);
    api.sandbox.flush_notifications().await;
    assert_eq!(receiver.kinds(), ["check", "fail", "pay"]);
}

#[tokio::test]
async fn faults_are_forgotten_on_request() {
    let api = Api::start().await;
    api.sandbox.fault(Fault::api("*", Kind::DropBefore).times(9));
    api.client.delete(api.url("/sandbox/faults")).send().await.unwrap();
    assert_eq!(send(&api, "ord-1").await.unwrap().status(), 200);
    let wrong = api.control("/sandbox/faults", json!({"path": "*", "kind": "explode"})).await;
    assert_eq!(wrong["ok"], false);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_the_work() {
    let (api, receiver) = connected().await;
    api.sandbox.fault(Fault::api(PATH, Kind::Delay { ms: 5000 }));
    let gave_up = tokio::time::timeout(Duration::from_millis(300), send(&api, "ord-1")).await;
    assert!(gave_up.is_err());
    api.sandbox.flush_notifications().await;
    assert_eq!(receiver.kinds(), ["check", "pay"]);
}

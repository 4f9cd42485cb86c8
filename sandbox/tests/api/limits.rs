//! `X-Request-ID`, single use packets and the limit of concurrent requests.

use crate::support::*;
use cloudpayments_sandbox::{ApiFaultKind, Fault, SandboxConfig};
use serde_json::Value;

async fn repeat(api: &Api, body: &Value) -> String {
    let request =
        api.request("/payments/cards/charge").header("X-Request-ID", "once").header("Content-Type", "application/json");
    request.body(body.to_string()).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn the_same_request_id_is_replayed_for_an_hour() {
    let api = Api::start().await;
    let body = charge_body(NO_FUNDS, "ord-1");
    let first = repeat(&api, &body).await;
    api.sandbox.advance_clock(3590);
    assert_eq!(repeat(&api, &body).await, first, "byte for byte, a refusal too");
    assert_eq!(api.sandbox.ledger().transactions.len(), 1);
    api.sandbox.advance_clock(20);
    assert_ne!(repeat(&api, &body).await, first);
    assert_eq!(api.sandbox.ledger().transactions.len(), 2);
    assert_eq!(api.sandbox.ledger().transactions[0].request_id.as_deref(), Some("once"));
}

#[tokio::test]
async fn refusals_are_processed_again_when_asked() {
    let api = Api::with(SandboxConfig { replay_declines: false, ..SandboxConfig::default() }).await;
    repeat(&api, &charge_body(NO_FUNDS, "ord-1")).await;
    let paid = repeat(&api, &charge_body(PLAIN, "ord-1")).await;
    assert_eq!(repeat(&api, &charge_body(PLAIN, "ord-1")).await, paid);
    assert_eq!(api.sandbox.ledger().transactions.len(), 2);
}

#[tokio::test]
async fn parallel_repeats_are_processed_once() {
    let (api, receiver) = connected().await;
    let body = charge_body(PLAIN, "ord-1");
    let repeats = (0..8).map(|_| repeat(&api, &body));
    let answers = futures_join(repeats.collect()).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(api.sandbox.ledger().transactions.len(), 1);
    assert_eq!(receiver.kinds().iter().filter(|kind| *kind == "check").count(), 1);
}

/// Runs futures at the same time without another dependency.
async fn futures_join<F: Future<Output = String>>(futures: Vec<F>) -> Vec<String> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<String>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(answer) = future.as_mut().poll(context)
            {
                *slot = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_packet_can_be_single_use() {
    let api = Api::with(SandboxConfig { single_use_cryptograms: true, ..SandboxConfig::default() }).await;
    let body = charge_body(PLAIN, "ord-1");
    assert_eq!(api.call("/payments/cards/charge", body.clone()).await["Success"], true);
    let again = api.call("/payments/cards/charge", body).await;
    assert_eq!(again["Message"], "Invalid CardCryptogramPacket");
}

#[tokio::test]
async fn too_many_requests_at_once() {
    let api = Api::with(SandboxConfig { max_concurrent_requests: 1, ..SandboxConfig::default() }).await;
    api.sandbox.fault(Fault::api("/payments/cards/charge", ApiFaultKind::Delay { ms: 1000 }));
    let slow = api.charge(PLAIN, "ord-1");
    let quick = async {
        while api.sandbox.ledger().transactions.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        api.request("/test").send().await.unwrap()
    };
    let (answer, refused) = tokio::join!(slow, quick);
    assert_eq!(answer["Success"], true);
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.text().await.unwrap(), "");
    assert_eq!(api.request("/test").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_default_public_id_has_the_usual_form() {
    let id = SandboxConfig::default().public_id;
    let digits = id.strip_prefix("pk_").unwrap();
    assert!(digits.len() == 29 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

//! Card data on its way through the program: not in a log at the highest level, not in a file.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::cli::{DATABASE, sandbox};
use crate::support::{CARD_THREE_DS, Reply, card, with_at};
use crate::support::{new_key, serve, set};

const NUMBER: &str = "4242424242424242";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn card_data_is_in_no_log_and_no_file() {
    let (folder, sandbox) = (tempfile::tempdir().unwrap(), sandbox().await);
    let key = new_key(folder.path(), DATABASE);
    let (mut command, url) = serve(folder.path(), DATABASE, &sandbox);
    set(&mut command, "log.filter", "trace");
    let log = folder.path().join("log");
    command.stdout(File::create(&log).unwrap()).stderr(Stdio::from(File::options().append(true).open(&log).unwrap()));
    let mut child = command.spawn().unwrap();
    sandbox.set_notify_url(&format!("{url}/v1/notifications/cloudpayments"));
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while http.get(format!("{url}/health/ready")).send().await.is_err() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the service does not start");
        sleep(Duration::from_millis(20)).await;
    }
    let authorized = |request: reqwest::RequestBuilder| {
        let request = request.header("Authorization", format!("Bearer {key}")).header("User-Agent", NUMBER);
        request.header("X-Request-Id", NUMBER).header("Referer", NUMBER).header("Cookie", NUMBER)
    };
    let post = async |path: &str, idempotency_key: &str, body: String| {
        let request = authorized(http.post(format!("{url}{path}"))).header("Content-Type", "application/json");
        Reply::receive(request.header("Idempotency-Key", idempotency_key).body(body)).await
    };

    // What is refused.
    for path in [NUMBER, "v1/payments/4242424242424242", "docs/4242424242424242", "v1/payments?card=4242424242424242"] {
        assert!(Reply::receive(authorized(http.get(format!("{url}/{path}")))).await.status >= 400, "{path}");
    }
    let method = reqwest::Method::from_bytes(NUMBER.as_bytes()).unwrap();
    let forwarded = authorized(http.request(method, format!("{url}/v1/payments"))).header("X-Forwarded-For", NUMBER);
    assert_eq!(Reply::receive(forwarded).await.status, 405);
    assert_eq!(post("/v1/payments", NUMBER, card("KM-1", CARD_THREE_DS).to_string()).await.status, 422);
    for field in ["/description", "/capture", "/method/cryptogram", "/method/type", "/surprise", "/payer/ip_address"] {
        let body = with_at(card("KM-1", CARD_THREE_DS), field, json!(NUMBER));
        assert_eq!(post("/v1/payments", "refused", body.to_string()).await.status, 422, "{field}");
    }
    assert_eq!(post("/v1/payments", "broken", format!("{{\"card\": {NUMBER} x")).await.status, 400);
    let forged = http.post(format!("{url}/v1/notifications/cloudpayments/pay")).body(format!("Name={NUMBER}"));
    assert_eq!(Reply::receive(forged.header("Content-HMAC", NUMBER)).await.status, 401);

    // What is taken: the cryptogram, and the bank's answer.
    let body = card("KM-1", CARD_THREE_DS);
    let secret = body.pointer("/method/cryptogram").unwrap().as_str().unwrap().to_owned();
    let payment = post("/v1/payments", "taken", body.to_string()).await.expect(201);
    let (md, pa_res) = (payment.text("/next_action/md"), "UGFSZXMtY2FuYXJ5LTAxMjM0NTY3ODk=");
    let answer = json!({ "md": md, "pa_res": pa_res }).to_string();
    let finish = format!("/v1/payments/{}/three-ds", payment.id());
    assert!(matches!(post(&finish, "finish", answer).await.status, 200 | 202 | 409));

    let _ = child.kill();
    child.wait().unwrap();
    assert!(String::from_utf8_lossy(&fs::read(&log).unwrap()).contains("TRACE"), "the log is not at its highest level");
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        for canary in [NUMBER, secret.as_str(), pa_res, &secret[secret.len() - 60..secret.len() - 20]] {
            let found = bytes.windows(canary.len()).any(|part| part == canary.as_bytes());
            assert!(!found, "{canary} in {}", path.display());
        }
    }
    sandbox.stop().await;
}

//! The scenario of `--register`: a comparison with a register of many transactions, its time and its memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kmic_payments::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use super::http::Connection;

/// Longer than any comparison takes.
const LIMIT: Duration = Duration::from_secs(1200);
/// Pause between looks whether it is over.
const LOOK: Duration = Duration::from_millis(200);
const WEEK_S: i64 = 7 * 86_400;

/// Asks for a comparison and waits until it is over. Returns it with its time, milliseconds.
pub async fn compare(address: SocketAddr, key: &str) -> Result<(Value, f64), String> {
    let now = SystemClock.now();
    let body = json!({ "from": now.plus_seconds(-WEEK_S).to_string(), "to": now.to_string() });
    let started = Instant::now();
    let run = ask(address, key, "POST", "/v1/reconciliations", &body.to_string()).await?;
    let path = format!("/v1/reconciliations/{}", run.get("id").and_then(Value::as_str).unwrap_or_default());
    while started.elapsed() < LIMIT {
        let run = ask(address, key, "GET", &path, "").await?;
        if run.get("state").and_then(Value::as_str) != Some("running") {
            return Ok((run, started.elapsed().as_secs_f64() * 1000.0));
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(format!("the comparison is not over after {LIMIT:?}"))
}

async fn ask(address: SocketAddr, key: &str, method: &str, path: &str, body: &str) -> Result<Value, String> {
    let broke = |error: std::io::Error| format!("{method} {path}: {error}");
    let mut connection = Connection::open(address).await.map_err(broke)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         Idempotency-Key: comparison\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.send(request.as_bytes()).await.map_err(broke)?;
    connection.receive().await.map_err(broke)?;
    match connection.status() {
        200 | 201 => serde_json::from_slice(connection.body()).map_err(|error| format!("{path}: {error}")),
        status => Err(format!("{path}: {status} {}", String::from_utf8_lossy(connection.body()))),
    }
}

//! The real program, in processes of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cloudpayments_sandbox::Sandbox;
use kmic_payments::startup::free_port;
use serde_json::Value;
use tokio::time::sleep;

use super::app::Body;
use super::http::Reply;

pub const ENCRYPTION_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// The program in a folder of its own, without any setting of the developer.
pub fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kmic-payments"));
    command.args(arguments).env_clear().current_dir(folder).stdin(Stdio::null());
    // Several programs run at once: none takes the port of the metrics.
    set(&mut command, "server.admin_bind", "");
    command
}

pub fn set(command: &mut Command, key: &str, value: &str) {
    command.env(format!("KMIC_PAYMENTS__{}", key.to_uppercase().replace('.', "__")), value);
}

/// Makes a key that may do all that the tests of processes do.
pub fn new_key(folder: &Path, database_url: &str) -> String {
    let scopes = "payments:read,payments:write,refunds:write";
    let create = ["keys", "create", "--name", "t", "--scopes", scopes, "--format", "json"];
    let mut command = program(folder, &create);
    set(&mut command, "database.url", database_url);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    made["secret"].as_str().unwrap().to_owned()
}

/// `serve` with a sandbox as its provider, not started yet, and where it will listen.
pub fn serve(folder: &Path, database_url: &str, sandbox: &Sandbox) -> (Command, String) {
    let bind = format!("127.0.0.1:{}", free_port().unwrap());
    let url = format!("http://{bind}");
    let mut command = program(folder, &["serve"]);
    for (key, value) in [
        ("server.bind", bind.as_str()),
        ("server.public_url", &url),
        ("database.url", database_url),
        ("cloudpayments.base_url", &sandbox.base_url()),
        ("cloudpayments.public_id", sandbox.public_id()),
        ("cloudpayments.api_secret", sandbox.api_secret()),
        ("privacy.encryption_key", ENCRYPTION_KEY),
        ("worker.settle_interval_ms", "200"),
    ] {
        set(&mut command, key, value);
    }
    (command, url)
}

/// A process of `serve`. Killed when dropped.
pub struct Service {
    pub child: Child,
    pub url: String,
    key: String,
    http: reqwest::Client,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    /// Starts it, waits until it is ready, and has the sandbox send its notifications there.
    pub async fn start(folder: &Path, database_url: &str, sandbox: &Sandbox, key: &str) -> Service {
        let (mut command, url) = serve(folder, database_url, sandbox);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let mut service = Service { child, url, key: key.to_owned(), http };
        sandbox.set_notify_url(&format!("{}/v1/notifications/cloudpayments", service.url));
        let deadline = Instant::now() + Duration::from_secs(30);
        while !service.is_ready().await {
            assert!(service.child.try_wait().unwrap().is_none(), "the service ended");
            assert!(Instant::now() < deadline, "the service does not start");
            sleep(Duration::from_millis(20)).await;
        }
        service
    }

    pub async fn is_ready(&self) -> bool {
        self.http.get(format!("{}/health/ready", self.url)).send().await.is_ok_and(|reply| reply.status() == 200)
    }

    /// A POST that is still to be sent.
    pub fn posting(&self, path: &str, idempotency_key: &str, body: &Body) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.key);
        let request = request.header("Content-Type", "application/json").header("Idempotency-Key", idempotency_key);
        request.body(body.to_string())
    }

    /// A DELETE that is still to be sent.
    pub fn deleting(&self, path: &str, idempotency_key: &str) -> reqwest::RequestBuilder {
        let request = self.http.delete(format!("{}{path}", self.url)).bearer_auth(&self.key);
        request.header("Idempotency-Key", idempotency_key)
    }

    /// Ends it where it stands.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A notification that is still to be sent, signed as the provider signs it.
    pub fn notifying(&self, kind: &str, fields: &[(&str, &str)], secret: &str) -> reqwest::RequestBuilder {
        let body = super::notices::form(fields);
        let request = self.http.post(format!("{}/v1/notifications/cloudpayments/{kind}", self.url));
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        request.header("Content-HMAC", super::notices::sign(secret, body.as_bytes())).body(body)
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::receive(self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key)).await
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    pub async fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the service does not end");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

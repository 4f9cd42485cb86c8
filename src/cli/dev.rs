//! `dev`: service and sandbox on this machine, ready for a first payment.

use std::path::{Path, PathBuf};

use clap::Args;
use cloudpayments_sandbox::{Sandbox, SandboxConfig};
use serde_json::{Value, json};

use super::demo::Story;
use super::say::say_line;
use super::{Outcome, asked_to_end, report, text};
use crate::app::{create_api_key, keep_api_key};
use crate::clock::{Clock, SystemClock, SystemIds};
use crate::config::{Raw, Settings};
use crate::domain::scope::Scope;
use crate::startup::{Running, World};
use crate::{telemetry, vault};

/// Test card without 3-D Secure, approved.
const CARD: &str = "4000000000003055";
/// The bill and the sum behind "Try a payment" on the sandbox's first page.
const TRY_IT: (&str, &str) = ("demo-1", "25000.00");

#[derive(Args)]
pub(super) struct DevArguments {
    /// Where the service listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    bind: String,
    /// Where the sandbox listens.
    #[arg(long, default_value = "127.0.0.1:8090")]
    sandbox_bind: String,
    /// Folder of the embedded database and of the secrets of this first look.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// Database instead of the embedded one, for example `postgres://…`
    #[arg(long)]
    database_url: Option<String>,
}

/// Settings for a service beside a sandbox.
pub(super) fn settings(
    sandbox: &Sandbox,
    bind: &str,
    public_url: &str,
    database_url: &str,
    encryption_key: &str,
) -> Result<Settings, String> {
    Raw::load(None)
        .map_err(text)?
        .with("server.bind", bind)
        .with("server.public_url", public_url)
        .with("server.admin_bind", "")
        .with("database.url", database_url)
        .with("cloudpayments.base_url", sandbox.base_url())
        .with("cloudpayments.public_id", sandbox.public_id())
        .with("cloudpayments.api_secret", sandbox.api_secret())
        .with("privacy.encryption_key", encryption_key)
        .with("log.format", "text")
        .check()
        .map_err(text)
}

pub(super) async fn run(arguments: DevArguments) -> Outcome {
    let public_url = format!("http://{}", arguments.bind);
    let sandbox = Sandbox::start(SandboxConfig {
        bind: arguments.sandbox_bind.clone(),
        notify_url: Some(notify_url(&public_url)),
        // The database outlives the sandbox; numbers of transactions must not come twice.
        first_transaction_id: SystemClock.now().micros() / 100_000,
        ..SandboxConfig::default()
    })
    .await
    .map_err(|error| format!("the sandbox cannot listen on {}: {error}", arguments.sandbox_bind))?;
    let secrets = Secrets::open(&arguments.data)?;
    let database = arguments
        .database_url
        .unwrap_or_else(|| format!("sqlite://{}", arguments.data.join("kmic-payments.sqlite3").display()));
    let settings = settings(&sandbox, &arguments.bind, &public_url, &database, &secrets.encryption_key)?;
    telemetry::init(&settings.log);
    let running = Running::start(&settings, World::default()).await.map_err(report)?;
    let api_key = secrets.api_key(&running).await?;
    let site = Story::new(public_url.clone(), api_key.clone(), sandbox.clone())?;
    if let Err(reason) = site.keep_open(TRY_IT.0, TRY_IT.1).await {
        tracing::warn!(reason, "the sandbox's own button has nothing to pay");
    }
    say_line!("{}", welcome(&public_url, &sandbox, &api_key));
    asked_to_end().await;
    running.stop().await;
    sandbox.stop().await;
    Ok(())
}

/// Where the sandbox sends notifications; the kind follows as the last part.
pub(super) fn notify_url(public_url: &str) -> String {
    format!("{public_url}/v1/notifications/cloudpayments")
}

/// A new key that may do everything.
pub(super) async fn new_key(running: &Running, name: &str) -> Result<String, String> {
    let new = create_api_key(name, Scope::ALL.to_vec(), SystemClock.now(), None, &SystemIds);
    keep_api_key(&running.store, new.key, &SystemIds).await.map_err(report)?;
    Ok(new.secret)
}

/// Secrets of a first look, kept so that the database can be read again after a restart.
struct Secrets {
    path: PathBuf,
    encryption_key: String,
    api_key: Option<String>,
}

impl Secrets {
    fn open(folder: &Path) -> Result<Secrets, String> {
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        let path = folder.join("dev-secrets.json");
        let kept: Value =
            std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let read = |key: &str| kept.get(key).and_then(Value::as_str).map(str::to_owned);
        let encryption_key = read("encryption_key").unwrap_or_else(|| vault::base64(&vault::random_bytes::<32>()));
        let secrets = Secrets { path, encryption_key, api_key: read("api_key") };
        secrets.save()?;
        Ok(secrets)
    }

    fn save(&self) -> Outcome {
        let value = json!({ "encryption_key": self.encryption_key, "api_key": self.api_key });
        write_private(&self.path, &value.to_string())
            .map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }

    /// The kept key if the database still knows it, else a new one.
    async fn api_key(mut self, running: &Running) -> Result<String, String> {
        if let Some(secret) = &self.api_key
            && running.app.authenticate(secret).await.is_ok()
        {
            return Ok(secret.clone());
        }
        let secret = new_key(running, "dev").await?;
        self.api_key = Some(secret.clone());
        self.save()?;
        Ok(secret)
    }
}

/// Readable by its owner only.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn welcome(url: &str, sandbox: &Sandbox, api_key: &str) -> String {
    let cryptogram = cloudpayments_sandbox::cryptogram(CARD, "3012");
    let body = json!({
        "amount": { "value": "12500.00", "currency": "KZT" },
        "invoice_id": "KM-2026-000123",
        "description": "Policy KM-2026-000123",
        "payer": { "account_id": "user-42", "ip_address": "203.0.113.7" },
        "method": { "type": "card_cryptogram", "cryptogram": cryptogram, "cardholder_name": "TEST CARDHOLDER" },
    });
    let window = json!({
        "amount": { "value": "7500.00", "currency": "KZT" },
        "invoice_id": "KM-2026-000124",
        "description": "Policy KM-2026-000124",
    });
    format!(
        "
kmic-payments   {url}
documentation   {url}/docs/
OpenAPI         {url}/openapi.json
sandbox         {sandbox}/   (test cards, payment page, faults)
API key         {api_key}

Three lines to paste in another terminal, one after the other: pay, look, refund.

PAYMENT=$(curl -s {url}/v1/payments -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' -H \"Idempotency-Key: first-$(date +%s)\" -d '{body}' -w '\\n' | tee /dev/stderr | grep -o 'pay_[0-9a-z]*' | head -n 1)

curl -s -w '\\n' {url}/v1/payments/$PAYMENT -H 'Authorization: Bearer {api_key}'

curl -s -w '\\n' -X POST {url}/v1/payments/$PAYMENT/refunds -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' -H \"Idempotency-Key: refund-$(date +%s)\" -d '{{\"amount\":{{\"value\":\"2500.00\",\"currency\":\"KZT\"}},\"reason\":\"changed policy\"}}'

A payment in the window: create it, then pay it as the payer would. Any test card will do; a browser can pay another one at
{sandbox}/ (\"Try a payment\").

WINDOW=$(curl -s {url}/v1/payments -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' -H \"Idempotency-Key: window-$(date +%s)\" -d '{window}' -w '\\n' | tee /dev/stderr | grep -o 'pay_[0-9a-z]*' | head -n 1)

curl -s -w '\\n' {sandbox}/sandbox/pay -d '{{\"amount\":7500,\"currency\":\"KZT\",\"invoice_id\":\"KM-2026-000124\",\"card\":\"{CARD}\",\"data\":{{\"payment_id\":\"'$WINDOW'\"}}}}'

The sandbox forgets its payments when it ends: those of earlier runs can be read, not refunded. Ctrl-C ends both.
",
        sandbox = sandbox.base_url(),
    )
}

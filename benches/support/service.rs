//! The service under test: the release binary in a process of its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::Connection;
use super::postgres::free_port;

const BINARY: &str = env!("CARGO_BIN_EXE_kmic-payments");
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A running service; killed when dropped.
pub struct Service {
    pub address: SocketAddr,
    /// From the start of the process until it was ready.
    pub started_in: Duration,
    process: Child,
}

/// Who takes the money.
pub struct Provider {
    pub base_url: String,
    pub public_id: String,
    /// Signs notifications, too.
    pub api_secret: String,
}

/// Settings of a service.
pub struct Settings {
    variables: Vec<(String, String)>,
    address: SocketAddr,
}

impl Settings {
    /// For a service on this database whose provider is at this address. Every start of it listens at the same port.
    pub fn new(database_url: &str, provider: &Provider) -> Result<Settings, String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let variables = [
            ("SERVER__BIND", address.to_string()),
            ("SERVER__ADMIN_BIND", "127.0.0.1:0".to_owned()),
            ("SERVER__PUBLIC_URL", format!("http://{address}")),
            ("SERVER__RATE_PER_SECOND", "0".to_owned()),
            ("SERVER__MAX_CONCURRENT_REQUESTS", "0".to_owned()),
            ("DATABASE__URL", database_url.to_owned()),
            ("CLOUDPAYMENTS__BASE_URL", provider.base_url.clone()),
            ("CLOUDPAYMENTS__PUBLIC_ID", provider.public_id.clone()),
            ("CLOUDPAYMENTS__API_SECRET", provider.api_secret.clone()),
            ("PRIVACY__ENCRYPTION_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".to_owned()),
            ("LOG__FILTER", "warn".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (format!("KMIC_PAYMENTS__{name}"), value)).to_vec();
        Ok(Settings { variables, address })
    }

    /// Sets one more: `CLOUDPAYMENTS__REQUEST_TIMEOUT_MS`.
    pub fn with(mut self, name: &str, value: &str) -> Settings {
        self.variables.push((format!("KMIC_PAYMENTS__{name}"), value.to_owned()));
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        // Nobody's own settings.
        command.env_clear().envs(self.variables.iter().cloned()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Makes an API key; the first call creates the tables.
    pub fn create_key(&self, scopes: &str) -> Result<String, String> {
        let output =
            self.command(&["keys", "create", "--name", "bench", "--scopes", scopes, "--format", "json"]).output();
        let output = output.map_err(|error| format!("cannot start {BINARY}: {error}"))?;
        let key: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let secret = key.get("secret").and_then(Value::as_str).map(str::to_owned);
        secret.ok_or_else(|| format!("no API key: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Starts the service and waits until it is ready.
    pub async fn start(&self, log: &Path) -> Result<Service, String> {
        let started = Instant::now();
        let mut service = self.launch(log)?;
        loop {
            if is_ready(self.address).await {
                service.started_in = started.elapsed();
                return Ok(service);
            }
            if let Ok(Some(status)) = service.process.try_wait() {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("the service ended while starting ({status}):\n{said}"));
            }
            if started.elapsed() > START_LIMIT {
                return Err(format!("the service is not ready after {START_LIMIT:?}"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts the service and does not wait.
    pub fn launch(&self, log: &Path) -> Result<Service, String> {
        let file = File::options().create(true).append(true).open(log).and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) = file.map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let process = self.command(&["serve"]).stdout(stdout).stderr(stderr).spawn();
        let process = process.map_err(|error| format!("cannot start {BINARY}: {error}"))?;
        Ok(Service { address: self.address, started_in: Duration::ZERO, process })
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let asked = async {
        let mut connection = Connection::open(address).await?;
        connection.send(b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await?;
        connection.receive().await.map(|answered| answered && connection.status() == 200)
    };
    asked.await.unwrap_or(false)
}

impl Service {
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to end, as a supervisor does, and waits.
    pub async fn stop(mut self) -> Result<(), String> {
        let asked = Command::new("kill").arg(self.pid().to_string()).status();
        asked.map_err(|error| format!("cannot start kill: {error}"))?;
        let started = Instant::now();
        while started.elapsed() < STOP_LIMIT {
            match self.process.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the service ended badly: {status}")),
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => return Err(format!("cannot wait for the service: {error}")),
            }
        }
        Err(format!("the service does not end within {STOP_LIMIT:?}"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Neither fails for a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

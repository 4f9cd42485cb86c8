//! What the campaign is played on: a database, the provider, and the service that dies and comes back.

use std::path::PathBuf;
use std::sync::Arc;

use cloudpayments_sandbox::{Sandbox, SandboxConfig};

use super::database::{Database, Engine};
use super::service::{Provider, Service, Settings};
use super::site::Site;
use super::sql::Sql;

/// After so many seconds the sandbox surely works on no request: it waits for a Check at most two.
pub const WORKING_TIME_S: u64 = 20;
const SCOPES: &str = "payments:read,payments:write,refunds:write,ops:write";

/// Everything that takes part.
pub struct Stage {
    pub engine: Engine,
    pub sandbox: Sandbox,
    pub site: Arc<Site>,
    pub database: Database,
    settings: Settings,
    service: Option<Service>,
}

impl Stage {
    /// Sets it up and starts the service.
    pub async fn set(engine: Engine) -> Result<Stage, String> {
        let sandbox = Sandbox::start(sandbox_config()).await.map_err(|error| format!("no sandbox: {error}"))?;
        let database = Database::create(engine, "crash-", true)?;
        let provider = Provider {
            base_url: sandbox.base_url(),
            public_id: sandbox.public_id().to_owned(),
            api_secret: sandbox.api_secret().to_owned(),
        };
        let settings = Settings::new(&database.url, &provider)?
            .with("CLOUDPAYMENTS__CONNECT_TIMEOUT_MS", "500")
            .with("CLOUDPAYMENTS__QUEUE_TIMEOUT_MS", "1000")
            .with("CLOUDPAYMENTS__REQUEST_TIMEOUT_MS", "1500")
            .with("CLOUDPAYMENTS__WORKING_TIME_S", &WORKING_TIME_S.to_string())
            // The sandbox is silent for two and a half seconds at most.
            .with("CLOUDPAYMENTS__ABANDONED_REQUEST_MS", "3000")
            .with("CLOUDPAYMENTS__BACKOFF_MS", "500")
            .with("CLOUDPAYMENTS__BREAKER_PAUSE_MS", "200")
            .with("WORKER__SETTLE_INTERVAL_MS", "200")
            .with("WORKER__EXPIRE_INTERVAL_MS", "500");
        let key = settings.create_key(SCOPES)?;
        let url = format!("http://{}", settings.address());
        sandbox.set_notify_url(&format!("{url}/v1/notifications/cloudpayments"));
        let site = Arc::new(Site::new(url, key)?);
        let mut stage = Stage { engine, sandbox, site, database, settings, service: None };
        stage.start_service().await?;
        Ok(stage)
    }

    pub async fn start_service(&mut self) -> Result<(), String> {
        self.service = Some(self.settings.start(&self.database.log()).await?);
        Ok(())
    }

    /// Starts it and does not wait: it is to be killed before it is ready.
    pub fn launch_service(&mut self) -> Result<(), String> {
        self.service = Some(self.settings.launch(&self.database.log())?);
        Ok(())
    }

    /// `kill -9`.
    pub fn kill_service(&mut self) {
        drop(self.service.take());
    }

    /// Ends the service as a supervisor does; a campaign without violations leaves nothing behind.
    pub async fn end(mut self, keep: bool) -> Result<(), String> {
        if let Some(service) = self.service.take() {
            service.stop().await?;
        }
        self.sandbox.stop().await;
        self.database.folder.disable_cleanup(keep);
        Ok(())
    }

    pub fn sql(&self) -> Sql {
        Sql::open(&self.database.url)
    }

    /// Where the database (of SQLite) and the log of the service are.
    pub fn folder(&self) -> PathBuf {
        self.database.folder.path().to_owned()
    }
}

fn sandbox_config() -> SandboxConfig {
    SandboxConfig {
        bind: "127.0.0.1:0".to_owned(),
        notification_timeout_ms: 2000,
        // A minute becomes 0.2 s: a notification that is not taken comes again soon.
        retry_time_scale: 300,
        delivery_log_limit: 1_000_000,
        ..SandboxConfig::default()
    }
}

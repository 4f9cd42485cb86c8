//! A running sandbox and its handle.

use crate::config::SandboxConfig;
use crate::engine::{DeliveryRecord, Fault, FaultCounts, Ledger};
use crate::shell::{self, Shell};
use actix_web::dev::ServerHandle;
use actix_web::rt;
use std::io::{Error, Result};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A running sandbox. Clones are handles of the same one; it stops when the last is dropped.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    shell: Arc<Shell>,
    address: SocketAddr,
    server: ServerHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The order is sent at once; the future only waits for the end.
        drop(self.server.stop(false));
    }
}

impl Sandbox {
    /// Starts a sandbox in a thread of its own, so it works from any runtime.
    pub async fn start(config: SandboxConfig) -> Result<Sandbox> {
        let listener = TcpListener::bind(&config.bind)?;
        let address = listener.local_addr()?;
        let base_url = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let shell = Arc::new(Shell::new(config, base_url.trim_end_matches('/').to_owned())?);
        let (ready, started) = oneshot::channel();
        let served = Arc::clone(&shell);
        std::thread::Builder::new()
            .name("cloudpayments-sandbox".to_owned())
            .spawn(move || rt::System::new().block_on(shell::serve(served, listener, ready)))?;
        let server = started.await.map_err(Error::other)??;
        Ok(Sandbox { inner: Arc::new(Inner { shell, address, server }) })
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// Base address of the API and of the pages, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.inner.shell.base_url.clone()
    }

    /// The Public ID it accepts.
    pub fn public_id(&self) -> &str {
        &self.inner.shell.config.public_id
    }

    /// The API Secret it accepts and signs with.
    pub fn api_secret(&self) -> &str {
        &self.inner.shell.config.api_secret
    }

    /// Sets where notifications go; the type is appended: `…/pay`.
    pub fn set_notify_url(&self, url: &str) {
        self.inner.shell.engine().set_notify_url(url);
    }

    /// Scripts a fault.
    pub fn fault(&self, fault: Fault) {
        self.inner.shell.engine().add_fault(fault);
    }

    /// Forgets the scripted faults that did not happen yet.
    pub fn clear_faults(&self) {
        self.inner.shell.engine().clear_faults();
    }

    /// How many faults happened, by kind, and how many are still to happen.
    pub fn fault_counts(&self) -> FaultCounts {
        self.inner.shell.engine().fault_counts()
    }

    /// Moves the sandbox clock forward.
    pub fn advance_clock(&self, seconds: u64) {
        self.inner.shell.advance_clock(seconds);
    }

    /// The sandbox's own account of all money.
    pub fn ledger(&self) -> Ledger {
        self.inner.shell.engine().ledger()
    }

    /// The part of that account that is about one bill.
    pub fn ledger_of(&self, invoice_id: &str) -> Ledger {
        self.inner.shell.engine().ledger_of(invoice_id)
    }

    /// Every try to deliver a notification, oldest first.
    pub fn deliveries(&self) -> Vec<DeliveryRecord> {
        self.inner.shell.engine().delivery_log()
    }

    /// Waits until nothing that is due is undelivered, ten seconds at most.
    pub async fn flush_notifications(&self) {
        if !self.inner.shell.flush().await {
            tracing::warn!("notifications are still undelivered after ten seconds");
        }
    }

    /// Stops the server; requests that are running get a second to finish.
    pub async fn stop(self) {
        self.inner.server.stop(true).await;
    }
}

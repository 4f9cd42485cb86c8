//! `[server]`: the API.

use super::reader::Reader;

/// The API.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Address and port.
    pub bind: String,
    /// Address and port of `/metrics`; none when switched off.
    pub admin_bind: Option<String>,
    /// Base of our public addresses, without a slash at its end.
    pub public_url: String,
    /// Threads.
    pub workers: usize,
    /// Largest JSON body, bytes.
    pub body_limit_bytes: usize,
    /// Requests per second and key; 0 is no limit.
    pub rate_per_second: u32,
    /// Requests at once and key.
    pub rate_burst: u32,
    /// How long a stop waits, seconds.
    pub shutdown_timeout_s: u64,
}

impl Reader<'_> {
    pub(super) fn server(&mut self) -> Option<ServerSettings> {
        let bind = self.required("server.bind").and_then(|text| self.address("server.bind", text));
        let public_url = self.url("server.public_url", false);
        let workers = self.number("server.workers", 1, 256);
        let body_limit_bytes = self.number("server.body_limit_bytes", 1024, 1_048_576);
        let rate_per_second = self.number("server.rate_per_second", 0, 1_000_000);
        let rate_burst = self.number("server.rate_burst", 0, 1_000_000);
        let shutdown_timeout_s = self.number("server.shutdown_timeout_s", 1, 600);
        let admin_bind = Some(self.raw.text("server.admin_bind"))
            .filter(|text| !text.is_empty())
            .and_then(|text| self.address("server.admin_bind", text));
        if admin_bind.is_some() && admin_bind == bind {
            self.faults.push("server.admin_bind: must not be the public address server.bind".to_owned());
        }
        Some(ServerSettings {
            admin_bind,
            bind: bind?,
            public_url: public_url?,
            workers: workers?,
            body_limit_bytes: body_limit_bytes?,
            rate_per_second: rate_per_second?,
            rate_burst: rate_burst?,
            shutdown_timeout_s: shutdown_timeout_s?,
        })
    }
}

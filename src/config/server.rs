//! `[server]`: the API.

use super::reader::{Reader, is_loopback};
use crate::http::Networks;

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
    /// Requests under way and key; 0 is no limit.
    pub max_concurrent_requests: usize,
    /// Requests without a valid key a minute and address; 0 is no limit.
    pub failed_authentications_per_minute: u32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// Sites whose pages may call the API from a browser.
    pub cors_origins: Vec<String>,
    /// How long browsers insist on TLS, seconds; 0 says nothing about it.
    pub hsts_max_age_s: u64,
    /// How long the head of a request may take, seconds.
    pub head_timeout_s: u64,
    /// How long the body of a request may take, seconds.
    pub body_timeout_s: u64,
    /// How long an idle connection stays open, seconds.
    pub keep_alive_s: u64,
    /// Connections per thread.
    pub max_connections: usize,
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
        let max_concurrent_requests = self.number("server.max_concurrent_requests", 0, 1_000_000);
        let failed_authentications_per_minute = self.number("server.failed_authentications_per_minute", 0, 1_000_000);
        let trusted_proxies = self.trusted_proxies();
        let cors_origins = self.cors_origins();
        let hsts_max_age_s = self.number("server.hsts_max_age_s", 0, 63_072_000);
        if hsts_max_age_s.is_some_and(|age| age > 0) && public_url.as_ref().is_some_and(|url| url.starts_with("http:"))
        {
            self.faults
                .push("server.hsts_max_age_s: browsers would insist on TLS, but server.public_url has none".to_owned());
        }
        let head_timeout_s = self.number("server.head_timeout_s", 1, 60);
        let body_timeout_s = self.number("server.body_timeout_s", 1, 600);
        let keep_alive_s = self.number("server.keep_alive_s", 1, 3600);
        let max_connections = self.number("server.max_connections", 1, 1_000_000);
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
            max_concurrent_requests: max_concurrent_requests?,
            failed_authentications_per_minute: failed_authentications_per_minute?,
            trusted_proxies: trusted_proxies?,
            cors_origins: cors_origins?,
            hsts_max_age_s: hsts_max_age_s?,
            head_timeout_s: head_timeout_s?,
            body_timeout_s: body_timeout_s?,
            keep_alive_s: keep_alive_s?,
            max_connections: max_connections?,
            shutdown_timeout_s: shutdown_timeout_s?,
        })
    }
    fn trusted_proxies(&mut self) -> Option<Networks> {
        let key = "server.trusted_proxies";
        let proxies = self.networks(key)?;
        if proxies.hold_everything() {
            return self.fault(key, "every caller could write its own address; name the proxies");
        }
        Some(proxies)
    }

    /// `https://host`, as browsers send it in `Origin`.
    fn cors_origins(&mut self) -> Option<Vec<String>> {
        let key = "server.cors_origins";
        let origins = self.list(key);
        let is_origin = |origin: &String| {
            let host = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
                (Some(host), _) => host,
                (None, Some(host)) if is_loopback(host) => host,
                _ => return false,
            };
            !host.is_empty() && !host.contains(['/', '*', '?', '#', '@', ' ']) && *host == host.to_lowercase()
        };
        match origins.iter().position(|origin| !is_origin(origin)) {
            Some(place) => {
                let number = place + 1;
                self.fault(
                    key,
                    format!("entry {number} is not an origin; write https://host in lower case, nothing behind it"),
                )
            }
            None => Some(origins),
        }
    }
}

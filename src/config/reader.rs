//! Reads single values and notes each fault, so that all are told at once.

use std::time::Duration;

use super::{DEFAULTS, Raw, keys_of, toml_keys};
use crate::http::Networks;
use crate::vault;

/// Settings on their way to being checked.
pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    pub(super) faults: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn fault<T>(&mut self, key: &str, text: impl std::fmt::Display) -> Option<T> {
        self.faults.push(format!("{key}: {text}"));
        None
    }

    /// A misspelt setting must not be ignored.
    pub(super) fn refuse_unknown(&mut self) {
        let known = toml_keys(DEFAULTS);
        for key in keys_of(&self.raw.0).difference(&known) {
            self.faults.push(format!("{key}: there is no such setting; see config/default.toml"));
        }
    }

    pub(super) fn required(&mut self, key: &str) -> Option<String> {
        let text = self.raw.text(key);
        if text.is_empty() { self.fault(key, "is required") } else { Some(text) }
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &str, least: u64, most: u64) -> Option<T> {
        let text = self.raw.text(key);
        match text.parse::<u64>().ok().filter(|number| (least..=most).contains(number)).map(T::try_from) {
            Some(Ok(number)) => Some(number),
            _ => self.fault(key, format!("must be a whole number from {least} to {most}")),
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.raw.text(key).parse() {
            Ok(flag) => Some(flag),
            Err(_) => self.fault(key, "must be true or false"),
        }
    }

    pub(super) fn millis(&mut self, key: &str, least: u64, most: u64) -> Option<Duration> {
        self.number(key, least, most).map(Duration::from_millis)
    }

    /// `host:port` to listen on.
    pub(super) fn address(&mut self, key: &str, text: String) -> Option<String> {
        match text.rsplit_once(':').map(|(host, port)| (host.is_empty(), port.parse::<u16>())) {
            Some((false, Ok(_))) => Some(text),
            _ => self.fault(key, "must be an address and a port, for example 127.0.0.1:8080"),
        }
    }

    /// `https://…` without a user, or `http://` on a loopback address or where `plain` allows it.
    pub(super) fn url(&mut self, key: &str, plain: bool) -> Option<String> {
        let text = self.required(key)?;
        let trimmed = text.trim_end_matches('/').to_owned();
        if trimmed.contains('@') {
            return self.fault(key, "must hold no user, no password and no @: it is printed, and given to others");
        }
        if trimmed.starts_with("https://") && trimmed.len() > "https://".len() {
            return Some(trimmed);
        }
        match trimmed.strip_prefix("http://") {
            Some(rest) if plain || is_loopback(rest) => Some(trimmed),
            Some(_) => self.fault(key, "must be https; plain http is for loopback addresses"),
            None => self.fault(key, "must begin with https://"),
        }
    }

    /// The entries of a list, without blanks and empty ones.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let text = self.raw.text(key);
        text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    }

    pub(super) fn networks(&mut self, key: &str) -> Option<Networks> {
        match Networks::parse(self.list(key).iter().map(String::as_str)) {
            Ok(networks) => Some(networks),
            Err(fault) => self.fault(key, fault),
        }
    }

    pub(super) fn key(&mut self, key: &str, text: &str) -> Option<[u8; 32]> {
        match vault::from_base64(text.trim()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            Some(bytes) => Some(bytes),
            None => self.fault(key, "must be 32 bytes in base64; make one with: head -c 32 /dev/urandom | base64"),
        }
    }
}

/// Whether the host at the beginning of `rest` is this machine.
pub(super) fn is_loopback(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

//! Notification settings: per type on or off, address and HTTP method.
//!
//! Limits: `Encoding` and `Format` are kept and shown but bodies are always UTF-8 in the
//! CloudPayments format.

use super::params::{Invalid, Params};
use super::{ApiAnswer, NotificationKind};
use serde::Serialize;
use std::collections::BTreeMap;

/// How a notification is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum HttpMethod {
    Get,
    Post,
}

/// Settings of one type.
#[derive(Clone, Debug)]
struct Setting {
    enabled: bool,
    /// An address of its own instead of the common base.
    address: Option<String>,
    method: HttpMethod,
    encoding: String,
    format: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SettingModel<'a> {
    is_enabled: bool,
    address: Option<String>,
    http_method: HttpMethod,
    encoding: &'a str,
    format: &'a str,
}

/// Where a notification goes and how.
pub(super) struct Target {
    pub(super) url: String,
    pub(super) method: HttpMethod,
}

/// Settings of all types.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    base: Option<String>,
    kinds: BTreeMap<NotificationKind, Setting>,
}

impl Settings {
    pub(super) fn new(base: Option<String>) -> Settings {
        let setting = Setting {
            enabled: true,
            address: None,
            method: HttpMethod::Post,
            encoding: "UTF8".to_owned(),
            format: "CloudPayments".to_owned(),
        };
        let kinds = NotificationKind::ALL.map(|kind| (kind, setting.clone()));
        Settings { base, kinds: kinds.into() }
    }

    pub(super) fn set_base(&mut self, base: Option<String>) {
        self.base = base;
    }

    pub(super) fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    fn address(&self, kind: NotificationKind) -> Option<String> {
        let own = self.kinds.get(&kind).and_then(|setting| setting.address.clone());
        let common = || self.base.as_ref().map(|base| format!("{}/{}", base.trim_end_matches('/'), kind.name()));
        own.or_else(common)
    }

    /// Where this type goes; `None` when it is off or has no address.
    pub(super) fn target(&self, kind: NotificationKind) -> Option<Target> {
        let setting = self.kinds.get(&kind).filter(|setting| setting.enabled)?;
        Some(Target { url: self.address(kind)?, method: setting.method })
    }

    pub(super) fn get(&self, kind: NotificationKind) -> ApiAnswer {
        let Some(setting) = self.kinds.get(&kind) else {
            return ApiAnswer::refusal("Not found");
        };
        let address = self.address(kind);
        ApiAnswer::model(SettingModel {
            is_enabled: setting.enabled && address.is_some(),
            address,
            http_method: setting.method,
            encoding: &setting.encoding,
            format: &setting.format,
        })
    }

    pub(super) fn update(&mut self, kind: NotificationKind, params: &Params) -> Result<ApiAnswer, Invalid> {
        if kind == NotificationKind::Check {
            return Err(Invalid("Check settings cannot be changed".to_owned()));
        }
        let enabled = params.flag("IsEnabled").unwrap_or(false);
        let address = params.text("Address");
        if enabled && address.is_none() {
            return Err(Invalid::required("Address"));
        }
        let method = match params.text("HttpMethod").map(|text| text.to_uppercase()).as_deref() {
            None | Some("GET") => HttpMethod::Get,
            Some("POST") => HttpMethod::Post,
            Some(_) => return Err(Invalid::value("HttpMethod")),
        };
        let encoding = params.text("Encoding").unwrap_or_else(|| "UTF8".to_owned());
        let format = params.text("Format").unwrap_or_else(|| "CloudPayments".to_owned());
        self.kinds.insert(kind, Setting { enabled, address, method, encoding, format });
        Ok(ApiAnswer::done())
    }
}

//! Settings: embedded defaults, a file, the environment; checked as a whole, every fault listed.
//!
//! One file a section: what it becomes, and how it is read.

mod cloudpayments;
mod database;
mod hide;
mod operators;
mod privacy;
mod reader;
mod server;
mod work;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use config::{Config, Environment, File, FileFormat};
use serde_json::Value;

use crate::app::{OperatorSettings, ReconciliationSettings, RetentionSettings};
use crate::http::SupportContacts;
use crate::store::Target;
use crate::worker::Intervals;
use reader::{Reader, is_loopback};

pub use cloudpayments::CloudPaymentsSettings;
pub use database::DatabaseSettings;
pub use privacy::PrivacySettings;
pub use server::ServerSettings;
pub use work::LogSettings;

const DEFAULTS: &str = include_str!("../../config/default.toml");
/// Settings whose value is never printed.
const SECRETS: [&str; 5] = [
    "cloudpayments.api_secret",
    "cloudpayments.api_secret_previous",
    "privacy.encryption_key",
    "privacy.previous_keys",
    "database.url",
];

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The API.
    pub server: ServerSettings,
    /// The database.
    pub database: DatabaseSettings,
    /// The provider.
    pub cloudpayments: CloudPaymentsSettings,
    /// How long a payment can be paid when the site does not say, seconds.
    pub default_expires_in_s: i64,
    /// Encryption of personal data.
    pub privacy: PrivacySettings,
    /// Whom payers can call.
    pub support: SupportContacts,
    /// Pauses of the workers.
    pub intervals: Intervals,
    /// Comparing with the provider's register.
    pub reconciliation: ReconciliationSettings,
    /// How long personal data is kept.
    pub retention: RetentionSettings,
    /// What needs a second key.
    pub operators: OperatorSettings,
    /// Logs.
    pub log: LogSettings,
}

/// Everything that is wrong with the settings.
#[derive(Debug)]
pub struct Faults(pub Vec<String>);

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "the settings have {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| writeln!(f, "  - {fault}"))
    }
}

/// Settings as they were read, before they are checked.
pub struct Raw(Value);

impl Raw {
    /// Reads the embedded defaults, the file and the environment.
    ///
    /// # Errors
    /// When the file cannot be read or is not TOML; what stands in it is not quoted.
    pub fn load(file: Option<&Path>) -> Result<Raw, Faults> {
        let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        let mut name = "the settings".to_owned();
        if let Some(path) = file {
            name = format!("--config {}", path.display());
            // Of an error of the system the kind alone: its words are about the file, those of a decoder about what is in it.
            let text =
                std::fs::read_to_string(path).map_err(|error| Faults(vec![format!("{name}: {}", error.kind())]))?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        let environment = Environment::with_prefix("KMIC_PAYMENTS").prefix_separator("__").separator("__");
        builder
            .add_source(environment)
            .build()
            .and_then(Config::try_deserialize::<Value>)
            .map(Raw)
            .map_err(|error| Faults(vec![format!("{name}: {}", hide::place_of(&error))]))
    }

    /// Overrides one setting, for `dev` and tests.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Raw {
        let pointer = format!("/{}", key.replace('.', "/"));
        if let Some(place) = self.0.pointer_mut(&pointer) {
            *place = value.into();
        }
        self
    }

    /// The value of one setting as text; empty when not set.
    pub fn text(&self, key: &str) -> String {
        text_of(self.get(key))
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.0.pointer(&format!("/{}", key.replace('.', "/")))
    }

    /// The address of the database alone, for commands that need nothing else.
    ///
    /// # Errors
    /// When it is not one.
    pub fn database_target(&self) -> Result<Target, Faults> {
        Target::parse(&self.text("database.url")).map_err(|fault| Faults(vec![format!("database.url: {fault}")]))
    }

    /// Every setting and its value, one a line, secrets left out.
    pub fn redacted(&self) -> String {
        let mut lines = String::new();
        let known = toml_keys(DEFAULTS);
        for key in keys_of(&self.0) {
            let value = text_of(self.get(&key));
            // A misspelt name may be that of a secret.
            let hidden = SECRETS.contains(&key.as_str()) || !known.contains(&key);
            // The address of a server may hold a password, the path of a file does not.
            let hidden = hidden && !(key == "database.url" && value.starts_with("sqlite://"));
            let shown = match (hidden, value.is_empty()) {
                (true, false) => "[set, not shown]".to_owned(),
                (_, true) => "[not set]".to_owned(),
                (false, false) => hide::without_user(&value),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{key} = {shown}");
        }
        lines
    }

    /// Checks everything.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<Settings, Faults> {
        let mut reader = Reader { raw: self, faults: Vec::new() };
        reader.refuse_unknown();
        let settings = reader.settings();
        match settings {
            Some(settings) if reader.faults.is_empty() => Ok(settings),
            _ => Err(Faults(reader.faults)),
        }
    }
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| text_of(Some(item))).collect::<Vec<_>>().join(","),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// `section.key` of every setting.
fn keys_of(value: &Value) -> BTreeSet<String> {
    let sections = value.as_object().into_iter().flatten();
    sections
        .flat_map(|(section, inner)| match inner.as_object() {
            Some(keys) => keys.keys().map(|key| format!("{section}.{key}")).collect(),
            None => vec![section.clone()],
        })
        .collect()
}

impl Reader<'_> {
    /// Reads every section before giving up, so that all faults are found.
    fn settings(&mut self) -> Option<Settings> {
        let server = self.server();
        let database = self.database();
        let cloudpayments = self.cloudpayments();
        let default_expires_in_s =
            self.number("payments.default_expires_in_s", 60, 2_592_000).map(|number: u32| i64::from(number));
        let privacy = self.privacy();
        let intervals = self.intervals();
        let reconciliation = self.reconciliation();
        let retention = self.retention();
        let operators = self.operators();
        let log = self.log();
        if let (Some(server), Some(cloudpayments)) = (&server, &cloudpayments) {
            self.refuse_hidden_sources(server, cloudpayments);
        }
        Some(Settings {
            server: server?,
            database: database?,
            cloudpayments: cloudpayments?,
            default_expires_in_s: default_expires_in_s?,
            privacy: privacy?,
            support: SupportContacts {
                phone: self.raw.text("support.phone"),
                email: self.raw.text("support.email"),
                provider_email: self.raw.text("support.provider_email"),
            },
            intervals: intervals?,
            reconciliation: reconciliation?,
            retention: retention?,
            operators: operators?,
            log: log?,
        })
    }

    /// Behind a proxy that is not named, every notification seems to come from the proxy.
    fn refuse_hidden_sources(&mut self, server: &ServerSettings, cloudpayments: &CloudPaymentsSettings) {
        let networks = &cloudpayments.notification_networks;
        let behind_proxy = is_loopback(&server.bind) && server.trusted_proxies.is_empty();
        if !networks.is_empty() && behind_proxy && !networks.contain(Ipv4Addr::LOCALHOST.into()) {
            self.faults.push(
                "cloudpayments.notification_networks: server.bind is reached through a proxy only, so name the proxy in \
                 server.trusted_proxies, or all notifications would be refused"
                    .to_owned(),
            );
        }
    }
}

fn toml_keys(toml: &str) -> BTreeSet<String> {
    let parsed = Config::builder().add_source(File::from_str(toml, FileFormat::Toml)).build();
    parsed.and_then(Config::try_deserialize::<Value>).map(|value| keys_of(&value)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Raw {
        let config = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml)).build().unwrap();
        Raw(config.try_deserialize().unwrap())
    }

    #[test]
    fn every_missing_setting_is_named_at_once() {
        let faults = defaults().check().unwrap_err().0.join("\n");
        for key in
            ["server.public_url", "cloudpayments.public_id", "cloudpayments.api_secret", "privacy.encryption_key"]
        {
            assert!(faults.contains(key), "{key} is missing in:\n{faults}");
        }
    }

    #[test]
    fn contradictions_and_unknown_keys_are_faults() {
        let mut raw = complete()
            .with("database.url", "mysql://x")
            .with("cloudpayments.base_url", "http://example.kz")
            .with("server.workers", "0");
        raw.0["server"]["prot"] = Value::from(1);
        let faults = raw.check().unwrap_err().0.join("\n");
        for key in ["database.url", "cloudpayments.base_url", "server.workers", "server.prot"] {
            assert!(faults.contains(key), "{key} is missing in:\n{faults}");
        }
    }

    #[test]
    fn callers_contradictions_are_told_all_at_once() {
        let raw = complete()
            .with("server.public_url", "http://127.0.0.1:8080")
            .with("server.hsts_max_age_s", "31536000")
            .with("server.trusted_proxies", serde_json::json!(["10.0.0.0/8", "0.0.0.0/0"]))
            .with("server.cors_origins", "https://desk.kmic.kz,*")
            .with("server.head_timeout_s", "0")
            .with("cloudpayments.notification_networks", "91.142.84.0/33");
        let faults = raw.check().unwrap_err().0;
        for key in [
            "server.hsts_max_age_s",
            "server.trusted_proxies",
            "server.cors_origins",
            "server.head_timeout_s",
            "cloudpayments.notification_networks",
        ] {
            assert_eq!(faults.iter().filter(|fault| fault.starts_with(key)).count(), 1, "{key} in {faults:?}");
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        let taken = |origin: &str| complete().with("server.cors_origins", origin).check().is_ok();
        for origin in ["https://desk.kmic.kz", "https://desk.kmic.kz:8443", "http://localhost:3000", "http://127.0.0.1"]
        {
            assert!(taken(origin), "{origin}");
        }
        for origin in [
            "http://desk.kmic.kz",
            "https://",
            "https://desk.kmic.kz/",
            "https://Desk.kmic.kz",
            "desk.kmic.kz",
            "*",
            "null",
        ] {
            assert!(!taken(origin), "{origin}");
        }
    }

    #[test]
    fn notifications_behind_an_unnamed_proxy_are_a_contradiction() {
        let fenced = |bind: &str, proxies: &str| {
            let raw = complete().with("server.bind", bind).with("server.trusted_proxies", proxies);
            raw.with("cloudpayments.notification_networks", "91.142.84.0/27").check()
        };
        let faults = fenced("127.0.0.1:8080", "").unwrap_err().0;
        assert!(faults[0].contains("server.trusted_proxies"), "{faults:?}");
        assert!(fenced("127.0.0.1:8080", "127.0.0.1").is_ok() && fenced("0.0.0.0:8080", "").is_ok());
    }

    #[test]
    fn secrets_are_not_printed() {
        let raw = complete().with("cloudpayments.api_secret", "very-secret");
        assert!(!raw.redacted().contains("very-secret"));
        assert!(!format!("{:?}", raw.check().unwrap()).contains("very-secret"));
    }

    fn complete() -> Raw {
        defaults()
            .with("server.public_url", "https://pay.kmic.kz/")
            .with("cloudpayments.public_id", "pk_1")
            .with("cloudpayments.api_secret", "secret")
            .with("privacy.encryption_key", crate::vault::base64(&[1; 32]))
    }

    #[test]
    fn complete_settings_pass() {
        assert_eq!(complete().check().unwrap().server.public_url, "https://pay.kmic.kz");
    }
}

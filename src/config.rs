//! Settings: embedded defaults, a file, the environment; checked as a whole, every fault listed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::app::{ReconciliationSettings, RetentionSettings};
use crate::cloudpayments::BreakerSettings;
use crate::http::SupportContacts;
use crate::store::Target;
use crate::vault;
use crate::worker::Intervals;

const DEFAULTS: &str = include_str!("../config/default.toml");
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
    /// Logs.
    pub log: LogSettings,
}

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

/// The database.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Where it is.
    pub target: Target,
    /// Threads that read.
    pub readers: usize,
    /// Threads that write.
    pub writers: usize,
    /// Writes in one commit.
    pub batch_limit: usize,
    /// Tasks that may wait.
    pub queue_limit: usize,
    /// Apply missing migrations at the start.
    pub migrate_on_start: bool,
}

/// The provider.
#[derive(Debug, Clone)]
pub struct CloudPaymentsSettings {
    /// Its API.
    pub base_url: String,
    /// The terminal.
    pub public_id: String,
    /// Its password, and the key of its signatures.
    pub api_secret: SecretString,
    /// The password before, for signatures only.
    pub api_secret_previous: Option<SecretString>,
    /// The script of the payment window.
    pub widget_script_url: String,
    /// Requests at once.
    pub max_concurrent_requests: usize,
    /// Requests that may wait.
    pub max_queued_requests: usize,
    /// How long they may wait.
    pub queue_timeout: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long the provider may work on a request, seconds.
    pub working_time_s: i64,
    /// How long a request that was given up counts as running at the provider, from its sending.
    pub abandoned_after: Duration,
    /// How long fewer requests run after "too many requests".
    pub backoff: Duration,
    /// When to stop asking a provider in trouble.
    pub breaker: BreakerSettings,
}

/// Encryption of personal data.
#[derive(Clone)]
pub struct PrivacySettings {
    /// The key in use.
    pub encryption_key: [u8; 32],
    /// Keys that were used before.
    pub previous_keys: Vec<[u8; 32]>,
}

impl std::fmt::Debug for PrivacySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivacySettings(..)")
    }
}

/// Logs.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// JSON lines; plain text otherwise.
    pub json: bool,
    /// As for `RUST_LOG`.
    pub filter: String,
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
    /// When the file cannot be read or is not TOML.
    pub fn load(file: Option<&Path>) -> Result<Raw, Faults> {
        let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(path) = file {
            builder = builder.add_source(File::from(path).format(FileFormat::Toml).required(true));
        }
        let environment = Environment::with_prefix("KMIC_PAYMENTS").prefix_separator("__").separator("__");
        builder
            .add_source(environment)
            .build()
            .and_then(Config::try_deserialize::<Value>)
            .map(Raw)
            .map_err(|error| Faults(vec![error.to_string()]))
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
        for key in keys_of(&self.0) {
            let value = text_of(self.get(&key));
            let shown = match (SECRETS.contains(&key.as_str()), value.is_empty()) {
                (true, false) => "[set, not shown]".to_owned(),
                (_, true) => "[not set]".to_owned(),
                (false, false) => value,
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

struct Reader<'a> {
    raw: &'a Raw,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn fault<T>(&mut self, key: &str, text: impl std::fmt::Display) -> Option<T> {
        self.faults.push(format!("{key}: {text}"));
        None
    }

    /// A misspelt setting must not be ignored.
    fn refuse_unknown(&mut self) {
        let known = toml_keys(DEFAULTS);
        for key in keys_of(&self.raw.0).difference(&known) {
            self.faults.push(format!("{key}: there is no such setting; see config/default.toml"));
        }
    }

    fn required(&mut self, key: &str) -> Option<String> {
        let text = self.raw.text(key);
        if text.is_empty() { self.fault(key, "is required") } else { Some(text) }
    }

    fn number<T: TryFrom<u64>>(&mut self, key: &str, least: u64, most: u64) -> Option<T> {
        let text = self.raw.text(key);
        match text.parse::<u64>().ok().filter(|number| (least..=most).contains(number)).map(T::try_from) {
            Some(Ok(number)) => Some(number),
            _ => self.fault(key, format!("must be a whole number from {least} to {most}")),
        }
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        match self.raw.text(key).parse() {
            Ok(flag) => Some(flag),
            Err(_) => self.fault(key, "must be true or false"),
        }
    }

    fn millis(&mut self, key: &str, least: u64, most: u64) -> Option<Duration> {
        self.number(key, least, most).map(Duration::from_millis)
    }

    /// `host:port` to listen on.
    fn address(&mut self, key: &str, text: String) -> Option<String> {
        match text.rsplit_once(':').map(|(host, port)| (host.is_empty(), port.parse::<u16>())) {
            Some((false, Ok(_))) => Some(text),
            _ => self.fault(key, "must be an address and a port, for example 127.0.0.1:8080"),
        }
    }

    /// `https://…`, or `http://` on a loopback address or where `plain` allows it.
    fn url(&mut self, key: &str, plain: bool) -> Option<String> {
        let text = self.required(key)?;
        let trimmed = text.trim_end_matches('/').to_owned();
        if trimmed.starts_with("https://") && trimmed.len() > "https://".len() {
            return Some(trimmed);
        }
        match trimmed.strip_prefix("http://") {
            Some(rest) if plain || is_loopback(rest) => Some(trimmed),
            Some(_) => self.fault(key, "must be https; plain http is for loopback addresses"),
            None => self.fault(key, "must begin with https://"),
        }
    }

    fn key(&mut self, key: &str, text: &str) -> Option<[u8; 32]> {
        match vault::from_base64(text.trim()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            Some(bytes) => Some(bytes),
            None => self.fault(key, "must be 32 bytes in base64; make one with: head -c 32 /dev/urandom | base64"),
        }
    }

    /// Reads every section before giving up, so that all faults are found.
    fn settings(&mut self) -> Option<Settings> {
        let server = self.server();
        let database = self.database();
        let cloudpayments = self.cloudpayments();
        let default_expires_in_s =
            self.number("payments.default_expires_in_s", 60, 2_592_000).map(|number: u32| i64::from(number));
        let privacy = self.privacy();
        let settle_interval = self.millis("worker.settle_interval_ms", 10, 3_600_000);
        let expire_interval = self.millis("worker.expire_interval_ms", 10, 3_600_000);
        let reconcile_interval = self.millis("worker.reconcile_interval_ms", 10, 3_600_000);
        let seal_interval = self.millis("worker.seal_interval_ms", 10, 3_600_000);
        let reconciliation = self.reconciliation();
        let retention_interval = self.millis("worker.retention_interval_ms", 10, 86_400_000);
        let retention = self.retention();
        let log = self.log();
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
            intervals: Intervals {
                settle: settle_interval?,
                expire: expire_interval?,
                reconcile: reconcile_interval?,
                seal: seal_interval?,
                retention: retention_interval?,
            },
            reconciliation: reconciliation?,
            retention: retention?,
            log: log?,
        })
    }

    fn server(&mut self) -> Option<ServerSettings> {
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

    fn database(&mut self) -> Option<DatabaseSettings> {
        let target = match Target::parse(&self.raw.text("database.url")) {
            Ok(target) => Some(target),
            Err(fault) => self.fault("database.url", fault),
        };
        let readers = self.number("database.readers", 1, 64);
        let writers = self.number("database.writers", 1, 64);
        let batch_limit = self.number("database.batch_limit", 1, 1024);
        let queue_limit = self.number("database.queue_limit", 1, 1_000_000);
        let migrate_on_start = self.flag("database.migrate_on_start");
        Some(DatabaseSettings {
            target: target?,
            readers: readers?,
            writers: writers?,
            batch_limit: batch_limit?,
            queue_limit: queue_limit?,
            migrate_on_start: migrate_on_start?,
        })
    }

    fn cloudpayments(&mut self) -> Option<CloudPaymentsSettings> {
        let plain = self.flag("cloudpayments.allow_plain_http");
        let base_url = self.url("cloudpayments.base_url", plain.unwrap_or(false));
        let public_id = self.required("cloudpayments.public_id");
        let api_secret = self.required("cloudpayments.api_secret");
        let previous = self.raw.text("cloudpayments.api_secret_previous");
        if !previous.is_empty() && api_secret.as_deref() == Some(&previous) {
            self.faults.push("cloudpayments.api_secret_previous: is the same as api_secret; leave it out".to_owned());
        }
        let widget_script_url = self.url("cloudpayments.widget_script_url", plain.unwrap_or(false));
        let max_concurrent_requests = self.number("cloudpayments.max_concurrent_requests", 1, 100_000);
        let max_queued_requests = self.number("cloudpayments.max_queued_requests", 0, 1_000_000);
        let queue_timeout = self.millis("cloudpayments.queue_timeout_ms", 1, 60_000);
        let connect_timeout = self.millis("cloudpayments.connect_timeout_ms", 1, 60_000);
        let request_timeout = self.millis("cloudpayments.request_timeout_ms", 1, 300_000);
        let working_time_s = self.number("cloudpayments.working_time_s", 10, 3600).map(|number: u32| i64::from(number));
        let abandoned_after = self.millis("cloudpayments.abandoned_request_ms", 0, 3_600_000);
        let backoff = self.millis("cloudpayments.backoff_ms", 0, 600_000);
        let failures = self.number("cloudpayments.breaker_failures", 1, 1_000_000);
        let pause = self.millis("cloudpayments.breaker_pause_ms", 1, 600_000);
        Some(CloudPaymentsSettings {
            base_url: base_url?,
            public_id: public_id?,
            api_secret: SecretString::from(api_secret?),
            api_secret_previous: (!previous.is_empty()).then(|| SecretString::from(previous)),
            widget_script_url: widget_script_url?,
            max_concurrent_requests: max_concurrent_requests?,
            max_queued_requests: max_queued_requests?,
            queue_timeout: queue_timeout?,
            connect_timeout: connect_timeout?,
            request_timeout: request_timeout?,
            working_time_s: working_time_s?,
            abandoned_after: abandoned_after?,
            backoff: backoff?,
            breaker: BreakerSettings { failures: failures?, pause: pause? },
        })
    }

    fn privacy(&mut self) -> Option<PrivacySettings> {
        let current =
            self.required("privacy.encryption_key").and_then(|text| self.key("privacy.encryption_key", &text));
        let texts = self.raw.text("privacy.previous_keys");
        let previous: Vec<Option<[u8; 32]>> = texts
            .split(',')
            .filter(|text| !text.trim().is_empty())
            .map(|text| self.key("privacy.previous_keys", text))
            .collect();
        Some(PrivacySettings { encryption_key: current?, previous_keys: previous.into_iter().collect::<Option<_>>()? })
    }

    fn reconciliation(&mut self) -> Option<ReconciliationSettings> {
        let seconds = |number: u32| i64::from(number);
        let daily = self.flag("reconciliation.daily");
        let delay_s = self.number("reconciliation.delay_s", 600, 43_200).map(seconds);
        let overlap_s = self.number("reconciliation.overlap_s", 60, 86_400).map(seconds);
        let check_at_start = self.flag("reconciliation.check_at_start");
        Some(ReconciliationSettings {
            daily: daily?,
            delay_s: delay_s?,
            overlap_s: overlap_s?,
            check_at_start: check_at_start?,
        })
    }

    /// Days; 0 keeps for good.
    fn days(&mut self, key: &str) -> Option<Option<i64>> {
        self.number(key, 0, 36_500).map(|days: u32| (days > 0).then_some(i64::from(days)))
    }

    fn retention(&mut self) -> Option<RetentionSettings> {
        let notification_bodies_days = self.days("retention.notification_bodies_days");
        let unmatched_bodies_days = self.days("retention.unmatched_bodies_days");
        let idempotency_answers_days = self.days("retention.idempotency_answers_days");
        let quarantine_days = self.days("retention.quarantine_days");
        let access_records_days = self.days("retention.access_records_days");
        let payer_data_days = self.days("retention.payer_data_days");
        Some(RetentionSettings {
            notification_bodies_days: notification_bodies_days?,
            unmatched_bodies_days: unmatched_bodies_days?,
            idempotency_answers_days: idempotency_answers_days?,
            quarantine_days: quarantine_days?,
            access_records_days: access_records_days?,
            payer_data_days: payer_data_days?,
        })
    }

    fn log(&mut self) -> Option<LogSettings> {
        let json = match self.raw.text("log.format").as_str() {
            "json" => Some(true),
            "text" => Some(false),
            _ => self.fault("log.format", "must be json or text"),
        };
        let filter = self.raw.text("log.filter");
        if filter.parse::<tracing_subscriber::EnvFilter>().is_err() {
            self.faults
                .push("log.filter: is not a filter; write for example info or kmic_payments=debug,warn".to_owned());
        }
        Some(LogSettings { json: json?, filter })
    }
}

impl CloudPaymentsSettings {
    /// For the sandbox, which has to know the same secret.
    pub fn secret(&self) -> &str {
        self.api_secret.expose_secret()
    }
}

fn is_loopback(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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
            .with("privacy.encryption_key", vault::base64(&[1; 32]))
    }

    #[test]
    fn complete_settings_pass() {
        assert_eq!(complete().check().unwrap().server.public_url, "https://pay.kmic.kz");
    }
}

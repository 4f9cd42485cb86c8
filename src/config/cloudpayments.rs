//! `[cloudpayments]`: the provider.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::reader::Reader;
use crate::cloudpayments::BreakerSettings;
use crate::http::Networks;

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
    /// Where its notifications may come from; from anywhere when empty.
    pub notification_networks: Networks,
}

impl CloudPaymentsSettings {
    /// For the sandbox, which has to know the same secret.
    pub fn secret(&self) -> &str {
        self.api_secret.expose_secret()
    }
}

impl Reader<'_> {
    pub(super) fn cloudpayments(&mut self) -> Option<CloudPaymentsSettings> {
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
        let notification_networks = self.networks("cloudpayments.notification_networks");
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
            notification_networks: notification_networks?,
        })
    }
}

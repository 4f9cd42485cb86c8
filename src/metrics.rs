//! Figures for operators, in the text format of Prometheus. No label holds an id or personal data.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// All figures of one process.
pub struct Metrics {
    registry: Registry,
    requests: HistogramVec,
    provider: HistogramVec,
    not_sent: IntCounterVec,
    circuit: IntGaugeVec,
    surprises: IntCounterVec,
    notifications: IntCounterVec,
    events: IntCounterVec,
    discrepancies: IntCounterVec,
    chargebacks: IntCounterVec,
    gap: IntGauge,
    outdated_keys: IntCounter,
    limited: IntCounterVec,
}

/// Upper bounds of the buckets of durations, seconds.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0];

impl Metrics {
    /// Figures that all stand at zero.
    ///
    /// # Errors
    /// When two figures have one name, which is a defect.
    pub fn new() -> Result<Metrics, String> {
        let durations = |name: &str, help: &str, labels: &[&str]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)
        };
        let counts = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let build = || -> prometheus::Result<Metrics> {
            let metrics = Metrics {
                registry: Registry::new(),
                requests: durations(
                    "kmic_payments_http_request_seconds",
                    "Requests to the API by route pattern and status.",
                    &["method", "route", "status"],
                )?,
                provider: durations(
                    "kmic_payments_provider_call_seconds",
                    "Calls to CloudPayments by operation and outcome: answered, refused, not_sent, unknown.",
                    &["operation", "outcome"],
                )?,
                not_sent: counts(
                    "kmic_payments_provider_not_sent_total",
                    "Calls to CloudPayments of which surely nothing was done, by reason; credentials wants a look at once.",
                    &["reason"],
                )?,
                circuit: IntGaugeVec::new(
                    Opts::new(
                        "kmic_payments_provider_circuit_open",
                        "1 while nothing is sent to CloudPayments because of this trouble: unreachable, credentials_refused.",
                    ),
                    &["trouble"],
                )?,
                surprises: counts(
                    "kmic_payments_surprises_total",
                    "Money and messages that nobody expected, by kind; each is recorded, shown and announced, too.",
                    &["kind"],
                )?,
                notifications: counts(
                    "kmic_payments_notifications_total",
                    "Notifications by kind and verdict; bad_signature and unmatched want a look.",
                    &["kind", "verdict"],
                )?,
                events: counts(
                    "kmic_payments_worker_items_total",
                    "Lost answers asked about and unpaid payments looked at, by worker.",
                    &["worker"],
                )?,
                discrepancies: counts(
                    "kmic_payments_discrepancies_total",
                    "Disagreements of our books with the provider's register that were found, by kind, booked ones too.",
                    &["kind"],
                )?,
                chargebacks: counts(
                    "kmic_payments_chargebacks_total",
                    "Chargebacks that were found, by whether their payment is known.",
                    &["payment"],
                )?,
                gap: IntGauge::new(
                    "kmic_payments_register_gap",
                    "0: money may move. 1: what the provider did before the start is being read. 2: the database is too old.",
                )?,
                outdated_keys: IntCounter::new(
                    "kmic_payments_outdated_key_requests_total",
                    "Requests with an API key that was rotated; `keys list` shows which keys are still in use.",
                )?,
                limited: counts(
                    "kmic_payments_limited_requests_total",
                    "Requests answered with 429, by limit: rate, concurrency, failed_authentication.",
                    &["limit"],
                )?,
            };
            metrics.registry.register(Box::new(metrics.requests.clone()))?;
            metrics.registry.register(Box::new(metrics.provider.clone()))?;
            metrics.registry.register(Box::new(metrics.not_sent.clone()))?;
            metrics.registry.register(Box::new(metrics.circuit.clone()))?;
            metrics.registry.register(Box::new(metrics.surprises.clone()))?;
            metrics.registry.register(Box::new(metrics.notifications.clone()))?;
            metrics.registry.register(Box::new(metrics.events.clone()))?;
            metrics.registry.register(Box::new(metrics.discrepancies.clone()))?;
            metrics.registry.register(Box::new(metrics.chargebacks.clone()))?;
            metrics.registry.register(Box::new(metrics.gap.clone()))?;
            metrics.registry.register(Box::new(metrics.outdated_keys.clone()))?;
            metrics.registry.register(Box::new(metrics.limited.clone()))?;
            Ok(metrics)
        };
        build().map_err(|error| format!("the metrics cannot be set up: {error}"))
    }

    /// A request to the API was answered.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[method, route, &status.to_string()]).observe(took.as_secs_f64());
    }

    /// A call to the provider came to something.
    pub fn provider_call(&self, operation: &str, outcome: &str, took: Duration) {
        self.provider.with_label_values(&[operation, outcome]).observe(took.as_secs_f64());
    }

    /// Surely nothing was done by a call to the provider.
    pub fn provider_not_sent(&self, reason: &str) {
        self.not_sent.with_label_values(&[reason]).inc();
    }

    /// Whether nothing is sent to the provider because of this trouble.
    pub fn provider_circuit(&self, trouble: &str, open: bool) {
        self.circuit.with_label_values(&[trouble]).set(i64::from(open));
    }

    /// Something happened that nobody expected. A write that the database made us repeat counts twice.
    pub fn surprise(&self, kind: &str) {
        self.surprises.with_label_values(&[kind]).inc();
    }

    /// A notification was taken or refused.
    pub fn notification(&self, kind: &str, verdict: &str) {
        self.notifications.with_label_values(&[kind, verdict]).inc();
    }

    /// A worker dealt with so many things.
    pub fn worker(&self, worker: &str, items: usize) {
        self.events.with_label_values(&[worker]).inc_by(u64::try_from(items).unwrap_or(0));
    }

    /// Our books and the register do not agree, or did not until it was booked.
    pub fn discrepancy(&self, kind: &str) {
        self.discrepancies.with_label_values(&[kind]).inc();
    }

    /// A chargeback was found.
    pub fn chargeback(&self, of_known_payment: bool) {
        self.chargebacks.with_label_values(&[if of_known_payment { "known" } else { "unknown" }]).inc();
    }

    /// Whether what the provider did before is read back, see [`crate::app::Gap`].
    pub fn gap(&self, level: i64) {
        self.gap.set(level);
    }

    /// A request came with an API key that was rotated.
    pub fn outdated_key(&self) {
        self.outdated_keys.inc();
    }

    /// A request was refused because a caller had too much of something, see [`crate::error::Limit`].
    pub fn limited(&self, limit: &str) {
        self.limited.with_label_values(&[limit]).inc();
    }

    /// All figures as text.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

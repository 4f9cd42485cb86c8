//! What can be set about a sandbox before it starts.

/// Settings of one sandbox; [`Default`] is ready to use.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Address to listen at; port 0 takes a free one.
    pub bind: String,
    /// Address under which payers' browsers see the sandbox, when it is not the one it listens at.
    pub public_url: Option<String>,
    /// Public ID: the user name of Basic authorization.
    pub public_id: String,
    /// API Secret: the password, and the key of notification signatures.
    pub api_secret: String,
    /// Where notifications go: the type is appended as the last part of the path (`…/pay`).
    pub notify_url: Option<String>,
    /// Requests processed at the same time before 429; 0 is no limit.
    pub max_concurrent_requests: usize,
    /// Divides the pauses between delivery tries: 1000 makes a minute 60 ms.
    pub retry_time_scale: u32,
    /// `/test` without any `Authorization` answers instead of 401.
    pub test_without_auth: bool,
    /// Id of the first transaction.
    pub first_transaction_id: i64,
    /// Currency when a request names none.
    pub default_currency: String,
    /// Pause between a result and the first try to notify about it.
    pub notification_delay_ms: u32,
    /// Time limit of one notification, Check included.
    pub notification_timeout_ms: u32,
    /// Notifications as `application/json` instead of a form.
    pub json_notifications: bool,
    /// A cryptogram packet works once; later ones are refused.
    pub single_use_cryptograms: bool,
    /// `X-Request-ID` repeats refusals too, not only successes.
    pub replay_declines: bool,
    /// `/orders/create` refuses a request without `Email`.
    pub order_email_required: bool,
    /// Tries to deliver that the log of notifications keeps.
    pub delivery_log_limit: usize,
    /// Server threads.
    pub workers: usize,
}

impl Default for SandboxConfig {
    fn default() -> SandboxConfig {
        SandboxConfig {
            bind: "127.0.0.1:8090".to_owned(),
            public_url: None,
            public_id: "pk_5a9db0c5000000000000000000000".to_owned(),
            api_secret: "sandbox-api-secret-for-tests-only".to_owned(),
            notify_url: None,
            max_concurrent_requests: 30,
            retry_time_scale: 1,
            test_without_auth: false,
            first_transaction_id: 3_600_000_001,
            default_currency: "RUB".to_owned(),
            notification_delay_ms: 10,
            notification_timeout_ms: 30_000,
            json_notifications: false,
            single_use_cryptograms: false,
            replay_declines: true,
            order_email_required: true,
            delivery_log_limit: 10_000,
            workers: 2,
        }
    }
}

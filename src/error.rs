//! What can go wrong, told apart where a program would act differently. Knows nothing of HTTP.

use crate::domain::scope::Scope;

/// One faulty field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer into the body (`/amount/value`), or the name of a query parameter or header.
    pub pointer: String,
    /// Stable snake_case code.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub detail: String,
}

impl Fault {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Fault {
        Fault { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Why an operation is not possible in the state that the payment is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The payment is not in a state that allows it.
    InvalidState,
    /// A capture, void or 3-D Secure call for the payment is under way, or its outcome is not known yet.
    OperationInProgress,
    /// More than what is left to give back.
    RefundExceedsCaptured,
    /// More than what is held.
    CaptureExceedsAuthorized,
    /// The `md` is not the transaction that waits for authentication.
    WrongTransaction,
    /// The provider refused the call; nothing changed.
    ProviderRefused,
    /// The payment has as many refunds as one payment may have.
    TooManyRefunds,
    /// So many comparisons with the register run already.
    TooManyReconciliations,
    /// The register holds money for this bill, of a payment that is lost with an older copy of the database.
    PaidBeforeRestore,
    /// The register holds a refund of this payment whose request is lost with an older copy of the database, or may be.
    RefundedBeforeRestore,
    /// Personal data that is to be erased is still needed: a payment is not over.
    PayerInUse,
    /// Personal data that is to be erased was written before payers had keys.
    KeysNotRotated,
    /// A refund above the configured sum needs a second operator.
    ApprovalRequired,
    /// Who asked for an approval cannot decide about it, and who proposed to close a loss cannot close it.
    SecondOperatorRequired,
}

impl Conflict {
    /// Stable snake_case code.
    pub fn code(self) -> &'static str {
        match self {
            Conflict::InvalidState => "invalid_state",
            Conflict::OperationInProgress => "operation_in_progress",
            Conflict::RefundExceedsCaptured => "refund_exceeds_captured",
            Conflict::CaptureExceedsAuthorized => "capture_exceeds_authorized",
            Conflict::WrongTransaction => "wrong_transaction",
            Conflict::ProviderRefused => "provider_refused",
            Conflict::TooManyRefunds => "too_many_refunds",
            Conflict::TooManyReconciliations => "too_many_reconciliations",
            Conflict::PaidBeforeRestore => "paid_before_restore",
            Conflict::RefundedBeforeRestore => "refunded_before_restore",
            Conflict::PayerInUse => "payer_in_use",
            Conflict::KeysNotRotated => "keys_not_rotated",
            Conflict::ApprovalRequired => "approval_required",
            Conflict::SecondOperatorRequired => "second_operator_required",
        }
    }
}

/// What a caller had too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Requests of one API key in a time.
    Rate,
    /// Requests of one API key at once.
    Concurrency,
    /// Requests of one address without a valid API key.
    FailedAuthentication,
}

impl Limit {
    /// Stable snake_case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Rate => "rate",
            Limit::Concurrency => "concurrency",
            Limit::FailedAuthentication => "failed_authentication",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Limit::Rate => "too many requests with this API key; wait and repeat",
            Limit::Concurrency => {
                "too many requests with this API key are under way; repeat when one of them is answered"
            }
            Limit::FailedAuthentication => {
                "too many requests without a valid API key came from this address; wait and send a valid one"
            }
        }
    }
}

/// What money waits for after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapWait {
    /// The register is being read.
    Reading,
    /// The provider does not answer.
    Unanswered,
    /// The provider does not take our credentials.
    CredentialsRefused,
    /// The database is known to be older than what this service did.
    OlderCopy,
}

impl GapWait {
    /// For a caller: what it is and that this request did nothing. One that was sent before it may have done something.
    fn detail(self) -> &'static str {
        match self {
            GapWait::Reading => {
                "the service has just started and is still asking CloudPayments what happened before; this request did nothing; repeat it with the same Idempotency-Key"
            }
            GapWait::Unanswered => {
                "the service has started and CloudPayments does not answer what happened before; until it does nobody may be charged; this request did nothing; repeat it with the same Idempotency-Key; /health/ready tells an operator what to do"
            }
            GapWait::CredentialsRefused => {
                "the service has started and CloudPayments refuses its credentials, so what happened before is not known and nobody may be charged; this request did nothing; an operator has to act, see /health/ready; then repeat with the same Idempotency-Key"
            }
            GapWait::OlderCopy => {
                "the database is an older copy and what happened since is being read back from CloudPayments; this request did nothing; repeat it with the same Idempotency-Key"
            }
        }
    }

    /// For an operator: what to do.
    pub fn advice(self) -> &'static str {
        match self {
            GapWait::Reading => {
                "money and Check wait until the register of CloudPayments is read; that takes some requests; if it does not end, the log and GET /v1/reconciliations tell why"
            }
            GapWait::Unanswered => {
                "money and Check wait until CloudPayments has answered once since the start, because without its register an older copy of the database cannot be told from the newest; look at cloudpayments.base_url and the network; only if this database is surely the newest, start with reconciliation.check_at_start = false"
            }
            GapWait::CredentialsRefused => {
                "money and Check wait, because CloudPayments refuses the credentials (HTTP 401); set cloudpayments.public_id and cloudpayments.api_secret as in its cabinet and start again"
            }
            GapWait::OlderCopy => {
                "the database is an older copy; money and Check wait until ten minutes have passed and the register is read to its end; then look at GET /v1/discrepancies?status=open and close what is lost one by one"
            }
        }
    }
}

/// The one error of the service. The text of each variant may be shown to the caller; what only we may read goes to
/// `internal` and to the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be read at all: not JSON, not UTF-8, nested too deep, a header missing.
    #[error("the request cannot be read")]
    Malformed(Vec<Fault>),
    /// Valid JSON with faulty values.
    #[error("the request has faulty values")]
    Invalid(Vec<Fault>),
    /// No valid API key.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// A link of ours whose signature does not hold.
    #[error("the link is not valid")]
    BadLink,
    /// The key lacks a scope.
    #[error("the API key lacks the scope {}", .0.as_str())]
    MissingScope(Scope),
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Not possible in this state.
    #[error("{detail}")]
    Conflict {
        /// Why.
        why: Conflict,
        /// What the caller can do.
        detail: String,
    },
    /// `expected_refundable` is not what is refundable.
    #[error("{0}")]
    PreconditionFailed(String),
    /// The Idempotency-Key was used with another request.
    #[error(
        "this Idempotency-Key was used for another request; repeat a request byte for byte, and take a new key for a new one"
    )]
    IdempotencyKeyReused,
    /// The first request with this key is still running.
    #[error("the first request with this Idempotency-Key is still running; ask again with the same key")]
    IdempotencyInProgress,
    /// The body is not JSON by its Content-Type.
    #[error("send the body as application/json")]
    UnsupportedMediaType,
    /// The body came too slowly or stopped.
    #[error("the body did not arrive within {limit_s} seconds; send it whole, without pausing")]
    TooSlow {
        /// The limit, seconds.
        limit_s: u64,
    },
    /// The body is over the limit.
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Too many requests. Nothing was done.
    #[error("{}", .limit.advice())]
    RateLimited {
        /// Of what there were too many.
        limit: Limit,
        /// When to try again.
        retry_after_s: u64,
    },
    /// Money waits until it is known what the provider did since the database last changed. Nothing was done.
    #[error("{}", .0.detail())]
    GapUnread(GapWait),
    /// Personal data cannot be opened with the keys that the service has. The request did nothing; what only we may read is with it.
    #[error(
        "personal data is held that the service cannot open with its encryption keys; this request did nothing; an operator has to act, the log \
         tells how; then repeat"
    )]
    KeyMissing(String),
    /// The request did nothing; it may be repeated.
    #[error("{detail}")]
    Unavailable {
        /// What the caller may know.
        detail: String,
        /// What only we may know.
        internal: String,
        /// When to try again.
        retry_after_s: u64,
    },
    /// The database does not answer, or failed in passing; what only we may know is with it.
    #[error("the service cannot reach its database; repeat with the same Idempotency-Key")]
    DatabaseUnavailable(String),
    /// The database failed where nobody can tell whether the request was done: it did not say whether it keeps what was
    /// written, or what came of a call to the provider could not be written down. What only we may know is with it. The worker
    /// finds the truth.
    #[error(
        "the database failed before it was sure what became of the request: it may have been done, at CloudPayments, too. Repeat it \
         with the same Idempotency-Key, or read the payment; do not send another request in its place"
    )]
    OutcomeUnknown(String),
    /// A defect or a broken part of ours.
    #[error("an internal error; repeat with the same Idempotency-Key, or ask with the request id")]
    Internal(String),
}

/// The result of nearly everything.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A conflict with its advice.
    pub fn conflict(why: Conflict, detail: impl Into<String>) -> Error {
        Error::Conflict { why, detail: detail.into() }
    }

    /// A defect: `text` goes to the log only.
    pub fn internal(text: impl Into<String>) -> Error {
        Error::Internal(text.into())
    }

    /// The database does not answer.
    pub fn database_unavailable(internal: impl Into<String>) -> Error {
        Error::DatabaseUnavailable(internal.into())
    }

    /// One faulty field.
    pub fn invalid(pointer: &str, code: &'static str, detail: impl Into<String>) -> Error {
        Error::Invalid(vec![Fault::new(pointer, code, detail)])
    }
}

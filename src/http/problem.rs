//! What HTTP thinks about an error: RFC 9457 problem documents, from the one table of codes.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;

use super::html;
use crate::error::{Error, Fault, GapWait};

/// The media type of every error.
pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// One code that clients may act upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// Stable name.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The same words for every occurrence.
    pub title: &'static str,
}

const fn row(code: &'static str, status: u16, title: &'static str) -> Row {
    Row { code, status, title }
}

/// An operator has to set a key and to start the service again.
const RETRY_AFTER_KEY_S: u64 = 60;
/// A database is back soon, or not for long.
const RETRY_AFTER_DATABASE_S: u64 = 1;
const INTERNAL: Row = row("internal_error", 500, "Something of ours is broken");

/// Every code, the only place with status codes of errors.
pub(super) const TABLE: &[Row] = &[
    row("malformed_request", 400, "The request cannot be read"),
    row("idempotency_key_required", 400, "The Idempotency-Key header is missing"),
    row("unauthenticated", 401, "No valid API key"),
    row("invalid_signature", 401, "The signature does not hold"),
    row("missing_scope", 403, "The API key lacks a scope"),
    row("invalid_link", 403, "The link is not valid"),
    row("source_not_allowed", 403, "Notifications are not taken from this address"),
    row("not_found", 404, "There is no such thing"),
    row("method_not_allowed", 405, "The path does not take this method"),
    row("request_timeout", 408, "The body did not arrive in time"),
    row("invalid_state", 409, "Not possible in the state of the payment"),
    row("operation_in_progress", 409, "Another operation of the payment is under way"),
    row("refund_exceeds_captured", 409, "More than what is left to give back"),
    row("capture_exceeds_authorized", 409, "More than what is held"),
    row("wrong_transaction", 409, "Not the transaction that waits for authentication"),
    row("provider_refused", 409, "CloudPayments refused the operation"),
    row("too_many_refunds", 409, "The payment has as many refunds as it can have"),
    row("too_many_reconciliations", 409, "As many reconciliations as can be are under way"),
    row(
        "paid_before_restore",
        409,
        "Money for this bill is of no payment held here; it may be lost with a restored database",
    ),
    row(
        "refunded_before_restore",
        409,
        "Money was given back by no request held here; it may be lost with a restored database",
    ),
    row("payer_in_use", 409, "A payment of the payer is not over"),
    row("keys_not_rotated", 409, "Some data was written before payers had keys"),
    row("approval_required", 409, "The refund needs a second operator"),
    row("second_operator_required", 409, "Another operator has to decide"),
    row("idempotency_in_progress", 409, "The first request with this Idempotency-Key is still running"),
    row("refundable_differs", 412, "What is refundable differs from what was expected"),
    row("body_too_large", 413, "The body is too large"),
    row("uri_too_long", 414, "The address is too long"),
    row("unsupported_media_type", 415, "The body is not JSON by its Content-Type"),
    row("invalid_request", 422, "The request has faulty values"),
    row("idempotency_key_reused", 422, "The Idempotency-Key was used for another request"),
    row("rate_limited", 429, "Too many requests"),
    row("headers_too_large", 431, "The headers are too large"),
    row("outcome_unknown", 500, "What became of the request is not known yet; it may have been done"),
    INTERNAL,
    row("register_gap_unread", 503, "What CloudPayments did before is not read back yet; this request did nothing"),
    row(
        "encryption_key_missing",
        503,
        "Personal data cannot be opened with the keys of the service; this request did nothing",
    ),
    row("unavailable", 503, "Not available right now; this request did nothing"),
];

/// An error on its way out. The middleware writes it down, because only there the id of the request is known.
#[derive(Debug)]
pub(super) struct Problem {
    row: &'static Row,
    detail: String,
    errors: Vec<Fault>,
    retry_after_s: Option<u64>,
    allow: Option<String>,
    internal: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: Vec<DocumentFault<'a>>,
}

#[derive(Serialize)]
struct DocumentFault<'a> {
    pointer: &'a str,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    /// A problem of the table; a code that is not there is an internal error.
    pub(super) fn new(code: &str, detail: impl Into<String>) -> Problem {
        let row = TABLE.iter().find(|row| row.code == code).unwrap_or(&INTERNAL);
        Problem { row, detail: detail.into(), errors: Vec::new(), retry_after_s: None, allow: None, internal: None }
    }

    /// 404 for an id of another kind or shape: names the prefix, never the text that was sent.
    pub(super) fn wrong_id(noun: &str, prefix: &str) -> Problem {
        Problem::new("not_found", format!("there is no such {noun}; an id of this kind begins with {prefix}"))
    }

    /// 405 with what is allowed.
    pub(super) fn method_not_allowed(allow: &str) -> Problem {
        Problem {
            allow: Some(allow.to_owned()),
            ..Problem::new("method_not_allowed", format!("this path takes {allow}"))
        }
    }

    /// What an error of the framework means, told by its status alone: its text may quote the request.
    pub(super) fn from_status(status: StatusCode) -> Problem {
        match status.as_u16() {
            404 => Problem::new("not_found", "there is nothing at this address; /docs lists every address"),
            405 => Problem::new("method_not_allowed", "the path does not take this method"),
            408 => Problem::new("request_timeout", "send the whole body without pausing"),
            413 => Problem::new("body_too_large", "the body is too large"),
            415 => Problem::new("unsupported_media_type", "send the body as application/json"),
            400..=499 => {
                Problem::new("malformed_request", "the request cannot be read; look at its address, headers and body")
            }
            503 => Problem {
                retry_after_s: Some(1),
                ..Problem::new("unavailable", "not available right now; repeat the request")
            },
            _ => Problem::new("internal_error", Error::internal("").to_string()),
        }
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The answer. What only we may read goes to the log, here and nowhere else.
    pub(super) fn answer(&self, request_id: &str) -> HttpResponse {
        self.log_internal();
        let mut response = HttpResponse::build(self.status());
        response.insert_header((header::CONTENT_TYPE, CONTENT_TYPE));
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            response.insert_header((header::ALLOW, allow));
        }
        if let Some(challenge) = self.challenge() {
            response.insert_header(challenge);
        }
        response.body(self.document(request_id))
    }

    /// What a payer's browser is shown instead.
    pub(super) fn page(&self) -> HttpResponse {
        self.log_internal();
        html::refused(self.status())
    }

    fn log_internal(&self) {
        if let Some(internal) = &self.internal {
            tracing::error!(code = self.row.code, error = internal.as_str(), "a request failed: {internal}");
        }
    }

    fn challenge(&self) -> Option<(HeaderName, HeaderValue)> {
        match self.row.code {
            "unauthenticated" => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            "invalid_signature" => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Content-HMAC"))),
            _ => None,
        }
    }

    pub(super) fn document(&self, request_id: &str) -> Vec<u8> {
        let errors = self
            .errors
            .iter()
            .map(|fault| DocumentFault { pointer: &fault.pointer, code: fault.code, detail: &fault.detail })
            .collect();
        let document = Document {
            r#type: type_of(self.row.code),
            title: self.row.title,
            status: self.row.status,
            detail: &self.detail,
            code: self.row.code,
            request_id,
            errors,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

/// When the gap may be read.
fn retry_after_gap_s(wait: GapWait) -> u64 {
    match wait {
        GapWait::Reading => 2,
        GapWait::Unanswered => 10,
        GapWait::CredentialsRefused | GapWait::OlderCopy => 60,
    }
}

/// The `type` of a code.
pub(super) fn type_of(code: &str) -> String {
    format!("urn:kmic-payments:problem:{code}")
}

/// One fault is told in full, several are counted.
fn summary(error: &Error, faults: &[Fault]) -> String {
    match faults {
        [] => error.to_string(),
        [fault] if fault.pointer.is_empty() => fault.detail.clone(),
        [fault] => format!("{}: {}", fault.pointer, fault.detail),
        several => format!("{error}: {} faults, see errors", several.len()),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let detail = match &error {
            Error::Malformed(faults) | Error::Invalid(faults) => summary(&error, faults),
            other => other.to_string(),
        };
        match error {
            Error::Malformed(errors) => {
                let missing_key = errors.iter().any(|fault| fault.code == "idempotency_key_required");
                let code = if missing_key { "idempotency_key_required" } else { "malformed_request" };
                Problem { errors, ..Problem::new(code, detail) }
            }
            Error::Invalid(errors) => Problem { errors, ..Problem::new("invalid_request", detail) },
            Error::Unauthenticated(_) => Problem::new("unauthenticated", detail),
            Error::BadLink => Problem::new("invalid_link", detail),
            Error::MissingScope(_) => Problem::new("missing_scope", detail),
            Error::NotFound(_) => Problem::new("not_found", detail),
            Error::Conflict { why, .. } => Problem::new(why.code(), detail),
            Error::PreconditionFailed(_) => Problem::new("refundable_differs", detail),
            Error::IdempotencyKeyReused => Problem::new("idempotency_key_reused", detail),
            Error::IdempotencyInProgress => {
                Problem { retry_after_s: Some(1), ..Problem::new("idempotency_in_progress", detail) }
            }
            Error::UnsupportedMediaType => Problem::new("unsupported_media_type", detail),
            Error::TooSlow { .. } => Problem::new("request_timeout", detail),
            Error::TooLarge { .. } => Problem::new("body_too_large", detail),
            Error::RateLimited { retry_after_s, .. } => {
                Problem { retry_after_s: Some(retry_after_s), ..Problem::new("rate_limited", detail) }
            }
            Error::GapUnread(wait) => {
                Problem { retry_after_s: Some(retry_after_gap_s(wait)), ..Problem::new("register_gap_unread", detail) }
            }
            Error::KeyMissing(internal) => Problem {
                retry_after_s: Some(RETRY_AFTER_KEY_S),
                internal: Some(internal),
                ..Problem::new("encryption_key_missing", detail)
            },
            Error::Unavailable { internal, retry_after_s, .. } => Problem {
                retry_after_s: Some(retry_after_s),
                internal: Some(internal),
                ..Problem::new("unavailable", detail)
            },
            Error::DatabaseUnavailable(internal) => Problem {
                retry_after_s: Some(RETRY_AFTER_DATABASE_S),
                internal: Some(internal),
                ..Problem::new("unavailable", detail)
            },
            Error::OutcomeUnknown(internal) => Problem {
                retry_after_s: Some(RETRY_AFTER_DATABASE_S),
                internal: Some(internal),
                ..Problem::new("outcome_unknown", detail)
            },
            Error::Internal(internal) => Problem { internal: Some(internal), ..Problem::new("internal_error", detail) },
        }
    }
}

/// For the framework's own use; what goes out is made by [`Problem::answer`].
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row.code)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        HttpResponse::new(self.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::scope::Scope;
    use crate::error::{Conflict, Limit};

    #[test]
    fn codes_are_unique_and_statuses_are_errors() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!((400..600).contains(&row.status));
            assert!(
                !TABLE[index + 1..].iter().any(|other| other.code == row.code || other.title == row.title),
                "{row:?}"
            );
        }
    }

    #[test]
    fn every_error_has_its_row() {
        let conflicts = [
            Conflict::InvalidState,
            Conflict::OperationInProgress,
            Conflict::RefundExceedsCaptured,
            Conflict::CaptureExceedsAuthorized,
            Conflict::WrongTransaction,
            Conflict::ProviderRefused,
            Conflict::TooManyRefunds,
            Conflict::TooManyReconciliations,
            Conflict::PaidBeforeRestore,
            Conflict::RefundedBeforeRestore,
            Conflict::PayerInUse,
            Conflict::KeysNotRotated,
            Conflict::ApprovalRequired,
            Conflict::SecondOperatorRequired,
        ];
        for why in conflicts {
            assert_eq!(Problem::from(Error::conflict(why, "x")).row.code, why.code());
        }
        let cases = [
            (Error::Malformed(vec![]), 400),
            (Error::invalid("/a", "b", "c"), 422),
            (Error::Unauthenticated("x"), 401),
            (Error::BadLink, 403),
            (Error::MissingScope(Scope::OpsWrite), 403),
            (Error::NotFound("payment"), 404),
            (Error::PreconditionFailed("x".to_owned()), 412),
            (Error::IdempotencyKeyReused, 422),
            (Error::IdempotencyInProgress, 409),
            (Error::UnsupportedMediaType, 415),
            (Error::TooLarge { limit_bytes: 1 }, 413),
            (Error::TooSlow { limit_s: 1 }, 408),
            (Error::RateLimited { limit: Limit::Rate, retry_after_s: 1 }, 429),
            (Error::GapUnread(GapWait::OlderCopy), 503),
            (Error::KeyMissing("x".to_owned()), 503),
            (Error::database_unavailable("x"), 503),
            (Error::OutcomeUnknown("x".to_owned()), 500),
            (Error::internal("x"), 500),
        ];
        for (error, status) in cases {
            assert_eq!(Problem::from(error).row.status, status);
        }
    }

    #[test]
    fn what_is_internal_is_not_shown() {
        let problem = Problem::from(Error::internal("password=hunter2"));
        let document = String::from_utf8(problem.document("req_1")).unwrap();
        assert!(!document.contains("hunter2"));
        assert!(document.contains("\"request_id\":\"req_1\""));
        assert!(!document.contains("errors"));
    }

    #[test]
    fn says_what_to_do_in_headers() {
        let header = |response: &HttpResponse, name: HeaderName| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let answer = Problem::from(Error::IdempotencyInProgress).answer("r");
        assert_eq!(header(&answer, header::RETRY_AFTER).as_deref(), Some("1"));
        assert_eq!(header(&answer, header::CONTENT_TYPE).as_deref(), Some(CONTENT_TYPE));
        let answer = Problem::from(Error::Unauthenticated("x")).answer("r");
        assert_eq!(header(&answer, header::WWW_AUTHENTICATE).as_deref(), Some("Bearer"));
        let answer = Problem::method_not_allowed("GET, POST").answer("r");
        assert_eq!((answer.status().as_u16(), header(&answer, header::ALLOW).as_deref()), (405, Some("GET, POST")));
    }
}

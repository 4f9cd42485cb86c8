//! The headers that every answer has: its id, what browsers must not do with it, and when a caller's key ends.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue, HttpDate, TryIntoHeaderValue as _};

use super::request_ids::RequestIds;
use super::server::Shared;
use crate::app::Outdated;
use crate::clock::Timestamp;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
/// Of everything that is not a page: it loads nothing, and no page shows it in a frame. Pages bring their own.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// What an answer gets beside what its handler wrote.
pub(super) struct AnswerHeaders {
    ids: RequestIds,
    no_store: bool,
    /// `Strict-Transport-Security`, where the settings say that a proxy with TLS stands in front.
    strict_transport: Option<HeaderValue>,
}

impl AnswerHeaders {
    /// For a request to `path`.
    pub(super) fn new(ids: RequestIds, path: &str, shared: Option<&Shared>) -> AnswerHeaders {
        // The documentation is the same for everybody; all else is about one caller or one moment.
        let is_public = path.starts_with("/docs") || path == "/openapi.json";
        let strict_transport = shared.and_then(|shared| shared.strict_transport.clone());
        AnswerHeaders { ids, no_store: !is_public, strict_transport }
    }

    /// The id that the log has, for problem documents.
    pub(super) fn recorded_id(&self) -> &str {
        &self.ids.recorded
    }

    pub(super) fn write_to(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.ids.answered) {
            headers.insert(REQUEST_ID, value);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
            headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        if let Some(value) = &self.strict_transport {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
        }
        if self.no_store {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
}

/// `max-age` in seconds; nothing for 0.
pub(super) fn strict_transport(max_age_s: u64) -> Option<HeaderValue> {
    (max_age_s > 0).then(|| HeaderValue::from_str(&format!("max-age={max_age_s}")).ok()).flatten()
}

/// Tells the holder of a rotated key: `Deprecation` (RFC 9745) since when, `Sunset` (RFC 8594) until when it works.
pub(super) fn announce_end(headers: &mut HeaderMap, outdated: Outdated) {
    let seconds = |at: Timestamp| at.micros() / 1_000_000;
    if let Ok(since) = HeaderValue::from_str(&format!("@{}", seconds(outdated.since))) {
        headers.insert(DEPRECATION, since);
    }
    let until = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds(outdated.until)).unwrap_or(0));
    if let Ok(until) = HttpDate::from(until).try_into_value() {
        headers.insert(SUNSET, until);
    }
}

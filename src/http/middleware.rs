//! What holds for every request: an id, a log line, safe headers, errors as problem documents, panics contained.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpMessage as _, HttpResponse, ResponseError};
use tracing::{Instrument as _, Span};

use super::answer_headers::{self, AnswerHeaders, REQUEST_ID};
use super::extract::RequestContext;
use super::problem::{self, Problem};
use super::server::Shared;
use super::{routes, text};
use crate::domain::id::RequestId;

pub(super) const MAX_REQUEST_ID: usize = 64;
/// More digits and nothing else may be a telephone number or an identification number.
const MAX_PLAIN_NUMBER: usize = 10;

/// Longest address, bytes: a notification by GET has all of its fields there.
const MAX_ADDRESS: usize = 16_384;
/// Names and values of all headers together, bytes. The server itself takes at most 96 headers.
const MAX_HEADERS: usize = 32_768;
/// Methods that are named in logs and figures.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"];

/// The outermost layer.
pub(super) async fn observe(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let (headers, span) = begin(&request);
    let method = name_of(request.method());
    let handled = match refuse_oversized(&request) {
        Some(problem) => Ok(Ok(request.into_response(problem.answer(headers.id())))),
        None => {
            read_head_as_get(&mut request);
            contain_panics(next.call(request)).instrument(span.clone()).await
        }
    };
    let _in_span = span.entered();
    match handled {
        Ok(Ok(response)) => {
            let response = finish(response, &headers);
            log(&response, method, started.elapsed());
            Ok(response)
        }
        Ok(Err(error)) => Err(unrouted(&error, &headers, method, started.elapsed())),
        Err(Panicked) => Err(unrouted(
            &Problem::from(crate::error::Error::internal("a handler panicked")).into(),
            &headers,
            method,
            started.elapsed(),
        )),
    }
}

/// Notes who asks and under which ids.
fn begin(request: &ServiceRequest) -> (AnswerHeaders, Span) {
    let shared = request.app_data::<Data<Shared>>();
    let id = request_id(request);
    let recorded_id = recorded_id(request, &id);
    // Of the highest level, so that no filter takes the ids from the lines of the request.
    let span = tracing::error_span!("request", request.id = id.as_str(), request.recorded_as = tracing::field::Empty);
    if recorded_id != id {
        span.record("request.recorded_as", recorded_id.as_str());
    }
    let peer = request.peer_addr().map(|peer| peer.ip());
    let client = peer.zip(shared).map(|(peer, shared)| shared.trusted_proxies.client(peer, request.headers()));
    request.extensions_mut().insert(RequestContext { recorded_id, key_id: None, client, outdated: None });
    (AnswerHeaders::new(id, request.path(), shared.map(|shared| shared.get_ref())), span)
}

/// A made-up method would be a figure of its own, and may be a card number.
fn name_of(method: &Method) -> &'static str {
    METHODS.into_iter().find(|known| method.as_str() == *known).unwrap_or("(other)")
}

fn refuse_oversized(request: &ServiceRequest) -> Option<Problem> {
    let address = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    if address > MAX_ADDRESS {
        return Some(Problem::new("uri_too_long", format!("the address is longer than {MAX_ADDRESS} bytes")));
    }
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    (headers > MAX_HEADERS)
        .then(|| Problem::new("headers_too_large", format!("the headers have more than {MAX_HEADERS} bytes together")))
}

/// HEAD is answered like GET; the server itself leaves the body out.
fn read_head_as_get(request: &mut ServiceRequest) {
    if *request.method() == Method::HEAD && routes::takes_head(request.path()) {
        request.head_mut().method = Method::GET;
    }
}

/// The caller's id when it is harmless in a log, else a new one.
fn request_id(request: &ServiceRequest) -> String {
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
    sent.map_or_else(|| new_id(request), str::to_owned)
}

/// What goes into the history under a request's id. History is never erased, so a name or a number that a caller chose
/// must not get there: only ids that cannot hold one are kept, the others are replaced and the log line has both.
fn recorded_id(request: &ServiceRequest, id: &str) -> String {
    let is_ours = RequestId::parse(id).is_some();
    if is_ours || is_random_number(id) { id.to_owned() } else { new_id(request) }
}

/// A UUID or a trace id: 32 hexadecimal digits, of which some are letters.
fn is_random_number(id: &str) -> bool {
    let digits: Vec<u8> = id.bytes().filter(|byte| *byte != b'-').collect();
    let dashes = id.len().saturating_sub(digits.len());
    digits.len() == 32
        && matches!(dashes, 0 | 4)
        && digits.iter().all(u8::is_ascii_hexdigit)
        && digits.iter().any(u8::is_ascii_alphabetic)
}

fn new_id(request: &ServiceRequest) -> String {
    match request.app_data::<Data<Shared>>() {
        Some(shared) => RequestId::generate(shared.clock.now(), shared.ids.as_ref()).as_str().to_owned(),
        None => String::new(),
    }
}

pub(super) fn is_sane(id: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.bytes().all(harmless)
        && !is_long_number(id)
        && !text::holds_card_number(id)
}

/// The numbers of people have no letters. UUIDs, ULIDs and trace ids have some.
fn is_long_number(id: &str) -> bool {
    let digits = id.bytes().filter(u8::is_ascii_digit).count();
    digits > MAX_PLAIN_NUMBER && !id.bytes().any(|byte| byte.is_ascii_alphabetic())
}

struct Panicked;

/// A panic of one request ends that request only, with an answer.
async fn contain_panics<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// Writes errors as problem documents and sets the headers that every answer has.
fn finish(response: ServiceResponse<BoxBody>, headers: &AnswerHeaders) -> ServiceResponse<BoxBody> {
    let problem = match response.response().error() {
        Some(error) => Some(answer_to(error, headers.id())),
        None if is_bare_error(&response) => Some(Problem::from_status(response.status()).answer(headers.id())),
        None => None,
    };
    let mut response = match problem {
        Some(answer) => response.into_response(answer),
        None => response,
    };
    let outdated = response.request().extensions().get::<RequestContext>().and_then(|context| context.outdated);
    headers.write_to(response.headers_mut());
    if let Some(outdated) = outdated {
        answer_headers::announce_end(response.headers_mut(), outdated);
    }
    response
}

fn answer_to(error: &actix_web::Error, id: &str) -> HttpResponse {
    match error.as_error::<Problem>() {
        Some(problem) => problem.answer(id),
        None => Problem::from_status(error.as_response_error().status_code()).answer(id),
    }
}

/// An error that the framework or a bundled page answered without a body of ours.
fn is_bare_error(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != problem::CONTENT_TYPE)
}

/// One line per request. The pattern of the route, never the address: ids and query strings stay out.
fn log(response: &ServiceResponse<BoxBody>, method: &str, took: Duration) {
    let route = response.request().match_pattern();
    let extensions = response.request().extensions();
    let key = extensions.get::<RequestContext>().and_then(|context| context.key_id.as_ref());
    if let Some(shared) = response.request().app_data::<Data<Shared>>() {
        // Unknown addresses are one route: a scanner must not make a figure of each.
        let route = route.as_deref().unwrap_or("(unknown)");
        shared.metrics.request(method, route, response.status().as_u16(), took);
    }
    write_line(method, route.as_deref(), response.status(), took, key.map_or("", |key| key.as_str()));
}

fn write_line(method: &str, route: Option<&str>, status: StatusCode, took: Duration, key: &str) {
    let route = route.unwrap_or("(unknown)");
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    tracing::info!(
        http.method = method,
        http.route = route,
        http.status = status,
        duration_ms,
        api_key.id = key,
        "{method} {route} answered {status} in {duration_ms} ms"
    );
}

/// An answer to a request that is gone: the framework sends it as it is.
fn unrouted(error: &actix_web::Error, headers: &AnswerHeaders, method: &str, took: Duration) -> actix_web::Error {
    let mut response = answer_to(error, headers.id());
    headers.write_to(response.headers_mut());
    write_line(method, None, response.status(), took, "");
    let (head, body) = response.into_parts();
    let headers = head.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Finished { status: head.status(), headers, body: body.try_into_bytes().unwrap_or_default().to_vec() }.into()
}

/// A whole answer in the place of an error.
#[derive(Debug)]
struct Finished {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)
    }
}

impl ResponseError for Finished {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status);
        for header in &self.headers {
            response.insert_header(header.clone());
        }
        response.body(self.body.clone())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, read_body, try_call_service};
    use actix_web::{App, web};

    use super::*;

    async fn panics() -> HttpResponse {
        panic!("card 4242424242424242")
    }

    #[actix_web::test]
    async fn a_panic_becomes_an_answer_that_tells_nothing() {
        let app = init_service(App::new().wrap(from_fn(observe)).route("/", web::get().to(panics))).await;
        let request = TestRequest::get().uri("/").insert_header(("X-Request-Id", "mine")).to_request();
        let error = try_call_service(&app, request).await.unwrap_err();
        let response = error.error_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers().get(REQUEST_ID).unwrap(), "mine");
        let body = String::from_utf8(response.into_body().try_into_bytes().unwrap().to_vec()).unwrap();
        assert!(
            body.contains("\"code\":\"internal_error\"")
                && body.contains("\"request_id\":\"mine\"")
                && !body.contains("4242"),
            "{body}"
        );
    }

    #[actix_web::test]
    async fn errors_of_the_framework_become_problems() {
        let quote = || async { Err::<HttpResponse, _>(actix_web::error::ErrorBadRequest("quoted request")) };
        let app = init_service(App::new().wrap(from_fn(observe)).route("/v1/x", web::get().to(quote))).await;
        let request = TestRequest::get().uri("/v1/x").insert_header(("X-Request-Id", "mine")).to_request();
        let response = call_service(&app, request).await;
        assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), problem::CONTENT_TYPE);
        assert_eq!(response.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
        let body = String::from_utf8(read_body(response).await.to_vec()).unwrap();
        assert!(body.contains("malformed_request") && !body.contains("quoted"), "{body}");
    }

    #[test]
    fn only_random_numbers_are_recorded() {
        for id in ["0f8fad5b-d9cb-469f-a165-70867728950e", "4bf92f3577b34da6a3ce929d0e0e4736"] {
            assert!(is_random_number(id), "{id}");
        }
        for id in ["", "a.akhmetova", "77011234567", "8c3e", &"7".repeat(32), &"-".repeat(36)] {
            assert!(!is_random_number(id), "{id}");
        }
    }

    #[test]
    fn request_ids_are_harmless() {
        for id in [
            "abc",
            "A-1_b.c",
            "1234567890",
            "2026-11-28.1",
            "a5d3c9e1-bf2a-4abc-8242-424242424242",
            "01KAQ0J5M8X2V9C4T7B1N6R3ED",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            &"x".repeat(64),
        ] {
            assert!(is_sane(id), "{id}");
        }
        for id in ["", "a b", "a\nb", "a\"b", "ключ", &"x".repeat(65), "4242424242424242"] {
            assert!(!is_sane(id), "{id}");
        }
        for number in ["77015550142", "7-701-555.01_42", "960101300123", "1790000000000"] {
            assert!(!is_sane(number), "{number}");
        }
    }
}

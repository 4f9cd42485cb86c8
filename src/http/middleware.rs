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

use super::answer_headers::{self, AnswerHeaders};
use super::extract::RequestContext;
use super::problem::{self, Problem};
use super::request_ids::RequestIds;
use super::routes;
use super::server::Shared;

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
        Some(problem) => Ok(Ok(request.into_response(problem.answer(headers.recorded_id())))),
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
    let ids = RequestIds::of(request);
    // Of the highest level, so that no filter takes the id from the lines of the request.
    let span = tracing::error_span!("request", request.id = ids.recorded.as_str());
    let peer = request.peer_addr().map(|peer| peer.ip());
    let client = peer.zip(shared).map(|(peer, shared)| shared.trusted_proxies.client(peer, request.headers()));
    let recorded_id = ids.recorded.clone();
    request.extensions_mut().insert(RequestContext { recorded_id, key_id: None, client, outdated: None });
    (AnswerHeaders::new(ids, request.path(), shared.map(|shared| shared.get_ref())), span)
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
        Some(error) => Some(answer_to(error, headers.recorded_id())),
        None if is_bare_error(&response) => Some(Problem::from_status(response.status()).answer(headers.recorded_id())),
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
    let mut response = answer_to(error, headers.recorded_id());
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

    use super::super::answer_headers::REQUEST_ID;
    use super::*;

    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    async fn panics() -> HttpResponse {
        panic!("card 4242424242424242")
    }

    #[actix_web::test]
    async fn a_panic_becomes_an_answer_that_tells_nothing() {
        let app = init_service(App::new().wrap(from_fn(observe)).route("/", web::get().to(panics))).await;
        let request = TestRequest::get().uri("/").insert_header(("X-Request-Id", TRACE_ID)).to_request();
        let error = try_call_service(&app, request).await.unwrap_err();
        let response = error.error_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers().get(REQUEST_ID).unwrap(), TRACE_ID);
        let body = String::from_utf8(response.into_body().try_into_bytes().unwrap().to_vec()).unwrap();
        assert!(
            body.contains("\"code\":\"internal_error\"")
                && body.contains(&format!("\"request_id\":\"{TRACE_ID}\""))
                && !body.contains("4242"),
            "{body}"
        );
    }

    #[actix_web::test]
    async fn errors_of_the_framework_become_problems() {
        let quote = || async { Err::<HttpResponse, _>(actix_web::error::ErrorBadRequest("quoted request")) };
        let app = init_service(App::new().wrap(from_fn(observe)).route("/v1/x", web::get().to(quote))).await;
        let request = TestRequest::get().uri("/v1/x").insert_header(("X-Request-Id", TRACE_ID)).to_request();
        let response = call_service(&app, request).await;
        assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), problem::CONTENT_TYPE);
        assert_eq!(response.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
        let body = String::from_utf8(read_body(response).await.to_vec()).unwrap();
        assert!(body.contains("malformed_request") && !body.contains("quoted"), "{body}");
    }
}

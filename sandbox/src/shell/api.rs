//! The payment API over HTTP: authorization, limits, faults, bodies.

use super::{Shell, connection};
use crate::engine::{ApiAnswer, ApiFaultKind, ApiRequest, Params, Route};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, rt, web};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::sync::atomic::Ordering;
use std::time::Duration;

const GARBAGE: &str = "<html><body><h1>502 Bad Gateway</h1></body></html>";

/// What goes back to the client.
enum Outcome {
    Body(String),
    Status(u16, String),
    Garbage,
    Dropped,
}

/// Counts a request as running while it lives.
struct Running(web::Data<Shell>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Any request outside the pages and the control API.
pub(super) async fn handle(request: HttpRequest, body: web::Bytes, shell: web::Data<Shell>) -> HttpResponse {
    let (outcome, transaction_id) = outcome(&request, &body, &shell).await;
    let status = match &outcome {
        Outcome::Body(_) | Outcome::Garbage => "200".to_owned(),
        Outcome::Status(status, _) => status.to_string(),
        Outcome::Dropped => "dropped".to_owned(),
    };
    shell.log().add(request.path(), request_id(&request), status, transaction_id, shell.now());
    match outcome {
        Outcome::Body(body) => HttpResponse::Ok().content_type("application/json; charset=utf-8").body(body),
        Outcome::Garbage => HttpResponse::Ok().content_type("text/html").body(GARBAGE),
        Outcome::Status(status, body) => answer_status(status, body),
        Outcome::Dropped => connection::close(&request),
    }
}

fn answer_status(status: u16, body: String) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((WWW_AUTHENTICATE, "Basic realm=\"sandbox\""));
    }
    if !body.is_empty() {
        response.content_type("text/html");
    }
    response.body(body)
}

async fn outcome(request: &HttpRequest, body: &[u8], shell: &web::Data<Shell>) -> (Outcome, Option<i64>) {
    let empty = |status: StatusCode| (Outcome::Status(status.as_u16(), String::new()), None);
    let Some(route) = Route::parse(request.path()).filter(|_| request.method() == "POST") else {
        return empty(StatusCode::NOT_FOUND);
    };
    if !authorized(request, route, shell) {
        return empty(StatusCode::UNAUTHORIZED);
    }
    let limit = shell.config.max_concurrent_requests;
    let before = shell.running.fetch_add(1, Ordering::SeqCst);
    let _running = Running(shell.clone());
    if limit != 0 && before >= limit {
        return empty(StatusCode::TOO_MANY_REQUESTS);
    }
    let fault = shell.engine().take_transport_fault(&route.path());
    if let Some(early) = before_work(fault.as_ref()).await {
        return (early, None);
    }
    let Some(params) = params(request, body) else {
        let text = r#"{"Success":false,"Message":"The request is not valid JSON"}"#;
        return (Outcome::Status(StatusCode::BAD_REQUEST.as_u16(), text.to_owned()), None);
    };
    let api_request = ApiRequest { route, request_id: request_id(request), params };
    let Some(answer) = work(shell, api_request).await else {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let transaction_id = answer.transaction_id;
    (after_work(fault, answer).await, transaction_id)
}

/// Does the work in a task of its own: a client that goes away does not stop it.
pub(super) async fn work(shell: &web::Data<Shell>, request: ApiRequest) -> Option<ApiAnswer> {
    let shell = shell.clone();
    rt::spawn(async move { shell.process(&request).await }).await.ok()
}

/// The outcome of faults that leave the work undone.
async fn before_work(fault: Option<&ApiFaultKind>) -> Option<Outcome> {
    match fault? {
        ApiFaultKind::DropBefore => Some(Outcome::Dropped),
        ApiFaultKind::StatusBefore { status } => Some(Outcome::Status(*status, String::new())),
        ApiFaultKind::Hang { ms } => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            Some(Outcome::Dropped)
        }
        _ => None,
    }
}

/// The outcome of finished work, spoiled or not.
async fn after_work(fault: Option<ApiFaultKind>, answer: ApiAnswer) -> Outcome {
    match fault {
        Some(ApiFaultKind::DropAfter) => Outcome::Dropped,
        Some(ApiFaultKind::GarbageAfter) => Outcome::Garbage,
        Some(ApiFaultKind::StatusAfter { status, body }) => {
            Outcome::Status(status, body.unwrap_or_else(|| GARBAGE.to_owned()))
        }
        Some(ApiFaultKind::Delay { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Outcome::Body(answer.body)
        }
        _ => Outcome::Body(answer.body),
    }
}

fn authorized(request: &HttpRequest, route: Route, shell: &Shell) -> bool {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return route == Route::Test && shell.config.test_without_auth;
    };
    let encoded = header.to_str().ok().and_then(|text| text.split_once(' '));
    let basic = encoded.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let pair = basic.and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok());
    let expected = format!("{}:{}", shell.config.public_id, shell.config.api_secret);
    pair.is_some_and(|pair| pair == expected.as_bytes())
}

fn params(request: &HttpRequest, body: &[u8]) -> Option<Params> {
    let text = std::str::from_utf8(body).ok()?;
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form = content_type.is_some_and(|value| value.to_lowercase().contains("form-urlencoded"));
    if form { Some(Params::from_form(text)) } else { Params::from_json(text) }
}

fn request_id(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get("X-Request-ID")?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

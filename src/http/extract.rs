//! What handlers take from a request: the caller, the body, the marks of repetition, ids.

use std::future::Future;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload as RawPayload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{self, Bytes, Data, Payload};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, rt};
use secrecy::zeroize::Zeroize as _;
use tracing::Instrument as _;

use super::json::{self, Json};
use super::limits::Slot;
use super::problem::Problem;
use super::server::Shared;
use super::text;
use crate::app::{Answer, Authenticated, Caller, Idempotency, Outdated};
use crate::domain::id::ApiKeyId;
use crate::domain::scope::Scope;
use crate::error::{Error, Fault, Result};
use crate::vault;

/// What every handler gives back.
pub(super) type Answered = Result<HttpResponse, Problem>;

/// Seconds after which an outcome that is not known yet is worth another look.
const LOOK_AGAIN_S: u64 = 1;

/// What the middleware knows of the request under way.
pub(super) struct RequestContext {
    /// What log and history call the request: see [`super::request_ids`].
    pub recorded_id: String,
    /// The key, once it is verified.
    pub key_id: Option<ApiKeyId>,
    /// Where it comes from, past the proxies that are trusted.
    pub client: Option<IpAddr>,
    /// When that key was rotated.
    pub outdated: Option<Outdated>,
}

/// A scope as a type, so that a handler's signature says what its caller must be allowed to do.
pub(super) trait Grant: 'static {
    /// The scope.
    const SCOPE: Scope;
    /// A scope that lets in as well; the use case then tells which of both it needs.
    const OR: Option<Scope> = None;
}

macro_rules! grant {
    ($name:ident, $scope:ident) => {
        #[doc = concat!("The caller needs `Scope::", stringify!($scope), "`.")]
        pub(super) struct $name;

        impl Grant for $name {
            const SCOPE: Scope = Scope::$scope;
        }
    };
}

grant!(ReadPayments, PaymentsRead);
grant!(WritePayments, PaymentsWrite);
grant!(WriteRefunds, RefundsWrite);
grant!(Operate, OpsWrite);
grant!(ReadReports, ReportsRead);
grant!(ManagePersonalData, PersonalDataWrite);

/// The caller needs `Scope::RefundsWrite` or `Scope::OpsWrite`: which one follows from what is approved.
pub(super) struct Decide;

impl Grant for Decide {
    const SCOPE: Scope = Scope::RefundsWrite;
    const OR: Option<Scope> = Some(Scope::OpsWrite);
}

/// A caller whose key is valid, holds the scope and is within its limits.
pub(super) struct Key<G: Grant> {
    /// Who calls.
    pub caller: Caller,
    slot: Option<Slot>,
    grant: PhantomData<G>,
}

/// A use case that goes on when its caller hangs up takes the key along, and with it the caller's place. Nothing can be
/// moved out of a type that implements `Drop`, so an `async move` that uses the caller takes the key as a whole.
impl<G: Grant> Drop for Key<G> {
    fn drop(&mut self) {
        self.slot = None;
    }
}

impl<G: Grant> FromRequest for Key<G> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Key<G>, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut RawPayload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let shared = request
                .app_data::<Data<Shared>>()
                .ok_or_else(|| Error::internal("the server was started without its state"))?;
            let caller = caller(&request, shared).await?;
            let slot = admit(shared, &caller).inspect_err(|error| note_refusal(shared, error))?;
            let holds = |scope: Scope| caller.scopes.contains(&scope);
            if !holds(G::SCOPE) && !G::OR.is_some_and(holds) {
                return Err(Error::MissingScope(G::SCOPE).into());
            }
            Ok(Key { caller, slot: Some(slot), grant: PhantomData })
        })
    }
}

/// Who calls. A key that was found valid before is looked at in any case; every other attempt is counted for its address
/// first. Where that has tried too often only a key that there is goes on, so that guessing reaches no database and holds
/// up nobody who has a key.
async fn caller(request: &HttpRequest, shared: &Shared) -> Result<Caller> {
    let secret = bearer(request.headers());
    let is_known = secret.as_ref().is_ok_and(|secret| shared.app.recognises(secret));
    if !is_known && let Some(address) = client_address(request) {
        refuse_guesses(shared, address, secret.as_deref().ok()).await?;
    }
    let Authenticated { mut caller, outdated } = shared.app.authenticate(secret?).await?;
    if let Some(context) = request.extensions_mut().get_mut::<RequestContext>() {
        context.key_id = Some(caller.key_id.clone());
        context.outdated = outdated;
        caller.request_id = Some(context.recorded_id.clone());
    }
    Ok(caller)
}

async fn refuse_guesses(shared: &Shared, address: IpAddr, secret: Option<&str>) -> Result<()> {
    let Err(refusal) = shared.limits.attempt(address) else { return Ok(()) };
    match secret {
        Some(secret) if shared.app.has_key(secret).await => Ok(()),
        _ => {
            note_refusal(shared, &refusal);
            Err(refusal)
        }
    }
}

fn admit(shared: &Shared, caller: &Caller) -> Result<Slot> {
    shared.limits.count(&caller.key_id)?;
    shared.limits.enter(&caller.key_id)
}

fn note_refusal(shared: &Shared, error: &Error) {
    if let Error::RateLimited { limit, .. } = error {
        shared.metrics.limited(limit.as_str());
    }
}

/// Where the request comes from, past the proxies that are trusted.
pub(super) fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    request.extensions().get::<RequestContext>().and_then(|context| context.client)
}

pub(super) fn bearer(headers: &HeaderMap) -> Result<&str> {
    let value = headers
        .get(header::AUTHORIZATION)
        .ok_or(Error::Unauthenticated("send an API key as Authorization: Bearer <secret>"))?;
    let (scheme, secret) = value.to_str().ok().and_then(|value| value.split_once(' ')).unwrap_or_default();
    let secret = secret.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || secret.is_empty() {
        return Err(Error::Unauthenticated("send an API key as Authorization: Bearer <secret>"));
    }
    Ok(secret)
}

/// A request that makes something or moves money: its mark and its body.
pub(super) struct Submission {
    /// The caller's mark.
    pub idempotency: Idempotency,
    body: Body,
}

impl Submission {
    /// Reads header and body.
    ///
    /// # Errors
    /// What is wrong with either.
    pub(super) async fn read(request: &HttpRequest, payload: Payload, shared: &Shared) -> Result<Submission> {
        let key = idempotency_key(request.headers())?;
        let body = body(request, payload, shared.body_limit_bytes).await?;
        if !body.is_empty() && !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType);
        }
        let fingerprint = vault::digest(&[request.method().as_str().as_bytes(), request.path().as_bytes(), &body]);
        Ok(Submission { idempotency: Idempotency { key, endpoint: endpoint(request), fingerprint }, body })
    }

    /// The body, which must be there.
    ///
    /// # Errors
    /// What makes it unreadable.
    pub(super) fn json(&self) -> Result<Json> {
        json::read(&self.body)
    }

    /// The body, nothing counting as `{}`.
    ///
    /// # Errors
    /// What makes it unreadable.
    pub(super) fn json_or_nothing(&self) -> Result<Json> {
        if self.body.is_empty() { Ok(Json::Object(Vec::new())) } else { self.json() }
    }
}

/// Method and path; the account of a payer stays out.
fn endpoint(request: &HttpRequest) -> String {
    let pattern = request.match_pattern().filter(|pattern| pattern.contains("{account_id}"));
    format!("{} {}", request.method(), pattern.as_deref().unwrap_or(request.path()))
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE);
    let (Some(value), None) = (values.next().and_then(|value| value.to_str().ok()), values.next()) else {
        return false;
    };
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let parameters = parameters.trim().to_ascii_lowercase();
    essence.trim().eq_ignore_ascii_case("application/json")
        && matches!(parameters.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"")
}

/// `Idempotency-Key`, plain or as the quoted string of the draft.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<String> {
    let refuse = |code, detail: &str| Error::Malformed(vec![Fault::new("Idempotency-Key", code, detail)]);
    let mut values = headers.get_all("idempotency-key");
    let advice = "send a new Idempotency-Key for each new request (a UUID does) and the same one when you repeat it";
    let value = values.next().ok_or_else(|| refuse("idempotency_key_required", advice))?;
    if values.next().is_some() {
        return Err(refuse("repeated_header", "send the header once"));
    }
    let form = "send 1 to 255 printable ASCII characters";
    let text = value.to_str().map_err(|_| refuse("wrong_form", form))?;
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if key.is_empty() || key.len() > 255 || !key.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Err(refuse("wrong_form", form));
    }
    text::refuse_card_number(key).map_err(|refusal| Error::Invalid(vec![text::fault("Idempotency-Key", refusal)]))?;
    Ok(key.to_owned())
}

/// A whole body. It may hold card data, so it is wiped when it is dropped.
pub(super) struct Body(Bytes);

impl std::ops::Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // Nobody else holds these bytes: they were collected for this body.
        if let Ok(mut bytes) = std::mem::take(&mut self.0).try_into_mut() {
            bytes.as_mut().zeroize();
        }
    }
}

/// The whole body, at most `limit_bytes` of it, within the time the settings allow.
///
/// # Errors
/// When it is larger, slower or breaks off.
pub(super) async fn body(request: &HttpRequest, payload: Payload, limit_bytes: usize) -> Result<Body, Error> {
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit_bytes) {
        return Err(Error::TooLarge { limit_bytes });
    }
    let timeout = request.app_data::<Data<Shared>>().map_or(Duration::from_secs(30), |shared| shared.body_timeout);
    let cut_off = || Error::Malformed(vec![Fault::new("", "incomplete_body", "the body broke off; send it whole")]);
    match rt::time::timeout(timeout, payload.to_bytes_limited(limit_bytes)).await {
        Ok(Ok(Ok(bytes))) => Ok(Body(bytes)),
        Ok(Err(_)) => Err(Error::TooLarge { limit_bytes }),
        Ok(Ok(Err(_))) => Err(cut_off()),
        Err(_) => Err(Error::TooSlow { limit_s: timeout.as_secs() }),
    }
}

/// The id in the path; text of another kind or shape is no such thing.
///
/// # Errors
/// 404 that names the prefix.
pub(super) fn path_id<T>(
    request: &HttpRequest,
    parse: fn(&str) -> Option<T>,
    noun: &str,
    prefix: &str,
) -> Result<T, Problem> {
    request.match_info().get("id").and_then(parse).ok_or_else(|| Problem::wrong_id(noun, prefix))
}

/// Runs a use case to its end even when the caller hangs up: a call to the provider that was sent must be written down.
///
/// # Errors
/// Those of the use case; a defect when it panicked.
pub(super) async fn to_the_end<T: 'static>(use_case: impl Future<Output = T> + 'static) -> Result<T> {
    rt::spawn(use_case.in_current_span())
        .await
        .map_err(|error| Error::internal(format!("a use case did not end: {error}")))
}

/// An answer of a use case, as it was stored.
pub(super) fn answered(answer: Answer) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(answer.stored.status).unwrap_or_default();
    let mut response = HttpResponse::build(status);
    response.content_type("application/json");
    if let Some(location) = answer.stored.location {
        response.insert_header((header::LOCATION, location));
    }
    if answer.stored.status == 202 {
        response.insert_header((header::RETRY_AFTER, LOOK_AGAIN_S));
    }
    if answer.replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    response.body(web::Bytes::from(answer.stored.body))
}

/// A JSON answer of something that is only read.
pub(super) fn shown(body: impl serde::Serialize) -> Answered {
    let body = serde_json::to_vec(&body)
        .map_err(|error| Error::internal(format!("an answer cannot be written as JSON: {error}")))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(body))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn keys_are_taken_plain_or_quoted() {
        let key = |value: &str| {
            idempotency_key(
                TestRequest::default().insert_header(("Idempotency-Key", value)).to_http_request().headers(),
            )
        };
        assert_eq!(key("abc-1").unwrap(), "abc-1");
        assert_eq!(key("\"abc-1\"").unwrap(), "abc-1");
        assert_eq!(key("a5d3c9e1-bf2a-4abc-8242-424242424242").unwrap().len(), 36);
        assert!(matches!(key("4242424242424242"), Err(Error::Invalid(_))));
        for wrong in ["", "\"\"", "ключ", &"x".repeat(256)] {
            assert!(matches!(key(wrong), Err(Error::Malformed(_))), "{wrong}");
        }
        let none = TestRequest::default().to_http_request();
        let Err(Error::Malformed(faults)) = idempotency_key(none.headers()) else { panic!() };
        assert_eq!(faults[0].code, "idempotency_key_required");
    }

    #[test]
    fn only_json_is_json() {
        let holds = |value: &str| {
            is_json(TestRequest::default().insert_header(("Content-Type", value)).to_http_request().headers())
        };
        assert!(holds("application/json") && holds("Application/JSON; charset=UTF-8"));
        assert!(
            !holds("text/plain") && !holds("application/json; charset=windows-1251") && !holds("application/jsonp")
        );
    }

    #[test]
    fn a_secret_comes_as_bearer() {
        let secret = |value: &str| {
            bearer(TestRequest::default().insert_header(("Authorization", value)).to_http_request().headers())
                .map(str::to_owned)
        };
        assert_eq!(secret("bearer abc").unwrap(), "abc");
        assert!(secret("Basic abc").is_err() && secret("Bearer ").is_err() && secret("abc").is_err());
    }
}

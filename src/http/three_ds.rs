//! 3-D Secure: from the backend, and by the payer's browser over signed links.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::extract::{Answered, Key, Submission, WritePayments, answered, body, to_the_end};
use super::parameters::{IdempotencyKey, PaymentPath};
use super::payments::payment_id;
use super::presenter::THREE_DS_LINK;
use super::problem::Problem;
use super::schemas::{BankForm, FinishThreeDs};
use super::server::Shared;
use super::text::Refusal;
use super::view::PaymentView;
use super::{bodies, examples, html, query, text};
use crate::app::PaymentDetails;
use crate::domain::id::PaymentId;
use crate::domain::payment::Payment;
use crate::error::{Error, Fault, Result};

/// Largest form of a bank, bytes.
const FORM_LIMIT_BYTES: usize = 131_072;

/// Finish 3-D Secure
///
/// For sites that take the payer back from the bank themselves. A repeat never charges twice.
#[utoipa::path(post, path = "/v1/payments/{id}/three-ds", tag = "3-D Secure", security(("api_key" = ["payments:write"])),
    params(PaymentPath, IdempotencyKey),
    request_body(content = FinishThreeDs, example = json!(examples::finish_three_ds())),
    responses(
        (status = 200, description = "Finished. The bank may have refused: see `status`.", body = PaymentView, example = json!(examples::paid_payment())),
        (status = 202, description = "The outcome is not known yet.", headers(("Retry-After" = i64, description = "Seconds after which to read the payment.")),
            body = PaymentView, example = json!(examples::undetermined_payment())),
        (status = 409, description = "`invalid_state`, `operation_in_progress`, `wrong_transaction`, `provider_refused`"),
    ))]
pub(super) async fn finish_three_ds(
    key: Key<WritePayments>,
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Answered {
    let id = payment_id(&request)?;
    query::none(request.query_string())?;
    let submission = Submission::read(&request, payload, &shared).await?;
    let (md, pa_res) = bodies::three_ds(submission.json()?)?;
    let app = Arc::clone(&shared.app);
    let answer =
        to_the_end(async move { app.finish_three_ds(&key.caller, submission.idempotency, id, md, pa_res).await })
            .await??;
    Ok(answered(answer))
}

/// Send the payer to the bank
///
/// For the payer's browser: a page that posts it to the bank. A payment that no longer waits sends it on to `return_url`.
#[utoipa::path(get, path = "/v1/three-ds/{id}/redirect", tag = "3-D Secure",
    params(
        PaymentPath,
        ("signature" = String, Query, description = "Proof that the link is ours; part of `next_action.redirect_url`."),
    ),
    responses(
        (status = 200, description = "A page that goes on by itself.", body = String, content_type = "text/html", example = json!("<!doctype html>…")),
        (status = 303, description = "On to `return_url`, with `payment_id` and `status` in its query."),
        (status = 403, description = "`invalid_link`; to a browser (`Accept: text/html`) a page in Kazakh, Russian and English."),
    ))]
pub(super) async fn redirect_to_bank(request: HttpRequest, shared: Data<Shared>) -> Answered {
    for_a_person(&request, to_bank(&request, &shared).await)
}

/// Browsers ask for pages, programs do not.
fn for_a_person(request: &HttpRequest, answer: Answered) -> Answered {
    let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match answer {
        Err(problem) if accepted.contains("text/html") => Ok(problem.page()),
        answer => answer,
    }
}

async fn to_bank(request: &HttpRequest, shared: &Shared) -> Answered {
    let id = signed_payment_id(request, shared)?;
    let (details, three_ds) = shared.app.three_ds_redirect(id).await?;
    match three_ds.filter(|three_ds| html::is_web_address(&three_ds.acs_url)) {
        Some(three_ds) => {
            Ok(html::bank_form(&three_ds, &shared.presenter.term_url(&details.payment), details.payment.language))
        }
        None => Ok(send_on(&details.payment)),
    }
}

/// Take the payer back from the bank
///
/// For the payer's browser: finishes 3-D Secure and sends it on to `return_url`. A repeat never charges twice.
#[utoipa::path(post, path = "/v1/three-ds/{id}/return", tag = "3-D Secure",
    params(
        PaymentPath,
        ("signature" = String, Query, description = "Proof that the link is ours; part of `next_action.term_url`."),
    ),
    request_body(content = BankForm, content_type = "application/x-www-form-urlencoded", example = json!({"MD": "3541977847", "PaRes": "eJxVUttugkAQ"})),
    responses(
        (status = 200, description = "A page that says what became of the payment, for payments without `return_url`.", body = String, content_type = "text/html", example = json!("<!doctype html>…")),
        (status = 303, description = "On to `return_url`, with `payment_id` and `status` in its query."),
        (status = 403, description = "`invalid_link`; to a browser (`Accept: text/html`) a page in Kazakh, Russian and English."),
    ))]
pub(super) async fn return_from_bank(request: HttpRequest, payload: Payload, shared: Data<Shared>) -> Answered {
    for_a_person(&request, from_bank(&request, payload, &shared).await)
}

async fn from_bank(request: &HttpRequest, payload: Payload, shared: &Shared) -> Answered {
    let id = signed_payment_id(request, shared)?;
    let form = body(request, payload, FORM_LIMIT_BYTES).await?;
    let (md, pa_res) = bank_form(&form)?;
    let (app, payment_id) = (Arc::clone(&shared.app), id.clone());
    let finished: Result<PaymentDetails> =
        to_the_end(async move { app.three_ds_return(payment_id, md, pa_res).await }).await?;
    match finished {
        Ok(details) => Ok(send_on(&details.payment)),
        // A second press of the bank's button: the payment went on already, and so does the payer.
        Err(Error::Conflict { .. }) => Ok(send_on(&shared.app.payment(id).await?.payment)),
        Err(error) => Err(error.into()),
    }
}

/// The payment of a link whose signature holds. Other parameters are let through: banks add their own.
fn signed_payment_id(request: &HttpRequest, shared: &Shared) -> Result<PaymentId, Problem> {
    let signature =
        request.query_string().split('&').find_map(|pair| pair.strip_prefix("signature=")).unwrap_or_default();
    let id = payment_id(request)?;
    if !shared.vault.link_holds(THREE_DS_LINK, id.as_str(), signature) {
        return Err(Error::BadLink.into());
    }
    Ok(id)
}

/// `MD` and `PaRes` of the bank's form, names exactly so; banks add fields of their own.
pub(super) fn bank_form(form: &[u8]) -> Result<(i64, SecretString)> {
    let refuse = |name: &str, refusal: Refusal| Error::Invalid(vec![text::fault(name, refusal)]);
    let malformed = || {
        Error::Malformed(vec![Fault::new("", "not_a_form", "send application/x-www-form-urlencoded with MD and PaRes")])
    };
    let encoded = std::str::from_utf8(form).map_err(|_| malformed())?;
    let fields = web::Query::<Vec<(String, String)>>::from_query(encoded).map_err(|_| malformed())?.into_inner();
    let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect();
    let field = |name: &str| fields.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str());
    let missing = || ("required", "the bank's form lacks the field".to_owned());
    let md = field("MD").ok_or_else(|| refuse("MD", missing()))?;
    let md = bodies::transaction_id(md.trim())
        .ok_or_else(|| refuse("MD", ("not_a_transaction", "send MD as it was given to the bank".to_owned())))?;
    let pa_res = field("PaRes").ok_or_else(|| refuse("PaRes", missing()))?;
    // A bank that forgets to encode `+` sends a blank; base64 has none.
    let pa_res =
        bodies::pa_res(&Zeroizing::new(pa_res.replace(' ', "+"))).map_err(|refusal| refuse("PaRes", refusal))?;
    Ok((md, pa_res))
}

fn send_on(payment: &Payment) -> HttpResponse {
    match &payment.return_url {
        Some(url) => HttpResponse::SeeOther().insert_header((header::LOCATION, with_outcome(url, payment))).finish(),
        None => html::finished(payment),
    }
}

/// Ids and states hold nothing that an address would have to escape.
fn with_outcome(url: &str, payment: &Payment) -> String {
    let (address, fragment) = url.split_once('#').map_or((url, None), |(address, fragment)| (address, Some(fragment)));
    let glue = match address.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some((_, query)) if query.ends_with('&') => "",
        Some(_) => "&",
    };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{address}{glue}payment_id={}&status={}{fragment}", payment.id, payment.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::examples;

    #[test]
    fn the_outcome_joins_the_query() {
        let payment = examples::details().payment;
        let tail = format!("payment_id={}&status={}", payment.id, payment.status);
        for (url, expected) in [
            ("https://kmic.kz/done", format!("https://kmic.kz/done?{tail}")),
            ("https://kmic.kz/done?", format!("https://kmic.kz/done?{tail}")),
            ("https://kmic.kz/done?a=1", format!("https://kmic.kz/done?a=1&{tail}")),
            ("https://kmic.kz/done?a=1#top", format!("https://kmic.kz/done?a=1&{tail}#top")),
            ("https://kmic.kz/#/done", format!("https://kmic.kz/?{tail}#/done")),
        ] {
            assert_eq!(with_outcome(url, &payment), expected);
        }
    }

    #[test]
    fn reads_the_form_with_its_exact_names() {
        assert_eq!(bank_form(b"MD=3541977847&PaRes=eJx%2B%2F%3D%0D%0Ab&extra=1").unwrap().0, 3_541_977_847);
        for wrong in [&b"md=1&PaRes=x"[..], b"MD=1", b"MD=x&PaRes=y", b"MD=1&PaRes=", b"\xff", b""] {
            assert!(bank_form(wrong).is_err());
        }
    }
}

//! The small pages that a payer's browser may see.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, Uri, header};

use crate::domain::payment::{Language, Payment, ThreeDs};
use crate::domain::state::{Certainty, Status};
use crate::vault;

/// A page that posts the payer to the bank at once, or by a button where scripts are off.
pub(super) fn bank_form(three_ds: &ThreeDs, term_url: &str, language: Language) -> HttpResponse {
    let nonce = vault::new_secret();
    let (title, button) = match language {
        Language::Kk => ("Банкке өту", "Жалғастыру"),
        Language::Ru => ("Переход в банк", "Продолжить"),
        Language::En => ("Going to your bank", "Continue"),
    };
    let body = format!(
        "<form method=\"post\" action=\"{action}\">\
         <input type=\"hidden\" name=\"PaReq\" value=\"{pa_req}\">\
         <input type=\"hidden\" name=\"MD\" value=\"{md}\">\
         <input type=\"hidden\" name=\"TermUrl\" value=\"{term_url}\">\
         <noscript><button type=\"submit\">{button}</button></noscript></form>\
         <script nonce=\"{nonce}\">document.forms[0].submit()</script>",
        action = escape(&three_ds.acs_url),
        pa_req = escape(&three_ds.pa_req),
        md = three_ds.transaction_id,
        term_url = escape(term_url),
    );
    // Browsers hold redirects of the bank to the same rule, and banks do redirect: any encrypted address is allowed.
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; form-action https: {}; base-uri 'none'; frame-ancestors *",
        origin(&three_ds.acs_url)
    );
    page(language, title, &body, &policy)
}

/// What a payer sees whose payment has no address to go on to.
pub(super) fn finished(payment: &Payment) -> HttpResponse {
    let (title, text) = outcome_texts(payment);
    page(
        payment.language,
        title,
        &format!("<p>{text}</p>"),
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors *",
    )
}

/// Whoever does not know yet whether the payment went through must not be led to pay again.
fn outcome_texts(payment: &Payment) -> (&'static str, &'static str) {
    let unknown = payment.certainty == Certainty::Undetermined || payment.status.is_open();
    let nothing_taken = matches!(payment.status, Status::Declined | Status::Cancelled | Status::Expired);
    match (payment.language, unknown, nothing_taken) {
        (Language::Kk, true, _) => {
            ("Төлем тексерілуде", "Төлем әлі тексеріліп жатыр. Қайта төлемеңіз: нәтижесі сайтта көрсетіледі.")
        }
        (Language::Ru, true, _) => {
            ("Платёж проверяется", "Платёж ещё проверяется. Не платите повторно: результат появится на сайте.")
        }
        (Language::En, true, _) => (
            "Payment is being checked",
            "Your payment is still being checked. Please do not pay again: the result will appear on the site.",
        ),
        (Language::Kk, false, true) => ("Төлем өтпеді", "Төлем өтпеді. Сайтқа оралыңыз."),
        (Language::Ru, false, true) => ("Платёж не прошёл", "Платёж не прошёл. Вернитесь на сайт."),
        (Language::En, false, true) => ("Payment failed", "The payment did not go through. Please return to the site."),
        (Language::Kk, false, false) => ("Төлем өңделді", "Төлем өңделді. Бұл терезені жабуға болады."),
        (Language::Ru, false, false) => ("Платёж обработан", "Платёж обработан. Это окно можно закрыть."),
        (Language::En, false, false) => {
            ("Payment processed", "The payment has been processed. You may close this window.")
        }
    }
}

/// What a payer sees instead of an error: a broken link does not tell the language, so it is told in all.
pub(super) fn refused(status: StatusCode) -> HttpResponse {
    let body = "<p lang=\"kk\">Бұл бетті көрсету мүмкін емес. Төлем жасаған сайтқа оралыңыз: төлемнің күйі сонда көрсетіледі. \
                Оны тексермей тұрып қайта төлемеңіз.</p>\
                <p lang=\"ru\">Эту страницу нельзя показать. Вернитесь на сайт, где вы платили: там видно, что стало с платежом. \
                Не платите ещё раз, пока не посмотрите.</p>\
                <p lang=\"en\">This page cannot be shown. Go back to the site where you were paying: it tells what became of \
                your payment. Do not pay again before you have looked.</p>";
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors *";
    let mut response = page(Language::Ru, "Төлем · Платёж · Payment", body, policy);
    *response.status_mut() = status;
    response
}

fn page(language: Language, title: &str, body: &str, policy: &str) -> HttpResponse {
    let html = format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title></head><body>{body}</body></html>",
        language.as_str()
    );
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .body(html)
}

/// Text as it may stand between quotes of an attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Scheme and host of an address, for a content security policy; nothing for what is not `http` or `https`.
fn origin(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return String::new() };
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) if !authority.as_str().contains([';', ',', '@']) => {
            format!("{scheme}://{authority}")
        }
        _ => String::new(),
    }
}

/// Whether a browser may be sent to the bank's address.
pub(super) fn is_web_address(url: &str) -> bool {
    !origin(url).is_empty()
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;

    use super::*;

    fn text_of(response: HttpResponse) -> String {
        String::from_utf8(response.into_body().try_into_bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn nothing_of_the_bank_becomes_markup() {
        let three_ds = ThreeDs {
            transaction_id: 7,
            acs_url: "https://acs.example/?a=1&b=\"><script>".to_owned(),
            pa_req: "+/x\"'<>".to_owned(),
        };
        let response = bank_form(&three_ds, "https://pay.kmic.kz/return?signature=a", Language::Kk);
        let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap().to_owned();
        let html = text_of(response);
        assert!(html.contains("value=\"+/x&quot;&#39;&lt;&gt;\""), "{html}");
        assert_eq!(html.matches("<script").count(), 1);
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn only_what_is_known_is_told() {
        let payment = |language, status, certainty| Payment {
            language,
            status,
            certainty,
            ..crate::http::examples::details().payment
        };
        for (status, certainty, told) in [
            (Status::Paid, Certainty::Proven, ["Төлем өңделді.", "Платёж обработан.", "has been processed."]),
            (Status::Authorized, Certainty::Proven, ["Төлем өңделді.", "Платёж обработан.", "has been processed."]),
            (Status::Declined, Certainty::Proven, ["Төлем өтпеді.", "Платёж не прошёл.", "did not go through."]),
            (Status::Cancelled, Certainty::Proven, ["Төлем өтпеді.", "Платёж не прошёл.", "did not go through."]),
            (Status::Expired, Certainty::Proven, ["Төлем өтпеді.", "Платёж не прошёл.", "did not go through."]),
            (Status::Processing, Certainty::Proven, ["Қайта төлемеңіз", "Не платите повторно", "do not pay again"]),
            (
                Status::Processing,
                Certainty::Undetermined,
                ["Қайта төлемеңіз", "Не платите повторно", "do not pay again"],
            ),
            (
                Status::Cancelled,
                Certainty::Undetermined,
                ["Қайта төлемеңіз", "Не платите повторно", "do not pay again"],
            ),
        ] {
            for (language, told) in [Language::Kk, Language::Ru, Language::En].into_iter().zip(told) {
                let html = text_of(finished(&payment(language, status, certainty)));
                assert!(html.contains(told), "{status:?} {certainty:?} {html}");
                assert_eq!(html.matches("<p>").count(), 1);
            }
        }
    }

    #[test]
    fn only_web_addresses_are_left_to() {
        assert_eq!(origin("http://127.0.0.1:8090/acs?x=1"), "http://127.0.0.1:8090");
        assert_eq!(origin("https://acs.bank.kz/3ds;a"), "https://acs.bank.kz");
        assert!(!is_web_address("javascript:alert(1)") && !is_web_address("/acs") && !is_web_address(""));
    }
}

//! The two small pages that a payer's browser may see.

use actix_web::HttpResponse;
use actix_web::http::Uri;
use actix_web::http::header;

use crate::domain::payment::{Language, ThreeDs};
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
pub(super) fn finished(language: Language) -> HttpResponse {
    let (title, text) = match language {
        Language::Kk => ("Төлем өңделді", "Төлем өңделді. Бұл терезені жабуға болады."),
        Language::Ru => ("Платёж обработан", "Платёж обработан. Это окно можно закрыть."),
        Language::En => ("Payment processed", "The payment has been processed. You may close this window."),
    };
    page(
        language,
        title,
        &format!("<p>{text}</p>"),
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors *",
    )
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
    fn only_web_addresses_are_left_to() {
        assert_eq!(origin("http://127.0.0.1:8090/acs?x=1"), "http://127.0.0.1:8090");
        assert_eq!(origin("https://acs.bank.kz/3ds;a"), "https://acs.bank.kz");
        assert!(!is_web_address("javascript:alert(1)") && !is_web_address("/acs") && !is_web_address(""));
    }
}

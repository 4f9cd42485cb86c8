//! Pages that a person clicks through: index, hosted payment page, bank page, outcome.
//!
//! Limits: no scripts, so that any browser and any test can use them.

use super::html::{escape, hidden, link, page};
use super::{Shell, api, widget};
use crate::cards::TEST_CARDS;
use crate::engine::{ApiRequest, Params, Route, Schema, pa_res};
use crate::money::Money;
use crate::wire;
use actix_web::{HttpResponse, web};
use std::collections::BTreeMap;

/// Parameters of the hosted page that travel through its form.
const PAY_FIELDS: [&str; 10] =
    ["publicId", "amount", "currency", "invoiceId", "accountId", "email", "description", "schema", "data", "returnUrl"];

/// Fields of a form or a query string.
type Fields = BTreeMap<String, String>;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(index))
        .route("/pay", web::get().to(pay_form))
        .route("/pay", web::post().to(pay))
        .route("/pay/3ds", web::post().to(after_bank))
        .route("/d/{order}", web::get().to(order_form))
        .route("/acs", web::post().to(bank));
}

fn show(title: &str, body: &str) -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page(title, body))
}

fn problem(text: &str) -> HttpResponse {
    let body = page("Cannot be paid", &format!("<p>{}</p>", escape(text)));
    HttpResponse::BadRequest().content_type("text/html; charset=utf-8").body(body)
}

fn fields(text: &str) -> Fields {
    wire::parse_form(text).into_iter().collect()
}

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map(String::as_str).unwrap_or_default()
}

async fn index(shell: web::Data<Shell>) -> HttpResponse {
    let example =
        format!("/pay?publicId={}&amount=25000&currency=KZT&invoiceId=demo-1&description=Demo", shell.config.public_id);
    let notify = shell.engine().notify_url().unwrap_or("set with --notify-url or POST /sandbox/notify_url").to_owned();
    let body = format!(
        "<p>An emulator of the CloudPayments (TipTop Pay) API. State is kept in memory.</p>\
         <table><tr><th>API</th><td><code>{base}</code></td></tr>\
         <tr><th>Public ID</th><td><code>{id}</code></td></tr>\
         <tr><th>API Secret</th><td>as given at start</td></tr>\
         <tr><th>Notifications</th><td>{notify}</td></tr></table>\
         <p>{try_it}</p><h2>Test cards</h2><table>{cards}</table>\
         <p>Any expiry in the future, any CVV. A cardholder named <code>DECLINE 5005</code> is refused with that code.</p>\
         <h2>Control</h2><p><a href=\"/sandbox/ledger\">Ledger</a>, <a href=\"/sandbox/notifications\">notifications</a>, \
         <a href=\"/sandbox/requests\">requests</a></p>",
        base = escape(&shell.base_url),
        id = escape(&shell.config.public_id),
        notify = escape(&notify),
        try_it = link(&example, "Try a payment"),
        cards = card_rows(),
    );
    show("CloudPayments sandbox", &body)
}

fn card_rows() -> String {
    let row = |card: &crate::cards::TestCard| {
        format!(
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            card.number,
            card.brand.name(),
            card.explanation()
        )
    };
    TEST_CARDS.iter().map(row).collect()
}

async fn pay_form(request: actix_web::HttpRequest) -> HttpResponse {
    let fields = fields(request.query_string());
    if field(&fields, "amount").is_empty() {
        return problem("The parameter amount is missing.");
    }
    show("Payment", &form(&fields))
}

fn form(fields: &Fields) -> String {
    let kept: String = PAY_FIELDS.iter().map(|name| hidden(name, field(fields, name))).collect();
    let option = |card: &crate::cards::TestCard| {
        format!(r#"<option value="{0}">{0} {1}: {2}</option>"#, card.number, card.brand.name(), card.explanation())
    };
    format!(
        r#"<p>{description}</p><p class="sum">{amount} {currency}</p>
<form id="pay" method="post" action="/pay">{kept}
<label>Test card <select name="card">{cards}</select></label>
<label>Cardholder <input name="name" value="TEST CARDHOLDER"></label>
<button type="submit">Pay</button></form>"#,
        description = escape(field(fields, "description")),
        amount = escape(&shown_amount(field(fields, "amount"))),
        currency = escape(field(fields, "currency")),
        cards = TEST_CARDS.iter().map(option).collect::<String>(),
    )
}

fn shown_amount(text: &str) -> String {
    Money::parse(text).map_or_else(|| text.to_owned(), Money::two_decimals)
}

async fn order_form(order: web::Path<String>, shell: web::Data<Shell>) -> HttpResponse {
    let engine = shell.engine();
    let Some(order) = engine.order(&order).filter(|order| !order.cancelled) else {
        return problem("There is no such order, or it was cancelled.");
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let schema = if order.schema == Schema::Dual { "Dual" } else { "Single" };
    let known = [
        ("publicId", shell.config.public_id.clone()),
        ("amount", order.amount.to_string()),
        ("currency", order.currency.clone()),
        ("invoiceId", text(&order.invoice_id)),
        ("accountId", text(&order.account_id)),
        ("email", text(&order.email)),
        ("description", order.description.clone()),
        ("schema", schema.to_owned()),
        ("data", text(&order.json_data)),
        ("returnUrl", text(&order.success_url)),
    ];
    show("Payment", &form(&known.map(|(name, value)| (name.to_owned(), value)).into()))
}

async fn pay(body: String, shell: web::Data<Shell>) -> HttpResponse {
    let fields = fields(&body);
    let draft = match widget::draft(&Params::from_form(&body), &shell) {
        Ok(draft) => draft,
        Err(invalid) => return problem(&invalid.0),
    };
    let Some(paid) = widget::pay(draft, &shell).await else {
        return problem("The payment was lost.");
    };
    let return_url = field(&fields, "returnUrl");
    match (&paid.acs_url, &paid.pa_req) {
        (Some(acs_url), Some(pa_req)) => {
            let term_url = format!("{}/pay/3ds?returnUrl={}", shell.base_url, wire::encode(return_url));
            let form = format!(
                r#"<p>Your bank asks you to confirm the payment.</p><form id="bank" method="post" action="{}">{}{}{}<button type="submit">To the bank</button></form>"#,
                escape(acs_url),
                hidden("PaReq", pa_req),
                hidden("MD", &paid.transaction_id.to_string()),
                hidden("TermUrl", &term_url),
            );
            show("3-D Secure", &form)
        }
        _ => outcome(&paid, return_url),
    }
}

fn outcome(paid: &widget::Paid, return_url: &str) -> HttpResponse {
    let success = matches!(paid.status, "Completed" | "Authorized");
    let title = if success { "Paid" } else { "Not paid" };
    let back = if return_url.is_empty() { String::new() } else { link(return_url, "Back to the shop") };
    let body = format!(
        r#"<p id="message">{}</p><table>
<tr><th>Transaction</th><td id="transaction">{}</td></tr>
<tr><th>Status</th><td id="status">{}</td></tr>
<tr><th>Reason</th><td>{} {}</td></tr></table><p>{back}</p>"#,
        escape(paid.message),
        paid.transaction_id,
        paid.status,
        paid.reason_code,
        paid.reason,
    );
    show(title, &body)
}

/// The bank page: two forms, one that passes and one that fails.
async fn bank(body: String) -> HttpResponse {
    let fields = fields(&body);
    let (md, term_url) = (field(&fields, "MD"), field(&fields, "TermUrl"));
    if field(&fields, "PaReq").is_empty() || term_url.is_empty() {
        return problem("The bank page needs PaReq, MD and TermUrl.");
    }
    if !term_url.starts_with("http://") && !term_url.starts_with("https://") {
        return problem("TermUrl is not a web address.");
    }
    let Ok(id) = md.parse::<i64>() else {
        return problem("MD is not a transaction.");
    };
    let form = |name: &str, passed: bool, text: &str| {
        format!(
            r#"<form id="{name}" method="post" action="{}">{}{}<button class="{name}" type="submit">{text}</button></form>"#,
            escape(term_url),
            hidden("MD", md),
            hidden("PaRes", &pa_res(id, passed)),
        )
    };
    let forms = format!("{}{}", form("pass", true, "Confirm the payment"), form("fail", false, "Fail the check"));
    show("Test bank", &format!("<p>Transaction {id}: prove that it is you.</p>{forms}"))
}

/// Where the bank page of the hosted payment page comes back to.
async fn after_bank(request: actix_web::HttpRequest, body: String, shell: web::Data<Shell>) -> HttpResponse {
    let posted = fields(&body);
    let params =
        [("TransactionId", "MD"), ("PaRes", "PaRes")].map(|(key, name)| (key.to_owned(), field(&posted, name).into()));
    let request_of_bank = ApiRequest { route: Route::Post3ds, request_id: None, params: params.into_iter().collect() };
    let Some(answer) = api::work(&shell, request_of_bank).await else {
        return problem("The payment was lost.");
    };
    let query = fields(request.query_string());
    match widget::paid(answer, &shell) {
        Some(paid) => outcome(&paid, field(&query, "returnUrl")),
        None => problem("This payment is not waiting for the bank."),
    }
}

//! Payments as the widget makes them: a card number instead of a cryptogram.
//!
//! Limits: the sum comes from the browser, as with the real widget, and is believed.

use super::Shell;
use crate::cards::Card;
use crate::engine::{ApiAnswer, Draft, Invalid, Params, Schema};
use actix_web::{rt, web};
use serde::Serialize;

/// Expiry of cards that are given without one.
pub(super) const DEFAULT_EXP: &str = "3012";

/// What came of a payment by the widget or the hosted page.
#[derive(Serialize)]
pub(super) struct Paid {
    pub(super) transaction_id: i64,
    pub(super) status: &'static str,
    pub(super) reason_code: u16,
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
    /// The payer has to visit this page first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acs_url: Option<String>,
    /// What to post to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pa_req: Option<String>,
}

/// A widget payment out of parameters named in the widget's or the API's way.
pub(super) fn draft(params: &Params, shell: &Shell) -> Result<Draft, Invalid> {
    let either = |snake: &str, camel: &str| params.text(snake).or_else(|| params.text(camel));
    if either("public_id", "publicId").is_some_and(|id| id != shell.config.public_id) {
        return Err(Invalid("unknown publicId".to_owned()));
    }
    let exp = params.text("exp").unwrap_or_else(|| DEFAULT_EXP.to_owned());
    let card =
        Card::from_number(&params.required("card")?, &exp).ok_or_else(|| Invalid("Invalid card value".to_owned()))?;
    let schema = Schema::parse(&params.text("schema").unwrap_or_default());
    let mut draft = Draft::read(params, card, schema, &shell.config.default_currency)?;
    draft.invoice_id = either("invoice_id", "invoiceId");
    draft.account_id = either("account_id", "accountId");
    draft.json_data = params.json_text("data").or_else(|| params.json_text("JsonData"));
    draft.ip_address = Some(either("ip_address", "ipAddress").unwrap_or_else(|| "127.0.0.1".to_owned()));
    draft.skip_three_ds = params.flag("skip_three_ds").unwrap_or(false);
    Ok(draft)
}

/// Runs a payment to its end or to the bank page; a payer who goes away does not stop it.
pub(super) async fn pay(draft: Draft, shell: &web::Data<Shell>) -> Option<Paid> {
    let running = shell.clone();
    let work = async move {
        let progress = running.engine().begin_widget(draft, running.now());
        running.finish(progress).await
    };
    paid(rt::spawn(work).await.ok()?, shell)
}

/// Sums an answer up for people and scripts.
pub(super) fn paid(answer: ApiAnswer, shell: &Shell) -> Option<Paid> {
    let engine = shell.engine();
    let transaction = engine.transaction(answer.transaction_id?)?;
    let body: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
    let of_bank = |key: &str| body.pointer(&format!("/Model/{key}"))?.as_str().map(str::to_owned);
    Some(Paid {
        transaction_id: transaction.id,
        status: transaction.status.name(),
        reason_code: transaction.reason_code,
        reason: crate::reasons::name(transaction.reason_code),
        message: crate::reasons::holder_message(transaction.reason_code),
        acs_url: of_bank("AcsUrl"),
        pa_req: of_bank("PaReq"),
    })
}

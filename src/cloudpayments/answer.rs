//! Reads answers of the API (contract sections 2.2, 2.5 and 4). Pure: HTTP status and body in, [`Outcome`] out.

use crate::domain::evidence::{Fact, TransactionKind};
use crate::domain::payment::ThreeDs;
use crate::domain::register::Claim;

use super::convert::{NoFact, claim, date, our_data, shown_text, transaction, transaction_id};
use super::fields::{Fields, json_items, lossy_text};
use super::outcome::{ChargeAnswer, ClaimPage, NotSent, Outcome, Page, RefundAnswer, Unreadable};

/// Items on a full page of the register (contract section 4.12).
const PAGE_SIZE: usize = 100;

/// The envelope around every answer.
struct Envelope {
    success: bool,
    message: Option<String>,
    fields: Fields,
}

impl Envelope {
    /// The model, when it is an object.
    fn model(&self) -> Option<Fields> {
        self.fields.nested("model").and_then(Fields::from_json)
    }

    /// Whether there is no model, or null.
    fn has_no_model(&self) -> bool {
        !self.fields.has("model")
    }

    /// `Success:false` without a model: refused. `Success:true`: whether that is enough is for the caller to say.
    fn refused<T>(self) -> Outcome<T> {
        if self.success || !self.has_no_model() {
            return Outcome::unknown("an answer of no known shape");
        }
        Outcome::Refused { message: self.message.as_deref().and_then(shown_text) }
    }
}

/// What the HTTP status alone says. `None` for 200: the body decides.
pub fn from_status<T>(status: u16) -> Option<Outcome<T>> {
    match status {
        200 => None,
        401 => Some(Outcome::not_sent(NotSent::Credentials)),
        429 => Some(Outcome::not_sent(NotSent::TooManyRequests)),
        other => Some(Outcome::unknown(format!("HTTP {other}"))),
    }
}

fn envelope<T>(status: u16, body: &[u8]) -> Result<Envelope, Outcome<T>> {
    if let Some(outcome) = from_status(status) {
        return Err(outcome);
    }
    let Some(fields) = Fields::from_json(&lossy_text(body)) else {
        return Err(Outcome::unknown("the answer is not a JSON object"));
    };
    match fields.text("success") {
        Some("true") => Ok(Envelope { success: true, message: fields.owned("message"), fields }),
        Some("false") => Ok(Envelope { success: false, message: fields.owned("message"), fields }),
        _ => Err(Outcome::unknown("the answer has no Success")),
    }
}

/// Answers to charge, auth and post3ds (contract section 4.2). `expected` is the transaction that was asked about, where
/// there is one; a second one by a reserve bank answers for it.
pub fn parse_charge(status: u16, body: &[u8], expected: Option<i64>) -> Outcome<ChargeAnswer> {
    let envelope = match envelope(status, body) {
        Ok(envelope) => envelope,
        Err(outcome) => return outcome,
    };
    let Some(model) = envelope.model() else {
        return envelope.refused();
    };
    if !model.has("status") && (model.has("acsurl") || model.has("pareq")) {
        return three_ds(&model, expected);
    }
    match transaction(&model, Some(TransactionKind::Payment)) {
        Ok(fact) if fact.kind != TransactionKind::Payment => Outcome::unknown("the answer to a payment is a refund"),
        Ok(fact) if expected.is_some_and(|id| id != fact.transaction_id && !follows(&model, id)) => {
            Outcome::unknown("the answer is about another transaction")
        }
        Ok(fact) => Outcome::Answered(ChargeAnswer::Transaction(fact)),
        Err(no_fact) => unreadable(no_fact),
    }
}

/// Whether a reserve bank was asked after this transaction had been refused (contract section 3). That the second one is
/// the same payment's is for the caller to see.
fn follows(model: &Fields, declined: i64) -> bool {
    transaction_id(model, "fallbackscenariodeclinedtransactionid") == Some(declined)
}

/// The short model of 3-D Secure: `AcsUrl`, `PaReq`, `TransactionId`, no status (contract section 4.2, outcome 2). The
/// browser is sent to `AcsUrl`, so it has to be a web address.
fn three_ds(model: &Fields, expected: Option<i64>) -> Outcome<ChargeAnswer> {
    let (Some(transaction_id), Some(acs_url), Some(pa_req)) =
        (transaction_id(model, "transactionid"), model.owned("acsurl"), model.owned("pareq"))
    else {
        return Outcome::unknown("an incomplete answer for 3-D Secure");
    };
    if expected.is_some_and(|id| id != transaction_id) {
        return Outcome::unknown("the answer is about another transaction");
    }
    let is_web_address =
        reqwest::Url::parse(&acs_url).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    if !is_web_address {
        return Outcome::unknown("the bank's page for 3-D Secure is not a web address");
    }
    Outcome::Answered(ChargeAnswer::ThreeDs(ThreeDs { transaction_id, acs_url, pa_req }))
}

/// Answers to confirm, void and test (contract sections 4.1, 4.5, 4.6): only `Success`.
pub fn parse_done(status: u16, body: &[u8]) -> Outcome<()> {
    match envelope(status, body) {
        Ok(envelope) if envelope.success => Outcome::Answered(()),
        Ok(envelope) => envelope.refused(),
        Err(outcome) => outcome,
    }
}

/// Answers to refund (contract section 4.7).
pub fn parse_refund(status: u16, body: &[u8]) -> Outcome<RefundAnswer> {
    let envelope = match envelope(status, body) {
        Ok(envelope) => envelope,
        Err(outcome) => return outcome,
    };
    let refund = envelope.model().as_ref().and_then(|model| transaction_id(model, "transactionid"));
    match refund {
        Some(transaction_id) if envelope.success => Outcome::Answered(RefundAnswer { transaction_id }),
        _ => envelope.refused(),
    }
}

/// Answers to get and find (contract sections 4.9 and 4.10). A model is a find, whatever `Success` says. `expected` is
/// the transaction that was asked for, where there is one; `kind_unless_told` as in [`transaction`].
pub fn parse_lookup(
    status: u16,
    body: &[u8],
    expected: Option<i64>,
    kind_unless_told: Option<TransactionKind>,
) -> Outcome<Option<Fact>> {
    let envelope = match envelope(status, body) {
        Ok(envelope) => envelope,
        Err(outcome) => return outcome,
    };
    let Some(model) = envelope.model() else {
        return not_found(envelope);
    };
    match transaction(&model, kind_unless_told) {
        Ok(fact) if expected.is_some_and(|id| id != fact.transaction_id) => {
            Outcome::unknown("the answer is about another transaction")
        }
        Ok(fact) => Outcome::Answered(Some(fact)),
        Err(no_fact) => unreadable(no_fact),
    }
}

fn not_found(envelope: Envelope) -> Outcome<Option<Fact>> {
    let says_so = envelope.message.as_deref().is_some_and(|message| message.trim().eq_ignore_ascii_case("not found"));
    if !envelope.success && envelope.has_no_model() && says_so {
        return Outcome::Answered(None);
    }
    envelope.refused()
}

/// Answers to the register (contract section 4.12). One item that cannot be read does not hide the others.
pub fn parse_list(status: u16, body: &[u8]) -> Outcome<Page> {
    let envelope = match envelope(status, body) {
        Ok(envelope) => envelope,
        Err(outcome) => return outcome,
    };
    let items = envelope.fields.nested("model").and_then(json_items);
    let Some(items) = items.filter(|_| envelope.success) else {
        return envelope.refused();
    };
    let mut page = Page { last: items.len() < PAGE_SIZE, ..Page::default() };
    for item in &items {
        let model = Fields::from_json(item.get()).unwrap_or_default();
        match transaction(&model, None) {
            Ok(fact) => page.facts.push(fact),
            Err(NoFact::Payout) => {}
            Err(NoFact::Unreadable(_)) => page.unreadable.push(what_is_left(&model)),
        }
    }
    Outcome::Answered(page)
}

/// Answers to the list of chargebacks (contract section 4.14). One item that cannot be read does not hide the others.
pub fn parse_chargebacks(status: u16, body: &[u8]) -> Outcome<ClaimPage> {
    let envelope = match envelope(status, body) {
        Ok(envelope) => envelope,
        Err(outcome) => return outcome,
    };
    let items = envelope.fields.nested("model").and_then(json_items);
    let Some(items) = items.filter(|_| envelope.success) else {
        return envelope.refused();
    };
    let claims: Vec<Claim> = items.iter().filter_map(|item| claim(&Fields::from_json(item.get())?)).collect();
    Outcome::Answered(ClaimPage { last: items.len() < PAGE_SIZE, unreadable: items.len() - claims.len(), claims })
}

/// Whose an item is can often be told although what it is cannot.
fn what_is_left(model: &Fields) -> Unreadable {
    let data = our_data(model.json("jsondata"));
    Unreadable {
        transaction_id: transaction_id(model, "transactionid"),
        invoice_id: model.owned("invoiceid"),
        payment_id: data.payment_id,
        refund_id: data.refund_id,
        made_at: date(model, "createddate"),
    }
}

fn unreadable<T>(no_fact: NoFact) -> Outcome<T> {
    match no_fact {
        NoFact::Payout => Outcome::unknown("a payout"),
        NoFact::Unreadable(reason) => Outcome::unknown(reason),
    }
}

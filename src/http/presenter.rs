//! Turns payments and refunds into answers.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::approval_views::approval_view;
use super::intent;
use super::personal_data::erasure_view;
use super::records::{CauseView, RefundFailureView, RefundView, TransitionView};
use super::register_views::{discrepancy_view, reconciliation_view};
use super::view::{
    CardView, DeclineView, MethodView, Moment, NextActionView, OutcomeView, PayerView, PaymentView, SupportView,
    TextsView, TransactionView,
};
use crate::app::{ApprovalDetails, Erasure, PaymentDetails, Present, ReconciliationDetails, StoredAnswer, Transition};
use crate::clock::Timestamp;
use crate::domain::approval::ApprovalState;
use crate::domain::decline::{self, DeclineCategory, Texts};
use crate::domain::evidence::{Card, Transaction, TransactionKind, TransactionStatus};
use crate::domain::payment::{Method, Payer, Payment, ThreeDs};
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::register::Discrepancy;
use crate::domain::state::{Certainty, Status};
use crate::vault::Vault;

/// What signed links of 3-D Secure are signed for.
pub(super) const THREE_DS_LINK: &str = "three_ds";

/// Whom payers can call.
#[derive(Debug, Clone)]
pub struct SupportContacts {
    /// Telephone of the insurer.
    pub phone: String,
    /// E-mail of the insurer.
    pub email: String,
    /// E-mail of the processing centre.
    pub provider_email: String,
}

impl Default for SupportContacts {
    fn default() -> SupportContacts {
        SupportContacts {
            phone: "+7 (727) 345 01 25".to_owned(),
            email: "info@kmic.kz".to_owned(),
            provider_email: "support@cloudpayments.kz".to_owned(),
        }
    }
}

/// What answers need to know of the settings.
#[derive(Debug, Clone)]
pub struct PresenterSettings {
    /// Base of our public addresses, without a slash at its end.
    pub public_url: String,
    /// The public id of the provider's terminal.
    pub public_id: String,
    /// The script of the provider's window.
    pub widget_script_url: String,
    /// Whom payers can call.
    pub support: SupportContacts,
}

/// Turns payments and refunds into answers.
#[derive(Debug)]
pub struct Presenter {
    settings: PresenterSettings,
    vault: Arc<Vault>,
}

impl Presenter {
    /// From settings, and the keys that sign links.
    pub fn new(settings: PresenterSettings, vault: Arc<Vault>) -> Presenter {
        Presenter { settings, vault }
    }

    pub(super) fn support(&self) -> SupportView<'_> {
        let support = &self.settings.support;
        SupportView { phone: &support.phone, email: &support.email, provider_email: &support.provider_email }
    }

    pub(super) fn payment_view<'a>(&'a self, details: &'a PaymentDetails) -> PaymentView<'a> {
        let payment = &details.payment;
        let money = |minor: i64, when: bool| when.then(|| payment.money(minor).into());
        let (sums, taken) = (payment.sums, payment.sums.captured > 0);
        PaymentView {
            id: payment.id.as_str(),
            status: payment.status.as_str(),
            outcome: outcome(payment.certainty, payment.decide_by),
            amount: payment.amount.into(),
            authorized: money(sums.authorized, sums.authorized > 0),
            captured: money(sums.captured, taken),
            refunded: money(sums.refunded, taken),
            refundable: money(sums.refundable(), taken),
            invoice_id: &payment.invoice_id,
            description: &payment.description,
            capture: payment.capture.as_str(),
            language: payment.language.as_str(),
            payer: payer(&payment.payer),
            erased: payment.erased.then_some(true),
            method: MethodView { r#type: payment.method.as_str() },
            return_url: payment.return_url.as_deref(),
            next_action: self.next_action(payment),
            card: card(&details.transactions),
            decline: self.decline(details),
            attention: payment.attention.as_deref(),
            transactions: details.transactions.iter().map(transaction).collect(),
            held_by: None,
            metadata: raw(&payment.metadata),
            test_mode: payment.test_mode,
            created_at: Moment(payment.created_at),
            updated_at: Moment(payment.updated_at),
            expires_at: Moment(payment.expires_at),
        }
    }

    fn next_action<'a>(&'a self, payment: &'a Payment) -> Option<NextActionView<'a>> {
        match (payment.status, payment.method, &payment.three_ds) {
            (Status::AwaitingPayer, Method::Widget, _) => Some(self.open_widget(payment)),
            (Status::AwaitingAuthentication, _, Some(three_ds)) => Some(self.three_ds(payment, three_ds)),
            _ => None,
        }
    }

    fn open_widget<'a>(&'a self, payment: &'a Payment) -> NextActionView<'a> {
        NextActionView {
            r#type: "open_widget",
            script_url: Some(&self.settings.widget_script_url),
            intent: Some(intent::of(payment, &self.settings.public_id)),
            redirect_url: None,
            acs_url: None,
            pa_req: None,
            md: None,
            term_url: None,
        }
    }

    fn three_ds<'a>(&'a self, payment: &'a Payment, three_ds: &'a ThreeDs) -> NextActionView<'a> {
        NextActionView {
            r#type: "three_ds",
            script_url: None,
            intent: None,
            redirect_url: Some(self.three_ds_link(payment, "redirect")),
            acs_url: Some(&three_ds.acs_url),
            pa_req: Some(&three_ds.pa_req),
            md: Some(three_ds.transaction_id.to_string()),
            term_url: Some(self.term_url(payment)),
        }
    }

    /// Where the bank sends the payer back to.
    pub(super) fn term_url(&self, payment: &Payment) -> String {
        self.three_ds_link(payment, "return")
    }

    fn three_ds_link(&self, payment: &Payment, step: &str) -> String {
        let id = payment.id.as_str();
        let signature = self.vault.sign_link(THREE_DS_LINK, id);
        format!("{}/v1/three-ds/{id}/{step}?signature={signature}", self.settings.public_url.trim_end_matches('/'))
    }

    fn decline(&self, details: &PaymentDetails) -> Option<DeclineView<'_>> {
        let payment = &details.payment;
        let shown = payment.status == Status::Declined
            || (payment.method.is_hosted() && payment.status == Status::AwaitingPayer);
        let refused = |transaction: &&Transaction| {
            transaction.kind == TransactionKind::Payment && transaction.status == TransactionStatus::Declined
        };
        let last = details.transactions.iter().rev().find(refused).filter(|_| shown);
        let (reason_code, category, message, retryable) = match last {
            Some(transaction) => {
                let reason = decline::classify(transaction.reason_code.unwrap_or_default());
                (Some(reason.code), reason.category, reason.texts(), reason.retryable)
            }
            // The provider refused the request itself: there is no transaction and no code.
            None if payment.status == Status::Declined => {
                let category = DeclineCategory::ProcessingError;
                (None, category, category.texts(), false)
            }
            None => return None,
        };
        Some(DeclineView {
            reason_code,
            category: category.as_str(),
            message: texts(message),
            provider_message: None,
            contact: category.contact().as_str(),
            support: self.support(),
            retryable,
        })
    }
}

impl Present for Presenter {
    fn payment(&self, details: &PaymentDetails, created: bool) -> StoredAnswer {
        let payment = &details.payment;
        let open = payment.certainty == Certainty::Undetermined || payment.status == Status::Processing;
        let status = match (open, created) {
            (true, _) => 202,
            (false, true) => 201,
            (false, false) => 200,
        };
        let location = created.then(|| format!("/v1/payments/{}", payment.id));
        StoredAnswer { status, location, body: body(&self.payment_view(details)) }
    }

    fn refund(&self, refund: &Refund) -> StoredAnswer {
        let open = refund.certainty == Certainty::Undetermined || refund.status == RefundStatus::Pending;
        let location = Some(format!("/v1/refunds/{}", refund.id));
        StoredAnswer { status: if open { 202 } else { 201 }, location, body: body(&refund_view(refund)) }
    }

    fn reconciliation(&self, details: &ReconciliationDetails) -> StoredAnswer {
        let location = Some(format!("/v1/reconciliations/{}", details.run.id));
        StoredAnswer { status: 201, location, body: body(&reconciliation_view(details)) }
    }

    fn discrepancy(&self, discrepancy: &Discrepancy) -> StoredAnswer {
        let waits = discrepancy.proposal.is_some() && discrepancy.closing.is_none();
        let status = if waits { 202 } else { 200 };
        StoredAnswer { status, location: None, body: body(&discrepancy_view(discrepancy)) }
    }

    fn approval(&self, details: &ApprovalDetails, created: bool) -> StoredAnswer {
        let approved = details.approval.state == ApprovalState::Approved;
        let open = details.refund.as_ref().is_some_and(|refund| refund.status == RefundStatus::Pending);
        let status = match (created, approved && open) {
            (true, _) => 201,
            (false, true) => 202,
            (false, false) => 200,
        };
        let location = created.then(|| format!("/v1/approvals/{}", details.approval.id));
        StoredAnswer { status, location, body: body(&approval_view(details)) }
    }

    fn erasure(&self, erasure: &Erasure) -> StoredAnswer {
        StoredAnswer { status: 200, location: None, body: body(&erasure_view(erasure)) }
    }
}

/// Views hold nothing that cannot be written as JSON.
fn body(view: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(view).unwrap_or_default()
}

/// A JSON object as text, from our own database; no text is an empty object.
fn raw(text: &str) -> &RawValue {
    let object = if text.starts_with('{') { text } else { "{}" };
    serde_json::from_str(object).unwrap_or(RawValue::NULL)
}

pub(super) fn texts(texts: Texts) -> TextsView {
    TextsView { kk: texts.kk, ru: texts.ru, en: texts.en }
}

fn outcome(certainty: Certainty, decide_by: Option<Timestamp>) -> OutcomeView {
    let decide_by = decide_by.filter(|_| certainty == Certainty::Undetermined).map(Moment);
    OutcomeView { certainty: certainty.as_str(), decide_by }
}

fn payer(payer: &Payer) -> Option<PayerView<'_>> {
    if *payer == Payer::default() {
        return None;
    }
    Some(PayerView {
        account_id: payer.account_id.as_deref(),
        email: payer.email.as_deref(),
        phone: payer.phone.as_deref(),
        name: payer.name.as_deref(),
        ip_address: payer.ip_address.as_deref(),
    })
}

/// The card of the transaction with the strongest evidence, the newest of equals.
fn card(transactions: &[Transaction]) -> Option<CardView<'_>> {
    let payments = transactions.iter().filter(|transaction| transaction.kind == TransactionKind::Payment);
    let card = &payments.max_by_key(|transaction| transaction.status)?.card;
    if *card == Card::default() {
        return None;
    }
    Some(CardView {
        brand: card.brand.as_deref(),
        first_six: card.first_six.as_deref(),
        last_four: card.last_four.as_deref(),
        issuer: card.issuer.as_deref(),
    })
}

fn transaction(transaction: &Transaction) -> TransactionView<'_> {
    let currency = transaction.amount.currency;
    let less = transaction.captured > 0 && transaction.captured < transaction.amount.minor;
    TransactionView {
        id: transaction.id.as_str(),
        transaction_id: transaction.transaction_id,
        kind: transaction.kind.as_str(),
        status: transaction.status.as_str(),
        amount: transaction.amount.into(),
        captured: less.then(|| crate::domain::money::Money::new(transaction.captured, currency).into()),
        parent_transaction_id: transaction.parent_transaction_id,
        refund_id: transaction.refund_id.as_ref().map(|id| id.as_str()),
        reason_code: transaction.reason_code,
        created_at: Moment(transaction.created_at),
        updated_at: Moment(transaction.updated_at),
    }
}

pub(super) fn refund_view(refund: &Refund) -> RefundView<'_> {
    RefundView {
        id: refund.id.as_str(),
        payment_id: refund.payment_id.as_str(),
        amount: refund.amount.into(),
        status: refund.status.as_str(),
        outcome: outcome(refund.certainty, refund.decide_by),
        reason: refund.reason.as_deref(),
        failure: refund.failure.as_deref().map(|message| RefundFailureView { message }),
        transaction_id: refund.transaction_id,
        created_at: Moment(refund.created_at),
        updated_at: Moment(refund.updated_at),
    }
}

pub(super) fn transition_view(transition: &Transition) -> TransitionView<'_> {
    TransitionView {
        sequence: transition.sequence,
        from: transition.from.map(Status::as_str),
        to: transition.to.as_str(),
        cause: CauseView { r#type: transition.cause.kind.as_str(), id: transition.cause.id.as_deref() },
        actor: &transition.cause.actor,
        at: Moment(transition.at),
        transaction_id: transition.transaction_id,
        detail: raw(&transition.detail),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::payment::Sums;
    use crate::http::examples::{details, presenter, transaction};

    fn answer(details: &PaymentDetails, created: bool) -> (StoredAnswer, Value) {
        let stored = presenter().payment(details, created);
        let body = serde_json::from_slice(&stored.body).unwrap();
        (stored, body)
    }

    #[test]
    fn a_widget_payment_tells_how_to_open_the_window() {
        let (stored, body) = answer(&details(), true);
        assert_eq!(stored.status, 201);
        assert_eq!(stored.location.unwrap(), format!("/v1/payments/{}", body["id"].as_str().unwrap()));
        assert!(
            String::from_utf8(stored.body).unwrap().contains("\"amount\":12500.00,\"currency\":\"KZT\",\"externalId\"")
        );
        let intent = &body["next_action"]["intent"];
        assert_eq!(body["next_action"]["type"], "open_widget");
        assert_eq!(intent["publicTerminalId"], "pk_example");
        assert_eq!(intent["paymentSchema"], "Single");
        assert_eq!(intent["userInfo"], json!({"accountId": "client-77", "email": "payer@example.test"}));
        assert_eq!(intent["metadata"], json!({"payment_id": body["id"]}));
        assert_eq!(body["outcome"], json!({"certainty": "proven"}));
        for absent in ["captured", "refunded", "refundable", "authorized", "card", "decline", "test_mode", "attention"]
        {
            assert!(body.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn a_refused_attempt_shows_why_and_the_window_stays_open() {
        let mut details = details();
        details.transactions = vec![transaction(TransactionStatus::Declined, Some(5051))];
        let (_, body) = answer(&details, false);
        assert_eq!(body["decline"]["category"], "insufficient_funds");
        assert_eq!(body["decline"]["support"]["email"], "info@kmic.kz");
        assert_eq!(body["next_action"]["type"], "open_widget");
        assert_eq!(body["card"]["last_four"], "4242");
        details.payment.status = Status::Paid;
        assert!(answer(&details, false).1.get("decline").is_none());
    }

    #[test]
    fn three_ds_gives_signed_addresses() {
        let mut details = details();
        details.payment.method = Method::CardCryptogram;
        details.payment.status = Status::AwaitingAuthentication;
        details.payment.three_ds = Some(ThreeDs {
            transaction_id: 3_541_977_847,
            acs_url: "https://acs".to_owned(),
            pa_req: "+/x".to_owned(),
        });
        let (stored, body) = answer(&details, true);
        let action = &body["next_action"];
        assert_eq!((stored.status, &action["md"]), (201, &json!("3541977847")));
        let id = details.payment.id.as_str();
        let signature = Vault::new(&[0; 32], &[]).sign_link(THREE_DS_LINK, id);
        assert_eq!(
            action["redirect_url"],
            format!("https://pay.example.kz/v1/three-ds/{id}/redirect?signature={signature}")
        );
        assert_eq!(action["term_url"], format!("https://pay.example.kz/v1/three-ds/{id}/return?signature={signature}"));
    }

    #[test]
    fn what_is_not_known_yet_is_202() {
        let mut details = details();
        details.payment.status = Status::Processing;
        assert_eq!((answer(&details, true).0.status, answer(&details, false).0.status), (202, 202));
        details.payment.status = Status::Authorized;
        details.payment.certainty = Certainty::Undetermined;
        details.payment.decide_by = Some(details.payment.created_at.plus_seconds(3600));
        let (stored, body) = answer(&details, false);
        assert_eq!((stored.status, stored.location), (202, None));
        assert_eq!(body["outcome"], json!({"certainty": "undetermined", "decide_by": "2026-03-02T06:14:07Z"}));
    }

    #[test]
    fn sums_are_shown_once_there_is_money() {
        let mut details = details();
        details.payment.status = Status::PartiallyRefunded;
        details.payment.sums = Sums {
            authorized: 1_250_000,
            captured: 1_200_000,
            refunded: 200_000,
            refund_pending: 100_000,
            refund_excess: 0,
        };
        let (_, body) = answer(&details, false);
        let value = |name: &str| body[name]["value"].as_str().unwrap().to_owned();
        assert_eq!(
            [value("authorized"), value("captured"), value("refunded"), value("refundable")],
            ["12500.00", "12000.00", "2000.00", "9000.00"]
        );
    }
}

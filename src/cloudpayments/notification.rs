//! Notifications (contract section 8.5). Read leniently; what they prove is decided strictly.

use crate::clock::Timestamp;
use crate::domain::evidence::{Card, Fact, Settlement, TransactionKind, TransactionStatus};
use crate::domain::money::{Currency, Money};

use super::convert;
use super::fields::{Fields, lossy_text};

/// A notification as far as we use it. The type is not among it: the provider tells it by the address only.
#[derive(Debug, Clone, Default)]
pub struct Notification {
    /// The transaction it is about; a refund's own one in Refund.
    pub transaction_id: Option<i64>,
    /// In Refund: the payment that was given back from.
    pub payment_transaction_id: Option<i64>,
    /// As text, not checked.
    pub amount: Option<String>,
    /// ISO letters, not checked; Refund and Cancel have none.
    pub currency: Option<String>,
    /// The bill; a charge of a subscription has none.
    pub invoice_id: Option<String>,
    /// The payer's id.
    pub account_id: Option<String>,
    /// The plan that made the payment.
    pub subscription_id: Option<String>,
    /// The plan that a Recurrent is about, or the receipt that a Receipt is about.
    pub id: Option<String>,
    /// What the payment is or will be; in Recurrent the plan's state.
    pub status: Option<String>,
    /// `Payment`, `Refund` or `CardPayout`.
    pub operation_type: Option<String>,
    /// Why it was refused.
    pub reason_code: Option<i32>,
    /// Our ids, from the data that we sent along.
    pub data: NotificationData,
    /// What may be shown of the card.
    pub card: Card,
    /// Whether the terminal is in test mode.
    pub test_mode: Option<bool>,
    /// What the provider keeps for it, minor units; Pay only.
    pub fee: Option<i64>,
    /// When the transaction was made (`DateTime`, UTC).
    pub made_at: Option<Timestamp>,
}

/// Our ids in `Data`; both absent when it is missing, empty or not JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotificationData {
    /// Our payment.
    pub payment_id: Option<String>,
    /// Our refund.
    pub refund_id: Option<String>,
}

/// The types that state something about a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationFact {
    /// May it be paid?
    Check,
    /// Paid or held.
    Pay,
    /// Refused.
    Fail,
    /// Taken after a hold.
    Confirm,
    /// Given back.
    Refund,
    /// Hold released.
    Cancel,
}

/// Reads a body or a query string whose signature holds.
///
/// # Errors
/// When it is neither a JSON object nor a form with at least one value. The text tells no content.
pub fn parse(signed: &[u8], is_json: bool) -> Result<Notification, String> {
    let fields = if is_json {
        Fields::from_json(&lossy_text(signed)).ok_or("the notification is not a JSON object")?
    } else {
        form(signed)?
    };
    if fields.is_empty() {
        return Err("the notification is empty".to_owned());
    }
    Ok(Notification::from_fields(&fields))
}

/// The type of the body is not signed, so JSON that came under the name of a form is not read as one: a text inside it
/// could hold `&Amount=…`.
fn form(signed: &[u8]) -> Result<Fields, String> {
    match signed.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[' | b'"') => Err("the notification is JSON but its content type says form".to_owned()),
        _ => Ok(Fields::from_form(signed)),
    }
}

impl Notification {
    fn from_fields(fields: &Fields) -> Notification {
        let data = convert::our_data(fields.json("data"));
        Notification {
            transaction_id: convert::transaction_id(fields, "transactionid"),
            payment_transaction_id: convert::transaction_id(fields, "paymenttransactionid"),
            amount: fields.owned("amount"),
            currency: fields.owned("currency"),
            invoice_id: fields.owned("invoiceid"),
            account_id: fields.owned("accountid"),
            subscription_id: fields.owned("subscriptionid"),
            id: fields.owned("id"),
            status: fields.owned("status"),
            operation_type: fields.owned("operationtype"),
            reason_code: convert::reason_code(fields),
            data: NotificationData { payment_id: data.payment_id, refund_id: data.refund_id },
            card: convert::card(fields),
            test_mode: fields.truth("testmode"),
            fee: convert::side_sum(fields, "totalfee", fields.text("currency").and_then(Currency::parse)),
            made_at: convert::made_at(fields),
        }
    }

    /// The amount in the currency that the notification states; `None` when either is missing or not one.
    pub fn money(&self) -> Option<Money> {
        self.money_in(None)
    }

    /// `assumed` is the payment's currency, for types that state none. When one is stated that differs, the sum is not
    /// known: the contract has a refund in the payment's currency (section 4.7).
    fn money_in(&self, assumed: Option<Currency>) -> Option<Money> {
        let currency = match (self.currency.as_deref(), assumed) {
            (None, assumed) => assumed?,
            (Some(stated), None) => Currency::parse(stated)?,
            (Some(stated), Some(assumed)) => Currency::parse(stated).filter(|currency| *currency == assumed)?,
        };
        convert::money(self.amount.as_deref(), Some(currency))
    }

    /// What a notification of this type proves; `None` when it is not about a payment or a refund, or contradicts its
    /// type. The type is not signed, so a message for one address is not taken at another when its content tells the
    /// difference. `fallback_currency` is the payment's, for Refund and Cancel, which state none.
    pub fn fact(&self, kind: NotificationFact, fallback_currency: Option<Currency>) -> Option<Fact> {
        let status = self.proves(kind)?;
        let is_refund = kind == NotificationFact::Refund;
        let states_no_currency = matches!(kind, NotificationFact::Refund | NotificationFact::Cancel);
        Some(Fact {
            transaction_id: self.transaction_id?,
            kind: if is_refund { TransactionKind::Refund } else { TransactionKind::Payment },
            status,
            amount: self.money_in(fallback_currency.filter(|_| states_no_currency)),
            is_capture: kind == NotificationFact::Confirm,
            parent_transaction_id: self.payment_transaction_id.filter(|_| is_refund),
            reason_code: self.reason_code.filter(|_| kind == NotificationFact::Fail),
            card: self.card.clone(),
            invoice_id: self.invoice_id.clone(),
            payment_id: self.data.payment_id.clone(),
            refund_id: self.data.refund_id.clone().filter(|_| is_refund),
            account_id: self.account_id.clone(),
            subscription_id: self.subscription_id.clone(),
            test_mode: self.test_mode,
            made_at: None,
            // `DateTime` is when the transaction was made, which may be long before money moved (contract section 8.5).
            settlement: Settlement { fee: self.fee, ..Settlement::default() },
        })
    }

    /// Whether the content itself says that the bank refused: the type is not signed, and what money may be behind is never
    /// taken for a refusal.
    pub fn tells_of_a_refusal(&self) -> bool {
        let status = self.status.as_deref();
        self.proves(NotificationFact::Fail).is_some()
            && (self.reason_code.is_some() || status == Some("Declined"))
            && !matches!(status, Some("Completed" | "Authorized"))
    }

    fn proves(&self, kind: NotificationFact) -> Option<TransactionStatus> {
        let (status, operation) = (self.status.as_deref(), self.operation_type.as_deref());
        let about_payment = matches!(operation, None | Some("Payment"));
        match kind {
            NotificationFact::Check => about_payment.then_some(TransactionStatus::Checked),
            NotificationFact::Pay if about_payment => match status? {
                "Completed" => Some(TransactionStatus::Completed),
                "Authorized" => Some(TransactionStatus::Authorized),
                _ => None,
            },
            NotificationFact::Pay => None,
            NotificationFact::Fail => {
                let tells_why = self.reason_code.is_some() || matches!(status, None | Some("Declined"));
                (about_payment && tells_why).then_some(TransactionStatus::Declined)
            }
            NotificationFact::Confirm => {
                (about_payment && matches!(status, None | Some("Completed"))).then_some(TransactionStatus::Completed)
            }
            NotificationFact::Refund => {
                let about_refund = matches!(operation, None | Some("Refund")) && self.payment_transaction_id.is_some();
                about_refund.then_some(TransactionStatus::Completed)
            }
            NotificationFact::Cancel => {
                (about_payment && matches!(status, None | Some("Cancelled"))).then_some(TransactionStatus::Voided)
            }
        }
    }
}

//! What the site orders, always worded the same under the same key.

use cloudpayments_sandbox::cards::Card;
use cloudpayments_sandbox::engine::{Draft, Schema};
use secrecy::SecretString;

use super::chance::Chance;
use crate::app::{Caller, Idempotency, NewMethod, NewPayment, NewRefund};
use crate::domain::id::ApiKeyId;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{CaptureMode, Language, Payer};
use crate::domain::scope::Scope;
use crate::vault;

/// First six, last four: approved, refused; with 3-D Secure approved, refused.
const CARDS: [(&str, &str); 4] = [("400000", "3055"), ("400005", "5556"), ("424242", "4242"), ("401288", "1881")];
/// Some sums are frequent, so that equal sums meet.
const SUMS: [u64; 4] = [1_00, 1_250_000, 1_250_000, 700_050];

/// The site's API key.
pub(super) fn caller(request_id: &str) -> Caller {
    Caller {
        key_id: ApiKeyId::from_stored("key_simulated_site".to_owned()),
        lineage: ApiKeyId::from_stored("key_simulated_site".to_owned()),
        scopes: Scope::ALL.to_vec(),
        request_id: Some(request_id.to_owned()),
    }
}

/// The mark of a request that says `what`.
pub(super) fn mark(key: &str, what: &str) -> Idempotency {
    Idempotency { key: key.to_owned(), endpoint: what.to_owned(), fingerprint: vault::digest(&[what.as_bytes()]) }
}

/// A payment that the site wants.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// Idempotency-Key, and the description that the provider keeps.
    pub key: String,
    pub amount: Money,
    pub invoice_id: String,
    /// Whether no other order has this bill.
    pub only_one: bool,
    pub manual: bool,
    pub account_id: String,
    pub expires_in_s: Option<i64>,
    /// Card data for a charge at once; none for the window.
    pub card: Option<CardData>,
}

/// Card data as the site gets it from the browser.
#[derive(Debug, Clone)]
pub(super) struct CardData {
    pub cryptogram: String,
    pub holder: Option<String>,
}

impl Order {
    pub(super) fn draw(number: u64, chance: &mut Chance) -> Order {
        let shared = number > 0 && chance.one_in(8);
        let bill = if shared { number - 1 } else { number };
        let minor = if chance.one_in(2) { chance.pick(&SUMS, 1_00) } else { chance.between(1, 9_999_999) };
        let sum = i64::try_from(minor).unwrap_or(1);
        let currency = if chance.one_in(10) { other_currency() } else { Currency::KZT };
        let holder = chance.one_in(6).then(|| "DECLINE 5005".to_owned());
        let card = chance.one_in(2).then(|| CardData { cryptogram: cryptogram(chance), holder });
        Order {
            key: format!("order-{number}"),
            amount: Money::new(sum, currency),
            invoice_id: format!("KM-{bill:06}"),
            only_one: false,
            manual: chance.one_in(3),
            account_id: format!("payer-{}", number % 50),
            expires_in_s: chance.pick(&[None, Some(300), Some(1_800), Some(7_200)], None),
            card,
        }
    }

    pub(super) fn mark(&self) -> Idempotency {
        mark(&self.key, &format!("{self:?}"))
    }

    pub(super) fn new_payment(&self) -> NewPayment {
        let method = match &self.card {
            None => NewMethod::Widget,
            Some(card) => NewMethod::CardCryptogram {
                cryptogram: SecretString::from(card.cryptogram.as_str()),
                cardholder_name: card.holder.clone(),
            },
        };
        NewPayment {
            amount: self.amount,
            invoice_id: self.invoice_id.clone(),
            description: self.key.clone(),
            payer: Payer {
                account_id: Some(self.account_id.clone()),
                ip_address: Some("203.0.113.7".to_owned()),
                ..Payer::default()
            },
            capture: if self.manual { CaptureMode::Manual } else { CaptureMode::Automatic },
            language: Language::Ru,
            return_url: None,
            expires_in_s: self.expires_in_s,
            metadata: "{}".to_owned(),
            method,
        }
    }

    /// What a payer does in the provider's window. Browsers can be made to say something else than the site.
    pub(super) fn in_window(&self, metadata: Option<String>, chance: &mut Chance) -> Option<Draft> {
        let (first_six, last_four) = chance.pick(&CARDS, CARDS[0]);
        let mut amount = self.amount;
        match chance.below(40) {
            0 => amount = Money::new(amount.minor + 1, amount.currency),
            1 => amount = Money::new((amount.minor - 1).max(1), amount.currency),
            2 if amount.currency == Currency::KZT => amount.currency = other_currency(),
            2 => amount.currency = Currency::KZT,
            _ => {}
        }
        Some(Draft {
            amount: cloudpayments_sandbox::money::Money::from_minor(amount.minor),
            currency: amount.currency.code().to_owned(),
            schema: if self.manual { Schema::Dual } else { Schema::Single },
            card: Card::new(first_six, last_four, "3012")?,
            by_token: None,
            invoice_id: Some(self.invoice_id.clone()),
            account_id: Some(if chance.one_in(60) { "somebody".to_owned() } else { self.account_id.clone() }),
            email: None,
            description: None,
            // Where the bill tells whose it is, the data may be missing.
            json_data: metadata.filter(|_| !(self.only_one && chance.one_in(10))),
            name: None,
            ip_address: None,
            culture: "ru".to_owned(),
            initiator: None,
            request_id: None,
            skip_three_ds: !chance.one_in(3),
        })
    }
}

/// The one that is not the tenge.
pub(super) fn other_currency() -> Currency {
    Currency::parse("USD").unwrap_or(Currency::KZT)
}

fn cryptogram(chance: &mut Chance) -> String {
    let (first_six, last_four) = chance.pick(&CARDS, CARDS[0]);
    let block = vault::base64(&chance.bytes());
    format!("01{first_six}{last_four}301204{block}")
}

/// A refund that the site wants.
#[derive(Debug, Clone)]
pub(super) struct RefundWish {
    /// Idempotency-Key, and the reason that our database keeps.
    pub key: String,
    pub amount: Option<Money>,
    pub expected_refundable: Option<Money>,
}

impl RefundWish {
    pub(super) fn mark(&self) -> Idempotency {
        mark(&self.key, &format!("{self:?}"))
    }

    pub(super) fn new_refund(&self) -> NewRefund {
        NewRefund { amount: self.amount, reason: Some(self.key.clone()), expected_refundable: self.expected_refundable }
    }
}

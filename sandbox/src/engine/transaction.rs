//! A transaction: a payment or a refund.

use crate::cards::Card;
use crate::money::Money;
use serde::Serialize;

/// State of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Status {
    /// The payer is at the bank's page.
    AwaitingAuthentication,
    /// Money is held.
    Authorized,
    /// Money is taken.
    Completed,
    /// The hold was released.
    Cancelled,
    /// Refused.
    Declined,
}

impl Status {
    /// The number used in `StatusCode`.
    pub const fn code(self) -> u8 {
        match self {
            Status::AwaitingAuthentication => 1,
            Status::Authorized => 2,
            Status::Completed => 3,
            Status::Cancelled => 4,
            Status::Declined => 5,
        }
    }

    /// The name used in `Status`.
    pub const fn name(self) -> &'static str {
        match self {
            Status::AwaitingAuthentication => "AwaitingAuthentication",
            Status::Authorized => "Authorized",
            Status::Completed => "Completed",
            Status::Cancelled => "Cancelled",
            Status::Declined => "Declined",
        }
    }
}

/// What a transaction moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionType {
    /// Money from the payer.
    Payment,
    /// Money back to the payer.
    Refund,
}

/// A transaction of the emulated service.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its number.
    pub id: i64,
    /// What it was asked to be.
    pub draft: super::Draft,
    /// Payment or refund.
    pub kind: TransactionType,
    /// State.
    pub status: Status,
    /// `ReasonCode`; 0 while nothing is decided.
    pub reason_code: u16,
    /// The bank or a Check has decided.
    pub decided: bool,
    /// A Check or the bank is at work on it right now.
    pub busy: bool,
    /// Money taken.
    pub captured: Money,
    /// Money given back.
    pub refunded: Money,
    /// The payment of a refund.
    pub payment_id: Option<i64>,
    /// The first try, which another bank refused.
    pub declined_before: Option<i64>,
    /// Token of the card, when one was issued.
    pub token: Option<String>,
    /// Made in the merchant cabinet, not through the API.
    pub from_cabinet: bool,
    /// When it was made.
    pub created_ms: i64,
    /// When the money was held.
    pub auth_ms: Option<i64>,
    /// When the money was taken.
    pub confirm_ms: Option<i64>,
}

impl Transaction {
    /// A payment about to be decided; [`super::Engine`] numbers it when it keeps it.
    pub(super) fn payment(draft: super::Draft, now: i64) -> Transaction {
        Transaction {
            id: 0,
            draft,
            kind: TransactionType::Payment,
            status: Status::AwaitingAuthentication,
            reason_code: 0,
            decided: false,
            busy: false,
            captured: Money::ZERO,
            refunded: Money::ZERO,
            payment_id: None,
            declined_before: None,
            token: None,
            from_cabinet: false,
            created_ms: now,
            auth_ms: None,
            confirm_ms: None,
        }
    }

    /// The card paid with.
    pub fn card(&self) -> &Card {
        &self.draft.card
    }

    /// What can still be given back.
    pub fn refundable(&self) -> Money {
        self.captured.minus(self.refunded)
    }

    /// The whole sum was given back.
    pub fn fully_refunded(&self) -> bool {
        self.refunded > Money::ZERO && self.refundable() == Money::ZERO
    }
}

//! Why a payment was declined, and what the payer is told about it.
//!
//! The provider names the reason by a number, the `ReasonCode` (CloudPayments documentation, reason
//! codes). [`REASONS`] lists every known number and puts it into one of eleven categories; the
//! payer's texts, the place to call and the public `category` field hang on the category alone. A
//! number that is not listed is [`DeclineCategory::Other`], so a new code of the provider never
//! stops a payment's answer.
//!
//! To add a code, add one row to the table in `decline/reasons.rs`, in order. The texts are in `decline/texts.rs`.

mod reasons;
#[cfg(test)]
mod tests;
mod texts;

use std::{error, fmt, str::FromStr};

pub use reasons::REASONS;

use DeclineCategory::{
    CardRestricted, ExpiredCard, FraudSuspected, IncorrectCardData, InsufficientFunds, IssuerUnavailable,
    LimitExceeded, OnlinePaymentsNotAllowed, Other, ProcessingError, ThreeDsFailed,
};

/// What a decline means for the payer; groups the codes of the CloudPayments documentation, reason
/// codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeclineCategory {
    /// The card is not meant for internet payments, or they are switched off.
    OnlinePaymentsNotAllowed,
    /// The account behind the card holds too little money.
    InsufficientFunds,
    /// Card number, date or code is wrong.
    IncorrectCardData,
    /// The card has expired, or its date was entered wrongly.
    ExpiredCard,
    /// The bank refuses this card, often without a reason; includes lost and stolen cards.
    CardRestricted,
    /// A limit on the amount or the number of operations was reached.
    LimitExceeded,
    /// The bank or the acquirer suspects fraud.
    FraudSuspected,
    /// The payer did not pass 3-D Secure, or it was unavailable.
    ThreeDsFailed,
    /// The issuing bank did not answer.
    IssuerUnavailable,
    /// A fault at the acquirer, the provider or in our own answer to Check.
    ProcessingError,
    /// Everything else, including codes that we do not know.
    Other,
}

impl DeclineCategory {
    /// Every category of the CloudPayments documentation, reason codes.
    pub const ALL: [Self; 11] = [
        OnlinePaymentsNotAllowed,
        InsufficientFunds,
        IncorrectCardData,
        ExpiredCard,
        CardRestricted,
        LimitExceeded,
        FraudSuspected,
        ThreeDsFailed,
        IssuerUnavailable,
        ProcessingError,
        Other,
    ];

    /// The stable name used in the API and in storage; [`FromStr`] reads it back.
    /// Our own grouping of the CloudPayments documentation, reason codes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OnlinePaymentsNotAllowed => "online_payments_not_allowed",
            InsufficientFunds => "insufficient_funds",
            IncorrectCardData => "incorrect_card_data",
            ExpiredCard => "expired_card",
            CardRestricted => "card_restricted",
            LimitExceeded => "limit_exceeded",
            FraudSuspected => "fraud_suspected",
            ThreeDsFailed => "three_ds_failed",
            IssuerUnavailable => "issuer_unavailable",
            ProcessingError => "processing_error",
            Other => "other",
        }
    }

    /// Whom the payer should call about this decline (CloudPayments documentation, reason codes).
    #[must_use]
    pub const fn contact(self) -> Contact {
        match self {
            OnlinePaymentsNotAllowed
            | InsufficientFunds
            | IncorrectCardData
            | ExpiredCard
            | CardRestricted
            | LimitExceeded
            | FraudSuspected
            | ThreeDsFailed
            | IssuerUnavailable => Contact::IssuingBank,
            ProcessingError | Other => Contact::Support,
        }
    }
}

impl FromStr for DeclineCategory {
    type Err = UnknownCategory;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|category| category.as_str() == text).ok_or(UnknownCategory)
    }
}

/// The text names none of our groups of the CloudPayments documentation, reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCategory;

impl fmt::Display for UnknownCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown decline category")
    }
}

impl error::Error for UnknownCategory {}

/// Whom the payer should call; follows the advice of the CloudPayments documentation, reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contact {
    /// The bank that issued the card.
    IssuingBank,
    /// The support contacts from settings.
    Support,
}

impl Contact {
    /// The stable name used in the API (after the CloudPayments documentation, reason codes).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IssuingBank => "issuing_bank",
            Self::Support => "support",
        }
    }
}

/// One message for the payer in three languages; says in our words what the CloudPayments
/// documentation, reason codes, advises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Texts {
    /// Kazakh, in Cyrillic.
    pub kk: &'static str,
    /// Russian.
    pub ru: &'static str,
    /// English.
    pub en: &'static str,
}

/// One row of the CloudPayments documentation, reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `ReasonCode` of the provider's answers and Fail notifications.
    pub code: i32,
    /// Name in the documentation.
    pub name: &'static str,
    /// `Reason` as the API spells it. Most spellings are derived from the name and not confirmed,
    /// and two codes share one: show it, never decide by it.
    pub api_reason: Option<&'static str>,
    /// The group that the payer's text and the contact depend on.
    pub category: DeclineCategory,
    /// The payer may try the same card again later. `false` where the documentation leaves it open
    /// (5006, 5019, 5204, 5303).
    pub retryable: bool,
}

/// What a code means to us; the result of [`classify`] (CloudPayments documentation, reason codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    /// The code as received.
    pub code: i32,
    /// [`DeclineCategory::Other`] for a code that is not listed.
    pub category: DeclineCategory,
    /// The payer may try the same card again later; `false` for a code that is not listed.
    pub retryable: bool,
}

impl Classification {
    /// What the payer is told: the text of the code, where it has one of its own, or that of its category.
    #[must_use]
    pub fn texts(self) -> Texts {
        texts::of_code(self.code).unwrap_or_else(|| self.category.texts())
    }
}

/// The listed row of a code (CloudPayments documentation, reason codes).
///
/// 0, "Approved", is no decline and therefore not listed.
#[must_use]
pub fn lookup(code: i32) -> Option<&'static Reason> {
    let index = REASONS.binary_search_by_key(&code, |reason| reason.code).ok()?;
    REASONS.get(index)
}

/// The meaning of any code of a declined transaction (CloudPayments documentation, reason codes).
#[must_use]
pub fn classify(code: i32) -> Classification {
    let (category, retryable) = lookup(code).map_or((Other, false), |reason| (reason.category, reason.retryable));
    Classification { code, category, retryable }
}

/// What the provider made of our answer to its Check notification (CloudPayments documentation,
/// reason codes 3001 to 3008).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckReport {
    /// We refused the payment with this `code`: 10 invoice, 11 account, 12 amount, 13 not payable,
    /// 20 expired.
    Refused(i32),
    /// Our answer did not parse, or its code is none of the above.
    Unreadable,
    /// Our answering service was unavailable.
    Unavailable,
    /// The provider could not connect to us, or got 404, 504 or 508.
    NotReached,
}

/// Reads a decline back into our own Check answer; `None` when the reason lies elsewhere
/// (CloudPayments documentation, reason codes 3001 to 3008).
#[must_use]
pub const fn check_report(code: i32) -> Option<CheckReport> {
    match code {
        3001 => Some(CheckReport::Refused(10)),
        3002 => Some(CheckReport::Refused(11)),
        3003 => Some(CheckReport::Refused(12)),
        3004 => Some(CheckReport::Refused(20)),
        3005 => Some(CheckReport::Unreadable),
        3006 => Some(CheckReport::Unavailable),
        3007 => Some(CheckReport::NotReached),
        3008 => Some(CheckReport::Refused(13)),
        _ => None,
    }
}

//! What became of one call to the provider.

use std::fmt;

use crate::clock::Timestamp;
use crate::domain::evidence::Fact;
use crate::domain::payment::ThreeDs;
use crate::domain::register::Claim;

use super::breaker::Trouble;

/// What became of one call (contract sections 2.2 and 2.5). The variants differ in what the caller may do next.
#[derive(Debug, Clone)]
#[must_use]
pub enum Outcome<T> {
    /// The provider answered in a shape that we know. A declined payment is an answer too.
    Answered(T),
    /// `Success:false` without a transaction: the provider refused the request and did nothing.
    Refused {
        /// Its text, cut, without card data; many refusals have none.
        message: Option<String>,
    },
    /// Surely nothing was done; the same operation may be sent again.
    NotSent {
        /// Why.
        reason: NotSent,
    },
    /// Sent or maybe sent, and the answer is lost or unreadable. Only a lookup, a notification or a repeat under the
    /// same `X-Request-ID` tells what happened.
    Unknown {
        /// For the log; holds nothing confidential.
        reason: String,
    },
}

/// Why surely nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSent {
    /// Our own queue is full, or waiting in it took too long.
    Overloaded,
    /// No connection came about: refused, no such host, TLS handshake failed; or the request could not be built.
    Unreachable(String),
    /// HTTP 401: Public ID or API Secret are wrong (contract section 2.1).
    Credentials,
    /// HTTP 429: more requests at once than the terminal may have (contract section 2).
    TooManyRequests,
    /// So much time has passed since the call was written down that others may take it for lost.
    TooLate,
    /// The provider was in trouble before, and whether it is back is being found out.
    Suspended {
        /// What is wrong with it.
        trouble: Trouble,
        /// When the next question is due.
        retry_after_s: u64,
    },
}

impl NotSent {
    /// When the same request is worth another try, seconds.
    pub fn retry_after_s(&self) -> u64 {
        match self {
            NotSent::Suspended { retry_after_s, .. } => *retry_after_s,
            NotSent::Overloaded
            | NotSent::Unreachable(_)
            | NotSent::Credentials
            | NotSent::TooManyRequests
            | NotSent::TooLate => 2,
        }
    }

    /// Stable name for metrics.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            NotSent::Overloaded => "overloaded",
            NotSent::Unreachable(_) => "unreachable",
            NotSent::Credentials => "credentials",
            NotSent::TooManyRequests => "too_many_requests",
            NotSent::TooLate => "too_late",
            NotSent::Suspended { .. } => "suspended",
        }
    }
}

/// What a charge, an authorization or the end of 3-D Secure answers (contract section 4.2, outcomes 2 to 4).
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "lives for one call; the large variant is the common one")]
pub enum ChargeAnswer {
    /// A transaction: completed, authorized, declined, … as its status says.
    Transaction(Fact),
    /// The payer has to go to their bank.
    ThreeDs(ThreeDs),
}

/// What an accepted refund answers (contract section 4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundAnswer {
    /// The refund's own transaction.
    pub transaction_id: i64,
}

/// One page of the register (contract section 4.12).
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The transactions that we can read; payouts are left out.
    pub facts: Vec<Fact>,
    /// Whether no page follows. Not to be told from the number of `facts`, as some items are left out of them.
    pub last: bool,
    /// The items that could not be read, or are in a state that we do not know.
    pub unreadable: Vec<Unreadable>,
}

/// What is still to be made out of an item of the register that is no fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number.
    pub transaction_id: Option<i64>,
    /// The bill.
    pub invoice_id: Option<String>,
    /// Our payment, from the data we sent along.
    pub payment_id: Option<String>,
    /// Our refund, from the data we sent along.
    pub refund_id: Option<String>,
    /// When it was made.
    pub made_at: Option<Timestamp>,
}

/// One page of the list of chargebacks (contract section 4.14).
#[derive(Debug, Clone, Default)]
pub struct ClaimPage {
    /// The chargebacks that we can read.
    pub claims: Vec<Claim>,
    /// Whether no page follows.
    pub last: bool,
    /// How many items could not be read.
    pub unreadable: usize,
}

impl<T> Outcome<T> {
    /// The same outcome with another answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Outcome::Answered(answer) => Outcome::Answered(change(answer)),
            Outcome::Refused { message } => Outcome::Refused { message },
            Outcome::NotSent { reason } => Outcome::NotSent { reason },
            Outcome::Unknown { reason } => Outcome::Unknown { reason },
        }
    }

    /// Stable name for logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Answered(_) => "answered",
            Outcome::Refused { .. } => "refused",
            Outcome::NotSent { .. } => "not_sent",
            Outcome::Unknown { .. } => "unknown",
        }
    }

    /// Why there is no answer, for the log; empty for answers and refusals, whose text the provider wrote.
    pub fn reason(&self) -> String {
        match self {
            Outcome::Answered(_) | Outcome::Refused { .. } => String::new(),
            Outcome::NotSent { reason } => reason.to_string(),
            Outcome::Unknown { reason } => reason.clone(),
        }
    }

    /// Sent, and the answer tells nothing.
    pub(super) fn unknown(reason: impl Into<String>) -> Outcome<T> {
        Outcome::Unknown { reason: reason.into() }
    }

    /// Surely nothing was done.
    pub(super) fn not_sent(reason: NotSent) -> Outcome<T> {
        Outcome::NotSent { reason }
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotSent::Overloaded => f.write_str("too many requests of ours are waiting"),
            NotSent::Unreachable(reason) => write!(f, "no connection: {reason}"),
            NotSent::Credentials => f.write_str("the provider does not take our credentials (HTTP 401)"),
            NotSent::TooManyRequests => f.write_str("the provider takes no more requests at once (HTTP 429)"),
            NotSent::TooLate => f.write_str("its time was over before it was sent"),
            NotSent::Suspended { trouble: Trouble::Unreachable, .. } => {
                f.write_str("the provider did not answer lately")
            }
            NotSent::Suspended { trouble: Trouble::Credentials, .. } => {
                f.write_str("the provider did not take our credentials lately (HTTP 401)")
            }
        }
    }
}

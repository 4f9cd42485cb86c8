//! The way to and from CloudPayments (TipTop Pay): its API, its notifications, their signatures.
//!
//! The wire contract is the official documentation of CloudPayments; "contract section N" in the comments below means
//! our digest of it. This folder is the only one that knows how the provider spells things and the only one that
//! imports `reqwest`. What leaves it are domain words: [`crate::domain::evidence::Fact`],
//! [`crate::domain::payment::ThreeDs`], [`crate::domain::money::Money`].
//!
//! Two rules hold everywhere in it. No amount passes through floating point. And nothing is guessed: what does not
//! have a shape that we know is [`Outcome::Unknown`] or no fact at all, never "paid" and never "declined".

mod answer;
mod breaker;
mod client;
mod convert;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod limiter;
mod notification;
mod outcome;
mod request;
mod signature;
#[cfg(test)]
mod tests;
mod transport;

pub use breaker::{BreakerSettings, Trouble};
pub use client::{Client, ClientSettings};
pub use notification::{Notification, NotificationData, NotificationFact, parse};
pub use outcome::{ChargeAnswer, ClaimPage, NotSent, Outcome, Page, RefundAnswer, Unreadable};
pub use request::{CardCharge, Written};
pub use signature::Signatures;
pub use transport::{Exchange, Failure, Raw, Request, Sending, Wire};

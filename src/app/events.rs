//! What the feed tells the site.

use crate::clock::Timestamp;
use crate::domain::id::{EventId, NotificationId, PaymentId};

/// One event for the site.
#[derive(Debug, Clone)]
pub struct Event {
    /// Our id.
    pub id: EventId,
    /// `payment.paid`, `refund.succeeded`, …
    pub kind: String,
    /// The payment it is about; none where a notification belongs to none.
    pub payment_id: Option<PaymentId>,
    /// The refund it is about.
    pub refund_id: Option<String>,
    /// Number of the history row it was written with; none without a payment.
    pub sequence: Option<i64>,
    /// When.
    pub at: Timestamp,
    /// The notification it is about.
    pub notification_id: Option<NotificationId>,
    /// The provider's transaction that the notification speaks of.
    pub transaction_id: Option<i64>,
}

/// What somebody did to something that belongs to no payment; announced and sealed as an event of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// `api_key.created`, …
    pub kind: ActKind,
    /// The key or the discrepancy that it was done to.
    pub subject_id: String,
    /// The key that did it; [`Act::COMMAND_LINE`] for a command.
    pub actor: String,
}

impl Act {
    /// The actor of a command: whoever may run one on the server.
    pub const COMMAND_LINE: &'static str = "cli";
}

/// Kinds of [`Act`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActKind {
    /// An API key was made.
    KeyCreated,
    /// An API key got a successor; that one has an event of its own.
    KeyRotated,
    /// An API key was ended.
    KeyRevoked,
    /// A person proposed to close a loss of no payment.
    ClosingProposed,
    /// A discrepancy of no payment was closed by a person.
    DiscrepancyClosed,
}

impl ActKind {
    /// The event's kind.
    pub fn as_str(self) -> &'static str {
        match self {
            ActKind::KeyCreated => "api_key.created",
            ActKind::KeyRotated => "api_key.rotated",
            ActKind::KeyRevoked => "api_key.revoked",
            ActKind::ClosingProposed => "discrepancy.closing_proposed",
            ActKind::DiscrepancyClosed => "discrepancy.closed",
        }
    }
}

/// An event as the feed tells it.
#[derive(Debug, Clone)]
pub struct FeedEvent {
    /// What happened.
    pub event: Event,
    /// What was acted on and who acted, of an [`Act`].
    pub act: Option<(String, String)>,
}

impl From<Event> for FeedEvent {
    fn from(event: Event) -> FeedEvent {
        FeedEvent { event, act: None }
    }
}

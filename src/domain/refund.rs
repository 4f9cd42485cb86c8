//! A refund: money on its way back.

use crate::clock::Timestamp;
use crate::domain::id::{ApiKeyId, PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::state::Certainty;

/// Where a refund is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundStatus {
    /// Asked for; counts against what may still be given back.
    Pending,
    /// The provider gave the money back.
    Succeeded,
    /// The provider refused; nothing was given back.
    Failed,
}

impl RefundStatus {
    /// Every state.
    pub const ALL: [RefundStatus; 3] = [RefundStatus::Pending, RefundStatus::Succeeded, RefundStatus::Failed];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            RefundStatus::Pending => "pending",
            RefundStatus::Succeeded => "succeeded",
            RefundStatus::Failed => "failed",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<RefundStatus> {
        RefundStatus::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A refund as it stands.
#[derive(Debug, Clone)]
pub struct Refund {
    /// Our id.
    pub id: RefundId,
    /// The payment it gives back from.
    pub payment_id: PaymentId,
    /// The provider's transaction it gives back from.
    pub parent_transaction_id: i64,
    /// How much.
    pub amount: Money,
    /// Where it is.
    pub status: RefundStatus,
    /// How sure that is.
    pub certainty: Certainty,
    /// Until when the provider still repeats the answer that was lost.
    pub decide_by: Option<Timestamp>,
    /// Why, as the site said.
    pub reason: Option<String>,
    /// Why the provider refused.
    pub failure: Option<String>,
    /// The provider's number of the refund.
    pub transaction_id: Option<i64>,
    /// The first key of the line of API keys that asked for it; which key did is in the history.
    pub created_by: ApiKeyId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

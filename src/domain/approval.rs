//! Two keys for one thing: what one operator asks for and another one allows.

use crate::clock::Timestamp;
use crate::domain::id::{ApiKeyId, ApprovalId, OperationId, PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::OperationKind;
use crate::domain::scope::Scope;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalKind {
    /// To give money back.
    Refund,
    /// To end a call whose outcome nobody can find out any more.
    Correction,
}

impl ApprovalKind {
    /// Every kind.
    pub const ALL: [ApprovalKind; 2] = [ApprovalKind::Refund, ApprovalKind::Correction];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            ApprovalKind::Refund => "refund",
            ApprovalKind::Correction => "correction",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<ApprovalKind> {
        ApprovalKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// What a key must be allowed to do in order to ask for it, to allow it, and to refuse it.
    pub fn scope(self) -> Scope {
        match self {
            ApprovalKind::Refund => Scope::RefundsWrite,
            ApprovalKind::Correction => Scope::OpsWrite,
        }
    }
}

/// Where an approval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalState {
    /// Asked for; waits for another key.
    Pending,
    /// Another key allowed it, and it was carried out.
    Approved,
    /// Another key refused it.
    Rejected,
    /// Nobody decided in time.
    Expired,
}

impl ApprovalState {
    /// Every state.
    pub const ALL: [ApprovalState; 4] =
        [ApprovalState::Pending, ApprovalState::Approved, ApprovalState::Rejected, ApprovalState::Expired];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            ApprovalState::Pending => "pending",
            ApprovalState::Approved => "approved",
            ApprovalState::Rejected => "rejected",
            ApprovalState::Expired => "expired",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<ApprovalState> {
        ApprovalState::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What operators assert of a lost call. That it did have an effect is never asserted: money is booked by evidence only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorrectionOutcome {
    /// It moved no money.
    NoEffect,
}

impl CorrectionOutcome {
    /// Every outcome.
    pub const ALL: [CorrectionOutcome; 1] = [CorrectionOutcome::NoEffect];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            CorrectionOutcome::NoEffect => "no_effect",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<CorrectionOutcome> {
        CorrectionOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Give this much back.
    Refund {
        /// How much.
        amount: Money,
        /// The refund it became, once it was approved.
        refund_id: Option<RefundId>,
    },
    /// End a lost call.
    Correction {
        /// The call.
        operation_id: OperationId,
        /// What was asked of the provider.
        call: OperationKind,
        /// The refund whose call it is.
        refund_id: Option<RefundId>,
        /// What is asserted.
        outcome: CorrectionOutcome,
    },
}

impl Subject {
    /// Its kind.
    pub fn kind(&self) -> ApprovalKind {
        match self {
            Subject::Refund { .. } => ApprovalKind::Refund,
            Subject::Correction { .. } => ApprovalKind::Correction,
        }
    }

    /// The refund it made or is about.
    pub fn refund_id(&self) -> Option<&RefundId> {
        match self {
            Subject::Refund { refund_id, .. } | Subject::Correction { refund_id, .. } => refund_id.as_ref(),
        }
    }
}

/// An API key that acts, and the first key of its line: a key that succeeds another is the same caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The key.
    pub key_id: ApiKeyId,
    /// The first key of its line.
    pub line: ApiKeyId,
}

/// A request for a second key, and what became of it.
#[derive(Debug, Clone)]
pub struct Approval {
    /// Our id.
    pub id: ApprovalId,
    /// The payment it is about.
    pub payment_id: PaymentId,
    /// What is to be done.
    pub subject: Subject,
    /// Why, in the words of who asked. None once the payer was erased.
    pub reason: Option<String>,
    /// Who asked.
    pub requested_by: Actor,
    /// When.
    pub requested_at: Timestamp,
    /// From when on nobody can decide any more.
    pub expires_at: Timestamp,
    /// Where it is written to be; see [`Approval::state_at`].
    pub state: ApprovalState,
    /// Who decided.
    pub decided_by: Option<Actor>,
    /// When.
    pub decided_at: Option<Timestamp>,
}

impl Approval {
    /// Where it is: one whose time is over has expired, whether that is written yet or not.
    pub fn state_at(&self, now: Timestamp) -> ApprovalState {
        match self.state {
            ApprovalState::Pending if self.expires_at <= now => ApprovalState::Expired,
            state => state,
        }
    }

    /// The approval of a refund, with the refund it becomes.
    #[must_use]
    pub fn with_refund(mut self, made: RefundId) -> Approval {
        if let Subject::Refund { refund_id, .. } = &mut self.subject {
            *refund_id = Some(made);
        }
        self
    }

    /// Whether this is one operator, not two.
    pub fn is_asked_by(&self, other: &Actor) -> bool {
        self.requested_by.key_id == other.key_id || self.requested_by.line == other.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(key: &str, line: &str) -> Actor {
        Actor { key_id: ApiKeyId::from_stored(key.to_owned()), line: ApiKeyId::from_stored(line.to_owned()) }
    }

    #[test]
    fn a_key_and_its_successors_are_one_operator() {
        let at = Timestamp::from_micros(0);
        let approval = Approval {
            id: ApprovalId::from_stored("apr_1".to_owned()),
            payment_id: PaymentId::from_stored("pay_1".to_owned()),
            subject: Subject::Correction {
                operation_id: OperationId::from_stored("op_1".to_owned()),
                call: OperationKind::Charge,
                refund_id: None,
                outcome: CorrectionOutcome::NoEffect,
            },
            reason: None,
            requested_by: actor("key_1", "key_1"),
            requested_at: at,
            expires_at: at.plus_seconds(60),
            state: ApprovalState::Pending,
            decided_by: None,
            decided_at: None,
        };
        assert!(approval.is_asked_by(&actor("key_1", "key_1")));
        assert!(approval.is_asked_by(&actor("key_2", "key_1")));
        assert!(!approval.is_asked_by(&actor("key_2", "key_2")));
        assert_eq!(approval.state_at(at.plus_seconds(59)), ApprovalState::Pending);
        assert_eq!(approval.state_at(at.plus_seconds(60)), ApprovalState::Expired);
        let rejected = Approval { state: ApprovalState::Rejected, ..approval };
        assert_eq!(rejected.state_at(at.plus_seconds(60)), ApprovalState::Rejected);
    }

    #[test]
    fn names_round_trip() {
        assert!(ApprovalKind::ALL.iter().all(|kind| ApprovalKind::parse(kind.as_str()) == Some(*kind)));
        assert!(ApprovalState::ALL.iter().all(|state| ApprovalState::parse(state.as_str()) == Some(*state)));
        assert_eq!(CorrectionOutcome::parse("no_effect"), Some(CorrectionOutcome::NoEffect));
        assert_eq!(CorrectionOutcome::parse("paid"), None);
    }
}

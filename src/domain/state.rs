//! The states of a payment and the one table of moves between them.
//!
//! The table is data: the guard in SQL, the foreign key of the history, the OpenAPI enum, the picture in the docs and the
//! test matrix are made from it.

use std::fmt;

use crate::domain::payment::OperationKind;

/// Where a payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// A hosted payment (widget, link) that nobody has paid yet; the payer may try as many cards as they like.
    AwaitingPayer,
    /// A call to the provider is under way or its outcome is not known yet.
    Processing,
    /// The payer is at their bank's 3-D Secure page.
    AwaitingAuthentication,
    /// Money is held on the card, not taken.
    Authorized,
    /// Money is taken, nothing given back.
    Paid,
    /// Part of the money is given back.
    PartiallyRefunded,
    /// All of the money is given back.
    Refunded,
    /// The provider refused the one attempt of a card payment.
    Declined,
    /// Withdrawn before anybody paid, or the hold was released.
    Cancelled,
    /// Nobody paid in time.
    Expired,
}

impl Status {
    /// Every state.
    pub const ALL: [Status; 10] = [
        Status::AwaitingPayer,
        Status::Processing,
        Status::AwaitingAuthentication,
        Status::Authorized,
        Status::Paid,
        Status::PartiallyRefunded,
        Status::Refunded,
        Status::Declined,
        Status::Cancelled,
        Status::Expired,
    ];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::AwaitingPayer => "awaiting_payer",
            Status::Processing => "processing",
            Status::AwaitingAuthentication => "awaiting_authentication",
            Status::Authorized => "authorized",
            Status::Paid => "paid",
            Status::PartiallyRefunded => "partially_refunded",
            Status::Refunded => "refunded",
            Status::Declined => "declined",
            Status::Cancelled => "cancelled",
            Status::Expired => "expired",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the payer may still start a payment at the provider.
    pub fn is_open(self) -> bool {
        matches!(self, Status::AwaitingPayer | Status::Processing | Status::AwaitingAuthentication)
    }

    /// States in which something is still to happen: the payer may pay, or held money is to be taken or released.
    pub const UNFINISHED: [Status; 4] =
        [Status::AwaitingPayer, Status::Processing, Status::AwaitingAuthentication, Status::Authorized];

    /// Whether money was taken.
    pub fn is_captured(self) -> bool {
        matches!(self, Status::Paid | Status::PartiallyRefunded | Status::Refunded)
    }

    /// The states from which the table allows a move to this one.
    pub fn reachable_from(self) -> impl Iterator<Item = Status> {
        EDGES.iter().filter(move |edge| edge.to == self).filter_map(|edge| edge.from)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One allowed move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The state before; `None` for the creation.
    pub from: Option<Status>,
    /// The state after. Equal to `from` where something else about the payment changed: a declined attempt, an unknown
    /// outcome, a refund asked for.
    pub to: Status,
    /// What makes the move, in a few words for the documentation.
    pub why: &'static str,
}

const fn edge(from: Option<Status>, to: Status, why: &'static str) -> Edge {
    Edge { from, to, why }
}

/// Every allowed move. A move that is not here fails in the database (foreign key of `transitions`).
pub const EDGES: &[Edge] = {
    use Status::{
        Authorized, AwaitingAuthentication, AwaitingPayer, Cancelled, Declined, Expired, Paid, PartiallyRefunded,
        Processing, Refunded,
    };
    &[
        edge(None, AwaitingPayer, "created for the widget"),
        edge(None, Processing, "created with card data, about to be charged"),
        edge(Some(AwaitingPayer), AwaitingPayer, "attempt declined, or something to look at"),
        edge(Some(AwaitingPayer), Authorized, "money held"),
        edge(Some(AwaitingPayer), Paid, "money taken"),
        edge(Some(AwaitingPayer), Cancelled, "withdrawn, or hold released"),
        edge(Some(AwaitingPayer), Expired, "nobody paid in time"),
        edge(Some(AwaitingPayer), PartiallyRefunded, "taken and partly given back before we heard of it"),
        edge(Some(AwaitingPayer), Refunded, "taken and given back before we heard of it"),
        edge(Some(Processing), Processing, "outcome unknown, or something to look at"),
        edge(Some(Processing), AwaitingAuthentication, "bank asks for 3-D Secure"),
        edge(Some(Processing), Authorized, "money held"),
        edge(Some(Processing), Paid, "money taken"),
        edge(Some(Processing), PartiallyRefunded, "taken and partly given back before we heard of it"),
        edge(Some(Processing), Refunded, "taken and given back before we heard of it"),
        edge(Some(Processing), Declined, "refused"),
        edge(Some(Processing), Cancelled, "nothing was sent, or hold released"),
        edge(Some(Processing), Expired, "the provider proves that nothing happened"),
        edge(Some(AwaitingAuthentication), AwaitingAuthentication, "something to look at"),
        edge(Some(AwaitingAuthentication), Processing, "payer is back, answer of the bank is being sent"),
        edge(Some(AwaitingAuthentication), Authorized, "money held"),
        edge(Some(AwaitingAuthentication), Paid, "money taken"),
        edge(Some(AwaitingAuthentication), PartiallyRefunded, "taken and partly given back before we heard of it"),
        edge(Some(AwaitingAuthentication), Refunded, "taken and given back before we heard of it"),
        edge(Some(AwaitingAuthentication), Declined, "authentication failed or refused"),
        edge(Some(AwaitingAuthentication), Cancelled, "withdrawn, or hold released"),
        edge(Some(AwaitingAuthentication), Expired, "payer never came back"),
        edge(Some(Authorized), Authorized, "capture or void asked for, its outcome unknown, or something to look at"),
        edge(Some(Authorized), Paid, "captured"),
        edge(Some(Authorized), PartiallyRefunded, "captured and partly given back before we heard of it"),
        edge(Some(Authorized), Refunded, "captured and given back before we heard of it"),
        edge(Some(Authorized), Cancelled, "hold released"),
        edge(Some(Paid), Paid, "refund asked for or failed, or something to look at"),
        edge(Some(Paid), PartiallyRefunded, "partly given back"),
        edge(Some(Paid), Refunded, "given back"),
        edge(Some(PartiallyRefunded), PartiallyRefunded, "another part given back, asked for or failed"),
        edge(Some(PartiallyRefunded), Refunded, "the rest given back"),
        edge(Some(PartiallyRefunded), Paid, "another transaction of this payment turned out to be the one that counts"),
        edge(Some(Refunded), Refunded, "something to look at"),
        edge(
            Some(Refunded),
            PartiallyRefunded,
            "another transaction of this payment turned out to be the one that counts",
        ),
        edge(Some(Refunded), Paid, "another transaction of this payment turned out to be the one that counts"),
        edge(Some(Declined), Declined, "something to look at"),
        edge(Some(Declined), Authorized, "money was held after all"),
        edge(Some(Declined), Paid, "money was taken after all"),
        edge(Some(Declined), PartiallyRefunded, "taken after all and partly given back"),
        edge(Some(Declined), Refunded, "taken after all and given back"),
        edge(Some(Declined), Cancelled, "held after all and released"),
        edge(Some(Cancelled), Cancelled, "something to look at"),
        edge(Some(Cancelled), Authorized, "money was held after all"),
        edge(Some(Cancelled), Paid, "money was taken after all"),
        edge(Some(Cancelled), PartiallyRefunded, "taken after all and partly given back"),
        edge(Some(Cancelled), Refunded, "taken after all and given back"),
        edge(Some(Cancelled), Declined, "the provider did refuse it"),
        edge(Some(Expired), Expired, "something to look at"),
        edge(Some(Expired), Authorized, "money was held after all"),
        edge(Some(Expired), Paid, "money was taken after all"),
        edge(Some(Expired), PartiallyRefunded, "taken after all and partly given back"),
        edge(Some(Expired), Refunded, "taken after all and given back"),
        edge(Some(Expired), Cancelled, "held after all and released"),
        edge(Some(Expired), Declined, "the provider did refuse it"),
    ]
};

/// One allowed correction: where a payment rests when two operators found that a lost call had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// The call whose answer was lost.
    pub call: OperationKind,
    /// Where the payment is while nobody knows.
    pub from: Status,
    /// Where it rests from then on, unless evidence says otherwise. Each is a move of [`EDGES`] too.
    pub to: Status,
    /// What that means, in a few words for the documentation.
    pub why: &'static str,
}

const fn correction(call: OperationKind, from: Status, to: Status, why: &'static str) -> Correction {
    Correction { call, from, to, why }
}

/// Every allowed correction. None leads to money, and none to `declined`: that a payer was refused needs evidence, too.
pub const CORRECTIONS: &[Correction] = {
    use OperationKind::{Authorize, Capture, Charge, Refund, ThreeDs, Void};
    use Status::{Authorized, Expired, Paid, PartiallyRefunded, Processing, Refunded};
    &[
        correction(Charge, Processing, Expired, "nothing was taken"),
        correction(Authorize, Processing, Expired, "nothing was held"),
        correction(ThreeDs, Processing, Expired, "the payment was not finished"),
        correction(Capture, Authorized, Authorized, "nothing was taken, the money is still held"),
        correction(Void, Authorized, Authorized, "nothing was released, the money is still held"),
        correction(Refund, Paid, Paid, "nothing was given back, the refund failed"),
        correction(Refund, PartiallyRefunded, PartiallyRefunded, "nothing more was given back, the refund failed"),
        correction(Refund, Refunded, Refunded, "nothing more was given back, the refund failed"),
    ]
};

/// The correction of a lost call of a payment in this state, if there is one.
pub fn correction_of(call: OperationKind, from: Status) -> Option<&'static Correction> {
    CORRECTIONS.iter().find(|correction| correction.call == call && correction.from == from)
}

/// How sure the shown outcome is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// By an answer, a verified notification or the provider's register.
    Proven,
    /// An answer was lost; evidence is being looked for.
    Undetermined,
}

impl Certainty {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Certainty::Proven => "proven",
            Certainty::Undetermined => "undetermined",
        }
    }
}

/// What caused a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseType {
    /// A request to our API.
    Api,
    /// The provider's answer to our call.
    ProviderAnswer,
    /// A verified notification.
    Notification,
    /// We asked the provider.
    Lookup,
    /// The comparison with the provider's register.
    Reconciliation,
    /// Time ran out.
    Expiry,
    /// A person settled it.
    Operator,
}

impl CauseType {
    /// Every cause.
    pub const ALL: [CauseType; 7] = [
        CauseType::Api,
        CauseType::ProviderAnswer,
        CauseType::Notification,
        CauseType::Lookup,
        CauseType::Reconciliation,
        CauseType::Expiry,
        CauseType::Operator,
    ];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            CauseType::Api => "api",
            CauseType::ProviderAnswer => "provider_answer",
            CauseType::Notification => "notification",
            CauseType::Lookup => "lookup",
            CauseType::Reconciliation => "reconciliation",
            CauseType::Expiry => "expiry",
            CauseType::Operator => "operator",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<CauseType> {
        CauseType::ALL.into_iter().find(|cause| cause.as_str() == text)
    }
}

/// Who and what made a change: kept with every row of the history.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The kind of cause.
    pub kind: CauseType,
    /// The request, operation or notification it was.
    pub id: Option<String>,
    /// The API key, `cloudpayments`, or the worker that acted.
    pub actor: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_edges_are_unique() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        for (index, one) in EDGES.iter().enumerate() {
            assert!(
                !EDGES[index + 1..].iter().any(|other| (other.from, other.to) == (one.from, one.to)),
                "{one:?} twice"
            );
        }
    }

    #[test]
    fn corrections_are_moves_of_the_table_and_make_no_money() {
        for (index, one) in CORRECTIONS.iter().enumerate() {
            assert!(EDGES.iter().any(|edge| (edge.from, edge.to) == (Some(one.from), one.to)), "{one:?}");
            assert!(one.from == one.to || one.to == Status::Expired, "{one:?}");
            assert!(
                !CORRECTIONS[index + 1..].iter().any(|other| (other.call, other.from) == (one.call, one.from)),
                "{one:?} twice"
            );
        }
        assert_eq!(correction_of(OperationKind::Charge, Status::Paid), None);
        assert!(correction_of(OperationKind::Charge, Status::Processing).is_some());
    }

    #[test]
    fn money_can_surface_from_every_state_without_money() {
        for from in Status::ALL.into_iter().filter(|status| !status.is_captured()) {
            assert!(Status::Paid.reachable_from().any(|status| status == from), "{from} cannot become paid");
        }
    }
}

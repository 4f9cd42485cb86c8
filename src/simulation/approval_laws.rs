//! The laws about what takes two operators.

use std::collections::{BTreeMap, BTreeSet};

use cloudpayments_sandbox::LedgerEntry;

use super::executor::lock;
use super::laws::{Account, Books, has_money};
use super::world::World;
use crate::app::PROVIDER_MEMORY_S;
use crate::clock::Clock as _;
use crate::domain::approval::{Approval, ApprovalKind, ApprovalState, Subject};
use crate::domain::id::{OperationId, RefundId};
use crate::domain::payment::OperationState;
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::state::Status;
use crate::error::Result;
use crate::store::{Tx, operations};

/// What one key gives back alone is summed up over so many seconds.
const ALONE_WITHIN_S: i64 = 86_400;
/// That nobody decided in time is written after so many seconds: twice the longest pause of the worker.
const EXPIRED_AFTER_S: i64 = 7_200;

pub(super) fn audit(world: &World, books: &Books, tx: &mut Tx<'_>) -> Result<()> {
    decisions_are_of_two(world, books);
    approvals_are_recorded_once(world, books);
    each_makes_one_refund(world, books);
    large_refunds_have_two_keys(world, books);
    operators_were_told_the_truth(world, books);
    evidence_wins(world, books, tx)
}

/// Payments and refunds about whose calls operators decided.
#[derive(Debug, Default)]
pub(super) struct Corrected {
    pub payments: BTreeSet<String>,
    pub refunds: BTreeSet<String>,
}

impl Corrected {
    pub(super) fn of(books: &Books) -> Corrected {
        let mut corrected = Corrected::default();
        for approval in books.approvals.iter().filter(|one| one.state == ApprovalState::Approved) {
            match &approval.subject {
                Subject::Correction { refund_id: Some(refund_id), .. } => {
                    corrected.refunds.insert(refund_id.to_string());
                }
                Subject::Correction { refund_id: None, .. } => {
                    corrected.payments.insert(approval.payment_id.to_string());
                }
                Subject::Refund { .. } => {}
            }
        }
        corrected
    }
}

/// Another line of keys decided, in time; and what nobody decided about has expired.
fn decisions_are_of_two(world: &World, books: &Books) {
    for approval in &books.approvals {
        let id = Some(approval.payment_id.as_str());
        let by_another = approval.decided_by.as_ref().is_some_and(|by| !approval.is_asked_by(by));
        let in_time = approval.decided_at.is_some_and(|at| approval.requested_at <= at && at < approval.expires_at);
        let decided = matches!(approval.state, ApprovalState::Approved | ApprovalState::Rejected);
        if decided && !(by_another && in_time) || !decided && approval.decided_by.is_some() {
            world.violated("another operator decides, in time", id, format!("{approval:?}"));
        }
        let forgotten = approval.expires_at.plus_seconds(EXPIRED_AFTER_S) < world.clock.now();
        if approval.state == ApprovalState::Pending && forgotten {
            world.violated("what nobody decides about expires", id, format!("{approval:?}"));
        }
    }
}

/// The history has one row for the request, and one for its end, by whoever brought it about.
fn approvals_are_recorded_once(world: &World, books: &Books) {
    let accounts: BTreeMap<&str, &Account> =
        books.accounts.iter().map(|account| (account.payment.id.as_str(), account)).collect();
    for approval in &books.approvals {
        let history = accounts.get(approval.payment_id.as_str()).map(|account| account.history.as_slice());
        let mut rows: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for row in history.unwrap_or_default() {
            let Ok(detail) = serde_json::from_str::<serde_json::Value>(&row.detail) else { continue };
            let text = |name: &str| detail.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            if text("approval_id") == approval.id.as_str() {
                rows.entry(text("approval").to_owned()).or_default().push(&row.cause.actor);
            }
        }
        let mut expected: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        expected.insert("requested".to_owned(), vec![approval.requested_by.key_id.as_str()]);
        let end = approval.decided_by.as_ref().map_or("worker:expire", |by| by.key_id.as_str());
        if approval.state != ApprovalState::Pending {
            expected.insert(approval.state.as_str().to_owned(), vec![end]);
        }
        if rows != expected {
            let detail = format!("{} is {}, the history has {rows:?}", approval.id, approval.state.as_str());
            world.violated("an approval is recorded once", Some(approval.payment_id.as_str()), detail);
        }
    }
}

/// An approved refund is one refund, as it was asked for; none is made before.
fn each_makes_one_refund(world: &World, books: &Books) {
    let law = "an approval makes one refund";
    let refunds: Vec<&Refund> = books.accounts.iter().flat_map(|account| &account.refunds).collect();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for approval in &books.approvals {
        let Subject::Refund { amount, refund_id } = &approval.subject else { continue };
        // No other request of the world has these words.
        let made: Vec<&&Refund> = refunds.iter().filter(|refund| refund.reason == approval.reason).collect();
        let fits = match (approval.state, refund_id, made.as_slice()) {
            (ApprovalState::Approved, Some(refund_id), [refund]) => {
                refund.id == *refund_id
                    && refund.amount == *amount
                    && refund.payment_id == approval.payment_id
                    && used.insert(refund_id.as_str())
            }
            (ApprovalState::Approved, ..) => false,
            (_, None, []) => true,
            _ => false,
        };
        if !fits {
            world.violated(law, Some(approval.payment_id.as_str()), format!("{approval:?}, but {made:?}"));
        }
    }
}

/// What one key gives back alone, at once or in parts of a day, is no more than it may.
fn large_refunds_have_two_keys(world: &World, books: &Books) {
    let by_two: BTreeSet<&str> = books
        .approvals
        .iter()
        .filter(|one| one.subject.kind() == ApprovalKind::Refund && one.state == ApprovalState::Approved)
        .filter_map(|one| one.subject.refund_id().map(|id| id.as_str()))
        .collect();
    let corrected = Corrected::of(books);
    for account in &books.accounts {
        let Some(limit) = world.weather.second_key_above(account.payment.currency()) else { continue };
        let alone: Vec<&Refund> =
            account.refunds.iter().filter(|refund| !by_two.contains(refund.id.as_str())).collect();
        for refund in &alone {
            // One that failed had made room; whether one that operators were wrong about had failed by then is not known.
            let counted = |other: &&&Refund| {
                let gone = other.status == RefundStatus::Failed || corrected.refunds.contains(other.id.as_str());
                other.id != refund.id
                    && !gone
                    && other.created_at <= refund.created_at
                    && other.created_at > refund.created_at.plus_seconds(-ALONE_WITHIN_S)
            };
            let before: i64 = alone.iter().filter(counted).map(|other| other.amount.minor).sum();
            if before + refund.amount.minor > limit.minor {
                let detail = format!("{} after {before} within a day, {limit} may be: {refund:?}", refund.amount);
                world.violated("a large refund takes two keys", Some(account.payment.id.as_str()), detail);
            }
        }
    }
}

fn operators_were_told_the_truth(world: &World, books: &Books) {
    let approvals: BTreeMap<&str, &Approval> = books.approvals.iter().map(|one| (one.id.as_str(), one)).collect();
    for (id, told) in &lock(&world.promises).approvals {
        let kept = approvals.get(id.as_str());
        let same = kept.is_some_and(|kept| {
            let refund_id = kept.subject.refund_id().map(|refund| refund.as_str());
            let decided_by = kept.decided_by.as_ref().map(|by| by.key_id.as_str());
            // The worker writes down later that nobody decided in time; what is shown goes by the time.
            told.decision() == (kept.state_at(world.clock.now()).as_str(), refund_id, decided_by)
        });
        if !same {
            let detail = format!("{told:?}, but {kept:?}");
            world.violated("what operators were told is what the books say", Some(&told.payment_id), detail);
        }
    }
}

/// A correction ends a call that the provider no longer remembers, and what the call did is booked all the same.
fn evidence_wins(world: &World, books: &Books, tx: &mut Tx<'_>) -> Result<()> {
    for approval in books.approvals.iter().filter(|one| one.state == ApprovalState::Approved) {
        let Subject::Correction { operation_id, refund_id, .. } = &approval.subject else { continue };
        let id = Some(approval.payment_id.as_str());
        let operation = operations::find(tx, operation_id)?;
        let over = operation.is_some_and(|operation| {
            operation.state == OperationState::Settled
                && approval.requested_at.seconds_since(operation.started_at) >= PROVIDER_MEMORY_S
        });
        if !over {
            world.violated("a correction ends a call whose answer is lost for good", id, format!("{approval:?}"));
        }
        let account = books.accounts.iter().find(|account| account.payment.id == approval.payment_id);
        if let (Some(account), Some(entry)) = (account, effect_of(books, operation_id))
            && !is_booked(account, entry, refund_id.as_ref())
        {
            let detail = format!("{approval:?}, but {} and {:?}", account.payment.status, account.refunds);
            world.violated("evidence wins over a correction", id, detail);
        }
    }
    Ok(())
}

/// What the provider did for this call, if it moved money.
fn effect_of<'a>(books: &'a Books, operation_id: &OperationId) -> Option<&'a LedgerEntry> {
    let of_call = |entry: &&LedgerEntry| entry.request_id.as_deref() == Some(operation_id.as_str());
    books.ledger.iter().filter(of_call).find(|entry| has_money(entry))
}

/// Which refund of ours it was can only be told where the provider keeps the refund's name. It is counted all the same.
fn is_booked(account: &Account, entry: &LedgerEntry, refund_id: Option<&RefundId>) -> bool {
    let Some(refund_id) = refund_id else { return account.payment.status != Status::Expired };
    let recorded = account.transactions.iter().find(|one| one.transaction_id == entry.transaction_id);
    let succeeded = |refund: &Refund| refund.id == *refund_id && refund.status == RefundStatus::Succeeded;
    match recorded.map(|one| &one.refund_id) {
        Some(Some(named)) => named == refund_id && account.refunds.iter().any(succeeded),
        Some(None) => entry.refund_id.is_none(),
        None => false,
    }
}

//! The laws that hold at the end of every world: our books against the provider's, and against all that was told.

use std::collections::{BTreeMap, BTreeSet};

use cloudpayments_sandbox::{LedgerEntry, Status as TheirStatus, TransactionType};

use super::executor::lock;
use super::world::World;
use super::{approval_laws, promise_laws, register_laws};
use crate::app::{ApprovalFilter, Event, NotificationRecord, Page, PaymentFilter, Transition};
use crate::clock::Clock as _;
use crate::clock::Timestamp;
use crate::domain::approval::Approval;
use crate::domain::evidence::{Known, RefundShare, Transaction, TransactionKind, TransactionStatus, derive};
use crate::domain::id::OperationId;
use crate::domain::payment::{Operation, OperationKind, Payment};
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::state::{Certainty, EDGES, Status};
use crate::error::Result;
use crate::store::{
    Tx, approvals, events, invariants, notifications, operations, payments, refunds, transactions, transitions,
};

/// More than any world has of anything.
pub(super) const ALL: i64 = 10_000_000;
/// After the end of every world, microseconds since 1970.
const FAR_MICROS: i64 = 4_000_000_000_000_000;

/// One payment with all that belongs to it.
pub(super) struct Account {
    pub payment: Payment,
    pub transactions: Vec<Transaction>,
    pub refunds: Vec<Refund>,
    pub history: Vec<Transition>,
    pub events: Vec<Event>,
}

/// Our books and the provider's.
pub(super) struct Books {
    pub accounts: Vec<Account>,
    pub approvals: Vec<Approval>,
    open: Vec<Operation>,
    pub notifications: Vec<NotificationRecord>,
    pub ledger: Vec<LedgerEntry>,
}

/// Reads everything and holds it against the laws.
pub(super) fn audit(world: &World, tx: &mut Tx<'_>) -> Result<()> {
    let books = read(world, tx)?;
    for account in &books.accounts {
        history_is_whole(world, account);
        state_follows_from_facts(world, account);
        let open: Vec<_> = books.open.iter().filter(|operation| operation.payment_id == account.payment.id).collect();
        everything_is_settled(world, account, &open);
        no_call_stays_open(world, account, &open);
        the_site_is_told(world, account);
    }
    books_agree(world, &books);
    nothing_happens_twice(world, &books, tx)?;
    surprises_are_shown(world, &books);
    promise_laws::audit(world, &books, tx)?;
    approval_laws::audit(world, &books, tx)?;
    money_laws_hold(world, tx)?;
    register_laws::audit(world, tx)?;
    count(world, &books);
    Ok(())
}

/// What `GET /v1/invariants` asks of the live database.
fn money_laws_hold(world: &World, tx: &mut Tx<'_>) -> Result<()> {
    for report in invariants::evaluate(tx, world.clock.now())? {
        for subject in &report.at_fault {
            world.violated(report.law.law, Some(subject), report.law.name.to_owned());
        }
    }
    Ok(())
}

fn read(world: &World, tx: &mut Tx<'_>) -> Result<Books> {
    let mut of_payment: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in events::list(tx, None, ALL)? {
        if let Some(payment_id) = &event.payment_id {
            of_payment.entry(payment_id.to_string()).or_default().push(event);
        }
    }
    let mut accounts = Vec::new();
    for payment in payments::list(tx, &PaymentFilter::default(), &Page { before: None, limit: ALL })? {
        accounts.push(Account {
            transactions: transactions::of_payment(tx, &payment.id)?,
            refunds: refunds::of_payment(tx, &payment.id)?,
            history: transitions::list(tx, &payment.id, 0, ALL)?,
            events: of_payment.remove(payment.id.as_str()).unwrap_or_default(),
            payment,
        });
    }
    let approvals =
        approvals::list(tx, &ApprovalFilter::default(), world.clock.now(), &Page { before: None, limit: ALL })?;
    Ok(Books {
        accounts,
        approvals,
        open: operations::due(tx, Timestamp::from_micros(FAR_MICROS), 0, ALL)?,
        notifications: notifications::list(tx, &Page { before: None, limit: ALL })?,
        ledger: world.provider.with(|engine| engine.ledger()).transactions,
    })
}

fn history_is_whole(world: &World, account: &Account) {
    let law = "every move is allowed and recorded";
    let (payment, id) = (&account.payment, account.payment.id.as_str());
    let (mut before, mut number) = (None, 0);
    for row in &account.history {
        number += 1;
        if row.sequence != number || row.from != before {
            let detail = format!("row {} from {:?} after {before:?}", row.sequence, row.from);
            world.violated(law, Some(id), detail);
        }
        if !EDGES.iter().any(|edge| (edge.from, edge.to) == (row.from, row.to)) {
            world.violated(law, Some(id), format!("{:?} to {}", row.from, row.to));
        }
        before = Some(row.to);
    }
    if before != Some(payment.status) || number != payment.sequence {
        world.violated(
            law,
            Some(id),
            format!("{} at {} after {before:?} at {number}", payment.status, payment.sequence),
        );
    }
}

fn state_follows_from_facts(world: &World, account: &Account) {
    let payment = &account.payment;
    let shares: Vec<RefundShare> = account
        .refunds
        .iter()
        .map(|refund| RefundShare {
            parent_transaction_id: refund.parent_transaction_id,
            amount: refund.amount.minor,
            status: refund.status,
        })
        .collect();
    let derived = derive(&Known {
        status: payment.status,
        amount: payment.amount,
        capture: payment.capture,
        hosted: payment.method.is_hosted(),
        transactions: &account.transactions,
        refunds: &shares,
        open_operation: None,
    });
    if (derived.status, derived.sums) != (payment.status, payment.sums) {
        let detail =
            format!("{} {:?}, but the facts say {} {:?}", payment.status, payment.sums, derived.status, derived.sums);
        world.violated("a state follows from transactions", Some(payment.id.as_str()), detail);
    }
}

fn everything_is_settled(world: &World, account: &Account, open: &[&Operation]) {
    let law = "nothing stays undetermined";
    let (payment, id) = (&account.payment, account.payment.id.as_str());
    let lost = open.iter().filter(|operation| operation.kind != OperationKind::Refund);
    if payment.certainty == Certainty::Undetermined && lost.count() == 0 {
        world.violated(law, Some(id), format!("{} is undetermined", payment.status));
    }
    let passing = match payment.status {
        Status::Processing => true,
        Status::AwaitingPayer | Status::AwaitingAuthentication => payment.attention.is_none(),
        _ => false,
    };
    if passing {
        world.violated(law, Some(id), format!("still {}", payment.status));
    }
    for refund in account.refunds.iter().filter(|refund| refund.status == RefundStatus::Pending) {
        if !open.iter().any(|operation| operation.refund_id.as_ref() == Some(&refund.id)) {
            world.violated(law, Some(id), format!("refund {} is still pending", refund.id));
        }
    }
}

/// A call is left open only where the provider will never tell, and a person was called for this very call.
fn no_call_stays_open(world: &World, account: &Account, open: &[&Operation]) {
    let raised = &account.payment.attention_raised;
    for operation in open {
        if operation.kind == OperationKind::Refund && raised.contains(&format!("refund_unclear:{}", operation.id)) {
            lock(&world.tally).left_to_a_person += 1;
            continue;
        }
        let detail = format!("{} {} is {}", operation.kind.as_str(), operation.id, operation.state.as_str());
        world.violated("no call stays open", Some(account.payment.id.as_str()), detail);
    }
}

/// Every new state has its event, and every refund.
fn the_site_is_told(world: &World, account: &Account) {
    let id = account.payment.id.as_str();
    let told = |kind: &str, sequence: i64| {
        account.events.iter().filter(|event| event.kind == kind && event.sequence == Some(sequence)).count()
    };
    for row in account.history.iter().filter(|row| row.from != Some(row.to)) {
        let kind = match row.to {
            Status::Paid => "payment.paid",
            Status::Authorized => "payment.authorized",
            Status::Declined => "payment.declined",
            Status::Cancelled => "payment.cancelled",
            Status::Expired => "payment.expired",
            _ => continue,
        };
        if told(kind, row.sequence) != 1 {
            world.violated("the site is told once", Some(id), format!("{kind} of row {}", row.sequence));
        }
    }
    every_refund_is_told(world, account);
}

/// A refund of ours is told by its name once. One without a name may be told before it gets its name.
fn every_refund_is_told(world: &World, account: &Account) {
    let law = "the site is told once";
    let id = account.payment.id.as_str();
    let told: Vec<&Event> = account.events.iter().filter(|event| event.kind == "refund.succeeded").collect();
    for refund in account.refunds.iter().filter(|refund| refund.status == RefundStatus::Succeeded) {
        let times = told.iter().filter(|event| event.refund_id.as_deref() == Some(refund.id.as_str())).count();
        if times != 1 {
            world.violated(law, Some(id), format!("refund.succeeded of {}: {times} times", refund.id));
        }
    }
    let refunds = account.transactions.iter().filter(|transaction| transaction.kind == TransactionKind::Refund);
    let (nameless, all) =
        refunds.fold((0, 0), |(nameless, all), one| (nameless + usize::from(one.refund_id.is_none()), all + 1));
    let without_name = told.iter().filter(|event| event.refund_id.is_none()).count();
    if !(nameless..=all).contains(&without_name) {
        world.violated(law, Some(id), format!("{nameless} of {all} refunds have no name, {without_name} were told so"));
    }
}

/// Transaction by transaction, to the tiyn.
fn books_agree(world: &World, books: &Books) {
    let law = "our books agree with the provider's";
    let mut ours: BTreeMap<i64, (&Payment, &Transaction)> = BTreeMap::new();
    for account in &books.accounts {
        for transaction in &account.transactions {
            ours.insert(transaction.transaction_id, (&account.payment, transaction));
        }
    }
    for theirs in &books.ledger {
        match ours.remove(&theirs.transaction_id) {
            Some((payment, _)) if world.others.own_entry(theirs) => {
                let detail = format!("{} is not of us", theirs.transaction_id);
                world.violated("money is of the payment that took it", Some(payment.id.as_str()), detail);
            }
            None if world.others.own_entry(theirs) => {}
            Some((payment, ours)) if agrees(payment, ours, theirs) => {}
            Some((payment, ours)) => {
                world.violated(law, Some(payment.id.as_str()), format!("{ours:?} and {theirs:?}"));
            }
            None if has_money(theirs) => {
                world.violated(law, theirs.payment_id.as_deref(), format!("missing: {theirs:?}"))
            }
            None => {}
        }
    }
    for (number, (payment, _)) in ours {
        world.violated(law, Some(payment.id.as_str()), format!("the provider has no transaction {number}"));
    }
}

pub(super) fn has_money(entry: &LedgerEntry) -> bool {
    matches!(entry.status, TheirStatus::Authorized | TheirStatus::Completed | TheirStatus::Cancelled)
}

fn agrees(payment: &Payment, ours: &Transaction, theirs: &LedgerEntry) -> bool {
    let status = match theirs.status {
        TheirStatus::Authorized => ours.status == TransactionStatus::Authorized,
        TheirStatus::Completed => ours.status == TransactionStatus::Completed,
        TheirStatus::Cancelled => ours.status == TransactionStatus::Voided,
        TheirStatus::Declined | TheirStatus::AwaitingAuthentication => ours.status < TransactionStatus::Authorized,
    };
    let is_refund = theirs.kind == TransactionType::Refund;
    // Refunds carry no currency of their own, and what was only asked about is booked as it was asked for.
    let sums = !has_money(theirs)
        || (ours.amount.minor == theirs.amount_minor && ours.amount.currency.code() == theirs.currency);
    // Whose capture it was is not known where a person was called for it: then no more is booked than was surely taken.
    let unclear = payment.attention_raised.iter().any(|mark| mark.starts_with("capture_unclear:"));
    let captured = is_refund
        || ours.captured == theirs.captured_minor
        || (unclear && (1..theirs.captured_minor).contains(&ours.captured));
    status
        && sums
        && captured
        && is_refund == (ours.kind == TransactionKind::Refund)
        && ours.parent_transaction_id == theirs.payment_transaction_id
}

/// One request of the site has one effect, and every call to the provider has its own name.
fn nothing_happens_twice(world: &World, books: &Books, tx: &mut Tx<'_>) -> Result<()> {
    let law = "one request has one effect";
    let mut reasons: BTreeMap<&str, &str> = BTreeMap::new();
    for refund in books.accounts.iter().flat_map(|account| &account.refunds) {
        reasons.insert(refund.id.as_str(), refund.reason.as_deref().unwrap_or_default());
    }
    let mut done: BTreeSet<String> = BTreeSet::new();
    for entry in &books.ledger {
        // Only what we ask for has a description; a first bank's try has none. A second bank's try after 3-D Secure is part of
        // what the first one was asked.
        let (description, by_hand, second) = world
            .provider
            .transaction(entry.transaction_id, |transaction| {
                let second = transaction.declined_before.is_some();
                (transaction.draft.description.clone(), transaction.from_cabinet, second)
            })
            .unwrap_or_default();
        let what = match (entry.kind, description) {
            (TransactionType::Payment, None) => continue,
            (TransactionType::Payment, _) if second => continue,
            (TransactionType::Payment, Some(order)) => order,
            (TransactionType::Refund, _) if by_hand => continue,
            (TransactionType::Refund, _) => {
                let called = OperationId::from_stored(entry.request_id.clone().unwrap_or_default());
                let refund = operations::find(tx, &called)?.and_then(|operation| operation.refund_id);
                refund.and_then(|id| reasons.get(id.as_str()).copied()).unwrap_or_default().to_owned()
            }
        };
        if what.is_empty() || entry.request_id.is_none() || !done.insert(what.clone()) {
            world.violated(law, entry.payment_id.as_deref(), format!("{what}: {entry:?}"));
        }
    }
    Ok(())
}

/// Money that is not what was asked for waits for a person.
fn surprises_are_shown(world: &World, books: &Books) {
    for account in &books.accounts {
        let payment = &account.payment;
        let with_money: Vec<&Transaction> = account
            .transactions
            .iter()
            .filter(|transaction| transaction.kind == TransactionKind::Payment)
            .filter(|transaction| {
                matches!(transaction.status, TransactionStatus::Authorized | TransactionStatus::Completed)
            })
            .collect();
        let odd = with_money.len() > 1 || with_money.iter().any(|transaction| transaction.amount != payment.amount);
        if odd && payment.attention.is_none() {
            let detail = format!("{with_money:?}");
            world.violated("money that surprises is shown", Some(payment.id.as_str()), detail);
        }
    }
}

fn count(world: &World, books: &Books) {
    let mut tally = lock(&world.tally);
    for account in &books.accounts {
        *tally.states.entry(account.payment.status.as_str().to_owned()).or_default() += 1;
        tally.attention += u64::from(account.payment.attention.is_some());
    }
    for approval in &books.approvals {
        let name = format!("{} {}", approval.subject.kind().as_str(), approval.state.as_str());
        *tally.approvals.entry(name).or_default() += 1;
    }
    tally.transactions += u64::try_from(books.ledger.len()).unwrap_or(0);
    tally.with_money += u64::try_from(books.ledger.iter().filter(|entry| has_money(entry)).count()).unwrap_or(0);
}

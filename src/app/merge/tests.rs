//! What is known in the end does not depend on what was told first, how often, or by whom.

use proptest::prelude::*;

use super::*;
use crate::domain::evidence::{Known, RefundShare, Settlement, derive};
use crate::domain::money::Currency;
use crate::domain::payment::Sums;
use crate::domain::refund::RefundStatus;
use crate::domain::state::{EDGES, Status};

const AMOUNT: i64 = 10_000;

fn asked(by_hand: bool) -> Asked {
    let capture = if by_hand { CaptureMode::Manual } else { CaptureMode::Automatic };
    Asked { amount: Money::new(AMOUNT, Currency::KZT), capture }
}

fn fact(number: i64, status: TransactionStatus, minor: Option<i64>) -> Fact {
    Fact {
        transaction_id: number,
        kind: TransactionKind::Payment,
        status,
        amount: minor.map(|minor| Money::new(minor, Currency::KZT)),
        is_capture: false,
        parent_transaction_id: None,
        reason_code: None,
        card: Card::default(),
        invoice_id: None,
        payment_id: None,
        refund_id: None,
        account_id: None,
        subscription_id: None,
        test_mode: None,
        made_at: None,
        settlement: Settlement::default(),
    }
}

fn confirm(number: i64, minor: i64) -> Fact {
    Fact { is_capture: true, ..fact(number, TransactionStatus::Completed, Some(minor)) }
}

fn refund(number: i64, parent: i64, minor: i64) -> Fact {
    Fact {
        kind: TransactionKind::Refund,
        parent_transaction_id: Some(parent),
        ..fact(number, TransactionStatus::Completed, Some(minor))
    }
}

#[test]
fn the_register_tells_the_currency_of_a_refund() {
    let rub = Currency::parse("RUB").unwrap();
    let told = refund(2, 1, 500);
    let by_register = Fact { amount: Some(Money::new(500, rub)), ..told.clone() };
    let before = learned(&[told], asked(false)).remove(0);
    let after = merge(before.clone(), &by_register, None, asked(false), Timestamp::from_micros(0));
    assert_eq!(after.amount, Money::new(500, rub));
    assert!(contradicts(&before, &after, &by_register));
    // Told again, it is nothing new.
    let again = merge(after.clone(), &by_register, None, asked(false), Timestamp::from_micros(0));
    assert!(same(&after, &again) && !contradicts(&after, &again, &by_register));
}

/// As the record does it: [`begin`] for the first fact, [`merge`] for the others. Tells whether anything was new.
fn learn(known: &mut Vec<Transaction>, fact: &Fact, asked: Asked) -> bool {
    match known.iter_mut().find(|known| known.transaction_id == fact.transaction_id) {
        Some(before) => {
            let after = merge(before.clone(), fact, None, asked, Timestamp::from_micros(0));
            let changed = !same(before, &after);
            *before = after;
            changed
        }
        None => {
            let id = TransactionRecordId::from_stored(fact.transaction_id.to_string());
            let first = begin(id, Timestamp::from_micros(0), asked, fact, None);
            let began = first.is_some();
            known.extend(first);
            began
        }
    }
}

fn learned(facts: &[Fact], asked: Asked) -> Vec<Transaction> {
    let mut known = Vec::new();
    for fact in facts {
        learn(&mut known, fact, asked);
    }
    known
}

fn known<'a>(
    status: Status,
    hosted: bool,
    asked: Asked,
    transactions: &'a [Transaction],
    refunds: &'a [RefundShare],
) -> Known<'a> {
    Known { status, amount: asked.amount, capture: asked.capture, hosted, transactions, refunds, open_operation: None }
}

/// What the provider did with one transaction and may tell of it, in any order and any number of times.
fn story(number: i64) -> impl Strategy<Value = (bool, Vec<Fact>)> {
    use TransactionStatus::{Authorized, AwaitingAuthentication, Checked, Completed, Declined, Voided};
    let sum = prop_oneof![4 => Just(AMOUNT), 1 => 1..2 * AMOUNT];
    // What was taken of a hold, and whether a Confirm and a lookup tell that or the hold.
    let part = (prop_oneof![1 => Just(AMOUNT), 2 => 1..AMOUNT], any::<bool>(), any::<bool>());
    (0..5_u8, sum, part, any::<bool>()).prop_map(
        move |(kind, sum, (part, confirm_tells_part, lookup_tells_part), none)| {
            let early =
                [fact(number, Checked, Some(sum)), fact(number, AwaitingAuthentication, Some(sum).filter(|_| !none))];
            let refused = [fact(number, Declined, Some(sum))];
            let part = part.min(sum);
            let told = |tells_part: bool| if tells_part { part } else { sum };
            let (by_hand, rest) = match kind {
                0 => (none, refused.to_vec()),
                1 => (false, vec![fact(number, Completed, Some(sum)), fact(number, Completed, Some(sum))]),
                2 => (true, vec![fact(number, Authorized, Some(sum))]),
                3 => (
                    true,
                    vec![
                        fact(number, Authorized, Some(sum)),
                        fact(number, Voided, Some(sum)),
                        fact(number, Voided, Some(sum)),
                    ],
                ),
                _ => (
                    true,
                    vec![
                        fact(number, Authorized, Some(sum)),
                        confirm(number, told(confirm_tells_part)),
                        fact(number, Completed, Some(told(lookup_tells_part))),
                    ],
                ),
            };
            (by_hand, early.into_iter().chain(rest).collect())
        },
    )
}

/// Stories of up to three attempts at one payment and what was given back.
fn stories() -> impl Strategy<Value = (bool, Vec<Fact>)> {
    let refunds = prop::collection::vec((10..14_i64, 1..4_i64, 1..=AMOUNT), 0..4);
    (story(1), story(2), story(3), 1..4_usize, refunds).prop_map(|(one, two, three, count, refunds)| {
        // One sum for each refund, however often it is told.
        let sums = |number: i64| refunds.iter().find(|(other, ..)| *other == number).copied();
        let told = refunds.iter().filter_map(|(number, ..)| sums(*number));
        let by_hand = one.0;
        let facts =
            [one, two, three].into_iter().take(count).filter(|story| story.0 == by_hand).flat_map(|story| story.1);
        let facts = facts.chain(told.map(|(number, parent, minor)| refund(number, parent, minor))).collect();
        (by_hand, facts)
    })
}

/// Some of the facts, some of them twice, in two orders.
fn two_tellings() -> impl Strategy<Value = (bool, Vec<Fact>, Vec<Fact>)> {
    stories()
        .prop_flat_map(|(by_hand, facts)| {
            let some = prop::sample::subsequence(facts.clone(), 0..=facts.len());
            (Just(by_hand), some, 0..3_usize)
        })
        .prop_flat_map(|(by_hand, facts, repeats)| {
            let again = facts.iter().take(repeats).cloned().chain(facts.iter().cloned()).collect::<Vec<_>>();
            (Just(by_hand), Just(again.clone()).prop_shuffle(), Just(again).prop_shuffle())
        })
}

fn told_of(transactions: &[Transaction], asked: Asked) -> Vec<(i64, TransactionStatus, Option<i64>)> {
    let mut told: Vec<_> = transactions
        .iter()
        .map(|transaction| {
            // A sum that was not asked for is not booked; which of two such is shown is all that the order decides.
            let is_booked = transaction.status >= TransactionStatus::Authorized && transaction.amount == asked.amount;
            let captured = is_booked.then_some(transaction.captured);
            (transaction.transaction_id, transaction.status, captured)
        })
        .collect();
    told.sort_unstable();
    told
}

fn shares(parts: &[(i64, i64)]) -> Vec<RefundShare> {
    let share = |(parent, amount): &(i64, i64)| RefundShare {
        parent_transaction_id: *parent,
        amount: *amount,
        status: RefundStatus::Pending,
    };
    parts.iter().map(share).collect()
}

fn expect_laws(sums: Sums, asked: Asked, status: Status) {
    let whole = asked.amount.minor;
    assert!(0 <= sums.captured && sums.captured <= whole && 0 <= sums.authorized && sums.authorized <= whole);
    assert!(sums.captured <= sums.authorized, "{sums:?}");
    assert!(sums.refunded >= 0 && sums.refund_pending >= 0 && sums.refund_excess >= 0);
    assert!(sums.refunded + sums.refund_pending <= sums.captured + sums.refund_excess, "{sums:?}");
    assert_eq!(sums.captured > 0, status.is_captured(), "{sums:?} {status}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_order_of_the_facts_does_not_matter((by_hand, one, other) in two_tellings(), hosted: bool) {
        let asked = asked(by_hand);
        let (first, second) = (learned(&one, asked), learned(&other, asked));
        prop_assert_eq!(told_of(&first, asked), told_of(&second, asked), "\n{:#?}\n{:#?}", one, other);
        let end = |transactions: &[Transaction]| derive(&known(Status::Processing, hosted, asked, transactions, &[]));
        let (first, second) = (end(&first), end(&second));
        prop_assert_eq!(
            (first.status, first.sums, first.counted, first.attention),
            (second.status, second.sums, second.counted, second.attention)
        );
    }

    #[test]
    fn a_replay_changes_nothing((by_hand, facts, again) in two_tellings()) {
        let asked = asked(by_hand);
        let mut transactions = learned(&facts, asked);
        for fact in &again {
            let before = transactions.clone();
            learn(&mut transactions, fact, asked);
            prop_assert_eq!(told_of(&before, asked), told_of(&transactions, asked), "{:?}", fact);
        }
    }

    #[test]
    fn every_step_is_legal_and_keeps_the_laws_of_money(
        (by_hand, facts, _) in two_tellings(),
        pending in prop::collection::vec((1..4_i64, 1..AMOUNT), 0..3),
        commands in prop::collection::vec((0..6_u8, 0..12_usize), 0..4),
        hosted: bool,
    ) {
        let (asked, refunds) = (asked(by_hand), shares(&pending));
        let mut status = if hosted { Status::AwaitingPayer } else { Status::Processing };
        let mut transactions = Vec::new();
        for (index, fact) in facts.iter().enumerate() {
            // What a caller or the clock may do between two facts, where the table allows it.
            for (command, _) in commands.iter().filter(|(_, at)| *at == index) {
                let rest = match command {
                    0 => Status::Cancelled,
                    1 => Status::Expired,
                    2 => Status::Declined,
                    3 => Status::AwaitingAuthentication,
                    _ => Status::Processing,
                };
                let allowed = EDGES.iter().any(|edge| edge.from == Some(status) && edge.to == rest);
                if allowed && status.is_open() && !(hosted && *command > 1) {
                    status = derive(&known(rest, hosted, asked, &transactions, &refunds)).status;
                }
            }
            let had_money = status.is_captured();
            learn(&mut transactions, fact, asked);
            let derived = derive(&known(status, hosted, asked, &transactions, &refunds));
            let legal = EDGES.iter().any(|edge| edge.from == Some(status) && edge.to == derived.status);
            prop_assert!(legal, "{} > {} after {:?}", status, derived.status, fact);
            expect_laws(derived.sums, asked, derived.status);
            // Money that was seen stays seen, whatever is told later.
            prop_assert!(!had_money || derived.status.is_captured(), "{} > {}", status, derived.status);
            status = derived.status;
        }
        let money = transactions.iter().find(|transaction| {
            transaction.kind == TransactionKind::Payment
                && transaction.status == TransactionStatus::Completed
                && transaction.amount == asked.amount
        });
        prop_assert_eq!(money.is_some(), status.is_captured());
    }

    #[test]
    fn any_facts_at_all_keep_the_laws(
        told in prop::collection::vec((1..4_i64, 0..6_usize, prop::option::of(0..3 * AMOUNT), any::<bool>()), 0..16),
        by_hand: bool, hosted: bool,
    ) {
        use TransactionStatus::{Authorized, AwaitingAuthentication, Checked, Completed, Declined, Voided};
        let statuses = [Checked, AwaitingAuthentication, Declined, Authorized, Voided, Completed];
        let asked = asked(by_hand);
        let mut status = if hosted { Status::AwaitingPayer } else { Status::Processing };
        let mut transactions = Vec::new();
        for (number, index, minor, is_capture) in told {
            let is_capture = is_capture && statuses[index] == Completed;
            let told = Fact { is_capture, ..fact(number, statuses[index], minor) };
            learn(&mut transactions, &told, asked);
            let derived = derive(&known(status, hosted, asked, &transactions, &[]));
            let legal = EDGES.iter().any(|edge| edge.from == Some(status) && edge.to == derived.status);
            prop_assert!(legal, "{} > {} after {:?}", status, derived.status, told);
            expect_laws(derived.sums, asked, derived.status);
            for transaction in &transactions {
                prop_assert!(transaction.captured <= transaction.amount.minor && transaction.captured >= 0);
            }
            status = derived.status;
        }
    }
}

#[test]
fn an_outcome_came_about_at_the_earliest_moment_that_is_told() {
    let at = Timestamp::from_micros;
    let told = |status, moved_at: Option<i64>| Fact {
        settlement: Settlement { moved_at: moved_at.map(at), ..Settlement::default() },
        ..fact(1, status, Some(AMOUNT))
    };
    let known = |facts: &[(Fact, i64)]| {
        let (first, rest) = facts.split_first().unwrap();
        let id = TransactionRecordId::from_stored("1".to_owned());
        let mut known = begin(id, at(first.1), asked(true), &first.0, None).unwrap();
        for (fact, heard) in rest {
            known = merge(known, fact, None, asked(true), at(*heard));
        }
        known.settlement.moved_at
    };
    use TransactionStatus::{Authorized, Completed, Declined};
    assert_eq!(known(&[(told(Authorized, None), 5)]), None, "a hold is no outcome");
    assert_eq!(
        known(&[(told(Authorized, Some(3)), 5), (told(Completed, None), 9)]),
        Some(at(9)),
        "nor is its moment that of the capture"
    );
    assert_eq!(known(&[(told(Completed, None), 9), (told(Completed, Some(7)), 20)]), Some(at(7)));
    assert_eq!(known(&[(told(Completed, Some(7)), 20), (told(Completed, None), 30)]), Some(at(7)));
    assert_eq!(known(&[(told(Completed, Some(25)), 20)]), Some(at(20)), "not later than we heard of it");
    assert_eq!(
        known(&[(told(Declined, Some(2)), 3), (told(Completed, None), 9)]),
        Some(at(9)),
        "another outcome, another moment"
    );
    assert_eq!(known(&[(told(Completed, None), 9), (told(Authorized, Some(1)), 10)]), Some(at(9)));
}

#[test]
fn fee_and_payout_are_those_told_last() {
    let told = |fee: Option<i64>, payout: Option<i64>| Fact {
        settlement: Settlement { fee, payout, ..Settlement::default() },
        ..fact(1, TransactionStatus::Completed, Some(AMOUNT))
    };
    let mut transactions = learned(&[told(Some(10), None), told(None, Some(90)), told(None, None)], asked(false));
    let settlement = transactions[0].settlement;
    assert_eq!((settlement.fee, settlement.payout), (Some(10), Some(90)));
    assert!(!learn(&mut transactions, &told(Some(12), None), asked(false)), "nobody is told of it");
    assert_eq!(transactions[0].settlement.fee, Some(12));
}

//! Laws of the derivation, on random facts in random order.

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::domain::money::Currency;
use crate::domain::state::EDGES;

const AMOUNT: i64 = 10_000;

#[derive(Debug, Clone)]
struct Told {
    number: i64,
    refund_of: Option<i64>,
    status: TransactionStatus,
    amount: i64,
    currency: Currency,
}

fn told() -> impl Strategy<Value = Told> {
    let status = prop_oneof![
        Just(TransactionStatus::Checked),
        Just(TransactionStatus::AwaitingAuthentication),
        Just(TransactionStatus::Declined),
        Just(TransactionStatus::Authorized),
        Just(TransactionStatus::Voided),
        Just(TransactionStatus::Completed),
    ];
    let amount = prop_oneof![3 => Just(AMOUNT), 1 => 1..=2 * AMOUNT];
    let currency = prop_oneof![9 => Just(Currency::KZT), 1 => Just(Currency::parse("USD").unwrap())];
    let payment = (1i64..4, status, amount, currency.clone()).prop_map(|(number, status, amount, currency)| Told {
        number,
        refund_of: None,
        status,
        amount,
        currency,
    });
    let refund = (10i64..16, 1i64..4, 1..=AMOUNT).prop_map(|(number, parent, amount)| Told {
        number,
        refund_of: Some(parent),
        status: TransactionStatus::Completed,
        amount,
        currency: Currency::KZT,
    });
    prop_oneof![2 => payment, 1 => refund]
}

/// As the record keeps it: the stronger state wins, a sum stays as first told.
fn learn(transactions: &mut Vec<Transaction>, told: &Told) {
    let amount = Money::new(told.amount, told.currency);
    let index = transactions.iter().position(|known| known.transaction_id == told.number).unwrap_or_else(|| {
        transactions.push(Transaction {
            id: TransactionRecordId::from_stored(told.number.to_string()),
            transaction_id: told.number,
            kind: if told.refund_of.is_some() { TransactionKind::Refund } else { TransactionKind::Payment },
            status: told.status,
            amount,
            captured: 0,
            parent_transaction_id: told.refund_of,
            refund_id: None,
            reason_code: None,
            card: Card::default(),
            settlement: Settlement::default(),
            created_at: Timestamp::from_micros(0),
            updated_at: Timestamp::from_micros(0),
        });
        transactions.len() - 1
    });
    let known = &mut transactions[index];
    known.status = known.status.max(told.status);
    if known.kind == TransactionKind::Payment && known.status == TransactionStatus::Completed && known.captured == 0 {
        known.captured = known.amount.minor;
    }
}

fn known(status: Status, hosted: bool, capture: CaptureMode, transactions: &[Transaction]) -> Known<'_> {
    let amount = Money::new(AMOUNT, Currency::KZT);
    Known { status, amount, capture, hosted, transactions, refunds: &[], open_operation: None }
}

fn is_legal(from: Status, to: Status) -> bool {
    EDGES.iter().any(|edge| edge.from == Some(from) && edge.to == to)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_step_is_legal_and_keeps_the_laws_of_money(
        facts in prop::collection::vec(told(), 1..14), hosted: bool, manual: bool, rests in 0..4u8,
    ) {
        let capture = if manual { CaptureMode::Manual } else { CaptureMode::Automatic };
        let mut status = match (rests, hosted) {
            (0, _) => Status::Cancelled,
            (1, _) => Status::Expired,
            (_, true) => Status::AwaitingPayer,
            (_, false) => Status::Processing,
        };
        let mut transactions = Vec::new();
        for fact in &facts {
            learn(&mut transactions, fact);
            let derived = derive(&known(status, hosted, capture, &transactions));
            prop_assert!(is_legal(status, derived.status), "{status} > {} after {fact:?}", derived.status);
            let sums = derived.sums;
            prop_assert!(sums.captured <= AMOUNT && sums.authorized <= AMOUNT);
            prop_assert!(sums.refunded + sums.refund_pending <= sums.captured + sums.refund_excess);
            prop_assert_eq!(sums.captured > 0, derived.status.is_captured());
            status = derived.status;
        }
    }

    #[test]
    fn money_and_its_state_do_not_depend_on_the_order(
        facts in prop::collection::vec(told(), 1..10).prop_map(|mut facts| {
            // One sum a transaction: what differs between two tellings is its state.
            facts.sort_by_key(|fact| fact.number);
            facts.dedup_by(|next, first| {
                if next.number == first.number { first.status = first.status.max(next.status); }
                next.number == first.number
            });
            facts
        }),
        order in any::<u64>(), hosted: bool,
    ) {
        let mut shuffled = facts.clone();
        let mut state = order;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let other = usize::try_from(state >> 33).unwrap() % (index + 1);
            shuffled.swap(index, other);
        }
        let end = |facts: &[Told]| {
            let mut transactions = Vec::new();
            facts.iter().for_each(|fact| learn(&mut transactions, fact));
            derive(&known(Status::Processing, hosted, CaptureMode::Automatic, &transactions))
        };
        let (one, other) = (end(&facts), end(&shuffled));
        prop_assert_eq!(one.sums, other.sums);
        prop_assert_eq!(one.status, other.status);
        prop_assert_eq!(one.counted, other.counted);
    }
}

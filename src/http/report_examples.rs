//! Examples of the reports, made by the same code that makes real answers.

use serde_json::{Value, json};

use super::examples::{PAYMENT_ID, REFUND_ID, TRANSACTION_ID, at};
use super::register_writer::{Form, Writer, view};
use super::summary::summary_view;
use crate::app::{PublishedDay, Summary};
use crate::domain::business_day::BusinessDay;
use crate::domain::day_register::{Entry, EntryKind, Totals};
use crate::domain::money::{Currency, Money};
use crate::domain::summary::{Dimension, Line, Outcome, Tally, publish};

/// Rows of a register: a payment with its fee, a refund of it, a chargeback.
pub(super) fn register_rows() -> Vec<Entry> {
    let payment = Entry {
        kind: EntryKind::Payment,
        at: at(41),
        record_id: "trn_01kaq0j7r5y2w9f4h8k1s6d3ma".to_owned(),
        payment_id: Some(PAYMENT_ID.to_owned()),
        refund_id: None,
        transaction_id: TRANSACTION_ID,
        parent_transaction_id: None,
        invoice_id: Some("KM-2026-000123".to_owned()),
        amount: Some(Money::new(1_250_000, Currency::KZT)),
        fee: Some(31_250),
        payout: None,
        payout_at: None,
        card_brand: Some("visa".to_owned()),
        card_last_four: Some("4242".to_owned()),
        dispute: None,
        test_mode: Some(false),
    };
    let refund = Entry {
        kind: EntryKind::Refund,
        at: at(3601),
        record_id: "trn_01kaq0k7d9x1c4v8b2n5m7z3qe".to_owned(),
        refund_id: Some(REFUND_ID.to_owned()),
        transaction_id: TRANSACTION_ID + 1,
        parent_transaction_id: Some(TRANSACTION_ID),
        amount: Some(Money::new(250_000, Currency::KZT)),
        fee: None,
        ..payment.clone()
    };
    let chargeback = Entry {
        kind: EntryKind::Chargeback,
        at: at(7200),
        record_id: "cbk_01kaq0m2h7s4d9f1g6j3k8m5ze".to_owned(),
        fee: None,
        card_brand: None,
        card_last_four: None,
        dispute: Some("Chargeback Presentment".to_owned()),
        ..payment.clone()
    };
    vec![payment, refund, chargeback]
}

fn register_totals(rows: &[Entry]) -> Totals {
    let mut totals = Totals::default();
    // Three small sums fit.
    rows.iter().filter_map(|row| totals.add(row).err()).for_each(drop);
    totals
}

/// A day's register.
pub(super) fn register() -> Value {
    let rows = register_rows();
    serde_json::to_value(view(BusinessDay::of(at(0)), true, &rows, &register_totals(&rows))).unwrap_or_default()
}

/// The same as CSV.
pub(super) fn register_csv() -> Value {
    let rows = register_rows();
    let mut writer = Writer::new(Form::Csv { bom: false }, BusinessDay::of(at(0)), true);
    let mut text = writer.rows(&rows).unwrap_or_default();
    text.extend(writer.end(&register_totals(&rows)).unwrap_or_default());
    json!(String::from_utf8_lossy(&text))
}

/// What is published of two days, of which the second is not over for long enough.
pub(super) fn summary() -> Value {
    let line = |brand: &str, count: i64| Line {
        currency: Currency::KZT,
        outcome: Outcome::Paid,
        parts: vec![(Dimension::Brand, brand.to_owned()), (Dimension::Method, "widget".to_owned())],
        tally: Tally { count, minor: count * 1_250_000 },
    };
    let day = BusinessDay::of(at(0));
    let groups = publish(&[line("visa", 120), line("mastercard", 41), line("maestro", 3)]);
    let totals = groups.iter().map(|(key, group)| (*key, (group.clone(), 1))).collect();
    let days = vec![PublishedDay { day, published_at: at(2 * 86_400), groups }];
    let summary = Summary { days, totals, not_published: vec![day.plus_days(1)] };
    serde_json::to_value(summary_view(day, day.plus_days(1), &summary)).unwrap_or_default()
}

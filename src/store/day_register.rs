//! The rows of a day's register, in pages by key.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamp as SqlTimestamp};

use super::Tx;
use super::conn::on_each;
use super::types::{NaiveDateTime, currency, known, moment};
use crate::clock::Timestamp;
use crate::domain::day_register::{Entry, EntryKind};
use crate::domain::evidence::{TransactionKind, TransactionStatus};
use crate::domain::money::Money;
use crate::error::Result;

/// Rows after (`$1`, `$2`) and before `$3`; reads the index transactions_moved from where the page before ended.
pub const MOVED: &str = "SELECT t.id, t.moved_at, t.payment_id, t.refund_id, t.kind, t.status, t.transaction_id, \
     t.parent_transaction_id, p.invoice_id, t.currency, t.amount, t.captured, t.fee, t.payout, t.payout_at, \
     t.card_brand, t.card_last_four, p.test_mode \
     FROM transactions t JOIN payments p ON p.id = t.payment_id \
     WHERE t.moved_at >= $1 AND (t.moved_at, t.id) > ($1, $2) AND t.moved_at < $3 \
     AND t.status IN ('completed', 'voided') ORDER BY t.moved_at, t.id LIMIT $4";

/// Chargebacks that were raised in the day, or found in it where the provider does not tell when; reads chargebacks_day.
pub const DISPUTED: &str = "SELECT c.id, COALESCE(c.raised_at, c.found_at) AS at, c.payment_id, c.transaction_id, \
     c.operation, c.kind, c.currency, c.amount, p.invoice_id, p.test_mode \
     FROM chargebacks c LEFT JOIN payments p ON p.id = c.payment_id \
     WHERE ((c.raised_at >= $1 AND c.raised_at < $2) OR (c.raised_at IS NULL AND c.found_at >= $1 AND c.found_at < $2)) \
     AND c.id > $3 ORDER BY c.id LIMIT $4";

#[derive(QueryableByName)]
struct Moved {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = SqlTimestamp)]
    moved_at: NaiveDateTime,
    #[diesel(sql_type = Text)]
    payment_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    refund_id: Option<String>,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = BigInt)]
    transaction_id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    parent_transaction_id: Option<i64>,
    #[diesel(sql_type = Text)]
    invoice_id: String,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = BigInt)]
    amount: i64,
    #[diesel(sql_type = BigInt)]
    captured: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    fee: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    payout: Option<i64>,
    #[diesel(sql_type = Nullable<SqlTimestamp>)]
    payout_at: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    card_brand: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    card_last_four: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    test_mode: Option<bool>,
}

#[derive(QueryableByName)]
struct Disputed {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = SqlTimestamp)]
    at: NaiveDateTime,
    #[diesel(sql_type = Nullable<Text>)]
    payment_id: Option<String>,
    #[diesel(sql_type = BigInt)]
    transaction_id: i64,
    #[diesel(sql_type = Text)]
    operation: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    amount: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    invoice_id: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    test_mode: Option<bool>,
}

/// Payments, refunds and released holds after the row with this time and id and before `until`, oldest first.
pub fn moved(tx: &mut Tx<'_>, after: (Timestamp, &str), until: Timestamp, limit: i64) -> Result<Vec<Entry>> {
    let rows: Vec<Moved> = on_each!(tx.db(), |conn| sql_query(MOVED)
        .bind::<SqlTimestamp, _>(after.0.naive_utc())
        .bind::<Text, _>(after.1)
        .bind::<SqlTimestamp, _>(until.naive_utc())
        .bind::<BigInt, _>(limit)
        .load(conn))?;
    rows.into_iter().map(Moved::into_entry).collect()
}

/// Chargebacks of the day after the one with this id, in the order of their ids.
pub fn disputed(tx: &mut Tx<'_>, from: Timestamp, until: Timestamp, after: &str, limit: i64) -> Result<Vec<Entry>> {
    let rows: Vec<Disputed> = on_each!(tx.db(), |conn| sql_query(DISPUTED)
        .bind::<SqlTimestamp, _>(from.naive_utc())
        .bind::<SqlTimestamp, _>(until.naive_utc())
        .bind::<Text, _>(after)
        .bind::<BigInt, _>(limit)
        .load(conn))?;
    rows.into_iter().map(Disputed::into_entry).collect()
}

impl Moved {
    fn into_entry(self) -> Result<Entry> {
        let kind = known("transactions.kind", TransactionKind::parse(&self.kind))?;
        let status = known("transactions.status", TransactionStatus::parse(&self.status))?;
        let (kind, minor) = match (kind, status) {
            (TransactionKind::Refund, _) => (EntryKind::Refund, self.amount),
            (TransactionKind::Payment, TransactionStatus::Completed) => (EntryKind::Payment, self.captured),
            (TransactionKind::Payment, _) => (EntryKind::Void, self.amount),
        };
        Ok(Entry {
            kind,
            at: moment(self.moved_at),
            record_id: self.id,
            payment_id: Some(self.payment_id),
            refund_id: self.refund_id,
            transaction_id: self.transaction_id,
            parent_transaction_id: self.parent_transaction_id,
            invoice_id: Some(self.invoice_id),
            amount: Some(Money::new(minor, currency(&self.currency)?)),
            fee: self.fee,
            payout: self.payout,
            payout_at: self.payout_at.map(moment),
            card_brand: self.card_brand,
            card_last_four: self.card_last_four,
            dispute: None,
            test_mode: self.test_mode,
        })
    }
}

impl Disputed {
    fn into_entry(self) -> Result<Entry> {
        let amount = match (self.amount, self.currency) {
            (Some(minor), Some(code)) => Some(Money::new(minor, currency(&code)?)),
            _ => None,
        };
        Ok(Entry {
            kind: EntryKind::Chargeback,
            at: moment(self.at),
            record_id: self.id,
            payment_id: self.payment_id,
            refund_id: None,
            transaction_id: self.transaction_id,
            parent_transaction_id: None,
            invoice_id: self.invoice_id,
            amount,
            fee: None,
            payout: None,
            payout_at: None,
            card_brand: None,
            card_last_four: None,
            dispute: Some(format!("{} {}", self.kind, self.operation)),
            test_mode: self.test_mode,
        })
    }
}

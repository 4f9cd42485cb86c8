//! The provider's transactions as we know them.

use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::Tx;
use super::schema::{payments, transactions};
use super::types::{NaiveDateTime, currency, known, moment};
use crate::clock::Timestamp;
use crate::domain::evidence::{Card, Settlement, Transaction, TransactionKind, TransactionStatus};
use crate::domain::id::{PaymentId, RefundId, TransactionRecordId};
use crate::domain::money::Money;
use crate::domain::payment::Method;
use crate::error::Result;

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = transactions, treat_none_as_null = true)]
struct Row {
    id: String,
    payment_id: String,
    transaction_id: i64,
    kind: String,
    status: String,
    currency: String,
    amount: i64,
    captured: i64,
    parent_transaction_id: Option<i64>,
    refund_id: Option<String>,
    reason_code: Option<i32>,
    card_brand: Option<String>,
    card_first_six: Option<String>,
    card_last_four: Option<String>,
    card_issuer: Option<String>,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
    moved_at: Option<NaiveDateTime>,
    fee: Option<i64>,
    payout: Option<i64>,
    payout_at: Option<NaiveDateTime>,
}

/// A transaction of ours beside what its payment asks for.
#[derive(Debug, Clone)]
pub struct Held {
    /// The payment it belongs to.
    pub payment_id: PaymentId,
    /// The payment's sum.
    pub asked_for: Money,
    /// What we hold.
    pub transaction: Transaction,
}

/// Whether another transaction than this one is recorded in the name of a refund.
pub fn is_named_by_another(tx: &mut Tx<'_>, refund_id: &RefundId, transaction_id: i64) -> Result<bool> {
    let others = transactions::table
        .filter(transactions::refund_id.eq(refund_id.as_str()))
        .filter(transactions::transaction_id.ne(transaction_id));
    Ok(diesel::select(diesel::dsl::exists(others)).get_result(tx.db())?)
}

/// A transaction by the provider's number, with the payment it belongs to.
pub fn find(tx: &mut Tx<'_>, transaction_id: i64) -> Result<Option<(PaymentId, Transaction)>> {
    let row = transactions::table
        .filter(transactions::transaction_id.eq(transaction_id))
        .select(Row::as_select())
        .get_result(tx.db())
        .optional()?;
    row.map(|row| Ok((PaymentId::from_stored(row.payment_id.clone()), from_row(row)?))).transpose()
}

/// Those of these transactions that we hold, with the payment they belong to and its sum.
pub fn held(tx: &mut Tx<'_>, transaction_ids: &[i64]) -> Result<Vec<Held>> {
    let rows: Vec<(Row, String, i64)> = transactions::table
        .inner_join(payments::table)
        .filter(transactions::transaction_id.eq_any(transaction_ids.to_vec()))
        .select((Row::as_select(), payments::currency, payments::amount))
        .load(tx.db())?;
    rows.into_iter()
        .map(|(row, code, minor)| {
            Ok(Held {
                payment_id: PaymentId::from_stored(row.payment_id.clone()),
                asked_for: Money::new(minor, currency(&code)?),
                transaction: from_row(row)?,
            })
        })
        .collect()
}

/// Those of these payments that more than one transaction with money belongs to.
pub fn paid_more_than_once(tx: &mut Tx<'_>, payment_ids: &[String]) -> Result<Vec<PaymentId>> {
    let ids: Vec<String> = transactions::table
        .filter(transactions::payment_id.eq_any(payment_ids.to_vec()))
        .filter(transactions::kind.eq(TransactionKind::Payment.as_str()))
        .filter(diesel::dsl::sql::<Bool>("status IN ('authorized', 'completed')"))
        .group_by(transactions::payment_id)
        .having(diesel::dsl::count_star().gt(1))
        .select(transactions::payment_id)
        .load(tx.db())?;
    Ok(ids.into_iter().map(PaymentId::from_stored).collect())
}

/// All transactions of a payment, oldest first.
pub fn of_payment(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<Transaction>> {
    let rows = transactions::table
        .filter(transactions::payment_id.eq(payment_id.as_str()))
        .order(transactions::id.asc())
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(from_row).collect()
}

/// The provider's numbers of what is recorded with these payments.
pub fn numbers_of(tx: &mut Tx<'_>, payments: &[&PaymentId]) -> Result<Vec<i64>> {
    if payments.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = payments.iter().map(|id| id.as_str()).collect();
    Ok(transactions::table
        .filter(transactions::payment_id.eq_any(ids))
        .select(transactions::transaction_id)
        .load(tx.db())?)
}

/// Attempts in the provider's window that were recorded from `since` on and have no outcome, or were refused by a bank that
/// may not be the last one, newest first, at most `limit`.
pub fn in_window_since(
    tx: &mut Tx<'_>,
    since: &TransactionRecordId,
    limit: i64,
) -> Result<Vec<(PaymentId, Transaction)>> {
    let open = [TransactionStatus::Checked, TransactionStatus::AwaitingAuthentication, TransactionStatus::Declined]
        .map(TransactionStatus::as_str);
    let hosted = payments::table.filter(payments::method.eq(Method::Widget.as_str())).select(payments::id);
    let rows: Vec<Row> = transactions::table
        .filter(transactions::id.ge(since.as_str()))
        .filter(transactions::status.eq_any(open))
        .filter(transactions::payment_id.eq_any(hosted))
        .order(transactions::id.desc())
        .limit(limit)
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(|row| Ok((PaymentId::from_stored(row.payment_id.clone()), from_row(row)?))).collect()
}

/// Writes a transaction we did not know.
pub fn insert(tx: &mut Tx<'_>, payment_id: &PaymentId, transaction: &Transaction) -> Result<()> {
    diesel::insert_into(transactions::table).values(to_row(payment_id, transaction)).execute(tx.db())?;
    Ok(())
}

/// Writes what more we learned of a transaction.
pub fn update(tx: &mut Tx<'_>, payment_id: &PaymentId, transaction: &Transaction) -> Result<()> {
    let row = to_row(payment_id, transaction);
    diesel::update(transactions::table.filter(transactions::transaction_id.eq(transaction.transaction_id)))
        .set(row)
        .execute(tx.db())?;
    Ok(())
}

fn to_row(payment_id: &PaymentId, transaction: &Transaction) -> Row {
    Row {
        id: transaction.id.to_string(),
        payment_id: payment_id.to_string(),
        transaction_id: transaction.transaction_id,
        kind: transaction.kind.as_str().to_owned(),
        status: transaction.status.as_str().to_owned(),
        currency: transaction.amount.currency.code().to_owned(),
        amount: transaction.amount.minor,
        captured: transaction.captured,
        parent_transaction_id: transaction.parent_transaction_id,
        refund_id: transaction.refund_id.as_ref().map(ToString::to_string),
        reason_code: transaction.reason_code,
        card_brand: transaction.card.brand.clone(),
        card_first_six: transaction.card.first_six.clone(),
        card_last_four: transaction.card.last_four.clone(),
        card_issuer: transaction.card.issuer.clone(),
        created_at: transaction.created_at.naive_utc(),
        updated_at: transaction.updated_at.naive_utc(),
        moved_at: transaction.settlement.moved_at.map(Timestamp::naive_utc),
        fee: transaction.settlement.fee,
        payout: transaction.settlement.payout,
        payout_at: transaction.settlement.payout_at.map(Timestamp::naive_utc),
    }
}

fn from_row(row: Row) -> Result<Transaction> {
    Ok(Transaction {
        id: TransactionRecordId::from_stored(row.id),
        transaction_id: row.transaction_id,
        kind: known("transactions.kind", TransactionKind::parse(&row.kind))?,
        status: known("transactions.status", TransactionStatus::parse(&row.status))?,
        amount: Money::new(row.amount, currency(&row.currency)?),
        captured: row.captured,
        parent_transaction_id: row.parent_transaction_id,
        refund_id: row.refund_id.map(RefundId::from_stored),
        reason_code: row.reason_code,
        card: Card {
            brand: row.card_brand,
            first_six: row.card_first_six,
            last_four: row.card_last_four,
            issuer: row.card_issuer,
        },
        settlement: Settlement {
            moved_at: row.moved_at.map(moment),
            fee: row.fee,
            payout: row.payout,
            payout_at: row.payout_at.map(moment),
        },
        created_at: moment(row.created_at),
        updated_at: moment(row.updated_at),
    })
}

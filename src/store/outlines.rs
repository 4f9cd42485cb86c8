//! What of a payment needs no key of its payer: enough to tell whose a transaction is, also while that key does not open.

use diesel::prelude::*;

use super::Tx;
use super::schema::payments;
use super::types::{NaiveDateTime, currency, known, moment};
use crate::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::domain::money::Money;
use crate::domain::payment::{CaptureMode, Method, Payment};
use crate::domain::state::Status;
use crate::error::Result;

/// A payment without anything personal.
#[derive(Debug, Clone)]
pub struct Outline {
    /// Its id.
    pub id: PaymentId,
    /// Its bill.
    pub invoice_id: String,
    /// What was asked for.
    pub amount: Money,
    /// How it is paid.
    pub method: Method,
    /// When its money is taken.
    pub capture: CaptureMode,
    /// Where it is.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<&Payment> for Outline {
    fn from(payment: &Payment) -> Outline {
        Outline {
            id: payment.id.clone(),
            invoice_id: payment.invoice_id.clone(),
            amount: payment.amount,
            method: payment.method,
            capture: payment.capture,
            status: payment.status,
            created_at: payment.created_at,
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = payments)]
struct Row {
    id: String,
    invoice_id: String,
    currency: String,
    amount: i64,
    method: String,
    capture_mode: String,
    status: String,
    created_at: NaiveDateTime,
}

/// One payment.
pub fn find(tx: &mut Tx<'_>, id: &PaymentId) -> Result<Option<Outline>> {
    let row: Option<Row> = payments::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db()).optional()?;
    row.map(from_row).transpose()
}

/// Payments of one bill, newest first; at most 50.
pub fn of_invoice(tx: &mut Tx<'_>, invoice_id: &str) -> Result<Vec<Outline>> {
    let rows: Vec<Row> = payments::table
        .filter(payments::invoice_id.eq(invoice_id))
        .order(payments::id.desc())
        .limit(50)
        .select(Row::as_select())
        .load(tx.db())?;
    rows.into_iter().map(from_row).collect()
}

fn from_row(row: Row) -> Result<Outline> {
    Ok(Outline {
        id: PaymentId::from_stored(row.id),
        invoice_id: row.invoice_id,
        amount: Money::new(row.amount, currency(&row.currency)?),
        method: known("payments.method", Method::parse(&row.method))?,
        capture: known("payments.capture_mode", CaptureMode::parse(&row.capture_mode))?,
        status: known("payments.status", Status::parse(&row.status))?,
        created_at: moment(row.created_at),
    })
}

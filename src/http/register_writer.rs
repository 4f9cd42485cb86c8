//! The register as JSON and as CSV, written row by row.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::schemas::EntryKindName;
use super::view::{Moment, MoneyView};
use crate::domain::business_day::{BusinessDay, ZONE, local_time};
use crate::domain::day_register::{Entry, EntryKind, Total, Totals};
use crate::domain::money::{Currency, Money};
use crate::error::{Error, Result};

/// By which Excel knows UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The first line of the CSV.
const COLUMNS: [&str; 21] = [
    "kind",
    "time_almaty",
    "time_utc",
    "currency",
    "amount",
    "fee",
    "payout",
    "payout_time_utc",
    "invoice_id",
    "payment_id",
    "refund_id",
    "transaction_id",
    "parent_transaction_id",
    "record_id",
    "card_brand",
    "card_last_four",
    "dispute",
    "test_mode",
    "rows",
    "rows_with_fee",
    "rows_with_payout",
];

/// One row of the register. Fields that do not apply, or that the provider did not tell, are absent.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisterRow)]
pub(super) struct RowView<'a> {
    /// `payment`: money was taken. `refund`: given back. `void`: a hold was released, no money moved. `chargeback`: a step
    /// of a dispute.
    #[schema(value_type = EntryKindName)]
    kind: &'static str,
    /// When it happened: as the provider says, else when we first heard of it.
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
    /// Our id of the record: a transaction or a chargeback.
    #[schema(example = "trn_01kaq0j7r5y2w9f4h8k1s6d3ma")]
    record_id: &'a str,
    /// Our payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<&'a str>,
    /// Our refund; absent for one that was made in the provider's cabinet.
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<&'a str>,
    /// The provider's number.
    #[schema(example = 3_541_977_847_i64)]
    transaction_id: i64,
    /// Of a refund: the provider's number of the payment that was given back from.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_transaction_id: Option<i64>,
    /// The site's number of the bill.
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_id: Option<&'a str>,
    /// How much was taken, given back, released or disputed; absent for a chargeback whose sum cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<MoneyView>,
    /// What the provider keeps for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<MoneyView>,
    /// What the provider pays out for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    payout: Option<MoneyView>,
    /// When it pays out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    payout_at: Option<Moment>,
    /// The card's payment system.
    #[serde(skip_serializing_if = "Option::is_none")]
    card_brand: Option<&'a str>,
    /// The card's last four digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    card_last_four: Option<&'a str>,
    /// Of a chargeback: what step it is, in the provider's words (`Chargeback Presentment`, `Fee Presentment`, …).
    #[serde(skip_serializing_if = "Option::is_none")]
    dispute: Option<&'a str>,
    /// Whether the terminal was in test mode: then no money moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    test_mode: Option<bool>,
}

/// The sums over all rows of one kind and currency.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisterTotal)]
pub(super) struct TotalView {
    /// Of which rows.
    #[schema(value_type = EntryKindName)]
    kind: &'static str,
    /// How many.
    rows: i64,
    /// Sum of their `amount`.
    amount: MoneyView,
    /// Sum of their `fee`; absent where none is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<MoneyView>,
    /// Rows whose fee is told.
    rows_with_fee: i64,
    /// Sum of their `payout`; absent where none is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    payout: Option<MoneyView>,
    /// Rows whose payout is told.
    rows_with_payout: i64,
}

/// What moved money on a business day.
#[derive(Serialize, ToSchema)]
#[schema(as = Register)]
pub(super) struct RegisterView<'a> {
    /// The day.
    #[schema(example = "2026-03-02")]
    date: String,
    /// Whose day it is.
    #[schema(example = "Asia/Almaty")]
    timezone: &'static str,
    /// Its first moment.
    #[schema(value_type = String, format = DateTime)]
    from: Moment,
    /// The first moment after it.
    #[schema(value_type = String, format = DateTime)]
    to: Moment,
    /// Whether it was over when the register was read.
    is_over: bool,
    /// The rows.
    rows: Vec<RowView<'a>>,
    /// Their sums, by currency and kind.
    totals: Vec<TotalView>,
    /// Rows whose `amount` cannot be read, and which are in no total.
    rows_without_amount: i64,
}

/// How the register is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Csv { bom: bool },
}

impl Form {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Csv { .. } => "text/csv; charset=utf-8",
        }
    }
}

/// Writes a register piece by piece: rows as often as there are pages, then the end.
pub(super) struct Writer {
    form: Form,
    day: BusinessDay,
    is_over: bool,
    written: bool,
    /// Whether a row was written.
    any: bool,
}

impl Writer {
    pub(super) fn new(form: Form, day: BusinessDay, is_over: bool) -> Writer {
        Writer { form, day, is_over, written: false, any: false }
    }

    /// Rows, at first with what stands before them.
    ///
    /// # Errors
    /// A defect where a row cannot be written.
    pub(super) fn rows(&mut self, rows: &[Entry]) -> Result<Vec<u8>> {
        let mut text = if self.written { Vec::new() } else { self.head()? };
        self.written = true;
        match self.form {
            Form::Json => {
                for row in rows {
                    text.extend_from_slice(if self.any { b",\n" } else { b"\n" });
                    self.any = true;
                    serde_json::to_writer(&mut text, &row_view(row)).map_err(defect)?;
                }
                Ok(text)
            }
            Form::Csv { .. } => csv_lines(text, rows.iter().map(row_record)),
        }
    }

    /// The totals, and what closes the document.
    ///
    /// # Errors
    /// A defect where a total cannot be written.
    pub(super) fn end(&self, totals: &Totals) -> Result<Vec<u8>> {
        match self.form {
            Form::Json => {
                let views: Vec<TotalView> = totals.iter().map(total_view).collect();
                let views = serde_json::to_string(&views).map_err(defect)?;
                let without = totals.without_amount();
                Ok(format!("\n],\"totals\":{views},\"rows_without_amount\":{without}}}\n").into_bytes())
            }
            Form::Csv { .. } => {
                let unknown = (totals.without_amount() > 0).then(|| without_amount_record(totals.without_amount()));
                csv_lines(Vec::new(), totals.iter().map(total_record).chain(unknown))
            }
        }
    }

    fn head(&self) -> Result<Vec<u8>> {
        match self.form {
            Form::Json => {
                let whole =
                    serde_json::to_string(&view(self.day, self.is_over, &[], &Totals::default())).map_err(defect)?;
                let (head, _) =
                    whole.split_once("\"rows\":[").ok_or_else(|| Error::internal("a register without rows"))?;
                Ok(format!("{head}\"rows\":[").into_bytes())
            }
            Form::Csv { bom } => {
                let mark = if bom { BYTE_ORDER_MARK } else { "" };
                csv_lines(mark.as_bytes().to_vec(), [COLUMNS.map(Cow::Borrowed)].into_iter())
            }
        }
    }
}

fn defect(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("a register cannot be written: {error}"))
}

/// A whole register at once, for its documentation.
pub(super) fn view<'a>(day: BusinessDay, is_over: bool, rows: &'a [Entry], totals: &Totals) -> RegisterView<'a> {
    RegisterView {
        date: day.to_string(),
        timezone: ZONE.name(),
        from: Moment(day.begin()),
        to: Moment(day.end()),
        is_over,
        rows: rows.iter().map(row_view).collect(),
        totals: totals.iter().map(total_view).collect(),
        rows_without_amount: totals.without_amount(),
    }
}

fn row_view(row: &Entry) -> RowView<'_> {
    let in_its_currency = |minor: Option<i64>| {
        let currency = row.amount?.currency;
        minor.map(|minor| MoneyView::from(Money::new(minor, currency)))
    };
    RowView {
        kind: row.kind.as_str(),
        at: Moment(row.at),
        record_id: &row.record_id,
        payment_id: row.payment_id.as_deref(),
        refund_id: row.refund_id.as_deref(),
        transaction_id: row.transaction_id,
        parent_transaction_id: row.parent_transaction_id,
        invoice_id: row.invoice_id.as_deref(),
        amount: row.amount.map(MoneyView::from),
        fee: in_its_currency(row.fee),
        payout: in_its_currency(row.payout),
        payout_at: row.payout_at.map(Moment),
        card_brand: row.card_brand.as_deref(),
        card_last_four: row.card_last_four.as_deref(),
        dispute: row.dispute.as_deref(),
        test_mode: row.test_mode,
    }
}

fn total_view((currency, kind, total): (Currency, EntryKind, Total)) -> TotalView {
    let money = |minor: i64| MoneyView::from(Money::new(minor, currency));
    TotalView {
        kind: kind.as_str(),
        rows: total.count,
        amount: money(total.amount),
        fee: (total.with_fee > 0).then(|| money(total.fee)),
        rows_with_fee: total.with_fee,
        payout: (total.with_payout > 0).then(|| money(total.payout)),
        rows_with_payout: total.with_payout,
    }
}

type Record<'a> = [Cow<'a, str>; COLUMNS.len()];

fn csv_lines<'a>(text: Vec<u8>, records: impl Iterator<Item = Record<'a>>) -> Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(text);
    for record in records {
        writer.write_record(record.iter().map(|cell| cell.as_bytes())).map_err(defect)?;
    }
    writer.into_inner().map_err(defect)
}

fn row_record(row: &Entry) -> Record<'_> {
    let money = |minor: Option<i64>| -> Cow<'static, str> {
        let sum = minor.and_then(|minor| row.amount.map(|amount| Money::new(minor, amount.currency).to_decimal()));
        Cow::Owned(sum.unwrap_or_default())
    };
    let text = |text: &'_ Option<String>| -> Cow<'_, str> {
        Cow::Owned(harmless(text.as_deref().unwrap_or_default()).into_owned())
    };
    let moment = |at: Option<crate::clock::Timestamp>| Cow::Owned(at.map(|at| at.to_string()).unwrap_or_default());
    let number = |number: Option<i64>| Cow::Owned(number.map(|number| number.to_string()).unwrap_or_default());
    [
        Cow::Borrowed(row.kind.as_str()),
        Cow::Owned(local_time(row.at)),
        moment(Some(row.at)),
        Cow::Borrowed(row.amount.map_or("", |amount| amount.currency.code())),
        money(row.amount.map(|amount| amount.minor)),
        money(row.fee),
        money(row.payout),
        moment(row.payout_at),
        text(&row.invoice_id),
        text(&row.payment_id),
        text(&row.refund_id),
        number(Some(row.transaction_id)),
        number(row.parent_transaction_id),
        Cow::Borrowed(&row.record_id),
        text(&row.card_brand),
        text(&row.card_last_four),
        text(&row.dispute),
        Cow::Borrowed(row.test_mode.map_or("", |test| if test { "true" } else { "false" })),
        Cow::Borrowed(""),
        Cow::Borrowed(""),
        Cow::Borrowed(""),
    ]
}

fn total_record((currency, kind, total): (Currency, EntryKind, Total)) -> Record<'static> {
    let mut record: Record<'static> = std::array::from_fn(|_| Cow::Borrowed(""));
    let money = |minor: i64, rows: i64| if rows > 0 { Money::new(minor, currency).to_decimal() } else { String::new() };
    let cells = [
        ("kind", format!("total {}", kind.as_str())),
        ("currency", currency.code().to_owned()),
        ("amount", money(total.amount, total.count)),
        ("fee", money(total.fee, total.with_fee)),
        ("payout", money(total.payout, total.with_payout)),
        ("rows", total.count.to_string()),
        ("rows_with_fee", total.with_fee.to_string()),
        ("rows_with_payout", total.with_payout.to_string()),
    ];
    fill(&mut record, cells);
    record
}

fn without_amount_record(rows: i64) -> Record<'static> {
    let mut record: Record<'static> = std::array::from_fn(|_| Cow::Borrowed(""));
    fill(&mut record, [("kind", "without amount".to_owned()), ("rows", rows.to_string())]);
    record
}

fn fill<const N: usize>(record: &mut Record<'static>, cells: [(&str, String); N]) {
    for (name, text) in cells {
        let place = COLUMNS.iter().position(|column| *column == name);
        if let Some(cell) = place.and_then(|place| record.get_mut(place)) {
            *cell = Cow::Owned(text);
        }
    }
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> Cow<'_, str> {
    let begins = |character: char| "=+-@\t\r\n＝＋－＠|%".contains(character);
    if text.starts_with(begins) || text.trim_start().starts_with(begins) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests;

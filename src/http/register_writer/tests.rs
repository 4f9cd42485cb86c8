use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::clock::Timestamp;
use crate::http::report_examples;

fn written(form: Form, rows: &[Entry], pages: usize) -> Vec<u8> {
    let mut writer = Writer::new(form, BusinessDay::parse("2026-03-02").unwrap(), true);
    let mut totals = Totals::default();
    let mut text = Vec::new();
    for page in rows.chunks(rows.len().div_ceil(pages.max(1)).max(1)) {
        page.iter().for_each(|row| totals.add(row).unwrap());
        text.extend(writer.rows(page).unwrap());
    }
    text.extend(writer.rows(&[]).unwrap());
    text.extend(writer.end(&totals).unwrap());
    text
}

fn entry(kind: EntryKind, minor: i64, fee: Option<i64>, invoice_id: &str) -> Entry {
    Entry {
        kind,
        at: Timestamp::from_micros(1_772_428_447_000_000),
        amount: (minor > 0).then(|| Money::new(minor, Currency::KZT)),
        fee,
        invoice_id: Some(invoice_id.to_owned()),
        ..report_examples::register_rows().remove(0)
    }
}

#[test]
fn what_is_streamed_is_what_is_documented() {
    let rows = report_examples::register_rows();
    let mut totals = Totals::default();
    rows.iter().for_each(|row| totals.add(row).unwrap());
    let whole = serde_json::to_value(view(BusinessDay::parse("2026-03-02").unwrap(), true, &rows, &totals)).unwrap();
    for pages in 1..=3 {
        let streamed: Value = serde_json::from_slice(&written(Form::Json, &rows, pages)).unwrap();
        assert_eq!(streamed, whole, "{pages} pages");
    }
    let empty: Value = serde_json::from_slice(&written(Form::Json, &[], 1)).unwrap();
    assert_eq!((empty["rows"].as_array().unwrap().len(), empty["totals"].as_array().unwrap().len()), (0, 0));
}

#[test]
fn a_mark_stands_before_everything_if_at_all() {
    let rows = [entry(EntryKind::Payment, 100, None, "KM-1")];
    let plain = written(Form::Csv { bom: false }, &rows, 1);
    let marked = written(Form::Csv { bom: true }, &rows, 1);
    assert!(plain.starts_with(b"kind,time_almaty,time_utc,"));
    assert_eq!(marked.strip_prefix(&[0xef, 0xbb, 0xbf]), Some(plain.as_slice()));
    let text = String::from_utf8(plain).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("payment,2026-03-02 10:14:07,2026-03-02T05:14:07Z,KZT,1.00,"), "{text}");
    assert!(text.contains("\r\ntotal payment,,,KZT,1.00,,,,,,,,,,,,,,1,0,0\r\n"), "{text}");
}

#[test]
fn no_text_is_a_formula() {
    for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "＋1", "|calc", "%0"] {
        assert_eq!(harmless(text), format!("'{text}"), "{text:?}");
    }
    for text in ["KM-2026-000123", "", "1-2", "полис №5", "a=b"] {
        assert_eq!(harmless(text), text);
    }
}

#[test]
fn what_cannot_be_read_is_counted_and_in_no_total() {
    let rows = [entry(EntryKind::Chargeback, 0, None, "KM-1"), entry(EntryKind::Payment, 500, Some(15), "KM-2")];
    let json: Value = serde_json::from_slice(&written(Form::Json, &rows, 1)).unwrap();
    assert_eq!((json["rows_without_amount"].as_i64(), json["totals"].as_array().unwrap().len()), (Some(1), 1));
    let text = String::from_utf8(written(Form::Csv { bom: false }, &rows, 1)).unwrap();
    assert!(text.lines().last().unwrap().starts_with("without amount,"), "{text}");
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let kind = prop::sample::select(EntryKind::ALL.to_vec());
    (kind, 0i64..10_000_000, prop::option::of(0i64..100_000), "[=+@\\-\"',;a-z0-9 \n\tәқ]{0,12}")
        .prop_map(|(kind, minor, fee, invoice_id)| entry(kind, minor, fee, &invoice_id))
}

proptest! {
    /// Both forms hold every row, the totals are those of the rows to the tiyn, and every text survives.
    #[test]
    fn totals_are_the_sums_of_the_rows(rows in prop::collection::vec(any_entry(), 0..60), pages in 1usize..5) {
        let json: Value = serde_json::from_slice(&written(Form::Json, &rows, pages)).unwrap();
        prop_assert_eq!(json["rows"].as_array().unwrap().len(), rows.len());
        let minor = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
        for kind in EntryKind::ALL {
            let of_kind = || rows.iter().filter(|row| row.kind == kind && row.amount.is_some());
            let amount: i64 = of_kind().filter_map(|row| row.amount).map(|amount| amount.minor).sum();
            let fee: i64 = of_kind().filter_map(|row| row.fee).sum();
            let total = json["totals"].as_array().unwrap().iter().find(|total| total["kind"] == kind.as_str());
            prop_assert_eq!(total.is_some(), of_kind().count() > 0);
            if let Some(total) = total {
                prop_assert_eq!(minor(total["amount"]["value"].as_str().unwrap()), amount);
                prop_assert_eq!(total["fee"]["value"].as_str().map_or(0, minor), fee);
                prop_assert_eq!(total["rows"].as_u64(), u64::try_from(of_kind().count()).ok());
            }
        }
        let text = written(Form::Csv { bom: false }, &rows, pages);
        let mut reader = csv::Reader::from_reader(text.as_slice());
        let records: Vec<csv::StringRecord> = reader.records().map(|record| record.unwrap()).collect();
        for (row, record) in rows.iter().zip(&records) {
            let invoice_id = row.invoice_id.as_deref().unwrap();
            let harmless = harmless(invoice_id).into_owned();
            prop_assert_eq!(&record[8], harmless.as_str());
            prop_assert_eq!(&record[4], row.amount.map(Money::to_decimal).unwrap_or_default());
        }
        let sum = |column: usize, prefix: &str, records: &[csv::StringRecord]| -> i64 {
            records.iter().filter(|record| record[0].starts_with(prefix) && !record[column].is_empty()).map(|record| minor(&record[column])).sum()
        };
        let (rows_part, totals_part) = records.split_at(rows.len());
        prop_assert_eq!(sum(4, "", rows_part), sum(4, "total", totals_part));
    }
}

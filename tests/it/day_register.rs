//! The accountant's day: complete, on the right day, to the tiyn, in both forms, at any length.

use std::collections::BTreeMap;

use cloudpayments_sandbox::{LedgerEntry, NotificationKind, Status, TransactionType};
use kmic_payments::clock::Clock as _;
use kmic_payments::domain::business_day::BusinessDay;
use kmic_payments::domain::scope::Scope;
use kmic_payments::store::{day_register, summary};
use serde_json::{Value, json};

use crate::support::{
    APPROVED, Body, CARD_NO_FUNDS, Engine, Reply, Sql, TestApp, card, money, order, transaction_id, widget, with,
};

crate::on_both!(
    a_day_holds_what_the_provider_has,
    a_refund_and_a_dispute_stand_on_their_own_day,
    the_day_is_the_one_in_almaty,
    what_is_told_late_stands_on_the_day_it_happened,
    fee_and_payout_are_shown_where_they_are_told,
    a_day_without_money_is_empty,
    csv_is_a_table_that_runs_no_formula,
    the_query_is_checked,
    a_long_day_is_whole,
    a_day_is_read_by_its_index,
);

impl TestApp {
    /// The business day that it is.
    pub fn today(&self) -> BusinessDay {
        BusinessDay::of(self.clock.now())
    }

    /// Moves the clocks into the next business day, so many seconds after its beginning; negative: before.
    pub fn go_to_next_day(&self, seconds: i64) {
        let now = self.clock.now();
        let wait = BusinessDay::of(now).end().seconds_since(now) + seconds;
        // Too late for "before": the day after.
        let wait = if wait <= 0 { wait + 86_400 } else { wait };
        self.advance(u32::try_from(wait).unwrap());
    }

    async fn register(&self, day: BusinessDay) -> Value {
        self.get(&format!("/v1/reports/register?date={day}")).await.expect(200).json
    }
}

/// Runs begin when a test says so.
async fn started(engine: Engine) -> TestApp {
    let app = TestApp::start_with(engine, |raw| raw.with("reconciliation.daily", "false")).await;
    app.go_to_next_day(3600);
    app
}

fn of_kind<'a>(register: &'a Value, kind: &str) -> Vec<&'a Value> {
    register["rows"].as_array().unwrap().iter().filter(|row| row["kind"] == kind).collect()
}

fn minor(money: &Value) -> i64 {
    money["value"].as_str().unwrap().replace('.', "").parse().unwrap()
}

/// `currency kind` of every total with its sum; they are those of the rows.
#[track_caller]
fn totals(register: &Value) -> BTreeMap<String, i64> {
    let place = |currency: &Value, kind: &Value| format!("{} {}", currency.as_str().unwrap(), kind.as_str().unwrap());
    let mut of_rows: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in register["rows"].as_array().unwrap().iter().filter(|row| row["amount"].is_object()) {
        let sum = of_rows.entry(place(&row["amount"]["currency"], &row["kind"])).or_default();
        *sum = (sum.0 + 1, sum.1 + minor(&row["amount"]));
    }
    let told = register["totals"].as_array().unwrap().iter().map(|total| {
        let place = place(&total["amount"]["currency"], &total["kind"]);
        (place, (total["rows"].as_i64().unwrap(), minor(&total["amount"])))
    });
    assert_eq!(told.collect::<BTreeMap<_, _>>(), of_rows);
    of_rows.into_iter().map(|(place, (_, sum))| (place, sum)).collect()
}

/// The same from the provider's own ledger.
fn ledger(app: &TestApp, from: &str, until: &str) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    let of_day = |entry: &&LedgerEntry| (from..until).contains(&entry.created_at.as_str());
    for entry in app.sandbox.ledger().transactions.iter().filter(of_day) {
        let (kind, minor) = match (entry.kind, entry.status) {
            (TransactionType::Payment, Status::Completed) => ("payment", entry.captured_minor),
            (TransactionType::Payment, Status::Cancelled) => ("void", entry.amount_minor),
            (TransactionType::Refund, Status::Completed) => ("refund", entry.amount_minor),
            _ => continue,
        };
        *sums.entry(format!("{} {kind}", entry.currency)).or_default() += minor;
    }
    sums
}

async fn a_day_holds_what_the_provider_has(engine: Engine) {
    let app = started(engine).await;
    let day = app.today();
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    let hosted = app.create(widget("KM-2")).await.expect(201);
    app.pay(order(&hosted, CARD_NO_FUNDS)).await;
    app.pay(order(&hosted, APPROVED)).await;
    app.create(card("KM-3", CARD_NO_FUNDS)).await.expect(201);
    let held = app.create(with(card("KM-4", APPROVED), "capture", "manual")).await.expect(201);
    app.act(held.id(), "capture", json!({ "amount": money("5000.00") })).await.expect(200);
    let released = app.create(with(card("KM-5", APPROVED), "capture", "manual")).await.expect(201);
    app.act(released.id(), "cancel", json!({})).await.expect(200);
    let still_held = app.create(with(card("KM-6", APPROVED), "capture", "manual")).await.expect(201);
    assert_eq!(still_held.text("/status"), "authorized");
    app.create(widget("KM-7")).await.expect(201);
    let dollars = with(card("KM-8", APPROVED), "amount", json!({ "value": "99.99", "currency": "USD" }));
    app.create(dollars).await.expect(201);
    app.refund(paid.id(), "2500.00").await.expect(201);
    app.sandbox.flush_notifications().await;

    let register = app.register(day).await;
    assert_eq!(
        (register["date"].as_str(), register["timezone"].as_str()),
        (Some(&*day.to_string()), Some("Asia/Almaty"))
    );
    assert_eq!(
        (register["from"].as_str(), register["is_over"].as_bool()),
        (Some(&*day.begin().to_string()), Some(false))
    );
    let sums = totals(&register);
    let expected =
        [("KZT payment", 3_000_000), ("KZT refund", 250_000), ("KZT void", 1_250_000), ("USD payment", 9_999)];
    assert_eq!(sums, expected.map(|(place, sum)| (place.to_owned(), sum)).into());
    assert_eq!(sums, ledger(&app, &day.begin().to_string(), &day.end().to_string()));

    let row = of_kind(&register, "payment")[0];
    assert_eq!(row["payment_id"].as_str(), Some(paid.id()));
    assert_eq!(
        (row["transaction_id"].as_i64(), row["invoice_id"].as_str()),
        (Some(transaction_id(&paid)), Some("KM-1"))
    );
    assert_eq!((row["card_brand"].as_str(), row["card_last_four"].as_str()), (Some("visa"), Some("3055")));
    assert_eq!((row["test_mode"].as_bool(), row["fee"]["value"].as_str()), (Some(true), Some("0.00")));
    assert!(row.get("payout").is_none() && row.get("payout_at").is_none(), "{row}");
    let refund = of_kind(&register, "refund")[0];
    assert_eq!(refund["parent_transaction_id"].as_i64(), Some(transaction_id(&paid)));
    assert!(refund["refund_id"].as_str().unwrap().starts_with("ref_"), "{refund}");
    // Nothing of the payer but the card's last digits.
    let text = register.to_string();
    for personal in ["user-42", "payer@example.test", "203.0.113.7", "CARDHOLDER", "400000"] {
        assert!(!text.contains(personal), "{personal}: {text}");
    }
    let times: Vec<&str> = register["rows"].as_array().unwrap().iter().map(|row| row["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    app.finish().await;
}

async fn a_refund_and_a_dispute_stand_on_their_own_day(engine: Engine) {
    let app = started(engine).await;
    let first = app.today();
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.go_to_next_day(3600);
    let second = app.today();
    app.refund(paid.id(), "2500.00").await.expect(201);
    let raise = json!({ "transaction_id": transaction_id(&paid), "amount": "500.00" });
    app.at_sandbox("/sandbox/chargebacks", raise).await.expect(200);
    app.sandbox.flush_notifications().await;
    app.reconcile().await;

    let before = app.register(first).await;
    assert_eq!(totals(&before), [("KZT payment".to_owned(), 1_250_000)].into());
    assert_eq!(before["is_over"], true);
    let after = app.register(second).await;
    let expected = [("KZT chargeback".to_owned(), 50_000), ("KZT refund".to_owned(), 250_000)];
    assert_eq!(totals(&after), expected.into());
    let dispute = of_kind(&after, "chargeback")[0];
    assert_eq!(dispute["dispute"].as_str(), Some("Chargeback Presentment"), "{dispute}");
    assert_eq!((dispute["payment_id"].as_str(), dispute["invoice_id"].as_str()), (Some(paid.id()), Some("KM-1")));
    assert_eq!(app.register(first).await, before, "what comes later changes no day before");
    app.finish().await;
}

async fn the_day_is_the_one_in_almaty(engine: Engine) {
    let app = started(engine).await;
    app.go_to_next_day(-60);
    let before = app.today();
    let early = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.go_to_next_day(1);
    let after = app.today();
    assert_eq!(after, before.plus_days(1));
    let late = app.create(card("KM-2", APPROVED)).await.expect(201);
    // Both are on one day in UTC.
    assert_eq!(early.text("/created_at")[..10], late.text("/created_at")[..10]);
    for (day, payment) in [(before, &early), (after, &late)] {
        let register = app.register(day).await;
        let ids: Vec<_> =
            register["rows"].as_array().unwrap().iter().map(|row| row["payment_id"].as_str().unwrap()).collect();
        assert_eq!(ids, [payment.id()], "{day}");
    }
    app.finish().await;

    // The clocks of Kazakhstan were put back by an hour on 1 March 2024.
    let app = started(engine).await;
    let mut sql = Sql::open(&app.database.url);
    sql.insert_payment("pay_old", "paid");
    let moments = [
        "02-28 17:59:59",
        "02-28 18:00:00",
        "02-29 18:30:00",
        "02-29 18:59:59.999999",
        "02-29 19:00:00",
        "03-01 18:59:59",
        "03-01 19:00:00",
    ];
    for (number, moment) in moments.into_iter().enumerate() {
        sql.insert_transactions("pay_old", u32::try_from(number).unwrap() + 1, 1, &format!("2024-{moment}"), "visa");
    }
    for (date, expected) in
        [("2024-02-28", vec![1]), ("2024-02-29", vec![2, 3, 4]), ("2024-03-01", vec![5, 6]), ("2024-03-02", vec![7])]
    {
        let register = app.register(BusinessDay::parse(date).unwrap()).await;
        let numbers: Vec<_> =
            register["rows"].as_array().unwrap().iter().map(|row| row["transaction_id"].as_i64().unwrap()).collect();
        assert_eq!(numbers, expected, "{date}");
    }
    app.stop_with_broken_books().await;
}

async fn what_is_told_late_stands_on_the_day_it_happened(engine: Engine) {
    let app = started(engine).await;
    app.go_to_next_day(-600);
    let day = app.today();
    let payment = app.create(widget("KM-1")).await.expect(201);
    app.lose(NotificationKind::Pay);
    app.pay(order(&payment, APPROVED)).await;
    assert_eq!(app.register(day).await["rows"], json!([]));
    app.go_to_next_day(60);
    // An hour later the register of the provider tells of it.
    app.reconcile().await;
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    assert_eq!(totals(&app.register(day).await), [("KZT payment".to_owned(), 1_250_000)].into());
    assert_eq!(app.register(app.today()).await["rows"], json!([]));
    app.finish().await;
}

async fn fee_and_payout_are_shown_where_they_are_told(engine: Engine) {
    let app = started(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let told = [
        ("TransactionId", "3600000001"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("PaymentAmount", "12500.00"),
        ("PaymentCurrency", "KZT"),
        ("OperationType", "Payment"),
        ("InvoiceId", "KM-1"),
        ("AccountId", "user-42"),
        ("Status", "Completed"),
        ("TotalFee", "312.50"),
    ];
    app.notify("pay", &told).await;
    let mut sql = Sql::open(&app.database.url);
    let row = of_kind(&app.register(app.today()).await, "payment")[0].clone();
    assert_eq!((row["fee"].clone(), row.get("payout")), (money("312.50"), None));
    // What the provider's register tells later.
    sql.run("UPDATE transactions SET payout = 1218750, payout_at = '2026-03-04 06:00:00'").unwrap();
    let register = app.register(app.today()).await;
    let row = of_kind(&register, "payment")[0];
    assert_eq!((row["payout"].clone(), row["payout_at"].as_str()), (money("12187.50"), Some("2026-03-04T06:00:00Z")));
    let total = &register["totals"][0];
    assert_eq!((total["fee"].clone(), total["payout"].clone()), (money("312.50"), money("12187.50")));
    assert_eq!((total["rows_with_fee"].as_i64(), total["rows_with_payout"].as_i64()), (Some(1), Some(1)));
    // A sum whose currency is not clear is not taken.
    let other = app.create(widget("KM-2")).await.expect(201);
    let mut told = told.to_vec();
    told[0].1 = "3600000002";
    told[4].1 = "USD";
    told[6].1 = "KM-2";
    app.notify("pay", &told).await;
    assert_eq!(app.payment(other.id()).await.text("/status"), "paid");
    let register = app.register(app.today()).await;
    assert!(of_kind(&register, "payment")[1].get("fee").is_none(), "{register}");
    assert_eq!(
        (register["totals"][0]["rows"].as_i64(), register["totals"][0]["rows_with_fee"].as_i64()),
        (Some(2), Some(1))
    );
    assert_eq!(payment.text("/status"), "awaiting_payer");
    app.stop().await;
}

async fn a_day_without_money_is_empty(engine: Engine) {
    let app = started(engine).await;
    let register = app.register(BusinessDay::parse("2025-01-01").unwrap()).await;
    assert_eq!((&register["rows"], &register["totals"]), (&json!([]), &json!([])));
    assert_eq!(register["rows_without_amount"], 0);
    assert_eq!(
        (register["from"].as_str(), register["to"].as_str()),
        (Some("2024-12-31T19:00:00Z"), Some("2025-01-01T19:00:00Z"))
    );
    let csv = app.get("/v1/reports/register?date=2025-01-01&format=csv").await.expect(200);
    assert_eq!(csv.page().lines().count(), 1);
    app.finish().await;
}

async fn get_accepting(app: &TestApp, path: &str, accept: &str) -> Reply {
    Reply::receive(app.request(reqwest::Method::GET, path).header("Accept", accept)).await
}

async fn csv_is_a_table_that_runs_no_formula(engine: Engine) {
    let app = started(engine).await;
    for invoice in ["=HYPERLINK(\"http://evil.example\")", "KM-1, \"second\"", "полис №5"] {
        app.create(card(invoice, APPROVED)).await.expect(201);
    }
    app.sandbox.flush_notifications().await;
    let path = format!("/v1/reports/register?date={}", app.today());
    let csv = app.get(&format!("{path}&format=csv")).await.expect(200);
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(csv.header("content-disposition"), format!("attachment; filename=\"register-{}.csv\"", app.today()));
    assert_eq!((csv.header("cache-control"), csv.header("vary")), ("no-store", "Accept"));
    let page = csv.page();
    assert!(page.contains(",\"'=HYPERLINK(\"\"http://evil.example\"\")\","), "{page}");
    assert!(page.contains(",\"KM-1, \"\"second\"\"\",") && page.contains(",полис №5,"), "{page}");
    let last = page.lines().last().unwrap();
    assert!(last.starts_with("total payment,,,KZT,37500.00,0.00,,") && last.ends_with(",3,3,0"), "{page}");
    assert_eq!(page.lines().count(), 5);

    assert_eq!(get_accepting(&app, &path, "text/csv").await.expect(200).page(), page);
    assert_eq!(get_accepting(&app, &path, "*/*").await.expect(200).json["rows"].as_array().unwrap().len(), 3);
    let chosen = get_accepting(&app, &format!("{path}&format=json"), "text/csv").await.expect(200);
    assert_eq!(chosen.header("content-type"), "application/json");
    let marked = app.get(&format!("{path}&format=csv&bom=true")).await.expect(200);
    assert_eq!(marked.bytes.strip_prefix(&[0xef, 0xbb, 0xbf]), Some(page.as_bytes()));
    app.finish().await;
}

async fn the_query_is_checked(engine: Engine) {
    let app = started(engine).await;
    let tomorrow = app.today().plus_days(1);
    let register = |query: &str| format!("/v1/reports/register?{query}");
    for (query, expected) in [
        (String::new(), vec!["date: required"]),
        ("date=2026-02-30".to_owned(), vec!["date: wrong_form"]),
        (
            "date=20260225&format=xml&bom=1&x=1".to_owned(),
            vec!["date: wrong_form", "format: wrong_form", "bom: wrong_form", "x: unknown_parameter"],
        ),
        (format!("date={tomorrow}"), vec!["date: out_of_range"]),
        ("date=2026-02-25&bom=true".to_owned(), vec!["bom: not_allowed_here"]),
        ("date=2026-02-25&date=2026-02-26".to_owned(), vec!["date: repeated_parameter"]),
        ("from=2026-02-25".to_owned(), vec!["date: required", "from: unknown_parameter"]),
    ] {
        assert_eq!(app.get(&register(&query)).await.expect_problem(422, "invalid_request"), expected, "{query}");
    }
    let key = app.new_key(&[Scope::PaymentsRead, Scope::OpsWrite]).await;
    let other = app.call_as("GET", &register("date=2026-02-25"), Some(&format!("Bearer {key}"))).await;
    other.expect_problem(403, "missing_scope");
    app.finish().await;
}

async fn a_long_day_is_whole(engine: Engine) {
    let app = started(engine).await;
    let mut sql = Sql::open(&app.database.url);
    sql.insert_payment("pay_long", "paid");
    // More than two pages, with one moment across the end of a page, and exactly one page.
    sql.insert_transactions("pay_long", 1_000, 2_500, "2026-03-02 05:00:00", "visa");
    sql.insert_transactions("pay_long", 5_000, 7, "2026-03-02 06:00:00.5", "visa");
    sql.insert_transactions("pay_long", 6_000, 1_000, "2026-03-04 06:00:00", "visa");
    for (date, rows) in [("2026-03-02", 2_507), ("2026-03-03", 0), ("2026-03-04", 1_000)] {
        let register = app.register(BusinessDay::parse(date).unwrap()).await;
        let mut numbers: Vec<i64> =
            register["rows"].as_array().unwrap().iter().map(|row| row["transaction_id"].as_i64().unwrap()).collect();
        assert_eq!(numbers.len(), rows, "{date}");
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), rows, "{date}: a row twice");
        let expected = i64::try_from(rows).unwrap() * 100;
        assert_eq!(totals(&register).values().sum::<i64>(), expected);
        let csv = app.get(&format!("/v1/reports/register?date={date}&format=csv")).await.expect(200);
        assert_eq!(csv.page().lines().count(), 1 + rows + usize::from(rows > 0));
    }
    app.stop_with_broken_books().await;
}

/// With `$1`, `$2`, … replaced by values.
fn with_values(sql: &str, values: &[&str]) -> Body {
    let filled = values
        .iter()
        .enumerate()
        .fold(sql.to_owned(), |sql, (index, value)| sql.replace(&format!("${}", index + 1), value));
    Value::String(filled)
}

async fn a_day_is_read_by_its_index(engine: Engine) {
    let (_database, mut sql) = Sql::fresh(engine);
    let (from, until) = ("'2026-03-01 19:00:00'", "'2026-03-02 19:00:00'");
    for (query, values, index) in [
        (day_register::MOVED, vec![from, "'trn_1'", until, "1000"], "transactions_moved"),
        (day_register::DISPUTED, vec![from, until, "''", "1000"], "chargebacks_day"),
        (summary::MOVED, vec![from, until], "transactions_moved"),
        (summary::ENDED, vec![from, until], "transitions_ended"),
    ] {
        let plan = sql.plan(with_values(query, &values).as_str().unwrap()).join("\n");
        assert!(plan.contains(index), "{query}:\n{plan}");
        let reads_all = |line: &str| {
            let sqlite = line.contains("SCAN") && !line.contains("USING");
            sqlite || line.contains("Seq Scan")
        };
        assert!(!plan.lines().any(reads_all), "{query}:\n{plan}");
    }
}

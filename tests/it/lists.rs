//! Lists: in stretches, without gaps or repeats while rows are added.

use serde_json::{Value, json};

use crate::support::{APPROVED, CARD_NO_FUNDS, Engine, Reply, Sql, TestApp, card, money, widget, with_at};

crate::on_both!(
    payments_are_listed_in_stretches,
    filters_hold_together,
    cursors_belong_to_their_list_and_filter,
    history_and_refunds_are_listed_in_stretches,
    events_continue_after_the_last_one_seen,
);

fn values(page: &Reply, field: &str) -> Vec<String> {
    let text = |row: &Value| row[field].as_str().map_or_else(|| row[field].to_string(), str::to_owned);
    page.json["data"].as_array().unwrap().iter().map(text).collect()
}

/// Every entry, `limit` at a time; `base` has its query begun.
async fn all(app: &TestApp, base: &str, limit: usize, field: &str) -> Vec<String> {
    let (mut found, mut path) = (Vec::new(), format!("{base}limit={limit}"));
    for _ in 0..50 {
        let page = app.get(&path).await.expect(200);
        let rows = values(&page, field);
        assert!(rows.len() <= limit);
        found.extend(rows);
        let Some(cursor) = page.json["next_cursor"].as_str() else {
            assert!(page.json["next_cursor"].is_null());
            return found;
        };
        path = format!("{base}limit={limit}&cursor={cursor}");
    }
    panic!("{base} does not end");
}

async fn payments_are_listed_in_stretches(engine: Engine) {
    let app = TestApp::start(engine).await;
    let empty = app.get("/v1/payments").await.expect(200);
    assert_eq!(empty.json, json!({"data": [], "next_cursor": null}));
    let mut ids = Vec::new();
    for index in 0..5 {
        ids.insert(0, app.create(widget(&format!("KM-{index}"))).await.expect(201).id().to_owned());
        app.advance(1);
    }
    for limit in [1, 2, 3, 5, 100] {
        assert_eq!(all(&app, "/v1/payments?", limit, "id").await, ids, "limit {limit}");
    }
    assert_eq!(values(&app.get("/v1/payments").await.expect(200), "id"), ids);
    // Payments that are added in between come before the first stretch and move nothing.
    let mut seen = Vec::new();
    let mut path = "/v1/payments?limit=2".to_owned();
    loop {
        let page = app.get(&path).await.expect(200);
        seen.extend(values(&page, "id"));
        app.create(widget("KM-late")).await.expect(201);
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        path = format!("/v1/payments?limit=2&cursor={cursor}");
        assert_eq!(app.get(&path).await.bytes, app.get(&path).await.bytes);
    }
    assert_eq!(seen, ids);
    assert_eq!(all(&app, "/v1/payments?", 3, "id").await.len(), 8);
    app.finish().await;
}

async fn filters_hold_together(engine: Engine) {
    let app = TestApp::start(engine).await;
    let of_other = |body| with_at(body, "/payer/account_id", json!("user-7"));
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    let declined = app.create(card("KM-1", CARD_NO_FUNDS)).await.expect(201);
    app.advance(3600);
    let others = app.create(of_other(card("KM-1", APPROVED))).await.expect(201);
    let open = app.create(widget("KM-2")).await.expect(201);
    let between = declined.text("/created_at").to_owned();
    let late = others.text("/created_at").to_owned();
    let transaction = paid.json["transactions"][0]["transaction_id"].to_string();
    let [paid, declined, others, open] = [&paid, &declined, &others, &open].map(|reply| reply.id().to_owned());
    let cases = [
        ("invoice_id=KM-1".to_owned(), vec![&others, &declined, &paid]),
        ("invoice_id=KM-1&status=paid".to_owned(), vec![&others, &paid]),
        ("invoice_id=KM-1&status=paid&account_id=user-7".to_owned(), vec![&others]),
        ("account_id=user-42".to_owned(), vec![&open, &declined, &paid]),
        ("account_id=user-42&status=declined".to_owned(), vec![&declined]),
        (format!("transaction_id={transaction}"), vec![&paid]),
        (format!("transaction_id={transaction}&invoice_id=KM-1&status=paid&account_id=user-42"), vec![&paid]),
        (format!("transaction_id={transaction}&status=declined"), vec![]),
        (format!("created_from={late}"), vec![&open, &others]),
        (format!("created_to={late}"), vec![&declined, &paid]),
        (format!("created_from={between}&created_to={late}"), vec![&declined]),
        (format!("created_from={late}&created_to={late}"), vec![]),
        ("invoice_id=km-1".to_owned(), vec![]),
        ("invoice_id=KM-%25".to_owned(), vec![]),
        ("invoice_id=KM-1'--".to_owned(), vec![]),
        ("status=expired".to_owned(), vec![]),
        ("transaction_id=999999999999999999".to_owned(), vec![]),
    ];
    for (query, expected) in cases {
        for limit in [1, 2, 20] {
            let found = all(&app, &format!("/v1/payments?{query}&"), limit, "id").await;
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query} limit {limit}");
        }
    }
    app.finish().await;
}

async fn cursors_belong_to_their_list_and_filter(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    let other = app.create(card("KM-1", APPROVED)).await.expect(201);
    for value in ["1.00", "2.00"] {
        app.refund(payment.id(), value).await.expect(201);
    }
    let (own, others) = (format!("/v1/payments/{}", payment.id()), format!("/v1/payments/{}", other.id()));
    let sources = [
        "/v1/payments?limit=1".to_owned(),
        "/v1/payments?limit=1&invoice_id=KM-1".to_owned(),
        format!("{own}/transitions?limit=1"),
        format!("{own}/refunds?limit=1"),
    ];
    let mut cursors = Vec::new();
    for source in &sources {
        let page = app.get(source).await.expect(200);
        cursors.push(page.text("/next_cursor").to_owned());
        app.get(&format!("{source}&cursor={}", cursors.last().unwrap())).await.expect(200);
    }
    let targets = [
        "/v1/payments?".to_owned(),
        "/v1/payments?invoice_id=KM-1&".to_owned(),
        format!("{own}/transitions?"),
        format!("{own}/refunds?"),
        "/v1/payments?status=paid&".to_owned(),
        "/v1/payments?invoice_id=KM-2&".to_owned(),
        "/v1/payments?account_id=KM-1&".to_owned(),
        format!("{others}/transitions?"),
        format!("{others}/refunds?"),
        "/v1/notifications?".to_owned(),
    ];
    for (from, cursor) in cursors.iter().enumerate() {
        for (to, target) in targets.iter().enumerate().filter(|(to, _)| *to != from) {
            let reply = app.get(&format!("{target}cursor={cursor}")).await;
            assert_eq!(reply.expect_problem(422, "invalid_request"), ["cursor: invalid_cursor"], "{from} {to}");
        }
        let changed =
            [format!("{cursor}A"), cursor[1..].to_owned(), format!("A{}", &cursor[1..]), cursor.to_uppercase()];
        for wrong in changed.iter().filter(|wrong| *wrong != cursor) {
            let separator = if targets[from].ends_with('?') { "" } else { "&" };
            let path = format!("{}{separator}cursor={wrong}", targets[from].trim_end_matches('&'));
            assert_eq!(
                app.get(&path).await.expect_problem(422, "invalid_request"),
                ["cursor: invalid_cursor"],
                "{path}"
            );
        }
    }
    // The limit may change on the way.
    app.get(&format!("/v1/payments?limit=50&cursor={}", cursors[0])).await.expect(200);
    app.finish().await;
}

async fn history_and_refunds_are_listed_in_stretches(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    let mut refunds = Vec::new();
    for value in ["1.00", "2.00", "3.00"] {
        let body = json!({"amount": money(value), "reason": format!("part {value}")});
        let refund = app.post(&format!("/v1/payments/{}/refunds", payment.id()), body).await.expect(201);
        refunds.insert(0, refund.id().to_owned());
        app.advance(1);
    }
    let path = format!("/v1/payments/{}", payment.id());
    for limit in [1, 2, 3, 100] {
        assert_eq!(all(&app, &format!("{path}/refunds?"), limit, "id").await, refunds);
        let sequences = all(&app, &format!("{path}/transitions?"), limit, "sequence").await;
        let expected: Vec<String> = (1..=sequences.len()).map(|number| number.to_string()).collect();
        assert!(sequences.len() >= 3);
        assert_eq!(sequences, expected, "limit {limit}");
    }
    let targets = all(&app, &format!("{path}/transitions?"), 2, "to").await;
    assert_eq!(
        (targets.first().unwrap().as_str(), targets.last().unwrap().as_str()),
        ("processing", "partially_refunded")
    );
    app.finish().await;
}

async fn events_continue_after_the_last_one_seen(engine: Engine) {
    let app = TestApp::start(engine).await;
    assert_eq!(app.get("/v1/events").await.expect(200).json, json!({"data": [], "next_cursor": null}));
    let mut payments = Vec::new();
    for index in 0..5 {
        payments.push(app.create(card(&format!("KM-{index}"), APPROVED)).await.expect(201).id().to_owned());
    }
    let whole = app.all_events().await;
    let ids = values(&whole, "id");
    assert_eq!(values(&whole, "payment_id"), payments);
    assert!(values(&whole, "type").iter().all(|kind| kind == "payment.paid"));
    // A receiver that remembers the last id it dealt with misses nothing, also what is added meanwhile.
    let (mut seen, mut path) = (Vec::new(), "/v1/events?limit=2".to_owned());
    loop {
        let page = app.get(&path).await.expect(200);
        let rows = values(&page, "id");
        let Some(last) = rows.last() else { break };
        if seen.is_empty() {
            app.create(card("KM-5", APPROVED)).await.expect(201);
            app.all_events().await;
        }
        if let Some(cursor) = page.json["next_cursor"].as_str() {
            assert_eq!(cursor, last);
        }
        path = format!("/v1/events?limit=2&after={last}");
        seen.extend(rows);
    }
    assert_eq!((seen.len(), &seen[..5]), (6, ids.as_slice()));
    app.create(card("KM-6", APPROVED)).await.expect(201);
    app.all_events().await;
    assert_eq!(values(&app.get(&path).await.expect(200), "id").len(), 1);
    app.finish().await;
}

/// A PostgreSQL server that was set up with a language sorts text by that language: `~` before letters, for example.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_do_not_depend_on_the_collation_of_the_database() {
    let app = TestApp::start(Engine::Postgres).await;
    let mut sql = Sql::open(&app.database.url);
    // Triggers that name a column hold its type.
    sql.take_the_guards_away();
    for table in ["payments", "refunds", "notifications", "events", "transitions"] {
        let column = if table == "transitions" { "payment_id" } else { "id" };
        sql.run(&format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE TEXT COLLATE \"en-US-x-icu\"")).unwrap();
    }
    let payment = app.create(widget("KM-1")).await.expect(201);
    app.pay_in_widget(&payment, APPROVED).await;
    app.refund(payment.id(), "1.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    for path in ["/v1/payments", "/v1/notifications", &format!("/v1/payments/{}/refunds", payment.id())] {
        let list = app.get(path).await.expect(200);
        assert!(!list.json["data"].as_array().unwrap().is_empty(), "{path}");
    }
    // The money laws are read in slices of the same ids.
    sql.run(&format!("UPDATE payments SET authorized = authorized - 1 WHERE id = '{}'", payment.id())).unwrap();
    let laws = app.get("/v1/invariants").await.expect(200);
    assert_eq!(laws.json["data"].as_array().unwrap().iter().filter(|law| law["status"] == "red").count(), 1);
    app.stop_with_broken_books().await;
}

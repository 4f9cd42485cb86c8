//! The summary for publication: right, anonymous, and never another one for the same days.

use kmic_payments::domain::scope::Scope;
use serde_json::{Value, json};

use crate::support::{APPROVED, CARD_NO_FUNDS, Engine, Sql, TestApp, card, money, order, widget, with};

crate::on_both!(
    groups_of_a_day_are_counted,
    small_groups_are_not_shown_nor_to_be_worked_out,
    a_published_day_stays_as_it_is,
    windows_add_up_published_days,
    the_window_is_checked,
);

impl TestApp {
    async fn summary(&self, from: &str, to: &str) -> Value {
        self.get(&format!("/v1/reports/summary?from={from}&to={to}")).await.expect(200).json
    }
}

async fn started(engine: Engine) -> TestApp {
    let app = TestApp::start_with(engine, |raw| raw.with("reconciliation.daily", "false")).await;
    app.go_to_next_day(3600);
    app
}

/// `status count sum` of every group.
fn groups(groups: &Value) -> Vec<String> {
    let group = |group: &Value| {
        let sum = &group["sum"];
        format!(
            "{} {} {} {}",
            group["status"].as_str().unwrap(),
            group["count"],
            sum["value"].as_str().unwrap(),
            sum["currency"].as_str().unwrap()
        )
    };
    groups.as_array().unwrap().iter().map(group).collect()
}

/// `name count` of every part, `rest count` last.
fn parts(parts: &Value) -> Vec<String> {
    let named = parts["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| format!("{} {}", part["name"].as_str().unwrap(), part["count"]));
    let rest = parts["rest"]["count"].as_i64().map(|count| format!("rest {count}"));
    named.chain(rest).collect()
}

async fn groups_of_a_day_are_counted(engine: Engine) {
    let app = started(engine).await;
    let day = app.today().to_string();
    for number in 0..5 {
        let paid = app.create(card(&format!("KM-{number}"), APPROVED)).await.expect(201);
        app.refund(paid.id(), "100.00").await.expect(201);
        app.create(card(&format!("NO-{number}"), CARD_NO_FUNDS)).await.expect(201);
        let withdrawn = app.create(widget(&format!("CA-{number}"))).await.expect(201);
        app.act(withdrawn.id(), "cancel", json!({})).await.expect(200);
    }
    let hosted = app.create(widget("KM-9")).await.expect(201);
    app.pay(order(&hosted, APPROVED)).await;
    // Four in another currency are a small group of their own.
    for number in 0..4 {
        let amount = json!({ "value": "10.00", "currency": "USD" });
        app.create(with(card(&format!("US-{number}"), APPROVED), "amount", amount)).await.expect(201);
    }
    app.sandbox.flush_notifications().await;
    let summary = app.summary(&day, &day).await;
    assert_eq!((&summary["days"], &summary["not_published"]), (&json!([]), &json!([day])));
    app.go_to_next_day(3600);
    assert_eq!(app.summary(&day, &day).await["not_published"], json!([day]), "not over for a day");
    app.go_to_next_day(1);

    let summary = app.summary(&day, &day).await;
    assert_eq!((summary["timezone"].as_str(), summary["smallest_group"].as_i64()), (Some("Asia/Almaty"), Some(5)));
    assert_eq!(summary["not_published"], json!([]));
    let [published] = &summary["days"].as_array().unwrap()[..] else { panic!("{summary}") };
    let expected =
        ["paid 6 75000.00 KZT", "refunded 5 500.00 KZT", "declined 5 62500.00 KZT", "cancelled 5 62500.00 KZT"];
    assert_eq!(
        (published["date"].as_str(), groups(&published["groups"])),
        (Some(day.as_str()), expected.map(str::to_owned).to_vec())
    );
    assert_eq!(groups(&summary["totals"]), expected);
    let [paid, refunded, declined, cancelled] = &published["groups"].as_array().unwrap()[..] else { panic!() };
    assert_eq!(parts(&paid["by_card_brand"]), ["visa 6"]);
    assert_eq!(parts(&paid["by_method"]), ["rest 6"], "five and one");
    assert_eq!(paid["by_method"]["rest"]["sum"], money("75000.00"));
    assert_eq!(parts(&refunded["by_method"]), ["card_cryptogram 5"]);
    assert_eq!(parts(&declined["by_decline_category"]), ["insufficient_funds 5"]);
    assert_eq!(parts(&cancelled["by_method"]), ["widget 5"]);
    assert!(paid.get("by_decline_category").is_none() && cancelled.get("by_card_brand").is_none(), "{published}");
    app.finish().await;
}

/// Days of 2026-03 with visa, mastercard and mir payments, so many each.
async fn with_days(engine: Engine, days: &[[u32; 3]]) -> (TestApp, Sql) {
    let app = started(engine).await;
    let mut sql = Sql::open(&app.database.url);
    sql.insert_payment("pay_days", "paid");
    let mut next = 1;
    for (day, counts) in days.iter().enumerate() {
        for (brand, count) in ["visa", "mastercard", "mir"].iter().zip(counts) {
            if *count > 0 {
                sql.insert_transactions("pay_days", next, *count, &format!("2026-03-{:02} 08:00:00", day + 1), brand);
                next += count;
            }
        }
    }
    (app, sql)
}

async fn small_groups_are_not_shown_nor_to_be_worked_out(engine: Engine) {
    let days = [[20, 9, 3], [20, 9, 0], [3, 0, 1], [30, 9, 9], [4, 4, 0], [12, 3, 3]];
    let (app, _sql) = with_days(engine, &days).await;
    let summary = app.summary("2026-03-01", "2026-03-06").await;
    let shown = |day: &Value| -> (i64, Vec<String>) {
        let groups = day["groups"].as_array().unwrap();
        groups
            .first()
            .map_or((0, Vec::new()), |group| (group["count"].as_i64().unwrap(), parts(&group["by_card_brand"])))
    };
    let seen: Vec<_> = summary["days"].as_array().unwrap().iter().map(shown).collect();
    // The third day had only small groups, and is absent like one on which nothing happened.
    let expected: [(i64, &[&str]); 5] = [
        (32, &["visa 20", "rest 12"]),
        (29, &["mastercard 9", "visa 20"]),
        (48, &["mastercard 9", "mir 9", "visa 30"]),
        (8, &["rest 8"]),
        (18, &["rest 18"]),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(count, parts)| (*count, parts.iter().map(|part| (*part).to_owned()).collect())).collect();
    assert_eq!(seen, expected, "{summary}");
    let total = &summary["totals"][0];
    assert_eq!((total["days"].as_i64(), total["count"].as_i64()), (Some(5), Some(32 + 29 + 48 + 8 + 18)));
    assert_eq!(parts(&total["by_card_brand"]), ["mastercard 18", "mir 9", "visa 70", "rest 38"]);
    app.stop_with_broken_books().await;
}

async fn a_published_day_stays_as_it_is(engine: Engine) {
    let (app, mut sql) = with_days(engine, &[[20, 0, 0], [4, 0, 0], [0, 0, 0]]).await;
    let before = app.get("/v1/reports/summary?from=2026-03-01&to=2026-03-03").await.expect(200);
    // What comes to light later would show as the difference of two answers.
    sql.insert_transactions("pay_days", 500, 1, "2026-03-01 09:00:00", "visa");
    sql.insert_transactions("pay_days", 501, 1, "2026-03-02 09:00:00", "visa");
    // That there were none at all before would show, too.
    sql.insert_transactions("pay_days", 502, 9, "2026-03-03 09:00:00", "visa");
    app.advance(3600);
    let after = app.get("/v1/reports/summary?from=2026-03-01&to=2026-03-03").await.expect(200);
    assert_eq!(before.bytes, after.bytes);
    assert_eq!(before.json["days"].as_array().unwrap().len(), 1, "{}", before.json);
    for statement in ["UPDATE summary_groups SET members = 6", "DELETE FROM summary_groups", "DELETE FROM summary_days"]
    {
        let refused = sql.run(statement).unwrap_err();
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }
    let group = |day: &str, members: u32| {
        format!(
            "INSERT INTO summary_groups (day, currency, status, dimension, part, members, amount) VALUES \
             ('{day}', 'KZT', 'expired', 'all', '', {members}, 1)"
        )
    };
    // A day with groups, and one that was published without any.
    for day in ["2026-03-01", "2026-03-02"] {
        let refused = sql.run(&group(day, 5)).unwrap_err();
        assert!(refused.contains("append-only"), "{day}: {refused}");
    }
    sql.run(
        "INSERT INTO summary_days (day, published_at, group_count) VALUES ('2025-01-01', '2025-01-02 00:00:00', 1)",
    )
    .unwrap();
    let small = &group("2025-01-01", 4);
    assert!(sql.run(small).unwrap_err().to_lowercase().contains("check"), "the database itself refuses a small group");
    // Days that an earlier version published, which did not note how many groups they have.
    while sql.run("DELETE FROM summary_days WHERE group_count < 0").is_ok() {
        sql.revert_last();
    }
    let target = kmic_payments::store::Target::parse(&app.database.url).unwrap();
    kmic_payments::store::migrate::migrate(&target).unwrap();
    for day in ["2026-03-01", "2026-03-02", "2025-01-01"] {
        let refused = sql.run(&group(day, 5)).unwrap_err();
        assert!(refused.contains("append-only"), "{day}: {refused}");
    }
    app.stop_with_broken_books().await;
}

async fn windows_add_up_published_days(engine: Engine) {
    let (app, _sql) = with_days(engine, &[[20, 9, 3], [4, 4, 0], [2, 1, 0], [7, 6, 5], [12, 3, 3]]).await;
    let count = |summary: &Value| summary["totals"][0]["count"].as_i64().unwrap_or(0);
    let mut answers = Vec::new();
    for from in 1..=5 {
        for to in from..=5 {
            let summary = app.summary(&format!("2026-03-0{from}"), &format!("2026-03-0{to}")).await;
            answers.push((from, to, count(&summary), summary["days"].clone()));
        }
    }
    let of = |from: i32, to: i32| answers.iter().find(|answer| (answer.0, answer.1) == (from, to)).unwrap();
    for (from, to, whole, days) in &answers {
        let single: i64 = (*from..=*to).map(|day| of(day, day).2).sum();
        assert_eq!(*whole, single, "{from} to {to}");
        let of_days: Vec<_> = (*from..=*to).flat_map(|day| of(day, day).3.as_array().unwrap().clone()).collect();
        assert_eq!(days, &Value::Array(of_days));
        for inner in answers.iter().filter(|inner| inner.0 >= *from && inner.1 <= *to) {
            let difference = whole - inner.2;
            assert!(difference == 0 || difference >= 5, "{from}-{to} less {}-{}: {difference}", inner.0, inner.1);
        }
    }
    app.stop_with_broken_books().await;
}

async fn the_window_is_checked(engine: Engine) {
    let app = started(engine).await;
    let tomorrow = app.today().plus_days(1);
    for (query, expected) in [
        (String::new(), vec!["from: required", "to: required"]),
        ("from=2026-02-30&to=x&by=day".to_owned(), vec!["from: wrong_form", "to: wrong_form", "by: unknown_parameter"]),
        ("from=2026-03-02&to=2026-03-01".to_owned(), vec!["to: out_of_range"]),
        ("from=2026-01-01&to=2026-04-03".to_owned(), vec!["to: out_of_range"]),
        (format!("from={tomorrow}&to={tomorrow}"), vec!["from: out_of_range"]),
    ] {
        let reply = app.get(&format!("/v1/reports/summary?{query}")).await;
        assert_eq!(reply.expect_problem(422, "invalid_request"), expected, "{query}");
    }
    let whole = app.summary("2026-01-01", "2026-04-02").await;
    assert_eq!((&whole["days"], &whole["totals"]), (&json!([]), &json!([])));
    let key = app.new_key(&[Scope::PaymentsRead, Scope::OpsWrite]).await;
    let path = "/v1/reports/summary?from=2026-03-01&to=2026-03-01";
    app.call_as("GET", path, Some(&format!("Bearer {key}"))).await.expect_problem(403, "missing_scope");
    app.finish().await;
}

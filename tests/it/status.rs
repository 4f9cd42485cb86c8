//! Reading: payments by id and by filter, waiting for a change, the recorded history.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{APPROVED, CARD_NO_FUNDS, Engine, Reply, TestApp, card, order, transaction_id, widget, with};

crate::on_both!(
    a_payment_is_read_by_its_id,
    payments_are_found_by_each_filter,
    payments_are_found_by_the_time_of_their_creation,
    a_list_goes_on_where_it_was_left,
    unknown_parameters_are_refused,
    waiting_ends_when_the_status_changes,
    waiting_ends_unchanged_after_its_time,
    what_is_settled_is_not_waited_for,
    a_stop_does_not_wait_for_those_who_wait,
    the_history_tells_each_change_in_order,
);

async fn found(app: &TestApp, query: &str) -> Vec<String> {
    let reply = app.get(&format!("/v1/payments?{query}")).await.expect(200);
    reply.json["data"].as_array().unwrap().iter().map(|payment| payment["id"].as_str().unwrap().to_owned()).collect()
}

async fn a_payment_is_read_by_its_id(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("S-1")).await.expect(201);
    assert_eq!(app.payment(created.id()).await.json, created.json);
    app.get("/v1/payments/pay_00000000000000000000000000").await.expect_problem(404, "not_found");
    app.get("/v1/payments/nonsense").await.expect_problem(404, "not_found");
    app.finish().await;
}

async fn payments_are_found_by_each_filter(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(card("S-1", APPROVED)).await.expect(201);
    let declined = app.create(card("S-2", CARD_NO_FUNDS)).await.expect(201);
    let mut body = widget("S-1");
    body["payer"]["account_id"] = "user-7".into();
    let open = app.create(body).await.expect(201);
    assert_eq!(found(&app, "").await, [open.id(), declined.id(), paid.id()]);
    assert_eq!(found(&app, "invoice_id=S-1").await, [open.id(), paid.id()]);
    assert_eq!(found(&app, "account_id=user-42").await, [declined.id(), paid.id()]);
    assert_eq!(found(&app, "account_id=user-7").await, [open.id()]);
    assert_eq!(found(&app, "status=declined").await, [declined.id()]);
    assert_eq!(found(&app, "status=awaiting_payer&invoice_id=S-1").await, [open.id()]);
    assert_eq!(found(&app, &format!("transaction_id={}", transaction_id(&declined))).await, [declined.id()]);
    assert!(found(&app, "invoice_id=S-1&status=declined").await.is_empty());
    assert!(found(&app, "transaction_id=1").await.is_empty());
    app.finish().await;
}

async fn payments_are_found_by_the_time_of_their_creation(engine: Engine) {
    let app = TestApp::start(engine).await;
    let first = app.create(widget("S-1")).await.expect(201);
    app.advance(60);
    let second = app.create(widget("S-2")).await.expect(201);
    let moment = second.text("/created_at");
    assert!(moment.ends_with('Z'));
    assert_eq!(found(&app, &format!("created_from={moment}")).await, [second.id()]);
    assert_eq!(found(&app, &format!("created_to={moment}")).await, [first.id()]);
    let both = format!("created_from={}&created_to={moment}", first.text("/created_at"));
    assert_eq!(found(&app, &both).await, [first.id()]);
    app.finish().await;
}

async fn a_list_goes_on_where_it_was_left(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut expected = Vec::new();
    for number in 0..5 {
        expected.insert(0, app.create(widget(&format!("S-{number}"))).await.expect(201).id().to_owned());
    }
    let first = app.get("/v1/payments?limit=3").await.expect(200);
    app.create(widget("S-LATER")).await.expect(201);
    let rest = app.get(&format!("/v1/payments?limit=3&cursor={}", first.text("/next_cursor"))).await.expect(200);
    let ids = |page: &Reply| -> Vec<Value> {
        page.json["data"].as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect()
    };
    assert_eq!([ids(&first), ids(&rest)].concat(), expected);
    assert!(rest.json["next_cursor"].is_null());
    app.finish().await;
}

async fn unknown_parameters_are_refused(engine: Engine) {
    let app = TestApp::start(engine).await;
    for query in ["invoice=S-1", "status=payed", "limit=0", "limit=101", "created_from=yesterday", "cursor=abc"] {
        let reply = app.get(&format!("/v1/payments?{query}")).await;
        assert!(matches!(reply.status, 400 | 422), "{query}: {}", reply.json);
        assert!(!reply.json["errors"].as_array().unwrap().is_empty(), "{query}");
    }
    let payment = app.create(widget("S-1")).await.expect(201);
    let reply = app.get(&format!("/v1/payments/{}?wait=31", payment.id())).await;
    assert!(matches!(reply.status, 400 | 422), "{}", reply.json);
    app.finish().await;
}

async fn waiting_ends_when_the_status_changes(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("S-1")).await.expect(201);
    let waiting = Reply::receive(app.request(reqwest::Method::GET, &format!("/v1/payments/{}?wait=20", created.id())));
    let waiting = tokio::spawn(waiting);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    let begun = Instant::now();
    app.pay(order(&created, APPROVED)).await;
    let reply = waiting.await.unwrap().expect(200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(reply.text("/status"), "paid");
    app.finish().await;
}

async fn waiting_ends_unchanged_after_its_time(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("S-1")).await.expect(201);
    let begun = Instant::now();
    let reply = app.get(&format!("/v1/payments/{}?wait=1", created.id())).await.expect(200);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(reply.json, created.json);
    app.finish().await;
}

async fn what_is_settled_is_not_waited_for(engine: Engine) {
    let app = TestApp::start(engine).await;
    let paid = app.create(card("S-1", APPROVED)).await.expect(201);
    let path = format!("/v1/payments/{}?wait=30", paid.id());
    let reply =
        tokio::time::timeout(Duration::from_secs(20), app.get(&path)).await.expect("it is waited for").expect(200);
    assert_eq!(reply.text("/status"), "paid");
    app.finish().await;
}

async fn a_stop_does_not_wait_for_those_who_wait(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("S-1")).await.expect(201);
    let path = format!("/v1/payments/{}?wait=30", created.id());
    let waiting = tokio::spawn(Reply::receive(app.request(reqwest::Method::GET, &path)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    tokio::time::timeout(Duration::from_secs(20), app.stop()).await.expect("the stop waits for it");
    assert_eq!(waiting.await.unwrap().expect(200).json, created.json);
}

async fn the_history_tells_each_change_in_order(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(with(widget("S-1"), "capture", "manual")).await.expect(201);
    app.pay(order(&created, CARD_NO_FUNDS)).await;
    app.pay(order(&created, APPROVED)).await;
    app.act(created.id(), "capture", Value::Object(serde_json::Map::new())).await.expect(200);
    app.refund(created.id(), "1.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    let rows = app.rows(created.id()).await;
    assert!(rows.len() >= 6, "{rows:?}");
    assert!(rows[0].get("from").is_none());
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["sequence"], index + 1);
        assert!(row["actor"].is_string() && row["cause"]["type"].is_string() && row["detail"].is_object(), "{row}");
        assert!(row["at"].as_str().unwrap().ends_with('Z'));
        assert!(index == 0 || row["from"] == rows[index - 1]["to"], "{row}");
        assert!(index == 0 || row["at"].as_str() >= rows[index - 1]["at"].as_str(), "{row}");
    }
    let notified = rows.iter().find(|row| row["cause"]["type"] == "notification").unwrap();
    assert!(notified["cause"]["id"].as_str().unwrap().starts_with("ntf_"));
    assert!(notified["transaction_id"].as_i64().unwrap() > i64::from(i32::MAX));
    app.finish().await;
}

//! Rotation of API keys with the real command: the successor is the same caller, and the old key's use is shown.

use std::time::{Duration, Instant};

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};
use kmic_payments::domain::scope::Scope;
use serde_json::Value;
use tokio::time::sleep;

use crate::support::{APPROVED, Body, Engine, Operator, Reply, TestApp, card, program, set, widget};

crate::on_both!(
    a_rotation_in_the_middle_of_a_retry_charges_once,
    a_charge_under_way_is_not_made_again_with_the_new_key,
    all_keys_of_a_line_are_one_caller,
    the_use_of_an_old_key_is_shown,
    uses_are_noted_once_a_minute,
    revoked_and_expired_keys_can_be_succeeded,
    a_key_and_its_successor_are_not_two_operators,
    an_approval_lapses_with_the_keys_of_who_asked,
);

const DAY_S: u32 = 86_400;

/// `key_…` of a secret.
fn id_of(secret: &str) -> String {
    format!("key_{}", secret.split('_').nth(1).unwrap())
}

/// Runs a command on the database of the service.
pub(crate) fn keys(app: &TestApp, arguments: &[&str]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), &[&["keys"], arguments].concat());
    set(&mut command, "database.url", &app.database.url);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The secret of the successor.
fn rotate(app: &TestApp, secret: &str, overlap: &str) -> String {
    let made = keys(app, &["rotate", &id_of(secret), "--overlap", overlap, "--format", "json"]).unwrap();
    let made: Value = serde_json::from_str(&made).unwrap();
    made["secret"].as_str().unwrap().to_owned()
}

/// What `keys list` tells about a key.
fn listed(app: &TestApp, secret: &str) -> Value {
    let list: Value = serde_json::from_str(&keys(app, &["list", "--format", "json"]).unwrap()).unwrap();
    list.as_array().unwrap().iter().find(|key| key["id"] == id_of(secret)).unwrap().clone()
}

fn posting(app: &TestApp, secret: &str, path: &str, idempotency_key: &str, body: &Body) -> reqwest::RequestBuilder {
    let request = app.http.post(format!("{}{path}", app.url)).bearer_auth(secret);
    request.header("Idempotency-Key", idempotency_key).header("Content-Type", "application/json").body(body.to_string())
}

async fn post(app: &TestApp, secret: &str, path: &str, idempotency_key: &str, body: &Body) -> Reply {
    Reply::receive(posting(app, secret, path, idempotency_key, body)).await
}

async fn get(app: &TestApp, secret: &str, path: &str) -> Reply {
    app.call_as("GET", path, Some(&format!("Bearer {secret}"))).await
}

async fn a_rotation_in_the_middle_of_a_retry_charges_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (first, stranger) = (app.new_key(&Scope::ALL).await, app.new_key(&Scope::ALL).await);
    let order = card("KM-1", APPROVED);
    // The site never reads this answer.
    let lost = post(&app, &first, "/v1/payments", "the-charge", &order).await.expect(201);
    let second = rotate(&app, &first, "7d");
    let again = post(&app, &second, "/v1/payments", "the-charge", &order).await.expect(201);
    assert_eq!((again.header("idempotent-replayed"), &again.bytes), ("true", &lost.bytes));
    // The generation after finds it, too, and the old key still does.
    let third = rotate(&app, &second, "7d");
    for secret in [&third, &first] {
        let again = post(&app, secret, "/v1/payments", "the-charge", &order).await.expect(201);
        assert_eq!((again.header("idempotent-replayed"), again.id()), ("true", lost.id()));
    }
    let other = card("KM-2", APPROVED);
    let reused = post(&app, &third, "/v1/payments", "the-charge", &other).await;
    reused.expect_problem(422, "idempotency_key_reused");
    assert_eq!(app.charges(), 1, "one charge");

    // The same for a refund that was begun by the new key and is repeated by a process that still has the old one.
    let refunds = format!("/v1/payments/{}/refunds", lost.id());
    let refund = post(&app, &third, &refunds, "the-refund", &serde_json::json!({})).await.expect(201);
    let again = post(&app, &second, &refunds, "the-refund", &serde_json::json!({})).await.expect(201);
    assert_eq!((again.header("idempotent-replayed"), again.id()), ("true", refund.id()));
    assert_eq!(app.refunds(), 1, "one refund");

    // The key of somebody else is another caller.
    let own = post(&app, &stranger, "/v1/payments", "the-charge", &card("KM-3", APPROVED)).await.expect(201);
    assert_ne!(own.id(), lost.id());
    app.finish().await;
}

async fn a_charge_under_way_is_not_made_again_with_the_new_key(engine: Engine) {
    let app = TestApp::start(engine).await;
    let first = app.new_key(&Scope::ALL).await;
    let order = card("KM-1", APPROVED);
    app.break_answer("/payments/cards/charge", ApiFaultKind::Delay { ms: 5000 });
    // Nor does a notification tell how it went.
    app.lose(NotificationKind::Pay);
    let hung_up = tokio::spawn(posting(&app, &first, "/v1/payments", "the-charge", &order).send());
    let deadline = Instant::now() + Duration::from_secs(20);
    while app.charges() == 0 {
        assert!(Instant::now() < deadline, "no charge arrives");
        sleep(Duration::from_millis(10)).await;
    }
    hung_up.abort();
    let second = rotate(&app, &first, "0d");
    app.advance(1);
    assert_eq!(get(&app, &first, "/v1/payments").await.status, 401, "without an overlap the old key ends at once");
    let mut refused = 0;
    let replay = loop {
        let reply = post(&app, &second, "/v1/payments", "the-charge", &order).await;
        if reply.status == 201 {
            break reply;
        }
        reply.expect_problem(409, "idempotency_in_progress");
        refused += 1;
        assert!(Instant::now() < deadline, "it is never answered");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(refused > 0, "the charge was over before it was repeated");
    assert_eq!((replay.text("/status"), replay.header("idempotent-replayed")), ("paid", "true"));
    assert_eq!(app.charges(), 1, "one charge");
    app.finish().await;
}

async fn all_keys_of_a_line_are_one_caller(engine: Engine) {
    let app = TestApp::start(engine).await;
    let first = app.new_key(&[Scope::PaymentsRead, Scope::PaymentsWrite]).await;
    let stranger = app.new_key(&[Scope::PaymentsRead, Scope::PaymentsWrite]).await;
    let second = rotate(&app, &first, "7d");
    let third = rotate(&app, &second, "7d");
    for (number, maker) in [&first, &second, &third].into_iter().enumerate() {
        let made = post(&app, maker, "/v1/payments", &format!("make-{number}"), &widget("KM-1")).await.expect(201);
        let path = format!("/v1/payments/{}", made.id());
        for reader in [&first, &second, &third] {
            assert_eq!(get(&app, reader, &path).await.expect(200).text("/payer/account_id"), "user-42");
        }
        assert!(get(&app, &stranger, &path).await.expect(200).json.get("payer").is_none());
        // The history names the key itself.
        let rows = app.rows(made.id()).await;
        assert_eq!(rows[0]["actor"], id_of(maker), "{rows:?}");
    }
    let (old, new) = (listed(&app, &first), listed(&app, &third));
    assert_eq!((&old["name"], &old["scopes"], &old["lineage"]), (&new["name"], &new["scopes"], &new["lineage"]));
    assert_eq!(new["lineage"], id_of(&first));
    let refused = keys(&app, &["rotate", &id_of(&first)]).unwrap_err();
    assert!(refused.contains(&id_of(&second)), "{refused}");
    app.finish().await;
}

async fn the_use_of_an_old_key_is_shown(engine: Engine) {
    let app = TestApp::start(engine).await;
    let old = app.new_key(&[Scope::PaymentsRead]).await;
    let before = get(&app, &old, "/v1/payments").await.expect(200);
    assert_eq!((before.header("deprecation"), before.header("sunset")), ("", ""));
    let new = rotate(&app, &old, "7d");
    // A second later the running service knows of it.
    app.advance(1);
    let shown = get(&app, &old, "/v1/payments").await.expect(200);
    let since = shown.header("deprecation").strip_prefix('@').unwrap().parse::<i64>().unwrap();
    let until = shown.header("sunset").to_owned();
    let told = listed(&app, &old);
    let seconds = |text: &str| kmic_payments::clock::Timestamp::parse_rfc3339(text).unwrap().micros() / 1_000_000;
    assert_eq!(since, seconds(told["rotated_at"].as_str().unwrap()));
    assert_eq!(until.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len(), "{until}");
    assert_eq!(seconds(told["expires_at"].as_str().unwrap()) - since, i64::from(7 * DAY_S));
    assert_eq!(told["successor_id"], id_of(&new));
    // An error says it, too, and the new key's answers say nothing.
    assert!(get(&app, &old, "/v1/payments/x").await.header("deprecation").starts_with('@'));
    assert!(get(&app, &old, "/v1/events?limit=0").await.header("sunset").ends_with("GMT"));
    assert_eq!(get(&app, &new, "/v1/payments").await.expect(200).header("deprecation"), "");
    assert!(app.running.metrics.render().contains("kmic_payments_outdated_key_requests_total 3"));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = keys(&app, &["list"]).unwrap();
        let line = text.lines().find(|line| line.starts_with(&id_of(&old))).unwrap().to_owned();
        if line.contains("after its rotation") {
            assert!(line.contains(&format!("to {}", id_of(&new))), "{line}");
            break;
        }
        assert!(Instant::now() < deadline, "{line}");
        sleep(Duration::from_millis(50)).await;
    }
    app.advance(7 * DAY_S);
    assert_eq!(get(&app, &old, "/v1/payments").await.status, 401);
    get(&app, &new, "/v1/payments").await.expect(200);
    app.finish().await;
}

async fn uses_are_noted_once_a_minute(engine: Engine) {
    let app = TestApp::start(engine).await;
    let key = app.new_key(&[Scope::PaymentsRead]).await;
    assert_eq!(listed(&app, &key)["last_used_at"], Value::Null);
    let noted = async |after: &Value| {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let at = listed(&app, &key)["last_used_at"].clone();
            if at != *after {
                break at;
            }
            assert!(Instant::now() < deadline, "no use is noted");
            sleep(Duration::from_millis(50)).await;
        }
    };
    get(&app, &key, "/v1/payments").await.expect(200);
    let first = noted(&Value::Null).await;
    // Had this use been noted, the next one would not be: it comes two seconds later.
    app.advance(50);
    get(&app, &key, "/v1/payments").await.expect(200);
    app.advance(12);
    get(&app, &key, "/v1/payments").await.expect(200);
    let second = noted(&first).await;
    let at = |value: &Value| kmic_payments::clock::Timestamp::parse_rfc3339(value.as_str().unwrap()).unwrap();
    assert!(at(&second).seconds_since(at(&first)) >= 61, "{first} {second}");
    app.finish().await;
}

async fn revoked_and_expired_keys_can_be_succeeded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let leaked = app.new_key(&Scope::ALL).await;
    let lost = post(&app, &leaked, "/v1/payments", "the-charge", &card("KM-1", APPROVED)).await.expect(201);
    keys(&app, &["revoke", &id_of(&leaked)]).unwrap();
    let told = keys(&app, &["rotate", &id_of(&leaked), "--expires-in", "12h"]).unwrap();
    assert!(told.contains("does not work any more") && !told.contains("expires never"), "{told}");
    let new = told.lines().find_map(|line| line.strip_prefix("secret  ")).unwrap();
    app.advance(1);
    assert_eq!(get(&app, &leaked, "/v1/payments").await.status, 401);
    let again = post(&app, new, "/v1/payments", "the-charge", &card("KM-1", APPROVED)).await;
    // Card data is encrypted anew each time, so this is another request: refused, and not charged again.
    again.expect_problem(422, "idempotency_key_reused");
    assert_eq!(get(&app, new, &format!("/v1/payments/{}", lost.id())).await.text("/payer/account_id"), "user-42");
    assert_eq!(app.charges(), 1);
    // A key with an end has a successor with the same span.
    let after = rotate(&app, new, "30d");
    let (old, successor) = (listed(&app, new), listed(&app, &after));
    let at = |value: &Value| kmic_payments::clock::Timestamp::parse_rfc3339(value.as_str().unwrap()).unwrap();
    assert_eq!(at(&successor["expires_at"]).seconds_since(at(&successor["created_at"])), i64::from(DAY_S / 2));
    assert_eq!(
        at(&old["expires_at"]).seconds_since(at(&old["created_at"])),
        i64::from(DAY_S / 2),
        "not longer than before"
    );
    for (id, overlap, word) in
        [("key_1", "7d", "keys list"), ("pay_1", "7d", "keys list"), (id_of(&after).as_str(), "91d", "90d")]
    {
        assert!(keys(&app, &["rotate", id, "--overlap", overlap]).unwrap_err().contains(word), "{id}");
    }
    app.finish().await;
}

async fn a_key_and_its_successor_are_not_two_operators(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let successor = Operator::of(rotate(&app, &one.key, "7d"));
    for (asks, decides) in [(&one, &successor), (&successor, &one)] {
        let asked = asks.ask_refund(&app, payment.id(), "100.00").await.expect(201);
        for what in ["approve", "reject"] {
            decides.decide(&app, &asked, what).await.expect_problem(409, "second_operator_required");
        }
        assert_eq!(app.approval(asked.id()).await.text("/state"), "pending");
    }
    let asked = successor.ask_refund(&app, payment.id(), "100.00").await.expect(201);
    let approved = other.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
    // Whose answer was lost repeats under the successor, and nothing is given back twice.
    let heir = Operator::of(rotate(&app, &other.key, "7d"));
    let repeat = heir.decide_as(&app, &asked, "approve", "yes-1").await.expect(200);
    assert_eq!((repeat.header("idempotent-replayed"), &repeat.bytes), ("true", &approved.bytes));
    assert_eq!(app.refunds(), 1);
    app.finish().await;
}

/// Whoever lost the key moves no money through another operator's.
async fn an_approval_lapses_with_the_keys_of_who_asked(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    let (one, other) = (Operator::with_all(&app).await, Operator::with_all(&app).await);
    let asked = one.ask_refund(&app, payment.id(), "1000.00").await.expect(201);
    let again = one.ask_refund(&app, payment.id(), "2000.00").await.expect(201);

    // A successor is the same caller, also when the first key is over.
    let successor = Operator::of(rotate(&app, &one.key, "1h"));
    app.advance(7_200);
    let shown = app.approval(asked.id()).await;
    assert_eq!((shown.text("/state"), shown.json.get("lapsed")), ("pending", None));
    other.decide(&app, &asked, "approve").await.expect(200);
    assert_eq!(app.refunds(), 1);

    keys(&app, &["revoke", &successor.id]).unwrap();
    let shown = app.approval(again.id()).await;
    assert_eq!((shown.text("/state"), &shown.json["lapsed"]), ("pending", &Value::Bool(true)));
    let refused = other.decide(&app, &again, "approve").await;
    refused.expect_problem(409, "invalid_state");
    assert!(refused.text("/detail").contains("was revoked or has expired"), "{}", refused.json);
    assert_eq!(app.refunds(), 1);
    let rejected = other.decide(&app, &again, "reject").await.expect(200);
    assert_eq!((rejected.text("/state"), rejected.json.get("lapsed")), ("rejected", None));
    app.finish().await;
}

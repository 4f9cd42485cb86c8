//! Seals, daily roots, and proofs that hold without the database.

use std::process::{Command, Output};

use kmic_payments::app::{Proof, VerifyHistory, prove_history, verify_history};
use kmic_payments::clock::Clock;
use kmic_payments::domain::id::PaymentId;
use kmic_payments::domain::proof::Hash;
use serde_json::{Value, json};

use crate::support::{APPROVED, CARD_NO_FUNDS, CARD_THREE_DS, Engine, Sql, TestApp, card, money, widget, with};

crate::on_both!(
    every_change_is_sealed_once,
    each_day_has_a_root,
    a_proof_holds_without_the_database,
    a_changed_proof_does_not_hold,
    the_commands_do_what_they_say,
    what_was_there_before_is_sealed_too,
    sealing_at_once_makes_one_chain,
    history_holds_nothing_personal,
);

const PAYER: [&str; 4] = ["Aigerim Canary", "canary@example.test", "+77015550199", "203.0.113.99"];

async fn verified(app: &TestApp) -> kmic_payments::app::History {
    let what = VerifyHistory { published: Vec::new(), sealed_before: app.clock.now().plus_seconds(-3600) };
    app.running
        .store
        .read(move |tx| verify_history(tx, &what))
        .await
        .unwrap()
        .unwrap_or_else(|broken| panic!("{broken}"))
}

async fn proof(app: &TestApp, payment_id: &str) -> Value {
    let id = PaymentId::parse(payment_id).unwrap();
    let proof = app.running.store.read(move |tx| prove_history(tx, &id, None)).await.unwrap();
    serde_json::to_value(proof).unwrap()
}

/// `sequence from>to` of each row, or what does not hold.
fn check(proof: &Value, root: &str) -> Result<Vec<String>, String> {
    let proof: Proof = serde_json::from_value(proof.clone()).map_err(|error| error.to_string())?;
    let proven = proof.check(Hash::parse(root).unwrap())?;
    let rows = proven.rows.iter().map(|proven| &proven.row);
    Ok(rows.map(|row| format!("{} {}>{}", row.sequence, row.from_status, row.to_status)).collect())
}

async fn every_change_is_sealed_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    assert_eq!(verified(&app).await.seals, 0);
    assert_eq!(app.running.app.seal_step().await.unwrap(), 0);
    let paid = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.create(card("KM-2", CARD_NO_FUNDS)).await.expect(201);
    app.refund(paid.id(), "5.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    let recorded = Sql::open(&app.database.url).number("SELECT count(*) AS value FROM transitions");
    let sealed = app.running.app.seal_step().await.unwrap();
    assert_eq!(i64::try_from(sealed).unwrap(), recorded);
    assert_eq!(app.running.app.seal_step().await.unwrap(), 0);
    let history = verified(&app).await;
    assert_eq!((history.rows, history.waiting, history.seals), (recorded, 0, 1));
    app.finish().await;
}

async fn each_day_has_a_root(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut days = Vec::new();
    for day in 0..3 {
        app.create(widget(&format!("KM-{day}"))).await.expect(201);
        app.running.app.seal_step().await.unwrap();
        app.create(widget(&format!("KM-{day}b"))).await.expect(201);
        app.running.app.seal_step().await.unwrap();
        days.push(app.clock.now().to_string()[..10].to_owned());
        app.advance(86_400);
    }
    let page = app.get("/v1/audit/roots?limit=2").await.expect(200);
    let rest = app.get(&format!("/v1/audit/roots?limit=2&cursor={}", page.text("/next_cursor"))).await.expect(200);
    assert_eq!(rest.json["next_cursor"], Value::Null);
    let roots: Vec<Value> =
        [&page, &rest].iter().flat_map(|page| page.json["data"].as_array().unwrap().clone()).collect();
    days.reverse();
    assert_eq!(roots.iter().map(|root| root["day"].as_str().unwrap()).collect::<Vec<_>>(), days);
    assert_eq!(
        roots.iter().map(|root| (root["seal"].as_i64().unwrap(), root["rows"].as_i64().unwrap())).collect::<Vec<_>>(),
        [(6, 6), (4, 4), (2, 2)]
    );
    assert!(roots.iter().all(|root| Hash::parse(root["root"].as_str().unwrap()).is_some()));
    assert_eq!(
        app.get("/v1/audit/roots?cursor=AAAA").await.expect_problem(422, "invalid_request"),
        ["cursor: invalid_cursor"]
    );
    app.finish().await;
}

async fn a_proof_holds_without_the_database(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    for other in 0..20 {
        app.create(widget(&format!("KM-other-{other}"))).await.expect(201);
        app.running.app.seal_step().await.unwrap();
    }
    app.refund(payment.id(), "12500.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    app.create(widget("KM-last")).await.expect(201);
    app.running.app.seal_step().await.unwrap();

    let proof = proof(&app, payment.id()).await;
    let root = app.get("/v1/audit/roots").await.expect(200).text("/data/0/root").to_owned();
    let told: Vec<String> = app.history(payment.id()).await;
    let proven = check(&proof, &root).unwrap();
    assert_eq!(proven.len(), told.len());
    assert!(proven.last().unwrap().ends_with(">refunded"), "{proven:?}");
    let detail =
        |index: usize| serde_json::from_str::<Value>(proof["rows"][index]["detail"].as_str().unwrap()).unwrap();
    assert_eq!((&detail(0)["amount"], &detail(0)["currency"]), (&json!("12500.00"), &json!("KZT")));
    let sums = json!({ "authorized": "12500.00", "captured": "12500.00", "refunded": "12500.00" });
    assert_eq!(detail(proven.len() - 1)["sums"], sums, "the proof tells the money");
    assert!(proof["seals"].as_array().unwrap().len() < 16, "the way back is short: {}", proof["seals"]);
    assert!(check(&proof, &"00".repeat(32)).unwrap_err().contains("does not give the root"));
    app.finish().await;
}

/// Replaces every value of the proof by another one; each must be noticed, whichever it is.
async fn a_changed_proof_does_not_hold(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.create(card("KM-2", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    app.refund(payment.id(), "1.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    let whole = proof(&app, payment.id()).await;
    let root = whole["root"]["hash"].as_str().unwrap().to_owned();
    check(&whole, &root).unwrap();
    let mut places = Vec::new();
    collect("", &whole, &mut places);
    assert!(places.len() > 40 && places.iter().filter(|place| place.starts_with("/root/")).count() == 3, "{places:?}");
    for place in places {
        let mut changed = whole.clone();
        let value = changed.pointer_mut(&place).unwrap();
        *value = match &*value {
            Value::Number(number) => json!(number.as_i64().unwrap() + 1),
            Value::String(text) if Hash::parse(text).is_some() => json!("ab".repeat(32)),
            Value::String(text) => json!(format!("{text} ")),
            _ => json!("x"),
        };
        assert!(check(&changed, &root).is_err(), "{place} may be changed");
    }
    let mut shorter = whole.clone();
    shorter["rows"].as_array_mut().unwrap().remove(0);
    assert!(check(&shorter, &root).unwrap_err().contains("sequence 1 is missing"));
    let mut swapped = whole.clone();
    swapped["rows"].as_array_mut().unwrap().swap(0, 1);
    assert!(check(&swapped, &root).is_err());
    let mut emptied = whole.clone();
    emptied["rows"] = json!([]);
    assert_eq!(check(&emptied, &root).unwrap_err(), "there is no row");
    // What the site was told: nothing of it is left out, put in or said to be sealed without.
    assert_eq!(whole["rows"][1]["events"][0]["kind"], "payment.paid");
    let more = json!([whole["rows"][1]["events"][0], whole["rows"][1]["events"][0]]);
    for events in [json!([]), Value::Null, more] {
        let mut changed = whole.clone();
        changed["rows"][1]["events"] = events.clone();
        assert!(check(&changed, &root).is_err(), "{events}");
    }
    let mut elsewhere = whole.clone();
    let moved = elsewhere["rows"][1]["events"].take();
    elsewhere["rows"][0]["events"] = moved;
    elsewhere["rows"][1]["events"] = json!([]);
    assert!(check(&elsewhere, &root).is_err());
    app.finish().await;
}

/// The places of every value that holds no others.
fn collect(place: &str, value: &Value, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| collect(&format!("{place}/{name}"), member, places))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| collect(&format!("{place}/{index}"), item, places))
        }
        _ => places.push(place.to_owned()),
    }
}

/// Runs `kmic-payments audit …` beside the running service.
fn audit(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kmic-payments"));
    command.arg("audit").args(arguments).env_clear().env("KMIC_PAYMENTS__DATABASE__URL", url);
    tokio::task::block_in_place(|| command.output().unwrap())
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn complained(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

async fn the_commands_do_what_they_say(engine: Engine) {
    let app = TestApp::start(engine).await;
    let url = app.database.url.clone();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    assert!(complained(&audit(&url, &["prove", payment.id()])).contains("no such root"));
    assert!(complained(&audit(&url, &["root"])).contains("nothing was sealed"));
    app.running.app.seal_step().await.unwrap();

    let root = printed(&audit(&url, &["root"]));
    let words: Vec<&str> = root.split_whitespace().collect();
    assert_eq!((words[0].len(), words[1], words[2].len()), (10, "1", 64));
    assert_eq!(printed(&audit(&url, &["root", "--day", words[0]])), root);
    assert!(complained(&audit(&url, &["root", "--day", "2020-01-01"])).contains("nothing was sealed"));
    std::fs::write(file("roots"), &root).unwrap();
    let holds = printed(&audit(&url, &["verify", "--root", &file("roots")]));
    assert!(
        holds.contains("the history holds: ") && holds.contains("1 published roots") && holds.contains(&root),
        "{holds}"
    );

    std::fs::write(file("proof"), printed(&audit(&url, &["prove", payment.id()]))).unwrap();
    let checked = printed(&audit("mysql://no-database-is-needed", &["check", &file("proof"), "--root", words[2]]));
    assert!(checked.contains(payment.id()) && checked.contains("processing > paid"), "{checked}");
    assert!(checked.contains("told: payment.paid evt_"), "{checked}");
    // A proof cannot show that it is whole, so the command does not say it.
    let mut shorter: Value = serde_json::from_str(&std::fs::read_to_string(file("proof")).unwrap()).unwrap();
    shorter["rows"].as_array_mut().unwrap().pop();
    std::fs::write(file("shorter"), shorter.to_string()).unwrap();
    let checked = printed(&audit(&url, &["check", &file("shorter"), "--root", words[2]]));
    assert!(!checked.contains("> paid") && checked.contains("may have been left out"), "{checked}");
    let wrong = audit(&url, &["check", &file("proof"), "--root", &"0".repeat(64)]);
    assert!(complained(&wrong).contains("does not hold"));
    assert!(complained(&audit(&url, &["check", &file("roots"), "--root", words[2]])).contains("not a proof"));
    assert!(complained(&audit(&url, &["verify", "--root", &file("proof")])).contains("line 1"));
    assert!(complained(&audit(&url, &["prove", "ref_1"])).contains("pay_"));

    let mut sql = Sql::open(&url);
    sql.take_the_guards_away();
    sql.run_all("UPDATE transitions SET actor = 'nobody' WHERE sequence = 1");
    let found = complained(&audit(&url, &["verify"]));
    assert!(found.contains("does not hold: transitions") && found.contains(payment.id()), "{found}");
    assert!(found.contains("sequence 1") && found.contains("seal 1"), "{found}");
    app.stop().await;
}

async fn what_was_there_before_is_sealed_too(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut sql = Sql::open(&app.database.url);
    let (up, down, up_events, down_events) = match engine {
        Engine::Sqlite => (
            include_str!("../../migrations/sqlite/2026-11-25-000004_history_proofs/up.sql"),
            include_str!("../../migrations/sqlite/2026-11-25-000004_history_proofs/down.sql"),
            include_str!("../../migrations/sqlite/2026-11-28-000009_sealed_events/up.sql"),
            include_str!("../../migrations/sqlite/2026-11-28-000009_sealed_events/down.sql"),
        ),
        Engine::Postgres => (
            include_str!("../../migrations/postgres/2026-11-25-000004_history_proofs/up.sql"),
            include_str!("../../migrations/postgres/2026-11-25-000004_history_proofs/down.sql"),
            include_str!("../../migrations/postgres/2026-11-28-000009_sealed_events/up.sql"),
            include_str!("../../migrations/postgres/2026-11-28-000009_sealed_events/down.sql"),
        ),
    };
    sql.run_all(down_events);
    sql.run_all(down);
    app.create(widget("KM-1")).await.expect(201);
    app.create(card("KM-2", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    sql.run_all(up);
    sql.run_all(up_events);
    let recorded = sql.number("SELECT count(*) AS value FROM transitions");
    assert_eq!(verified(&app).await.waiting, recorded);
    app.running.app.seal_step().await.unwrap();
    assert_eq!(verified(&app).await.rows, recorded);
    app.finish().await;
}

async fn sealing_at_once_makes_one_chain(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut running = Vec::new();
    for round in 0..4 {
        for payment in 0..5 {
            let body = card(&format!("KM-{round}-{payment}"), APPROVED);
            running.push(app.posting("/v1/payments", &app.new_idempotency_key(), &body));
        }
    }
    let service = &app.running.app;
    let sealing = async {
        let mut sealed = 0;
        for _ in 0..30 {
            let (one, other) = tokio::join!(service.seal_step(), service.seal_step());
            sealed += one.unwrap() + other.unwrap();
        }
        sealed
    };
    let (replies, sealed) = tokio::join!(app.at_once(running), sealing);
    assert!(replies.iter().all(|reply| reply.status == 201));
    app.sandbox.flush_notifications().await;
    let sealed = sealed + service.seal_step().await.unwrap();
    let history = verified(&app).await;
    assert_eq!((history.rows, history.waiting), (i64::try_from(sealed).unwrap(), 0));
    app.finish().await;
}

/// What erasure destroys (bodies, payers, keys to them) is nowhere in what is sealed, so proofs hold after it.
async fn history_holds_nothing_personal(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payer = json!({ "account_id": "account-canary", "name": PAYER[0], "email": PAYER[1], "phone": PAYER[2], "ip_address": PAYER[3] });
    let body = |invoice: &str, number: &str| with(card(invoice, number), "payer", payer.clone());
    let paid = app.create(body("KM-1", APPROVED)).await.expect(201);
    app.create(body("KM-2", CARD_NO_FUNDS)).await.expect(201);
    let asked = app.create(body("KM-3", CARD_THREE_DS)).await.expect(201);
    let form = app.at_bank(&asked, "fail").await;
    app.submit(&form).await;
    let held = app.create(with(body("KM-4", APPROVED), "capture", "manual")).await.expect(201);
    app.act(held.id(), "capture", json!({ "amount": money("100.00") })).await.expect(200);
    app.refund(paid.id(), "10.00").await.expect(201);
    app.sandbox.flush_notifications().await;
    app.running.app.seal_step().await.unwrap();
    let proof = proof(&app, paid.id()).await;
    let root = proof["root"]["hash"].as_str().unwrap().to_owned();

    let mut sql = Sql::open(&app.database.url);
    let rows = sql.texts(
        "SELECT payment_id || ' ' || from_status || ' ' || to_status || ' ' || cause_type || ' ' || coalesce(cause_id, '') || ' ' \
         || actor || ' ' || detail AS value FROM transitions",
    );
    assert!(rows.len() > 8);
    let held_text = rows.join("\n") + &proof.to_string();
    for canary in PAYER.iter().copied().chain(["account-canary", "Canary", "TEST CARDHOLDER", "Policy", "KM-1"]) {
        assert!(!held_text.contains(canary), "{canary} in {held_text}");
    }
    let gone = match engine {
        Engine::Sqlite => "x'00'",
        Engine::Postgres => "'\\x00'::bytea",
    };
    sql.run_all(&format!(
        "UPDATE payments SET payer = {gone}, account_hash = NULL, description = '', metadata = '{{}}'; UPDATE notifications SET body = {gone}"
    ));
    verified(&app).await;
    check(&proof, &root).unwrap();
    app.stop().await;
}

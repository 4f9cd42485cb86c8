//! Erasures that are cut off: the process is killed, or the database fails, at each of their steps. Until the key is
//! destroyed nothing is erased; from then on everything is, and a repeat or the worker removes what is left.

use kmic_payments::app::{Proof, VerifyHistory, prove_history, verify_history};
use kmic_payments::clock::Clock;
use kmic_payments::domain::id::PaymentId;
use kmic_payments::domain::proof::Hash;
use serde_json::{Value, json};

use crate::support::{
    APPROVED, Body, CARD_NO_FUNDS, Engine, Operator, Reply, Service, Sql, TestApp, Trap, Way, card, raw_bytes,
    secret_hits, with_at,
};

crate::on_both!(
    killed_before_the_key_is_destroyed_erases_nothing,
    killed_between_two_batches_has_erased_everything,
    killed_before_it_is_noted_as_done_has_erased_everything,
    a_database_that_fails_before_the_key_is_destroyed_erases_nothing,
    a_database_that_fails_between_two_batches_has_erased_everything,
    a_database_that_fails_before_it_is_noted_as_done_has_erased_everything,
);

const ACCOUNT: &str = "account-planted-8462";
const PATH: &str = "/v1/payers/account-planted-8462/personal-data";
const PLANTED: [&str; 5] = ["account-planted", "planted.person", "Plantedname", "plantedpolicy", "plantedreason"];
/// Of one payer, in one transaction.
const BATCH: i64 = 100;

/// Where it is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// In the transaction that destroys the key.
    Deciding,
    /// While the sealed values are removed, after the first batch.
    Emptying,
    /// When all is removed, before that is noted.
    Ending,
}

/// What was there before.
struct Story {
    payment: Reply,
    payments: i64,
    history: Vec<String>,
    proof: Value,
    /// All that was sealed, hashed or wrapped, as upper-case hex.
    kept: Vec<String>,
}

fn order(invoice: &str, number: &str) -> Body {
    let payer = json!({
        "account_id": ACCOUNT, "email": "planted.person@example.test", "name": "Plantedname", "ip_address": "203.0.113.99",
    });
    with_at(with_at(card(invoice, number), "/payer", payer), "/description", json!("plantedpolicy"))
}

/// A payer with a paid payment, a refund, an approval and their notifications; with `many` payments in more than one batch.
async fn tell(app: &TestApp, engine: Engine, many: bool) -> Story {
    let payment = app.create(order("KM-1", APPROVED)).await.expect(201);
    let path = format!("/v1/payments/{}/refunds", payment.id());
    let refund = json!({"amount": {"value": "500.00", "currency": "KZT"}, "reason": "plantedreason of a refund"});
    app.post(&path, refund).await.expect(201);
    let (one, other) = (Operator::with_all(app).await, Operator::with_all(app).await);
    let ask = json!({
        "kind": "refund", "payment_id": payment.id(), "amount": {"value": "9.00", "currency": "KZT"},
        "reason": "plantedreason of an approval",
    });
    let asked = one.post(app, "/v1/approvals", "ask-1", ask).await.expect(201);
    other.decide(app, &asked, "reject").await.expect(200);
    let more = if many { BATCH } else { 0 };
    for first in (0..more).step_by(10) {
        let declined = (first..first + 10)
            .map(|number| order(&format!("KM-more-{number}"), CARD_NO_FUNDS))
            .map(|body| app.posting("/v1/payments", &app.new_idempotency_key(), &body));
        for reply in app.at_once(declined.collect()).await {
            assert_eq!(reply.expect(201).text("/status"), "declined");
        }
    }
    app.sandbox.flush_notifications().await;
    while app.running.app.seal_step().await.unwrap() > 0 {}
    let story = Story {
        history: app.history(payment.id()).await,
        proof: proof(app, payment.id()).await,
        kept: kept(app, engine),
        payments: more + 1,
        payment,
    };
    let held = raw_bytes(app);
    assert!(story.kept.len() > 12 && story.kept.iter().all(|value| held.contains(value)), "{}", story.kept.len());
    story
}

/// Everything of the payer that is kept in the database, as the database has it.
fn kept(app: &TestApp, engine: Engine) -> Vec<String> {
    let mut sql = Sql::open(&app.database.url);
    let mut all = Vec::new();
    for (table, column) in [
        ("payments", "payer"),
        ("notifications", "body"),
        ("notifications", "digest"),
        ("refunds", "sealed_reason"),
        ("approvals", "sealed_reason"),
        ("payer_keys", "wrapped_key"),
        ("payer_keys", "account"),
        ("idempotency_keys", "body"),
        ("idempotency_keys", "fingerprint"),
    ] {
        let hex = match engine {
            Engine::Sqlite => format!("hex({column})"),
            Engine::Postgres => format!("upper(encode({column}, 'hex'))"),
        };
        let found = sql.texts(&format!("SELECT {hex} AS value FROM {table} WHERE length({column}) > 0"));
        assert!(!found.is_empty(), "{table}.{column}");
        all.extend(found);
    }
    let hashes = sql.texts("SELECT account_hash AS value FROM payer_keys WHERE account_hash IS NOT NULL");
    all.extend(hashes.iter().map(|hash| hash.bytes().map(|byte| format!("{byte:02X}")).collect()));
    all
}

async fn proof(app: &TestApp, payment_id: &str) -> Value {
    let id = PaymentId::parse(payment_id).unwrap();
    let proof = app.running.store.read(move |tx| prove_history(tx, &id, None)).await.unwrap();
    serde_json::to_value(proof).unwrap()
}

fn trap(engine: Engine, url: &str, step: Step, way: Way) -> Trap {
    let last = "NEW.id = (SELECT max(id) FROM payments)";
    match (step, engine) {
        (Step::Deciding, _) => Trap::set(engine, url, "personal_data_erasures", "INSERT", "NEW.id <> ''", way),
        (Step::Emptying, Engine::Sqlite) => Trap::set(engine, url, "payments", "UPDATE OF payer", last, way),
        (Step::Emptying, Engine::Postgres) => {
            // A condition of PostgreSQL holds no question.
            let id = Sql::open(url).text("SELECT max(id) AS value FROM payments");
            Trap::set(engine, url, "payments", "UPDATE OF payer", &format!("NEW.id = '{id}'"), way)
        }
        (Step::Ending, _) => Trap::set(engine, url, "payer_keys", "UPDATE OF cleaned_at", "NEW.id <> ''", way),
    }
}

async fn erase(app: &TestApp) -> Reply {
    Reply::receive(app.request(reqwest::Method::DELETE, PATH).header("Idempotency-Key", "erase-1")).await
}

fn count(app: &TestApp, what: &str) -> i64 {
    Sql::open(&app.database.url).number(&format!("SELECT count(*) AS value FROM {what}"))
}

/// Nothing is erased, and it can be.
async fn expect_untouched(app: &TestApp, story: &Story) {
    let shown = app.payment(story.payment.id()).await;
    assert_eq!(shown.text("/payer/email"), "planted.person@example.test");
    let export = app.get(PATH).await.expect(200);
    let told = export.json["data"].to_string();
    assert!(told.contains("plantedreason of a refund") && told.contains("plantedreason of an approval"), "{told}");
    assert_eq!(count(app, "personal_data_erasures"), 0);
    assert_eq!(count(app, "payer_keys WHERE erased_at IS NOT NULL"), 0);
    let held = raw_bytes(app);
    assert!(story.kept.iter().all(|value| held.contains(value)));
}

/// Nobody can read anything any more, whatever is left in the tables.
async fn expect_erased(app: &TestApp, story: &Story, step: Step) {
    let shown = app.payment(story.payment.id()).await;
    assert_eq!((&shown.json["erased"], shown.json.get("payer")), (&json!(true), None));
    for path in [PATH.to_owned(), format!("/v1/payments?account_id={ACCOUNT}")] {
        assert_eq!(app.get(&path).await.expect(200).json["data"], json!([]), "{path}");
    }
    assert_eq!(count(app, "payer_keys WHERE wrapped_key IS NOT NULL"), 0);
    assert_eq!(count(app, "payer_keys WHERE cleaned_at IS NOT NULL"), 0);
    let left = if step == Step::Emptying { story.payments - BATCH } else { 0 };
    assert_eq!(count(app, "payments WHERE length(payer) > 0"), left);
}

async fn expect_nothing_left(app: &TestApp, story: &Story) {
    let held = raw_bytes(app);
    let left: Vec<&String> = story.kept.iter().filter(|value| held.contains(value.as_str())).collect();
    assert!(left.is_empty(), "{} of {} values are left: {left:?}", left.len(), story.kept.len());
    assert_eq!(secret_hits(app, &PLANTED), 0);
    assert_eq!(count(app, "payer_keys WHERE cleaned_at IS NULL"), 0);
    let erased =
        Sql::open(&app.database.url).texts("SELECT CAST(payments AS VARCHAR) AS value FROM personal_data_erasures");
    assert_eq!(erased, [story.payments.to_string()]);
    assert_eq!(app.payment(story.payment.id()).await.text("/refunded/value"), "500.00");
}

/// What was sealed of the history holds, the same as before.
async fn expect_proven(app: &TestApp, story: &Story) {
    assert_eq!(app.history(story.payment.id()).await, story.history);
    let again = proof(app, story.payment.id()).await;
    assert_eq!(again, story.proof);
    let proof: Proof = serde_json::from_value(again.clone()).unwrap();
    let root = Hash::parse(again["root"]["hash"].as_str().unwrap()).unwrap();
    assert_eq!(proof.check(root).unwrap().rows.len(), story.history.len());
    let what = VerifyHistory { published: Vec::new(), sealed_before: app.clock.now().plus_seconds(-3600) };
    let verified = app.running.store.read(move |tx| verify_history(tx, &what)).await.unwrap();
    let verified = verified.unwrap_or_else(|broken| panic!("{broken}"));
    assert_eq!((verified.rows, verified.waiting), (count(app, "transitions"), 0));
}

/// The real program, killed in the middle of a statement; afterwards the site repeats its request.
async fn killed(engine: Engine, step: Step) {
    let app = TestApp::start(engine).await;
    let story = tell(&app, engine, step == Step::Emptying).await;
    let (folder, key) = (tempfile::tempdir().unwrap(), app.key.clone());
    let app = app
        .restart_after(async |database, sandbox| {
            let mut service = Service::start(folder.path(), &database.url, sandbox, &key).await;
            let mut trap = trap(engine, &database.url, step, Way::Hangs);
            let request = tokio::spawn(service.deleting(PATH, "erase-1").send());
            trap.caught().await;
            service.kill();
            assert!(request.await.unwrap().is_err(), "it was answered");
            trap.remove().await;
        })
        .await;
    if step == Step::Deciding {
        expect_untouched(&app, &story).await;
    } else {
        expect_erased(&app, &story, step).await;
    }
    expect_proven(&app, &story).await;
    let erased = erase(&app).await.expect(200);
    let replayed = if step == Step::Deciding { "" } else { "true" };
    assert_eq!((&erased.json["payments"], erased.header("idempotent-replayed")), (&json!(story.payments), replayed));
    expect_nothing_left(&app, &story).await;
    expect_proven(&app, &story).await;
    app.finish().await;
}

/// The database fails; afterwards the worker comes by.
async fn failed(engine: Engine, step: Step) {
    let app = TestApp::start(engine).await;
    let story = tell(&app, engine, step == Step::Emptying).await;
    let trap = trap(engine, &app.database.url, step, Way::Fails);
    let erased = erase(&app).await;
    trap.remove().await;
    if step == Step::Deciding {
        assert_eq!(erased.status, 500, "{}", erased.json);
        expect_untouched(&app, &story).await;
        assert_eq!(app.running.app.retention_step().await.unwrap(), 0);
        expect_untouched(&app, &story).await;
        erase(&app).await.expect(200);
    } else {
        let erased = erased.expect(200);
        expect_erased(&app, &story, step).await;
        assert!(app.running.app.retention_step().await.unwrap() > 0);
        assert_eq!(app.running.app.retention_step().await.unwrap(), 0);
        let repeat = erase(&app).await.expect(200);
        assert_eq!((&repeat.bytes, repeat.header("idempotent-replayed")), (&erased.bytes, "true"));
    }
    expect_nothing_left(&app, &story).await;
    expect_proven(&app, &story).await;
    app.finish().await;
}

async fn killed_before_the_key_is_destroyed_erases_nothing(engine: Engine) {
    killed(engine, Step::Deciding).await;
}

async fn killed_between_two_batches_has_erased_everything(engine: Engine) {
    killed(engine, Step::Emptying).await;
}

async fn killed_before_it_is_noted_as_done_has_erased_everything(engine: Engine) {
    killed(engine, Step::Ending).await;
}

async fn a_database_that_fails_before_the_key_is_destroyed_erases_nothing(engine: Engine) {
    failed(engine, Step::Deciding).await;
}

async fn a_database_that_fails_between_two_batches_has_erased_everything(engine: Engine) {
    failed(engine, Step::Emptying).await;
}

async fn a_database_that_fails_before_it_is_noted_as_done_has_erased_everything(engine: Engine) {
    failed(engine, Step::Ending).await;
}

//! A change of `privacy.encryption_key`, and data from before payers had keys: readable before, beside and after the move.

use std::process::{Command, Output};

use kmic_payments::config::Raw;
use kmic_payments::vault::{self, Vault};
use serde_json::{Value, json};

use crate::support::{
    APPROVED, Body, ENCRYPTION_KEY, Engine, Reply, Sql, TestApp, TestDatabase, card, form, secret_hits, with_at,
};

crate::on_both!(
    everything_moves_under_the_new_key,
    data_of_an_earlier_version_is_read_and_moved,
    reasons_given_before_a_payment_had_a_key_are_moved
);

pub(crate) const NEW_KEY: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=";
const ACCOUNT: &str = "account-planted";
const STRAY: [(&str, &str); 5] = [
    ("TransactionId", "99001"),
    ("Amount", "1.00"),
    ("Currency", "KZT"),
    ("InvoiceId", "none"),
    ("Email", "planted@example.test"),
];

fn order() -> Body {
    let payer = json!({"account_id": ACCOUNT, "email": "planted@example.test", "ip_address": "203.0.113.99"});
    let body = with_at(card("KM-1", APPROVED), "/payer", payer);
    let body = with_at(body, "/description", json!("plantedpolicy"));
    let body = with_at(body, "/return_url", json!("https://kmic.kz/plantedreturn"));
    with_at(body, "/metadata", json!({"note": "plantednote"}))
}

/// What was done before the change.
struct Story {
    order: Body,
    payment: Reply,
}

async fn tell(app: &TestApp) -> Story {
    let order = order();
    let payment = app.post_as("/v1/payments", "the-charge", order.clone()).await.expect(201);
    let refund = json!({"amount": {"value": "500.00", "currency": "KZT"}, "reason": "plantedreason"});
    app.post(&format!("/v1/payments/{}/refunds", payment.id()), refund).await.expect(201);
    app.sandbox.flush_notifications().await;
    app.notify("pay", &STRAY).await;
    assert_eq!(app.notify_signed("pay", &form(&STRAY), "a wrong secret").await.status, 401);
    Story { order, payment }
}

/// Everything is readable and recognised, whatever key it is under.
async fn expect_all(app: &TestApp, story: &Story) {
    let id = story.payment.id();
    let shown = app.payment(id).await;
    assert_eq!(shown.text("/payer/email"), "planted@example.test");
    assert_eq!((shown.text("/description"), shown.text("/metadata/note")), ("plantedpolicy", "plantednote"));
    assert_eq!(shown.text("/return_url"), "https://kmic.kz/plantedreturn");
    let found = app.get(&format!("/v1/payments?account_id={ACCOUNT}")).await.expect(200);
    assert_eq!(found.json["data"].as_array().unwrap().len(), 1);
    let refunds = app.get(&format!("/v1/payments/{id}/refunds")).await.expect(200);
    assert_eq!(refunds.text("/data/0/reason"), "plantedreason");
    let repeat = app.post_as("/v1/payments", "the-charge", story.order.clone()).await.expect(201);
    assert_eq!((&repeat.bytes, repeat.header("idempotent-replayed")), (&story.payment.bytes, "true"));
    let other = app.post_as("/v1/payments", "the-charge", card("KM-2", APPROVED)).await;
    other.expect_problem(422, "idempotency_key_reused");
    let before = app.verdicts().await;
    app.notify("pay", &STRAY).await;
    assert_eq!(app.verdicts().await, before);
    let export = app.get(&format!("/v1/payers/{ACCOUNT}/personal-data")).await.expect(200);
    assert!(export.json["data"][0]["notifications"].to_string().contains("planted%40example.test"), "{}", export.json);
}

pub(crate) fn with_both_keys(raw: Raw) -> Raw {
    with_new_key(raw).with("privacy.previous_keys", ENCRYPTION_KEY)
}

pub(crate) fn with_new_key(raw: Raw) -> Raw {
    // Money need not wait for the register here.
    raw.with("privacy.encryption_key", NEW_KEY).with("reconciliation.check_at_start", "false")
}

/// `keys rotate-encryption` beside the running service.
pub(crate) fn rotate(app: &TestApp, current: &str, previous: &str) -> Output {
    keys(&app.database, &["rotate-encryption"], current, previous)
}

/// A command of `keys` with these encryption keys.
pub(crate) fn keys(database: &TestDatabase, arguments: &[&str], current: &str, previous: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kmic-payments"));
    command.arg("keys").args(arguments).env_clear();
    for (key, value) in [
        ("SERVER__PUBLIC_URL", "http://127.0.0.1:1"),
        ("DATABASE__URL", database.url.as_str()),
        ("CLOUDPAYMENTS__PUBLIC_ID", "pk_1"),
        ("CLOUDPAYMENTS__API_SECRET", "secret"),
        ("PRIVACY__ENCRYPTION_KEY", current),
        ("PRIVACY__PREVIOUS_KEYS", previous),
    ] {
        command.env(format!("KMIC_PAYMENTS__{key}"), value);
    }
    command.output().unwrap()
}

/// Lines of parts where something changed.
#[track_caller]
pub(crate) fn changed(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("previous_keys can be emptied"), "{text}");
    let lines = text.lines().filter(|line| line.ends_with(" changed") && !line.ends_with(" 0 changed"));
    lines.map(|line| line.split("  ").next().unwrap().trim_end().to_owned()).collect()
}

async fn everything_moves_under_the_new_key(engine: Engine) {
    let app = TestApp::start(engine).await;
    let story = tell(&app).await;
    let app = app.restart_with(with_both_keys).await;
    expect_all(&app, &story).await;

    // Without the old key nothing is done, and it is said what is missing.
    let refused = rotate(&app, NEW_KEY, "");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("privacy.previous_keys"), "{told}");
    let rotated = rotate(&app, NEW_KEY, ENCRYPTION_KEY);
    assert_eq!(changed(&rotated), ["keys of payers", "notifications", "requests", "quarantine"]);
    expect_all(&app, &story).await;
    assert_eq!(changed(&rotate(&app, NEW_KEY, ENCRYPTION_KEY)), [""; 0]);

    let app = app.restart_with(with_new_key).await;
    expect_all(&app, &story).await;
    assert_eq!(changed(&rotate(&app, NEW_KEY, "")), [""; 0]);
    let later = app.create(with_at(order(), "/invoice_id", json!("KM-3"))).await.expect(201);
    let mut sql = Sql::open(&app.database.url);
    assert_eq!(sql.number("SELECT count(*) AS value FROM payer_keys WHERE account_hash IS NOT NULL"), 1);
    assert_eq!(app.payment(later.id()).await.text("/payer/account_id"), ACCOUNT);
    app.stop().await;
}

async fn data_of_an_earlier_version_is_read_and_moved(engine: Engine) {
    let app = TestApp::start(engine).await;
    let story = tell(&app).await;
    make_old(&app, engine, &story).await;
    expect_all(&app, &story).await;
    assert!(secret_hits(&app, &["plantedpolicy"]) > 0);
    let path = format!("/v1/payers/{ACCOUNT}/personal-data");
    let erase = app.request(reqwest::Method::DELETE, &path).header("Idempotency-Key", "erase-1");
    Reply::receive(erase).await.expect_problem(409, "keys_not_rotated");

    let app = app.restart_with(with_both_keys).await;
    expect_all(&app, &story).await;
    let rotated = changed(&rotate(&app, NEW_KEY, ENCRYPTION_KEY));
    let parts = ["payments without a key", "words about refunds", "notifications", "requests", "quarantine"];
    assert_eq!(rotated, parts);
    assert_eq!(changed(&rotate(&app, NEW_KEY, ENCRYPTION_KEY)), [""; 0]);
    assert_eq!(secret_hits(&app, &["planted"]), 0);

    let app = app.restart_with(with_new_key).await;
    expect_all(&app, &story).await;
    let erase = app.request(reqwest::Method::DELETE, &path).header("Idempotency-Key", "erase-1");
    Reply::receive(erase).await.expect(200);
    assert_eq!(app.payment(story.payment.id()).await.json["erased"], true);
    app.stop().await;
}

/// Reasons of today about a payment of an earlier version, which has no key before the move: the vault itself seals them.
async fn reasons_given_before_a_payment_had_a_key_are_moved(engine: Engine) {
    let app = TestApp::start(engine).await;
    let story = tell(&app).await;
    make_old(&app, engine, &story).await;
    let id = story.payment.id();
    let refund = json!({"amount": {"value": "100.00", "currency": "KZT"}, "reason": "plantedrefund"});
    let refund = app.post(&format!("/v1/payments/{id}/refunds"), refund).await.expect(201);
    let asked = json!({
        "kind": "refund", "payment_id": id, "amount": {"value": "200.00", "currency": "KZT"}, "reason": "plantedapproval",
    });
    let asked = app.post("/v1/approvals", asked).await.expect(201);
    let expect_reasons = async |app: &TestApp| {
        let refunds = app.get(&format!("/v1/payments/{id}/refunds")).await.expect(200);
        let refunds = refunds.json["data"].as_array().unwrap();
        let told = refunds.iter().find(|one| one["id"] == refund.id()).unwrap();
        assert_eq!(told["reason"], "plantedrefund");
        assert_eq!(app.approval(asked.id()).await.text("/reason"), "plantedapproval");
    };
    expect_reasons(&app).await;

    let app = app.restart_with(with_both_keys).await;
    expect_reasons(&app).await;
    let rotated = changed(&rotate(&app, NEW_KEY, ENCRYPTION_KEY));
    for part in ["words about refunds", "reasons of approvals"] {
        assert!(rotated.iter().any(|name| name == part), "{rotated:?}");
    }
    expect_reasons(&app).await;
    assert_eq!(changed(&rotate(&app, NEW_KEY, ENCRYPTION_KEY)), [""; 0]);

    let app = app.restart_with(with_new_key).await;
    expect_reasons(&app).await;
    // By keys of payers, so that they can be erased with them.
    let hex = if engine == Engine::Sqlite { "hex(sealed_reason)" } else { "encode(sealed_reason, 'hex')" };
    for table in ["refunds", "approvals"] {
        let by_vault = format!("SELECT count(*) AS value FROM {table} WHERE {hex} LIKE '01%'");
        assert_eq!(Sql::open(&app.database.url).number(&by_vault), 0, "{table}");
    }
    app.stop().await;
}

/// Writes the rows as they were before payers had keys: sealed by the vault itself, texts and digests in the open.
async fn make_old(app: &TestApp, engine: Engine, story: &Story) {
    let mut sql = Sql::open(&app.database.url);
    let key: [u8; 32] = vault::from_base64(ENCRYPTION_KEY).unwrap().try_into().unwrap();
    let vault = Vault::new(&key, &[]);
    let literal = |bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if engine == Engine::Sqlite { format!("x'{hex}'") } else { format!("'\\x{hex}'::bytea") }
    };
    let id = story.payment.id();
    let export = app.get(&format!("/v1/payers/{ACCOUNT}/personal-data")).await.expect(200);
    let mut told: Vec<(String, String)> = export.json["data"][0]["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap().to_owned(), one["body"].as_str().unwrap().to_owned()))
        .collect();
    let stray = sql.texts("SELECT id AS value FROM notifications WHERE verdict = 'unmatched'");
    told.push((stray[0].clone(), form(&STRAY)));

    let payer = story.order["payer"].to_string();
    let sealed = literal(&vault.seal(&format!("payments/payer/{id}"), payer.as_bytes()));
    let hash = vault.search_hash("account_id", ACCOUNT);
    let mut run = |statement: String| assert!(sql.run(&statement).unwrap() > 0, "{statement}");
    run(format!(
        "UPDATE payments SET payer_key_id = NULL, payer = {sealed}, account_hash = '{hash}', description = 'plantedpolicy', \
         metadata = '{{\"note\":\"plantednote\"}}', return_url = 'https://kmic.kz/plantedreturn' WHERE id = '{id}'"
    ));
    run("UPDATE refunds SET reason = 'plantedreason', sealed_reason = NULL".to_owned());
    for (id, body) in &told {
        let sealed = literal(&vault.seal(&format!("notifications/body/{id}"), body.as_bytes()));
        let digest = literal(&vault::digest(&[body.as_bytes()]));
        run(format!(
            "UPDATE notifications SET payer_key_id = NULL, body = {sealed}, digest = {digest} WHERE id = '{id}'"
        ));
    }
    sql.drop_trigger("idempotency_keys_as_written");
    let mut run = |statement: String| assert!(sql.run(&statement).unwrap() > 0, "{statement}");
    run(
        "UPDATE idempotency_keys SET status = NULL, location = NULL, body = NULL WHERE idempotency_key <> 'the-charge'"
            .to_owned(),
    );
    let api_key_id = key_id(&app.key);
    let answer = literal(&vault.seal(&format!("idempotency_keys/body/{api_key_id}/the-charge"), &story.payment.bytes));
    let body = Value::to_string(&story.order);
    let fingerprint = literal(&vault::digest(&[b"POST", b"/v1/payments", body.as_bytes()]));
    run(format!(
        "UPDATE idempotency_keys SET payment_id = NULL, body = {answer}, fingerprint = {fingerprint} \
         WHERE idempotency_key = 'the-charge'"
    ));
    run("DELETE FROM payer_keys".to_owned());
}

/// The id of an API key, from its secret.
fn key_id(secret: &str) -> String {
    format!("key_{}", secret.split('_').nth(1).unwrap())
}

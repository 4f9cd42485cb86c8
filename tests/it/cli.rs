//! The real program: its commands, its exit codes, how it stops and how it comes back after a kill.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationFaultKind, NotificationKind, Sandbox, SandboxConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::{
    APPROVED, ENCRYPTION_KEY, Engine, Reply, Service, TestDatabase, card, new_key, program, serve, set,
};

/// In the folder of the test.
pub(crate) const DATABASE: &str = "sqlite://test.sqlite3";
const THE_ONLY_KEY: &str = "the-only-key";
const REQUIRED: [&str; 4] =
    ["server.public_url", "cloudpayments.public_id", "cloudpayments.api_secret", "privacy.encryption_key"];

/// Runs a command on the embedded database of a folder.
fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = program(folder.path(), arguments);
    set(&mut command, "database.url", DATABASE);
    command.output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn expect_failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{} {}", out(output), err(output));
    err(output)
}

#[track_caller]
fn expect_success(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{} {}", out(output), err(output));
    out(output)
}

#[test]
fn openapi_needs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let document = expect_success(&program(folder.path(), &["openapi"]).output().unwrap());
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(document["paths"]["/v1/payments"].is_object());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves nothing behind");
}

/// `kmic-payments openapi | head -n 1`
#[test]
fn a_reader_who_stops_in_the_middle_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in ["openapi", "check-config"] {
        let mut command = program(folder.path(), &[arguments]);
        set(&mut command, "database.url", DATABASE);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let expected = if arguments == "check-config" { 1 } else { 0 };
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {}", err(&output));
        assert!(!err(&output).contains("panicked"), "{}", err(&output));
    }
}

#[test]
fn missing_settings_are_listed_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["check-config", "serve"] {
        let faults = expect_failure(&program(folder.path(), &[command]).output().unwrap());
        for key in REQUIRED {
            assert!(faults.contains(key), "{command}: {key} is missing in {faults}");
        }
        assert!(!faults.contains("panicked"), "{faults}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made before the settings are whole");
}

#[test]
fn contradictions_are_listed_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), &["check-config"]);
    for (key, value) in [
        ("database.url", "mysql://root:hunter2@host/x"),
        ("cloudpayments.base_url", "http://api.example.kz"),
        ("server.workers", "0"),
        ("server.prot", "1"),
        ("retention.access_records_days", "29"),
        ("privacy.encryption_key", "c2hvcnQ="),
    ] {
        set(&mut command, key, value);
    }
    let output = command.output().unwrap();
    let faults = expect_failure(&output);
    for key in [
        "database.url",
        "cloudpayments.base_url",
        "server.workers",
        "server.prot",
        "privacy.encryption_key",
        "retention.access_records_days",
    ] {
        assert!(faults.contains(key), "{key} is missing in {faults}");
    }
    assert!(!(faults + &out(&output)).contains("hunter2"));
}

#[test]
fn whole_settings_are_shown_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), &["check-config"]);
    for (key, value) in [
        ("server.public_url", "https://pay.example.kz"),
        ("database.url", "postgres://payments:db-password@127.0.0.1/payments"),
        ("cloudpayments.public_id", "pk_1"),
        ("cloudpayments.api_secret", "the-secret"),
        ("cloudpayments.api_secret_previous", "the-one-before"),
        ("privacy.encryption_key", ENCRYPTION_KEY),
        ("privacy.previous_keys", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="),
    ] {
        set(&mut command, key, value);
    }
    let output = command.output().unwrap();
    let shown = expect_success(&output) + &err(&output);
    assert!(shown.contains("server.public_url = https://pay.example.kz"), "{shown}");
    for secret in ["db-password", "the-secret", "the-one-before", ENCRYPTION_KEY, "QUJDREVG"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    // A secret under a misspelt name is one all the same.
    let mut command = program(folder.path(), &["check-config"]);
    set(&mut command, "cloudpayments.api_secrt", "the-secret");
    let output = command.output().unwrap();
    let shown = out(&output) + &err(&output);
    assert!(!output.status.success() && shown.contains("api_secrt") && !shown.contains("the-secret"), "{shown}");
}

/// Everything that a command says.
fn said(mut command: std::process::Command) -> (bool, String) {
    let output = command.output().unwrap();
    (output.status.success(), out(&output) + &err(&output))
}

#[tokio::test]
async fn a_broken_file_is_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    for (number, text) in [
        "[cloudpayments]\napi_secret = hunter-2-hunter\n",
        "[cloudpayments]\napi_secret = \"hunter-2-hunter\n",
        "[database]\nhunter-2-hunter = 1\nhunter-2-hunter = 2\n",
        "[database]\nurl = \"postgres://u:hunter-2-hunter@127.0.0.1/x\" x\n",
        "database = \"postgres://u:hunter-2-hunter@127.0.0.1/x\"\n",
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(folder.path().join("settings.toml"), text).unwrap();
        for arguments in [&["check-config"][..], &["serve"], &["migrate"], &["keys", "list"]] {
            let command = program(folder.path(), &[arguments, &["--config", "settings.toml"]].concat());
            let (worked, said) = said(command);
            assert!(!worked && !said.contains("hunter"), "{text} {arguments:?}: {said}");
            assert!(number > 3 || (said.contains("settings.toml: line ") && said.contains("not TOML")), "{said}");
        }
    }
    std::fs::write(folder.path().join("settings.toml"), b"[database]\nurl = \"hunter-2-hunter\xff\"\n").unwrap();
    for file in ["settings.toml", "missing.toml"] {
        let (worked, said) = said(program(folder.path(), &["check-config", "--config", file]));
        assert!(!worked && said.contains(file) && !said.contains("hunter"), "{said}");
    }
}

#[tokio::test]
async fn pieces_of_a_database_address_are_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::create(Engine::Postgres);
    let (server, _) = database.url.rsplit_once('/').unwrap();
    let closed = format!("127.0.0.1:{}", kmic_payments::startup::free_port().unwrap());
    for (url, told) in [
        // Letters of a password that divide an address: libpq takes what stands around them for host or port.
        ("postgres://payments:pass@hunter-2@127.0.0.1/x".to_owned(), "%40"),
        ("postgres://payments:hunter-2/word@127.0.0.1/x".to_owned(), "%2F"),
        ("postgres://payments:word@127.0.0.1/x?hunter-2=1".to_owned(), "parameters"),
        ("postgres://payments:word%hunter-2@127.0.0.1/x".to_owned(), "%40"),
        (format!("postgres://hunter-2:hunter-2@{closed}/x"), "nothing listens"),
        (format!("{server}/hunter-2"), "no such database"),
        ("mysql://root:hunter-2@127.0.0.1/x".to_owned(), "must begin with"),
        ("host=127.0.0.1 password=hunter-2".to_owned(), "must begin with"),
    ] {
        for arguments in [&["migrate"][..], &["keys", "list"], &["serve"], &["audit", "verify"]] {
            let mut command = program(folder.path(), arguments);
            for (key, value) in [
                ("database.url", url.as_str()),
                ("server.public_url", "https://pay.example.kz"),
                ("cloudpayments.public_id", "pk_1"),
                ("cloudpayments.api_secret", "x"),
                ("privacy.encryption_key", ENCRYPTION_KEY),
            ] {
                set(&mut command, key, value);
            }
            let (worked, said) = said(command);
            assert!(!worked && !said.contains("hunter"), "{url} {arguments:?}: {said}");
            assert!(said.contains("database.url: ") && said.contains(told), "{url} {arguments:?}: {said}");
        }
    }
}

#[tokio::test]
async fn users_in_addresses_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("server.public_url", "https://user:hunter-2@pay.example.kz"),
        ("server.bind", "user:hunter-2@127.0.0.1:8080"),
        ("server.trusted_proxies", "http://user:hunter-2@10.0.0.1"),
        ("server.cors_origins", "https://user:hunter-2@desk.example.kz"),
        ("cloudpayments.base_url", "https://user:hunter-2@api.example.kz"),
        ("cloudpayments.widget_script_url", "https://user:hunter-2@api.example.kz/x.js"),
        ("cloudpayments.notification_networks", "user:hunter-2@10.0.0.1"),
    ];
    for arguments in ["check-config", "serve"] {
        let mut command = program(folder.path(), &[arguments]);
        settings.iter().for_each(|(key, value)| set(&mut command, key, value));
        let (worked, said) = said(command);
        assert!(!worked && !said.contains("hunter"), "{said}");
        assert!(arguments == "serve" || said.contains("server.public_url = https://***@pay.example.kz"), "{said}");
        for key in ["server.public_url: must", "server.trusted_proxies: entry 1", "cloudpayments.base_url: must"] {
            assert!(said.contains(key), "{key} in {said}");
        }
    }
}

#[test]
fn migrating_twice_does_nothing_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    assert!(expect_success(&run(&folder, &["migrate"])).contains("applied "));
    assert!(expect_success(&run(&folder, &["migrate"])).contains("nothing to do"));
    assert!(folder.path().join("test.sqlite3").exists());
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let create = ["keys", "create", "--name", "site", "--scopes", "payments:read,refunds:write", "--format", "json"];
    let made: Value = serde_json::from_str(&expect_success(&run(&folder, &create))).unwrap();
    let mut fields: Vec<&str> = made.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["expires_at", "id", "name", "scopes", "secret"]);
    assert_eq!((&made["name"], &made["expires_at"]), (&Value::from("site"), &Value::Null));
    assert_eq!(made["scopes"], serde_json::json!(["payments:read", "refunds:write"]));
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());

    let limited = ["keys", "create", "--name", "short", "--scopes", "payments:read", "--expires-in", "12h"];
    assert!(!expect_success(&run(&folder, &limited)).contains("never"));
    let listed = expect_success(&run(&folder, &["keys", "list"]));
    assert!(listed.contains(id) && listed.contains("short") && !listed.contains(secret), "{listed}");
    let listed = expect_success(&run(&folder, &["keys", "list", "--format", "json"]));
    assert!(!listed.contains("secret"), "{listed}");
    let stored = std::fs::read(folder.path().join("test.sqlite3")).unwrap();
    assert!(!stored.windows(secret.len()).any(|part| part == secret.as_bytes()), "the secret is in the database");

    expect_success(&run(&folder, &["keys", "revoke", id]));
    expect_failure(&run(&folder, &["keys", "revoke", id]));
    let listed: Value =
        serde_json::from_str(&expect_success(&run(&folder, &["keys", "list", "--format", "json"]))).unwrap();
    let revoked = listed.as_array().unwrap().iter().find(|key| key["id"] == id).unwrap();
    assert!(revoked["revoked_at"].is_string());

    let unknown =
        expect_failure(&run(&folder, &["keys", "create", "--name", "x", "--scopes", "payments:read,payments:all"]));
    assert!(unknown.contains("payments:all") && unknown.contains("payments:write"), "{unknown}");
    expect_failure(&run(&folder, &["keys", "revoke", "pay_1"]));
}

#[test]
fn demo_goes_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = expect_success(&program(folder.path(), &["demo"]).output().unwrap());
    assert!(told.contains("All went as told."), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

pub(crate) async fn sandbox() -> Sandbox {
    let config = SandboxConfig { bind: "127.0.0.1:0".to_owned(), workers: 1, ..SandboxConfig::default() };
    Sandbox::start(config).await.unwrap()
}

/// Waits until the provider has the money; before that it may still ask us by Check.
async fn charged(sandbox: &Sandbox) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while sandbox.ledger().totals.captured_minor == 0 {
        assert!(Instant::now() < deadline, "no charge arrives");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_requests_finish() {
    let (folder, sandbox) = (tempfile::tempdir().unwrap(), sandbox().await);
    let mut service = Service::start(folder.path(), DATABASE, &sandbox, &new_key(folder.path(), DATABASE)).await;
    sandbox.fault(Fault::api("/payments/cards/charge", ApiFaultKind::Delay { ms: 1500 }));
    let in_flight =
        tokio::spawn(Reply::receive(service.posting("/v1/payments", THE_ONLY_KEY, &card("KM-1", APPROVED))));
    charged(&sandbox).await;
    service.signal("-TERM");
    sleep(Duration::from_millis(300)).await;
    assert!(service.child.try_wait().unwrap().is_none(), "it ends before its request does");
    let reply = in_flight.await.unwrap().expect(201);
    assert_eq!(reply.text("/status"), "paid");
    assert_eq!(service.exit_code().await, Some(0));
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_charge_is_settled_after_the_restart() {
    let (folder, sandbox) = (tempfile::tempdir().unwrap(), sandbox().await);
    let key = new_key(folder.path(), DATABASE);
    let mut service = Service::start(folder.path(), DATABASE, &sandbox, &key).await;
    sandbox.fault(Fault::api("/payments/cards/charge", ApiFaultKind::Delay { ms: 5000 }));
    sandbox.fault(Fault::notification(NotificationKind::Pay, NotificationFaultKind::Lose));
    let body = card("KM-1", APPROVED);
    let cut_off = tokio::spawn(service.posting("/v1/payments", THE_ONLY_KEY, &body).send());
    charged(&sandbox).await;
    service.signal("-KILL");
    assert_eq!(service.exit_code().await, None);
    assert!(cut_off.await.unwrap().is_err());

    // Long enough to see the payment while nobody knows.
    for path in ["/payments/find", "/v2/payments/list"] {
        sandbox.fault(Fault::api(path, ApiFaultKind::Delay { ms: 2000 }));
    }
    let service = Service::start(folder.path(), DATABASE, &sandbox, &key).await;
    let seen = async || service.get("/v1/payments?invoice_id=KM-1").await.expect(200);
    let first = seen().await;
    assert_eq!(first.text("/data/0/status"), "processing");
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut undetermined = false;
    while seen().await.text("/data/0/status") != "paid" {
        assert!(Instant::now() < deadline, "nobody settles it: {}", seen().await.json);
        undetermined |= seen().await.text("/data/0/outcome/certainty") == "undetermined";
        sleep(Duration::from_millis(50)).await;
    }
    assert!(undetermined, "it was never shown as undetermined");
    assert_eq!(seen().await.text("/data/0/outcome/certainty"), "proven");

    let replay = Reply::receive(service.posting("/v1/payments", THE_ONLY_KEY, &body)).await.expect(201);
    assert_eq!(replay.text("/status"), "paid");
    assert_eq!(replay.id(), first.text("/data/0/id"));
    assert_eq!(replay.header("idempotent-replayed"), "true");
    assert_eq!(sandbox.ledger().transactions.len(), 1, "one charge");
    assert_eq!(sandbox.ledger().totals.captured_minor, 1_250_000);
    drop(service);
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_the_same_file_refuses_to_start() {
    let (folder, sandbox) = (tempfile::tempdir().unwrap(), sandbox().await);
    let service = Service::start(folder.path(), DATABASE, &sandbox, &new_key(folder.path(), DATABASE)).await;
    let (mut second, _) = serve(folder.path(), DATABASE, &sandbox);
    let output = tokio::task::block_in_place(|| second.output().unwrap());
    assert!(expect_failure(&output).contains("another process serves"), "{}", err(&output));
    assert!(service.is_ready().await);
    drop(service);
    // Once the first is gone the file is free.
    let mut again = Service::start(folder.path(), DATABASE, &sandbox, "").await;
    again.signal("-TERM");
    assert_eq!(again.exit_code().await, Some(0));
    sandbox.stop().await;
}

//! The database moves to a PostgreSQL server that counts its transactions from the beginning, and the site reads on.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use cloudpayments_sandbox::{Sandbox, SandboxConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::{
    APPROVED, Engine, PostgresServer, Reply, Service, Sql, TestApp, card, money, program, serve, set,
};

const DATABASE: &str = "moved";
const LIMIT: Duration = Duration::from_secs(60);

/// `kind of whom` and the id of each event after one, or from the beginning; a page is two events.
async fn feed(service: &Service, after: Option<&str>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    loop {
        let after = all.last().map(|(_, id)| id.as_str()).or(after);
        let cursor = after.map(|id| format!("&after={id}")).unwrap_or_default();
        let page = service.get(&format!("/v1/events?limit=2{cursor}")).await.expect(200);
        let rows = page.json["data"].as_array().unwrap();
        if rows.is_empty() {
            return all;
        }
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
        all.extend(
            rows.iter().map(|row| (format!("{} of {}", text(row, "type"), text(row, "payment_id")), text(row, "id"))),
        );
    }
}

/// The same, once there are so many: an event waits for older transactions, whatever they do.
async fn feed_of(service: &Service, after: Option<&str>, count: usize) -> Vec<(String, String)> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let told = feed(service, after).await;
        if told.len() >= count || Instant::now() > deadline {
            assert_eq!(told.len(), count, "{told:?}");
            return told;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn names(told: &[(String, String)]) -> Vec<&str> {
    told.iter().map(|(name, _)| name.as_str()).collect()
}

struct Site {
    sandbox: Sandbox,
    key: String,
    folder: TempDir,
}

impl Site {
    async fn start(url: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let config = SandboxConfig { bind: "127.0.0.1:0".to_owned(), workers: 1, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        let scopes = "payments:read,payments:write,refunds:write,ops:write";
        let create = ["keys", "create", "--name", "t", "--scopes", scopes, "--format", "json"];
        let made: Value = serde_json::from_str(&Site::run(&folder, url, &create)).unwrap();
        Site { sandbox, key: made["secret"].as_str().unwrap().to_owned(), folder }
    }

    fn run(folder: &TempDir, url: &str, arguments: &[&str]) -> String {
        let mut command = program(folder.path(), arguments);
        set(&mut command, "database.url", url);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn serve(&self, url: &str) -> Service {
        let service = Service::start(self.folder.path(), url, &self.sandbox, &self.key).await;
        let deadline = Instant::now() + LIMIT;
        while service.get("/health/ready").await.text("/register_gap") != "read" {
            assert!(Instant::now() < deadline, "the register is not read");
            sleep(Duration::from_millis(20)).await;
        }
        service
    }

    async fn pay(&self, service: &Service, invoice: &str) -> String {
        let request = service.posting("/v1/payments", invoice, &card(invoice, APPROVED));
        let payment = Reply::receive(request).await.expect(201);
        assert_eq!(payment.text("/status"), "paid", "{}", payment.json);
        self.sandbox.flush_notifications().await;
        payment.id().to_owned()
    }

    async fn give_back(&self, service: &Service, payment: &str) {
        let path = format!("/v1/payments/{payment}/refunds");
        let request = service.posting(&path, payment, &json!({ "amount": money("5.00") }));
        Reply::receive(request).await.expect(201);
        self.sandbox.flush_notifications().await;
    }
}

async fn red_laws(service: &Service) -> Vec<String> {
    let reply = service.get("/v1/invariants").await.expect(200);
    let laws = reply.json["data"].as_array().unwrap();
    laws.iter().filter(|law| law["status"] != "green").map(|law| law["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_move_by_dump_the_site_reads_on() {
    let mut server = PostgresServer::start().unwrap();
    server.create_database(DATABASE, None).unwrap();
    let site = Site::start(&server.url(DATABASE)).await;
    // A server that has been used for a while.
    Sql::open(&server.url(DATABASE))
        .run_all("DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$");
    let mut service = site.serve(&server.url(DATABASE)).await;
    let mut expected = vec!["api_key.created of -".to_owned()];
    for round in 1..=2 {
        let read = site.pay(&service, &format!("READ-{round}")).await;
        expected.push(format!("payment.paid of {read}"));
        let told = feed_of(&service, None, expected.len()).await;
        let (_, seen) = told.last().unwrap().clone();
        let unread = site.pay(&service, &format!("UNREAD-{round}")).await;
        expected.push(format!("payment.paid of {unread}"));
        service.kill();

        let other = PostgresServer::start().unwrap();
        server.move_by_dump(DATABASE, &other).unwrap();
        server = other;
        let url = server.url(DATABASE);
        // A copy that nothing serves yet holds.
        Site::run(&site.folder, &url, &["audit", "verify"]);
        // Two processes at once.
        let (one, another) = tokio::join!(site.serve(&url), site.serve(&url));
        assert_eq!(Sql::open(&url).number("SELECT count(*) AS value FROM feed_moves"), round);
        for process in [&one, &another] {
            assert_eq!(names(&feed_of(process, Some(&seen), 1).await), expected[expected.len() - 1..]);
            assert_eq!(names(&feed_of(process, None, expected.len()).await), expected);
        }
        site.give_back(&another, &unread).await;
        site.give_back(&one, &read).await;
        expected.extend([&unread, &read].map(|payment| format!("refund.succeeded of {payment}")));
        assert_eq!(names(&feed_of(&one, Some(&seen), 3).await), expected[expected.len() - 3..]);
        assert_eq!(names(&feed_of(&another, None, expected.len()).await), expected);
        assert_eq!(red_laws(&one).await, Vec::<String>::new());
        service = one;
        drop(another);
        site.sandbox.set_notify_url(&format!("{}/v1/notifications/cloudpayments", service.url));
    }
    Site::run(&site.folder, &server.url(DATABASE), &["audit", "verify"]);
}

const FAR: i64 = 1_000_000_000;

/// A service with a payment whose events stand where a server that counted further has put them.
async fn moved() -> (TestApp, Sql) {
    let app = TestApp::start_with(Engine::Postgres, |raw| raw.with("database.writers", "1")).await;
    app.create(card("KM-1", APPROVED)).await.expect(201);
    let mut sql = Sql::open(&app.database.url);
    sql.drop_trigger("events_no_update");
    sql.run(&format!("UPDATE events SET epoch = epoch + {FAR}")).unwrap();
    (app, sql)
}

async fn kinds(app: &TestApp) -> Vec<String> {
    let reply = app.get("/v1/events?limit=100").await.expect(200);
    reply.json["data"].as_array().unwrap().iter().map(|row| row["type"].as_str().unwrap().to_owned()).collect()
}

/// Until another connection waits for the table of moves.
async fn until_waited_for(sql: &mut Sql) {
    let waiting = "SELECT count(*) AS value FROM pg_locks WHERE NOT granted AND relation = 'feed_moves'::regclass";
    let deadline = Instant::now() + LIMIT;
    while sql.number(waiting) == 0 {
        assert!(Instant::now() < deadline, "nobody waits");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_from_before_writes_behind_the_move() {
    let (app, mut sql) = moved().await;
    assert_eq!(kinds(&app).await, Vec::<String>::new());
    let laws = app.get("/v1/invariants").await.expect(200);
    let red: Vec<_> = laws.json["data"].as_array().unwrap().iter().filter(|law| law["status"] == "red").collect();
    assert_eq!((red.len(), &red[0]["name"]), (1, &json!("event_is_in_the_feed")), "{}", laws.json);

    let folder = tempfile::tempdir().unwrap();
    let other = Service::start(folder.path(), &app.database.url, &app.sandbox, &app.key).await;
    assert_eq!(kinds(&app).await, ["payment.paid"]);
    let (_, seen) = feed_of(&other, None, 1).await[0].clone();
    let later = app.create(card("KM-2", APPROVED)).await.expect(201);
    assert_eq!(names(&feed_of(&other, Some(&seen), 1).await), [format!("payment.paid of {}", later.id())]);
    assert_eq!(sql.number("SELECT count(*) AS value FROM feed_moves"), 1);
    drop(other);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_waits_for_the_move_stands_behind_it() {
    let (app, mut sql) = moved().await;
    let mut mover = Sql::open(&app.database.url);
    mover.run_all("BEGIN; LOCK TABLE feed_moves IN ACCESS EXCLUSIVE MODE");
    let request = app.request(reqwest::Method::POST, "/v1/payments").header("Idempotency-Key", "later");
    let request = request.header("Content-Type", "application/json").body(card("KM-2", APPROVED).to_string());
    let paying = tokio::spawn(Reply::receive(request));
    until_waited_for(&mut sql).await;
    mover.run_all("INSERT INTO feed_moves (bias, at) SELECT max(epoch), now() FROM events; COMMIT");
    let later = paying.await.unwrap().expect(201);
    let place = format!("SELECT min(epoch) AS value FROM events WHERE payment_id = '{}'", later.id());
    assert!(sql.number(&place) > FAR);
    assert_eq!(kinds(&app).await, ["payment.paid", "payment.paid"]);
    app.stop().await;
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_waits_for_whoever_writes_an_event() {
    let (app, mut sql) = moved().await;
    let mut writer = Sql::open(&app.database.url);
    writer.run_all("BEGIN; SELECT max(bias) FROM feed_moves");
    let folder = tempfile::tempdir().unwrap();
    let (mut command, url) = serve(folder.path(), &app.database.url, &app.sandbox);
    let mut process = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until_waited_for(&mut sql).await;
    assert!(app.http.get(format!("{url}/health/live")).send().await.is_err(), "it serves already");
    writer.run_all(
        "INSERT INTO events (id, epoch, position, kind, at, subject_id, actor) VALUES \
         ('evt_late', txid_current(), nextval('events_position'), 'api_key.revoked', '2030-01-01 00:00:00', 'key_x', 'cli'); COMMIT",
    );
    let deadline = Instant::now() + LIMIT;
    while app.http.get(format!("{url}/health/live")).send().await.is_err() {
        assert!(Instant::now() < deadline && process.0.try_wait().unwrap().is_none(), "it does not serve");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(kinds(&app).await, ["api_key.revoked", "payment.paid"]);
    drop(process);
    app.stop().await;
}

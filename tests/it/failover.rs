//! PostgreSQL fails over under a running process: it uses no other server than its own, ends, and is started again.

use std::time::{Duration, Instant};

use cloudpayments_sandbox::{Sandbox, SandboxConfig, TransactionType};
use kmic_payments::error::Error;
use kmic_payments::store::{Target, migrate};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::{APPROVED, Body, Options, PostgresServer, Reply, Service, Sql, card, new_key, program, set};

const DATABASE: &str = "failover";
const LIMIT: Duration = Duration::from_secs(60);

/// A server that can fail over. Only its processes die here, so nothing has to wait for the disk.
fn server() -> PostgresServer {
    let server = PostgresServer::start_with(Options { fsync: true }).unwrap();
    let mut owner = Sql::open(&server.url("postgres"));
    owner.run("ALTER SYSTEM SET fsync = off").unwrap();
    owner.run("SELECT pg_reload_conf()").unwrap();
    server
}

/// The real program with a database server and a provider of its own.
struct Site {
    service: Service,
    sandbox: Sandbox,
    server: PostgresServer,
    key: String,
    folder: TempDir,
}

impl Site {
    async fn start() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let server = server();
        server.create_database(DATABASE, None).unwrap();
        let url = server.url(DATABASE);
        let mut migrate = program(folder.path(), &["migrate"]);
        set(&mut migrate, "database.url", &url);
        assert!(migrate.output().unwrap().status.success());
        let config = SandboxConfig { bind: "127.0.0.1:0".to_owned(), workers: 1, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        let key = new_key(folder.path(), &url);
        let service = Service::start(folder.path(), &url, &sandbox, &key).await;
        let site = Site { service, sandbox, server, key, folder };
        site.until_gap_is("read").await;
        site
    }

    /// What a supervisor does.
    async fn start_again(&mut self) {
        let url = self.server.url(DATABASE);
        self.service = Service::start(self.folder.path(), &url, &self.sandbox, &self.key).await;
    }

    async fn until_gap_is(&self, state: &str) {
        let deadline = Instant::now() + LIMIT;
        while self.service.get("/health/ready").await.text("/register_gap") != state {
            assert!(Instant::now() < deadline, "the gap is not {state}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn pay(&self, body: &Body) -> Reply {
        let reply = Reply::receive(self.paying(body)).await;
        self.sandbox.flush_notifications().await;
        reply
    }

    /// Each body under a key of its own, the same for its repeats.
    fn paying(&self, body: &Body) -> reqwest::RequestBuilder {
        self.service.posting("/v1/payments", &format!("{}-key", body["invoice_id"].as_str().unwrap()), body)
    }

    /// Asks for the payment until the process is gone, and sees that each time it is refused.
    async fn pay_until_ended(&mut self, body: &Body) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        while self.service.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the process goes on");
            if let Ok(reply) = self.paying(body).send().await {
                assert_eq!(reply.status(), 503, "{:?}", reply.text().await);
            }
        }
        self.service.exit_code().await
    }

    fn charges(&self) -> usize {
        self.sandbox.ledger().transactions.iter().filter(|entry| entry.kind == TransactionType::Payment).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_server_is_survived_and_a_promotion_ends_every_process() {
    let mut site = Site::start().await;
    let [first, second, third] = ["KM-1", "KM-2", "KM-3"].map(|invoice| card(invoice, APPROVED));
    site.pay(&first).await.expect(201);
    site.server.restart().unwrap();
    site.pay(&second).await.expect(201);

    let url = site.server.url(DATABASE);
    let mut another = Service::start(site.folder.path(), &url, &site.sandbox, &site.key).await;
    site.server.fail_over().unwrap();
    // Nobody asks for anything: the workers notice.
    assert_eq!(site.service.exit_code().await, Some(1));
    assert_eq!(another.exit_code().await, Some(1), "each process of the database ends");
    site.start_again().await;
    site.until_gap_is("read").await;
    site.pay(&second).await.expect(201);
    assert_eq!(site.charges(), 2, "a repeat");
    site.pay(&third).await.expect(201);
    assert_eq!(site.charges(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_lacks_a_payment_does_not_charge_it_again() {
    let mut site = Site::start().await;
    let [kept, lost] = ["KM-1", "KM-2"].map(|invoice| card(invoice, APPROVED));
    site.pay(&kept).await.expect(201);
    site.server.keep_standby().unwrap();
    let paid = site.pay(&lost).await.expect(201);

    site.server.fail_over().unwrap();
    assert_eq!(site.pay_until_ended(&lost).await, Some(1));
    assert_eq!(site.charges(), 2);
    site.start_again().await;
    site.until_gap_is("behind").await;
    site.service.get(&format!("/v1/payments/{}", paid.id())).await.expect_problem(404, "not_found");
    site.pay(&lost).await.expect_problem(503, "register_gap_unread");
    assert_eq!(site.charges(), 2);
}

#[test]
fn a_server_that_may_not_be_asked_is_told_apart_from_another_one() {
    let server = server();
    let url = server.url("postgres");
    let mut owner = Sql::open(&url);
    let of_the_log = "pg_walfile_name(pg_lsn), pg_current_wal_lsn()";
    for statement in [
        "CREATE ROLE partly LOGIN",
        "CREATE ROLE nobody LOGIN",
        &format!("REVOKE EXECUTE ON FUNCTION pg_control_system(), {of_the_log} FROM PUBLIC"),
        &format!("GRANT EXECUTE ON FUNCTION {of_the_log} TO partly"),
    ] {
        owner.run(statement).unwrap();
    }
    drop(owner);
    let as_role = |role: &str| Target::parse(&url.replace("kmic@", &format!("{role}@"))).unwrap();
    let (all, partly, nobody) = (as_role("kmic"), as_role("partly"), as_role("nobody"));
    let expect = |target: &Target, usable: bool| match migrate::is_current(&target.clone()) {
        Ok(_) => assert!(usable, "another server is used"),
        Err(Error::DatabaseUnavailable(internal)) => assert!(!usable && internal.contains("replaced"), "{internal}"),
        Err(error) => panic!("{error:?}"),
    };
    for target in [&all, &partly, &nobody] {
        expect(target, true);
    }
    server.restart().unwrap();
    for target in [&all, &partly, &nobody] {
        expect(target, true);
    }
    server.fail_over().unwrap();
    for _ in 0..2 {
        expect(&all, false);
        expect(&partly, false);
        expect(&nobody, true);
    }
    // Another process begins with the server as it is now.
    expect(&as_role("kmic"), true);
}

//! A process that is killed while a call is under way.
//!
//! On the embedded database only: nobody else can be working on what its process left behind. On PostgreSQL another process
//! may, so there the calls wait for their deadline.

use std::time::{Duration, Instant};

use cloudpayments_sandbox::{ApiFaultKind, Fault, Sandbox, SandboxConfig};
use tokio::time::sleep;

use crate::support::{APPROVED, Engine, Reply, Service, Sql, card, new_key};

/// Longer than a busy machine needs, shorter than the deadline of a call.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_left_is_taken_up_at_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut sql) = Sql::fresh(Engine::Sqlite);
    let config = SandboxConfig { bind: "127.0.0.1:0".to_owned(), workers: 1, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    sandbox.fault(Fault::api("/payments/cards/charge", ApiFaultKind::Hang { ms: 5_000 }));
    let key = new_key(folder.path(), &database.url);
    let body = card("X-1", APPROVED);

    let killed = Service::start(folder.path(), &database.url, &sandbox, &key).await;
    let cut_off = tokio::spawn(killed.posting("/v1/payments", "charge", &body).send());
    let deadline = Instant::now() + SOON;
    while sql.number("SELECT count(*) AS value FROM operations") == 0 {
        assert!(Instant::now() < deadline, "no call begins");
        sleep(Duration::from_millis(5)).await;
    }
    drop(killed);
    assert!(cut_off.await.unwrap().is_err());
    assert_eq!(sql.texts("SELECT state AS value FROM operations"), ["started"]);

    let service = Service::start(folder.path(), &database.url, &sandbox, &key).await;
    let repeat = Reply::receive(service.posting("/v1/payments", "charge", &body)).await.expect(202);
    assert_eq!(repeat.header("idempotent-replayed"), "true", "the live payment, not \"in progress\"");
    let path = format!("/v1/payments/{}", repeat.id());
    let deadline = Instant::now() + SOON;
    while service.get(&path).await.expect(200).text("/outcome/certainty") != "undetermined" {
        assert!(Instant::now() < deadline, "nobody asks about the call");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sql.number("SELECT count(*) AS value FROM payments"), 1);
    assert!(sandbox.ledger().transactions.is_empty(), "nothing is sent again");
}

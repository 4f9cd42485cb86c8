//! The store: writes that share a commit and still fail alone, a bounded queue, readers that only read, a lost database.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use kmic_payments::app::create_api_key;
use kmic_payments::clock::{Clock, SystemClock, SystemIds};
use kmic_payments::domain::scope::Scope;
use kmic_payments::error::{Conflict, Error, Result};
use kmic_payments::store::{Lane, Store, StoreSettings, Target, api_keys};
use kmic_payments::vault::Vault;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::{
    Engine, Options, PostgresServer, Sql, TestApp, TestDatabase, fail_commits_of, let_commits_be, widget,
};

crate::on_both!(
    waiting_writes_share_a_commit,
    a_write_that_fails_fails_alone,
    a_commit_that_fails_fails_all_of_its_writes,
    a_full_queue_is_unavailable,
    what_is_not_the_databases_fault_runs_once,
    reads_cannot_write,
    a_panic_is_survived,
    writes_of_a_lane_stay_in_order,
);

const LANE: &str = "the lane of this test";

fn store(database: &TestDatabase, queue_limit: usize) -> Store {
    let target = Target::parse(&database.url).unwrap();
    let settings = StoreSettings { target, readers: 2, writers: 2, batch_limit: 64, queue_limit };
    Store::start(&settings, &Arc::new(Vault::new(&[1; 32], &[]))).unwrap()
}

fn key(name: &str) -> api_keys::ApiKey {
    create_api_key(name, Scope::ALL.to_vec(), SystemClock.now(), None, &SystemIds).key
}

async fn names(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = store.read(api_keys::list).await.unwrap().into_iter().map(|key| key.name).collect();
    names.sort();
    names
}

/// Holds the writer until the sender is used: what is written meanwhile waits together.
async fn hold(store: &Store) -> (Sender<()>, JoinHandle<Result<()>>) {
    let (release, released) = channel::<()>();
    let (tell, told) = channel();
    let store = store.clone();
    let held = tokio::spawn(async move {
        let wait = move |_: &mut kmic_payments::store::Tx<'_>| {
            tell.send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        };
        store.write(Lane::of(LANE), wait).await
    });
    while told.try_recv().is_err() {
        sleep(Duration::from_millis(2)).await;
    }
    (release, held)
}

type Waiting = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Puts a write into the queue and returns without its result.
async fn queued(write: impl Future<Output = Result<()>> + Send + 'static) -> Waiting {
    let mut write: Waiting = Box::pin(write);
    let mut early = None;
    poll_fn(|context| {
        if let Poll::Ready(result) = write.as_mut().poll(context) {
            early = Some(result);
        }
        Poll::Ready(())
    })
    .await;
    match early {
        Some(result) => Box::pin(std::future::ready(result)),
        None => write,
    }
}

async fn waiting_writes_share_a_commit(engine: Engine) {
    let (database, _sql) = Sql::fresh(engine);
    let store = store(&database, 100);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (release, held) = hold(&store).await;
    let writes: Vec<_> = (0..20)
        .map(|number| {
            let (store, seen, key) = (store.clone(), Arc::clone(&seen), key(&format!("{number:02}")));
            tokio::spawn(async move {
                let inner = Arc::clone(&seen);
                let work = move |tx: &mut kmic_payments::store::Tx<'_>| {
                    std::thread::sleep(Duration::from_millis(5));
                    inner.lock().unwrap().push("written");
                    api_keys::insert(tx, &key)
                };
                store.write(Lane::of(LANE), work).await.unwrap();
                seen.lock().unwrap().push("answered");
            })
        })
        .collect();
    sleep(Duration::from_millis(300)).await;
    let commits = commits(&database);
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    for write in writes {
        write.await.unwrap();
    }
    // No write is answered before the commit, and all are written before it.
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, [["written"; 20], ["answered"; 20]].concat());
    assert_eq!(names(&store).await.len(), 20);
    if let (Some(before), Some(after)) = (commits, self::commits(&database)) {
        assert_eq!(after - before, 1, "twenty writes, one commit");
    }
}

/// How many commits the log of SQLite holds: frames that end one name the size of the database.
fn commits(database: &TestDatabase) -> Option<usize> {
    let log = std::fs::read(format!("{}-wal", database.url.strip_prefix("sqlite://")?)).ok()?;
    if log.is_empty() {
        return Some(0);
    }
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = 24 + usize::try_from(number(8)).unwrap();
    let salt = &log[16..24];
    let starts = (32..).step_by(frame).take_while(|start| start + frame <= log.len());
    Some(starts.filter(|start| &log[start + 8..start + 16] == salt && number(start + 4) > 0).count())
}

async fn a_write_that_fails_fails_alone(engine: Engine) {
    let (database, _sql) = Sql::fresh(engine);
    let store = store(&database, 100);
    let taken = key("taken");
    let first = taken.clone();
    store.write(Lane::of(LANE), move |tx| api_keys::insert(tx, &first)).await.unwrap();
    let (release, held) = hold(&store).await;
    let mut writes = Vec::new();
    for number in 0..30 {
        let (store, key, taken) = (store.clone(), key(&format!("{number:02}")), taken.clone());
        let work = move |tx: &mut kmic_payments::store::Tx<'_>| {
            api_keys::insert(tx, &key)?;
            match number {
                7 => Err(Error::conflict(Conflict::InvalidState, "no")),
                // Refused by the database itself.
                12 => api_keys::insert(tx, &taken),
                20 => Err(Error::NotFound("thing")),
                _ => Ok(()),
            }
        };
        writes.push(queued(async move { store.write(Lane::of(LANE), work).await }).await);
    }
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    for (number, write) in writes.into_iter().enumerate() {
        let result = write.await;
        let expected = match number {
            7 => matches!(result, Err(Error::Conflict { why: Conflict::InvalidState, .. })),
            // Tried once more first: another process might have been faster with the same value.
            12 => matches!(result, Err(Error::DatabaseUnavailable(_))),
            20 => matches!(result, Err(Error::NotFound("thing"))),
            _ => result.is_ok(),
        };
        assert!(expected, "{number}: {result:?}");
    }
    let left: Vec<String> =
        (0..30).filter(|number| ![7, 12, 20].contains(number)).map(|number| format!("{number:02}")).collect();
    assert_eq!(names(&store).await, [left, vec!["taken".to_owned()]].concat());
}

/// Every statement goes well; the database refuses at the commit.
async fn a_commit_that_fails_fails_all_of_its_writes(engine: Engine) {
    let (database, mut sql) = Sql::fresh(engine);
    fail_commits_of(engine, &mut sql, "api_keys");
    let store = store(&database, 100);
    let write = |name: &str| {
        let (store, key) = (store.clone(), key(name));
        async move { store.write(Lane::of(LANE), move |tx| api_keys::insert(tx, &key)).await }
    };
    assert!(write("alone").await.is_err());
    let (release, held) = hold(&store).await;
    let mut together = Vec::new();
    for number in 0..5 {
        together.push(queued(write(&format!("{number}"))).await);
    }
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    for write in together {
        assert!(write.await.is_err());
    }
    assert_eq!(names(&store).await, Vec::<String>::new());
    let_commits_be(&mut sql);
    write("wanted").await.unwrap();
    assert_eq!(names(&store).await, ["wanted"]);
}

async fn a_full_queue_is_unavailable(engine: Engine) {
    let (database, _sql) = Sql::fresh(engine);
    let store = store(&database, 3);
    let (release, held) = hold(&store).await;
    let mut writes = Vec::new();
    for number in 0..10 {
        let (store, key) = (store.clone(), key(&format!("{number}")));
        let write = async move { store.write(Lane::of(LANE), move |tx| api_keys::insert(tx, &key)).await };
        writes.push(queued(write).await);
    }
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    let mut done = 0;
    for write in writes {
        match write.await {
            Ok(()) => done += 1,
            Err(Error::Unavailable { retry_after_s, .. }) => assert!(retry_after_s > 0),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(done, 3, "as many as may wait");
    assert_eq!(names(&store).await.len(), 3, "what was refused left nothing");
}

/// Only the database is asked twice: what else has nobody's time refuses at once, and the connection is none the worse.
async fn what_is_not_the_databases_fault_runs_once(engine: Engine) {
    let (database, _sql) = Sql::fresh(engine);
    let store = store(&database, 100);
    for passing in [false, true] {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let work = move |_: &mut kmic_payments::store::Tx<'_>| -> Result<()> {
            counted.fetch_add(1, Ordering::Relaxed);
            Err(if passing {
                Error::database_unavailable("deadlock detected")
            } else {
                Error::Unavailable { detail: "later".to_owned(), internal: String::new(), retry_after_s: 1 }
            })
        };
        assert!(store.write(Lane::of(LANE), work).await.is_err());
        assert_eq!(runs.load(Ordering::Relaxed), if passing { 2 } else { 1 });
    }
}

async fn reads_cannot_write(engine: Engine) {
    let (database, _sql) = Sql::fresh(engine);
    let store = store(&database, 100);
    for _ in 0..4 {
        let key = key("sly");
        assert!(store.read(move |tx| api_keys::insert(tx, &key)).await.is_err());
    }
    assert_eq!(names(&store).await, Vec::<String>::new());
    let key = key("open");
    store.write(Lane::of(LANE), move |tx| api_keys::insert(tx, &key)).await.unwrap();
    assert_eq!(names(&store).await, ["open"]);
}

async fn a_panic_is_survived(engine: Engine) {
    let (database, _sql) = Sql::fresh(engine);
    let store = store(&database, 100);
    let lost = key("lost");
    let work = move |tx: &mut kmic_payments::store::Tx<'_>| -> Result<()> {
        api_keys::insert(tx, &lost)?;
        panic!("on purpose");
    };
    let result = store.write(Lane::of(LANE), work).await;
    assert!(matches!(result, Err(Error::DatabaseUnavailable(_))), "{result:?}");
    let kept = key("kept");
    store.write(Lane::of(LANE), move |tx| api_keys::insert(tx, &kept)).await.unwrap();
    assert_eq!(names(&store).await, ["kept"]);
}

async fn writes_of_a_lane_stay_in_order(engine: Engine) {
    let (database, _sql) = Sql::fresh(engine);
    let store = store(&database, 1000);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (release, held) = hold(&store).await;
    let mut writes = Vec::new();
    for number in 0..150 {
        let (store, inner) = (store.clone(), Arc::clone(&seen));
        let work = move |_: &mut kmic_payments::store::Tx<'_>| {
            inner.lock().unwrap().push(number);
            Ok(())
        };
        writes.push(queued(async move { store.write(Lane::of(LANE), work).await }).await);
    }
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    for write in writes {
        write.await.unwrap();
    }
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, (0..150).collect::<Vec<_>>());
}

/// What the service acknowledged before the server was killed is there after its restart; in between it says 503, and 500
/// where the commit was under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_dies_and_comes_back() {
    let server = PostgresServer::start_with(Options { fsync: true }).unwrap();
    server.create_database("payments", None).unwrap();
    let url = server.url("payments");
    let mut app = TestApp::start_with(Engine::Sqlite, |settings| settings.with("database.url", url.clone())).await;
    // The other database of this instance stays empty: what is left behind is left in this one.
    app.database.url = url.clone();
    let mut answers = Vec::new();
    let create = async |number: usize| {
        let reply = app.post_as("/v1/payments", &format!("key-{number}"), widget(&format!("KM-{number}"))).await;
        let unknown = reply.status == 500 && reply.text("/code") == "outcome_unknown";
        assert!(unknown || matches!(reply.status, 201 | 503), "{} {}", reply.status, reply.json);
        (reply.status == 201).then(|| reply.id().to_owned())
    };
    for round in 0..2 {
        for number in answers.len()..answers.len() + 15 {
            answers.push(create(number).await);
        }
        assert!(answers.iter().skip(round * 20).take(15).all(Option::is_some));
        // Killed in the middle of five writes.
        let first = answers.len();
        let five = async {
            tokio::join!(create(first), create(first + 1), create(first + 2), create(first + 3), create(first + 4))
        };
        let (done, ()) = tokio::join!(five, async { tokio::task::block_in_place(|| server.kill()) });
        answers.extend([done.0, done.1, done.2, done.3, done.4]);

        let reply = app.get("/v1/payments").await;
        reply.expect_problem(503, "unavailable");
        assert_ne!(reply.header("retry-after"), "");
        app.create(widget("KM-lost")).await.expect(503);
        assert_eq!(app.get("/health/ready").await.status, 503);
        assert_eq!(app.get("/health/live").await.status, 200);
        tokio::task::block_in_place(|| server.restart()).unwrap();
    }
    for (number, acknowledged) in answers.iter().enumerate() {
        let repeated = create(number).await.expect("the database is back");
        if let Some(id) = acknowledged {
            assert_eq!(*id, repeated);
        }
        let found = app.get(&format!("/v1/payments?invoice_id=KM-{number}")).await.expect(200);
        assert_eq!(found.json["data"].as_array().unwrap().len(), 1, "KM-{number}");
    }
    app.stop().await;
}

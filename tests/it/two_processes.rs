//! Two processes of the service on one PostgreSQL.
//!
//! Nothing is left to chance: a third connection holds a row that both processes need until both wait for it, so each has
//! begun before the other has decided.

use std::time::{Duration, Instant};

use cloudpayments_sandbox::{
    ApiFaultKind, Fault, NotificationFaultKind, NotificationKind, Sandbox, SandboxConfig, Status, TransactionType,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::{
    APPROVED, Engine, Reply, Service, Sql, TestDatabase, card, expect_sums, money, new_key, widget, with,
};

/// Two processes of the real program, one database, one provider.
struct Pair {
    one: Service,
    other: Service,
    sandbox: Sandbox,
    database: TestDatabase,
    _folder: TempDir,
}

/// Until then a process takes no money.
async fn until_read(service: &Service) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while service.get("/health/ready").await.text("/register_gap") != "read" {
        assert!(Instant::now() < deadline, "the register is not read");
        sleep(Duration::from_millis(20)).await;
    }
}

impl Pair {
    async fn start() -> Pair {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::create(Engine::Postgres);
        let config = SandboxConfig { bind: "127.0.0.1:0".to_owned(), workers: 1, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        let key = new_key(folder.path(), &database.url);
        let one = Service::start(folder.path(), &database.url, &sandbox, &key).await;
        let other = Service::start(folder.path(), &database.url, &sandbox, &key).await;
        until_read(&one).await;
        until_read(&other).await;
        Pair { one, other, sandbox, database, _folder: folder }
    }

    async fn create(&self, body: serde_json::Value) -> Reply {
        let reply = Reply::receive(self.one.posting("/v1/payments", "create", &body)).await.expect(201);
        self.sandbox.flush_notifications().await;
        reply
    }

    /// Holds the row of a payment.
    fn hold(&self, payment_id: &str) -> Gate {
        Gate::close(&self.database.url, &format!("SELECT id FROM payments WHERE id = '{payment_id}' FOR UPDATE"))
    }

    fn notify(&self, service: &Service, kind: &str, fields: &[(&str, &str)]) -> JoinHandle<Reply> {
        tokio::spawn(Reply::receive(service.notifying(kind, fields, self.sandbox.api_secret())))
    }

    /// What both processes show of the payment now.
    async fn payment(&self, id: &str) -> Reply {
        self.sandbox.flush_notifications().await;
        let path = format!("/v1/payments/{id}");
        let (seen, also) = (self.one.get(&path).await.expect(200), self.other.get(&path).await.expect(200));
        assert_eq!(seen.bytes, also.bytes);
        seen
    }

    /// `from>to` of every row of the history; the sequence has no gap and each row begins where the last one ended.
    fn history(&self, payment_id: &str) -> Vec<String> {
        let rows = Sql::open(&self.database.url).texts(&format!(
            "SELECT sequence || ' ' || from_status || ' ' || to_status AS value FROM transitions \
             WHERE payment_id = '{payment_id}' ORDER BY sequence"
        ));
        let mut last = "none".to_owned();
        let mut moves = Vec::new();
        for (row, expected) in rows.iter().zip(1..) {
            let [sequence, from, to] = row.split(' ').collect::<Vec<_>>().try_into().unwrap();
            assert_eq!(sequence, expected.to_string(), "{rows:?}");
            assert_eq!(from, last, "{rows:?}");
            last = to.to_owned();
            moves.push(format!("{from}>{to}"));
        }
        moves
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        Sql::open(&self.database.url).texts(sql)
    }

    /// How many transactions of a kind the provider has completed.
    fn completed(&self, kind: TransactionType) -> usize {
        let ledger = self.sandbox.ledger();
        ledger.transactions.iter().filter(|entry| entry.kind == kind && entry.status == Status::Completed).count()
    }
}

/// A lock that a third connection holds.
struct Gate {
    holder: Sql,
    watcher: Sql,
}

impl Gate {
    fn close(url: &str, statement: &str) -> Gate {
        let (mut holder, watcher) = (Sql::open(url), Sql::open(url));
        holder.run("BEGIN").unwrap();
        holder.run(statement).unwrap();
        Gate { holder, watcher }
    }

    /// Waits until so many of the processes' connections wait for a lock.
    async fn waiting(&mut self, count: i64) {
        let question = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() \
                        AND application_name = 'kmic-payments' AND wait_event_type = 'Lock'";
        // PostgreSQL ends the wait after five seconds.
        let deadline = Instant::now() + Duration::from_secs(4);
        while self.watcher.number(question) < count {
            assert!(Instant::now() < deadline, "fewer than {count} wait for the lock");
            sleep(Duration::from_millis(2)).await;
        }
    }

    fn open(mut self) {
        self.holder.run("ROLLBACK").unwrap();
    }
}

/// The fields of a notification about the payment of invoice X-1.
fn fields<'a>(transaction_id: &'a str, status: &'a str, data: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("TransactionId", transaction_id),
        ("InvoiceId", "X-1"),
        ("AccountId", "user-42"),
        ("OperationType", "Payment"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("Status", status),
        ("TestMode", "1"),
        ("Data", data),
    ]
}

fn data_of(payment: &Reply) -> String {
    json!({ "payment_id": payment.id() }).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_checks_at_once_one_goes_on() {
    let pair = Pair::start().await;
    let payment = pair.create(widget("X-1")).await;
    let data = data_of(&payment);
    let mut gate = pair.hold(payment.id());
    let first = pair.notify(&pair.one, "check", &fields("5000000001", "Completed", &data));
    let second = pair.notify(&pair.other, "check", &fields("5000000002", "Completed", &data));
    gate.waiting(2).await;
    gate.open();
    let mut codes = Vec::new();
    for reply in [first, second] {
        codes.push(reply.await.unwrap().expect(200).json["code"].as_i64().unwrap());
    }
    codes.sort_unstable();
    assert_eq!(codes, [0, 13], "one of two tabs may pay, the other is refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_at_once_never_exceed_what_was_taken() {
    let pair = Pair::start().await;
    let payment = pair.create(card("X-1", APPROVED)).await;
    let path = format!("/v1/payments/{}/refunds", payment.id());
    let body = json!({ "amount": money("5000.00") });
    let mut gate = pair.hold(payment.id());
    let mut running = Vec::new();
    for number in 0..6 {
        for (name, service) in [("one", &pair.one), ("other", &pair.other)] {
            running.push(tokio::spawn(Reply::receive(service.posting(&path, &format!("{name}-{number}"), &body))));
        }
    }
    // The writes of one payment go through one connection of each process.
    gate.waiting(2).await;
    gate.open();
    let mut made = 0;
    for reply in running {
        let reply = reply.await.unwrap();
        match reply.status {
            201 => made += 1,
            _ => drop(reply.expect_problem(409, "refund_exceeds_captured")),
        }
    }
    assert_eq!((made, pair.completed(TransactionType::Refund)), (2, 2));
    let seen = pair.payment(payment.id()).await;
    expect_sums(&seen, "12500.00", "10000.00", "2500.00");
    assert!(seen.json.get("attention").is_none(), "{}", seen.json);
    assert_eq!(pair.sandbox.ledger().totals.refunded_minor, 1_000_000);
    pair.history(payment.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_sent_to_both_has_one_effect() {
    let pair = Pair::start().await;
    let body = card("X-1", APPROVED);
    // An uncommitted row under the same key: both processes wait whether it comes to stand.
    let mut gate = Gate::close(
        &pair.database.url,
        "INSERT INTO idempotency_keys (api_key_id, idempotency_key, fingerprint, resource_id, locked_until, created_at) \
         SELECT id, 'shared', '\\x00', 'pay_x', '2026-01-01', '2026-01-01' FROM api_keys",
    );
    let first = tokio::spawn(Reply::receive(pair.one.posting("/v1/payments", "shared", &body)));
    let second = tokio::spawn(Reply::receive(pair.other.posting("/v1/payments", "shared", &body)));
    gate.waiting(2).await;
    gate.open();
    let replies = [first.await.unwrap(), second.await.unwrap()];
    let fresh: Vec<&Reply> =
        replies.iter().filter(|reply| reply.status == 201 && reply.header("idempotent-replayed").is_empty()).collect();
    assert_eq!(fresh.len(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.expect_problem(409, "idempotency_in_progress");
    }
    for service in [&pair.one, &pair.other] {
        let repeat = Reply::receive(service.posting("/v1/payments", "shared", &body)).await.expect(201);
        assert_eq!(repeat.header("idempotent-replayed"), "true");
        assert_eq!(repeat.id(), fresh[0].id());
    }
    assert_eq!(pair.completed(TransactionType::Payment), 1);
    assert_eq!(pair.texts("SELECT status AS value FROM payments"), ["paid"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_to_one_while_the_other_concludes_its_charge() {
    let pair = Pair::start().await;
    pair.sandbox.fault(Fault::api("/payments/cards/charge", ApiFaultKind::Delay { ms: 1500 }));
    pair.sandbox.fault(Fault::notification(NotificationKind::Pay, NotificationFaultKind::Lose));
    let charge = tokio::spawn(Reply::receive(pair.one.posting("/v1/payments", "charge", &card("X-1", APPROVED))));
    let deadline = Instant::now() + Duration::from_secs(20);
    while pair.completed(TransactionType::Payment) == 0 {
        assert!(Instant::now() < deadline, "no charge arrives");
        sleep(Duration::from_millis(2)).await;
    }
    let id = pair.texts("SELECT id AS value FROM payments").remove(0);
    let transaction_id = pair.sandbox.ledger().transactions[0].transaction_id.to_string();
    let data = json!({ "payment_id": id }).to_string();
    let mut gate = pair.hold(&id);
    let told = pair.notify(&pair.other, "pay", &fields(&transaction_id, "Completed", &data));
    gate.waiting(2).await;
    gate.open();
    assert_eq!(told.await.unwrap().expect(200).json["code"], 0);
    assert_eq!(charge.await.unwrap().expect(201).text("/status"), "paid");
    // A process that has just started reads the register, and may have noted that the charge is there.
    let moves = pair.history(&id);
    assert_eq!(moves.iter().filter(|step| step.ends_with(">paid")).count(), 1, "it is paid once: {moves:?}");
    assert_eq!(moves.last().unwrap(), "processing>paid", "{moves:?}");
    let events = pair.texts(&format!("SELECT kind AS value FROM events WHERE payment_id = '{id}'"));
    assert_eq!(events, ["payment.paid"]);
    expect_sums(&pair.payment(&id).await, "12500.00", "0.00", "12500.00");
    assert_eq!(pair.completed(TransactionType::Payment), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_learned_is_not_overwritten_by_what_the_other_read_before() {
    let pair = Pair::start().await;
    let payment = pair.create(with(widget("X-1"), "capture", "manual")).await;
    let data = data_of(&payment);
    let held = pair.notify(&pair.one, "pay", &fields("5000000001", "Authorized", &data));
    assert_eq!(held.await.unwrap().expect(200).json["code"], 0);
    let mut gate = pair.hold(payment.id());
    let taken = pair.notify(&pair.one, "confirm", &fields("5000000001", "Completed", &data));
    gate.waiting(1).await;
    // Tells nothing new of the money, only of the card.
    let mut with_card = fields("5000000001", "Authorized", &data);
    with_card.extend([("CardType", "Visa"), ("CardFirstSix", "400000"), ("CardLastFour", "3055")]);
    let described = pair.notify(&pair.other, "pay", &with_card);
    gate.waiting(2).await;
    gate.open();
    for reply in [taken, described] {
        assert_eq!(reply.await.unwrap().expect(200).json["code"], 0);
    }
    let seen = pair.payment(payment.id()).await;
    assert_eq!((seen.text("/status"), seen.text("/card/last_four")), ("paid", "3055"), "{}", seen.json);
    assert_eq!(seen.text("/transactions/0/status"), "completed", "{}", seen.json);
    expect_sums(&seen, "12500.00", "0.00", "12500.00");
    assert_eq!(pair.history(payment.id()).last().unwrap(), "authorized>paid");
}

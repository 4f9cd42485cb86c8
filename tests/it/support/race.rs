//! Races, run as many times as wanted: who won is counted, and after each round everything about its payment is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use cloudpayments_sandbox::{LedgerEntry, Status, TransactionType};
use kmic_payments::clock::SystemIds;
use kmic_payments::startup::{Running, World};

use super::app::{Body, TestApp};
use super::database::Engine;
use super::http::Reply;
use super::postgres::free_port;
use super::sql::Sql;

/// Rounds in the usual run of the tests; `RACE_ROUNDS` sets another number.
const FEW: u32 = 4;

/// One kind of race.
pub struct Race {
    name: &'static str,
    engine: Engine,
    pub app: TestApp,
    /// On PostgreSQL a second instance of the service, with its own connections, on the same database.
    other: Option<(Running, String)>,
    sql: Sql,
    began: Instant,
    won: BTreeMap<String, u32>,
}

/// Everything about a payment after a race.
pub struct Whole {
    pub payment: Reply,
    /// `from>to` of each row of the history.
    pub moves: Vec<String>,
    /// `cause actor` of each row.
    pub causes: Vec<String>,
    /// Kinds, oldest first.
    pub events: Vec<String>,
    /// The provider's account of the bill.
    pub ledger: Vec<LedgerEntry>,
}

impl Whole {
    pub fn status(&self) -> &str {
        self.payment.text("/status")
    }

    pub fn count(&self, event: &str) -> usize {
        self.events.iter().filter(|kind| *kind == event).count()
    }

    /// Transactions of a kind that moved money.
    pub fn completed(&self, kind: TransactionType) -> usize {
        self.ledger.iter().filter(|entry| entry.kind == kind && entry.status == Status::Completed).count()
    }
}

impl Race {
    pub async fn start(name: &'static str, engine: Engine) -> Race {
        let app = TestApp::start(engine).await;
        let other = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(second(&app).await),
        };
        let sql = Sql::open(&app.database.url);
        Race { name, engine, app, other, sql, began: Instant::now(), won: BTreeMap::new() }
    }

    /// The numbers of the rounds.
    pub fn rounds(&self) -> std::ops::Range<u32> {
        0..std::env::var("RACE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(FEW)
    }

    /// A POST of the competitor with this number; on PostgreSQL two neighbours go to two instances.
    pub fn posting(&self, number: usize, path: &str, idempotency_key: &str, body: &Body) -> reqwest::RequestBuilder {
        let base = match &self.other {
            Some((_, url)) if number % 2 == 1 => url,
            _ => &self.app.url,
        };
        let request = self.app.http.post(format!("{base}{path}")).bearer_auth(&self.app.key);
        let request = request.header("Idempotency-Key", idempotency_key).header("Content-Type", "application/json");
        request.body(body.to_string())
    }

    /// The worker's use cases: of the second instance where there is one.
    pub fn worker(&self) -> &kmic_payments::app::App {
        self.other.as_ref().map_or(&self.app.running.app, |(running, _)| &running.app)
    }

    /// Counts who won this round.
    pub fn won(&mut self, who: impl Into<String>) {
        *self.won.entry(who.into()).or_default() += 1;
    }

    /// In a race of many rounds each of these won at least once: else the two did not meet. In a short one chance decides.
    pub fn each_won(&self, sides: &[&str]) {
        if self.rounds().len() >= 100 {
            let missing: Vec<_> = sides.iter().filter(|side| !self.won.contains_key(**side)).collect();
            assert!(missing.is_empty(), "{} on {:?}: never {missing:?}, but {:?}", self.name, self.engine, self.won);
        }
    }

    /// Waits until every notification is taken, looks at everything, and checks what holds after any race: the sums are
    /// the provider's, the history is whole, each movement of money is announced once, and nothing is open.
    pub async fn whole(&mut self, payment_id: &str) -> Whole {
        self.app.sandbox.flush_notifications().await;
        let payment = self.app.payment(payment_id).await;
        let ledger = self.app.sandbox.ledger_of(payment.text("/invoice_id")).transactions;
        let rows = self.texts(
            "SELECT from_status || '>' || to_status || '|' || cause_type || ' ' || actor AS value FROM transitions",
            payment_id,
            "sequence",
        );
        let (moves, causes) = rows
            .iter()
            .map(|row| row.split_once('|').unwrap())
            .map(|(from_to, cause)| (from_to.to_owned(), cause.to_owned()))
            .unzip();
        let events = self.texts("SELECT kind AS value FROM events", payment_id, "epoch, position");
        let whole = Whole { payment, moves, causes, events, ledger };
        self.check(payment_id, &whole);
        whole
    }

    fn check(&mut self, payment_id: &str, whole: &Whole) {
        let seen = &whole.payment.json;
        let minor = |pointer: &str| whole.payment.text(pointer).replace('.', "").parse::<i64>().unwrap_or(0);
        let sum = |of: fn(&LedgerEntry) -> i64| -> i64 { whole.ledger.iter().map(of).sum() };
        assert_eq!(minor("/captured/value"), sum(|entry| entry.captured_minor), "{} {seen}", self.name);
        assert_eq!(minor("/refunded/value"), sum(|entry| entry.refunded_minor), "{} {seen}", self.name);
        assert_eq!(whole.payment.text("/outcome/certainty"), "proven", "{} {seen}", self.name);
        let mut at = "none";
        for step in &whole.moves {
            let (from, to) = step.split_once('>').unwrap();
            assert_eq!(from, at, "{} {:?}", self.name, whole.moves);
            at = to;
        }
        assert_eq!(at, whole.status(), "{} {:?}", self.name, whole.moves);
        assert!(whole.count("payment.paid") <= 1, "{} {:?}", self.name, whole.events);
        assert_eq!(
            whole.count("refund.succeeded"),
            whole.completed(TransactionType::Refund),
            "{} {:?}",
            self.name,
            whole.events
        );
        let open = self.sql.number(&format!(
            "SELECT (SELECT count(*) FROM operations WHERE payment_id = '{payment_id}' AND due_at IS NOT NULL) \
             + (SELECT count(*) FROM refunds WHERE payment_id = '{payment_id}' AND status = 'pending') \
             + (SELECT count(*) FROM payments WHERE id = '{payment_id}' AND (refund_pending <> 0 OR refund_excess <> 0)) \
             AS value"
        ));
        assert_eq!(open, 0, "{}: something of {payment_id} is open: {seen}", self.name);
    }

    fn texts(&mut self, select: &str, payment_id: &str, order: &str) -> Vec<String> {
        self.sql.texts(&format!("{select} WHERE payment_id = '{payment_id}' ORDER BY {order}"))
    }

    /// Says who won how often, and compares all books once more.
    pub async fn finish(self) {
        let rounds: u32 = self.won.values().sum();
        let won: Vec<String> = self.won.iter().map(|(who, times)| format!("{who} {times}")).collect();
        let (name, engine, seconds) = (self.name, self.engine, self.began.elapsed().as_secs());
        println!("race {name} on {engine:?}: {rounds} rounds in {seconds} s: {}", won.join(", "));
        if let Some((running, _)) = self.other {
            running.stop().await;
        }
        self.app.finish().await;
    }
}

async fn second(app: &TestApp) -> (Running, String) {
    let bind = format!("127.0.0.1:{}", free_port().unwrap());
    let mut settings = app.settings.clone();
    settings.server.bind.clone_from(&bind);
    let world = World { clock: app.clock.clone(), ids: Arc::new(SystemIds), workers: false };
    let running = Running::start(&settings, world).await.unwrap_or_else(|error| panic!("{error:?}"));
    // It reads back what the provider did before; money waits for that.
    while running.app.reconcile_step().await.unwrap() > 0 {}
    // What the provider tells comes to the second, what the site asks mostly to the first.
    let url = format!("http://{bind}");
    app.sandbox.set_notify_url(&format!("{url}/v1/notifications/cloudpayments"));
    (running, url)
}

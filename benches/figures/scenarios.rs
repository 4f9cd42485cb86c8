//! What is run on each database.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::database::{Database, Engine};
use super::load::{self, Figures, Job, Plan};
use super::report::{Report, Row, Target};
use super::requests::{Create, Direct, Ids, Pay, Read};
use super::service::{Provider, Service, Settings};
use super::stub::Stub;
use super::{Options, day, measure, register};

/// Signs notifications.
const API_SECRET: &str = "bench-api-secret";
const SCOPES: &str = "payments:read,payments:write,ops:write,reports:read";
const MANY: usize = 64;
/// The scenario of `--in-flight`: how often each connection pays, and how long the provider takes.
const ROUNDS: u64 = 3;
const IN_FLIGHT_DELAY: Duration = Duration::from_secs(1);
/// For the service to come to rest after its start.
const REST: Duration = Duration::from_secs(1);

/// Empty, and where its log stays if it is to be kept.
fn database(engine: Engine, options: &Options) -> Result<Database, String> {
    let database = Database::create(engine, "figures-", options.keep)?;
    if options.keep {
        println!("The log of the service on {} stays in {}.\n", engine.name(), database.folder.path().display());
    }
    Ok(database)
}

/// Without a cap of the provider's requests: it is the service that is measured.
fn settings(database: &Database, stub: &Stub) -> Result<Settings, String> {
    let provider = Provider {
        base_url: format!("http://{}", stub.address),
        public_id: "pk_bench".to_owned(),
        api_secret: API_SECRET.to_owned(),
    };
    Ok(Settings::new(&database.url, &provider)?
        .with("CLOUDPAYMENTS__MAX_CONCURRENT_REQUESTS", "100000")
        .with("CLOUDPAYMENTS__CONNECT_TIMEOUT_MS", "60000"))
}

fn on<T>(engine: Engine, sqlite: T, postgres: T) -> T {
    match engine {
        Engine::Sqlite => sqlite,
        Engine::Postgres => postgres,
    }
}

/// One database, one service, and what the scenarios have in common.
struct Bench<'a> {
    engine: Engine,
    options: &'a Options,
    report: &'a mut Report,
    key: String,
}

/// All scenarios on one database.
pub async fn run(engine: Engine, options: &Options, report: &mut Report) -> Result<(), String> {
    let database = database(engine, options)?;
    let stub = Stub::start(options.upstream_delay)?;
    let settings = settings(&database, &stub)?;
    let mut bench = Bench { engine, options, report, key: settings.create_key(SCOPES)? };

    let service = settings.start(&database.log()).await?;
    bench.idle(&service).await?;
    bench.one_connection(&service, &stub).await?;
    let paid = bench.many_connections(&service).await?;
    bench.status(&service, paid).await?;
    bench.pay(&service).await?;
    let peak = measure::memory_mb(service.pid(), "VmHWM")?;
    bench.value("memory, highest so far", peak, "MB", Target::AtMost(60.0));
    service.stop().await?;

    let service = settings.start(&database.log()).await?;
    bench.value(
        "start to ready on this database",
        service.started_in.as_secs_f64() * 1000.0,
        "ms",
        Target::AtMost(100.0),
    );
    service.stop().await?;
    bench.log_is_empty(&database.log());

    if let Some(payments) = options.in_flight {
        in_flight(engine, payments, options, bench.report).await?;
    }
    Ok(())
}

/// A comparison with a register of as many transactions as the database holds.
pub async fn with_register(
    engine: Engine,
    transactions: u64,
    options: &Options,
    report: &mut Report,
) -> Result<(), String> {
    let database = database(engine, options)?;
    let stub = Stub::start_keeping()?;
    let settings = settings(&database, &stub)?;
    let mut bench = Bench { engine, options, report, key: settings.create_key(SCOPES)? };
    let service = settings.start(&database.log()).await?;
    let plan = Plan {
        connections: MANY,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs(1200),
        requests: transactions,
    };
    let figures = bench.load(&service, plan, bench.create("register", true, &Ids::default())).await?;
    bench.surprises("charges for the register", &figures);
    service.stop().await?;

    // A process of its own: what the charges took of memory is not to be seen.
    let service = settings.start(&database.log()).await?;
    tokio::time::sleep(REST).await;
    let (before, cpu_before) = (measure::memory_mb(service.pid(), "VmHWM")?, measure::cpu_ms(service.pid())?);
    let (run, took_ms) = register::compare(service.address, &bench.key).await?;
    let (after, cpu_after) = (measure::memory_mb(service.pid(), "VmHWM")?, measure::cpu_ms(service.pid())?);
    let what = |value: &str| format!("register of {transactions}: {value}");
    bench.value(&what("memory, highest before"), before, "MB", Target::None);
    bench.value(&what("memory, highest after"), after, "MB", Target::AtMost(60.0));
    bench.value(&what("time to compare"), took_ms, "ms", Target::None);
    bench.value(&what("own CPU"), cpu_after - cpu_before, "ms", Target::None);
    let told = |name: &str| run.get(name).cloned().unwrap_or_default();
    let agrees = told("compared") == transactions && told("discrepancies") == serde_json::json!({});
    if !agrees || told("state") != "completed" {
        bench.report.surprises.push(format!("the register on {}: {run}", engine.name()));
    }
    service.stop().await?;
    bench.log_is_empty(&database.log());
    Ok(())
}

/// The accountant's day with as many rows, as JSON and as CSV.
pub async fn with_report(engine: Engine, rows: u64, options: &Options, report: &mut Report) -> Result<(), String> {
    let database = database(engine, options)?;
    let stub = Stub::start(Duration::ZERO)?;
    let settings = settings(&database, &stub)?;
    let mut bench = Bench { engine, options, report, key: settings.create_key(SCOPES)? };
    let service = settings.start(&database.log()).await?;
    let plan = Plan { connections: MANY, warm_up: Duration::ZERO, measured: Duration::from_secs(1200), requests: rows };
    let figures = bench.load(&service, plan, bench.create("report", true, &Ids::default())).await?;
    bench.surprises("charges for the report", &figures);
    service.stop().await?;

    for format in ["json", "csv"] {
        // A process of its own: what was done before is not to be seen in its memory.
        let service = settings.start(&database.log()).await?;
        tokio::time::sleep(REST).await;
        let (before, cpu_before) = (measure::memory_mb(service.pid(), "VmHWM")?, measure::cpu_ms(service.pid())?);
        let read = day::read(service.address, &bench.key, format).await?;
        let (after, cpu_after) = (measure::memory_mb(service.pid(), "VmHWM")?, measure::cpu_ms(service.pid())?);
        let what = |value: &str| format!("day of {rows} rows, {format}: {value}");
        bench.value(&what("memory, highest before"), before, "MB", Target::None);
        bench.value(&what("memory, highest after"), after, "MB", Target::AtMost(60.0));
        bench.value(&what("first byte"), read.first_ms, "ms", Target::None);
        bench.value(&what("whole"), read.whole_ms, "ms", Target::None);
        bench.value(&what("own CPU"), cpu_after - cpu_before, "ms", Target::None);
        if !(rows..=rows + 8).contains(&read.lines) {
            let (name, lines, bytes) = (engine.name(), read.lines, read.bytes);
            bench.report.surprises.push(format!("the day on {name} as {format}: {lines} lines in {bytes} bytes"));
        }
        service.stop().await?;
    }
    bench.log_is_empty(&database.log());
    Ok(())
}

/// Many payments at once while the provider takes its time, with a database and a service of their own.
async fn in_flight(engine: Engine, payments: usize, options: &Options, report: &mut Report) -> Result<(), String> {
    let database = database(engine, options)?;
    let stub = Stub::start(IN_FLIGHT_DELAY)?;
    let settings = settings(&database, &stub)?;
    let mut bench = Bench { engine, options, report, key: settings.create_key(SCOPES)? };
    let service = settings.start(&database.log()).await?;
    let plan = Plan {
        connections: payments,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs(120),
        requests: ROUNDS * u64::try_from(payments).unwrap_or(u64::MAX),
    };
    let figures = bench.load(&service, plan, bench.create("flight", true, &Ids::default())).await?;
    let what = format!("create + charge, upstream 1 s, {} at once there", stub.most_under_way());
    bench.row(&what, payments, &figures, Target::None, Target::None);
    let peak = measure::memory_mb(service.pid(), "VmHWM")?;
    bench.value(&format!("memory, highest, {payments} payments in flight"), peak, "MB", Target::AtMost(150.0));
    service.stop().await?;
    bench.log_is_empty(&database.log());
    Ok(())
}

impl Bench<'_> {
    /// Before the first request but those of `/health/ready`.
    async fn idle(&mut self, service: &Service) -> Result<(), String> {
        tokio::time::sleep(REST).await;
        self.value(
            "memory, idle after the first start",
            measure::memory_mb(service.pid(), "VmRSS")?,
            "MB",
            Target::AtMost(20.0),
        );
        Ok(())
    }

    /// What the service adds to the time of the provider.
    async fn one_connection(&mut self, service: &Service, stub: &Stub) -> Result<(), String> {
        let direct = load::run(stub.address, None, self.plan(1), Rc::new(Direct)).await?;
        self.surprises("direct calls of the stub", &direct);
        let figures = self.load(service, self.plan(1), self.create("one", true, &Ids::default())).await?;
        self.row("create + charge", 1, &figures, Target::None, Target::None);
        for (per_mille, name, target) in [(500, "p50", 0.6), (990, "p99", 2.0)] {
            let added = figures.percentile_ms(per_mille) - direct.percentile_ms(per_mille);
            self.value(&format!("added latency at 1 connection, {name}"), added, "ms", Target::AtMost(target));
        }
        Ok(())
    }

    async fn many_connections(&mut self, service: &Service) -> Result<Ids, String> {
        let paid = Ids::default();
        let figures = self.load(service, self.plan(MANY), self.create("many", true, &paid)).await?;
        let own_cpu = on(self.engine, Target::AtMost(0.10), Target::None);
        let rate = on(self.engine, Target::AtLeast(5_000.0), Target::AtLeast(2_500.0));
        self.row("create + charge", MANY, &figures, rate, own_cpu);
        Ok(paid)
    }

    async fn status(&mut self, service: &Service, payments: Ids) -> Result<(), String> {
        let read = Rc::new(Read { key: self.key.clone(), payments });
        let figures = self.load(service, self.plan(MANY), read).await?;
        self.row("status read", MANY, &figures, Target::AtLeast(30_000.0), Target::None);
        Ok(())
    }

    /// Payments for the window, then Pay for each of them, then a look whether each is paid.
    async fn pay(&mut self, service: &Service) -> Result<(), String> {
        let (created, answered) = (Ids::default(), Ids::default());
        let figures = self.load(service, self.plan(MANY), self.create("window", false, &created)).await?;
        self.row("create for the payment window", MANY, &figures, Target::None, Target::None);

        let payments = count(&created);
        let job = Rc::new(Pay {
            secret: API_SECRET.to_owned(),
            name: "window",
            payments: created,
            paid: Rc::clone(&answered),
        });
        // A shorter warm-up than elsewhere: each payment takes one Pay.
        let plan = Plan { warm_up: self.options.measured / 8, requests: payments, ..self.plan(MANY) };
        let figures = self.load(service, plan, job).await?;
        self.row("Pay: verified, stored, applied", MANY, &figures, Target::AtLeast(5_000.0), Target::None);
        self.value("Pay at 64 connections, p99", figures.percentile_ms(990), "ms", Target::AtMost(30.0));

        let looks = Plan {
            connections: MANY,
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(120),
            requests: count(&answered),
        };
        let figures =
            load::run(service.address, None, looks, Rc::new(Read { key: self.key.clone(), payments: answered }));
        self.surprises("payments after their Pay", &figures.await?);
        Ok(())
    }

    fn create(&self, name: &'static str, card: bool, made: &Ids) -> Rc<Create> {
        Rc::new(Create { key: self.key.clone(), name, card, made: Rc::clone(made) })
    }

    fn plan(&self, connections: usize) -> Plan {
        Plan { connections, warm_up: self.options.measured / 2, measured: self.options.measured, requests: u64::MAX }
    }

    async fn load(&self, service: &Service, plan: Plan, job: Rc<dyn Job>) -> Result<Figures, String> {
        load::run(service.address, Some(service.pid()), plan, job).await
    }

    fn row(&mut self, what: &str, connections: usize, figures: &Figures, rate: Target, own_cpu: Target) {
        self.surprises(what, figures);
        self.report.row(Row {
            what: what.to_owned(),
            database: self.engine.name(),
            connections,
            per_second: figures.per_second(),
            p50_ms: figures.percentile_ms(500),
            p99_ms: figures.percentile_ms(990),
            own_cpu_ms: figures.cpu_ms_each(),
            rate,
            own_cpu,
        });
    }

    fn value(&mut self, what: &str, value: f64, unit: &'static str, target: Target) {
        self.report.value(what, self.engine.name(), value, unit, target);
    }

    fn surprises(&mut self, what: &str, figures: &Figures) {
        let what = format!("{what} on {}", self.engine.name());
        if figures.errors > 0 {
            self.report.surprises.push(format!("{what}: {} error(s): {}", figures.errors, figures.told.join("; ")));
        } else if figures.answered == 0 {
            self.report.surprises.push(format!("{what}: nothing was answered in the measured span"));
        }
    }

    /// The service warned of nothing.
    fn log_is_empty(&mut self, log: &Path) {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        if let Some(first) = said.lines().next() {
            let (name, count) = (self.engine.name(), said.lines().count());
            self.report.surprises.push(format!("the service on {name} logged {count} line(s): {first}"));
        }
    }
}

fn count(ids: &Ids) -> u64 {
    u64::try_from(ids.borrow().len()).unwrap_or(u64::MAX)
}

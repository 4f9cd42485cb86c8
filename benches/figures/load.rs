//! The load generator: connections that each send their next request when they have the answer to the last one.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::http::Connection;
use super::measure;

/// Connections that are being opened at once; more would overflow the backlog of the listener.
const OPENING_AT_ONCE: usize = 256;
/// How many wrong answers are told in full.
const TOLD: usize = 3;
/// What is not answered by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests and what their answers must be.
pub trait Job {
    /// Writes the request with this number.
    fn request(&self, number: u64, out: &mut Vec<u8>);
    /// Whether the answer to it is right.
    fn accepts(&self, number: u64, status: u16, body: &[u8]) -> bool;
}

/// How much load.
#[derive(Clone, Copy)]
pub struct Plan {
    pub connections: usize,
    /// Not measured.
    pub warm_up: Duration,
    /// At most so long.
    pub measured: Duration,
    /// At most so many requests, warm-up included.
    pub requests: u64,
}

/// What came of it.
#[derive(Default)]
pub struct Figures {
    /// Answered within the measured span.
    pub answered: usize,
    /// The measured span.
    pub seconds: f64,
    /// Sorted, microseconds.
    latencies: Vec<u32>,
    /// CPU time of the service in the measured span, milliseconds.
    pub cpu_ms: f64,
    /// Wrong answers and broken connections, warm-up included.
    pub errors: u64,
    /// The first of them.
    pub told: Vec<String>,
}

impl Figures {
    pub fn per_second(&self) -> f64 {
        count(self.answered) / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Milliseconds that so many thousandths of the requests did not exceed.
    pub fn percentile_ms(&self, per_mille: usize) -> f64 {
        let index = (self.latencies.len() * per_mille).div_ceil(1000).saturating_sub(1);
        f64::from(self.latencies.get(index).copied().unwrap_or_default()) / 1000.0
    }

    pub fn cpu_ms_each(&self) -> f64 {
        self.cpu_ms / count(self.answered.max(1))
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

struct Shared {
    job: Rc<dyn Job>,
    next: Cell<u64>,
    requests: u64,
    /// The measured span.
    begin: Instant,
    end: Instant,
    latencies: RefCell<Vec<u32>>,
    errors: Cell<u64>,
    told: RefCell<Vec<String>>,
}

/// Runs the load. `pid` is the process whose CPU time counts, if any.
pub async fn run(address: SocketAddr, pid: Option<u32>, plan: Plan, job: Rc<dyn Job>) -> Result<Figures, String> {
    let connections = open(address, plan.connections).await?;
    let begin = Instant::now() + plan.warm_up;
    let shared = Rc::new(Shared {
        job,
        next: Cell::new(0),
        requests: plan.requests,
        begin,
        end: begin + plan.measured,
        latencies: RefCell::new(Vec::with_capacity(1 << 16)),
        errors: Cell::new(0),
        told: RefCell::new(Vec::new()),
    });
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn_local(ask_on_and_on(connection, Rc::clone(&shared)));
    }
    let cpu = || pid.map_or(Ok(0.0), measure::cpu_ms);
    tokio::time::sleep_until(begin.into()).await;
    let cpu_before = cpu()?;
    // All requests may be done before the time is over.
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout_at(shared.end.into(), all).await;
    let (seconds, cpu_after) = (begin.elapsed().as_secs_f64(), cpu()?);
    let rest = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(PATIENCE, rest).await.is_err() {
        return Err(format!("requests are unanswered after {PATIENCE:?}"));
    }
    let mut latencies = shared.latencies.take();
    latencies.sort_unstable();
    Ok(Figures {
        answered: latencies.len(),
        seconds,
        latencies,
        cpu_ms: cpu_after - cpu_before,
        errors: shared.errors.get(),
        told: shared.told.take(),
    })
}

async fn open(address: SocketAddr, count: usize) -> Result<Vec<Connection>, String> {
    let mut open = Vec::with_capacity(count);
    while open.len() < count {
        let mut opening = JoinSet::new();
        for _ in open.len()..count.min(open.len() + OPENING_AT_ONCE) {
            opening.spawn(Connection::open(address));
        }
        for opened in opening.join_all().await {
            open.push(opened.map_err(|error| format!("cannot connect to {address}: {error}"))?);
        }
    }
    Ok(open)
}

async fn ask_on_and_on(mut connection: Connection, shared: Rc<Shared>) {
    let mut request = Vec::with_capacity(2048);
    loop {
        let number = shared.next.get();
        if number >= shared.requests || Instant::now() >= shared.end {
            return;
        }
        shared.next.set(number + 1);
        request.clear();
        shared.job.request(number, &mut request);
        let started = Instant::now();
        let answered = match connection.send(&request).await {
            Ok(()) => connection.receive().await,
            Err(error) => Err(error),
        };
        let ended = Instant::now();
        match answered {
            Ok(true) if shared.job.accepts(number, connection.status(), connection.body()) => {
                shared.record(started, ended);
            }
            Ok(true) => shared.tell(|| {
                let body = String::from_utf8_lossy(connection.body()).chars().take(600).collect::<String>();
                format!("wrong answer: {} {body}", connection.status())
            }),
            Ok(false) => return shared.tell(|| "the connection was closed".to_owned()),
            Err(error) => return shared.tell(|| format!("the connection broke: {error}")),
        }
    }
}

impl Shared {
    fn record(&self, started: Instant, ended: Instant) {
        if (self.begin..=self.end).contains(&ended) {
            let micros = u32::try_from((ended - started).as_micros()).unwrap_or(u32::MAX);
            self.latencies.borrow_mut().push(micros);
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        self.errors.set(self.errors.get() + 1);
        let mut told = self.told.borrow_mut();
        if told.len() < TOLD {
            told.push(what());
        }
    }
}

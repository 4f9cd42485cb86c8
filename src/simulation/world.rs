//! What all actors of one world share: the time, chance, the provider, the process of the service, and the record of what
//! happened.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::chance::Chance;
use super::executor::{Group, Spawner, lock};
use super::promises::Promises;
use super::provider::Provider;
use super::report::{Tally, Violation};
use super::service::{Fixed, presenter};
use super::weather::Weather;
use crate::app::{App, PaymentDetails, Present as _};
use crate::clock::{Clock, IdSource, Timestamp};
use crate::http::Presenter;

/// When every world begins: 2026-03-01T00:00:00Z.
const BEGINNING_MICROS: i64 = 1_772_323_200_000_000;

/// The time of a world: the paused clock of its runtime.
pub(super) struct WorldClock {
    began: Instant,
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(BEGINNING_MICROS.saturating_add(passed))
    }
}

/// Ids of a world.
pub(super) struct WorldIds(Mutex<Chance>);

impl IdSource for WorldIds {
    fn random(&self) -> [u8; 10] {
        lock(&self.0).bytes()
    }
}

/// What happened, as a hash and where asked for as text.
#[derive(Default)]
struct Journal {
    hash: u64,
    lines: Option<Vec<String>>,
}

/// Orders to whoever runs the world.
#[derive(Default)]
pub(super) struct Orders {
    /// Start the process.
    pub boot: AtomicBool,
    /// End it where it stands.
    pub crash: AtomicBool,
    /// All is told.
    pub end: AtomicBool,
}

pub(super) struct World {
    pub seed: u64,
    pub weather: Weather,
    pub spawner: Spawner,
    pub provider: Provider,
    pub orders: Orders,
    pub promises: Mutex<Promises>,
    pub clock: Arc<WorldClock>,
    pub ids: Arc<WorldIds>,
    pub tally: Mutex<Tally>,
    pub fixed: Arc<Fixed>,
    /// Requests to the provider.
    pub under_way: AtomicUsize,
    process: Mutex<Option<Arc<App>>>,
    chance: Mutex<Chance>,
    calm: AtomicBool,
    stalled: AtomicBool,
    stories_left: AtomicU64,
    present: Presenter,
    journal: Mutex<Journal>,
    violations: Mutex<Vec<Violation>>,
}

impl World {
    pub(super) fn new(seed: u64, payments: u64, spawner: Spawner, told: bool, fixed: &Arc<Fixed>) -> Arc<World> {
        let mut chance = Chance::new(seed);
        let weather = Weather::draw(&mut chance);
        let provider = Provider::new(&mut chance, weather.check_off);
        let presenter_settings = presenter(provider.public_id());
        let world = World {
            seed,
            weather,
            spawner,
            provider,
            orders: Orders::default(),
            promises: Mutex::default(),
            clock: Arc::new(WorldClock { began: Instant::now() }),
            ids: Arc::new(WorldIds(Mutex::new(chance.fork()))),
            tally: Mutex::default(),
            process: Mutex::default(),
            chance: Mutex::new(chance),
            calm: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            stories_left: AtomicU64::new(payments),
            present: Presenter::new(presenter_settings, Arc::clone(&fixed.vault)),
            fixed: Arc::clone(fixed),
            under_way: AtomicUsize::new(0),
            journal: Mutex::new(Journal { hash: 0xcbf2_9ce4_8422_2325, lines: told.then(Vec::new) }),
            violations: Mutex::default(),
        };
        let world = Arc::new(world);
        world.note(&format!("{:?} {:?}", world.weather, world.provider.ways()));
        world
    }

    /// Draws from the chance of the edges.
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut lock(&self.chance))
    }

    /// A fault in `permille` of a thousand cases, while the weather is bad; counted by its name.
    pub(super) fn fault<T>(&self, permille: u64, draw: impl FnOnce(&mut Chance) -> (T, &'static str)) -> Option<T> {
        if self.is_calm() {
            return None;
        }
        let mut chance = lock(&self.chance);
        if !chance.permille(permille) {
            return None;
        }
        let (fault, name) = draw(&mut chance);
        drop(chance);
        lock(&self.tally).fault(name);
        self.note(name);
        Some(fault)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// From now on nothing fails any more.
    pub(super) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.note("from here on nothing fails any more");
    }

    /// Milliseconds since 1970, for the provider.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().micros() / 1000
    }

    pub(super) fn spawn(&self, group: Group, work: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(group, work);
    }

    pub(super) fn process(&self) -> Option<Arc<App>> {
        lock(&self.process).clone()
    }

    pub(super) fn set_process(&self, app: Option<Arc<App>>) {
        *lock(&self.process) = app;
    }

    /// A payment as the site reads it.
    pub(super) fn shown(&self, details: &PaymentDetails) -> Vec<u8> {
        self.present.payment(details, false).body
    }

    pub(super) fn stall_database(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    pub(super) fn database_stalls(&self) -> bool {
        self.stalled.load(Ordering::Relaxed) && !self.is_calm()
    }

    /// Seconds between two steps of a worker; long where only time has to pass.
    pub(super) fn worker_pause_s(&self) -> u64 {
        if self.is_calm() { 300 } else { self.weather.worker_s }
    }

    pub(super) fn crash_per_million(&self) -> usize {
        usize::try_from(self.weather.crash).unwrap_or(0)
    }

    /// One payment's story is over.
    pub(super) fn story_over(&self) {
        self.stories_left.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn stories_left(&self) -> u64 {
        self.stories_left.load(Ordering::Relaxed)
    }

    /// Keeps what happened.
    pub(super) fn note(&self, text: &str) {
        let mut journal = lock(&self.journal);
        let at = self.clock.now().micros();
        for byte in at.to_le_bytes().into_iter().chain(text.bytes()) {
            journal.hash = (journal.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut journal.lines {
            lines.push(format!("{}  {text}", self.clock.now()));
        }
    }

    /// A law does not hold.
    pub(super) fn violated(&self, law: &'static str, payment_id: Option<&str>, detail: String) {
        self.note(&format!("VIOLATED {law}: {detail}"));
        lock(&self.violations).push(Violation { law, payment_id: payment_id.map(str::to_owned), detail });
    }

    /// The hash, the journal and the violations, at the end.
    pub(super) fn record(&self) -> (u64, Vec<String>, Vec<Violation>) {
        let mut journal = lock(&self.journal);
        let lines = journal.lines.take().unwrap_or_default();
        (journal.hash, lines, std::mem::take(&mut *lock(&self.violations)))
    }
}

/// Lets virtual time pass.
pub(super) async fn pause_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Lets virtual time pass.
pub(super) async fn pause_s(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

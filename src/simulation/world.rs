//! What all actors of one world share: the time, chance, the provider, the process of the service, and the record of what
//! happened.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::chance::Chance;
use super::executor::{Group, Spawner, lock};
use super::others::Others;
use super::promises::Promises;
use super::provider::Provider;
use super::report::{Tally, Violation};
use super::service::{Fixed, presenter};
use super::weather::{Stall, Weather};
use crate::app::{App, ApprovalDetails, PaymentDetails, Present as _};
use crate::clock::{Clock, IdSource, Timestamp};
use crate::http::Presenter;

/// Worlds begin at some moment of this day: 2026-03-01T00:00:00Z.
const BEGINNING_MICROS: i64 = 1_772_323_200_000_000;
/// The longest pauses of workers with nothing to do, seconds.
const LONGEST_PAUSE_IN_STORM_S: u64 = 600;
const LONGEST_PAUSE_S: u64 = 3_600;
/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// The time of a world: the paused clock of its runtime.
pub(super) struct WorldClock {
    began: Instant,
    began_micros: i64,
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.began_micros.saturating_add(passed))
    }
}

impl WorldClock {
    /// Days of the register end early or late in the story.
    fn begin(chance: &mut Chance) -> WorldClock {
        let passed_s = i64::try_from(chance.between(0, DAY_S - 1)).unwrap_or(0);
        WorldClock { began: Instant::now(), began_micros: BEGINNING_MICROS.saturating_add(passed_s * 1_000_000) }
    }

    /// Seconds since the beginning.
    pub(super) fn passed_s(&self) -> u64 {
        self.began.elapsed().as_secs()
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
    pub others: Others,
    pub orders: Orders,
    pub promises: Mutex<Promises>,
    pub clock: Arc<WorldClock>,
    pub ids: Arc<WorldIds>,
    pub tally: Mutex<Tally>,
    pub fixed: Arc<Fixed>,
    process: Mutex<Option<Arc<App>>>,
    chance: Mutex<Chance>,
    calm: AtomicBool,
    stall: Mutex<Option<Stall>>,
    silent: AtomicBool,
    stories_left: AtomicU64,
    stirred: AtomicU64,
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
            spawner,
            provider,
            others: Others::draw(seed),
            orders: Orders::default(),
            promises: Mutex::default(),
            clock: Arc::new(WorldClock::begin(&mut chance)),
            ids: Arc::new(WorldIds(Mutex::new(chance.fork()))),
            tally: Mutex::default(),
            process: Mutex::default(),
            chance: Mutex::new(chance),
            calm: AtomicBool::new(false),
            stall: Mutex::default(),
            silent: AtomicBool::new(false),
            // A world does not come to its end while its provider is silent.
            stories_left: AtomicU64::new(payments + u64::from(weather.silent_s > 0)),
            stirred: AtomicU64::new(0),
            present: Presenter::new(presenter_settings, Arc::clone(&fixed.vault)),
            fixed: Arc::clone(fixed),
            journal: Mutex::new(Journal { hash: 0xcbf2_9ce4_8422_2325, lines: told.then(Vec::new) }),
            violations: Mutex::default(),
            weather,
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
    pub(super) fn fault<T>(
        &self,
        permille: u64,
        about: impl Display,
        draw: impl FnOnce(&mut Chance) -> (T, &'static str),
    ) -> Option<T> {
        if self.is_calm() {
            return None;
        }
        let mut chance = lock(&self.chance);
        if !chance.permille(permille) {
            return None;
        }
        let (fault, name) = draw(&mut chance);
        drop(chance);
        self.happened(name, about);
        Some(fault)
    }

    /// A fault, by its name, and what it happens to.
    pub(super) fn happened(&self, name: &'static str, about: impl Display) {
        lock(&self.tally).fault(name);
        self.note(&format!("FAULT {name} ({about})"));
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
    /// By the provider's clock.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().micros() / 1000 + self.weather.provider_ahead_ms
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

    /// An approval as an operator reads it.
    pub(super) fn shown_approval(&self, details: &ApprovalDetails) -> Vec<u8> {
        self.present.approval(details, false).body
    }

    /// From now on the provider tells nothing of what became of calls, or tells it again.
    pub(super) fn silence_provider(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
        self.note(if silent { "the provider falls silent" } else { "the provider speaks again" });
    }

    pub(super) fn provider_is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed) && !self.is_calm()
    }

    pub(super) fn stall_database(&self, stall: Option<Stall>) {
        *lock(&self.stall) = stall;
    }

    pub(super) fn database_stalls(&self) -> Option<Stall> {
        lock(&self.stall).filter(|_| !self.is_calm())
    }

    /// Seconds between two steps of a worker that works `times` as seldom as the busiest one and had nothing to do for
    /// `idle` steps while nothing else happened. Where only time has to pass, they get long.
    pub(super) fn worker_pause_s(&self, times: u64, idle: u32) -> u64 {
        let busy_s =
            times.saturating_mul(if self.is_calm() { 300 } else { self.weather.worker_s }).min(LONGEST_PAUSE_S);
        let longest_s = if self.is_calm() { LONGEST_PAUSE_S } else { busy_s.max(LONGEST_PAUSE_IN_STORM_S) };
        busy_s.saturating_mul(2u64.saturating_pow(idle.min(10))).min(longest_s)
    }

    /// Something reached the service or left it.
    pub(super) fn stir(&self) {
        self.stirred.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something did.
    pub(super) fn stirred(&self) -> u64 {
        self.stirred.load(Ordering::Relaxed)
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

    /// Looks at what was kept as text; nothing where that was not asked for.
    pub(super) fn lines<T>(&self, look: impl FnOnce(&[String]) -> T) -> T {
        look(lock(&self.journal).lines.as_deref().unwrap_or_default())
    }

    /// The payments that broke a law, each once.
    pub(super) fn at_fault(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for id in lock(&self.violations).iter().filter_map(|violation| violation.payment_id.clone()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
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

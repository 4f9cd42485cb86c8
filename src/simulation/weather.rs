//! How much goes wrong in a world, and what goes wrong at one moment.

use cloudpayments_sandbox::{NotificationFaultKind, SandboxConfig};

use super::chance::Chance;
use super::order::other_currency;
use crate::app::{OperatorSettings, RetentionSettings};
use crate::domain::money::{Currency, Money};
use crate::store::DiskFault;

/// How often things fail, drawn from the seed of a world: some are quiet, some are stormy, some fail at one edge only.
#[derive(Debug, Clone)]
pub(super) struct Weather {
    /// Of a thousand calls to the provider.
    pub wire: u64,
    /// Of a thousand requests of the site and of browsers.
    pub site: u64,
    /// Of a thousand deliveries of a notification.
    pub post: u64,
    /// Of a thousand notifications that are made.
    pub notices: u64,
    /// Of a thousand transactions of the database.
    pub disk: u64,
    /// Of a million steps of the world, each at an await of the service or between a commit and its answer.
    pub crash: u64,
    /// Within so many seconds all payments begin.
    pub span_s: u64,
    /// Pauses of the workers, seconds.
    pub worker_s: u64,
    /// The provider asks no Check.
    pub check_off: bool,
    /// A charge is tried at another bank first, which refuses it.
    pub reserve_bank: bool,
    /// Our own limit of requests at once.
    pub max_concurrent: usize,
    /// How long the service keeps what need not be kept for ever.
    pub retention: RetentionSettings,
    /// What takes two operators, and how long they have for it.
    pub operators: OperatorSettings,
    /// For so many seconds the provider tells nothing of what became of calls, and operators end some of them.
    pub silent_s: u64,
    /// The provider's clock is so much ahead of ours, milliseconds.
    pub provider_ahead_ms: i64,
}

impl Weather {
    pub(super) fn draw(chance: &mut Chance) -> Weather {
        let span_s = chance.pick(&[60, 1_800, 14_400, 86_400], 1_800);
        let silent_s = if chance.one_in(4) { chance.between(7_200, 14_400) } else { 0 };
        // Nothing begins after a start until the register was read.
        let crashes: &[u64] = if silent_s == 0 { &[0, 200, 1_000, 3_000] } else { &[0, 0, 0, 200] };
        Weather {
            wire: chance.pick(&[0, 40, 120, 300], 0),
            site: chance.pick(&[0, 20, 80, 200], 0),
            post: chance.pick(&[0, 40, 150], 0),
            notices: chance.pick(&[0, 50, 150, 300], 0),
            disk: chance.pick(&[0, 5, 20], 0),
            crash: chance.pick(crashes, 0),
            span_s,
            worker_s: match span_s {
                0..10_000 => chance.pick(&[5, 20, 60], 20),
                10_000..50_000 => chance.pick(&[20, 60, 120], 60),
                _ => chance.pick(&[60, 300], 60),
            },
            check_off: chance.one_in(8),
            reserve_bank: chance.one_in(4),
            max_concurrent: chance.pick(&[2, 5, 30], 5),
            retention: retention(chance),
            operators: operators(chance),
            silent_s,
            provider_ahead_ms: chance.pick(&[0, 0, 0, 5_000, 40_000, -40_000], 0),
        }
    }

    /// Above which sum a refund in this currency needs a second key.
    pub(super) fn second_key_above(&self, currency: Currency) -> Option<Money> {
        self.operators.second_key_above.iter().find(|limit| limit.currency == currency).copied()
    }

    /// The provider's ways that nobody has confirmed.
    pub(super) fn sandbox(chance: &mut Chance) -> SandboxConfig {
        SandboxConfig {
            notify_url: Some("https://pay.example.kz/v1/notifications/cloudpayments".to_owned()),
            notification_delay_ms: chance.pick(&[0, 50, 900, 20_000], 50),
            json_notifications: chance.one_in(4),
            replay_declines: !chance.one_in(3),
            single_use_cryptograms: true,
            refunds_keep_data: !chance.one_in(5),
            ..SandboxConfig::default()
        }
    }
}

/// Kept for at least a day: no site repeats a request for so long. Payers are not erased: that cleans files, which these
/// databases do not have.
fn retention(chance: &mut Chance) -> RetentionSettings {
    let days = [None, Some(1), Some(2)];
    RetentionSettings {
        notification_bodies_days: chance.pick(&days, None),
        // Before the register of the next day tells whose it is, the body of a stray one is needed.
        unmatched_bodies_days: chance.pick(&[None, Some(3)], None),
        idempotency_answers_days: chance.pick(&days, None),
        quarantine_days: chance.pick(&days, None),
        // Worlds are over before the shortest time that the settings allow.
        access_records_days: chance.pick(&[None, Some(30), Some(60)], None),
        payer_data_days: None,
    }
}

/// Half of the worlds have no limit. The others have one in one currency or in both; some are so low that every refund is
/// above them.
fn operators(chance: &mut Chance) -> OperatorSettings {
    let sums = [None, Some(1), Some(100_000), Some(700_050), Some(4_000_000)];
    let limits = if chance.one_in(2) { [None, None] } else { [chance.pick(&sums, None), chance.pick(&sums, None)] };
    let with_currency = limits.into_iter().zip([other_currency(), Currency::KZT]);
    OperatorSettings {
        second_key_above: with_currency.filter_map(|(sum, currency)| Some(Money::new(sum?, currency))).collect(),
        approval_expires_in_s: chance.pick(&[900, 3_600, 14_400], 3_600),
    }
}

/// What happens to one call to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireFault {
    /// No connection comes about.
    Refused,
    /// A status that says that nothing was done.
    Turned(u16),
    /// It is lost on the way there.
    LostBefore,
    /// A proxy answers instead of the provider, which hears nothing.
    ProxyError(u16),
    /// It arrives late, so that its effect comes when nobody waits any more.
    LateThere(u64),
    /// It has its effect and the answer is lost.
    LostAfter,
    /// It has its effect and the answer comes late.
    LateBack(u64),
    /// It has its effect and a proxy answers with another status.
    StatusAfter(u16),
    /// It has its effect and the answer is not what the provider wrote.
    Garbage(u64),
    /// It arrives twice.
    Twice(u64),
}

impl WireFault {
    pub(super) fn draw(chance: &mut Chance) -> WireFault {
        // A request that is on its way for so long is dropped by the provider (contract section 2: five minutes).
        let late_s = chance.between(1, 280);
        let status = chance.pick(&[500, 502, 503, 504, 301, 400, 404], 500);
        match chance.below(12) {
            0 => WireFault::Refused,
            1 => WireFault::Turned(chance.pick(&[401, 429], 429)),
            2 => WireFault::LostBefore,
            3 => WireFault::ProxyError(status),
            4 => WireFault::LateThere(late_s),
            5 | 6 => WireFault::LostAfter,
            7 => WireFault::LateBack(late_s),
            8 | 9 => WireFault::StatusAfter(status),
            10 => WireFault::Garbage(chance.next()),
            _ => WireFault::Twice(late_s),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            WireFault::Refused => "call: connection refused",
            WireFault::Turned(401) => "call: answered 401",
            WireFault::Turned(_) => "call: answered 429",
            WireFault::LostBefore => "call: lost before its effect",
            WireFault::ProxyError(_) => "call: 5xx or 4xx without effect",
            WireFault::LateThere(_) => "call: late effect",
            WireFault::LostAfter => "call: answer lost after the effect",
            WireFault::LateBack(_) => "call: answer late",
            WireFault::StatusAfter(_) => "call: 5xx or 4xx after the effect",
            WireFault::Garbage(_) => "call: garbage after the effect",
            WireFault::Twice(_) => "call: arrives twice",
        }
    }
}

/// What happens to one delivery of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PostFault {
    /// No connection.
    Unreachable,
    /// It goes nowhere and nobody answers.
    Silence,
    /// It arrives, the answer does not.
    AnswerLost,
    /// It arrives, a proxy answers.
    AnswerSpoiled,
    /// It arrives twice at once.
    Twice,
    /// It takes its time.
    Slow(u64),
    /// Somebody sends a forged one beside it.
    Forged,
}

impl PostFault {
    pub(super) fn draw(chance: &mut Chance) -> PostFault {
        match chance.below(7) {
            0 => PostFault::Unreachable,
            1 => PostFault::Silence,
            2 => PostFault::AnswerLost,
            3 => PostFault::AnswerSpoiled,
            4 => PostFault::Twice,
            5 => PostFault::Slow(chance.between(1, 29)),
            _ => PostFault::Forged,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            PostFault::Unreachable => "notification: no connection",
            PostFault::Silence => "notification: lost on the way, repeated later",
            PostFault::AnswerLost => "notification: its answer lost",
            PostFault::AnswerSpoiled => "notification: its answer spoiled",
            PostFault::Twice => "notification: twice at once",
            PostFault::Slow(_) => "notification: slow",
            PostFault::Forged => "notification: a forged one beside it",
        }
    }
}

/// What happens to a notification when it is made.
pub(super) fn notice_fault(chance: &mut Chance) -> (NotificationFaultKind, &'static str) {
    match chance.below(6) {
        0 => (NotificationFaultKind::Lose, "notification: never sent"),
        1 => (NotificationFaultKind::Reorder, "notification: overtaken by the next"),
        2 => (NotificationFaultKind::BeforeAnswer, "notification: before our own answer"),
        3 => (NotificationFaultKind::Duplicate, "notification: sent twice"),
        _ => {
            let ms = chance.between(1_000, 7_200_000);
            (NotificationFaultKind::Delay { ms }, "notification: late")
        }
    }
}

/// What happens to one request of the site or of a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SiteFault {
    /// It does not arrive.
    Lost,
    /// Its answer does not arrive.
    AnswerLost,
    /// The caller does not wait for the answer.
    HungUp(u64),
    /// It arrives twice.
    Twice(u64),
}

impl SiteFault {
    pub(super) fn draw(chance: &mut Chance) -> SiteFault {
        let after_ms = chance.between(0, 5_000);
        match chance.below(4) {
            0 => SiteFault::Lost,
            1 => SiteFault::AnswerLost,
            2 => SiteFault::HungUp(after_ms),
            _ => SiteFault::Twice(after_ms),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            SiteFault::Lost => "request: lost before it arrives",
            SiteFault::AnswerLost => "request: answer lost",
            SiteFault::HungUp(_) => "request: caller hangs up",
            SiteFault::Twice(_) => "request: arrives twice",
        }
    }
}

/// What happens to transactions of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskTrouble {
    /// The next ones fail, so often in a row.
    Fails(DiskFault, u32),
    /// The next one succeeds, and its answer comes so many milliseconds late.
    Late(u64),
}

impl DiskTrouble {
    pub(super) fn draw(chance: &mut Chance) -> DiskTrouble {
        let furthest = chance.pick(&[4, 12, 40], 12);
        let statement = u32::try_from(chance.between(1, furthest)).unwrap_or(1);
        let strikes = u32::try_from(chance.between(1, 3)).unwrap_or(1);
        match chance.below(8) {
            0 => DiskTrouble::Fails(DiskFault::Begin, strikes),
            1 => DiskTrouble::Fails(DiskFault::CommitLost, 1),
            2 => DiskTrouble::Fails(DiskFault::CommitKept, 1),
            3 => DiskTrouble::Fails(DiskFault::BrokenStatement(statement), strikes),
            4 | 5 => DiskTrouble::Fails(DiskFault::Statement(statement), strikes),
            _ => DiskTrouble::Late(chance.pick(&[5, 300, 5_000, 90_000], 300)),
        }
    }

    pub(super) fn name(self, write: bool) -> &'static str {
        match (self, write) {
            (DiskTrouble::Fails(DiskFault::Begin, _), true) => "database: write cannot begin",
            (DiskTrouble::Fails(DiskFault::Begin, _), false) => "database: read cannot begin",
            (DiskTrouble::Fails(DiskFault::CommitLost, _), true) => "database: commit fails, nothing kept",
            (DiskTrouble::Fails(DiskFault::CommitKept, _), true) => "database: commit fails, all kept",
            (DiskTrouble::Fails(DiskFault::CommitLost | DiskFault::CommitKept, _), false) => {
                "database: read fails at its end"
            }
            (DiskTrouble::Fails(DiskFault::BrokenStatement(_), _), true) => {
                "database: statement of a write fails for good"
            }
            (DiskTrouble::Fails(DiskFault::BrokenStatement(_), _), false) => {
                "database: statement of a read fails for good"
            }
            (DiskTrouble::Fails(DiskFault::Statement(_), _), true) => "database: statement of a write fails in passing",
            (DiskTrouble::Fails(DiskFault::Statement(_), _), false) => "database: statement of a read fails in passing",
            (DiskTrouble::Late(_), true) => "database: answer to a write late",
            (DiskTrouble::Late(_), false) => "database: answer to a read late",
        }
    }
}

/// Which part of the database stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stall {
    /// All of it.
    All,
    /// Writes wait, reads do not.
    Writes,
    /// Reads wait, writes do not.
    Reads,
}

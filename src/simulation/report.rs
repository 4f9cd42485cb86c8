//! What a run came to, counted and printed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Counts of one world, or of many.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Payments by their last state.
    pub states: BTreeMap<String, u64>,
    /// Approvals by kind and last state.
    pub approvals: BTreeMap<String, u64>,
    /// Ends of the process.
    pub crashes: u64,
    /// Payments that were asked for.
    pub payments: u64,
    /// Transactions of the provider.
    pub transactions: u64,
    /// Transactions of the provider that moved money.
    pub with_money: u64,
    /// Polls and steps of the database.
    pub steps: u64,
    /// Transactions of the database.
    pub database: u64,
    /// Payments that a person has to look at.
    pub attention: u64,
    /// Calls that only a person can end: the provider shows what may or may not be their effect.
    pub left_to_a_person: u64,
    /// Virtual time that passed, seconds.
    pub virtual_s: u64,
}

impl Tally {
    /// Counts a fault.
    pub(super) fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    /// Adds another one.
    pub(super) fn add(&mut self, other: &Tally) {
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        for (state, count) in &other.states {
            *self.states.entry(state.clone()).or_default() += count;
        }
        for (name, count) in &other.approvals {
            *self.approvals.entry(name.clone()).or_default() += count;
        }
        self.crashes += other.crashes;
        self.payments += other.payments;
        self.transactions += other.transactions;
        self.with_money += other.with_money;
        self.steps += other.steps;
        self.database += other.database;
        self.attention += other.attention;
        self.left_to_a_person += other.left_to_a_person;
        self.virtual_s += other.virtual_s;
    }
}

/// A law that did not hold.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which law.
    pub law: &'static str,
    /// Of which payment, where it is about one.
    pub payment_id: Option<String>,
    /// How it was broken.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.detail)?;
        match &self.payment_id {
            Some(id) => write!(f, " [{id}]"),
            None => Ok(()),
        }
    }
}

/// What one world came to.
#[derive(Debug, Clone)]
pub struct WorldReport {
    /// Its seed.
    pub seed: u64,
    /// How many payments began in it.
    pub payments: u64,
    /// Over everything that happened, in order: equal when the run was equal.
    pub hash: u64,
    /// What was counted.
    pub tally: Tally,
    /// Laws that did not hold.
    pub violations: Vec<Violation>,
    /// What happened, where it was asked for.
    pub journal: Vec<String>,
    /// What happened to payments that broke a law, the first few, where it was asked for.
    pub timelines: Vec<Timeline>,
}

/// What happened to one payment, in order.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The payment.
    pub payment_id: String,
    /// Moves, calls, notifications, faults.
    pub lines: Vec<String>,
}

impl WorldReport {
    /// The command that runs this world again and tells what happened.
    pub fn command(&self) -> String {
        format!("kmic-payments simulate --world {:#018x} --payments {}", self.seed, self.payments)
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// The seed of the run.
    pub seed: u64,
    /// Worlds.
    pub worlds: u64,
    /// Over the hashes of all worlds.
    pub hash: u64,
    /// What was counted.
    pub tally: Tally,
    /// Worlds in which a law did not hold, by their number; the first few.
    pub failed: BTreeMap<u64, WorldReport>,
    /// How many there were.
    pub failures: u64,
    /// Real time.
    pub elapsed: Duration,
}

impl Summary {
    /// Payments of a second of real time.
    fn per_second(&self) -> u64 {
        let millis = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        self.tally.payments.saturating_mul(1_000) / millis
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let faults: u64 = tally.faults.values().sum();
        writeln!(
            f,
            "seed {}: {} payments in {} worlds, {} transactions at the provider ({} with money), {} steps, {} \
             database transactions, {faults} faults, {} crashes, {} worlds with violations, hash {:016x}",
            self.seed,
            tally.payments,
            self.worlds,
            tally.transactions,
            tally.with_money,
            tally.steps,
            tally.database,
            tally.crashes,
            self.failures,
            self.hash
        )?;
        writeln!(
            f,
            "{} days of virtual time in {:.1} s, {} payments/s",
            tally.virtual_s / 86_400,
            self.elapsed.as_secs_f32(),
            self.per_second()
        )?;
        writeln!(f, "\nfaults")?;
        for (name, count) in &tally.faults {
            writeln!(f, "{count:>10}  {name}")?;
        }
        writeln!(f, "{:>10}  crashes of the process", tally.crashes)?;
        writeln!(f, "\npayments by final state")?;
        for (state, count) in &tally.states {
            writeln!(f, "{count:>10}  {state}")?;
        }
        writeln!(f, "{:>10}  of them for a person to look at", tally.attention)?;
        writeln!(f, "{:>10}  refunds that only a person can tell from one in the cabinet", tally.left_to_a_person)?;
        writeln!(f, "\napprovals by kind and final state")?;
        tally.approvals.iter().try_for_each(|(name, count)| writeln!(f, "{count:>10}  {name}"))
    }
}

//! Walks along what was recorded: is each payment's story whole, is each of its rows, and each event that belongs to no
//! payment, sealed or waiting for it? See `verify_history`.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::told_sums::{self, Order};
use super::verify_closings::Closings;
use super::verify_history::{STRETCH, Walk, broken};
use super::verify_told::Told;
use crate::clock::Timestamp;
use crate::domain::money::{Currency, Money};
use crate::domain::proof::Record;
use crate::domain::state::{Certainty, EDGES, Status};
use crate::store::Tx;
use crate::store::history_walk::{self, Coverage, Standing, Step};
use crate::store::invariants::{self, EVENT_IS_IN_THE_FEED, LAWS, LawReport, Place, Root};

/// Returns how many rows it met.
pub(super) fn along_the_payments(tx: &mut Tx<'_>, sealed_before: Timestamp) -> Walk<i64> {
    let (mut after, mut met) = (String::new(), 0);
    loop {
        let stretch = history_walk::payments_after(tx, &after, STRETCH)?;
        let Some(last) = stretch.last() else { return Ok(met) };
        met += check_stories(tx, &after, &stretch, &last.id, sealed_before)?;
        after.clone_from(&last.id);
    }
}

/// The stories of a stretch of payments, which is all after the payment `after` up to `last`. Their rows come in the order of
/// the payments.
fn check_stories(
    tx: &mut Tx<'_>,
    after: &str,
    stretch: &[Standing],
    last: &str,
    sealed_before: Timestamp,
) -> Walk<i64> {
    let known: HashSet<&str> = stretch.iter().map(|payment| payment.id.as_str()).collect();
    let mut stories = stretch.iter().map(Story::begin).peekable();
    let (mut place, mut met, mut told) = ((after.to_owned(), i64::MAX), 0, Told::default());
    loop {
        let steps = history_walk::steps(tx, (&place.0, place.1), last, STRETCH)?;
        let Some(end) = steps.last() else { break };
        place = (end.payment_id.clone(), end.sequence);
        // A row of no payment is named later.
        for step in steps.iter().filter(|step| known.contains(step.payment_id.as_str())) {
            while let Some(story) = stories.next_if(|story| story.payment.id != step.payment_id) {
                met += story.end()?;
            }
            if let Some(story) = stories.peek_mut() {
                story.go_on(step, sealed_before, &mut told)?;
            }
        }
    }
    for story in stories {
        met += story.end()?;
    }
    told.check(tx)?;
    Ok(met)
}

/// One payment's rows follow one another, end where the payment is, and are sealed or wait for it.
struct Story<'a> {
    payment: &'a Standing,
    last: i64,
    state: String,
    told: Map<String, Value>,
    /// What calls a person, as the last row that tells of it leaves it: null where none does, or somebody has looked.
    attention: Value,
    /// Whether the outcome is known, as the last row that tells of it leaves it. It is where none does.
    certainty: Value,
}

impl Story<'_> {
    fn begin(payment: &Standing) -> Story<'_> {
        let certainty = json!(Certainty::Proven.as_str());
        Story { payment, last: 0, state: "none".to_owned(), told: Map::new(), attention: Value::Null, certainty }
    }

    /// What the row names in other books goes to `told`.
    fn go_on(&mut self, step: &Step, sealed_before: Timestamp, told: &mut Told) -> Walk<()> {
        let id = self.payment.id.as_str();
        let row = Some((id, step.sequence));
        if step.sequence != self.last + 1 {
            return broken("transitions", Some((id, self.last + 1)), None, "the row is missing");
        }
        if step.from_status != self.state {
            let what = format!("it begins in {}, the row before ends in {}", step.from_status, self.state);
            return broken("transitions", row, None, what);
        }
        if step.sequence > self.payment.sequence {
            let what = format!("the payment has {} rows: this one was put in past the service", self.payment.sequence);
            return broken("transitions", row, None, what);
        }
        check_sealed("transitions", (id, step.sequence), step.coverage(), sealed_before)?;
        let detail: Map<String, Value> = serde_json::from_str(&step.detail).unwrap_or_default();
        told.take(step, &detail);
        let looked_at = detail.get("resolved").map(|_| Value::Null);
        self.attention = detail.get("attention").cloned().or(looked_at).unwrap_or(self.attention.take());
        self.certainty = detail.get("certainty").unwrap_or(&self.certainty).clone();
        self.told.extend(detail.into_iter().filter(|(name, _)| name == "sums" || self.last == 0));
        (self.last, self.state) = (step.sequence, step.to_status.clone());
        Ok(())
    }

    /// The payment's own row says what its last row and the told sums say. Rows of versions that told no sums say nothing of
    /// them. Returns how many rows there were.
    fn end(&self) -> Walk<i64> {
        let (payment, last, state) = (self.payment, self.last, &self.state);
        let id = payment.id.as_str();
        if last < payment.sequence {
            return broken("transitions", Some((id, last + 1)), None, "the payment went further: the row is missing");
        }
        if *state != payment.status {
            let what =
                format!("the payment is {}, its last row ends in {state}: one of the two was changed", payment.status);
            return broken("payments", Some((id, last)), None, what);
        }
        if self.attention != json!(payment.attention) {
            let what = "its attention is not what the history tells: the payment's row was changed";
            return broken("payments", Some((id, last)), None, what);
        }
        let certainty = if payment.is_undetermined() { Certainty::Undetermined } else { Certainty::Proven };
        if self.certainty != json!(certainty.as_str()) {
            let what =
                format!("it is {}, the history tells otherwise: the payment's row was changed", certainty.as_str());
            return broken("payments", Some((id, last)), None, what);
        }
        self.check_sums()?;
        Ok(last)
    }

    /// What was asked for, and what is held, taken and given back.
    fn check_sums(&self) -> Walk<()> {
        let (payment, last) = (self.payment, self.last);
        let id = payment.id.as_str();
        let currency = Currency::parse(&payment.currency);
        let mut own: Map<String, Value> = [order_of(payment).told()].into_iter().collect();
        if let Some(currency) = currency {
            own.extend(told_sums::asked(Money::new(payment.amount, currency)));
            own.extend(told_sums::sums_of(currency, payment.authorized, payment.captured, payment.refunded));
        }
        for (name, value) in
            self.told.iter().filter(|(name, _)| ["amount", "currency", "sums", "order"].contains(&name.as_str()))
        {
            if own.get(name) != Some(value) {
                let what = format!("its {name} is not what the history tells, {value}: the payment's row was changed");
                return broken("payments", Some((id, last)), None, what);
            }
        }
        Ok(())
    }
}

fn order_of(payment: &Standing) -> Order<'_> {
    Order {
        id: &payment.id,
        invoice_id: &payment.invoice_id,
        capture_mode: &payment.capture_mode,
        method: &payment.method,
        language: &payment.language,
        created_by: &payment.created_by,
        created_at: payment.created_at(),
        expires_at: payment.expires_at(),
    }
}

/// The moves that the database lets through are those of the code: another one would let a state be written that the
/// service never comes to.
pub(super) fn check_the_moves(tx: &mut Tx<'_>) -> Walk<()> {
    let name = |from: Option<Status>| from.map_or("none", Status::as_str);
    let ours: BTreeSet<(&str, &str)> = EDGES.iter().map(|edge| (name(edge.from), edge.to.as_str())).collect();
    let stored = history_walk::moves(tx)?;
    let theirs: BTreeSet<(&str, &str)> = stored.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let Some((from, to)) = ours.symmetric_difference(&theirs).next() else { return Ok(()) };
    let what = if theirs.contains(&(*from, *to)) { "was put in past the service" } else { "is not there any more" };
    broken("transition_edges", None, None, format!("the move from {from} to {to} {what}"))
}

/// All money laws: the state and the sums of each payment, which the history tells, are what its transactions and refunds
/// say, and the books agree with one another. But for where events stand in the feed: a copy of the books on another server,
/// which nothing serves yet, holds as well.
pub(super) fn along_the_books(tx: &mut Tx<'_>, now: Timestamp) -> Walk<()> {
    for root in Root::ALL {
        let mut reports: Vec<LawReport> =
            LAWS.iter().filter(|law| law.name != EVENT_IS_IN_THE_FEED).map(LawReport::new).collect();
        let mut after = Some(Place::default());
        while let Some(place) = after {
            after = invariants::evaluate_slice(tx, root, &place, now, &mut reports)?;
            check_laws(&reports)?;
        }
    }
    Ok(())
}

fn check_laws(reports: &[LawReport]) -> Walk<()> {
    for report in reports {
        if let Some(subject) = report.at_fault.first() {
            let (name, law) = (report.law.name, report.law.law);
            let what = format!("{subject} breaks the law {name}: {law} What stands beside the history was changed");
            return broken("the books", None, None, what);
        }
    }
    Ok(())
}

/// Events that belong to no payment are sealed by themselves, and what they tell of discrepancies is so.
pub(super) fn along_the_loose_events(tx: &mut Tx<'_>, sealed_before: Timestamp) -> Walk<()> {
    let mut after = String::new();
    loop {
        let stretch = history_walk::loose_events(tx, &after, STRETCH)?;
        let Some(last) = stretch.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for event in &stretch {
            check_sealed("events", (&event.id, Record::EVENT_SEQUENCE), event.coverage(), sealed_before)?;
        }
        Closings::of_events(&stretch).check(tx)?;
    }
}

fn check_sealed(table: &'static str, row: (&str, i64), coverage: Coverage, sealed_before: Timestamp) -> Walk<()> {
    let row = Some(row);
    match (coverage.is_sealed, coverage.is_waiting) {
        (true, false) => Ok(()),
        (true, true) => broken("history_unsealed", row, None, "it waits for a seal and has one"),
        (false, false) => {
            broken(table, row, None, "no seal covers it and it does not wait for one: it was put in past the service")
        }
        (false, true) if coverage.at < sealed_before => {
            broken(table, row, None, "it still waits for a seal; does the service run?")
        }
        (false, true) => Ok(()),
    }
}

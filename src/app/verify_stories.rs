//! Walks along what was recorded: is each payment's story whole, is each of its rows, and each event that belongs to no
//! payment, sealed or waiting for it? See `verify_history`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::told_sums;
use super::verify_history::{STRETCH, Walk, broken};
use crate::clock::Timestamp;
use crate::domain::money::{Currency, Money};
use crate::domain::proof::Record;
use crate::store::Tx;
use crate::store::history_walk::{self, Coverage, Standing, Step};

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
    let (mut place, mut met) = ((after.to_owned(), i64::MAX), 0);
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
                story.go_on(step, sealed_before)?;
            }
        }
    }
    for story in stories {
        met += story.end()?;
    }
    Ok(met)
}

/// One payment's rows follow one another, end where the payment is, and are sealed or wait for it.
struct Story<'a> {
    payment: &'a Standing,
    last: i64,
    state: String,
    told: Map<String, Value>,
}

impl Story<'_> {
    fn begin(payment: &Standing) -> Story<'_> {
        Story { payment, last: 0, state: "none".to_owned(), told: Map::new() }
    }

    fn go_on(&mut self, step: &Step, sealed_before: Timestamp) -> Walk<()> {
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
        if let Ok(detail) = serde_json::from_str::<Map<String, Value>>(&step.detail) {
            self.told.extend(detail.into_iter().filter(|(name, _)| name == "sums" || self.last == 0));
        }
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
        let currency = Currency::parse(&payment.currency);
        let sums = currency.map(|currency| {
            let reached = told_sums::sums_of(currency, payment.authorized, payment.captured, payment.refunded);
            told_sums::asked(Money::new(payment.amount, currency)).into_iter().chain(reached).collect::<Map<_, _>>()
        });
        for (name, value) in
            self.told.iter().filter(|(name, _)| ["amount", "currency", "sums"].contains(&name.as_str()))
        {
            if sums.as_ref().and_then(|sums| sums.get(name)) != Some(value) {
                let what = format!("its {name} is not what the history tells, {value}: the payment's row was changed");
                return broken("payments", Some((id, last)), None, what);
            }
        }
        Ok(last)
    }
}

/// Events that belong to no payment are sealed by themselves.
pub(super) fn along_the_loose_events(tx: &mut Tx<'_>, sealed_before: Timestamp) -> Walk<()> {
    let mut after = String::new();
    loop {
        let stretch = history_walk::loose_events(tx, &after, STRETCH)?;
        let Some(last) = stretch.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for event in &stretch {
            check_sealed("events", (&event.id, Record::EVENT_SEQUENCE), event.coverage(), sealed_before)?;
        }
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

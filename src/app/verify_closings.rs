//! What operators did to discrepancies, as rows of the history and events tell it, is what the discrepancies say. That
//! they say nothing more is a law (`operators_closing_is_told`). See `verify_history`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ActKind;
use super::verify_history::{STRETCH, Walk, broken};
use crate::clock::Timestamp;
use crate::domain::proof::Record;
use crate::domain::register::Resolution;
use crate::store::Tx;
use crate::store::history_walk::{self, LooseEvent, Settled, Step};

/// What somebody did to a discrepancy.
struct Closing {
    discrepancy_id: String,
    /// Closed it; otherwise proposed to.
    closed: bool,
    by: String,
    at: Timestamp,
    /// The payment whose history tells it.
    payment_id: Option<String>,
    /// The row that tells it, or the event.
    row: (String, i64),
}

/// What the rows of a stretch of payments, or a stretch of events, tell.
#[derive(Default)]
pub(super) struct Closings(Vec<Closing>);

impl Closings {
    /// Takes up what one row tells.
    pub(super) fn take(&mut self, step: &Step, detail: &Map<String, Value>) {
        for (member, closed) in [("closed_discrepancy", true), ("proposed_closing_discrepancy", false)] {
            if let Some(id) = detail.get(member).and_then(Value::as_str) {
                self.0.push(Closing {
                    discrepancy_id: id.to_owned(),
                    closed,
                    by: step.actor.clone(),
                    at: step.at(),
                    payment_id: Some(step.payment_id.clone()),
                    row: (step.payment_id.clone(), step.sequence),
                });
            }
        }
    }

    /// What events of no payment tell.
    pub(super) fn of_events(events: &[LooseEvent]) -> Closings {
        let told = |event: &LooseEvent| {
            let closed = event.kind == ActKind::DiscrepancyClosed.as_str();
            let (subject, actor) = event.subject_id.clone().zip(event.actor.clone())?;
            (closed || event.kind == ActKind::ClosingProposed.as_str()).then(|| Closing {
                discrepancy_id: subject,
                closed,
                by: actor,
                at: event.at(),
                payment_id: None,
                row: (event.id.clone(), Record::EVENT_SEQUENCE),
            })
        };
        Closings(events.iter().filter_map(told).collect())
    }

    /// All of it is so.
    pub(super) fn check(&self, tx: &mut Tx<'_>) -> Walk<()> {
        for stretch in self.0.chunks(usize::try_from(STRETCH).unwrap_or(1)) {
            let ids: Vec<&str> = stretch.iter().map(|told| told.discrepancy_id.as_str()).collect();
            let there: BTreeMap<String, Settled> =
                history_walk::discrepancies(tx, &ids)?.into_iter().map(|one| (one.id.clone(), one)).collect();
            for told in stretch {
                if let Some(what) = told.fault(there.get(&told.discrepancy_id)) {
                    let row = Some((told.row.0.as_str(), told.row.1));
                    return broken("discrepancies", row, None, format!("{} {what}", told.discrepancy_id));
                }
            }
        }
        Ok(())
    }
}

impl Closing {
    fn fault(&self, found: Option<&Settled>) -> Option<&'static str> {
        let Some(found) = found.filter(|found| found.payment_id == self.payment_id) else {
            return Some("is told of, and is not there");
        };
        // A proposal gives way to later ones only.
        let stands = if self.closed {
            found.resolution.as_deref() == Some(Resolution::Operator.as_str())
                && found.closed_by.as_deref() == Some(self.by.as_str())
                && found.closed_at() == Some(self.at)
        } else {
            found.proposed_at().is_some_and(|at| at >= self.at)
        };
        (!stands).then_some(if self.closed {
            "was closed by an operator, and does not say so: it was changed"
        } else {
            "was proposed to be closed, and does not say so: it was changed"
        })
    }
}

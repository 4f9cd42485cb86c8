//! What a seal covers: rows of the history, each with the events that tell of it, and events that belong to no payment.

use super::Hash;
use crate::clock::Timestamp;

const ROW_ALONE: &[u8] = b"kmic-payments/transition/1";
const ROW: &[u8] = b"kmic-payments/transition/2";
const EVENT: &[u8] = b"kmic-payments/event/1";
const ACT: &[u8] = b"kmic-payments/event/2";

/// A row of the history as it is stored, every column. Not checked for meaning: a changed row must be hashed too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The payment.
    pub payment_id: String,
    /// 1, 2, 3, … for each payment.
    pub sequence: i64,
    /// The state before; `none` for the creation.
    pub from_status: String,
    /// The state after.
    pub to_status: String,
    /// The kind of cause.
    pub cause_type: String,
    /// The request, operation or notification it was.
    pub cause_id: Option<String>,
    /// Who acted.
    pub actor: String,
    /// The provider's transaction it is about.
    pub transaction_id: Option<i64>,
    /// More about it: JSON as text, byte for byte as stored.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// An event as it is stored, without its place in the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEvent {
    /// Its id.
    pub id: String,
    /// What happened.
    pub kind: String,
    /// The payment; none for a notification that belongs to no payment.
    pub payment_id: Option<String>,
    /// The refund.
    pub refund_id: Option<String>,
    /// The row of the payment's history that it tells of.
    pub sequence: Option<i64>,
    /// When.
    pub at: Timestamp,
    /// The notification.
    pub notification_id: Option<String>,
    /// The provider's transaction.
    pub transaction_id: Option<i64>,
    /// The key or the discrepancy that somebody acted on; no event of a row has one.
    pub subject_id: Option<String>,
    /// Who acted; goes with `subject_id`.
    pub actor: Option<String>,
}

fn text(text: &str) -> String {
    format!("={text}")
}

fn number(number: i64) -> String {
    format!("={number}")
}

fn text_or_nothing(value: Option<&str>) -> String {
    value.map(text).unwrap_or_default()
}

fn number_or_nothing(value: Option<i64>) -> String {
    value.map(number).unwrap_or_default()
}

fn over(tag: &[u8], parts: &[String]) -> Hash {
    let parts: Vec<&[u8]> = std::iter::once(tag).chain(parts.iter().map(String::as_bytes)).collect();
    Hash::over(&parts)
}

impl HistoryRow {
    /// Every column, in the order of the table. A value is preceded by `=`, so that an empty text and no value differ.
    fn columns(&self) -> Vec<String> {
        vec![
            text(&self.payment_id),
            number(self.sequence),
            text(&self.from_status),
            text(&self.to_status),
            text(&self.cause_type),
            text_or_nothing(self.cause_id.as_deref()),
            text(&self.actor),
            number_or_nothing(self.transaction_id),
            text(&self.detail),
            number(self.at.micros()),
        ]
    }

    /// The hash of the row alone: how rows were sealed before their events were covered.
    pub fn hash_alone(&self) -> Hash {
        over(ROW_ALONE, &self.columns())
    }

    /// The hash of the row and of the events that tell of it, in the order of the feed.
    pub fn hash_with(&self, events: &[HistoryEvent]) -> Hash {
        let mut parts = self.columns();
        parts.push(events.len().to_string());
        parts.extend(events.iter().flat_map(HistoryEvent::columns));
        over(ROW, &parts)
    }
}

impl HistoryEvent {
    /// What every event has.
    fn columns(&self) -> [String; 8] {
        [
            text(&self.id),
            text(&self.kind),
            text_or_nothing(self.payment_id.as_deref()),
            text_or_nothing(self.refund_id.as_deref()),
            number_or_nothing(self.sequence),
            number(self.at.micros()),
            text_or_nothing(self.notification_id.as_deref()),
            number_or_nothing(self.transaction_id),
        ]
    }

    /// The hash of an event that is sealed by itself, because it belongs to no payment.
    pub fn hash(&self) -> Hash {
        if !self.is_act() {
            return over(EVENT, &self.columns());
        }
        let who = [self.subject_id.as_deref(), self.actor.as_deref()].map(text_or_nothing);
        over(ACT, &[&self.columns()[..], &who[..]].concat())
    }

    /// Whether it tells what somebody did to something that belongs to no payment.
    fn is_act(&self) -> bool {
        self.subject_id.is_some() || self.actor.is_some()
    }
}

/// What stands at one place of a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A row of the history with the events that tell of it, in the order of the feed.
    Row(HistoryRow, Vec<HistoryEvent>),
    /// An event that belongs to no payment.
    Event(HistoryEvent),
}

/// How a row was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// With the events that tell of it.
    WithEvents,
    /// Alone: before there was a cover for events.
    Alone,
}

impl Record {
    /// What stands for "an event, not a row" where a row has its sequence.
    pub const EVENT_SEQUENCE: i64 = 0;

    /// The payment and the row, or the event and [`Record::EVENT_SEQUENCE`].
    pub fn key(&self) -> (&str, i64) {
        match self {
            Record::Row(row, _) => (&row.payment_id, row.sequence),
            Record::Event(event) => (&event.id, Record::EVENT_SEQUENCE),
        }
    }

    /// The hash that it is sealed by today.
    pub fn hash(&self) -> Hash {
        match self {
            Record::Row(row, events) => row.hash_with(events),
            Record::Event(event) => event.hash(),
        }
    }

    /// How it was sealed, if this is its hash.
    pub fn cover(&self, sealed: Hash) -> Option<Cover> {
        match self {
            // Nothing of the service gives the event of a row what only acts have; the hash of the row does not cover it.
            Record::Row(_, events) if events.iter().any(HistoryEvent::is_act) => None,
            _ if self.hash() == sealed => Some(Cover::WithEvents),
            Record::Row(row, _) if row.hash_alone() == sealed => Some(Cover::Alone),
            _ => None,
        }
    }
}

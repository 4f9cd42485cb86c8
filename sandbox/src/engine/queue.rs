//! The queue of notifications: what is due, what is tried again, and a log of every try.
//!
//! Notifications of one transaction are never under way at the same time, and go out in the order
//! they were made. Limits: the log keeps the last tries, ten thousand unless set otherwise.

use super::faults::NotificationFaultKind;
use super::{Engine, Notification, NotificationKind};
use crate::time;
use serde::Serialize;
use std::collections::VecDeque;

/// Minutes between tries; the last one repeats.
const PAUSES: [i64; 5] = [1, 2, 5, 10, 30];
/// Tries of one notification.
const MAX_ATTEMPTS: u32 = 100;
/// What came back from the merchant's service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP answer.
    Answered {
        /// Its status.
        status: u16,
        /// Its body.
        body: String,
    },
    /// No answer in time.
    TimedOut,
    /// No connection.
    Unreachable,
}

impl Reply {
    /// The `code` of the reply; a number or a number in text.
    fn code(&self) -> Option<i64> {
        let Reply::Answered { status: 200, body } = self else {
            return None;
        };
        let reply: serde_json::Value = serde_json::from_str(body).ok()?;
        match reply.get("code")? {
            serde_json::Value::String(text) => text.trim().parse().ok(),
            other => other.as_i64(),
        }
    }

    /// The notification counts as delivered.
    pub fn accepted(&self) -> bool {
        self.code() == Some(0)
    }

    /// The `ReasonCode` of a refusal, when this is the reply to a Check.
    pub fn check_refusal(&self) -> Option<u16> {
        match (self, self.code()) {
            (_, Some(0)) => None,
            (_, Some(10)) => Some(3001),
            (_, Some(11)) => Some(3002),
            (_, Some(12)) => Some(3003),
            (_, Some(13)) => Some(3008),
            (_, Some(20)) => Some(3004),
            (Reply::Unreachable | Reply::Answered { status: 404 | 504 | 508, .. }, _) => Some(3007),
            (Reply::TimedOut | Reply::Answered { status: 500.., .. }, _) => Some(3006),
            _ => Some(3005),
        }
    }
}

/// A try to deliver.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What to give back with the reply.
    pub id: u64,
    /// Number of the try, from 1.
    pub attempt: u32,
    /// What to send.
    pub notification: Notification,
}

/// A line of the log.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryRecord {
    /// Type.
    #[serde(rename = "type")]
    pub kind: NotificationKind,
    /// Transaction.
    pub transaction_id: i64,
    /// Body as sent.
    pub body: String,
    /// Number of the try; 0 when it was never sent.
    pub attempt: u32,
    /// HTTP status of the reply.
    pub http_status: Option<u16>,
    /// Body of the reply.
    pub reply: Option<String>,
    /// Moment of the sandbox clock.
    pub at: String,
    /// `delivered`, `refused`, `timed_out`, `unreachable` or `lost`.
    pub outcome: &'static str,
}

#[derive(Debug)]
struct Item {
    id: u64,
    notification: Notification,
    due: i64,
    attempt: u32,
    under_way: bool,
    before_answer: bool,
    /// Waits for this one to have been tried.
    after: After,
}

#[derive(Debug, PartialEq, Eq)]
enum After {
    Nothing,
    /// The next one that is made.
    Next,
    Item(u64),
}

#[derive(Debug)]
pub(super) struct Queue {
    items: Vec<Item>,
    log: VecDeque<DeliveryRecord>,
    next_id: u64,
    time_scale: i64,
    /// Tries kept in the log.
    log_limit: usize,
}

impl Queue {
    pub(super) fn new(time_scale: u32, log_limit: usize) -> Queue {
        let time_scale = i64::from(time_scale.max(1));
        Queue { items: Vec::new(), log: VecDeque::new(), next_id: 1, time_scale, log_limit: log_limit.max(1) }
    }

    /// Takes over the numbering, so that a delivery under way is not mistaken for a new one.
    pub(super) fn continue_ids(&mut self, before: &Queue) {
        self.next_id = before.next_id;
    }

    pub(super) fn push(
        &mut self,
        notification: Notification,
        due: i64,
        now: i64,
        fault: Option<NotificationFaultKind>,
    ) {
        let (mut due, mut before_answer, mut after) = (due, false, After::Nothing);
        match fault {
            Some(NotificationFaultKind::Lose) => return self.record(&notification, 0, None, now),
            Some(NotificationFaultKind::Duplicate) => self.put(notification.clone(), due, false, After::Nothing),
            Some(NotificationFaultKind::Delay { ms }) => due = due.saturating_add_unsigned(ms),
            Some(NotificationFaultKind::BeforeAnswer) => before_answer = true,
            Some(NotificationFaultKind::Reorder) => after = After::Next,
            None => {}
        }
        self.put(notification, due, before_answer, after);
    }

    fn put(&mut self, notification: Notification, due: i64, before_answer: bool, after: After) {
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        for waiting in self.items.iter_mut().filter(|item| item.after == After::Next) {
            waiting.after = After::Item(id);
        }
        self.items.push(Item { id, notification, due, attempt: 0, under_way: false, before_answer, after });
    }

    fn start(&mut self, wanted: impl Fn(&Item) -> bool) -> Option<Delivery> {
        let lanes: Vec<i64> = self.items.iter().filter(|item| item.under_way).map(Item::lane).collect();
        let free = |item: &&mut Item| !item.under_way && item.after == After::Nothing && !lanes.contains(&item.lane());
        let candidates = self.items.iter_mut().filter(free).filter(|item| wanted(item));
        let item = candidates.min_by_key(|item| (item.due, item.id))?;
        item.under_way = true;
        item.attempt = item.attempt.saturating_add(1);
        Some(Delivery { id: item.id, attempt: item.attempt, notification: item.notification.clone() })
    }

    fn finish(&mut self, delivery: &Delivery, reply: &Reply, now: i64) {
        self.record(&delivery.notification, delivery.attempt, Some(reply), now);
        let over = reply.accepted() || delivery.attempt >= MAX_ATTEMPTS;
        if over {
            self.items.retain(|item| item.id != delivery.id);
        }
        let pause = pause_ms(delivery.attempt) / self.time_scale;
        for item in &mut self.items {
            if item.after == After::Item(delivery.id) {
                item.after = After::Nothing;
            }
            if item.id == delivery.id {
                item.under_way = false;
                item.before_answer = false;
                item.due = now.saturating_add(pause);
            }
        }
    }

    fn record(&mut self, notification: &Notification, attempt: u32, reply: Option<&Reply>, now: i64) {
        let (http_status, text, outcome) = match reply {
            None => (None, None, "lost"),
            Some(Reply::TimedOut) => (None, None, "timed_out"),
            Some(Reply::Unreachable) => (None, None, "unreachable"),
            Some(reply @ Reply::Answered { status, body }) => {
                (Some(*status), Some(body.clone()), if reply.accepted() { "delivered" } else { "refused" })
            }
        };
        if self.log.len() >= self.log_limit {
            self.log.pop_front();
        }
        self.log.push_back(DeliveryRecord {
            kind: notification.kind,
            transaction_id: notification.transaction_id,
            body: notification.body.clone(),
            attempt,
            http_status,
            reply: text,
            at: time::iso(now),
            outcome,
        });
    }
}

impl Item {
    const fn lane(&self) -> i64 {
        self.notification.transaction_id
    }
}

fn pause_ms(attempt: u32) -> i64 {
    let place = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let minutes = PAUSES.get(place).or(PAUSES.last()).copied().unwrap_or(30);
    minutes * 60_000
}

impl Engine {
    /// The next notification that is due; it counts as under way until [`Engine::delivered`].
    pub fn next_delivery(&mut self, now: i64) -> Option<Delivery> {
        self.queue.start(|item| item.due <= now && !item.before_answer)
    }

    /// The next notification that must be delivered before the answer about this transaction.
    pub fn next_before_answer(&mut self, transaction_id: i64) -> Option<Delivery> {
        self.queue.start(|item| item.before_answer && item.lane() == transaction_id)
    }

    /// Tells what came of a delivery: it is done, or tried again later.
    pub fn delivered(&mut self, delivery: &Delivery, reply: &Reply, now: i64) {
        self.queue.finish(delivery, reply, now);
    }

    /// Writes the delivery of a Check into the log.
    pub fn checked(&mut self, notification: &Notification, reply: &Reply, now: i64) {
        self.queue.record(notification, 1, Some(reply), now);
    }

    /// When the next waiting notification is due.
    pub fn next_due(&self) -> Option<i64> {
        let waiting = |item: &&Item| !item.under_way && item.after == After::Nothing && !item.before_answer;
        self.queue.items.iter().filter(waiting).map(|item| item.due).min()
    }

    /// Something is under way, or due by this moment.
    pub fn has_due(&self, by: i64) -> bool {
        let pressing = |item: &Item| item.under_way || (item.due <= by && item.after != After::Next);
        self.queue.items.iter().any(pressing)
    }

    /// Every try to deliver, oldest first.
    pub fn delivery_log(&self) -> Vec<DeliveryRecord> {
        self.queue.log.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Reply {
        Reply::Answered { status, body: body.to_owned() }
    }

    #[test]
    fn check_replies() {
        for (reply, refusal) in [
            (answered(200, r#"{"code":0}"#), None),
            (answered(200, r#"{"code":"0","message":"x"}"#), None),
            (answered(200, r#"{"code":10}"#), Some(3001)),
            (answered(200, r#"{"code":"11"}"#), Some(3002)),
            (answered(200, r#"{"code":12}"#), Some(3003)),
            (answered(200, r#"{"code":13}"#), Some(3008)),
            (answered(200, r#"{"code":20}"#), Some(3004)),
            (answered(200, r#"{"code":7}"#), Some(3005)),
            (answered(200, "<br>{}"), Some(3005)),
            (answered(301, ""), Some(3005)),
            (answered(500, ""), Some(3006)),
            (Reply::TimedOut, Some(3006)),
            (answered(404, ""), Some(3007)),
            (answered(504, ""), Some(3007)),
            (answered(508, ""), Some(3007)),
            (Reply::Unreachable, Some(3007)),
        ] {
            assert_eq!(reply.check_refusal(), refusal, "{reply:?}");
        }
    }

    #[test]
    fn pauses_grow_and_then_repeat() {
        let minutes: Vec<i64> = (1..=7).map(|attempt| pause_ms(attempt) / 60_000).collect();
        assert_eq!(minutes, [1, 2, 5, 10, 30, 30, 30]);
    }
}

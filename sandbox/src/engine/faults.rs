//! Scripted faults: what goes wrong, where and how many times.
//!
//! Limits: faults of one path are used in the order they were scripted; there is no probability,
//! so that a test knows what happens.

use super::{NotificationKind, Route};
use serde::{Deserialize, Serialize, de::Error};
use std::collections::BTreeMap;

/// A fault of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// In the answer to an API request.
    Api(ApiFault),
    /// In the delivery of a notification.
    Notification(NotificationFault),
}

/// A fault in the answer to an API request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ApiFault {
    /// Path of the method, or `*` for all.
    pub path: String,
    /// How many requests it spoils.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    #[serde(flatten)]
    pub kind: ApiFaultKind,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ApiFaultKind {
    /// The work is done at once and the answer comes late.
    Delay {
        /// By how much.
        ms: u64,
    },
    /// The connection is closed and nothing is done.
    DropBefore,
    /// The work is done and the connection is closed without an answer.
    DropAfter,
    /// The work is done and another status is answered.
    StatusAfter {
        /// The HTTP status.
        status: u16,
        /// The body; a short HTML page when absent.
        #[serde(default)]
        body: Option<String>,
    },
    /// The work is done and HTTP 200 comes with something that is not JSON.
    GarbageAfter,
    /// The bank refuses the payment.
    Decline {
        /// `ReasonCode`.
        reason_code: u16,
    },
    /// The bank refuses, and a reserve bank is asked under the same request: the answer is about a second transaction,
    /// which names the first one in `FallBackScenarioDeclinedTransactionId`.
    ReserveBank {
        /// `ReasonCode` of the first transaction.
        reason_code: u16,
    },
    /// A status is answered and nothing is done.
    StatusBefore {
        /// The HTTP status.
        status: u16,
    },
    /// Nothing is done; the connection stays silent and is then closed.
    Hang {
        /// For how long.
        ms: u64,
    },
}

/// A fault in the delivery of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct NotificationFault {
    /// Which type.
    pub notification: NotificationKind,
    /// How many notifications it spoils.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    #[serde(flatten)]
    pub kind: NotificationFaultKind,
}

/// What happens to a notification.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NotificationFaultKind {
    /// It is never sent.
    Lose,
    /// It is sent twice.
    Duplicate,
    /// It is sent late.
    Delay {
        /// By how much (sandbox clock).
        ms: u64,
    },
    /// It is delivered before the API answer goes out.
    BeforeAnswer,
    /// It waits until the next notification has been sent.
    Reorder,
}

impl Fault {
    /// A fault of the next request to a path (`*` for any).
    pub fn api(path: &str, kind: ApiFaultKind) -> Fault {
        Fault::Api(ApiFault { path: path.to_owned(), times: 1, kind })
    }

    /// A fault of the next notification of a type.
    pub const fn notification(notification: NotificationKind, kind: NotificationFaultKind) -> Fault {
        Fault::Notification(NotificationFault { notification, times: 1, kind })
    }

    /// The same fault several times.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Fault {
        match &mut self {
            Fault::Api(fault) => fault.times = times,
            Fault::Notification(fault) => fault.times = times,
        }
        self
    }

    /// From the JSON of the control API. A path that is not a method is an error, not a fault that
    /// never happens.
    pub fn from_json(text: &str) -> Result<Fault, serde_json::Error> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        if value.get("notification").is_some() {
            return serde_json::from_value(value).map(Fault::Notification);
        }
        let fault: ApiFault = serde_json::from_value(value)?;
        if fault.path != "*" && Route::parse(&fault.path).is_none() {
            return Err(serde_json::Error::custom(format!("no method at {}", fault.path)));
        }
        Ok(Fault::Api(fault))
    }
}

impl ApiFaultKind {
    /// The name in the control API.
    const fn name(&self) -> &'static str {
        match self {
            ApiFaultKind::Delay { .. } => "delay",
            ApiFaultKind::DropBefore => "drop_before",
            ApiFaultKind::DropAfter => "drop_after",
            ApiFaultKind::StatusAfter { .. } => "status_after",
            ApiFaultKind::GarbageAfter => "garbage_after",
            ApiFaultKind::Decline { .. } => "decline",
            ApiFaultKind::ReserveBank { .. } => "reserve_bank",
            ApiFaultKind::StatusBefore { .. } => "status_before",
            ApiFaultKind::Hang { .. } => "hang",
        }
    }
}

impl NotificationFaultKind {
    /// What happens to which notification, as it is counted.
    const fn name(&self) -> &'static str {
        match self {
            NotificationFaultKind::Lose => "notification lose",
            NotificationFaultKind::Duplicate => "notification duplicate",
            NotificationFaultKind::Delay { .. } => "notification delay",
            NotificationFaultKind::BeforeAnswer => "notification before_answer",
            NotificationFaultKind::Reorder => "notification reorder",
        }
    }
}

/// What became of the scripted faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultCounts {
    /// How many happened, by kind; those of notifications as `notification lose`.
    pub happened: BTreeMap<&'static str, u64>,
    /// How many are still to happen.
    pub waiting: u64,
}

/// Faults that are still to happen, and a count of those that did.
#[derive(Debug, Default)]
pub(super) struct Faults {
    api: Vec<ApiFault>,
    notification: Vec<NotificationFault>,
    happened: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Api(mut fault) => {
                if let Some(route) = Route::parse(&fault.path) {
                    fault.path = route.path();
                }
                self.api.push(fault);
            }
            Fault::Notification(fault) => self.notification.push(fault),
        }
    }

    /// Forgets what is still to happen.
    pub(super) fn clear(&mut self) {
        self.api.clear();
        self.notification.clear();
    }

    pub(super) fn counts(&self) -> FaultCounts {
        let api = self.api.iter().map(|fault| u64::from(fault.times)).sum::<u64>();
        let notification = self.notification.iter().map(|fault| u64::from(fault.times)).sum::<u64>();
        FaultCounts { happened: self.happened.clone(), waiting: api.saturating_add(notification) }
    }

    fn count(&mut self, name: &'static str) {
        let count = self.happened.entry(name).or_default();
        *count = count.saturating_add(1);
    }

    /// The next fault for a path that concerns the connection.
    pub(super) fn take_transport(&mut self, path: &str) -> Option<ApiFaultKind> {
        let of_bank =
            |kind: &ApiFaultKind| matches!(kind, ApiFaultKind::Decline { .. } | ApiFaultKind::ReserveBank { .. });
        self.take_api(path, |kind| !of_bank(kind))
    }

    /// The next refusal by the bank for a path.
    pub(super) fn take_decline(&mut self, path: &str) -> Option<u16> {
        match self.take_api(path, |kind| matches!(kind, ApiFaultKind::Decline { .. }))? {
            ApiFaultKind::Decline { reason_code } => Some(reason_code),
            _ => None,
        }
    }

    /// The next refusal by a first bank for a path.
    pub(super) fn take_fall_back(&mut self, path: &str) -> Option<u16> {
        match self.take_api(path, |kind| matches!(kind, ApiFaultKind::ReserveBank { .. }))? {
            ApiFaultKind::ReserveBank { reason_code } => Some(reason_code),
            _ => None,
        }
    }

    fn take_api(&mut self, path: &str, wanted: impl Fn(&ApiFaultKind) -> bool) -> Option<ApiFaultKind> {
        let fits =
            |fault: &&mut ApiFault| (fault.path == "*" || fault.path == path) && fault.times > 0 && wanted(&fault.kind);
        let fault = self.api.iter_mut().find(fits)?;
        fault.times = fault.times.saturating_sub(1);
        let kind = fault.kind.clone();
        self.api.retain(|fault| fault.times > 0);
        self.count(kind.name());
        Some(kind)
    }

    /// The next fault for a notification.
    pub(super) fn take_notification(&mut self, kind: NotificationKind) -> Option<NotificationFaultKind> {
        let fits = |fault: &&mut NotificationFault| fault.notification == kind && fault.times > 0;
        let fault = self.notification.iter_mut().find(fits)?;
        fault.times = fault.times.saturating_sub(1);
        let what = fault.kind.clone();
        self.notification.retain(|fault| fault.times > 0);
        self.count(what.name());
        Some(what)
    }
}

const fn once() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_control_api() {
        let fault = Fault::from_json(r#"{"path":"/payments/refund","times":2,"kind":"delay","ms":5}"#).unwrap();
        assert_eq!(fault, Fault::api("/payments/refund", ApiFaultKind::Delay { ms: 5 }).times(2));
        let fault = Fault::from_json(r#"{"notification":"pay","kind":"before_answer"}"#).unwrap();
        assert_eq!(fault, Fault::notification(NotificationKind::Pay, NotificationFaultKind::BeforeAnswer));
        assert!(Fault::from_json(r#"{"path":"*","kind":"explode"}"#).is_err());
        assert!(Fault::from_json(r#"{"path":"/payment/refund","kind":"drop_after"}"#).is_err());
    }

    #[test]
    fn is_used_up() {
        let mut faults = Faults::default();
        faults.add(Fault::api("*", ApiFaultKind::Decline { reason_code: 5005 }));
        faults.add(Fault::api("/a", ApiFaultKind::DropAfter).times(2));
        assert_eq!(faults.take_transport("/b"), None);
        assert_eq!(faults.take_transport("/a"), Some(ApiFaultKind::DropAfter));
        assert_eq!(faults.take_decline("/b"), Some(5005));
        assert_eq!(faults.take_decline("/b"), None);
        assert_eq!(faults.take_transport("/a"), Some(ApiFaultKind::DropAfter));
        assert_eq!(faults.take_transport("/a"), None);
    }
}

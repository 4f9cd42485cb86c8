//! Notifications: their types, bodies and signatures.
//!
//! Limits: the fields of a card payment and its refund; recurrent and fiscal types can be switched
//! on and off in settings but are never sent.

use super::fields::fields;
use super::settings::HttpMethod;
use super::{Engine, Transaction};
use crate::wire;
use serde::{Deserialize, Serialize};

/// Type of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NotificationKind {
    /// May this payment go on?
    Check,
    /// A payment succeeded.
    Pay,
    /// A payment was refused.
    Fail,
    /// Held money was taken.
    Confirm,
    /// Money was given back.
    Refund,
    /// A hold was released.
    Cancel,
    /// A subscription changed (never sent here).
    Recurrent,
}

impl NotificationKind {
    /// All types.
    pub const ALL: [NotificationKind; 7] = [
        NotificationKind::Check,
        NotificationKind::Pay,
        NotificationKind::Fail,
        NotificationKind::Confirm,
        NotificationKind::Refund,
        NotificationKind::Cancel,
        NotificationKind::Recurrent,
    ];

    /// The last part of the address.
    pub const fn name(self) -> &'static str {
        match self {
            NotificationKind::Check => "check",
            NotificationKind::Pay => "pay",
            NotificationKind::Fail => "fail",
            NotificationKind::Confirm => "confirm",
            NotificationKind::Refund => "refund",
            NotificationKind::Cancel => "cancel",
            NotificationKind::Recurrent => "recurrent",
        }
    }

    /// From text in any case.
    pub fn parse(text: &str) -> Option<NotificationKind> {
        NotificationKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text))
    }
}

/// A notification ready to be sent.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Its type.
    pub kind: NotificationKind,
    /// The transaction it is about.
    pub transaction_id: i64,
    /// Where it goes.
    pub url: String,
    /// `GET` puts the body into the query string.
    pub get: bool,
    /// `Content-Type` of the body.
    pub content_type: &'static str,
    /// Body, or query string.
    pub body: String,
    /// Signature of the body as sent.
    pub content_hmac: String,
    /// Signature of the decoded body.
    pub x_content_hmac: String,
}

impl Engine {
    /// The Check of a payment, when there is somewhere to send it.
    pub(super) fn check_notification(&self, id: i64) -> Option<Notification> {
        self.notification(NotificationKind::Check, self.transactions.get(&id)?, 0)
    }

    /// Queues a notification, unless its type is off.
    pub(super) fn notify(&mut self, kind: NotificationKind, id: i64, now: i64) {
        let built = self.transactions.get(&id).and_then(|transaction| self.notification(kind, transaction, now));
        let Some(notification) = built else { return };
        let fault = self.faults.take_notification(kind);
        let due = now.saturating_add(self.config.notification_delay_ms.into());
        self.queue.push(notification, due, now, fault);
    }

    fn notification(&self, kind: NotificationKind, transaction: &Transaction, now: i64) -> Option<Notification> {
        let target = self.settings.target(kind)?;
        let fields = fields(kind, transaction, now);
        let json = self.config.json_notifications && target.method == HttpMethod::Post;
        let body = if json { fields.json() } else { fields.form() };
        let decoded = if json { body.clone() } else { wire::decode(&body) };
        let content_type = if json { "application/json; charset=utf-8" } else { "application/x-www-form-urlencoded" };
        Some(Notification {
            kind,
            transaction_id: transaction.id,
            url: target.url,
            get: target.method == HttpMethod::Get,
            content_type,
            content_hmac: wire::sign(&self.config.api_secret, &body),
            x_content_hmac: wire::sign(&self.config.api_secret, &decoded),
            body,
        })
    }
}

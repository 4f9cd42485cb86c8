//! Notifications of the provider, as they come in and as they are kept.

use crate::clock::Timestamp;
use crate::domain::id::NotificationId;

/// The eight kinds of notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationKind {
    /// May this payment be made?
    Check,
    /// Money was taken or held.
    Pay,
    /// An attempt was refused.
    Fail,
    /// Held money was taken.
    Confirm,
    /// Money was given back.
    Refund,
    /// Held money was released.
    Cancel,
    /// A plan changed.
    Recurrent,
    /// A fiscal receipt was made.
    Receipt,
}

impl NotificationKind {
    /// Every kind.
    pub const ALL: [NotificationKind; 8] = [
        NotificationKind::Check,
        NotificationKind::Pay,
        NotificationKind::Fail,
        NotificationKind::Confirm,
        NotificationKind::Refund,
        NotificationKind::Cancel,
        NotificationKind::Recurrent,
        NotificationKind::Receipt,
    ];

    /// The last part of its address.
    pub fn as_str(self) -> &'static str {
        match self {
            NotificationKind::Check => "check",
            NotificationKind::Pay => "pay",
            NotificationKind::Fail => "fail",
            NotificationKind::Confirm => "confirm",
            NotificationKind::Refund => "refund",
            NotificationKind::Cancel => "cancel",
            NotificationKind::Recurrent => "recurrent",
            NotificationKind::Receipt => "receipt",
        }
    }

    /// Reads the last part of the address.
    pub fn parse(text: &str) -> Option<NotificationKind> {
        NotificationKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A notification as it came in.
pub struct RawNotification {
    /// By its address.
    pub kind: NotificationKind,
    /// The signed bytes: the body of a POST, the query string of a GET.
    pub signed: Vec<u8>,
    /// Whether the bytes are JSON; form encoding otherwise.
    pub is_json: bool,
    /// `Content-HMAC`.
    pub content_hmac: Option<String>,
    /// `X-Content-HMAC`.
    pub x_content_hmac: Option<String>,
}

/// What the provider is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationReply {
    /// 200 `{"code":N}`; 0 is "taken" or, for Check, "go on".
    Code(u8),
    /// 401: no valid signature.
    BadSignature,
    /// 503: it could not be stored; the provider repeats it.
    TryAgain,
}

/// A notification with its body, opened.
#[derive(Debug)]
pub struct StoredNotification {
    /// What may be shown of it.
    pub record: NotificationRecord,
    /// The signed bytes; `None` when their time was over or their payer was erased.
    pub body: Option<Vec<u8>>,
    /// Whether they are JSON.
    pub is_json: bool,
}

/// A stored notification, its body left out.
#[derive(Debug, Clone)]
pub struct NotificationRecord {
    /// Our id.
    pub id: NotificationId,
    /// Its kind.
    pub kind: String,
    /// The payment it was booked on.
    pub payment_id: Option<String>,
    /// The provider's transaction it speaks of.
    pub transaction_id: Option<i64>,
    /// `applied`, `no_change`, `unmatched`, `unreadable`, `ignored`, `accepted` or `refused` (Check).
    pub verdict: String,
    /// The code we answered.
    pub reply: i32,
    /// When it first came.
    pub received_at: Timestamp,
}

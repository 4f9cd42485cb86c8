//! Answers: the envelope `{"Model":…,"Success":…,"Message":…}` and what a request leads to.

use super::memory::Key;
use super::notice::Notification;
use super::route::Route;
use serde::Serialize;

/// The finished body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiAnswer {
    /// JSON text.
    pub body: String,
    /// The `Success` of the envelope.
    pub success: bool,
    /// The transaction that the answer is about.
    pub transaction_id: Option<i64>,
}

/// Where a request stands.
#[derive(Debug)]
pub enum Progress {
    /// It is finished.
    Answer(ApiAnswer),
    /// The merchant must be asked first.
    Check {
        /// What to deliver.
        notification: Notification,
        /// What to give back to [`super::Engine::resume`] with the reply.
        pending: PendingCheck,
    },
}

/// A payment that waits for the reply to its Check.
#[derive(Clone, Debug)]
pub struct PendingCheck {
    /// The payment.
    pub transaction_id: i64,
    pub(super) route: Route,
    pub(super) key: Option<Key>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a, M> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<M>,
    success: bool,
    message: Option<&'a str>,
}

impl ApiAnswer {
    /// An envelope; without a model the key `Model` is absent.
    pub(super) fn of<M: Serialize>(model: Option<M>, success: bool, message: Option<&str>) -> ApiAnswer {
        let envelope = Envelope { model, success, message };
        let body = serde_json::to_string(&envelope).unwrap_or_else(|error| {
            tracing::error!(%error, "an answer could not be written");
            r#"{"Success":false,"Message":"Internal error"}"#.to_owned()
        });
        ApiAnswer { body, success, transaction_id: None }
    }

    /// `{"Model":…,"Success":true,"Message":null}`
    pub(super) fn model<M: Serialize>(model: M) -> ApiAnswer {
        ApiAnswer::of(Some(model), true, None)
    }

    /// `{"Success":true,"Message":null}`
    pub(super) fn done() -> ApiAnswer {
        ApiAnswer::of::<()>(None, true, None)
    }

    /// `{"Success":false,"Message":"…"}`
    pub(super) fn refusal(message: &str) -> ApiAnswer {
        ApiAnswer::of::<()>(None, false, Some(message))
    }

    pub(super) fn about(self, transaction_id: i64) -> ApiAnswer {
        ApiAnswer { transaction_id: Some(transaction_id), ..self }
    }
}

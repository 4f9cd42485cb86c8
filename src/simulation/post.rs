//! The provider's postman: brings notifications to the service, and what comes back to the provider.

use std::sync::Arc;
use std::time::Duration;

use cloudpayments_sandbox::engine::{Delivery, Notification, Reply};
use tokio::sync::oneshot;

use super::executor::{Group, lock};
use super::weather::PostFault;
use super::world::{World, pause_ms, pause_s};
use crate::app::{NotificationKind, NotificationReply, RawNotification};

/// The provider waits so long for an answer (contract section 8.3).
const PATIENCE_S: u64 = 30;

/// Delivers what is due, for ever.
pub(super) async fn postman(world: Arc<World>) {
    loop {
        let now = world.now_ms();
        while let Some(delivery) = world.provider.with(|engine| engine.next_delivery(now)) {
            let carrier = Arc::clone(&world);
            world.spawn(Group::World, async move {
                carrier.deliver(delivery).await;
                carrier.provider.wake.notify_one();
            });
        }
        let due = world.provider.with(|engine| engine.next_due());
        let wait_ms = due.map_or(86_400_000, |due| due.saturating_sub(world.now_ms())).clamp(1, 86_400_000);
        let wait = Duration::from_millis(wait_ms.unsigned_abs());
        // Woken early or late, it looks again.
        let _ = tokio::time::timeout(wait, world.provider.wake.notified()).await;
    }
}

impl World {
    pub(super) async fn deliver(self: &Arc<Self>, delivery: Delivery) {
        let reply = self.send(&delivery.notification).await;
        let now = self.now_ms();
        self.provider.with(|engine| engine.delivered(&delivery, &reply, now));
    }

    /// One delivery and what the provider makes of it.
    pub(super) async fn send(self: &Arc<Self>, notification: &Notification) -> Reply {
        let about = format!("{} of {}", notification.kind.name(), notification.transaction_id);
        let fault = self.fault(self.weather.post, &about, |chance| {
            let fault = PostFault::draw(chance);
            (fault, fault.name())
        });
        pause_ms(self.draw(|chance| chance.between(0, 400))).await;
        match fault {
            Some(PostFault::Unreachable) => return Reply::Unreachable,
            Some(PostFault::Silence) => {
                pause_s(PATIENCE_S).await;
                return Reply::TimedOut;
            }
            Some(PostFault::Slow(seconds)) => pause_s(seconds).await,
            Some(PostFault::Forged) => self.forge(notification).await,
            Some(PostFault::Twice) => {
                let (again, copy) = (Arc::clone(self), notification.clone());
                self.spawn(Group::World, async move { drop(again.hand_over(&copy).await) });
            }
            _ => {}
        }
        let reply = self.hand_over(notification).await;
        match fault {
            Some(PostFault::AnswerLost) => {
                pause_s(PATIENCE_S).await;
                Reply::TimedOut
            }
            Some(PostFault::AnswerSpoiled) => Reply::Answered { status: 502, body: "<html></html>".to_owned() },
            _ => reply,
        }
    }

    /// Into the service, and its reply.
    async fn hand_over(self: &Arc<Self>, notification: &Notification) -> Reply {
        let Some(kind) = NotificationKind::parse(notification.kind.name()) else { return Reply::Unreachable };
        let raw = RawNotification {
            kind,
            signed: notification.body.clone().into_bytes(),
            is_json: notification.content_type.starts_with("application/json"),
            content_hmac: Some(notification.content_hmac.clone()),
            x_content_hmac: Some(notification.x_content_hmac.clone()),
        };
        let known = lock(&self.promises).before_check(self, notification);
        let reply = self.into_service(raw).await;
        if let Ok(reply) = &reply {
            self.note(&format!("{} of {}: {reply:?}", notification.kind.name(), notification.transaction_id));
            match reply {
                NotificationReply::Code(code) => lock(&self.promises).told(self, notification, *code, &known),
                NotificationReply::BadSignature => {
                    self.violated("a signed notification is taken", None, notification.body.clone());
                }
                NotificationReply::TryAgain => {}
            }
        }
        match reply {
            Ok(NotificationReply::Code(code)) => Reply::Answered { status: 200, body: format!("{{\"code\":{code}}}") },
            Ok(NotificationReply::BadSignature) => Reply::Answered { status: 401, body: String::new() },
            Ok(NotificationReply::TryAgain) => Reply::Answered { status: 503, body: String::new() },
            Err(reply) => reply,
        }
    }

    async fn into_service(self: &Arc<Self>, raw: RawNotification) -> Result<NotificationReply, Reply> {
        let Some(app) = self.process() else { return Err(Reply::Unreachable) };
        self.stir();
        let (answer, answered) = oneshot::channel();
        self.spawn(Group::Service, async move {
            // An error says that the provider no longer waits.
            let _ = answer.send(app.take_notification(raw).await);
        });
        match tokio::time::timeout(Duration::from_secs(PATIENCE_S), answered).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(Reply::Unreachable),
            Err(_) => Err(Reply::TimedOut),
        }
    }

    /// The same notification with another sum, which nobody has signed.
    async fn forge(self: &Arc<Self>, notification: &Notification) {
        let Some(kind) = NotificationKind::parse(notification.kind.name()) else { return };
        let raw = RawNotification {
            kind,
            signed: notification
                .body
                .replacen("Amount=", "Amount=1", 1)
                .replacen("\"Amount\":", "\"Amount\":1", 1)
                .into(),
            is_json: notification.content_type.starts_with("application/json"),
            content_hmac: Some(notification.content_hmac.clone()),
            x_content_hmac: None,
        };
        if let Ok(reply) = self.into_service(raw).await
            && matches!(reply, NotificationReply::Code(_))
        {
            self.violated("a forged notification is refused", None, format!("{reply:?} to {}", notification.body));
        }
    }
}

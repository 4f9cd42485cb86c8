//! Sends notifications: Check at once, the others when they are due.
//!
//! Limits: up to [`LANES`] deliveries at a time, one per transaction.

use super::Shell;
use crate::engine::{Delivery, Notification, Reply};
use actix_web::rt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Deliveries under way at the same time.
const LANES: usize = 16;
/// The longest sleep between looks at the queue.
const LONGEST_SLEEP_MS: i64 = 1000;

/// Delivers what is due, for ever.
pub(super) async fn run(shell: Arc<Shell>) {
    let lanes = Arc::new(Semaphore::new(LANES));
    loop {
        let Ok(lane) = Arc::clone(&lanes).acquire_owned().await else {
            return;
        };
        let now = shell.now();
        let next = shell.engine().next_delivery(now);
        match next {
            Some(delivery) => {
                let shell = Arc::clone(&shell);
                rt::spawn(async move {
                    shell.deliver(delivery).await;
                    drop(lane);
                    shell.wake.notify_one();
                });
            }
            None => shell.rest(now).await,
        }
    }
}

impl Shell {
    /// Sleeps until the next notification is due or something happens.
    async fn rest(&self, now: i64) {
        let due = self.engine().next_due();
        let wait = due.map_or(LONGEST_SLEEP_MS, |due| due.saturating_sub(now)).clamp(1, LONGEST_SLEEP_MS);
        let wait = Duration::from_millis(wait.unsigned_abs());
        // Waking early or late only means another look at the queue.
        drop(tokio::time::timeout(wait, self.wake.notified()).await);
    }

    /// Delivers what was scripted to arrive before the answer about a transaction.
    pub(super) async fn deliver_before_answer(&self, transaction_id: i64) {
        loop {
            let next = self.engine().next_before_answer(transaction_id);
            let Some(delivery) = next else { return };
            self.deliver(delivery).await;
        }
    }

    async fn deliver(&self, delivery: Delivery) {
        let reply = self.send(&delivery.notification).await;
        let now = self.now();
        self.engine().delivered(&delivery, &reply, now);
    }

    /// Sends a notification and waits for the reply.
    pub(super) async fn send(&self, notification: &Notification) -> Reply {
        let request = if notification.get {
            let joint = if notification.url.contains('?') { '&' } else { '?' };
            self.client.get(format!("{}{joint}{}", notification.url, notification.body))
        } else {
            let request = self.client.post(&notification.url).header("Content-Type", notification.content_type);
            request.body(notification.body.clone())
        };
        let request = request
            .header("Content-HMAC", &notification.content_hmac)
            .header("X-Content-HMAC", &notification.x_content_hmac);
        match answer(request).await {
            Ok((status, body)) => Reply::Answered { status, body },
            Err(error) if error.is_timeout() && !error.is_connect() => Reply::TimedOut,
            Err(error) => {
                tracing::debug!(%error, url = notification.url, "a notification was not delivered");
                Reply::Unreachable
            }
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<(u16, String), reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}

//! The end of a campaign: faults are off, requests without an answer are finished, and whatever is open is waited for.

use std::time::{Duration, Instant};

use cloudpayments_sandbox::{Status, TransactionType, cryptogram};
use serde_json::json;

use super::pause;
use super::stage::{Stage, WORKING_TIME_S};

/// A request that is not answered by then never will be.
const FINISH_LIMIT: Duration = Duration::from_secs(120);
/// The pauses between questions about a lost call grow; after this an operator asks, as `sync` lets them.
const WORKERS_LIMIT: Duration = Duration::from_secs(4 * WORKING_TIME_S);

const CABINET_REFUNDS: usize = 200;

/// What is still open: calls, undetermined payments, pending refunds, payments in passing.
const OPEN: &str = "SELECT (SELECT count(*) FROM operations WHERE due_at IS NOT NULL) \
    + (SELECT count(*) FROM payments WHERE decide_by IS NOT NULL OR status = 'processing') \
    + (SELECT count(*) FROM refunds WHERE status = 'pending') AS value";
/// Whose answer was lost, or whose notification may have been.
const MAY_BE_BEHIND: &str = "SELECT id AS value FROM payments WHERE decide_by IS NOT NULL \
    OR status IN ('processing', 'awaiting_payer', 'awaiting_authentication', 'authorized') \
    OR id IN (SELECT payment_id FROM operations WHERE due_at IS NOT NULL)";

/// How it went.
pub struct Settled {
    /// Requests that were finished only now.
    pub finished: usize,
    /// Still without an answer.
    pub unanswered: usize,
    /// Open things when the faults ended, and after the workers had their time.
    pub open_before: i64,
    pub open_after_workers: i64,
    /// Open things at the end: none.
    pub open: i64,
    /// Refunds that were made in the provider's cabinet at the end.
    pub from_cabinet: usize,
    /// Payments that an operator asked about at the end.
    pub synced: usize,
    /// Notifications that were never taken.
    pub undelivered: bool,
}

pub async fn settle(stage: &Stage) -> Result<Settled, String> {
    stage.sandbox.clear_faults();
    let open = || stage.sql().number(OPEN);
    let open_before = open();
    let (finished, unanswered) = finish(stage).await;

    let deadline = Instant::now() + WORKERS_LIMIT;
    while open() > 0 && Instant::now() < deadline {
        pause(500).await;
    }
    let open_after_workers = open();
    release_reordered(stage).await?;
    let from_cabinet = refund_in_cabinet(stage).await?;
    stage.sandbox.flush_notifications().await;

    let behind = stage.sql().texts(MAY_BE_BEHIND);
    for id in &behind {
        let path = format!("/v1/payments/{id}/sync");
        stage.site.send(&path, format!("sync-{id}"), &json!({})).await;
    }
    stage.sandbox.flush_notifications().await;
    // The worker takes up what came before its payment was known.
    pause(2_000).await;
    let undelivered = stage.sandbox.deliveries().iter().any(|delivery| delivery.attempt >= 100);
    Ok(Settled {
        finished,
        unanswered,
        open_before,
        open_after_workers,
        open: open(),
        from_cabinet,
        synced: behind.len(),
        undelivered,
    })
}

/// Sends every request without an answer until it has one.
async fn finish(stage: &Stage) -> (usize, usize) {
    let mut left = std::mem::take(&mut stage.site.journal().unfinished);
    let all = left.len();
    let deadline = Instant::now() + FINISH_LIMIT;
    while !left.is_empty() && Instant::now() < deadline {
        let mut again = Vec::new();
        for order in left {
            let answered = stage.site.try_once(&order).await;
            if answered.is_none_or(|reply| reply.text("/code") == "idempotency_in_progress") {
                again.push(order);
            }
        }
        left = again;
        if !left.is_empty() {
            pause(500).await;
        }
    }
    (all - left.len(), left.len())
}

/// Somebody gives five tenge back in the cabinet. Only now: nothing but the register would tell of it, were its
/// notification lost.
async fn refund_in_cabinet(stage: &Stage) -> Result<usize, String> {
    let url = format!("{}/sandbox/cabinet/refund", stage.sandbox.base_url());
    let ledger = stage.sandbox.ledger().transactions;
    let from_window = ledger.iter().filter(|entry| {
        entry.request_id.is_none()
            && entry.status == Status::Completed
            && entry.kind == TransactionType::Payment
            && entry.captured_minor - entry.refunded_minor >= 500
    });
    let mut made = 0;
    for entry in from_window.take(CABINET_REFUNDS) {
        let body = json!({ "transaction_id": entry.transaction_id, "amount": "5.00" });
        match stage.site.at_provider(&url, &body).await {
            Some(reply) if reply.status == 200 => made += 1,
            _ => return Err("without faults the cabinet refuses a refund".to_owned()),
        }
    }
    Ok(made)
}

/// A notification that was to be sent after the next one waits for a next one.
async fn release_reordered(stage: &Stage) -> Result<(), String> {
    let method = json!({ "type": "card_cryptogram", "cryptogram": cryptogram("4000000000003055", "3012") });
    let body = json!({
        "amount": { "value": "100.00", "currency": "KZT" }, "invoice_id": "KM-last", "description": "Policy",
        "payer": { "ip_address": "203.0.113.7" }, "method": method,
    });
    let reply = stage.site.send("/v1/payments", "last".to_owned(), &body).await;
    match reply {
        Some(reply) if reply.text("/status") == "paid" => Ok(()),
        Some(reply) => Err(format!("without faults a payment is not paid: {} {}", reply.status, reply.json)),
        None => Err("without faults a payment is not answered".to_owned()),
    }
}

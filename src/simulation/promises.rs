//! What the service has told the site and the provider: all of it must hold, then and at the end.

use std::collections::BTreeMap;

use cloudpayments_sandbox::engine::Notification;
use cloudpayments_sandbox::{NotificationKind, Status, TransactionType};
use serde_json::Value;

use super::order::Order;
use super::world::World;

/// What was told of one payment.
#[derive(Debug, Clone)]
pub(super) struct Promised {
    /// The order that it was created for.
    pub order: Order,
    /// The most that was told to be taken, minor units.
    pub captured: i64,
    /// The most that was told to be given back, minor units.
    pub refunded: i64,
    /// The last state without money that was told to be proven and final.
    pub over: Option<String>,
    /// A state with money that was told to be proven.
    pub paid: Option<String>,
}

/// What was told of one refund.
#[derive(Debug, Clone)]
pub(super) struct PromisedRefund {
    /// `succeeded` or `failed`.
    pub status: String,
    /// Minor units.
    pub amount: i64,
}

/// Everything that was told.
#[derive(Debug, Default)]
pub(super) struct Promises {
    pub payments: BTreeMap<String, Promised>,
    pub refunds: BTreeMap<String, PromisedRefund>,
    /// Approvals that were told to be over, as they were told last.
    pub approvals: BTreeMap<String, SeenApproval>,
    /// Notifications that were answered, by kind, with their bodies and transactions.
    pub notifications: Vec<(NotificationKind, Vec<u8>, i64)>,
}

/// Why a Check has to be refused, by what the service told before it was asked.
pub(super) struct BeforeCheck {
    payment_id: Option<String>,
    must_refuse: Option<String>,
}

impl Promises {
    /// What the reply to a Check has to take into account.
    pub(super) fn before_check(&self, world: &World, notification: &Notification) -> BeforeCheck {
        let nothing = BeforeCheck { payment_id: None, must_refuse: None };
        if notification.kind != NotificationKind::Check {
            return nothing;
        }
        let asked = world.provider.transaction(notification.transaction_id, |transaction| {
            let draft = &transaction.draft;
            (draft.json_data.as_deref().and_then(our_payment), draft.amount.minor(), draft.currency.clone())
        });
        let Some((Some(payment_id), amount, currency)) = asked else { return nothing };
        let must_refuse = self.payments.get(&payment_id).and_then(|promised| {
            let due = promised.order.amount;
            if (amount, currency.as_str()) != (due.minor, due.currency.code()) {
                return Some(format!("{amount} {currency} for {due}"));
            }
            promised.paid.clone().or_else(|| promised.over.clone()).map(|status| format!("it was told to be {status}"))
        });
        BeforeCheck { payment_id: Some(payment_id), must_refuse }
    }

    /// A notification was answered with a code.
    pub(super) fn told(&mut self, world: &World, notification: &Notification, code: u8, before: &BeforeCheck) {
        if code == 0 {
            let entry = (notification.kind, notification.body.clone().into_bytes(), notification.transaction_id);
            self.notifications.push(entry);
        }
        if code == 0
            && let Some(reason) = &before.must_refuse
        {
            world.violated(
                "a Check is refused for what cannot be paid",
                before.payment_id.as_deref(),
                format!("transaction {}: {reason}", notification.transaction_id),
            );
        }
    }

    /// A payment was shown to the site.
    pub(super) fn payment(&mut self, world: &World, order: &Order, seen: &Seen) {
        seen.holds(world);
        let promised = self.payments.entry(seen.id.clone()).or_insert_with(|| Promised {
            order: order.clone(),
            captured: 0,
            refunded: 0,
            over: None,
            paid: None,
        });
        promised.captured = promised.captured.max(seen.captured);
        promised.refunded = promised.refunded.max(seen.refunded);
        if seen.certain {
            match seen.status.as_str() {
                "declined" | "cancelled" | "expired" => promised.over = Some(seen.status.clone()),
                "authorized" | "paid" | "partially_refunded" | "refunded" => promised.paid = Some(seen.status.clone()),
                _ => {}
            }
        }
    }

    /// A refund was shown to the site.
    pub(super) fn refund(&mut self, world: &World, body: &Value) {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, status, amount) = (text("id"), text("status"), minor(body.get("amount")));
        if status == "pending" {
            return;
        }
        if status == "succeeded" {
            let told = body.get("transaction_id").and_then(Value::as_i64).unwrap_or_default();
            let there = world.provider.transaction(told, |transaction| {
                transaction.kind == TransactionType::Refund && transaction.draft.amount.minor() == amount
            });
            if there != Some(true) {
                world.violated("nothing is shown that did not happen", None, format!("refund {id} as {told}"));
            }
        }
        self.refunds.insert(id, PromisedRefund { status, amount });
    }
}

impl Promises {
    /// An approval was shown to an operator.
    pub(super) fn approval(&mut self, world: &World, seen: &SeenApproval) {
        if seen.state == "pending" {
            return;
        }
        let payment_id = Some(seen.payment_id.as_str());
        if let Some(before) = self.approvals.insert(seen.id.clone(), seen.clone())
            && before.decision() != seen.decision()
        {
            let detail = format!("{before:?}, then {seen:?}");
            world.violated("a decided approval is never decided again", payment_id, detail);
        }
        let (true, Some(status)) = (seen.is_refund(), &seen.refund_status) else { return };
        if let Some(refund_id) = seen.refund_id.clone().filter(|_| status != "pending") {
            self.refunds.insert(refund_id, PromisedRefund { status: status.clone(), amount: seen.amount });
        }
    }
}

/// An approval as an operator reads it.
#[derive(Debug, Clone)]
pub(super) struct SeenApproval {
    pub id: String,
    pub payment_id: String,
    pub kind: String,
    pub state: String,
    /// Minor units.
    pub amount: i64,
    pub refund_id: Option<String>,
    pub refund_status: Option<String>,
    pub decided_by: Option<String>,
}

impl SeenApproval {
    pub(super) fn read(body: &[u8]) -> Option<SeenApproval> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(SeenApproval {
            id: text("id")?,
            payment_id: text("payment_id")?,
            kind: text("kind")?,
            state: text("state")?,
            amount: minor(body.get("amount")),
            refund_id: text("refund_id"),
            refund_status: text("refund_status"),
            decided_by: text("decided_by"),
        })
    }

    pub(super) fn is_refund(&self) -> bool {
        self.kind == "refund"
    }

    /// What never changes any more.
    pub(super) fn decision(&self) -> (&str, Option<&str>, Option<&str>) {
        (&self.state, self.refund_id.as_deref(), self.decided_by.as_deref())
    }
}

/// Our payment's id in what we sent along.
pub(super) fn our_payment(json_data: &str) -> Option<String> {
    named(json_data, "payment_id")
}

fn named(json_data: &str, name: &str) -> Option<String> {
    let data: Value = serde_json::from_str(json_data).ok()?;
    data.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// `{"value":"12500.00",…}` in minor units; 0 when it is not there. Every currency of the simulation has two digits.
pub(super) fn minor(money: Option<&Value>) -> i64 {
    let value = money.and_then(|money| money.get("value")).and_then(Value::as_str).unwrap_or_default();
    value.replace('.', "").parse().unwrap_or(0)
}

/// A payment as the site reads it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub id: String,
    pub status: String,
    pub certain: bool,
    pub captured: i64,
    pub refunded: i64,
    pub refundable: i64,
    /// Provider's number, kind and status.
    pub transactions: Vec<(i64, String, String)>,
    /// The transaction that waits for 3-D Secure.
    pub md: Option<i64>,
    /// What the window is given to send along.
    pub metadata: Option<String>,
}

impl Seen {
    pub(super) fn read(body: &[u8]) -> Option<Seen> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let transactions = body.get("transactions").and_then(Value::as_array).into_iter().flatten();
        Some(Seen {
            id: text("/id")?,
            status: text("/status")?,
            certain: text("/outcome/certainty")? == "proven",
            captured: minor(body.get("captured")),
            refunded: minor(body.get("refunded")),
            refundable: minor(body.get("refundable")),
            transactions: transactions.filter_map(transaction).collect(),
            md: text("/next_action/md").and_then(|md| md.parse().ok()),
            metadata: body.pointer("/next_action/intent/metadata").map(Value::to_string),
        })
    }

    /// The transaction that the money is on.
    pub(super) fn with_money(&self) -> Option<i64> {
        let with_money = |(_, kind, status): &&(i64, String, String)| {
            kind == "payment" && (status == "completed" || status == "authorized")
        };
        self.transactions.iter().find(with_money).map(|(id, _, _)| *id)
    }

    /// Whether all that is shown did happen.
    fn holds(&self, world: &World) {
        for (id, kind, status) in &self.transactions {
            let there = world.provider.transaction(*id, |transaction| {
                let is_refund = transaction.kind == TransactionType::Refund;
                is_refund == (kind == "refund")
                    && match status.as_str() {
                        "completed" => transaction.status == Status::Completed,
                        "authorized" => {
                            matches!(transaction.status, Status::Authorized | Status::Completed | Status::Cancelled)
                        }
                        "voided" => transaction.status == Status::Cancelled,
                        "declined" => transaction.status == Status::Declined,
                        _ => true,
                    }
            });
            if there != Some(true) {
                world.violated(
                    "nothing is shown that did not happen",
                    Some(&self.id),
                    format!("{kind} {id} is shown as {status}"),
                );
            }
        }
        let counted =
            |wanted: &str| self.transactions.iter().any(|(_, kind, status)| kind == "payment" && status == wanted);
        let needed = match self.status.as_str() {
            "paid" | "partially_refunded" | "refunded" => Some("completed"),
            "authorized" => Some("authorized"),
            _ => None,
        };
        if let Some(needed) = needed.filter(|needed| !counted(needed)) {
            let detail = format!("{} without a transaction that is {needed}", self.status);
            world.violated("a state follows from transactions", Some(&self.id), detail);
        }
    }
}

fn transaction(shown: &Value) -> Option<(i64, String, String)> {
    let text = |name: &str| shown.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((shown.get("transaction_id")?.as_i64()?, text("kind")?, text("status")?))
}

//! What must hold after a campaign, each check with its reason. Every violation comes with its evidence.

use std::collections::{BTreeMap, BTreeSet};

use cloudpayments_sandbox::{LedgerEntry, Status, TransactionType};
use serde_json::Value;

use super::database::Engine;
use super::journal::Told;
use super::settle::Settled;
use super::sql::Sql;
use super::stage::Stage;

/// At most so many violations of one kind are told.
const TOLD: usize = 10;
/// Far more than the rows of a campaign need.
const INVARIANT_PAGES: u32 = 1_000;

/// All of them.
struct Judge<'a> {
    stage: &'a Stage,
    sql: Sql,
    ledger: Vec<LedgerEntry>,
    violations: Vec<String>,
}

/// Violations; none is right.
pub async fn judge(stage: &Stage, settled: &Settled) -> Result<Vec<String>, String> {
    let ledger = stage.sandbox.ledger().transactions;
    let mut judge = Judge { stage, sql: stage.sql(), ledger, violations: Vec::new() };
    judge.all_is_settled(settled);
    judge.books_agree();
    judge.one_effect_per_key();
    judge.what_was_told_holds();
    judge.notifications_are_stored();
    judge.laws_of_the_database();
    judge.nobody_was_surprised();
    judge.repeats_are_equal().await;
    judge.invariants_of_the_service().await;
    Ok(judge.violations)
}

impl Judge<'_> {
    fn violations(&mut self, what: &str, found: Vec<String>) {
        let more = found.len().saturating_sub(TOLD);
        self.violations.extend(found.into_iter().take(TOLD).map(|evidence| format!("{what}: {evidence}")));
        if more > 0 {
            self.violations.push(format!("{what}: and {more} more"));
        }
    }

    /// Every row of a question is a violation.
    fn none(&mut self, what: &str, sql: &str) {
        let found = self.sql.texts(sql);
        self.violations(what, found);
    }

    /// No outcome stays undetermined, every request has its answer, every notification was taken.
    fn all_is_settled(&mut self, settled: &Settled) {
        if settled.unanswered > 0 {
            self.violations.push(format!("{} request(s) without an answer", settled.unanswered));
        }
        if settled.undelivered {
            self.violations.push("a notification was refused to the last try".to_owned());
        }
        self.none(
            "a call is open",
            "SELECT id || ' ' || kind || ' ' || state || ' of ' || payment_id || ' lookups ' || lookups AS value \
             FROM operations WHERE due_at IS NOT NULL",
        );
        self.none(
            "a payment is not settled",
            "SELECT id || ' ' || status AS value FROM payments WHERE decide_by IS NOT NULL OR status = 'processing'",
        );
        self.none("a refund is not settled", "SELECT id AS value FROM refunds WHERE status = 'pending'");
    }

    /// Captured, refunded and held sums of each payment are the provider's, to the tiyn.
    fn books_agree(&mut self) {
        let mut theirs: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
        for entry in self.ledger.iter().filter(|entry| entry.kind == TransactionType::Payment) {
            let sums = theirs.entry(entry.payment_id.clone().unwrap_or_default()).or_default();
            sums.0 += entry.captured_minor;
            sums.1 += entry.refunded_minor;
            sums.2 += if entry.status == Status::Authorized { entry.amount_minor } else { 0 };
        }
        let rows = self.sql.texts(
            "SELECT id || ' ' || captured || ' ' || refunded || ' ' || \
             (CASE WHEN status = 'authorized' THEN authorized ELSE 0 END) AS value FROM payments",
        );
        let mut found = Vec::new();
        for row in rows {
            let mut parts = row.split(' ');
            let id = parts.next().unwrap_or_default().to_owned();
            let mut sum = || parts.next().and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
            let (ours, told) = ((sum(), sum(), sum()), theirs.remove(&id).unwrap_or_default());
            if ours != told {
                found.push(format!("{id}: captured, refunded, held are {ours:?} here and {told:?} at the provider"));
            }
        }
        found.extend(theirs.into_iter().map(|(id, sums)| format!("payment {id:?} is not here: {sums:?}")));
        self.violations("the books differ", found);
    }

    /// One key makes one thing, one bill of a card has one transaction, one refund of ours is made once.
    fn one_effect_per_key(&mut self) {
        let mut found = Vec::new();
        {
            let journal = self.stage.site.journal();
            for (key, made) in journal.made.iter().filter(|(_, made)| made.len() > 1) {
                found.push(format!("key {key} made {made:?}"));
            }
            let mut by_bill: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
            let is_charge = |entry: &&LedgerEntry| entry.kind == TransactionType::Payment && entry.request_id.is_some();
            for entry in self.ledger.iter().filter(is_charge) {
                let bill = entry.invoice_id.as_deref().unwrap_or_default();
                by_bill.entry(bill).or_default().insert(entry.transaction_id);
            }
            for (key, bill) in &journal.bills {
                if let Some(charges) = by_bill.get(bill.as_str()).filter(|charges| charges.len() > 1) {
                    found.push(format!("key {key}, bill {bill}: charges {charges:?}"));
                }
            }
        }
        let mut by_refund: BTreeMap<&str, u32> = BTreeMap::new();
        for refund_id in self.ledger.iter().filter_map(|entry| entry.refund_id.as_deref()) {
            *by_refund.entry(refund_id).or_default() += 1;
        }
        let twice = by_refund.into_iter().filter(|(_, count)| *count > 1);
        found.extend(twice.map(|(id, count)| format!("refund {id} was made {count} times")));
        let mut by_payment: BTreeMap<&str, u32> = BTreeMap::new();
        for entry in self.ledger.iter().filter(|entry| entry.kind == TransactionType::Payment && took_money(entry)) {
            *by_payment.entry(entry.payment_id.as_deref().unwrap_or_default()).or_default() += 1;
        }
        let twice = by_payment.into_iter().filter(|(_, count)| *count > 1);
        found.extend(twice.map(|(id, count)| format!("{id} was paid {count} times")));
        self.violations("more than one effect", found);
    }

    /// What a site read as proven is still so, or has moved on in the only way it can.
    fn what_was_told_holds(&mut self) {
        let mut now: BTreeMap<String, Told> = BTreeMap::new();
        for row in self.sql.texts(
            "SELECT id || ' ' || status || ' ' || captured || ' ' || refunded AS value FROM payments \
             UNION ALL SELECT id || ' ' || status || ' 0 0' AS value FROM refunds",
        ) {
            if let [id, status, captured, refunded] = row.split(' ').collect::<Vec<_>>()[..] {
                let sum = |text: &str| text.parse().unwrap_or(-1);
                let told = Told { status: status.to_owned(), captured: sum(captured), refunded: sum(refunded) };
                now.insert(id.to_owned(), told);
            }
        }
        let mut found = Vec::new();
        for (id, told) in &self.stage.site.journal().told {
            let now = now.get(id);
            for told in told {
                if !now.is_some_and(|now| still_holds(told, now)) {
                    found.push(format!("{id} was told as {told:?} and is {now:?}"));
                }
            }
        }
        self.violations("an answer does not hold", found);
    }

    /// Whatever was answered with code 0 is in the database: nobody sends it again.
    fn notifications_are_stored(&mut self) {
        let stored: BTreeSet<String> =
            self.sql.texts("SELECT kind || ' ' || transaction_id AS value FROM notifications").into_iter().collect();
        let mut found = BTreeSet::new();
        for delivery in self.stage.sandbox.deliveries().iter().filter(|delivery| delivery.outcome == "delivered") {
            let name = format!("{} {}", delivery.kind.name(), delivery.transaction_id);
            if !stored.contains(&name) {
                found.insert(format!("{name} at {}", delivery.at));
            }
        }
        self.violations("a notification was acknowledged and is not stored", found.into_iter().collect());
        self.none(
            "a notification was not applied",
            "SELECT kind || ' ' || verdict || ' ' || id AS value FROM notifications \
             WHERE verdict NOT IN ('accepted', 'refused', 'applied', 'no_change', 'repeat')",
        );
    }

    fn laws_of_the_database(&mut self) {
        self.none(
            "the history is broken",
            "SELECT one.payment_id || ' ' || one.sequence AS value FROM transitions AS one \
             LEFT JOIN transitions AS before ON before.payment_id = one.payment_id AND before.sequence = one.sequence - 1 \
             WHERE one.from_status <> coalesce(before.to_status, 'none') OR (one.sequence > 1 AND before.sequence IS NULL)",
        );
        self.none(
            "a payment is not where its history ends",
            "SELECT payments.id AS value FROM payments LEFT JOIN transitions \
             ON transitions.payment_id = payments.id AND transitions.sequence = payments.sequence \
             WHERE transitions.to_status IS NULL OR transitions.to_status <> payments.status \
             OR payments.sequence <> (SELECT count(*) FROM transitions WHERE payment_id = payments.id)",
        );
        self.none(
            "the history makes a move that the table does not have",
            "SELECT payment_id || ' ' || from_status || '>' || to_status AS value FROM transitions WHERE NOT EXISTS \
             (SELECT 1 FROM transition_edges AS edge \
              WHERE edge.from_status = transitions.from_status AND edge.to_status = transitions.to_status)",
        );
        self.none(
            "the sums of a payment are not those of its transactions",
            "SELECT id AS value FROM payments WHERE \
             captured <> (SELECT coalesce(sum(captured), 0) FROM transactions WHERE payment_id = payments.id) OR \
             refunded <> (SELECT coalesce(sum(amount), 0) FROM transactions \
                          WHERE payment_id = payments.id AND kind = 'refund' AND status = 'completed') \
             OR refund_pending <> 0 OR refund_excess <> 0",
        );
        self.none(
            "a refund that succeeded has no transaction of its sum, or one that failed has one",
            "SELECT refunds.id AS value FROM refunds LEFT JOIN transactions ON transactions.refund_id = refunds.id \
             WHERE (refunds.status = 'succeeded') <> (transactions.id IS NOT NULL) OR refunds.amount <> transactions.amount",
        );
        self.none(
            "a payment was announced as paid twice",
            "SELECT payment_id AS value FROM events WHERE kind = 'payment.paid' GROUP BY payment_id HAVING count(*) > 1",
        );
        self.none(
            "money given back was not announced once",
            "SELECT id AS value FROM payments WHERE \
             (SELECT count(*) FROM events WHERE payment_id = payments.id AND kind = 'refund.succeeded') <> \
             (SELECT count(*) FROM transactions WHERE payment_id = payments.id AND kind = 'refund')",
        );
        self.none(
            "a payment needs a person for no reason",
            "SELECT id || ' ' || attention AS value FROM payments WHERE attention IS NOT NULL",
        );
        if self.stage.engine == Engine::Sqlite {
            let check = self.sql.texts("SELECT integrity_check AS value FROM pragma_integrity_check");
            self.violations("SQLite", check.into_iter().filter(|row| row != "ok").collect());
            self.none("SQLite: a row points nowhere", "SELECT \"table\" AS value FROM pragma_foreign_key_check");
        }
    }

    /// Nobody got an answer that says that something is broken, and nothing panicked.
    fn nobody_was_surprised(&mut self) {
        let surprises = std::mem::take(&mut self.stage.site.journal().surprises);
        self.violations("an answer", surprises);
        let log = std::fs::read_to_string(self.stage.database.log()).unwrap_or_default();
        let panics = log.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect();
        self.violations("the service panicked", panics);
    }

    /// A final answer is repeated byte for byte, whatever was killed since.
    async fn repeats_are_equal(&mut self) {
        let answered = self.stage.site.journal().answered.clone();
        let mut found = Vec::new();
        for (order, status, bytes) in &answered {
            found.extend(self.stage.site.repeat(order, *status, bytes).await);
        }
        self.violations("a repeat differs", found);
    }

    /// The service's own laws of money, over all rows.
    async fn invariants_of_the_service(&mut self) {
        let mut path = "/v1/invariants".to_owned();
        for _ in 0..INVARIANT_PAGES {
            let Some(reply) = self.stage.site.get(&path).await.filter(|reply| reply.status != 404) else { return };
            let laws = reply.json.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
            let holds = |law: &Value| matches!(law.get("status").and_then(Value::as_str), Some("green" | "not_read"));
            let mut found: Vec<String> = laws.iter().filter(|law| !holds(law)).map(Value::to_string).collect();
            if laws.is_empty() {
                found.push(format!("no laws: {} {}", reply.status, reply.json));
            }
            self.violations("GET /v1/invariants", found);
            match reply.text("/next_cursor") {
                "" => return,
                cursor => path = format!("/v1/invariants?cursor={cursor}"),
            }
        }
        self.violations.push("GET /v1/invariants does not come to an end".to_owned());
    }
}

fn took_money(entry: &LedgerEntry) -> bool {
    matches!(entry.status, Status::Authorized | Status::Completed)
}

/// Money only moves on: taken, then given back.
fn still_holds(told: &Told, now: &Told) -> bool {
    let follows: &[&str] = match told.status.as_str() {
        "awaiting_payer" | "awaiting_authentication" | "pending" | "processing" => return true,
        "authorized" => &["authorized", "paid", "partially_refunded", "refunded", "cancelled"],
        "paid" => &["paid", "partially_refunded", "refunded"],
        "partially_refunded" => &["partially_refunded", "refunded"],
        other => return now.status == other,
    };
    let money_holds = told.status == "authorized" || (now.captured == told.captured && now.refunded >= told.refunded);
    follows.contains(&now.status.as_str()) && money_holds
}

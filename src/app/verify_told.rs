//! What rows of the history name in the other books is there, as they tell it: transactions, refunds, approvals, and what
//! operators did to discrepancies. See `verify_history`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::verify_closings::Closings;
use super::verify_history::{STRETCH, Walk, broken};
use crate::domain::money::{Currency, Money};
use crate::store::Tx;
use crate::store::history_walk::{self, Decided, Returned, Step};

/// What calls a person about a transaction that is not kept with the payment: it is another payment's, or does not say enough.
const NOT_KEPT: [&str; 4] =
    ["contradicting_notification", "unreadable_notification", "missing_here", "refund_in_cabinet"];

/// A row of the history: its payment, its number.
type Row = (String, i64);

/// What the rows of a stretch of payments name.
#[derive(Default)]
pub(super) struct Told {
    /// Refunds that were asked for, with their sums.
    refunds: Vec<(String, Row, String)>,
    /// Numbers of transactions and their payment, with the first row that names them.
    numbers: BTreeMap<(i64, String), i64>,
    /// Payments that were paid twice, with the last row that says so.
    paid_twice: BTreeMap<String, i64>,
    /// The numbers under which a refund is told to be done, with the last row that tells one.
    done: BTreeMap<String, (Row, Vec<i64>)>,
    /// Columns of approvals, with the last row that tells some.
    approvals: BTreeMap<String, (Row, BTreeMap<&'static str, String>)>,
    /// What operators did to discrepancies.
    closings: Closings,
}

impl Told {
    /// Takes up what one row names.
    pub(super) fn take(&mut self, step: &Step, detail: &Map<String, Value>) {
        let text = |name: &str| detail.get(name).and_then(Value::as_str).map(str::to_owned);
        let row = || (step.payment_id.clone(), step.sequence);
        let attention = text("attention").unwrap_or_default();
        if let Some(number) = step.transaction_id {
            if !NOT_KEPT.contains(&attention.as_str()) && text("notification").is_none() {
                self.numbers.entry((number, step.payment_id.clone())).or_insert(step.sequence);
            }
            // A row about what the provider did may name a refund that was lost.
            if let (Some(refund_id), Some(_)) = (text("refund_id"), text("refunded")) {
                let (last, numbers) = self.done.entry(refund_id).or_default();
                *last = row();
                numbers.push(number);
            }
        }
        self.closings.take(step, detail);
        if attention == "paid_twice" {
            self.paid_twice.insert(step.payment_id.clone(), step.sequence);
        }
        if let (Some("refund"), Some(id), Some(sum)) = (text("operation").as_deref(), text("refund_id"), text("amount"))
        {
            self.refunds.push((id, row(), sum));
        }
        if let (Some(id), Some(word)) = (text("approval_id"), text("approval")) {
            let (last, columns) = self.approvals.entry(id).or_default();
            *last = row();
            columns.extend(columns_told(step, &word, text));
        }
    }

    /// All of it is there.
    pub(super) fn check(&self, tx: &mut Tx<'_>) -> Walk<()> {
        self.check_refunds(tx)?;
        self.check_transactions(tx)?;
        self.check_paid_twice(tx)?;
        self.check_done(tx)?;
        self.check_approvals(tx)?;
        self.closings.check(tx)
    }

    /// Each refund that was asked for is there, of its payment and sum.
    fn check_refunds(&self, tx: &mut Tx<'_>) -> Walk<()> {
        for stretch in self.refunds.chunks(limit()) {
            let there = refunds(tx, stretch.iter().map(|(id, ..)| id.as_str()))?;
            for (id, (payment_id, sequence), sum) in stretch {
                let row = Some((payment_id.as_str(), *sequence));
                let Some(refund) = there.get(id).filter(|refund| refund.payment_id == *payment_id) else {
                    return broken("refunds", row, None, format!("the row tells of {id}, which is not there"));
                };
                if decimal(Some(refund.amount), Some(&refund.currency)).as_ref() != Some(sum) {
                    let what = format!("{id} is not of the sum that the row tells, {sum}: it was changed");
                    return broken("refunds", row, None, what);
                }
            }
        }
        Ok(())
    }

    /// Each number is a transaction of the payment whose row names it.
    fn check_transactions(&self, tx: &mut Tx<'_>) -> Walk<()> {
        let told: Vec<_> = self.numbers.iter().collect();
        for stretch in told.chunks(limit()) {
            let numbers: Vec<i64> = stretch.iter().map(|((number, _), _)| *number).collect();
            let there: BTreeMap<i64, String> = history_walk::owners(tx, &numbers)?.into_iter().collect();
            for ((number, payment_id), sequence) in stretch {
                let row = Some((payment_id.as_str(), **sequence));
                let what = match there.get(number) {
                    Some(owner) if owner == payment_id => continue,
                    Some(owner) => format!("the row tells of {number}, which is with {owner}: it was changed"),
                    None => format!("the row tells of {number}, which is not there"),
                };
                return broken("transactions", row, None, what);
            }
        }
        Ok(())
    }

    /// What moved or held money never says again that it did not.
    fn check_paid_twice(&self, tx: &mut Tx<'_>) -> Walk<()> {
        let told: Vec<_> = self.paid_twice.iter().collect();
        for stretch in told.chunks(limit()) {
            let ids: Vec<&str> = stretch.iter().map(|(id, _)| id.as_str()).collect();
            let with_money = history_walk::payments_with_money(tx, &ids)?;
            for (id, sequence) in stretch {
                if with_money.iter().filter(|owner| owner == id).count() < 2 {
                    let what = "the row tells that it was paid twice, its transactions do not: they were changed";
                    return broken("transactions", Some((id.as_str(), **sequence)), None, what);
                }
            }
        }
        Ok(())
    }

    /// A refund that is done was done by a transaction of which a row tells. Who told of one in the name of a refund may have
    /// been wrong about the sum: then the refund has no transaction, or the one that another row tells.
    fn check_done(&self, tx: &mut Tx<'_>) -> Walk<()> {
        let told: Vec<_> = self.done.iter().collect();
        for stretch in told.chunks(limit()) {
            let there = refunds(tx, stretch.iter().map(|(id, _)| id.as_str()))?;
            for (id, ((payment_id, sequence), numbers)) in stretch {
                let Some(number) = there.get(*id).and_then(|refund| refund.transaction_id) else { continue };
                if !numbers.contains(&number) {
                    let what = format!("{id} names transaction {number}, of which no row tells: it was changed");
                    return broken("refunds", Some((payment_id.as_str(), *sequence)), None, what);
                }
            }
        }
        Ok(())
    }

    /// Each approval is there, for what and by whom the rows tell, and as far as they tell.
    fn check_approvals(&self, tx: &mut Tx<'_>) -> Walk<()> {
        let told: Vec<_> = self.approvals.iter().collect();
        for stretch in told.chunks(limit()) {
            let ids: Vec<&str> = stretch.iter().map(|(id, _)| id.as_str()).collect();
            let there: BTreeMap<String, Decided> =
                history_walk::approvals(tx, &ids)?.into_iter().map(|one| (one.id.clone(), one)).collect();
            for (id, ((payment_id, sequence), columns)) in stretch {
                let row = Some((payment_id.as_str(), *sequence));
                let Some(approval) = there.get(*id) else {
                    return broken("approvals", row, None, format!("the row tells of {id}, which is not there"));
                };
                for (column, value) in columns {
                    if column_of(approval, column).as_ref() != Some(value) {
                        let what = format!("{column} of {id} is not what the history tells, {value}: it was changed");
                        return broken("approvals", row, None, what);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a row about an approval tells of it; `word` is what became of it.
fn columns_told(step: &Step, word: &str, text: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let is_refund = text("kind").as_deref() == Some("refund");
    let is = |wanted: &str| word == wanted;
    let actor = || Some(step.actor.clone());
    let state = if is("requested") { "pending" } else { word };
    let told = [
        ("payment_id", Some(step.payment_id.clone())),
        ("kind", text("kind")),
        ("amount", text("amount").filter(|_| is_refund)),
        ("operation_id", text("operation_id")),
        ("outcome", text("correction")),
        ("refund_id", text("refund_id").filter(|_| is_refund)),
        ("requested_by", if is("requested") { actor() } else { text("requested_by") }),
        ("decided_by", if is("rejected") { actor() } else { text("approved_by") }),
        ("state", Some(state.to_owned())),
    ];
    told.into_iter().filter_map(|(column, value)| Some((column, value?))).collect()
}

fn column_of(approval: &Decided, column: &str) -> Option<String> {
    match column {
        "payment_id" => Some(approval.payment_id.clone()),
        "kind" => Some(approval.kind.clone()),
        "amount" => decimal(approval.amount, approval.currency.as_deref()),
        "operation_id" => approval.operation_id.clone(),
        "outcome" => approval.outcome.clone(),
        "refund_id" => approval.refund_id.clone(),
        "requested_by" => Some(approval.requested_by.clone()),
        "decided_by" => approval.decided_by.clone(),
        _ => Some(approval.state.clone()),
    }
}

fn refunds<'a>(tx: &mut Tx<'_>, ids: impl Iterator<Item = &'a str>) -> Walk<BTreeMap<String, Returned>> {
    let ids: Vec<&str> = ids.collect();
    Ok(history_walk::refunds(tx, &ids)?.into_iter().map(|refund| (refund.id.clone(), refund)).collect())
}

fn decimal(amount: Option<i64>, currency: Option<&str>) -> Option<String> {
    Some(Money::new(amount?, Currency::parse(currency?)?).to_decimal())
}

fn limit() -> usize {
    usize::try_from(STRETCH).unwrap_or(1)
}

//! What happened to one payment, in order: told beside a law that does not hold.

use super::executor::lock;
use super::world::World;
use crate::app::Transition;
use crate::domain::id::PaymentId;
use crate::error::Result;
use crate::store::{Tx, payments, refunds, transactions, transitions};

/// More moves than any payment makes.
const MOVES: i64 = 1_000;

/// Its moves, the calls and notifications about it, the faults that struck them, and the ends of the process meanwhile.
/// Empty where the world did not keep what happened as text.
pub(super) fn of_payment(world: &World, tx: &mut Tx<'_>, id: &str) -> Result<Vec<String>> {
    let names = names(world, tx, id)?;
    let about = |line: &&String| names.iter().any(|name| mentions(line, name));
    let mut lines: Vec<String> = world.lines(|all| all.iter().filter(about).cloned().collect());
    let (Some(first), Some(last)) = (lines.first().cloned(), lines.last().cloned()) else { return Ok(Vec::new()) };
    let of_all = |line: &&String| {
        (line.contains("  the process ") || line.contains("  FAULT database: "))
            && line.as_str() >= first.as_str()
            && line.as_str() <= last.as_str()
    };
    lines.extend(world.lines(|all| all.iter().filter(of_all).cloned().collect::<Vec<_>>()));
    if let Some(payment_id) = PaymentId::parse(id) {
        lines.extend(transitions::list(tx, &payment_id, 0, MOVES)?.iter().map(told));
    }
    // Lines begin with their moment, always written in the same width.
    lines.sort_by(|one, other| moment(one).cmp(moment(other)));
    Ok(lines)
}

fn told(row: &Transition) -> String {
    let from = row.from.map_or("nothing", |status| status.as_str());
    let (number, to, cause, detail) = (row.sequence, row.to.as_str(), &row.cause, &row.detail);
    format!("{}  MOVE {number}: {from} to {to}, {cause:?}, transaction {:?}, {detail}", row.at, row.transaction_id)
}

fn moment(line: &str) -> &str {
    line.split_once(' ').map_or(line, |(moment, _)| moment)
}

/// By what a line can name the payment.
fn names(world: &World, tx: &mut Tx<'_>, id: &str) -> Result<Vec<String>> {
    let mut names = vec![id.to_owned()];
    if let Some(promised) = lock(&world.promises).payments.get(id) {
        names.push(promised.order.key.clone());
    }
    let Some(payment_id) = PaymentId::parse(id) else { return Ok(names) };
    let Some(payment) = payments::find(tx, &payment_id)? else { return Ok(names) };
    names.push(payment.invoice_id);
    names.extend(transactions::of_payment(tx, &payment_id)?.iter().map(|one| one.transaction_id.to_string()));
    names.extend(refunds::of_payment(tx, &payment_id)?.iter().map(|refund| refund.id.to_string()));
    let of_ledger = world.provider.with(|engine| engine.ledger()).transactions;
    let ours = of_ledger.iter().filter(|entry| entry.payment_id.as_deref() == Some(id));
    names.extend(ours.map(|entry| entry.transaction_id.to_string()));
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whether a line names something, not as a part of a longer word.
fn mentions(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + name.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_name_is_a_word() {
        assert!(mentions("t  order-1-refund-0: lost", "order-1") && mentions("order-1", "order-1"));
        assert!(!mentions("order-10: lost", "order-1") && !mentions("preorder-1", "order-1"));
    }
}

//! What was told to the site and to the provider is what the books say.

use std::collections::{BTreeMap, BTreeSet};

use super::approval_laws::Corrected;
use super::executor::lock;
use super::laws::{Account, Books};
use super::world::World;
use crate::app::NotificationKind;
use crate::domain::evidence::{Transaction, TransactionKind, TransactionStatus};
use crate::domain::refund::{Refund, RefundStatus};
use crate::error::Result;
use crate::store::{Tx, notifications};

pub(super) fn audit(world: &World, books: &Books, tx: &mut Tx<'_>) -> Result<()> {
    promises_hold(world, books);
    notifications_are_kept(world, books, tx)
}

/// Payments and refunds.
fn promises_hold(world: &World, books: &Books) {
    let corrected = Corrected::of(books);
    let law = "nothing acknowledged is missing";
    let promises = lock(&world.promises);
    let accounts: BTreeMap<&str, &Account> =
        books.accounts.iter().map(|account| (account.payment.id.as_str(), account)).collect();
    for (id, promised) in &promises.payments {
        let Some(account) = accounts.get(id.as_str()) else {
            world.violated(law, Some(id), "the payment is not there".to_owned());
            continue;
        };
        let sums = account.payment.sums;
        let with_money = account.transactions.iter().filter(|one| one.status >= TransactionStatus::Authorized);
        let payments_with_money = with_money.filter(|one| one.kind == TransactionKind::Payment).count();
        if payments_with_money == 1 && (sums.captured < promised.captured || sums.refunded < promised.refunded) {
            world.violated(law, Some(id), format!("{promised:?}, but {sums:?}"));
        }
        if promised.paid.is_some() && payments_with_money == 0 {
            world.violated(law, Some(id), format!("{promised:?}, but no money"));
        }
        // Whoever asks no Check can be paid at any time, and operators may be wrong.
        let final_for_all =
            (promised.order.card.is_some() || !world.weather.check_off) && !corrected.payments.contains(id.as_str());
        let takes = |one: &&Transaction| {
            one.kind == TransactionKind::Payment
                && matches!(one.status, TransactionStatus::Authorized | TransactionStatus::Completed)
        };
        // That a hold was released by hand is told as it is. Another attempt, let through before, may show afterwards that it
        // holds money, too: money after the end.
        let by_hand = account.transactions.iter().any(|one| world.provider.released_by_hand(one.transaction_id));
        if let Some(over) = promised.over.as_deref().filter(|over| final_for_all && !(by_hand && *over == "cancelled"))
            && account.transactions.iter().any(|one| takes(&one))
        {
            world.violated("an outcome is told only when it is proven", Some(id), format!("told to be {over}"));
        }
    }
    let refunds: BTreeMap<&str, &Refund> =
        books.accounts.iter().flat_map(|account| &account.refunds).map(|refund| (refund.id.as_str(), refund)).collect();
    for (id, promised) in &promises.refunds {
        let kept = refunds.get(id.as_str());
        let same = kept.is_some_and(|kept| {
            let status = if kept.status == RefundStatus::Succeeded { "succeeded" } else { "failed" };
            // What operators were wrong about.
            let came_late = promised.status == "failed" && corrected.refunds.contains(id.as_str());
            (status == promised.status || came_late) && kept.amount.minor == promised.amount
        });
        if !same {
            let payment_id = kept.map(|kept| kept.payment_id.as_str());
            world.violated(law, payment_id, format!("refund {id}: {promised:?}, but {kept:?}"));
        }
    }
}

fn notifications_are_kept(world: &World, books: &Books, tx: &mut Tx<'_>) -> Result<()> {
    let law = "nothing acknowledged is missing";
    let promises = lock(&world.promises);
    let accounts: BTreeSet<i64> = books
        .accounts
        .iter()
        .flat_map(|account| account.transactions.iter().map(|transaction| transaction.transaction_id))
        .collect();
    for (kind, body, transaction_id) in &promises.notifications {
        let Some(ours) = NotificationKind::parse(kind.name()) else { continue };
        if !notifications::is_known(tx, ours, body)? {
            world.violated(law, None, format!("{} of {transaction_id} is not stored", kind.name()));
        }
        if !accounts.contains(transaction_id) && !world.others.own(*transaction_id) {
            world.violated(law, None, format!("{} of {transaction_id} has no effect", kind.name()));
        }
    }
    for record in
        books.notifications.iter().filter(|record| matches!(record.verdict.as_str(), "unmatched" | "unreadable"))
    {
        if record.transaction_id.is_some_and(|id| world.others.own(id)) {
            continue;
        }
        world.violated("every notification finds its payment", None, format!("{record:?}"));
    }
    Ok(())
}

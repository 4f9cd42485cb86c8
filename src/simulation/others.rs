//! Somebody else's software at the same terminal: money of a bill that was moved before the site ordered the same, without
//! our name. What becomes of it later tells nothing of our payment.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use cloudpayments_sandbox::engine::{Draft, Progress, RefundOrder, Reply, Route, Schema};
use cloudpayments_sandbox::{Fault, LedgerEntry, NotificationFaultKind, NotificationKind, money};

use super::chance::Chance;
use super::executor::{Group, lock};
use super::site::Story;
use super::world::{World, pause_s};

/// One world of so many has others. The rest are what they were before there were any.
const ONE_WORLD_IN: u64 = 3;
/// Older by more than clocks may differ.
const OLDER_S: (u64, u64) = (200, 3_000);

/// What they did.
pub(super) struct Others {
    are_here: bool,
    transactions: Mutex<BTreeSet<i64>>,
}

impl Others {
    pub(super) fn draw(seed: u64) -> Others {
        let are_here = Chance::new(Chance::seed_of(seed, 2)).one_in(ONE_WORLD_IN);
        Others { are_here, transactions: Mutex::default() }
    }

    pub(super) fn are_here(&self) -> bool {
        self.are_here
    }

    /// Whether a transaction is theirs.
    pub(super) fn own(&self, transaction_id: i64) -> bool {
        lock(&self.transactions).contains(&transaction_id)
    }

    /// Whether an entry of the ledger is theirs; what is given back is where it came from.
    pub(super) fn own_entry(&self, entry: &LedgerEntry) -> bool {
        self.own(entry.transaction_id) || entry.payment_transaction_id.is_some_and(|parent| self.own(parent))
    }

    fn take_note(&self, transaction_id: Option<i64>) {
        lock(&self.transactions).extend(transaction_id);
    }
}

impl Story {
    /// Now and then somebody has moved money for the bill before the site orders anything.
    pub(super) async fn others_first(&mut self) {
        // Of a bill with two orders it would be older than one of them only.
        if !self.world.others.are_here() || !self.order.only_one || !self.chance.one_in(6) {
            return;
        }
        let mut chance = self.chance.fork();
        let Some(draft) = self.order.in_window(None, &mut chance) else { return };
        let schema = if chance.one_in(4) { Schema::Single } else { Schema::Dual };
        // They may call theirs as we call ours.
        let json_data = chance.one_in(3).then(|| r#"{"payment_id":"778"}"#.to_owned());
        let draft = Draft { schema, json_data, skip_three_ds: true, ..draft };
        // A Pay for the window that comes late cannot be told from one of its own payers.
        let tells = self.order.card.is_some();
        let Some(id) = self.world.moved_by_others(draft, tells).await else { return };
        self.world.spawn(Group::World, ends(Arc::clone(&self.world), id, chance));
        let gap_s = self.chance.between(OLDER_S.0, OLDER_S.1);
        pause_s(gap_s).await;
    }
}

/// What becomes of it, once or twice.
async fn ends(world: Arc<World>, id: i64, mut chance: Chance) {
    for _ in 0..2 {
        let after_s = chance.pick(&[60, 4_000, 12_000], 4_000);
        pause_s(chance.between(1, after_s)).await;
        let held = world.provider.transaction(id, |held| held.draft.amount.minor()).unwrap_or(1);
        let part = i64::try_from(chance.between(1, u64::try_from(held).unwrap_or(1).max(1))).unwrap_or(1);
        match chance.below(4) {
            0 => world.release_in_cabinet(id),
            1 => world.take_part_in_cabinet(id, part),
            2 => world.take_part_in_cabinet(id, held),
            _ => {
                let amount = money::Money::from_minor(part);
                let order =
                    RefundOrder { payment_id: id, amount, json_data: None, request_id: None, from_cabinet: true };
                let refund = world.refund_in_cabinet(order);
                world.others.take_note(refund);
            }
        }
    }
}

impl World {
    /// Their own software answers the Check; what happened is told to us.
    async fn moved_by_others(self: &Arc<Self>, draft: Draft, tells: bool) -> Option<i64> {
        let about = format!("others {}", draft.invoice_id.as_deref().unwrap_or_default());
        let answer = match self.at_engine(&about, |engine, now| engine.begin_widget(draft, now)) {
            Progress::Answer(answer) => answer,
            Progress::Check { pending, .. } => {
                let reply = Reply::Answered { status: 200, body: r#"{"code":0}"#.to_owned() };
                self.at_bank(Route::CardCharge, &about, |engine, now| {
                    if !tells {
                        engine.clear_faults();
                    }
                    for kind in [NotificationKind::Pay, NotificationKind::Fail].into_iter().filter(|_| !tells) {
                        engine.add_fault(Fault::notification(kind, NotificationFaultKind::Lose));
                    }
                    engine.resume(pending, &reply, now)
                })
            }
        };
        self.others.take_note(answer.transaction_id);
        self.note(&format!("{about}: {:?}", answer.transaction_id));
        if let Some(id) = answer.transaction_id {
            self.deliver_before_answer(id).await;
        }
        answer.transaction_id
    }

    fn take_part_in_cabinet(&self, transaction_id: i64, minor: i64) {
        let amount = money::Money::from_minor(minor);
        let about = format!("cabinet {transaction_id}");
        let done = self.at_engine(&about, |engine, now| engine.take(transaction_id, amount, now)).is_ok();
        self.note(&format!("cabinet: confirm {minor} of {transaction_id}: {done}"));
    }
}

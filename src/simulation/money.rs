//! What happens with money that was taken or held, and how it gets there: payers, banks, captures, refunds, the cabinet.

use std::sync::Arc;

use cloudpayments_sandbox::engine::{ApiRequest, Params, RefundOrder, Route, pa_res};
use secrecy::SecretString;
use serde_json::json;

use super::chance::Chance;
use super::executor::Group;
use super::order::RefundWish;
use super::promises::Seen;
use super::site::Story;
use super::world::{World, pause_ms, pause_s};
use crate::app::App;
use crate::domain::id::PaymentId;
use crate::domain::money::Money;

/// One try of a payer in the provider's window.
async fn pay(world: Arc<World>, draft: cloudpayments_sandbox::engine::Draft, mut chance: Chance) {
    let answer = world.in_window(draft).await;
    let Some(id) = answer.transaction_id else { return };
    if !answer.body.contains("AcsUrl") || chance.one_in(6) {
        return;
    }
    pause_s(chance.between(1, 600)).await;
    let passed = !chance.one_in(5);
    world.at_provider(post3ds(id, &pa_res(id, passed))).await;
}

fn post3ds(transaction_id: i64, pa_res: &str) -> ApiRequest {
    let fields = [("TransactionId".to_owned(), json!(transaction_id)), ("PaRes".to_owned(), json!(pa_res))];
    ApiRequest { route: Route::Post3ds, request_id: None, params: Params::from_iter(fields) }
}

impl Story {
    /// Payers try in the window, one after the other or in two tabs; the site may withdraw the payment meanwhile.
    pub(super) async fn let_pay(&mut self, id: &PaymentId, created: &Seen) {
        let attempts = self.chance.pick(&[0, 1, 1, 1, 2, 3, 4], 1);
        let together = self.chance.one_in(6);
        if self.chance.one_in(10) {
            self.withdraw_later(id);
        }
        for _ in 0..attempts {
            let Some(draft) = self.order.in_window(created.metadata.clone(), &mut self.chance) else { return };
            let payer = pay(Arc::clone(&self.world), draft, self.chance.fork());
            let gap_s = self.chance.pick(&[0, 5, 60, 400, 3_000], 5);
            if together || self.chance.one_in(8) {
                self.world.spawn(Group::World, payer);
                pause_ms(self.chance.between(0, 2_000)).await;
            } else {
                payer.await;
                pause_s(self.chance.between(0, gap_s)).await;
            }
            if self.chance.one_in(3) {
                self.read(id).await;
            }
        }
    }

    fn withdraw_later(&mut self, id: &PaymentId) {
        let mut other = Story { world: Arc::clone(&self.world), order: self.order.clone(), chance: self.chance.fork() };
        let (id, key) = (id.clone(), format!("{}-withdraw", self.order.key));
        self.world.spawn(Group::World, async move {
            pause_ms(other.chance.between(0, 900_000)).await;
            other.cancel(&id, &key).await;
        });
    }

    /// The payer goes to the bank and comes back by the browser, by the site, by both, or not at all.
    pub(super) async fn authenticate(&mut self, id: &PaymentId) {
        let Some(seen) = self.read_until_certain(id).await else { return };
        let Some(md) = seen.md.filter(|_| seen.status == "awaiting_authentication") else { return };
        if self.chance.one_in(8) {
            if self.chance.one_in(2) {
                let key = format!("{}-withdraw", self.order.key);
                self.cancel(id, &key).await;
            }
            return;
        }
        let away_s = self.chance.pick(&[5, 120, 1_200, 6_000], 120);
        pause_s(self.chance.between(1, away_s)).await;
        let answer = pa_res(md, !self.chance.one_in(5));
        let way = self.chance.below(4);
        if way != 0 {
            self.come_back(id, md, &answer);
        }
        if way == 0 || way == 3 {
            self.finish_three_ds(id, md, answer).await;
        }
        self.read_until_certain(id).await;
    }

    /// The payer's browser posts the bank's answer, now and then twice.
    fn come_back(&mut self, id: &PaymentId, md: i64, answer: &str) {
        let id_text = id.to_string();
        for _ in 0..self.chance.pick(&[1, 1, 1, 2], 1) {
            let (id, answer, world) = (id.clone(), answer.to_owned(), Arc::clone(&self.world));
            let after_ms = self.chance.between(0, 2_000);
            let work = move |app: Arc<App>| {
                let (id, answer) = (id.clone(), SecretString::from(answer.as_str()));
                async move { app.three_ds_return(id, md, answer).await.map(drop) }
            };
            let about = id_text.clone();
            self.world.spawn(Group::World, async move {
                pause_ms(after_ms).await;
                let _ = world.call(&about, &work).await;
            });
        }
    }

    /// Captures, releases and refunds, by the site and in the cabinet.
    pub(super) async fn use_money(&mut self, id: &PaymentId) {
        let Some(mut seen) = self.read_until_certain(id).await else { return };
        if seen.status == "authorized" {
            self.use_hold(id, &seen).await;
            let Some(after) = self.read_until_certain(id).await else { return };
            seen = after;
        }
        if seen.captured > 0 {
            self.give_back(id, &seen).await;
            self.read_until_certain(id).await;
        }
    }

    async fn use_hold(&mut self, id: &PaymentId, seen: &Seen) {
        let total = self.order.amount;
        let amount = match self.chance.below(5) {
            0 => Some(Money::new(self.chance_up_to(total.minor), total.currency)),
            1 => Some(total),
            2 if self.chance.one_in(4) => Some(Money::new(total.minor + 1, total.currency)),
            _ => None,
        };
        let (capture, cancel) = (format!("{}-capture", self.order.key), format!("{}-release", self.order.key));
        match self.chance.below(9) {
            0 => {}
            8 => {
                // Somebody takes the whole by hand, before, beside or after the site. Not a hold of another sum than was asked
                // for: a Confirm of it is not told from one of a part (contract section 14, point 22).
                if let Some(transaction_id) = seen.with_money() {
                    let (world, after_ms) = (Arc::clone(&self.world), self.chance.between(0, 3_000));
                    self.world.spawn(Group::World, async move {
                        pause_ms(after_ms).await;
                        world.take_in_cabinet(transaction_id, total);
                    });
                    pause_ms(self.chance.between(0, 3_000)).await;
                }
                self.capture(id, &capture, amount).await;
            }
            1 => drop(self.cancel(id, &cancel).await),
            2 => {
                // Two of the site's machines want different things.
                let mut other =
                    Story { world: Arc::clone(&self.world), order: self.order.clone(), chance: self.chance.fork() };
                let target = id.clone();
                self.world.spawn(Group::World, async move { drop(other.cancel(&target, &cancel).await) });
                self.capture(id, &capture, amount).await;
            }
            3 => {
                if let Some(transaction_id) = seen.with_money() {
                    self.world.release_in_cabinet(transaction_id);
                }
                if self.chance.one_in(2) {
                    self.capture(id, &capture, amount).await;
                }
            }
            _ => drop(self.capture(id, &capture, amount).await),
        }
    }

    fn chance_up_to(&mut self, most: i64) -> i64 {
        let most = u64::try_from(most).unwrap_or(1).max(1);
        i64::try_from(self.chance.between(1, most)).unwrap_or(1)
    }

    async fn give_back(&mut self, id: &PaymentId, seen: &Seen) {
        let wishes = self.chance.pick(&[0, 0, 1, 1, 2, 3, 5], 1);
        let together = self.chance.one_in(3);
        for number in 0..wishes {
            if self.chance.one_in(8) {
                self.refund_in_cabinet(seen);
            }
            let wish = self.wish(seen, number);
            let by_two = wish.amount.filter(|_| self.chance.one_in(8));
            if together {
                let mut other =
                    Story { world: Arc::clone(&self.world), order: self.order.clone(), chance: self.chance.fork() };
                let id = id.clone();
                self.world.spawn(Group::World, async move { other.refund_as(&id, wish, by_two).await });
            } else {
                self.refund_as(id, wish, by_two).await;
                let most_s = self.chance.pick(&[1, 60, 4_000], 60);
                pause_s(self.chance.between(0, most_s)).await;
            }
        }
    }

    /// Some are asked for under two keys although one would do.
    async fn refund_as(&mut self, id: &PaymentId, wish: RefundWish, by_two: Option<Money>) {
        match by_two {
            Some(amount) => self.refund_by_two(id, &wish.key, amount).await,
            None => self.refund(id, wish).await,
        }
    }

    fn wish(&mut self, seen: &Seen, number: u64) -> RefundWish {
        let currency = self.order.amount.currency;
        let money = |minor: i64| Money::new(minor.max(1), currency);
        let amount = match self.chance.below(6) {
            0 => None,
            1 => Some(money(seen.refundable)),
            2 => Some(money(seen.refundable + 1)),
            3 => Some(money(seen.captured / 2)),
            _ => Some(money(self.chance_up_to(seen.captured))),
        };
        let expected_refundable = self.chance.one_in(10).then(|| money(seen.refundable));
        RefundWish { key: format!("{}-refund-{number}", self.order.key), amount, expected_refundable }
    }

    fn refund_in_cabinet(&mut self, seen: &Seen) {
        let Some(payment_id) = seen.with_money() else { return };
        let minor = if self.chance.one_in(2) { seen.captured / 2 } else { self.chance_up_to(seen.captured) };
        let _ = self.world.refund_in_cabinet(RefundOrder {
            payment_id,
            amount: cloudpayments_sandbox::money::Money::from_minor(minor.max(1)),
            json_data: None,
            request_id: None,
            from_cabinet: true,
        });
    }
}

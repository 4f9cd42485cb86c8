//! The site: creates a payment, lets it be paid, and does with it what sites do. After any failure it repeats the same
//! request under the same key.

use std::sync::Arc;

use secrecy::SecretString;

use super::chance::Chance;
use super::executor::lock;
use super::operators::Desk;
use super::order::{Order, RefundWish, caller, mark};
use super::patience::Told;
use super::promises::Seen;
use super::world::{World, pause_ms, pause_s};
use crate::app::{Answer, App, NewApproval, NewSubject};
use crate::domain::id::PaymentId;
use crate::domain::money::Money;
use crate::error::{Conflict, Error, Result};

/// The story of one payment.
pub(super) struct Story {
    pub world: Arc<World>,
    pub order: Order,
    pub chance: Chance,
}

/// From the creation to the end of the payment.
pub(super) async fn live(mut story: Story) {
    let world = Arc::clone(&story.world);
    let begin_ms = story.chance.between(0, world.weather.span_s * 1000);
    pause_ms(begin_ms).await;
    story.others_first().await;
    if let Some(created) = story.create().await {
        story.go_on(&created).await;
    }
    world.story_over();
}

impl Story {
    async fn create(&mut self) -> Option<Seen> {
        let order = self.order.clone();
        let work = move |app: Arc<App>| {
            let order = order.clone();
            async move { app.create_payment(&caller(&order.key), order.mark(), order.new_payment()).await }
        };
        let key = self.order.key.clone();
        match self.world.insist(&mut self.chance, &key, work).await {
            Told::Answer(answer) => self.see(&answer.stored.body),
            // Nobody knows whose money it is that came to light while a start was read back.
            Told::Refused(Error::Conflict { why: Conflict::PaidBeforeRestore, .. }) if self.world.others.are_here() => {
                None
            }
            Told::Refused(error) => {
                self.world.violated("an order in good form is taken", None, format!("{key}: {error}"));
                None
            }
            Told::Nothing => None,
        }
    }

    async fn go_on(&mut self, created: &Seen) {
        if let Some(id) = PaymentId::parse(&created.id) {
            match self.order.card {
                None => self.let_pay(&id, created).await,
                Some(_) => self.authenticate(&id).await,
            }
            self.use_money(&id).await;
            if self.chance.one_in(10) {
                self.sync(&id).await;
            }
        }
    }

    /// What an answer shows, which is a promise.
    pub(super) fn see(&self, body: &[u8]) -> Option<Seen> {
        let Some(seen) = Seen::read(body) else {
            self.world.violated("answers can be read", None, String::from_utf8_lossy(body).into_owned());
            return None;
        };
        lock(&self.world.promises).payment(&self.world, &self.order, &seen);
        let (status, certain) = (&seen.status, seen.certain);
        self.world.note(&format!("{} {}: {status} {certain} {}", self.order.key, seen.id, seen.captured));
        Some(seen)
    }

    /// Reads the payment.
    pub(super) async fn read(&self, id: &PaymentId) -> Option<Seen> {
        let (wanted, waits) = (id.clone(), self.chance.clone().one_in(20));
        let world = Arc::clone(&self.world);
        let work = move |app: Arc<App>| {
            let (id, world) = (wanted.clone(), Arc::clone(&world));
            async move {
                let details = if waits { app.payment_after_change(id, 20).await } else { app.payment(id).await }?;
                Ok(world.shown(&details))
            }
        };
        let body = self.world.call(id.as_str(), &work).await.ok()?.ok()?;
        self.see(&body)
    }

    /// Reads until the payment is in none of the passing states, or for long enough.
    pub(super) async fn read_until_certain(&mut self, id: &PaymentId) -> Option<Seen> {
        let mut last = None;
        for _ in 0..6 {
            if let Some(seen) = self.read(id).await {
                let over = seen.certain && seen.status != "processing";
                last = Some(seen);
                if over {
                    break;
                }
            }
            let seconds = self.chance.pick(&[1, 5, 60, 600, 2_400], 5);
            pause_s(seconds).await;
        }
        last
    }

    async fn sync(&mut self, id: &PaymentId) {
        let (about, id, world) = (id.to_string(), id.clone(), Arc::clone(&self.world));
        let work = move |app: Arc<App>| {
            let (id, world) = (id.clone(), Arc::clone(&world));
            async move { app.sync_payment(&caller("sync"), id).await.map(|details| world.shown(&details)) }
        };
        if let Ok(Ok(body)) = self.world.call(&about, &work).await {
            self.see(&body);
        }
    }

    pub(super) async fn capture(&mut self, id: &PaymentId, key: &str, amount: Option<Money>) -> Option<Seen> {
        let (id, idempotency) = (id.clone(), mark(key, &format!("capture {id} {amount:?}")));
        let work = move |app: Arc<App>| {
            let (id, idempotency) = (id.clone(), idempotency.clone());
            async move { app.capture_payment(&caller("capture"), idempotency, id, amount).await }
        };
        self.act(key, work).await
    }

    pub(super) async fn cancel(&mut self, id: &PaymentId, key: &str) -> Option<Seen> {
        let (id, idempotency) = (id.clone(), mark(key, &format!("cancel {id}")));
        let work = move |app: Arc<App>| {
            let (id, idempotency) = (id.clone(), idempotency.clone());
            async move { app.cancel_payment(&caller("cancel"), idempotency, id).await }
        };
        self.act(key, work).await
    }

    pub(super) async fn finish_three_ds(&mut self, id: &PaymentId, md: i64, pa_res: String) -> Option<Seen> {
        let key = format!("{}-three-ds", self.order.key);
        let (id, idempotency) = (id.clone(), mark(&key, &format!("three-ds {id} {md} {pa_res}")));
        let work = move |app: Arc<App>| {
            let (id, idempotency, pa_res) = (id.clone(), idempotency.clone(), SecretString::from(pa_res.as_str()));
            async move { app.finish_three_ds(&caller("three-ds"), idempotency, id, md, pa_res).await }
        };
        self.act(&key, work).await
    }

    /// Under one key; what is above the sum is asked for under two.
    pub(super) async fn refund(&mut self, id: &PaymentId, wish: RefundWish) {
        let (target, key, asked) = (id.clone(), wish.key.clone(), wish.amount.unwrap_or(self.order.amount));
        let work = move |app: Arc<App>| {
            let (id, wish) = (target.clone(), wish.clone());
            async move { app.create_refund(&caller(&wish.key), wish.mark(), id, wish.new_refund()).await }
        };
        match self.world.insist(&mut self.chance, &key, work).await {
            Told::Answer(answer) => {
                if let Ok(body) = serde_json::from_slice(&answer.stored.body) {
                    self.world.note(&format!("{key}: {} {body}", answer.stored.status));
                    lock(&self.world.promises).refund(&self.world, &body);
                }
            }
            Told::Refused(Error::Conflict { why: Conflict::ApprovalRequired, detail }) => {
                if self.world.weather.second_key_above(asked.currency).is_none() {
                    let detail = format!("{key}: {detail}");
                    self.world.violated("a second key is asked for above a sum only", Some(id.as_str()), detail);
                }
                self.refund_by_two(id, &key, asked).await;
            }
            Told::Refused(_) | Told::Nothing => {}
        }
    }

    /// One operator asks for the refund, another one decides.
    pub(super) async fn refund_by_two(&mut self, id: &PaymentId, key: &str, amount: Money) {
        let reason = format!("{key}-approval");
        let subject = NewSubject::Refund { amount };
        let new = NewApproval { payment_id: id.clone(), subject, reason: reason.clone() };
        let mut desk = Desk { world: Arc::clone(&self.world), chance: self.chance.fork() };
        desk.second_key(&reason, new).await;
    }

    async fn act<W, F>(&mut self, key: &str, work: W) -> Option<Seen>
    where
        W: Fn(Arc<App>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        match self.world.insist(&mut self.chance, key, work).await {
            Told::Answer(answer) => self.see(&answer.stored.body),
            Told::Refused(_) | Told::Nothing => None,
        }
    }
}

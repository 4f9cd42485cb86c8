//! The site: creates a payment, lets it be paid, and does with it what sites do. After any failure it repeats the same
//! request under the same key.

use std::sync::Arc;

use secrecy::SecretString;

use super::chance::Chance;
use super::executor::{Group, lock};
use super::order::{Order, RefundWish, caller, mark};
use super::promises::Seen;
use super::service::Lost;
use super::world::{World, pause_ms, pause_s};
use crate::app::{Answer, App};
use crate::domain::id::PaymentId;
use crate::domain::money::Money;
use crate::error::{Error, Result};

/// After so many tries the site gives up.
const TRIES: u64 = 12;

/// The story of one payment.
pub(super) struct Story {
    pub world: Arc<World>,
    pub order: Order,
    pub chance: Chance,
}

/// What came of a request, in the end.
#[derive(Debug)]
pub(super) enum Told {
    /// An answer.
    Answer(Answer),
    /// It is not possible.
    Refused,
    /// The site gave up without an answer.
    Nothing,
}

/// From the creation to the end of the payment.
pub(super) async fn live(mut story: Story) {
    let world = Arc::clone(&story.world);
    let begin_ms = story.chance.between(0, world.weather.span_s * 1000);
    pause_ms(begin_ms).await;
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
        match self.insist(&key, work).await {
            Told::Answer(answer) => self.see(&answer.stored.body),
            Told::Refused => {
                self.world.violated("an order in good form is taken", None, key);
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

    pub(super) async fn refund(&mut self, id: &PaymentId, wish: RefundWish) {
        let (id, key) = (id.clone(), wish.key.clone());
        let work = move |app: Arc<App>| {
            let (id, wish) = (id.clone(), wish.clone());
            async move { app.create_refund(&caller(&wish.key), wish.mark(), id, wish.new_refund()).await }
        };
        if let Told::Answer(answer) = self.insist(&key, work).await
            && let Ok(body) = serde_json::from_slice(&answer.stored.body)
        {
            self.world.note(&format!("{key}: {} {body}", answer.stored.status));
            lock(&self.world.promises).refund(&self.world, &body);
        }
    }

    async fn act<W, F>(&mut self, key: &str, work: W) -> Option<Seen>
    where
        W: Fn(Arc<App>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        match self.insist(key, work).await {
            Told::Answer(answer) => self.see(&answer.stored.body),
            Told::Refused | Told::Nothing => None,
        }
    }

    /// The same request under the same key until it is answered for good, and now and then once more after that.
    async fn insist<W, F>(&mut self, key: &str, work: W) -> Told
    where
        W: Fn(Arc<App>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        self.twin(key, &work);
        let mut kept: Option<Answer> = None;
        let mut last = Told::Nothing;
        for _ in 0..TRIES {
            match self.world.call(key, &work).await {
                Ok(Ok(answer)) => {
                    self.compare(key, kept.as_ref(), &answer);
                    let is_final = answer.stored.status != 202;
                    if is_final && !answer.replayed {
                        kept = Some(answer.clone());
                    }
                    last = Told::Answer(answer);
                    // Who does not know the outcome yet often asks by the same request.
                    let asks_again = if is_final { self.chance.one_in(10) } else { self.chance.one_in(2) };
                    if !asks_again {
                        return last;
                    }
                }
                Ok(Err(Error::IdempotencyKeyReused)) => {
                    self.world.violated("a repeat is known as one", None, key.to_owned());
                    return Told::Refused;
                }
                Ok(Err(
                    Error::Unavailable { .. } | Error::GapUnread(_) | Error::IdempotencyInProgress | Error::Internal(_),
                ))
                | Err(Lost) => {
                    if matches!(last, Told::Answer(_)) {
                        return last;
                    }
                }
                Ok(Err(error)) => {
                    self.world.note(&format!("{key}: {error}"));
                    return if kept.is_some() { last } else { Told::Refused };
                }
            }
            let most = self.chance.pick(&[1_000, 10_000, 120_000, 5_000_000], 1_000);
            pause_ms(self.chance.between(1, most)).await;
        }
        last
    }

    /// Now and then somebody sends the same request a second time beside the first.
    fn twin<W, F>(&mut self, key: &str, work: &W)
    where
        W: Fn(Arc<App>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        if self.chance.one_in(12) {
            let (world, work, after_ms) = (Arc::clone(&self.world), work.clone(), self.chance.between(0, 3_000));
            let key = key.to_owned();
            self.world.spawn(Group::World, async move {
                pause_ms(after_ms).await;
                let _ = world.call(&key, &work).await;
            });
        }
    }

    fn compare(&self, key: &str, kept: Option<&Answer>, again: &Answer) {
        if let Some(kept) = kept
            && (kept.stored != again.stored || !again.replayed)
        {
            let text = |answer: &Answer| String::from_utf8_lossy(&answer.stored.body).into_owned();
            let detail = format!("{key}: first {}, then {}", text(kept), text(again));
            self.world.violated("a repeat gets the same answer", None, detail);
        }
    }
}

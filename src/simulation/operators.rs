//! Operators, each under a key of their own: one asks, another one decides, or nobody does. And a desk that ends calls
//! whose answer stays lost while the provider tells nothing.

use std::sync::Arc;

use super::chance::Chance;
use super::executor::{Group, lock};
use super::order::mark;
use super::patience::Told;
use super::promises::SeenApproval;
use super::world::{World, pause_ms, pause_s};
use crate::app::{App, Caller, NewApproval, NewSubject, Page, PaymentFilter};
use crate::domain::approval::CorrectionOutcome;
use crate::domain::id::{ApiKeyId, ApprovalId, PaymentId, RefundId};
use crate::domain::refund::RefundStatus;
use crate::domain::scope::Scope;
use crate::domain::state::Certainty;
use crate::error::{Conflict, Error};

/// Keys, and the first key of their line: the second one succeeds the first, so they are one operator.
const OPERATORS: [(&str, &str); 4] = [
    ("key_simulated_one", "key_simulated_one"),
    ("key_simulated_one_new", "key_simulated_one"),
    ("key_simulated_two", "key_simulated_two"),
    ("key_simulated_three", "key_simulated_three"),
];
/// More than any world has of anything.
const ALL: i64 = 100_000;
const APPROVALS: &str = "/v1/approvals";

type Operator = (&'static str, &'static str);

/// What one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Approve,
    Reject,
}

/// Those who ask and decide.
pub(super) struct Desk {
    pub world: Arc<World>,
    pub chance: Chance,
}

/// What `operator` sends, as the handlers give it to the use cases.
fn caller((key_id, line): Operator, request_id: &str) -> Caller {
    Caller {
        key_id: ApiKeyId::from_stored(key_id.to_owned()),
        lineage: ApiKeyId::from_stored(line.to_owned()),
        scopes: Scope::ALL.to_vec(),
        request_id: Some(request_id.to_owned()),
    }
}

impl Desk {
    fn fork(&mut self) -> Desk {
        Desk { world: Arc::clone(&self.world), chance: self.chance.fork() }
    }

    /// One asks; another line of keys approves or refuses, two decide at once, or nobody decides.
    pub(super) async fn second_key(&mut self, key: &str, new: NewApproval) {
        let asker = self.chance.pick(&OPERATORS, OPERATORS[0]);
        let Some(id) = self.ask(key, asker, new).await else { return };
        let expires_s = self.world.weather.operators.approval_expires_in_s.unsigned_abs();
        pause_s(self.chance.pick(&[0, 0, 60, 1_800, expires_s / 2, expires_s + 1], 0)).await;
        if self.chance.one_in(4) {
            self.decide_own(key, asker, &id).await;
        }
        let (one, other) = self.others(asker);
        match self.chance.below(8) {
            0 => {}
            1 => self.decide(&format!("{key}-no"), one, Decision::Reject, &id).await,
            2 | 3 => {
                let second =
                    self.chance.pick(&[Decision::Approve, Decision::Approve, Decision::Reject], Decision::Approve);
                let (mut beside, target, second_key) = (self.fork(), id.clone(), format!("{key}-also"));
                self.world.spawn(Group::World, async move {
                    pause_ms(beside.chance.between(0, 500)).await;
                    beside.decide(&second_key, other, second, &target).await;
                });
                pause_ms(self.chance.between(0, 500)).await;
                self.decide(&format!("{key}-yes"), one, Decision::Approve, &id).await;
            }
            _ => self.decide(&format!("{key}-yes"), one, Decision::Approve, &id).await,
        }
        if self.chance.one_in(3) {
            let decision = self.chance.pick(&[Decision::Approve, Decision::Reject], Decision::Approve);
            self.decide(&format!("{key}-again"), other, decision, &id).await;
        }
        self.look(key, &id).await;
    }

    /// Two of other lines than this operator's, in any order.
    fn others(&mut self, asker: Operator) -> (Operator, Operator) {
        let mut lines = OPERATORS.into_iter().filter(|other| other.1 != asker.1);
        let (first, last) = (lines.next().unwrap_or(asker), lines.next_back().unwrap_or(asker));
        if self.chance.one_in(2) { (first, last) } else { (last, first) }
    }

    async fn ask(&mut self, key: &str, asker: Operator, new: NewApproval) -> Option<ApprovalId> {
        let idempotency = mark(key, &format!("{APPROVALS} {new:?}"));
        let payment_id = new.payment_id.to_string();
        let work = move |app: Arc<App>| {
            let (idempotency, new) = (idempotency.clone(), new.clone());
            async move { app.request_approval(&caller(asker, "ask"), idempotency, new).await }
        };
        let world = Arc::clone(&self.world);
        let Told::Answer(answer) = world.insist(&mut self.chance, key, work).await else { return None };
        let seen = self.see(key, &answer.stored.body)?;
        if seen.state != "pending" {
            world.violated("asking decides nothing", Some(&payment_id), format!("{key}: {seen:?}"));
        }
        ApprovalId::parse(&seen.id)
    }

    /// Who asked tries to decide, under the same key or another one of the line.
    async fn decide_own(&mut self, key: &str, asker: Operator, id: &ApprovalId) {
        let line: Vec<Operator> = OPERATORS.into_iter().filter(|own| own.1 == asker.1).collect();
        let own = self.chance.pick(&line, asker);
        let decision = self.chance.pick(&[Decision::Approve, Decision::Reject], Decision::Approve);
        match self.send(&format!("{key}-own"), own, decision, id).await {
            Told::Nothing | Told::Refused(Error::Conflict { why: Conflict::SecondOperatorRequired, .. }) => {}
            told => self.world.violated("who asked does not decide", None, format!("{key}: {told:?}")),
        }
    }

    async fn decide(&mut self, key: &str, by: Operator, decision: Decision, id: &ApprovalId) {
        if let Told::Answer(answer) = self.send(key, by, decision, id).await
            && let Some(seen) = self.see(key, &answer.stored.body)
        {
            let wanted = if decision == Decision::Approve { "approved" } else { "rejected" };
            if seen.state != wanted || seen.decided_by.as_deref() != Some(by.0) {
                let detail = format!("{key}: {wanted} by {} was answered with {seen:?}", by.0);
                self.world.violated("a decision is answered with itself", Some(&seen.payment_id), detail);
            }
        }
    }

    async fn send(&mut self, key: &str, by: Operator, decision: Decision, id: &ApprovalId) -> Told {
        let (id, idempotency) = (id.clone(), mark(key, &format!("{APPROVALS}/{id} {decision:?}")));
        let work = move |app: Arc<App>| {
            let (id, idempotency) = (id.clone(), idempotency.clone());
            async move {
                let caller = caller(by, "decide");
                match decision {
                    Decision::Approve => app.approve(&caller, idempotency, id).await,
                    Decision::Reject => app.reject(&caller, idempotency, id).await,
                }
            }
        };
        let world = Arc::clone(&self.world);
        world.insist(&mut self.chance, key, work).await
    }

    /// Reads the approval.
    async fn look(&mut self, key: &str, id: &ApprovalId) {
        let (wanted, world) = (id.clone(), Arc::clone(&self.world));
        let work = move |app: Arc<App>| {
            let (id, world) = (wanted.clone(), Arc::clone(&world));
            async move { app.approval(id).await.map(|details| world.shown_approval(&details)) }
        };
        if let Ok(Ok(body)) = self.world.call(key, &work).await {
            self.see(key, &body);
        }
    }

    /// What an answer shows, which is a promise.
    fn see(&self, key: &str, body: &[u8]) -> Option<SeenApproval> {
        let Some(seen) = SeenApproval::read(body) else {
            self.world.violated("answers can be read", None, String::from_utf8_lossy(body).into_owned());
            return None;
        };
        let (id, state, refund) = (&seen.id, &seen.state, seen.refund_id.as_deref().unwrap_or("no refund"));
        self.world.note(&format!("{key}: {id} of {} is {state}, {refund}", seen.payment_id));
        lock(&self.world.promises).approval(&self.world, &seen);
        Some(seen)
    }

    /// Looks for lost calls and asks for the end of some. What the desk believes of them is right or wrong.
    async fn look_for_lost(&mut self, round: u64) {
        for (number, (payment_id, refund_id)) in self.lost().await.into_iter().enumerate() {
            if !self.chance.one_in(2) {
                continue;
            }
            let key = format!("correction-{round}-{number}");
            let subject = NewSubject::Correction { refund_id, outcome: CorrectionOutcome::NoEffect };
            let new = NewApproval { payment_id, subject, reason: key.clone() };
            let mut other = self.fork();
            self.world.spawn(Group::World, async move { other.second_key(&key, new).await });
        }
    }

    /// Payments, and their refunds, that wait for evidence.
    async fn lost(&self) -> Vec<(PaymentId, Option<RefundId>)> {
        let work = |app: Arc<App>| async move {
            let page = Page { before: None, limit: ALL };
            let mut lost = Vec::new();
            for details in app.list_payments(PaymentFilter::default(), page).await?.items {
                let payment = details.payment;
                if payment.certainty == Certainty::Undetermined {
                    lost.push((payment.id.clone(), None));
                }
                if payment.sums.refund_pending > 0 {
                    let refunds = app.list_refunds(payment.id.clone(), Page { before: None, limit: ALL }).await?;
                    let pending = refunds.items.into_iter().filter(|refund| refund.status == RefundStatus::Pending);
                    lost.extend(pending.map(|refund| (payment.id.clone(), Some(refund.id))));
                }
            }
            Ok(lost)
        };
        match self.world.call("the desk", &work).await {
            Ok(Ok(lost)) => lost,
            _ => Vec::new(),
        }
    }
}

/// For some hours the provider tells nothing of what became of calls, and the desk does not wait for it.
pub(super) async fn silence(world: Arc<World>, chance: Chance) {
    let mut desk = Desk { world: Arc::clone(&world), chance };
    let latest_s = world.weather.span_s.min(7_200);
    pause_s(desk.chance.between(0, latest_s)).await;
    world.silence_provider(true);
    let mut left_s = world.weather.silent_s;
    for round in 0.. {
        let pause = desk.chance.between(600, 2_400).min(left_s);
        pause_s(pause).await;
        left_s -= pause;
        if left_s == 0 {
            break;
        }
        desk.look_for_lost(round).await;
    }
    world.silence_provider(false);
    world.story_over();
}

//! Finding out what became of calls whose answer was lost, by evidence only.
//!
//! Within the provider's memory a call that holds nothing secret is asked again under the same `X-Request-ID`; after it,
//! and for card data at once, the provider's register decides. "Not there" counts as proof only when the provider can no
//! longer be working on it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::conclude::{Conclusion, conclude, told};
use super::record::Note;
use super::resolve::Ours;
use super::{App, Caller, Gap, PaymentDetails};
use crate::clock::Timestamp;
use crate::cloudpayments::{Outcome, Sending};
use crate::domain::evidence::{Attention, Fact, TransactionKind, TransactionStatus};
use crate::domain::id::{OperationId, PaymentId};
use crate::domain::payment::{CLOCKS_DIFFER_S, Operation, OperationKind, OperationState, Payment};
use crate::domain::state::CauseType;
use crate::error::{Error, Result};
use crate::store::{Lane, Tx, operations, payments, transactions};

/// How long the provider repeats the answer to the same `X-Request-ID`, seconds (contract section 2.3).
pub const PROVIDER_MEMORY_S: i64 = 3600;
/// Pauses between questions grow from 5 seconds to this.
const LONGEST_PAUSE_S: i64 = 600;
/// A register of more pages is not searched for one call.
const MAX_PAGES: u32 = 2_000;
/// An answer that stays lost for a day calls a person; asking goes on.
const FOR_A_PERSON_S: i64 = 86_400;
/// While nothing is sent to the provider, seconds.
const PAUSE_IN_TROUBLE_S: i64 = 10;
const STEP_LIMIT: i64 = 20;
/// Calls that cannot be settled are passed over in one step, up to this many.
const PASSED_OVER: i64 = 1_000;
const WORKER: &str = "worker:settle";

/// The calls that this process is asking about now.
#[derive(Default)]
pub(super) struct Asking(Mutex<HashSet<OperationId>>);

/// One question under way; over when dropped.
struct Question<'a>(&'a Asking, OperationId);

impl Asking {
    /// `None` when somebody asks about it already.
    fn begin(&self, id: &OperationId) -> Option<Question<'_>> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(id.clone()).then(|| Question(self, id.clone()))
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl App {
    /// Asks about every call whose answer is overdue, and takes up notifications whose payment became known. Returns how
    /// many of both there were.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn settle_step(&self) -> Result<usize> {
        self.parts.provider.ask_if_back().await;
        self.watch_clock().await?;
        let due = self.settle_due().await?;
        self.ask_about_attempts().await?;
        let taken_up = self.take_up_unmatched().await?;
        self.parts.metrics.worker("settle", due + taken_up);
        Ok(due + taken_up)
    }

    /// Asks about the calls that waited longest. One that cannot be settled stays the first of them: it is passed over, for
    /// it must not keep the others from it.
    async fn settle_due(&self) -> Result<usize> {
        let now = self.now();
        let (mut looked_at, mut passed_over) = (0, 0);
        while passed_over < PASSED_OVER {
            let read = move |tx: &mut Tx<'_>| operations::due(tx, now, passed_over, STEP_LIMIT);
            let due = self.parts.store.read(read).await?;
            looked_at += due.len();
            let before = passed_over;
            for operation in due {
                let id = operation.id.clone();
                if let Err(error) = self.settle_operation(operation, WORKER).await {
                    tracing::error!(operation.id = id.as_str(), %error, ?error, "a lost answer could not be settled");
                    passed_over += 1;
                }
            }
            if passed_over == before {
                break;
            }
        }
        Ok(looked_at)
    }

    /// Calls that were written down in what is the future now are as old as nobody knows: the provider may have forgotten
    /// them already.
    async fn watch_clock(&self) -> Result<()> {
        let now = self.now();
        let latest = now.plus_seconds(CLOCKS_DIFFER_S);
        if !self.parts.store.read(move |tx| operations::any_started_after(tx, latest)).await? {
            return Ok(());
        }
        let due_at = now.plus_seconds(self.parts.settings.call_deadline_s);
        let write = move |tx: &mut Tx<'_>| operations::forbid_repeats_after(tx, latest, now, due_at);
        let calls = self.parts.store.write(Lane::of(WORKER), write).await?;
        tracing::error!(calls, "the clock was set back; open calls are not repeated, only looked for");
        Ok(())
    }

    /// Asks the provider about a payment now.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`] while the provider is not asked because it is in trouble.
    pub async fn sync_payment(&self, caller: &Caller, id: PaymentId) -> Result<PaymentDetails> {
        self.payment(id.clone()).await?;
        self.refuse_in_trouble()?;
        self.settle_open(&id, caller).await?;
        self.look_up(&id, caller.key_id.as_str()).await?;
        self.payment(id).await
    }

    /// For what is worth nothing without an answer of the provider.
    pub(super) fn refuse_in_trouble(&self) -> Result<()> {
        self.parts.provider.admits().map_err(|reason| Error::Unavailable {
            detail: format!("{}; it is not asked now; ask again later", told(&reason)),
            internal: reason.to_string(),
            retry_after_s: reason.retry_after_s(),
        })
    }

    /// A later request on a payment with a lost answer settles it first if it can.
    pub(super) async fn settle_open(&self, id: &PaymentId, caller: &Caller) -> Result<()> {
        let id = id.clone();
        let open = self.parts.store.read(move |tx| operations::open_of_payment(tx, &id)).await?;
        for operation in open {
            if operation.state == OperationState::Undetermined {
                self.settle_operation(operation, caller.key_id.as_str()).await?;
            }
        }
        Ok(())
    }

    /// Keeps what the provider tells now of a payment's transactions, or of its bill where we know of none.
    pub(super) async fn look_up(&self, id: &PaymentId, actor: &str) -> Result<()> {
        for fact in self.facts_now(id).await? {
            self.book_lookup(id, actor, fact).await?;
        }
        Ok(())
    }

    pub(super) async fn facts_now(&self, id: &PaymentId) -> Result<Vec<Fact>> {
        let wanted = id.clone();
        let read = move |tx: &mut Tx<'_>| {
            let payment = payments::get(tx, &wanted)?;
            Ok((Ours::of(tx, &payment)?, transactions::of_payment(tx, &wanted)?, payment.invoice_id))
        };
        let (ours, known, invoice_id) = self.parts.store.read(read).await?;
        let mut facts = Vec::new();
        for transaction in known.iter().filter(|transaction| transaction.kind == TransactionKind::Payment) {
            if let Outcome::Answered(Some(fact)) = self.parts.provider.get(transaction.transaction_id).await {
                facts.push(fact);
            }
        }
        // The bank that took the money may be another one than the bank that we know of.
        if !facts.iter().any(|fact| ours.pays(fact))
            && let Outcome::Answered(Some(fact)) = self.parts.provider.find(&invoice_id).await
            && ours.is(&fact)
        {
            facts.push(fact);
        }
        Ok(facts)
    }

    pub(super) async fn book_lookup(&self, id: &PaymentId, actor: &str, fact: Fact) -> Result<()> {
        let recorder = self.recorder(CauseType::Lookup, None, actor);
        let id = id.clone();
        self.write_payment(&id.clone(), move |tx| {
            let payment = payments::hold(tx, &id)?;
            let learned = recorder.learn(tx, &payment, &fact, None)?;
            if learned.is_news() {
                let note = Note::of_learned(&payment, &fact, learned);
                recorder.settle(tx, payment, note)?;
            }
            Ok(())
        })
        .await
    }

    /// Asks about one call and writes down what came out, or when to ask again.
    async fn settle_operation(&self, operation: Operation, actor: &str) -> Result<()> {
        let Some(_asking) = self.asking.begin(&operation.id) else { return Ok(()) };
        if operation.state == OperationState::Started {
            // Its process is gone: from here on the answer counts as lost.
            let lost = Conclusion::Unknown("the service stopped while the call was under way".to_owned());
            self.conclude_lookup(operation.clone(), lost, actor).await?;
        }
        if self.parts.provider.trouble().is_some() {
            // Nothing would be sent: the question is not used up, and comes soon after the provider is back.
            return self.ask_later(operation, PAUSE_IN_TROUBLE_S).await;
        }
        let Some((operation, until)) = self.claim_question(operation).await? else { return Ok(()) };
        let id = operation.payment_id.clone();
        let payment = self.parts.store.read(move |tx| payments::get(tx, &id)).await?;
        if let Some(conclusion) = self.ask(&payment, &operation, until).await {
            self.conclude_lookup(operation.clone(), conclusion, actor).await?;
        }
        // Also after an answer that could not be booked: it does not get better every five seconds.
        let pause_s = pause_s(operation.lookups);
        self.ask_later(operation, pause_s).await
    }

    /// Only one asks about a call at a time, in this process and in others: what the provider does with two equal requests
    /// at once is not known (contract section 14, point 4). With the moment from which others may ask; `None` when somebody
    /// else is asking.
    async fn claim_question(&self, operation: Operation) -> Result<Option<(Operation, Timestamp)>> {
        let now = self.now();
        let until = now.plus_seconds(self.parts.settings.call_deadline_s);
        let (id, seen) = (operation.id.clone(), operation.lookups);
        let claimed =
            self.write_payment(&operation.payment_id, move |tx| operations::claim(tx, &id, seen, now, until)).await?;
        let claimed_one =
            Operation { state: OperationState::Undetermined, lookups: seen.saturating_add(1), ..operation };
        Ok(claimed.then_some((claimed_one, until)))
    }

    async fn conclude_lookup(&self, operation: Operation, conclusion: Conclusion, actor: &str) -> Result<()> {
        let recorder = self.recorder(CauseType::Lookup, Some(operation.id.to_string()), actor);
        let id = operation.payment_id.clone();
        self.write_payment(&id, move |tx| conclude(tx, &recorder, &operation, &conclusion).map(drop)).await
    }

    async fn ask_later(&self, operation: Operation, pause_s: i64) -> Result<()> {
        let recorder = self.recorder(CauseType::Lookup, Some(operation.id.to_string()), WORKER);
        let due_at = recorder.at.plus_seconds(pause_s);
        let for_a_person = recorder.at.seconds_since(operation.sent_by()) > FOR_A_PERSON_S;
        let id = operation.payment_id.clone();
        self.write_payment(&id, move |tx| {
            let note = "asked, not known yet";
            let open = operations::mark_undetermined(tx, &operation.id, operation.lookups, due_at, note)?;
            if open && for_a_person {
                let payment = payments::hold(tx, &operation.payment_id)?;
                let attention = Some(Attention::new("answer_lost", &operation.id));
                recorder.settle(tx, payment, Note { attention, ..Note::default() })?;
            }
            Ok(())
        })
        .await
    }

    /// What the provider tells of a lost call; `None` while it tells nothing that proves an outcome. From `until` on somebody
    /// else may be asking.
    async fn ask(&self, payment: &Payment, operation: &Operation, until: Timestamp) -> Option<Conclusion> {
        let age_s = self.now().seconds_since(operation.sent_by());
        // A copy of the database that is too old may hold calls whose end it does not know: nothing is sent for them.
        let may_send = self.gap() == Gap::Read;
        let mut operation = operation.clone();
        // A call of the future was written before the clock was set back: nobody knows how old it is.
        let may_repeat = operation.kind.can_be_asked_again()
            && operation.refused_at.is_none()
            && (0..self.last_repeat_s()).contains(&age_s);
        if may_repeat && !may_send && operation.kind == OperationKind::Capture {
            // Its own answer tells whose capture it was; the register may tell the sum of the hold only.
            return None;
        }
        if may_send && may_repeat && self.is_asked_for(&operation).await {
            match self.ask_again(payment, &operation, until).await {
                Conclusion::Unknown(_) | Conclusion::NotSent(_) => return None,
                // A refusal of the repeat does not prove that the first one was refused.
                Conclusion::Refused(_) => operation.refused_at = self.note_refusal(&operation).await,
                conclusion => return Some(conclusion),
            }
        }
        match operation.kind {
            OperationKind::Charge | OperationKind::Authorize => self.ask_for_charge(payment, &operation, age_s).await,
            OperationKind::ThreeDs => self.ask_for_three_ds(payment, &operation, age_s).await,
            OperationKind::Capture | OperationKind::Void => self.ask_for_target(&operation, age_s).await,
            OperationKind::Refund => self.ask_for_refund(payment, &operation, age_s).await,
        }
    }

    /// From here on nothing is sent for the call. `None` when that could not be written: then it is repeated once more.
    async fn note_refusal(&self, operation: &Operation) -> Option<Timestamp> {
        let (id, now) = (operation.id.clone(), self.now());
        let noted = self.write_payment(&operation.payment_id, move |tx| operations::note_refusal(tx, &id, now)).await;
        noted.inspect_err(|error| tracing::error!(%error, ?error, "a refusal could not be noted")).ok().map(|()| now)
    }

    async fn ask_again(&self, payment: &Payment, operation: &Operation, until: Timestamp) -> Conclusion {
        let provider = &self.parts.provider;
        let transaction_id = operation.transaction_id.unwrap_or_default();
        // It may wait for its turn: neither beside somebody else's repeat, nor when the provider may have forgotten the call.
        let not_after = until.min(operation.started_at.plus_seconds(self.last_repeat_s()));
        let sending = Sending { request_id: operation.id.as_str(), not_after };
        let amount = payment.money(operation.amount.unwrap_or_default());
        match operation.kind {
            OperationKind::Capture => {
                Conclusion::of_done(provider.capture(transaction_id, amount, sending).await, Conclusion::Captured)
            }
            OperationKind::Void => {
                Conclusion::of_done(provider.void(transaction_id, sending).await, Conclusion::Voided)
            }
            OperationKind::Refund => {
                let refund_id = operation.refund_id.as_ref().map(ToString::to_string).unwrap_or_default();
                provider.refund(transaction_id, amount, &refund_id, sending).await.into()
            }
            OperationKind::Charge | OperationKind::Authorize | OperationKind::ThreeDs => {
                Conclusion::Unknown("holds what we do not keep".to_owned())
            }
        }
    }

    async fn ask_for_charge(&self, payment: &Payment, operation: &Operation, age_s: i64) -> Option<Conclusion> {
        let made = self.made_by(payment, operation, age_s).await?;
        Some(made.map_or(Conclusion::Absent, |fact| Conclusion::Fact(Box::new(fact))))
    }

    /// The transaction that a charge of this payment made, besides the one that the call was about. `None` while nothing is
    /// proven.
    async fn made_by(&self, payment: &Payment, operation: &Operation, age_s: i64) -> Option<Option<Fact>> {
        let of_bill = payment.clone();
        let whose = self.parts.store.read(move |tx| Ours::of(tx, &of_bill)).await.ok()?;
        let ours = |fact: &Fact| {
            fact.kind == TransactionKind::Payment
                && whose.is(fact)
                && (whose.is_named_by(fact)
                    || (fact.amount == Some(payment.amount) && fact.status != TransactionStatus::Voided))
                && Some(fact.transaction_id) != operation.transaction_id
        };
        if let Outcome::Answered(Some(fact)) = self.parts.provider.find(&payment.invoice_id).await
            && ours(&fact)
            && fact.status >= TransactionStatus::Authorized
        {
            return Some(Some(fact));
        }
        let over = age_s > self.provider_works_s();
        // A charge is sent once: what it made is no younger than the time that the provider had for it.
        let until = operation.sent_by().plus_seconds(self.provider_works_s());
        match self.search_register(&whose, operation.not_before(), until, ours).await? {
            // The provider may still try a second bank under the same call, whether the first one refused or is asking the
            // payer: only money is an end before it can no longer be working on it.
            Some(fact) if fact.status < TransactionStatus::Authorized && !over => None,
            Some(fact) => Some(Some(fact)),
            None => over.then_some(None),
        }
    }

    /// That the transaction was refused may be the word of a first bank only: then the call is looked for as a charge is.
    async fn ask_for_three_ds(&self, payment: &Payment, operation: &Operation, age_s: i64) -> Option<Conclusion> {
        let first = match self.ask_for_target(operation, age_s).await? {
            Conclusion::Fact(fact) if fact.status == TransactionStatus::Declined => fact,
            conclusion => return Some(conclusion),
        };
        match self.made_by(payment, operation, age_s).await? {
            // Nobody sends the payer to a second bank that asks for them.
            Some(second) if second.status >= TransactionStatus::Declined => Some(Conclusion::Fact(Box::new(second))),
            _ => Some(Conclusion::Fact(first)),
        }
    }

    async fn ask_for_target(&self, operation: &Operation, age_s: i64) -> Option<Conclusion> {
        let Outcome::Answered(Some(fact)) = self.parts.provider.get(operation.transaction_id?).await else {
            return None;
        };
        let unchanged = match operation.kind {
            OperationKind::ThreeDs => fact.status == TransactionStatus::AwaitingAuthentication,
            _ => fact.status == TransactionStatus::Authorized,
        };
        if !unchanged {
            return Some(Conclusion::Fact(Box::new(fact)));
        }
        (age_s > self.silent_after_s(operation))
            .then(|| Conclusion::Refused(Some("the provider's register shows that it did not happen".to_owned())))
    }

    async fn ask_for_refund(&self, payment: &Payment, operation: &Operation, age_s: i64) -> Option<Conclusion> {
        let refund_id = operation.refund_id.as_ref()?;
        // One that was refused gave nothing back: a later sending may still.
        let given_back =
            |fact: &Fact| fact.kind == TransactionKind::Refund && fact.status == TransactionStatus::Completed;
        let named = |fact: &Fact| given_back(fact) && fact.refund_id.as_deref() == Some(refund_id.as_str());
        // A refund is asked for again as long as the provider remembers it.
        let until = operation.sent_by().plus_seconds(PROVIDER_MEMORY_S + self.provider_works_s());
        let of_bill = payment.clone();
        let read = move |tx: &mut Tx<'_>| Ok((Ours::of(tx, &of_bill)?, transactions::of_payment(tx, &of_bill.id)?));
        let (whose, known) = self.parts.store.read(read).await.ok()?;
        if let Some(fact) = self.search_register(&whose, operation.not_before(), until, named).await? {
            return Some(Conclusion::Refunded(fact.transaction_id));
        }
        let somebody_elses = |fact: &Fact| {
            known.iter().filter(|known| known.transaction_id == fact.transaction_id).any(|known| {
                let of_another = known.refund_id.as_ref().is_some_and(|named| named != refund_id);
                of_another || known.created_at < operation.not_before()
            })
        };
        // Whether the register repeats the name we gave a refund is not known. One of the same sum without a name may be
        // ours, unless we knew it before or know whose it is: then nothing is proven, and a person has to look.
        let maybe_ours = |fact: &Fact| {
            given_back(fact)
                && fact.refund_id.is_none()
                && fact.amount.map(|amount| amount.minor) == operation.amount
                && fact.parent_transaction_id.is_none_or(|parent| Some(parent) == operation.transaction_id)
                && !somebody_elses(fact)
        };
        if self.search_register(&whose, operation.not_before(), until, maybe_ours).await?.is_some() {
            if age_s > PROVIDER_MEMORY_S {
                self.call_for_a_person(&payment.id, Attention::new("refund_unclear", &operation.id)).await;
            }
            return None;
        }
        (age_s > self.silent_after_s(operation))
            .then(|| Conclusion::Refused(Some("the provider's register shows that it did not happen".to_owned())))
    }

    /// Time will not settle this one.
    pub(super) async fn call_for_a_person(&self, id: &PaymentId, attention: Attention) {
        let recorder = self.recorder(CauseType::Lookup, None, WORKER);
        let id = id.clone();
        let written = self
            .write_payment(&id.clone(), move |tx| {
                let payment = payments::hold(tx, &id)?;
                recorder.settle(tx, payment, Note { attention: Some(attention.clone()), ..Note::default() }).map(drop)
            })
            .await;
        if let Err(error) = written {
            tracing::error!(%error, ?error, "that a person has to look could not be written down; it is tried again");
        }
    }

    /// A call is not repeated later than so many seconds after it was sent: a repeat that waits at the provider for as
    /// long as it may must still be taken for one.
    fn last_repeat_s(&self) -> i64 {
        PROVIDER_MEMORY_S - self.provider_works_s()
    }

    /// After so many seconds the provider can no longer be working on anything that was sent for a call, its last repeat
    /// included.
    fn silent_after_s(&self, operation: &Operation) -> i64 {
        let last_sent_s = match operation.refused_at {
            Some(refused_at) => refused_at.seconds_since(operation.sent_by()),
            None if operation.kind.can_be_asked_again() => self.last_repeat_s(),
            None => 0,
        };
        last_sent_s + self.provider_works_s()
    }

    /// After so many seconds the provider can no longer be working on a request.
    pub(super) fn provider_works_s(&self) -> i64 {
        self.parts.settings.provider_works_s
    }

    /// The matching transaction that pays what was asked for, else the strongest, in the register from shortly before `since` to `until` by our clock: no longer than it
    /// has to be, for a busy site has thousands of transactions in an hour. `None` when the register could not be read to its
    /// end: then nothing is proven.
    pub(super) async fn search_register(
        &self,
        ours: &Ours,
        since: Timestamp,
        until: Timestamp,
        wanted: impl Fn(&Fact) -> bool,
    ) -> Option<Option<Fact>> {
        let from = since.plus_seconds(-self.provider_works_s());
        let until = until.plus_seconds(CLOCKS_DIFFER_S);
        let mut best: Option<Fact> = None;
        let mut unreadable = 0;
        for number in 1..=MAX_PAGES {
            let Outcome::Answered(page) = self.parts.provider.list(from, until, number).await else { return None };
            let strength = |fact: &Fact| (ours.pays(fact), fact.status);
            unreadable += page.facts.iter().filter(|fact| ours.is_doubtful(fact)).count();
            let stronger = |fact: &Fact| best.as_ref().is_none_or(|known| strength(fact) > strength(known));
            if let Some(fact) = page.facts.into_iter().filter(|fact| wanted(fact)).max_by_key(strength).filter(stronger)
            {
                best = Some(fact);
            }
            unreadable += page.unreadable.iter().filter(|item| ours.may_be(item)).count();
            if page.last {
                // Money that is seen is proof by itself. What cannot be read may be money, too: beside it neither a refusal
                // nor money of another sum nor nothing at all proves anything.
                let money = best.as_ref().is_some_and(|fact| {
                    let is_refund = fact.kind == TransactionKind::Refund;
                    fact.status >= TransactionStatus::Authorized
                        && (is_refund || ours.pays(fact) || ours.is_named_by(fact))
                });
                return (money || unreadable == 0).then_some(best);
            }
        }
        None
    }
}

/// The pause after so many questions.
fn pause_s(lookups: i32) -> i64 {
    let exponent = u32::try_from(lookups.clamp(0, 10)).unwrap_or(10);
    5i64.saturating_mul(2i64.saturating_pow(exponent)).min(LONGEST_PAUSE_S)
}

//! Attempts in the provider's window that were let through (Check answered with 0) and whose outcome is not known.
//!
//! Each holds its payment for five minutes: a second one beside it is refused. The notification that ends it may be lost;
//! so it is asked about meanwhile, and a payer whose card was refused can take another one. It is asked about for some time
//! after the hold, too: money that nobody told us of would let the payer pay once more. A refusal is no end of the question
//! while the hold would last: a second bank may be taking what the first one refused, whoever told of the refusal.
//!
//! What is to be asked about is remembered in the process; a process that starts reads it from the books.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::App;
use super::capture_payment::{CHECK_HOLDS_S, may_be_paid};
use super::resolve::Ours;
use crate::clock::Timestamp;
use crate::cloudpayments::Outcome;
use crate::domain::evidence::{Fact, Transaction, TransactionKind, TransactionStatus};
use crate::domain::id::{PaymentId, TransactionRecordId};
use crate::error::Result;
use crate::store::{Tx, payments, transactions};

/// Most outcomes are told sooner, seconds. Each further pause is as long as all before it.
const FIRST_QUESTION_S: i64 = 20;
/// Nobody pays that late: what nobody told until then is found in the register of the day.
const ASKED_FOR_S: i64 = 3_600;
/// Asked about in one step, beside those whose money we know of by now.
const STEP_LIMIT: usize = 20;
/// More are not remembered: they hold their payments for the whole time, unless a refusal brings them back.
const REMEMBERED: usize = 10_000;
/// So many of the process before are read: a busy hour.
const READ_AT_ONCE: i64 = 10_000;
const WORKER: &str = "worker:settle";

/// One attempt that holds its payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The provider's number.
    pub transaction_id: i64,
    /// When it was let through.
    pub since: Timestamp,
}

impl Attempt {
    pub(super) fn of(transaction: &Transaction) -> Attempt {
        Attempt { transaction_id: transaction.transaction_id, since: transaction.updated_at }
    }

    /// Until when it holds its payment at the latest.
    pub fn until(&self) -> Timestamp {
        self.since.plus_seconds(CHECK_HOLDS_S)
    }
}

#[derive(Clone)]
struct Question {
    payment_id: PaymentId,
    since: Timestamp,
    ask_at: Timestamp,
}

/// Those to ask about, by the provider's number.
#[derive(Default)]
pub(super) struct Attempts {
    asked: Mutex<BTreeMap<i64, Question>>,
    /// Whether those of the process before were read.
    read: AtomicBool,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Question>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, attempt: Attempt, payment_id: &PaymentId) {
        let mut asked = self.lock();
        let known = asked.get(&attempt.transaction_id);
        if known.is_none_or(|known| known.since < attempt.since) && (known.is_some() || asked.len() < REMEMBERED) {
            let ask_at = attempt.since.plus_seconds(FIRST_QUESTION_S);
            let question = Question { payment_id: payment_id.clone(), since: attempt.since, ask_at };
            asked.insert(attempt.transaction_id, question);
        }
    }

    /// At most `limit` whose question is due; the next one of each is put off.
    fn due(&self, now: Timestamp, limit: usize) -> Vec<(i64, Question)> {
        let mut asked = self.lock();
        asked.retain(|_, question| now.seconds_since(question.since) < ASKED_FOR_S);
        let due = asked.iter_mut().filter(|(_, question)| question.ask_at <= now).take(limit);
        due.map(|(id, question)| {
            question.ask_at = now.plus_seconds(now.seconds_since(question.since).max(FIRST_QUESTION_S));
            (*id, question.clone())
        })
        .collect()
    }

    fn forget(&self, transaction_id: i64) {
        self.lock().remove(&transaction_id);
    }
}

impl App {
    /// Asks about attempts that were let through a while ago. Before its time only an outcome ends a hold.
    pub(super) async fn ask_about_attempts(&self) -> Result<()> {
        if self.parts.provider.trouble().is_some() {
            return Ok(());
        }
        self.read_attempts().await?;
        let mut turns = STEP_LIMIT;
        while turns > 0 {
            let due = self.attempts.due(self.now(), turns);
            if due.is_empty() {
                break;
            }
            let ids: Vec<i64> = due.iter().map(|(id, _)| *id).collect();
            let known = self.parts.store.read(move |tx| transactions::held(tx, &ids)).await?;
            for (transaction_id, question) in due {
                let known = known.iter().map(|held| &held.transaction).find(|one| one.transaction_id == transaction_id);
                // Most were told of meanwhile: they take nobody's turn.
                let open = known.filter(|known| known.status <= TransactionStatus::Declined);
                turns -= usize::from(open.is_some());
                let over = match open {
                    // One that cannot be asked about must not keep the others from it.
                    Some(known) => self.ask_about_attempt(known, &question).await.unwrap_or_else(|error| {
                        tracing::error!(transaction.id = transaction_id, %error, ?error, "an attempt could not be asked about");
                        false
                    }),
                    None => true,
                };
                if over {
                    self.attempts.forget(transaction_id);
                }
            }
        }
        Ok(())
    }

    /// Whether nothing more is to be asked: there is money, or the attempt was refused and nothing came after it for as long
    /// as the provider may go on with it.
    async fn ask_about_attempt(&self, known: &Transaction, question: &Question) -> Result<bool> {
        if may_be_paid(known) {
            let Outcome::Answered(Some(fact)) = self.parts.provider.get(known.transaction_id).await else {
                return Ok(false);
            };
            let told = fact.status;
            if told <= TransactionStatus::AwaitingAuthentication {
                return Ok(false);
            }
            self.book_lookup(&question.payment_id, WORKER, fact).await?;
            if told != TransactionStatus::Declined {
                return Ok(true);
            }
        }
        let asked_at = self.now();
        match self.look_for_second_bank(known.transaction_id, question).await? {
            Outcome::Answered(found) => Ok(found || asked_at.seconds_since(question.since) >= CHECK_HOLDS_S),
            _ => Ok(false),
        }
    }

    /// A second bank may have taken what the first one refused, as a transaction of its own that no Check told of. Whether
    /// money was found, if the provider answered.
    async fn look_for_second_bank(&self, first: i64, question: &Question) -> Result<Outcome<bool>> {
        let id = question.payment_id.clone();
        let read = move |tx: &mut Tx<'_>| {
            let payment = payments::get(tx, &id)?;
            Ok((Ours::of(tx, &payment)?, payment.invoice_id))
        };
        let (ours, invoice_id) = self.parts.store.read(read).await?;
        let is_money = |fact: &Fact| {
            fact.kind == TransactionKind::Payment && ours.is(fact) && fact.status >= TransactionStatus::Authorized
        };
        let found = match self.parts.provider.find(&invoice_id).await {
            Outcome::Answered(Some(fact)) if is_money(&fact) => Some(fact),
            // The bill shows its latest attempt only: another one came after this one.
            Outcome::Answered(Some(fact)) if fact.transaction_id != first => {
                match self.search_register(&ours, question.since, self.now(), is_money).await {
                    Some(behind) => behind,
                    None => return Ok(Outcome::Unknown { reason: "the register cannot be read".to_owned() }),
                }
            }
            other => return Ok(other.map(|_| false)),
        };
        let Some(fact) = found else { return Ok(Outcome::Answered(false)) };
        self.book_lookup(&question.payment_id, WORKER, fact).await?;
        Ok(Outcome::Answered(true))
    }

    /// Those of the process before, once.
    async fn read_attempts(&self) -> Result<()> {
        if self.attempts.read.load(Ordering::Relaxed) {
            return Ok(());
        }
        let since = TransactionRecordId::first_at(self.now().plus_seconds(-ASKED_FOR_S));
        let open = self.parts.store.read(move |tx| transactions::in_window_since(tx, &since, READ_AT_ONCE)).await?;
        for (payment_id, transaction) in open {
            self.attempts.note(Attempt::of(&transaction), &payment_id);
        }
        self.attempts.read.store(true, Ordering::Relaxed);
        Ok(())
    }
}

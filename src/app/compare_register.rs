//! What a page of the register says of our transactions: what is news is booked, what is missing here is booked where it
//! is clear whose it is, and what the two books still do not agree about becomes a discrepancy.

use std::collections::HashMap;
use std::sync::Arc;

use super::App;
use super::findings::{Compared, Finding, note_booked};
use super::gap::told_since_copy;
use super::reconcile::WORKER;
use super::record::{Learned, Note, Recorder};
use super::resolve::{Traces, is_lost, payment_of};
use crate::clock::Timestamp;
use crate::cloudpayments::Unreadable;
use crate::domain::evidence::{Attention, Card, Fact, Transaction, TransactionKind, TransactionStatus};
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::register::{DiscrepancyKind, Reconciliation, disagreement, is_news, is_news_for_the_accountant};
use crate::domain::state::CauseType;
use crate::error::Result;
use crate::store::transactions::Held;
use crate::store::{Tx, discrepancies, outlines, payments, refunds, transactions};

/// What became of a transaction that we did not hold.
enum Missing {
    /// Booked.
    Booked,
    /// It cannot be booked.
    Open(Box<Finding>),
    /// No business of ours: another system's attempt that came to nothing.
    Foreign,
}

impl App {
    /// Compares what the provider says of transactions with ours. `asked_at` is when it was asked.
    pub(super) async fn compare(
        &self,
        run: &Reconciliation,
        facts: Vec<Fact>,
        asked_at: Timestamp,
    ) -> Result<Compared> {
        let seen: Vec<i64> = facts.iter().map(|fact| fact.transaction_id).collect();
        let mut held = self.held(seen.clone()).await?;
        let mut compared = Compared { seen, ..Compared::default() };
        let mut changed = false;
        for fact in &facts {
            match held.get(&fact.transaction_id) {
                Some(known) if brings_something(known, fact, asked_at) => {
                    let booked = self.book_news(run, known.payment_id.clone(), fact.clone()).await;
                    match compared.unless_closed(fact.transaction_id, booked)? {
                        Some(()) => changed = true,
                        // Nothing is lost of it: it is told until it can be booked.
                        None if fact.status > known.transaction.status => {
                            compared.findings.push(Finding::between(DiscrepancyKind::StatusMismatch, known, fact));
                        }
                        None => {}
                    }
                }
                Some(known) if is_news_for_the_accountant(&known.transaction, fact) => {
                    let booked = self.book_settlement(run, known.payment_id.clone(), fact.clone()).await;
                    compared.unless_closed(fact.transaction_id, booked)?;
                }
                Some(_) => {}
                None => match self.book_missing(run, fact, &mut compared).await? {
                    Missing::Booked => changed = true,
                    Missing::Open(finding) => compared.findings.push(*finding),
                    Missing::Foreign => {}
                },
            }
        }
        if changed {
            held = self.held(compared.seen.clone()).await?;
        }
        for fact in &facts {
            let Some(known) = held.get(&fact.transaction_id) else { continue };
            if let Some(kind) = disagreement(&known.transaction, fact, known.asked_for, asked_at) {
                compared.findings.push(Finding::between(kind, known, fact));
            }
        }
        compared.findings.extend(self.refunds_told_of(run, &facts, &held).await?);
        compared.findings.extend(self.duplicates(&facts, &held).await?);
        self.announce_findings(run, &mut compared).await?;
        Ok(compared)
    }

    /// Adds items of the register that could not be read and name payments or refunds which this database does not hold.
    pub(super) async fn lost_unreadable(
        &self,
        run: &Reconciliation,
        mut compared: Compared,
        items: Vec<Unreadable>,
    ) -> Result<Compared> {
        let lost = self
            .parts
            .store
            .read(move |tx| {
                let mut lost = Vec::new();
                for item in &items {
                    let Some(id) = item.transaction_id else { continue };
                    if is_lost(tx, item.payment_id.as_deref(), item.refund_id.as_deref())? {
                        // A refund may be lost of a payment that is not.
                        let payment = payment_of(tx, &Traces::of_unreadable(item))?;
                        lost.push(Finding::lost_unreadable(item, id, payment.map(|payment| payment.id)));
                    }
                }
                Ok(lost)
            })
            .await?;
        compared.findings.extend(lost);
        self.announce_findings(run, &mut compared).await?;
        Ok(compared)
    }

    /// Adds transactions of ours that the provider says it does not know.
    pub(super) async fn missing_there(
        &self,
        run: &Reconciliation,
        mut compared: Compared,
        missing: Vec<i64>,
    ) -> Result<Compared> {
        let held = self.held(missing.clone()).await?;
        compared.findings.extend(missing.iter().filter_map(|id| held.get(id)).map(Finding::missing_there));
        self.announce_findings(run, &mut compared).await?;
        Ok(compared)
    }

    async fn held(&self, transaction_ids: Vec<i64>) -> Result<HashMap<i64, Held>> {
        if transaction_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let held = self.parts.store.read(move |tx| transactions::held(tx, &transaction_ids)).await?;
        Ok(held.into_iter().map(|held| (held.transaction.transaction_id, held)).collect())
    }

    fn run_recorder(&self, run: &Reconciliation) -> Recorder {
        self.recorder(CauseType::Reconciliation, Some(run.id.to_string()), WORKER)
    }

    /// Keeps what the register tells more than we knew. A state further on is noted as a discrepancy that was booked.
    async fn book_news(&self, run: &Reconciliation, payment_id: PaymentId, fact: Fact) -> Result<()> {
        let (recorder, run_id) = (self.run_recorder(run), run.id.clone());
        self.write_payment(&payment_id.clone(), move |tx| {
            let payment = payments::hold(tx, &payment_id)?;
            let before = transactions::find(tx, fact.transaction_id)?.map(|(_, transaction)| transaction);
            let learned = recorder.learn(tx, &payment, &fact, None)?;
            if learned == Learned::Nothing {
                return Ok(());
            }
            let asked_for = payment.amount;
            let note = Note::of_learned(&payment, &fact, learned);
            recorder.settle(tx, payment, note)?;
            if let Some(transaction) = before.filter(|before| fact.status > before.status) {
                let held = Held { payment_id: payment_id.clone(), asked_for, transaction };
                let finding = Finding::between(DiscrepancyKind::StatusMismatch, &held, &fact);
                note_booked(tx, &recorder, &run_id, finding)?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps what only the accountant asks. Nothing else of the fact is taken, so nobody is told of it.
    async fn book_settlement(&self, run: &Reconciliation, payment_id: PaymentId, fact: Fact) -> Result<()> {
        let recorder = self.run_recorder(run);
        let fact = Fact { card: Card::default(), refund_id: None, ..fact };
        self.write_payment(&payment_id.clone(), move |tx| {
            let payment = payments::hold(tx, &payment_id)?;
            recorder.learn(tx, &payment, &fact, None).map(drop)
        })
        .await
    }

    /// Books a transaction that we did not hold, where it is clear whose it is.
    async fn book_missing(&self, run: &Reconciliation, fact: &Fact, compared: &mut Compared) -> Result<Missing> {
        let asked = Arc::new(fact.clone());
        let looked = Arc::clone(&asked);
        let (lost, payment) = self
            .parts
            .store
            .read(move |tx| {
                let lost = is_lost(tx, looked.payment_id.as_deref(), looked.refund_id.as_deref())?;
                Ok((lost, payment_of(tx, &Traces::of_fact(&looked))?))
            })
            .await?;
        let open = |payment_id: Option<PaymentId>| {
            let money = fact.status >= TransactionStatus::Authorized;
            let finding = Finding::missing_here(fact, payment_id, lost);
            if money || lost { Missing::Open(Box::new(finding)) } else { Missing::Foreign }
        };
        let Some(payment_id) = payment.map(|payment| payment.id) else { return Ok(open(None)) };
        let (recorder, run_id) = (self.run_recorder(run), run.id.clone());
        let id = payment_id.clone();
        let booked = self
            .write_payment(&payment_id, move |tx| {
                let payment = payments::hold(tx, &id)?;
                if transactions::find(tx, asked.transaction_id)?.is_some() {
                    // It was told of meanwhile.
                    return Ok(true);
                }
                let fact = with_parent(tx, &asked)?;
                let learned = recorder.learn(tx, &payment, &fact, None)?;
                if matches!(learned, Learned::OtherPayment | Learned::Unreadable) {
                    return Ok(false);
                }
                let note = Note::of_learned(&payment, &fact, learned);
                recorder.settle(tx, payment, note)?;
                note_booked(tx, &recorder, &run_id, Finding::missing_here(&fact, Some(id.clone()), lost))?;
                Ok(true)
            })
            .await;
        Ok(match compared.unless_closed(fact.transaction_id, booked)? {
            Some(true) => Missing::Booked,
            Some(false) => Missing::Open(Box::new(Finding::missing_here(fact, Some(payment_id), lost))),
            None => open(Some(payment_id)),
        })
    }

    /// Refunds on the page that are booked with no refund of ours behind them, and whose request is lost, or may be: a
    /// notification that comes after an older copy was put back books what that copy lost, and its key is lost all the same.
    async fn refunds_told_of(
        &self,
        run: &Reconciliation,
        facts: &[Fact],
        held: &HashMap<i64, Held>,
    ) -> Result<Vec<Finding>> {
        let without_request = |fact: &Fact| {
            let known = held.get(&fact.transaction_id)?;
            let is_one = known.transaction.kind == TransactionKind::Refund && known.transaction.refund_id.is_none();
            is_one.then(|| (fact.clone(), known.payment_id.clone(), told_since_copy(run, known.transaction.created_at)))
        };
        let told: Vec<_> = facts.iter().filter_map(without_request).collect();
        if told.is_empty() {
            return Ok(Vec::new());
        }
        self.parts
            .store
            .read(move |tx| {
                let mut findings = Vec::new();
                for (fact, payment_id, since_copy) in &told {
                    let lost = is_lost(tx, fact.payment_id.as_deref(), fact.refund_id.as_deref())?;
                    let finding = Finding::missing_here(fact, Some(payment_id.clone()), lost);
                    if lost || (*since_copy && finding.gave_back_in_cabinet()) {
                        findings.push(finding);
                    }
                }
                Ok(findings)
            })
            .await
    }

    /// Second transactions with money for one payment, of those on the page. One whose money was given back is none.
    async fn duplicates(&self, facts: &[Fact], held: &HashMap<i64, Held>) -> Result<Vec<Finding>> {
        let mut owners: Vec<String> = held.values().map(|held| held.payment_id.to_string()).collect();
        owners.sort();
        owners.dedup();
        if owners.is_empty() {
            return Ok(Vec::new());
        }
        let seconds: Vec<i64> = self
            .parts
            .store
            .read(move |tx| {
                let mut seconds = Vec::new();
                for payment_id in transactions::paid_more_than_once(tx, &owners)? {
                    let Some(payment) = outlines::find(tx, &payment_id)? else { continue };
                    let all = transactions::of_payment(tx, &payment_id)?;
                    let counted = super::record::counted_of(&payment, &all);
                    let second = |one: &&Transaction| Some(one.transaction_id) != counted && holds_money(one, &all);
                    seconds.extend(all.iter().filter(second).map(|one| one.transaction_id));
                }
                Ok(seconds)
            })
            .await?;
        let on_page = facts.iter().filter(|fact| seconds.contains(&fact.transaction_id));
        Ok(on_page
            .filter_map(|fact| {
                Some(Finding::between(DiscrepancyKind::Duplicate, held.get(&fact.transaction_id)?, fact))
            })
            .collect())
    }

    /// Payments that a new discrepancy is about show it, and the site is told. Written before the discrepancy: a process
    /// that is killed in between tells again, which changes nothing.
    async fn announce_findings(&self, run: &Reconciliation, compared: &mut Compared) -> Result<()> {
        let subjects: Vec<i64> = compared.findings.iter().map(|finding| finding.transaction_id).collect();
        if subjects.is_empty() {
            return Ok(());
        }
        let recorded = self.parts.store.read(move |tx| discrepancies::of_transactions(tx, &subjects)).await?;
        let found = compared.findings.clone();
        for finding in found.iter().filter(|finding| !finding.is_known(&recorded)) {
            self.parts.metrics.discrepancy(finding.kind.as_str());
            tracing::error!(
                reconciliation.id = run.id.as_str(),
                discrepancy.kind = finding.kind.as_str(),
                transaction.id = finding.transaction_id,
                payment.id = finding.payment_id.as_ref().map_or("", PaymentId::as_str),
                payment.lost = finding.lost,
                "our books and the provider's register do not agree"
            );
            let Some(id) = finding.payment_id.clone() else { continue };
            let (recorder, transaction_id) = (self.run_recorder(run), finding.transaction_id);
            // What the register says is part of the evidence: should it say something else later, that calls again.
            let says = finding.theirs.as_ref().map_or("", |side| side.status.as_str());
            let sum = finding.theirs.as_ref().and_then(|side| side.amount).map(|amount| amount.to_string());
            let evidence = format!("{transaction_id}/{says}/{}", sum.unwrap_or_default());
            let attention = Attention::new(finding.kind.as_str(), evidence);
            let about = id.clone();
            let tell = move |tx: &mut Tx<'_>| {
                let payment = payments::hold(tx, &id)?;
                if payment.attention.is_some() {
                    // A person is called already and finds the disagreement beside what called them.
                    return Ok(());
                }
                let attention = Some(attention.clone());
                recorder.settle(tx, payment, Note { attention, ..Note::about(transaction_id) }).map(drop)
            };
            let told = self.write_payment(&about, tell).await;
            compared.unless_closed(transaction_id, told)?;
        }
        Ok(())
    }
}

/// Whether the register is worth a write: it tells of a state further on, or of another sum than we hold.
fn brings_something(known: &Held, fact: &Fact, asked_at: Timestamp) -> bool {
    let other_sum = matches!(
        disagreement(&known.transaction, fact, known.asked_for, asked_at),
        Some(DiscrepancyKind::AmountMismatch | DiscrepancyKind::CurrencyMismatch)
    );
    is_news(&known.transaction, fact) || other_sum
}

/// Whether money of a payment's transaction is held or was taken and not given back.
fn holds_money(transaction: &Transaction, all: &[Transaction]) -> bool {
    let refunded: i64 = all
        .iter()
        .filter(|one| one.parent_transaction_id == Some(transaction.transaction_id))
        .filter(|one| one.status == TransactionStatus::Completed)
        .map(|one| one.amount.minor)
        .sum();
    transaction.kind == TransactionKind::Payment
        && match transaction.status {
            TransactionStatus::Authorized => true,
            TransactionStatus::Completed => refunded < transaction.captured,
            _ => false,
        }
}

/// A refund of ours knows what it gives back from, even where the register does not repeat it.
fn with_parent(tx: &mut Tx<'_>, fact: &Fact) -> Result<Fact> {
    let mut fact = fact.clone();
    if fact.kind == TransactionKind::Refund && fact.parent_transaction_id.is_none() {
        let refund = fact.refund_id.as_deref().and_then(RefundId::parse);
        let refund = refund.map(|id| refunds::find(tx, &id)).transpose()?.flatten();
        fact.parent_transaction_id = refund.map(|refund| refund.parent_transaction_id);
    }
    Ok(fact)
}

//! What a page of the register says of our transactions: what is news is booked, what is missing here is booked where it
//! is clear whose it is, and what the two books still do not agree about becomes a discrepancy.

use std::collections::HashMap;
use std::sync::Arc;

use super::App;
use super::reconcile::WORKER;
use super::record::{Learned, Note, Recorder};
use super::resolve::{Traces, is_lost, payment_of};
use crate::clock::Timestamp;
use crate::domain::card_data::contains_card_number;
use crate::domain::evidence::{Attention, Fact, Transaction, TransactionKind, TransactionStatus};
use crate::domain::id::{DiscrepancyId, PaymentId, ReconciliationId, RefundId};
use crate::domain::register::{
    Closing, Discrepancy, DiscrepancyKind, Reconciliation, Resolution, Side, disagreement, is_news,
};
use crate::domain::state::CauseType;
use crate::error::Result;
use crate::store::transactions::Held;
use crate::store::{Tx, discrepancies, payments, refunds, transactions};

/// Longest bill number of the provider that is kept.
const MAX_INVOICE: usize = 100;

/// Something that the two books do not agree about, not written yet.
#[derive(Debug, Clone)]
struct Finding {
    kind: DiscrepancyKind,
    transaction_id: i64,
    payment_id: Option<PaymentId>,
    named_payment_id: Option<String>,
    invoice_id: Option<String>,
    lost: bool,
    ours: Option<Side>,
    theirs: Option<Side>,
}

impl Finding {
    /// What the register holds and we do not.
    fn missing_here(fact: &Fact, payment_id: Option<PaymentId>, lost: bool) -> Finding {
        let in_cabinet = fact.kind == TransactionKind::Refund && fact.refund_id.is_none();
        let kind = if in_cabinet { DiscrepancyKind::RefundInCabinet } else { DiscrepancyKind::MissingHere };
        Finding { payment_id, lost, ..Finding::told(kind, fact) }
    }

    /// A difference between both.
    fn between(kind: DiscrepancyKind, held: &Held, fact: &Fact) -> Finding {
        // Where the transaction is as the provider has it, it is the payment that asks for another sum.
        let ours = Side::of_transaction(&held.transaction);
        let sum_of_payment = ours.amount == fact.amount && held.transaction.kind == TransactionKind::Payment;
        let ours = if sum_of_payment { Side { amount: Some(held.asked_for), ..ours } } else { ours };
        Finding { payment_id: Some(held.payment_id.clone()), ours: Some(ours), ..Finding::told(kind, fact) }
    }

    fn told(kind: DiscrepancyKind, fact: &Fact) -> Finding {
        Finding {
            kind,
            transaction_id: fact.transaction_id,
            payment_id: None,
            named_payment_id: fact.payment_id.as_deref().and_then(PaymentId::parse).map(|id| id.to_string()),
            invoice_id: fact.invoice_id.as_deref().and_then(kept_invoice),
            lost: false,
            ours: None,
            theirs: Some(Side::of_fact(fact)),
        }
    }

    fn missing_there(held: &Held) -> Finding {
        Finding {
            kind: DiscrepancyKind::MissingThere,
            transaction_id: held.transaction.transaction_id,
            payment_id: Some(held.payment_id.clone()),
            named_payment_id: None,
            invoice_id: None,
            lost: false,
            ours: Some(Side::of_transaction(&held.transaction)),
            theirs: None,
        }
    }

    fn is(&self, other: &Discrepancy) -> bool {
        self.kind == other.kind && self.transaction_id == other.transaction_id
    }

    fn says_the_same(&self, other: &Discrepancy) -> bool {
        self.is(other) && self.ours == other.ours && self.theirs == other.theirs
    }

    /// Whether it is open already, or a person settled exactly this.
    fn is_known(&self, recorded: &[Discrepancy]) -> bool {
        recorded.iter().any(|other| {
            let by_hand = |closing: &Closing| closing.resolution == Resolution::Operator;
            self.says_the_same(other) && other.closing.as_ref().is_none_or(by_hand)
        })
    }

    fn into_discrepancy(self, recorder: &Recorder, run: &ReconciliationId, closing: Option<Closing>) -> Discrepancy {
        Discrepancy {
            id: DiscrepancyId::generate(recorder.at, recorder.ids.as_ref()),
            kind: self.kind,
            transaction_id: self.transaction_id,
            payment_id: self.payment_id,
            named_payment_id: self.named_payment_id,
            invoice_id: self.invoice_id,
            lost: self.lost,
            ours: self.ours,
            theirs: self.theirs,
            opened_by: run.clone(),
            opened_at: recorder.at,
            closing,
        }
    }
}

/// The provider's bill number, if it may be kept.
fn kept_invoice(text: &str) -> Option<String> {
    (text.chars().count() <= MAX_INVOICE && !contains_card_number(text)).then(|| text.to_owned())
}

/// What a page came to.
#[derive(Default)]
pub(super) struct Compared {
    seen: Vec<i64>,
    findings: Vec<Finding>,
}

impl Compared {
    /// How many transactions were compared.
    pub(super) fn count(&self) -> i64 {
        i64::try_from(self.seen.len()).unwrap_or(i64::MAX)
    }

    /// The transactions that were compared.
    pub(super) fn seen(&self) -> &[i64] {
        &self.seen
    }

    /// Opens what is new, closes what is gone. What is lost stays open until a person has looked at it.
    pub(super) fn write(&self, tx: &mut Tx<'_>, recorder: &Recorder, run: &ReconciliationId) -> Result<()> {
        let mut subjects = self.seen.clone();
        subjects.extend(self.findings.iter().map(|finding| finding.transaction_id));
        let recorded = discrepancies::of_transactions(tx, &subjects)?;
        for open in recorded.iter().filter(|one| one.closing.is_none()) {
            let found = self.findings.iter().find(|finding| finding.is(open));
            let resolution = match found {
                Some(finding) if finding.says_the_same(open) => continue,
                Some(_) => Resolution::Superseded,
                None if open.lost => continue,
                None => Resolution::Agrees,
            };
            discrepancies::close(tx, &open.id, &closing(recorder, run, resolution))?;
        }
        for finding in self.findings.iter().filter(|finding| !finding.is_known(&recorded)) {
            discrepancies::insert(tx, &finding.clone().into_discrepancy(recorder, run, None))?;
        }
        Ok(())
    }
}

fn closing(recorder: &Recorder, run: &ReconciliationId, resolution: Resolution) -> Closing {
    Closing { resolution, by: run.to_string(), reason: None, at: recorder.at }
}

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
                    self.book_news(run, known.payment_id.clone(), fact.clone()).await?;
                    changed = true;
                }
                Some(_) => {}
                None => match self.book_missing(run, fact).await? {
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
        compared.findings.extend(self.duplicates(&facts, &held).await?);
        self.announce_findings(run, &compared).await?;
        Ok(compared)
    }

    /// Adds transactions of ours that the provider says it does not know.
    pub(super) async fn missing_there(
        &self,
        run: &Reconciliation,
        mut compared: Compared,
        missing: Vec<i64>,
    ) -> Result<Compared> {
        let held = self.held(missing).await?;
        compared.findings.extend(held.values().map(Finding::missing_there));
        self.announce_findings(run, &compared).await?;
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

    /// Books a transaction that we did not hold, where it is clear whose it is.
    async fn book_missing(&self, run: &Reconciliation, fact: &Fact) -> Result<Missing> {
        let asked = Arc::new(fact.clone());
        let looked = Arc::clone(&asked);
        let (lost, payment) = self
            .parts
            .store
            .read(move |tx| Ok((is_lost(tx, &looked)?, payment_of(tx, &Traces::of_fact(&looked))?)))
            .await?;
        let Some(payment_id) = payment.map(|payment| payment.id) else {
            let money = fact.status >= TransactionStatus::Authorized;
            let finding = Finding::missing_here(fact, None, lost);
            return Ok(if money || lost { Missing::Open(Box::new(finding)) } else { Missing::Foreign });
        };
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
            .await?;
        let finding = || Finding::missing_here(fact, Some(payment_id.clone()), lost);
        Ok(if booked { Missing::Booked } else { Missing::Open(Box::new(finding())) })
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
                    let payment = payments::get(tx, &payment_id)?;
                    let counted = super::record::counted_transaction(tx, &payment)?;
                    let all = transactions::of_payment(tx, &payment_id)?;
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
    async fn announce_findings(&self, run: &Reconciliation, compared: &Compared) -> Result<()> {
        let subjects: Vec<i64> = compared.findings.iter().map(|finding| finding.transaction_id).collect();
        if subjects.is_empty() {
            return Ok(());
        }
        let recorded = self.parts.store.read(move |tx| discrepancies::of_transactions(tx, &subjects)).await?;
        for finding in compared.findings.iter().filter(|finding| !finding.is_known(&recorded)) {
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
            self.write_payment(&id.clone(), move |tx| {
                let payment = payments::hold(tx, &id)?;
                if payment.attention.is_some() {
                    // A person is called already and finds the disagreement beside what called them.
                    return Ok(());
                }
                let attention = Some(attention.clone());
                recorder.settle(tx, payment, Note { attention, ..Note::about(transaction_id) }).map(drop)
            })
            .await?;
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

/// Notes what was missing here and is booked now: an open discrepancy about it is closed, else a closed one is written. A
/// refund whose request is lost stays open: the site may repeat that request, and its key is lost, too.
fn note_booked(tx: &mut Tx<'_>, recorder: &Recorder, run: &ReconciliationId, finding: Finding) -> Result<()> {
    let closing = closing(recorder, run, Resolution::Booked);
    let recorded = discrepancies::of_transactions(tx, &[finding.transaction_id])?;
    if finding.lost {
        let discrepancy = finding.clone().into_discrepancy(recorder, run, None);
        return if finding.is_known(&recorded) { Ok(()) } else { discrepancies::insert(tx, &discrepancy) };
    }
    match recorded.iter().find(|one| one.closing.is_none() && finding.is(one)) {
        Some(open) => discrepancies::close(tx, &open.id, &closing).map(drop),
        None => discrepancies::insert(tx, &finding.into_discrepancy(recorder, run, Some(closing))),
    }
}

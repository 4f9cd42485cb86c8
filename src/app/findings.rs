//! What the two books do not agree about, from being found to being written.

use super::reconcile::NOT_BOOKED;
use super::record::Recorder;
use crate::cloudpayments::Unreadable;
use crate::domain::card_data::contains_card_number;
use crate::domain::evidence::{Fact, TransactionKind, TransactionStatus};
use crate::domain::id::{DiscrepancyId, PaymentId, ReconciliationId};
use crate::domain::register::{Closing, Discrepancy, DiscrepancyKind, Resolution, Side};
use crate::error::{Error, Result};
use crate::store::transactions::Held;
use crate::store::{Tx, discrepancies, reconciliations, transactions};

/// Longest bill number of the provider that is kept.
const MAX_INVOICE: usize = 100;

/// Something that the two books do not agree about, not written yet.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) kind: DiscrepancyKind,
    pub(super) transaction_id: i64,
    pub(super) payment_id: Option<PaymentId>,
    pub(super) named_payment_id: Option<String>,
    pub(super) invoice_id: Option<String>,
    pub(super) lost: bool,
    pub(super) ours: Option<Side>,
    pub(super) theirs: Option<Side>,
}

impl Finding {
    /// What the register holds and we do not.
    pub(super) fn missing_here(fact: &Fact, payment_id: Option<PaymentId>, lost: bool) -> Finding {
        let in_cabinet = fact.kind == TransactionKind::Refund && fact.refund_id.is_none();
        let kind = if in_cabinet { DiscrepancyKind::RefundInCabinet } else { DiscrepancyKind::MissingHere };
        Finding { payment_id, lost, ..Finding::told(kind, fact) }
    }

    /// A difference between both.
    pub(super) fn between(kind: DiscrepancyKind, held: &Held, fact: &Fact) -> Finding {
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

    /// One that names what we do not hold, in a state that we do not know. It may be money.
    pub(super) fn lost_unreadable(item: &Unreadable, transaction_id: i64, payment_id: Option<PaymentId>) -> Finding {
        Finding {
            kind: DiscrepancyKind::MissingHere,
            transaction_id,
            payment_id,
            named_payment_id: item.payment_id.as_deref().and_then(PaymentId::parse).map(|id| id.to_string()),
            invoice_id: item.invoice_id.as_deref().and_then(kept_invoice),
            lost: true,
            ours: None,
            theirs: None,
        }
    }

    pub(super) fn missing_there(held: &Held) -> Finding {
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

    /// Whether it is money given back that names no refund of ours.
    pub(super) fn gave_back_in_cabinet(&self) -> bool {
        gave_back_in_cabinet(self.kind, self.theirs)
    }

    fn is(&self, other: &Discrepancy) -> bool {
        self.kind == other.kind && self.transaction_id == other.transaction_id
    }

    fn says_the_same(&self, other: &Discrepancy) -> bool {
        self.is(other) && self.ours == other.ours && self.theirs == other.theirs
    }

    /// Whether it is open already or, where nothing is open, a person settled exactly this. A loss that people settled is
    /// none when its money is let go afterwards; should it become more money than they saw, it is one again.
    pub(super) fn is_known(&self, recorded: &[Discrepancy]) -> bool {
        if let Some(open) = self.open_one(recorded) {
            return self.says_the_same(open);
        }
        let by_hand = |closing: &Closing| closing.resolution == Resolution::Operator;
        recorded
            .iter()
            .filter(|other| self.is(other) && other.closing.as_ref().is_some_and(by_hand))
            .any(|settled| self.says_the_same(settled) || (settled.lost && self.came_to_nothing()))
    }

    /// Whether the provider says that no money came of it, or that what was held is released.
    fn came_to_nothing(&self) -> bool {
        let status = self.theirs.map(|side| side.status);
        matches!(status, Some(TransactionStatus::Declined | TransactionStatus::Voided))
    }

    fn open_one<'a>(&self, recorded: &'a [Discrepancy]) -> Option<&'a Discrepancy> {
        recorded.iter().find(|other| other.closing.is_none() && self.is(other))
    }

    /// In the place of an open one: a record that no longer repeats what it named tells of the same loss, payment and bill.
    fn in_place_of(self, open: &Discrepancy) -> Finding {
        Finding {
            lost: self.lost || open.lost,
            payment_id: self.payment_id.or_else(|| open.payment_id.clone()),
            named_payment_id: self.named_payment_id.or_else(|| open.named_payment_id.clone()),
            invoice_id: self.invoice_id.or_else(|| open.invoice_id.clone()),
            ..self
        }
    }

    pub(super) fn into_discrepancy(
        self,
        recorder: &Recorder,
        run: &ReconciliationId,
        closing: Option<Closing>,
    ) -> Discrepancy {
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
            proposal: None,
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
    pub(super) seen: Vec<i64>,
    pub(super) findings: Vec<Finding>,
    /// What could not be written, of one transaction of those where that is so.
    pub(super) not_booked: Option<String>,
}

impl Compared {
    /// What was written of a transaction; `None` where the key of its payer does not open: the run tells of it, and goes on
    /// with what is of others.
    pub(super) fn unless_closed<T>(&mut self, transaction_id: i64, written: Result<T>) -> Result<Option<T>> {
        match written {
            Err(Error::KeyMissing(why)) => {
                tracing::error!(transaction.id = transaction_id, why, "what the register tells could not be booked");
                self.not_booked = Some(format!(
                    "{NOT_BOOKED}; so it is of transaction {transaction_id} ({why}); look at GET /v1/discrepancies?status=open and, \
                     when the key opens, compare this time once more"
                ));
                Ok(None)
            }
            written => written.map(Some),
        }
    }

    /// How many transactions were compared.
    pub(super) fn count(&self) -> i64 {
        i64::try_from(self.seen.len()).unwrap_or(i64::MAX)
    }

    /// The transactions that were compared.
    pub(super) fn seen(&self) -> &[i64] {
        &self.seen
    }

    /// Opens what is new, closes what is gone. What is lost, or may be, stays open until a person has looked at it.
    pub(super) fn write(&self, tx: &mut Tx<'_>, recorder: &Recorder, run: &ReconciliationId) -> Result<()> {
        let mut subjects = self.seen.clone();
        subjects.extend(self.findings.iter().map(|finding| finding.transaction_id));
        let recorded = discrepancies::of_transactions(tx, &subjects)?;
        for open in recorded.iter().filter(|one| one.closing.is_none()) {
            let found = self.findings.iter().find(|finding| finding.is(open));
            let resolution = match found {
                Some(finding) if finding.says_the_same(open) => continue,
                Some(_) => Resolution::Superseded,
                None if is_for_a_person(tx, open)? => continue,
                None => Resolution::Agrees,
            };
            discrepancies::end(tx, open, &closing(recorder, run, resolution))?;
        }
        for finding in self.findings.iter().filter(|finding| !finding.is_known(&recorded)) {
            // What was proposed about the old one is not said of this: a loss that changed takes two keys anew.
            let finding = match finding.open_one(&recorded) {
                Some(open) => finding.clone().in_place_of(open),
                None => finding.clone(),
            };
            discrepancies::insert(tx, &finding.into_discrepancy(recorder, run, None))?;
        }
        Ok(())
    }
}

fn closing(recorder: &Recorder, run: &ReconciliationId, resolution: Resolution) -> Closing {
    Closing { resolution, by: run.to_string(), reason: None, at: recorder.at }
}

/// Whether only a person closes it, although both books agree by now: what is lost, and a refund that nothing here
/// accounts for. The site may repeat its request, and the key of that request may be lost, too.
fn is_for_a_person(tx: &mut Tx<'_>, open: &Discrepancy) -> Result<bool> {
    let of_payment = open.payment_id.is_some() && gave_back_in_cabinet(open.kind, open.theirs);
    Ok(open.lost || (of_payment && !is_known_as_ours(tx, open.transaction_id)?))
}

fn gave_back_in_cabinet(kind: DiscrepancyKind, theirs: Option<Side>) -> bool {
    kind == DiscrepancyKind::RefundInCabinet && theirs.is_some_and(|side| side.has_money())
}

/// Whether it is the refund of a request that we hold: by now, if not when it was found.
fn is_known_as_ours(tx: &mut Tx<'_>, transaction_id: i64) -> Result<bool> {
    Ok(transactions::find(tx, transaction_id)?.is_some_and(|(_, transaction)| transaction.refund_id.is_some()))
}

/// Whether a refund that was just booked may be lost: it has no name of ours, and what came before a start is being read
/// back. Where the provider does not repeat the name we gave a refund, one that an older copy of the database does not hold
/// looks like one of the cabinet. A run of another purpose may meet it first.
fn may_be_lost(tx: &mut Tx<'_>, finding: &Finding) -> Result<bool> {
    Ok(finding.gave_back_in_cabinet()
        && !is_known_as_ours(tx, finding.transaction_id)?
        && reconciliations::running(tx)?.iter().any(|run| run.purpose.reads_back()))
}

/// Notes what was missing here and is booked now: an open discrepancy about it is closed, else a closed one is written. A
/// refund whose request is lost, or may be, stays open: the site may repeat that request, and its key is lost, too.
pub(super) fn note_booked(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    run: &ReconciliationId,
    finding: Finding,
) -> Result<()> {
    let closing = closing(recorder, run, Resolution::Booked);
    let recorded = discrepancies::of_transactions(tx, &[finding.transaction_id])?;
    let open = finding.open_one(&recorded);
    if finding.lost || may_be_lost(tx, &finding)? {
        if open.is_some() || finding.is_known(&recorded) {
            return Ok(());
        }
        recorder.metrics.discrepancy(finding.kind.as_str());
        return discrepancies::insert(tx, &finding.into_discrepancy(recorder, run, None));
    }
    match open {
        Some(open) if is_for_a_person(tx, open)? => Ok(()),
        Some(open) => discrepancies::end(tx, open, &closing).map(drop),
        None => discrepancies::insert(tx, &finding.into_discrepancy(recorder, run, Some(closing))),
    }
}

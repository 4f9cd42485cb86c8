//! What answers about the comparison with the provider's register look like; see [`super::view`].

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::schemas::{
    DiscrepancyKindName, PurposeName, ReconciliationStateName, ResolutionName, TransactionStatusName,
};
use super::view::{Moment, MoneyView};
use crate::app::ReconciliationDetails;
use crate::domain::register::{Chargeback, Discrepancy, Side};

/// A comparison with the provider's register, as far as it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Reconciliation)]
pub(super) struct ReconciliationView<'a> {
    /// Our id.
    #[schema(example = "rec_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    pub id: &'a str,
    /// Why it was made.
    #[schema(value_type = PurposeName)]
    pub purpose: &'static str,
    /// Where it is.
    #[schema(value_type = ReconciliationStateName)]
    pub state: &'static str,
    /// Why it failed; while it is running, why the last try came to nothing; when it is over, what of it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// First moment of the window.
    #[schema(value_type = String, format = DateTime)]
    pub from: Moment,
    /// End of the window, not in it. What the provider may still have been working on was cut off.
    #[schema(value_type = String, format = DateTime)]
    pub to: Moment,
    /// The API key or the worker that made it.
    pub requested_by: &'a str,
    /// Transactions of the register that were compared, those around the window among them.
    pub compared: i64,
    /// Items of the register that could not be read. While there are any, nothing counts as missing there.
    pub unreadable: i64,
    /// Discrepancies that it found for the first time, by kind; those that were booked at once are among them.
    pub discrepancies: BTreeMap<&'static str, i64>,
    /// Of these: booked at once.
    pub booked: i64,
    /// Discrepancies of earlier runs that are gone.
    pub closed: i64,
    /// Chargebacks that it found for the first time.
    pub chargebacks: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Moment,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Moment>,
}

/// What one of the two books says of a transaction.
#[derive(Serialize, ToSchema)]
#[schema(as = DiscrepancySide)]
pub(super) struct SideView {
    /// Where the transaction is.
    #[schema(value_type = TransactionStatusName)]
    pub status: &'static str,
    /// Its sum; absent where it is in a currency that we do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<MoneyView>,
}

/// How a discrepancy ended.
#[derive(Serialize, ToSchema)]
#[schema(as = DiscrepancyClosing)]
pub(super) struct ClosingView<'a> {
    /// How.
    #[schema(value_type = ResolutionName)]
    pub resolution: &'static str,
    /// The reconciliation or, with `operator`, the API key that closed it.
    pub by: &'a str,
    /// Why, in the operator's words; erased with the payer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// That an operator wants a loss closed: another one has to do it.
#[derive(Serialize, ToSchema)]
#[schema(as = ProposedClosing)]
pub(super) struct ProposalView<'a> {
    /// The API key. No key of its line can close it.
    pub by: &'a str,
    /// Why, in the operator's words; erased with the payer. Once it is closed, `closing.reason` holds the words of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
}

/// Something that our books and the provider's register do not agree about.
#[derive(Serialize, ToSchema)]
#[schema(as = Discrepancy)]
pub(super) struct DiscrepancyView<'a> {
    /// Our id.
    #[schema(example = "dis_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    pub id: &'a str,
    /// What it is.
    #[schema(value_type = DiscrepancyKindName)]
    pub kind: &'static str,
    /// The provider's number of the transaction.
    #[schema(example = 3_541_977_847_i64)]
    pub transaction_id: i64,
    /// Our payment, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<&'a str>,
    /// The payment that the provider's record names. With `lost` it is one that this database does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named_payment_id: Option<&'a str>,
    /// The number of the bill, as the provider has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_id: Option<&'a str>,
    /// The record names a payment or a refund that this database does not hold: it is an older copy. No
    /// payment for the same bill, or no refund of the same payment, can be made until this is closed, which takes two
    /// operators.
    pub lost: bool,
    /// What we hold; absent when it is missing here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<SideView>,
    /// What the register says; absent when it is missing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theirs: Option<SideView>,
    /// The reconciliation that found it.
    pub opened_by: &'a str,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Moment,
    /// Who proposed to close it, where that takes two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposed: Option<ProposalView<'a>>,
    /// How it ended, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing: Option<ClosingView<'a>>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Moment>,
}

/// A payment that the payer's bank takes back.
#[derive(Serialize, ToSchema)]
#[schema(as = Chargeback)]
pub(super) struct ChargebackView<'a> {
    /// Our id.
    #[schema(example = "cbk_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    pub id: &'a str,
    /// The provider's number of the chargeback.
    pub provider_id: &'a str,
    /// `Presentment`, or `Representment` when the answer to it was passed on; the provider's words, others may come.
    pub operation: &'a str,
    /// `Chargeback`, or `Fee` for what it cost; the provider's words, others may come.
    pub r#type: &'a str,
    /// The provider's number of the payment's transaction.
    #[schema(example = 3_541_977_847_i64)]
    pub transaction_id: i64,
    /// Our payment; absent when we do not hold the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<&'a str>,
    /// How much; absent where it is in a currency that we do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<MoneyView>,
    /// When it was raised, as the provider says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub raised_at: Option<Moment>,
    /// The reconciliation that found it.
    pub found_by: &'a str,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub found_at: Moment,
}

pub(super) fn reconciliation_view(details: &ReconciliationDetails) -> ReconciliationView<'_> {
    let (run, findings) = (&details.run, &details.findings);
    ReconciliationView {
        id: run.id.as_str(),
        purpose: run.purpose.as_str(),
        state: run.state.as_str(),
        reason: run.reason.as_deref(),
        from: Moment(run.from),
        to: Moment(run.to),
        requested_by: &run.requested_by,
        compared: run.compared,
        unreadable: run.unreadable,
        discrepancies: findings.opened.iter().map(|(kind, count)| (kind.as_str(), *count)).collect(),
        booked: findings.booked,
        closed: findings.closed,
        chargebacks: run.chargebacks,
        started_at: Moment(run.started_at),
        finished_at: run.finished_at.map(Moment),
    }
}

fn side_view(side: &Side) -> SideView {
    SideView { status: side.status.as_str(), amount: side.amount.map(MoneyView::from) }
}

pub(super) fn discrepancy_view(discrepancy: &Discrepancy) -> DiscrepancyView<'_> {
    let closing = discrepancy.closing.as_ref();
    DiscrepancyView {
        id: discrepancy.id.as_str(),
        kind: discrepancy.kind.as_str(),
        transaction_id: discrepancy.transaction_id,
        payment_id: discrepancy.payment_id.as_ref().map(crate::domain::id::PaymentId::as_str),
        named_payment_id: discrepancy.named_payment_id.as_deref(),
        invoice_id: discrepancy.invoice_id.as_deref(),
        lost: discrepancy.lost,
        ours: discrepancy.ours.as_ref().map(side_view),
        theirs: discrepancy.theirs.as_ref().map(side_view),
        opened_by: discrepancy.opened_by.as_str(),
        opened_at: Moment(discrepancy.opened_at),
        proposed: discrepancy.proposal.as_ref().map(|proposal| ProposalView {
            by: proposal.by.as_str(),
            reason: proposal.reason.as_deref(),
            at: Moment(proposal.at),
        }),
        closing: closing.map(|closing| ClosingView {
            resolution: closing.resolution.as_str(),
            by: &closing.by,
            reason: closing.reason.as_deref(),
        }),
        closed_at: closing.map(|closing| Moment(closing.at)),
    }
}

pub(super) fn chargeback_view(chargeback: &Chargeback) -> ChargebackView<'_> {
    let claim = &chargeback.claim;
    ChargebackView {
        id: chargeback.id.as_str(),
        provider_id: &claim.provider_id,
        operation: &claim.operation,
        r#type: &claim.kind,
        transaction_id: claim.transaction_id,
        payment_id: chargeback.payment_id.as_ref().map(crate::domain::id::PaymentId::as_str),
        amount: claim.amount.map(MoneyView::from),
        raised_at: claim.raised_at.map(Moment),
        found_by: chargeback.found_by.as_str(),
        found_at: Moment(chargeback.found_at),
    }
}

//! What goes in and out of the use cases.

use secrecy::SecretString;

use super::notifications::StoredNotification;
use crate::clock::Timestamp;
use crate::domain::approval::{Approval, ApprovalKind, ApprovalState, CorrectionOutcome};
use crate::domain::evidence::Transaction;
use crate::domain::id::{ApiKeyId, ErasureId, PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::{CaptureMode, Language, Payer, Payment};
use crate::domain::refund::Refund;
use crate::domain::register::{Discrepancy, DiscrepancyKind, Findings, Reconciliation};
use crate::domain::scope::Scope;
use crate::domain::state::{Cause, Status};

/// Who calls: an API key that was verified.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key.
    pub key_id: ApiKeyId,
    /// The first key of its line. What belongs to a caller belongs to the line, so that a successor (`keys rotate`) finds
    /// it; two keys of one line are one caller.
    pub lineage: ApiKeyId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The request it makes, for the history.
    pub request_id: Option<String>,
}

/// The caller's mark of one request, and a digest of all that the request says.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// `Idempotency-Key`, 1 to 255 printable ASCII characters.
    pub key: String,
    /// Method and path, without what names a person.
    pub endpoint: String,
    /// SHA-256 over method, path and body.
    pub fingerprint: [u8; 32],
}

/// An answer exactly as it goes out and, when final, as it is kept for repeats of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Where the created thing is.
    pub location: Option<String>,
    /// JSON.
    pub body: Vec<u8>,
}

/// An answer to a request with an Idempotency-Key.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What to send.
    pub stored: StoredAnswer,
    /// Whether it repeats an earlier answer.
    pub replayed: bool,
}

/// Turns domain objects into answers. The HTTP layer implements it; the use cases call it inside the transaction that
/// makes the effect, so that effect and kept answer can never differ.
pub trait Present: Send + Sync {
    /// 201 (`created`) or 200; 202 while the outcome is undetermined or the provider still works on it.
    fn payment(&self, details: &PaymentDetails, created: bool) -> StoredAnswer;
    /// 201; 202 while the outcome is undetermined.
    fn refund(&self, refund: &Refund) -> StoredAnswer;
    /// 201.
    fn reconciliation(&self, details: &ReconciliationDetails) -> StoredAnswer;
    /// 200; 202 while another operator has to close it, too.
    fn discrepancy(&self, discrepancy: &Discrepancy) -> StoredAnswer;
    /// 200.
    fn erasure(&self, erasure: &Erasure) -> StoredAnswer;
    /// 201 (`created`) or 200; 202 while the outcome of the refund that it made is not known.
    fn approval(&self, details: &ApprovalDetails, created: bool) -> StoredAnswer;
}

/// That a payer's personal data was erased, and how much of it there was.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// Our id of the record.
    pub id: ErasureId,
    /// When.
    pub at: Timestamp,
    /// Keys that were destroyed.
    pub payers: i64,
    /// Payments that were under them.
    pub payments: i64,
    /// Notifications about these payments.
    pub notifications: i64,
}

/// Whose personal data is asked for.
#[derive(Debug, Clone)]
pub enum Whose {
    /// Of the payer with this account.
    Account(String),
    /// Of the payer of this payment, which names no account.
    Payment(PaymentId),
}

/// A reading of personal data that is recorded.
#[derive(Debug, Clone)]
pub enum Access {
    /// Of all that is held about a payer.
    Export {
        /// The payer's key; `None` when nothing is held.
        payer: Option<String>,
    },
    /// Of a payment that another line of keys created.
    Payment(PaymentId),
    /// Of which payments an account has.
    Search {
        /// The payer's key; `None` when nothing is held.
        payer: Option<String>,
    },
}

/// All that is held about a payer in one of its payments.
#[derive(Debug)]
pub struct PayerRecord {
    /// The payment.
    pub details: PaymentDetails,
    /// Its refunds, oldest first.
    pub refunds: Vec<Refund>,
    /// What was asked for about it that needs a second key, oldest first.
    pub approvals: Vec<ApprovalDetails>,
    /// The provider's notifications about it, oldest first.
    pub notifications: Vec<StoredNotification>,
    /// What the provider said when it refused calls, oldest first.
    pub provider_messages: Vec<String>,
    /// Why operators resolved what called for attention, oldest first.
    pub resolutions: Vec<String>,
    /// What our books and the provider's register did not agree about, oldest first.
    pub discrepancies: Vec<Discrepancy>,
}

/// A stretch of all that is held about a payer.
#[derive(Debug)]
pub struct PayerExport {
    /// Payment by payment.
    pub records: Listing<PayerRecord>,
    /// Notifications that name the account and belong to no payment, oldest first; with the first stretch.
    pub unmatched: Vec<StoredNotification>,
}

/// What the site asks for.
#[derive(Debug)]
pub struct NewPayment {
    /// What is to be paid.
    pub amount: Money,
    /// The site's number of the bill.
    pub invoice_id: String,
    /// What the payer reads.
    pub description: String,
    /// Who pays.
    pub payer: Payer,
    /// One stage or two.
    pub capture: CaptureMode,
    /// Of the payer's texts.
    pub language: Language,
    /// Where the payer's browser goes at the end.
    pub return_url: Option<String>,
    /// How long it can be paid, seconds.
    pub expires_in_s: Option<i64>,
    /// The site's own data: a JSON object as text.
    pub metadata: String,
    /// How the payer pays.
    pub method: NewMethod,
}

/// How the payer pays, with what only the creation needs.
#[derive(Debug)]
pub enum NewMethod {
    /// The provider's window on the site.
    Widget,
    /// Card data encrypted in the browser.
    CardCryptogram {
        /// Encrypted card data: sent on, never stored, never logged.
        cryptogram: SecretString,
        /// As on the card.
        cardholder_name: Option<String>,
    },
}

/// A refund that the site asks for.
#[derive(Debug)]
pub struct NewRefund {
    /// How much; all that is left when absent.
    pub amount: Option<Money>,
    /// Why.
    pub reason: Option<String>,
    /// Refuse when what is refundable differs from this.
    pub expected_refundable: Option<Money>,
}

/// Something that one key asks for and another one has to allow.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// The payment it is about.
    pub payment_id: PaymentId,
    /// What is to be done.
    pub subject: NewSubject,
    /// Why.
    pub reason: String,
}

/// What is to be done once another key allows it.
#[derive(Debug, Clone)]
pub enum NewSubject {
    /// Give money back.
    Refund {
        /// How much.
        amount: Money,
    },
    /// End the lost call of the payment, or of one of its refunds.
    Correction {
        /// The refund whose call is lost.
        refund_id: Option<RefundId>,
        /// What is asserted of it.
        outcome: CorrectionOutcome,
    },
}

impl NewSubject {
    /// Its kind.
    pub fn kind(&self) -> ApprovalKind {
        match self {
            NewSubject::Refund { .. } => ApprovalKind::Refund,
            NewSubject::Correction { .. } => ApprovalKind::Correction,
        }
    }
}

/// An approval as it stands.
#[derive(Debug, Clone)]
pub struct ApprovalDetails {
    /// The approval.
    pub approval: Approval,
    /// Whether it waits and no key of the line that asked works any more: it can be rejected, and not approved.
    pub lapsed: bool,
    /// The refund that it made, or that it is about.
    pub refund: Option<Refund>,
}

/// Which approvals to list; all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    /// Where they are.
    pub state: Option<ApprovalState>,
    /// The payment they are about.
    pub payment_id: Option<PaymentId>,
}

/// A payment with all that an answer shows of it.
#[derive(Debug, Clone)]
pub struct PaymentDetails {
    /// The payment.
    pub payment: Payment,
    /// Its transactions, oldest first; those we only answered a Check for are left out.
    pub transactions: Vec<Transaction>,
}

/// One row of a payment's history.
#[derive(Debug, Clone)]
pub struct Transition {
    /// 1, 2, 3, …
    pub sequence: i64,
    /// The state before; `None` for the creation.
    pub from: Option<Status>,
    /// The state after.
    pub to: Status,
    /// Who and what made it.
    pub cause: Cause,
    /// When.
    pub at: Timestamp,
    /// The provider's transaction it is about.
    pub transaction_id: Option<i64>,
    /// More about it: a JSON object as text.
    pub detail: String,
}

/// Which payments to list; all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct PaymentFilter {
    /// The site's number of the bill.
    pub invoice_id: Option<String>,
    /// The site's id of the payer.
    pub account_id: Option<String>,
    /// Where it is.
    pub status: Option<Status>,
    /// The provider's number of one of its transactions.
    pub transaction_id: Option<i64>,
    /// Created at or after.
    pub created_from: Option<Timestamp>,
    /// Created before.
    pub created_to: Option<Timestamp>,
}

/// Which discrepancies to list; all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct DiscrepancyFilter {
    /// Open ones or closed ones.
    pub open: Option<bool>,
    /// What they are.
    pub kind: Option<DiscrepancyKind>,
    /// Our payment.
    pub payment_id: Option<PaymentId>,
}

/// Which chargebacks to list; all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct ChargebackFilter {
    /// Those whose payment is known, or the others.
    pub resolved: Option<bool>,
    /// Our payment.
    pub payment_id: Option<PaymentId>,
}

/// The window of a comparison with the register that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct NewReconciliation {
    /// First moment.
    pub from: Timestamp,
    /// End, not in it.
    pub to: Timestamp,
}

/// A run with what it did.
#[derive(Debug, Clone)]
pub struct ReconciliationDetails {
    /// The run.
    pub run: Reconciliation,
    /// What it did to discrepancies.
    pub findings: Findings,
}

/// One stretch of a list, newest first: entries older than `before`.
#[derive(Debug, Clone, Copy)]
pub struct Page<T> {
    /// The last entry of the stretch before.
    pub before: Option<T>,
    /// At most so many.
    pub limit: i64,
}

/// A stretch of a list, and whether more follows.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Whether there is a next stretch.
    pub more: bool,
}

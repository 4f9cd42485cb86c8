//! Examples of the documentation, made by the same code that makes real answers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::approval_views::approval_view;
use super::presenter::{Presenter, PresenterSettings, SupportContacts, refund_view, transition_view};
use super::register_views::{chargeback_view, discrepancy_view, reconciliation_view};
use crate::app::{ApprovalDetails, PaymentDetails, ReconciliationDetails, Transition};
use crate::clock::Timestamp;
use crate::domain::approval::{Actor, Approval, ApprovalState, CorrectionOutcome, Subject};
use crate::domain::evidence::{Card, Settlement, Transaction, TransactionKind, TransactionStatus};
use crate::domain::id::{
    ApiKeyId, ApprovalId, ChargebackId, DiscrepancyId, OperationId, PaymentId, ReconciliationId, RefundId,
    TransactionRecordId,
};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{CaptureMode, Language, Method, OperationKind, Payer, Payment, Sums};
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::register::{
    Chargeback, Claim, Closing, Discrepancy, DiscrepancyKind, Findings, Phase, Proposal, Purpose, Reconciliation,
    Resolution, RunState, Side,
};
use crate::domain::state::{Cause, CauseType, Certainty, Status};
use crate::vault::Vault;

pub(super) const PAYMENT_ID: &str = "pay_01kaq0j5m8x2v9c4t7b1n6r3ed";
pub(super) const REFUND_ID: &str = "ref_01kaq0k7d2f5w8y1h4g9z6s3qa";
const EVENT_ID: &str = "evt_01kaq0j9p4n7c2x5v8b1m6t3re";
const NOTIFICATION_ID: &str = "ntf_01kaq0j8t6v3b9m2c5x7n1p4ae";
const RECONCILIATION_ID: &str = "rec_01kaq0m4d8s2f6g1h9j3k7p5va";
const DISCREPANCY_ID: &str = "dis_01kaq0m5c3v7b1n6m2x8z4a9qe";
pub(super) const TRANSACTION_ID: i64 = 3_541_977_847;
/// 2026-03-02T05:14:07Z, microseconds.
const CREATED: i64 = 1_772_428_447_000_000;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(CREATED).plus_seconds(seconds)
}

/// A presenter with settings of a place that does not exist.
pub(super) fn presenter() -> Presenter {
    let settings = PresenterSettings {
        public_url: "https://pay.example.kz".to_owned(),
        public_id: "pk_example".to_owned(),
        widget_script_url: "https://widget.example.kz/bundles/widget.js".to_owned(),
        support: SupportContacts::default(),
    };
    Presenter::new(settings, Arc::new(Vault::new(&[0; 32], &[])))
}

/// A payment by widget that nobody has paid yet.
pub(super) fn details() -> PaymentDetails {
    let payment = Payment {
        id: PaymentId::from_stored(PAYMENT_ID.to_owned()),
        sequence: 1,
        status: Status::AwaitingPayer,
        certainty: Certainty::Proven,
        decide_by: None,
        amount: Money::new(1_250_000, Currency::KZT),
        sums: Sums::default(),
        invoice_id: "KM-2026-000123".to_owned(),
        description: "Policy KM-2026-000123".to_owned(),
        capture: CaptureMode::Automatic,
        language: Language::Ru,
        method: Method::Widget,
        return_url: Some("https://kmic.kz/pay/done".to_owned()),
        metadata: r#"{"policy":"KM-2026-000123"}"#.to_owned(),
        payer: Payer {
            account_id: Some("client-77".to_owned()),
            email: Some("payer@example.test".to_owned()),
            ..Payer::default()
        },
        three_ds: None,
        attention: None,
        attention_raised: Vec::new(),
        test_mode: None,
        created_by: ApiKeyId::from_stored("key_01kaq0h1a2b3c4d5e6f7g8h9jk".to_owned()),
        erased: false,
        created_at: at(0),
        updated_at: at(0),
        expires_at: at(86_400),
    };
    PaymentDetails { payment, transactions: Vec::new() }
}

/// A transaction of it.
pub(super) fn transaction(status: TransactionStatus, reason_code: Option<i32>) -> Transaction {
    let card = Card {
        brand: Some("visa".to_owned()),
        first_six: Some("424242".to_owned()),
        last_four: Some("4242".to_owned()),
        issuer: Some("Halyk Bank".to_owned()),
    };
    Transaction {
        id: TransactionRecordId::from_stored("trn_01kaq0j7r5y2w9f4h8k1s6d3ma".to_owned()),
        transaction_id: TRANSACTION_ID,
        kind: TransactionKind::Payment,
        status,
        amount: Money::new(1_250_000, Currency::KZT),
        captured: if status == TransactionStatus::Completed { 1_250_000 } else { 0 },
        parent_transaction_id: None,
        refund_id: None,
        reason_code,
        card,
        settlement: Settlement { moved_at: status.is_outcome().then(|| at(40)), ..Settlement::default() },
        created_at: at(40),
        updated_at: at(40),
    }
}

fn shown(details: &PaymentDetails) -> Value {
    serde_json::to_value(presenter().payment_view(details)).unwrap_or_default()
}

/// A payment that waits for its payer.
pub(super) fn payment() -> Value {
    shown(&details())
}

/// A payment that was paid.
pub(super) fn paid_payment() -> Value {
    let mut details = details();
    details.payment.status = Status::Paid;
    details.payment.sums = Sums { captured: 1_250_000, ..Sums::default() };
    details.payment.test_mode = Some(false);
    details.payment.updated_at = at(41);
    details.transactions = vec![transaction(TransactionStatus::Completed, None)];
    shown(&details)
}

/// A payment that was withdrawn.
pub(super) fn cancelled_payment() -> Value {
    let mut details = details();
    details.payment.status = Status::Cancelled;
    details.payment.updated_at = at(60);
    shown(&details)
}

/// A payment whose charge got no answer.
pub(super) fn undetermined_payment() -> Value {
    let mut details = details();
    details.payment.status = Status::Processing;
    details.payment.method = Method::CardCryptogram;
    details.payment.certainty = Certainty::Undetermined;
    details.payment.decide_by = Some(at(3600));
    shown(&details)
}

fn refund_of(status: RefundStatus) -> Refund {
    Refund {
        id: RefundId::from_stored(REFUND_ID.to_owned()),
        payment_id: PaymentId::from_stored(PAYMENT_ID.to_owned()),
        parent_transaction_id: TRANSACTION_ID,
        amount: Money::new(250_000, Currency::KZT),
        status,
        certainty: if status == RefundStatus::Pending { Certainty::Undetermined } else { Certainty::Proven },
        decide_by: (status == RefundStatus::Pending).then(|| at(7200)),
        reason: Some("Policy cancelled within 14 days".to_owned()),
        failure: None,
        transaction_id: (status == RefundStatus::Succeeded).then_some(TRANSACTION_ID + 1),
        created_by: ApiKeyId::from_stored("key_01kaq0h1a2b3c4d5e6f7g8h9jk".to_owned()),
        created_at: at(3600),
        updated_at: at(3601),
    }
}

/// Every group of refusal reasons would be long; one shows the form.
pub(super) fn decline_reasons() -> Value {
    let group = super::decline_reasons::group(crate::domain::decline::DeclineCategory::InsufficientFunds);
    json!({"data": [group], "support": presenter().support()})
}

/// A refund that the provider made.
pub(super) fn refund() -> Value {
    serde_json::to_value(refund_view(&refund_of(RefundStatus::Succeeded))).unwrap_or_default()
}

/// A refund without an answer.
pub(super) fn pending_refund() -> Value {
    serde_json::to_value(refund_view(&refund_of(RefundStatus::Pending))).unwrap_or_default()
}

/// One change.
pub(super) fn transition() -> Value {
    let transition = Transition {
        sequence: 2,
        from: Some(Status::AwaitingPayer),
        to: Status::Paid,
        cause: Cause {
            kind: CauseType::Notification,
            id: Some(NOTIFICATION_ID.to_owned()),
            actor: "cloudpayments".to_owned(),
        },
        at: at(41),
        transaction_id: Some(TRANSACTION_ID),
        detail: "{}".to_owned(),
    };
    serde_json::to_value(transition_view(&transition)).unwrap_or_default()
}

/// One event.
pub(super) fn event() -> Value {
    json!({"id": EVENT_ID, "type": "payment.paid", "payment_id": PAYMENT_ID, "sequence": 2, "at": at(41).to_string()})
}

/// One notification.
pub(super) fn notification() -> Value {
    json!({
        "id": NOTIFICATION_ID, "kind": "pay", "payment_id": PAYMENT_ID, "transaction_id": TRANSACTION_ID,
        "verdict": "applied", "reply": 0, "received_at": at(41).to_string(),
    })
}

/// One law, broken by one payment.
pub(super) fn invariant() -> Value {
    json!({
        "name": "status_follows_sums",
        "law": "A payment's status says what its sums say.",
        "query": "SELECT p.id AS subject FROM payments p WHERE p.id > $1 AND p.id <= $2 AND …",
        "status": "red", "at_fault": [PAYMENT_ID], "more_at_fault": false,
    })
}

fn run(state: RunState) -> ReconciliationDetails {
    let over = state == RunState::Completed;
    let run = Reconciliation {
        id: ReconciliationId::from_stored(RECONCILIATION_ID.to_owned()),
        purpose: Purpose::Requested,
        day: None,
        from: at(-86_400),
        to: at(0),
        requested_by: "key_01kaq0h1a2b3c4d5e6f7g8h9jk".to_owned(),
        state,
        phase: Phase::Register,
        next_page: 1,
        position: None,
        compared: if over { 1204 } else { 0 },
        unreadable: 0,
        lost: 0,
        asked: 0,
        chargebacks: i64::from(over),
        failures: 0,
        reason: None,
        due_at: None,
        started_at: at(3600),
        finished_at: over.then(|| at(3612)),
    };
    let findings = Findings {
        opened: if over {
            vec![(DiscrepancyKind::MissingHere, 2), (DiscrepancyKind::AmountMismatch, 1)]
        } else {
            vec![]
        },
        booked: if over { 2 } else { 0 },
        closed: 0,
    };
    ReconciliationDetails { run, findings }
}

/// A comparison with the register that is over.
pub(super) fn reconciliation() -> Value {
    serde_json::to_value(reconciliation_view(&run(RunState::Completed))).unwrap_or_default()
}

/// A comparison with the register that was just asked for.
pub(super) fn running_reconciliation() -> Value {
    serde_json::to_value(reconciliation_view(&run(RunState::Running))).unwrap_or_default()
}

fn disagreement(closing: Option<Closing>) -> Value {
    let discrepancy = Discrepancy { closing, ..open_discrepancy() };
    serde_json::to_value(discrepancy_view(&discrepancy)).unwrap_or_default()
}

fn open_discrepancy() -> Discrepancy {
    let sum = |minor| Some(Money::new(minor, Currency::KZT));
    Discrepancy {
        id: DiscrepancyId::from_stored(DISCREPANCY_ID.to_owned()),
        kind: DiscrepancyKind::AmountMismatch,
        transaction_id: TRANSACTION_ID,
        payment_id: Some(PaymentId::from_stored(PAYMENT_ID.to_owned())),
        named_payment_id: Some(PAYMENT_ID.to_owned()),
        invoice_id: Some("KM-2026-000123".to_owned()),
        lost: false,
        ours: Some(Side { status: TransactionStatus::Completed, amount: sum(1_250_000) }),
        theirs: Some(Side { status: TransactionStatus::Completed, amount: sum(1_200_000) }),
        opened_by: ReconciliationId::from_stored(RECONCILIATION_ID.to_owned()),
        opened_at: at(3605),
        proposal: None,
        closing: None,
    }
}

/// A loss that a person has proposed to close.
pub(super) fn proposed_discrepancy() -> Value {
    let proposal = Proposal {
        by: ApiKeyId::from_stored("key_01kaq0h1a2b3c4d5e6f7g8h9jk".to_owned()),
        reason: Some("The policy was issued by hand".to_owned()),
        at: at(7200),
    };
    let lost = Discrepancy {
        kind: DiscrepancyKind::MissingHere,
        payment_id: None,
        lost: true,
        ours: None,
        proposal: Some(proposal),
        ..open_discrepancy()
    };
    serde_json::to_value(discrepancy_view(&lost)).unwrap_or_default()
}

/// A discrepancy that is open.
pub(super) fn discrepancy() -> Value {
    disagreement(None)
}

/// A discrepancy that a person has closed.
pub(super) fn closed_discrepancy() -> Value {
    disagreement(Some(Closing {
        resolution: Resolution::Operator,
        by: "key_01kaq0h1a2b3c4d5e6f7g8h9jk".to_owned(),
        reason: Some("The payer paid the rest in cash".to_owned()),
        at: at(7200),
    }))
}

/// A chargeback.
pub(super) fn chargeback() -> Value {
    let chargeback = Chargeback {
        id: ChargebackId::from_stored("cbk_01kaq0m2h7s4d9f1g6j3k8m5ze".to_owned()),
        claim: Claim {
            provider_id: "65f0c1d2a3b4c5d6e7f80911".to_owned(),
            operation: "Presentment".to_owned(),
            kind: "Chargeback".to_owned(),
            transaction_id: TRANSACTION_ID,
            amount: Some(Money::new(1_250_000, Currency::KZT)),
            raised_at: Some(at(864_000)),
        },
        payment_id: Some(PaymentId::from_stored(PAYMENT_ID.to_owned())),
        found_by: ReconciliationId::from_stored(RECONCILIATION_ID.to_owned()),
        found_at: at(950_400),
    };
    serde_json::to_value(chargeback_view(&chargeback)).unwrap_or_default()
}

fn approval_of(subject: Subject, state: ApprovalState, refund: Option<RefundStatus>) -> Value {
    let actor = |id: &str| {
        let key_id = ApiKeyId::from_stored(id.to_owned());
        Actor { line: key_id.clone(), key_id }
    };
    let decided = state != ApprovalState::Pending;
    let approval = Approval {
        id: ApprovalId::from_stored("apr_01kaq0p2e5h8k1n4q7t0w3y6zb".to_owned()),
        payment_id: PaymentId::from_stored(PAYMENT_ID.to_owned()),
        subject,
        reason: Some("The client cancelled the policy, request 77 of 2 March".to_owned()),
        requested_by: actor("key_01kaq0h1a2b3c4d5e6f7g8h9jk"),
        requested_at: at(600),
        expires_at: at(87_000),
        state,
        decided_by: decided.then(|| actor("key_01kaq0h7m8n9p0q1r2s3t4v5wx")),
        decided_at: decided.then(|| at(900)),
    };
    let refund = refund.map(refund_of);
    serde_json::to_value(approval_view(&ApprovalDetails { approval, lapsed: false, refund })).unwrap_or_default()
}

fn large_refund(state: ApprovalState, refund: Option<RefundStatus>) -> Value {
    let refund_id = refund.map(|_| RefundId::from_stored(REFUND_ID.to_owned()));
    let amount = Money::new(1_250_000, Currency::KZT);
    approval_of(Subject::Refund { amount, refund_id }, state, refund)
}

/// An approval that waits for another key.
pub(super) fn approval() -> Value {
    large_refund(ApprovalState::Pending, None)
}

/// One whose refund was made.
pub(super) fn approved() -> Value {
    large_refund(ApprovalState::Approved, Some(RefundStatus::Succeeded))
}

/// One whose refund got no answer.
pub(super) fn approved_pending() -> Value {
    large_refund(ApprovalState::Approved, Some(RefundStatus::Pending))
}

/// A correction that another key refused.
pub(super) fn rejected() -> Value {
    let subject = Subject::Correction {
        operation_id: OperationId::from_stored("op_01kaq0k8f1h4k7n0q3t6w9z2ce".to_owned()),
        call: OperationKind::Charge,
        refund_id: None,
        outcome: CorrectionOutcome::NoEffect,
    };
    approval_of(subject, ApprovalState::Rejected, None)
}

/// A refund that another key has to allow.
pub(super) fn create_refund_approval() -> Value {
    json!({
        "kind": "refund", "payment_id": PAYMENT_ID, "amount": {"value": "12500.00", "currency": "KZT"},
        "reason": "The client cancelled the policy, request 77 of 2 March",
    })
}

/// A correction that another key has to allow.
pub(super) fn create_correction() -> Value {
    json!({
        "kind": "correction", "payment_id": PAYMENT_ID, "refund_id": REFUND_ID, "outcome": "no_effect",
        "reason": "CloudPayments' support wrote that the request never arrived, ticket 4711",
    })
}

/// A window to be compared.
pub(super) fn create_reconciliation() -> Value {
    json!({"from": "2026-03-01T00:00:00Z", "to": "2026-03-03T00:00:00Z"})
}

/// A day to be compared.
pub(super) fn create_reconciliation_of_day() -> Value {
    json!({"date": "2026-03-01"})
}

/// Why a discrepancy is closed.
pub(super) fn close_discrepancy() -> Value {
    json!({"reason": "The payer paid the rest in cash"})
}

/// The root of a day.
pub(super) fn audit_root() -> Value {
    json!({
        "day": "2026-11-25", "seal": 118, "root": "5f".repeat(32), "rows": 20_480, "at": at(41).to_string(),
    })
}

/// The answer to an erasure.
pub(super) fn erasure() -> Value {
    json!({
        "erased": true, "id": "era_01kaq0n3c6f9j2m5p8r1t4w7za", "at": at(86_400).to_string(), "payments": 1,
        "notifications": 2,
    })
}

/// All that is held about a payer with one payment.
pub(super) fn personal_data() -> Value {
    let told = json!({
        "id": NOTIFICATION_ID, "kind": "pay", "received_at": at(41).to_string(),
        "body": "TransactionId=3541977847&Amount=12500.00&Currency=KZT&AccountId=client-77&Email=payer%40example.test",
    });
    let record = json!({
        "payment": paid_payment(), "refunds": [refund()], "approvals": [], "notifications": [told], "provider_messages": [],
        "resolutions": [],
        "discrepancies": [],
    });
    json!({"data": [record], "unmatched_notifications": [], "next_cursor": null})
}

/// A list that ends with this entry.
pub(super) fn list(entry: Value) -> Value {
    json!({"data": [entry], "next_cursor": null})
}

/// A payment by widget to be created.
pub(super) fn create_widget() -> Value {
    json!({
        "amount": {"value": "12500.00", "currency": "KZT"},
        "invoice_id": "KM-2026-000123",
        "description": "Policy KM-2026-000123",
        "payer": {"account_id": "client-77", "email": "payer@example.test"},
        "return_url": "https://kmic.kz/pay/done",
        "metadata": {"policy": "KM-2026-000123"},
    })
}

/// A charge of card data to be created.
pub(super) fn create_card_cryptogram() -> Value {
    json!({
        "amount": {"value": "12500.00", "currency": "KZT"},
        "invoice_id": "KM-2026-000123",
        "description": "Policy KM-2026-000123",
        "payer": {
            "account_id": "client-77", "email": "payer@example.test", "phone": "+77000000000",
            "name": "Test Payer", "ip_address": "203.0.113.7",
        },
        "capture": "manual",
        "language": "kk",
        "return_url": "https://kmic.kz/pay/done",
        "expires_in": 86_400,
        "metadata": {"policy": "KM-2026-000123"},
        "method": {"type": "card_cryptogram", "cryptogram": "014242424242sMnN7k", "cardholder_name": "TEST CARDHOLDER"},
    })
}

/// A capture of less than what is held.
pub(super) fn capture() -> Value {
    json!({"amount": {"value": "12000.00", "currency": "KZT"}})
}

/// A refund to be made.
pub(super) fn create_refund() -> Value {
    json!({
        "amount": {"value": "2500.00", "currency": "KZT"},
        "reason": "Policy cancelled within 14 days",
        "expected_refundable": {"value": "12500.00", "currency": "KZT"},
    })
}

/// The bank's answer.
pub(super) fn finish_three_ds() -> Value {
    json!({"md": TRANSACTION_ID.to_string(), "pa_res": "eJxVUttugkAQ"})
}

/// Why an operator calls something settled.
pub(super) fn resolve_attention() -> Value {
    json!({"reason": "The second payment was given back in the cabinet"})
}

/// An error.
pub(super) fn problem(code: &str, status: u16, title: &str) -> Value {
    json!({
        "type": super::problem::type_of(code), "title": title, "status": status, "code": code,
        "detail": title, "request_id": "req_01kaq0j5m8x2v9c4t7b1n6r3ed",
    })
}

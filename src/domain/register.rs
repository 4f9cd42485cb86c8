//! The comparison with the provider's register: its runs, what they find, and chargebacks. Pure.

use crate::clock::Timestamp;
use crate::domain::business_day::BusinessDay;
use crate::domain::evidence::{Fact, Transaction, TransactionKind, TransactionStatus};
use crate::domain::id::{ApiKeyId, ChargebackId, DiscrepancyId, PaymentId, ReconciliationId};
use crate::domain::money::Money;

/// Names in the API and in the database, each for one variant.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every one.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name in the API and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// Reads the name.
            pub fn parse(text: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

named!(
    /// Why a run was made.
    Purpose {
        /// Somebody asked for it.
        Requested = "requested",
        /// A day is over.
        Daily = "daily",
        /// The service started, or its database turned out to be older than what the service did: what the provider did
        /// since the database's last change is read back. Money waits until it is over.
        Gap = "gap",
        /// Some minutes after a start, when the provider can no longer be working on what came before it.
        Recheck = "recheck",
    }
);

impl Purpose {
    /// Whether transactions of ours that the register does not show count. Those of the gap read what we may not hold yet.
    pub fn looks_for_missing_there(self) -> bool {
        !self.reads_back()
    }

    /// Whether it reads back what the provider did before a start or a restore of the database.
    pub fn reads_back(self) -> bool {
        matches!(self, Purpose::Gap | Purpose::Recheck)
    }
}

named!(
    /// Where a run is.
    RunState {
        /// Under way, or waiting for the provider to answer.
        Running = "running",
        /// Read to its end.
        Completed = "completed",
        /// Given up; `reason` says why.
        Failed = "failed",
    }
);

named!(
    /// What a run does next.
    Phase {
        /// Reads the register, page by page.
        Register = "register",
        /// Asks about transactions of ours that the register did not show.
        Unseen = "unseen",
        /// Asks about money that is held: what becomes of it later stands in the register under the day it was held.
        Holds = "holds",
        /// Reads the list of chargebacks.
        Chargebacks = "chargebacks",
    }
);

/// One comparison with the register.
#[derive(Debug, Clone)]
pub struct Reconciliation {
    /// Our id.
    pub id: ReconciliationId,
    /// Why it was made.
    pub purpose: Purpose,
    /// For daily runs: the UTC day, `2026-11-24`.
    pub day: Option<String>,
    /// First moment of the window.
    pub from: Timestamp,
    /// End of the window, not in it.
    pub to: Timestamp,
    /// The API key or the worker that made it.
    pub requested_by: String,
    /// Where it is.
    pub state: RunState,
    /// What it does next.
    pub phase: Phase,
    /// The page to read next, from 1.
    pub next_page: i64,
    /// The place of the last record of ours that [`Phase::Unseen`] or [`Phase::Holds`] has dealt with.
    pub position: Option<String>,
    /// Transactions of the register that were compared.
    pub compared: i64,
    /// Items that could not be read: while there are any, nothing counts as missing there.
    pub unreadable: i64,
    /// Transactions found that name payments or refunds of ours which this database does not hold.
    pub lost: i64,
    /// Questions about single transactions.
    pub asked: i64,
    /// Chargebacks that were new.
    pub chargebacks: i64,
    /// Tries in a row that came to nothing.
    pub failures: i32,
    /// Why the last try came to nothing, or what could not be done.
    pub reason: Option<String>,
    /// While running: when somebody goes on with it.
    pub due_at: Option<Timestamp>,
    /// When it was made.
    pub started_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
}

/// What a run did to discrepancies.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Opened by it, by kind; those that were booked at once are among them.
    pub opened: Vec<(DiscrepancyKind, i64)>,
    /// Of these: booked at once.
    pub booked: i64,
    /// Opened by earlier runs and gone now.
    pub closed: i64,
}

named!(
    /// What our books and the register do not agree about.
    DiscrepancyKind {
        /// The register holds a transaction that we do not.
        MissingHere = "missing_here",
        /// We hold a transaction that the provider does not know.
        MissingThere = "missing_there",
        /// The sums differ.
        AmountMismatch = "amount_mismatch",
        /// The currencies differ.
        CurrencyMismatch = "currency_mismatch",
        /// We hold it to be further than the register does.
        StatusMismatch = "status_mismatch",
        /// A second transaction with money for one payment.
        Duplicate = "duplicate",
        /// A refund of no request that we hold. An open one holds up further refunds of its payment.
        RefundInCabinet = "refund_in_cabinet",
    }
);

named!(
    /// How a discrepancy ended.
    Resolution {
        /// What was missing here was booked.
        Booked = "booked",
        /// A later run found both in agreement.
        Agrees = "agrees",
        /// A later run found it changed; a new discrepancy tells of the change.
        Superseded = "superseded",
        /// A person settled it.
        Operator = "operator",
    }
);

/// What one of the two books says of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Where it is.
    pub status: TransactionStatus,
    /// Its sum; absent where it is in a currency that we do not know.
    pub amount: Option<Money>,
}

impl Side {
    /// Whether money is held, or was taken or given back.
    pub fn has_money(&self) -> bool {
        matches!(self.status, TransactionStatus::Authorized | TransactionStatus::Completed)
    }

    /// What the register says.
    pub fn of_fact(fact: &Fact) -> Side {
        Side { status: fact.status, amount: fact.amount }
    }

    /// What we hold.
    pub fn of_transaction(transaction: &Transaction) -> Side {
        Side { status: transaction.status, amount: Some(transaction.amount) }
    }
}

/// How and when a discrepancy ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// How.
    pub resolution: Resolution,
    /// The run or, for [`Resolution::Operator`], the API key.
    pub by: String,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// That somebody wants a loss closed: another operator has to do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The API key.
    pub by: ApiKeyId,
    /// Why, in the operator's words; of a closed one they stand in the closing.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Something that our books and the register do not agree about.
#[derive(Debug, Clone)]
pub struct Discrepancy {
    /// Our id.
    pub id: DiscrepancyId,
    /// What it is.
    pub kind: DiscrepancyKind,
    /// The provider's number.
    pub transaction_id: i64,
    /// Our payment, where there is one.
    pub payment_id: Option<PaymentId>,
    /// The payment of ours that the provider's record names; it may be lost.
    pub named_payment_id: Option<String>,
    /// The bill, as the provider has it.
    pub invoice_id: Option<String>,
    /// It names a payment or a refund of ours that this database does not hold.
    pub lost: bool,
    /// What we hold.
    pub ours: Option<Side>,
    /// What the register says.
    pub theirs: Option<Side>,
    /// The run that found it.
    pub opened_by: ReconciliationId,
    /// When.
    pub opened_at: Timestamp,
    /// Who proposed to close it: of a loss, which takes two operators.
    pub proposal: Option<Proposal>,
    /// How it ended, if it did.
    pub closing: Option<Closing>,
}

/// A payment that the payer's bank takes back (contract section 4.14).
#[derive(Debug, Clone)]
pub struct Chargeback {
    /// Our id.
    pub id: ChargebackId,
    /// The provider's number, operation, kind, transaction and sum.
    pub claim: Claim,
    /// Our payment, where the transaction is known.
    pub payment_id: Option<PaymentId>,
    /// The run that found it.
    pub found_by: ReconciliationId,
    /// When.
    pub found_at: Timestamp,
}

/// One line of the provider's list of chargebacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The provider's number.
    pub provider_id: String,
    /// `Presentment` or `Representment`; other words may come.
    pub operation: String,
    /// `Chargeback` or `Fee`; other words may come.
    pub kind: String,
    /// The payment's transaction.
    pub transaction_id: i64,
    /// How much; absent where it is in a currency that we do not know.
    pub amount: Option<Money>,
    /// When it was raised.
    pub raised_at: Option<Timestamp>,
}

impl Claim {
    /// Whether money is being taken back. What we know to be no such thing, a fee or the answer to an earlier claim, is
    /// recorded only; words that we do not know count as a claim.
    pub fn takes_money_back(&self) -> bool {
        self.operation != "Representment" && self.kind != "Fee"
    }
}

/// Whether the register tells something of a transaction that we did not know: a state further on, the refund of ours that
/// it is. Details of the card alone are not worth a change.
pub fn is_news(transaction: &Transaction, fact: &Fact) -> bool {
    fact.status > transaction.status || (transaction.refund_id.is_none() && fact.refund_id.is_some())
}

/// Whether the register tells the accountant something of an outcome that we know: a fee, a payout, another business day.
pub fn is_news_for_the_accountant(transaction: &Transaction, fact: &Fact) -> bool {
    let (known, told) = (transaction.settlement, fact.settlement);
    if fact.status != transaction.status {
        return false;
    }
    let other_day = match (known.moved_at, told.moved_at) {
        // We hear of an outcome when it is there: of two moments the earlier one holds.
        (Some(known), Some(told)) => told < known && BusinessDay::of(known) != BusinessDay::of(told),
        _ => false,
    };
    let differs = |known: Option<i64>, told: Option<i64>| told.is_some() && told != known;
    other_day
        || differs(known.fee, told.fee)
        || differs(known.payout, told.payout)
        || (told.payout_at.is_some() && told.payout_at != known.payout_at)
}

/// What a transaction that we hold and the register's record of it do not agree about. `asked_for` is the payment's sum.
/// `asked_at` is when the register was asked: what we learned after that is newer than what it says.
pub fn disagreement(
    transaction: &Transaction,
    fact: &Fact,
    asked_for: Money,
    asked_at: Timestamp,
) -> Option<DiscrepancyKind> {
    let with_money = fact.status >= TransactionStatus::Authorized;
    if let Some(told) = fact.amount.filter(|_| with_money) {
        let is_payment = transaction.kind == TransactionKind::Payment;
        let other_currency = |money: Money| money.currency != told.currency;
        if other_currency(transaction.amount) || (is_payment && other_currency(asked_for)) {
            return Some(DiscrepancyKind::CurrencyMismatch);
        }
        // Whether the register shows what was held or what was taken of it is not known: either agrees.
        let same_sum = told.minor == transaction.amount.minor || (is_payment && told.minor == transaction.captured);
        if !same_sum || (is_payment && transaction.amount.minor != asked_for.minor) {
            return Some(DiscrepancyKind::AmountMismatch);
        }
    }
    (transaction.status > fact.status && transaction.updated_at < asked_at).then_some(DiscrepancyKind::StatusMismatch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::{Card, Settlement};
    use crate::domain::id::TransactionRecordId;
    use crate::domain::money::Currency;

    const ASKED_FOR: Money = Money { minor: 1000, currency: Currency::KZT };

    fn held(status: TransactionStatus, amount: Money, captured: i64) -> Transaction {
        Transaction {
            id: TransactionRecordId::from_stored("trn_1".to_owned()),
            transaction_id: 1,
            kind: TransactionKind::Payment,
            status,
            amount,
            captured,
            parent_transaction_id: None,
            refund_id: None,
            reason_code: None,
            card: Card::default(),
            settlement: Settlement::default(),
            created_at: Timestamp::from_micros(10),
            updated_at: Timestamp::from_micros(10),
        }
    }

    fn told(status: TransactionStatus, amount: Option<Money>) -> Fact {
        Fact {
            transaction_id: 1,
            kind: TransactionKind::Payment,
            status,
            amount,
            is_capture: false,
            parent_transaction_id: None,
            reason_code: None,
            card: Card::default(),
            invoice_id: None,
            payment_id: None,
            refund_id: None,
            account_id: None,
            subscription_id: None,
            test_mode: None,
            made_at: None,
            settlement: Settlement::default(),
        }
    }

    #[test]
    fn names_round_trip() {
        for kind in DiscrepancyKind::ALL {
            assert_eq!(DiscrepancyKind::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(Purpose::parse("other"), None);
    }

    #[test]
    fn tells_what_differs() {
        use DiscrepancyKind::{AmountMismatch, CurrencyMismatch, StatusMismatch};
        use TransactionStatus::{Authorized, Completed, Declined};
        let kzt = |minor| Money::new(minor, Currency::KZT);
        let rub = Money::new(1000, Currency::parse("RUB").unwrap());
        let later = Timestamp::from_micros(20);
        let cases = [
            (held(Completed, kzt(1000), 1000), told(Completed, Some(kzt(1000))), None),
            (held(Completed, kzt(1000), 600), told(Completed, Some(kzt(1000))), None),
            (held(Completed, kzt(1000), 600), told(Completed, Some(kzt(600))), None),
            (held(Completed, kzt(1000), 600), told(Completed, Some(kzt(700))), Some(AmountMismatch)),
            (held(Completed, kzt(900), 900), told(Completed, Some(kzt(900))), Some(AmountMismatch)),
            (held(Completed, kzt(1000), 1000), told(Completed, Some(rub)), Some(CurrencyMismatch)),
            (held(Completed, rub, 1000), told(Completed, Some(rub)), Some(CurrencyMismatch)),
            (held(Completed, kzt(1000), 1000), told(Completed, None), None),
            (held(Completed, kzt(1000), 1000), told(Authorized, Some(kzt(1000))), Some(StatusMismatch)),
            (held(Declined, kzt(1000), 0), told(Declined, Some(kzt(900))), None),
            (held(Authorized, kzt(1000), 0), told(Completed, Some(kzt(1000))), None),
        ];
        for (transaction, fact, expected) in cases {
            assert_eq!(disagreement(&transaction, &fact, ASKED_FOR, later), expected, "{transaction:?} {fact:?}");
        }
        // What we learned after the register was asked is no disagreement.
        let (transaction, fact) = (held(Completed, kzt(1000), 1000), told(Authorized, Some(kzt(1000))));
        assert_eq!(disagreement(&transaction, &fact, ASKED_FOR, Timestamp::from_micros(10)), None);
    }
}

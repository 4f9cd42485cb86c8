//! A payment: what the site asked for and what became of it.

use crate::clock::Timestamp;
use crate::domain::id::{ApiKeyId, OperationId, PaymentId};
use crate::domain::money::{Currency, Money};
use crate::domain::state::{Certainty, Status};
use crate::error::{Error, Result};

/// When the money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureMode {
    /// At once (one stage).
    Automatic,
    /// Held first, taken by a capture (two stages).
    Manual,
}

impl CaptureMode {
    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            CaptureMode::Automatic => "automatic",
            CaptureMode::Manual => "manual",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<CaptureMode> {
        [CaptureMode::Automatic, CaptureMode::Manual].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// The language of texts that the payer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Kazakh.
    Kk,
    /// Russian.
    Ru,
    /// English.
    En,
}

impl Language {
    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Kk => "kk",
            Language::Ru => "ru",
            Language::En => "en",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Language> {
        [Language::Kk, Language::Ru, Language::En].into_iter().find(|language| language.as_str() == text)
    }

    /// The provider's `CultureName` (contract section 4.22).
    pub fn culture(self) -> &'static str {
        match self {
            Language::Kk => "kk-KZ",
            Language::Ru => "ru-RU",
            Language::En => "en-US",
        }
    }
}

/// How the payer pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The provider's window on the site.
    Widget,
    /// Card data encrypted in the browser by the provider's script.
    CardCryptogram,
}

impl Method {
    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Widget => "widget",
            Method::CardCryptogram => "card_cryptogram",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Method> {
        [Method::Widget, Method::CardCryptogram].into_iter().find(|method| method.as_str() == text)
    }

    /// Whether the payer may try again in the same payment: then a declined attempt does not end it.
    pub fn is_hosted(self) -> bool {
        match self {
            Method::Widget => true,
            Method::CardCryptogram => false,
        }
    }
}

/// Who pays: personal data, kept encrypted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payer {
    /// The site's id of the payer.
    pub account_id: Option<String>,
    /// Address for the receipt.
    pub email: Option<String>,
    /// With leading `+`.
    pub phone: Option<String>,
    /// As the payer gave it.
    pub name: Option<String>,
    /// Where the payer's browser is; the provider requires it for card data.
    pub ip_address: Option<String>,
}

/// The metadata of a payment that has none, or none to be shown.
pub const NO_METADATA: &str = "{}";

/// Says only that there is one: personal data does not go to logs.
impl std::fmt::Debug for Payer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Payer(..)")
    }
}

/// What the payer's browser needs for 3-D Secure (contract section 6).
#[derive(Clone, PartialEq, Eq)]
pub struct ThreeDs {
    /// The provider's transaction that waits; goes to the bank as `MD`.
    pub transaction_id: i64,
    /// The bank's page.
    pub acs_url: String,
    /// The request for the bank, opaque.
    pub pa_req: String,
}

impl std::fmt::Debug for ThreeDs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ThreeDs({})", self.transaction_id)
    }
}

/// Amounts of a payment, minor units of its currency. Derived from its transactions and refunds, see
/// [`crate::domain::evidence::derive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Held by the bank; stays after the capture.
    pub authorized: i64,
    /// Taken.
    pub captured: i64,
    /// Given back.
    pub refunded: i64,
    /// Asked to be given back, outcome not known yet.
    pub refund_pending: i64,
    /// What the provider gave back beyond what was left, for example in its cabinet while a refund of ours ran.
    pub refund_excess: i64,
}

impl Sums {
    /// What may still be given back.
    pub fn refundable(self) -> i64 {
        (self.captured - self.refunded - self.refund_pending).max(0)
    }
}

/// A payment as it stands.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Our id.
    pub id: PaymentId,
    /// Number of the last row of its history; every change raises it by one.
    pub sequence: i64,
    /// Where it is.
    pub status: Status,
    /// How sure that is.
    pub certainty: Certainty,
    /// Until when the provider still repeats the answer that was lost.
    pub decide_by: Option<Timestamp>,
    /// What is to be paid.
    pub amount: Money,
    /// What was held, taken, given back.
    pub sums: Sums,
    /// The site's number of the bill.
    pub invoice_id: String,
    /// What the payer reads.
    pub description: String,
    /// When the money is taken.
    pub capture: CaptureMode,
    /// Of the payer's texts.
    pub language: Language,
    /// How the payer pays.
    pub method: Method,
    /// Where the payer's browser goes at the end.
    pub return_url: Option<String>,
    /// The site's own data, a JSON object as text.
    pub metadata: String,
    /// Personal data, opened.
    pub payer: Payer,
    /// While the payer has to go to their bank.
    pub three_ds: Option<ThreeDs>,
    /// Code of the last thing a person should look at; none when nothing came up since a person did.
    pub attention: Option<String>,
    /// Marks of all evidence that has called a person: the same evidence calls once.
    pub attention_raised: Vec<String>,
    /// Whether the provider's terminal was in test mode; unknown before its first transaction.
    pub test_mode: Option<bool>,
    /// The first key of the line of API keys that created it; which key did is in the history.
    pub created_by: ApiKeyId,
    /// The payer's data was erased: `payer`, the texts and the return address are gone for good.
    pub erased: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Until when it can be paid.
    pub expires_at: Timestamp,
}

impl Payment {
    /// An amount in this payment's currency.
    pub fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.currency())
    }

    /// An amount of a request has to be in the payment's currency.
    ///
    /// # Errors
    /// [`Error::Invalid`] at `pointer`.
    pub fn refuse_other_currency(&self, pointer: &str, amount: Option<Money>) -> Result<()> {
        match amount.filter(|amount| amount.currency != self.currency()) {
            Some(_) => {
                Err(Error::invalid(pointer, "currency_differs", format!("the payment is in {}", self.currency())))
            }
            None => Ok(()),
        }
    }

    /// The currency of every amount of this payment.
    pub fn currency(&self) -> Currency {
        self.amount.currency
    }
}

/// What is being asked of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Take money by card data (`cards/charge`).
    Charge,
    /// Hold money by card data (`cards/auth`).
    Authorize,
    /// Finish 3-D Secure (`cards/post3ds`).
    ThreeDs,
    /// Take held money (`confirm`).
    Capture,
    /// Release held money (`void`).
    Void,
    /// Give money back (`refund`).
    Refund,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [OperationKind; 6] = [
        OperationKind::Charge,
        OperationKind::Authorize,
        OperationKind::ThreeDs,
        OperationKind::Capture,
        OperationKind::Void,
        OperationKind::Refund,
    ];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            OperationKind::Charge => "charge",
            OperationKind::Authorize => "authorize",
            OperationKind::ThreeDs => "three_ds",
            OperationKind::Capture => "capture",
            OperationKind::Void => "void",
            OperationKind::Refund => "refund",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<OperationKind> {
        OperationKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether a repeat under the same `X-Request-ID` needs nothing that we do not keep. Card data and the bank's answer
    /// are never kept, so those are settled by lookup only.
    pub fn can_be_asked_again(self) -> bool {
        match self {
            OperationKind::Capture | OperationKind::Void | OperationKind::Refund => true,
            OperationKind::Charge | OperationKind::Authorize | OperationKind::ThreeDs => false,
        }
    }
}

/// Where one call to the provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationState {
    /// Written down, about to be sent or under way.
    Started,
    /// The outcome is proven, by the answer or by other evidence; or two operators ended it without.
    Settled,
    /// It surely never left us.
    NotSent,
    /// Sent or maybe sent; the answer was lost.
    Undetermined,
}

impl OperationState {
    const ALL: [OperationState; 4] =
        [OperationState::Started, OperationState::Settled, OperationState::NotSent, OperationState::Undetermined];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            OperationState::Started => "started",
            OperationState::Settled => "settled",
            OperationState::NotSent => "not_sent",
            OperationState::Undetermined => "undetermined",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<OperationState> {
        OperationState::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether its effect may still come.
    pub fn is_open(self) -> bool {
        matches!(self, OperationState::Started | OperationState::Undetermined)
    }
}

/// One attempt of one operation at the provider, written down before it is sent.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Our id; sent as `X-Request-ID`.
    pub id: OperationId,
    /// The payment it belongs to.
    pub payment_id: PaymentId,
    /// The refund it carries out.
    pub refund_id: Option<crate::domain::id::RefundId>,
    /// What is asked.
    pub kind: OperationKind,
    /// The provider's transaction it acts on, where there is one already.
    pub transaction_id: Option<i64>,
    /// Minor units, for captures and refunds.
    pub amount: Option<i64>,
    /// Where it is.
    pub state: OperationState,
    /// When it was written down.
    pub started_at: Timestamp,
    /// How often a lookup looked for its outcome.
    pub lookups: i32,
    /// When a repeat of it was refused, or when the clock was found set back; nothing was sent for it since.
    pub refused_at: Option<Timestamp>,
}

/// How far two clocks may differ, seconds; what differs more was set.
pub const CLOCKS_DIFFER_S: i64 = 60;
/// A call whose clock was set back is looked for over so many seconds.
const LOOKED_FOR_S: i64 = 86_400;

impl Operation {
    /// The moment that the call is no younger than, by the clock as it is now.
    pub fn sent_by(&self) -> Timestamp {
        self.refused_at.map_or(self.started_at, |refused_at| refused_at.min(self.started_at))
    }

    /// The moment that the call is no older than: earlier than it says where the clock was set back since.
    pub fn not_before(&self) -> Timestamp {
        if self.sent_by() < self.started_at { self.sent_by().plus_seconds(-LOOKED_FOR_S) } else { self.started_at }
    }
}

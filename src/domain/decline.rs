//! Why a payment was declined, and what the payer is told about it.
//!
//! The provider names the reason by a number, the `ReasonCode` (CloudPayments documentation, reason
//! codes). [`REASONS`] lists every known number and puts it into one of eleven categories; the
//! payer's texts, the place to call and the public `category` field hang on the category alone. A
//! number that is not listed is [`DeclineCategory::Other`], so a new code of the provider never
//! stops a payment's answer.
//!
//! To add a code, add one row to the table, in order.

use std::{error, fmt, str::FromStr};

use DeclineCategory::{
    CardRestricted, ExpiredCard, FraudSuspected, IncorrectCardData, InsufficientFunds, IssuerUnavailable,
    LimitExceeded, OnlinePaymentsNotAllowed, Other, ProcessingError, ThreeDsFailed,
};

/// What a decline means for the payer; groups the codes of the CloudPayments documentation, reason
/// codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeclineCategory {
    /// The card is not meant for internet payments, or they are switched off.
    OnlinePaymentsNotAllowed,
    /// The account behind the card holds too little money.
    InsufficientFunds,
    /// Card number, date or code is wrong.
    IncorrectCardData,
    /// The card has expired, or its date was entered wrongly.
    ExpiredCard,
    /// The bank refuses this card, often without a reason; includes lost and stolen cards.
    CardRestricted,
    /// A limit on the amount or the number of operations was reached.
    LimitExceeded,
    /// The bank or the acquirer suspects fraud.
    FraudSuspected,
    /// The payer did not pass 3-D Secure, or it was unavailable.
    ThreeDsFailed,
    /// The issuing bank did not answer.
    IssuerUnavailable,
    /// A fault at the acquirer, the provider or in our own answer to Check.
    ProcessingError,
    /// Everything else, including codes that we do not know.
    Other,
}

impl DeclineCategory {
    /// Every category of the CloudPayments documentation, reason codes.
    pub const ALL: [Self; 11] = [
        OnlinePaymentsNotAllowed,
        InsufficientFunds,
        IncorrectCardData,
        ExpiredCard,
        CardRestricted,
        LimitExceeded,
        FraudSuspected,
        ThreeDsFailed,
        IssuerUnavailable,
        ProcessingError,
        Other,
    ];

    /// The stable name used in the API and in storage; [`FromStr`] reads it back.
    /// Our own grouping of the CloudPayments documentation, reason codes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OnlinePaymentsNotAllowed => "online_payments_not_allowed",
            InsufficientFunds => "insufficient_funds",
            IncorrectCardData => "incorrect_card_data",
            ExpiredCard => "expired_card",
            CardRestricted => "card_restricted",
            LimitExceeded => "limit_exceeded",
            FraudSuspected => "fraud_suspected",
            ThreeDsFailed => "three_ds_failed",
            IssuerUnavailable => "issuer_unavailable",
            ProcessingError => "processing_error",
            Other => "other",
        }
    }

    /// Whom the payer should call about this decline (CloudPayments documentation, reason codes).
    #[must_use]
    pub const fn contact(self) -> Contact {
        match self {
            OnlinePaymentsNotAllowed
            | InsufficientFunds
            | IncorrectCardData
            | ExpiredCard
            | CardRestricted
            | LimitExceeded
            | FraudSuspected
            | ThreeDsFailed
            | IssuerUnavailable => Contact::IssuingBank,
            ProcessingError | Other => Contact::Support,
        }
    }

    /// What happened and what to do, for the payer (after the CloudPayments documentation, reason
    /// codes).
    ///
    /// A restricted card and a suspicion of fraud share one text, so that nobody can tell from it
    /// that a card is reported lost or stolen or that fraud is suspected.
    #[must_use]
    pub const fn texts(self) -> Texts {
        match self {
            OnlinePaymentsNotAllowed => Texts {
                kk: "Бұл карта интернет арқылы төлеуге арналмаған немесе картада интернет-төлемдер \
                     өшірілген. Картаны шығарған банкке хабарласыңыз немесе басқа картамен \
                     төлеңіз.",
                ru: "Карта не предназначена для оплаты через интернет, или такие платежи по ней \
                     отключены. Обратитесь в банк, выпустивший карту, или оплатите другой картой.",
                en: "This card is not meant for internet payments, or they are switched off for \
                     it. Please contact the bank that issued the card or pay with another card.",
            },
            InsufficientFunds => Texts {
                kk: "Картада бұл төлемге қаражат жеткіліксіз. Картаңызға ақша салып, қайталап \
                     көріңіз немесе басқа картамен төлеңіз.",
                ru: "На карте недостаточно средств для оплаты. Пополните карту и попробуйте снова \
                     или оплатите другой картой.",
                en: "There are not enough funds on the card for this payment. Please top up the \
                     card and try again, or pay with another card.",
            },
            IncorrectCardData => Texts {
                kk: "Карта деректері қате енгізілген. Карта нөмірін, жарамдылық мерзімін және \
                     CVV/CVC кодын тексеріп, қайталап көріңіз немесе басқа картамен төлеңіз.",
                ru: "Данные карты введены неверно. Проверьте номер карты, срок действия и код \
                     CVV/CVC и попробуйте снова или оплатите другой картой.",
                en: "The card details were entered incorrectly. Please check the card number, \
                     expiry date and CVV/CVC code and try again, or pay with another card.",
            },
            ExpiredCard => Texts {
                kk: "Картаның жарамдылық мерзімі өтіп кеткен немесе қате енгізілген. Мерзімді \
                     тексеріңіз немесе басқа картамен төлеңіз.",
                ru: "Срок действия карты истёк или введён неверно. Проверьте срок или оплатите \
                     другой картой.",
                en: "The card has expired, or its expiry date was entered incorrectly. Please \
                     check the date or pay with another card.",
            },
            CardRestricted | FraudSuspected => Texts {
                kk: "Банк осы картамен төлеуді мақұлдамады. Картаны шығарған банкке хабарласыңыз \
                     немесе басқа картамен төлеңіз.",
                ru: "Банк отклонил платёж по этой карте. Обратитесь в банк, выпустивший карту, или \
                     оплатите другой картой.",
                en: "The bank declined the payment with this card. Please contact the bank that \
                     issued the card or pay with another card.",
            },
            LimitExceeded => Texts {
                kk: "Төлем сомасы немесе операциялар саны лимиттен асып кетті. Лимитті картаны \
                     шығарған банктен нақтылаңыз немесе басқа картамен төлеңіз.",
                ru: "Превышен лимит по сумме или числу операций. Уточните лимит в банке, \
                     выпустившем карту, или оплатите другой картой.",
                en: "A limit on the amount or number of payments has been exceeded. Please check \
                     the limit with the bank that issued the card or pay with another card.",
            },
            ThreeDsFailed => Texts {
                kk: "Төлемді 3-D Secure арқылы растау мүмкін болмады. Қайталап көріңіз. Тағы да \
                     расталмаса, картаны шығарған банкке хабарласыңыз немесе басқа картамен \
                     төлеңіз.",
                ru: "Не удалось подтвердить платёж через 3-D Secure. Попробуйте ещё раз. Если \
                     снова не получится, обратитесь в банк, выпустивший карту, или оплатите другой \
                     картой.",
                en: "The payment could not be confirmed with 3-D Secure. Please try again. If it \
                     fails again, contact the bank that issued the card or pay with another card.",
            },
            IssuerUnavailable => Texts {
                kk: "Картаны шығарған банк қазір жауап бермей тұр. Кейінірек қайталап көріңіз \
                     немесе басқа картамен төлеңіз.",
                ru: "Банк, выпустивший карту, сейчас не отвечает. Попробуйте позже или оплатите \
                     другой картой.",
                en: "The bank that issued the card is not responding right now. Please try again \
                     later or pay with another card.",
            },
            ProcessingError => Texts {
                kk: "Техникалық қатеге байланысты төлем өтпеді. Кейінірек қайталап көріңіз. Қате \
                     қайталанса, қолдау қызметіне хабарласыңыз.",
                ru: "Платёж не прошёл из-за технической ошибки. Попробуйте позже. Если ошибка \
                     повторится, обратитесь в службу поддержки.",
                en: "The payment did not go through because of a technical error. Please try again \
                     later. If the error happens again, contact support.",
            },
            Other => Texts {
                kk: "Төлем өтпеді. Қолдау қызметіне хабарласыңыз немесе төлемді басқа картамен \
                     қайта бастаңыз.",
                ru: "Платёж не прошёл. Обратитесь в службу поддержки или начните оплату заново с \
                     другой картой.",
                en: "The payment did not go through. Please contact support or start the payment \
                     again with another card.",
            },
        }
    }
}

impl FromStr for DeclineCategory {
    type Err = UnknownCategory;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|category| category.as_str() == text).ok_or(UnknownCategory)
    }
}

/// The text names none of our groups of the CloudPayments documentation, reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCategory;

impl fmt::Display for UnknownCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown decline category")
    }
}

impl error::Error for UnknownCategory {}

/// Whom the payer should call; follows the advice of the CloudPayments documentation, reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contact {
    /// The bank that issued the card.
    IssuingBank,
    /// The support contacts from settings.
    Support,
}

impl Contact {
    /// The stable name used in the API (after the CloudPayments documentation, reason codes).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IssuingBank => "issuing_bank",
            Self::Support => "support",
        }
    }
}

/// One message for the payer in three languages; says in our words what the CloudPayments
/// documentation, reason codes, advises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Texts {
    /// Kazakh, in Cyrillic.
    pub kk: &'static str,
    /// Russian.
    pub ru: &'static str,
    /// English.
    pub en: &'static str,
}

/// One row of the CloudPayments documentation, reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `ReasonCode` of the provider's answers and Fail notifications.
    pub code: i32,
    /// Name in the documentation.
    pub name: &'static str,
    /// `Reason` as the API spells it. Most spellings are derived from the name and not confirmed,
    /// and two codes share one: show it, never decide by it.
    pub api_reason: Option<&'static str>,
    /// The group that the payer's text and the contact depend on.
    pub category: DeclineCategory,
    /// The payer may try the same card again later. `false` where the documentation leaves it open
    /// (5006, 5019, 5204, 5303).
    pub retryable: bool,
}

/// What a code means to us; the result of [`classify`] (CloudPayments documentation, reason codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    /// The code as received.
    pub code: i32,
    /// [`DeclineCategory::Other`] for a code that is not listed.
    pub category: DeclineCategory,
    /// The payer may try the same card again later; `false` for a code that is not listed.
    pub retryable: bool,
}

/// The listed row of a code (CloudPayments documentation, reason codes).
///
/// 0, "Approved", is no decline and therefore not listed.
#[must_use]
pub fn lookup(code: i32) -> Option<&'static Reason> {
    let index = REASONS.binary_search_by_key(&code, |reason| reason.code).ok()?;
    REASONS.get(index)
}

/// The meaning of any code of a declined transaction (CloudPayments documentation, reason codes).
#[must_use]
pub fn classify(code: i32) -> Classification {
    let (category, retryable) = lookup(code).map_or((Other, false), |reason| (reason.category, reason.retryable));
    Classification { code, category, retryable }
}

/// What the provider made of our answer to its Check notification (CloudPayments documentation,
/// reason codes 3001 to 3008).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckReport {
    /// We refused the payment with this `code`: 10 invoice, 11 account, 12 amount, 13 not payable,
    /// 20 expired.
    Refused(i32),
    /// Our answer did not parse, or its code is none of the above.
    Unreadable,
    /// Our answering service was unavailable.
    Unavailable,
    /// The provider could not connect to us, or got 404, 504 or 508.
    NotReached,
}

/// Reads a decline back into our own Check answer; `None` when the reason lies elsewhere
/// (CloudPayments documentation, reason codes 3001 to 3008).
#[must_use]
pub const fn check_report(code: i32) -> Option<CheckReport> {
    match code {
        3001 => Some(CheckReport::Refused(10)),
        3002 => Some(CheckReport::Refused(11)),
        3003 => Some(CheckReport::Refused(12)),
        3004 => Some(CheckReport::Refused(20)),
        3005 => Some(CheckReport::Unreadable),
        3006 => Some(CheckReport::Unavailable),
        3007 => Some(CheckReport::NotReached),
        3008 => Some(CheckReport::Refused(13)),
        _ => None,
    }
}

/// The same card may be tried again later.
const SOFT: bool = true;
/// The same card should not be tried again, or the documentation does not say.
const HARD: bool = false;

/// Keeps the table at one row a line: code, `SOFT` or `HARD`, category, name, `Reason` of the API.
macro_rules! reasons {
    ($($code:literal $retryable:ident $category:ident $name:literal $($api_reason:literal)?;)*) => {
        &[$(Reason {
            code: $code,
            name: $name,
            api_reason: reasons!(@api_reason $($api_reason)?),
            category: $category,
            retryable: $retryable,
        }),*]
    };
    (@api_reason) => { None };
    (@api_reason $text:literal) => { Some($text) };
}

/// Every code but 0, sorted by code (CloudPayments documentation, reason codes).
pub static REASONS: &[Reason] = reasons! {
    // The answer to our own Check notification, reported back.
    3001 HARD Other "InvalidInvoiceId" "InvalidInvoiceId";
    3002 HARD Other "InvalidAccountId" "InvalidAccountId";
    3003 HARD Other "InvalidAmount" "InvalidAmount";
    3004 HARD Other "OutOfDate" "OutOfDate";
    3005 SOFT ProcessingError "FormatError" "FormatError";
    3006 SOFT ProcessingError "Unavailable" "CheckResponseServiceUnavailable";
    3007 SOFT ProcessingError "UnableToConnect" "UnableToConnect";
    3008 HARD Other "NotAccepted" "NotAccepted";
    // The issuing bank, the card network, the acquirer or the provider.
    5001 HARD CardRestricted "Refer To Card Issuer" "ReferToCardIssuer";
    5003 HARD OnlinePaymentsNotAllowed "Invalid Merchant" "InvalidMerchant";
    5004 HARD CardRestricted "Pick Up Card" "PickUpCard";
    5005 HARD CardRestricted "Do Not Honor" "DoNotHonor";
    5006 HARD IncorrectCardData "Error" "Error";
    5007 HARD CardRestricted "Pick Up Card Special Conditions" "PickUpCardSpecialConditions";
    5012 HARD OnlinePaymentsNotAllowed "Invalid Transaction" "InvalidTransaction";
    5013 HARD LimitExceeded "Amount Error" "AmountError";
    5014 HARD IncorrectCardData "Invalid Card Number" "InvalidCardNumber";
    5015 HARD IncorrectCardData "No Such Issuer" "NoSuchIssuer";
    5017 HARD Other "Customer Cancellation" "CustomerCancellation";
    5019 HARD CardRestricted "Transaction Error" "TransactionError";
    5030 SOFT ProcessingError "Format Error" "FormatError";
    5031 HARD CardRestricted "Bank Not Supported By Switch" "BankNotSupportedBySwitch";
    5033 HARD ExpiredCard "Expired Card Pickup" "ExpiredCardPickup";
    5034 HARD FraudSuspected "Suspected Fraud" "SuspectedFraud";
    5036 HARD CardRestricted "Restricted Card" "RestrictedCard";
    5041 HARD CardRestricted "Lost Card" "LostCard";
    5043 HARD CardRestricted "Stolen Card" "StolenCard";
    5051 SOFT InsufficientFunds "Insufficient Funds" "InsufficientFunds";
    5054 HARD ExpiredCard "Expired Card" "ExpiredCard";
    5055 HARD IncorrectCardData "Invalid PIN" "InvalidPin";
    5057 HARD OnlinePaymentsNotAllowed "Transaction Not Permitted" "TransactionNotPermitted";
    5058 HARD OnlinePaymentsNotAllowed
        "Transaction Not Permitted To Card"
        "TransactionNotPermittedToCard";
    5059 HARD FraudSuspected "Suspected Fraud Decline" "SuspectedFraudDecline";
    5061 SOFT LimitExceeded "Exceeds Approval Amount" "ExceedsApprovalAmount";
    5062 HARD CardRestricted "Restricted Card 2" "RestrictedCard2";
    5063 HARD CardRestricted "Security Violation" "SecurityViolation";
    5065 SOFT LimitExceeded "Exceed Withdrawal Frequency" "ExceedWithdrawalFrequency";
    5075 HARD CardRestricted "Exceed PIN Tries" "ExceedPINTries";
    5082 SOFT IncorrectCardData "Incorrect CVV" "IncorrectCVV";
    5091 SOFT IssuerUnavailable "Timeout" "Timeout";
    5092 SOFT IssuerUnavailable "Cannot Reach Network" "CannotReachNetwork";
    5096 SOFT ProcessingError "System Error" "SystemError";
    5113 HARD CardRestricted
        "Gateways do not support the currently selected payment card"
        "GatewaysDoNotSupportTheCurrentlySelectedPaymentCard";
    5204 HARD ProcessingError "Unable To Process" "UnableToProcess";
    5206 SOFT ThreeDsFailed "Authentication failed" "AuthenticationFailed";
    5207 SOFT ThreeDsFailed "Authentication unavailable" "AuthenticationUnavailable";
    // Seen in a client library only; its names are not documented.
    5209 SOFT ThreeDsFailed "3-D Secure unavailable";
    5300 HARD FraudSuspected "Anti Fraud" "AntiFraud";
    5303 HARD LimitExceeded "Acquirer Terminal Limits Exceeded" "AcquirerTerminalLimitsExceeded";
    5761 HARD Other "No Phone" "NoPhone";
    5762 HARD Other "Invalid Phone" "InvalidPhone";
    5763 HARD Other "Different Phones" "DifferentPhones";
    // Faster payments by QR and payouts (not offered in Kazakhstan), saved cards.
    6001 HARD Other "SaveCardRefused" "SaveCardRefused";
    6002 HARD ProcessingError "InvalidErrorCode" "InvalidErrorCode";
    6003 HARD ProcessingError "AgentIdNotExists" "AgentIdNotExists";
    6004 HARD Other "CurrencyNotValid" "CurrencyNotValid";
    6005 HARD ProcessingError "InvalidPaymentLink" "InvalidPaymentLink";
    6006 HARD ProcessingError "AmountCurrencyNotValid" "AmountCurrencyNotValid";
    6007 HARD ProcessingError "InvalidRedirectUrl" "InvalidRedirectUrl";
    6008 HARD ProcessingError "InvalidParamsId" "InvalidParamsId";
    6009 HARD ProcessingError "InvalidTtl" "InvalidTtl";
    6010 HARD Other "SubscriptionNotFound" "SubscriptionNotFound";
    6011 HARD Other "InvalidSubscription" "InvalidSubscription";
    6013 HARD ProcessingError "InvalidRefund" "InvalidRefund";
    6014 HARD ProcessingError "OriginalDetailsIncorrect" "OriginalDetailsIncorrect";
    6015 HARD ProcessingError "TransactionNotFound" "TransactionNotFound";
    6016 HARD ProcessingError "InvalidMemberId" "InvalidMemberId";
    6017 HARD Other "IncorrectMCCategory" "IncorrectMCCategory";
    6021 HARD Other "Receiver Account Error" "ReceiverAccountError";
    6022 HARD Other "Receiver Name Error" "ReceiverNameError";
    6025 HARD Other "CrossTerminalTokenRestriction" "CrossTerminalTokenRestriction";
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert_eq!(REASONS.len(), 71);
        assert!(REASONS.is_sorted_by(|a, b| a.code < b.code));
        assert!(REASONS.iter().all(|row| lookup(row.code) == Some(row)));
    }

    #[test]
    fn a_listed_code_is_found() {
        let row = lookup(5051);
        assert_eq!(row.map(|row| row.name), Some("Insufficient Funds"));
        let spelling = row.and_then(|row| row.api_reason);
        assert_eq!(spelling, Some("InsufficientFunds"));
        let meaning = classify(5051);
        assert_eq!(meaning.category, InsufficientFunds);
        assert!(meaning.retryable);
    }

    #[test]
    fn an_unlisted_code_is_other_and_not_retryable() {
        for code in [i32::MIN, -1, 0, 1, 3000, 5002, 5999, i32::MAX] {
            assert_eq!(lookup(code), None);
            assert_eq!(classify(code).category, Other);
            assert!(!classify(code).retryable);
        }
    }

    #[test]
    fn a_doubtful_retry_is_not_offered() {
        for code in [5006, 5019, 5204, 5303] {
            assert_eq!(lookup(code).map(|row| row.retryable), Some(false));
        }
    }

    #[test]
    fn every_category_is_used_and_its_name_reads_back() {
        for category in DeclineCategory::ALL {
            let is_used = REASONS.iter().any(|row| row.category == category);
            assert!(is_used, "{category:?}");
            assert_eq!(category.as_str().parse(), Ok(category));
        }
        assert_eq!("Other".parse::<DeclineCategory>(), Err(UnknownCategory));
    }

    #[test]
    fn every_text_is_in_its_own_language() {
        let only_kazakh = |letter: char| "әғқңөұүһіӘҒҚҢӨҰҮҺІ".contains(letter);
        let is_cyrillic = |letter: char| ('А'..='ё').contains(&letter);
        for Texts { kk, ru, en } in DeclineCategory::ALL.map(DeclineCategory::texts) {
            for text in [kk, ru, en] {
                assert!(text.ends_with('.') && text.chars().count() < 200, "{text}");
                assert!(!text.contains("  "), "{text}");
            }
            assert!(kk != ru && ru != en && kk != en);
            assert!(kk.contains(only_kazakh), "{kk}");
            assert!(ru.contains(is_cyrillic), "{ru}");
            assert!(!ru.contains(only_kazakh), "{ru}");
            assert!(en.is_ascii(), "{en}");
        }
    }

    #[test]
    fn the_payer_never_reads_of_fraud_or_theft() {
        assert_eq!(FraudSuspected.texts(), CardRestricted.texts());
        let words = "алаяқ ұрла жоғал мошен украд утер утрач fraud stolen lost";
        for Texts { kk, ru, en } in DeclineCategory::ALL.map(DeclineCategory::texts) {
            for text in [kk, ru, en] {
                let is_neutral = words.split(' ').all(|word| !text.contains(word));
                assert!(is_neutral, "{text}");
            }
        }
    }

    #[test]
    fn the_text_and_the_contact_agree() {
        for category in DeclineCategory::ALL {
            let names_support = category.texts().en.contains("support");
            let is_support = category.contact() == Contact::Support;
            assert_eq!(names_support, is_support, "{category:?}");
        }
    }

    #[test]
    fn codes_of_the_3000s_are_our_own_check_answers() {
        for row in REASONS {
            let is_check = (3001..=3008).contains(&row.code);
            assert_eq!(check_report(row.code).is_some(), is_check, "{row:?}");
        }
        assert_eq!(check_report(3004), Some(CheckReport::Refused(20)));
        assert_eq!(check_report(3008), Some(CheckReport::Refused(13)));
    }
}

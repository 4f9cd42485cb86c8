//! Every reason code of the provider, as a table.

use super::DeclineCategory::{
    CardRestricted, ExpiredCard, FraudSuspected, IncorrectCardData, InsufficientFunds, IssuerUnavailable,
    LimitExceeded, OnlinePaymentsNotAllowed, Other, ProcessingError, ThreeDsFailed,
};
use super::Reason;

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

//! `ReasonCode` values with their `Reason` names and a text for the payer.
//!
//! Limits: payer texts are Russian whatever `CultureName` is asked for, and most wordings are this
//! emulator's own; only the codes are a contract.

/// Approved.
pub const APPROVED: u16 = 0;
/// The payer did not pass 3-D Secure.
pub const AUTHENTICATION_FAILED: u16 = 5206;
/// The bank could not run 3-D Secure.
pub const AUTHENTICATION_UNAVAILABLE: u16 = 5207;

/// Code, `Reason`, `CardHolderMessage`.
#[rustfmt::skip]
const REASONS: [(u16, &str, &str); 72] = [
    (0, "Approved", "Оплата успешно проведена"),
    (3001, "InvalidInvoiceId", "Оплата не может быть проведена"),
    (3002, "InvalidAccountId", "Оплата не может быть проведена"),
    (3003, "InvalidAmount", "Оплата не может быть проведена"),
    (3004, "OutOfDate", "Срок оплаты заказа истёк"),
    (3005, "FormatError", "Повторите попытку позже"),
    (3006, "CheckResponseServiceUnavailable", "Повторите попытку позже"),
    (3007, "UnableToConnect", "Повторите попытку позже"),
    (3008, "NotAccepted", "Оплата не может быть проведена"),
    (5001, "ReferToCardIssuer", "Позвоните в свой банк либо заплатите другой картой"),
    (5003, "InvalidMerchant", "Позвоните в свой банк либо заплатите другой картой"),
    (5004, "PickUpCard", "Позвоните в свой банк либо заплатите другой картой"),
    (5005, "DoNotHonor", "Позвоните в свой банк либо заплатите другой картой"),
    (5006, "Error", "Сверьте номер, срок и код карты либо возьмите другую карту"),
    (5007, "PickUpCardSpecialConditions", "Позвоните в свой банк либо заплатите другой картой"),
    (5012, "InvalidTransaction", "Позвоните в свой банк либо заплатите другой картой"),
    (5013, "AmountError", "Проверьте сумму платежа"),
    (5014, "InvalidCardNumber", "Сверьте номер, срок и код карты либо возьмите другую карту"),
    (5015, "NoSuchIssuer", "Сверьте номер, срок и код карты либо возьмите другую карту"),
    (5017, "CustomerCancellation", "Попробуйте другую карту"),
    (5019, "TransactionError", "Позвоните в свой банк либо заплатите другой картой"),
    (5030, "FormatError", "Подождите и попробуйте снова"),
    (5031, "BankNotSupportedBySwitch", "Попробуйте другую карту"),
    (5033, "ExpiredCardPickup", "Позвоните в свой банк либо заплатите другой картой"),
    (5034, "SuspectedFraud", "Позвоните в свой банк либо заплатите другой картой"),
    (5036, "RestrictedCard", "Этой картой платить нельзя, возьмите другую"),
    (5041, "LostCard", "Позвоните в свой банк либо заплатите другой картой"),
    (5043, "StolenCard", "Позвоните в свой банк либо заплатите другой картой"),
    (5051, "InsufficientFunds", "Недостаточно средств на карте"),
    (5054, "ExpiredCard", "Сверьте номер, срок и код карты либо возьмите другую карту"),
    (5055, "InvalidPin", "Попробуйте другую карту"),
    (5057, "TransactionNotPermitted", "Позвоните в свой банк либо заплатите другой картой"),
    (5058, "TransactionNotPermittedToCard", "Позвоните в свой банк либо заплатите другой картой"),
    (5059, "SuspectedFraudDecline", "Позвоните в свой банк либо заплатите другой картой"),
    (5061, "ExceedsApprovalAmount", "Поднимите лимит оплаты в банке или возьмите другую карту"),
    (5062, "RestrictedCard2", "Этой картой платить нельзя, возьмите другую"),
    (5063, "SecurityViolation", "Попробуйте другую карту"),
    (5065, "ExceedWithdrawalFrequency", "Позвоните в свой банк либо заплатите другой картой"),
    (5075, "ExceedPINTries", "Позвоните в свой банк либо заплатите другой картой"),
    (5082, "IncorrectCVV", "Проверьте код с обратной стороны карты"),
    (5091, "Timeout", "Попробуйте позже или заплатите другой картой"),
    (5092, "CannotReachNetwork", "Попробуйте позже или заплатите другой картой"),
    (5096, "SystemError", "Подождите и попробуйте снова"),
    (5113, "GatewaysDoNotSupportTheCurrentlySelectedPaymentCard", "Попробуйте другую карту"),
    (5204, "UnableToProcess", "Позвоните в свой банк либо заплатите другой картой"),
    (5206, "AuthenticationFailed", "3-D Secure авторизация не пройдена"),
    (5207, "AuthenticationUnavailable", "3-D Secure авторизация недоступна"),
    (5209, "ThreeDSecureUnavailable", "Позвоните в свой банк либо заплатите другой картой"),
    (5300, "AntiFraud", "Попробуйте другую карту"),
    (5303, "AcquirerTerminalLimitsExceeded", "Позвоните в свой банк либо заплатите другой картой"),
    (5761, "NoPhone", "Попробуйте другую карту"),
    (5762, "InvalidPhone", "Попробуйте другую карту"),
    (5763, "DifferentPhones", "Попробуйте другую карту"),
    (6001, "SaveCardRefused", "Оплату провести не удалось"),
    (6002, "InvalidErrorCode", "Оплату провести не удалось"),
    (6003, "AgentIdNotExists", "Оплату провести не удалось"),
    (6004, "CurrencyNotValid", "Напишите в поддержку магазина"),
    (6005, "InvalidPaymentLink", "Оплату провести не удалось"),
    (6006, "AmountCurrencyNotValid", "Оплату провести не удалось"),
    (6007, "InvalidRedirectUrl", "Оплату провести не удалось"),
    (6008, "InvalidParamsId", "Оплату провести не удалось"),
    (6009, "InvalidTtl", "Оплату провести не удалось"),
    (6010, "SubscriptionNotFound", "Оплату провести не удалось"),
    (6011, "InvalidSubscription", "Оплату провести не удалось"),
    (6013, "InvalidRefund", "Оплату провести не удалось"),
    (6014, "OriginalDetailsIncorrect", "Оплату провести не удалось"),
    (6015, "TransactionNotFound", "Оплату провести не удалось"),
    (6016, "InvalidMemberId", "Оплату провести не удалось"),
    (6017, "IncorrectMCCategory", "Оплату провести не удалось"),
    (6021, "ReceiverAccountError", "Выплату провести не удалось"),
    (6022, "ReceiverNameError", "Выплату провести не удалось"),
    (6025, "CrossTerminalTokenRestriction", "Оплату провести не удалось"),
];

/// The `Reason` of a code.
pub fn name(code: u16) -> &'static str {
    find(code).map_or("Error", |(_, name, _)| name)
}

/// The `CardHolderMessage` of a code.
pub fn holder_message(code: u16) -> &'static str {
    find(code).map_or("Оплата не может быть проведена", |(_, _, message)| message)
}

fn find(code: u16) -> Option<&'static (u16, &'static str, &'static str)> {
    REASONS.iter().find(|(known, _, _)| *known == code)
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_names() {
        assert_eq!(super::name(5051), "InsufficientFunds");
        assert_eq!(super::name(3006), "CheckResponseServiceUnavailable");
        assert_eq!(super::name(9999), "Error");
    }
}

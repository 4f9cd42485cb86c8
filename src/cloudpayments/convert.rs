//! The provider's words into domain words.

use crate::clock::Timestamp;
use crate::domain::card_data::contains_card_number;
use crate::domain::evidence::{Card, Fact, Settlement, TransactionKind, TransactionStatus};
use crate::domain::money::{Currency, Money};
use crate::domain::register::Claim;

use super::fields::Fields;

/// Longest text of the provider that is passed on.
const MAX_TEXT: usize = 200;

/// What our own data, sent along as `JsonData` and returned as `JsonData` or `Data`, says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OurData {
    /// Our payment.
    pub payment_id: Option<String>,
    /// Our refund.
    pub refund_id: Option<String>,
}

/// Why an item of the provider is not a fact.
#[derive(Debug, PartialEq, Eq)]
pub enum NoFact {
    /// `Type` 2: money that goes to a card; not what this service does.
    Payout,
    /// Lacks what a transaction has, or has a state that we do not know; for the log.
    Unreadable(String),
}

/// Reads the transaction object (contract section 3). `kind_unless_told` is the kind that the method can only answer
/// with, for transactions that do not tell their `Type`.
pub fn transaction(model: &Fields, kind_unless_told: Option<TransactionKind>) -> Result<Fact, NoFact> {
    let unreadable = |reason: &str| NoFact::Unreadable(reason.to_owned());
    let transaction_id = transaction_id(model, "transactionid").ok_or_else(|| unreadable("no TransactionId"))?;
    let kind = match model.text("type") {
        None => kind_unless_told.ok_or_else(|| unreadable("no Type"))?,
        Some("0") => TransactionKind::Payment,
        Some("1") => TransactionKind::Refund,
        Some("2") => return Err(NoFact::Payout),
        Some(_) => return Err(unreadable("a Type that is not known")),
    };
    let status = status(model.text("status")).map_err(NoFact::Unreadable)?;
    let data = our_data(model.json("jsondata"));
    let currency = model.text("currency").and_then(Currency::parse);
    Ok(Fact {
        transaction_id,
        kind,
        status,
        amount: money(model.text("amount"), currency),
        is_capture: false,
        parent_transaction_id: self::transaction_id(model, "originaltransactionid"),
        reason_code: reason_code(model),
        card: card(model),
        invoice_id: model.owned("invoiceid"),
        payment_id: data.payment_id,
        refund_id: data.refund_id,
        account_id: model.owned("accountid"),
        subscription_id: model.owned("subscriptionid"),
        test_mode: model.truth("testmode"),
        made_at: date(model, "createddate"),
        settlement: settlement(model, kind, status, currency),
    })
}

/// What it says for the accountant. Sums are told without a currency: they are taken where the order's currency is the only
/// one that is told.
fn settlement(
    model: &Fields,
    kind: TransactionKind,
    status: TransactionStatus,
    currency: Option<Currency>,
) -> Settlement {
    let moved_at = match (kind, status) {
        (TransactionKind::Payment, TransactionStatus::Completed) => date(model, "confirmdate"),
        (TransactionKind::Refund, TransactionStatus::Completed) => {
            date(model, "confirmdate").or_else(|| date(model, "createddate"))
        }
        (TransactionKind::Payment, TransactionStatus::Declined) => date(model, "createddate"),
        // When a hold was released is not told.
        _ => None,
    };
    Settlement {
        moved_at,
        fee: side_sum(model, "totalfee", currency),
        payout: side_sum(model, "payoutamount", currency),
        payout_at: date(model, "payoutdate"),
    }
}

/// A sum that comes without a currency of its own, minor units.
pub fn side_sum(fields: &Fields, name: &str, currency: Option<Currency>) -> Option<i64> {
    let is_only_one =
        fields.text("paymentcurrency").is_none_or(|charged| currency.is_some_and(|own| own.code() == charged));
    money(fields.text(name), currency.filter(|_| is_only_one)).map(|money| money.minor)
}

/// 2000-01-01T00:00:00Z, microseconds: what lies before is how .NET writes that there is no date.
const FIRST_DATE: i64 = 946_684_800_000_000;

/// A date of the pair `…Date` and `…DateIso`, both UTC (contract section 2.4).
pub fn date(model: &Fields, name: &str) -> Option<Timestamp> {
    let iso = || {
        let text = model.text(&format!("{name}iso"))?.trim_end_matches('Z');
        Timestamp::parse_rfc3339(&format!("{text}Z"))
    };
    model.text(name).and_then(ticks).or_else(iso).filter(|date| date.micros() >= FIRST_DATE)
}

/// When the transaction of a notification was made: `2026-03-02 05:14:07`, UTC (contract section 8.5).
pub fn made_at(fields: &Fields) -> Option<Timestamp> {
    let text = fields.text("datetime")?.trim_end_matches('Z').replacen(' ', "T", 1);
    Timestamp::parse_rfc3339(&format!("{text}Z")).filter(|date| date.micros() >= FIRST_DATE)
}

/// The status by its name (contract section 5). `Created`, `Failed`, `Pending` and new names are not evidence of
/// anything.
fn status(name: Option<&str>) -> Result<TransactionStatus, String> {
    match name {
        Some("Completed") => Ok(TransactionStatus::Completed),
        Some("Authorized") => Ok(TransactionStatus::Authorized),
        Some("Declined") => Ok(TransactionStatus::Declined),
        Some("AwaitingAuthentication") => Ok(TransactionStatus::AwaitingAuthentication),
        Some("Cancelled") => Ok(TransactionStatus::Voided),
        Some(other) => Err(format!("the status {:?} is not known", word(other))),
        None => Err("no Status".to_owned()),
    }
}

/// Reads one item of the list of chargebacks (contract section 4.14); `None` without a number, a transaction or the words
/// that say what it is. The masked card is left out: the payment's transaction has it.
pub fn claim(item: &Fields) -> Option<Claim> {
    Some(Claim {
        provider_id: item.text("chargebackid").and_then(shown_text)?,
        operation: item.text("operation").map(word).filter(|word| !word.is_empty())?,
        kind: item.text("type").map(word).filter(|word| !word.is_empty())?,
        transaction_id: transaction_id(item, "transactionid")?,
        amount: money(item.text("amount"), item.text("currency").and_then(Currency::parse)),
        raised_at: item.text("date").and_then(ticks),
    })
}

/// `/Date(1773964800000)/`: milliseconds since 1970 (contract section 2.4).
fn ticks(text: &str) -> Option<Timestamp> {
    let millis: i64 = text.strip_prefix("/Date(")?.strip_suffix(")/")?.parse().ok()?;
    millis.checked_mul(1000).map(Timestamp::from_micros)
}

/// A name that the provider sent, safe to log: letters and digits, short.
fn word(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphabetic).take(40).collect()
}

/// A transaction's number: above zero.
pub fn transaction_id(fields: &Fields, name: &str) -> Option<i64> {
    fields.integer(name).filter(|id| *id > 0)
}

/// Why it was refused; 0 means that it was not.
pub fn reason_code(fields: &Fields) -> Option<i32> {
    fields.integer("reasoncode").and_then(|code| i32::try_from(code).ok()).filter(|code| *code != 0)
}

/// An amount as the provider spells it (contract section 2.4).
pub fn money(amount: Option<&str>, currency: Option<Currency>) -> Option<Money> {
    Money::parse_provider(amount?.trim(), currency?)
}

/// What may be shown of the card; values of another form are left out.
pub fn card(fields: &Fields) -> Card {
    let digits = |name: &str, length: usize| {
        fields.owned(name).filter(|text| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    Card {
        brand: fields.text("cardtype").and_then(brand),
        first_six: digits("cardfirstsix", 6),
        last_four: digits("cardlastfour", 4),
        issuer: fields.text("issuer").and_then(shown_text),
    }
}

/// `Visa`, `MasterCard`, `МИР` (contract section 8.5) as `visa`, `mastercard`, `mir`.
fn brand(name: &str) -> Option<String> {
    let lower: String =
        name.chars().filter(|character| character.is_alphabetic()).flat_map(char::to_lowercase).take(20).collect();
    match lower.as_str() {
        "" => None,
        "мир" => Some("mir".to_owned()),
        _ => Some(lower),
    }
}

/// A text of the provider that may be shown and logged: without control characters, cut, dropped as a whole when it
/// holds a card number.
pub fn shown_text(text: &str) -> Option<String> {
    if contains_card_number(text) {
        return None;
    }
    let printable: String =
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(MAX_TEXT).collect();
    // Once more: what was cut off may have made it a longer number.
    Some(printable.trim().to_owned()).filter(|shown| !shown.is_empty() && !contains_card_number(shown))
}

/// Finds our ids in the data that came back; anything may be in it (contract section 8.6).
pub fn our_data(json: Option<&str>) -> OurData {
    let fields = json.and_then(Fields::from_json).unwrap_or_default();
    OurData { payment_id: fields.owned("payment_id"), refund_id: fields.owned("refund_id") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::from_json(json).unwrap()
    }

    #[test]
    fn brands() {
        for (sent, expected) in [
            ("Visa", Some("visa")),
            ("MasterCard", Some("mastercard")),
            ("МИР", Some("mir")),
            ("MIR", Some("mir")),
            ("Maestro", Some("maestro")),
            ("American Express", Some("americanexpress")),
            ("1", None),
        ] {
            assert_eq!(brand(sent).as_deref(), expected, "{sent}");
        }
    }

    #[test]
    fn card_digits_only_of_the_right_length() {
        let shown = card(&fields(
            r#"{"CardFirstSix":"4242424242424242","CardLastFour":"003x","Issuer":"4242 4242 4242 4242"}"#,
        ));
        assert_eq!(shown, Card::default());
        let zeros = card(&fields(r#"{"CardFirstSix":"000001","CardLastFour":"0007"}"#));
        assert_eq!((zeros.first_six.as_deref(), zeros.last_four.as_deref()), (Some("000001"), Some("0007")));
    }

    #[test]
    fn our_ids_are_found_in_whatever_comes_back() {
        let expected = OurData { payment_id: Some("pay_1".to_owned()), refund_id: None };
        for data in [r#"{"JsonData":"{\"payment_id\":\"pay_1\"}"}"#, r#"{"JsonData":{"payment_id":"pay_1","x":[1]}}"#] {
            assert_eq!(our_data(fields(data).json("jsondata")), expected, "{data}");
        }
        for data in [
            r#"{"JsonData":""}"#,
            r#"{"JsonData":null}"#,
            r#"{"JsonData":"{oops"}"#,
            r#"{"JsonData":"[1]"}"#,
            r#"{"JsonData":"{\"payment_id\":{}}"}"#,
        ] {
            assert_eq!(our_data(fields(data).json("jsondata")), OurData::default(), "{data}");
        }
    }

    #[test]
    fn the_accountant_is_told_what_the_provider_tells() {
        let read = |json: &str| transaction(&fields(json), Some(TransactionKind::Payment)).unwrap().settlement;
        let at = |text: &str| Timestamp::parse_rfc3339(text);
        let paid = r#"{"TransactionId":1,"Status":"Completed","Amount":10,"Currency":"KZT","PaymentCurrency":"KZT",
            "TotalFee":0.25,"PayoutAmount":"9.75","PayoutDate":"\/Date(1772600400000)\/","PayoutDateIso":"2026-03-04T05:00:00",
            "CreatedDate":"/Date(1772428440000)/","ConfirmDate":"/Date(1772428447498)/","ConfirmDateIso":"2026-03-02T05:14:07"}"#;
        let told = Settlement {
            moved_at: at("2026-03-02T05:14:07.498Z"),
            fee: Some(25),
            payout: Some(975),
            payout_at: at("2026-03-04T05:00:00Z"),
        };
        assert_eq!(read(paid), told);
        let iso_alone = paid.replace(r#""ConfirmDate":"/Date(1772428447498)/","#, "");
        assert_eq!(read(&iso_alone).moved_at, at("2026-03-02T05:14:07Z"));
        let other_currency = read(&paid.replace(r#""PaymentCurrency":"KZT""#, r#""PaymentCurrency":"USD""#));
        assert_eq!((other_currency.fee, other_currency.payout), (None, None));
        // A hold has no outcome; a refusal came when it was made; when a hold was released is not told.
        assert_eq!(read(&paid.replace("Completed", "Authorized")).moved_at, None);
        assert_eq!(read(&paid.replace("Completed", "Declined")).moved_at, at("2026-03-02T05:14:00Z"));
        assert_eq!(read(&paid.replace("Completed", "Cancelled")).moved_at, None);
        let refund = paid
            .replace("\"Status\"", "\"Type\":1,\"Status\"")
            .replace("1772428447498", "oops")
            .replace("ConfirmDateIso", "X");
        assert_eq!(read(&refund).moved_at, at("2026-03-02T05:14:00Z"));
        let nothing =
            r#"{"TransactionId":1,"Status":"Completed","PayoutDate":null,"ConfirmDate":"/Date(-62135596800000)/"}"#;
        assert_eq!(read(nothing), Settlement::default());
    }

    #[test]
    fn a_transaction_is_never_guessed() {
        let payment = Some(TransactionKind::Payment);
        let read = |json: &str| transaction(&fields(json), payment);
        let fact =
            read(r#"{"TransactionId":"3600000101","Status":"Cancelled","Amount":"10.5","Currency":"KZT"}"#).unwrap();
        assert_eq!(
            (fact.transaction_id, fact.status, fact.amount.map(|money| money.minor)),
            (3_600_000_101, TransactionStatus::Voided, Some(1050))
        );
        for amount in ["1e3", "10.123", "\"\"", "null", "[1]", "-1"] {
            let fact =
                read(&format!(r#"{{"TransactionId":1,"Status":"Completed","Amount":{amount},"Currency":"KZT"}}"#))
                    .unwrap();
            assert_eq!(fact.amount, None, "{amount}");
        }
        for json in [
            r#"{"TransactionId":1,"Status":"Created"}"#,
            r#"{"TransactionId":1,"Status":"completed"}"#,
            r#"{"TransactionId":1,"Status":3}"#,
            r#"{"TransactionId":1}"#,
            r#"{"TransactionId":0,"Status":"Completed"}"#,
            r#"{"TransactionId":1.5,"Status":"Completed"}"#,
            r#"{"Status":"Completed"}"#,
            r#"{"TransactionId":1,"Status":"Completed","Type":3}"#,
        ] {
            assert!(matches!(read(json), Err(NoFact::Unreadable(_))), "{json}");
        }
        assert_eq!(read(r#"{"TransactionId":1,"Status":"Completed","Type":2}"#).unwrap_err(), NoFact::Payout);
        assert!(transaction(&fields(r#"{"TransactionId":1,"Status":"Completed"}"#), None).is_err());
    }
}

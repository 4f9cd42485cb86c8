//! Money as integer minor units with its currency. No floating point comes near it.

use std::fmt;

/// Most digits before the decimal point: keeps every sum far inside 64 bits.
const MAX_WHOLE_DIGITS: usize = 13;

/// A currency that CloudPayments takes (CloudPayments documentation, "Currencies"). All of them have two digits today;
/// code that needs the number of digits asks [`Currency::digits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(&'static str);

/// Every currency the service knows, by ISO 4217 letters.
pub const CURRENCIES: &[&str] = &[
    "KZT", "RUB", "EUR", "USD", "GBP", "UAH", "BYN", "AZN", "CHF", "CZK", "CAD", "PLN", "SEK", "TRY", "CNY", "INR",
    "BRL", "ZAR", "UZS", "BGN", "RON", "AUD", "HKD", "GEL", "KGS", "AMD", "AED",
];

impl Currency {
    /// Kazakhstan tenge, the currency of the site.
    pub const KZT: Currency = Currency("KZT");

    /// Reads ISO letters, upper case.
    pub fn parse(code: &str) -> Option<Currency> {
        CURRENCIES.iter().find(|known| **known == code).map(|known| Currency(known))
    }

    /// ISO letters.
    pub fn code(self) -> &'static str {
        self.0
    }

    /// Digits of the minor unit: 2 for tenge (1 tenge = 100 tiyn).
    pub fn digits(self) -> usize {
        2
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An amount in minor units (tiyn for KZT) together with its currency. May be zero or negative as the result of a
/// subtraction; amounts that callers give are above zero, see [`Money::parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units.
    pub minor: i64,
    /// The currency the minor units belong to.
    pub currency: Currency,
}

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountFault {
    /// Not digits, a dot, digits: signs, exponents, blanks, empty.
    NotDecimal,
    /// Not exactly as many digits after the dot as the currency has.
    WrongDigits,
    /// Zero.
    Zero,
    /// More than 13 digits before the dot.
    TooLarge,
}

impl AmountFault {
    /// Stable code for the error answer.
    pub fn code(self) -> &'static str {
        match self {
            AmountFault::NotDecimal => "not_a_decimal",
            AmountFault::WrongDigits => "wrong_number_of_digits",
            AmountFault::Zero => "must_be_positive",
            AmountFault::TooLarge => "too_large",
        }
    }

    /// What to do about it.
    pub fn advice(self, currency: Currency) -> String {
        match self {
            AmountFault::NotDecimal => {
                "send a decimal string such as \"12500.00\": digits, a dot, digits; no sign, exponent or blank"
                    .to_owned()
            }
            AmountFault::WrongDigits => {
                format!("{currency} has exactly {} digits after the dot, as in \"12500.00\"", currency.digits())
            }
            AmountFault::Zero => "the amount must be above zero".to_owned(),
            AmountFault::TooLarge => format!("at most {MAX_WHOLE_DIGITS} digits before the dot"),
        }
    }
}

impl Money {
    /// An amount in minor units.
    pub fn new(minor: i64, currency: Currency) -> Money {
        Money { minor, currency }
    }

    /// Reads what a caller sends: a decimal string with exactly the currency's digits, above zero.
    ///
    /// # Errors
    /// The first fault found.
    pub fn parse(text: &str, currency: Currency) -> Result<Money, AmountFault> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits_only = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits_only(whole) || (text.contains('.') && !digits_only(fraction)) {
            return Err(AmountFault::NotDecimal);
        }
        if fraction.len() != currency.digits() || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(AmountFault::WrongDigits);
        }
        if whole.len() > MAX_WHOLE_DIGITS {
            return Err(AmountFault::TooLarge);
        }
        let minor: i64 = format!("{whole}{fraction}").parse().map_err(|_| AmountFault::TooLarge)?;
        if minor == 0 {
            return Err(AmountFault::Zero);
        }
        Ok(Money::new(minor, currency))
    }

    /// Reads what CloudPayments sends: `10`, `10.0`, `12.34`, `25000.00` (contract section 2.4). Refuses what does not
    /// fit the currency's digits without loss, so that no sum is rounded on the way in.
    pub fn parse_provider(text: &str, currency: Currency) -> Option<Money> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) || whole.len() > MAX_WHOLE_DIGITS {
            return None;
        }
        let significant = fraction.trim_end_matches('0');
        if significant.len() > currency.digits() {
            return None;
        }
        let padded = format!("{significant:0<width$}", width = currency.digits());
        format!("{whole}{padded}").parse().ok().map(|minor| Money::new(minor, currency))
    }

    /// Decimal text with exactly the currency's digits: `12500.00`.
    pub fn to_decimal(self) -> String {
        let width = self.currency.digits();
        let magnitude = self.minor.unsigned_abs().to_string();
        let padded = format!("{magnitude:0>minimum$}", minimum = width + 1);
        let (whole, fraction) = padded.split_at(padded.len() - width);
        let sign = if self.minor < 0 { "-" } else { "" };
        if width == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    /// Zero of the same currency.
    pub fn zero(self) -> Money {
        Money::new(0, self.currency)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.to_decimal(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_not_exactly_an_amount() {
        let cases = [
            ("12.345", AmountFault::WrongDigits),
            ("12", AmountFault::WrongDigits),
            ("12.3", AmountFault::WrongDigits),
            ("01.00", AmountFault::WrongDigits),
            ("-1.00", AmountFault::NotDecimal),
            ("+1.00", AmountFault::NotDecimal),
            ("1e3", AmountFault::NotDecimal),
            ("", AmountFault::NotDecimal),
            (".50", AmountFault::NotDecimal),
            ("1.", AmountFault::NotDecimal),
            ("1 000.00", AmountFault::NotDecimal),
            ("１.00", AmountFault::NotDecimal),
            ("0.00", AmountFault::Zero),
            ("12345678901234.00", AmountFault::TooLarge),
            ("1234567890123456789.00", AmountFault::TooLarge),
        ];
        for (text, fault) in cases {
            assert_eq!(Money::parse(text, Currency::KZT), Err(fault), "{text}");
        }
    }

    #[test]
    fn reads_every_spelling_of_the_provider() {
        for (text, minor) in [
            ("10", 1000),
            ("10.0", 1000),
            ("12.34", 1234),
            ("25000.00", 2_500_000),
            ("18000.5", 1_800_050),
            ("1.500", 150),
        ] {
            assert_eq!(Money::parse_provider(text, Currency::KZT).map(|money| money.minor), Some(minor), "{text}");
        }
        for text in ["12.345", "-1", "1e3", "", "1.", "1.2.3"] {
            assert_eq!(Money::parse_provider(text, Currency::KZT), None, "{text}");
        }
    }

    fn any_currency() -> impl Strategy<Value = Currency> {
        (0..CURRENCIES.len()).prop_map(|index| Currency::parse(CURRENCIES[index]).unwrap())
    }

    #[test]
    fn no_other_spelling_of_an_amount_is_taken() {
        for code in CURRENCIES {
            let currency = Currency::parse(code).unwrap();
            assert_eq!(Money::parse("12500.00", currency), Ok(Money::new(1_250_000, currency)));
            for text in [
                "12500",
                "12500.0",
                "12500.000",
                "12,500.00",
                "12500,00",
                " 12500.00",
                "12500.00 ",
                "+12500.00",
                "-12500.00",
                "1.25e4",
                "1.25E4",
                "0x30D4.00",
                "12_500.00",
                "012500.00",
                "12500.",
                ".00",
                "NaN",
                "inf",
                "12500.00KZT",
                "१२५००.००",
                "１２５００.００",
                "12500\u{200b}.00",
                "12500.00\0",
                "99999999999999.00",
                "9223372036854775807.00",
                "18446744073709551616.00",
                "0.00",
                "",
            ] {
                assert!(Money::parse(text, currency).is_err(), "{text:?}");
            }
            assert_eq!(Currency::parse(&code.to_lowercase()), None);
        }
        assert_eq!(Currency::parse("KZT "), None);
    }

    proptest! {
        #[test]
        fn text_and_minor_units_agree(minor in 1i64..=999_999_999_999_999, currency in any_currency()) {
            let money = Money::new(minor, currency);
            prop_assert_eq!(Money::parse(&money.to_decimal(), currency), Ok(money));
            prop_assert_eq!(Money::parse_provider(&money.to_decimal(), currency), Some(money));
            prop_assert_eq!(Money::new(-minor, currency).to_decimal(), format!("-{}", money.to_decimal()));
        }

        #[test]
        fn every_spelling_of_the_provider_is_the_same_sum(
            whole in 0i64..10_000_000_000_000, fraction in 0i64..100, zeros in 0usize..18, currency in any_currency(),
        ) {
            let sum = Some(Money::new(whole * 100 + fraction, currency));
            let read = |text: &str| Money::parse_provider(text, currency);
            prop_assert_eq!(read(&format!("{whole}.{fraction:02}{}", "0".repeat(zeros))), sum);
            if fraction == 0 {
                prop_assert_eq!(read(&whole.to_string()), sum);
            }
            // Not rounded, not cut, no exponent.
            prop_assert_eq!(read(&format!("{whole}.{fraction:02}{}1", "0".repeat(zeros))), None);
            for wrong in [format!("{whole}.{fraction:02}e0"), format!("-{whole}"), format!("{whole}e2"), format!("9{whole:013}")] {
                prop_assert_eq!(read(&wrong), None, "{}", wrong);
            }
        }

        /// The number in a request to the provider has the digits of the sum and no others.
        #[test]
        fn numbers_are_written_exactly(minor in 0i64..=999_999_999_999_999, currency in any_currency()) {
            let number = Money::new(minor, currency).to_decimal();
            let raw = serde_json::value::RawValue::from_string(number.clone()).unwrap();
            prop_assert_eq!(serde_json::to_string(&raw).unwrap(), number.clone());
            let (whole, fraction) = number.split_once('.').unwrap();
            prop_assert_eq!(format!("{whole}{fraction}").parse::<i64>().unwrap(), minor);
            prop_assert_eq!(fraction.len(), currency.digits());
        }

        #[test]
        fn what_is_taken_is_written_the_same(text in "[0-9.,+\\-eE ]{0,24}", currency in any_currency()) {
            if let Ok(money) = Money::parse(&text, currency) {
                prop_assert_eq!(money.to_decimal(), text);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", minor: i64) {
            let _ = Money::parse(&text, Currency::KZT);
            let _ = Money::parse_provider(&text, Currency::KZT);
            let _ = Money::new(minor, Currency::KZT).to_decimal();
        }
    }
}

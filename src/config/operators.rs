//! `[operators]`.

use std::collections::BTreeSet;

use super::reader::Reader;
use crate::app::OperatorSettings;
use crate::domain::money::{CURRENCIES, Currency, Money};

const SUMS: &str = "operators.second_key_above";

impl Reader<'_> {
    pub(super) fn operators(&mut self) -> Option<OperatorSettings> {
        let texts = self.raw.text(SUMS);
        let sums: Vec<Option<Money>> =
            texts.split(',').map(str::trim).filter(|text| !text.is_empty()).map(|text| self.sum(text)).collect();
        let second_key_above: Option<Vec<Money>> = sums.into_iter().collect();
        let mut named = BTreeSet::new();
        if let Some(twice) = second_key_above.iter().flatten().find(|sum| !named.insert(sum.currency.code())) {
            self.faults.push(format!("{SUMS}: names {} more than once", twice.currency));
        }
        let approval_expires_in_s =
            self.number("operators.approval_expires_in_s", 60, 2_592_000).map(|number: u32| i64::from(number));
        Some(OperatorSettings { second_key_above: second_key_above?, approval_expires_in_s: approval_expires_in_s? })
    }

    /// `500000.00 KZT`
    fn sum(&mut self, text: &str) -> Option<Money> {
        let sum = text.split_once(' ').and_then(|(value, code)| {
            let currency = Currency::parse(code.trim())?;
            Money::parse(value, currency).ok()
        });
        match sum {
            Some(sum) => Some(sum),
            None => self.fault(
                SUMS,
                format!("{text:?} is not a sum such as 500000.00 KZT (currencies: {})", CURRENCIES.join(", ")),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Raw;
    use super::SUMS;
    use crate::vault;

    fn with(sums: impl Into<serde_json::Value>) -> Raw {
        Raw::load(None)
            .unwrap()
            .with("server.public_url", "https://pay.kmic.kz/")
            .with("cloudpayments.public_id", "pk_1")
            .with("cloudpayments.api_secret", "secret")
            .with("privacy.encryption_key", vault::base64(&[1; 32]))
            .with(SUMS, sums)
    }

    #[test]
    fn sums_are_read_with_their_currency_and_every_fault_is_named() {
        let read = |raw: Raw| {
            let sums = raw.check().unwrap().operators.second_key_above;
            sums.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(read(with("")), [""; 0]);
        assert_eq!(read(with("500000.00 KZT")), ["500000.00 KZT"]);
        assert_eq!(read(with(serde_json::json!(["500000.00 KZT", "1000.00 USD"]))), ["500000.00 KZT", "1000.00 USD"]);
        for (wrong, count) in
            [("500000", 1), ("500000 KZT", 1), ("1.00 ZZZ, -1.00 KZT", 2), ("1.00 KZT,2.00 KZT", 1), ("0.00 KZT", 1)]
        {
            let faults = with(wrong).with("operators.approval_expires_in_s", "1").check().unwrap_err().0;
            assert_eq!(faults.iter().filter(|fault| fault.starts_with(SUMS)).count(), count, "{wrong}: {faults:?}");
        }
        let faults = with("x").with("operators.approval_expires_in_s", "1").check().unwrap_err().0.join("\n");
        assert!(faults.contains("operators.approval_expires_in_s"), "{faults}");
    }
}

//! A draft: what a payer or merchant asks for, before anything is decided about it.

use super::params::{Invalid, Params};
use crate::cards::Card;
use crate::money::Money;

/// Currencies the service knows.
const CURRENCIES: [&str; 28] = [
    "RUB", "EUR", "USD", "GBP", "UAH", "BYR", "BYN", "KZT", "AZN", "CHF", "CZK", "CAD", "PLN", "SEK", "TRY", "CNY",
    "INR", "BRL", "ZAR", "UZS", "BGN", "RON", "AUD", "HKD", "GEL", "KGS", "AMD", "AED",
];

/// One stage or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Money is taken at once.
    Single,
    /// Money is held until it is confirmed.
    Dual,
}

impl Schema {
    /// From the widget's words; anything but `Dual` is one stage.
    pub fn parse(text: &str) -> Schema {
        if text.eq_ignore_ascii_case("dual") { Schema::Dual } else { Schema::Single }
    }
}

/// A payment as asked for.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct Draft {
    pub amount: Money,
    pub currency: String,
    pub schema: Schema,
    pub card: Card,
    /// Paid by a token of the card.
    pub by_token: Option<String>,
    pub invoice_id: Option<String>,
    pub account_id: Option<String>,
    pub email: Option<String>,
    pub description: Option<String>,
    pub json_data: Option<String>,
    pub name: Option<String>,
    pub ip_address: Option<String>,
    pub culture: String,
    pub initiator: Option<i64>,
    pub request_id: Option<String>,
    /// The payer passes 3-D Secure without being asked (sandbox extension).
    pub skip_three_ds: bool,
}

impl Draft {
    /// From parameters named as in the API; `Amount` has to be there.
    pub fn read(params: &Params, card: Card, schema: Schema, default_currency: &str) -> Result<Draft, Invalid> {
        let currency = params.text("Currency").unwrap_or_else(|| default_currency.to_owned()).to_uppercase();
        if !CURRENCIES.contains(&currency.as_str()) {
            return Err(Invalid::value("Currency"));
        }
        Ok(Draft {
            amount: params.amount("Amount")?,
            currency,
            schema,
            card,
            by_token: None,
            invoice_id: params.text("InvoiceId"),
            account_id: params.text("AccountId"),
            email: params.text("Email"),
            description: params.text("Description"),
            json_data: params.json_text("JsonData"),
            name: params.text("Name"),
            ip_address: params.text("IpAddress"),
            culture: params.text("CultureName").unwrap_or_else(|| "ru".to_owned()),
            initiator: None,
            request_id: None,
            skip_three_ds: false,
        })
    }

    /// The code of a cardholder name such as `DECLINE 5005` (sandbox extension).
    pub fn forced_decline(&self) -> Option<u16> {
        let name = self.name.as_deref()?.to_uppercase();
        name.strip_prefix("DECLINE")?.trim().parse().ok().filter(|code| *code != 0)
    }
}

//! Lists: operations of a day or a period, tokens, chargebacks.

use super::model::Model;
use super::params::{Invalid, Params};
use super::{ApiAnswer, Engine, Transaction};
use crate::money::Money;
use crate::time;
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde::Serialize;

/// Items of a page.
const PAGE: usize = 100;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Time zones by their code, in hours east of UTC.
const ZONES: [(&str, i64); 8] =
    [("UTC", 0), ("GMT", 0), ("MSK", 3), ("SAMT", 4), ("YEKT", 5), ("ALMT", 6), ("OMST", 6), ("KRAT", 7)];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TokenItem<'a> {
    token: &'a str,
    account_id: &'a str,
    card_mask: String,
    expiration_date_month: u32,
    expiration_date_year: i32,
}

/// A chargeback set by the control API.
#[derive(Clone, Debug)]
pub(super) struct Chargeback {
    id: String,
    transaction_id: i64,
    amount: Money,
    kind: String,
    operation: String,
    at_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChargebackItem<'a> {
    charge_back_id: &'a str,
    terminal_url: &'a str,
    transaction_id: i64,
    amount: Money,
    currency: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
    operation: &'a str,
    card: String,
    gateway: &'static str,
    date: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChargebackEnvelope<'a> {
    model: Vec<ChargebackItem<'a>>,
    success: bool,
    message: Option<()>,
    error_code: Option<()>,
}

impl Engine {
    pub(super) fn list(&self, params: &Params) -> Result<ApiAnswer, Invalid> {
        let date = params.required("Date")?;
        let day = date.get(..10).and_then(|day| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok());
        let midnight = day.and_then(|day| day.and_hms_opt(0, 0, 0)).ok_or_else(|| Invalid::value("Date"))?;
        let zone = params.text("TimeZone").unwrap_or_else(|| "UTC".to_owned()).to_uppercase();
        let hours = ZONES.iter().find(|(code, _)| *code == zone).ok_or_else(|| Invalid::value("TimeZone"))?.1;
        let from = midnight.and_utc().timestamp_millis() - hours * 3_600_000;
        let of_day = |item: &&Transaction| (from..from + DAY_MS).contains(&item.created_ms);
        Ok(self.items(self.transactions.values().filter(of_day)))
    }

    pub(super) fn list_v2(&self, params: &Params) -> Result<ApiAnswer, Invalid> {
        let (from, to) = period(params)?;
        let skipped = skipped(params)?;
        let statuses = params.texts("Statuses");
        let wanted = |item: &&Transaction| {
            let status = item.status.name();
            let listed = statuses.is_empty() || statuses.iter().any(|name| name.eq_ignore_ascii_case(status));
            listed && (from..=to).contains(&item.created_ms)
        };
        Ok(self.items(self.transactions.values().filter(wanted).skip(skipped).take(PAGE)))
    }

    fn items<'a>(&'a self, transactions: impl Iterator<Item = &'a Transaction>) -> ApiAnswer {
        let model = |item| Model::of(item, &self.config.public_id, &self.base_url).into_item();
        ApiAnswer::model(transactions.map(model).collect::<Vec<_>>())
    }

    pub(super) fn tokens_list(&self, params: &Params) -> Result<ApiAnswer, Invalid> {
        let skipped = skipped(params)?;
        let approved = self.tokens.approved();
        let items = approved.skip(skipped).take(PAGE).map(|kept| TokenItem {
            token: &kept.token,
            account_id: &kept.account_id,
            card_mask: kept.card.mask(),
            expiration_date_month: kept.card.month,
            expiration_date_year: kept.card.year,
        });
        Ok(ApiAnswer::model(items.collect::<Vec<_>>()))
    }

    /// Adds a chargeback of a payment; without an amount it is the whole payment.
    pub fn add_chargeback(
        &mut self,
        transaction_id: i64,
        amount: Option<Money>,
        kind: &str,
        operation: &str,
        now: i64,
    ) -> Result<(), Invalid> {
        let transaction = self.transactions.get(&transaction_id).ok_or_else(Invalid::not_found)?;
        let amount = amount.unwrap_or(transaction.draft.amount);
        let (kind, operation) = (kind.to_owned(), operation.to_owned());
        self.chargebacks.push(Chargeback { id: self.ids.hex(24), transaction_id, amount, kind, operation, at_ms: now });
        Ok(())
    }

    pub(super) fn chargebacks_list(&self, params: &Params) -> Result<ApiAnswer, Invalid> {
        let (from, to) = period(params)?;
        let skipped = skipped(params)?;
        let wanted = self.chargebacks.iter().filter(|item| (from..=to).contains(&item.at_ms));
        let model = wanted.skip(skipped).take(PAGE).filter_map(|item| self.chargeback_item(item)).collect();
        let envelope = ChargebackEnvelope { model, success: true, message: None, error_code: None };
        let body = serde_json::to_string(&envelope).unwrap_or_default();
        Ok(ApiAnswer { body, success: true, transaction_id: None })
    }

    fn chargeback_item<'a>(&'a self, chargeback: &'a Chargeback) -> Option<ChargebackItem<'a>> {
        let transaction = self.transactions.get(&chargeback.transaction_id)?;
        let card = transaction.card();
        Some(ChargebackItem {
            charge_back_id: &chargeback.id,
            terminal_url: &self.base_url,
            transaction_id: chargeback.transaction_id,
            amount: chargeback.amount,
            currency: &transaction.draft.currency,
            kind: &chargeback.kind,
            operation: &chargeback.operation,
            card: format!("{}*******{}", card.first_six, card.last_four),
            gateway: "Test",
            date: time::ticks(chargeback.at_ms),
        })
    }
}

fn period(params: &Params) -> Result<(i64, i64), Invalid> {
    Ok((moment(params, "CreatedDateGte")?, moment(params, "CreatedDateLte")?))
}

fn skipped(params: &Params) -> Result<usize, Invalid> {
    let page = params.required_integer("PageNumber")?;
    let before = usize::try_from(page).ok().and_then(|page| page.checked_sub(1));
    before.map(|before| before.saturating_mul(PAGE)).ok_or_else(|| Invalid::value("PageNumber"))
}

/// ISO date and time with an offset, without one (UTC), or a bare date.
fn moment(params: &Params, key: &str) -> Result<i64, Invalid> {
    let text = params.required(key)?;
    let with_offset = DateTime::parse_from_rfc3339(&text).ok().map(|moment| moment.timestamp_millis());
    let without = || NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").ok();
    let bare = || NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    let utc = || without().or_else(bare).map(|moment| moment.and_utc().timestamp_millis());
    with_offset.or_else(utc).ok_or_else(|| Invalid::value(key))
}

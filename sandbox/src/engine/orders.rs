//! Orders: pay-by-link pages.
//!
//! Limits: nothing is mailed or texted to the payer.

use super::params::{Invalid, Params};
use super::{ApiAnswer, Engine, Schema};
use crate::money::Money;
use crate::time;
use serde::Serialize;

/// A link to pay by.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct Order {
    pub id: String,
    pub amount: Money,
    pub currency: String,
    pub description: String,
    pub schema: Schema,
    pub email: Option<String>,
    pub invoice_id: Option<String>,
    pub account_id: Option<String>,
    pub json_data: Option<String>,
    pub success_url: Option<String>,
    /// `/orders/cancel` was called.
    pub cancelled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrderModel<'a> {
    id: &'a str,
    number: usize,
    amount: Money,
    currency: &'a str,
    currency_code: u16,
    email: Option<&'a str>,
    phone: Option<String>,
    description: &'a str,
    require_confirmation: bool,
    url: String,
    culture_name: String,
    created_date: String,
    created_date_iso: String,
    payment_date: Option<()>,
    payment_date_iso: Option<()>,
    status_code: u8,
    status: &'static str,
    internal_id: usize,
}

impl Engine {
    pub(super) fn order_create(&mut self, params: &Params, now: i64) -> Result<ApiAnswer, Invalid> {
        let order = self.read_order(params)?;
        let number = self.orders.len().saturating_add(1);
        let answer = ApiAnswer::model(OrderModel {
            id: &order.id,
            number,
            amount: order.amount,
            currency: &order.currency,
            currency_code: 0,
            email: order.email.as_deref(),
            phone: params.text("Phone"),
            description: &order.description,
            require_confirmation: order.schema == Schema::Dual,
            url: format!("{}/d/{}", self.base_url, order.id),
            culture_name: params.text("CultureName").unwrap_or_else(|| "ru-RU".to_owned()),
            created_date: time::ticks(now),
            created_date_iso: time::iso(now),
            payment_date: None,
            payment_date_iso: None,
            status_code: 0,
            status: "Created",
            internal_id: number.saturating_add(12_000_000),
        });
        self.orders.insert(order.id.clone(), order);
        Ok(answer)
    }

    fn read_order(&mut self, params: &Params) -> Result<Order, Invalid> {
        let confirmed_later = params.flag("RequireConfirmation").unwrap_or(false);
        let default_currency = &self.config.default_currency;
        Ok(Order {
            amount: params.amount("Amount")?,
            description: params.required("Description")?,
            email: match self.config.order_email_required {
                true => Some(params.required("Email")?),
                false => params.text("Email"),
            },
            currency: params.text("Currency").unwrap_or_else(|| default_currency.clone()),
            schema: if confirmed_later { Schema::Dual } else { Schema::Single },
            invoice_id: params.text("InvoiceId"),
            account_id: params.text("AccountId"),
            json_data: params.json_text("JsonData"),
            success_url: params.text("SuccessRedirectUrl"),
            cancelled: false,
            id: self.ids.alphanumeric(16),
        })
    }

    pub(super) fn order_cancel(&mut self, params: &Params) -> Result<ApiAnswer, Invalid> {
        let id = params.required("Id")?;
        let open = self.orders.get_mut(&id).filter(|order| !order.cancelled);
        let order = open.ok_or_else(|| Invalid("Order not found".to_owned()))?;
        order.cancelled = true;
        Ok(ApiAnswer::done())
    }

    /// An order by its id.
    pub fn order(&self, id: &str) -> Option<&Order> {
        self.orders.get(id)
    }
}

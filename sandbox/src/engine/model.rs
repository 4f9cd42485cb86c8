//! The transaction as the API shows it (`Model`), keys in the order of recorded answers.
//!
//! Limits: every payer lives in one city, every card is issued by one bank, there are no fees.

use super::{Status, Transaction, TransactionType};
use crate::money::Money;
use crate::{reasons, time};
use serde::Serialize;

/// `Model` of charge, auth, post3ds, tokens, get and find.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Model<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<u16>,
    public_id: &'a str,
    terminal_url: &'a str,
    transaction_id: i64,
    amount: Money,
    currency: &'a str,
    currency_code: u16,
    payment_amount: Money,
    payment_currency: &'a str,
    payment_currency_code: u16,
    invoice_id: Option<&'a str>,
    account_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tr_initiator_code: Option<i64>,
    email: Option<&'a str>,
    description: Option<&'a str>,
    json_data: Option<&'a str>,
    created_date: String,
    payout_date: Option<()>,
    payout_date_iso: Option<()>,
    payout_amount: Option<()>,
    created_date_iso: String,
    auth_date: Option<String>,
    auth_date_iso: Option<String>,
    confirm_date: Option<String>,
    confirm_date_iso: Option<String>,
    auth_code: Option<&'static str>,
    test_mode: bool,
    rrn: Option<()>,
    original_transaction_id: Option<i64>,
    fall_back_scenario_declined_transaction_id: Option<i64>,
    ip_address: Option<&'a str>,
    ip_country: Option<&'static str>,
    ip_city: Option<&'static str>,
    ip_region: Option<&'static str>,
    ip_district: Option<&'static str>,
    ip_latitude: Option<Money>,
    ip_longitude: Option<Money>,
    card_first_six: &'a str,
    card_last_four: &'a str,
    card_exp_date: String,
    card_type: &'static str,
    card_product: Option<&'static str>,
    card_category: Option<&'static str>,
    escrow_accumulation_id: Option<()>,
    issuer_bank_country: &'static str,
    issuer: &'static str,
    card_type_code: u8,
    status: &'static str,
    status_code: u8,
    culture_name: &'a str,
    reason: Option<&'static str>,
    card_holder_message: Option<&'static str>,
    #[serde(rename = "Type")]
    kind: u8,
    refunded: bool,
    name: Option<&'a str>,
    token: Option<&'a str>,
    subscription_id: Option<()>,
    gateway_name: &'static str,
    android_pay: bool,
    wallet_type: &'static str,
    total_fee: Money,
    vat_above_total_fee: Money,
    processor_and_partner_fee: Option<()>,
    vat_within_processor_fee: Option<()>,
}

/// An item of a list: `ReasonCode` comes last there, after a few keys of its own.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListItem<'a> {
    #[serde(flatten)]
    model: Model<'a>,
    is_local_order: bool,
    hide_invoice_id: bool,
    gateway: u8,
    master_pass: bool,
    reason_code: u16,
}

/// Where every payer is.
pub(super) struct Geo;

impl Geo {
    pub(super) const COUNTRY: &'static str = "KZ";
    pub(super) const CITY: &'static str = "Алматы";
    pub(super) const LATITUDE: Money = Money::from_minor(43_25);
    pub(super) const LONGITUDE: Money = Money::from_minor(76_95);
}

/// Answered by the test bank.
pub(super) const AUTH_CODE: &str = "A1B2C3";
/// The bank that issued every card.
pub(super) const ISSUER: &str = "CloudPayments";

impl<'a> Model<'a> {
    /// Fees and payouts stay at nothing.
    pub(super) fn of(transaction: &'a Transaction, public_id: &'a str, terminal_url: &'a str) -> Model<'a> {
        let mut model = Model { public_id, terminal_url, test_mode: true, gateway_name: "Test", ..Model::default() };
        model.set_order(transaction);
        model.set_dates(transaction);
        model.set_payer(transaction);
        model.set_card(transaction);
        model.set_outcome(transaction);
        model
    }

    fn set_order(&mut self, transaction: &'a Transaction) {
        let draft = &transaction.draft;
        self.transaction_id = transaction.id;
        self.amount = draft.amount;
        self.currency = &draft.currency;
        self.payment_amount = draft.amount;
        self.payment_currency = &draft.currency;
        self.invoice_id = draft.invoice_id.as_deref();
        self.description = draft.description.as_deref();
        self.json_data = draft.json_data.as_deref();
        self.tr_initiator_code = draft.initiator;
        self.culture_name = &draft.culture;
        self.original_transaction_id = transaction.payment_id;
        self.fall_back_scenario_declined_transaction_id = transaction.declined_before;
        self.kind = u8::from(transaction.kind == TransactionType::Refund);
    }

    fn set_dates(&mut self, transaction: &Transaction) {
        self.created_date = time::ticks(transaction.created_ms);
        self.created_date_iso = time::iso(transaction.created_ms);
        self.auth_date = transaction.auth_ms.map(time::ticks);
        self.auth_date_iso = transaction.auth_ms.map(time::iso);
        self.confirm_date = transaction.confirm_ms.map(time::ticks);
        self.confirm_date_iso = transaction.confirm_ms.map(time::iso);
    }

    fn set_payer(&mut self, transaction: &'a Transaction) {
        let draft = &transaction.draft;
        self.account_id = draft.account_id.as_deref();
        self.email = draft.email.as_deref();
        self.name = draft.name.as_deref();
        if let Some(ip_address) = &draft.ip_address {
            self.ip_address = Some(ip_address);
            self.ip_country = Some(Geo::COUNTRY);
            self.ip_city = Some(Geo::CITY);
            self.ip_region = Some(Geo::CITY);
            self.ip_district = Some(Geo::CITY);
            self.ip_latitude = Some(Geo::LATITUDE);
            self.ip_longitude = Some(Geo::LONGITUDE);
        }
    }

    fn set_card(&mut self, transaction: &'a Transaction) {
        let card = transaction.card();
        self.card_first_six = &card.first_six;
        self.card_last_four = &card.last_four;
        self.card_exp_date = card.exp_date();
        self.card_type = card.brand().name();
        self.card_type_code = card.brand().code();
        self.issuer = ISSUER;
        self.issuer_bank_country = Geo::COUNTRY;
        if transaction.status != Status::Declined {
            self.card_product = Some("I");
            self.card_category = Some("Visa Infinite (Infinite)");
        }
    }

    fn set_outcome(&mut self, transaction: &'a Transaction) {
        self.status = transaction.status.name();
        self.status_code = transaction.status.code();
        self.reason_code = Some(transaction.reason_code);
        self.auth_code = transaction.auth_ms.map(|_| AUTH_CODE);
        self.refunded = transaction.fully_refunded();
        self.token = transaction.token.as_deref();
        if transaction.decided {
            self.reason = Some(reasons::name(transaction.reason_code));
            self.card_holder_message = Some(reasons::holder_message(transaction.reason_code));
        }
    }

    pub(super) fn into_item(self) -> ListItem<'a> {
        let reason_code = self.reason_code.unwrap_or_default();
        ListItem {
            model: Model { reason_code: None, ..self },
            is_local_order: false,
            hide_invoice_id: false,
            gateway: 0,
            master_pass: false,
            reason_code,
        }
    }
}

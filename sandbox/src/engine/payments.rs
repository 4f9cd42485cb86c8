//! Payments by card and token: validation, then 3-D Secure or Check, then the bank.

use super::params::Invalid;
use super::{ApiRequest, Draft, Engine, PendingCheck, Progress, Route, Schema, Transaction};
use crate::cryptogram;

impl Engine {
    pub(super) fn card_payment(&mut self, request: &ApiRequest, schema: Schema, now: i64) -> Result<Progress, Invalid> {
        let params = &request.params;
        params.amount("Amount")?;
        params.required("IpAddress")?;
        let packet = params.required("CardCryptogramPacket")?;
        let card = cryptogram::read(&packet).ok_or_else(|| Invalid::value("CardCryptogramPacket"))?;
        let mut draft = Draft::read(params, card, schema, &self.config.default_currency)?;
        if self.config.single_use_cryptograms && !self.used_packets.insert(packet) {
            return Err(Invalid("Invalid CardCryptogramPacket".to_owned()));
        }
        draft.request_id.clone_from(&request.request_id);
        Ok(self.pay(draft, request.route, now))
    }

    pub(super) fn token_payment(
        &mut self,
        request: &ApiRequest,
        schema: Schema,
        now: i64,
    ) -> Result<Progress, Invalid> {
        let params = &request.params;
        params.amount("Amount")?;
        let account_id = params.required("AccountId")?;
        let token = params.required("Token")?;
        let initiator = params.required_integer("TrInitiatorCode")?;
        if !(0..=1).contains(&initiator) {
            return Err(Invalid::value("TrInitiatorCode"));
        }
        let card = self.tokens.card(&token, &account_id).cloned().ok_or_else(|| Invalid::value("Token"))?;
        let mut draft = Draft::read(params, card, schema, &self.config.default_currency)?;
        draft.by_token = Some(token);
        draft.initiator = Some(initiator);
        draft.request_id.clone_from(&request.request_id);
        Ok(self.pay(draft, request.route, now))
    }

    /// What the widget does for a payer: the same path as a charge, with a card instead of a packet.
    pub fn begin_widget(&mut self, draft: Draft, now: i64) -> Progress {
        let route = match draft.schema {
            Schema::Single => Route::CardCharge,
            Schema::Dual => Route::CardAuth,
        };
        self.pay(draft, route, now)
    }

    fn pay(&mut self, draft: Draft, route: Route, now: i64) -> Progress {
        let three_ds = draft.by_token.is_none() && !draft.skip_three_ds && draft.card.three_ds();
        let id = self.add(Transaction::payment(draft, now));
        if three_ds {
            return Progress::Answer(self.three_ds_answer(id));
        }
        self.check_or_settle(id, route, now)
    }

    /// Gives a transaction its number and keeps it.
    pub(super) fn add(&mut self, mut transaction: Transaction) -> i64 {
        let id = self.next_transaction_id;
        self.next_transaction_id = id.saturating_add(1);
        transaction.id = id;
        if let Some(invoice) = &transaction.draft.invoice_id {
            self.by_invoice.entry(invoice.clone()).or_default().push(id);
        }
        self.transactions.insert(id, transaction);
        id
    }

    /// Asks the merchant when there is someone to ask, otherwise the bank at once.
    pub(super) fn check_or_settle(&mut self, id: i64, route: Route, now: i64) -> Progress {
        let Some(notification) = self.check_notification(id) else {
            return Progress::Answer(self.settle(id, route, now));
        };
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.busy = true;
        }
        let pending = PendingCheck { transaction_id: id, route, key: None };
        Progress::Check { notification, pending }
    }
}

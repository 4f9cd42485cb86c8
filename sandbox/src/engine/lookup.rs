//! Reading one transaction: get and find.

use super::model::Model;
use super::params::{Invalid, Params};
use super::{ApiAnswer, Engine, Status, TransactionType};

impl Engine {
    pub(super) fn get(&self, params: &Params) -> Result<ApiAnswer, Invalid> {
        let id = params.required_integer("TransactionId")?;
        if !self.transactions.contains_key(&id) {
            return Err(Invalid::not_found());
        }
        Ok(self.describe(id))
    }

    /// The latest operation of an invoice: payments only, or refunds too.
    pub(super) fn find(&self, params: &Params, with_refunds: bool) -> Result<ApiAnswer, Invalid> {
        let invoice = params.required("InvoiceId")?;
        let ids = self.by_invoice.get(&invoice).ok_or_else(Invalid::not_found)?;
        let wanted = |id: &&i64| {
            let kind = self.transactions.get(id).map(|transaction| transaction.kind);
            kind == Some(TransactionType::Payment) || (with_refunds && kind.is_some())
        };
        let id = ids.iter().rev().find(wanted).ok_or_else(Invalid::not_found)?;
        Ok(self.describe(*id))
    }

    /// The answer that shows a transaction in full; `Success` is false for a refused one.
    pub(super) fn describe(&self, id: i64) -> ApiAnswer {
        let Some(transaction) = self.transactions.get(&id) else {
            return ApiAnswer::refusal("Not found");
        };
        let model = Model::of(transaction, &self.config.public_id, &self.base_url);
        ApiAnswer::of(Some(model), transaction.status != Status::Declined, None).about(id)
    }
}

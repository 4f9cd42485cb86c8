//! What is done to a payment later: confirm, void, refund.

use super::params::{Invalid, Params};
use super::{ApiAnswer, ApiRequest, Engine, NotificationKind, Status, Transaction, TransactionType};
use crate::money::Money;
use serde::Serialize;

/// A refund as asked for.
#[derive(Clone, Debug)]
pub struct RefundOrder {
    /// The payment to give back.
    pub payment_id: i64,
    /// How much of it.
    pub amount: Money,
    /// `JsonData` of the request.
    pub json_data: Option<String>,
    /// `X-Request-ID` of the request.
    pub request_id: Option<String>,
    /// Asked for in the merchant cabinet.
    pub from_cabinet: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Refunded {
    transaction_id: i64,
}

impl Engine {
    pub(super) fn confirm(&mut self, params: &Params, now: i64) -> Result<ApiAnswer, Invalid> {
        self.take(params.required_integer("TransactionId")?, params.amount("Amount")?, now)
    }

    /// Takes a hold or a part of it, by request or in the merchant cabinet.
    pub fn take(&mut self, id: i64, amount: Money, now: i64) -> Result<ApiAnswer, Invalid> {
        let transaction = self.held(id)?;
        if amount > transaction.draft.amount {
            return Err(Invalid::too_big());
        }
        transaction.status = Status::Completed;
        transaction.captured = amount;
        transaction.confirm_ms = Some(now);
        self.notify(NotificationKind::Confirm, id, now);
        Ok(ApiAnswer::done().about(id))
    }

    pub(super) fn void(&mut self, params: &Params, now: i64) -> Result<ApiAnswer, Invalid> {
        self.release(params.required_integer("TransactionId")?, now)
    }

    /// Releases a hold, by request or because its time is over.
    pub fn release(&mut self, id: i64, now: i64) -> Result<ApiAnswer, Invalid> {
        self.held(id)?.status = Status::Cancelled;
        self.notify(NotificationKind::Cancel, id, now);
        Ok(ApiAnswer::done().about(id))
    }

    fn held(&mut self, id: i64) -> Result<&mut Transaction, Invalid> {
        let transaction = self.transactions.get_mut(&id).ok_or_else(Invalid::not_found)?;
        if transaction.status != Status::Authorized {
            return Err(Invalid::wrong_status());
        }
        Ok(transaction)
    }

    pub(super) fn refund(&mut self, request: &ApiRequest, now: i64) -> Result<ApiAnswer, Invalid> {
        let params = &request.params;
        let order = RefundOrder {
            payment_id: params.required_integer("TransactionId")?,
            amount: params.amount("Amount")?,
            json_data: params.json_text("JsonData"),
            request_id: request.request_id.clone(),
            from_cabinet: false,
        };
        self.give_back(order, now)
    }

    /// Carries out a refund: a new transaction, and a smaller rest of the payment.
    pub fn give_back(&mut self, mut order: RefundOrder, now: i64) -> Result<ApiAnswer, Invalid> {
        order.json_data = order.json_data.filter(|_| self.config.refunds_keep_data);
        let payment = self.transactions.get_mut(&order.payment_id).ok_or_else(Invalid::not_found)?;
        if payment.status != Status::Completed || payment.kind != TransactionType::Payment {
            return Err(Invalid::wrong_status());
        }
        if order.amount > payment.refundable() {
            return Err(Invalid::too_big());
        }
        payment.refunded = payment.refunded.plus(order.amount);
        let refund = refund_of(payment, order, now);
        let id = self.add(refund);
        self.notify(NotificationKind::Refund, id, now);
        Ok(ApiAnswer::model(Refunded { transaction_id: id }).about(id))
    }
}

fn refund_of(payment: &Transaction, order: RefundOrder, now: i64) -> Transaction {
    let mut draft = payment.draft.clone();
    draft.amount = order.amount;
    draft.json_data = order.json_data.or(draft.json_data);
    draft.request_id = order.request_id;
    draft.initiator = None;
    Transaction {
        kind: TransactionType::Refund,
        status: Status::Completed,
        decided: true,
        payment_id: Some(payment.id),
        from_cabinet: order.from_cabinet,
        auth_ms: Some(now),
        confirm_ms: Some(now),
        ..Transaction::payment(draft, now)
    }
}

//! The decision about a payment: the merchant's Check, then the emulated bank.

use super::{ApiAnswer, Engine, NotificationKind, Reply, Route, Schema, Status, Transaction};
use crate::{reasons, time};

impl Engine {
    /// Goes on after a Check: refusal by the merchant, or the bank.
    pub(super) fn after_check(&mut self, id: i64, route: Route, reply: &Reply, now: i64) -> ApiAnswer {
        match reply.check_refusal() {
            Some(reason) => self.decline(id, reason, now),
            None => self.settle(id, route, now),
        }
    }

    /// Asks the bank and ends the payment.
    pub(super) fn settle(&mut self, id: i64, route: Route, now: i64) -> ApiAnswer {
        if let Some(reason) = self.faults.take_fall_back(&route.path()) {
            return self.fall_back(id, reason, route, now);
        }
        let scripted = self.faults.take_decline(&route.path());
        let Some(transaction) = self.transactions.get(&id) else {
            return ApiAnswer::refusal("Not found");
        };
        let draft = &transaction.draft;
        let bank = draft.card.bank_decision(draft.by_token.is_some(), time::year_month(now));
        match scripted.or(draft.forced_decline()).unwrap_or(bank) {
            reasons::APPROVED => self.approve(id, now),
            reason => self.decline(id, reason, now),
        }
    }

    /// A first bank refuses, and a second one is asked under the same request.
    fn fall_back(&mut self, first: i64, reason: u16, route: Route, now: i64) -> ApiAnswer {
        self.decline(first, reason, now);
        let Some(refused) = self.transactions.get(&first) else {
            return ApiAnswer::refusal("Not found");
        };
        let draft = refused.draft.clone();
        let second = self.add(Transaction { declined_before: Some(first), ..Transaction::payment(draft, now) });
        self.settle(second, route, now)
    }

    fn approve(&mut self, id: i64, now: i64) -> ApiAnswer {
        let token = self.token_for(id, true);
        let Some(transaction) = self.transactions.get_mut(&id) else {
            return ApiAnswer::refusal("Not found");
        };
        transaction.decide(reasons::APPROVED, token);
        transaction.auth_ms = Some(now);
        match transaction.draft.schema {
            Schema::Dual => transaction.status = Status::Authorized,
            Schema::Single => {
                transaction.status = Status::Completed;
                transaction.captured = transaction.draft.amount;
                transaction.confirm_ms = Some(now);
            }
        }
        self.notify(NotificationKind::Pay, id, now);
        self.describe(id)
    }

    pub(super) fn decline(&mut self, id: i64, reason: u16, now: i64) -> ApiAnswer {
        let token = self.token_for(id, false);
        let Some(transaction) = self.transactions.get_mut(&id) else {
            return ApiAnswer::refusal("Not found");
        };
        transaction.decide(reason, token);
        transaction.status = Status::Declined;
        self.notify(NotificationKind::Fail, id, now);
        self.describe(id)
    }

    /// The token of the payment's card for its payer; a refused payment shows one too.
    fn token_for(&mut self, id: i64, approved: bool) -> Option<String> {
        let draft = &self.transactions.get(&id)?.draft;
        if draft.by_token.is_some() {
            return draft.by_token.clone();
        }
        let account_id = draft.account_id.as_deref()?;
        let ids = &mut self.ids;
        let fresh = || format!("tk_{}", ids.hex(29));
        Some(self.tokens.issue(account_id, &draft.card, approved, fresh))
    }
}

impl Transaction {
    fn decide(&mut self, reason: u16, token: Option<String>) {
        self.reason_code = reason;
        self.decided = true;
        self.busy = false;
        self.token = token;
    }
}

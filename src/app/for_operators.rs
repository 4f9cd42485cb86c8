//! What a payment shows to operators beyond what it shows to the site.

use super::attempts::Attempt;
use super::capture_payment::may_be_charged;
use super::{App, Caller, PaymentDetails};
use crate::domain::scope::Scope;
use crate::domain::state::Status;
use crate::error::Result;
use crate::store::{operations, transactions};

/// Empty for everybody else.
#[derive(Debug, Default)]
pub struct ForOperators {
    /// The attempt in the provider's window that keeps the payer from another one now.
    pub held_by: Option<Attempt>,
    /// What the provider said when it refused a charge without making a transaction.
    pub provider_message: Option<String>,
}

impl App {
    /// What a caller with `ops:write` is shown of a payment in addition.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn for_operators(&self, caller: &Caller, details: &PaymentDetails) -> Result<ForOperators> {
        let payment = &details.payment;
        let may_be_held = payment.method.is_hosted() && payment.status.is_open();
        // The provider's words may name the payer: they go with the payer.
        let may_be_told = payment.status == Status::Declined && details.transactions.is_empty() && !payment.erased;
        if !caller.scopes.contains(&Scope::OpsWrite) || !(may_be_held || may_be_told) {
            return Ok(ForOperators::default());
        }
        let (id, now) = (payment.id.clone(), self.now());
        self.parts
            .store
            .read(move |tx| {
                let known = if may_be_held { transactions::of_payment(tx, &id)? } else { Vec::new() };
                let held_by = known.iter().find(|transaction| may_be_charged(transaction, now)).map(Attempt::of);
                let provider_message = if may_be_told { operations::refusal_of_charge(tx, &id)? } else { None };
                Ok(ForOperators { held_by, provider_message })
            })
            .await
    }
}

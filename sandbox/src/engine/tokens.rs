//! Tokens: cards kept for later payments of one payer.
//!
//! Limits: a token is issued for every payment with an `AccountId`, whatever `SaveCard` says.

use crate::cards::Card;
use std::collections::BTreeMap;

/// A card kept for later payments.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) token: String,
    pub(super) account_id: String,
    pub(super) card: Card,
    /// A payment by the card was approved.
    pub(super) approved: bool,
}

/// All tokens of the terminal, oldest first.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    items: Vec<Token>,
    by_token: BTreeMap<String, usize>,
    by_owner: BTreeMap<(String, Card), usize>,
}

impl Tokens {
    /// The card behind a token, for the payer it was issued to.
    pub(super) fn card(&self, token: &str, account_id: &str) -> Option<&Card> {
        let kept = self.items.get(*self.by_token.get(token)?)?;
        (kept.account_id == account_id).then_some(&kept.card)
    }

    /// The token of a payer's card; `fresh` makes one when there is none yet.
    pub(super) fn issue(
        &mut self,
        account_id: &str,
        card: &Card,
        approved: bool,
        fresh: impl FnOnce() -> String,
    ) -> String {
        let owner = (account_id.to_owned(), card.clone());
        if let Some(kept) = self.by_owner.get(&owner).and_then(|place| self.items.get_mut(*place)) {
            kept.approved |= approved;
            return kept.token.clone();
        }
        let token = fresh();
        let place = self.items.len();
        self.by_token.insert(token.clone(), place);
        self.by_owner.insert(owner, place);
        let account_id = account_id.to_owned();
        self.items.push(Token { token: token.clone(), account_id, card: card.clone(), approved });
        token
    }

    /// Tokens of cards that have paid.
    pub(super) fn approved(&self) -> impl Iterator<Item = &Token> {
        self.items.iter().filter(|kept| kept.approved)
    }
}

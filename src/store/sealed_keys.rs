//! Whether the keys of payers open. With an encryption key that is not theirs nobody's data can be read, and no account be found
//! by its hash: "nothing is held" would be said of people of whom much is held.

use diesel::prelude::*;

use super::payer_keys::Row;
use super::schema::payer_keys;
use super::types::moment;
use super::{Tx, payer_keys as keys};
use crate::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::error::Result;

/// Places between the oldest and the newest key at which a start looks.
const PLACES: i64 = 16;
/// Rows at each place among which a living key is looked for.
const NEIGHBOURS: i64 = 20;
/// Keys that are looked at together.
const SLICE: i64 = 1_000;

impl Row {
    fn is_living(&self) -> bool {
        self.wrapped_key.is_some()
    }

    /// The id of a living key that does not open, or whose account cannot be found.
    fn closed(&self, tx: &Tx<'_>) -> Option<String> {
        let wrapped = self.wrapped_key.as_deref()?;
        let account = self.account.as_deref().zip(self.account_hash.as_deref());
        (!keys::opens(tx.vault, &self.id, wrapped, account)).then(|| self.id.clone())
    }

    /// Whether it lives, and it or its account opens with none of the keys.
    fn is_lost(&self, tx: &Tx<'_>) -> bool {
        let wrapped = self.wrapped_key.as_deref();
        wrapped.is_some_and(|wrapped| keys::is_lost(tx.vault, &self.id, wrapped, self.account.as_deref()))
    }
}

/// Looks at living keys from the oldest to the newest, in a time that does not grow with their number. The first that does not
/// open.
pub fn closed_at_places(tx: &mut Tx<'_>) -> Result<Option<String>> {
    let all = || payer_keys::table.filter(payer_keys::id.ge(PaymentId::PREFIX)).select(Row::as_select());
    let newest: Vec<Row> = all().order(payer_keys::id.desc()).limit(NEIGHBOURS).load(tx.db())?;
    let oldest: Vec<Row> = all().order(payer_keys::id.asc()).limit(NEIGHBOURS).load(tx.db())?;
    let (Some(first), Some(last)) = (oldest.first(), newest.first()) else { return Ok(None) };
    let places = between(moment(first.created_at), moment(last.created_at));
    for near in [oldest, newest] {
        if let Some(closed) = near.iter().find(|row| row.is_living()).and_then(|row| row.closed(tx)) {
            return Ok(Some(closed));
        }
    }
    for place in places {
        let near: Vec<Row> = all()
            .filter(payer_keys::id.ge(place.as_str()))
            .order(payer_keys::id.asc())
            .limit(NEIGHBOURS)
            .load(tx.db())?;
        if let Some(closed) = near.iter().find(|row| row.is_living()).and_then(|row| row.closed(tx)) {
            return Ok(Some(closed));
        }
    }
    Ok(None)
}

/// Keys are named after payments, whose ids sort by time.
fn between(first: Timestamp, last: Timestamp) -> Vec<PaymentId> {
    let step = (last.micros() - first.micros()) / PLACES;
    (1..PLACES).map(|place| PaymentId::first_at(Timestamp::from_micros(first.micros() + step * place))).collect()
}

/// The `limit` living keys behind `after`: those that do not open, and where to go on; `None` at the end.
pub fn closed_behind(tx: &mut Tx<'_>, after: &str, limit: i64) -> Result<(Vec<String>, Option<String>)> {
    let rows = living_behind(tx, after, limit)?;
    Ok((rows.iter().filter_map(|row| row.closed(tx)).collect(), rows.last().map(|row| row.id.clone())))
}

fn living_behind(tx: &mut Tx<'_>, after: &str, limit: i64) -> Result<Vec<Row>> {
    let living = payer_keys::table.filter(payer_keys::id.gt(after)).filter(payer_keys::wrapped_key.is_not_null());
    Ok(living.order(payer_keys::id.asc()).limit(limit).select(Row::as_select()).load(tx.db())?)
}

/// Those of the keys that live and still do not open.
pub fn still_closed(tx: &mut Tx<'_>, ids: &[String]) -> Result<Vec<String>> {
    let rows: Vec<Row> = payer_keys::table.filter(payer_keys::id.eq_any(ids)).select(Row::as_select()).load(tx.db())?;
    Ok(rows.iter().filter_map(|row| row.closed(tx)).collect())
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// There is none of this id.
    Absent,
    /// It was destroyed.
    Erased,
    /// It opens, and so does its account.
    Opens,
    /// It opens with none of the keys, or its account does not.
    Lost,
}

/// How the key stands.
pub fn condition(tx: &mut Tx<'_>, id: &str) -> Result<Condition> {
    let row: Option<Row> = payer_keys::table.find(id).select(Row::as_select()).get_result(tx.db()).optional()?;
    let Some(row) = row else { return Ok(Condition::Absent) };
    Ok(match row.is_living() {
        false => Condition::Erased,
        true if row.is_lost(tx) => Condition::Lost,
        true => Condition::Opens,
    })
}

/// Whether any key opens: if none does, it is the encryption key that is wrong, and not the rows.
pub fn some_open(tx: &mut Tx<'_>) -> Result<bool> {
    let mut after = String::new();
    loop {
        let rows = living_behind(tx, &after, SLICE)?;
        let Some(last) = rows.last() else { return Ok(false) };
        after.clone_from(&last.id);
        if rows.iter().any(|row| !row.is_lost(tx)) {
            return Ok(true);
        }
    }
}

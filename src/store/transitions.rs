//! The history of payments: appended, never changed.

use diesel::prelude::*;

use serde_json::{Map, Value};

use super::schema::transitions;
use super::types::{NaiveDateTime, known, moment};
use super::{Tx, payer_keys};
use crate::app::Transition;
use crate::domain::id::PaymentId;
use crate::domain::state::{Cause, CauseType, Status};
use crate::error::{Error, Result};
use crate::vault;

/// Words of an operator in `detail`, and the member that takes their place when the row is read.
const SEALED_REASON: &str = "sealed_reason";
const REASON: &str = "reason";
/// What stands for "before the creation" in `from_status`.
const NOTHING: &str = "none";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = transitions)]
struct Row {
    payment_id: String,
    sequence: i64,
    from_status: String,
    to_status: String,
    cause_type: String,
    cause_id: Option<String>,
    actor: String,
    transaction_id: Option<i64>,
    detail: String,
    at: NaiveDateTime,
}

/// Appends a row. The database refuses a move that is not in the table, and a sequence that was used.
pub fn append(tx: &mut Tx<'_>, payment_id: &PaymentId, transition: &Transition) -> Result<()> {
    let row = Row {
        payment_id: payment_id.to_string(),
        sequence: transition.sequence,
        from_status: transition.from.map_or(NOTHING, Status::as_str).to_owned(),
        to_status: transition.to.as_str().to_owned(),
        cause_type: transition.cause.kind.as_str().to_owned(),
        cause_id: transition.cause.id.clone(),
        actor: transition.cause.actor.clone(),
        transaction_id: transition.transaction_id,
        detail: transition.detail.clone(),
        at: transition.at.naive_utc(),
    };
    diesel::insert_into(transitions::table).values(row).execute(tx.db())?;
    Ok(())
}

/// An operator's words for the detail of a row, sealed with the key of the payer: a history is never erased, so what may
/// name somebody is in it only as long as that key is. Nothing where there is no key: of an erased payer, and of a payment
/// from before payers had keys that `keys rotate-encryption` has not given one yet.
pub fn seal_reason(tx: &mut Tx<'_>, payment_id: &PaymentId, words: &str) -> Result<Option<(&'static str, String)>> {
    let payer = payer_keys::of_payment(tx, payment_id)?;
    let sealed = payer.seal(tx.vault, &reason_context(payment_id), words.as_bytes());
    let sealed = sealed.filter(|sealed| !vault::is_sealed_by_vault(sealed));
    Ok(sealed.map(|sealed| (SEALED_REASON, vault::base64(&sealed))))
}

fn reason_context(payment_id: &PaymentId) -> String {
    format!("transitions/reason/{payment_id}")
}

/// The detail as it is shown: with the words of an operator where they can be opened.
fn opened(tx: &mut Tx<'_>, payment_id: &PaymentId, detail: String) -> Result<String> {
    if !detail.contains(SEALED_REASON) {
        return Ok(detail);
    }
    let unreadable = || Error::internal(format!("a row of the history of {payment_id} cannot be read"));
    let mut members: Map<String, Value> = serde_json::from_str(&detail).map_err(|_| unreadable())?;
    let Some(Value::String(sealed)) = members.remove(SEALED_REASON) else { return Ok(detail) };
    let sealed = vault::from_base64(&sealed).ok_or_else(unreadable)?;
    let payer = payer_keys::of_payment(tx, payment_id)?;
    if let Some(plain) = payer.open(tx.vault, &reason_context(payment_id), &sealed)? {
        let words = String::from_utf8(plain).map_err(|_| unreadable())?;
        members.insert(REASON.to_owned(), Value::String(words));
    }
    Ok(Value::Object(members).to_string())
}

/// What a row of the history tells, as it is written: words of an operator stay sealed.
#[derive(Debug)]
pub struct Told {
    /// What brought it about.
    pub cause: CauseType,
    /// The key or worker that acted.
    pub actor: String,
    /// The provider's transaction it is about.
    pub transaction_id: Option<i64>,
    detail: Map<String, Value>,
}

impl Told {
    /// A member of the detail that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.detail.get(name).and_then(Value::as_str)
    }

    /// Whether the detail has exactly this member.
    pub fn tells(&self, name: &str, value: &str) -> bool {
        self.text(name) == Some(value)
    }

    /// Whether the detail has a member of this name.
    pub fn has(&self, name: &str) -> bool {
        self.detail.contains_key(name)
    }
}

/// All that the history of a payment tells, oldest first.
pub fn told(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<Told>> {
    let rows: Vec<Row> = transitions::table
        .filter(transitions::payment_id.eq(payment_id.as_str()))
        .order(transitions::sequence.asc())
        .select(Row::as_select())
        .load(tx.db())?;
    let told = |row: Row| {
        let unreadable = |_| Error::internal(format!("a row of the history of {payment_id} cannot be read"));
        Ok(Told {
            cause: known("transitions.cause_type", CauseType::parse(&row.cause_type))?,
            actor: row.actor,
            transaction_id: row.transaction_id,
            detail: serde_json::from_str(&row.detail).map_err(unreadable)?,
        })
    };
    rows.into_iter().map(told).collect()
}

/// A stretch of a payment's history, oldest first.
pub fn list(tx: &mut Tx<'_>, payment_id: &PaymentId, after: i64, limit: i64) -> Result<Vec<Transition>> {
    let rows: Vec<Row> = transitions::table
        .filter(transitions::payment_id.eq(payment_id.as_str()))
        .filter(transitions::sequence.gt(after))
        .order(transitions::sequence.asc())
        .limit(limit)
        .select(Row::as_select())
        .load(tx.db())?;
    let told = |row: Row| {
        let transition = from_row(row)?;
        Ok(Transition { detail: opened(tx, payment_id, transition.detail)?, ..transition })
    };
    rows.into_iter().map(told).collect()
}

/// The words of operators in the history of a payment, oldest first.
pub fn words_of_payment(tx: &mut Tx<'_>, payment_id: &PaymentId) -> Result<Vec<String>> {
    let details: Vec<String> = transitions::table
        .filter(transitions::payment_id.eq(payment_id.as_str()))
        .filter(transitions::detail.like(format!("%{SEALED_REASON}%")))
        .order(transitions::sequence.asc())
        .select(transitions::detail)
        .load(tx.db())?;
    let mut words = Vec::new();
    for detail in details {
        let shown: Map<String, Value> = serde_json::from_str(&opened(tx, payment_id, detail)?)
            .map_err(|_| Error::internal(format!("a row of the history of {payment_id} cannot be read")))?;
        words.extend(shown.get(REASON).and_then(Value::as_str).map(str::to_owned));
    }
    Ok(words)
}

/// Whether the row shows words of an operator.
pub fn holds_words(transition: &Transition) -> bool {
    transition.detail.contains(&format!("\"{REASON}\":"))
}

/// Shows the row without the words of an operator.
pub fn take_words_out(transition: &mut Transition) {
    if holds_words(transition) {
        let mut members: Map<String, Value> = serde_json::from_str(&transition.detail).unwrap_or_default();
        members.remove(REASON);
        transition.detail = Value::Object(members).to_string();
    }
}

fn from_row(row: Row) -> Result<Transition> {
    let from = (row.from_status != NOTHING)
        .then(|| known("transitions.from_status", Status::parse(&row.from_status)))
        .transpose()?;
    Ok(Transition {
        sequence: row.sequence,
        from,
        to: known("transitions.to_status", Status::parse(&row.to_status))?,
        cause: Cause {
            kind: known("transitions.cause_type", CauseType::parse(&row.cause_type))?,
            id: row.cause_id,
            actor: row.actor,
        },
        at: moment(row.at),
        transaction_id: row.transaction_id,
        detail: row.detail,
    })
}

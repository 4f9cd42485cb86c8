//! API keys: kept by the hash of their secret.

use diesel::prelude::*;

use super::Tx;
use super::schema::api_keys;
use super::types::{NaiveDateTime, known, moment};
use crate::clock::Timestamp;
use crate::domain::id::ApiKeyId;
use crate::domain::scope::Scope;
use crate::error::{Conflict, Error, Result};

/// A key as it is kept.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id; part of the secret, so that it is found without searching.
    pub id: ApiKeyId,
    /// For people.
    pub name: String,
    /// SHA-256 of the secret, which has 256 random bits.
    pub secret_hash: Vec<u8>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops to work.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The first key of its line: itself, or the one that its predecessors began with.
    pub lineage: ApiKeyId,
    /// When it was succeeded, and by which key; it works on until `expires_at`.
    pub rotated: Option<(Timestamp, ApiKeyId)>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys)]
struct Row {
    id: String,
    name: String,
    secret_hash: Vec<u8>,
    scopes: String,
    created_at: NaiveDateTime,
    expires_at: Option<NaiveDateTime>,
    revoked_at: Option<NaiveDateTime>,
    lineage: Option<String>,
    rotated_at: Option<NaiveDateTime>,
    successor_id: Option<String>,
    last_used_at: Option<NaiveDateTime>,
}

/// Writes a new key.
pub fn insert(tx: &mut Tx<'_>, key: &ApiKey) -> Result<()> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let row = Row {
        id: key.id.to_string(),
        name: key.name.clone(),
        secret_hash: key.secret_hash.clone(),
        scopes: scopes.join(" "),
        created_at: key.created_at.naive_utc(),
        expires_at: key.expires_at.map(Timestamp::naive_utc),
        revoked_at: key.revoked_at.map(Timestamp::naive_utc),
        lineage: (key.lineage != key.id).then(|| key.lineage.to_string()),
        rotated_at: key.rotated.as_ref().map(|(at, _)| at.naive_utc()),
        successor_id: key.rotated.as_ref().map(|(_, successor)| successor.to_string()),
        last_used_at: key.last_used_at.map(Timestamp::naive_utc),
    };
    diesel::insert_into(api_keys::table).values(row).execute(tx.db())?;
    Ok(())
}

/// One key.
pub fn find(tx: &mut Tx<'_>, id: &ApiKeyId) -> Result<Option<ApiKey>> {
    let row = api_keys::table.find(id.as_str()).select(Row::as_select()).get_result(tx.db()).optional()?;
    row.map(from_row).transpose()
}

/// Whether none of the keys of a line works any more at `now`: each of them was revoked or is over. Nothing is known of a line
/// that is not here.
pub fn line_has_ended(tx: &mut Tx<'_>, line: &ApiKeyId, now: Timestamp) -> Result<bool> {
    let keys: Vec<(Option<NaiveDateTime>, Option<NaiveDateTime>)> = api_keys::table
        .filter(api_keys::id.eq(line.as_str()).or(api_keys::lineage.eq(line.as_str())))
        .select((api_keys::revoked_at, api_keys::expires_at))
        .load(tx.db())?;
    let works = |revoked: &Option<NaiveDateTime>, end: &Option<NaiveDateTime>| {
        revoked.is_none() && end.is_none_or(|end| now < moment(end))
    };
    Ok(!keys.is_empty() && !keys.iter().any(|(revoked, end)| works(revoked, end)))
}

/// Every key, oldest first.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<ApiKey>> {
    let rows = api_keys::table.order(api_keys::id.asc()).select(Row::as_select()).load(tx.db())?;
    rows.into_iter().map(from_row).collect()
}

/// What tells whether a secret is that of a key.
#[derive(Debug, Clone)]
pub struct Lock {
    /// SHA-256 of the secret.
    pub secret_hash: Vec<u8>,
    /// When the key stops to work.
    pub expires_at: Option<Timestamp>,
}

/// The locks of all keys that were not revoked, newest first.
pub fn locks(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(ApiKeyId, Lock)>> {
    let rows: Vec<(String, Vec<u8>, Option<NaiveDateTime>)> = api_keys::table
        .filter(api_keys::revoked_at.is_null())
        .order(api_keys::id.desc())
        .limit(limit)
        .select((api_keys::id, api_keys::secret_hash, api_keys::expires_at))
        .load(tx.db())?;
    let lock =
        |secret_hash, expires_at: Option<NaiveDateTime>| Lock { secret_hash, expires_at: expires_at.map(moment) };
    Ok(rows.into_iter().map(|(id, hash, expires_at)| (ApiKeyId::from_stored(id), lock(hash, expires_at))).collect())
}

/// Ends a key; `false` when there is none or it was ended before.
pub fn revoke(tx: &mut Tx<'_>, id: &ApiKeyId, at: Timestamp) -> Result<bool> {
    let changed = diesel::update(api_keys::table.find(id.as_str()))
        .filter(api_keys::revoked_at.is_null())
        .set(api_keys::revoked_at.eq(Some(at.naive_utc())))
        .execute(tx.db())?;
    Ok(changed == 1)
}

/// Writes the successor of a key and ends the key at `works_until`.
///
/// # Errors
/// [`Conflict::InvalidState`] when it has a successor already.
pub fn succeed(
    tx: &mut Tx<'_>,
    id: &ApiKeyId,
    successor: &ApiKey,
    at: Timestamp,
    works_until: Timestamp,
) -> Result<()> {
    insert(tx, successor)?;
    let changed = diesel::update(api_keys::table.find(id.as_str()))
        .filter(api_keys::successor_id.is_null())
        .set((
            api_keys::successor_id.eq(Some(successor.id.as_str())),
            api_keys::rotated_at.eq(Some(at.naive_utc())),
            api_keys::expires_at.eq(Some(works_until.naive_utc())),
        ))
        .execute(tx.db())?;
    match changed {
        1 => Ok(()),
        _ => Err(Error::conflict(Conflict::InvalidState, format!("{id} was rotated already; see `keys list`"))),
    }
}

/// Notes that a key was used at `at`, unless a use after `before` is noted already.
pub fn note_use(tx: &mut Tx<'_>, id: &ApiKeyId, at: Timestamp, before: Timestamp) -> Result<()> {
    let due = api_keys::last_used_at.is_null().or(api_keys::last_used_at.le(before.naive_utc()));
    diesel::update(api_keys::table.find(id.as_str()).filter(due))
        .set(api_keys::last_used_at.eq(Some(at.naive_utc())))
        .execute(tx.db())?;
    Ok(())
}

fn from_row(row: Row) -> Result<ApiKey> {
    let scopes = row
        .scopes
        .split_whitespace()
        .map(|scope| known("api_keys.scopes", Scope::parse(scope)))
        .collect::<Result<_>>()?;
    let id = ApiKeyId::from_stored(row.id);
    Ok(ApiKey {
        lineage: row.lineage.map_or_else(|| id.clone(), ApiKeyId::from_stored),
        id,
        name: row.name,
        secret_hash: row.secret_hash,
        scopes,
        created_at: moment(row.created_at),
        expires_at: row.expires_at.map(moment),
        revoked_at: row.revoked_at.map(moment),
        rotated: row.rotated_at.map(moment).zip(row.successor_id.map(ApiKeyId::from_stored)),
        last_used_at: row.last_used_at.map(moment),
    })
}

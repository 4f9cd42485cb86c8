//! `keys`: API keys from the command line.

use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::say::say_line;
use super::{Outcome, report, text};
use crate::app::{NewKey, Rotation, create_api_key, keep_api_key, revoke_api_key, rotate_api_key};
use crate::clock::{Clock, SystemClock, SystemIds, Timestamp};
use crate::config::Raw;
use crate::domain::id::ApiKeyId;
use crate::domain::scope::Scope;
use crate::store::api_keys::{self, ApiKey};
use crate::store::{Store, StoreSettings, migrate};
use crate::vault::Vault;

/// Longest overlap of a key and its successor, seconds.
const MAX_OVERLAP_S: i64 = 90 * 86_400;
const NO_ID: &str = "not the id of a key: it begins with key_, see `keys list`";

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Makes a key and shows its secret, this once.
    Create {
        /// For people, for example the system that will use it.
        #[arg(long)]
        name: String,
        /// Comma-separated: payments:read, payments:write, refunds:write, reports:read, ops:write, personal_data:write.
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<String>,
        /// When it stops to work: 365d, 12h. Never when left out.
        #[arg(long, value_parser = parse_span)]
        expires_in: Option<i64>,
        /// How to print it.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Makes the successor of a key: same name, scopes and memory, so that a request begun with the old key is safely repeated
    /// with the new one. The old key works on for a while.
    Rotate {
        /// key_…, as `keys list` shows it.
        id: String,
        /// How long the old key works on: 7d, 12h; 0d ends it at once. At most 90d.
        #[arg(long, default_value = "7d", value_parser = parse_overlap)]
        overlap: i64,
        /// When the successor stops to work: 365d, 12h. As long as the old key was made for when left out.
        #[arg(long, value_parser = parse_span)]
        expires_in: Option<i64>,
        /// How to print it.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Lists the keys, without their secrets: what became of each and when it was last used.
    List {
        /// How to print them.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Ends a key. A running service refuses it after at most a second.
    Revoke {
        /// key_…, as `keys list` shows it.
        id: String,
    },
    /// Moves everything under the current privacy.encryption_key, so that the previous keys can be forgotten.
    ///
    /// First give the service the new key, with the old one in privacy.previous_keys, and restart it; then run this beside
    /// it, with the same settings. It works in short steps, may be broken off and is run again.
    RotateEncryption,
    /// The last resort where the key of a payer is lost: destroys it, and the payer counts as erased.
    ///
    /// Works while the service does not start because of it. Refuses a key that opens with privacy.encryption_key or one of
    /// privacy.previous_keys. Without an id it lists the keys that open with none.
    GiveUp {
        /// pay_… or ntf_…, as the refusal to start names it.
        id: Option<String>,
        /// Destroys it. Without this it is only shown what lies under it.
        #[arg(long, requires = "id")]
        confirm: bool,
        /// Says that the encryption key itself is lost. Without this a key is destroyed only while another one opens: a wrong
        /// privacy.encryption_key looks the same.
        #[arg(long, requires = "confirm")]
        none_opens: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Seconds of a span such as 365d, 12h or 30m.
pub(super) fn parse_span(text: &str) -> Result<i64, String> {
    let advice = || "write a number and d, h or m, for example 365d".to_owned();
    let unit = text.chars().last().ok_or_else(advice)?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        _ => return Err(advice()),
    };
    let number: u32 = text.trim_end_matches(unit).parse().map_err(|_| advice())?;
    if number == 0 || number > 100_000 {
        return Err(advice());
    }
    Ok(i64::from(number) * seconds)
}

/// Seconds for which an old key works on.
fn parse_overlap(text: &str) -> Result<i64, String> {
    if matches!(text, "0d" | "0h" | "0m") {
        return Ok(0);
    }
    match parse_span(text)? {
        seconds if seconds <= MAX_OVERLAP_S => Ok(seconds),
        _ => Err("an old key may work on for at most 90d".to_owned()),
    }
}

pub(super) async fn run(raw: Raw, command: KeysCommand) -> Outcome {
    match command {
        KeysCommand::Create { name, scopes, expires_in, format } => {
            create(&open(&raw, true)?, &name, &scopes, expires_in, format).await
        }
        KeysCommand::Rotate { id, overlap, expires_in, format } => {
            let rotation = Rotation { overlap_s: overlap, lifetime_s: expires_in };
            rotate(&open(&raw, false)?, &id, rotation, format).await
        }
        KeysCommand::List { format } => list(&open(&raw, false)?, format).await,
        KeysCommand::Revoke { id } => revoke(&open(&raw, false)?, &id).await,
        KeysCommand::RotateEncryption => super::rotate::run(&raw).await,
        KeysCommand::GiveUp { id, confirm, none_opens } => super::give_up::run(&raw, id, confirm, none_opens).await,
    }
}

/// The database alone: no provider, no encryption key is needed for keys.
fn open(raw: &Raw, creates: bool) -> Result<Store, String> {
    let target = raw.database_target().map_err(text)?;
    if creates {
        migrate::migrate(&target).map_err(report)?;
    } else if target.file().is_some_and(|file| !file.exists()) || !migrate::is_current(&target).map_err(report)? {
        return Err("this database has no keys yet; check database.url, or run: kmic-payments migrate".to_owned());
    }
    if let Some(file) = target.file().filter(|_| creates) {
        eprintln!("database {}", file.display());
    }
    let settings = StoreSettings { target, readers: 1, writers: 1, batch_limit: 1, queue_limit: 16 };
    // Keys hold nothing sealed, so any vault does.
    Store::start(&settings, &Arc::new(Vault::new(&[0; 32], &[]))).map_err(text)
}

async fn create(store: &Store, name: &str, scopes: &[String], expires_in: Option<i64>, format: Format) -> Outcome {
    let unknown: Vec<&str> = scopes.iter().filter(|scope| Scope::parse(scope).is_none()).map(String::as_str).collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        return Err(format!("no such scope: {}; there are {}", unknown.join(", "), known.join(", ")));
    }
    if name.trim().is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        return Err("--name must be 1 to 100 printable characters".to_owned());
    }
    let scopes = scopes.iter().filter_map(|scope| Scope::parse(scope)).collect();
    let now = SystemClock.now();
    let new = create_api_key(name, scopes, now, expires_in.map(|seconds| now.plus_seconds(seconds)), &SystemIds);
    keep_api_key(store, new.key.clone(), &SystemIds).await.map_err(report)?;
    print_new(&new, format);
    Ok(())
}

async fn rotate(store: &Store, id: &str, rotation: Rotation, format: Format) -> Outcome {
    let id = ApiKeyId::parse(id).ok_or(NO_ID)?;
    let rotated = rotate_api_key(store, id.clone(), rotation, SystemClock.now(), &SystemIds).await.map_err(report)?;
    print_new(&rotated.new, format);
    if let Format::Text = format {
        match rotated.old_works_until {
            Some(until) => say_line!("{id} works until {until}; `keys list` shows whether it is still in use."),
            None => say_line!("{id} does not work any more."),
        }
    }
    Ok(())
}

fn print_new(new: &NewKey, format: Format) {
    match format {
        Format::Json => say_line!("{}", describe(&new.key, Some(&new.secret))),
        Format::Text => {
            say_line!("id      {}\nname    {}\nscopes  {}", new.key.id, new.key.name, scope_names(&new.key).join(" "));
            say_line!("expires {}", expiry(new.key.expires_at));
            say_line!("secret  {}\n\nThe secret is not shown again: keep it now.", new.secret);
        }
    }
}

async fn list(store: &Store, format: Format) -> Outcome {
    let keys = store.read(api_keys::list).await.map_err(report)?;
    match format {
        Format::Json => say_line!("{}", serde_json::Value::Array(keys.iter().map(|key| describe(key, None)).collect())),
        Format::Text => {
            for key in &keys {
                say_line!(
                    "{}  {}  {}  {}  {}",
                    key.id,
                    key.name,
                    scope_names(key).join(" "),
                    state(key),
                    last_use(key)
                );
            }
        }
    }
    Ok(())
}

async fn revoke(store: &Store, id: &str) -> Outcome {
    let id = ApiKeyId::parse(id).ok_or(NO_ID)?;
    let now = SystemClock.now();
    let shown = id.clone();
    let revoked = revoke_api_key(store, id, now, &SystemIds).await.map_err(report)?;
    if !revoked {
        return Err(format!("there is no key {shown}, or it was revoked before"));
    }
    say_line!("revoked {shown}");
    Ok(())
}

fn scope_names(key: &ApiKey) -> Vec<&'static str> {
    key.scopes.iter().map(|scope| scope.as_str()).collect()
}

fn expiry(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

fn state(key: &ApiKey) -> String {
    let rotated = key.rotated.as_ref().map(|(at, successor)| format!("rotated {at} to {successor}, "));
    match key.revoked_at {
        Some(at) => format!("{}revoked {at}", rotated.unwrap_or_default()),
        None => format!("{}expires {}", rotated.unwrap_or_default(), expiry(key.expires_at)),
    }
}

fn last_use(key: &ApiKey) -> String {
    let Some(at) = key.last_used_at else { return "never used".to_owned() };
    let late = key.rotated.as_ref().is_some_and(|(rotated_at, _)| at >= *rotated_at);
    format!("last used {at}{}", if late { ", after its rotation" } else { "" })
}

fn describe(key: &ApiKey, secret: Option<&str>) -> serde_json::Value {
    let mut value = json!({
        "id": key.id.as_str(),
        "name": key.name,
        "scopes": scope_names(key),
        "expires_at": key.expires_at.map(|at| at.to_string()),
    });
    let more = match secret {
        Some(secret) => json!({ "secret": secret }),
        None => {
            let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
            json!({
                "created_at": key.created_at.to_string(),
                "revoked_at": text(key.revoked_at),
                "last_used_at": text(key.last_used_at),
                "rotated_at": text(key.rotated.as_ref().map(|(at, _)| *at)),
                "successor_id": key.rotated.as_ref().map(|(_, successor)| successor.as_str()),
                "lineage": key.lineage.as_str(),
            })
        }
    };
    if let (Some(object), serde_json::Value::Object(more)) = (value.as_object_mut(), more) {
        object.extend(more);
    }
    value
}

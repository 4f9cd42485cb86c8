//! The published groups of each business day, and what they are made of.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamp as SqlTimestamp};

use super::Tx;
use super::conn::on_each;
use super::schema::{summary_days, summary_groups};
use super::types::{NaiveDateTime, currency, known, moment};
use crate::clock::Timestamp;
use crate::domain::business_day::BusinessDay;
use crate::domain::decline::classify;
use crate::domain::summary::{Dimension, Group, GroupKey, Line, Outcome, Parts, Tally, UNKNOWN};
use crate::error::{Error, Result};

/// Most groups of a window that are read: far above what days, currencies, outcomes and parts come to.
const MAX_GROUPS: usize = 200_000;
/// The dimension of a whole.
const WHOLE: &str = "all";

/// What the provider's transactions came to between `$1` and `$2`; reads the index transactions_moved.
pub const MOVED: &str = "SELECT t.currency, CASE WHEN t.kind = 'refund' THEN 'refunded' WHEN t.status = 'completed' THEN 'paid' \
     ELSE 'declined' END AS outcome, t.card_brand AS brand, p.method, t.reason_code, count(*) AS members, \
     CAST(sum(CASE WHEN t.kind = 'payment' AND t.status = 'completed' THEN t.captured ELSE t.amount END) AS BIGINT) AS amount \
     FROM transactions t JOIN payments p ON p.id = t.payment_id \
     WHERE t.moved_at >= $1 AND t.moved_at < $2 \
     AND (t.status = 'completed' OR (t.status = 'declined' AND t.kind = 'payment')) \
     GROUP BY 1, 2, 3, 4, 5";

/// Payments that ended without money between `$1` and `$2`; reads the index transitions_ended, whose condition stands here
/// word for word.
pub const ENDED: &str = "SELECT p.currency, h.to_status AS outcome, NULL AS brand, p.method, NULL AS reason_code, \
     count(*) AS members, CAST(sum(p.amount) AS BIGINT) AS amount \
     FROM transitions h JOIN payments p ON p.id = h.payment_id \
     WHERE h.at >= $1 AND h.at < $2 AND h.to_status IN ('cancelled', 'expired') AND h.from_status <> h.to_status \
     GROUP BY 1, 2, 4";

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    brand: Option<String>,
    #[diesel(sql_type = Text)]
    method: String,
    #[diesel(sql_type = Nullable<Integer>)]
    reason_code: Option<i32>,
    #[diesel(sql_type = BigInt)]
    members: i64,
    #[diesel(sql_type = BigInt)]
    amount: i64,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = summary_groups)]
struct Row {
    day: String,
    currency: String,
    status: String,
    dimension: String,
    part: String,
    members: i64,
    amount: i64,
}

/// A day that is published.
#[derive(Debug, Clone)]
pub struct PublishedDay {
    /// Which.
    pub day: BusinessDay,
    /// When it was published.
    pub published_at: Timestamp,
    /// What of it.
    pub groups: BTreeMap<GroupKey, Group>,
}

/// What happened on a day: not anonymous, only to be published by the rule of [`crate::domain::summary`].
pub fn lines(tx: &mut Tx<'_>, from: Timestamp, until: Timestamp) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for sql in [MOVED, ENDED] {
        let sums: Vec<Sum> = on_each!(tx.db(), |conn| sql_query(sql)
            .bind::<SqlTimestamp, _>(from.naive_utc())
            .bind::<SqlTimestamp, _>(until.naive_utc())
            .load(conn))?;
        for sum in sums {
            lines.push(sum.into_line()?);
        }
    }
    Ok(lines)
}

impl Sum {
    fn into_line(self) -> Result<Line> {
        let outcome = known("outcome", Outcome::parse(&self.outcome))?;
        let brand = (Dimension::Brand, self.brand.unwrap_or_else(|| UNKNOWN.to_owned()));
        let method = (Dimension::Method, self.method);
        let category = || (Dimension::Category, classify(self.reason_code.unwrap_or(0)).category.as_str().to_owned());
        let parts = match outcome {
            Outcome::Paid | Outcome::Refunded => vec![brand, method],
            Outcome::Declined => vec![brand, method, category()],
            Outcome::Cancelled | Outcome::Expired => vec![method],
        };
        let tally = Tally { count: self.members, minor: self.amount };
        Ok(Line { currency: currency(&self.currency)?, outcome, parts, tally })
    }
}

/// The published days from `from` to `to`, both included, oldest first.
pub fn published(tx: &mut Tx<'_>, from: BusinessDay, to: BusinessDay) -> Result<Vec<PublishedDay>> {
    let days: Vec<(String, NaiveDateTime)> = summary_days::table
        .filter(summary_days::day.between(from.to_string(), to.to_string()))
        .order(summary_days::day.asc())
        .select((summary_days::day, summary_days::published_at))
        .load(tx.db())?;
    let rows: Vec<Row> = summary_groups::table
        .filter(summary_groups::day.between(from.to_string(), to.to_string()))
        .limit(i64::try_from(MAX_GROUPS).unwrap_or(i64::MAX))
        .select(Row::as_select())
        .load(tx.db())?;
    if rows.len() == MAX_GROUPS {
        return Err(Error::internal("a summary has more groups than are read"));
    }
    let mut by_day: BTreeMap<String, BTreeMap<GroupKey, Group>> = BTreeMap::new();
    for row in rows {
        let key = (currency(&row.currency)?, known("summary_groups.status", Outcome::parse(&row.status))?);
        add(by_day.entry(row.day.clone()).or_default().entry(key).or_default(), row)?;
    }
    days.into_iter()
        .map(|(day, published_at)| {
            let groups = by_day.remove(&day).unwrap_or_default();
            let day = known("summary_days.day", BusinessDay::parse(&day))?;
            Ok(PublishedDay { day, published_at: moment(published_at), groups })
        })
        .collect()
}

fn add(group: &mut Group, row: Row) -> Result<()> {
    let tally = Tally { count: row.members, minor: row.amount };
    if row.dimension == WHOLE {
        group.total = tally;
        return Ok(());
    }
    let dimension = known("summary_groups.dimension", Dimension::parse(&row.dimension))?;
    let parts = group.parts.entry(dimension).or_default();
    if row.part.is_empty() {
        parts.rest = Some(tally);
    } else {
        parts.named.insert(row.part, tally);
    }
    Ok(())
}

/// Publishes a day; `false` when it is published already, and stays as it is.
pub fn publish(
    tx: &mut Tx<'_>,
    day: BusinessDay,
    groups: &BTreeMap<GroupKey, Group>,
    published_at: Timestamp,
) -> Result<bool> {
    let rows: Vec<Row> = groups.iter().flat_map(|(key, group)| rows(day, *key, group)).collect();
    let row = (
        summary_days::day.eq(day.to_string()),
        summary_days::published_at.eq(published_at.naive_utc()),
        // Beyond so many the database takes no group of the day.
        summary_days::group_count.eq(i64::try_from(rows.len()).unwrap_or(i64::MAX)),
    );
    let inserted = on_each!(tx.db(), |conn| diesel::insert_into(summary_days::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    if inserted == 0 {
        return Ok(false);
    }
    for row in rows {
        diesel::insert_into(summary_groups::table).values(row).execute(tx.db())?;
    }
    Ok(true)
}

fn rows(day: BusinessDay, (currency, outcome): GroupKey, group: &Group) -> Vec<Row> {
    let row = |dimension: &str, part: &str, tally: Tally| Row {
        day: day.to_string(),
        currency: currency.code().to_owned(),
        status: outcome.as_str().to_owned(),
        dimension: dimension.to_owned(),
        part: part.to_owned(),
        members: tally.count,
        amount: tally.minor,
    };
    let of_dimension = |(dimension, parts): (&Dimension, &Parts)| {
        let named = parts.named.iter().map(|(name, tally)| row(dimension.as_str(), name, *tally));
        named.chain(parts.rest.map(|rest| row(dimension.as_str(), "", rest))).collect::<Vec<_>>()
    };
    [row(WHOLE, "", group.total)].into_iter().chain(group.parts.iter().flat_map(of_dimension)).collect()
}

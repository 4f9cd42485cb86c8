//! The summary that may be published: days are published once and stay as they are.

use std::collections::BTreeMap;

use super::App;
use crate::clock::Timestamp;
use crate::domain::business_day::BusinessDay;
use crate::domain::summary::{Group, GroupKey, publish};
use crate::error::Result;
pub use crate::store::summary::PublishedDay;
use crate::store::{Lane, summary};

/// A day can be published so long after its end, seconds: the comparison with the register has brought what was not told.
const PUBLISHED_AFTER_S: i64 = 86_400;

/// What is published of a window of days.
#[derive(Debug)]
pub struct Summary {
    /// The published days of which a group is large enough to be shown, oldest first.
    pub days: Vec<PublishedDay>,
    /// The sums over them, with the number of days on which the group was published.
    pub totals: BTreeMap<GroupKey, (Group, i64)>,
    /// Days of the window that are not over for long enough.
    pub not_published: Vec<BusinessDay>,
}

impl App {
    /// What is published of the days from `from` to `to`, both included. Days of the window that nobody asked for before
    /// are published by this.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn summary(&self, from: BusinessDay, to: BusinessDay) -> Result<Summary> {
        let now = self.now();
        let days = (0..=u64::try_from(to.days_since(from)).unwrap_or(0)).map(|days| from.plus_days(days));
        let (due, not_published): (Vec<_>, Vec<_>) = days.partition(|day| is_due(*day, now));
        let known = self.parts.store.read(move |tx| summary::published(tx, from, to)).await?;
        let missing: Vec<_> = due.into_iter().filter(|day| !known.iter().any(|known| known.day == *day)).collect();
        let mut days = known;
        if !missing.is_empty() {
            for day in missing {
                self.publish_day(day, now).await?;
            }
            days = self.parts.store.read(move |tx| summary::published(tx, from, to)).await?;
        }
        // A day on which little happened does not differ from one on which nothing did.
        days.retain(|day| !day.groups.is_empty());
        Ok(Summary { totals: totals(&days), days, not_published })
    }

    /// Publishes a day, also one on which nothing happened: what comes to light later must not show that. Of two processes
    /// that publish the same day one is first, and both show what it published.
    async fn publish_day(&self, day: BusinessDay, now: Timestamp) -> Result<()> {
        let lines = self.parts.store.read(move |tx| summary::lines(tx, day.begin(), day.end())).await?;
        let groups = publish(&lines);
        self.parts.store.write(Lane::of("summary"), move |tx| summary::publish(tx, day, &groups, now)).await.map(drop)
    }
}

fn is_due(day: BusinessDay, now: Timestamp) -> bool {
    day.end().plus_seconds(PUBLISHED_AFTER_S) <= now
}

fn totals(days: &[PublishedDay]) -> BTreeMap<GroupKey, (Group, i64)> {
    let mut totals: BTreeMap<GroupKey, (Group, i64)> = BTreeMap::new();
    for (key, group) in days.iter().flat_map(|day| &day.groups) {
        let (sum, days) = totals.entry(*key).or_default();
        *days += 1;
        sum.add(group);
    }
    totals
}

//! The summary that may be published.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Answered, Key, ReadReports, shown};
use super::query::QueryReader;
use super::report_examples;
use super::schemas::OutcomeName;
use super::server::Shared;
use super::view::{Moment, MoneyView};
use crate::app::{App, PublishedDay, Summary};
use crate::domain::business_day::{BusinessDay, ZONE};
use crate::domain::money::Money;
use crate::domain::summary::{Dimension, Group, GroupKey, Parts, SMALLEST_GROUP, Tally};
use crate::error::Fault;

/// Most days of a window.
const MAX_DAYS: i64 = 92;

/// A part of a group.
#[derive(Serialize, ToSchema)]
#[schema(as = SummaryPart)]
struct PartView {
    /// Its name: a card's payment system, a payment method or a group of refusal reasons; `unknown` where it was not told.
    name: String,
    /// Members.
    count: i64,
    /// Their sum.
    sum: MoneyView,
}

/// All parts together that are not told apart.
#[derive(Serialize, ToSchema)]
#[schema(as = SummaryRest)]
struct RestView {
    /// Members.
    count: i64,
    /// Their sum.
    sum: MoneyView,
}

/// A group divided.
#[derive(Serialize, ToSchema)]
#[schema(as = SummaryParts)]
struct PartsView {
    /// The parts that are told apart.
    parts: Vec<PartView>,
    /// The others together: small ones and, so that none can be worked out, the smallest of the large ones. Absent where
    /// there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    rest: Option<RestView>,
}

/// What happened with one outcome in one currency. `by_…` are absent where they do not apply.
#[derive(Serialize, ToSchema)]
#[schema(as = SummaryGroup)]
struct GroupView {
    /// What became of them.
    #[schema(value_type = OutcomeName)]
    status: &'static str,
    /// Of how many days the group is the sum, in `totals` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<i64>,
    /// Members: transactions, refused attempts or payments, not people.
    count: i64,
    /// Their sum: what was taken or given back; for `declined`, `cancelled` and `expired` what was to be paid.
    sum: MoneyView,
    /// By the card's payment system.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_card_brand: Option<PartsView>,
    /// By payment method.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_method: Option<PartsView>,
    /// By group of refusal reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_decline_category: Option<PartsView>,
}

/// A day that is published.
#[derive(Serialize, ToSchema)]
#[schema(as = SummaryDay)]
struct DayView {
    /// The day in Almaty.
    #[schema(example = "2026-03-02")]
    date: String,
    /// When it was published. It stays as it is.
    #[schema(value_type = String, format = DateTime)]
    published_at: Moment,
    /// The groups that are large enough. One that is absent had fewer members than `smallest_group`, or none.
    groups: Vec<GroupView>,
}

/// What is published of a window of business days.
#[derive(Serialize, ToSchema)]
#[schema(as = Summary)]
pub(super) struct SummaryView {
    /// The first day.
    #[schema(example = "2026-03-01")]
    from: String,
    /// The last day.
    #[schema(example = "2026-03-31")]
    to: String,
    /// Whose days these are.
    #[schema(example = "Asia/Almaty")]
    timezone: &'static str,
    /// Groups with fewer members are not published.
    smallest_group: i64,
    /// The days with a group that is large enough, oldest first. One that is absent had only small groups, or none.
    days: Vec<DayView>,
    /// The sums over the published groups of these days.
    totals: Vec<GroupView>,
    /// Days of the window that are not published yet: they have to be over for 24 hours.
    not_published: Vec<String>,
}

/// Summarize days for publication
///
/// Counts and sums of what happened on each business day in Almaty, by currency, outcome, card brand, method and refusal
/// reason. Anonymous: no group has fewer than five members (transactions, attempts or payments; several may be one payer's), and none can be worked out from others, from overlapping
/// windows or from asking again, because each day is published once and every answer adds up published days. At most 92
/// days. For the books use the register.
#[utoipa::path(get, path = "/v1/reports/summary", tag = "Reports", security(("api_key" = ["reports:read"])),
    params(
        ("from" = String, Query, description = "The first business day, as `2026-03-01`."),
        ("to" = String, Query, description = "The last business day, included; at most 92 days with the first."),
    ),
    responses((status = 200, description = "What is published.", body = SummaryView, example = json!(report_examples::summary()))))]
pub(super) async fn get_summary(_key: Key<ReadReports>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let mut query = QueryReader::new(request.query_string());
    let window = window(&mut query, &shared.app);
    let (from, to) = query.finish_with(window)?;
    shown(summary_view(from, to, &shared.app.summary(from, to).await?))
}

fn window(query: &mut QueryReader, app: &App) -> Option<(BusinessDay, BusinessDay)> {
    let (from, to) = (query.business_day("from"), query.business_day("to"));
    let (from, to) = (from?, to?);
    if to < from {
        query.refuse(Fault::new("to", "out_of_range", "the last day lies before the first"));
    } else if to.days_since(from) >= MAX_DAYS {
        query.refuse(Fault::new("to", "out_of_range", format!("ask for at most {MAX_DAYS} days at once")));
    }
    if from > app.today() {
        query.refuse(Fault::new("from", "out_of_range", "the day has not begun in Almaty"));
    }
    Some((from, to))
}

pub(super) fn summary_view(from: BusinessDay, to: BusinessDay, summary: &Summary) -> SummaryView {
    let groups = |groups: &BTreeMap<GroupKey, Group>| -> Vec<GroupView> {
        groups.iter().map(|(key, group)| group_view(*key, group, None)).collect()
    };
    let day = |day: &PublishedDay| DayView {
        date: day.day.to_string(),
        published_at: Moment(day.published_at),
        groups: groups(&day.groups),
    };
    SummaryView {
        from: from.to_string(),
        to: to.to_string(),
        timezone: ZONE.name(),
        smallest_group: SMALLEST_GROUP,
        days: summary.days.iter().map(day).collect(),
        totals: summary.totals.iter().map(|(key, (group, days))| group_view(*key, group, Some(*days))).collect(),
        not_published: summary.not_published.iter().map(BusinessDay::to_string).collect(),
    }
}

fn group_view((currency, outcome): GroupKey, group: &Group, days: Option<i64>) -> GroupView {
    let sum = |tally: &Tally| MoneyView::from(Money::new(tally.minor, currency));
    let view = |parts: &Parts| PartsView {
        parts: parts
            .named
            .iter()
            .map(|(name, tally)| PartView { name: name.clone(), count: tally.count, sum: sum(tally) })
            .collect(),
        rest: parts.rest.as_ref().map(|rest| RestView { count: rest.count, sum: sum(rest) }),
    };
    let by = |dimension: Dimension| group.parts.get(&dimension).map(view);
    GroupView {
        status: outcome.as_str(),
        days,
        count: group.total.count,
        sum: sum(&group.total),
        by_card_brand: by(Dimension::Brand),
        by_method: by(Dimension::Method),
        by_decline_category: by(Dimension::Category),
    }
}

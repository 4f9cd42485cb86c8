//! The feed of events, to catch up on what a receiver missed.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::examples;
use super::extract::{Answered, Key, ReadPayments, shown};
use super::query::QueryReader;
use super::records::{EventList, EventView};
use super::server::Shared;
use super::view::Moment;
use crate::app::FeedEvent;
use crate::domain::id::{EventId, NotificationId, PaymentId};

/// List events
///
/// Oldest first, after the event `after`. To catch up, send the id of the last event you have dealt with; `next_cursor`,
/// when there is more, is such an id. Events of the types `api_key.…` and `discrepancy.…` are shown to keys that hold
/// `ops:write` as well, to no others.
#[utoipa::path(get, path = "/v1/events", tag = "Events", security(("api_key" = ["payments:read"])),
    params(
        ("after" = Option<String>, Query, description = "Id of the last event you have; from the beginning by default."),
        ("limit" = Option<i64>, Query, description = "Most entries, 20 by default.", minimum = 1, maximum = 100),
    ),
    responses((status = 200, description = "A stretch of the events.", body = EventList, example = json!(examples::list(examples::event())))))]
pub(super) async fn list_events(key: Key<ReadPayments>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let mut query = QueryReader::new(request.query_string());
    let after = query.shaped("after", "the id of an event; it begins with evt_", EventId::parse);
    let limit = query.limit();
    query.finish()?;
    let listing = shared.app.list_events(&key.caller, after, limit).await?;
    let next_cursor = listing.items.last().filter(|_| listing.more).map(|item| item.event.id.to_string());
    shown(EventList { data: listing.items.iter().map(view).collect(), next_cursor })
}

fn view(item: &FeedEvent) -> EventView<'_> {
    let FeedEvent { event, act } = item;
    let act = act.as_ref();
    EventView {
        id: event.id.as_str(),
        r#type: &event.kind,
        payment_id: event.payment_id.as_ref().map(PaymentId::as_str),
        refund_id: event.refund_id.as_deref(),
        notification_id: event.notification_id.as_ref().map(NotificationId::as_str),
        transaction_id: event.transaction_id,
        sequence: event.sequence,
        subject_id: act.map(|(subject, _)| subject.as_str()),
        actor: act.map(|(_, actor)| actor.as_str()),
        at: Moment(event.at),
    }
}

//! The HTTP interface: the only folder that knows actix-web, utoipa and governor.
//!
//! A handler reads the request, calls one use case and wraps the answer. `routes` is the whole interface as one table,
//! `problem` the only place that knows which error has which status, `presenter` the only one that knows what a
//! payment looks like in JSON.

mod answer_headers;
mod approval_views;
mod approvals;
mod audit;
mod bodies;
mod cursor;
mod day_register;
mod decline_reasons;
mod docs;
mod events;
mod examples;
mod extract;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod health;
mod html;
mod intent;
mod invariants;
mod json;
mod limits;
mod metadata;
mod middleware;
mod networks;
mod notifications;
mod openapi;
mod parameters;
mod payments;
mod personal_data;
mod presenter;
mod problem;
mod query;
mod reconciliations;
mod records;
mod refunds;
mod register_views;
mod register_writer;
mod report_examples;
mod request_ids;
mod routes;
mod schemas;
mod server;
mod streamed;
mod summary;
mod text;
mod three_ds;
mod view;

pub use actix_web::dev::ServerHandle;
pub use networks::Networks;
pub use openapi::document;
pub use presenter::{Presenter, PresenterSettings, SupportContacts};
pub use server::{HttpSettings, Parts, start, start_admin};

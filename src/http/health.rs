//! Whether the service lives and whether it can work.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::extract::{Answered, shown};
use super::query;
use super::records::{Health, Readiness};
use super::server::Shared;
use crate::error::GapWait;

/// Tell that the process lives
///
/// Looks at nothing else: a supervisor restarts the process when this stays unanswered.
#[utoipa::path(get, path = "/health/live", tag = "Service", responses((status = 200, description = "The process lives.", body = Health, example = json!({"status": "ok"}))))]
pub(super) async fn get_liveness(request: HttpRequest) -> Answered {
    query::none(request.query_string())?;
    shown(Health { status: "ok" })
}

/// Tell whether requests can be served
///
/// Asks the database. A load balancer stops sending requests while this answers 503. Neither a provider in trouble nor a
/// gap makes it so: reads and notifications go on. `provider` tells whether anything is sent to the provider, and
/// `register_gap` whether requests that move money, and Check, are let through; `register_gap_advice` what to do if not.
#[utoipa::path(get, path = "/health/ready", tag = "Service", responses((status = 200, description = "Requests can be served.", body = Readiness, example = json!({"status": "ok", "provider": "ok", "register_gap": "read"}))))]
pub(super) async fn get_readiness(request: HttpRequest, shared: Data<Shared>) -> Answered {
    query::none(request.query_string())?;
    shared.app.check_ready().await?;
    let (provider, register_gap) = (shared.app.provider_state(), shared.app.gap().as_str());
    let register_gap_advice = shared.app.gap_wait().map(GapWait::advice);
    shown(Readiness { status: "ok", provider, register_gap, register_gap_advice })
}

//! Whether the service lives and whether it can work.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::extract::{Answered, shown};
use super::query;
use super::records::Health;
use super::server::Shared;

/// Tell that the process lives
///
/// Looks at nothing else: a supervisor restarts the process when this stays unanswered.
#[utoipa::path(get, path = "/health/live", tag = "Service", responses((status = 200, description = "The process lives.", body = Health, example = json!({"status": "ok"}))))]
pub(super) async fn get_liveness(request: HttpRequest) -> Answered {
    query::none(request.query_string())?;
    shown(Health { status: "ok", provider: None })
}

/// Tell whether requests can be served
///
/// Asks the database. A load balancer stops sending requests while this answers 503. A provider in trouble does not make
/// it so: reads, notifications and Check go on without it; `provider` tells of it.
#[utoipa::path(get, path = "/health/ready", tag = "Service", responses((status = 200, description = "Requests can be served.", body = Health, example = json!({"status": "ok", "provider": "ok"}))))]
pub(super) async fn get_readiness(request: HttpRequest, shared: Data<Shared>) -> Answered {
    query::none(request.query_string())?;
    shared.app.check_ready().await?;
    shown(Health { status: "ok", provider: Some(shared.app.provider_state()) })
}

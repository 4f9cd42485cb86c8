//! The whole interface as one table. `openapi.rs` holds a test that the document lists exactly these operations.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Route};

use super::extract::Answered;
use super::problem::Problem;
use super::{
    approvals, audit, day_register, decline_reasons, docs, events, health, invariants, notifications, payments,
    personal_data, reconciliations, refunds, summary, three_ds,
};

/// One operation.
pub(super) struct Endpoint {
    /// How it is asked for.
    pub method: Method,
    /// Where, with the names of its parameters.
    pub path: &'static str,
    /// What answers.
    route: fn() -> Route,
}

const fn get(path: &'static str, route: fn() -> Route) -> Endpoint {
    Endpoint { method: Method::GET, path, route }
}

const fn post(path: &'static str, route: fn() -> Route) -> Endpoint {
    Endpoint { method: Method::POST, path, route }
}

const fn delete(path: &'static str, route: fn() -> Route) -> Endpoint {
    Endpoint { method: Method::DELETE, path, route }
}

/// Every operation; those of one path stand together.
pub(super) const TABLE: &[Endpoint] = &[
    post("/v1/payments", || web::post().to(payments::create_payment)),
    get("/v1/payments", || web::get().to(payments::list_payments)),
    get("/v1/payments/{id}", || web::get().to(payments::get_payment)),
    get("/v1/payments/{id}/transitions", || web::get().to(payments::list_transitions)),
    post("/v1/payments/{id}/capture", || web::post().to(payments::capture_payment)),
    post("/v1/payments/{id}/cancel", || web::post().to(payments::cancel_payment)),
    post("/v1/payments/{id}/three-ds", || web::post().to(three_ds::finish_three_ds)),
    post("/v1/payments/{id}/sync", || web::post().to(payments::sync_payment)),
    post("/v1/payments/{id}/attention/resolve", || web::post().to(payments::resolve_attention)),
    post("/v1/payments/{id}/refunds", || web::post().to(refunds::create_refund)),
    get("/v1/payments/{id}/refunds", || web::get().to(refunds::list_refunds)),
    get("/v1/payments/{id}/personal-data", || web::get().to(personal_data::export_payment_data)),
    delete("/v1/payments/{id}/personal-data", || web::delete().to(personal_data::erase_payment_data)),
    get("/v1/refunds/{id}", || web::get().to(refunds::get_refund)),
    get("/v1/three-ds/{id}/redirect", || web::get().to(three_ds::redirect_to_bank)),
    post("/v1/three-ds/{id}/return", || web::post().to(three_ds::return_from_bank)),
    post("/v1/notifications/cloudpayments/{kind}", || web::post().to(notifications::receive_notification)),
    get("/v1/notifications/cloudpayments/{kind}", || web::get().to(notifications::receive_notification_by_get)),
    get("/v1/notifications", || web::get().to(notifications::list_notifications)),
    post("/v1/notifications/{id}/replay", || web::post().to(notifications::replay_notification)),
    post("/v1/approvals", || web::post().to(approvals::create_approval)),
    get("/v1/approvals", || web::get().to(approvals::list_approvals)),
    get("/v1/approvals/{id}", || web::get().to(approvals::get_approval)),
    post("/v1/approvals/{id}/approve", || web::post().to(approvals::approve)),
    post("/v1/approvals/{id}/reject", || web::post().to(approvals::reject)),
    post("/v1/reconciliations", || web::post().to(reconciliations::create_reconciliation)),
    get("/v1/reconciliations", || web::get().to(reconciliations::list_reconciliations)),
    get("/v1/reconciliations/{id}", || web::get().to(reconciliations::get_reconciliation)),
    get("/v1/discrepancies", || web::get().to(reconciliations::list_discrepancies)),
    get("/v1/discrepancies/{id}", || web::get().to(reconciliations::get_discrepancy)),
    post("/v1/discrepancies/{id}/close", || web::post().to(reconciliations::close_discrepancy)),
    get("/v1/chargebacks", || web::get().to(reconciliations::list_chargebacks)),
    get("/v1/events", || web::get().to(events::list_events)),
    get("/v1/reports/summary", || web::get().to(summary::get_summary)),
    get("/v1/reports/register", || web::get().to(day_register::get_register)),
    get("/v1/audit/roots", || web::get().to(audit::list_audit_roots)),
    get("/v1/invariants", || web::get().to(invariants::check_invariants)),
    get("/v1/decline-reasons", || web::get().to(decline_reasons::list_decline_reasons)),
    get("/v1/payers/{account_id}/personal-data", || web::get().to(personal_data::export_personal_data)),
    delete("/v1/payers/{account_id}/personal-data", || web::delete().to(personal_data::erase_personal_data)),
    get("/openapi.json", || web::get().to(docs::get_openapi)),
    get("/docs", || web::get().to(docs::redirect_to_docs)),
    get("/docs/{file:.*}", || web::get().to(docs::show_docs)),
    get("/health/live", || web::get().to(health::get_liveness)),
    get("/health/ready", || web::get().to(health::get_readiness)),
];

/// Registers the table: one resource per path, which refuses every other method by naming those it takes.
pub(super) fn configure(service: &mut ServiceConfig) {
    for endpoints in TABLE.chunk_by(|one, other| one.path == other.path) {
        let Some(first) = endpoints.first() else { continue };
        let mut methods: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.method.as_str()).collect();
        if methods.contains(&"GET") && takes_head(first.path) {
            methods.push("HEAD");
        }
        let allow = methods.join(", ");
        let refuse = move || {
            let problem = Problem::method_not_allowed(&allow);
            async move { Err::<HttpResponse, Problem>(problem) }
        };
        let resource =
            endpoints.iter().fold(web::resource(first.path), |resource, endpoint| resource.route((endpoint.route)()));
        service.service(resource.default_service(web::route().to(refuse)));
    }
    service.default_service(web::route().to(nothing_here));
}

/// Whether HEAD is answered like GET: everywhere but where GET does something.
pub(super) fn takes_head(path: &str) -> bool {
    !path.starts_with("/v1/notifications/cloudpayments/")
}

async fn nothing_here() -> Answered {
    Err(Problem::from_status(actix_web::http::StatusCode::NOT_FOUND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_one_path_stand_together() {
        let mut paths: Vec<_> =
            TABLE.chunk_by(|one, other| one.path == other.path).map(|chunk| chunk[0].path).collect();
        let count = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }
}

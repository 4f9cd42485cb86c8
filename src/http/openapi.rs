//! The OpenAPI document: from the handlers' own comments and types, completed with what holds for all of them.

use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Content, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, Response};

use super::problem::{self, TABLE};
use super::{
    approvals, audit, day_register, decline_reasons, docs, events, examples, health, invariants, notifications,
    payments, personal_data, reconciliations, refunds, schemas, summary, three_ds,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "kmic-payments",
        description = "Payments between the site of an insurer and CloudPayments (TipTop Pay). Money is a decimal string with its currency. \
            Errors are problem documents (RFC 9457) with a stable `code`. Unknown fields and query parameters are refused by name. \
            HEAD is answered like GET, without the body. Addresses over 16 KiB are answered with 414, headers over 32 KiB with 431. \
            Whatever moves money takes an `Idempotency-Key`: repeat a request whose answer you did not get with the same key."
    ),
    paths(
        payments::create_payment,
        payments::list_payments,
        payments::get_payment,
        payments::list_transitions,
        payments::capture_payment,
        payments::cancel_payment,
        payments::sync_payment,
        payments::resolve_attention,
        three_ds::finish_three_ds,
        three_ds::redirect_to_bank,
        three_ds::return_from_bank,
        refunds::create_refund,
        refunds::list_refunds,
        refunds::get_refund,
        notifications::receive_notification,
        notifications::receive_notification_by_get,
        notifications::list_notifications,
        notifications::replay_notification,
        approvals::create_approval,
        approvals::list_approvals,
        approvals::get_approval,
        approvals::approve,
        approvals::reject,
        reconciliations::create_reconciliation,
        reconciliations::list_reconciliations,
        reconciliations::get_reconciliation,
        reconciliations::list_discrepancies,
        reconciliations::get_discrepancy,
        reconciliations::close_discrepancy,
        reconciliations::list_chargebacks,
        events::list_events,
        summary::get_summary,
        day_register::get_register,
        audit::list_audit_roots,
        invariants::check_invariants,
        decline_reasons::list_decline_reasons,
        personal_data::export_personal_data,
        personal_data::erase_personal_data,
        personal_data::export_payment_data,
        personal_data::erase_payment_data,
        docs::get_openapi,
        health::get_liveness,
        health::get_readiness,
    ),
    servers(
        (url = "/", description = "Where this document is served: `server.public_url`."),
        (url = "http://127.0.0.1:8080", description = "`kmic-payments dev`."),
    ),
    components(schemas(schemas::Problem, schemas::ProblemFault, schemas::ProblemCodeName)),
    tags(
        (name = "Payments", description = "Create, read, capture and cancel payments."),
        (name = "3-D Secure", description = "The payer's way to the bank and back."),
        (name = "Refunds", description = "Give money back."),
        (name = "Events", description = "Catch up on what happened."),
        (name = "Operations", description = "Look closer, ask again, compare with the provider's register."),
        (name = "Reports", description = "Totals for publication, the accountant's day."),
        (name = "Personal data", description = "Show or erase what is held about a payer."),
        (name = "Provider", description = "For CloudPayments."),
        (name = "Service", description = "About the service itself."),
    )
)]
struct Document;

/// The OpenAPI 3.1 document as JSON text, always the same. Needs neither settings nor a database.
pub fn document() -> String {
    let mut text = serde_json::to_string_pretty(&complete()).unwrap_or_default();
    text.push('\n');
    text
}

fn complete() -> OpenApi {
    let mut document = Document::openapi();
    document.info.license = None;
    let components = document.components.get_or_insert_default();
    add_security(components);
    add_errors(components);
    components.schemas.values_mut().for_each(drop_null);
    document.paths.paths.values_mut().flat_map(operations_mut).for_each(|(_, operation)| complete_operation(operation));
    document
}

fn add_security(components: &mut Components) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An API key. Each operation names the scope it needs. A key that was rotated works on for a time: answers then have \
             `Deprecation` (since when) and `Sunset` (until when).",
        ))
        .build();
    components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
}

/// One shared response per status of the table of codes.
fn add_errors(components: &mut Components) {
    for row in TABLE {
        let codes: Vec<_> = TABLE.iter().filter(|other| other.status == row.status).collect();
        if codes.first().is_none_or(|first| first.code != row.code) {
            continue;
        }
        let titles = codes.iter().map(|row| format!("`{}`: {}.", row.code, row.title));
        let description = titles.chain(advice(row.status).map(str::to_owned)).collect::<Vec<_>>().join(" ");
        let mut content = Content::new(Some(Ref::from_schema_name("Problem")));
        content.example = Some(examples::problem(row.code, row.status, row.title));
        let mut response = Response::new(description);
        response.content.insert(problem::CONTENT_TYPE.to_owned(), RefOr::T(content));
        add_request_id(&mut response);
        match row.status {
            401 => add_header(&mut response, "WWW-Authenticate", "`Bearer`."),
            405 => add_header(&mut response, "Allow", "The methods that this address takes."),
            409 => add_header(&mut response, "Retry-After", "Seconds to wait; with `idempotency_in_progress` only."),
            429 | 503 => {
                add_header(&mut response, "Retry-After", "Seconds to wait before the same request is repeated.")
            }
            _ => {}
        }
        components.responses.insert(error_name(row.status), RefOr::T(response));
    }
}

/// What the codes of a status do not tell.
fn advice(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("The key is missing, unknown, revoked or expired: `detail` tells. Nothing was done."),
        403 => Some(
            "The key is valid, but its scopes do not allow this: `detail` names the one that is missing. Nothing was done.",
        ),
        429 => Some(
            "More requests of one API key than it may make in a second or have under way at once, or too many without a \
             valid key from one address. Nothing was done: wait `Retry-After` seconds, then send the same request with \
             the same `Idempotency-Key`.",
        ),
        _ => None,
    }
}

fn error_name(status: u16) -> String {
    format!("Error{status}")
}

fn add_request_id(response: &mut Response) {
    add_header(
        response,
        "X-Request-Id",
        "Your id of the request as you sent it, if it may be one; else ours. Log and history have it where it is a UUID, a ULID, a trace id or a `traceparent`.",
    );
}

fn add_header(response: &mut Response, name: &str, description: &str) {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
    response.headers.insert(name.to_owned(), RefOr::T(header));
}

/// What a repeat adds: a header where it succeeds, a code where the first request still runs.
fn add_idempotency(status: &str, response: &mut Response) {
    if status == "409" {
        response.description.push_str(", `idempotency_in_progress`");
    }
    if !status.starts_with('2') {
        return;
    }
    let description = "`true` when this repeats the answer to an earlier request with the same key.";
    add_header(response, "Idempotent-Replayed", description);
}

/// Fields that may be left out are never `null`: only `null` where a field is required is kept.
fn drop_null(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    for (name, property) in &mut object.properties {
        if object.required.contains(name) {
            continue;
        }
        match property {
            RefOr::T(Schema::Object(inner)) => drop_null_type(&mut inner.schema_type),
            RefOr::T(Schema::Array(inner)) => drop_null_type(&mut inner.schema_type),
            RefOr::T(Schema::OneOf(one_of)) => {
                let description = one_of.description.clone().unwrap_or_default();
                if let Some(RefOr::Ref(reference)) = one_of.items.iter().find(|item| matches!(item, RefOr::Ref(_))) {
                    let mut reference = reference.clone();
                    if reference.description.is_empty() {
                        reference.description = description;
                    }
                    *property = RefOr::Ref(reference);
                }
            }
            _ => {}
        }
    }
}

/// A body that may be left out is an object when it is there.
fn drop_null_body(content: &mut RefOr<Content>) {
    if let RefOr::T(Content { schema: Some(schema), .. }) = content
        && let RefOr::T(Schema::OneOf(one_of)) = schema
        && let Some(RefOr::Ref(reference)) = one_of.items.iter().find(|item| matches!(item, RefOr::Ref(_)))
    {
        *schema = RefOr::Ref(reference.clone());
    }
}

fn drop_null_type(schema_type: &mut SchemaType) {
    if let SchemaType::Array(types) = schema_type {
        types.retain(|one| *one != Type::Null);
        if let [only] = types.as_slice() {
            *schema_type = SchemaType::Type(only.clone());
        }
    }
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [("GET", item.get.as_mut()), ("POST", item.post.as_mut()), ("DELETE", item.delete.as_mut())]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation?)))
}

/// Adds what every operation of its kind can answer.
fn complete_operation(operation: &mut Operation) {
    let sends = Sends::of(operation);
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.content.values_mut().for_each(drop_null_body);
    }
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(RefOr::T(request_id_parameter()));
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            add_request_id(response);
            if sends.idempotency_key {
                add_idempotency(status, response);
            }
        }
    }
    for (status, applies) in sends.errors() {
        if applies {
            let name = status.to_string();
            let described = operation.responses.responses.remove(&name);
            operation.responses.responses.insert(name, error_response(status, described));
        }
    }
}

/// An error that a handler describes itself keeps its words; all others refer to the shared response.
fn error_response(status: u16, described: Option<RefOr<Response>>) -> RefOr<Response> {
    match described {
        Some(RefOr::T(mut response)) => {
            let row = TABLE.iter().find(|row| response.description.contains(row.code));
            let mut content = Content::new(Some(Ref::from_schema_name("Problem")));
            content.example = row.map(|row| examples::problem(row.code, row.status, row.title));
            response.content.insert(problem::CONTENT_TYPE.to_owned(), RefOr::T(content));
            RefOr::T(response)
        }
        _ => RefOr::Ref(Ref::from_response_name(error_name(status))),
    }
}

fn request_id_parameter() -> Parameter {
    let mut parameter = Parameter::new("X-Request-Id");
    parameter.parameter_in = ParameterIn::Header;
    parameter.required = Required::False;
    parameter.description =
        Some("Your id of the request, 1 to 64 of A-Z a-z 0-9 . _ -, without a card number, and not more than ten digits without a letter, which may be somebody's number; \
            ours is made otherwise. It is answered back. Our log and the history keep it only if it is a UUID (8-4-4-4-12 hexadecimal digits), a ULID of a time \
            between 2016 and now, 32 hexadecimal digits, or a W3C `traceparent`, with a letter in it and no more than ten digits in a row, or eleven with dashes left out; every other id could hold a name, so \
            they have an id of ours in its place, which a problem document names as `request_id`.".to_owned());
    parameter.schema = Some(
        ObjectBuilder::new().schema_type(Type::String).max_length(Some(super::request_ids::MAX_REQUEST_ID)).into(),
    );
    parameter
}

/// What an operation takes, from which follows how it can fail.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Sends {
    key: bool,
    idempotency_key: bool,
    path_id: bool,
    query: bool,
    body: bool,
    conflict: bool,
    precondition: bool,
    link: bool,
    signature: bool,
}

impl Sends {
    fn of(operation: &Operation) -> Sends {
        let parameters: Vec<&Parameter> = operation
            .parameters
            .iter()
            .flatten()
            .filter_map(|parameter| match parameter {
                RefOr::T(parameter) => Some(parameter),
                RefOr::Ref(_) => None,
            })
            .collect();
        let has = |place: ParameterIn, name: &str| {
            parameters.iter().any(|parameter| parameter.parameter_in == place && parameter.name == name)
        };
        let described = |status: &str| operation.responses.responses.contains_key(status);
        Sends {
            key: operation.security.is_some(),
            idempotency_key: has(ParameterIn::Header, "Idempotency-Key"),
            path_id: parameters
                .iter()
                .any(|parameter| parameter.parameter_in == ParameterIn::Path && parameter.name != "account_id"),
            query: parameters.iter().any(|parameter| parameter.parameter_in == ParameterIn::Query),
            body: operation.request_body.is_some(),
            conflict: described("409"),
            precondition: described("412"),
            link: described("403"),
            signature: has(ParameterIn::Header, "Content-HMAC"),
        }
    }

    fn errors(&self) -> [(u16, bool); 13] {
        let json = self.idempotency_key;
        [
            (400, self.body || self.idempotency_key),
            (401, self.key || self.signature),
            (403, self.key || self.link || self.signature),
            (404, self.path_id),
            (408, self.body),
            (409, self.conflict || self.idempotency_key),
            (412, self.precondition),
            (413, self.body),
            (415, json),
            (422, self.key || self.query || self.body),
            (429, self.key),
            (500, true),
            (503, true),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::http::routes;
    use crate::http::{approvals, bodies, json};

    /// Addresses for people, not for programs.
    const UNDOCUMENTED: [&str; 2] = ["/docs", "/docs/{file:.*}"];

    fn parsed() -> Value {
        serde_json::from_str(&document()).unwrap()
    }

    /// Every operation as method, path and value.
    fn operations(document: &Value) -> Vec<(String, String, Value)> {
        let paths = document["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &Value)| -> Vec<_> {
            item.as_object()
                .unwrap()
                .iter()
                .map(|(method, operation)| (method.to_uppercase(), path.clone(), operation.clone()))
                .collect()
        };
        paths.iter().flat_map(of_path).collect()
    }

    #[test]
    fn lists_exactly_the_registered_operations() {
        let documented: BTreeSet<_> =
            operations(&parsed()).into_iter().map(|(method, path, _)| (method, path)).collect();
        let registered: BTreeSet<_> = routes::TABLE
            .iter()
            .filter(|endpoint| !UNDOCUMENTED.contains(&endpoint.path))
            .map(|endpoint| (endpoint.method.to_string(), endpoint.path.to_owned()))
            .collect();
        assert_eq!(documented, registered);
    }

    #[test]
    fn every_operation_is_described() {
        let mut ids = BTreeSet::new();
        for (method, path, operation) in operations(&parsed()) {
            let place = format!("{method} {path}");
            for name in ["summary", "description", "operationId"] {
                assert!(operation[name].as_str().is_some_and(|text| !text.is_empty()), "{place} lacks {name}");
            }
            assert!(ids.insert(operation["operationId"].to_string()), "{place}: operation id twice");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with(['4', '5'])), "{place} has no error");
            for (status, response) in responses.iter().filter(|(status, _)| *status != "303") {
                let content = response["content"].as_object();
                let shown =
                    |content: &serde_json::Map<String, Value>| content.values().all(|one| one.get("example").is_some());
                assert!(
                    response.get("$ref").is_some() || path == "/openapi.json" || content.is_some_and(shown),
                    "{place} {status} has no example"
                );
            }
            for parameter in operation["parameters"].as_array().unwrap() {
                assert!(parameter["description"].is_string(), "{place}: {parameter}");
            }
        }
    }

    #[test]
    fn every_field_is_described() {
        for (name, schema) in parsed()["components"]["schemas"].as_object().unwrap() {
            assert!(schema["description"].is_string(), "{name}");
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(
                    property["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{name}.{field}: {property}"
                );
                assert!(
                    field == "next_cursor" || !property.to_string().contains("\"null\""),
                    "{name}.{field} is never null"
                );
            }
        }
    }

    /// Currencies are a standard, and codes of errors stand with the responses.
    #[test]
    fn every_name_is_explained() {
        for (schema, described) in parsed()["components"]["schemas"].as_object().unwrap() {
            let names = described["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let text = described["description"].as_str().unwrap();
            for name in names.filter(|_| !["Currency", "ProblemCode"].contains(&schema.as_str())) {
                assert!(text.contains(&format!("`{name}`")), "{schema}: {name} is not explained");
            }
        }
    }

    #[test]
    fn is_the_same_every_time() {
        assert_eq!(document(), document());
        assert!(document().starts_with("{\n  \"openapi\": \"3.1."));
    }

    fn fields_of(document: &Value, schema: &str) -> BTreeSet<String> {
        document["components"]["schemas"][schema]["properties"].as_object().unwrap().keys().cloned().collect()
    }

    fn keys(value: &Value) -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn examples_name_every_documented_field_and_are_accepted() {
        let document = parsed();
        let (card, widget) = (examples::create_card_cryptogram(), examples::create_widget());
        assert_eq!(keys(&card), fields_of(&document, "CreatePayment"));
        assert_eq!(keys(&card["payer"]), fields_of(&document, "PayerInput"));
        assert_eq!(keys(&card["method"]), fields_of(&document, "PaymentMethodInput"));
        assert_eq!(keys(&card["amount"]), fields_of(&document, "MoneyInput"));
        assert_eq!(keys(&examples::create_refund()), fields_of(&document, "CreateRefund"));
        assert_eq!(keys(&examples::capture()), fields_of(&document, "CapturePayment"));
        assert_eq!(keys(&examples::finish_three_ds()), fields_of(&document, "FinishThreeDs"));
        assert_eq!(keys(&examples::resolve_attention()), fields_of(&document, "ResolveAttention"));
        let read = |value: Value| json::read(value.to_string().as_bytes()).unwrap();
        assert!(bodies::new_payment(read(card)).is_ok() && bodies::new_payment(read(widget)).is_ok());
        assert!(bodies::new_refund(read(examples::create_refund())).is_ok());
        assert!(bodies::capture(read(examples::capture())).is_ok());
        assert!(bodies::three_ds(read(examples::finish_three_ds())).is_ok());
        assert!(bodies::resolution(read(examples::resolve_attention())).is_ok());
        assert!(bodies::new_reconciliation(read(examples::create_reconciliation())).is_ok());
        assert!(bodies::new_reconciliation(read(examples::create_reconciliation_of_day())).is_ok());
        assert!(bodies::resolution(read(examples::close_discrepancy())).is_ok());
        assert!(approvals::new_approval(read(examples::create_refund_approval())).is_ok());
        assert!(approvals::new_approval(read(examples::create_correction())).is_ok());
        let fields = &keys(&examples::create_refund_approval()) | &keys(&examples::create_correction());
        assert_eq!(fields, fields_of(&document, "CreateApproval"));
    }

    /// What an example shows must be in its schema, and what the schema requires in the example.
    #[test]
    fn examples_of_answers_follow_their_schemas() {
        let document = parsed();
        for (example, schema) in [
            (examples::payment(), "Payment"),
            (examples::paid_payment(), "Payment"),
            (examples::undetermined_payment(), "Payment"),
            (examples::refund(), "Refund"),
            (examples::pending_refund(), "Refund"),
            (examples::transition(), "Transition"),
            (examples::event(), "Event"),
            (examples::notification(), "Notification"),
            (examples::audit_root(), "AuditRoot"),
            (examples::invariant(), "Invariant"),
            (examples::reconciliation(), "Reconciliation"),
            (examples::discrepancy(), "Discrepancy"),
            (examples::closed_discrepancy(), "Discrepancy"),
            (examples::proposed_discrepancy(), "Discrepancy"),
            (examples::chargeback(), "Chargeback"),
            (examples::approval(), "Approval"),
            (examples::approved(), "Approval"),
            (examples::approved_pending(), "Approval"),
            (examples::rejected(), "Approval"),
            (examples::erasure(), "Erasure"),
            (examples::personal_data(), "PersonalData"),
            (examples::problem("not_found", 404, "x"), "Problem"),
        ] {
            let fields = fields_of(&document, schema);
            assert!(keys(&example).is_subset(&fields), "{schema}: {example}");
            let required = document["components"]["schemas"][schema]["required"].as_array().unwrap();
            assert!(required.iter().all(|name| example.get(name.as_str().unwrap()).is_some()), "{schema}: {example}");
        }
    }
}

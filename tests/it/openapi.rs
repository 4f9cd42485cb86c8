//! The document that sites generate their clients from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{Engine, Reply, TestApp};

crate::on_both!(the_service_serves_the_same_document, the_docs_page_needs_no_other_host);

/// Operations that take nothing of the caller's and so refuse nothing of it.
const WITHOUT_INPUT: [&str; 3] = ["get_openapi", "get_liveness", "get_readiness"];

fn document() -> Value {
    serde_json::from_str(&kmic_payments::http::document()).unwrap()
}

/// Every operation as `METHOD path`.
fn operations(document: &Value) -> BTreeMap<String, Value> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| -> Vec<(String, Value)> {
        let operations = item.as_object().unwrap();
        operations
            .iter()
            .map(|(method, operation)| (format!("{} {path}", method.to_uppercase()), operation.clone()))
            .collect()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Follows `$ref`, if it is one.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document
            .pointer(reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out of the document")))
            .unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => value,
    }
}

/// Calls `look` with every value and its place.
fn walk(value: &Value, place: &str, look: &mut dyn FnMut(&str, &Value)) {
    look(place, value);
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| walk(member, &format!("{place}/{name}"), look))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| walk(item, &format!("{place}/{index}"), look))
        }
        _ => {}
    }
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

#[test]
fn the_kept_document_is_current() {
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/v1.json")).unwrap();
    assert!(
        kept == kmic_payments::http::document(),
        "the interface changed; run: cargo run -- openapi > openapi/v1.json"
    );
}

#[test]
fn is_openapi_3_1_with_a_face() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert!(
        is_text(&document["info"]["title"])
            && is_text(&document["info"]["version"])
            && is_text(&document["info"]["description"])
    );
    assert_eq!(document["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
}

#[test]
fn every_operation_is_told_whole() {
    let document = document();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().filter_map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    for (place, operation) in operations(&document) {
        assert!(is_text(&operation["summary"]) && is_text(&operation["description"]), "{place}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{place}: {id} twice");
        let named = operation["tags"].as_array().unwrap();
        assert!(
            !named.is_empty() && named.iter().all(|tag| tags.contains(tag.as_str().unwrap())),
            "{place}: {named:?}"
        );
        let responses = operation["responses"].as_object().unwrap();
        let success = responses.iter().filter(|(status, _)| status.starts_with('2'));
        let shown = |response: &Value| {
            let content = resolved(&document, response)["content"].as_object().cloned().unwrap_or_default();
            content.values().any(|one| one.get("example").or_else(|| one.get("examples")).is_some())
        };
        assert!(
            id == "get_openapi" || success.clone().any(|(_, response)| shown(response)),
            "{place} shows no success"
        );
        assert!(success.count() > 0, "{place}");
        for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
            let schema = &resolved(&document, response)["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{place} {status}");
        }
        let refuses = responses.keys().any(|status| status.starts_with('4'));
        assert!(refuses || WITHOUT_INPUT.contains(&id), "{place} refuses nothing");
        for parameter in operation["parameters"].as_array().unwrap() {
            let parameter = resolved(&document, parameter);
            assert!(is_text(&parameter["description"]) && parameter["schema"].is_object(), "{place}: {parameter}");
        }
    }
    assert_eq!(ids.len(), 43);
}

#[test]
fn parameters_in_paths_are_declared() {
    for (place, operation) in operations(&document()) {
        let named: BTreeSet<&str> = place.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
        let declared: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|parameter| parameter["in"] == "path" && parameter["required"] == true)
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(named, declared, "{place}");
    }
}

#[test]
fn posts_that_need_a_key_of_repetition_say_so() {
    let needing: Vec<String> = operations(&document())
        .into_iter()
        .filter(|(_, operation)| {
            let parameters = operation["parameters"].as_array().unwrap();
            parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key" && parameter["required"] == true)
        })
        .map(|(place, _)| place)
        .collect();
    let expected = [
        "DELETE /v1/payers/{account_id}/personal-data",
        "DELETE /v1/payments/{id}/personal-data",
        "POST /v1/approvals",
        "POST /v1/approvals/{id}/approve",
        "POST /v1/approvals/{id}/reject",
        "POST /v1/discrepancies/{id}/close",
        "POST /v1/payments",
        "POST /v1/payments/{id}/attention/resolve",
        "POST /v1/payments/{id}/cancel",
        "POST /v1/payments/{id}/capture",
        "POST /v1/payments/{id}/refunds",
        "POST /v1/payments/{id}/three-ds",
        "POST /v1/reconciliations",
    ];
    assert_eq!(needing, expected);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut count = 0;
    walk(&document, "", &mut |_, value| {
        if value.get("$ref").is_some_and(Value::is_string) {
            resolved(&document, value);
            count += 1;
        }
    });
    assert!(count > 50, "{count}");
    let mut used = String::new();
    walk(&document, "", &mut |_, value| {
        used.extend(value.get("$ref").and_then(Value::as_str).map(|reference| format!("{reference}\n")))
    });
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let reference = format!("#/components/schemas/{name}");
        assert!(used.lines().any(|line| line == reference), "{name} is used nowhere");
    }
}

#[test]
fn every_field_is_described() {
    walk(&document(), "", &mut |place, value| {
        // An example may hold a field of that name, too.
        if place.contains("/example") {
            return;
        }
        for (name, field) in value.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(is_text(&field["description"]), "{place}/{name}: {field}");
        }
    });
}

#[test]
fn no_number_carries_money() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            // The provider's window wants a number.
            let is_number = property["type"] == "number";
            assert!(!is_number || (name.as_str(), field.as_str()) == ("WidgetIntent", "amount"), "{name}.{field}");
        }
    }
}

async fn the_service_serves_the_same_document(engine: Engine) {
    let app = TestApp::start(engine).await;
    let served = app.call_as("GET", "/openapi.json", None).await.expect(200);
    assert_eq!(served.header("content-type"), "application/json");
    assert!(served.page() == kmic_payments::http::document());
    app.finish().await;
}

/// Addresses that a page makes the browser fetch.
fn fetched(page: &str) -> Vec<String> {
    let of = |attribute: &str| -> Vec<String> {
        page.split(&format!("{attribute}=\""))
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(str::to_owned)
            .collect()
    };
    [of("src"), of("href")].concat()
}

async fn the_docs_page_needs_no_other_host(engine: Engine) {
    let app = TestApp::start(engine).await;
    let moved = app.call_as("GET", "/docs", None).await;
    assert_eq!((moved.status, moved.header("location")), (308, "/docs/"));
    let page = app.call_as("GET", "/docs/", None).await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'self'") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    let addresses = fetched(&page.page());
    assert!(addresses.len() >= 3, "{addresses:?}");
    for address in addresses {
        assert!(!address.contains("//") && !address.starts_with("data:"), "{address}");
        let file: Reply = app.call_as("GET", &format!("/docs/{}", address.trim_start_matches("./")), None).await;
        assert!(file.status == 200 && !file.bytes.is_empty(), "{address}: {}", file.status);
        if address.ends_with("initializer.js") {
            let text = file.page();
            assert!(
                text.contains("/openapi.json") && !text.contains("http://") && !text.contains("https://"),
                "{text}"
            );
        }
    }
    app.finish().await;
}

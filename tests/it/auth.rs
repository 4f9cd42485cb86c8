//! Who may call what.

use std::collections::BTreeMap;

use kmic_payments::app::create_api_key;
use kmic_payments::clock::{Clock as _, SystemIds};
use kmic_payments::domain::scope::Scope;
use kmic_payments::store::{Lane, api_keys};
use serde_json::Value;

use crate::support::{Engine, Reply, TestApp};

crate::on_both!(
    without_a_valid_key_nothing_is_shown,
    revoked_keys_stop_to_work_within_a_second,
    expired_keys_stop_to_work,
    every_operation_needs_its_scope,
    open_operations_are_few_and_guarded,
);

/// Operations without an API key: of the service itself, of the payer's browser, of the provider.
const OPEN: [(&str, &str); 7] = [
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/notifications/cloudpayments/{kind}"),
    ("POST", "/v1/notifications/cloudpayments/{kind}"),
    ("GET", "/v1/three-ds/{id}/redirect"),
    ("POST", "/v1/three-ds/{id}/return"),
];

/// The scope of every other operation.
const SCOPES: [(&str, &str, Scope); 36] = [
    ("POST", "/v1/payments", Scope::PaymentsWrite),
    ("GET", "/v1/payments", Scope::PaymentsRead),
    ("GET", "/v1/payments/{id}", Scope::PaymentsRead),
    ("GET", "/v1/payments/{id}/transitions", Scope::PaymentsRead),
    ("POST", "/v1/payments/{id}/capture", Scope::PaymentsWrite),
    ("POST", "/v1/payments/{id}/cancel", Scope::PaymentsWrite),
    ("POST", "/v1/payments/{id}/three-ds", Scope::PaymentsWrite),
    ("POST", "/v1/payments/{id}/refunds", Scope::RefundsWrite),
    ("GET", "/v1/payments/{id}/refunds", Scope::PaymentsRead),
    ("GET", "/v1/payments/{id}/personal-data", Scope::PersonalDataWrite),
    ("DELETE", "/v1/payments/{id}/personal-data", Scope::PersonalDataWrite),
    ("GET", "/v1/refunds/{id}", Scope::PaymentsRead),
    ("POST", "/v1/payments/{id}/sync", Scope::OpsWrite),
    ("POST", "/v1/payments/{id}/attention/resolve", Scope::OpsWrite),
    ("GET", "/v1/notifications", Scope::OpsWrite),
    ("POST", "/v1/notifications/{id}/replay", Scope::OpsWrite),
    ("POST", "/v1/approvals", Scope::RefundsWrite),
    ("GET", "/v1/approvals", Scope::PaymentsRead),
    ("GET", "/v1/approvals/{id}", Scope::PaymentsRead),
    ("POST", "/v1/approvals/{id}/approve", Scope::RefundsWrite),
    ("POST", "/v1/approvals/{id}/reject", Scope::RefundsWrite),
    ("POST", "/v1/reconciliations", Scope::OpsWrite),
    ("GET", "/v1/reconciliations", Scope::OpsWrite),
    ("GET", "/v1/reconciliations/{id}", Scope::OpsWrite),
    ("GET", "/v1/discrepancies", Scope::OpsWrite),
    ("GET", "/v1/discrepancies/{id}", Scope::OpsWrite),
    ("POST", "/v1/discrepancies/{id}/close", Scope::OpsWrite),
    ("GET", "/v1/chargebacks", Scope::OpsWrite),
    ("GET", "/v1/invariants", Scope::OpsWrite),
    ("GET", "/v1/events", Scope::PaymentsRead),
    ("GET", "/v1/reports/summary", Scope::ReportsRead),
    ("GET", "/v1/reports/register", Scope::ReportsRead),
    ("GET", "/v1/audit/roots", Scope::ReportsRead),
    ("GET", "/v1/decline-reasons", Scope::PaymentsRead),
    ("GET", "/v1/payers/{account_id}/personal-data", Scope::PersonalDataWrite),
    ("DELETE", "/v1/payers/{account_id}/personal-data", Scope::PersonalDataWrite),
];

/// A scope that lets in as well, where there is one: which of both is needed follows from what is approved.
fn or_else(method: &str, path: &str) -> Option<Scope> {
    (method == "POST" && path.starts_with("/v1/approvals")).then_some(Scope::OpsWrite)
}

/// Every operation of the document with the scope it names, if any.
fn documented() -> BTreeMap<(String, String), Option<String>> {
    let document: Value = serde_json::from_str(&kmic_payments::http::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    let of_path = |(path, item): (String, Value)| {
        let scope = |operation: &Value| operation.pointer("/security/0/api_key/0")?.as_str().map(str::to_owned);
        let operations = item.as_object().unwrap().clone();
        operations
            .into_iter()
            .map(move |(method, operation)| ((method.to_uppercase(), path.clone()), scope(&operation)))
    };
    paths.into_iter().flat_map(of_path).collect()
}

/// An address of the operation.
fn concrete(path: &str) -> String {
    let id = if path.contains("/refunds/") {
        "ref_"
    } else if path.contains("/notifications/") {
        "ntf_"
    } else if path.contains("/reconciliations/") {
        "rec_"
    } else if path.contains("/approvals/") {
        "apr_"
    } else if path.contains("/discrepancies/") {
        "dis_"
    } else {
        "pay_"
    };
    path.replace("{id}", &format!("{id}01kaq0j5m8x2v9c4t7b1n6r3ed"))
        .replace("{kind}", "pay")
        .replace("{account_id}", "user-42")
        .replace("/reports/summary", "/reports/summary?from=2026-03-01&to=2026-03-02")
        .replace("/reports/register", "/reports/register?date=2026-03-02")
}

#[track_caller]
fn expect_challenge(reply: &Reply, what: &str) {
    assert_eq!(reply.expect_problem(401, "unauthenticated"), [""; 0], "{what}");
    assert_eq!(reply.header("www-authenticate"), "Bearer", "{what}");
}

async fn without_a_valid_key_nothing_is_shown(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (head, secret) = app.key.rsplit_once('_').unwrap();
    let other_id = app.new_key(&Scope::ALL).await;
    let other_id = other_id.rsplit_once('_').unwrap().0;
    let headers = [
        "".to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        app.key.clone(),
        format!("Basic {}", app.key),
        format!("Token {}", app.key),
        format!("Bearer  , {}", app.key),
        format!("Bearer {} x", app.key),
        format!("Bearer {}", app.key.to_uppercase()),
        format!("Bearer {}x", app.key),
        format!("Bearer {}", &app.key[..app.key.len() - 1]),
        format!("Bearer {head}_"),
        format!("Bearer {head}"),
        format!("Bearer {secret}"),
        format!("Bearer {other_id}_{secret}"),
        "Bearer kmic_01kaq0j5m8x2v9c4t7b1n6r3ed_x".to_owned(),
        "Bearer ' OR 1=1 --".to_owned(),
        format!("Bearer {}", "x".repeat(4000)),
    ];
    expect_challenge(&app.call_as("GET", "/v1/payments", None).await, "no header");
    for header in &headers {
        expect_challenge(&app.call_as("GET", "/v1/payments", Some(header)).await, header);
        expect_challenge(&app.call_as("POST", "/v1/payments", Some(header)).await, header);
    }
    let in_query = app.call_as("GET", &format!("/v1/payments?access_token={}", app.key), None).await;
    expect_challenge(&in_query, "key in the address");
    app.expect_untouched("calls without a key").await;
    app.call_as("GET", "/v1/payments", Some(&format!("bearer {}", app.key))).await.expect(200);
    app.finish().await;
}

async fn revoked_keys_stop_to_work_within_a_second(engine: Engine) {
    let app = TestApp::start(engine).await;
    let new = create_api_key("leaver", vec![Scope::PaymentsRead], app.clock.now(), None, &SystemIds);
    let (key, id, at) = (new.key.clone(), new.key.id.clone(), app.clock.now());
    let header = format!("Bearer {}", new.secret);
    app.running.store.write(Lane::of("keys"), move |tx| api_keys::insert(tx, &key)).await.unwrap();
    app.call_as("GET", "/v1/payments", Some(&header)).await.expect(200);
    let again = id.clone();
    assert!(app.running.store.write(Lane::of("keys"), move |tx| api_keys::revoke(tx, &id, at)).await.unwrap());
    assert!(!app.running.store.write(Lane::of("keys"), move |tx| api_keys::revoke(tx, &again, at)).await.unwrap());
    app.advance(1);
    let reply = app.call_as("GET", "/v1/payments", Some(&header)).await;
    expect_challenge(&reply, "revoked");
    assert!(reply.text("/detail").contains("revoked"));
    app.finish().await;
}

async fn expired_keys_stop_to_work(engine: Engine) {
    let app = TestApp::start(engine).await;
    let now = app.clock.now();
    let new = create_api_key("guest", vec![Scope::PaymentsRead], now, Some(now.plus_seconds(60)), &SystemIds);
    let (key, header) = (new.key, format!("Bearer {}", new.secret));
    app.running.store.write(Lane::of("keys"), move |tx| api_keys::insert(tx, &key)).await.unwrap();
    app.call_as("GET", "/v1/payments", Some(&header)).await.expect(200);
    app.advance(60);
    let reply = app.call_as("GET", "/v1/payments", Some(&header)).await;
    expect_challenge(&reply, "expired");
    assert!(reply.text("/detail").contains("expired"));
    app.get("/v1/payments").await.expect(200);
    app.finish().await;
}

async fn every_operation_needs_its_scope(engine: Engine) {
    let app = TestApp::start(engine).await;
    let guarded: BTreeMap<_, _> = documented().into_iter().filter_map(|(place, scope)| Some((place, scope?))).collect();
    let expected: BTreeMap<_, _> = SCOPES
        .into_iter()
        .map(|(method, path, scope)| ((method.to_owned(), path.to_owned()), scope.as_str().to_owned()))
        .collect();
    assert_eq!(guarded, expected, "the document (left) and this table (right) differ");
    for (method, path, scope) in SCOPES {
        let (address, place) = (concrete(path), format!("{method} {path}"));
        expect_challenge(&app.call_as(method, &address, None).await, &place);
        let also = or_else(method, path);
        let others: Vec<Scope> =
            Scope::ALL.into_iter().filter(|other| *other != scope && Some(*other) != also).collect();
        for scopes in [others, vec![]] {
            let key = app.new_key(&scopes).await;
            let reply = app.call_as(method, &address, Some(&format!("Bearer {key}"))).await;
            assert_eq!(reply.expect_problem(403, "missing_scope"), [""; 0], "{place}");
            assert!(reply.text("/detail").contains(scope.as_str()), "{place}: {}", reply.text("/detail"));
        }
        for scope in std::iter::once(scope).chain(also) {
            let key = app.new_key(&[scope]).await;
            let reply = app.call_as(method, &address, Some(&format!("Bearer {key}"))).await;
            assert!(matches!(reply.status, 200 | 400 | 404), "{place}: {} {}", reply.status, reply.json);
        }
    }
    app.expect_untouched("calls without a scope").await;
    app.finish().await;
}

async fn open_operations_are_few_and_guarded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let open: Vec<_> = documented().into_iter().filter(|(_, scope)| scope.is_none()).map(|(place, _)| place).collect();
    let expected: Vec<_> = OPEN.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    let sorted = |mut places: Vec<(String, String)>| {
        places.sort();
        places
    };
    assert_eq!(sorted(open), sorted(expected));
    for (method, path) in OPEN {
        let address = concrete(path).replace("ntf_", "pay_");
        let reply = app.call_as(method, &address, None).await;
        match path {
            _ if path.contains("cloudpayments") => {
                reply.expect_problem(401, "invalid_signature");
                assert!(!reply.header("www-authenticate").is_empty());
            }
            _ if path.contains("three-ds") => {
                reply.expect_problem(403, "invalid_link");
                let forged = app.call_as(method, &format!("{address}?signature=AAAA"), None).await;
                forged.expect_problem(403, "invalid_link");
            }
            _ => assert_eq!(reply.status, 200, "{path}"),
        }
    }
    assert_eq!(app.get("/v1/payments").await.json["data"], Value::Array(Vec::new()));
    assert_eq!(app.calls_to_provider().await, 0);
    app.finish().await;
}

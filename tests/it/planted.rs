//! Whatever takes personal data or secrets is given a canary of its own, and every place is searched for each of them.

use std::collections::BTreeSet;

use cloudpayments_sandbox::{ApiFaultKind, NotificationKind};
use kmic_payments::domain::scope::Scope;
use serde_json::json;

use crate::support::{
    APPROVED, Body, CARD_THREE_DS, ENCRYPTION_KEY, Engine, LogLines, Operator, Place, Reply, Sql, TestApp, card,
    counts, database_bytes, form, money, widget, with_at,
};

crate::on_both!(canaries_are_seen_nowhere);

const PA_RES: &str = "Y2FuYXJ5cGFyZXMtNTUxODI3";
/// What it is, and the canary.
const PLANTED: [(&str, &str); 29] = [
    ("payer.name", "Canaryname"),
    ("payer.phone", "77019381746"),
    ("payer.email", "canary.mail"),
    ("payer.account_id", "canary-account"),
    ("payer.ip_address", "203.0.113.177"),
    ("cardholder_name", "CANARYHOLDER"),
    ("description", "canarydescription"),
    ("metadata, IIN", "870412399017"),
    ("metadata, value", "canaryvalue"),
    ("metadata, name", "canarymember"),
    ("return_url", "canaryreturn"),
    ("reason of a refund", "canaryrefund"),
    ("reason of an approval", "canaryapproval"),
    ("reason of a resolution", "canaryresolution"),
    ("reason of a closing", "canaryclosing"),
    ("words of the provider", "canarywords"),
    ("pa_res", PA_RES),
    ("refused cryptogram", "canarycryptogram"),
    ("refused value", "canaryrefused"),
    ("broken body", "canarybroken"),
    ("wrong key", "canarywrongkey"),
    ("other headers", "canaryheader"),
    ("stray notification", "canarystray"),
    ("unreadable notification", "canaryunreadable"),
    ("forged notification", "canaryforged"),
    ("telephone as X-Request-Id", "77019381747"),
    ("word as X-Request-Id", "canaryrequest"),
    ("encryption key", ENCRYPTION_KEY),
    ("encryption key, decoded", "01234567890123456789012345678901"),
];
/// What may stand in the open, and where (docs/privacy.md): the same search finds it.
const OPEN: [(&str, &str, &str); 3] = [
    ("invoice_id", "canaryinvoice", "database"),
    ("Idempotency-Key", "canaryrepeat", "database"),
    ("X-Request-Id", "c4a7a1d0-5b3e-4f6a-9d2c-0e8b7a6c5d4f", "log"),
];

/// Who is shown what (docs/privacy.md), by a scope besides `payments:read`. Nobody else is, and they are.
const TOLD: [(Scope, &[&str]); 3] = [
    (Scope::RefundsWrite, &["reason of an approval"]),
    (Scope::OpsWrite, &["words of the provider", "reason of a resolution", "reason of a closing"]),
    (Scope::PersonalDataWrite, &OF_THE_PAYER),
];
/// What an export and the recorded reading show, the notifications with the name on the card among it.
const OF_THE_PAYER: [&str; 17] = [
    "payer.name",
    "payer.phone",
    "payer.email",
    "payer.account_id",
    "payer.ip_address",
    "cardholder_name",
    "description",
    "metadata, IIN",
    "metadata, value",
    "metadata, name",
    "return_url",
    "reason of a refund",
    "reason of an approval",
    "reason of a resolution",
    "reason of a closing",
    "words of the provider",
    "stray notification",
];
/// What is answered to payers' browsers and to the provider alone, each request with a signature of its own.
const SIGNED: [&str; 2] = ["/v1/three-ds/{id}/redirect", "/v1/notifications/cloudpayments/{kind}"];

fn order(invoice: &str, number: &str) -> Body {
    let payer = json!({
        "account_id": "canary-account", "email": "canary.mail@example.test", "phone": "+77019381746", "name": "Canaryname",
        "ip_address": "203.0.113.177",
    });
    let mut body = card(invoice, number);
    for (pointer, value) in [
        ("/payer", payer),
        ("/description", json!("canarydescription")),
        ("/return_url", json!("https://kmic.kz/canaryreturn")),
        ("/metadata", json!({ "iin": "870412399017", "canarymember": { "note": ["canaryvalue"] } })),
        ("/method/cardholder_name", json!("CANARYHOLDER")),
    ] {
        body = with_at(body, pointer, value);
    }
    body
}

/// What was answered while the canaries were planted.
#[derive(Default)]
struct Answers(Vec<u8>);

impl Answers {
    /// Keeps a refusal.
    fn refused(&mut self, reply: &Reply) {
        assert!(reply.status >= 400, "{}", reply.json);
        self.0.extend(format!("{:?}", reply.headers).into_bytes());
        self.0.extend(&reply.bytes);
    }
}

/// A payment through 3-D Secure, one that is refunded and looked at, and one that the provider refuses. Returns the
/// cryptograms that were used.
async fn pay(app: &TestApp) -> Vec<String> {
    let body = order("canaryinvoice", CARD_THREE_DS);
    let mut used = vec![body.pointer("/method/cryptogram").unwrap().as_str().unwrap().to_owned()];
    let request = app.posting("/v1/payments", "canaryrepeat", &body).header("X-Request-Id", "canaryrequest");
    let payment = Reply::receive(request.header("User-Agent", "canaryheader").header("Cookie", "canaryheader")).await;
    let payment = payment.expect(201);
    let read = app.request(reqwest::Method::GET, &format!("/v1/payments/{}", payment.id()));
    Reply::receive(read.header("X-Request-Id", OPEN[2].1)).await.expect(200);
    let md = payment.text("/next_action/md").to_owned();
    let finished = app.act(payment.id(), "three-ds", json!({ "md": md, "pa_res": PA_RES })).await;
    assert!(matches!(finished.status, 200 | 202 | 409), "{}", finished.json);

    let body = order("KM-2", APPROVED);
    used.push(body.pointer("/method/cryptogram").unwrap().as_str().unwrap().to_owned());
    let paid = app.create(body).await.expect(201);
    let refund = json!({ "amount": money("500.00"), "reason": "canaryrefund" });
    app.post(&format!("/v1/payments/{}/refunds", paid.id()), refund).await.expect(201);
    app.sandbox.flush_notifications().await;
    let approval =
        json!({ "kind": "refund", "payment_id": paid.id(), "amount": money("1.00"), "reason": "canaryapproval" });
    Operator::with_all(app).await.post(app, "/v1/approvals", "approval-1", approval).await.expect(201);

    // One that no account is known of.
    let payer = json!({ "email": "canary.mail@example.test", "ip_address": "203.0.113.177" });
    let without_account = with_at(order("KM-5", APPROVED), "/payer", payer);
    app.create(without_account).await.expect(201);
    app.sandbox.flush_notifications().await;
    let words = json!({ "Success": false, "Message": "Dear canarywords" }).to_string();
    app.break_answer("/payments/cards/charge", ApiFaultKind::StatusAfter { status: 200, body: Some(words) });
    app.lose(NotificationKind::Pay);
    app.create(order("KM-3", APPROVED)).await.expect(201);
    used
}

/// What operators write.
async fn look_at(app: &TestApp) {
    let hosted =
        app.create(with_at(widget("KM-4"), "/payer", json!({ "account_id": "canary-account" }))).await.expect(201);
    for transaction in ["5000000001", "5000000002"] {
        let fields = [
            ("TransactionId", transaction),
            ("Amount", "12500.00"),
            ("Currency", "KZT"),
            ("InvoiceId", "KM-4"),
            ("Name", "Canaryname"),
            ("Status", "Completed"),
        ];
        app.notify("pay", &fields).await;
    }
    app.act(hosted.id(), "attention/resolve", json!({ "reason": "canaryresolution" })).await.expect(200);
    let mut sql = Sql::open(&app.database.url);
    sql.run(
        "INSERT INTO reconciliations (id, purpose, window_from, window_to, requested_by, state, phase, next_page, compared, \
         unreadable, lost, asked, chargebacks, failures, started_at, finished_at) VALUES ('rec_01kaq0m5c3v7b1n6m2x8z4a9q0', 'requested', \
         '2026-01-01 00:00:00', '2026-01-01 00:00:00', 'x', 'completed', 'register', 1, 0, 0, 0, 0, 0, 0, \
         '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
    )
    .unwrap();
    for (number, payment) in [(1, format!("'{}'", hosted.id())), (2, "NULL".to_owned())] {
        let id = format!("dis_01kaq0m5c3v7b1n6m2x8z4a9q{number}");
        sql.run(&format!(
            "INSERT INTO discrepancies (id, kind, transaction_id, payment_id, lost, opened_by, opened_at) VALUES \
             ('{id}', 'missing_there', {number}, {payment}, false, 'rec_01kaq0m5c3v7b1n6m2x8z4a9q0', '2026-01-01 00:00:00')"
        ))
        .unwrap();
        let closing = json!({ "reason": "canaryclosing" });
        app.post(&format!("/v1/discrepancies/{id}/close"), closing).await.expect(200);
    }
}

/// What is refused.
async fn be_refused(app: &TestApp, answers: &mut Answers) {
    for (pointer, value) in [
        ("/method/cryptogram", json!("canarycryptogram with blanks")),
        ("/capture", json!("canaryrefused")),
        ("/amount/value", json!("canaryrefused")),
        ("/language", json!("canaryrefused")),
        ("/payer/email", json!("canaryrefused canary.mail")),
        ("/payer/phone", json!("canaryrefused 77019381746")),
        ("/payer/ip_address", json!("canaryrefused")),
        ("/return_url", json!("canaryrefused canaryreturn")),
        ("/payer/name", json!("Canaryname\ncanaryrefused")),
        ("/metadata", json!("canaryrefused")),
    ] {
        let reply = app.create(with_at(order("KM-9", APPROVED), pointer, value)).await;
        assert_eq!(reply.status, 422, "{pointer}");
        answers.refused(&reply);
    }
    answers.refused(&app.post_bytes("/v1/payments", b"{\"payer\": canarybroken".to_vec()).await);
    for path in [
        "/v1/payments?status=canaryrefused",
        "/v1/payments/canaryrefused",
        "/canaryrefused",
        "/v1/payments?limit=canaryrefused",
    ] {
        answers.refused(&app.get(path).await);
    }
    answers.refused(&app.call_as("GET", "/v1/payments", Some("Bearer kmic_canarywrongkey")).await);
    answers.refused(&app.call_as("GET", "/v1/payments", Some("Basic canarywrongkey")).await);
    let request = app.request(reqwest::Method::GET, "/v1/payers/canary-account/nowhere");
    answers.refused(
        &Reply::receive(request.header("X-Request-Id", "77019381747").header("Referer", "canaryheader")).await,
    );
    answers.refused(&app.notify_signed("pay", &form(&[("Name", "canaryforged")]), "a wrong secret").await);
    app.notify("pay", &[("TransactionId", "no number"), ("Name", "canaryunreadable")]).await;
    let stray = [
        ("TransactionId", "99001"),
        ("Amount", "1.00"),
        ("Currency", "KZT"),
        ("InvoiceId", "none"),
        ("AccountId", "canary-account"),
        ("Name", "canarystray"),
        ("Status", "Completed"),
    ];
    app.notify("pay", &stray).await;
}

/// Everything that can be read, as keys see it that did not make the payments: one for each scope, which may read payments
/// besides. Fails for a route that answers none of them.
async fn shown_to_others(app: &TestApp) -> Vec<Place> {
    let readable = app.readable("canary-account");
    assert!(readable.len() > 24, "{}", readable.len());
    let mut unanswered: BTreeSet<&str> = readable.iter().map(|one| one.route.as_str()).collect();
    let mut places = Vec::new();
    for scope in Scope::ALL {
        let authorization = format!("Bearer {}", app.new_key(&[Scope::PaymentsRead, scope]).await);
        let mut shown = Vec::new();
        for one in &readable {
            for address in &one.addresses {
                let reply = app.call_as("GET", address, Some(&authorization)).await;
                if reply.status == 200 {
                    unanswered.remove(one.route.as_str());
                }
                shown.extend(format!("{:?}", reply.headers).into_bytes());
                shown.extend(&reply.bytes);
            }
        }
        places.push(Place::new(scope.as_str(), &shown));
    }
    assert_eq!(unanswered, BTreeSet::from(SIGNED), "routes that were not searched");
    places
}

async fn canaries_are_seen_nowhere(engine: Engine) {
    let lines = LogLines::collect();
    let app = TestApp::start(engine).await;
    let mut answers = Answers::default();
    let used = pay(&app).await;
    look_at(&app).await;
    be_refused(&app, &mut answers).await;
    app.get("/v1/payments?account_id=canary-account").await.expect(200);
    app.get("/v1/payers/canary-account/personal-data").await.expect(200);
    app.running.app.seal_step().await.unwrap();
    app.sandbox.flush_notifications().await;
    let feed = app.all_events().await.bytes;

    let secrets = [("API key", app.key.as_str()), ("secret of the provider", app.sandbox.api_secret())];
    let mut canaries: Vec<(&str, String)> =
        PLANTED.iter().copied().chain(secrets).map(|(name, text)| (name, text.to_owned())).collect();
    // The beginning names the test card and stands in every cryptogram of it; the end is this one's own.
    canaries.extend(used.into_iter().map(|used| ("cryptogram", used[used.len() - 60..used.len() - 20].to_owned())));
    let shown = shown_to_others(&app).await;
    let mut places = vec![
        Place::new("database", &database_bytes(&app)),
        Place::new("log", &lines.taken()),
        Place::new("error answers", &answers.0),
        Place::new("events", &feed),
        Place::new("figures", app.running.metrics.render().as_bytes()),
        Place::new("settings as told", format!("{:?}", app.settings).as_bytes()),
    ];
    places.extend(shown);
    for (name, text, place) in OPEN {
        let found = places.iter().find(|one| one.name == place).map_or(0, |one| one.count(text));
        assert!(found > 0, "{name} is not found in the {place}: the search does not work");
    }
    let mut found = counts(&canaries, &places);
    for (scope, told) in TOLD {
        for canary in told {
            let seen = found.get_mut(canary).and_then(|places| places.remove(scope.as_str()));
            assert!(seen.is_some(), "keys with {} are not told the {canary}", scope.as_str());
        }
    }
    found.retain(|_, places| !places.is_empty());
    let table: Vec<String> = found.iter().map(|(canary, counts)| format!("{canary}: {counts:?}")).collect();
    assert!(table.is_empty(), "of {} canaries were seen, how often and where:\n{}", canaries.len(), table.join("\n"));
    app.stop().await;
}

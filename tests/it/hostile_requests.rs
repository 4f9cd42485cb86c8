//! Requests that nobody meant well, seeded, through the real server: an answer to each, never ours to blame, and the books
//! hold afterwards. The readers one by one are fed by `src/fuzzing`.

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};

use crate::support::{APPROVED, Engine, Reply, TestApp, card, form, widget};

crate::on_both!(every_request_is_answered_and_the_books_hold);

const REQUESTS: usize = 400;
const PATHS: &[&str] = &[
    "/v1/payments",
    "/v1/payments?",
    "/v1/payments/{id}",
    "/v1/payments/{id}/transitions",
    "/v1/payments/{id}/capture",
    "/v1/payments/{id}/cancel",
    "/v1/payments/{id}/three-ds",
    "/v1/payments/{id}/sync",
    "/v1/payments/{id}/refunds",
    "/v1/refunds/{id}",
    "/v1/approvals",
    "/v1/approvals/{id}/approve",
    "/v1/three-ds/{id}/redirect?signature=",
    "/v1/three-ds/{id}/return?signature=",
    "/v1/notifications/cloudpayments/pay",
    "/v1/notifications/cloudpayments/check",
    "/v1/notifications",
    "/v1/notifications/{id}/replay",
    "/v1/events?after=",
    "/v1/decline-reasons",
    "/docs/",
    "/health/ready",
    "/",
    "/%00",
    "/v1//payments",
    "/v1/payments/../payments",
    "/openapi.json",
];
const HEADERS: &[&str] = &[
    "idempotency-key",
    "content-type",
    "x-request-id",
    "content-hmac",
    "x-content-hmac",
    "authorization",
    "expect",
    "range",
];
const WORDS: &[&str] = &[
    "4242424242424242",
    "4242 4242 4242 4242",
    "application/json",
    "application/x-www-form-urlencoded",
    "pay_",
    "%00",
    "%ff",
    "../",
    "limit=0",
    "limit=-1",
    "cursor=AAAA",
    "wait=31",
    "&",
    "=",
    "?",
    "{",
    "}",
    "[[[[[[[[",
    "\"",
    "\\u0000",
    "null",
    "1e999",
    "-0",
    "00",
    "12500.00",
    "KZT",
    "\u{202e}",
    "я",
    "\0",
    "\r\n",
    "Bearer ",
    "amount",
    "metadata",
    "TransactionId=1&",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// The bytes with a few pieces changed, cut, doubled or put in; sometimes as they were.
    fn spoil(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut spoiled = bytes.to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(spoiled.len() + 1);
            let end = at + self.below(spoiled.len() - at + 1).min(40);
            match self.below(5) {
                0 if at < spoiled.len() => spoiled[at] ^= 1 << self.below(8),
                1 => drop(spoiled.drain(at..end)),
                2 => {
                    let piece = spoiled[at..end].to_vec();
                    spoiled.splice(at..at, piece);
                }
                3 => spoiled.truncate(at),
                _ => {
                    let word = self.pick(WORDS).bytes();
                    spoiled.splice(at..at, word);
                }
            }
        }
        spoiled
    }
}

async fn every_request_is_answered_and_the_books_hold(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-0")).await.expect(201);
    let mut random = Random(0x6b6d_6963);
    let bodies = [
        widget("KM-1").to_string(),
        card("KM-2", APPROVED).to_string(),
        r#"{"amount":{"value":"1.00","currency":"KZT"},"reason":"x"}"#.to_owned(),
        r#"{"md":"1","pa_res":"eJx"}"#.to_owned(),
        form(&[("TransactionId", "1"), ("Amount", "12500.00"), ("MD", "1"), ("PaRes", "eJx")]),
    ];
    let mut answers = [0_usize; 6];
    for number in 0..REQUESTS {
        let path = random.pick(PATHS).replace("{id}", payment.id());
        let path = if random.below(3) == 0 {
            String::from_utf8_lossy(&random.spoil(path.as_bytes())).replace(['#', '\\'], "")
        } else {
            path
        };
        let method = [Method::GET, Method::POST, Method::POST, Method::PUT, Method::DELETE][random.below(5)].clone();
        let body = random.below(bodies.len());
        let body = random.spoil(bodies[body].as_bytes());
        let shown = format!("request {number}: {method} {path} {}", String::from_utf8_lossy(&body));
        let mut request = app.request(method, &format!("/{}", path.trim_start_matches('/')));
        if random.below(4) > 0 {
            request =
                request.header("idempotency-key", format!("k{number}")).header("content-type", "application/json");
        }
        if random.below(3) == 0
            && let Ok(value) = HeaderValue::from_bytes(&random.spoil(b"application/json"))
        {
            request = request.header(HeaderName::from_static(random.pick(HEADERS)), value);
        }
        let reply = Reply::receive(request.body(body)).await;
        assert!(reply.status < 500, "{shown}: {} {}", reply.status, reply.page());
        if reply.status >= 400 {
            assert_eq!(reply.header("content-type"), "application/problem+json", "{shown}");
            let code = reply.json["code"].as_str().unwrap_or_default();
            assert!(!code.is_empty() && reply.json["status"] == reply.status, "{shown}: {}", reply.json);
        }
        assert!(!reply.page().contains("4242424242424242"), "{shown}: {}", reply.page());
        answers[usize::from(reply.status / 100)] += 1;
    }
    // It tells something only when both kinds came about.
    assert!(answers[2] > 10 && answers[4] > 100, "{answers:?}");
    app.finish().await;
}

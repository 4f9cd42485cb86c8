//! The ways a connection can fail, over real sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use secrecy::SecretString;

use super::super::{BreakerSettings, Client, ClientSettings, NotSent, Outcome, Sending};
use crate::clock::{Clock as _, ShiftedClock, SystemClock, Timestamp};
use crate::domain::money::{Currency, Money};

/// What the other side does after it read a request.
#[derive(Clone)]
enum Reaction {
    Answer(Vec<u8>),
    /// The same, after a while.
    AnswerLate(Vec<u8>),
    Close,
    Silence,
}

fn settings(base_url: String) -> ClientSettings {
    ClientSettings {
        base_url,
        public_id: "pk_test".to_owned(),
        api_secret: SecretString::from("secret"),
        max_concurrent_requests: 5,
        max_queued_requests: 5,
        queue_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_millis(1500),
        abandoned_after: Duration::from_secs(300),
        backoff: Duration::from_secs(10),
        breaker: BreakerSettings { failures: 5, pause: Duration::from_secs(5) },
        clock: Arc::new(ShiftedClock::default()),
        metrics: Arc::new(crate::metrics::Metrics::new().unwrap()),
    }
}

/// Answers every request alike and passes on what it read.
fn other_side(reaction: Reaction) -> (Client, Receiver<String>) {
    let (address, requests) = listen(reaction);
    (Client::new(settings(format!("http://{address}/"))).unwrap(), requests)
}

fn listen(reaction: Reaction) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = channel();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            if sender.send(request).is_err() {
                return;
            }
            match &reaction {
                Reaction::Answer(bytes) => stream.write_all(bytes).unwrap_or_default(),
                Reaction::AnswerLate(bytes) => {
                    thread::sleep(Duration::from_millis(700));
                    stream.write_all(bytes).unwrap_or_default();
                }
                Reaction::Close => {}
                Reaction::Silence => open.push(stream),
            }
        }
    });
    (address, requests)
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
        });
        if count == 0 || whole {
            return text;
        }
    }
}

fn http(status: &str, body: &str) -> Reaction {
    Reaction::Answer(
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes(),
    )
}

async fn capture(client: &Client) -> Outcome<()> {
    capture_until(client, SystemClock.now().plus_seconds(60)).await
}

async fn capture_until(client: &Client, not_after: Timestamp) -> Outcome<()> {
    client.capture(3_600_000_106, Money::new(1_800_050, Currency::KZT), Sending { request_id: "op_1", not_after }).await
}

#[tokio::test]
async fn sends_what_the_contract_asks_for_once() {
    let (client, requests) = other_side(http("200 OK", r#"{"Success":true,"Message":null}"#));
    assert!(matches!(capture(&client).await, Outcome::Answered(())));
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST /payments/confirm HTTP/1.1\r\n"), "{request}");
    let lower = request.to_lowercase();
    assert!(lower.contains("\r\nx-request-id: op_1\r\n") && lower.contains("\r\ncontent-type: application/json\r\n"));
    assert!(request.contains("Basic cGtfdGVzdDpzZWNyZXQ="), "pk_test:secret");
    assert!(request.ends_with(r#"{"TransactionId":3600000106,"Amount":18000.50}"#));
    assert!(matches!(client.test().await, Outcome::Answered(())));
    let test = requests.recv().unwrap();
    assert!(test.starts_with("POST /test ") && !test.to_lowercase().contains("x-request-id"));
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn what_was_sent_without_an_answer_is_unknown_and_not_repeated() {
    for reaction in [
        Reaction::Close,
        Reaction::Silence,
        Reaction::Answer(b"garbage\r\n\r\n".to_vec()),
        Reaction::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Success\":true".to_vec()),
        http("500 Internal Server Error", r#"{"Success":true}"#),
        http("502 Bad Gateway", "<html>"),
        http("302 Found\r\nLocation: /payments/void", ""),
        http("400 Bad Request", r#"{"Success":false,"Message":"x"}"#),
        http("200 OK", &format!(r#"{{"Success":true,"Message":"{}"}}"#, "x".repeat(1024 * 1024))),
    ] {
        let (client, requests) = other_side(reaction);
        let outcome = capture(&client).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        assert!(requests.recv().unwrap().starts_with("POST /payments/confirm"));
        assert!(requests.try_recv().is_err(), "sent twice");
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_under_a_request_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other_side = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"Success\":true}").unwrap();
        let second = read_request(&mut stream);
        drop(stream);
        listener.set_nonblocking(true).unwrap();
        thread::sleep(Duration::from_millis(300));
        (second, listener.accept().is_err())
    });
    let client = Client::new(settings(format!("http://{address}"))).unwrap();
    assert!(matches!(capture(&client).await, Outcome::Answered(())));
    let outcome = capture(&client).await;
    assert!(matches!(&outcome, Outcome::Unknown { .. }), "{outcome:?}");
    let (second, not_repeated) = other_side.join().unwrap();
    assert!(second.starts_with("POST /payments/confirm") && not_repeated);
}

#[tokio::test]
async fn what_surely_did_nothing_is_told() {
    let (client, _requests) = other_side(http("401 Unauthorized", "<html>"));
    assert!(matches!(capture(&client).await, Outcome::NotSent { reason: NotSent::Credentials }));
    let (client, _requests) = other_side(http("429 Too Many Requests", ""));
    assert!(matches!(capture(&client).await, Outcome::NotSent { reason: NotSent::TooManyRequests }));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(settings(format!("http://{free}"))).unwrap();
    let outcome = capture(&client).await;
    assert!(matches!(&outcome, Outcome::NotSent { reason: NotSent::Unreachable(_) }), "{outcome:?}");
    let client = Client::new(settings("http://no-such-host.invalid".to_owned())).unwrap();
    let outcome = capture(&client).await;
    assert!(matches!(&outcome, Outcome::NotSent { reason: NotSent::Unreachable(_) }), "{outcome:?}");
}

#[tokio::test]
async fn a_tls_handshake_that_fails_or_stalls_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for reacts in [true, false] {
        let listener = listener.try_clone().unwrap();
        let other_side = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 64]);
            if reacts {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap_or_default();
            } else {
                thread::sleep(Duration::from_millis(500));
            }
        });
        let settings =
            ClientSettings { connect_timeout: Duration::from_millis(300), ..settings(format!("https://{address}")) };
        let outcome = capture(&Client::new(settings).unwrap()).await;
        assert!(matches!(&outcome, Outcome::NotSent { reason: NotSent::Unreachable(_) }), "{outcome:?}");
        other_side.join().unwrap();
    }
}

#[tokio::test]
async fn a_full_queue_sends_nothing() {
    let (address, requests) = listen(Reaction::Silence);
    let client = Client::new(ClientSettings {
        max_concurrent_requests: 1,
        max_queued_requests: 0,
        ..settings(format!("http://{address}"))
    })
    .unwrap();
    let (first, second) = tokio::join!(capture(&client), capture(&client));
    assert!(matches!(first, Outcome::Unknown { .. }));
    assert!(matches!(second, Outcome::NotSent { reason: NotSent::Overloaded }));
    assert!(requests.recv().is_ok() && requests.try_recv().is_err());
}

#[tokio::test]
async fn what_is_late_is_not_sent() {
    let (client, requests) = other_side(http("200 OK", r#"{"Success":true,"Message":null}"#));
    let late = capture_until(&client, SystemClock.now().plus_seconds(-1)).await;
    assert!(matches!(late, Outcome::NotSent { reason: NotSent::TooLate }), "{late:?}");
    assert!(requests.try_recv().is_err());
    assert!(matches!(capture(&client).await, Outcome::Answered(())), "its place is free again");
}

/// The machine sleeps while a call waits for its turn.
#[tokio::test]
async fn what_waited_until_it_was_late_is_not_sent() {
    let done = r#"{"Success":true,"Message":null}"#;
    let Reaction::Answer(done) = http("200 OK", done) else { panic!("not an answer") };
    let (address, requests) = listen(Reaction::AnswerLate(done));
    let clock = Arc::new(ShiftedClock::default());
    let client = Client::new(ClientSettings {
        max_concurrent_requests: 1,
        clock: clock.clone(),
        ..settings(format!("http://{address}"))
    })
    .unwrap();
    let sleep = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        clock.advance_seconds(61);
    };
    let (first, second, ()) = tokio::join!(capture(&client), capture(&client), sleep);
    assert!(matches!(first, Outcome::Answered(())), "{first:?}");
    assert!(matches!(second, Outcome::NotSent { reason: NotSent::TooLate }), "{second:?}");
    assert!(requests.recv().is_ok() && requests.try_recv().is_err());
}

#[test]
fn an_address_that_is_none_is_told_at_once() {
    for address in ["", "api.tiptoppay.kz", "ftp://x", "https://x/?a=1"] {
        assert!(Client::new(settings(address.to_owned())).is_err(), "{address}");
    }
}

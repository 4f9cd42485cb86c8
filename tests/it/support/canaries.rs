//! What every test plants, and the places where it must never be seen again: logs, errors, figures, panics, the database.
//!
//! The whole suite is the canary test: each service that a test stops is searched, and everything that it logs or answers
//! as an error is searched as it goes.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing_subscriber::EnvFilter;

use super::app::TestApp;
use super::program::ENCRYPTION_KEY;
use super::traces::secret_hits;

/// The account of every payer.
pub const ACCOUNT: &str = "user-42";
/// The e-mail of every payer.
pub const EMAIL: &str = "payer@example.test";
/// The phone of payers with a card.
pub const PHONE: &str = "+77015550142";
/// The name of payers with a card.
pub const NAME: &str = "Planted Payername";
/// The address of payers with a card.
pub const IP: &str = "198.51.100.42";
/// What stands on the card.
pub const CARDHOLDER: &str = "TEST CARDHOLDER";

/// People, card numbers, the beginnings of their cryptograms, and the key that seals. A test that names one of them in a
/// place where it may stand is none that knows of.
const PLANTED: [&str; 15] = [
    ACCOUNT,
    EMAIL,
    PHONE,
    NAME,
    IP,
    CARDHOLDER,
    "4000000000003055",
    "4000056655665556",
    "4242424242424242",
    "4012888888881881",
    "014000003055301204",
    "014000055556301204",
    "014242424242301204",
    "014012881881301204",
    ENCRYPTION_KEY,
];

/// Where something was found, for all services of this process.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Searches what all services of this process log from here on, at the highest level of our own lines, and their panics.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // In this process the provider and the site log, too: their clients and servers know the payer and are left out. The
        // real program is searched at the highest level of everything by `secrecy`.
        let filter = "debug,kmic_payments=trace,cloudpayments_sandbox=off,hyper=off,hyper_util=off,reqwest=off,h2=off";
        let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(|| Searched);
        lines.json().flatten_event(true).init();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|location| location.file().starts_with("src/")) {
                search("a panic", &panic.to_string());
                keep(&panic.to_string());
            }
            before(panic);
        }));
    });
}

/// Who keeps what is logged.
static COLLECTING: Mutex<Vec<Arc<Mutex<Vec<u8>>>>> = Mutex::new(Vec::new());

/// All log lines and panics from now on until they are taken, those of other tests of this process among them.
pub struct LogLines(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    /// Begins.
    pub fn collect() -> LogLines {
        watch();
        let lines = LogLines(Arc::default());
        COLLECTING.lock().unwrap_or_else(PoisonError::into_inner).push(lines.0.clone());
        lines
    }

    /// Ends, and returns them.
    pub fn taken(self) -> Vec<u8> {
        let mut collecting = COLLECTING.lock().unwrap_or_else(PoisonError::into_inner);
        collecting.retain(|lines| !Arc::ptr_eq(lines, &self.0));
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn keep(text: &str) {
    for lines in COLLECTING.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        lines.lock().unwrap_or_else(PoisonError::into_inner).extend(text.as_bytes());
    }
}

/// Log lines: searched and, unless somebody collects them, forgotten.
struct Searched;

impl Write for Searched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        search("the log", &text);
        keep(&text);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Notes what of the planted stands in a text that may hold none of it.
pub fn search(place: &str, text: &str) {
    for canary in PLANTED.iter().filter(|canary| text.contains(**canary)) {
        let found = format!("{canary} in {place}: {text}");
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert(found);
    }
}

/// Searches the figures and the database of a service, and fails for all that was seen so far.
pub fn expect_none_seen(app: &TestApp) {
    search("the figures", &app.running.metrics.render());
    let secrets = [app.key.as_str(), app.sandbox.api_secret()];
    let texts: Vec<&str> = PLANTED.into_iter().chain(secrets).collect();
    assert_eq!(secret_hits(app, &texts), 0, "something planted stands in the database, outside of ciphertext");
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(seen.is_empty(), "{seen:#?}");
}

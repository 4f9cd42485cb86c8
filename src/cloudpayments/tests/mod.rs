//! Every recorded pair of the contract, and the ways a connection can fail.

mod answers;
mod notifications;
mod odd_answers;
mod signatures;
mod transport;

use std::path::{Path, PathBuf};

use super::fields::Fields;

/// The recorded pairs.
fn fixture_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cloudpayments")
}

/// All `*.json` of a folder by name, read as fields.
fn fixtures(folder: &Path) -> Vec<(String, Fields)> {
    let mut found: Vec<(String, Fields)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, Fields::from_json(&text).unwrap())
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(found.len() > 20, "the recorded pairs are missing");
    found
}

/// A recorded notification.
struct Recorded {
    name: String,
    body: Vec<u8>,
    is_json: bool,
    raw: String,
    decoded: String,
    about: Fields,
}

fn recorded() -> Vec<Recorded> {
    let folder = fixture_folder().join("notifications");
    fixtures(&folder)
        .into_iter()
        .map(|(name, about)| Recorded {
            body: std::fs::read(folder.join(about.text("body_file").unwrap())).unwrap(),
            is_json: about.text("content_type").is_some_and(|kind| kind.starts_with("application/json")),
            raw: about.owned("content_hmac").unwrap(),
            decoded: about.owned("x_content_hmac").unwrap(),
            name,
            about,
        })
        .collect()
}

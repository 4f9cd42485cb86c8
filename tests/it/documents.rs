//! What the documents say is true: of the tests, and of what the program is built from.

use std::path::Path;
use std::process::Command;

use kmic_payments::domain::state::{EDGES, Status};
use serde_json::Value;

/// `file::function` of the threat model names a test that is there.
#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let named: Vec<(&str, &str)> =
        document.split('`').filter_map(|part| part.split_once("::")).filter(|(_, test)| !test.is_empty()).collect();
    assert!(named.len() > 40, "only {} tests are named", named.len());
    for (file, test) in named {
        if (file, test) == ("file", "function") {
            continue;
        }
        let source = std::fs::read_to_string(root.join(format!("tests/it/{file}.rs"))).unwrap_or_default();
        assert!(source.contains(&format!("async fn {test}(")), "{file}::{test}");
    }
}

/// `deny.toml` is for `cargo deny`; what needs no tool but cargo is looked at by every test run.
#[test]
fn dependencies_are_of_known_origin_and_licence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = std::fs::read_to_string(root.join("deny.toml")).unwrap();
    let (_, rest) = rules.split_once("allow = [").unwrap();
    let allowed: Vec<&str> = rest.split(']').next().unwrap().split('"').skip(1).step_by(2).collect();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        let name = package["name"].as_str().unwrap();
        let source = package["source"].as_str().unwrap();
        assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
        let licence = package["license"].as_str().unwrap_or_default().replace('/', " OR ").replace(['(', ')'], "");
        // Every part has to be allowed, of alternatives one.
        let known = licence.split(" AND ").all(|part| part.split(" OR ").any(|one| allowed.contains(&one.trim())));
        assert!(known, "{name}: {licence}; read it, then add it to deny.toml or take another crate");
    }
}

#[test]
fn the_page_of_the_states_has_every_move_and_no_other() {
    let page = include_str!("../../docs/states.md");
    let name = |status: Option<Status>| status.map_or("-", Status::as_str);
    let rows: Vec<String> =
        EDGES.iter().map(|edge| format!("| {} | {} | {} |", name(edge.from), edge.to, edge.why)).collect();
    let (_, table) = page.split_once("what makes the move |\n|---|---|---|\n").unwrap();
    assert_eq!(table.lines().collect::<Vec<_>>(), rows);
    let arrow = |from: Option<Status>, to: Status| format!("    {} --> {to}", from.map_or("[*]", Status::as_str));
    let drawn: Vec<&str> = page.lines().filter(|line| line.contains("-->")).collect();
    let moves: Vec<String> =
        EDGES.iter().filter(|edge| edge.from != Some(edge.to)).map(|edge| arrow(edge.from, edge.to)).collect();
    assert_eq!(drawn, moves);
    for status in Status::ALL {
        assert!(page.contains(&format!("| `{status}` | ")), "{status}");
    }
}

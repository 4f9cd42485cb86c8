//! What the documents say of the tests is true.

use std::path::Path;

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

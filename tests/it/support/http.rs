//! Answers as tests look at them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::canaries::search;

/// An answer of the service.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub bytes: Vec<u8>,
    /// Null when the body is not JSON.
    pub json: Value,
}

impl Reply {
    pub async fn receive(request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let bytes = response.bytes().await.unwrap().to_vec();
        if status >= 400 {
            search("an error", &String::from_utf8_lossy(&bytes));
        }
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply { status, headers, bytes, json }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The text at a JSON pointer; "" when there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or("")
    }

    pub fn id(&self) -> &str {
        self.text("/id")
    }

    pub fn page(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    /// The answer if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    /// Checks that this is a problem with this status and code, and returns the faulty fields as `pointer: code`.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> Vec<String> {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.text("/code"), code, "{}", self.json);
        assert_eq!(self.json["status"], status);
        assert!(!self.text("/title").is_empty() && !self.text("/detail").is_empty() && !self.text("/type").is_empty());
        // The caller's id, or ours where the log does not keep that.
        let recorded = self.text("/request_id");
        assert!(recorded == self.header("x-request-id") || recorded.starts_with("req_"), "{recorded}");
        let faults = self.json.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
        let field = |fault: &Value, name: &str| fault.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
        faults.iter().map(|fault| format!("{}: {}", field(fault, "pointer"), field(fault, "code"))).collect()
    }
}

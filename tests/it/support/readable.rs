//! Every address that can be read with GET, as the document of the interface lists them.

use serde_json::Value;

use super::app::TestApp;
use super::sql::Sql;

/// Where to look up what stands in the place of `{id}`, by the first part of the address.
const IDS: [(&str, &str); 6] = [
    ("/v1/payments/", "payments"),
    ("/v1/refunds/", "refunds"),
    ("/v1/approvals/", "approvals"),
    ("/v1/reconciliations/", "reconciliations"),
    ("/v1/discrepancies/", "discrepancies"),
    ("/v1/three-ds/", "payments"),
];

/// A route, and its address for everything that is there.
pub struct Readable {
    pub route: String,
    pub addresses: Vec<String>,
}

impl TestApp {
    /// Every route that is read with GET. Fails for one of which it does not know how to fill in its parameters.
    pub fn readable(&self, account_id: &str) -> Vec<Readable> {
        let document: Value = serde_json::from_str(&kmic_payments::http::document()).unwrap();
        let mut sql = Sql::open(&self.database.url);
        let routes = document["paths"].as_object().unwrap().iter().filter(|(_, item)| item.get("get").is_some());
        routes
            .map(|(route, item)| {
                let query = self.query_of(&item["get"]);
                let paths = paths_of(&mut sql, route, account_id);
                assert!(!paths.is_empty(), "nothing is there that {route} shows");
                Readable {
                    route: route.clone(),
                    addresses: paths.iter().map(|path| format!("{path}{query}")).collect(),
                }
            })
            .collect()
    }

    /// What has to be in the query, and as many items as a list shows at once.
    fn query_of(&self, operation: &Value) -> String {
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let parts = query.filter_map(|parameter| match parameter["name"].as_str().unwrap() {
            "limit" => Some("limit=100".to_owned()),
            "date" => Some(format!("date={}", self.today())),
            "from" => Some("from=2026-01-01".to_owned()),
            "to" => Some("to=2026-01-31".to_owned()),
            "signature" => Some("signature=none".to_owned()),
            name => {
                assert!(parameter["required"] != true, "what is to be sent as {name}?");
                None
            }
        });
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }
}

fn paths_of(sql: &mut Sql, route: &str, account_id: &str) -> Vec<String> {
    let filled = route.replace("{account_id}", account_id).replace("{kind}", "pay");
    if !filled.contains('{') {
        return vec![filled];
    }
    let table = IDS.iter().find(|(start, _)| filled.starts_with(start)).map(|(_, table)| table);
    let table = table.unwrap_or_else(|| panic!("whose id is to be filled in in {route}?"));
    let ids = sql.texts(&format!("SELECT id AS value FROM {table}"));
    ids.iter().map(|id| filled.replace("{id}", id)).inspect(|path| assert!(!path.contains('{'), "{path}")).collect()
}

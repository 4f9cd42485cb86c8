//! The methods of the API and their paths.

use super::notice::NotificationKind;

/// A method of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name is the path of the method")]
pub enum Route {
    Test,
    CardCharge,
    CardAuth,
    Post3ds,
    TokenCharge,
    TokenAuth,
    Confirm,
    Void,
    Refund,
    Get,
    Find,
    FindV2,
    List,
    ListV2,
    TokensList,
    OrderCreate,
    OrderCancel,
    ChargebacksList,
    SettingsGet(NotificationKind),
    SettingsUpdate(NotificationKind),
}

/// Methods and their paths; the first path of a method is its own, others are aliases.
const PATHS: [(Route, &str); 19] = [
    (Route::Test, "/test"),
    (Route::CardCharge, "/payments/cards/charge"),
    (Route::CardAuth, "/payments/cards/auth"),
    (Route::Post3ds, "/payments/cards/post3ds"),
    (Route::Post3ds, "/payments/post3ds"),
    (Route::TokenCharge, "/payments/tokens/charge"),
    (Route::TokenAuth, "/payments/tokens/auth"),
    (Route::Confirm, "/payments/confirm"),
    (Route::Void, "/payments/void"),
    (Route::Refund, "/payments/refund"),
    (Route::Get, "/payments/get"),
    (Route::Find, "/payments/find"),
    (Route::FindV2, "/v2/payments/find"),
    (Route::List, "/payments/list"),
    (Route::ListV2, "/v2/payments/list"),
    (Route::TokensList, "/payments/tokens/list"),
    (Route::OrderCreate, "/orders/create"),
    (Route::OrderCancel, "/orders/cancel"),
    (Route::ChargebacksList, "/chargebacks/list"),
];

impl Route {
    /// The method at a path, if there is one.
    pub fn parse(path: &str) -> Option<Route> {
        let path = path.trim_end_matches('/');
        let known = PATHS.iter().find(|(_, known)| *known == path);
        known.map(|(route, _)| *route).or_else(|| Route::parse_settings(path))
    }

    fn parse_settings(path: &str) -> Option<Route> {
        let (kind, verb) = path.strip_prefix("/site/notifications/")?.split_once('/')?;
        let kind = NotificationKind::parse(kind)?;
        match verb {
            "get" => Some(Route::SettingsGet(kind)),
            "update" => Some(Route::SettingsUpdate(kind)),
            _ => None,
        }
    }

    /// The path of the method, the same for all its aliases.
    pub fn path(self) -> String {
        match self {
            Route::SettingsGet(kind) => format!("/site/notifications/{}/get", kind.name()),
            Route::SettingsUpdate(kind) => format!("/site/notifications/{}/update", kind.name()),
            other => {
                let known = PATHS.iter().find(|(route, _)| *route == other);
                known.map(|(_, path)| (*path).to_owned()).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_leads_back_to_its_method() {
        for (route, path) in PATHS {
            assert_eq!(Route::parse(path), Some(route));
            assert_eq!(Route::parse(&route.path()), Some(route));
        }
        let settings = Route::SettingsGet(NotificationKind::Pay);
        assert_eq!(Route::parse("/site/notifications/Pay/get"), Some(settings));
        assert_eq!(Route::parse(&settings.path()), Some(settings));
        assert_eq!(Route::parse("/payments/cards/topup"), None);
    }
}

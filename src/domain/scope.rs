//! What an API key may do.

/// One permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read payments, refunds, history and events.
    PaymentsRead,
    /// Create, capture and cancel payments.
    PaymentsWrite,
    /// Refund payments.
    RefundsWrite,
    /// Read reports.
    ReportsRead,
    /// Settle doubts: sync, notifications, reconciliation.
    OpsWrite,
    /// Export and erase personal data.
    PersonalDataWrite,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 6] = [
        Scope::PaymentsRead,
        Scope::PaymentsWrite,
        Scope::RefundsWrite,
        Scope::ReportsRead,
        Scope::OpsWrite,
        Scope::PersonalDataWrite,
    ];

    /// The name in the API, on the command line and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::PaymentsRead => "payments:read",
            Scope::PaymentsWrite => "payments:write",
            Scope::RefundsWrite => "refunds:write",
            Scope::ReportsRead => "reports:read",
            Scope::OpsWrite => "ops:write",
            Scope::PersonalDataWrite => "personal_data:write",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

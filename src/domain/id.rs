//! Ids: opaque to callers, a prefix that tells the kind, sortable by time.
//!
//! The part after the prefix is 26 characters of Crockford base 32: 48 bits of milliseconds, then 80 random bits.

use std::fmt;

use crate::clock::{IdSource, Timestamp};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const BODY_LENGTH: usize = 26;
/// Characters of the milliseconds.
const TIME_LENGTH: usize = 10;

fn encode(at: Timestamp, random: [u8; 10]) -> String {
    let millis = u128::try_from(at.micros().max(0) / 1000).unwrap_or(0);
    let bits = random.iter().fold(millis, |bits, byte| (bits << 8) | u128::from(*byte));
    (0..BODY_LENGTH)
        .rev()
        .map(|position| {
            let index = usize::try_from((bits >> (5 * position)) & 31).unwrap_or(0);
            char::from(ALPHABET.get(index).copied().unwrap_or(b'0'))
        })
        .collect()
}

fn is_body(text: &str) -> bool {
    text.len() == BODY_LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id.
            pub fn generate(at: Timestamp, ids: &dyn IdSource) -> Self {
                $name(format!("{}{}", $prefix, encode(at, ids.random())))
            }

            /// Reads an id; `None` for text of another kind or shape.
            pub fn parse(text: &str) -> Option<Self> {
                text.strip_prefix($prefix).filter(|body| is_body(body)).map(|_| $name(text.to_owned()))
            }

            /// The least id that could have been made at `at`: ids sort by time.
            pub fn first_at(at: Timestamp) -> Self {
                $name(format!("{}{}", $prefix, encode(at, [0; 10])))
            }

            /// The part of it that tells when it was made: the milliseconds.
            pub fn time(&self) -> &str {
                self.0.get($prefix.len()..$prefix.len() + TIME_LENGTH).unwrap_or_default()
            }

            /// What sorts before every id whose [`time`](Self::time) is `time` or later.
            pub fn since(time: &str) -> String {
                format!("{}{time}", $prefix)
            }

            /// From our own database, where only ids we made are kept.
            pub fn from_stored(text: String) -> Self {
                $name(text)
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id_type!(
    /// A payment.
    PaymentId,
    "pay_"
);
id_type!(
    /// A refund.
    RefundId,
    "ref_"
);
id_type!(
    /// Our record of one transaction of the provider.
    TransactionRecordId,
    "trn_"
);
id_type!(
    /// One attempt of one operation at the provider; its text is sent as `X-Request-ID`.
    OperationId,
    "op_"
);
id_type!(
    /// An event for the site.
    EventId,
    "evt_"
);
id_type!(
    /// A received notification.
    NotificationId,
    "ntf_"
);
id_type!(
    /// A comparison with the provider's register.
    ReconciliationId,
    "rec_"
);
id_type!(
    /// Something that our books and the provider's register do not agree about.
    DiscrepancyId,
    "dis_"
);
id_type!(
    /// Our record of a chargeback.
    ChargebackId,
    "cbk_"
);
id_type!(
    /// An API key (not its secret).
    ApiKeyId,
    "key_"
);
id_type!(
    /// The erasure of a payer's data.
    ErasureId,
    "era_"
);
id_type!(
    /// A reading of personal data.
    AccessId,
    "acc_"
);
id_type!(
    /// What one key asks for and another one allows.
    ApprovalId,
    "apr_"
);
id_type!(
    /// A request to our API.
    RequestId,
    "req_"
);

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl IdSource for Fixed {
        fn random(&self) -> [u8; 10] {
            [0xff; 10]
        }
    }

    #[test]
    fn ids_sort_by_time_and_refuse_other_kinds() {
        let earlier = PaymentId::generate(Timestamp::from_micros(1_000_000), &Fixed);
        let later = PaymentId::generate(Timestamp::from_micros(2_000_000), &Fixed);
        assert!(earlier < later);
        assert!(PaymentId::first_at(Timestamp::from_micros(2_000_000)) < later);
        assert!(PaymentId::first_at(Timestamp::from_micros(2_000_000)) > earlier);
        assert_eq!(PaymentId::parse(earlier.as_str()), Some(earlier.clone()));
        assert_eq!(RefundId::parse(earlier.as_str()), None);
        assert_eq!(PaymentId::parse("pay_"), None);
        assert_eq!(PaymentId::parse(&earlier.as_str().to_uppercase()), None);
    }
}

//! `[privacy]` and `[retention]`: encryption of personal data, and how long it is kept.

use super::reader::Reader;
use crate::app::RetentionSettings;

/// As the trigger `personal_data_access_ended_in_time` has it.
const SHORTEST_RECORDS_DAYS: i64 = 30;

/// Encryption of personal data.
#[derive(Clone)]
pub struct PrivacySettings {
    /// The key in use.
    pub encryption_key: [u8; 32],
    /// Keys that were used before.
    pub previous_keys: Vec<[u8; 32]>,
}

impl std::fmt::Debug for PrivacySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivacySettings(..)")
    }
}

impl Reader<'_> {
    pub(super) fn privacy(&mut self) -> Option<PrivacySettings> {
        let current =
            self.required("privacy.encryption_key").and_then(|text| self.key("privacy.encryption_key", &text));
        let texts = self.raw.text("privacy.previous_keys");
        let previous: Vec<Option<[u8; 32]>> = texts
            .split(',')
            .filter(|text| !text.trim().is_empty())
            .map(|text| self.key("privacy.previous_keys", text))
            .collect();
        Some(PrivacySettings { encryption_key: current?, previous_keys: previous.into_iter().collect::<Option<_>>()? })
    }

    /// Days; 0 keeps for good.
    fn days(&mut self, key: &str) -> Option<Option<i64>> {
        self.number(key, 0, 36_500).map(|days: u32| (days > 0).then_some(i64::from(days)))
    }

    /// The same for records of readings: the database lets none go earlier.
    fn days_of_records(&mut self, key: &str) -> Option<Option<i64>> {
        let days = self.days(key)?;
        if days.is_some_and(|days| days < SHORTEST_RECORDS_DAYS) {
            return self
                .fault(key, format!("must be 0, which keeps them for good, or at least {SHORTEST_RECORDS_DAYS}"));
        }
        Some(days)
    }

    pub(super) fn retention(&mut self) -> Option<RetentionSettings> {
        let notification_bodies_days = self.days("retention.notification_bodies_days");
        let unmatched_bodies_days = self.days("retention.unmatched_bodies_days");
        let idempotency_answers_days = self.days("retention.idempotency_answers_days");
        let quarantine_days = self.days("retention.quarantine_days");
        let access_records_days = self.days_of_records("retention.access_records_days");
        let payer_data_days = self.days("retention.payer_data_days");
        Some(RetentionSettings {
            notification_bodies_days: notification_bodies_days?,
            unmatched_bodies_days: unmatched_bodies_days?,
            idempotency_answers_days: idempotency_answers_days?,
            quarantine_days: quarantine_days?,
            access_records_days: access_records_days?,
            payer_data_days: payer_data_days?,
        })
    }
}

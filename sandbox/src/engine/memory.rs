//! Memory of `X-Request-ID`: a finished answer is repeated byte for byte for an hour.
//!
//! Limits: the body of a repeat is not compared with that of the first request.

use super::answer::ApiAnswer;
use super::{ApiRequest, Route};
use std::collections::{BTreeMap, VecDeque};

/// How long an answer is kept.
const WINDOW_MS: i64 = 3_600_000;

/// What a repeat is recognised by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    route: Route,
    request_id: String,
}

impl Key {
    pub(super) fn of(request: &ApiRequest) -> Option<Key> {
        let request_id = request.request_id.clone()?;
        Some(Key { route: request.route, request_id })
    }
}

/// Answers by key, and their order of age.
#[derive(Debug, Default)]
pub(super) struct Memory {
    answers: BTreeMap<Key, (i64, ApiAnswer)>,
    by_age: VecDeque<(i64, Key)>,
}

impl Memory {
    /// The answer given before, if it is not too old.
    pub(super) fn recall(&self, key: &Key, now: i64) -> Option<ApiAnswer> {
        let (at, answer) = self.answers.get(key)?;
        (now.saturating_sub(*at) < WINDOW_MS).then(|| answer.clone())
    }

    /// Keeps an answer and drops those past the window.
    pub(super) fn keep(&mut self, key: Key, answer: ApiAnswer, now: i64) {
        while let Some((at, _)) = self.by_age.front()
            && now.saturating_sub(*at) >= WINDOW_MS
            && let Some((at, old)) = self.by_age.pop_front()
        {
            if self.answers.get(&old).is_some_and(|(kept, _)| *kept == at) {
                self.answers.remove(&old);
            }
        }
        self.by_age.push_back((now, key.clone()));
        self.answers.insert(key, (now, answer));
    }
}

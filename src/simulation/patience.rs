//! Whoever asks repeats the same request under the same key after any failure.

use std::sync::Arc;

use super::chance::Chance;
use super::executor::Group;
use super::service::Lost;
use super::world::{World, pause_ms};
use crate::app::{Answer, App};
use crate::error::{Error, Result};

/// After so many tries one gives up.
const TRIES: u64 = 12;

/// What came of a request, in the end.
#[derive(Debug)]
pub(super) enum Told {
    /// An answer.
    Answer(Answer),
    /// It is not possible.
    Refused(Error),
    /// No answer after so many tries.
    Nothing,
}

impl World {
    /// The same request under the same key until it is answered for good, and now and then once more after that.
    pub(super) async fn insist<W, F>(self: &Arc<Self>, chance: &mut Chance, key: &str, work: W) -> Told
    where
        W: Fn(Arc<App>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        self.twin(chance, key, &work);
        let mut kept: Option<Answer> = None;
        let mut last = Told::Nothing;
        for _ in 0..TRIES {
            match self.call(key, &work).await {
                Ok(Ok(answer)) => {
                    self.compare(key, kept.as_ref(), &answer);
                    let is_final = answer.stored.status != 202;
                    if is_final && !answer.replayed {
                        kept = Some(answer.clone());
                    }
                    last = Told::Answer(answer);
                    // Who does not know the outcome yet often asks by the same request.
                    let asks_again = if is_final { chance.one_in(10) } else { chance.one_in(2) };
                    if !asks_again {
                        return last;
                    }
                }
                Ok(Err(error @ Error::IdempotencyKeyReused)) => {
                    self.violated("a repeat is known as one", None, key.to_owned());
                    return Told::Refused(error);
                }
                Ok(Err(
                    Error::Unavailable { .. }
                    | Error::DatabaseUnavailable(_)
                    | Error::GapUnread(_)
                    | Error::IdempotencyInProgress
                    | Error::OutcomeUnknown(_)
                    | Error::Internal(_),
                ))
                | Err(Lost) => {
                    if matches!(last, Told::Answer(_)) {
                        return last;
                    }
                }
                Ok(Err(error)) => {
                    self.note(&format!("{key}: {error}"));
                    return if kept.is_some() { last } else { Told::Refused(error) };
                }
            }
            let most = chance.pick(&[1_000, 10_000, 120_000, 5_000_000], 1_000);
            pause_ms(chance.between(1, most)).await;
        }
        last
    }

    /// Now and then somebody sends the same request a second time beside the first.
    fn twin<W, F>(self: &Arc<Self>, chance: &mut Chance, key: &str, work: &W)
    where
        W: Fn(Arc<App>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        if chance.one_in(12) {
            let (world, work, after_ms) = (Arc::clone(self), work.clone(), chance.between(0, 3_000));
            let key = key.to_owned();
            self.spawn(Group::World, async move {
                pause_ms(after_ms).await;
                let _ = world.call(&key, &work).await;
            });
        }
    }

    fn compare(&self, key: &str, kept: Option<&Answer>, again: &Answer) {
        if let Some(kept) = kept
            && (kept.stored != again.stored || !again.replayed)
        {
            let text = |answer: &Answer| String::from_utf8_lossy(&answer.stored.body).into_owned();
            let detail = format!("{key}: first {}, then {}", text(kept), text(again));
            self.violated("a repeat gets the same answer", None, detail);
        }
    }
}

//! The money laws, asked of the live database slice by slice.

use super::App;
use crate::error::Result;
use crate::store::invariants::{LAWS, evaluate_slice};
pub use crate::store::invariants::{LawReport, Place, Root};

/// One answer reads no further after so many seconds; the next one goes on from there.
const ENOUGH_S: i64 = 10;

/// Where a reading of the books stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The table that is being read.
    pub root: Root,
    /// The last row that was read.
    pub after: Place,
}

/// What the laws came to over the rows that were read.
#[derive(Debug)]
pub struct Invariants {
    /// Every law; one whose table was not reached is left out of `reached`.
    pub reports: Vec<LawReport>,
    /// The tables of which rows were read.
    pub reached: Vec<Root>,
    /// Where to go on; `None` when all was read.
    pub next: Option<Mark>,
}

impl App {
    /// Evaluates the money laws from `mark` on, or from the beginning: to the end, or as far as ten seconds go. Each slice
    /// is a snapshot of its own.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn invariants(&self, mark: Option<Mark>) -> Result<Invariants> {
        let started = self.now();
        let mut reports: Vec<LawReport> = LAWS.iter().map(LawReport::new).collect();
        let mut reached = Vec::new();
        let mut next = Some(mark.unwrap_or(Mark { root: Root::Payments, after: Place::default() }));
        while let Some(mark) = next.clone() {
            if !reached.is_empty() && self.now().seconds_since(started) >= ENOUGH_S {
                break;
            }
            if !reached.contains(&mark.root) {
                reached.push(mark.root);
            }
            let now = self.now();
            let before = reports.clone();
            let (root, after) = (mark.root, mark.after);
            let end;
            (reports, end) = self
                .parts
                .store
                .read(move |tx| {
                    let mut reports = before.clone();
                    let end = evaluate_slice(tx, root, &after, now, &mut reports)?;
                    Ok((reports, end))
                })
                .await?;
            next = match end {
                Some(after) => Some(Mark { root, after }),
                None => following(root).map(|root| Mark { root, after: Place::default() }),
            };
        }
        Ok(Invariants { reports, reached, next })
    }
}

fn following(root: Root) -> Option<Root> {
    Root::ALL.into_iter().skip_while(|one| *one != root).nth(1)
}

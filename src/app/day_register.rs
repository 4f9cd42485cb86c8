//! The accountant's day, read page by page so that its length does not matter.

use super::App;
use crate::domain::business_day::BusinessDay;
use crate::domain::day_register::{Entry, Place};
use crate::error::Result;
use crate::store::day_register::{disputed, moved};

/// Rows of a page.
const PAGE: i64 = 1_000;

/// A stretch of a day's register.
#[derive(Debug)]
pub struct RegisterPage {
    /// The rows.
    pub rows: Vec<Entry>,
    /// Where it goes on; `None` when this was the last stretch.
    pub next: Option<Place>,
}

impl App {
    /// The rows of a day after `place`. Each page is a snapshot of its own: what is recorded meanwhile may be missed by a
    /// reading that is past its place, and is there in the next reading.
    ///
    /// # Errors
    /// Only of the database.
    pub async fn register_page(&self, day: BusinessDay, place: Place) -> Result<RegisterPage> {
        let (from, until) = (day.begin(), day.end());
        self.parts
            .store
            .read(move |tx| match &place {
                Place::Transaction(at, id) => {
                    let rows = moved(tx, (*at, id), until, PAGE)?;
                    let next = match rows.last().filter(|_| is_full(&rows)) {
                        Some(last) => Place::Transaction(last.at, last.record_id.clone()),
                        None => Place::Chargeback(String::new()),
                    };
                    Ok(RegisterPage { rows, next: Some(next) })
                }
                Place::Chargeback(id) => {
                    let rows = disputed(tx, from, until, id, PAGE)?;
                    let next = rows.last().filter(|_| is_full(&rows));
                    let next = next.map(|last| Place::Chargeback(last.record_id.clone()));
                    Ok(RegisterPage { rows, next })
                }
            })
            .await
    }

    /// Whether a day is over.
    pub fn is_over(&self, day: BusinessDay) -> bool {
        day.end() <= self.now()
    }

    /// The day that it is.
    pub fn today(&self) -> BusinessDay {
        BusinessDay::of(self.now())
    }
}

fn is_full(rows: &[Entry]) -> bool {
    i64::try_from(rows.len()).is_ok_and(|count| count >= PAGE)
}

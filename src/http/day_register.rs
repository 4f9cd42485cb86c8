//! The accountant's day, streamed as JSON or CSV.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};

use super::extract::{Answered, Key, ReadReports};
use super::query::QueryReader;
use super::register_writer::{Form, RegisterView, Writer};
use super::report_examples;
use super::server::Shared;
use super::streamed::{Source, Streamed};
use crate::app::App;
use crate::domain::business_day::BusinessDay;
use crate::domain::day_register::{Place, Totals};
use crate::error::{Fault, Result};

/// Show a day's register
///
/// Everything that moved money on one business day in Almaty, in the order of time: payments taken (a partial capture with
/// what was taken), refunds, released holds, then chargebacks; with fee and payout where the provider told them. The
/// totals at the end are those of the rows above, for each currency and kind. Streamed: an answer that breaks off lacks
/// its totals and is not whole. A day that is not over, or was not compared with the provider's register yet, can grow.
/// In CSV, texts that a spreadsheet would run as a formula begin with an apostrophe.
#[utoipa::path(get, path = "/v1/reports/register", tag = "Reports", security(("api_key" = ["reports:read"])),
    params(
        ("date" = String, Query, description = "The business day, as `2026-03-02`."),
        ("format" = Option<String>, Query, description = "`json` (default) or `csv`. `Accept: text/csv` chooses CSV, too."),
        ("bom" = Option<bool>, Query, description = "With CSV: begin with a byte order mark, by which Excel knows UTF-8."),
    ),
    responses((status = 200, description = "The register.", content(
        (RegisterView = "application/json", example = json!(report_examples::register())),
        (String = "text/csv", example = json!(report_examples::register_csv())),
    ))))]
pub(super) async fn get_register(_key: Key<ReadReports>, request: HttpRequest, shared: Data<Shared>) -> Answered {
    let mut query = QueryReader::new(request.query_string());
    let wanted = wanted(&mut query, &request, &shared.app);
    let (day, form) = query.finish_with(wanted)?;
    let mut register = Register::new(Arc::clone(&shared.app), day, form);
    let first = register.next().await?.unwrap_or_default();
    let mut response = HttpResponse::Ok();
    response.content_type(form.content_type()).insert_header((header::VARY, "Accept"));
    if let Form::Csv { .. } = form {
        let name = format!("attachment; filename=\"register-{day}.csv\"");
        response.insert_header((header::CONTENT_DISPOSITION, name));
    }
    Ok(response.body(Streamed::start(first, register)))
}

/// The day and the form that are asked for.
fn wanted(query: &mut QueryReader, request: &HttpRequest, app: &App) -> Option<(BusinessDay, Form)> {
    let day = query.business_day("date");
    if day.is_some_and(|day| day > app.today()) {
        query.refuse(Fault::new("date", "out_of_range", "the day has not begun in Almaty"));
    }
    let csv = query.shaped("format", "json or csv", |value| match value {
        "json" => Some(false),
        "csv" => Some(true),
        _ => None,
    });
    let csv = csv.unwrap_or_else(|| accepts_csv(request));
    let bom = query.truth("bom");
    if bom.is_some() && !csv {
        query.refuse(Fault::new("bom", "not_allowed_here", "bom goes with format=csv only"));
    }
    Some((day?, if csv { Form::Csv { bom: bom.unwrap_or(false) } } else { Form::Json }))
}

/// Whether `Accept` names CSV and not JSON.
fn accepts_csv(request: &HttpRequest) -> bool {
    let values = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    let types: Vec<&str> = values.flat_map(|value| value.split(',')).filter_map(|one| one.split(';').next()).collect();
    let names = |wanted: &str| types.iter().any(|one| one.trim().eq_ignore_ascii_case(wanted));
    names("text/csv") && !names("application/json")
}

/// A register being read.
struct Register {
    app: Arc<App>,
    day: BusinessDay,
    writer: Writer,
    totals: Totals,
    /// Where it goes on; `None` at its end.
    place: Option<Place>,
}

impl Register {
    fn new(app: Arc<App>, day: BusinessDay, form: Form) -> Register {
        let writer = Writer::new(form, day, app.is_over(day));
        Register { app, day, writer, totals: Totals::default(), place: Some(Place::start(day.begin())) }
    }
}

impl Source for Register {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(place) = self.place.take() else { return Ok(None) };
        let page = self.app.register_page(self.day, place).await?;
        for row in &page.rows {
            self.totals.add(row)?;
        }
        let mut text = self.writer.rows(&page.rows)?;
        if page.next.is_none() {
            text.extend(self.writer.end(&self.totals)?);
        }
        self.place = page.next;
        Ok(Some(Bytes::from(text)))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn csv_is_sent_to_those_who_want_no_json() {
        let csv =
            |accept: &str| accepts_csv(&TestRequest::default().insert_header(("Accept", accept)).to_http_request());
        assert!(csv("text/csv") && csv("text/html, Text/CSV;q=0.9"));
        assert!(!csv("*/*") && !csv("text/csv, application/json") && !csv("text/csvx") && !csv(""));
    }
}

//! The OpenAPI document and a page to read it, both from the binary itself: nothing is loaded from elsewhere.

use std::sync::{Arc, LazyLock};

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use utoipa_swagger_ui::Config;

use super::extract::Answered;
use super::problem::Problem;
use super::server::Shared;
use crate::error::Error;

/// The page brings its own scripts; its style sheet is partly inline.
const PAGE_POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

static PAGE: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("/openapi.json").validator_url("none")));

/// Get this document
///
/// The OpenAPI document of the interface as it runs; `kmic-payments openapi` prints the same.
#[utoipa::path(get, path = "/openapi.json", tag = "Service",
    responses((status = 200, description = "The document.", body = serde_json::Value, content_type = "application/json")))]
pub(super) async fn get_openapi(shared: Data<Shared>) -> Answered {
    Ok(HttpResponse::Ok().content_type("application/json").body(shared.document.clone()))
}

/// `/docs` without the slash, on which the page's own links depend.
pub(super) async fn redirect_to_docs() -> Answered {
    Ok(HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish())
}

/// The page.
pub(super) async fn show_docs(request: HttpRequest) -> Answered {
    let name = request.match_info().query("file");
    let file = utoipa_swagger_ui::serve(name, Arc::clone(&PAGE))
        .map_err(|error| Error::internal(format!("the docs page is broken: {error}")))?;
    let file = file.ok_or_else(|| Problem::new("not_found", "there is no such page; begin at /docs/"))?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    response.insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY)).content_type(file.content_type);
    Ok(response.body(file.bytes.into_owned()))
}

//! The control API under `/sandbox`: faults, clock, ledger, logs, cabinet, widget payments.
//!
//! Limits: no authorization, for use on one's own machine only.

use super::{Shell, widget};
use crate::cryptogram::cryptogram;
use crate::engine::{ApiAnswer, Fault, Invalid, Params, Progress, RefundOrder};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/sandbox/faults", web::post().to(add_fault))
        .route("/sandbox/faults", web::delete().to(clear_faults))
        .route("/sandbox/clock/advance", web::post().to(advance))
        .route("/sandbox/ledger", web::get().to(ledger))
        .route("/sandbox/notifications", web::get().to(notifications))
        .route("/sandbox/notifications/flush", web::post().to(flush))
        .route("/sandbox/notify_url", web::post().to(notify_url))
        .route("/sandbox/requests", web::get().to(requests))
        .route("/sandbox/reset", web::post().to(reset))
        .route("/sandbox/cryptogram", web::get().to(make_cryptogram))
        .route("/sandbox/pay", web::post().to(pay))
        .route("/sandbox/chargebacks", web::post().to(chargeback))
        .route("/sandbox/cabinet/refund", web::post().to(cabinet_refund))
        .route("/sandbox/cabinet/auto_void", web::post().to(auto_void));
}

fn done() -> HttpResponse {
    HttpResponse::Ok().json(json!({"ok": true}))
}

fn wrong(error: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(json!({"ok": false, "error": error}))
}

/// The body as parameters: a JSON object with keys in any case.
fn read(body: &str) -> Result<Params, Invalid> {
    Params::from_json(body).ok_or_else(|| Invalid("the body is not a JSON object".to_owned()))
}

async fn add_fault(body: String, shell: web::Data<Shell>) -> HttpResponse {
    match Fault::from_json(&body) {
        Ok(fault) => {
            shell.engine().add_fault(fault);
            done()
        }
        Err(error) => wrong(&error.to_string()),
    }
}

async fn clear_faults(shell: web::Data<Shell>) -> HttpResponse {
    shell.engine().clear_faults();
    done()
}

async fn advance(body: String, shell: web::Data<Shell>) -> HttpResponse {
    let seconds = read(&body).and_then(|params| params.required_integer("seconds"));
    match seconds.map(u64::try_from) {
        Ok(Ok(seconds)) => {
            shell.advance_clock(seconds);
            HttpResponse::Ok().json(json!({"ok": true, "now": crate::time::iso(shell.now())}))
        }
        Ok(Err(_)) => wrong("the clock moves forward only"),
        Err(invalid) => wrong(&invalid.0),
    }
}

async fn ledger(shell: web::Data<Shell>) -> HttpResponse {
    let ledger = shell.engine().ledger();
    HttpResponse::Ok().json(ledger)
}

async fn notifications(shell: web::Data<Shell>) -> HttpResponse {
    let log = shell.engine().delivery_log();
    HttpResponse::Ok().json(log)
}

async fn requests(shell: web::Data<Shell>) -> HttpResponse {
    let log = shell.log().all();
    HttpResponse::Ok().json(log)
}

async fn flush(shell: web::Data<Shell>) -> HttpResponse {
    let flushed = shell.flush().await;
    HttpResponse::Ok().json(json!({"ok": flushed}))
}

async fn notify_url(body: String, shell: web::Data<Shell>) -> HttpResponse {
    match read(&body).and_then(|params| params.required("url")) {
        Ok(url) => {
            shell.engine().set_notify_url(&url);
            done()
        }
        Err(invalid) => wrong(&invalid.0),
    }
}

async fn reset(shell: web::Data<Shell>) -> HttpResponse {
    shell.engine().reset();
    shell.log().clear();
    done()
}

#[derive(Deserialize)]
struct CryptogramQuery {
    pan: String,
    exp: Option<String>,
}

async fn make_cryptogram(query: web::Query<CryptogramQuery>) -> HttpResponse {
    let packet = cryptogram(&query.pan, query.exp.as_deref().unwrap_or(widget::DEFAULT_EXP));
    HttpResponse::Ok().content_type("text/plain").body(packet)
}

async fn chargeback(body: String, shell: web::Data<Shell>) -> HttpResponse {
    let added = read(&body).and_then(|params| {
        let amount = params.text("amount").map(|_| params.amount("amount")).transpose()?;
        let kind = params.text("type").unwrap_or_else(|| "Chargeback".to_owned());
        let operation = params.text("operation").unwrap_or_else(|| "Presentment".to_owned());
        let id = params.required_integer("transaction_id")?;
        shell.engine().add_chargeback(id, amount, &kind, &operation, shell.now())
    });
    added.map_or_else(|invalid| wrong(&invalid.0), |()| done())
}

async fn cabinet_refund(body: String, shell: web::Data<Shell>) -> HttpResponse {
    let refunded = read(&body).and_then(|params| {
        let order = RefundOrder {
            payment_id: params.required_integer("transaction_id")?,
            amount: params.amount("amount")?,
            json_data: None,
            request_id: None,
            from_cabinet: true,
        };
        shell.engine().give_back(order, shell.now())
    });
    operation(refunded, &shell).await
}

async fn auto_void(body: String, shell: web::Data<Shell>) -> HttpResponse {
    let id = read(&body).and_then(|params| params.required_integer("transaction_id"));
    let released = id.and_then(|id| shell.engine().release(id, shell.now()));
    operation(released, &shell).await
}

async fn operation(result: Result<ApiAnswer, Invalid>, shell: &Shell) -> HttpResponse {
    match result {
        Ok(answer) => {
            let id = shell.finish(Progress::Answer(answer)).await.transaction_id;
            HttpResponse::Ok().json(json!({"ok": true, "transaction_id": id}))
        }
        Err(invalid) => wrong(&invalid.0),
    }
}

async fn pay(body: String, shell: web::Data<Shell>) -> HttpResponse {
    let draft = read(&body).and_then(|params| widget::draft(&params, &shell));
    match draft {
        Ok(draft) => match widget::pay(draft, &shell).await {
            Some(paid) => HttpResponse::Ok().json(paid),
            None => wrong("the payment was lost"),
        },
        Err(invalid) => wrong(&invalid.0),
    }
}

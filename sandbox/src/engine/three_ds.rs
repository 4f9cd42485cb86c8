//! 3-D Secure: the answer that sends the payer to the bank, and the bank's word about the payer.
//!
//! Limits: one flow for all versions of the protocol, as in the API; nothing here is encrypted.

use super::params::{Invalid, Params};
use super::{ApiAnswer, Engine, Progress, Route, Status};
use crate::{reasons, time};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// Head of the texts passed between the API, the payer's browser and the bank page: they must
/// survive form encoding, so they begin with the two characters that are easiest to spoil.
const OPAQUE_HEAD: &str = "+/";

/// What the bank page says about the payer.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PaRes {
    transaction_id: i64,
    result: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ThreeDs {
    transaction_id: i64,
    pa_req: String,
    go_req: Option<()>,
    acs_url: String,
    three_ds_session_data: Option<()>,
    #[serde(rename = "IFrameIsAllowed")]
    iframe_is_allowed: bool,
    frame_width: Option<()>,
    frame_height: Option<()>,
    three_ds_callback_id: String,
    escrow_accumulation_id: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PaReq<'a> {
    merchant_name: Option<&'a str>,
    first_six: &'a str,
    last_four: &'a str,
    amount: crate::money::Money,
    currency_code: &'a str,
    date: String,
    customer_name: Option<&'a str>,
    culture_name: &'a str,
}

/// The text the bank page hands to the merchant's page.
pub fn pa_res(transaction_id: i64, passed: bool) -> String {
    let result = if passed { "Y" } else { "N" }.to_owned();
    opaque(&PaRes { transaction_id, result })
}

fn opaque<T: Serialize>(content: &T) -> String {
    let json = serde_json::to_vec(content).unwrap_or_default();
    format!("{OPAQUE_HEAD}{}", STANDARD.encode(json))
}

impl Engine {
    pub(super) fn three_ds_answer(&mut self, id: i64) -> ApiAnswer {
        let three_ds_callback_id = self.ids.hex(32);
        let Some(transaction) = self.transactions.get(&id) else {
            return ApiAnswer::refusal("Not found");
        };
        let draft = &transaction.draft;
        let request = PaReq {
            merchant_name: None,
            first_six: &draft.card.first_six,
            last_four: &draft.card.last_four,
            amount: draft.amount,
            currency_code: &draft.currency,
            date: time::iso(transaction.created_ms),
            customer_name: None,
            culture_name: &draft.culture,
        };
        let model = ThreeDs {
            transaction_id: id,
            pa_req: opaque(&request),
            go_req: None,
            acs_url: format!("{}/acs", self.base_url),
            three_ds_session_data: None,
            iframe_is_allowed: true,
            frame_width: None,
            frame_height: None,
            three_ds_callback_id,
            escrow_accumulation_id: None,
        };
        ApiAnswer::of(Some(model), false, None).about(id)
    }

    pub(super) fn post3ds(&mut self, params: &Params, now: i64) -> Result<Progress, Invalid> {
        let id = params.required_integer("TransactionId")?;
        let pa_res = params.required("PaRes")?;
        let transaction = self.transactions.get(&id).ok_or_else(Invalid::not_found)?;
        if transaction.status != Status::AwaitingAuthentication || transaction.busy {
            return Err(Invalid::wrong_status());
        }
        Ok(match authentication(id, &pa_res) {
            None => self.check_or_settle(id, Route::Post3ds, now),
            Some(reason) => Progress::Answer(self.decline(id, reason, now)),
        })
    }
}

/// `None` when the payer passed the bank's check, otherwise the reason of the refusal.
fn authentication(id: i64, pa_res: &str) -> Option<u16> {
    let encoded = pa_res.strip_prefix(OPAQUE_HEAD).unwrap_or(pa_res);
    let decoded = STANDARD.decode(encoded).unwrap_or_default();
    match serde_json::from_slice::<PaRes>(&decoded) {
        Ok(answer) if answer.transaction_id == id && answer.result == "Y" => None,
        Ok(answer) if answer.result == "U" => Some(reasons::AUTHENTICATION_UNAVAILABLE),
        _ => Some(reasons::AUTHENTICATION_FAILED),
    }
}

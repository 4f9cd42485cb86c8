//! The provider as far as a charge needs it: takes `POST /payments/cards/charge`, waits, approves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use super::http::Connection;

/// Numbers of transactions do not fit 32 bits.
const FIRST_TRANSACTION_ID: u64 = 3_600_000_000;

/// A running stub; it ends with the process.
pub struct Stub {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    delay: Duration,
    next_transaction_id: AtomicU64,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

/// What comes back in the answer, spelled as it was sent.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Charge<'a> {
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(borrow)]
    currency: &'a RawValue,
    #[serde(borrow)]
    invoice_id: &'a RawValue,
    #[serde(borrow)]
    account_id: &'a RawValue,
    #[serde(borrow)]
    json_data: &'a RawValue,
}

impl Stub {
    /// Starts it on a thread of its own.
    pub fn start(delay: Duration) -> Result<Stub, String> {
        let failed = |error: std::io::Error| format!("the stub does not start: {error}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = Arc::new(State {
            delay,
            next_transaction_id: AtomicU64::new(FIRST_TRANSACTION_ID),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let shared = Arc::clone(&state);
        let accept = async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            loop {
                if let Ok((stream, _)) = listener.accept().await
                    && let Ok(connection) = Connection::of(stream)
                {
                    tokio::spawn(serve(connection, Arc::clone(&shared)));
                }
            }
        };
        let thread = std::thread::Builder::new().name("stub".to_owned());
        thread.spawn(move || runtime.block_on(accept)).map_err(failed)?;
        Ok(Stub { address, state })
    }

    /// The most charges that were under way at once.
    pub fn most_under_way(&self) -> usize {
        self.state.most_under_way.load(Ordering::Relaxed)
    }
}

async fn serve(mut connection: Connection, state: Arc<State>) {
    let mut reply = Vec::new();
    while let Ok(true) = connection.receive().await {
        let now = state.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        state.most_under_way.fetch_max(now, Ordering::Relaxed);
        if !state.delay.is_zero() {
            tokio::time::sleep(state.delay).await;
        }
        reply.clear();
        answer(&connection, &state, &mut reply);
        state.under_way.fetch_sub(1, Ordering::Relaxed);
        if connection.send(&reply).await.is_err() {
            break;
        }
    }
}

fn answer(connection: &Connection, state: &State, reply: &mut Vec<u8>) {
    let charge = connection.head().starts_with(b"POST /payments/cards/charge ");
    let charge = charge.then(|| serde_json::from_slice::<Charge<'_>>(connection.body()));
    let (status, body) = match charge {
        Some(Ok(charge)) => ("200 OK", approval(&charge, state.next_transaction_id.fetch_add(1, Ordering::Relaxed))),
        Some(Err(error)) => ("400 Bad Request", error.to_string()),
        None => ("404 Not Found", String::new()),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\n");
    reply.extend_from_slice(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes());
}

/// As long as a real one, so that reading it costs what it costs.
fn approval(charge: &Charge<'_>, transaction_id: u64) -> String {
    let Charge { amount, currency, invoice_id, account_id, json_data } = charge;
    format!(
        r#"{{"Model":{{"ReasonCode":0,"PublicId":"pk_bench","TerminalUrl":"https://shop.example.kz","TransactionId":{transaction_id},"Amount":{amount},"Currency":{currency},"CurrencyCode":0,"PaymentAmount":{amount},"PaymentCurrency":{currency},"PaymentCurrencyCode":0,"InvoiceId":{invoice_id},"AccountId":{account_id},"Email":null,"Description":"Policy","JsonData":{json_data},"CreatedDate":"/Date(1772428447312)/","PayoutDate":null,"PayoutDateIso":null,"PayoutAmount":null,"CreatedDateIso":"2026-03-02T05:14:07","AuthDate":"/Date(1772428447498)/","AuthDateIso":"2026-03-02T05:14:07","ConfirmDate":"/Date(1772428447498)/","ConfirmDateIso":"2026-03-02T05:14:07","AuthCode":"A1B2C3","TestMode":true,"Rrn":null,"OriginalTransactionId":null,"FallBackScenarioDeclinedTransactionId":null,"IpAddress":"203.0.113.7","IpCountry":"KZ","IpCity":"Алматы","IpRegion":"Алматы","IpDistrict":"Алматы","IpLatitude":43.25,"IpLongitude":76.95,"CardFirstSix":"400000","CardLastFour":"3055","CardExpDate":"12/30","CardType":"Visa","CardProduct":"I","CardCategory":"Visa Infinite (Infinite)","EscrowAccumulationId":null,"IssuerBankCountry":"KZ","Issuer":"CloudPayments","CardTypeCode":0,"Status":"Completed","StatusCode":3,"CultureName":"ru","Reason":"Approved","CardHolderMessage":"Оплата успешно проведена","Type":0,"Refunded":false,"Name":"TEST CARDHOLDER","Token":"tk_bench","SubscriptionId":null,"GatewayName":"Test","AndroidPay":false,"WalletType":"","TotalFee":0,"VatAboveTotalFee":0,"ProcessorAndPartnerFee":null,"VatWithinProcessorFee":null}},"Success":true,"Message":null}}"#
    )
}

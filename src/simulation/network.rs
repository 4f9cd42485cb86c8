//! The wire between the service and the provider: loses, delays, doubles and spoils.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloudpayments_sandbox::engine::{ApiRequest, Params, Route};
use tokio::sync::oneshot;

use super::chance::Chance;
use super::executor::Group;
use super::weather::WireFault;
use super::world::{World, pause_ms, pause_s};
use crate::cloudpayments::{Exchange, Failure, Raw, Request, Wire};

/// As `cloudpayments.request_timeout_ms`.
pub(super) const REQUEST_TIMEOUT_S: u64 = 60;

/// What proxies write.
const PROXY_PAGE: &str = "<html><body><h1>502 Bad Gateway</h1></body></html>";

/// The wire of one process. What it has under way ends with it.
pub(super) struct SimulatedWire {
    world: Arc<World>,
    under_way: AtomicUsize,
}

impl SimulatedWire {
    pub(super) fn of_process(world: &Arc<World>) -> SimulatedWire {
        SimulatedWire { world: Arc::clone(world), under_way: AtomicUsize::new(0) }
    }
}

impl Wire for SimulatedWire {
    fn exchange<'a>(&'a self, request: Request<'a>) -> Exchange<'a> {
        Box::pin(exchange(self, request))
    }
}

/// What comes back over the wire: HTTP status and body.
type Sent = (u16, Vec<u8>);

/// Counts a request as under way while it lives.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(wire: &'a SimulatedWire) -> UnderWay<'a> {
        let (world, before) = (&wire.world, wire.under_way.fetch_add(1, Ordering::Relaxed));
        if before >= world.weather.max_concurrent {
            world.violated("the provider's limit is kept", None, format!("{before} requests are under way"));
        }
        UnderWay(&wire.under_way)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn exchange(wire: &SimulatedWire, request: Request<'_>) -> Result<Raw, Failure> {
    let _under_way = UnderWay::begin(wire);
    let world = &wire.world;
    let path = request.path;
    let Some(request) = read(&request) else {
        world.violated("every call is one of the provider's methods", None, path.to_owned());
        return Ok(Raw { status: 404, body: Vec::new() });
    };
    let about = about(&request);
    world.note(&format!("call {about}"));
    let fault = match silence(world, &request) {
        Some(fault) => {
            world.happened(fault.name(), &about);
            Some(fault)
        }
        None => world.fault(world.weather.wire, &about, |chance| {
            let fault = WireFault::draw(chance);
            (fault, fault.name())
        }),
    };
    match fault {
        Some(WireFault::Refused) => return Err(Failure::NotSent("connection refused".to_owned())),
        Some(WireFault::Turned(status) | WireFault::ProxyError(status)) => {
            pause_ms(world.draw(|chance| chance.between(1, 2_000))).await;
            return Ok(Raw { status, body: Vec::new() });
        }
        _ => {}
    }
    let (answer, answered) = oneshot::channel();
    world.spawn(Group::World, travel(Arc::clone(world), request, fault, answer));
    match tokio::time::timeout(Duration::from_secs(REQUEST_TIMEOUT_S), answered).await {
        Ok(Ok((status, body))) => Ok(Raw { body: if status == 200 { body } else { Vec::new() }, status }),
        Ok(Err(_)) => Err(Failure::Unknown("the connection broke".to_owned())),
        Err(_) => Err(Failure::Unknown("no answer in time".to_owned())),
    }
}

/// A silent provider answers no question, and of a third of the calls no try is answered, whether it has its effect or not.
fn silence(world: &World, request: &ApiRequest) -> Option<WireFault> {
    if !world.provider_is_silent() {
        return None;
    }
    if matches!(request.route, Route::Get | Route::Find | Route::ListV2) {
        return Some(WireFault::ProxyError(503));
    }
    let name = request.request_id.as_ref()?;
    let number = name.bytes().fold(world.seed, |sum, byte| Chance::seed_of(sum, u64::from(byte)));
    match number % 6 {
        0 => Some(WireFault::LostBefore),
        1 => Some(WireFault::LostAfter),
        _ => None,
    }
}

fn read(request: &Request<'_>) -> Option<ApiRequest> {
    Some(ApiRequest {
        route: Route::parse(request.path)?,
        request_id: request.request_id.map(str::to_owned),
        params: Params::from_json(std::str::from_utf8(request.body.as_ref()).ok()?)?,
    })
}

/// A request in a few words: its method, and what it names.
pub(super) fn about(request: &ApiRequest) -> String {
    let named = ["TransactionId", "InvoiceId"].into_iter().filter_map(|name| request.params.text(name));
    let words = request.request_id.clone().into_iter().chain(named);
    words.fold(request.route.path(), |text, word| format!("{text} {word}"))
}

/// There, through the provider and back. Goes on when the service is dead or no longer waits.
async fn travel(world: Arc<World>, request: ApiRequest, fault: Option<WireFault>, answer: oneshot::Sender<Sent>) {
    let latency_ms = world.draw(|chance| {
        let most = chance.pick(&[5, 300, 300, 4_000], 300);
        chance.between(1, most)
    });
    pause_ms(latency_ms).await;
    match fault {
        Some(WireFault::LostBefore) => return,
        // With its Checks and banks a charge stays within the five minutes that the provider works on it.
        Some(WireFault::LateThere(seconds)) if is_charge(request.route) => pause_s(seconds.min(100)).await,
        Some(WireFault::LateThere(seconds)) => pause_s(seconds).await,
        _ => {}
    }
    let first = world.at_provider(request.clone()).await;
    let body = match fault {
        Some(WireFault::Twice(seconds)) => {
            // Either answer may be the one that gets through.
            let late = seconds % 2 == 0;
            if late {
                pause_ms(seconds).await;
                world.at_provider(request).await.body
            } else {
                let again = Arc::clone(&world);
                world.spawn(Group::World, async move {
                    pause_s(seconds).await;
                    again.at_provider(request).await;
                });
                first.body
            }
        }
        _ => first.body,
    };
    let sent = match fault {
        Some(WireFault::LostAfter) => return,
        Some(WireFault::StatusAfter(status)) => (status, PROXY_PAGE.as_bytes().to_vec()),
        Some(WireFault::Garbage(how)) => (200, garbage(body, how)),
        Some(WireFault::LateBack(seconds)) => {
            pause_s(seconds).await;
            (200, body.into_bytes())
        }
        _ => (200, body.into_bytes()),
    };
    // Nobody waits any more when the process is gone or gave up.
    let _ = answer.send(sent);
}

fn is_charge(route: Route) -> bool {
    matches!(route, Route::CardCharge | Route::CardAuth | Route::Post3ds)
}

/// An answer that is not what the provider wrote, and not another answer that it could have written.
fn garbage(body: String, how: u64) -> Vec<u8> {
    let bytes = body.into_bytes();
    let length = u64::try_from(bytes.len()).unwrap_or(1).max(1);
    match how % 5 {
        0 => PROXY_PAGE.as_bytes().to_vec(),
        1 => Vec::new(),
        2 => b"{}".to_vec(),
        3 => b"null".to_vec(),
        // Cut somewhere before its end.
        _ => bytes.into_iter().take(usize::try_from((how / 5) % length).unwrap_or(0)).collect(),
    }
}

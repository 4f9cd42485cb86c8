//! What goes wrong: kills, and faults of the provider.

use std::time::Duration;

use cloudpayments_sandbox::{ApiFaultKind, Fault, NotificationFaultKind, NotificationKind, Sandbox};

use super::pause;
use super::random::Random;
use super::stage::Stage;

/// At most so many faults wait for their moment: they hit whatever is asked next.
const FAULTS_WAITING: u64 = 4;

/// How often who was killed.
#[derive(Default)]
pub struct Killed {
    pub service: u32,
    pub server: u32,
}

/// Kills the service so many times, and the database server beside it where there is one.
pub async fn kill(stage: &mut Stage, kills: u32, random: &mut Random) -> Result<Killed, String> {
    let mut killed = Killed::default();
    while killed.service < kills {
        pause(random.between(200, 2_400)).await;
        let (server, service) = match random.between(0, 9) {
            0 => (true, false),
            1 => (true, true),
            _ => (false, true),
        };
        let server = server && stage.database.server.is_some();
        let service_first = random.chance(50);
        if service && service_first {
            stage.kill_service();
        }
        if server {
            killed.server += 1;
            restart_server(stage, random.between(0, 300))?;
        }
        if service || !server {
            stage.kill_service();
            killed.service += 1;
            if random.chance(15) {
                // Once more while it is starting and takes up what the last one left.
                stage.launch_service()?;
                pause(random.between(1, 60)).await;
                stage.kill_service();
                killed.service += 1;
            }
            stage.start_service().await?;
        }
        if killed.service % 20 < 2 && (service || !server) {
            eprintln!(
                "{}: {} kills of the service, {} of the server",
                stage.engine.name(),
                killed.service,
                killed.server
            );
        }
    }
    Ok(killed)
}

/// Kills every process of the server, leaves it dead for a moment, and starts it again.
fn restart_server(stage: &Stage, dead_for_ms: u64) -> Result<(), String> {
    let Some(server) = &stage.database.server else { return Ok(()) };
    tokio::task::block_in_place(|| {
        server.kill();
        std::thread::sleep(Duration::from_millis(dead_for_ms));
        server.restart()
    })
}

/// Scripts faults until it is stopped.
pub async fn faults(sandbox: Sandbox, mut random: Random) {
    loop {
        pause(random.between(20, 180)).await;
        if sandbox.fault_counts().waiting >= FAULTS_WAITING {
            continue;
        }
        match random.between(0, 9) {
            0..=5 => sandbox.fault(of_api(&mut random)),
            6..=8 => sandbox.fault(of_notification(&mut random)),
            _ => silence(&mut random).into_iter().for_each(|fault| sandbox.fault(fault)),
        }
    }
}

fn of_api(random: &mut Random) -> Fault {
    let kind = match random.between(0, 9) {
        0 => ApiFaultKind::DropBefore,
        1 | 2 => ApiFaultKind::DropAfter,
        // Some longer than the service waits, some shorter.
        3 | 4 => ApiFaultKind::Delay { ms: random.between(100, 2_500) },
        5 => ApiFaultKind::GarbageAfter,
        6 => ApiFaultKind::StatusAfter { status: random.pick(&[500, 502, 504]), body: None },
        7 => ApiFaultKind::StatusBefore { status: random.pick(&[429, 500, 503]) },
        8 => ApiFaultKind::Hang { ms: random.between(100, 2_500) },
        _ => ApiFaultKind::Decline { reason_code: random.pick(&[5005, 5034, 5051]) },
    };
    // Lookups suffer as often as they come; what moves money is spoiled more often than that.
    let path = match kind {
        ApiFaultKind::Decline { .. } => "*",
        _ => random.pick(&["*", "*", "/payments/cards/charge", "/payments/refund", "/payments/confirm"]),
    };
    Fault::api(path, kind)
}

/// The work is done, and neither the answer nor the notification tells of it.
fn silence(random: &mut Random) -> [Fault; 2] {
    let (path, notification) = random.pick(&[
        ("/payments/cards/charge", NotificationKind::Pay),
        ("/payments/cards/post3ds", NotificationKind::Pay),
        ("/payments/refund", NotificationKind::Refund),
        ("/payments/refund", NotificationKind::Refund),
        ("/payments/confirm", NotificationKind::Confirm),
        ("/payments/void", NotificationKind::Cancel),
    ]);
    let answer = random.pick(&[ApiFaultKind::DropAfter, ApiFaultKind::GarbageAfter]);
    [Fault::api(path, answer), Fault::notification(notification, NotificationFaultKind::Lose)]
}

fn of_notification(random: &mut Random) -> Fault {
    let kinds = [
        NotificationKind::Pay,
        NotificationKind::Pay,
        NotificationKind::Fail,
        NotificationKind::Confirm,
        NotificationKind::Refund,
        NotificationKind::Cancel,
    ];
    let kind = random.pick(&kinds);
    let what = match random.between(0, 4) {
        0 => NotificationFaultKind::Lose,
        1 => NotificationFaultKind::Delay { ms: random.between(100, 5_000) },
        2 => NotificationFaultKind::BeforeAnswer,
        3 => NotificationFaultKind::Reorder,
        _ => NotificationFaultKind::Duplicate,
    };
    Fault::notification(kind, what)
}

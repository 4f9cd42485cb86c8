//! Runs the sandbox from the command line until Ctrl-C or SIGTERM.

use std::io::Write as _;

use clap::Parser;
use cloudpayments_sandbox::{Sandbox, SandboxConfig};

/// Offline emulator of the CloudPayments (TipTop Pay) payment API.
///
/// Keeps everything in memory, moves no money, and must not be reachable from the internet. Open
/// its address in a browser for test cards and a payment page.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen at; port 0 takes a free one.
    #[arg(long, env = "SANDBOX_BIND", default_value_t = SandboxConfig::default().bind)]
    bind: String,
    /// Address under which browsers see the sandbox, when it is not the one it listens at.
    #[arg(long, env = "SANDBOX_PUBLIC_URL")]
    public_url: Option<String>,
    /// Public ID: the user name of Basic authorization.
    #[arg(long, env = "SANDBOX_PUBLIC_ID", default_value_t = SandboxConfig::default().public_id)]
    public_id: String,
    /// API Secret: the password, and the key of notification signatures.
    #[arg(long, env = "SANDBOX_API_SECRET", default_value_t = SandboxConfig::default().api_secret)]
    api_secret: String,
    /// Where notifications go; the type is appended: `…/pay`.
    #[arg(long, env = "SANDBOX_NOTIFY_URL")]
    notify_url: Option<String>,
    /// Divides the pauses between delivery tries: 1000 makes a minute 60 ms.
    #[arg(long, default_value_t = 1)]
    retry_time_scale: u32,
    /// Requests processed at the same time before 429; 0 is no limit.
    #[arg(long, default_value_t = SandboxConfig::default().max_concurrent_requests)]
    max_concurrent_requests: usize,
    /// Id of the first transaction. Ids start over with the process, so raise it when the service
    /// under test keeps its database.
    #[arg(long, default_value_t = SandboxConfig::default().first_transaction_id)]
    first_transaction_id: i64,
    /// Answer `/test` without any `Authorization`, as some old clients expect.
    #[arg(long)]
    test_without_auth: bool,
    /// Send notifications as JSON instead of a form.
    #[arg(long)]
    json_notifications: bool,
    /// Refuse a cryptogram packet that was used before.
    #[arg(long)]
    single_use_cryptograms: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,actix_server=warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let sandbox = Sandbox::start(config(Arguments::parse())).await?;
    // Whoever started it need not read what it prints.
    let _ = writeln!(
        std::io::stdout().lock(),
        "CloudPayments sandbox: {}\nPublic ID:  {}\nAPI Secret: {}",
        sandbox.base_url(),
        sandbox.public_id(),
        sandbox.api_secret()
    );
    stop_signal().await?;
    sandbox.stop().await;
    Ok(())
}

fn config(arguments: Arguments) -> SandboxConfig {
    SandboxConfig {
        bind: arguments.bind,
        public_url: arguments.public_url,
        public_id: arguments.public_id,
        api_secret: arguments.api_secret,
        notify_url: arguments.notify_url,
        retry_time_scale: arguments.retry_time_scale,
        max_concurrent_requests: arguments.max_concurrent_requests,
        first_transaction_id: arguments.first_transaction_id,
        test_without_auth: arguments.test_without_auth,
        json_notifications: arguments.json_notifications,
        single_use_cryptograms: arguments.single_use_cryptograms,
        ..SandboxConfig::default()
    }
}

#[cfg(unix)]
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn stop_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

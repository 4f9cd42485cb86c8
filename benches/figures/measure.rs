//! What Linux tells about processes and the machine.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// `USER_HZ`, the unit of `/proc/PID/stat`: 100 wherever Rust runs on Linux (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;
/// What a process opens beside connections, generously.
const OTHER_FILES: usize = 500;

/// User and system time of a process and its threads so far.
pub fn cpu_ms(pid: u32) -> Result<f64, String> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // The second field, the name, may hold blanks.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let ticks: Vec<u32> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks.as_slice() {
        [user, system] => Ok(f64::from(user + system) * 1000.0 / TICKS_PER_SECOND),
        _ => Err(format!("cannot read /proc/{pid}/stat")),
    }
}

/// `VmRSS` or `VmHWM`, in megabytes (10^6 bytes).
pub fn memory_mb(pid: u32, name: &str) -> Result<f64, String> {
    let status = read(&format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u32>().ok());
    kilobytes.map(|number| f64::from(number) * 1024.0 / 1e6).ok_or_else(|| format!("process {pid} tells no {name}"))
}

/// Starts this program again with a higher limit of open files, where the limit is too low: every payment under way is a
/// connection of the site and one to the provider, here as in the service, which inherits the limit.
pub fn ensure_open_files(payments: usize) -> Result<(), String> {
    let needed = 2 * payments + OTHER_FILES;
    let limits = read("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).unwrap_or_default();
    if soft == "unlimited" || soft.parse::<usize>().is_ok_and(|soft| soft >= needed) {
        return Ok(());
    }
    let script = format!(
        "ulimit -n {needed} || {{ echo 'so many payments need ulimit -n {needed}; fewer: BENCH_IN_FLIGHT' >&2; exit 1; }}
         exec \"$0\" \"$@\""
    );
    let program = std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let error = Command::new("sh").arg("-c").arg(script).arg(program).args(std::env::args_os().skip(1)).exec();
    Err(format!("cannot start sh: {error}"))
}

/// One line about the machine and what was built.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpu = read("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cpu = cpu.trim_start_matches([' ', '\t', ':']);
    let load = read("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let rustc = output("rustc", &["--version"]);
    let commit = output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    format!("{cores} cores ({cpu}), Linux {}, load before {load}, {rustc}, commit {commit}", kernel.trim())
}

/// The type of the file system that holds a folder.
pub fn file_system(folder: &Path) -> String {
    output("stat", &["--file-system", "--format", "%T", &folder.display().to_string()])
}

/// What a program prints; a question mark when it is not there.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    output.map_or_else(|| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
}

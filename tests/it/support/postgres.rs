//! A PostgreSQL server of our own for the tests.
//!
//! A test must not need a server that somebody has prepared, and must not touch a server that
//! happens to run on the machine. So the tests start one from the installed binaries, in a
//! temporary directory, on a free port of the loopback interface.
//!
//! Rust never drops statics and a killed process drops nothing at all, so `Drop` alone would leave
//! servers behind. A small shell process (the watchdog) holds the reading end of a pipe from the
//! test process. The pipe closes however the test process ends, and then the watchdog stops the
//! server and removes the directory.
//!
//! Each database is 8 MB of files, so on a slow disk `TMPDIR=/dev/shm` makes the tests several
//! times as fast.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

// The benchmarks take this file by its path, and from there plain `mod`s would look elsewhere.
#[path = "postgres_dump.rs"]
mod dump;
#[path = "postgres_installed.rs"]
mod installed;
#[path = "postgres_wire.rs"]
mod wire;

use installed::{Account, clean_environment, create_directory, find_binaries};

const USER: &str = "kmic";

/// Crash recovery is part of a start, so this is generous.
const START_LIMIT: Duration = Duration::from_secs(60);
/// PostgreSQL itself kills its processes five seconds after an immediate stop.
const STOP_LIMIT: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(10);
const PORT_ATTEMPTS: u32 = 20;

/// Reads the process id to stop, one per line (an empty line: none), until the test process is
/// gone. `$1` is the directory of the server.
///
/// The signals of Ctrl-C and of test runners are ignored: they are meant for the test process, and
/// the work starts when it has ended. The wait looks at `postmaster.pid` too, because a stopped
/// server that nobody reaps still answers `kill -0`. A killed server leaves that file, with the
/// number of a shared memory segment that outlives all processes.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM QUIT
pid=
while read -r line; do pid=$line; done
file=$1/data/postmaster.pid
if [ -n "$pid" ] && kill -QUIT "$pid"; then
    n=0
    while [ -e "$file" ] && kill -0 "$pid"; do
        n=$((n + 1))
        if [ "$n" -gt 80 ]; then kill -KILL "$pid"; break; fi
        sleep 0.1 || sleep 1
    done
fi
if [ -e "$file" ]; then
    segment=$(sed -n '7{s/[^0-9]*$//;s/.*[^0-9]//;p;}' "$file")
    [ -n "$segment" ] && ipcrm -m "$segment"
fi
n=0
while rm -rf "$1"; [ -e "$1" ] && [ "$n" -lt 50 ]; do
    n=$((n + 1))
    sleep 0.1 || sleep 1
done
"#;

/// What differs between the servers that tests need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether commits reach the disk before they are reported. Off by default, because tests
    /// only get slower from it; on for tests that crash the server and count what survived, so
    /// that they run with the settings of production.
    pub fsync: bool,
}

/// A running server with its own data directory.
///
/// Dropping it stops the server and removes the directory. So does the end of the test process,
/// in any way it ends.
#[derive(Debug)]
pub struct PostgresServer {
    /// `postgres` and the tools next to it.
    binaries: PathBuf,
    /// Whom the server runs as, when the tests run as root.
    account: Option<Account>,
    options: Options,
    port: u16,
    processes: Mutex<Processes>,
    /// After `processes`: nothing may write here when it is removed.
    directory: TempDir,
}

#[derive(Debug)]
struct Processes {
    server: Option<Child>,
    watchdog: Child,
}

enum StartError {
    /// Another program has the port.
    PortTaken(String),
    /// Processes of the killed server still hold the data directory.
    DataInUse(String),
    Other(String),
}

/// The one server that all tests of this process share, started on first use.
///
/// A start takes a second or two, so tests share the server and each creates its own database. The
/// result is kept, so without PostgreSQL every test fails at once with the same explanation.
pub fn shared() -> Result<&'static PostgresServer, String> {
    static SHARED: OnceLock<Result<PostgresServer, String>> = OnceLock::new();
    SHARED.get_or_init(PostgresServer::start).as_ref().map_err(Clone::clone)
}

impl PostgresServer {
    /// Starts a server that is fast and forgets its data when the machine loses power.
    pub fn start() -> Result<Self, String> {
        Self::start_with(Options::default())
    }

    /// Starts a server for tests that need other settings than the shared one.
    pub fn start_with(options: Options) -> Result<Self, String> {
        let binaries = find_binaries()?;
        let (directory, account) = create_directory()?;
        let watchdog = spawn_watchdog(directory.path())?;
        // From here on an early return drops the server, and that cleans up.
        let mut server = Self {
            binaries,
            account,
            options,
            port: 0,
            processes: Mutex::new(Processes { server: None, watchdog }),
            directory,
        };
        server.init()?;

        let mut last = String::new();
        for _ in 0..PORT_ATTEMPTS {
            server.port = free_port()?;
            let launched = server.launch(&mut server.lock());
            match launched {
                Ok(()) => return Ok(server),
                Err(StartError::PortTaken(message)) => last = message,
                Err(StartError::DataInUse(message) | StartError::Other(message)) => {
                    return Err(message);
                }
            }
        }
        Err(format!(
            "PostgreSQL found every one of {PORT_ATTEMPTS} ports taken. Look for a program that \
             listens on all of them, or run the tests again. {last}"
        ))
    }

    /// The address of a database, in the form that the service takes in its configuration.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Creates a database, as a copy of `template` if there is one.
    ///
    /// A copy of a migrated database is much cheaper than running the migrations for every test.
    /// PostgreSQL refuses to copy a database that somebody is connected to.
    pub fn create_database(&self, name: &str, template: Option<&str>) -> Result<(), String> {
        let mut sql = format!("CREATE DATABASE {}", quoted(name));
        if let Some(template) = template {
            sql.push_str(" TEMPLATE ");
            sql.push_str(&quoted(template));
        }
        // Copies files instead of logging every page, which is up to three times as fast where
        // the checkpoint that it needs costs nothing. The choice came with version 15.
        let version = fs::read_to_string(self.data().join("PG_VERSION")).unwrap_or_default();
        if !self.options.fsync && version.trim().parse().is_ok_and(|major: u32| major >= 15) {
            sql.push_str(" STRATEGY FILE_COPY");
        }
        self.query("postgres", &sql).map(drop)
    }

    /// Drops a database together with the connections to it, because a test that failed may have
    /// left some open.
    pub fn drop_database(&self, name: &str) -> Result<(), String> {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", quoted(name));
        self.query("postgres", &sql).map(drop)
    }

    /// Kills every process of the server at once, as a crash of its machine would: none of them
    /// may finish what it was doing. The data stays for [`restart`](Self::restart).
    pub fn kill(&self) {
        self.kill_locked(&mut self.lock());
    }

    /// Starts the server again with the same data and on the same port, so clients recover without
    /// being told. Kills it first if it still runs. Returns when crash recovery is complete.
    pub fn restart(&self) -> Result<(), String> {
        let mut processes = self.lock();
        self.kill_locked(&mut processes);
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match self.launch(&mut processes) {
                Ok(()) => return Ok(()),
                Err(StartError::Other(message)) => return Err(message),
                Err(StartError::PortTaken(message) | StartError::DataInUse(message)) => {
                    if Instant::now() > deadline {
                        return Err(message);
                    }
                    sleep(POLL);
                }
            }
        }
    }

    /// Kills the server, keeps its data as they are at this moment for [`fail_over`](Self::fail_over), and starts it again.
    pub fn keep_standby(&self) -> Result<(), String> {
        self.kill();
        let copied = Command::new("cp").arg("-a").arg(self.data()).arg(self.standby()).status();
        if !copied.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Err(format!("cannot copy {}: {copied:?}", self.data().display()));
        }
        self.restart()
    }

    /// Kills the server and lets a standby answer at its address: one that has all data, or only those that
    /// [`keep_standby`](Self::keep_standby) kept. It is promoted, so it is on a new timeline. Needs a server that was
    /// started with `fsync`: the others write too little of a log.
    pub fn fail_over(&self) -> Result<(), String> {
        self.kill();
        self.become_standby().map_err(|error| format!("cannot prepare a promotion: {error}"))?;
        self.restart()?;
        // A standby accepts connections, too, until it is promoted.
        let deadline = Instant::now() + START_LIMIT;
        while self.query("postgres", "SELECT pg_is_in_recovery()")?.as_deref() != Some("f") {
            if Instant::now() > deadline {
                return Err("the standby is not promoted".to_owned());
            }
            sleep(POLL);
        }
        Ok(())
    }

    fn become_standby(&self) -> std::io::Result<()> {
        if self.standby().exists() {
            fs::remove_dir_all(self.data())?;
            fs::rename(self.standby(), self.data())?;
        }
        let mut settings = File::options().append(true).open(self.data().join("postgresql.auto.conf"))?;
        // There is no archive, so recovery ends where the log does.
        settings.write_all(b"restore_command = 'false'\n")?;
        let signal = self.data().join("recovery.signal");
        fs::write(&signal, "")?;
        self.account.map_or(Ok(()), |account| std::os::unix::fs::chown(signal, Some(account.uid), Some(account.gid)))
    }

    fn standby(&self) -> PathBuf {
        self.directory.path().join("standby")
    }

    fn lock(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// A program of the server, running as the user that may run it and writing to the log.
    fn command(&self, program: &str) -> Result<Command, String> {
        let path = self.log();
        let log = File::options().create(true).append(true).open(&path).and_then(|log| Ok((log.try_clone()?, log)));
        let (stdout, stderr) = log.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let mut command = Command::new(self.binaries.join(program));
        clean_environment(&mut command);
        command
            .arg("-D")
            .arg(self.data())
            // The current directory may be closed to the other user.
            .current_dir(self.directory.path())
            // Ctrl-C must not reach the server before the watchdog does its work.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        Ok(command)
    }

    fn init(&self) -> Result<(), String> {
        let mut command = self.command("initdb")?;
        command.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8"]).args([
            "--locale",
            "C",
            "--no-sync",
        ]);
        let mut processes = self.lock();
        let mut initdb = processes.spawn(command)?;
        let status = initdb.wait();
        processes.watch(None)?;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.explain(&format!("`initdb` failed ({status})"), 0)),
            Err(error) => Err(format!("cannot wait for `initdb`: {error}")),
        }
    }

    /// Starts the server process and waits until it accepts connections.
    fn launch(&self, processes: &mut Processes) -> Result<(), StartError> {
        let log_start = fs::metadata(self.log()).map_or(0, |log| log.len());
        let mut command = self.command("postgres").map_err(StartError::Other)?;
        for setting in self.settings() {
            command.arg("-c").arg(setting);
        }
        let mut server = processes.spawn(command).map_err(StartError::Other)?;
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if self.accepts_connections(server.id()) {
                processes.server = Some(server);
                return Ok(());
            }
            let problem = match server.try_wait() {
                Ok(Some(status)) => format!("`postgres` ended while starting ({status})"),
                Ok(None) if Instant::now() < deadline => {
                    sleep(POLL);
                    continue;
                }
                Ok(None) => format!("`postgres` was not ready after {START_LIMIT:?}"),
                Err(error) => format!("cannot wait for `postgres`: {error}"),
            };
            processes.server = Some(server);
            self.kill_locked(processes);
            let message = self.explain(&problem, log_start);
            return Err(if message.contains("could not create any TCP/IP sockets") {
                StartError::PortTaken(message)
            } else if message.contains("pre-existing shared memory block")
                || message.contains("lock file \"postmaster.pid\" already exists")
            {
                StartError::DataInUse(message)
            } else {
                StartError::Other(message)
            });
        }
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            // A socket file would need a short path, and nobody uses it.
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            "shared_buffers=128MB".to_owned(),
            "logging_collector=off".to_owned(),
            "timezone=UTC".to_owned(),
        ];
        if !self.options.fsync {
            // `synchronous_commit` stays on: what was committed survives a kill of the processes.
            settings.extend(
                [
                    "fsync=off",
                    "full_page_writes=off",
                    "wal_level=minimal",
                    "max_wal_senders=0",
                    "checkpoint_timeout=1h",
                ]
                .map(str::to_owned),
            );
        }
        settings
    }

    /// Whether the process with this id has written to its lock file that it is ready. Unlike a
    /// connection, the file cannot be that of another server on the same port, and it needs no
    /// client program.
    fn accepts_connections(&self, pid: u32) -> bool {
        let Ok(text) = fs::read_to_string(self.data().join("postmaster.pid")) else {
            return false;
        };
        let mut lines = text.lines().map(str::trim);
        lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
    }

    fn kill_locked(&self, processes: &mut Processes) {
        let Some(mut server) = processes.server.take() else {
            return;
        };
        // Stopped, it starts no process that the list would miss. An already ended server is not
        // reaped yet, so its id cannot belong to anybody else.
        signal("STOP", &[server.id()]);
        let mut pids = children_of(server.id());
        pids.push(server.id());
        signal("KILL", &pids);
        // Does not fail: it is our child. Nor is there anything else to do if it did.
        let _ = server.kill();
        let _ = server.wait();
        // Without the watchdog the next start reports the problem.
        let _ = processes.watch(None);
    }

    /// An error message with what the server has logged since `log_start`.
    fn explain(&self, problem: &str, log_start: u64) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let start = usize::try_from(log_start).unwrap_or(usize::MAX);
        let log = String::from_utf8_lossy(log.get(start..).unwrap_or_default());
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(20)..);
        format!(
            "{problem}. It was started from {} in {}{}. The log says why:\n{}",
            self.binaries.display(),
            self.directory.path().display(),
            self.account.map_or(String::new(), |account| format!(" as uid {}", account.uid)),
            last.unwrap_or_default().join("\n"),
        )
    }

    /// Runs one statement and returns the first column of the last row.
    fn query(&self, database: &str, sql: &str) -> Result<Option<String>, String> {
        wire::query(self.port, database, sql).map_err(|refused| format!("`{sql}` on {}: {refused}", self.url(database)))
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let mut processes = self.lock();
        if let Some(server) = &mut processes.server {
            // An immediate stop, unlike a kill, gives the shared memory back.
            signal("QUIT", &[server.id()]);
            let deadline = Instant::now() + STOP_LIMIT;
            while matches!(server.try_wait(), Ok(None)) && Instant::now() < deadline {
                sleep(POLL);
            }
            if matches!(server.try_wait(), Ok(Some(_))) {
                processes.server = None;
                let _ = processes.watch(None);
            }
        }
        self.kill_locked(&mut processes);
        // Closes the pipe; the watchdog removes the directory.
        let _ = processes.watchdog.wait();
    }
}

impl Processes {
    /// Starts a process that the watchdog stops if we cannot.
    fn spawn(&mut self, mut command: Command) -> Result<Child, String> {
        let mut child = command.spawn().map_err(|error| {
            format!(
                "cannot start {}: {error}. The user that runs it must be able to reach that file \
                 and the temporary directory.",
                command.get_program().display()
            )
        })?;
        // Should we be killed right here, PostgreSQL stops by itself within a minute of losing
        // its directory.
        if let Err(error) = self.watch(Some(child.id())) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        Ok(child)
    }

    fn watch(&mut self, pid: Option<u32>) -> Result<(), String> {
        let line = pid.map_or("\n".to_owned(), |pid| format!("{pid}\n"));
        let written = match &mut self.watchdog.stdin {
            Some(pipe) => pipe.write_all(line.as_bytes()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(|error| {
            format!(
                "the watchdog of the PostgreSQL server (process {}) does not listen: {error}. It \
                 was probably killed; run the tests again.",
                self.watchdog.id()
            )
        })
    }
}

/// Starts the watchdog as our own user, because as root that is who can remove the directory
/// wherever it is.
fn spawn_watchdog(directory: &Path) -> Result<Child, String> {
    Command::new("sh")
        .args(["-c", WATCHDOG, "postgres-watchdog"])
        .arg(directory)
        .current_dir("/")
        // Test runners kill the process group of a test.
        .process_group(0)
        .stdin(Stdio::piped())
        // An inherited stream would keep the reader of the test output waiting.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start `sh` to watch over PostgreSQL: {error}"))
}

/// A free port that the system does not hand out to clients.
///
/// A port of the usual range (from 32768 on Linux) could go to a client while the server is down
/// between a kill and a restart, even to one that is trying to reach this very port.
pub fn free_port() -> Result<u16, String> {
    for attempt in 0..1000 {
        let random = RandomState::new().hash_one(attempt) % 16_000;
        let port = 16_384 + u16::try_from(random).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port on 127.0.0.1 between 16384 and 32384. Stop the programs that listen there, \
         or allow the tests to listen on 127.0.0.1."
        .to_owned())
}

/// Sends a signal. The standard library only knows how to kill, and only direct children.
fn signal(name: &str, pids: &[u32]) {
    // It fails if a process has just ended, and then its work is done.
    let _ = Command::new("sh")
        .args(["-c", r#"kill -"$@""#, "sh", name])
        .args(pids.iter().map(u32::to_string))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn children_of(parent: u32) -> Vec<u32> {
    let proc_entries = || -> Option<String> {
        let mut table = String::new();
        fs::metadata("/proc/self/stat").ok()?;
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // `PID (name) STATE PARENT ..`, and the name may hold anything.
            if let (Some(pid), Some((_, rest))) = (stat.split(' ').next(), stat.rsplit_once(')'))
                && let Some(parent) = rest.split_whitespace().nth(1)
            {
                table.push_str(&format!("{pid} {parent}\n"));
            }
        }
        Some(table)
    };
    let ps = || {
        let arguments = ["-A", "-o", "pid=", "-o", "ppid="].map(OsStr::new);
        let output = Command::new("ps").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    proc_entries()
        .or_else(ps)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u32>);
            let pid = numbers.next()?.ok()?;
            (numbers.next()?.ok()? == parent).then_some(pid)
        })
        .collect()
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

mod tests {
    use super::{Options, PostgresServer, shared};

    #[test]
    fn databases_are_copied_from_a_template_and_dropped() -> Result<(), String> {
        let server = shared()?;
        server.create_database("Odd \"template\"", None)?;
        server.query("Odd \"template\"", "CREATE TABLE copied AS SELECT 7 AS n")?;
        server.create_database("postgres_rs_copy", Some("Odd \"template\""))?;
        let value = server.query("postgres_rs_copy", "SELECT n FROM copied")?;
        assert_eq!(value.as_deref(), Some("7"));

        server.drop_database("postgres_rs_copy")?;
        server.drop_database("Odd \"template\"")?;
        let gone = server.query("postgres_rs_copy", "SELECT 1");
        assert!(gone.as_ref().is_err_and(|error| error.contains("does not exist")), "{gone:?}");
        Ok(())
    }

    #[test]
    fn a_killed_server_comes_back_with_what_was_committed() -> Result<(), String> {
        let server = PostgresServer::start_with(Options { fsync: true })?;
        let fsync = server.query("postgres", "SELECT current_setting('fsync')")?;
        assert_eq!(fsync.as_deref(), Some("on"));
        server.query("postgres", "CREATE TABLE kept AS SELECT 7 AS n")?;
        let url = server.url("postgres");

        server.kill();
        assert!(server.query("postgres", "SELECT 1").is_err());
        server.restart()?;
        let value = server.query("postgres", "SELECT n FROM kept")?;
        assert_eq!(value.as_deref(), Some("7"));
        assert_eq!(server.url("postgres"), url);

        let directory = server.directory.path().to_owned();
        drop(server);
        assert!(!directory.exists());
        Ok(())
    }
}

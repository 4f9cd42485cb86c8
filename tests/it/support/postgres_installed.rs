//! Where PostgreSQL is installed, and as whom it can run here.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const INSTALL: &str = "Install the PostgreSQL server binaries (13 or newer), for example \
    `apt-get install postgresql`, `dnf install postgresql-server` or `brew install postgresql`, \
    or put the directory that holds `initdb` and `postgres` on PATH.";

/// An entry of `/etc/passwd`.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// Creates the directory of a server, and says whom it belongs to if not to us.
pub fn create_directory() -> Result<(TempDir, Option<Account>), String> {
    let create = |root: &Path| {
        tempfile::Builder::new().prefix("kmic-postgres-").tempdir_in(root).map_err(|error| {
            format!(
                "cannot create a directory for PostgreSQL in {}: {error}. Set TMPDIR to a \
                     directory that can be written.",
                root.display()
            )
        })
    };
    let directory = create(&std::env::temp_dir())?;
    let metadata = fs::metadata(directory.path())
        .map_err(|error| format!("cannot read {}: {error}", directory.path().display()))?;
    // What we create belongs to us, so this tells who we are.
    if metadata.uid() != 0 {
        return Ok((directory, None));
    }

    let account = unprivileged_account()?;
    let directory = if is_open_to_all(&std::env::temp_dir()) { directory } else { create(Path::new("/tmp"))? };
    std::os::unix::fs::chown(directory.path(), Some(account.uid), Some(account.gid)).map_err(|error| {
        format!(
            "cannot give {} to uid {}: {error}. Run the tests as a user other than root.",
            directory.path().display(),
            account.uid
        )
    })?;
    Ok((directory, Some(account)))
}

/// Whom to run PostgreSQL as when we are root, which it refuses.
fn unprivileged_account() -> Result<Account, String> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (uid != 0).then_some(Account { uid, gid })
        })
    };
    find("postgres").or_else(|| find("nobody")).ok_or_else(|| {
        "PostgreSQL refuses to run as root, and /etc/passwd has neither `postgres` nor `nobody` \
         to run it as. Create one, for example with `useradd --system postgres`, or run the tests \
         as a user other than root."
            .to_owned()
    })
}

/// Whether any user can reach what is in the directory.
fn is_open_to_all(directory: &Path) -> bool {
    directory.canonicalize().is_ok_and(|path| {
        path.ancestors().all(|part| fs::metadata(part).is_ok_and(|metadata| metadata.mode() & 0o001 != 0))
    })
}

/// Finds the directory with the programs of the server. Debian keeps it off PATH.
pub fn find_binaries() -> Result<PathBuf, String> {
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.and_then(|output| String::from_utf8(output.stdout).ok()).map(|path| PathBuf::from(path.trim()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = told.into_iter().collect();
    candidates.extend(versions("/usr/lib/postgresql", ""));
    candidates.extend(std::env::split_paths(&path));
    candidates.extend(versions("/usr", "pgsql-"));
    candidates.extend(versions("/opt/homebrew/opt", "postgresql"));
    candidates.extend(versions("/usr/local/opt", "postgresql"));
    candidates.push(PathBuf::from("/usr/local/pgsql/bin"));
    candidates
        .into_iter()
        .find_map(|directory| {
            // PATH may have links to programs that need the files next to the real ones.
            let initdb = directory.join("initdb").canonicalize().ok()?;
            let directory = initdb.parent()?;
            directory.join("postgres").is_file().then(|| directory.to_owned())
        })
        .ok_or_else(|| format!("This test needs PostgreSQL, and `initdb` was not found. {INSTALL}"))
}

/// The `bin` directories of the versions installed side by side in `parent`, newest first.
fn versions(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let rest = name.to_str()?.strip_prefix(prefix)?;
            let version = rest
                .split(|character: char| !character.is_ascii_digit())
                .filter_map(|number| number.parse().ok())
                .collect();
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Keeps settings of the developer out: `PGDATA`, `PGPORT`, `PGOPTIONS` and a language for
/// messages, which we read.
pub fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
}

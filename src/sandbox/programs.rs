//! Finds the installed servers and the users they run as.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

use crate::config::Config;

/// The next step if a server is not installed.
const REMEDY: &str = "install the servers (as root: scripts/install-servers, or \
    `apt-get install postgresql rabbitmq-server`), or set DATABASE_URL and AMQP_URL";

/// A system user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The user a server runs as: the current user, or for root the user of the package.
    pub(super) fn for_server(name: &str) -> Result<Option<Self>> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        let user = User::from_name(name).with_context(|| format!("cannot look up the user `{name}`"))?;
        Ok(user.map(|user| Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
    }

    /// Like [`Account::for_server`], but an error if the server would run as root.
    pub(super) fn for_server_never_root(name: &str) -> Result<Option<Self>> {
        let account = Self::for_server(name)?;
        if account.is_none() && Uid::effective().is_root() {
            bail!("PostgreSQL refuses to run as root, and the user `{name}` does not exist; {REMEDY}");
        }
        Ok(account)
    }
}

/// The directory that holds `initdb`, `postgres` and `psql`: the newest installed one.
pub(super) fn postgres_directory() -> Result<PathBuf> {
    let complete = |directory: &PathBuf| ["initdb", "postgres"].iter().all(|name| directory.join(name).is_file());
    debian_postgres_directories()
        .into_iter()
        .chain(Config::program_directories())
        .find(complete)
        .with_context(|| format!("initdb and postgres not found; {REMEDY}"))
}

/// `/usr/lib/postgresql/<version>/bin`, newest first: Debian keeps the servers out of `PATH`.
fn debian_postgres_directories() -> Vec<PathBuf> {
    let entries = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, path)| path).collect()
}

/// The program `psql`, next to the servers or in `PATH`.
pub(super) fn psql() -> Result<PathBuf> {
    let directories = debian_postgres_directories().into_iter().chain(Config::program_directories());
    first_file(directories, "psql").context("psql not found: install postgresql-client")
}

/// The start script of RabbitMQ. Not the wrapper of Debian in `/usr/sbin`, which changes user and settings.
pub(super) fn rabbitmq_server() -> Result<PathBuf> {
    let is_wrapper = |path: &Path| fs::canonicalize(path).is_ok_and(|real| real.ends_with("rabbitmq-script-wrapper"));
    [PathBuf::from("/usr/lib/rabbitmq/bin")]
        .into_iter()
        .chain(Config::program_directories())
        .map(|directory| directory.join("rabbitmq-server"))
        .find(|path| path.is_file() && !is_wrapper(path))
        .with_context(|| format!("rabbitmq-server not found; {REMEDY}"))
}

/// The name server of Erlang.
pub(super) fn epmd() -> Result<PathBuf> {
    let own = ["/usr/bin", "/usr/local/bin", "/usr/lib/erlang/bin", "/usr/local/lib/erlang/bin"].map(PathBuf::from);
    first_file(own.into_iter().chain(Config::program_directories()), "epmd")
        .with_context(|| format!("epmd of Erlang not found; {REMEDY}"))
}

fn first_file(directories: impl Iterator<Item = PathBuf>, name: &str) -> Option<PathBuf> {
    directories.map(|directory| directory.join(name)).find(|path| path.is_file())
}

//! Finds the programs of the servers and the users they run as.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

use super::system::System;
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
    pub(super) fn for_server(system: &System, name: &str) -> Result<Option<Self>> {
        match system {
            System::Host => Self::on_this_machine(name),
            System::Guest(root) => System::account_in(root, name).map(Some),
        }
    }

    fn on_this_machine(name: &str) -> Result<Option<Self>> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        let user = User::from_name(name).with_context(|| format!("cannot look up the user `{name}`"))?;
        Ok(user.map(|user| Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
    }

    /// Like [`Account::for_server`], but an error if the server would run as root.
    pub(super) fn for_server_never_root(system: &System, name: &str) -> Result<Option<Self>> {
        let account = Self::for_server(system, name)?;
        if account.is_none() && Uid::effective().is_root() {
            bail!("PostgreSQL refuses to run as root, and the user `{name}` does not exist; {REMEDY}");
        }
        Ok(account)
    }
}

/// The directory that holds `initdb`, `postgres` and `psql`: the newest installed one. As every path here, one inside of the system.
pub(super) fn postgres_directory(system: &System) -> Result<PathBuf> {
    let complete =
        |directory: &PathBuf| ["initdb", "postgres"].iter().all(|name| system.outside(&directory.join(name)).is_file());
    debian_postgres_directories(system)
        .into_iter()
        .chain(own_directories(system))
        .find(complete)
        .with_context(|| format!("initdb and postgres not found on {}; {REMEDY}", system.name()))
}

/// `/usr/lib/postgresql/<version>/bin`, newest first: Debian keeps the servers out of `PATH`.
fn debian_postgres_directories(system: &System) -> Vec<PathBuf> {
    let parent = Path::new("/usr/lib/postgresql");
    let entries = fs::read_dir(system.outside(parent)).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            Some((name.to_str()?.parse().ok()?, parent.join(&name).join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, path)| path).collect()
}

/// The directories of `PATH`, which says nothing of another system.
fn own_directories(system: &System) -> Vec<PathBuf> {
    match system {
        System::Host => Config::program_directories(),
        System::Guest(_) => Vec::new(),
    }
}

/// This machine's program `psql`, next to its servers or in `PATH`; it speaks to newer servers, too.
pub(super) fn psql() -> Result<PathBuf> {
    let host = System::Host;
    let directories = debian_postgres_directories(&host).into_iter().chain(own_directories(&host));
    first_file(&host, directories, "psql").context("psql not found: install postgresql-client")
}

/// The start script of RabbitMQ. Not the wrapper of Debian in `/usr/sbin`, which changes user and settings.
pub(super) fn rabbitmq_server(system: &System) -> Result<PathBuf> {
    let is_wrapper = |path: &Path| fs::canonicalize(path).is_ok_and(|real| real.ends_with("rabbitmq-script-wrapper"));
    [PathBuf::from("/usr/lib/rabbitmq/bin")]
        .into_iter()
        .chain(own_directories(system))
        .map(|directory| directory.join("rabbitmq-server"))
        .find(|path| system.outside(path).is_file() && !is_wrapper(path))
        .with_context(|| format!("rabbitmq-server not found on {}; {REMEDY}", system.name()))
}

/// The name server of Erlang.
pub(super) fn epmd(system: &System) -> Result<PathBuf> {
    let own = ["/usr/bin", "/usr/local/bin", "/usr/lib/erlang/bin", "/usr/local/lib/erlang/bin"].map(PathBuf::from);
    first_file(system, own.into_iter().chain(own_directories(system)), "epmd")
        .with_context(|| format!("epmd of Erlang not found on {}; {REMEDY}", system.name()))
}

fn first_file(system: &System, directories: impl Iterator<Item = PathBuf>, name: &str) -> Option<PathBuf> {
    directories.map(|directory| directory.join(name)).find(|path| system.outside(path).is_file())
}

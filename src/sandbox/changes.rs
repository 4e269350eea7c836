//! Further faults and settings of private servers, for tests: frozen processes, certificates, listeners.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use super::programs::Account;
use super::servers::{Postgres, RabbitMq, change};
use super::{place, postgres, process, rabbitmq};

impl Postgres {
    /// Suspends every process of the server (SIGSTOP): connections are accepted by the kernel and not answered.
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Continues its processes (SIGCONT).
    ///
    /// # Errors
    /// If it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        change(self.directory(), |state| {
            let Some(server) = state.postgres else { bail!("PostgreSQL is not running") };
            for pid in process::families(vec![server.pid.unsigned_abs()]) {
                // A process of a connection may have ended.
                let _ = kill(Pid::from_raw(i32::try_from(pid)?), signal);
            }
            Ok(())
        })
    }

    /// Replaces a file of its data directory, such as `pg_hba.conf`, that it reads at its next start.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        change(self.directory(), |state| write(&postgres::data(state), name, text).map(drop))
    }
}

impl RabbitMq {
    /// Replaces a file beside its settings, such as a certificate; returns its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        change(self.directory(), |state| write(&rabbitmq::home(state), name, text))
    }

    /// Adds lines to `rabbitmq.conf`, and enables plugins, from its next start on.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn configure(&self, settings: &str, plugins: &[&str]) -> Result<()> {
        self.write(rabbitmq::MORE_SETTINGS, settings)?;
        self.write(rabbitmq::MORE_PLUGINS, &plugins.join(",")).map(drop)
    }
}

/// Writes a file that the owner of its directory alone may read.
fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let owner = fs::metadata(directory).with_context(|| format!("{} does not exist", directory.display()))?;
    let account = Uid::effective().is_root().then(|| Account { uid: owner.uid(), gid: owner.gid() });
    let path = directory.join(name);
    place::write_for(&path, text, account)?;
    Ok(path)
}

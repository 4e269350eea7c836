//! Runs pgbench.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::sandbox::Sandbox;

/// What pgbench runs.
pub(super) struct Pgbench<'a> {
    pub(super) url: &'a str,
    /// The text of the script.
    pub(super) script: &'a str,
    pub(super) clients: usize,
    pub(super) seconds: u64,
    /// Variables of the script, as `name=value`.
    pub(super) variables: &'a [String],
}

impl Pgbench<'_> {
    /// Transactions per second.
    pub(super) async fn run(&self) -> Result<f64> {
        let script = std::env::temp_dir().join(format!("pgbench-{:012x}.sql", fastrand::u64(..1 << 48)));
        std::fs::write(&script, self.script)?;
        let rate = self.measure(&script).await;
        std::fs::remove_file(&script)?;
        rate
    }

    async fn measure(&self, script: &Path) -> Result<f64> {
        let pgbench = Sandbox::postgres_program("pgbench")?;
        let clients = self.clients.to_string();
        let ran = Command::new(pgbench)
            .args(["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-T", &self.seconds.to_string()])
            .args(self.variables.iter().flat_map(|variable| ["-D", variable]))
            .arg("-f")
            .arg(script)
            .arg(self.url)
            .output()
            .await
            .context("cannot run pgbench: install the server packages of PostgreSQL")?;
        let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
        ensure!(ran.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&ran.stderr));
        let rate = printed.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.with_context(|| format!("pgbench printed no rate: {printed}"))
    }
}

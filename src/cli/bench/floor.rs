//! The floor: the statement of a plain step run by pgbench, with as many clients as Leveret has connections.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::arena::Arena;
use crate::config::Database;
use crate::sandbox::Sandbox;

const STATEMENT: &str = include_str!("floor.sql");
const SETUP: &str = include_str!("floor_setup.sql");

/// Returns steps per second.
pub(super) async fn run(arena: &Arena, seconds: u64) -> Result<f64> {
    let (database, url) = arena.database().await?;
    let folder = std::env::temp_dir().join(&database);
    std::fs::create_dir_all(&folder)?;
    let measured = measure(&url, &folder, seconds).await;
    std::fs::remove_dir_all(&folder)?;
    arena.sandbox.drop_database(&database)?;
    measured
}

async fn measure(url: &str, folder: &std::path::Path, seconds: u64) -> Result<f64> {
    let (statement, setup) = (folder.join("floor.sql"), folder.join("setup.sql"));
    std::fs::write(&statement, STATEMENT)?;
    std::fs::write(&setup, SETUP)?;
    let clients = Database::default().pool_max.to_string();
    let psql = Sandbox::postgres_program("psql")?;
    let prepared = Command::new(psql)
        .args([url, "-v", &format!("clients={clients}"), "-v", "ON_ERROR_STOP=1", "-qAt", "-c", "CHECKPOINT", "-f"])
        .arg(&setup)
        .output()
        .await?;
    ensure!(prepared.status.success(), "psql failed: {}", String::from_utf8_lossy(&prepared.stderr));
    let prefix = String::from_utf8_lossy(&prepared.stdout).trim().to_owned();
    let pgbench = Sandbox::postgres_program("pgbench")?;
    let ran = Command::new(pgbench)
        .args(["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-T", &seconds.to_string()])
        .args(["-D", &format!("prefix={prefix}"), "-D", "r=1", "-f"])
        .arg(&statement)
        .arg(url)
        .output()
        .await
        .context("cannot run pgbench: install the server packages of PostgreSQL")?;
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    ensure!(ran.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&ran.stderr));
    let rate = printed.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.with_context(|| format!("pgbench printed no rate: {printed}"))
}

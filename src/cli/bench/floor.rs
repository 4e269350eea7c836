//! The floor: the statement of a plain step run by pgbench, with as many clients as Leveret has connections.

use anyhow::{Result, ensure};
use tokio::process::Command;

use super::arena::Arena;
use super::pgbench::Pgbench;
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
    let setup = folder.join("setup.sql");
    std::fs::write(&setup, SETUP)?;
    let clients = Database::default().pool_max;
    let psql = Sandbox::postgres_program("psql")?;
    let prepared = Command::new(psql)
        .args([url, "-v", &format!("clients={clients}"), "-v", "ON_ERROR_STOP=1", "-qAt", "-c", "CHECKPOINT", "-f"])
        .arg(&setup)
        .output()
        .await?;
    ensure!(prepared.status.success(), "psql failed: {}", String::from_utf8_lossy(&prepared.stderr));
    let prefix = String::from_utf8_lossy(&prepared.stdout).trim().to_owned();
    let variables = [format!("prefix={prefix}"), "r=1".to_owned()];
    Pgbench { url, script: STATEMENT, clients, seconds, variables: &variables }.run().await
}

//! The cost of an idle process.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::arena::Arena;
use super::report::{self, Row};

/// Not measured: connecting and declaring queues.
const WARM_UP: Duration = Duration::from_secs(5);
/// The measured time.
const MEASURED: Duration = Duration::from_secs(20);

pub(super) async fn run(arena: &Arena) -> Result<Row> {
    let (database, url) = arena.database().await?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .env("LEVERET_DATABASE__URL", &url)
        .env("LEVERET_BROKER__URL", &arena.sandbox.amqp_url)
        .env("LEVERET_BROKER__PREFIX", &database)
        .env("LEVERET_HTTP__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().context("the process ended at once")?;
    tokio::time::sleep(WARM_UP).await;
    let before = report::cpu_seconds(pid);
    tokio::time::sleep(MEASURED).await;
    let used = report::cpu_seconds(pid) - before;
    let memory_mb = report::memory_mb(pid);
    child.kill().await?;
    arena.sandbox.drop_database(&database)?;
    Ok(Row::of("idle").with_idle(memory_mb, used * 100.0 / MEASURED.as_secs_f64()))
}

//! `leveret migrate`

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::output;
use crate::config::Config;
use crate::store::migrate;

#[derive(Args)]
pub(super) struct Arguments {
    /// Only check: exit code 1 if migrations are missing, or unknown to this binary.
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(mut config: Config, arguments: &Arguments) -> Result<ExitCode> {
    super::dev::fall_back_to_sandbox(&mut config);
    if config.database.url.is_empty() {
        bail!("no database is configured: set DATABASE_URL, or `database.url` in leveret.toml");
    }
    let url = config.database.address();
    if arguments.check {
        migrate::fits(&url).await?;
        output::line("the schema matches this binary");
    } else {
        let applied = migrate::run(&url).await?;
        match applied.len() {
            0 => output::line("the schema is up to date"),
            _ => output::line(format!("applied {}", applied.join(", "))),
        }
    }
    Ok(ExitCode::SUCCESS)
}

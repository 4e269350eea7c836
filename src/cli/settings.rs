//! `leveret config show`

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::output;
use crate::config::Config;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Print every effective setting as JSON, without passwords.
    Show,
}

pub(super) fn run(config: &Config, verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Show => {
            output::json(&config.shown()?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

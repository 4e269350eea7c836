//! `leveret config show`

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::output;
use crate::config::Config;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Print every effective setting as JSON; passwords are hidden.
    Show,
}

pub(super) fn run(config: &Config, verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Show => {
            let mut shown = config.clone();
            for url in [&mut shown.database.url, &mut shown.broker.url] {
                *url = crate::broker::without_password(url);
            }
            output::json(&shown)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

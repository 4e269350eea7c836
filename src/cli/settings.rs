//! `leveret config show`

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

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
            let mut shown = serde_json::to_value(config)?;
            for (section, url) in [("database", &config.database.url), ("broker", &config.broker.url)] {
                // An unset URL is null.
                shown[section]["url"] = match url.is_empty() {
                    true => Value::Null,
                    false => crate::broker::without_password(url).into(),
                };
            }
            if !config.outgoing.proxy.is_empty() {
                shown["outgoing"]["proxy"] = crate::broker::without_password(&config.outgoing.proxy).into();
            }
            output::json(&shown)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! `leveret message send`

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::{Value, json};

use super::instance::origin;
use super::output::{self, Output};
use crate::app::App;
use crate::contract::{self, Message};
use crate::step::{self, Delivered};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Send a message; it is kept for its time to live if nobody waits yet.
    Send {
        /// Its name.
        name: String,
        /// Its key.
        key: String,
        /// What it says, as JSON.
        #[arg(long, default_value = "null")]
        data: String,
        /// Seconds it is kept.
        #[arg(long)]
        ttl: Option<u32>,
    },
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    let Verb::Send { name, key, data, ttl } = verb;
    let data: Value = serde_json::from_str(&data).context("--data is not JSON")?;
    contract::refuse_nul(&data).map_err(anyhow::Error::msg)?;
    let (outcome, instance) = match step::message(app, Message { name, key, data, ttl }, &origin(app)).await? {
        Delivered::To(position) => ("delivered".to_owned(), Some(position.instance.id)),
        Delivered::Kept => ("kept".to_owned(), None),
        Delivered::Known(answer) => (answer.outcome, answer.instance),
    };
    match output {
        Output::Json => output::json(&json!({ "outcome": outcome, "instance": instance }))?,
        Output::Table => match instance {
            Some(id) => output::line(format!("{outcome} to {id}")),
            None => output::line(format!("{outcome}: nobody waits for it yet")),
        },
    }
    Ok(ExitCode::SUCCESS)
}

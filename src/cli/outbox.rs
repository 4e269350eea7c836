//! `leveret outbox revive`

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::output::{self, Output};
use crate::app::App;
use crate::command;

/// The most rows of one command: revived rows are published at once.
const REVIVE_MAX: i64 = 10_000;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Publish dead rows again, after a queue was bound that takes them.
    Revive {
        /// Only this row. Default: the oldest 10,000.
        #[arg(long)]
        id: Option<Uuid>,
    },
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    let Verb::Revive { id } = verb;
    let revived = command::outbox::revive(app, id, REVIVE_MAX, &super::instance::actor(app)).await?;
    match output {
        Output::Json => output::json(&json!({ "revived": revived }))?,
        Output::Table => output::line(format!("revived {revived} rows; a relay publishes them")),
    }
    Ok(if id.is_some() && revived == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

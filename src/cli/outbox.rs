//! `leveret outbox revive`

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::output::{self, Output};
use crate::app::App;
use crate::store::outbox;

/// Rows of one call: revived, they are published at once.
const REVIVE_MAX: i64 = 10_000;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Let rows that were given up be published again, because a queue is there now that takes them.
    Revive {
        /// Only this one; left out, the oldest 10,000.
        #[arg(long)]
        id: Option<Uuid>,
    },
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    let Verb::Revive { id } = verb;
    let mut conn = app.store.background().await?;
    let revived = outbox::revive(&mut conn, id, REVIVE_MAX).await?;
    match output {
        Output::Json => output::json(&json!({ "revived": revived }))?,
        Output::Table => output::line(format!("{revived} rows are published again")),
    }
    Ok(if id.is_some() && revived == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

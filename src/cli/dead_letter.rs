//! `leveret dead-letter list|show|redrive`

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::json;

use super::output::{self, Output};
use crate::app::App;
use crate::command;
use crate::contract::LIST;
use crate::contract::api::{DeadLetterView, Page};
use crate::store::views;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List dead letters, newest first, each with its reason.
    List {
        /// Continue after the previous page: its `next`.
        #[arg(long)]
        cursor: Option<i64>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Show one dead letter with its body.
    Show {
        /// The id of the dead letter.
        id: i64,
    },
    /// Send a dead letter again to its original exchange, as a new message. Remove the cause first.
    Redrive {
        /// The id of the dead letter.
        id: i64,
    },
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Show { id } => {
            let mut conn = app.store.background().await?;
            let found = views::dead_letter(&mut conn, id).await?;
            output::json(&found.with_context(|| format!("there is no dead letter {id}"))?)?;
        }
        Verb::List { cursor, limit } => {
            let mut conn = app.store.background().await?;
            list(views::dead_letters(&mut conn, cursor, limit).await?, output)?;
        }
        Verb::Redrive { id } => {
            let message_id = command::redrive(app, id).await?;
            match output {
                Output::Json => output::json(&json!({ "id": id, "message_id": message_id }))?,
                Output::Table => output::line(format!("sent again as message {message_id}")),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(page: Page<DeadLetterView>, output: Output) -> Result<()> {
    match output {
        Output::Json => return output::json(&page),
        Output::Table if page.items.is_empty() => output::line("no dead letters"),
        Output::Table => {
            let rows = page.items.into_iter().map(|one| {
                let sender = format!("{} {}", one.app_id.unwrap_or_default(), one.message_id.unwrap_or_default());
                let kind = one.kind.unwrap_or_default();
                let redriven = one.redriven_at.map(output::moment).unwrap_or_default();
                vec![one.id.to_string(), output::moment(one.received_at), kind, sender, redriven, one.reason]
            });
            output::table(&["id", "received", "type", "sender and id", "redriven", "reason"], rows.collect());
            if let Some(next) = page.next {
                output::line(format!("more: --cursor {next}"));
            }
        }
    }
    Ok(())
}

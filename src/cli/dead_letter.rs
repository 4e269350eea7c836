//! `leveret dead-letter list|show`

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;

use super::output::{self, Output};
use crate::app::App;
use crate::store::views;

/// Letters of a list, newest first.
const LIST_MAX: i64 = 200;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List them, newest first, each with its reason.
    List,
    /// Show one with its body.
    Show {
        /// Its number.
        id: i64,
    },
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    let mut conn = app.store.duties().await?;
    match verb {
        Verb::Show { id } => {
            let letter = views::dead_letter(&mut conn, id).await?;
            output::json(&letter.with_context(|| format!("there is no dead letter {id}"))?)?;
        }
        Verb::List => {
            let letters = views::dead_letters(&mut conn, LIST_MAX).await?;
            match output {
                Output::Json => output::json(&letters)?,
                Output::Table if letters.is_empty() => output::line("no dead letters"),
                Output::Table => {
                    let rows = letters.into_iter().map(|one| {
                        let sender =
                            format!("{} {}", one.app_id.unwrap_or_default(), one.message_id.unwrap_or_default());
                        let kind = one.kind.unwrap_or_default();
                        vec![one.id.to_string(), output::moment(one.received_at), kind, sender, one.reason]
                    });
                    output::table(&["id", "received", "type", "sender and id", "reason"], rows.collect());
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

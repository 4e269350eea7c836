//! `leveret audit list`

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::output::{self, Output};
use crate::app::App;
use crate::contract::LIST;
use crate::store::audit::Filter;
use crate::store::views;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List what operators have done, newest first.
    List {
        /// Only of this person or sender.
        #[arg(long)]
        actor: Option<String>,
        /// Only this action, such as suspend or schedule.put.
        #[arg(long)]
        action: Option<String>,
        /// Only about this kind of object, such as instance or schedule.
        #[arg(long)]
        subject: Option<String>,
        /// Only about the object with this id or name.
        #[arg(long)]
        object: Option<String>,
        /// Continue after the previous page: its `next`.
        #[arg(long)]
        cursor: Option<i64>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    let Verb::List { actor, action, subject, object, cursor: before, limit } = verb;
    let filter = Filter { before, limit, actor, action, subject, object };
    let page = views::audit(&mut *app.store.background().await?, &filter).await?;
    match output {
        Output::Json => output::json(&page)?,
        Output::Table if page.items.is_empty() => output::line("no operator has done anything"),
        Output::Table => {
            let rows = page.items.into_iter().map(|one| {
                let facts = one.details.map(|details| format!(" {details}")).unwrap_or_default();
                let object = format!("{} {}", one.subject, one.object);
                let reason = one.reason.unwrap_or_default();
                vec![output::moment(one.at), one.actor, one.door, one.action, object, one.outcome + &facts, reason]
            });
            output::table(&["at", "who", "door", "action", "on", "outcome", "reason"], rows.collect());
            if let Some(next) = page.next {
                output::line(format!("more: --cursor {next}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! `leveret timer list|reschedule`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::instance::origin;
use super::output::{self, Output};
use crate::app::App;
use crate::command::{self, Applied};
use crate::contract::{LIST, Reschedule, Target};
use crate::store::waits;
use crate::time::moment;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List open timers, the next one first.
    List {
        /// Only timers of this instance.
        #[arg(long)]
        instance: Option<Uuid>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Change the due time of an open timer; it gets a new number.
    Reschedule(Rescheduling),
}

#[derive(Args)]
pub(super) struct Rescheduling {
    /// The id of the instance.
    instance: Uuid,
    /// The timer's number, as `timer list` shows it.
    bookmark: i64,
    /// The new due time, such as 2026-01-31T09:00:00Z; a time in the past fires at once.
    #[arg(long, value_name = "TIME", required_unless_present = "after", conflicts_with = "after", value_parser = moment::option)]
    at: Option<Timestamp>,
    /// The new due time from now, such as 2h.
    #[arg(long, value_name = "DURATION")]
    after: Option<String>,
    /// The reason, stored in the history.
    #[arg(long)]
    reason: Option<String>,
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::List { instance, limit } => list(app, instance, limit, output).await?,
        Verb::Reschedule(what) => reschedule(app, what, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(app: &App, instance: Option<Uuid>, limit: i64, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let page = waits::timers(&mut conn, instance, None, limit).await?;
    match output {
        Output::Json => return output::json(&page),
        Output::Table if page.items.is_empty() => output::line("no open timers"),
        Output::Table => {
            let rows = page.items.into_iter().map(|one| {
                let at = one.activity.unwrap_or_else(|| "–".into());
                let due = output::moment(one.due_at);
                let number = one.bookmark.to_string();
                vec![one.instance.to_string(), number, one.definition, one.key.unwrap_or_default(), at, one.what, due]
            });
            output::table(&["instance", "timer", "definition", "key", "activity", "purpose", "due"], rows.collect());
            page.next.iter().for_each(|_| output::more(limit));
        }
    }
    Ok(())
}

async fn reschedule(app: &App, what: Rescheduling, output: Output) -> Result<()> {
    let target = Target { instance: Some(what.instance), reason: what.reason, ..Target::default() };
    let command = Reschedule { target, bookmark: what.bookmark, due_at: what.at, after: what.after };
    let applied = command::reschedule(app, &command, &origin(app)).await?;
    let Applied::New(committed) = applied else { return Ok(()) };
    let (bookmark, due_at) = command::newest_timer(&committed.instance).context("the timer is no longer open")?;
    match output {
        Output::Json => output::json(&json!({ "instance": what.instance, "bookmark": bookmark, "due_at": due_at })),
        Output::Table => {
            output::line(format!("timer {bookmark} is due {}", output::moment(due_at)));
            Ok(())
        }
    }
}

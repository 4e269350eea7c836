//! `leveret schedule create|update|list|show|next|pause|resume|run|delete`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::instance::actor;
use super::output::{self, Output};
use crate::app::App;
use crate::command::schedule::{self, Expect};
use crate::contract::LIST;
use crate::contract::api::Page;
use crate::contract::schedule::{Missed, Overlap, ScheduleRequest, ScheduleView};
use crate::store::page::Fitting;
use crate::store::schedules;
use crate::time::duration;

/// Ticks shown with a schedule.
const NEXT: usize = 10;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Create a schedule.
    Create {
        /// The name of the schedule.
        name: String,
        /// The definition to start.
        definition: String,
        /// Five fields: minute, hour, day of month, month, day of week, such as "0 9 * * 1-5".
        #[arg(long)]
        cron: String,
        #[command(flatten)]
        parts: Parts,
    },
    /// Change parts of a schedule.
    Update {
        /// The name of the schedule.
        name: String,
        /// The new definition.
        #[arg(long)]
        definition: Option<String>,
        /// The new cron expression.
        #[arg(long)]
        cron: Option<String>,
        #[command(flatten)]
        parts: Parts,
    },
    /// List schedules by name.
    List {
        /// Continue after this name.
        #[arg(long)]
        cursor: Option<String>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Show a schedule and its next ten ticks.
    Show {
        /// The name of the schedule.
        name: String,
    },
    /// Show the next ticks of a schedule.
    Next {
        /// The name of the schedule.
        name: String,
        /// The number of ticks.
        #[arg(long, default_value_t = NEXT, value_parser = count)]
        count: usize,
    },
    /// Pause a schedule.
    Pause {
        /// The name of the schedule.
        name: String,
    },
    /// Resume a paused schedule; ticks missed during the pause are not started.
    Resume {
        /// The name of the schedule.
        name: String,
    },
    /// Start an instance now, even if the schedule is paused.
    Run {
        /// The name of the schedule.
        name: String,
    },
    /// Delete a schedule; instances it has started continue.
    Delete {
        /// The name of the schedule.
        name: String,
    },
}

#[derive(Args)]
pub(super) struct Parts {
    /// The time zone, such as Europe/Berlin. Default: UTC.
    #[arg(long)]
    zone: Option<String>,
    /// The input as JSON; strings in it are templates with now, scheduled_at, schedule, zone and env.
    #[arg(long)]
    input: Option<String>,
    /// The version of the definition. Default: the newest active one at each tick.
    #[arg(long)]
    version: Option<i32>,
    /// While the instance of an earlier tick is live: skip, allow, queue or cancel. Default: skip.
    #[arg(long, value_parser = overlap)]
    overlap: Option<Overlap>,
    /// The oldest missed tick that is still started, such as 1h. Default: 1h.
    #[arg(long, value_parser = duration::parse)]
    catch_up: Option<Duration>,
    /// The missed ticks to start: newest or all. Default: newest.
    #[arg(long, value_parser = missed)]
    missed: Option<Missed>,
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=1_000).contains(count))
        .ok_or_else(|| "must be a number from 1 to 1000".into())
}

fn overlap(text: &str) -> Result<Overlap, String> {
    Overlap::parse(text).ok_or_else(|| format!("use one of {}", Overlap::ALL.map(Overlap::name).join(", ")))
}

fn missed(text: &str) -> Result<Missed, String> {
    Missed::parse(text).ok_or_else(|| format!("use one of {}", Missed::ALL.map(Missed::name).join(", ")))
}

impl Parts {
    fn put_into(self, request: &mut ScheduleRequest) -> Result<()> {
        if let Some(text) = self.input {
            request.input = output::value("--input", &text)?;
        }
        request.version = self.version.or(request.version);
        request.zone = self.zone.unwrap_or_else(|| request.zone.clone());
        request.overlap = self.overlap.unwrap_or(request.overlap);
        request.catch_up = self.catch_up.unwrap_or(request.catch_up);
        request.missed = self.missed.unwrap_or(request.missed);
        Ok(())
    }
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Create { name, definition, cron, parts } => {
            let mut request: ScheduleRequest =
                serde_json::from_value(json!({ "definition": definition, "cron": cron }))?;
            parts.put_into(&mut request)?;
            put(app, &name, request, Expect::New, output).await?;
        }
        Verb::Update { name, definition, cron, parts } => {
            let ScheduleView { said: mut request, revision, .. } = schedule::get(app, &name).await?;
            request.definition = definition.unwrap_or(request.definition);
            request.cron = cron.unwrap_or(request.cron);
            parts.put_into(&mut request)?;
            put(app, &name, request, Expect::Revision(revision), output).await?;
        }
        Verb::List { cursor, limit } => list(app, cursor.as_deref(), limit, output).await?,
        Verb::Show { name } => {
            let mut shown = serde_json::to_value(schedule::get(app, &name).await?)?;
            shown["next"] = serde_json::to_value(schedule::upcoming(app, &name, NEXT).await?)?;
            output::json(&shown)?;
        }
        Verb::Next { name, count } => next(app, &name, count, output).await?,
        Verb::Pause { name } => say(&schedule::pause(app, &name, &actor(app)).await?, "paused", output)?,
        Verb::Resume { name } => say(&schedule::resume(app, &name, &actor(app)).await?, "resumed", output)?,
        Verb::Run { name } => {
            let instance = schedule::run_now(app, &name, &app.new_id().to_string(), &actor(app)).await?;
            match output {
                Output::Json => output::json(&json!({ "id": instance }))?,
                Output::Table => output::line(instance.to_string()),
            }
        }
        Verb::Delete { name } => {
            schedule::delete(app, &name, &actor(app)).await?;
            match output {
                Output::Json => output::json(&json!({ "name": name, "deleted": true }))?,
                Output::Table => output::line(format!("{name} deleted")),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(app: &App, name: &str, request: ScheduleRequest, expect: Expect, output: Output) -> Result<()> {
    let done = if expect == Expect::New { "created" } else { "changed" };
    let (view, _) = schedule::put(app, name, request, expect, &actor(app)).await?;
    say(&view, done, output)
}

fn say(view: &ScheduleView, done: &str, output: Output) -> Result<()> {
    match output {
        Output::Json => output::json(view),
        Output::Table => {
            let next = match (view.paused_at, view.next_at) {
                (None, Some(at)) => format!("; next tick at {}", output::moment(at)),
                (Some(_), _) | (None, None) => String::new(),
            };
            output::line(format!("{} {done}{next}", view.name));
            Ok(())
        }
    }
}

async fn list(app: &App, cursor: Option<&str>, limit: i64, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let Fitting { rows, full } = schedules::list(&mut conn, cursor, limit).await?;
    let page = Page::of(rows, full, |last| last.name.clone(), |view| view);
    match output {
        Output::Json => output::json(&page)?,
        Output::Table if page.items.is_empty() => output::line("no schedules"),
        Output::Table => {
            let header =
                ["name", "definition", "cron", "zone", "next", "last", "started", "skipped", "failed", "error"];
            output::table(&header, page.items.into_iter().map(row).collect());
            if let Some(next) = page.next {
                output::line(format!("more: --cursor {next}"));
            }
        }
    }
    Ok(())
}

fn row(view: ScheduleView) -> Vec<String> {
    let next = match (view.paused_at, view.next_at) {
        (Some(_), _) => "paused".into(),
        (None, next_at) => next_at.map(output::moment).unwrap_or_default(),
    };
    let last = view.last_tick_at.map(output::moment).unwrap_or_default();
    let counts = [view.started, view.skipped, view.failed].map(|count| count.to_string());
    let [started, skipped, failed] = counts;
    let ScheduleRequest { definition, cron, zone, .. } = view.said;
    let error = view.last_error.unwrap_or_default();
    vec![view.name, definition, cron, zone, next, last, started, skipped, failed, error]
}

async fn next(app: &App, name: &str, count: usize, output: Output) -> Result<()> {
    let upcoming = schedule::upcoming(app, name, count).await?;
    match output {
        Output::Json => output::json(&json!({ "items": upcoming })),
        Output::Table => {
            let rows = upcoming.into_iter().map(|tick| vec![output::moment(tick.at), tick.local]);
            output::table(&["at", "local time"], rows.collect());
            Ok(())
        }
    }
}

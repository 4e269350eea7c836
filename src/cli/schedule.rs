//! `leveret schedule create|update|list|show|next|pause|resume|run|delete`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{self, Output};
use crate::app::App;
use crate::contract;
use crate::contract::schedule::{Missed, Overlap, ScheduleRequest, ScheduleView};
use crate::step::schedule::{self, Expect};
use crate::store::schedules;
use crate::time::duration;

/// Rows of a list, at most.
const LIST_MAX: i64 = 1_000;
/// Moments that are shown with a schedule.
const NEXT: usize = 10;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Make a schedule.
    Create {
        /// Its name.
        name: String,
        /// The definition that is started.
        definition: String,
        /// When: minute, hour, day of the month, month, day of the week, as in "0 9 * * 1-5".
        #[arg(long)]
        cron: String,
        #[command(flatten)]
        parts: Parts,
    },
    /// Change parts of a schedule.
    Update {
        /// Its name.
        name: String,
        /// Another definition.
        #[arg(long)]
        definition: Option<String>,
        /// Another cron expression.
        #[arg(long)]
        cron: Option<String>,
        #[command(flatten)]
        parts: Parts,
    },
    /// List schedules by name.
    List,
    /// Show one schedule, and the next ten times it comes.
    Show {
        /// Its name.
        name: String,
    },
    /// Show the next times a schedule comes.
    Next {
        /// Its name.
        name: String,
        /// How many.
        #[arg(long, default_value_t = NEXT, value_parser = count)]
        count: usize,
    },
    /// Stop it from coming.
    Pause {
        /// Its name.
        name: String,
    },
    /// Let it come again; what came due meanwhile is not made up for.
    Resume {
        /// Its name.
        name: String,
    },
    /// Start an instance now, also of a paused schedule.
    Run {
        /// Its name.
        name: String,
    },
    /// Remove it; what it has started goes on.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Args)]
pub(super) struct Parts {
    /// The time zone whose clock counts, as in Europe/Berlin; UTC if nothing is said.
    #[arg(long)]
    zone: Option<String>,
    /// The input as JSON; texts in it are templates, which see now, scheduled_at, schedule, zone and env.
    #[arg(long)]
    input: Option<String>,
    /// Always this version of the definition instead of the newest active one.
    #[arg(long)]
    version: Option<i32>,
    /// While the instance of an earlier tick lives: skip, allow, queue or cancel; skip if nothing is said.
    #[arg(long, value_parser = overlap)]
    overlap: Option<Overlap>,
    /// How old a missed tick may be to be started still; 1h if nothing is said.
    #[arg(long, value_parser = duration::parse)]
    catch_up: Option<Duration>,
    /// Which missed ticks are started: newest or all; newest if nothing is said.
    #[arg(long, value_parser = missed)]
    missed: Option<Missed>,
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| (1..=1_000).contains(count)).ok_or_else(|| "a number from 1 to 1000".into())
}

fn overlap(text: &str) -> Result<Overlap, String> {
    Overlap::parse(text).ok_or_else(|| format!("there are {}", Overlap::ALL.map(Overlap::name).join(", ")))
}

fn missed(text: &str) -> Result<Missed, String> {
    Missed::parse(text).ok_or_else(|| format!("there are {}", Missed::ALL.map(Missed::name).join(", ")))
}

impl Parts {
    fn put_into(self, said: &mut ScheduleRequest) -> Result<()> {
        if let Some(text) = self.input {
            let input: Value = serde_json::from_str(&text).context("--input is not JSON")?;
            contract::refuse_unfit(&input).map_err(anyhow::Error::msg)?;
            said.input = input;
        }
        said.version = self.version.or(said.version);
        said.zone = self.zone.unwrap_or_else(|| said.zone.clone());
        said.overlap = self.overlap.unwrap_or(said.overlap);
        said.catch_up = self.catch_up.unwrap_or(said.catch_up);
        said.missed = self.missed.unwrap_or(said.missed);
        Ok(())
    }
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Create { name, definition, cron, parts } => {
            let mut said: ScheduleRequest = serde_json::from_value(json!({ "definition": definition, "cron": cron }))?;
            parts.put_into(&mut said)?;
            put(app, &name, said, (Expect::New, "made"), output).await?;
        }
        Verb::Update { name, definition, cron, parts } => {
            let ScheduleView { mut said, revision, .. } = schedule::get(app, &name).await?;
            said.definition = definition.unwrap_or(said.definition);
            said.cron = cron.unwrap_or(said.cron);
            parts.put_into(&mut said)?;
            put(app, &name, said, (Expect::Revision(revision), "changed"), output).await?;
        }
        Verb::List => list(app, output).await?,
        Verb::Show { name } => {
            let mut shown = serde_json::to_value(schedule::get(app, &name).await?)?;
            shown["next"] = serde_json::to_value(schedule::upcoming(app, &name, NEXT).await?)?;
            output::json(&shown)?;
        }
        Verb::Next { name, count } => next(app, &name, count, output).await?,
        Verb::Pause { name } => say(&schedule::pause(app, &name).await?, "paused", output)?,
        Verb::Resume { name } => say(&schedule::resume(app, &name).await?, "goes on", output)?,
        Verb::Run { name } => {
            let instance = schedule::run_now(app, &name, &app.new_id().to_string()).await?;
            match output {
                Output::Json => output::json(&json!({ "id": instance }))?,
                Output::Table => output::line(instance.to_string()),
            }
        }
        Verb::Delete { name } => {
            schedule::delete(app, &name).await?;
            match output {
                Output::Json => output::json(&json!({ "name": name, "deleted": true }))?,
                Output::Table => output::line(format!("{name} deleted")),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(
    app: &App,
    name: &str,
    said: ScheduleRequest,
    (expect, done): (Expect, &str),
    output: Output,
) -> Result<()> {
    let (view, _) = schedule::put(app, name, said, expect).await?;
    say(&view, done, output)
}

fn say(view: &ScheduleView, done: &str, output: Output) -> Result<()> {
    match output {
        Output::Json => output::json(view),
        Output::Table => {
            let next = match (view.paused_at, view.next_at) {
                (None, Some(at)) => format!("; it comes next at {}", output::moment(at)),
                (Some(_), _) | (None, None) => String::new(),
            };
            output::line(format!("{} {done}{next}", view.name));
            Ok(())
        }
    }
}

async fn list(app: &App, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let found = schedules::list(&mut conn, None, LIST_MAX).await?;
    match output {
        Output::Json => output::json(&json!({ "items": found }))?,
        Output::Table if found.is_empty() => output::line("no schedules"),
        Output::Table => {
            let header =
                ["name", "definition", "cron", "zone", "next", "last", "started", "skipped", "failed", "error"];
            output::table(&header, found.into_iter().map(row).collect());
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
            output::table(&["at", "by the zone's clock"], rows.collect());
            Ok(())
        }
    }
}

//! `leveret bulk preview|start|list|show|items|pause|resume|abort`

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::control::values;
use super::instance::{actor, origin};
use super::output::{self, Output};
use crate::app::App;
use crate::command::bulk as jobs;
use crate::contract::LIST;
use crate::contract::api::Page;
use crate::contract::bulk::{BulkItemView, BulkPreview, BulkRequest, BulkView, ITEMS_MAX, PACE, PACE_MAX};
use crate::store::bulk::{self, Change};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Count what a filter matches, and show the newest; nothing is started.
    Preview(Asked),
    /// Start a job: the operation on every instance that the filter matches, worked off by the role bulk.
    Start(Asked),
    /// List jobs, newest first.
    List {
        /// Continue after the previous page: its `next`.
        #[arg(long)]
        cursor: Option<Uuid>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Show one job with its progress.
    Show {
        /// The id of the job.
        id: Uuid,
    },
    /// List the instances of a job with their outcomes.
    Items {
        /// The id of the job.
        id: Uuid,
        /// Only those with this state: open, done, refused, failed.
        #[arg(long)]
        state: Option<String>,
        /// Continue after the previous page: its `next`.
        #[arg(long)]
        cursor: Option<Uuid>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Pause a job; what is claimed is finished.
    Pause {
        /// The id of the job.
        id: Uuid,
    },
    /// Resume a paused job.
    Resume {
        /// The id of the job.
        id: Uuid,
    },
    /// End a job; what is not worked off stays as it is.
    Abort {
        /// The id of the job.
        id: Uuid,
    },
}

#[derive(Args)]
pub(super) struct Asked {
    /// cancel, terminate, retry, suspend, resume, skip, jump, variables.set, rerun, queue.set, priority.set or incident.resolve.
    operation: String,
    /// What is meant: definition:order status:suspended code:handler.busy started<1d
    #[arg(long)]
    filter: String,
    /// The activity of a skip, jump or rerun.
    #[arg(long)]
    activity: Option<String>,
    /// The result of a skip, as JSON.
    #[arg(long)]
    result: Option<String>,
    /// A variable with its new value as JSON; may be repeated.
    #[arg(long, value_name = "NAME=JSON")]
    set: Vec<String>,
    /// The queue of a queue.set.
    #[arg(long)]
    queue: Option<String>,
    /// The priority of a priority.set.
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i16>,
    /// How an incident.resolve does it: retry (with --set), fail or cancel.
    #[arg(long)]
    action: Option<String>,
    /// The reason, stored in the history of each instance.
    #[arg(long, visible_alias = "note")]
    reason: Option<String>,
    /// The person who acts, stored in the history.
    #[arg(long = "as", value_name = "USER", value_parser = output::named)]
    actor: Option<String>,
    /// Items per second, of all processes together.
    #[arg(long, default_value_t = PACE, value_parser = clap::value_parser!(u32).range(1..=i64::from(PACE_MAX)))]
    pace: u32,
    /// The most items.
    #[arg(long = "max", default_value_t = ITEMS_MAX, value_parser = clap::value_parser!(u32).range(1..=i64::from(ITEMS_MAX)))]
    items_max: u32,
}

impl Asked {
    fn request(self) -> Result<BulkRequest> {
        let mut arguments = Map::new();
        arguments.extend(self.activity.map(|activity| ("activity".to_owned(), json!(activity))));
        arguments.extend(self.queue.map(|queue| ("queue".to_owned(), json!(queue))));
        arguments.extend(self.action.map(|action| ("action".to_owned(), json!(action))));
        arguments.extend(self.priority.map(|priority| ("priority".to_owned(), json!(priority))));
        if let Some(result) = &self.result {
            arguments.insert("result".into(), output::value("--result", result)?);
        }
        if !self.set.is_empty() {
            arguments.insert("variables".into(), Value::Object(values(&self.set)?));
        }
        Ok(BulkRequest {
            operation: self.operation,
            arguments: if arguments.is_empty() { Value::Null } else { Value::Object(arguments) },
            filter: self.filter,
            reason: self.reason,
            actor: self.actor,
            pace: Some(self.pace),
            items_max: Some(self.items_max),
            dry_run: false,
        })
    }
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Preview(asked) => previewed(&jobs::preview(app, &asked.request()?).await?, output)?,
        Verb::Start(asked) => shown(&jobs::start(app, &asked.request()?, &origin(app)).await?, output)?,
        Verb::List { cursor, limit } => {
            let mut conn = app.store.background().await?;
            let items = bulk::list(&mut conn, cursor, limit).await?;
            listed(&Page::of(items, limit, |last| last.id.to_string(), |item| item), output)?;
        }
        Verb::Show { id } => shown(&jobs::get(app, id).await?, output)?,
        Verb::Items { id, state, cursor, limit } => {
            jobs::get(app, id).await?;
            let mut conn = app.store.background().await?;
            let items = bulk::list_items(&mut conn, id, state.as_deref(), cursor, limit).await?;
            items_listed(&Page::of(items, limit, |last| last.instance.to_string(), |item| item), output)?;
        }
        Verb::Pause { id } => shown(&jobs::change(app, id, Change::Pause, &actor(app)).await?, output)?,
        Verb::Resume { id } => shown(&jobs::change(app, id, Change::Resume, &actor(app)).await?, output)?,
        Verb::Abort { id } => shown(&jobs::change(app, id, Change::Abort, &actor(app)).await?, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn previewed(preview: &BulkPreview, output: Output) -> Result<()> {
    match output {
        Output::Json => output::json(preview),
        Output::Table => {
            let rows = preview.sample.iter().map(|one| {
                let at = if one.at.is_empty() { "–".into() } else { one.at.join(", ") };
                let key = one.key.clone().unwrap_or_default();
                vec![one.id.to_string(), one.definition.clone(), key, one.status.clone(), at]
            });
            output::table(&["id", "definition", "key", "status", "activity"], rows.collect());
            let more = if preview.more { "more than " } else { "" };
            output::line(format!("{} would be sent to {more}{} instances", preview.operation, preview.count));
            Ok(())
        }
    }
}

fn shown(job: &BulkView, output: Output) -> Result<()> {
    match output {
        Output::Json => output::json(job),
        Output::Table => {
            let mut rows = vec![
                vec!["id".into(), job.id.to_string()],
                vec!["operation".into(), job.operation.clone()],
                vec!["filter".into(), job.filter.clone()],
                vec!["state".into(), job.state.clone()],
                vec!["pace".into(), format!("{} per second", job.pace)],
                vec!["items".into(), job.collected.to_string()],
                vec!["done".into(), job.done.to_string()],
                vec!["refused".into(), job.refused.to_string()],
                vec!["failed".into(), job.failed.to_string()],
                vec!["open".into(), job.open.to_string()],
                vec!["started".into(), output::moment(job.created_at)],
            ];
            let arguments = Some(job.arguments.to_string()).filter(|_| !job.arguments.is_null());
            let more = [
                ("arguments", arguments),
                ("by", job.actor.clone()),
                ("reason", job.reason.clone()),
                ("ended", job.ended_at.map(output::moment)),
                ("more", job.more.then(|| "the filter matched more: start another job for the rest".to_owned())),
            ];
            rows.extend(more.into_iter().filter_map(|(name, text)| Some(vec![name.to_owned(), text?])));
            output::table(&["", ""], rows);
            Ok(())
        }
    }
}

fn listed(page: &Page<BulkView>, output: Output) -> Result<()> {
    match output {
        Output::Json => return output::json(page),
        Output::Table if page.items.is_empty() => output::line("no bulk jobs"),
        Output::Table => {
            let rows = page.items.iter().map(|job| {
                let progress = format!("{} of {}", job.collected - job.open, job.collected);
                vec![job.id.to_string(), job.operation.clone(), job.filter.clone(), job.state.clone(), progress]
            });
            output::table(&["id", "operation", "filter", "state", "worked off"], rows.collect());
        }
    }
    Ok(())
}

fn items_listed(page: &Page<BulkItemView>, output: Output) -> Result<()> {
    match output {
        Output::Json => return output::json(page),
        Output::Table if page.items.is_empty() => output::line("no items"),
        Output::Table => {
            let rows = page.items.iter().map(|item| {
                let detail = item.detail.clone().unwrap_or_default();
                vec![item.instance.to_string(), item.state.clone(), detail]
            });
            output::table(&["instance", "state", "detail"], rows.collect());
            page.next.iter().for_each(|next| output::line(format!("the next page: --cursor {next}")));
        }
    }
    Ok(())
}

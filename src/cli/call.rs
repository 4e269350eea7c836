//! `leveret call list|show|resolve`

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::instance::origin;
use super::output::{self, Output};
use crate::app::App;
use crate::command;
use crate::contract::api::{CallSummary, CallView};
use crate::contract::{CallError, LIST};
use crate::engine::{CallId, CallOutcome, Resolution};
use crate::store::calls::{self, Filter, STATES};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List calls, newest first.
    List {
        /// Only calls in this state: open, pending, running, waiting, reported, unknown, succeeded, failed, cancelled.
        #[arg(long)]
        state: Option<String>,
        /// Only calls of this definition.
        #[arg(long)]
        definition: Option<String>,
        /// Only calls of this instance.
        #[arg(long)]
        instance: Option<Uuid>,
        /// Only calls to this target, such as https://shop.example:443 or work:pack.
        #[arg(long)]
        target: Option<String>,
        /// Continue after the previous page: its `next`.
        #[arg(long)]
        cursor: Option<String>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Show one call: request, attempts, outcome.
    Show {
        /// The id of the call.
        id: Uuid,
    },
    /// Record the outcome of an unknown call, or retry it with the same idempotency key.
    Resolve(Resolve),
}

#[derive(Args)]
pub(super) struct Resolve {
    /// The id of the call.
    id: Uuid,
    /// The outcome: succeeded, failed or retry.
    #[arg(long = "as", value_parser = ["succeeded", "failed", "retry"])]
    outcome: String,
    /// The result of a success, as JSON.
    #[arg(long, default_value = "null")]
    result: String,
    /// The code of a failure; the error is `worker.<code>`.
    #[arg(long)]
    code: Option<String>,
    /// The message of a failure.
    #[arg(long, default_value = "")]
    message: String,
    /// The reason, stored in the history.
    #[arg(long)]
    reason: Option<String>,
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::List { state, definition, instance, target, cursor, limit } => {
            let before = cursor
                .map(|cursor| Filter::place(&cursor).context("--cursor must be the `next` of an earlier page"))
                .transpose()?;
            if let Some(state) = state.as_deref().filter(|state| *state != "open" && !STATES.contains(state)) {
                bail!("`{state}` is not a call state: use open, {}", STATES.join(", "));
            }
            list(app, Filter { state, definition, instance, target, before, limit }, output).await?;
        }
        Verb::Show { id } => show(app, CallId(id), output).await?,
        Verb::Resolve(what) => resolve(app, what, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(app: &App, filter: Filter, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let page = calls::page(&mut conn, &filter).await?;
    match output {
        Output::Json => return output::json(&page),
        Output::Table if page.items.is_empty() => output::line("no calls"),
        Output::Table => {
            let header = ["id", "definition", "activity", "target", "state", "attempt", "opened"];
            output::table(&header, page.items.iter().map(line).collect());
            if let Some(next) = page.next {
                output::line(format!("more: --cursor {next}"));
            }
        }
    }
    Ok(())
}

fn line(call: &CallSummary) -> Vec<String> {
    let key = call.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
    let code = call.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    vec![
        call.id.to_string(),
        format!("{}{key}", call.definition),
        call.activity.clone(),
        call.target.clone(),
        format!("{}{code}", call.state),
        call.attempt.to_string(),
        output::moment(call.opened_at),
    ]
}

async fn show(app: &App, id: CallId, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let view = calls::view(&mut conn, id).await?.with_context(|| format!("there is no call {id}"))?;
    match output {
        Output::Json => output::json(&view),
        Output::Table => {
            lines(&view).into_iter().for_each(output::line);
            Ok(())
        }
    }
}

fn lines(view: &CallView) -> Vec<String> {
    let CallSummary { id, instance, activity, kind, target, state, attempt, opened_at, .. } = &view.summary;
    let mut lines = vec![
        format!("call {id} ({kind} to {target})"),
        format!("{state}, attempt {attempt}, opened {}", output::moment(*opened_at)),
        format!("activity {activity} of instance {instance}"),
    ];
    lines.extend(view.summary.begun_at.map(|at| format!("attempt started {}", output::moment(at))));
    lines.extend(view.summary.due_at.map(|at| format!("next check {}", output::moment(at))));
    lines.extend(view.summary.ended_at.map(|at| format!("ended {}", output::moment(at))));
    let parts = [
        ("error", &view.error),
        ("result", &view.result),
        ("reported", &view.outcome),
        ("late", &view.late),
        ("progress", &view.progress),
    ];
    lines.push(format!("request: {}", view.request));
    lines.extend(parts.iter().filter_map(|(name, part)| part.as_ref().map(|part| format!("{name}: {part}"))));
    if state == "unknown" {
        lines.push(format!("find out its outcome, then run: leveret call resolve {id} --as succeeded|failed|retry"));
    }
    lines
}

async fn resolve(app: &App, what: Resolve, output: Output) -> Result<()> {
    let resolution = match what.outcome.as_str() {
        "succeeded" => Resolution::Done { result: output::value("--result", &what.result)? },
        "failed" => {
            let code = what.code.context("--code is missing: name the code of the failure, such as declined")?;
            let error = CallError { code, message: what.message, data: serde_json::Value::Null };
            match command::calls::outcome(serde_json::Value::Null, Some(error)).map_err(anyhow::Error::msg)? {
                CallOutcome::Failed { failure } => Resolution::Failed { failure },
                CallOutcome::Answered { .. } | CallOutcome::Done { .. } | CallOutcome::Unknown { .. } => {
                    bail!("the error did not become a failure")
                }
            }
        }
        _ => Resolution::Again,
    };
    let id = CallId(what.id);
    command::calls::resolve(app, id, resolution, what.reason, &origin(app)).await?;
    show(app, id, output).await
}

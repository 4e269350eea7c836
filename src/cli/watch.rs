//! Prints the history of an instance, whole or as it is committed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use super::output::{self, Output};
use crate::app::App;
use crate::contract::api::{HistoryView, InstanceView};
use crate::engine::InstanceId;
use crate::store::{calls, views};

/// Rows read at once.
const PAGE: i64 = 500;
/// The pause between two polls.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// Longer details are cut in the output for people, in characters.
const DETAILS_MAX: usize = 120;

/// Prints the whole history.
pub(super) async fn history(app: &App, id: InstanceId, output: Output) -> Result<()> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |last: &HistoryView| last.number);
        let mut conn = app.store.background().await?;
        let page = views::history(&mut conn, id, after, PAGE).await?;
        let full = page.len() as i64 == PAGE;
        all.extend(page);
        if !full {
            break;
        }
    }
    if all.is_empty() {
        bail!("there is no instance {id}");
    }
    match output {
        Output::Json => output::json(&all)?,
        Output::Table => all.iter().for_each(|entry| output::line(describe(entry))),
    }
    Ok(())
}

/// Prints history rows as they are committed, until the instance ends or is suspended. Exit code 1 unless it completed.
pub(super) async fn follow(app: &App, id: InstanceId, output: Output) -> Result<ExitCode> {
    let mut after = 0;
    loop {
        // Read the status first: the history read afterwards contains everything up to it.
        let mut conn = app.store.background().await?;
        let Some(view) = views::instance(&mut conn, id).await? else { bail!("there is no instance {id}") };
        let rows = views::history(&mut conn, id, after, PAGE).await?;
        drop(conn);
        let full = rows.len() as i64 == PAGE;
        for entry in rows {
            after = entry.number;
            match output {
                Output::Json => output::json_line(&entry)?,
                Output::Table => output::line(describe(&entry)),
            }
        }
        if full {
            continue;
        }
        if view.summary.ended_at.is_some() {
            let completed = view.summary.status == "completed";
            return Ok(if completed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if view.summary.status == "suspended" {
            let filter =
                calls::Filter { instance: Some(id.0), state: Some("unknown".into()), limit: 1, ..Default::default() };
            let unknown = calls::page(&mut *app.store.background().await?, &filter).await?;
            let next_step =
                unknown.items.first().map_or_else(|| suspended(&view), |call| unknown_call(&call.id.to_string()));
            output::progress(&next_step);
            return Ok(ExitCode::FAILURE);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// The next step for a call whose outcome is unknown: a blind retry may repeat it.
fn unknown_call(call: &str) -> String {
    format!(
        "the outcome of call {call} is unknown: find it out (`leveret call show {call}`), then record it with \
         `leveret call resolve {call} --as succeeded|failed|retry`"
    )
}

/// The next step for a suspended instance.
fn suspended(view: &InstanceView) -> String {
    let id = view.summary.id;
    let by_command = view.waits.iter().any(|wait| wait.kind == "intervention" && wait.failure.is_none());
    match by_command {
        true => format!("{id} was suspended by a command: `leveret instance resume {id}` continues it"),
        false => {
            format!(
                "{id} is suspended after a failure: `leveret instance retry {id}` retries, `leveret instance cancel {id}` cancels it"
            )
        }
    }
}

/// One history row as a line.
pub(super) fn describe(entry: &HistoryView) -> String {
    let mut details = if entry.details.is_null() { String::new() } else { entry.details.to_string() };
    if let Some((cut, _)) = details.char_indices().nth(DETAILS_MAX) {
        details.truncate(cut);
        details.push('…');
    }
    let activity = entry.activity.as_deref().unwrap_or("");
    format!("{}  {:>4}  {:<22} {:<16} {details}", output::moment(entry.at), entry.number, entry.kind, activity)
        .trim_end()
        .to_owned()
}

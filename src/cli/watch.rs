//! What happened to an instance, all at once or as it happens.

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
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Details longer than this are cut in a line for people.
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

/// Prints history rows as they are committed, until the instance has ended or is suspended. The exit code is 1 if it did not complete.
pub(super) async fn follow(app: &App, id: InstanceId, output: Output) -> Result<ExitCode> {
    let mut after = 0;
    loop {
        // The status first: what is read afterwards holds everything up to it.
        let mut conn = app.store.background().await?;
        let Some(view) = views::instance(&mut conn, id).await? else { bail!("there is no instance {id}") };
        let rows = views::history(&mut conn, id, after, PAGE).await?;
        drop(conn);
        let full = rows.len() as i64 == PAGE;
        for entry in rows {
            after = entry.number;
            match output {
                Output::Json => output::line(serde_json::to_string(&entry)?),
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
            let says =
                unknown.items.first().map_or_else(|| suspended(&view), |call| unknown_call(&call.id.to_string()));
            output::progress(&says);
            return Ok(ExitCode::FAILURE);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What to do about a call of which nobody knows whether it was carried out: to try again blindly may be to do it twice.
fn unknown_call(call: &str) -> String {
    format!(
        "what became of call {call} is unknown: find out (`leveret call show {call}`), then tell it with \
         `leveret call resolve {call} --as succeeded|failed|retry`"
    )
}

/// What to do about an instance that will not move by itself.
fn suspended(view: &InstanceView) -> String {
    let id = view.summary.id;
    let by_hand = view.waits.iter().any(|wait| wait.kind == "intervention" && wait.failure.is_none());
    match by_hand {
        true => format!("{id} is suspended by hand: `leveret instance resume {id}` lets it go on"),
        false => {
            format!("{id} is suspended by a failure: `leveret instance retry {id}` tries again, `cancel` calls it off")
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

//! Prints tasks.

use anyhow::{Result, bail};
use serde_json::Value;

use super::super::output::{self, Output};
use crate::app::App;
use crate::contract::api::{TaskSummary, TaskView};
use crate::engine::TaskId;
use crate::store::tasks::{self, Filter};

pub(super) async fn list(app: &App, filter: Filter, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let page = tasks::page(&mut conn, &filter).await?;
    match output {
        Output::Json => output::json(&page),
        Output::Table => {
            output::table(
                &["id", "task", "definition", "priority", "due", "user"],
                page.items.iter().map(line).collect(),
            );
            if let Some(next) = page.next {
                output::line(format!("more: --cursor {next}"));
            }
            Ok(())
        }
    }
}

fn line(task: &TaskSummary) -> Vec<String> {
    let user = match (&task.completed_by, &task.claimed_by, &task.assignee) {
        (Some(by), _, _) => format!("{} by {by}", task.state),
        (None, Some(by), _) => format!("claimed by {by}"),
        (None, None, Some(assignee)) => assignee.clone(),
        (None, None, None) => "–".into(),
    };
    let key = task.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
    vec![
        task.id.to_string(),
        task.title.clone(),
        format!("{}{key}", task.definition),
        task.priority.to_string(),
        task.due_at.map(output::moment).unwrap_or_default(),
        user,
    ]
}

pub(super) async fn count(app: &App, filter: &Filter, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let total = tasks::count(&mut conn, filter).await?;
    match output {
        Output::Json => output::json(&total),
        Output::Table => {
            output::line(format!("{}{}", total.count, if total.more { " or more" } else { "" }));
            Ok(())
        }
    }
}

pub(super) async fn show(app: &App, id: TaskId, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let Some(view) = tasks::view(&mut conn, id).await? else { bail!("there is no task {id}") };
    match output {
        Output::Json => output::json(&view),
        Output::Table => {
            describe(&view);
            Ok(())
        }
    }
}

fn describe(view: &TaskView) {
    let TaskSummary { id, title, state, definition, activity, priority, revision, .. } = &view.summary;
    let listed = |names: &[String]| Some(names.join(", ")).filter(|names| !names.is_empty());
    let known = |value: &Value| (!value.is_null()).then(|| value.to_string());
    let decisions = view.decisions.as_array().map(|decisions| {
        let word = |decision: &Value| format!("{} ({})", text(&decision["name"]), text(&decision["label"]));
        decisions.iter().map(word).collect::<Vec<_>>()
    });
    let rows = [
        ("id", Some(id.to_string())),
        ("task", Some(title.clone())),
        ("state", Some(state.clone())),
        ("activity", Some(format!("{activity} of {definition}, instance {}", view.summary.instance))),
        ("priority", Some(priority.to_string())),
        ("revision", Some(revision.to_string())),
        ("description", view.description.clone()),
        ("data", known(&view.data)),
        ("users", listed(&view.users)),
        ("groups", listed(&view.groups)),
        ("excluded", listed(&view.excluded)),
        ("assignee", view.summary.assignee.clone()),
        ("claimed by", view.summary.claimed_by.clone()),
        ("until", view.summary.lease_until.map(output::moment)),
        ("due", view.summary.due_at.map(output::moment)),
        ("decisions", decisions.and_then(|decisions| listed(&decisions))),
        ("form", view.form.as_ref().and_then(known)),
        ("draft", view.draft.as_ref().and_then(known)),
        ("votes", view.votes.as_ref().and_then(known)),
        ("ballots", view.ballots.as_ref().and_then(known)),
        ("completed by", view.summary.completed_by.clone()),
        ("result", view.result.as_ref().and_then(known)),
    ];
    let rows = rows.into_iter().filter_map(|(name, text)| Some(vec![name.to_owned(), text?]));
    output::table(&["", ""], rows.collect());
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

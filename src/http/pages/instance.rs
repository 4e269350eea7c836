//! One instance: where it is, what it waits for, where its time went, what happened, its values, calls and relatives.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;
use uuid::Uuid;

use super::fault::Fault;
use super::instances::{self, Boxes};
use super::path::Path;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{graph, live, offers, timeline, timeline_view, ui};
use crate::contract::LIST_MAX;
use crate::contract::api::{CallSummary, HistoryView, InstanceSummary, InstanceView, WaitView};
use crate::definition::Definition;
use crate::engine::InstanceId;
use crate::http::ApiState;
use crate::http::problem::Problem;
use crate::store::{self, Connection, calls, instances as rows, views};

/// Calls that are shown.
const CALLS_MAX: i64 = 50;
/// Instances with the same key that are shown.
const RELATED_MAX: i64 = 10;

/// Everything the page shows.
struct Seen {
    view: InstanceView,
    history: Vec<HistoryView>,
    calls: Vec<CallSummary>,
    related: Vec<InstanceSummary>,
    definition: Option<Arc<Definition>>,
    /// None if the document of its version cannot be read.
    graph: Option<Markup>,
    now: Timestamp,
}

pub(super) async fn show(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
) -> Result<Response, Fault> {
    let mut conn = api.app.store.background().await?;
    let view = views::instance(&mut conn, InstanceId(id)).await?;
    let view = view.ok_or_else(|| Problem::not_found(format!("there is no instance {id}")))?;
    let history = views::history(&mut conn, InstanceId(id), 0, LIST_MAX).await?;
    let filter = calls::Filter { instance: Some(id), limit: CALLS_MAX, ..Default::default() };
    let calls = calls::page(&mut conn, &filter).await?.items;
    let related = related(&mut conn, &view).await?;
    drop(conn);
    // A page of an instance whose document cannot be read any more still shows everything else.
    let definition = api.app.definition(&view.summary.definition, view.summary.version).await.ok();
    let title = view.summary.key.clone().unwrap_or_else(|| format!("Instance {}", ui::short(id)));
    let graph = match &definition {
        Some(definition) => Some(graph::of_instance(&api.app, definition, &view.summary, &history).await),
        None => None,
    };
    let seen = Seen { view, history, calls, related, definition, graph, now: api.app.clock.now() };
    let body = ui::region("instance", &visitor.address, &page(&seen));
    Ok(shell::render(&visitor, Page { title: &title, place: Place::Instances, live: live::instance(id), body }))
}

/// Others with the same business key.
async fn related(conn: &mut Connection, view: &InstanceView) -> Result<Vec<InstanceSummary>, store::Error> {
    if view.summary.key.is_none() {
        return Ok(Vec::new());
    }
    let filter = rows::Filter { key: view.summary.key.clone(), limit: RELATED_MAX + 1, ..rows::Filter::default() };
    let mut found = views::instances(conn, &filter).await?.items;
    found.retain(|other| other.id != view.summary.id);
    Ok(found)
}

fn page(seen: &Seen) -> Markup {
    html! {
        (summary(seen))
        @if let Some(error) = seen.view.error.as_ref() { (failure(&seen.view, error)) }
        (place(seen))
        (waits(seen))
        (time_spent(seen))
        (history(seen))
        div.cards {
            (value("Variables", &seen.view.variables)) (value("Input", &seen.view.input))
            @if let Some(output) = &seen.view.output { (value("Output", output)) }
        }
        @if !seen.calls.is_empty() { (calls_made(seen)) }
        (relatives(seen))
    }
}

fn summary(seen: &Seen) -> Markup {
    let InstanceView { summary, revision, queue, priority, started_by, .. } = &seen.view;
    let end = summary.ended_at.unwrap_or(seen.now);
    html! {
        section.card aria-label="Summary" {
            header { (ui::badge(&summary.status)) (offers::buttons(&seen.view)) }
            dl.facts {
                (ui::fact("Definition", &html! {
                    a href={ "/definitions/" (ui::encoded(&summary.definition)) "/versions/" (summary.version) } { (summary.definition) }
                    span.quiet { " v" (summary.version) }
                }))
                (ui::fact("Started", &ui::when(summary.started_at, seen.now)))
                (ui::fact("By", &html! { (started_by.as_deref().unwrap_or("–")) }))
                (ui::fact(if summary.ended_at.is_some() { "Took" } else { "Since" }, &html! { (ui::span(ui::between(summary.started_at, end))) }))
                (ui::fact("Queue", &html! { (queue) @if *priority != 0 { span.quiet { ", priority " (priority) } } }))
                (ui::fact("Revision", &html! { (revision) }))
                (ui::fact("Id", &html! { code { (summary.id) } }))
            }
        }
    }
}

fn failure(view: &InstanceView, error: &Value) -> Markup {
    let look = if view.summary.status == "failed" { "note is-failed" } else { "note is-suspended" };
    html! {
        section class=(look) aria-label="Failure" {
            p { strong { (error["code"].as_str().unwrap_or("suspended")) } }
            p { (ui::cell(error["message"].as_str().unwrap_or(""))) }
            @if let Some(attempt) = error["attempt"].as_u64() { p.quiet { "at attempt " (attempt) } }
            @if error.get("data").is_some_and(|data| !data.is_null()) {
                details #failure-data { summary { "Data" } (ui::json(&error["data"])) }
            }
        }
    }
}

fn waits(seen: &Seen) -> Markup {
    html! {
        section.card {
            header { h2 { "Waits for" } }
            @if seen.view.waits.is_empty() {
                p.quiet { @if seen.view.summary.ended_at.is_some() { "Nothing: it has ended." } @else { "Nothing: its next step is in the queue." } }
            } @else {
                ul.stack-wide { @for wait in &seen.view.waits { li { (one_wait(wait, seen.now)) } } }
            }
        }
    }
}

fn one_wait(wait: &WaitView, now: Timestamp) -> Markup {
    html! {
        @match wait.kind.as_str() {
            "message" => { "the message " code { (wait.name.as_deref().unwrap_or("")) } " with the key " code { (wait.key.as_deref().unwrap_or("")) } },
            "timer" => { "a timer " (ui::when_some(wait.due_at, now)) },
            "task" => { @if let Some(task) = wait.task { a href={ "/tasks/" (task) } { "a person: open the task" } } @else { "a person" } },
            "call" => { "a call" },
            _ => { "a decision of an operator" @if let Some(note) = &wait.note { ": " (ui::cell(note)) } },
        }
        @if let Some(activity) = &wait.activity { span.quiet { " · " (activity) } }
    }
}

fn place(seen: &Seen) -> Markup {
    html! {
        section.card {
            header { h2 { "Where it is" } }
            @match &seen.graph {
                Some(graph) => (graph),
                None => p.quiet { "The document of this version cannot be read by this program." }
            }
        }
    }
}

fn time_spent(seen: &Seen) -> Markup {
    let kind = |activity: &str| {
        let definition = seen.definition.as_ref()?;
        definition.activity(activity).map(|activity| activity.work.kind())
    };
    let end = seen.view.summary.ended_at.unwrap_or(seen.now);
    let spans = timeline::spans(&seen.history, &seen.calls, kind, end);
    html! {
        section.card {
            header { h2 { "Where its time went" } }
            (timeline_view::drawn(&spans))
        }
    }
}

fn history(seen: &Seen) -> Markup {
    let full = i64::try_from(seen.history.len()).is_ok_and(|count| count >= LIST_MAX);
    html! {
        section.card {
            header { h2 { "History" } @if full { p.quiet { "the first " (LIST_MAX) " entries" } } }
            div.scroll tabindex="0" role="region" aria-label="History" {
                table {
                    thead { tr { th.number scope="col" { "#" } th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Activity" } th scope="col" { "Details" } } }
                    tbody { @for entry in &seen.history { (history_row(entry, seen.now)) } }
                }
            }
        }
    }
}

fn history_row(entry: &HistoryView, now: Timestamp) -> Markup {
    html! {
        tr {
            td.number { (entry.number) }
            td.nowrap { (ui::when(entry.at, now)) }
            td.nowrap { (entry.kind) }
            td { (entry.activity.as_deref().unwrap_or("")) }
            td.wide {
                @if !entry.details.is_null() {
                    details id={ "h-" (entry.number) } { summary { (ui::cell(&brief(&entry.details))) } (ui::json(&entry.details)) }
                }
            }
        }
    }
}

/// What tells most of the details in one line.
fn brief(details: &Value) -> String {
    let known = ["message", "reason", "code", "by", "name", "decision", "due_at", "target", "next"];
    let told: Vec<&str> = known.iter().filter_map(|name| details[*name].as_str()).take(2).collect();
    if told.is_empty() { details.to_string() } else { told.join(" · ") }
}

fn value(title: &str, value: &Value) -> Markup {
    let is_nothing = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    html! {
        section.card {
            header { h2 { (title) } }
            @if is_nothing { p.quiet { "none" } } @else { (ui::json(value)) }
        }
    }
}

fn calls_made(seen: &Seen) -> Markup {
    html! {
        section.card {
            header { h2 { "Calls" } }
            div.scroll tabindex="0" role="region" aria-label="Calls" {
                table {
                    thead { tr { th scope="col" { "State" } th scope="col" { "Activity" } th scope="col" { "Target" } th.number scope="col" { "Attempt" } th scope="col" { "Opened" } th scope="col" { "Due" } th scope="col" { "Last error" } } }
                    tbody { @for call in &seen.calls { tr {
                        td.nowrap { (ui::badge(&call.state)) }
                        td { (call.activity) }
                        td { code { (ui::cell(&call.target)) } }
                        td.number { (call.attempt) }
                        td.nowrap { (ui::when(call.opened_at, seen.now)) }
                        td.nowrap { (ui::when_some(call.due_at, seen.now)) }
                        td { (call.code.as_deref().unwrap_or("")) }
                    } } }
                }
            }
        }
    }
}

fn relatives(seen: &Seen) -> Markup {
    let before = seen
        .history
        .first()
        .and_then(|first| first.details["rerun_of"].as_str())
        .and_then(|id| id.parse::<Uuid>().ok());
    html! {
        @if before.is_some() || !seen.related.is_empty() {
            section.card {
                header { h2 { "Related" } }
                @if let Some(before) = before { p { "A rerun of " (ui::instance_link(before, None)) } }
                @if !seen.related.is_empty() { p.quiet { "With the same key" } (instances::table(&seen.related, seen.now, Boxes::Hidden)) }
            }
        }
    }
}

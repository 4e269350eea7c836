//! The inbox: what waits for the visitor, for one of their groups, or for anybody.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::fault::Fault;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{ROWS, live, ui};
use crate::contract::api::TaskSummary;
use crate::engine::Person;
use crate::http::ApiState;
use crate::http::problem::Problem;
use crate::store::tasks::{self, After, Filter};

#[derive(Deserialize)]
pub(super) struct Asked {
    /// `mine`, `all`, `done`, or a group of the visitor.
    whose: Option<String>,
    cursor: Option<String>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    visitor: Visitor,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(asked) = asked?;
    let default = if visitor.user.is_empty() { "all" } else { "mine" };
    let whose = asked.whose.as_deref().unwrap_or(default);
    let after = match asked.cursor.as_deref() {
        None => None,
        Some(cursor) => Some(
            After::parse(cursor).ok_or_else(|| Problem::invalid("`cursor` must be the `next` of an earlier page"))?,
        ),
    };
    let filter =
        Filter { person: person(&visitor, whose), closed: whose == "done", after, limit: ROWS, ..Filter::default() };
    let mut conn = api.app.store.background().await?;
    let page = tasks::page(&mut conn, &filter).await?;
    drop(conn);
    let now = api.app.clock.now();
    let first = format!("/tasks?whose={}", ui::encoded(whose));
    let content = html! {
        section.card {
            @if page.items.is_empty() { (nothing(whose)) } @else { (table(&page.items, now)) }
            (ui::pages(&first, asked.cursor.as_deref(), page.next.as_deref()))
        }
    };
    let body = html! { (choices(&visitor, whose)) (ui::region("list", &visitor.address, &content)) };
    Ok(shell::render(&visitor, Page { title: "Tasks", place: Place::Tasks, live: live::lists(), body }))
}

/// For whom the tasks are.
fn person(visitor: &Visitor, whose: &str) -> Person {
    match whose {
        "all" => Person::default(),
        "mine" | "done" => visitor.person(),
        group => Person { user: String::new(), groups: vec![group.to_owned()] },
    }
}

fn choices(visitor: &Visitor, whose: &str) -> Markup {
    let chip = |name: &str, words: &str| {
        let address = format!("/tasks?whose={}", ui::encoded(name));
        html! { a.chip href=(address) aria-current=[(whose == name).then_some("true")] { (words) } }
    };
    html! {
        nav.chips aria-label="Inboxes" {
            @if !visitor.user.is_empty() { (chip("mine", "For me")) }
            @for group in &visitor.groups { (chip(group, &format!("Group {group}"))) }
            (chip("all", "Everybody's")) (chip("done", "Done"))
            @if visitor.user.is_empty() { a.chip href="/who" { "Say who you are to see your inbox" } }
        }
    }
}

fn nothing(whose: &str) -> Markup {
    match whose {
        "mine" => ui::empty("Nothing waits for you. Well done.", None),
        "done" => ui::empty("Nothing has been completed yet.", None),
        _ => ui::empty(
            "No task is open. This example opens one for the group approvers:",
            Some(
                "leveret instance start expense --input '{\"by\": \"ann\", \"amount\": 120, \"purpose\": \"a lamp\"}'",
            ),
        ),
    }
}

/// Tasks as a table.
pub(super) fn table(items: &[TaskSummary], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Tasks" {
            table {
                thead { tr {
                    th scope="col" { "Task" } th scope="col" { "State" } th scope="col" { "Held by" } th.number scope="col" { "Priority" }
                    th scope="col" { "Due" } th scope="col" { "Of" } th scope="col" { "Opened" }
                } }
                tbody { @for item in items { (row(item, now)) } }
            }
        }
    }
}

fn row(item: &TaskSummary, now: Timestamp) -> Markup {
    let is_late = item.state == "open" && item.due_at.is_some_and(|due| due < now);
    html! {
        tr id={ "r-" (item.id) } data-row {
            td.key.wide { a id={ "l-" (item.id) } href={ "/tasks/" (item.id) } { (ui::cell(&item.title)) } @if item.vote { span.quiet { " vote" } } }
            td.nowrap { (ui::badge(if item.claimed_by.is_some() && item.state == "open" { "claimed" } else { item.state.as_str() })) }
            td { (item.claimed_by.as_deref().or(item.assignee.as_deref()).or(item.completed_by.as_deref()).unwrap_or("–")) }
            td.number { (item.priority) }
            td.nowrap { @if is_late { span.badge.is-failed { (super::icons::icon("failed")) span { "late" } } " " } (ui::when_some(item.due_at, now)) }
            td { (ui::instance_link(item.instance, item.key.as_deref())) span.quiet { " " (item.definition) } }
            td.nowrap { (ui::when(item.opened_at, now)) }
        }
    }
}

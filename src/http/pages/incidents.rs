//! Incidents by their cause: what fails, how often, who looks after it, and a retry of all of one cause.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::fault::Fault;
use super::form::Fields;
use super::path::Path;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{ROWS, live, ui};
use crate::command::{self, Author};
use crate::contract::api::{IncidentGroupView, IncidentNoteView, IncidentView};
use crate::http::problem::Problem;
use crate::http::{ApiState, request};
use crate::store::incidents::{self, Filter, GroupChange};
use crate::store::waits::{self, IncidentFilter};
use crate::time::duration;

#[derive(Deserialize)]
pub(super) struct Asked {
    cursor: Option<String>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    visitor: Visitor,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(asked) = asked?;
    let before = asked.cursor.as_deref().map(str::parse).transpose().map_err(Problem::invalid)?;
    let mut conn = api.app.store.background().await?;
    let page = incidents::groups(&mut conn, &Filter { definition: None, before, limit: ROWS }).await?;
    drop(conn);
    let now = api.app.clock.now();
    let content = html! {
        section.card {
            @if page.items.is_empty() {
                (ui::empty("No instance has an incident: everything that failed was caught or retried by its definition. An incident is listed here by its cause, so that a thousand of them are one line.", None))
            } @else { (table(&page.items, now)) }
            (ui::pages("/incidents", asked.cursor.as_deref(), page.next.as_deref()))
        }
    };
    let body = ui::region("list", &visitor.address, &content);
    Ok(shell::render(&visitor, Page { title: "Incidents", place: Place::Incidents, live: live::lists(), body }))
}

fn table(groups: &[IncidentGroupView], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Incidents by cause" {
            table {
                thead { tr {
                    th.number scope="col" { "Open" } th scope="col" { "Cause" } th scope="col" { "Definition" } th scope="col" { "Activity" }
                    th scope="col" { "First" } th scope="col" { "Last" } th scope="col" { "Looks after it" }
                } }
                tbody { @for group in groups { tr id={ "r-" (group.fingerprint) } data-row {
                    td.number { strong { (ui::grouped(group.count)) } }
                    td.key.wide {
                        a id={ "l-" (group.fingerprint) } href={ "/incidents/" (group.fingerprint) } { (group.code) } @if group.muted { " " (ui::badge("muted")) }
                        br; span.quiet { (ui::cell(&group.message)) }
                    }
                    td { (group.definition) span.quiet { " v" (versions(&group.versions)) } }
                    td { (group.activity.as_deref().unwrap_or("–")) }
                    td.nowrap { (ui::when(group.first_at, now)) }
                    td.nowrap { (ui::when(group.last_at, now)) }
                    td { (group.assignee.as_deref().unwrap_or("nobody")) }
                } } }
            }
        }
    }
}

fn versions(versions: &[i32]) -> String {
    versions.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) async fn show(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path(fingerprint): Path<String>,
) -> Result<Response, Fault> {
    let mut conn = api.app.store.background().await?;
    let Some(group) = incidents::find_group(&mut conn, &fingerprint).await? else {
        drop(conn);
        return Ok(resolved(&visitor));
    };
    let filter = IncidentFilter { fingerprint: Some(fingerprint.clone()), limit: ROWS, ..Default::default() };
    let newest = waits::incidents(&mut conn, &filter).await?.items;
    let notes = incidents::notes(&mut conn, &fingerprint).await?;
    drop(conn);
    let (now, key) = (api.app.clock.now(), api.app.new_id().to_string());
    let content = html! { (summary(&group, now)) (actions(&group, &key)) (list_of(&newest, now)) (noted(&notes, now)) };
    let body = ui::region("group", &visitor.address, &content);
    Ok(shell::render(&visitor, Page { title: &group.code, place: Place::Incidents, live: live::lists(), body }))
}

/// A group of which nothing is open any more.
fn resolved(visitor: &Visitor) -> Response {
    let content = html! {
        section.note.is-completed role="status" { p { strong { "No incident of this cause is open." } } p { "They were resolved, or their instances have ended." } p { a href="/incidents" { "All incidents" } } }
    };
    let body = ui::region("group", &visitor.address, &content);
    shell::render(visitor, Page { title: "Resolved", place: Place::Incidents, live: live::lists(), body })
}

fn summary(group: &IncidentGroupView, now: Timestamp) -> Markup {
    let filter = format!("incident:{}", group.fingerprint);
    html! {
        section.card aria-label="Summary" {
            div.note.is-failed { p { (group.message) } }
            dl.facts {
                (ui::fact("Open", &html! { a href={ "/instances?filter=" (ui::encoded(&filter)) } { (ui::grouped(group.count)) } }))
                (ui::fact("Definition", &html! { a href={ "/definitions/" (ui::encoded(&group.definition)) } { (group.definition) } span.quiet { " v" (versions(&group.versions)) } }))
                (ui::fact("Activity", &html! { (group.activity.as_deref().unwrap_or("–")) }))
                (ui::fact("First", &ui::when(group.first_at, now)))
                (ui::fact("Last", &ui::when(group.last_at, now)))
                (ui::fact("Looks after it", &html! { (group.assignee.as_deref().unwrap_or("nobody")) }))
                @if group.muted { (ui::fact("Muted until", &ui::when_some(group.muted_until, now))) }
            }
        }
    }
}

fn actions(group: &IncidentGroupView, key: &str) -> Markup {
    let address = |change: &str| format!("/incidents/{}/do/{change}", group.fingerprint);
    html! {
        section.card {
            header { h2 { "What to do" } }
            div.row {
                (bulk(group, key, "retry", "Retry all")) (bulk(group, key, "fail", "Let all fail")) (bulk(group, key, "cancel", "Cancel all"))
            }
            details #fix { summary { "Set variables, then retry all" }
                form.stack method="post" action="/bulk" {
                    (ui::hidden("filter", &format!("incident:{}", group.fingerprint))) (ui::hidden("operation", "incident.resolve")) (ui::hidden("action", "retry")) (ui::hidden("key", key))
                    label for="variables" { "Variables, as JSON" }
                    textarea #variables name="variables" spellcheck="false" required placeholder="{ \"amount\": 5 }" {}
                    div { button type="submit" { "Preview" } }
                }
            }
            details #notes { summary { "Assign, comment or mute" }
                div.stack {
                    form.row method="post" action=(address("assign")) { (ui::hidden("key", key)) label for="assignee" { "Looks after it" } input #assignee name="assignee" maxlength="200" value=(group.assignee.as_deref().unwrap_or("")); button type="submit" { "Assign" } }
                    form.row method="post" action=(address("comment")) { (ui::hidden("key", key)) label for="text" { "Comment" } input #text name="text" maxlength="2000" required; button type="submit" { "Comment" } }
                    form.row method="post" action=(address("mute")) { (ui::hidden("key", key)) label for="after" { "Publish no events of it for" } input #after name="after" maxlength="20" placeholder="12h; empty: unmute"; button type="submit" { "Mute" } }
                }
            }
        }
    }
}

fn bulk(group: &IncidentGroupView, key: &str, action: &str, words: &str) -> Markup {
    let look = if action == "retry" { "primary" } else { "danger" };
    html! {
        form method="post" action="/bulk" {
            (ui::hidden("filter", &format!("incident:{}", group.fingerprint))) (ui::hidden("operation", "incident.resolve")) (ui::hidden("action", action)) (ui::hidden("key", &format!("{key}-{action}")))
            button class=(look) type="submit" { (words) }
        }
    }
}

fn list_of(items: &[IncidentView], now: Timestamp) -> Markup {
    html! {
        section.card {
            header { h2 { "The newest" } }
            div.scroll tabindex="0" role="region" aria-label="Incidents" {
                table {
                    thead { tr { th scope="col" { "Instance" } th scope="col" { "Activity" } th scope="col" { "Message" } th.number scope="col" { "Attempt" } th scope="col" { "Opened" } } }
                    tbody { @for item in items { tr id={ "r-" (item.instance) "-" (item.bookmark) } data-row {
                        td.key { (ui::instance_link(item.instance, item.key.as_deref())) }
                        td { (item.activity.as_deref().unwrap_or("–")) }
                        td.wide { (ui::cell(item.failure.as_ref().and_then(|failure| failure["message"].as_str()).unwrap_or(""))) }
                        td.number { @if let Some(attempt) = item.failure.as_ref().and_then(|failure| failure["attempt"].as_u64()) { (attempt) } }
                        td.nowrap { (ui::when(item.opened_at, now)) }
                    } } }
                }
            }
        }
    }
}

fn noted(notes: &[IncidentNoteView], now: Timestamp) -> Markup {
    html! {
        @if !notes.is_empty() {
            section.card {
                header { h2 { "Noted" } }
                ul.stack-wide { @for note in notes { li {
                    strong { (note.by) } " " (note.kind) " " (note.value.as_deref().unwrap_or("nobody")) " "
                    span.quiet { (ui::when(note.at, now)) }
                } } }
            }
        }
    }
}

pub(super) async fn change(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path((fingerprint, change)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    let what = match change.as_str() {
        "assign" => GroupChange::Assign(fields.some("assignee")),
        "comment" => GroupChange::Comment(fields.some("text").ok_or_else(|| Problem::invalid("the comment is empty"))?),
        "mute" => {
            let after =
                fields.some("after").map(|text| duration::parse(&text)).transpose().map_err(Problem::invalid)?;
            let until = after.map(|after| api.app.clock.now().checked_add(after)).transpose();
            GroupChange::Mute(until.map_err(|_| Problem::invalid("this is too long"))?)
        }
        other => {
            return Err(Problem::not_found(format!("`{}` does not change a group", request::shorten(other))).into());
        }
    };
    let user = Some(visitor.user.clone()).filter(|user| !user.is_empty());
    let origin = visitor.origin(&api, &fields, &format!("{change} {fingerprint}"))?;
    command::change_group(&api.app, &fingerprint, what, Author { user, reason: fields.some("reason") }, &origin)
        .await?;
    Ok(Redirect::to(&format!("/incidents/{}", ui::encoded(&fingerprint))).into_response())
}

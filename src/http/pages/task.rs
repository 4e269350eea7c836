//! One task: what is to be decided, its form, and what a person can do with it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;
use uuid::Uuid;

use super::fault::Fault;
use super::form::Fields;
use super::form_fields::{Field, fields, filled};
use super::path::Path;
use super::shell::{self, Page, Place};
use super::task_form::{decisions, inputs};
use super::ui;
use super::visitor::Visitor;
use crate::command;
use crate::contract::api::TaskView;
use crate::engine::{Act, TaskId};
use crate::http::problem::{Kind, Problem};
use crate::http::{ApiState, request};
use crate::store::tasks;

async fn view(api: &ApiState, id: Uuid) -> Result<TaskView, Problem> {
    let mut conn = api.app.store.background().await?;
    tasks::view(&mut conn, TaskId(id)).await?.ok_or_else(|| Problem::not_found(format!("there is no task {id}")))
}

pub(super) async fn show(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
) -> Result<Response, Fault> {
    let task = view(&api, id).await?;
    Ok(page(&api, &visitor, &task, None, None))
}

/// The page, with what went wrong and what was filled in, if it is shown again.
fn page(
    api: &ApiState,
    visitor: &Visitor,
    task: &TaskView,
    problem: Option<&Markup>,
    said: Option<&Value>,
) -> Response {
    let (now, key) = (api.app.clock.now(), api.app.new_id().to_string());
    let body = html! {
        @if let Some(problem) = problem { (problem) }
        (summary(task, now))
        @if !task.data.is_null() && task.data != Value::Object(serde_json::Map::new()) {
            section.card { header { h2 { "Data" } } (data(&task.data)) }
        }
        @if task.summary.state == "open" { (work(visitor, task, said, &key)) } @else { (outcome(task)) }
        @if task.summary.vote { (ballots(task)) }
    };
    shell::render(visitor, Page { title: &task.summary.title, place: Place::Tasks, live: None, body })
}

fn summary(task: &TaskView, now: Timestamp) -> Markup {
    let of = &task.summary;
    let offered: Vec<&str> = task.groups.iter().chain(&task.users).map(String::as_str).collect();
    html! {
        section.card aria-label="Summary" {
            header { (ui::badge(if of.claimed_by.is_some() && of.state == "open" { "claimed" } else { &of.state })) a href="/tasks" { "Back to the tasks" } }
            @if let Some(description) = &task.description { p { (description) } }
            dl.facts {
                (ui::fact("Instance", &html! { (ui::instance_link(of.instance, of.key.as_deref())) span.quiet { " " (of.definition) } }))
                (ui::fact("Held by", &html! { (of.claimed_by.as_deref().or(of.assignee.as_deref()).unwrap_or("nobody")) @if let Some(until) = of.lease_until { span.quiet { " until " (ui::when(until, now)) } } }))
                (ui::fact("Offered to", &html! { @if offered.is_empty() { (of.assignee.as_deref().unwrap_or("nobody")) } @else { (ui::cell(&offered.join(", "))) } }))
                (ui::fact("Due", &ui::when_some(of.due_at, now)))
                (ui::fact("Opened", &ui::when(of.opened_at, now)))
                (ui::fact("Priority", &html! { (of.priority) }))
            }
        }
    }
}

/// Plain values as facts, everything else as JSON.
fn data(data: &Value) -> Markup {
    let plain = data.as_object().filter(|map| map.values().all(|value| !value.is_object() && !value.is_array()));
    html! {
        @match plain {
            Some(map) => dl.facts { @for (name, value) in map { (ui::fact(name, &html! { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) })) } },
            None => (ui::json(data))
        }
    }
}

fn work(visitor: &Visitor, task: &TaskView, said: Option<&Value>, key: &str) -> Markup {
    if visitor.user.is_empty() {
        return html! { section.card { p { a.button.primary href="/who" { "Say who you are" } " to work on it." } } };
    }
    let address = |act: &str| format!("/tasks/{}/do/{act}", task.summary.id);
    let held = task.summary.claimed_by.as_deref() == Some(visitor.user.as_str());
    let common = html! { (ui::hidden("key", key)) (ui::hidden("revision", &task.summary.revision.to_string())) };
    html! {
        @if !task.summary.vote {
            section.card {
                div.row {
                    @if held {
                        form method="post" action=(address("release")) { (common) button type="submit" { "Release" } }
                        form method="post" action=(address("extend")) { (common) button type="submit" { "Keep it longer" } }
                    } @else {
                        form method="post" action=(address("claim")) { (common) button.primary type="submit" autofocus { "Claim" } }
                        p.quiet { "Nobody else can work on it while you hold it." }
                    }
                    details #delegate { summary.button { "Delegate" }
                        form.row method="post" action=(address("delegate")) { (common)
                            label for="to" { "To" } input #to name="to" required maxlength="200"; button type="submit" { "Delegate" } } }
                }
            }
        }
        (complete(task, said, &common, &address("complete"), held))
    }
}

fn complete(task: &TaskView, said: Option<&Value>, common: &Markup, address: &str, held: bool) -> Markup {
    let fields = form_fields(task);
    let form = said.or(task.draft.as_ref()).unwrap_or(&Value::Null);
    let decisions = decisions(&task.decisions);
    html! {
        section.card {
            header { h2 { @if task.summary.vote { "Your vote" } @else { "Complete it" } } }
            form.stack method="post" action=(address) {
                (common)
                (inputs(&fields, form))
                label for="comment" { "Comment" span.quiet { " (kept in the history)" } }
                textarea #comment name="comment" maxlength="4000" {}
                div.row {
                    @if decisions.is_empty() { button.primary type="submit" { "Complete" } }
                    @for (at, (name, words)) in decisions.iter().enumerate() {
                        @let look = if at == 0 { "primary" } else { "" };
                        button class=(look) type="submit" name="decision" value=(name) { (words) }
                    }
                    @if held && !fields.is_empty() {
                        button type="submit" formaction=(address.replace("/complete", "/draft")) formnovalidate { "Save for later" }
                    }
                }
            }
        }
    }
}

fn form_fields(task: &TaskView) -> Vec<Field> {
    task.form.as_ref().map(fields).unwrap_or_default()
}

fn outcome(task: &TaskView) -> Markup {
    html! {
        section.card {
            header { h2 { "It is closed" } }
            p { (task.summary.state) @if let Some(by) = &task.summary.completed_by { " by " strong { (by) } } }
            @if let Some(result) = &task.result { (ui::json(result)) }
        }
    }
}

fn ballots(task: &TaskView) -> Markup {
    let ballots = task.ballots.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |ballot: &Value, name: &str| ballot[name].as_str().unwrap_or("").to_owned();
    html! {
        section.card {
            header { h2 { "Votes" } }
            @if let Some(votes) = task.votes.as_ref().and_then(Value::as_object) {
                dl.facts { @for (decision, count) in votes { (ui::fact(decision, &html! { (count) })) } }
            }
            @if ballots.is_empty() { p.quiet { "There is no vote yet." } } @else {
                ul { @for ballot in &ballots { li { strong { (text(ballot, "user")) } " " (text(ballot, "decision")) @if !text(ballot, "comment").is_empty() { span.quiet { ": " (text(ballot, "comment")) } } } } }
            }
        }
    }
}

/// What a form of a task asks for.
fn act_of(api: &ApiState, task: &TaskView, name: &str, said: &Fields) -> Result<Act, Problem> {
    let lease_for = api.app.config.tasks.lease(None);
    let form = || match task.form {
        Some(_) => filled(&form_fields(task), said).map_err(Problem::invalid),
        None => Ok(Value::Null),
    };
    Ok(match name {
        "claim" => Act::Claim { lease_for },
        "extend" => Act::Extend { lease_for },
        "release" => Act::Release,
        "draft" => Act::Draft { form: form()? },
        "complete" => Act::Complete { decision: said.some("decision"), form: form()?, comment: said.some("comment") },
        "delegate" => {
            let to = said.some("to").ok_or_else(|| Problem::invalid("name the user to delegate the task to"))?;
            request::bounded("to", &to)?;
            Act::Delegate { to, comment: said.some("comment") }
        }
        other => return Err(Problem::not_found(format!("`{}` is not an action on a task", request::shorten(other)))),
    })
}

pub(super) async fn act(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path((id, name)): Path<(Uuid, String)>,
    said: Fields,
) -> Result<Response, Fault> {
    if visitor.user.is_empty() {
        return Ok(Redirect::to("/who").into_response());
    }
    let task = view(&api, id).await?;
    let revision = said.number("revision")?;
    let done = match act_of(&api, &task, &name, &said) {
        Ok(act) => {
            let origin = visitor.origin(&api, &said, &format!("task {name} {id}"))?;
            command::task(&api.app, TaskId(id), visitor.person(), revision, act, &origin)
                .await
                .map(|_| ())
                .map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) if matches!(name.as_str(), "complete" | "delegate" | "release") => {
            Ok(Redirect::to("/tasks").into_response())
        }
        Ok(()) => Ok(Redirect::to(&format!("/tasks/{id}")).into_response()),
        Err(problem) => again(&api, &visitor, id, &said, problem).await,
    }
}

/// The page again, with why it was refused and everything that was filled in.
async fn again(
    api: &ApiState,
    visitor: &Visitor,
    id: Uuid,
    said: &Fields,
    problem: Problem,
) -> Result<Response, Fault> {
    let told = serde_json::to_value(&problem).unwrap_or_default();
    let status = problem.into_response().status();
    if status.is_server_error() || status == StatusCode::NOT_FOUND {
        let kind = if status == StatusCode::NOT_FOUND { Kind::NotFound } else { Kind::Unavailable };
        return Err(Problem::new(kind, told["detail"].as_str().unwrap_or_default()).into());
    }
    let task = view(api, id).await?;
    let form = filled(&form_fields(&task), said).ok();
    let errors = told["errors"].as_array().cloned().unwrap_or_default();
    let note = html! {
        section.note.is-failed role="alert" {
            p { strong { (told["title"].as_str().unwrap_or("It was refused")) } }
            p { (told["detail"].as_str().unwrap_or_default()) }
            @if !errors.is_empty() { ul { @for error in &errors { li { code { (error["pointer"].as_str().unwrap_or("/")) } " " (error["detail"].as_str().unwrap_or("")) } } } }
        }
    };
    let page = page(api, visitor, &task, Some(&note), form.as_ref());
    Ok((status, page).into_response())
}

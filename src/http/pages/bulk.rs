//! Operations on many instances: what would be done is shown first, then a bulk job does it; and the jobs themselves.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::fault::Fault;
use super::form::Fields;
use super::instances::{self, Boxes};
use super::path::Path;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{ROWS, live, ui};
use crate::command::bulk as jobs;
use crate::contract::bulk::{BulkItemView, BulkOperation, BulkPreview, BulkRequest, BulkView};
use crate::contract::filter::ALTERNATIVES_MAX;
use crate::http::ApiState;
use crate::http::problem::Problem;
use crate::store::bulk::{self, Change};

/// Operations of a list, with the words for them.
const OPERATIONS: [(&str, &str); 6] = [
    ("retry", "Retry"),
    ("suspend", "Suspend"),
    ("resume", "Resume"),
    ("cancel", "Cancel"),
    ("terminate", "Terminate"),
    ("incident.resolve", "Resolve incidents: retry"),
];

/// What a list offers for its rows: with boxes for some of them, or for everything that its filter matches.
pub(super) fn bar(filter: &str, what: &str, key: &str) -> Markup {
    html! {
        header {
            p data-count-of="id" data-none={ "Select " (what) ", or act on all that the filter matches" } aria-live="polite" {
                "Select " (what) ", or act on all that the filter matches"
            }
            div.row {
                (ui::hidden("filter", filter)) (ui::hidden("key", key))
                label.sr for="operation" { "Operation" }
                select #operation name="operation" { @for (name, words) in OPERATIONS { option value=(name) { (words) } } }
                button type="submit" { "Preview" }
            }
        }
    }
}

pub(super) async fn start(State(api): State<ApiState>, visitor: Visitor, fields: Fields) -> Result<Response, Fault> {
    let request = request(&fields)?;
    if fields.text("step") != "execute" {
        let preview = jobs::preview(&api.app, &request).await?;
        let body = preview_page(&fields, &request, &preview, api.app.clock.now());
        return Ok(shell::render(&visitor, Page { title: "Preview", place: Place::Bulk, live: None, body }));
    }
    let origin = visitor.origin(&api, &fields, "bulk")?;
    let request = BulkRequest { actor: Some(visitor.user.clone()).filter(|user| !user.is_empty()), ..request };
    let job = jobs::start(&api.app, &request, &origin).await?;
    Ok(Redirect::to(&format!("/bulk/{}", job.id)).into_response())
}

/// What a form asks for: the selected rows, or all that the filter matches.
fn request(fields: &Fields) -> Result<BulkRequest, Problem> {
    let ids: Vec<&str> = fields.all("id").collect();
    if ids.len() > ALTERNATIVES_MAX {
        let detail = format!(
            "{} rows are selected, and at most {ALTERNATIVES_MAX} can be named one by one: select fewer, or none and narrow the filter",
            ids.len()
        );
        return Err(Problem::invalid(detail));
    }
    let filter = match ids.as_slice() {
        [] => fields.text("filter").trim().to_owned(),
        ids => format!("id:{}", ids.join(",")),
    };
    if filter.is_empty() {
        return Err(Problem::invalid(
            "select rows, or write a filter first: an operation on every instance is not offered here",
        ));
    }
    let operation = fields.text("operation").to_owned();
    let arguments = match operation.as_str() {
        "incident.resolve" => {
            json!({ "action": fields.some("action").unwrap_or_else(|| "retry".into()), "variables": variables(fields)? })
        }
        _ => Value::Null,
    };
    BulkOperation::read(&operation, &arguments).map_err(Problem::invalid)?;
    let pace = fields
        .number("pace")?
        .map(|pace| u32::try_from(pace).map_err(|_| Problem::invalid("`pace` is too large")))
        .transpose()?;
    Ok(BulkRequest {
        operation,
        arguments,
        filter,
        reason: fields.some("reason"),
        actor: None,
        pace,
        items_max: None,
        dry_run: false,
    })
}

/// Variables that are set before a retry, as a JSON object.
fn variables(fields: &Fields) -> Result<Map<String, Value>, Problem> {
    let Some(text) = fields.some("variables") else { return Ok(Map::new()) };
    match crate::contract::json::read(text.as_bytes()) {
        Ok(Value::Object(variables)) => Ok(variables),
        Ok(_) => Err(Problem::invalid("the variables must be a JSON object, as in {\"amount\": 5}")),
        Err(refused) => Err(Problem::invalid(format!("the variables {refused}"))),
    }
}

fn preview_page(fields: &Fields, request: &BulkRequest, preview: &BulkPreview, now: Timestamp) -> Markup {
    let count = i64::try_from(preview.count).unwrap_or(i64::MAX);
    html! {
        section.card {
            header { h2 { "Nothing has been changed yet" } }
            p {
                strong { (request.operation) } " for "
                strong { (ui::grouped(count)) @if preview.more { " or more" } " " @if count == 1 { "instance" } @else { "instances" } }
                " that " code { (request.filter) } " matches."
            }
            @if count == 0 { p.note.is-suspended { "Nothing matches: there is nothing to do." } }
            @else { (confirm(fields, request)) }
        }
        @if !preview.sample.is_empty() {
            section.card {
                header { h2 { "The newest of them" } }
                (instances::table(&preview.sample, now, Boxes::Hidden))
            }
        }
    }
}

fn confirm(fields: &Fields, request: &BulkRequest) -> Markup {
    html! {
        form.stack method="post" action="/bulk" {
            (ui::hidden("step", "execute")) (ui::hidden("operation", &request.operation)) (ui::hidden("filter", &request.filter))
            (ui::hidden("key", fields.text("key"))) (ui::hidden("action", fields.text("action")))
            (ui::hidden("variables", fields.text("variables")))
            label for="reason" { "Reason, kept in the history of each" }
            input #reason name="reason" maxlength="1000" autocomplete="off" value=(fields.text("reason"));
            label for="pace" { "Instances per second" }
            input #pace name="pace" type="number" min="1" max="1000" value="50";
            div.row {
                button.primary type="submit" { "Start the job" }
                a.button href="/instances" { "Leave everything as it is" }
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    cursor: Option<Uuid>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    visitor: Visitor,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(asked) = asked?;
    let mut conn = api.app.store.background().await?;
    let jobs = bulk::list(&mut conn, asked.cursor, ROWS).await?;
    drop(conn);
    let now = api.app.clock.now();
    let next = jobs
        .last()
        .filter(|_| i64::try_from(jobs.len()).is_ok_and(|count| count >= ROWS))
        .map(|job| job.id.to_string());
    let content = html! {
        section.card {
            @if jobs.is_empty() { (ui::empty("No bulk job has been started. Filter the instances, then choose what to do with all of them:", Some("leveret bulk preview retry --filter status:suspended"))) }
            @else { (job_table(&jobs, now)) }
            (ui::pages("/bulk", asked.cursor.map(|_| ""), next.as_deref()))
        }
    };
    let body = ui::region("list", &visitor.address, &content);
    Ok(shell::render(&visitor, Page { title: "Bulk jobs", place: Place::Bulk, live: live::lists(), body }))
}

fn job_table(jobs: &[BulkView], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Bulk jobs" {
            table {
                thead { tr {
                    th scope="col" { "State" } th scope="col" { "Operation" } th scope="col" { "Filter" } th.number scope="col" { "Done" }
                    th.number scope="col" { "Refused" } th.number scope="col" { "Open" } th scope="col" { "By" } th scope="col" { "Started" }
                } }
                tbody { @for job in jobs { tr id={ "r-" (job.id) } data-row {
                    td.nowrap { (ui::badge(&job.state)) }
                    td.key { a id={ "l-" (job.id) } href={ "/bulk/" (job.id) } { (job.operation) } }
                    td.wide { code { (ui::cell(&job.filter)) } }
                    td.number { (ui::grouped(job.done)) } td.number { (ui::grouped(job.refused + job.failed)) } td.number { (ui::grouped(job.open)) }
                    td { (job.actor.as_deref().unwrap_or(&job.sender)) }
                    td.nowrap { (ui::when(job.created_at, now)) }
                } } }
            }
        }
    }
}

pub(super) async fn show(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
) -> Result<Response, Fault> {
    let job = jobs::get(&api.app, id).await?;
    let mut conn = api.app.store.background().await?;
    let items = bulk::list_items(&mut conn, id, None, None, ROWS).await?;
    drop(conn);
    let content = job_page(&job, &items, api.app.clock.now());
    let body = ui::region("job", &visitor.address, &content);
    let title = format!("Bulk job: {}", job.operation);
    Ok(shell::render(&visitor, Page { title: &title, place: Place::Bulk, live: live::lists(), body }))
}

fn job_page(job: &BulkView, items: &[BulkItemView], now: Timestamp) -> Markup {
    let changes: &[(&str, &str)] = match job.state.as_str() {
        "collecting" | "running" => &[("pause", "Pause"), ("abort", "Abort")],
        "paused" => &[("resume", "Resume"), ("abort", "Abort")],
        _ => &[],
    };
    html! {
        section.card {
            header {
                (ui::badge(&job.state))
                div.row { @for (name, words) in changes {
                    form method="post" action={ "/bulk/" (job.id) "/do/" (name) } { button type="submit" { (words) } }
                } }
            }
            progress max=(job.collected.max(1)) value=(job.collected - job.open) aria-label="Progress" {}
            dl.facts {
                (ui::fact("Filter", &html! { code { (job.filter) } }))
                (ui::fact("Done", &html! { (ui::grouped(job.done)) }))
                (ui::fact("Refused", &html! { (ui::grouped(job.refused)) }))
                (ui::fact("Failed", &html! { (ui::grouped(job.failed)) }))
                (ui::fact("Open", &html! { (ui::grouped(job.open)) }))
                (ui::fact("By", &html! { (job.actor.as_deref().unwrap_or(&job.sender)) }))
                (ui::fact("Reason", &html! { (job.reason.as_deref().unwrap_or("–")) }))
                (ui::fact("Started", &ui::when(job.created_at, now)))
            }
        }
        section.card {
            header { h2 { "Instances" } }
            @if items.is_empty() { (ui::empty("It has found none so far.", None)) } @else { (item_table(items)) }
        }
    }
}

fn item_table(items: &[BulkItemView]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Instances of the job" {
            table {
                thead { tr { th scope="col" { "State" } th scope="col" { "Instance" } th scope="col" { "Detail" } } }
                tbody { @for item in items { tr data-row {
                    td.nowrap { (ui::badge(&item.state)) }
                    td { (ui::instance_link(item.instance, None)) }
                    td.wide { (item.detail.as_deref().unwrap_or("")) }
                } } }
            }
        }
    }
}

pub(super) async fn change(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path((id, change)): Path<(Uuid, String)>,
) -> Result<Response, Fault> {
    let change = match change.as_str() {
        "pause" => Change::Pause,
        "resume" => Change::Resume,
        "abort" => Change::Abort,
        _ => {
            return Err(Problem::not_found("a job can be paused, resumed or aborted").into());
        }
    };
    jobs::change(&api.app, id, change, &visitor.actor()?).await?;
    Ok(Redirect::to(&format!("/bulk/{id}")).into_response())
}

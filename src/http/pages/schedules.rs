//! Schedules: their next ticks, what became of the last, and pause, resume, run and delete.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};

use super::fault::Fault;
use super::form::Fields;
use super::path::Path;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{ROWS, live, ui};
use crate::command::schedule;
use crate::contract::schedule::{ScheduleView, TickView};
use crate::http::problem::Problem;
use crate::http::request::AfterName;
use crate::http::{ApiState, request};
use crate::store::page::Fitting;
use crate::store::schedules;

/// Ticks that are shown.
const NEXT: usize = 10;

pub(super) async fn list(
    State(api): State<ApiState>,
    visitor: Visitor,
    query: Result<Query<AfterName>, QueryRejection>,
) -> Result<Response, Fault> {
    let (cursor, _) = query?.0.read()?;
    let mut conn = api.app.store.background().await?;
    let Fitting { rows, full } = schedules::list(&mut conn, cursor.as_deref(), ROWS).await?;
    drop(conn);
    let now = api.app.clock.now();
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= full);
    let next = rows.last().filter(|_| is_full).map(|last| last.name.clone());
    let content = html! {
        section.card {
            @if rows.is_empty() {
                (ui::empty("Nothing is scheduled. This starts the countdown of the examples on every first of a month:",
                    Some("leveret schedule create month countdown --cron '0 6 1 * *' --zone Europe/Berlin")))
            } @else { (table(&rows, now)) }
            (ui::pages("/schedules", cursor.as_deref(), next.as_deref()))
        }
    };
    let body = ui::region("list", &visitor.address, &content);
    Ok(shell::render(&visitor, Page { title: "Schedules", place: Place::Schedules, live: live::lists(), body }))
}

fn state(view: &ScheduleView) -> &'static str {
    if view.paused_at.is_some() { "paused" } else { "active" }
}

fn table(rows: &[ScheduleView], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Schedules" {
            table {
                thead { tr {
                    th scope="col" { "Name" } th scope="col" { "State" } th scope="col" { "Starts" } th scope="col" { "When" } th scope="col" { "Next" }
                    th.number scope="col" { "Started" } th.number scope="col" { "Failed" }
                } }
                tbody { @for row in rows { tr id={ "r-" (row.name) } data-row {
                    td.key { a id={ "l-" (row.name) } href={ "/schedules/" (ui::encoded(&row.name)) } { (row.name) } }
                    td.nowrap { (ui::badge(state(row))) }
                    td { (row.said.definition) }
                    td.nowrap { code { (row.said.cron) } span.quiet { " " (row.said.zone) } }
                    td.nowrap { (ui::when_some(row.next_at, now)) }
                    td.number { (ui::grouped(row.started)) }
                    td.number { (ui::grouped(row.failed)) }
                } } }
            }
        }
    }
}

pub(super) async fn show(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    request::bounded("name", &name)?;
    let view = schedule::get(&api.app, &name).await?;
    let ticks = schedule::upcoming(&api.app, &name, NEXT).await?;
    let (now, key) = (api.app.clock.now(), api.app.new_id().to_string());
    let content = html! { (summary(&view, &key, now)) (next(&ticks, now)) section.card { header { h2 { "Input" } } (ui::json(&view.said.input)) } };
    let body = ui::region("schedule", &visitor.address, &content);
    Ok(shell::render(&visitor, Page { title: &name, place: Place::Schedules, live: live::lists(), body }))
}

fn summary(view: &ScheduleView, key: &str, now: Timestamp) -> Markup {
    let form = |deed: &str, words: &str, look: &str| {
        let address = format!("/schedules/{}/do/{deed}", ui::encoded(&view.name));
        html! { form method="post" action=(address) { (ui::hidden("key", key)) button class=(look) type="submit" { (words) } } }
    };
    html! {
        section.card aria-label="Summary" {
            header {
                (ui::badge(state(view)))
                div.row {
                    @if view.paused_at.is_some() { (form("resume", "Resume", "primary")) } @else { (form("pause", "Pause", "")) }
                    (form("run", "Run now", ""))
                    details #delete { summary.button { "Delete" } div.row { p { "Its instances stay." } (form("delete", "Delete it", "danger")) } }
                }
            }
            dl.facts {
                (ui::fact("Starts", &html! { a href={ "/definitions/" (ui::encoded(&view.said.definition)) } { (view.said.definition) } }))
                (ui::fact("When", &html! { code { (view.said.cron) } " " (view.said.zone) }))
                (ui::fact("If one still runs", &html! { (view.said.overlap.name()) }))
                (ui::fact("Started", &html! { (ui::grouped(view.started)) }))
                (ui::fact("Skipped", &html! { (ui::grouped(view.skipped)) }))
                (ui::fact("Failed", &html! { (ui::grouped(view.failed)) }))
                @if let Some(last) = view.last_instance { (ui::fact("Last instance", &ui::instance_link(last, None))) }
            }
            @if let Some(error) = &view.last_error { div.note.is-failed { p { (error) } p { (ui::when_some(view.last_error_at, now)) } } }
        }
    }
}

fn next(ticks: &[TickView], now: Timestamp) -> Markup {
    html! {
        section.card {
            header { h2 { "The next ten ticks" } }
            @if ticks.is_empty() { p.quiet { "There is none: the expression never matches again." } }
            ol { @for tick in ticks { li { (ui::when(tick.at, now)) span.quiet { " " (tick.local) } } } }
        }
    }
}

pub(super) async fn act(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path((name, deed)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    request::bounded("name", &name)?;
    let actor = visitor.actor()?;
    let address = match deed.as_str() {
        "pause" => schedule::pause(&api.app, &name, &actor).await.map(|_| of(&name))?,
        "resume" => schedule::resume(&api.app, &name, &actor).await.map(|_| of(&name))?,
        "delete" => schedule::delete(&api.app, &name, &actor).await.map(|()| "/schedules".to_owned())?,
        "run" => {
            let key = fields.some("key").ok_or_else(|| Problem::invalid("the form has no `key`"))?;
            let key: String = key.chars().take(64).collect();
            format!("/instances/{}", schedule::run_now(&api.app, &name, &key, &actor).await?)
        }
        other => {
            return Err(Problem::not_found(format!("`{}` is not done with a schedule", request::shorten(other))).into());
        }
    };
    Ok(Redirect::to(&address).into_response())
}

fn of(name: &str) -> String {
    format!("/schedules/{}", ui::encoded(name))
}

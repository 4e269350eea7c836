//! The list of instances: found by a filter in the address, page by page, and selected for an operation on many.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::fault::Fault;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{ROWS, bulk, live, ui};
use crate::contract::api::{self, InstanceSummary};
use crate::contract::filter::{Filter, STATUSES};
use crate::engine::InstanceId;
use crate::http::ApiState;
use crate::store::{self, views};

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    filter: String,
    cursor: Option<uuid::Uuid>,
}

/// What was found, or why the filter cannot be read.
type Found = Result<api::Page<InstanceSummary>, String>;

pub(super) async fn list(
    State(api): State<ApiState>,
    visitor: Visitor,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(asked) = asked?;
    let now = api.app.clock.now();
    let found = find(&api, &asked, now).await?;
    let body = html! {
        (filter_form(&asked.filter))
        (chips(&asked.filter))
        (ui::region("list", &visitor.address, &found_list(&api, &asked, &found, now)))
    };
    Ok(shell::render(&visitor, Page { title: "Instances", place: Place::Instances, live: live::lists(), body }))
}

async fn find(api: &ApiState, asked: &Asked, now: Timestamp) -> Result<Found, store::Error> {
    let filter = match Filter::read(&asked.filter) {
        Ok(filter) => filter,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut conn = api.app.store.background().await?;
    views::found(&mut conn, &filter, asked.cursor.map(InstanceId), ROWS, now).await.map(Ok)
}

fn filter_form(text: &str) -> Markup {
    html! {
        form.stack-wide method="get" action="/instances" role="search" {
            div.filter {
                label.sr for="filter" { "Filter" }
                input #filter name="filter" value=(text) data-filter placeholder="status:running definition:order key:PO-*"
                    autocomplete="off" spellcheck="false" maxlength="2000" aria-describedby="filter-hint"
                    hx-get="/instances" hx-trigger="input changed delay:400ms" hx-select="#list" hx-target="#list"
                    hx-swap="outerHTML" hx-replace-url="true";
                button type="submit" { "Filter" }
            }
            details #filter-help {
                summary #filter-hint { "What a filter can say" }
                (filter_help())
            }
        }
    }
}

fn filter_help() -> Markup {
    const TERMS: [(&str, &str); 8] = [
        ("status:running,suspended", "one of these statuses"),
        ("definition:order", "of this definition"),
        ("key:PO-4711 or key:PO-*", "the business key, or its beginning"),
        ("activity:payment", "it is at this activity now"),
        ("code:handler.busy", "the code of its failure or incident"),
        ("queue:slow", "the queue of its steps"),
        ("started<1h", "started less than an hour ago; also started>=2026-01-01"),
        ("var.amount>1000", "a search attribute of the definition"),
    ];
    html! {
        dl.keys { @for (term, what) in TERMS { dt { code { (term) } } dd { (what) } } }
    }
}

fn chips(filter: &str) -> Markup {
    html! {
        nav.chips aria-label="Statuses" {
            a.chip href="/instances" aria-current=[filter.trim().is_empty().then_some("true")] { "all" }
            @for status in STATUSES {
                @let term = format!("status:{status}");
                a.chip href={ "/instances?filter=" (ui::encoded(&term)) } aria-current=[(filter.trim() == term).then_some("true")] {
                    (super::icons::icon(status)) (status)
                }
            }
        }
    }
}

fn found_list(api: &ApiState, asked: &Asked, found: &Found, now: Timestamp) -> Markup {
    let first = match asked.filter.trim() {
        "" => "/instances".to_owned(),
        filter => format!("/instances?filter={}", ui::encoded(filter)),
    };
    html! {
        @match found {
            Err(problem) => div.note.is-failed role="alert" { p { "The filter cannot be read: " (problem) } },
            Ok(page) if page.items.is_empty() => div.card { (nothing(&asked.filter, page.next.is_some())) (ui::pages(&first, None, page.next.as_deref())) },
            Ok(page) => {
                form.card method="post" action="/bulk" {
                    (bulk::bar(&asked.filter, "instances", &api.app.new_id().to_string()))
                    (table(&page.items, now, Boxes::Shown))
                    (ui::pages(&first, asked.cursor.map(|_| ""), page.next.as_deref()))
                }
            }
        }
    }
}

fn nothing(filter: &str, has_more: bool) -> Markup {
    if has_more {
        return ui::empty("None among those that were looked at so far. Continue with the older ones.", None);
    }
    match filter.trim() {
        "" => ui::empty(
            "No instance has been started yet. Start the first one:",
            Some("leveret instance start countdown --watch"),
        ),
        _ => ui::empty("No instance matches this filter.", None),
    }
}

/// Whether rows can be selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boxes {
    Shown,
    Hidden,
}

/// Instances as a table.
pub(super) fn table(items: &[InstanceSummary], now: Timestamp, boxes: Boxes) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Instances" {
            table {
                thead {
                    tr {
                        @if boxes == Boxes::Shown {
                            th.check scope="col" { input type="checkbox" data-check-all="id" aria-label="Select all rows"; }
                        }
                        th scope="col" { "Status" } th scope="col" { "Key" } th scope="col" { "Definition" }
                        th scope="col" { "At" } th scope="col" { "Started" } th.number scope="col" { "Took" }
                    }
                }
                tbody { @for item in items { (row(item, now, boxes)) } }
            }
        }
    }
}

fn row(item: &InstanceSummary, now: Timestamp, boxes: Boxes) -> Markup {
    let name = item.key.clone().unwrap_or_else(|| ui::short(item.id));
    html! {
        tr id={ "r-" (item.id) } data-row {
            @if boxes == Boxes::Shown {
                td.check { input id={ "c-" (item.id) } type="checkbox" name="id" value=(item.id) aria-label={ "Select " (name) }; }
            }
            td.nowrap { (ui::badge(&item.status)) }
            td.key { a id={ "l-" (item.id) } href={ "/instances/" (item.id) } { (ui::cell(&name)) } }
            td { a href={ "/definitions/" (ui::encoded(&item.definition)) "/versions/" (item.version) } { (item.definition) } span.quiet { " v" (item.version) } }
            td { (ui::cell(&item.at.join(", "))) }
            td.nowrap { (ui::when(item.started_at, now)) }
            td.number { @if let Some(ended) = item.ended_at { (ui::span(ui::between(item.started_at, ended))) } @else { span.quiet { "–" } } }
        }
    }
}

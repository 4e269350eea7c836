//! The targets of calls: their circuit breakers, their limits, and what waits for them.

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
use crate::contract::api::TargetView;
use crate::http::ApiState;
use crate::http::problem::Problem;
use crate::store::targets::{self, Cursor};

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
    let after: Option<Cursor> = asked.cursor.as_deref().map(str::parse).transpose().map_err(Problem::invalid)?;
    let mut conn = api.app.store.background().await?;
    let page = targets::list(&mut conn, after.as_ref(), ROWS).await?;
    drop(conn);
    let now = api.app.clock.now();
    let content = html! {
        section.card {
            @if page.items.is_empty() { (ui::empty("No call was made yet. A definition calls a server with `http`, and an external worker with `call`:", Some("leveret definition apply examples/supplier.yaml"))) }
            @else { (table(&page.items, now)) }
            (ui::pages("/targets", asked.cursor.as_deref(), page.next.as_deref()))
        }
    };
    let body = ui::region("list", &visitor.address, &content);
    Ok(shell::render(&visitor, Page { title: "Targets", place: Place::Targets, live: live::lists(), body }))
}

/// The state of a breaker, as the state of what has its colour.
fn breaker(name: &str) -> Markup {
    html! { span title="circuit breaker" { (ui::badge(if name == "open" { "open_breaker" } else { name })) } }
}

fn table(items: &[TargetView], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Targets" {
            table {
                thead { tr {
                    th scope="col" { "Target" } th scope="col" { "Breaker" } th.number scope="col" { "Wait" } th.number scope="col" { "Run" }
                    th scope="col" { "Limits" } th scope="col" { "Last failure" } th scope="col" { "Until" }
                } }
                tbody { @for item in items { tr data-row {
                    td.key.wide { code { (item.target) } @if let Some(key) = &item.key { span.quiet { " key " (ui::cell(key)) } } }
                    td.nowrap { (breaker(&item.breaker)) @if item.opened > 0 { span.quiet { " opened " (item.opened) "×" } } }
                    td.number { (ui::grouped(i64::try_from(item.waiting).unwrap_or(i64::MAX))) }
                    td.number { (ui::grouped(i64::try_from(item.running).unwrap_or(i64::MAX))) }
                    td { (limits(item)) }
                    td { (item.last_failure.as_deref().unwrap_or("–")) " " @if item.failed_at.is_some() { (ui::when_some(item.failed_at, now)) } }
                    td.nowrap { (ui::when_some(item.until, now)) }
                } } }
            }
        }
    }
}

fn limits(item: &TargetView) -> Markup {
    html! {
        @if let Some(rate) = &item.rate { (rate.count) " per " (rate.per) " " }
        @if let Some(concurrency) = item.concurrency { (concurrency) " at once" }
        @if item.rate.is_none() && item.concurrency.is_none() { span.quiet { "none" } }
    }
}

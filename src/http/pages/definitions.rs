//! Definitions: their versions, the document of each, what differs between two, and its activities.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};

use super::fault::Fault;
use super::path::Path;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{ROWS, graph, live, ui};
use crate::contract::api::DefinitionView;
use crate::http::ApiState;
use crate::http::problem::Problem;
use crate::http::request::AfterName;
use crate::store::definitions::{self, Summary};
use crate::store::views;

/// Versions that are listed.
const VERSIONS_MAX: i64 = 100;
/// A comparison becomes coarser after this time.
const DIFF_FOR: Duration = Duration::from_millis(200);
/// Unchanged lines around a change.
const AROUND: usize = 3;

pub(super) async fn list(
    State(api): State<ApiState>,
    visitor: Visitor,
    query: Result<Query<AfterName>, QueryRejection>,
) -> Result<Response, Fault> {
    let (cursor, _) = query?.0.read()?;
    let mut conn = api.app.store.background().await?;
    let page = views::definitions(&mut conn, cursor.as_deref(), ROWS).await?;
    drop(conn);
    let now = api.app.clock.now();
    let content = html! {
        section.card {
            @if page.items.is_empty() { (ui::empty("No definition was applied yet. Write one and apply it:", Some("leveret definition apply examples/countdown.yaml"))) }
            @else { (table(&page.items, now)) }
            (ui::pages("/definitions", cursor.as_deref(), page.next.as_deref()))
        }
    };
    let body = html! {
        p { a.button href="/check" { "Check a document" } }
        (ui::region("list", &visitor.address, &content))
    };
    Ok(shell::render(&visitor, Page { title: "Definitions", place: Place::Definitions, live: live::lists(), body }))
}

fn address(name: &str) -> String {
    format!("/definitions/{}", ui::encoded(name))
}

fn table(items: &[DefinitionView], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Definitions" {
            table {
                thead { tr { th scope="col" { "Name" } th.number scope="col" { "Newest version" } th scope="col" { "Status" } th scope="col" { "Applied" } th scope="col" { "Instances" } } }
                tbody { @for item in items { tr id={ "r-" (item.name) } data-row {
                    td.key { a id={ "l-" (item.name) } href=(address(&item.name)) { (item.name) } }
                    td.number { (item.version) }
                    td.nowrap { (ui::badge(&item.status)) }
                    td.nowrap { (ui::when(item.created_at, now)) }
                    td { a href={ "/instances?filter=" (ui::encoded(&format!("definition:{}", item.name))) } { "Instances of " (item.name) } }
                } } }
            }
        }
    }
}

pub(super) async fn show(
    state: State<ApiState>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    version_page(state, visitor, name, None).await
}

pub(super) async fn show_version(
    state: State<ApiState>,
    visitor: Visitor,
    Path((name, version)): Path<(String, i32)>,
) -> Result<Response, Fault> {
    version_page(state, visitor, name, Some(version)).await
}

async fn version_page(
    State(api): State<ApiState>,
    visitor: Visitor,
    name: String,
    version: Option<i32>,
) -> Result<Response, Fault> {
    let mut conn = api.app.store.background().await?;
    let view = views::definition(&mut conn, &name, version).await?;
    let view = view.ok_or_else(|| Problem::not_found(format!("there is no definition `{name}` in this version")))?;
    let versions = definitions::list_versions(&mut conn, &name, VERSIONS_MAX).await?;
    drop(conn);
    let parsed = api.app.definition(&view.name, view.version).await.ok();
    let hints = parsed.as_ref().map(|parsed| api.app.hints(parsed)).unwrap_or_default();
    let now = api.app.clock.now();
    let graph = match &parsed {
        Some(parsed) => Some(graph::of_definition(&api.app, parsed, view.version).await),
        None => None,
    };
    let body = html! {
        (summary(&view, now))
        @if !hints.is_empty() { section.note.is-suspended { p { strong { "This process could not run all of it" } } ul { @for hint in &hints { li { (hint) } } } } }
        @if let Some(graph) = &graph { section.card {
            header { h2 { "Graph" } p.quiet { "how often and how long its newest instances went each way" } }
            (graph)
        } }
        section.card { header { h2 { "Document" } } @if let Some(content) = &view.content { (ui::json(content)) } }
        (history(&view, &versions, now))
    };
    Ok(shell::render(&visitor, Page { title: &name, place: Place::Definitions, live: None, body }))
}

fn summary(view: &DefinitionView, now: Timestamp) -> Markup {
    let filter = format!("definition:{}", view.name);
    html! {
        section.card aria-label="Summary" {
            header { (ui::badge(&view.status)) a href={ "/instances?filter=" (ui::encoded(&filter)) } { "Its instances" } }
            dl.facts {
                (ui::fact("Version", &html! { (view.version) }))
                (ui::fact("Applied", &ui::when(view.created_at, now)))
                (ui::fact("Hash", &html! { code { (view.hash.get(..12).unwrap_or(&view.hash)) } }))
                (ui::fact("Start one", &html! { code { "leveret instance start " (view.name) } }))
            }
        }
    }
}

fn history(view: &DefinitionView, versions: &[Summary], now: Timestamp) -> Markup {
    html! {
        section.card {
            header { h2 { "Versions" } }
            div.scroll tabindex="0" role="region" aria-label="Versions" {
                table {
                    thead { tr { th.number scope="col" { "Version" } th scope="col" { "Status" } th scope="col" { "Applied" } th scope="col" { "Changes" } } }
                    tbody { @for one in versions { tr data-row {
                        td.number { a href={ (address(&view.name)) "/versions/" (one.version) } aria-current=[(one.version == view.version).then_some("page")] { (one.version) } }
                        td.nowrap { (ui::badge(one.status.name())) }
                        td.nowrap { (ui::when(one.created_at, now)) }
                        td { @if one.version > 1 { a href={ (address(&view.name)) "/diff?from=" (one.version - 1) "&to=" (one.version) } { "from " (one.version - 1) " to " (one.version) } } @else { span.quiet { "the first" } } }
                    } } }
                }
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Versions {
    from: i32,
    to: i32,
}

pub(super) async fn diff(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path(name): Path<String>,
    versions: Result<Query<Versions>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(Versions { from, to }) = versions?;
    let mut texts = Vec::new();
    let mut conn = api.app.store.background().await?;
    for version in [from, to] {
        let view = views::definition(&mut conn, &name, Some(version)).await?;
        let view =
            view.ok_or_else(|| Problem::not_found(format!("there is no definition `{name}` version {version}")))?;
        texts.push(serde_json::to_string_pretty(&view.content).unwrap_or_default());
    }
    drop(conn);
    let lines = api.app.decide_elsewhere(move || compared(&texts[0], &texts[1])).await?;
    let body = html! {
        section.card {
            header { h2 { "From version " (from) " to version " (to) } a href={ (address(&name)) } { "Back to " (name) } }
            @if lines.is_empty() { p.quiet { "They are equal." } } @else { (drawn(&lines)) }
        }
    };
    Ok(shell::render(
        &visitor,
        Page { title: &format!("{name}: changes"), place: Place::Definitions, live: None, body },
    ))
}

/// A line of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    sign: &'static str,
    text: String,
}

/// The changed lines, with some around them.
fn compared(from: &str, to: &str) -> Vec<Line> {
    let diff = TextDiff::configure().timeout(DIFF_FOR).diff_lines(from, to);
    let mut lines = Vec::new();
    for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if at > 0 {
            lines.push(Line { sign: "…", text: String::new() });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => "-",
                ChangeTag::Insert => "+",
                ChangeTag::Equal => " ",
            };
            lines.push(Line { sign, text: change.value().trim_end_matches('\n').to_owned() });
        }
    }
    lines
}

fn drawn(lines: &[Line]) -> Markup {
    html! {
        div.diff tabindex="0" role="region" aria-label="Changed lines" {
            @for line in lines {
                @let look = match line.sign { "+" => "added", "-" => "removed", _ => "same" };
                span class=(look) { (line.sign) " " (line.text) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_are_shown_with_some_around_them() {
        let from: String = (0..20).map(|number| format!("{number}\n")).collect();
        let lines = compared(&from, &from.replace("10\n", "ten\n"));
        let signs: String = lines.iter().map(|line| line.sign).collect();
        assert_eq!(signs, "   -+   ");
        assert!(compared(&from, &from).is_empty());
    }
}

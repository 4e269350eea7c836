//! Dead letters: messages that could not be handled. Shown, published again, or dropped.

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
use crate::command::{self, dead_letter};
use crate::contract::api::DeadLetterView;
use crate::http::problem::Problem;
use crate::http::{ApiState, request};
use crate::store::views;

#[derive(Deserialize)]
pub(super) struct Asked {
    cursor: Option<i64>,
}

pub(super) async fn list(
    State(api): State<ApiState>,
    visitor: Visitor,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(asked) = asked?;
    let mut conn = api.app.store.background().await?;
    let page = views::dead_letters(&mut conn, asked.cursor, ROWS).await?;
    drop(conn);
    let now = api.app.clock.now();
    let content = html! {
        section.card {
            @if page.items.is_empty() { (ui::empty("Every message could be handled. One that cannot be read, or fails again and again, is kept here with the reason.", None)) }
            @else { (table(&page.items, now)) }
            (ui::pages("/dead-letters", asked.cursor.map(|_| ""), page.next.as_deref()))
        }
    };
    let body = ui::region("list", &visitor.address, &content);
    Ok(shell::render(&visitor, Page { title: "Dead letters", place: Place::Letters, live: live::lists(), body }))
}

fn table(letters: &[DeadLetterView], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Dead letters" {
            table {
                thead { tr {
                    th scope="col" { "Letter" } th scope="col" { "State" } th scope="col" { "Why" } th scope="col" { "Kind" } th scope="col" { "From" }
                    th scope="col" { "Sender" } th.number scope="col" { "Failures" } th scope="col" { "Received" }
                } }
                tbody { @for letter in letters { tr id={ "r-" (letter.id) } data-row {
                    td.key { a id={ "l-" (letter.id) } href={ "/dead-letters/" (letter.id) } { "#" (letter.id) } }
                    td.nowrap { (ui::badge(state(letter))) }
                    td.wide { (ui::cell(&letter.reason)) }
                    td { (letter.kind.as_deref().unwrap_or("–")) }
                    td { (letter.source) }
                    td { (letter.app_id.as_deref().unwrap_or("–")) }
                    td.number { (letter.failures) }
                    td.nowrap { (ui::when(letter.received_at, now)) }
                } } }
            }
        }
    }
}

fn state(letter: &DeadLetterView) -> &'static str {
    if letter.redriven_at.is_some() { "done" } else { "waiting" }
}

pub(super) async fn show(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    let mut conn = api.app.store.background().await?;
    let found = views::dead_letter(&mut conn, id).await?;
    drop(conn);
    let letter = found.ok_or_else(|| Problem::not_found(format!("there is no dead letter {id}")))?;
    let body = page(&letter, api.app.clock.now());
    Ok(shell::render(&visitor, Page { title: &format!("Dead letter #{id}"), place: Place::Letters, live: None, body }))
}

fn page(letter: &DeadLetterView, now: Timestamp) -> Markup {
    let address = |deed: &str| format!("/dead-letters/{}/do/{deed}", letter.id);
    html! {
        section.card aria-label="Summary" {
            header { (ui::badge(state(letter))) }
            div.note.is-failed { p { (letter.reason) } }
            dl.facts {
                (ui::fact("Received", &ui::when(letter.received_at, now)))
                (ui::fact("From", &html! { (letter.source) }))
                (ui::fact("Exchange", &html! { (letter.exchange) }))
                (ui::fact("Routing key", &html! { (letter.routing_key) }))
                (ui::fact("Kind", &html! { (letter.kind.as_deref().unwrap_or("–")) }))
                (ui::fact("Sender", &html! { (letter.app_id.as_deref().unwrap_or("–")) @if let Some(user) = &letter.user_id { span.quiet { " (" (user) ")" } } }))
                (ui::fact("Message id", &html! { code { (letter.message_id.as_deref().unwrap_or("–")) } }))
                (ui::fact("Failures", &html! { (letter.failures) }))
                (ui::fact("Published again", &html! { (letter.redriven) " times, last " (ui::when_some(letter.redriven_at, now)) }))
                @if let Some(instance) = letter.instance { (ui::fact("Instance", &ui::instance_link(instance, None))) }
            }
        }
        section.card {
            header { h2 { "What to do" } }
            form.stack method="post" action=(address("redrive")) {
                label for="reason" { "Reason, kept in the audit log" }
                input #reason name="reason" maxlength="1000" autocomplete="off";
                p.quiet { "Publish it again when the reason is mended. To drop it is for ever: its body is gone then." }
                div.row {
                    button.primary type="submit" { "Publish it again" }
                    button.danger type="submit" formaction=(address("drop")) { "Drop it" }
                }
            }
        }
        section.card {
            header { h2 { "Body" } p.quiet { (ui::grouped(letter.body_bytes)) " bytes" } }
            pre.json tabindex="0" { code { (letter.body.as_deref().or(letter.body_hex.as_deref()).unwrap_or("")) } }
            @if !letter.headers.is_empty() { details #headers { summary { "Headers" } dl.facts { @for (name, value) in &letter.headers { (ui::fact(name, &html! { (value) })) } } } }
        }
    }
}

pub(super) async fn act(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path((id, deed)): Path<(i64, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    let (reason, actor) = (fields.some("reason"), visitor.actor()?);
    match deed.as_str() {
        "redrive" => {
            command::redrive(&api.app, id, reason.as_deref(), &actor).await?;
            Ok(Redirect::to(&format!("/dead-letters/{id}")).into_response())
        }
        "drop" => {
            dead_letter::discard(&api.app, id, reason.as_deref(), &actor).await?;
            Ok(Redirect::to("/dead-letters").into_response())
        }
        other => {
            Err(Problem::not_found(format!("`{}` is not done with a dead letter", request::shorten(other))).into())
        }
    }
}

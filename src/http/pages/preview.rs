//! What an operation would change, and the button that does it.

use maud::{Markup, html};
use serde_json::Value;

use super::form::Fields;
use super::ui;
use crate::contract::api::{ControlPreview, WaitPreview};

/// A preview, with the form that does what it shows.
pub(super) fn shown(preview: &ControlPreview, fields: &Fields, address: &str, back: &str, words: &str) -> Markup {
    html! {
        section.card {
            header { h2 { "Nothing has been changed yet" } }
            dl.facts {
                (ui::fact("Status", &html! { (ui::badge(&preview.status.from)) @if preview.status.to != preview.status.from { " → " (ui::badge(&preview.status.to)) } }))
                (ui::fact("At", &html! { (list(&preview.at.from)) @if preview.at.to != preview.at.from { " → " strong { (list(&preview.at.to)) } } }))
                @if preview.queue.from != preview.queue.to { (ui::fact("Queue", &html! { (preview.queue.from) " → " strong { (preview.queue.to) } })) }
                @if preview.priority.from != preview.priority.to { (ui::fact("Priority", &html! { (preview.priority.from) " → " strong { (preview.priority.to) } })) }
            }
            @if let Some(starts) = &preview.starts { p.note { "A new instance of " strong { (starts.definition) " v" (starts.version) } " starts at " (list(&starts.at)) "." } }
            @if !preview.variables.is_empty() { div { h3 { "Variables that change" } (ui::json(&Value::Object(preview.variables.clone()))) } }
            @if let Some(done) = preview.done_since.as_ref().filter(|done| !done.items.is_empty()) {
                div.note.is-suspended {
                    p { "Done since then, and kept, not undone:" }
                    ul { @for item in &done.items { li { code { (item.activity) } } } }
                    @if done.more { p { "and more" } }
                }
            }
            (waits("Waits that end", &preview.ends)) (waits("Waits that begin", &preview.opens))
            (confirm(preview, fields, address, back, words))
        }
        section.card {
            header { h2 { "What the history would say" } }
            ul { @for entry in &preview.history { li { (entry.kind) @if let Some(activity) = &entry.activity { span.quiet { " · " (activity) } } } } }
            @if !preview.events.is_empty() { p.quiet { "Events: " (preview.events.join(", ")) } }
        }
    }
}

fn confirm(preview: &ControlPreview, fields: &Fields, address: &str, back: &str, words: &str) -> Markup {
    html! {
        form.row method="post" action=(address) {
            (ui::hidden("step", "execute")) (ui::hidden("revision", &preview.revision.to_string()))
            @for name in ["key", "reason", "result", "activity", "variables", "queue", "priority"] {
                @if !fields.text(name).is_empty() { (ui::hidden(name, fields.text(name))) }
            }
            button.primary type="submit" { (words) " now" }
            a.button href=(back) { "Leave it as it is" }
        }
    }
}

fn list(activities: &[String]) -> String {
    if activities.is_empty() { "no activity".into() } else { activities.join(", ") }
}

fn waits(title: &str, waits: &[WaitPreview]) -> Markup {
    html! {
        @if !waits.is_empty() {
            div { h3 { (title) } ul { @for wait in waits { li { (wait.kind) span.quiet { " · " (wait.activity) } } } } }
        }
    }
}

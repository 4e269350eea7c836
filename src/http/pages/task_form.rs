//! The form of a task: a field for each part of its JSON Schema, and a choice of its decisions.

use maud::{Markup, html};
use serde_json::Value;

use super::form_fields::{Field, Kind, value, written};

/// The fields, with what was filled in so far.
pub(super) fn inputs(fields: &[Field], form: &Value) -> Markup {
    html! { @for (at, field) in fields.iter().enumerate() { (input(at, field, value(field, form))) } }
}

fn input(at: usize, field: &Field, value: &Value) -> Markup {
    let (id, name, text) = (format!("f-{at}"), field.name(), written(field, value));
    let hint = field.hint.as_ref().map(|_| format!("{id}-hint"));
    html! {
        @match &field.kind {
            Kind::Flag => label.choice for=(id) {
                input id=(id) type="checkbox" name=(name) checked[value == &Value::Bool(true)] aria-describedby=[hint.as_deref()]; (field.title)
            },
            _ => {
                label for=(id) { (field.title) @if field.required { span.quiet { " (required)" } } }
                (control(field, &id, &name, &text, hint.as_deref()))
            }
        }
        @if let Some(words) = &field.hint { p.hint id=[hint.as_deref()] { (words) } }
    }
}

fn control(field: &Field, id: &str, name: &str, text: &str, hint: Option<&str>) -> Markup {
    let required = field.required;
    html! {
        @match &field.kind {
            Kind::Text { long: true, length_max, .. } => textarea id=(id) name=(name) maxlength=[*length_max] required[required] aria-describedby=[hint] { (text) },
            Kind::Text { input, length_max, .. } => { input id=(id) name=(name) type=(input) value=(text) maxlength=[*length_max] required[required] aria-describedby=[hint] autocomplete="off"; }
            Kind::Number { whole, min, max } => { input id=(id) name=(name) type="number" step=(if *whole { "1" } else { "any" }) min=[*min] max=[*max] value=(text) required[required] aria-describedby=[hint]; }
            Kind::Choice(choices) => select id=(id) name=(name) required[required] aria-describedby=[hint] {
                option value="" { "–" }
                @for choice in choices { @let words = written(field, choice); option value=(words) selected[words == text] { (words) } }
            },
            Kind::Lines => textarea id=(id) name=(name) required[required] aria-describedby=[hint] placeholder="one a line" { (text) },
            Kind::Json | Kind::Flag => textarea id=(id) name=(name) required[required] aria-describedby=[hint] spellcheck="false" { (text) },
        }
    }
}

/// The decisions of a task: names with their labels.
pub(super) fn decisions(decisions: &Value) -> Vec<(String, String)> {
    let one = |decision: &Value| {
        let name = decision["name"].as_str()?;
        Some((name.to_owned(), decision["label"].as_str().unwrap_or(name).to_owned()))
    };
    match decisions {
        Value::Array(list) => list.iter().filter_map(one).collect(),
        Value::Object(map) => {
            map.iter().map(|(name, label)| (name.clone(), label.as_str().unwrap_or(name).to_owned())).collect()
        }
        _ => Vec::new(),
    }
}

//! The language of documents as a JSON Schema, with which editors complete and check documents.
//!
//! The keys are those that the reader accepts: each map is made from the same [`Keys`]. A schema cannot see everything that the
//! checker sees: names, targets, expressions and what they mean.

mod flow;
mod requests;
mod tasks;
mod values;
mod works;

use serde_json::{Map, Value, json};

use super::document::ACTIVITIES_MAX;
use super::document::activity::{ACTIVITY, WORK};
use super::document::search::ATTRIBUTE;
use super::document::{DOCUMENT, EVENTS};
use super::yaml::cursor::Keys;
use values::{
    a, assignments, described, duration, expression, list_of, map_of, name, plain, retention, target, template, whole,
    word_of,
};

/// The value of a key and what it is for; none for a key that the schema does not know.
type Described = Option<(Value, &'static str)>;

/// The JSON Schema (draft-07, which every editor knows) of a document.
pub fn json_schema() -> Value {
    let mut root = map(&DOCUMENT, &["name", "activities"], document);
    let parts = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A workflow of Leveret",
        "description": "The names, targets and expressions inside are checked by `leveret definition check`.",
        "definitions": definitions(),
    });
    extend(&mut root, parts);
    root
}

fn definitions() -> Value {
    let mut all = values::definitions();
    extend(&mut all, flow::definitions());
    extend(&mut all, works::definitions());
    extend(&mut all, tasks::definitions());
    extend(&mut all, requests::definitions());
    extend(
        &mut all,
        json!({ "activity": activity(), "events": map(&EVENTS, &[], |_| Some((json!({ "type": "boolean" }), "Whether these events are published."))) }),
    );
    all
}

/// A map with these keys; `described` has the value of each.
fn map(keys: &Keys, required: &[&str], describe: fn(&str) -> Described) -> Value {
    let property = |key: &&str| {
        let (value, text) = describe(key).unwrap_or((json!(true), ""));
        ((*key).to_owned(), described(value, text))
    };
    let properties: Map<String, Value> = keys.known.iter().map(property).collect();
    let mut map = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        map["required"] = json!(required);
    }
    map
}

/// Adds the members of another map.
fn extend(map: &mut Value, other: Value) {
    if let (Some(map), Value::Object(other)) = (map.as_object_mut(), other) {
        map.extend(other);
    }
}

/// A search attribute: an expression, or one with a declared type.
fn attribute() -> Value {
    let mut typed = map(&ATTRIBUTE, &[], |_| Some((expression(), "The value; an attribute of another type has none.")));
    typed["minProperties"] = json!(1);
    typed["maxProperties"] = json!(1);
    json!({ "anyOf": [expression(), typed] })
}

/// Whether one of these keys is there.
fn has(key: &str) -> Value {
    json!({ "required": [key] })
}

/// A rule: if the first holds, none of these keys is allowed.
fn refuse(when: Value, keys: &[&str]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), json!(false))).collect();
    json!({ "if": when, "then": { "properties": properties } })
}

fn document(key: &str) -> Described {
    Some(match key {
        "name" => (name(), "The name by which instances are started."),
        "title" => (plain(), "A name for people."),
        "description" => (plain(), "A description for people."),
        "input" => (a("schema"), "JSON Schema (2020-12) of the input; checked when an instance starts."),
        "variables" => (
            json!({ "type": "object", "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 127 } }),
            "The variables with their initial values; values, not expressions.",
        ),
        "output" => (json!(true), "The output of a completed instance; strings are templates."),
        "timeout" => (duration(), "The longest total time of an instance; `none` for no limit."),
        "on_timeout" => (target(), "Where an instance continues whose `timeout` expired."),
        "on_error" => (list_of(a("onError")), "Handlers of errors that no activity handled."),
        "on_failure" => (
            json!({ "anyOf": [word_of(&["suspend", "fail"]), a("onFailure")] }),
            "An error that nothing handles: `suspend` opens an incident for a person, `fail` ends the instance as failed.",
        ),
        "retention" => (
            retention(),
            "How long ended instances are kept: a duration, or `forever`. That of the newest version counts for all.",
        ),
        "events" => (a("events"), "Which events are published."),
        "search" => (
            map_of(attribute()),
            "Search attributes: expressions, evaluated when variables change; filters read them as `var.name`.",
        ),
        "queue" => (name(), "The queue of the step commands."),
        "priority" => (
            whole(i64::from(i16::MIN), i64::from(i16::MAX)),
            "Above 0, its instances go before others when workers are behind.",
        ),
        "limits" => (
            a("startLimits"),
            "How many instances may start per time, and how many may live, of all versions together.",
        ),
        "labels" => (map_of(plain()), "Labels, stored with the document."),
        "activities" => (
            json!({ "type": "array", "items": a("activity"), "minItems": 1, "maxItems": ACTIVITIES_MAX }),
            "The activities in order; an instance starts at the first.",
        ),
        _ => return None,
    })
}

fn activity() -> Value {
    let mut map = map(&ACTIVITY, &["id"], activity_key);
    map["oneOf"] = WORK.iter().map(|work| has(work)).collect();
    let not_outside = json!({ "not": { "anyOf": [has("http"), has("call")] } });
    map["allOf"] = json!([
        refuse(has("switch"), &["next"]),
        refuse(has("raise"), &["output"]),
        refuse(has("end"), &["next", "output"]),
        refuse(not_outside, &["limits"]),
    ]);
    map
}

fn activity_key(key: &str) -> Described {
    Some(match key {
        "id" => (
            json!({ "allOf": [name()], "not": { "const": "exit" } }),
            "The id, unique in the document; other activities continue here with it.",
        ),
        "title" => (template(), "A name for people; a template."),
        "when" => (expression(), "The activity is skipped unless this is true."),
        "output" => (assignments(), "Assigns variables after the work: `name: expression`."),
        "next" => {
            (a("next"), "Where the branch continues: an id, a list of `{ when, to }`, or a map by message or decision.")
        }
        "timeout" => (
            duration(),
            "Limits each attempt of a `run`, `http` or `call`, or the whole wait; `none` removes a default.",
        ),
        "on_timeout" => (target(), "Short for a first `on_error` entry with the code `timeout`."),
        "retry" => (a("retry"), "When failed work is retried: `none`, a policy, or a list of policies."),
        "on_error" => (list_of(a("onError")), "Handlers of errors; the first match is used."),
        "labels" => (map_of(plain()), "Labels, stored with the document."),
        "limits" => (a("limits"), "How often, and how many at once; only `http` and `call`."),
        work => return works::work(work),
    })
}

#[cfg(test)]
mod tests;

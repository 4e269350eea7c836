//! Values that many keys share.

use serde_json::{Value, json};

use crate::definition::schema::keywords;
use crate::definition::yaml::cursor::NAME_MAX;
use crate::time::retention::FOREVER;

/// A duration as [`crate::time::duration::parse`] reads it.
const DURATION: &str = r"^\s*([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w)\s*)+$";
/// Words of letters, digits, `_` and `-`, with dots between them.
const CODE: &str = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$";
/// A text with an expression.
const FILLED: &str = r"\$\{";

/// A value that `definitions` has under this name.
pub(super) fn a(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// The same value with a description for the author.
pub(super) fn described(value: Value, text: &str) -> Value {
    match value {
        // Beside a `$ref` other keywords have no effect.
        Value::Object(map) if map.contains_key("$ref") => json!({ "allOf": [map], "description": text }),
        Value::Object(mut map) => {
            map.insert("description".into(), text.into());
            Value::Object(map)
        }
        Value::Bool(true) => json!({ "description": text }),
        other => other,
    }
}

/// A name: of a definition, an activity, a queue, a work.
pub(super) fn name() -> Value {
    json!({ "type": "string", "pattern": "^[a-z][a-z0-9_-]*$", "maxLength": NAME_MAX })
}

/// The id of an activity, or `exit`.
pub(super) fn target() -> Value {
    name()
}

/// A string without expressions.
pub(super) fn plain() -> Value {
    json!({ "type": "string", "not": { "pattern": FILLED } })
}

/// One of these words.
pub(super) fn word_of(words: &[&str]) -> Value {
    json!({ "enum": words })
}

/// The name of a handler, a statement or an event.
pub(super) fn code() -> Value {
    json!({ "type": "string", "pattern": CODE, "maxLength": 255 })
}

/// A code, or an expression that gives one.
pub(super) fn filled_code() -> Value {
    json!({ "type": ["string", "number"], "anyOf": [{ "pattern": CODE }, { "pattern": FILLED }] })
}

/// A string that may contain `${ }`; a number is read as a string.
pub(super) fn template() -> Value {
    json!({ "type": ["string", "number"] })
}

/// A bare expression.
pub(super) fn expression() -> Value {
    json!({ "type": ["string", "boolean"], "minLength": 1 })
}

/// `name: expression` for variables.
pub(super) fn assignments() -> Value {
    json!({ "type": "object" })
}

/// A duration, or an expression that gives one, or `none`.
pub(super) fn duration() -> Value {
    json!({ "type": "string", "anyOf": [{ "pattern": DURATION }, { "pattern": FILLED }, { "const": "none" }] })
}

/// A duration without expressions.
pub(super) fn fixed_duration() -> Value {
    json!({ "type": "string", "pattern": DURATION })
}

/// A duration without expressions, or `forever`.
pub(super) fn retention() -> Value {
    json!({ "type": "string", "anyOf": [{ "pattern": DURATION }, { "const": FOREVER }] })
}

/// A duration or a timestamp, or an expression that gives one.
pub(super) fn time() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

pub(super) fn whole(least: i64, most: i64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

/// A whole number, or an expression that gives one.
pub(super) fn filled_whole(least: i64, most: i64) -> Value {
    json!({ "anyOf": [whole(least, most), { "type": "string", "pattern": FILLED }] })
}

pub(super) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn list_of(item: Value) -> Value {
    json!({ "type": "array", "items": item, "minItems": 1 })
}

/// One of it, or a list of them.
pub(super) fn one_or_list(item: Value) -> Value {
    json!({ "anyOf": [item.clone(), list_of(item)] })
}

pub(super) fn map_of(value: Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

/// A JSON Schema in the document: its keywords complete, and keywords of the author's own are allowed.
pub(super) fn definitions() -> Value {
    let mut properties = serde_json::Map::new();
    let all = |value: Value| move |keyword: &str| (keyword.to_owned(), value.clone());
    let plain = keywords::PLAIN.into_iter().filter(|keyword| !keywords::UNCHECKED.contains(keyword));
    properties.extend(plain.map(all(json!(true))));
    let schema = json!({ "anyOf": [{ "type": "boolean" }, a("schemaPart")] });
    properties.extend(keywords::ONE.into_iter().map(all(schema.clone())));
    properties.extend(keywords::LISTS.into_iter().map(all(list_of(schema.clone()))));
    properties.extend(keywords::MAPS.into_iter().map(all(map_of(schema))));
    let types = word_of(&keywords::TYPES);
    properties.insert("type".into(), one_or_list(types));
    properties.insert("format".into(), json!({ "type": "string", "examples": keywords::FORMATS }));
    properties.insert("required".into(), json!({ "type": "array", "items": { "type": "string" } }));
    properties.insert("$schema".into(), json!({ "pattern": format!("^{}#?$", keywords::VERSION) }));
    json!({
        "schemaPart": { "type": "object", "properties": properties },
        "schema": { "allOf": [a("schemaPart")], "properties": { "type": { "const": "object" } } },
    })
}

//! A schema in which every schema looks at the value that it applies to, so that a validation cannot go on without being counted.

use serde_json::{Map, Value, json};

use super::keywords;

/// The types of all values. The validator checks `type` first.
const EVERY_TYPE: [&str; 6] = ["array", "boolean", "null", "number", "object", "string"];

/// The same schema with a `type` in every schema; one that was absent permits all. No reference leads elsewhere by it.
pub(super) fn typed(schema: &Value) -> Value {
    match schema {
        Value::Object(written) => {
            let mut typed: Map<String, Value> =
                written.iter().map(|(keyword, value)| (keyword.clone(), inside(keyword, value))).collect();
            typed.entry("type").or_insert_with(|| json!(EVERY_TYPE));
            Value::Object(typed)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => schema.clone(),
    }
}

fn inside(keyword: &str, value: &Value) -> Value {
    match value {
        one if keywords::ONE.contains(&keyword) => typed(one),
        Value::Array(schemas) if keywords::LISTS.contains(&keyword) => schemas.iter().map(branch).collect(),
        Value::Object(schemas) if keywords::MAPS.contains(&keyword) => {
            schemas.iter().map(|(name, schema)| (name.clone(), typed(schema))).collect()
        }
        other => other.clone(),
    }
}

/// One of several schemas for a value. `true` and `false` look at nothing, and there may be thousands of them.
fn branch(schema: &Value) -> Value {
    match schema {
        Value::Bool(true) => json!({ "type": EVERY_TYPE }),
        Value::Bool(false) => json!({ "type": EVERY_TYPE, "not": { "type": EVERY_TYPE } }),
        schema => typed(schema),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_looks_at_its_value_and_nothing_else_changes() {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "string"}, "type": {"enum": [{"properties": {}}]}, "b": false},
            "anyOf": [true, false, {"$ref": "#/$defs/d"}],
            "additionalProperties": false,
            "$defs": {"d": {"default": {"items": {}}}},
        });
        let every = json!(EVERY_TYPE);
        let expected = json!({
            "type": "object",
            "properties": {
                "a": {"type": "string"}, "type": {"type": every, "enum": [{"properties": {}}]}, "b": false,
            },
            "anyOf": [
                {"type": every}, {"type": every, "not": {"type": every}}, {"type": every, "$ref": "#/$defs/d"},
            ],
            "additionalProperties": false,
            "$defs": {"d": {"type": every, "default": {"items": {}}}},
        });
        assert_eq!(typed(&schema), expected);
    }
}

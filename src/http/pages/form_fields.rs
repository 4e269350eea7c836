//! The fields of a JSON Schema: what a form asks for, and the value that its answers make. Pure. What a schema says beyond this is checked
//! when the task is completed; a part that no field can hold is written as JSON.

use serde_json::{Map, Number, Value};

use super::form::Fields;
use crate::contract;

/// Objects inside of objects that get fields of their own; deeper ones are written as JSON.
const DEPTH_MAX: usize = 3;
/// Fields of one form; more are written as JSON.
const FIELDS_MAX: usize = 200;

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// The names from the outermost object to this value.
    pub(super) path: Vec<String>,
    pub(super) title: String,
    pub(super) hint: Option<String>,
    pub(super) required: bool,
    pub(super) kind: Kind,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text {
        long: bool,
        length_max: Option<u64>,
        input: &'static str,
    },
    Number {
        whole: bool,
        min: Option<f64>,
        max: Option<f64>,
    },
    Flag,
    Choice(Vec<Value>),
    /// Texts, one a line.
    Lines,
    Json,
}

impl Field {
    /// The name in the form.
    pub(super) fn name(&self) -> String {
        format!("form.{}", self.path.join("."))
    }
}

/// The fields of a schema, required ones first.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    if schema["properties"].is_object() {
        collect(schema, &[], &mut found);
    }
    // The database keeps no order of names.
    found.sort_by_key(|field| !field.required);
    if found.is_empty() || found.len() > FIELDS_MAX {
        return vec![Field {
            path: Vec::new(),
            title: "Form, as JSON".into(),
            hint: text(schema, "description"),
            required: true,
            kind: Kind::Json,
        }];
    }
    found
}

fn collect(schema: &Value, path: &[String], found: &mut Vec<Field>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, part) in properties {
        let path: Vec<String> = path.iter().chain([name]).cloned().collect();
        if part["properties"].is_object() && path.len() < DEPTH_MAX {
            collect(part, &path, found);
            continue;
        }
        let title = text(part, "title").unwrap_or_else(|| path.join(" › "));
        found.push(Field {
            path,
            title,
            hint: text(part, "description"),
            required: required.contains(&name.as_str()),
            kind: kind(part),
        });
    }
}

fn text(schema: &Value, name: &str) -> Option<String> {
    schema[name].as_str().map(str::to_owned)
}

fn kind(schema: &Value) -> Kind {
    if let Some(choices) = schema["enum"].as_array() {
        return Kind::Choice(choices.clone());
    }
    match schema["type"].as_str() {
        Some("string") => text_kind(schema),
        Some("integer") => {
            Kind::Number { whole: true, min: schema["minimum"].as_f64(), max: schema["maximum"].as_f64() }
        }
        Some("number") => {
            Kind::Number { whole: false, min: schema["minimum"].as_f64(), max: schema["maximum"].as_f64() }
        }
        Some("boolean") => Kind::Flag,
        Some("array") if schema["items"]["type"] == "string" && schema["items"]["enum"].is_null() => Kind::Lines,
        _ => Kind::Json,
    }
}

fn text_kind(schema: &Value) -> Kind {
    let length_max = schema["maxLength"].as_u64();
    let input = match schema["format"].as_str() {
        Some("date") => "date",
        Some("email") => "email",
        Some("uri") => "url",
        _ => "text",
    };
    Kind::Text { long: length_max.is_some_and(|max| max > 200), length_max, input }
}

/// The value of a field in a form that was filled in before.
pub(super) fn value<'v>(field: &Field, form: &'v Value) -> &'v Value {
    field.path.iter().fold(form, |value, name| &value[name.as_str()])
}

/// A value as its field shows it.
pub(super) fn written(field: &Field, value: &Value) -> String {
    match (&field.kind, value) {
        (_, Value::Null) => String::new(),
        (Kind::Lines, Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        (Kind::Json, value) => serde_json::to_string_pretty(value).unwrap_or_default(),
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    }
}

/// The form as it was filled in. Empty fields are left out, so that what is required is found missing.
///
/// # Errors
/// A sentence that names the field.
pub(super) fn filled(fields: &[Field], said: &Fields) -> Result<Value, String> {
    let mut form = Value::Object(Map::new());
    for field in fields {
        let name = field.name();
        let Some(value) = read(field, said.text(&name)).map_err(|why| format!("“{}” {why}", field.title))? else {
            continue;
        };
        put(&mut form, &field.path, value);
    }
    Ok(form)
}

fn read(field: &Field, text: &str) -> Result<Option<Value>, String> {
    match &field.kind {
        // A box that is not checked is not sent.
        Kind::Flag => return Ok(Some(Value::Bool(!text.is_empty()))),
        _ if text.trim().is_empty() => return Ok(None),
        _ => {}
    }
    let value = match &field.kind {
        // A browser sends lines with both characters of their ends.
        Kind::Text { .. } => Value::String(text.replace("\r\n", "\n")),
        Kind::Number { whole: true, .. } => {
            Value::Number(text.trim().parse::<i64>().map_err(|_| "must be a whole number")?.into())
        }
        Kind::Number { whole: false, .. } => number(text.trim()).ok_or("must be a number")?,
        Kind::Choice(choices) => {
            let chosen = choices.iter().find(|choice| written(field, choice) == text);
            chosen.cloned().ok_or("must be one of the choices")?
        }
        Kind::Lines => text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Value::from).collect(),
        Kind::Json => contract::json::read(text.as_bytes()).map_err(|refused| refused.to_string())?,
        Kind::Flag => Value::Bool(true),
    };
    Ok(Some(value))
}

/// A number as it is written: one without a fraction stays whole.
fn number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    Number::from_f64(text.parse().ok()?).map(Value::Number)
}

fn put(form: &mut Value, path: &[String], value: Value) {
    let Some((last, before)) = path.split_last() else {
        *form = value;
        return;
    };
    let mut place = form;
    for name in before {
        place = &mut place[name.as_str()];
    }
    place[last.as_str()] = value;
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use serde_json::json;

    use super::*;

    fn said(text: &str) -> Fields {
        Fields::read(&Bytes::from(text.to_owned())).unwrap()
    }

    #[test]
    fn every_kind_of_field_is_read_as_its_type() {
        let schema = json!({ "type": "object", "required": ["amount"], "properties": {
            "amount": { "type": "number" }, "count": { "type": "integer" }, "paid": { "type": "boolean" },
            "colour": { "enum": ["red", 3] }, "tags": { "type": "array", "items": { "type": "string" } },
            "note": { "type": "string", "maxLength": 500 }, "to": { "type": "object", "properties": { "city": { "type": "string" } } },
            "rest": { "type": "array" }, "left_out": { "type": "string" },
        } });
        let fields = fields(&schema);
        assert_eq!(fields.len(), 9);
        let sent = "form.amount=7.5&form.count=3&form.paid=on&form.colour=3&form.tags=a%0D%0Ab&form.note=x%0D%0Ay&form.to.city=Ulm&form.rest=[1]";
        let form = filled(&fields, &said(sent)).unwrap();
        let expected = json!({ "amount": 7.5, "count": 3, "paid": true, "colour": 3, "tags": ["a", "b"], "note": "x\ny", "to": { "city": "Ulm" }, "rest": [1] });
        assert_eq!(form, expected);
        for field in &fields {
            assert_eq!(written(field, value(field, &form)).is_empty(), field.path == ["left_out"], "{field:?}");
        }
    }

    #[test]
    fn a_wrong_value_names_its_field() {
        let fields = fields(&json!({ "properties": { "count": { "type": "integer", "title": "How many" } } }));
        assert_eq!(filled(&fields, &said("form.count=many")), Err("“How many” must be a whole number".into()));
    }

    #[test]
    fn a_schema_without_properties_is_filled_in_as_json() {
        let fields = fields(&json!({ "type": "array" }));
        assert_eq!(filled(&fields, &said("form.=%5B1%5D")), Ok(json!([1])));
        assert!(filled(&fields, &said("form.=%5B")).is_err());
    }
}

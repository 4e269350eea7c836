//! The values an expression computes with. JSON is not converted but looked into: a list or map of the scope is only
//! borrowed, and what an expression does not touch costs nothing.

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map as JsonMap, Number, Value};

use super::bounds::{Budget, Fail};
use crate::resilience::duration;

/// A value while it is computed with.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Always finite.
    Double(f64),
    Text(Text<'a>),
    Bytes(Rc<[u8]>),
    List(List<'a>),
    Map(Map<'a>),
    Moment(Timestamp),
    Span(SignedDuration),
    /// A type, as `type(x)` yields it.
    Kind(&'static str),
    /// An empty optional: `a.?b` where there is no `b`.
    Missing,
}

/// A text, borrowed or built.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Built(Rc<str>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Built(text) => text,
        }
    }
}

/// A list, borrowed or built.
#[derive(Debug, Clone)]
pub(super) enum List<'a> {
    Json(&'a [Value]),
    Built(Rc<Vec<Val<'a>>>),
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            List::Json(list) => list.len(),
            List::Built(list) => list.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<Val<'a>> {
        match self {
            List::Json(list) => list.get(at).map(Val::from_json),
            List::Built(list) => list.get(at).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Val<'a>> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

/// A map, borrowed or built. Keys are texts, as in JSON.
#[derive(Debug, Clone)]
pub(super) enum Map<'a> {
    Json(&'a JsonMap<String, Value>),
    Built(Rc<BTreeMap<String, Val<'a>>>),
}

impl<'a> Map<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Map::Json(map) => map.len(),
            Map::Built(map) => map.len(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Val<'a>> {
        match self {
            Map::Json(map) => map.get(key).map(Val::from_json),
            Map::Built(map) => map.get(key).cloned(),
        }
    }

    pub(super) fn keys(&self) -> Vec<&str> {
        match self {
            Map::Json(map) => map.keys().map(String::as_str).collect(),
            Map::Built(map) => map.keys().map(String::as_str).collect(),
        }
    }
}

impl<'a> Val<'a> {
    /// JSON as the language sees it: whole numbers of 64 bits are ints, all others doubles.
    pub(super) fn from_json(value: &'a Value) -> Self {
        match value {
            Value::Null => Val::Null,
            Value::Bool(value) => Val::Bool(*value),
            Value::Number(number) => number
                .as_i64()
                .map(Val::Int)
                .or_else(|| number.as_f64().filter(|n| n.is_finite()).map(Val::Double))
                .unwrap_or(Val::Null),
            Value::String(text) => Val::Text(Text::Borrowed(text)),
            Value::Array(list) => Val::List(List::Json(list)),
            Value::Object(map) => Val::Map(Map::Json(map)),
        }
    }

    /// JSON that nobody else holds.
    pub(super) fn built_from_json(value: Value, budget: &mut Budget) -> Result<Self, Fail> {
        budget.step()?;
        Ok(match value {
            Value::String(text) => Val::text(text, budget)?,
            Value::Array(list) => {
                budget.build_values(list.len())?;
                let list: Result<Vec<_>, _> = list.into_iter().map(|v| Val::built_from_json(v, budget)).collect();
                Val::list(list?)
            }
            Value::Object(map) => {
                budget.build_map(map.len())?;
                let map: Result<BTreeMap<_, _>, Fail> = map
                    .into_iter()
                    .map(|(key, v)| {
                        budget.build(key.len())?;
                        Ok((key, Val::built_from_json(v, budget)?))
                    })
                    .collect();
                Val::map(map?)
            }
            Value::Bool(value) => Val::Bool(value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(int), _) => Val::Int(int),
                (None, Some(double)) => Val::finite(double)?,
                (None, None) => Val::Null,
            },
            Value::Null => Val::Null,
        })
    }

    /// A double, unless it is none that JSON knows.
    pub(super) fn finite(value: f64) -> Result<Self, Fail> {
        if value.is_finite() { Ok(Val::Double(value)) } else { Err(Fail::wrong("the result is no finite number")) }
    }

    pub(super) fn text(text: impl Into<Rc<str>>, budget: &mut Budget) -> Result<Self, Fail> {
        let text = text.into();
        budget.build(text.len())?;
        Ok(Val::Text(Text::Built(text)))
    }

    /// A list that was paid for.
    pub(super) fn list(list: Vec<Val<'a>>) -> Self {
        Val::List(List::Built(Rc::new(list)))
    }

    /// A map that was paid for.
    pub(super) fn map(map: BTreeMap<String, Val<'a>>) -> Self {
        Val::Map(Map::Built(Rc::new(map)))
    }

    /// What it is, for a sentence.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Val::Null => "null",
            Val::Bool(_) => "a boolean",
            Val::Int(_) => "an int",
            Val::Double(_) => "a double",
            Val::Text(_) => "a text",
            Val::Bytes(_) => "bytes",
            Val::List(_) => "a list",
            Val::Map(_) => "a map",
            Val::Moment(_) => "a moment",
            Val::Span(_) => "a duration",
            Val::Kind(_) => "a type",
            Val::Missing => "missing",
        }
    }

    /// CEL's name of its type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Double(_) => "double",
            Val::Text(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::List(_) => "list",
            Val::Map(_) => "map",
            Val::Moment(_) => "google.protobuf.Timestamp",
            Val::Span(_) => "google.protobuf.Duration",
            Val::Kind(_) => "type",
            Val::Missing => "optional_type",
        }
    }

    /// As JSON: moments as RFC 3339, durations as our text, bytes as base64, an empty optional as null.
    pub(super) fn to_json(&self, budget: &mut Budget) -> Result<Value, Fail> {
        budget.build_values(1)?;
        Ok(match self {
            Val::Null | Val::Missing => Value::Null,
            Val::Bool(value) => Value::Bool(*value),
            Val::Int(value) => Value::from(*value),
            Val::Double(value) => {
                Value::Number(Number::from_f64(*value).ok_or_else(|| Fail::wrong("the result is no finite number"))?)
            }
            Val::List(list) => {
                let list: Result<Vec<_>, _> = list.iter().map(|item| item.to_json(budget)).collect();
                Value::Array(list?)
            }
            Val::Map(map) => {
                let mut json = JsonMap::new();
                budget.build_map(map.len())?;
                for key in map.keys() {
                    budget.build(key.len())?;
                    storable(key)?;
                    let value = map.get(key).unwrap_or(Val::Null).to_json(budget)?;
                    json.insert(key.to_owned(), value);
                }
                Value::Object(json)
            }
            Val::Text(_) | Val::Bytes(_) | Val::Moment(_) | Val::Span(_) | Val::Kind(_) => {
                Value::String(self.to_text(budget)?)
            }
        })
    }

    /// As text among text: null prints nothing, whole numbers print without fraction, lists and maps as JSON.
    pub(super) fn to_text(&self, budget: &mut Budget) -> Result<String, Fail> {
        let text = match self {
            Val::Null | Val::Missing => String::new(),
            Val::Bool(value) => value.to_string(),
            Val::Int(value) => value.to_string(),
            Val::Double(value) => value.to_string(),
            Val::Text(text) => storable(text.as_str())?.to_owned(),
            Val::Bytes(bytes) => {
                budget.build(bytes.len())?;
                base64::engine::general_purpose::STANDARD.encode(bytes)
            }
            Val::List(_) | Val::Map(_) => self.to_json(budget)?.to_string(),
            Val::Moment(moment) => moment.to_string(),
            Val::Span(span) => span_text(*span),
            Val::Kind(name) => (*name).to_owned(),
        };
        budget.build(text.len())?;
        Ok(text)
    }
}

/// A text that may leave the expression. What PostgreSQL cannot keep would never be committed, so it is no value.
fn storable(text: &str) -> Result<&str, Fail> {
    if text.contains('\0') { Err(Fail::wrong("the result holds \\u0000, which cannot be kept")) } else { Ok(text) }
}

/// A duration as people write it, with a sign where it goes back in time.
fn span_text(span: SignedDuration) -> String {
    let sign = if span.is_negative() { "-" } else { "" };
    format!("{sign}{}", duration::format(span.unsigned_abs()))
}

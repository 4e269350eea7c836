//! The values of expressions. Lists and maps of the scope are borrowed JSON, so that values which an expression does not read
//! cost nothing.

use std::rc::Rc;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map as JsonMap, Number, Value};

use super::bounds::{Budget, EvalError};
use super::collections::{Entries, Key, List, Map};
use crate::contract::json;
use crate::time::duration;
use crate::time::moment::LAST;

/// A value during an evaluation.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Written `5u`; JSON has none.
    Uint(u64),
    /// Always finite.
    Double(f64),
    Text(Text<'a>),
    Bytes(Rc<[u8]>),
    List(List<'a>),
    Map(Map<'a>),
    Timestamp(Timestamp),
    Duration(SignedDuration),
    /// A type, the value of `type(x)`.
    Kind(&'static str),
    /// An empty optional: `a.?b` without a `b`.
    Missing,
    /// An optional with a value: `a.?b` with a `b`.
    There(Rc<Val<'a>>),
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

impl<'a> Val<'a> {
    /// The value of JSON: whole numbers of 64 bits are ints, all others doubles. There is no negative zero, which the store does
    /// not keep.
    pub(super) fn from_json(value: &'a Value) -> Self {
        match value {
            Value::Null => Val::Null,
            Value::Bool(value) => Val::Bool(*value),
            Value::Number(number) => number
                .as_i64()
                .map(Val::Int)
                .or_else(|| number.as_f64().filter(|n| n.is_finite()).map(|n| Val::Double(n + 0.0)))
                .unwrap_or(Val::Null),
            Value::String(text) => Val::Text(Text::Borrowed(text)),
            Value::Array(list) => Val::List(List::Json(list)),
            Value::Object(map) => Val::Map(Map::Json(map)),
        }
    }

    /// The value of owned JSON.
    pub(super) fn built_from_json(value: Value, budget: &mut Budget) -> Result<Self, EvalError> {
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
                let mut entries = Entries::default();
                for (key, v) in map {
                    budget.build(key.len())?;
                    entries.insert(Key::Text(&key), Val::built_from_json(v, budget)?);
                }
                Val::map(entries)
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

    /// A double; an error if it is not finite.
    pub(super) fn finite(value: f64) -> Result<Self, EvalError> {
        if value.is_finite() {
            Ok(Val::Double(value))
        } else {
            Err(EvalError::invalid("the result is not a finite number"))
        }
    }

    pub(super) fn text(text: impl Into<Rc<str>>, budget: &mut Budget) -> Result<Self, EvalError> {
        let text = text.into();
        budget.build(text.len())?;
        Ok(Val::Text(Text::Built(text)))
    }

    /// A list whose cost was already spent.
    pub(super) fn list(list: Vec<Val<'a>>) -> Self {
        Val::List(List::Built(Rc::new(list)))
    }

    /// A map whose cost was already spent.
    pub(super) fn map(map: Entries<'a>) -> Self {
        Val::Map(Map::Built(Rc::new(map)))
    }

    /// A timestamp in the range of CEL, the years 1 to 9999.
    pub(super) fn timestamp(moment: Timestamp) -> Result<Self, EvalError> {
        const FIRST: Timestamp = Timestamp::constant(-62_135_596_800, 0);
        if (FIRST..=LAST).contains(&moment) {
            Ok(Val::Timestamp(moment))
        } else {
            Err(EvalError::invalid("the timestamp is out of range"))
        }
    }

    /// A duration of at most 292 years: nanoseconds in 64 bits.
    pub(super) fn span(span: Option<SignedDuration>) -> Result<Self, EvalError> {
        span.filter(|span| i64::try_from(span.as_nanos()).is_ok())
            .map(Val::Duration)
            .ok_or_else(|| EvalError::invalid("the duration is out of range"))
    }

    /// An optional with this value.
    pub(super) fn there(self) -> Self {
        Val::There(Rc::new(self))
    }

    /// The value of an optional, or the value itself.
    pub(super) fn settled(&self) -> &Self {
        let mut value = self;
        while let Val::There(held) = value {
            value = held;
        }
        value
    }

    /// Whether it stands for nothing: null, an empty optional, or an optional of null. What an input, a form or `actors` leaves out
    /// is null, so a default must replace it as well.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.settled(), Val::Null | Val::Missing)
    }

    /// Whether it is the zero value of its type: 0, false, null, an empty string, list or map.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Val::Null | Val::Missing => true,
            Val::Bool(value) => !value,
            Val::Int(value) => *value == 0,
            Val::Uint(value) => *value == 0,
            Val::Double(value) => *value == 0.0,
            Val::Text(text) => text.as_str().is_empty(),
            Val::Bytes(bytes) => bytes.is_empty(),
            Val::List(list) => list.len() == 0,
            Val::Map(map) => map.len() == 0,
            Val::Timestamp(moment) => *moment == Timestamp::UNIX_EPOCH,
            Val::Duration(span) => span.is_zero(),
            Val::Kind(_) | Val::There(_) => false,
        }
    }

    /// Its type, for messages.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Val::Null => "null",
            Val::Bool(_) => "a boolean",
            Val::Int(_) => "an int",
            Val::Uint(_) => "a uint",
            Val::Double(_) => "a double",
            Val::Text(_) => "a string",
            Val::Bytes(_) => "bytes",
            Val::List(_) => "a list",
            Val::Map(_) => "a map",
            Val::Timestamp(_) => "a timestamp",
            Val::Duration(_) => "a duration",
            Val::Kind(_) => "a type",
            Val::Missing => "an empty optional",
            Val::There(_) => "an optional",
        }
    }

    /// Its type in CEL.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Uint(_) => "uint",
            Val::Double(_) => "double",
            Val::Text(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::List(_) => "list",
            Val::Map(_) => "map",
            Val::Timestamp(_) => "google.protobuf.Timestamp",
            Val::Duration(_) => "google.protobuf.Duration",
            Val::Kind(_) => "type",
            Val::Missing | Val::There(_) => "optional_type",
        }
    }

    /// As JSON: timestamps in RFC 3339, durations as in definitions, bytes in base64, an empty optional as null, keys as strings.
    pub(super) fn to_json(&self, budget: &mut Budget) -> Result<Value, EvalError> {
        budget.build_values(1)?;
        Ok(match self {
            Val::Null | Val::Missing => Value::Null,
            Val::Bool(value) => Value::Bool(*value),
            Val::Int(value) => Value::from(*value),
            Val::Uint(value) => i64::try_from(*value).map(Value::from).map_err(|_| {
                EvalError::invalid(
                    "the result is a uint that fits into no 64-bit integer: make it a text with string(…)",
                )
            })?,
            Val::There(value) => value.to_json(budget)?,
            Val::Double(value) => Value::Number(
                Number::from_f64(*value + 0.0)
                    .ok_or_else(|| EvalError::invalid("the result is not a finite number"))?,
            ),
            Val::List(list) => {
                let list: Result<Vec<_>, _> = list.iter().map(|item| item.to_json(budget)).collect();
                Value::Array(list?)
            }
            Val::Map(map) => {
                let mut json = JsonMap::new();
                budget.build_map(map.len())?;
                for key in map.keys() {
                    let text = key.text();
                    budget.build(text.len())?;
                    storable(&text)?;
                    let value = map.find(key).unwrap_or(Val::Null).to_json(budget)?;
                    if json.insert(text.into_owned(), value).is_some() {
                        return Err(EvalError::invalid("two keys of a map are equal as strings"));
                    }
                }
                Value::Object(json)
            }
            Val::Text(_) | Val::Bytes(_) | Val::Timestamp(_) | Val::Duration(_) | Val::Kind(_) => {
                Value::String(self.to_text(budget)?)
            }
        })
    }

    /// As part of a text: null prints nothing, whole numbers print without fraction, lists and maps as JSON.
    pub(super) fn to_text(&self, budget: &mut Budget) -> Result<String, EvalError> {
        let text = match self {
            Val::Null | Val::Missing => String::new(),
            Val::Bool(value) => value.to_string(),
            Val::Int(value) => value.to_string(),
            Val::Uint(value) => value.to_string(),
            Val::There(value) => value.to_text(budget)?,
            Val::Double(value) => (*value + 0.0).to_string(),
            Val::Text(text) => storable(text.as_str())?.to_owned(),
            Val::Bytes(bytes) => {
                budget.build(bytes.len())?;
                base64::engine::general_purpose::STANDARD.encode(bytes)
            }
            Val::List(_) | Val::Map(_) => json::text(&self.to_json(budget)?),
            Val::Timestamp(moment) => moment.to_string(),
            Val::Duration(span) => span_text(*span),
            Val::Kind(name) => (*name).to_owned(),
        };
        budget.build(text.len())?;
        Ok(text)
    }
}

/// A string as the result of an expression. PostgreSQL cannot store U+0000, so it is an error.
fn storable(text: &str) -> Result<&str, EvalError> {
    if text.contains('\0') {
        Err(EvalError::invalid("the result contains U+0000, which cannot be stored"))
    } else {
        Ok(text)
    }
}

/// A duration as in definitions, with a sign if it is negative.
fn span_text(span: SignedDuration) -> String {
    let sign = if span.is_negative() { "-" } else { "" };
    format!("{sign}{}", duration::format(span.unsigned_abs()))
}

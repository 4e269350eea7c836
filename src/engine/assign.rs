//! Assignment of variables, all or none; and the limits of values in history, events and outputs.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::transition::Transition;
use super::{Failure, Instance};

/// The data of an event, and the output of an instance, in bytes of JSON: each is a row and a message, and is held in memory.
const LIMITED_MAX: usize = 1024 * 1024;
/// A value in the history is cut above this many bytes of JSON: the history is for reading, and the instance keeps the value.
const DETAIL_MAX: usize = 2 * 1024;
/// A message in the history is cut above this many bytes.
const SENTENCE_MAX: usize = 1024;

/// The values of variables before an assignment.
pub(super) struct PreviousValues<'a>(Vec<(&'a str, Value)>);

impl<'a> Transition<'a> {
    /// Assigns all of these, or fails with `limit.variables` and has assigned none.
    pub(super) fn assign(&mut self, values: Vec<(&'a str, Value)>) -> Result<PreviousValues<'a>, Failure> {
        if values.is_empty() {
            return Ok(PreviousValues(Vec::new()));
        }
        self.indexes = true;
        let mut before = Vec::with_capacity(values.len());
        for (name, value) in values {
            before.push((name, put(&mut self.instance, name, value)));
            self.assigned.push(name);
        }
        match within(&self.instance.variables, self.context.variables_max) {
            Ok(()) => Ok(PreviousValues(before)),
            Err(failure) => {
                self.unassign(PreviousValues(before));
                Err(failure)
            }
        }
    }

    /// Restores the values before an assignment.
    pub(super) fn unassign(&mut self, before: PreviousValues<'a>) {
        let kept = self.assigned.len().saturating_sub(before.0.len());
        self.assigned.truncate(kept);
        for (name, value) in before.0.into_iter().rev() {
            put(&mut self.instance, name, value);
        }
    }

    /// The variables assigned since the last history entry.
    pub(super) fn take_assigned(&mut self) -> Option<Value> {
        if self.assigned.is_empty() {
            return None;
        }
        let names = std::mem::take(&mut self.assigned);
        let value = |name: &str| bounded(self.instance.variables.get(name).unwrap_or(&Value::Null));
        Some(Value::Object(names.into_iter().map(|name| (name.to_owned(), value(name))).collect()))
    }
}

/// Fails if the variables are too large.
pub(super) fn within(variables: &Map<String, Value>, variables_max: usize) -> Result<(), Failure> {
    let bytes = size(variables);
    if bytes <= variables_max {
        return Ok(());
    }
    let message = format!("the variables would take {bytes} bytes, more than the allowed {variables_max}");
    Err(Failure::new("limit.variables", message))
}

/// The value, or a failure with this code if it is too large to publish.
pub(super) fn limited(code: &str, what: &str, value: Value) -> Result<Value, Failure> {
    match size(&value) {
        bytes if bytes > LIMITED_MAX => {
            Err(Failure::new(code, format!("{what} would take {bytes} bytes, more than the allowed {LIMITED_MAX}")))
        }
        _ => Ok(value),
    }
}

/// The value as the history keeps it: whole, or only its size.
pub(super) fn bounded(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(_) | Value::Array(_) | Value::Object(_) => {
            let bytes = size(value);
            if bytes > DETAIL_MAX { json!({ "cut": bytes }) } else { value.clone() }
        }
    }
}

/// The details of a history entry; null if there are none.
pub(super) fn details(details: Map<String, Value>) -> Value {
    if details.is_empty() { Value::Null } else { Value::Object(details) }
}

/// The failure as history, bookmarks and events keep it.
pub(super) fn brief(failure: &Failure) -> Map<String, Value> {
    let mut brief = Map::new();
    brief.insert("code".into(), json!(failure.code));
    brief.insert("message".into(), json!(sentence(&failure.message)));
    if !failure.data.is_null() {
        brief.insert("data".into(), bounded(&failure.data));
    }
    brief
}

fn sentence(text: &str) -> String {
    if text.len() <= SENTENCE_MAX {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(SENTENCE_MAX)])
}

fn put(instance: &mut Instance, name: &str, value: Value) -> Value {
    match instance.variables.get_mut(name) {
        Some(slot) => std::mem::replace(slot, value),
        None => instance.variables.insert(name.to_owned(), value).unwrap_or_default(),
    }
}

/// Bytes as JSON, counted without writing them.
pub(super) fn size(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Neither the serialization of a JSON value nor counting can fail.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

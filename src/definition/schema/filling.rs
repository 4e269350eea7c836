//! Fills in an input: defaults before the check; nulls, and the kinds of numbers, after it.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::meter::size;
use super::{Schema, number, properties};
use crate::expression::step_budget::StepBudget;

/// `$ref`s, and schemas in `allOf`, that are followed from one place at most.
const HOPS_MAX: usize = 16;
/// Levels of an input that are filled at most; defaults may refer to themselves.
const LEVELS_MAX: usize = 160;
/// Bytes that filling adds to one input at most; schemas that refer to themselves can multiply their defaults.
const ADDED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of an added member without its name and value.
const MEMBER_BYTES: usize = 48;
/// Names that are compared at the cost of one look.
const NAMES_PER_VISIT: usize = 8;

/// What is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filling {
    Defaults,
    NullsAndNumbers,
}

/// The state of filling in one input.
pub(super) struct Walk<'b> {
    filling: Filling,
    budget: &'b StepBudget,
    /// Bytes that may still be added.
    bytes: usize,
    level: usize,
    /// The first number that would become another one, and what to do about it.
    lost: Option<(Number, &'static str)>,
    stopped: bool,
}

impl<'b> Walk<'b> {
    pub(super) fn new(filling: Filling, budget: &'b StepBudget) -> Self {
        Self { filling, budget, bytes: ADDED_BYTES_MAX, level: 0, lost: None, stopped: false }
    }

    /// Whether it stopped early: the input or its defaults are too large.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn lost(&self) -> Option<&(Number, &'static str)> {
        self.lost.as_ref()
    }

    fn visit(&mut self, times: usize) {
        let left = u32::try_from(times).ok().and_then(|times| self.budget.visits().checked_sub(times));
        if left.is_none() {
            self.stopped = true;
            self.budget.exhaust();
        }
        self.budget.leave_visits(left.unwrap_or(0));
    }

    /// Adds a member, unless that is too much.
    fn add(&mut self, map: &mut Map<String, Value>, name: &str, value: &Value) {
        let bytes = MEMBER_BYTES + name.len() + size(value);
        self.visit(1 + bytes / 64);
        match self.bytes.checked_sub(bytes) {
            Some(left) if !self.stopped => {
                self.bytes = left;
                map.insert(name.to_owned(), value.clone());
            }
            Some(_) | None => self.stopped = true,
        }
    }
}

impl Schema {
    /// The schema itself and those that apply to the same value: `$ref` within the document, and `allOf`.
    pub(super) fn parts<'s>(&'s self, schema: &'s Value) -> Vec<&'s Value> {
        let mut parts = vec![schema];
        let mut at = 0;
        while let Some(schema) = parts.get(at).copied() {
            at += 1;
            let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
            parts.extend(all.chain(self.referred(schema)).take(HOPS_MAX));
            parts.truncate(HOPS_MAX);
        }
        parts
    }

    fn referred(&self, schema: &Value) -> Option<&Value> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.document().pointer(pointer)
    }

    /// Fills in a value and everything inside it.
    pub(super) fn fill(&self, schema: &Value, value: &mut Value, walk: &mut Walk<'_>) {
        walk.stopped |= walk.level >= LEVELS_MAX;
        let parts = self.parts(schema);
        walk.visit(parts.len());
        if walk.stopped {
            return;
        }
        walk.level += 1;
        if let Value::Number(number) = value
            && walk.filling == Filling::NullsAndNumbers
        {
            match number::settled(number, &parts) {
                Ok(settled) => *number = settled,
                Err(problem) => walk.lost = walk.lost.take().or_else(|| Some((number.clone(), problem))),
            }
        }
        for part in parts {
            match value {
                Value::Object(map) => self.fill_map(part, map, walk),
                Value::Array(list) => {
                    let first = part.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                    for (at, item) in list.iter_mut().enumerate() {
                        if let Some(schema) = first.get(at).or(part.get("items")) {
                            self.fill(schema, item, walk);
                        }
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        walk.level -= 1;
    }

    fn fill_map(&self, schema: &Value, map: &mut Map<String, Value>, walk: &mut Walk<'_>) {
        let required = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        walk.visit(required.len() / NAMES_PER_VISIT);
        let required: HashSet<&str> = required.iter().filter_map(Value::as_str).collect();
        for (name, property) in properties(schema).into_iter().flatten() {
            walk.visit(1);
            if walk.stopped {
                return;
            }
            if walk.filling == Filling::Defaults {
                let parts = self.parts(property);
                let null = map.get(name) == Some(&Value::Null);
                if null && !required.contains(name.as_str()) && !parts.iter().all(|part| may_be_null(part)) {
                    map.remove(name);
                }
                if let Some(default) = parts.into_iter().find_map(|part| part.get("default"))
                    && !map.contains_key(name)
                {
                    walk.add(map, name, default);
                }
            }
            match map.get_mut(name) {
                Some(value) => self.fill(property, value, walk),
                None if walk.filling == Filling::NullsAndNumbers => walk.add(map, name, &Value::Null),
                None => {}
            }
        }
        if let Some(additional) = schema.get("additionalProperties").filter(|additional| additional.is_object()) {
            walk.visit(map.len() / NAMES_PER_VISIT);
            let is_declared = |name: &str| properties(schema).is_some_and(|declared| declared.contains_key(name));
            for (_, value) in map.iter_mut().filter(|(name, _)| !is_declared(name)) {
                self.fill(additional, value, walk);
            }
        }
    }
}

/// Whether the `type` of a schema permits null.
fn may_be_null(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "null",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "null"),
        _ => true,
    }
}

//! An input as the validator reads it: every look at a value is counted, and a validation that has looked too often ends.
//!
//! The validator has no bounds of its own, and a schema of a few lines can make it look at one value without end: `anyOf`s and
//! `$ref`s inside of each other multiply. But it takes its inputs in any representation of JSON, and reads them through it alone. So the representation counts,
//! and ends the validation by unwinding, because no answer of a value could: whatever it says, some schema goes on.

use std::borrow::Cow;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp, unique};
use jsonschema::types::JsonType;
use serde_json::{Map, Number, Value};

/// Bytes of stack of one validation. Threads have two mebibytes, of which the callers have taken a part.
const STACK_MAX: usize = 768 * 1024;
/// Bytes that the errors of one validation may take together.
const ERROR_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one error, without what it copies.
const ERROR_BYTES: usize = 512;
/// Bytes of text that are read at the cost of one look.
const TEXT_PER_VISIT: usize = 64;
/// States of a pattern, times bytes of text, that are matched at the cost of one look.
const MATCHES_PER_VISIT: usize = 16;

/// What a schema makes costly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weights {
    /// States of its largest pattern.
    pub(super) pattern_states: usize,
    /// Bytes of the schema that one error may copy.
    pub(super) error_bytes: usize,
    /// Whether errors copy what is inside of the value they are about.
    pub(super) copies_values: bool,
}

/// Why a validation has ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// It has looked at values too often, or too deeply.
    Visits,
    /// Its errors take too much memory.
    Errors,
}

struct Meter {
    visits: Cell<u32>,
    error_bytes: Cell<usize>,
    error_weight: Cell<usize>,
    copies_values: Cell<bool>,
    pattern_states: Cell<usize>,
    /// The lowest address that the stack may have.
    floor: Cell<usize>,
}

thread_local! {
    // Names of properties become nodes without a way to hand the meter over, so it is of the thread. Validations do not nest.
    static METER: Meter = const {
        Meter {
            visits: Cell::new(0),
            error_bytes: Cell::new(0),
            error_weight: Cell::new(0),
            copies_values: Cell::new(false),
            pattern_states: Cell::new(0),
            floor: Cell::new(0),
        }
    };
}

/// Validates with at most these looks at values; returns those that are left as well.
pub(super) fn within<T>(visits: u32, weights: Weights, validate: impl FnOnce() -> T) -> (Result<T, Exhausted>, u32) {
    METER.with(|meter| {
        meter.visits.set(visits);
        meter.error_bytes.set(ERROR_BYTES_MAX);
        meter.error_weight.set(ERROR_BYTES + weights.error_bytes);
        meter.copies_values.set(weights.copies_values);
        meter.pattern_states.set(weights.pattern_states);
        meter.floor.set(stack_address().saturating_sub(STACK_MAX));
    });
    let outcome = match catch_unwind(AssertUnwindSafe(validate)) {
        Ok(outcome) => Ok(outcome),
        Err(payload) => match payload.downcast::<Exhausted>() {
            Ok(exhausted) => Err(*exhausted),
            // A panic of the validator is one of this process.
            Err(payload) => resume_unwind(payload),
        },
    };
    (outcome, METER.with(|meter| meter.visits.get()))
}

/// The size of a value in memory and as text, roughly.
pub(super) fn size(value: &Value) -> usize {
    const VALUE: usize = 48;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => VALUE,
        Value::String(text) => VALUE + text.len(),
        Value::Array(items) => VALUE + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => {
            VALUE + members.iter().map(|(name, value)| VALUE + name.len() + size(value)).sum::<usize>()
        }
    }
}

/// An address on the stack. It grows downwards on every machine that this runs on.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

fn spend(visits: usize) {
    METER.with(|meter| {
        let visits = u32::try_from(visits).unwrap_or(u32::MAX);
        match meter.visits.get().checked_sub(visits) {
            Some(left) if stack_address() > meter.floor.get() => meter.visits.set(left),
            Some(_) | None => {
                meter.visits.set(0);
                // No hook is called: it is not a panic.
                resume_unwind(Box::new(Exhausted::Visits))
            }
        }
    });
}

fn spend_text(bytes: usize) {
    let states = METER.with(|meter| meter.pattern_states.get());
    spend(1 + bytes / TEXT_PER_VISIT + bytes.saturating_mul(states) / MATCHES_PER_VISIT);
}

fn spend_error(about: &Value) {
    let copied = if METER.with(|meter| meter.copies_values.get()) { size(about) } else { 0 };
    spend(copied / TEXT_PER_VISIT);
    METER.with(|meter| match meter.error_bytes.get().checked_sub(meter.error_weight.get() + copied) {
        Some(left) => meter.error_bytes.set(left),
        None => resume_unwind(Box::new(Exhausted::Errors)),
    });
}

/// The representation.
pub(super) struct MeteredJson;

/// A value of which every reading is counted.
#[derive(Clone, Copy)]
pub(super) struct Metered<'a>(pub(super) &'a Value);

/// The members of an object.
#[derive(Clone, Copy)]
pub(super) struct Members<'a>(&'a Map<String, Value>);

/// The items of an array.
#[derive(Clone, Copy)]
pub(super) struct Items<'a>(&'a [Value]);

impl Json for MeteredJson {
    type Node<'a> = Metered<'a>;
    type PreparedKey = String;
    type StringBuffer = Value;

    // As the crate has it for the same maps.
    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(Metered<'_>) -> T) -> T {
        *buffer = Value::String(string.to_owned());
        f(Metered(buffer))
    }
}

impl<'a> Node<'a, MeteredJson> for Metered<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Members<'a>> {
        spend(1);
        self.0.as_object().map(Members)
    }

    fn as_array(&self) -> Option<Items<'a>> {
        spend(1);
        self.0.as_array().map(|items| Items(items))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.0.as_str();
        spend_text(text.map_or(0, str::len));
        text.map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<&'a Number> {
        spend(1);
        match self.0 {
            Value::Number(number) => Some(number),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        spend(1);
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        spend(1);
        self.0.is_null()
    }

    fn json_type(&self) -> JsonType {
        spend(1);
        JsonType::from(self.0)
    }

    fn string_length(&self) -> Option<u64> {
        let text = self.0.as_str();
        spend(1 + text.map_or(0, str::len) / TEXT_PER_VISIT);
        text.map(|text| text.chars().count() as u64)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        equal(self.0, expected)
    }

    /// Only errors ask for it.
    fn to_value(&self) -> Cow<'a, Value> {
        spend_error(self.0);
        Cow::Borrowed(self.0)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        spend(1);
        Some(NodeIdentity::new(std::ptr::from_ref(self.0).addr()))
    }
}

impl<'a> Object<'a, MeteredJson> for Members<'a> {
    type Node = Metered<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        spend(1);
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<Metered<'a>> {
        spend(1);
        self.0.get(key).map(Metered)
    }

    fn members(&self) -> MembersIter<'a> {
        spend(1);
        MembersIter(self.0.iter())
    }
}

/// The members of an object, one after the other.
pub(super) struct MembersIter<'a>(serde_json::map::Iter<'a>);

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Metered<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        // A name may be matched with patterns.
        spend_text(name.len());
        Some((name.as_str(), Metered(value)))
    }
}

impl<'a> Array<'a, MeteredJson> for Items<'a> {
    type Node = Metered<'a>;
    type ElementsIter = ItemsIter<'a>;

    fn len(&self) -> usize {
        spend(1);
        self.0.len()
    }

    fn elements(&self) -> ItemsIter<'a> {
        spend(1);
        ItemsIter(self.0.iter())
    }

    fn is_unique(&self) -> bool {
        // Short arrays are compared item by item, longer ones by hashes.
        const COMPARED_MAX: usize = 15;
        let times = if self.0.len() > COMPARED_MAX { 4 } else { self.0.len() };
        self.0.iter().for_each(|item| spend_whole(item, times));
        unique::is_unique(self.0)
    }
}

/// The items of an array, one after the other.
pub(super) struct ItemsIter<'a>(std::slice::Iter<'a, Value>);

impl<'a> Iterator for ItemsIter<'a> {
    type Item = Metered<'a>;

    fn next(&mut self) -> Option<Metered<'a>> {
        spend(1);
        self.0.next().map(Metered)
    }
}

/// Spends for reading a value with all in it, more than once.
fn spend_whole(value: &Value, times: usize) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => spend(times),
        Value::String(text) => spend((1 + text.len() / TEXT_PER_VISIT).saturating_mul(times)),
        Value::Array(items) => {
            spend(times);
            items.iter().for_each(|item| spend_whole(item, times));
        }
        Value::Object(members) => {
            spend(times);
            for (name, value) in members {
                spend((1 + name.len() / TEXT_PER_VISIT).saturating_mul(times));
                spend_whole(value, times);
            }
        }
    }
}

/// Whether two values are equal, as the crate compares them.
fn equal(one: &Value, other: &Value) -> bool {
    spend(1);
    match (one, other) {
        (Value::String(one), Value::String(other)) => {
            spend(one.len().min(other.len()) / TEXT_PER_VISIT);
            one == other
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| equal(value, other)))
        }
        (one, other) => cmp::equal(one, other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FREE: Weights = Weights { pattern_states: 0, error_bytes: 0, copies_values: false };

    #[test]
    fn a_validation_ends_when_its_looks_are_spent() {
        let value = json!([1, 2, 3]);
        let read = || Metered(&value).as_array().map(|items| items.elements().count());
        assert_eq!(within(100, FREE, read), (Ok(Some(3)), 94));
        assert_eq!(within(5, FREE, read), (Err(Exhausted::Visits), 0));
    }

    #[test]
    fn a_validation_ends_before_its_stack_does() {
        fn deeper(value: Metered<'_>) -> u64 {
            if value.is_null() { std::hint::black_box(deeper(value)) + 1 } else { 0 }
        }
        let (outcome, _) = within(u32::MAX, FREE, || deeper(Metered(&Value::Null)));
        assert_eq!(outcome, Err(Exhausted::Visits));
    }

    #[test]
    fn errors_take_a_bounded_amount_of_memory() {
        let weights = Weights { error_bytes: ERROR_BYTES_MAX / 4, ..FREE };
        let take = |times| within(100, weights, || (0..times).for_each(|_| drop(Metered(&Value::Null).to_value()))).0;
        assert_eq!(take(3), Ok(()));
        assert_eq!(take(4), Err(Exhausted::Errors));
    }

    #[test]
    fn values_are_equal_as_the_validator_compares_them() {
        let compare = |one: Value, other: Value| {
            let (is_equal, _) = within(100, FREE, || equal(&one, &other));
            assert_eq!(is_equal, Ok(cmp::equal(&one, &other)), "{one} {other}");
            is_equal == Ok(true)
        };
        assert!(compare(json!({"a": [1, "x", null]}), json!({"a": [1.0, "x", null]})));
        assert!(!compare(json!({"a": 1}), json!({"b": 1})));
        assert!(!compare(json!([1]), json!([1, 2])));
        assert!(!compare(json!("1"), json!(1)));
    }
}

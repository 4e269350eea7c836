//! An input as the validator reads it: a representation of JSON in which every look at a value is counted by the [meter](super::meter).

use std::borrow::Cow;

use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp, unique};
use jsonschema::types::JsonType;
use serde_json::{Map, Number, Value};

use super::meter::{TEXT_PER_VISIT, spend, spend_error, spend_text, spend_whole};

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

    use super::super::meter::{ERROR_BYTES_MAX, Exhausted, Weights, within};
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

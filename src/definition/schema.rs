//! JSON Schema of inputs and forms.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, ValidationOptions, Validator};
use serde_json::{Map, Number, Value};

use super::number;

mod defaults;
pub(super) mod keywords;

/// Problems of one input that are reported at most.
const PROBLEMS_MAX: usize = 20;
/// `$ref`s, and schemas in `allOf`, that are followed from one place at most.
const HOPS_MAX: usize = 16;
/// Levels of an input that are filled at most; defaults may refer to themselves.
const LEVELS_MAX: usize = 160;
/// Values of one input that are visited at most; schemas that refer to themselves can multiply them.
const VISITS_MAX: u32 = 500_000;

/// Why a schema is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Invalid {
    /// The place in the schema, as a JSON pointer.
    pub pointer: String,
    /// The reason, with the place.
    pub why: String,
}

fn options() -> ValidationOptions<'static> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        // Matching takes linear time, whatever the pattern.
        .with_pattern_options(PatternOptions::regex())
}

/// A compiled JSON Schema (2020-12) of an object. Cheap to clone.
#[derive(Clone)]
pub struct Schema {
    inner: Arc<Inner>,
}

struct Inner {
    document: Value,
    validator: Validator,
}

impl fmt::Debug for Schema {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Schema").field(&self.inner.document).finish()
    }
}

impl Schema {
    /// Compiles a schema. References to other documents are refused, never fetched.
    ///
    /// # Errors
    /// It is not a valid JSON Schema, refers to another document, or is not of `type: object`.
    pub fn compile(schema: &Value) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid { pointer: String::new(), why: why.into() };
        match schema.get("type") {
            _ if !schema.is_object() => return Err(invalid("a schema must be a map")),
            None => {}
            Some(Value::String(kind)) if kind == "object" => {}
            Some(_) => return Err(invalid("the schema must be of `type: object`")),
        }
        let validator = options().build(schema).map_err(|error| {
            let pointer = error.instance_path().as_str().to_owned();
            Invalid { why: format!("at {}: {error}", self::pointer(&pointer)), pointer }
        })?;
        Ok(Self { inner: Arc::new(Inner { document: schema.clone(), validator }) })
    }

    /// The schema itself, as it was written.
    pub fn document(&self) -> &Value {
        &self.inner.document
    }

    /// The names of its properties, sorted.
    pub fn properties(&self) -> Vec<String> {
        let names: BTreeSet<_> =
            self.parts(&self.inner.document).into_iter().filter_map(properties).flat_map(Map::keys).cloned().collect();
        names.into_iter().collect()
    }

    /// Checks an input and returns it in the form that instances keep: every declared property is present (default or null),
    /// numbers of `type: number` are doubles, those of `type: integer` integers. Messages contain JSON pointers, never values.
    ///
    /// A null for an optional property that cannot be null counts as absent, so that the stored input of one instance is valid
    /// for another.
    ///
    /// # Errors
    /// All problems, at most 20.
    pub fn accept(&self, input: &Value) -> Result<Map<String, Value>, Vec<String>> {
        if !input.is_object() {
            return Err(vec!["/: the input must be a JSON object".into()]);
        }
        let given = input;
        let mut input = input.clone();
        let mut walk = Walk { filling: Filling::Defaults, visits: VISITS_MAX, level: 0, lost: None };
        self.fill(&self.inner.document, &mut input, &mut walk);
        let problems: Vec<_> = self
            .inner
            .validator
            .iter_errors(&input)
            .take(PROBLEMS_MAX)
            .map(|error| format!("{}: {}", pointer(error.instance_path().as_str()), error.masked_with("the value")))
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        walk.filling = Filling::NullsAndNumbers;
        self.fill(&self.inner.document, &mut input, &mut walk);
        if let Some((number, problem)) = &walk.lost {
            let place = number::place(given, number).unwrap_or_default();
            return Err(vec![format!("{}: {problem}", pointer(&place))]);
        }
        match input {
            _ if walk.visits == 0 => Err(vec!["/: the input or its defaults are too large".into()]),
            Value::Object(input) => Ok(input),
            _ => Err(vec!["/: the input must be a JSON object".into()]),
        }
    }

    /// The schema itself and those that apply to the same value: `$ref` within the document, and `allOf`.
    fn parts<'s>(&'s self, schema: &'s Value) -> Vec<&'s Value> {
        let mut parts = vec![schema];
        let mut at = 0;
        while let Some(schema) = parts.get(at).copied() {
            at += 1;
            let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
            parts.extend(all.chain(self.referred(schema)));
            parts.truncate(HOPS_MAX);
        }
        parts
    }

    fn referred(&self, schema: &Value) -> Option<&Value> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.inner.document.pointer(pointer)
    }

    /// Fills in a value and everything inside it.
    fn fill(&self, schema: &Value, value: &mut Value, walk: &mut Walk) {
        walk.visits = if walk.level < LEVELS_MAX { walk.visits.saturating_sub(1) } else { 0 };
        if walk.visits == 0 {
            return;
        }
        walk.level += 1;
        let parts = self.parts(schema);
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

    fn fill_map(&self, schema: &Value, map: &mut Map<String, Value>, walk: &mut Walk) {
        let required = schema.get("required").and_then(Value::as_array);
        for (name, property) in properties(schema).into_iter().flatten() {
            let optional = !required.is_some_and(|required| required.iter().any(|other| other == name));
            if walk.filling == Filling::Defaults {
                let null = map.get(name) == Some(&Value::Null);
                if null && optional && !self.parts(property).into_iter().all(may_be_null) {
                    map.remove(name);
                }
                if let Some(default) = self.parts(property).into_iter().find_map(|part| part.get("default"))
                    && !map.contains_key(name)
                {
                    map.insert(name.clone(), default.clone());
                }
            }
            match map.get_mut(name) {
                Some(value) => self.fill(property, value, walk),
                None if walk.filling == Filling::NullsAndNumbers => {
                    map.insert(name.clone(), Value::Null);
                }
                None => {}
            }
        }
        if let Some(additional) = schema.get("additionalProperties").filter(|additional| additional.is_object()) {
            let is_declared = |name: &str| properties(schema).is_some_and(|declared| declared.contains_key(name));
            for (_, value) in map.iter_mut().filter(|(name, _)| !is_declared(name)) {
                self.fill(additional, value, walk);
            }
        }
    }
}

/// The state of filling in one input.
struct Walk {
    filling: Filling,
    /// Visits left; 0 means that filling stopped early.
    visits: u32,
    level: usize,
    /// The first number that would become another one, and what to do about it.
    lost: Option<(Number, &'static str)>,
}

/// What is filled in: defaults before the check, nulls and the kinds of numbers after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filling {
    Defaults,
    NullsAndNumbers,
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// Whether the `type` of a schema permits null.
fn may_be_null(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "null",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "null"),
        _ => true,
    }
}

fn pointer(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(schema: Value) -> Schema {
        Schema::compile(&schema).unwrap()
    }

    fn order() -> Schema {
        schema(json!({
            "type": "object",
            "required": ["id", "amount"],
            "properties": {
                "id": {"type": "string", "pattern": "^o-[0-9]+$"},
                "amount": {"type": "number"},
                "currency": {"type": "string", "default": "EUR"},
                "note": {"type": "string"},
                "customer": {"$ref": "#/$defs/customer"},
                "lines": {"type": "array", "items": {
                    "type": "object", "properties": {"price": {"type": "number"}, "count": {"type": "integer"}},
                }},
            },
            "$defs": {"customer": {"type": "object", "properties": {
                "email": {"type": "string"}, "country": {"default": "DE"}, "limit": {"type": "number"},
            }}},
        }))
    }

    #[test]
    fn every_declared_property_is_present_afterwards() {
        let input = order().accept(&json!({"id": "o-1", "amount": 5})).unwrap();
        let expected = json!({
            "id": "o-1", "amount": 5.0, "currency": "EUR", "note": null, "customer": null, "lines": null,
        });
        assert_eq!(Value::Object(input), expected);
    }

    #[test]
    fn a_default_behind_a_reference_is_used_and_one_beside_it_comes_first() {
        let schema = schema(json!({
            "properties": {
                "a": {"$ref": "#/$defs/n"},
                "b": {"$ref": "#/$defs/n", "default": 8},
                "c": {"allOf": [{"$ref": "#/$defs/n"}]},
            },
            "$defs": {"n": {"type": "integer", "default": 7}},
        }));
        assert_eq!(Value::Object(schema.accept(&json!({})).unwrap()), json!({"a": 7, "b": 8, "c": 7}));
    }

    #[test]
    fn formats_are_checked() {
        for (format, good, bad) in [
            ("date", "2027-02-28", "2027-02-30"),
            ("date-time", "2027-02-28T10:00:00Z", "tomorrow"),
            ("email", "ann@example.org", "not a mail"),
            ("uuid", "0190a5c8-1f0e-7c3b-9a53-0d2b6f6b8e11", "1"),
            ("uri", "https://example.org/a?b", ":"),
            ("duration", "P3D", "3d"),
        ] {
            let schema = schema(json!({"properties": {"a": {"type": "string", "format": format}}}));
            assert!(schema.accept(&json!({ "a": good })).is_ok(), "{format}");
            let problems = schema.accept(&json!({ "a": bad })).unwrap_err();
            assert!(problems[0].starts_with("/a: ") && problems[0].contains(format), "{problems:?}");
            assert!(!problems[0].contains(bad) || bad == ":", "{problems:?}");
        }
        let unknown = schema(json!({"properties": {"a": {"format": "zip-code"}}}));
        assert!(unknown.accept(&json!({"a": "?"})).is_ok());
    }

    #[test]
    fn numbers_become_doubles_and_integers_stay_ints_at_every_depth() {
        let given = json!({
            "id": "o-1", "amount": 5, "customer": {"limit": 100}, "lines": [{"price": 2, "count": 3}, {"price": 2.5}],
        });
        let input = Value::Object(order().accept(&given).unwrap());
        assert!(input["amount"].is_f64());
        assert_eq!(input["customer"], json!({"limit": 100.0, "email": null, "country": "DE"}));
        assert!(input["lines"][0]["price"].is_f64());
        assert!(input["lines"][0]["count"].is_i64());
        assert_eq!(input["lines"][1]["count"], Value::Null);
    }

    #[test]
    fn numbers_are_of_the_declared_kind_wherever_a_schema_reaches_them() {
        let schema = schema(json!({
            "properties": {
                "count": {"type": "integer"}, "price": {"type": ["number", "null"]}, "any": {}, "id": {"type": "string"},
                "pair": {"prefixItems": [{"type": "integer"}], "items": {"type": "number"}},
            },
            "additionalProperties": {"type": "number"},
        }));
        let given = json!({"count": 7.0, "price": 7, "any": [7, 7.0], "pair": [1.0, 1], "other": 7});
        let expected = json!({"count": 7, "price": 7.0, "any": [7, 7.0], "id": null, "pair": [1, 1.0], "other": 7.0});
        assert_eq!(Value::Object(schema.accept(&given).unwrap()).to_string(), expected.to_string());
        let problems = schema.accept(&json!({"pair": [1, 9_007_199_254_740_993_i64]})).unwrap_err();
        assert!(problems[0].starts_with("/pair/1: ") && problems[0].contains("as text"), "{problems:?}");
        let problems = schema.accept(&json!({"count": 1e19})).unwrap_err();
        assert!(problems[0].starts_with("/count: ") && problems[0].contains("as text"), "{problems:?}");
    }

    #[test]
    fn an_accepted_input_is_accepted_again() {
        let once = Value::Object(order().accept(&json!({"id": "o-1", "amount": 5})).unwrap());
        assert_eq!(Value::Object(order().accept(&once).unwrap()), once);
    }

    #[test]
    fn messages_name_places_and_never_values() {
        let secret = "hunter2";
        let given = json!({
            "id": secret, "amount": secret, "customer": {"email": 424242}, "lines": [{"count": 42.42}, secret],
        });
        let problems = order().accept(&given).unwrap_err();
        let all = problems.join("\n");
        for place in ["/id", "/amount", "/customer/email", "/lines/0/count", "/lines/1"] {
            assert!(problems.iter().any(|problem| problem.starts_with(&format!("{place}: "))), "{place} in {all}");
        }
        for value in [secret, "424242", "42.42"] {
            assert!(!all.contains(value), "{all}");
        }
    }

    #[test]
    fn no_keyword_shows_the_refused_value() {
        for invalid in [
            json!({"minLength": 100}),
            json!({"maxLength": 1}),
            json!({"pattern": "^x$"}),
            json!({"enum": ["x"]}),
            json!({"const": "x"}),
            json!({"format": "uuid", "minLength": 100}),
            json!({"not": {"type": "string"}}),
            json!({"anyOf": [{"type": "null"}, {"type": "integer"}]}),
            json!({"oneOf": [{"type": "string"}, {"minLength": 1}]}),
            json!({"allOf": [{"type": "integer"}]}),
            json!({"type": ["integer", "null"]}),
            json!({"if": {"type": "string"}, "then": {"type": "integer"}}),
            json!(false),
        ] {
            for given in [json!("hunter2"), json!(["hunter2"]), json!({"k": "hunter2"})] {
                let nested = match &given {
                    Value::Array(_) => json!({"items": invalid, "contains": invalid, "maxItems": 0}),
                    Value::Object(_) => json!({"additionalProperties": invalid, "minProperties": 5}),
                    _ => invalid.clone(),
                };
                let problems = schema(json!({"properties": {"a": nested}})).accept(&json!({"a": given})).unwrap_err();
                assert!(!problems.join("\n").contains("hunter2"), "{invalid}: {problems:?}");
            }
        }
    }

    #[test]
    fn a_missing_property_is_named() {
        let problems = order().accept(&json!({"id": "o-1"})).unwrap_err();
        assert!(problems[0].contains("amount"), "{problems:?}");
    }

    #[test]
    fn an_input_must_be_an_object() {
        for input in [json!(null), json!(5), json!([]), json!("x")] {
            assert_eq!(order().accept(&input).unwrap_err().len(), 1);
        }
    }

    #[test]
    fn an_invalid_schema_of_an_object_is_refused() {
        for invalid in [
            json!({"type": "strin"}),
            json!({"type": "array"}),
            json!(true),
            json!({"properties": {"a": {"type": 5}}}),
            json!({"properties": {"a": {"$ref": "https://example.org/other.json"}}}),
            json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}),
            json!({"properties": {"a": {"pattern": "(?=look)"}}}),
        ] {
            assert!(Schema::compile(&invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let tree = schema(json!({
            "properties": {"root": {"$ref": "#/$defs/node"}},
            "$defs": {"node": {"properties": {"left": {"$ref": "#/$defs/node"}, "size": {"type": "number"}}}},
        }));
        let input = tree.accept(&json!({"root": {"left": {"size": 1}}})).unwrap();
        assert_eq!(Value::Object(input), json!({"root": {"left": {"size": 1.0, "left": null}, "size": null}}));
        assert_eq!(tree.properties(), ["root"]);
        let endless = schema(json!({
            "properties": {"root": {"$ref": "#/$defs/node"}},
            "$defs": {"node": {"properties": {"left": {"$ref": "#/$defs/node", "default": {}}}}},
        }));
        assert!(endless.accept(&json!({"root": {}})).is_err());
        let circle = schema(json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "properties": {"x": {"type": "string"}}}));
        assert_eq!(circle.properties(), ["x"]);
    }
}

//! JSON Schema of inputs and forms.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, ValidationError, ValidationOptions, Validator};
use serde_json::{Map, Value};

use super::number;
use crate::expression::step_budget::{StepBudget, VISITS_MAX};

mod allowance;
mod defaults;
mod filling;
pub(super) mod keywords;
mod meter;
mod metered;
mod typed;

pub(crate) use allowance::REPEAT_LESS;
pub use allowance::{
    Allowance, CHAIN_MAX, EXPANSION_MAX, PATTERN_BYTES_MAX, PATTERN_SOURCE_MAX, PATTERNS_BYTES_MAX, PATTERNS_MAX,
    SUBSCHEMAS_MAX,
};
use filling::{Filling, Walk};
use meter::{Exhausted, Weights};
use metered::{Metered, MeteredJson};

/// Problems of one input that are reported at most.
const PROBLEMS_MAX: usize = 20;
/// Bytes of the place, and of the text, of one problem; the rest is cut.
const PROBLEM_BYTES_MAX: usize = 500;

/// Why a schema is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Invalid {
    /// The place in the schema, as a JSON pointer.
    pub pointer: String,
    /// The reason, with the place.
    pub why: String,
    /// What to do, if it is known.
    pub hint: Option<&'static str>,
}

fn options() -> ValidationOptions<'static, Arc<dyn jsonschema::Retrieve>, MeteredJson> {
    let engine =
        PatternOptions::regex().size_limit(allowance::PATTERN_BYTES_MAX).dfa_size_limit(allowance::PATTERN_CACHE_MAX);
    jsonschema::options_for::<MeteredJson>()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        // Matching takes linear time, whatever the pattern.
        .with_pattern_options(engine)
}

/// A compiled JSON Schema (2020-12) of an object. Cheap to clone.
#[derive(Clone)]
pub struct Schema {
    inner: Arc<Inner>,
}

struct Inner {
    document: Value,
    validator: Validator<MeteredJson>,
    weights: Weights,
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
    /// It is not a valid JSON Schema, refers to another document, is not of `type: object`, or is too large.
    pub fn compile(schema: &Value) -> Result<Self, Invalid> {
        Self::compile_within(schema, &mut Allowance::default())
    }

    /// The same for one of several schemas of a document, which share an allowance.
    ///
    /// # Errors
    /// As [`Schema::compile`].
    pub fn compile_within(schema: &Value, allowance: &mut Allowance) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid { pointer: String::new(), why: why.into(), hint: None };
        match schema.get("type") {
            _ if !schema.is_object() => return Err(invalid("a schema must be a map")),
            None => {}
            Some(Value::String(kind)) if kind == "object" => {}
            Some(_) => return Err(invalid("the schema must be of `type: object`")),
        }
        let weights = allowance.take(schema)?;
        let validator = options().build(&typed::typed(schema)).map_err(|error| {
            let pointer = error.instance_path().as_str().to_owned();
            let message = shown(&error, PROBLEM_BYTES_MAX);
            Invalid { why: format!("at {}: {message}", self::pointer(&pointer)), pointer, hint: None }
        })?;
        Ok(Self { inner: Arc::new(Inner { document: schema.clone(), validator, weights }) })
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
    /// All problems, at most 20; or that the budget is spent.
    pub fn accept(&self, input: &Value, budget: &StepBudget) -> Result<Map<String, Value>, Vec<String>> {
        if !input.is_object() {
            return Err(vec!["/: the input must be a JSON object".into()]);
        }
        let too_large = || vec!["/: the input or its defaults are too large".to_owned()];
        let given = input;
        let mut input = input.clone();
        let mut walk = Walk::new(Filling::Defaults, budget);
        self.fill(&self.inner.document, &mut input, &mut walk);
        if walk.has_stopped() {
            return Err(too_large());
        }
        self.check(&input, budget)?;
        let mut walk = Walk::new(Filling::NullsAndNumbers, budget);
        self.fill(&self.inner.document, &mut input, &mut walk);
        if let Some((number, problem)) = walk.lost() {
            let place = number::place(given, number).unwrap_or_default();
            return Err(vec![format!("{}: {problem}", pointer(&place))]);
        }
        match input {
            _ if walk.has_stopped() => Err(too_large()),
            Value::Object(input) => Ok(input),
            _ => Err(vec!["/: the input must be a JSON object".into()]),
        }
    }

    /// First only yes or no, which is cheap; what is wrong is collected if it is no.
    fn check(&self, input: &Value, budget: &StepBudget) -> Result<(), Vec<String>> {
        let (validator, weights) = (&self.inner.validator, self.inner.weights);
        let (is_valid, left) = meter::within(budget.visits(), weights, || validator.is_valid(Metered(input)));
        budget.leave_visits(left);
        match is_valid {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(_) => {
                budget.exhaust();
                return Err(vec![format!(
                    "/: the input takes too long to validate: the schema would look at its values more than {VISITS_MAX} times"
                )]);
            }
        }
        let problems = || {
            let errors = validator.iter_errors(Metered(input));
            errors.take(PROBLEMS_MAX).map(|error| problem(&error)).collect::<Vec<_>>()
        };
        // With the first problem alone, if there are too many of them.
        let first = || validator.validate(Metered(input)).map_err(|error| problem(&error)).err().into_iter().collect();
        let half = budget.visits() / 2;
        let (all, all_left) = meter::within(half, weights, problems);
        let (found, left) = match all {
            Ok(all) => (Ok(all), all_left),
            Err(exhausted) => {
                if exhausted == Exhausted::Visits {
                    budget.exhaust();
                }
                meter::within(half, weights, first)
            }
        };
        budget.leave_visits(left);
        match found {
            Ok(problems) if !problems.is_empty() => Err(problems),
            Ok(_) | Err(_) => {
                Err(vec!["/: the input does not fit the schema, which is too large to tell the place".into()])
            }
        }
    }
}

fn problem(error: &ValidationError<'_>) -> String {
    let place = shown(&pointer(error.instance_path().as_str()), PROBLEM_BYTES_MAX);
    format!("{place}: {}", shown(&error.masked_with("the value"), PROBLEM_BYTES_MAX))
}

/// The beginning of a text, which is written no further.
fn shown(text: &dyn fmt::Display, bytes_max: usize) -> String {
    struct Bounded {
        text: String,
        bytes_max: usize,
    }
    impl Write for Bounded {
        fn write_str(&mut self, more: &str) -> fmt::Result {
            let room = self.bytes_max - self.text.len();
            if more.len() <= room {
                self.text.push_str(more);
                return Ok(());
            }
            self.text.push_str(&more[..more.floor_char_boundary(room)]);
            self.text.push('…');
            Err(fmt::Error)
        }
    }
    let mut bounded = Bounded { text: String::new(), bytes_max };
    // An error means that it was cut.
    let _ = write!(bounded, "{text}");
    bounded.text
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

fn pointer(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    impl Schema {
        fn accept_whole(&self, input: &Value) -> Result<Map<String, Value>, Vec<String>> {
            self.accept(input, &StepBudget::whole())
        }
    }

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
        let input = order().accept_whole(&json!({"id": "o-1", "amount": 5})).unwrap();
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
        assert_eq!(Value::Object(schema.accept_whole(&json!({})).unwrap()), json!({"a": 7, "b": 8, "c": 7}));
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
            assert!(schema.accept_whole(&json!({ "a": good })).is_ok(), "{format}");
            let problems = schema.accept_whole(&json!({ "a": bad })).unwrap_err();
            assert!(problems[0].starts_with("/a: ") && problems[0].contains(format), "{problems:?}");
            assert!(!problems[0].contains(bad) || bad == ":", "{problems:?}");
        }
        let unknown = schema(json!({"properties": {"a": {"format": "zip-code"}}}));
        assert!(unknown.accept_whole(&json!({"a": "?"})).is_ok());
    }

    #[test]
    fn numbers_become_doubles_and_integers_stay_ints_at_every_depth() {
        let given = json!({
            "id": "o-1", "amount": 5, "customer": {"limit": 100}, "lines": [{"price": 2, "count": 3}, {"price": 2.5}],
        });
        let input = Value::Object(order().accept_whole(&given).unwrap());
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
        assert_eq!(Value::Object(schema.accept_whole(&given).unwrap()).to_string(), expected.to_string());
        let problems = schema.accept_whole(&json!({"pair": [1, 9_007_199_254_740_993_i64]})).unwrap_err();
        assert!(problems[0].starts_with("/pair/1: ") && problems[0].contains("as text"), "{problems:?}");
        let problems = schema.accept_whole(&json!({"count": 1e19})).unwrap_err();
        assert!(problems[0].starts_with("/count: ") && problems[0].contains("as text"), "{problems:?}");
    }

    #[test]
    fn an_accepted_input_is_accepted_again() {
        let once = Value::Object(order().accept_whole(&json!({"id": "o-1", "amount": 5})).unwrap());
        assert_eq!(Value::Object(order().accept_whole(&once).unwrap()), once);
    }

    #[test]
    fn messages_name_places_and_never_values() {
        let secret = "hunter2";
        let given = json!({
            "id": secret, "amount": secret, "customer": {"email": 424242}, "lines": [{"count": 42.42}, secret],
        });
        let problems = order().accept_whole(&given).unwrap_err();
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
                let problems =
                    schema(json!({"properties": {"a": nested}})).accept_whole(&json!({"a": given})).unwrap_err();
                assert!(!problems.join("\n").contains("hunter2"), "{invalid}: {problems:?}");
            }
        }
    }

    #[test]
    fn a_missing_property_is_named() {
        let problems = order().accept_whole(&json!({"id": "o-1"})).unwrap_err();
        assert!(problems[0].contains("amount"), "{problems:?}");
    }

    #[test]
    fn an_input_must_be_an_object() {
        for input in [json!(null), json!(5), json!([]), json!("x")] {
            assert_eq!(order().accept_whole(&input).unwrap_err().len(), 1);
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
        let input = tree.accept_whole(&json!({"root": {"left": {"size": 1}}})).unwrap();
        assert_eq!(Value::Object(input), json!({"root": {"left": {"size": 1.0, "left": null}, "size": null}}));
        assert_eq!(tree.properties(), ["root"]);
        let endless = schema(json!({
            "properties": {"root": {"$ref": "#/$defs/node"}},
            "$defs": {"node": {"properties": {"left": {"$ref": "#/$defs/node", "default": {}}}}},
        }));
        assert!(endless.accept_whole(&json!({"root": {}})).is_err());
        let circle = schema(json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "properties": {"x": {"type": "string"}}}));
        assert_eq!(circle.properties(), ["x"]);
    }
}

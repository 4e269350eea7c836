//! Whether the defaults of a schema are valid by the schema.

use jsonschema::Validator;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::meter;
use super::metered::{Metered, MeteredJson};
use super::typed::typed;
use super::{Filling, PROBLEM_BYTES_MAX, PROBLEMS_MAX, Schema, Walk, keywords, options, pointer, shown};
use crate::expression::step_budget::StepBudget;

/// Defaults of a schema that are checked at most.
const DEFAULTS_MAX: usize = 1_000;
/// The name by which the checks refer to the schema.
const SELF: &str = "https://leveret.invalid/schema";

/// A default that its schema refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedDefault {
    /// The place of the default in the schema, as a JSON pointer.
    pub(crate) pointer: String,
    /// Why it is refused.
    pub(crate) why: String,
}

impl Schema {
    /// The defaults that are refused when they are used; none if they have no end, or it takes too long to tell.
    pub(crate) fn refused_defaults(&self) -> Option<Vec<RefusedDefault>> {
        let mut schemas = Vec::new();
        keywords::walk(self.document(), &mut |pointer, schema| {
            if let Some(default) = schema.get("default").filter(|_| schemas.len() < DEFAULTS_MAX) {
                schemas.push((pointer.to_owned(), schema, default));
            }
        });
        if schemas.is_empty() {
            return Some(Vec::new());
        }
        // One schema with a property for each default: compiling it once is enough, whatever refers to what.
        let mut all = self.document().clone();
        all["$id"] = SELF.into();
        let of = |(number, (pointer, ..)): (usize, &(String, &Value, &Value))| {
            (number.to_string(), json!({ "$ref": format!("{SELF}#{}", percent(pointer)) }))
        };
        let properties: Map<String, Value> = schemas.iter().enumerate().map(of).collect();
        let Ok(validator) = options().build(&typed(&json!({ "$defs": { "all": all }, "properties": properties })))
        else {
            // It refers to itself by a name of its own.
            return Some(Vec::new());
        };
        let budget = StepBudget::whole();
        let filled = |(number, (_, schema, default)): (usize, &(String, &Value, &Value))| {
            let (mut default, mut walk) = ((*default).clone(), Walk::new(Filling::Defaults, &budget));
            self.fill(schema, &mut default, &mut walk);
            // A default that has itself as a default inside of it has no end.
            (!walk.has_stopped()).then(|| (number.to_string(), default))
        };
        let values = Value::Object(schemas.iter().enumerate().map(filled).collect::<Option<_>>()?);
        let pointers: Vec<&str> = schemas.iter().map(|(pointer, ..)| pointer.as_str()).collect();
        let weights = self.inner.weights;
        let (is_valid, left) = meter::within(budget.visits(), weights, || validator.is_valid(Metered(&values)));
        if is_valid.ok()? {
            return Some(Vec::new());
        }
        meter::within(left, weights, || refused(&validator, &values, &pointers)).0.ok()
    }
}

fn refused(validator: &Validator<MeteredJson>, values: &Value, pointers: &[&str]) -> Vec<RefusedDefault> {
    let mut refused: Vec<RefusedDefault> = Vec::new();
    for error in validator.iter_errors(Metered(values)).take(PROBLEMS_MAX) {
        let path = error.instance_path().as_str();
        let number = path.trim_start_matches('/').split('/').next().and_then(|number| number.parse::<usize>().ok());
        let Some(of) = number.and_then(|number| pointers.get(number)) else { continue };
        let inside = path.trim_start_matches('/').find('/').map_or("", |slash| &path[slash + 1..]);
        let inside = if inside.is_empty() { String::new() } else { format!("at {}: ", pointer(inside)) };
        let why = format!("{inside}{}", shown(&error, PROBLEM_BYTES_MAX));
        let found = RefusedDefault { pointer: format!("{of}/default"), why };
        if refused.iter().all(|known| known.pointer != found.pointer) {
            refused.push(found);
        }
    }
    refused
}

/// What is not percent-encoded in the fragment of a URI.
const FRAGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'$');

/// A JSON pointer as the fragment of a URI.
fn percent(pointer: &str) -> PercentEncode<'_> {
    utf8_percent_encode(pointer, FRAGMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(schema: Value) -> Vec<String> {
        Schema::compile(&schema)
            .unwrap()
            .refused_defaults()
            .unwrap()
            .into_iter()
            .map(|refused| refused.pointer)
            .collect()
    }

    #[test]
    fn a_default_that_its_schema_refuses_is_found() {
        let found = refused(json!({
            "properties": {
                "type": {"type": "integer", "default": "x"},
                "bounds": {"type": "integer", "minimum": 10, "default": 7},
                "null": {"type": "integer", "default": null},
                "a b/c%": {"type": "string", "format": "date", "default": "2027-02-30"},
                "good": {"type": "integer", "default": 7},
                "list": {"items": {"properties": {"deep": {"enum": ["a"], "default": "b"}}}},
                "behind": {"$ref": "#/$defs/n", "default": "y"},
            },
            "$defs": {"n": {"type": "integer", "default": 1}},
        }));
        assert_eq!(
            found,
            [
                "/properties/a b~1c%/default",
                "/properties/behind/default",
                "/properties/bounds/default",
                "/properties/list/items/properties/deep/default",
                "/properties/null/default",
                "/properties/type/default",
            ]
        );
    }

    #[test]
    fn a_default_is_filled_with_the_defaults_inside_of_it_first() {
        let inner =
            json!({"type": "object", "required": ["b"], "properties": {"b": {"type": "integer", "default": 5}}});
        let mut outer = inner.clone();
        outer["default"] = json!({});
        assert_eq!(refused(json!({"properties": {"a": outer}})), [""; 0]);
    }
}

//! The type that a JSON Schema gives a value, in the form in which inputs and forms are kept: every declared property is there, with its
//! default or null.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::expression::typing::{DEPTH_MAX, Kinds, Member, Rest, Shape, Type};

/// Schemas that are looked at for one input or form; the rest is unknown.
const VISITS_MAX: u32 = 2_000;
/// `$ref`s, and schemas in `allOf`, that are followed from one place.
const PARTS_MAX: usize = 16;
/// Keywords that may permit members which `properties` does not list.
const OPENING: [&str; 9] = [
    "patternProperties",
    "anyOf",
    "oneOf",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "$dynamicRef",
    "unevaluatedProperties",
];

/// Reads the schemas of one document.
pub(super) struct Schemas<'s> {
    document: &'s Value,
    visits: u32,
}

/// The type of an accepted input or form.
pub(super) fn of_object(document: &Value, label: &str) -> Type {
    let mut schemas = Schemas { document, visits: VISITS_MAX };
    let parts = schemas.parts(document);
    match parts {
        Some(parts) => schemas.object(&parts, 0, Some(label)),
        None => Type::of(Kinds::MAP),
    }
}

impl<'s> Schemas<'s> {
    /// The schema and those that apply to the same value; none if one cannot be found or is not a map.
    fn parts(&self, schema: &'s Value) -> Option<Vec<&'s Value>> {
        let mut parts = vec![schema];
        let mut at = 0;
        while let Some(part) = parts.get(at).copied() {
            at += 1;
            if !part.is_object() || part.get("$dynamicRef").is_some() || parts.len() > PARTS_MAX {
                return None;
            }
            if let Some(reference) = part.get("$ref") {
                let pointer = reference.as_str()?.strip_prefix('#')?;
                let found = self.document.pointer(pointer)?;
                if parts.iter().any(|known| std::ptr::eq(*known, found)) {
                    return None;
                }
                parts.push(found);
            }
            parts.extend(part.get("allOf").and_then(Value::as_array).into_iter().flatten());
        }
        Some(parts)
    }

    fn value(&mut self, schema: &'s Value, depth: u8) -> Type {
        self.visits = self.visits.saturating_sub(1);
        if self.visits == 0 || depth >= DEPTH_MAX {
            return Type::unknown();
        }
        let Some(parts) = self.parts(schema) else { return Type::unknown() };
        let mut is: Option<Type> = None;
        let mut narrow = |by: Type| {
            is = Some(match is.take() {
                // The one that lists values knows more.
                Some(is) if by.shape().is_none() && is.kinds().and(by.kinds()) == by.kinds() => by,
                Some(is) => is.only(by.kinds()),
                None => by,
            });
        };
        for part in &parts {
            if let Some(kind) = part.get("type") {
                narrow(Type::of(kinds_of(kind)));
            }
            if let Some(one) = part.get("const") {
                narrow(Type::of_value(one));
            }
            if let Some(listed) = part.get("enum").and_then(Value::as_array) {
                narrow(listed.iter().fold(Type::of(Kinds::NONE), |all, one| all.join(&of_number_or(one))));
            }
            for ways in ["anyOf", "oneOf"] {
                if let Some(ways) = part.get(ways).and_then(Value::as_array) {
                    narrow(ways.iter().fold(Type::of(Kinds::NONE), |all, way| all.join(&self.loosely(way, depth))));
                }
            }
        }
        let Some(is) = is.filter(|is| !is.is_unknown()) else { return Type::unknown() };
        self.with_parts(is, &parts, depth)
    }

    /// One of several ways: what is inside is not filled in, so only its kinds are known.
    fn loosely(&mut self, way: &'s Value, depth: u8) -> Type {
        let is = self.value(way, depth.saturating_add(1));
        let inside = Kinds::LIST.or(Kinds::MAP);
        if is.is_unknown() { is } else { is.without(inside).or(is.kinds().and(inside)) }
    }

    fn with_parts(&mut self, is: Type, parts: &[&'s Value], depth: u8) -> Type {
        let mut whole = is.without(Kinds::LIST.or(Kinds::MAP));
        if is.kinds().has(Kinds::MAP) {
            whole = whole.join(&self.object(parts, depth, None));
        }
        if is.kinds().has(Kinds::LIST) {
            let items = parts.iter().find_map(|part| part.get("items"));
            let by_position = parts.iter().any(|part| part.get("prefixItems").is_some());
            whole = whole.join(&match items.filter(|_| !by_position) {
                Some(items) => Type::list(self.value(items, depth + 1)),
                None => Type::of(Kinds::LIST),
            });
        }
        whole
    }

    fn object(&mut self, parts: &[&'s Value], depth: u8, label: Option<&str>) -> Type {
        let properties = |part: &&'s Value| part.get("properties").and_then(Value::as_object);
        if parts.iter().filter_map(properties).all(Map::is_empty) {
            return Type::of(Kinds::MAP);
        }
        let required = |name: &str| {
            let lists = parts.iter().filter_map(|part| part.get("required").and_then(Value::as_array));
            lists.flatten().any(|required| required == name)
        };
        let mut members: BTreeMap<String, Member> = BTreeMap::new();
        for (name, property) in parts.iter().filter_map(properties).flatten() {
            let mut is = self.value(property, depth + 1);
            match self.parts(property).and_then(|parts| parts.into_iter().find_map(|part| part.get("default"))) {
                Some(default) => is = is.join(&of_number_or(default)),
                None if !required(name) => is = is.or(Kinds::NULL),
                None => {}
            }
            let is = match members.get(name) {
                // Two schemas for one property: nothing is certain.
                Some(_) => Type::unknown(),
                None => is,
            };
            members.insert(name.clone(), Member { is, always: true });
        }
        let shape = Shape::new(members, rest(parts));
        Type::map(match label {
            Some(label) => shape.labelled(label, None),
            None => shape,
        })
    }
}

/// Whether a map of these schemas has members that no schema lists.
fn rest(parts: &[&Value]) -> Rest {
    let more = parts.iter().filter_map(|part| part.get("additionalProperties"));
    match parts {
        [only] if only.get("additionalProperties") == Some(&Value::Bool(false)) => {
            match only.get("patternProperties") {
                Some(_) => Rest::Open,
                None => Rest::Closed,
            }
        }
        _ if more.clone().any(|more| *more != Value::Bool(false)) => Rest::Open,
        _ if parts.iter().any(|part| OPENING.iter().any(|keyword| part.get(keyword).is_some())) => Rest::Open,
        _ => Rest::Listed,
    }
}

/// The kinds of a `type`. Ints and doubles are one thing in a schema.
fn kinds_of(kind: &Value) -> Kinds {
    match kind {
        Value::String(kind) => match kind.as_str() {
            "null" => Kinds::NULL,
            "boolean" => Kinds::BOOL,
            "integer" | "number" => Kinds::INT.or(Kinds::DOUBLE),
            "string" => Kinds::TEXT,
            "array" => Kinds::LIST,
            "object" => Kinds::MAP,
            _ => Kinds::DYN,
        },
        Value::Array(kinds) => kinds.iter().map(kinds_of).fold(Kinds::NONE, Kinds::or),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Kinds::DYN,
    }
}

/// The type of a value of a schema, in which 1 and 1.0 are the same.
fn of_number_or(value: &Value) -> Type {
    if value.is_number() { Type::of(Kinds::INT.or(Kinds::DOUBLE)) } else { Type::of_value(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(schema: Value) -> Kinds {
        let object = json!({"type": "object", "required": ["x"], "properties": {"x": schema},
            "$defs": {"name": {"type": "string"}, "maybe": {"type": ["string", "null"]}, "self": {"$ref": "#/$defs/self"}}});
        of_object(&object, "the input").shape().unwrap().members["x"].is.kinds()
    }

    #[test]
    fn a_property_has_the_kinds_that_its_schema_permits() {
        let number = Kinds::INT.or(Kinds::DOUBLE);
        for (schema, kinds) in [
            (json!({"type": "integer"}), number),
            (json!({"type": ["string", "null"]}), Kinds::TEXT.or(Kinds::NULL)),
            (json!({"enum": ["a", 1]}), Kinds::TEXT.or(number)),
            (json!({"const": true}), Kinds::BOOL),
            (json!({"$ref": "#/$defs/name"}), Kinds::TEXT),
            (json!({"$ref": "#/$defs/maybe"}), Kinds::TEXT.or(Kinds::NULL)),
            (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), Kinds::TEXT.or(Kinds::NULL)),
            (json!({"oneOf": [{"type": "integer"}, {"$ref": "#/$defs/name"}]}), Kinds::TEXT.or(number)),
            (json!({"type": ["string", "integer"], "enum": ["a"]}), Kinds::TEXT),
            (json!({"allOf": [{"type": "string"}, {"minLength": 1}]}), Kinds::TEXT),
            (json!({"type": "string", "default": null}), Kinds::TEXT.or(Kinds::NULL)),
            (json!({"type": "array", "items": {"type": "string"}}), Kinds::LIST),
        ] {
            assert_eq!(member(schema.clone()), kinds, "{schema}");
        }
    }

    #[test]
    fn what_a_schema_does_not_say_is_unknown() {
        for schema in [
            json!({}),
            json!(true),
            json!({"minLength": 1}),
            json!({"properties": {"y": {}}}),
            json!({"$ref": "#/$defs/self"}),
            json!({"$ref": "#/$defs/nowhere"}),
            json!({"$ref": "#name"}),
            json!({"anyOf": [{"type": "string"}, {}]}),
        ] {
            assert_eq!(member(schema.clone()), Kinds::DYN, "{schema}");
        }
    }

    #[test]
    fn an_optional_property_is_null_unless_it_has_a_default() {
        let object = json!({"properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "x"}}});
        let members = of_object(&object, "the input").shape().unwrap().members.clone();
        assert_eq!(members["a"].is.kinds(), Kinds::TEXT.or(Kinds::NULL));
        assert_eq!(members["b"].is.kinds(), Kinds::TEXT);
    }

    #[test]
    fn other_members_depend_on_what_the_schema_says_of_them() {
        for (more, expected) in [
            (json!({}), Rest::Listed),
            (json!({"additionalProperties": false}), Rest::Closed),
            (json!({"additionalProperties": true}), Rest::Open),
            (json!({"additionalProperties": {"type": "string"}}), Rest::Open),
            (json!({"additionalProperties": false, "patternProperties": {"^x": {}}}), Rest::Open),
            (json!({"anyOf": [{"required": ["a"]}]}), Rest::Open),
        ] {
            let mut object = json!({"properties": {"a": {"type": "string"}}});
            object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(of_object(&object, "the input").shape().unwrap().rest, expected, "{more}");
        }
    }

    #[test]
    fn a_hostile_schema_ends() {
        let wide: Map<String, Value> = (0..5_000).map(|at| (format!("p{at}"), json!({"$ref": "#"}))).collect();
        let is = of_object(&json!({"type": "object", "properties": wide}), "the input");
        assert_eq!(is.kinds(), Kinds::MAP);
        let ways: Vec<Value> = (0..50).map(|_| json!({"$ref": "#/$defs/a"})).collect();
        let circle = json!({"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"anyOf": ways}}});
        assert_eq!(of_object(&circle, "the input").kinds(), Kinds::MAP);
    }
}

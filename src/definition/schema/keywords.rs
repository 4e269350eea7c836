//! The keywords of JSON Schema (2020-12), and what other versions and dialects have instead.

use serde_json::Value;

/// Keywords whose value is a schema.
pub(crate) const ONE: [&str; 11] = [
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
pub(crate) const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is a map of schemas.
pub(crate) const MAPS: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// The other keywords.
pub(crate) const PLAIN: [&str; 41] = [
    "$schema",
    "$id",
    "$ref",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$vocabulary",
    "$comment",
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "format",
    "contentEncoding",
    "contentMediaType",
    // Without effect, but written by many tools.
    UNCHECKED[0],
    UNCHECKED[1],
    UNCHECKED[2],
];
/// Keywords of OpenAPI that have no effect.
pub(crate) const UNCHECKED: [&str; 3] = ["example", "externalDocs", "discriminator"];
/// Keywords of other versions and dialects, and what to write.
pub(crate) const FOREIGN: [(&str, &str); 11] = [
    ("dependencies", "write `dependentRequired` or `dependentSchemas`"),
    ("additionalItems", "write the first items in `prefixItems` and the others in `items`"),
    ("$recursiveRef", "write `$dynamicRef`"),
    ("nullable", "allow null in `type`, as in `type: [string, \"null\"]`"),
    ("optional", "leave the property out of `required`"),
    ("min", "write `minimum`, `minLength` or `minItems`"),
    ("max", "write `maximum`, `maxLength` or `maxItems`"),
    ("length", "write `minLength` and `maxLength`"),
    ("regex", "write `pattern`"),
    ("options", "write `enum`"),
    ("choices", "write `enum`"),
];
/// The types of values.
pub(crate) const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];
/// The types of other languages.
pub(crate) const FOREIGN_TYPES: [(&str, &str); 14] = [
    ("int", "integer"),
    ("long", "integer"),
    ("float", "number"),
    ("double", "number"),
    ("decimal", "number"),
    ("bool", "boolean"),
    ("str", "string"),
    ("text", "string"),
    ("list", "array"),
    ("map", "object"),
    ("dict", "object"),
    ("none", "null"),
    ("date", "string` with `format: date"),
    ("datetime", "string` with `format: date-time"),
];
/// The values of `format` that are checked.
pub(crate) const FORMATS: [&str; 17] = [
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "uuid",
    "uri",
    "uri-reference",
    "uri-template",
    "iri",
    "iri-reference",
    "hostname",
    "ipv4",
    "ipv6",
    "regex",
    "json-pointer",
    "relative-json-pointer",
];
/// The version of JSON Schema that is read.
pub(crate) const VERSION: &str = "https://json-schema.org/draft/2020-12/schema";

/// Every keyword.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    PLAIN.into_iter().chain(ONE).chain(LISTS).chain(MAPS)
}

/// Visits a schema and those inside of it, with their JSON pointers. The depth of a document is bounded.
pub(super) fn walk<'s>(schema: &'s Value, visit: &mut dyn FnMut(&str, &'s Value)) {
    fn inside<'s>(at: &str, schema: &'s Value, visit: &mut dyn FnMut(&str, &'s Value)) {
        let Some(keywords) = schema.as_object() else { return };
        visit(at, schema);
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                (one, value) if ONE.contains(&one) => inside(&format!("{at}/{one}"), value, visit),
                (list, Value::Array(schemas)) if LISTS.contains(&list) => {
                    for (number, schema) in schemas.iter().enumerate() {
                        inside(&format!("{at}/{list}/{number}"), schema, visit);
                    }
                }
                (map, Value::Object(schemas)) if MAPS.contains(&map) => {
                    for (name, schema) in schemas {
                        let name = name.replace('~', "~0").replace('/', "~1");
                        inside(&format!("{at}/{map}/{name}"), schema, visit);
                    }
                }
                _ => {}
            }
        }
    }
    inside("", schema, visit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_told_are_those_that_are_checked() {
        let checked = |format: &str| jsonschema::options().is_known_format(jsonschema::Draft::Draft202012, format);
        assert!(FORMATS.into_iter().all(checked));
        for other in ["zip-code", "idn-email", "idn-hostname", "int32", "password", "binary"] {
            assert!(!checked(other), "{other}");
        }
    }
}

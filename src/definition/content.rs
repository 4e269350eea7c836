//! The stored form of a document: the hash that identifies a version (documents have the same hash if, and only if, they mean the same), and
//! whether it is read within moments.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::contract::json;

/// Bytes of a document that is brief: what most workflows have.
const BRIEF_BYTES: usize = 16 * 1024;
/// Bytes that count for each value, besides its text: about what it takes to read one.
const VALUE_BYTES: usize = 8;
/// What a few bytes of make a document costly to read: patterns are compiled, and references multiply.
const COSTLY: [&str; 4] = ["pattern", "patternProperties", "$ref", "$dynamicRef"];
/// The function of expressions whose argument is a pattern.
const MATCHES: &str = "matches";

/// Whether a document is read within a few milliseconds, wherever that is: it is small, and has nothing that costs more than its size says.
pub fn is_brief(content: &Value) -> bool {
    spend(content, BRIEF_BYTES).is_some()
}

/// What is left of this number of bytes; none if they are spent, or if there is something costly.
// Its depth is that of the document, which has a bound of its own.
fn spend(value: &Value, left: usize) -> Option<usize> {
    let left = left.checked_sub(VALUE_BYTES)?;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(left),
        Value::String(text) => left.checked_sub(text.len()).filter(|_| !text.contains(MATCHES)),
        Value::Array(items) => items.iter().try_fold(left, |left, item| spend(item, left)),
        Value::Object(members) => members.iter().try_fold(left, |left, (name, value)| {
            let left = left.checked_sub(name.len()).filter(|_| !COSTLY.contains(&name.as_str()))?;
            spend(value, left)
        }),
    }
}

/// SHA-256 of the canonical JSON of `content`, see [`json::write_canonical`].
///
/// # Errors
/// None for a value in memory.
pub fn hash(content: &Value) -> Result<[u8; 32], String> {
    let mut canonical = Vec::new();
    json::write_canonical(content, &mut canonical).map_err(|error| error.to_string())?;
    Ok(Sha256::digest(canonical).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_depends_on_values_and_not_on_the_order_of_keys() {
        let one = hash(&serde_json::from_str(r#"{"a": 1, "b": 2.50}"#).unwrap());
        assert_eq!(one, hash(&serde_json::from_str(r#"{ "b": 2.5, "a": 1 }"#).unwrap()));
        assert_ne!(one, hash(&json!({"a": 1, "b": 2.6})));
    }

    #[test]
    fn a_document_is_brief_if_it_is_small_and_has_nothing_that_costs_more() {
        let with = |schema: Value| json!({ "name": "a", "input": schema, "activities": [{ "id": "b", "end": {} }] });
        assert!(is_brief(&with(json!({ "properties": { "a": { "type": "string" } } }))));
        for costly in COSTLY {
            assert!(!is_brief(&with(json!({ "properties": { "a": { costly: "x" } } }))), "{costly}");
        }
        assert!(!is_brief(&with(json!({ "title": "${ a.matches('x') }" }))));
        let long = |bytes: usize| is_brief(&json!("x".repeat(bytes)));
        assert_eq!((long(BRIEF_BYTES - VALUE_BYTES), long(BRIEF_BYTES - VALUE_BYTES + 1)), (true, false));
        let many = |count: usize| is_brief(&json!(vec![0; count]));
        assert_eq!((many(BRIEF_BYTES / VALUE_BYTES - 1), many(BRIEF_BYTES / VALUE_BYTES)), (true, false));
    }

    #[test]
    fn an_integer_its_double_and_its_neighbour_have_different_hashes() {
        for (one, other) in [
            (json!({"n": 7}), json!({"n": 7.0})),
            (json!({"n": 9_007_199_254_740_992_i64}), json!({"n": 9_007_199_254_740_993_i64})),
            (json!({"n": 10_000_000_000_000_000_i64}), json!({"n": 1e16})),
        ] {
            assert_ne!(hash(&one), hash(&other), "{one} {other}");
        }
    }
}

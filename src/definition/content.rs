//! The hash that identifies a version: documents have the same hash if, and only if, they mean the same.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::contract::json;

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

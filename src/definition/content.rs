//! The hash that identifies a version: equal documents have equal hashes.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of the canonical JSON (RFC 8785) of `content`.
///
/// # Errors
/// There is no canonical form; every value that a document can contain has one.
pub fn hash(content: &Value) -> Result<[u8; 32], String> {
    let canonical = serde_json_canonicalizer::to_vec(content).map_err(|error| error.to_string())?;
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
}

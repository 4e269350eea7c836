//! The byte order mark, which some programs write before JSON. JSON readers need not accept it, and serde_json does not.

/// The bytes of a JSON text without a byte order mark.
pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

//! JSON on its way into `jsonb`: written without a copy, and refused where PostgreSQL would refuse it.

use std::fmt;

use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;
use serde::Serialize;
use serde_json::Value;

/// The first byte of `jsonb` on the wire.
const JSONB_VERSION: u8 = 1;

/// Anything serde can write, as `jsonb`.
pub(super) struct Json<'a, T>(pub(super) &'a T);

impl<T> fmt::Debug for Json<'_, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Data of users does not belong into logs.
        out.write_str("Json(..)")
    }
}

impl<T: Serialize> ToSql<Jsonb, Pg> for Json<'_, T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        use std::io::Write as _;
        out.write_all(&[JSONB_VERSION])?;
        serde_json::to_writer(out, self.0)?;
        Ok(IsNull::No)
    }
}

/// Says where a value holds the character `\u0000`, which PostgreSQL keeps neither in `jsonb` nor in `text`.
///
/// # Errors
/// A sentence with the JSON pointer of the text or name that holds it.
pub fn refuse_nul(value: &Value) -> Result<(), String> {
    match find_nul(value) {
        None => Ok(()),
        Some(pointer) if pointer.is_empty() => Err("the text holds the character \\u0000".into()),
        Some(pointer) => Err(format!("`{pointer}` holds the character \\u0000")),
    }
}

/// The same for a name, key or id.
///
/// # Errors
/// A sentence that names `what`.
pub fn refuse_nul_in(what: &str, text: &str) -> Result<(), String> {
    if text.contains('\0') { Err(format!("{what} holds the character \\u0000")) } else { Ok(()) }
}

// Depth is bounded by serde_json, which reads nothing deeper than 128.
fn find_nul(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| find_nul(item).map(|rest| format!("/{at}{rest}")))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            if name.contains('\0') {
                return Some(format!("/{}", name.replace('\0', "\\u0000")));
            }
            find_nul(field).map(|rest| format!("/{name}{rest}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_nul_character_is_found_wherever_it_hides() {
        assert_eq!(refuse_nul(&json!({"a": ["x", "\u{0}"]})), Err("`/a/1` holds the character \\u0000".into()));
        assert!(refuse_nul(&json!({"a\u{0}": 1})).is_err());
        assert!(refuse_nul(&json!("\u{0}")).is_err());
        assert!(refuse_nul_in("the key", "a\u{0}").is_err());
    }

    #[test]
    fn everything_else_passes() {
        assert_eq!(refuse_nul(&json!({"a": [1.5, null, true, "\u{1}\u{ffff}\\u0000"]})), Ok(()));
    }
}

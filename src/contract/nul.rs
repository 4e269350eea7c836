//! The one character that PostgreSQL cannot keep.

use serde_json::Value;

/// Refuses what PostgreSQL's `jsonb` refuses, at the door instead of at every commit: `\u0000` in a text or a name.
///
/// # Errors
/// A sentence naming the place as a JSON pointer.
pub fn refuse_nul(value: &Value) -> Result<(), String> {
    // The depth is bounded by the reader (128 levels), so the recursion is.
    fn walk(value: &Value, path: &mut String) -> bool {
        let length = path.len();
        let found = match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().enumerate().any(|(at, item)| {
                path.truncate(length);
                path.push_str(&format!("/{at}"));
                walk(item, path)
            }),
            Value::Object(members) => members.iter().any(|(name, member)| {
                path.truncate(length);
                path.push_str(&format!("/{}", name.replace('\0', "\\u0000")));
                name.contains('\0') || walk(member, path)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        };
        if !found {
            path.truncate(length);
        }
        found
    }
    let mut path = String::new();
    if walk(value, &mut path) {
        return Err(format!("the text at `{path}` contains \\u0000, which PostgreSQL cannot keep"));
    }
    Ok(())
}

//! Checks that a JSON value can be stored: without `\u0000`, which PostgreSQL cannot store, without integers beyond 64 bits, and not
//! nested too deeply to be read again.

use serde_json::Value;

/// The deepest nesting of lists and maps in a value, from outside or from expressions and handlers. JSON is parsed to 127 levels, and
/// stored values are wrapped: a value in a failure in a wait in a branch, and again in an event.
pub const DEPTH_MAX: usize = 64;

/// Why a value cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// A text or a name contains `\u0000`.
    Nul,
    /// It is nested too deeply.
    Deep,
    /// An integer does not fit into 64 bits with a sign: read again, it would be a double.
    Number,
}

/// Refuses a value that cannot be stored, when it arrives instead of at the commit: with `\u0000` in a text or a name, with an
/// integer beyond 64 bits, or with more than [`DEPTH_MAX`] levels.
///
/// # Errors
/// A sentence that names the place as a JSON pointer.
pub fn refuse_unfit(value: &Value) -> Result<(), String> {
    match find_unfit(value, DEPTH_MAX) {
        None => Ok(()),
        Some((Unfit::Nul, place)) => {
            Err(format!("the text at `{place}` contains \\u0000, which PostgreSQL cannot store"))
        }
        Some((Unfit::Number, place)) => Err(too_large(&place)),
        Some((Unfit::Deep, _)) => Err(too_deep()),
    }
}

/// The message about an integer that does not fit.
pub fn too_large(place: &str) -> String {
    format!("the number at `{place}` does not fit into a 64-bit integer: send it as text")
}

/// The message about a value that is nested too deeply.
pub fn too_deep() -> String {
    format!("it nests deeper than {DEPTH_MAX} levels of lists and maps")
}

/// Whether a value is nested deeper than [`DEPTH_MAX`].
pub fn is_too_deep(value: &Value) -> bool {
    fn walk(value: &Value, room: usize) -> bool {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
            Value::Array(items) => room == 0 || items.iter().any(|item| walk(item, room - 1)),
            Value::Object(members) => room == 0 || members.values().any(|member| walk(member, room - 1)),
        }
    }
    walk(value, DEPTH_MAX)
}

/// The first place that cannot be stored, as a JSON pointer. The recursion stops at `depth_max` levels.
pub fn find_unfit(value: &Value, depth_max: usize) -> Option<(Unfit, String)> {
    let deeper = |name: &dyn Fn() -> String, value: &Value| {
        find_unfit(value, depth_max - 1).map(|(unfit, rest)| (unfit, format!("/{}{rest}", name())))
    };
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::Number(number) => (!number.is_i64() && !number.is_f64()).then(|| (Unfit::Number, String::new())),
        Value::String(text) => text.contains('\0').then(|| (Unfit::Nul, String::new())),
        Value::Array(_) | Value::Object(_) if depth_max == 0 => Some((Unfit::Deep, String::new())),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| deeper(&|| at.to_string(), item)),
        Value::Object(members) => members.iter().find_map(|(name, member)| match name.contains('\0') {
            true => Some((Unfit::Nul, format!("/{}", name.replace('\0', "\\u0000")))),
            false => deeper(&|| name.clone(), member),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!([]), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
    }

    #[test]
    fn a_value_of_the_deepest_nesting_passes_and_a_deeper_one_does_not() {
        assert_eq!(refuse_unfit(&nested(DEPTH_MAX)), Ok(()));
        assert!(!is_too_deep(&nested(DEPTH_MAX)));
        assert!(refuse_unfit(&nested(DEPTH_MAX + 1)).unwrap_err().contains("deeper than 64 levels"));
        assert!(is_too_deep(&nested(DEPTH_MAX + 1)));
    }

    #[test]
    fn what_cannot_be_stored_is_found_at_any_place() {
        let at = |value| find_unfit(&value, DEPTH_MAX);
        assert_eq!(at(json!({"a": ["x", "\u{0}"]})), Some((Unfit::Nul, "/a/1".into())));
        assert_eq!(at(json!({"a\u{0}": 1})), Some((Unfit::Nul, "/a\\u0000".into())));
        assert_eq!(at(json!("\u{0}")), Some((Unfit::Nul, String::new())));
        assert_eq!(at(json!({"a": [i64::MAX, u64::MAX]})), Some((Unfit::Number, "/a/1".into())));
        assert_eq!(at(json!({"a": [1.5, null, true, "\u{1}\u{ffff}\\u0000"]})), None);
    }
}

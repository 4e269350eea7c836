//! The numbers of inputs and forms: an integer where the schema says integer, a double where it says number.

use serde_json::{Number, Value};

/// Doubles from here on may have an integer between them: 2^53.
const EXACT_MAX: u64 = 1 << 53;
/// 2^63, the first double beyond the integers of 64 bits.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Double,
}

/// The number as these schemas want it, which all apply to it. The validator takes `7.0` for an integer; here it becomes one, so
/// that it divides like one.
///
/// # Errors
/// What to do if it would become another number.
pub(super) fn settled(number: &Number, schemas: &[&Value]) -> Result<Number, &'static str> {
    let kinds: Vec<_> = schemas.iter().filter_map(|schema| kind(schema)).collect();
    let kind = if kinds.contains(&Kind::Integer) { Some(Kind::Integer) } else { kinds.first().copied() };
    match (kind, number.as_i64(), number.as_f64()) {
        (Some(Kind::Integer), None, Some(double)) if double.fract() == 0.0 => match (-BEYOND..BEYOND).contains(&double)
        {
            true => Ok((double as i64).into()),
            false => Err("the integer does not fit into 64 bits: send it as text, and declare it as a string"),
        },
        (Some(Kind::Double), Some(int), _) => {
            let double = int as f64;
            let is_exact = int.unsigned_abs() <= EXACT_MAX || (double < BEYOND && double as i64 == int);
            Number::from_f64(double)
                .filter(|_| is_exact)
                .ok_or("the integer has more digits than a double keeps: declare it as an integer, or send it as text")
        }
        (Some(_) | None, _, _) => Ok(number.clone()),
    }
}

/// The kind of numbers that a schema takes; none if it takes both or does not say.
fn kind(schema: &Value) -> Option<Kind> {
    let named = |name: &Value| match name.as_str() {
        Some("integer") => Some(Kind::Integer),
        Some("number") => Some(Kind::Double),
        Some(_) | None => None,
    };
    match schema.get("type") {
        Some(Value::Array(names)) => {
            let kinds: Vec<_> = names.iter().filter_map(named).collect();
            if kinds.contains(&Kind::Double) { Some(Kind::Double) } else { kinds.first().copied() }
        }
        Some(name) => named(name),
        // Programs write `[number, "null"]` as a choice of two schemas.
        None => {
            let choices = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
            let mut kinds = choices.filter_map(|choice| choice.get("type").and_then(named));
            let first = kinds.next()?;
            kinds.all(|other| other == first).then_some(first)
        }
    }
}

/// Where a number is in a value, as a JSON pointer.
pub(super) fn place(value: &Value, number: &Number) -> Option<String> {
    match value {
        Value::Number(found) => (found == number).then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| place(item, number).map(|rest| format!("/{at}{rest}")))
        }
        Value::Object(members) => {
            members.iter().find_map(|(name, member)| place(member, number).map(|rest| format!("/{name}{rest}")))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn under(schema: &Value, number: Value) -> Result<String, &'static str> {
        let Value::Number(number) = number else { unreachable!() };
        settled(&number, &[schema]).map(|number| number.to_string())
    }

    #[test]
    fn a_number_is_what_its_schema_says() {
        let both = [
            json!({"type": "number"}),
            json!({"type": ["number", "null"]}),
            json!({"type": ["integer", "number"]}),
            json!({"anyOf": [{"type": "number"}, {"type": "null"}]}),
        ];
        for schema in both {
            assert_eq!(under(&schema, json!(7)), Ok("7.0".into()), "{schema}");
            assert_eq!(under(&schema, json!(2.5)), Ok("2.5".into()), "{schema}");
        }
        for schema in
            [json!({"type": "integer"}), json!({"type": ["null", "integer"]}), json!({"oneOf": [{"type": "integer"}]})]
        {
            assert_eq!(under(&schema, json!(7.0)), Ok("7".into()), "{schema}");
            assert_eq!(under(&schema, json!(1e16)), Ok("10000000000000000".into()), "{schema}");
            assert_eq!(under(&schema, json!(i64::MIN)), Ok(i64::MIN.to_string()), "{schema}");
        }
        for schema in
            [json!({}), json!({"type": "string"}), json!({"anyOf": [{"type": "number"}, {"type": "integer"}]})]
        {
            assert_eq!(under(&schema, json!(7)), Ok("7".into()), "{schema}");
            assert_eq!(under(&schema, json!(7.0)), Ok("7.0".into()), "{schema}");
        }
        let schemas = [&json!({"type": "number"}), &json!({"type": "integer"})];
        assert_eq!(settled(&Number::from(7), &schemas), Ok(7.into()));
    }

    #[test]
    fn a_number_that_would_change_is_refused() {
        let (number, integer) = (json!({"type": "number"}), json!({"type": "integer"}));
        assert_eq!(under(&number, json!(9_007_199_254_740_992_i64)), Ok("9007199254740992.0".into()));
        assert_eq!(under(&number, json!(9_007_199_254_740_994_i64)), Ok("9007199254740994.0".into()));
        assert!(under(&number, json!(9_007_199_254_740_993_i64)).is_err());
        assert!(under(&number, json!(i64::MAX)).is_err());
        assert!(under(&number, json!(i64::MIN)).is_ok());
        for large in [1e19, -1e19, BEYOND, 1e300] {
            assert!(under(&integer, json!(large)).is_err(), "{large}");
        }
    }
}

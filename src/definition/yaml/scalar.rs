//! The value of a plain YAML scalar, by the core schema of YAML 1.2, which contains JSON's literals.

use serde_json::Number;

use super::node::Tree;

/// Reads an unquoted scalar.
///
/// # Errors
/// Numbers that JSON cannot represent.
pub(crate) fn read(text: &str) -> Result<Tree, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Tree::Null),
        "true" | "True" | "TRUE" => return Ok(Tree::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Tree::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("`{text}` is not a finite number"));
    }
    let radix =
        [("0x", 16), ("0o", 8)].into_iter().find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, radix)));
    if let Some((digits, radix)) = radix
        && !digits.is_empty()
        && digits.chars().all(|c| c.is_digit(radix))
    {
        let number = i64::from_str_radix(digits, radix).map_err(|_| format!("`{text}` does not fit into 64 bits"))?;
        return Ok(Tree::Number(number.into()));
    }
    if !is_number(unsigned) {
        return Ok(Tree::Text(text.into()));
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse::<i64>().map_err(|_| format!("the number `{text}` does not fit into 64 bits"))?;
        return Ok(Tree::Number(number.into()));
    }
    // There is no negative zero: the database does not keep it.
    let number = text.parse::<f64>().ok().and_then(|number| Number::from_f64(number + 0.0));
    number.map(Tree::Number).ok_or_else(|| format!("the number `{text}` does not fit into a double"))
}

/// `[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?`, or with digits only after the point.
fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    (!whole.is_empty() || !fraction.is_empty()) && digits(whole) && digits(fraction) && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> serde_json::Value {
        let tree = read(text).unwrap();
        super::super::node::Node { tree, line: 0, column: 0, cut: false }.to_value()
    }

    #[test]
    fn literals_and_numbers_follow_the_core_schema() {
        for (text, json) in [
            ("~", "null"),
            ("TRUE", "true"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("+12", "12"),
            ("-0", "0"),
            ("007", "7"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("1.", "1.0"),
            ("-2e3", "-2000.0"),
            ("-0.0", "0.0"),
            ("1e16", "1e16"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808.0", "9223372036854775808.0"),
        ] {
            assert_eq!(value(text), serde_json::from_str::<serde_json::Value>(json).unwrap(), "{text}");
        }
    }

    #[test]
    fn everything_else_is_a_string() {
        for text in
            ["yes", "no", "on", "1_000", "0b1", "1e", ".", "-", "+", "e5", "12:30", "2026-01-01", "0x", "nan", "inf"]
        {
            assert_eq!(value(text), serde_json::Value::from(text), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_cannot_represent_are_refused() {
        for text in [".nan", "-.inf", "1e999", "0xFFFFFFFFFFFFFFFF", "9223372036854775808", "-9223372036854775809"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}

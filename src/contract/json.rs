//! JSON at the doors and in the store: which numbers are taken, and the one way in which values are written.
//!
//! A number is an integer of 64 bits or a double, and stays what it is: `7` and `7.0` divide differently. Three things would
//! change it without a word. A parser makes a double of an integer that does not fit, so such a number is refused. `jsonb` keeps
//! neither exponents nor the sign of zero, so a double is written with its fraction, and there is no negative zero. The canonical
//! JSON of RFC 8785 has doubles only, so hashes are taken of a form that tells the two apart.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use serde_json::{Number, Value};

/// Characters of a refused number that a message shows.
const SHOWN_MAX: usize = 40;
/// From here on a double may be an integer that did not fit: 2^63.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;
/// From here on doubles have no fraction, and serde writes large ones as `1e16`: 2^53.
const WHOLE_FROM: f64 = 9_007_199_254_740_992.0;

/// Why a text is not taken. The message continues a sentence that begins with what was read: "the body …".
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not JSON.
    #[error("is not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A number would become another one; its beginning.
    #[error("has the number {0}, which fits neither a 64-bit integer nor a double: send it as text, in quotes")]
    Number(String),
    /// A number that must be a double is none; its beginning.
    #[error("has the number {0}, which lies between two doubles: send it as text")]
    NoDouble(String),
}

/// Reads a value, and refuses a number that cannot be kept: an integer beyond 64 bits with a sign, or an infinite double. A
/// negative zero is zero.
///
/// # Errors
/// See [`Refused`].
pub fn read(text: &[u8]) -> Result<Value, Refused> {
    match serde_json::from_slice(text) {
        // The text is looked at again only if a number is suspicious, which hardly ever happens.
        Ok(value) if is_plain(&value) => Ok(value),
        Ok(_) => {
            let mut text = text.to_vec();
            let mut signs = Vec::new();
            for (start, number) in numbers(&text) {
                match Kept::of(number) {
                    Kept::Exactly => {}
                    Kept::WithoutSign => signs.push(start),
                    Kept::Not => return Err(refused(number)),
                }
            }
            signs.into_iter().for_each(|at| text[at] = b' ');
            Ok(serde_json::from_slice(&text)?)
        }
        Err(error) => Err(refuse_numbers(text).err().unwrap_or_else(|| error.into())),
    }
}

/// Refuses a text with a number that [`read`] would refuse.
///
/// # Errors
/// [`Refused::Number`]
pub fn refuse_numbers(text: &[u8]) -> Result<(), Refused> {
    match numbers(text).find(|(_, number)| Kept::of(number) == Kept::Not) {
        Some((_, number)) => Err(refused(number)),
        None => Ok(()),
    }
}

/// Reads a value whose numbers are all doubles, also those that are written as integers; one that is not exactly a double is
/// refused.
///
/// # Errors
/// See [`Refused`].
pub fn read_doubles(text: &[u8]) -> Result<Value, Refused> {
    if let Some((_, number)) = numbers(text).find(|(_, number)| !is_double(number)) {
        return Err(Refused::NoDouble(beginning(number)));
    }
    let mut value = serde_json::from_slice(text)?;
    make_doubles(&mut value);
    Ok(value)
}

/// Digits of the integers that are certainly doubles.
const DIGITS_EXACT: usize = 15;

fn is_double(number: &str) -> bool {
    let is_integer = !number.contains(['.', 'e', 'E']);
    let double = number.parse::<f64>().unwrap_or(f64::INFINITY);
    double.is_finite() && (!is_integer || number.len() <= DIGITS_EXACT || format!("{double:.0}") == number)
}

fn make_doubles(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(double) = number.as_f64().and_then(|double| Number::from_f64(double + 0.0)) {
                *number = double;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_doubles),
        Value::Object(members) => members.values_mut().for_each(make_doubles),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn refused(number: &str) -> Refused {
    Refused::Number(beginning(number))
}

fn beginning(number: &str) -> String {
    match number.split_at_checked(SHOWN_MAX) {
        Some((shown, rest)) if !rest.is_empty() => format!("{shown}…"),
        Some(_) | None => number.to_owned(),
    }
}

/// Whether every number is certainly what was written.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Number(number) if number.is_f64() => {
            number.as_f64().is_some_and(|double| double.abs() < BEYOND && (double != 0.0 || double.is_sign_positive()))
        }
        Value::Number(number) => number.is_i64(),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(members) => members.values().all(is_plain),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// What becomes of a number as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Exactly,
    /// It is a negative zero.
    WithoutSign,
    Not,
}

impl Kept {
    fn of(number: &str) -> Self {
        // Not a number at all, which the parser reports.
        let Ok(double) = number.parse::<f64>() else { return Kept::Exactly };
        let is_integer = !number.contains(['.', 'e', 'E']);
        let fits = if is_integer { number.parse::<i64>().is_ok() } else { double.is_finite() };
        match () {
            () if !fits => Kept::Not,
            () if number.starts_with('-') && double == 0.0 => Kept::WithoutSign,
            () => Kept::Exactly,
        }
    }
}

/// The numbers of a JSON text, each with its position.
fn numbers(text: &[u8]) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(&byte) = text.get(at) {
            let start = at;
            match byte {
                b'"' => at = string_end(text, at),
                b'-' | b'0'..=b'9' => {
                    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                    at += text[start..].iter().take_while(|byte| is_part(byte)).count();
                    return Some((start, std::str::from_utf8(&text[start..at]).unwrap_or_default()));
                }
                _ => at += 1,
            }
        }
        None
    })
}

/// The position after the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Writes a value for a `jsonb` column, or any other reader that must find doubles where there are doubles.
///
/// # Errors
/// If the output fails, or the value is none of JSON.
pub fn write(value: &impl Serialize, out: impl io::Write) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Exact))
}

/// What [`write`] writes.
///
/// # Errors
/// If the value is none of JSON.
pub fn bytes(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write(value, &mut bytes)?;
    Ok(bytes)
}

/// What [`write`] writes, as a text.
pub fn text(value: &Value) -> String {
    // A value in memory can be written, and JSON is UTF-8.
    bytes(value).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// JSON as serde writes it, but a double is never written as an integer, not even by a reader that drops exponents and the sign of
/// zero: PostgreSQL stores `1e16` as 10000000000000000, and `x / 3` would change after a reload.
struct Exact;

impl Formatter for Exact {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        match value.abs() {
            0.0 => writer.write_all(b"0.0"),
            size if size < WHOLE_FROM => CompactFormatter.write_f64(writer, value),
            _ => write!(writer, "{value}.0"),
        }
    }
}

/// Appends the one text of a value that hashes are taken of: [`write`] with the names of maps in order. Two values have the same
/// text if, and only if, the engine cannot tell them apart.
///
/// # Errors
/// None for a value in memory.
pub fn write_canonical(value: &Value, out: &mut Vec<u8>) -> serde_json::Result<()> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => write(value, out),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_canonical(item, out)?;
            }
            out.push(b']');
            Ok(())
        }
        Value::Object(members) => {
            out.push(b'{');
            let mut first = true;
            let mut member = |name: &String, value: &Value, out: &mut Vec<u8>| {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, name)?;
                out.push(b':');
                write_canonical(value, out)
            };
            // They are sorted, unless another crate of the program turned on `preserve_order` of serde_json.
            if members.keys().is_sorted() {
                members.iter().try_for_each(|(name, value)| member(name, value, out))?;
            } else {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_unstable_by_key(|(name, _)| *name);
                sorted.into_iter().try_for_each(|(name, value)| member(name, value, out))?;
            }
            out.push(b'}');
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_text(text: &str) -> Result<Value, String> {
        read(text.as_bytes()).map_err(|refused| refused.to_string())
    }

    fn canonical(value: &Value) -> String {
        let mut bytes = Vec::new();
        write_canonical(value, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_number_is_an_integer_or_a_double_as_it_was_written() {
        for (text, written) in [
            ("7", "7"),
            ("7.0", "7.0"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("-0e5", "0.0"),
            ("-1e-400", "0.0"),
            ("1e2", "100.0"),
            ("1E+2", "100.0"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808.0", "9223372036854776000.0"),
            ("1e16", "10000000000000000.0"),
            ("-1e16", "-10000000000000000.0"),
            ("1e19", "10000000000000000000.0"),
            ("9007199254740993", "9007199254740993"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("1e-7", "1e-7"),
            ("5e-324", "5e-324"),
        ] {
            for (before, after) in [("", ""), ("[", "]"), ("{\"a\\\"-0\":[1,{\"b\":", "}],\"z\":\"-0\"}")] {
                let value = read_text(&format!("{before}{text}{after}")).unwrap();
                assert_eq!(super::text(&value), format!("{before}{written}{after}"), "{text}");
            }
        }
    }

    #[test]
    fn a_number_that_would_become_another_one_is_refused_by_name() {
        for number in ["9223372036854775808", "-9223372036854775809", "18446744073709551615", "1e400", "-1E+400"] {
            for text in [number.to_owned(), format!("{{\"a\": [{number}, -0]}}"), format!("[\"1e400\",{number}")] {
                let refused = read_text(&text).unwrap_err();
                assert!(refused.contains(number) && refused.contains("send it as text"), "{text}: {refused}");
            }
        }
        let long = read_text(&"9".repeat(400)).unwrap_err();
        assert!(long.contains(&format!("{}…", "9".repeat(40))) && long.len() < 160, "{long}");
        for text in ["[1, \"1e400\", ]", "[\"1e400", "[\"1e400\\", "[-]", "1-2", "01", "{1: 2}", ""] {
            assert!(read_text(text).unwrap_err().starts_with("is not JSON: "), "{text}");
        }
    }

    #[test]
    fn the_canonical_text_sorts_names_and_tells_integers_and_doubles_apart() {
        let value: Value =
            serde_json::from_str(r#"{ "b": [1, 1.0, 1e16], "a": {"\u0007é\"": null, "": true} }"#).unwrap();
        let text = r#"{"a":{"":true,"\u0007é\"":null},"b":[1,1.0,10000000000000000.0]}"#;
        assert_eq!(canonical(&value), text);
        for (one, other) in [
            (json!(7), json!(7.0)),
            (json!(9_007_199_254_740_992_i64), json!(9_007_199_254_740_993_i64)),
            (json!(10_000_000_000_000_000_i64), json!(1e16)),
            (json!(-4_000_000_000_000_000_000_i64), json!(-4e18)),
            (json!("7"), json!(7)),
            (json!(null), json!("null")),
        ] {
            assert_ne!(canonical(&one), canonical(&other));
        }
        assert_eq!(canonical(&json!(-0.0)), canonical(&json!(0.0)));
    }

    /// The value that PostgreSQL returns: a decimal in full, with the scale that was written, without exponent and sign of zero.
    fn through_jsonb(text: &str) -> Value {
        let Some(written) = text.parse::<i64>().err().map(|_| text.parse::<f64>().unwrap()) else {
            return text.parse::<Value>().unwrap();
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let scale = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i64);
        let scale = usize::try_from(scale - exponent.parse::<i64>().unwrap()).unwrap_or(0);
        let decimal = if scale == 0 { format!("{written:.0}") } else { format!("{written:.scale$}") };
        decimal.parse().unwrap()
    }

    fn doubles() -> impl Strategy<Value = f64> {
        let whole = (any::<i32>(), 0..=308_i32).prop_map(|(n, exponent)| f64::from(n) * 10_f64.powi(exponent));
        prop_oneof![proptest::num::f64::NORMAL, proptest::num::f64::SUBNORMAL, proptest::num::f64::ZERO, whole]
            .prop_filter("JSON has finite numbers only", |double| double.is_finite())
    }

    fn any_number() -> impl Strategy<Value = Number> {
        prop_oneof![any::<i64>().prop_map(Number::from), doubles().prop_map(|n| Number::from_f64(n).unwrap())]
    }

    /// What the engine can tell apart.
    fn meaning(value: &Value) -> (bool, i64, u64) {
        match value.as_i64() {
            Some(int) => (true, int, 0),
            None => (false, 0, (value.as_f64().unwrap() + 0.0).to_bits()),
        }
    }

    proptest! {
        #[test]
        fn a_number_keeps_its_meaning_when_it_is_written_stored_and_read(number in any_number()) {
            let value = Value::Number(number);
            let written = text(&value);
            prop_assert_eq!(meaning(&read_text(&written).unwrap()), meaning(&value), "{}", written);
            prop_assert_eq!(meaning(&through_jsonb(&written)), meaning(&value), "{}", written);
            let again = text(&through_jsonb(&written));
            prop_assert_eq!(canonical(&through_jsonb(&written)), canonical(&value));
            prop_assert_eq!(again, written);
        }

        #[test]
        fn numbers_have_the_same_canonical_text_only_if_they_mean_the_same(one in any_number(), other in any_number()) {
            for (one, other) in [(&one, &other), (&one, &one)] {
                let (one, other) = (Value::Number(one.clone()), Value::Number(other.clone()));
                prop_assert_eq!(canonical(&one) == canonical(&other), meaning(&one) == meaning(&other));
            }
        }

        #[test]
        fn any_spelling_of_a_number_is_kept_or_refused(
            sign in "-?", whole in "0|[1-9][0-9]{0,24}", fraction in "(\\.[0-9]{1,25})?", exponent in "([eE][-+]?[0-9]{1,3})?",
        ) {
            let text = format!("{sign}{whole}{fraction}{exponent}");
            let is_integer = fraction.is_empty() && exponent.is_empty();
            match read_text(&text) {
                Ok(value) if is_integer => prop_assert_eq!(value.as_i64(), text.parse().ok()),
                Ok(value) => {
                    prop_assert!(value.is_f64());
                    prop_assert_eq!(value.as_f64().unwrap().to_bits(), (text.parse::<f64>().unwrap() + 0.0).to_bits());
                }
                Err(_) if is_integer => prop_assert!(text.parse::<i64>().is_err()),
                Err(_) => prop_assert!(text.parse::<f64>().unwrap().is_infinite()),
            }
        }
    }
}

//! JSON for `jsonb` columns: written without a copy, and refused where PostgreSQL would refuse it.

use std::{fmt, io};

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::contract::{self, Unfit};

/// The first byte of `jsonb` on the wire.
const JSONB_VERSION: u8 = 1;

/// Any serializable value, as `jsonb`.
pub(super) struct Json<'a, T>(pub(super) &'a T);

impl<T> fmt::Debug for Json<'_, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Data of users must not appear in logs.
        out.write_str("Json(..)")
    }
}

impl<T: Serialize> ToSql<Jsonb, Pg> for Json<'_, T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        use std::io::Write as _;
        out.write_all(&[JSONB_VERSION])?;
        self.0.serialize(&mut serde_json::Serializer::with_formatter(out, Doubles))?;
        Ok(IsNull::No)
    }
}

/// From here on doubles have no fraction, and serde writes large ones as `1e16`.
const WHOLE_FROM: f64 = 9_007_199_254_740_992.0;

/// JSON as serde writes it, but doubles keep a fraction: PostgreSQL stores `1e16` as 10000000000000000, which would be
/// read as an integer, and `x / 3` would change after a reload. Hashes use the canonical form, where both are the same.
struct Doubles;

impl Formatter for Doubles {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        if value.abs() < WHOLE_FROM { CompactFormatter.write_f64(writer, value) } else { write!(writer, "{value}.0") }
    }
}

/// Maximum levels of one value. Producers of values keep to [`contract::DEPTH_MAX`]; this is the last check before a
/// row that could not be read again: JSON is read to 127 levels, and a column wraps a value in a few more.
const DEPTH_MAX: usize = 100;

/// Checks that PostgreSQL can store a value: it refuses the character `\u0000` in `jsonb` and `text`, and we refuse
/// more levels than could be read again.
///
/// # Errors
/// A message with the JSON pointer of the string or name.
pub fn refuse_unfit(value: &Value) -> Result<(), String> {
    match contract::find_unfit(value, DEPTH_MAX) {
        None => Ok(()),
        Some((Unfit::Deep, _)) => Err(format!("it nests deeper than {DEPTH_MAX} levels")),
        Some((Unfit::Nul, pointer)) if pointer.is_empty() => Err("the text contains the character \\u0000".into()),
        Some((Unfit::Nul, pointer)) => Err(format!("`{pointer}` contains the character \\u0000")),
    }
}

/// The same check for a name, key or id.
///
/// # Errors
/// A message that begins with `what`.
pub fn refuse_nul_in(what: &str, text: &str) -> Result<(), String> {
    if text.contains('\0') { Err(format!("{what} contains the character \\u0000")) } else { Ok(()) }
}

/// JSON of a row in a list: if it cannot be read, the other rows must still be shown.
#[derive(Debug, Clone, PartialEq, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub(super) struct Legible(pub(super) Option<Value>);

impl FromSql<Jsonb, Pg> for Legible {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Legible(FromSql::<Jsonb, Pg>::from_sql(bytes).ok()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(value: &Value) -> String {
        let mut bytes = Vec::new();
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Doubles)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_double_keeps_its_fraction_and_reads_back_equal() {
        let doubles =
            json!([1e15, 1e16, -1e16, 1.2345678901234567e19, 9_007_199_254_740_992.0, f64::MAX, 1e-7, 0.1, -0.0]);
        let text = written(&doubles);
        assert!(
            !text.contains("e16") && text.contains("[1000000000000000.0,10000000000000000.0,-10000000000000000.0,")
        );
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, doubles);
        assert!(read.as_array().unwrap().iter().all(Value::is_f64), "{text}");
        assert_eq!(
            written(&json!({"a": [1, u64::MAX, i64::MIN, "1e16", null]})),
            r#"{"a":[1,18446744073709551615,-9223372036854775808,"1e16",null]}"#
        );
    }

    #[test]
    fn an_integer_and_its_double_have_the_same_canonical_form() {
        let canonical = |value: Value| serde_json_canonicalizer::to_string(&value).unwrap();
        assert_eq!(canonical(json!(1e16)), canonical(json!(10_000_000_000_000_000_u64)));
        assert_eq!(canonical(json!(1.2345678901234567e19)), canonical(json!(12_345_678_901_234_567_000_u64)));
        assert_eq!(canonical(json!(-4e18)), canonical(json!(-4_000_000_000_000_000_000_i64)));
    }

    #[test]
    fn a_value_that_cannot_be_stored_is_refused() {
        assert_eq!(refuse_unfit(&json!({"a": ["x", "\u{0}"]})), Err("`/a/1` contains the character \\u0000".into()));
        assert_eq!(refuse_unfit(&json!("\u{0}")), Err("the text contains the character \\u0000".into()));
        let nested = |levels| (1..levels).fold(json!([]), |inner, _| json!([inner]));
        assert_eq!(refuse_unfit(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(refuse_unfit(&nested(DEPTH_MAX + 1)), Err("it nests deeper than 100 levels".into()));
        assert!(refuse_nul_in("the key", "a\u{0}").is_err());
    }
}

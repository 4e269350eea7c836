//! JSON on its way into `jsonb`: written without a copy, and refused where PostgreSQL would refuse it.

use std::fmt;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;
use serde::Serialize;
use serde_json::Value;

use crate::contract::{self, Unfit};

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

/// Levels of one value at most. What makes values keeps to [`contract::DEPTH_MAX`]; this is the last wall before a row that
/// nobody could read again: JSON is read to 127 levels, and a column wraps a value in a few more.
const DEPTH_MAX: usize = 100;

/// Says where a value holds what cannot be kept: the character `\u0000`, which PostgreSQL takes neither in `jsonb` nor in
/// `text`, or more levels than could be read again.
///
/// # Errors
/// A sentence with the JSON pointer of the text or name that holds it.
pub fn refuse_nul(value: &Value) -> Result<(), String> {
    match contract::find_unfit(value, DEPTH_MAX) {
        None => Ok(()),
        Some((Unfit::Deep, _)) => Err(format!("it nests deeper than {DEPTH_MAX} levels")),
        Some((Unfit::Nul, pointer)) if pointer.is_empty() => Err("the text holds the character \\u0000".into()),
        Some((Unfit::Nul, pointer)) => Err(format!("`{pointer}` holds the character \\u0000")),
    }
}

/// The same for a name, key or id.
///
/// # Errors
/// A sentence that names `what`.
pub fn refuse_nul_in(what: &str, text: &str) -> Result<(), String> {
    if text.contains('\0') { Err(format!("{what} holds the character \\u0000")) } else { Ok(()) }
}

/// JSON of a row among others: what cannot be read must not hide the rows next to it.
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

    #[test]
    fn what_cannot_be_kept_is_told() {
        assert_eq!(refuse_nul(&json!({"a": ["x", "\u{0}"]})), Err("`/a/1` holds the character \\u0000".into()));
        assert_eq!(refuse_nul(&json!("\u{0}")), Err("the text holds the character \\u0000".into()));
        let nested = |levels| (1..levels).fold(json!([]), |inner, _| json!([inner]));
        assert_eq!(refuse_nul(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(refuse_nul(&nested(DEPTH_MAX + 1)), Err("it nests deeper than 100 levels".into()));
        assert!(refuse_nul_in("the key", "a\u{0}").is_err());
    }
}

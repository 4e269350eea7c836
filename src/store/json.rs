//! JSON for `jsonb` columns: written without a copy, and refused where PostgreSQL would refuse it.

use std::fmt;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Error;
use crate::contract::{self, Unfit};

/// The first byte of `jsonb` on the wire.
const JSONB_VERSION: u8 = 1;

/// Any serializable value, as `jsonb`. Diesel's own JSON is not built in, because it writes doubles that come back as integers.
#[derive(AsExpression)]
#[diesel(sql_type = Jsonb)]
pub(super) struct Json<'a, T>(pub(super) &'a T);

impl<T> Clone for Json<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Json<'_, T> {}

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
        contract::json::write(self.0, out)?;
        Ok(IsNull::No)
    }
}

/// The value of a `jsonb` column of a row, read or written.
#[derive(Clone, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub(super) struct Document(pub(super) Value);

impl Document {
    /// Of any serializable value.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, Error> {
        let value = serde_json::to_value(value);
        value.map(Document).map_err(|error| Error::Bug(format!("a row cannot be written as JSON: {error}")))
    }

    /// The typed value; none if it is of another type.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(&self.0).ok()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Document(..)")
    }
}

impl From<Document> for Value {
    fn from(document: Document) -> Self {
        document.0
    }
}

impl ToSql<Jsonb, Pg> for Document {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<Jsonb, Pg>::to_sql(&Json(&self.0), &mut out.reborrow())
    }
}

impl FromSql<Jsonb, Pg> for Document {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            [JSONB_VERSION, text @ ..] => Ok(Document(serde_json::from_slice(text)?)),
            _ => Err("a `jsonb` of an unknown version".into()),
        }
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
        Some((Unfit::Number, place)) => Err(contract::too_large(&place)),
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
        Ok(Legible(Document::from_sql(bytes).ok().map(Value::from)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_cannot_be_stored_is_refused() {
        assert_eq!(refuse_unfit(&json!({"a": ["x", "\u{0}"]})), Err("`/a/1` contains the character \\u0000".into()));
        assert_eq!(refuse_unfit(&json!("\u{0}")), Err("the text contains the character \\u0000".into()));
        assert!(refuse_unfit(&json!({"a": u64::MAX})).unwrap_err().contains("`/a`"));
        let nested = |levels| (1..levels).fold(json!([]), |inner, _| json!([inner]));
        assert_eq!(refuse_unfit(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(refuse_unfit(&nested(DEPTH_MAX + 1)), Err("it nests deeper than 100 levels".into()));
        assert!(refuse_nul_in("the key", "a\u{0}").is_err());
    }
}

//! Reads one row of a statement. A column of doubles holds doubles in every row, also where PostgreSQL writes `7`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::contract::json;

/// Reads a row as a map, from a JSON object whose members are its columns in order. `doubles` are those that hold doubles, counted
/// from 0.
///
/// # Errors
/// A column whose value cannot be kept as it is.
pub(super) fn read(line: &str, doubles: &[i32]) -> Result<Value, String> {
    let mut source = serde_json::Deserializer::from_str(line);
    let row = Row { doubles }.deserialize(&mut source).map_err(|error| error.to_string())?;
    row.map(Value::Object)
}

struct Row<'d> {
    doubles: &'d [i32],
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = Result<Map<String, Value>, String>;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = Result<Map<String, Value>, String>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut columns: A) -> Result<Self::Value, A::Error> {
        let mut row = Map::new();
        let mut at = 0;
        while let Some(name) = columns.next_key::<String>()? {
            let text = columns.next_value::<&RawValue>()?.get().as_bytes();
            let value = if self.doubles.contains(&at) { json::read_doubles(text) } else { json::read(text) };
            match value {
                Ok(value) => row.insert(name, value),
                Err(refused) => return Ok(Err(format!("the column `{name}` {refused}, as in `SELECT {name}::text`"))),
            };
            at += 1;
        }
        Ok(Ok(row))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_column_of_doubles_holds_doubles_only() {
        let line =
            r#"{"n":7,"f":7,"f":7.0,"l":[1,null,2.5],"m":[1,2.5],"none":null,"nan":"NaN","big":9007199254740992}"#;
        let row = read(line, &[1, 3, 5, 6, 7]).unwrap();
        let expected = json!({
            "n": 7, "f": 7.0, "l": [1.0, null, 2.5], "m": [1, 2.5], "none": null, "nan": "NaN", "big": 9_007_199_254_740_992.0,
        });
        assert_eq!(row.to_string(), expected.to_string());
    }

    #[test]
    fn a_number_that_cannot_be_kept_is_refused_with_its_column() {
        for (line, doubles) in [
            (r#"{"a":1,"total":9007199254740993}"#, [1].as_slice()),
            (r#"{"a":1,"total":36893488147419103233}"#, &[1]),
            (r#"{"a":1,"total":[[1],{"b":18446744073709551615}]}"#, &[0]),
        ] {
            let refused = read(line, doubles).unwrap_err();
            assert!(refused.contains("`total`") && refused.contains("`SELECT total::text`"), "{refused}");
        }
        assert!(read("[1]", &[]).is_err());
    }
}

//! The types of parameters: the JSON values each accepts, and its cast.

use serde_json::{Number, Value};

use crate::contract::{self, Unfit};
use crate::time::moment;

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    one: One,
    list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum One {
    Text,
    Integer,
    Number,
    Boolean,
    Uuid,
    Timestamp,
    Date,
    Json,
}

const ALL: [One; 8] =
    [One::Text, One::Integer, One::Number, One::Boolean, One::Uuid, One::Timestamp, One::Date, One::Json];

/// A bound value: always a text, which the statement casts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// One value.
    One(Option<String>),
    /// A list of values.
    List(Option<Vec<String>>),
}

impl Kind {
    /// The type of this name: `text`, or `text[]` for a list.
    pub fn parse(name: &str) -> Option<Self> {
        let (word, list) = name.strip_suffix("[]").map_or((name, false), |word| (word, true));
        let one = ALL.into_iter().find(|one| one.name() == word)?;
        // A list of JSON values is itself a JSON value.
        (!list || one != One::Json).then_some(Self { one, list })
    }

    /// Its name.
    pub fn name(self) -> String {
        format!("{}{}", self.one.name(), if self.list { "[]" } else { "" })
    }

    /// All names, for an error message.
    pub fn listed() -> String {
        let names = ALL.map(|one| format!("`{}`", one.name()));
        format!(
            "{}; all except `json` also as a list (`text[]`), and with a trailing `?` to allow null",
            names.join(", ")
        )
    }

    /// The SQL before and after the value, which is bound as a text and cast.
    pub fn cast(self) -> (&'static str, String) {
        let list = if self.list { "[]" } else { "" };
        ("(", format!("::text{list})::{}{list}", self.one.sql()))
    }

    /// Null of this type.
    pub fn null(self) -> Bound {
        if self.list { Bound::List(None) } else { Bound::One(None) }
    }

    /// Converts a value to this type.
    ///
    /// # Errors
    /// If the value does not fit; the text names its kind.
    pub fn bind(self, value: &Value) -> Result<Bound, String> {
        if !self.list {
            return self.one.text(value).map(|text| Bound::One(Some(text)));
        }
        let Value::Array(items) = value else { return Err(kind_of(value).to_owned()) };
        let texts: Result<Vec<String>, String> = items.iter().map(|item| self.one.text(item)).collect();
        texts.map(|texts| Bound::List(Some(texts))).map_err(|found| format!("a list that contains {found}"))
    }
}

impl One {
    fn name(self) -> &'static str {
        self.into()
    }

    /// The type of PostgreSQL.
    fn sql(self) -> &'static str {
        match self {
            One::Text => "text",
            One::Integer => "bigint",
            One::Number => "numeric",
            One::Boolean => "boolean",
            One::Uuid => "uuid",
            One::Timestamp => "timestamptz",
            One::Date => "date",
            One::Json => "jsonb",
        }
    }

    /// The value as text for PostgreSQL.
    fn text(self, value: &Value) -> Result<String, String> {
        let text = match (self, value) {
            (One::Json, value) => Some(contract::json::text(value)),
            (One::Integer, Value::Number(number)) => whole(number).map(|number| number.to_string()),
            (One::Number, Value::Number(number)) => Some(number.to_string()),
            (One::Boolean, Value::Bool(value)) => Some(value.to_string()),
            (One::Text, Value::String(text)) => Some(text.clone()),
            (One::Uuid, Value::String(text)) => uuid::Uuid::try_parse(text).ok().map(|uuid| uuid.to_string()),
            (One::Timestamp, Value::String(text)) => {
                // The database takes the whole year 9999, so that the text itself is exact.
                moment::parse(text).map(|moment| if moment < moment::LAST { moment.to_string() } else { text.clone() })
            }
            (One::Date, Value::String(text)) => text.parse::<jiff::civil::Date>().ok().map(|date| date.to_string()),
            (
                One::Text | One::Integer | One::Number | One::Boolean | One::Uuid | One::Timestamp | One::Date,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            ) => None,
        };
        let text = text.ok_or_else(|| kind_of(value).to_owned())?;
        if text.contains('\0') {
            return Err("a text with \\u0000, which PostgreSQL cannot store".into());
        }
        // In JSON it is an escape sequence, which `jsonb` also refuses.
        match contract::find_unfit(value, contract::DEPTH_MAX) {
            None => Ok(text),
            Some((Unfit::Nul, _)) => Err("a value with \\u0000, which PostgreSQL cannot store".into()),
            Some((Unfit::Deep, _)) => Err("a value that nests too deeply".into()),
            Some((Unfit::Number, _)) => Err("a number that does not fit into a 64-bit integer".into()),
        }
    }
}

/// An integer; a double without a fraction counts if it is exact.
fn whole(number: &Number) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let exact = |double: &f64| double.fract() == 0.0 && double.abs() <= EXACT_MAX;
    number.as_i64().or_else(|| number.as_f64().filter(exact).map(|double| double as i64))
}

/// The kind of a value, without the value itself.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

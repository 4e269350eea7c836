//! SQL statements that definitions may run by name: their source in the settings, and their parsed form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod read;
mod value;

pub use value::{Bound, Kind};

/// The longest statement, in bytes.
const SQL_MAX: usize = 64 * 1024;
/// The most parameters of a statement.
const PARAMS_MAX: usize = 100;
/// The upper limit of `rows_max`: all rows are stored in the history of the instance.
const ROWS_MAX: usize = 100_000;
/// The longest name of a statement or parameter, in bytes: the limit of PostgreSQL's names.
const NAME_MAX: usize = 63;

/// The rows, each as JSON with its columns in order, and the numbers of the columns that hold doubles, whose types are those of a row
/// of nulls.
const ROWS: &str = "SELECT row_to_json(leveret_row)::text AS line, \
    (SELECT leveret.doubles(ROW(kinds.*)) FROM (SELECT) AS one \
    LEFT JOIN (SELECT * FROM leveret_row LIMIT 0) AS kinds ON true) AS doubles FROM leveret_row";

/// A section `[statements.<name>]` of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementSource {
    /// One statement; `:name` is a parameter.
    pub sql: String,
    /// The type of each parameter; a trailing `?` allows null.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The most rows it may return. Default: `limits.rows_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_max: Option<usize>,
}

/// A parsed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text for PostgreSQL; one column of JSON texts if rows are returned.
    pub pieces: Vec<Piece>,
    /// The parameters, ordered by name.
    pub params: Vec<Param>,
    /// Whether it returns rows; otherwise it returns their number.
    pub returns_rows: bool,
    /// The most rows it may return.
    pub rows_max: usize,
}

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// SQL, verbatim.
    Sql(String),
    /// The value of the parameter with this index.
    Param(usize),
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name in the statement and in `params`.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Whether it accepts null.
    pub nullable: bool,
}

/// Every registered statement by name.
pub type Statements = BTreeMap<String, Statement>;

/// Parses all of them; `rows_max` is the default.
fn read_all(sources: &BTreeMap<String, StatementSource>, rows_max: usize) -> Result<Statements, String> {
    let one = |(name, source): (&String, &StatementSource)| {
        let read = is_name(name)
            .then_some(())
            .ok_or_else(|| "its name must consist of letters, digits, `_` and `-`, at most 63 of them".to_owned())
            .and_then(|()| Statement::read(source, rows_max));
        read.map(|read| (name.clone(), read)).map_err(|error| format!("`statements.{name}` is invalid: {error}"))
    };
    sources.iter().map(one).collect()
}

impl super::Config {
    /// The registered statements, parsed.
    ///
    /// # Errors
    /// If a statement is invalid; the text names it.
    pub fn registered(&self) -> Result<Statements, super::Error> {
        read_all(&self.statements, self.limits.rows_max).map_err(super::Error)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_MAX
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

impl Statement {
    fn read(source: &StatementSource, rows_max: usize) -> Result<Self, String> {
        if source.sql.len() > SQL_MAX {
            return Err(format!("`sql` has {} bytes; the limit is {SQL_MAX}", source.sql.len()));
        }
        if source.params.len() > PARAMS_MAX {
            return Err(format!("it has {} parameters; the limit is {PARAMS_MAX}", source.params.len()));
        }
        let rows_max = source.rows_max.unwrap_or(rows_max);
        if rows_max == 0 || rows_max > ROWS_MAX {
            return Err(format!("`rows_max` must be from 1 to {ROWS_MAX}"));
        }
        let mut params = Vec::new();
        for (name, kind) in &source.params {
            params.push(Param::read(name, kind)?);
        }
        let (pieces, returns_rows) = read::read(&source.sql, &params, rows_max)?;
        Ok(Self { pieces, params, returns_rows, rows_max })
    }

    /// The text for PostgreSQL, with `$1`, `$2` and so on for the values.
    pub fn text(&self) -> String {
        let mut number = 0;
        let piece = |piece: &Piece| match piece {
            Piece::Sql(text) => text.clone(),
            Piece::Param(_) => {
                number += 1;
                format!("${number}")
            }
        };
        self.pieces.iter().map(piece).collect()
    }

    /// The values of its parameters, in the order of their use.
    ///
    /// # Errors
    /// If a parameter is missing, unknown or of another type; the text names each, and no value.
    pub fn bind(&self, given: &Value) -> Result<Vec<Bound>, String> {
        let none = serde_json::Map::new();
        let given = given.as_object().unwrap_or(&none);
        let mut problems = Vec::new();
        let mut bound = Vec::with_capacity(self.params.len());
        for param in &self.params {
            match given.get(&param.name) {
                None => problems.push(format!("`{}` is missing", param.name)),
                Some(value) => match param.bind(value) {
                    Ok(value) => bound.push(value),
                    Err(problem) => problems.push(problem),
                },
            }
        }
        for name in given.keys().filter(|name| !self.params.iter().any(|param| param.name == **name)) {
            problems.push(format!("`{name}` is not a parameter of the statement"));
        }
        if problems.is_empty() { Ok(bound) } else { Err(problems.join("; ")) }
    }

    /// Missing and unknown parameters among those an activity passes.
    pub fn argument_problems(&self, given: &[&str]) -> Vec<String> {
        let missing = self.params.iter().filter(|param| !given.contains(&param.name.as_str()));
        let unknown = given.iter().filter(|name| !self.params.iter().any(|param| param.name == **name));
        let missing = missing.map(|param| format!("the parameter `{}` is missing", param.name));
        missing.chain(unknown.map(|name| format!("`{name}` is not a parameter of it"))).collect()
    }
}

impl Param {
    fn read(name: &str, source: &str) -> Result<Self, String> {
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || name.len() > NAME_MAX || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("`{name}` is not a valid parameter name: use letters, digits and `_`"));
        }
        let (word, nullable) = source.strip_suffix('?').map_or((source, false), |word| (word, true));
        let kind = Kind::parse(word)
            .ok_or_else(|| format!("the parameter `{name}` has the unknown type `{source}`: use {}", Kind::listed()))?;
        Ok(Self { name: name.to_owned(), kind, nullable })
    }

    fn bind(&self, value: &Value) -> Result<Bound, String> {
        match (value, self.nullable) {
            (Value::Null, true) => Ok(self.kind.null()),
            (Value::Null, false) => {
                let Self { name, kind, .. } = self;
                Err(format!("`{name}` is null; declare it as `{}?` to allow null", kind.name()))
            }
            (value, _) => self
                .kind
                .bind(value)
                .map_err(|found| format!("`{}` is {found}, but its type is `{}`", self.name, self.kind.name())),
        }
    }
}

#[cfg(test)]
mod tests;

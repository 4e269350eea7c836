//! SQL statements that definitions may run by name: as they are written in the settings, and as they are run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod read;
mod value;

pub use value::{Bound, Kind};

/// The longest statement, in bytes.
const SQL_MAX: usize = 64 * 1024;
/// The most parameters of one.
const PARAMS_MAX: usize = 100;
/// The most rows any statement may be allowed to return: all of them are kept in the instance's history.
const ROWS_MAX: usize = 100_000;
/// The longest name of a statement or parameter, in bytes: that of PostgreSQL's own names.
const NAME_MAX: usize = 63;

/// `[statements.<name>]`, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// One statement; `:name` stands for a parameter.
    pub sql: String,
    /// The type of each parameter; a `?` behind it says that it may be null.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The most rows it may return; `limits.rows_max` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_max: Option<usize>,
}

/// A statement as it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text for PostgreSQL; one column of JSON texts if rows are returned.
    pub pieces: Vec<Piece>,
    /// In the order of their names.
    pub params: Vec<Param>,
    /// Whether it returns rows; else it only counts them.
    pub returns_rows: bool,
    /// The most rows it may return.
    pub rows_max: usize,
}

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Sql(String),
    /// The value of this parameter, by its place among them.
    Param(usize),
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name in the statement and in `params`.
    pub name: String,
    /// What is taken for it.
    pub kind: Kind,
    /// Whether null is taken too.
    pub nullable: bool,
}

/// Every registered statement by its name.
pub type Statements = BTreeMap<String, Statement>;

/// Reads them all; `rows_max` is for those that name none.
fn read_all(written: &BTreeMap<String, Written>, rows_max: usize) -> Result<Statements, String> {
    let one = |(name, written): (&String, &Written)| {
        let read = is_name(name)
            .then_some(())
            .ok_or_else(|| "its name must be letters, digits, `_` and `-`, at most 63 of them".to_owned())
            .and_then(|()| Statement::read(written, rows_max));
        read.map(|read| (name.clone(), read)).map_err(|wrong| format!("`statements.{name}` cannot be used: {wrong}"))
    };
    written.iter().map(one).collect()
}

impl super::Config {
    /// The registered statements, ready to be run.
    ///
    /// # Errors
    /// A sentence that names one that cannot be used, and why.
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
    fn read(written: &Written, rows_max: usize) -> Result<Self, String> {
        if written.sql.len() > SQL_MAX {
            return Err(format!("it has {} bytes; {SQL_MAX} are allowed", written.sql.len()));
        }
        if written.params.len() > PARAMS_MAX {
            return Err(format!("it has {} parameters; {PARAMS_MAX} are allowed", written.params.len()));
        }
        let rows_max = written.rows_max.unwrap_or(rows_max);
        if rows_max == 0 || rows_max > ROWS_MAX {
            return Err(format!("`rows_max` must be from 1 to {ROWS_MAX}"));
        }
        let mut params = Vec::new();
        for (name, kind) in &written.params {
            params.push(Param::read(name, kind)?);
        }
        let (pieces, returns_rows) = read::read(&written.sql, &params, rows_max)?;
        Ok(Self { pieces, params, returns_rows, rows_max })
    }

    /// The whole text, with `$1` for the first value and so on.
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

    /// The values of its parameters, in their order.
    ///
    /// # Errors
    /// A sentence that names every parameter that is missing, unknown or of another type; never a value.
    pub fn bind(&self, given: &Value) -> Result<Vec<Bound>, String> {
        let none = serde_json::Map::new();
        let given = given.as_object().unwrap_or(&none);
        let mut wrong = Vec::new();
        let mut bound = Vec::with_capacity(self.params.len());
        for param in &self.params {
            match given.get(&param.name) {
                None => wrong.push(format!("`{}` is missing", param.name)),
                Some(value) => match param.bind(value) {
                    Ok(value) => bound.push(value),
                    Err(sentence) => wrong.push(sentence),
                },
            }
        }
        for name in given.keys().filter(|name| !self.params.iter().any(|param| param.name == **name)) {
            wrong.push(format!("`{name}` is no parameter of the statement"));
        }
        if wrong.is_empty() { Ok(bound) } else { Err(wrong.join("; ")) }
    }

    /// What is wrong with the names of the parameters an activity gives.
    pub fn argument_problems(&self, given: &[&str]) -> Vec<String> {
        let missing = self.params.iter().filter(|param| !given.contains(&param.name.as_str()));
        let unknown = given.iter().filter(|name| !self.params.iter().any(|param| param.name == **name));
        let missing = missing.map(|param| format!("the parameter `{}` is missing", param.name));
        missing.chain(unknown.map(|name| format!("`{name}` is no parameter of it"))).collect()
    }
}

impl Param {
    fn read(name: &str, written: &str) -> Result<Self, String> {
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || name.len() > NAME_MAX || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("`{name}` cannot be the name of a parameter: use letters, digits and `_`"));
        }
        let (word, nullable) = written.strip_suffix('?').map_or((written, false), |word| (word, true));
        let kind = Kind::parse(word)
            .ok_or_else(|| format!("the parameter `{name}` has the type `{written}`; there are {}", Kind::listed()))?;
        Ok(Self { name: name.to_owned(), kind, nullable })
    }

    fn bind(&self, value: &Value) -> Result<Bound, String> {
        match (value, self.nullable) {
            (Value::Null, true) => Ok(self.kind.null()),
            (Value::Null, false) => {
                let Self { name, kind, .. } = self;
                Err(format!("`{name}` is null; only a parameter of the type `{}?` may be", kind.name()))
            }
            (value, _) => self
                .kind
                .bind(value)
                .map_err(|found| format!("`{}` is {found}, and its type is `{}`", self.name, self.kind.name())),
        }
    }
}

#[cfg(test)]
mod tests;

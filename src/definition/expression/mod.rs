//! Expressions are CEL, and this is the only door to it.
// SKELETON: bodies to be written by the owner of this room.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// What an expression can see.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The declared variables; they hide input properties of the same name.
    pub variables: &'a Map<String, Value>,
    /// The input, defaults filled in.
    pub input: &'a Map<String, Value>,
    /// The step's time, as `now`.
    pub now: Timestamp,
    /// Reserved names that have a value here: `result`, `error`, `data`, `instance`, `activity`, `actors`, `env`, …
    pub reserved: Vec<(&'static str, Value)>,
}

/// Why an expression could not be read or evaluated; names the expression and its variables, never their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// A sentence for the author.
    pub message: String,
}

/// A bare expression.
#[derive(Debug, Clone)]
pub struct Expression {}

impl Expression {
    /// Reads an expression.
    pub fn parse(_source: &str) -> Result<Self, Error> {
        todo!()
    }
    /// Its text.
    pub fn source(&self) -> &str {
        todo!()
    }
    /// The names it reads, e.g. `amount`, `result`; not members, not functions, not comprehension variables.
    pub fn names(&self) -> &[String] {
        todo!()
    }
    /// Its value.
    pub fn evaluate(&self, _scope: &Scope<'_>) -> Result<Value, Error> {
        todo!()
    }
    /// Whether it holds; anything but a boolean is an error.
    pub fn holds(&self, _scope: &Scope<'_>) -> Result<bool, Error> {
        todo!()
    }
}

/// A text with `${ }` in it.
#[derive(Debug, Clone)]
pub struct Template {}

impl Template {
    /// Reads a template.
    pub fn parse(_text: &str) -> Result<Self, Error> {
        todo!()
    }
    /// Its text as written.
    pub fn source(&self) -> &str {
        todo!()
    }
    /// The names its expressions read.
    pub fn names(&self) -> Vec<String> {
        todo!()
    }
    /// The text, if there is no `${ }` in it.
    pub fn literal(&self) -> Option<&str> {
        todo!()
    }
    /// `${ }` alone yields its typed value; among text it is interpolated.
    pub fn evaluate(&self, _scope: &Scope<'_>) -> Result<Value, Error> {
        todo!()
    }
    /// As text, whatever it yields.
    pub fn text(&self, _scope: &Scope<'_>) -> Result<String, Error> {
        todo!()
    }
}

/// A value in a document in which expressions or templates may stand.
#[derive(Debug, Clone)]
pub enum Data {
    /// Means itself.
    Literal(Value),
    /// A bare expression.
    Expression(Expression),
    /// A template.
    Template(Template),
    /// A list.
    List(Vec<Data>),
    /// A map.
    Map(Vec<(String, Data)>),
}

impl Data {
    /// Its value.
    pub fn evaluate(&self, _scope: &Scope<'_>) -> Result<Value, Error> {
        todo!()
    }
    /// The names its expressions read.
    pub fn names(&self) -> Vec<String> {
        todo!()
    }
}

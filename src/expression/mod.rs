//! Expressions are CEL, and this is the only door to it.
//!
//! The `cel` crate reads the text; what it means is decided here, because an evaluation must be bounded (the crate has no
//! budget), must not convert what it does not touch, and computes a mix of ints and doubles as doubles, which the crate
//! refuses. Path of an expression: `read` (text to the parser's tree, within bounds), `compile` and `macros` (tree to
//! `node`s, names and functions resolved), `evaluate` and `loops` (nodes, `operators`, `functions` and the `value`s they
//! work on). tests/conformance holds all of it to CEL's own tests.

pub mod bounds;
mod collections;
mod compare;
mod compile;
mod evaluate;
mod functions;
mod loops;
mod macros;
mod marked;
mod node;
mod operators;
mod read;
mod template;
mod value;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use bounds::{Budget, Fail};
use evaluate::Evaluation;
use node::Node;
use value::Val;

pub use marked::{Marker, Use, filled};
pub use template::{Piece, Template};

/// Names that have a meaning of their own, so that no variable may bear them.
pub const RESERVED: [&str; 11] =
    ["input", "result", "error", "item", "index", "actors", "instance", "activity", "now", "env", "secrets"];

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

/// A bare expression. Cheap to clone.
#[derive(Clone)]
pub struct Expression {
    inner: Arc<Inner>,
}

struct Inner {
    source: String,
    root: Node,
    names: Vec<String>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Expression").field(&self.inner.source).finish()
    }
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is no CEL, calls a function that does not exist, or exceeds one of the [`bounds`].
    pub fn parse(source: &str) -> Result<Self, Error> {
        let tree = read::read(source)?;
        let compiled =
            compile::compile(&tree).map_err(|why| Error { message: format!("`{}`: {why}", read::shown(source)) })?;
        let inner = Inner { source: source.to_owned(), root: compiled.root, names: compiled.names };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// The names it reads, e.g. `amount`, `result`; not members, not functions, not comprehension variables. Sorted.
    pub fn names(&self) -> &[String] {
        &self.inner.names
    }

    /// Its value.
    ///
    /// # Errors
    /// A name or member that is not there, kinds that do not fit, a result that is no finite number, or a bound reached.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, Error> {
        self.with_value(scope, &mut Budget::new(), |value, budget| value.to_json(budget))
    }

    /// Its value as text among text.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn text(&self, scope: &Scope<'_>) -> Result<String, Error> {
        self.with_value(scope, &mut Budget::new(), |value, budget| value.to_text(budget))
    }

    /// Whether it holds; anything but a boolean is an error.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, Error> {
        self.with_value(scope, &mut Budget::new(), |value, _| match value.settled() {
            Val::Bool(value) => Ok(*value),
            other => Err(Fail::wrong(format!("a condition is true or false, this is {}", other.what()))),
        })
    }

    /// Evaluates and hands the value on while the scope is there.
    fn with_value<T>(
        &self,
        scope: &Scope<'_>,
        budget: &mut Budget,
        take: impl FnOnce(&Val<'_>, &mut Budget) -> Result<T, Fail>,
    ) -> Result<T, Error> {
        let value = Evaluation::new(scope, budget).value(&self.inner.root);
        value.and_then(|value| take(&value, budget)).map_err(|fail| self.failed(fail))
    }

    fn failed(&self, fail: Fail) -> Error {
        let reads = match self.names() {
            [] => String::new(),
            names => format!(" (it reads {})", names.join(", ")),
        };
        Error { message: format!("`{}`: {}{reads}", read::shown(self.source()), fail.why()) }
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
    /// The names of the members, if it is a map.
    pub fn members(&self) -> Vec<&str> {
        match self {
            Data::Literal(Value::Object(members)) => members.keys().map(String::as_str).collect(),
            Data::Map(members) => members.iter().map(|(name, _)| name.as_str()).collect(),
            Data::Literal(_) | Data::Expression(_) | Data::Template(_) | Data::List(_) => Vec::new(),
        }
    }

    /// Its value.
    ///
    /// # Errors
    /// The first part that fails, as [`Expression::evaluate`].
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, Error> {
        match self {
            Data::Literal(value) => Ok(value.clone()),
            Data::Expression(expression) => expression.evaluate(scope),
            Data::Template(template) => template.evaluate(scope),
            Data::List(list) => list.iter().map(|item| item.evaluate(scope)).collect(),
            Data::Map(map) => map.iter().map(|(key, item)| Ok((key.clone(), item.evaluate(scope)?))).collect(),
        }
    }

    /// The names its expressions read, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = match self {
            Data::Literal(_) => Vec::new(),
            Data::Expression(expression) => expression.names().to_vec(),
            Data::Template(template) => template.names(),
            Data::List(list) => list.iter().flat_map(Data::names).collect(),
            Data::Map(map) => map.iter().flat_map(|(_, item)| item.names()).collect(),
        };
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests;

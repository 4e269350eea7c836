//! The language of expressions, which is CEL; the only room that uses the `cel` crate.
//!
//! The crate parses the text. The evaluator is written by hand for three reasons: an evaluation needs a budget and bounds, which
//! the crate does not have; it must not convert JSON that it does not read; and it computes ints with doubles as doubles, which
//! the crate refuses.
//!
//! The path of an expression: `read` (from text to the parser's tree, within bounds), `compile` and `macros` (from tree to
//! `node`s, with names and functions resolved), `evaluate` and `loops` (nodes, `operators`, `functions` and their `value`s).
//! tests/conformance checks it against CEL's own tests.

mod address;
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
mod slip;
pub mod step_budget;
mod template;
mod tokens;
pub mod typing;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use bounds::{Budget, EvalError};
use evaluate::Evaluation;
use node::Node;
use step_budget::StepBudget;
use value::Val;

pub use marked::{Marker, Use, filled};
pub use read::Fault;
pub use slip::{Around, ForeignPlace, Slip, foreign_places, is_foreign, slip};
pub use template::{Piece, Span, Template, spans};

/// The names that an expression can read.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The declared variables, which hide input properties of the same name.
    pub variables: &'a Map<String, Value>,
    /// The input with defaults filled in.
    pub input: &'a Map<String, Value>,
    /// The time of the step, read as `now`.
    pub now: Timestamp,
    /// Reserved names that are available here: `result`, `error`, `data`, `instance`, `activity`, `actors`, `env`, …
    pub reserved: Vec<(&'static str, Cow<'a, Value>)>,
    /// What all expressions of the step may spend together.
    pub budget: &'a StepBudget,
}

impl Scope<'_> {
    /// Evaluates with a budget, and books what was spent on the step.
    fn spending<T>(&self, evaluate: impl FnOnce(&mut Budget) -> T) -> T {
        let mut budget = Budget::within(self.budget);
        let outcome = evaluate(&mut budget);
        budget.settle(self.budget);
        outcome
    }
}

/// The error of an expression that cannot be read or evaluated. Names the expression and its variables, never their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The message for the author.
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
    pattern_bytes: usize,
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
    /// It is not valid CEL, calls an unknown function, or exceeds one of the [`bounds`].
    pub fn parse(source: &str) -> Result<Self, Error> {
        Self::read(source).map_err(|fault| Error { message: fault.message_with_place(source) })
    }

    /// Reads an expression, and tells where it cannot be read.
    ///
    /// # Errors
    /// As [`Expression::parse`].
    pub fn read(source: &str) -> Result<Self, Fault> {
        let tree = read::read(source)?;
        let compiled = compile::compile(&tree).map_err(|why| {
            // Messages about functions begin with the name, in backticks, at the latest after two words.
            let name = why.split('`').nth(1).unwrap_or_default();
            Fault { at: tokens::place_of_call(source, name), why }
        })?;
        let compile::Compiled { root, names, pattern_bytes } = compiled;
        let inner = Inner { source: source.to_owned(), root, names, pattern_bytes };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its source.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// The names it reads from the scope, such as `amount` or `result`; without members, functions and loop variables. Sorted.
    pub fn names(&self) -> &[String] {
        &self.inner.names
    }

    /// Bytes of its compiled patterns: those of `matches` that are written out.
    pub fn pattern_bytes(&self) -> usize {
        self.inner.pattern_bytes
    }

    /// The byte at which it reads a name from the scope.
    pub fn place_of(&self, name: &str) -> Option<usize> {
        tokens::place_of_name(self.source(), name)
    }

    /// The names from the scope whose member `length` it reads, and the byte of each `length`.
    pub fn lengths_read(&self) -> Vec<(String, usize)> {
        let mut lengths = tokens::lengths_read(self.source());
        lengths.retain(|(name, _)| self.names().contains(name));
        lengths
    }

    /// The members of `name` that it reads by a fixed name and requires: `env.NAME`, but not `env.?NAME`.
    pub fn members_of(&self, name: &str) -> Vec<String> {
        if self.names().iter().any(|read| read == name) {
            tokens::members_read(self.source(), name)
        } else {
            Vec::new()
        }
    }

    /// Its value.
    ///
    /// # Errors
    /// A missing name or member, a wrong type, a result that is not a finite number, or an exceeded bound.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, Error> {
        scope.spending(|budget| self.with_value(scope, budget, |value, budget| value.to_json(budget)))
    }

    /// Its value as part of a text.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn text(&self, scope: &Scope<'_>) -> Result<String, Error> {
        scope.spending(|budget| self.with_value(scope, budget, |value, budget| value.to_text(budget)))
    }

    /// Whether it is true.
    ///
    /// # Errors
    /// As [`Expression::evaluate`]; also if the value is not a boolean.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, Error> {
        let truth = |value: &Val<'_>, _: &mut Budget| match value.settled() {
            Val::Bool(value) => Ok(*value),
            other => Err(EvalError::invalid(format!("a condition must be a boolean, not {}", other.what()))),
        };
        scope.spending(|budget| self.with_value(scope, budget, truth))
    }

    /// Evaluates and passes the value to `take`, because it borrows from the scope.
    fn with_value<T>(
        &self,
        scope: &Scope<'_>,
        budget: &mut Budget,
        take: impl FnOnce(&Val<'_>, &mut Budget) -> Result<T, EvalError>,
    ) -> Result<T, Error> {
        let value = Evaluation::new(scope, budget).value(&self.inner.root);
        value.and_then(|value| take(&value, budget)).map_err(|error| self.error(error))
    }

    fn error(&self, error: EvalError) -> Error {
        let reads = match self.names() {
            [] => String::new(),
            names => format!(" (reads {})", names.join(", ")),
        };
        Error { message: format!("`{}`: {}{reads}", read::shown(self.source()), error.why()) }
    }
}

/// A value of a document that may contain expressions or templates.
#[derive(Debug, Clone)]
pub enum Data {
    /// A value without expressions.
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

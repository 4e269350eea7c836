//! The state of reading a document: its declarations, its problems so far, and readers of values that many keys share.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::written::Written;
use crate::definition::check::names::{Names, Sees};
use crate::definition::codes;
use crate::definition::model::Assignment;
use crate::definition::problem::Problems;
use crate::definition::schema::{Allowance, PATTERNS_BYTES_MAX, REPEAT_LESS};
use crate::definition::yaml::cursor::At;
use crate::definition::yaml::node::Tree;
use crate::definition::yaml::source::Source;
use crate::expression::{Data, Expression, Template, bounds};
use crate::text::shortened;
use crate::time::{duration, moment};

/// Longest expression, in bytes.
pub(crate) const EXPRESSION_MAX: usize = 4 * 1024;

/// The state of reading one document.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) problems: Problems,
    pub(crate) names: Names,
    /// The text of the document, for places inside of expressions.
    pub(crate) source: Source,
    /// The position of each id in the list of activities.
    pub(crate) ids: BTreeMap<String, usize>,
    /// What is left for schemas and patterns.
    pub(crate) allowance: Allowance,
    /// The targets of some activity are unknown, so reports about the graph would be guesses.
    pub(crate) graph_is_doubtful: bool,
}

impl Draft {
    /// A value whose string is a bare expression.
    pub(crate) fn bare(&mut self, at: &At<'_>, sees: Sees) -> Option<Data> {
        match &at.node.tree {
            Tree::Text(_) => self.expression(at, sees).map(Data::Expression),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::List(_) | Tree::Map(_) => {
                self.data(at, sees)
            }
        }
    }

    /// A bare expression.
    pub(crate) fn expression(&mut self, at: &At<'_>, sees: Sees) -> Option<Expression> {
        let written = match &at.node.tree {
            Tree::Text(text) => text.trim(),
            Tree::Bool(true) => "true",
            Tree::Bool(false) => "false",
            Tree::Refused | Tree::Null | Tree::Number(_) | Tree::List(_) | Tree::Map(_) => {
                self.problems.unexpected(at, "an expression", Some("write a condition such as `amount > 1000`"));
                return None;
            }
        };
        let source = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or(written).trim();
        if source.len() > EXPRESSION_MAX {
            let message = format!("the expression has {} bytes; at most {EXPRESSION_MAX} are allowed", source.len());
            self.problems.error_at(at, message, Some("assign parts of it to variables first"));
            return None;
        }
        if !self.allowance.has_patterns_for(source) {
            return None;
        }
        let written = Written::whole(at, source);
        match Expression::read(source) {
            Ok(expression) => {
                self.read_names(&written, &expression, sees);
                self.take_patterns(at, expression.pattern_bytes()).then_some(expression)
            }
            Err(fault) => {
                self.refuse(&written, &fault);
                self.take_patterns(at, bytes_of_unread(source));
                None
            }
        }
    }

    /// Takes the compiled patterns of an expression. Once they are too large, no other expression with patterns is read.
    fn take_patterns(&mut self, at: &At<'_>, bytes: usize) -> bool {
        let taken = self.allowance.take_pattern_bytes(bytes);
        if !taken {
            let mebibytes = PATTERNS_BYTES_MAX / (1024 * 1024);
            let message = format!("the patterns of the document take more than {mebibytes} MiB when compiled");
            self.problems.error_at(at, message, Some(REPEAT_LESS));
        }
        taken
    }

    /// A string that may contain `${ }`; a number is read as a string.
    pub(crate) fn template(&mut self, at: &At<'_>, sees: Sees) -> Option<Template> {
        let number;
        let text = match &at.node.tree {
            Tree::Text(text) => text,
            Tree::Number(value) => {
                number = value.to_string();
                &number
            }
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::List(_) | Tree::Map(_) => {
                self.problems.unexpected(at, "a string", None);
                return None;
            }
        };
        if !self.allowance.has_patterns_for(text) {
            return None;
        }
        match Template::parse(text) {
            Ok(template) => {
                self.read_template(at, &template, sees);
                self.take_patterns(at, template.pattern_bytes()).then_some(template)
            }
            Err(error) => {
                self.refuse_template(at, text, error.message);
                self.take_patterns(at, bytes_of_unread(text));
                None
            }
        }
    }

    /// A value whose strings are templates.
    pub(crate) fn data(&mut self, at: &At<'_>, sees: Sees) -> Option<Data> {
        match &at.node.tree {
            Tree::Refused => None,
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => Some(Data::Literal(at.node.to_value())),
            Tree::Text(_) => {
                let template = self.text(at, sees)?;
                let literal = template.literal().map(str::to_owned);
                Some(literal.map_or(Data::Template(template), |text| Data::Literal(Value::String(text))))
            }
            Tree::List(_) => {
                // All items are read first, so that the problems of every item are reported.
                let items: Vec<Option<Data>> = at.items().iter().map(|item| self.data(item, sees)).collect();
                Some(list(items.into_iter().collect::<Option<_>>()?))
            }
            Tree::Map(_) => {
                let member = |(entry, value): (&crate::definition::yaml::node::Entry, At<'_>)| {
                    self.data(&value, sees).map(|data| (entry.key.clone(), data))
                };
                let members: Vec<Option<_>> = at.entries().into_iter().map(member).collect();
                Some(map(members.into_iter().collect::<Option<_>>()?))
            }
        }
    }

    /// `name: expression` for declared variables.
    pub(crate) fn assignments(&mut self, at: &At<'_>, sees: Sees) -> Vec<Assignment> {
        if !at.is_map() {
            self.problems.unexpected(at, "a map of variables to expressions", Some("write `name: expression`"));
        }
        let mut assignments = Vec::new();
        for (entry, value) in at.entries() {
            self.names.assign(&entry.key, at.key_place(entry), &mut self.problems);
            if let Some(value) = self.bare(&value, sees) {
                assignments.push(Assignment { name: entry.key.clone(), value });
            }
        }
        // The stored form does not keep the order of keys, so no definition may depend on it.
        assignments.sort_by(|one, other| one.name.cmp(&other.name));
        assignments
    }

    /// A duration that may be a template.
    pub(crate) fn duration(&mut self, at: &At<'_>, sees: Sees) -> Option<Template> {
        let template = self.template(at, sees)?;
        if let Some(problem) = template.literal().and_then(|text| duration::parse(text).err()) {
            let hint = self.value_hint(at);
            self.problems.error_at(at, problem, hint.as_deref());
        }
        Some(template)
    }

    /// A duration without expressions.
    pub(crate) fn fixed_duration(&mut self, at: &At<'_>) -> Option<Duration> {
        let number;
        let text = match &at.node.tree {
            Tree::Number(value) => {
                number = value.to_string();
                &number
            }
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Text(_) | Tree::List(_) | Tree::Map(_) => {
                self.problems.expect_text(at)?
            }
        };
        duration::parse(text).map_err(|problem| self.problems.error_at(at, problem, None)).ok()
    }

    /// A timestamp that may be a template.
    pub(crate) fn timestamp(&mut self, at: &At<'_>, sees: Sees) -> Option<Template> {
        let template = self.template(at, sees)?;
        if let Some(text) = template.literal()
            && moment::parse(text).is_none()
        {
            let message = format!("`{}` is not a valid timestamp", shortened(text));
            let hint = self.value_hint(at);
            let hint = hint.as_deref().unwrap_or("write it with its UTC offset, as in 2030-12-31T09:00:00Z");
            self.problems.error_at(at, message, Some(hint));
        }
        Some(template)
    }

    /// An error code that may be a template.
    pub(crate) fn code(&mut self, at: &At<'_>, sees: Sees) -> Option<Template> {
        let template = self.template(at, sees)?;
        if let Some(text) = template.literal() {
            self.check_code(at, text);
        }
        Some(template)
    }

    /// One code, or a list of codes.
    pub(crate) fn codes(&mut self, at: &At<'_>) -> Vec<String> {
        let items = if at.is_list() { self.problems.expect_items(at, "codes") } else { vec![at.clone()] };
        let mut codes = Vec::new();
        for item in items {
            if let Some(text) = self.problems.expect_text(&item) {
                self.check_code(&item, text);
                codes.push(text.to_owned());
            }
        }
        codes
    }

    fn check_code(&mut self, at: &At<'_>, text: &str) {
        if !codes::is_code(text) {
            let message = format!("`{}` is not a valid error code", shortened(text));
            self.problems.error_at(
                at,
                message,
                Some("use letters, digits, `_` and `-`, with dots between words, as in http.503"),
            );
        }
    }

    /// A map of labels.
    pub(crate) fn labels(&mut self, at: &At<'_>) -> Vec<(String, String)> {
        if !at.is_map() {
            self.problems.unexpected(at, "a map of labels", Some("write `name: value`"));
        }
        let text = |(entry, value): (&crate::definition::yaml::node::Entry, At<'_>)| {
            self.problems.expect_text(&value).map(|text| (entry.key.clone(), text.to_owned()))
        };
        at.entries().into_iter().filter_map(text).collect()
    }
}

/// The most that the patterns of an expression take that could not be read; some of them may have been compiled.
fn bytes_of_unread(source: &str) -> usize {
    source.matches("matches").count().saturating_mul(bounds::PATTERN_BYTES_MAX)
}

/// A list, which is a literal if all its items are.
fn list(items: Vec<Data>) -> Data {
    let literals: Option<Vec<Value>> = items.iter().map(literal).collect();
    literals.map_or(Data::List(items), |values| Data::Literal(Value::Array(values)))
}

/// A map, which is a literal if all its values are.
fn map(mut members: Vec<(String, Data)>) -> Data {
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    let literals: Option<Map<String, Value>> =
        members.iter().map(|(key, data)| literal(data).map(|value| (key.clone(), value))).collect();
    literals.map_or(Data::Map(members), |values| Data::Literal(Value::Object(values)))
}

fn literal(data: &Data) -> Option<Value> {
    match data {
        Data::Literal(value) => Some(value.clone()),
        Data::Expression(_) | Data::Template(_) | Data::List(_) | Data::Map(_) => None,
    }
}

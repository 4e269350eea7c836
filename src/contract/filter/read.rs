//! The reader of filters.

use std::time::Duration;

use jiff::Timestamp;

use super::{ALTERNATIVES_MAX, FILTER_MAX, Match, Order, STATUSES, TERMS_MAX, Term, Test, When};
use crate::contract::check_name;
use crate::time::{duration, moment};

/// What a filter can ask for.
const FIELDS: &str = "id, status, definition, key, queue, activity, incident, code, started, var.NAME";

/// Why a filter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at} of the filter: {problem}")]
pub struct FilterError {
    /// The place, counted from 1.
    pub at: usize,
    /// What is wrong, and what to write.
    pub problem: String,
}

/// The operator of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    Order(Order),
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    at: usize,
    text: String,
    is_quoted: bool,
    is_prefix: bool,
}

/// Reads all terms.
pub(super) fn terms(text: &str) -> Result<Vec<Term>, FilterError> {
    if text.len() > FILTER_MAX {
        let problem = format!("it has {} bytes; at most {FILTER_MAX} are allowed", text.len());
        return Err(FilterError { at: 1, problem });
    }
    if let Some(at) = text.chars().position(char::is_control) {
        return Err(FilterError { at: at + 1, problem: "control characters are not allowed".into() });
    }
    let mut cursor = Cursor { chars: text.chars().collect(), at: 0 };
    let mut terms = Vec::new();
    let (mut once, mut places) = (Vec::new(), Vec::new());
    while cursor.skip_blanks() {
        let at = cursor.at;
        if terms.len() == TERMS_MAX {
            return Err(cursor.error_at(at, format!("at most {TERMS_MAX} terms are allowed")));
        }
        let (field, term) = cursor.term()?;
        // `started` and attributes may be bounded from both sides; of the others two cannot both hold, or say the same.
        let may_repeat = field == "started" || field.starts_with("var.");
        if !may_repeat && once.contains(&field) {
            let problem = format!("`{field}` is there twice; separate alternatives with commas: `{field}:one,other`");
            return Err(cursor.error_at(at, problem));
        }
        once.push(field);
        terms.push(term);
        places.push(at);
    }
    refuse_unserved(&cursor, &terms, &places)?;
    Ok(terms)
}

/// No index serves `queue` and `activity`: they are checked on what another term has found.
fn refuse_unserved(cursor: &Cursor, terms: &[Term], places: &[usize]) -> Result<(), FilterError> {
    let is_unserved = |term: &Term| matches!(term, Term::Queue(_) | Term::Activity(_));
    match places.first() {
        Some(at) if terms.iter().all(is_unserved) => {
            let problem = "no index serves this term alone: add `status:`, `definition:` or `started<7d`";
            Err(cursor.error_at(*at, problem))
        }
        Some(_) | None => Ok(()),
    }
}

struct Cursor {
    chars: Vec<char>,
    at: usize,
}

impl Cursor {
    fn error_at(&self, at: usize, problem: impl Into<String>) -> FilterError {
        FilterError { at: at + 1, problem: problem.into() }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// Whether there is another term.
    fn skip_blanks(&mut self) -> bool {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        self.peek().is_some()
    }

    fn term(&mut self) -> Result<(String, Term), FilterError> {
        let at = self.at;
        let field = self.field();
        if field.is_empty() {
            return Err(self.error_at(at, format!("expected a field; the fields are {FIELDS}")));
        }
        let operator_at = self.at;
        let Some(operator) = self.operator() else {
            let problem = format!("`{field}` needs an operator and a value, as in `{field}:value`");
            return Err(self.error_at(operator_at, problem));
        };
        let mut values = vec![self.value(&field)?];
        while self.peek() == Some(',') {
            self.at += 1;
            if values.len() == ALTERNATIVES_MAX {
                let problem = format!("at most {ALTERNATIVES_MAX} alternatives are allowed");
                return Err(self.error_at(self.at, problem));
            }
            values.push(self.value(&field)?);
        }
        let term = self.meaning(at, operator_at, &field, operator, values)?;
        Ok((field, term))
    }

    fn field(&mut self) -> String {
        let from = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            self.at += 1;
        }
        self.chars[from..self.at].iter().collect()
    }

    fn operator(&mut self) -> Option<Operator> {
        let first = self.peek()?;
        let or_equal = self.chars.get(self.at + 1) == Some(&'=');
        let operator = match (first, or_equal) {
            (':' | '=', _) => Operator::Is,
            ('<', true) => Operator::Order(Order::AtMost),
            ('<', false) => Operator::Order(Order::Less),
            ('>', true) => Operator::Order(Order::AtLeast),
            ('>', false) => Operator::Order(Order::Greater),
            _ => return None,
        };
        self.at += if matches!(first, '<' | '>') && or_equal { 2 } else { 1 };
        Some(operator)
    }

    fn value(&mut self, field: &str) -> Result<Written, FilterError> {
        let at = self.at;
        let mut written = Written { at, text: String::new(), is_quoted: false, is_prefix: false };
        if self.peek() == Some('"') {
            self.at += 1;
            written.is_quoted = true;
            loop {
                match self.peek() {
                    None => return Err(self.error_at(at, "the quotation mark is not closed")),
                    Some('"') => break,
                    Some('\\') => {
                        self.at += 1;
                        match self.peek() {
                            Some(c @ ('"' | '\\')) => written.text.push(c),
                            _ => return Err(self.error_at(self.at, "write `\\\"` or `\\\\` after a backslash")),
                        }
                    }
                    Some(c) => written.text.push(c),
                }
                self.at += 1;
            }
            self.at += 1;
        } else {
            while let Some(c) = self.peek().filter(|c| !c.is_whitespace() && !matches!(c, ',' | '*' | '"')) {
                written.text.push(c);
                self.at += 1;
            }
        }
        if self.peek() == Some('*') {
            written.is_prefix = true;
            self.at += 1;
        }
        if self.peek().is_some_and(|c| !c.is_whitespace() && c != ',') {
            let problem = match written.is_prefix {
                true => "`*` stands at the end of a value only; quote a value that contains it",
                false => "a blank is missing after the value; quote a value that contains `\"`",
            };
            return Err(self.error_at(self.at, problem));
        }
        if written.text.is_empty() && !written.is_prefix && !written.is_quoted {
            return Err(self.error_at(at, format!("the value of `{field}` is missing")));
        }
        if let Err(invalid) = check_name(&written.text)
            && !written.text.is_empty()
        {
            return Err(self.error_at(at, format!("the value of `{field}` {invalid}")));
        }
        Ok(written)
    }

    fn meaning(
        &self,
        at: usize,
        operator_at: usize,
        field: &str,
        operator: Operator,
        values: Vec<Written>,
    ) -> Result<Term, FilterError> {
        if let Some(name) = field.strip_prefix("var.") {
            return self.attribute(at, name, operator, values);
        }
        if field == "started" {
            return self.started(operator_at, operator, self.only(field, values)?);
        }
        if !["id", "status", "definition", "key", "queue", "activity", "incident", "code"].contains(&field) {
            return Err(self.error_at(at, format!("there is no field `{field}`; the fields are {FIELDS}")));
        }
        if operator != Operator::Is {
            return Err(self.error_at(operator_at, format!("`{field}` is not ordered: write `{field}:value`")));
        }
        match field {
            "key" => {
                let value = self.only(field, values)?;
                if value.text.is_empty() {
                    return Err(self.error_at(value.at, "write at least one character of the key"));
                }
                return Ok(Term::Key(value.into_match()));
            }
            "status" => return self.status(values),
            "definition" => return Ok(Term::Definition(self.exact(field, values)?)),
            "id" => return self.ids(values),
            _ => {}
        }
        let value = self.exact(field, vec![self.only(field, values)?])?.into_iter().next().unwrap_or_default();
        Ok(match field {
            "queue" => Term::Queue(value),
            "activity" => Term::Activity(value),
            "incident" => Term::Incident(value),
            _ => Term::Code(value),
        })
    }

    /// The only value of a field without alternatives.
    fn only(&self, field: &str, values: Vec<Written>) -> Result<Written, FilterError> {
        let second = values.get(1).map(|second| second.at);
        match (second, values.into_iter().next()) {
            (None, Some(value)) => Ok(value),
            (Some(second), _) => Err(self.error_at(second, format!("`{field}` takes one value"))),
            (None, None) => Err(self.error_at(self.at, format!("the value of `{field}` is missing"))),
        }
    }

    /// Values that are no beginnings.
    fn exact(&self, field: &str, values: Vec<Written>) -> Result<Vec<String>, FilterError> {
        for value in &values {
            if value.is_prefix {
                return Err(self.error_at(value.at, format!("`{field}` takes whole values, without `*`")));
            }
            if value.text.is_empty() {
                return Err(self.error_at(value.at, format!("the value of `{field}` is empty")));
            }
        }
        Ok(values.into_iter().map(|value| value.text).collect())
    }

    fn status(&self, values: Vec<Written>) -> Result<Term, FilterError> {
        if let Some(unknown) = values.iter().find(|value| !STATUSES.contains(&value.text.as_str())) {
            let problem = format!("`{}` is not a status: use {}", unknown.text, STATUSES.join(", "));
            return Err(self.error_at(unknown.at, problem));
        }
        Ok(Term::Status(self.exact("status", values)?))
    }

    fn ids(&self, values: Vec<Written>) -> Result<Term, FilterError> {
        let id = |value: &Written| {
            value
                .text
                .parse()
                .map_err(|_| self.error_at(value.at, format!("`{}` is not an id: use a UUID", value.text)))
        };
        Ok(Term::Id(values.iter().map(id).collect::<Result<_, _>>()?))
    }

    fn started(&self, operator_at: usize, operator: Operator, value: Written) -> Result<Term, FilterError> {
        let Operator::Order(order) = operator else {
            return Err(self.error_at(operator_at, "compare `started`: `started<1h`, `started>=2026-01-31T09:00:00Z`"));
        };
        if let Some(at) = moment_of(&value.text) {
            return Ok(Term::Started(When::Than(order, at)));
        }
        let ago: Duration = duration::parse(&value.text).map_err(|_| {
            let problem = format!("`{}` is neither a duration (1h, 7d) nor a time (2026-01-31T09:00:00Z)", value.text);
            self.error_at(value.at, problem)
        })?;
        // Less than an hour ago is later than the time an hour ago.
        Ok(Term::Started(match order {
            Order::Less | Order::AtMost => When::Within(ago),
            Order::Greater | Order::AtLeast => When::Before(ago),
        }))
    }

    fn attribute(&self, at: usize, name: &str, operator: Operator, values: Vec<Written>) -> Result<Term, FilterError> {
        if name.is_empty() {
            return Err(self.error_at(at, "name the search attribute, as in `var.customer`"));
        }
        let value = self.only(&format!("var.{name}"), values)?;
        let test = match operator {
            Operator::Is => is(&value),
            Operator::Order(order) => self.compared(order, &value)?,
        };
        Ok(Term::Attribute { name: name.to_owned(), test })
    }

    fn compared(&self, order: Order, value: &Written) -> Result<Test, FilterError> {
        if value.is_prefix {
            return Err(self.error_at(value.at, "`*` goes with `:` only"));
        }
        match (number_of(&value.text), moment_of(&value.text)) {
            (Some(number), _) => Ok(Test::Number(order, number)),
            (None, Some(at)) => Ok(Test::Time(order, at)),
            (None, None) => {
                let problem =
                    format!("`{}` is neither a number nor a time: texts are not ordered, use `:`", value.text);
                Err(self.error_at(value.at, problem))
            }
        }
    }
}

/// What an attribute must be. What looks like a number, a boolean or a time may also be a text, unless it is quoted.
fn is(value: &Written) -> Test {
    if value.is_quoted || value.is_prefix {
        return Test::Text(value.clone().into_match());
    }
    let text = value.text.clone();
    match (number_of(&text), text.as_str(), moment_of(&text)) {
        (Some(number), _, _) => Test::NumberOrText(number, text),
        (None, "true", _) => Test::BoolOrText(true, text),
        (None, "false", _) => Test::BoolOrText(false, text),
        (None, _, Some(at)) => Test::TimeOrText(at, text),
        (None, _, None) => Test::Text(Match::Exact(text)),
    }
}

fn number_of(text: &str) -> Option<f64> {
    // Not `inf` and `nan`, which Rust reads too.
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    text.parse().ok().filter(|number: &f64| begins && number.is_finite())
}

/// A time, or the beginning of a day.
fn moment_of(text: &str) -> Option<Timestamp> {
    moment::parse(text).or_else(|| moment::parse(&format!("{text}T00:00:00Z")))
}

impl Written {
    fn into_match(self) -> Match {
        if self.is_prefix { Match::Prefix(self.text) } else { Match::Exact(self.text) }
    }
}

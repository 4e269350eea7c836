//! What the terms of a filter mean: field, operator and values become a term, or an error that names the place.

use std::time::Duration;

use jiff::Timestamp;

use super::{Cursor, FilterError, Operator, Written};
use crate::contract::filter::{Match, Order, STATUSES, Term, Test, When};
use crate::time::{duration, moment};

/// What a filter can ask for.
pub(super) const FIELDS: &str = "id, status, definition, key, queue, activity, incident, code, started, var.NAME";

impl Cursor {
    /// The term that a field, its operator and its values mean.
    pub(super) fn meaning(
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

//! The names that expressions can read. An expression that fails is an error of the activity with the code `expression`.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::contract;
use crate::definition::{Assignment, codes};
use crate::expression::{self, Data, Error, Expression, Template, Use, step_budget};
use crate::time::cron::Cron;
use crate::time::duration;
use crate::time::moment;
use crate::time::zone::Zone;

use super::{Branch, Context, Failure, Instance};

/// The names of an expression at its place in the definition. Values are built only for the names it reads.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    instance: &'a Instance,
    context: &'a Context<'a>,
    branch: Option<&'a Branch>,
    visit: u32,
    result: Option<&'a Value>,
    error: Option<&'a Value>,
    data: Option<&'a Value>,
    votes: Option<(&'a Value, &'a Value)>,
}

impl<'a> Scope<'a> {
    /// For expressions of the definition itself.
    pub(super) fn whole(instance: &'a Instance, context: &'a Context<'a>) -> Self {
        Self { instance, context, branch: None, visit: 0, result: None, error: None, data: None, votes: None }
    }

    /// For expressions of the current activity of a branch; `visit` counts how often the activity was begun.
    pub(super) fn from(instance: &'a Instance, context: &'a Context<'a>, branch: &'a Branch, visit: u32) -> Self {
        Self { branch: Some(branch), visit, ..Self::whole(instance, context) }
    }

    pub(super) fn result(self, result: &'a Value) -> Self {
        Self { result: Some(result), ..self }
    }

    pub(super) fn error(self, error: &'a Value) -> Self {
        Self { error: Some(error), ..self }
    }

    pub(super) fn data(self, data: &'a Value) -> Self {
        Self { data: Some(data), ..self }
    }

    /// With the number of votes for each decision, and all voters.
    pub(super) fn votes(self, votes: &'a Value, voters: &'a Value) -> Self {
        Self { votes: Some((votes, voters)), ..self }
    }

    /// The value of a template. A template that is only one expression has the value of that expression, otherwise it is a text.
    pub(super) fn template(&self, template: &Template) -> Result<Value, Failure> {
        let scope = self.scope(|see| template.names().iter().for_each(|name| see(name)));
        shallow(template.evaluate(&scope).map_err(|error| self.failed(error))?)
    }

    /// The value of data, with placeholders for secrets.
    pub(super) fn marked(&self, data: &Data) -> Result<Value, Failure> {
        let scope = self.scope(|see| read(data, see));
        shallow(data.marked(&scope).map_err(|error| self.failed(error))?)
    }

    /// A text with placeholders for secrets.
    pub(super) fn marked_text(&self, template: &Template, purpose: Use) -> Result<Value, Failure> {
        let scope = self.scope(|see| template.names().iter().for_each(|name| see(name)));
        template.marked(&scope, purpose).map_err(|error| self.failed(error))
    }

    pub(super) fn value(&self, data: &Data) -> Result<Value, Failure> {
        if let Data::Literal(value) = data {
            return Ok(value.clone());
        }
        let scope = self.scope(|see| read(data, see));
        shallow(data.evaluate(&scope).map_err(|error| self.failed(error))?)
    }

    /// The values of a list of assignments; all of them read the variables as they were before.
    pub(super) fn values<'d>(&self, assignments: &'d [Assignment]) -> Result<Vec<(&'d str, Value)>, Failure> {
        if assignments.is_empty() {
            return Ok(Vec::new());
        }
        let scope = self.scope(|see| assignments.iter().for_each(|assignment| read(&assignment.value, see)));
        let value = |assignment: &'d Assignment| {
            let value = shallow(assignment.value.evaluate(&scope).map_err(|error| self.failed(error))?)?;
            Ok((assignment.name.as_str(), value))
        };
        assignments.iter().map(value).collect()
    }

    pub(super) fn holds(&self, expression: &Expression) -> Result<bool, Failure> {
        let scope = self.scope(|see| expression.names().iter().for_each(|name| see(name)));
        expression.holds(&scope).map_err(|error| self.failed(error))
    }

    /// The value of a bare expression.
    pub(super) fn expression(&self, expression: &Expression) -> Result<Value, Failure> {
        let scope = self.scope(|see| expression.names().iter().for_each(|name| see(name)));
        shallow(expression.evaluate(&scope).map_err(|error| self.failed(error))?)
    }

    /// Whether an optional condition holds. An absent one does.
    pub(super) fn allows(&self, condition: Option<&Expression>) -> Result<bool, Failure> {
        condition.map_or(Ok(true), |expression| self.holds(expression))
    }

    pub(super) fn text(&self, template: &Template) -> Result<String, Failure> {
        if let Some(text) = template.literal() {
            return Ok(text.to_owned());
        }
        let scope = self.scope(|see| template.names().iter().for_each(|name| see(name)));
        template.text(&scope).map_err(|error| self.failed(error))
    }

    /// The name or key of what is waited for or counted. Null and the empty text fail: nothing could ever have that key.
    pub(super) fn key(&self, template: &Template) -> Result<String, Failure> {
        let key = match self.spoken(template)? {
            Value::Null => return Err(invalid(template, "name or key: it is null")),
            Value::String(key) => key,
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => self.text(template)?,
        };
        if key.is_empty() { Err(invalid(template, "name or key: it is empty")) } else { Ok(key) }
    }

    /// An error code: a text of the form that an `on_error` can name.
    pub(super) fn code(&self, template: &Template) -> Result<String, Failure> {
        let code = match self.spoken(template)? {
            Value::String(code) => Some(code),
            Value::Number(_) => Some(self.text(template)?),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        code.filter(|code| codes::is_code(code)).ok_or_else(|| {
            invalid(
                template,
                "error code: use letters, digits, `_` and `-`, with dots between words, as in shop.no_stock",
            )
        })
    }

    /// The value of a template; a template without expressions is its text.
    fn spoken(&self, template: &Template) -> Result<Value, Failure> {
        match template.literal() {
            Some(text) => Ok(Value::String(text.to_owned())),
            None => self.template(template),
        }
    }

    /// Whether the value of a template is null.
    pub(super) fn is_null(&self, template: &Template) -> Result<bool, Failure> {
        Ok(template.literal().is_none() && self.template(template)?.is_null())
    }

    pub(super) fn duration(&self, template: &Template) -> Result<Duration, Failure> {
        duration::parse(&self.text(template)?).map_err(|_| {
            invalid(template, "duration: write a number and a unit, as in 30s, 15m or 3d; a hundred years at most")
        })
    }

    /// The time after a duration from now.
    pub(super) fn after(&self, template: &Template) -> Result<Timestamp, Failure> {
        later(self.context.now, self.duration(template)?)
            .ok_or_else(|| invalid(template, "duration: it ends after the year 9999"))
    }

    pub(super) fn moment(&self, template: &Template) -> Result<Timestamp, Failure> {
        let moment = moment::parse(&self.text(template)?)
            .ok_or_else(|| invalid(template, "time: write it as in 2026-01-31T09:00:00Z"))?;
        // The database stores microseconds.
        Ok(Timestamp::from_microsecond(moment.as_microsecond()).unwrap_or(moment))
    }

    /// The next tick of a cron expression after now.
    pub(super) fn tick(&self, cron: &Template, zone: Option<&Template>) -> Result<Timestamp, Failure> {
        // The texts may be data of a customer: the message shows the template, not its value.
        let cron = Cron::parse(&self.text(cron)?)
            .map_err(|_| invalid(cron, "cron expression: write five fields, as in 0 9 * * 1-5"))?;
        let zone = match zone {
            Some(zone) => Zone::find(&self.text(zone)?)
                .map_err(|_| invalid(zone, "time zone: write a name, as in Europe/Berlin"))?,
            None => Zone::utc(),
        };
        cron.next(self.context.now, &zone)
            .ok_or_else(|| Failure::new("expression", "the cron expression has no tick within the next 41 years"))
    }

    fn scope(&self, names: impl FnOnce(&mut dyn FnMut(&str))) -> expression::Scope<'a> {
        let mut reserved: Vec<(&'static str, Cow<'a, Value>)> = Vec::new();
        names(&mut |name| {
            if reserved.iter().all(|(known, _)| *known != name) {
                reserved.extend(self.reserved(name));
            }
        });
        expression::Scope {
            variables: &self.instance.variables,
            input: &self.instance.input,
            now: self.context.now,
            reserved,
            budget: &self.context.budget,
        }
    }

    fn reserved(&self, name: &str) -> Option<(&'static str, Cow<'a, Value>)> {
        let budget = &self.context.budget;
        Some(match name {
            "result" => ("result", Cow::Borrowed(self.result?)),
            "error" => ("error", Cow::Borrowed(self.error?)),
            "data" => ("data", Cow::Borrowed(self.data?)),
            "instance" => ("instance", Cow::Owned(describe(self.instance))),
            "activity" => {
                let branch = self.branch?;
                let activity = json!({"id": branch.activity, "attempt": branch.attempt, "visit": self.visit});
                ("activity", Cow::Owned(activity))
            }
            "actors" => {
                budget.spend_steps(self.instance.state.actors.len());
                ("actors", Cow::Owned(json!(self.instance.state.actors)))
            }
            "votes" => ("votes", Cow::Borrowed(self.votes?.0)),
            "voters" => ("voters", Cow::Borrowed(self.votes?.1)),
            "env" => {
                budget.spend_steps(self.context.env.len());
                ("env", Cow::Owned(Value::Object(self.context.env.clone())))
            }
            _ => return None,
        })
    }

    /// An expression that cannot be evaluated. If it is the sum of all expressions that is too large, the message says so.
    fn failed(&self, error: Error) -> Failure {
        let mut message = error.message;
        if self.context.budget.is_spent() {
            let whose = self.branch.map_or_else(String::new, |branch| format!(" of activity `{}`", branch.activity));
            let (steps, mebibytes) = (step_budget::STEPS_MAX, step_budget::BYTES_MAX / (1024 * 1024));
            message += &format!(
                "; the step{whose} may take {steps} steps and build {mebibytes} MiB in all its expressions together: \
                 divide it into several activities"
            );
        }
        Failure::new("expression", message)
    }
}

/// The time after a duration; none after the year 9999.
pub(super) fn later(now: Timestamp, wait: Duration) -> Option<Timestamp> {
    now.checked_add(wait).ok()
}

/// Passes every name that `data` reads to `see`.
fn read(data: &Data, see: &mut dyn FnMut(&str)) {
    match data {
        Data::Literal(_) => {}
        Data::Expression(expression) => expression.names().iter().for_each(|name| see(name)),
        Data::Template(template) => template.names().iter().for_each(|name| see(name)),
        Data::List(items) => items.iter().for_each(|item| read(item, see)),
        Data::Map(entries) => entries.iter().for_each(|(_, value)| read(value, see)),
    }
}

fn describe(instance: &Instance) -> Value {
    json!({
        "id": instance.id,
        "key": instance.key,
        "definition": instance.definition,
        "version": instance.version,
        "started_at": instance.started_at,
        "started_by": instance.started_by,
    })
}

/// The value, or `limit.depth` if it is nested too deeply to be stored.
fn shallow(value: Value) -> Result<Value, Failure> {
    if contract::is_too_deep(&value) {
        return Err(Failure::new("limit.depth", format!("the value of an expression: {}", contract::too_deep())));
    }
    Ok(value)
}

fn invalid(template: &Template, wanted: &str) -> Failure {
    Failure::new("expression", format!("the value of `{}` is not a valid {wanted}", template.source()))
}

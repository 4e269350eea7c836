//! The evaluation of a schedule: its ticks, which of them are still started, and their input. Pure.

use std::borrow::Cow;
use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::contract::schedule::{Missed, ScheduleRequest, TickView};
use crate::definition::schema::Allowance;
use crate::expression::step_budget::StepBudget;
use crate::expression::{Data, Scope, Template};
use crate::time::cron::Cron;
use crate::time::zone::Zone;

/// A tick counts as punctual for this long, whatever `catch_up` is: a restart of all processes must not skip it.
const PUNCTUAL_FOR: Duration = Duration::from_secs(60);
/// An older tick is never caught up.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(31 * 86_400);
/// Skipped ticks are counted one by one up to this number: after an outage of a year an exact count is not worth the work.
const COUNT_MAX: i64 = 1_000;
/// Problems of an input that are told; nothing is read after them.
const PROBLEMS_MAX: usize = 100;
/// The names that templates of an input can read.
const NAMES: [&str; 5] = ["now", "scheduled_at", "schedule", "zone", "env"];

/// One problem of a schedule request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The place, as a JSON pointer.
    pub pointer: String,
    /// The problem.
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn at(pointer: &str, detail: impl Into<String>, hint: Option<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), hint }
    }

    fn of(pointer: &str, error: crate::time::Error) -> Self {
        Self::at(pointer, error.message, Some(error.hint))
    }
}

/// A parsed schedule.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    cron: Cron,
    zone: Zone,
    input: Data,
    catch_up: Duration,
    missed: Missed,
}

/// What to do with the ticks that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DueTicks {
    /// The tick that is started.
    pub(super) start: Option<Timestamp>,
    /// The number of older ticks, which are skipped.
    pub(super) skipped: i64,
    /// The first tick after those.
    pub(super) next_at: Option<Timestamp>,
}

impl Plan {
    /// Parses a request.
    ///
    /// # Errors
    /// All its problems.
    pub(super) fn parse(said: &ScheduleRequest) -> Result<Plan, Vec<Problem>> {
        let mut problems = Vec::new();
        let cron = Cron::parse(&said.cron).map_err(|wrong| problems.push(Problem::of("/cron", wrong))).ok();
        let zone = Zone::find(&said.zone).map_err(|wrong| problems.push(Problem::of("/zone", wrong))).ok();
        if said.catch_up > CATCH_UP_MAX {
            let hint = Some("write a shorter time, as in 1h or 2d".into());
            problems.push(Problem::at("/catch_up", "no tick older than 31 days is caught up", hint));
        }
        let input = read("/input", &said.input, &mut Allowance::default(), &mut problems);
        match (cron, zone, input) {
            (Some(cron), Some(zone), Some(input)) if problems.is_empty() => {
                Ok(Plan { cron, zone, input, catch_up: said.catch_up, missed: said.missed })
            }
            _ => Err(problems),
        }
    }

    /// The first tick after a moment.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.cron.next(after, &self.zone)
    }

    /// The next ticks after a moment.
    pub(super) fn upcoming(&self, after: Timestamp, count: usize) -> Vec<TickView> {
        let ticks = std::iter::successors(self.next(after), |tick| self.next(*tick));
        ticks.take(count).map(|at| TickView { at, local: self.zone.show(at) }).collect()
    }

    /// The input of the instance that a tick starts.
    ///
    /// # Errors
    /// The first expression that fails.
    pub(super) fn input(
        &self,
        schedule: &str,
        tick: Timestamp,
        now: Timestamp,
        env: &Map<String, Value>,
    ) -> Result<Value, String> {
        let none = Map::new();
        let reserved = vec![
            ("scheduled_at", Cow::Owned(Value::String(tick.to_string()))),
            ("schedule", Cow::Owned(schedule.into())),
            ("zone", Cow::Owned(self.zone.name().into())),
            ("env", Cow::Owned(Value::Object(env.clone()))),
        ];
        // A tick is never worth more.
        let budget = StepBudget::brief();
        let scope = Scope { variables: &none, input: &none, now, reserved, budget: &budget };
        self.input.evaluate(&scope).map_err(|error| error.message)
    }

    /// Decides which of the ticks from `next_at` until now is started.
    pub(super) fn due(&self, next_at: Option<Timestamp>, now: Timestamp) -> DueTicks {
        let Some(first) = next_at.filter(|first| *first <= now) else {
            return DueTicks { start: None, skipped: 0, next_at };
        };
        let oldest = now.checked_sub(self.catch_up.max(PUNCTUAL_FOR)).unwrap_or(Timestamp::MIN);
        let start = if first >= oldest { Some(first) } else { self.next(oldest).filter(|tick| *tick <= now) };
        let start = match self.missed {
            Missed::All => start,
            Missed::Newest => start.map(|start| self.newest(start, now)),
        };
        let next_at = self.next(start.unwrap_or(now));
        let skipped = self.count(first, start.map_or(Bound::Included(now), Bound::Excluded));
        DueTicks { start, skipped, next_at }
    }

    /// The number of ticks from `next_at` until now.
    pub(super) fn missed_until(&self, next_at: Option<Timestamp>, now: Timestamp) -> i64 {
        next_at.filter(|first| *first <= now).map_or(0, |first| self.count(first, Bound::Included(now)))
    }

    /// The newest of the ticks from `first` until now. It searches backwards in growing spans, so that it does not walk through the
    /// ticks of weeks.
    fn newest(&self, first: Timestamp, now: Timestamp) -> Timestamp {
        let mut span = PUNCTUAL_FOR;
        let mut newest = loop {
            let Some(from) = now.checked_sub(span).ok().filter(|from| *from > first) else { break first };
            if let Some(tick) = self.next(from).filter(|tick| *tick <= now) {
                break tick;
            }
            span = span.saturating_mul(2);
        };
        while let Some(later) = self.next(newest).filter(|tick| *tick <= now) {
            newest = later;
        }
        newest
    }

    /// The number of ticks from `first` to `end`.
    fn count(&self, first: Timestamp, end: Bound<Timestamp>) -> i64 {
        let ticks = std::iter::successors(Some(first), |tick| self.next(*tick));
        ticks.take(COUNT_MAX as usize).take_while(|tick| (Bound::Unbounded, end).contains(tick)).count() as i64
    }
}

/// A value whose texts are templates. The JSON parser limits its depth.
fn read(pointer: &str, value: &Value, allowance: &mut Allowance, problems: &mut Vec<Problem>) -> Option<Data> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(Data::Literal(value.clone())),
        Value::String(text) => template(pointer, text, allowance, problems).map(Data::Template),
        Value::Array(items) => {
            let item = |(at, item)| read(&format!("{pointer}/{at}"), item, allowance, problems);
            let items: Vec<_> = items.iter().enumerate().map(item).collect();
            items.into_iter().collect::<Option<_>>().map(Data::List)
        }
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(name, member)| {
                    let escaped = name.replace('~', "~0").replace('/', "~1");
                    Some((name.clone(), read(&format!("{pointer}/{escaped}"), member, allowance, problems)?))
                })
                .collect();
            members.into_iter().collect::<Option<_>>().map(Data::Map)
        }
    }
}

fn template(pointer: &str, text: &str, allowance: &mut Allowance, problems: &mut Vec<Problem>) -> Option<Template> {
    if problems.len() >= PROBLEMS_MAX || !allowance.has_patterns_for(text) {
        return None;
    }
    let template =
        Template::parse(text).map_err(|error| problems.push(Problem::at(pointer, error.message, None))).ok()?;
    if !allowance.take_pattern_bytes(template.pattern_bytes()) {
        problems.push(Problem::at(pointer, "the patterns of the input take too much memory when compiled", None));
        return None;
    }
    for name in template.names() {
        if !NAMES.contains(&name.as_str()) {
            let hint = format!("an input can read {}", NAMES.join(", "));
            problems.push(Problem::at(pointer, format!("`{name}` is not known here"), Some(hint)));
        }
    }
    Some(template)
}

#[cfg(test)]
mod tests;

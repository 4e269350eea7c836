//! The evaluation of a schedule: its ticks, which of them are still started, and their input. Pure.

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::contract::schedule::{Missed, ScheduleRequest, TickView};
use crate::definition::cron::{Cron, Wrong};
use crate::definition::expression::{Data, Scope, Template};
use crate::definition::zone::Zone;

/// A tick counts as punctual for this long, whatever `catch_up` is: a restart of all processes must not skip it.
const PUNCTUAL_FOR: Duration = Duration::from_secs(60);
/// An older tick is never caught up.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(31 * 86_400);
/// Skipped ticks are counted one by one up to this number: after an outage of a year an exact count is not worth the work.
const COUNT_MAX: i64 = 1_000;
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

    fn of(pointer: &str, wrong: Wrong) -> Self {
        Self::at(pointer, wrong.message, Some(wrong.hint))
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
        let input = read("/input", &said.input, &mut problems);
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
            ("scheduled_at", Value::String(tick.to_string())),
            ("schedule", schedule.into()),
            ("zone", self.zone.name().into()),
            ("env", Value::Object(env.clone())),
        ];
        let scope = Scope { variables: &none, input: &none, now, reserved };
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
fn read(pointer: &str, value: &Value, problems: &mut Vec<Problem>) -> Option<Data> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(Data::Literal(value.clone())),
        Value::String(text) => template(pointer, text, problems).map(Data::Template),
        Value::Array(items) => {
            let items: Vec<_> =
                items.iter().enumerate().map(|(at, item)| read(&format!("{pointer}/{at}"), item, problems)).collect();
            items.into_iter().collect::<Option<_>>().map(Data::List)
        }
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(name, member)| {
                    let escaped = name.replace('~', "~0").replace('/', "~1");
                    Some((name.clone(), read(&format!("{pointer}/{escaped}"), member, problems)?))
                })
                .collect();
            members.into_iter().collect::<Option<_>>().map(Data::Map)
        }
    }
}

fn template(pointer: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Template> {
    let template =
        Template::parse(text).map_err(|error| problems.push(Problem::at(pointer, error.message, None))).ok()?;
    for name in template.names() {
        if !NAMES.contains(&name.as_str()) {
            let hint = format!("an input can read {}", NAMES.join(", "));
            problems.push(Problem::at(pointer, format!("`{name}` is not known here"), Some(hint)));
        }
    }
    Some(template)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(said: Value) -> Plan {
        Plan::parse(&serde_json::from_value(said).unwrap()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The decision at `now`, if `next_at` is the first tick that was not handled: the start, the number skipped, and the next tick.
    fn due(plan: &Plan, next_at: &str, now: &str) -> (Option<String>, i64, String) {
        let due = plan.due(Some(at(next_at)), at(now));
        (due.start.map(|tick| tick.to_string()), due.skipped, due.next_at.unwrap().to_string())
    }

    fn expected(start: Option<&str>, skipped: i64, next_at: &str) -> (Option<String>, i64, String) {
        (start.map(str::to_owned), skipped, next_at.to_owned())
    }

    #[test]
    fn a_due_tick_is_started_and_the_next_one_is_awaited() {
        let hourly = plan(json!({ "definition": "d", "cron": "0 * * * *", "catch_up": "0s" }));
        assert_eq!(
            due(&hourly, "2026-01-01T10:00:00Z", "2026-01-01T10:00:00.5Z"),
            expected(Some("2026-01-01T10:00:00Z"), 0, "2026-01-01T11:00:00Z")
        );
        assert_eq!(
            due(&hourly, "2026-01-01T10:00:00Z", "2026-01-01T09:59:59Z"),
            expected(None, 0, "2026-01-01T10:00:00Z")
        );
    }

    #[test]
    fn without_a_window_a_tick_is_punctual_for_a_minute() {
        let hourly = plan(json!({ "definition": "d", "cron": "0 * * * *", "catch_up": "0s" }));
        assert_eq!(
            due(&hourly, "2026-01-01T10:00:00Z", "2026-01-01T10:01:00Z"),
            expected(Some("2026-01-01T10:00:00Z"), 0, "2026-01-01T11:00:00Z")
        );
        assert_eq!(
            due(&hourly, "2026-01-01T10:00:00Z", "2026-01-01T10:01:01Z"),
            expected(None, 1, "2026-01-01T11:00:00Z")
        );
    }

    #[test]
    fn of_the_ticks_missed_within_the_window_the_newest_is_started() {
        let quarters = plan(json!({ "definition": "d", "cron": "*/15 * * * *" }));
        assert_eq!(
            due(&quarters, "2026-01-01T10:00:00Z", "2026-01-01T10:50:00Z"),
            expected(Some("2026-01-01T10:45:00Z"), 3, "2026-01-01T11:00:00Z")
        );
        let daily = plan(json!({ "definition": "d", "cron": "0 6 * * *" }));
        assert_eq!(
            due(&daily, "2026-01-01T06:00:00Z", "2026-01-03T05:00:00Z"),
            expected(None, 2, "2026-01-03T06:00:00Z")
        );
    }

    #[test]
    fn with_missed_all_every_tick_missed_within_the_window_is_started() {
        let all = plan(json!({ "definition": "d", "cron": "*/15 * * * *", "catch_up": "30m", "missed": "all" }));
        let now = "2026-01-01T10:50:00Z";
        let first = due(&all, "2026-01-01T10:00:00Z", now);
        assert_eq!(first, expected(Some("2026-01-01T10:30:00Z"), 2, "2026-01-01T10:45:00Z"));
        let second = due(&all, &first.2, now);
        assert_eq!(second, expected(Some("2026-01-01T10:45:00Z"), 0, "2026-01-01T11:00:00Z"));
    }

    #[test]
    fn an_outage_of_years_is_decided_at_once() {
        let minutes = plan(json!({ "definition": "d", "cron": "* * * * *", "catch_up": "31d" }));
        assert_eq!(
            due(&minutes, "2006-01-01T00:00:00Z", "2026-01-01T00:00:30Z"),
            expected(Some("2026-01-01T00:00:00Z"), COUNT_MAX, "2026-01-01T00:01:00Z")
        );
        // A burst in the window, and nothing since.
        let burst = plan(json!({ "definition": "d", "cron": "* 0-1 1 * *", "catch_up": "31d" }));
        assert_eq!(
            due(&burst, "2026-01-01T00:00:00Z", "2026-01-20T00:00:00Z"),
            expected(Some("2026-01-01T01:59:00Z"), 119, "2026-02-01T00:00:00Z")
        );
    }

    /// Every start in two days, in local time, if the schedule is checked once a minute.
    fn started(said: Value, from: &str) -> Vec<String> {
        let plan = plan(said);
        let mut next_at = plan.next(at(from));
        let mut starts = Vec::new();
        for minute in 0..2 * 24 * 60 {
            let now = at(from).checked_add(Duration::from_secs(60 * minute + 17)).unwrap();
            let due = plan.due(next_at, now);
            assert_eq!(due.skipped, 0);
            starts.extend(due.start.map(|tick| plan.zone.show(tick)));
            next_at = due.next_at;
        }
        starts
    }

    #[test]
    fn at_both_clock_changes_a_fixed_time_is_started_once_a_day() {
        let daily = json!({ "definition": "d", "cron": "30 2 * * *", "zone": "Europe/Berlin" });
        let spring = ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00"];
        assert_eq!(started(daily.clone(), "2026-03-27T23:00:00Z"), spring);
        let autumn = ["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00"];
        assert_eq!(started(daily, "2026-10-23T22:00:00Z"), autumn);
    }

    #[test]
    fn at_both_clock_changes_quarters_of_an_hour_are_started_evenly() {
        let quarters = json!({ "definition": "d", "cron": "*/15 * * * *", "zone": "America/New_York" });
        for from in ["2026-03-07T12:00:00Z", "2026-10-31T12:00:00Z"] {
            let mut starts = started(quarters.clone(), from);
            assert_eq!(starts.len(), 2 * 24 * 4 - 1);
            starts.dedup();
            assert_eq!(starts.len(), 2 * 24 * 4 - 1);
        }
    }

    #[test]
    fn an_input_sees_its_tick_and_the_schedule() {
        let plan = plan(json!({ "definition": "d", "cron": "0 6 1 * *", "zone": "Europe/Berlin", "input": {
            "at": "${ scheduled_at }", "late": "${ now - timestamp(scheduled_at) > duration('1s') }",
            "text": "${ schedule } in ${ zone }", "plain": ["a", 1, null, true]
        } }));
        let input = plan.input("monthly", at("2026-12-01T05:00:00Z"), at("2026-12-01T05:00:02Z"), &Map::new());
        let expected = json!({
            "at": "2026-12-01T05:00:00Z", "late": true, "text": "monthly in Europe/Berlin", "plain": ["a", 1, null, true]
        });
        assert_eq!(input, Ok(expected));
    }

    #[test]
    fn every_problem_is_listed_with_its_place() {
        let said = json!({
            "definition": "d", "cron": "0 6 31 2 *", "zone": "Mars", "catch_up": "60d",
            "input": { "a/b": ["${ amount }", "${ 1 + }"] }
        });
        let problems = Plan::parse(&serde_json::from_value(said).unwrap()).unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(places, ["/cron", "/zone", "/catch_up", "/input/a~1b/0", "/input/a~1b/1"]);
        assert_eq!(problems[3].detail, "`amount` is not known here");
        assert_eq!(problems[3].hint.as_deref(), Some("an input can read now, scheduled_at, schedule, zone, env"));
    }

    #[test]
    fn the_next_ten_ticks_are_shown_in_local_time() {
        let plan = plan(json!({ "definition": "d", "cron": "30 2 * * *", "zone": "Europe/Berlin" }));
        let upcoming = plan.upcoming(at("2026-03-28T12:00:00Z"), 10);
        assert_eq!(upcoming.len(), 10);
        assert_eq!(upcoming[0].local, "2026-03-29T03:00:00+02:00");
        assert_eq!(upcoming[1].local, "2026-03-30T02:30:00+02:00");
    }
}

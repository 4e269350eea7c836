//! Which ticks are started, at which time, and with which input.

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
    assert_eq!(due(&hourly, "2026-01-01T10:00:00Z", "2026-01-01T09:59:59Z"), expected(None, 0, "2026-01-01T10:00:00Z"));
}

#[test]
fn without_a_window_a_tick_is_punctual_for_a_minute() {
    let hourly = plan(json!({ "definition": "d", "cron": "0 * * * *", "catch_up": "0s" }));
    assert_eq!(
        due(&hourly, "2026-01-01T10:00:00Z", "2026-01-01T10:01:00Z"),
        expected(Some("2026-01-01T10:00:00Z"), 0, "2026-01-01T11:00:00Z")
    );
    assert_eq!(due(&hourly, "2026-01-01T10:00:00Z", "2026-01-01T10:01:01Z"), expected(None, 1, "2026-01-01T11:00:00Z"));
}

#[test]
fn of_the_ticks_missed_within_the_window_the_newest_is_started() {
    let quarters = plan(json!({ "definition": "d", "cron": "*/15 * * * *" }));
    assert_eq!(
        due(&quarters, "2026-01-01T10:00:00Z", "2026-01-01T10:50:00Z"),
        expected(Some("2026-01-01T10:45:00Z"), 3, "2026-01-01T11:00:00Z")
    );
    let daily = plan(json!({ "definition": "d", "cron": "0 6 * * *" }));
    assert_eq!(due(&daily, "2026-01-01T06:00:00Z", "2026-01-03T05:00:00Z"), expected(None, 2, "2026-01-03T06:00:00Z"));
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
fn the_expressions_of_an_input_have_one_brief_budget() {
    let spending = |elements: usize| {
        let half = format!("${{ lists.range({elements}).map(i, i + 1).size() }}");
        let plan = plan(json!({ "definition": "d", "cron": "0 6 1 * *", "input": { "a": half, "b": half } }));
        plan.input("monthly", at("2026-12-01T05:00:00Z"), at("2026-12-01T05:00:02Z"), &Map::new())
    };
    assert_eq!(spending(4_000).unwrap(), json!({ "a": 4_000, "b": 4_000 }));
    // Each alone would be a fifth of what one expression may take.
    assert!(spending(30_000).unwrap_err().contains("steps"));
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

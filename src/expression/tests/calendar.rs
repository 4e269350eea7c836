//! Timestamps in time zones, durations in all units, and the formats of both.

use serde_json::json;

use super::{check, check_errors};
use crate::expression::Expression;

#[test]
fn parts_of_a_timestamp_are_in_the_given_zone() {
    check(&[
        ("now.getHours('Europe/Berlin')", json!(11)),
        ("now.getHours('europe/berlin')", json!(11)),
        ("now.getHours('+05:45') * 100 + now.getMinutes('+05:45')", json!(1545)),
        ("now.getHours('-00:30')", json!(9)),
        ("now.getHours('02:00')", json!(12)),
        ("timestamp('2026-12-31T23:30:00Z').getFullYear('Europe/Berlin')", json!(2027)),
        ("timestamp('2026-12-31T23:30:00Z').getDayOfYear('Europe/Berlin')", json!(0)),
        ("timestamp('2026-12-31T23:30:00Z').getDayOfYear('America/New_York')", json!(364)),
        ("timestamp('2026-03-01T12:00:00Z').getDayOfWeek('Pacific/Kiritimati')", json!(1)),
        ("timestamp('2026-01-01T00:00:00Z').getMinutes('Asia/Kathmandu')", json!(45)),
    ]);
    check_errors(&[
        ("now.getHours('Mars/Olympus')", "unknown time zone"),
        ("now.getHours(secret)", "unknown time zone"),
        ("now.getHours('+25:61')", "unknown time zone"),
        ("now.getHours('../../etc/passwd')", "unknown time zone"),
        ("now.getHours(1)", "expected a string"),
        ("due.getHours()", "with timestamp(…)"),
        ("duration('1h').getHours('UTC')", "expected a timestamp"),
    ]);
}

/// In Berlin 01:59 is followed by 03:00 on 29 March 2026, and the hour from 02:00 occurs twice on 25 October.
#[test]
fn parts_of_a_timestamp_follow_clock_changes() {
    let hour = |moment: &str| format!("timestamp('{moment}').getHours('Europe/Berlin')");
    for (moment, expected) in [
        ("2026-03-29T00:59:59Z", 1),
        ("2026-03-29T01:00:00Z", 3),
        ("2026-10-25T00:30:00Z", 2),
        ("2026-10-25T01:30:00Z", 2),
        ("2026-10-25T02:00:00Z", 3),
    ] {
        check(&[(&hour(moment), json!(expected))]);
    }
    check(&[
        ("formatTime(timestamp('2026-10-25T00:30:00Z'), '%H:%M %z', 'Europe/Berlin')", json!("02:30 +0200")),
        ("formatTime(timestamp('2026-10-25T01:30:00Z'), '%H:%M %z', 'Europe/Berlin')", json!("02:30 +0100")),
    ]);
}

#[test]
fn timestamps_are_formatted() {
    check(&[
        ("formatTime(now, '%Y-%m-%d')", json!("2026-03-01")),
        ("formatTime(now, '%A, %d %B %Y, %H:%M:%S', 'Asia/Tokyo')", json!("Sunday, 01 March 2026, 19:00:00")),
        ("formatTime(now, '%F %T %Z', 'America/New_York')", json!("2026-03-01 05:00:00 EST")),
        ("formatTime(now, '')", json!("")),
    ]);
    check_errors(&[
        ("formatTime(now, '%!')", "unknown directive"),
        ("formatTime(now, '%')", "unknown directive"),
        ("formatTime(due, '%Y')", "with timestamp(…)"),
        ("formatTime(now, '%Y', secret)", "unknown time zone"),
        ("formatTime(now, lists.range(300).map(i, 'x').join())", "256 bytes"),
    ]);
}

#[test]
fn durations_are_parsed_in_all_units() {
    check(&[
        ("duration('3d')", json!("3d")),
        ("duration('1w1d')", json!("8d")),
        ("duration('1.5h')", json!("1h30m")),
        ("duration('+90s')", json!("1m30s")),
        ("duration('.5s')", json!("500ms")),
        ("duration('1h 30m')", json!("1h30m")),
        ("duration('0')", json!("0s")),
        ("duration('1500us') + duration('500µs')", json!("2ms")),
        ("duration('999999999ns') + duration('1ns') == duration('1s')", json!(true)),
        ("duration('-2.25s').getMilliseconds()", json!(-250)),
        ("duration('2d').getHours()", json!(48)),
    ]);
    check_errors(&[
        ("duration('')", "not a duration"),
        ("duration('-')", "not a duration"),
        ("duration('5')", "not a duration"),
        ("duration('1y')", "not a duration"),
        ("duration('1.2.3s')", "not a duration"),
        ("duration('٣s')", "not a duration"),
        ("duration('300000d')", "out of range"),
        ("duration('99999999999999999999s')", "not a duration"),
        ("duration('100000d') + duration('100000d')", "out of range"),
        ("timestamp('9999-01-01T00:00:00Z') - timestamp('0001-01-01T00:00:00Z')", "out of range"),
        ("timestamp('0001-01-01T00:00:00Z') - duration('1ns')", "out of range"),
        ("timestamp('0000-12-31T23:59:59Z')", "out of range"),
    ]);
}

#[test]
fn an_invalid_literal_argument_is_refused_at_compile_time() {
    for source in [
        "now + duration('5x')",
        "timestamp('yesterday') < now",
        "now.getHours('Mars/Olympus')",
        "formatTime(now, '%!')",
        "formatTime(now, '%Y', 'Mars/Olympus')",
    ] {
        assert!(Expression::parse(source).is_err(), "{source}");
    }
    for source in ["duration(secret)", "now.getHours(secret)", "formatTime(now, secret)", "duration('1h').getHours()"] {
        assert!(Expression::parse(source).is_ok(), "{source}");
    }
}

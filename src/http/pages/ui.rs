//! Parts that many pages share: states with icons, times, durations, values as JSON, and what is shown where there is nothing.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;
use uuid::Uuid;

use super::icons::icon;
use crate::contract::filter::STATUSES;

/// Bytes of a JSON value that are written on a page.
const JSON_MAX: usize = 32 * 1024;
/// Characters of a text in a cell of a list.
const CELL_MAX: usize = 120;

/// The state of an instance, or of anything that has one of its colours.
pub(super) fn badge(state: &str) -> Markup {
    let look = look(state);
    html! { span class={ "badge is-" (look) } { (icon(look)) span { (state.replace('_', " ")) } } }
}

/// The look of a state: one of the six of an instance.
fn look(state: &str) -> &'static str {
    let known = STATUSES.iter().find(|status| **status == state).copied();
    known.unwrap_or(match state {
        "done" | "succeeded" | "active" | "closed" => "completed",
        "unknown" | "refused" | "timed_out" | "open_breaker" => "failed",
        "paused" | "waiting" | "half_open" | "muted" | "undecided" => "suspended",
        "aborted" | "retired" => "cancelled",
        "reported" | "claimed" => "compensating",
        _ => "running",
    })
}

/// A point in time: how long ago, with the exact time as its title.
pub(super) fn when(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(exact(at)) title=(exact(at)) data-relative { (relative(at, now)) } }
}

/// The same, if there is one.
pub(super) fn when_some(at: Option<Timestamp>, now: Timestamp) -> Markup {
    match at {
        Some(at) => when(at, now),
        None => html! { span.quiet { "–" } },
    }
}

/// To the millisecond, in UTC.
pub(super) fn exact(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

/// `3 min ago`, `in 2 h`. The script of the page writes the same words.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    let (size, unit) = match seconds.unsigned_abs() {
        0..5 => return "now".into(),
        away @ 5..60 => (away, "s"),
        away @ 60..3_600 => (away / 60, "min"),
        away @ 3_600..86_400 => (away / 3_600, "h"),
        away => (away / 86_400, "d"),
    };
    if seconds < 0 { format!("in {size} {unit}") } else { format!("{size} {unit} ago") }
}

/// How long something took, short enough for a column: `340 ms`, `2.4 s`, `3 min 20 s`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.as_millis() < 1_000 => format!("{} ms", time.as_millis()),
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// From one time to another; zero if they are the other way round.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A value as it is written for people, cut where it is too long for a page.
pub(super) fn json(value: &Value) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let cut = text.floor_char_boundary(JSON_MAX);
    html! {
        pre.json tabindex="0" { code { (text[..cut]) } }
        @if cut < text.len() { p.quiet { "It is longer: " (text.len()) " bytes. `leveret instance show` prints all of it." } }
    }
}

/// The beginning of a text, for a cell.
pub(super) fn cell(text: &str) -> String {
    crate::text::cut_to(text, CELL_MAX)
}

/// The beginning of an id, which leads to its page.
pub(super) fn instance_link(id: Uuid, key: Option<&str>) -> Markup {
    html! { a href={ "/instances/" (id) } { (key.map_or_else(|| short(id), str::to_owned)) } }
}

/// The end of an id: ids of one moment begin alike.
pub(super) fn short(id: Uuid) -> String {
    let text = id.simple().to_string();
    format!("…{}", text.get(text.len() - 8..).unwrap_or_default())
}

/// What is shown where there is nothing: why that is, and the command that changes it.
pub(super) fn empty(words: &str, command: Option<&str>) -> Markup {
    html! {
        div.empty {
            p { (words) }
            @if let Some(command) = command { pre tabindex="0" { code { (command) } } }
        }
    }
}

/// A title and its value, in a list of facts.
pub(super) fn fact(title: &str, value: &Markup) -> Markup {
    html! { div { dt { (title) } dd { (value) } } }
}

/// The link to the next page of a list, and the one back to its beginning.
pub(super) fn pages(first: &str, cursor: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        nav.pages aria-label="Pages" {
            @if cursor.is_some() { a.button href=(first) { "Newest" } }
            @if let Some(next) = next {
                @let joint = if first.contains('?') { "&" } else { "?" };
                a.button rel="next" href={ (first) (joint) "cursor=" (encoded(next)) } { "Older" }
            }
        }
    }
}

/// For the query of an address.
pub(super) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A count that is bounded: `10,000+`.
pub(super) fn count(number: i64, max: i64) -> String {
    if number > max { format!("{}+", grouped(max)) } else { grouped(number) }
}

/// With commas between thousands.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A part of a page that is asked for again when something has changed.
pub(super) fn region(id: &str, address: &str, content: &Markup) -> Markup {
    html! {
        div.stack-wide id=(id) data-region hx-get=(address) hx-select={ "#" (id) } hx-swap="outerHTML" hx-trigger="refresh" {
            (content)
        }
    }
}

/// A hidden field.
pub(super) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_relative_to_now() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let before = |seconds: i64| relative(now - jiff::SignedDuration::from_secs(seconds), now);
        assert_eq!([2, 59, 60, 3_700, 200_000].map(before), ["now", "59 s ago", "1 min ago", "1 h ago", "2 d ago"]);
        assert_eq!([-5, -7_200].map(before), ["in 5 s", "in 2 h"]);
        assert_eq!(exact(now), "2026-03-01 12:00:00.000Z");
    }

    #[test]
    fn durations_and_numbers_are_short() {
        let spans = [340, 2_400, 200_000, 7_260_000, 180_000_000].map(|millis| span(Duration::from_millis(millis)));
        assert_eq!(spans, ["340 ms", "2.4 s", "3 min 20 s", "2 h 1 min", "2 d 2 h"]);
        assert_eq!(
            (grouped(0), grouped(1_234_567), grouped(-1_000)),
            ("0".into(), "1,234,567".into(), "-1,000".into())
        );
        assert_eq!((count(10_001, 10_000), count(10_000, 10_000)), ("10,000+".into(), "10,000".into()));
    }

    #[test]
    fn what_is_shown_is_escaped() {
        let shown = json(&serde_json::json!({ "n": "\"><i>x</i>" })).into_string();
        assert!(!shown.contains("<i>") && shown.contains("&lt;i&gt;"), "{shown}");
    }
}

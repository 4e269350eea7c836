//! Timestamps and durations. Parts of a timestamp are in UTC or a given time zone, numbered as in CEL.

use jiff::civil::Weekday;
use jiff::fmt::strtime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

use super::{Answer, Function, text};
use crate::expression::bounds::{Budget, EvalError, FORMAT_BYTES_MAX};
use crate::expression::value::Val;
use crate::time::moment;
use crate::time::zone::ZONES;

pub(super) const ALL: &[Function] = &[
    Function::global("timestamp", (1, 1), timestamp),
    Function::global("duration", (1, 1), span),
    Function::global("formatTime", (2, 3), format_time),
    Function::method("getFullYear", (1, 2), |args, budget| part(args, budget, |at| at.year().into())),
    Function::method("getMonth", (1, 2), |args, budget| part(args, budget, |at| i64::from(at.month()) - 1)),
    Function::method("getDate", (1, 2), |args, budget| part(args, budget, |at| at.day().into())),
    Function::method("getDayOfMonth", (1, 2), |args, budget| part(args, budget, |at| i64::from(at.day()) - 1)),
    Function::method("getDayOfWeek", (1, 2), |args, budget| part(args, budget, |at| days_since_sunday(at.weekday()))),
    Function::method("getDayOfYear", (1, 2), |args, budget| part(args, budget, |at| i64::from(at.day_of_year()) - 1)),
    Function::method("getHours", (1, 2), |args, budget| {
        part_or_whole(args, budget, |span| span.as_hours(), |at| at.hour().into())
    }),
    Function::method("getMinutes", (1, 2), |args, budget| {
        part_or_whole(args, budget, |span| span.as_mins(), |at| at.minute().into())
    }),
    Function::method("getSeconds", (1, 2), |args, budget| {
        part_or_whole(args, budget, |span| span.as_secs(), |at| at.second().into())
    }),
    Function::method("getMilliseconds", (1, 2), |args, budget| {
        part_or_whole(args, budget, |span| span.subsec_millis().into(), |at| at.millisecond().into())
    }),
];

fn days_since_sunday(day: Weekday) -> i64 {
    day.to_sunday_zero_offset().into()
}

/// The time zone of an argument, `Europe/Berlin` or `+02:00`; UTC without one.
fn zone(name: Option<&Val<'_>>, budget: &mut Budget) -> Result<TimeZone, EvalError> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    let name = text(name, budget)?;
    if let Some(offset) = offset(name) {
        return Ok(TimeZone::fixed(offset));
    }
    ZONES.get(name).map_err(|_| EvalError::invalid("unknown time zone; write Europe/Berlin or +02:00"))
}

/// `+02:00`, `-09:30`; the plus is optional.
fn offset(text: &str) -> Option<Offset> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = size.split_once(':')?;
    let two_digits = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes).filter(|minutes| *minutes < 60)?);
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()
}

fn moment(value: &Val<'_>) -> Result<Timestamp, EvalError> {
    match value {
        Val::Timestamp(moment) => Ok(*moment),
        Val::Text(_) => Err(EvalError::invalid("expected a timestamp, got a string; convert it with timestamp(…)")),
        other => Err(EvalError::invalid(format!("expected a timestamp, got {}", other.what()))),
    }
}

fn part<'a>(args: &[Val<'a>], budget: &mut Budget, part: fn(&Zoned) -> i64) -> Answer<'a> {
    let moment = moment(&args[0])?;
    Ok(Val::Int(part(&moment.to_zoned(zone(args.get(1), budget)?))))
}

/// A part of a timestamp, or a duration in whole units.
fn part_or_whole<'a>(
    args: &[Val<'a>],
    budget: &mut Budget,
    whole: fn(&SignedDuration) -> i64,
    of: fn(&Zoned) -> i64,
) -> Answer<'a> {
    match args {
        [Val::Duration(span)] => Ok(Val::Int(whole(span))),
        _ => part(args, budget, of),
    }
}

fn timestamp<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Timestamp(moment) => Ok(Val::Timestamp(*moment)),
        Val::Int(seconds) => moment::from_second(*seconds)
            .ok_or_else(|| EvalError::invalid("the timestamp is out of range"))
            .and_then(Val::timestamp),
        _ => moment::parse(text(&args[0], budget)?)
            .ok_or_else(|| EvalError::invalid("the string is not a timestamp such as 2026-03-01T12:00:00Z"))
            .and_then(Val::timestamp),
    }
}

fn span<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    if let Val::Duration(span) = &args[0] {
        return Ok(Val::Duration(*span));
    }
    let nanos = nanoseconds(text(&args[0], budget)?);
    let nanos = nanos.ok_or_else(|| EvalError::invalid("the string is not a duration such as 250ms, 1h30m or 3d"))?;
    let nanos = i64::try_from(nanos).map_err(|_| EvalError::invalid("the duration is out of range"))?;
    Val::span(Some(SignedDuration::from_nanos(nanos)))
}

/// Numbers with units, with an optional sign at the start; fractions of nanoseconds are cut off.
fn nanoseconds(text: &str) -> Option<i128> {
    const DIGITS_MAX: usize = 18;
    let text = text.trim();
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0i128;
    let mut first = true;
    while first || !rest.is_empty() {
        first = false;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (whole, fraction) = rest[..end].split_once('.').unwrap_or((&rest[..end], ""));
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > DIGITS_MAX || fraction.len() > DIGITS_MAX {
            return None;
        }
        rest = &rest[end..];
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let unit = unit(&rest[..letters])?;
        let number = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
        total = total.checked_add(number(whole)? * unit)?;
        total += number(fraction)? * unit / 10i128.pow(u32::try_from(fraction.len()).ok()?);
        rest = rest[letters..].trim_start();
    }
    Some(sign * total)
}

/// The nanoseconds of a unit.
fn unit(name: &str) -> Option<i128> {
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "w" => 604_800_000_000_000,
        _ => return None,
    })
}

/// `formatTime(t, "%Y-%m-%d", "Europe/Berlin")`.
fn format_time<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let (moment, format) = (moment(&args[0])?, text(&args[1], budget)?);
    if format.len() > FORMAT_BYTES_MAX {
        return Err(EvalError::invalid(format!("the format is longer than {FORMAT_BYTES_MAX} bytes")));
    }
    let local = moment.to_zoned(zone(args.get(2), budget)?);
    let text = strtime::format(format, &local).map_err(|_| {
        EvalError::invalid(
            "the format has an unknown directive; use %Y %m %d %H %M %S %A %B %j %z %Z and others of strftime",
        )
    })?;
    Val::text(text, budget)
}
